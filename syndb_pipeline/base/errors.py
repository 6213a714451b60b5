"""What can go wrong, as exit codes and messages a person can act on.

Belongs here: the one exception type users see and its kinds. Does not: findings about data
(`findings/`).
"""

from __future__ import annotations

from enum import IntEnum


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


def of_the_machine(error: Exception) -> PipelineError | None:
    """What a person reads about an error that the machine made: no room, no memory, a file it does
    not give. None for a mistake of ours.
    """
    import duckdb  # whoever only reads settings waits for none of it

    if isinstance(error, duckdb.OutOfMemoryException):
        return PipelineError(
            "The memory limit is too small for this dataset.",
            next_step="Raise memory_limit in config/pipeline.yaml, or set SYNDB_MEMORY_LIMIT.",
        )
    if "disk is full" in str(error) or "No space left on device" in str(
        error
    ):  # said by SQLite beneath Dagster, and by DuckDB
        return PipelineError(
            "The disk of the state folder is full.",
            next_step="Make room, then give the same command again.",
        )
    if isinstance(error, OSError):
        place = f"{error.filename}: " if error.filename else ""
        return PipelineError(
            f"{place}{error.strerror or error}.",
            next_step="Put that right, then give the same command again.",
        )
    return None
