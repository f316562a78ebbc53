"""What the tests of sessions share: a site on each engine."""

from __future__ import annotations

import collections.abc as cabc
import pathlib

import pytest

from tests.session.site import ENGINES
from tests.session.site import Site
from tests.session.site import engine_url


@pytest.fixture(params=ENGINES)
def url(request: pytest.FixtureRequest, tmp_path: pathlib.Path) -> str:
    """The URL of an empty store, on each engine."""
    return engine_url(request.param, tmp_path)


@pytest.fixture
def site(url: str) -> cabc.Iterator[Site]:
    """A site over an empty store, on each engine."""
    site = Site(url)
    yield site
    site.close()
