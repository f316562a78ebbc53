"""Two requests of one browser that overlap: what they do, and what must become of it.

Both carry the id of before. What is foretold here follows from few rules: an id that was
replaced, and a session that has ended, take nothing more; who is refused says nothing of the
session to the client; and of two exclusive requests the second one waits for the first.
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
    REVOKES = "revokes it from outside"
    EXPIRES = "lets it expire"
    RELOADS = "writes, reloads and writes another item"
    COMMITS = "writes and commits early"
    RAISES = "writes and raises"

    @property
    def ends(self) -> bool:
        """Whether it ends the session, at once."""
        return self in (Act.ABANDONS, Act.REVOKES, Act.EXPIRES)

    @property
    def changes(self) -> bool:
        """Whether others may notice."""
        return self not in (Act.TOUCHES_NOTHING, Act.READS, Act.WRITES_ANOTHER, Act.RAISES)

    def reading(self) -> list[str]:
        """Its first steps in the application: every other act reads first."""
        return [] if self is Act.TOUCHES_NOTHING else ["read a"]

    def doing(self, who: str) -> list[str]:
        """The steps that follow. `HANDLE` stands for that of the session."""
        match self:
            case Act.WRITES_ANOTHER:
                return [f"set b {who}"]
            case Act.WRITES | Act.RAISES:
                return [f"set a {who}"]
            case Act.ABANDONS:
                return ["abandon"]
            case Act.REGENERATES:
                return [f"set a {who}", "regenerate"]
            case Act.REVOKES:
                return ["revoke HANDLE"]
            case Act.EXPIRES:
                return ["lapse HANDLE"]
            case Act.RELOADS:
                return ["set a lost", "reload", "read a", f"set b {who}"]
            case Act.COMMITS:
                return [f"set a {who}", "commit"]
        return []

    def ending(self) -> list[str]:
        """The last steps of its view."""
        return ["raise"] if self is Act.RAISES else []

    def writes(self, who: str) -> Items:
        """The items that it has set when it is saved."""
        match self:
            case Act.WRITES_ANOTHER | Act.RELOADS:
                return {"b": who}
            case Act.WRITES | Act.REGENERATES | Act.COMMITS:
                return {"a": who}
        return {}


class Place(enum.Enum):
    """Where the slow request waits while the fast one runs, or comes to wait for it."""

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


class Request(t.NamedTuple):
    """One of the two."""

    act: Act
    method: str = "GET"

    def __str__(self) -> str:
        return f"{self.method} that {self.act.value}"

    @property
    def exclusive(self) -> bool:
        """Whether it takes a lease."""
        return self.method == "POST" and self.act is not Act.TOUCHES_NOTHING


class Case(t.NamedTuple):
    """An overlap."""

    slow: Request
    place: Place
    fast: Request

    def __str__(self) -> str:
        return f"slow {self.slow}, waits {self.place.value}, fast {self.fast}"

    @property
    def matters(self) -> bool:
        """Whether something can go wrong, and this is not the same as another one."""
        slow, fast = self.slow.act, self.fast.act
        if not slow.changes and not fast.changes:
            return False
        for each in (self.slow, self.fast):
            if each.act is Act.TOUCHES_NOTHING and each.method != "GET":
                return False
        places = set(Place)
        if slow is Act.TOUCHES_NOTHING:
            places.discard(Place.AFTER_IT_READ)
        if slow in (Act.TOUCHES_NOTHING, Act.READS):
            places.discard(Place.BEFORE_IT_SAVES)
        if fast in (Act.TOUCHES_NOTHING, Act.READS):
            places.discard(Place.BEFORE_IT_READS)
        if self.slow.exclusive and self.fast.exclusive and not _frees_early(slow):
            places.discard(
                Place.BEFORE_IT_SAVES
            )  # who waits sees nothing of what is done meanwhile
        return self.place in places

    @property
    def merges(self) -> bool:
        """Whether nobody takes a lease."""
        return self.slow.method == self.fast.method == "GET"

    def steps(self) -> tuple[list[str], list[str]]:
        """What the application is to do for the slow request, and for the fast one."""
        slow, fast = self.slow.act, self.fast.act
        parts = [slow.reading(), slow.doing("slow")]
        parts.insert(self.place.index, ["stop here"])
        steps = [step for part in parts for step in part] + slow.ending()
        return steps, [*fast.reading(), "stop there", *fast.doing("fast"), *fast.ending()]


def _frees_early(act: Act) -> bool:
    """Whether an act gives the lease back, or ends the record, before it is saved."""
    return act.ends or act is Act.COMMITS


_REQUESTS: t.Final = [Request(act, method) for act in Act for method in ("GET", "POST")]

CASES: t.Final = [
    case
    for parts in itertools.product(_REQUESTS, Place, _REQUESTS)
    if (case := Case(*parts)).matters
]


@dataclasses.dataclass
class Stored:
    """What the store has of the session."""

    items: Items
    refuses: str | None = None
    """Why nobody is served who comes with the id of before: it is gone, or was passed."""
    holder: Told | None = None
    """Who has the lease, as others see it."""


class Told:
    """A request of the model.

    :param stored: what both requests share.
    :param same_process: whether they are in one process: there the lease of an ended record is
        free with its holder's request. Across processes nobody waits at an ended record.
    """

    def __init__(self, request: Request, who: str, stored: Stored, same_process: bool) -> None:
        self.act = request.act
        self.status = 200
        self.says = Says.NOTHING
        self.signals: list[Signal] = []
        self.seen: list[str | None] = []
        """What its steps read."""
        self.begun: Items = {}
        """Items of a session that it begins."""
        self._exclusive = request.exclusive
        self._writes = request.act.writes(who)
        self._stored = stored
        self._same_process = same_process
        self._found: Items = {}
        """The items as it saw them."""
        self._refused: str | None = None

    def reads(self) -> None:
        """The first touch: from here on it knows what it has."""
        if self.act is not Act.TOUCHES_NOTHING:
            self._look()
            if self._exclusive and self._refused is None:
                self._stored.holder = self

    def does(self) -> None:
        """What happens when it is called for."""
        match self.act:
            case Act.ABANDONS:
                if self._refused != "gone" and self._is_served():
                    self.says = Says.DELETED
                    self._stored.refuses = "gone"
            case Act.REVOKES:
                self._stored.refuses = "gone"
            case Act.EXPIRES:
                if self._refused is None:
                    self._commits(self._end)
            case Act.RELOADS:
                self._look()
            case Act.COMMITS:
                self._commits(self._write)
        if _frees_early(self.act) and not (self.act is Act.REVOKES and self._same_process):
            self._leaves()

    def saves(self) -> None:
        """What happens with the response."""
        if self.act is Act.RAISES:
            self.status = 500
        elif self.act is Act.COMMITS:
            if self.says is not Says.ANOTHER and self._stored.refuses is not None:
                self.says = Says.NOTHING
        elif self._writes:
            self._write()
        self._leaves()

    def _look(self) -> None:
        self._refused = self._stored.refuses
        self._found = dict(self._stored.items) if self._refused is None else {}
        self.seen.append(self._found.get("a"))

    def _leaves(self) -> None:
        if self._stored.holder is self:
            self._stored.holder = None

    def _is_served(self) -> bool:
        reason = self._refused or self._stored.refuses
        if reason is not None:
            self.signals.append(["conflict", reason])
        return reason is None

    def _commits(self, change: t.Callable[[], bool]) -> None:
        """What is committed early raises where it is refused."""
        if not change():
            self.status = 409

    def _end(self) -> bool:
        if not self._is_served():
            return False
        self._stored.refuses = "gone"
        return True

    def _write(self) -> bool:
        if self._refused == "gone":
            # To this request the id is unknown like any other, and a session begins with it.
            self.says, self.begun = Says.ANOTHER, self._writes
            return True
        if not self._is_served():
            return False
        items = self._stored.items
        lost = [name for name in self._writes if items[name] != self._found[name]]
        if lost:
            self.signals.append(["conflict", "changed", *lost])
        items.update(self._writes)
        self.says = Says.SAME
        if self.act is Act.REGENERATES:
            self.says, self._stored.refuses = Says.RENEWED, "passed"
        return True


class Foretold(t.NamedTuple):
    """What must become of an overlap."""

    slow: Told
    fast: Told
    waits: bool
    """Whether the fast one waits until the slow one is saved."""
    items: Items
    """What the browser's next request finds."""
    same: bool
    """Whether that is in the session of before."""
    old_id_works: bool
    """Whether who has kept the id of before is still served."""


def foretell(case: Case, same_process: bool) -> Foretold:
    """Play an overlap by the rules alone."""
    stored = Stored(dict(FIRST))
    slow = Told(case.slow, "slow", stored, same_process)
    fast = Told(case.fast, "fast", stored, same_process)
    before = [slow.reads, slow.does][: case.place.index]
    after = [slow.reads, slow.does, slow.saves][case.place.index :]
    for step in before:
        step()
    waits = case.fast.exclusive and stored.holder is not None
    fast_steps = [fast.reads, fast.does, fast.saves]
    for step in [*after, *fast_steps] if waits else [*fast_steps, *after]:
        step()
    same = stored.refuses != "gone"
    items = stored.items if same else {}
    for request in (slow, fast) if waits else (fast, slow):  # the order of their responses
        if request.says in (Says.ANOTHER, Says.DELETED):
            same, items = False, request.begun
    return Foretold(slow, fast, waits, items, same, stored.refuses is None)
