"""The seams at which the program's effects leave it, and a process that dies at one of them.

Production code knows nothing of this. A child process puts these wrappers around the primitives by
which a file, a commit, a lock or a request changes anything, names each effect by where in the
program it happens, and kills itself there where it was told to. `points` is what it came by.
"""

from __future__ import annotations

import builtins
import fcntl
import io
import os
import re
import signal
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any, TypeVar

import httpx2
from sqlalchemy.engine.default import DefaultDialect
from sqlalchemy_dlock.lock.postgresql import PostgresqlSadLock

import janitor
from janitor.drivers.connect import Outbound

PROGRAM = str(Path(janitor.__file__).parent) + os.sep
FILES = ("fsync", "link", "replace", "rename", "unlink", "remove", "mkdir", "rmdir")
BYTES = ("pwrite", "ftruncate")
COMMIT = "registry/database.py:writing"
# Frames that every effect of their sort passes; who asked for it names it.
PASSED = re.compile(
    r"registry/database\.py:writing|rate_limit/"
    r"|drivers/(client|connect|guarded_transport|send_guard)\.py:"
)
VERBS = re.compile("engine/")
ID = re.compile(r"[a-z]+_[0-9a-f]{20,}")

T = TypeVar("T")


@dataclass(frozen=True, slots=True, order=True)
class Point:
    """A place to die: the `occurrence`-th time, from 1, that an effect of that name is had.

    `moment` is `before` it, `after` it, or `midst`: with half of the bytes written.
    """

    name: str
    occurrence: int
    moment: str

    def __str__(self) -> str:
        return f"{self.name} #{self.occurrence} {self.moment}"


class Seams:
    """Counts the effects of this process and kills it at `death`."""

    def __init__(self, death: Point | None) -> None:
        self.points: list[Point] = []
        self._death = death
        self._counts: Counter[str] = Counter()
        self._reached: set[str] = set()
        self._turn = threading.Lock()

    @property
    def reached(self) -> list[str]:
        """Every function that had an effect under way, with the effect: `place primitive`."""
        return sorted(self._reached)

    @contextmanager
    def effect(self, name: str | None) -> Iterator[int]:
        """One effect, had in the body; gives its occurrence, 0 where it is none of ours."""
        if name is None:
            yield 0
            return
        primitive = name.partition(" ")[2].partition(" /")[0]
        with self._turn:
            self._reached.update(f"{place} {primitive}" for place in _places())
            self._counts[name] += 1
            occurrence = self._counts[name]
        self.reach(Point(name, occurrence, "before"))
        yield occurrence
        self.reach(Point(name, occurrence, "after"))

    def reach(self, point: Point) -> None:
        """Come by a point, and no further where it is the one to die at."""
        self.points.append(point)
        if point == self._death:
            os.kill(os.getpid(), signal.SIGKILL)

    def install(self) -> None:
        """Wrap every primitive, for the rest of this process."""
        for name in FILES + BYTES:
            self._put(os, name, self._around(getattr(os, name), f"os.{name}"))
        self._put(os, "open", self._creating(os.open, "os.open", _creates))
        self._put(os, "write", self._write(os.write))
        for module in (io, builtins):
            self._put(module, "open", self._creating(open, "open", _opens_to_write))
        self._put(fcntl, "flock", self._around(fcntl.flock, "fcntl.flock"))
        self._put(DefaultDialect, "do_commit", self._commit(DefaultDialect.do_commit))
        acquire = self._around(PostgresqlSadLock.acquire, "advisory lock")
        self._put(PostgresqlSadLock, "acquire", acquire)
        self._put(Outbound, "handle_async_request", self._send(Outbound.handle_async_request))

    @staticmethod
    def _put(where: object, name: str, wrapped: object) -> None:
        setattr(where, name, wrapped)

    def _around(self, primitive: Callable[..., T], name: str) -> Callable[..., T]:
        def wrapped(*args: Any, **kwargs: Any) -> T:  # noqa: ANN401 - whatever the primitive takes
            with self.effect(_named(name)):
                return primitive(*args, **kwargs)

        return wrapped

    def _creating(
        self, primitive: Callable[..., T], name: str, creates: Callable[..., bool]
    ) -> Callable[..., T]:
        def wrapped(*args: Any, **kwargs: Any) -> T:  # noqa: ANN401 - whatever the primitive takes
            with self.effect(_named(name) if creates(*args, **kwargs) else None):
                return primitive(*args, **kwargs)

        return wrapped

    def _write(self, write: Callable[[int, Any], int]) -> Callable[[int, Any], int]:
        def wrapped(file: int, data: Any, /) -> int:  # noqa: ANN401 - bytes of any sort
            name = _named("os.write")
            with self.effect(name) as occurrence:
                if name is None or len(data) < 2:
                    return write(file, data)
                half = write(file, data[: len(data) // 2])
                self.reach(Point(name, occurrence, "midst"))
                return half + write(file, data[half:])

        return wrapped

    def _commit(self, commit: Callable[..., None]) -> Callable[..., None]:
        def wrapped(dialect: DefaultDialect, connection: Any) -> None:  # noqa: ANN401 - any driver's
            # What only read has no effect.
            with self.effect(_named("commit") if COMMIT in _places() else None):
                commit(dialect, connection)

        return wrapped

    def _send(self, send: Callable[..., Any]) -> Callable[..., Any]:
        async def wrapped(outbound: Outbound, request: httpx2.Request) -> httpx2.Response:
            path = ID.sub("*", request.url.path.removeprefix("/v1"))
            with self.effect(_asked(f"{request.method} {path}")):
                response: httpx2.Response = await send(outbound, request)
                return response

        return wrapped


def _creates(_path: object, flags: int, *_: object, **__: object) -> bool:
    return bool(flags & os.O_CREAT)


def _opens_to_write(_file: object, mode: str = "r", *_: object, **__: object) -> bool:
    return not set(mode).isdisjoint("wxa+")


def _named(primitive: str) -> str | None:
    """`room/module.py:function primitive`; `None` where no function of the program asked for it."""
    asked = next((place for place in _places() if not PASSED.match(place)), None)
    return None if asked is None else f"{asked} {primitive}"


def _asked(request: str) -> str:
    """A request is named by who wanted it in a sweep, or else by the driver that made it."""
    places = list(_places())
    wanted = next((place for place in places if VERBS.match(place)), None)
    return f"{wanted} {request}" if wanted else str(_named(request))


def _places() -> Iterator[str]:
    """The program's own functions on the stack, the innermost first."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        file, function = frame.f_code.co_filename, frame.f_code.co_name
        if file.startswith(PROGRAM) and not function.startswith("<"):
            yield f"{file.removeprefix(PROGRAM)}:{function}"
        frame = frame.f_back


def keep_looks_fresh() -> None:
    """Let no look get old: on a busy machine, calls would be made that no other run makes."""
    from janitor.drivers import send_guard

    send_guard.RENEWED_AFTER = send_guard.LOOK_LASTS = 3600.0


def hasten_renewals() -> None:
    """Let a lease be renewed about ten times a second, and be believed for nearly all of it."""
    from janitor.engine import lease

    lease.RENEWALS = 300
