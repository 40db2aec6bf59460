"""A registry with many rows, as earlier sweeps have left them."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

from janitor.app.offline import offline_context
from janitor.config import load
from janitor.engine.redecide import approve_first, rules_digest
from janitor.registry import Registry

NOW = datetime.now(UTC)
ROWS = """\
INSERT INTO thread (project, kind, id, state, registered_at, created_at, last_active_at,
    reported_at, upstream, baseline_at, alive_at, policy, due_at, review_at, copy_is_current,
    attempts)
WITH RECURSIVE row (number) AS (
    SELECT :first UNION ALL SELECT number + 1 FROM row WHERE number + 1 < :end
)
SELECT 'main', 'conversation', printf('conv_%09d', number), 'active', :active, :active, :active,
    :active, '{"plan": "trial"}', :active, :active, 'old', :due, :due, 0, 0
FROM row
"""
CONFIG = """\
version: 1
registry: {{url: "sqlite:///{registry}"}}
projects: {{main: {{api_key: {{env: BENCH_KEY}}}}}}
policies:
  - {{name: old, match: {{project: main}}, delete: {{after: 30d}}}}
"""
OTHER = "  - {{name: other-{n}, match: {{metadata: {{tenant: t{n}}}}}, delete: {{after: 60d}}}}\n"
COUNT = "INSERT INTO count VALUES ('main', 'conversation', 'active', 'old', ?, 0)"


def configured(directory: Path, policies: int, number: int, due: int) -> Path:
    """A configuration of so many policies, of which all but `old` match nothing, and its registry.

    The registry is filled as `fill` says.
    """
    file = directory / f"{policies}.yaml"
    others = "".join(OTHER.format(n=n) for n in range(policies - 1))
    registry = directory / f"{policies}.db"
    file.write_text(CONFIG.format(registry=registry) + others, encoding="utf-8")
    fill(file, number, due)
    return file


def fill(config_file: Path, number: int, due: int) -> None:
    """Fill the new registry of a configuration with threads under its policy `old`.

    So many of them are due after 30 days; the others were active today. All were looked at before,
    and decided by the policies of the configuration, which are approved.
    """
    config = load(config_file)
    Registry.open(config.registry.url).close()
    file = config.registry.url.partition(":///")[2]
    with closing(sqlite3.connect(file)) as connection, connection:
        for first, end, active in ((0, due, NOW - timedelta(days=90)), (due, number, NOW)):
            if first < end:
                values = {"first": first, "end": end, "active": text(active)}
                due_at = text(active + timedelta(days=30))
                connection.execute(ROWS, values | {"due": due_at})
        connection.execute(COUNT, [number])
        connection.execute("ANALYZE")
    with Registry.open(config.registry.url) as registry:
        context = offline_context(config, registry)
        approve_first(context, NOW)
        registry.policies.set_decided_digest(rules_digest(context))


def text(at: datetime) -> str:
    """A time as the registry has it."""
    return at.strftime("%Y-%m-%d %H:%M:%S.%f")
