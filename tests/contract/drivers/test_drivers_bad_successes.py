from __future__ import annotations

from collections.abc import Callable

import httpx2
import pytest
from container_server import (
    CREATED,
    ID,
    VERB_NAMES,
    VERBS,
    Act,
    Answer,
    Json,
    Server,
    delete,
    delete_item,
    probe,
    run,
    write_metadata,
)

from janitor.errors import GoneError, RefusedError
from janitor.kinds import CATALOGUE
from janitor.model import Kind

WITH_METADATA = [kind for kind in Kind if CATALOGUE[kind].has_metadata]
READING = [(kind, verb) for kind, verb in VERBS if verb in (probe, write_metadata)]
READING_NAMES = [f"{kind}-{verb.__name__}" for kind, verb in READING]
ITEMS_DELETABLE = [kind for kind in Kind if CATALOGUE[kind].items_deletable]


def deleted(**fields: object) -> Json:
    return {"id": ID, "deleted": True} | fields


BAD: dict[str, httpx2.Response] = {
    "{}": httpx2.Response(200, json={}),
    "null": httpx2.Response(200, json=None, content=b"null"),
    "list": httpx2.Response(200, json=[]),
    "string": httpx2.Response(200, json="gone"),
    "html": httpx2.Response(200, html="<html>ok</html>"),
    "204": httpx2.Response(204),
    "empty": httpx2.Response(200),
    "truncated": httpx2.Response(200, content=b'{"id": "box_1", "object":'),
    "not utf-8": httpx2.Response(200, content=b'{"id": "\xff"}'),
    "deep": httpx2.Response(200, content=b'{"a":' + b"[" * 5000 + b"]" * 5000 + b"}"),
    "not gzip": httpx2.Response(
        200, headers={"content-encoding": "gzip"}, stream=httpx2.ByteStream(b"no gzip at all")
    ),
}


def twisted(twist: Callable[[bytes], bytes]) -> Callable[[httpx2.Response], httpx2.Response]:
    return lambda honest: httpx2.Response(honest.status_code, content=twist(honest.content))


def first(said: bytes) -> Callable[[httpx2.Response], httpx2.Response]:
    """The honest answer with a member before all others."""
    return twisted(lambda content: b"{" + said + b"," + content[1:])


def last(said: bytes) -> Callable[[httpx2.Response], httpx2.Response]:
    return twisted(lambda content: content[:-1] + b"," + said + b"}")


def as_status(status: int) -> Callable[[httpx2.Response], httpx2.Response]:
    return lambda honest: httpx2.Response(status, content=honest.content)


CONTRADICTIONS: dict[str, Callable[[httpx2.Response], httpx2.Response]] = {
    **{f"{status}": as_status(status) for status in (202, 203, 204, 205, 206, 207, 226, 299)},
    "another object first": first(b'"object":"other"'),
    "the same object twice": twisted(lambda content: content + content),
    "another id first": first(b'"object":null'),
    "an escaped key": first(b'"\\u006fbject":"other"'),
    "twice below": first(b'"extra":{"a":1,"a":1}'),
    "twice in a list": first(b'"extra":[[{"a":1,"b":[{"c":1,"c":2}]}]]'),
    "an error": first(b'"error":{"message":"no","type":"server_error"}'),
    "an error after it": last(b'"error":{"code":"x"}'),
    "an error that is true": last(b'"error":true'),
    "an error that is false": last(b'"error":false'),
    "errors": last(b'"error":[]'),
    "several errors": last(b'"errors":["no"]'),
    "deleted or not": twisted(
        lambda content: (
            content.replace(b'"deleted":true', b'"deleted":false,"deleted":true')
            if b'"deleted"' in content
            else b'{"deleted":true,' + content[1:]
        )
    ),
    "bom": twisted(lambda content: b"\xef\xbb\xbf" + content),
    "utf-16": twisted(lambda content: content.decode().encode("utf-16")),
    "text after it": twisted(lambda content: content + b" null"),
    "nul after it": twisted(lambda content: content + b"\0"),
    "nan": first(b'"extra":NaN'),
    "infinity": first(b'"extra":-Infinity'),
    "too large": first(b'"extra":1e999'),
    "too wide": first(b'"extra":' + b"9" * 20),
    "comment": twisted(lambda content: content + b"//"),
}


def twisting(server: Server, twist: Callable[[httpx2.Response], httpx2.Response]) -> Answer:
    return lambda request: twist(server.honest(request))


def calls_of(kind: Kind, verb: Act) -> set[tuple[str, str]]:
    server = Server(kind)
    run(kind, server, verb)
    return set(server.calls)


@pytest.mark.each_once("twist", "kind")
@pytest.mark.parametrize("kind", Kind)
@pytest.mark.parametrize("twist", CONTRADICTIONS.values(), ids=CONTRADICTIONS)
def test_an_answer_that_contradicts_itself_is_refused_in_every_call(
    kind: Kind, twist: Callable[[httpx2.Response], httpx2.Response]
) -> None:
    verbs = [verb for of, verb in VERBS if of is kind and verb.__name__ != "export"]
    for verb in verbs:
        for call in calls_of(kind, verb):
            server = Server(kind)
            server.answers[call] = twisting(server, twist)
            with pytest.raises(RefusedError):
                run(kind, server, verb)


@pytest.mark.parametrize("kind", Kind)
@pytest.mark.parametrize("status", [200, 201])
def test_ok_and_created_are_believed(kind: Kind, status: int) -> None:
    server = Server(kind)
    server.answers["DELETE", "container"] = lambda request: as_status(status)(
        server.honest(request)
    )
    run(kind, server, delete)


@pytest.mark.parametrize("kind", Kind)
@pytest.mark.parametrize(
    "said",
    [
        *({"object": CATALOGUE[kind].noun} for kind in Kind),
        {"object": "response.deleted"},
        {"object": "Conversation.Deleted"},
        {"object": "deleted"},
        {"object": ""},
        {"object": ["conversation.deleted"]},
        {"created_at": CREATED},
        {"metadata": {}},
        {"data": []},
        {"error": "no"},
        {"errors": [{"message": "no"}]},
    ],
)
def test_a_deletion_of_something_else_or_of_what_is_shown_is_refused(
    kind: Kind, said: Json
) -> None:
    server = Server(kind)
    body = deleted(object=f"{server.noun}.deleted") | said
    server.answers["DELETE", "container"] = lambda _: httpx2.Response(200, json=body)
    with pytest.raises(RefusedError):
        run(kind, server, delete)


@pytest.mark.parametrize("kind", Kind)
def test_each_kind_has_a_deletion_of_its_own(kind: Kind) -> None:
    for other in set(Kind) - {kind}:
        server = Server(kind)
        body = deleted(object=f"{CATALOGUE[other].noun}.deleted")
        server.answers["DELETE", "container"] = fresh(httpx2.Response(200, json=body))
        with pytest.raises(RefusedError):
            run(kind, server, delete)


@pytest.mark.parametrize("kind", Kind)
def test_a_whole_container_that_is_called_deleted_is_no_deletion(kind: Kind) -> None:
    server = Server(kind)
    body = {**(server.container or {}), "deleted": True}
    server.answers["DELETE", "container"] = lambda _: httpx2.Response(200, json=body)
    with pytest.raises(RefusedError):
        run(kind, server, delete)


@pytest.mark.parametrize("kind", Kind)
def test_a_deletion_without_an_object_is_believed(kind: Kind) -> None:
    server = Server(kind)
    body = {"id": ID, "deleted": True, "object": None, "error": None}
    server.answers["DELETE", "container"] = lambda _: httpx2.Response(200, json=body)
    run(kind, server, delete)


def test_a_session_tells_how_it_failed() -> None:
    """Its own `error` is a text; the envelope of a failed call is an object."""
    server = Server(Kind.AGENT_SESSION)
    assert server.container is not None
    server.container["error"] = "The sandbox did not start."
    run(Kind.AGENT_SESSION, server, probe)


@pytest.mark.parametrize("kind", Kind)
@pytest.mark.parametrize(
    "content",
    [
        b'{"id":"box_1","error":{"message":"m","type":"invalid_request_error"}}',
        b'{"deleted":true,"error":{"message":"m","type":"invalid_request_error"}}',
        b'{"metadata":{},"error":{"message":"m","type":"invalid_request_error"}}',
        b'{"error":null,"error":{"message":"m","type":"invalid_request_error"}}',
        b'{"error":{"message":"m","type":"t","type":"invalid_request_error"}}',
        b'\xef\xbb\xbf{"error":{"message":"m","type":"invalid_request_error"}}',
        b'{"error":{"message":"m","type":"invalid_request_error"}} {}',
    ],
)
def test_a_not_found_that_contradicts_itself_is_none(kind: Kind, content: bytes) -> None:
    for verb in (probe, delete):
        with pytest.raises(RefusedError):
            run(kind, lambda _: httpx2.Response(404, content=content), verb)


def fresh(response: httpx2.Response) -> Callable[[httpx2.Request], httpx2.Response]:
    def answer(request: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(
            response.status_code, headers=response.headers, stream=response.stream
        )

    return answer


@pytest.mark.each_once("response", "kind,verb")
@pytest.mark.parametrize(("kind", "verb"), VERBS, ids=VERB_NAMES)
@pytest.mark.parametrize("response", BAD.values(), ids=BAD)
def test_a_bad_success_is_refused(kind: Kind, verb: Act, response: httpx2.Response) -> None:
    with pytest.raises(RefusedError):
        run(kind, fresh(response), verb)


@pytest.mark.parametrize("kind", Kind)
@pytest.mark.parametrize("response", BAD.values(), ids=BAD)
def test_a_bad_success_of_the_delete_itself_is_refused(
    kind: Kind, response: httpx2.Response
) -> None:
    server = Server(kind)
    server.answers["DELETE", "container"] = fresh(response)
    with pytest.raises(RefusedError):
        run(kind, server, delete)
    assert server.calls[-1] == ("DELETE", "container")


@pytest.mark.parametrize("kind", Kind)
@pytest.mark.parametrize(
    "body",
    [
        deleted(deleted=False),
        deleted(deleted=None),
        deleted(deleted="true"),
        deleted(deleted=1),
        deleted(id="box_2"),
        deleted(id=None),
        {"id": ID, "object": "thread"},
        {"deleted": True},
    ],
)
def test_deleted_means_true_and_this_very_id(kind: Kind, body: Json) -> None:
    server = Server(kind)
    server.answers["DELETE", "container"] = lambda _: httpx2.Response(200, json=body)
    with pytest.raises(RefusedError):
        run(kind, server, delete)


@pytest.mark.parametrize("kind", ITEMS_DELETABLE)
@pytest.mark.parametrize(
    "body", [{}, deleted(deleted=False, id="item_0"), deleted(), {"object": "list", "data": []}]
)
def test_an_item_delete_is_not_believed_without_its_proof(kind: Kind, body: Json) -> None:
    server = Server(kind)
    server.answers["DELETE", "item"] = lambda _: httpx2.Response(200, json=body)
    with pytest.raises(RefusedError):
        run(kind, server, delete_item)


@pytest.mark.each_once("field,value", "kind,verb")
@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("id", "box_2"),
        ("id", None),
        ("object", "something.else"),
        ("object", None),
        ("created_at", None),
        ("created_at", "1700000000"),
        ("created_at", "2026-01-01T00:00:00Z"),
        ("created_at", 1e30),
        ("created_at", float(CREATED)),
        ("created_at", True),
        ("created_at", 10**18),
    ],
)
@pytest.mark.parametrize(("kind", "verb"), READING, ids=READING_NAMES)
def test_an_answer_that_is_not_this_container_is_refused(
    kind: Kind, field: str, value: object, verb: Act
) -> None:
    server = Server(kind)
    assert server.container is not None
    server.container[field] = value
    with pytest.raises(RefusedError):
        run(kind, server, verb)
    assert {request.method for request in server.requests} <= {"GET"}


@pytest.mark.parametrize("kind", WITH_METADATA)
@pytest.mark.parametrize("value", [[], ["plan"], "plan", 7, {"plan": 7}, {"plan": None}, {"a": {}}])
@pytest.mark.parametrize("verb", [probe, write_metadata])
def test_metadata_that_is_no_map_of_strings_is_refused(
    kind: Kind, value: object, verb: Act
) -> None:
    server = Server(kind)
    assert server.container is not None
    server.container["metadata"] = value
    with pytest.raises(RefusedError):
        run(kind, server, verb)


@pytest.mark.parametrize("kind", WITH_METADATA)
@pytest.mark.parametrize(
    "value",
    [
        {"plan": "\0"},
        {"\0": "x"},
        {"": "x"},
        {"plan": "x" * 513},
        {"\U00020000" * 64: "\U00020000" * 512},
    ],
    ids=["a NUL", "a NUL in a key", "no key", "a long value", "a large pair"],
)
def test_metadata_that_cannot_be_stored_is_refused(kind: Kind, value: dict[str, str]) -> None:
    server = Server(kind)
    assert server.container is not None
    server.container["metadata"] = value
    with pytest.raises(RefusedError, match="metadata"):
        run(kind, server, probe)


@pytest.mark.parametrize("kind", WITH_METADATA)
def test_metadata_that_was_not_sent_is_unknown_and_refused(kind: Kind) -> None:
    server = Server(kind)
    assert server.container is not None
    del server.container["metadata"]
    with pytest.raises(RefusedError):
        run(kind, server, probe)


@pytest.mark.parametrize("kind", [Kind.CHATKIT_THREAD, Kind.THREAD])
@pytest.mark.parametrize("value", [None, "yesterday", 1e30])
def test_an_item_whose_time_cannot_be_read_is_refused(kind: Kind, value: object) -> None:
    server = Server(kind)
    server.items[-1]["created_at"] = value
    with pytest.raises(RefusedError):
        run(kind, server, probe)


@pytest.mark.parametrize("value", [None, "yesterday", 1e30])
def test_a_session_whose_activity_cannot_be_read_is_refused(value: object) -> None:
    server = Server(Kind.AGENT_SESSION)
    assert server.container is not None
    server.container["last_active_at"] = value
    with pytest.raises(RefusedError):
        run(Kind.AGENT_SESSION, server, probe)


@pytest.mark.parametrize("kind", Kind)
def test_a_container_that_is_gone_is_gone_even_where_only_its_list_says_so(kind: Kind) -> None:
    server = Server(kind)
    server.container = None
    with pytest.raises(GoneError):
        run(kind, server, probe)


@pytest.mark.parametrize("kind", WITH_METADATA)
@pytest.mark.parametrize("response", BAD.values(), ids=BAD)
def test_a_bad_success_of_a_metadata_write_is_refused(
    kind: Kind, response: httpx2.Response
) -> None:
    server = Server(kind)
    server.answers["POST", "container"] = fresh(response)
    with pytest.raises(RefusedError):
        run(kind, server, write_metadata)


@pytest.mark.parametrize("kind", WITH_METADATA)
def test_a_metadata_write_that_did_not_take_is_refused(kind: Kind) -> None:
    server = Server(kind)
    server.answers["POST", "container"] = lambda _: httpx2.Response(200, json=server.container)
    with pytest.raises(RefusedError):
        run(kind, server, write_metadata)
