"""Everything a report says of a dataset, from what the stages left; nothing is run.

Belongs here: which records belong together, and putting their facts side by side. Does not: drawing
or writing them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, Literal

import duckdb

from syndb_pipeline.base.errors import PipelineError
from syndb_pipeline.contract.tables import ordered
from syndb_pipeline.report.failing import Case, collect
from syndb_pipeline.report.measures import Cloud, Histogram, clouds, histograms
from syndb_pipeline.report.terminal import by_severity
from syndb_pipeline.rules.finding import Finding
from syndb_pipeline.stages.package import dataset_metadata
from syndb_pipeline.stages.validate import STAGE as VALIDATE
from syndb_pipeline.state.results import Relation, Summary, relations_of
from syndb_pipeline.state.stage import Context
from syndb_pipeline.state.store import (
    DatasetStore,
    JoinRecord,
    Record,
    Rows,
    ValidateRecord,
    VerdictRecord,
)
from syndb_pipeline.state.tables import ingested, rejected_rows

CHECKS: Final = ("ingest", "validate", "assign_ids", "join_relations", "check_integrity")
"""The stages whose records a report is made of, in their order; the last one gives the verdict."""


@dataclass(frozen=True, slots=True)
class StageState:
    """Whether a report may use what a stage left.

    It is `outdated` when the stage before it ran again since, `damaged` when a file of it changed.
    """

    name: str
    state: Literal["done", "not run", "outdated", "damaged"]
    record: Record | None = None


@dataclass(frozen=True)
class Report:
    """What a report says. `findings` and `cases` are in one order, errors first."""

    context: Context
    stages: list[StageState]
    tables: dict[str, Rows]
    findings: list[Finding]
    cases: list[Case]
    relations: list[Relation] = field(default_factory=list)
    histograms: dict[str, list[Histogram]] = field(default_factory=dict)
    clouds: list[Cloud] = field(default_factory=list)
    metadata: dict[str, Any] = field(default_factory=dict)
    terms: dict[str, Any] | None = None

    @property
    def records(self) -> dict[str, Record]:
        """The usable records, by stage."""
        return _usable(self.stages)

    @property
    def name(self) -> str:
        return self.context.config.name

    @property
    def verdict_record(self) -> VerdictRecord | None:
        record = self.records.get(CHECKS[-1])
        return record if isinstance(record, VerdictRecord) else None

    @property
    def verdict(self) -> str | None:
        """None while check_integrity has not judged what the other stages left."""
        record = self.verdict_record
        return record.details.verdict if record else None

    @property
    def quarantined(self) -> int:
        """Rows and lines that an accepted dataset is published without."""
        accepted = self.verdict == "accepted"
        return sum(rows.rejected for rows in self.tables.values()) if accepted else 0

    @property
    def missing(self) -> list[StageState]:
        """The stages that have to run, or run again, before there is a verdict."""
        return [stage for stage in self.stages if stage.state != "done"]

    @property
    def last_run(self) -> datetime | None:
        """When the last of the stages was started."""
        return max(
            (record.run.started for record in self.records.values() if record.run), default=None
        )

    @property
    def versions(self) -> dict[str, str]:
        """Versions of us, of the stages and of the libraries, as the records have them."""
        return {k: v for record in self.records.values() for k, v in record.versions.items()}

    @property
    def files(self) -> dict[str, str]:
        """SHA-256 of each of the lab's files, as ingest read it."""
        inputs = self.records["ingest"].inputs.items()
        return {name[len("file:") :]: digest for name, digest in inputs if name.startswith("file:")}


def states(store: DatasetStore) -> list[StageState]:
    """What each checking stage left; whatever follows an unusable one is of another run's rows."""
    found: list[StageState] = []
    for name in CHECKS:
        record = store.record(name)
        if record is None:
            found.append(StageState(name, "not run"))
        elif found and not _follows(record, found[-1]):
            found.append(StageState(name, "outdated", record))
        elif any(_size(store, name, file) != out.bytes for file, out in record.outputs.items()):
            found.append(StageState(name, "damaged", record))
        else:
            found.append(StageState(name, "done", record))
    return found


def _follows(record: Record, before: StageState) -> bool:
    digest = record.inputs.get(f"record:{before.name}")
    return before.state == "done" and before.record is not None and digest == before.record.digest


def _size(store: DatasetStore, stage: str, file: str) -> int:
    path = store.stage(stage) / file
    return path.stat().st_size if path.is_file() else -1


def _usable(stages: Sequence[StageState]) -> dict[str, Record]:
    return {stage.name: stage.record for stage in stages if stage.state == "done" and stage.record}


def require_ingest(context: Context, stages: Sequence[StageState]) -> None:
    """Raise `PipelineError` when there is nothing to report, saying what to run."""
    first = stages[0]
    if first.state != "done":
        why = (
            "has not run"
            if first.state == "not run"
            else "left files that were changed or removed since"
        )
        raise PipelineError(
            f"There is nothing to report on {context.config.name}: {first.name} {why}.",
            next_step=f"Run the checks first: syndb-pipeline check {context.config.path}",
        )


@contextmanager
def gathered(
    context: Context, *, measured: bool = True
) -> Iterator[tuple[Report, duckdb.DuckDBPyConnection]]:
    """The report of a dataset, and the DuckDB that holds its failing cells (`failing.FAILING`).

    Without `measured` no distribution is counted. The dataset's lock must be held.

    Raises:
        PipelineError: Nothing was ingested.
    """
    stages = states(context.store)
    require_ingest(context, stages)
    records = _usable(stages)
    with context.duckdb() as connection:
        findings = by_severity(_findings(records))
        cases = collect(connection, context.store, records, findings)
        tables = {
            name: path
            for name, path in ingested(context).items()
            if name in records["ingest"].tables
        }
        summaries = _summaries(records)
        drawn = {
            name: histograms(connection, name, path, summaries.get(name))
            for name, path in tables.items()
            if measured
        }
        report = Report(
            context,
            stages,
            _rows(context, connection, records),
            findings,
            cases,
            relations=_relations(records, connection),
            histograms=drawn,
            clouds=clouds(connection, tables) if measured else [],
            metadata=dataset_metadata(context.config, ordered(context.config.tables)).model_dump(
                mode="json"
            ),
            terms=context.config.terms.model_dump(mode="json") if context.config.terms else None,
        )
        yield report, connection


def _findings(records: Mapping[str, Record]) -> list[Finding]:
    """All findings of the stages; check_integrity's record repeats those of the stages before
    it.
    """
    last = records.get(CHECKS[-1])
    chosen = [last] if last else records.values()
    return [finding for record in chosen for finding in record.findings]


def _rows(
    context: Context, connection: duckdb.DuckDBPyConnection, records: Mapping[str, Record]
) -> dict[str, Rows]:
    """Rows by table; before the verdict, what the stages up to now rejected."""
    if CHECKS[-1] in records:
        return records[CHECKS[-1]].tables
    rejected = rejected_rows(connection, context, [context.store.stage(name) for name in records])
    tables = {}
    for name, rows in records["ingest"].tables.items():
        lost = rows.rejected + rejected.get(name, 0)
        tables[name] = Rows(read=rows.read, passed=rows.read - lost, rejected=lost)
    return tables


def _summaries(records: Mapping[str, Record]) -> dict[str, dict[str, Summary]]:
    """Summaries of numeric columns by table, unless an older version of validate made them."""
    record = records.get(VALIDATE.name)
    if (
        not isinstance(record, ValidateRecord)
        or record.versions.get(VALIDATE.name) != VALIDATE.version
    ):
        return {}
    return {name: details.columns for name, details in record.details.tables.items()}


def _relations(
    records: Mapping[str, Record], connection: duckdb.DuckDBPyConnection
) -> list[Relation]:
    record = records.get("join_relations")
    if not isinstance(record, JoinRecord):
        return []
    counts = connection.execute(
        """SELECT tbl, col, count(*) FROM kept
           WHERE code IN ('SYN-REL-001', 'SYN-REL-002') AND stage = 'join_relations' GROUP BY ALL"""
    ).fetchall()
    orphans = {(table, column): int(count) for table, column, count in counts}
    return relations_of(record.details.links, orphans)
