"""Whatever is written is for its owner alone, through no link, whatever the umask."""

from __future__ import annotations

import json
import os
import shlex
import socket
import stat
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest
from world import DEADLINE, World

from janitor.cli.private_file import require_private, write_private
from janitor.errors import ConfigError
from janitor.tracking.spool import Spool

COMMANDS = {
    "plan": "plan -o FILE",
    "export": "export --registry -o FILE",
    "import": "import bad.jsonl --rejects FILE",
}


@contextmanager
def umask(mask: int) -> Iterator[None]:
    before = os.umask(mask)
    try:
        yield
    finally:
        os.umask(before)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)


@pytest.fixture
def told(world: World) -> World:
    world.fill(2)
    (world.directory / "bad.jsonl").write_text('{"id": "no id", "kind": "conversation"}\n')
    return world


def run(world: World, command: str, file: Path) -> int:
    bad = str(world.directory / "bad.jsonl")
    said = command.replace("bad.jsonl", bad).replace("FILE", str(file))
    return world.run(*said.split()).code


@pytest.mark.parametrize("mask", [0, 0o077])
def test_what_is_written_is_for_its_owner_alone(told: World, mask: int) -> None:
    for path in told.directory.glob("janitor.db*"):
        path.unlink()
    theirs = {path.name for path in told.directory.iterdir()}
    with umask(mask):
        told.fill(2)
        for name, command in COMMANDS.items():
            assert run(told, command, told.directory / f"{name}.out") in {0, 1}
        assert run(told, "init FILE", told.directory / "new.yaml") == 0
        assert run(told, "sweep --metrics-textfile FILE", told.directory / "janitor.prom") == 0
    made = [path for path in told.directory.rglob("*") if path.name not in theirs]
    modes = {str(path.relative_to(told.directory)): mode(path) for path in made}
    assert modes.pop("janitor.prom") == 0o644
    assert modes.pop("new.yaml") == 0o644 & ~mask
    assert len(modes) > 8
    assert {name for name, found in modes.items() if found & 0o077} == set()


def test_a_file_that_others_could_read_is_replaced_by_one_of_its_owner(told: World) -> None:
    for name in ("plan", "export"):
        file = told.directory / f"{name}.out"
        file.touch()
        file.chmod(0o666)
        assert run(told, COMMANDS[name], file) == 0
        assert mode(file) == 0o600


@pytest.mark.parametrize("dangles", [False, True])
@pytest.mark.parametrize("name", COMMANDS)
def test_nothing_is_written_through_a_link(told: World, name: str, *, dangles: bool) -> None:
    target, link = told.directory / "target", told.directory / "link"
    if not dangles:
        target.write_text("")
    link.symlink_to(target)
    assert run(told, COMMANDS[name], link) == 2
    assert link.is_symlink()
    assert target.exists() is not dangles
    assert dangles or target.read_text() == ""


def test_metrics_take_the_place_of_a_link(told: World) -> None:
    target, link = told.directory / "target", told.directory / "janitor.prom"
    target.write_text("theirs")
    link.symlink_to(target)
    assert run(told, "sweep --metrics-textfile FILE", link) == 0
    assert (target.read_text(), mode(link)) == ("theirs", 0o644)
    assert not link.is_symlink()


def test_what_a_shell_opened_is_written_all_the_same(told: World) -> None:
    done = told.process("export", "--registry", "-o", "/dev/stdout")
    assert done.code == 0, done.err
    assert {json.loads(line)["kind"] for line in done.out.splitlines()} == {"conversation"}


@pytest.mark.parametrize("command", ["plan", "export"])
def test_what_a_shell_opened_goes_on_where_it_stands(told: World, command: str) -> None:
    words = [word.replace("FILE", "/dev/fd/7") for word in COMMANDS[command].split()]
    file = told.directory / "file"
    file.write_text("before\n")
    for redirection, place in (("7>>{}", "/dev/fd/7"), (">>{}", "/dev/stdout")):
        written = [word.replace("/dev/fd/7", place) for word in words]
        line = f"{shlex.join(told.command(*written))} {redirection.format(shlex.quote(str(file)))}"
        environment = {**os.environ, **told.environment}
        subprocess.run(["bash", "-c", line], env=environment, check=True, timeout=DEADLINE)
    text = file.read_text()
    assert text.startswith("before\n")
    assert text.count('"conversation"') == 4


@pytest.mark.parametrize("place", ["/dev/fd", "/proc/self/fd"])
def test_what_janitor_opened_itself_is_not_written(tmp_path: Path, place: str) -> None:
    with (tmp_path / "registry").open("w+") as ours:
        ours.write("what it holds")
        ours.flush()
        file = Path(f"{place}/{ours.fileno()}")
        for work in (require_private, partial(write_private, lines=["the plan"])):
            with pytest.raises(ConfigError, match=f"^{file}: the plan cannot be written: Bad file"):
                work(file, what="the plan")
    assert (tmp_path / "registry").read_text() == "what it holds"


@pytest.mark.parametrize("command", ["plan", "export"])
def test_a_pipe_or_a_socket_is_refused_before_the_work_begins(told: World, command: str) -> None:
    pipe, listening = told.directory / "pipe", told.directory / "socket"
    os.mkfifo(pipe)
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(listening))
    told.config.write_text(told.config.read_text().replace("version: 1", "version: 0"))
    for file, sort in ((pipe, "pipe"), (listening, "socket")):
        done = told.run(*COMMANDS[command].replace("FILE", str(file)).split())
        assert done.code == 2
        assert f"{file}: the {command} cannot be written: it is a {sort}; name a" in done.err
    assert pipe.is_fifo()
    assert listening.is_socket()
    assert told.emulator.log == []


@pytest.mark.parametrize("command", ["plan", "export"])
def test_a_device_takes_what_is_written_to_it(told: World, command: str) -> None:
    for file, code in {"/dev/null": 0, "/dev/full": 3}.items():
        done = told.process(*COMMANDS[command].replace("FILE", file).split())
        assert done.code == code, done.err
    assert "/dev/full: the " in done.err
    assert "No space left on device" in done.err
    assert {Path(file).is_char_device() for file in ("/dev/null", "/dev/full")} == {True}


def test_a_reader_that_has_ended_keeps_nobody_waiting(told: World) -> None:
    line = shlex.join(told.command("plan", "-o", "FILE")).replace("FILE", ">(exec true)")
    environment = {**os.environ, **told.environment}
    done = subprocess.run(
        ["bash", "-c", line], env=environment, check=False, capture_output=True, timeout=DEADLINE
    )
    assert done.returncode == 0
    assert b"Traceback" not in done.stderr


def test_a_spool_and_what_is_missing_above_it_is_for_its_owner_alone(tmp_path: Path) -> None:
    with umask(0):
        spool = Spool(tmp_path / "state" / "janitor" / "spool")
        spool.append(b"{}\n")
        spool.release()
    modes = {mode(path) for path in tmp_path.rglob("*")}
    assert modes == {0o700, 0o600}
