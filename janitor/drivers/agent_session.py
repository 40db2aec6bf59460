"""Agent sessions: the API reports their activity; busy while a turn runs or awaits an action."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing

from janitor.drivers.container import Activity, ContainerDriver, Seen
from janitor.drivers.responses import Body, read_moment
from janitor.errors import DriverError
from janitor.model import Kind

# Unknown means busy: a status that is not known to be idle keeps the session.
IDLE = frozenset({"idle", "failed"})
EVENTS = "events"  # a live stream
NOT_FOUND = 404


class AgentSessionDriver(ContainerDriver):
    """`client.beta.agents.sessions` in the SDK."""

    kind = Kind.AGENT_SESSION
    follows_last_id = False
    tells_error = True
    parts = ("turns", "subagents", "artifacts", "traces", EVENTS)
    streamed_parts = frozenset({EVENTS})

    def _activity(self, seen: Seen) -> Activity:
        active_at = read_moment(seen.container, "last_active_at", self._subject(seen.id))
        return Activity(active_at, busy=seen.container.get("status") not in IDLE)

    async def _part(self, id: str, part: str) -> AsyncGenerator[tuple[str, Body], None]:
        """Not every server has every part; one that was not read is recorded as missing."""
        if part in self.streamed_parts:
            yield _not_fetched(part)
            return
        try:
            async with aclosing(self._walk(id, part, optional=True)) as bodies:
                async for body in bodies:
                    yield body["id"], body
                    del body
        except DriverError as error:
            if error.status != NOT_FOUND:
                raise
            yield _not_fetched(part)


def _not_fetched(part: str) -> tuple[str, Body]:
    """What stands in a copy for a part that was not read."""
    return f"janitor.not_fetched.{part}", {"object": "janitor.not_fetched", "part": part}
