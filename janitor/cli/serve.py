"""`serve` and `health`: the long-running service, and a check that it is alive."""

from __future__ import annotations

import logging
from contextlib import ExitStack
from http.client import HTTPConnection, HTTPException
from typing import TYPE_CHECKING

import click

from janitor.causes import cause, scarcity, shortage
from janitor.cli.output import Settings, emit
from janitor.errors import (
    AccessError,
    ConfigError,
    StoreError,
)
from janitor.texts import plain

if TYPE_CHECKING:
    from janitor.config import Config


log = logging.getLogger("janitor")

DESCRIPTORS = 24
"""What a service needs before anybody connects to it: its loops, its watcher and a sweep."""


@click.command("serve")
@click.pass_obj
def serve_command(settings: Settings) -> None:
    """Sweep on the schedule until stopped, and serve metrics to Prometheus.

    Plans handed over with `janitor apply --detach` are applied between sweeps.

    SIGTERM waits for the calls in flight (`service.stop_timeout`), a second one stops at once;
    SIGHUP, or a change of the configuration file, reloads the configuration.

    \b
    Examples:
      janitor serve
      curl http://127.0.0.1:9464/metrics
    """
    from janitor.app.open_registry import open_registry
    from janitor.app.service_loop import ServiceLoop
    from janitor.cli.logs import configure_logging
    from janitor.config import load
    from janitor.drivers.environment import check_environment
    from janitor.metrics import Metrics
    from janitor.service.main import Job, Service, Watcher
    from janitor.service.server import Server

    configure_logging(settings, service=True)
    path = settings.config_path()
    config, metrics = load(path), Metrics()
    _require_tokens(config)
    check_environment()  # the environment stays the same until the next start
    with ExitStack() as stack:
        registry = stack.enter_context(open_registry(config, create=True))
        _require_descriptors()
        live = ServiceLoop(path, config, registry, metrics)
        job = Job(live.sweep, live.reload, live.errand)
        service = Service(job, live.schedule(), config.service.stop_timeout)
        app = live.application(service)
        server = stack.enter_context(Server(app, config.service.listen))
        stack.enter_context(Watcher(path, lambda: service.ask("reload")))
        log.info("serving on port %d, schedule: %s", server.port, live.schedule())
        service.run()


def _require_tokens(config: Config) -> None:
    """Report a token that cannot be read at the start, not at somebody's first request."""
    for token in config.service.tokens:
        token.secret.reveal()


def _require_descriptors() -> None:
    """Refuse to start with too few: the service's threads would fail later, one by one."""
    if (short := shortage(DESCRIPTORS)) is not None:
        raise StoreError(f"the service cannot start: {cause(short)}")


DEFAULT_LISTEN = "127.0.0.1:9464"
TIMEOUT = 5.0
MUCH = 1000  # bytes of an answer that are shown
EVERYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - asked by loopback


@click.command("health")
@click.option(
    "--if-serving", is_flag=True, help="Also succeed if nothing listens: then there is no service."
)
@click.pass_obj
def health_command(settings: Settings, *, if_serving: bool) -> None:
    """Check that the service on this machine is alive, at its `service.listen`.

    For supervisors that run a command, such as a container's health check. Exits with 0 if it is
    alive, with 3 if it says that it is not or does not answer.

    \b
    Examples:
      janitor health
      janitor health --if-serving
    """
    listen = _listen(settings, forgiving=if_serving)
    try:
        _ask(listen)
    except ConnectionRefusedError as error:
        if not if_serving:
            message = f"nothing is listening on {listen}: is `janitor serve` running?"
            raise AccessError(message) from error
        _tell(settings, listen, serving=False)
    except (OSError, HTTPException) as error:
        short = scarcity(error)
        why = f"{plain(error)}; restart it" if short is None else cause(short)
        message = f"the service on {listen} does not answer: {why}"
        raise AccessError(message) from error
    else:
        _tell(settings, listen, serving=True)


def _listen(settings: Settings, *, forgiving: bool) -> str:
    """Where the service listens; it keeps running with a broken file, so the check may, too."""
    from janitor.config import load

    try:
        return load(settings.config_path(), environment=False, screened=False).service.listen
    except ConfigError:
        if not forgiving:
            raise
        return DEFAULT_LISTEN


def _ask(listen: str) -> None:
    """Raise AccessError unless the answer is 200; uses no proxy, whatever the environment."""
    host, _, port = listen.rpartition(":")
    host = host.strip("[]")
    connection = HTTPConnection(EVERYWHERE.get(host, host), int(port), timeout=TIMEOUT)
    try:
        connection.request("GET", "/healthz")
        answer = connection.getresponse()
        text = answer.read(MUCH).decode(errors="replace")
    finally:
        connection.close()
    if answer.status != 200:  # noqa: PLR2004 - HTTP's own number
        message = f"the service on {listen} answers {answer.status}: {plain(text)}"
        raise AccessError(message)


def _tell(settings: Settings, listen: str, *, serving: bool) -> None:
    if settings.wants_table:
        click.echo(f"{'alive' if serving else 'nothing listens'} on {listen}")
    else:
        emit(settings, {"listen": listen, "serving": serving})
