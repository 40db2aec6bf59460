"""Which uses of a container are worth a line: one a minute, whichever client makes them."""

from __future__ import annotations

import time
from collections import OrderedDict

from janitor.model import Key
from janitor.tracking.greenlets import RLock

EVERY = 60.0
REMEMBERED = 10_000


class Touches:
    """When containers were last told of, for as many as it remembers; safe under threads."""

    def __init__(self) -> None:
        self._told_at: OrderedDict[Key, float] = OrderedDict()
        self._lock = RLock()

    def are_due(self, key: Key) -> bool:
        """Whether it was not told of for a minute; it is taken to be told of now."""
        now = time.monotonic()
        with self._lock:
            before = self._told_at.get(key)
            if before is not None and now - before < EVERY:
                return False
            self._told_at[key] = now
            self._told_at.move_to_end(key)
            if len(self._told_at) > REMEMBERED:
                self._told_at.popitem(last=False)
            return True
