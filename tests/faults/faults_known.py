"""The faults of a server, by the names that the table of outcomes gives them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from janitor.emulator import Fault, How
from janitor.emulator.errors import Json

HTML = "<html><body>nginx</body></html>"
ELSEWHERE = {"location": "http://127.0.0.1:9/v1/conversations/conv_elsewhere"}
LARGE = "x" * (1 << 17)
GZIP = {"content-encoding": "gzip"}


def error(code: str | None, type: str = "invalid_request_error") -> Json:
    return {"error": {"message": "Something.", "type": type, "param": None, "code": code}}


QUOTA = error("insufficient_quota", "insufficient_quota")
LOCKED = error("conversation_locked")


def answered(status: int, body: Json | str | None = None, **headers: str) -> dict[str, Any]:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return {"how": How.STATUS, "status": status, "body": body, "headers": named}


FAULTS: Mapping[str, Mapping[str, Any]] = {
    "401": answered(401),
    "403": answered(403),
    "no-quota": answered(429, QUOTA),
    "404": answered(404),
    "404-html": answered(404, HTML, content_type="text/html"),
    "404-bare": answered(404, ""),
    "400": answered(400),
    "405": answered(405, ""),
    "409": answered(409),
    "locked": answered(400, LOCKED),
    "429": answered(429),
    "429-short": answered(429, retry_after="2"),
    "429-long": answered(429, retry_after="7200"),
    "500": answered(500),
    "500-late": {**answered(500), "applied": True},
    "501": answered(501, ""),
    "502": answered(502, HTML, content_type="text/html"),
    "503": answered(503, retry_after="1"),
    "504": answered(504, ""),
    "redirect": {**answered(307, ""), "headers": ELSEWHERE},
    "204": answered(204, ""),
    "no-body": answered(200, ""),
    "object": {"how": How.EMPTY_OBJECT},
    "object-late": {"how": How.EMPTY_OBJECT, "applied": True},
    "null": {"how": How.NULL},
    "html": {"how": How.HTML},
    "other-id": {"how": How.WRONG_ID},
    "cut": {"how": How.CUT_BODY},
    "cut-late": {"how": How.CUT_BODY, "applied": True},
    "no-text": {"how": How.NOT_UTF8},
    "huge": {"how": How.HUGE, "padding": 3 << 20},
    "bomb": {"how": How.BOMB, "padding": 1 << 17},
    "nested": {"how": How.NESTED, "padding": 100_000},
    "number": {"how": How.LONG_NUMBER, "padding": 5000},
    "401-huge": answered(401, LARGE),
    "404-huge": answered(404, LARGE),
    "429-huge": answered(429, LARGE),
    "500-huge": answered(500, LARGE),
    "gzip": {"how": How.DRESSED, "headers": GZIP},
    "202": {"how": How.DRESSED, "status": 202},
    "206": {"how": How.DRESSED, "status": 206},
    "twofold": {"how": How.DUPLICATE_KEYS},
    "and-error": {"how": How.WITH_ERROR},
    "gzip-cut": {"how": How.CUT_GZIP},
    "mislabelled": {"how": How.DRESSED, "headers": {"content-type": "text/html"}, "applied": True},
    "reset": {"how": How.RESET},
    "reset-late": {"how": How.RESET, "applied": True},
    "silence": {"how": How.HANG},
    "silence-late": {"how": How.HANG, "applied": True},
    "not-deleted": {"how": How.DELETED_FALSE},
    "lie": {"how": How.ACKNOWLEDGED},
    "no-last-id": {"how": How.NO_LAST_ID},
    "no-after": {"how": How.IGNORE_AFTER},
    "twice": {"how": How.REPEATED},
    "half": {"how": How.TRUNCATED},
    "short": {"how": How.ENDS_EARLY},
    "never": {"how": How.NEVER_ENDS},
}


def fault(name: str, path: str, call: str | None, skip: int) -> Fault:
    """The fault of that name, from the chosen call on."""
    return Fault(**FAULTS[name], path=path, call=call, skip=skip)
