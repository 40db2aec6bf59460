"""Assistants threads, their messages and runs. Source: the API description's `/threads` paths.

Tests set the states of runs.
"""

from __future__ import annotations

from functools import partial
from typing import cast

from janitor.emulator import limits
from janitor.emulator.errors import ApiError, Json, invalid, not_found, run_active
from janitor.emulator.kind import EmulatedKind
from janitor.emulator.pages import page
from janitor.emulator.routes import RoutedCall, route
from janitor.emulator.state import ACTIVE_RUN, Container, World, deleted
from janitor.kinds import Kind

ANSWER = "Noted."
LIFE = 600

_STAMP = {"completed": "completed_at", "cancelled": "cancelled_at", "failed": "failed_at"}


def message(thread: Container, id: str, role: str, text: str, at: int) -> Json:
    """A message with one text, as the API sends it."""
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
        "object": EMULATED.trait.noun,
        "created_at": thread.created_at,
        "tool_resources": thread.facts.get("tool_resources", {}),
        "metadata": thread.metadata,
    }


def start(call: RoutedCall, body: Json) -> Container:
    """A new thread with the messages in `body`."""
    limits.known(body, {"messages", "metadata", "tool_resources"})
    metadata = limits.metadata(body.get("metadata"))
    facts = {"tool_resources": body.get("tool_resources") or {}}
    thread = EMULATED.add(call.world, call.project, metadata=metadata, facts=facts)
    for given in body.get("messages") or []:
        post(call.world, thread, given)
    return thread


def _create(call: RoutedCall) -> Json:
    return show(start(call, call.body))


def _retrieve(call: RoutedCall) -> Json:
    return show(EMULATED.found(call))


def _update(call: RoutedCall) -> Json:
    thread = EMULATED.found(call)
    limits.known(call.body, {"metadata", "tool_resources"})
    if "metadata" in call.body:
        thread.metadata = limits.metadata(call.body["metadata"])
    if "tool_resources" in call.body:
        thread.facts["tool_resources"] = call.body["tool_resources"] or {}
    return show(thread)


def _delete(call: RoutedCall) -> Json:
    return call.world.remove(EMULATED.found(call))


def _messages(call: RoutedCall) -> Json:
    items, run = EMULATED.found(call).items, call.query.get("run_id")
    ids = [name for name, item in items.items() if run is None or item["run_id"] == run]
    return page(ids, call.query, items.__getitem__)


def _post(call: RoutedCall) -> Json:
    thread = EMULATED.found(call)
    if (run := thread.active_run()) is not None:
        raise run_active(thread.id, run)
    return post(call.world, thread, call.body)


def _message(call: RoutedCall) -> Json:
    items, wanted = EMULATED.found(call).items, call.params["item"]
    if wanted not in items:
        raise not_found("Message", wanted)
    return items[wanted]


def _update_message(call: RoutedCall) -> Json:
    changed = _message(call)
    limits.known(call.body, {"metadata"})
    changed["metadata"] = limits.metadata(call.body.get("metadata"))
    return changed


def _delete_message(call: RoutedCall) -> Json:
    gone = _message(call)["id"]
    del EMULATED.found(call).items[gone]
    return deleted(gone, "thread.message")


def begin(world: World, thread: Container, body: Json, status: str = "queued") -> Json:
    """A new run with that status on the thread; it stays so until its status is set."""
    now = world.now()
    run = {
        "id": world.id("run_"),
        "object": "thread.run",
        "created_at": now,
        "thread_id": thread.id,
        "assistant_id": body.get("assistant_id", "asst_emulated"),
        "status": "queued",
        "required_action": None,
        "last_error": None,
        "expires_at": now + LIFE,
        "started_at": None,
        "cancelled_at": None,
        "failed_at": None,
        "completed_at": None,
        "incomplete_details": None,
        "model": body.get("model") or "gpt-4o",
        "instructions": body.get("instructions") or "",
        "tools": body.get("tools") or [],
        "metadata": limits.metadata(body.get("metadata")),
        "usage": None,
        "temperature": 1.0,
        "top_p": 1.0,
        "max_prompt_tokens": None,
        "max_completion_tokens": None,
        "truncation_strategy": {"type": "auto", "last_messages": None},
        "tool_choice": "auto",
        "parallel_tool_calls": True,
        "response_format": "auto",
    }
    thread.runs[cast("str", run["id"])] = run
    settle(world, thread, run, status)
    return run


def settle(world: World, thread: Container, run: Json, status: str) -> None:
    """Move a run to a status; a completed run leaves a message and a step."""
    now = world.now()
    run["status"] = status
    if status != "queued" and run["started_at"] is None:
        run["started_at"] = now
    if status in _STAMP:
        run[_STAMP[status]] = now
    if status not in ACTIVE_RUN:
        run["expires_at"] = None
        run["usage"] = {"completion_tokens": 1, "prompt_tokens": 1, "total_tokens": 2}
    if status == "completed":
        _answer(world, thread, run, now)


def _answer(world: World, thread: Container, run: Json, now: int) -> None:
    added = message(thread, world.id("msg_"), "assistant", ANSWER, now)
    added |= {"assistant_id": run["assistant_id"], "run_id": run["id"]}
    thread.items[added["id"]] = added
    steps = thread.facts.setdefault("steps", {}).setdefault(run["id"], {})
    step = _step(world, run, added["id"], now)
    steps[step["id"]] = step


def _step(world: World, run: Json, written: str, now: int) -> Json:
    return {
        "id": world.id("step_"),
        "object": "thread.run.step",
        "created_at": now,
        "assistant_id": run["assistant_id"],
        "thread_id": run["thread_id"],
        "run_id": run["id"],
        "type": "message_creation",
        "status": "completed",
        "step_details": {
            "type": "message_creation",
            "message_creation": {"message_id": written},
        },
        "last_error": None,
        "expired_at": None,
        "cancelled_at": None,
        "failed_at": None,
        "completed_at": now,
        "metadata": {},
        "usage": run["usage"],
    }


def _refuse_second(thread: Container) -> None:
    if (active := thread.active_run()) is not None:
        raise invalid(f"Thread {thread.id} already has an active run {active}.")


def _create_run(call: RoutedCall) -> Json:
    thread = EMULATED.found(call)
    limits.required(call.body, "assistant_id")
    _refuse_second(thread)
    return begin(call.world, thread, call.body)


def _create_and_run(call: RoutedCall) -> Json:
    limits.required(call.body, "assistant_id")
    thread = start(call, call.body.get("thread") or {})
    return begin(call.world, thread, call.body)


def _list_runs(call: RoutedCall) -> Json:
    runs = EMULATED.found(call).runs
    return page(list(runs), call.query, runs.__getitem__)


def _retrieve_run(call: RoutedCall) -> Json:
    runs, wanted = EMULATED.found(call).runs, call.params["run"]
    if wanted not in runs:
        raise not_found("Run", wanted)
    return runs[wanted]


def _update_run(call: RoutedCall) -> Json:
    run = _retrieve_run(call)
    run["metadata"] = limits.metadata(call.body.get("metadata"))
    return run


def _cancel(call: RoutedCall) -> Json:
    run = _retrieve_run(call)
    if run["status"] not in ACTIVE_RUN:
        raise invalid(f"Cannot cancel run with status '{run['status']}'.")
    settle(call.world, EMULATED.found(call), run, "cancelled")
    return run


def _submit(call: RoutedCall) -> Json:
    run = _retrieve_run(call)
    if run["status"] != "requires_action":
        raise invalid(f"Runs in status '{run['status']}' do not accept tool outputs.")
    settle(call.world, EMULATED.found(call), run, "in_progress")
    return run


def _steps_of(call: RoutedCall) -> dict[str, Json]:
    steps = EMULATED.found(call).facts.get("steps", {})
    return cast("dict[str, Json]", steps.get(_retrieve_run(call)["id"], {}))


def _steps(call: RoutedCall) -> Json:
    steps = _steps_of(call)
    return page(list(steps), call.query, steps.__getitem__)


def _retrieve_step(call: RoutedCall) -> Json:
    steps, wanted = _steps_of(call), call.params["step"]
    if wanted not in steps:
        raise not_found("Run step", wanted)
    return steps[wanted]


def _locked(id: str) -> ApiError:
    return run_active(id, "run_emulated")


def _start_run(world: World, thread: Container, status: str) -> str:
    return str(begin(world, thread, {}, status)["id"])


_route = partial(route, Kind.THREAD)

ROUTES = (
    _route("POST", "", "create", _create),
    _route("GET", "/{id}", "retrieve", _retrieve),
    _route("POST", "/{id}", "update", _update),
    _route("DELETE", "/{id}", "delete", _delete),
    _route("GET", "/{id}/messages", "items.list", _messages),
    _route("POST", "/{id}/messages", "items.create", _post),
    _route("GET", "/{id}/messages/{item}", "items.retrieve", _message),
    _route("POST", "/{id}/messages/{item}", "items.update", _update_message),
    _route("DELETE", "/{id}/messages/{item}", "items.delete", _delete_message),
    _route("POST", "/runs", "create_and_run", _create_and_run),
    _route("GET", "/{id}/runs", "runs.list", _list_runs),
    _route("POST", "/{id}/runs", "runs.create", _create_run),
    _route("GET", "/{id}/runs/{run}", "runs.retrieve", _retrieve_run),
    _route("POST", "/{id}/runs/{run}", "runs.update", _update_run),
    _route("POST", "/{id}/runs/{run}/cancel", "runs.cancel", _cancel),
    _route("POST", "/{id}/runs/{run}/submit_tool_outputs", "runs.submit", _submit),
    _route("GET", "/{id}/runs/{run}/steps", "runs.steps.list", _steps),
    _route("GET", "/{id}/runs/{run}/steps/{step}", "runs.steps.retrieve", _retrieve_step),
)

EMULATED = EmulatedKind(
    kind=Kind.THREAD,
    name="Thread",
    item_prefix="msg_",
    routes=ROUTES,
    show=show,
    item=message,
    locked=_locked,
    start_run=_start_run,
)
