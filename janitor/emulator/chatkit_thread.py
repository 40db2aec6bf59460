"""ChatKit threads: read and deleted here, written only by ChatKit's own sessions.

Source: the API description's `/chatkit/threads` paths. The API cannot create them, so the
emulator's control endpoints and its Python interface do.
"""

from __future__ import annotations

from functools import partial

from janitor.emulator.errors import Json, thread_locked
from janitor.emulator.kind import EmulatedKind
from janitor.emulator.pages import page
from janitor.emulator.routes import RoutedCall, route
from janitor.emulator.state import Container
from janitor.kinds import Kind


def item(thread: Container, id: str, role: str, text: str, at: int) -> Json:
    """A user's or the assistant's message with one text."""
    common = {"id": id, "object": "chatkit.thread_item", "created_at": at, "thread_id": thread.id}
    if role == "assistant":
        content = [{"type": "output_text", "text": text, "annotations": []}]
        return {**common, "type": "chatkit.assistant_message", "content": content}
    return {
        **common,
        "type": "chatkit.user_message",
        "content": [{"type": "input_text", "text": text}],
        "attachments": [],
        "inference_options": None,
    }


def show(thread: Container) -> Json:
    """The thread as the API sends it."""
    locked = {"type": "locked", "reason": None}
    return {
        "id": thread.id,
        "object": EMULATED.trait.noun,
        "created_at": thread.created_at,
        "title": thread.facts.get("title"),
        "status": locked if thread.locked else {"type": "active"},
        "user": thread.facts.get("user", "user"),
    }


def _list(call: RoutedCall) -> Json:
    user = call.query.get("user")
    threads = call.world.of(Kind.CHATKIT_THREAD, call.project)
    ids = [t.id for t in threads if user is None or t.facts.get("user", "user") == user]
    return page(ids, call.query, lambda named: show(call.world.named(named)), least=0)


def _retrieve(call: RoutedCall) -> Json:
    return show(EMULATED.found(call))


def _delete(call: RoutedCall) -> Json:
    return call.world.remove(EMULATED.found(call))


def _items(call: RoutedCall) -> Json:
    items = EMULATED.found(call).items
    return page(list(items), call.query, items.__getitem__, least=0)


_route = partial(route, Kind.CHATKIT_THREAD)

ROUTES = (
    _route("GET", "", "list", _list),
    _route("GET", "/{id}", "retrieve", _retrieve),
    _route("DELETE", "/{id}", "delete", _delete),
    _route("GET", "/{id}/items", "items.list", _items),
)

EMULATED = EmulatedKind(
    kind=Kind.CHATKIT_THREAD,
    name="ChatKit thread",
    item_prefix="cthi_",
    routes=ROUTES,
    show=show,
    item=item,
    locked=thread_locked,
)
