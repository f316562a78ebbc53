"""Everything that touches a request."""
