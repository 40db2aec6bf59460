"""One container of any kind behind a transport, honest until told to answer otherwise."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import httpx2

from janitor.drivers import Driver, Endpoint
from janitor.drivers.catalogue import driver_class
from janitor.drivers.connect import connect
from janitor.kinds import CATALOGUE
from janitor.model import Kind, Record

T = TypeVar("T")
Json = dict[str, Any]
Answer = Callable[[httpx2.Request], httpx2.Response]
Act = Callable[[Driver], Awaitable[object]]

ID = "box_1"
CREATED = 1_700_000_000
ENDPOINT = Endpoint("main", "sk-secret-key", base_url="https://api.example.test/v1")
NOT_FOUND = {
    "error": {
        "message": "No such container: secret words",
        "type": "invalid_request_error",
        "param": None,
        "code": None,
    }
}


class Server:
    """Answers for one container; `answers` replaces what is said to (method, part).

    Parts are `container`, `item`, and the names of lists (`items`, `messages`, `runs`, ...).
    """

    def __init__(self, kind: Kind, items: int = 3) -> None:
        self.kind = kind
        self.trait = CATALOGUE[kind]
        self.noun = CATALOGUE[kind].noun
        self.container: Json | None = {
            "id": ID,
            "object": self.noun,
            "created_at": CREATED,
            "last_active_at": CREATED + 500,
            "status": "idle",
            "metadata": {"plan": "trial"},
        }
        self.lists: dict[str, list[Json]] = {
            self.trait.items_path: [thing(f"item_{n}", CREATED + n) for n in range(items)],
            "runs": [],
        }
        self.answers: dict[tuple[str, str], Answer] = {}
        self.requests: list[httpx2.Request] = []

    @property
    def items(self) -> list[Json]:
        return self.lists[self.trait.items_path]

    @property
    def calls(self) -> list[tuple[str, str]]:
        return [(request.method, self._part(request)) for request in self.requests]

    def __call__(self, request: httpx2.Request) -> httpx2.Response:
        self.requests.append(request)
        call = (request.method, self._part(request))
        return self.answers.get(call, self.honest)(request)

    def honest(self, request: httpx2.Request) -> httpx2.Response:
        part = self._part(request)
        if self.container is None or (part not in self.lists and part not in {"container", "item"}):
            return httpx2.Response(404, json=NOT_FOUND)
        if request.method == "DELETE":
            return self._deleted(request, part)
        if request.method == "POST":
            self.container |= httpx2.Response(200, content=request.content).json()
        body = self.container if part == "container" else page_of(self.lists[part], request)
        return httpx2.Response(200, json=body, headers={"x-request-id": "req_7"})

    def _deleted(self, request: httpx2.Request, part: str) -> httpx2.Response:
        named, reply = request.url.path.rsplit("/", 1)[-1], self.container
        noun = self.noun if part == "container" else driver_class(self.kind).item_noun
        if part == "container":
            self.container = None
        else:
            self.items[:] = [item for item in self.items if item["id"] != named]
        if part == "container" or not self.trait.item_delete_returns_container:
            reply = {"id": named, "object": f"{noun}.deleted", "deleted": True}
        return httpx2.Response(200, json=reply, headers={"x-request-id": "req_7"})

    def _part(self, request: httpx2.Request) -> str:
        rest = request.url.path.split(f"{self.trait.path}/{ID}", 1)[-1].strip("/").split("/")
        return "item" if len(rest) > 1 else rest[0] or "container"


def thing(id: str, created_at: int, **more: object) -> Json:
    return {"id": id, "object": "thing", "created_at": created_at, **more}


def page_of(things: list[Json], request: httpx2.Request) -> Json:
    query = request.url.params
    ordered = things[::-1] if query.get("order", "desc") == "desc" else things
    ids = [found["id"] for found in ordered]
    start = ids.index(query["after"]) + 1 if "after" in query else 0
    data = ordered[start : start + int(query.get("limit", 20))]
    return {
        "object": "list",
        "data": data,
        "last_id": data[-1]["id"] if data else None,
        "has_more": start + len(data) < len(ordered),
    }


def run(
    kind: Kind, answer: Answer, act: Callable[[Driver], Awaitable[T]], endpoint: Endpoint = ENDPOINT
) -> T:
    """What `act` returns for the driver of `kind` over `answer`."""

    async def main() -> T:
        async with connect(endpoint, transport=httpx2.MockTransport(answer)) as drivers:
            return await act(drivers[kind])

    return asyncio.run(main())


async def export(driver: Driver) -> list[Record]:
    return [record async for record in driver.export(ID)]


async def probe(driver: Driver) -> object:
    return await driver.probe(ID)


async def presence(driver: Driver) -> object:
    return await driver.presence(ID)


async def delete(driver: Driver) -> str | None:
    return await driver.delete(ID)


async def delete_item(driver: Driver) -> None:
    await driver.delete_item(ID, "item_0")


async def write_metadata(driver: Driver) -> None:
    await driver.write_metadata(ID, {"mark": "x"})


def verbs_of(kind: Kind) -> list[Act]:
    """Every verb that the API offers for a kind."""
    trait = CATALOGUE[kind]
    optional: list[tuple[bool, Act]] = [
        (trait.items_deletable, delete_item),
        (trait.has_metadata, write_metadata),
    ]
    return [probe, presence, export, delete, *(verb for offered, verb in optional if offered)]


VERBS = [(kind, verb) for kind in Kind for verb in verbs_of(kind)]
VERB_NAMES = [f"{kind}-{getattr(verb, '__name__', '')}" for kind, verb in VERBS]
