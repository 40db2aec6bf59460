"""I4: a server whose 404 is of a form of its own is believed beside a living canary alone."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx2
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from postgres import Server
from sweep_world import DAY, NOW, World, path_of, world_in

from janitor.drivers.client import GATEWAYS, read_fault
from janitor.emulator import Fault, How
from janitor.model import Key, Kind, NotFound, State

DETAIL: dict[str, object] = {"detail": "Thread not found"}
JSON = {"content-type": "application/json"}


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.slow)])
def own(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[World]:
    """A world on each engine whose server says 404 in its own way."""
    if request.param == "sqlite":
        with world_in(tmp_path) as made:
            made.not_found = NotFound.ANY_JSON
            yield made
        return
    server: Server = request.getfixturevalue("postgres")
    with server.registry() as name, world_in(tmp_path, server.url(name)) as made:
        made.not_found = NotFound.ANY_JSON
        yield made


def lost(world: World) -> Key:
    """A deletion whose answer was lost; from then on the server answers 404 in its own way."""
    key = world.add(Kind.THREAD, items=0)
    with world.server.faulty(Fault(How.RESET, method="DELETE", path=path_of(key), applied=True)):
        world.sweep()
    assert world.state(key) is State.DELETING
    unknown(world, key)
    world.server.clear_log()
    return key


def unknown(world: World, key: Key) -> None:
    fault = Fault(How.STATUS, path=f"{path_of(key)}*", status=404, body=DETAIL)
    world.server.add_fault(fault)


def test_beside_a_canary_it_is_proven(own: World) -> None:
    key = lost(own)
    own.add(Kind.THREAD, items=0, created_at=NOW - DAY, active_at=NOW - DAY)
    assert own.sweep().exit_code == 0
    assert own.state(key) is State.DELETED
    assert own.story(key)[-1] == "deleted"


def test_without_a_canary_nothing_is_sent(own: World) -> None:
    key = lost(own)
    own.add(Kind.CONVERSATION, items=0, created_at=NOW - DAY, active_at=NOW - DAY)
    assert own.sweep().exit_code == 1
    assert own.state(key) is State.DELETING
    assert own.changing_calls() == []
    assert "missing accept --id" in str(own.entry(key).last_error)


def test_missing_threads_need_a_canary_at_the_end(own: World) -> None:
    key = own.add(Kind.THREAD, items=0, created_at=NOW - 40 * DAY)
    other = own.add(Kind.CONVERSATION, items=0, created_at=NOW - DAY, active_at=NOW - DAY)
    own.sweep()
    gone = own.add(Kind.THREAD, items=0)
    unknown(own, gone)
    assert own.state(key) is State.DELETED
    own.sweep()
    assert own.state(gone) is State.ACTIVE
    assert own.entry(gone).missing_since is not None
    own.add(Kind.THREAD, items=0, created_at=NOW - DAY, active_at=NOW - DAY)
    own.advance(DAY)
    own.sweep()
    assert own.state(gone) is State.MISSING
    assert own.state(other) is State.ACTIVE


@pytest.mark.parametrize("said", sorted(GATEWAYS))
def test_what_a_gateway_says_is_no_applications_word(said: str) -> None:
    for spelled in (said, said.capitalize(), f"{said}."):
        assert not is_own({"message": spelled}, JSON)
        assert is_own({"detail": spelled}, JSON)


@given(
    st.dictionaries(st.text(max_size=10), st.text(max_size=10), min_size=1, max_size=3),
    st.sampled_from(["text/html", "text/plain", "application/xml", ""]),
)
def test_only_what_is_called_json_is_an_applications_word(
    body: dict[str, str], content_type: str
) -> None:
    assert not is_own(body, {"content-type": content_type})


@given(st.none() | st.booleans() | st.integers(-9, 9) | st.text() | st.lists(st.text(), max_size=3))
def test_only_an_object_that_says_something_is(body: object) -> None:
    assert not is_own(body, JSON)
    assert not is_own({}, JSON)


def is_own(body: object, headers: dict[str, str]) -> bool:
    response = httpx2.Response(404, headers=headers, content=orjson.dumps(body))
    return read_fault(response).own
