"""Which rules match no thread, without a scan: what a full pass found, less what was seen since."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime

from janitor.model import Hold
from janitor.policy import Coverage, Policies
from janitor.registry import Entry, Registry


class Silence:
    """Takes in threads as they are looked at, and knows the rules that matched none of them."""

    def __init__(self, policies: Policies, holds: Sequence[Hold], now: datetime) -> None:
        in_force = [hold for hold in holds if hold.is_in_force(now)]
        self._coverage = Coverage(policies, in_force)

    def see(self, entry: Entry) -> None:
        """Take one thread into account."""
        self._coverage.see(entry.thread)

    def since(self, recorded: Iterable[str] | None) -> tuple[str, ...]:
        """The rules still silent, given those that were at the last record (`None`: no record)."""
        silent = self._coverage.silent
        return silent if recorded is None else tuple(sorted({*recorded} & {*silent}))

    def record(self, registry: Registry, digest: str) -> tuple[str, ...]:
        """Write down what is silent under the rules of that digest, where it has changed."""
        recorded = registry.silent_rules(digest)
        silent = self.since(recorded)
        if recorded is None or set(recorded) != set(silent):
            registry.set_silent_rules(digest, silent)
        return silent
