"""What "not found" means: canaries tell a wrong key from threads that are really gone.

A canary is a registered thread of the same project and kind, starting with those last seen alive;
under an access that was never proven (`breaker.py`), only those seen alive before it. If one
answers, endpoint and credential are right, and what was not found is gone. If none does, nothing is
believed: an empty account looks exactly like a wrong key.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from dataclasses import dataclass
from datetime import datetime

import orjson

from janitor.drivers import Driver
from janitor.engine.breaker import FailureTally, ProjectHealth, SeenAccesses
from janitor.engine.context import RunContext
from janitor.errors import AccessError, BusyError, DriverError, StoppedError
from janitor.model import Key, NotFound
from janitor.registry import Claimant, Entry, Registry
from janitor.registry.threads import ProjectKind

ASKED = 10
SHARED_EVERY = 20


class Canaries:
    """Probes threads whose answer proves the access to their project."""

    def __init__(self, context: RunContext, accesses: SeenAccesses) -> None:
        self._context = context
        self._accesses = accesses

    async def answer(self, pair: ProjectKind) -> bool:
        """Whether a canary of that project and kind answers now.

        Raises:
            AccessError: The credential was refused.
        """
        project, kind = pair
        driver = self._context.projects[project].drivers[kind]
        by = await asyncio.to_thread(self._accesses.proof_cutoff, pair[0])
        registry = self._context.registry
        for entry in await asyncio.to_thread(registry.threads.canaries, pair, ASKED, seen_by=by):
            if await _is_alive(driver, entry.thread.key.id):
                await asyncio.to_thread(self._accesses.answered, entry)
                return True
        return False


async def _is_alive(driver: Driver, id: str) -> bool:
    try:
        await driver.probe(id)
    except BusyError:
        return True
    except DriverError:
        return False
    return True


@dataclass(frozen=True, slots=True)
class MissingVerdict:
    """For which projects and kinds "not found" is believed, and for which it is doubted."""

    believed: frozenset[ProjectKind]
    doubted: frozenset[ProjectKind]


class Inquiry:
    """Judges "not found" answers as a sweep does, and stores nothing."""

    def __init__(self, context: RunContext, health: ProjectHealth, *, dry: bool = True) -> None:
        self._context = context
        self._health = health
        self._missed: defaultdict[str, set[ProjectKind]] = defaultdict(set)
        self._turns: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._accesses = SeenAccesses(context, dry=dry)
        self.canaries = Canaries(context, self._accesses)

    async def over(self, project: str) -> None:
        """Wait until no canary is being asked about the project's missing threads."""
        async with self._turns[project]:
            return

    async def answered(self, entry: Entry) -> None:
        """Count a thread that the server knows, which may prove our access."""
        project = entry.thread.key.project
        self._health.answered(project)
        if not self._accesses.has_answered(project):
            await asyncio.to_thread(self._accesses.answered, entry)
        if self._health.breaker(project).own.asked % SHARED_EVERY == 0:
            await self._share(project)

    async def missed(self, key: Key) -> None:
        """Count a thread that the server does not know; if there are too many, ask canaries."""
        project = key.project
        self._health.missed(project)
        self._missed[project].add((project, key.kind))
        async with self._turns[project]:
            await self._share(project)
            if self._health.breaker(project).must_be_judged:
                await self._judge(project)

    async def _judge(self, project: str) -> None:
        silent = [pair for pair in sorted(self._missed[project]) if not await self._answers(pair)]
        if silent:
            self._health.breaker(project).doubt(self._why(silent))
        else:
            self._health.breaker(project).gone()

    async def _answers(self, pair: ProjectKind) -> bool:
        try:
            return await self.canaries.answer(pair)
        except AccessError as error:
            self._health.unauthorised(pair[0], str(error))
            return False

    def _why(self, silent: list[ProjectKind]) -> str:
        """Why the credential is in doubt, in words."""
        project = silent[0][0]
        kinds = ", ".join(kind for _, kind in silent)
        if self._accesses.before(project) is None:
            seen = "none of its threads was ever seen alive"
        elif self._accesses.is_proven(project):
            seen = "its threads last answered under this endpoint and credential"
        else:
            seen = "its threads last answered under another endpoint or credential"
        return f"no other thread of kind {kinds} answers either ({seen})"

    async def _share(self, project: str) -> None:
        """Exchange counts with the run's other janitors; a dry run has none."""


class MissingJudge(Inquiry):
    """Judges the "not found" answers of a run, together with the run's other janitors."""

    def __init__(self, context: RunContext, by: Claimant, health: ProjectHealth) -> None:
        super().__init__(context, health, dry=False)
        self._by = by

    async def verdict(self) -> MissingVerdict:
        """Which notes of missing threads to believe, at the run's end; asks canaries again."""
        await asyncio.to_thread(self._accesses.renew)
        believed, doubted = set[ProjectKind](), set[ProjectKind]()
        for pair in await asyncio.to_thread(
            self._context.registry.threads.noted_missing, self._by.run
        ):
            project = pair[0]
            await self._share(project)
            try:
                is_believed = await self._is_believed(pair)
            except StoppedError:
                continue  # nobody could be asked: the notes stay, and the threads are probed again
            if is_believed:
                believed.add(pair)
            elif self._health.is_stopped(project):
                doubted.add(pair)
        return MissingVerdict(frozenset(believed), frozenset(doubted))

    async def _is_believed(self, pair: ProjectKind) -> bool:
        project = pair[0]
        stop = self._health.breaker(project).stop
        is_own = self._context.projects[project].not_found is NotFound.ANY_JSON
        if stop is None and self._accesses.is_proven(project) and not is_own:
            return True
        if stop is not None and not stop.looks_on:
            return False
        proven = await self._answers(pair)
        if not proven and stop is not None:
            self._health.breaker(project).doubt(self._why([pair]))
        return proven

    async def _share(self, project: str) -> None:
        registry, breaker = self._context.registry, self._health.breaker(project)
        if registry.lease is not None:
            others = await asyncio.to_thread(share, registry, self._by, project, breaker.own)
            breaker.hear(others)


def share(registry: Registry, by: Claimant, project: str, own: FailureTally) -> FailureTally:
    """Share this janitor's counts with the run's others; returns the sum of theirs."""
    others = [FailureTally()]

    def add_own(before: str | None, _: datetime) -> str:
        document = orjson.loads(before or "{}")
        counts = document["counts"] if document.get("run") == by.run else {}
        others.extend(FailureTally(*count) for owner, count in counts.items() if owner != by.owner)
        counts[by.owner] = [own.asked, own.missing]
        return orjson.dumps({"run": by.run, "counts": counts}).decode()

    registry.key_values.alter(f"missing_{project}", add_own)
    return sum(others, start=FailureTally())
