"""Which of the points that a run comes by are worth dying at."""

from __future__ import annotations

import random
import re
from collections import defaultdict
from collections.abc import Sequence
from typing import Literal

from seams import Point

SEED = 20260601
Own = tuple[str, ...] | Literal["whole"]
"""What a run does around its threads that others do not: how those effects' names begin, or all."""
READ = re.compile(" GET /")
CHANGING = re.compile(" (POST|DELETE) /")
BEGUN = re.compile(" GET |registry/copies.py:note_prune ")
SETTLED = re.compile("registry/settlements.py:settle |registry/copies.py:settle_prune ")


def chosen(
    points: Sequence[Point], own: Own, *, is_first: bool, is_literal: bool, on_file: bool
) -> list[Point]:
    """Each name's first and last occurrence and one in between, at every moment.

    From the first request, or the count of copies past their date, to the last settlement; around
    that, what is the run's `own`. Another kind than the first differs from it in what changes the
    container at the server: it dies at that, and at the settlement. Where the registry is not
    `on_file` only its own effects: the others do not know of its engine, and what lies between two
    effects of the registry is the same to it. Unless `is_literal`, dying right after an effect
    stands for dying before the next, and in between at what only reads: that changes nothing.
    """
    about = set(_about_the_thread(points))
    span = [point for point in points if point in about or _is_own(point, own)]
    if not is_first:
        span = [p for p in span if CHANGING.search(p.name) or SETTLED.search(p.name)]
    if not on_file:
        span = [point for point in span if point.name.startswith("registry/")]
    alike: dict[tuple[str, str], list[Point]] = defaultdict(list)
    for point in span:
        alike[point.name, point.moment].append(point)
    kept = {point for group in alike.values() for point in _ends_and_one(group)}
    if is_literal:
        return [point for point in span if point in kept]
    changes = [point for point in points if not READ.search(point.name)]
    following = zip([None, *changes], changes, strict=False)
    told = {point for last, point in following if _is_same(last, point) and last in kept}
    return [point for point in changes if point in kept and point not in told]


def _is_same(last: Point | None, point: Point) -> bool:
    """Whether nothing can have happened between two points."""
    return last is not None and (last.moment, point.moment) == ("after", "before")


def _ends_and_one(group: Sequence[Point]) -> set[Point]:
    middle = random.Random(f"{SEED} {group[0].name}").sample(group[1:-1], k=len(group) > 2)  # noqa: S311
    return {group[0], group[-1], *middle}


def _about_the_thread(points: Sequence[Point]) -> Sequence[Point]:
    begins = [n for n, point in enumerate(points) if BEGUN.search(point.name)]
    ends = [n for n, point in enumerate(points) if SETTLED.search(point.name)]
    return points[begins[0] : ends[-1] + 1] if begins and ends else ()


def _is_own(point: Point, own: Own) -> bool:
    return own == "whole" or point.name.startswith(own)
