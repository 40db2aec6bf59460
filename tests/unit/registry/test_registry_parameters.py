"""What an address, or a variable of libpq's, asks of a session: the one at fault is named."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from threading import Thread

import psycopg
import pytest
from postgres import GUARDED, Server

from janitor.addresses import LIBPQ, SQLITE, VARIABLES, wrong_parameter, wrong_variable
from janitor.errors import ConfigError, JanitorError, StoreError
from janitor.registry import Registry

VALUES: tuple[str, ...] = (
    "",
    "1",
    " 7 ",
    "abc",
    "70000",
    "disable",
    "require",
    "verify-full",
    "prefer",
    "postgres",
)
VALUES += ("random", "any", "primary", "read-write", "3.2", "TLSv1.3", "!password", "127.0.0.1")
HARMLESS = {"password", "application_name", "client_encoding", "connect_timeout"}
JUDGED = sorted(key for key, one in LIBPQ.items() if one.takes)


@pytest.fixture
def url(postgres_url: str) -> str:
    return postgres_url


def told(url: str, kind: type[JanitorError] = ConfigError) -> str:
    with pytest.raises(kind) as caught:
        Registry.open(url).close()
    assert "BAD" not in str(caught.value).partition("cannot be reached")[2]  # but in the address
    assert "BAD" not in str(caught.value) or "cannot be reached" in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("foo=BAD", "registry.url: unknown parameter `foo`; remove it"),
        ("sslmod=BAD", "registry.url: unknown parameter `sslmod`; did you mean `sslmode`?"),
        ("autocommit=BAD", "registry.url: unknown parameter `autocommit`; remove it"),
        ("BAD=1", "registry.url: unknown parameter; remove it"),
        ("sslmode=BAD", "registry.url: invalid value for `sslmode`: write disable, "),
        ("connect_timeout=BAD", "invalid value for `connect_timeout`: write a whole"),
        ("port=70000", "registry.url: invalid value for `port`: write a port from 1"),
        ("hostaddr=BAD", "invalid value for `hostaddr`: write an IP address, or a"),
        ("user=a&user=b", "registry.url: `user` appears twice; remove one"),
        ("service=BAD", "`service` in registry.url: no such service: correct it, or the"),
        ("options=BAD", "`options` in registry.url: the server does not accept them: correct"),
        ("options=-c%20BAD", "`options` in registry.url: the server does not accept them"),
        ("options=-c%20BAD%3D1", "`options` in registry.url: the server does not accept them"),
        ("options=-c%20jit%3DBAD", "`options` in registry.url: the server does not accept them"),
        ("target_session_attrs=standby", "`target_session_attrs` in registry.url: no server is"),
        ("requirepeer=BAD", "`requirepeer` in registry.url: the server runs as another user"),
        ("require_auth=md5", "`require_auth` in registry.url: the server asks for another method"),
        ("scram_client_key=BAD", "`scram_client_key` in registry.url: it cannot be used"),
        ("gssencmode=require", "`gssencmode` in registry.url: sessions cannot be encrypted by"),
        ("sslnegotiation=direct", "`sslnegotiation` in registry.url: write sslmode=require, or a"),
        ("options=-c%20role%3DBAD", "`options` in registry.url: they name a role that does not"),
        ("options=--role%3DBAD", "`options` in registry.url: they name a role that does not"),
        ("options=-c%20session_authorization%3DBAD", "`options` in registry.url: they name a role"),
        ("options=-c%20session_preload_libraries%3DBAD", "`options` in registry.url: the server "),
        ("options=-c%20local_preload_libraries%3DBAD", "`options` in registry.url: the server "),
        ("channel_binding=require", "`channel_binding` in registry.url: the server does not offer"),
    ],
)
def test_a_parameter_that_is_wrong_is_named(url: str, query: str, message: str) -> None:
    assert message in told(f"{url}&{query}")


@pytest.mark.parametrize(
    ("variable", "value", "message"),
    [
        ("PGSSLMODE", "BAD", "invalid value for PGSSLMODE: write disable, allow,"),
        ("PGHOSTADDR", "BAD", "invalid value for PGHOSTADDR: write an IP address"),
        ("PGPORT", "70000", "invalid value for PGPORT: write a port from 1 to 65535"),
        ("PGTARGETSESSIONATTRS", "BAD", "or unset PGTARGETSESSIONATTRS"),
        ("PGTARGETSESSIONATTRS", "standby", "PGTARGETSESSIONATTRS: no server is what it asks for"),
        ("PGSERVICE", "BAD", "PGSERVICE: no such service: correct it, or the service"),
        ("PGOPTIONS", "-c BAD=1", "PGOPTIONS: the server does not accept them: correct them, or "),
        ("PGOPTIONS", "-c role=BAD", "PGOPTIONS: they name a role that does not exist: correct "),
        ("PGGSSENCMODE", "require", "PGGSSENCMODE: sessions cannot be encrypted by GSSAPI here"),
        ("PGSSLNEGOTIATION", "direct", "PGSSLNEGOTIATION: write sslmode=require, or a stricter"),
        ("PGREQUIREPEER", "BAD", "PGREQUIREPEER: the server runs as another user: correct it, or "),
        ("PGREQUIREAUTH", "md5", "PGREQUIREAUTH: the server asks for another method"),
    ],
)
def test_a_variable_that_is_wrong_is_named(
    url: str, variable: str, value: str, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, value)
    said = told(url)
    assert message in said
    assert f"unset {variable}" in said


def test_a_user_that_does_not_exist_is_not_taken_for_an_option(
    postgres: Server, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    theirs = postgres.url(url.partition("@/")[2].partition("?")[0], "nobody_here")
    for role in ("nobody_here", "other"):
        monkeypatch.setenv("PGOPTIONS", f"-c role={role}")
        assert "does not allow this user to log in: correct registry.url" in told(theirs)


@pytest.mark.parametrize(
    "variable",
    ["PGTZ", "PGDATESTYLE", "PGGEQO", "PGCLIENTENCODING", "PGCONNECT_TIMEOUT", "PGAPPNAME"],
)
def test_a_variable_that_cannot_matter_is_ignored(
    url: str, variable: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, "BAD")
    Registry.open(url).close()


@pytest.mark.parametrize(("key", "value"), [("sslmode", "prefer"), ("options", "-c jit=off")])
def test_what_the_address_says_counts_before_a_variable(
    url: str, key: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(VARIABLES[key], "BAD")
    Registry.open(f"{url}&{key}={value}").close()


@pytest.mark.parametrize("key", JUDGED)
def test_what_is_refused_is_what_libpq_refuses(postgres: Server, key: str) -> None:
    for value in VALUES:
        try:
            psycopg.connect(f"{postgres.admin} {key}='{value}'").close()
            is_taken = True
        except psycopg.Error as error:
            said = str(error)
            is_taken = not any(one in said for one in ("invalid", "could not parse", "could not m"))
        # Which numbers are judged depends on how the server is reached, and a wrong time-out is
        # taken for none: ours are refused all the same.
        if is_taken and not LIBPQ[key].takes.startswith("a whole number"):
            assert wrong_parameter([(key, value)]) is None, value
        if not is_taken:
            assert wrong_parameter([(key, value)]) is not None, value
            if key in VARIABLES:
                assert wrong_variable({VARIABLES[key]: value}, ()) is not None


def test_the_names_are_those_of_libpq() -> None:
    names = {
        one.keyword.decode(): one.envvar.decode() if one.envvar else None
        for one in psycopg.pq.Conninfo.get_defaults()
    }
    known = {key: VARIABLES.get(key) for key in LIBPQ if key in names}
    assert {key: names[key] for key in known if key not in HARMLESS} == {
        key: variable for key, variable in known.items() if key not in HARMLESS
    }
    assert names.keys() - known.keys() <= {"replication"}


@pytest.fixture
def tls() -> Iterator[int]:
    """A port that says it speaks TLS; nobody gets as far as trying it."""
    with closing(socket.create_server(("127.0.0.1", 0))) as server:

        def serve() -> None:
            while True:
                try:
                    client, _ = server.accept()
                except OSError:
                    return
                with client:
                    client.recv(8)
                    client.sendall(b"S")
                    client.recv(1)

        thread = Thread(target=serve, daemon=True)
        thread.start()
        yield server.getsockname()[1]
        server.shutdown(socket.SHUT_RDWR)
    thread.join()


def test_a_file_of_tls_that_cannot_be_read_is_named(tls: int, tmp_path: Path) -> None:
    address = f"postgresql+psycopg://u@127.0.0.1:{tls}/d?sslmode=verify-full"
    empty = tmp_path / "empty"
    empty.touch()
    said = told(f"{address}&sslrootcert=/nonexistent")
    assert "`sslrootcert` in registry.url: its file cannot be read: name one that can" in said
    said = told(f"{address}&sslrootcert=system&sslcert={empty}")
    assert "`sslcert` in registry.url: its file cannot be read: name one that can" in said


@contextmanager
def password_file(path: Path, mode: int) -> Iterator[Path]:
    path.write_text("*:*:*:*:hunter2-hunter2\n")
    path.chmod(mode)
    yield path


@pytest.mark.parametrize("by", ["PGPASSFILE", "passfile"])
def test_a_password_file_that_is_not_read_is_named(
    postgres: Server, tmp_path: Path, by: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    postgres.execute(
        f"DO $$ BEGIN CREATE ROLE {GUARDED} LOGIN PASSWORD 'hunter2-hunter2'; "
        "EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL; END $$"
    )
    with postgres.database() as name, password_file(tmp_path / "pass", 0o644) as path:
        postgres.execute(f"GRANT ALL ON SCHEMA public TO {GUARDED}", name)
        url = postgres.url(name, GUARDED)
        if by == "passfile":
            url += f"&passfile={path}"
        else:
            monkeypatch.setenv(by, str(path))
        shown = "PGPASSFILE: " if by == "PGPASSFILE" else ""
        said = told(url)
        assert f"no password: {shown}the password file {path} can be read by others" in said
        path.chmod(0o600)
        Registry.open(url).close()
        path.unlink()
        assert f"{shown}the password file {path}: No such file or directory" in told(url)


def test_where_variables_led_to_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGHOST", "nowhere.invalid")
    for variable in os.environ:
        if variable.startswith("PG") and variable != "PGHOST":
            monkeypatch.delenv(variable)
    said = told("postgresql+psycopg://u@/d", StoreError)
    assert "its host name cannot be resolved" in said
    assert said.endswith(" (PGHOST in the environment: unset what is not meant)")


def test_a_file_takes_no_parameters(tmp_path: Path) -> None:
    assert told(f"sqlite:///{tmp_path / 'janitor.db'}?mode=BAD") == (
        "registry.url: a file takes no parameters; remove the ? and everything after it"
    )
    assert not list(tmp_path.iterdir())


def test_what_an_application_says_of_its_file_is_known() -> None:
    assert wrong_parameter([("timeout", "5.5"), ("mode", "ro")], SQLITE) is None
    for key, value in {"mode": "BAD", "timeout": "BAD", "uri": "true"}.items():
        assert key in str(wrong_parameter([(key, value)], SQLITE))


def test_what_may_be_a_piece_of_a_password_is_not_told() -> None:
    for pair in (("secret", "b@host/db"), ("sslmode", "x@y"), ("a@b", "")):
        said = str(wrong_parameter([pair]))
        assert "secret" not in said
        assert "@y" not in said
