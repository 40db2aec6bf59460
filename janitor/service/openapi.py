"""The OpenAPI 3.1 document of the HTTP API, generated from its operations and their models."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import orjson
from pydantic import BaseModel
from pydantic.json_schema import JsonSchemaMode, models_json_schema
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from janitor import distribution
from janitor.service.bodies import ErrorAnswer
from janitor.service.endpoints import ApiOperation, Operations, Threads

PATH = "/api/openapi.json"
REFERENCE = "#/components/schemas/{model}"
Schema = dict[str, Any]
References = dict[Any, Schema]
"""A reference to the schema of each model, by model."""

NO_TEXT = ("404", "405", "411", "413", "421")
"""Status codes that are answered with one line of text instead of JSON."""


def routes(operations: Operations, threads: Threads) -> list[Route]:
    """The whole API, and the document that describes it, for a token of any scope."""
    api = [*operations.api(), *threads.api()]
    described = orjson.dumps(document(api))

    async def describe(_: Request) -> Response:
        return Response(described, media_type="application/json")

    return [*(one.route() for one in api), Route(PATH, describe, methods=["GET"])]


def document(api: Sequence[ApiOperation]) -> Schema:
    """The whole document."""
    schemas, references = _schemas(api)
    given = {"description": "Done", "content": _json({"type": "object"})}
    itself = {
        "summary": "What the API takes and gives.",
        "description": "Scope of the token: any.",
        "responses": {"200": given, **_refusals(references, (ErrorAnswer,))},
    }
    paths: Schema = {PATH: {"get": itself}}
    for one in api:
        paths[one.path] = {one.method.lower(): _operation(one, references), **_place(one)}
    return {
        "openapi": "3.1.0",
        "info": {"title": "janitor", "version": distribution.VERSION},
        "security": [{"token": []}],
        "paths": paths,
        "components": {
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
            "schemas": schemas,
            "responses": {"Line": {"description": "In one line", "content": _line()}},
        },
    }


def _schemas(api: Sequence[ApiOperation]) -> tuple[Schema, References]:
    """The schemas of all models by name, and a reference to that of each model."""
    modes: dict[tuple[type[BaseModel], JsonSchemaMode], None]
    modes = {(ErrorAnswer, "serialization"): None}
    for one in api:
        modes[one.body, "validation"] = None
        modes |= {(model, "serialization"): None for model in (one.answer, *one.refusals)}
    found, whole = models_json_schema(list(modes), ref_template=REFERENCE)
    return whole["$defs"], {model: schema for (model, _), schema in found.items()}


def _operation(one: ApiOperation, references: References) -> Schema:
    described: Schema = {
        "summary": one.summary,
        "description": f"Scope of the token: {one.scope}.",
        "requestBody": {"content": _json(references[one.body]), "required": True},
        "responses": {
            str(one.status): {"description": "Done", "content": _json(references[one.answer])},
            **_refusals(references, one.refusals),
        },
    }
    if one.finds:
        # If the path is right but what the body names does not exist, the answer is JSON.
        either = _line() | _json(references[ErrorAnswer])
        described["responses"]["404"] = {"description": "Not there", "content": either}
    return described


def _refusals(references: References, wrong: Sequence[type[ErrorAnswer]]) -> Schema:
    error = _json(references[ErrorAnswer])
    listed = [references[model] for model in wrong]
    content = _json({"anyOf": listed} if len(listed) > 1 else listed[0])
    return {
        **{code: {"$ref": "#/components/responses/Line"} for code in NO_TEXT},
        "400": {"description": "The body is not one well-formed JSON object", "content": error},
        "401": {"description": "A token is required", "content": error},
        "403": {"description": "The token is of another scope", "content": error},
        "422": {"description": "What was wrong with the request", "content": content},
        "503": {"description": "The registry does not answer", "content": error},
    }


def _place(one: ApiOperation) -> Schema:
    """The parameters of a path, if it has any."""
    if one.names is None:
        return {}
    inline = one.names.model_json_schema(ref_template=REFERENCE)
    return {
        "parameters": [
            {"name": name, "in": "path", "required": True, "schema": schema}
            for name, schema in inline["properties"].items()
        ]
    }


def _json(schema: Schema) -> Schema:
    return {"application/json": {"schema": schema}}


def _line() -> Schema:
    return {"text/plain": {"schema": {"type": "string"}}}
