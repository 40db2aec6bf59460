"""What an address may hold and what of it is shown."""

from __future__ import annotations

import os
from datetime import timedelta
from pathlib import Path

import pytest

from janitor.config import Config, Keeper, Secret, SqlSettings, load
from janitor.config.regular_file import read_regular
from janitor.errors import ConfigError, shown_address
from janitor.registry import Registry
from janitor.sources.sql_reader import address
from janitor.sources.suggest import settings_of
from janitor.tracking.inbox import HttpInbox, PostgresInbox, inbox_of

SHOWN = {
    "postgresql+psycopg://host/db": "postgresql+psycopg://host/db",
    "postgresql://u@host:5432/db?sslmode=require": "postgresql://host:5432/db?sslmode=require",
    "postgresql://u@/db?host=%2Frun%2Fpg": "postgresql:///db?host=%2Frun%2Fpg",
    "mysql://u:MARK@host/db": "mysql://host/db",
    "mysql://u:MA@RK@host/db": "mysql://host/db",
    "mysql://u:M/A@RK?x=1@host/db": "mysql://host/db",
    "mysql://u:MA#RK@host/db": "mysql://host/db",
    "http://MARK@host": "http://host",
    "me:MARK@host:3128": "host:3128",
    "s3://bucket/path?X-Amz-Signature=MARK&x=1": "s3://bucket/path?X-Amz-Signature=***",
    "https://hooks.example/x?token=MARK": "https://hooks.example/x?token=***",
    "postgresql://host/db?user=a&password=MA&RK": "postgresql://host/db?user=a&password=***",
    "postgresql://host/db?pass%77ord=MARK": "postgresql://host/db?pass%77ord=***",
    "postgresql://host/db?password=MA@RK": "postgresql://***",
    "postgresql://u:MA?key=RK@host/db": "postgresql://***",
    "postgresql://u:MARK?key=@host/db": "postgresql://***",
    "MARK@": "",
}


@pytest.mark.parametrize(("url", "shown"), SHOWN.items())
def test_an_address_is_shown_without_whatever_may_be_a_secret(url: str, shown: str) -> None:
    assert shown_address(url) == shown
    assert "MA" not in shown
    assert "RK" not in shown


CONFIG = """\
version: 1
registry: {url: "%(registry)s"}
projects: {main: {api_key: {file: "%(key)s"}, base_url: "%(base_url)s"}}
policies: []
archive: {url: "%(archive)s"}
sources: {chats: {sql: {url: "%(source)s", query: "SELECT id FROM chats", watermark: null}}}
"""
GOOD = {
    "registry": "sqlite:///janitor.db",
    "base_url": "https://api.example/v1",
    "source": "sqlite:///app.db",
    "archive": "file://archive",
    "key": "key",
}
PG = "postgresql+psycopg://"
NULS = ("MA%00RK@h/d", "MA%00RK/d", "h/MA%00RK", "h/d?application_name=MA%00RK", "h/d?sslcert=%00")
DATABASES = [
    "postgresql+psycopg://h:MARK/db",
    "postgresql+psycopg://[::1/db",
    "postgresql+psycopg://u:MARK@h/db",
    "postgresql+psycopg://u:MA@RK@h/db",
    "postgresql+psycopg://u:M/A@RK@h/db",
    "postgresql+psycopg://u:M?A@RK@h/db",
    "postgresql+psycopg://h/db?password=MARK",
    "postgresql+psycopg://h/db?sslpassword=MARK",
    "postgresql+psycopg://h/db?pass%77ord=MARK",
]
WEB = [
    "https://MARK@h/v1",
    "https://u:MARK@h/v1",
    "https://h:MARK/v1",
    "https://h/v1?api_key=MARK",
    "https://h/v1?token=MARK&x=1",
    f"https://{'MARK' * 16}/v1",
    "https://MARK..h/v1",
    "https://MARK h/v1",
    "https://MARK%41/v1",
    "https://MARK:0/v1",
    "https://::1/v1",
]
REFUSED = [
    *(("registry", url) for url in DATABASES),
    *(("source", url) for url in DATABASES),
    *(("base_url", url) for url in WEB),
    ("registry", "sqlite:///MARK\\0.db"),
    ("source", "sqlite:///MARK\\0.db"),
    *((field, f"sqlite:///MA%00RK{end}") for field in ("registry", "source") for end in ("", "/d")),
    *((field, f"{PG}{url}") for field in ("registry", "source") for url in NULS),
    ("archive", "file://MARK\\0"),
    ("key", "/MARK\\0"),
]


@pytest.mark.parametrize(("field", "url"), REFUSED)
def test_an_address_that_cannot_be_right_is_refused_with_its_line(
    tmp_path: Path, field: str, url: str
) -> None:
    text = CONFIG % {**GOOD, field: url}
    line = next(n for n, line in enumerate(text.splitlines(), 1) if url in line)
    with pytest.raises(ConfigError) as refused:
        _loaded(text, tmp_path)
    assert [one.place.line for one in refused.value.refusals if one.place] == [line]
    words = f"{refused.value} {refused.value.refusals}"
    assert "MA" not in words
    assert "RK" not in words


@pytest.mark.parametrize("value", ["0o17", "1_000", "2020-01-01", "[MARK]", "!x MARK"])
@pytest.mark.parametrize("field", ["password", "hash_key"])
def test_a_secret_that_stands_in_the_file_is_not_quoted(
    tmp_path: Path, value: str, field: str
) -> None:
    text = (CONFIG % GOOD).replace('janitor.db"', f'janitor.db", {field}: {value}')
    with pytest.raises(ConfigError) as refused:
        _loaded(text, tmp_path)
    assert value.strip("[]!x ") not in str(refused.value.refusals)


def _loaded(text: str, directory: Path) -> Config:
    path = directory / "janitor.yaml"
    path.write_text(text)
    return load(path, environment=False)


@pytest.mark.parametrize("url", ["postgresql+psycopg://h:abc/d", "postgresql+psycopg://[::1/d"])
def test_a_registry_whose_port_is_none_is_refused(url: str) -> None:
    with pytest.raises(ConfigError, match=r"registry\.url"):
        Registry.open(url)


@pytest.mark.parametrize("url", [*(f"{PG}{url}" for url in NULS), "sqlite:////MA%00RK"])
def test_a_nul_in_an_address_is_the_cause_that_is_named(
    monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    monkeypatch.setenv("APP_DATABASE_URL", url)
    secret = Secret(Keeper.ENV, "APP_DATABASE_URL")
    second = timedelta(seconds=1)
    for refused in (
        lambda: Registry.open(url),
        lambda: address(SqlSettings(secret, "", None, second, second, Path("/"))),
        lambda: settings_of(url, Path("/")),
        lambda: inbox_of(url),
    ):
        with pytest.raises(ConfigError, match=r"contains a NUL character \(%00\): remove it$") as e:
            refused()
        assert "MA" not in str(e.value)


@pytest.mark.parametrize(
    ("directory", "name", "file"),
    [
        ("a", "x%20y.db", "x y.db"),
        ("a%20b", "x%2520y.db", "x%20y.db"),
        ("5%?#", "x%3F#.db", "x?#.db"),
    ],
)
def test_a_configuration_names_the_file_that_the_registry_opens(
    directory: str, name: str, file: str, tmp_path: Path
) -> None:
    place = tmp_path / directory
    place.mkdir()
    named = _loaded(CONFIG % {**GOOD, "registry": f"sqlite:///{name}"}, place).registry
    Registry.open(named.url).close()
    assert named.path == place / file
    assert named.path.is_file()


def test_a_percent_sign_that_is_spelled_out_is_no_nul(tmp_path: Path) -> None:
    Registry.open(f"sqlite:///{tmp_path}/a%2500b").close()
    _loaded(CONFIG % {**GOOD, "source": "sqlite:///a%2500b"}, tmp_path)


@pytest.mark.parametrize(
    "password", ["MA@RK", "MA@RK/x", "M/A@RK", "M?A@RK", "MA@RK?x", "@MARK", "MARK@"]
)
def test_an_unescaped_at_is_the_cause_that_is_named(
    monkeypatch: pytest.MonkeyPatch, password: str
) -> None:
    url = f"postgresql://u:{password}@127.0.0.1:1/db"
    monkeypatch.setenv("APP_DATABASE_URL", url)
    secret = Secret(Keeper.ENV, "APP_DATABASE_URL")
    second = timedelta(seconds=1)
    for refused in (
        lambda: address(SqlSettings(secret, "", None, second, second, Path("/"))),
        lambda: PostgresInbox(url),
    ):
        with pytest.raises(ConfigError, match="second @: write each @ of the password as %40") as e:
            refused()
        assert "MA" not in str(e.value)
        assert "RK" not in str(e.value)


def test_names_that_hold_an_at_are_read_as_before() -> None:
    second = timedelta(seconds=1)
    for url, host in {
        "postgresql://janitor@server@host/db": "host",
        "postgresql://u:p%40ss@host/db?application_name=me": "host",
    }.items():
        assert address(SqlSettings(url, "", None, second, second, Path("/"))).host == host


@pytest.mark.parametrize(
    "url", ["https://MA/RK@h", "https://h:MARK", "https://[MARK", "https://MARK..h", "https://"]
)
def test_an_application_hears_of_a_wrong_address(url: str) -> None:
    with pytest.raises(ConfigError) as refused:
        HttpInbox(url)
    assert "MA" not in str(refused.value)
    assert "RK" not in str(refused.value)


def test_only_regular_files_are_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OSError, match="it is a pipe; name a regular file"):
        read_regular(tmp_path / "pipe", 10)
    with pytest.raises(OSError, match="it is a device; name a regular file"):
        read_regular(Path("/dev/zero"), 10)
    with pytest.raises(OSError, match="it is a kernel file without data"):
        read_regular(Path("/proc/self/mem"), 10)
    with pytest.raises(IsADirectoryError):
        read_regular(tmp_path, 10)
    (tmp_path / "file").write_text("a" * 20)
    (tmp_path / "link").symlink_to("file")
    assert read_regular(tmp_path / "link", 10) == b"a" * 10
