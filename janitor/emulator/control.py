"""The emulator's own door, `/_emulator`, for tests that run it in another process.

It asks for no key: it stands on loopback and holds nothing real.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from janitor.emulator import fill
from janitor.emulator.errors import Json
from janitor.emulator.faults import Fault
from janitor.emulator.site import Site
from janitor.emulator.state import Kind

Door = Callable[[Site, Json, str], object]


def _moment(value: Any) -> datetime | None:  # noqa: ANN401
    if value is None:
        return None
    if isinstance(value, int | float):
        return datetime.fromtimestamp(value, UTC)
    return datetime.fromisoformat(value)


def _add_fault(site: Site, body: Json, _: str) -> object:
    return {"fault": site.faults.add(Fault(**body))}


def _faults(site: Site, _body: Json, _: str) -> object:
    return {"struck": site.faults.struck()}


def _clear_faults(site: Site, _body: Json, _: str) -> object:
    site.faults.clear()
    return {}


def _remove_fault(site: Site, _body: Json, number: str) -> object:
    site.faults.remove(int(number))
    return {}


def _log(site: Site, _body: Json, _: str) -> object:
    return [entry.show() for entry in site.log.entries]


def _clear_log(site: Site, _body: Json, _: str) -> object:
    site.log.clear()
    return {}


def _counts(site: Site, _body: Json, _: str) -> object:
    return site.log.counts()


def _add(site: Site, body: Json, _: str) -> object:
    kind, project = Kind(body.pop("kind")), body.pop("project", None)
    for name in ("created_at", "last_active_at"):
        body[name] = _moment(body.get(name))
    return {"id": fill.add(site.world, kind, project or next(iter(site.keys.values())), **body)}


def _items(site: Site, _body: Json, id: str) -> object:
    return fill.items_of(site.world, id)


def _append(site: Site, body: Json, id: str) -> object:
    text = body.get("text", "One more.")
    return {"id": fill.append(site.world, id, text, _moment(body.get("at")))}


def _touch(site: Site, _body: Json, id: str) -> object:
    fill.touch(site.world, id)
    return {}


def _lock(site: Site, body: Json, id: str) -> object:
    site.world.named(id).locked = body.get("locked", True)
    return {}


def _start_run(site: Site, body: Json, id: str) -> object:
    return {"id": fill.start_run(site.world, id, body.get("status", "in_progress"))}


def _set_run(site: Site, body: Json, run: str) -> object:
    fill.set_run(site.world, run, body["status"])
    return {}


def _set_clock(site: Site, body: Json, _: str) -> object:
    if (at := _moment(body.get("at"))) is not None:
        site.world.clock.set(at)
    site.world.clock.advance(timedelta(seconds=body.get("advance", 0)))
    return {"now": site.world.clock.now().isoformat()}


def _endpoint(site: Site, door: Door) -> Callable[[Request], Awaitable[Response]]:
    async def endpoint(request: Request) -> Response:
        raw = await request.body()
        with site.world.lock:
            try:
                said = door(site, orjson.loads(raw or b"{}"), request.path_params.get("id", ""))
            except (KeyError, TypeError, ValueError) as error:
                return Response(f"{type(error).__name__}: {error}", 400)
            return Response(
                orjson.dumps(said, option=orjson.OPT_NON_STR_KEYS), media_type="application/json"
            )

    return endpoint


_DOORS: tuple[tuple[str, str, Door], ...] = (
    ("POST", "/faults", _add_fault),
    ("GET", "/faults", _faults),
    ("DELETE", "/faults", _clear_faults),
    ("DELETE", "/faults/{id}", _remove_fault),
    ("GET", "/log", _log),
    ("DELETE", "/log", _clear_log),
    ("GET", "/counts", _counts),
    ("POST", "/containers", _add),
    ("GET", "/containers/{id}/items", _items),
    ("POST", "/containers/{id}/items", _append),
    ("POST", "/containers/{id}/touch", _touch),
    ("POST", "/containers/{id}/lock", _lock),
    ("POST", "/containers/{id}/runs", _start_run),
    ("POST", "/runs/{id}", _set_run),
    ("POST", "/clock", _set_clock),
)


def control(site: Site) -> list[BaseRoute]:
    """The routes of the control door."""
    return [Route(path, _endpoint(site, door), methods=[method]) for method, path, door in _DOORS]
