"""The long-running service: a schedule, a scrape target, signals and reload."""

from janitor.service.endpoints import (
    Access,
    Health,
    Operations,
    Threads,
    Token,
    TokenScope,
    application,
)
from janitor.service.main import Job, Service, Watcher
from janitor.service.openapi import routes
from janitor.service.scheduler import Schedule
from janitor.service.server import Server

__all__ = [
    "Access",
    "Health",
    "Job",
    "Operations",
    "Schedule",
    "Server",
    "Service",
    "Threads",
    "Token",
    "TokenScope",
    "Watcher",
    "application",
    "routes",
]
