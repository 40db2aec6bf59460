"""The spool outlives its process, torn lines and forks, and belongs to its user alone."""

from __future__ import annotations

import errno
import os
import stat
import tempfile
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

import pytest

from janitor.model import Kind, NoticeEvent
from janitor.tracking.delivery import hand_over
from janitor.tracking.notices import Notice, line_of, notice_of
from janitor.tracking.spool import (
    VARIABLE,
    FullError,
    Segment,
    Spool,
    SpoolState,
    spool_directory,
    spool_states,
)

NOW = datetime(2026, 3, 1, tzinfo=UTC)


def notice(id: str) -> Notice:
    return Notice("main", Kind.THREAD, id, NOW, NoticeEvent.REGISTER, NOW, {"plan": "ä"})


class Kept:
    """An inbox that keeps what it is given, unless it refuses."""

    name = "kept"

    def __init__(self) -> None:
        self.ids: list[str] = []
        self.refuses = False

    def add(self, notices: Sequence[Notice]) -> int:
        if self.refuses:
            raise ConnectionError
        self.ids += [one.id for one in notices]
        return len(notices)


def test_a_line_says_what_the_notice_says() -> None:
    for one in (notice("a"), Notice("main", Kind.THREAD, "b", NOW, NoticeEvent.TOUCH)):
        assert notice_of(line_of(one)) == one


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        line_of(notice("a"))[:-9],
        line_of(notice("a")).replace(b'"v":1', b'"v":2'),
        line_of(notice("a")).replace(b'"id":"a"', b'"id":"../a"'),
        line_of(notice("a")).replace(b'"register"', b'"erase"'),
        line_of(notice("a")).replace(b'{"plan":"\\u00e4"}', b'{"plan":1}'),
        line_of(notice("a")).replace(b'{"plan":"\\u00e4"}', b"[]"),
        line_of(notice("a")).replace(b'"main"', b"7"),
    ],
)
def test_a_line_that_is_none_is_passed_over(line: bytes) -> None:
    assert notice_of(line) is None


def test_a_torn_line_costs_itself_alone(tmp_path: Path) -> None:
    spool, inbox = Spool(tmp_path), Kept()
    spool.append(line_of(notice("a")))
    spool.release()
    (path,) = tmp_path.iterdir()
    with path.open("ab") as file:
        file.write(line_of(notice("torn"))[:-20])
    spool.append(line_of(notice("b")))
    spool.seal()
    assert hand_over(spool, inbox) == 2
    assert sorted(inbox.ids) == ["a", "b"]
    assert list(tmp_path.iterdir()) == []


def test_of_a_line_written_in_part_nothing_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    segment, write, writes = Segment.create(tmp_path), os.write, iter([9, 0])

    def full(descriptor: int, line: bytes) -> int:
        room = next(writes)
        if not room:
            raise OSError(errno.EDQUOT, "of the quota")
        return write(descriptor, line[:room])

    segment.append(line_of(notice("a")))
    monkeypatch.setattr(os, "write", full)
    with pytest.raises(OSError, match="of the quota"):
        segment.append(line_of(notice("torn")))
    monkeypatch.undo()
    assert segment.size == segment.path.stat().st_size
    segment.append(line_of(notice("b")))
    assert [*segment.lines()] == [line_of(notice("a")), line_of(notice("b"))]
    segment.close()


def test_what_a_living_process_writes_is_left_to_it(tmp_path: Path) -> None:
    living, other, inbox = Spool(tmp_path), Spool(tmp_path), Kept()
    living.append(line_of(notice("a")))
    assert hand_over(other, inbox) == 0
    living.release()
    assert hand_over(other, inbox) == 1
    assert hand_over(living, inbox) == 0


def test_what_is_refused_is_kept_in_its_order(tmp_path: Path) -> None:
    spool, inbox = Spool(tmp_path, segment=1), Kept()
    inbox.refuses = True
    for name in ("a", "b", "c"):
        spool.append(line_of(notice(name)))
        spool.seal()
        with pytest.raises(ConnectionError):
            hand_over(spool, inbox)
    inbox.refuses = False
    assert hand_over(spool, inbox) == 3
    assert inbox.ids == ["a", "b", "c"]
    assert spool.size == 0


def test_it_is_bounded_over_all_processes(tmp_path: Path) -> None:
    line = line_of(notice("a"))
    first = Spool(tmp_path, limit=3 * len(line))
    first.append(line)
    first.append(line)
    second = Spool(tmp_path, limit=3 * len(line))
    second.append(line)
    first.measure()
    for spool in (first, second):
        with pytest.raises(FullError):
            spool.append(line)
    second.seal()
    hand_over(second, Kept())
    first.measure()
    first.append(line)


def test_a_directory_that_was_removed_is_made_again(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool", segment=1)
    for _ in range(2):
        spool.append(line_of(notice("a")))
        spool.seal()
        (path,) = (tmp_path / "spool").iterdir()
        path.unlink()
        (tmp_path / "spool").rmdir()
    inbox = Kept()
    assert hand_over(spool, inbox) == 2


def test_it_lies_where_only_its_user_may_look(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    directory = spool_directory("sqlite:////a/janitor.db")
    assert directory.parent == tmp_path / "state" / "janitor" / "spool"
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    Spool(directory).append(line_of(notice("a")))
    for file in directory.iterdir():
        assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_what_waits_is_shown_with_the_registry_that_it_waits_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(VARIABLE, str(tmp_path / "spool"))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setattr(tempfile, "gettempdir", lambda: str(tmp_path))
    first, second = (spool_directory(f"sqlite:////{name}/janitor.db") for name in "ab")
    Spool(first).append(line_of(notice("a")))
    (segment,) = first.glob("*.jsonl")
    os.utime(segment, (0, 1_000_000_000))
    (second / "registry.txt").unlink()  # as a version made it that did not write it yet
    assert {state.directory: state for state in spool_states()} == {
        first: SpoolState(
            first, "sqlite:////a/janitor.db", len(line_of(notice("a"))), 1_000_000_000
        ),
        second: SpoolState(second, None, 0, None),
    }


def link(path: Path) -> None:
    path.with_name("elsewhere").write_text("sqlite:////b/janitor.db")
    path.symlink_to("elsewhere")


STRANGE: dict[str, Callable[[Path], object]] = {
    "pipe": os.mkfifo,
    "link": link,
    "directory": Path.mkdir,
    "NUL": lambda path: path.write_bytes(b"sqlite:///a\0b\n"),
    "escape": lambda path: path.write_bytes(b"sqlite:///\x1b[2J\n"),
    "two lines": lambda path: path.write_bytes(b"sqlite:///a\nb\n"),
    "bytes": lambda path: path.write_bytes(b"\xff"),
    "nothing": Path.touch,
}


@pytest.mark.parametrize("make", STRANGE.values(), ids=STRANGE)
def test_a_strange_name_of_a_spool_is_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make: Callable[[Path], object]
) -> None:
    monkeypatch.setenv(VARIABLE, str(tmp_path / "spool"))
    directory = spool_directory("key")
    (directory / "registry.txt").unlink()
    make(directory / "registry.txt")
    (directory / "x.jsonl").mkdir()
    (directory / "y.jsonl").symlink_to("/etc/passwd")
    (state,) = (one for one in spool_states() if one.directory == directory)
    assert (state.registry or None, state.size, state.since) == (None, 0, None)


def test_no_more_of_a_spools_name_is_read_than_a_name_is_long(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(VARIABLE, str(tmp_path / "spool"))
    directory = spool_directory("key")
    os.truncate(directory / "registry.txt", 1 << 40)
    (state,) = (one for one in spool_states() if one.directory == directory)
    assert state.registry is None


def test_places_that_are_no_spools_hide_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(VARIABLE, str(tmp_path / "file"))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    (tmp_path / "file").touch()
    directory = spool_directory("key")
    assert directory in [one.directory for one in spool_states()]


def test_a_directory_that_others_can_read_is_not_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(VARIABLE, str(tmp_path / "open"))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    spool_directory("key").chmod(0o755)
    assert spool_directory("key").is_relative_to(tmp_path / "state")


def test_where_nothing_can_be_written_it_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    for name in (VARIABLE, "XDG_STATE_HOME", "HOME"):
        monkeypatch.setenv(name, str(tmp_path / "file"))
    monkeypatch.setattr(tempfile, "gettempdir", lambda: str(tmp_path / "file"))
    with pytest.raises(OSError, match="JANITOR_SPOOL"):
        spool_directory("key")


def test_what_is_released_may_be_taken_while_it_is_made_durable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spool, other, inbox = Spool(tmp_path), Spool(tmp_path), Kept()

    def meanwhile(_: int) -> None:
        spool.release()
        assert hand_over(other, inbox) == 1

    spool.append(line_of(notice("a")))
    monkeypatch.setattr(os, "fsync", meanwhile)
    spool.sync()
    assert inbox.ids == ["a"]


def test_a_forgotten_spool_touches_no_file_any_more(tmp_path: Path) -> None:
    """As after a fork, where the parent's greenlets go on with it in the child."""
    spool, dead, inbox = Spool(tmp_path), Spool(tmp_path), Kept()
    for one in (dead, spool):
        one.append(line_of(notice("a")))
    dead.release()
    spool.seal()
    waiting = spool.waiting()
    own, taken = next(waiting), next(waiting)
    spool.forget()
    others = [os.open(tmp_path / f"{number}", os.O_CREAT) for number in range(9)]
    assert {own.descriptor, taken.descriptor} < set(others), "the numbers are others' by now"
    spool.delivered(own)
    spool.leave(taken)
    spool.delivered(taken)
    assert list(waiting) == []
    spool.release()
    assert hand_over(spool, inbox) == 0
    for other in others:
        os.close(other)
    assert own.path.exists()
    assert taken.path.exists()
