"""One file for each way in which policies surprise, with the warnings that it must be given."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from copy import deepcopy
from dataclasses import dataclass, replace
from datetime import timedelta
from itertools import product
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, reject
from hypothesis import strategies as st

from janitor.config import load, parse
from janitor.config.explain import explain, warnings
from janitor.errors import ConfigError
from janitor.model import REMOVING, Key, Kind, State, Thread
from janitor.policy import decide, tightened
from janitor.policy.conflicts import MOST_TOLD, beyond_last
from janitor.policy.evaluate import weigh
from janitor.policy.overlap import BORN
from janitor.policy.rules import ArchiveRule, Delete, Policies, Policy, Selector
from janitor.policy.rules import Test as MetadataTest

HERE = Path(__file__).parent / "surprises"
FILES = sorted(HERE.glob("*.yaml"))
FILE = {"version": 1, "registry": {}, "projects": {"main": {"api_key": ""}}}
SUBJECT = re.compile(r"\S+ delays (?P<delayed>\S+):|(?P<vain>\S+) changes nothing:")
ADDED = re.compile(r"add `except: (?P<selector>[^`]+)` to (?P<policy>\S+)$")
CHANGED = re.compile(r"let the `except` of (?P<policy>\S+) be `(?P<selector>[^`]+)`$")
EARLY = re.compile(r"write `at: earliest` in the `archive` of (?P<policy>\S+)$")
SHIPPED = Path(__file__).parents[3] / "config" / "janitor.yaml"


def warned(path: Path) -> str:
    """The warnings of a file, a line each, without the file's own path."""
    return "".join(f"{one.removeprefix(f'{path}:')}\n" for one in explain(load(path)).warnings)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_surprising_file_is_warned_of(path: Path) -> None:
    assert warned(path) == path.with_suffix(".txt").read_text(encoding="utf-8")


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_warning_has_its_line(path: Path) -> None:
    told = explain(load(path)).warnings
    assert told
    for one in told:
        line = int(one.removeprefix(f"{path}:").partition(":")[0])
        assert path.read_text(encoding="utf-8").splitlines()[line - 1].strip()


@dataclass(frozen=True, slots=True)
class Advice:
    """What a warning says to write, and the policy whose threads it is about."""

    warning: str
    other: str
    policy: str
    key: str
    value: Any

    def follow(self, document: dict[str, Any]) -> None:
        [policy] = [one for one in document["policies"] if one["name"] == self.policy]
        if self.key == "at":
            policy["archive"]["at"] = self.value
        elif isinstance(policy.get("except"), list) and not isinstance(self.value, list):
            policy["except"].append(self.value)
        else:
            policy["except"] = self.value


def advised(policies: Policies) -> list[Advice]:
    return [one for warning in warnings(policies) if (one := advice_of(warning)) is not None]


def advice_of(warning: str) -> Advice | None:
    subject = SUBJECT.match(warning)
    if subject is None:
        return None
    other = subject["delayed"] or subject["vain"]
    if found := EARLY.search(warning):
        return Advice(warning, other, found["policy"], "at", "earliest")
    if found := ADDED.search(warning) or CHANGED.search(warning):
        value = yaml.safe_load(found["selector"])
        return Advice(warning, other, found["policy"], "except", value)
    return None


def mended(document: dict[str, Any], *pieces: Advice) -> Policies:
    changed = deepcopy(document)
    for one in pieces:
        one.follow(changed)
    return parse(changed).policies


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_what_a_warning_proposes_is_accepted_and_ends_it(path: Path) -> None:
    document = yaml.safe_load(path.read_text(encoding="utf-8"))
    for one in advised(parse(document).policies):
        subject = one.warning.partition(":")[0]
        told = warnings(mended(document, one))
        assert [warning for warning in told if warning.startswith(subject)] == []


METADATA: tuple[dict[str, str], ...] = tuple(
    {key: value for key, value in (("plan", plan), ("tier", tier)) if value}
    for plan, tier in product(("", "x", "y"), repeat=2)
)
SIDES = (None, *METADATA)
tests = st.sampled_from(("x", "y", ["x", "y"], {"exists": True}, {"glob": "x*"}))
kinds = st.fixed_dictionaries({"kind": st.sampled_from(("conversation", "chatkit_thread"))})
plain = kinds | st.fixed_dictionaries(
    {"metadata": st.dictionaries(st.sampled_from(("plan", "tier")), tests, min_size=1)}
)
spelled = (
    plain
    | plain
    | st.builds(lambda one, more: {**one, "any": more}, plain, st.lists(plain, min_size=1))
)
lists = st.lists(plain, min_size=1, max_size=2)


@st.composite
def a_document(draw: st.DrawFn) -> dict[str, Any]:
    """Two or three policies and perhaps a default: mostly plain, so that advice is given often."""
    names = "abc"[: draw(st.integers(2, 3))]
    rules = [{"name": name, "match": draw(spelled), **draw(stages())} for name in names]
    for rule in rules:
        if draw(st.sampled_from((True, False, False))):
            rule["except"] = draw(spelled | lists)
        if draw(st.sampled_from((True, *[False] * 5))):
            rule[draw(st.sampled_from(("beside_default", "keep_last", "keep")))] = True
        if "keep_last" in rule:
            rule["keep_last"] = {"count": 1}
        if "keep" in rule:
            rule["keep"] = "forever"
    if draw(st.booleans()):
        rules.append({"name": "rest", "default": True, **draw(stages())})
    lifetime = draw(st.sampled_from(({}, {}, {"lifetime": {"max": "90d"}})))
    return {**FILE, **lifetime, "mode": "enforce", "policies": rules}


@st.composite
def stages(draw: st.DrawFn) -> dict[str, Any]:
    ages = sorted(draw(st.lists(st.integers(1, 40), min_size=3, max_size=3)))
    named = draw(st.sampled_from(("acd", "acd", "ad", "ad", "ac", "d", "c", "cd", "an", "atd")))
    each = {
        "a": ("archive", {"after": f"{ages[0]}d", "keep_for": "90d"}),
        "c": ("soft_delete", {"after": f"{ages[1]}d"}),
        "t": ("trim", {"after": f"{ages[1]}d", "keep_items": 1}),
        "d": ("delete", {"after": f"{ages[2]}d"}),
        "n": ("delete", "never"),
    }
    base = draw(st.sampled_from(("last_activity", "last_activity", "created")))
    return {"age_from": base, **dict(each[one] for one in named)}


def every_thread() -> Iterator[Thread]:
    """Threads of which the two sides may differ, or may not have been read."""
    times = (BORN, None)
    for kind, (reported, upstream) in product(
        (Kind.CONVERSATION, Kind.CHATKIT_THREAD), product(SIDES, repeat=2)
    ):
        fresh = Thread(Key("main", kind, "t"), items=3, reported=reported, upstream=upstream)
        for index, active in enumerate(times):
            yield replace(fresh, created_at=BORN, last_active_at=active)
            if index == 0:
                marked = replace(fresh, state=State.SOFT_DELETED, soft_deleted_at=BORN)
                yield replace(marked, created_at=BORN, last_active_at=BORN)


THREADS = tuple(every_thread())
SHARE = 7
"""One thread in so many is looked at for each document."""


@pytest.mark.slow
@given(a_document(), st.integers(0, SHARE - 1))
def test_no_advice_takes_more_from_threads_than_it_says(
    document: dict[str, Any], first: int
) -> None:
    try:
        before = parse(document).policies
    except ConfigError:
        reject()
    pieces = advised(before)
    for one in pieces:
        after = mended(document, one)
        subject = one.warning.partition(":")[0]
        assert not any(warning.startswith(subject) for warning in warnings(after))
        for thread in THREADS[first::SHARE]:
            assert_left_alone(thread, before, after, {one.other})
    if len(pieces) > 1 and not any(isinstance(one.value, list) for one in pieces):
        together = mended(document, *(as_list(one) for one in pieces))
        for thread in THREADS[first::SHARE]:
            assert_left_alone(thread, before, together, {one.other for one in pieces})


def as_list(one: Advice) -> Advice:
    return replace(one, value=[one.value]) if isinstance(one.value, dict) else one


def assert_left_alone(thread: Thread, before: Policies, after: Policies, others: set[str]) -> None:
    """Nothing ends a protection, and only the threads of the others are decided otherwise."""
    first, second = (weigh(thread, each, (), beyond_last(before), BORN) for each in (before, after))
    assert names(first.matched.protecting) <= names(second.matched.protecting)
    assert not (first.times.archive and not second.times.archive and second.times.delete)
    if others & names(first.matched.speaking):
        assert others & names(second.matched.speaking)
        assert names(second.matched.speaking) <= names(first.matched.speaking)
        return
    is_read = None not in (thread.reported, thread.upstream)
    if is_read and thread.reported == thread.upstream:
        assert (second.times, second.guards) == (first.times, first.guards)
    for ranks in ({}, beyond_last(before)):
        if is_read:
            assert not tightened(
                thread, before, after, (), old_ranks=ranks, new_ranks=ranks, now=BORN
            )
        for day in (15, 45):
            now = BORN + timedelta(days=day)
            decisions = [decide(thread, each, (), ranks, now) for each in (before, after)]
            assert decisions[1].stage not in REMOVING or decisions[0].stage is not None


def names(rules: Iterable[Policy]) -> set[str]:
    return {rule.name for rule in rules}


def test_every_expectation_has_a_file() -> None:
    assert {path.stem for path in HERE.glob("*.txt")} == {path.stem for path in FILES}


def test_the_shipped_example_surprises_nobody() -> None:
    assert explain(load(SHIPPED, environment=False)).warnings == ()


def wants(key: str, value: str | None = None) -> Selector:
    test = MetadataTest(exists=True) if value is None else MetadataTest(any_of=frozenset({value}))
    return Selector(metadata={key: test})


def many(*numbers: int, match: Callable[[int], Selector]) -> Policies:
    """A policy for each number, which deletes after so many days, or only copies at 0."""
    copied = ArchiveRule(timedelta(days=1))
    return Policies(
        tuple(
            Policy(
                f"p{index}",
                match(index),
                archive=copied,
                delete=Delete(timedelta(days=days)) if days else None,
            )
            for index, days in enumerate(numbers)
        )
    )


def nested(index: int) -> Selector:
    tests = {f"k{number}": wants("k", "1").metadata["k"] for number in range(index % 40)}
    return Selector(metadata={**tests, **wants("all").metadata})


def of_many_values(index: int) -> Selector:
    return Selector(any_of=tuple(wants("k", f"{index}-{number}") for number in range(150)))


@pytest.mark.slow
@pytest.mark.parametrize(
    "given",
    [
        many(*([1, 2] * 500), match=lambda index: wants(f"k{index}")),
        many(*([0, 2] * 500), match=lambda index: wants(f"k{index}")),
        many(*range(1, 1001), match=nested),
        many(*range(1, 11), match=of_many_values),
        many(*([0, 2] * 5), match=of_many_values),
    ],
    ids=("distinct", "half of them silent", "nested", "alternatives", "silent alternatives"),
)
def test_a_large_file_is_not_looked_at_without_end(given: Policies) -> None:
    told = list(warnings(given))
    assert len(told) <= 3 * (MOST_TOLD + 1)
    assert any(one.startswith("there may be more") for one in told)


def test_policies_that_never_meet_are_all_looked_at() -> None:
    assert list(warnings(many(*range(1, 501), match=lambda index: wants("t", f"t{index}")))) == []


def test_a_mutual_delay_is_not_ended_from_both_sides() -> None:
    path = HERE / "a_longer_time_to_undo_delays.yaml"
    assert len(advised(load(path).policies)) == 1
