"""Where policies together do something other than each says alone. Pure.

A delay is shown on an example thread.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import islice, permutations, product

from janitor.model import REMOVING, Kind, Stage, State, Thread
from janitor.policy.evaluate import decide, weigh
from janitor.policy.matching import Rulebook, rulebook, views_of
from janitor.policy.overlap import BORN, apart, covers, threads_of_both
from janitor.policy.rules import ArchiveRule, DeletionMark, Items, Policies, Policy
from janitor.policy.schedule import NEVER, UNDO_WINDOW, Due

MOST_COMPARED = 1_000_000
MOST_THREADS = 4
MOST_TOLD = 20
"""How much is compared, on how many threads of each pair, and how many findings are shown."""


class ComparisonBudget:
    """The budget for comparing a file's policies, in clauses of pairs.

    `is_spent`: it ran out, so that something was left out.
    """

    def __init__(self, policies: Policies) -> None:
        self._left = MOST_COMPARED
        self._sizes = {rule.name: _size(rule) for rule in policies.rules}
        self.is_spent = False

    def allows(self, one: Policy, other: Policy) -> bool:
        """Whether the budget allows comparing these two; if so, it is charged."""
        if self.is_spent:
            return False
        (ways, clauses), (others, more) = self._sizes[one.name], self._sizes[other.name]
        return self.pays(PRICE * (ways * more + others * clauses))

    def allows_thread(self, rules: Iterable[Policy]) -> bool:
        """Whether the budget allows judging a thread by these policies; if so, it is charged."""
        return self.pays(PRICE_OF_THREAD * sum(self._sizes[rule.name][1] for rule in rules))

    def pays(self, price: int = 1) -> bool:
        """Whether `price` is left in the budget; if so, it is charged."""
        self.is_spent = self.is_spent or price > self._left
        self._left -= 0 if self.is_spent else price
        return not self.is_spent


PRICE = 4
PRICE_OF_THREAD = 100
"""The price of comparing two clauses, and of judging a thread by one.

A check whether two policies can meet costs 1.
"""


def _size(rule: Policy) -> tuple[int, int]:
    """How many alternatives a policy has, and how many clauses in all."""
    return max(1, len(rule.match.any_of)), sum(1 + len(one.metadata) for one in rule.selectors)


@dataclass(frozen=True, slots=True)
class Delay:
    """`policy` delays a stage of `delayed` for threads that both match.

    `thread` is one of them, ready for the stage, and not kept by any `keep_last` (`beyond_last`).
    At `early`, `decide` carries the stage out without `policy` but not with it; with it, the stage
    falls due at `late` (`None`: never).
    """

    policy: str
    delayed: str
    stage: Stage
    thread: Thread
    early: datetime
    late: datetime | None


@dataclass(frozen=True, slots=True)
class Redundant:
    """A policy that changes nothing: `by` matches all its threads, and is as late or keeps them."""

    policy: str
    by: str


@dataclass(frozen=True, slots=True)
class SilentDefault:
    """A default that never applies: the policies `by` match every thread that it could."""

    policy: str
    by: tuple[str, ...]


def beyond_last(policies: Policies) -> dict[str, int]:
    """The ranks of a thread that is not among those that `keep_last` keeps."""
    return {rule.name: rule.keep_last.count for rule in policies.rules if rule.keep_last}


def shared_threads(
    one: Policy, other: Policy, book: Rulebook
) -> Iterator[tuple[Thread, tuple[Policy, ...]]]:
    """Threads to which both policies apply, and every policy that concerns them."""
    for thread in threads_of_both(one, other):
        matched = book.matched(thread.key, views_of(thread))
        if one in matched.speaking and other in matched.speaking:
            rules = (*matched.speaking, *matched.protecting, *(one.policy for one in book.defaults))
            yield thread, tuple({rule.name: rule for rule in rules}.values())


def delays(policies: Policies, budget: ComparisonBudget) -> Iterator[Delay]:
    """Where the dates of one policy delay another, as far as the budget goes.

    Left out: a policy that matches only part of the other's threads, which is the way to keep these
    longer; and pairs in which one is `redundant`. `keep: forever`, `delete: never` and `keep_last`
    are not dates.
    """
    for one, other in _pairs(policies, budget):
        yield from delays_of(one, other, policies, budget)


def _pairs(policies: Policies, budget: ComparisonBudget) -> Iterator[tuple[Policy, Policy]]:
    for one, other in permutations(_regular(policies.rules), 2):
        if not budget.pays():
            return
        if apart(one.match, other.match) or _is_sooner(one, other):
            continue
        if not budget.allows(one, other):
            return
        is_part = covers(other.match, one.match) and not covers(one.match, other.match)
        if not is_part and not _supersedes(one, other, policies):
            yield one, other


def _is_sooner(one: Policy, other: Policy) -> bool:
    """Whether `one` is never later than any date of `other`, nor is its time to undo longer."""
    ages, others = ages_of(one), ages_of(other)
    if not ages or not others:
        return True
    if None in ages:
        return False
    latest = max(age for age in ages if age is not None)
    earliest = min((age for age in others if age is not None), default=latest)
    return latest <= earliest and undo_window(one) <= undo_window(other)


def ages_of(policy: Policy) -> list[timedelta | None]:
    """When each of a policy's stages is due; `None` for a stage without a date of its own."""
    stages = (policy.archive, policy.soft_delete, policy.trim, policy.delete)
    return [stage.after for stage in stages if stage is not None]


def _regular(rules: Iterable[Policy]) -> list[Policy]:
    return [rule for rule in rules if not rule.default]


def delays_of(
    one: Policy, other: Policy, policies: Policies, budget: ComparisonBudget
) -> list[Delay]:
    """How `one` delays `other`, on the first thread that shows it."""
    shared = shared_threads(one, other, rulebook(policies))
    for thread, rules in islice(shared, MOST_THREADS):
        if not budget.allows_thread(rules):
            break
        # No other policy matters here, and judging by a few is faster than by all.
        together = replace(policies, rules=rules)
        without = replace(policies, rules=tuple(rule for rule in rules if rule is not one))
        each = (_delay(stage, thread, (one, other), together, without) for stage in Stage)
        if found := [delay for delay in each if delay is not None]:
            return found
    return []


def _delay(
    stage: Stage,
    thread: Thread,
    pair: tuple[Policy, Policy],
    policies: Policies,
    without: Policies,
) -> Delay | None:
    one, other = pair
    if stage in REMOVING and (one.keep_forever or one.forbids_deletion):
        return None
    ready = _ready(stage, thread, without)
    early = _due(stage, ready, without)
    if early is None or early.policy != other.name or early.at == NEVER:
        return None
    ranks = beyond_last(policies)
    alone = decide(ready, without, (), ranks, early.at).stages
    together = decide(ready, policies, (), ranks, early.at).stages
    if stage not in alone or stage in together:
        return None
    late = _due(stage, ready, policies)
    at = None if late is None or late.at == NEVER else late.at
    return Delay(one.name, other.name, stage, ready, early.at, at)


def _ready(stage: Stage, thread: Thread, policies: Policies) -> Thread:
    """The thread once the stages before this one are done."""
    if stage is Stage.ARCHIVE:
        return thread
    copied = replace(thread, state=State.ARCHIVED, copy_is_current=True)
    marked = _due(Stage.SOFT_DELETE, copied, policies)
    if stage is not Stage.DELETE or marked is None or marked.at == NEVER:
        return copied
    return replace(copied, state=State.SOFT_DELETED, soft_deleted_at=marked.at)


def _due(stage: Stage, thread: Thread, policies: Policies) -> Due | None:
    due: Due | None = getattr(weigh(thread, policies, (), beyond_last(policies), BORN).times, stage)
    return due


def redundant(policies: Policies, budget: ComparisonBudget) -> Iterator[Redundant]:
    """The policies that change nothing for a thread whose metadata and dates are known.

    Another policy matches all their threads, and does each of their stages as late, or keeps all.
    """
    book = rulebook(policies)
    for rule in _regular(policies.rules):
        # Whatever matches all of its threads matches the first.
        _, concerned = next(shared_threads(rule, rule, book), (None, ()))
        for one in _regular(concerned):
            if one is rule or apart(one.match, rule.match):
                continue
            if not budget.allows(one, rule):
                return
            if not _supersedes(one, rule, policies):
                continue
            # Of two equal ones, the second by name is the redundant one.
            if one.name < rule.name or not _supersedes(rule, one, policies):
                yield Redundant(rule.name, one.name)
                break


def _supersedes(one: Policy, other: Policy, policies: Policies) -> bool:
    """Whether `other` changes nothing beside `one`."""
    return (
        covers(one.match, other.match)
        and _excludes_no_more(one, other)
        and (other.beside_default or not one.beside_default)
        and (other.max_percent, other.max_threads) == (None, None)
        and (_keeps_all(one, other, policies) or _is_as_late(one, other))
        and policies.mode_of(one.name) is policies.mode_of(other.name)
    )


def _excludes_no_more(one: Policy, other: Policy) -> bool:
    """Whether `one` excludes only threads that `other` excludes, too."""
    if one.excepts is None:
        return True
    return other.excepts is not None and covers(other.excepts, one.excepts)


def _keeps_all(one: Policy, other: Policy, policies: Policies) -> bool:
    """Whether `one` forbids whatever `other` would do."""
    if other.archive is not None or any(_waits_for_removal(rule) for rule in policies.rules):
        return False
    more = (other.soft_delete, other.trim, other.keep_last, other.keep_forever)
    return one.keep_forever or (one.forbids_deletion and not any(more))


def _waits_for_removal(rule: Policy) -> bool:
    """Whether its copies may fall due with a removing stage of any policy."""
    return rule.archive is not None and rule.archive.after is None


def _is_as_late(one: Policy, other: Policy) -> bool:
    """Whether `one` names each stage of `other`, no earlier and no weaker."""
    beyond = (other.keep_forever, other.forbids_deletion, other.keep_last, other.trim)
    return (
        not any(beyond)
        and one.age_from is other.age_from
        and _copies_as_late(one.archive, other.archive)
        and _marks_as_late(one, other)
        and _deletes_as_late(one, other)
    )


def _copies_as_late(one: ArchiveRule | None, other: ArchiveRule | None) -> bool:
    if other is None:
        return True
    if one is None or one.items is not None or one.after is None or other.after is None:
        return False
    if one.is_early or other.is_early:
        return False
    if one.keep_for is not None and (other.keep_for is None or other.keep_for > one.keep_for):
        return False
    return one.after >= other.after


def _marks_as_late(one: Policy, other: Policy) -> bool:
    if other.soft_delete is None:
        return True
    if one.soft_delete is None or one.soft_delete.after < other.soft_delete.after:
        return False
    marks = (one.soft_delete.mark, other.soft_delete.mark)
    return marks != (DeletionMark.REGISTRY, DeletionMark.UPSTREAM)


def _deletes_as_late(one: Policy, other: Policy) -> bool:
    if other.delete is None or other.delete.after is None:
        return True
    if one.delete is None or one.delete.after is None or one.delete.after < other.delete.after:
        return False
    as_thorough = one.delete.items is Items.FIRST or other.delete.items is Items.KEEP
    return as_thorough and undo_window(one) >= undo_window(other)


def undo_window(policy: Policy) -> timedelta:
    """How long a policy leaves to undo a soft delete."""
    if policy.soft_delete is None or policy.delete is None or policy.delete.after is None:
        return UNDO_WINDOW
    return policy.delete.after - policy.soft_delete.after


def silent_defaults(policies: Policies) -> Iterator[SilentDefault]:
    """The defaults whose threads all certainly belong to other policies."""
    for default in policies.rules:
        if default.default:
            kinds = sorted(default.match.kinds or Kind)
            projects: list[str | None] = [*sorted(default.match.projects or ())]
            found = [
                _silencer(default, *place, policies) for place in product(kinds, projects or [None])
            ]
            names = [one.name for one in found if one is not None]
            if len(names) == len(found):
                yield SilentDefault(default.name, tuple(dict.fromkeys(names)))


def _silencer(
    default: Policy, kind: Kind, project: str | None, policies: Policies
) -> Policy | None:
    """A policy that applies to all threads of this kind and project that a default matches."""
    here = replace(
        default.match,
        kinds=frozenset({kind}),
        projects=None if project is None else frozenset({project}),
    )
    for one in _regular(policies.rules):
        if one.beside_default:
            continue
        if covers(one.match, here) and _excludes_no_more(one, default):
            return one
    return None
