"""`db upgrade`: from which schema to which, as a person and a machine read it."""

from __future__ import annotations

from datetime import timedelta

from alembic import command
from world import World

from janitor.registry import Registry
from janitor.registry.migrate import REVISION, migrations


def test_the_way_that_a_reader_is_told_leads_on(world: World) -> None:
    world.fill(1)
    url = f"sqlite:///{world.registry}"
    with Registry.open(url, untrusted=None) as registry, registry.store.writing() as connection:
        command.downgrade(migrations(connection), "0001")
    told = world.run("list")
    assert told.code == 2
    assert "run `janitor db upgrade`" in told.err
    done = world.run("db", "upgrade")
    assert (done.code, done.out) == (
        0,
        f"{world.registry} was at schema 0001 and is now at schema {REVISION}\n",
    )
    assert world.run("list").code == 0
    again = world.run("db", "upgrade")
    assert again.out == f"{world.registry} is already at schema {REVISION}; nothing to do\n"
    document = world.run("--output", "json", "db", "upgrade").document
    assert document == {
        "schema": 1,
        "registry": str(world.registry),
        "from": REVISION,
        "to": REVISION,
    }


def test_while_another_janitor_runs_it_is_exit_5(world: World) -> None:
    world.fill(1)
    url = f"sqlite:///{world.registry}"
    with Registry.open(url, untrusted=None) as registry, registry.lock(timedelta(0)):
        done = world.run("db", "upgrade", "--wait", "1s")
    assert done.code == 5
