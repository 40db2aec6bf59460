"""Prepared statements write and find what SQLAlchemy's own would, on both engines."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from sqlalchemy import delete, insert, select

from janitor.model import Key, Kind, State
from janitor.registry import Registered, Registration, Registry
from janitor.registry.database import Store
from janitor.registry.prepared import Prepared
from janitor.registry.tables import THREAD

NOW = datetime(2026, 6, 1, 12, 30, 15, 7, UTC)
NAMES = ("id", "kind", "project", "created_at", "reported", "items", "newest_item")
ROWS = [
    ("conv_1", Kind.CONVERSATION, "main", NOW, {"b": "é\u2028", "a": '"%s"'}, 3, "%(id)s"),
    ("conv_2", Kind.CONVERSATION, "main", None, None, None, None),
    ("t", Kind.THREAD, "other", NOW.replace(microsecond=0), {}, 0, ""),
    ("u", Kind.THREAD, "other", NOW.astimezone(timezone(timedelta(hours=-9))), {"a": ""}, 1, "?"),
    ("v", Kind.THREAD, "other", datetime.min.replace(tzinfo=UTC), {"a": "%"}, 1, ":x"),
    ("w", Kind.THREAD, "other", datetime.max.replace(tzinfo=UTC), {"a": "\\"}, 1, "'"),
]
SAME = {"state": State.ACTIVE, "registered_at": NOW, "copy_is_current": False, "attempts": 0}


def test_it_writes_what_an_insert_of_each_row_writes(registry: Registry) -> None:
    store: Store = registry.registrations._store
    with store.writing() as connection:
        found = []
        for way in ("prepared", "plain"):
            connection.execute(delete(THREAD))
            if way == "prepared":
                Prepared(insert(THREAD), *NAMES).execute(connection, ROWS, **SAME)
            else:
                plain = [dict(zip(NAMES, row, strict=True)) | SAME for row in ROWS]
                connection.execute(insert(THREAD), plain)
            raw = connection.exec_driver_sql("SELECT * FROM thread ORDER BY id").all()
            read = connection.execute(select(THREAD).order_by(THREAD.c.id)).all()
            found.append((raw, read))
        Prepared(insert(THREAD), *NAMES).execute(connection, [], **SAME)
    assert found[0] == found[1]
    assert len(found[0][0]) == len(ROWS)


def test_a_time_without_a_zone_is_not_written(registry: Registry) -> None:
    store: Store = registry.registrations._store
    row = ("conv_1", Kind.CONVERSATION, "main", NOW.replace(tzinfo=None), None, None, None)
    with pytest.raises(ValueError, match="zone"), store.writing() as connection:
        Prepared(insert(THREAD), *NAMES).execute(connection, [row], **SAME)
    assert list(registry.registrations.stream()) == []


@pytest.mark.parametrize("known", [0, 1, 50, 51, 499, 500, 501])
def test_known_rows_are_found_among_many_that_are_not(registry: Registry, known: int) -> None:
    said = [Registration(Key("main", Kind.THREAD, f"t{n:04}")) for n in range(620)]
    others = [
        Registration(Key("main", Kind.CONVERSATION, said[0].key.id)),
        Registration(Key("other", Kind.THREAD, said[1].key.id)),
    ]
    registry.registrations.add([*others, *said[620 - known :]], NOW)
    done = registry.registrations.enter("file", said, NOW, lambda _: "")
    assert done == Registered(added=620 - known, unchanged=known)
    assert len(list(registry.registrations.stream())) == 622
