"""A plain dict beside a session: what random steps should do to both."""

from __future__ import annotations

import collections.abc as cabc
import copy
import pathlib
import tempfile
import typing as t
import unittest

import hypothesis
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine

from flask_state import Session
from tests.core.values import shape
from tests.session.site import Site
from tests.session.site import engine_url

NAMES: t.Final = ["a", "b", "c", "d", "é", ""]

names = st.sampled_from(NAMES)
leaves = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-5, 5),
    st.sampled_from([2**70, 1.5, -0.0, "", "text", b"bytes", (1, "x"), frozenset({1, 2})]),
)
values = st.recursive(
    leaves,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(st.sampled_from(["x", "y", 1, None]), inner, max_size=3),
        st.sets(st.integers(0, 3), max_size=3),
        st.tuples(inner, inner),
    ),
    max_leaves=5,
)

Step = tuple[str, t.Any, t.Any]

_NAMED: t.Final = (
    *("set", "set", "set", "delete", "get", "in", "pop", "pop or", "setdefault"),
    *("mutate", "mutate", "mutate", "replace by equal"),
)
"""What is done to one item; more often what is said more often."""
_WHOLE: t.Final = (
    *("popitem", "update", "clear", "len", "names", "reversed", "items", "at", "copy"),
    *("equal", "bool", "commit", "reload", "abandon", "regenerate", "modified", "new", "or"),
)


def steps() -> st.SearchStrategy[Step]:
    """One thing to do to a session: a verb, a name, a value."""
    named = st.sampled_from(_NAMED)
    whole = st.sampled_from(_WHOLE)
    return st.tuples(named, names, values) | st.tuples(whole, st.integers(-3, 3), values)


class Model:
    """What a session should be in one request: a plain dict, and what is stored of it."""

    def __init__(self, stored: dict[str, t.Any] | None) -> None:
        self.stored = copy.deepcopy(stored)
        self.view: dict[str, t.Any] = copy.deepcopy(stored or {})
        self.own: dict[str, None] | None = None
        """After an end: the names stored since, which begin a new session."""
        self.handed_over: list[dict[str, t.Any]] = []
        """Sessions that ended in this request, as they were stored."""
        self.touched = False
        self.committed = False
        self.renewed = False
        self._renews = False

    def changed(self, *set_names: str, removed: cabc.Iterable[str] = ()) -> None:
        """Something was set or removed."""
        self.touched = True
        if self.own is not None:
            self.own.update(dict.fromkeys(set_names))
            for name in removed:
                self.own.pop(name, None)

    def save(self) -> None:
        """What a commit makes of it."""
        kept = self.view if self.own is None else {name: self.view[name] for name in self.own}
        if self.stored and not kept:
            self.handed_over.append(self.stored)
        self.renewed = self.renewed or (self._renews and bool(kept))
        self.stored = copy.deepcopy(kept) or None
        self.discard()

    def discard(self) -> None:
        """Back to what is stored."""
        self.view = copy.deepcopy(self.stored or {})
        self.own, self.touched, self._renews = None, False, False

    def abandon(self) -> None:
        """The session ends in the store; the view stays."""
        if self.stored:
            self.handed_over.append(self.stored)
        self.stored = None
        self.own, self.touched, self._renews = {}, False, False

    def regenerate(self) -> None:
        """A new id with the next save."""
        if self.stored is not None and self.own is None:
            self._renews = self.touched = True

    def differs(self) -> bool:
        """Whether there is surely something to save."""
        if self.own is not None:
            return bool(self.own)
        return self._renews or shape(self.view) != shape(self.stored or {})


def mutate(value: t.Any, by: t.Any) -> bool:
    """Change a value in place, if it can be."""
    if isinstance(value, list):
        value.append(copy.deepcopy(by)) if len(value) < 4 else value.pop(0)
        return True
    if isinstance(value, dict):
        value["x"] = copy.deepcopy(by)
        return True
    if isinstance(value, set):
        value ^= {3}
        return True
    return isinstance(value, tuple) and any([mutate(part, by) for part in value])


def attempt(do: cabc.Callable[[], t.Any]) -> t.Any:
    """What is returned or raised, to compare."""
    try:
        return shape(do())
    except (KeyError, IndexError) as error:
        return type(error)


def take(step: Step, user: Session, model: Model) -> None:
    """Do the same to a session and to its model, and compare what comes of it."""
    verb, name, value = step
    do = getattr(_Verbs, verb.replace(" ", "_"), None)
    if do is not None:
        do(user, model, name, value)
    else:
        getattr(user, verb)()
        {"commit": model.save, "reload": model.discard}.get(
            verb, getattr(model, verb, model.discard)
        )()
        model.committed = model.committed or verb == "commit"


class _Verbs:
    """What can be done, by name: to the session, to the model, with a name or number, a value."""

    @staticmethod
    def set(user: Session, model: Model, name: str, value: t.Any) -> None:
        user[name] = copy.deepcopy(value)
        model.view[name] = copy.deepcopy(value)
        model.changed(name)

    @staticmethod
    def replace_by_equal(user: Session, model: Model, name: str, value: t.Any) -> None:
        if name in user:
            _Verbs.set(user, model, name, user[name])

    @staticmethod
    def delete(user: Session, model: Model, name: str, value: t.Any) -> None:
        there = name in model.view
        assert attempt(lambda: user.__delitem__(name)) == attempt(
            lambda: model.view.__delitem__(name)
        )
        if there:
            model.changed(removed=[name])

    @staticmethod
    def get(user: Session, model: Model, name: str, value: t.Any) -> None:
        assert attempt(lambda: user[name]) == attempt(lambda: model.view[name])
        assert shape(user.get(name, "no")) == shape(model.view.get(name, "no"))

    @staticmethod
    def in_(user: Session, model: Model, name: str, value: t.Any) -> None:
        assert (name in user) == (name in model.view)

    @staticmethod
    def pop(user: Session, model: Model, name: str, value: t.Any) -> None:
        there = name in model.view
        assert attempt(lambda: user.pop(name)) == attempt(lambda: model.view.pop(name))
        if there:
            model.changed(removed=[name])

    @staticmethod
    def pop_or(user: Session, model: Model, name: str, value: t.Any) -> None:
        if name in model.view:
            model.changed(removed=[name])
        assert shape(user.pop(name, None)) == shape(model.view.pop(name, None))

    @staticmethod
    def popitem(user: Session, model: Model, number: int, value: t.Any) -> None:
        last = list(model.view)[-1:]
        assert attempt(user.popitem) == attempt(model.view.popitem)
        if last:
            model.changed(removed=last)

    @staticmethod
    def setdefault(user: Session, model: Model, name: str, value: t.Any) -> None:
        if name not in model.view:
            model.changed(name)
        mine = user.setdefault(name, copy.deepcopy(value))
        theirs = model.view.setdefault(name, copy.deepcopy(value))
        assert shape(mine) == shape(theirs)
        if mutate(mine, 0):
            mutate(theirs, 0)
            model.touched = True

    @staticmethod
    def mutate(user: Session, model: Model, name: str, value: t.Any) -> None:
        if name in model.view and mutate(model.view[name], value):
            assert mutate(user[name], value)
            model.touched = True

    @staticmethod
    def update(user: Session, model: Model, number: int, value: t.Any) -> None:
        new = NAMES[: number + 3 : 2]
        user.update({name: copy.deepcopy(value) for name in new})
        model.view.update({name: copy.deepcopy(value) for name in new})
        model.changed(*new)

    @staticmethod
    def or_(user: Session, model: Model, number: int, value: t.Any) -> None:
        assert shape(dict(user) | {"b": value}) == shape(model.view | {"b": value})

    @staticmethod
    def clear(user: Session, model: Model, number: int, value: t.Any) -> None:
        gone = list(model.view)
        user.clear()
        model.view.clear()
        model.changed(removed=gone)

    @staticmethod
    def len(user: Session, model: Model, number: int, value: t.Any) -> None:
        assert user.__len__() == model.view.__len__()

    @staticmethod
    def bool(user: Session, model: Model, number: int, value: t.Any) -> None:
        assert (not user) == (not model.view)

    @staticmethod
    def names(user: Session, model: Model, number: int, value: t.Any) -> None:
        assert list(user) == list(user.keys()) == list(model.view)

    @staticmethod
    def reversed(user: Session, model: Model, number: int, value: t.Any) -> None:
        assert [*user.__reversed__()] == [*model.view.__reversed__()]

    @staticmethod
    def items(user: Session, model: Model, number: int, value: t.Any) -> None:
        assert shape(dict(user.items())) == shape(model.view)
        assert shape(list(user.values())) == shape(list(model.view.values()))

    @staticmethod
    def at(user: Session, model: Model, number: int, value: t.Any) -> None:
        assert attempt(lambda: user.at(number)) == attempt(
            lambda: list(model.view.values())[number]
        )

    @staticmethod
    def copy(user: Session, model: Model, number: int, value: t.Any) -> None:
        assert shape(user.copy()) == shape(model.view)

    @staticmethod
    def equal(user: Session, model: Model, number: int, value: t.Any) -> None:
        assert user == model.view
        assert user != {**model.view, "another": 1}

    @staticmethod
    def modified(user: Session, model: Model, number: int, value: t.Any) -> None:
        if model.differs():
            assert user.modified
        elif not model.touched and not model.committed:
            assert not user.modified

    @staticmethod
    def new(user: Session, model: Model, number: int, value: t.Any) -> None:
        assert user.new == (model.stored is None)


setattr(_Verbs, "in", _Verbs.in_)
setattr(_Verbs, "or", _Verbs.or_)


class Machine(RuleBasedStateMachine):
    """A site on an engine, for one example."""

    engine: t.ClassVar[str]

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.site = Site(engine_url(self.engine, pathlib.Path(self.folder.name)))

    def teardown(self) -> None:
        self.site.close()
        self.folder.cleanup()


def on_engine(machine: type[Machine], engine: str, examples: int) -> type[unittest.TestCase]:
    """The test of a machine on an engine: the same examples every time."""
    name = f"{machine.__name__}On{engine.capitalize()}"
    derived: t.Any = type(name, (machine,), {"engine": engine})
    case: t.Any = derived.TestCase
    case.settings = hypothesis.settings(
        max_examples=examples,
        stateful_step_count=60,
        derandomize=True,
        deadline=None,
        # Every example has many steps: to shrink one takes longer than to read it.
        phases=[hypothesis.Phase.generate],
        suppress_health_check=[
            hypothesis.HealthCheck.too_slow,
            hypothesis.HealthCheck.filter_too_much,
        ],
    )
    return t.cast(type[unittest.TestCase], case)
