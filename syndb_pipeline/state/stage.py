"""What a stage is given, what its last run left that still holds, and what it gives back.

Belongs here: the types every stage shares. Does not: running them (`runner.py`); what a table is
made from, which each stage says.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar, cast
from uuid import UUID

import duckdb

from syndb_pipeline.base import digests, engine
from syndb_pipeline.base.digests import digest_file
from syndb_pipeline.base.engine import parquet
from syndb_pipeline.base.errors import PipelineError
from syndb_pipeline.base.progress import Watch
from syndb_pipeline.config.settings import DatasetConfig, PipelineSettings
from syndb_pipeline.rules.catalogue import Severity
from syndb_pipeline.rules.finding import Finding, build
from syndb_pipeline.state.results import Details, TableDetails
from syndb_pipeline.state.store import (
    AssignRecord,
    DatasetStore,
    IngestRecord,
    JoinRecord,
    Record,
    Rows,
    ValidateRecord,
    VerdictRecord,
    link_or_copy,
)


def _silent(_: str) -> None:
    return None


@dataclass(frozen=True)
class Context:
    """What every stage is given: the checked config, the limits, the dataset's store, and where to
    say what it is doing.

    `watch` hears how far a stage is (`state.progress.Meter`); without it nothing is measured.
    `former` is what the stage at work left the last time, when that may be used again.
    """

    config: DatasetConfig
    settings: PipelineSettings
    say: Callable[[str], None] = _silent
    watch: Watch | None = None
    former: Former | None = None

    @property
    def dataset(self) -> UUID:
        return self.config.dataset.id

    @property
    def store(self) -> DatasetStore:
        return DatasetStore(self.settings.state, self.dataset, self.settings.lock)

    @property
    def severities(self) -> Mapping[str, Severity]:
        """Severity by rule code, where the config changes it."""
        return self.config.rules

    @contextmanager
    def duckdb(self, *, threads: int | None = None) -> Iterator[duckdb.DuckDBPyConnection]:
        """A DuckDB within the run's limits, with `row_uuid` bound to the dataset (see
        `engine.connect`).
        """
        with engine.connect(
            memory_limit=self.settings.memory_limit,
            threads=threads or self.settings.threads,
            spill=self.store.scratch / "spill",
            dataset=self.dataset,
        ) as connection:
            yield connection

    def finding(self, code: str, **values: Any) -> Finding:
        """`findings.finding.build` with the config's severities."""
        return build(code, severities=self.severities, **values)

    def upstream(self, stage: str) -> Record:
        """The record of a stage that this one builds on. Raises `PipelineError` when it is not
        there: a crash may have taken it.
        """
        record = self.store.record(stage)
        if record is None:
            raise PipelineError(
                f"{stage} has left nothing to work on.",
                next_step=f"Run {stage} and the stages after it again.",
            )
        return record

    @property
    def ingested(self) -> IngestRecord:
        """`upstream` of ingest; the others alike, each with its own details."""
        return cast(IngestRecord, self.upstream("ingest"))

    @property
    def validated(self) -> ValidateRecord:
        return cast(ValidateRecord, self.upstream("validate"))

    @property
    def assigned(self) -> AssignRecord:
        return cast(AssignRecord, self.upstream("assign_ids"))

    @property
    def joined(self) -> JoinRecord:
        return cast(JoinRecord, self.upstream("join_relations"))

    @property
    def verdict(self) -> VerdictRecord:
        return cast(VerdictRecord, self.upstream("check_integrity"))


@dataclass(frozen=True)
class Result:
    """What a stage gives back beside the files it wrote: rows by table (where it counts them),
    findings, facts for the UI.
    """

    tables: dict[str, Rows] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)
    details: Details = field(default_factory=Details)


@dataclass(frozen=True)
class Stage:
    """A stage: its function, the stage before it, what else its result depends on, and its version.

    `run(context, folder)` writes into the empty `folder`. `inputs(context)` gives name -> digest of
    what it reads beside the upstream record: the parts of the config it uses, and lab files. Raise
    `version` whenever the same inputs may give another result.
    """

    name: str
    run: Callable[[Context, Path], Result]
    inputs: Callable[[Context], dict[str, str]]
    after: str | None
    version: str
    description: str


D = TypeVar("D", bound=Details)


@dataclass(frozen=True)
class Former:
    """The last run of a stage, by the versions of today: its record, and the folder of its
    outputs.
    """

    record: Record
    folder: Path

    def details(self, kind: type[D]) -> D:
        """The details of the record, which are of `kind`."""
        assert isinstance(self.record.details, kind)
        return self.record.details

    def holds(self, table: str, made_from: str, *files: str) -> bool:
        """Whether `table` was made from just this then, and `files`, named as in the record, are as
        they were left.
        """
        return self.details(TableDetails).made_from.get(table) == made_from and all(
            self.is_whole(file) for file in files
        )

    def is_whole(self, file: str) -> bool:
        """Whether the output `file` is there with the bytes of the record."""
        output, path = self.record.outputs.get(file), self.folder / file
        return output is not None and path.is_file() and digest_file(path) == output.sha256

    def is_clean(self, connection: duckdb.DuckDBPyConnection, table: str, failures: str) -> bool:
        """Whether the stage found nothing about `table`: no finding, and no row in its output
        `failures`.
        """
        if self.findings(table) or not self.is_whole(failures):
            return False
        rows = connection.execute(
            f"SELECT 1 FROM {parquet(self.folder / failures)} WHERE tbl = ? LIMIT 1", [table]
        )
        return not rows.fetchall()

    def findings(self, table: str) -> list[Finding]:
        """What the stage found of `table`, in its order."""
        return [finding for finding in self.record.findings if finding.table == table]

    def take_over(self, file: str, folder: Path) -> None:
        """Have the output `file` in the new `folder` as well: a second name of the same file where
        the disk knows that, else a copy.
        """
        source, target = self.folder / file, folder / file
        link_or_copy(source, target)
        digests.adopt(target, self.record.outputs[file].sha256)
