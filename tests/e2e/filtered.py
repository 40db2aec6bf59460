"""Runs a command under a unit's system call filter: `python filtered.py SYSCALL,... COMMAND...`.

What systemd does for `SystemCallFilter=`, `SystemCallErrorNumber=EPERM` and
`MemoryDenyWriteExecute=`, where no systemd runs.
"""

from __future__ import annotations

import ctypes
import errno
import os
import sys

ALLOW, REFUSE = 0x7FFF0000, 0x00050000 | errno.EPERM
PR_SET_NO_NEW_PRIVS, PR_SET_MDWE, MDWE_REFUSE_EXEC_GAIN = 38, 65, 1


def confine(allowed: list[str]) -> None:
    """Refuse this process, and what it executes, every system call but the allowed ones."""
    libc = ctypes.CDLL(None, use_errno=True)
    library = ctypes.CDLL("libseccomp.so.2")
    library.seccomp_init.restype = ctypes.c_void_p
    rules = ctypes.c_void_p(library.seccomp_init(REFUSE))
    for name in allowed:
        number = library.seccomp_syscall_resolve_name(name.encode())
        if number >= 0:  # negative: not a call of this architecture
            assert library.seccomp_rule_add(rules, ALLOW, number, 0) == 0
    libc.prctl(PR_SET_MDWE, MDWE_REFUSE_EXEC_GAIN, 0, 0, 0)  # kernels before 6.3 do not know it
    assert libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0
    assert library.seccomp_load(rules) == 0
    assert (libc.chroot(b"/"), ctypes.get_errno()) == (-1, errno.EPERM)


if __name__ == "__main__":
    confine(sys.argv[1].split(","))
    os.umask(0o077)
    os.execv(sys.argv[2], sys.argv[2:])  # noqa: S606 - no shell is wanted
