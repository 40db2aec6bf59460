"""How long the model plays: the same steps at every run, or others for as long as asked."""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

SOAK = int(os.environ.get("JANITOR_SOAK", "0"))
PROFILE = settings(
    max_examples=SOAK or 40,
    stateful_step_count=50,
    derandomize=not SOAK,
    database=None,
    deadline=None,
    print_blob=True,
    suppress_health_check=list(HealthCheck),
)
