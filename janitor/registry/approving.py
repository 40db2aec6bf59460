"""Which policies a person let take effect, and which wait for that."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

import orjson
from sqlalchemy import Connection, func, insert, select

from janitor.registry.store import Store, read_meta
from janitor.registry.tables import APPROVAL

_META = "proposal"
_NEWEST = select(APPROVAL).order_by(APPROVAL.c.number.desc()).limit(1)


@dataclass(frozen=True, slots=True)
class Approval:
    """Policies that may take effect: their digest and document, who said so, why and when."""

    number: int
    digest: str
    document: str
    actor: str
    reason: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Proposal:
    """Policies that wait, by their digest, and the number of the approval that stands till then.

    `threads` counts, by policy, the threads that they would remove earlier.
    """

    digest: str
    approved: int
    threads: Mapping[str, int] = field(default_factory=dict)


class Approving(Store):
    """Approvals are only ever added, and the last one counts; at most one proposal waits."""

    def approve(
        self, document: str, digest: str, *, actor: str, reason: str, now: datetime
    ) -> None:
        """Records that these policies may take effect, by whom and why."""
        row = {"document": document, "digest": digest, "actor": actor, "reason": reason, "at": now}
        with self._writing_alone() as connection:
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
        """The same, unless another approval came after the one `before`; whether it was done."""
        row = {"document": document, "digest": digest, "actor": actor, "reason": reason, "at": now}
        with self._writing_alone() as connection:
            if connection.scalar(select(func.max(APPROVAL.c.number))) != before:
                return False
            connection.execute(insert(APPROVAL), row)
            return True

    def approval(self, number: int | None = None) -> Approval | None:
        """The approval of a number, or the last one; `None` where there is none."""
        asked = _NEWEST if number is None else _NEWEST.where(APPROVAL.c.number == number)
        with self._reading() as connection:
            row = connection.execute(asked).mappings().first()
            return None if row is None else Approval(**row)

    def set_proposal(self, proposal: Proposal | None) -> None:
        """Records which policies wait, in the place of those before."""
        with self._writing_alone() as connection:
            self._set_meta(connection, _META, None if proposal is None else _spell(proposal))

    def proposal(self) -> Proposal | None:
        """The policies that waited when the rows were last decided, approved since or not."""
        with self._reading() as connection:
            return _proposal(connection)

    def unapproved(self) -> Proposal | None:
        """The policies that still wait; `None` where none do or they were approved since."""
        with self._reading() as connection:
            proposal = _proposal(connection)
            newest = connection.execute(_NEWEST).mappings().first()
            over = proposal is None or newest is None or newest["digest"] == proposal.digest
            return None if over else proposal


def _spell(proposal: Proposal) -> str:
    said = {"approved": proposal.approved, "threads": dict(proposal.threads)}
    return orjson.dumps({"digest": proposal.digest, **said}).decode()


def _proposal(connection: Connection) -> Proposal | None:
    said = read_meta(connection, _META)
    return None if said is None else Proposal(**orjson.loads(said))
