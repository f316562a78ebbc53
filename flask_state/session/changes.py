"""From what a request did to a session to the `Change` that says so."""

from __future__ import annotations

import collections.abc as cabc
import math

from ..core.keyring import Keyring
from ..core.sentinels import MISSING
from ..core.settings import Settings
from ..errors import SerializationError
from ..stores import rules
from ..stores.base import Change
from ..stores.base import Edit
from ..stores.base import Facts
from .ids import Id
from .ids import Ids
from .lifetime import Lifetime
from .working import Encode
from .working import WorkingCopy

PURPOSE = "session-id"
"""Separates the key of the proofs from all other keys."""

_REKEY_GRACE = 86_400.0
"""Seconds for which a proof under an old secret stays, for servers not restarted yet."""


class ChangeMaker:
    """Makes changes. Touches no store: everything it needs is in its arguments."""

    def __init__(
        self,
        *,
        settings: Settings,
        keyring: cabc.Callable[[], Keyring],
        ids: Ids,
        lifetime: Lifetime,
    ) -> None:
        self._settings = settings
        self._keyring = keyring
        self._ids = ids
        self._lifetime = lifetime

    def proofs(self, id: Id) -> tuple[bytes, ...]:
        """What the store knows of an id's secret, under the current key first."""
        return self._keyring().proofs(PURPOSE, id.text)

    def creation(self, data: WorkingCopy, id: Id, encode: Encode) -> Change | None:
        """The change that stores a new session; None where there is nothing to store."""
        edits = {name: e for name, e in data._edits(encode).items() if e.value is not None}
        if not edits:
            return None
        self._check_size({name: len(e.value or b"") for name, e in edits.items()})
        own = data._own_timeout()
        browser, address = data._client() if data._owner else ("", "")
        return Change(
            create=True,
            proof=self.proofs(id)[0],
            lives=self._lifetime.at_start(own),
            timeout=own,
            owner=data._owner,
            browser=browser,
            address=address,
            items=edits,
        )

    def update(
        self,
        data: WorkingCopy,
        facts: Facts,
        id: Id,
        encode: Encode,
        fetch_all: cabc.Callable[[], None],
    ) -> tuple[Change | None, Id]:
        """The change to a stored session, and the id it has then; None where there is none."""
        edits = data._edits(encode)
        lives = data._touch
        if data._timeout is not MISSING:
            lives = self._lifetime.ahead(facts, data._own_timeout(), data._now)
        next_id, proof, grace = self._renewal(data, facts, id)
        changes = bool(edits) or data._cleared or data._changes_facts()
        if not changes and lives is None and proof is None:
            return None, id
        self._check_growth(data, facts, edits, fetch_all)
        change = Change(
            items=edits,
            clear=facts.version if data._cleared else None,
            proof=proof,
            grace=grace,
            lives=lives,
            timeout=data._timeout,
            owner=data._owner,
            strict=self._settings.session_on_conflict == "error",
            lease=None if data._held_lease() is None else 0.0,
        )
        if data._owner:
            browser, address = data._client()
            change = change._replace(browser=browser, address=address)
        return change, next_id

    def successor(self, id: Id, facts: Facts) -> Id | None:
        """The id that a renewal with grace gave to the holder of this one, if it did.

        Such an id is derived from the one before it, so that every request under way can hand
        it to its client, and parallel renewals agree.
        """
        return next((each for each in self._successors(id) if self.proves(each, facts)), None)

    def proves(self, id: Id, facts: Facts) -> bool:
        """Whether this is the session's current id."""
        return rules.match(facts, self.proofs(id), math.inf) is not None

    def _successors(self, id: Id) -> list[Id]:
        digests = self._keyring().digests("session-renewal", id.text.encode())
        return [self._ids.derived(id.locator, digest) for digest in digests]

    def _renewal(self, data: WorkingCopy, facts: Facts, id: Id) -> tuple[Id, bytes | None, float]:
        """The next id, its proof and grace; the proof is None where the id stays."""
        regenerate, grace = data._regenerate, data._grace
        after = self._settings.session_renew_after
        if not regenerate and after is not None and not data._sealed:
            regenerate = data._now - facts.renewed >= after
            grace = self._settings.session_renew_grace
        if regenerate:
            if data._owner is not MISSING and data._owner != facts.owner:
                grace = 0.0
            next_id = self._successors(id)[0] if grace > 0 else self._ids.renewed(id)
            return next_id, self.proofs(next_id)[0], grace
        if data._stale:
            return id, self.proofs(id)[0], _REKEY_GRACE
        return id, None, 0.0

    def _check_growth(
        self,
        data: WorkingCopy,
        facts: Facts,
        edits: dict[str, Edit],
        fetch_all: cabc.Callable[[], None],
    ) -> None:
        """Refuse a session that this request makes too large.

        :param fetch_all: called where it matters what the items are that were not looked at.
        """
        added = sum([len(name) + len(edit.value or b"") for name, edit in edits.items()])
        if facts.size + added <= self._settings.session_max_bytes:
            return  # whatever was there before is counted in as well: no need to look closer
        if data._names is None:
            fetch_all()
        sizes = {} if data._cleared else {n: len(i.value) for n, i in data._raw.items()}
        known = sum(len(name) + size for name, size in sizes.items())
        unseen = 0 if data._cleared else max(0, facts.size - known)
        for name, edit in edits.items():
            sizes.pop(name, None)
            if edit.value is not None:
                sizes[name] = len(edit.value)
        after = sum(len(name) + size for name, size in sizes.items()) + unseen
        before = 0 if data._cleared else facts.size
        if after > before:
            self._check_size(sizes, unseen)

    def _check_size(self, sizes: dict[str, int], unseen: int = 0) -> None:
        limit = self._settings.session_max_bytes
        total = unseen + sum(len(name) + size for name, size in sizes.items())
        if total <= limit:
            return
        largest = sorted(sizes, key=lambda name: -sizes[name])[:3]
        named = ", ".join(f"{name!r} ({sizes[name]:,})" for name in largest)
        raise SerializationError(
            f"the session would take {total:,} bytes of at most {limit:,} "
            f"(STATE_SESSION_MAX_BYTES); its largest items here are {named}",
            key=largest[0] if largest else None,
        )
