"""What a person at a terminal sees of a command while it runs."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import timedelta

from janitor.app.open_registry import open_registry
from janitor.app.run_lock import run_lock
from janitor.app.run_log import RunLog, logged
from janitor.cli.output import complain, is_terminal
from janitor.config import Config
from janitor.engine.progress import Progress
from janitor.registry import Registry
from janitor.texts import plain


class ProgressView(RunLog):
    """Receives every notice of a run, and shows its progress to a person."""

    @contextmanager
    def shown(self) -> Iterator[None]:
        """Show the progress while the body runs."""
        with shown(self.progress):
            yield


def open_shown(config: Config, progress: Progress, *, create: bool = False) -> Registry:
    """Open the registry and show that to a person: it may have to be upgraded first.

    Raises:
        ConfigError, StoreError: As `open_registry` does.
    """
    progress.begin("opening the registry")
    with shown(progress):
        return open_registry(config, create=create)


@contextmanager
def run_locked(registry: Registry, wait: timedelta) -> Iterator[None]:
    """Hold the lock of a run; while waiting for it, show who holds it.

    Raises:
        LockedError: The lock was not free within `wait`.
    """
    progress = Progress()
    with ExitStack() as held:
        with shown(progress):
            lock = run_lock(registry, wait, tell=complain, tell_holder=progress.waits(wait))
            held.enter_context(lock)
        yield


@contextmanager
def shown(progress: Progress) -> Iterator[None]:
    """Show a line on stderr while the body runs, if it is a terminal; else log one now and then."""
    if not is_terminal(sys.stderr):
        with logged(progress):
            yield
        return
    from rich.console import Console
    from rich.live import Live
    from rich.spinner import Spinner
    from rich.text import Text

    spinner = Spinner("dots")

    def line() -> Spinner:
        spinner.update(text=Text(plain(progress.line())))
        return spinner

    console = Console(stderr=True)
    with Live(get_renderable=line, console=console, transient=True, redirect_stdout=False):
        yield
