"""Plans that are handed over: by a person, with `apply --detach`, and taken on by the service."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable
from datetime import timedelta
from time import monotonic
from typing import TYPE_CHECKING

import click

from janitor.cli.context import Settings, emit, plain
from janitor.cli.options import person
from janitor.errors import ConfigError, JanitorError, LockedError

if TYPE_CHECKING:
    from janitor.cli.compose import Time
    from janitor.cli.measuring import Counted
    from janitor.config import Config
    from janitor.metrics import Metrics
    from janitor.registry import Handover, Registry
    from janitor.sweep import Plan, Report

log = logging.getLogger("janitor")

REST = 300.0
"""Seconds after which a plan that could not be carried out to its end is gone on with."""


def hand_over(settings: Settings, made: Plan, name: str, max_age: timedelta) -> None:
    """Leave a reviewed plan in the registry for the service, unless it is not valid.

    Raises:
        ConfigError: As `check` refuses it.
    """
    from janitor.cli.showing import now
    from janitor.config import load
    from janitor.registry import Registry
    from janitor.sweep import Here, check, compact

    config, at = load(settings.config_path(), environment=False), now()
    password = config.registry.password.reveal() or None
    with Registry.open(
        config.registry.url, password=password, create=False, untrusted=None, screen=None
    ) as registry:
        check(Here(registry, config.policies, at), made, name, max_age)
        said = compact(made)
        handed = registry.hand_over(made.digest, said, actor=person(), max_age=max_age, now=at)
    threads = sum(1 for row in made.decisions if row.stages)
    if not settings.wants_table:
        about = {"digest": made.digest, "threads": threads, "follow": "janitor runs"}
        emit(settings, {**about, "actor": handed.actor, "handed_over_at": handed.at})
        return
    click.echo(f"handed over: plan {made.digest}, {threads} threads, by {plain(handed.actor)}")
    click.echo(
        "`janitor serve` carries it out between two sweeps, within seconds where one runs on this "
        "registry; otherwise it waits until one is started.\nFollow it with: janitor runs"
    )


class Errands:
    """Carries out what was handed over, one plan at a time, each to its end.

    A plan that is no longer valid is refused and waits no longer; one that a stop or a failure
    cut short is gone on with.
    """

    def __init__(
        self,
        config: Callable[[], Config],
        registry: Registry,
        metrics: Metrics,
        counted: Counted,
        time: Time,
    ) -> None:
        self._config = config
        self._registry = registry
        self._metrics = metrics
        self._counted = counted
        self._time = time
        self._rests_until = 0.0

    def run(self, stop: threading.Event) -> None:
        """Carry out the plan that has waited longest, unless somebody else has the run.

        Raises:
            JanitorError: It could not be done, or not to its end; it is gone on with later.
        """
        from janitor.cli.turn import turn

        if monotonic() < self._rests_until or not self._registry.handed_over():
            return
        try:
            with turn(self._registry, timedelta()):
                # Another replica may have done it in the meantime.
                for handed in self._registry.handed_over()[:1]:
                    self._take_on(handed, stop)
        except LockedError:
            return  # sweeps are under way: it waits for their end
        except JanitorError:
            self._rest()
            raise

    def _take_on(self, handed: Handover, stop: threading.Event) -> None:
        from janitor.registry import RunResult
        from janitor.registry.pausing import EVERYTHING

        if any(pause.scope == EVERYTHING for pause in self._registry.pauses(self._time.now())):
            return
        try:
            if (made := self._valid(handed)) is None:
                return
            report = asyncio.run(self._carry_out(made, handed.actor, stop))
        finally:
            self._counted.keep()
        if report.run.result is RunResult.PARTIAL and not stop.is_set():
            self._rest()

    def _rest(self) -> None:
        self._rests_until = monotonic() + REST

    def _valid(self, handed: Handover) -> Plan | None:
        """The plan that was handed over; `None` where it was refused."""
        from janitor.cli import measuring
        from janitor.sweep import Here, check, load, refuse

        here = Here(self._registry, self._config().policies, self._time.now())
        name = f"plan {handed.digest[:12]}"
        try:
            document = self._registry.handed_over_document(handed.number) or ""
            made = load(document.encode(), name)
            check(here, made, name, handed.max_age)
        except ConfigError as error:
            run = refuse(here, handed.digest, str(error))
            measuring.applied(self._metrics, "refused")
            log.error("what was handed over is refused: %s", error, extra={"run": run.id})  # noqa: TRY400
            return None
        return made

    async def _carry_out(self, made: Plan, actor: str, stop: threading.Event) -> Report:
        from janitor.cli import measuring
        from janitor.cli.compose import parts
        from janitor.cli.inbox import take_in
        from janitor.cli.progress import Watch, complain, summarize
        from janitor.cli.syncing import read_sources
        from janitor.pace import Urgency
        from janitor.sweep import apply

        opened = parts(
            self._config(),
            self._registry,
            changing=True,
            time=self._time,
            metrics=self._metrics,
            notify=Watch(self._metrics),
            stop=stop,
            urgency=Urgency.APPLY,
        )
        async with opened as composed:
            take_in(self._registry, self._time.now())
            read_sources(self._config(), self._registry, self._metrics, self._time.now, stop)
            report = await apply(composed, made, stop, actor)
            await measuring.end(self._metrics, report, composed)
        summarize(report)
        complain(report)
        return report
