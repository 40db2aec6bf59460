"""At how many places tests have killed janitor, told at the end of a session, by engine."""

from __future__ import annotations

from collections import Counter

import pytest

DIED = "fail-points"
"""Under which name a test records its engine and its number."""


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say it; with workers, too, since what a test records travels with its report."""
    died = Counter[str]()
    for report in terminalreporter.stats.get("passed", []):
        for name, value in report.user_properties:
            if name == DIED:
                engine, number = value
                died[engine] += number
    if died:
        said = ", ".join(f"{number} on {engine}" for engine, number in sorted(died.items()))
        terminalreporter.write_line(f"{sum(died.values())} fail-points: {said}")
