"""Reading and removing containers at their server, one small file per kind.

To add a kind, see `janitor.kinds`. Its module here is named after the kind, and so is the class
in it: `agent_session.AgentSessionDriver`.

Terms in docs/glossary.md: container, driver, endpoint, item, kind, probe.
"""

from janitor.drivers.client import Endpoint
from janitor.drivers.connect import (
    ClosedTransport,
    Outbound,
    Transport,
    connect,
    load_sdk,
)
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
from janitor.drivers.environment import check_environment
from janitor.drivers.response_memory import Budget
from janitor.drivers.responses import Listed, Listing, LostPlaceError, UnlistedError
from janitor.drivers.send_guard import (
    FreshTransport,
    GuardedTransport,
    Look,
    SendGuard,
    StaleError,
    resting_on,
)

__all__ = [
    "Budget",
    "ClosedTransport",
    "Driver",
    "Endpoint",
    "FreshTransport",
    "GuardedTransport",
    "IsKnown",
    "Listed",
    "Listing",
    "Look",
    "LostPlaceError",
    "NoFreeKeyError",
    "Outbound",
    "Planting",
    "SendGuard",
    "StaleError",
    "StillWanted",
    "TornError",
    "Transport",
    "UnlistedError",
    "check_environment",
    "connect",
    "filtered",
    "load_sdk",
    "read_only",
    "resting_on",
]
