"""`schedule` and `service`: what a good file comes to, and what is told of it."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from janitor.config import Config, Keeper, Secret, parse
from janitor.config.explain import explain
from janitor.config.json_schema import file_schema
from janitor.config.settings import ScheduleSettings, ServiceSettings, TokenSettings


def document(**sections: object) -> dict[str, Any]:
    return {
        "version": 1,
        "registry": {"url": "sqlite:///janitor.db"},
        "projects": {"main": {"api_key": ""}},
        "policies": [],
        **sections,
    }


def config(**sections: object) -> Config:
    said = document(**sections)
    Draft202012Validator(file_schema()).validate(said)
    return parse(said)


def told(one: Config) -> str:
    return next(line for line in explain(one).summary if "janitor serve" in line)


def test_without_a_word_it_sweeps_at_night_and_listens_on_loopback() -> None:
    one = config()
    assert one.schedule == ScheduleSettings("17 3 * * *", jitter=timedelta(minutes=10))
    assert one.service == ServiceSettings("127.0.0.1:9464")
    assert told(one) == (
        "`janitor serve` sweeps by the cron schedule 17 3 * * * (UTC), up to 10m later, and "
        "listens on 127.0.0.1:9464"
    )


@pytest.mark.parametrize(
    ("schedule", "sentence"),
    [
        ({"every": "1h"}, "sweeps every 1h and"),
        ({"every": "1h", "jitter": "5m"}, "sweeps every 1h, up to 5m later, and"),
        (
            {"cron": "0 4 * * 0", "timezone": "Europe/Berlin"},
            "sweeps by the cron schedule 0 4 * * 0 (Europe/Berlin) and",
        ),
        (
            {"cron": "*/10 * * * *", "jitter": "9m59s"},
            "sweeps by the cron schedule */10 * * * * (UTC), up to 9m59s later, and",
        ),
        ({"cron": "0 0 29 2 *"}, "sweeps by the cron schedule 0 0 29 2 * (UTC) and"),
    ],
)
def test_a_schedule_is_told_as_it_is_meant(schedule: dict[str, str], sentence: str) -> None:
    assert sentence in told(config(schedule=schedule))


def test_tokens_are_named_by_where_they_are_kept() -> None:
    two = [{"env": "OPS_OLD", "scope": "operate"}, {"file": "ops.token", "scope": "operate"}]
    audit = {"credential": "audit", "scope": "read"}
    one = config(service={"listen": "0.0.0.0:80", "tokens": {"ops": two, "audit": audit}})
    assert one.service.tokens == (
        TokenSettings("ops", "operate", Secret(Keeper.ENV, "OPS_OLD")),
        TokenSettings("ops", "operate", Secret(Keeper.FILE, "ops.token")),
        TokenSettings("audit", "read", Secret(Keeper.CREDENTIAL, "audit")),
    )
    assert told(one).endswith("listens on 0.0.0.0:80; tokens for audit, ops")


@pytest.mark.parametrize("listen", ["127.0.0.1:0", "localhost:9464", "[::1]:9464"])
def test_loopback_needs_no_token(listen: str) -> None:
    assert config(service={"listen": listen}).service.tokens == ()
