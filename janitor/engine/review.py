"""Looks at one thread: what is known about it now, and what follows. Changes nothing.

A thread whose source is failing is not removed, since its table may hold newer activity. It is
still copied.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial
from typing import ParamSpec, TypeVar

from janitor.archive import ArchiveDamagedError
from janitor.drivers import Driver
from janitor.engine.context import RunContext
from janitor.engine.export import Export, Observation
from janitor.engine.judge import Judge, removes
from janitor.engine.keep_last import Heads, is_still_placed
from janitor.engine.pauses import is_paused
from janitor.engine.shared_containers import as_twin, kept_by, objection
from janitor.errors import BusyError
from janitor.kinds import CATALOGUE
from janitor.model import (
    REMOVING,
    Decision,
    Hold,
    Key,
    Mode,
    Probe,
    Reason,
    Stage,
    State,
    Thread,
    Veto,
)
from janitor.policy import Policies, as_before, counts_items, revived
from janitor.policy.activity import Sightings, last_activity, observe
from janitor.policy.matching import rulebook, views_of
from janitor.registry import Entry
from janitor.sources.watermark import INBOX, down

UNKNOWN = frozenset({Reason.UNKNOWN_ACTIVITY, Reason.UNKNOWN_METADATA})
DAY = timedelta(days=1)
WOKEN = frozenset({State.ACTIVE, State.ARCHIVED})
NOT_DECIDED = Decision()
P = ParamSpec("P")
T = TypeVar("T")
Decide = Callable[[Thread, datetime], Decision]


@dataclass(frozen=True, slots=True)
class Review:
    """A thread after a look; `observed` is what the server said, `None` if it was not asked.

    `remover` is the policy that a removal counts under, if one is due or may turn out to be.
    `twins` are the rows of other projects that a removal takes with it.
    `is_torn`: items of its proven copy are gone upstream, and nothing was added or changed.
    """

    entry: Entry
    thread: Thread
    sightings: Sightings
    decision: Decision
    observed: Observation | None = None
    remover: str | None = None
    twins: tuple[Review, ...] = ()
    is_torn: bool = False

    @property
    def probed(self) -> bool:
        """Whether the server was asked."""
        return self.observed is not None

    @property
    def export(self) -> Export | None:
        """The export that was the look, if it was one."""
        return None if self.observed is None else self.observed.export

    @property
    def rows(self) -> tuple[Review, ...]:
        """Every row of the container that a removal turns into a tombstone: this and its twins."""
        return (self, *self.twins)

    @property
    def is_revived(self) -> bool:
        """Whether activity has undone a soft delete."""
        return self.entry.thread.state is State.SOFT_DELETED and self.thread.state in WOKEN


def held_back(thread: Thread, decision: Decision, down: Container[str], now: datetime) -> Decision:
    """The decision without removals if the thread's source is among those `down`.

    The inbox counts as a source of every thread, since what waits there may keep any of them.
    Copies are still made. The thread stays up for review: the next sweep looks again.
    """
    is_fed = thread.source is not None and thread.source in down
    if not (is_fed or INBOX in down) or REMOVING.isdisjoint(decision.stages):
        return decision
    if copies := tuple(stage for stage in decision.stages if stage not in REMOVING):
        return replace(decision, stages=copies, reason=Reason.SOURCE_DOWN)
    return replace(decision, stages=(), reason=Reason.SOURCE_DOWN, review_at=now)


class Reviewer:
    """Decides about threads from the registry's facts and, where needed, from the server's.

    With `heads` no thread leaves a `keep_last` group unless others were seen alive in the run.
    `sources_down` are the sources that fail; without it, they are read from the registry.
    """

    def __init__(
        self,
        context: RunContext,
        holds: Sequence[Hold],
        heads: Heads | None = None,
        sources_down: Mapping[str, str] | None = None,
    ) -> None:
        self._context = context
        self._holds = holds
        self._heads = heads
        self._judge = Judge(
            *(context.registry, context.policies, context.approved, holds, heads),
            container_of=context.container_of,
        )
        self._down = (
            down(context.registry, context.sources) if sources_down is None else sources_down
        )
        self.reads_registry = self._judge.ranks or context.has_twins
        """Whether deciding reads the registry: `keep_last` groups and shared containers do."""

    async def off_loop(self, decide: Callable[P, T], *args: P.args, **named: P.kwargs) -> T:
        """Call what decides: in a thread if that reads the registry."""
        if self.reads_registry:
            return await asyncio.to_thread(decide, *args, **named)
        return decide(*args, **named)

    def on_facts(self, entry: Entry, now: datetime) -> Review:
        """Decide by the registry's facts."""
        thread = self.with_edit_grace(entry, as_known(entry), now)
        decision = self.decide(thread, now)
        remover = self._remover(thread, decision, now)
        return Review(entry, thread, entry.sightings, decision, remover=remover)

    def needs_probe(self, review: Review) -> bool:
        """Whether the server must be asked before the thread is decided about."""
        decision = review.decision
        if review.thread.state is State.MISSING:
            return True
        if decision.stages or _is_in_doubt(decision) or review.sightings.baseline_at is None:
            return True
        if review.thread.state is State.ARCHIVED and decision.due_at is None:
            return True
        if review.entry.missing_since is not None:
            return True
        if review.entry.reported_before is not None:  # the server may have got the edit, too
            return True
        return self._counts_items(review.thread)

    async def on_probe(self, entry: Entry, now: datetime) -> Review:
        """Probe the thread, and the heads of its groups if it would leave them; then decide.

        Raises:
            DriverError: The call failed; `BusyError` also where the probe says busy.
            AccessError: The credential was refused.
        """
        return await self.conclude(await self.look(entry, now), now)

    async def look(self, entry: Entry, now: datetime, export: Export | None = None) -> Review:
        """Probe the thread alone, or read its `export`, then decide; raises as `on_probe` does."""
        key, driver = entry.thread.key, self._context.driver(entry.thread.key)
        async with self._context.projects[key.project].reserve("GET"):
            asked_at = self._context.guard.now()  # it gets no older while its first call waits
            probe = await (driver.probe(key.id) if export is None else export.read())
        if probe.busy:
            raise BusyError(f"{key.kind} {key.id}: in use; kept")
        is_torn = await self._is_torn(entry, probe, driver)
        thread, sightings = self._merge(entry, probe, now, is_torn=is_torn)
        if self._counts_items(thread):
            thread = replace(thread, items=await _count(driver, entry, probe))
        observed = Observation(probe, asked_at, export)
        seen = Review(entry, thread, sightings, NOT_DECIDED, observed, is_torn=is_torn)
        return await self.off_loop(self._decided, seen, now)

    async def once_more(
        self, review: Review, observed: Observation, entry: Entry, now: datetime
    ) -> Review:
        """Decide again on what a look has shown, by what the registry knows now."""
        thread, sightings = self._merge(entry, observed.probe, now, is_torn=review.is_torn)
        thread = replace(thread, items=review.thread.items)
        seen = replace(review, entry=entry, thread=thread, sightings=sightings)
        return await self.conclude(await self.off_loop(self._decided, seen, now), now)

    def _decided(self, review: Review, now: datetime) -> Review:
        """The review with the decision about what was seen. Blocks."""
        thread = self.with_edit_grace(review.entry, review.thread, now)
        decision = self.decide(thread, now)
        remover = self._remover(thread, decision, now)
        return replace(review, thread=thread, decision=decision, remover=remover)

    async def conclude(self, review: Review, now: datetime) -> Review:
        """Probe the heads that must be alive before the thread may go, then decide."""
        if not self.reads_registry:
            return review
        concluded, heads = await asyncio.to_thread(self.concluded, review, now)
        while heads and self._heads is not None:
            await self._heads.ask(heads)
            concluded, heads = await asyncio.to_thread(self.concluded, review, now)
        return concluded

    def concluded(self, review: Review, now: datetime) -> tuple[Review, list[Entry]]:
        """The review as decided by what the run has seen of others; heads to probe before that.

        Asks nobody. Blocks.
        """
        if self._heads is None or not removes(review.decision):
            return review, []
        thread = review.thread
        decision, heads = self._with_heads(thread, now)
        if removes(decision):
            return replace(review, decision=decision), heads
        remover = self._remover(thread, decision, now)
        return replace(review, decision=decision, remover=remover), heads

    def _with_heads(
        self, thread: Thread, now: datetime, *, alone: bool = False
    ) -> tuple[Decision, list[Entry]]:
        decision = self.allowed(thread, now, alone=alone)
        if not self._is_open(decision):
            return decision, []
        heads = self._unasked(thread, now, alone=alone)
        # With nobody left to ask, others may have got answers meanwhile: decide once more.
        return decision if heads else self.allowed(thread, now, alone=alone), heads

    def _is_open(self, decision: Decision) -> bool:
        """Whether answers about heads are missing, for the thread or for a twin."""
        reason = None if self._heads is None else self._heads.reason
        reasons = (decision.reason, None if decision.veto is None else decision.veto.reason)
        return reason is not None and reason in reasons

    def _unasked(self, thread: Thread, now: datetime, *, alone: bool) -> list[Entry]:
        """The heads to probe next, for the thread's groups and those of its twins."""
        heads: dict[Key, Entry] = {}
        for row in (thread, *(twin.thread for twin in self.twins(thread, now))):
            if self._is_open(self._judge.allowed(row, now, alone=alone)):
                unasked = self._judge.unasked(row, now, alone=alone)
                heads |= {head.thread.key: head for head in unasked}
        return list(heads.values())

    def is_put_off(self, review: Review, now: datetime) -> bool:
        """Whether the thread may leave its groups, but a leader of them is itself due for a look.

        If the leader were probed as a head first, it would be probed twice.
        """
        if not self._judge.ranks or not self._is_open(self.allowed(review.thread, now)):
            return False
        return any(
            leader.review_at is not None
            and leader.review_at <= now
            and self._context.serves(leader.thread.key)
            and self.needs_probe(self.on_facts(leader, now))
            for leader in self._judge.leaders(review.thread, now)
        )

    def is_still_placed(self, head: Entry, seen: Thread, now: datetime) -> bool:
        """Whether a head, as it was seen, is still in the groups that the registry has it in."""
        return is_still_placed(head, seen, self._context.sides, self._holds, now)

    def decide(self, thread: Thread, now: datetime) -> Decision:
        """Decide by the current holds, ranks and state of the sources.

        A removal needs the consent of every other row of the container. A copy whose thread waits
        for nothing else is compared again after a while, since no date announces new items.
        """
        decision = self._alone(thread, now, self._judge.decide)
        decision = self._with_consent(thread, decision, now, self._judge.decide)
        return self._settled(thread, decision, now)

    def allowed(self, thread: Thread, now: datetime, *, alone: bool = False) -> Decision:
        """Like `decide`, but only by what the run has seen of others; asks nobody.

        A thread is removed only if no place in a `keep_last` group would keep it. With `alone`, the
        configured policies decide as they will once approved.
        """
        by = partial(self._judge.allowed, alone=alone)
        decision = self._alone(thread, now, by)
        decision = self._with_consent(thread, decision, now, self._judge.allowed)
        return self._settled(thread, decision, now)

    def _settled(self, thread: Thread, decision: Decision, now: datetime) -> Decision:
        if thread.state is not State.ARCHIVED or decision.review_at is not None:
            return decision
        asked = [copied_after(thread, side) for side in self._judge.sides]
        again = min((after for after in asked if after is not None), default=None)
        return decision if again is None else replace(decision, review_at=now + again)

    def _alone(self, thread: Thread, now: datetime, by: Decide) -> Decision:
        return held_back(thread, by(thread, now), self._down, now)

    def _with_consent(
        self, thread: Thread, decision: Decision, now: datetime, by: Decide
    ) -> Decision:
        if not removes(decision):
            return decision
        for twin in self._twins(thread, now, by):
            why = self.objection(decision.stages, twin)
            if why is not None:
                return kept_by(decision, Veto(twin.thread.key.project, why), now)
        return decision

    def twins(self, thread: Thread, now: datetime) -> Iterator[Review]:
        """A review of each other row of the container, without tombstones."""
        return self._twins(thread, now, self._judge.decide)

    def _twins(self, thread: Thread, now: datetime, by: Decide) -> Iterator[Review]:
        for project in self._context.twins_of(thread.key.project):
            entry = self._context.registry.threads.get(replace(thread.key, project=project))
            if entry is not None and entry.thread.state is not State.DELETED:
                yield self._as_twin(entry, thread, now, by)

    def as_twin(self, entry: Entry, seen: Thread, now: datetime) -> Review:
        """A review of another project's row of the container about which `seen` is known.

        It goes by what the run has seen of other threads so far.
        """
        return self._as_twin(entry, seen, now, self._judge.allowed)

    def _as_twin(self, entry: Entry, seen: Thread, now: datetime, by: Decide) -> Review:
        twin = as_twin(entry, seen)
        thread = self.with_edit_grace(entry, _settled_state(twin.thread), now)
        decision = self._alone(thread, now, by)
        return Review(entry, thread, entry.sightings, decision, remover=decision.policy)

    def objection(self, stages: tuple[Stage, ...], twin: Review) -> str | None:
        """Why a twin forbids the removing stage in `stages`, or `None`."""
        if not self._context.serves(twin.entry.thread.key):
            return Reason.NOT_SERVED
        policy = twin.decision.policy
        if is_paused(self._context, twin.entry, *twin.decision.policies):
            return "paused"
        why = objection(stages, twin.thread, twin.decision)
        if why is None and self._context.mode_of(policy or "") is Mode.AUDIT:
            return "audit"
        return why

    def alone(self, thread: Thread, now: datetime) -> Decision | None:
        """What the configured policies will decide by themselves; `None` if they already do."""
        if self._context.approved is None:
            return None
        alone = self._alone(thread, now, self._judge.alone)
        return self._with_consent(thread, alone, now, self._judge.decide)

    def expected(self, thread: Thread, now: datetime) -> tuple[Decision | None, list[Entry]]:
        """What `alone` returns, by what the run has seen of others; heads to probe before that.

        Asks nobody. Blocks.
        """
        alone = self.alone(thread, now)
        if alone is None or not removes(alone):
            return alone, []
        return self._with_heads(thread, now, alone=True)

    def waiting(self, thread: Thread, decision: Decision, now: datetime) -> Decision | None:
        """What the configured policies will do once approved, if more than this decision."""
        approved = self.alone(thread, now)
        more = approved is not None and not {*approved.stages} <= {*decision.stages}
        return approved if more else None

    def with_edit_grace(self, entry: Entry, thread: Thread, now: datetime) -> Thread:
        """The thread, with a grace if its metadata no longer has what protected it."""
        upstream = entry.thread.upstream
        before = as_before(thread, reported=entry.reported_before, upstream=upstream)
        return thread if before == thread else self._judge.with_edit_grace(before, thread, now)

    def _counts_items(self, thread: Thread) -> bool:
        return any(counts_items(thread, side) for side in self._judge.sides)

    def _remover(self, thread: Thread, decision: Decision, now: datetime) -> str | None:
        """The policy that removes; a copy that comes first may be due under another one.

        Unread metadata is taken as empty: if a probe finds otherwise, a later sweep counts it.
        """
        if decision.reason is Reason.UNKNOWN_METADATA:
            thread = replace(thread, upstream={})
            return self._remover(thread, self.decide(thread, now), now)
        is_removed = removes(decision)
        if is_removed and Stage.ARCHIVE in decision.stages:
            copied = replace(thread, copy_is_current=True)
            return self.decide(_settled_state(copied), now).policy
        return decision.policy if is_removed or _is_in_doubt(decision) else None

    async def _is_torn(self, entry: Entry, probe: Probe, driver: Driver) -> bool:
        """Whether all that is left upstream is in the proven copy, which has more.

        A registry restored from a backup older than the removal does not know that it deleted the
        missing items itself: their absence is not activity. Anything new or changed is.
        """
        key, copy = entry.thread.key, entry.thread.copy
        if copy is None or not entry.thread.copy_is_current:
            return False
        if copy.newest_item == probe.newest_item or not CATALOGUE[key.kind].items_first:
            return False
        if self._context.archive is None:
            if self._context.archive_error is not None:  # nothing is known before it answers
                raise self._context.archive_error
            return False
        records = driver.export(key.id)
        try:
            return await self._context.archive.holds_all_of(copy, probe.newest_item, records)
        except ArchiveDamagedError:
            return False  # it proves nothing: what is upstream counts

    def _merge(
        self, entry: Entry, probe: Probe, now: datetime, *, is_torn: bool
    ) -> tuple[Thread, Sightings]:
        old, known = entry.thread, entry.sightings
        if is_torn:  # the newest item left is an older one of the copy
            known = replace(known, newest_item=probe.newest_item)
        sightings = observe(known, probe, now)
        trusted = self._context.projects[old.key.project].trust_reported
        created_at = probe.created_at or old.created_at
        has_current_copy = (
            old.copy_is_current
            and old.copy is not None
            and old.copy.newest_item == probe.newest_item
        )
        thread = replace(
            old,
            state=State.ACTIVE if old.state is State.MISSING else old.state,
            created_at=created_at,
            last_active_at=last_activity(created_at, sightings, trust_reported=trusted),
            newest_item=probe.newest_item,
            upstream=probe.metadata,
            copy_is_current=is_torn or has_current_copy,
        )
        return _settled_state(thread), sightings


def _is_in_doubt(decision: Decision) -> bool:
    """Whether a look at the server may show that the thread is due after all."""
    veto = decision.veto
    return decision.reason in UNKNOWN or (veto is not None and veto.reason in UNKNOWN)


def as_known(entry: Entry) -> Thread:
    """The thread as the registry knows it, in the state that follows from its facts.

    Its copy counts as outdated if later activity was reported.
    """
    thread, copy, active_at = entry.thread, entry.thread.copy, entry.thread.last_active_at
    if copy is not None and active_at is not None and active_at > copy.archived_at:
        thread = replace(thread, copy_is_current=False)
    return _settled_state(thread)


def _settled_state(thread: Thread) -> Thread:
    """The thread in the state that follows from its activity: revived, or no longer archived."""
    if revived(thread):
        thread = replace(thread, state=State.ACTIVE, soft_deleted_at=None)
    if thread.state is State.ARCHIVED and not thread.copy_is_current:
        return replace(thread, state=State.ACTIVE)
    if thread.state is State.ACTIVE and thread.copy_is_current:
        return replace(thread, state=State.ARCHIVED)
    return thread


async def _count(driver: Driver, entry: Entry, probe: Probe) -> int | None:
    """The number of items; read again only if the newest item is not the one counted before."""
    thread = entry.thread
    if thread.items is not None and entry.sightings.newest_item == probe.newest_item:
        return thread.items
    if probe.items is not None:
        return len(probe.items)
    records = driver.export(thread.key.id)
    return sum([1 async for record in records if record.is_item])


def copied_after(thread: Thread, policies: Policies) -> timedelta | None:
    """How soon a new item would be due for a copy; `None` if no policy archives the thread."""
    speaking = rulebook(policies).matched(thread.key, views_of(thread)).speaking
    asked = [rule.archive for rule in speaking if rule.archive is not None]
    early = [one.after or DAY for one in asked if one.is_early]
    return min([*early, max(one.after or DAY for one in asked)]) if asked else None
