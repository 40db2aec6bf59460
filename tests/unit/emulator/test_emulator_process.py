"""The emulator as a process of its own, and the door that steers it there."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

import httpx2
import pytest

from janitor.kinds import Kind

KEY = {"Authorization": "Bearer sk-a"}
OPTIONS = ["--key", "sk-a=alpha", "--key", "sk-b=beta", "--quota", "POST=1", "--seed", "7"]


@contextmanager
def process(*options: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    command = [sys.executable, "-W", "error", "-m", "janitor.emulator", *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as it:
        assert it.stdout is not None
        url = it.stdout.readline().strip()
        try:
            yield it, url
        finally:
            it.kill()


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with process("--port", "0", *OPTIONS) as (_, url):
        yield url


@pytest.fixture
def api(url: str) -> Iterator[httpx2.Client]:
    with httpx2.Client(base_url=url, headers=KEY) as client:
        yield client


@pytest.fixture
def door(url: str) -> Iterator[httpx2.Client]:
    with httpx2.Client(base_url=url.replace("/v1", "/_emulator")) as client:
        yield client
        client.delete("faults")
        client.delete("log")


def add(door: httpx2.Client, **known: object) -> str:
    answer = door.post("containers", json={"kind": "conversation", **known})
    assert answer.status_code == 200, answer.text
    return str(answer.json()["id"])


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_prints_its_url_first_and_ends_quietly_at_a_signal(number: signal.Signals) -> None:
    with process() as (it, url):
        assert httpx2.get(f"{url}/conversations/c").status_code == 401
        it.send_signal(number)
        _, errors = it.communicate(timeout=240)
    assert errors == ""
    assert it.returncode in {0, -number}


def test_options_reach_the_server(api: httpx2.Client, door: httpx2.Client) -> None:
    mine = add(door, id="conv_beta", project="beta")
    assert api.get(f"conversations/{mine}").status_code == 404
    assert [api.post("conversations").status_code for _ in range(2)] == [200, 429]


def test_containers_are_put_in_back_dated(api: httpx2.Client, door: httpx2.Client) -> None:
    talk = add(door, created_at="2026-01-01T00:00:00Z", metadata={"a": "b"}, items=["Hi."])
    seen = api.get(f"conversations/{talk}").json()
    assert seen["created_at"] == datetime(2026, 1, 1, tzinfo=UTC).timestamp()
    epoch = add(door, created_at=86400)
    assert api.get(f"conversations/{epoch}").json()["created_at"] == 86400
    assert len(door.get(f"containers/{talk}/items").json()) == 1
    door.post(f"containers/{talk}/items", json={"text": "Ho."}).raise_for_status()
    door.post(f"containers/{talk}/touch").raise_for_status()
    assert len(door.get(f"containers/{talk}/items").json()) == 3


@pytest.mark.parametrize("kind", Kind)
def test_every_kind_can_be_put_in(door: httpx2.Client, kind: Kind) -> None:
    container = add(door, kind=kind, items=2)
    assert len(door.get(f"containers/{container}/items").json()) == 2


def test_faults_are_put_in_force_counted_and_lifted(
    api: httpx2.Client, door: httpx2.Client
) -> None:
    fault = {"how": "status", "status": 503, "kind": "conversation", "times": 2}
    number = door.post("faults", json=fault).json()["fault"]
    assert api.get("conversations/c").status_code == 503
    assert door.get("faults").json() == {"struck": {str(number): 1}}
    door.delete(f"faults/{number}").raise_for_status()
    assert api.get("conversations/c").status_code == 404


def test_locks_and_runs_are_set(api: httpx2.Client, door: httpx2.Client) -> None:
    talk = add(door)
    door.post(f"containers/{talk}/lock").raise_for_status()
    assert api.delete(f"conversations/{talk}").status_code == 400
    door.post(f"containers/{talk}/lock", json={"locked": False}).raise_for_status()
    assert api.delete(f"conversations/{talk}").status_code == 200
    thread = add(door, kind="thread")
    run = door.post(f"containers/{thread}/runs").json()["id"]
    door.post(f"runs/{run}", json={"status": "completed"}).raise_for_status()
    assert len(door.get(f"containers/{thread}/items").json()) == 1


def test_the_log_and_its_counts_are_told(api: httpx2.Client, door: httpx2.Client) -> None:
    talk = add(door)
    for _ in range(2):
        api.delete(f"conversations/{talk}")
    log = door.get("log").json()
    assert [(entry["order"], entry["status"]) for entry in log] == [(1, 200), (2, 404)]
    assert door.get("counts").json() == {
        "deletes": {talk: 1},
        "delete_requests": {talk: 2},
        "methods": {"DELETE": 2},
        "calls": {"conversation.delete": 2},
    }


def test_the_clock_is_set(door: httpx2.Client) -> None:
    said = door.post("clock", json={"at": "2026-01-01T00:00:00+00:00", "advance": 60}).json()
    assert said == {"now": "2026-01-01T00:01:00+00:00"}


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("faults", {"how": "earthquake"}),
        ("faults", {"surprise": 1}),
        ("containers", {}),
        ("containers", {"kind": "diary"}),
        ("containers/none/touch", {}),
        ("runs/none", {"status": "completed"}),
    ],
)
def test_a_wrong_order_is_refused(door: httpx2.Client, path: str, body: dict[str, object]) -> None:
    assert door.post(path, json=body).status_code == 400
