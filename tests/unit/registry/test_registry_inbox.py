"""What applications append to the inbox, and what becomes of it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from alembic import command
from hypothesis import given
from hypothesis import strategies as st

from janitor.errors import StoreError
from janitor.model import Key, Kind
from janitor.registry import Drained, InboxNotice, Registration, Registry, inbox
from janitor.registry.inbox import LONGEST, DeletedByApplication, judge
from janitor.registry.migrate import migrations
from janitor.registry.registrations import check
from janitor.times import CEILING, FLOOR, FOREVER

NOW = datetime(2026, 3, 1, tzinfo=UTC)
DAY = timedelta(days=1)
KEY = Key("main", Kind.THREAD, "t")
WRONG_ID = "the id must be 1 to 200 letters, digits, dots, colons, dashes or underscores"
COLUMNS = "project, kind, id, v, event, at, created_at, metadata, keep_until"
AT = "'2026-02-01 00:00:00'"
LARGE = f'{{"a": "{"x" * (1 << 19)}"}}'
WIDE = "\U00020000"  # four bytes, like each character beyond the first plane
ODD = {
    "a surrogate": (f"1, 'register', {AT}, NULL, '{{\"a\": \"\\ud800\"}}', NULL", "not JSON"),
    "a deep one": (f"1, 'register', {AT}, NULL, '{'[' * 2000}{']' * 2000}', NULL", "not JSON"),
    "a list": (f"1, 'register', {AT}, NULL, '[]', NULL", "not a map"),
    "a number": (f"1, 'register', {AT}, NULL, '{{\"a\": 1}}', NULL", "must be text"),
    "a key twice": (
        f'1, \'register\', {AT}, NULL, \'{{"a": "b", "a": "c"}}\', NULL',
        "appears twice",
    ),
    "a NUL": (f"1, 'register', {AT}, NULL, '{{\"a\": \"\\u0000\"}}', NULL", "must be text"),
    "more than an index takes": (
        f"1, 'register', {AT}, NULL, '{{\"{WIDE * 64}\": \"{WIDE * 512}\"}}', NULL",
        "2200 bytes",
    ),
    "a large one": (
        f"1, 'register', {AT}, NULL, '{{\"a\": \"{'x' * (1 << 19)}\"}}', NULL",
        "longer",
    ),
    "another version": (f"2, 'register', {AT}, NULL, NULL, NULL", "version"),
    "another event": (f"1, 'delete', {AT}, NULL, NULL, NULL", "event"),
}
UNSET = {
    "Go's zero": ("'0001-01-01 00:00:00'", "NULL"),
    "the epoch": ("'1970-01-01 00:00:00'", "'1970-01-01 01:00:00'"),
    "year 20000": ("'20000-01-01 00:00:00'", "NULL"),
    "no beginning": (AT, "'-infinity'"),
    "no end": ("'infinity'", "NULL"),
    "before Christ": ("'0044-03-15 00:00:00 BC'", "NULL"),
}
SQLITE = {
    "no JSON": (f"1, 'register', {AT}, NULL, '{{', NULL", "not JSON"),
    "no time": ("1, 'register', 'yesterday', NULL, NULL, NULL", "at: not a time"),
    "a number": ("1, 'register', 5, NULL, NULL, NULL", "at: not a time"),
}


def test_the_inbox_adds_and_dates_but_overwrites_nothing(registry: Registry) -> None:
    registry.registrations.add([Registration(KEY, NOW, NOW, metadata={"user": "a"})], NOW)
    assert (
        registry.inbox.append(
            [
                InboxNotice("main", "thread", "t", NOW + DAY, "touch"),
                InboxNotice("main", "thread", "t", NOW - DAY, metadata={"user": "b", "plan": "x"}),
                InboxNotice("main", "thread", "new", NOW, created_at=NOW, metadata={}),
                InboxNotice("main", "thread", "touched", NOW, "touch"),
                InboxNotice("main", "thread", "../x", NOW),
                InboxNotice("main", "folder", "t", NOW),
                InboxNotice("main", "thread", "t", NOW, "delete"),
                InboxNotice("main", "thread", "t", NOW, v=2),
            ]
        )
        == registry.inbox.undrained()
    )
    assert registry.inbox.drain(NOW + 2 * DAY) == Drained(8, 4, f"row 5: {WRONG_ID}")
    assert (registry.inbox.undrained(), registry.inbox.drain(NOW + 2 * DAY)) == (0, Drained())
    assert registry.inbox.refused() == 4
    entry = registry.threads.get(KEY)
    assert entry is not None
    assert entry.thread.last_active_at == NOW + DAY
    assert entry.thread.reported == {"user": "a", "plan": "x"}
    assert {e.thread.key.id for e in registry.threads.select()} == {"t", "new", "touched"}


def test_a_touch_from_the_inbox_brings_nothing_up_for_review(registry: Registry) -> None:
    registry.registrations.add([Registration(KEY, NOW)], NOW)
    registry.settlements.reschedule([(KEY, NOW + 9 * DAY, None, None)])
    registry.inbox.append([InboxNotice("main", "thread", "t", NOW + DAY, "touch")])
    registry.inbox.drain(NOW + DAY)
    assert list(registry.threads.due(NOW + DAY)) == []


def test_a_deletion_by_the_application_brings_a_thread_up_and_settles_nothing(
    registry: Registry,
) -> None:
    registry.registrations.add([Registration(KEY, NOW, NOW)], NOW)
    registry.settlements.reschedule([(KEY, NOW + 9 * DAY, None, None)])
    registry.inbox.append(
        [InboxNotice("main", "thread", one, NOW + DAY, "deleted") for one in ("t", "other")]
    )
    registry.inbox.drain(NOW + DAY)
    (due,) = registry.threads.due(NOW + DAY)
    assert (due.thread.key, due.thread.state) == (KEY, "active")
    assert due.thread.last_active_at == NOW
    assert [e.thread.key for e in registry.threads.select()] == [KEY]


def test_drained_notices_are_kept_for_thirty_days(registry: Registry) -> None:
    registry.inbox.append([InboxNotice("main", "thread", "t", NOW)])

    def kept() -> object:
        with registry.store.reading() as connection:
            return connection.exec_driver_sql("SELECT count(*) FROM janitor_inbox").scalar()

    registry.inbox.drain(NOW)
    registry.inbox.drain(NOW + 30 * DAY)
    assert kept() == 1
    registry.inbox.drain(NOW + 31 * DAY)
    assert kept() == 0


STRANGE = {
    "sqlite": ("''", "0", "'2001-01-01 00:00:00'", "'no time'", "x'00'", "'2099-01-01 00:00:00'"),
    "postgresql": ("'2001-01-01'", "'-infinity'", "'infinity'", "'2099-01-01'"),
}


def test_a_row_that_an_application_marked_as_drained_is_read_all_the_same(
    registry: Registry,
) -> None:
    with registry.store.writing() as connection:
        marks = STRANGE[connection.dialect.name]
        for number, mark in enumerate(marks):
            row = f"1, 'register', 'main', 'thread', 't{number}', {AT}, {mark}"
            columns = "v, event, project, kind, id, at, drained_at"
            said = f"INSERT INTO janitor_inbox ({columns}) VALUES ({row})"  # noqa: S608
            connection.exec_driver_sql(said)
    assert registry.inbox.drain(NOW).judged == len(marks)
    assert registry.inbox.drain(NOW).judged == 0
    assert sum(registry.threads.states().values()) == len(marks)


def odd_rows(registry: Registry) -> dict[str, tuple[str, str]]:
    with registry.store.reading() as connection:
        is_file = connection.dialect.name == "sqlite"
    return ODD | (SQLITE if is_file else {})


def insert(registry: Registry, *rows: str) -> None:
    with registry.store.writing() as connection:
        for row in rows:
            said = f"INSERT INTO janitor_inbox ({COLUMNS}) VALUES ({row})"  # noqa: S608
            connection.exec_driver_sql(said)


def test_an_odd_row_is_refused_with_a_reason_and_holds_up_nobody(registry: Registry) -> None:
    odd = odd_rows(registry)
    insert(registry, *(f"'main', 'thread', 'odd', {row}" for row, _ in odd.values()))
    registry.inbox.append([InboxNotice("main", "thread", "t", NOW)])
    drained = registry.inbox.drain(NOW)
    assert (drained.judged, drained.refused) == (len(odd) + 1, len(odd))
    assert registry.inbox.refused() == len(odd)
    assert [entry.thread.key for entry in registry.threads.select()] == [KEY]
    with registry.store.reading() as connection:
        said = connection.exec_driver_sql(
            "SELECT refused FROM janitor_inbox WHERE refused IS NOT NULL ORDER BY seq"
        )
        for (reason,), (_, expected) in zip(said, odd.values(), strict=True):
            assert any(one in str(reason) for one in expected.split("|")), reason


E9 = "CAST(x'4a6f73e9' AS TEXT)"  # `José` in Latin-1
GOOD = {
    "project": "'main'",
    "kind": "'thread'",
    "id": "'hostile'",
    "v": "1",
    "event": "'register'",
    "at": AT,
    "created_at": AT,
    "metadata": "'{}'",
}
BROKEN = {
    "bytes": E9,
    "a BLOB": "x'ff00fe'",
    "a NUL": "CAST(x'610062' AS TEXT)",
    "half a character": "CAST(x'f09f98' AS TEXT)",
    "a surrogate": "CAST(x'eda080' AS TEXT)",
    "much": "zeroblob(1000000)",
}


def test_bytes_that_are_no_text_concern_their_own_row_alone(sqlite_url: str) -> None:
    hostile = [(column, broken) for column in GOOD for broken in BROKEN.values()]
    numbers = list(range(1, len(hostile) + 1))
    with Registry.open(sqlite_url) as registry:
        with registry.store.writing() as connection:
            for column, broken in hostile:
                values = ", ".join((GOOD | {column: broken}).values())
                said = f"INSERT INTO janitor_inbox ({', '.join(GOOD)}) VALUES ({values})"  # noqa: S608
                connection.exec_driver_sql(said)
        registry.inbox.append([InboxNotice("main", "thread", "t", NOW)])
        doubted = registry.inbox.doubted()
        assert list(doubted) == numbers
        for reason, (column, _) in zip(doubted.values(), hostile, strict=True):
            assert reason.startswith(column)
            assert "Jos" not in reason
        assert registry.inbox.undrained() == len(hostile) + 1, "a mere look"
        first = f"row 1: {doubted[1]}"
        assert registry.inbox.drain(NOW) == Drained(len(hostile) + 1, len(hostile), first)
        assert registry.inbox.refused_rows(1000) == numbers
        assert [entry.thread.key for entry in registry.threads.select()] == [KEY]
        assert registry.inbox.doubted() == {}


def test_a_keep_until_that_is_no_text_keeps_for_ever(sqlite_url: str) -> None:
    with Registry.open(sqlite_url) as registry:
        for number, broken in enumerate(BROKEN.values()):
            told = f"'main', 'thread', 't{number}', 1, 'register', {AT}, NULL, NULL"
            insert(registry, f"{told}, {broken}")
        assert registry.inbox.drain(NOW).odd_times == len(BROKEN)
        kept = [entry.thread.keep_until for entry in registry.threads.select()]
    assert kept == [FOREVER] * len(BROKEN)


def test_a_keep_until_that_is_too_long_is_not_read_in_part(sqlite_url: str) -> None:
    later = "'2027-01-01 00:00:00." + "0" * 19 + "-12:00'"
    with Registry.open(sqlite_url) as registry:
        insert(registry, f"'main', 'thread', 't', 1, 'register', {AT}, NULL, NULL, {later}")
        registry.inbox.drain(NOW)
        entry = registry.threads.get(KEY)
    assert entry is not None
    assert entry.thread.keep_until == FOREVER


def test_what_an_application_may_leave_out_postgresql_has(postgres_url: str) -> None:
    with Registry.open(postgres_url) as registry:
        before = datetime.now(UTC)
        with registry.store.writing() as connection:
            connection.exec_driver_sql(
                "INSERT INTO janitor_inbox (project, kind, id, keep_until) "
                "VALUES ('main', 'thread', 't', 'infinity')"
            )
        assert registry.inbox.drain(NOW) == Drained(1)
        entry = registry.threads.get(KEY)
    assert entry is not None
    assert entry.thread.keep_until == FOREVER
    assert entry.thread.last_active_at is not None
    assert before <= entry.thread.last_active_at <= datetime.now(UTC)


def test_what_waits_outlives_a_new_schema(url: str) -> None:
    with Registry.open(url) as registry:
        registry.inbox.append([InboxNotice("main", "thread", "t", NOW, metadata={"plan": "x"})])
        with registry.store.writing() as connection:
            command.downgrade(migrations(connection), "0002")
    with Registry.open(url) as registry:
        assert registry.inbox.drain(NOW) == Drained(1)
        entry = registry.threads.get(KEY)
    assert entry is not None
    assert entry.thread.reported == {"plan": "x"}


MARK = "janitor_keep_until"


@pytest.mark.parametrize(
    ("known", "said", "kept"),
    [
        ("2027-01-01", "2026-06-01", "2027-01-01"),
        ("2026-06-01", "2027-01-01T00:00:00Z", "2027-01-01T00:00:00Z"),
        ("2026-06-01", "forever", "forever"),
        ("forever", "2027-01-01", "forever"),
        ("a typo", "2027-01-01", "a typo"),
    ],
)
def test_a_mark_in_metadata_is_only_ever_lengthened(
    registry: Registry, known: str, said: str, kept: str
) -> None:
    registry.registrations.add([Registration(KEY, metadata={MARK: known, "plan": "x"})], NOW)
    registry.inbox.append(
        [InboxNotice("main", "thread", "t", NOW, metadata={MARK: said, "plan": "y"})]
    )
    registry.inbox.drain(NOW)
    entry = registry.threads.get(KEY)
    assert entry is not None
    assert entry.thread.reported == {MARK: kept, "plan": "x"}


def test_a_date_to_keep_until_is_only_ever_put_off(registry: Registry) -> None:
    for days in (2, 9, 4):
        touch = InboxNotice("main", "thread", "t", NOW, "touch", keep_until=NOW + days * DAY)
        registry.inbox.append([touch])
        registry.inbox.drain(NOW)
    entry = registry.threads.get(KEY)
    assert entry is not None
    assert entry.thread.keep_until == NOW + 9 * DAY
    assert entry.thread.reported is None, "a date says nothing of metadata"


BYTES = st.none() | st.binary() | st.text().map(str.encode)


@given(st.fixed_dictionaries(dict.fromkeys(LONGEST, BYTES)))
def test_whatever_a_row_says_it_is_believed_or_refused(row: dict[str, bytes | None]) -> None:
    verdict = judge(row)
    if isinstance(verdict, Registration):
        check(verdict)


VALID = {"v": "1", "project": "main", "kind": "thread", "id": "t", "event": "register"}
TIME = st.none() | st.datetimes().map(str) | st.datetimes(timezones=st.timezones()).map(str)


@given(
    st.fixed_dictionaries(
        {
            "at": TIME | st.text(),
            "created_at": TIME,
            "keep_until": TIME | st.just("infinity"),
            "metadata": st.none() | st.text() | st.just('{"a": "b"}'),
        }
    )
)
def test_what_is_believed_has_a_zone_and_what_is_not_has_a_reason(
    said: dict[str, str | None],
) -> None:
    row = VALID | said
    verdict = judge({name: None if one is None else one.encode() for name, one in row.items()})
    if isinstance(verdict, str):
        assert verdict
        return
    assert not isinstance(verdict, DeletedByApplication)
    for at in (verdict.created_at, verdict.last_active_at, verdict.keep_until):
        assert at is None or at.utcoffset() == timedelta()
        assert at is None or FLOOR <= at < CEILING


def trip(monkeypatch: pytest.MonkeyPatch, *ids: str) -> None:
    """Let the judge meet something in the rows of these ids that nobody foresaw."""

    def odd(row: dict[str, bytes | None]) -> Registration | DeletedByApplication | str:
        if (row["id"] or b"").decode() in ids:
            raise KeyError(row["metadata"])
        return judge(row)

    monkeypatch.setattr(inbox, "judge", odd)


def test_a_row_that_nobody_foresaw_is_refused_alone(
    registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    trip(monkeypatch, "odd")
    told = [InboxNotice("main", "thread", one, NOW, metadata={}) for one in ("t", "odd", "u")]
    registry.inbox.append(told)
    drained = registry.inbox.drain(NOW)
    assert (drained.judged, drained.refused, drained.reason) == (3, 1, "row 2: unexpected KeyError")
    assert isinstance(drained.fault, KeyError)
    assert {entry.thread.key.id for entry in registry.threads.select()} == {"t", "u"}
    assert (registry.inbox.undrained(), registry.inbox.refused()) == (0, 1)


def test_a_lone_row_that_nobody_foresaw_is_refused(
    registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    trip(monkeypatch, "odd")
    registry.inbox.append([InboxNotice("main", "thread", "odd", NOW)])
    assert registry.inbox.drain(NOW).refused == 1
    assert registry.inbox.undrained() == 0


def test_where_all_rows_fail_alike_none_of_them_is_to_blame(
    registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    trip(monkeypatch, "a", "b")
    registry.inbox.append([InboxNotice("main", "thread", one, NOW) for one in ("a", "b")])
    with pytest.raises(KeyError):
        registry.inbox.drain(NOW)
    assert (registry.inbox.undrained(), registry.inbox.refused()) == (2, 0)


def wait_as(registry: Registry, seq: int | None, id: str) -> None:
    """A row that an application numbered itself; `None`: as everybody else does it."""
    named = ("seq, ", f"{seq}, ") if seq is not None else ("", "")
    with registry.store.writing() as connection:
        connection.exec_driver_sql(
            f"INSERT INTO janitor_inbox ({named[0]}project, kind, id, v, event, at) "  # noqa: S608
            f"VALUES ({named[1]}'main', 'thread', '{id}', 1, 'register', {AT})"
        )


@pytest.mark.parametrize("numbers", [(0, -1, -(2**31)), (2**31 - 1,), (2**31 - 1, 2**31 - 2)])
def test_a_row_of_an_odd_number_is_read_as_any_other(
    registry: Registry, numbers: tuple[int, ...]
) -> None:
    for number in numbers:
        wait_as(registry, number, f"t{number}")
    wait_as(registry, None, "another")
    registry.inbox.append([InboxNotice("main", "thread", "appended", NOW)])
    drained = registry.inbox.drain(NOW)
    assert (drained.judged, drained.refused) == (len(numbers) + 2, 0)
    assert len(list(registry.threads.select())) == len(numbers) + 2


@pytest.mark.parametrize("by_appending", [True, False])
def test_a_last_number_leaves_numbers_for_those_that_come(
    sqlite_url: str, *, by_appending: bool
) -> None:
    with Registry.open(sqlite_url) as registry:
        wait_as(registry, None, "before")
        for number in (2**63 - 1, 2**63 - 9, -(2**63)):
            wait_as(registry, number, f"t{number % 7}")
        with pytest.raises(StoreError):
            wait_as(registry, None, "lost")
        if by_appending:
            registry.inbox.append([InboxNotice("main", "thread", "appended", NOW)])
        assert registry.inbox.drain(NOW).judged == 4 + by_appending
        wait_as(registry, None, "after")
        assert (registry.inbox.drain(NOW).judged, registry.inbox.refused()) == (1, 0)
        later = NOW + 31 * DAY
        wait_as(registry, 2**63 - 1, "again")
        registry.inbox.drain(NOW)
        registry.inbox.drain(later)
        wait_as(registry, None, "at last")
        assert registry.inbox.drain(later).judged == 1
