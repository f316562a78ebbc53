"""The demo shop in a real browser, served by real worker processes."""
