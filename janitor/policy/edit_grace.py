"""Grace for threads that lost their protection when their metadata was edited."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime

from janitor.model import Hold, Metadata, Thread
from janitor.policy.evaluate import Ranks, expiry_of, hold_ends_at, is_kept
from janitor.policy.matching import Match, match_hold, rulebook, views_of
from janitor.policy.rules import Policies
from janitor.policy.schedule import NEVER, after, ceiling_of


def as_before(thread: Thread, *, reported: Metadata | None, upstream: Metadata | None) -> Thread:
    """The thread with the metadata of the last decision; `None` if it had not been read yet.

    Reading metadata for the first time is not an edit.
    """
    return replace(
        thread,
        reported=thread.reported if reported is None else reported,
        upstream=thread.upstream if upstream is None else upstream,
    )


def with_edit_grace(
    before: Thread,
    thread: Thread,
    policies: Policies,
    holds: Sequence[Hold],
    *,
    ranks_before: Ranks,
    ranks: Ranks,
    now: datetime,
) -> Thread:
    """The thread, kept for `release_grace` if an edit of its metadata ended a protection.

    `before` differs in metadata only. Both are checked against today's rules, so a changed rule
    grants no grace. The grace never outlasts the lost protection, and never shortens an earlier
    grace.
    """
    kept = protectors(thread, policies, holds, ranks, now)
    grace_ends_at = after(now, policies.release_grace)
    for name, ends_at in protectors(before, policies, holds, ranks_before, now).items():
        until = min(grace_ends_at, ends_at)
        known = thread.grace_until
        if name not in kept and until > now and (known is None or known < until):
            thread = replace(thread, grace_until=until, grace_by=name)
    return thread


def protectors(
    thread: Thread, policies: Policies, holds: Sequence[Hold], ranks: Ranks, now: datetime
) -> Mapping[str, datetime]:
    """What certainly protects a thread because of its metadata, and until when.

    Names are `hold:NAME`, `policy:NAME` and `except:NAME`, in order. At `lifetime.max` only holds,
    `keep: forever` and `delete: never` still count; where a vanished row expires, no `except` does.
    """
    views = views_of(thread)
    matched = rulebook(policies).matched(thread.key, views)
    ceiling = ceiling_of(thread, policies.lifetime)
    protecting = {
        f"hold:{hold.name}": hold_ends_at(hold, policies.release_grace)
        for hold in holds
        if match_hold(hold, thread, views) is Match.YES
    }
    for one in matched.protecting:
        last = one.keep_last
        if one.keep_forever or one.forbids_deletion:
            protecting[f"policy:{one.name}"] = NEVER
        elif last is not None and is_kept(last, thread, views, ranks.get(one.name)):
            protecting[f"policy:{one.name}"] = ceiling
    expiry = expiry_of(thread, policies.expire)
    until = ceiling if expiry is None else min(ceiling, expiry.at)
    protecting |= {f"except:{one.name}": until for one in matched.excluded if one.removes}
    return {name: protecting[name] for name in sorted(protecting) if protecting[name] > now}
