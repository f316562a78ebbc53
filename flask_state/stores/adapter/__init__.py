"""Makes a `SessionStore` of any `ByteStore`."""

from __future__ import annotations

from .sessions import ByteSessionStore

__all__ = ["ByteSessionStore"]
