"""What a registration makes of a row: what was said is added, and what protects only grows.

An operator's word may replace a mere baseline, which is how unknown becomes known. What an
application says of a thread that is registered already only adds.
"""

from __future__ import annotations

from datetime import datetime

from janitor.model import Metadata, State
from janitor.policy.protections import KEEP_UNTIL, longer
from janitor.registry.entries import Registration
from janitor.registry.rows import Values, later


def fresh(said: Registration) -> Values:
    """The row of a thread that nobody registered before."""
    return {
        "project": said.key.project,
        "kind": said.key.kind,
        "id": said.key.id,
        "state": State.ACTIVE,
        "source": said.source,
        "vanished_at": None,
        "created_at": said.created_at,
        "reported_at": said.last_active_at,
        "touched_at": None,
        "last_active_at": None,
        "dated_before": None,
        "upstream_at": None,
        "baseline_at": None,
        "changed_at": None,
        "newest_item": None,
        "alive_at": None,
        "keep_until": said.keep_until,
        "reported": None if said.metadata is None else dict(said.metadata),
        "upstream": None,
        "reported_before": None,
    }


def merged(row: Values, said: Registration, *, adds_only: bool) -> Values:
    """A row after one more registration: times only move forward, nothing said clears nothing.

    Once the server has said when a thread was created, a reported time changes nothing. What a
    source names has not vanished from it. Where it `adds_only`, as an application does, what is
    unknown stays unknown: a time that is known can only become later.
    """
    if row["state"] is State.DELETED:
        return row
    changes: Values = {
        "keep_until": later(row["keep_until"], said.keep_until),
        "reported": _said(row["reported"], said, overwrite=not adds_only),
    }
    if adds_only:
        changes |= touched(row, said.last_active_at)
    else:
        changes["reported_at"] = later(row["reported_at"], said.last_active_at)
    if changes["reported"] != row["reported"] and row["reported_before"] is None:
        changes["reported_before"] = row["reported"]
    if said.source is not None:
        changes |= {"source": said.source, "vanished_at": None}
    is_known, was_asked = row["created_at"] is not None, row["baseline_at"] is not None
    if (is_known and not was_asked) or not (is_known or adds_only):
        changes["created_at"] = later(row["created_at"], said.created_at)
    return row | changes


def touched(row: Values, at: datetime | None) -> Values:
    """What an application's word of activity changes: only what is later than it said before."""
    known = later(row["reported_at"], row["touched_at"])
    return {} if at is None or later(known, at) == known else {"touched_at": at}


def _said(known: Metadata | None, said: Registration, *, overwrite: bool) -> Metadata | None:
    new, about = said.metadata, said.speaks_of
    if new is None or known is None:
        return known if new is None else dict(new)
    if overwrite:
        rest = {} if about is None else {k: v for k, v in known.items() if k not in about}
        after = {**rest, **new}
    else:
        after = {**new, **known}
    if KEEP_UNTIL in known:  # whoever says it last only lengthens it
        after[KEEP_UNTIL] = longer(known[KEEP_UNTIL], new.get(KEEP_UNTIL, known[KEEP_UNTIL]))
    return after
