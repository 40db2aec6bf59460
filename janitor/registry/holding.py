"""Counts, and how far a pass over changed policies got."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import orjson
from sqlalchemy import func, select

from janitor.model import LIVE, Key, Kind, Outcome, Stage, State
from janitor.registry.store import Store
from janitor.registry.tables import COUNT, THREAD, TOTAL


class Holding(Store):
    """What is counted, and under which policies the rows were decided."""

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
        """The rules that no thread certainly matched when last looked; `None` under others."""
        found = orjson.loads(self._meta("silent_rules") or "null")
        return None if found is None or found["digest"] != digest else tuple(found["rules"])

    def set_silent_rules(self, digest: str, rules: Sequence[str]) -> None:
        """Records which rules match no thread."""
        said = orjson.dumps({"digest": digest, "rules": list(rules)}).decode()
        with self._writing_alone() as connection:
            self._set_meta(connection, "silent_rules", said)

    def unread(self) -> frozenset[tuple[str, Kind]]:
        """Each project and kind with a living thread whose metadata nobody has read; a scan."""
        sides = (THREAD.c.reported.is_(None), THREAD.c.upstream.is_(None))
        herds = select(THREAD.c.project, THREAD.c.kind).distinct()
        living = herds.where(*sides, THREAD.c.state.in_(sorted(LIVE)))
        with self._reading() as connection:
            return frozenset((project, kind) for project, kind in connection.execute(living))

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

    def copies(self) -> int:
        """How many threads, deleted ones too, have a copy in the archive."""
        with self._reading() as connection:
            return int(connection.scalar(select(func.sum(COUNT.c.copies))) or 0)

    def totals(self) -> Mapping[tuple[str, Stage, Outcome], int]:
        """What all closed runs did, by policy (`''`: none), stage and outcome; only ever grows."""
        with self._reading() as connection:
            rows = connection.execute(select(TOTAL))
            return {(policy, stage, outcome): n for policy, stage, outcome, n in rows}
