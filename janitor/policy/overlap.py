"""Whether one selector covers another, and threads that two policies both match."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from itertools import chain, islice, product
from math import prod
from typing import TypeVar

from janitor.model import Key, Kind, Thread
from janitor.policy.matching import asks_reserved, clause, common
from janitor.policy.rules import Policy, Selector, Test

BORN = datetime(2000, 1, 1, tzinfo=UTC)
"""When the threads made up here were created and last active."""
ANY_VALUE = "x"
PRESENT = Test(exists=True)
MOST_TRIED = 256
"""How many combinations of kind, project and values are tried for two policies."""
MOST_COMBINED = 4096
"""How many combinations of alternatives are looked at before selectors count as compatible."""
T = TypeVar("T")
U = TypeVar("U")


def covers(outer: Selector, inner: Selector) -> bool:
    """Whether `outer` certainly matches every thread that `inner` matches, by the same view.

    False if the selectors alone do not tell.
    """
    if asks_reserved(key for one in (*outer.parts, *inner.parts) for key in one.metadata):
        return False
    return all(
        any(_all_follow(given, wanted) for wanted in outer.alternatives)
        for given in inner.alternatives
    )


def _all_follow(given: Sequence[Selector], wanted: Sequence[Selector]) -> bool:
    """Whether everything that meets all of the `given` selectors meets all of the `wanted` ones."""
    kinds = _common([one.kinds for one in given], frozenset(Kind))
    projects = common([one.projects for one in given])
    return all(
        (one.kinds is None or kinds <= one.kinds)
        and (one.projects is None or (projects is not None and projects <= one.projects))
        and all(_some_follows(given, key, test) for key, test in one.metadata.items())
        for one in wanted
    )


def _some_follows(given: Sequence[Selector], key: str, wanted: Test) -> bool:
    return any(key in one.metadata and _follows(one.metadata[key], wanted, key) for one in given)


def _follows(given: Test, wanted: Test, key: str) -> bool:
    """Whether every value that meets `given` meets `wanted`."""
    if given.any_of is not None:
        meets = clause(key, wanted)
        return all(meets({key: value}) for value in given.any_of)
    if wanted.any_of is not None or (wanted.glob not in {None, "*"} and wanted != given):
        return False
    return (wanted.exists is False) == (given.exists is False)


def apart(one: Selector, other: Selector) -> bool:
    """Whether two selectors ask for different values of one key, so that no thread meets both.

    A quick look: false does not mean that any thread does.
    """
    for key, test in one.metadata.items():
        asked = other.metadata.get(key)
        if asked is not None and test.any_of and asked.any_of and not test.any_of & asked.any_of:
            return True
    return False


def clash(selectors: Sequence[Selector]) -> str | None:
    """The clause that no thread can meet in all selectors, whatever their `any_of`.

    Named as in a file: `kind`, `project` or `metadata.KEY`; `None` if none is known.
    """
    if common([one.kinds for one in selectors]) == frozenset():
        return "kind"
    if common([one.projects for one in selectors]) == frozenset():
        return "project"
    asked = tests_by_key(selectors).items()
    return next((f"metadata.{key}" for key, tests in asked if _exclude_all(key, tests)), None)


def tests_by_key(selectors: Iterable[Selector]) -> dict[str, list[Test]]:
    """What the selectors ask of each metadata key."""
    tests: dict[str, list[Test]] = {}
    for key, test in (pair for one in selectors for pair in one.metadata.items()):
        tests.setdefault(key, []).append(test)
    return tests


def _exclude_all(key: str, tests: Sequence[Test]) -> bool:
    named = exact_values(key, tests)
    if named is not None:
        return not named
    absent = [test.exists is False for test in tests]
    return any(absent) and not all(absent)


def exact_values(key: str, tests: Sequence[Test]) -> frozenset[str] | None:
    """The values that meet all tests of a key; `None` if no test names any."""
    named = common([test.any_of for test in tests])
    if named is None:
        return None
    meets = [clause(key, test) for test in tests]
    return frozenset(value for value in named if all(holds({key: value}) for holds in meets))


def never_together(*selectors: Selector) -> bool:
    """Whether certainly no thread meets all of the selectors by one view of its metadata."""
    if prod(len(one.alternatives) for one in selectors) > MOST_COMBINED:
        return False
    ways = product(*(one.alternatives for one in selectors))
    return all(clash(tuple(chain.from_iterable(way))) for way in ways)


def threads_of_both(one: Policy, other: Policy) -> Iterator[Thread]:
    """Threads that the `match` of both policies selects, with little else for others to match.

    Each is created and last active at `BORN`; its metadata is read and the same on both sides. It
    has the keys by which `keep_last` groups.
    """
    if apart(one.match, other.match):
        return iter(())
    groups = [each.keep_last.per for each in (one, other) if each.keep_last is not None]
    grouped = Selector(metadata={key: PRESENT for key in groups if key is not None})
    mine = one.match.alternatives
    ways = zip(mine, mine, strict=True) if one is other else product(mine, other.match.alternatives)
    found = (thread for way, more in ways for thread in _threads((*way, *more, grouped)))
    return islice(found, MOST_TRIED)


def _threads(selectors: Sequence[Selector]) -> Iterator[Thread]:
    """Threads that meet every one of the selectors, whatever their `any_of`."""
    kinds = _common([one.kinds for one in selectors], frozenset(Kind))
    projects = _common([one.projects for one in selectors], frozenset({"main"}))
    tests = tests_by_key(selectors)
    values = [_values(key, tests[key]) for key in tests]
    for project, kind in product(sorted(projects), sorted(kinds)):
        for chosen in product(*values):
            pairs = zip(tests, chosen, strict=True)
            metadata = {key: value for key, value in pairs if value is not None}
            yield Thread(
                Key(project, kind, "t"),
                created_at=BORN,
                last_active_at=BORN,
                reported=metadata,
                upstream=metadata,
            )


def _values(key: str, tests: Sequence[Test]) -> list[str | None]:
    """Values that meet all tests of a key; `None` stands for its absence."""
    named = {value for test in tests for value in test.any_of or ()}
    globs = {test.glob for test in tests if test.glob is not None}
    filled = {glob.replace("*", ANY_VALUE).replace("?", ANY_VALUE) for glob in globs}
    bare = {glob.replace("*", "").replace("?", ANY_VALUE) for glob in globs}
    meets = [clause(key, test) for test in tests]
    return [
        value
        for value in (None, ANY_VALUE, *sorted(filled | bare | named))
        if all(holds({} if value is None else {key: value}) for holds in meets)
    ]


def _common(sets: Iterable[frozenset[T] | None], every: U) -> frozenset[T] | U:
    """What all sets have in common; `every` if all of them are `None`."""
    found = common(sets)
    return every if found is None else found
