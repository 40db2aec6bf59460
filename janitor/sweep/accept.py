"""Settles for good what the server no longer knows: a person says so, and it is asked once more.

What is still unknown becomes a tombstone, never counted as a deletion of ours. What answers again
is active again. A canary has to answer after each "not found", unless a person does without it.
Who names a thread that is missing or half removed vouches for it: any 404 will do, and no canary.
"""

from __future__ import annotations

import asyncio
import threading
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import islice

from janitor.errors import (
    AccessError,
    BareGoneError,
    BusyError,
    ConfigError,
    DriverError,
    GoneError,
)
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
from janitor.sweep.report import Answer, Report, close, close_dead
from janitor.sweep.review import Review
from janitor.sweep.settle import settlement
from janitor.sweep.work import Worker

PAGE = 200
ACCEPTABLE = REVIEWED | {State.MISSING}
VOUCHED = frozenset({State.MISSING, State.DELETING})
"""The states in which a person's word about a named thread needs no canary beside it."""
ACCEPTED = "accepted"
COMMAND = "missing accept"
ALIVE = "the server still has it"


@dataclass(frozen=True, slots=True)
class Acceptance:
    """What a person accepts as gone, and why.

    No `ids`: all that is missing or noted so, of a `project` and `kind` where these are given.
    Without a canary it is everything of them that is registered: nothing was believed missing.
    Named ones may also be half removed (`deleting`), where no answer of the server ends that.
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
    run = registry.open_run(COMMAND, parts.policies.mode, digest, parts.clock())
    worker = _Accepter(parts, run, stop, said)
    async with worker.lease.kept():
        complete = await worker.work_all(worker.claimed(named or _all(parts, said)))
        worker.lease.check()
        for entry in named:
            if entry.thread.key not in worker.answers:
                worker.keep_because(entry, "claim_lost", "another janitor works on it; try again")
        report = await close(worker, run, Backlog(), complete=complete)
    return replace(report, answers=tuple(worker.answers.values()))


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
    if said.ids and entry.thread.state in VOUCHED:
        return True
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
        self.answers: dict[Key, Answer] = {}

    def claimed(self, entries: Iterable[Entry]) -> Iterator[Entry]:
        """The entries as they are by now, claimed for this run, by pages."""
        left = iter(entries)
        while page := [entry.thread.key for entry in islice(left, PAGE)]:
            yield from self.parts.registry.claim_keys(self.claimant, page, ACCEPTABLE | VOUCHED)

    async def work(self, entry: Entry) -> None:
        """Ask for one thread; settle however that ends."""
        project = entry.thread.key.project
        if not self.reviewer.serves(entry):
            why = f"no configured project {project} serves its kind"
            self.keep_because(entry, "not_served", why, failed=True)
        elif not self.may_call_about(entry):
            self.keep_because(entry, "limit", f"project {project} was stopped", failed=True)
        elif is_paused(self.parts, entry, entry.policy):
            self.keep_because(entry, "paused", "it is paused; end that with `janitor resume`")
        else:
            await self._ask(entry)

    async def _ask(self, entry: Entry) -> None:
        """Ask the server; what is no answer is told, and leaves the thread exactly as it is."""
        try:
            review = await self.reviewer.on_probe(entry, self.parts.clock())
        except GoneError:
            await self._accept_proven(entry, vouched=self._is_vouched(entry))
        except BareGoneError as error:
            if self._is_vouched(entry):
                await self._accept_proven(entry, vouched=True)
            else:
                self._refuse_for(entry, error)
        except BusyError:
            named = bool(self._said.ids)
            self.keep_because(entry, "busy", f"{ALIVE}, and it is in use", failed=named)
        except AccessError as error:
            self.standing.unauthorised(entry.thread.key.project, str(error))
            self.keep_because(entry, "access", str(error), failed=True)
        except DriverError as error:
            self._refuse_for(entry, error)
        else:
            await self.inquest.answered(entry)
            await self._keep_alive(entry, review)

    def _is_vouched(self, entry: Entry) -> bool:
        """Whether a person named this very thread, where the row may be settled by such a word."""
        if not self._said.ids:
            return False
        return entry.thread.state in VOUCHED or not self._said.needs_canary

    def _refuse_for(self, entry: Entry, error: DriverError) -> None:
        self.standing.failed(entry, error)
        self.keep_because(entry, "no_answer", str(error), failed=True)

    async def _keep_alive(self, entry: Entry, review: Review) -> None:
        named = bool(self._said.ids)
        if entry.thread.state is State.DELETING:
            why = f"{ALIVE}: its removal goes on at the next sweep"
            self.keep_because(entry, "found", why, failed=named)
            return
        line = self._event(entry, "kept", Outcome.KEPT, "found")
        due = replace(review.decision, review_at=line.at)
        await self._commit(replace(settlement(review, due), events=(line,)))
        self._answer(entry, f"{ALIVE}: it is active again", failed=named)

    async def _accept_proven(self, entry: Entry, *, vouched: bool) -> None:
        key = entry.thread.key
        needs_canary = self._said.needs_canary and not vouched
        if needs_canary and not await self._proof.of((key.project, key.kind)):
            self.standing.breaker(key.project).heed(_unproven(key))
            why = f"no other {key.kind} of project {key.project} answers"
            self.keep_because(entry, "limit", why, failed=True)
        elif hold := await asyncio.to_thread(self._hold, entry):
            self.keep_because(entry, "hold", f"hold {hold} keeps it")
        elif (trouble := self.parts.watch.trouble) is not None:
            self.keep_because(entry, "clock", trouble, failed=True)
        else:
            await self._accept(entry)
            self._answer(entry, ACCEPTED)

    def keep_because(self, entry: Entry, reason: str, why: str, *, failed: bool = False) -> None:
        """Count a thread that is left exactly as it is, and say why in words."""
        self.keep_unsettled(entry, reason)
        self._answer(entry, why, failed=failed)

    def _answer(self, entry: Entry, said: str, *, failed: bool = False) -> None:
        self.answers[entry.thread.key] = Answer(entry.thread.key, said, failed=failed)

    def _hold(self, entry: Entry) -> str | None:
        """The name of a hold that names the thread at this moment, or may name it."""
        now, thread = self.parts.clock(), entry.thread
        grace, views = self.parts.policies.release_grace, views_of(thread)
        for hold in self.parts.registry.holds(now):
            if hold_ends_at(hold, grace) > now and match_hold(hold, thread, views) is not Match.NO:
                return hold.name
        return None

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
