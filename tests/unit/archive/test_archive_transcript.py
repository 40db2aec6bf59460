"""What a copy looks like: nothing is left out, and no content breaks a terminal or Markdown."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from itertools import product
from typing import Any

import orjson
import pytest
from archive_exports import CREATED, KEY, NOW
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from janitor.archive.object_format import Header, Trailer
from janitor.archive.transcript import (
    OTHER_PARTS,
    TranscriptEntry,
    as_markdown,
    as_text,
    compact,
    entry_of,
    moment,
    transcript,
    visible,
    visible_json,
    visible_lines,
)
from janitor.kinds import Kind
from janitor.model import Key, Record

NASTY = [
    *("", "\x1b[2J", "\x9b31m", "\r\n", "\n# a\n", "\n```\n", "\n`````\n", "`", "``", "\t"),
    *("\u202e", "\u2028", "<b>", "\0", " ", "\n- ", "\n    ", "\\", "*a*", "&amp;", "\ud800"),
]
nasty = st.sampled_from(NASTY)
texts = st.builds("{}w{}{}".format, nasty, st.integers(10**5, 10**9), nasty) | st.text(max_size=20)
scalars = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
)
values = st.recursive(
    scalars | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)
PARTS = [
    *("input_text", "output_text", "text", "refusal", "summary_text", "logs"),
    *("input_image", "image_file", "input_file", "of_tomorrow"),
]
ITEMS = [
    *("message", "function_call", "reasoning", "chatkit.user_message", "thread.run"),
    *("image_generation_call", "shell_call_output", "janitor.not_fetched", "of_tomorrow"),
]
parts = st.fixed_dictionaries(
    {
        "type": st.sampled_from(PARTS),
        "text": texts | st.fixed_dictionaries({"value": texts, "annotations": values}),
        "beside": values,
    },
    optional={
        "refusal": texts,
        "image_file": st.fixed_dictionaries({"file_id": texts}),
        "filename": texts,
    },
)
lists = st.lists(parts, min_size=1, max_size=3) | st.lists(parts | values, max_size=3)
items = st.fixed_dictionaries(
    {"type": st.sampled_from(ITEMS), "content": lists | texts, "name": texts},
    optional={
        "id": texts,
        "role": texts,
        "status": texts,
        "created_at": values,
        "output": lists | texts | parts,
        "arguments": texts,
        "operation": st.dictionaries(texts, texts, max_size=2),
        "attachments": st.lists(values, max_size=2),
        "metadata": st.dictionaries(texts, values, max_size=2),
        "beside": values,
    },
)
unknown = st.fixed_dictionaries({"type": texts}, optional={"object": texts, "content": values})
bodies = items | unknown
IN_TITLES = {*PARTS, *ITEMS, "chatkit.thread_item", "thread.message"}
"""Names of types, which are told by a title or a label."""


def record(body: object, *, is_item: bool = True, id: str = "msg_1") -> Record:
    return Record(id, json.dumps(body).encode(), is_item=is_item)


def strings(value: object) -> Iterator[str]:
    """Every text in JSON."""
    match value:
        case str():
            yield value
        case dict():
            for one in value.values():
                yield from strings(one)
        case list():
            for one in value:
                yield from strings(one)
        case _:
            pass


def is_told(text: str, shown: str) -> bool:
    """Whether a text is there: line by line, or as JSON spells it."""
    if all(line.strip() in shown for line in visible_lines(text)):
        return True
    spelt = compact(text)[1:-1]
    return all(line.strip() in shown for line in visible_lines(spelt))


@given(bodies)
def test_every_text_of_a_record_is_in_its_entry(body: dict[str, Any]) -> None:
    shown = "\n".join(as_text(entry_of(record(body))))
    document = "\n".join(as_markdown(entry_of(record(body))))
    for text in strings(json.loads(json.dumps(body))):
        if text not in IN_TITLES:
            assert is_told(text, shown), text
            assert is_told(text, document), text


FIELDS = [
    *("content", "summary", "text", "output", "outputs", "result", "arguments", "attachments"),
    *("metadata", "action", "error", "name", "created_at", "object", "role", "of_tomorrow"),
]
SHAPES: list[Callable[[str, str], object]] = [
    lambda one, two: f"{one}\n{two}",
    lambda one, two: [one, two],
    lambda one, two: {"a": one, "b": two},
    lambda one, two: {"a": one, "b": [f"\n{two}"]},
    lambda one, two: {"a": one, "b": f"\n{two}"},
    lambda one, two: [{"a": f"\n{one}", "b": {"c": two}}],
    *(
        shape
        for named in PARTS
        for shape in (
            lambda one, two, named=named: [{"type": named, "text": one, "b": two}],
            lambda one, two, named=named: {"type": named, "refusal": one, "logs": two},
            lambda one, two, named=named: [{"type": named, "text": {"value": one, "b": two}}],
            lambda one, two, named=named: [{"type": named, "text": {"a": one, "b": [two]}}],
            lambda one, two, named=named: [{"type": named, "a": {"b": {"c": one}}}, two],
        )
    ),
]


@pytest.mark.parametrize("named", [*ITEMS, "thread.message", "custom_tool_call", "conversation"])
def test_no_field_of_any_shape_is_left_out(named: str) -> None:
    for field, shape in product(FIELDS, SHAPES):
        body = {"type": named, field: shape("first-word", "second-word")}
        shown = "\n".join(as_text(entry_of(record(body))))
        assert "first-word" in shown, body
        assert "second-word" in shown, body


@given(values)
def test_no_json_is_too_odd_to_be_shown(value: object) -> None:
    """A record is an object; what is not one is shown all the same."""
    assert list(as_text(entry_of(record(value))))


@given(st.binary(max_size=30))
def test_bytes_that_are_no_json_are_shown_as_they_are(data: bytes) -> None:
    entry = entry_of(Record("msg_1", data, is_item=True))
    assert list(as_text(entry))
    assert list(as_markdown(entry))


@given(bodies, texts)
def test_nothing_shown_moves_a_cursor(body: dict[str, Any], id: str) -> None:
    entry = entry_of(record(body, id=id))
    for line in (*as_text(entry), *as_markdown(entry)):
        assert not re.search(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]", line)
        assert not any("\ud800" <= character <= "\udfff" for character in line)


@given(bodies)
def test_only_a_title_begins_in_the_first_column(body: dict[str, Any]) -> None:
    first, *rest = as_text(entry_of(record(body), number=1))
    assert first.startswith("1. ")
    assert [line for line in rest if line and not line.startswith("  ")] == []


@given(st.lists(bodies, max_size=3))
def test_no_content_changes_the_structure_of_markdown(items: list[dict[str, Any]]) -> None:
    entries = [entry_of(record(body), number=at) for at, body in enumerate(items, 1)]
    document = "\n".join(line for entry in entries for line in as_markdown(entry))
    tokens = MarkdownIt("commonmark").parse(document)
    assert sum(token.type == "heading_open" for token in tokens) == len(entries)
    assert {token.type for token in tokens} <= {
        *("heading_open", "heading_close", "inline", "fence"),
        *("paragraph_open", "paragraph_close", "bullet_list_open", "bullet_list_close"),
        *("list_item_open", "list_item_close"),
    }
    fences = [token.content for token in tokens if token.type == "fence"]
    blocks = [block for entry in entries for block in entry.blocks]
    assert fences == ["".join(f"{line}\n" for line in visible_lines(b.text)) for b in blocks]
    inline = [token.children or [] for token in tokens if token.type == "inline"]
    assert {child.type for children in inline for child in children} <= {"text", "code_inline"}
    shown = ["".join(child.content for child in children) for children in inline]
    assert list(map(spaced, shown)) == [spaced(line) for one in entries for line in inlines(one)]


def inlines(entry: TranscriptEntry) -> Iterator[str]:
    """What an entry says outside of fences, line by line."""
    at = "" if entry.at is None else f" ({moment(entry.at)})"
    yield f"{entry.number}. {visible(entry.title)}{at}"
    yield from (f"{visible(name)}: {visible(value)}" for name, value in entry.facts)
    yield from (f"{visible(block.label)}:" for block in entry.blocks if block.label)


def spaced(line: str) -> str:
    """A line, of which the number of spaces does not count."""
    return re.sub(" +", " ", line).strip().replace(" :", ":")


@given(values)
def test_json_escaped_for_a_terminal_means_the_same(value: object) -> None:
    line = json.dumps(value, ensure_ascii=False)
    escaped = visible_json(line)
    assert json.loads(escaped) == json.loads(line)
    assert not re.search(r"[\x00-\x1f\x7f-\x9f]", escaped)


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (
            {
                "type": "message",
                "role": "user",
                "status": "completed",
                "content": [{"type": "input_text", "text": "one\ntwo"}],
            },
            ["1. user", "  id: msg_1 · status: completed", "    one", "    two", ""],
        ),
        (
            {
                "type": "function_call",
                "call_id": "call_1",
                "name": "weather",
                "arguments": '{"city":"Oslo"}',
            },
            [
                *("1. function_call", "  id: msg_1 · call_id: call_1 · name: weather"),
                *("  arguments:", '    {"city":"Oslo"}', ""),
            ],
        ),
        (
            {
                "type": "function_call_output",
                "output": [{"type": "input_file", "filename": "a.pdf", "file_id": "file_1"}],
            },
            [
                *("1. function_call_output", "  id: msg_1"),
                *("  file:", "    filename: a.pdf", "    file_id: file_1", ""),
            ],
        ),
        (
            {"type": "reasoning", "summary": [{"type": "summary_text", "text": "thinking"}]},
            ["1. reasoning", "  id: msg_1", "  summary:", "    thinking", ""],
        ),
        (
            {
                "type": "message",
                "role": "assistant",
                "content": [{"type": "refusal", "refusal": "no"}],
            },
            ["1. assistant", "  id: msg_1", "  refusal:", "    no", ""],
        ),
        (
            {
                "object": "thread.message",
                "role": "user",
                "created_at": 1767225600,
                "content": [
                    {"type": "text", "text": {"value": "look", "annotations": []}},
                    {"type": "image_file", "image_file": {"file_id": "file_2"}},
                ],
                "attachments": [{"file_id": "file_3", "tools": [{"type": "file_search"}]}],
                "completed_at": 1767225601,
            },
            [
                "1. user  2026-01-01 00:00:00 UTC",
                "  id: msg_1 · completed_at: 2026-01-01 00:00:01 UTC",
                *("    look", "  image:", "    image_file.file_id: file_2"),
                *(
                    "  attachment:",
                    "    file_id: file_3",
                    '    tools: [{"type":"file_search"}]',
                    "",
                ),
            ],
        ),
        (
            {
                "type": "shell_call_output",
                "output": [{"stdout": "a\nb", "stderr": "", "outcome": {"exit_code": 0}}],
            },
            [
                *("1. shell_call_output", "  id: msg_1", "  output.stdout:", "    a", "    b"),
                *("  output.outcome:", '    {"exit_code":0}', ""),
            ],
        ),
        (
            {"type": "of_tomorrow", "words": ["é"], "none": None},
            [
                "1. of_tomorrow",
                "  id: msg_1",
                '    {"type":"of_tomorrow","words":["é"],"none":null}',
                "",
            ],
        ),
    ],
)
def test_an_item_reads_as_its_type_asks(body: dict[str, Any], expected: list[str]) -> None:
    assert list(as_text(entry_of(record(body), number=1))) == expected


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ({"type": "reasoning", "encrypted_content": "x" * 5000}, "5,000 characters"),
        ({"type": "image_generation_call", "result": "x" * 5000}, "5,000 characters"),
        (
            {
                "type": "message",
                "role": "user",
                "content": [
                    {"type": "input_image", "image_url": "data:image/png;base64," + "x" * 978}
                ],
            },
            "data:image/png;base64, 1,000 characters",
        ),
        (
            {
                "type": "message",
                "role": "assistant",
                "content": [{"type": "output_text", "text": "a", "logprobs": [{"token": "a"}] * 7}],
            },
            "7 entries",
        ),
    ],
)
def test_what_no_person_reads_is_told_by_its_size(body: dict[str, Any], told: str) -> None:
    shown = "\n".join(as_text(entry_of(record(body))))
    assert f"{told}; --raw has them" in shown
    assert "xxxx" not in shown


def test_a_long_text_is_shown_in_full() -> None:
    text = "word " * 20_000 + "end"
    body = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": text}]}
    assert f"    {text}" in list(as_text(entry_of(record(body))))


def test_json_nested_too_deeply_to_be_spelt_again_is_shown_as_stored() -> None:
    nested = "[" * 900 + '"deep"' + "]" * 900
    entry = entry_of(Record("msg_1", f'{{"type":"x","a":{nested}}}'.encode(), is_item=True))
    assert nested in "\n".join(as_text(entry))


def test_the_container_comes_first_and_the_other_parts_after_the_items() -> None:
    key = Key("main", Kind.THREAD, "thread_1")
    records = [
        record({"id": "thread_1", "object": "thread", "metadata": {"plan": "a"}}, is_item=False),
        record({"object": "thread.message", "role": "user", "content": []}),
        record({"id": "run_1", "object": "thread.run", "model": "m"}, is_item=False, id="run_1"),
        record(
            {"object": "janitor.not_fetched", "part": "steps"},
            is_item=False,
            id="janitor.not_fetched.steps",
        ),
    ]
    header, trailer = Header(key, None, NOW, frozenset()), Trailer(1, "msg_1", "", "")
    entries = list(transcript(header, trailer, records))
    assert [(entry.level, entry.number, entry.title) for entry in entries] == [
        (1, None, "thread thread_1"),
        (2, 1, "user"),
        (2, None, OTHER_PARTS),
        (3, 1, "thread.run"),
        (3, 2, "not read from the server"),
    ]
    assert dict(entries[0].facts) == {
        "project": "main",
        "kind": "thread",
        "created_at": "unknown",
        "archived_at": "2026-03-01 12:00:00 UTC",
        "items": "1",
        "id": "msg_1",
        "metadata.plan": "a",
    }
    dated = Header(KEY, CREATED, datetime(2026, 3, 1, tzinfo=UTC), frozenset())
    (first, *_) = transcript(dated, trailer, [record({"id": "conv_1"}, is_item=False, id="conv_1")])
    assert dict(first.facts)["created_at"] == "2026-01-31 23:30:00 UTC"
    assert orjson.loads(first.blocks[0].text) == {"id": "conv_1"}
    body = {"id": "conv_1", "object": "conversation", "created_at": 1767225600}
    (first, *_) = transcript(dated, trailer, [record(body, is_item=False, id="conv_1")])
    assert dict(first.facts)["created_at at the server"] == "2026-01-01 00:00:00 UTC"
