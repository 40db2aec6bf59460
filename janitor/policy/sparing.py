"""What protected a thread until its metadata was edited, and how long it is spared for that."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime

from janitor.model import Hold, Metadata, Thread
from janitor.policy.expiry import expiry_of
from janitor.policy.matching import Match, match_hold, views_of
from janitor.policy.protections import Ranks, hold_ends_at, is_kept
from janitor.policy.rulebook import rulebook
from janitor.policy.rules import Policies, Policy
from janitor.policy.schedule import NEVER, after, ceiling_of


def as_before(thread: Thread, *, reported: Metadata | None, upstream: Metadata | None) -> Thread:
    """The thread with the metadata that it was last decided on; `None` is what nobody had read.

    To read something for the first time edits nothing.
    """
    return replace(
        thread,
        reported=thread.reported if reported is None else reported,
        upstream=thread.upstream if upstream is None else upstream,
    )


def spared(
    before: Thread,
    thread: Thread,
    policies: Policies,
    holds: Sequence[Hold],
    *,
    ranks_before: Ranks,
    ranks: Ranks,
    now: datetime,
) -> Thread:
    """The thread, spared for `release_grace` where an edit of its metadata ended a protection.

    `before` differs in metadata alone; both are held against the rules as they are now, so that no
    change of a rule spares anything. What is spared is never kept for longer than what protected
    it would have, and never for less than it was spared before.
    """
    kept = protectors(thread, policies, holds, ranks, now)
    grace_ends_at = after(now, policies.release_grace)
    for name, ends_at in protectors(before, policies, holds, ranks_before, now).items():
        until = min(grace_ends_at, ends_at)
        known = thread.spared_until
        if name not in kept and until > now and (known is None or known < until):
            thread = replace(thread, spared_until=until, spared_by=name)
    return thread


def protectors(
    thread: Thread, policies: Policies, holds: Sequence[Hold], ranks: Ranks, now: datetime
) -> Mapping[str, datetime]:
    """What certainly keeps a thread from removal because of its metadata, and until when it can.

    Names are `hold:NAME`, `policy:NAME` and `except:NAME`, in order. At `lifetime.max` only holds,
    `keep: forever` and `delete: never` still count; where a vanished row expires, no `except` does.
    """
    views = views_of(thread)
    matched = rulebook(policies).matched(thread.key, views)
    ceiling = ceiling_of(thread, policies.lifetime)
    found = {
        f"hold:{hold.name}": hold_ends_at(hold, policies.release_grace)
        for hold in holds
        if match_hold(hold, thread, views) is Match.YES
    }
    for one in matched.protecting:
        last = one.keep_last
        if _forbids(one):
            found[f"policy:{one.name}"] = NEVER
        elif last is not None and is_kept(last, thread, views, ranks.get(one.name)):
            found[f"policy:{one.name}"] = ceiling
    expiry = expiry_of(thread, policies.expire)
    until = ceiling if expiry is None else min(ceiling, expiry.at)
    found |= {f"except:{one.name}": until for one in matched.excluded if _removes(one)}
    return {name: found[name] for name in sorted(found) if found[name] > now}


def _forbids(policy: Policy) -> bool:
    return policy.keep_forever or (policy.delete is not None and policy.delete.after is None)


def _removes(policy: Policy) -> bool:
    deletes = policy.delete is not None and policy.delete.after is not None
    return deletes or policy.soft_delete is not None or policy.trim is not None
