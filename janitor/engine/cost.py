"""What a plan costs: the calls that a sweep will make, and how long they take. Pure.

Each number has a likely value and its bounds. The calls of a thread come from what its driver does
for each stage, the time from the rates of its project.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from janitor.drivers.call_counts import (
    Calls,
    delete_calls,
    export_calls,
    mark_calls,
    pages,
    probe_calls,
    tail_calls,
)
from janitor.engine.export import LONGEST as EXPORT_LONGEST
from janitor.engine.export import is_exported
from janitor.engine.review import Review
from janitor.kinds import CATALOGUE, PAGE, Kind
from janitor.model import Stage
from janitor.rate_limit import LATENCY, Forecast, Pace, Verb, View, forecast
from janitor.texts import span

USUAL = 20.0
"""Items assumed for a thread if nothing is known about their number."""
LONG = 200.0
"""Items assumed for a thread that is only known to fill a page."""
LONGEST = 1000.0
NONE = Calls()
GIVEN_UP = Calls(reads=1 + pages(EXPORT_LONGEST + 1))
"""An export for a look that turns out to be too long."""
AT_ONCE = 8
"""Items of one container that are deleted at once."""


@dataclass(frozen=True, slots=True)
class ItemCount:
    """How many items a thread has, at least, probably and at most."""

    least: float
    likely: float
    most: float

    @classmethod
    def exactly(cls, number: int) -> ItemCount:
        """A number that is known."""
        return cls(number, number, number)

    @classmethod
    def counted(cls, number: int) -> ItemCount:
        """A number of items that was counted up to a page."""
        return cls.exactly(number) if number < PAGE else cls(PAGE, LONG, LONGEST)


@dataclass(frozen=True, slots=True)
class Task:
    """What a sweep does with one thread after its look.

    `has_copy`: a current copy is compared before a deletion. `marks`: a soft delete writes
    upstream. `items` is `None` if their number is unknown. `is_exported`: an export is the look.
    `is_changed`: the newest item is not the known one.
    """

    kind: Kind
    stages: tuple[Stage, ...]
    items: ItemCount | None
    items_first: bool = True
    marks: bool = False
    has_copy: bool = False
    is_exported: bool = False
    is_changed: bool = False

    @property
    def counts(self) -> bool:
        """Whether the number of its items decides how many calls it takes to delete it."""
        return Stage.DELETE in self.stages and self.items_first and CATALOGUE[self.kind].items_first

    def calls(self, items: float) -> Calls:
        """The calls for all its stages, given its number of items."""
        calls = Calls()
        if self._is_exported(items):
            calls = export_calls(self.kind, items).plus(probe_calls(self.kind).times(-1))
            calls = calls.plus(tail_calls(self.kind)) if self.is_changed else calls
        elif self.is_exported:
            calls = GIVEN_UP
        for stage in self.stages:
            calls = calls.plus(self._calls(stage, items))
        return calls

    def renewals(self, items: float) -> Calls:
        """The looks repeated because items wait so long that the last look is too old."""
        return probe_calls(self.kind).times(items / AT_ONCE if self.counts else 0)

    def _is_exported(self, items: float) -> bool:
        return self.is_exported and items <= EXPORT_LONGEST

    def _calls(self, stage: Stage, items: float) -> Calls:
        read = Calls() if self._is_exported(items) else export_calls(self.kind, items)
        match stage:
            case Stage.ARCHIVE:
                return read.plus(tail_calls(self.kind))
            case Stage.SOFT_DELETE:
                return mark_calls(self.kind) if self.marks else Calls()
            case _:
                removed = delete_calls(
                    self.kind,
                    items,
                    items_first=self.items_first,
                    are_listed=self._is_exported(items),
                )
                is_compared = self.has_copy and Stage.ARCHIVE not in self.stages
                return removed.plus(read).plus(tail_calls(self.kind)) if is_compared else removed


@dataclass(slots=True)
class Work:
    """All that a sweep does in one project: looks by kind, tasks, and other calls.

    `latency` is the seconds per call, `None` if not measured.
    """

    looks: dict[Kind, int] = field(default_factory=dict)
    tasks: Counter[Task] = field(default_factory=Counter)
    others: Calls = NONE
    latency: float | None = None

    def look(self, kind: Kind) -> None:
        """Count a look at a thread."""
        self.looks[kind] = self.looks.get(kind, 0) + 1

    def calls(self, items: str) -> Calls:
        """All calls, with the `least`, `likely` or `most` items."""
        calls, unknown = self.others, getattr(self._unknown(), items)
        for kind, number in self.looks.items():
            calls = calls.plus(probe_calls(kind).times(number))
        for task, threads in self.tasks.items():
            number = getattr(task.items, items, unknown)
            calls = calls.plus(task.calls(number).times(threads))
            if items == "most":
                calls = calls.plus(task.renewals(number).times(threads))
        return calls

    def longest(self, items: str) -> float:
        """The most calls that one thread needs one after the other."""
        unknown = getattr(self._unknown(), items)
        chains = (_chain(task, getattr(task.items, items, unknown)) for task in self.tasks)
        return max(chains, default=0.0)

    def _unknown(self) -> ItemCount:
        """The items assumed for a thread with an unknown number: probably as many as the others."""
        known = {task: number for task, number in self.tasks.items() if task.items is not None}
        items = sum(task.items.likely * number for task, number in known.items() if task.items)
        return ItemCount(0, items / sum(known.values()) if known else USUAL, LONGEST)


def task_of(review: Review, facts: Review, counted: int | None = None) -> Task:
    """The task of carrying out a review's stages; `counted` items are counted up to a page.

    `facts` is the review by the registry's facts, which decides how a sweep looks.
    """
    thread, decision = review.thread, review.decision
    known_newest = facts.sightings.newest_item
    known = None if thread.items is None else ItemCount.exactly(thread.items)
    return Task(
        thread.key.kind,
        decision.stages,
        known if counted is None else ItemCount.counted(counted),
        items_first=decision.items_first,
        marks=decision.mark_upstream,
        has_copy=thread.copy is not None and thread.copy_is_current,
        is_exported=is_exported(facts.thread, facts.decision.stages),
        is_changed=facts.sightings.baseline_at is not None and thread.newest_item != known_newest,
    )


def _chain(task: Task, items: float) -> float:
    calls = task.calls(items).plus(probe_calls(task.kind))
    return calls.reads + calls.writes + calls.deletes / (AT_ONCE if task.counts else 1)


@dataclass(frozen=True, slots=True)
class ProjectPace:
    """How fast a project can be called when a sweep begins, `now` in seconds since the epoch."""

    paces: Mapping[Verb, Pace]
    concurrency: int
    now: float


@dataclass(frozen=True, slots=True)
class Estimate:
    """A number of calls and the seconds that they take."""

    calls: Calls = NONE
    seconds: float = 0.0

    def document(self) -> dict[str, float]:
        """The numbers, rounded."""
        whole = {name: round(number) for name, number in self.calls._asdict().items()}
        return {**whole, "seconds": round(self.seconds, 1)}


@dataclass(frozen=True, slots=True)
class Cost:
    """What a sweep takes: probably, at least and at most, and which rate holds it back.

    `pace` is that rate, in `project`; `None` if the answers' own time takes longest.
    """

    likely: Estimate = Estimate()
    least: Estimate = Estimate()
    most: Estimate = Estimate()
    project: str = ""
    pace: Pace | None = None

    def document(self) -> dict[str, Any]:
        """The cost as it appears in a plan's document."""
        bound = None
        if self.pace is not None:
            rate = {"verb": self.pace.verb, "per_minute": self.pace.per_minute}
            bound = {"project": self.project, **rate, "origin": self.pace.origin}
        bounds = {"least": self.least.document(), "most": self.most.document()}
        return {**self.likely.document(), **bounds, "bound_by": bound}


DOUBT = 1.25
"""How far the bounds must differ from the likely value, as a factor, to be shown."""


def message(cost: Cost) -> str:
    """The cost in a sentence or two: the time, the calls that take it, and the bounds."""
    likely = cost.likely
    named = {
        Verb.DELETE: (likely.calls.deletes, "delete"),
        Verb.READ: (likely.calls.reads, "read"),
        Verb.WRITE: (likely.calls.writes, "write"),
    }
    words = {verb: _some(number, word) for verb, (number, word) in named.items() if number >= 1}
    if not words:
        return "nothing"
    first, rate = "", ""
    if cost.pace is not None:
        first = words.pop(cost.pace.verb)
        rate = f" at {cost.pace.per_minute:,.0f}/min ({cost.pace.origin.words})"
    rest = " and ".join(", ".join(words.values()).rsplit(", ", 1))  # "1 a, 2 b and 3 c"
    besides = f"; also {rest}" if first and rest else rest
    return f"about {span(likely.seconds)}: {first}{rate}{besides}{_bounds(cost)}"


def _some(number: float, noun: str) -> str:
    return f"{number:,.0f} {noun}{'' if round(number) == 1 else 's'}"


def _bounds(cost: Cost) -> str:
    least, likely, most = cost.least.seconds, cost.likely.seconds, cost.most.seconds
    if max(least, 1.0) * DOUBT > likely and most < max(likely, 1.0) * DOUBT:
        return ""
    return "" if span(least) == span(most) else f". At least {span(least)}, at most {span(most)}"


def cost(work: Mapping[str, Work], paces: Mapping[str, ProjectPace]) -> Cost:
    """The cost of the work of all projects, done in parallel."""
    likely = _forecasts(work, paces, "likely", View.LIKELY)
    last = max(likely, key=lambda name: likely[name].seconds, default="")
    verb = likely[last].binds if last else None
    return Cost(
        _estimate(work, "likely", likely),
        _estimate(work, "least", _forecasts(work, paces, "least", View.BEST)),
        _estimate(work, "most", _forecasts(work, paces, "most", View.WORST)),
        project=last,
        pace=None if verb is None else paces[last].paces[verb],
    )


def probing(threads: int, paces: Iterable[ProjectPace]) -> float:
    """Seconds to look at this many more threads, if all are in the slowest project."""
    reads = {Verb.READ: 3.0 * threads}
    ends = (forecast(reads, one.paces, now=one.now, concurrency=one.concurrency) for one in paces)
    return max((end.seconds for end in ends), default=0.0)


def _forecasts(
    work: Mapping[str, Work], paces: Mapping[str, ProjectPace], items: str, view: View
) -> dict[str, Forecast]:
    return {name: _forecast(one, items, paces[name], view) for name, one in work.items()}


def _estimate(work: Mapping[str, Work], items: str, forecasts: Mapping[str, Forecast]) -> Estimate:
    calls = Calls()
    for one in work.values():
        calls = calls.plus(one.calls(items))
    return Estimate(calls, max((one.seconds for one in forecasts.values()), default=0.0))


def by_verb(calls: Calls) -> dict[Verb, float]:
    """The calls by the limiter's verbs."""
    return {Verb.DELETE: calls.deletes, Verb.READ: calls.reads, Verb.WRITE: calls.writes}


def _forecast(work: Work, items: str, pace: ProjectPace, view: View) -> Forecast:
    return forecast(
        by_verb(work.calls(items)),
        pace.paces,
        now=pace.now,
        concurrency=pace.concurrency,
        longest=work.longest(items),
        view=view,
        latency=LATENCY if work.latency is None else work.latency,
    )
