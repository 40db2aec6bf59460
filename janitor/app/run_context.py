"""One run of this process: the inputs it reads first, its context, and the metrics it leaves."""

from __future__ import annotations

import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import timedelta

from janitor.app.clock import Time
from janitor.app.compose import compose
from janitor.app.event_loop import StopRequest, StopSignals, run_loop
from janitor.app.inbox import take_in
from janitor.app.run_lock import run_lock
from janitor.app.run_log import RunLog, summarize
from janitor.app.run_metrics import KeptCounters, end
from janitor.app.source_readings import read_sources
from janitor.config import Config
from janitor.engine.context import RunContext
from janitor.engine.report import Report
from janitor.rate_limit import Urgency
from janitor.registry import Registry

Work = Callable[[RunContext, threading.Event], Awaitable[Report]]
"""The work of a run; its event asks it to stop."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """Carries out one run; the caller holds the run's lock.

    A run that is only `copying` always opens the archive, and does not measure what is overdue.
    """

    config: Config
    registry: Registry
    log: RunLog
    time: Time = field(default_factory=Time)
    stop: StopRequest = field(default_factory=StopRequest)
    urgency: Urgency = Urgency.SWEEP
    reads_sources: bool = False
    copying: bool = False

    def carry_out(self, work: Work) -> Report:
        """Drains the inbox, reads the sources, does the work, measures what is left, and logs it.

        Raises:
            JanitorError: The work could not be done, or not to its end.
        """
        with self.log.shown():
            self._take_in()
            report = run_loop(lambda: self._attend(work))
        summarize(report)
        return report

    def _take_in(self) -> None:
        progress = self.log.progress
        progress.begin("taking in what applications reported", noun="rows")
        take_in(self.registry, self.time.now())
        if self.reads_sources:
            progress.begin("reading sources", noun="rows")
            now, event, metrics = self.time.now, self.stop.event, self.log.metrics
            advance = progress.advance
            read_sources(self.config, self.registry, metrics, now, event, advance=advance)

    async def _attend(self, work: Work) -> Report:
        self.stop.install()
        opened = compose(
            self.config,
            self.registry,
            changing=True,
            time=self.time,
            metrics=self.log.metrics,
            notify=self.log,
            urgency=self.urgency,
            stop=self.stop.event,
            copying=self.copying,
            progress=self.log.progress,
        )
        async with opened as context:
            report = await work(context, self.stop.event)
            if not self.copying:
                await end(self.log.metrics, report, context)
            return report


@contextmanager
def run_context(
    config: Config,
    registry: Registry,
    log: RunLog,
    wait: timedelta,
    *,
    tell: Callable[[str], None],
    shared: bool = False,
    urgency: Urgency = Urgency.SWEEP,
    reads_sources: bool = False,
    copying: bool = False,
) -> Iterator[Run]:
    """A run of a command: it holds the run's lock, and SIGINT or SIGTERM asks it to stop.

    `tell` gets a message about what is waited for, for at most `wait`. The counters are stored in
    the registry at the end, however the run ends: last, so that a report is shown even if that
    fails.

    Raises:
        LockedError: Another janitor held the run's lock for longer than that.
        StoreError: The counters cannot be stored.
    """
    tell_holder = log.progress.waits(wait)
    with ExitStack() as held:
        with log.shown():
            lock = run_lock(registry, wait, shared=shared, tell=tell, tell_holder=tell_holder)
            held.enter_context(lock)
        counters = KeptCounters(log.metrics, registry)
        try:
            yield Run(
                config=config,
                registry=registry,
                log=log,
                stop=StopSignals(),
                urgency=urgency,
                reads_sources=reads_sources,
                copying=copying,
            )
        finally:
            counters.keep()
