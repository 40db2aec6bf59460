"""How the parts of `schedule` and of `service` stand to each other."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from itertools import islice, pairwise

from cronsim import CronSim

from janitor.config.durations import format_duration
from janitor.config.fields import is_loopback
from janitor.config.problems import Problem
from janitor.config.service_forms import ScheduleForm, ServiceForm
from janitor.times import EPOCH

TOKENS_PER_NAME = 2
TIMES_COMPARED = 100


def schedule_problems(schedule: ScheduleForm) -> Iterator[Problem]:
    """What is wrong with when to sweep."""
    if (schedule.cron is None) is (schedule.every is None):
        yield Problem(("schedule",), "write exactly one of cron and every")
        return
    if schedule.every is not None and "timezone" in schedule.model_fields_set:
        message = "`timezone` belongs to `cron`; remove it"
        yield Problem(("schedule", "timezone"), message, at_key=True)
    shortest = schedule.every or _shortest_gap(schedule.cron or "")
    if schedule.jitter is not None and schedule.jitter >= shortest:
        most = format_duration(shortest)
        message = f"`jitter` must be shorter than the time between two sweeps, {most}"
        yield Problem(("schedule", "jitter"), message)


def _shortest_gap(cron: str) -> timedelta:
    times = islice(CronSim(cron, EPOCH), TIMES_COMPARED)
    return min(late - early for early, late in pairwise(times))


def service_problems(service: ServiceForm) -> Iterator[Problem]:
    """What is wrong with where to listen and for whom."""
    host = service.listen.rpartition(":")[0].strip("[]")
    if not is_loopback(host) and not service.tokens:
        message = "an open listener needs `tokens`: add them, or listen on 127.0.0.1"
        yield Problem(("service", "listen"), message)
    for name, given in service.tokens.items():
        tokens = given if isinstance(given, list) else [given]
        if not 0 < len(tokens) <= TOKENS_PER_NAME:
            yield Problem(("service", "tokens", name), "write one token, or two for a rotation")
        for token in tokens:
            if sum(where is not None for where in (token.env, token.file, token.credential)) != 1:
                message = "write exactly one of env, file and credential"
                yield Problem(("service", "tokens", name), message)
