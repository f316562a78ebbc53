"""Values that mean "no value", so that `None` can be one."""

from __future__ import annotations

import enum
import typing as t


class _Sentinel(enum.Enum):
    """Members compare by identity, survive pickling, and print as their name."""

    MISSING = "MISSING"
    ANY = "ANY"

    def __repr__(self) -> str:
        return self.value

    def __bool__(self) -> bool:
        return False


MISSING: t.Final = _Sentinel.MISSING
"""There is nothing here."""

ANY: t.Final = _Sentinel.ANY
"""Whatever is there."""

Missing = t.Literal[_Sentinel.MISSING]
Any_ = t.Literal[_Sentinel.ANY]
