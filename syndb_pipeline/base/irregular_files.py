"""Paths that are no regular files: pipes, sockets, devices, and what the operating system makes up.

Belongs here: recognising them without opening them. Does not: which paths a lab may name.
"""

from __future__ import annotations

import errno
import stat
from pathlib import Path
from typing import Final


def irregular(path: Path) -> str | None:
    """What `path` is, after following links, when it is neither a regular file nor a folder nor
    missing; None otherwise.

    Nothing is opened: reading from a pipe or device may never end. Files of /proc and /sys count as
    regular to the operating system, yet their content is made while they are read, may be endless,
    and says something of the machine.
    """
    try:
        mode = path.stat().st_mode
    except OSError as error:
        return "a link that leads back to itself" if error.errno == errno.ELOOP else None
    except ValueError:  # a name with a zero byte
        return None
    kind = next((what for test, what in _KINDS if test(mode)), None)
    if (
        kind is None
        and stat.S_ISREG(mode)
        and any(path.resolve().is_relative_to(root) for root in _OPERATING_SYSTEM)
    ):
        return "a part of the operating system that only looks like a file"
    return kind


_KINDS: Final = (
    (stat.S_ISFIFO, "a named pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)
_OPERATING_SYSTEM: Final = (Path("/proc"), Path("/sys"))
