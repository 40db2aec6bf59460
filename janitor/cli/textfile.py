"""Metrics of one-off runs, for the node exporter's textfile collector."""

from __future__ import annotations

from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import TYPE_CHECKING

from janitor.cli import measuring
from janitor.cli.showing import now
from janitor.errors import ConfigError, StoreError

if TYPE_CHECKING:
    from janitor.metrics import Metrics
    from janitor.registry import Registry


def require_writable(path: Path) -> None:
    """Refuse a place that cannot be written, before anything is done.

    Raises:
        ConfigError: The directory does not exist or takes no file, or the file would take the
            place of a device or a pipe.
    """
    if path.exists() and not path.is_file():
        raise ConfigError(
            f"{path}: metrics cannot be written there: it is not a file; choose another place"
        )
    try:
        with NamedTemporaryFile(dir=path.parent, prefix=".janitor-"):
            pass
    except OSError as error:
        message = f"{path}: metrics cannot be written there: {error.strerror}; choose another place"
        raise ConfigError(message) from error


def write_metrics(metrics: Metrics, registry: Registry, path: Path) -> None:
    """Write everything that is known after a run; totals go on where earlier runs left them.

    Raises:
        StoreError: The file cannot be written.
    """
    measuring.look(metrics, registry, now())
    try:
        metrics.write(path)
    except OSError as error:
        message = f"{path}: metrics cannot be written: {error.strerror}; the run itself is closed"
        raise StoreError(message) from error
