from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator
from http.client import HTTPConnection, RemoteDisconnected
from typing import Any

import orjson
import pytest

from janitor.emulator import Emulator, Fault, How, Served
from janitor.emulator.kind import emulated
from janitor.kinds import CATALOGUE, Kind


@pytest.fixture
def server() -> Emulator:
    return Emulator()


@pytest.fixture
def served(server: Emulator) -> Iterator[Served]:
    with server.serve() as served:
        yield served


def raw(
    served: Served, method: str, path: str, timeout: float = 10
) -> tuple[int, bytes, dict[str, str]]:
    connection = HTTPConnection(served.url.removeprefix("http://"), timeout=timeout)
    try:
        connection.request(method, f"/v1{path}", headers={"Authorization": "Bearer sk-emulator"})
        answer = connection.getresponse()
        return answer.status, answer.read(), dict(answer.getheaders())
    finally:
        connection.close()


def status(served: Served, path: str = "/conversations/conv_1") -> int:
    return raw(served, "GET", path)[0]


def test_a_fault_strikes_as_often_as_it_says(server: Emulator, served: Served) -> None:
    server.add_fault(Fault("status", status=503, skip=1, every=2, times=2))
    assert [status(served) for _ in range(7)] == [404, 404, 503, 404, 503, 404, 404]
    assert [entry.fault for entry in server.log] == ["", "", "status", "", "status", "", ""]


def test_a_fault_that_is_lifted_strikes_no_more(server: Emulator, served: Served) -> None:
    number = server.add_fault(Fault("status"))
    with_it = status(served)
    server.remove_fault(number)
    assert (with_it, status(served)) == (500, 404)
    with server.faulty(Fault("status", status=502)):
        assert status(served) == 502
    assert status(served) == 404


def test_the_oldest_of_several_faults_strikes(server: Emulator, served: Served) -> None:
    server.add_fault(Fault("status", status=501, times=1))
    server.add_fault(Fault("status", status=502))
    assert [status(served), status(served)] == [501, 502]


@pytest.mark.parametrize(
    ("fault", "struck"),
    [
        (Fault("status", method="GET"), True),
        (Fault("status", method="DELETE"), False),
        (Fault("status", path="/conversations/*"), True),
        (Fault("status", path="/conversations"), False),
        (Fault("status", kind="conversation", call="retrieve"), True),
        (Fault("status", kind="thread"), False),
        (Fault("status", call="items.list"), False),
        (Fault("status", project="main"), True),
        (Fault("status", project="other"), False),
    ],
    ids=str,
)
def test_every_condition_must_hold(
    server: Emulator, served: Served, fault: Fault, struck: bool
) -> None:
    server.add_fault(fault)
    assert (status(served) == 500) is struck


def test_status_body_and_headers_are_the_tests_own(server: Emulator, served: Served) -> None:
    server.add_fault(Fault("status", status=429, body={"error": {}}, headers={"retry-after": "7"}))
    code, body, headers = raw(served, "GET", "/conversations/c")
    assert (code, orjson.loads(body), headers["retry-after"]) == (429, {"error": {}}, "7")


def test_an_empty_answer_can_be_sent(server: Emulator, served: Served) -> None:
    server.add_fault(Fault("status", status=204, body=""))
    assert raw(served, "DELETE", "/conversations/c")[:2] == (204, b"")


@pytest.mark.parametrize("applied", [False, True])
@pytest.mark.parametrize("how", ["reset", "status", "empty_object", "null", "html", "wrong_id"])
def test_a_deletion_is_carried_out_only_where_the_fault_says_so(
    server: Emulator, served: Served, how: str, applied: bool
) -> None:
    talk = server.add_conversation()
    server.add_fault(Fault(how, applied=applied))
    try:
        raw(served, "DELETE", f"/conversations/{talk}")
    except (ConnectionResetError, RemoteDisconnected):
        assert how == "reset"
    assert server.exists(talk) is not applied
    assert server.deletes[talk] == int(applied)


def test_a_reset_breaks_the_connection(server: Emulator, served: Served) -> None:
    server.add_fault(Fault("reset"))
    with pytest.raises((ConnectionResetError, RemoteDisconnected)):
        status(served)
    assert server.log[0].status == 0


def test_a_hang_never_answers(server: Emulator, served: Served) -> None:
    server.add_fault(Fault("hang", times=1))
    with pytest.raises(TimeoutError):
        raw(served, "GET", "/conversations/c", timeout=0.1)
    assert status(served) == 404


def test_a_server_stops_although_somebody_hangs(server: Emulator) -> None:
    server.add_fault(Fault("hang"))
    with server.serve() as served:
        waiting = socket.create_connection(("127.0.0.1", int(served.url.rsplit(":", 1)[1])))
        waiting.sendall(b"GET /v1/conversations/c HTTP/1.1\r\nHost: here\r\n\r\n")
        while not server.log:
            status_of_control(served)
    with waiting, contextlib.suppress(ConnectionResetError):
        assert waiting.recv(1) == b""


def status_of_control(served: Served) -> int:
    connection = HTTPConnection(served.url.removeprefix("http://"), timeout=10)
    connection.request("GET", "/_emulator/log")
    code = connection.getresponse().status
    connection.close()
    return code


def test_a_delay_answers_truly_but_late(server: Emulator, served: Served) -> None:
    talk = server.add_conversation()
    server.add_fault(Fault("delay", delay=0.3, times=1))
    with pytest.raises(TimeoutError):
        raw(served, "GET", f"/conversations/{talk}", timeout=0.05)
    server.add_fault(Fault("delay", delay=0.01))
    assert raw(served, "GET", f"/conversations/{talk}")[0] == 200


@pytest.mark.parametrize(
    ("how", "expected"),
    [(How.EMPTY_OBJECT, b"{}"), (How.NULL, b"null"), (How.HTML, b"<html>")],
)
def test_a_success_that_says_nothing(
    server: Emulator, served: Served, how: How, expected: bytes
) -> None:
    talk = server.add_conversation()
    server.add_fault(Fault(how))
    code, body, _ = raw(served, "DELETE", f"/conversations/{talk}")
    assert code == 200
    assert body.startswith(expected)


def test_a_gateways_page_can_be_a_404(server: Emulator, served: Served) -> None:
    server.add_fault(Fault("html", status=404))
    code, body, headers = raw(served, "GET", "/conversations/c")
    assert (code, headers["content-type"]) == (404, "text/html")
    assert body.startswith(b"<html>")


def test_a_deletion_can_be_denied_or_name_another_id(server: Emulator, served: Served) -> None:
    talk = server.add_conversation()
    server.add_fault(Fault("deleted_false", times=1))
    server.add_fault(Fault("wrong_id"))
    denied = orjson.loads(raw(served, "DELETE", f"/conversations/{talk}")[1])
    other = orjson.loads(raw(served, "DELETE", f"/conversations/{talk}")[1])
    assert denied == {"id": talk, "object": "conversation.deleted", "deleted": False}
    assert other == {"id": f"{talk}0", "object": "conversation.deleted", "deleted": True}
    assert server.exists(talk)


def test_pages_can_lie(server: Emulator, served: Served) -> None:
    talk = server.add_conversation(items=10)
    ids = [item["id"] for item in server.items(talk)]
    path = f"/conversations/{talk}/items?order=asc&limit=4"

    def page(how: str, query: str = "") -> dict[str, Any]:
        with server.faulty(Fault(how)):
            found: dict[str, Any] = orjson.loads(raw(served, "GET", path + query)[1])
        return found

    short = page("truncated")
    assert (len(short["data"]), short["has_more"]) == (2, False)
    endless = page("ignore_after", f"&after={ids[7]}")
    assert (endless["first_id"], endless["has_more"]) == (ids[0], True)
    blind = page("no_last_id", f"&after={ids[7]}")
    assert (blind["last_id"], blind["has_more"]) == (None, True)
    with pytest.raises(orjson.JSONDecodeError):
        page("cut_body")


@pytest.mark.parametrize("kind", Kind)
def test_each_kind_says_in_its_own_way_that_it_is_in_use(
    server: Emulator, served: Served, kind: Kind
) -> None:
    server.add_fault(Fault("locked"))
    locked = emulated(kind).locked("id_1")
    code, body, _ = raw(served, "DELETE", f"{CATALOGUE[kind].path}/id_1")
    assert (code, orjson.loads(body)) == (locked.status, locked.body)
    assert code in {400, 409}


def test_an_unknown_fault_is_refused() -> None:
    with pytest.raises(ValueError, match="earthquake"):
        Fault("earthquake")


def test_what_is_only_acknowledged_is_still_there(server: Emulator, served: Served) -> None:
    one = server.add_conversation(items=1)
    item = server.items(one)[0]["id"]
    server.add_fault(Fault("acknowledged"))
    gone = orjson.loads(raw(served, "DELETE", f"/conversations/{one}")[1])
    assert (gone["id"], gone["deleted"]) == (one, True)
    said = orjson.loads(raw(served, "DELETE", f"/conversations/{one}/items/{item}")[1])
    assert (said["object"], said["id"]) == ("conversation", one)
    assert server.exists(one)
    assert len(server.items(one)) == 1
    assert not server.deletes


def test_true_answers_in_a_wrong_form(server: Emulator, served: Served) -> None:
    path = f"/conversations/{server.add_conversation(items=2)}"
    with server.faulty(Fault("repeated")):
        data = orjson.loads(raw(served, "GET", f"{path}/items")[1])["data"]
        assert [one["id"] for one in data][1:] == [data[1]["id"]] * 2
    with server.faulty(Fault("not_utf8")), pytest.raises(UnicodeDecodeError):
        raw(served, "GET", path)[1].decode()
    with server.faulty(Fault("huge", padding=5000)):
        assert len(raw(served, "GET", path)[1]) > 5000
    with server.faulty(Fault("dressed", headers={"content-type": "text/plain"})):
        status, body, headers = raw(served, "GET", path)
        assert (status, headers["content-type"]) == (200, "text/plain")
        assert orjson.loads(body)["object"] == "conversation"
