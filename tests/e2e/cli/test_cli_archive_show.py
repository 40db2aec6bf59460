"""`archive show`: the copy of a thread becomes readable, by its id or its file."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest
import zstandard
from peak import MEASURED
from terminal import on_terminal
from world import NOW, World

from janitor.kinds import Kind

ALL = "  - {name: all, default: true, archive: {after: 7d}, delete: {after: 30d}}\n"
TWO_PROJECTS = """\
version: 1
mode: enforce
registry: {{url: "sqlite:///janitor.db"}}
archive: {{url: "file://archive", keep_for: 1y}}
limits: {{max_percent: 100}}
projects:
  main: {{api_key: {{env: JANITOR_WORLD_KEY}}, base_url: "{url}"}}
  twin: {{api_key: {{env: JANITOR_WORLD_KEY}}, base_url: "{url}"}}
policies:
  - {{name: all, default: true, archive: {{after: 7d}}}}
"""
EVIL = "hello \x1b[31mred\x07\n```\n# not a heading\nend"


def copied(world: World, *texts: str, age: float = 45) -> str:
    """A conversation with these texts that was copied, and deleted if it is old enough."""
    one = world.emulator.add_conversation(
        created_at=NOW - timedelta(days=age), metadata={"plan": "trial"}, items=texts
    )
    world.register(one, age=age)
    done = world.run("sweep")
    assert done.code == 0, done.err
    return one


def copy_of(world: World, id: str) -> Path:
    (file,) = world.archive.rglob(f"{id}.*.zst")
    return file


@pytest.mark.parametrize("age", [45, 10], ids=["deleted", "alive"])
def test_a_copy_is_shown_by_the_id_of_its_thread(world: World, age: float) -> None:
    one = copied(world, "Where is my order?", "It is on its way.", age=age)
    done = world.run("archive", "show", one)
    assert (done.code, done.err) == (0, "")
    head, first, second = done.out.strip().split("\n\n")
    assert head.startswith(f"conversation {one}\n  project: main\n  kind: conversation\n")
    assert "  items: 2\n  metadata.plan: trial" in head
    assert first.startswith("1. user\n  id: msg_")
    assert first.endswith("\n    Where is my order?")
    assert second.endswith("\n    It is on its way.")


def test_a_file_is_shown_without_a_configuration(world: World, tmp_path: Path) -> None:
    one = copied(world, "question", "answer")
    by_id = world.run("archive", "show", one)
    file = copy_of(world, one)
    world.registry.unlink()
    world.config.unlink()
    assert world.run("archive", "show", str(file)).out == by_id.out
    renamed = file.rename(tmp_path / "found")
    done = world.process("archive", "show", "found", cwd=tmp_path)
    assert (done.code, done.out) == (0, by_id.out)
    assert renamed.exists()


@pytest.mark.parametrize("kind", Kind)
def test_every_kind_is_shown_with_its_other_parts(world: World, kind: Kind) -> None:
    world.configure(ALL)
    at = NOW - timedelta(days=45)
    one = world.emulator.add(kind, created_at=at, items=["question", "answer"])
    said = {"id": one, "kind": kind.value, "created_at": str(at), "last_active_at": str(at)}
    (world.directory / "one.jsonl").write_text(json.dumps(said), encoding="utf-8")
    assert world.run("import", str(world.directory / "one.jsonl")).code == 0
    assert world.run("sweep").code == 0
    done = world.run("archive", "show", one)
    assert (done.code, done.err) == (0, "")
    assert "\n1. user" in done.out
    assert "\n    question\n" in done.out
    assert "\n2. assistant" in done.out
    is_session = kind is Kind.AGENT_SESSION
    assert ("\nOther parts\n" in done.out) == is_session
    assert ("not read from the server\n  id: janitor.not_fetched.turns" in done.out) == is_session
    document = world.run("--output", "json", "archive", "show", one).document
    assert (document["schema"], document["container"]["kind"]) == (1, kind)
    assert [item["content"][0]["type"] for item in document["items"]] != []
    assert bool(document["other"]) == is_session


def test_json_has_what_the_api_sent(world: World) -> None:
    one = copied(world, "question", "answer")
    document = world.run("--output", "json", "archive", "show", one).document
    assert list(document) == ["schema", "container", "items", "other"]
    container = document["container"]
    assert (container["id"], container["items"], container["project"]) == (one, 2, "main")
    assert container["metadata"] == container["body"]["metadata"] == {"plan": "trial"}
    assert container["path"] == str(copy_of(world, one))
    assert document["items"][0]["content"] == [{"type": "input_text", "text": "question"}]
    rows = world.run("--output", "jsonl", "archive", "show", one).lines
    assert [row["record"] for row in rows] == ["container", "item", "item"]
    assert [row["body"] for row in rows[1:]] == document["items"]


def test_raw_is_what_is_stored_byte_for_byte(world: World) -> None:
    one = copied(world, EVIL, "é")
    done = world.process("archive", "show", one, "--raw")
    stored = (
        zstandard.ZstdDecompressor().decompressobj().decompress(copy_of(world, one).read_bytes())
    )
    assert (done.code, done.out.encode()) == (0, stored)


def test_no_control_character_of_a_copy_reaches_a_terminal(world: World) -> None:
    one = copied(world, EVIL + "\x9b2J\x7f", "answer")
    for form in ([], ["--markdown"], ["--raw"], ["--output", "json"], ["--output", "jsonl"]):
        command = world.command("archive", "show", one, *form)
        seen = on_terminal(command, world.environment, columns=80)
        assert seen.code == 0, seen.piped
        text = seen.shown.decode().replace("\x1b[1m", "").replace("\x1b[0m", "")
        assert [c for c in text if c != "\n" and not c.isprintable()] == []
        assert "not a heading" in text


def test_markdown_keeps_content_in_fences(world: World) -> None:
    one = copied(world, EVIL, "answer")
    done = world.run("archive", "show", one, "--markdown")
    assert done.code == 0
    assert done.out.startswith(f"# conversation {one}\n")
    fenced = "````text\nhello \\x1b[31mred\\x07\n```\n# not a heading\nend\n````\n"
    assert fenced in done.out


def test_a_damaged_copy_shows_nothing_and_says_what_to_do(world: World) -> None:
    one = copied(world, "secret question", "secret answer", age=10)
    file = copy_of(world, one)
    intact = file.read_bytes()
    for content, cause in (
        (intact[:-3], "truncated"),
        (b"", "truncated"),
        (b"nonsense", "cannot be decompressed"),
        (intact[:40] + bytes([intact[40] ^ 1]) + intact[41:], "damaged"),
    ):
        file.write_bytes(content)
        for form in ([], ["--markdown"], ["--raw"], ["--output", "json"], ["--output", "jsonl"]):
            done = world.run("archive", "show", one, *form)
            assert (done.code, done.out) == (1, "")
            for told in (str(file), one, cause, "Restore the file from a backup", "later sweep"):
                assert told in done.err
            assert "secret" not in done.err
        assert (world.run("archive", "show", str(file)).code, done.out) == (1, "")
    file.unlink()
    done = world.run("archive", "show", one)
    assert (done.code, done.out) == (1, "")
    assert f"{file}: the object is gone" in done.err


def test_another_object_in_the_place_of_a_copy_is_not_shown(world: World) -> None:
    one, other = copied(world, "mine"), copied(world, "theirs")
    copy_of(world, one).write_bytes(copy_of(world, other).read_bytes())
    done = world.run("archive", "show", one)
    assert (done.code, done.out) == (1, "")
    assert "belongs to another thread" in done.err
    assert "later sweep" not in done.err  # it is deleted: nobody can copy it again


def test_a_missing_archive_is_told_as_everywhere(world: World) -> None:
    one = copied(world, "question")
    world.archive.rename(world.directory / "elsewhere")
    done = world.run("archive", "show", one)
    assert (done.code, done.out) == (3, "")
    assert str(world.archive) in done.err
    world.configure(archive="elsewhere")
    moved = world.run("archive", "show", one)
    assert (moved.code, "    question\n" in moved.out) == (0, True)
    assert "copies were last written to" in moved.err


def test_a_thread_without_a_copy_says_where_to_look(world: World) -> None:
    world.configure("  - {name: all, default: true, delete: {after: 30d}}\n")
    (young,) = world.fill(1, age=1)
    (old,) = world.fill(1, age=45)
    assert world.run("sweep").code == 0
    for one, state in ((young, "active"), (old, "deleted")):
        done = world.run("archive", "show", one)
        assert (done.code, done.out) == (2, "")
        assert f"it is {state}" in done.err
        assert f"janitor explain {one}" in done.err


def test_an_id_of_several_projects_asks_which(world: World) -> None:
    world.config.write_text(TWO_PROJECTS.format(url=world.base_url), encoding="utf-8")
    one = world.conversation()
    world.register(one)
    assert world.run("sweep").code == 0
    rows = world.directory / "twin.jsonl"
    rows.write_text(json.dumps({"id": one, "project": "twin"}), encoding="utf-8")
    assert world.run("import", str(rows)).code == 0
    done = world.run("archive", "show", one)
    assert (done.code, "Message" in done.out) == (0, True)
    assert f"only conversation {one} of project main has a copy" in done.err
    assert world.run("archive", "show", one, "--project", "twin").code == 2
    at = str(NOW - timedelta(days=45))
    rows.write_text(json.dumps({"id": one, "project": "twin", "last_active_at": at}))
    assert [world.run(*words).code for words in (["import", str(rows)], ["sweep"])] == [0, 0]
    done = world.run("archive", "show", one)
    assert (done.code, done.out) == (2, "")
    assert "--project main --kind conversation, --project twin --kind conversation" in done.err
    chosen = world.run("archive", "show", one, "--project", "main", "--kind", "conversation")
    assert (chosen.code, chosen.err) == (0, "")
    wrong = world.run("archive", "show", one, "--project", "mian")
    assert (wrong.code, "did you mean --project main?" in wrong.err) == (2, True)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["conv_unknown"], "'conv_unknown' is not registered, and is no file"),
        (["nowhere/a.jsonl.zst"], "nowhere/a.jsonl.zst: No such file or directory"),
        (["/"], "/ is a directory"),
        (["/dev/null"], "/dev/null is a device"),
        (["conv_1", "--raw", "--markdown"], "two forms"),
        (["conv_1", "--raw", "--output", "json"], "two forms"),
        (["a.jsonl.zst", "--project", "main"], "belong to an ID"),
    ],
)
def test_what_cannot_be_shown_is_refused(world: World, words: list[str], told: str) -> None:
    world.fill(1)
    done = world.run("archive", "show", *words)
    assert (done.code, done.out) == (2, "")
    assert told in done.err


def test_looking_at_a_copy_changes_nothing(world: World) -> None:
    one = copied(world, "question")
    world.emulator.clear_log()
    before = {file: file.stat().st_mtime_ns for file in world.archive.rglob("*")}
    state = world.registry.read_bytes()
    for form in ([], ["--markdown"], ["--output", "json"]):
        assert world.run("archive", "show", one, *form).code == 0
    assert {file: file.stat().st_mtime_ns for file in world.archive.rglob("*")} == before
    assert (world.registry.read_bytes(), world.emulator.log) == (state, [])


@pytest.mark.slow
def test_memory_does_not_grow_with_a_copy(world: World) -> None:
    small = copied(world, "x")
    large = copied(world, *(f"{number} " * 4000 for number in range(2000)))
    peaks = {small: 0, large: 0}
    for one in (small, large):
        for form in ([], ["--markdown"], ["--raw"], ["--output", "json"]):
            command = [sys.executable, "-c", MEASURED, *world.arguments("archive", "show", one)]
            peak, size = _measured([*command, *form], world)
            assert one == small or size > 30_000_000
            peaks[one] = max(peaks[one], peak)
    assert peaks[large] - peaks[small] < 16_000  # KiB


def _measured(command: list[str], world: World) -> tuple[int, int]:
    """The most memory of a command, in KiB, and how much it printed."""
    file = world.directory / "printed"
    with file.open("wb") as out:
        done = subprocess.run(
            command,
            env={**os.environ, **world.environment},
            stdout=out,
            stderr=subprocess.PIPE,
            check=True,
        )
    return int(done.stderr.split()[-1]), file.stat().st_size
