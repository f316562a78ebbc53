"""Sessions compared with plain dicts, through thousands of random steps.

`Visitors` sends whole requests, one after the other, of two browsers. `Overlaps` keeps several
requests of one browser open at the same time, and saves them in any order.
"""

from __future__ import annotations

import collections.abc as cabc
import copy
import pathlib
import tempfile
import typing as t
import unittest

import flask
import hypothesis
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine
from hypothesis.stateful import initialize
from hypothesis.stateful import invariant
from hypothesis.stateful import precondition
from hypothesis.stateful import rule

from flask_state import Session
from flask_state import session
from tests.core.test_codec import shape
from tests.session.site import COOKIE
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


def steps() -> st.SearchStrategy[Step]:
    """One thing to do to a session: a verb, a name, a value."""
    named = st.sampled_from(
        [
            "set",
            "set",
            "set",
            "delete",
            "get",
            "in",
            "pop",
            "pop or",
            "setdefault",
            "mutate",
            "mutate",
            "mutate",
            "replace by equal",
        ]
    )
    whole = st.sampled_from(
        [
            "popitem",
            "update",
            "clear",
            "len",
            "names",
            "reversed",
            "items",
            "at",
            "copy",
            "equal",
            "bool",
            "commit",
            "reload",
            "abandon",
            "regenerate",
            "modified",
            "new",
            "or",
        ]
    )
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
        new = {name: value for name in NAMES[: number + 3 : 2]}
        user.update(copy.deepcopy(new))
        model.view.update(copy.deepcopy(new))
        for name in new:
            model.changed(name)

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


class _Machine(RuleBasedStateMachine):
    """A site on an engine, for one example."""

    engine: t.ClassVar[str]

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.site = Site(engine_url(self.engine, pathlib.Path(self.folder.name)))

    def teardown(self) -> None:
        self.site.close()
        self.folder.cleanup()


class Visitors(_Machine):
    """Two browsers, request after request."""

    def __init__(self) -> None:
        super().__init__()
        self.browsers = [self.site.browser(), self.site.browser()]
        self.stored: list[dict[str, t.Any] | None] = [None, None]
        self.to_deliver = 0

    def cookie(self, who: int) -> str | None:
        """The id a browser holds."""
        cookie = self.browsers[who].get_cookie(COOKIE)
        return cookie.value if cookie is not None else None

    @rule(
        who=st.integers(0, 1),
        todo=st.lists(steps(), max_size=7),
        status=st.sampled_from([200, 200, 200, 404, 500]),
    )
    def request(self, who: int, todo: list[Step], status: int) -> None:
        """Some steps in one request; one with status 500 keeps what was committed before."""
        model = Model(self.stored[who])
        before = self.cookie(who)

        def task() -> flask.Response:
            user = session._get_current_object()  # type: ignore[attr-defined]
            for step in todo:
                take(step, user, model)
            return flask.Response(status=status)

        visit = self.site.visit(self.browsers[who], task)
        assert visit.response.status_code == status
        model.discard() if status == 500 else model.save()
        self.stored[who] = model.stored
        self.to_deliver += len(model.handed_over)
        self.check_cookie(who, before, model)

    def check_cookie(self, who: int, before: str | None, model: Model) -> None:
        """The browser holds an id if there is a session, and a new one where it has to be."""
        after = self.cookie(who)
        assert (after is None) == (model.stored is None)
        if before and after and not model.handed_over:
            assert before[:10] == after[:10]
            assert (before != after) == model.renewed
        if before and after and model.handed_over:
            assert before[:10] != after[:10]

    @rule(who=st.integers(0, 1))
    def look(self, who: int) -> None:
        """A request that reads everything, and writes nothing."""
        self.site.store.calls.clear()
        found = self.site.items(self.browsers[who])
        assert shape(found) == shape(self.stored[who] or {})
        assert set(self.site.store.calls) <= {"load"}

    @rule(who=st.integers(0, 1), name=names)
    def look_at_one(self, who: int, name: str) -> None:
        """A request that reads one item."""
        found = self.site.visit(self.browsers[who], lambda: session.get(name, "no")).value
        assert shape(found) == shape((self.stored[who] or {}).get(name, "no"))

    @rule(who=st.integers(0, 1))
    def revoke(self, who: int) -> None:
        """The session is ended from outside; the browser keeps its cookie and finds nothing."""
        id = self.cookie(who)
        with self.site.app.app_context():
            assert self.site.state.sessions.end(id[:10] if id else "a" * 10) == (id is not None)
        self.forget(who)

    @rule()
    def expire(self) -> None:
        """Everybody stays away for too long."""
        self.site.clock.advance(60 * 86_400)
        for who in (0, 1):
            self.forget(who)

    def forget(self, who: int) -> None:
        """The session of a browser is over."""
        if self.stored[who] is not None:
            self.to_deliver += 1
            assert self.site.items(self.browsers[who]) == {}
        self.stored[who] = None
        self.browsers[who].delete_cookie(COOKIE)

    @rule(who=st.integers(0, 1))
    def forge(self, who: int) -> None:
        """Somebody who knows the name of a session and not its secret."""
        id = self.cookie(who) or "a" * 36
        assert self.site.items(f"{COOKIE}={id[:10]}{'b' * 26}") == {}

    @rule()
    def sweep(self) -> None:
        """Every end is delivered, once."""
        self.site.events.clear()
        self.site.sweep()
        assert len(self.site.named("session_ended")) == self.to_deliver
        self.to_deliver = 0

    @invariant()
    def as_many_sessions_live_as_there_should(self) -> None:
        with self.site.app.app_context():
            living = self.site.state.sessions.count()
        assert living == sum(stored is not None for stored in self.stored)


class _Record:
    """What should be stored of the one session of `Overlaps`."""

    def __init__(self, items: dict[str, t.Any], id: str) -> None:
        self.items = items
        self.seen_in = dict.fromkeys(items, 1)
        """The version in which each item was set."""
        self.version = 1
        self.floor = 1
        self.id = id
        self.alive = True


class _Open:
    """One request under way, and what it did."""

    def __init__(self, user: Session, record: _Record) -> None:
        self.user = user
        self.base = copy.deepcopy(record.items)
        self.view = copy.deepcopy(record.items)
        self.seen_in = dict(record.seen_in)
        self.version = record.version
        self.fence = record.floor
        self.set: dict[str, bool] = {}
        self.removed: dict[str, None] = {}
        self.cleared = False
        self.renews = False

    def edits(self) -> dict[str, tuple[t.Any, bool]]:
        """New values, or None for none; and whether the item moves to the end."""
        edits: dict[str, tuple[t.Any, bool]] = {}
        known = {} if self.cleared else self.base
        for name in self.removed:
            if name in known:
                edits[name] = (None, False)
        for name, moved in self.set.items():
            edits[name] = ([self.view[name]], moved)
        for name, value in known.items():
            left_alone = name in self.view and name not in self.set and name not in self.removed
            if left_alone and shape(self.view[name]) != shape(value):
                edits[name] = ([self.view[name]], False)
        return edits


class Overlaps(_Machine):
    """Up to three requests of one session at the same time."""

    def __init__(self) -> None:
        super().__init__()
        self.under_way: list[_Open] = []
        self.record: _Record

    @initialize(first=st.dictionaries(names, values, min_size=1))
    def begin(self, first: dict[str, t.Any]) -> None:
        """A session is stored."""
        _, id = self.site.sign_in(**first)
        self.record = _Record(copy.deepcopy(first), id)

    def open(self, id: str) -> Session:
        """A session as a request with this id gets it."""
        builder = flask.Flask.request_class(
            {"HTTP_COOKIE": f"{COOKIE}={id}", "wsgi.url_scheme": "http", "SERVER_NAME": "x"}
        )
        opened = self.site.app.session_interface.open_session(self.site.app, builder)
        assert isinstance(opened, Session)
        return opened

    @precondition(lambda self: len(self.under_way) < 3 and self.record.alive)
    @rule()
    def arrive(self) -> None:
        """A request arrives, and reads everything."""
        user = self.open(self.record.id)
        one = _Open(user, self.record)
        assert shape(dict(user)) == shape(one.view)
        self.under_way.append(one)

    @precondition(lambda self: self.under_way)
    @rule(data=st.data(), name=names, value=values)
    def set(self, data: st.DataObject, name: str, value: t.Any) -> None:
        one = data.draw(st.sampled_from(self.under_way))
        one.user[name] = copy.deepcopy(value)
        one.view[name] = copy.deepcopy(value)
        one.set[name] = name in one.removed or one.set.get(name, False)
        one.removed.pop(name, None)

    @precondition(lambda self: self.under_way)
    @rule(data=st.data(), name=names)
    def remove(self, data: st.DataObject, name: str) -> None:
        one = data.draw(st.sampled_from(self.under_way))
        if name in one.view:
            del one.user[name]
            del one.view[name]
            one.set.pop(name, None)
            one.removed[name] = None

    @precondition(lambda self: self.under_way)
    @rule(data=st.data(), name=names, value=values)
    def change_inside(self, data: st.DataObject, name: str, value: t.Any) -> None:
        one = data.draw(st.sampled_from(self.under_way))
        if name in one.view and mutate(one.view[name], value):
            mutate(one.user[name], value)

    @precondition(lambda self: self.under_way)
    @rule(data=st.data())
    def clear(self, data: st.DataObject) -> None:
        one = data.draw(st.sampled_from(self.under_way))
        one.user.clear()
        one.view.clear()
        one.set.clear()
        one.removed.clear()
        one.cleared = True

    @precondition(lambda self: self.under_way)
    @rule(data=st.data())
    def renew(self, data: st.DataObject) -> None:
        one = data.draw(st.sampled_from(self.under_way))
        one.user.regenerate()
        one.renews = True

    @precondition(lambda self: self.under_way)
    @rule(data=st.data())
    def read(self, data: st.DataObject) -> None:
        """A request sees what it read and did, whatever the others do."""
        one = data.draw(st.sampled_from(self.under_way))
        assert shape(dict(one.user)) == shape(one.view)

    @precondition(lambda self: self.under_way)
    @rule(data=st.data())
    def leave(self, data: st.DataObject) -> None:
        """A request is saved."""
        one = data.draw(st.sampled_from(self.under_way))
        self.under_way.remove(one)
        self.site.events.clear()
        response = flask.Response()
        self.site.app.session_interface.save_session(self.site.app, one.user, response)
        self.settle(one, response)

    def settle(self, one: _Open, response: flask.Response) -> None:
        """What the save should have done, and whether it did."""
        record, edits = self.record, one.edits()
        sent = response.headers.getlist("Set-Cookie")
        told = self.site.named("session_conflict")
        if not (edits or one.cleared or one.renews):
            assert (sent, told) == ([], [])
            return
        if not record.alive or one.fence < record.floor:
            assert sent == []
            assert [each["reason"] for each in told] == ["passed" if record.alive else "gone"]
            return
        lost = self.apply(one, edits)
        assert set(told[0]["items"] if told else ()) == lost
        record.alive = bool(record.items)
        assert len(sent) == 1
        given = sent[0].partition(";")[0].partition("=")[2]
        if one.renews and record.alive:
            record.floor += 1
            assert given != record.id
            record.id = given
        assert given == (record.id if record.alive else "")

    def apply(self, one: _Open, edits: dict[str, tuple[t.Any, bool]]) -> cabc.Set[str]:
        """Merge a request's edits into the record, item by item; whose changes were lost."""
        record = self.record
        lost = set()
        if one.cleared:
            for name, version in record.seen_in.items():
                if version > one.version and name not in edits:
                    lost.add(name)
        for name, (new, _) in edits.items():
            seen = one.seen_in.get(name, one.version) if not one.cleared else one.version
            present = name in one.base and not one.cleared
            if name not in record.items:
                if present and new is not None:
                    lost.add(name)
            elif record.seen_in[name] > seen and (
                new is None or shape(new[0]) != shape(record.items[name])
            ):
                lost.add(name)
        if one.cleared:
            record.items.clear()
        if edits or one.cleared:
            record.version += 1
        for name, (new, moved) in edits.items():
            if new is None or moved:
                record.items.pop(name, None)
            if new is not None:
                record.items[name] = copy.deepcopy(new[0])
                record.seen_in[name] = record.version
        record.seen_in = {name: record.seen_in[name] for name in record.items}
        return lost

    @precondition(lambda self: not self.record.alive)
    @rule(first=st.dictionaries(names, values, min_size=1))
    def begin_again(self, first: dict[str, t.Any]) -> None:
        """Another session begins; requests of the one before may still be under way."""
        self.under_way.clear()
        self.begin(first)

    @invariant()
    def the_store_holds_what_it_should(self) -> None:
        if not hasattr(self, "record"):
            return
        found = dict(self.open(self.record.id))
        assert shape(found) == shape(self.record.items if self.record.alive else {})


def _case(machine: type[_Machine], engine: str, examples: int) -> type[unittest.TestCase]:
    """The test of a machine on an engine: the same examples every time."""
    name = f"{machine.__name__}On{engine.capitalize()}"
    derived: t.Any = type(name, (machine,), {"engine": engine})
    case: t.Any = derived.TestCase
    case.settings = hypothesis.settings(
        max_examples=examples,
        stateful_step_count=60,
        derandomize=True,
        deadline=None,
        suppress_health_check=[
            hypothesis.HealthCheck.too_slow,
            hypothesis.HealthCheck.filter_too_much,
        ],
    )
    return t.cast(type[unittest.TestCase], case)


TestVisitorsOnMemory = _case(Visitors, "memory", 40)
TestVisitorsOnLmdb = _case(Visitors, "lmdb", 15)
TestOverlapsOnMemory = _case(Overlaps, "memory", 40)
TestOverlapsOnLmdb = _case(Overlaps, "lmdb", 15)
