"""What "not found" means: canaries tell a wrong key from threads that are really gone.

A canary is a registered thread of the same project and kind, those last seen alive first; under
an access that was never proven (`access.py`) only those that were seen alive before it. Where one
answers, endpoint and credential are right, and what was not found is gone. Where none does,
nothing is believed: an empty account looks exactly like a wrong key.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from dataclasses import dataclass
from datetime import datetime

import orjson

from janitor.drivers import Driver
from janitor.errors import AccessError, BusyError, DriverError, StoppedError
from janitor.model import Key, NotFound
from janitor.registry import Claimant, Entry, Registry
from janitor.registry.missing import Herd
from janitor.sweep.access import Accesses
from janitor.sweep.breaker import Tally
from janitor.sweep.parts import Parts
from janitor.sweep.standing import Standing

ASKED = 10
SHARED_EVERY = 20


class Canaries:
    """Asks threads whose answer proves the access to their project."""

    def __init__(self, parts: Parts, accesses: Accesses) -> None:
        self._parts = parts
        self._accesses = accesses

    async def answer(self, herd: Herd) -> bool:
        """Whether a canary of that project and kind answers at this moment.

        Raises:
            AccessError: The credential was refused.
        """
        project, kind = herd
        driver = self._parts.projects[project].drivers[kind]
        for entry in await asyncio.to_thread(self._candidates, herd):
            if await _is_alive(driver, entry.thread.key.id):
                await asyncio.to_thread(self._accesses.answered, entry)
                return True
        return False

    def _candidates(self, herd: Herd) -> list[Entry]:
        by = self._accesses.seen_by(herd[0])
        return self._parts.registry.canaries(herd, ASKED, seen_by=by)


async def _is_alive(driver: Driver, id: str) -> bool:
    try:
        await driver.probe(id)
    except BusyError:
        return True
    except DriverError:
        return False
    return True


@dataclass(frozen=True, slots=True)
class Verdict:
    """Of which projects and kinds what was not found is believed, and of which it is not."""

    believed: frozenset[Herd]
    doubted: frozenset[Herd]


class Inquest:
    """Judges what a run could not find, together with the other janitors of the run."""

    def __init__(self, parts: Parts, by: Claimant, standing: Standing) -> None:
        self._parts = parts
        self._by = by
        self._standing = standing
        self._missed: defaultdict[str, set[Herd]] = defaultdict(set)
        self._turns: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._accesses = Accesses(parts)
        self.canaries = Canaries(parts, self._accesses)

    async def over(self, project: str) -> None:
        """Wait until nobody is being asked what the project's missing threads mean."""
        async with self._turns[project]:
            return

    async def answered(self, entry: Entry) -> None:
        """The server knew a thread: perhaps this access is the one that sees them alive."""
        project = entry.thread.key.project
        self._standing.answered(project)
        if not self._accesses.has_answered(project):
            await asyncio.to_thread(self._accesses.answered, entry)
        if self._standing.breaker(project).own.asked % SHARED_EVERY == 0:
            await self._share(project)

    async def missed(self, key: Key) -> None:
        """The server did not know a thread; where they are too many, canaries are asked."""
        project = key.project
        self._standing.missed(project)
        self._missed[project].add((project, key.kind))
        async with self._turns[project]:
            await self._share(project)
            if self._standing.breaker(project).must_be_judged:
                await self._judge(project)

    async def verdict(self) -> Verdict:
        """What is believed of all that the run noted, at its end; canaries are asked once more."""
        await asyncio.to_thread(self._accesses.renew)
        believed, doubted = set[Herd](), set[Herd]()
        for herd in await asyncio.to_thread(self._parts.registry.noted_missing, self._by.run):
            project = herd[0]
            await self._share(project)
            try:
                is_believed = await self._is_believed(herd)
            except StoppedError:
                continue  # nobody could be asked: noted still, and asked for again
            if is_believed:
                believed.add(herd)
            elif self._standing.is_stopped(project):
                doubted.add(herd)
        return Verdict(frozenset(believed), frozenset(doubted))

    async def _judge(self, project: str) -> None:
        silent = [herd for herd in sorted(self._missed[project]) if not await self._answers(herd)]
        if silent:
            self._standing.breaker(project).doubt(self._why(silent))
        else:
            self._standing.breaker(project).gone()

    async def _is_believed(self, herd: Herd) -> bool:
        project = herd[0]
        stop = self._standing.breaker(project).stop
        is_own = self._parts.projects[project].not_found is NotFound.ANY_JSON
        if stop is None and self._accesses.is_proven(project) and not is_own:
            return True
        if stop is not None and not stop.looks_on:
            return False
        proven = await self._answers(herd)
        if not proven and stop is not None:
            self._standing.breaker(project).doubt(self._why([herd]))
        return proven

    async def _answers(self, herd: Herd) -> bool:
        try:
            return await self.canaries.answer(herd)
        except AccessError as error:
            self._standing.unauthorised(herd[0], str(error))
            return False

    def _why(self, silent: list[Herd]) -> str:
        """What speaks against the credential, in words."""
        project = silent[0][0]
        kinds = ", ".join(kind for _, kind in silent)
        if self._accesses.before(project) is None:
            seen = "none of its threads was ever seen alive"
        elif self._accesses.is_proven(project):
            seen = "endpoint and credential are those that saw its threads alive before"
        else:
            seen = "endpoint or credential are not those that saw its threads alive before"
        return f"no other thread of kind {kinds} answers either ({seen})"

    async def _share(self, project: str) -> None:
        registry, breaker = self._parts.registry, self._standing.breaker(project)
        if registry.lease is not None:
            others = await asyncio.to_thread(share, registry, self._by, project, breaker.own)
            breaker.hear(others)


def share(registry: Registry, by: Claimant, project: str, own: Tally) -> Tally:
    """Tell the other janitors of the run what this one has counted, and hear what they have."""
    heard = [Tally()]

    def told(before: str | None, _: datetime) -> str:
        said = orjson.loads(before or "{}")
        counts = said["counts"] if said.get("run") == by.run else {}
        heard.extend(Tally(*count) for owner, count in counts.items() if owner != by.owner)
        counts[by.owner] = [own.asked, own.missing]
        return orjson.dumps({"run": by.run, "counts": counts}).decode()

    registry.alter(f"missing_{project}", told)
    return sum(heard, start=Tally())
