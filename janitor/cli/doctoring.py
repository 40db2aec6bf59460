"""`doctor`: what is well, what is not, and what is kept where for how long."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import asdict
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import click

from janitor.cli.context import Settings, emit, plain, table
from janitor.cli.options import DURATION, quit_with
from janitor.errors import ConfigError, JanitorError

if TYPE_CHECKING:
    from janitor.config import Config, Project
    from janitor.doctor import Finding, Kept
    from janitor.model import Kind
    from janitor.registry import Registry
    from janitor.sweep.clocks import ClockWatch

ASKED = 3


@click.command("doctor")
@click.option("--privacy", is_flag=True, help="Say instead what is kept where, and for how long.")
@click.option(
    "--canary", is_flag=True, help="Try, too, whether items outlive their conversation there."
)
@click.option("--wait", type=DURATION, default="30s", help="Wait so long for another janitor.")
@click.pass_obj
def doctor_command(settings: Settings, *, privacy: bool, canary: bool, wait: timedelta) -> None:
    """Look at everything that janitor needs, and say what to do about what is not well.

    Configuration, installation, environment, secrets, permissions, database, sweeps, sources,
    credentials and endpoints, clock, archive and port. None of it changes anything, but that an
    object is put into the archive and taken away again. Exit code: 0 where nothing is in the way
    (warnings included), else 2 for a configuration or an installation, 3 for an access or a store,
    4 for the clock.

    With --canary a conversation is made in each project, registered, deleted without its one item,
    and the item asked for: that tells whether `delete: {items: first}` is needed. Under audit, too.

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
            findings += asyncio.run(_asked(config, registry))
            findings += _tried(config, wait) if canary else []
    _show(settings, findings)


def _configured(settings: Settings) -> tuple[Config | None, list[Finding]]:
    """The configuration, or why there is none; a hash key that is not there leaves it unscreened.

    Then nothing that has to do with the registry is looked at.
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
        return None, [wrong(check, says, "mend the file; janitor validate", code=2)]
    mode = config.policies.mode.value
    doing = "a sweep only says what it would do" if mode == "audit" else "a sweep acts"
    found = [fine(check, f"{path} is accepted; mode {mode}: {doing}")]
    if number := len(explain(config).warnings):
        found.append(doubtful(check, f"{number} things look like a mistake", "janitor validate"))
    with suppress(ConfigError):  # whoever needs the key says that it is not there
        config = load(path, environment=False)
    return config, found


def _registry(stack: ExitStack, config: Config, findings: list[Finding]) -> Registry | None:
    """The registry, read-only; `None`, and why, where there is none to read."""
    from janitor.cli.compose import open_registry
    from janitor.doctor import open_finding
    from janitor.doctor.findings import attempt, doubtful, told

    path = config.registry.path
    if path is not None and not path.exists():
        says, todo = f"{path} does not exist yet", "janitor import, or let an application track()"
        findings.append(doubtful("database", says, todo))
        return None
    try:
        config.registry.screen()  # what it hides must be known before anything is compared
        registry = stack.enter_context(open_registry(config, read_only=True))
    except JanitorError as error:
        findings.append(told("database", error))
        return None
    findings += attempt("database", lambda: open_finding(config, registry))
    return registry


def _looked(config: Config, registry: Registry | None) -> list[Finding]:
    from janitor.cli.showing import now
    from janitor.doctor import (
        attempt,
        look_at_environment,
        look_at_files,
        look_at_installation,
        look_at_port,
        look_at_secrets,
        look_at_work,
    )

    found = attempt("installation", look_at_installation)
    found += attempt("environment", look_at_environment)
    found += attempt("secrets", lambda: look_at_secrets(config))
    found += attempt("permissions", lambda: look_at_files(config))
    if registry is not None:
        at = now()
        due_by = _due_by(config, registry, at)
        found += attempt("work", lambda: look_at_work(config, registry, at, due_by))
    return found + attempt("port", lambda: look_at_port(config))


def _sharing(config: Config) -> list[Finding]:
    """Projects whose values say that they reach the same containers, however they are spelled."""
    from janitor.cli.targets import endpoint
    from janitor.doctor.findings import doubtful
    from janitor.sweep.twins import sharing, warning

    accounts: dict[str, str] = {}
    for name, project in config.projects.items():
        with suppress(ConfigError):  # a secret that cannot be read is told where secrets are
            accounts[name] = endpoint(project).account
    todo = "remove one of them from `projects`, or give each its own key"
    return [doubtful("projects", warning(names), todo) for names in sharing(accounts)]


def _due_by(config: Config, registry: Registry, at: datetime) -> datetime | None:
    """When the sweep after the last whole one should have ended."""
    from janitor.service import Schedule
    from janitor.service.schedule import Trigger

    if (last := registry.last_completed(at)) is None:
        return None
    said, longest = config.schedule, config.policies.limits.max_duration
    if said.every is not None:
        return last + said.every + said.jitter + longest
    schedule = Schedule(said.cron, said.every, said.timezone, said.jitter)
    return Trigger(schedule).get_next_fire_time(None, last) + longest


async def _asked(config: Config, registry: Registry | None) -> list[Finding]:
    """What is asked of the API and of the archive."""
    from janitor.cli.showing import now
    from janitor.cli.uptime import uptime
    from janitor.doctor import attempt, attempt_later, look_at_archive, look_at_clock
    from janitor.sweep.clocks import ClockWatch

    watch = ClockWatch(config.policies.limits.clock_step, now, uptime)
    calls = (
        attempt_later(f"access {project.name}", _access(project, registry, watch))
        for project in config.projects.values()
    )
    found = [finding for answers in await asyncio.gather(*calls) for finding in answers]
    found += attempt("clock", lambda: look_at_clock(watch, registry))
    archives = any(rule.archive for rule in config.policies.rules)
    if archives or (registry is not None and registry.copies()):
        looking = look_at_archive(config, registry, now())
        found += await attempt_later("archive", looking)
    return found


def _tried(config: Config, wait: timedelta) -> list[Finding]:
    from janitor.cli.canary import canaries
    from janitor.doctor import attempt

    return attempt("canary", lambda: canaries(config, wait))


async def _access(
    project: Project, registry: Registry | None, watch: ClockWatch
) -> Sequence[Finding]:
    from janitor.cli.targets import endpoint
    from janitor.doctor import look_at_project
    from janitor.drivers import Guard, GuardedTransport, Outbound, connect, read_only

    target, guard = endpoint(project), Guard()
    guard.dated = watch.hear
    known = {} if registry is None else _known(project, registry)
    transport = GuardedTransport(Outbound(ASKED), guard)
    async with connect(target, transport=transport, concurrency=ASKED) as drivers:
        asked = {kind: read_only(drivers[kind]) for kind in project.kinds}
        return list(await look_at_project(project.name, target.host, asked, known))


def _known(project: Project, registry: Registry) -> Mapping[Kind, list[str]]:
    """The threads of each kind that were seen alive last."""
    return {
        kind: [
            entry.thread.key.id
            for entry in registry.canaries((project.name, kind), ASKED)
            if entry.sightings.alive_at is not None
        ]
        for kind in project.kinds
    }


def _show(settings: Settings, findings: list[Finding]) -> None:
    from janitor.doctor import exit_code

    if settings.wants_table:
        for one in findings:
            click.echo(f"{one.verdict:4}  {plain(one.check)}: {plain(one.says)}")
            if one.todo is not None:
                click.echo(f"      -> {plain(one.todo)}")
    else:
        emit(settings, {"findings": [asdict(one) for one in findings]}, rows="findings")
    quit_with(exit_code(findings))


def _show_kept(
    settings: Settings, config: Config | None, registry: Registry | None, findings: list[Finding]
) -> None:
    """Show what is kept, and leave; what kept it from being known is told by the findings."""
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
            click.echo(f"janitor: {plain(one.says)}", err=True)
    quit_with(exit_code(findings))


def _kept_row(kept: Kept) -> tuple[object, ...]:
    now = ", ".join(f"{number} {what}" for what, number in kept.numbers.items())
    return kept.where, kept.what, kept.how_long, now
