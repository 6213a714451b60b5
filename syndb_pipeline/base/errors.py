"""What can go wrong, as exit codes and messages a person can act on.

Belongs here: the one exception type users see and its kinds. Does not: findings about data
(`findings/`).
"""

from __future__ import annotations

import errno
import io
import os
import re
from enum import IntEnum
from typing import Final


class Exit(IntEnum):
    """Exit codes of `syndb-pipeline`, the same for every command."""

    OK = 0
    INTERNAL = 1
    USAGE = 2
    REJECTED = 3
    APPROVAL = 4
    REFUSED = 5
    UNKNOWN = 6
    BUSY = 7
    INTERRUPTED = 130


class PipelineError(Exception):
    """A failure reported to the user in one message: what, where, why, and the next step. Never
    shown with a traceback.
    """

    exit = Exit.INTERNAL

    def __init__(self, message: str, *, next_step: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.next_step = next_step

    def __str__(self) -> str:
        return f"{self.message}\n{self.next_step}" if self.next_step else self.message


class ConfigError(PipelineError):
    """A config file or option is wrong (exit 2)."""

    exit = Exit.USAGE


class DataRejected(PipelineError):
    """The data break SynDB's rules; the findings say where (exit 3)."""

    exit = Exit.REJECTED


class ApprovalError(PipelineError):
    """No one approved exactly this plan, or what was approved has changed since (exit 4)."""

    exit = Exit.APPROVAL


class DestinationRefused(PipelineError):
    """The destination said no, for good (exit 5)."""

    exit = Exit.REFUSED


class NotLoggedIn(DestinationRefused):
    """The destination does not know us: no token, or one that is no longer good."""


class NotVerified(DestinationRefused):
    """The destination knows us and wants academic verification first."""


class NotPermitted(DestinationRefused):
    """What is asked for belongs to somebody else."""


class UnknownDataset(DestinationRefused):
    """The destination has no such dataset."""


class NotAPackage(DestinationRefused):
    """What was sent is no tar of tables, or is damaged."""


class UnknownTable(DestinationRefused):
    """A member of the tar is not the file of a SynDB table."""


class BadTable(DestinationRefused):
    """A table that was sent cannot be taken in: a column, a key or the file itself is wrong."""


class Unreachable(DestinationRefused):
    """The destination gave no answer, or only trouble, however often it was asked. Nothing was
    done.
    """


class OutcomeUnknown(PipelineError):
    """Something was sent and no answer says whether it arrived (exit 6)."""

    exit = Exit.UNKNOWN


class Busy(PipelineError):
    """Another process has what this one needs, and nothing was done; the same command may find it
    free later (exit 7).
    """

    exit = Exit.BUSY


class Interrupted(PipelineError):
    """A person stopped the command (exit 130)."""

    exit = Exit.INTERRUPTED


_AGAIN = "then give the same command again."

_WRITING: Final = {
    errno.ENOSPC: ("its disk is full", "Make room there"),
    errno.EDQUOT: ("your quota on its disk is used up", "Make room there, or have it raised"),
    errno.EFBIG: (
        "a file may not become as large as this one",
        "Raise the limit (`ulimit -f` shows that of this shell), or use another disk",
    ),
    errno.EROFS: (
        "its disk can only be read",
        "Have it mounted for writing, or name another folder",
    ),
}
"""Errors of the file that is written, also where another is read at the time."""

_FAULTS: Final = _WRITING | {
    errno.EACCES: (
        "this user may not open or change it",
        "Have the right to it given to this user, or name another place",
    ),
    errno.EMFILE: (
        "this process has as many files open as it may",
        "Raise the limit (`ulimit -n` shows that of this shell)",
    ),
    errno.ENFILE: ("the machine has as many files open as it may", "End other programs"),
    errno.EIO: ("its disk failed", "Have the disk looked at"),
    errno.ESTALE: ("its share is away", "See whether it is mounted"),
}
_FAULTS[errno.EPERM] = _FAULTS[errno.EACCES]
_FAULTS[0] = ("cannot be written; its disk may be full, or fail", "Look at that disk")
"""All that SQLite says of many of them."""

_IN_WORDS: Final = {os.strerror(code): code for code in _FAULTS if code} | {
    "disk is full": errno.ENOSPC,
    "attempt to write a readonly database": errno.EROFS,
    "unable to open database file": errno.EACCES,
    "disk I/O error": 0,
}
"""What DuckDB and SQLite say of them."""

_RUNS = "Dagster's database of runs, in the folder DAGSTER_HOME or `dagster` of the state folder"

_QUOTED = re.compile(r'\\?"(/[^"\\]+)')
_BESIDE = re.compile(r"\.([^/]+)\.[0-9a-f]{32}$")
"""The name of a file or folder that is written beside the one whose place it takes."""


def of_the_machine(error: Exception) -> PipelineError | None:
    """What a person reads about an error that the machine made: no room, no memory, a file it does
    not give. None for a mistake of ours.
    """
    import duckdb  # whoever only reads settings waits for none of it

    if isinstance(error, duckdb.OutOfMemoryException) and "disk" not in str(error):
        return PipelineError(
            "The memory limit is too small for this dataset.",
            next_step="Raise memory_limit in config/pipeline.yaml, or set SYNDB_MEMORY_LIMIT.",
        )
    if isinstance(error, OSError):
        code, place = error.errno, _place(error)
    elif isinstance(error, duckdb.Error) or type(error).__module__.startswith(("sql", "_sql")):
        said = str(error)
        code = next((known for words, known in _IN_WORDS.items() if words in said), None)
        quoted = _QUOTED.search(said)
        place = quoted[1] if quoted else "" if isinstance(error, duckdb.Error) else _RUNS
    else:
        return None
    if code in _FAULTS:
        reason, step = _FAULTS[code]
        where = _BESIDE.sub(r"\1", place) or "A file in the state folder"
        return PipelineError(f"{where}: {reason}.", next_step=f"{step}; {_AGAIN}")
    if not isinstance(error, OSError):
        return None
    return PipelineError(
        f"{f'{place}: ' if place else ''}{error.strerror or error}.",
        next_step=f"Put that right, {_AGAIN}",
    )


def _place(error: OSError) -> str:
    """The file that an error is about. One of writing does not say it; the file that is open in the
    frames it went through does."""
    if error.errno in _WRITING and error.filename2:
        return os.fsdecode(error.filename2)
    if error.filename:
        return os.fsdecode(error.filename)
    place, trace = "", error.__traceback__
    while trace is not None:
        known = trace.tb_frame.f_locals
        for value in [*known.values()]:
            if isinstance(value, io.IOBase) and {*getattr(value, "mode", "")} & {*"wax+"}:
                name = getattr(value, "name", 0)  # a number where a descriptor was opened
                place = str(known.get("path", place) if isinstance(name, int) else name)
        trace = trace.tb_next
    return place
