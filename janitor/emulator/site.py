"""All that one served emulator consists of, and how it carries out a request."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

import orjson

from janitor.emulator import agents, chatkit, conversations, lists, responses, runs, threads
from janitor.emulator.errors import (
    ApiError,
    Json,
    beta_required,
    invalid,
    not_allowed,
    unauthorized,
    unknown_path,
)
from janitor.emulator.faults import Faults
from janitor.emulator.log import Entry, Log
from janitor.emulator.quota import Quota
from janitor.emulator.routes import Call, Route, Table
from janitor.emulator.state import World

BASE = "/v1"
TABLE = Table(
    (
        *conversations.ROUTES,
        *responses.ROUTES,
        *threads.ROUTES,
        *runs.ROUTES,
        *chatkit.ROUTES,
        *agents.ROUTES,
    )
)
WIDER = Table((*TABLE.routes, *lists.ROUTES))
"""With the lists that the API does not have, for a server that has them."""


def table_of(world: World) -> Table:
    """The calls that the server has."""
    return WIDER if world.lists_all else TABLE


@dataclass(frozen=True, slots=True)
class Answer:
    """What goes back: JSON, or a text where `content` is one."""

    status: int
    content: object
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Asked:
    """A request as it came in; `betas` is its `OpenAI-Beta` header."""

    entry: Entry
    route: Route | None
    params: Mapping[str, str]
    query: Mapping[str, str]
    key: str | None
    betas: str
    raw: bytes

    @cached_property
    def body(self) -> Json:
        """The JSON object that was sent."""
        if not self.raw:
            return {}
        try:
            body = orjson.loads(self.raw)
        except orjson.JSONDecodeError as error:
            raise invalid("We could not parse the JSON body of your request.") from error
        if not isinstance(body, dict):
            raise invalid("The body of your request must be a JSON object.")
        return body


@dataclass(slots=True)
class Site:
    """One emulated server: what it holds, who may come in, and what was asked of it."""

    world: World
    keys: Mapping[str, str]
    quota: Quota
    latency: float = 0.0
    faults: Faults = field(default_factory=Faults)
    log: Log = field(default_factory=Log)

    def perform(self, asked: Asked) -> Answer:
        """Carry the request out as the API would."""
        headers: dict[str, str] = {}
        with self.world.lock:
            try:
                content = self._perform(asked, headers)
            except ApiError as error:
                return Answer(error.status, error.body, headers)
        return Answer(200, content, headers)

    def _perform(self, asked: Asked, headers: dict[str, str]) -> Json | str:
        project, entry = asked.entry.project, asked.entry
        if project is None:
            raise unauthorized(asked.key)
        told, refusal = self.quota.take(project, entry.method)
        headers |= told
        if refusal is not None:
            raise refusal
        route = _allowed(asked)
        content = route.handler(Call(self.world, project, asked.params, asked.query, asked.body))
        if entry.method == "DELETE":
            self.log.deletes[entry.id] += 1
        if isinstance(content, str):
            headers["content-type"] = "text/event-stream"
        return content


def _allowed(asked: Asked) -> Route:
    route = asked.route
    if route is None:
        method, path = asked.entry.method, asked.entry.path
        wrong = not_allowed if TABLE.methods(path) else unknown_path
        raise wrong(method, BASE + path)
    if route.beta is not None and route.beta not in asked.betas:
        raise beta_required(route.beta)
    if asked.body.get("stream") and route.kind != "response":
        raise invalid("The emulator streams nothing but responses.", param="stream")
    return route
