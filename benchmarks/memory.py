"""The most memory this process ever held.

Belongs here: asking the operating system. Does not: deciding how much is too much.
"""

from __future__ import annotations

import resource
import sys
from pathlib import Path


def peak_memory() -> int:
    """In bytes. On Linux not `ru_maxrss`: that starts with what the process that started this one
    held, however little this one takes.
    """
    status = Path("/proc/self/status")
    if status.is_file():
        return next(
            int(line.split()[1]) * 1024
            for line in status.read_text().splitlines()
            if line.startswith("VmHWM")
        )
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (
        1 if sys.platform == "darwin" else 1024
    )
