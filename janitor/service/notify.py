"""Telling systemd how the service is; silent where nobody listens."""

from __future__ import annotations

import os
import time


class Notify:
    """Sends readiness, reloads, the end, and the watchdog's sign of life.

    Without NOTIFY_SOCKET nothing is sent, and the systemd library is not even imported.
    """

    def __init__(self) -> None:
        self._listening = "NOTIFY_SOCKET" in os.environ

    def ready(self) -> None:
        """The service does its work (also after a reload)."""
        self._send("READY=1")

    def reloading(self) -> None:
        """The configuration is being read again; `ready` follows."""
        microseconds = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
        self._send(f"RELOADING=1\nMONOTONIC_USEC={microseconds}")

    def stopping(self) -> None:
        """The end has begun."""
        self._send("STOPPING=1")

    def alive(self) -> None:
        """The main loop has moved."""
        self._send("WATCHDOG=1")

    def _send(self, state: str) -> None:
        if not self._listening:
            return
        try:
            from cysystemd import daemon  # noqa: PLC0415 - an extra, needed under systemd alone
        except ImportError:
            self._listening = False
            return
        daemon.sd_notify(state)  # type: ignore[attr-defined, no-untyped-call, unused-ignore]
