"""Two requests of one session at once, in each access mode."""

from __future__ import annotations

import contextlib
import threading
import time
import types
import typing as t
from concurrent.futures import ThreadPoolExecutor

import pytest
from flask.testing import FlaskClient

from demo_app import tabs
from tests.demo.visitor import copy_of
from tests.demo.visitor import hidden
from tests.demo.visitor import post


class TestTabs:
    def run_two(
        self, client: FlaskClient, monkeypatch: pytest.MonkeyPatch, mode: str
    ) -> list[dict[str, t.Any]]:
        """Two requests whose work overlaps where both are let in."""
        meet = threading.Barrier(2)

        def work(seconds: float) -> None:
            with contextlib.suppress(threading.BrokenBarrierError):
                meet.wait(0.3 if mode == "exclusive" else 10)

        monkeypatch.setattr(tabs, "time", types.SimpleNamespace(time=time.time, sleep=work))
        token = hidden(client.get("/tabs").text, "csrf_token")
        with ThreadPoolExecutor() as browser:
            sent = [
                browser.submit(copy_of(client).post, f"/tabs/{mode}", data={"csrf_token": token})
                for _ in range(2)
            ]
            runs: list[dict[str, t.Any]] = [each.result().get_json() for each in sent]
        return sorted(runs, key=lambda run: run["opened"])

    def test_merge_loses_a_count(
        self, client: FlaskClient, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        runs = self.run_two(client, monkeypatch, "merge")
        assert [run["seen"] for run in runs] == [0, 0]
        assert client.get("/tabs/counter").json == {"counter": 1}

    def test_exclusive_loses_none(
        self, client: FlaskClient, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        first, second = self.run_two(client, monkeypatch, "exclusive")
        assert [first["seen"], second["seen"]] == [0, 1]
        assert second["opened"] >= first["done"] >= first["opened"] >= first["arrived"]
        assert client.get("/tabs/counter").json == {"counter": 2}

    def test_readonly_changes_nothing(
        self, client: FlaskClient, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        runs = self.run_two(client, monkeypatch, "readonly")
        assert all("readonly" in run["refused"] for run in runs)
        assert client.get("/tabs/counter").json == {"counter": 0}

    @pytest.mark.parametrize("mode", tabs.MODES)
    def test_by_hand_it_takes_a_page(
        self, client: FlaskClient, monkeypatch: pytest.MonkeyPatch, mode: str
    ) -> None:
        monkeypatch.setattr(tabs, "WORK_BY_HAND", 0)
        assert "Tab two" in client.get(f"/tabs/by-hand/{mode}?tab=two").text
        assert "Tab two: from 0" in post(client, f"/tabs/{mode}", {"tab": "two"}).text
        assert client.get("/tabs/by-hand/never").status_code == 404
