"""Everything that the chat application made is in the registry, however it was made."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta

import pytest
from chat_house import House, Warm, is_within
from world import NOW

from janitor.model import Key, Kind
from janitor.registry import Registration, Registry

CLIENTS = ["OpenAI", "AsyncOpenAI", "AzureOpenAI", "AsyncAzureOpenAI"]
WAYS = ["plain", "with_raw_response", "with_streaming_response"]
HOUSES = ["house", "postgres_house", "spool_house", "http_house"]


@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize("way", WAYS)
def test_every_client_and_way_of_calling_it(house: House, client: str, way: str) -> None:
    house.world.emulator.clock.advance(timedelta(hours=-1))  # the server's time is not ours
    said = house.hold(client=client, way=way)
    assert house.wrong() == {}
    # What tracking adds must not have the server refuse what it would have taken.
    assert [line for line in said if "Error" in line] == said[-2:]


@pytest.mark.parametrize("any_house", HOUSES, indirect=True)
@pytest.mark.parametrize("client", ["OpenAI", "AsyncOpenAI"])
def test_every_registry(any_house: House, client: str) -> None:
    any_house.hold(client=client, project="main")
    assert any_house.wrong() == {}


@pytest.mark.parametrize(
    ("any_house", "way"),
    [("house", way) for way in WAYS] + [(name, "plain") for name in HOUSES[1:]],
    indirect=["any_house"],
)
def test_thirty_two_threads_with_one_client(any_house: House, way: str) -> None:
    any_house.hold(mode="threads", times=4, way=way)
    assert any_house.wrong() == {}


@pytest.mark.parametrize("any_house", HOUSES[:3], indirect=True)
def test_all_chats_at_once_on_an_event_loop(any_house: House) -> None:
    any_house.hold(client="AsyncOpenAI", mode="loop", times=4)
    assert any_house.wrong() == {}


@pytest.mark.parametrize(
    ("any_house", "mode"),
    [(name, "fork") for name in HOUSES] + [("house", "multiprocessing")],
    indirect=["any_house"],
)
def test_forked_workers(any_house: House, mode: str, warm: Warm) -> None:
    warm.run(any_house.settings(mode=mode, times=2))
    workers = {note["pid"] for note in any_house.notes()}
    assert len(workers) == 5
    assert any_house.wrong() == {}


def test_another_project_is_told_as_such(house: House) -> None:
    house.hold(project="other")
    assert {row["project"] for row in house.listed().values()} == {"other"}


def test_a_container_is_told_of_once_within_a_minute(house: House) -> None:
    house.hold()
    house.settle()
    deleted = {note["id"]: 1 for note in house.notes() if note["event"] == "deleted"}
    assert house.told() == Counter(dict.fromkeys(house.made(), 1)) + Counter(deleted)


@pytest.mark.parametrize("client", ["OpenAI", "AsyncOpenAI"])
def test_each_use_is_activity_once_the_minute_is_over(house: House, client: str) -> None:
    house.hold(client=client, minute=0.0)
    rows = house.listed()
    assert house.told() == Counter(note["id"] for note in house.notes())
    last = {note["id"]: note for note in house.notes() if note["event"] != "deleted"}
    assert rows.keys() == last.keys()
    assert [one for one, note in last.items() if not is_within(rows[one], note)] == []


def test_the_use_of_what_others_made_is_told(house: House) -> None:
    given = house.world.conversation()
    house.hold(chats=("continued",), given=given)
    ((one, row),) = house.listed().items()
    assert one == given
    assert is_within(row, house.notes()[0])


def test_a_sweep_takes_all_of_it_in_and_finds_it_at_the_server(house: House) -> None:
    house.hold()
    house.settle()
    done = house.world.run("sweep")
    assert done.code == 0, done.err
    gone = {note["id"] for note in house.notes() if note["event"] == "deleted"}
    with Registry.open(house.url) as registry:
        found = {entry.thread.key.id: entry.thread for entry in registry.threads.select()}
    assert found.keys() == house.made().keys()
    states = {one: thread.state.value for one, thread in found.items()}
    assert states == {one: "missing" if one in gone else "active" for one in found}
    told = {one: note["told"] for one, note in house.made().items()}
    for one, thread in found.items():
        assert thread.reported == {key: str(value) for key, value in told[one].items()}


def test_a_chatkit_thread_that_the_application_deletes_is_told_of_and_not_believed(
    house: House,
) -> None:
    one, two = (house.world.emulator.add_chatkit_thread() for _ in range(2))
    with Registry.open(house.url) as registry:
        keys = [Key("main", Kind.CHATKIT_THREAD, one) for one in (one, two)]
        registry.registrations.add([Registration(key, NOW, NOW) for key in keys], NOW)
    house.hold(chats=("ended",), given=one)
    assert {one: row["state"] for one, row in house.listed().items()} == {
        one: "active",
        two: "active",
    }
    assert house.told() == {one: 1}
    assert not house.world.emulator.exists(one)
