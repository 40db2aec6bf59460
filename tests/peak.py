"""How much memory a process held at most, told by itself."""

PEAK = """\
from pathlib import Path

def peak():
    return int(Path("/proc/self/status").read_text().partition("VmHWM:")[2].split()[0])

"""
"""A program's first lines: `peak()` is in KiB, since its own exec.

What `getrusage` says begins, after an exec, with the most that its caller ever held, so that a
process started by a large one seems never to grow.
"""

MEASURED = f"""\
{PEAK}
import atexit, sys
from janitor.cli import main
atexit.register(lambda: print(peak(), file=sys.stderr))
main()
"""
"""Runs the command line and tells, last of all on stderr, the most memory that it ever held."""
