"""When a call may leave: token buckets, shared pauses, a limit of calls in flight, retries.

Terms in docs/glossary.md: backoff, limiter, pause.
"""

from janitor.rate_limit.forecast import LATENCY, Forecast, Origin, Pace, View, forecast
from janitor.rate_limit.limiter import AUTO, Allowance, Urgency, Verb, verb_of
from janitor.rate_limit.project_limiter import Event, Exchange, FoundRate, Paused, ProjectLimiter
from janitor.rate_limit.state import (
    LimiterMemory,
    LimiterStore,
    LocalStore,
    ReadOnlyMemory,
    SharedRows,
    SharedStore,
)

__all__ = [
    "AUTO",
    "LATENCY",
    "Allowance",
    "Event",
    "Exchange",
    "Forecast",
    "FoundRate",
    "LimiterMemory",
    "LimiterStore",
    "LocalStore",
    "Origin",
    "Pace",
    "Paused",
    "ProjectLimiter",
    "ReadOnlyMemory",
    "SharedRows",
    "SharedStore",
    "Urgency",
    "Verb",
    "View",
    "forecast",
    "verb_of",
]
