"""What is remembered of each input: how far a source was read, and how the last reading ended."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from typing import Any

from janitor.registry import Registry
from janitor.sources.watermarks import Mark

MEMORY = "sources"
"""Under which name the registry keeps it, so that all replicas know of a source that fails."""
INBOX = "the inbox"
"""Under which name the inbox is remembered; no source can be called so."""


@dataclass(frozen=True, slots=True)
class Memory:
    """One source, as its last readings left it; of a list or the inbox, only how they ended.

    `mark` belongs to `identity`: the query, its watermark and the database. `full_at` is when all
    of it was last read, `trouble` why the last reading failed, and `readings` counts them all.
    """

    identity: str = ""
    mark: Mark | None = None
    ended_at: datetime | None = None
    full_at: datetime | None = None
    failed_at: datetime | None = None
    trouble: str | None = None
    readings: int = 0

    @property
    def is_down(self) -> bool:
        """Whether what it feeds must not be removed: its table may know better."""
        return self.trouble is not None or self.ended_at is None

    def failed(self, at: datetime, trouble: str) -> Memory:
        """After a reading that did not come to its end: what was remembered stays."""
        return replace(self, failed_at=at, trouble=trouble, readings=self.readings + 1)

    def ended(
        self, at: datetime, identity: str, mark: Mark | None, full_at: datetime | None
    ) -> Memory:
        """After a reading that came to its end."""
        return Memory(identity, mark, at, full_at, self.failed_at, None, self.readings + 1)


def is_source(name: str) -> bool:
    """Whether what is remembered under a name is a source."""
    return name != INBOX and ":" not in name


def memories(registry: Registry) -> dict[str, Memory]:
    """What is remembered, by source, list (`Place.round`) and `INBOX`."""
    return _read(registry.recall(MEMORY))


def remember(
    registry: Registry, source: str, change: Callable[[Memory, datetime], Memory]
) -> Memory:
    """Change what is remembered of one input; `change` is given that and the shared clock."""
    changed: list[Memory] = []

    def altered(before: str | None, now: datetime) -> str:
        known = _read(before)
        known[source] = change(known.get(source, Memory()), now)
        changed.append(known[source])
        return _spell(known)

    registry.alter(MEMORY, altered)
    return changed[-1]


def failed(registry: Registry, name: str, trouble: str) -> None:
    """Remember that a list or the inbox could not be read to its end."""
    remember(registry, name, lambda memory, at: memory.failed(at, trouble))


def recovered(registry: Registry, name: str) -> None:
    """Remember that a list or the inbox was read to its end."""
    remember(registry, name, lambda memory, at: memory.ended(at, "", None, None))


def forget_others(registry: Registry, configured: Iterable[str]) -> None:
    """Forget the sources and lists that are no longer configured; they feed nobody any more."""
    named = {*configured, INBOX}
    if set(memories(registry)) - named:
        registry.alter(
            MEMORY,
            lambda before, _: _spell({n: m for n, m in _read(before).items() if n in named}),
        )


def troubles(registry: Registry) -> dict[str, str]:
    """Which inputs are down, by a name for people, each with why."""
    return {
        f"source {name}" if is_source(name) else name: memory.trouble or "was never read"
        for name, memory in memories(registry).items()
        if (memory.is_down if is_source(name) else memory.trouble is not None)
    }


def down(registry: Registry, configured: Iterable[str]) -> dict[str, str]:
    """The configured sources whose threads must be kept, each with the reason and what to do.

    `INBOX` is among them while it cannot be read: it may have a word about any thread.
    """
    known = memories(registry)
    found = {name: known.get(name, Memory()) for name in configured}
    told = {name: _told(name, memory) for name, memory in found.items() if memory.is_down}
    if (trouble := known.get(INBOX, Memory()).trouble) is not None:
        told[INBOX] = f"{trouble}. No thread is removed until it is read: janitor sweep tries again"
    return told


def _told(name: str, memory: Memory) -> str:
    why = memory.trouble or f"source {name}: was never read to its end"
    return f"{why}. What it feeds is kept until it is: janitor sync --source {name}"


def _spell(known: dict[str, Memory]) -> str:
    rows = {
        name: {**asdict(memory), "mark": memory.mark.spelled() if memory.mark else None}
        for name, memory in known.items()
    }
    return json.dumps(rows, default=datetime.isoformat)


def _read(said: str | None) -> dict[str, Memory]:
    return {name: _memory(row) for name, row in json.loads(said or "{}").items()}


def _memory(row: dict[str, Any]) -> Memory:
    times = {name: _time(row[name]) for name in ("ended_at", "full_at", "failed_at")}
    mark = Mark.of(row["mark"]) if row["mark"] else None
    return Memory(
        identity=row["identity"],
        mark=mark,
        trouble=row["trouble"],
        readings=row["readings"],
        **times,
    )


def _time(said: str | None) -> datetime | None:
    return None if said is None else datetime.fromisoformat(said)
