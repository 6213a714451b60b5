"""Everything a report tells of a dataset, from what the stages left; nothing is run.

Belongs here: which records belong together, and putting their facts side by side. Does not: drawing
or writing them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Final, Literal

import duckdb

from syndb_pipeline.base.errors import PipelineError
from syndb_pipeline.contract.tables import ordered
from syndb_pipeline.report.failing import Case, collect
from syndb_pipeline.report.measures import Cloud, Histogram, clouds, histograms
from syndb_pipeline.report.report import by_severity
from syndb_pipeline.rules.finding import Finding
from syndb_pipeline.stages.package import dataset_metadata
from syndb_pipeline.stages.validate import STAGE as VALIDATE
from syndb_pipeline.state.failing_cells import rejected_rows
from syndb_pipeline.state.relation import Relation, relations_of
from syndb_pipeline.state.stage import Context
from syndb_pipeline.state.store import DatasetStore, Record, Rows
from syndb_pipeline.state.tables import ingested

CHECKS: Final = ("ingest", "validate", "assign_ids", "join_relations", "check_integrity")
"""The stages whose records a report tells, in their order; the last one gives the verdict."""

State = Literal["done", "not run", "outdated", "damaged"]


@dataclass(frozen=True, slots=True)
class StageState:
    """Whether what a stage left can be told: `outdated` when the stage before it ran again since,
    `damaged` when a file of it changed.
    """

    name: str
    state: State
    record: Record | None = None


@dataclass(frozen=True)
class Report:
    """What a report tells. `verdict` is None while check_integrity has not judged what the other
    stages left.

    `findings` and `cases` are in one order, errors first.
    """

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
        """The records that can be told, by stage."""
        return _usable(self.stages)

    @property
    def name(self) -> str:
        return self.context.config.name

    @property
    def sealed(self) -> Record | None:
        return self.records.get(CHECKS[-1])

    @property
    def verdict(self) -> str | None:
        return str(self.sealed.details["verdict"]) if self.sealed else None

    @property
    def set_aside(self) -> int:
        """Rows and lines that an accepted dataset is published without."""
        return (
            sum(rows.rejected for rows in self.tables.values()) if self.verdict == "accepted" else 0
        )

    @property
    def missing(self) -> list[StageState]:
        """The stages that have to run, or run again, before there is a verdict."""
        return [stage for stage in self.stages if stage.state != "done"]

    @property
    def last_run(self) -> datetime | None:
        """When the last of the stages began."""
        return max(
            (record.run.started for record in self.records.values() if record.run), default=None
        )

    @property
    def versions(self) -> dict[str, str]:
        """Versions of us, of the stages and of the libraries, as the records have them."""
        return {
            name: version
            for record in self.records.values()
            for name, version in record.versions.items()
        }

    @property
    def files(self) -> dict[str, str]:
        """SHA-256 of each of the lab's files, as ingest read it."""
        inputs = self.records["ingest"].inputs
        return {
            name.removeprefix("file:"): digest
            for name, digest in inputs.items()
            if name.startswith("file:")
        }


def states(store: DatasetStore) -> list[StageState]:
    """What each checking stage left. Everything after one that cannot be told cannot be told
    either: its rows are another run's.
    """
    found: list[StageState] = []
    for name in CHECKS:
        record = store.record(name)
        before = found[-1] if found else None
        state: State = "done"
        if record is None:
            state = "not run"
        elif before is not None and not (
            before.state == "done" and _follows(record, before.record)
        ):
            state = "outdated"
        elif any(
            _size(store, name, file) != output.bytes for file, output in record.outputs.items()
        ):
            state = "damaged"
        found.append(StageState(name, state, record))
    return found


def _follows(record: Record, before: Record | None) -> bool:
    return before is not None and record.inputs.get(f"record:{before.stage}") == before.digest


def _size(store: DatasetStore, stage: str, file: str) -> int:
    path = store.stage(stage) / file
    return path.stat().st_size if path.is_file() else -1


def _usable(stages: Sequence[StageState]) -> dict[str, Record]:
    return {
        stage.name: stage.record
        for stage in stages
        if stage.state == "done" and stage.record is not None
    }


def require_ingest(context: Context, stages: Sequence[StageState]) -> None:
    """Raise `PipelineError` when there is nothing to tell, saying what to run."""
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
    """The report of a dataset, and the DuckDB that holds its failing cells (`failing.FAILING`)
    while it is written.

    Without `measured` no distribution is counted. The dataset's lock must be held. Raises
    `PipelineError` when nothing was ingested.
    """
    stages = states(context.store)
    require_ingest(context, stages)
    records = _usable(stages)
    with context.duckdb() as connection:
        findings = by_severity(_findings(records))
        cases = collect(connection, context.store, records, findings)
        paths = {
            name: path
            for name, path in ingested(context).items()
            if name in records["ingest"].tables
        }
        terms = context.config.terms
        yield (
            Report(
                context,
                stages,
                _rows(context, connection, records),
                findings,
                cases,
                relations=_relations(records, connection),
                histograms=_histograms(connection, paths, records) if measured else {},
                clouds=clouds(connection, paths) if measured else [],
                metadata=dataset_metadata(
                    context.config, ordered(context.config.tables)
                ).model_dump(mode="json"),
                terms=terms.model_dump(mode="json") if terms else None,
            ),
            connection,
        )


def _findings(records: Mapping[str, Record]) -> list[Finding]:
    """All findings of the stages; the sealed record repeats those of the stages before it."""
    if CHECKS[-1] in records:
        return records[CHECKS[-1]].findings
    return [finding for record in records.values() for finding in record.findings]


def _rows(
    context: Context, connection: duckdb.DuckDBPyConnection, records: Mapping[str, Record]
) -> dict[str, Rows]:
    """Rows by table, as sealed; before the verdict, what the stages up to now rejected."""
    if CHECKS[-1] in records:
        return records[CHECKS[-1]].tables
    rejected = rejected_rows(connection, context, [context.store.stage(name) for name in records])
    tables = {}
    for name, rows in records["ingest"].tables.items():
        lost = rows.rejected + rejected.get(name, 0)
        tables[name] = Rows(read=rows.read, passed=rows.read - lost, rejected=lost)
    return tables


def _histograms(
    connection: duckdb.DuckDBPyConnection, paths: Mapping[str, Path], records: Mapping[str, Record]
) -> dict[str, list[Histogram]]:
    """Distributions by table, from the summaries in validate's record; where it has not run, or an
    older version did, they are made.
    """
    record = records.get(VALIDATE.name)
    validated = (
        record.details["tables"]
        if record and record.versions.get(VALIDATE.name) == VALIDATE.version
        else {}
    )
    return {
        name: histograms(connection, name, path, validated[name]["columns"] if validated else None)
        for name, path in paths.items()
    }


def _relations(
    records: Mapping[str, Record], connection: duckdb.DuckDBPyConnection
) -> list[Relation]:
    if "join_relations" not in records:
        return []
    counts = connection.execute(
        "SELECT tbl, col, count(*) FROM kept WHERE code IN ('SYN-REL-001', 'SYN-REL-002') AND stage"
        " = 'join_relations' GROUP BY ALL"
    ).fetchall()
    orphans = {(table, column): int(count) for table, column, count in counts}
    tables = records["join_relations"].details["tables"]
    return relations_of(
        {table: details["references"] for table, details in tables.items()}, orphans
    )
