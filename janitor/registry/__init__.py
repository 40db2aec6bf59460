"""What has been registered, and everything that janitor knows and did.

Terms in docs/glossary.md: claim, event, hold, inbox, registration, registry, tombstone.
"""

from janitor.registry.copies import PrunedCopy
from janitor.registry.database import Lock
from janitor.registry.holds import HoldRecord
from janitor.registry.pauses import Pause
from janitor.registry.plans import Handover
from janitor.registry.policies import Approval, PendingApproval
from janitor.registry.records import (
    Claimant,
    Cursor,
    Drained,
    Entry,
    Event,
    InboxNotice,
    Intent,
    Note,
    Registered,
    Registration,
    RunRecord,
    RunResult,
    Settlement,
    Witnessed,
)
from janitor.registry.registrations import RefusedRegistration, check_metadata
from janitor.registry.registry import Registry, Upgrade, upgrade
from janitor.registry.restrictions import RestrictionReader, Restrictions
from janitor.registry.scans import ScanPage, ScanScope
from janitor.registry.sqlite import RunLock
from janitor.registry.threads import ThreadOrder, ThreadQueries

__all__ = [
    "Approval",
    "Claimant",
    "Cursor",
    "Drained",
    "Entry",
    "Event",
    "Handover",
    "HoldRecord",
    "InboxNotice",
    "Intent",
    "Lock",
    "Note",
    "Pause",
    "PendingApproval",
    "PrunedCopy",
    "RefusedRegistration",
    "Registered",
    "Registration",
    "Registry",
    "RestrictionReader",
    "Restrictions",
    "RunLock",
    "RunRecord",
    "RunResult",
    "ScanPage",
    "ScanScope",
    "Settlement",
    "ThreadOrder",
    "ThreadQueries",
    "Upgrade",
    "Witnessed",
    "check_metadata",
    "upgrade",
]
