"""What a row says about its key, sightings, labels and copies, and what a settlement does to it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from sqlalchemy import CursorResult

from janitor.model import Copy, Key, Outcome, State
from janitor.policy.activity import Sightings
from janitor.policy.copy_retention import KeptCopy, Terms
from janitor.registry.records import Settlement
from janitor.registry.tables import THREAD

Values = dict[str, Any]

FORGOTTEN: Values = dict.fromkeys(
    (
        *("reported", "upstream", "items", "newest_item", "last_error", "last_outcome"),
        "soft_deleted_at",
        *("reported_at", "touched_at", "upstream_at", "baseline_at", "changed_at", "keep_until"),
        *("last_active_at", "dated_before", "review_at", "due_at", "missing_since"),
        *("reported_before", "spared_until", "spared_by", "source", "vanished_at"),
    )
)
NO_INTENT: Values = dict.fromkeys(
    ("intent_run", "intent_at", "intent_policy", "intent_alive_at", "intent_access")
)
NO_CLAIM: Values = dict.fromkeys(("claim_owner", "claim_until"))
NO_FAILURE: Values = {"attempts": 0, "last_error": None, "last_outcome": None}


REPORTED = tuple(
    THREAD.c[name]
    for name in (
        *("project", "kind", "id", "state", "source", "vanished_at", "created_at", "reported_at"),
        *("upstream_at", "baseline_at", "changed_at", "newest_item", "alive_at", "keep_until"),
        *("reported", "upstream", "reported_before", "touched_at", "last_active_at"),
        "dated_before",
    )
)
"""The columns that a registration changes or depends on; most change nothing, so read no more."""


def rows_of(found: CursorResult[Any]) -> Iterator[Values]:
    """The rows of a statement that selects from the thread table."""
    names = tuple(found.keys())
    return (dict(zip(names, row, strict=True)) for row in found)


def key_of(row: Values) -> Key:
    """The key of a row."""
    return Key(row["project"], row["kind"], row["id"])


def sightings_of(row: Values) -> Sightings:
    """The dates from which a row's activity is computed."""
    return Sightings(
        row["reported_at"],
        row["upstream_at"],
        row["baseline_at"],
        row["changed_at"],
        row["newest_item"],
        row["alive_at"],
        row["touched_at"],
    )


def labels_of(row: Values | None) -> set[tuple[str, str]]:
    """Every metadata pair of a thread, whether reported or read from the server."""
    if row is None:
        return set()
    return {*(row["reported"] or {}).items(), *(row["upstream"] or {}).items()}


def later(one: Any, other: Any) -> Any:  # noqa: ANN401  two optional times
    """The later of two times that may be unknown."""
    return one if other is None or (one is not None and one >= other) else other


def settled(row: Values, settlement: Settlement) -> Values:
    """A row after a settlement."""
    after = row | _facts(row, settlement) | {"review_at": _review_at(row, settlement)}
    after |= _outcome(row, settlement) | _decision(settlement)
    after |= _state(row, settlement)
    if not settlement.keep_claim:
        after |= NO_CLAIM
    if settlement.claim_again:
        after["claim_run"] = None
    if not settlement.keep_intent:
        after |= NO_INTENT
    return after | FORGOTTEN if settlement.tombstone else after


def _review_at(row: Values, settlement: Settlement) -> Any:  # noqa: ANN401  an optional time
    at = row["review_at"]
    if settlement.seen_review_at is None or at in (None, settlement.seen_review_at):
        return settlement.review_at
    return at if settlement.review_at is None else min(at, settlement.review_at)


def _facts(row: Values, settlement: Settlement) -> Values:
    changes: Values = {
        name: value
        for name in (
            *("created_at", "items", "copy_is_current", "soft_deleted_at"),
            "archive_keep_until",
        )
        if (value := getattr(settlement, name)) is not None
    }
    changes["keep_until"] = later(row["keep_until"], settlement.keep_until)
    if settlement.grace_until is not None:
        changes |= {"spared_until": settlement.grace_until, "spared_by": settlement.grace_by}
    if settlement.decided and settlement.reported == row["reported"]:
        changes["reported_before"] = None
    if (
        settlement.decided
        and settlement.sightings
        and settlement.sightings.reported_at == row["reported_at"]
    ):
        changes["dated_before"] = None
    if settlement.upstream is not None:
        changes["upstream"] = dict(settlement.upstream)
    if settlement.archive_terms is not None:
        changes["archive_terms"] = spelled_terms(settlement.archive_terms)
    return changes | _seen(row, settlement.sightings) | _copied(row, settlement)


def _seen(row: Values, seen: Sightings | None) -> Values:
    if seen is None:
        return {}
    return {
        # The application may have reported activity since the row was read.
        "reported_at": later(row["reported_at"], seen.reported_at),
        "touched_at": later(row["touched_at"], seen.touched_at),
        "upstream_at": seen.upstream_at,
        "baseline_at": seen.baseline_at,
        "changed_at": seen.changed_at,
        "newest_item": seen.newest_item,
        # It may have been seen alive since, for the sake of another thread.
        "alive_at": later(row["alive_at"], seen.alive_at),
    }


def _copied(row: Values, settlement: Settlement) -> Values:
    changes: Values = {}
    if settlement.copy is not None:
        changes = copied_values(settlement.copy)
        if row["copy_path"] not in (None, settlement.copy.path):
            older = dict.fromkeys((*(row["copy_older"] or ()), row["copy_path"]))
            changes["copy_older"] = [path for path in older if path != settlement.copy.path]
    if settlement.older_copies is not None:
        changes["copy_older"] = list(settlement.older_copies) or None
    return changes


def copied_values(copy: Copy) -> Values:
    """The columns that describe the newest copy."""
    return {
        "copy_path": copy.path,
        "copy_digest": copy.digest,
        "copy_sealed": copy.sealed,
        "copy_items": copy.items,
        "copy_newest_item": copy.newest_item,
        "copy_size": copy.size,
        "copied_at": copy.archived_at,
    }


def spelled_terms(terms: Terms) -> Values:
    """What a tombstone records about its copy, in the form it is stored."""
    alone = terms.reported_alone
    return {
        "policies": list(terms.policies),
        "selection": terms.selection,
        "reported_alone": None if alone is None else list(alone),
    }


def kept_copy_of(row: Values) -> KeptCopy:
    """The copy that a tombstone still refers to."""
    spelled = row["archive_terms"] or {}
    alone = spelled.get("reported_alone")
    terms = Terms(
        tuple(spelled.get("policies", ())),
        spelled.get("selection", ""),
        None if alone is None else tuple(alone),
    )
    return KeptCopy(
        key=key_of(row),
        paths=(*(row["copy_older"] or ()), row["copy_path"]),
        deleted_at=row["deleted_at"],
        until=row["archive_keep_until"],
        policy=row["policy"],
        terms=terms,
        run=row["prune_run"],
    )


def _outcome(row: Values, settlement: Settlement) -> Values:
    if settlement.failure is not None:
        outcome = Outcome.BUSY if settlement.is_busy else Outcome.FAILED
        attempts = row["attempts"] + 1
        return {"attempts": attempts, "last_error": settlement.failure, "last_outcome": outcome}
    return {} if settlement.keep_failure else dict(NO_FAILURE)


def _decision(settlement: Settlement) -> Values:
    decided = {"policy": settlement.policy, "due_at": settlement.due_at}
    if settlement.decided:
        return dict(decided)
    return {name: value for name, value in decided.items() if value is not None}


def _state(row: Values, settlement: Settlement) -> Values:
    state = State.DELETED if settlement.tombstone else settlement.state
    last = settlement.events[-1] if settlement.events else None
    if settlement.missing and last is not None:
        return {"missing_since": row["missing_since"] or last.at}
    if state is None:
        return {}
    at = last.at if last else row["intent_at"]
    changes: Values = {"state": state}
    if state in (State.ACTIVE, State.ARCHIVED):
        changes["soft_deleted_at"] = None
    if state is State.DELETED:
        changes["deleted_at"] = at
        # If a person declared it gone, no run of ours deleted it.
        vouched = last is not None and last.outcome is Outcome.MISSING
        intended = None if vouched else row["intent_run"]
        changes["deleted_run"] = intended or (last.run if last else None)
    changes["missing_since"] = (row["missing_since"] or at) if state is State.MISSING else None
    return changes
