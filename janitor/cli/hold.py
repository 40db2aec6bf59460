"""`hold`: legal holds, in force at once for every janitor, and copies of the held threads."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timedelta
from itertools import islice
from typing import TYPE_CHECKING, Any, TypeVar

import click

from janitor.cli.options import DURATION, MOMENT, person, quit_with
from janitor.cli.output import Settings, complain, emit, now, table
from janitor.errors import ConfigError, JanitorError
from janitor.texts import counted, plain

if TYPE_CHECKING:
    from janitor.config import Config
    from janitor.engine.copy_held import Held
    from janitor.engine.report import Report
    from janitor.model import Hold
    from janitor.registry import HoldRecord, Registry


SHOWN = 20


def finish(settings: Settings, registry: Registry, hold: Hold, wait: timedelta | None) -> None:
    """Make the copies unless `wait` is `None`, show the result, and exit with its code.

    Raises:
        JanitorError: Why the copies could not be made; the hold is in force all the same.
    """
    from janitor.engine.copy_held import held_by

    code = 0
    try:
        if wait is not None:
            code = _copy(settings, registry, hold, wait)
    except JanitorError:
        _show(settings, registry, hold, held_by(registry, hold))
        complain(f"hold {hold.name} is set; copy its threads with: janitor hold copy {hold.name}")
        raise
    held = held_by(registry, hold)
    _show(settings, registry, hold, held)
    if wait is not None and not held.is_copied:
        complain(f"not everything was copied; retry with: janitor hold copy {hold.name}")
        code = code or 1
    quit_with(code)


def _copy(settings: Settings, registry: Registry, hold: Hold, wait: timedelta) -> int:
    """Make the copies in a run of their own, and return its exit code."""
    from janitor.app.run_context import run_context
    from janitor.cli.progress import ProgressView
    from janitor.config import load
    from janitor.engine.copy_held import copy_held
    from janitor.metrics import Metrics

    config, log = load(settings.config_path()), ProgressView(Metrics())
    with run_context(config, registry, log, wait, tell=complain, copying=True) as run:
        report = run.carry_out(lambda context, stop: copy_held(context, hold, stop))
    _stops(report)
    return run.stop.exit_code(report.exit_code)


def _stops(report: Report) -> None:
    for message in (*(stop.message for stop in report.stops), *report.silences, *report.undone):
        complain(message)


def _show(settings: Settings, registry: Registry, hold: Hold, held: Held) -> None:
    """Show how many threads the hold names and how many are copied; warn if it names none."""
    unregistered = [one for one in sorted(hold.ids) if not registry.threads.find(one)]
    if settings.wants_table:
        click.echo(_named(held))
    else:
        numbers = {"matched": held.matched, "copied": held.copied, "uncopied": held.uncopied}
        numbers |= {"missing": held.missing, "unread": held.unread}
        about = {"hold": hold.name, "reason": hold.reason, "until": hold.until}
        emit(settings, {**about, **numbers, "unregistered": unregistered})
    for warning in _warnings(hold, held, unregistered):
        complain(warning)
    _name_unread(registry, hold, held)


def _named(held: Held) -> str:
    if not held.matched:
        return "The hold names no thread."
    return (
        f"The hold names {counted(held.matched, 'thread')}: {held.copied} with a current copy, "
        f"{held.uncopied} without, {held.missing} unknown to the server."
    )


def _name_unread(registry: Registry, hold: Hold, held: Held) -> None:
    """Name the threads that the hold may apply to, because their metadata was never read."""
    from janitor.engine.copy_held import possible

    for entry in islice(possible(registry.threads, hold), SHOWN):
        key = entry.thread.key
        message = f"{key.kind} {key.id} of project {key.project}"
        complain(f"{message}: its metadata was never read, so the hold may apply; it is kept")
    if held.unread > SHOWN:
        complain(f"… {held.unread} such threads in all")


def _warnings(hold: Hold, held: Held, unregistered: Sequence[str]) -> Iterator[str]:
    for one in unregistered[:SHOWN]:
        yield f"{one} is not registered; it is held as soon as it is"
    if len(unregistered) > SHOWN:
        yield f"… {len(unregistered)} ids in all are not registered"
    if not held.matched:
        yield (
            f"hold {hold.name} matches no existing thread; a typo? The hold is in force. It also "
            "keeps archive copies of deleted threads"
        )


Command = TypeVar("Command", bound=Callable[..., None])
WAIT = click.option("--wait", type=DURATION, default="30s", help="How long to wait for a sweep.")


def _answered_for(command: Command) -> Command:
    """Add the options that say why, and who asks for it."""
    for option in (
        click.option("--actor", help="Who asks for it. Default: the system user."),
        click.option("--reason", required=True, help="Why; kept on record."),
    ):
        command = option(command)
    return command


@click.group("hold")
def hold_command() -> None:
    """Keep threads under a legal hold, whatever the policies say.

    A hold applies as soon as it is set: to every janitor, to a running sweep, and in audit mode.
    The threads that it names are copied into the archive at once.

    \b
    Examples:
      janitor hold add matter-42 --reason "letter of 3 May" --metadata user_id=u1
      janitor hold list
      janitor hold release matter-42 --reason settled
    """


@hold_command.command("add")
@click.argument("name")
@_answered_for
@click.option("--id", "ids", multiple=True, help="A thread to hold; repeatable.")
@click.option(
    "--metadata",
    multiple=True,
    metavar="K=V",
    help="Hold threads with all of this metadata; repeatable.",
)
@click.option("--until", type=MOMENT, help="End automatically at this time.")
@click.option("--no-copy", is_flag=True, help="Only set the hold; copy nothing now.")
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
    """Set a hold, then copy its threads into the archive.

    The hold is set even if a copy fails; `janitor hold copy NAME` retries those. A thread whose
    metadata was never read counts as held, and is read now. An id that is not registered is held
    as soon as it is.

    \b
    Examples:
      janitor hold add matter-42 --reason "letter of 3 May" --metadata user_id=u1
      janitor hold add audit-7 --reason audit --id conv_1 --id conv_2 --until 2027-06-30
    """
    from janitor.app.inbox import take_in
    from janitor.model import Hold

    at, pairs = now(), dict(_pair(text) for text in metadata)
    hold = Hold(name, reason, frozenset(ids), pairs, until)
    _check(hold, at)
    _, registry = _opened(settings)
    with registry:
        hold = registry.holds.add(hold, at, actor=actor or person())
        if settings.wants_table:
            click.echo(f"Held: {plain(name)}, from now on{_end(until)}.")
        take_in(registry, at, complain)
        finish(settings, registry, hold, None if no_copy else wait)


@hold_command.command("copy")
@click.argument("name")
@WAIT
@click.pass_obj
def copy_command(settings: Settings, *, name: str, wait: timedelta) -> None:
    """Copy a hold's threads that have no current copy into the archive.

    \b
    Example:
      janitor hold copy matter-42
    """
    _, registry = _opened(settings)
    with registry:
        if (hold := registry.holds.in_force(name, now())) is None:
            message = f"there is no hold {plain(name)!r}; see `janitor hold list`"
            raise ConfigError(message)
        finish(settings, registry, hold, wait)


@hold_command.command("release")
@click.argument("name")
@_answered_for
@click.pass_obj
def release_command(settings: Settings, *, name: str, reason: str, actor: str | None) -> None:
    """Release a hold; its threads are kept for another `holds: {release_grace}` (7 days).

    \b
    Example:
      janitor hold release matter-42 --reason settled
    """
    from janitor.cli.render import moment

    config, registry = _opened(settings)
    at, actor = now(), actor or person()
    with registry:
        registry.holds.release(name, at, reason=reason, actor=actor)
    kept_until = at + config.policies.release_grace
    if settings.wants_table:
        message = f"Released: {plain(name)}; its threads are kept until {moment(kept_until)} UTC."
        click.echo(message)
    else:
        emit(settings, {"hold": name, "released_at": at, "actor": actor, "kept_until": kept_until})


@hold_command.command("list")
@click.pass_obj
def list_command(settings: Settings) -> None:
    """List all holds, including ended ones, and how many threads each names.

    \b
    Examples:
      janitor hold list
      janitor --output jsonl hold list
    """
    from janitor.cli.inspect import cell, opened

    config, registry = opened(settings)
    with registry:
        rows = [_row(registry, record, config) for record in registry.holds.records()]
    if not settings.wants_table:
        emit(settings, {"holds": rows}, "holds")
        return
    fields = ("name", "state", "reason", "actor", "since", "until", "released_at", "threads")
    table("Holds", fields, ([cell(row[field]) for field in fields] for row in rows))


def _row(registry: Registry, record: HoldRecord, config: Config) -> dict[str, Any]:

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
    from janitor.policy.evaluate import hold_ends_at

    if hold.is_in_force(at):
        return "in force"
    return "in grace" if hold_ends_at(hold, config.policies.release_grace) > at else "over"


def _threads(registry: Registry, hold: Hold) -> int:
    """How many threads it names, by indexes alone: unread metadata never counts as a match."""
    by_id = sum(len(registry.threads.find(one)) for one in hold.ids)
    return by_id + (registry.threads.count_labelled(hold.metadata) if hold.metadata else 0)


def _check(hold: Hold, at: datetime) -> None:
    """Refuse a hold that could never hold anything, or would not be understood later."""
    from janitor.kinds import is_id
    from janitor.policy.matching import RESERVED
    from janitor.registry.registrations import check_metadata

    if not is_id(hold.name):
        raise click.UsageError(
            "NAME may contain letters, digits, dots, colons, dashes and underscores only"
        )
    if not hold.reason.strip():
        raise click.UsageError("--reason must not be empty")
    if bool(hold.ids) == bool(hold.metadata):
        raise click.UsageError("say what to hold: --id ID..., or --metadata K=V...")
    for one in sorted(hold.ids):
        if not is_id(one):
            raise click.UsageError(f"--id {plain(one)}: not the id of a thread")
    for key in hold.metadata:
        if key.startswith(RESERVED):
            raise click.UsageError(f"--metadata {plain(key)}: janitor_ keys never match")
    check_metadata("--metadata", hold.metadata)
    if hold.until is not None and hold.until <= at:
        raise click.UsageError("--until must be in the future")


def _pair(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not key or not equals:
        raise click.UsageError("write --metadata KEY=VALUE")
    return key, value


def _end(until: datetime | None) -> str:
    from janitor.cli.render import moment

    return f" until {moment(until)} UTC" if until else ""


def _opened(settings: Settings) -> tuple[Config, Registry]:
    from janitor.app.open_registry import open_registry
    from janitor.config import load

    # A missing key must not prevent anybody from setting a hold; the copies ask for it later.
    config = load(settings.config_path(), environment=False)
    return config, open_registry(config)
