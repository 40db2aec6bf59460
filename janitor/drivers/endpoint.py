"""Where a project's calls go, and with which credential."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from ipaddress import ip_address

import orjson

from janitor.model import NotFound

DEFAULT_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True, repr=False)
class Endpoint:
    """One credential at one server.

    `name` is the project's name in the configuration, `project` the vendor's own project id.
    `query` and `headers` go with every request. With `azure_endpoint` and `azure_api_version`
    the server is Azure OpenAI and `base_url` is not used. `timeout` is in seconds and bounds each
    connect, read and write. `not_found` is the form of the server's 404. The `repr` names project
    and host, never a secret.
    """

    name: str
    api_key: str
    base_url: str = "https://api.openai.com/v1"
    organization: str | None = None
    project: str | None = None
    query: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    azure_endpoint: str | None = None
    azure_api_version: str | None = None
    timeout: float = 20.0
    not_found: NotFound = NotFound.OPENAI

    @property
    def host(self) -> str:
        """The server's host name, without port, path and credentials."""
        import httpx2  # noqa: PLC0415 - many commands make no call

        return httpx2.URL(self.azure_endpoint or self.base_url).host

    @property
    def fingerprint(self) -> str:
        """16 hexadecimal digits that change with endpoint or credential, and reveal neither."""
        parts = (
            self.azure_endpoint or self.base_url,
            self.azure_api_version,
            self.api_key,
            self.organization,
            self.project,
            sorted(self.query.items()),
            sorted(self.headers.items()),
        )
        return hashlib.sha256(orjson.dumps(parts)).hexdigest()[:16]

    @property
    def account(self) -> str:
        """16 hexadecimal digits, equal for endpoints whose ids name the same containers.

        Different spellings of the same address count as one. Another credential, organization,
        project, query or header counts as another account.
        """
        parts = (
            _address(self.azure_endpoint or self.base_url),
            self.api_key,
            self.organization or None,
            self.project or None,
            sorted(self.query.items()),
            sorted((name.lower(), value.strip()) for name, value in self.headers.items()),
        )
        return hashlib.sha256(orjson.dumps(parts)).hexdigest()[:16]

    def __repr__(self) -> str:
        return f"Endpoint(name={self.name!r}, host={self.host!r})"


def _address(url: str) -> tuple[str, str, int | None, str]:
    """Scheme, host, port and path of a base URL, each in one spelling."""
    import httpx2  # noqa: PLC0415 - as above

    parsed = httpx2.URL(url)
    host = parsed.host.rstrip(".")
    port = parsed.port or DEFAULT_PORTS.get(parsed.scheme)
    path = "/".join(part for part in parsed.path.split("/") if part)
    with suppress(ValueError):  # a name, not an address
        host = "localhost" if ip_address(host).is_loopback else host
    return parsed.scheme, host, port, path
