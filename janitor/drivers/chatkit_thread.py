"""ChatKit threads: dated by their newest item, deleted with everything in them."""

from __future__ import annotations

from janitor.drivers.container import Activity, ContainerDriver, Seen
from janitor.drivers.responses import read_moment
from janitor.model import Kind


class ChatkitThreadDriver(ContainerDriver):
    """`client.beta.chatkit.threads` in the SDK; `locked` blocks new input and is not activity."""

    kind = Kind.CHATKIT_THREAD
    follows_last_id = True

    def _activity(self, seen: Seen) -> Activity:
        newest = seen.newest or seen.container
        return Activity(read_moment(newest, "created_at", self._subject(seen.id)))
