"""`db`: what is done with the registry's database as a whole."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import click

from janitor.cli.context import Settings, emit, plain
from janitor.cli.options import DURATION

if TYPE_CHECKING:
    from janitor.registry import Upgrade


@click.group("db")
def db_command() -> None:
    """The registry's database as a whole.

    \b
    Example:
      janitor db upgrade
    """


@db_command.command("upgrade")
@click.option("--wait", type=DURATION, default="30s", help="Wait so long for another janitor.")
@click.pass_obj
def upgrade_command(settings: Settings, *, wait: timedelta) -> None:
    """Bring the registry to the schema of this program, while no run goes on.

    Then bring over what is stored of metadata where `registry: {keys, hash}` has changed. Whatever
    writes the registry does both at its start, too; this is for whoever only reads it, or wants to
    see it done. A backup before it is the only way back.

    \b
    Examples:
      janitor db upgrade
      janitor db upgrade --wait 10m
    """
    from janitor.cli.compose import open_registry
    from janitor.config import load, load_registry
    from janitor.registry import upgrade

    where = load_registry(settings.config_path())
    done = upgrade(where.url, password=where.password.reveal() or None, wait=wait)
    open_registry(load(settings.config_path(), environment=False)).close()
    if settings.wants_table:
        click.echo(plain(_sentence(done)))
    else:
        emit(settings, {"registry": done.name, "from": done.found, "to": done.now})


def _sentence(done: Upgrade) -> str:
    if done.found == done.now:
        return f"{done.name} is at schema {done.now} already; there is nothing to do"
    before = "empty" if done.found is None else f"at schema {done.found}"
    return f"{done.name} was {before} and is at schema {done.now} now"
