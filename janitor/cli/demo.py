"""`demo`: the whole job on an emulated API, with the commands that a person would type."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, redirect_stdout
from io import StringIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import click

from janitor.cli.context import Settings

if TYPE_CHECKING:
    from janitor.demo import Scene

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
    r"""Show the whole job on an emulated API: no key, no network, nothing left behind.

    \b
    Examples:
      janitor demo
      janitor demo --serve
    """
    from janitor.demo import KEY, KEY_VARIABLE, build

    scene = build()
    os.environ[KEY_VARIABLE] = KEY
    with TemporaryDirectory(prefix="janitor-demo-") as name, scene.emulator.serve() as server:
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

    with open_registry(load(Path("janitor.yaml"))) as registry:
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


@contextmanager
def _inside(directory: Path) -> Iterator[None]:
    before = Path.cwd()
    os.chdir(directory)
    try:
        yield
    finally:
        os.chdir(before)


def _wait(base_url: str, directory: Path) -> None:
    click.echo(f"The emulated API stays at {base_url}; the demo's files are in {directory}.")
    click.echo("Ctrl-C ends both.")
    signal.sigwait({signal.SIGINT, signal.SIGTERM})
