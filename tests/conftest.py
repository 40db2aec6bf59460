from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from dying import pytest_terminal_summary
from postgres import postgres

if TYPE_CHECKING:
    from xdist.remote import Producer
    from xdist.scheduler import LoadGroupScheduling

__all__ = ["postgres", "pytest_terminal_summary"]

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
