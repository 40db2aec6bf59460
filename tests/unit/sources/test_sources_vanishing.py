"""What a table no longer holds: found once a day, and not believed where it is too much at once."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from application import CHATS, expiring, of_file, read, write

from janitor.errors import LimitError
from janitor.model import Key, Kind
from janitor.registry import Registration, Registry
from janitor.sources import down, memories

NOW = datetime.now(UTC)
DAY = timedelta(days=1)
OLD = f"{NOW - 9 * DAY:%Y-%m-%d %H:%M:%S}"
INSERT = "INSERT INTO chats VALUES (?, '2026-01-01', 'trial', ?)"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "app.db"


def fill(path: Path, names: Iterable[str]) -> None:
    write(path, CHATS.format(type="TEXT"), INSERT, rows=[(name, OLD) for name in names])


def vanished(registry: Registry) -> list[str]:
    return [e.thread.key.id for e in registry.select() if e.thread.vanished_at is not None]


def test_what_vanished_is_found_by_the_next_days_reading(path: Path, registry: Registry) -> None:
    source = expiring(of_file(path))
    fill(path, (f"t{i}" for i in range(30)))
    assert read(registry, source, now=lambda: NOW).is_full
    write(path, "DELETE FROM chats WHERE id IN ('t1', 't2')")
    early = read(registry, source, now=lambda: NOW + timedelta(hours=23))
    assert (early.is_full, early.vanished) == (False, 0)
    later = read(registry, source, now=lambda: NOW + DAY)
    assert (later.is_full, later.read, later.vanished) == (True, 28, 2)
    assert sorted(vanished(registry)) == ["t1", "t2"]


def test_what_is_there_again_has_not_vanished(path: Path, registry: Registry) -> None:
    source = expiring(of_file(path))
    fill(path, ("a", "b"))
    for day, change in enumerate(("UPDATE chats SET id = 'c' WHERE id = 'b'", INSERT)):
        read(registry, source, now=lambda day=day: NOW + day * DAY)
        write(path, change, rows=[("b", OLD)] if "VALUES" in change else [])
    assert vanished(registry) == ["b"]
    read(registry, source, now=lambda: NOW + 2 * DAY)
    assert vanished(registry) == []


@pytest.mark.parametrize("days", [1, 2])
def test_a_row_that_cannot_be_registered_is_there(
    days: int, path: Path, registry: Registry
) -> None:
    source = expiring(of_file(path))
    fill(path, ("a", "b"))
    read(registry, source, now=lambda: NOW)
    if days == 2:  # it was gone in between
        write(path, "UPDATE chats SET id = 'c' WHERE id = 'a'")
        assert read(registry, source, now=lambda: NOW + DAY).vanished == 1
        write(path, "UPDATE chats SET id = 'a' WHERE id = 'c'")
    write(path, "UPDATE chats SET plan = ? WHERE id = 'a'", rows=[("x" * 600,)])
    again = read(registry, source, now=lambda: NOW + days * DAY)
    assert (again.is_full, again.refused, again.vanished) == (True, 1, 1 if days == 2 else 0)
    assert vanished(registry) == (["c"] if days == 2 else [])


def test_nothing_vanishes_where_the_source_keeps(path: Path, registry: Registry) -> None:
    fill(path, ("a", "b"))
    read(registry, of_file(path), now=lambda: NOW)
    write(path, "DELETE FROM chats WHERE id = 'a'")
    assert read(registry, of_file(path), now=lambda: NOW + 2 * DAY).vanished == 0
    assert vanished(registry) == []


def test_what_others_registered_does_not_vanish(path: Path, registry: Registry) -> None:
    source = expiring(of_file(path))
    fill(path, ("a",))
    read(registry, of_file(path, watermark="updated_at"), now=lambda: NOW)
    (entry,) = registry.select()
    registry.register([_as_another(entry.thread.key.id)], NOW)
    read(registry, source, now=lambda: NOW + 2 * DAY)
    assert vanished(registry) == []


@pytest.mark.parametrize(("number", "lost"), [(30, 7), (20, 20), (3, 3)])
def test_a_mass_of_vanished_rows_is_not_believed(
    number: int, lost: int, path: Path, registry: Registry
) -> None:
    source = expiring(of_file(path))
    fill(path, (f"t{i:02}" for i in range(number)))
    read(registry, source, now=lambda: NOW)
    before = memories(registry)["chats"]
    write(path, "DELETE FROM chats WHERE id < ?", rows=[(f"t{lost:02}",)])
    for day in (1, 2):
        with pytest.raises(LimitError, match=f"{lost} of the {number} threads"):
            read(registry, source, now=lambda day=day: NOW + day * DAY)
        assert vanished(registry) == []
        assert "--accept-vanished" in down(registry, ["chats"])["chats"]
        assert memories(registry)["chats"].mark == before.mark
    accepted = read(registry, source, now=lambda: NOW + 2 * DAY, believes=True)
    assert accepted.vanished == lost
    assert down(registry, ["chats"]) == {}


def test_a_few_of_a_few_are_believed(path: Path, registry: Registry) -> None:
    source = expiring(of_file(path))
    fill(path, ("a", "b", "c", "d", "e"))
    read(registry, source, now=lambda: NOW)
    write(path, "DELETE FROM chats WHERE id < 'e'")
    assert read(registry, source, now=lambda: NOW + DAY).vanished == 4


def test_a_reading_that_was_cut_short_begins_anew(path: Path, registry: Registry) -> None:
    source = expiring(of_file(path))
    fill(path, ("a", "b"))
    read(registry, source, now=lambda: NOW)
    registry.take("source:chats", [_as_another("a"), _as_another("b")], NOW, cursor="x")
    write(path, "DELETE FROM chats WHERE id = 'a'")
    assert read(registry, source, now=lambda: NOW + DAY).vanished == 1
    assert registry.cursor("source:chats") is None


def _as_another(name: str) -> Registration:
    return Registration(Key("main", Kind.THREAD, name), NOW)
