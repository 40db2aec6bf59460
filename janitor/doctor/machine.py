"""The machine: who may read and write which files, whether secrets are there, and the port."""

from __future__ import annotations

import errno
import shutil
import socket
import stat
from collections.abc import Iterable, Iterator
from http.client import HTTPConnection, HTTPException
from pathlib import Path

from janitor.config import Config, Keeper, Secret
from janitor.doctor.findings import Finding, doubtful, fine, wrong
from janitor.errors import ConfigError

CONFIG = 2
WRITABLE = 0o022
READABLE = 0o077
ROOM = 500 << 20
LITTLE = 16 << 20
TIMEOUT = 3.0
EVERYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - asked by loopback


def secrets_of(config: Config) -> dict[str, Secret]:
    """Every secret that the configuration names, by where it does."""
    named = {"registry.password": config.registry.password}
    named["registry.hash_key"] = config.registry.hash_key
    named |= {f"projects.{one.name}.api_key": one.api_key for one in config.projects.values()}
    named |= {f"service.tokens.{one.name}": one.secret for one in config.service.tokens}
    urls = {f"sources.{one.name}": one.sql.url for one in config.sources.values()}
    named |= {name: url for name, url in urls.items() if isinstance(url, Secret)}
    return {name: one for name, one in named.items() if one.keeper is not Keeper.NONE}


def look_at_secrets(config: Config) -> Iterator[Finding]:
    """Whether every secret can be read now, and by nobody who has no business with it."""
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
    yield from found or [fine("permissions", "nobody else may change or read what is kept")]


def _too_open(check: str, path: Path, mask: int, mode: str) -> Iterator[Finding]:
    try:
        found = stat.S_IMODE(path.stat().st_mode)
    except OSError:
        return  # whoever needs it says so
    if found & mask:
        does = "changed" if mask == WRITABLE else "read"
        says = f"{path} (mode {found:o}) can be {does} by others"
        yield doubtful(check, says, f"chmod {mode} {path}")


def room(check: str, place: Path) -> Iterator[Finding]:
    """How much room a disk has left."""
    while not place.exists():
        place = place.parent
    free = shutil.disk_usage(place).free
    says = f"{free >> 20:,} MiB are free below {place}"
    if free < LITTLE:
        yield wrong(check, says, "make room: nothing more can be written soon")
    elif free < ROOM:
        yield doubtful(check, says, "make room before it is full")
    else:
        yield fine(check, says)


def look_at_port(config: Config) -> Iterable[Finding]:
    """Whether the service can listen where it is to, or does already."""
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
        return [wrong("port", f"{listen}: {error.strerror}", todo, code=CONFIG)]
    return [fine("port", f"{listen} is free for `janitor serve`")]


def _taken(listen: str, host: str, port: int) -> Finding:
    connection = HTTPConnection(host, port, timeout=TIMEOUT)
    try:
        connection.request("GET", "/healthz")
        if connection.getresponse().status == 200:  # noqa: PLR2004 - HTTP's own number
            return fine("port", f"a service answers on {listen} that it lives")
        says = f"a service answers on {listen} that it does not live"
        return wrong("port", says, "look into its log, then start it again")
    except (OSError, HTTPException):
        says = f"{listen} is taken by another program"
        todo = "end that, or let `janitor serve` listen elsewhere: service.listen"
        return wrong("port", says, todo, code=CONFIG)
    finally:
        connection.close()
