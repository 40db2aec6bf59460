"""`hold`: legal holds, in force at once for every janitor, and the copies of what they name."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, TypeVar

import click

from janitor.cli.context import Settings, emit, plain, table
from janitor.cli.options import DURATION, MOMENT, person
from janitor.errors import ConfigError

if TYPE_CHECKING:
    from janitor.config import Config
    from janitor.model import Hold
    from janitor.registry import HoldRecord, Registry

Command = TypeVar("Command", bound=Callable[..., None])
WAIT = click.option("--wait", type=DURATION, default="30s", help="Wait so long for a sweep.")


def _answered_for(command: Command) -> Command:
    """Adds the options that say why, and on whose word."""
    for option in (
        click.option("--actor", help="Who asks for it. Default: the user of the system."),
        click.option("--reason", required=True, help="Why; it stays on record."),
    ):
        command = option(command)
    return command


@click.group("hold")
def hold_command() -> None:
    """Keep threads for a person or the law, whatever any policy says.

    A hold counts from the moment it is set, for every janitor, in the midst of a sweep, and under
    audit too. What it names is copied into the archive at once.

    \b
    Examples:
      janitor hold add matter-42 --reason "letter of 3 May" --metadata user_id=u1
      janitor hold list
      janitor hold release matter-42 --reason settled
    """


@hold_command.command("add")
@click.argument("name")
@_answered_for
@click.option("--id", "ids", multiple=True, help="A thread to hold; may be given again.")
@click.option("--metadata", multiple=True, metavar="K=V", help="Hold what carries all of these.")
@click.option("--until", type=MOMENT, help="End by itself at this time.")
@click.option("--no-copy", is_flag=True, help="Only hold; copy nothing now.")
@WAIT
@click.pass_obj
def add_command(
    settings: Settings,
    *,
    name: str,
    reason: str,
    actor: str | None,
    ids: tuple[str, ...],
    metadata: tuple[str, ...],
    until: datetime | None,
    no_copy: bool,
    wait: timedelta,
) -> None:
    """Set a hold, then copy what it names into the archive.

    The hold stands even where a copy fails; `janitor hold copy NAME` goes on with those. A thread
    of unread metadata counts as held, and is read now. An id that is not registered is held from
    the moment it is.

    \b
    Examples:
      janitor hold add matter-42 --reason "letter of 3 May" --metadata user_id=u1
      janitor hold add audit-7 --reason audit --id conv_1 --id conv_2 --until 2027-06-30
    """
    from janitor.cli.copying import finish
    from janitor.cli.inbox import complain, take_in
    from janitor.cli.showing import now
    from janitor.model import Hold

    at, pairs = now(), dict(_pair(text) for text in metadata)
    hold = Hold(name, reason, frozenset(ids), pairs, until)
    _check(hold, at)
    _, registry = _opened(settings)
    with registry:
        hold = registry.add_hold(hold, at, actor=actor or person())
        if settings.wants_table:
            click.echo(f"Held: {plain(name)}, from now on{_end(until)}.")
        take_in(registry, at, complain)
        finish(settings, registry, hold, None if no_copy else wait)


@hold_command.command("copy")
@click.argument("name")
@WAIT
@click.pass_obj
def copy_command(settings: Settings, *, name: str, wait: timedelta) -> None:
    """Copy into the archive what a hold names and what has no current copy yet.

    \b
    Example:
      janitor hold copy matter-42
    """
    from janitor.cli.copying import finish
    from janitor.cli.showing import now

    _, registry = _opened(settings)
    with registry:
        if (hold := registry.hold_in_force(name, now())) is None:
            message = f"there is no hold {plain(name)!r}: `janitor hold list` shows what is held"
            raise ConfigError(message)
        finish(settings, registry, hold, wait)


@hold_command.command("release")
@click.argument("name")
@_answered_for
@click.pass_obj
def release_command(settings: Settings, *, name: str, reason: str, actor: str | None) -> None:
    """End a hold; what it named is kept for `holds: {release_grace}` (7 days) more.

    \b
    Example:
      janitor hold release matter-42 --reason settled
    """
    from janitor.cli.showing import moment, now

    config, registry = _opened(settings)
    at, actor = now(), actor or person()
    with registry:
        registry.release_hold(name, at, reason=reason, actor=actor)
    kept_until = at + config.policies.release_grace
    if settings.wants_table:
        said = f"Released: {plain(name)}; what it named is kept until {moment(kept_until)} UTC."
        click.echo(said)
    else:
        emit(settings, {"hold": name, "released_at": at, "actor": actor, "kept_until": kept_until})


@hold_command.command("list")
@click.pass_obj
def list_command(settings: Settings) -> None:
    """List all holds, those that are over too, with how many threads each names.

    \b
    Examples:
      janitor hold list
      janitor --output jsonl hold list
    """
    from janitor.cli.looking import cell, opened

    config, registry = opened(settings)
    with registry:
        rows = [_row(registry, record, config) for record in registry.hold_records()]
    if not settings.wants_table:
        emit(settings, {"holds": rows}, "holds")
        return
    fields = ("name", "state", "reason", "actor", "since", "until", "released_at", "threads")
    table("Holds", fields, ([cell(row[field]) for field in fields] for row in rows))


def _row(registry: Registry, record: HoldRecord, config: Config) -> dict[str, Any]:
    from janitor.cli.showing import now

    hold = record.hold
    return {
        "name": hold.name,
        "state": _state(hold, config, now()),
        "reason": hold.reason,
        "actor": record.actor,
        "since": record.added_at,
        "until": hold.until,
        "released_at": hold.released_at,
        "released_by": record.released_by,
        "release_reason": record.release_reason,
        "ids": sorted(hold.ids),
        "metadata": dict(hold.metadata),
        "threads": _threads(registry, hold),
    }


def _state(hold: Hold, config: Config, at: datetime) -> str:
    from janitor.policy.protections import hold_ends_at

    if hold.is_in_force(at):
        return "in force"
    return "in grace" if hold_ends_at(hold, config.policies.release_grace) > at else "over"


def _threads(registry: Registry, hold: Hold) -> int:
    """How many threads it names; told by indexes alone, so unread metadata counts for none."""
    by_id = sum(len(registry.find(one)) for one in hold.ids)
    return by_id + (registry.count_labelled(hold.metadata) if hold.metadata else 0)


def _check(hold: Hold, at: datetime) -> None:
    """Refuse what could never hold anything, or would not be understood later."""
    from janitor.catalogue import is_id
    from janitor.policy.matching import RESERVED
    from janitor.registry.registration import check_metadata

    if not is_id(hold.name):
        raise click.UsageError("NAME must be letters, digits, dots, colons, dashes, underscores")
    if not hold.reason.strip():
        raise click.UsageError("--reason must say why")
    if bool(hold.ids) == bool(hold.metadata):
        raise click.UsageError("name what to hold: --id ID..., or --metadata K=V...")
    for one in sorted(hold.ids):
        if not is_id(one):
            raise click.UsageError(f"--id {plain(one)}: no id of a thread looks like that")
    for key in hold.metadata:
        if key.startswith(RESERVED):
            raise click.UsageError(f"--metadata {plain(key)}: keys of the janitor never match")
    check_metadata("--metadata", hold.metadata)
    if hold.until is not None and hold.until <= at:
        raise click.UsageError("--until must be a time that is still to come")


def _pair(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not key or not equals:
        raise click.UsageError("write --metadata KEY=VALUE")
    return key, value


def _end(until: datetime | None) -> str:
    from janitor.cli.showing import moment

    return f" until {moment(until)} UTC" if until else ""


def _opened(settings: Settings) -> tuple[Config, Registry]:
    from janitor.cli.compose import open_registry
    from janitor.config import load

    # A missing key must not keep anybody from holding; the copies ask for it later.
    config = load(settings.config_path(), environment=False)
    return config, open_registry(config)
