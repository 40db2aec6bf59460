"""What decides from the registry's facts alone."""

from __future__ import annotations

from typing import cast

from janitor.app.clock import utc_now
from janitor.app.targets import endpoint
from janitor.config import Config, Project
from janitor.drivers import Driver
from janitor.engine.context import ConnectedProject, RunContext
from janitor.engine.redecide import approved_beside
from janitor.errors import ConfigError
from janitor.registry import Registry


def offline_context(config: Config, registry: Registry) -> RunContext:
    """The context for decisions from the registry's facts alone: no driver is ever asked.

    Raises:
        LimitError: The policies approved last cannot be read.
    """
    nobody, are_several = cast("Driver", None), len(config.projects) > 1
    projects = {
        name: ConnectedProject(
            name,
            dict.fromkeys(one.kinds, nobody),
            "",
            trust_reported=one.trust_reported,
            account=_account(one) if are_several else "",  # which only tells projects apart
        )
        for name, one in config.projects.items()
    }
    approved = approved_beside(registry, config.policies)
    policies, sources = config.policies, tuple(config.sources)
    return RunContext(
        *(registry, projects, None, policies, utc_now, lambda _: None),
        sources=sources,
        approved=approved,
    )


def _account(project: Project) -> str:
    """The project's account; if its secret cannot be read, one computed from its reference."""
    try:
        return endpoint(project).account
    except ConfigError:
        return endpoint(project, project.api_key.reference).account
