"""How many sessions one owner may have."""

from __future__ import annotations

import logging

from ..errors import StoreError
from ..stores.base import REVOKED
from ..stores.base import Change
from ..stores.base import Found
from .watched import WatchedStore

logger: logging.Logger = logging.getLogger("flask_state.session")


class OwnerCap:
    """Ends the sessions of an owner that are too many: those that signed in first.

    Needs no lock. Everybody who signs in commits first and looks after that, and everybody
    ranks what they see in the same way. A session that belongs to the newest of all belongs to
    the newest of any part of them: nobody ever ends it. And whoever looks last sees them all,
    so that none too many is left.

    :param limit: how many may live, or None for any number.
    """

    def __init__(self, store: WatchedStore, limit: int | None) -> None:
        self._store = store
        self._limit = limit

    def enforce(self, owner: str) -> None:
        """End all but the newest. Call it after every commit that set this owner.

        Where the store fails, the next sign-in makes up for it: this one is stored already, and
        its client must be told so.
        """
        if self._limit is None:
            return
        try:
            newest_first = sorted(self._store.find(owner), key=_rank, reverse=True)
            for each in newest_first[self._limit :]:
                self._store.commit(each.locator, Change(end=REVOKED), None)
        except StoreError as error:
            logger.warning("An owner may have too many sessions until the next sign-in: %s", error)


def _rank(found: Found) -> tuple[float, str]:
    """The later sign-in is the newer one; of two at the same moment one must be, for all."""
    return found.facts.owned_since, found.locator
