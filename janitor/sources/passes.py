"""When a list was walked, under which access, and whether it is time to walk it again."""

from __future__ import annotations

import json
from datetime import datetime, timedelta

from janitor.registry import Registry

AGAIN_AFTER = timedelta(hours=20)
"""A daily sweep does not come after exactly a day: its schedule jitters."""


class Passes:
    """The passes over one list, remembered in the registry under the name of their round.

    `begun_at` is when the pass under way began. `access` is the fingerprint of endpoint and
    credential: a pass that was cut short under another one begins anew.
    """

    def __init__(self, registry: Registry, round: str, access: str) -> None:
        self._registry = registry
        self._round = round
        self._access = access
        self.begun_at: datetime | None = None

    def begin(self, now: datetime) -> str | None:
        """Where the pass that was cut short goes on; `None`: a new one begins now."""
        after = self._registry.cursor(self._round)
        said = json.loads(self._registry.recall(f"{self._round}:begun") or "{}")
        if after is None or said.get("access") != self._access:
            self.anew(now)
            return None
        self.begun_at = datetime.fromisoformat(said["at"])
        return after

    def anew(self, now: datetime) -> None:
        """Begin a new pass."""
        self._registry.end_round(self._round)
        said = json.dumps({"at": now.isoformat(), "access": self._access})
        self._registry.remember(f"{self._round}:begun", said)
        self.begun_at = now

    def end(self, now: datetime) -> None:
        """Forget what the pass came by; the next one begins anew."""
        self._registry.end_round(self._round)
        self._registry.remember(f"{self._round}:ended", now.isoformat())

    def is_due(self, now: datetime) -> bool:
        """Whether a pass is to go on, or the last one ended so long ago that another may begin."""
        if self._registry.cursor(self._round) is not None:
            return True
        ended = self._registry.recall(f"{self._round}:ended")
        return ended is None or now - datetime.fromisoformat(ended) >= AGAIN_AFTER
