"""A process that has no file descriptors left, or only a few, or may write small files alone."""

from __future__ import annotations

import gc
import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager

FEW = 512


@contextmanager
def few_files(spare: int = 0) -> Iterator[None]:
    """Let this process open only so many more files, for as long."""
    gc.collect()  # what others left open is not closed in the midst of it
    gc.disable()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    held: list[int] = []
    resource.setrlimit(resource.RLIMIT_NOFILE, (FEW, hard))
    try:
        try:
            while True:
                held.append(os.open(os.devnull, os.O_RDONLY))
        except OSError:
            for _ in range(spare):
                os.close(held.pop())
        yield
    finally:
        for descriptor in held:
            os.close(descriptor)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        gc.enable()


@contextmanager
def small_files(size: int) -> Iterator[None]:
    """Let this process write no file beyond so many bytes, for as long."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
