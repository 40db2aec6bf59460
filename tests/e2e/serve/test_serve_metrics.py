"""What is scraped: every promised metric, as promtool and Prometheus read it."""

from __future__ import annotations

import json
import os
import shutil
import socket
import sqlite3
import subprocess
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families
from world import World, until

from janitor.metrics import Metrics
from serve.serving import Start, scheduled

# Where CI is set, a missing tool is a failure and not a skip.
needs_prometheus = pytest.mark.skipif(
    shutil.which("prometheus") is None and not os.environ.get("CI"),
    reason="prometheus is not installed",
)

CONFIG = """\
global: {{scrape_interval: 1s, scrape_timeout: 1s}}
scrape_configs: [{{job_name: janitor, static_configs: [{{targets: ["127.0.0.1:{port}"]}}]}}]
"""
SOURCE = """\
sources:
  chats: {sql: {url: "sqlite:///app.db", query: "SELECT id FROM chats", watermark: null}}
"""


def a_free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def prometheus(directory: Path, target: int) -> Iterator[str]:
    """A Prometheus that scrapes this port; gives the address of its HTTP API."""
    directory.mkdir()
    config, port = directory / "prometheus.yaml", a_free_port()
    config.write_text(CONFIG.format(port=target), encoding="utf-8")
    with (directory / "log").open("wb") as log:
        process = subprocess.Popen(
            [
                "prometheus",
                f"--config.file={config}",
                f"--storage.tsdb.path={directory / 'data'}",
                f"--web.listen-address=127.0.0.1:{port}",
            ],
            stderr=log,
            stdout=log,
        )
        try:
            yield f"http://127.0.0.1:{port}"
        finally:
            process.kill()
            process.wait()


def ask(address: str, query: str) -> list[Any]:
    """What Prometheus knows; nothing as long as it is not up."""
    try:
        query = urllib.parse.urlencode({"query": query})
        with urllib.request.urlopen(f"{address}/api/v1/query?{query}", timeout=240) as said:  # noqa: S310
            found: list[Any] = json.load(said)["data"]["result"]
            return found
    except OSError:
        return []


def is_one(address: str, query: str) -> bool:
    return [sample["value"][1] for sample in ask(address, query)] == ["1"]


@needs_prometheus
def test_prometheus_scrapes_a_running_service(world: World, serving: Start) -> None:
    scheduled(world)
    world.fill(2)
    one = serving()
    until(lambda: one.sweeps() == 1)
    with prometheus(world.directory / "prometheus", one.port) as address:
        until(lambda: is_one(address, 'up{job="janitor"}'))
        until(lambda: is_one(address, "janitor_registry_up"))
        deleted = 'janitor_threads{state="deleted",kind="conversation",project="main"} == bool 2'
        until(lambda: is_one(address, deleted))
        until(lambda: is_one(address, 'janitor_sweeps_total{result="done"}'))
        assert ask(address, "scrape_samples_scraped > 60")


@needs_prometheus
def test_promtool_has_no_complaint(world: World, serving: Start) -> None:
    scheduled(world)
    world.fill(2)
    world.fill(1, plan="marked")
    one = serving()
    until(lambda: one.sweeps() == 1)
    checked = subprocess.run(
        ["promtool", "check", "metrics"],
        input=one.get("/metrics")[1],
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert (checked.returncode, checked.stdout, checked.stderr) == (0, "", "")


def sampled(text: str) -> set[str]:
    return {family.name for family in text_string_to_metric_families(text) if family.samples}


def test_every_metric_that_has_a_meaning_is_there(world: World, serving: Start) -> None:
    text = world.config.read_text(encoding="utf-8")
    more = "  - {name: silent, match: {metadata: {plan: none}}, delete: {after: 1d}}\n"
    text = text.replace("max_percent: 100", "max_threads: 1") + more
    text = text.replace("delete: unlimited", "delete: auto") + SOURCE
    world.config.write_text(text, encoding="utf-8")
    with closing(sqlite3.connect(world.directory / "app.db")) as table:
        table.execute("CREATE TABLE chats (id)")
    scheduled(world)
    world.fill(1, age=10)
    world.fill(2)
    world.fill(1, plan="marked")
    assert world.run("pause", "--policy", "marked", "--reason", "to be seen").code == 0
    one = serving()
    until(lambda: one.sweeps() == 1)
    said = one.get("/metrics")[1]
    declared = {family.name for family in Metrics().collectors.collect()}
    assert len(declared) > 20
    # No plan was handed over here, no copy is past its date, nothing fails, and no list is read.
    silent = {"janitor_applies", "janitor_archive_pruned", "janitor_failing_threads"}
    silent |= {"janitor_list_up"}
    silent |= {"janitor_sweep_expected_end_timestamp_seconds"}  # no sweep is under way
    assert declared - silent <= sampled(said)
    assert one.metric("janitor_rate_per_minute", project="main", verb="delete") == 120
    assert one.metric("janitor_archive_objects") == 1
    assert one.metric("janitor_limit_tripped", limit="max_threads", policy="trial-chats") == 1
    assert one.metric("janitor_paused_info", scope="policy:marked") == 1
    assert one.metric("janitor_due_threads", policy="trial-chats", stage="delete") == 2
    days = (one.metric("janitor_overdue_seconds", policy="trial-chats") or 0) / 86400
    assert 37 < days < 39, "45 days old, to be archived after 7"
    assert world.run("resume", "--policy", "marked").code == 0
    until(lambda: one.metric("janitor_paused_info", scope="policy:marked") is None)


def test_overdue_is_silent_under_audit_and_zero_where_all_is_done(
    world: World, serving: Start
) -> None:
    world.config.write_text(
        world.config.read_text(encoding="utf-8").replace(
            "  - name: marked", "  - name: marked\n    mode: audit"
        ),
        encoding="utf-8",
    )
    scheduled(world)
    world.fill(1)
    world.fill(1, plan="marked")
    one = serving()
    until(lambda: one.sweeps() == 1)
    assert one.metric("janitor_overdue_seconds", policy="trial-chats") == 0
    assert one.metric("janitor_overdue_seconds", policy="marked") is None


def test_the_counters_go_on_after_a_restart(world: World, serving: Start) -> None:
    scheduled(world)
    world.fill(2)
    first = serving()
    until(lambda: first.sweeps() == 1)
    calls = first.metric("janitor_api_requests_total", call="delete", status="200")
    assert calls
    assert first.stop() == 0
    second = serving()
    until(lambda: second.sweeps() == 2)
    assert second.metric("janitor_api_requests_total", call="delete", status="200") == calls
    assert second.metric("janitor_sweep_duration_seconds_count") == 2


def test_a_provider_that_is_down_leaves_health_green(world: World, serving: Start) -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        world.configure(base_url=f"http://127.0.0.1:{nobody.getsockname()[1]}/v1")
        scheduled(world)
        world.fill(1)
        one = serving()
        until(lambda: one.sweeps() == 1)
        assert one.get("/healthz") == (200, "ok")
        assert one.get("/readyz") == (200, "ok")
        assert one.metric("janitor_api_requests_total", status="error")
        assert (one.metric("janitor_overdue_seconds", policy="trial-chats") or 0) > 0
