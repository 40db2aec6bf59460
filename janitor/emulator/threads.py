"""Assistants threads and their messages. Source: the API description's `/threads` paths."""

from __future__ import annotations

from janitor.emulator import limits
from janitor.emulator.errors import Json, invalid, not_found, run_active
from janitor.emulator.pages import page
from janitor.emulator.routes import Call, Handler, Route
from janitor.emulator.state import Container, Kind, World, deleted

BETA = "assistants=v2"


def message(thread: Container, id: str, role: str, text: str, at: int) -> Json:
    """A message of one text, as the API sends it."""
    return {
        "id": id,
        "object": "thread.message",
        "created_at": at,
        "thread_id": thread.id,
        "status": "completed",
        "incomplete_details": None,
        "completed_at": at,
        "incomplete_at": None,
        "role": role,
        "content": [_text(text)],
        "assistant_id": None,
        "run_id": None,
        "attachments": [],
        "metadata": {},
    }


def _text(text: str) -> Json:
    return {"type": "text", "text": {"value": text, "annotations": []}}


def _part(part: Json) -> Json:
    return _text(part["text"]) if part.get("type") == "text" else part


def post(world: World, thread: Container, body: Json) -> Json:
    """Add the message that `body` describes."""
    limits.known(body, {"role", "content", "attachments", "metadata"})
    role, content = limits.required(body, "role"), limits.required(body, "content")
    if role not in {"user", "assistant"}:
        raise invalid("Invalid 'role'.", param="role", code="invalid_value")
    added = message(thread, world.id("msg_"), str(role), "", world.now())
    if isinstance(content, str):
        content = [{"type": "text", "text": content}]
    if not isinstance(content, list):
        raise invalid("Invalid type for 'content'.", param="content", code="invalid_type")
    added["content"] = [_part(part) for part in content]
    added["attachments"] = body.get("attachments") or []
    added["metadata"] = limits.metadata(body.get("metadata"))
    thread.items[added["id"]] = added
    return added


def show(thread: Container) -> Json:
    """The thread as the API sends it."""
    return {
        "id": thread.id,
        "object": "thread",
        "created_at": thread.created_at,
        "tool_resources": thread.facts.get("tool_resources", {}),
        "metadata": thread.metadata,
    }


def start(call: Call, body: Json) -> Container:
    """A new thread with the messages that `body` gives it."""
    limits.known(body, {"messages", "metadata", "tool_resources"})
    metadata = limits.metadata(body.get("metadata"))
    facts = {"tool_resources": body.get("tool_resources") or {}}
    thread = call.world.add(Kind.THREAD, call.project, metadata=metadata, facts=facts)
    for given in body.get("messages") or []:
        post(call.world, thread, given)
    return thread


def found(call: Call) -> Container:
    """The thread that the call names."""
    return call.world.find(Kind.THREAD, call.params["id"], call.project)


def _create(call: Call) -> Json:
    return show(start(call, call.body))


def _retrieve(call: Call) -> Json:
    return show(found(call))


def _update(call: Call) -> Json:
    thread = found(call)
    limits.known(call.body, {"metadata", "tool_resources"})
    if "metadata" in call.body:
        thread.metadata = limits.metadata(call.body["metadata"])
    if "tool_resources" in call.body:
        thread.facts["tool_resources"] = call.body["tool_resources"] or {}
    return show(thread)


def _delete(call: Call) -> Json:
    return call.world.remove(found(call))


def _messages(call: Call) -> Json:
    items, run = found(call).items, call.query.get("run_id")
    ids = [name for name, item in items.items() if run is None or item["run_id"] == run]
    return page(ids, call.query, items.__getitem__)


def _post(call: Call) -> Json:
    thread = found(call)
    if (run := thread.active_run()) is not None:
        raise run_active(thread.id, run)
    return post(call.world, thread, call.body)


def _message(call: Call) -> Json:
    items, wanted = found(call).items, call.params["item"]
    if wanted not in items:
        raise not_found("Message", wanted)
    return items[wanted]


def _update_message(call: Call) -> Json:
    changed = _message(call)
    limits.known(call.body, {"metadata"})
    changed["metadata"] = limits.metadata(call.body.get("metadata"))
    return changed


def _delete_message(call: Call) -> Json:
    gone = _message(call)["id"]
    del found(call).items[gone]
    return deleted(gone, "thread.message")


def route(method: str, path: str, call: str, handler: Handler) -> Route:
    """A call under `/threads`, which all demand the Assistants header."""
    return Route(method, f"/threads{path}", Kind.THREAD, call, handler, BETA)


ROUTES = (
    route("POST", "", "create", _create),
    route("GET", "/{id}", "retrieve", _retrieve),
    route("POST", "/{id}", "update", _update),
    route("DELETE", "/{id}", "delete", _delete),
    route("GET", "/{id}/messages", "items.list", _messages),
    route("POST", "/{id}/messages", "items.create", _post),
    route("GET", "/{id}/messages/{item}", "items.retrieve", _message),
    route("POST", "/{id}/messages/{item}", "items.update", _update_message),
    route("DELETE", "/{id}/messages/{item}", "items.delete", _delete_message),
)
