"""Whether new policies remove a thread earlier, and what is done until they are approved."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import assert_never

from janitor.model import LIVE, Decision, Hold, Reason, Stage, Thread
from janitor.policy.evaluate import Evaluation, Ranks, decide, longest_kept, weigh
from janitor.policy.matching import rulebook, views_of
from janitor.policy.rules import Delete, Policies, Policy
from janitor.policy.schedule import NEVER, Due

ENDING = frozenset({Stage.SOFT_DELETE, Stage.DELETE})
UNKNOWN = frozenset({Reason.UNKNOWN_ACTIVITY, Reason.UNKNOWN_METADATA})
REMOVES_AT_ONCE = Policy("", delete=Delete(timedelta.resolution))
_RECENT: dict[tuple[int, frozenset[str]], tuple[Policies, tuple[Policies, ...]]] = {}
_RECENT_AT_MOST = 16


def tightened(
    thread: Thread,
    old: Policies,
    new: Policies,
    holds: Sequence[Hold],
    *,
    old_ranks: Ranks,
    new_ranks: Ranks,
    now: datetime,
) -> bool:
    """Whether under `new` a removing stage gets earlier or a protection ends.

    Losing the copy that `old` makes before it deletes counts as the end of a protection. Both are
    compared as things are, and as they will be once holds, `keep_last` and `keep_until` end.
    Unknown dates are taken as now on both sides. While the metadata is unread, any difference
    between the rules that may match counts, and so does whatever gets earlier among the others,
    whether these match or not.
    """
    if thread.state not in LIVE:
        return False
    unknown = _unknown(thread, old)
    if unknown != _unknown(thread, new):
        return True
    dated = replace(
        thread,
        created_at=thread.created_at or now,
        last_active_at=thread.last_active_at or now,
    )
    worlds = zip(_worlds(old, unknown), _worlds(new, unknown), strict=True)
    for first, second in worlds:
        before = weigh(dated, first, holds, old_ranks, now)
        after = weigh(dated, second, holds, new_ranks, now)
        bare = _bare(dated, first, now), _bare(dated, second, now)
        if _is_earlier(before, after) or _is_earlier(*bare):
            return True
    return False


def first_to_remove(thread: Thread, policies: Policies, now: datetime) -> str | None:
    """The policy that would remove a thread first once nothing protects it any more.

    If none certainly would, a policy that may apply once the metadata is read; else `None`.
    """
    case = _bare(thread, policies, now)
    dues = [due for due in case.times[1:] if due is not None]
    if dues:
        return min(dues, key=lambda due: due.at).policy
    return next((one.name for one in case.matched.unknown), None)


def _worlds(policies: Policies, unknown: tuple[Policy, ...]) -> tuple[Policies, ...]:
    """The policies, and what may apply instead while it is `unknown` whether some of them do.

    Either none of these applies, or in their place one that removes at once: its dates show what
    others then delay or protect. The values are the same each time, so that each is compiled once.
    """
    if not unknown:
        return (policies,)
    names = frozenset(one.name for one in unknown)
    found = _RECENT.get((id(policies), names))
    if found is None:
        if len(_RECENT) >= _RECENT_AT_MOST:
            _RECENT.clear()
        others = tuple(one for one in policies.rules if one.name not in names)
        beside = {one.beside_default for one in unknown}
        removing = (replace(REMOVES_AT_ONCE, beside_default=one) for one in sorted(beside))
        added = [(), *((one,) for one in removing)]
        worlds = (policies, *(replace(policies, rules=(*others, *one)) for one in added))
        # The value is kept beside what was made of it, so that no other value can get its id.
        found = _RECENT[id(policies), names] = (policies, worlds)
    return found[1]


def _unknown(thread: Thread, policies: Policies) -> tuple[Policy, ...]:
    """The policies that may apply once the thread's metadata is read."""
    return rulebook(policies).matched(thread.key, views_of(thread)).unknown


def _bare(thread: Thread, policies: Policies, now: datetime) -> Evaluation:
    """The evaluation of a thread once no hold, rank or date of its own protects it any more."""
    protecting = rulebook(policies).matched(thread.key, views_of(thread)).protecting
    beyond = {one.name: one.keep_last.count for one in protecting if one.keep_last is not None}
    return weigh(replace(thread, keep_until=None, grace_until=None), policies, (), beyond, now)


def _is_earlier(before: Evaluation, after: Evaluation) -> bool:
    removing = zip(before.times[1:], after.times[1:], strict=True)
    return _loses_copy(before, after) or any(
        _time(late, after.now) < _time(early, before.now) for early, late in removing
    )


def _loses_copy(before: Evaluation, after: Evaluation) -> bool:
    copied = before.times.archive is not None and after.times.archive is None
    return copied and after.times.delete is not None


def _time(due: Due | None, now: datetime) -> datetime:
    return NEVER if due is None else max(due.at, now)


def decide_unapproved(
    thread: Thread,
    approved: Policies,
    proposed: Policies,
    holds: Sequence[Hold],
    *,
    approved_ranks: Ranks,
    proposed_ranks: Ranks,
    now: datetime,
) -> Decision:
    """Decide while a tightening waits for approval: only what both policies remove is removed.

    What was promised continues, what gets earlier waits with the reason `unapproved`, and what is
    loosened takes effect at once. A copy is made if either asks for one.
    """
    old = decide(thread, approved, holds, approved_ranks, now)
    new = decide(thread, proposed, holds, proposed_ranks, now)
    stages = tuple(stage for stage in Stage if _agreed(stage, old, new))
    if not stages:
        return _waiting(old, new, now)
    first, second = (new, old) if new.stage is stages[0] else (old, new)
    beside = second.policy if second.policy != first.policy else None
    return replace(longest_kept(first, second), stages=stages, beside=beside)


def _agreed(stage: Stage, old: Decision, new: Decision) -> bool:
    """Whether a stage may go on; if one side marks and the other deletes, the thread is marked."""
    both = stage in old.stages and stage in new.stages
    either = stage in old.stages or stage in new.stages
    match stage:
        case Stage.ARCHIVE:
            return either
        case Stage.SOFT_DELETE:
            return (
                either and not ENDING.isdisjoint(old.stages) and not ENDING.isdisjoint(new.stages)
            )
        case Stage.TRIM | Stage.DELETE:
            return both
        case never:
            assert_never(never)


def _waiting(old: Decision, new: Decision, now: datetime) -> Decision:
    """The decision of the side that keeps the thread, reviewed when a side next changes.

    A thread that waits for approval stays up for review, so that each sweep reports it. If the
    approved side lacks a fact, that is the reason: a look at the server may supply it.
    """
    reviews = [at for at in (old.review_at, new.review_at) if at is not None and at > now]
    review_at = min(reviews, default=None)
    if new.stages and old.reason in UNKNOWN:
        return replace(old, stages=(), review_at=review_at)
    if new.stages:
        return replace(old, stages=(), reason=Reason.UNAPPROVED, review_at=now)
    return replace(new, review_at=review_at)
