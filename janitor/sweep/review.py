"""A look at one thread: what is known of it now, and what follows. Changes nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial

from janitor.archive import ArchiveDamagedError
from janitor.catalogue import CATALOGUE
from janitor.drivers import Driver
from janitor.errors import BusyError
from janitor.model import (
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
from janitor.policy import Policies, as_before, revived
from janitor.policy.activity import Sightings, last_activity, observe
from janitor.policy.matching import views_of
from janitor.policy.rulebook import rulebook
from janitor.registry import Entry
from janitor.sources import down
from janitor.sweep.fed import held_back
from janitor.sweep.heads import Heads
from janitor.sweep.judge import Judge, removes
from janitor.sweep.parts import Parts
from janitor.sweep.paused import is_paused
from janitor.sweep.ranks import is_still_placed
from janitor.sweep.twins import as_twin, kept_by, objection

UNKNOWN = frozenset({Reason.UNKNOWN_ACTIVITY, Reason.UNKNOWN_METADATA})
DAY = timedelta(days=1)
WOKEN = frozenset({State.ACTIVE, State.ARCHIVED})


@dataclass(frozen=True, slots=True)
class Review:
    """A thread after a look; `probed` tells whether the server was asked.

    `remover` is the policy that a removal counts under, where one is due or may be found so.
    `twins` are the rows of other projects that a removal takes with it.
    `is_torn` says that items of its proven copy are gone upstream and nothing has come or changed.
    """

    entry: Entry
    thread: Thread
    sightings: Sightings
    decision: Decision
    probed: bool
    remover: str | None = None
    twins: tuple[Review, ...] = ()
    is_torn: bool = False

    @property
    def is_revived(self) -> bool:
        """Whether activity has undone a soft delete."""
        return self.entry.thread.state is State.SOFT_DELETED and self.thread.state in WOKEN


Decide = Callable[[Thread, datetime], Decision]
Twins = Callable[[Thread, datetime], Iterator[Review]]


class Reviewer:
    """Decides about threads from the registry's facts and, where needed, from the server's.

    With `heads` no thread leaves a `keep_last` group unless others were seen alive in the run.
    """

    def __init__(self, parts: Parts, holds: Sequence[Hold], heads: Heads | None = None) -> None:
        self._parts = parts
        self._holds = holds
        self._heads = heads
        self._judge = Judge(
            *(parts.registry, parts.policies, parts.approved, holds, heads),
            container_of=parts.container_of,
        )
        self._down = down(parts.registry, parts.sources)

    def on_facts(self, entry: Entry, now: datetime) -> Review:
        """Decide from what the registry knows."""
        thread = self.spared(entry, as_known(entry), now)
        decision = self.decide(thread, now)
        remover = self._remover(thread, decision, now)
        return Review(entry, thread, entry.sightings, decision, probed=False, remover=remover)

    def needs_probe(self, review: Review) -> bool:
        """Whether the server must be asked before anything is believed."""
        decision = review.decision
        if review.thread.state is State.MISSING:
            return True
        if decision.stages or _is_in_doubt(decision) or review.sightings.baseline_at is None:
            return True
        if review.thread.state is State.ARCHIVED and decision.due_at is None:
            return True
        if review.entry.missing_since is not None:
            return True
        if review.entry.reported_before is not None:  # the server may have been told, too
            return True
        return self._counts_items(review.thread)

    async def on_probe(self, entry: Entry, now: datetime) -> Review:
        """Ask the server, and for the heads of its groups where it would leave them; then decide.

        Raises:
            DriverError: The call failed; `BusyError` also where the probe says busy.
            AccessError: The credential was refused.
        """
        return await self.conclude(await self.look(entry, now), now)

    async def look(self, entry: Entry, now: datetime) -> Review:
        """Ask the server about the thread alone, then decide; raises as `on_probe` does."""
        driver = self.driver(entry)
        probe = await driver.probe(entry.thread.key.id)
        if probe.busy:
            raise BusyError(f"{entry.thread.key.kind} {entry.thread.key.id}: in use; kept")
        is_torn = await self._is_torn(entry, probe, driver)
        thread, sightings = self._merge(entry, probe, now, is_torn=is_torn)
        if self._counts_items(thread):
            thread = replace(thread, items=await _count(driver, entry, probe))
        thread = await asyncio.to_thread(self.spared, entry, thread, now)
        decision = await asyncio.to_thread(self.decide, thread, now)
        remover = await asyncio.to_thread(self._remover, thread, decision, now)
        review = Review(entry, thread, sightings, decision, probed=True, remover=remover)
        return replace(review, is_torn=is_torn)

    async def conclude(self, review: Review, now: datetime) -> Review:
        """The review, once the heads were asked that must be alive before the thread may go."""
        if self._heads is None or not removes(review.decision):
            return review
        thread = review.thread
        decision = await self._with_heads(thread, now)
        if removes(decision):
            return replace(review, decision=decision)
        remover = await asyncio.to_thread(self._remover, thread, decision, now)
        return replace(review, decision=decision, remover=remover)

    async def _with_heads(self, thread: Thread, now: datetime, *, alone: bool = False) -> Decision:
        decision = await asyncio.to_thread(self.allowed, thread, now, alone=alone)
        asked = True
        while self._heads is not None and asked and self._is_open(decision):
            unasked = await asyncio.to_thread(self._unasked, thread, now, alone=alone)
            await self._heads.ask(unasked)
            # Nobody left to ask may mean that others have heard meanwhile: decided once more.
            decision = await asyncio.to_thread(self.allowed, thread, now, alone=alone)
            asked = bool(unasked)
        return decision

    def _is_open(self, decision: Decision) -> bool:
        """Whether it is answers about heads that are wanting, here or for a twin."""
        reason = None if self._heads is None else self._heads.reason
        said = (decision.reason, None if decision.veto is None else decision.veto.reason)
        return reason is not None and reason in said

    def _unasked(self, thread: Thread, now: datetime, *, alone: bool) -> list[Entry]:
        """Whom to ask next, for the thread's own groups and for those of its twins."""
        found: dict[Key, Entry] = {}
        for one in (thread, *(twin.thread for twin in self.twins(thread, now))):
            if self._is_open(self._judge.allowed(one, now, alone=alone)):
                unasked = self._judge.unasked(one, now, alone=alone)
                found |= {head.thread.key: head for head in unasked}
        return list(found.values())

    def is_put_off(self, review: Review, now: datetime) -> bool:
        """Whether the thread may leave its groups, but a leader of them is to be looked at itself.

        Asked for before that, it would be asked for twice.
        """
        if not self._is_open(self.allowed(review.thread, now)):
            return False
        return any(self._is_ahead(one, now) for one in self._judge.leaders(review.thread, now))

    def _is_ahead(self, leader: Entry, now: datetime) -> bool:
        is_due = leader.review_at is not None and leader.review_at <= now
        return is_due and self.serves(leader) and self.needs_probe(self.on_facts(leader, now))

    def is_still_placed(self, head: Entry, seen: Thread, now: datetime) -> bool:
        """Whether a head, as it was seen, is still in the groups that the registry has it in."""
        return is_still_placed(head, seen, self._parts.sides, self._holds, now)

    def driver(self, entry: Entry) -> Driver:
        """The driver that serves the thread.

        Raises:
            KeyError: No configured project serves its kind.
        """
        key = entry.thread.key
        return self._parts.projects[key.project].drivers[key.kind]

    def serves(self, entry: Entry) -> bool:
        """Whether a configured project serves the thread's kind."""
        key = entry.thread.key
        project = self._parts.projects.get(key.project)
        return project is not None and key.kind in project.drivers

    def decide(self, thread: Thread, now: datetime) -> Decision:
        """Decide with the holds and ranks of this moment, and by the sources as they stand.

        What removes needs the consent of every other row of the container. A copy whose thread
        waits for nothing else is compared again: no date announces new items.
        """
        decision = self._alone(thread, now, self._judge.decide)
        return self._settled(thread, self._with_consent(thread, decision, self.twins, now), now)

    def allowed(self, thread: Thread, now: datetime, *, alone: bool = False) -> Decision:
        """The same by what the run has seen of others so far; nobody is asked.

        Removed is only what no place in a `keep_last` group would keep. `alone` goes by the
        configured policies, as they will decide once they are approved.
        """
        by = partial(self._judge.allowed, alone=alone)
        decision = self._alone(thread, now, by)
        return self._settled(thread, self._with_consent(thread, decision, self._seen, now), now)

    def _settled(self, thread: Thread, decision: Decision, now: datetime) -> Decision:
        if thread.state is not State.ARCHIVED or decision.review_at is not None:
            return decision
        asked = [copied_after(thread, side) for side in self._judge.sides]
        again = min((one for one in asked if one is not None), default=None)
        return decision if again is None else replace(decision, review_at=now + again)

    def _alone(self, thread: Thread, now: datetime, by: Decide) -> Decision:
        return held_back(thread, by(thread, now), self._down, now)

    def _with_consent(
        self, thread: Thread, decision: Decision, twins: Twins, now: datetime
    ) -> Decision:
        if not removes(decision):
            return decision
        for twin in twins(thread, now):
            why = self.objection(decision.stages, twin)
            if why is not None:
                return kept_by(decision, Veto(twin.thread.key.project, why), now)
        return decision

    def twins(self, thread: Thread, now: datetime) -> Iterator[Review]:
        """What is decided about each other row of the container, tombstones apart."""
        for entry in self._twin_entries(thread):
            yield self._as_twin(entry, thread, now, self._judge.decide)

    def _seen(self, thread: Thread, now: datetime) -> Iterator[Review]:
        """The same by what the run has seen of others so far."""
        for entry in self._twin_entries(thread):
            yield self.as_twin(entry, thread, now)

    def _twin_entries(self, thread: Thread) -> Iterator[Entry]:
        for project in self._parts.twins_of(thread.key.project):
            entry = self._parts.registry.get(replace(thread.key, project=project))
            if entry is not None and entry.thread.state is not State.DELETED:
                yield entry

    def as_twin(self, entry: Entry, seen: Thread, now: datetime) -> Review:
        """A review of another project's row of a container of which `seen` is known.

        It goes by what the run has seen of others so far.
        """
        return self._as_twin(entry, seen, now, self._judge.allowed)

    def _as_twin(self, entry: Entry, seen: Thread, now: datetime, by: Decide) -> Review:
        twin = as_twin(entry, seen)
        thread = self.spared(entry, _settled_state(twin.thread), now)
        decision = self._alone(thread, now, by)
        return Review(
            entry, thread, entry.sightings, decision, probed=False, remover=decision.policy
        )

    def objection(self, stages: tuple[Stage, ...], twin: Review) -> str | None:
        """Why a twin does not let the removing one of `stages` happen, or `None`."""
        if not self.serves(twin.entry):
            return Reason.NOT_SERVED
        policy = twin.decision.policy
        if is_paused(self._parts, twin.entry, *twin.decision.policies):
            return "paused"
        why = objection(stages, twin.thread, twin.decision)
        if why is None and self._parts.mode_of(policy or "") is Mode.AUDIT:
            return "audit"
        return why

    def alone(self, thread: Thread, now: datetime) -> Decision | None:
        """What the configured policies will decide by themselves; `None` where they already do."""
        if self._parts.approved is None:
            return None
        alone = self._alone(thread, now, self._judge.alone)
        return self._with_consent(thread, alone, self.twins, now)

    async def once_approved(self, thread: Thread, now: datetime) -> Decision | None:
        """The same, once the heads were asked that must be alive before the thread may go."""
        expected = await asyncio.to_thread(self.alone, thread, now)
        if expected is None or not removes(expected):
            return expected
        return await self._with_heads(thread, now, alone=True)

    def waiting(self, thread: Thread, decision: Decision, now: datetime) -> Decision | None:
        """What the configured policies will do beyond this decision once they are approved."""
        approved = self.alone(thread, now)
        more = approved is not None and not {*approved.stages} <= {*decision.stages}
        return approved if more else None

    def spared(self, entry: Entry, thread: Thread, now: datetime) -> Thread:
        """The thread, spared where its metadata says no longer what protected it when last seen."""
        upstream = entry.thread.upstream
        before = as_before(thread, reported=entry.reported_before, upstream=upstream)
        return thread if before == thread else self._judge.spared(before, thread, now)

    def _counts_items(self, thread: Thread) -> bool:
        return any(counts_items(thread, side) for side in self._judge.sides)

    def _remover(self, thread: Thread, decision: Decision, now: datetime) -> str | None:
        """The policy that removes; a copy that comes first may be due under another one.

        Unread metadata is taken as empty: whatever else a probe finds, a later sweep counts.
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

        A registry that was restored from before its removal began does not know that the missing
        items are its own doing: they are no activity. Whatever is new or changed is.
        """
        key, copy = entry.thread.key, entry.thread.copy
        if copy is None or not entry.thread.copy_is_current:
            return False
        if copy.newest_item == probe.newest_item or not CATALOGUE[key.kind].items_first:
            return False
        if self._parts.archive is None:
            if self._parts.archive_error is not None:  # nothing is known before it answers
                raise self._parts.archive_error
            return False
        records = driver.export(key.id)
        try:
            return await self._parts.archive.holds_all_of(copy, probe.newest_item, records)
        except ArchiveDamagedError:
            return False  # it proves nothing: what is upstream counts

    def _merge(
        self, entry: Entry, probe: Probe, now: datetime, *, is_torn: bool
    ) -> tuple[Thread, Sightings]:
        old, known = entry.thread, entry.sightings
        if is_torn:  # the newest item left is an older one of the copy
            known = replace(known, newest_item=probe.newest_item)
        sightings = observe(known, probe, now)
        trusted = self._parts.projects[old.key.project].trust_reported
        created_at = probe.created_at or old.created_at
        thread = replace(
            old,
            state=State.ACTIVE if old.state is State.MISSING else old.state,
            created_at=created_at,
            last_active_at=last_activity(created_at, sightings, trust_reported=trusted),
            newest_item=probe.newest_item,
            upstream=probe.metadata,
            copy_is_current=is_torn or _is_current(old, probe),
        )
        return _settled_state(thread), sightings


def _is_in_doubt(decision: Decision) -> bool:
    """Whether a look at the server may show that the thread is due after all."""
    veto = decision.veto
    return decision.reason in UNKNOWN or (veto is not None and veto.reason in UNKNOWN)


def as_known(entry: Entry) -> Thread:
    """The thread as the registry knows it, with what follows from that alone."""
    return _settled_state(_with_doubted_copy(entry.thread))


def _with_doubted_copy(thread: Thread) -> Thread:
    """The thread whose copy counts as outdated where activity after it was reported."""
    copy, active_at = thread.copy, thread.last_active_at
    if copy is None or active_at is None or active_at <= copy.archived_at:
        return thread
    return replace(thread, copy_is_current=False)


def _is_current(thread: Thread, probe: Probe) -> bool:
    copy = thread.copy
    return thread.copy_is_current and copy is not None and copy.newest_item == probe.newest_item


def _settled_state(thread: Thread) -> Thread:
    """The thread with activity's own consequences drawn: revived, or no longer archived."""
    if revived(thread):
        thread = replace(thread, state=State.ACTIVE, soft_deleted_at=None)
    if thread.state is State.ARCHIVED and not thread.copy_is_current:
        return replace(thread, state=State.ACTIVE)
    if thread.state is State.ACTIVE and thread.copy_is_current:
        return replace(thread, state=State.ARCHIVED)
    return thread


async def _count(driver: Driver, entry: Entry, probe: Probe) -> int | None:
    """The number of items; read anew only where the newest item is not the one counted before."""
    thread = entry.thread
    if thread.items is not None and entry.sightings.newest_item == probe.newest_item:
        return thread.items
    records = driver.export(thread.key.id)
    return sum([1 async for record in records if record.is_item])


def counts_items(thread: Thread, policies: Policies) -> bool:
    """Whether a policy that speaks of the thread asks how many items it has."""
    speaking = rulebook(policies).matched(thread.key, views_of(thread)).speaking
    return any(one.trim or (one.archive and one.archive.items) for one in speaking)


def copied_after(thread: Thread, policies: Policies) -> timedelta | None:
    """How soon a new item would be due for a copy; `None` where no policy archives the thread."""
    speaking = rulebook(policies).matched(thread.key, views_of(thread)).speaking
    return max((one.archive.after or DAY for one in speaking if one.archive), default=None)
