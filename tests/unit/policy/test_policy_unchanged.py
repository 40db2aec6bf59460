"""What was written before a key was added decides and digests exactly as it did.

The values were computed by the program as it was before `any`, `user`, `beside_default` and
`archive.at`. They never change: a new key means something only where it is written.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from hashlib import sha256
from random import Random
from typing import Any

import pytest
from policy_facts import NOW, days

from janitor.config import parse
from janitor.model import Hold, Key, Kind, Metadata, State, Thread
from janitor.policy import (
    Policies,
    RuleCoverage,
    decide,
    policies_digest,
    with_edit_grace,
)
from janitor.policy.codec import dump
from janitor.policy.copy_retention import selection

KEYS = ("plan", "tier", "user")
VALUES = ("x", "y", "xy")
KINDS = ("conversation", "thread", "chatkit_thread")
KNOWN = {
    200: "41fb282d3053b1e6a2bf4d33dfdb1df84bdf15a4519a5981b978574ff9101589",
    10_000: "31a84e30fb07556c733062d7aae060405c82a01535dbd233df9ec8a520ee9b72",
}


@pytest.mark.parametrize("number", [200, pytest.param(10_000, marks=pytest.mark.slow)])
def test_what_was_written_before_means_what_it_meant(number: int) -> None:
    random, found = Random(number), sha256()  # noqa: S311 - examples, no secret
    for _ in range(number):
        given = parse(document(random)).policies
        for line in said(given, random):
            found.update(f"{line}\n".encode())
    assert found.hexdigest() == KNOWN[number]


def said(given: Policies, random: Random) -> Iterator[object]:
    """What policies spell and decide about some threads, as values whose text is their meaning."""
    yield policies_digest(given)
    yield dump(given)
    yield selection(given)
    holds = hold(random)
    coverage, earlier = RuleCoverage(given, holds), thread(random)
    for _ in range(4):
        one = thread(random)
        ranks = {rule.name: random.randrange(3) for rule in given.rules if random.random() < 0.7}
        decision = decide(one, given, holds, ranks, NOW)
        yield [
            *(decision.stages, decision.policy, decision.due_at, decision.age_base),
            *(decision.reason, decision.review_at, decision.items_first, decision.mark_upstream),
            *(decision.keep_for, decision.copied_by),
        ]
        edited = with_edit_grace(
            as_edited(one, earlier), one, given, holds, ranks_before=ranks, ranks=ranks, now=NOW
        )
        yield (edited.grace_until, edited.grace_by)
        coverage.see(one)
        yield sorted(coverage.doubtful(one))
        earlier = one
    yield coverage.silent


def as_edited(one: Thread, other: Thread) -> Thread:
    """A thread with the metadata of another one."""
    return Thread(
        *(one.key, one.state),
        created_at=one.created_at,
        last_active_at=one.last_active_at,
        reported=other.reported,
        upstream=other.upstream,
    )


def document(random: Random) -> dict[str, Any]:
    """A configuration that is accepted: up to four policies, one of them may be the default."""
    names = random.sample(("a", "b", "c", "d"), random.randint(1, 4))
    policies = [policy(random, name) for name in names]
    if random.random() < 0.5:
        policies.append({**stages(random), "name": "rest", "default": True})
    return {
        "version": 1,
        "registry": {},
        "projects": {"main": {"api_key": ""}, "other": {"api_key": ""}},
        "mode": random.choice(("audit", "enforce")),
        "lifetime": {
            "min": random.choice((None, "12h")),
            "max": random.choice((None, None, "20d")),
        },
        "policies": policies,
    }


def policy(random: Random, name: str) -> dict[str, Any]:
    made = {"name": name, "match": selector(random), **stages(random)}
    if random.random() < 0.4:
        made["except"] = selector(random)
    if random.random() < 0.1:
        made["keep"] = "forever"
    if random.random() < 0.2:
        made["keep_last"] = {"count": 2, **random.choice(({}, {"per": "metadata.user"}))}
    if random.random() < 0.2:
        made["mode"] = "audit"
    return made


def stages(random: Random) -> dict[str, Any]:
    first, second, third = sorted(random.sample(range(1, 16), 3))
    made: dict[str, Any] = {"age_from": random.choice(("last_activity", "created"))}
    if random.random() < 0.6:
        when = random.choice(({"after": f"{first}d"}, {"items": 3}, {"after": "2h", "items": 2}))
        made["archive"] = {**when, "keep_for": random.choice(("30d", "90d", "forever"))}
    if random.random() < 0.3:
        made["soft_delete"] = {"after": f"{second}d"}
    delete: Any = random.choice(("never", {"after": f"{third}d"}, {"after": f"{third}d"}))
    if random.random() < 0.7 or len(made) == 1:
        made["delete"] = delete
    return made


def selector(random: Random) -> dict[str, Any]:
    made: dict[str, Any] = {}
    if random.random() < 0.3:
        made["kind"] = random.choice((*KINDS, ["thread", "conversation"]))
    if random.random() < 0.2:
        made["project"] = random.choice(("main", ["main", "other"]))
    keys = random.sample(KEYS, random.randint(0 if made else 1, 2))
    tests = {key: asked(random) for key in keys}
    if not made and all(test == {"exists": False} for test in tests.values()):
        tests[keys[0]] = "x"
    return {**made, "metadata": tests} if tests else made


def asked(random: Random) -> Any:  # noqa: ANN401 - what a file may say of a key
    return random.choice(
        ("x", ["x", "y"], {"exists": True}, {"exists": False}, {"glob": "x*"}, {"glob": "?"})
    )


def hold(random: Random) -> tuple[Hold, ...]:
    if random.random() < 0.8:
        return ()
    return (Hold("h", metadata={random.choice(KEYS): random.choice(VALUES)}),)


def thread(random: Random) -> Thread:
    state = random.choice((State.ACTIVE, State.ACTIVE, State.ARCHIVED, State.SOFT_DELETED))
    return Thread(
        Key(random.choice(("main", "other")), Kind(random.choice(KINDS)), "t"),
        state=state,
        created_at=NOW - age(random, 24),
        last_active_at=random.choice((None, *(NOW - age(random, 20) for _ in range(5)))),
        items=random.choice((None, 1, 2, 3, 4)),
        reported=side(random),
        upstream=side(random),
        keep_until=random.choice((None, None, None, NOW + days(2))),
        soft_deleted_at=NOW - age(random, 4) if state is State.SOFT_DELETED else None,
        copy_is_current=state is State.ARCHIVED or random.random() < 0.3,
    )


def side(random: Random) -> Metadata | None:
    if random.random() < 0.3:
        return None
    return {key: random.choice(VALUES) for key in random.sample(KEYS, random.randint(0, 3))}


def age(random: Random, most: int) -> timedelta:
    return days(random.randint(0, 4 * most) / 4)
