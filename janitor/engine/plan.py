"""A dry run: the same look at what is due as in a sweep, stopped before the first effect.

A plan is a document that a person can review and that `apply` carries out exactly. Its digest
covers everything that `apply` acts on, and the registry signs the digest.
"""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict, deque
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from itertools import chain, islice, product
from typing import Any, TypeVar

import orjson

from janitor.drivers.call_counts import Calls, delete_calls, export_calls, probe_calls
from janitor.engine.breaker import NOT_ASKED, Stop
from janitor.engine.clock import CLOCK
from janitor.engine.context import RunContext
from janitor.engine.cost import Cost, ProjectPace, Work, cost, probing, task_of
from janitor.engine.decisions import Decisions, Planned
from janitor.engine.dry_looks import FAILED, DryLooks, Unanswered
from janitor.engine.judge import Judge
from janitor.engine.keep_last import HeadAnswer, Heads, as_seen
from janitor.engine.limits import (
    ActionGate,
    Backlog,
    failing,
    is_paused_by,
    judge,
)
from janitor.engine.pauses import PAUSED
from janitor.engine.prune import foresee_pruning
from janitor.engine.recovery import (
    Unfinished,
    half_deleted,
    is_asked,
    on_facts,
    on_gone,
    on_probe,
    restored,
)
from janitor.engine.redecide import (
    approved_beside,
    described,
    foresee,
    is_outdated,
    rescheduled,
    rules_digest,
)
from janitor.engine.report import Pruned
from janitor.engine.review import Review, Reviewer, as_known
from janitor.engine.settlement import is_resting
from janitor.engine.spill import Spill
from janitor.engine.unmatched_rules import UnmatchedRules
from janitor.engine.worker import HELD_BACK
from janitor.kinds import PAGE, Kind
from janitor.model import Decision, Key, Reason, Stage, State, Thread
from janitor.policy import Policies, policies_digest
from janitor.policy.matching import protects, rulebook, views_of
from janitor.registry import Entry, Registry
from janitor.registry.claims import REVIEWED
from janitor.sources.watermark import down

CHUNK = 100
"""Threads looked at together."""
BATCH = 500
"""Threads decided together where none is looked at."""
LISTED = frozenset({*REVIEWED, State.MISSING})
NO_ANSWER = frozenset({FAILED, NOT_ASKED})
AGAIN = "janitor plan"
Found = TypeVar("Found")
Row = Mapping[str, Any]
Pair = tuple[Review, Review | str]
"""A thread by the registry's facts, and after a look; a word if there was no answer."""
HEARD = {
    "missing": HeadAnswer.GONE,
    "busy": HeadAnswer.ALIVE,
    FAILED: HeadAnswer.FAILED,
    NOT_ASKED: HeadAnswer.UNHEARD,
    "archive_down": HeadAnswer.FAILED,
}


@dataclass(frozen=True, slots=True)
class Survey:
    """Living threads by the policies that match them; a thread may count for several.

    `overlaps` counts the threads of both policies in a pair: one that does not delete, and one that
    does. `silent_rules` match no thread at all. `unapproved` counts, by policy, the threads that
    would be removed earlier than under the policies approved last; `None` if these are approved.
    """

    threads: Mapping[str, int]
    unmatched: int
    overlaps: Mapping[tuple[str, str], int]
    silent_rules: tuple[str, ...]
    unapproved: Mapping[str, int] | None = None


def survey(registry: Registry, policies: Policies, now: datetime) -> Survey:
    """Look at every living row once, with bounded memory; nothing is changed.

    Raises:
        LimitError: The policies approved last cannot be read.
    """
    approved, tightened = approved_beside(registry, policies), Counter[str]()
    judge = Judge(registry, policies, approved, registry.holds.recent(now))
    threads: Counter[str] = Counter()
    overlaps: Counter[tuple[str, str]] = Counter()
    rules, unmatched = UnmatchedRules(policies, registry.holds.recent(now), now), 0
    for entry in registry.threads.living():
        rules.see(entry.thread)
        matched = rulebook(policies).matched(entry.thread.key, views_of(entry.thread)).speaking
        unmatched += not matched
        threads.update(rule.name for rule in matched)
        idle = [rule.name for rule in matched if rule.delete is None and not protects(rule)]
        deleting = [rule.name for rule in matched if rule.deletes]
        overlaps.update(product(idle, deleting))
        if (policy := judge.tightened_by(as_known(entry), now)) is not None:
            tightened[policy] += 1
    waiting = None if approved is None else tightened
    return Survey(threads, unmatched, overlaps, rules.told(registry, None), waiting)


@dataclass(frozen=True, slots=True)
class PlanScope:
    """How far a dry run looks: how many threads it probes, and whether it lists kept ones."""

    probes: int = 500
    offline: bool = False
    everything: bool = False


@dataclass(slots=True)
class Plan:
    """What a sweep would do now, why, and what it costs.

    `kept` counts, by reason, what a sweep that begins now would keep, or get no answer about.
    `pending` tells whether the policies wait for approval, which `apply` gives; `unapproved`
    counts, by policy, the threads that they remove earlier than those approved last. `sources_down`
    are the sources that failed when they were last read, with what to do; a plan reads none.
    `heads` counts the threads that are probed only for others in their `keep_last` groups, by one
    call each. `pruned` is what would happen to the archive's copies past their date. `unfinished`
    are removals already begun; every run continues them first. `signature` is the registry's, over
    the digest and the time. `due_earlier` counts the threads that fall due earlier because an
    import or a source replaced the date of their first look. `failing` are due too: their last
    attempt failed, and a sweep leaves them alone until they are retried. `unanswered` are those
    about which the server gave no answer just now; `troubles` says for each project why, and what
    to do. `stops` are the projects that were not asked any further, as a sweep would stop them.
    `offline` means that no server was asked on purpose; `probe_seconds` is how long it takes to
    probe the `not_probed` ones.
    """

    registry: str
    policies_digest: str
    mode: str
    now: datetime
    hypothetical: bool
    decisions: Decisions = field(default_factory=Decisions)
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
    failing: Spill[Row] = field(default_factory=lambda: Spill(orjson.dumps, _failing_row))
    unanswered: Spill[Unanswered] = field(
        default_factory=lambda: Spill(Unanswered.encoded, Unanswered.decoded)
    )
    troubles: tuple[str, ...] = ()
    stops: tuple[Stop, ...] = ()
    cost: Cost = field(default_factory=Cost)
    offline: bool = False
    probe_seconds: float = 0.0

    @property
    def exit_code(self) -> int:
        """The exit code of a sweep that meets the same: 3 access, 4 only failures, 1 a few of them.

        A limit on what is due is shown, but is not a failure of a plan.
        """
        left = self.unanswered or any(begun.kept in NO_ANSWER for begun in self.unfinished)
        return min((stop.exit_code for stop in self.stops), default=1 if left else 0)

    @property
    def digest(self) -> str:
        """sha256 over the head and over every decision to act: everything that `apply` acts on."""
        head = [self.registry, self.policies_digest, self.mode, self.pending, self.hypothetical]
        return self.decisions.digest(orjson.dumps([*head, self.now]))

    def document(self, listed: Callable[[Iterator[Row]], Iterable[Row]] = list) -> dict[str, Any]:
        """The plan as one JSON document; `listed` turns rows, perhaps very many, into a list."""
        over = {name: asdict(tripped) for name, tripped in self.backlog.tripped.items()}
        return {
            "digest": self.digest,
            "signature": self.signature,
            "now": self.now,
            "hypothetical": self.hypothetical,
            "mode": self.mode,
            "registry": self.registry,
            "policies_digest": self.policies_digest,
            "approval": self.approval(),
            "unfinished": [begun.row() for begun in self.unfinished],
            "decisions": listed(self.decisions.rows()),
            "kept": dict(self.kept),
            "limits": {
                "tripped": bool(over),
                "policies": over,
                "clock_step": self.clock_trouble,
            },
            "cost": self.cost.document(),
            "not_probed": self.not_probed,
            "unmatched_rules": list(self.backlog.silent_rules),
            "undrained": self.undrained,
            "sources_down": dict(self.sources_down),
            "archive_down": self.archive_trouble,
            "pruned": self.pruned.foreseen,
            "archive_copies": self.pruned.document(),
            "due_earlier": self.due_earlier,
            "failing": listed(iter(self.failing)),
            "unanswered": listed(thread.row() for thread in self.unanswered),
            "troubles": list(self.troubles),
            "stops": [stop.note() for stop in self.stops],
        }

    def approval(self) -> dict[str, Any]:
        """Whether the policies wait for approval, and how many threads that concerns."""
        return described(self.policies_digest, self.unapproved if self.pending else None)


async def plan(context: RunContext, scope: PlanScope, *, hypothetical: bool = False) -> Plan:
    """Look at what is due and return what a sweep would do; changes nothing anywhere.

    A project whose credential is refused, or that does not answer, is not asked any further; the
    others are still planned.

    Raises:
        LimitError: The policies approved last cannot be read.
    """
    now, registry = context.clock(), context.registry
    digest = policies_digest(context.policies)
    made = Plan(registry.id, digest, context.policies.mode, now, hypothetical)
    made.undrained, made.offline = registry.inbox.undrained(), scope.offline
    made.sources_down = down(registry, context.sources)
    context.progress.begin("planning: counting what is due")
    context, made.unapproved = await asyncio.to_thread(foresee, context, now)
    made.pending = context.approved is not None
    resting = (
        failed.row()
        for failed in failing(context, now)
        if is_resting(failed.entry, now) and failed.entry.thread.state is not State.DELETING
    )
    await asyncio.to_thread(made.failing.extend, resting)
    made.archive_trouble = None if context.archive_error is None else str(context.archive_error)
    unmatched = UnmatchedRules(context.policies, registry.holds.recent(now), now)
    planner = _Planner(made, context, scope, unmatched)
    await planner.tell_unfinished()
    await planner.count()
    await planner.decide()
    planner.tell_troubles()
    planner.tell_cost()
    outdated = is_outdated(context)
    recorded = None if outdated else registry.policies.silent_rules(rules_digest(context))
    governing = () if outdated else registry.threads.population()  # else rows follow other rules
    made.backlog.silent_rules = unmatched.told(registry, recorded, governing)
    made.pruned = await asyncio.to_thread(foresee_pruning, context, now)
    if not hypothetical:
        context.watch.compare(registry.key_values.recall(CLOCK))
        made.clock_trouble = context.watch.trouble
    made.signature = registry.plans.signature(made.digest, made.now)
    return made


class _Planner:
    """Goes through the threads as a sweep would, in the same order: count first, then decide."""

    def __init__(
        self, made: Plan, context: RunContext, scope: PlanScope, unmatched: UnmatchedRules
    ) -> None:
        self._made = made
        self._context = context
        self._scope = scope
        self._unmatched = unmatched
        self._left = 0 if scope.offline else scope.probes
        self._looks = DryLooks(context, AGAIN)
        self._heads = Heads(made.now, self._ask_head, Reason.NOT_PROBED, room=context.places)
        self._reviewer = Reviewer(context, context.registry.holds.recent(made.now), self._heads)
        self._ranks = context.places > 0  # else nobody depends on others
        self._outdated = is_outdated(context)
        self._pauses = context.registry.pauses.in_force(made.now)
        self._gate = ActionGate(context, is_counted=True)
        self._work: defaultdict[str, Work] = defaultdict(Work)
        self._items: dict[Key, int] = {}
        self._put_off = Spill[Key](_key_as_bytes, _key_of_bytes)
        self._probed: dict[Key, Pair] = {}
        self._paces = _paces_of(context)

    async def tell_unfinished(self) -> None:
        """Record the removals that were begun, and what the server still has of them."""
        made, entries = self._made, half_deleted(self._context.registry.threads)
        while chunk := list(islice(entries, CHUNK)):
            wanted = [entry for entry in chunk if is_asked(self._context, self._reviewer, entry)]
            answers = await self._asked(wanted, self._probe_unfinished)
            for entry in chunk:
                known = (self._context, self._reviewer, entry, made.now)
                answer = answers.get(entry.thread.key)
                if isinstance(answer, Unfinished):
                    unfinished = answer
                elif answer == "missing":
                    unfinished = await on_gone(*known)
                elif answer is None:
                    unfinished = on_facts(*known)
                else:
                    unfinished = replace(on_facts(*known), kept=answer)
                made.unfinished.append(unfinished)
                if unfinished.untouched and unfinished.kept is None:
                    made.backlog.add(self._reviewer.on_facts(restored(entry), made.now))

    async def _probe_unfinished(self, entry: Entry) -> Unfinished | str:
        context, now = self._context, self._made.now
        return await self._looks.of(entry, lambda: on_probe(context, self._reviewer, entry, now))

    async def _asked(
        self, entries: Sequence[Entry], ask: Callable[[Entry], Awaitable[Found | str]]
    ) -> dict[Key, Found | str]:
        """Ask about these while probes are left; threads of a stopped project use none of them."""
        answers: dict[Key, Found | str] = {}
        while entries:
            answers |= {e.thread.key: NOT_ASKED for e in entries if not self._looks.may_ask(e)}
            entries = [entry for entry in entries if self._looks.may_ask(entry)]
            asked, entries = entries[: self._left], entries[self._left :]
            if not asked:
                self._made.not_probed += len(entries)
                break
            self._left -= len(asked)
            heard = await asyncio.gather(*map(ask, asked))
            self._left += heard.count(NOT_ASKED)
            answers |= {e.thread.key: answer for e, answer in zip(asked, heard, strict=True)}
        return answers

    def tell_troubles(self) -> None:
        """Record which projects are stopped, and for each project without an answer, why."""
        made = self._made
        begun = (removal.key for removal in made.unfinished)
        asked = chain(begun, (thread.key for thread in made.unanswered))
        made.troubles = tuple(self._looks.troubles(asked))
        made.stops = tuple(self._looks.health.stops())

    async def count(self) -> None:
        """Count what is due and judge it against the limits."""
        reviews = self._up_for_review(self._unmatched)
        while await asyncio.to_thread(self._count_some, reviews):
            pass
        await asyncio.to_thread(self._judge)

    def _count_some(self, reviews: Iterator[tuple[Entry, Review]]) -> bool:
        """Count the next of these; whether there were any. Blocks."""
        page = list(islice(reviews, BATCH))
        for entry, review in page:
            if self._context.serves(entry.thread.key):
                is_paused = is_paused_by(self._pauses, review)
                self._made.backlog.add(review, is_paused=is_paused)
                self._made.due_earlier += self._falls_due_earlier(review)
        return bool(page)

    def _judge(self) -> None:
        """Judge what was counted against the limits. Blocks."""
        judge(self._context, self._made.backlog, self._made.now)
        over = frozenset(self._made.backlog.tripped)
        self._gate.forbidden = over
        for place, begun in enumerate(self._made.unfinished):
            # Only what is decided anew falls under the limits; other begun removals do not.
            if begun.untouched and begun.kept is None and begun.policy in over:
                self._made.unfinished[place] = replace(begun, kept="limit")
        kept = (begun.kept for begun in self._made.unfinished if begun.kept is not None)
        self._made.kept.update(kept)

    async def decide(self) -> None:
        """Probe the threads that need it while probes are left, and record all of them."""
        now, done = self._made.now, 0
        self._context.progress.begin("planning", self._made.backlog.looked_at)
        gone = self._context.registry.threads.due_missing(now)
        missing = ((entry, self._reviewer.on_facts(entry, now)) for entry in gone)
        pages = chain(self._up_for_review(None), missing)
        while page := await asyncio.to_thread(list, islice(pages, self._page_size)):
            served, probed = await asyncio.to_thread(self._sorted_out, page)
            answers = await self._asked(probed, self._look)
            for entry in probed:
                heard = answers.get(entry.thread.key)
                if not (isinstance(heard, str) and heard in NO_ANSWER):
                    self._work[entry.thread.key.project].look(entry.thread.key.kind)
            pairs = ((facts, answers.get(facts.entry.thread.key, facts)) for facts in served)
            await self._record_all(pairs, may_put_off=True)
            done += len(page)
            self._context.progress.reach(done)
        put_off = iter(self._put_off)  # others of their groups have been looked at by now
        while keys := list(islice(put_off, CHUNK)):
            await self._record_all(await asyncio.to_thread(self._again, keys))
        self._made.kept = +self._made.kept

    @property
    def _page_size(self) -> int:
        return CHUNK if self._left > 0 else BATCH

    def _sorted_out(self, page: Sequence[tuple[Entry, Review]]) -> tuple[list[Review], list[Entry]]:
        """The threads of a page that are served, and those of them that need a probe. Blocks."""
        served = [review for entry, review in page if self._context.serves(entry.thread.key)]
        self._made.kept["not_served"] += len(page) - len(served)
        return served, [review.entry for review in served if self._needs_probe(review)]

    async def _record_all(self, pairs: Iterable[Pair], *, may_put_off: bool = False) -> None:
        """Record these in order, probing heads where that must be done first."""
        waiting = deque(pairs)
        while waiting:
            heads = await asyncio.to_thread(self._record_until, waiting, may_put_off=may_put_off)
            await self._heads.ask(heads)

    def _record_until(self, waiting: deque[Pair], *, may_put_off: bool) -> Sequence[Entry]:
        """Record these until one needs heads probed first; returns the heads. Blocks."""
        while waiting:
            facts, answer = waiting[0]
            if may_put_off and self._is_put_off(facts, answer):
                key = facts.entry.thread.key
                self._put_off.append(key)
                if answer is not facts:
                    self._probed[key] = (facts, answer)
            elif heads := self._record(facts, answer):
                if unknown := [head for head in heads if not self._goes_unprobed(head)]:
                    return unknown
                continue
            waiting.popleft()
        return ()

    def _is_put_off(self, facts: Review, answer: Review | str) -> bool:
        if isinstance(answer, str) or not self._ranks:
            return False
        if self._gate.before_look(facts, self._pauses) is not None:
            return False
        return self._reviewer.is_put_off(answer, self._made.now)

    def _again(self, keys: Iterable[Key]) -> list[Pair]:
        """These threads once more: as the server showed them, else by the registry's facts."""
        pairs: list[Pair] = []
        for key in keys:
            if (pair := self._probed.pop(key, None)) is not None:
                pairs.append(pair)
                continue
            entry = self._context.registry.threads.get(key)
            if entry is not None and entry.thread.state in LISTED:
                facts = self._reviewer.on_facts(entry, self._made.now)
                pairs.append((facts, facts))
        return pairs

    def _up_for_review(self, unmatched: UnmatchedRules | None) -> Iterator[tuple[Entry, Review]]:
        """What a sweep that begins now would claim, decided by the registry's facts.

        If the rules have changed, that takes deciding every living row again.
        """
        registry, now = self._context.registry, self._made.now
        for entry in registry.threads.living() if self._outdated else registry.threads.due(now):
            if unmatched is not None:
                unmatched.see(entry.thread)
            if entry.thread.state in REVIEWED:
                review = self._reviewer.on_facts(entry, now)
                _, at, *_ = rescheduled(review, now) if self._outdated else (None, now)
                if at is not None and at <= now:
                    yield entry, review

    def _falls_due_earlier(self, review: Review) -> bool:
        """Whether an operator's report made it fall due earlier and no run has decided it since."""
        before, due_at = review.entry.dated_before, review.decision.due_at
        if before is None or due_at is None:
            return False
        thread = replace(review.thread, last_active_at=before)
        then = self._reviewer.decide(thread, self._made.now).due_at
        return then is None or due_at < then

    def _needs_probe(self, review: Review) -> bool:
        """As in a sweep; for `apply`, also if a limit or a missing approval keeps the thread."""
        if self._gate.before_look(review, self._pauses) == PAUSED:
            return False
        approved = self._reviewer.alone(review.thread, self._made.now)
        return self._reviewer.needs_probe(review) or bool(approved and approved.stages)

    async def _look(self, entry: Entry) -> Review | str:
        with self._context.progress.step():
            answer = await self._looks.of(entry, lambda: self._look_and_count(entry))
        if isinstance(answer, str):
            self._heads.hear(entry.thread.key, HEARD[answer])
        else:
            self._unmatched.see(answer.thread)
            self._heads.hear(entry.thread.key, self._place(entry, answer.thread))
        return answer

    async def _look_and_count(self, entry: Entry) -> Review:
        """Look at a thread, and count up to a page of its items if each is deleted separately."""
        review, key = await self._reviewer.look(entry, self._made.now), entry.thread.key
        if task_of(review, review).counts and not _has_count(review):
            self._items[key] = await self._context.driver(key).count_items(key.id, PAGE)
        return review

    def _unprobed(self, head: Entry) -> HeadAnswer | None:
        """The answer about a head that is not probed; `None` if it may be."""
        if not self._context.serves(head.thread.key):
            return HeadAnswer.UNHEARD
        if self._left <= 0:
            self._count_head(head)
            self._made.not_probed += 1
            return HeadAnswer.UNPROBED
        return None

    def _goes_unprobed(self, head: Entry) -> bool:
        if (answer := self._unprobed(head)) is None:
            return False
        self._heads.hear(head.thread.key, answer)
        return True

    def _count_head(self, head: Entry) -> None:
        self._made.heads += 1
        self._add(head.thread.key.project, Calls(reads=1))

    async def _ask_head(self, head: Entry) -> HeadAnswer:
        key, unprobed = head.thread.key, self._unprobed(head)
        if unprobed is not None:
            return unprobed
        self._count_head(head)
        self._left -= 1
        driver = self._context.driver(head.thread.key)
        answer = await self._looks.within(head, lambda: driver.presence(key.id))
        if not isinstance(answer, str):
            return self._place(head, as_seen(head, answer))
        if answer != "busy":
            self._made.kept[answer] += 1
        if answer in NO_ANSWER:
            self._made.unanswered.append(self._silent(head, None))
        return HEARD[answer]

    def _silent(self, entry: Entry, decision: Decision | None) -> Unanswered:
        key = entry.thread.key
        stage, policy = (decision.stage, decision.policy) if decision else (None, entry.policy)
        return Unanswered(key, stage, policy, self._looks.errors.get(key))

    def _place(self, head: Entry, seen: Thread) -> HeadAnswer:
        is_placed = self._reviewer.is_still_placed(head, seen, self._made.now)
        return HeadAnswer.ALIVE if is_placed else HeadAnswer.ELSEWHERE

    def _record(self, facts: Review, answer: Review | str) -> Sequence[Entry]:
        """Count one thread as a sweep would, and list what a sweep or `apply` would do with it.

        If heads of its groups must be probed first, they are returned and nothing is done. Blocks.
        """
        made, why = self._made, self._gate.before_look(facts, self._pauses)
        approved: Decision | None = None
        if not isinstance(answer, str) and why != PAUSED:
            answer, approved, heads = self._concluded(facts, answer, why)
            if heads:
                return heads
        if why is not None:
            made.kept[why] += 1
            swept: tuple[Stage, ...] = ()
        else:
            seen = answer if self._reviewer.needs_probe(facts) else facts
            swept, why = self._swept(facts, seen)
        if isinstance(answer, str):
            if answer in NO_ANSWER:
                made.unanswered.append(self._silent(facts.entry, facts.decision))
            return ()
        if approved is not None and approved.stages:
            answer = replace(answer, decision=approved)
        if answer.decision.stages or self._scope.everything:
            made.decisions.append(_planned(answer, swept, why or answer.decision.why))
        if why not in (PAUSED, "archive_down"):
            self._count_task(facts, answer)
        return ()

    def _concluded(
        self, facts: Review, review: Review, why: str | None
    ) -> tuple[Review, Decision | None, list[Entry]]:
        """The review once others are heard, the decision once approved, heads to probe first."""
        heads: list[Entry] = []
        if self._ranks:  # else others have no say, and it is decided
            review, heads = self._reviewer.concluded(review, self._made.now)
        seen = review if self._reviewer.needs_probe(facts) else facts
        is_paused = why is None and is_paused_by(self._pauses, seen)
        if heads or (is_paused and seen.decision.stages):
            return review, None, heads
        return review, *self._reviewer.expected(review.thread, self._made.now)

    def _count_task(self, facts: Review, answer: Review) -> None:
        key = answer.thread.key
        task = task_of(answer, facts, self._items.pop(key, None))
        if task.stages or (task.is_exported and answer.probed):
            self._work[key.project].tasks[task] += 1

    def _add(self, project: str, calls: Calls) -> None:
        work = self._work[project]
        work.others = work.others.plus(calls)

    def tell_cost(self) -> None:
        """Record what all of this costs a sweep; removals already begun count with what is left."""
        for begun in self._made.unfinished:
            if begun.deletes:
                kind, items = begun.key.kind, begun.items or 0
                calls = probe_calls(kind).plus(export_calls(kind, items))
                calls = calls.plus(delete_calls(kind, items, items_first=items > 0))
                self._add(begun.key.project, calls)
        for name, work in self._work.items():
            limiter = self._context.projects[name].limiter
            work.latency = None if limiter is None else limiter.latency
        self._made.cost = cost(self._work, self._paces)
        self._made.probe_seconds = probing(self._made.not_probed, self._paces.values())

    def _swept(self, facts: Review, seen: Review | str) -> tuple[tuple[Stage, ...], str | None]:
        """The stages that a sweep carries out itself, and why not all; counts what is kept."""
        kept = self._made.kept
        if isinstance(seen, str):
            kept[seen] += 1
            return (), seen
        decision = seen.decision
        waits = self._reviewer.waiting(seen.thread, decision, self._made.now) is not None
        if not decision.stages:
            kept[decision.why or "not_due"] += 1
            return (), Reason.UNAPPROVED if waits else decision.why
        error = self._context.archive_error
        why = self._gate.after_look(seen, facts.remover, error, self._pauses)
        if self._looks.health.is_stopped(seen.thread.key.project):
            why = "limit"
        if why is not None:
            kept[why] += 1
            return (), why
        if decision.reason in HELD_BACK:
            kept[decision.why or ""] += 1
        if waits:
            kept[Reason.UNAPPROVED] += 1
        return decision.stages, Reason.UNAPPROVED if waits else decision.why


def _paces_of(context: RunContext) -> dict[str, ProjectPace]:
    """How fast each project can be called, as known now."""
    return {
        name: ProjectPace(limiter.paces, project.concurrency, limiter.clock())
        for name, project in context.projects.items()
        if (limiter := project.limiter) is not None
    }


def _has_count(review: Review) -> bool:
    """Whether the number of its items is known to be current."""
    return review.thread.items is not None and review.thread.copy_is_current


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


def _failing_row(encoded: bytes) -> Row:
    row: dict[str, Any] = orjson.loads(encoded)
    times = {name: row[name] for name in ("due_at", "retried_at") if row[name] is not None}
    return row | {name: datetime.fromisoformat(text) for name, text in times.items()}


def _key_as_bytes(key: Key) -> bytes:
    return orjson.dumps([key.project, key.kind, key.id])


def _key_of_bytes(row: bytes) -> Key:
    project, kind, name = orjson.loads(row)
    return Key(project, Kind(kind), name)
