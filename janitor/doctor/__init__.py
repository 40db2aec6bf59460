"""What is well and what is not before anything is done, and what to do about it.

Every check stands for itself: none stops another, none raises, and none changes anything but the
archive's own test object and, where asked for, the canary's own conversation.
"""

from janitor.doctor.access import look_at_project
from janitor.doctor.archives import look_at_archive
from janitor.doctor.canary import Aviary, try_canary
from janitor.doctor.findings import Finding, Verdict, attempt, attempt_later, exit_code
from janitor.doctor.installation import look_at_environment, look_at_installation
from janitor.doctor.keeping import Kept, what_is_kept
from janitor.doctor.machine import look_at_files, look_at_port, look_at_secrets
from janitor.doctor.registries import look_at_clock, look_at_work, open_finding

__all__ = [
    "Aviary",
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
    "look_at_work",
    "open_finding",
    "try_canary",
    "what_is_kept",
]
