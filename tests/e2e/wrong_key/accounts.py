"""Accounts that know all, half or none of what is registered, and the registry's rows as bytes."""

from __future__ import annotations

import json
import re
import sqlite3
from datetime import timedelta

from world import NOW, World

from janitor.emulator import Fault, How

DELETED = """\
  - name: old
    match: {project: main}
    delete: {after: 30d}
"""
DECIDED = ("claim_", "policy", "due_at", "review_at")
OLD = (NOW - timedelta(days=90)).isoformat()


def register(world: World, ids: list[str], kind: str = "conversation") -> None:
    """Import what an application would report of these threads, last active 90 days ago."""
    said = {"kind": kind, "created_at": OLD, "last_active_at": OLD, "metadata": {}}
    file = world.directory / "registered.jsonl"
    file.write_text("".join(json.dumps({"id": one, **said}) + "\n" for one in ids))
    done = world.run("import", str(file))
    assert done.code == 0, done.err


def nowhere(number: int, prefix: str = "conv_nowhere") -> list[str]:
    """Ids that no server knows."""
    return [f"{prefix}_{n:06d}" for n in range(number)]


def alternating(world: World, number: int) -> tuple[list[str], list[str]]:
    """So many conversations that are there, and as many that are not, in turn by id."""
    here = [f"conv_{2 * n:06d}" for n in range(number)]
    for one in here:
        world.emulator.add_conversation(id=one, created_at=NOW - timedelta(days=90))
    return here, [f"conv_{2 * n + 1:06d}" for n in range(number)]


def rows(world: World) -> list[tuple[object, ...]]:
    """Every row of the threads, but for who worked them last and what policies make of them."""
    with sqlite3.connect(world.registry) as connection:
        cursor = connection.execute("SELECT * FROM thread ORDER BY project, kind, id")
        names = [column[0] for column in cursor.description]
        kept = [n for n, name in enumerate(names) if not name.startswith(DECIDED)]
        return [tuple(row[n] for n in kept) for row in cursor]


def approve(world: World) -> None:
    """Let policies that tighten take effect."""
    waiting = world.run("sweep").err
    digest = re.findall(r"janitor approve (\w+)", waiting)[0]
    done = world.run("approve", digest, "--reason", "r")
    assert done.code == 0, done.err


def at_the_end_of_its_path(status: int, how: How = How.HTML) -> Fault:
    """A gateway that answers every request with a page."""
    return Fault(how, status=status)
