"""The file of rejects: whole lines, its owner's alone, and nothing else is ever written over."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from janitor.errors import ConfigError
from janitor.sources.files import Rejected
from janitor.sources.importer import Rejects

ONE, TWO = Rejected(2, "no time", None, "conv_1"), Rejected(5, "not CSV", 7)
FIRST = {"line": 2, "last_line": 2, "reason": "no time", "id": "conv_1"}


def test_each_is_a_line_that_can_be_read_at_once_and_later(tmp_path: Path) -> None:
    path = tmp_path / "rejects.jsonl"
    rejects = Rejects.open(path)
    rejects.add([ONE])
    assert json.loads(path.read_text()) == FIRST
    assert path.stat().st_mode & 0o777 == 0o600
    rejects.add([TWO])
    assert [one["line"] for one in rejects] == [2, 5]
    rejects.add([ONE])
    assert [one["line"] for one in rejects] == [2, 5, 2]
    assert rejects.size == path.stat().st_size
    rejects.close()


def test_an_import_begins_anew_or_behind_what_it_kept(tmp_path: Path) -> None:
    path = tmp_path / "rejects.jsonl"
    first = Rejects.open(path)
    first.add([ONE])
    kept = first.size
    first.add([TWO, TWO])
    first.close()
    path.chmod(0o644)
    again = Rejects.open(path, kept)
    again.add([TWO])
    again.close()
    assert [json.loads(line)["line"] for line in path.read_text().splitlines()] == [2, 5]
    assert path.stat().st_mode & 0o777 == 0o600
    Rejects.open(path).close()
    assert path.read_bytes() == b""


@pytest.mark.parametrize("content", [b"id,kind\n", b'{"id": "conv_1"}\n', b"[]", b"\xff"])
def test_another_file_is_not_written_over(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "precious"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match="does not contain the rejects"):
        Rejects.open(path)
    assert path.read_bytes() == content


def test_a_place_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be written: No such file"):
        Rejects.open(tmp_path / "nowhere" / "rejects.jsonl")
    with pytest.raises(ConfigError, match="does not contain the rejects"):
        Rejects.open(tmp_path)


def test_without_a_name_they_are_kept_all_the_same() -> None:
    rejects = Rejects.open(None)
    rejects.add([ONE, TWO])
    assert [one["line"] for one in rejects] == [2, 5]
    rejects.close()
