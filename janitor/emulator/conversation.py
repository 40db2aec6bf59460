"""Conversations and their items. Source: the API description's `/conversations` paths."""

from __future__ import annotations

from functools import partial

from janitor.emulator import limits
from janitor.emulator.errors import Json, conversation_locked, invalid, not_found
from janitor.emulator.kind import EmulatedKind
from janitor.emulator.pages import page
from janitor.emulator.routes import RoutedCall, route
from janitor.emulator.state import Container, World
from janitor.kinds import Kind

ITEMS_AT_ONCE = 20

_PREFIX = {
    "message": "msg_",
    "function_call": "fc_",
    "function_call_output": "fco_",
    "reasoning": "rs_",
}


def message(id: str, role: str, text: str) -> Json:
    """A message item with one text."""
    return {
        "id": id,
        "type": "message",
        "status": "completed",
        "role": role,
        "content": [_text(role, text)],
    }


def _text(role: str, text: str) -> Json:
    if role == "assistant":
        return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}
    return {"type": "input_text", "text": text}


def taken(world: World, given: object) -> dict[str, Json]:
    """Input items as the API stores them, by their new ids, oldest first."""
    if isinstance(given, str):
        given = [{"role": "user", "content": given}]
    if not isinstance(given, list):
        raise invalid("Invalid type for 'items'.", param="items", code="invalid_type")
    if len(given) > ITEMS_AT_ONCE:
        text = f"Invalid 'items': at most {ITEMS_AT_ONCE} at a time, got {len(given)}."
        raise invalid(text, param="items", code="array_above_max_length")
    items = [_taken(world, item) for item in given]
    return {item["id"]: item for item in items}


def _taken(world: World, item: Json) -> Json:
    kind = item.get("type", "message")
    own = item.get("id") or world.id(_PREFIX.get(kind, "item_"))
    if kind != "message":
        return {"status": "completed", **item, "id": own, "type": kind}
    role, content = item.get("role", "user"), item.get("content")
    if isinstance(content, str):
        return message(own, role, content)
    return {
        "id": own,
        "type": "message",
        "status": item.get("status", "completed"),
        "role": role,
        "content": [_part(part) for part in content or []],
    }


def _part(part: Json) -> Json:
    if part.get("type") == "output_text":
        return {"annotations": [], "logprobs": [], **part}
    return part


def show(conversation: Container) -> Json:
    """The conversation as the API sends it."""
    return {
        "id": conversation.id,
        "object": EMULATED.trait.noun,
        "created_at": conversation.created_at,
        "metadata": conversation.metadata,
    }


def writable(conversation: Container) -> Container:
    """The conversation, unless a response is being written to it."""
    if conversation.locked:
        raise conversation_locked(conversation.id)
    return conversation


def _create(call: RoutedCall) -> Json:
    limits.known(call.body, {"metadata", "items"})
    metadata = limits.metadata(call.body.get("metadata"))
    items = taken(call.world, call.body.get("items") or [])
    conversation = EMULATED.add(call.world, call.project, metadata=metadata)
    conversation.items = items
    return show(conversation)


def _retrieve(call: RoutedCall) -> Json:
    return show(EMULATED.found(call))


def _update(call: RoutedCall) -> Json:
    conversation = writable(EMULATED.found(call))
    limits.known(call.body, {"metadata"})
    conversation.metadata = limits.metadata(limits.required(call.body, "metadata"))
    return show(conversation)


def _delete(call: RoutedCall) -> Json:
    return call.world.remove(writable(EMULATED.found(call)))


def _items(call: RoutedCall) -> Json:
    items = EMULATED.found(call).items
    return page(list(items), call.query, items.__getitem__)


def _add_items(call: RoutedCall) -> Json:
    conversation = writable(EMULATED.found(call))
    items = taken(call.world, limits.required(call.body, "items"))
    conversation.items.update(items)
    ids = list(items)
    return page(ids, {"order": "asc"}, items.__getitem__)


def _item(conversation: Container, id: str) -> Json:
    if id not in conversation.items:
        raise not_found("Item", id)
    return conversation.items[id]


def _retrieve_item(call: RoutedCall) -> Json:
    # It is undocumented whether an item that outlives its conversation can still be read.
    orphans = call.world.orphans.get(call.params["id"], {})
    if (orphan := orphans.get(call.params["item"])) is not None:
        return orphan
    return _item(EMULATED.found(call), call.params["item"])


def _delete_item(call: RoutedCall) -> Json:
    conversation = writable(EMULATED.found(call))
    _item(conversation, call.params["item"])
    del conversation.items[call.params["item"]]
    return show(conversation)


def _undated(_: Container, id: str, role: str, text: str, __: int) -> Json:
    return message(id, role, text)


_route = partial(route, Kind.CONVERSATION)

ROUTES = (
    _route("POST", "", "create", _create),
    _route("GET", "/{id}", "retrieve", _retrieve),
    _route("POST", "/{id}", "update", _update),
    _route("DELETE", "/{id}", "delete", _delete),
    _route("GET", "/{id}/items", "items.list", _items),
    _route("POST", "/{id}/items", "items.create", _add_items),
    _route("GET", "/{id}/items/{item}", "items.retrieve", _retrieve_item),
    _route("DELETE", "/{id}/items/{item}", "items.delete", _delete_item),
)

EMULATED = EmulatedKind(
    kind=Kind.CONVERSATION,
    name="Conversation",
    item_prefix="msg_",
    routes=ROUTES,
    show=show,
    item=_undated,
    locked=conversation_locked,
)
