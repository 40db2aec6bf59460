"""Agent sessions and their items. Source: SDK 3.52, `beta.agents.sessions`.

Turns, artifacts, traces, events to be streamed and subagents answer 404.
"""

from __future__ import annotations

from functools import partial

from janitor.emulator import limits
from janitor.emulator.errors import Json, invalid, session_running
from janitor.emulator.kind import EmulatedKind
from janitor.emulator.pages import page
from janitor.emulator.routes import RoutedCall, route
from janitor.emulator.state import Container, World
from janitor.kinds import Kind

ANSWER = "Noted."

_FIELDS = frozenset(
    {
        "agent",
        "agent_id",
        "environment",
        "input",
        "metadata",
        "prompt_cache_options",
        "review",
        "spend_control",
        "stream",
        "stream_options",
        "vault_ids",
    }
)
_CHANGEABLE = frozenset({"agent", "metadata", "prompt_cache_options", "review", "spend_control"})


def item(session: Container, id: str, role: str, text: str) -> Json:
    """A message with one text, in a turn of the session."""
    kind = "output_text" if role == "assistant" else "input_text"
    return {
        "id": id,
        "type": "message",
        "role": role,
        "status": "completed",
        "phase": "final_answer" if role == "assistant" else None,
        "turn_id": f"turn_{session.id}",
        "content": [{"type": kind, "text": text}],
    }


def agent(id: str, given: Json) -> Json:
    """The agent of a session, with every field that the API always sends."""
    return {
        "id": id,
        "instructions": given.get("instructions"),
        "model": given.get("model", "gpt-5"),
        "multi_agent": {"enabled": False, "max_concurrent_subagents": None},
        "name": None,
        "reasoning": {"effort": None, "summary": None} | (given.get("reasoning") or {}),
        "service_tier": given.get("service_tier") or "auto",
        "text": {"format": {"type": "text"}, "verbosity": "medium"},
        "tools": given.get("tools") or [],
    }


def show(session: Container) -> Json:
    """The session as the API sends it."""
    return {
        "id": session.id,
        "object": EMULATED.trait.noun,
        "created_at": session.created_at,
        "last_active_at": session.last_active_at,
        "status": "in_progress" if session.locked else "idle",
        "agent": session.facts.get("agent") or agent("agent_emulated", {}),
        "environment": session.facts.get("environment") or {"type": "none"},
        "error": None,
        "metadata": session.metadata,
        "required_actions": [],
        "usage": None,
        "vault_ids": session.facts.get("vault_ids") or [],
    }


def say(world: World, session: Container, role: str, text: str) -> None:
    """Add a message; that is activity."""
    added = item(session, world.id("item_"), role, text)
    session.items[added["id"]] = added
    session.last_active_at = world.now()


def touch(world: World, session: Container) -> None:
    """Make the session active now, which takes no new item."""
    session.last_active_at = world.now()


def _take(world: World, session: Container, given: object) -> None:
    messages = [{"content": given}] if isinstance(given, str) else given
    if not isinstance(messages, list):
        raise invalid("Invalid type for 'input'.", param="input", code="invalid_type")
    for message in messages:
        say(world, session, "user", _words(message.get("content")))
    say(world, session, "assistant", ANSWER)


def _words(content: object) -> str:
    if isinstance(content, str):
        return content
    parts = content if isinstance(content, list) else []
    return "".join(part.get("text", "") for part in parts)


def _create(call: RoutedCall) -> Json:
    body = call.body
    limits.known(body, _FIELDS)
    environment = limits.required(body, "environment")
    metadata = limits.metadata(body.get("metadata"))
    facts = {
        "agent": agent(body.get("agent_id") or call.world.id("agent_"), body.get("agent") or {}),
        "environment": environment,
        "vault_ids": body.get("vault_ids") or [],
    }
    session = EMULATED.add(call.world, call.project, metadata=metadata, facts=facts)
    if body.get("input"):
        _take(call.world, session, body["input"])
    return show(session)


def _retrieve(call: RoutedCall) -> Json:
    return show(EMULATED.found(call))


def _update(call: RoutedCall) -> Json:
    session = EMULATED.found(call)
    limits.known(call.body, _CHANGEABLE)
    if "metadata" in call.body:
        session.metadata = limits.metadata(call.body["metadata"])
    if call.body.get("agent"):
        session.facts["agent"] = show(session)["agent"] | call.body["agent"]
    return show(session)


def _list(call: RoutedCall) -> Json:
    wanted = _metadata_asked(call)
    root = call.query.get("agent_id")
    ids = [
        session.id
        for session in call.world.of(Kind.AGENT_SESSION, call.project)
        if wanted.items() <= session.metadata.items()
        and root in {None, show(session)["agent"]["id"]}
    ]
    return page(ids, call.query, lambda named: show(call.world.named(named)))


def _metadata_asked(call: RoutedCall) -> dict[str, str]:
    asked = {
        name[len("metadata[") : -1]: value
        for name, value in call.query.items()
        if name.startswith("metadata[") and name.endswith("]")
    }
    return limits.metadata(asked)


def _delete(call: RoutedCall) -> Json:
    session = EMULATED.found(call)
    if session.locked:
        raise session_running(session.id)
    return call.world.remove(session)


def _items(call: RoutedCall) -> Json:
    items = EMULATED.found(call).items
    return page(list(items), call.query, items.__getitem__)


def _submit(call: RoutedCall) -> Json:
    session = EMULATED.found(call)
    events = limits.required(call.body, "events")
    for event in events if isinstance(events, list) else []:
        if event.get("type") == "agent.session.input.cancel":
            session.locked = False
        elif event.get("type") == "agent.session.input.message":
            _take(call.world, session, event.get("input"))
    return {}


def _undated(session: Container, id: str, role: str, text: str, _: int) -> Json:
    return item(session, id, role, text)


_route = partial(route, Kind.AGENT_SESSION)

ROUTES = (
    _route("POST", "", "create", _create),
    _route("GET", "", "list", _list),
    _route("GET", "/{id}", "retrieve", _retrieve),
    _route("POST", "/{id}", "update", _update),
    _route("DELETE", "/{id}", "delete", _delete),
    _route("GET", "/{id}/items", "items.list", _items),
    _route("POST", "/{id}/events", "items.create", _submit),
)

EMULATED = EmulatedKind(
    kind=Kind.AGENT_SESSION,
    name="Session",
    item_prefix="item_",
    prefix="sess_",
    routes=ROUTES,
    show=show,
    item=_undated,
    locked=session_running,
    touch=touch,
)
