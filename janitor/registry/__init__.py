"""What has been registered, and everything the janitor knows and did."""

from janitor.registry.entries import (
    Cursor,
    Entry,
    Event,
    Intent,
    Notice,
    Registered,
    Registration,
    RunRecord,
    RunResult,
    Settlement,
)
from janitor.registry.lock import RunLock
from janitor.registry.pausing import Pause
from janitor.registry.registration import RefusedRegistration, check
from janitor.registry.registry import Registry

__all__ = [
    "Cursor",
    "Entry",
    "Event",
    "Intent",
    "Notice",
    "Pause",
    "RefusedRegistration",
    "Registered",
    "Registration",
    "Registry",
    "RunLock",
    "RunRecord",
    "RunResult",
    "Settlement",
    "check",
]
