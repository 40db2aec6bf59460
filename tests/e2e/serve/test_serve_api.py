"""The API of a running service against its own description: no request is a fault of ours.

How many requests are made of each call, by each token, is given by JANITOR_SCALE (default 10).
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.core.result import Ok
from schemathesis.schemas import APIOperation
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)
from world import World

from janitor.service.openapi import PATH
from serve.serving import Serving, Start, scheduled

EXAMPLES = int(os.environ.get("JANITOR_SCALE", "10"))
SCOPES = {"app": "register", "ops": "operate", "audit": "read"}
OPENS = {
    "register": {PATH, "/api/threads", "/api/threads/{project}/{kind}/{id}"},
    "operate": {PATH, "/api/pause", "/api/resume"},
    "read": {PATH},
}
TIMES = ("at", "created_at", "last_active_at", "keep_until")
AT = "2026-01-31T12:00:00Z"
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
]
Case = schemathesis.Case[Any]
Operation = APIOperation[Any, Any, Any, Any]


@pytest.fixture
def served(world: World, serving: Start) -> Serving:
    tokens = ", ".join(
        f"{name}: {{env: TOKEN_OF_{name.upper()}, scope: {scope}}}"
        for name, scope in SCOPES.items()
    )
    scheduled(world, more=f"tokens: {{{tokens}}}")
    return serving(**{f"TOKEN_OF_{name.upper()}": f"secret-of-{name}" for name in SCOPES})


@pytest.fixture
def session() -> Iterator[requests.Session]:
    with requests.Session() as made:
        yield made


def aimed(case: Case) -> Case:
    """A sound request of a project that there is: nothing else would get further than its name."""
    said: dict[str, Any] = case.body if isinstance(case.body, dict) else {}
    if "project" in case.path_parameters:
        case.path_parameters.update(project="main", kind="thread")
    for one in (said, *said.get("threads", ())):
        if "id" in one:
            one.update(project="main", kind="thread")
        dated = [name for name in TIMES if one.get(name) is not None]
        one.update(dict.fromkeys(dated, AT) | {"last_active_at": None} if dated else {})
    return case


def answers(session: requests.Session, address: str, operation: Operation, number: int) -> set[int]:
    """The statuses of many requests, sound and odd, each answer judged by the description."""
    seen: set[int] = set()
    # A call that takes nothing cannot be asked wrongly.
    modes = [*GenerationMode] if operation.body else [GenerationMode.POSITIVE]
    kinds = [operation.as_strategy(generation_mode=mode) for mode in modes]
    if operation.path.startswith("/api/threads"):
        kinds.append(kinds[0].map(aimed))

    @settings(
        max_examples=number, deadline=None, database=None, suppress_health_check=[*HealthCheck]
    )
    def judge(case: Case) -> None:
        answer = case.call(base_url=address, session=session)
        case.validate_response(answer, checks=CHECKS)
        seen.add(answer.status_code)

    for kind in kinds:
        given(case=kind)(judge)()
    return seen


def test_whatever_is_sent_is_answered_as_described_and_by_scope(
    world: World, served: Serving, session: requests.Session
) -> None:
    address = f"http://127.0.0.1:{served.port}"
    for name, scope in SCOPES.items():
        session.headers["Authorization"] = f"Bearer secret-of-{name}"
        described = session.get(f"{address}/api/openapi.json", timeout=240).json()
        for found in schemathesis.openapi.from_dict(described).get_all_operations():
            assert isinstance(found, Ok)
            operation = found.ok()
            is_open = operation.path in OPENS[scope]
            number = EXAMPLES if is_open else 1 + EXAMPLES // 5
            seen = answers(session, address, operation, number)
            if is_open:
                assert seen & {200, 202, 404}, (operation.path, seen)
                assert 403 not in seen
            else:
                assert seen <= {401, 403, 404, 405, 413}, (operation.path, seen)
    assert {row["project"] for row in world.run("--output", "jsonl", "list").lines} <= {"main"}
    assert "Traceback" not in served.text
