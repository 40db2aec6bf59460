"""A service whose file is tightened waits for approval, and goes by it without a restart."""

from __future__ import annotations

from world import World, until

from serve.serving import Start, scheduled

OLD = """\
  - name: chats
    match: {metadata: {plan: trial}}
    delete: {after: 90d}
"""


def configure(world: World, policies: str) -> None:
    world.configure(policies)
    scheduled(world, "1s")


def test_a_reload_waits_for_approval_and_a_restart_still_does(world: World, serving: Start) -> None:
    configure(world, OLD)
    world.fill(2)
    service = serving()
    until(lambda: service.sweeps() >= 1)
    configure(world, OLD.replace("90d", "30d"))
    until(lambda: service.metric("janitor_policies_unapproved") == 2)
    until(lambda: "2 threads would be marked or removed earlier" in service.text)
    assert service.stop() == 0
    again = serving()
    assert again.metric("janitor_policies_unapproved") == 2
    assert set(world.states().values()) == {"active"}
    digest = world.run("--output", "json", "validate").document["policies_digest"]
    assert world.run("approve", digest, "--reason", "agreed").code == 0
    assert again.metric("janitor_policies_unapproved") == 0
    until(lambda: set(world.states().values()) == {"deleted"})
    assert again.stop() == 0
