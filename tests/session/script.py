"""What a request does to a session, and the `Change` that is sent: without HTTP or a store.

The store here is a script: it answers with the record it was given and keeps what it was sent.
"""

from __future__ import annotations

import collections.abc as cabc
import typing as t

from flask_state.build import Parts
from flask_state.build import build
from flask_state.core.codec import Codec
from flask_state.core.keyring import Keyring
from flask_state.core.settings import Settings
from flask_state.session.data import SessionData
from flask_state.session.ids import Id
from flask_state.session.ids import Ids
from flask_state.stores.base import Change
from flask_state.stores.base import Committed
from flask_state.stores.base import Facts
from flask_state.stores.base import Item
from flask_state.stores.base import Loaded
from flask_state.testing import FakeClock

NOW: t.Final = 1_800_000_000.0
ID: t.Final = Ids().new()
KEYS: t.Final = Keyring([b"the current secret of the tests"])
IDLE: t.Final = 1000.0


def encoded(value: t.Any) -> bytes:
    """An item's bytes."""
    return b"\x01\x00" + Codec().dumps(value)


class Script:
    """Stands for a store: holds one record, applies nothing."""

    engine = "script"
    shared = "process"

    def __init__(self, facts: Facts, items: dict[str, t.Any]) -> None:
        self.facts = facts
        self.items = {
            name: Item(encoded(value), version=3, position=index)
            for index, (name, value) in enumerate(items.items())
        }
        self.sent: list[tuple[str, Change, int | None]] = []
        self.asked: list[tuple[str, ...] | None] = []

    def load(
        self, locator: str, proofs: t.Any, names: t.Any, lease: float | None = None
    ) -> Loaded | None:
        """The record, or the named part of it."""
        self.asked.append(names)
        items = (
            self.items if names is None else {n: self.items[n] for n in names if n in self.items}
        )
        complete = len(items) == len(self.items)
        return Loaded(self.facts, dict(items), complete, 0, False, NOW)

    def commit(self, locator: str, change: Change, fence: int | None) -> Committed:
        """Keep the change."""
        self.sent.append((locator, change, fence))
        facts = self.facts._replace(proof=change.proof or self.facts.proof)
        return Committed(None, (), facts)

    def note(self, name: str, value: bytes) -> None:
        """Nothing was kept before."""


class Work:
    """One request's session over a script.

    :param items: what is stored; None for a visitor without a session.
    """

    def __init__(self, items: dict[str, t.Any] | None = None, **more: t.Any) -> None:
        own = {name: more.pop(name) for name in list(more) if name in Facts._fields}
        size = sum(len(name) + len(encoded(value)) for name, value in (items or {}).items())
        facts = Facts(
            proof=KEYS.proofs("session-id", ID.text)[0],
            created=NOW - 50,
            touched=NOW - 50,
            expires=NOW - 50 + 1.1 * IDLE,
            renewed=NOW - 50,
            version=5,
            fence=7,
            size=size,
        )
        self.script = Script(facts._replace(**own), items or {})
        self.parts = parts(self.script, Settings(**more))
        self.user = _Data(self.parts, ID if items is not None else None)

    def change(self) -> Change | None:
        """What the request's save sends; at most one thing."""
        self.parts.manager.save(self.user, discard=False, refresh=False)
        assert len(self.script.sent) <= 1
        return self.script.sent[0][1] if self.script.sent else None


class _Data(SessionData):
    def __init__(self, parts: Parts, id: Id | None) -> None:
        super().__init__()
        self._manager = parts.manager
        self._text = id

    def _presented(self) -> cabc.Sequence[str]:
        return [self._text.text] if self._text is not None else []


def parts(script: Script, settings: Settings) -> Parts:
    """The parts of an application, over a script."""
    return build(
        settings,
        codec=Codec(),
        ids=Ids(),
        clock=FakeClock(NOW),
        keyring=lambda: KEYS,
        idle_timeout=lambda: IDLE,
        session_url=lambda: script,
        sweeps=lambda: False,
        notify=lambda event, **facts: True,
    )


STORED: t.Final = {"user": "ann", "cart": [1, {"n": 2}], "seen": 7}

Doing = cabc.Callable[[SessionData], t.Any]
