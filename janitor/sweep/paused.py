"""Whether a person has said that a thread is to be left alone for now."""

from __future__ import annotations

from janitor.registry import Entry
from janitor.sweep.parts import Parts


def is_paused(parts: Parts, entry: Entry, policy: str | None) -> bool:
    """Read anew each time: a pause is obeyed before the next call."""
    project = entry.thread.key.project
    return any(pause.covers(project, policy) for pause in parts.registry.pauses(parts.clock()))
