"""`registry: {keys, hash}` through the whole program: rules work on what nobody can read."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from world import KEY, KEY_VARIABLE, NOW, World

from janitor.app.open_registry import open_registry
from janitor.app.service_loop import ServiceLoop
from janitor.config import load
from janitor.errors import ConfigError
from janitor.metrics import Metrics

RAW = ("alice@example.com", "bob@example.com")
ALICE, BOB = RAW
KEPT = ", keys: [plan, user_id], hash: [user_id], hash_key: {env: JANITOR_HASH_KEY}"
POLICIES = """\
  - name: everything-else
    default: true
    delete: {after: 30d}
  - name: alice
    match: {metadata: {user_id: alice@example.com}}
    keep: forever
"""
ONE_EACH = """\
  - name: one-each
    default: true
    delete: {after: 30d}
    keep_last: {count: 1, per: metadata.user_id}
"""


@pytest.fixture(autouse=True)
def hash_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JANITOR_HASH_KEY", "k" * 32)


def configure(world: World, policies: str = POLICIES, kept: str = KEPT) -> None:
    world.configure(policies)
    text = world.config.read_text(encoding="utf-8")
    text = text.replace('janitor.db"}', f'janitor.db"{kept}}}')
    world.config.write_text(text, encoding="utf-8")


def readable(world: World) -> list[str]:
    files = [path for path in world.directory.iterdir() if path.name.startswith("janitor.db")]
    assert files
    return [one for one in RAW for file in files if one.encode() in file.read_bytes()]


def test_rules_by_value_hold_on_what_is_hashed(world: World) -> None:
    configure(world)
    (reported,) = world.fill(1, user_id=ALICE, secret=BOB)
    # Nobody reported this one's metadata: only the server says whose it is.
    (upstream,) = world.fill(1, user_id=BOB)
    held = world.conversation(user_id=BOB)
    world.register(held, user_id=BOB, plan="x")
    done = world.run("hold", "add", "h", "--reason", "law", "--no-copy", "--metadata", "plan=x")
    assert done.code == 0, done.err
    assert world.run("sweep").code == 0
    assert world.states() == {reported: "active", upstream: "deleted", held: "active"}
    assert readable(world) == []


def test_what_a_probe_says_is_judged_as_it_is_stored(world: World) -> None:
    configure(world)
    kept = world.conversation(user_id=ALICE)
    file = world.directory / "ids.csv"
    at = NOW - timedelta(days=45)
    file.write_text(f"id,created_at,last_active_at\n{kept},{at},{at}\n")
    assert world.run("import", str(file)).code == 0
    assert world.run("sweep").code == 0
    assert world.emulator.exists(kept)
    (told,) = world.run("--output", "json", "explain", kept).document["threads"]
    assert (told["policy"], told["history"]) == ("alice", [])  # it was never to be removed
    listed = world.run("--output", "jsonl", "list", "--metadata", f"user_id={ALICE}").lines
    assert [one["id"] for one in listed] == [kept]
    assert ALICE not in world.run("--output", "jsonl", "list").out
    assert readable(world) == []


def test_a_hold_by_value_and_groups_by_value(world: World) -> None:
    configure(world, ONE_EACH)
    ids = [world.fill(1, age, user_id=who)[0] for who in RAW for age in (45, 50)]
    arguments = ("--reason", "law", "--no-copy", "--metadata", f"user_id={BOB}")
    done = world.run("--output", "json", "hold", "add", "h", *arguments)
    assert done.document["matched"] == 2
    assert world.run("sweep").code == 0
    assert [world.states()[one] for one in ids] == ["active", "deleted", "active", "active"]
    assert readable(world) == []


def test_who_only_looks_waits_for_the_registry_to_be_brought_over(world: World) -> None:
    configure(world, kept="")
    world.fill(1, user_id=ALICE)
    configure(world)
    plan = world.run("plan")
    assert (plan.code, "janitor db upgrade" in plan.err) == (2, True)
    assert readable(world) == [ALICE]
    assert world.run("db", "upgrade").code == 0
    assert world.run("--output", "json", "plan").document["decisions"] == []
    assert readable(world) == []
    assert world.run("db", "upgrade").code == 0  # there is nothing left to do


def test_a_service_takes_no_other_screen_on_while_it_runs(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    configure(world)
    monkeypatch.setenv(KEY_VARIABLE, KEY)
    config = load(world.config, environment=False)
    with open_registry(config, create=True) as registry:
        live = ServiceLoop(world.config, config, registry, Metrics())
        monkeypatch.setenv("JANITOR_HASH_KEY", "l" * 32)
        live.reload()
        ready = live.ready()
        assert ready is not None
        assert "cannot change while running" in ready


def test_a_key_that_could_be_guessed_is_refused(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    configure(world)
    monkeypatch.setenv("JANITOR_HASH_KEY", "short")
    with pytest.raises(ConfigError, match="could be guessed"):
        load(world.config, environment=False)
    assert not Path(world.registry).exists()
