"""`archive prune`, and what plans and sweeps say of copies that are past their keep_for."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest
from alembic import command
from world import NOW, World

from janitor.registry import Registry
from janitor.registry.migrate import migrations

METRIC = 'janitor_archive_pruned_total{project="main"}'


def objects(world: World) -> list[Path]:
    return sorted(world.archive.rglob("*.zst"))


def aged(world: World, number: int, *, revision: str | None = None) -> list[str]:
    """Threads that were copied and deleted 380 days ago, when copies were to be kept for a year.

    The registry is as an older program left it where a revision is named.
    """
    ids = world.fill(number)
    assert world.run("sweep").code == 0
    assert len(objects(world)) == number
    if revision is not None:
        url = f"sqlite:///{world.registry}"
        with Registry.open(url, untrusted=None) as registry, registry.store.writing() as connection:
            command.downgrade(migrations(connection), revision)
    at = NOW - timedelta(days=380)
    with closing(sqlite3.connect(world.registry)) as database, database:
        database.execute(
            "UPDATE thread SET deleted_at = ?, archive_keep_until = ?",
            [f"{at:%Y-%m-%d %H:%M:%S}", f"{at + timedelta(days=365):%Y-%m-%d %H:%M:%S}"],
        )
    return ids


def test_what_is_foretold_is_done_and_counted(world: World, tmp_path: Path) -> None:
    ids = aged(world, 3)
    before = world.registry.read_bytes()
    foreseen = world.run("--output", "json", "archive", "prune", "--dry-run").document
    assert (foreseen["pruned"], foreseen["dry_run"]) == (3, True)
    assert {one["id"] for one in foreseen["copies"]} == set(ids)
    listed = world.run("--output", "jsonl", "archive", "prune", "--dry-run").lines
    assert [one["objects"] for one in listed] == [one["objects"] for one in foreseen["copies"]]
    table = world.run("archive", "prune", "--dry-run").out
    assert "3 copies. Nothing was changed. Next: janitor archive prune" in table
    assert world.run("--output", "json", "plan").document["pruned"] == 3
    assert "3 would be removed" in world.run("plan").out
    assert (world.registry.read_bytes(), len(objects(world))) == (before, 3)
    textfile = tmp_path / "janitor.prom"
    done = world.run("--output", "json", "sweep", "--metrics-textfile", str(textfile))
    assert (done.code, done.document["pruned"], objects(world)) == (0, 3, [])
    assert f"{METRIC} 3.0" in textfile.read_text(encoding="utf-8")
    again = world.run("archive", "prune")
    assert (again.code, world.run("archive", "prune", "--dry-run").out) == (
        0,
        "No copies would be removed.\n",
    )
    assert "pruned" in world.run("explain", ids[0]).out


def test_a_command_of_its_own_removes_them_and_the_sum_goes_on(
    world: World, tmp_path: Path
) -> None:
    aged(world, 2)
    done = world.run("--output", "json", "archive", "prune")
    assert (done.code, done.document["pruned"]) == (0, 2)
    assert (done.document["command"], objects(world)) == ("archive prune", [])
    textfile = tmp_path / "janitor.prom"
    assert world.run("sweep", "--metrics-textfile", str(textfile)).code == 0
    assert f"{METRIC} 2.0" in textfile.read_text(encoding="utf-8")
    run = done.document["run"]
    assert world.run("runs", run).code == 0


@pytest.mark.parametrize("first", ["sweep", "plan"])
def test_a_registry_of_a_version_that_removed_none_waits_for_a_person(
    world: World, first: str
) -> None:
    aged(world, 2, revision="0003")
    assert world.run("db", "upgrade").code == 0
    told = world.run("--output", "json", first)
    assert (told.code, told.document["pruned"], len(objects(world))) == (0, 0, 2)
    assert told.document["archive_copies"]["waiting"] == 2
    said = world.run(first)
    words = said.out + said.err
    assert "2 archive copies are past their keep_for" in words
    assert "`janitor archive prune --dry-run`" in words
    assert len(objects(world)) == 2
    done = world.run("--output", "json", "archive", "prune")
    assert (done.code, done.document["pruned"], objects(world)) == (0, 2, [])
    assert world.run("sweep").err == ""


def test_over_the_limit_the_message_names_the_way_out(world: World) -> None:
    aged(world, 25)
    text = world.config.read_text(encoding="utf-8")
    world.config.write_text(text.replace("max_percent: 100", "max_percent: 10"), encoding="utf-8")
    for words in (["sweep"], ["archive", "prune"], ["archive", "prune", "--yes", "24"]):
        done = world.run(*words)
        assert (done.code, len(objects(world))) == (4, 25), done.err
        assert "`janitor archive prune --yes 25`" in done.err
    foreseen = world.run("archive", "prune", "--dry-run")
    assert (foreseen.code, "--yes 25" in foreseen.err) == (4, True)
    done = world.run("archive", "prune", "--yes", "25")
    assert (done.code, objects(world)) == (0, [])


def test_audit_refuses_the_command_and_shows_what_it_would_do(world: World) -> None:
    aged(world, 1)
    world.configure(mode="audit")
    done = world.run("archive", "prune")
    assert (done.code, len(objects(world))) == (2, 1)
    assert "mode is audit" in done.err
    assert world.run("sweep").code == 0
    assert world.run("archive", "prune", "--dry-run").code == 0
    assert len(objects(world)) == 1
