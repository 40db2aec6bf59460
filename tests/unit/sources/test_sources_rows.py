"""Values of a database become what a line of a file would say."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest

from janitor.errors import ConfigError
from janitor.model import Key, Kind
from janitor.sources.sql_reader import check_columns, reported, text_of
from janitor.times import FOREVER

AT = datetime(2026, 3, 1, 12, tzinfo=UTC)
ID = UUID("0190a1b2-0000-7000-8000-000000000001")


def of(**row: Any) -> Any:  # noqa: ANN401 - a registration
    return reported({"id": "a", "kind": "thread", **row}, "main", ("main", "other"))


@pytest.mark.parametrize(
    "value",
    [
        AT,
        AT.astimezone(timezone(timedelta(hours=2))),
        AT.replace(tzinfo=None),
        int(AT.timestamp()),
        int(AT.timestamp() * 1000),
        Decimal(int(AT.timestamp())),
        AT.timestamp(),
        "2026-03-01T12:00:00Z",
        "2026-03-01 12:00:00",
    ],
)
def test_a_time_is_one_however_the_database_gives_it(value: object) -> None:
    said = of(created_at=value, last_active_at=value, keep_until=value)
    assert said.created_at == said.last_active_at == said.keep_until == AT


def test_a_date_is_its_midnight() -> None:
    assert of(created_at=date(2026, 3, 1)).created_at == datetime(2026, 3, 1, tzinfo=UTC)


NO_TIMES = [True, 12, b"x", "soon", float("nan")]


@pytest.mark.parametrize("name", ["created_at", "last_active_at"])
@pytest.mark.parametrize("value", NO_TIMES)
def test_what_is_no_time_is_refused(name: str, value: object) -> None:
    with pytest.raises(ValueError, match=name):
        of(**{name: value})


@pytest.mark.parametrize("value", [*NO_TIMES, 20271231, "31.12.2027"])
def test_an_end_of_keeping_that_cannot_be_read_keeps(value: object) -> None:
    said = of(keep_until=value)
    assert said.keep_until == FOREVER
    assert said.remarks == ("keep_until cannot be read: kept forever",)


@pytest.mark.parametrize("name", ["created_at", "last_active_at"])
@pytest.mark.parametrize(
    "value",
    [
        datetime(1, 1, 1),  # noqa: DTZ001
        datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=2))),
        datetime(1970, 1, 1, tzinfo=UTC),
        date(1900, 1, 1),
        0,
        Decimal(-62135596800),
        "0000-00-00 00:00:00",
        "infinity",
    ],
)
def test_a_time_that_was_never_set_is_not_said_and_is_named(name: str, value: object) -> None:
    said = of(**{name: value})
    assert getattr(said, name) is None
    assert len(said.remarks) == 1
    assert name in said.remarks[0]


def test_ids_may_be_of_other_types() -> None:
    assert of(id=ID).key == Key("main", Kind.THREAD, str(ID))
    assert of(id=12).key.id == "12"


@pytest.mark.parametrize("name", ["id", "kind", "project"])
def test_a_key_is_no_object_however_deep(name: str) -> None:
    deep: dict[str, object] = {}
    for _ in range(5000):
        deep = {"a": deep}
    with pytest.raises(ValueError, match=f"{name}: a dict is not text"):
        of(**{name: deep})


def test_a_row_may_name_its_project() -> None:
    assert of(project="other").key.project == "other"
    assert of(project=None).key.project == "main"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("x", "x"),
        (True, "true"),
        (12, "12"),
        (Decimal("1E+3"), "1000"),
        (ID, str(ID)),
        (date(2026, 3, 1), "2026-03-01"),
        (AT.replace(tzinfo=None), "2026-03-01T12:00:00+00:00"),
        (Kind.THREAD, "thread"),
    ],
)
def test_metadata_becomes_text_the_obvious_way(value: object, text: str) -> None:
    assert of(**{"metadata.x": value}).metadata == {"x": text}
    assert of(metadata={"x": value}).metadata == {"x": text}
    assert of(user=value).metadata == {"user": text}


@pytest.mark.parametrize("value", [{"a": 1}, [1], b"x"])
def test_what_is_no_plain_value_is_refused(value: object) -> None:
    with pytest.raises(ValueError, match=r"metadata\.x: a \w+ is not text"):
        text_of("metadata.x", value)


def test_metadata_that_names_a_key_twice_is_refused() -> None:
    with pytest.raises(ValueError, match="metadata: a key appears twice"):
        of(metadata='{"pinned": "true", "pinned": "false"}')


@pytest.mark.parametrize("name", ["kind", "project"])
def test_a_value_that_may_be_a_text_of_somebodys_is_not_shown(name: str) -> None:
    with pytest.raises(ValueError, match=name) as caught:
        of(**{name: "my doctor said"})
    assert "doctor" not in str(caught.value)


@pytest.mark.parametrize("value", ["[1]", "{", 12, ["a"]])
def test_metadata_that_is_no_object_is_refused(value: object) -> None:
    with pytest.raises(ValueError, match="not a JSON object"):
        of(metadata=value)


def test_null_clears_nothing() -> None:
    said = of(created_at=None, last_active_at=None, metadata=None, user=None)
    assert (said.created_at, said.last_active_at, said.metadata) == (None, None, None)
    assert of(metadata='{"x": null, "y": 1}').metadata == {"y": "1"}


def test_a_watermark_that_the_query_lacks_is_what_is_wrong() -> None:
    with pytest.raises(ConfigError, match="returns no column `foo`, its watermark"):
        check_columns(["id", "updated_at"], "foo")
    with pytest.raises(ConfigError, match="an unknown column `other`"):
        check_columns(["id", "foo", "other"], "foo")
    with pytest.raises(ConfigError, match="no column `id`"):
        check_columns(["created_at"], None)
