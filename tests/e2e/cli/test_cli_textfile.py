"""`sweep --metrics-textfile`: parses, never goes backwards, tells no id and no metadata."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families
from world import World

from janitor.app.run_metrics import KeptCounters
from janitor.errors import StoreError

Samples = dict[tuple[str, tuple[tuple[str, str], ...]], float]


def samples(path: Path) -> Samples:
    families = text_string_to_metric_families(path.read_text(encoding="utf-8"))
    return {
        (one.name, tuple(sorted(one.labels.items()))): one.value
        for family in families
        for one in family.samples
    }


def swept(world: World) -> Samples:
    path = world.directory / "janitor.prom"
    done = world.run("sweep", "--metrics-textfile", str(path))
    assert done.code == 0, done.err
    assert [one.name for one in world.directory.glob("*.prom*")] == ["janitor.prom"]
    return samples(path)


def totals(found: Samples, name: str) -> dict[tuple[str, ...], float]:
    return {
        tuple(value for _, value in labels): said
        for (own, labels), said in found.items()
        if own == name
    }


def test_totals_never_go_backwards_over_runs(world: World) -> None:
    world.fill(3)
    first = swept(world)
    second = swept(world)
    world.fill(2)
    third = swept(world)
    deleted = ("done", "trial-chats", "delete")
    actions = [totals(one, "janitor_actions_total")[deleted] for one in (first, second, third)]
    assert actions == [3, 3, 5]
    assert [totals(one, "janitor_sweeps_total")[("done",)] for one in (first, second, third)] == [
        1,
        2,
        3,
    ]
    for before, after in ((first, second), (second, third)):
        fallen = [
            key
            for key, value in before.items()
            if key[0].endswith(("_total", "_bucket", "_count", "_sum"))
            and after.get(key, 0) < value
        ]
        assert fallen == []


def test_what_runs_without_a_textfile_do_is_counted_too(world: World) -> None:
    world.fill(1)
    first = totals(swept(world), "janitor_api_requests_total")
    world.fill(2)
    assert world.run("sweep").code == 0
    last = totals(swept(world), "janitor_api_requests_total")
    deletes = ("delete", "conversation", "main", "200")
    assert last[deletes] == 3 * first[deletes]


def test_a_report_is_shown_though_its_counters_cannot_be_kept(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: KeptCounters) -> None:
        raise StoreError("the disk is full")

    world.fill(2)
    monkeypatch.setattr(KeptCounters, "keep", full)
    path = world.directory / "janitor.prom"
    done = world.run("--output", "json", "sweep", "--metrics-textfile", str(path))
    assert done.code == 3
    assert {one["outcome"] for one in done.document["outcomes"]} == {"done"}
    assert "the disk is full" in done.err
    assert samples(path)


def test_states_and_success_are_told(world: World) -> None:
    world.fill(2)
    world.fill(1, age=1)
    found = swept(world)
    threads = totals(found, "janitor_threads")
    assert threads[("conversation", "main", "deleted")] == 2
    assert threads[("conversation", "main", "active")] == 1
    assert found["janitor_registry_up", ()] == 1
    assert found["janitor_sweep_last_success_timestamp_seconds", ()] > 1_700_000_000


def test_a_tripped_limit_is_told_and_the_sweep_exits_4(world: World) -> None:
    text = world.config.read_text().replace("max_percent: 100", "max_threads: 1")
    world.config.write_text(text)
    world.fill(3)
    path = world.directory / "janitor.prom"
    done = world.run("sweep", "--metrics-textfile", str(path))
    assert done.code == 4
    assert "janitor plan -o plan.json" in done.err
    assert totals(samples(path), "janitor_limit_tripped") == {("max_threads", "trial-chats"): 1}
    assert world.changes == []


def test_no_label_holds_an_id_or_metadata(world: World) -> None:
    ids = world.fill(2, plan="trial", user="MARKER-user")
    swept(world)
    text = (world.directory / "janitor.prom").read_text()
    assert "MARKER" not in text
    assert not [one for one in ids if one in text]


def test_only_sweeps_count_as_sweeps(world: World) -> None:
    world.fill(2)
    world.run("plan", "-o", str(world.directory / "plan.json"))
    assert world.run("apply", str(world.directory / "plan.json")).code == 0
    assert world.run("missing", "accept", "--reason", "none").code == 0
    counted = totals(swept(world), "janitor_sweeps_total")
    assert counted == {("done",): 1}


def test_no_pipe_is_replaced(world: World) -> None:
    pipe = world.directory / "pipe"
    os.mkfifo(pipe)
    done = world.run("sweep", "--metrics-textfile", str(pipe))
    assert done.code == 2
    assert f"{pipe}: metrics cannot be written there: it is not a file" in done.err
    assert pipe.is_fifo()
