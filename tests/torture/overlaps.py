"""Two requests of one browser that overlap: what they do, and what must become of it.

Both carry the id of before. What is foretold here follows from few rules: an id that was
replaced, and a session that has ended, take nothing more, and who is refused says nothing of
the session to the client.
"""

from __future__ import annotations

import dataclasses
import enum
import itertools
import typing as t

Items = dict[str, str]
Signal = list[str]

FIRST: t.Final[Items] = {"a": "first", "b": "first"}
"""What every session starts with."""


class Act(enum.Enum):
    """What a request does to its session."""

    TOUCHES_NOTHING = "touches nothing"
    READS = "reads"
    WRITES_ANOTHER = "writes another item"
    WRITES = "writes"
    ABANDONS = "abandons"
    REGENERATES = "writes and regenerates"

    def reading(self) -> list[str]:
        """Its first steps in the application: every other act reads first."""
        return [] if self is Act.TOUCHES_NOTHING else ["read a"]

    def doing(self, who: str) -> list[str]:
        """The steps that follow."""
        match self:
            case Act.WRITES_ANOTHER:
                return [f"set b {who}"]
            case Act.WRITES:
                return [f"set a {who}"]
            case Act.ABANDONS:
                return ["abandon"]
            case Act.REGENERATES:
                return [f"set a {who}", "regenerate"]
        return []

    def writes(self, who: str) -> Items:
        """The items that it sets."""
        words = [step.split(" ") for step in self.doing(who)]
        return {each[1]: each[2] for each in words if each[0] == "set"}


class Place(enum.Enum):
    """Where the slow request waits while the fast one runs from its start to its end."""

    BEFORE_IT_READS = "before it reads"
    AFTER_IT_READ = "after it read"
    BEFORE_IT_SAVES = "before it saves"

    @property
    def index(self) -> int:
        """How many of the two steps, reading and doing, it has behind it."""
        return list(Place).index(self)


class Says(enum.Enum):
    """What a response says of the session to the browser."""

    NOTHING = "nothing"
    SAME = "the id that it holds"
    RENEWED = "a new id of the same session"
    ANOTHER = "the id of another session"
    DELETED = "that its id is no more"


class Case(t.NamedTuple):
    """An overlap."""

    slow: Act
    place: Place
    fast: Act

    def __str__(self) -> str:
        return f"slow {self.slow.value}, waits {self.place.value}, fast {self.fast.value}"

    @property
    def matters(self) -> bool:
        """Whether something can go wrong, and this is not the same as another one."""
        changing = (Act.WRITES, Act.ABANDONS, Act.REGENERATES)
        if self.slow not in changing and self.fast not in changing:
            return False
        places = list(Place)
        if self.slow is Act.TOUCHES_NOTHING:
            places.remove(Place.AFTER_IT_READ)
        if self.slow in (Act.TOUCHES_NOTHING, Act.READS):
            places.remove(Place.BEFORE_IT_SAVES)
        if self.fast in (Act.TOUCHES_NOTHING, Act.READS):
            places.remove(Place.BEFORE_IT_READS)
        return self.place in places

    def steps(self) -> tuple[list[str], list[str]]:
        """What the application is to do for the slow request, and for the fast one."""
        slow = [self.slow.reading(), self.slow.doing("slow")]
        slow.insert(self.place.index, ["stop here"])
        fast = self.fast.reading() + self.fast.doing("fast")
        return [step for part in slow for step in part], fast


CASES: t.Final = [
    case for parts in itertools.product(Act, Place, Act) if (case := Case(*parts)).matters
]


@dataclasses.dataclass
class Stored:
    """What the store has of the session."""

    items: Items
    refuses: str | None = None
    """Why nobody is served who comes with the id of before: it is gone, or was passed."""


class Told:
    """A request of the model.

    :param stored: what both requests share.
    """

    def __init__(self, act: Act, who: str, stored: Stored) -> None:
        self.act = act
        self.says = Says.NOTHING
        self.signals: list[Signal] = []
        self.begun: Items = {}
        """Items of a session that it begins."""
        self._writes = act.writes(who)
        self._stored = stored
        self._seen: Items | None = None
        self._refused: str | None = None

    def reads(self) -> None:
        """The first touch: from here on it knows what it has."""
        self._refused = self._stored.refuses
        self._seen = dict(self._stored.items)

    def does(self) -> None:
        """What happens when it is called for."""
        if self.act is Act.ABANDONS and self._refused != "gone" and self._is_served():
            self._stored.refuses = "gone"
            self.says = Says.DELETED

    def saves(self) -> None:
        """What happens with the response."""
        if not self._writes:
            return
        if self._refused == "gone":
            # To this request the id is unknown like any other, and a session begins with it.
            self.says, self.begun = Says.ANOTHER, self._writes
        elif self._is_served():
            self._write()

    def _is_served(self) -> bool:
        reason = self._refused or self._stored.refuses
        if reason is not None:
            self.signals.append(["conflict", reason])
        return reason is None

    def _write(self) -> None:
        items = self._stored.items
        assert self._seen is not None
        lost = [name for name in self._writes if items[name] != self._seen[name]]
        if lost:
            self.signals.append(["conflict", "changed", *lost])
        items.update(self._writes)
        self.says = Says.SAME
        if self.act is Act.REGENERATES:
            self.says, self._stored.refuses = Says.RENEWED, "passed"


class Foretold(t.NamedTuple):
    """What must become of an overlap."""

    slow: Told
    fast: Told
    items: Items
    """What the browser's next request finds."""
    same: bool
    """Whether that is in the session of before."""
    old_id_works: bool
    """Whether who has kept the id of before is still served."""


def foretell(case: Case) -> Foretold:
    """Play an overlap by the rules alone."""
    stored = Stored(dict(FIRST))
    slow, fast = Told(case.slow, "slow", stored), Told(case.fast, "fast", stored)
    steps = [slow.reads, slow.does]
    steps[case.place.index : case.place.index] = [fast.reads, fast.does, fast.saves]
    for step in [*steps, slow.saves]:
        step()
    same, items = stored.refuses != "gone", stored.items
    for request in (fast, slow):  # their responses arrive in this order
        if request.says in (Says.ANOTHER, Says.DELETED):
            same, items = False, request.begun
    return Foretold(slow, fast, items, same, stored.refuses is None)
