"""What tracking counts, and its warnings: one a minute at most."""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING

from janitor.model import Kind, NoticeEvent
from janitor.tracking.greenlets import RLock

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry
    from prometheus_client.metrics_core import Metric

logger = logging.getLogger("janitor.tracking")
EVERY = 60.0


class Counters:
    """What this process has tracked, dropped, and holds in its spools.

    Plain numbers under a lock of their own: nobody waits for a scrape, and a fork replaces the
    lock. `tracked` is by kind and event.
    """

    def __init__(self) -> None:
        self.tracked: Counter[tuple[Kind, NoticeEvent]] = Counter()
        self.dropped = 0
        self.spool_bytes: dict[str, int] = {}
        self._told = 0
        self._why = ""
        self._complained_at: float | None = None
        self._lock = RLock()

    def count(self, kind: Kind, event: NoticeEvent) -> None:
        """Count an event that was written to the spool."""
        with self._lock:
            self.tracked[kind, event] += 1

    def drop(self, why: str, number: int = 1) -> None:
        """Count events that will not reach the registry, and warn."""
        with self._lock:
            self.dropped += number
            self._why = why
        self.complain("an event was dropped", why)

    def complain(self, what: str, why: str, *, is_last: bool = False) -> None:
        """Warn, unless the last warning is less than a minute old."""
        now = time.monotonic()
        with self._lock:
            is_recent = self._complained_at is not None and now - self._complained_at < EVERY
            if is_recent and not is_last:
                return
            self._complained_at = now
            self._told = dropped = self.dropped
        logger.warning(
            "tracking: %s: %s; %d dropped so far; the application is not affected",
            what,
            why,
            dropped,
        )

    def remind(self, *, is_last: bool = False) -> None:
        """Warn if more events were dropped since the last warning."""
        if self.dropped != self._told:
            self.complain("events were dropped", self._why, is_last=is_last)

    def forget(self) -> None:
        """Start anew in the child after a fork, with a lock that nobody holds."""
        self._lock = RLock()
        self.tracked, self.dropped, self.spool_bytes = Counter(), 0, {}
        self._told, self._complained_at = 0, None


COUNTERS = Counters()


class _Collector:
    """Shows the counters to a scrape."""

    def collect(self) -> Iterator[Metric]:
        """Every metric of this process's tracking."""
        from prometheus_client.metrics_core import (  # noqa: PLC0415
            CounterMetricFamily,
            GaugeMetricFamily,
        )

        tracked = CounterMetricFamily(
            "janitor_tracked", "Events written to the spool.", labels=["kind", "event"]
        )
        for (kind, event), number in sorted(COUNTERS.tracked.copy().items()):
            tracked.add_metric([kind.value, event.value], number)
        yield tracked
        yield CounterMetricFamily(
            "janitor_tracking_dropped",
            "Events lost before they reached the registry.",
            value=COUNTERS.dropped,
        )
        yield GaugeMetricFamily(
            "janitor_tracking_spool_bytes",
            "Bytes in the spool that are not yet in the registry.",
            value=sum(COUNTERS.spool_bytes.copy().values()),
        )


def collectors() -> CollectorRegistry:
    """The counters as a registry of `prometheus_client`, to be exposed beside the application's.

    Raises:
        ImportError: prometheus_client is not installed; `COUNTERS` holds the plain numbers.
    """
    from prometheus_client import CollectorRegistry  # noqa: PLC0415

    registry = CollectorRegistry()
    registry.register(_Collector())
    return registry
