"""Each failure told when it happens: a run that is ended before its summary has told them, too."""

from __future__ import annotations

import time

import pytest


def pytest_configure(config: pytest.Config) -> None:
    """Tell them once: not in each worker as well."""
    if not hasattr(config, "workerinput"):
        config.pluginmanager.register(FailuresTold(config))


class FailuresTold:
    """Says which test failed, when, and how."""

    def __init__(self, config: pytest.Config) -> None:
        self.config = config
        self.began = time.monotonic()

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Say it between the dots."""
        terminal = self.config.pluginmanager.getplugin("terminalreporter")
        if report.failed and terminal is not None:
            terminal.write_line("")
            terminal.write_line(
                f"{report.nodeid} failed in its {report.when}, {report.duration:.0f} s long, "
                f"{time.monotonic() - self.began:.0f} s after the start:"
            )
            terminal.write_line(report.longreprtext[-6000:])
