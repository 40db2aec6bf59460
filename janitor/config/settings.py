"""An accepted configuration file as frozen values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import Literal
from urllib.parse import quote

from janitor.addresses import address_of, file_of
from janitor.config.fields import Rate, SecretForm
from janitor.config.forms import (
    PER,
    DeleteForm,
    ExpireForm,
    FileForm,
    MatchForm,
    PolicyForm,
    ProjectForm,
    RegistryForm,
    ScheduleForm,
    SelectorForm,
    ServiceForm,
    SourceForm,
    TestField,
    TestForm,
)
from janitor.config.secrets import NO_SECRET, Keeper, Secret
from janitor.config.source_query import backend_of
from janitor.errors import ConfigError, Place
from janitor.model import Kind, NotFound
from janitor.policy.rules import (
    ArchiveRule,
    Delete,
    KeepLast,
    Lifetime,
    Limits,
    Policies,
    Policy,
    Selector,
    SoftDelete,
    Test,
    Trim,
)
from janitor.policy.stored_metadata import MetadataFilter

SECRET_LENGTH = 32

Forever = Literal["forever"]


@dataclass(frozen=True, slots=True)
class Azure:
    """An Azure OpenAI resource, which takes the place of `base_url`."""

    endpoint: str
    api_version: str


@dataclass(frozen=True, slots=True)
class RateSettings:
    """Calls a minute for each verb, `auto` (found by trying) or `unlimited`."""

    delete: Rate = "auto"
    read: Rate = "auto"
    write: Rate = "auto"


@dataclass(frozen=True, slots=True)
class Project:
    """One credential at one endpoint, and the kinds that janitor manages there."""

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
    """Where the registry is: `url` with an absolute path, and that path (`None` for a server).

    It stores the metadata `keys` (`None`: all); for those in `hash`, an HMAC under `hash_key`.
    """

    url: str
    path: Path | None
    password: Secret = NO_SECRET
    keys: frozenset[str] | None = None
    hash: frozenset[str] = frozenset()
    hash_key: Secret = NO_SECRET

    def screen(self) -> MetadataFilter:
        """What the registry stores of metadata, with its secret read again.

        Raises:
            ConfigError: The secret cannot be read, or is so short that it could be guessed.
        """
        secret = self.hash_key.reveal()
        if self.hash and len(secret) < SECRET_LENGTH:
            raise ConfigError(
                f"registry.hash_key ({self.hash_key}) has fewer than {SECRET_LENGTH} characters, "
                "so hashed values could be guessed: create one with `openssl rand -hex 32`"
            )
        return MetadataFilter(self.keys, self.hash, secret.encode())


@dataclass(frozen=True, slots=True)
class ArchiveSettings:
    """Where the archive is: `url` with an absolute path, and that path.

    `keep_for` is the default for policies; `None` means that the file does not set it. Each rule
    in `Config.policies` has its own resolved value.
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

    `url` is an address without a password, or where the whole address is kept; a relative file is
    resolved from `directory`. `watermark` is the column that shows what is newer (`None`:
    everything is read each time), `overlap` how far before the newest row each reading begins,
    and `timeout` how long one statement may take.
    """

    url: Secret | str
    query: str
    watermark: str | None
    overlap: timedelta
    timeout: timedelta
    directory: Path

    @property
    def backend(self) -> str | None:
        """The engine; `None` if the address is a secret."""
        return backend_of(self.url) if isinstance(self.url, str) else None


@dataclass(frozen=True, slots=True)
class Source:
    """A query on the application's own database that registers threads, for `project` by default.

    A vanished thread is kept if `expire_after` is `None`, or expires that much later.
    """

    name: str
    project: str
    sql: SqlSettings
    expire_after: timedelta | None = None


@dataclass(frozen=True, slots=True)
class Config:
    """An accepted configuration. `directory` is what relative paths were resolved against.

    `policies` compare with metadata as `screen` lets it into the registry. `places` says where each
    policy's keys are in the file, by policy name and key.
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
    screen: MetadataFilter = field(default_factory=MetadataFilter)
    places: Mapping[tuple[str, str], Place] = field(default_factory=dict)


def build(form: FileForm, directory: Path, path: Path | None) -> Config:
    """The configuration in a form; relative paths are resolved from `directory`."""
    archive = directory / form.archive.url.removeprefix("file://")
    projects = {name: _project(name, one, directory) for name, one in form.projects.items()}
    return Config(
        registry=registry_settings(form.registry, directory),
        archive=ArchiveSettings(f"file://{quote(str(archive))}", archive, form.archive.keep_for),
        projects=projects,
        policies=_policies(form),
        tombstones_keep_for=form.tombstones.keep_for,
        directory=directory,
        path=path,
        schedule=_schedule(form.schedule),
        service=_service(form.service, directory),
        sources=_sources(form, directory),
    )


def registry_settings(form: RegistryForm, directory: Path) -> RegistrySettings:
    """Where the registry is; a relative path is resolved from `directory`."""
    url, path = form.url, None
    if form.url.startswith("sqlite:///"):
        path = directory / file_of(form.url)
        url = address_of(path)
    return RegistrySettings(
        url,
        path,
        NO_SECRET if form.password is None else _secret(form.password, directory),
        keys=frozenset(form.keys) if isinstance(form.keys, list) else None,
        hash=frozenset(form.hash),
        hash_key=NO_SECRET if form.hash_key is None else _secret(form.hash_key, directory),
    )


def _sources(form: FileForm, directory: Path) -> dict[str, Source]:
    only = next(iter(form.projects)) if len(form.projects) == 1 else "main"
    return {
        name: Source(
            name,
            one.project or only,
            _sql(one, directory),
            _expire_after(one),
        )
        for name, one in form.sources.items()
    }


def _expire_after(form: SourceForm) -> timedelta | None:
    return form.on_vanish.expire_after if isinstance(form.on_vanish, ExpireForm) else None


def _sql(form: SourceForm, directory: Path) -> SqlSettings:
    sql = form.sql
    url = sql.url if isinstance(sql.url, str) else _secret(sql.url, directory)
    return SqlSettings(url, sql.query, sql.watermark, sql.overlap, sql.timeout, directory)


def _schedule(form: ScheduleForm | None) -> ScheduleSettings:
    if form is None:
        return ScheduleSettings(jitter=timedelta(minutes=10))
    return ScheduleSettings(form.cron, form.every, form.timezone, form.jitter or timedelta(0))


def _service(form: ServiceForm, directory: Path) -> ServiceSettings:
    tokens = (
        TokenSettings(name, one.scope, _secret(one, directory))
        for name, given in form.tokens.items()
        for one in (given if isinstance(given, list) else [given])
    )
    return ServiceSettings(form.listen, tuple(form.hosts), tuple(tokens), form.stop_timeout)


def _project(name: str, form: ProjectForm, directory: Path) -> Project:
    azure = Azure(form.azure.endpoint, form.azure.api_version) if form.azure else None
    return Project(
        name=name,
        api_key=_secret(form.api_key, directory),
        base_url=form.base_url or "https://api.openai.com/v1",
        azure=azure,
        organization=form.organization,
        project=form.project,
        query=dict(form.query),
        headers=dict(form.headers),
        kinds=frozenset(Kind if form.kinds is None else form.kinds),
        trust_reported=form.trust_reported,
        not_found=form.not_found,
        discover=form.discover,
        timeout=form.timeout,
        concurrency=form.concurrency,
        rate=RateSettings(form.rate.delete, form.rate.read, form.rate.write),
        allow_http=form.allow_http,
    )


def _secret(form: SecretForm | str, directory: Path) -> Secret:
    if isinstance(form, str):
        return NO_SECRET
    if form.env is not None:
        return Secret(Keeper.ENV, form.env)
    if form.file is not None:
        return Secret(Keeper.FILE, str(directory / form.file))
    return Secret(Keeper.CREDENTIAL, form.credential or "")


def _policies(form: FileForm) -> Policies:
    return Policies(
        rules=tuple(_policy(one, form.archive.keep_for) for one in form.policies),
        mode=form.mode,
        lifetime=Lifetime(form.lifetime.min, form.lifetime.max),
        limits=Limits(**form.limits.model_dump()),
        release_grace=form.holds.release_grace,
        expire={
            name: after
            for name, one in form.sources.items()
            if (after := _expire_after(one)) is not None
        },
    )


def _policy(form: PolicyForm, keep_for: timedelta | Forever | None) -> Policy:
    return Policy(
        name=form.name,
        match=_match(form.match or MatchForm()),
        excepts=_excepts(form.except_),
        default=form.default,
        beside_default=form.beside_default,
        keep_forever=form.keep is not None,
        age_from=form.age_from,
        archive=_archive(form, keep_for),
        soft_delete=_soft_delete(form),
        delete=_delete(form),
        trim=Trim(form.trim.keep_items, form.trim.after) if form.trim else None,
        keep_last=_keep_last(form),
        max_percent=form.limits.max_percent if form.limits else None,
        max_threads=form.limits.max_threads if form.limits else None,
        mode=form.mode,
    )


def _archive(form: PolicyForm, fallback: timedelta | Forever | None) -> ArchiveRule | None:
    if form.archive is None:
        return None
    keep_for = form.archive.keep_for or fallback
    kept = keep_for if isinstance(keep_for, timedelta) else None
    return ArchiveRule(form.archive.after, form.archive.items, kept, form.archive.at)


def _soft_delete(form: PolicyForm) -> SoftDelete | None:
    soft = form.soft_delete
    return None if soft is None else SoftDelete(soft.after, soft.mark)


def _delete(form: PolicyForm) -> Delete | None:
    match form.delete:
        case None:
            return None
        case DeleteForm() as delete:
            return Delete(delete.after, delete.items)
        case _:
            return Delete(after=None)


def _keep_last(form: PolicyForm) -> KeepLast | None:
    if form.keep_last is None:
        return None
    per = form.keep_last.per
    return KeepLast(form.keep_last.count, per and per.removeprefix(PER))


def _excepts(form: MatchForm | list[SelectorForm] | None) -> Selector | None:
    match form:
        case None:
            return None
        case [one]:
            return _selector(one)
        case list():
            return Selector(any_of=tuple(_selector(one) for one in form))
        case _:
            return _match(form)


def _match(form: MatchForm) -> Selector:
    return replace(_selector(form), any_of=tuple(_selector(one) for one in form.any or ()))


def _selector(form: SelectorForm) -> Selector:
    return Selector(
        kinds=None if form.kind is None else frozenset(form.kind),
        projects=None if form.project is None else frozenset(form.project),
        metadata={key: _test(value) for key, value in form.tests.items()},
    )


def _test(form: TestField) -> Test:
    match form:
        case TestForm():
            return Test(exists=form.exists, glob=form.glob)
        case str():
            return Test(any_of=frozenset({form}))
        case _:
            return Test(any_of=frozenset(form))
