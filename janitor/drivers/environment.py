"""Proxies and certificates from the environment, checked before any call depends on them."""

from __future__ import annotations

import os
import ssl
from pathlib import Path
from urllib.request import getproxies, proxy_bypass

import httpx2

from janitor.addresses import LAST_PORT, is_host
from janitor.causes import UnsuitedError, cause, is_scarce, sort_of
from janitor.errors import ConfigError, StoreError, shown_address

SCHEMES = frozenset({"http", "https"})


def check_environment() -> None:
    """Refuse settings with which no call could be made.

    Raises:
        ConfigError: A proxy cannot be used, or the certificates cannot be read; names the variable.
    """
    proxies = getproxies()
    is_used = "*" not in map(str.strip, proxies.get("no", "").split(","))
    for scheme in ("http", "https", "all"):
        if is_used and (value := proxies.get(scheme)):
            _check_proxy(_variable(f"{scheme}_proxy", value), value)
    if log := os.environ.get("SSLKEYLOGFILE"):
        _check_key_log(log)
    if file := os.environ.get("SSL_CERT_FILE"):
        _check_certificates("SSL_CERT_FILE", file)
    elif (directory := os.environ.get("SSL_CERT_DIR")) and not Path(directory).is_dir():
        raise ConfigError(_no_certificates("SSL_CERT_DIR", directory, "it is not a directory"))


def proxy_variable(address: str) -> str | None:
    """The variable with the proxy for calls to an address; `None` if there is none."""
    url, proxies = httpx2.URL(address), getproxies()
    name = url.scheme if url.scheme in proxies else "all"
    value = proxies.get(name)
    return _variable(f"{name}_proxy", value) if value and not proxy_bypass(url.host) else None


def _variable(name: str, value: str) -> str:
    """The variable that holds the value; the lower-case one goes first."""
    return name if os.environ.get(name) == value else name.upper()


def _check_proxy(variable: str, value: str) -> None:
    address = value if "://" in value else f"http://{value}"
    try:
        url = httpx2.URL(address)
        (url.username + url.password).encode("latin-1")  # as it is sent
        is_usable = url.scheme in SCHEMES and is_host(url.host) and ":" not in url.username
        is_usable = is_usable and (url.port is None or 0 < url.port <= LAST_PORT)
    except (httpx2.InvalidURL, UnicodeError, ValueError):
        is_usable = False
    if not is_usable:
        raise ConfigError(
            f"{variable}: {shown_address(address)} is not a usable proxy: write http://HOST:PORT "
            f"([...] around an IPv6 address), or unset {variable}"
        )


def _check_key_log(log: str) -> None:
    try:
        os.close(os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NONBLOCK, 0o600))
    except OSError as error:
        kind = StoreError if is_scarce(error) else ConfigError
        reason = cause(error, "unset SSLKEYLOGFILE")
        raise kind(f"SSLKEYLOGFILE: {log} cannot be written: {reason}") from None
    except ValueError:
        message = f"SSLKEYLOGFILE: {log} cannot be written: it is not a path; unset SSLKEYLOGFILE"
        raise ConfigError(message) from None


def _check_certificates(variable: str, file: str) -> None:
    try:
        path = Path(file)
        # Reading a pipe would block, and a device may never end.
        if path.exists() and not (path.is_file() or path.is_dir()):
            raise UnsuitedError(f"it is {sort_of(path.stat().st_mode)}")
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(file)
    except ssl.SSLError:
        raise ConfigError(_no_certificates(variable, file, "it holds no certificates")) from None
    except (OSError, ValueError) as error:
        if isinstance(error, OSError) and is_scarce(error):
            raise StoreError(f"the certificates in {file}: {cause(error)}") from None
        why = getattr(error, "strerror", None) or "it is not a path"
        raise ConfigError(_no_certificates(variable, file, why)) from None


def _no_certificates(variable: str, path: str, why: str) -> str:
    return (
        f"{variable}: the certificates in {path} cannot be read: {why}; name a file that can be "
        f"read, or unset {variable}"
    )
