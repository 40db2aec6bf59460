"""`doctor`: what is fine, what is not, and what is kept where for how long.

`doctor --canary`: puts together the parts that a canary needs.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import asdict
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import click

from janitor.app.event_loop import run_loop
from janitor.cli.options import DURATION, quit_with
from janitor.cli.output import Settings, complain, emit, hanging, now, table
from janitor.errors import ConfigError, JanitorError
from janitor.texts import counted, plain

if TYPE_CHECKING:
    from janitor.config import Config, Project
    from janitor.doctor import Finding, Kept
    from janitor.engine.clock import ClockWatch
    from janitor.model import Kind
    from janitor.registry import Registry


SECONDS = 300.0


def canaries(config: Config, wait: timedelta) -> list[Finding]:
    """One canary for each project that serves conversations, under the run's lock.

    Raises:
        JanitorError: The registry cannot be written, or another janitor holds the run.
    """
    from janitor.app.open_registry import open_registry
    from janitor.cli.progress import run_locked

    with open_registry(config, create=True) as registry, run_locked(registry, wait):
        return run_loop(lambda: _canaries(config, registry))


async def _canaries(config: Config, registry: Registry) -> list[Finding]:
    from janitor.doctor import attempt_later

    found: list[Finding] = []
    for project in config.projects.values():
        check = f"canary {project.name}"
        found += await attempt_later(check, _canary(config, project, registry), SECONDS)
    return found


async def _canary(config: Config, project: Project, registry: Registry) -> list[Finding]:
    """Run a project's canary over the same guard, counters and limiter as every other call."""
    from janitor.app.compose import pace_of
    from janitor.app.targets import endpoint
    from janitor.doctor import CanaryRun, try_canary
    from janitor.doctor.findings import fine
    from janitor.drivers import Planting, SendGuard
    from janitor.drivers.connect import Outbound, connect
    from janitor.drivers.guarded_transport import GuardedTransport
    from janitor.metrics import Metrics
    from janitor.model import Kind
    from janitor.rate_limit.transport import PacedTransport

    if Kind.CONVERSATION not in project.kinds:
        return [fine(f"canary {project.name}", "serves no conversations; not tested")]
    pace = pace_of(project, registry, Metrics(), asyncio.sleep, changing=True)
    transport = PacedTransport(GuardedTransport(Outbound(1), SendGuard()), pace)
    async with connect(endpoint(project), transport=transport, concurrency=1) as drivers:
        driver = drivers[Kind.CONVERSATION]
        if not isinstance(driver, Planting):
            raise TypeError(type(driver).__name__)
        return await try_canary(CanaryRun(project.name, driver, registry, config.policies, now))


ASKED = 3


@click.command("doctor")
@click.option(
    "--privacy", is_flag=True, help="Show what data is kept, where and for how long, instead."
)
@click.option("--canary", is_flag=True, help="Also test whether items outlive their conversation.")
@click.option("--wait", type=DURATION, default="30s", help="How long to wait for another janitor.")
@click.pass_obj
def doctor_command(settings: Settings, *, privacy: bool, canary: bool, wait: timedelta) -> None:
    """Check everything that janitor needs, and say how to fix what is wrong.

    Checks configuration, installation, environment, secrets, permissions, database, sweeps,
    sources, credentials and endpoints, clock, archive and port. Changes nothing, except that it
    writes one test object to the archive and removes it again. Exit code: 0 if nothing is broken
    (warnings included), else 2 for the configuration or installation, 3 for access or storage, 4
    for the clock.

    With --canary it creates a conversation in each project, registers it, deletes it without its
    one item, and asks for the item: this shows whether `delete: {items: first}` is needed. It does
    so in audit mode too.

    \b
    Examples:
      janitor doctor
      janitor doctor --canary
      janitor doctor --privacy
      janitor --output json doctor
    """
    config, findings = _configured(settings)
    with ExitStack() as stack:
        registry = None if config is None else _registry(stack, config, findings)
        if privacy:
            _show_kept(settings, config, registry, findings)
        elif config is not None:
            findings += _looked(config, registry)
            findings += _sharing(config)
            findings += run_loop(lambda: _asked(config, registry))
            findings += _tried(config, wait) if canary else []
    _show(settings, findings)


def _configured(settings: Settings) -> tuple[Config | None, list[Finding]]:
    """The configuration, or why there is none; without the hash key it stays unscreened.

    In that case nothing about the registry is checked.
    """
    from janitor.config import load
    from janitor.config.explain import explain
    from janitor.doctor.findings import doubtful, fine, wrong

    check = "configuration"
    try:
        path = settings.config_path()
        config = load(path, environment=False, screened=False)
    except ConfigError as error:
        says = "; ".join([str(error), *map(str, error.refusals)])
        return None, [wrong(check, says, "fix the file; janitor validate", code=2)]
    mode = config.policies.mode.value
    doing = "a sweep only reports what it would do" if mode == "audit" else "a sweep acts"
    found = [fine(check, f"{path} is valid; mode {mode}: {doing}")]
    if number := len(explain(config).warnings):
        message = f"{counted(number, 'thing looks', 'things look')} like a mistake"
        found.append(doubtful(check, message, "janitor validate"))
    with suppress(ConfigError):  # the checks that need the key report that it is missing
        config = load(path, environment=False)
    return config, found


def _registry(stack: ExitStack, config: Config, findings: list[Finding]) -> Registry | None:
    """The registry, read-only; `None`, with a finding that says why, if it cannot be read."""
    from janitor.app.open_registry import open_registry
    from janitor.doctor import open_finding
    from janitor.doctor.findings import attempt, doubtful, told

    path = config.registry.path
    if path is not None and not path.exists():
        says, todo = f"{path} does not exist yet", "janitor import, sync or sweep creates it"
        findings.append(doubtful("database", says, todo))
        return None
    try:
        config.registry.screen()  # what it hides must be known before anything is compared with it
        registry = stack.enter_context(open_registry(config, read_only=True))
    except JanitorError as error:
        findings.append(told("database", error))
        return None
    findings += attempt("database", lambda: open_finding(config, registry))
    return registry


def _looked(config: Config, registry: Registry | None) -> list[Finding]:
    from janitor.doctor import (
        attempt,
        look_at_environment,
        look_at_files,
        look_at_installation,
        look_at_port,
        look_at_secrets,
        look_at_spools,
        look_at_work,
    )

    found = attempt("installation", look_at_installation)
    found += attempt("environment", look_at_environment)
    found += attempt("secrets", lambda: look_at_secrets(config))
    found += attempt("permissions", lambda: look_at_files(config))
    at = now()
    if registry is not None:
        due_by = _due_by(config, registry, at)
        found += attempt("work", lambda: look_at_work(config, registry, at, due_by))
    found += attempt("spools", lambda: look_at_spools(config, at))
    return found + attempt("port", lambda: look_at_port(config))


def _sharing(config: Config) -> list[Finding]:
    """Projects that reach the same containers by their values, however those are spelled."""
    from janitor.app.targets import endpoint
    from janitor.doctor.findings import doubtful
    from janitor.engine.shared_containers import sharing, warning

    accounts: dict[str, str] = {}
    for name, project in config.projects.items():
        with suppress(ConfigError):  # an unreadable secret is reported with the secrets
            accounts[name] = endpoint(project).account
    todo = "remove one of them from `projects`, or give each its own key"
    return [doubtful("projects", warning(names), todo) for names in sharing(accounts)]


def _due_by(config: Config, registry: Registry, at: datetime) -> datetime | None:
    """When the sweep after the last complete one should have ended."""
    from janitor.service.scheduler import Schedule, Trigger

    if (last := registry.runs.last_completed(at)) is None:
        return None
    configured, longest = config.schedule, config.policies.limits.max_duration
    if configured.every is not None:
        return last + configured.every + configured.jitter + longest
    schedule = Schedule(configured.cron, configured.every, configured.timezone, configured.jitter)
    return Trigger(schedule).get_next_fire_time(None, last) + longest


def _unset(config: Config) -> list[str]:
    """The API keys that cannot be read, by the variable or file of each."""
    unset = []
    for project in config.projects.values():
        try:
            project.api_key.reveal()
        except ConfigError:
            unset.append(project.api_key.name)
    return unset


async def _asked(config: Config, registry: Registry | None) -> list[Finding]:
    """The checks that ask the API, and those of the clock and the archive."""
    from janitor.app.clock import uptime
    from janitor.doctor import attempt, attempt_later, look_at_archive, look_at_clock
    from janitor.engine.clock import ClockWatch

    watch = ClockWatch(config.policies.limits.clock_step, now, uptime)
    calls = (
        attempt_later(f"access {project.name}", _access(project, registry, watch))
        for project in config.projects.values()
    )
    found = [finding for answers in await asyncio.gather(*calls) for finding in answers]
    found += attempt("clock", lambda: look_at_clock(watch, registry, _unset(config)))
    archives = any(rule.archive for rule in config.policies.rules)
    if archives or (registry is not None and registry.copies.count()):
        looking = look_at_archive(config, registry, now())
        found += await attempt_later("archive", looking)
    return found


def _tried(config: Config, wait: timedelta) -> list[Finding]:
    from janitor.doctor import attempt

    return attempt("canary", lambda: canaries(config, wait))


async def _access(
    project: Project, registry: Registry | None, watch: ClockWatch
) -> Sequence[Finding]:
    from janitor.app.targets import endpoint
    from janitor.doctor import look_at_project
    from janitor.drivers import SendGuard, read_only
    from janitor.drivers.connect import Outbound, connect
    from janitor.drivers.guarded_transport import GuardedTransport

    target, guard = endpoint(project), SendGuard()
    guard.dated = watch.hear
    known = {} if registry is None else _known(project, registry)
    transport = GuardedTransport(Outbound(ASKED), guard)
    async with connect(target, transport=transport, concurrency=ASKED) as drivers:
        asked = {kind: read_only(drivers[kind]) for kind in project.kinds}
        return list(await look_at_project(project.name, target.host, asked, known))


def _known(project: Project, registry: Registry) -> Mapping[Kind, list[str]]:
    """For each kind, the threads that were last seen alive."""
    return {
        kind: [
            entry.thread.key.id
            for entry in registry.threads.canaries((project.name, kind), ASKED)
            if entry.sightings.alive_at is not None
        ]
        for kind in project.kinds
    }


def _show(settings: Settings, findings: list[Finding]) -> None:
    from janitor.doctor import exit_code

    if settings.wants_table:
        for one in findings:
            hanging(f"{one.verdict:4}  ", f"{plain(one.check)}: {plain(one.says)}")
            if one.todo is not None:
                hanging("      -> ", plain(one.todo))
    else:
        emit(settings, {"findings": [asdict(one) for one in findings]}, rows="findings")
    quit_with(exit_code(findings))


def _show_kept(
    settings: Settings, config: Config | None, registry: Registry | None, findings: list[Finding]
) -> None:
    """Show what is kept and what could not be read, and exit; do nothing without configuration."""
    from janitor.doctor import Verdict, exit_code, what_is_kept

    if config is None:
        return
    kept = list(what_is_kept(config, registry))
    if settings.wants_table:
        table("What is kept", ("where", "what", "how long", "now"), map(_kept_row, kept))
    else:
        emit(settings, {"kept": [asdict(one) for one in kept]}, rows="kept")
    for one in findings:
        if one.verdict is not Verdict.OK and one.check != "configuration":
            complain(one.says)
    quit_with(exit_code(findings))


def _kept_row(kept: Kept) -> tuple[object, ...]:
    now = ", ".join(f"{number} {what}" for what, number in kept.numbers.items())
    return kept.where, kept.what, kept.how_long, now
