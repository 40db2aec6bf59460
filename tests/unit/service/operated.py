"""The whole HTTP API on a real socket, over a real registry, with a token of each scope."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from empty_registry import lay

from janitor.metrics import Metrics
from janitor.registry import Entry, Registry
from janitor.service.endpoints import (
    Access,
    Health,
    Operations,
    Threads,
    Token,
    TokenScope,
    application,
)
from janitor.service.openapi import routes
from janitor.service.server import Server

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
BEARERS = {TokenScope.REGISTER: "r", TokenScope.OPERATE: "o", TokenScope.READ: "read"}


@dataclass
class Operated:
    """A running face over a registry."""

    port: int
    registry: Registry

    def ask(
        self, path: str, body: bytes, bearer: str | None = "o", method: str = "POST"
    ) -> tuple[int, Any]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=240)
        try:
            headers = {} if bearer is None else {"Authorization": f"Bearer {bearer}"}
            connection.request(method, path, body, headers)
            answer = connection.getresponse()
            text = answer.read().decode()
            is_json = answer.headers["content-type"] == "application/json"
            return answer.status, json.loads(text) if is_json else text
        finally:
            connection.close()

    def tell(self, said: object, method: str = "POST", path: str = "") -> tuple[int, Any]:
        """Tell of threads, as an application does."""
        body = json.dumps(said).encode()
        return self.ask(f"/api/threads{path}", body, BEARERS[TokenScope.REGISTER], method)

    def drained(self) -> dict[str, Entry]:
        """What the registry knows once it has taken in what was told."""
        self.registry.inbox.drain(NOW)
        return {entry.thread.key.id: entry for entry in self.registry.threads.select()}

    def paused(self) -> list[tuple[str, str, str, datetime | None]]:
        pauses = self.registry.pauses.in_force(NOW)
        return [(one.scope, one.reason, one.actor, one.until) for one in pauses]


@pytest.fixture
def operated(tmp_path: Path) -> Iterator[Operated]:
    tokens = tuple(
        Token(scope.value, scope, partial(str, bearer)) for scope, bearer in BEARERS.items()
    )
    with Registry.open(lay(tmp_path / "janitor.db")) as registry:
        operations = Operations(
            registry.pauses.add,
            registry.pauses.end,
            projects=lambda: frozenset({"main"}),
            policies=lambda: frozenset({"chats"}),
            now=lambda: NOW,
        )
        health = Health(lambda: None, lambda: None)
        access = Access(frozenset(), tokens)
        threads = Threads(
            registry.inbox.append, projects=lambda: frozenset({"main", "other"}), now=lambda: NOW
        )
        more = routes(operations, threads)
        app = application(Metrics().app(lambda: None), health, access, more)
        with Server(app, "127.0.0.1:0") as server:
            yield Operated(server.port, registry)
