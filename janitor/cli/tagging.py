"""`tag`: creation times into the metadata upstream, where they lack."""

from __future__ import annotations

import asyncio
import signal
import threading
from dataclasses import asdict
from datetime import timedelta
from typing import TYPE_CHECKING

import click

from janitor.cli.context import Settings, emit, plain
from janitor.cli.options import DURATION, quit_with

if TYPE_CHECKING:
    from collections.abc import Iterable

    from janitor.sweep import Parts, Report
    from janitor.sweep.breaker import Stop
    from janitor.sweep.tagging import Tagged, Wanted

KINDS = ("conversation", "agent_session", "thread")


@click.command("tag")
@click.option("--dry-run", is_flag=True, help="Ask and count; write nothing anywhere.")
@click.option("--project", help="Only threads of this project.")
@click.option("--kind", type=click.Choice(KINDS), help="Only threads of this kind.")
@click.option("--limit", type=click.IntRange(1), help="Ask for so many threads at most.")
@click.option("--wait", type=DURATION, default="30s", help="Wait so long for another janitor.")
@click.pass_obj
def tag_command(
    settings: Settings,
    *,
    dry_run: bool,
    project: str | None,
    kind: str | None,
    limit: int | None,
    wait: timedelta,
) -> None:
    """Write `janitor_created_at` into the metadata upstream of registered threads that lack it.

    Other keys stay as they are, and where all 16 are taken nothing is written. It is no activity.
    Called again, it goes on with what lacks the tag.

    \b
    Examples:
      janitor tag --dry-run
      janitor tag --project main --kind conversation --limit 1000
    """
    from janitor.model import Kind
    from janitor.sweep.tagging import Wanted

    wanted = Wanted(project, Kind(kind) if kind else None, limit)
    if dry_run:
        _foresee(settings, wanted)
    else:
        _tag(settings, wanted, wait)


def _tag(settings: Settings, wanted: Wanted, wait: timedelta) -> None:
    """Tag in a run of its own, say how it went, and exit as it ended."""
    from janitor.cli.compose import open_registry
    from janitor.cli.measuring import Counted
    from janitor.cli.progress import Watch, summarize
    from janitor.cli.showing import now
    from janitor.cli.sweeping import attend
    from janitor.cli.turn import turn
    from janitor.config import load
    from janitor.metrics import Metrics
    from janitor.sweep.tagging import Tagged, tag

    config, metrics, done = load(settings.config_path()), Metrics(), Tagged()

    async def work(parts: Parts, stop: threading.Event) -> Report:
        return await tag(parts, wanted, stop, done)

    with open_registry(config) as registry, turn(registry, wait):
        registry.drain(now())
        counted = Counted(metrics, registry)
        attended = attend(config, registry, Watch(metrics), metrics, work)
        report, caught = asyncio.run(attended)
        counted.keep()
    summarize(report)
    _show(settings, done, report)
    _tell(report.stops)
    for said in report.silences:
        click.echo(f"janitor: {plain(said)}", err=True)
    quit_with(128 + caught if caught else report.exit_code)


def _foresee(settings: Settings, wanted: Wanted) -> None:
    """Look as `tag` would, say what it would do, and exit as it could be told."""
    from janitor.cli.compose import open_registry, parts
    from janitor.config import load
    from janitor.sweep.foretagging import foresee
    from janitor.sweep.tagging import Tagged

    config, done, caught = load(settings.config_path()), Tagged(), [0]

    async def look() -> tuple[Stop, ...]:
        stop = threading.Event()

        def ask_to_stop(signum: int) -> None:
            caught[0] = signum
            stop.set()

        for signum in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(signum, ask_to_stop, signum)
        async with parts(config, registry, changing=False, stop=stop) as composed:
            return await foresee(composed, wanted, stop, done)

    with open_registry(config, read_only=True) as registry:
        stops = asyncio.run(look())
    _show(settings, done, None)
    _tell(stops)
    failed = 1 if done.kept["failed"] else 0
    code = min((stop.exit_code for stop in stops), default=failed)
    quit_with(128 + caught[0] if caught[0] else code)


def _show(settings: Settings, done: Tagged, report: Report | None) -> None:
    """What was tagged, or would be where there is no report."""
    if not settings.wants_table:
        run = {"run": report.run.id, "result": report.run.result} if report else {}
        kept = {str(reason): number for reason, number in sorted(done.kept.items())}
        emit(settings, {"dry_run": report is None, **run, **asdict(done), "kept": kept})
        return
    were = "would be tagged" if report is None else "were tagged"
    click.echo(
        f"{done.tagged} threads {were}; {done.there} had the tag already, "
        f"{done.full} have no free key."
    )
    if done.kept:
        said = ", ".join(f"{reason} {number}" for reason, number in sorted(done.kept.items()))
        click.echo(f"Left as they are: {said}.")
    click.echo(f"Run {report.run.id}." if report else "Nothing was changed. Next: janitor tag")


def _tell(stops: Iterable[Stop]) -> None:
    for stop in stops:
        click.echo(f"janitor: {plain(stop.message)}", err=True)
