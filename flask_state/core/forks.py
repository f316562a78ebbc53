"""What happens to locks and other shared state when a process forks."""

from __future__ import annotations

import os
import threading
import typing as t
import weakref

_locks: weakref.WeakSet[threading.Lock] = weakref.WeakSet()
_held: list[threading.Lock] = []
"""Touched only by the thread that forks, between the hooks below."""


class Forgetful(t.Protocol):
    """Something that means nothing in a forked child."""

    def after_fork_in_child(self) -> None:
        """Forget what belongs to the parent. No other thread runs."""
        ...


_forgetful: weakref.WeakSet[Forgetful] = weakref.WeakSet()


def fork_safe_lock() -> threading.Lock:
    """A new lock that a forked child finds free.

    A child inherits every lock as it stood, and the thread that would release it does not
    exist there. So the forking thread takes these locks first: no guarded change is half made
    at the moment of the fork, and both sides release them. For that, none of them may be held
    while another one is taken, nor across I/O or the user's code.
    """
    lock = threading.Lock()
    _locks.add(lock)
    return lock


def after_fork_in_child(each: Forgetful) -> None:
    """Call its `after_fork_in_child` in every child that is forked while it exists."""
    _forgetful.add(each)


def _before() -> None:
    for lock in list(_locks):
        lock.acquire()
        _held.append(lock)


def _after() -> None:
    while _held:
        _held.pop().release()


def _after_in_child() -> None:
    _after()
    for each in list(_forgetful):
        each.after_fork_in_child()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before, after_in_parent=_after, after_in_child=_after_in_child)
