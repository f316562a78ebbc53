"""Under gevent nothing in the engine stops the other greenlets."""

from __future__ import annotations

import json
import pathlib
import subprocess
import sys
import typing as t

import pytest

pytest.importorskip("gevent")

START = """
from gevent import monkey; monkey.patch_all()
import gevent, json, os, sys, time
from flask_state.errors import StoreError
from flask_state.stores.base import Change, Edit
from flask_state.stores.lmdb import copies, environment, verify
from flask_state.stores.lmdb.sessions import LMDBSessionStore
path = sys.argv[1]
store = LMDBSessionStore(path, gate_timeout=0.5)
ticks = 0
def tick():
    global ticks
    while True:
        gevent.sleep(0.005)
        ticks += 1
def create(locator, **items):
    edits = {name: Edit(value, 0) for name, value in items.items()}
    change = Change(create=True, proof=b"p" * 16, lives=1000.0, items=edits)
    assert store.commit(locator, change, None).refused is None
def load(locator):
    loaded = store.load(locator, (b"p" * 16,), None)
    return {name: item.value.decode() for name, item in loaded.items.items()}
gevent.spawn(tick)
"""


def run(path: pathlib.Path, code: str) -> t.Any:
    """Run code in a patched process; what it prints as JSON."""
    command = [sys.executable, "-c", START + code, str(path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


HELD = """
create("a" * 10, n=b"0")
read, write = os.pipe()
if not os.fork():
    other = LMDBSessionStore(path)
    def hold(txn):
        os.write(write, b"1")
        monkey.get_original("time", "sleep")(60)
    other._access.write("hold", hold)
gevent.sleep(0)
os.read(read, 1)
before, failed = ticks, []
def commit():
    try:
        store.commit("a" * 10, Change(items={"n": Edit(b"1", 9)}), None)
    except StoreError as error:
        failed.append(str(error))
gevent.joinall([gevent.spawn(commit) for _ in range(20)])
during = ticks - before
loaded = load("a" * 10)
os.kill(int(failed[0].split("process ")[1].split()[0]), 9)
commit()
print(json.dumps([during, len(failed), loaded, load("a" * 10)]))
"""


def test_greenlets_run_while_another_process_holds_the_gate(tmp_path: pathlib.Path) -> None:
    """20 of them wait for half a second; a ticker would tick a hundred times alone."""
    ticks, failed, loaded, after = run(tmp_path / "state", HELD)
    assert ticks > 30
    assert failed == 20
    assert loaded == {"n": "0"}
    assert after == {"n": "1"}


BUSY = """
for number in range(20):
    create("l%09d" % number, n=b"0")
def work(number):
    for step in range(30):
        store.commit("l%09d" % (step % 20), Change(items={f"{number}-{step}": Edit(b"1", 9)}), None)
        gevent.sleep(0)
gevent.joinall([gevent.spawn(work, number) for number in range(20)], raise_error=True)
print(json.dumps(sum(len(load("l%09d" % number)) for number in range(20))))
"""


def test_greenlets_that_commit_at_once_lose_nothing(tmp_path: pathlib.Path) -> None:
    assert run(tmp_path / "state", BUSY) == 20 * 30 + 20


CHECKED = """
copies.EVERY = 0.2
environment.FORK_WAIT = 1e6  # nothing waits for what the forking greenlet itself holds
create("a" * 10, n=b"0")
store.close()
open(os.path.join(path, "boot"), "w").write("of another boot")
before = ticks
loaded = load("a" * 10)
during = ticks - before
create("b" * 10, n=b"1")
while not os.path.exists(os.path.join(path, "copy.mdb")):
    gevent.sleep(0.001)
print(json.dumps([during, loaded, verify.inspect(os.path.join(path, "copy.mdb")).sound]))
"""


def test_a_check_and_a_copy_leave_the_greenlets_running(tmp_path: pathlib.Path) -> None:
    """The check forks a process inside the opening, which under gevent runs the fork's hooks."""
    ticks, loaded, sound = run(tmp_path / "state", CHECKED)
    assert ticks > 3
    assert loaded == {"n": "0"}
    assert sound
