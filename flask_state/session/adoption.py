"""Taking over, once, what a session of another kind holds: a cookie that Flask signed.

Such a cookie can't be revoked, so a copy of it must not open a second session after the first
one was ended. The session's id is derived from the cookie, so that parallel requests with the
same cookie meet in one session; and a mark, an ended record that is kept as long as the cookie
is good, says that it was taken over.
"""

from __future__ import annotations

import collections.abc as cabc
import hashlib
import threading
import typing as t

from ..core.keyring import Keyring
from ..core.tokens import text_from
from ..stores.base import ADOPTED
from ..stores.base import Change
from ..stores.base import Edit
from .changes import ChangeMaker
from .ids import LOCATOR_LENGTH
from .ids import Id
from .ids import Ids
from .lifetime import Lifetime
from .watched import WatchedStore

_PAUSE = threading.Event()
_PAUSE_SECONDS: t.Final = 0.005
_PATIENCE: t.Final = 10


class Foreign(t.NamedTuple):
    """A session of another kind that was found to be genuine."""

    text: str
    """What the client presents."""
    values: dict[str, t.Any]
    remaining: float
    """Seconds for which a copy of it would still be good."""
    permanent: bool = False
    """The client keeps it longer than the browser runs."""
    owner: str | None = None


class Adoption:
    """Finds and makes the sessions that stand for foreign ones."""

    def __init__(
        self,
        *,
        store: WatchedStore,
        changes: ChangeMaker,
        keyring: cabc.Callable[[], Keyring],
        ids: Ids,
        lifetime: Lifetime,
    ) -> None:
        self._store = store
        self._changes = changes
        self._keyring = keyring
        self._ids = ids
        self._lifetime = lifetime

    def awaited(self, text: str, load: cabc.Callable[[Id], bool]) -> Id | None:
        """`known`, for a request that was not the first: the first may still be at it."""
        for _ in range(_PATIENCE):
            _PAUSE.wait(_PAUSE_SECONDS)
            id = self.known(text, load)
            if id is not None:
                return id
        return None

    def known(self, text: str, load: cabc.Callable[[Id], bool]) -> Id | None:
        """The id of the session made of this text, if it can be loaded."""
        return next((id for id in self._candidates(text) if load(id)), None)

    def take_over(self, foreign: Foreign, encode: cabc.Callable[[str, t.Any], bytes]) -> Id | None:
        """Make a session of a foreign one; None where that was done before.

        :raise SerializationError: where one of its values can't be stored.
        """
        edits = {name: Edit(encode(name, value), 0) for name, value in foreign.values.items()}
        if not edits:
            return None
        id = self._candidates(foreign.text)[0]
        proof = self._changes.proofs(id)[0]
        mark = Change(create=True, proof=proof, end=ADOPTED, lives=foreign.remaining)
        if self._store.commit(_locator(b"mark", foreign.text), mark, None).refused is not None:
            return None
        lives = self._lifetime.at_start(None)
        change = Change(create=True, proof=proof, lives=lives, items=edits, owner=foreign.owner)
        return id if self._store.commit(id.locator, change, None).refused is None else None

    def _candidates(self, text: str) -> list[Id]:
        locator = _locator(b"session", text)
        digests = self._keyring().digests("session-adoption", text.encode())
        return [self._ids.derived(locator, digest) for digest in digests]


def _locator(kind: bytes, text: str) -> str:
    return text_from(hashlib.sha256(kind + b"\0" + text.encode()).digest(), LOCATOR_LENGTH)
