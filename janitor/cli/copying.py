"""Making the copies that a hold asks for, and saying how they stand."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING

import click

from janitor.cli.context import Settings, emit, plain
from janitor.cli.options import quit_with
from janitor.errors import JanitorError

if TYPE_CHECKING:
    from janitor.model import Hold
    from janitor.registry import Registry
    from janitor.sweep import Report
    from janitor.sweep.holding import Held

SHOWN = 20


def finish(settings: Settings, registry: Registry, hold: Hold, wait: timedelta | None) -> None:
    """Make the copies unless `wait` is absent, say how things stand, and exit as it ended.

    Raises:
        JanitorError: What kept the copies from being made; the hold stands all the same.
    """
    from janitor.sweep.holding import held_by

    code = 0
    try:
        if wait is not None:
            code = _copy(settings, registry, hold, wait)
    except JanitorError:
        _show(settings, registry, hold, held_by(registry, hold))
        _say(f"hold {hold.name} stands; make its copies with: janitor hold copy {hold.name}")
        raise
    held = held_by(registry, hold)
    _show(settings, registry, hold, held)
    if wait is not None and not held.is_copied:
        _say(f"not everything was copied; do it again with: janitor hold copy {hold.name}")
        code = code or 1
    quit_with(code)


def _copy(settings: Settings, registry: Registry, hold: Hold, wait: timedelta) -> int:
    """Make the copies in a run of their own, and give its exit code."""
    import asyncio

    from janitor.cli.measuring import Counted
    from janitor.cli.progress import Watch, summarize
    from janitor.cli.sweeping import attend
    from janitor.cli.turn import turn
    from janitor.config import load
    from janitor.metrics import Metrics
    from janitor.sweep.holding import copy_held

    config, metrics = load(settings.config_path()), Metrics()
    with turn(registry, wait):
        counted = Counted(metrics, registry)
        report, caught = asyncio.run(
            attend(
                config,
                registry,
                Watch(metrics),
                metrics,
                lambda parts, stop: copy_held(parts, hold, stop),
                copying=True,
            )
        )
        counted.keep()
    summarize(report)
    _stops(report)
    return 128 + caught if caught else report.exit_code


def _stops(report: Report) -> None:
    for stop in report.stops:
        _say(stop.message)


def _show(settings: Settings, registry: Registry, hold: Hold, held: Held) -> None:
    """Say how many threads the hold names and how their copies stand; warn where none."""
    unregistered = [one for one in sorted(hold.ids) if not registry.find(one)]
    if settings.wants_table:
        click.echo(
            f"{held.matched} threads are named: {held.copied} with a current copy, "
            f"{held.uncopied} without, {held.missing} unknown to the server."
        )
    else:
        numbers = {"matched": held.matched, "copied": held.copied, "uncopied": held.uncopied}
        numbers |= {"missing": held.missing, "unread": held.unread}
        about = {"hold": hold.name, "reason": hold.reason, "until": hold.until}
        emit(settings, {**about, **numbers, "unregistered": unregistered})
    for warning in _warnings(hold, held, unregistered):
        _say(warning)


def _warnings(hold: Hold, held: Held, unregistered: Sequence[str]) -> Iterator[str]:
    for one in unregistered[:SHOWN]:
        yield f"{one} is not registered; it is held from the moment it is"
    if len(unregistered) > SHOWN:
        yield f"… {len(unregistered)} ids are not registered in all"
    if held.unread:
        yield f"{held.unread} threads of unread metadata may be meant and are kept, too"
    if not held.matched:
        yield (
            f"hold {hold.name} matches no living thread (a typo?); it stands all the same, and "
            "archive copies of deleted ones stay under it, too"
        )


def _say(text: str) -> None:
    click.echo(f"janitor: {plain(text)}", err=True)
