"""Lists of conversations and Assistants threads, which OpenAI does not have and some servers do.

The new Foundry lists conversations; an undescribed `GET /threads` exists on some servers. Both are
pages like any other here.
"""

from __future__ import annotations

from collections.abc import Callable

from janitor.emulator import conversations, threads
from janitor.emulator.errors import Json
from janitor.emulator.pages import page
from janitor.emulator.routes import Call, Handler, Route
from janitor.emulator.state import Container, Kind


def _listing(kind: Kind, show: Callable[[Container], Json]) -> Handler:
    def handler(call: Call) -> Json:
        ids = [container.id for container in call.world.of(kind, call.project)]
        return page(ids, call.query, lambda named: show(call.world.named(named)))

    return handler


_CONVERSATIONS = _listing(Kind.CONVERSATION, conversations.show)
_THREADS = _listing(Kind.THREAD, threads.show)

ROUTES = (
    Route("GET", "/conversations", Kind.CONVERSATION, "list", _CONVERSATIONS),
    Route("GET", "/threads", Kind.THREAD, "list", _THREADS, threads.BETA),
)
