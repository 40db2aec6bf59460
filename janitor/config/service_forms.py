"""The shape of `schedule` and `service`: when to sweep, and where to listen."""

from __future__ import annotations

import re
from typing import Annotated, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from cronsim import CronSim, CronSimError
from pydantic import AfterValidator, BeforeValidator, Discriminator, Field, Tag

from janitor.config.durations import parse_duration
from janitor.config.fields import Duration, Form, Name, SecretForm, branch
from janitor.times import EPOCH

ADDRESS = re.compile(r"(?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9.-]+):([0-9]{1,5})")
HOST = re.compile(r"[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*")
LAST_PORT = 65535
CRON_FIELDS = 5


def _cron(value: str) -> str:
    if why := _why_no_cron(value):
        raise ValueError(
            f"this is no cron expression ({why}): write minute hour day month weekday, "
            'for example "17 3 * * *"'
        )
    return value


def _why_no_cron(value: str) -> str | None:
    if (fields := len(value.split())) != CRON_FIELDS:
        return f"{fields} fields"
    try:
        next(CronSim(value, EPOCH))
    except CronSimError as error:
        return str(error)
    except StopIteration:
        return "it never comes"
    return None


def _timezone(value: str) -> str:
    try:
        ZoneInfo(value)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError("this is no time zone: write for example UTC or Europe/Berlin") from None
    return value


class ScheduleForm(Form):
    """When the service sweeps: exactly one of `cron` and `every`."""

    cron: Annotated[str, AfterValidator(_cron)] | None = None
    every: Duration | None = None
    timezone: Annotated[str, AfterValidator(_timezone)] = "UTC"
    jitter: Duration | None = None


class TokenForm(SecretForm):
    """A bearer token and what it may do."""

    scope: Literal["register", "operate", "read"]


def _no_inline_token(value: object) -> object:
    if branch(value) != "<mapping>":
        raise ValueError(
            "a token must not stand in the file: write {env: NAME, scope: read}, "
            "or {file: PATH, scope: ...}, or {credential: NAME, scope: ...}"
        )
    return value


Token = Annotated[TokenForm, BeforeValidator(_no_inline_token)]
Tokens = Annotated[
    Annotated[Token, Tag("<mapping>")] | Annotated[list[Token], Tag("<list>")],
    Discriminator(lambda value: "<list>" if branch(value) == "<list>" else "<mapping>"),
]


def _listen(value: str) -> str:
    found = ADDRESS.fullmatch(value)
    if found is None or int(found[1]) > LAST_PORT:
        raise ValueError('this is no address to listen on: write "127.0.0.1:9464", or "[::1]:9464"')
    return value


def _host(value: str) -> str:
    if not HOST.fullmatch(value):
        raise ValueError("this is no host name: write it without a scheme and without a port")
    return value


class ServiceForm(Form):
    """Where the service listens, and who may ask it for what."""

    listen: Annotated[str, AfterValidator(_listen)] = "127.0.0.1:9464"
    hosts: list[Annotated[str, AfterValidator(_host)]] = Field(default=[])
    tokens: dict[Name, Tokens] = Field(default={})
    stop_timeout: Duration = parse_duration("30s")
