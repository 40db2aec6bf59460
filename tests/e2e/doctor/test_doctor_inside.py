"""`doctor` and what is on this machine: the file, secrets, permissions, and the registry."""

from __future__ import annotations

import os
import socket
import sqlite3
import tempfile
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest
from world import NOW, World

from doctor.doctored import doctor, edit, only, verdicts
from janitor.config import load
from janitor.doctor import Finding, attempt, exit_code, look_at_spools, look_at_work
from janitor.errors import LimitError
from janitor.registry import InboxNotice, Registry
from janitor.tracking.spool import Spool, spool_directory


def writing(world: World) -> Registry:
    return Registry.open(f"sqlite:///{world.registry}", untrusted=None)


def test_a_broken_file_is_all_there_is_to_say(world: World) -> None:
    edit(world, "version: 1", "version: 7")
    found = doctor(world, code=2)
    assert list(found) == ["configuration"]
    assert "janitor validate" in only(found, "configuration", "fail")[1]


def test_before_there_is_a_registry(world: World) -> None:
    found = doctor(world)
    assert "does not exist yet" in only(found, "database", "warn")[0]
    assert {"secrets", "access main", "archive", "port"} <= set(found)
    assert not world.registry.exists()


def test_who_has_the_runs_lock_and_whether_it_is_alive(world: World) -> None:
    world.fill(1)
    file = world.registry.with_name(f"{world.registry.name}.lock")
    with writing(world) as registry, registry.lock():
        registry.runs.start("apply", "enforce", "digest", NOW)
        holder = file.read_bytes()
        alive = only(doctor(world), "lock", "ok")[0]
    assert alive == f"held by process {os.getpid()}, which is alive; open run: apply"
    assert "lock" not in doctor(world)
    file.write_bytes(holder)
    died = only(doctor(world), "lock", "ok")[0]
    assert died == f"was held by process {os.getpid()}, which has died: the next run takes over"
    file.write_bytes(holder.replace(socket.gethostname().encode(), b"elsewhere"))
    elsewhere = only(doctor(world), "lock", "ok")[0]
    assert f"process {os.getpid()} on elsewhere holds the run, or held it" in elsewhere


def test_what_is_no_registry(world: World) -> None:
    world.registry.write_text("something else entirely, and long enough to be looked at")
    found = doctor(world, code=2)
    assert "is not a database" in only(found, "database", "fail")[0]
    assert "access main" in found


def test_a_mode_and_a_mistake_are_said(world: World) -> None:
    world.configure("  []", mode="audit")
    found = doctor(world)
    assert "only reports what it would do" in only(found, "configuration", "ok")[0]
    assert only(found, "configuration", "warn")[1] == "janitor validate"


@pytest.fixture
def base(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where spools are looked for: an empty directory, and nowhere else."""
    for name in ("JANITOR_SPOOL", "XDG_STATE_HOME", "HOME", "TMPDIR"):
        monkeypatch.setenv(name, str(tmp_path / name))
    monkeypatch.setattr(tempfile, "tempdir", None)
    return tmp_path / "JANITOR_SPOOL"


@pytest.mark.usefixtures("base")
def test_a_spool_of_a_server_is_this_registrys_whoever_its_user_is(world: World) -> None:
    edit(world, f"sqlite:///{world.registry.name}", "postgresql+psycopg://janitor@db/app")
    for name in ("postgresql://app:secret@db/app", "postgresql+psycopg://db/other"):
        spool_directory(name)
    found = [one.says for one in look_at_spools(load(world.config, environment=False), NOW)]
    assert len(found) == 2
    assert {says.partition("waits for ")[2] for says in found} == {
        "postgresql://db/app",
        "postgresql+psycopg://db/other, which is another registry",
    }


@pytest.mark.parametrize(
    "name",
    ["sqlite:///\0", "sqlite:///{loop}", "x" * 9000, "é" * 4096],
    ids=["NUL", "loop of links", "long", "long in bytes"],
)
def test_a_spool_with_a_strange_name_is_shown(world: World, base: Path, name: str) -> None:
    directory = spool_directory("some registry")
    (base / "loop").symlink_to("loop")
    (directory / "registry.txt").write_text(name.format(loop=base / "loop"), encoding="utf-8")
    says, _ = only(doctor(world), "spools", "ok")
    assert says.startswith(f"{directory}: nothing waits for ")
    assert says.endswith(", which is another registry")
    assert len(says) < 5000


@pytest.mark.usefixtures("base")
@pytest.mark.parametrize(
    ("spelled", "todo"),
    [
        ("{directory}/janitor.db", "start a program that tracks into it"),
        ("{directory}/x/../janitor.db", "start a program that tracks into it"),
        ("{directory}/other.db", "correct the address that the program gives"),
    ],
)
def test_a_spool_that_nobody_delivers_is_shown_with_its_registry(
    world: World, spelled: str, todo: str
) -> None:
    (world.directory / "x").mkdir()
    registry = f"sqlite:///{spelled.format(directory=world.directory)}"
    spool = Spool(spool_directory(registry))
    found = doctor(world)
    assert "nothing waits for" in only(found, "spools", "ok")[0]
    spool.append(b"{}\n")
    spool.release()
    (segment,) = spool.directory.glob("*.jsonl")
    os.utime(segment, (0, NOW.timestamp() - 3600))
    found = doctor(world)
    says, advice = only(found, "spools", "warn")
    assert says.startswith(f"{spool.directory}: 1 KiB waits for {registry}, and nothing")
    assert todo in advice


def test_a_secret_that_is_not_there(world: World) -> None:
    edit(world, "{env: JANITOR_WORLD_KEY}", "{file: key}")
    found = doctor(world, code=2)
    assert "projects.main.api_key" in only(found, "secrets", "fail")[0]
    assert "cannot be read" in only(found, "access main", "fail")[0]
    key = world.directory / "key"
    key.write_text(world.environment["JANITOR_WORLD_KEY"])
    key.chmod(0o644)
    said = only(doctor(world), "secrets", "warn")
    assert said[1] == f"chmod 600 {key}"
    key.chmod(0o600)
    assert verdicts(doctor(world), "secrets") == ["ok"]


def test_a_hash_key_that_is_not_there(world: World) -> None:
    world.fill(1)
    key = ", hash: [user], hash_key: {env: JANITOR_NO_SUCH_KEY}"
    edit(world, 'janitor.db"}', f'janitor.db"{key}}}')
    found = doctor(world, code=2)
    assert "JANITOR_NO_SUCH_KEY" in only(found, "database", "fail")[0]
    assert "access main" in found


@pytest.mark.parametrize(
    ("name", "mode", "todo"),
    [
        ("janitor.yaml", 0o666, "chmod go-w"),
        ("janitor.db", 0o640, "chmod 600"),
        ("archive", 0o755, "chmod 700"),
    ],
)
def test_what_others_may_do(world: World, name: str, mode: int, todo: str) -> None:
    world.fill(1, age=8)
    assert world.run("sweep").code == 0
    world.config.chmod(0o644)
    assert verdicts(doctor(world), "permissions") == ["ok"]
    (world.directory / name).chmod(mode)
    assert only(doctor(world), "permissions", "warn")[1] == f"{todo} {world.directory / name}"


def test_what_waits_and_what_was_refused(world: World) -> None:
    with writing(world) as registry:
        registry.inbox.append([InboxNotice("main", "nonsense", "a", NOW)])
        registry.inbox.drain(NOW)
        registry.inbox.append([InboxNotice("main", "conversation", "b", NOW)])
    found = doctor(world)
    assert only(found, "inbox", "ok")[0].startswith("1 notice is waiting")
    assert only(found, "inbox", "warn")[0] == "1 notice was refused in the last 30 days: row 1"
    with closing(sqlite3.connect(world.registry)) as connection, connection:
        row = "INSERT INTO janitor_inbox (v, project, kind, id, at, event) VALUES "
        told = "(1, 'main', 'conversation', CAST(x'4a6f73e9' AS TEXT), '2026-01-31', 'register')"
        connection.execute(row + told)
    _, doubted = (one for one in doctor(world)["inbox"] if one[0] == "warn")
    assert doubted[1] == "1 of the waiting notices cannot be used: row 3"
    assert world.run("list").code == 0
    refused = only(doctor(world), "inbox", "warn")[0]
    assert refused == "2 notices were refused in the last 30 days: rows 1, 3"


def test_a_sweep_that_is_due_and_a_run_whose_janitor_died(world: World) -> None:
    world.fill(1)
    assert only(doctor(world), "sweeps", "warn")[0].startswith("no sweep has gone")
    assert world.run("sweep").code == 0
    assert verdicts(doctor(world), "sweeps") == ["ok"]
    with writing(world) as registry:
        registry.runs.start("sweep", "enforce", "", NOW)
        later, due = NOW + timedelta(days=9), NOW + timedelta(days=3)
        config = load(world.config, environment=False)
        found = [one for one in look_at_work(config, registry, later, due) if one.check == "sweeps"]
    assert [one.verdict for one in found] == ["warn", "warn"]
    assert "the next one is overdue" in found[0].says
    assert "its janitor died" in (found[1].todo or "")


def test_pauses_and_what_nobody_serves(world: World) -> None:
    world.fill(2)
    assert world.run("pause", "--reason", "audit").code == 0
    edit(world, "concurrency: 4", "concurrency: 4\n    kinds: [thread]")
    found = doctor(world)
    assert "paused by" in only(found, "pauses", "warn")[0]
    says, todo = only(found, "not served", "warn")
    assert says.startswith("2 active threads of project main, kind conversation")
    assert "projects.main" in todo


def test_threads_of_a_project_that_is_not_configured(world: World) -> None:
    world.fill(1)
    edit(world, "  main:\n", "  mian:\n")
    says, todo = only(doctor(world), "not served", "warn")
    assert says.startswith("1 active thread of project main")
    assert "no project of that name is configured" in (todo or "")


def test_policies_that_wait_for_approval(world: World) -> None:
    world.fill(3, age=20)
    assert world.run("sweep").code == 0
    edit(world, "delete: {after: 30d}", "delete: {after: 10d}")
    assert "no sweep has compared them" in only(doctor(world), "policies", "warn")[0]
    world.run("sweep")
    assert "janitor approve" in only(doctor(world), "policies", "warn")[1]


def test_a_source_that_was_never_read(world: World) -> None:
    sql = '{url: "sqlite:///app.db", query: "SELECT 1 AS id", watermark: null}'
    source = f"sources: {{chats: {{sql: {sql}}}}}\n"
    world.fill(1)
    edit(world, "limits:", f"{source}limits:")
    assert "chats was never read" in only(doctor(world), "sources", "warn")[0]


def test_a_check_that_fails_stops_no_other() -> None:
    def ask() -> list[Finding]:
        raise ZeroDivisionError

    def refuse() -> list[Finding]:
        raise LimitError("too much")

    found = attempt("one", ask) + attempt("other", refuse)
    assert [one.check for one in found] == ["one", "other"]
    assert "ZeroDivisionError" in found[0].says
    assert exit_code(found) == LimitError.exit_code
    assert exit_code([]) == 0
