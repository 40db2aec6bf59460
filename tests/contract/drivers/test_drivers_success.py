from __future__ import annotations

from datetime import UTC, datetime

import httpx2
import orjson
import pytest
from container_server import CREATED, ID, NOT_FOUND, Server, delete, export, run, thing

from janitor.drivers import Driver, read_only
from janitor.errors import GoneError, RefusedError
from janitor.kinds import CATALOGUE
from janitor.model import Kind, Probe

WITH_METADATA = [kind for kind in Kind if CATALOGUE[kind].has_metadata]
ITEMS_DELETABLE = [kind for kind in Kind if CATALOGUE[kind].items_deletable]


def at(second: int) -> datetime:
    return datetime.fromtimestamp(second, UTC)


def probed(server: Server) -> Probe:
    return run(server.kind, server, lambda driver: driver.probe(ID))


@pytest.mark.parametrize("kind", Kind)
def test_a_probe_tells_what_the_server_says(kind: Kind) -> None:
    said = probed(Server(kind))
    assert said.created_at == at(CREATED)
    assert said.newest_item == "item_2"
    assert said.metadata == ({"plan": "trial"} if CATALOGUE[kind].has_metadata else {})
    assert not said.busy


@pytest.mark.parametrize("kind", Kind)
def test_presence_tells_what_the_container_alone_says_in_one_call(kind: Kind) -> None:
    paths: list[str] = []
    server = Server(kind)

    def answer(request: httpx2.Request) -> httpx2.Response:
        paths.append(request.url.path)
        return server(request)

    said = run(kind, answer, lambda driver: driver.presence(ID))
    metadata = {"plan": "trial"} if CATALOGUE[kind].has_metadata else {}
    assert (said.created_at, said.metadata) == (at(CREATED), metadata)
    assert len(paths) == 1


@pytest.mark.parametrize(
    ("kind", "last_active_at"),
    [
        (Kind.CONVERSATION, None),
        (Kind.CHATKIT_THREAD, at(CREATED + 2)),
        (Kind.AGENT_SESSION, at(CREATED + 500)),
        (Kind.THREAD, at(CREATED + 2)),
    ],
)
def test_activity_shows_where_the_kind_shows_it(
    kind: Kind, last_active_at: datetime | None
) -> None:
    assert probed(Server(kind)).last_active_at == last_active_at


@pytest.mark.parametrize("kind", Kind)
def test_an_empty_container_has_no_newest_item_and_is_as_old_as_itself(kind: Kind) -> None:
    server = Server(kind, items=0)
    assert server.container is not None
    server.container["last_active_at"] = CREATED
    said = probed(server)
    assert said.newest_item is None
    assert said.last_active_at == (at(CREATED) if CATALOGUE[kind].has_activity else None)


@pytest.mark.parametrize("kind", Kind)
@pytest.mark.parametrize("second", [0, -62135596800, 1, 94_694_399])
def test_a_time_that_the_server_never_set_is_unknown(kind: Kind, second: int) -> None:
    server = Server(kind)
    assert server.container is not None
    server.container |= {"created_at": second, "last_active_at": second}
    server.items[-1]["created_at"] = second
    said = probed(server)
    assert (said.created_at, said.last_active_at) == (None, None)


def test_a_thread_is_as_active_as_its_newest_message_or_nobody_knows() -> None:
    server = Server(Kind.THREAD)
    server.lists["runs"] = [thing("run_1", 0, status="completed")]
    assert probed(server).last_active_at is None


def test_a_run_is_activity_of_a_thread() -> None:
    server = Server(Kind.THREAD)
    server.lists["runs"] = [thing("run_1", CREATED + 900, status="completed")]
    said = probed(server)
    assert (said.last_active_at, said.busy) == (at(CREATED + 900), False)


@pytest.mark.parametrize("status", ["queued", "in_progress", "requires_action", "cancelling", "?"])
def test_a_thread_is_busy_while_any_run_has_not_ended(status: str) -> None:
    server = Server(Kind.THREAD)
    server.lists["runs"] = [
        thing("run_1", CREATED + 10, status=status),
        thing("run_2", CREATED + 20, status="completed"),
    ]
    assert probed(server).busy


@pytest.mark.parametrize(
    ("status", "busy"),
    [("idle", False), ("failed", False), ("in_progress", True), ("requires_action", True)],
)
def test_an_agent_session_is_busy_until_it_is_idle(status: str, *, busy: bool) -> None:
    server = Server(Kind.AGENT_SESSION)
    assert server.container is not None
    server.container["status"] = status
    assert probed(server).busy is busy


@pytest.mark.parametrize("kind", WITH_METADATA)
def test_null_metadata_is_read_and_empty(kind: Kind) -> None:
    server = Server(kind)
    assert server.container is not None
    server.container["metadata"] = None
    assert probed(server).metadata == {}


@pytest.mark.parametrize("kind", Kind)
@pytest.mark.parametrize("count", [0, 1, 100, 250])
def test_an_export_is_the_container_then_every_item_oldest_first(kind: Kind, count: int) -> None:
    server = Server(kind, items=count)
    first, *rest = run(kind, server, export)
    assert (first.id, first.is_item) == (ID, False)
    assert orjson.loads(first.body) == server.container
    assert [record.id for record in rest if record.is_item] == [f"item_{n}" for n in range(count)]
    limits = {request.url.params["limit"] for request in server.requests[1:]}
    assert limits == {"100"}


@pytest.mark.parametrize("kind", Kind)
def test_a_record_is_the_object_minified_in_its_own_order(kind: Kind) -> None:
    server = Server(kind, items=0)
    item = {"zeta": "é\u2028", "id": "item_0", "created_at": CREATED, "alpha": [1, None, 1.5]}
    server.items.append(item)
    record = run(kind, server, export)[1]
    assert record.body == orjson.dumps(item)
    assert list(orjson.loads(record.body)) == list(item)


def test_the_runs_of_a_thread_are_exported_after_its_messages() -> None:
    server = Server(Kind.THREAD)
    server.lists["runs"] = [thing(f"run_{n}", CREATED + n) for n in range(101)]
    records = run(Kind.THREAD, server, export)[4:]
    assert [record.id for record in records] == [f"run_{n}" for n in range(101)]
    assert not any(record.is_item for record in records)


def test_parts_of_an_agent_session_are_exported_or_recorded_as_not_fetched() -> None:
    server = Server(Kind.AGENT_SESSION)
    server.lists["turns"] = [thing("turn_1", CREATED)]
    records = run(Kind.AGENT_SESSION, server, export)[4:]
    assert records[0].id == "turn_1"
    assert [orjson.loads(record.body) for record in records[1:]] == [
        {"object": "janitor.not_fetched", "part": part}
        for part in ("subagents", "artifacts", "traces", "events")
    ]
    assert not any(record.is_item for record in records)


@pytest.mark.parametrize("kind", Kind)
def test_a_delete_returns_the_id_of_the_answered_request(kind: Kind) -> None:
    server = Server(kind)
    assert run(kind, server, delete) == "req_7"
    assert server.container is None
    with pytest.raises(GoneError):
        run(kind, server, delete)
    assert server.calls[-1] == ("DELETE", "container")


@pytest.mark.parametrize("kind", Kind)
@pytest.mark.parametrize("said", [None, "", "two words", "x" * 201])
def test_a_request_id_that_is_none_is_not_invented(kind: Kind, said: str | None) -> None:
    server = Server(kind, items=0)

    def answer(request: httpx2.Request) -> httpx2.Response:
        response = server.honest(request)
        response.headers.pop("x-request-id", None)
        if said is not None:
            response.headers["x-request-id"] = said
        return response

    assert run(kind, answer, delete) is None


@pytest.mark.parametrize("kind", ITEMS_DELETABLE)
def test_one_item_can_be_deleted(kind: Kind) -> None:
    server = Server(kind)
    run(kind, server, lambda driver: driver.delete_item(ID, "item_1"))
    assert [item["id"] for item in server.items] == ["item_0", "item_2"]


@pytest.mark.parametrize("kind", ITEMS_DELETABLE)
def test_an_unknown_item_is_no_word_about_its_container(kind: Kind) -> None:
    server = Server(kind)
    server.answers["DELETE", "item"] = lambda _: httpx2.Response(404, json=NOT_FOUND)
    with pytest.raises(RefusedError) as caught:
        run(kind, server, lambda driver: driver.delete_item(ID, "item_9"))
    assert caught.value.status == 404


@pytest.mark.parametrize("kind", ITEMS_DELETABLE)
@pytest.mark.parametrize("item", ["", ".", ".."])
def test_an_item_id_that_would_name_another_path_is_refused(kind: Kind, item: str) -> None:
    server = Server(kind)
    with pytest.raises(RefusedError):
        run(kind, server, lambda driver: driver.delete_item(ID, item))
    assert server.requests == []


@pytest.mark.parametrize("kind", ITEMS_DELETABLE)
def test_an_item_id_stays_one_part_of_the_path(kind: Kind) -> None:
    server = Server(kind)
    server.answers["DELETE", "item"] = lambda _: httpx2.Response(404, json=NOT_FOUND)
    with pytest.raises(RefusedError):
        run(kind, server, lambda driver: driver.delete_item(ID, "../x?y#z"))
    assert server.requests[0].url.raw_path.endswith(b"/..%2Fx%3Fy%23z")


@pytest.mark.parametrize("kind", [kind for kind in Kind if kind not in ITEMS_DELETABLE])
def test_a_kind_without_item_deletes_refuses_before_any_call(kind: Kind) -> None:
    server = Server(kind)
    with pytest.raises(RefusedError):
        run(kind, server, lambda driver: driver.delete_item(ID, "item_1"))
    assert server.requests == []


@pytest.mark.parametrize("kind", Kind)
def test_every_call_carries_the_kinds_beta_header(kind: Kind) -> None:
    server = Server(kind)

    async def everything(driver: Driver) -> None:
        await driver.probe(ID)
        await export(driver)
        if CATALOGUE[kind].has_metadata:
            await driver.write_metadata(ID, {"a": "b"})
        await driver.delete(ID)

    run(kind, server, everything)
    headers = {request.headers.get("OpenAI-Beta") for request in server.requests}
    assert headers == {CATALOGUE[kind].beta}


@pytest.mark.parametrize("kind", Kind)
@pytest.mark.parametrize("id", ["", ".", "..", "a/b", "a?b", "a b", "x" * 201, "\x1b[31m"])
def test_an_id_that_no_path_can_carry_is_refused_before_any_call(kind: Kind, id: str) -> None:
    server = Server(kind)

    async def collect(driver: Driver) -> object:
        return [record async for record in driver.export(id)]

    for act in (lambda driver: driver.probe(id), lambda driver: driver.delete(id), collect):
        with pytest.raises(RefusedError) as caught:
            run(kind, server, act)
        assert str(caught.value).isprintable()
    assert server.requests == []


@pytest.mark.parametrize("kind", Kind)
def test_a_read_only_driver_looks_and_never_changes(kind: Kind) -> None:
    server = Server(kind)

    async def look(driver: Driver) -> None:
        dry = read_only(driver)
        assert dry.kind is kind
        await dry.probe(ID)
        await export(dry)
        with pytest.raises(RuntimeError):
            await dry.delete(ID)
        with pytest.raises(RuntimeError):
            await dry.delete_item(ID, "item_0")
        with pytest.raises(RuntimeError):
            await dry.write_metadata(ID, {"a": "b"})

    run(kind, server, look)
    assert {request.method for request in server.requests} == {"GET"}
