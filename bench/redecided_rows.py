"""B4: deciding all rows again after an edit of the policies, beside a filter engine.

The reference filters resources that it has in memory as Cloud Custodian does: for each policy, all
of them pass through the policy's filters, one after another; a filter finds its value by JMESPath
and reads times with dateutil. It is written out here, since Cloud Custodian itself is not among the
packages that this program is tested with.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import jmespath
from comparison import Measure, Size, speeds
from dateutil.parser import parse
from filled_registry import NOW, configured

from janitor.app.offline import offline_context
from janitor.config import load
from janitor.engine.context import RunContext
from janitor.engine.limits import count
from janitor.engine.redecide import redecide
from janitor.engine.review import Reviewer
from janitor.registry import Registry

ROWS = 10_000
DUE_PERCENT = 1
FEW, MANY = 10, 1000
Resource = Mapping[str, object]
Filter = Callable[[Resource], bool]


def measures(directory: Path, size: Size) -> Iterator[Measure]:
    """Rows decided a second of CPU, ours ÷ the reference's, by few and by many policies."""
    os.environ["BENCH_KEY"] = "sk-bench"
    number = size.rows(ROWS)
    for policies, target in ((FEW, 2.0), (MANY, 40.0)):
        config = load(configured(directory, policies, number, number * DUE_PERCENT // 100))
        with Registry.open(config.registry.url) as opened:
            context = offline_context(config, opened)
            reference = partial(engine, [*filters_of(policies)], exported(opened))
            ratios = tuple(speeds(partial(again, context), reference, size.pairs))
            if policies == FEW:
                some = tuple(speeds(partial(due, context), reference, size.pairs))
        yield Measure("B4", f"{number} rows again, {policies} policies, CPU", target, ratios)
    what = f"{number} rows, {DUE_PERCENT} % of them due, {FEW} policies, CPU"
    yield Measure("B4", what, 100.0, some)


def again(context: RunContext) -> None:
    """Decide all rows again, as after an edit."""
    context.registry.policies.set_decided_digest("edited")
    redecide(context, NOW)


def due(context: RunContext) -> None:
    """Decide what is due, as a sweep does after no edit."""
    reviewer = Reviewer(context, ())
    count(context, reviewer, context.registry.threads.due(NOW), NOW)


def exported(registry: Registry) -> list[Resource]:
    """All threads as resources: names and values, metadata among them."""
    return [
        {
            "project": entry.thread.key.project,
            "kind": str(entry.thread.key.kind),
            "id": entry.thread.key.id,
            "metadata": dict(entry.thread.upstream or {}),
            "last_active_at": f"{entry.thread.last_active_at:%Y-%m-%dT%H:%M:%S+00:00}",
        }
        for entry in registry.threads.living()
    ]


def filters_of(policies: int) -> Iterator[list[Filter]]:
    """The filters of each policy: what it matches, then the age."""
    yield [equal("project", "main"), older(30)]
    for n in range(policies - 1):
        yield [equal("metadata.tenant", f"t{n}"), older(60)]


def equal(path: str, value: str) -> Filter:
    """Whether a resource has a value at a path."""
    expression = jmespath.compile(path)
    return lambda one: bool(expression.search(one) == value)


def older(days: int) -> Filter:
    """Whether a resource has been unused for so many days."""
    expression = jmespath.compile("last_active_at")
    before = datetime.now(UTC) - timedelta(days=days)
    return lambda one: bool(parse(expression.search(one)) < before)


def engine(filters: list[list[Filter]], resources: list[Resource]) -> int:
    """How many resources each policy selects, in all."""
    selected = 0
    for own in filters:
        left = resources
        for passes in own:
            left = [one for one in left if passes(one)]
        selected += len(left)
    return selected
