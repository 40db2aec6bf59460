"""A faithful small server of conversation containers, for tests and the demo.

It stands apart: of the other rooms it imports only `kinds`.
"""

from janitor.emulator.emulator import Emulator
from janitor.emulator.faults import Fault, How
from janitor.emulator.server import Served
from janitor.emulator.state import Clock, LogEntry

__all__ = ["Clock", "Emulator", "Fault", "How", "LogEntry", "Served"]
