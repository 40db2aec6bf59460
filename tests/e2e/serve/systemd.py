"""What systemd would hear from a service."""

from __future__ import annotations

import socket
from pathlib import Path


class Systemd:
    """Listens where the service tells."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(path))
        self._socket.settimeout(60)

    def close(self) -> None:
        self._socket.close()

    def hear(self, word: str) -> str:
        """The next message that begins with a word; others may come before."""
        while not (said := self._socket.recv(4096).decode()).startswith(word):
            assert said in {"READY=1", "WATCHDOG=1"}, said
        return said
