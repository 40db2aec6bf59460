"""`tag`: writes creation times into upstream metadata that lacks them."""

from __future__ import annotations

from dataclasses import asdict
from datetime import timedelta
from typing import TYPE_CHECKING

import click

from janitor.app.event_loop import run_loop
from janitor.cli.options import DURATION, Count, OneOf, quit_with
from janitor.cli.output import Settings, complain, emit
from janitor.kinds import CATALOGUE, Kind
from janitor.texts import counted

if TYPE_CHECKING:
    from collections.abc import Iterable

    from janitor.engine.report import Report
    from janitor.engine.tag import Foreseen, Tagged, Wanted

KINDS = [kind.value for kind in Kind if CATALOGUE[kind].has_metadata]


@click.command("tag")
@click.option("--dry-run", is_flag=True, help="Only ask and count; write nothing.")
@click.option("--project", help="Only threads of this project.")
@click.option("--kind", type=OneOf(KINDS), help="Only threads of this kind.")
@click.option("--limit", type=Count(1), help="Ask for this many threads at most.")
@click.option("--wait", type=DURATION, default="30s", help="How long to wait for another janitor.")
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
    """Write `janitor_created_at` to the upstream metadata of threads that lack it.

    Other keys stay as they are, and where all 16 are taken nothing is written. Tagging does not
    count as activity. Run it again to continue with threads that lack the tag.

    \b
    Examples:
      janitor tag --dry-run
      janitor tag --project main --kind conversation --limit 1000
    """
    from janitor.engine.tag import Wanted

    wanted = Wanted(project, Kind(kind) if kind else None, limit)
    if dry_run:
        _foresee(settings, wanted)
    else:
        _tag(settings, wanted, wait)


def _tag(settings: Settings, wanted: Wanted, wait: timedelta) -> None:
    """Tag in a run of its own, show the result, and exit with its code."""
    from janitor.app.run_context import run_context
    from janitor.cli.progress import ProgressView, open_shown
    from janitor.config import load
    from janitor.engine.tag import Tagged, tag
    from janitor.metrics import Metrics

    config, log, done = load(settings.config_path()), ProgressView(Metrics()), Tagged()
    with (
        open_shown(config, log.progress) as registry,
        run_context(config, registry, log, wait, tell=complain) as run,
    ):
        report = run.carry_out(lambda context, stop: tag(context, wanted, stop, done))
    _show(settings, done, report)
    _tell((*(stop.message for stop in report.stops), *report.silences, *report.undone))
    quit_with(run.stop.exit_code(report.exit_code))


def _foresee(settings: Settings, wanted: Wanted) -> None:
    """Look as `tag` would, show what it would do, and exit with the code of what was found."""
    from janitor.app.compose import compose
    from janitor.app.event_loop import StopSignals
    from janitor.app.open_registry import open_registry
    from janitor.cli.progress import shown
    from janitor.config import load
    from janitor.engine.progress import Progress
    from janitor.engine.tag import Tagged, foresee

    config, done, signals = load(settings.config_path()), Tagged(), StopSignals()
    progress = Progress()

    async def look() -> Foreseen:
        signals.install()
        stop = signals.event
        opened = compose(config, registry, changing=False, stop=stop, progress=progress)
        async with opened as context:
            return await foresee(context, wanted, signals.event, done)

    with open_registry(config, read_only=True) as registry, shown(progress):
        found = run_loop(look)
    _show(settings, done, None)
    _tell(found.troubles)
    failed = 1 if done.kept["failed"] else 0
    code = min((stop.exit_code for stop in found.stops), default=failed)
    quit_with(signals.exit_code(code))


def _show(settings: Settings, done: Tagged, report: Report | None) -> None:
    """Show what was tagged, or would be if there is no report."""
    if not settings.wants_table:
        run = {"run": report.run.id, "result": report.run.result} if report else {}
        kept = {str(reason): number for reason, number in sorted(done.kept.items())}
        emit(settings, {"dry_run": report is None, **run, **asdict(done), "kept": kept})
        return
    tagged = (
        f"{counted(done.tagged, 'thread')} would be tagged"
        if report is None
        else f"{counted(done.tagged, 'thread was', 'threads were')} tagged"
    )
    click.echo(f"{tagged}; {done.there} had the tag already, {done.full} have no free key.")
    if done.kept:
        text = ", ".join(f"{reason} {number}" for reason, number in sorted(done.kept.items()))
        click.echo(f"Left as they are: {text}.")
    click.echo(f"Run {report.run.id}." if report else "Nothing was changed. Next: janitor tag")


def _tell(messages: Iterable[str]) -> None:
    for message in messages:
        complain(message)
