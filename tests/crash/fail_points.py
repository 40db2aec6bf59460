"""Which of the points that a run comes by are worth dying at."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Sequence

from seams import Point

SEED = 20260601
BEGUN = (" GET ", "registry/copies.py:note_prune ")
SETTLED = ("registry/settlements.py:settle ", "registry/copies.py:settle_prune ")


def chosen(
    points: Sequence[Point], *, is_whole: bool, is_literal: bool, on_file: bool
) -> list[Point]:
    """Each name's first and last occurrence and one in between, at every moment.

    Without `is_whole` only from the first request, or the count of copies past their date, to the
    last settlement. Where the registry is not `on_file` only its own effects: the others do not
    know of its engine, and what lies between two effects of the registry is the same to it. Unless
    `is_literal`, dying right after an effect stands for dying before the next.
    """
    span = points if is_whole else _about_the_thread(points)
    if not on_file:
        span = [point for point in span if point.name.startswith("registry/")]
    alike: dict[tuple[str, str], list[Point]] = defaultdict(list)
    for point in span:
        alike[point.name, point.moment].append(point)
    kept = {point for group in alike.values() for point in _ends_and_one(group)}
    following = zip([None, *points], points, strict=False)
    told = {point for last, point in following if _is_same(last, point) and last in kept}
    return [point for point in span if point in kept and (is_literal or point not in told)]


def _is_same(last: Point | None, point: Point) -> bool:
    """Whether nothing can have happened between two points."""
    return last is not None and (last.moment, point.moment) == ("after", "before")


def _ends_and_one(group: Sequence[Point]) -> set[Point]:
    middle = random.Random(f"{SEED} {group[0].name}").sample(group[1:-1], k=len(group) > 2)  # noqa: S311
    return {group[0], group[-1], *middle}


def _about_the_thread(points: Sequence[Point]) -> Sequence[Point]:
    begins = next(n for n, point in enumerate(points) if _is_any(BEGUN, point))
    ends = max(n for n, point in enumerate(points) if _is_any(SETTLED, point))
    return points[begins : ends + 1]


def _is_any(names: Sequence[str], point: Point) -> bool:
    return any(name in point.name for name in names)
