"""How a run tells the time and waits."""

from __future__ import annotations

import os
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from janitor.engine.clock import Uptime

BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
VARIABLE = "JANITOR_BOOT_ID"
"""Gives the boot id if the sandbox of a service hides the file (`%b` in systemd)."""


Clock = Callable[[], datetime]


def uptime() -> Uptime | None:
    """The current boot and the time since; `None` if the system does not tell (not Linux)."""
    try:
        boot = os.environ.get(VARIABLE) or BOOT_ID.read_text("ascii").strip()
        seconds = time.clock_gettime(time.CLOCK_BOOTTIME)
    except (OSError, AttributeError):
        return None
    return Uptime(boot.replace("-", ""), timedelta(seconds=seconds))


def utc_now() -> datetime:
    """The clock that everything uses, except tests and `--at`."""
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class Time:
    """How a run tells the time and waits.

    `now` returns aware UTC; `steady` returns seconds since the epoch that are never set back, and
    `sleep` waits for rate limits: the machine's own if they are `None`. `uptime` tells the time
    since boot; a clock other than the machine's has none.
    """

    now: Clock = utc_now
    uptime: Callable[[], Uptime | None] | None = None
    steady: Callable[[], float] | None = None
    sleep: Callable[[float], Awaitable[None]] | None = None


MACHINE = Time()
"""The machine's own time."""
