"""Which rules match no thread, without a scan: what a full pass found, less later matches.

A rule that may match unread metadata is not named until all metadata has been read.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime

from janitor.model import Hold, Key, Thread
from janitor.policy import Policies, RuleCoverage
from janitor.registry import Registry

NOBODY = "-"
WHOLE = frozenset({"policy", "hold"})


def message(rule: str) -> str:
    """The message about a rule that matches no thread, such as `policy:NAME`."""
    part, _, name = rule.partition(":")
    whose = f"{part.capitalize()} {name}" if part in WHOLE else f"`{part}` of policy {name}"
    return f"{whose} matches no thread; a typo?"


class UnmatchedRules:
    """Tracks which rules have matched no thread so far."""

    def __init__(self, policies: Policies, holds: Sequence[Hold], now: datetime) -> None:
        in_force = [hold for hold in holds if hold.is_in_force(now)]
        self._coverage = RuleCoverage(policies, in_force)

    def see(self, thread: Thread) -> None:
        """Note which rules match this thread, as the registry or the server knows it."""
        self._coverage.see(thread)

    def told(
        self, registry: Registry, recorded: Iterable[str] | None, governing: Iterable[str] = ()
    ) -> tuple[str, ...]:
        """The rules to name, given those that were silent at the last record (`None`: no record).

        `governing` are policies known to govern rows, as these were last decided.
        """
        return self._certain(registry, self._since(recorded, governing))

    def record(
        self, registry: Registry, digest: str, governing: Iterable[str] = ()
    ) -> tuple[str, ...]:
        """Store which rules of that digest are silent; returns the rules to name."""
        recorded = registry.policies.silent_rules(digest)
        silent = self._since(recorded, governing)
        if recorded is None or {*recorded} != silent:
            registry.policies.set_silent_rules(digest, sorted(silent))
        return self._certain(registry, silent)

    def _since(self, recorded: Iterable[str] | None, governing: Iterable[str]) -> set[str]:
        silent = {*self._coverage.silent} - {f"policy:{name}" for name in governing}
        return silent if recorded is None else silent & {*recorded}

    def _certain(self, registry: Registry, silent: set[str]) -> tuple[str, ...]:
        for project, kind in registry.threads.unread() if silent else ():
            silent = silent - self._coverage.doubtful(Thread(Key(project, kind, NOBODY)))
        return tuple(sorted(silent))
