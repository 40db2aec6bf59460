"""Why a thread is where it is, from the registry's facts alone."""

from __future__ import annotations

from datetime import datetime

from janitor.config import Config
from janitor.model import Decision
from janitor.policy import decide
from janitor.registry import Entry, Registry
from janitor.sweep.ranks import Ranking


def decide_on_facts(config: Config, registry: Registry, entry: Entry, now: datetime) -> Decision:
    """Decide about one thread as a sweep would before it asks the server."""
    ranks = Ranking(registry, config.policies).of(entry.thread, now)
    return decide(entry.thread, config.policies, registry.holds(now), ranks, now)
