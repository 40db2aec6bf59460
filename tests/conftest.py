from __future__ import annotations

from typing import TYPE_CHECKING

import bytecode
import pytest
from dying import pytest_terminal_summary
from hypothesis import HealthCheck, settings
from postgres import postgres

if TYPE_CHECKING:
    from xdist.remote import Producer
    from xdist.scheduler import LoadGroupScheduling

__all__ = ["postgres", "pytest_terminal_summary"]

bytecode.share()

# The same examples at every run, and none that is refused for being slow on a busy machine.
settings.register_profile(
    "fixed",
    derandomize=True,
    database=None,
    deadline=None,
    suppress_health_check=[
        HealthCheck.too_slow,
        HealthCheck.data_too_large,
        HealthCheck.large_base_example,
        HealthCheck.filter_too_much,
    ],
)
settings.load_profile("fixed")

BUILT_ONCE = "tests/e2e/image/"  # minutes of work that its tests share


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> LoadGroupScheduling | None:
    """`--dist loadgroup` that keeps tests of one place on one worker.

    By their place, since `xdist_group` marks are lost between pytest 9.2 and pytest-xdist 3.8.
    """
    from xdist.scheduler import LoadGroupScheduling

    class Together(LoadGroupScheduling):
        def _split_scope(self, nodeid: str) -> str:
            found = nodeid.startswith(BUILT_ONCE)
            return BUILT_ONCE if found else super()._split_scope(nodeid)

    return Together(config, log) if config.getvalue("dist") == "loadgroup" else None


def pytest_unconfigure() -> None:
    bytecode.remove()
