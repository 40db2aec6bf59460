"""Surroundings that are not ours: every command says what is in its way, or does its work.

Each of a few surroundings takes seconds, since each command is a process in it.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from world import KEY, KEY_VARIABLE, POLICIES, Done, World

from bad_input.forks import BROKEN, FULL
from janitor.drivers.connect import Outbound
from janitor.drivers.environment import check_environment
from janitor.emulator import Emulator
from janitor.errors import ConfigError
from janitor.metrics import Metrics

SOURCE = """\
sources:
  chats:
    sql:
      url: "sqlite:///app.db"
      query: "SELECT id, 'conversation' AS kind, at FROM chats WHERE at > :watermark"
      watermark: at
service: {listen: "127.0.0.1:0"}
"""
FIXTURE = """\
- name: one
  now: 2027-01-01T00:00:00Z
  thread: {kind: conversation}
  expect: {stage: none}
"""
COMMANDS = (
    "--help",
    "--version",
    "demo",
    "init new/janitor.yaml --source sqlite:///app.db --table chats",
    "validate",
    "schema",
    "test DIRECTORY/fixtures.yaml",
    "import threads.jsonl",
    "import -",
    "sync",
    "sync --discover --dry-run",
    "doctor",
    "plan -o new.json",
    "list",
    "explain ID",
    "runs",
    "health",
    "missing list",
    "missing accept --reason x",
    "apply plan.json",
    "sweep --metrics-textfile janitor.prom",
    "serve",
    "approve 0123456789 --reason x",
    "tag",
    "restore ID",
    "archive show ID",
    "archive verify",
    "archive prune",
    "hold add one --reason x --id ID",
    "hold list",
    "export --registry",
    "export --registry -o out.jsonl",
    "pause --reason x",
    "resume",
    "db upgrade",
)
MATRIX = tuple(command for command in COMMANDS if command != "demo")  # which takes seconds
NOISE = ("Traceback", "Exception ignored", "never awaited", "unexpectedly", "No usable")
RELATIVE = re.compile(r"^init|plan.json|threads.jsonl| -o |--metrics-textfile")


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a command runs in; the rest is as it should be."""

    environment: Mapping[str, str | None] = field(default_factory=dict)
    streams: Mapping[int, str | None] = field(default_factory=dict)
    limits: Mapping[str, int] = field(default_factory=dict)
    cwd_is_gone: bool = False


class House:
    """A world that each command finds as it was, and the server that forks janitors into it."""

    def __init__(self, directory: Path, world: World, one: str) -> None:
        self._directory = directory
        self._template = world.directory
        self.world = world
        self._one = one
        self._process = subprocess.Popen(
            [sys.executable, "-m", "bad_input.forks"],
            cwd=Path(__file__).parent.parent,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.usual: dict[str, Done] = {}

    def run(self, command: str, surroundings: Surroundings = Surroundings()) -> Done:
        """Call a command in a copy of the world."""
        place, said = self._directory / "run", self._directory / "said"
        for left in (place, said):
            shutil.rmtree(left, ignore_errors=True)
        shutil.copytree(self._template, place)
        said.mkdir()
        environment = {**os.environ, **self.world.environment, **surroundings.environment}
        usual = {0: os.devnull, 1: str(said / "out"), 2: str(said / "err")}
        named = command.replace("DIRECTORY", str(place)).replace("ID", self._one)
        order = {
            "arguments": ["--config", str(place / "janitor.yaml"), *named.split()],
            "directory": str(place / "gone" if surroundings.cwd_is_gone else place),
            "environment": {k: v for k, v in environment.items() if v is not None},
            "streams": [*{**usual, **surroundings.streams}.values()],
            "limits": dict(surroundings.limits),
            "cwd_is_gone": surroundings.cwd_is_gone,
        }
        if surroundings.cwd_is_gone:
            (place / "gone").mkdir()
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        code = self._process.stdout.readline().strip()
        assert code.lstrip("-").isdigit(), f"{command}: {code or 'the server has ended'}"
        return Done(int(code), _read(said / "out"), _read(said / "err"))

    def end(self) -> None:
        """End the server."""
        self._process.communicate()


def _read(file: Path) -> str:
    return file.read_bytes().decode() if file.exists() else ""


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    emulator = Emulator({KEY: "main"})
    directory = tmp_path_factory.mktemp("world")
    with emulator.serve() as served:
        world = World(directory, emulator, served.base_url, {KEY_VARIABLE: KEY})
        world.configure(POLICIES)
        with world.config.open("a") as file:
            file.write(SOURCE)
        with closing(sqlite3.connect(directory / "app.db")) as database, database:
            database.execute("CREATE TABLE chats (id TEXT, at TEXT)")
            database.execute("INSERT INTO chats VALUES ('conv_app', '2026-01-01 00:00:00')")
        (directory / "fixtures.yaml").write_text(FIXTURE)
        ids = world.fill(2, age=1, plan="träial")
        assert world.run("plan", "-o", str(directory / "plan.json")).code == 0
        made = House(tmp_path_factory.mktemp("runs"), world, ids[0])
        try:
            made.usual |= {command: made.run(command) for command in MATRIX}
            yield made
        finally:
            made.end()


def assert_all_as_usual(
    house: House, commands: Iterable[str], surroundings: Surroundings, *says: str
) -> set[str]:
    """Each command does what it always does, or is refused and says so; which ones were."""
    refused = set()
    for command in commands:
        done, usual = house.run(command, surroundings), house.usual[command]
        for said in (done.out, done.err):
            assert "Traceback" not in said, f"{command}\n{said}"
            assert "unexpectedly" not in said, f"{command}\n{said}"
        if done.code == usual.code and not any(said in done.err for said in says):
            continue
        refused.add(command)
        assert done.code in {2, 3}, f"{command}: {done.code}\n{done.out}\n{done.err}"
        for said in says:
            assert said in done.out + done.err, f"{command}\n{done.out}\n{done.err}"
    return refused


SCARCE = (
    "list",
    "plan -o new.json",
    "sweep --metrics-textfile janitor.prom",
    "serve",
    "import threads.jsonl",
    "sync",
    "doctor",
    "init new/janitor.yaml --source sqlite:///app.db --table chats",
    "validate",
    "apply plan.json",
    "export --registry -o out.jsonl",
)


@pytest.mark.parametrize("command", SCARCE)
def test_few_descriptors_are_told_alone(house: House, command: str) -> None:
    """From the fewest up to as many as it needs; any beyond that change nothing."""
    for most in (*range(4, 20), 24, 32, 40):
        done = house.run(command, Surroundings(limits={"RLIMIT_NOFILE": most}))
        said = f"{most}: {done}"
        assert not any(sign in done.out + done.err for sign in NOISE), said
        if done.code == house.usual[command].code:
            return
        assert "Too many open files; raise the limit" in said, said
    pytest.fail(f"{command} needs more than 40 descriptors")


STRANGE = {
    "TZ": "Nonsense/Zone",
    "PYTHONTZPATH": "relative",
    "LC_ALL": "xx_YY.nonsense",
    "PYTHONIOENCODING": "ascii",
    "HOME": None,
    "XDG_RUNTIME_DIR": "/nonexistent",
    "TMPDIR": "/nonexistent",
    "COLUMNS": "0",
    "LINES": "-1",
    "TERM": "nonsense",
    "FORCE_COLOR": "1",
    "NO_PROXY": "[bad,a:b:c,http://[,*.,/",
    "NOTIFY_SOCKET": "/nonexistent",
    "WATCHDOG_USEC": "abc",
    "WEB_CONCURRENCY": "abc",
    "OPENAI_BASE_URL": "http://[",
    "OPENAI_LOG": "debug",
    "OPENAI_CUSTOM_HEADERS": "nonsense",
    "OPENAI_ORG_ID": "a\nb",
    "OPENAI_PROJECT_ID": "ü",
    "OPENAI_API_KEY": "",
    "OPENAI_API_VERSION": "x",
    "AZURE_OPENAI_ENDPOINT": "x",
    "AZURE_OPENAI_AD_TOKEN": "x",
    "JANITOR_BOOT_ID": "nonsense",
    "LOGNAME": "\x01",
    "NETRC": "/nonexistent",
    "PGPORT": "abc",
}


def test_what_concerns_others_changes_nothing(house: House) -> None:
    assert assert_all_as_usual(house, MATRIX, Surroundings(STRANGE)) == set()


REFUSED: Mapping[str, tuple[Mapping[str, str | None], str]] = {
    "certificates": ({"SSL_CERT_FILE": "/nonexistent"}, "SSL_CERT_FILE: "),
    "proxy": ({"HTTP_PROXY": "ftp://me:MARK@x", "http_proxy": None}, "HTTP_PROXY: ftp://x is"),
    "counters": ({"PROMETHEUS_MULTIPROC_DIR": "/nonexistent"}, "PROMETHEUS_MULTIPROC_DIR is"),
    "lease": ({"JANITOR_LEASE_SECONDS": "abc"}, "JANITOR_LEASE_SECONDS: "),
    "key": ({KEY_VARIABLE: "sk-MARK\nX: y"}, KEY_VARIABLE),
    "key log": ({"SSLKEYLOGFILE": "/nonexistent/log"}, "SSLKEYLOGFILE: "),
}
ASKING = {"plan -o new.json", "sweep --metrics-textfile janitor.prom", "doctor", "tag"}


def test_what_is_in_the_way_is_named_by_whoever_needs_it(house: House) -> None:
    environment, says = REFUSED["certificates"]
    refused = assert_all_as_usual(house, MATRIX, Surroundings(environment), says)
    assert {*ASKING, "serve", "apply plan.json", "sync --discover --dry-run"} <= refused
    assert refused.isdisjoint({"--help", "validate", "schema", "list", "runs", "pause --reason x"})


@pytest.mark.parametrize("case", sorted(REFUSED.keys() - {"certificates"}))
def test_what_is_in_the_way_is_named(house: House, case: str) -> None:
    environment, says = REFUSED[case]
    counting = ASKING - {"plan -o new.json"}  # a plan counts nothing for a scrape
    needing = counting if case == "counters" else ASKING
    assert assert_all_as_usual(house, ASKING, Surroundings(environment), says) == needing


STREAMS: Mapping[str, Mapping[int, str | None]] = {
    "closed": {0: None, 1: None, 2: None},
    "without a reader": {1: BROKEN, 2: BROKEN},
    "errors full": {1: None, 2: FULL},
}


@pytest.mark.parametrize("streams", STREAMS.values(), ids=STREAMS)
def test_standard_streams_may_be_anything(house: House, streams: Mapping[int, str | None]) -> None:
    assert assert_all_as_usual(house, MATRIX, Surroundings(streams=streams)) == set()


def test_output_that_is_full_is_told(house: House) -> None:
    says = "cannot write to standard output: No space left"
    refused = assert_all_as_usual(house, MATRIX, Surroundings(streams={1: FULL}), says)
    silent = {"serve", "export --registry -o out.jsonl"}
    assert refused == {c for c in MATRIX if house.usual[c].code == 0} - silent


def test_a_directory_that_is_gone_is_told(house: House) -> None:
    refused = assert_all_as_usual(house, MATRIX, Surroundings(cwd_is_gone=True))
    assert refused == {command for command in MATRIX if RELATIVE.search(command)}


def test_the_demo_needs_nothing_of_its_surroundings(house: House) -> None:
    environment = {**STRANGE, **{k: v for one, _ in REFUSED.values() for k, v in one.items()}}
    done = house.run("demo", Surroundings(environment, cwd_is_gone=True))
    assert done.code == 0, done.err
    assert "(exit code 2)" not in done.out
    assert "Traceback" not in done.out + done.err


def test_logs_and_output_are_whole_in_a_process_of_ones_own(house: House) -> None:
    """What is read when Python starts, or when the SDK is imported, is tried in a new process."""
    world = house.world
    environment = {"OPENAI_LOG": "debug", "PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"}
    done = world.process("-v", "--log-format", "json", "tag", environment=environment)
    assert done.code == 0, done.err
    assert {json.loads(line)["level"] for line in done.err.splitlines()} == {"INFO"}


PROXIES = [
    "ftp://x",
    "socks5://127.0.0.1:1",
    "http://x:abc",
    "http://x:99999",
    "http://[::1",
    "http://",
    "me:MARK@x:abc",
    "http://me:MA@RK@x:abc",
    "gopher://me:MARK/@x",
    "http://ünï:MARK\u0100@x",
]


@pytest.mark.parametrize("variable", ["HTTPS_PROXY", "all_proxy"])
@pytest.mark.parametrize("value", PROXIES)
def test_a_proxy_that_cannot_be_used_is_named_without_its_password(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str
) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(ConfigError, match=f"^{variable}: ") as refused:
        check_environment()
    assert "MA" not in str(refused.value)
    assert "RK" not in str(refused.value)


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("HTTPS_PROXY", "http://me:p%40ss@proxy.example:3128"),
        ("https_proxy", "proxy.example:3128"),
        ("HTTP_PROXY", ""),
        ("SSL_CERT_FILE", ""),
        ("SSL_CERT_DIR", "/etc"),
    ],
)
def test_what_can_be_used_is_used(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str
) -> None:
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    monkeypatch.setenv(variable, value)
    check_environment()


def test_whatever_calls_or_counts_looks_at_its_environment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "ftp://x")
    with pytest.raises(ConfigError, match="HTTPS_PROXY"):
        Outbound(1)
    monkeypatch.setenv("prometheus_multiproc_dir", "/tmp")
    with pytest.raises(ConfigError, match="prometheus_multiproc_dir"):
        Metrics()


def test_no_file_takes_the_place_of_a_stream_that_was_closed() -> None:
    script = (
        "import os; from janitor.cli import _keep_places; os.closerange(0, 3); _keep_places(); "
        "os._exit(sum(os.readlink(f'/proc/self/fd/{n}') == os.devnull for n in range(3)))"
    )
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 3


def test_proxies_that_are_not_used_are_not_judged(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "ftp://x")
    monkeypatch.setenv("NO_PROXY", "a, *")
    check_environment()


@pytest.mark.parametrize("kind", ["missing", "directory", "empty", "text"])
def test_certificates_that_cannot_be_read_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    place = tmp_path / "cert.pem"
    if kind == "directory":
        place.mkdir()
    elif kind != "missing":
        place.write_text("" if kind == "empty" else "no certificate")
    monkeypatch.setenv("SSL_CERT_FILE", str(place))
    with pytest.raises(ConfigError, match=f"^SSL_CERT_FILE: the certificates in {place}"):
        check_environment()
    monkeypatch.delenv("SSL_CERT_FILE")
    monkeypatch.setenv("SSL_CERT_DIR", str(tmp_path / "nowhere"))
    with pytest.raises(ConfigError, match=r"^SSL_CERT_DIR: .* not a directory"):
        check_environment()
