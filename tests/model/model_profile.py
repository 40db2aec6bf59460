"""How long the model plays: the same steps at every run, or others for as long as is asked."""

from __future__ import annotations

import os

from hypothesis import HealthCheck, Phase, settings

SOAK = int(os.environ.get("JANITOR_SOAK", "0"))
"""How many games each test plays, by a seed that pytest prints; 0: the same few as ever."""


def played(games: int, steps: int = 50) -> settings:
    """So many games of at most so many steps, unless more are asked for."""
    return settings(
        max_examples=SOAK or games,
        stateful_step_count=steps,
        derandomize=not SOAK,
        database=None,
        deadline=None,
        phases=[Phase.generate, Phase.shrink] if SOAK else [Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
