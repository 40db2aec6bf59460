"""A faithful small server of the four kinds of conversation containers, for tests and the demo.

It stands apart: it knows nothing of the janitor's other rooms.
"""

from janitor.emulator.clock import Clock
from janitor.emulator.emulator import Emulator
from janitor.emulator.faults import Fault, How
from janitor.emulator.log import Entry
from janitor.emulator.serving import Served
from janitor.emulator.state import Kind

__all__ = ["Clock", "Emulator", "Entry", "Fault", "How", "Kind", "Served"]
