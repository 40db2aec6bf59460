"""Settles for good what the server no longer knows: a person says so, and it is asked once more.

What is still unknown becomes a tombstone, never counted as a deletion of ours. What answers again
is active again. A canary has to answer after each "not found", unless a person does without it.
"""

from __future__ import annotations

import asyncio
import threading
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import islice

from janitor.errors import ConfigError, GoneError
from janitor.model import Key, Kind, Outcome, Stage, State
from janitor.policy import policies_digest
from janitor.policy.matching import Match, match_hold, views_of
from janitor.policy.protections import hold_ends_at
from janitor.policy.retention import keep_until, terms_of
from janitor.registry import Entry, RunRecord, Settlement
from janitor.registry.claiming import REVIEWED
from janitor.registry.missing import Herd
from janitor.sweep.backlog import Backlog
from janitor.sweep.breaker import Stop
from janitor.sweep.parts import Parts
from janitor.sweep.paused import is_paused
from janitor.sweep.report import Report, close, close_dead
from janitor.sweep.settle import settlement
from janitor.sweep.work import Worker

PAGE = 200
ACCEPTABLE = REVIEWED | {State.MISSING}


@dataclass(frozen=True, slots=True)
class Acceptance:
    """What a person accepts as gone, and why.

    No `ids`: all that is missing or noted so, of a `project` and `kind` where these are given.
    Without a canary it is everything of them that is registered: nothing was believed missing.
    """

    reason: str
    actor: str
    project: str | None = None
    kind: Kind | None = None
    ids: tuple[str, ...] = ()
    needs_canary: bool = True

    def covers(self, key: Key) -> bool:
        """Whether the thread is of the project and kind that are meant."""
        return self.project in (None, key.project) and self.kind in (None, key.kind)


async def accept_missing(parts: Parts, said: Acceptance, stop: threading.Event) -> Report:
    """Ask again for what is missing, and turn what is still unknown into tombstones.

    Raises:
        ConfigError: A project is not configured, or an id is not registered or not missing.
        StoreError: The registry failed.
    """
    named = check(parts, said)
    registry, digest = parts.registry, policies_digest(parts.policies)
    registry.release_claims()
    close_dead(registry, parts.clock())
    run = registry.open_run("missing accept", parts.policies.mode, digest, parts.clock())
    worker = _Accepter(parts, run, stop, said)
    async with worker.lease.kept():
        complete = await worker.work_all(worker.claimed(named or _all(parts, said)))
        worker.lease.check()
        return await close(worker, run, Backlog(), complete=complete)


def check(parts: Parts, said: Acceptance) -> list[Entry]:
    """The entries of the ids that were named.

    Raises:
        ConfigError: As `accept_missing` says.
    """
    if said.project is not None and said.project not in parts.projects:
        known = ", ".join(parts.projects)
        raise ConfigError(f"--project {said.project}: there is no such project; known: {known}")
    return [_named(parts, said, one) for one in said.ids]


def _named(parts: Parts, said: Acceptance, id: str) -> Entry:
    found = [entry for entry in parts.registry.find(id) if said.covers(entry.thread.key)]
    if not found:
        raise ConfigError(f"{id!r} is not registered there; look with `janitor missing list`")
    fitting = [entry for entry in found if _is_acceptable(entry, said)]
    if len(fitting) != 1:
        states = ", ".join(f"{one.thread.key.project}: {one.thread.state}" for one in found)
        raise ConfigError(f"{id}: not missing ({states}); look with `janitor missing list`")
    return fitting[0]


def _is_acceptable(entry: Entry, said: Acceptance) -> bool:
    is_noted = entry.missing_since is not None or not said.needs_canary
    return is_noted and entry.thread.state in ACCEPTABLE


def _all(parts: Parts, said: Acceptance) -> Iterator[Entry]:
    registry, everything = parts.registry, not said.needs_canary
    return registry.unknown_upstream(said.project, said.kind, everything=everything)


class _Accepter(Worker):
    """Asks for threads and accepts their absence; nothing is sent but reads."""

    def __init__(
        self, parts: Parts, run: RunRecord, stop: threading.Event, said: Acceptance
    ) -> None:
        super().__init__(parts, run, stop)
        self._said = said
        self._proof = _Proof(self)

    def claimed(self, entries: Iterable[Entry]) -> Iterator[Entry]:
        """The entries as they are by now, claimed for this run, by pages."""
        left = iter(entries)
        while page := [entry.thread.key for entry in islice(left, PAGE)]:
            yield from self.parts.registry.claim_keys(self.claimant, page, ACCEPTABLE)

    async def work(self, entry: Entry) -> None:
        """Ask for one thread; settle however that ends."""
        if not self.reviewer.serves(entry):
            self.keep_unsettled(entry, "not_served")
        elif not self.may_call_about(entry):
            self.keep_unsettled(entry, "limit")
        elif is_paused(self.parts, entry, entry.policy):
            self.keep_unsettled(entry, "paused")
        else:
            await self.settle_failures(entry, self._ask(entry))

    async def _ask(self, entry: Entry) -> None:
        try:
            review = await self.reviewer.on_probe(entry, self.parts.clock())
        except GoneError:
            await self._accept_proven(entry)
            return
        await self.inquest.answered(entry)
        line = self._event(entry, "kept", Outcome.KEPT, "found")
        due = replace(review.decision, review_at=line.at)
        await self._commit(replace(settlement(review, due), events=(line,)))

    async def _accept_proven(self, entry: Entry) -> None:
        key = entry.thread.key
        if self._said.needs_canary and not await self._proof.of((key.project, key.kind)):
            self.standing.breaker(key.project).heed(_unproven(key))
            self.keep_unsettled(entry, "limit")
        elif await asyncio.to_thread(self._is_held, entry):
            self.keep_unsettled(entry, "hold")
        else:
            await self._accept(entry)

    def _is_held(self, entry: Entry) -> bool:
        """Whether a hold names the thread at this moment, or may name it."""
        now, thread = self.parts.clock(), entry.thread
        grace, views = self.parts.policies.release_grace, views_of(thread)
        return any(
            hold_ends_at(hold, grace) > now and match_hold(hold, thread, views) is not Match.NO
            for hold in self.parts.registry.holds(now)
        )

    async def _accept(self, entry: Entry) -> None:
        self.actor.doing[entry.thread.key] = Stage.DELETE
        reason = f"{self._said.actor}: {self._said.reason}"
        line = self._event(entry, "missing_accepted", Outcome.MISSING, reason)
        living = replace(entry.thread, state=State.ACTIVE)
        change = Settlement(entry.thread.key, None, tombstone=True, events=(line,))
        if entry.thread.copy is not None:
            decision = self.reviewer.decide(living, line.at)
            change = replace(
                change,
                archive_keep_until=keep_until(decision, line.at),
                archive_terms=terms_of(living, decision, self.actor.selection),
            )
        await self._commit(change)


class _Proof:
    """Whether canaries answer after each "not found"; what waits at one moment shares an answer."""

    def __init__(self, worker: Worker) -> None:
        self._worker = worker
        self._begun: Counter[Herd] = Counter()
        self._answers: dict[Herd, bool] = {}
        self._turns: defaultdict[Herd, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def of(self, herd: Herd) -> bool:
        """Whether a canary was asked after this call began, and answered."""
        begun = self._begun[herd]
        async with self._turns[herd]:
            if self._begun[herd] == begun:
                self._begun[herd] += 1
                self._answers[herd] = await self._worker.inquest.canaries.answer(herd)
            return self._answers.get(herd, False)


def _unproven(key: Key) -> Stop:
    scope = f"--project {key.project} --kind {key.kind}"
    message = (
        f"project {key.project}: no other thread of kind {key.kind} answers, so nothing proves "
        "the key and the endpoint right; nothing more of it is accepted. Check api_key, "
        f"organization, project and base_url under projects.{key.project}. Only if all of that "
        f"kind are gone for good: `janitor missing accept {scope} --without-canary --reason R`"
    )
    return Stop(key.project, "missing", message, 4)
