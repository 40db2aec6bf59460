"""A source that fails keeps what it feeds, and nothing else; it is told until it is read again."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest
from world import NOW, World

SOURCE = """\
sources:
  chats:
    sql:
      url: "sqlite:///app.db"
      query: "SELECT id, created_at, created_at AS last_active_at, plan AS \\"metadata.plan\\",
        updated_at FROM chats WHERE updated_at > :watermark"
      watermark: updated_at
"""
OLD = str(NOW - timedelta(days=45))


@pytest.fixture
def fed(world: World) -> str:
    """A conversation that is due, and that only the application's table names."""
    name = world.conversation()
    with closing(sqlite3.connect(world.directory / "app.db")) as connection, connection:
        connection.execute("CREATE TABLE chats (id TEXT, created_at, plan, updated_at)")
        connection.execute("INSERT INTO chats VALUES (?, ?, 'trial', ?)", (name, OLD, OLD))
    with world.config.open("a", encoding="utf-8") as file:
        file.write(SOURCE)
    return name


def lose(world: World) -> Path:
    """Take the application's database away."""
    return (world.directory / "app.db").rename(world.directory / "app.lost")


def test_a_sweep_reads_its_sources_first(world: World, fed: str) -> None:
    done = world.run("sweep")
    assert done.code == 0, done.err
    assert world.states() == {fed: "deleted"}


def test_a_dead_source_keeps_its_threads_and_no_others(world: World, fed: str) -> None:
    other, soft = world.fill(1)[0], world.fill(1, age=20, plan="marked")[0]
    assert world.run("sync").code == 0
    lost = lose(world)
    done = world.run("--output", "json", "sweep")
    assert done.code == 1
    assert "source chats: " in done.err
    assert "janitor sync --source chats" in done.err
    assert done.document["kept"]["source_down"] == 1
    assert done.document["sources_down"] == ["chats"]
    assert world.states() == {fed: "archived", other: "deleted", soft: "soft_deleted"}
    told = world.run("--output", "json", "explain", fed).document["threads"][0]
    assert told["decision"]["reason"] == "source_down"
    assert [line["reason"] for line in told["history"] if line["name"] == "kept"] == ["source_down"]
    lost.rename(world.directory / "app.db")
    assert world.run("sweep").code == 0
    assert world.states()[fed] == "deleted"


def test_a_copy_is_still_made(world: World, fed: str) -> None:
    assert world.run("sync").code == 0
    lose(world)
    for _ in range(2):
        assert world.run("--output", "json", "sweep").document["kept"] == {"source_down": 1}
    assert world.states() == {fed: "archived"}
    assert len(list(world.archive.rglob("*.zst"))) == 1


def test_a_plan_says_so_and_reads_nothing(world: World, fed: str) -> None:
    assert world.run("import", "--id", "conv_x").code == 0
    done = world.run("plan")
    assert "source chats: was never read to its end" in done.out
    assert world.run("sync").code == 0
    lose(world)
    assert world.run("--output", "json", "plan").document["sources_down"] == {}
    assert world.run("sync").code == 3
    document = world.run("--output", "json", "plan").document
    assert list(document["sources_down"]) == ["chats"]
    (planned,) = document["decisions"]
    assert (planned["stages"], planned["reason"]) == (["archive"], "source_down")


def test_apply_leaves_what_a_dead_source_feeds(world: World, fed: str) -> None:
    assert world.run("sync").code == 0
    plan = world.directory / "plan.json"
    assert world.run("plan", "-o", str(plan)).code == 0
    lose(world)
    done = world.run("--output", "json", "apply", str(plan))
    assert done.code == 1
    assert "janitor sync --source chats" in done.err
    assert "deleted" not in world.states().values()


def test_a_source_that_is_no_longer_configured_keeps_nothing(world: World, fed: str) -> None:
    assert world.run("sync").code == 0
    world.configure()
    lose(world)
    assert world.run("sweep").code == 0
    assert world.states() == {fed: "deleted"}


def test_metrics_tell_when_each_source_was_read(world: World, fed: str) -> None:
    file = world.directory / "metrics.prom"
    assert world.run("sweep", "--metrics-textfile", str(file)).code == 0
    text = file.read_text(encoding="utf-8")
    assert 'janitor_source_rows_total{result="added",source="chats"} 1.0' in text
    assert 'janitor_source_last_success_timestamp_seconds{source="chats"} ' in text
