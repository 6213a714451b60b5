"""Everything a report says of a dataset, from what the stages left; nothing is run.

Belongs here: which records belong together, putting their facts side by side, and the failing
cells that were kept with file, sheet and row as one DuckDB view. Does not: drawing or writing them.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, Literal

import duckdb

from syndb_pipeline.base.engine import given, literal, parquet
from syndb_pipeline.base.errors import PipelineError
from syndb_pipeline.contract.tables import TABLE_ORDER, ordered
from syndb_pipeline.report.measures import Cloud, Histogram, clouds, histograms
from syndb_pipeline.report.terminal import by_severity
from syndb_pipeline.rules.finding import Example, Finding
from syndb_pipeline.stages.package import dataset_metadata
from syndb_pipeline.stages.validate import STAGE as VALIDATE
from syndb_pipeline.state.results import Relation, Summary, relations_of
from syndb_pipeline.state.row_locations import SourceMap
from syndb_pipeline.state.stage import Context
from syndb_pipeline.state.store import (
    DatasetStore,
    JoinRecord,
    Record,
    Rows,
    ValidateRecord,
    VerdictRecord,
)
from syndb_pipeline.state.tables import FILE, ingested, rejected_rows

CHECKS: Final = ("ingest", "validate", "assign_ids", "join_relations", "check_integrity")
"""The stages whose records a report is made of, in their order; the last one gives the verdict."""

PLACES: Final = 20
"""Places of a finding that a report lists; the CSV lists all."""

FAILING: Final = "failing"
"""Name of the view: failing cells with table, code and the number of the finding about them."""

_KEY: Final = ("stage", "code", "tbl", "col", "cause")
"""What failing cells of one group share."""


@dataclass(frozen=True, slots=True)
class StageState:
    """Whether a report may use what a stage left.

    It is `outdated` when the stage before it ran again since, `damaged` when a file of it changed.
    """

    name: str
    state: Literal["done", "not run", "outdated", "damaged"]
    record: Record | None = None


@dataclass(frozen=True, slots=True)
class Case:
    """A finding with its first places, and how many cells are kept (0: only the examples are)."""

    finding: Finding
    kept: int = 0
    places: Sequence[Example] = ()

    @property
    def more(self) -> int:
        """Places that are not listed."""
        return max(0, max(self.finding.count, self.kept) - len(self.places))


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
    if stages[0].state == "done":
        return
    why = "has not run"
    if stages[0].record is not None:
        why = "left files that were changed or removed since"
    raise PipelineError(
        f"There is nothing to report on {context.config.name}: ingest {why}.",
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
    records, config = _usable(stages), context.config
    # check_integrity's record repeats the findings of the stages before it
    judged = [records[CHECKS[-1]]] if CHECKS[-1] in records else records.values()
    findings = by_severity(finding for record in judged for finding in record.findings)
    with context.duckdb() as connection:
        cases = _collect(connection, context.store, records, findings)
        read = records["ingest"].tables
        tables = {name: path for name, path in ingested(context).items() if name in read}
        summaries = _summaries(records)
        report = Report(
            context,
            stages,
            _rows(context, connection, records),
            findings,
            cases,
            relations=_relations(records, connection),
            histograms={
                name: histograms(connection, name, path, summaries.get(name))
                for name, path in tables.items()
                if measured
            },
            clouds=clouds(connection, tables) if measured else [],
            metadata=dataset_metadata(config, ordered(config.tables)).model_dump(mode="json"),
            terms=config.terms.model_dump(mode="json") if config.terms else None,
        )
        yield report, connection


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
        isinstance(record, ValidateRecord)
        and record.versions.get(VALIDATE.name) == VALIDATE.version
    ):
        return {name: details.columns for name, details in record.details.tables.items()}
    return {}


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


# Failing cells


def _collect(
    connection: duckdb.DuckDBPyConnection,
    store: DatasetStore,
    stages: Iterable[str],
    findings: Sequence[Finding],
) -> list[Case]:
    """Make the view `FAILING` of what `stages` left, and give a case for each of `findings`.

    The view has the columns tbl, file, sheet, line, col (the lab's name of it), value, code, and
    finding (index in `findings`).
    """
    text = ", ".join(f"''::VARCHAR AS {name}" for name in ("stage", "code", "tbl"))
    selects = [
        f"SELECT {text}, 0::BIGINT AS row_number, '' AS col, '' AS value, '' AS cause LIMIT 0"
    ]
    for stage in stages:
        path = store.stage(stage) / FILE
        if path.is_file():
            selects.append(f"SELECT {literal(stage)} AS stage, * FROM {parquet(path)}")
    union = " UNION ALL ".join(f"({select})" for select in selects)
    connection.execute(f"CREATE VIEW kept AS {union}")
    sources = SourceMap.read(store.stage("ingest"))
    groups = connection.execute(f"""SELECT {", ".join(_KEY)}, count(*),
                   min(struct_pack(r := row_number, v := value), {PLACES})
            FROM kept GROUP BY ALL ORDER BY ALL""").fetchall()
    reported: list[tuple[Any, ...]] = []
    kept: Counter[int | None] = Counter()
    places: defaultdict[int | None, list[tuple[int, Example]]] = defaultdict(list)
    for *key, count, first in groups:
        _, code, table, column, _ = key
        own = [(at["r"], sources.example(table, at["r"], column, at["v"])) for at in first]
        number = _finding_of(findings, code, table, column, count, own[0][1])
        reported.append((*key, number))
        kept[number] += count
        places[number] += own
    _define_view(connection, sources, reported)
    cases = []
    for number, finding in enumerate(findings):
        shown = [place for _, place in sorted(places[number], key=lambda at: at[0])[:PLACES]]
        last = finding.examples[-1:]
        if kept[number] > len(shown) > 0 and last and last[0] not in shown:
            shown[PLACES - 1 :] = last
        cases.append(Case(finding, kept[number], shown or finding.examples))
    return cases


def _finding_of(
    findings: Sequence[Finding], code: str, table: str, column: str, count: int, first: Example
) -> int | None:
    """The index of the finding about `count` cells that begin at `first`: of several on one
    column, that with their count and place. None without a finding.

    Rules that are reported in summary have one finding for all their cells.
    """
    near = [n for n, found in enumerate(findings) if (found.code, found.table) == (code, table)]
    near = [n for n in near if findings[n].column == column] or near
    exact = [n for n in near if findings[n].count == count and first in findings[n].examples[:1]]
    return next(iter([*exact, *near]), None)


def _define_view(
    connection: duckdb.DuckDBPyConnection, sources: SourceMap, groups: list[tuple[Any, ...]]
) -> None:
    """Give DuckDB the places of rows and the findings of `groups`, and define the view over them.

    A segment is a run of rows of one file whose lines follow each other: line = row_number + shift.
    """
    segments: dict[tuple[str, int], tuple[Any, ...]] = {}
    names: list[tuple[Any, ...]] = []
    parts = [(table, part) for table, own in sources.tables.items() for part in own]
    for number, (table, part) in enumerate(parts):
        for index, lines in [(0, 0), *part.jumps]:
            start, shift = part.first_row + index, part.first_line - part.first_row + lines
            segments[table, start] = (table, part.file, part.sheet, start, number, shift)
        names += [(column, name, number) for column, name in part.columns.items()]
    for view, texts, numbers, rows in (
        ("segments", ("tbl", "file", "sheet"), ("start", "source", "shift"), segments.values()),
        ("names", ("col", "lab"), ("source",), names),
        ("reported", _KEY, ("finding",), groups),
        ("tables", ("tbl",), ("place",), [(t, n) for n, t in enumerate(TABLE_ORDER)]),
    ):
        columns = dict.fromkeys(texts, "VARCHAR") | dict.fromkeys(numbers, "BIGINT")
        with given(connection, "frame", columns, rows):
            connection.execute(f"CREATE TEMP TABLE {view} AS FROM frame")
    connection.execute(f"""CREATE VIEW {FAILING} AS
            SELECT tables.place, kept.tbl, row_number, segments.file, segments.sheet,
                   row_number + shift AS line, coalesce(names.lab, kept.col) AS col,
                   kept.value, kept.code, reported.finding
            FROM kept JOIN reported USING ({", ".join(_KEY)}) JOIN tables USING (tbl)
            ASOF JOIN segments ON kept.tbl = segments.tbl AND kept.row_number >= segments.start
            LEFT JOIN names ON names.source = segments.source AND names.col = kept.col""")
