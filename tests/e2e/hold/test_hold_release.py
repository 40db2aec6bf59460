"""The end of a hold, and of what an edit took away: kept for the grace, told by `explain`."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from datetime import timedelta
from typing import Any

from world import NOW, World

UNARCHIVED = "  - {name: old, match: {metadata: {plan: trial}}, delete: {after: 30d}}\n"
PINNED = """\
  - name: old
    match: {metadata: {plan: trial}}
    except: {metadata: {pinned: "yes"}}
    delete: {after: 30d}
"""


def explained(world: World, id: str) -> Any:  # noqa: ANN401 - a document
    return world.run("--output", "json", "explain", id).document["threads"][0]


def turn_back(world: World, table: str, column: str, to_days_ago: float) -> None:
    """As if what a column dates had been so many days ago."""
    at = (NOW - timedelta(days=to_days_ago)).strftime("%Y-%m-%d %H:%M:%S.%f")
    with closing(sqlite3.connect(world.registry)) as connection, connection:
        changed = connection.execute(f"UPDATE {table} SET {column} = ?", (at,))  # noqa: S608
        assert changed.rowcount


def test_a_release_keeps_for_the_grace_and_then_it_goes(world: World) -> None:
    world.configure(UNARCHIVED)
    (held,) = world.fill(1)
    hold = ("hold", "add", "case", "--reason", "law", "--metadata", "plan=trial", "--no-copy")
    assert world.process(*hold).code == 0
    assert world.process("sweep").code == 0
    said = explained(world, held)
    assert [(one["hold"], one["keeps_until"]) for one in said["holds"]] == [("case", "never")]
    assert world.process("hold", "release", "case", "--reason", "settled").code == 0
    turn_back(world, "hold", "released_at", 6.9)
    assert world.process("sweep").code == 0
    assert world.emulator.exists(held)
    said = explained(world, held)
    assert [(one["reason"], one["by"]) for one in said["kept_by"]] == [("hold", "case")]
    assert said["holds"][0]["released_at"] is not None
    turn_back(world, "hold", "released_at", 7.1)
    assert world.process("sweep").code == 0
    assert not world.emulator.exists(held)
    (row,) = world.run("--output", "jsonl", "hold", "list").lines
    assert (row["state"], row["release_reason"]) == ("over", "settled")


def test_an_import_that_takes_away_an_exception_leaves_the_grace(world: World) -> None:
    world.configure(PINNED)
    pinned = world.conversation(plan="trial")
    world.register(pinned, plan="trial", pinned="yes")
    assert world.process("sweep").code == 0
    world.register(pinned, plan="trial")
    planned = world.run("--output", "json", "plan", "--offline").document
    assert (planned["decisions"], planned["kept"]) == ([], {"released": 1})
    assert world.process("sweep").code == 0
    assert world.emulator.exists(pinned)
    (kept,) = explained(world, pinned)["kept_by"]
    assert (kept["reason"], kept["by"]) == ("released", "except:old")
    turn_back(world, "thread", "spared_until", 0.1)
    turn_back(world, "thread", "review_at", 0.1)
    assert world.process("sweep").code == 0
    assert not world.emulator.exists(pinned)
