"""`demo`: the whole job on an emulated API, with the commands that a person would type."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext, redirect_stdout
from io import StringIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING
from urllib.request import urlopen

import click

from janitor.cli.context import Settings, plain
from janitor.errors import StoreError

if TYPE_CHECKING:
    from janitor.demo import Scene

FOREIGN = (
    *("SSL_CERT_", "SSLKEYLOGFILE", "PROMETHEUS_MULTIPROC_DIR", "prometheus_multiproc_dir"),
    *("NOTIFY_SOCKET", "OPENAI_", "JANITOR_"),
)
"""How variables begin that are meant for another janitor, or for none."""

NEXT = """
That was the whole job. With a real key, type next:

  janitor init                     # a commented config/janitor.yaml, in audit mode
  janitor import threads.csv       # the ids that your application knows
  janitor plan                     # what would happen, and why; changes nothing
"""


@click.command("demo")
@click.option("--serve", is_flag=True, help="Keep the emulated API running until Ctrl-C.")
@click.pass_obj
def demo_command(settings: Settings, *, serve: bool) -> None:  # noqa: ARG001 - click hands it over
    """Show the whole job on an emulated API: no key, no network, nothing left behind.

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
    say(f"An emulated API holds {len(scene.reports)} containers of all four kinds and ages.")
    say("janitor.yaml says what is kept for how long:\n")
    say("".join(_policies()))
    _run("import", "threads.jsonl")
    say("\nA legal hold stands on one trial chat. What do the registry's facts alone say?")
    _hold(scene)
    _run("plan", "--offline")
    say("\nThe same, with the server asked about everything that is due:")
    _run("plan")
    say("\nA sweep. The trial chats are a backlog, and a limit stops what nobody has looked at:")
    _run("sweep")
    say("\nSomebody reads the plan and applies exactly that; meanwhile a user goes on chatting:")
    _run("plan", "-o", "plan.json", quiet=True)
    scene.emulator.append_item(scene.changing)
    _run("apply", "plan.json")
    say("\nAnother sweep finds what is left: what was soft-deleted waits for its day.")
    _run("sweep", "--metrics-textfile", "janitor.prom")
    say("\nWhat was removed, and the thread that a user went on with:")
    _run("list", "--state", "deleted")
    _run("explain", scene.changing)
    _archived()
    _metrics()
    say("\nThe same as a service. Here its schedule is `every: 1s`; Prometheus would scrape it:")
    _serve()


def _policies() -> Iterator[str]:
    lines = Path("janitor.yaml").read_text().splitlines(keepends=True)
    start = next(n for n, line in enumerate(lines) if line.startswith("archive:"))
    return (f"    {line}" for line in lines[start:])


def _run(*arguments: str, quiet: bool = False) -> None:
    """Run a command as if it were typed, and say how it ended where that was not 0."""
    from janitor.cli import execute

    click.secho(f"\n$ janitor {' '.join(arguments)}", bold=True)
    with redirect_stdout(StringIO()) if quiet else nullcontext():
        code = execute(["--config", "janitor.yaml", *arguments])
    if code:
        click.echo(f"(exit code {code})")


def _hold(scene: Scene) -> None:
    from janitor.cli.compose import open_registry
    from janitor.config import load
    from janitor.model import Hold

    with open_registry(load(Path("janitor.yaml")), create=True) as registry:
        hold = Hold("case-17", "an investigation", ids=frozenset({scene.held}))
        registry.add_hold(hold, actor="demo", now=scene.now)


def _archived() -> None:
    objects = sorted(Path("archive").rglob("*.zst"))
    size = sum(path.stat().st_size for path in objects)
    click.echo(f"\nThe archive holds {len(objects)} proven copies, {size} bytes. For example:")
    for path in objects[:3]:
        click.echo(f"  {path}")


def _metrics() -> None:
    click.echo("\nAnd the metrics that Prometheus would scrape from the textfile:\n")
    for line in Path("janitor.prom").read_text().splitlines():
        if line.startswith(("janitor_actions_total", "janitor_kept_total", "janitor_threads{")):
            click.echo(f"  {line}")


def _serve() -> None:
    """Two sweeps of a real service, one scrape, and a clean end."""
    click.secho("\n$ janitor serve", bold=True)
    command = [sys.executable, "-m", "janitor", "--config", "janitor.yaml", "serve"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as service:  # noqa: S603 - ourselves
        port = _told(service, r"serving on port (\d+)")
        for _ in range(2):
            _told(service, r"run \w+: (\w+)")
        address = f"http://127.0.0.1:{port}/metrics"
        click.secho(f"\n$ curl {address}", bold=True)
        with urlopen(address) as answer:
            for line in answer.read().decode().splitlines():
                if line.startswith(
                    ("janitor_sweeps_total", "janitor_registry_up", "janitor_holds")
                ):
                    click.echo(f"  {line}")
        service.terminate()
        _told(service, r"(stopped)")


def _told(service: subprocess.Popen[str], pattern: str) -> str:
    """Show the service's log up to a line, and give what the pattern finds there."""
    for line in service.stderr or ():
        if not line.rstrip():
            continue
        click.echo(f"  {plain(line.rstrip())}")
        if found := re.search(pattern, line):
            return found[1]
    raise StoreError("the service ended before its time; run `janitor serve` by itself to see why")


@contextmanager
def _own_environment(added: Mapping[str, str]) -> Iterator[None]:
    """Only what the demo itself needs: proxies, certificates and options are meant for others."""
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
    before = os.open(".", os.O_RDONLY)  # its name may be gone
    os.chdir(directory)
    try:
        yield
    finally:
        os.fchdir(before)
        os.close(before)


def how_to_try(base_url: str, directory: Path) -> str:
    """What to type in another terminal while the emulated API stays."""
    from janitor.demo import KEY, KEY_VARIABLE

    return f"""The emulated API stays at {base_url} until Ctrl-C,
which also removes the demo's files. Until then, in another terminal:

  cd {directory}
  export {KEY_VARIABLE}={KEY} JANITOR_CONFIG=janitor.yaml
  janitor plan
"""


def _wait(base_url: str, directory: Path) -> None:
    click.echo(how_to_try(base_url, directory))
    signal.sigwait({signal.SIGINT, signal.SIGTERM})
