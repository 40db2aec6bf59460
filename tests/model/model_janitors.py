"""Janitors as the model runs them, and the witness that judges each request before it leaves."""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path

import httpx2
from model_ledger import Promises, Row, Thing, part_of
from model_policies import STEP
from sweep_wire import CrashError, Hook
from sweep_world import World

from janitor.archive import Archive
from janitor.archive.archive import parse_path
from janitor.emulator import Emulator
from janitor.engine.clock import ClockWatch
from janitor.engine.context import RunContext
from janitor.engine.executor import SOFT_DELETE_MARK
from janitor.engine.report import Report
from janitor.engine.sweep import Orders, sweep
from janitor.errors import ArchiveError, StoreError
from janitor.kinds import CATALOGUE
from janitor.model import Key, Kind, Record, State
from janitor.registry import Entry, Registry

MEMBERS = frozenset({State.ACTIVE, State.ARCHIVED})


@dataclass(slots=True)
class Judge:
    """Judges what a janitor is about to do by the model's own memory; what is wrong is kept."""

    server: Emulator
    registry: Registry
    archive: Archive
    directory: Path
    promises: Promises
    things: dict[str, Thing] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)
    is_still: bool = False
    turn: threading.RLock = field(default_factory=threading.RLock)

    def see(self, request: httpx2.Request) -> None:
        """Take a request into account right before it leaves."""
        kind, name, rest = _read(request.url.path)
        thing = self.things[name]
        with self.turn:
            if request.method == "GET":
                thing.looks[part_of(kind, rest)] += 1
                return
            if self.is_still:
                self.wrong.append(f"{request.method} {request.url.path} while nothing may change")
            if request.method == "DELETE" and self.server.exists(name):
                self._judge(thing, request, set(rest[1:]))
            elif SOFT_DELETE_MARK.encode() in request.content:
                self._judge_mark(thing, request)

    def _judge_mark(self, thing: Thing, request: httpx2.Request) -> None:
        self._object(request, [one for one in self._objections(thing) if _forbids_a_mark(one)])

    def _judge(self, thing: Thing, request: httpx2.Request, items: set[str]) -> None:
        found = self._objections(thing)
        if self.promises.archives(thing):
            seen = {one for one, look in thing.items.items() if thing.is_seen("items", look)}
            lost = (items or seen) & seen - archived(self.archive, self.directory, thing.key)
            found += [f"{len(lost)} items are in no archive"] if lost else []
        self._object(request, found)

    def _object(self, request: httpx2.Request, found: list[str]) -> None:
        said = ", ".join(found)
        self.wrong += [f"{request.method} {request.url.path}: {said}"] if found else []

    def _objections(self, thing: Thing) -> list[str]:
        entry = self.registry.threads.get(thing.key)
        if entry is None:
            return ["not in the registry"]
        row = Row(entry.thread.soft_deleted_at, self._mates(thing))
        return self.promises.objections(thing, row, self.server.clock.now())

    def _mates(self, thing: Thing) -> dict[str, int]:
        """The others of the thread's groups that live, as far as anybody may think so."""
        others = [one for one in self.registry.threads.select() if one.thread.key != thing.key]
        living = [one for one in others if one.thread.state in MEMBERS]
        return {
            rule.name: sum(self._may_share(one, thing, rule.keep_last.per) for one in living)
            for said in (self.promises.current, self.promises.approved)
            for rule in said.rules
            if rule.keep_last is not None
        }

    def _may_share(self, other: Entry, thing: Thing, per: str | None) -> bool:
        mate = self.things[other.thread.key.id]
        known = {**(other.thread.reported or {}), **(other.thread.upstream or {})}
        theirs = [known, *(view for views in mate.sides() for view in views)]
        ours = [view for views in thing.sides() for view in views]
        return per is None or any(a.get(per) == b.get(per) for a in theirs for b in ours)


def _forbids_a_mark(objection: str) -> bool:
    """Whether it stands against a soft delete, too, which comes before a deletion is due."""
    return objection.startswith(("held", "kept by", "keep_until", "paused", "audit", "never"))


def archived(archive: Archive, directory: Path, key: Key) -> set[str]:
    """The ids of all items that the archive holds of a thread, read back."""
    found: set[str] = set()
    for file in directory.rglob("*.zst"):
        path = file.relative_to(directory).as_posix()
        named = parse_path(path)
        if named is not None and named[0] == key:
            found |= {r.id for r in archive.read(path) if isinstance(r, Record) and r.is_item}
    return found


def _read(path: str) -> tuple[Kind, str, list[str]]:
    """The kind and id that a path is about, and what comes after."""
    for kind, trait in CATALOGUE.items():
        if path.startswith(f"/v1{trait.path}/"):
            name, *rest = path.removeprefix(f"/v1{trait.path}/").split("/")
            return kind, name, rest
    raise ValueError(path)


class Witness(Hook):
    """A hook that sees every request and never strikes."""

    def __init__(self, judge: Judge) -> None:
        super().__init__("*", "*", lambda: None)
        self.judge = judge

    def strikes(self, request: httpx2.Request) -> bool:
        self.judge.see(request)
        return False


@dataclass
class Janitor(World):
    """One of the janitors; `off` is how wrong its clock is, `concurrency` how much it does at once.

    Requests go out one at a time, so that what happens between two of them is seen by the second.
    """

    off: timedelta = timedelta()
    concurrency: int = 1

    def clock(self) -> datetime:
        """The time by this janitor's clock."""
        return self.now + self.off

    @asynccontextmanager
    async def context(self, *, changing: bool = True) -> AsyncIterator[RunContext]:
        async with super().context(changing=changing) as context:
            watch = ClockWatch(STEP, self.clock)
            context.guard.dated = watch.hear
            yield replace(context, clock=self.clock, watch=watch)

    def sweep_shared(self) -> Report:
        """A sweep that others may work as well, where the engine lets them."""
        self.registry.inbox.drain(self.clock())
        with self.registry.lock(self.patience, shared=True):
            return self.run(lambda context: sweep(context, Orders(), threading.Event()))

    def sweep_or_die(self) -> Report | None:
        """A sweep that may be killed, or whose disk may fail, on the way: `None` where it was."""
        self.registry.inbox.drain(self.clock())
        try:
            return self.sweep()
        except BaseExceptionGroup as group:
            if group.subgroup((CrashError, StoreError)) is None:
                raise
        except (CrashError, StoreError):
            pass
        return None

    @contextmanager
    def failing(self, name: str, skip: int, *, late: bool) -> Iterator[None]:
        """Let one write of the registry fail, before or after it was committed."""
        settlements = self.registry.settlements
        write: Callable[..., object] = getattr(settlements, name)
        left = [skip]

        def fails(*args: object) -> object:
            left[0] -= 1
            if left[0] >= 0:
                return write(*args)
            if late:
                write(*args)
            raise StoreError("the disk is gone")

        setattr(settlements, name, fails)
        try:
            yield
        finally:
            delattr(settlements, name)


def is_readable(archive: Archive, path: str) -> bool:
    """Whether an object can be read to its end."""
    try:
        return sum(1 for _ in archive.read(path)) > 0
    except ArchiveError:
        return False
