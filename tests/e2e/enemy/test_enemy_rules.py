"""Policies and kinds that change between runs: no thread keeps a date of rules that are gone."""

from __future__ import annotations

import pytest
from sweep_world import DAY, NOW, World, enforced, matching

from janitor.emulator import Fault
from janitor.engine import redecide
from janitor.model import Kind
from janitor.policy.rules import Delete, Policy

MONTH, YEAR = (Policy("chats", delete=Delete(days * DAY)) for days in (30, 365))


def test_a_pass_cut_short_towards_other_policies_leaves_no_date_behind(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = [world.add(active_at=NOW - DAY, created_at=NOW - DAY) for _ in range(4)]
    world.policies = enforced(MONTH)
    world.sweep()
    before = {key: world.entry(key).review_at for key in keys}
    monkeypatch.setattr(redecide, "PAGE", 2)
    world.policies = enforced(YEAR)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(type(world.registry.policies), "set_redecide_cursor", _die)
        with pytest.raises(Died):
            world.sweep()
    assert {key: world.entry(key).review_at for key in keys} != before
    world.policies = enforced(MONTH)
    world.sweep()
    assert {key: world.entry(key).review_at for key in keys} == before


class Died(BaseException):
    pass


def _die(*_: object) -> None:
    raise Died


def test_a_kind_that_was_switched_off_meanwhile_follows_the_new_policies(world: World) -> None:
    key = world.add(Kind.THREAD, active_at=NOW - DAY, created_at=NOW - DAY)
    world.policies = enforced(YEAR)
    world.sweep()
    world.kinds = frozenset({Kind.CONVERSATION})
    world.policies = enforced(MONTH)
    world.approve()
    world.sweep()
    world.kinds = frozenset(Kind)
    world.advance(40 * DAY)
    world.sweep()
    assert not world.server.exists(key.id)


def test_what_could_never_be_asked_about_stays_up_for_review(world: World) -> None:
    world.policies = enforced(Policy("trial", match=matching(plan="trial"), delete=MONTH.delete))
    key = world.add(metadata={"seen": "no"}, upstream={"plan": "trial"})
    with world.server.faulty(Fault("status", status=500)):
        world.sweep()
    world.policies = enforced(Policy("trials", match=matching(plan="trial"), delete=MONTH.delete))
    world.sweep()
    world.advance(DAY)
    world.sweep()
    world.sweep()
    assert not world.server.exists(key.id)
