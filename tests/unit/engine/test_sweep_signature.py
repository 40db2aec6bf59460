"""A plan is carried out as the registry signed it: no field that counts can be edited."""

from __future__ import annotations

import copy
import json
import sqlite3
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import orjson
import pytest
from sweep_world import CHATS, DAY, DELETED, NOW, World, enforced

from janitor.engine.apply import PlanSite, _read, check, compact, load
from janitor.engine.plan import Plan, PlanScope
from janitor.errors import ConfigError
from janitor.model import Kind
from janitor.policy.rules import Delete

Document = dict[str, Any]
Path = tuple[str | int, ...]

LATER = (NOW + 300 * DAY).isoformat()
VALUES: tuple[Any, ...] = (None, True, 0, "", "0" * 64, LATER, [], ["delete"])
MISSING = object()


@pytest.fixture
def made(world: World) -> Plan:
    """A plan over threads of two kinds, one of which is kept, under policies that wait."""
    world.policies = enforced(CHATS)
    for kind in (Kind.CONVERSATION, Kind.THREAD):
        world.add(kind, metadata={"plan": "trial"})
    world.add(created_at=NOW - DAY, active_at=NOW - DAY)
    return world.plan(PlanScope(everything=True))


def document(made: Plan) -> Document:
    """The plan as the command line writes it."""
    said: Document = json.loads(json.dumps({"schema": 1, **made.document()}, default=str))
    return said


def valid(world: World, said: Document, max_age: timedelta = DAY) -> Plan:
    """The plan of a document that may be carried out; ConfigError for any other."""
    made = load(json.dumps(said).encode(), "plan.json")
    check(PlanSite(world.registry, world.policies, world.now), made, "plan.json", max_age)
    return made


def digested(said: Document) -> Document:
    """The document with the digest of what it says now, as whoever edits it can work out."""
    try:
        return {**said, "digest": _read(orjson.loads(orjson.dumps(said))).digest}
    except (ValueError, KeyError, TypeError):
        return said


def paths(said: object, above: Path = ()) -> Iterator[Path]:
    """Where anything stands in a document."""
    if above:
        yield above
    parts = (
        said.items()
        if isinstance(said, dict)
        else enumerate(said if isinstance(said, list) else ())
    )
    for name, value in parts:
        yield from paths(value, (*above, name))


def edited(said: Document, path: Path, value: object) -> Document:
    """A copy in which something else stands there, or nothing."""
    changed = copy.deepcopy(said)
    place: Any = changed
    for name in path[:-1]:
        place = place[name]
    if value is MISSING:
        del place[path[-1]]
    else:
        place[path[-1]] = value
    return changed


@pytest.mark.slow
def test_what_any_field_is_changed_to_is_refused_or_without_effect(
    world: World, made: Plan
) -> None:
    whole = document(made)
    assert compact(valid(world, whole)) == compact(made)
    refused = set[str]()
    for path in paths(whole):
        for value in (*VALUES, MISSING):
            changed = edited(whole, path, value)
            for attempt in (changed, digested(changed)):
                try:
                    assert compact(valid(world, attempt)) == compact(made), (path, value)
                except ConfigError as error:
                    assert "janitor plan -o plan.json" in str(error), (path, value)  # noqa: PT017
                    refused.add(".".join(str(name) for name in path))
    rows = [index for index, row in enumerate(whole["decisions"]) if row["stages"]]
    fields = ("project", "kind", "id", "stages", "policy", "due_at", "age_base", "reason")
    looks = ("last_active_at", "newest_item", "probed")
    head = {"digest", "signature", "now", "hypothetical", "mode", "registry", "policies_digest"}
    assert {f"decisions.{row}.{name}" for row in rows for name in (*fields, *looks)} <= refused
    assert head | {"approval.pending"} <= refused
    assert world.changing_calls() == []


@pytest.mark.parametrize("copies", [0, 2])
def test_a_decision_taken_away_or_given_twice_is_refused(
    world: World, made: Plan, copies: int
) -> None:
    whole = document(made)
    (first, *others) = whole["decisions"]
    changed = {**whole, "decisions": [first] * copies + others}
    for attempt in (changed, digested(changed)):
        with pytest.raises(ConfigError):
            valid(world, attempt)


def test_an_old_plan_does_not_become_young_by_its_file(world: World, made: Plan) -> None:
    world.advance(3 * DAY)
    with pytest.raises(ConfigError, match="too old"):
        valid(world, document(made))
    young = digested({**document(made), "now": world.now.isoformat()})
    with pytest.raises(ConfigError, match="this registry's signature does not match"):
        valid(world, young)


def test_a_plan_of_a_program_that_signed_none_is_refused(world: World, made: Plan) -> None:
    whole = document(made)
    for said in (edited(whole, ("signature",), MISSING), {**whole, "signature": None}):
        with pytest.raises(ConfigError, match=r"not signed.*janitor plan -o plan\.json"):
            valid(world, digested(said))


@pytest.mark.parametrize("signature", ["é", "0" * 64, "a", 7, ["0"]])
def test_a_made_up_signature_is_refused(world: World, made: Plan, signature: object) -> None:
    with pytest.raises(ConfigError, match="this registry's signature does not match"):
        valid(world, {**document(made), "signature": signature})


def test_a_signature_is_of_one_plan_alone(world: World, made: Plan) -> None:
    world.policies = enforced(DELETED)
    other = world.plan()
    with pytest.raises(ConfigError, match="this registry's signature does not match"):
        valid(world, document(replace(other, signature=made.signature)))
    assert [*valid(world, document(other)).decisions] == [*other.decisions]


def test_the_form_that_is_handed_over_is_signed_too(world: World, made: Plan) -> None:
    said: Document = json.loads(compact(made))
    assert compact(valid(world, said)) == compact(made)
    said["decisions"].pop()
    with pytest.raises(ConfigError, match="this registry's signature does not match"):
        valid(world, digested(said))


def test_a_plan_for_looking_is_signed_and_shown_as_any(world: World, made: Plan) -> None:
    looked = world.plan(PlanScope(offline=True), hypothetical=True)
    assert len(looked.signature) == len(made.signature) == 64
    with pytest.raises(ConfigError, match="--at"):
        valid(world, document(looked))


def test_policies_that_a_plan_was_not_made_under_are_told_as_such(world: World, made: Plan) -> None:
    world.policies = enforced(replace(CHATS, delete=Delete(31 * DAY)))
    with pytest.raises(ConfigError, match="other policies"):
        valid(world, document(made))


def test_a_registry_that_has_lost_its_key_says_what_to_do(world: World) -> None:
    with sqlite3.connect(world.registry.name) as connection:
        connection.execute("DELETE FROM meta WHERE key = 'plan_key'")
    with pytest.raises(ConfigError, match=r"lost the key that signs plans.*janitor db upgrade"):
        world.plan()
