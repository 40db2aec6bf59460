"""How long the archive keeps the copy of a thread that is deleted at the server; pure.

A tombstone has no metadata, so neither policies nor holds can be matched against it as they are
against a living thread. The facts settled at the deletion are stored as `Terms`; if they do not
answer a question, the copy is kept.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from hashlib import sha256

from janitor.model import Decision, Hold, Key, Metadata, Mode, Thread
from janitor.policy.codec import policies_digest
from janitor.policy.evaluate import hold_ends_at
from janitor.policy.limits import Tripped, tripped_share
from janitor.policy.matching import MatchOutcome, Rule, asks_reserved
from janitor.policy.rules import Policies, Policy
from janitor.policy.schedule import NEVER, after

COPIES = "archive.keep_for"
"""The name under which the removal of copies is limited and reported."""


@dataclass(frozen=True, slots=True)
class Terms:
    """What was known when the thread was deleted and its tombstone no longer has.

    `policies` asked for its copy; `selection` is the digest of the rules from which they were
    chosen. `reported_alone` are digests of the metadata keys for which the application reported a
    value that the server did not have, so that the copy lacks it too (`None`: it may be any key).
    The names themselves are not kept: a tombstone has no metadata.
    """

    policies: tuple[str, ...] = ()
    selection: str = ""
    reported_alone: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class KeptCopy:
    """The copy of a deleted thread: its objects, and until when it was recorded to be kept.

    `paths` are those of all its objects, the newest one last. `until=None` is forever. `run` is the
    run that was about to remove it when its janitor died.
    """

    key: Key
    paths: tuple[str, ...]
    deleted_at: datetime | None
    until: datetime | None
    policy: str | None = None
    terms: Terms = Terms()
    run: str | None = None

    @property
    def policies(self) -> tuple[str, ...]:
        """Every policy involved: those that asked for the copy, and what deleted the thread."""
        return tuple(dict.fromkeys((*self.terms.policies, *filter(None, (self.policy,)))))


def selection(policies: Policies) -> str:
    """A digest of which threads the rules match, whatever they do with them."""
    rules = (
        Policy(
            one.name,
            one.match,
            one.excepts,
            default=one.default,
            beside_default=one.beside_default,
        )
        for one in policies.rules
    )
    return policies_digest(Policies(tuple(rules)))


def terms_of(thread: Thread, decision: Decision, chosen: str) -> Terms:
    """The terms to store for a thread that is being deleted; `chosen` is the `selection`.

    The copy has the server's metadata only if it is current.
    """
    alone = None
    if thread.copy_is_current and thread.upstream is not None:
        reported, known = thread.reported or {}, thread.upstream
        alone = tuple(
            sorted(_digest(key) for key, value in reported.items() if known.get(key) != value)
        )
    return Terms(decision.copied_by, chosen, alone)


def keep_until(decision: Decision, deleted_at: datetime) -> datetime | None:
    """Until when the copy of a thread deleted now is kept; `None` is forever."""
    if decision.keep_for is None:
        return None
    until = after(deleted_at, decision.keep_for)
    return None if until == NEVER else until


class Retention:
    """Until when copies are kept, by what was recorded and by today's policies.

    `sides` are the configured policies and, if they still apply, those approved last.
    """

    def __init__(self, sides: Sequence[Policies]) -> None:
        self._sides = [(side, selection(side)) for side in sides]

    def until(self, copy: KeptCopy) -> datetime | None:
        """The later of the recorded date and what today's policies ask for; `None`: forever.

        If policies match the same threads as at the deletion, those that asked for the copy then
        still count. Of others, each that may match its thread counts.
        """
        if copy.until is None or copy.deleted_at is None:
            return None
        latest = copy.until
        for keep_for in self._asked(copy):
            latest = NEVER if keep_for is None else max(latest, after(copy.deleted_at, keep_for))
        return None if latest == NEVER else latest

    def _asked(self, copy: KeptCopy) -> Iterator[timedelta | None]:
        for side, chosen in self._sides:
            for rule in side.rules:
                if rule.archive is None:
                    continue
                known = copy.terms.selection == chosen
                if rule.name in copy.terms.policies if known else _may_mean(rule, copy.key):
                    yield rule.archive.keep_for

    def is_audited(self, copy: KeptCopy) -> bool:
        """Whether any policy behind the copy is in audit mode."""
        configured = self._sides[0][0]
        return any(configured.mode_of(name) is Mode.AUDIT for name in copy.policies or ("",))


def _may_mean(rule: Policy, key: Key) -> bool:
    return Rule.of(rule).outcome(key, None) not in (MatchOutcome.NO, MatchOutcome.EXCLUDED)


def holder(
    copy: KeptCopy,
    holds: Collection[Hold],
    grace: timedelta,
    now: datetime,
    metadata: Metadata | None,
) -> str | None:
    """A hold that matches the thread of a copy, or may match it; `None` if none does.

    `metadata` is that in the copy, as the registry would store it (`None`: not read).
    """
    for hold in holds:
        if hold_ends_at(hold, grace) > now and _may_hold(hold, copy, metadata):
            return hold.name
    return None


def needs_reading(copy: KeptCopy, holds: Collection[Hold], grace: timedelta, now: datetime) -> bool:
    """Whether the metadata in the copy decides if a hold matches its thread."""
    if copy.terms.reported_alone is None:
        return False  # the copy would not tell everything
    by_id = [replace(hold, metadata={}) for hold in holds]
    is_named = holder(copy, by_id, grace, now, None) is not None
    return not is_named and holder(copy, holds, grace, now, None) is not None


def _may_hold(hold: Hold, copy: KeptCopy, metadata: Metadata | None) -> bool:
    if copy.key.id in hold.ids:
        return True
    if not hold.metadata or asks_reserved(hold.metadata):
        return False
    alone = copy.terms.reported_alone
    if metadata is None or alone is None:
        return True
    asked = hold.metadata.items()
    return all(_digest(key) in alone or metadata.get(key) == value for key, value in asked)


def _digest(name: str) -> str:
    return sha256(name.encode()).hexdigest()[:16]


def over_limit(
    policies: Policies, *, due: int, held: int, since_last: timedelta | None
) -> Tripped | None:
    """The limit that removing `due` of the `held` copies would exceed, or `None`."""
    spans = [
        rule.archive.keep_for
        for rule in policies.rules
        if rule.archive is not None and rule.archive.keep_for is not None
    ]
    return tripped_share(
        policies.limits.max_percent,
        COPIES,
        due=due,
        population=held,
        since_last=since_last,
        shortest=min(spans, default=None),
    )
