"""How long the machine runs, by a clock that nobody sets."""

from __future__ import annotations

import os
import time
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from janitor.sweep.clocks import Uptime

BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
VARIABLE = "JANITOR_BOOT_ID"
"""Says which boot this is where the sandbox of a service hides the file (`%b` of systemd)."""


def uptime() -> Uptime | None:
    """Which boot this is and how long ago; `None` where the system does not tell (not Linux)."""
    from janitor.sweep.clocks import Uptime

    try:
        boot = os.environ.get(VARIABLE) or BOOT_ID.read_text("ascii").strip()
        seconds = time.clock_gettime(time.CLOCK_BOOTTIME)
    except (OSError, AttributeError):
        return None
    return Uptime(boot.replace("-", ""), timedelta(seconds=seconds))
