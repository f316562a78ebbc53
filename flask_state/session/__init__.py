"""Sessions: variables of one user, kept between requests. Plain Python; `web` connects it."""
