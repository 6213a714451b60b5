"""What operating systems do differently.

Belongs here: a call that Windows or macOS lacks, beside what is done there instead. Does not:
anything that is the same everywhere.
"""

from __future__ import annotations

import getpass
import io
import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Final

_OPENING: Final = "the process that opens files is watched, not limited by the system"
_FILES: Final = (
    "; the file of secrets is as private as its folder; a table whose size and time were set back"
    " after a change counts as unchanged until it is published"
)

_PATIENCE: Final = (0.01, 0.05, 0.2, 0.5, 1.0, 2.0)


def missing_protection() -> str:
    """In words, what Linux guards against and this system does not; nothing there."""
    if sys.platform == "win32":
        return _OPENING + _FILES
    return "" if sys.platform == "linux" else _OPENING


def peak_memory() -> int:
    """The most bytes of memory that this process has had."""
    if sys.platform == "win32":
        import psutil

        return int(psutil.Process().memory_info().peak_wset)
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def write_no_core() -> None:
    """A crash of this process writes no core file from now on: it would hold secrets. Windows
    writes none."""
    if sys.platform != "win32":
        import resource

        _, hard = resource.getrlimit(resource.RLIMIT_CORE)
        resource.setrlimit(resource.RLIMIT_CORE, (0, hard))


def interrupt_waits() -> None:
    """Ctrl+C ends waiting for a person or a process at once: polars, once imported, has the system
    go on waiting."""
    if sys.platform != "win32":
        signal.siginterrupt(signal.SIGINT, True)


def print_utf8() -> None:
    """What is printed is UTF-8 also where Windows gives a pipe or file its own code page."""
    if sys.platform == "win32":
        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, io.TextIOWrapper):
                stream.reconfigure(encoding="utf-8")


def force(path: Path) -> None:
    """Force a file or folder to disk (fsync). Raises `OSError`."""
    if sys.platform == "win32" and path.is_dir():
        return  # the file system journals names by itself, and opens no folder
    descriptor = os.open(path, os.O_RDWR if sys.platform == "win32" else os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def rename(source: Path, target: Path) -> None:
    """Rename a file, in the place of `target` where that is there, or a folder. Raises `OSError`.

    Windows refuses while another process, such as a virus scanner, has it open: for some seconds we
    try again.
    """
    for wait in _PATIENCE if sys.platform == "win32" else ():
        try:
            source.replace(target)
            return
        except PermissionError:
            time.sleep(wait)
    source.replace(target)


def seen_from(folder: Path, path: Path) -> Path:
    """`path` relative to `folder`; as it is where that is on another drive."""
    try:
        return Path(os.path.relpath(path, folder))
    except ValueError:  # on Windows
        return path


def user() -> str:
    """The user this process runs as; the number when the system knows no name."""
    try:
        return getpass.getuser()
    except (ImportError, KeyError, OSError):  # by version and system
        if sys.platform == "win32":
            return "unknown"
        return f"uid-{os.getuid()}"


def quoted(path: Path) -> str:
    """`path` as a word of a command line."""
    return subprocess.list2cmdline([path]) if sys.platform == "win32" else shlex.quote(str(path))
