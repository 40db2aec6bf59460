"""Checks addresses: host names, a database's parameters, and the variables that replace them.

For libpq see https://www.postgresql.org/docs/current/libpq-connect.html and libpq-envars.html.
Messages never quote a value, since it may be part of a password.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from ipaddress import ip_address
from urllib.parse import unquote

Pairs = Iterable[tuple[str, str]]

LAST_PORT = 65535
LONGEST_HOST = 254
LAST_NUMBER = 2**31 - 1
_METHODS = frozenset({"password", "md5", "gss", "sspi", "scram-sha-256", "oauth", "none"})
_HOST = re.compile(r"(?:[A-Za-z0-9_-]{1,63}\.)*[A-Za-z0-9_-]{1,63}\.?")
_NAME = re.compile(r"[a-z][a-z_]{0,30}")


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter: `takes` describes its values in words, `fits` tests a value."""

    takes: str = ""
    fits: Callable[[str], bool] = lambda _: True


def _one_of(*names: str, empty: bool = False) -> Parameter:
    takes = f"{', '.join(names[:-1])} or {names[-1]}"
    return Parameter(takes, lambda value: value in names or (empty and not value))


def _is_number(value: str) -> bool:
    found = re.fullmatch(r"\s*([+-]?\d{1,10})\s*", value, re.ASCII)
    return found is not None and -LAST_NUMBER - 1 <= int(found[1]) <= LAST_NUMBER


def _is_port(value: str) -> bool:
    return not value or (_is_number(value) and 0 < int(value) <= LAST_PORT)


def _is_address(value: str) -> bool:
    try:
        return not value or bool(ip_address(value))
    except ValueError:
        return False


def _each(fits: Callable[[str], bool]) -> Callable[[str], bool]:
    return lambda value: all(fits(part) for part in value.split(","))


def _is_method(value: str) -> bool:
    return not value or value.strip().removeprefix("!") in _METHODS


_ANY = Parameter()
_NUMBER = Parameter("a whole number, such as 10", _is_number)
_VERSIONS = Parameter(
    "TLSv1.2 or TLSv1.3",
    lambda value: value.lower() in {"", "tlsv1", "tlsv1.1", "tlsv1.2", "tlsv1.3"},
)
_PROTOCOLS = _one_of("3.0", "3.2", "latest")

LIBPQ: Mapping[str, Parameter] = {
    **dict.fromkeys(("host", "user", "password", "dbname", "service"), _ANY),
    **dict.fromkeys(("passfile", "options", "client_encoding"), _ANY),
    **dict.fromkeys(("application_name", "fallback_application_name"), _ANY),
    **dict.fromkeys(("sslcert", "sslkey", "sslpassword", "sslrootcert", "sslcrl"), _ANY),
    **dict.fromkeys(("sslcrldir", "sslcompression", "sslsni", "sslkeylogfile"), _ANY),
    **dict.fromkeys(("requiressl", "requirepeer", "krbsrvname", "gsslib", "gssdelegation"), _ANY),
    **dict.fromkeys(("scram_client_key", "scram_server_key", "oauth_issuer"), _ANY),
    **dict.fromkeys(("oauth_client_id", "oauth_client_secret", "oauth_scope"), _ANY),
    **dict.fromkeys(("keepalives", "keepalives_idle", "keepalives_interval"), _NUMBER),
    **dict.fromkeys(("keepalives_count", "tcp_user_timeout", "connect_timeout"), _NUMBER),
    "hostaddr": Parameter("an IP address, or a name in `host`", _each(_is_address)),
    "port": Parameter("a port from 1 to 65535", _each(_is_port)),
    "sslmode": _one_of("disable", "allow", "prefer", "require", "verify-ca", "verify-full"),
    "sslnegotiation": _one_of("postgres", "direct"),
    "sslcertmode": _one_of("disable", "allow", "require"),
    "ssl_min_protocol_version": _VERSIONS,
    "ssl_max_protocol_version": _VERSIONS,
    "min_protocol_version": _PROTOCOLS,
    "max_protocol_version": _PROTOCOLS,
    "channel_binding": _one_of("disable", "prefer", "require"),
    "gssencmode": _one_of("disable", "prefer", "require"),
    "load_balance_hosts": _one_of("disable", "random"),
    "require_auth": Parameter("scram-sha-256, or other methods of libpq's", _each(_is_method)),
    "target_session_attrs": _one_of(
        "any", "read-write", "read-only", "primary", "standby", "prefer-standby"
    ),
}
"""The parameters our sessions may be opened with; `replication` opens another kind of session."""

_SILENT = re.compile(
    r"connect_timeout|client_encoding|.*application_name|keepalives.*|tcp_.*|sslpassword|"
    r"sslkeylogfile|scram_.*|oauth_.*"
)
VARIABLES: Mapping[str, str] = {
    **{k: f"PG{k.replace('_', '').upper()}" for k in LIBPQ if not _SILENT.fullmatch(k)},
    "dbname": "PGDATABASE",
}
"""The variable that libpq reads for each parameter that the address omits and we do not set."""

SQLITE: Mapping[str, Parameter] = {
    "timeout": Parameter("a number of seconds", lambda v: v.replace(".", "", 1).isdecimal()),
    "check_same_thread": _one_of("true", "false", "1", "0"),
    "mode": _one_of("ro", "rw", "rwc"),
    "cache": _one_of("shared", "private"),
    **dict.fromkeys(("isolation_level", "detect_types", "cached_statements"), _ANY),
}
"""The parameters that an application may set for its own file; to read it, none is needed."""


NUL = "contains a NUL character (%00): remove it"


def holds_nul(address: str) -> bool:
    """Whether a database's address contains a NUL, where a library would cut a name or value."""
    return "\0" in address or "%00" in address


def file_of(address: str) -> str:
    """The file that an SQLite address names, relative or absolute; `%20` becomes a blank."""
    return unquote(address.partition(":///")[2])


def address_of(file: object) -> str:
    """The address of a SQLite file; `file_of` and SQLAlchemy read the same path from it."""
    return f"sqlite:///{str(file).replace('%', '%25').replace('?', '%3F')}"


def is_host(name: str) -> bool:
    """Whether a name can be passed to a resolver at all; an IP address can, too."""
    try:
        return bool(ip_address(name))
    except ValueError:
        pass
    try:
        spelled = name.encode("idna").decode()
    except UnicodeError:  # a part that is empty, or longer than 63 characters
        return False
    return len(spelled) <= LONGEST_HOST and _HOST.fullmatch(spelled) is not None


def wrong_parameter(pairs: Pairs, known: Mapping[str, Parameter] = LIBPQ) -> str | None:
    """What is wrong with the parameters of an address, and what to write; `None` if nothing is."""
    listed = list(pairs)
    if any("@" in part for pair in listed for part in pair):
        known_only = [pair for pair in listed if pair[0] in known]
        if known_only != listed:  # a password that holds a `?` looks like a parameter
            return "unknown parameter: write each ? and @ of a password as %3F and %40"
    seen: set[str] = set()
    for key, value in listed:
        if key not in known:
            return _unknown(key, known)
        if key in seen and key != "host":
            return f"`{key}` appears twice; remove one"
        if not known[key].fits(value):
            return f"invalid value for `{key}`: write {known[key].takes}"
        seen.add(key)
    return None


def _unknown(key: str, known: Mapping[str, Parameter]) -> str:
    if not _NAME.fullmatch(key):
        return "unknown parameter; remove it"
    near = get_close_matches(key, known, n=1)
    return f"unknown parameter `{key}`; " + (f"did you mean `{near[0]}`?" if near else "remove it")


def wrong_variable(environ: Mapping[str, str], given: Collection[str]) -> str | None:
    """The variable whose value prevents every session from being opened, and what to write.

    `given` are the parameters that the address sets itself; their variables do not count.
    """
    for key, variable in spoken(environ, given):
        if not LIBPQ[key].fits(environ[variable]):
            return f"invalid value for {variable}: write {LIBPQ[key].takes}, or unset {variable}"
    return None


def spoken(environ: Mapping[str, str], given: Collection[str]) -> Iterator[tuple[str, str]]:
    """The parameters that are set by variables, each with its variable."""
    for key, variable in VARIABLES.items():
        if key not in given and variable in environ:
            yield key, variable
