"""`plan`, `sweep`, `apply`, `approve` and `restore`: the job itself."""

from __future__ import annotations

import asyncio
import re
import signal
import threading
from dataclasses import asdict, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import click

from janitor.app.event_loop import run_loop
from janitor.causes import cause, is_scarce
from janitor.cli.options import DURATION, MOMENT, Count, person, quit_with
from janitor.cli.output import Settings, complain, emit, now
from janitor.errors import ConfigError, StoreError
from janitor.texts import counted, plain

if TYPE_CHECKING:
    from janitor.app.run_context import Work
    from janitor.config import Config
    from janitor.engine.context import RunContext
    from janitor.engine.plan import Plan, PlanScope
    from janitor.engine.report import Report
    from janitor.engine.restore import Restored
    from janitor.rate_limit import Urgency
    from janitor.registry import Registry


OUT_FILE = click.Path(path_type=Path, dir_okay=False)


@click.command("plan")
@click.option("-o", "file", type=OUT_FILE, help="Write the plan to this file, for `apply`.")
@click.option("--at", type=MOMENT, help="Plan as of this time; such a plan cannot be applied.")
@click.option("--all", "everything", is_flag=True, help="Also list the threads that are kept.")
@click.option("--offline", is_flag=True, help="Use the registry only; ask no server.")
@click.option(
    "--probe",
    type=Count(0),
    default=500,
    help="How many threads to ask the server about.",
)
@click.option("--dry-run", is_flag=True, expose_value=False, help="Accepted; a plan always is one.")
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
    """Show what a sweep would do now, why, and what it costs. Changes nothing.

    \b
    Examples:
      janitor plan
      janitor plan -o plan.json && janitor apply plan.json
      janitor --output json plan --offline --at 2027-01-01T00:00:00Z
    """
    from janitor.engine.plan import PlanScope

    _plan(settings, PlanScope(probe, offline, everything), file, at)


def _plan(settings: Settings, scope: PlanScope, file: Path | None, at: datetime | None) -> None:
    from janitor.app.clock import Time, utc_now
    from janitor.app.compose import compose
    from janitor.app.open_registry import open_registry
    from janitor.cli import render
    from janitor.cli.private_file import require_private
    from janitor.cli.progress import shown
    from janitor.config import load
    from janitor.engine.plan import plan
    from janitor.engine.progress import Progress

    if file is not None:
        require_private(file, "the plan")
    config, progress = load(settings.config_path()), Progress()
    registry = open_registry(config, read_only=True)
    time = Time(utc_now if at is None else lambda: at)

    async def look() -> Plan:
        # An exception from a signal's handler would surface in whatever task is running.
        if (task := asyncio.current_task()) is not None:
            asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
        opened = compose(config, registry, changing=False, time=time, progress=progress)
        async with opened as context:
            return await plan(context, scope, hypothetical=at is not None)

    with registry:
        try:
            with shown(progress):
                made = run_loop(look)
        except (asyncio.CancelledError, KeyboardInterrupt) as stopped:
            complain("stopped; nothing was changed")
            is_int = isinstance(stopped, KeyboardInterrupt)
            quit_with(128 + (signal.SIGINT if is_int else signal.SIGTERM))
        render.plan(settings, made, file, registry.pauses.in_force(made.now))
    quit_with(made.exit_code)


@click.command("sweep")
@click.option("--policy", help="Only threads governed by this policy.")
@click.option(
    "--limit",
    type=Count(1),
    help="Look at this many threads at most; the next sweep continues there.",
)
@click.option("--wait", type=DURATION, default="30s", help="How long to wait for another janitor.")
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
    """Run one sweep, then exit: for one-off runs and timers.

    \b
    Examples:
      janitor sweep
      janitor sweep --policy trial-chats --limit 100
      janitor sweep --metrics-textfile /var/lib/node_exporter/janitor.prom
    """
    from janitor.app.lists import discover_due
    from janitor.engine.plan import PlanScope
    from janitor.engine.sweep import Orders, sweep

    if dry_run:
        if policy is not None or limit is not None:
            complain("--dry-run shows a whole sweep; it does not apply --policy and --limit")
        _plan(settings, PlanScope(), None, None)
        return
    orders = Orders(policy, limit)

    async def work(context: RunContext, stop: threading.Event) -> Report:
        _require_policy(context, policy)
        lists = await discover_due(context, stop)
        return replace(await sweep(context, orders, stop), lists=lists)

    run(
        settings,
        wait,
        metrics_textfile,
        work,
        shared=orders.is_shared,
        reads_sources=True,
        create=True,
    )


def _require_policy(context: RunContext, name: str | None) -> None:
    from janitor.policy import PSEUDO_POLICIES

    known = [rule.name for rule in context.policies.rules] + [*PSEUDO_POLICIES]
    if name is not None and name not in known:
        raise ConfigError(f"--policy {name}: no such policy; known: {', '.join(known)}")


@click.command("apply")
@click.argument("file", type=click.Path(exists=True, path_type=Path, dir_okay=False))
@click.option("--max-age", type=DURATION, default="24h", help="Refuse a plan older than this.")
@click.option("--wait", type=DURATION, default="30s", help="How long to wait for another janitor.")
@click.option("--detach", is_flag=True, help="Hand it to the running service, and return at once.")
@click.pass_obj
def apply_command(
    settings: Settings, *, file: Path, max_age: timedelta, wait: timedelta, detach: bool
) -> None:
    """Apply a reviewed plan; threads that changed since are kept and reported as drift.

    Also approves the policies that were waiting for approval when the plan was made. If
    interrupted or killed, run it again to continue where it stopped; its age counts at its first
    start.

    \b
    Examples:
      janitor plan -o plan.json
      janitor apply plan.json
      janitor apply plan.json --detach
    """
    from janitor.cli.options import person
    from janitor.engine.apply import PlanSite, apply, check, load
    from janitor.rate_limit import Urgency

    made = load(_bytes(file), str(file))
    if detach:
        _hand_over(settings, made, str(file), max_age)
        return

    async def work(context: RunContext, stop: threading.Event) -> Report:
        check(
            PlanSite(context.registry, context.policies, context.clock()), made, str(file), max_age
        )
        return await apply(context, made, stop, person())

    run(settings, wait, None, work, urgency=Urgency.APPLY, reads_sources=True)


def _hand_over(settings: Settings, made: Plan, name: str, max_age: timedelta) -> None:
    """Store a reviewed plan in the registry for the service, if it is valid.

    Raises:
        ConfigError: `check` refuses it.
    """
    from janitor.config import load
    from janitor.engine.apply import PlanSite, check, compact
    from janitor.registry import Registry

    config, at = load(settings.config_path(), environment=False), now()
    password = config.registry.password.reveal() or None
    with Registry.open(
        config.registry.url, password=password, create=False, untrusted=None, screen=None
    ) as registry:
        check(PlanSite(registry, config.policies, at), made, name, max_age)
        document = compact(made)
        handed = registry.plans.hand_over(
            made.digest, document, actor=person(), max_age=max_age, now=at
        )
    threads = made.decisions.acting
    if not settings.wants_table:
        about = {"digest": made.digest, "threads": threads, "follow": "janitor runs"}
        emit(settings, {**about, "actor": handed.actor, "handed_over_at": handed.at})
        return
    click.echo(
        f"handed over: plan {made.digest}, {counted(threads, 'thread')}, by {plain(handed.actor)}"
    )
    click.echo(
        "`janitor serve` applies it between two sweeps: within seconds if one is running on this "
        "registry, otherwise once one is started.\nFollow it with: janitor runs"
    )


def _bytes(file: Path) -> bytes:
    from janitor.config.regular_file import read_regular

    try:
        return read_regular(file)
    except OSError as error:
        kind = StoreError if is_scarce(error) else ConfigError
        raise kind(f"{file}: cannot be read: {cause(error, 'name another')}") from error


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
    """Hold the run lock, do the work, show the report, and exit with its code."""
    from janitor.app.run_context import run_context
    from janitor.app.run_metrics import require_writable, write_metrics
    from janitor.cli import render
    from janitor.cli.progress import ProgressView, open_shown
    from janitor.config import load
    from janitor.metrics import Metrics
    from janitor.rate_limit import Urgency

    config, metrics = load(settings.config_path()), Metrics()
    view = ProgressView(metrics)
    metrics.reloaded.set(1)
    if textfile is not None:
        require_writable(textfile)
    with (
        open_shown(config, view.progress, create=create) as registry,
        run_context(
            *(config, registry, view, wait),
            tell=complain,
            shared=shared,
            urgency=Urgency.SWEEP if urgency is None else urgency,
            reads_sources=reads_sources,
        ) as run,
    ):
        report = run.carry_out(work)
        try:
            render.report(settings, report)
        finally:
            if textfile is not None:
                write_metrics(metrics, registry, textfile, now())
    quit_with(run.stop.exit_code(report.exit_code))


SHORTEST = 12
HEX = re.compile(f"[0-9a-f]{{{SHORTEST},64}}")


@click.command("approve")
@click.argument("digest")
@click.option("--reason", required=True, help="Why; recorded with your name and the time.")
@click.pass_obj
def approve_command(settings: Settings, *, digest: str, reason: str) -> None:
    """Approve policy changes that delete sooner than the policies before.

    DIGEST is the policies' digest, or its first 12 characters, as `plan`, `sweep` and `validate`
    print it. It takes effect with the next sweep; a sweep that is already running is not affected.

    \b
    Examples:
      janitor plan
      janitor approve 3f2a9c41d07b --reason "agreed with legal, ticket 17"
    """
    from janitor.config import load
    from janitor.engine.redecide import approve
    from janitor.policy import policies_digest
    from janitor.registry import Registry

    config = load(settings.config_path(), environment=False)
    configured, at, actor = policies_digest(config.policies), now(), person()
    _require_reason(reason)
    password = config.registry.password.reveal() or None
    url = config.registry.url
    with Registry.open(
        url, password=password, create=False, untrusted=None, screen=config.screen
    ) as registry:
        _require(registry, digest.lower(), configured)
        waiting = registry.policies.unapproved()
        approve(registry, config.policies, actor, reason, at)
    is_counted = waiting is not None and waiting.digest == configured
    threads = dict(waiting.threads) if waiting is not None and is_counted else None
    if settings.wants_table:
        click.echo(f"approved: {configured[:SHORTEST]}, by {plain(actor)}")
        click.echo(_counted(threads))
        return
    document = {
        "digest": configured,
        "actor": actor,
        "reason": reason,
        "at": at,
        "threads": threads,
    }
    emit(settings, document)


def _counted(threads: dict[str, int] | None) -> str:
    if threads is None:
        return (
            "no sweep has counted what waits for it; it takes effect with the next one. See: "
            "janitor plan"
        )
    return (
        f"{counted(sum(threads.values()), 'thread')} waited for it; it takes effect with the next "
        "sweep."
    )


def _require_reason(reason: str) -> None:
    if not reason.strip():
        raise ConfigError("--reason must not be empty: it is kept on record")


def _require(registry: Registry, wanted: str, configured: str) -> None:
    """Refuse any digest but that of the configured policies, and that one if already approved."""
    if HEX.fullmatch(wanted) is None:
        raise ConfigError(
            f"{plain(wanted)} is not a digest: write at least the first {SHORTEST} characters of "
            "the one that `janitor plan` prints"
        )
    if not configured.startswith(wanted):
        raise ConfigError(
            f"{wanted} is not the digest of the configured policies, which is "
            f"{configured[:SHORTEST]}: run `janitor plan`, then approve the digest that it shows"
        )
    last = registry.policies.approval()
    if last is not None and last.digest == configured:
        raise ConfigError(
            f"{configured[:SHORTEST]} was already approved by {plain(last.actor)} on "
            f"{last.at:%Y-%m-%d %H:%M} UTC: nothing to do"
        )


@click.command("restore")
@click.argument("ids", nargs=-1, required=True, metavar="ID...")
@click.option("--keep", type=DURATION, default="30d", help="Keep it for at least this long.")
@click.option("--wait", type=DURATION, default="30s", help="How long to wait for another janitor.")
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
    from janitor.app.open_registry import open_registry
    from janitor.cli.progress import run_locked
    from janitor.config import load

    config = load(settings.config_path())
    with open_registry(config) as registry, run_locked(registry, wait):
        found = run_loop(lambda: _restore(config, registry, ids, keep))
    _show(settings, found, keep)
    quit_with(found.exit_code)


def _show(settings: Settings, found: Restored, keep: timedelta) -> None:
    done, run = [key.id for key in found.done], found.run.id
    if settings.wants_table:
        from janitor.config.fields import format_duration

        kept = format_duration(keep)
        click.echo(f"{len(done)} restored, and kept for at least {kept}. Run {run}.")
    else:
        failed = [{**asdict(key), "error": error} for key, error in found.failed.items()]
        emit(settings, {"run": run, "restored": done, "failed": failed})
    for line in found.causes:
        complain(line)
    if found.failed:
        left = " ".join(key.id for key in found.failed)
        message = (
            f"{len(found.failed)} stay soft-deleted. Fix that, then run: janitor restore {left}"
        )
        complain(message)


async def _restore(
    config: Config, registry: Registry, ids: tuple[str, ...], keep: timedelta
) -> Restored:
    from janitor.app.compose import compose
    from janitor.engine.restore import chosen, restore

    async with compose(config, registry, changing=True) as context:
        return await restore(context, chosen(context, ids), keep)
