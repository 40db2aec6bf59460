"""The checks: installation, machine, registry, archive, and each project's API."""

from __future__ import annotations

import errno
import json
import os
import shutil
import socket
import stat
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from http.client import HTTPConnection, HTTPException
from pathlib import Path

from janitor import metrics
from janitor.archive import Archive
from janitor.causes import cause
from janitor.config import Config, Keeper, Secret
from janitor.config.regular_file import read_regular
from janitor.distribution import NAME, OWN, REINSTALL, VERSION, lost_files, remedy, rivals, some
from janitor.doctor.findings import Finding, attempt, doubtful, fine, told, wrong
from janitor.drivers import Driver, environment
from janitor.engine.clock import CLOCK, ClockWatch
from janitor.engine.pauses import described, resume_command
from janitor.engine.redecide import message
from janitor.errors import (
    AccessError,
    ArchiveError,
    BusyError,
    ConfigError,
    DriverError,
    GoneError,
    TransientError,
    shown_address,
)
from janitor.kinds import CATALOGUE, Kind, Shutdown
from janitor.model import LIVE, Key, Record
from janitor.policy import policies_digest
from janitor.registry import Registry
from janitor.registry.migrate import REVISION
from janitor.registry.sqlite import is_locked
from janitor.sources.discovery import place_of
from janitor.sources.watermark import INBOX, memories, troubles
from janitor.texts import counted
from janitor.tracking.spool import spool_states

NOWHERE = "janitor_doctor_asks_for_nothing"
NOT_FOUND = 404
BAD_REQUEST = 400


async def look_at_project(
    name: str, host: str, drivers: Mapping[Kind, Driver], known: Mapping[Kind, Sequence[str]]
) -> Iterable[Finding]:
    """Asks for threads that were alive (`known`, by kind), or for one that cannot exist.

    If the credential is refused or nothing answers, no further kind is asked about.
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
        says = "nothing of this project is removed until the credential works"
        return doubtful(check, says, f"fix projects.{name}.api_key, organization or project")
    todo = f"check that {host} is right and reachable from here (proxy, firewall, DNS), with curl"
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
        prefix = next(iter(CATALOGUE[driver.kind].prefixes), "")
        await driver.probe(prefix + NOWHERE)
    except GoneError:
        return fine(
            check,
            f"{driver.kind}: {host} answers like the API; no thread of this kind is known yet",
        )
    says = f"{driver.kind}: {host} claims to know a thread that cannot exist"
    return wrong(check, says, "that is not the API: check base_url")


def _all_gone(check: str, host: str, kind: Kind, number: int) -> Finding:
    if (over := _shutdown(kind, host)) is not None:
        says = f"{kind}: {over.api} was shut down at {host} on {over.at:%Y-%m-%d}"
        todo = f"its registered threads are kept; remove `{kind}` from kinds"
        return doubtful(check, says, todo)
    says = f"{kind}: {host} knows none of the {counted(number, 'thread')} last seen there"
    return wrong(
        check, says, "does the key belong to another project or account? Check projects.*.api_key"
    )


def _shutdown(kind: Kind, host: str) -> Shutdown | None:
    """The shutdown of a kind's API, if it has happened and concerns this host."""
    over = CATALOGUE[kind].shutdown
    is_over = over is not None and datetime.now(UTC) >= over.at and host.endswith(over.hosts)
    return over if is_over else None


def _strange(check: str, kind: Kind, host: str, error: DriverError, *, is_used: bool) -> Finding:
    if _shutdown(kind, host) is not None:
        return _all_gone(check, host, kind, 0)
    if error.status == BAD_REQUEST and not is_used:
        says = f"{kind}: {host} answers HTTP 400 to an id that cannot exist; that proves little"
        return doubtful(check, says, "register a thread of this kind, then run doctor again")
    says = f"{kind}: {host} is not this API: {error}"
    if error.status == NOT_FOUND and not is_used:
        return doubtful(check, says, "if this server does not have this kind, remove it from kinds")
    return wrong(check, says, "check base_url, and any gateway in front of that host")


def _none_of_it(name: str, host: str, found: list[Finding]) -> list[Finding]:
    """Adds a finding if no kind answered like the API: then the server is another one."""
    strange = [one for one in found if "is not this API" in one.says]
    if found and len(strange) == len(found):
        todo = f"check projects.{name}.base_url, and any gateway in front of that host"
        return [wrong(f"access {name}", f"{host} is not this API for any kind", todo), *found]
    return found


CONFIG = 2
WRITABLE = 0o022
READABLE = 0o077
ROOM = 500 << 20
LITTLE = 16 << 20
TIMEOUT = 3.0
UNDELIVERED = 600.0  # seconds; a program that runs delivers within a minute
EVERYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - asked by loopback


def secrets_of(config: Config) -> dict[str, Secret]:
    """Every secret that the configuration names, by the key that names it."""
    named = {"registry.password": config.registry.password}
    named["registry.hash_key"] = config.registry.hash_key
    named |= {f"projects.{one.name}.api_key": one.api_key for one in config.projects.values()}
    named |= {f"service.tokens.{one.name}": one.secret for one in config.service.tokens}
    urls = {f"sources.{one.name}": one.sql.url for one in config.sources.values()}
    named |= {name: url for name, url in urls.items() if isinstance(url, Secret)}
    return {name: one for name, one in named.items() if one.keeper is not Keeper.NONE}


def look_at_secrets(config: Config) -> Iterator[Finding]:
    """Whether every secret can be read now, and secret files by their owner alone."""
    named, unread = secrets_of(config), 0
    for name, secret in named.items():
        try:
            secret.reveal()
        except ConfigError as error:
            unread += 1
            yield wrong("secrets", f"{name}: {error}", code=CONFIG)
        if secret.keeper is Keeper.FILE:
            yield from _too_open("secrets", Path(secret.name), READABLE, "600")
    if not unread:
        yield fine("secrets", f"{len(named)} can be read")


def look_at_files(config: Config) -> Iterator[Finding]:
    """Who else may change the configuration, or read the registry and the archive."""
    places = [(config.path, WRITABLE, "go-w"), (config.registry.path, READABLE, "600")]
    archive = config.archive.path
    found = [
        finding
        for path, mask, mode in [*places, (archive, READABLE, "700")]
        if path is not None and path.exists()
        for finding in _too_open("permissions", path, mask, mode)
    ]
    yield from found or [fine("permissions", "nobody else can read or change the data")]


def _too_open(check: str, path: Path, mask: int, mode: str) -> Iterator[Finding]:
    try:
        found = stat.S_IMODE(path.stat().st_mode)
    except OSError:
        return  # reported by the check that needs it
    if found & mask:
        does = "changed" if mask == WRITABLE else "read"
        says = f"{path} (mode {found:o}) can be {does} by others"
        yield doubtful(check, says, f"chmod {mode} {path}")


def room(check: str, place: Path) -> Iterator[Finding]:
    """How much space a disk has left."""
    while not place.exists():
        place = place.parent
    free = shutil.disk_usage(place).free
    says = f"{free >> 20:,} MiB are free below {place}"
    if free < LITTLE:
        yield wrong(check, says, "free some space: soon nothing more can be written")
    elif free < ROOM:
        yield doubtful(check, says, "free some space before it is full")
    else:
        yield fine(check, says)


def look_at_spools(config: Config, now: datetime) -> Iterator[Finding]:
    """What tracked programs of this user have not delivered, and to which registry it goes."""
    for spool in spool_states():
        is_ours = spool.registry is not None and _is_registry(config, spool.registry)
        kept = f"{max(1, spool.size >> 10):,} KiB" if spool.size else "nothing"
        whose = _shown(spool.registry) if spool.registry else "an unnamed registry"
        waits = f"{spool.directory}: {kept} waits for {whose}"
        is_late = spool.since is not None and now.timestamp() - spool.since > UNDELIVERED
        if is_late and spool.since is not None:
            at = f"{datetime.fromtimestamp(spool.since, UTC):%Y-%m-%d %H:%M}"
            todo = (
                "start a program that tracks into it, or deliver it: docs/tracking.md"
                if is_ours
                else "this configuration's registry is another one: correct the address that the "
                "program gives to janitor.track(), or deliver the spool: docs/tracking.md"
            )
            yield doubtful("spools", f"{waits}, and nothing was delivered since {at} UTC", todo)
        else:
            yield fine("spools", waits if is_ours else f"{waits}, which is another registry")


def _is_registry(config: Config, name: str) -> bool:
    """Whether a spool's registry is the one of this configuration, however it is spelled.

    For a server, only host and database count: applications have users and drivers of their own.
    """
    if config.registry.path is not None:
        spelled = os.path.realpath(name.removeprefix("sqlite:///"))
        return name.startswith("sqlite:") and spelled == os.path.realpath(config.registry.path)
    known = shown_address(config.registry.url).partition("://")[2]
    return name.startswith("postgres") and shown_address(name).partition("://")[2] == known


def _shown(name: str) -> str:
    """A registry's name without its password; a file name has none."""
    return name if name.startswith("sqlite:///") else shown_address(name)


def look_at_port(config: Config) -> Iterable[Finding]:
    """Whether the service can listen at its address, or already does."""
    listen = config.service.listen
    host, _, port = listen.rpartition(":")
    host = host.strip("[]")
    try:
        with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as tried:
            tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            tried.bind((host, int(port)))
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            return [_taken(listen, EVERYWHERE.get(host, host), int(port))]
        todo = "listen on an address of this machine: service.listen"
        says, _, todo = cause(error, todo).partition("; ")
        return [wrong("port", f"{listen}: {says}", todo, code=CONFIG)]
    return [fine("port", f"{listen} is free for `janitor serve`")]


def _taken(listen: str, host: str, port: int) -> Finding:
    connection = HTTPConnection(host, port, timeout=TIMEOUT)
    try:
        connection.request("GET", "/healthz")
        if connection.getresponse().status == 200:  # noqa: PLR2004 - HTTP's own number
            return fine("port", f"the service on {listen} says that it is alive")
        says = f"the service on {listen} says that it is not alive"
        return wrong("port", says, "check its log, then restart it")
    except (OSError, HTTPException):
        says = f"{listen} is taken by another program"
        todo = "stop it, or let `janitor serve` listen elsewhere: service.listen"
        return wrong("port", says, todo, code=CONFIG)
    finally:
        connection.close()


ID = "janitor_doctor"
KIND, TRAIT = next(iter(CATALOGUE.items()))
"""The kind of the object that is put into the archive for a moment; any kind will do."""
BODY = f'{{"id":"{ID}","object":"{TRAIT.noun}"}}'.encode()


async def look_at_archive(
    config: Config, registry: Registry | None, now: datetime
) -> list[Finding]:
    """Whether copies can be stored, and how much space there is.

    An archive that does not exist yet is not created by this check.

    Raises:
        ArchiveError: The archive cannot be used; the message says what to do.
    """
    root, url = config.archive.path, config.archive.url
    known = registry is not None and registry.copies.archive_url() == url
    if not known and not (root / ".incoming").is_dir():
        return [*_unbegun(config), *room("archive", root)]
    archive = Archive.open(url, known=known)
    project = next(iter(config.projects))
    copy = await archive.put(Key(project, KIND, ID), now, _object(), now)
    try:
        await archive.prove(copy)
        read = [part.body for part in archive.read(copy.path) if isinstance(part, Record)]
        if read != [BODY]:
            raise ArchiveError(f"archive {root}: the data read back is not what was written")
    finally:
        await archive.remove(copy.path)
    says = f"{root}: an object was written, proven, read and removed"
    return [fine("archive", says), *room("archive", root)]


async def _object() -> AsyncIterator[Record]:
    yield Record(ID, BODY, is_item=False)


def _unbegun(config: Config) -> list[Finding]:
    root = place = config.archive.path
    while not place.exists():
        place = place.parent
    if os.access(place, os.W_OK | os.X_OK):
        return [fine("archive", f"{root} is created with the first copy")]
    todo = f"create {root} for this user (mode 700), or name another place: archive.url"
    return [wrong("archive", f"{place} cannot be written by this user", todo)]


LIMIT = 4
SHOWN = 5  # rows of the inbox that are listed
MUCH = 4096  # bytes of a lock file that are read
SPARE = timedelta(hours=1)


def open_finding(config: Config, registry: Registry) -> Iterator[Finding]:
    """That the registry is open, whether it can be written, and how much space it has."""
    living = sum(n for (_, _, state), n in registry.threads.states().items() if state in LIVE)
    yield fine("database", f"{registry.name}: schema {REVISION}, {living} living threads")
    if (path := config.registry.path) is None:
        return
    if not (os.access(path, os.W_OK) and os.access(path.parent, os.W_OK | os.X_OK)):
        todo = f"run janitor as its owner, or give this user access to {path} and its directory"
        yield wrong("database", f"{path} cannot be written by this user", todo, code=2)
    yield from room("database", path.parent)
    yield from _lock(Path(f"{path.resolve()}.lock"), registry)


def _lock(path: Path, registry: Registry) -> Iterator[Finding]:
    try:
        holder = json.loads(read_regular(path, MUCH) or b"null")
        is_held = is_locked(path)
    except (OSError, ValueError):
        return
    if holder is not None:
        yield fine(
            "lock", _held_by(holder.get("pid"), holder.get("host"), registry, is_held=is_held)
        )


def _held_by(pid: object, host: object, registry: Registry, *, is_held: bool) -> str:
    """Who holds the run's lock or died holding it; unknown for a process on another machine."""
    if host != socket.gethostname():
        who = f"process {pid} on {host}"
        return f"{who} holds the run, or held it when it died: the next run takes over"
    if not is_held:
        return f"was held by process {pid}, which has died: the next run takes over"
    open_runs = registry.runs.unclosed()
    run = f"; open run: {open_runs[-1].command}" if open_runs else ""
    return f"held by process {pid}, which is alive{run}"


def look_at_work(
    config: Config, registry: Registry, now: datetime, due_by: datetime | None
) -> Iterator[Finding]:
    """What is waiting, overdue, failed or not served; `due_by` is when a sweep was due."""
    yield from attempt("inbox", lambda: _inbox(registry))
    yield from _sweeps(config, registry, now, due_by)
    yield from _approval(config, registry)
    yield from _unserved(config, registry)
    yield from _sources(config, registry)
    yield from _lists(registry)
    for pause in registry.pauses.in_force(now):
        todo = f"{resume_command(pause)}, once its reason no longer applies"
        yield doubtful("pauses", described(pause), todo)


def _inbox(registry: Registry) -> Iterable[Finding]:
    waiting = (
        f"{counted(registry.inbox.undrained(), 'notice is waiting', 'notices are waiting')} "
        "for the next sweep"
    )
    if (trouble := troubles(registry).get(INBOX)) is None:
        yield fine("inbox", waiting)
    else:
        todo = "no thread is removed until it can be read: janitor sweep tries again"
        yield wrong("inbox", f"{trouble}; {waiting}", todo)
    if refused := registry.inbox.refused():
        says = f"{counted(refused, 'notice was', 'notices were')} refused in the last 30 days"
        todo = "see the column `refused` of janitor_inbox; fix the writer"
        yield doubtful(
            "inbox", f"{says}: {_rows(registry.inbox.refused_rows(SHOWN), refused)}", todo
        )
    if doubted := registry.inbox.doubted():
        says = f"{len(doubted)} of the waiting notices cannot be used"
        todo = "the next sweep refuses them, and the column `refused` then says why; fix the writer"
        yield doubtful("inbox", f"{says}: {_rows(list(doubted), len(doubted))}", todo)


def _rows(numbers: list[int], of: int) -> str:
    shown = ", ".join(map(str, numbers[:SHOWN]))
    return f"row {shown}" if of == 1 else f"rows {shown}{' ...' if of > SHOWN else ''}"


def _sweeps(
    config: Config, registry: Registry, now: datetime, due_by: datetime | None
) -> Iterator[Finding]:
    last = registry.runs.last_completed(now)
    if last is None:
        todo = "janitor plan; then janitor sweep, or janitor serve"
        yield doubtful("sweeps", "no sweep has gone through everything yet", todo)
    elif due_by is not None and due_by < now:
        says = f"the last full sweep ended {last:%Y-%m-%d %H:%M} UTC; the next one is overdue"
        yield doubtful(
            "sweeps", says, "is `janitor serve` running? Check its log, and: janitor runs"
        )
    else:
        yield fine("sweeps", f"the last full sweep ended {last:%Y-%m-%d %H:%M} UTC")
    longest = config.policies.limits.max_duration + SPARE
    for run in registry.runs.unclosed():
        since = (
            f"run {run.id[:12]} ({run.command}) has been open since {run.started_at:%Y-%m-%d %H:%M}"
        )
        if run.started_at < now - longest:
            yield doubtful("sweeps", since, "its janitor died: janitor sweep closes it")
        else:
            yield fine("sweeps", f"{since} UTC")


def _approval(config: Config, registry: Registry) -> Iterator[Finding]:
    waiting, last = registry.policies.unapproved(), registry.policies.approval()
    digest = policies_digest(config.policies)
    if waiting is not None and waiting.digest == digest:
        says = message(digest, waiting.threads)
        yield doubtful(
            "policies", says, f"janitor plan; janitor approve {digest[:12]} --reason ..."
        )
    elif last is not None and last.digest != digest:
        says = "the policies differ from those approved last, and no sweep has compared them yet"
        yield doubtful("policies", says, "janitor plan shows what they would change")


def _unserved(config: Config, registry: Registry) -> Iterator[Finding]:
    for (project, kind, state), number in sorted(registry.threads.states().items()):
        served = config.projects.get(project)
        if state in LIVE and (served is None or kind not in served.kinds):
            threads = counted(number, f"{state} thread")
            says = f"{threads} of project {project}, kind {kind}: not served"
            todo = f"they are kept forever: add the kind under projects.{project}"
            if served is None:
                todo = (
                    "they are kept forever: no project of that name is configured; fix the "
                    f"application that registers them, or add projects.{project}"
                )
            yield doubtful("not served", says, todo)


def _sources(config: Config, registry: Registry) -> Iterator[Finding]:
    known = memories(registry) if config.sources else {}
    for name in sorted(config.sources):
        memory = known.get(name)
        if memory is None or (memory.ended_at is None and memory.trouble is None):
            todo = f"janitor sync --source {name} --dry-run, then without"
            yield doubtful("sources", f"{name} was never read", todo)
        elif memory.trouble is not None:
            says = f"{name}: its last reading failed: {memory.trouble}"
            yield wrong(
                "sources", says, f"its threads are kept until then: janitor sync --source {name}"
            )
        else:
            yield fine(
                "sources", f"{name} was read to its end {memory.ended_at:%Y-%m-%d %H:%M} UTC"
            )


def _lists(registry: Registry) -> Iterator[Finding]:
    for name, trouble in sorted(troubles(registry).items()):
        if place_of(name) is not None:
            says = f"{name}: the last walk of this list failed: {trouble}"
            yield wrong(
                "discovery", says, "no thread is removed because of it: janitor sync --discover"
            )


def look_at_clock(
    watch: ClockWatch, registry: Registry | None, unset: Sequence[str] = ()
) -> Iterator[Finding]:
    """Whether the clock agrees with the API's answers and with the time since boot.

    `unset` names the variables or files of missing API keys, without which no API answers.
    """
    if registry is not None:
        watch.compare(registry.key_values.recall(CLOCK))
    if watch.trouble is not None:
        yield wrong("clock", watch.trouble, "timedatectl", code=LIMIT)
    elif watch.is_heard:
        yield fine("clock", "agrees with the dates of the API's answers")
    else:
        todo = f"set {' and '.join(unset)}" if unset else "see the findings under `access`"
        yield doubtful("clock", "not confirmed: no answer from the API yet", todo)


CHECK = "installation"


def look_at_installation(path: Sequence[str] | None = None) -> Iterator[Finding]:
    """Whether another package or command `janitor` hides this one, or shares files with it."""
    troubled = False
    for rival in rivals(path):
        troubled = True
        if rival.shared:
            says = (
                f"{rival.name} installed files with the names of this program's "
                f"({some(rival.shared)})"
            )
            yield wrong(CHECK, f"{says}: its code may run instead", remedy(rival), CONFIG)
        elif rival.place is not None:
            says = f"{rival.name} has its own package `janitor` at {rival.place}"
            yield doubtful(CHECK, f"{says}: it may be imported instead", remedy(rival))
        else:
            says = f"{rival.name} also installs a command `janitor`, which may run instead"
            yield doubtful(CHECK, says, remedy(rival))
    if gone := lost_files(path):
        troubled = True
        yield wrong(
            CHECK,
            f"{counted(len(gone), 'file is', 'files are')} missing ({some(gone)})",
            REINSTALL,
            CONFIG,
        )
    if not troubled:
        yield fine(CHECK, f"{NAME} {VERSION} in {OWN}")


def look_at_environment() -> Iterator[Finding]:
    """Whether the environment names proxies, certificates or counters that cannot be used.

    Raises:
        ConfigError: It does.
    """
    for check in (environment.check_environment, metrics.check_environment):
        check()
    yield fine("environment", "no environment variable interferes")
