"""How a fault changes an answer."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from dataclasses import replace
from typing import assert_never

import orjson

from janitor.emulator.errors import ApiError, Json, conversation_locked, run_active, session_running
from janitor.emulator.faults import Fault, How
from janitor.emulator.site import TABLE, Answer, Asked
from janitor.emulator.state import OBJECT, Kind, deleted

HTML = "<html><head><title>404 Not Found</title></head><body>nginx</body></html>"
GZIP_TRAILER = 8

Perform = Callable[[Asked], Answer]


def answer(fault: Fault, asked: Asked, perform: Perform) -> Answer:
    """The wrong answer to a request, after carrying it out where the fault says so."""
    match how := How(fault.how):
        case How.STATUS | How.EMPTY_OBJECT | How.NULL | How.HTML | How.LOCKED:
            _carried_out(fault, asked, perform)
            return _instead(how, fault, asked)
        case How.IGNORE_AFTER | How.ENDS_EARLY:
            return _mispaged(how, asked, perform)
        case How.ACKNOWLEDGED:
            return _acknowledged(asked, perform)
        case How.DRESSED:
            true = _believed(fault, asked, perform)
            status = fault.status or true.status
            return replace(true, status=status, headers={**true.headers, **fault.headers})
        case (
            How.TRUNCATED
            | How.CUT_BODY
            | How.NO_LAST_ID
            | How.DELETED_FALSE
            | How.WRONG_ID
            | How.REPEATED
            | How.NOT_UTF8
            | How.HUGE
            | How.DUPLICATE_KEYS
            | How.WITH_ERROR
            | How.NEVER_ENDS
            | How.CUT_GZIP
            | How.BOMB
            | How.NESTED
            | How.LONG_NUMBER
        ):
            return _changed(how, fault, _believed(fault, asked, perform))
        case How.RESET | How.HANG | How.DELAY:
            return _carried_out(fault, asked, perform)
        case _:
            assert_never(how)


def _mispaged(how: How, asked: Asked, perform: Perform) -> Answer:
    """The first page for ever; or a list, asked for oldest first, as if nothing followed."""
    if how is How.IGNORE_AFTER:
        query = {name: value for name, value in asked.query.items() if name != "after"}
        return perform(replace(asked, query=query))
    true = perform(asked)
    if asked.query.get("order") != "asc" or not isinstance(true.content, dict):
        return true
    return replace(true, content=true.content | {"has_more": False})


def _carried_out(fault: Fault, asked: Asked, perform: Perform) -> Answer:
    """The true answer where the call is to be carried out, else nothing done and nothing said."""
    if fault.applied or How(fault.how) is How.DELAY:
        return perform(asked)
    return Answer(200, {})


def _believed(fault: Fault, asked: Asked, perform: Perform) -> Answer:
    """The true answer; a DELETE that is not to be carried out is only said to have been."""
    return perform(asked) if fault.applied else _acknowledged(asked, perform)


def _acknowledged(asked: Asked, perform: Perform) -> Answer:
    """What a success would say, without any deletion."""
    if asked.entry.method != "DELETE":
        return perform(asked)
    if (asked.entry.kind, asked.entry.call) == (Kind.CONVERSATION, "items.delete"):
        path = f"/conversations/{asked.params['id']}"
        route, params = TABLE.find("GET", path) or (None, {})
        entry = replace(asked.entry, method="GET")
        return perform(replace(asked, entry=entry, route=route, params=params))
    return Answer(200, deleted(asked.entry.id, OBJECT.get(_kind(asked), "object")))


def _kind(asked: Asked) -> Kind:
    return Kind(asked.entry.kind) if asked.entry.kind in set(Kind) else Kind.CONVERSATION


def _instead(how: How, fault: Fault, asked: Asked) -> Answer:
    status = fault.status or 200
    match how:
        case How.EMPTY_OBJECT:
            return Answer(status, {}, fault.headers)
        case How.NULL:
            return Answer(status, None, fault.headers)
        case How.HTML:
            return Answer(status, HTML, {"content-type": "text/html", **fault.headers})
        case How.LOCKED:
            error = locked(_kind(asked), asked.params.get("id", ""))
            return Answer(error.status, error.body, fault.headers)
        case _:
            return _status(fault)


def _status(fault: Fault) -> Answer:
    status = fault.status or 500
    if fault.body is not None:
        return Answer(status, fault.body, fault.headers)
    kind = "server_error" if status >= 500 else "invalid_request_error"  # noqa: PLR2004
    error = ApiError(status, "The server had an error while processing your request.", type=kind)
    return Answer(status, error.body, fault.headers)


def locked(kind: Kind, id: str) -> ApiError:
    """How each kind says that it is in use."""
    match kind:
        case Kind.CONVERSATION:
            return conversation_locked(id)
        case Kind.AGENT_SESSION:
            return session_running(id)
        case Kind.THREAD:
            return run_active(id, "run_emulated")
        case Kind.CHATKIT_THREAD:
            return ApiError(409, f"ChatKit thread {id} is locked.", code="thread_locked")
        case _:
            assert_never(kind)


def _changed(how: How, fault: Fault, true: Answer) -> Answer:
    if not isinstance(true.content, dict):
        return true
    content: Json = true.content
    match how:
        case How.CUT_BODY | How.NOT_UTF8 | How.DUPLICATE_KEYS | How.NESTED | How.LONG_NUMBER:
            return replace(true, content=_respelled(how, fault, content))
        case How.TRUNCATED:
            return replace(true, content=_halved(content))
        case How.CUT_GZIP | How.BOMB:
            headers = {**true.headers, "content-encoding": "gzip"}
            return Answer(true.status, _packed(how, fault, content), headers)
        case _:
            return replace(true, content=content | _instead_of(how, fault, content))


def _packed(how: How, fault: Fault, content: Json) -> bytes:
    if how is How.BOMB:
        return gzip.compress(_padded(how, fault, content))
    return gzip.compress(orjson.dumps(content))[:-GZIP_TRAILER]


def _padded(how: How, fault: Fault, content: Json) -> bytes:
    """The JSON of the true answer behind one more field."""
    padding = {
        How.BOMB: b"[" + b"[]," * fault.padding + b"[]]",
        How.NESTED: b"[" * fault.padding + b"]" * fault.padding,
        How.LONG_NUMBER: b"9" * fault.padding,
    }
    return b'{"padding":' + padding[how] + b"," + orjson.dumps(content)[1:]


def _respelled(how: How, fault: Fault, content: Json) -> bytes:
    """The JSON of the true answer, spoilt."""
    if how in {How.NESTED, How.LONG_NUMBER}:
        return _padded(how, fault, content)
    whole = orjson.dumps(content)
    if how is How.CUT_BODY:
        return whole[: len(whole) // 2]
    if how is How.NOT_UTF8:
        return whole[:-1] + b',"byte":"\xff"}'
    return orjson.dumps(dict.fromkeys(content))[:-1] + b"," + whole[1:]


def _instead_of(how: How, fault: Fault, content: Json) -> Json:
    """The fields that are sent instead of those of the true answer."""
    data = content.get("data", [])
    fields: dict[How, Json] = {
        How.NO_LAST_ID: {"has_more": True, "last_id": None},
        How.DELETED_FALSE: {"deleted": False},
        How.WRONG_ID: {"id": f"{content.get('id')}0"},
        How.REPEATED: {"data": [*data, *data[-1:]]},
        How.NEVER_ENDS: {"has_more": True},
        How.WITH_ERROR: {"error": {"message": "Something.", "type": "server_error"}},
        How.HUGE: {"padding": "x" * fault.padding},
    }
    return fields[how]


def _halved(page: Json) -> Json:
    data = page.get("data", [])
    kept = data[: len(data) // 2]
    last = kept[-1]["id"] if kept else None
    return page | {"data": kept, "last_id": last, "has_more": False}
