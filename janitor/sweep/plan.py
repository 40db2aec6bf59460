"""A dry run: the same look at what is due, stopped before the first effect.

A plan is a document that a person can review and `apply` carries out to the letter. Its digest
covers all that is read back of it, and the registry signs the digest.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from itertools import chain, islice
from typing import Any

import orjson

from janitor.archive import ArchiveDamagedError
from janitor.catalogue import CATALOGUE
from janitor.errors import ArchiveError, BusyError, DriverError, GoneError
from janitor.model import Key, Kind, Reason, Stage, State, Thread
from janitor.policy import policies_digest
from janitor.registry import Entry
from janitor.registry.claiming import REVIEWED
from janitor.sources import down
from janitor.sweep.approval import described
from janitor.sweep.asking import CLOCK
from janitor.sweep.backlog import Backlog, due_entries, judge
from janitor.sweep.gate import Gate, is_paused_by
from janitor.sweep.heads import Answer, Heads
from janitor.sweep.overdue import Failing, failing
from janitor.sweep.parts import Parts
from janitor.sweep.paused import PAUSED
from janitor.sweep.prune import foresee_pruning
from janitor.sweep.pruned import Pruned
from janitor.sweep.ranks import as_seen
from janitor.sweep.redecide import foresee, is_outdated, living_entries, rescheduled, rules_digest
from janitor.sweep.review import Review, Reviewer
from janitor.sweep.settle import is_resting
from janitor.sweep.settling import HELD_BACK
from janitor.sweep.silence import Silence
from janitor.sweep.unfinished import (
    Unfinished,
    half_deleted,
    is_asked,
    on_facts,
    on_probe,
    restored,
)

CHUNK = 100
DELETES_PER_SECOND = 5.0  # the one published quota: 300 DELETE and 1000 GET a minute
READS_PER_SECOND = 16.6


@dataclass(frozen=True, slots=True)
class Scope:
    """How far a dry run looks: how many threads it probes, and whether it lists kept ones."""

    probes: int = 500
    offline: bool = False
    everything: bool = False


@dataclass(frozen=True, slots=True)
class Planned:
    """One thread as it was when the plan was made; `probed` tells whether the server was asked.

    `stages` are what `apply` carries out, `swept` those of them that a sweep would by itself. It
    leaves the others for the `reason`: `unapproved`, `limit`, `paused`, `audit`, `archive_down`,
    `uncounted`. What a pause, audit or the archive keeps, `apply` leaves, too, while that lasts.
    """

    key: Key
    stages: tuple[Stage, ...]
    policy: str | None
    due_at: datetime | None
    age_base: datetime | None
    reason: str | None
    last_active_at: datetime | None
    newest_item: str | None
    probed: bool
    swept: tuple[Stage, ...] = ()

    def row(self) -> dict[str, Any]:
        """The decision as interface.md names its fields."""
        first = self.stages[0] if self.stages else "none"
        fields = {name: value for name, value in asdict(self).items() if name != "key"}
        return {**asdict(self.key), "stage": first, **fields}


@dataclass(slots=True)
class Plan:
    """What a sweep would do now, why, and what it costs.

    `kept` counts by reason what a sweep that begins now would keep, or would get no answer for.
    `pending` tells whether its policies wait for approval, which `apply` gives; `unapproved` counts
    by policy the threads that they remove earlier than those approved last. `sources_down` are the
    sources that failed when they were last read, with what to do; a plan reads none. `heads` are
    read for nothing but the sake of others in their `keep_last` groups, each by one call. `pruned`
    is what would become of the archive's copies past their date. `unfinished` are removals that
    were begun; any run goes on with them first. `signature` is the registry's, over the digest and
    the time. `due_earlier` counts the threads that fall due earlier since an import or a source
    replaced the date of their first sight. `failing` are due as well: their last attempt failed,
    and a sweep leaves them alone until they are retried.
    """

    registry: str
    policies_digest: str
    mode: str
    now: datetime
    hypothetical: bool
    decisions: list[Planned] = field(default_factory=list)
    kept: Counter[str] = field(default_factory=Counter)
    backlog: Backlog = field(default_factory=Backlog)
    not_probed: int = 0
    heads: int = 0
    undrained: int = 0
    clock_trouble: str | None = None
    archive_trouble: str | None = None
    pending: bool = False
    unapproved: Mapping[str, int] = field(default_factory=dict)
    sources_down: Mapping[str, str] = field(default_factory=dict)
    pruned: Pruned = field(default_factory=Pruned)
    unfinished: list[Unfinished] = field(default_factory=list)
    signature: str = ""
    due_earlier: int = 0
    failing: list[Failing] = field(default_factory=list)

    @property
    def digest(self) -> str:
        """sha256 over the head and over every decision to act: all that is read back of a plan."""
        head = [self.registry, self.policies_digest, self.mode, self.pending, self.hypothetical]
        rows = sorted(orjson.dumps(planned.row()) for planned in self.decisions if planned.stages)
        return hashlib.sha256(b"\n".join([orjson.dumps([*head, self.now]), *rows])).hexdigest()

    def document(self) -> dict[str, Any]:
        """The plan as one JSON document (interface.md)."""
        return {
            "digest": self.digest,
            "signature": self.signature,
            "now": self.now,
            "hypothetical": self.hypothetical,
            "mode": self.mode,
            "registry": self.registry,
            "policies_digest": self.policies_digest,
            "approval": self.approval(),
            "unfinished": [one.row() for one in self.unfinished],
            "decisions": [planned.row() for planned in self.decisions],
            "kept": dict(self.kept),
            "limits": _limits(self.backlog) | {"clock_step": self.clock_trouble},
            "cost": cost(self.decisions, self.heads, self.unfinished),
            "not_probed": self.not_probed,
            "unmatched_rules": list(self.backlog.silent_rules),
            "undrained": self.undrained,
            "sources_down": dict(self.sources_down),
            "archive_down": self.archive_trouble,
            "pruned": self.pruned.foreseen,
            "archive_copies": self.pruned.document(),
            "due_earlier": self.due_earlier,
            "failing": [_failing(one) for one in self.failing],
        }

    def approval(self) -> dict[str, Any]:
        """Whether the policies wait for approval, and for how many threads it matters."""
        return described(self.policies_digest, self.unapproved if self.pending else None)


async def plan(parts: Parts, scope: Scope, *, hypothetical: bool = False) -> Plan:
    """Look at what is due and say what a sweep would do; changes nothing anywhere.

    Raises:
        AccessError: A project's credential was refused.
        LimitError: The policies approved last cannot be read.
    """
    now, registry = parts.clock(), parts.registry
    digest = policies_digest(parts.policies)
    made = Plan(registry.id, digest, parts.policies.mode, now, hypothetical)
    made.undrained = registry.undrained()
    made.sources_down = down(registry, parts.sources)
    parts, made.unapproved = foresee(parts, now)
    made.pending = parts.approved is not None
    made.failing = [
        one
        for one in failing(parts, now)
        if is_resting(one.entry, now) and one.entry.thread.state is not State.DELETING
    ]
    made.archive_trouble = None if parts.archive_error is None else str(parts.archive_error)
    silence = Silence(parts.policies, registry.holds(now), now)
    planner = _Planner(made, parts, scope, silence)
    await planner.tell_unfinished()
    await asyncio.to_thread(planner.count)
    _keep_what_is_over_a_limit(made)
    await planner.decide()
    outdated = is_outdated(parts)
    recorded = None if outdated else registry.silent_rules(rules_digest(parts))
    governing = () if outdated else registry.population()  # else rows tell of other rules
    made.backlog.silent_rules = silence.told(registry, recorded, governing)
    made.pruned = await asyncio.to_thread(foresee_pruning, parts, now)
    if not hypothetical:
        parts.watch.compare(registry.recall(CLOCK))
        made.clock_trouble = parts.watch.trouble
    made.signature = registry.signature(made.digest, made.now)
    return made


def _keep_what_is_over_a_limit(made: Plan) -> None:
    """What is decided anew falls under the limits; the other removals that were begun do not."""
    for place, one in enumerate(made.unfinished):
        if one.untouched and one.kept is None and one.policy in made.backlog.tripped:
            made.unfinished[place] = replace(one, kept="limit")
    made.kept.update(one.kept for one in made.unfinished if one.kept is not None)


class _Planner:
    """Goes through what a sweep would go through, in the same order: count first, then decide."""

    def __init__(self, made: Plan, parts: Parts, scope: Scope, silence: Silence) -> None:
        self._made = made
        self._parts = parts
        self._scope = scope
        self._silence = silence
        self._left = 0 if scope.offline else scope.probes
        self._heads = Heads(made.now, self._ask_head, Reason.NOT_PROBED)
        self._reviewer = Reviewer(parts, parts.registry.holds(made.now), self._heads)
        self._outdated = is_outdated(parts)
        pauses = parts.registry.pauses(made.now)
        self._gate = Gate(parts, lambda: pauses, is_counted=True, pauses=pauses)
        self._put_off: list[tuple[Review, Review]] = []

    async def tell_unfinished(self) -> None:
        """Record the removals that were begun, and what the server still has of them."""
        made, entries = self._made, half_deleted(self._parts.registry)
        while chunk := list(islice(entries, CHUNK)):
            wanted = [one for one in chunk if is_asked(self._parts, self._reviewer, one)]
            asked = wanted[: self._left]
            self._left -= len(asked)
            made.not_probed += len(wanted) - len(asked)
            found = await asyncio.gather(*map(self._unfinished, asked))
            known = {one.key: one for one in found}
            for entry in chunk:
                key = entry.thread.key
                one = known.get(key) or on_facts(self._parts, self._reviewer, entry, made.now)
                made.unfinished.append(one)
                if one.untouched and one.kept is None:
                    made.backlog.add(self._reviewer.on_facts(restored(entry), made.now))

    async def _unfinished(self, entry: Entry) -> Unfinished:
        return await on_probe(self._parts, self._reviewer, entry, self._made.now)

    def count(self) -> None:
        """Count what is due and judge it against the limits. Blocks."""
        for entry, review in self._up_for_review(self._silence):
            if self._reviewer.serves(entry):
                is_paused = is_paused_by(self._gate.pauses, review)
                self._made.backlog.add(review, is_paused=is_paused)
                self._made.due_earlier += self._falls_due_earlier(review)
        judge(self._parts, self._made.backlog, self._made.now)
        self._gate.forbidden = frozenset(self._made.backlog.tripped)

    async def decide(self) -> None:
        """Ask the server about those that need it, as long as probes are left; record all."""
        pages = chain(self._up_for_review(None), self._missing())
        while page := await asyncio.to_thread(list, islice(pages, CHUNK)):
            served = [review for entry, review in page if self._reviewer.serves(entry)]
            self._made.kept["not_served"] += len(page) - len(served)
            await self._take_in(served)
        for facts, found in self._put_off:  # others of their groups have been looked at by now
            await self._record(facts, found)
        self._made.kept = +self._made.kept

    def _up_for_review(self, silence: Silence | None) -> Iterator[tuple[Entry, Review]]:
        """What a sweep that begins now would claim, decided by the registry's facts.

        Where the rules have changed, that is known only of rows that are decided anew.
        """
        registry, now = self._parts.registry, self._made.now
        for entry in living_entries(registry) if self._outdated else due_entries(registry, now):
            if silence is not None:
                silence.see(entry.thread)
            if entry.thread.state in REVIEWED:
                review = self._reviewer.on_facts(entry, now)
                _, at, *_ = rescheduled(review, now) if self._outdated else (None, now)
                if at is not None and at <= now:
                    yield entry, review

    def _missing(self) -> Iterator[tuple[Entry, Review]]:
        for entry in self._parts.registry.due_missing(self._made.now):
            yield entry, self._reviewer.on_facts(entry, self._made.now)

    async def _take_in(self, reviews: list[Review]) -> None:
        wanted = [review for review in reviews if self._needs_probe(review)]
        asked = wanted[: self._left]
        self._left -= len(asked)
        self._made.not_probed += len(wanted) - len(asked)
        probed = await asyncio.gather(*(self._look(review) for review in asked))
        known = {id(review): answer for review, answer in zip(asked, probed, strict=True)}
        for review in reviews:
            found = known.get(id(review), review)
            if not isinstance(found, str) and await self._is_put_off(review, found):
                self._put_off.append((review, found))
            else:
                await self._record(review, found)

    async def _is_put_off(self, facts: Review, found: Review) -> bool:
        if self._gate.before_look(facts) is not None:
            return False
        return await asyncio.to_thread(self._reviewer.is_put_off, found, self._made.now)

    def _falls_due_earlier(self, review: Review) -> bool:
        """Whether an operator's report made it fall due earlier, and nobody decided on it yet."""
        before, due_at = review.entry.dated_before, review.decision.due_at
        if before is None or due_at is None:
            return False
        thread = replace(review.thread, last_active_at=before)
        then = self._reviewer.decide(thread, self._made.now).due_at
        return then is None or due_at < then

    def _needs_probe(self, review: Review) -> bool:
        """As a sweep asks; what a limit or an approval keeps is asked about for `apply`."""
        if self._gate.before_look(review) == PAUSED:
            return False
        approved = self._reviewer.alone(review.thread, self._made.now)
        return self._reviewer.needs_probe(review) or bool(approved and approved.stages)

    async def _look(self, review: Review) -> Review | str:
        key = review.entry.thread.key
        try:
            found = await self._reviewer.look(review.entry, self._made.now)
        except GoneError:
            self._heads.hear(key, Answer.GONE)
            return "missing"
        except BusyError:
            self._heads.hear(key, Answer.ALIVE)
            return "busy"
        except (DriverError, ArchiveDamagedError):
            self._heads.hear(key, Answer.FAILED)
            return "failed"
        except ArchiveError:
            self._heads.hear(key, Answer.FAILED)
            return "archive_down"
        self._silence.see(found.thread)
        self._heads.hear(key, self._place(review.entry, found.thread))
        return found

    async def _ask_head(self, head: Entry) -> Answer:
        key = head.thread.key
        if not self._reviewer.serves(head):
            return Answer.UNHEARD
        self._made.heads += 1
        if self._left <= 0:
            self._made.not_probed += 1
            return Answer.UNPROBED
        self._left -= 1
        try:
            presence = await self._reviewer.driver(head).presence(key.id)
        except GoneError:
            self._made.kept["missing"] += 1
            return Answer.GONE
        except BusyError:
            return Answer.ALIVE
        except DriverError:
            self._made.kept["failed"] += 1
            return Answer.FAILED
        return self._place(head, as_seen(head, presence))

    def _place(self, head: Entry, seen: Thread) -> Answer:
        is_placed = self._reviewer.is_still_placed(head, seen, self._made.now)
        return Answer.ALIVE if is_placed else Answer.ELSEWHERE

    async def _record(self, facts: Review, found: Review | str) -> None:
        """Count one thread as a sweep would, and list what a sweep or `apply` would do with it."""
        made, now, why = self._made, self._made.now, self._gate.before_look(facts)
        if not isinstance(found, str) and why != PAUSED:
            found = await self._reviewer.conclude(found, now)
        if why is not None:
            made.kept[why] += 1
            swept: tuple[Stage, ...] = ()
        else:
            seen = found if self._reviewer.needs_probe(facts) else facts
            swept, why = await asyncio.to_thread(self._swept, facts, seen)
        if isinstance(found, str):
            return
        if why != PAUSED:
            approved = await self._reviewer.once_approved(found.thread, now)
            if approved is not None and approved.stages:
                found = replace(found, decision=approved)
        if found.decision.stages or self._scope.everything:
            made.decisions.append(_planned(found, swept, why or found.decision.why))

    def _swept(self, facts: Review, seen: Review | str) -> tuple[tuple[Stage, ...], str | None]:
        """The stages that a sweep carries out by itself, and why not all; counts what is kept."""
        kept = self._made.kept
        if isinstance(seen, str):
            kept[seen] += 1
            return (), seen
        decision = seen.decision
        waits = self._reviewer.waiting(seen.thread, decision, self._made.now) is not None
        if not decision.stages:
            kept[decision.why or "not_due"] += 1
            return (), Reason.UNAPPROVED if waits else decision.why
        error = self._parts.archive_error
        if (why := self._gate.after_look(seen, facts.remover, error)) is not None:
            kept[why] += 1
            return (), why
        if decision.reason in HELD_BACK:
            kept[decision.why or ""] += 1
        if waits:
            kept[Reason.UNAPPROVED] += 1
        return decision.stages, Reason.UNAPPROVED if waits else decision.why


def _planned(review: Review, swept: tuple[Stage, ...], reason: str | None) -> Planned:
    decision, thread = review.decision, review.thread
    return Planned(
        thread.key,
        decision.stages,
        decision.policy,
        decision.due_at,
        decision.age_base,
        reason,
        thread.last_active_at,
        thread.newest_item,
        review.probed,
        swept,
    )


def _failing(one: Failing) -> dict[str, Any]:
    entry = one.entry
    return {
        **asdict(entry.thread.key),
        "state": entry.thread.state,
        "stage": one.stage,
        "policy": one.policy,
        "due_at": entry.due_at,
        "in_use": one.in_use,
        "attempts": entry.attempts,
        "last_error": entry.last_error,
        "retried_at": entry.review_at,
    }


def _limits(backlog: Backlog) -> dict[str, Any]:
    over = {name: asdict(tripped) for name, tripped in backlog.tripped.items()}
    return {"tripped": bool(over), "policies": over}


def cost(
    decisions: list[Planned], heads: int = 0, unfinished: Sequence[Unfinished] = ()
) -> dict[str, float]:
    """Calls that the decisions need at least, and seconds at the published quota.

    What a pause or the archive keeps costs nothing: neither a sweep nor `apply` does it. `heads`
    are read once each, since decisions rest on their being alive. What was begun is counted with
    the items that are left of it.
    """
    decisions = [one for one in decisions if one.reason not in (PAUSED, "archive_down")]
    begun = [one for one in unfinished if one.deletes]
    removals = [d for d in decisions if Stage.DELETE in d.stages]
    copies = sum(Stage.ARCHIVE in d.stages for d in decisions)
    reads = 2 * len(decisions) + 2 * copies + 4 * len(removals) + 2 * len(begun) + heads
    deletes = sum(one.deletes for one in begun) + len(removals)
    deletes += sum(CATALOGUE[Kind(d.key.kind)].items_first for d in removals)
    seconds = max(deletes / DELETES_PER_SECOND, reads / READS_PER_SECOND)
    return {"deletes": deletes, "reads": reads, "seconds": round(seconds, 1)}
