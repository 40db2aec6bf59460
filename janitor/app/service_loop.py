"""The work of `serve`: sweeps, plans handed over, reloads, and requests over HTTP."""

from __future__ import annotations

import logging
import threading
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from janitor.app.clock import Time
from janitor.app.compose import show_rates
from janitor.app.event_loop import StopRequest
from janitor.app.inbox import take_in
from janitor.app.lists import discover_due
from janitor.app.plan_queue import PlanQueue
from janitor.app.run_context import Run
from janitor.app.run_lock import shared_run_lock
from janitor.app.run_log import RunLog, complain
from janitor.app.run_metrics import KeptCounters, look
from janitor.config import Config, load
from janitor.engine.context import RunContext
from janitor.engine.report import Report
from janitor.engine.sweep import Orders, sweep
from janitor.errors import ConfigError, FaultError, JanitorError, LockedError, StoppedError
from janitor.policy import PSEUDO_POLICIES
from janitor.registry import Registry
from janitor.service.endpoints import (
    Access,
    Health,
    Operations,
    Threads,
    Token,
    TokenScope,
    application,
)
from janitor.service.main import Service
from janitor.service.openapi import routes
from janitor.service.scheduler import Schedule
from janitor.sources.watermark import troubles

if TYPE_CHECKING:
    from janitor.metrics import ASGIApp, Metrics

log = logging.getLogger("janitor")

RUN_WAIT = timedelta(seconds=30)


class ServiceLoop:
    """The configuration in force, and the work done with it."""

    def __init__(
        self,
        path: Path,
        config: Config,
        registry: Registry,
        metrics: Metrics,
        time: Time | None = None,
    ) -> None:
        self._time = time or Time()
        self._path = path
        self._config = config
        self._registry = registry
        self._metrics = metrics
        self._counters = KeptCounters(metrics, registry)
        self._plans = PlanQueue(lambda: self._config, registry, metrics, self._counters, self._time)
        self._refused: ConfigError | FaultError | None = None
        metrics.reloaded.set(1)
        show_rates(config, registry, metrics)

    def schedule(self) -> Schedule:
        """The schedule in force."""
        schedule = self._config.schedule
        return Schedule(schedule.cron, schedule.every, schedule.timezone, schedule.jitter)

    def sweep(self, stop: threading.Event) -> None:
        """Does one sweep with the configuration in force; credentials are read again.

        Raises:
            JanitorError: It could not be done, or not to its end; the next one continues it.
        """
        try:
            with shared_run_lock(self._registry, RUN_WAIT, stop):
                complain(self._run(stop).carry_out(self._work))
        except (LockedError, StoppedError):
            raise
        except JanitorError:
            self._metrics.sweeps.labels("failed").inc()
            raise
        finally:
            self._counters.keep()

    def errand(self, stop: threading.Event) -> None:
        """Drains the inbox, and carries out a plan that was handed over.

        Each only if something is waiting, and a plan only if nobody else holds the run's lock.

        Raises:
            JanitorError: It could not be done, or not to its end; it is resumed later.
        """
        if self._registry.inbox.undrained():
            take_in(self._registry, self._time.now())
        self._plans.run(stop)

    def _run(self, stop: threading.Event) -> Run:
        return Run(
            config=self._config,
            registry=self._registry,
            log=RunLog(self._metrics),
            time=self._time,
            stop=StopRequest(stop),
            reads_sources=True,
        )

    async def _work(self, context: RunContext, stop: threading.Event) -> Report:
        lists = await discover_due(context, stop)
        return replace(await sweep(context, Orders(), stop), lists=lists)

    def reload(self) -> Schedule:
        """Reads the configuration again; if it is refused, the old one stays in force."""
        try:
            self._config, self._refused = self._reloaded(load(self._path)), None
        except ConfigError as error:
            self._refused = error
            log.error("configuration not reloaded, the old one stays in force: %s", told(error))  # noqa: TRY400
        except Exception as error:
            self._refused = FaultError(str(self._path), error)
            log.exception(
                "configuration not reloaded, the old one stays in force: %s", self._refused
            )
        else:
            log.info("configuration reloaded")
        self._metrics.reloaded.set(self._refused is None)
        return self.schedule()

    def _reloaded(self, config: Config) -> Config:
        if config.screen != self._config.screen:
            # Its policies would look for metadata that the open registry stores in another form.
            raise ConfigError(
                "`registry: {keys, hash, hash_key}` cannot change while running: restart to use "
                "this file"
            )
        for name in ("registry", "service"):
            if getattr(config, name) != getattr(self._config, name):
                log.warning("a change of `%s` takes effect after a restart", name)
        return config

    def ready(self) -> str | None:
        """What keeps the service from doing its work, or `None`."""
        try:
            self._registry.check_in_place()
            self._registry.inbox.undrained()
        except JanitorError as error:
            return f"the registry: {error}"
        return None if self._refused is None else f"the configuration: {told(self._refused)}"

    def aside(self) -> tuple[str, ...]:
        """What is down while the rest is still served; `doctor` says why."""
        try:
            found = troubles(self._registry)
        except JanitorError:
            return ()  # the next check reports that the registry is at fault
        return tuple(f"{name} is down: run janitor doctor to see why" for name in found)

    def refresh(self) -> None:
        """Sets the gauges for a scrape."""
        try:
            look(self._metrics, self._registry, self._time.now())
        except JanitorError:
            self._metrics.registry_up.set(0)

    def application(self, service: Service) -> ASGIApp:
        """The HTTP application of this service."""
        health = Health(service.health, self.ready, self.aside)
        metrics, access = self._metrics.app(self.refresh), self._access()
        return application(metrics, health, access, routes(self._operations(), self._threads()))

    def _threads(self) -> Threads:
        return Threads(
            self._registry.inbox.append,
            projects=lambda: frozenset(self._config.projects),
            now=self._time.now,
        )

    def _operations(self) -> Operations:
        return Operations(
            self._registry.pauses.add,
            self._registry.pauses.end,
            projects=lambda: frozenset(self._config.projects),
            policies=lambda: frozenset([*self._policy_names(), *PSEUDO_POLICIES]),
            now=self._time.now,
        )

    def _policy_names(self) -> list[str]:
        return [rule.name for rule in self._config.policies.rules]

    def _access(self) -> Access:
        service = self._config.service
        tokens = tuple(
            Token(token.name, TokenScope(token.scope), token.secret.reveal)
            for token in service.tokens
        )
        return Access(frozenset(service.hosts), tokens)


def told(error: ConfigError | FaultError) -> str:
    """A refused configuration in one line."""
    refusals = error.refusals if isinstance(error, ConfigError) else ()
    return "; ".join([str(error), *map(str, refusals)])
