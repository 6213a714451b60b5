"""What a stage is given and what it gives back.

Belongs here: the types every stage shares. Does not: running them (`runner.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast
from uuid import UUID

import duckdb

from syndb_pipeline.base import engine
from syndb_pipeline.base.errors import PipelineError
from syndb_pipeline.base.progress import Watch
from syndb_pipeline.config.settings import DatasetConfig, PipelineSettings
from syndb_pipeline.rules.catalogue import Severity
from syndb_pipeline.rules.finding import Finding, build
from syndb_pipeline.state.results import Details
from syndb_pipeline.state.reuse import Former
from syndb_pipeline.state.store import (
    AssignRecord,
    DatasetStore,
    IngestRecord,
    JoinRecord,
    Record,
    Rows,
    ValidateRecord,
    VerdictRecord,
)


def _silent(_: str) -> None:
    return None


@dataclass(frozen=True)
class Context:
    """What every stage is given: the checked config, the limits, the dataset's store, and where to
    say what it is doing.

    `watch` hears how far a stage is (`stages.progress.Meter`); without it nothing is measured.
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
        return DatasetStore(self.settings.state, self.dataset)

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
