"""What is no file of lines: an import of it ends with the right words, and never waits forever."""

from __future__ import annotations

import os
import select
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest

from janitor.errors import ConfigError
from janitor.sources import files, importer
from janitor.sources.importer import Order, opened

NOW = datetime(2026, 3, 1, tzinfo=UTC)
DEVICE = "it is a device; name a file or a pipe"
SOCKET = "it is a socket; name a file or a pipe"
KERNEL = "it is a kernel file without data"


def read(path: Path, form: str = "auto") -> int:
    """How many lines of it an import reads."""
    with opened(Order(path, "it", form, ("main",)), None) as begun:
        for _ in begun.pages(("main",), NOW):
            pass
        return begun.tally.read


@contextmanager
def filled(pipe: Path, program: str) -> Iterator[None]:
    """Somebody who writes to a pipe."""
    os.mkfifo(pipe)
    writes = f"import sys; file = open(sys.argv[1], 'w')\n{program}"
    with subprocess.Popen(
        [sys.executable, "-c", writes, str(pipe)], stderr=subprocess.DEVNULL
    ) as writer:
        yield
        writer.kill()


@pytest.mark.parametrize("form", ["auto", "csv", "jsonl"])
@pytest.mark.parametrize(
    ("name", "said"), [("/dev/zero", DEVICE), ("/dev/full", DEVICE), ("/proc/self/mem", KERNEL)]
)
def test_a_device_or_a_file_of_the_kernel(name: str, said: str, form: str) -> None:
    with pytest.raises(ConfigError, match=f"^it: cannot be read: {said}"):
        read(Path(name), form)


KERNEL_LOG = Path("/proc/kmsg")


@pytest.fixture
def kernel_log(monkeypatch: pytest.MonkeyPatch) -> Path:
    """The kernel's log where this user may read it, and all of it was read; it never ends."""
    monkeypatch.setattr(importer, "PIPE_MILLISECONDS", 1)
    try:
        descriptor = os.open(KERNEL_LOG, os.O_RDONLY | os.O_NONBLOCK)
    except OSError:
        pytest.skip("needs the right to read the kernel's log")
    holds_data = bool(select.select([descriptor], [], [], 0)[0])
    os.close(descriptor)
    if holds_data:
        pytest.skip("needs a log of the kernel that somebody reads")
    return KERNEL_LOG


def test_a_file_of_the_kernel_that_gives_no_data(kernel_log: Path, tmp_path: Path) -> None:
    # Unless the kernel says something at this very moment.
    with pytest.raises(ConfigError, match=f"^it: cannot be read: {KERNEL}|no column `id`"):
        read(kernel_log)
    (tmp_path / "lines.jsonl").write_text("{}\n")
    order = Order(tmp_path / "lines.jsonl", "it", "auto", ("main",), kernel_log)
    with pytest.raises(ConfigError, match="does not contain the rejects"), opened(order, None):
        pass


def test_a_file_of_the_kernel_that_gives_data() -> None:
    with pytest.raises(ConfigError, match="the CSV has no column `id`"):
        read(Path("/proc/self/status"))


@pytest.mark.parametrize("form", ["auto", "csv"])
def test_a_first_line_that_never_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, form: str
) -> None:
    monkeypatch.setattr(files, "ENDLESS", 1 << 23)
    with (
        filled(tmp_path / "pipe", "while file.write('a' * 100_000): pass"),
        pytest.raises(ConfigError, match="it: cannot be read: line 1 is longer than 8,388,608 cha"),
    ):
        read(tmp_path / "pipe", form)


def test_a_socket(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(tmp_path / "socket"))
        with pytest.raises(ConfigError, match=SOCKET):
            read(tmp_path / "socket")
        with pytest.raises(ConfigError, match=SOCKET):
            read(Path(f"/proc/self/fd/{listening.fileno()}"))


def test_a_pipe_that_nobody_fills(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importer, "PIPE_MILLISECONDS", 1)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ConfigError, match="nothing writes to this pipe; start its writer"):
        read(tmp_path / "pipe")


def test_a_pipe_that_is_filled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importer, "PIPE_MILLISECONDS", 60_000)
    with filled(tmp_path / "pipe", """file.write('{"id": "thread_a"}\\n' * 3)"""):
        assert read(tmp_path / "pipe") == 3


def test_a_line_that_never_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "ENDLESS", 1 << 23)
    with (
        filled(tmp_path / "pipe", r"while file.write('{}\n' + 'x' * 100_000_000): pass"),
        pytest.raises(ConfigError, match="it: cannot be read: line 2 is longer than 8,388,608 cha"),
    ):
        read(tmp_path / "pipe", "jsonl")


def test_a_row_of_a_table_that_never_ends(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    path.write_text('id,kind\n"x' + '","x\n' * 300_000)
    with opened(Order(path, "it", "auto", ("main",)), None) as begun:
        next(begun.pages(("main",), NOW))
        reasons = [one["reason"] for one in begun.rejects]
    assert reasons[0] == "longer than 1,048,576 characters"
