"""Whatever is written or read: what ran out is told with its own cure, each cause made real."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from http.client import HTTPException
from pathlib import Path

import click
import pytest
from mounts import fill_up, read_only, tmpfs
from scarce import few_files, small_files

from janitor.app.event_loop import run_loop
from janitor.app.run_metrics import require_writable
from janitor.causes import scarcity
from janitor.cli.config import init_command
from janitor.cli.output import Settings
from janitor.cli.plan import _bytes
from janitor.cli.private_file import write_private
from janitor.cli.serve import health_command
from janitor.config import Keeper, Secret, load
from janitor.drivers.environment import check_environment
from janitor.errors import ConfigError, JanitorError, StoreError
from janitor.service.server import Server
from janitor.sources.files import Rejected
from janitor.sources.importer import Order, Rejects, opened

CURES = {
    "files": "Too many open files; raise the limit of this process (`ulimit -n`, LimitNOFILE=",
    "size": "File too large; raise this process's limit on file size (`ulimit -f`",
    "full": "No space left on device; free some space",
    "read-only": "Read-only file system; mount it writable",
}
GUESSES = ("another place", "another file", "name another", "disk is full", "the disk is failing")
TEXT = "version: 1\nregistry: {url: 'sqlite:///janitor.db'}\nprojects: {main: {}}\npolicies: []\n"


@contextmanager
def full(directory: Path) -> Iterator[Path]:
    with tmpfs(directory / "small", "1m") as small:
        fill_up(small)
        yield small


@contextmanager
def kept(directory: Path) -> Iterator[Path]:
    with read_only(directory):
        yield directory


@contextmanager
def there(directory: Path, cause: AbstractContextManager[None]) -> Iterator[Path]:
    with cause:
        yield directory


MADE: dict[str, Callable[[Path], AbstractContextManager[Path]]] = {
    "files": lambda directory: there(directory, few_files()),
    "size": lambda directory: there(directory, small_files(0)),
    "full": full,
    "read-only": kept,
}


def settings(path: Path) -> Settings:
    return Settings(path, "table", "text", verbose=False)


def rejected(path: Path | None) -> None:
    with closing(Rejects.open(path)) as rejects:
        rejects.add([Rejected(1, "x" * 9000)])


def invoked(command: click.Command, path: Path, *arguments: str) -> None:
    command.main([*arguments], standalone_mode=False, obj=settings(path))


def written(path: Path) -> None:
    write_private(path / "plan.json", ["x" * 8192], "the plan")


WRITES: dict[str, Callable[[Path], object]] = {
    "outfile": written,
    "rejects": lambda path: rejected(path / "rejects.jsonl"),
    "init": lambda path: invoked(init_command, path, str(path / "janitor.yaml")),
}


@pytest.fixture
def prepared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A place with files to read; what is needed is imported."""
    place = tmp_path / "place"
    place.mkdir()
    (place / "file").write_text(TEXT)
    with pytest.raises(ConfigError):
        invoked(health_command, place / "file")
    invoked(init_command, place, str(tmp_path / "janitor.yaml"))  # imports what it needs
    for name in ("TMPDIR", "XDG_STATE_HOME", "JANITOR_SPOOL", "SSLKEYLOGFILE"):
        monkeypatch.delenv(name, raising=False)
    return place


def assert_told(caught: JanitorError, cause: str) -> None:
    assert CURES[cause] in str(caught)
    assert not any(guess in str(caught) for guess in GUESSES), caught


@pytest.mark.parametrize("cause", CURES)
@pytest.mark.parametrize("what", ["outfile", "rejects", "init"])
def test_what_cannot_be_written(prepared: Path, cause: str, what: str) -> None:
    with MADE[cause](prepared) as place, pytest.raises(JanitorError) as caught:
        WRITES[what](place)
    assert_told(caught.value, cause)
    assert isinstance(caught.value, ConfigError if cause == "read-only" else StoreError)


@pytest.mark.parametrize("cause", ["files", "read-only"])
def test_metrics_that_cannot_be_written(prepared: Path, cause: str) -> None:
    with MADE[cause](prepared) as place, pytest.raises(JanitorError) as caught:
        require_writable(place / "janitor.prom")
    assert_told(caught.value, cause)


def test_a_key_log_that_cannot_be_written(prepared: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSLKEYLOGFILE", str(prepared / "keys"))
    for cause in ("files", "read-only"):
        with MADE[cause](prepared), pytest.raises(JanitorError, match="SSLKEYLOGFILE: ") as caught:
            check_environment()
        assert_told(caught.value, cause)


READS: dict[str, Callable[[Path], object]] = {
    "secret": lambda path: Secret(Keeper.FILE, str(path)).reveal(),
    "configuration": load,
    "plan": _bytes,
    "import": lambda path: opened(Order(path, "it", "csv", ("main",)), None).__enter__(),
    "loop": lambda _: run_loop(lambda: pytest.fail("it began")),
    "listen": lambda _: Server(lambda *_: None, "127.0.0.1:0"),  # type: ignore[arg-type]
}


@pytest.mark.slow
@pytest.mark.parametrize("what", READS)
def test_what_cannot_be_opened(prepared: Path, what: str) -> None:
    with few_files(), pytest.raises(JanitorError) as caught:
        READS[what](prepared / "file")
    assert_told(caught.value, "files")


@pytest.mark.parametrize(
    ("cause", "said"),
    [
        ("files", CURES["files"]),
        ("size", CURES["size"]),
        ("full", f"TMPDIR: {{place}}: {CURES['full']}, or set TMPDIR to a directory"),
    ],
)
def test_rejects_without_a_name_that_have_no_place(
    prepared: Path, monkeypatch: pytest.MonkeyPatch, cause: str, said: str
) -> None:
    with MADE[cause](prepared) as place:
        monkeypatch.setenv("TMPDIR", str(place))
        monkeypatch.setattr(tempfile, "tempdir", None if cause != "full" else str(place))
        with pytest.raises(StoreError) as caught:
            rejected(None)
    assert said.format(place=place) in str(caught.value)
    assert "No usable" not in str(caught.value)


def test_an_exception_tells_what_ran_out_wherever_it_stands() -> None:
    behind = HTTPException()
    with few_files():
        try:
            os.close(os.open(os.devnull, os.O_RDONLY))
        except OSError as error:
            behind.__cause__ = error
    assert scarcity(behind) is not None
    assert scarcity(HTTPException()) is None
