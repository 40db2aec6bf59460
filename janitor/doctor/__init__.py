"""What is well and what is not before anything is done, and what to do about it.

Every check stands for itself: none stops another, none raises, and none changes anything but the
archive's own test object and, where asked for, the canary's own conversation.
"""

from janitor.doctor.canary import CanaryRun, try_canary
from janitor.doctor.checks import (
    look_at_archive,
    look_at_clock,
    look_at_environment,
    look_at_files,
    look_at_installation,
    look_at_port,
    look_at_project,
    look_at_secrets,
    look_at_spools,
    look_at_work,
    open_finding,
)
from janitor.doctor.data_inventory import Kept, what_is_kept
from janitor.doctor.findings import Finding, Verdict, attempt, attempt_later, exit_code

__all__ = [
    "CanaryRun",
    "Finding",
    "Kept",
    "Verdict",
    "attempt",
    "attempt_later",
    "exit_code",
    "look_at_archive",
    "look_at_clock",
    "look_at_environment",
    "look_at_files",
    "look_at_installation",
    "look_at_port",
    "look_at_project",
    "look_at_secrets",
    "look_at_spools",
    "look_at_work",
    "open_finding",
    "try_canary",
    "what_is_kept",
]
