"""Digests and documents of version 1 stand; a field that came later is spelled when used."""

from __future__ import annotations

from dataclasses import MISSING, dataclass, fields, replace

import policy_version_1 as version_1
import pytest
from policy_facts import delete, policies
from policy_generated import generated

from janitor.policy import Policies, Policy, policies_digest, rules
from janitor.policy.codec import VERSION_1, dump


@pytest.mark.slow
def test_what_version_1_said_is_said_to_the_byte() -> None:
    for given in generated(10_000):
        assert policies_digest(given) == version_1.digest(given)
        assert dump(given) == version_1.document(given)


def test_no_field_joins_version_1() -> None:
    frozen = {kind: tuple(names.split()) for kind, names in version_1.FIELDS.items()}
    assert frozen == VERSION_1


@pytest.mark.parametrize("kind", VERSION_1)
def test_whatever_came_later_may_be_left_out(kind: type) -> None:
    later = [one for one in fields(kind) if one.name not in VERSION_1[kind]]
    needed = [one for one in later if one.default is MISSING and one.default_factory is MISSING]
    assert [one.name for one in needed] == []


@dataclass(frozen=True, slots=True)
class Newer(rules.Test):
    """What a test may be like once it has a field more."""

    prefix: str | None = None
    suffixes: tuple[str, ...] = ()


@pytest.fixture
def newer(monkeypatch: pytest.MonkeyPatch) -> type[Newer]:
    monkeypatch.setitem(VERSION_1, Newer, VERSION_1[rules.Test])
    return Newer


def policies_with(test: rules.Test) -> Policies:
    match = rules.Selector(metadata={"plan": test})
    return policies(Policy("p", match=match, excepts=match, delete=delete(30)))


def test_a_newer_field_that_is_not_used_leaves_digest_and_document(newer: type[Newer]) -> None:
    before, after = policies_with(rules.Test(glob="x*")), policies_with(newer(glob="x*"))
    assert policies_digest(after) == policies_digest(before)
    assert dump(after) == dump(before)


def test_a_newer_field_that_is_used_shows(newer: type[Newer]) -> None:
    plain, used = policies_with(newer()), policies_with(newer(prefix="x"))
    other = policies_with(newer(prefix="y"))
    assert len({policies_digest(one) for one in (plain, used, other)}) == 3
    assert '{"any_of":null,"exists":null,"glob":null,"prefix":"x"}' in dump(used)


def test_a_newer_head_is_spelled_likewise(monkeypatch: pytest.MonkeyPatch) -> None:
    @dataclass(frozen=True, slots=True)
    class NewerPolicies(Policies):
        grace: int = 0

    monkeypatch.setitem(VERSION_1, NewerPolicies, VERSION_1[Policies])
    given = policies()
    known = {one.name: getattr(given, one.name) for one in fields(given)}
    plain = NewerPolicies(**known)
    assert policies_digest(plain) == policies_digest(given)
    assert dump(plain) == dump(given)
    assert policies_digest(replace(plain, grace=1)) != policies_digest(given)
    assert '"grace":1' in dump(replace(plain, grace=1))
