"""Which of Hypothesis's health checks are off: none may fail because a machine is busy."""

from __future__ import annotations

from hypothesis import HealthCheck

SPEED = (
    HealthCheck.too_slow,
    HealthCheck.data_too_large,
    HealthCheck.large_base_example,
    HealthCheck.filter_too_much,
)
SHARED_FIXTURE = (*SPEED, HealthCheck.function_scoped_fixture)
"""For a test whose fixture may serve all examples; `settings` replaces what the profile says."""
