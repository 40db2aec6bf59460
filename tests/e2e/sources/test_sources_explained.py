"""What vanished is told by `explain`, and its removal goes by the name of a policy."""

from __future__ import annotations

from datetime import timedelta

import pytest
from world import NOW, World

from janitor.model import Key, Kind
from janitor.policy import VANISHED
from janitor.registry import Registration, Registry

POLICIES = """\
  - {name: year, match: {kind: conversation}, delete: {after: 365d}}
sources:
  chats:
    sql: {url: "sqlite:///app.db", query: "SELECT id FROM chats", watermark: null}
    on_vanish: {expire_after: 30d}
"""
FOUND_AT = NOW - timedelta(days=9)


@pytest.fixture
def chat(world: World) -> str:
    """A chat that vanished from its table nine days ago."""
    world.configure(POLICIES)
    made = world.conversation()
    key, at = Key("main", Kind.CONVERSATION, made), NOW - timedelta(days=45)
    with Registry.open(f"sqlite:///{world.registry}") as registry:
        said = Registration(key, at, at, metadata={}, source="chats")
        registry.registrations.add([said], at)
        assert registry.scans.vanish("source:chats", "chats", FOUND_AT, FOUND_AT) == 1
    return made


def test_explain_tells_where_it_vanished_and_when_it_goes(world: World, chat: str) -> None:
    (told,) = world.run("--output", "json", "explain", chat).document["threads"]
    due_at = (FOUND_AT + timedelta(days=30)).isoformat()
    assert (told["source"], told["vanished_at"]) == ("chats", FOUND_AT.isoformat())
    assert (told["decision"]["policy"], told["decision"]["due_at"]) == (VANISHED, due_at)
    assert told["decision"]["reason"] == "not_due"
    times = {row["policy"]: row["delete"] for row in told["policies"]}
    assert times[VANISHED] == due_at
    assert times["year"] > due_at
    assert VANISHED in world.run("explain", chat).out


def test_its_removal_is_paused_by_name(world: World, chat: str) -> None:
    done = world.run("pause", "--policy", VANISHED, "--reason", "was that table emptied?")
    assert done.code == 0, done.err
    assert f"policy:{VANISHED}" in world.run("--output", "json", "plan").out
    assert world.run("resume", "--policy", VANISHED).code == 0
    refused = world.run("sweep", "--policy", "sources")
    assert refused.code == 2
    assert f"known: year, lifetime.max, {VANISHED}" in refused.err
    assert world.emulator.exists(chat)
