"""The document that the API gives of itself is true, and each scope opens what it says, no more."""

from __future__ import annotations

import json
from itertools import product
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from operated import BEARERS, NOW, Operated

from janitor.model import Key, Kind
from janitor.registry import Pause, Registration
from janitor.service.endpoints import Operations, Threads, TokenScope
from janitor.service.openapi import PATH, document, routes

THREAD = "/api/threads/main/conversation/conv_1"
OPENS = {
    ("POST", "/api/threads"): TokenScope.REGISTER,
    ("PATCH", THREAD): TokenScope.REGISTER,
    ("POST", "/api/pause"): TokenScope.OPERATE,
    ("POST", "/api/resume"): TokenScope.OPERATE,
}
METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE")
PATHS = ("/", "/api", "/api/holds", "/api/threads", THREAD, "/api/pause", "/api/resume", PATH)
BODIES = {"/api/threads": {"id": "conv_2", "project": "main"}, "/api/pause": {"reason": "r"}}


THREADS = Threads(lambda _: 0, frozenset, lambda: NOW)
OPERATIONS = Operations(lambda _: None, lambda _: True, frozenset, frozenset, lambda: NOW)


def described() -> dict[str, Any]:
    return document([*OPERATIONS.api(), *THREADS.api()])


def test_the_document_names_every_route_and_no_other() -> None:
    served = {
        (route.path, method.lower())
        for route in routes(OPERATIONS, THREADS)
        for method in (route.methods or set()) - {"HEAD"}
    }
    told = {
        (path, method)
        for path, item in described()["paths"].items()
        for method in item
        if method != "parameters"
    }
    assert told == served


def test_it_is_given_for_any_token_and_for_none_it_is_not(operated: Operated) -> None:
    for bearer in BEARERS.values():
        status, said = operated.ask(PATH, b"", bearer, "GET")
        assert (status, said["openapi"]) == (200, "3.1.0")
        assert said == json.loads(json.dumps(described()))
    assert operated.ask(PATH, b"", None, "GET")[0] == 401


def test_every_reference_leads_somewhere_and_every_schema_is_one() -> None:
    whole = described()
    for schema in whole["components"]["schemas"].values():
        Draft202012Validator.check_schema(schema)
    for reference in references(whole):
        found = whole
        for part in reference.removeprefix("#/").split("/"):
            found = found[part]


def references(said: object) -> list[str]:
    match said:
        case {"$ref": str(reference)}:
            return [reference]
        case dict():
            return [one for value in said.values() for one in references(value)]
        case list():
            return [one for value in said for one in references(value)]
        case _:
            return []


@pytest.mark.parametrize("scope", [*TokenScope, None])
def test_a_token_opens_what_its_scope_says_and_nothing_else(
    operated: Operated, scope: TokenScope | None
) -> None:
    bearer = BEARERS[scope] if scope else None
    operated.registry.pauses.add(Pause("project:main", "r", "somebody", NOW, None))
    operated.registry.registrations.add([Registration(Key("main", Kind.THREAD, "t"))], NOW)
    for method, path in product(METHODS, PATHS):
        body = json.dumps(BODIES.get(path, {})).encode()
        status, said = operated.ask(path, body, bearer, method)
        wanted = OPENS.get((method, path))
        if scope is None:
            assert (status, said["error"]) == (401, "a token is required"), (method, path)
        elif wanted is None:
            expected = {200} if (method, path) == ("GET", PATH) else {404, 405}
            assert status in expected, (method, path)
        elif wanted is not scope:
            assert status == 403, (method, path)
            assert said["error"] == f"this needs a token of the scope {wanted}"
        else:
            assert status in {200, 202, 404}, (method, path, said)
    registers = scope is TokenScope.REGISTER
    assert len(operated.paused()) == 1
    assert operated.registry.inbox.undrained() == 2 * registers
    assert set(operated.drained()) == ({"t", "conv_1", "conv_2"} if registers else {"t"})
