from __future__ import annotations

from datetime import UTC, datetime

import httpx2
import pytest
from container_server import (
    ENDPOINT,
    ID,
    NOT_FOUND,
    VERB_NAMES,
    VERBS,
    Act,
    Answer,
    Json,
    Server,
    delete,
    delete_item,
    run,
    write_metadata,
)
from hypothesis import given
from hypothesis import strategies as st

from janitor.drivers.client import failure
from janitor.errors import (
    AccessError,
    BusyError,
    GoneError,
    JanitorError,
    LockedError,
    RefusedError,
    TransientError,
    UnsupportedError,
)
from janitor.model import Kind

EVERY_VERB = pytest.mark.parametrize(("kind", "verb"), VERBS, ids=VERB_NAMES)
QUOTED = "secret words"
NOW = datetime(2026, 1, 1, tzinfo=UTC)


def api_error(status: int, **fields: object) -> httpx2.Response:
    body: Json = {"message": QUOTED, "type": "invalid_request_error", "param": None, "code": None}
    return httpx2.Response(status, json={"error": body | fields})


def html(status: int) -> httpx2.Response:
    return httpx2.Response(status, html=f"<html>{QUOTED}</html>")


def fails_with(kind: Kind, verb: Act, response: httpx2.Response) -> JanitorError:
    def answer(request: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(
            response.status_code, headers=response.headers, content=response.content
        )

    with pytest.raises(JanitorError) as caught:
        run(kind, answer, verb)
    return caught.value


ANSWERS: list[tuple[str, httpx2.Response, type[JanitorError]]] = [
    ("401", api_error(401, code="invalid_api_key"), AccessError),
    ("401 html", html(401), AccessError),
    ("403", api_error(403), AccessError),
    ("404", api_error(404), GoneError),
    ("404 html", html(404), RefusedError),
    ("404 empty", httpx2.Response(404), RefusedError),
    ("404 foreign json", httpx2.Response(404, json={"detail": "Not Found"}), RefusedError),
    ("404 gateway json", httpx2.Response(404, json={"error": {"code": "404"}}), RefusedError),
    ("404 text error", httpx2.Response(404, json={"error": "Not Found"}), RefusedError),
    ("404 odd types", api_error(404, type=7), RefusedError),
    ("400", api_error(400), RefusedError),
    ("400 locked", api_error(400, code="conversation_locked"), BusyError),
    (
        "400 active run",
        api_error(400, message="Can't do that while a run run_1 is active."),
        BusyError,
    ),
    ("400 has an active run", api_error(400, message="Thread has an active run run_1"), BusyError),
    ("409", api_error(409), BusyError),
    ("409 html", html(409), BusyError),
    ("405", httpx2.Response(405), RefusedError),
    ("422", api_error(422), RefusedError),
    ("408", httpx2.Response(408), TransientError),
    ("429", api_error(429, code="rate_limit_exceeded"), TransientError),
    ("429 html", html(429), TransientError),
    ("429 quota code", api_error(429, code="insufficient_quota"), AccessError),
    ("429 quota type", api_error(429, type="insufficient_quota"), AccessError),
    ("500 html", html(500), TransientError),
    ("502", httpx2.Response(502), TransientError),
    ("503", api_error(503), TransientError),
    ("301", httpx2.Response(301, headers={"location": "https://other.test/"}), RefusedError),
    ("307", httpx2.Response(307, headers={"location": "https://other.test/"}), RefusedError),
    ("304", httpx2.Response(304), RefusedError),
]


@pytest.mark.each_once("response", "kind,verb")
@EVERY_VERB
@pytest.mark.parametrize(
    ("response", "error"),
    [(response, error) for _, response, error in ANSWERS],
    ids=[name for name, _, _ in ANSWERS],
)
def test_a_failure_says_what_to_do_next_and_quotes_nothing(
    kind: Kind, verb: Act, response: httpx2.Response, error: type[JanitorError]
) -> None:
    raised = fails_with(kind, verb, response)
    assert isinstance(raised, error)
    message = str(raised)
    assert QUOTED not in message
    assert ENDPOINT.api_key not in message
    assert ENDPOINT.name in message
    assert message.isprintable()
    if not isinstance(raised, AccessError):
        assert ID in message


@EVERY_VERB
def test_a_redirect_is_never_followed(kind: Kind, verb: Act) -> None:
    hosts: list[str] = []

    def answer(request: httpx2.Request) -> httpx2.Response:
        hosts.append(request.url.host)
        return httpx2.Response(307, headers={"location": "https://other.test/"})

    with pytest.raises(RefusedError):
        run(kind, answer, verb)
    assert hosts == ["api.example.test"]


@pytest.mark.parametrize("kind", Kind)
def test_the_status_stays_with_the_error(kind: Kind) -> None:
    verb = VERBS[0][1]
    raised = fails_with(kind, verb, api_error(503))
    assert isinstance(raised, TransientError)
    assert raised.status == 503


def test_an_access_error_names_the_remedy() -> None:
    message = str(fails_with(*VERBS[0], api_error(401, code="invalid_api_key")))
    assert "projects.main" in message
    assert "invalid_api_key" in message
    assert "janitor plan" in message


@pytest.mark.parametrize("code", ["has\x1b[31mcolour", "two words", "x" * 65])
def test_a_code_that_is_no_token_is_not_shown(code: str) -> None:
    raised = fails_with(*VERBS[0], api_error(400, code=code))
    assert code not in str(raised)


@EVERY_VERB
def test_the_sdk_retries_nothing(kind: Kind, verb: Act) -> None:
    calls: list[str] = []

    def answer(request: httpx2.Request) -> httpx2.Response:
        calls.append(request.method)
        return httpx2.Response(503)

    with pytest.raises(TransientError):
        run(kind, answer, verb)
    assert len(calls) == 1


@pytest.mark.each_once("error", "kind,verb")
@EVERY_VERB
@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (httpx2.ConnectError("x"), TransientError),
        (httpx2.ReadTimeout("x"), TransientError),
        (httpx2.RemoteProtocolError("x"), TransientError),
        (OSError("x"), TransientError),
        (TimeoutError("x"), TransientError),
        (httpx2.DecodingError("x"), RefusedError),
        (httpx2.InvalidURL("x"), RefusedError),
        (ValueError("x"), RefusedError),
        (LockedError("the lease ran out"), LockedError),
    ],
    ids=lambda value: value.__name__ if isinstance(value, type) else type(value).__name__,
)
def test_what_the_transport_raises_becomes_one_of_our_errors(
    kind: Kind, verb: Act, error: Exception, expected: type[JanitorError]
) -> None:
    def answer(request: httpx2.Request) -> httpx2.Response:
        raise error

    with pytest.raises(JanitorError) as caught:
        run(kind, answer, verb)
    assert type(caught.value) is expected


@given(st.binary(max_size=200), st.integers(300, 599))
def test_any_answer_that_is_no_success_is_mapped(content: bytes, status: int) -> None:
    request = httpx2.Request("GET", "https://api.example.test/v1")
    response = httpx2.Response(status, content=content, request=request)
    from openai import APIStatusError

    error = APIStatusError("words", response=response, body=None)
    found = failure(error, endpoint=ENDPOINT, subject="conversation box_1")
    assert not isinstance(found, GoneError)
    assert isinstance(found, JanitorError)


@pytest.mark.parametrize("kind", Kind)
def test_a_list_that_is_missing_from_a_living_container_is_no_gone_container(kind: Kind) -> None:
    server = Server(kind)
    server.answers["GET", server.trait.items_path] = lambda _: httpx2.Response(404, json=NOT_FOUND)
    for verb in (verb for of, verb in VERBS if of is kind and verb.__name__ in {"probe", "export"}):
        with pytest.raises(RefusedError):
            run(kind, server, verb)


ITEMS = (
    "this server cannot delete items; `delete: {items: keep}` deletes only the conversation; its "
    "items stay if the server keeps them"
)


def lacking(status: int) -> Answer:
    return lambda _: httpx2.Response(status, json={"detail": QUOTED})


@pytest.mark.parametrize("status", [405, 501])
@pytest.mark.parametrize(
    ("kind", "call", "verb", "words"),
    [
        (Kind.CONVERSATION, ("DELETE", "item"), delete, ITEMS),
        (Kind.CONVERSATION, ("DELETE", "item"), delete_item, ITEMS),
        *(
            (kind, ("DELETE", "container"), delete, f"this server cannot delete {kinds}; remove")
            for kind, kinds in (
                (Kind.CHATKIT_THREAD, "chatkit threads"),
                (Kind.AGENT_SESSION, "agent sessions"),
                (Kind.THREAD, "threads"),
            )
        ),
        *(
            (kind, ("POST", "container"), write_metadata, "cannot change metadata; `soft_delete: {")
            for kind in Kind
            if kind is not Kind.CHATKIT_THREAD
        ),
    ],
)
def test_a_changing_call_that_the_server_does_not_have_is_named_with_its_remedy(
    status: int, kind: Kind, call: tuple[str, str], verb: Act, words: str
) -> None:
    server = Server(kind)
    server.answers[call] = lacking(status)
    with pytest.raises(UnsupportedError) as caught:
        run(kind, server, verb)
    assert words in str(caught.value)
    assert str(caught.value).endswith(f"(HTTP {status})")
    assert caught.value.status == status


@pytest.mark.parametrize("status", [405, 501])
@pytest.mark.parametrize("kind", Kind)
def test_a_reading_call_that_the_server_does_not_have_is_named(kind: Kind, status: int) -> None:
    verb = VERBS[0][1]
    server = Server(kind)
    server.answers["GET", "container"] = lacking(status)
    with pytest.raises(RefusedError, match="this server cannot show"):
        run(kind, server, verb)
    server = Server(kind)
    server.answers["GET", server.trait.items_path] = lacking(status)
    with pytest.raises(
        RefusedError, match=f"this server cannot list the {server.trait.items_path}"
    ):
        run(kind, server, verb)


def test_items_that_are_gone_are_told_where_the_container_cannot_be_deleted() -> None:
    """Only what removed nothing may be taken as not made."""
    server = Server(Kind.CONVERSATION)
    server.answers["DELETE", "container"] = lacking(501)
    with pytest.raises(RefusedError, match="3 items are gone already") as caught:
        run(Kind.CONVERSATION, server, delete)
    assert not isinstance(caught.value, UnsupportedError)


def test_a_lost_answer_beside_a_call_that_is_not_there_is_told_first() -> None:
    server = Server(Kind.CONVERSATION)
    server.answers["DELETE", "item"] = lambda request: httpx2.Response(
        502 if request.url.path.endswith("item_1") else 501
    )
    with pytest.raises(TransientError):
        run(Kind.CONVERSATION, server, delete)
