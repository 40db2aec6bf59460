"""Accepts missing threads as gone, on a person's order and after one more probe.

A thread that the server still does not know becomes a tombstone, which is not counted as our
deletion. A thread that answers is active again. A canary must answer after each "not found", unless
the person does without one. Naming a missing or half-removed thread vouches for it: any 404 is then
enough, without a canary.
"""

from __future__ import annotations

import asyncio
import threading
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import islice

from janitor.engine.breaker import Stop
from janitor.engine.context import RunContext
from janitor.engine.limits import Backlog
from janitor.engine.pauses import is_paused
from janitor.engine.report import AcceptAnswer, Report, close, open_run
from janitor.engine.review import Review
from janitor.engine.settlement import settlement
from janitor.engine.worker import Worker
from janitor.errors import (
    AccessError,
    BareGoneError,
    BusyError,
    ConfigError,
    DriverError,
    GoneError,
)
from janitor.model import Key, Kind, Outcome, Stage, State
from janitor.policy.copy_retention import keep_until, terms_of
from janitor.policy.evaluate import hold_ends_at
from janitor.policy.matching import Match, match_hold, views_of
from janitor.registry import Entry, RunRecord, Settlement
from janitor.registry.claims import REVIEWED
from janitor.registry.threads import ProjectKind

PAGE = 200
ACCEPTABLE = REVIEWED | {State.MISSING}
VOUCHED = frozenset({State.MISSING, State.DELETING})
"""States in which a thread that a person names is accepted as gone without a canary."""
ACCEPTED = "accepted"
COMMAND = "missing accept"
ALIVE = "the server still has it"


@dataclass(frozen=True, slots=True)
class Acceptance:
    """What a person accepts as gone, and why.

    Without `ids`: every thread that is missing or noted as missing, of the `project` and `kind` if
    given. With `needs_canary=False`, that is every registered thread of these, since none was
    believed missing. Named threads may also be half removed (`deleting`), which no answer of the
    server can end.
    """

    reason: str
    actor: str
    project: str | None = None
    kind: Kind | None = None
    ids: tuple[str, ...] = ()
    needs_canary: bool = True

    def covers(self, key: Key) -> bool:
        """Whether the thread is of the given project and kind."""
        return self.project in (None, key.project) and self.kind in (None, key.kind)


async def accept_missing(
    context: RunContext, acceptance: Acceptance, stop: threading.Event
) -> Report:
    """Probe missing threads again, and turn those that are still unknown into tombstones.

    Raises:
        ConfigError: A project is not configured, or an id is not registered or not missing.
        StoreError: The registry failed.
    """
    named = check(context, acceptance)
    run = open_run(context, COMMAND)
    worker = _Accepter(context, run, stop, acceptance)
    async with worker.lease.kept():
        entries = named or context.registry.threads.unknown_upstream(
            acceptance.project, acceptance.kind, everything=not acceptance.needs_canary
        )
        complete = await worker.work_all(worker.claimed(entries))
        worker.lease.check()
        for entry in named:
            if entry.thread.key not in worker.answers:
                worker.keep_because(
                    entry, "claim_lost", "another janitor is working on it; try again"
                )
        report = await close(worker, run, Backlog(), complete=complete)
    return replace(report, answers=tuple(worker.answers.values()))


def check(context: RunContext, acceptance: Acceptance) -> list[Entry]:
    """The entries of the named ids.

    Raises:
        ConfigError: As for `accept_missing`.
    """
    if acceptance.project is not None and acceptance.project not in context.projects:
        known = ", ".join(context.projects)
        raise ConfigError(f"--project {acceptance.project}: no such project; known: {known}")
    return [_named(context, acceptance, name) for name in acceptance.ids]


def _named(context: RunContext, acceptance: Acceptance, id: str) -> Entry:
    registered = [
        entry for entry in context.registry.threads.find(id) if acceptance.covers(entry.thread.key)
    ]
    if not registered:
        raise ConfigError(f"{id!r} is not registered there; see `janitor missing list`")
    acceptable = [entry for entry in registered if _is_acceptable(entry, acceptance)]
    if len(acceptable) != 1:
        states = ", ".join(
            f"{entry.thread.key.project}: {entry.thread.state}" for entry in registered
        )
        raise ConfigError(f"{id}: not missing ({states}); see `janitor missing list`")
    return acceptable[0]


def _is_acceptable(entry: Entry, acceptance: Acceptance) -> bool:
    if acceptance.ids and entry.thread.state in VOUCHED:
        return True
    is_noted = entry.missing_since is not None or not acceptance.needs_canary
    return is_noted and entry.thread.state in ACCEPTABLE


class _Accepter(Worker):
    """Probes threads and accepts those that are gone; sends nothing but reads."""

    def __init__(
        self, context: RunContext, run: RunRecord, stop: threading.Event, acceptance: Acceptance
    ) -> None:
        super().__init__(context, run, stop)
        self._acceptance = acceptance
        self._proof = _Proof(self)
        self.answers: dict[Key, AcceptAnswer] = {}

    def claimed(self, entries: Iterable[Entry]) -> Iterator[Entry]:
        """Claim the entries for this run, page by page; yields them as they are now."""
        left = iter(entries)
        while page := [entry.thread.key for entry in islice(left, PAGE)]:
            yield from self.context.registry.claims.take_keys(
                self.claimant, page, ACCEPTABLE | VOUCHED
            )

    async def work(self, entry: Entry) -> None:
        """Probe one thread and settle the result, whatever it is."""
        project = entry.thread.key.project
        if not self.context.serves(entry.thread.key):
            why = f"no configured project {project} serves its kind"
            self.keep_because(entry, "not_served", why, failed=True)
        elif not self.may_call_about(entry):
            self.keep_because(entry, "limit", f"project {project} was stopped", failed=True)
        elif is_paused(self.context, entry, entry.policy):
            self.keep_because(entry, "paused", "it is paused; end the pause with `janitor resume`")
        else:
            await self._ask(entry)

    async def _ask(self, entry: Entry) -> None:
        """Probe the thread. Without an answer it stays unchanged."""
        try:
            review = await self.reviewer.on_probe(entry, self.context.clock())
        except GoneError:
            await self._accept_proven(entry, vouched=self._is_vouched(entry))
        except BareGoneError as error:
            if self._is_vouched(entry):
                await self._accept_proven(entry, vouched=True)
            else:
                self._refuse_for(entry, error)
        except BusyError:
            named = bool(self._acceptance.ids)
            self.keep_because(entry, "busy", f"{ALIVE}, and it is in use", failed=named)
        except AccessError as error:
            self.health.failed(entry, error)
            self.keep_because(entry, "access", str(error), failed=True)
        except DriverError as error:
            self._refuse_for(entry, error)
        else:
            await self.missing_judge.answered(entry)
            await self._keep_alive(entry, review)

    def _is_vouched(self, entry: Entry) -> bool:
        """Whether a person named this thread, and its row may be settled on that alone."""
        if not self._acceptance.ids:
            return False
        return entry.thread.state in VOUCHED or not self._acceptance.needs_canary

    def _refuse_for(self, entry: Entry, error: DriverError) -> None:
        self.health.failed(entry, error)
        self.keep_because(entry, "no_answer", str(error), failed=True)

    async def _keep_alive(self, entry: Entry, review: Review) -> None:
        named = bool(self._acceptance.ids)
        if entry.thread.state is State.DELETING:
            why = f"{ALIVE}: its removal continues at the next sweep"
            self.keep_because(entry, "found", why, failed=named)
            return
        if (trouble := self.context.watch.trouble) is not None:  # then nothing is recorded
            self.keep_because(entry, "clock", trouble, failed=True)
            return
        line = self._event(entry, "kept", Outcome.KEPT, "found")
        due = replace(review.decision, review_at=line.at)
        await self._commit(replace(settlement(review, due), events=(line,)))
        self._answer(entry, f"{ALIVE}: it is active again", failed=named)

    async def _accept_proven(self, entry: Entry, *, vouched: bool) -> None:
        key = entry.thread.key
        needs_canary = self._acceptance.needs_canary and not vouched
        if needs_canary and not await self._proof.of((key.project, key.kind)):
            self.health.breaker(key.project).heed(_unproven(key))
            why = f"no other {key.kind} of project {key.project} answers"
            self.keep_because(entry, "limit", why, failed=True)
        elif hold := await asyncio.to_thread(self._hold, entry):
            self.keep_because(entry, "hold", f"hold {hold} keeps it")
        elif (trouble := self.context.watch.trouble) is not None:
            self.keep_because(entry, "clock", trouble, failed=True)
        else:
            await self._accept(entry)

    def keep_because(self, entry: Entry, reason: str, why: str, *, failed: bool = False) -> None:
        """Count a thread that is left unchanged, and report why in words."""
        self.keep_unsettled(entry, reason)
        self._answer(entry, why, failed=failed)

    def _answer(self, entry: Entry, text: str, *, failed: bool = False) -> None:
        self.answers[entry.thread.key] = AcceptAnswer(entry.thread.key, text, failed=failed)

    def _hold(self, entry: Entry) -> str | None:
        """The name of a hold that names the thread now, or may name it."""
        now, thread = self.context.clock(), entry.thread
        grace, views = self.context.policies.release_grace, views_of(thread)
        for hold in self.context.registry.holds.recent(now):
            if hold_ends_at(hold, grace) > now and match_hold(hold, thread, views) is not Match.NO:
                return hold.name
        return None

    async def _accept(self, entry: Entry) -> None:
        self.executor.doing[entry.thread.key] = Stage.DELETE
        reason = f"{self._acceptance.actor}: {self._acceptance.reason}"
        line = self._event(entry, "missing_accepted", Outcome.MISSING, reason)
        living = replace(entry.thread, state=State.ACTIVE)
        change = Settlement(entry.thread.key, None, tombstone=True, events=(line,))
        if entry.thread.copy is not None:
            decision = self.reviewer.decide(living, line.at)
            change = replace(
                change,
                archive_keep_until=keep_until(decision, line.at),
                archive_terms=terms_of(living, decision, self.executor.selection),
            )
        await self._commit(change)
        self._answer(entry, ACCEPTED)


class _Proof:
    """Asks a canary after each "not found"; callers that wait at the same time share its answer."""

    def __init__(self, worker: Worker) -> None:
        self._worker = worker
        self._begun: Counter[ProjectKind] = Counter()
        self._answers: dict[ProjectKind, bool] = {}
        self._turns: defaultdict[ProjectKind, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def of(self, pair: ProjectKind) -> bool:
        """Whether a canary was asked after this call began, and answered."""
        begun = self._begun[pair]
        async with self._turns[pair]:
            if self._begun[pair] == begun:
                self._begun[pair] += 1
                self._answers[pair] = await self._worker.missing_judge.canaries.answer(pair)
            return self._answers.get(pair, False)


def _unproven(key: Key) -> Stop:
    scope = f"--project {key.project} --kind {key.kind}"
    message = (
        f"project {key.project}: no other thread of kind {key.kind} answers, so nothing proves "
        "that the key and the endpoint are right; nothing more of it is accepted. Check api_key, "
        f"organization, project and base_url under projects.{key.project}. Only if all of that "
        f"kind are gone for good: `janitor missing accept {scope} --without-canary --reason R`"
    )
    return Stop(key.project, "missing", message, 4)
