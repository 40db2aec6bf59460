"""Credentials and endpoints: whether what answers there is the API, and knows what we know."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime

from janitor.doctor.findings import Finding, doubtful, fine, told, wrong
from janitor.drivers import Driver
from janitor.errors import AccessError, BusyError, DriverError, GoneError, TransientError
from janitor.model import Kind

NOWHERE = "janitor_doctor_asks_for_nothing"
PREFIXES = {Kind.CONVERSATION: "conv_", Kind.CHATKIT_THREAD: "cthr_", Kind.THREAD: "thread_"}
SHUT_DOWN_AT = datetime(2026, 8, 26, tzinfo=UTC)
SHUT_DOWN = ("openai.com", "openai.azure.com")
NOT_FOUND = 404
BAD_REQUEST = 400


async def look_at_project(
    name: str, host: str, drivers: Mapping[Kind, Driver], known: Mapping[Kind, Sequence[str]]
) -> Iterable[Finding]:
    """Ask for threads that were alive (`known`, by kind), or for one that cannot be.

    Where the credential is refused or nothing answers, no further kind is asked about.
    """
    found: list[Finding] = []
    for kind, driver in sorted(drivers.items()):
        check = f"access {name}"
        try:
            found.append(await _look(check, host, driver, known.get(kind, ())))
        except (AccessError, TransientError) as error:
            return [*found, told(check, error), _way(check, error, name, host)][-2:]
        except DriverError as error:
            found.append(_strange(check, kind, host, error, is_used=bool(known.get(kind))))
    return _none_of_it(name, host, found)


def _way(check: str, error: Exception, name: str, host: str) -> Finding:
    if isinstance(error, AccessError):
        says = "nothing of this project is removed until the credential is taken"
        return doubtful(check, says, f"mend projects.{name}.api_key, organization or project")
    todo = f"is {host} right and reachable from here (proxy, firewall, DNS)? curl it"
    return wrong(check, f"{host} does not answer", todo)


async def _look(check: str, host: str, driver: Driver, ids: Sequence[str]) -> Finding:
    for one in ids:
        try:
            await driver.probe(one)
        except GoneError:
            continue
        except BusyError:
            pass
        return fine(check, f"{driver.kind}: {host} knows a thread that is registered")
    if ids:
        return _all_gone(check, host, driver.kind, len(ids))
    try:
        await driver.probe(PREFIXES.get(driver.kind, "") + NOWHERE)
    except GoneError:
        return fine(check, f"{driver.kind}: {host} answers as the API does; none is known yet")
    says = f"{driver.kind}: {host} claims to know a thread that cannot be"
    return wrong(check, says, "what stands there is no such API: check base_url")


def _all_gone(check: str, host: str, kind: Kind, number: int) -> Finding:
    if kind is Kind.THREAD and _is_shut_down(host):
        says = f"thread: the Assistants API was shut down at {host} on {SHUT_DOWN_AT:%Y-%m-%d}"
        todo = "what is registered there is kept; leave `thread` out of kinds"
        return doubtful(check, says, todo)
    says = f"{kind}: {host} knows none of the {number} threads seen alive there last"
    return wrong(check, says, "a key of another project or account? see projects.*.api_key")


def _is_shut_down(host: str) -> bool:
    return datetime.now(UTC) >= SHUT_DOWN_AT and host.endswith(SHUT_DOWN)


def _strange(check: str, kind: Kind, host: str, error: DriverError, *, is_used: bool) -> Finding:
    if kind is Kind.THREAD and _is_shut_down(host):
        return _all_gone(check, host, kind, 0)
    if error.status == BAD_REQUEST and not is_used:
        says = f"{kind}: {host} answers HTTP 400 to an id that cannot be; that proves little"
        return doubtful(check, says, "register a thread of this kind, then ask again")
    says = f"{kind}: {host} is not this API: {error}"
    if error.status == NOT_FOUND and not is_used:
        return doubtful(check, says, "where this server has no such kind, leave it out of kinds")
    return wrong(check, says, "check base_url, and what stands in front of that host")


def _none_of_it(name: str, host: str, found: list[Finding]) -> list[Finding]:
    """Where not one kind answered as the API does, it is no such server."""
    strange = [one for one in found if "is not this API" in one.says]
    if found and len(strange) == len(found):
        todo = f"check projects.{name}.base_url, and what stands in front of that host"
        return [wrong(f"access {name}", f"{host} is not this API for any kind", todo), *found]
    return found
