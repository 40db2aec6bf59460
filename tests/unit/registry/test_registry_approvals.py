from __future__ import annotations

from datetime import UTC, datetime

from janitor.registry import Approval, PendingApproval, Registry

NOW = datetime(2026, 3, 1, tzinfo=UTC)


def approve(registry: Registry, digest: str) -> None:
    registry.policies.approve("{}", digest, actor="ops", reason="asked", now=NOW)


def test_the_last_approval_counts_and_each_is_kept(registry: Registry) -> None:
    assert registry.policies.approval() is None
    for digest in ("a", "b"):
        approve(registry, digest)
    last = registry.policies.approval()
    assert last is not None
    assert last == Approval(last.number, "b", "{}", "ops", "asked", NOW)
    first = registry.policies.approval(last.number - 1)
    assert first is not None
    assert first.digest == "a"
    assert registry.policies.approval(99) is None


def test_what_was_weighed_against_another_approval_is_not_approved(registry: Registry) -> None:
    def after(before: int | None, digest: str) -> bool:
        return registry.policies.approve_after(before, "{}", digest, actor="j", reason="r", now=NOW)

    assert after(None, "a")
    assert not after(None, "b")
    first = registry.policies.approval()
    assert first is not None
    approve(registry, "c")
    assert not after(first.number, "d")
    last = registry.policies.approval()
    assert last is not None
    assert last.digest == "c"
    assert after(last.number, "d")


def test_what_waits_does_so_until_it_is_approved(registry: Registry) -> None:
    assert registry.policies.proposal() is registry.policies.unapproved() is None
    approve(registry, "a")
    waiting = PendingApproval("b", 1, {"p": 2})
    registry.policies.set_proposal(waiting)
    assert registry.policies.proposal() == registry.policies.unapproved() == waiting
    approve(registry, "b")
    assert (registry.policies.proposal(), registry.policies.unapproved()) == (waiting, None)
    registry.policies.set_proposal(None)
    assert registry.policies.proposal() is None
