"""One sweep over many projects, each struck by a fault of its own.

A project has three threads: the struck one, a healthy one that is due as well, and one that must
stay. Sockets, registry and archive are real; only what is slept through is not.
"""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from collections.abc import AsyncIterator, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path

import httpx2
from faults_calls import Call
from rates import UNLIMITED

from janitor.app.compose import transport_stack
from janitor.archive import Archive as Store
from janitor.drivers import Budget, Endpoint, SendGuard
from janitor.drivers.connect import Outbound, connect
from janitor.emulator import Emulator
from janitor.engine.context import ConnectedProject, RunContext
from janitor.engine.report import Report
from janitor.engine.sweep import Orders, sweep
from janitor.kinds import CATALOGUE
from janitor.model import Key, Kind, Mode, Record, State
from janitor.policy import Policies
from janitor.policy.rules import (
    ArchiveRule,
    Delete,
    DeletionMark,
    Limits,
    Policy,
    Selector,
    SoftDelete,
    Test,
)
from janitor.rate_limit import ProjectLimiter
from janitor.registry import Registration, Registry

DAY = timedelta(days=1)
NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
PINNED = Policy(
    "pinned",
    match=Selector(metadata={"pinned": Test(any_of=frozenset(["yes"]))}),
    keep_forever=True,
)
COPY, DELETE = ArchiveRule(after=7 * DAY, keep_for=90 * DAY), Delete(30 * DAY)
CHATS = Policy("chats", archive=COPY, delete=DELETE)
BARE = Policy("bare", delete=DELETE)
MARKED = replace(CHATS, soft_delete=SoftDelete(20 * DAY, DeletionMark.UPSTREAM))
PATIENCE, HASTE = 600.0, 0.5
BUDGET = Budget(large=16 << 20)
"""In which the answers of the table that are too large are so at once."""
CONNECTIONS = 100
ENDS = {State.DELETED: "done", State.MISSING: "miss", State.SOFT_DELETED: "soft"}


class VirtualTime:
    """A clock that sleeping moves on at once."""

    def __init__(self) -> None:
        self.seconds = 1.8e9

    def __call__(self) -> float:
        return self.seconds

    async def sleep(self, seconds: float) -> None:
        self.seconds += seconds
        await asyncio.sleep(0)


class Lent(httpx2.AsyncBaseTransport):
    """Sends over connections that all projects share and that outlive each of them.

    It waits for the answer about the id `hasty`, if any, for a short time only.
    """

    def __init__(self, inner: httpx2.AsyncBaseTransport, hasty: str | None) -> None:
        self._inner = inner
        self._hasty = hasty

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        if self._hasty is not None and self._hasty in request.url.path:
            request.extensions["timeout"] = {**request.extensions["timeout"], "read": HASTE}
        return await self._inner.handle_async_request(request)


@dataclass(slots=True)
class Cell:
    """One project, its threads, and what the server held of each at the start."""

    name: str
    struck: Key
    healthy: Key
    stays: Key
    items: dict[str, frozenset[str]] = field(default_factory=dict)

    @property
    def keys(self) -> tuple[Key, Key, Key]:
        return self.struck, self.healthy, self.stays


@dataclass(frozen=True, slots=True)
class Struck:
    """Which call about containers of which kind goes wrong at the server."""

    server: Emulator
    base_url: str
    kind: Kind
    call: Call


class FaultyWorld:
    """The server, the registry, the archive, and a cell for each fault."""

    def __init__(self, root: Path, struck: Struck, names: Iterable[str]) -> None:
        self.server = struck.server
        self.strikes: dict[str, int] = {}
        self._struck = struck
        self._scene = struck.call.scene
        self.registry = Registry.open(f"sqlite:///{root / 'janitor.db'}")
        self.archive = Store.open((root / "archive").as_uri())
        self.cells = [self._cell(struck.kind, name) for name in names]

    def close(self) -> None:
        self.registry.close()

    @property
    def now(self) -> datetime:
        return self.server.clock.now()

    @property
    def is_copied(self) -> bool:
        """Whether the policies copy what they remove."""
        return self._scene != "bare"

    @cached_property
    def policies(self) -> Policies:
        rule = {"marking": MARKED, "bare": BARE}.get(self._scene, CHATS)
        return Policies((rule, PINNED), mode=Mode.ENFORCE, limits=Limits(max_percent=100))

    def _cell(self, kind: Kind, name: str) -> Cell:
        struck, healthy, stays = (
            self._thread(kind, name, items, {"pinned": pinned})
            for items, pinned in ((3, "no"), (1, "no"), (1, "yes"))
        )
        cell = Cell(name, struck, healthy, stays)
        for key in cell.keys:
            cell.items[key.id] = frozenset(item["id"] for item in self.server.items(key.id))
        return cell

    def _thread(self, kind: Kind, project: str, items: int, metadata: dict[str, str]) -> Key:
        at = self.now - (10 if self._scene == "copied" else 60) * DAY
        active_at = at if CATALOGUE[kind].has_activity else None
        one = self.server.add(
            kind, project=project, created_at=at, last_active_at=active_at, items=items
        )
        key = Key(project, kind, one)
        said = Registration(key, at, at, None, metadata)
        self.registry.registrations.add([said], self.now)
        return key

    def prepare(self) -> None:
        """What the struck sweep finds."""
        if self._scene == "copied":
            self.sweep()
            self.server.clock.advance(25 * DAY)

    def sweep_struck(self) -> Report:
        """One sweep with every fault in force; then they are lifted."""
        kind, call = self._struck.kind, self._struck.call
        self.server.clear_log()
        numbers = {
            cell.name: self.server.add_fault(call.fault(cell.name, kind, cell.struck.id))
            for cell in self.cells
        }
        report = self.sweep()
        struck = self.server.struck()
        self.strikes = {name: struck[number] for name, number in numbers.items()}
        self.server.clear_faults()
        return report

    def state(self, key: Key) -> State:
        entry = self.registry.threads.get(key)
        assert entry is not None
        return entry.thread.state

    def outcome(self, cell: Cell, report: Report) -> str:
        """What became of the struck thread, in the words of the table."""
        state, key = self.state(cell.struck), cell.struck
        if any(stop.project == cell.name for stop in report.stops):
            return "halt" if state is State.DELETING else "stop"
        story = [event.name for event in self.registry.runs.history(key)]
        match state:
            case State.DELETED | State.MISSING | State.SOFT_DELETED:
                return ENDS[state]
            case State.DELETING:
                return "torn" if story[-1] == "torn" else "open"
            case _:
                # Copied by the sweep before: then this one has kept it without an event.
                return {"failed": "fail", "archived": "kept"}.get(story[-1], story[-1])

    def changes(self, key: Key) -> Counter[str]:
        """How often each changing request about a thread was sent."""
        log = (one for one in self.server.log if one.method != "GET" and key.id in one.path)
        return Counter(f"{one.method} {one.path}" for one in log)

    def sweep(self) -> Report:
        async def work() -> Report:
            async with self._context() as context:
                return await sweep(context, Orders(), threading.Event())

        with self.registry.lock(timedelta()):
            return asyncio.run(work())

    @asynccontextmanager
    async def _context(self) -> AsyncIterator[RunContext]:
        async with AsyncExitStack() as stack:
            # On a busy machine a look must not get old: each call has its place in the table.
            guard, outbound = SendGuard(lambda: 0.0), Outbound(CONNECTIONS)
            stack.push_async_callback(outbound.aclose)
            projects = {
                cell.name: await stack.enter_async_context(self._project(cell, guard, outbound))
                for cell in self.cells
            }
            yield RunContext(
                self.registry,
                projects,
                self.archive,
                self.policies,
                lambda: self.now,
                lambda _: None,
                guard=guard,
            )

    @asynccontextmanager
    async def _project(
        self, cell: Cell, guard: SendGuard, outbound: Outbound
    ) -> AsyncIterator[ConnectedProject]:
        endpoint = Endpoint(
            cell.name, f"sk-{cell.name}", base_url=self._struck.base_url, timeout=PATIENCE
        )
        time = VirtualTime()
        pace = ProjectLimiter(cell.name, rates=UNLIMITED, clock=time, sleep=time.sleep)
        lent = Lent(outbound, cell.struck.id if cell.name.startswith("silence") else None)
        transport = transport_stack(lent, pace, guard)
        async with connect(endpoint, transport=transport, budget=BUDGET) as drivers:
            yield ConnectedProject(cell.name, drivers, endpoint.fingerprint, concurrency=2)

    def missing_items(self, key: Key, wanted: Iterable[str]) -> set[str]:
        """Those of `wanted` that no proven object of the thread's copy holds."""
        entry = self.registry.threads.get(key)
        copy = None if entry is None else entry.thread.copy
        if copy is None:
            return set(wanted)
        asyncio.run(self.archive.prove(copy))
        parts = self.archive.read(copy.path)
        return set(wanted) - {one.id for one in parts if isinstance(one, Record) and one.is_item}
