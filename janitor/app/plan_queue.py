"""Plans that were handed over with `apply --detach`, carried out by the service."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from time import monotonic
from typing import TYPE_CHECKING

from janitor.app.clock import Time
from janitor.app.event_loop import StopRequest
from janitor.app.run_context import Run
from janitor.app.run_lock import run_lock
from janitor.app.run_log import RunLog, complain
from janitor.app.run_metrics import KeptCounters, applied
from janitor.config import Config
from janitor.engine.apply import PlanSite, apply, check, load, refuse
from janitor.engine.context import RunContext
from janitor.engine.plan import Plan
from janitor.engine.report import Report
from janitor.errors import ConfigError, LockedError
from janitor.rate_limit import Urgency
from janitor.registry import Handover, Registry, RunResult
from janitor.registry.pauses import EVERYTHING

if TYPE_CHECKING:
    from janitor.metrics import Metrics

log = logging.getLogger("janitor")

REST = 300.0
"""Seconds after which a plan that was not carried out to its end is resumed."""


class PlanQueue:
    """Carries out the plans that were handed over, one at a time, each to its end.

    A plan that is no longer valid is refused and waits no longer. One that a stop, a pause or a
    failure interrupted rests for a while and is then resumed; it does not hold up those behind it.
    """

    def __init__(
        self,
        config: Callable[[], Config],
        registry: Registry,
        metrics: Metrics,
        counters: KeptCounters,
        time: Time,
    ) -> None:
        self._config = config
        self._registry = registry
        self._metrics = metrics
        self._counters = counters
        self._time = time
        self._rests_until: dict[str, float] = {}

    def run(self, stop: threading.Event) -> None:
        """Carries out the longest waiting plan that does not rest, unless the run's lock is taken.

        Raises:
            JanitorError: It could not be carried out, or not to its end; it is resumed later.
        """
        for handed in self._waiting()[:1]:
            try:
                with run_lock(self._registry, timedelta()):
                    if handed in self._registry.plans.waiting():  # no other replica has done it
                        self._take_on(handed, stop)
            except LockedError:
                return  # sweeps are under way: it waits for their end
            except Exception:
                self._rest(handed)
                raise

    def _waiting(self) -> list[Handover]:
        handed, now = self._registry.plans.waiting(), monotonic()
        digests = {one.digest for one in handed}
        self._rests_until = {d: at for d, at in self._rests_until.items() if d in digests}
        return [one for one in handed if self._rests_until.get(one.digest, now) <= now]

    def _take_on(self, handed: Handover, stop: threading.Event) -> None:
        if any(
            pause.scope == EVERYTHING for pause in self._registry.pauses.in_force(self._time.now())
        ):
            return
        try:
            if (made := self._valid(handed)) is None:
                return
            report = self._run(stop).carry_out(partial(_apply, made, handed.actor))
            complain(report)
        finally:
            self._counters.keep()
        if report.run.result is RunResult.PARTIAL and not stop.is_set():
            self._rest(handed)

    def _rest(self, handed: Handover) -> None:
        self._rests_until[handed.digest] = monotonic() + REST

    def _valid(self, handed: Handover) -> Plan | None:
        """The plan that was handed over; `None` if it was refused."""
        here = PlanSite(self._registry, self._config().policies, self._time.now())
        name = f"plan {handed.digest[:12]}"
        try:
            document = self._registry.plans.document(handed.number) or ""
            made = load(document.encode(), name)
            check(here, made, name, handed.max_age)
        except ConfigError as error:
            run = refuse(here, handed.digest, str(error))
            applied(self._metrics, "refused")
            log.error("the plan handed over was refused: %s", error, extra={"run": run.id})  # noqa: TRY400
            return None
        return made

    def _run(self, stop: threading.Event) -> Run:
        return Run(
            config=self._config(),
            registry=self._registry,
            log=RunLog(self._metrics),
            time=self._time,
            stop=StopRequest(stop),
            urgency=Urgency.APPLY,
            reads_sources=True,
        )


async def _apply(made: Plan, actor: str, context: RunContext, stop: threading.Event) -> Report:
    return await apply(context, made, stop, actor)
