"""What is due before anything is done, counted from the registry's facts alone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime

from janitor.policy import APART, Tripped, tripped
from janitor.registry import Cursor, Entry, Note, Pause, Registry
from janitor.sweep.gate import is_paused_by
from janitor.sweep.parts import Parts
from janitor.sweep.redecide import rules_digest
from janitor.sweep.review import Review, Reviewer
from janitor.sweep.silence import Silence

PAGE = 1000


@dataclass(slots=True)
class Backlog:
    """Due threads per policy, and the limits that their number trips.

    `moves` corrects the count table's population by the rows that a policy governs from this look
    on (new registrations are all up for review, so none is missed).
    """

    due: Counter[str] = field(default_factory=Counter)
    moves: Counter[str] = field(default_factory=Counter)
    stages: Counter[tuple[str, str]] = field(default_factory=Counter)
    kept: Counter[str] = field(default_factory=Counter)
    looked_at: int = 0
    tripped: dict[str, Tripped] = field(default_factory=dict)
    silent_rules: tuple[str, ...] = ()

    def add(self, review: Review, *, is_paused: bool = False) -> None:
        """Count one thread; unknown facts count as due, since a look may find them so.

        What is paused is due all the same, and counts under no limit: nothing is done with it.
        """
        decision = review.decision
        self.looked_at += 1
        policy = decision.policy or ""
        self.moves[review.remover or policy] += 1
        self.moves[review.entry.policy or ""] -= 1
        if decision.reason is not None:
            self.kept[decision.why or ""] += 1
        for stage in decision.stages:
            self.stages[policy, stage] += 1
        if review.remover is not None and not is_paused:
            self.due[review.remover] += 1


def due_entries(registry: Registry, now: datetime, policy: str | None = None) -> Iterator[Entry]:
    """Everything up for review, in pages along the index; memory stays flat."""
    after = None
    while page := registry.due(now, after=after, limit=PAGE, policy=policy):
        yield from page
        after = Cursor.of(page[-1])


def count(
    parts: Parts,
    reviewer: Reviewer,
    entries: Iterable[Entry],
    now: datetime,
    pauses: Sequence[Pause] = (),
) -> Backlog:
    """Count what is due and judge it against the limits, before the first action."""
    backlog, silence = Backlog(), Silence(parts.policies, parts.registry.holds(now), now)
    for entry in entries:
        silence.see(entry.thread)
        if reviewer.serves(entry):
            review = reviewer.on_facts(entry, now)
            backlog.add(review, is_paused=is_paused_by(pauses, review))
    judge(parts, backlog, now)
    governing = parts.registry.population()
    backlog.silent_rules = silence.record(parts.registry, rules_digest(parts), governing)
    return backlog


def judge(parts: Parts, backlog: Backlog, now: datetime) -> None:
    """Fill in which policies are over a limit."""
    population = parts.registry.population()
    last = parts.registry.last_completed(now)
    since = now - last if last else None
    for name in dict.fromkeys(
        [*(rule.name for side in parts.sides for rule in side.rules), *APART]
    ):
        living = population.get(name, 0) + backlog.moves[name]
        number = backlog.due[name]
        over = tripped(parts.side_of(name), name, due=number, population=living, since_last=since)
        if over is not None:
            backlog.tripped[name] = over


def notes(backlog: Backlog) -> list[Note]:
    """The limits that are tripped, as the run's record keeps them for those who join."""
    return [asdict(over) for over in backlog.tripped.values()]


def told(said: Iterable[Note]) -> dict[str, Tripped]:
    """The limits that whoever opened the run found tripped, by policy."""
    return {over.policy: over for over in (_tripped(note) for note in said)}


def _tripped(note: Note) -> Tripped:
    due, allowed, population = (int(note[name]) for name in ("due", "allowed", "population"))
    return Tripped(str(note["limit"]), str(note["policy"]), due, allowed, population)


def message(over: Tripped) -> str:
    """What a tripped limit means, and the way out."""
    return (
        f"policy {over.policy}: {over.due} of {over.population} threads are due for removal, more "
        f"than {over.limit} allows ({over.allowed}); none of them is touched, other policies go "
        "on. If that is right: janitor plan -o plan.json; read it; janitor apply plan.json"
    )
