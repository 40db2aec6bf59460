"""Responses, as far as they write into conversations. Source: the `/responses` paths."""

from __future__ import annotations

import orjson

from janitor.emulator import conversation as conversations
from janitor.emulator.errors import Json, invalid, not_found
from janitor.emulator.pages import page
from janitor.emulator.routes import Handler, Route, RoutedCall
from janitor.emulator.state import ApiReply, Container, World, deleted

ANSWER = "Noted."
WRITES_TO = conversations.EMULATED.kind


def _create(call: RoutedCall) -> Json | str:
    world, body = call.world, call.body
    conversation = _conversation(call)
    taken = conversations.taken(world, body.get("input") or [])
    reply = ApiReply(call.project, _shape(world, body, conversation), taken)
    if conversation is not None:
        conversation.items.update(taken)
    if body.get("background"):
        _begin(reply, conversation)
    else:
        finish(world, reply, conversation)
    if body.get("store", True):
        world.replies[reply.body["id"]] = reply
    return _events(reply.body) if body.get("stream") else reply.body


def _events(body: Json) -> str:
    """The event stream of a response: its creation, its output, and its final status."""
    begun = {"type": "response.created", "response": body | {"status": "in_progress", "output": []}}
    where = {"output_index": 0, "content_index": 0, "logprobs": []}
    events: list[Json] = [begun]
    events += [
        {"type": "response.output_text.delta", "item_id": item["id"], "delta": ANSWER, **where}
        for item in body["output"]
    ]
    events.append({"type": f"response.{body['status']}", "response": body})
    return "".join(_event(number, event) for number, event in enumerate(events))


def _event(number: int, event: Json) -> str:
    data = orjson.dumps(event | {"sequence_number": number}).decode()
    return f"event: {event['type']}\ndata: {data}\n\n"


def _conversation(call: RoutedCall) -> Container | None:
    named = call.body.get("conversation")
    if named is None:
        return None
    wanted = named.get("id") if isinstance(named, dict) else named
    found = conversations.EMULATED.find(call.world, str(wanted), call.project)
    return conversations.writable(found)


def _shape(world: World, body: Json, conversation: Container | None) -> Json:
    return {
        "id": world.id("resp_"),
        "object": "response",
        "created_at": world.now(),
        "status": "in_progress",
        "background": bool(body.get("background")),
        "error": None,
        "incomplete_details": None,
        "instructions": body.get("instructions"),
        "metadata": body.get("metadata") or {},
        "model": body.get("model", "gpt-5"),
        "output": [],
        "parallel_tool_calls": True,
        "previous_response_id": body.get("previous_response_id"),
        "temperature": 1.0,
        "tool_choice": "auto",
        "tools": [],
        "top_p": 1.0,
        "conversation": None if conversation is None else {"id": conversation.id},
    }


def _begin(reply: ApiReply, conversation: Container | None) -> None:
    """Lock the conversation until the background response ends."""
    if conversation is not None:
        conversation.locked = True
    reply.body["status"] = "in_progress"


def finish(world: World, reply: ApiReply, conversation: Container | None) -> None:
    """End the response with its answer and unlock its conversation."""
    answer = conversations.message(world.id("msg_"), "assistant", ANSWER)
    reply.body |= {"status": "completed", "completed_at": world.now(), "output": [answer]}
    if conversation is not None:
        conversation.items[answer["id"]] = answer
        conversation.locked = False


def written_to(world: World, reply: ApiReply) -> Container | None:
    """The conversation that the response writes to, if it is still there."""
    named = reply.body["conversation"]
    return None if named is None else world.containers.get(named["id"])


def _found(call: RoutedCall) -> ApiReply:
    reply = call.world.replies.get(call.params["id"])
    if reply is None or reply.project != call.project:
        raise not_found("Response", call.params["id"])
    return reply


def _retrieve(call: RoutedCall) -> Json:
    return _found(call).body


def _delete(call: RoutedCall) -> Json:
    _found(call)
    del call.world.replies[call.params["id"]]
    return deleted(call.params["id"], "response") | {"object": "response"}


def _cancel(call: RoutedCall) -> Json:
    reply = _found(call)
    if not reply.body["background"]:
        raise invalid("Cannot cancel a synchronous response.")
    if reply.body["status"] == "in_progress":
        reply.body["status"] = "cancelled"
        if (conversation := written_to(call.world, reply)) is not None:
            conversation.locked = False
    return reply.body


def _input(call: RoutedCall) -> Json:
    items = _found(call).input
    return page(list(items), call.query, items.__getitem__)


def _route(method: str, path: str, call: str, handler: Handler) -> Route:
    return Route(method, f"/responses{path}", "response", call, handler)


ROUTES = (
    _route("POST", "", "create", _create),
    _route("GET", "/{id}", "retrieve", _retrieve),
    _route("DELETE", "/{id}", "delete", _delete),
    _route("POST", "/{id}/cancel", "cancel", _cancel),
    _route("GET", "/{id}/input_items", "items.list", _input),
)
