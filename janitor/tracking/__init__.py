"""The application's side: reports what a client creates and uses to the registry.

Terms in docs/glossary.md: notice, spool, tracking.
"""

from janitor.tracking.client import track
from janitor.tracking.delivery import deliver, flush
from janitor.tracking.metrics import COUNTERS, collectors

__all__ = ["COUNTERS", "collectors", "deliver", "flush", "track"]
