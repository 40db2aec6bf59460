"""Hostile answers: the true one of the emulator's, with something in it replaced."""

from __future__ import annotations

import gzip
import json
import urllib.request
from collections.abc import Callable
from typing import Any

from fuzz_values import SECRET, Draw

from janitor.emulator import Emulator, Fault, How

LISTS = {
    "conversations": ("items",),
    "threads": ("messages", "runs"),
    "chatkit/threads": ("items",),
    "agents/sessions": ("items", "turns"),
}
BETAS = "assistants=v2,chatkit_beta=v1,agents=v1"
STATUSES = [200] * 12 + [201, 202, 203, 206, 300, 400, 405, 409, 413, 418, 422, 451, 501]
"""Neither what stops a project by design (401, 404), nor what asks to wait (429, 5xx)."""


class Site:
    """One emulator, asked as it truly answers and then told what to answer instead."""

    def __init__(self, emulator: Emulator, base_url: str, key: str) -> None:
        self.emulator = emulator
        self._base_url = base_url
        self._key = key

    def twist(self, draw: Draw, place: str, id: str) -> None:
        """Let some answers about a container be hostile from now on."""
        path = f"/{place}/{id}"
        paths = [path, *(f"{path}/{name}" for name in LISTS[place])]
        for one in draw.some(paths):
            method = draw.one(["GET", "GET", "GET", "*"]) if one == path else "GET"
            self._twist(draw, one, method, self._true(one))
        if draw.chance(20):
            noun = {"id": id, "object": f"{place.rstrip('s')}.deleted", "deleted": True}
            self._twist(draw, path, "DELETE", noun)

    def twist_list(self, draw: Draw) -> None:
        """Let what the server lists of one kind be hostile."""
        path = f"/{draw.one(sorted(LISTS))}"
        self._twist(draw, path, "GET", self._true(path))

    def _true(self, path: str) -> Any:  # noqa: ANN401 - what JSON says
        headers = {"Authorization": f"Bearer {self._key}", "OpenAI-Beta": BETAS}
        request = urllib.request.Request(f"{self._base_url}{path}", headers=headers)  # noqa: S310
        try:
            with urllib.request.urlopen(request) as answer:  # noqa: S310 - our own, on loopback
                return json.loads(answer.read())
        except urllib.error.HTTPError:
            return {}

    def _twist(self, draw: Draw, path: str, method: str, true: Any) -> None:  # noqa: ANN401
        for _ in range(draw.number(1, 2)):
            true = spoilt(draw, true)
        body = bytes_of(draw, true)
        headers = {"content-type": "application/json"} | headers_of(draw)
        if draw.chance(3):
            body, headers = draw.bytes(), headers | {"content-encoding": "gzip"}
        elif draw.chance(5):
            body, headers = gzip.compress(body), headers | {"content-encoding": "gzip"}
        self.emulator.add_fault(
            Fault(
                How.STATUS,
                method=method,
                path=path,
                status=draw.one(STATUSES),
                body=body,
                headers=headers,
            )
        )


def spoilt(draw: Draw, true: Any) -> Any:  # noqa: ANN401 - JSON in, JSON out
    """The same with one thing in it replaced, removed, added or called otherwise."""
    if draw.chance(4):
        return draw.json()
    if isinstance(true, list) and true:
        spot = draw.number(0, len(true) - 1)
        return [spoilt(draw, one) if n == spot else one for n, one in enumerate(true)]
    if not isinstance(true, dict) or not true:
        return draw.json()
    name = draw.one(sorted(true))
    if isinstance(true[name], dict | list) and draw.chance(60):
        return true | {name: spoilt(draw, true[name])}
    changes: list[Callable[[], Any]] = [
        lambda: true | {name: draw.json()},
        lambda: true | {name: draw.text()},
        lambda: {key: one for key, one in true.items() if key != name},
        lambda: {draw.key() if key == name else key: one for key, one in true.items()},
        lambda: true | {draw.key(): draw.json()},
        lambda: true | {"metadata": _metadata(draw)},
        lambda: true | {"error": draw.json(), "deleted": draw.json()},
    ]
    return draw.one(changes)()


def _metadata(draw: Draw) -> Any:  # noqa: ANN401 - JSON
    if draw.chance(20):
        return draw.json()
    return {draw.key(): f"{SECRET}{draw.text()[:700]}" for _ in range(draw.number(0, 4))}


def bytes_of(draw: Draw, said: Any) -> bytes:  # noqa: ANN401 - JSON
    """What goes over the wire: JSON, or nearly so."""
    whole = json.dumps(said).encode()
    odd: list[Callable[[], bytes]] = [
        lambda: whole[: draw.number(0, len(whole))],
        lambda: b"\xef\xbb\xbf" + whole,
        lambda: json.dumps(said).encode("utf-16"),
        lambda: whole + draw.bytes(),
        lambda: whole.replace(b'"', b'"\xff', 1),
        lambda: b'{"id":"%s",' % SECRET.encode() + whole[1:],
        lambda: json.dumps(said, ensure_ascii=False).encode("utf-8", "surrogatepass"),
        draw.bytes,
    ]
    return whole if draw.chance(70) else draw.one(odd)()


def headers_of(draw: Draw) -> dict[str, str]:
    """Headers that a program may read; no `Date`, which by design contradicts the clock."""
    names = [
        *("x-request-id", "content-type", "retry-after", "openai-processing-ms", "x-should-retry"),
        *("x-ratelimit-limit-requests", "x-ratelimit-reset-requests", "openai-version", "server"),
    ]
    if draw.chance(60):
        return {}
    texts = {name: draw.text()[:300] for name in draw.some(names)}
    return {
        name: "".join(c for c in text if " " <= c <= "~").strip() for name, text in texts.items()
    }
