"""A small world to sweep: an emulated API, a registry and an archive on disk, a settable clock."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

from empty_registry import lay
from rates import UNLIMITED
from sweep_time import Naps, WatchedLoop
from sweep_wire import CrashError, Hook, Wire, crash

from janitor.app.compose import reservation, transport_stack
from janitor.app.run_log import RunLog
from janitor.archive import Archive as Store
from janitor.drivers import Endpoint, SendGuard, read_only
from janitor.drivers.connect import connect
from janitor.emulator import Emulator
from janitor.engine.apply import PlanSite, apply, check
from janitor.engine.context import ConnectedProject, RunContext
from janitor.engine.plan import Plan, PlanScope, plan
from janitor.engine.redecide import approve
from janitor.engine.report import Report
from janitor.engine.sweep import Orders, sweep
from janitor.errors import ArchiveError
from janitor.kinds import CATALOGUE
from janitor.metrics import Metrics
from janitor.model import Key, Kind, Mode, NotFound, Outcome, Stage, State
from janitor.policy import Policies
from janitor.policy.rules import ArchiveRule, Delete, Policy, Selector, Test
from janitor.rate_limit import (
    Allowance,
    Exchange,
    ProjectLimiter,
    Verb,
)
from janitor.registry import Entry, Event, Registration, Registry

T = TypeVar("T")

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
DAY = timedelta(days=1)
OLD = NOW - 60 * DAY
KEYS = {"sk-main": "main", "sk-other": "other"}

CHATS = Policy(
    "chats", archive=ArchiveRule(after=7 * DAY, keep_for=90 * DAY), delete=Delete(30 * DAY)
)
COPIED = Policy("copied", archive=ArchiveRule(after=7 * DAY, keep_for=90 * DAY))
DELETED = Policy("deleted", delete=Delete(30 * DAY))


def enforced(*rules: Policy, **others: Any) -> Policies:  # noqa: ANN401 - the fields of Policies
    return Policies(rules, mode=Mode.ENFORCE, **others)


def matching(**pairs: str) -> Selector:
    tests = {key: Test(any_of=frozenset([value])) for key, value in pairs.items()}
    return Selector(metadata=tests)


@dataclass
class World:
    """Everything that one test sweeps; `hooks` act around requests, `keys` may be changed."""

    root: Path
    server: Emulator
    base_url: str
    policies: Policies = field(default_factory=lambda: enforced(CHATS))
    keys: dict[str, str] = field(default_factory=lambda: {"main": "sk-main"})
    kinds: frozenset[Kind] = frozenset(Kind)
    concurrency: int = 8
    distrusted: frozenset[str] = frozenset()
    hooks: list[Hook] = field(default_factory=list)
    exchanges: list[Exchange] = field(default_factory=list)
    metrics: Metrics = field(default_factory=Metrics)
    rates: Mapping[Verb, Allowance] = field(default_factory=lambda: UNLIMITED)
    uptime: float = 1e9
    naps: Naps = field(default_factory=Naps)
    address: str = ""
    patience: timedelta = timedelta()
    not_found: NotFound = NotFound.OPENAI
    archive_error: ArchiveError | None = None

    def __post_init__(self) -> None:
        self.registry = Registry.open(self.url, untrusted=self.distrusted)
        self.guard = SendGuard(lambda: self.uptime)
        self.archive = Store.open((self.root / "archive").as_uri())

    @property
    def url(self) -> str:
        return self.address or f"sqlite:///{self.root / 'janitor.db'}"

    @property
    def now(self) -> datetime:
        return self.server.clock.now()

    def advance(self, by: timedelta) -> None:
        self.server.clock.advance(by)

    def add(
        self,
        kind: Kind = Kind.CONVERSATION,
        *,
        items: int = 3,
        created_at: datetime = OLD,
        active_at: datetime | None = OLD,
        metadata: Mapping[str, str] | None = None,
        project: str = "main",
        upstream: Mapping[str, str] | None = None,
    ) -> Key:
        """A container at the server that the registry knows, last active at `active_at`."""
        known: dict[str, Any] = {"project": project, "created_at": created_at, "items": items}
        if CATALOGUE[kind].has_metadata:
            known["metadata"] = upstream
        if CATALOGUE[kind].has_activity:
            known["last_active_at"] = active_at or created_at
        key = Key(project, kind, self.server.add(kind, **known))
        self.register(key, active_at=active_at, created_at=created_at, metadata=metadata)
        return key

    def register(
        self,
        key: Key,
        *,
        active_at: datetime | None = OLD,
        created_at: datetime | None = OLD,
        metadata: Mapping[str, str] | None = None,
        keep_until: datetime | None = None,
    ) -> None:
        said = Registration(key, created_at, active_at, keep_until, metadata)
        self.registry.registrations.add([said], self.now)

    def on(self, method: str, path: str, act: Callable[[], object], *, skip: int = 0) -> None:
        """Let something happen right before the first such request goes out."""
        self.hooks.append(Hook(method, path, act, skip))

    def die_at(self, method: str, path: str, *, skip: int = 0, after: bool = False) -> None:
        """Let the process die right before, or right after, such a request."""
        self.hooks.append(Hook(method, path, crash, skip, after))

    @asynccontextmanager
    async def context(self, *, changing: bool = True) -> AsyncIterator[RunContext]:
        async with AsyncExitStack() as stack:
            projects = {
                name: await stack.enter_async_context(self._connected(name, changing=changing))
                for name in self.keys
            }
            yield RunContext(
                self.registry,
                projects,
                None if self.archive_error else self.archive,
                self.policies,
                lambda: self.now,
                RunLog(self.metrics),
                archive_error=self.archive_error,
                guard=self.guard,
            )

    @asynccontextmanager
    async def _connected(self, name: str, *, changing: bool) -> AsyncIterator[ConnectedProject]:
        endpoint = Endpoint(name, self.keys[name], base_url=self.base_url, timeout=60.0)
        endpoint = replace(endpoint, not_found=self.not_found)
        wire = Wire(self.hooks, self.concurrency)
        pace = ProjectLimiter(
            name,
            rates=self.rates,
            tell=self._told,
            sleep=self._sleep,
            clock=lambda: self.uptime,
        )
        paced = transport_stack(wire, pace, self.guard)
        async with connect(endpoint, transport=paced, concurrency=self.concurrency) as drivers:
            served = {k: d if changing else read_only(d) for k, d in drivers.items()}
            yield ConnectedProject(
                name,
                {kind: driver for kind, driver in served.items() if kind in self.kinds},
                endpoint.fingerprint,
                concurrency=self.concurrency,
                trust_reported=name not in self.distrusted,
                account=endpoint.account,
                not_found=self.not_found,
                reserve=reservation(pace),
                limiter=pace,
            )

    async def _sleep(self, seconds: float) -> None:
        """Waiting for a rate takes no time, and yet time passes, once nobody is at work."""
        await self.naps.until(self.uptime + seconds, self._pass)

    def _pass(self, until: float) -> None:
        self.uptime = max(self.uptime, until)

    def _told(self, event: object) -> None:
        if isinstance(event, Exchange):
            self.exchanges.append(event)

    def run(self, work: Callable[[RunContext], Awaitable[T]], *, changing: bool = True) -> T:
        async def main() -> T:
            async with self.context(changing=changing) as context:
                return await work(context)

        self.naps = Naps()
        with asyncio.Runner(loop_factory=WatchedLoop) as runner:
            return runner.run(main())

    def sweep(self, orders: Orders = Orders(), stop: threading.Event | None = None) -> Report:  # noqa: B008 - frozen
        with self.registry.lock(self.patience):
            return self.run(lambda context: sweep(context, orders, stop or threading.Event()))

    def sweep_and_die(self) -> None:
        """A sweep that one of the hooks kills."""
        try:
            self.sweep()
        except BaseExceptionGroup as group:
            if group.subgroup(CrashError) is None:
                raise
        except CrashError:
            return
        else:
            raise AssertionError("nothing killed the sweep")

    def plan(self, scope: PlanScope = PlanScope(), *, hypothetical: bool = False) -> Plan:  # noqa: B008 - frozen
        return self.run(
            lambda context: plan(context, scope, hypothetical=hypothetical), changing=False
        )

    def signed(self, made: Plan) -> Plan:
        """A plan that a test has put together, as if `plan` had made it so."""
        return replace(made, signature=self.registry.plans.signature(made.digest, made.now))

    def apply(
        self, made: Plan, stop: threading.Event | None = None, max_age: timedelta = DAY
    ) -> Report:
        async def work(context: RunContext) -> Report:
            check(PlanSite(self.registry, self.policies, self.now), made, "plan.json", max_age)
            return await apply(context, made, stop or threading.Event())

        with self.registry.lock(self.patience):
            return self.run(work)

    def approve(self) -> None:
        """A person's word that the world's policies may take effect."""
        approve(self.registry, self.policies, "ops", "asked for", self.now)

    def entry(self, key: Key) -> Entry:
        found = self.registry.threads.get(key)
        assert found is not None
        return found

    def state(self, key: Key) -> State:
        return self.entry(key).thread.state

    def story(self, key: Key) -> list[str]:
        """The names of all events about a thread, in order."""
        return [event.name for event in self.registry.runs.history(key)]

    def reasons(self, key: Key) -> list[str | None]:
        return [event.reason for event in self.registry.runs.history(key) if event.name == "kept"]

    def objects(self) -> list[Path]:
        return sorted((self.root / "archive").rglob("*.zst"))

    def changing_calls(self) -> list[str]:
        """The requests so far that were not mere reads."""
        return [f"{one.method} {one.path}" for one in self.server.log if one.method != "GET"]

    def close(self) -> None:
        self.registry.close()


@contextmanager
def world_in(root: Path, address: str = "") -> Iterator[World]:
    server = Emulator(KEYS)
    server.clock.set(NOW)
    with server.serve() as served:
        if not address:
            lay(root / "janitor.db")
        patience = timedelta(seconds=30 if address else 0)  # a server frees a lock a moment later
        world = World(root, server, served.base_url, address=address, patience=patience)
        try:
            yield world
        finally:
            world.close()


def path_of(key: Key) -> str:
    """The path of a container below the base URL."""
    return f"{CATALOGUE[key.kind].path}/{key.id}"


def outcomes(events: list[Event]) -> Counter[tuple[str, Stage, Outcome]]:
    """Events by policy, stage and outcome, as runs and metrics count them."""
    return Counter(
        (one.policy or "", one.stage, one.outcome)
        for one in events
        if one.stage is not None and one.outcome is not None
    )
