"""The long-running service: a schedule, a scrape target, signals and reload."""

from janitor.service.api import Operations
from janitor.service.http import Access, Health, Scope, Token, application
from janitor.service.openapi import routes
from janitor.service.schedule import Schedule
from janitor.service.serve import Job, Service
from janitor.service.server import Server
from janitor.service.threads import Threads
from janitor.service.watch import Watcher

__all__ = [
    "Access",
    "Health",
    "Job",
    "Operations",
    "Schedule",
    "Scope",
    "Server",
    "Service",
    "Threads",
    "Token",
    "Watcher",
    "application",
    "routes",
]
