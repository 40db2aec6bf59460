from __future__ import annotations

import gc
import os
from typing import TYPE_CHECKING

import bytecode
import pytest
from dying import pytest_terminal_summary
from failures_told import pytest_configure
from health import SPEED
from hypothesis import Phase, settings
from postgres import postgres
from started import MUTANT
from tiers import pytest_addoption, pytest_collection_modifyitems, pytest_ignore_collect

if TYPE_CHECKING:
    from xdist.remote import Producer
    from xdist.scheduler import LoadGroupScheduling

__all__ = [
    "postgres",
    "pytest_addoption",
    "pytest_collection_modifyitems",
    "pytest_configure",
    "pytest_ignore_collect",
    "pytest_terminal_summary",
]

bytecode.share()

BY_READERS = {Phase.shrink, Phase.explain}
"""What makes a failure easier to read, and takes longer than to find it."""

# The same examples at every run, and none that is refused for being slow on a busy machine.
settings.register_profile(
    "fixed",
    derandomize=True,
    database=None,
    deadline=None,
    suppress_health_check=SPEED,
    phases=set(Phase) - (BY_READERS if MUTANT in os.environ else set()),
)
settings.load_profile("fixed")

TOGETHER = ("tests/e2e/image/", "tests/unit/house/")
"""Places whose tests share what takes long to make: an image, the whole tree parsed."""


def pytest_collection_finish() -> None:
    """Leave the hundred thousands of objects of the collection out of all that follows.

    They stay until the end, and every look for garbage would walk over them again.
    """
    gc.collect()
    gc.freeze()


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> LoadGroupScheduling | None:
    """`--dist loadgroup` that keeps tests of some places on one worker.

    By their place, since `xdist_group` marks are lost between pytest 9.2 and pytest-xdist 3.8.
    """
    from xdist.scheduler import LoadGroupScheduling

    class Together(LoadGroupScheduling):
        def _split_scope(self, nodeid: str) -> str:
            found = next((place for place in TOGETHER if nodeid.startswith(place)), None)
            return found or super()._split_scope(nodeid)

    return Together(config, log) if config.getvalue("dist") == "loadgroup" else None


def pytest_unconfigure() -> None:
    bytecode.remove()
