"""Holds, approvals, counts, and how far a pass over changed policies got."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

import orjson
from sqlalchemy import RowMapping, func, insert, or_, select, update

from janitor.errors import ConfigError
from janitor.model import LIVE, Hold, Key, Kind, Outcome, Stage, State
from janitor.registry.store import Store
from janitor.registry.tables import APPROVAL, COUNT, HOLD, TOTAL

ENDED_LONG_AGO = timedelta(days=366)


class Holding(Store):
    """What stands above the policies, and which policies stand."""

    def holds(self, now: datetime, *, grace: timedelta = ENDED_LONG_AGO) -> tuple[Hold, ...]:
        """Holds in force at `now` or ended less than `grace` ago, in the order they were added.

        Ended ones are told too, since policies grant a grace after them.
        """
        horizon = now - grace
        recent = [
            or_(HOLD.c[name].is_(None), HOLD.c[name] > horizon) for name in ("until", "released_at")
        ]
        with self._reading() as connection:
            rows = connection.execute(select(HOLD).where(*recent).order_by(HOLD.c.number))
            return tuple(_hold_of(row) for row in rows.mappings())

    def add_hold(self, hold: Hold, now: datetime, *, actor: str = "") -> None:
        """Adds a hold; ConfigError while one of that name is not released."""
        same = (HOLD.c.name == hold.name, HOLD.c.released_at.is_(None))
        with self._writing_alone() as connection:
            if connection.scalar(select(func.count()).select_from(HOLD).where(*same)):
                raise ConfigError(f"hold {hold.name!r} exists: release it or take another name")
            row = {
                "name": hold.name,
                "reason": hold.reason,
                "ids": sorted(hold.ids),
                "labels": dict(hold.metadata),
                "until": hold.until,
                "added_at": now,
                "added_by": actor,
            }
            connection.execute(insert(HOLD), row)

    def release_hold(self, name: str, now: datetime, *, reason: str, actor: str = "") -> None:
        """Ends a hold; ConfigError where none of that name is in force."""
        held = update(HOLD).where(HOLD.c.name == name, HOLD.c.released_at.is_(None))
        released = held.values(released_at=now, released_by=actor, release_reason=reason)
        with self._writing_alone() as connection:
            if connection.execute(released).rowcount == 0:
                raise ConfigError(
                    f"there is no hold {name!r} to release: use the name that it was added under"
                )

    def approve(
        self, document_json: str, digest: str, *, actor: str, reason: str, now: datetime
    ) -> None:
        """Records that these policies may take effect, by whom and why."""
        row = {"document": document_json, "digest": digest, "actor": actor, "reason": reason}
        with self._writing_alone() as connection:
            connection.execute(insert(APPROVAL), row | {"at": now})

    def approved_policies(self) -> str | None:
        """The document that was approved last; `None` where none ever was."""
        with self._reading() as connection:
            newest = select(APPROVAL.c.document).order_by(APPROVAL.c.number.desc()).limit(1)
            return connection.scalar(newest)

    def policies_digest(self) -> str | None:
        """The digest of the policies that every row was last decided under."""
        return self._meta("policies_digest")

    def set_policies_digest(self, digest: str) -> None:
        """Records that every row was decided under these policies; the pass is over."""
        with self._writing_alone() as connection:
            self._set_meta(connection, "policies_digest", digest)
            self._set_meta(connection, "redecide_cursor", None)

    def redecide_cursor(self, digest: str) -> Key | None:
        """Where a pass towards these policies stopped; `None`: begin at the first row."""
        found = orjson.loads(self._meta("redecide_cursor") or "null")
        if found is None or found["digest"] != digest:
            return None
        return Key(found["project"], Kind(found["kind"]), found["id"])

    def set_redecide_cursor(self, digest: str, key: Key) -> None:
        """Records how far a pass towards these policies got."""
        at = {"digest": digest, "project": key.project, "kind": key.kind, "id": key.id}
        with self._writing_alone() as connection:
            self._set_meta(connection, "redecide_cursor", orjson.dumps(at).decode())

    def archive_url(self) -> str | None:
        """Where copies were put so far; `None`: nowhere yet."""
        return self._meta("archive_url")

    def set_archive_url(self, url: str) -> None:
        """Records where copies are put."""
        with self._writing_alone() as connection:
            self._set_meta(connection, "archive_url", url)

    def silent_rules(self, digest: str) -> tuple[str, ...] | None:
        """The rules that matched no thread when last looked; `None` under other rules."""
        found = orjson.loads(self._meta("silent_rules") or "null")
        return None if found is None or found["digest"] != digest else tuple(found["rules"])

    def set_silent_rules(self, digest: str, rules: Sequence[str]) -> None:
        """Records which rules match no thread."""
        said = orjson.dumps({"digest": digest, "rules": list(rules)}).decode()
        with self._writing_alone() as connection:
            self._set_meta(connection, "silent_rules", said)

    def population(self) -> Mapping[str, int]:
        """Live rows of each governing policy; rows that no policy governs are left out."""
        n = func.sum(COUNT.c.n)
        governed = select(COUNT.c.policy, n).where(
            COUNT.c.state.in_(sorted(LIVE)), COUNT.c.policy != ""
        )
        with self._reading() as connection:
            rows = connection.execute(governed.group_by(COUNT.c.policy).having(n > 0))
            return {policy: int(count) for policy, count in rows}

    def states(self) -> Mapping[tuple[str, Kind, State], int]:
        """Rows of each project, kind and state."""
        place = (COUNT.c.project, COUNT.c.kind, COUNT.c.state)
        n = func.sum(COUNT.c.n)
        with self._reading() as connection:
            rows = connection.execute(select(*place, n).group_by(*place).having(n > 0))
            return {(project, kind, state): int(count) for project, kind, state, count in rows}

    def totals(self) -> Mapping[tuple[str, Stage, Outcome], int]:
        """What all closed runs did, by policy (`''`: none), stage and outcome; only ever grows."""
        with self._reading() as connection:
            rows = connection.execute(select(TOTAL))
            return {(policy, stage, outcome): n for policy, stage, outcome, n in rows}


def _hold_of(row: RowMapping) -> Hold:
    return Hold(
        name=row["name"],
        reason=row["reason"],
        ids=frozenset(row["ids"] or ()),
        metadata=row["labels"] or {},
        until=row["until"],
        released_at=row["released_at"],
    )
