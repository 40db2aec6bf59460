from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[3]
EXAMPLE = ROOT / "config" / "janitor.yaml"
FIXTURES = ROOT / "config" / "policies_test.yaml"
ENVIRONMENT = {name: value for name, value in os.environ.items() if name != "OPENAI_API_KEY"}


def janitor(cwd: Path, *args: str, key: str | None = "x") -> subprocess.CompletedProcess[str]:
    environment = ENVIRONMENT if key is None else {**ENVIRONMENT, "OPENAI_API_KEY": key}
    return subprocess.run(
        [sys.executable, "-m", "janitor", *args],
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.slow
def test_the_example_is_explained(tmp_path: Path) -> None:
    done = janitor(tmp_path, "validate", str(EXAMPLE))
    assert done.returncode == 0, done.stderr
    assert "30d + 90d = 120d" in done.stdout
    machine = janitor(tmp_path, "--output", "json", "--config", str(EXAMPLE), "validate")
    document = json.loads(machine.stdout)
    assert document["schema"] == 1
    assert document["policies"][0]["name"] == "trial-chats"


@pytest.mark.slow
def test_a_warning_is_told_with_its_line_to_people_and_programs(tmp_path: Path) -> None:
    surprising = ROOT / "tests/unit/config/surprises/the_latest_date_wins.yaml"
    place = f"{surprising}:13:5 last-ten delays trial-chats: "
    assert f"\nWarnings\n  {place}" in janitor(tmp_path, "validate", str(surprising)).stdout
    machine = janitor(tmp_path, "--output", "json", "validate", str(surprising))
    [warned] = json.loads(machine.stdout)["warnings"]
    assert warned.startswith(place)
    assert warned.endswith("an `except` in last-ten would end the protection of these threads")


def test_a_refused_file_exits_2_with_a_line_for_each_refusal(tmp_path: Path) -> None:
    refused = ROOT / "tests" / "refused" / "several_at_once.yaml"
    done = janitor(tmp_path, "validate", str(refused))
    assert done.returncode == 2
    assert f"{refused}:8:30 policies[0].match.metadata.plan: " in done.stderr
    assert "Traceback" not in done.stderr


def test_the_examples_fixtures_pass_without_a_key(tmp_path: Path) -> None:
    done = janitor(tmp_path, "--config", str(EXAMPLE), "test", str(FIXTURES), key=None)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.endswith("8 passed, 0 failed\n")


def test_a_failed_fixture_is_shown_as_a_difference(tmp_path: Path) -> None:
    changed = tmp_path / "policies_test.yaml"
    changed.write_text(FIXTURES.read_text().replace("stage: archive", "stage: delete"))
    call = ("--config", str(EXAMPLE), "test", str(changed))
    done = janitor(tmp_path, *call)
    assert done.returncode == 1
    assert "\n     stage: expected delete, got archive\n" in done.stdout
    machine = janitor(tmp_path, "--output", "json", *call)
    assert machine.returncode == 1
    assert json.loads(machine.stdout)["failed"] == 1


def test_a_difference_names_its_thread_where_there_are_several(tmp_path: Path) -> None:
    file = tmp_path / "policies_test.yaml"
    file.write_text(
        "- name: two\n"
        "  now: 2026-03-01T00:00:00Z\n"
        "  threads: [{id: conv_1, kind: conversation}, {id: conv_2, kind: conversation}]\n"
        "  expect: {conv_2: {stage: delete}}\n"
    )
    done = janitor(tmp_path, "--config", str(EXAMPLE), "test", str(file))
    assert done.returncode == 1
    assert "\n     conv_2 stage: expected delete, got none\n" in done.stdout


ALTERNATIVES = """\
version: 1
registry: {url: "sqlite:///janitor.db"}
projects: {main: {api_key: ""}}
mode: enforce
policies:
  - name: trial
    match: {any: [{metadata: {plan: trial}}, {kind: chatkit_thread}]}
    except: [{metadata: {pinned: "true"}}, {metadata: {department: {glob: "legal*"}}}]
    delete: {after: 30d}
  - name: vip
    match: {user: {glob: "vip-*"}}
    keep: forever
  - name: support
    match: {metadata: {team: support}}
    beside_default: true
    archive: {after: 30d, keep_for: 1y}
  - name: long
    match: {kind: thread}
    beside_default: true
    archive: {items: 50, at: earliest, keep_for: 1y}
  - name: everything-else
    default: true
    match: {kind: thread}
    delete: {after: 40d}
"""
OLD = "created_at: 2026-01-01T00:00:00Z, last_active_at: 2026-01-01T00:00:00Z"
NEW = "created_at: 2026-01-01T00:00:00Z, last_active_at: 2026-02-28T00:00:00Z"
THREADS = f"""\
- name: any of several selectors
  now: 2026-03-01T00:00:00Z
  threads:
    - {{id: trial, kind: conversation, {OLD}, metadata: {{plan: trial}}}}
    - {{id: chatkit, kind: chatkit_thread, {OLD}}}
    - {{id: paid, kind: conversation, {OLD}, metadata: {{plan: paid}}}}
    - {{id: pinned, kind: chatkit_thread, {OLD}, metadata: {{pinned: "true"}}}}
    - {{id: legal, kind: conversation, {OLD}, metadata: {{plan: trial, department: legal-eu}}}}
    - {{id: support, kind: thread, {OLD}, metadata: {{team: support}}, state: archived}}
    - {{id: copied, kind: thread, {OLD}, metadata: {{team: support}}}}
    - {{id: long, kind: thread, {NEW}, items: 50, metadata: {{team: support}}}}
    - {{id: short, kind: thread, {NEW}, items: 49, metadata: {{team: support}}}}
    - {{id: unread, kind: conversation, {OLD}}}
    - {{id: vip, kind: conversation, {OLD}, user: vip-1, metadata: {{plan: trial}}}}
    - {{id: other, kind: conversation, {OLD}, metadata: {{user: u-1, plan: trial}}}}
  expect:
    trial: {{stage: delete, policy: trial}}
    chatkit: {{stage: delete, policy: trial}}
    paid: {{stage: none, reason: unmatched}}
    support: {{stage: delete, policy: everything-else}}
    copied: {{stage: archive, policy: support}}
    long: {{stage: archive, policy: long}}
    short: {{stage: none, reason: not_due}}
    pinned: {{stage: none, reason: excluded}}
    legal: {{stage: none, reason: excluded}}
    unread: {{stage: none, reason: unknown_metadata}}
    vip: {{stage: none, reason: keep_forever}}
    other: {{stage: delete, policy: trial}}
"""


def test_fixtures_try_out_alternatives(tmp_path: Path) -> None:
    config, threads = tmp_path / "janitor.yaml", tmp_path / "policies_test.yaml"
    config.write_text(ALTERNATIVES)
    threads.write_text(THREADS)
    done = janitor(tmp_path, "--config", str(config), "test", str(threads))
    assert done.stdout.endswith("1 passed, 0 failed\n"), done.stdout + done.stderr


def test_init_writes_what_validate_accepts_and_never_overwrites(tmp_path: Path) -> None:
    assert janitor(tmp_path, "init").returncode == 0
    written = tmp_path / "config" / "janitor.yaml"
    before = written.read_bytes()
    assert janitor(tmp_path, "validate").returncode == 0
    again = janitor(tmp_path, "init")
    assert again.returncode == 2
    assert "already exists" in again.stderr
    assert written.read_bytes() == before


@pytest.mark.parametrize(
    ("file", "existing", "registry"),
    [
        ("config/janitor.yaml", None, "var/janitor.db"),
        ("config/janitor.yaml", "var/janitor.db", "var/janitor.db"),
        ("config/janitor.yaml", "config/janitor.db", "config/janitor.db"),
        ("janitor.yaml", None, "var/janitor.db"),
        ("janitor.yaml", "janitor.db", "janitor.db"),
    ],
)
def test_init_names_the_registry_that_the_file_then_has(
    tmp_path: Path, file: str, existing: str | None, registry: str
) -> None:
    if existing is not None:
        (tmp_path / existing).parent.mkdir(exist_ok=True)
        (tmp_path / existing).write_bytes(b"kept")
    done = janitor(tmp_path, "init", file)
    assert done.returncode == 0, done.stderr
    exists = ", which exists and is kept" if existing else ""
    assert f"registry: sqlite:///{tmp_path / registry}{exists}\n" in done.stdout
    form = yaml.safe_load((tmp_path / file).read_text("utf-8"))
    spelled = (tmp_path / file).parent / form["registry"]["url"].removeprefix("sqlite:///")
    assert spelled.resolve() == tmp_path / registry
    archive = (tmp_path / file).parent / form["archive"]["url"].removeprefix("file://")
    assert archive.resolve() == (tmp_path / registry).with_name("archive")
    if existing is None:
        assert stat.S_IMODE((tmp_path / "var").stat().st_mode) == 0o700
    else:
        assert (tmp_path / existing).read_bytes() == b"kept"


def test_init_for_a_service_names_its_directories(tmp_path: Path) -> None:
    done = janitor(tmp_path, "--output", "json", "init", "etc/janitor.yaml", "--system")
    assert json.loads(done.stdout)["registry"] == "sqlite:////var/lib/janitor/janitor.db"
    form = yaml.safe_load((tmp_path / "etc" / "janitor.yaml").read_text("utf-8"))
    assert form["registry"]["url"] == "sqlite:////var/lib/janitor/janitor.db"
    assert form["archive"]["url"] == "file:///var/lib/janitor/archive"
    assert [path.name for path in tmp_path.iterdir()] == ["etc"]


def test_init_says_where_it_cannot_write(tmp_path: Path) -> None:
    (tmp_path / "config").write_text("a file, no directory")
    done = janitor(tmp_path, "init")
    assert done.returncode == 2
    assert "config is not a directory" in done.stderr
    assert "Traceback" not in done.stderr


def test_init_writes_no_file_where_the_data_directory_cannot_be(tmp_path: Path) -> None:
    (tmp_path / "var").write_text("a file, no directory")
    done = janitor(tmp_path, "init", "janitor.yaml")
    assert done.returncode == 2
    assert f"{tmp_path / 'var'} is not a directory" in done.stderr
    assert not (tmp_path / "janitor.yaml").exists()
    (tmp_path / "var").unlink()
    (tmp_path / "var").symlink_to("nowhere/var")
    done = janitor(tmp_path, "init", "janitor.yaml")
    assert done.returncode == 2
    assert f"{tmp_path / 'nowhere' / 'var'} cannot be created: No such file" in done.stderr
    assert not (tmp_path / "janitor.yaml").exists()


@pytest.mark.parametrize("target", [None, "nowhere/janitor.yaml"])
def test_init_makes_nothing_next_to_a_file_that_exists(tmp_path: Path, target: str | None) -> None:
    path = tmp_path / "janitor.yaml"
    if target is None:
        path.write_text("version: 1\n")
    else:
        path.symlink_to(target)
    done = janitor(tmp_path, "init", "janitor.yaml")
    assert done.returncode == 2
    assert "janitor.yaml already exists and was not changed" in done.stderr
    assert list(tmp_path.iterdir()) == [path]


def test_init_for_a_service_leaves_a_registry_elsewhere_alone(tmp_path: Path) -> None:
    (tmp_path / "janitor.db").write_bytes(b"kept")
    done = janitor(tmp_path, "init", "janitor.yaml", "--system")
    assert "registry: sqlite:////var/lib/janitor/janitor.db" in done.stdout
    told = " ".join(janitor(tmp_path, "init", "--help").stdout.split())
    assert "With --system they are kept in /var/lib/janitor, whatever registry exists" in told


def test_the_schema_is_printed(tmp_path: Path) -> None:
    assert json.loads(janitor(tmp_path, "schema").stdout)["additionalProperties"] is False


@pytest.mark.parametrize("command", ["init", "validate", "schema", "test"])
def test_help_gives_an_example(tmp_path: Path, command: str) -> None:
    done = janitor(tmp_path, command, "--help")
    assert done.returncode == 0
    assert "Example" in done.stdout
