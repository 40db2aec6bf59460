from __future__ import annotations

import os
from pathlib import Path

import pytest

from janitor.config.secrets import NO_SECRET, Keeper, Secret
from janitor.errors import ConfigError


def test_a_variable_is_read_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    secret = Secret(Keeper.ENV, "JANITOR_TEST_SECRET")
    monkeypatch.setenv("JANITOR_TEST_SECRET", "first")
    assert secret.reveal() == "first"
    monkeypatch.setenv("JANITOR_TEST_SECRET", "second")
    assert secret.reveal() == "second"
    assert "second" not in f"{secret!r} {secret}"


def test_a_file_is_read_anew_without_its_line_end(tmp_path: Path) -> None:
    path = tmp_path / "key"
    path.write_text("first\n")
    secret = Secret(Keeper.FILE, str(path))
    assert secret.reveal() == "first"
    path.write_text("second")
    assert secret.reveal() == "second"


def test_a_credential_is_found_in_systemds_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "openai").write_text("word")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    assert Secret(Keeper.CREDENTIAL, "openai").reveal() == "word"


def test_no_secret_is_empty() -> None:
    assert NO_SECRET.reveal() == ""
    assert str(NO_SECRET) == "none"


@pytest.mark.parametrize("content", [None, b"", b" \n", b"\xff\xfe", b"a\0b", b"a" * 65537])
def test_a_file_without_a_secret_is_named(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "key"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ConfigError, match=str(path)):
        Secret(Keeper.FILE, str(path)).reveal()


def test_a_pipe_and_a_directory_hold_no_secret(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", tmp_path, Path("/dev/zero")):
        with pytest.raises(ConfigError, match=f"the secret file {path} cannot be read"):
            Secret(Keeper.FILE, str(path)).reveal()


def test_bytes_that_are_no_text_are_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JANITOR_TEST_SECRET", os.fsdecode(b"sk-\xff"))
    with pytest.raises(ConfigError, match="JANITOR_TEST_SECRET is not UTF-8 text"):
        Secret(Keeper.ENV, "JANITOR_TEST_SECRET").reveal()


def test_a_variable_without_a_secret_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    secret = Secret(Keeper.ENV, "JANITOR_TEST_SECRET")
    monkeypatch.delenv("JANITOR_TEST_SECRET", raising=False)
    with pytest.raises(ConfigError, match="JANITOR_TEST_SECRET is missing"):
        secret.reveal()
    monkeypatch.setenv("JANITOR_TEST_SECRET", "  ")
    with pytest.raises(ConfigError, match="JANITOR_TEST_SECRET is empty"):
        secret.reveal()


def test_credentials_outside_of_systemd_say_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)
    with pytest.raises(ConfigError, match="CREDENTIALS_DIRECTORY"):
        Secret(Keeper.CREDENTIAL, "openai").reveal()
