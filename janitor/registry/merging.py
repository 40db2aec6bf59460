"""What a registration makes of a row: what was said is added, and what protects only grows."""

from __future__ import annotations

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


def merged(row: Values, said: Registration, *, overwrite: bool) -> Values:
    """A row after one more registration: times only move forward, nothing said clears nothing.

    Once the server was asked, its creation time stands and a reported one changes nothing. What a
    source names has not vanished from it.
    """
    if row["state"] is State.DELETED:
        return row
    changes: Values = {
        "reported_at": later(row["reported_at"], said.last_active_at),
        "keep_until": later(row["keep_until"], said.keep_until),
        "reported": _said(row["reported"], said, overwrite=overwrite),
    }
    if changes["reported"] != row["reported"] and row["reported_before"] is None:
        changes["reported_before"] = row["reported"]
    if said.source is not None:
        changes |= {"source": said.source, "vanished_at": None}
    if row["baseline_at"] is None:
        changes["created_at"] = later(row["created_at"], said.created_at)
    return row | changes


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
