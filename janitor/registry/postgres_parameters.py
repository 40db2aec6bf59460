"""PostgreSQL's connection parameters, from an address or from libpq's environment variables."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator, Mapping, Set
from pathlib import Path

from sqlalchemy import URL

from janitor.addresses import LIBPQ, Parameter, spoken, wrong_parameter, wrong_variable

UNUSED = ("PGTZ", "PGDATESTYLE", "PGGEQO")
"""Variables that libpq sends with each new session: we set the first two, and need no third."""

_NO_ROLE = re.compile('role "(.*)" does not exist')
_ROLES = re.compile(r"(?:role|session_authorization)\s*=\s*([^\s'\"]+)")

_COMPLAINTS: tuple[tuple[str, str, str], ...] = (
    (
        "definition of service .* not found|service file",
        "service",
        "no such service: correct it, or the service file",
    ),
    (
        "invalid .* value|invalid port|parse network address|invalid connection option",
        "service",
        "a setting of its service cannot be used: correct it in the service file",
    ),
    (
        "gssencmode|gssapi encryption",
        "gssencmode",
        "sessions cannot be encrypted by GSSAPI here: write prefer or disable",
    ),
    ("sslnegotiation", "sslnegotiation", "write sslmode=require, or a stricter one, beside it"),
    ("could not match .* (hosts|hostaddr)", "port", "write one for each host, or one for all"),
    (
        "root certificate|certificate authority",
        "sslrootcert",
        "its file cannot be read: name one that can, or write sslrootcert=system",
    ),
    ("private key", "sslkey", "its file cannot be used: chmod 600 it, and check its content"),
    ("certificate file|certificate, but", "sslcert", "its file cannot be read: name one that can"),
    ("requirepeer|peer user name", "requirepeer", "the server runs as another user: correct it"),
    (
        "did not complete authentication|server requested .*(password|authentication)",
        "require_auth",
        "the server asks for another method: correct it",
    ),
    ("scram client key", "scram_client_key", "it cannot be used: correct it, or remove it"),
    ("scram server key", "scram_server_key", "it cannot be used: correct it, or remove it"),
    ("channel binding", "channel_binding", "the server does not offer that: correct it"),
    (
        "session is (not )?read-only|hot standby mode",
        "target_session_attrs",
        "no server is what it asks for: correct it, or name that server in `host`",
    ),
    (
        (
            "unrecognized configuration|invalid command-line|requires a|outside the valid range|"
            "invalid value for parameter|parameter .* cannot|permission denied to set|"
            "could not (access|load) .*(file|library)"
        ),
        "options",
        "the server does not accept them: correct them",
    ),
)


def wrong_parameters(url: URL, known: Mapping[str, Parameter] = LIBPQ) -> str | None:
    """What is wrong with the parameters of an address, quoting no value; `None` if nothing is."""
    return wrong_parameter(_pairs(url), known)


def wrong_variables(url: URL) -> str | None:
    """What is wrong with a libpq variable that would keep every session here from opening.

    Removes the `UNUSED` variables from the environment, because a bad value in them would as well.
    """
    for name in UNUSED:
        os.environ.pop(name, None)
    return wrong_variable(os.environ, given(url))


def given(url: URL) -> Set[str]:
    """The parameters that an address itself contains."""
    parts = {
        "user": url.username,
        "password": url.password,
        "host": url.host,
        "port": url.port,
        "dbname": url.database,
    }
    return {key for key, value in parts.items() if value} | {*url.query}


def complaint(text: str, url: URL, setting: str) -> str | None:
    """Which parameter a message of libpq or the server complains about, and what to do."""
    for sentence, key, todo in _COMPLAINTS:
        if re.search(sentence, text):
            return _blamed(key, todo, url, setting)
    return None


def role_of_options(text: str, url: URL, setting: str) -> str | None:
    """What to do about a missing role, if the options name it and it is not the user."""
    found = _NO_ROLE.search(text)
    own, users = url.query.get("options"), (url.username, os.environ.get("PGUSER"))
    options = own if isinstance(own, str) else os.environ.get("PGOPTIONS", "")
    named = _ROLES.findall(options.replace("\\", ""))
    if found is None or found[1] not in named or found[1] == next(filter(None, users), None):
        return None
    return _blamed("options", "they name a role that does not exist: correct them", url, setting)


def _blamed(key: str, todo: str, url: URL, setting: str) -> str:
    variable = dict(spoken(os.environ, given(url))).get(key)
    where = variable or f"`{key}` in {setting}"
    return f"{where}: {todo}" + (f", or unset {variable}" if variable else "")


def unusable_passfile(url: URL) -> str | None:
    """Why libpq cannot use the password file, and what to do; `None` if it can or need not."""
    told = url.query.get("passfile") or os.environ.get("PGPASSFILE")
    path = Path(told if isinstance(told, str) else Path.home() / ".pgpass")
    variable = "" if "passfile" in url.query or not told else "PGPASSFILE: "
    try:
        mode = path.stat().st_mode
    except OSError as error:
        if not told:
            return None
        why = error.strerror or "it cannot be read"
        return f"{variable}the password file {path}: {why}; name one that can be read"
    if not stat.S_ISREG(mode):
        return f"{variable}the password file {path} is not a plain file; name one that is"
    if mode & (stat.S_IRWXG | stat.S_IRWXO):
        why = "can be read by others, so it is not used: chmod 600 it"
        return f"{variable}the password file {path} {why}"
    return None


def variables_that_count(url: URL) -> str:
    """A hint naming the libpq variables that affect the connection; empty if none does."""
    named = [variable for _, variable in spoken(os.environ, given(url))]
    return f" ({', '.join(named)} in the environment: unset what is not meant)" if named else ""


def _pairs(url: URL) -> Iterator[tuple[str, str]]:
    for key, values in url.query.items():
        yield from ((key, value) for value in ([values] if isinstance(values, str) else values))
