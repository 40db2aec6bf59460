"""A systemd that waits for a word that cannot be sent is told of at the start."""

from __future__ import annotations

import sys
from datetime import timedelta

import pytest

from janitor.errors import ConfigError
from janitor.service.main import Job, Service
from janitor.service.scheduler import Schedule


def service() -> Service:
    job = Job(lambda _: None, Schedule)
    return Service(job, Schedule("17 3 * * *"), timedelta(seconds=1))


def test_without_the_library_nothing_waits_in_vain(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", "/run/nobody")
    monkeypatch.setattr("janitor.service.main.find_spec", lambda _: None)
    with pytest.raises(ConfigError, match=r"pip install '\.\[systemd\]'"):
        service()


def test_without_systemd_the_library_is_not_even_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    monkeypatch.delitem(sys.modules, "cysystemd", raising=False)
    assert service().health() is None
    assert "cysystemd" not in sys.modules
