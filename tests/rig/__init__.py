"""A real server, a client that behaves like a browser, and what lets a test order their steps."""
