"""`serve`: the long-running service."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING

import click

from janitor.cli.context import Settings
from janitor.errors import ConfigError, FaultError, JanitorError, LockedError, StoppedError

if TYPE_CHECKING:
    from janitor.cli.compose import Time
    from janitor.config import Config
    from janitor.metrics import ASGIApp, Metrics
    from janitor.registry import Registry
    from janitor.service import Access, Operations, Schedule, Service, Threads

log = logging.getLogger("janitor")

RUN_WAIT = timedelta(seconds=30)
TURN_WAIT = timedelta(milliseconds=500)


@click.command("serve")
@click.pass_obj
def serve_command(settings: Settings) -> None:
    """Sweep by the schedule until told to stop, and be scraped by Prometheus.

    Plans handed over with `janitor apply --detach` are carried out between sweeps.

    SIGTERM lets the calls in flight finish (`service.stop_timeout`), a second one ends at once;
    SIGHUP, or a change of the configuration file, reads the configuration again.

    \b
    Examples:
      janitor serve
      curl http://127.0.0.1:9464/metrics
    """
    from janitor.cli.compose import open_registry
    from janitor.cli.logs import configure_logging
    from janitor.config import load
    from janitor.drivers import check_environment
    from janitor.metrics import Metrics
    from janitor.service import Job, Server, Service, Watcher

    configure_logging(settings, service=True)
    path = settings.config_path()
    config, metrics = load(path), Metrics()
    _require_tokens(config)
    check_environment()  # what it says stays until the next start
    with ExitStack() as stack:
        registry = stack.enter_context(open_registry(config, create=True))
        live = Live(path, config, registry, metrics)
        job = Job(live.sweep, live.reload, live.errand)
        service = Service(job, live.schedule(), config.service.stop_timeout)
        app = live.application(service)
        server = stack.enter_context(Server(app, config.service.listen))
        stack.enter_context(Watcher(path, lambda: service.ask("reload")))
        log.info("serving on port %d, sweeping by %s", server.port, live.schedule())
        service.run()


def _require_tokens(config: Config) -> None:
    """A token that cannot be read is told at the start, not at somebody's first request."""
    for token in config.service.tokens:
        token.secret.reveal()


class Live:
    """The configuration in force, and what is done by it."""

    def __init__(
        self,
        path: Path,
        config: Config,
        registry: Registry,
        metrics: Metrics,
        time: Time | None = None,
    ) -> None:
        from janitor.cli.compose import Time
        from janitor.cli.handing import Errands
        from janitor.cli.measuring import Counted
        from janitor.cli.pacing import show_rates

        self._time = time or Time()
        self._path = path
        self._config = config
        self._registry = registry
        self._metrics = metrics
        self._counted = Counted(metrics, registry)
        self._errands = Errands(lambda: self._config, registry, metrics, self._counted, self._time)
        self._refused: ConfigError | FaultError | None = None
        metrics.reloaded.set(1)
        show_rates(config, registry, metrics)

    def schedule(self) -> Schedule:
        """The schedule in force."""
        from janitor.service import Schedule

        said = self._config.schedule
        return Schedule(said.cron, said.every, said.timezone, said.jitter)

    def sweep(self, stop: threading.Event) -> None:
        """Do one sweep with the configuration in force, credentials read anew.

        Raises:
            JanitorError: It could not be done, or not to its end; the next one goes on.
        """
        try:
            with self._turn(stop):
                asyncio.run(self._sweep(stop))
        except (LockedError, StoppedError):
            raise
        except JanitorError:
            self._metrics.sweeps.labels("failed").inc()
            raise
        finally:
            self._counted.keep()

    def errand(self, stop: threading.Event) -> None:
        """Take in what applications said, and carry out a plan that was handed over.

        Each only where something waits, and a plan only where nobody else has the run.

        Raises:
            JanitorError: It could not be done, or not to its end; it is gone on with later.
        """
        from janitor.cli.inbox import take_in

        if self._registry.undrained():
            take_in(self._registry, self._time.now())
        self._errands.run(stop)

    @contextmanager
    def _turn(self, stop: threading.Event) -> Iterator[None]:
        """Hold the run's lock; while another janitor has it, a word to stop is still heard."""
        deadline = monotonic() + RUN_WAIT.total_seconds()
        with ExitStack() as stack:
            while True:
                try:
                    stack.enter_context(self._registry.lock(TURN_WAIT, shared=True))
                    break
                except LockedError:
                    if stop.is_set() or monotonic() > deadline:
                        raise
            yield

    async def _sweep(self, stop: threading.Event) -> None:
        from janitor.cli import measuring
        from janitor.cli.compose import parts
        from janitor.cli.discovering import discover_due
        from janitor.cli.inbox import take_in
        from janitor.cli.progress import Watch, complain, summarize
        from janitor.cli.syncing import read_sources
        from janitor.sweep import Orders, sweep

        take_in(self._registry, self._time.now())
        read_sources(self._config, self._registry, self._metrics, self._time.now, stop)
        opened = parts(
            self._config,
            self._registry,
            changing=True,
            time=self._time,
            metrics=self._metrics,
            notify=Watch(self._metrics),
            stop=stop,
        )
        async with opened as composed:
            lists = await discover_due(composed, stop)
            report = replace(await sweep(composed, Orders(), stop), lists=lists)
            await measuring.end(self._metrics, report, composed)
        summarize(report)
        complain(report)

    def reload(self) -> Schedule:
        """Read the configuration again; one that is refused leaves the old one in force."""
        from janitor.config import load

        try:
            self._config, self._refused = self._reloaded(load(self._path)), None
        except ConfigError as error:
            self._refused = error
            log.error("the configuration was not reloaded, the old one stays: %s", told(error))  # noqa: TRY400
        except Exception as error:
            self._refused = FaultError(str(self._path), error)
            log.exception(
                "the configuration was not reloaded, the old one stays: %s", self._refused
            )
        else:
            log.info("the configuration was reloaded")
        self._metrics.reloaded.set(self._refused is None)
        return self.schedule()

    def _reloaded(self, config: Config) -> Config:
        if config.screen != self._config.screen:
            # Its policies would look for what the open registry stores otherwise.
            raise ConfigError("a change of `registry: {keys, hash, hash_key}` needs a new start")
        for name in ("registry", "service"):
            if getattr(config, name) != getattr(self._config, name):
                log.warning("a change of `%s` takes effect at the next start", name)
        return config

    def ready(self) -> str | None:
        """What keeps the service from doing its work, or `None`."""
        try:
            self._registry.check_in_place()
            self._registry.undrained()
        except JanitorError as error:
            return f"the registry: {error}"
        return None if self._refused is None else f"the configuration: {told(self._refused)}"

    def aside(self) -> tuple[str, ...]:
        """What is down and keeps nobody else from being served; why is for `doctor` to say."""
        from janitor.sources import troubles

        try:
            found = troubles(self._registry)
        except JanitorError:
            return ()  # whoever asks next is told that the registry is at fault
        return tuple(f"{name} is down: janitor doctor says why" for name in found)

    def refresh(self) -> None:
        """Fill the gauges for a scrape."""
        from janitor.cli import measuring

        try:
            measuring.look(self._metrics, self._registry, self._time.now())
        except JanitorError:
            self._metrics.registry_up.set(0)

    def application(self, service: Service) -> ASGIApp:
        """The HTTP face over this service."""
        from janitor.service import Health, application, routes

        health = Health(service.health, self.ready, self.aside)
        metrics, access = self._metrics.app(self.refresh), self._access()
        return application(metrics, health, access, routes(self._operations(), self._threads()))

    def _threads(self) -> Threads:
        from janitor.service import Threads

        return Threads(
            self._registry.append,
            projects=lambda: frozenset(self._config.projects),
            now=self._time.now,
        )

    def _operations(self) -> Operations:
        from janitor.policy import APART
        from janitor.service import Operations

        return Operations(
            self._registry.pause,
            self._registry.resume,
            projects=lambda: frozenset(self._config.projects),
            policies=lambda: frozenset([*self._policy_names(), *APART]),
            now=self._time.now,
        )

    def _policy_names(self) -> list[str]:
        return [rule.name for rule in self._config.policies.rules]

    def _access(self) -> Access:
        from janitor.service import Access, Scope, Token

        said = self._config.service
        tokens = tuple(
            Token(token.name, Scope(token.scope), token.secret.reveal) for token in said.tokens
        )
        return Access(frozenset(said.hosts), tokens)


def told(error: ConfigError | FaultError) -> str:
    """A refused configuration in one line."""
    refusals = error.refusals if isinstance(error, ConfigError) else ()
    return "; ".join([str(error), *map(str, refusals)])
