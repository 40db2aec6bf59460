"""Configurations, places and names on the command line that cannot be right."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
from pathlib import Path

import pytest
from mounts import fill_up, read_only, tmpfs
from world import DEADLINE, KEY_VARIABLE, World

from bad_input.refusals import assert_good_run_follows, assert_refused

BOMB = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 12)
)
NO_CONFIGURATION = {
    "empty": b"",
    "NUL": b"\0",
    "UTF-16": b"\xff\xfe",
    "open": b"policies: [",
    "list": b"[]",
    "tag": b"a: !!python/object:os.system x",
    "deep": b"{" * 5000,
}
COMMANDS = ["validate", "plan", "sweep", "list", "import --id conv_1", "restore conv_1"]


@pytest.mark.slow
@pytest.mark.parametrize("command", COMMANDS)
def test_a_bomb_of_aliases_is_refused_at_once(world: World, command: str) -> None:
    ids = world.fill(1)
    good = world.config.read_text()
    world.config.write_text(BOMB)
    assert_refused(world, world.run(*command.split()), 2, str(world.config), "50,000")
    world.config.write_text(good)
    assert_good_run_follows(world, len(ids))


@pytest.mark.parametrize("content", NO_CONFIGURATION.values(), ids=NO_CONFIGURATION)
def test_a_file_that_is_no_configuration_is_refused(world: World, content: bytes) -> None:
    world.config.write_bytes(content)
    for command in ("validate", "plan", "sweep"):
        assert_refused(world, world.run(command), 2, str(world.config))
    assert not world.registry.exists()


def test_a_configuration_that_cannot_be_read_is_refused(world: World, tmp_path: Path) -> None:
    world.config.unlink()
    assert_refused(world, world.run("plan"), 2, str(world.config))
    world.config.mkdir()
    assert_refused(world, world.run("plan"), 2, str(world.config))
    world.config.rmdir()
    os.mkfifo(world.config)
    for command in ("validate", "plan", "serve", "pause --reason x", "doctor --privacy"):
        done = world.run(*command.split())
        assert done.code == 2
        assert f"{world.config} cannot be read: it is a pipe; name a" in done.out + done.err


@pytest.mark.parametrize(
    "value",
    [None, "", "  \n", "sk-a\nX: y", "sk-ü", os.fsdecode(b"sk-\xff")],
    ids=["missing", "empty", "blank", "two lines", "non-ASCII", "bytes"],
)
def test_a_missing_key_is_named_by_its_variable(world: World, value: str | None) -> None:
    ids = world.fill(1)
    key = world.environment.pop(KEY_VARIABLE)
    if value is not None:
        world.environment[KEY_VARIABLE] = value
    for command in ("plan", "sweep", "restore conv_1"):
        assert_refused(world, world.run(*command.split()), 2, KEY_VARIABLE)
    for command in ("list", "runs", f"explain {ids[0]}", "import --id conv_9"):
        assert world.run(*command.split()).code == 0, "what asks no server needs no key"
    world.environment[KEY_VARIABLE] = key
    assert_good_run_follows(world, len(ids))


NO_TEXT = os.fsdecode(b"caf\xe9")  # as Python is handed bytes that are not UTF-8
NO_TEXTS = [
    ["hold", "add", "case", "--id", "conv_1", "--reason", NO_TEXT],
    ["hold", "release", NO_TEXT, "--reason", "over"],
    ["pause", "--reason", NO_TEXT],
    ["list", "--metadata", f"plan={NO_TEXT}"],
    ["explain", NO_TEXT],
    ["missing", "accept", "--id", NO_TEXT, "--reason", "gone"],
    ["import", "--id", "conv_1", "--metadata", f"plan={NO_TEXT}"],
]


@pytest.mark.parametrize("arguments", NO_TEXTS, ids=lambda said: said[0])
def test_bytes_that_are_no_text_are_refused(world: World, arguments: list[str]) -> None:
    world.fill(1)
    refused = world.run(*arguments)
    assert (refused.code, refused.out) == (2, "")
    assert "it is not UTF-8" in refused.err


@pytest.mark.parametrize(
    "name",
    ["../../etc/passwd", "a/b", "c" * 300, "\x1b[2Jconv", "conv\n1", "", "conv_ü", "[red]x"],
)
def test_an_id_that_is_none_is_refused(world: World, name: str) -> None:
    world.fill(1)
    refused = world.run("import", "--id", name, "--kind", "conversation")
    assert refused.code == 2
    assert "the id must be 1 to 200 of A-Z a-z 0-9 . _ : -" in refused.err
    for command in ("explain", "restore"):
        done = world.run(command, name)
        assert_refused(world, done, 2, "is not registered")
        assert done.err.count("\n") == 1
        assert done.err[:-1].isprintable()
    assert len(world.states()) == 1


STRANGE = {
    "a": "[/nope]",
    "b": "[red]x",
    "c": "\x1b[31mred\x1b[0m",
    "d": "a\r\nb",
    "e": "\u202eleft",
    "f": "[link=x]y[/]",
}


@pytest.mark.parametrize("command", ["list", "explain ID", "list --metadata b=[red]x"])
def test_markup_and_escapes_in_metadata_are_text(world: World, command: str) -> None:
    one = world.conversation()
    world.register(one, **STRANGE)  # type: ignore[arg-type]  # none of them is named age
    done = world.run(*command.replace("ID", one).split())
    assert done.code == 0, done.err
    assert not [c for c in done.out if not c.isprintable() and c != "\n"]
    shown = "".join(done.out.split())
    for text in ("[/nope]", "[red]x", "\\x1b[31mred", "a\\r\\nb", "\\u202eleft", "[link=x]y[/]"):
        assert text in shown
    (row,) = world.run("--output", "jsonl", "list").lines
    assert row["metadata"] == STRANGE


@pytest.mark.parametrize("place", ["nowhere/j.prom", "janitor.yaml/j.prom", "/proc/j.prom", "."])
def test_a_place_for_metrics_is_tried_before_anything_is_done(world: World, place: str) -> None:
    ids = world.fill(2)
    path = str(world.directory / place)
    assert_refused(world, world.run("sweep", "--metrics-textfile", path), 2, path)
    assert world.run("--output", "json", "runs").document["runs"] == []
    assert_good_run_follows(world, len(ids))


def test_a_read_only_place_for_metrics_is_refused(world: World) -> None:
    ids = world.fill(1)
    (world.directory / "out").mkdir()
    path = world.directory / "out" / "janitor.prom"
    with read_only(world.directory / "out"):
        assert_refused(world, world.run("sweep", "--metrics-textfile", str(path)), 2, str(path))
    assert_good_run_follows(world, len(ids))


@pytest.mark.parametrize("place", ["nowhere/plan.json", "janitor.yaml/plan.json", "."])
def test_a_plan_that_cannot_be_written_is_told(world: World, place: str) -> None:
    ids = world.fill(1)
    path = str(world.directory / place)
    assert_refused(world, world.run("plan", "-o", path), 2, path)
    assert_good_run_follows(world, len(ids))


def test_a_plan_on_a_full_disk_leaves_the_one_before_it(world: World) -> None:
    world.fill(60)
    with tmpfs(world.directory / "small", "64k") as small:
        plan = small / "plan.json"
        assert world.run("plan", "-o", str(plan)).code == 0
        before = plan.read_bytes()
        fill_up(small)
        done = world.run("plan", "-o", str(plan))
        assert_refused(world, done, 3, str(plan), "No space left on device; free some space")
        assert plan.read_bytes() == before


@pytest.mark.parametrize(
    "content",
    [b"", b"{}", b"[]", b"null", b"\xff", b"[" * 100_000, b'{"schema": 1, "decisions": 1}'],
    ids=["empty", "object", "list", "null", "bytes", "deep", "other"],
)
def test_what_is_no_plan_is_not_applied(world: World, content: bytes) -> None:
    world.fill(1)
    plan = world.directory / "plan.json"
    plan.write_bytes(content)
    assert_refused(world, world.run("apply", str(plan)), 2, f"{plan}: not a plan", "plan -o")


def test_a_plan_that_was_edited_is_not_applied(world: World) -> None:
    ids = world.fill(2)
    other = world.fill(1, age=1)[0]
    plan = world.directory / "plan.json"
    assert world.run("plan", "-o", str(plan)).code == 0
    document = json.loads(plan.read_text())
    document["decisions"][0]["id"] = other
    plan.write_text(json.dumps(document))
    assert_refused(world, world.run("apply", str(plan)), 2, str(plan), "digest differs")
    assert_good_run_follows(world, len(ids))


def test_a_policy_of_no_name_is_refused(world: World) -> None:
    world.fill(1)
    done = world.run("sweep", "--policy", "trial-chat")
    assert_refused(world, done, 2, "trial-chat", "trial-chats, marked")


def test_a_plan_that_cannot_be_read_is_refused(world: World) -> None:
    world.fill(1)
    assert_refused(world, world.run("apply", "/proc/self/mem"), 2, "/proc/self/mem")
    assert_refused(world, world.run("apply", str(world.directory)), 2, "directory")


@pytest.mark.parametrize("name", ["we ird", "ünï", "a&b;c", "'quoted'"])
def test_directories_may_have_any_name(world: World, name: str) -> None:
    (world.directory / name).mkdir()
    world.config.unlink()
    world.config = world.directory / name / "janitor.yaml"
    world.configure()
    ids = world.fill(2)
    assert_good_run_follows(world, len(ids))
    made = {path.name for path in (world.directory / name).iterdir()}
    assert {"janitor.yaml", "janitor.db", "archive"} <= made
    assert {path.name for path in world.directory.iterdir()} == {name, "threads.jsonl"}


@pytest.mark.parametrize("place", ["/dev/zero", "/dev/full", "/proc/self/mem", "/dev/null"])
def test_a_device_is_no_configuration(world: World, place: str) -> None:
    done = world.run("validate", place)
    assert_refused(world, done, 2, place)


@pytest.mark.slow
def test_without_standard_streams_the_work_is_done_all_the_same(world: World) -> None:
    ids = world.fill(2)
    command = shlex.join(world.command("sweep"))
    environment = {**os.environ, **world.environment}
    done = subprocess.run(
        ["bash", "-c", f"{command} <&- >&- 2>&-"], env=environment, timeout=DEADLINE, check=False
    )
    assert done.returncode == 0
    assert list(world.states().values()) == ["deleted"] * len(ids)
