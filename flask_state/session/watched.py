"""The store of one application's sessions: opened when first used, its outages noticed."""

from __future__ import annotations

import collections.abc as cabc
import contextlib
import logging
import typing as t

from ..core.forks import after_fork_in_child
from ..core.forks import fork_safe_lock
from ..errors import ConfigurationError
from ..errors import StoreError
from ..stores.base import Change
from ..stores.base import Committed
from ..stores.base import Found
from ..stores.base import Loaded
from ..stores.base import Record
from ..stores.base import SessionStore

logger: logging.Logger = logging.getLogger("flask_state.session")

Notify = cabc.Callable[..., bool]
"""Called with the name of an event and the facts of it; says whether every receiver returned."""

_REACH: t.Final = {
    "process": "this process alone: another worker sees other sessions",
    "machine": "all processes of this machine, and no other machine",
    "network": "every machine that reaches it",
}


class WatchedStore:
    """The verbs of a `SessionStore`, and an eye on how it does.

    :param make: makes the store; called once, at first use.
    :param fingerprints: asked for the public names of the secret keys, the current one first.
    :param notify: hears of ``"store_down"`` and ``"store_up"``, once per outage.
    :param on_commit: called after commits until it says, in this process, that it is content.
    :param on_end: told why, when a commit has ended a session. Here and nowhere else, because
        there are many ways to an end, and all of them commit.

    `_lock` guards the making of the store and the flags; flags are read without it, because
    they only ever save work.
    """

    def __init__(
        self,
        make: cabc.Callable[[], SessionStore],
        *,
        fingerprints: cabc.Callable[[], tuple[bytes, ...]],
        notify: Notify,
        on_commit: cabc.Callable[[], bool],
        on_end: cabc.Callable[[str], None],
    ) -> None:
        self._make = make
        self._fingerprints = fingerprints
        self._notify = notify
        self._on_commit = on_commit
        self._on_end = on_end
        self._lock = fork_safe_lock()
        self._made: SessionStore | None = None
        self._down = False
        self._announced = self._settled = False
        """Whether this process's first commit was seen, and `on_commit` was content."""
        after_fork_in_child(self)

    def after_fork_in_child(self) -> None:
        """A forked child starts over."""
        self._announced = self._settled = False

    @property
    def store(self) -> SessionStore:
        """The store itself.

        :raise ConfigurationError: where its URL is no good.
        """
        made = self._made
        if made is None:
            made = self._make()
            with self._lock:
                if self._made is None:
                    self._made = made
                made = self._made
        return made

    @property
    def engine(self) -> str:
        """The engine's name."""
        return self.store.engine

    def load(
        self,
        locator: str,
        proofs: cabc.Sequence[bytes],
        names: cabc.Sequence[str] | None,
        lease: float | None = None,
    ) -> Loaded | None:
        """`SessionStore.load`."""
        made = self._made
        try:
            loaded = (self.store if made is None else made).load(locator, proofs, names, lease)
        except StoreError as error:
            self._failed(error)
            raise
        if self._down:
            self._recovered()
        return loaded

    def commit(self, locator: str, change: Change, fence: int | None) -> Committed:
        """`SessionStore.commit`."""
        made = self._made
        try:
            done = (self.store if made is None else made).commit(locator, change, fence)
        except StoreError as error:
            self._failed(error)
            raise
        if self._down:
            self._recovered()
        if not self._announced:
            self._announced = True
            self._announce()
        if not self._settled and self._on_commit():
            self._settled = True
        if done.facts is not None and done.facts.end is not None:
            self._on_end(done.facts.end)
        return done

    def wait(self, locator: str, fence: int, timeout: float) -> None:
        """`SessionStore.wait`."""
        with self._watching():
            self.store.wait(locator, fence, timeout)

    def claim(self, limit: int, lease: float) -> list[Record]:
        """`SessionStore.claim`."""
        with self._watching():
            return self.store.claim(limit, lease)

    def forget(self, locator: str) -> None:
        """`SessionStore.forget`."""
        with self._watching():
            self.store.forget(locator)

    def find(self, owner: str) -> list[Found]:
        """`SessionStore.find`."""
        with self._watching():
            return self.store.find(owner)

    def count(self) -> int:
        """`SessionStore.count`."""
        with self._watching():
            return self.store.count()

    def scan(self, cursor: str, limit: int) -> tuple[list[Found], str]:
        """`SessionStore.scan`."""
        with self._watching():
            return self.store.scan(cursor, limit)

    def inspect(self, locator: str) -> Record | None:
        """`SessionStore.inspect`."""
        with self._watching():
            return self.store.inspect(locator)

    def close(self) -> None:
        """`SessionStore.close`, if it was ever opened."""
        if self._made is not None:
            self._made.close()

    @contextlib.contextmanager
    def _watching(self) -> cabc.Iterator[None]:
        try:
            yield
        except StoreError as error:
            self._failed(error)
            raise
        if self._down:
            self._recovered()

    def _failed(self, error: StoreError) -> None:
        with self._lock:
            first, self._down = not self._down, True
        if first:
            logger.error("Sessions are out of order: %s", error)
            self._notify("store_down", engine=error.engine, operation=error.operation, error=error)

    def _recovered(self) -> None:
        with self._lock:
            first, self._down = self._down, False
        if first:
            logger.warning("Sessions are back: %s answers again.", self.engine)
            self._notify("store_up", engine=self.engine)

    def _announce(self) -> None:
        """Say once per process where sessions live, and whether another key opened them."""
        store = self.store
        logger.info("Sessions live in %s, seen by %s.", store.engine, _REACH[store.shared])
        # A missing key is the business of those who need it, and the commit is done.
        with contextlib.suppress(StoreError, ConfigurationError):
            known = self._fingerprints()
            before = store.note("key", known[0])
            if before is not None and before not in known:
                logger.warning(
                    "Another SECRET_KEY than this process's opened the sessions in %s before. "
                    "If every worker or server makes a key of its own, sessions are lost at "
                    "random; if the key was changed, list the old one in SECRET_KEY_FALLBACKS.",
                    store.engine,
                )
