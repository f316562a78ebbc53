"""The directory of an environment: whose it is, what lies in it, who may look at it now.

========================= =========================================================
``data.mdb``              the data; locked as a file, shared, by whoever has it open
``lock.mdb``              LMDB's own; opened by nobody else, or its locks are lost
``gate``                  locked by the one writer
``presence``              a byte of it locked by every process that took a lease
``boot``                  since which boot the data is in use, or that it is clean
``suspect``               there when the data looked damaged to somebody
``copy.mdb``              the latest copy, whole and on the disk
``copy.mdb.new``          a copy being made; locked by its maker
========================= =========================================================

The directory itself is locked by whoever opens, closes, checks or replaces the data.
"""

from __future__ import annotations

import contextlib
import os
import stat
import typing as t

from ...errors import ConfigurationError
from ...errors import StoreError
from .failures import ENGINE
from .locks import holder
from .locks import pauses
from .locks import try_lock
from .locks import unlock

_LEAST_FREE = 1 << 20
"""Bytes the disk must have free for a new environment."""


class Folder:
    """The directory of an environment.

    :param path: absolute; only its last part may be missing or need not be real.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self.data: str = os.path.join(path, "data.mdb")
        self.lock_file: str = os.path.join(path, "lock.mdb")
        self.gate: str = os.path.join(path, "gate")
        self.presence: str = os.path.join(path, "presence")
        self.boot: str = os.path.join(path, "boot")
        self.suspect: str = os.path.join(path, "suspect")
        self.copy: str = os.path.join(path, "copy.mdb")
        self.new_copy: str = self.copy + ".new"
        self.replacement: str = path + ".new"
        """A complete directory about to take the place of this one, whose data was damaged."""

    def prepare(self) -> None:
        """Make the directory where it is missing, and see that it is ours alone.

        :raise ConfigurationError: it can't be made, or others could read or replace its files.
        :raise StoreError: the disk is full.
        """
        try:
            found = os.lstat(self.path)
        except FileNotFoundError:
            self._make()
            found = os.lstat(self.path)
        except OSError as error:
            raise self._unusable(f"can't be used: {error.strerror}") from error
        self._check(found)
        for path in (self.data, self.lock_file):
            self._check_file(path)

    @contextlib.contextmanager
    def locked(self, timeout: float) -> t.Iterator[None]:
        """Hold the directory. One that replaced it meanwhile is locked instead.

        :param timeout: seconds to wait at most.
        :raise StoreError: somebody else held it all the time.
        """
        descriptor = self._lock(timeout)
        try:
            yield
        finally:
            unlock(descriptor)
            os.close(descriptor)

    def identity(self) -> tuple[int, int] | None:
        """Which data file lies here: device and inode, or None."""
        try:
            found = os.stat(self.data)
        except OSError:
            return None
        return found.st_dev, found.st_ino

    def size(self) -> int:
        """Bytes of the data file; 0 where there is none."""
        try:
            return os.stat(self.data).st_size
        except FileNotFoundError:
            return 0

    def sync(self) -> None:
        """Write the directory's list of files to the disk."""
        descriptor = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def _make(self) -> None:
        parent = os.path.dirname(self.path)
        try:
            os.makedirs(parent, exist_ok=True)
            disk = os.statvfs(parent)
            if disk.f_bavail * disk.f_frsize < _LEAST_FREE:
                raise StoreError(
                    f"the disk of {parent} is full, so {self.path} can't be made",
                    engine=ENGINE,
                    operation="open",
                )
            if os.path.isdir(self.replacement):
                os.rename(self.replacement, self.path)
                return
            with contextlib.suppress(FileExistsError):
                os.mkdir(self.path, 0o700)
        except OSError as error:
            raise self._unusable(f"can't be made: {error.strerror}") from error

    def _check(self, found: os.stat_result) -> None:
        if stat.S_ISLNK(found.st_mode):
            raise self._unusable("is a symbolic link; name the directory itself")
        if not stat.S_ISDIR(found.st_mode):
            raise self._unusable("is not a directory")
        if found.st_uid != os.geteuid():
            raise self._unusable(
                f"belongs to user {found.st_uid}, and this process runs as {os.geteuid()}"
            )
        if found.st_mode & 0o022:
            raise self._unusable("can be written by other users; chmod 700 makes it private")
        if not os.access(self.path, os.R_OK | os.W_OK | os.X_OK):
            raise self._unusable("can't be written by this process")

    def _check_file(self, path: str) -> None:
        try:
            found = os.lstat(path)
        except FileNotFoundError:
            return
        if not stat.S_ISREG(found.st_mode):
            raise self._unusable(f"holds a {os.path.basename(path)} that is not a plain file")
        if found.st_uid != os.geteuid():
            raise self._unusable(f"holds a {os.path.basename(path)} of user {found.st_uid}")
        if found.st_mode & 0o077:
            os.chmod(path, 0o600)

    def _unusable(self, why: str) -> ConfigurationError:
        return ConfigurationError(
            f"the directory {self.path} {why}. Let STATE_URL name one that this process may "
            "write to, such as lmdb:///var/lib/myapp/state, or use memory://"
        )

    def _lock(self, timeout: float) -> int:
        descriptor = self._open()
        waiting = pauses(timeout)
        try:
            while True:
                if try_lock(descriptor):
                    if self._is_at_path(descriptor):
                        return descriptor
                    os.close(descriptor)
                    descriptor = self._open()
                elif next(waiting, waiting) is waiting:
                    raise StoreError(
                        f"{holder(descriptor)} is opening or checking {self.path}",
                        engine=ENGINE,
                        operation="open",
                    )
        except BaseException:
            os.close(descriptor)
            raise

    def _open(self) -> int:
        flags = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC | os.O_NOFOLLOW
        return os.open(self.path, flags)

    def _is_at_path(self, descriptor: int) -> bool:
        try:
            return os.path.samestat(os.fstat(descriptor), os.lstat(self.path))
        except FileNotFoundError:
            return False


def write_file(path: str, content: bytes) -> None:
    """Replace a small file, whole or not at all, and wait until it is on the disk."""
    new = f"{path}.{os.getpid()}"
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW
    try:
        descriptor = os.open(new, flags, 0o600)
        try:
            os.write(descriptor, content)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        os.replace(new, path)
    except OSError:
        with contextlib.suppress(OSError):
            os.unlink(new)
        raise
