"""What docs/archive.md says of the format is so: its example is an object."""

from __future__ import annotations

import re
import stat
from pathlib import Path

import orjson
import zstandard
from archive_exports import CREATED, archive_in, export, put

from janitor.archive.archive import object_path, parse_path, series_directory
from janitor.archive.local import STAGING
from janitor.archive.object_format import VERSION
from janitor.archive.stored_object import open_object

PAGE = (Path(__file__).parents[3] / "docs" / "archive.md").read_text(encoding="utf-8")


def block(language: str) -> str:
    """The one code block of the page in a language."""
    (found,) = re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    return str(found)


def test_the_example_is_an_object_at_its_path(tmp_path: Path) -> None:
    file = tmp_path / "example"
    file.write_bytes(zstandard.ZstdCompressor().compress(block("json").encode()))
    found = open_object(file)
    key, created_at = found.header.key, found.header.created_at
    assert [record.id for record in found.records()] == ["conv_123", "msg_1"]
    path = object_path(series_directory(key, created_at), key, found.trailer.digest)
    assert block("text").strip() == path
    assert parse_path(path) == (key, found.trailer.digest[:12])


def test_the_example_has_the_fields_that_are_written(tmp_path: Path) -> None:
    copy = put(archive_in(tmp_path), export(1))
    written = list(open_object(tmp_path / copy.path).lines())
    said = block("json").splitlines()
    for number in (0, 1, -1):
        ((mark, fields),) = [*orjson.loads(written[number]).items()][:1]
        assert [*orjson.loads(said[number])] == [*orjson.loads(written[number])]
        named = [*fields] if isinstance(fields, dict) else []
        for name in (mark, *named):
            assert f"`{name}`" in PAGE
    assert orjson.loads(said[0])["janitor_header"]["version"] == VERSION == 1
    assert f"version {VERSION}" in PAGE


def test_files_and_directories_have_the_modes_that_are_told(tmp_path: Path) -> None:
    root = tmp_path / "archive"
    copy = put(archive_in(root), export(1), created_at=CREATED)
    assert "Directories have mode 0700 and files 0600" in PAGE
    modes = {
        str(path.relative_to(root)): stat.S_IMODE(path.stat().st_mode)
        for path in [root, *root.rglob("*")]
    }
    assert modes.pop(copy.path) == 0o600
    assert set(modes.values()) == {0o700}
    assert f"`{STAGING}`" in PAGE
    assert STAGING in modes
