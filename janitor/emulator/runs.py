"""Runs on Assistants threads, and their steps. Their states are set by the test."""

from __future__ import annotations

from typing import cast

from janitor.emulator import limits
from janitor.emulator.errors import Json, invalid, not_found
from janitor.emulator.pages import page
from janitor.emulator.routes import Call
from janitor.emulator.state import ACTIVE_RUN, Container, World
from janitor.emulator.threads import found, message, route, start

ANSWER = "Noted."
LIFE = 600

_STAMP = {"completed": "completed_at", "cancelled": "cancelled_at", "failed": "failed_at"}


def begin(world: World, thread: Container, body: Json, status: str = "queued") -> Json:
    """A new run of that status on the thread; it goes on until somebody sets its status."""
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


def _create(call: Call) -> Json:
    thread = found(call)
    limits.required(call.body, "assistant_id")
    _refuse_second(thread)
    return begin(call.world, thread, call.body)


def _create_both(call: Call) -> Json:
    limits.required(call.body, "assistant_id")
    thread = start(call, call.body.get("thread") or {})
    return begin(call.world, thread, call.body)


def _list(call: Call) -> Json:
    runs = found(call).runs
    return page(list(runs), call.query, runs.__getitem__)


def _retrieve(call: Call) -> Json:
    runs, wanted = found(call).runs, call.params["run"]
    if wanted not in runs:
        raise not_found("Run", wanted)
    return runs[wanted]


def _update(call: Call) -> Json:
    run = _retrieve(call)
    run["metadata"] = limits.metadata(call.body.get("metadata"))
    return run


def _cancel(call: Call) -> Json:
    run = _retrieve(call)
    if run["status"] not in ACTIVE_RUN:
        raise invalid(f"Cannot cancel run with status '{run['status']}'.")
    settle(call.world, found(call), run, "cancelled")
    return run


def _submit(call: Call) -> Json:
    run = _retrieve(call)
    if run["status"] != "requires_action":
        raise invalid(f"Runs in status '{run['status']}' do not accept tool outputs.")
    settle(call.world, found(call), run, "in_progress")
    return run


def _steps_of(call: Call) -> dict[str, Json]:
    steps = found(call).facts.get("steps", {})
    return cast("dict[str, Json]", steps.get(_retrieve(call)["id"], {}))


def _steps(call: Call) -> Json:
    steps = _steps_of(call)
    return page(list(steps), call.query, steps.__getitem__)


def _retrieve_step(call: Call) -> Json:
    steps, wanted = _steps_of(call), call.params["step"]
    if wanted not in steps:
        raise not_found("Run step", wanted)
    return steps[wanted]


ROUTES = (
    route("POST", "/runs", "create_and_run", _create_both),
    route("GET", "/{id}/runs", "runs.list", _list),
    route("POST", "/{id}/runs", "runs.create", _create),
    route("GET", "/{id}/runs/{run}", "runs.retrieve", _retrieve),
    route("POST", "/{id}/runs/{run}", "runs.update", _update),
    route("POST", "/{id}/runs/{run}/cancel", "runs.cancel", _cancel),
    route("POST", "/{id}/runs/{run}/submit_tool_outputs", "runs.submit", _submit),
    route("GET", "/{id}/runs/{run}/steps", "runs.steps.list", _steps),
    route("GET", "/{id}/runs/{run}/steps/{step}", "runs.steps.retrieve", _retrieve_step),
)
