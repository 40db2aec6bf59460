from __future__ import annotations

import re
from dataclasses import replace
from types import MappingProxyType

import pytest
from policy_facts import (
    archive,
    days,
    delete,
    early,
    equals,
    exists,
    lifetime,
    metadata,
    policies,
    soft,
)

from janitor.model import Kind, Mode
from janitor.policy import Policy, policies_digest
from janitor.policy.rules import KeepLast, Limits, Selector

A = Policy("a", metadata(plan=equals("x", "y"), tier="1"), archive=archive(1), delete=delete(30))
B = Policy("b", Selector(kinds=frozenset(Kind)), keep_last=KeepLast(3))
GIVEN = policies(A, B)


def test_a_digest_is_a_sha256() -> None:
    assert re.fullmatch(r"[0-9a-f]{64}", policies_digest(GIVEN))


def test_order_never_matters() -> None:
    tests = {"tier": equals("1"), "plan": equals("y", "x")}
    turned = replace(A, match=Selector(metadata=MappingProxyType(tests)))
    assert policies_digest(policies(B, turned)) == policies_digest(GIVEN)


@pytest.mark.parametrize(
    "other",
    [
        policies(A),
        policies(A, B, B),
        policies(A, replace(B, keep_last=KeepLast(4))),
        policies(replace(A, match=metadata(plan="x", tier="1")), B),
        policies(replace(A, match=metadata(plan=exists(), tier="1")), B),
        policies(replace(A, excepts=Selector(any_of=(A.match, B.match))), B),
        policies(replace(A, match=replace(A.match, any_of=(B.match,))), B),
        policies(replace(A, delete=delete(31)), B),
        policies(replace(A, soft_delete=soft(30)), B),
        policies(replace(A, archive=early(1)), B),
        policies(A, replace(B, beside_default=True)),
        policies(A, B, life=lifetime(1)),
        replace(GIVEN, mode=Mode.ENFORCE),
        replace(GIVEN, limits=Limits(max_percent=11)),
        replace(GIVEN, release_grace=days(8)),
        replace(GIVEN, expire={"chats": days(30)}),
    ],
)
def test_every_difference_shows(other: object) -> None:
    assert policies_digest(other) != policies_digest(GIVEN)  # type: ignore[arg-type]


def test_what_has_no_canonical_form_is_refused() -> None:
    strange = replace(GIVEN, limits=Limits(max_percent=object()))  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        policies_digest(strange)


def test_the_canonical_form_stands_still() -> None:
    """Approvals and plans are kept by this digest: another one makes them void."""
    known = "788c75843caa3f3045981fa68ccad1aba73ec53e8fddca6467363996fde0e480"
    assert policies_digest(policies()) == known
