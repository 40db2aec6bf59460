"""`track()`: a client that registers what it creates and uses."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from typing import TYPE_CHECKING, Any, TypeVar, cast

from janitor.errors import ConfigError
from janitor.kinds import is_id
from janitor.tracking.delivery import post_for
from janitor.tracking.observer import CallObserver, MetadataSource

if TYPE_CHECKING:
    from openai import AsyncOpenAI, OpenAI

    from janitor.tracking.transport import Connections

ClientT = TypeVar("ClientT", bound="OpenAI | AsyncOpenAI")


def track(
    client: ClientT,
    registry: str,
    *,
    project: str = "main",
    metadata: MetadataSource = None,
    tag: bool = True,
    send: Iterable[str] = (),
) -> ClientT:
    """A client like the given one that registers the containers it creates and uses.

    `client` is an `OpenAI`, `AsyncOpenAI`, `AzureOpenAI` or `AsyncAzureOpenAI`; it is not changed.
    `registry` is `sqlite:////absolute/path`, `postgresql://...`, `https://TOKEN@host` (or the
    token in `JANITOR_TOKEN`), or `spool:///directory` for another process to deliver. `project` is
    the name of this credential in the janitor's configuration. `metadata` goes to the registry; it
    is a mapping, or a function without arguments that is called for each creation. `send` names
    the keys of it that also go upstream. `tag` adds `janitor_created_at` upstream. No key that the
    application set is changed, and there are never more than 16.

    A client that is tracked already then reports to both registries. For the same registry and
    project the later call replaces the earlier one.

    From here on nothing raises, waits or changes an answer, whatever the registry does: events are
    kept in a local spool. `janitor.tracking.COUNTERS` and at most one warning a minute report
    trouble.

    Raises:
        ConfigError: The registry, the project or the client's transport cannot be used.
    """
    import httpx2  # noqa: PLC0415  the application brings it, with the SDK

    if not is_id(project):
        raise ConfigError("project must be the name that it has in the janitor's configuration")
    # The SDK offers no other way to keep what was set on its HTTP client.
    inner = getattr(client, "_client", None)
    if not isinstance(inner, httpx2.Client | httpx2.AsyncClient):
        raise ConfigError(
            "only OpenAI clients on httpx2 can be tracked: pass the client itself, built with an "
            "httpx2 http_client"
        )
    post = post_for(registry)
    post.start()
    base = client.base_url.raw_path.decode("ascii", "replace")
    observer = CallObserver(post, project=project, metadata=metadata, tag=tag, send=send, base=base)
    tracked: Any = client.with_options(http_client=_beside(inner, observer, client))
    return cast("ClientT", tracked)


def _beside(inner: Any, observer: CallObserver, client: object) -> Any:  # noqa: ANN401  of either sort
    """An HTTP client that shares everything with `inner`, but lets the observer see its calls."""
    from janitor.tracking.transport import Connections, watched  # noqa: PLC0415  likewise

    kind: Any = type(inner)
    if isinstance(inner, _Beside):
        connections = inner.connections.also_held_by(inner)
    else:
        kind, connections = _kin(kind), Connections(inner, client)
    beside: Any = object.__new__(kind)
    vars(beside).update(vars(inner))
    beside.connections = connections
    beside._transport = watched(inner._transport, observer, connections)
    # Proxies are transports, too.
    beside._mounts = {
        key: mount and watched(mount, observer, connections) for key, mount in inner._mounts.items()
    }
    return beside


class _Beside:
    """Marks a client that shares its connections and must not close them when collected."""

    connections: Connections

    def __del__(self) -> None:
        """Leave everything open: the client that it was made from may live on."""


@cache
def _kin(kind: Any) -> Any:  # noqa: ANN401  a class
    return type(kind.__name__, (_Beside, kind), {})
