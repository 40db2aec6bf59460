"""Policies by the thousand, the same ones at every run: each field at its default or not."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from random import Random
from typing import TypeVar

from janitor.model import Kind, Mode
from janitor.policy import Policies, Policy, rules

T = TypeVar("T")
WORDS = ("plan", "tier", "user_id", "städt", 'quo"ted', "日本", "a\\b", "")


def generated(number: int, seed: int = 1) -> Iterator[Policies]:
    """So many policies."""
    random = Random(seed)  # noqa: S311 - examples, no secret
    return (some(random) for _ in range(number))


def some(random: Random) -> Policies:
    """One value of policies, with up to three rules."""
    names = random.sample(("a", "b", "ünï", "z z"), random.randint(0, 3))
    return Policies(
        tuple(_policy(random, name) for name in names),
        mode=random.choice(tuple(Mode)),
        lifetime=rules.Lifetime(_maybe(random, _span), _maybe(random, _span)),
        limits=rules.Limits(
            max_percent=random.choice((10.0, 5, random.uniform(0.1, 100))),
            max_threads=_maybe(random, _count),
            max_errors=_count(random),
            clock_step=_span(random),
        ),
        release_grace=_span(random),
        expire={word: _span(random) for word in random.sample(WORDS, random.randint(0, 2))},
    )


def _policy(random: Random, name: str) -> Policy:
    return Policy(
        name,
        match=_selector(random),
        excepts=_maybe(random, _selector),
        default=random.random() < 0.2,
        keep_forever=random.random() < 0.2,
        age_from=random.choice(tuple(rules.AgeFrom)),
        archive=_maybe(
            random,
            lambda r: rules.ArchiveRule(_maybe(r, _span), _maybe(r, _count), _maybe(r, _span)),
        ),
        soft_delete=_maybe(
            random, lambda r: rules.SoftDelete(_span(r), r.choice(tuple(rules.DeletionMark)))
        ),
        delete=_maybe(
            random, lambda r: rules.Delete(_maybe(r, _span), r.choice(tuple(rules.Items)))
        ),
        trim=_maybe(random, lambda r: rules.Trim(_count(r), _maybe(r, _span))),
        keep_last=_maybe(random, lambda r: rules.KeepLast(_count(r), _maybe(r, _word))),
        max_percent=_maybe(random, lambda r: r.uniform(0.1, 100)),
        max_threads=_maybe(random, _count),
        mode=_maybe(random, lambda r: r.choice(tuple(Mode))),
    )


def _selector(random: Random) -> rules.Selector:
    keys = random.sample(WORDS, random.randint(0, 3))
    return rules.Selector(
        kinds=_maybe(random, lambda r: frozenset(r.sample(tuple(Kind), r.randint(1, 4)))),
        projects=_maybe(random, lambda r: frozenset(r.sample(WORDS, r.randint(1, 3)))),
        metadata={key: _test(random) for key in keys},
    )


def _test(random: Random) -> rules.Test:
    return random.choice(
        (
            rules.Test(any_of=frozenset(random.sample(WORDS, random.randint(1, 4)))),
            rules.Test(exists=random.random() < 0.5),
            rules.Test(glob=f"{_word(random)}*"),
        )
    )


def _word(random: Random) -> str:
    return random.choice(WORDS)


def _count(random: Random) -> int:
    return random.randint(1, 10**6)


def _span(random: Random) -> timedelta:
    return timedelta(seconds=random.choice((0, 30, 86400, random.randint(0, 10**9))))


def _maybe(random: Random, make: Callable[[Random], T]) -> T | None:
    return make(random) if random.random() < 0.5 else None
