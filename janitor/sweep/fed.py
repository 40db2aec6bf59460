"""What an input feeds is not removed while that input fails: it may know better by now."""

from __future__ import annotations

from collections.abc import Container
from dataclasses import replace
from datetime import datetime

from janitor.model import REMOVING, Decision, Reason, Thread
from janitor.sources.memory import INBOX


def held_back(thread: Thread, decision: Decision, down: Container[str], now: datetime) -> Decision:
    """The decision without what removes, where the thread's source is among those `down`.

    The inbox feeds all threads, since what waits there may keep any of them. Copies are still
    made. The thread stays up for review: the next sweep looks again.
    """
    is_fed = thread.source is not None and thread.source in down
    if not (is_fed or INBOX in down) or REMOVING.isdisjoint(decision.stages):
        return decision
    if copies := tuple(stage for stage in decision.stages if stage not in REMOVING):
        return replace(decision, stages=copies, reason=Reason.SOURCE_DOWN)
    return replace(decision, stages=(), reason=Reason.SOURCE_DOWN, review_at=now)
