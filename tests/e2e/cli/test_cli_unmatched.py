"""Rules that match no thread: a typo is named, and what may match or governs one is not."""

from __future__ import annotations

import json

import pytest
from world import World

TRIAL = """\
  - name: trial
    match: {kind: [conversation]}
    except: {metadata: {pinned: "true"}}
    delete: {after: 30d}
"""
LABELLED = """\
  - name: labelled
    match: {metadata: {plan: trial}}
    except: {metadata: {pinned: "true"}}
    delete: {after: 30d}
  - name: law
    match: {metadata: {department: legal}}
    keep: forever
  - name: last
    match: {metadata: {user_id: {exists: true}}}
    keep_last: {count: 1, per: metadata.user_id}
  - name: never
    match: {metadata: {plan: {glob: "pro-*"}}}
    delete: never
"""
SEVERAL = """\
  - name: trial
    match: {metadata: {plan: trial}}
    except: [{metadata: {pinned: "true"}}, {metadata: {pined: "true"}}]
    delete: {after: 30d}
  - name: law
    match: {any: [{metadata: {department: legal}}, {user: counsel}]}
    keep: forever
"""
TYPO = """\
  - name: chats
    match: {kind: [conversation]}
    delete: {after: 30d}
  - name: typo
    match: {kind: [thread]}
    keep: forever
"""


def unread(world: World, **metadata: str) -> list[str]:
    """Conversations that are registered by their ids alone."""
    ids = [world.conversation(45, items=2, **metadata) for _ in range(2)]
    file = world.directory / "ids.jsonl"
    file.write_text("".join(json.dumps({"id": one}) + "\n" for one in ids))
    assert world.run("import", str(file)).code == 0
    return ids


def unmatched(world: World, *arguments: str) -> list[str]:
    done = world.run("--output", "json", *arguments)
    assert done.code == 0, done.err
    document = done.document
    found = document if "unmatched_rules" in document else document["registry"]
    return list(found["unmatched_rules"])


def metric(world: World) -> str:
    file = world.directory / "janitor.prom"
    assert world.run("sweep", "--metrics-textfile", str(file)).code == 0
    lines = file.read_text().splitlines()
    return "\n".join(line for line in lines if line.startswith("janitor_rules_matching_nothing{"))


@pytest.mark.parametrize("policies", [TRIAL, LABELLED])
def test_what_may_match_unread_metadata_is_no_typo(world: World, policies: str) -> None:
    world.configure(policies)
    unread(world)
    assert (
        world.run("hold", "add", "c", "--reason", "r", "--metadata", "a=b", "--no-copy").code == 0
    )
    assert unmatched(world, "plan", "--offline") == []
    assert unmatched(world, "validate", "--against-registry") == []
    assert "matches no thread" not in world.run("plan", "--offline").out
    assert "a typo?" not in world.run("validate", "--against-registry").out


def test_a_typo_is_named_whatever_is_unread(world: World) -> None:
    world.configure(TYPO)
    unread(world)
    for arguments in (("plan",), ("plan", "--offline"), ("validate", "--against-registry")):
        assert unmatched(world, *arguments) == ["policy:typo"]
    assert 'rule="policy:typo"' in metric(world)
    told = world.run("validate", "--against-registry").out
    assert "  Policy typo matches no thread; a typo?\n" in told
    assert "\nPolicy typo matches no thread; a typo?\n" in world.run("plan").out


def test_a_typo_shows_as_soon_as_all_metadata_was_read(world: World) -> None:
    world.configure(LABELLED)
    unread(world, plan="trial", pinned="true")
    said = metric(world)
    assert "except:labelled" not in said
    assert "policy:law" in said
    assert "policy:law" in unmatched(world, "plan")


def test_what_a_sweep_reads_upstream_is_taken_into_account(world: World) -> None:
    world.configure(LABELLED)
    chat = world.conversation(5, plan="trial", department="legal")
    world.register(chat, age=5, other="x")
    assert "policy:law" not in unmatched(world, "plan")
    assert "policy:law" not in metric(world)
    assert "policy:law" not in unmatched(world, "plan", "--offline")
    assert "policy:law" not in unmatched(world, "validate", "--against-registry")
    assert "policy:last" in unmatched(world, "plan", "--offline")


def test_a_typo_in_one_of_several_selectors_is_named(world: World) -> None:
    world.configure(SEVERAL)
    chat = world.conversation(45, plan="trial", pinned="true")
    world.register(chat, age=45, plan="trial", pinned="true")
    silent = ["except[1]:trial", "match[1]:law", "policy:law", "match[0]:law"]
    assert set(unmatched(world, "validate", "--against-registry")) == {*silent, "policy:trial"}
    assert set(unmatched(world, "plan")) == {*silent, "policy:trial"}
    assert 'rule="except[1]:trial"' in metric(world)
