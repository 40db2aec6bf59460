"""Decides every row again when policies, holds or trust change; knows what waits for approval.

The first policies that a registry sees are approved by the first run that changes anything. Later
ones are approved automatically if a pass over all rows finds that they tighten nothing; otherwise
they wait for a person, and until then both sides apply. A run goes by what was approved when it was
opened, on every replica; a later approval counts from the next run on.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

import orjson

from janitor.engine.context import RunContext
from janitor.engine.judge import Judge
from janitor.engine.review import Review, Reviewer, as_known
from janitor.engine.unmatched_rules import UnmatchedRules
from janitor.errors import LimitError
from janitor.model import Key
from janitor.policy import Policies, policies_digest
from janitor.policy.codec import dump, load
from janitor.registry import Approval, PendingApproval, Registry
from janitor.registry.database import PAGE, batches
from janitor.texts import counted

SHOWN = 12
JANITOR = "janitor"
RULES = "2"
"""Change this to have every row decided again, and unmatched rules found again."""


def approved_beside(registry: Registry, policies: Policies) -> Policies | None:
    """The policies approved last, if they differ from these; else `None`.

    Raises:
        LimitError: They cannot be read, so that nobody knows what they protect.
    """
    last = registry.policies.approval()
    if last is None or last.digest == policies_digest(policies):
        return None
    return _read(last, policies)


def under_approval(context: RunContext) -> RunContext:
    """The context with the policies approved last, for a look or a new run.

    Raises:
        LimitError: What was approved last cannot be read.
    """
    return replace(context, approved=approved_beside(context.registry, context.policies))


def joined(context: RunContext) -> RunContext:
    """The context with the policies that the run's opener used, for a janitor that joins.

    Raises:
        LimitError: What was approved last cannot be read.
    """
    proposal = context.registry.policies.proposal()
    if proposal is None or proposal.digest != policies_digest(context.policies):
        return replace(context, approved=None)
    last = context.registry.policies.approval(proposal.approved)
    return replace(context, approved=None if last is None else _read(last, context.policies))


def approve_first(context: RunContext, now: datetime) -> None:
    """Approve the first policies that a registry sees."""
    if context.registry.policies.approval() is None:
        _approve(context, None, "the first policies", now)


def approve(registry: Registry, policies: Policies, actor: str, reason: str, now: datetime) -> None:
    """Record a person's approval of policies; it takes effect with the next run."""
    document, digest = dump(policies), policies_digest(policies)
    registry.policies.approve(document, digest, actor=actor, reason=reason, now=now)


def conclude(
    context: RunContext, last: Approval | None, threads: Mapping[str, int], now: datetime
) -> RunContext:
    """Finish a pass over all rows that found these `threads` tightened, by policy.

    If there are none, the configured policies take effect; otherwise they wait. `last` is the
    approval in force when the pass began.
    """
    registry = context.registry
    if context.approved is None or last is None:
        registry.policies.set_proposal(None)
        return context
    if not threads and _approve(context, last.number, "tightens nothing", now):
        registry.policies.set_proposal(None)
        return replace(context, approved=None)
    registry.policies.set_proposal(
        PendingApproval(policies_digest(context.policies), last.number, threads)
    )
    return context


def promises_copies(registry: Registry, policies: Policies) -> bool:
    """Whether these policies archive, or those approved last that still apply beside them."""
    try:
        beside = approved_beside(registry, policies)
    except LimitError:  # whoever acts gets the error; nothing is archived until then
        beside = None
    sides = (policies,) if beside is None else (policies, beside)
    return any(rule.archive is not None for side in sides for rule in side.rules)


def command(digest: str) -> str:
    """What a person types to approve the configured policies."""
    return f"janitor approve {digest[:SHOWN]} --reason '...'"


def described(digest: str, threads: Mapping[str, int] | None) -> dict[str, Any]:
    """What waits for approval, and the command to approve; `threads` is `None` if nothing waits.

    For a JSON document: the policies' digest, and the threads that wait, by policy.
    """
    waiting = {"digest": digest, "pending": threads is not None, "threads": dict(threads or {})}
    return waiting | {"command": None if threads is None else command(digest)}


def message(digest: str, threads: Mapping[str, int], due: int | None = None) -> str:
    """What a tightening means, and what to do; `due` is how many would be removed by now."""
    named = ", ".join(f"{policy or 'unknown'} {n}" for policy, n in sorted(threads.items()))
    text = f" ({named})" if named else ""
    by_now = "" if due is None else f" ({due} {'is' if due == 1 else 'are'} due now)"
    return (
        f"{counted(sum(threads.values()), 'thread')} would be marked or removed earlier under "
        f"these policies{text} and wait for approval{by_now}; until then their previous dates "
        f"apply. If that is right: {command(digest)}"
    )


def _approve(context: RunContext, before: int | None, reason: str, now: datetime) -> bool:
    policies = context.policies
    return context.registry.policies.approve_after(
        before, dump(policies), policies_digest(policies), actor=JANITOR, reason=reason, now=now
    )


def _read(approval: Approval, policies: Policies) -> Policies:
    """What was approved, with today's modes and limits, which need no approval."""
    try:
        approved = load(approval.document)
    except ValueError as error:
        digest = policies_digest(policies)
        raise LimitError(
            f"the policies approved last ({approval.digest[:SHOWN]}, by {approval.actor} on "
            f"{approval.at:%Y-%m-%d}) cannot be read: {error}. What they protect is unknown, so "
            "nothing is removed. Run the version that wrote them, or check what the configured "
            f"ones do, then: janitor approve {digest[:SHOWN]} --reason '...'"
        ) from error
    modes = {rule.name: rule.mode for rule in policies.rules}
    rules = tuple(replace(rule, mode=modes.get(rule.name, rule.mode)) for rule in approved.rules)
    return replace(approved, rules=rules, mode=policies.mode, limits=policies.limits)


def rules_digest(context: RunContext) -> str:
    """A digest of what decides besides the rows: policies, holds, trust in reported times.

    Policies that wait for approval decide together with those approved last.
    """
    distrusted = sorted(n for n, p in context.projects.items() if not p.trust_reported)
    held = [
        [hold.name, sorted(hold.ids), sorted(hold.metadata.items()), hold.until, hold.released_at]
        for hold in context.registry.holds.recent(context.clock())
    ]
    digest = hashlib.sha256(orjson.dumps(held)).hexdigest() if held else ""
    approved = policies_digest(context.approved) if context.approved is not None else ""
    return ":".join([RULES, policies_digest(context.policies), approved, digest, *distrusted])


def is_outdated(context: RunContext) -> bool:
    """Whether the rows were last decided under other rules."""
    return context.registry.policies.decided_digest() != rules_digest(context)


def redecide(context: RunContext, now: datetime) -> RunContext:
    """Decide all living rows again from the registry's facts, if the rules changed.

    A pass that was cut short continues where it stopped, as long as the rules are still the same.
    Returns the context to continue with: under the configured policies alone once they are
    approved, which happens automatically if they tighten nothing.

    Raises:
        LimitError: The policies approved last cannot be read.
    """
    context, last = under_approval(context), context.registry.policies.approval()
    approve_first(context, now)
    if is_outdated(context):
        context = conclude(context, last, _tightened(context, now), now)
        _decide_all(context, now)
    return context


def foresee(context: RunContext, now: datetime) -> tuple[RunContext, Mapping[str, int]]:
    """Like `redecide`, without writing.

    Returns the context, and how many threads wait for approval, by policy.

    Raises:
        LimitError: The policies approved last cannot be read.
    """
    context = under_approval(context)
    if is_outdated(context):
        threads = _tightened(context, now)
        return (context if threads else replace(context, approved=None)), threads
    waiting = context.registry.policies.unapproved()
    return context, waiting.threads if waiting is not None else {}


def _tightened(context: RunContext, now: datetime) -> Mapping[str, int]:
    """How many threads the configured policies remove earlier than the approved ones, by policy."""
    threads: Counter[str] = Counter()
    if context.approved is None:
        return threads
    judge = Judge(
        context.registry, context.policies, context.approved, context.registry.holds.recent(now)
    )
    for entry in context.registry.threads.living():
        if (policy := judge.tightened_by(as_known(entry), now)) is not None:
            threads[policy] += 1
    return threads


def _decide_all(context: RunContext, now: datetime) -> None:
    registry, digest = context.registry, rules_digest(context)
    holds = registry.holds.recent(now)
    reviewer, unmatched = Reviewer(context, holds), UnmatchedRules(context.policies, holds, now)
    after = registry.policies.redecide_cursor(digest)
    is_first = registry.policies.decided_digest() is None
    why = "for the first time" if is_first else "again, since policies or holds changed"
    if after is None:
        registry.policies.set_decided_digest("")  # until the pass ends, rows follow different rules
    living = sum(registry.threads.population().values())
    context.progress.begin(f"deciding all threads {why}", living)
    for page in batches(registry.threads.living(after), PAGE):
        after = page[-1].thread.key
        context.progress.advance(len(page))
        reviews = [reviewer.on_facts(entry, now) for entry in page]
        for entry in page:
            unmatched.see(entry.thread)
        registry.settlements.reschedule([rescheduled(review, now) for review in reviews])
        unmatched.record(registry, digest)
        registry.policies.set_redecide_cursor(digest, after)
    registry.policies.set_decided_digest(digest)


def rescheduled(
    review: Review, now: datetime
) -> tuple[Key, datetime | None, str | None, datetime | None]:
    """The key, when to look again, and under which policy the next stage falls due, and when.

    A thread that is up for review stays so, and one that was never seen is not put off.
    """
    decision, at = review.decision, review.entry.review_at
    again = now if decision.stages else decision.review_at
    review_at = at if at is not None and at <= now else again
    if review.sightings.baseline_at is None:
        review_at = min((moment for moment in (at, review_at) if moment is not None), default=None)
    return review.thread.key, review_at, decision.policy, decision.due_at
