"""Which policies stand beside the configured ones, and how a change of policies takes effect.

The first policies that a registry sees are approved by the first run that changes anything. Later
ones are approved by themselves where a pass over all rows finds that they tighten nothing; else
they wait for a person, and until then both sides apply. A run goes by what was approved when it
was opened, on every replica; an approval that comes meanwhile counts from the next run on.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from janitor.errors import LimitError
from janitor.policy import Policies, policies_digest
from janitor.policy.document import dump, load
from janitor.registry import Approval, Proposal, Registry
from janitor.sweep.parts import Parts

SHOWN = 12
JANITOR = "janitor"


def approved_beside(registry: Registry, policies: Policies) -> Policies | None:
    """The policies approved last, where they are others than these; `None` where none are.

    Raises:
        LimitError: They cannot be read, so that nobody knows what they protect.
    """
    last = registry.approval()
    if last is None or last.digest == policies_digest(policies):
        return None
    return _read(last, policies)


def under_approval(parts: Parts) -> Parts:
    """The parts with what was approved last; for whoever looks, or opens a run.

    Raises:
        LimitError: What was approved last cannot be read.
    """
    return replace(parts, approved=approved_beside(parts.registry, parts.policies))


def joined(parts: Parts) -> Parts:
    """The parts with what the run's opener went by; for whoever joins a run.

    Raises:
        LimitError: What was approved last cannot be read.
    """
    proposal = parts.registry.proposal()
    if proposal is None or proposal.digest != policies_digest(parts.policies):
        return replace(parts, approved=None)
    standing = parts.registry.approval(proposal.approved)
    return replace(parts, approved=None if standing is None else _read(standing, parts.policies))


def approve_first(parts: Parts, now: datetime) -> None:
    """Approve the first policies that a registry sees."""
    if parts.registry.approval() is None:
        _approve(parts, None, "the first policies", now)


def approve(registry: Registry, policies: Policies, actor: str, reason: str, now: datetime) -> None:
    """Record a person's word that policies may take effect; the next run goes by it."""
    document, digest = dump(policies), policies_digest(policies)
    registry.approve(document, digest, actor=actor, reason=reason, now=now)


def conclude(
    parts: Parts, last: Approval | None, threads: Mapping[str, int], now: datetime
) -> Parts:
    """End a pass over all rows that found these `threads`, by policy, tightened.

    Where there are none, the configured policies take effect; else they wait. `last` is the
    approval that stood when the pass began.
    """
    registry = parts.registry
    if parts.approved is None or last is None:
        registry.set_proposal(None)
        return parts
    if not threads and _approve(parts, last.number, "tightens nothing", now):
        registry.set_proposal(None)
        return replace(parts, approved=None)
    registry.set_proposal(Proposal(policies_digest(parts.policies), last.number, threads))
    return parts


def promises_copies(registry: Registry, policies: Policies) -> bool:
    """Whether these policies archive, or those approved last that still stand beside them."""
    try:
        beside = approved_beside(registry, policies)
    except LimitError:  # whoever acts is told; nothing is archived till then
        beside = None
    sides = (policies,) if beside is None else (policies, beside)
    return any(rule.archive is not None for side in sides for rule in side.rules)


def command(digest: str) -> str:
    """What a person types to approve the configured policies."""
    return f"janitor approve {digest[:SHOWN]} --reason '...'"


def described(digest: str, threads: Mapping[str, int] | None) -> dict[str, Any]:
    """What waits for approval, and the command that gives it; `threads` is `None` where none does.

    For a JSON document: the policies' digest, and the threads that wait, by policy.
    """
    told = {"digest": digest, "pending": threads is not None, "threads": dict(threads or {})}
    return told | {"command": None if threads is None else command(digest)}


def message(digest: str, threads: Mapping[str, int], due: int | None = None) -> str:
    """What a tightening means, and the way on; `due` is how many would be removed by now."""
    named = ", ".join(f"{policy or 'unknown'} {n}" for policy, n in sorted(threads.items()))
    said = f" ({named})" if named else ""
    by_now = "" if due is None else f" ({due} are due now)"
    return (
        f"{sum(threads.values())} threads would be removed earlier under these policies{said} and "
        f"wait for approval{by_now}; what was promised before goes on. If that is right: "
        f"{command(digest)}"
    )


def _approve(parts: Parts, before: int | None, reason: str, now: datetime) -> bool:
    policies = parts.policies
    return parts.registry.approve_after(
        before, dump(policies), policies_digest(policies), actor=JANITOR, reason=reason, now=now
    )


def _read(approval: Approval, policies: Policies) -> Policies:
    """What was approved, in the modes and limits of today, which need no approval."""
    try:
        approved = load(approval.document)
    except ValueError as error:
        digest = policies_digest(policies)
        raise LimitError(
            f"the policies approved last ({approval.digest[:SHOWN]}, by {approval.actor} on "
            f"{approval.at:%Y-%m-%d}) cannot be read: {error}. What they protect is unknown, so "
            "nothing is removed. Run the version that wrote them, or read what the configured "
            f"ones do, then: janitor approve {digest[:SHOWN]} --reason '...'"
        ) from error
    modes = {rule.name: rule.mode for rule in policies.rules}
    rules = tuple(replace(rule, mode=modes.get(rule.name, rule.mode)) for rule in approved.rules)
    return replace(approved, rules=rules, mode=policies.mode, limits=policies.limits)
