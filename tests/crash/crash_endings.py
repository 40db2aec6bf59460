"""How a run has ended, with all that a death on the way must not change, and nothing that it may.

It may change when something was done and how often janitor only looked: times are compared as
there or not, runs by whether they are closed, events by the outcomes that are counted. A copy made
anew says when in its header, so its seal differs; the content's digest does not. A removal that was
taken back and made again adds a `withdrawn` to the history, which counts as nothing. Who looks
twice at what must be kept says so twice.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import orjson
from crash_stage import Stage

from janitor.archive.archive import inspect
from janitor.archive.local import Disk
from janitor.registry import Registry

Ending = dict[str, Any]

WHEN = ("_at", "_until", "_since")
PRESENT = frozenset({"copy_sealed", "copy_size", "claim_run", "deleted_run"})
COUNTED = (
    "SELECT policy, stage, outcome, n FROM total WHERE outcome <> 'kept' "
    "ORDER BY policy, stage, outcome"
)
POPULATION = "SELECT kind, state, policy, n FROM count WHERE n <> 0 ORDER BY kind, state, policy"
META = "SELECT key, value FROM meta WHERE key IN ('policies_digest', 'redecide_cursor')"
OUTCOMES = (
    "SELECT name, stage, outcome, count(*) AS n FROM event WHERE outcome IS NOT NULL "
    "AND outcome <> 'kept' OR name IN ('pruned', 'archive_gone') "
    "GROUP BY name, stage, outcome ORDER BY name, stage, outcome"
)


def ending(stage: Stage) -> Ending:
    """What a finished run has left behind."""
    rows = stage.database.execute
    threads = rows(stage.directory, "SELECT * FROM thread ORDER BY id, project")
    thread = next(one for one in threads if one["id"] == stage.key.id)
    objects = dict(_objects(stage.directory / "archive"))
    assert thread["copy_path"] is None or objects[thread["copy_path"]] == thread["copy_sealed"]
    return {
        "threads": [
            {name: _comparable(name, value) for name, value in one.items()} for one in threads
        ],
        "counts": rows(stage.directory, POPULATION),
        "totals": rows(stage.directory, COUNTED),
        "outcomes": rows(stage.directory, OUTCOMES),
        "labels": sorted(row["key"] for row in rows(stage.directory, "SELECT key FROM label")),
        "meta": rows(stage.directory, META),
        "objects": sorted(objects),
        "upstream": _upstream(stage),
        "deletes": Counter(stage.emulator.deletes),
    }


def left_open(stage: Stage) -> Ending:
    """The runs, claims, intents, notices and temporaries that are unfinished business; none."""
    open_ = {
        "runs": "SELECT id FROM run WHERE closed_at IS NULL",
        "claims": "SELECT id FROM thread WHERE claim_owner IS NOT NULL",
        "intents": "SELECT id FROM thread "
        "WHERE intent_run IS NOT NULL OR prune_run IS NOT NULL OR state = 'deleting'",
        "failures": "SELECT id, last_error FROM thread WHERE attempts > 0",
        "notices": "SELECT seq FROM janitor_inbox WHERE drained_at IS NULL OR refused IS NOT NULL",
    }
    left = {what: stage.database.execute(stage.directory, asked) for what, asked in open_.items()}
    incoming = stage.directory / "archive" / ".incoming"
    left["temporaries"] = [{"name": path.name} for path in incoming.glob("*")]
    return {what: rows for what, rows in left.items() if rows}


def assert_audit_is_whole(stage: Stage) -> None:
    """Every run's digest fits what the registry holds of it, and the run before."""
    with Registry.open(stage.database.url(stage.directory), read_only=True) as registry:
        assert registry.runs.first_broken() is None


def _objects(root: Path) -> Iterator[tuple[str, str]]:
    """Each object's path and seal; every one is read from end to end and proven against itself."""
    if not root.is_dir():
        return
    disk = Disk(root, writable=False)
    for path in sorted(root.rglob("*.zst")):
        name = path.relative_to(root).as_posix()
        inspect(disk, name)
        yield name, hashlib.sha256(path.read_bytes()).hexdigest()


def _upstream(stage: Stage) -> Ending:
    """What the server holds, without the moment that a mark tells."""
    world = stage.emulator._world
    containers = {
        one: (sorted(found.metadata), sorted(found.items))
        for one, found in world.containers.items()
    }
    return {"containers": containers, "orphans": sorted(world.orphans)}


def _comparable(name: str, value: Any) -> object:  # noqa: ANN401 - whatever a column holds
    if name.endswith(WHEN) or name in PRESENT or isinstance(value, datetime):
        return value is not None
    if name == "upstream" and value is not None:
        return sorted(orjson.loads(value) if isinstance(value, str) else value)
    return value
