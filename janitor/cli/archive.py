"""`archive`: the copies of threads, and their end."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import timedelta
from itertools import islice
from typing import TYPE_CHECKING, Any

import click

from janitor.cli.context import Settings, emit_lines, emit_long, plain, table
from janitor.cli.options import DURATION, quit_with

if TYPE_CHECKING:
    import threading
    from datetime import datetime

    from janitor.policy.retention import KeptCopy
    from janitor.registry import Pause
    from janitor.sweep import Parts, Report
    from janitor.sweep.prune import Pruner

SHOWN = 30


@click.group("archive")
def archive_command() -> None:
    """The copies that were made of threads before they were removed.

    \b
    Examples:
      janitor archive prune --dry-run
      janitor archive prune
    """


@archive_command.command("prune")
@click.option("--dry-run", is_flag=True, help="List what would be removed. Changes nothing.")
@click.option(
    "--yes",
    type=click.IntRange(1),
    help="Remove this very number of copies, though it is over `limits.max_percent`.",
)
@click.option("--wait", type=DURATION, default="30s", help="Wait so long for another janitor.")
@click.pass_obj
def prune_command(settings: Settings, *, dry_run: bool, yes: int | None, wait: timedelta) -> None:
    """Remove archive copies of deleted threads that are past their `keep_for`.

    Every sweep does the same at its end. A copy stays while its thread lives, while a hold names
    the thread or may name it, and while everything, its project or its policy is paused. In audit
    mode nothing is removed. After an upgrade from a version that removed no copies, the first
    removal is this command.

    \b
    Examples:
      janitor archive prune --dry-run
      janitor archive prune
      janitor archive prune --yes 120
    """
    from janitor.cli.sweeping import run
    from janitor.sweep import prune_archive

    if dry_run:
        _foresee(settings)
        return

    async def work(parts: Parts, stop: threading.Event) -> Report:
        return await prune_archive(parts, stop, yes=yes)

    run(settings, wait, None, work)


def _foresee(settings: Settings) -> None:
    """Look as `prune` would, and list what it would remove."""
    from janitor.cli.compose import open_registry, parts
    from janitor.config import load

    config = load(settings.config_path())

    async def look() -> int:
        async with parts(config, registry, changing=False) as composed:
            return await asyncio.to_thread(_show, settings, composed)

    with open_registry(config, read_only=True) as registry:
        code = asyncio.run(look())
    quit_with(code)


def _show(settings: Settings, parts: Parts) -> int:
    from janitor.sweep.approval import under_approval
    from janitor.sweep.asking import CLOCK
    from janitor.sweep.prune import Pruner

    parts, now = under_approval(parts), parts.clock()
    parts.watch.compare(parts.registry.recall(CLOCK))
    pruner = Pruner(parts)
    found, trouble = pruner.survey(now), parts.watch.trouble
    rows = _rows(pruner, now) if found.error is None else iter(())
    if settings.output == "jsonl":
        emit_lines(rows)
    elif settings.output == "json":
        numbers = found.document() | {"clock_step": trouble}
        head = {"dry_run": True, "mode": parts.policies.mode, "pruned": found.due, **numbers}
        emit_long(head, "copies", rows)
    else:
        _table(rows, found.due, parts.registry.pauses(now))
    for said in (*found.messages(), *filter(None, (trouble,))):
        click.echo(f"janitor: {plain(said)}", err=True)
    return min(found.exit_codes, default=1 if found.failed else 0)


def _rows(pruner: Pruner, now: datetime) -> Iterator[dict[str, Any]]:
    return (_row(copy) for copy in pruner.going(now))


def _row(copy: KeptCopy) -> dict[str, Any]:
    return {
        "id": copy.key.id,
        "kind": copy.key.kind,
        "project": copy.key.project,
        "policy": copy.policy,
        "deleted_at": copy.deleted_at,
        "kept_until": copy.until,
        "objects": list(copy.paths),
    }


def _table(rows: Iterator[dict[str, Any]], due: int, pauses: tuple[Pause, ...]) -> None:
    from janitor.cli.showing import moment, paused

    fields = ("project", "kind", "id", "policy", "deleted_at", "kept_until")
    shown = [[moment(row[name]) for name in fields] for row in islice(rows, SHOWN)]
    paused(pauses)
    if not shown:
        click.echo("No copy would be removed.")
        return
    table("Archive copies that would be removed", fields, shown)
    if next(rows, None) is not None:
        click.echo("… and more; --output jsonl lists all")
    click.echo(f"{due} copies. Nothing was changed. Next: janitor archive prune")
