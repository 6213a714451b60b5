"""Where a dataset's state is: stage folders, their records, digests, the lock.

Belongs here: writing so that a crash at any moment leaves the old state or the new one, and knowing
what changed. Does not: what stages do.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import datetime
from pathlib import Path
from typing import Final, cast
from uuid import UUID, uuid4

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from syndb_pipeline.base import digests
from syndb_pipeline.base.digests import digest_files, digest_of
from syndb_pipeline.base.engine import flush
from syndb_pipeline.base.system import rename
from syndb_pipeline.config.operating_settings import Locking
from syndb_pipeline.rules.finding import Finding
from syndb_pipeline.state.locks import hold, require_held
from syndb_pipeline.state.results import (
    AssignedTable,
    Details,
    IngestDetails,
    JoinDetails,
    PackageDetails,
    TableDetails,
    ValidatedTable,
    VerdictDetails,
)


class Rows(BaseModel):
    """Rows of one table. `read` = `passed` + `rejected`; `combined` of the passed rows were merged
    into another row of their pair.

    `below` of the rejected rows have no error themselves: rows that they depend on were quarantined
    (`on_invalid: quarantine`).
    """

    model_config = ConfigDict(frozen=True)

    read: int
    passed: int
    rejected: int
    combined: int = 0
    below: int = Field(default=0, exclude_if=lambda count: count == 0)

    @property
    def wrong(self) -> int:
        """Rejected rows with an error of their own."""
        return self.rejected - self.below

    @property
    def published(self) -> int:
        """Rows that go into the package."""
        return self.passed - self.combined


class Output(BaseModel):
    """One file a stage wrote: SHA-256 and size in bytes."""

    model_config = ConfigDict(frozen=True)

    sha256: str
    bytes: int


class Run(BaseModel):
    """How a stage's last run went; the only part of a record that may differ between equal runs."""

    model_config = ConfigDict(frozen=True)

    started: datetime
    seconds: float
    rows_per_second: float
    peak_memory_bytes: int


class Record(BaseModel):
    """What a stage read, with which versions, and what came of it: a link of the chain.

    `inputs` maps a name (`config`, `record:<stage>`, `file:<path>`) to a digest. `versions` holds
    every version that may change the result. `digest` covers everything but `run`, so equal inputs
    and versions give an equal digest on any machine.
    """

    model_config = ConfigDict(frozen=True)

    schema_version: int = 1
    stage: str
    dataset: UUID
    inputs: dict[str, str]
    versions: dict[str, str]
    outputs: dict[str, Output]
    tables: dict[str, Rows] = {}
    findings: list[Finding] = []
    details: Details = Details()
    run: Run | None = None

    @property
    def digest(self) -> str:
        """SHA-256 of the record without `run`, as canonical JSON."""
        return digest_of(self.model_dump(mode="json", exclude={"run"}))

    @property
    def errors(self) -> list[Finding]:
        return [finding for finding in self.findings if finding.severity == "error"]


class IngestRecord(Record):
    details: IngestDetails


class ValidateRecord(Record):
    details: TableDetails[ValidatedTable]


class AssignRecord(Record):
    details: TableDetails[AssignedTable]


class JoinRecord(Record):
    details: JoinDetails


class VerdictRecord(Record):
    details: VerdictDetails


class PackageRecord(Record):
    details: PackageDetails


RECORDS: Final[dict[str, type[Record]]] = {
    "ingest": IngestRecord,
    "validate": ValidateRecord,
    "assign_ids": AssignRecord,
    "join_relations": JoinRecord,
    "check_integrity": VerdictRecord,
    "package": PackageRecord,
}
"""Stage -> what its record is."""


def write_atomically(path: Path, text: str, *, mode: int = 0o644) -> None:
    """Write a small text file so that a reader sees the old content or the new: beside it, fsync,
    rename.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.{uuid4().hex}")
    # `open` adds what keeps Windows from writing its own line ends.
    with open(beside, "xb", opener=lambda name, how: os.open(name, how, mode)) as file:
        file.write(text.encode())
        file.flush()
        os.fsync(file.fileno())
    rename(beside, path)
    flush(path.parent)


def append_line(path: Path, line: str) -> None:
    """Append a line to a file and force it to disk. One that a crash cut off goes, so that every
    line stays readable."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch(0o644)
    with path.open("r+b") as file:
        file.truncate(file.read().rfind(b"\n") + 1)
        file.seek(0, os.SEEK_END)
        file.write(f"{line}\n".encode())
        file.flush()
        os.fsync(file.fileno())
    flush(path.parent)


def whole_lines(path: Path) -> list[bytes]:
    """The lines of such a file. One that was cut off was never acted upon and is left out."""
    content = path.read_bytes() if path.is_file() else b""
    return [line for line in content.rpartition(b"\n")[0].split(b"\n") if line]


def replace_folder(new: Path, target: Path) -> None:
    """Put folder `new` in the place of `target`. A crash in between leaves no `target`, never half
    of one.
    """
    for file in sorted(new.rglob("*"), reverse=True):
        flush(file)
    flush(new)
    if target.exists():
        old = target.with_name(f".{target.name}.{uuid4().hex}")
        rename(target, old)
        rename(new, target)
        flush(target.parent)
        shutil.rmtree(old)
    else:
        rename(new, target)
        flush(target.parent)


def link_or_copy(source: Path, target: Path) -> None:
    """Give a file that is never written again a second name, where the disk knows that; else copy
    it."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)


class DatasetStore:
    """The state of one dataset: `<state>/datasets/<dataset id>/<stage>/` with a `record.json` in
    each.
    """

    def __init__(self, state: Path, dataset: UUID, locking: Locking | None = None) -> None:
        self.dataset = dataset
        self._locking = locking
        self.folder = state / "datasets" / str(dataset)

    def stage(self, name: str) -> Path:
        """The folder of a stage's outputs; it need not exist."""
        return self.folder / name

    @property
    def report_path(self) -> Path:
        """Where the HTML report is, beside the folders of the stages."""
        return self.folder / "report" / "report.html"

    @property
    def scratch(self) -> Path:
        """A folder for spilling and for writing beside; emptied when a run starts."""
        return self.folder / ".scratch"

    def record_path(self, stage: str) -> Path:
        """Where the stage's record is, when it was finished."""
        return self.stage(stage) / "record.json"

    def record(self, stage: str) -> Record | None:
        """The stage's record, or None when the stage was never finished, or its record is damaged
        or not of this version: then it has to run again.
        """
        path = self.record_path(stage)
        try:
            return RECORDS[stage].model_validate_json(path.read_bytes())
        except (FileNotFoundError, NotADirectoryError, ValidationError):
            return None

    @property
    def verdict(self) -> VerdictRecord | None:
        """check_integrity's record."""
        return cast("VerdictRecord | None", self.record("check_integrity"))

    def commit(self, folder: Path, record: Record) -> None:
        """Write `record` into `folder` and make `folder` the stage's outputs, atomically."""
        require_held()
        write_atomically(folder / "record.json", record.model_dump_json(indent=1) + "\n")
        replace_folder(folder, self.stage(record.stage))
        for name, output in record.outputs.items():
            digests.adopt(self.stage(record.stage) / name, output.sha256)

    def mismatches(self, record: Record) -> list[str]:
        """The outputs of `record` that are missing or whose bytes changed since, each as a path
        below the dataset's folder.
        """
        paths = {name: self.stage(record.stage) / name for name in record.outputs}
        whole = [
            name
            for name, path in paths.items()
            if path.is_file() and path.stat().st_size == record.outputs[name].bytes
        ]
        digests = dict(zip(whole, digest_files([paths[name] for name in whole]), strict=True))
        return [
            f"{record.stage}/{name}"
            for name, output in record.outputs.items()
            if digests.get(name) != output.sha256
        ]

    def held(
        self,
        name: str,
        message: str,
        *,
        wait: float = 0,
        say: Callable[[str], None] = lambda line: None,
    ) -> AbstractContextManager[None]:
        """`locks.hold` of what is called `name` in the dataset's folder."""
        every = f"{self.dataset}/{name}"
        return hold(
            self.folder / name, message, locking=self._locking, name=every, wait=wait, say=say
        )

    @contextmanager
    def lock(
        self, *, wait: float = 0, say: Callable[[str], None] = lambda line: None
    ) -> Iterator[None]:
        """Hold the dataset for one run, of the CLI or of Dagster.

        Raises `Busy` when another run holds it and does not end within `wait` seconds;
        `say` hears that it is waited for.
        """
        message = f"Another run of dataset {self.dataset} is under way."
        with self.held(".lock", message, wait=wait, say=say):
            shutil.rmtree(self.scratch, ignore_errors=True)
            for replaced in self.folder.glob(
                ".*.*/"
            ):  # a stage's former outputs, when the run before died while replacing them
                shutil.rmtree(replaced, ignore_errors=True)
            self.scratch.mkdir(parents=True)
            try:
                with digests.kept(self.folder / ".digests.json"):
                    yield
            finally:
                shutil.rmtree(self.scratch, ignore_errors=True)


def describe_outputs(folder: Path) -> dict[str, Output]:
    """Digest and size of every file below `folder`, by its relative path; `record.json` is left
    out.
    """
    files = [
        file for file in sorted(folder.rglob("*")) if file.is_file() and file.name != "record.json"
    ]
    return {
        file.relative_to(folder).as_posix(): Output(sha256=digest, bytes=file.stat().st_size)
        for file, digest in zip(files, digest_files(files), strict=True)
    }
