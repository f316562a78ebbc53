"""Servers for these tests: started once for the tests of a file, their logs shown on failure."""

from __future__ import annotations

import collections.abc as cabc

import pytest

from tests.rig.coordinator import Coordinator
from tests.rig.deployments import LMDB
from tests.rig.deployments import Deployment
from tests.rig.gunicorn import Gunicorn


@pytest.fixture(scope="module")
def coordinator() -> cabc.Iterator[Coordinator]:
    """Lets a test decide which request goes on."""
    with Coordinator() as coordinator:
        yield coordinator


@pytest.fixture(scope="module")
def deployment() -> Deployment:
    """How the application is served, where a test doesn't say otherwise."""
    return LMDB


@pytest.fixture(scope="module")
def running(
    coordinator: Coordinator, deployment: Deployment, tmp_path_factory: pytest.TempPathFactory
) -> cabc.Iterator[Gunicorn]:
    """A server for the tests of a file."""
    with deployment.serve(coordinator, tmp_path_factory.mktemp("server")) as server:
        yield server


@pytest.fixture
def server(running: Gunicorn) -> cabc.Iterator[Gunicorn]:
    """A server that other tests of the file use too. Fails the test where it logs an exception."""
    running.news()
    yield running
    running.check_log()
