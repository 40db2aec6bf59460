"""I10: conversation text is in the archive alone, metadata in the registry, secrets nowhere."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
import zstandard
from world import KEY_VARIABLE, NOW, Done, World

from janitor.cli import logs
from janitor.cli.output import Settings
from janitor.emulator import Emulator, Fault, How

TEXT = "MARKERTEXT"
VALUE = "MARKERVALUE"
SECRET = "sk-MARKERSECRET"  # noqa: S105 - the emulator's
POLICIES = """\
  - name: everything
    default: true
    archive: {after: 7d}
    delete: {after: 30d}
  - name: chatkit
    match: {kind: chatkit_thread}
    archive: {after: 7d}
    soft_delete: {after: 8d}
    delete: {after: 300d}
"""


@pytest.fixture
def marked(tmp_path: Path) -> Iterator[World]:
    """A world where every text, title, metadata value and key can be told from all else."""
    emulator = Emulator({SECRET: "main"})
    at = NOW - timedelta(days=40)
    with emulator.serve() as served:
        world = World(tmp_path, emulator, served.base_url, {KEY_VARIABLE: SECRET})
        world.configure(POLICIES)
        texts = [f"{TEXT} {n}" for n in range(4)]
        metadata = {"plan": VALUE}
        made = {
            emulator.add_thread(created_at=at, metadata=metadata, items=texts): "thread",
            emulator.add_chatkit_thread(created_at=at, items=texts, title=TEXT): "chatkit_thread",
        }
        for add, kind in (
            (emulator.add_conversation, "conversation"),
            (emulator.add_agent_session, "agent_session"),
        ):
            made[add(created_at=at, metadata=metadata, items=texts)] = kind
        for one, kind in made.items():
            register(world, kind, one)
        yield world


def register(world: World, kind: str, one: str, value: str = VALUE) -> None:
    arguments = ("--id", one, "--kind", kind, "--metadata", f"plan={value}")
    at = (NOW - timedelta(days=40)).isoformat()
    assert world.run("import", *arguments, "--created-at", at, "--last-active-at", at).code == 0


def assert_silent(said: bytes, where: str) -> None:
    for marker in (TEXT, VALUE, SECRET):
        assert marker.encode() not in said, f"{marker} in {where}"


def silent(done: Done) -> Done:
    assert_silent((done.out + done.err).encode(), "what was printed")
    return done


def registry_bytes(world: World) -> bytes:
    return b"".join(path.read_bytes() for path in world.directory.glob("janitor.db*"))


@pytest.mark.slow
def test_a_whole_life_tells_nothing(marked: World) -> None:
    plan, metrics = marked.directory / "plan.json", marked.directory / "janitor.prom"
    for arguments in (("plan", "--all"), ("plan", "-o", str(plan)), ("validate",)):
        assert silent(marked.run("-v", *arguments)).code == 0
    assert silent(marked.run("--output", "json", "plan", "--all")).code == 0
    assert silent(marked.run("-v", "--log-format", "json", "apply", str(plan))).code == 0
    swept = silent(marked.process("-v", "sweep", "--metrics-textfile", str(metrics)))
    assert swept.code == 0
    assert set(marked.states().values()) == {"deleted", "soft_deleted"}
    for path in (plan, metrics):
        assert_silent(path.read_bytes(), path.name)
    run = marked.run("--output", "json", "runs").document["runs"][1]
    assert silent(marked.run("--output", "json", "runs", run["id"])).document["events"]
    assert silent(marked.run("runs")).code == 0


def test_text_is_in_the_archive_alone_and_metadata_in_the_registry(marked: World) -> None:
    assert VALUE in marked.run("list").out
    assert marked.run("sweep").code == 0
    objects = list(marked.archive.rglob("*.zst"))
    assert len(objects) == 4
    for path in objects:
        with path.open("rb") as file:
            assert TEXT.encode() in zstandard.ZstdDecompressor().stream_reader(file).read()
    stored = registry_bytes(marked)
    assert TEXT.encode() not in stored
    assert SECRET.encode() not in stored
    assert VALUE.encode() in stored
    done = marked.run("--output", "jsonl", "list", "--state", "soft_deleted")
    assert VALUE in done.out
    assert TEXT not in done.out


def test_a_tombstone_keeps_no_metadata_on_the_disk(marked: World) -> None:
    """`secure_delete`: what was overwritten is not left in a free page."""
    gone = "MARKERGONE"
    one = marked.conversation(items=2, plan=gone)
    register(marked, "conversation", one, gone)
    assert gone.encode() in registry_bytes(marked)
    assert marked.run("sweep").code == 0
    assert gone.encode() not in registry_bytes(marked)
    tombs = marked.run("--output", "jsonl", "list", "--state", "deleted").lines
    assert [row["metadata"] for row in tombs] == [{}] * 4


@pytest.mark.parametrize("status", [400, 401, 404, 409, 500])
def test_a_server_that_quotes_text_in_its_errors_is_not_quoted(marked: World, status: int) -> None:
    body = {"error": {"message": f"cannot: {TEXT}", "type": TEXT + " !", "code": None}}
    fault = Fault(How.STATUS, status=status, body=body, headers={"retry-after": "0"})
    with marked.emulator.faulty(fault):
        done = silent(marked.run("-v", "sweep"))
    assert "Traceback" not in done.err
    assert TEXT not in marked.run("--output", "jsonl", "list").out
    assert TEXT.encode() not in registry_bytes(marked)


def test_a_refused_line_quotes_no_metadata_value(marked: World) -> None:
    lines = (
        f'{{"id": "conv_1", "metadata": {{"a": "{VALUE * 60}"}}}}\n'
        f'{{"id": "conv_2", "metadata": {{"a": ["{VALUE}"]}}}}\n'
        f'{{"id": "conv_3", "metadata": "{VALUE}"}}\n'
        f'{{"id": "conv_4", "user": ["{VALUE}"]}}\n'
        f'{{"id": "conv_5", "created_at": "{VALUE}"}}\n'
    )
    (marked.directory / "bad.jsonl").write_text(lines)
    done = silent(marked.run("--output", "json", "import", str(marked.directory / "bad.jsonl")))
    assert done.code == 1
    assert len(done.document["rejected"]) == 5


def look_up(names: dict[str, str]) -> str:
    return names[VALUE]


def trip(error: Exception) -> None:
    try:
        look_up({})
    except KeyError as cause:
        raise error from cause


def raised(error: Exception) -> Exception:
    """An exception with a cause, a note and a traceback, as a library raises it."""
    error.add_note(VALUE)
    with pytest.raises(type(error)) as caught:
        trip(error)
    return caught.value


@pytest.mark.parametrize("form", ["text", "json"])
@pytest.mark.parametrize("error", [ValueError(VALUE), ExceptionGroup(VALUE, [OSError(VALUE)])])
def test_of_an_exception_the_log_shows_types_and_frames_once(error: Exception, form: str) -> None:
    formatter = logs._formatter(Settings(None, "table", form, verbose=False))
    caught = raised(error)
    first, second = (
        formatter.format(
            logging.LogRecord("janitor", 40, "", 0, "odd", None, (type(caught), caught, None))
        )
        for _ in range(2)
    )
    assert VALUE not in first
    assert re.search(r"test_cli_redaction\.py\\?\", line \d+, in trip", first)
    assert "builtins.KeyError" in first
    assert f"builtins.{type(error).__name__}" in first
    assert ("builtins.OSError" in first) is isinstance(error, ExceptionGroup)
    assert "in trip" not in second
