"""What applications tell a running service: taken in between sweeps, odd rows told of."""

from __future__ import annotations

import http.client
import json
import re
import sqlite3
from contextlib import closing

from world import World, until

from serve.serving import Serving, Start, scheduled

VARIABLE = "TOKEN_OF_APP"


def post(service: Serving, said: object) -> tuple[int, object]:
    connection = http.client.HTTPConnection("127.0.0.1", service.port, timeout=240)
    with closing(connection):
        headers = {"Authorization": "Bearer secret"}
        connection.request("POST", "/api/threads", json.dumps(said).encode(), headers)
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read())


def registered(world: World) -> set[str]:
    """What the registry's table holds; `list` would take in what waits."""
    with closing(sqlite3.connect(world.registry)) as connection:
        return {name for (name,) in connection.execute("SELECT id FROM thread")}


def test_what_is_told_is_taken_in_between_sweeps(world: World, serving: Start) -> None:
    world.fill(1)
    tokens = f"tokens: {{app: {{env: {VARIABLE}, scope: register}}}}"
    scheduled(world, every="1d", more=tokens)
    service = serving("--log-format", "json", **{VARIABLE: "secret"})
    until(lambda: service.sweeps() == 1)
    status, answer = post(service, {"id": "conv_told", "metadata": {"plan": "trial"}})
    assert (status, answer) == (202, {"schema": 1, "accepted": 1, "refused": []})
    until(lambda: "conv_told" in registered(world))
    with closing(sqlite3.connect(world.registry)) as other, other:
        other.execute(
            "INSERT INTO janitor_inbox (v, project, kind, id, at, event) "
            "VALUES (1, 'main', 'folder', 'x', 'soon', 'register')"
        )
    until(lambda: service.metric("janitor_inbox_refused_rows") == 1)
    # One drain may have taken both: the odd one comes while it looks whether there is more.
    told = re.compile("1 of (1 row|2 rows) of the inbox")
    until(lambda: any(told.search(line["message"]) for line in service.lines))
    assert service.sweeps() == 1
