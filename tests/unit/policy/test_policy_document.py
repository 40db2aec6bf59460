from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from policy_facts import NOW, archive, days, delete, policies
from policy_strategies import a_thread, some_holds, some_policies, some_ranks

from janitor.model import Hold, Mode, Thread
from janitor.policy import Policies, Policy, Ranks, decide, policies_digest
from janitor.policy.codec import dump, load
from janitor.policy.rules import Limits

limits = st.builds(
    Limits,
    max_percent=st.floats(0.1, 100) | st.integers(1, 100),
    max_threads=st.none() | st.integers(1, 9),
    clock_step=st.timedeltas(days(0), days(9)),
)
spelled = st.builds(
    replace,
    some_policies(),
    mode=st.sampled_from(Mode),
    limits=limits,
    release_grace=st.timedeltas(days(0), days(9)),
)


@given(spelled)
def test_what_was_written_is_read_back(given: Policies) -> None:
    read = load(dump(given))
    assert read == replace(given, rules=tuple(sorted(given.rules, key=lambda one: one.name)))
    assert policies_digest(read) == policies_digest(given)
    assert dump(read) == dump(given)


@pytest.mark.slow
@given(spelled, a_thread(), some_holds, some_ranks)
def test_what_was_read_back_decides_the_same(
    given: Policies, thread: Thread, holds: tuple[Hold, ...], ranks: Ranks
) -> None:
    again = load(dump(given))
    assert decide(thread, again, holds, ranks, NOW) == decide(thread, given, holds, ranks, NOW)


@pytest.mark.slow
@given(some_policies(), st.randoms())
def test_the_order_of_rules_never_matters(
    given: Policies,
    random: st.random.Random,  # type: ignore[name-defined]
) -> None:
    shuffled = replace(given, rules=tuple(random.sample(given.rules, len(given.rules))))
    assert dump(shuffled) == dump(given)


GIVEN = policies(Policy("p", archive=archive(7), delete=delete(30)))


def changed(path: str, value: object) -> str:
    document = json.loads(dump(GIVEN))
    *steps, last = path.split("/")
    place = document
    for step in steps:
        place = place[int(step) if step.isdigit() else step]
    place[last] = value
    return json.dumps(document)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "null",
        "[]",
        "{}",
        '{"version": 1}',
        changed("version", 2),
        changed("policies", None),
        changed("policies/new_word", True),
        changed("policies/mode", "sometimes"),
        changed("policies/rules", {}),
        changed("policies/rules/0/new_word", None),
        changed("policies/rules/0/name", None),
        changed("policies/rules/0/keep_forever", "no"),
        changed("policies/rules/0/delete", {}),
        changed("policies/rules/0/delete/after", True),
        changed("policies/rules/0/delete/after", "30d"),
        changed("policies/rules/0/match/kinds", ["letter"]),
        changed("policies/limits/max_percent", "10"),
    ],
)
def test_what_cannot_be_read_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        load(text)


def test_what_an_earlier_program_did_not_know_has_its_default() -> None:
    document = json.loads(dump(GIVEN))
    del document["policies"]["release_grace"], document["policies"]["rules"][0]["keep_last"]
    assert load(json.dumps(document)) == GIVEN
