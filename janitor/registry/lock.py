"""The lock of a run: one janitor at a time on one registry, freed by the kernel when it dies."""

from __future__ import annotations

import fcntl
import os
import socket
import time
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from types import TracebackType

import orjson

from janitor.causes import cause, is_scarce
from janitor.errors import ConfigError, JanitorError, LockedError, StoreError

_POLL = 0.05


class RunLock:
    """An exclusive `flock` on `<db>.lock`, held from entering to leaving.

    Entering waits up to `wait`, then raises LockedError naming the holder's pid and host. The file
    stays: removing it would let two janitors lock two files of one name.
    """

    def __init__(self, database: Path, wait: timedelta, what: str = "the run") -> None:
        self.path = Path(f"{database}.lock")
        self._wait = wait
        self._what = what
        self._file: int | None = None

    def __enter__(self) -> RunLock:
        file = self._open()
        try:
            self._acquire(file)
            with suppress(OSError):  # a full disk may not take the holder's name: the lock it has
                os.ftruncate(file, 0)
                os.pwrite(file, orjson.dumps({"pid": os.getpid(), "host": socket.gethostname()}), 0)
        except BaseException:
            os.close(file)
            raise
        self._file = file
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._file is not None:
            with suppress(OSError):
                os.ftruncate(self._file, 0)
            os.close(self._file)
            self._file = None

    def _open(self) -> int:
        try:
            return os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise self._refused("opened", error) from None

    def _acquire(self, file: int) -> None:
        deadline = time.monotonic() + self._wait.total_seconds()
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                left = deadline - time.monotonic()
                if left <= 0:
                    raise LockedError(self._complaint(file)) from None
                time.sleep(min(_POLL, left))
            except OSError as error:
                raise self._refused("locked", error) from None
            else:
                return

    def _refused(self, what: str, error: OSError) -> JanitorError:
        kind = StoreError if is_scarce(error) else ConfigError
        todo = "give this user write access to the registry's directory"
        return kind(f"{self.path} cannot be {what}: {cause(error, todo)}")

    def _complaint(self, file: int) -> str:
        try:
            holder = orjson.loads(os.pread(file, 4096, 0))
            who = f"process {holder['pid']} on {holder['host']}"
        except (ValueError, KeyError, TypeError):
            who = "a process that has just started"
        seconds = self._wait.total_seconds()
        return (
            f"another janitor holds {self._what}: {who} (waited {seconds:g} s for {self.path}); "
            "wait for it, or give --wait more time"
        )
