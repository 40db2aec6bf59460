from __future__ import annotations

from datetime import UTC, datetime

from janitor.registry import Approval, Proposal, Registry

NOW = datetime(2026, 3, 1, tzinfo=UTC)


def approve(registry: Registry, digest: str) -> None:
    registry.approve("{}", digest, actor="ops", reason="asked", now=NOW)


def test_the_last_approval_counts_and_each_is_kept(registry: Registry) -> None:
    assert registry.approval() is None
    for digest in ("a", "b"):
        approve(registry, digest)
    last = registry.approval()
    assert last is not None
    assert last == Approval(last.number, "b", "{}", "ops", "asked", NOW)
    first = registry.approval(last.number - 1)
    assert first is not None
    assert first.digest == "a"
    assert registry.approval(99) is None


def test_what_was_weighed_against_another_approval_is_not_approved(registry: Registry) -> None:
    def after(before: int | None, digest: str) -> bool:
        return registry.approve_after(before, "{}", digest, actor="j", reason="r", now=NOW)

    assert after(None, "a")
    assert not after(None, "b")
    first = registry.approval()
    assert first is not None
    approve(registry, "c")
    assert not after(first.number, "d")
    last = registry.approval()
    assert last is not None
    assert last.digest == "c"
    assert after(last.number, "d")


def test_what_waits_does_so_until_it_is_approved(registry: Registry) -> None:
    assert registry.proposal() is registry.unapproved() is None
    approve(registry, "a")
    waiting = Proposal("b", 1, {"p": 2})
    registry.set_proposal(waiting)
    assert registry.proposal() == registry.unapproved() == waiting
    approve(registry, "b")
    assert (registry.proposal(), registry.unapproved()) == (waiting, None)
    registry.set_proposal(None)
    assert registry.proposal() is None
