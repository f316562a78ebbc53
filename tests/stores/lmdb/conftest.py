"""Fixtures of the LMDB engine's tests."""

from __future__ import annotations

import pathlib

import pytest

from flask_state.stores.lmdb import verify


@pytest.fixture
def path(tmp_path: pathlib.Path) -> pathlib.Path:
    return tmp_path / "state"


@pytest.fixture
def checked_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Check without starting an interpreter: that takes most of a second."""
    monkeypatch.setattr(verify, "inspect_apart", verify.inspect)
