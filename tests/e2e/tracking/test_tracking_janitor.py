"""What an application tracks is what a janitor sweeps; what the pages tell it to write works."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from openai import OpenAI
from world import DEADLINE, World, until

import janitor
from janitor.registry import Registry
from janitor.tracking import delivery, flush

ROOT = Path(__file__).parents[3]
PAGES = [ROOT / "README.md", ROOT / "docs" / "tracking.md"]
BLOCK = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
NAMED = {"/var/lib/janitor/janitor.db": "janitor.db", "/var/spool/janitor": "spool"}
POLICIES = """\
  - name: short
    match: {metadata: {plan: trial}}
    archive: {after: 1s}
    delete: {after: 2s}
"""


@pytest.fixture(autouse=True)
def here(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A registry that exists, and a spool of the test's own."""
    monkeypatch.setenv("JANITOR_SPOOL", str(world.directory / "spool"))
    monkeypatch.setattr(delivery, "_POSTS", {})
    Registry.open(f"sqlite:///{world.registry}").close()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_python_of_a_page_works_and_registers(
    page: Path, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = "\n".join(BLOCK.findall(page.read_text(encoding="utf-8")))
    for named, meant in NAMED.items():
        code = code.replace(named, str(world.directory / meant))
    monkeypatch.setenv("OPENAI_BASE_URL", world.base_url)
    monkeypatch.setenv("OPENAI_API_KEY", world.emulator.key)
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        capture_output=True,
        text=True,
        timeout=DEADLINE,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert world.run("sweep").code == 0
    assert world.states().keys() == set(world.emulator.ids())
    assert len(world.states()) == 1


def test_what_is_tracked_is_archived_and_deleted_in_its_time(world: World) -> None:
    world.configure(POLICIES)
    untracked = world.conversation()
    with OpenAI(base_url=world.base_url, api_key=world.emulator.key) as client:
        tracked = janitor.track(
            client, f"sqlite:///{world.registry}", metadata={"plan": "trial"}, send=["plan"]
        )
        made = tracked.conversations.create()
        tracked.responses.create(model="gpt-5", input="x", conversation=made.id)
    assert flush(DEADLINE)
    until(lambda: world.run("sweep").code == 0 and world.emulator.ids() == [untracked])
    assert world.states() == {made.id: "deleted"}
    assert len(list(world.archive.rglob("*.zst"))) == 1


def test_what_the_application_deleted_is_not_believed_to_be_deleted(world: World) -> None:
    world.configure(POLICIES)
    with OpenAI(base_url=world.base_url, api_key=world.emulator.key) as client:
        tracked = janitor.track(client, f"sqlite:///{world.registry}", metadata={"plan": "trial"})
        kept, gone = tracked.conversations.create().id, tracked.conversations.create().id
        assert flush(DEADLINE)
        assert world.run("sweep").code == 0
        tracked.conversations.delete(gone)
    assert flush(DEADLINE)
    assert world.run("sweep").code == 0
    assert world.states()[gone] != "deleted"
    assert kept in world.states()
