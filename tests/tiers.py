"""What a test costs, and so when it runs: each test belongs to one tier.

`make quick` runs the first tier, `make test` the first two, `make test-slow` the third. `PLACES`
gives a tier to folders and files; where one place holds another, the inner one counts. Two marks
put single tests in the third tier, wherever they stand:

- `slow`: this test;
- `each_once(rows, columns)`: the cases of this matrix that the first tiers can do without. Its two
  sides, named by their parameters, meet in one piece of code, such as what is answered and which
  call it answers to: a case of each row and of each column proves what either does. All other pairs
  only prove that the two do not depend on each other; the third tier runs them.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from enum import StrEnum
from itertools import compress
from pathlib import Path, PurePosixPath

import pytest


class Tier(StrEnum):
    """How much a test costs."""

    QUICK = "quick"
    """Milliseconds: pure, or in this process; no server of a database, nothing is started."""
    STANDARD = "standard"
    """Both engines, processes, and what a person sees of a command."""
    SLOW = "slow"
    """Killed processes, faults, models, months, images, mutants, and matrices in full."""


PLACES: dict[str, Tier] = {
    "tests/contract": Tier.STANDARD,
    "tests/contract/drivers": Tier.QUICK,
    "tests/contract/drivers/test_drivers_emulator.py": Tier.STANDARD,
    "tests/contract/drivers/test_drivers_sockets.py": Tier.STANDARD,
    "tests/crash": Tier.SLOW,
    "tests/e2e": Tier.SLOW,
    "tests/e2e/bad_input": Tier.STANDARD,
    "tests/e2e/bad_input/test_bad_environment.py": Tier.SLOW,
    "tests/e2e/cli": Tier.STANDARD,
    "tests/e2e/cli/test_cli_archive.py": Tier.SLOW,
    "tests/e2e/cli/test_cli_demo.py": Tier.SLOW,
    "tests/e2e/cli/test_cli_inbox.py": Tier.SLOW,
    "tests/e2e/cli/test_cli_output.py": Tier.SLOW,
    "tests/e2e/cli/test_cli_progress.py": Tier.SLOW,
    "tests/e2e/cli/test_cli_signals.py": Tier.SLOW,
    "tests/e2e/cli/test_cli_stops.py": Tier.SLOW,
    "tests/e2e/cli/test_cli_twins.py": Tier.SLOW,
    "tests/e2e/cli/test_cli_unfinished.py": Tier.SLOW,
    "tests/e2e/cli/test_cli_untouched.py": Tier.SLOW,
    "tests/e2e/cli/test_documents.py": Tier.SLOW,
    "tests/e2e/failures": Tier.STANDARD,
    "tests/e2e/failures/test_own_not_found.py": Tier.SLOW,
    "tests/faults": Tier.SLOW,
    "tests/fuzz": Tier.SLOW,
    "tests/model": Tier.SLOW,
    "tests/refused": Tier.QUICK,
    "tests/safeties": Tier.SLOW,
    "tests/safeties/test_safeties_table.py": Tier.STANDARD,
    "tests/unit": Tier.STANDARD,
    "tests/unit/archive": Tier.QUICK,
    "tests/unit/archive/test_archive_process.py": Tier.STANDARD,
    "tests/unit/archive/test_archive_transcript.py": Tier.STANDARD,
    "tests/unit/config": Tier.QUICK,
    "tests/unit/config/test_check_commands.py": Tier.STANDARD,
    "tests/unit/emulator": Tier.QUICK,
    "tests/unit/emulator/test_emulator_process.py": Tier.STANDARD,
    "tests/unit/rate_limit": Tier.QUICK,
    "tests/unit/rate_limit/test_rate_limit_auto.py": Tier.SLOW,
    "tests/unit/policy": Tier.QUICK,
    "tests/unit/policy/test_policy_conflicts.py": Tier.STANDARD,
    "tests/unit/policy/test_policy_properties.py": Tier.STANDARD,
    "tests/unit/policy/test_policy_retention.py": Tier.STANDARD,
    "tests/unit/policy/test_policy_unapproved.py": Tier.STANDARD,
    "tests/unit/engine/test_plan_truth.py": Tier.SLOW,
    "tests/unit/engine/test_sweep_calendar.py": Tier.SLOW,
    "tests/unit/engine/test_sweep_clock_wrong.py": Tier.SLOW,
    "tests/unit/engine/test_sweep_fairness.py": Tier.SLOW,
    "tests/unit/engine/test_sweep_incomplete.py": Tier.SLOW,
    "tests/unit/engine/test_sweep_outage.py": Tier.SLOW,
    "tests/unit/engine/test_sweep_prune.py": Tier.SLOW,
    "tests/unit/engine/test_sweep_recover.py": Tier.SLOW,
    "tests/unit/engine/test_sweep_recover_flaky.py": Tier.SLOW,
    "tests/unit/house/test_house_extras.py": Tier.SLOW,
    "tests/unit/sources/test_sources_discovery_process.py": Tier.SLOW,
    "tests/unit/times": Tier.QUICK,
    "tests/unit/tracking/test_tracking_loops.py": Tier.SLOW,
    "tests/unit/tracking/test_tracking_processes.py": Tier.SLOW,
}


def place_of(path: str) -> str | None:
    """The listed place that decides about a file, given by its path from the root."""
    here = PurePosixPath(path)
    return next((f"{one}" for one in (here, *here.parents) if f"{one}" in PLACES), None)


def tier_of(item: pytest.Item) -> Tier | None:
    """The tier of a test; None where no place is listed for it."""
    if item.get_closest_marker("slow"):
        return Tier.SLOW
    place = place_of(item.nodeid.partition("::")[0])
    return None if place is None else PLACES[place]


def is_needed(row: int, column: int, rows: int, columns: int) -> bool:
    """Whether a pair is among the few that hold each row and each column at least once."""
    width = min(rows, columns)
    return row % width == column % width


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--tier",
        action="append",
        type=Tier,
        choices=list(Tier),
        help="only the tests of this tier; may be given more than once",
    )


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Read no file of another tier; any may hold a test that is marked as slow."""
    chosen = config.getoption("tier")
    if not chosen or Tier.SLOW in chosen or collection_path.suffix != ".py":
        return None
    place = place_of(collection_path.relative_to(config.rootpath).as_posix())
    return True if place is not None and PLACES[place] not in chosen else None


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave what is asked for."""
    _mark_matrices(items)
    chosen = config.getoption("tier")
    if not chosen:
        return
    asked = [tier_of(item) in chosen for item in items]
    left = [item for item, is_asked in zip(items, asked, strict=True) if not is_asked]
    config.hook.pytest_deselected(items=left)
    items[:] = compress(items, asked)


def _mark_matrices(items: Iterable[pytest.Item]) -> None:
    """Mark the pairs of each matrix that are not needed as slow."""
    matrices = defaultdict[str, list[pytest.Function]](list)
    for item in items:
        if isinstance(item, pytest.Function) and item.get_closest_marker("each_once"):
            matrices[item.nodeid.partition("[")[0]].append(item)
    for cases in matrices.values():
        (mark,) = cases[0].iter_markers("each_once")
        rows, columns = (_numbers(cases, side.split(",")) for side in mark.args)
        for case, row, column in zip(cases, rows, columns, strict=True):
            if not is_needed(row, column, 1 + max(rows), 1 + max(columns)):
                case.add_marker("slow")


def _numbers(cases: Sequence[pytest.Function], names: Sequence[str]) -> list[int]:
    """The row (or column) of each case: the cases with the same values of these parameters."""
    given = [tuple(id(case.callspec.params[name]) for name in names) for case in cases]
    known = {one: number for number, one in enumerate(dict.fromkeys(given))}
    return [known[one] for one in given]
