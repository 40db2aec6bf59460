"""`import`: files, standard input and single threads; what is refused is named and nothing else."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from world import Done, World

TAKEN = "2 added, 0 updated, 0 unchanged."
CSV = """\
id,kind,created_at,last_active_at,user,metadata.plan
conv_1,,2026-01-01T00:00:00Z,1767312000,u1,trial
thread_2,thread,2026-01-01 00:00:00+02:00,,,
"""
JSONL = (
    '{"id": "conv_1", "created_at": 1767225600, "metadata": {"plan": "trial"}}\n'
    "\n"
    '{"id": "s-2", "kind": "agent_session", "project": "main", "metadata.plan": "pro"}\n'
)


def write(world: World, name: str, content: str | bytes) -> str:
    path = world.directory / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return str(path)


def first(done: Done) -> str:
    """The line that says what was registered; the next one says how long it took."""
    return done.out.splitlines()[0]


def rows(world: World) -> dict[str, dict[str, object]]:
    return {row["id"]: row for row in world.run("--output", "jsonl", "list").lines}


def test_csv_columns_become_facts(world: World) -> None:
    done = world.run("import", write(world, "threads.csv", CSV))
    assert (done.code, first(done)) == (0, TAKEN)
    one, two = rows(world)["conv_1"], rows(world)["thread_2"]
    assert one["kind"] == "conversation"
    assert one["created_at"] == "2026-01-01T00:00:00+00:00"
    assert one["last_active_at"] == "2026-01-02T00:00:00+00:00"
    assert one["metadata"] == {"plan": "trial", "user": "u1"}
    assert two["created_at"] == "2025-12-31T22:00:00+00:00"
    assert two["metadata"] == {}


def test_jsonl_lines_become_facts(world: World) -> None:
    done = world.run("import", write(world, "threads", JSONL))
    assert done.code == 0
    assert rows(world)["conv_1"]["metadata"] == {"plan": "trial"}
    assert rows(world)["s-2"]["kind"] == "agent_session"
    assert rows(world)["s-2"]["metadata"] == {"plan": "pro"}


@pytest.mark.parametrize("content", [CSV, JSONL], ids=["csv", "jsonl"])
def test_twice_changes_nothing(world: World, content: str) -> None:
    file = write(world, "threads", content)
    assert world.run("import", file).code == 0
    before = rows(world)
    done = world.run("--output", "json", "import", file)
    expected = {"added": 0, "updated": 0, "unchanged": 2, "refused": 0, "rejected": []}
    assert done.document.items() >= {"schema": 1, "read": 2, **expected}.items()
    assert rows(world) == before


@pytest.mark.slow
@pytest.mark.parametrize("content", [CSV, JSONL], ids=["csv", "jsonl"])
def test_standard_input_is_a_file_too(world: World, content: str) -> None:
    done = world.process("import", "-", stdin=content.encode())
    assert (done.code, first(done)) == (0, TAKEN), done.err


@pytest.mark.parametrize(
    "content",
    [b"\xef\xbb\xbf" + CSV.encode(), b"\xef\xbb\xbf" + JSONL.encode(), b"\n " + JSONL.encode()],
    ids=["csv", "jsonl", "blanks"],
)
def test_a_byte_order_mark_is_no_content(world: World, content: bytes) -> None:
    done = world.run("import", write(world, "threads", content))
    assert (done.code, done.err) == (0, "")
    assert "conv_1" in rows(world)


def test_carriage_returns_are_line_ends(world: World) -> None:
    assert world.run("import", write(world, "a", JSONL.replace("\n", "\r\n"))).code == 0
    assert world.run("import", write(world, "b", CSV.replace("\n", "\r\n"))).code == 0
    assert rows(world)["conv_1"]["metadata"] == {"plan": "trial", "user": "u1"}
    assert rows(world)["s-2"]["metadata"] == {"plan": "pro"}


def test_one_thread_from_the_command_line(world: World) -> None:
    done = world.run(
        *("import", "--id", "conv_9", "--created-at", "2026-01-31T12:00:00Z"),
        *("--metadata", "plan=trial", "--metadata", "team=a=b"),
    )
    assert done.code == 0
    assert rows(world)["conv_9"]["metadata"] == {"plan": "trial", "team": "a=b"}


REFUSED = {
    "no JSON": ("{nope", "not a JSON object"),
    "a list": ('["conv_1"]', "not a JSON object"),
    "nested too deep": ('{"id": ' + "[" * 200_000, "not a JSON object"),
    "no id": ('{"kind": "thread"}', "the id must be"),
    "a path": ('{"id": "../../etc/passwd"}', "the id must be"),
    "a slash": ('{"id": "conv/1"}', "the id must be"),
    "too long": (json.dumps({"id": "c" * 300}), "the id must be"),
    "a control character": ('{"id": "conv_\\u001b[2J"}', "the id must be"),
    "NUL": ('{"id": "conv_\\u0000"}', "the id must be"),
    "a line's end": ('{"id": "conv_1\\n"}', "the id must be"),
    "no kind": ('{"id": "x1"}', "does not tell; add the field kind: conv"),
    "unknown kind": ('{"id": "x1", "kind": "chat"}', "unknown kind 'chat'"),
    "unknown project": ('{"id": "conv_1", "project": "other"}', "not configured; known: main"),
    "unknown field": ('{"id": "conv_1", "colour": "red"}', "unknown field 'colour'"),
    "no time": ('{"id": "conv_1", "created_at": "soon"}', "created_at: not a time"),
    "a year": ('{"id": "conv_1", "created_at": 2026}', "created_at: not a time"),
    "a compact date": ('{"id": "conv_1", "created_at": "20260131"}', "created_at: not a time"),
    "metadata numbers": ('{"id": "conv_1", "metadata": {"n": 1}}', "must be strings"),
    "metadata list": ('{"id": "conv_1", "metadata": ["a"]}', "metadata: not a JSON object"),
    "metadata NUL": ('{"id": "conv_1", "metadata": {"n": "a\\u0000b"}}', "metadata 'n' must be"),
    "half a character": ('{"id": "conv_1", "metadata": {"n": "\\ud800"}}', "metadata 'n' must be"),
    "metadata too long": (
        json.dumps({"id": "conv_1", "metadata": {"n": "v" * 600}}),
        "metadata 'n' must be text of at most 512",
    ),
    "a huge line": (json.dumps({"id": "c" * 5_000_000}), "longer than 1,048,576 characters"),
    "not UTF-8": (b'{"id": "conv_1", "metadata": {"n": "caf\xe9"}}', "not UTF-8"),
}


@pytest.mark.parametrize(("line", "reason"), REFUSED.values(), ids=REFUSED)
def test_a_bad_line_is_named_and_the_others_are_taken(
    world: World, line: str | bytes, reason: str
) -> None:
    bad = line if isinstance(line, bytes) else line.encode()
    file = write(world, "threads.jsonl", b'{"id": "conv_a"}\n' + bad + b'\n{"id": "conv_b"}\n')
    done = world.run("import", file)
    assert done.code == 1
    assert first(done) == TAKEN
    assert done.err.startswith(f"janitor: {file}:2: ")
    assert reason in done.err
    assert len(done.err) < 1000
    assert set(rows(world)) == {"conv_a", "conv_b"}


REFUSED_CSV = {
    "more values": (b"conv_1,,,,,trial,more", "more values than columns"),
    "not UTF-8": (b"conv_1,,,,,caf\xe9", "not UTF-8"),
    "NUL": (b"conv_\0,,,,,trial", "the id must be"),
    "text after quotes": (b'"conv_1"x,,,,,trial', "not CSV"),
    "a huge field": (b"conv_1,,,,," + b"v" * 200_000, "not CSV: field larger than field limit"),
    "a huge line": (b"conv_1,,,,," + b"v" * 5_000_000, "longer than 1,048,576 characters"),
    "no JSON": (b"conv_1,,,,soon", "not a time"),
}


@pytest.mark.parametrize(("line", "reason"), REFUSED_CSV.values(), ids=REFUSED_CSV)
def test_a_bad_row_is_named_and_the_others_are_taken(
    world: World, line: bytes, reason: str
) -> None:
    head = b"id,kind,user,created_at,last_active_at,metadata.plan"
    file = write(world, "threads.csv", b"\n".join([head, b"conv_a", line, b"conv_b", b""]))
    done = world.run("import", file)
    assert (done.code, first(done)) == (1, TAKEN), done.err
    assert done.err.startswith(f"janitor: {file}:3: ")
    assert reason in done.err
    assert set(rows(world)) == {"conv_a", "conv_b"}


def test_an_open_quote_swallows_no_thread_in_silence(world: World) -> None:
    done = world.run("import", write(world, "t.csv", 'id,user\nconv_1,"u1\nconv_2,u2\n'))
    assert done.code == 1
    assert "not CSV: unexpected end of data" in done.err


def test_metadata_of_a_csv_column_is_json(world: World) -> None:
    content = 'id,metadata\nconv_1,"{""plan"": ""trial""}"\nconv_2,{nope\nconv_3,\nconv_4,[]\n'
    done = world.run("import", write(world, "t.csv", content))
    assert done.code == 1
    assert [line.split(": ")[1:] for line in done.err.splitlines()] == [
        [f"{world.directory}/t.csv:3", "metadata", "not a JSON object"],
        [f"{world.directory}/t.csv:5", "metadata", "not a JSON object"],
    ]
    assert rows(world)["conv_1"]["metadata"] == {"plan": "trial"}


@pytest.mark.parametrize("form", ["json", "jsonl"])
def test_rejects_are_told_to_machines_too(world: World, form: str) -> None:
    file = write(world, "threads.jsonl", '{"id": "conv_1"}\n{"id": "a b"}\n')
    done = world.run("--output", form, "import", file)
    assert done.code == 1
    (document,) = done.lines if form == "jsonl" else [done.document]
    assert (document["schema"], document["added"]) == (1, 1)
    assert [reject["line"] for reject in document["rejected"]] == [2]


def test_many_bad_lines_are_counted_instead_of_shown(world: World) -> None:
    done = world.run("import", write(world, "threads.jsonl", "{}\n" * 50))
    assert done.code == 1
    told = done.err.splitlines()
    assert len(told) == 21
    assert "50 lines were refused; --rejects FILE writes them to a file" in told[-1]


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("empty.csv", b"", "is empty"),
        ("empty.jsonl", b"", "is empty"),
        ("no_id.csv", b"name,age\na,1\n", "no column `id`"),
        ("semicolons.csv", b"id;created_at\nconv_1;2026-01-01\n", "separated by commas"),
        ("array.json", b'[{"id": "conv_1"}]', "is a JSON array; write one object a line"),
        ("utf16.csv", "id\nconv_1\n".encode("utf-16"), "no column `id`"),
        ("zeros", b"\0" * 5000, "no column `id`"),
        ("wide.csv", b"x" * 5_000_000, "no column `id`"),
    ],
)
def test_a_file_that_is_none_is_refused_whole(
    world: World, name: str, content: bytes, reason: str
) -> None:
    world.fill(1)
    file = write(world, name, content)
    done = world.run("import", file)
    assert done.code == 2
    assert file in done.err
    assert reason in done.err
    assert len(rows(world)) == 1


def test_a_file_that_cannot_be_read_is_refused(world: World, tmp_path: Path) -> None:
    for place in (tmp_path / "nowhere.csv", tmp_path, Path("/proc/self/mem")):
        done = world.run("import", str(place))
        assert done.code == 2
        assert f"{place}: cannot be read" in done.err


@pytest.mark.slow
def test_an_empty_pipe_is_told(world: World) -> None:
    done = world.process("import", "-", stdin=b"")
    assert done.code == 2
    assert "standard input: is empty" in done.err
