"""Session ids: what the client holds."""

from __future__ import annotations

import re
import typing as t

from ..core.tokens import random_text
from ..core.tokens import text_from

LOCATOR_LENGTH: t.Final = 10
SECRET_LENGTH: t.Final = 26

_FORM = re.compile(rf"[a-z0-5]{{{LOCATOR_LENGTH + SECRET_LENGTH}}}")


class Id(t.NamedTuple):
    """An id: where the record is, and a secret whose keyed hash the record keeps."""

    locator: str
    """Its first characters: the record's key."""
    text: str
    """All of it: what the client holds."""

    def __repr__(self) -> str:
        return f"<Id {self.locator}>"

    def __str__(self) -> str:
        return repr(self)


class Ids:
    """Makes and recognizes ids: 36 characters of ``a-z0-5``, safe in a URL.

    Ten are the locator: permanent, the record's key, not secret. The rest are 130 random bits.
    Derive from this class to shape ids otherwise, and hand an instance to `FlaskState`; a
    locator is 10 characters of ``a-z0-5`` always.
    """

    def new(self) -> Id:
        """An id that nobody holds yet."""
        text = random_text(LOCATOR_LENGTH + SECRET_LENGTH)
        return Id(text[:LOCATOR_LENGTH], text)

    def renewed(self, id: Id) -> Id:
        """The same locator under a new secret."""
        return Id(id.locator, id.locator + random_text(SECRET_LENGTH))

    def derived(self, locator: str, digest: bytes) -> Id:
        """An id whose secret comes from a keyed digest of 32 bytes, so it can be made again."""
        return Id(locator, locator + text_from(digest, SECRET_LENGTH))

    def parse(self, text: str) -> Id | None:
        """The id in a text, or None where it is not of this form. Asks no store."""
        if _FORM.fullmatch(text) is None:
            return None
        return Id(text[:LOCATOR_LENGTH], text)
