"""Imports that are killed, stopped or given again: what is registered is the same as in one go."""

from __future__ import annotations

import signal
import subprocess

import pytest
from world import until

from importing.importing_world import Office, killed, write_table

NUMBER = 20_000
COMMAND = ("import", "threads.csv", "--rejects", "rejects.jsonl")


@pytest.fixture
def whole(tmp_path_factory: pytest.TempPathFactory) -> Office:
    """Another registry, for the same in one go."""
    return Office(tmp_path_factory.mktemp("whole"))


def cut_short(office: Office, *command: str, signum: int = signal.SIGKILL) -> str:
    """Begin an import and end it in its midst; what it said."""
    process = office.start(*command)
    until(office.has_begun)
    done = killed(process, signum)
    assert done.code == (-signum if signum == signal.SIGKILL else 128 + signum), done.err
    return done.err


def test_a_killed_import_goes_on_and_ends_as_one_that_was_not(
    either: Office, whole: Office
) -> None:
    wrong = write_table(either.directory / "threads.csv", NUMBER, broken=0.01)
    write_table(whole.directory / "threads.csv", NUMBER, broken=0.01)
    cut_short(either, *COMMAND)
    done = either.run("--output", "json", *COMMAND)
    assert done.code == 1
    assert "continues after line" in done.err
    assert 0 < done.document["resumed_behind"] <= NUMBER
    good = NUMBER - len(wrong)
    counts = {"read": NUMBER, "added": good, "updated": 0, "unchanged": 0, "refused": len(wrong)}
    assert done.document.items() >= counts.items()
    assert [one["line"] for one in either.rejects()] == wrong
    assert whole.run(*COMMAND).code == 1
    assert whole.rejects() == either.rejects()
    assert whole.exported() == either.exported()


def test_a_stopped_import_says_where_and_goes_on_there(office: Office) -> None:
    write_table(office.directory / "threads.csv", NUMBER)
    said = cut_short(office, "import", "threads.csv", signum=signal.SIGTERM)
    assert "the same command continues there" in said
    assert "Traceback" not in said
    document = office.run("--output", "json", "import", "threads.csv").document
    assert document["resumed_behind"] > 0
    assert (document["read"], document["added"]) == (NUMBER, NUMBER)
    again = office.run("--output", "json", "import", "threads.csv").document
    assert (again["resumed_behind"], again["unchanged"]) == (None, NUMBER)


def test_what_was_written_behind_the_place_is_taken_on_the_way(office: Office) -> None:
    file = office.directory / "threads.csv"
    write_table(file, NUMBER)
    cut_short(office, "import", "threads.csv")
    with file.open("a") as end:
        end.write("conv_appended,,,,,\n")
    document = office.run("--output", "json", "import", "threads.csv").document
    assert document["resumed_behind"] > 0
    assert document["added"] == NUMBER + 1


def test_a_file_that_has_changed_is_read_anew(office: Office) -> None:
    file = office.directory / "threads.csv"
    write_table(file, NUMBER)
    cut_short(office, "import", "threads.csv")
    file.write_bytes(file.read_bytes().replace(b",trial", b",TRIAL", 1))
    done = office.run("--output", "json", "import", "threads.csv")
    assert "starts over: the file has changed" in done.err
    assert (done.document["resumed_behind"], done.document["read"]) == (None, NUMBER)
    assert b'"plan": "TRIAL"' in office.exported()


@pytest.mark.parametrize("rejects", [(), ("--rejects", "rejects.jsonl")])
def test_no_reject_of_the_first_part_is_lost(office: Office, rejects: tuple[str, ...]) -> None:
    wrong = write_table(office.directory / "threads.csv", NUMBER, broken=0.01)
    cut_short(office, *COMMAND)
    if rejects:
        (office.directory / "rejects.jsonl").write_bytes(b"")
    done = office.run("--output", "json", "import", "threads.csv", *rejects)
    assert "starts over: this file of rejects lacks" in done.err
    assert [one["line"] for one in done.document["rejected"]] == wrong


def test_a_restart_reads_from_the_beginning(office: Office) -> None:
    write_table(office.directory / "threads.csv", NUMBER)
    cut_short(office, "import", "threads.csv")
    document = office.run("--output", "json", "import", "threads.csv", "--restart").document
    assert document["resumed_behind"] is None
    assert document["unchanged"] > 0
    assert document["unchanged"] + document["added"] == NUMBER


def test_standard_input_is_given_again_from_its_beginning(office: Office) -> None:
    file = office.directory / "threads.csv"
    write_table(file, NUMBER)
    process = office.start("import", "-", stdin=subprocess.PIPE)
    assert process.stdin is not None
    process.stdin.write(file.read_bytes()[: 1 << 18])
    process.stdin.flush()
    until(office.has_begun)
    assert "run it again" in killed(process, signal.SIGTERM).err
    with file.open("rb") as whole:
        again = office.start("--output", "json", "import", "-", stdin=whole.fileno())
        out, _ = again.communicate()
    assert again.returncode == 0
    assert b'"unchanged": 0' not in out
    assert office.exported().count(b"\n") == NUMBER
