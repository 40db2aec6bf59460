"""`pause` and `resume`: a person's orders, stored in the registry."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import TYPE_CHECKING, TypeVar

import click

from janitor.cli.options import DURATION, person
from janitor.cli.output import Settings, emit, now
from janitor.errors import ConfigError
from janitor.texts import plain

if TYPE_CHECKING:
    from janitor.registry import Registry

Command = TypeVar("Command", bound=Callable[..., None])


def _scoped(command: Command) -> Command:
    """Add the options that say what is meant, and in which registry."""
    for option in (
        click.option("--project", help="Only this project."),
        click.option("--policy", help="Only threads governed by this policy."),
        click.option("--registry", help="The registry's URL, if the configuration cannot be read."),
    ):
        command = option(command)
    return command


@click.command("pause")
@click.option("--for", "span", type=DURATION, help="Resume automatically after this long.")
@click.option("--reason", required=True, help="Why; shown to everybody who looks.")
@_scoped
@click.pass_obj
def pause_command(
    settings: Settings,
    *,
    span: timedelta | None,
    reason: str,
    project: str | None,
    policy: str | None,
    registry: str | None,
) -> None:
    """Pause everything, a project or a policy; every replica stops before its next call.

    Registration and metrics continue. Works even while the configuration is broken.

    \b
    Examples:
      janitor pause --reason "incident 42"
      janitor pause --policy trial-chats --for 12h --reason "wrong plan in the metadata"
    """
    from janitor.registry import Pause

    scope, at = _scope(project, policy), now()
    if registry is None:
        _require_known(settings, project, policy)
    until = at + span if span else None
    with _opened(settings, registry) as opened:
        opened.pauses.add(Pause(scope, reason, person(), at, until))
    if settings.wants_table:
        end = f"until {until:%Y-%m-%d %H:%M} UTC" if until else "until `janitor resume`"
        click.echo(f"paused: {_named(scope)}, {end}")
    else:
        emit(settings, {"scope": scope, "until": until, "reason": reason})


@click.command("resume")
@_scoped
@click.pass_obj
def resume_command(
    settings: Settings, *, project: str | None, policy: str | None, registry: str | None
) -> None:
    """End a pause of the same scope; say which pauses are still in force.

    \b
    Examples:
      janitor resume
      janitor resume --policy trial-chats
    """
    from janitor.cli.render import pause_document
    from janitor.engine.pauses import message

    scope = _scope(project, policy)
    with _opened(settings, registry) as opened:
        if not opened.pauses.end(scope):
            raise ConfigError(f"nothing to resume: there is no pause of {_named(scope)}")
        left = opened.pauses.in_force(now())
    if settings.wants_table:
        click.echo(f"resumed: {_named(scope)}")
        for pause in left:
            click.echo(f"still in force: {plain(message(pause))}")
    else:
        emit(settings, {"scope": scope, "pauses": [pause_document(one) for one in left]})


def _scope(project: str | None, policy: str | None) -> str:
    if project and policy:
        raise click.UsageError("name a project or a policy, not both")
    if project:
        return f"project:{project}"
    return f"policy:{policy}" if policy else "all"


def _named(scope: str) -> str:
    """A scope as messages call it."""
    return "everything" if scope == "all" else plain(scope)


def _opened(settings: Settings, url: str | None) -> Registry:
    from janitor.config import load_registry
    from janitor.registry import Registry

    if url:
        return Registry.open(url, create=False, untrusted=None, screen=None)
    where = load_registry(settings.config_path())
    password = where.password.reveal() or None
    return Registry.open(where.url, password=password, create=False, untrusted=None, screen=None)


def _require_known(settings: Settings, project: str | None, policy: str | None) -> None:
    """Refuse an unknown project or policy; if the configuration is broken, accept any name."""
    from janitor.config import load
    from janitor.policy import PSEUDO_POLICIES

    try:
        config = load(settings.config_path(), environment=False)
    except ConfigError:
        return
    _require("--project", project, [*config.projects])
    _require("--policy", policy, [*(rule.name for rule in config.policies.rules), *PSEUDO_POLICIES])


def _require(option: str, name: str | None, known: list[str]) -> None:
    if name is not None and name not in known:
        there = ", ".join(known) or "none"
        raise ConfigError(f"{option} {plain(name)}: no such name; known: {there}")
