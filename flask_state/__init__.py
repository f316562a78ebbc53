"""Every place where a Flask application can keep state."""
