"""`doctor --privacy`: what is kept where for how long, and never a value of it."""

from __future__ import annotations

from typing import Any

import pytest
from world import World

ALICE, BOB, PLAN = "alice@example.com", "bob@example.com", "very-special-plan"
KEPT = ", keys: [plan, user_id], hash: [user_id], hash_key: {env: JANITOR_HASH_KEY}"


def told(world: World, *, code: int = 0) -> dict[str, dict[str, Any]]:
    done = world.run("--output", "json", "doctor", "--privacy")
    assert done.code == code, done.err
    for value in (ALICE, BOB, PLAN):
        assert value not in done.out + done.err
    return {one["where"]: one for one in done.document["kept"]}


def configure(world: World, kept: str) -> None:
    world.configure()
    text = world.config.read_text(encoding="utf-8")
    world.config.write_text(text.replace('janitor.db"}', f'janitor.db"{kept}}}'), encoding="utf-8")


def test_what_is_hashed_and_what_is_not(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JANITOR_HASH_KEY", "k" * 32)
    configure(world, KEPT)
    world.fill(2, user_id=ALICE, plan=PLAN)
    world.fill(1, user_id=BOB, other=ALICE)
    found = told(world)
    hidden, plan = found["registry, metadata user_id"], found["registry, metadata plan"]
    assert "keyed hash" in hidden["what"]
    assert hidden["numbers"] == {"threads": 3, "values": 2}
    assert (plan["what"], plan["numbers"]) == ("in the clear", {"threads": 2, "values": 1})
    assert "registry, metadata other" not in found
    assert found["registry, other metadata"]["what"].startswith("no other key")
    assert "without its metadata" in found["registry, inbox"]["what"]


def test_everything_in_the_clear_and_how_long(world: World) -> None:
    world.fill(1)
    assert world.run("sweep").code == 0
    found = told(world)
    assert found["registry, tombstones"]["how_long"] == "400d"
    assert found["registry, tombstones"]["numbers"] == {"threads": 1}
    assert found["registry"]["numbers"] == {"threads": 0}
    assert found["archive, by policy trial-chats"]["how_long"] == "365d after the deletion"
    assert found[f"archive {world.archive}"]["numbers"] == {"copies": 1}
    assert found["registry, inbox"]["how_long"] == "30d after it was drained"
    table = world.run("doctor", "--privacy")
    assert table.code == 0
    assert "in the clear" not in table.out  # a tombstone has no metadata
    assert "tombstones" in table.out


def test_before_there_is_a_registry_and_without_the_key(world: World) -> None:
    assert told(world)["registry"]["numbers"] == {}
    world.fill(1)
    configure(world, KEPT)
    done = world.run("--output", "json", "doctor", "--privacy")
    assert done.code == 2
    assert "JANITOR_HASH_KEY" in done.err
    assert "keyed hash" in done.out
