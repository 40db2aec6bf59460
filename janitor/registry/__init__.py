"""What has been registered, and everything the janitor knows and did."""

from janitor.registry.approving import Approval, Proposal
from janitor.registry.copies import Gone
from janitor.registry.database import Lock
from janitor.registry.entries import (
    Claimant,
    Cursor,
    Drained,
    Entry,
    Event,
    Intent,
    Note,
    Notice,
    Registered,
    Registration,
    RunRecord,
    RunResult,
    Settlement,
    Witnessed,
)
from janitor.registry.feeding import Fed, Taken
from janitor.registry.holds import HoldRecord
from janitor.registry.lock import RunLock
from janitor.registry.pausing import Pause
from janitor.registry.plans import Handover
from janitor.registry.registration import RefusedRegistration, check
from janitor.registry.registry import Registry
from janitor.registry.upgrading import Upgrade, upgrade

__all__ = [
    "Approval",
    "Claimant",
    "Cursor",
    "Drained",
    "Entry",
    "Event",
    "Fed",
    "Gone",
    "Handover",
    "HoldRecord",
    "Intent",
    "Lock",
    "Note",
    "Notice",
    "Pause",
    "Proposal",
    "RefusedRegistration",
    "Registered",
    "Registration",
    "Registry",
    "RunLock",
    "RunRecord",
    "RunResult",
    "Settlement",
    "Taken",
    "Upgrade",
    "Witnessed",
    "check",
    "upgrade",
]
