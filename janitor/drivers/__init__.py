"""Reading and removing containers at their server, one small file per kind.

A new kind is one member of `Kind`, one line of the catalogue and one module here that is named
like the kind and offers a class `Driver`.
"""

from janitor.drivers.budget import Budget
from janitor.drivers.connection import ClosedTransport, Outbound, connect
from janitor.drivers.driver import Driver, IsKnown, StillWanted, TornError, read_only
from janitor.drivers.endpoint import Endpoint
from janitor.drivers.environment import check_environment
from janitor.drivers.guard import (
    FreshTransport,
    Guard,
    GuardedTransport,
    Look,
    StaleError,
    resting_on,
)
from janitor.drivers.listing import Listed, Listing, LostPlaceError, UnlistedError
from janitor.drivers.metadata import NoFreeKeyError
from janitor.drivers.planting import Planting
from janitor.drivers.screened import screened

__all__ = [
    "Budget",
    "ClosedTransport",
    "Driver",
    "Endpoint",
    "FreshTransport",
    "Guard",
    "GuardedTransport",
    "IsKnown",
    "Listed",
    "Listing",
    "Look",
    "LostPlaceError",
    "NoFreeKeyError",
    "Outbound",
    "Planting",
    "StaleError",
    "StillWanted",
    "TornError",
    "UnlistedError",
    "check_environment",
    "connect",
    "read_only",
    "resting_on",
    "screened",
]
