"""What users of janitor get for their own tests."""

from __future__ import annotations

import subprocess
import sys
import threading
from datetime import UTC, datetime

import httpx2

from janitor.emulator import Emulator
from janitor.testing import Clock, Emulated, emulator, janitor_emulator

__all__ = ["janitor_emulator"]


def get(emulated: Emulated, path: str) -> httpx2.Response:
    headers = {"Authorization": f"Bearer {emulated.api_key}"}
    return httpx2.get(f"{emulated.base_url}/{path}", headers=headers)


def test_the_fixture_is_an_emulator_ready_to_be_asked(janitor_emulator: Emulated) -> None:
    talk = janitor_emulator.server.add_conversation()
    assert get(janitor_emulator, f"conversations/{talk}").json()["id"] == talk


def test_the_fixture_is_empty_each_time(janitor_emulator: Emulated) -> None:
    assert janitor_emulator.server.ids() == []


def test_the_context_manager_takes_keys_and_a_clock() -> None:
    at = datetime(2026, 1, 1, tzinfo=UTC)
    with emulator({"sk-mine": "mine"}, clock=Clock(at)) as emulated:
        talk = emulated.server.add_conversation()
        assert emulated.api_key == "sk-mine"
        assert get(emulated, f"conversations/{talk}").json()["created_at"] == at.timestamp()


def test_it_needs_no_pytest() -> None:
    script = (
        "import sys; sys.modules['pytest'] = None\n"
        "from janitor.testing import emulator, janitor_emulator\n"
        "with emulator() as it: print(it.base_url, janitor_emulator)\n"
    )
    ran = subprocess.run(
        [sys.executable, "-W", "error", "-c", script], capture_output=True, text=True, check=False
    )
    assert (ran.stderr, ran.returncode) == ("", 0)
    assert ran.stdout.startswith("http://127.0.0.1:")
    assert ran.stdout.endswith("/v1 None\n")


def test_nothing_of_it_is_left_running() -> None:
    before = set(threading.enumerate())
    for _ in range(20):
        with emulator() as emulated:
            assert get(emulated, "conversations/c").status_code == 404
    assert set(threading.enumerate()) <= before


def test_two_may_serve_side_by_side() -> None:
    first, second = Emulator(), Emulator()
    talk = first.add_conversation()
    with first.serve() as one, second.serve() as other:
        headers = {"Authorization": f"Bearer {first.key}"}
        found = [
            httpx2.get(f"{at.base_url}/conversations/{talk}", headers=headers).status_code
            for at in (one, other)
        ]
    assert found == [200, 404]
