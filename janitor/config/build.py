"""From accepted forms to the frozen values that the program speaks of."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from urllib.parse import quote

from janitor.config.fields import SecretForm
from janitor.config.forms import FileForm, ProjectForm, RegistryForm
from janitor.config.policy_forms import (
    PER,
    DeleteForm,
    PolicyForm,
    SelectorForm,
    TestField,
    TestForm,
)
from janitor.config.secrets import NO_SECRET, Keeper, Secret
from janitor.config.service_forms import ScheduleForm, ServiceForm
from janitor.config.settings import (
    ArchiveSettings,
    Azure,
    Config,
    Forever,
    Project,
    RateSettings,
    RegistrySettings,
    ScheduleSettings,
    ServiceSettings,
    Source,
    SqlSettings,
    TokenSettings,
)
from janitor.config.source_forms import ExpireForm, SourceForm
from janitor.model import Kind
from janitor.policy.rules import (
    Archive,
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


def build(form: FileForm, directory: Path, path: Path | None) -> Config:
    """The configuration that a form spells; relative paths are taken from `directory`."""
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
    """Where the registry is; a relative path is taken from `directory`."""
    url, path = form.url, None
    if form.url.startswith("sqlite:///"):
        path = directory / form.url.removeprefix("sqlite:///")
        url = f"sqlite:///{path}"
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
        match=selector(form.match or SelectorForm()),
        excepts=selector(form.except_) if form.except_ else None,
        default=form.default,
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


def _archive(form: PolicyForm, fallback: timedelta | Forever | None) -> Archive | None:
    if form.archive is None:
        return None
    keep_for = form.archive.keep_for or fallback
    kept = keep_for if isinstance(keep_for, timedelta) else None
    return Archive(form.archive.after, form.archive.items, kept)


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


def selector(form: SelectorForm) -> Selector:
    """The selector that a form spells."""
    return Selector(
        kinds=None if form.kind is None else frozenset(form.kind),
        projects=None if form.project is None else frozenset(form.project),
        metadata={key: _test(value) for key, value in form.metadata.items()},
    )


def _test(form: TestField) -> Test:
    match form:
        case TestForm():
            return Test(exists=form.exists, glob=form.glob)
        case str():
            return Test(any_of=frozenset({form}))
        case _:
            return Test(any_of=frozenset(form))
