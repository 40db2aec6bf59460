"""A stop in the midst of a long rate limit: the work ends at once, and blames no thread."""

from __future__ import annotations

import signal

import pytest
from world import Done, World, finished, until

from janitor.emulator import Fault, How
from janitor.registry import Registry

THREADS = 6
DELETED = "  - {name: old, match: {metadata: {plan: trial}}, delete: {after: 30d}}\n"
BODY = {"error": {"message": "slow down", "type": "requests", "code": "rate_limit_exceeded"}}


def limited(method: str) -> Fault:
    """What a server answers that wants to be left alone for minutes."""
    return Fault(How.STATUS, method=method, status=429, body=BODY, headers={"retry-after": "290"})


def is_limited(world: World) -> bool:
    return any(entry.status == 429 for entry in world.emulator.log)


def assert_nobody_is_blamed(world: World) -> None:
    assert world.run("--output", "json", "list", "--failed").document["threads"] == []
    (newest, *_) = world.run("--output", "json", "runs").document["runs"]
    assert (newest["result"], newest["counts"], newest["stops"]) == ("partial", {}, [])


def assert_the_rest_is_done(world: World) -> None:
    with Registry.open(f"sqlite:///{world.registry}") as registry:
        registry.key_values.remember("pace:main", "")  # as if the minutes had passed
    assert world.run("sweep").code == 0
    assert set(world.states().values()) == {"deleted"}
    assert set(world.emulator.deletes.values()) == {1}


def stopped(world: World, *command: str) -> Done:
    process = world.start(*command)
    until(lambda: is_limited(world))
    process.send_signal(signal.SIGTERM)
    done = finished(process)  # its deadline is shorter than what the server asks for
    assert "Traceback" not in done.err
    return done


@pytest.mark.parametrize("method", ["GET", "DELETE"])
@pytest.mark.parametrize("command", ["sweep", "apply"])
def test_a_stop_while_a_server_is_waited_for_blames_no_thread(
    world: World, command: str, method: str
) -> None:
    world.configure(DELETED)
    world.fill(THREADS)
    assert world.run("plan", "-o", str(world.directory / "plan.json")).code == 0
    words = [command, "plan.json"] if command == "apply" else [command]
    world.emulator.clear_log()
    with world.emulator.faulty(limited(method)):
        assert stopped(world, *words).code == 128 + signal.SIGTERM
    assert_nobody_is_blamed(world)
    assert_the_rest_is_done(world)
