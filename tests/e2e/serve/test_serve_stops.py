"""A service that is told to stop while its server asks for minutes of silence."""

from __future__ import annotations

from world import World, until

from janitor.emulator import Fault, How
from serve.serving import Start, scheduled

BODY = {"error": {"message": "slow down", "type": "requests", "code": "rate_limit_exceeded"}}
SILENCE = Fault(How.STATUS, method="DELETE", status=429, body=BODY, headers={"retry-after": "290"})


def test_a_stop_does_not_wait_for_the_end_of_a_rate_limit(world: World, serving: Start) -> None:
    world.fill(4)
    scheduled(world, more="stop_timeout: 5m")
    with world.emulator.faulty(SILENCE):
        one = serving()
        until(lambda: any(entry.status == 429 for entry in world.emulator.log))
        assert one.stop() == 0  # its deadline is shorter than what the server asks for
    assert "partial" in one.text
    assert "the next run recovers them" not in one.text
    assert "Traceback" not in one.text
    assert world.run("--output", "json", "list", "--failed").document["threads"] == []
