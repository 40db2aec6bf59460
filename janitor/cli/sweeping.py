"""`plan`, `sweep` and `apply`: the job itself."""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import click

from janitor.cli.context import Settings
from janitor.cli.options import DURATION, MOMENT, quit_with
from janitor.errors import ConfigError

if TYPE_CHECKING:
    from janitor.cli.progress import Watch
    from janitor.config import Config
    from janitor.metrics import Metrics
    from janitor.pace import Urgency
    from janitor.registry import Registry
    from janitor.sweep import Parts, Plan, Report, Scope

OUT_FILE = click.Path(path_type=Path, dir_okay=False)
Work = Callable[["Parts", threading.Event], Awaitable["Report"]]


@click.command("plan")
@click.option("-o", "file", type=OUT_FILE, help="Write the plan for `apply`.")
@click.option("--at", type=MOMENT, help="Pretend that it is this time; such a plan only shows.")
@click.option("--all", "everything", is_flag=True, help="List the threads that are kept, too.")
@click.option("--offline", is_flag=True, help="Registry facts only: ask no server.")
@click.option("--probe", type=click.IntRange(0), default=500, help="How many threads to ask about.")
@click.pass_obj
def plan_command(
    settings: Settings,
    *,
    file: Path | None,
    at: datetime | None,
    everything: bool,
    offline: bool,
    probe: int,
) -> None:
    """Say what a sweep would do now, why, and what it costs. Changes nothing anywhere.

    \b
    Examples:
      janitor plan
      janitor plan -o plan.json && janitor apply plan.json
      janitor --output json plan --offline --at 2027-01-01T00:00:00Z
    """
    from janitor.sweep import Scope

    _plan(settings, Scope(probe, offline, everything), file, at)


def _plan(settings: Settings, scope: Scope, file: Path | None, at: datetime | None) -> None:
    from janitor.cli import showing
    from janitor.cli.compose import Time, open_registry, parts, utc_now
    from janitor.config import load
    from janitor.sweep import plan

    config = load(settings.config_path())
    registry = open_registry(config, read_only=True)
    time = Time(utc_now if at is None else lambda: at)

    async def look() -> Plan:
        # An exception from a signal's handler would surface in whatever task is running.
        if (task := asyncio.current_task()) is not None:
            asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
        async with parts(config, registry, changing=False, time=time) as composed:
            return await plan(composed, scope, hypothetical=at is not None)

    with registry:
        try:
            made = asyncio.run(look())
        except asyncio.CancelledError:
            quit_with(128 + signal.SIGTERM)
        showing.plan(settings, made, file, registry.pauses(made.now))


@click.command("sweep")
@click.option("--policy", help="Only what this policy governs.")
@click.option(
    "--limit",
    type=click.IntRange(1),
    help="Look at so many threads at most; the next one goes on there.",
)
@click.option("--wait", type=DURATION, default="30s", help="Wait so long for another janitor.")
@click.option("--dry-run", is_flag=True, help="The same as `janitor plan`.")
@click.option(
    "--metrics-textfile",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write metrics for the node exporter's textfile collector.",
)
@click.pass_obj
def sweep_command(
    settings: Settings,
    *,
    policy: str | None,
    limit: int | None,
    wait: timedelta,
    dry_run: bool,
    metrics_textfile: Path | None,
) -> None:
    """Do one sweep, then exit: the one-off and timer mode.

    \b
    Examples:
      janitor sweep
      janitor sweep --policy trial-chats --limit 100
      janitor sweep --metrics-textfile /var/lib/node_exporter/janitor.prom
    """
    from janitor.cli.discovering import discover_due
    from janitor.sweep import Orders, Scope, sweep

    if dry_run:
        _plan(settings, Scope(), None, None)
        return
    orders = Orders(policy, limit)

    async def work(parts: Parts, stop: threading.Event) -> Report:
        _require_policy(parts, policy)
        lists = await discover_due(parts, stop)
        return replace(await sweep(parts, orders, stop), lists=lists)

    run(
        settings,
        wait,
        metrics_textfile,
        work,
        shared=orders.is_shared,
        reads_sources=True,
        create=True,
    )


def _require_policy(parts: Parts, name: str | None) -> None:
    from janitor.policy import APART

    known = [rule.name for rule in parts.policies.rules] + [*APART]
    if name is not None and name not in known:
        raise ConfigError(f"--policy {name}: there is no such policy; known: {', '.join(known)}")


@click.command("apply")
@click.argument("file", type=click.Path(exists=True, path_type=Path, dir_okay=False))
@click.option("--max-age", type=DURATION, default="24h", help="Refuse an older plan.")
@click.option("--wait", type=DURATION, default="30s", help="Wait so long for another janitor.")
@click.option("--detach", is_flag=True, help="Leave it to the running service, and return at once.")
@click.pass_obj
def apply_command(
    settings: Settings, *, file: Path, max_age: timedelta, wait: timedelta, detach: bool
) -> None:
    """Carry out exactly a reviewed plan; what has changed since is kept and reported as drift.

    Policies that waited for approval when the plan was made are approved with it. Interrupted or
    killed, it goes on where it stopped when it is called again; its age counts at its first start.

    \b
    Examples:
      janitor plan -o plan.json
      janitor apply plan.json
      janitor apply plan.json --detach
    """
    from janitor.cli.handing import hand_over
    from janitor.cli.options import person
    from janitor.pace import Urgency
    from janitor.sweep import Here, apply, check, load

    made = load(_bytes(file), str(file))
    if detach:
        hand_over(settings, made, str(file), max_age)
        return

    async def work(parts: Parts, stop: threading.Event) -> Report:
        check(Here(parts.registry, parts.policies, parts.clock()), made, str(file), max_age)
        return await apply(parts, made, stop, person())

    run(settings, wait, None, work, urgency=Urgency.APPLY, reads_sources=True)


def _bytes(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise ConfigError(f"{file}: cannot be read: {error.strerror}; name another") from error


def run(
    settings: Settings,
    wait: timedelta,
    textfile: Path | None,
    work: Work,
    *,
    shared: bool = False,
    urgency: Urgency | None = None,
    reads_sources: bool = False,
    create: bool = False,
) -> None:
    """Compose the parts, hold the run lock, do the work, show it, and exit as it ended."""
    from janitor.cli import measuring, showing
    from janitor.cli.compose import open_registry
    from janitor.cli.inbox import take_in
    from janitor.cli.progress import Watch, summarize
    from janitor.cli.syncing import read_sources
    from janitor.cli.textfile import require_writable, write_metrics
    from janitor.cli.turn import turn
    from janitor.config import load
    from janitor.metrics import Metrics

    config, metrics = load(settings.config_path()), Metrics()
    metrics.reloaded.set(1)
    if textfile is not None:
        require_writable(textfile)
    with open_registry(config, create=create) as registry, turn(registry, wait, shared=shared):
        take_in(registry, showing.now())
        counted = measuring.Counted(metrics, registry)
        if reads_sources:
            read_sources(config, registry, metrics, showing.now)
        attended = attend(config, registry, Watch(metrics), metrics, work, urgency=urgency)
        report, caught = asyncio.run(attended)
        summarize(report)
        try:
            showing.report(settings, report)
        finally:
            counted.keep()
            if textfile is not None:
                write_metrics(metrics, registry, textfile)
    quit_with(128 + caught if caught else report.exit_code)


async def attend(
    config: Config,
    registry: Registry,
    watch: Watch,
    metrics: Metrics,
    work: Work,
    *,
    copying: bool = False,
    urgency: Urgency | None = None,
) -> tuple[Report, int]:
    """Run the work; the first SIGINT or SIGTERM lets the calls in flight finish.

    Work that is mere `copying` has its archive in any case, and tells nothing of what is due.
    """
    from janitor.cli import measuring
    from janitor.cli.compose import parts
    from janitor.pace import Urgency

    stop, caught = threading.Event(), [0]

    def ask_to_stop(signum: int) -> None:
        caught[0] = signum
        stop.set()

    loop = asyncio.get_running_loop()
    for signum in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(signum, ask_to_stop, signum)
    opened = parts(
        config,
        registry,
        changing=True,
        metrics=metrics,
        notify=watch,
        stop=stop,
        copying=copying,
        urgency=Urgency.SWEEP if urgency is None else urgency,
    )
    async with opened as composed:
        with watch.bar("threads"):
            report = await work(composed, stop)
        if not copying:
            await measuring.end(metrics, report, composed)
        return report, caught[0]
