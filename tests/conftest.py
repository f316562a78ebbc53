"""What tests of every folder share."""

from __future__ import annotations

import collections.abc as cabc

import flask
import hypothesis
import pytest

from flask_state.testing import FakeClock

# A loaded machine is slow, not wrong; and a failure must be repeatable from what it prints.
hypothesis.settings.register_profile("tests", deadline=None, database=None, print_blob=True)
hypothesis.settings.load_profile("tests")


@pytest.fixture
def clock() -> FakeClock:
    """A clock that stands until the test moves it."""
    return FakeClock()


@pytest.fixture(autouse=True)
def _no_context_left_behind() -> cabc.Iterator[None]:
    """A pushed context that nobody popped would change every later test."""
    yield
    assert not flask.has_app_context(), "the test left an application context pushed"
