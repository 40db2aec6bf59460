"""The shape of `schedule` and `service`: when to sweep, and where to listen."""

from __future__ import annotations

from typing import Annotated, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from cronsim import CronSim, CronSimError
from pydantic import AfterValidator, Field

from janitor.config.durations import parse_duration
from janitor.config.fields import Duration, Form, Name, SecretForm
from janitor.model import EPOCH

ADDRESS = r"^(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9.-]+):[0-9]{1,5}$"


def _cron(value: str) -> str:
    try:
        CronSim(value, EPOCH)
    except CronSimError as error:
        raise ValueError(
            f"this is no cron expression ({error}): write minute hour day month weekday, "
            'for example "17 3 * * *"'
        ) from None
    return value


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


class ServiceForm(Form):
    """Where the service listens, and who may ask it for what."""

    listen: Annotated[str, Field(pattern=ADDRESS)] = "127.0.0.1:9464"
    hosts: list[str] = Field(default=[])
    tokens: dict[Name, TokenForm | list[TokenForm]] = Field(default={})
    stop_timeout: Duration = parse_duration("30s")
