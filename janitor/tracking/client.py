"""`track()`: a client that registers what it creates and uses."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import cache
from typing import TYPE_CHECKING, Any, TypeVar, cast

from janitor.catalogue import is_id
from janitor.errors import ConfigError
from janitor.tracking.delivery import post_for
from janitor.tracking.watch import Told, Watch

if TYPE_CHECKING:
    from openai import AsyncOpenAI, OpenAI

ClientT = TypeVar("ClientT", bound="OpenAI | AsyncOpenAI")


def track(
    client: ClientT,
    registry: str,
    *,
    project: str = "main",
    metadata: Told = None,
    tag: bool = True,
    send: Iterable[str] = (),
) -> ClientT:
    """A client of the same class, settings and connections that registers what it makes and uses.

    `client` is an `OpenAI`, `AsyncOpenAI`, `AzureOpenAI` or `AsyncAzureOpenAI`; it stays as it is.
    `registry` is `sqlite:////absolute/path`, `postgresql://...`, `https://TOKEN@host` (or the
    token in `JANITOR_TOKEN`), or `spool:///directory` for somebody else to deliver. `project` is
    the name that the janitor's configuration gives to this credential. `metadata`, a mapping or a
    function without arguments that is called for each creation, is what the registry is told;
    `send` names the keys of it that also go upstream. `tag` adds `janitor_created_at` there. No
    key of the application's is changed, and never are there more than 16.

    From here on nothing raises, waits or changes an answer, whatever the registry does: events are
    kept in a local spool, and `janitor.tracking.COUNTERS` and a warning a minute tell of trouble.

    Raises:
        ConfigError: The registry, the project or the client's transport cannot be used.
    """
    import httpx2  # noqa: PLC0415  the application brings it, with the SDK

    if not is_id(project):
        raise ConfigError("project must be the name that it has in the janitor's configuration")
    inner = client._client  # the SDK offers no other way to keep what was set on it
    if not isinstance(inner, httpx2.Client | httpx2.AsyncClient):
        raise ConfigError("only clients on httpx2 can be tracked: pass an httpx2 http_client")
    post = post_for(registry)
    post.start()
    base = client.base_url.raw_path.decode("ascii", "replace")
    watch = Watch(post, project=project, told=metadata, tag=tag, send=send, base=base)
    tracked: Any = client.with_options(http_client=_beside(inner, watch, client))
    return cast("ClientT", tracked)


def _beside(inner: Any, watch: Watch, client: object) -> Any:  # noqa: ANN401  sync or async alike
    """An HTTP client that shares everything with `inner`, but sends past the watch."""
    kind: Any = type(inner)
    beside = object.__new__(_kin(kind))
    vars(beside).update(vars(inner))
    wrap = _wrapping(inner, watch, client)
    beside._transport = wrap(inner._transport)  # proxies are transports, too
    beside._mounts = {key: mount and wrap(mount) for key, mount in inner._mounts.items()}
    return beside


def _wrapping(inner: Any, watch: Watch, client: object) -> Callable[[Any], Any]:  # noqa: ANN401
    from janitor.tracking.transport import (  # noqa: PLC0415  likewise
        AsyncWatchedTransport,
        Connections,
        WatchedTransport,
    )

    connections = Connections(inner, client)
    kind = AsyncWatchedTransport if hasattr(inner, "aclose") else WatchedTransport
    return lambda one: kind(one, watch, connections)


class _Beside:
    """What is collected as garbage must not close connections that others use."""

    def __del__(self) -> None:
        """Leave everything open: the client that it was made from may live on."""


@cache
def _kin(kind: Any) -> Any:  # noqa: ANN401  a class
    return type(kind.__name__, (_Beside, kind), {})
