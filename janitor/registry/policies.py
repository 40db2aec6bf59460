"""Policies: those approved, those waiting, and those under which the rows were decided."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

import orjson
from sqlalchemy import Connection, func, insert, select

from janitor.model import Key, Kind
from janitor.registry.database import Store, read_meta, set_meta
from janitor.registry.tables import APPROVAL

_META = "proposal"
_NEWEST = select(APPROVAL).order_by(APPROVAL.c.number.desc()).limit(1)


@dataclass(frozen=True, slots=True)
class Approval:
    """Approved policies: their digest and document, and who approved them, why and when."""

    number: int
    digest: str
    document: str
    actor: str
    reason: str
    at: datetime


@dataclass(frozen=True, slots=True)
class PendingApproval:
    """The digest of policies that wait, and the number of the approval in force until then.

    `threads` counts, by policy, the threads that they would remove earlier.
    """

    digest: str
    approved: int
    threads: Mapping[str, int] = field(default_factory=dict)


class StoredPolicies:
    """What the registry records about policies.

    Approvals are only ever added, and the last one counts; at most one proposal waits. A pass that
    decides every row again records how far it got.
    """

    def __init__(self, store: Store) -> None:
        self._store = store

    def approve(
        self, document: str, digest: str, *, actor: str, reason: str, now: datetime
    ) -> None:
        """Records that these policies may take effect, by whom and why."""
        row = {"document": document, "digest": digest, "actor": actor, "reason": reason, "at": now}
        with self._store.writing_alone() as connection:
            connection.execute(insert(APPROVAL), row)

    def approve_after(
        self,
        before: int | None,
        document: str,
        digest: str,
        *,
        actor: str,
        reason: str,
        now: datetime,
    ) -> bool:
        """Like `approve`, unless an approval came after `before`; whether it was recorded."""
        row = {"document": document, "digest": digest, "actor": actor, "reason": reason, "at": now}
        with self._store.writing_alone() as connection:
            if connection.scalar(select(func.max(APPROVAL.c.number))) != before:
                return False
            connection.execute(insert(APPROVAL), row)
            return True

    def approval(self, number: int | None = None) -> Approval | None:
        """The approval with this number, or the last one; `None` if there is none."""
        asked = _NEWEST if number is None else _NEWEST.where(APPROVAL.c.number == number)
        with self._store.reading() as connection:
            row = connection.execute(asked).mappings().first()
            return None if row is None else Approval(**row)

    def set_proposal(self, proposal: PendingApproval | None) -> None:
        """Records which policies wait, replacing any before; `None` means that none do."""
        with self._store.writing_alone() as connection:
            set_meta(connection, _META, None if proposal is None else _spell(proposal))

    def proposal(self) -> PendingApproval | None:
        """The policies that waited when the rows were last decided, approved since or not."""
        with self._store.reading() as connection:
            return _proposal(connection)

    def unapproved(self) -> PendingApproval | None:
        """The policies that still wait; `None` if none do or they were approved since."""
        with self._store.reading() as connection:
            proposal = _proposal(connection)
            newest = connection.execute(_NEWEST).mappings().first()
            over = proposal is None or newest is None or newest["digest"] == proposal.digest
            return None if over else proposal

    def decided_digest(self) -> str | None:
        """The digest of the policies that every row was last decided under."""
        return self._store.meta("policies_digest")

    def set_decided_digest(self, digest: str) -> None:
        """Records that every row was decided under these policies, which ends the pass."""
        with self._store.writing_alone() as connection:
            set_meta(connection, "policies_digest", digest)
            set_meta(connection, "redecide_cursor", None)

    def redecide_cursor(self, digest: str) -> Key | None:
        """Where a pass under these policies stopped; `None` to begin at the first row."""
        found = orjson.loads(self._store.meta("redecide_cursor") or "null")
        if found is None or found["digest"] != digest:
            return None
        return Key(found["project"], Kind(found["kind"]), found["id"])

    def set_redecide_cursor(self, digest: str, key: Key) -> None:
        """Records how far a pass under these policies got."""
        at = {"digest": digest, "project": key.project, "kind": key.kind, "id": key.id}
        with self._store.writing_alone() as connection:
            set_meta(connection, "redecide_cursor", orjson.dumps(at).decode())

    def silent_rules(self, digest: str) -> tuple[str, ...] | None:
        """The rules that no thread was known to match; `None` if there is no record for these."""
        found = orjson.loads(self._store.meta("silent_rules") or "null")
        return None if found is None or found["digest"] != digest else tuple(found["rules"])

    def set_silent_rules(self, digest: str, rules: Sequence[str]) -> None:
        """Records which rules match no thread."""
        text = orjson.dumps({"digest": digest, "rules": list(rules)}).decode()
        with self._store.writing_alone() as connection:
            set_meta(connection, "silent_rules", text)


def _spell(proposal: PendingApproval) -> str:
    document = {"approved": proposal.approved, "threads": dict(proposal.threads)}
    return orjson.dumps({"digest": proposal.digest, **document}).decode()


def _proposal(connection: Connection) -> PendingApproval | None:
    stored = read_meta(connection, _META)
    return None if stored is None else PendingApproval(**orjson.loads(stored))
