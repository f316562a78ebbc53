"""The one environment of a directory in this process: its transactions, opened and closed.

A fork is the trap of this engine. A child that goes on with its parent's environment seems to
work and loses other people's commits; one that closes it may hang. So the parent closes its
environment before the fork, when no transaction is running, and both open it again when they
need it. Where a transaction won't end, the parent keeps its environment and the child refuses
to work: nothing can stop a fork that has begun.
"""

from __future__ import annotations

import _thread
import contextlib
import os
import threading
import typing as t

import lmdb

from ...core.clock import SystemClock
from ...errors import StoreError
from . import boot
from . import opening
from . import recovery
from .copies import Copier
from .failures import ENGINE
from .failures import ERRORS
from .failures import NoRoom
from .failures import explain
from .failures import failed
from .failures import is_full
from .failures import is_suspect
from .folder import Folder
from .gate import Gate
from .gate import GateClosed
from .gate import GateTimeout
from .locks import pauses
from .opening import LOOK_EVERY
from .opening import Opened
from .presence import Presence
from .records import Transaction

FORK_WAIT: t.Final = 10.0
"""Seconds for which a fork waits for running transactions. They take milliseconds."""
_OPEN_WAIT = 5.0
_CLOSE_WAIT = 5.0
_SETTLE_WAIT = 0.5
_ATTEMPTS = 5

_INHERITED = (
    "this process was forked while its parent had the data open, and can't use it: "
    "the server must fork through os.fork, or before the first session is used"
)

R = t.TypeVar("R")
Ts = t.TypeVarTuple("Ts")

monotonic: t.Callable[[], float] = SystemClock.monotonic
getpid: t.Callable[[], int] = os.getpid
get_ident: t.Callable[[], int] = _thread.get_ident


class Environment:
    """The environment of a directory, opened when it is first used.

    :param path: the directory, absolute, its parents real.
    """

    def __init__(self, path: str) -> None:
        self.folder: Folder = Folder(path)
        self.durable = False
        """Every commit waits for the disk. Set by the first user."""
        self.users: set[object] = set()
        self.presence: Presence = Presence(self.folder.presence)
        """Used in transactions alone. It outlasts what is closed for a fork: so do leases."""
        self.reserved: int = 0
        """Bytes of address space that were granted when it was opened."""
        self._opened: Opened | None = None
        self._opening = threading.Lock()
        """Held while the environment is opened or closed."""
        self._opener = 0
        """The thread that opens."""
        self._ready_to_fork = False
        self._running: dict[int, None] = {}
        """The threads inside a transaction. Who begins one adds itself, then looks at `_opened`;
        who closes clears `_opened`, then waits until nobody is left. That needs no lock."""
        self._unusable = ""
        """Why this process can't use the directory."""
        self._copier = Copier(self.folder, self._copy)

    def read(
        self,
        operation: str,
        work: t.Callable[[Transaction, *Ts], R],
        *args: *Ts,
    ) -> R:
        """Call `work` in a read transaction.

        :param operation: what it is for, such as ``"load"``, for errors.
        :param work: must be quick, never yield, and return nothing of the transaction's.
        :raise StoreError: the engine failed.
        """
        attempts = _ATTEMPTS
        while True:
            failure: BaseException | None = None
            thread = get_ident()
            self._running[thread] = None
            try:
                opened = self._opened
                if opened and monotonic() < opened.look_at and getpid() == opened.pid:
                    with opened.env.begin() as txn:
                        return work(txn, *args)
            except ERRORS as error:
                failure = error
            finally:
                self._running.pop(thread, None)
            attempts -= 1
            if opened and failure:
                self._mend(operation, opened, failure, attempts)
            self._current(operation)

    def write(
        self,
        operation: str,
        timeout: float,
        work: t.Callable[[Transaction, *Ts], R],
        *args: *Ts,
    ) -> R:
        """Call `work` as the only writer and commit what it did, all or nothing.

        :param timeout: seconds to wait for other writers at most.
        :param work: must be quick and never yield. What it raises undoes what it did.
        :raise NoRoom: the disk is full, and nothing was changed.
        :raise StoreError: somebody else wrote all the time, or the engine failed.
        """
        attempts = _ATTEMPTS
        while True:
            opened = self._current(operation)
            gate = opened.gate
            try:
                waited = gate.enter(timeout)
            except GateClosed:
                continue
            except GateTimeout as error:
                raise StoreError(str(error), engine=ENGINE, operation=operation) from None
            failure: BaseException | None = None
            thread = get_ident()
            self._running[thread] = None
            try:
                if waited and self._is_replaced(opened):
                    opened.look_at = 0.0
                elif self._opened is opened:
                    with opened.env.begin(write=True) as txn:
                        result = work(txn, *args)
                    if not self.durable:
                        self._copier.written()
                    return result
            except ERRORS as error:
                failure = error
            finally:
                self._running.pop(thread, None)
                gate.leave()
            attempts -= 1
            if failure and is_full(failure):
                raise NoRoom(explain(failure)) from failure
            if failure:
                self._mend(operation, opened, failure, attempts)

    def close_if_unused(self) -> None:
        """Close if no user is left, and say that the data is clean if nobody else has it open."""
        if self.users or not self._opening.acquire(timeout=_CLOSE_WAIT):
            return
        try:
            if not self.users and self._shut(_CLOSE_WAIT, settle=True):
                self.presence.close()
        finally:
            self._opening.release()

    # Forks

    def before_fork(self) -> None:
        """Close, and keep everybody from opening until the fork is over."""
        if self._opener == threading.get_ident():
            # To start the check of the data, under gevent: nothing is open, nothing is running.
            self._ready_to_fork = True
            return
        self._ready_to_fork = self._opening.acquire(timeout=FORK_WAIT)
        if self._ready_to_fork:
            self._ready_to_fork = self._shut(FORK_WAIT)
            if not self._ready_to_fork:
                self._opening.release()

    def after_fork_in_parent(self) -> None:
        """Let it be opened again."""
        if self._ready_to_fork and self._opener != threading.get_ident():
            self._opening.release()
        self._ready_to_fork = False

    def after_fork_in_child(self) -> None:
        """Forget the parent's threads and, if it could not be closed, its environment."""
        self._opening = threading.Lock()
        self._opener = 0
        self._running = {}
        self._copier = Copier(self.folder, self._copy)
        self.presence.close()
        opened, self._opened = self._opened, None
        if opened is not None or not self._ready_to_fork:
            self._unusable = _INHERITED
        self._ready_to_fork = False
        if opened is not None:
            opened.leave()
            _inherited.append(opened)

    # Opening and closing

    def _current(self, operation: str) -> Opened:
        """The environment, opened where it must be and looked at where it is time."""
        opened = self._opened
        if opened and monotonic() < opened.look_at and getpid() == opened.pid:
            return opened
        if self._unusable or (opened and opened.pid != getpid()):
            raise StoreError(self._unusable or _INHERITED, engine=ENGINE, operation=operation)
        if opened and not self._is_replaced(opened):
            opened.look_at = monotonic() + LOOK_EVERY
            self._check_readers(opened)
            return opened
        if not self._opening.acquire(timeout=_OPEN_WAIT):
            raise StoreError(
                "another thread of this process is opening or checking the data",
                engine=ENGINE,
                operation=operation,
            )
        self._opener = threading.get_ident()
        try:
            if opened and self._opened is opened:
                self._shut(_CLOSE_WAIT)
            if self._opened is None:
                opened = self._open()
                self.reserved = opened.env.info()["map_size"]
                self._opened = opened
            return self._opened
        finally:
            self._opener = 0
            self._opening.release()

    def _open(self) -> Opened:
        error: BaseException | None = None
        for _ in range(3):
            self.folder.prepare()
            with self.folder.locked(_OPEN_WAIT):
                try:
                    if boot.needs_check(self.folder):
                        recovery.recover(self.folder, _OPEN_WAIT)
                        continue  # the directory may be another one now
                    self.presence.open()
                    return opening.open_folder(self.folder, self.durable)
                except opening.Damaged as damaged:
                    error = damaged
                except ERRORS as failure:
                    if not opening.may_be_damaged(failure):
                        raise failed("open", failure) from failure
                    error = failure
                boot.mark_suspect(self.folder, str(error))
        raise StoreError(
            f"{self.folder.data} can't be opened ({error})", engine=ENGINE, operation="open"
        ) from error

    def _shut(self, wait: float, *, settle: bool = False) -> bool:
        """Close when the last transaction has ended; False if that takes too long.

        Then the environment stays open, unless its data was replaced: nobody will use it.
        """
        opened, self._opened = self._opened, None
        if opened is None:
            return True
        opened.gate.close()
        for _ in pauses(wait):
            if not self._running and opened.gate.empty:
                break
        if self._running or not opened.gate.empty:
            if self._is_replaced(opened):
                _inherited.append(opened)
                return True
            opened.gate = Gate(self.folder.gate)
            self._opened = opened
            return False
        if settle:
            self._settle(opened)
        opened.close()
        return True

    def _settle(self, opened: Opened) -> None:
        with contextlib.suppress(StoreError, *ERRORS), self.folder.locked(_SETTLE_WAIT):
            if not self._is_replaced(opened):
                opening.settle_and_leave(opened, self.folder)

    def _is_replaced(self, opened: Opened) -> bool:
        return self.folder.identity() != opened.identity

    # Failures

    def _mend(self, operation: str, opened: Opened, failure: BaseException, attempts: int) -> None:
        """Do what makes another attempt sensible after a failure, or raise."""
        if attempts > 0 and isinstance(failure, lmdb.ReadersFullError):
            self._check_readers(opened)
            return
        if attempts > 0 and isinstance(failure, lmdb.MapResizedError):
            self._reopen(opened)
            return
        if is_suspect(failure):
            boot.mark_suspect(self.folder, str(failure))
            self._reopen(opened)
        raise failed(operation, failure) from failure

    def _reopen(self, opened: Opened) -> None:
        """Close, to be opened again at the next use."""
        with self._opening:
            if self._opened is opened:
                self._shut(_CLOSE_WAIT)

    def _check_readers(self, opened: Opened) -> None:
        """Free the places of readers that were killed."""
        thread = get_ident()
        self._running[thread] = None
        try:
            if self._opened is opened:
                opened.env.reader_check()
        finally:
            self._running.pop(thread, None)

    def _copy(self, descriptor: int) -> bool:
        """Write all data, without unused pages, to a file. False where nothing is open."""
        thread = get_ident()
        self._running[thread] = None
        try:
            opened = self._opened
            if opened is None or self._is_replaced(opened):
                return False
            opened.env.copyfd(descriptor, compact=True)
            return True
        except ERRORS as error:
            if is_suspect(error):
                boot.mark_suspect(self.folder, str(error))
            raise
        finally:
            self._running.pop(thread, None)


_inherited: list[Opened] = []
"""Environments that may be neither used nor closed, kept from being collected."""
