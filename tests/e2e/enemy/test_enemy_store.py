"""An archive that is gone pauses what archives; everything else goes on."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from world import KEY, KEY_VARIABLE, World

from janitor.emulator import Emulator

POLICIES = """\
  - name: copied
    match: {metadata: {plan: copied}}
    archive: {after: 7d}
    delete: {after: 60d}
  - name: removed
    match: {metadata: {plan: removed}}
    delete: {after: 30d}
"""


@pytest.fixture
def outer(tmp_path: Path) -> Iterator[World]:
    emulator = Emulator({KEY: "main"})
    with emulator.serve() as served:
        made = World(tmp_path, emulator, served.base_url, {KEY_VARIABLE: KEY})
        made.configure(POLICIES)
        yield made


def test_a_vanished_archive_stops_only_what_archives(outer: World) -> None:
    [copied] = outer.fill(1, plan="copied")
    assert outer.run("sweep").code == 0
    assert outer.states() == {copied: "archived"}
    shutil.rmtree(outer.archive)
    [late] = outer.fill(1, plan="copied")
    [removed] = outer.fill(1, plan="removed")
    done = outer.run("sweep")
    assert done.code == 3
    assert "what was archived there is gone" in done.out + done.err
    assert outer.states() == {copied: "archived", late: "active", removed: "deleted"}
    assert not outer.archive.exists()
