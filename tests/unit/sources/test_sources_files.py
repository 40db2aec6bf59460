"""Files of registrations: what is good is taken as it was meant, what is not is named by line."""

from __future__ import annotations

import csv
import gc
import io
import json
import tracemalloc
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from janitor.errors import ConfigError
from janitor.model import Key, Kind
from janitor.registry import Registration
from janitor.sources.files import Rejected, read

PROJECTS = ("main", "other")

IDS = st.from_regex(r"[A-Za-z0-9_:-]{1,50}", fullmatch=True)
TIMES = st.datetimes(
    datetime(1980, 1, 1),  # noqa: DTZ001 - the zone is added by the strategy
    datetime(2100, 1, 1),  # noqa: DTZ001
    timezones=st.just(UTC),
)
WORDS = st.text(
    st.characters(codec="utf-8", exclude_characters="\0", exclude_categories=["Cs", "Cc"]),
    min_size=1,
    max_size=20,
)
METADATA = st.dictionaries(WORDS, WORDS, max_size=4)
REGISTRATIONS = st.builds(
    Registration,
    st.builds(Key, st.sampled_from(PROJECTS), st.sampled_from(Kind), IDS),
    created_at=st.none() | TIMES,
    last_active_at=st.none() | TIMES,
    keep_until=st.none() | TIMES,
    metadata=st.none() | METADATA,
)


def row(said: Registration) -> dict[str, Any]:
    times = {name: getattr(said, name) for name in ("created_at", "last_active_at", "keep_until")}
    known = {name: at.isoformat() for name, at in times.items() if at is not None}
    metadata = {} if said.metadata is None else {"metadata": dict(said.metadata)}
    key = said.key
    return {"id": key.id, "kind": key.kind, "project": key.project, **known, **metadata}


def jsonl(*rows: object) -> list[Registration | Rejected]:
    text = "\n".join(one if isinstance(one, str) else json.dumps(one) for one in rows)
    return list(read(io.StringIO(text, newline=""), "jsonl", PROJECTS, "threads.jsonl"))


def tabled(text: str) -> list[Registration | Rejected]:
    return list(read(io.StringIO(text, newline=""), "csv", PROJECTS, "threads.csv"))


@given(st.lists(REGISTRATIONS, max_size=10))
def test_what_is_written_as_jsonl_is_read_as_it_was(said: list[Registration]) -> None:
    assert jsonl(*map(row, said)) == said


@given(st.lists(REGISTRATIONS, max_size=10))
def test_what_is_written_as_csv_is_read_as_it_was(said: list[Registration]) -> None:
    columns = ["id", "kind", "project", "created_at", "last_active_at", "keep_until", "metadata"]
    text = io.StringIO()
    writer = csv.DictWriter(text, columns)
    writer.writeheader()
    for one in said:
        values = row(one)
        if "metadata" in values:
            values["metadata"] = json.dumps(values["metadata"])
        writer.writerow(values)
    assert tabled(text.getvalue()) == said


@given(st.lists(st.booleans(), max_size=20))
def test_every_refused_line_is_named_and_the_others_are_taken(good: list[bool]) -> None:
    lines = [{"id": "conv_1"} if one else {"id": "not an id"} for one in good]
    found = jsonl(*lines)
    assert [one.line for one in found if isinstance(one, Rejected)] == [
        number for number, one in enumerate(good, 1) if not one
    ]
    assert sum(isinstance(one, Registration) for one in found) == sum(good)


@given(st.text(max_size=200))
def test_no_text_breaks_the_reader(text: str) -> None:
    for one in jsonl(text):
        assert isinstance(one, Registration | Rejected)


@given(st.text(max_size=200))
def test_no_table_breaks_the_reader(text: str) -> None:
    for one in tabled("id,created_at,metadata\n" + text):
        assert isinstance(one, Registration | Rejected)


@given(st.recursive(st.none() | st.booleans() | st.floats() | st.text(), st.lists, max_leaves=3))
def test_no_value_of_a_field_breaks_the_reader(value: object) -> None:
    for name in ("id", "kind", "project", "created_at", "keep_until", "user", "metadata"):
        [found] = jsonl({"id": "conv_1", name: value})
        assert isinstance(found, Registration | Rejected)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("[]", "not a JSON object"),
        ('{"id":"conv_1","keep_until":"forever","keep_until":0}', "a key appears twice"),
        ('{"id":"conv_1","metadata":{"a":"1","a":"2"}}', "a key appears twice"),
        ("{", "not a JSON object"),
        ("[" * 100_000, "not a JSON object"),
        ({}, "the id must be"),
        ({"id": ".."}, "the id must be"),
        ({"id": "conv_1", "extra": 1}, "unknown field 'extra'; known"),
        ({"id": "conv_1", "expires_at": 1}, "use metadata such as `plan: short`"),
        ({"id": "conv_1", "project": "third"}, "not configured"),
        ({"id": "conv_1", "kind": "chat"}, "unknown kind"),
        ({"id": "what"}, "no kind"),
        ({"id": "conv_1", "created_at": "yesterday"}, "created_at: not a time"),
        ({"id": "conv_1", "created_at": True}, "created_at: not a time"),
        ({"id": "conv_1", "created_at": 2026}, "created_at: not a time"),
        ({"id": "conv_1", "created_at": "20260131"}, "created_at: not a time"),
        ({"id": "conv_1", "metadata": {"a": 1}}, "strings"),
        ({"id": "conv_1", "metadata": ["a"]}, "metadata"),
        ({"id": "conv_1", "metadata": {"a": "x" * 513}}, "512"),
        ({"id": "conv_1", "metadata": {"a": "\ud800"}}, "text"),
        ({"id": "conv_1", "metadata": {str(n): "" for n in range(65)}}, "64"),
        ({"id": "conv_1", "user": 5}, "strings"),
    ],
)
def test_each_refusal_says_why(line: object, said: str) -> None:
    [found] = jsonl(line)
    assert isinstance(found, Rejected)
    assert said in found.reason


def test_no_refusal_quotes_a_value_of_the_metadata() -> None:
    [found] = jsonl({"id": "conv_1", "metadata": {"name": "marguerite" * 60}})
    assert isinstance(found, Rejected)
    assert "marguerite" not in found.reason


def test_what_was_not_said_is_unknown_and_what_is_empty_is_read() -> None:
    silent, empty = jsonl({"id": "conv_1"}, {"id": "conv_2", "metadata": {}})
    assert isinstance(silent, Registration)
    assert isinstance(empty, Registration)
    assert (silent.metadata, empty.metadata) == (None, {})
    assert (silent.created_at, silent.last_active_at, silent.keep_until) == (None, None, None)


@pytest.mark.parametrize(
    ("said", "at"),
    [
        ("2026-01-31T12:00:00Z", datetime(2026, 1, 31, 12, tzinfo=UTC)),
        ("2026-01-31T12:00:00+02:00", datetime(2026, 1, 31, 10, tzinfo=UTC)),
        ("2026-01-31T12:00:00", datetime(2026, 1, 31, 12, tzinfo=UTC)),
        ("2026-01-31", datetime(2026, 1, 31, tzinfo=UTC)),
        (1767225600, datetime(2026, 1, 1, tzinfo=UTC)),
        ("1767225600.5", datetime(2026, 1, 1, 0, 0, 0, 500_000, tzinfo=UTC)),
    ],
)
def test_a_time_is_iso_8601_or_epoch_seconds(said: object, at: datetime) -> None:
    [found] = jsonl({"id": "conv_1", "created_at": said})
    assert isinstance(found, Registration)
    assert found.created_at == at


def test_a_table_names_metadata_by_column_and_the_user() -> None:
    [found] = tabled("id,user,metadata.plan,metadata.team\nthread_1,ann,trial,\n")
    assert isinstance(found, Registration)
    assert (found.key.kind, found.key.project) == (Kind.THREAD, "main")
    assert found.metadata == {"user": "ann", "plan": "trial"}


def test_a_table_without_an_id_is_refused_as_a_whole() -> None:
    with pytest.raises(ConfigError, match=r"threads\.csv:1"):
        tabled("conversation,created_at\nconv_1,2026-01-01\n")


def test_a_row_with_more_values_than_columns_is_refused_by_its_line() -> None:
    first, second = tabled("id,user\nconv_1,ann,trial\nconv_2,bob\n")
    assert first == Rejected(2, "more values than columns")
    assert isinstance(second, Registration)


def test_lines_count_as_in_an_editor() -> None:
    assert [one.line for one in jsonl("", "{", "", "{") if isinstance(one, Rejected)] == [2, 4]
    found = tabled('id,user\n"conv_1","a\nb"\nno id,x\n')
    assert [one.line for one in found if isinstance(one, Rejected)] == [4]


def test_a_line_without_end_costs_bounded_memory() -> None:
    [found] = jsonl('{"id": "conv_1", "user": "' + "x" * (3 << 20))
    assert isinstance(found, Rejected)
    assert "longer" in found.reason


def test_the_only_project_is_meant_where_none_is_named() -> None:
    [found] = list(read(io.StringIO('{"id": "conv_1"}'), "jsonl", ("prod",), "-"))
    assert isinstance(found, Registration)
    assert found.key.project == "prod"


HOSTILE: dict[str, Callable[[int], dict[str, object]]] = {
    "a long metadata key": lambda n: {"metadata": {f"{n}" + "k" * 900_000: "v"}},
    "a long field": lambda n: {f"metadata.{n}" + "k" * 900_000: "v"},
    "many fields": lambda n: {f"metadata.{n}_{m}": "" for m in range(30_000)},
}


@pytest.mark.parametrize("which", HOSTILE)
def test_no_name_of_a_hostile_row_stays_in_memory(which: str) -> None:
    def judge(n: int) -> None:
        line = json.dumps({"id": "conv_1", **HOSTILE[which](n)})
        assert len(list(read(io.StringIO(line), "jsonl", ["main"], "file"))) == 1

    judge(0)
    tracemalloc.start()
    try:
        for n in range(1, 21):
            judge(n)
        gc.collect()
        left, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert left < 1 << 20
