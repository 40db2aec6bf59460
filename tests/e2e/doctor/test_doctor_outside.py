"""`doctor` and what it asks of others: the API, the archive and the port."""

from __future__ import annotations

import shutil
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from world import NOW, World

from doctor.doctored import doctor, edit, only, verdicts
from janitor.emulator import Fault, How

HTML = "<html><body>nothing here</body></html>"


@pytest.fixture
def swept(world: World) -> World:
    """A world in which every thread was seen alive."""
    world.fill(2, age=2)
    assert world.run("sweep").code == 0
    return world


def test_what_is_well_is_said_so_and_nothing_is_changed(swept: World) -> None:
    swept.fill(1, age=8)
    assert swept.run("sweep").code == 0
    before = swept.registry.read_bytes()
    archived = sorted(swept.archive.rglob("*.zst"))
    found = doctor(swept)
    for check in ("configuration", "secrets", "database", "clock", "archive", "sweeps"):
        assert "fail" not in verdicts(found, check)
        assert "ok" in verdicts(found, check)
    known, *others = (says for _, says, _ in sorted(found["access main"]) if "knows" in says)
    assert (known.startswith("conversation"), others) == (True, [])
    assert [v for v, *_ in found["access main"]] == ["ok"] * 4
    assert swept.registry.read_bytes() == before
    assert sorted(swept.archive.rglob("*.zst")) == archived
    assert swept.changes == []


def test_a_refused_credential(swept: World) -> None:
    swept.environment["JANITOR_WORLD_KEY"] = "sk-wrong"
    found = doctor(swept, code=3)
    assert "refused the credential" in only(found, "access main", "fail")[0]
    assert "projects.main.api_key" in only(found, "access main", "warn")[1]


@pytest.mark.parametrize("how", [How.HTML, How.STATUS])
def test_an_endpoint_that_is_not_this_api(swept: World, how: How) -> None:
    status = 404 if how is How.STATUS else None
    swept.emulator.add_fault(Fault(how, status=status, body=HTML))
    found = doctor(swept, code=3)
    assert any("is not this API for any kind" in says for _, says, _ in found["access main"])
    assert any("base_url" in todo for *_, todo in found["access main"])


def test_a_key_that_knows_none_of_what_was_alive(swept: World) -> None:
    gone = {"error": {"type": "invalid_request_error", "message": "No such object."}}
    swept.emulator.add_fault(Fault(How.STATUS, status=404, body=gone))
    said = only(doctor(swept, code=3), "access main", "fail")
    assert "knows none of the 2 threads" in said[0]
    assert "another project" in said[1]


def test_a_server_that_does_not_answer(swept: World) -> None:
    swept.emulator.add_fault(Fault(How.RESET))
    found = doctor(swept, code=3)
    assert [todo for *_, todo in found["access main"] if "firewall" in todo]
    assert only(found, "clock", "warn")


def test_a_clock_that_the_api_contradicts(swept: World) -> None:
    date = format_datetime(NOW.replace(year=NOW.year - 1), usegmt=True)
    swept.emulator.add_fault(Fault(How.DRESSED, headers={"date": date}))
    said = only(doctor(swept, code=4), "clock", "fail")
    assert "ahead of" in said[0]
    assert said[1] == "timedatectl"


def test_an_archive_that_is_gone(swept: World) -> None:
    swept.fill(1, age=8)
    assert swept.run("sweep").code == 0
    shutil.rmtree(swept.archive)
    assert "is gone" in only(doctor(swept, code=3), "archive", "fail")[0]
    assert not swept.archive.exists()


def test_an_archive_that_cannot_be_begun(world: World) -> None:
    (world.directory / "file").touch(mode=0o600)
    world.configure(archive="file/archive")
    said = only(doctor(world, code=3), "archive", "fail")
    assert "cannot be written" in said[0]
    assert "archive.url" in said[1]


def test_an_archive_that_nobody_has_begun_is_not_begun_by_looking(world: World) -> None:
    assert "is created with the first copy" in doctor(world)["archive"][0][1]
    assert not world.archive.exists()


@contextmanager
def listening(status: int) -> Iterator[int]:
    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            """Nobody reads it."""

    with HTTPServer(("127.0.0.1", 0), Answer) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


def listen_on(world: World, port: int, host: str = "127.0.0.1") -> None:
    edit(world, "limits:", f'service: {{listen: "{host}:{port}"}}\nlimits:')


def test_a_port_where_the_service_answers(world: World) -> None:
    with listening(200) as port:
        listen_on(world, port)
        assert "says that it is alive" in only(doctor(world), "port", "ok")[0]


def test_a_port_where_a_service_is_ill(world: World) -> None:
    with listening(503) as port:
        listen_on(world, port)
        assert "is not alive" in only(doctor(world, code=3), "port", "fail")[0]


def test_a_port_that_another_program_has(world: World) -> None:
    def hang_up(server: socket.socket) -> None:
        connection, _ = server.accept()
        connection.close()

    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=hang_up, args=(server,))
        thread.start()
        listen_on(world, server.getsockname()[1])
        said = only(doctor(world, code=2), "port", "fail")
        thread.join()
    assert "taken by another program" in said[0]
    assert "service.listen" in said[1]


def test_a_port_that_is_free_and_an_address_that_is_not_ours(world: World) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    listen_on(world, port)
    assert "is free" in only(doctor(world), "port", "ok")[0]
    edit(
        world,
        f'"127.0.0.1:{port}"}}',
        f'"127.9.9.9.9:{port}", tokens: {{a: {{env: A, scope: read}}}}}}',
    )
    assert "service.listen" in only(doctor(world, code=2), "port", "fail")[1]
