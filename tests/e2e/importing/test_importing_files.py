"""Files of rejects, dry runs and exports, as a person types them."""

from __future__ import annotations

import json
import subprocess

import pytest

from importing.importing_world import Office

LINES = [
    {"id": "conv_1", "created_at": "2026-01-01T00:00:00.000001Z", "metadata": {"who": "é\n\"'"}},
    {"id": "conv_2", "metadata": {}},
    {"id": "cthr_1", "last_active_at": "2026-01-01T00:00:00Z"},
    {"id": "sess", "kind": "agent_session", "keep_until": "9999-12-31T00:00:00Z"},
]


def write(office: Office, *lines: object) -> None:
    text = "".join(f"{one if isinstance(one, str) else json.dumps(one)}\n" for one in lines)
    (office.directory / "threads.jsonl").write_text(text, encoding="utf-8")


@pytest.mark.parametrize("form", ["jsonl", "csv"])
def test_an_export_is_imported_and_exported_as_it_was(either: Office, form: str) -> None:
    write(either, *LINES)
    assert either.run("import", "threads.jsonl").code == 0
    name = f"all.{form}"
    assert either.run("export", "--registry", "-o", name).code == 0
    first = (either.directory / name).read_bytes()
    assert (either.directory / name).stat().st_mode & 0o777 == 0o600
    again = either.run("--output", "json", "import", name).document
    assert (again["added"], again["updated"], again["unchanged"]) == (0, 0, len(LINES))
    empty = Office(either.directory / "empty")
    (empty.directory / name).write_bytes(first)
    assert empty.run("import", name).code == 0
    piped = empty.run("export", "--registry", "--format", form)
    assert piped.out.encode() == first
    assert first.count(b"\n") == len(LINES) + (form == "csv")


def test_an_export_takes_the_place_of_a_file_as_a_whole_or_not_at_all(office: Office) -> None:
    write(office, *LINES)
    assert office.run("import", "threads.jsonl").code == 0
    (office.directory / "all.jsonl").write_text("before")
    assert b"conv_2" in office.exported()
    kept = office.run("export", "--registry", "--kind", "chatkit_thread", "--project", "main")
    assert [json.loads(line)["id"] for line in kept.out.splitlines()] == ["cthr_1"]
    refused = office.run("export", "--registry", "-o", "nowhere/all.jsonl")
    assert refused.code == 2
    assert "cannot be written" in refused.err
    assert not list(office.directory.glob(".all*"))


def test_a_dry_run_judges_every_line_and_registers_none(office: Office) -> None:
    write(office, *LINES, "{", {"id": "a b", "metadata": {"who": "marguerite"}})
    command = ("import", "threads.jsonl", "--dry-run", "--rejects", "rejects.jsonl")
    done = office.run(*command)
    assert (done.code, done.out) == (1, "4 of 6 would be imported; nothing was registered.\n")
    assert [one["line"] for one in office.rejects()] == [5, 6]
    assert not (office.directory / "janitor.db").exists()
    document = office.run("--output", "json", *command).document
    assert (document["dry_run"], document["read"], document["added"]) == (True, 6, None)


def test_rejects_say_nothing_of_a_person_and_are_replaced(office: Office) -> None:
    write(office, {"id": "conv_1", "created_at": "soon", "metadata": {"who": "marguerite"}})
    command = ("import", "threads.jsonl", "--rejects", "rejects.jsonl")
    done = office.run(*command)
    assert done.code == 1
    assert "1 line was refused; see rejects.jsonl" in done.err
    file = office.directory / "rejects.jsonl"
    assert "marguerite" not in file.read_text() + done.err + done.out
    assert file.stat().st_mode & 0o777 == 0o600
    assert [(one["line"], one["id"]) for one in office.rejects()] == [(1, "conv_1")]
    write(office, *LINES)
    assert office.run(*command).code == 0
    assert office.rejects() == []


@pytest.mark.parametrize("rejects", ["threads.jsonl", "janitor.yaml"])
def test_rejects_are_written_over_nothing_else(office: Office, rejects: str) -> None:
    write(office, "{")
    before = (office.directory / rejects).read_bytes()
    done = office.run("import", "threads.jsonl", "--rejects", rejects)
    assert done.code == 2
    assert "name another file" in done.err
    assert (office.directory / rejects).read_bytes() == before


def test_a_pipe_is_read_once_and_remembered_nowhere(office: Office) -> None:
    write(office, *LINES)
    with (office.directory / "threads.jsonl").open("rb") as file:
        process = office.start("import", "/dev/stdin", stdin=file.fileno())
        assert process.wait() == 0
    process = office.start("import", "-", stdin=subprocess.PIPE)
    out, _ = process.communicate((office.directory / "threads.jsonl").read_bytes())
    assert out.startswith(b"0 added, 0 updated, 4 unchanged.\n4 read, 0 refused in ")
