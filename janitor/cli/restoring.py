"""`restore`: undoing a soft delete."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING

import click

from janitor.cli.context import Settings, emit
from janitor.cli.options import DURATION

if TYPE_CHECKING:
    from janitor.config import Config
    from janitor.registry import Registry, RunRecord


@click.command("restore")
@click.argument("ids", nargs=-1, required=True, metavar="ID...")
@click.option("--keep", type=DURATION, default="30d", help="Remove nothing of it for so long.")
@click.option("--wait", type=DURATION, default="30s", help="Wait so long for another janitor.")
@click.pass_obj
def restore_command(
    settings: Settings, *, ids: tuple[str, ...], keep: timedelta, wait: timedelta
) -> None:
    """Undo a soft delete; the thread is active again and kept for a while.

    \b
    Examples:
      janitor list --state soft_deleted
      janitor restore conv_123 --keep 90d
    """
    from janitor.cli.compose import open_registry
    from janitor.cli.turn import turn
    from janitor.config import load

    config = load(settings.config_path())
    with open_registry(config) as registry, turn(registry, wait):
        run = asyncio.run(_restore(config, registry, ids, keep))
    if settings.wants_table:
        click.echo(f"{len(ids)} restored; nothing of them is removed for {keep}. Run {run.id}.")
    else:
        emit(settings, {"run": run.id, "restored": list(ids)})


async def _restore(
    config: Config, registry: Registry, ids: tuple[str, ...], keep: timedelta
) -> RunRecord:
    from janitor.cli.compose import parts
    from janitor.restore import chosen, restore

    async with parts(config, registry, changing=True) as composed:
        return await restore(composed, chosen(composed, ids), keep)
