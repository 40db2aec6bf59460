"""Telling systemd how the service is; silent where nobody listens."""

from __future__ import annotations

import logging
import os
import time
from importlib.util import find_spec

from janitor.distribution import install
from janitor.errors import ConfigError

log = logging.getLogger("janitor")


class Notify:
    """Sends readiness, reloads, the end, and the watchdog's sign of life.

    Without NOTIFY_SOCKET nothing is sent, and the systemd library is not even imported.

    Raises:
        ConfigError: systemd waits for a word that nothing here can send.
    """

    def __init__(self) -> None:
        self._failed = False
        self._listening = "NOTIFY_SOCKET" in os.environ
        if self._listening and find_spec("cysystemd") is None:
            raise ConfigError(
                "systemd waits to be told (NOTIFY_SOCKET), but cysystemd is not installed: "
                f"{install('systemd')}; or write Type=exec in the unit"
            )

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
        from cysystemd import daemon  # noqa: PLC0415 - an extra, for systemd alone

        try:
            daemon.sd_notify(state)  # type: ignore[attr-defined, no-untyped-call, unused-ignore]
        except (OSError, ValueError) as error:
            if not self._failed:  # a sign of life follows every second: one complaint will do
                log.warning("systemd could not be told %s: %s", state.partition("=")[0], error)
            self._failed = True
