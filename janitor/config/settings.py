"""What a configuration file says once it is accepted: frozen values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Literal

from janitor.config.rates import Rate
from janitor.config.secrets import NO_SECRET, Secret
from janitor.errors import ConfigError, Place
from janitor.model import Kind, NotFound
from janitor.policy.rules import Policies
from janitor.policy.screen import Screen

SECRET_LENGTH = 32

Forever = Literal["forever"]


@dataclass(frozen=True, slots=True)
class Azure:
    """An Azure OpenAI resource, which takes the place of `base_url`."""

    endpoint: str
    api_version: str


@dataclass(frozen=True, slots=True)
class RateSettings:
    """Calls a minute for each verb; or `auto`: found by trying; or `unlimited`."""

    delete: Rate = "auto"
    read: Rate = "auto"
    write: Rate = "auto"


@dataclass(frozen=True, slots=True)
class Project:
    """One credential at one endpoint, and the kinds that are cared for there."""

    name: str
    api_key: Secret
    base_url: str = "https://api.openai.com/v1"
    azure: Azure | None = None
    organization: str | None = None
    project: str | None = None
    query: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    kinds: frozenset[Kind] = frozenset(Kind)
    trust_reported: bool = True
    not_found: NotFound = NotFound.OPENAI
    discover: bool = False
    timeout: timedelta = timedelta(seconds=20)
    concurrency: int = 32
    rate: RateSettings = RateSettings()
    allow_http: bool = False


@dataclass(frozen=True, slots=True)
class RegistrySettings:
    """Where the registry is: `url` with an absolute path, and that path (`None`: a server's).

    Of metadata it keeps `keys` (`None`: all), and of those in `hash` an HMAC under `hash_key`.
    """

    url: str
    path: Path | None
    password: Secret = NO_SECRET
    keys: frozenset[str] | None = None
    hash: frozenset[str] = frozenset()
    hash_key: Secret = NO_SECRET

    def screen(self) -> Screen:
        """What the registry keeps of metadata, with its secret read anew.

        Raises:
            ConfigError: The secret cannot be read, or could be guessed.
        """
        secret = self.hash_key.reveal()
        if self.hash and len(secret) < SECRET_LENGTH:
            raise ConfigError(
                f"registry.hash_key ({self.hash_key}) has fewer than {SECRET_LENGTH} characters, "
                "so that what it hides could be guessed: write one with `openssl rand -hex 32`"
            )
        return Screen(self.keys, self.hash, secret.encode())


@dataclass(frozen=True, slots=True)
class ArchiveSettings:
    """Where the archive is: `url` with an absolute path, and that path.

    `keep_for` is what policies fall back on; `None` means that the file does not say, and each
    rule in `Config.policies` carries its own resolved value.
    """

    url: str
    path: Path
    keep_for: timedelta | Forever | None = None


@dataclass(frozen=True, slots=True)
class ScheduleSettings:
    """When the service sweeps: `cron` in `timezone`, or `every`; delayed by up to `jitter`."""

    cron: str | None = "17 3 * * *"
    every: timedelta | None = None
    timezone: str = "UTC"
    jitter: timedelta = timedelta(0)


@dataclass(frozen=True, slots=True)
class TokenSettings:
    """A named bearer token and its scope: `register`, `operate` or `read`."""

    name: str
    scope: str
    secret: Secret


@dataclass(frozen=True, slots=True)
class ServiceSettings:
    """Where the service listens (`host:port`), under which names, and for whom."""

    listen: str = "127.0.0.1:9464"
    hosts: tuple[str, ...] = ()
    tokens: tuple[TokenSettings, ...] = ()
    stop_timeout: timedelta = timedelta(seconds=30)


@dataclass(frozen=True, slots=True)
class SqlSettings:
    """A query over the application's database.

    `url` is an address without a password, or where the whole address is kept; a relative file
    is taken from `directory`. `watermark` is the column that tells what is newer (`None`: all is
    read each time), `overlap` how far before the newest row each reading begins, and `timeout`
    how long one statement may take.
    """

    url: Secret | str
    query: str
    watermark: str | None
    overlap: timedelta
    timeout: timedelta
    directory: Path


@dataclass(frozen=True, slots=True)
class Source:
    """A table of the application's own that feeds a project.

    What is found gone from it is kept (`expire_after` is `None`), or expires that much later.
    """

    name: str
    project: str
    sql: SqlSettings
    expire_after: timedelta | None = None


@dataclass(frozen=True, slots=True)
class Config:
    """An accepted configuration. `directory` is what relative paths were resolved against.

    `policies` compare with metadata as `screen` lets it into the registry. `places` says where each
    policy's keys stand, by its name and the key.
    """

    registry: RegistrySettings
    archive: ArchiveSettings
    projects: Mapping[str, Project]
    policies: Policies
    tombstones_keep_for: timedelta
    directory: Path
    path: Path | None = None
    schedule: ScheduleSettings = field(default_factory=ScheduleSettings)
    service: ServiceSettings = field(default_factory=ServiceSettings)
    sources: Mapping[str, Source] = field(default_factory=dict)
    screen: Screen = field(default_factory=Screen)
    places: Mapping[tuple[str, str], Place] = field(default_factory=dict)
