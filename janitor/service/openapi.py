"""What the HTTP API takes and gives, as an OpenAPI 3.1 document; a test holds it to the routes."""

from __future__ import annotations

from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from janitor import distribution
from janitor.catalogue import ID
from janitor.model import Kind
from janitor.service.api import LONGEST_REASON, Operations
from janitor.service.threads import EVENTS, MOST, SHOWN, VERSION, Threads
from janitor.texts import KEY_LENGTH, PAIRS, VALUE_LENGTH

PATH = "/api/openapi.json"
Schema = dict[str, Any]

NO_TEXT = ("401", "404", "405", "411", "413", "421")
"""Answers of the door, which are one line of text."""


def routes(operations: Operations, threads: Threads) -> list[Route]:
    """The whole API; the document that tells of it is given for a token of any scope."""
    return [*operations.routes(), *threads.routes(), Route(PATH, _describe, methods=["GET"])]


async def _describe(_: Request) -> Response:
    return Response(orjson.dumps(document()), media_type="application/json")


def document() -> Schema:
    """The whole document."""
    return {
        "openapi": "3.1.0",
        "info": {"title": "janitor", "version": distribution.VERSION},
        "security": [{"token": []}],
        "paths": {
            PATH: {"get": _operation("What the API takes and gives.", "any", {"type": "object"})},
            "/api/threads": {"post": _add()},
            "/api/threads/{project}/{kind}/{id}": {"patch": _change(), "parameters": _place()},
            "/api/pause": {"post": _pause()},
            "/api/resume": {"post": _resume()},
        },
        "components": {
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
            "schemas": _schemas(),
            "responses": {"Line": {"description": "In one line", "content": _line()}},
        },
    }


def _add() -> Schema:
    body = {"oneOf": [_ref("Thread"), _ref("Threads")]}
    said = "Tell of a thread, or of many. Adds and dates, never shortens or overwrites."
    return _operation(said, "register", _ref("Taken"), body, status="202", refused=_ref("Refused"))


def _change() -> Schema:
    said = "Tell of one thread, known or not, as /api/threads takes it."
    return _operation(
        said, "register", _ref("Taken"), _ref("Facts"), status="202", refused=_ref("Refused")
    )


def _pause() -> Schema:
    names = {"project": _text(), "policy": _text(), "for": _text(), "reason": _text()}
    body = _closed(names, "reason")
    until = {"type": ["string", "null"]}
    answer = _answer(scope=_text(), reason=_text(), actor={"type": "string"}, until=until)
    return _operation("Leave everything, a project or a policy alone.", "operate", answer, body)


def _resume() -> Schema:
    body = _closed({"project": _text(), "policy": _text()})
    answer = _answer(scope={"type": "string"}, actor={"type": "string"})
    return _operation("End a pause.", "operate", answer, body)


def _operation(
    said: str,
    scope: str,
    answer: Schema,
    body: Schema | None = None,
    *,
    status: str = "200",
    refused: Schema | None = None,
) -> Schema:
    error = _json(_ref("Error"))
    wrong = {"description": "What was asked wrongly", "content": error}
    described: Schema = {
        "summary": said,
        "description": f"Scope of the token: {scope}.",
        "responses": {
            status: {"description": "Done", "content": _json(answer)},
            **{code: {"$ref": "#/components/responses/Line"} for code in NO_TEXT},
            "400": wrong,
            "403": wrong,
            "422": wrong | {"content": _json(refused or _ref("Error"))},
            "503": {"description": "The registry does not answer", "content": error},
        },
    }
    if scope == "operate":
        # The path is right and what it names is not there, which is said in JSON.
        described["responses"]["404"] = wrong | {"content": error | _line()}
    if body is not None:
        described["requestBody"] = {"content": _json(body), "required": True}
    return described


def _schemas() -> Schema:
    facts = _facts()
    reason = {"index": {"type": "integer"}, "id": _or_null({"type": "string", "maxLength": SHOWN})}
    return {
        "Thread": _closed({"id": _id(), **_names(), **facts}, "id"),
        "Threads": _closed(
            {"threads": {"type": "array", "items": _ref("Thread"), "maxItems": MOST}}, "threads"
        ),
        "Facts": _closed(facts),
        "Taken": _answer(**_counts()) | {"required": ["schema", "accepted", "refused"]},
        "Refused": _answer(error={"type": "string"})
        | {"properties": {**_answer(error={"type": "string"})["properties"], **_counts()}},
        "Reason": {
            "type": "object",
            "required": ["index", "id", "reason"],
            "properties": {**reason, "reason": {"type": "string"}},
        },
        "Error": _answer(error={"type": "string"}),
    }


def _facts() -> Schema:
    return {
        "v": _or_null({"const": VERSION}),
        "event": _or_null({"enum": list(EVENTS)}),
        "at": _time("Its last activity; now, where nothing is said."),
        "last_active_at": _time("Another name for `at`."),
        "created_at": _time("When it was made."),
        "keep_until": _time("It is kept until then, or `forever`; never shortened."),
        "metadata": _or_null(
            {
                "type": "object",
                "maxProperties": PAIRS,
                "propertyNames": {"minLength": 1, "maxLength": KEY_LENGTH},
                "additionalProperties": {"type": "string", "maxLength": VALUE_LENGTH},
            }
        ),
    }


def _counts() -> Schema:
    refused = {"type": "array", "items": _ref("Reason")}
    remarks = {
        "type": "array",
        "items": _ref("Reason"),
        "description": "Times that are taken as never set: before 1973, or after the year 9999.",
    }
    return {"accepted": {"type": "integer", "minimum": 0}, "refused": refused, "remarks": remarks}


def _names() -> Schema:
    return {"kind": _or_null({"enum": [kind.value for kind in Kind]}), "project": _or_null(_id())}


def _place() -> list[Schema]:
    schemas = {"project": _id(), "kind": {"enum": [kind.value for kind in Kind]}, "id": _id()}
    return [
        {"name": name, "in": "path", "required": True, "schema": schema}
        for name, schema in schemas.items()
    ]


def _id() -> Schema:
    return {"type": "string", "pattern": f"^{ID.pattern}$"}


def _text() -> Schema:
    return {"type": "string", "minLength": 1, "maxLength": LONGEST_REASON}


def _time(said: str) -> Schema:
    return {"type": ["string", "number", "null"], "description": said}


def _or_null(schema: Schema) -> Schema:
    return {"oneOf": [schema, {"type": "null"}]}


def _closed(properties: Schema, *required: str) -> Schema:
    names = {"required": list(required)} if required else {}
    return {
        "type": "object",
        "properties": properties,
        "additionalProperties": False,
        **names,
    }


def _answer(**properties: Schema) -> Schema:
    said = {"schema": {"const": 1}, **properties}
    return {"type": "object", "properties": said, "required": list(said)}


def _ref(name: str) -> Schema:
    return {"$ref": f"#/components/schemas/{name}"}


def _json(schema: Schema) -> Schema:
    return {"application/json": {"schema": schema}}


def _line() -> Schema:
    return {"text/plain": {"schema": {"type": "string"}}}
