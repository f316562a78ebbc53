"""One session under several requests at the same time, compared with a dict of items.

They are saved in any order; the model merges what each of them did, item by item.
"""

from __future__ import annotations

import collections.abc as cabc
import copy
import typing as t

import flask
from hypothesis import strategies as st
from hypothesis.stateful import initialize
from hypothesis.stateful import invariant
from hypothesis.stateful import precondition
from hypothesis.stateful import rule

from flask_state import Session
from tests.core.values import shape
from tests.session.model import Machine
from tests.session.model import mutate
from tests.session.model import names
from tests.session.model import on_engine
from tests.session.model import values
from tests.session.site import COOKIE


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


class Overlaps(Machine):
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


TestOverlapsOnMemory = on_engine(Overlaps, "memory", 40)
TestOverlapsOnLmdb = on_engine(Overlaps, "lmdb", 15)
