"""`approve`, and how everybody who looks is told of what waits for it."""

from __future__ import annotations

import getpass
import json
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families
from world import World

OLD = """\
  - name: chats
    match: {metadata: {plan: trial}}
    archive: {after: 7d}
    delete: {after: 90d}
"""
NEW = OLD.replace("90d", "30d")


def edited(world: World, number: int = 2) -> list[str]:
    """A world swept under the old file; under the new one these threads are due."""
    world.configure(OLD)
    ids = world.fill(number)
    assert world.run("sweep").code == 0
    world.configure(NEW)
    return ids


def digest_of(world: World) -> str:
    digest: str = world.run("--output", "json", "validate").document["policies_digest"]
    return digest


def waiting(world: World) -> float:
    """What the metric says after a sweep."""
    path = world.directory / "janitor.prom"
    assert world.run("sweep", "--metrics-textfile", str(path)).code == 0
    families = text_string_to_metric_families(path.read_text(encoding="utf-8"))
    samples = {one.name: one.value for family in families for one in family.samples}
    return samples["janitor_policies_unapproved"]


def test_from_the_edit_to_the_removal(world: World) -> None:
    ids = edited(world)
    digest = digest_of(world)
    plan = world.run("plan")
    assert f"janitor approve {digest[:12]}" in plan.out
    assert "chats 2" in plan.out
    assert "unapproved 2" in plan.out
    swept = world.run("sweep")
    assert swept.code == 0
    said = "(chats 2) and wait for approval (2 are due now); until then their previous dates apply"
    assert f"2 threads would be marked or removed earlier under these policies {said}" in swept.err
    assert f"janitor approve {digest[:12]} --reason '...'" in swept.err
    assert "Kept: unapproved 2." in swept.out
    assert f"janitor approve {digest[:12]} --reason '...'" in world.run("runs").out
    assert waiting(world) == 2
    assert set(world.states().values()) == {"archived"}
    done = world.run("approve", digest[:12], "--reason", "agreed")
    assert done.code == 0, done.err
    assert "2 threads waited" in done.out
    assert waiting(world) == 0
    assert {world.states()[one] for one in ids} == {"deleted"}
    assert "approve" not in world.run("sweep").err


def test_an_approval_before_any_sweep_has_counted_names_no_number(world: World) -> None:
    edited(world)
    digest = digest_of(world)
    assert "2 threads would be marked or removed earlier" in world.run("plan").out
    done = world.run("approve", digest, "--reason", "agreed")
    assert done.code == 0, done.err
    assert "threads waited for it" not in done.out
    assert "no sweep has counted what waits for it; it takes effect with the next one" in done.out
    assert set(world.states().values()) == {"archived"}
    assert world.run("sweep").code == 0
    assert set(world.states().values()) == {"deleted"}


def test_what_machines_are_told(world: World) -> None:
    ids = edited(world)
    digest = digest_of(world)
    command = f"janitor approve {digest[:12]} --reason '...'"
    pending = {"digest": digest, "pending": True, "threads": {"chats": 2}, "command": command}
    plan = world.run("--output", "json", "plan").document
    assert plan["approval"] == pending
    assert plan["kept"] == {"unapproved": 2}
    rows = [(row["id"], row["stages"], row["reason"]) for row in plan["decisions"]]
    assert sorted(rows) == [(one, ["delete"], "unapproved") for one in sorted(ids)]
    surveyed = world.run("--output", "json", "validate", "--against-registry").document
    assert surveyed["approval"] == pending
    swept = world.run("--output", "json", "sweep").document
    assert (swept["approval"], swept["kept"]) == (pending, plan["kept"])
    newest, *_ = world.run("--output", "json", "runs").document["runs"]
    assert newest["counts"] == {"chats/delete/kept": 2, "kept/unapproved": 2}
    listed = world.run("--output", "json", "runs").document["approval"]
    assert listed == pending
    (told,) = world.run("--output", "json", "explain", ids[0]).document["threads"]
    assert told["decision"]["reason"] == "unapproved"
    said = world.run("--output", "json", "approve", digest.upper(), "--reason", "agreed").document
    assert (said["digest"], said["threads"]) == (digest, {"chats": 2})
    assert (said["reason"], said["actor"]) == ("agreed", getpass.getuser())
    after = world.run("--output", "json", "plan").document["approval"]
    assert after == {"digest": digest, "pending": False, "threads": {}, "command": None}


def test_validate_tells_a_person(world: World) -> None:
    edited(world)
    said = world.run("validate", "--against-registry").out
    assert f"The policies' digest is {digest_of(world)}" in said
    assert "2 threads would be marked or removed earlier" in said


def test_applying_a_reviewed_plan_approves(world: World) -> None:
    ids = edited(world)
    file = world.directory / "plan.json"
    said = world.run("plan", "-o", str(file)).out
    assert "Applying this plan also approves them" in said
    done = world.run("--output", "json", "apply", str(file))
    assert done.code == 0, done.err
    assert {world.states()[one] for one in ids} == {"deleted"}
    again = world.run("approve", digest_of(world), "--reason", "again")
    assert f"already approved by {getpass.getuser()} on " in again.err


def test_an_edited_plan_approves_nothing(world: World) -> None:
    edited(world)
    file = world.directory / "plan.json"
    world.run("plan", "-o", str(file))
    document = json.loads(file.read_text(encoding="utf-8"))
    document["approval"]["pending"] = False
    file.write_text(json.dumps(document), encoding="utf-8")
    assert world.run("apply", str(file)).code == 2


@pytest.mark.parametrize(
    ("digest", "message"),
    [
        ("abc", "abc is not a digest: write at least the first 12 characters"),
        ("trial-chats!", "is not a digest"),
        ("0" * 12, "is not the digest of the configured policies, which is {digest}"),
        ("{digest}", "{digest} was already approved by janitor on "),
    ],
)
def test_any_other_digest_is_refused(world: World, digest: str, message: str) -> None:
    world.configure(OLD)
    world.fill(1)
    world.run("sweep")
    known = digest_of(world)[:12]
    done = world.run("approve", digest.format(digest=known), "--reason", "r")
    assert done.code == 2
    assert message.format(digest=known) in done.err
    assert len(done.err.splitlines()) == 1


def test_a_reason_is_asked_for(world: World) -> None:
    edited(world)
    digest = digest_of(world)
    assert world.run("approve", digest).code == 2
    done = world.run("approve", digest, "--reason", " ")
    assert (done.code, "must not be empty" in done.err) == (2, True)
    assert world.run("--output", "json", "plan").document["approval"]["pending"]


def test_a_plan_changes_nothing_of_it(world: World, tmp_path: Path) -> None:
    edited(world)
    before = world.registry.read_bytes()
    world.run("plan", "-o", str(tmp_path / "plan.json"))
    world.run("validate", "--against-registry")
    assert world.registry.read_bytes() == before
