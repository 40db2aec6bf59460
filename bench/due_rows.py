"""B2: reading what is due, beside sqlite3 alone with the same columns decoded."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import orjson
from comparison import Measure, Size, speeds

from janitor.model import Key, Kind
from janitor.registry import Registration, Registry

ROWS = 20_000
PAGE = 1000
NOW = datetime.now(UTC)
OLD = NOW - timedelta(days=90)
TIMES = frozenset(
    (
        *("registered_at", "vanished_at", "created_at", "last_active_at", "dated_before"),
        *("reported_at", "touched_at", "upstream_at", "baseline_at", "changed_at", "alive_at"),
        *("keep_until", "review_at", "due_at", "soft_deleted_at", "spared_until", "deleted_at"),
        *("missing_since", "copied_at", "archive_keep_until", "claim_until", "intent_at"),
        "intent_alive_at",
    )
)
OBJECTS = frozenset(("reported", "upstream", "reported_before", "copy_older", "archive_terms"))
DUE = "review_at IS NOT NULL AND state IN ('active', 'archived', 'soft_deleted')"
SELECT = f"SELECT * FROM thread WHERE {DUE} AND review_at <= ?"  # noqa: S608 - ours
AFTER = " AND (review_at, project, kind, id) > (?, ?, ?, ?)"
ORDER = f" ORDER BY review_at, project, kind, id LIMIT {PAGE}"


def measures(directory: Path, size: Size) -> Iterator[Measure]:
    """Rows a second, ours ÷ the reference's, by CPU."""
    number, file = size.rows(ROWS), directory / "due.db"
    with Registry.open(f"sqlite:///{file}") as registry:
        keys = (Key("main", Kind.CONVERSATION, f"conv_{n}") for n in range(number))
        told = (Registration(key, OLD, OLD, metadata={"plan": "trial"}) for key in keys)
        registry.registrations.add(told, OLD)

        def ours() -> None:
            assert sum(1 for _ in registry.threads.due(NOW)) == number

        def reference() -> None:
            assert sum(1 for _ in raw_rows(file)) == number

        ratios = tuple(speeds(ours, reference, size.pairs))
    yield Measure("B2", f"{number} due rows, a second of CPU", 0.7, ratios)


def raw_rows(file: Path) -> Iterator[tuple[Any, ...]]:
    """The due rows of a registry's file, in pages by key, times and objects decoded."""
    until = NOW.strftime("%Y-%m-%d %H:%M:%S.%f")
    with closing(sqlite3.connect(file)) as connection:
        statement, values = SELECT + ORDER, [until]
        while True:
            found = connection.execute(statement, values)
            names = [column[0] for column in found.description]
            place = [names.index(name) for name in ("review_at", "project", "kind", "id")]
            decoders = [decoder(name) for name in names]
            rows = found.fetchall()
            for row in rows:
                yield tuple(
                    value if value is None or decode is None else decode(value)
                    for value, decode in zip(row, decoders, strict=True)
                )
            if len(rows) < PAGE:
                return
            statement, values = SELECT + AFTER + ORDER, [until, *(rows[-1][n] for n in place)]


def decoder(name: str) -> Callable[[Any], object] | None:
    """What turns a column's text into what it stands for; `None` where it is that already."""
    if name in TIMES:
        return datetime.fromisoformat
    return orjson.loads if name in OBJECTS else None
