"""The shape of `sources`: the application's own tables, read by a query."""

from __future__ import annotations

import re
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Discriminator, Field, Tag, model_validator

from janitor.config.durations import parse_duration
from janitor.config.fields import (
    Duration,
    Form,
    Name,
    SecretForm,
    branch,
    holds_secret,
    without_nul,
)

WATERMARK = re.compile(r"(?<![:\w\\]):watermark(?![:\w])")
# What a query quotes or remarks: nothing in it is a word of SQL.
_ASIDE = re.compile(
    r"'(?:[^']|'')*'|\"(?:[^\"]|\"\")*\"|`[^`]*`|(\$\w*\$).*?\1|--[^\n]*|/\*.*?\*/", re.DOTALL
)
_CHANGES = re.compile(
    r"\b(INSERT|UPDATE|DELETE|MERGE|TRUNCATE|DROP|ALTER|CREATE|GRANT|REVOKE|CALL|INTO)\b",
    re.IGNORECASE,
)
_READS = re.compile(r"\s*\(*\s*(SELECT|WITH)\b", re.IGNORECASE)
_SCHEME = re.compile(r"[a-z][a-z0-9_]*(\+[a-z0-9_]+)?://", re.IGNORECASE)


def _query(value: str) -> str:
    said = _ASIDE.sub(" ", value).strip().removesuffix(";").rstrip()
    if ";" in said or not _READS.match(said):
        raise ValueError("the query must be one SELECT (or WITH ... SELECT)")
    if found := _CHANGES.search(said):
        word = found[0].upper()
        raise ValueError(f"the query must only read, and `{word}` changes something; leave it out")
    return value.strip().removesuffix(";").rstrip()


def _plain_url(value: str) -> str:
    if not _SCHEME.match(value):
        raise ValueError(
            "this is no database's address: write {env: NAME}, or for example "
            "sqlite:///app.db (beside this file), postgresql+psycopg://user@host/database"
        )
    try:
        parts = urlsplit(value)
        password, _ = parts.password, parts.port
    except ValueError:
        raise ValueError("this is no address; write {env: NAME} or SCHEME://USER@HOST/DB") from None
    if password or holds_secret(parts.query):
        raise ValueError("a secret must not stand in an address: write {env: NAME}")
    if value.startswith("sqlite") and (":memory:" in value or not parts.path.strip("/")):
        raise ValueError("the application's database is a file: write sqlite:///app.db")
    return value


def _one_keeper(secret: SecretForm) -> SecretForm:
    if sum(where is not None for where in (secret.env, secret.file, secret.credential)) != 1:
        raise ValueError("write exactly one of env, file and credential")
    return secret


DatabaseField = Annotated[
    Annotated[SecretForm, AfterValidator(_one_keeper), Tag("<mapping>")]
    | Annotated[str, AfterValidator(without_nul), AfterValidator(_plain_url), Tag("<value>")],
    Discriminator(lambda value: "<mapping>" if branch(value) == "<mapping>" else "<value>"),
]


class SqlForm(Form):
    """Which database, which rows, and where the next reading goes on."""

    url: DatabaseField
    query: Annotated[str, AfterValidator(_query)]
    watermark: Annotated[str, Field(min_length=1)] | None
    overlap: Duration = parse_duration("10m")
    timeout: Duration = parse_duration("60s")

    @model_validator(mode="after")
    def _watermark_is_used(self) -> SqlForm:
        uses = WATERMARK.search(_ASIDE.sub(" ", self.query)) is not None
        if self.watermark is not None and not uses:
            raise ValueError(
                f"the query must ask for what is newer: add WHERE {self.watermark} > :watermark, "
                "or write `watermark: null` to read everything each time"
            )
        if self.watermark is None and uses:
            raise ValueError(
                "the query uses :watermark: name its column in `watermark`, or take it out"
            )
        return self


class ExpireForm(Form):
    """What is no longer in the table is removed so long after it was found gone."""

    expire_after: Duration


def _keep_or_expire(value: object) -> object:
    if value != "keep" and branch(value) != "<mapping>" and not isinstance(value, ExpireForm):
        raise ValueError("write keep, or {expire_after: 30d}")
    return value


VanishField = Annotated[
    Annotated[ExpireForm, Tag("<mapping>")] | Annotated[Literal["keep"], Tag("<value>")],
    Discriminator(lambda value: "<mapping>" if branch(value) == "<mapping>" else "<value>"),
    BeforeValidator(_keep_or_expire),
]


class SourceForm(Form):
    """One table of the application's own, and the project that its rows are of."""

    sql: SqlForm
    project: Name | None = None
    on_vanish: VanishField = "keep"
