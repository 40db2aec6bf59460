"""What breaks in the configuration of a running service concerns itself alone."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from datetime import timedelta

import pytest
from world import KEY, KEY_VARIABLE, NOW, World

from janitor.app.clock import Time
from janitor.app.open_registry import open_registry
from janitor.app.service_loop import ServiceLoop
from janitor.config import load
from janitor.errors import ConfigError
from janitor.metrics import Metrics

DELETE = "  - {name: old, default: true, delete: {after: 30d}}\n"
KEEP = f"  - {{name: legal, match: {{project: legal}}, keep: forever}}\n{DELETE}"
OLD = (NOW - timedelta(days=90)).isoformat()
Sweep = Callable[[], None]


def second_project(world: World, policies: str, *, base_url: str | None = None) -> None:
    """Configure a project `legal` beside `main`, with a file that keeps its secret."""
    world.configure(policies)
    (world.directory / "legal.key").write_text("sk-legal")
    legal = f'legal: {{api_key: {{file: legal.key}}, base_url: "{base_url or world.base_url}"}}'
    text = world.config.read_text()
    world.config.write_text(text.replace("projects:\n", f"projects:\n  {legal}\n"))


def register(world: World, *keys: tuple[str, str]) -> None:
    """Import threads of these projects and ids, last active 90 days ago."""
    said = {"created_at": OLD, "last_active_at": OLD, "metadata": {}}
    rows = [{"project": project, "id": one, **said} for project, one in keys]
    file = world.directory / "rows.jsonl"
    file.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    done = world.run("import", str(file))
    assert done.code == 0, done.err


def swept_without(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """One sweep of a service that read its configuration while the secret was there."""
    monkeypatch.setenv(KEY_VARIABLE, KEY)
    config = load(world.config)
    (world.directory / "legal.key").unlink()
    with open_registry(config) as registry:
        ServiceLoop(world.config, config, registry, Metrics(), Time()).sweep(threading.Event())


def test_the_others_are_swept_and_this_one_stops_by_name(
    world: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    mine, theirs = world.conversation(90), world.conversation(90)
    second_project(world, DELETE)
    register(world, ("main", mine), ("legal", theirs))
    swept_without(world, monkeypatch)
    assert not world.emulator.exists(mine)
    assert world.emulator.exists(theirs)
    assert "project legal: the secret file" in caplog.text
    assert "legal.key cannot be read: No such file or directory" in caplog.text


def test_its_rows_may_be_of_the_same_account_and_protect(
    world: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    shared, mine = world.conversation(90), world.conversation(90)
    second_project(world, KEEP)
    register(world, ("main", shared), ("legal", shared), ("main", mine))
    swept_without(world, monkeypatch)
    assert world.emulator.exists(shared)
    assert not world.emulator.exists(mine)
    assert "reach the same containers" not in caplog.text


def test_another_address_is_another_account(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    shared = world.conversation(90)
    second_project(world, KEEP, base_url="http://127.0.0.1:9/v1")
    register(world, ("main", shared), ("legal", shared))
    swept_without(world, monkeypatch)
    assert not world.emulator.exists(shared)


def test_where_no_secret_can_be_read_the_sweep_says_so(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    second_project(world, DELETE)
    register(world, ("main", world.conversation(90)))
    monkeypatch.setenv(KEY_VARIABLE, KEY)
    config = load(world.config)
    (world.directory / "legal.key").unlink()
    monkeypatch.delenv(KEY_VARIABLE)
    with open_registry(config) as registry:
        live = ServiceLoop(world.config, config, registry, Metrics(), Time())
        with pytest.raises(ConfigError, match=r"the secret file .*legal\.key cannot be read"):
            live.sweep(threading.Event())


def test_a_reload_that_fails_unforeseen_keeps_the_old_configuration(
    world: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv(KEY_VARIABLE, KEY)
    second_project(world, DELETE)
    config = load(world.config)
    with open_registry(config, create=True) as registry:
        live = ServiceLoop(world.config, config, registry, Metrics(), Time())

        def broken(_: object) -> None:
            raise RuntimeError("a value of somebody's")

        monkeypatch.setattr("janitor.app.service_loop.load", broken)
        assert live.reload() == live.schedule()
        said = live.ready() or ""
    assert "unexpected RuntimeError" in said
    assert "somebody" not in said
    assert "the old one stays" in caplog.text
