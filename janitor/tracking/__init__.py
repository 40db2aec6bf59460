"""The application's side: what a client creates and uses is told to the registry by itself."""

from janitor.tracking.client import track
from janitor.tracking.counters import COUNTERS, collectors
from janitor.tracking.delivery import deliver, flush

__all__ = ["COUNTERS", "collectors", "deliver", "flush", "track"]
