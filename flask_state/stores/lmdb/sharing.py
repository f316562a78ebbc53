"""Stores on one directory share its environment, whatever their number and applications."""

from __future__ import annotations

import contextlib
import os
import typing as t
import weakref

from ...core.forks import fork_safe_lock
from ...errors import ConfigurationError
from ...errors import StoreError
from .environment import Environment
from .failures import ENGINE
from .failures import NoRoom
from .gate import abandon_all_gates
from .records import Transaction

_DROPS = 20
"""Batches to drop at most before a commit that found no room is tried again."""

R = t.TypeVar("R")
Ts = t.TypeVarTuple("Ts")

_lock = fork_safe_lock()
_environments: weakref.WeakValueDictionary[str, Environment] = weakref.WeakValueDictionary()


class Access:
    """A store's part in the environment of its directory, taken at its first use.

    :param path: the directory; a relative one is that of the moment.
    :param durability: ``"process"`` or ``"disk"``: what a commit outlives.
    :param timeout: seconds to wait for other writers at most.
    :raise ConfigurationError: there is no such durability.
    """

    def __init__(self, path: str | os.PathLike[str], durability: str, timeout: float) -> None:
        if durability not in ("process", "disk"):
            raise ConfigurationError(
                f"lmdb://: durability must be process or disk, not {durability!r}"
            )
        self._path = os.path.abspath(path)
        self._durable = durability == "disk"
        self._timeout = timeout
        self._name = object()
        self._leave: t.Callable[[], object] | None = None
        self.environment: Environment | None = None
        """The environment, or None before `join` and after `close`."""

    def join(self) -> Environment:
        """The environment.

        :raise ConfigurationError: another store has it with another durability.
        """
        parent, name = os.path.split(self._path)
        path = os.path.join(os.path.realpath(parent), name)
        made = Environment(path)
        with _lock:
            if self.environment is not None:
                return self.environment
            environment = _environments.setdefault(path, made)
            if environment.users and environment.durable != self._durable:
                raise ConfigurationError(
                    f"two stores of this process use {path}, one with durability=disk and one "
                    "without; give both the same URL"
                )
            environment.durable = self._durable
            environment.users.add(self._name)
            self._leave = weakref.finalize(self, _leave, environment, self._name)
            self.environment = environment
        return environment

    def close(self) -> None:
        """Leave the environment; the last one closes it."""
        with _lock:
            leave, self._leave, self.environment = self._leave, None, None
        if leave is not None:
            leave()

    def reserved(self) -> int:
        """Bytes of address space the environment was granted; what isn't open has none."""
        return self.environment.reserved if self.environment is not None else 0

    def read(
        self,
        operation: str,
        work: t.Callable[[Transaction, *Ts], R],
        *args: *Ts,
    ) -> R:
        """`Environment.read`, joining first where it must be."""
        environment = self.environment or self.join()
        return environment.read(operation, work, *args)

    def write(
        self,
        operation: str,
        work: t.Callable[[Transaction, *Ts], R],
        *args: *Ts,
    ) -> R:
        """`Environment.write`, where a full disk is a `StoreError` too."""
        environment = self.environment or self.join()
        try:
            return environment.write(operation, self._timeout, work, *args)
        except NoRoom as full:
            raise StoreError(str(full), engine=ENGINE, operation=operation) from full

    def write_with_room(
        self,
        operation: str,
        drop: t.Callable[[Transaction], int],
        work: t.Callable[[Transaction, *Ts], R],
        *args: *Ts,
    ) -> R:
        """The same, but where there is no room some is made and the work done once more.

        :param drop: removes a small batch of what nobody can see any more; returns how many
            entries it took up.
        """
        environment = self.environment or self.join()
        try:
            return environment.write(operation, self._timeout, work, *args)
        except NoRoom:
            with contextlib.suppress(NoRoom):
                for _ in range(_DROPS):
                    if not environment.write(operation, self._timeout, drop):
                        break
        return self.write(operation, work, *args)


def _leave(environment: Environment, name: object) -> None:
    """Takes no lock of this file: the garbage collector may call it inside of one."""
    environment.users.discard(name)
    environment.close_if_unused()


def _before_fork() -> None:
    for environment in list(_environments.values()):
        environment.before_fork()


def _after_fork_in_parent() -> None:
    for environment in list(_environments.values()):
        environment.after_fork_in_parent()


def _after_fork_in_child() -> None:
    abandon_all_gates()
    for environment in list(_environments.values()):
        environment.after_fork_in_child()


os.register_at_fork(
    before=_before_fork,
    after_in_parent=_after_fork_in_parent,
    after_in_child=_after_fork_in_child,
)
