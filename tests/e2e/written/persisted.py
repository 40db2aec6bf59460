"""Every name that outlives this program, or that somebody else's program reads, from the program.

`PYTHONPATH=tests:tests/e2e python -m written.persisted > tests/fixtures/persisted.txt` writes them.
"""

from __future__ import annotations

import ast
import json
import re
import sqlite3
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Any

import click

import janitor
from janitor import errors, model
from janitor.archive import archive
from janitor.archive.local import STAGING
from janitor.cli import COMMANDS, cli
from janitor.cli.options import RepeatedOption
from janitor.config.json_schema import file_schema
from janitor.metrics import Metrics
from janitor.model import NoticeEvent
from janitor.policy import rules
from janitor.registry.inbox import LONGEST
from janitor.registry.records import RunResult
from janitor.registry.tables import TABLES
from janitor.service.endpoints import TokenScope
from janitor.tracking.notices import Notice
from janitor.tracking.spool import ENDING
from written.writings import EARLY, TODAY, Written, fill_sqlite, move_archive, rows_of, said
from written.writings import world_of as a_world

PACKAGE = Path(janitor.__file__).parent
WORDS: Mapping[str, type[StrEnum]] = {
    "kind": model.Kind,
    "state": model.State,
    "stage": model.Stage,
    "outcome": model.Outcome,
    "mode": model.Mode,
    "reason": model.Reason,
    "not_found": model.NotFound,
    "age_from": rules.AgeFrom,
    "mark": rules.DeletionMark,
    "items": rules.Items,
    "run result": RunResult,
    "token scope": TokenScope,
    "inbox event": NoticeEvent,
}
SPOKEN = {
    "event": """archive_gone archived busy deleted failed kept missing missing_accepted pruned
        recovered restored revived soft_deleted tagged torn withdrawn""",
    "reason": """allowed archive_down audit backoff clock drift found limit not_due other_policy
        paused resting uncounted unfinished""",
    "limit": "backoff clock_step gone max_errors max_percent max_threads",
    "mark upstream": "janitor_created_at janitor_keep_until janitor_soft_deleted_at",
    "meta": """access_ archive_url clock counters cursor_ id last_closed_run missing_ of_ pauses
        place_ plan_key policies_digest proposal prune_judged_at prune_waits redecide_cursor round_
        screen silent_rules sources untrusted""",
    "http": "/api/openapi.json /api/pause /api/resume /api/threads /healthz /metrics /readyz",
    "systemd": "READY=1 STOPPING=1 WATCHDOG=1",
}
"""Words that stand as texts in the source, not in an enum: one that is gone there is missed here.

A new one is added by hand."""

OPEN = frozenset(
    [
        "metadata",
        "kept",
        "threads",
        "sources_down",
        "counts",
        "reported",
        "upstream",
        "reported_before",
        "labels",
        "states",
        "outcomes",
        "expire",
        "probes",
        "rates",
        "of_sources",
        "of_clock",
    ]
)
"""Maps whose keys are names of an operator's, or words of a section above."""


def text() -> str:
    """The whole file."""
    parts = ("\n".join([f"# {title}", *lines]) for title, lines in sections())
    return "\n\n".join(parts) + "\n"


def sections() -> Iterator[tuple[str, list[str]]]:
    """What is persisted, by sort."""
    yield "table.column", sorted(_columns())
    yield "index", sorted(one.name or "" for table in TABLES.values() for one in table.indexes)
    for name, enum in WORDS.items():
        yield f"word: {name}", sorted(enum)
    literals = _literals()
    for name, spoken in SPOKEN.items():
        yield f"text: {name}", sorted(set(spoken.split()) & literals)
    yield "exit code", sorted(map(str, _exit_codes()), key=int)
    yield "metric", sorted(_metrics())
    yield "configuration key", sorted(_configuration())
    yield "command and option", sorted(_options())
    yield "environment variable", sorted(_variables(literals))
    yield "archive", _archive()
    yield "spool", sorted([f"*{ENDING}", *_notice().document])
    yield "inbox column", sorted(LONGEST)
    yield "inbox event that is read", sorted(map(str, NoticeEvent))
    yield from _lived()


def _columns() -> Iterator[str]:
    for table in TABLES.values():
        yield from (f"{table.name}.{column.name}" for column in table.columns)
    yield "janitor_schema.version_num"


def _literals() -> set[str]:
    trees = (ast.parse(path.read_text(encoding="utf-8")) for path in PACKAGE.rglob("*.py"))
    nodes = (node for tree in trees for node in ast.walk(tree))
    return {
        node.value
        for node in nodes
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }


def _exit_codes() -> set[int]:
    found = (value for value in vars(errors).values() if isinstance(value, type))
    known = {one.exit_code for one in found if issubclass(one, errors.JanitorError)}
    return {0, 130, 143, *known}


def _metrics() -> Iterator[str]:
    metrics = Metrics()
    declared = {one._name: one for one in vars(metrics).values() if hasattr(one, "_labelnames")}
    for family in metrics.families():
        labels = ",".join(declared[family.name]._labelnames)
        yield f"{family.name} {family.type} {{{labels}}}"


def _configuration() -> set[str]:
    schema = file_schema()
    found: set[str] = set()

    def walk(node: Any, path: str) -> None:  # noqa: ANN401 - JSON
        if isinstance(node, list):
            for one in node:
                walk(one, path)
        if not isinstance(node, dict):
            return
        if "$ref" in node:
            walk(schema["$defs"][node["$ref"].rpartition("/")[2]], path)
        for name, one in node.get("properties", {}).items():
            found.add(f"{path}{name}")
            walk(one, f"{path}{name}.")
        for choice in node.get("enum", []):
            found.add(f"{path.rstrip('.')} = {choice}")
        for key in ("anyOf", "allOf", "oneOf", "items"):
            walk(node.get(key), path)
        walk(node.get("additionalProperties"), f"{path}*.")

    walk(schema, "")
    return found


def _options() -> Iterator[str]:
    yield from _of(cli, "janitor")
    for name in COMMANDS:
        command = cli.get_command(click.Context(cli), name)
        assert command is not None
        yield from _of(command, f"janitor {name}")


def _of(command: click.Command, name: str) -> Iterator[str]:
    yield name
    for one in command.params:
        if isinstance(one, RepeatedOption):
            continue  # every command takes those of `janitor`, too
        choices = f" {'|'.join(one.type.choices)}" if isinstance(one.type, click.Choice) else ""
        yield f"{name} {'/'.join(one.opts)}{choices}"
    if isinstance(command, click.Group) and command is not cli:
        for below, inner in command.commands.items():
            yield from _of(inner, f"{name} {below}")


def _variables(literals: Iterable[str]) -> set[str]:
    """Those that the source names, and click's own of the global options."""
    named = {word for word in literals if re.fullmatch(r"JANITOR_[A-Z_]+[A-Z]", word)}
    of_options = {f"JANITOR_{str(one.name).upper()}" for one in cli.params}
    return named | of_options | {"CREDENTIALS_DIRECTORY", "NOTIFY_SOCKET"} & set(literals)


def _archive() -> list[str]:
    """The lines' keys, of the objects that this program writes, and what they are called."""
    from janitor.archive import object_format

    key = model.Key("main", model.Kind.THREAD, "thread_1")
    now = datetime(2026, 3, 1, tzinfo=UTC)
    parts: list[bytes] = []
    writer = object_format.ObjectWriter(
        parts.append, object_format.Header(key, now, now, frozenset({"seen"}))
    )
    writer.add(
        [
            model.Record("thread_1", b'{"id":"thread_1"}', is_item=False),
            model.Record("i", b"{}", is_item=True),
        ]
    )
    parts.append(writer.close())
    lines = b"".join(object_format._lines(object_format._unpacked(parts))).splitlines()
    found = sorted({path for line in lines for path in _paths(json.loads(line), ())})
    place = archive.object_path(archive.series_directory(key, now), key, "0123456789abcdef")
    return [*found, place, archive.series_directory(key, None), STAGING]


def _notice() -> Notice:
    at = datetime(2026, 3, 1, tzinfo=UTC)
    return Notice("main", model.Kind.THREAD, "thread_1", at, NoticeEvent.TOUCH)


def _paths(value: object, path: tuple[str, ...]) -> Iterator[str]:
    """Each key of a document as a path; `[]` for lists, `*` for keys that are names."""
    if isinstance(value, list):
        for one in value:
            yield from _paths(one, (*path[:-1], f"{path[-1]}[]") if path else ("[]",))
    if isinstance(value, dict):
        is_open = _is_open(path)
        for key, one in value.items():
            below = (*path, "*" if is_open or not re.fullmatch(r"[$a-z_0-9]+", key) else key)
            yield ".".join(below)
            yield from _paths(one, below)


def _is_open(path: tuple[str, ...]) -> bool:
    last = re.split(r"[. ]", path[-1])[-1] if path else ""
    return last in OPEN or path[-2:] == ("limits", "policies")


def _lived() -> Iterator[tuple[str, list[str]]]:
    """What commands print as JSON, and what then stands in the registry's texts."""
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory)
        url = f"sqlite:///{path / 'janitor.db'}"
        fill_sqlite(TODAY, path / "janitor.db")
        with closing(sqlite3.connect(path / "janitor.db")) as connection, connection:
            # Whatever the clock says by now, what failed rests, and is listed as failing.
            connection.execute(
                "UPDATE thread SET review_at = '2126-01-01 00:00:00.000000' WHERE attempts > 0"
            )
        with a_world(path, TODAY, "sqlite", url) as world:
            move_archive(url, world.archive)
            yield from _printed(Written(TODAY, "sqlite", url, world))
        yield "text in the registry", sorted(_texts(url))


def _printed(written: Written) -> Iterator[tuple[str, list[str]]]:
    directory = written.world.directory
    threads = json.loads(said(EARLY, "list.json"))["threads"]
    (directory / "threads.jsonl").write_text(json.dumps({"id": threads[0]["id"]}) + "\n")
    for command in COMMANDS_RUN:
        words = [word.replace("DIR", str(directory)) for word in command.split()]
        if command == "runs RUN":
            words[1] = written.json("runs")["runs"][0]["id"]
        if command == "approve DIGEST --reason r":
            words[1] = written.json("validate")["policies_digest"]
        done = written.world.run("--output", "json", *words)
        try:
            yield f"JSON of {command}", sorted(set(_paths(done.document, ())))
        except ValueError:
            raise AssertionError(f"{command}: {done.code} {done.err}") from None


COMMANDS_RUN = (
    "validate",
    "doctor",
    "doctor --privacy",
    "list",
    "explain conv_held_case",
    "explain conv_failing",
    "runs",
    "runs RUN",
    "hold list",
    "missing list",
    "plan --all",
    "import --dry-run DIR/threads.jsonl",
    "import DIR/threads.jsonl",
    "sync",
    "tag --dry-run",
    "sweep",
    "hold add matter-9 --reason r --id conv_young",
    "hold copy matter-9",
    "hold release matter-9 --reason r",
    "restore conv_marked",
    "missing accept --reason r",
    "archive show conv_young",
    "archive verify",
    "archive prune --dry-run",
    "pause --reason r",
    "resume",
    "approve DIGEST --reason r",
    "db upgrade",
    "init DIR/new.yaml",
)


def _texts(url: str) -> set[str]:
    """The keys of `meta`, and those within JSON that a column holds."""
    found: set[str] = set()
    for table, rows in rows_of(url).items():
        for row in rows:
            for column, value in row.items():
                name = f"{table}.{column}"
                if table == "meta":
                    name = f"meta {_general(row['key'])}"
                    found.add(name)
                found.update(_within(name, value))
    return found


def _general(key: str) -> str:
    """A key of `meta` without names of an operator's."""
    return re.sub(
        r"\b(main|elsewhere|chats)\b|(?<=_)(main|chats)\b|(?<=[a-z]_)[0-9a-f]{8,}", "*", key
    )


def _within(name: str, value: object) -> set[str]:
    try:
        document = json.loads(value) if isinstance(value, str) and value[:1] in "{[" else None
    except ValueError:
        return set()
    return set(_paths(document, (name,)))


if __name__ == "__main__":
    sys.stdout.write(text())
