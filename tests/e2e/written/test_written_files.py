"""Files that earlier programs wrote: plans, spools, copies, exports, metrics, approvals."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families
from world import KEY, KEY_VARIABLE

from janitor.archive import archive, object_format
from janitor.config import load as load_config
from janitor.engine.apply import PlanSite, check
from janitor.engine.apply import load as load_plan
from janitor.errors import ConfigError
from janitor.metrics import Metrics
from janitor.model import Record, State
from janitor.policy import policies_digest
from janitor.policy.codec import dump, load
from janitor.registry import Registry
from janitor.tracking import deliver
from written.writings import (
    EARLY,
    FIXTURES,
    TODAY,
    Written,
    fill_sqlite,
    move_archive,
    rows_of,
    said,
    unpack_file,
    world_of,
)

WRITTEN = FIXTURES / EARLY
AGES = timedelta(days=36500)
POLICIES = json.loads((WRITTEN / "policies.json").read_text(encoding="utf-8"))
OBJECTS = sorted((WRITTEN / "archive").rglob("*.zst"))
MADE = re.compile(r"conv_0{7}b0{22}\w\w")


@pytest.fixture(params=[EARLY, TODAY])
def written(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Written]:
    url = f"sqlite:///{tmp_path / 'janitor.db'}"
    fill_sqlite(request.param, tmp_path / "janitor.db")
    with world_of(tmp_path, request.param, "sqlite", url) as world:
        move_archive(url, world.archive)
        assert world.run("db", "upgrade").code == 0
        yield Written(request.param, "sqlite", url, world)


def test_a_plan_is_carried_out_or_refused_in_documented_words(written: Written) -> None:
    plan = FIXTURES / written.version / "plan.json"
    done = written.world.run("apply", "--max-age", "36500d", str(plan))
    states = written.world.states()
    if written.version == EARLY:
        assert done.code == 2
        assert "not signed: an older janitor made it; make a new one: janitor" in done.err
        assert written.world.changes == []
        assert {states["conv_due"], states["conv_new"]} == {"active"}
    else:
        assert done.code in (0, 1), done.err
        assert {states["conv_due"], states["conv_new"]} == {"deleted"}


def test_a_plan_that_waits_to_be_carried_out_still_waits(written: Written) -> None:
    with Registry.open(written.url) as registry:
        (handed,) = registry.plans.waiting()
        document = (registry.plans.document(handed.number) or "").encode()
        if written.version == EARLY:
            with pytest.raises(ConfigError, match="not signed: an older janitor made it"):
                load_plan(document, "plan")
            return
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv(KEY_VARIABLE, KEY)
            policies = load_config(written.world.config).policies
        made = load_plan(document, "plan")
        check(PlanSite(registry, policies, datetime.now(UTC)), made, "plan", AGES)


def test_a_spool_is_drained(tmp_path: Path) -> None:
    spool = tmp_path / "spool"
    shutil.copytree(WRITTEN / "spool", spool)
    url = f"sqlite:///{tmp_path / 'janitor.db'}"
    with Registry.open(url) as registry:
        assert deliver(spool, url) == 3
        assert list(spool.iterdir()) == []
        drained = registry.inbox.drain(datetime.now(UTC))
        assert (drained.judged, drained.refused) == (3, 0)
        found = [entry.thread for entry in registry.threads.select()]
    assert len(found) == 2
    assert all(MADE.fullmatch(thread.key.id) for thread in found)
    assert {thread.state for thread in found} == {State.ACTIVE}


def bites(path: Path) -> Iterator[bytes]:
    yield path.read_bytes()


@pytest.mark.parametrize("path", OBJECTS, ids=lambda path: path.name.partition(".")[0])
def test_an_archive_object_is_read_and_proven(path: Path) -> None:
    found = archive.parse_path(path.relative_to(WRITTEN / "archive").as_posix())
    assert found is not None
    header, trailer = object_format.verify(bites(path))
    assert (header.key, trailer.digest[: archive.SHORT]) == found


def test_an_archive_object_is_what_is_written_today(tmp_path: Path) -> None:
    """The same records give the same lines: a copy of then is equal to what a look makes now."""
    for path in OBJECTS:
        header, *records, trailer = object_format.read(bites(path))
        assert isinstance(header, object_format.Header)
        parts: list[bytes] = []
        writer = object_format.ObjectWriter(parts.append, header)
        writer.add([one for one in records if isinstance(one, Record)])
        parts.append(writer.close())
        assert list(object_format.read(parts)) == [header, *records, trailer]


def test_every_kind_has_an_object() -> None:
    assert {path.parts[-4] for path in OBJECTS} == {
        "conversation",
        "chatkit_thread",
        "agent_session",
        "thread",
    }


@pytest.mark.parametrize("name", ["export.jsonl", "export.csv"])
def test_an_export_is_imported_and_comes_out_again(name: str, tmp_path: Path) -> None:
    lines = (WRITTEN / name).read_text(encoding="utf-8")
    url = f"sqlite:///{tmp_path / 'janitor.db'}"
    out = tmp_path / f"again-{name}"
    with world_of(tmp_path, EARLY, "sqlite", url) as world:
        done = Written(EARLY, "sqlite", url, world).json("import", str(WRITTEN / name))
        assert done["added"] == len(lines.splitlines()) - name.endswith("csv")
        assert done["rejected"] == []
        assert world.run("export", "--registry", "-o", str(out)).code == 0
    assert out.read_text(encoding="utf-8") == lines


def test_what_was_listed_is_listed_under_the_same_keys(written: Written) -> None:
    before = json.loads(said(EARLY, "list.json"))
    rows = {row["id"]: row for row in written.json("list")["threads"]}
    for row in before["threads"]:
        assert row.keys() <= rows.get(row["id"], row).keys(), row["id"]


def test_every_metric_is_still_there() -> None:
    text = said(EARLY, "metrics.prom")
    now = Metrics()
    families = {family.name: family for family in now.families()}
    declared = {one._name: one for one in vars(now).values() if hasattr(one, "_labelnames")}
    for family in text_string_to_metric_families(text):
        assert families[family.name].type == family.type
        labels = {*declared[family.name]._labelnames, "le"}
        assert all(sample.labels.keys() <= labels for sample in family.samples), family.name


@pytest.mark.parametrize("case", POLICIES, ids=range(len(POLICIES)))
def test_policies_have_the_digest_that_they_were_approved_by(
    case: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("K", "sk-x")
    file = tmp_path / "janitor.yaml"
    file.write_text(case["yaml"], encoding="utf-8")
    policies = load_config(file).policies
    assert policies_digest(policies) == case["digest"]
    assert dump(policies) == case["document"]
    assert policies_digest(load(case["document"])) == case["digest"]


def test_the_fixtures_are_small() -> None:
    assert sum(path.stat().st_size for path in FIXTURES.rglob("*") if path.is_file()) < 320_000


def test_the_file_holds_what_its_dump_says(tmp_path: Path) -> None:
    """Neither is changed alone."""
    unpack_file(EARLY, tmp_path / "file.db")
    fill_sqlite(EARLY, tmp_path / "dumped.db")
    file, dumped = (rows_of(f"sqlite:///{tmp_path / name}.db") for name in ("file", "dumped"))
    assert file == dumped
