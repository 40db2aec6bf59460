"""ChatKit threads: read and deleted here, written only by ChatKit's own sessions.

Source: the API description's `/chatkit/threads` paths. The API creates none, so the emulator's
control door and its Python face do.
"""

from __future__ import annotations

from janitor.emulator.errors import Json
from janitor.emulator.pages import page
from janitor.emulator.routes import Call, Handler, Route
from janitor.emulator.state import Container, Kind

BETA = "chatkit_beta=v1"


def item(thread: Container, id: str, role: str, text: str, at: int) -> Json:
    """A user's or the assistant's message of one text."""
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
        "object": "chatkit.thread",
        "created_at": thread.created_at,
        "title": thread.facts.get("title"),
        "status": locked if thread.locked else {"type": "active"},
        "user": thread.facts.get("user", "user"),
    }


def _found(call: Call) -> Container:
    return call.world.find(Kind.CHATKIT_THREAD, call.params["id"], call.project)


def _list(call: Call) -> Json:
    user = call.query.get("user")
    threads = call.world.of(Kind.CHATKIT_THREAD, call.project)
    ids = [t.id for t in threads if user is None or t.facts.get("user", "user") == user]
    return page(ids, call.query, lambda named: show(call.world.named(named)), least=0)


def _retrieve(call: Call) -> Json:
    return show(_found(call))


def _delete(call: Call) -> Json:
    return call.world.remove(_found(call))


def _items(call: Call) -> Json:
    items = _found(call).items
    return page(list(items), call.query, items.__getitem__, least=0)


def _route(method: str, path: str, call: str, handler: Handler) -> Route:
    return Route(method, f"/chatkit/threads{path}", Kind.CHATKIT_THREAD, call, handler, BETA)


ROUTES = (
    _route("GET", "", "list", _list),
    _route("GET", "/{id}", "retrieve", _retrieve),
    _route("DELETE", "/{id}", "delete", _delete),
    _route("GET", "/{id}/items", "items.list", _items),
)
