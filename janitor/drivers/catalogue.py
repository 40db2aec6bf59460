"""The driver of each kind."""

from __future__ import annotations

from importlib import import_module

from janitor.drivers.container import ContainerDriver
from janitor.kinds import Kind


def driver_class(kind: Kind) -> type[ContainerDriver]:
    """The driver's class, found by the kind's name: `agent_session.AgentSessionDriver`."""
    name = kind.value.title().replace("_", "")
    module = import_module(f"{__package__}.{kind.value}")
    driver: type[ContainerDriver] = getattr(module, f"{name}Driver")
    return driver
