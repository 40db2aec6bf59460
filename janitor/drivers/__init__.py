"""Reading and removing containers at their server, one small file per kind.

To add a kind, see `janitor.kinds`. Its module here is named after the kind, and so is the class
in it: `agent_session.AgentSessionDriver`.

Terms in docs/glossary.md: container, driver, endpoint, item, kind, probe.

What needs an HTTP client is imported from its module: a command that makes no call does without.
"""

from janitor.drivers.container import NoFreeKeyError
from janitor.drivers.driver import (
    Driver,
    IsKnown,
    Planting,
    StillWanted,
    TornError,
    filtered,
    read_only,
)
from janitor.drivers.endpoint import Endpoint
from janitor.drivers.response_memory import Budget
from janitor.drivers.responses import Listed, Listing, LostPlaceError, UnlistedError
from janitor.drivers.sdk import load_sdk
from janitor.drivers.send_guard import Look, SendGuard, StaleError, resting_on

__all__ = [
    "Budget",
    "Driver",
    "Endpoint",
    "IsKnown",
    "Listed",
    "Listing",
    "Look",
    "LostPlaceError",
    "NoFreeKeyError",
    "Planting",
    "SendGuard",
    "StaleError",
    "StillWanted",
    "TornError",
    "UnlistedError",
    "filtered",
    "load_sdk",
    "read_only",
    "resting_on",
]
