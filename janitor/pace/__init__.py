"""The pace of calls: token buckets, the shared pause, the limit of calls in flight, and retries."""

from janitor.pace.ledger import Ledger, Memory, Own, Recalling, Rows, Shared
from janitor.pace.project import Event, Exchange, Paced, Paused, ProjectPace
from janitor.pace.rates import AUTO, UNLIMITED, Allowance, Urgency, Verb, verb_of
from janitor.pace.transport import PacedTransport

__all__ = [
    "AUTO",
    "UNLIMITED",
    "Allowance",
    "Event",
    "Exchange",
    "Ledger",
    "Memory",
    "Own",
    "Paced",
    "PacedTransport",
    "Paused",
    "ProjectPace",
    "Recalling",
    "Rows",
    "Shared",
    "Urgency",
    "Verb",
    "verb_of",
]
