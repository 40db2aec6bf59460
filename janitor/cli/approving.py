"""`approve`: a person's word that changed policies may take effect."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import click

from janitor.cli.context import Settings, emit, plain
from janitor.cli.options import person
from janitor.errors import ConfigError

if TYPE_CHECKING:
    from janitor.registry import Registry

SHORTEST = 12
HEX = re.compile(f"[0-9a-f]{{{SHORTEST},64}}")


@click.command("approve")
@click.argument("digest")
@click.option("--reason", required=True, help="Why; it is recorded with your name and the time.")
@click.pass_obj
def approve_command(settings: Settings, *, digest: str, reason: str) -> None:
    """Let the configured policies take effect where they remove earlier than those before.

    DIGEST is the policies' digest, or its first 12 characters, as `plan`, `sweep` and `validate`
    print it. The next sweep goes by it; one that runs at this moment ends as it began.

    \b
    Examples:
      janitor plan
      janitor approve 3f2a9c41d07b --reason "agreed with legal, ticket 17"
    """
    from janitor.cli.showing import now
    from janitor.config import load
    from janitor.policy import policies_digest
    from janitor.registry import Registry
    from janitor.sweep.approval import approve

    config = load(settings.config_path(), environment=False)
    configured, at, actor = policies_digest(config.policies), now(), person()
    _require_reason(reason)
    password = config.registry.password.reveal() or None
    url = config.registry.url
    with Registry.open(
        url, password=password, create=False, untrusted=None, screen=config.screen
    ) as registry:
        _require(registry, digest.lower(), configured)
        waiting = registry.unapproved()
        approve(registry, config.policies, actor, reason, at)
    is_counted = waiting is not None and waiting.digest == configured
    threads = dict(waiting.threads) if waiting is not None and is_counted else None
    if settings.wants_table:
        click.echo(f"approved: {configured[:SHORTEST]}, by {plain(actor)}")
        click.echo(_counted(threads))
        return
    said = {"digest": configured, "actor": actor, "reason": reason, "at": at, "threads": threads}
    emit(settings, said)


def _counted(threads: dict[str, int] | None) -> str:
    if threads is None:
        return "no sweep has counted what waited for it; the next one goes by it. See: janitor plan"
    return f"{sum(threads.values())} threads waited for it; the next sweep goes by it."


def _require_reason(reason: str) -> None:
    if not reason.strip():
        raise ConfigError("--reason is empty: say why, for whoever asks later")


def _require(registry: Registry, wanted: str, configured: str) -> None:
    """Refuse any digest but that of the configured policies, while it is not yet approved."""
    if HEX.fullmatch(wanted) is None:
        raise ConfigError(
            f"{plain(wanted)} is no digest: write the first {SHORTEST} characters or more of the "
            "one that `janitor plan` prints"
        )
    if not configured.startswith(wanted):
        raise ConfigError(
            f"{wanted} is not the digest of the configured policies, which is "
            f"{configured[:SHORTEST]}: look at `janitor plan`, then approve what it shows"
        )
    last = registry.approval()
    if last is not None and last.digest == configured:
        raise ConfigError(
            f"{configured[:SHORTEST]} is approved already, by {plain(last.actor)} on "
            f"{last.at:%Y-%m-%d %H:%M} UTC: there is nothing left to do"
        )
