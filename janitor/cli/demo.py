"""`demo`: everything that janitor does, on an emulated API, as a person would type it."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext, redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING
from urllib.request import urlopen

import click

from janitor.cli.output import Settings
from janitor.errors import StoreError
from janitor.texts import counted, plain

if TYPE_CHECKING:
    from janitor.demo import Scene

FOREIGN = (
    *("SSL_CERT_", "SSLKEYLOGFILE", "PROMETHEUS_MULTIPROC_DIR", "prometheus_multiproc_dir"),
    *("NOTIFY_SOCKET", "OPENAI_", "JANITOR_"),
)
"""The prefixes of variables that are meant for another janitor, or for another program."""

MEANINGS = {
    1: "some threads changed since the plan, or failed; they are kept",
    4: "a safety limit stopped something; a person has to look",
}
SHOWN = ("janitor_sweeps_total", 'janitor_actions_total{outcome="done",policy="trial-chats"')
NEXT = """
That was the whole job. With a real key, run:

  janitor init                     # a commented config/janitor.yaml, in audit mode
  janitor import threads.csv       # the ids that your application knows
  janitor plan                     # what would happen; changes nothing
  janitor explain ID               # everything about one thread, and why it is kept or deleted
"""


@click.command("demo")
@click.option("--serve", is_flag=True, help="Keep the emulated API running until Ctrl-C.")
@click.pass_obj
def demo_command(settings: Settings, *, serve: bool) -> None:  # noqa: ARG001 - click hands it over
    """Try janitor on an emulated API: no key, no network, nothing left behind.

    \b
    Examples:
      janitor demo
      janitor demo --serve
    """
    from janitor.demo import KEY, KEY_VARIABLE, build

    scene = build()
    with (
        _own_environment({KEY_VARIABLE: KEY}),
        TemporaryDirectory(prefix="janitor-demo-") as name,
        scene.emulator.serve() as server,
    ):
        scene.write(Path(name), server.base_url)
        with _inside(Path(name)):
            _show(scene)
            click.echo(NEXT)
            if serve:
                _wait(server.base_url, Path(name))


def _show(scene: Scene) -> None:
    say = click.echo
    say(
        f"An emulated API has {len(scene.reports)} containers of all four kinds, of different "
        "ages.\njanitor.yaml says what to keep, and for how long:\n"
    )
    say("".join(_policies()))
    _run("import", "threads.jsonl")
    _hold(scene)
    say("\nOne trial chat is under a legal hold. What would happen now, and why:")
    _run("plan")
    say("\nA first sweep. More trial chats are due than one sweep may remove, so they stay:")
    _run("sweep")
    say("\nSomebody reviews the plan and applies exactly that; meanwhile a user continues a chat:")
    _run("plan", "-o", "plan.json", quiet=True)
    scene.emulator.append_item(scene.changing)
    _run("apply", "plan.json")
    _archived()
    say("\nThe same as a service, with a sweep every second here, and its metrics:")
    _serve()


def _policies() -> Iterator[str]:
    lines = Path("janitor.yaml").read_text().splitlines(keepends=True)
    start = next(n for n, line in enumerate(lines) if line.startswith("archive:"))
    return (f"    {line}" for line in lines[start:])


def _run(*arguments: str, quiet: bool = False) -> None:
    """Run a command as if it were typed, and say what its exit code means if it is not 0.

    Its stderr is hidden, since it would say the same twice.
    """
    from janitor.cli import execute

    click.secho(f"$ janitor {' '.join(arguments)}", bold=True)
    with (
        redirect_stdout(StringIO()) if quiet else nullcontext(),
        redirect_stderr(StringIO()) as errors,
    ):
        code = execute(["--config", "janitor.yaml", *arguments])
    if code in MEANINGS:
        click.echo(f"(exit code {code}: {MEANINGS[code]})")
    elif code:
        raise StoreError(f"janitor {arguments[0]} failed: {errors.getvalue().strip()}")


def _hold(scene: Scene) -> None:
    from janitor.app.open_registry import open_registry
    from janitor.config import load
    from janitor.model import Hold

    with open_registry(load(Path("janitor.yaml")), create=True) as registry:
        hold = Hold("case-17", "an investigation", ids=frozenset({scene.held}))
        registry.holds.add(hold, actor="demo", now=scene.now)


def _archived() -> None:
    number = sum(1 for _ in Path("archive").rglob("*.zst"))
    copies = counted(number, "proven copy", "proven copies")
    click.echo(f"\nThe archive contains {copies}.")


def _serve() -> None:
    """Show one sweep of a real service, one scrape, and a clean stop."""
    click.secho("$ janitor serve", bold=True)
    command = [sys.executable, "-m", "janitor", "--config", "janitor.yaml", "serve"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as service:  # noqa: S603 - ourselves
        port = _told(service, r"serving on port (\d+)")
        _told(service, r"run \w+: (\w+)")
        address = f"http://127.0.0.1:{port}/metrics"
        click.secho(f"$ curl {address}", bold=True)
        with urlopen(address) as answer:
            for line in answer.read().decode().splitlines():
                if line.startswith(SHOWN):
                    click.echo(f"  {line}")
        service.terminate()
        _told(service, r"(stopped)")


def _told(service: subprocess.Popen[str], pattern: str) -> str:
    """Read the service's log up to a matching line, show it, and return the pattern's group."""
    for line in service.stderr or ():
        if found := re.search(pattern, line):
            click.echo(f"  {plain(line.rstrip())}")
            return found[1]
    raise StoreError("the service exited early; run `janitor serve` to see why")


@contextmanager
def _own_environment(added: Mapping[str, str]) -> Iterator[None]:
    """Set only what the demo itself needs: proxies, certificates and options are for others."""
    before = dict(os.environ)
    for name in before:
        if name.upper().endswith("_PROXY") or name.startswith(FOREIGN):
            del os.environ[name]
    os.environ.update(added)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


@contextmanager
def _inside(directory: Path) -> Iterator[None]:
    before = os.open(".", os.O_RDONLY)  # its path may no longer exist
    os.chdir(directory)
    try:
        yield
    finally:
        os.fchdir(before)
        os.close(before)


def how_to_try(base_url: str, directory: Path) -> str:
    """What to type in another terminal while the emulated API keeps running."""
    from janitor.demo import KEY, KEY_VARIABLE

    return f"""The emulated API stays at {base_url} until Ctrl-C,
which also removes the demo's files. Until then, in another terminal:

  cd {directory}
  export {KEY_VARIABLE}={KEY} JANITOR_CONFIG=janitor.yaml
  janitor plan
"""


def _wait(base_url: str, directory: Path) -> None:
    # A signal may reach any thread: only this byte wakes the one that waits here for sure.
    told, tell = os.pipe()
    os.set_blocking(tell, False)
    signal.set_wakeup_fd(tell)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: None)
    click.echo(how_to_try(base_url, directory))
    os.read(told, 1)
