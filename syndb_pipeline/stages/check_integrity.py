"""check_integrity: is the dataset one whole? The verdict, recorded over the chain of records.

Belongs here: what concerns the dataset as a whole, and the verdict. Does not: single cells
(`validate`) or keys (`assign_ids`, `join_relations`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from syndb_pipeline.base.digests import digest_of
from syndb_pipeline.base.engine import literal, parquet, quote, values_in
from syndb_pipeline.checks.failures import Failures
from syndb_pipeline.checks.references import declared_totals
from syndb_pipeline.checks.references.declared_totals import EARLIER, check_declared
from syndb_pipeline.checks.units.places import check_places
from syndb_pipeline.config.table_settings import percent
from syndb_pipeline.contract.key_encoding import KEY_COLUMNS, cells_of
from syndb_pipeline.contract.tables import TABLES, Column, Kind
from syndb_pipeline.contract.vocabularies import BRAIN_STRUCTURES, nearest_structures
from syndb_pipeline.quarantine.policy import Case, Judged
from syndb_pipeline.quarantine.rows import ASIDE
from syndb_pipeline.rules.catalogue import RULES
from syndb_pipeline.rules.finding import Example, Finding
from syndb_pipeline.state.results import VerdictDetails
from syndb_pipeline.state.row_locations import SourceMap
from syndb_pipeline.state.stage import Context, Result, Stage
from syndb_pipeline.state.store import Rows
from syndb_pipeline.state.tables import (
    columns_of,
    error_cells,
    ingested,
    rejected_places,
    rejected_rows,
    written,
)

ACCEPTED: Final = "accepted"
REJECTED: Final = "rejected"


@dataclass
class _Dataset(declared_totals.Related):
    """What the checks look at."""

    @property
    def explained(self) -> set[str | None]:
        """Tables with a finding that says why their references lead nowhere: all of them while
        the columns of one look swapped.
        """
        if self.swapped:
            return set(self.tables)
        return {
            finding.table
            for stage in ("assign_ids", "join_relations")
            for finding in self.context.upstream(stage).errors
            if RULES["SYN-INT-001"].explained_by(finding.code) and finding.column != "cid"
        }

    @property
    def swapped(self) -> bool:
        """Whether columns of some table hold each other's keys. Then nothing can be said about what
        leads to it and from it.
        """
        return any(finding.code == "SYN-REL-010" for finding in self.context.joined.errors)

    @property
    def whole(self) -> bool:
        """Whether every table of the config could be read. While one is missing, nothing can be
        said about what leads to it.
        """
        return set(self.tables) == set(self.context.config.tables)


def run(context: Context, folder: Path) -> Result:
    """Judge the dataset and record the verdict.

    Findings: SYN-INT-001 to SYN-INT-007, SYN-UNIT-004 and 005, SYN-VOC-005, and all of the earlier
    stages, so that this record holds everything. The details are `VerdictDetails`.
    """
    links = context.joined.details.links
    with context.duckdb() as connection:
        failures = Failures(connection)
        sources = SourceMap.read(context.store.stage("ingest"))
        tables, relations = ingested(context), written(context, "join_relations", "relations")
        present = {name: columns_of(path) for name, path in tables.items()}
        ids = written(context, "assign_ids", "ids")
        data = _Dataset(
            connection, context, sources, tables, ids, failures, relations, links, present
        )
        own = [
            *_regions(context),
            *_unsent(data),
            *_connected(data),
            *_parentless(data),
            *check_declared(data),
            *check_places(data),
        ]
        _synapses(data)
        own = (
            failures.findings(context, sources, lambda group: {"target": _synapse_goal(data)}) + own
        )
        failures.write(folder)
        folders = [*(context.store.stage(stage) for stage in EARLIER), folder]
        earlier = [context.upstream(stage) for stage in EARLIER]
        findings = [finding for record in earlier for finding in record.findings] + own
        judged = Judged(not any(finding.severity == "error" for finding in findings), findings)
        if not judged.accepted and context.config.on_invalid == "quarantine":
            judged = _case(data, folders, findings).judge(folder)
        if judged.rows is None:
            rejected = rejected_rows(connection, context, folders)
            rows = _conserved(
                data,
                {name: (count, 0) for name, count in rejected.items()},
                rejected_places(context, folders),
            )
        else:
            rows = _conserved(data, judged.rows, f"SELECT tbl, row_number FROM {ASIDE}")
    details = VerdictDetails(
        verdict=ACCEPTED if judged.accepted else REJECTED,
        chain={record.stage: record.digest for record in earlier},
        relations=links,
        set_aside=judged.set_aside,
    )
    return Result(tables=rows, findings=judged.findings, details=details)


def _case(data: _Dataset, folders: list[Path], findings: list[Finding]) -> Case:
    """The dataset as quarantine judges it."""
    known = [finding.table for finding in findings if finding.code == "SYN-INT-001"]
    return Case(
        data,
        folders,
        findings,
        unconnected=lambda aside: _unconnected(data, aside),
        unrelated=lambda links: [
            each for each in _connected(replace(data, links=links)) if each.table not in known
        ],
    )


def _conserved(
    data: _Dataset, rejected: Mapping[str, tuple[int, int]], places: str
) -> dict[str, Rows]:
    """Rows by table over the whole chain: what ingest could not read and what was rejected, each
    row once.

    `rejected` gives the rows of each table and how many of them only depend on others; `places` is
    a query for their tbl and row_number.
    """
    relations = data.context.joined.details.tables
    tables = {}
    for name, read in data.context.ingested.tables.items():
        count, below = rejected.get(name, (0, 0))
        lost = read.rejected + count
        combined = (name in relations and relations[name].combined) or 0
        if combined and name in rejected:
            combined = _combined_of_passed(data, name, places)
        tables[name] = Rows(
            read=read.read, passed=read.read - lost, rejected=lost, combined=combined, below=below
        )
    return tables


def _combined_of_passed(data: _Dataset, name: str, rejected: str) -> int:
    pair = ", ".join(quote(column) for column in TABLES[name].pair or ())
    rejected = f"SELECT row_number FROM ({rejected}) WHERE tbl = {literal(name)}"
    passed = (
        f"{parquet(data.tables[name], row_number=True)} WHERE file_row_number NOT IN ({rejected})"
    )
    (combined,) = data.row(f"SELECT count(*) - count(DISTINCT ({pair})) FROM {passed}")
    return int(combined)


def _unrelated(data: _Dataset) -> tuple[list[str], set[str]]:
    """Tables outside the largest group of related tables, and that group. An empty table
    (SYN-READ-013) has nothing to relate.
    """
    filled = [name for name in data.tables if data.rows(name)]
    groups = [{name} for name in filled]
    for table, columns in data.links.items():
        for link in columns.values():
            if link.resolved:
                joined = [group for group in groups if group & {table, link.target}]
                groups = [group for group in groups if group not in joined] + [set().union(*joined)]
    if len(groups) < 2 or not data.whole:
        return [], set(filled)
    main = max(groups, key=lambda group: (len(group), -min(TABLES[name].level for name in group)))
    return [name for name in filled if name not in main and name not in data.explained], main


def _unknown_regions(context: Context) -> list[str]:
    return [
        region.structure
        for region in context.config.dataset.brain_regions
        if region.structure not in BRAIN_STRUCTURES
    ]


def _regions(context: Context) -> list[Finding]:
    """SYN-VOC-005 for the brain regions of the metadata that SynDB's vocabulary does not name."""
    unknown = _unknown_regions(context)
    if not unknown:
        return []
    file = context.config.path.name
    near = [word for structure in unknown for word in nearest_structures(structure)]
    places = [
        Example(file=file, column="dataset.brain_regions", value=structure) for structure in unknown
    ]
    return [
        context.finding(
            "SYN-VOC-005",
            file=file,
            column="dataset.brain_regions",
            count=len(unknown),
            examples=places,
            value=unknown[0],
            near=f"; SynDB's nearest: {', '.join(dict.fromkeys(near))}" if near else "",
        )
    ]


def _connected(data: _Dataset) -> list[Finding]:
    """SYN-INT-001 for tables outside the largest group of related tables."""
    findings = []
    unrelated, main = _unrelated(data)
    for name in unrelated:
        allowed = [column for column in TABLES[name].references if column != "neuron_id"]
        if allowed:
            wanted = f"a column {' or '.join(allowed)} that names rows of {', '.join(sorted(main))}"
            advice = f"Give {name} {wanted}, or publish it as a dataset of its own."
        else:
            advice = (
                f"Add a table that names rows of {name}, or publish it as a dataset of its own."
            )
        places = _first_cell(data, name, _key(name))
        findings.append(
            data.context.finding("SYN-INT-001", table=name, count=1, examples=places, advice=advice)
        )
    return findings


def _key(table: str) -> str:
    """The column by which a person finds a row of `table`."""
    pair = TABLES[table].pair
    return pair[0] if pair else "cid"


def _parentless(data: _Dataset) -> list[Finding]:
    """SYN-INT-003 for compartments that nothing ties to a parent. A pair of neurons has none;
    unrelated tables are reported as such.
    """
    findings = []
    unrelated, _ = _unrelated(data)
    for name in data.tables:
        parents = TABLES[name].parents
        tied = any(
            data.target(name, column)
            for column in ("parent_id", "neuron_id", "pre_synapse_id", "post_synapse_id")
        )
        tied = tied or any(
            data.target(other, "forms_synapse_with") == name for other in data.tables
        )
        unreadable = any(
            parent in data.context.config.tables and parent not in data.tables for parent in parents
        )
        explained = name in data.explained or bool(set(unrelated) & {name, *parents})
        if parents and not TABLES[name].pair and not tied and not unreadable and not explained:
            places = _first_cell(data, name, "cid")
            findings.append(
                data.context.finding(
                    "SYN-INT-003", table=name, examples=places, parents=", ".join(parents)
                )
            )
    return findings


def _unsent(data: _Dataset) -> list[Finding]:
    """SYN-COL-004 for columns whose values are read and not sent: at most one finding a table for
    columns that SynDB's table lacks, and one for references to tables that the dataset lacks.
    Columns that the config ignores are not read.
    """
    findings: list[Finding] = []
    if data.swapped:
        return findings
    for name, path in data.tables.items():
        declared = TABLES[name].columns
        read = [column for column in data.columns(name) if declared[column].kind is not Kind.PATH]
        lacking = [column for column in read if not declared[column].published]
        missing = []
        if data.whole:
            asked = {
                finding.column for finding in data.context.joined.findings if finding.table == name
            }
            missing = [
                column
                for column in read
                if column not in (*lacking, *asked) and _leads_nowhere(data, name, declared[column])
            ]
        for columns, reason, advice in (
            (
                lacking,
                f"SynDB's {name} has no such column{{s}}",
                (
                    "Nothing to do if SynDB can do without them. Keep them in the file, for the"
                    " checks use them; `rules: {SYN-COL-004: hint}` in the dataset's YAML silences"
                    " this."
                ),
            ),
            (
                missing,
                "they name rows of tables that the dataset does not have",
                (
                    "Add the tables whose rows they name, if you have them. A column that SynDB is"
                    " not to have can be listed under `ignore`."
                ),
            ),
        ):
            if filled := {each: count for each in columns if (count := values_in(path, each))}:
                findings.append(_not_sent(data, name, filled, reason, advice))
    return findings


def _leads_nowhere(data: _Dataset, table: str, column: Column) -> bool:
    """Whether the values of a published column are dropped since the table they name is not
    there.
    """
    if column.name == "parent_enum":
        return data.target(table, "parent_id") is None
    return column.kind is Kind.REFERENCE and data.target(table, column.name) is None


def _not_sent(
    data: _Dataset, table: str, values: Mapping[str, int], reason: str, advice: str
) -> Finding:
    def listed(words: list[str]) -> str:
        return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"

    by_count: dict[int, list[str]] = {}
    for column, count in values.items():
        by_count.setdefault(count, []).append(column)
    names = listed(
        [
            f"{count:,} value{'' if count == 1 else 's'} {'each ' if len(columns) > 1 else ''}of"
            f" {listed(columns)}"
            for count, columns in by_count.items()
        ]
    )
    return data.context.finding(
        "SYN-COL-004",
        table=table,
        column=next(iter(values)) if len(values) == 1 else None,
        count=sum(values.values()),
        examples=[_first_value(data, table, column) for column in values],
        names=names,
        reason=reason.format(s="" if len(values) == 1 else "s"),
        advice=advice,
    )


def _first_cell(data: _Dataset, table: str, column: str) -> list[Example]:
    """The first row of a table, by its cell in `column`, as the example of a finding about the
    whole table."""
    return data.examples(table, column, f"FROM {cells_of(data.tables[table], column)}", most=1)


def _first_value(data: _Dataset, table: str, column: str) -> Example:
    """The first cell of `column` that has a value; the value itself only of keys: the text of a
    number is in the lab's file alone.
    """
    cells = f"{cells_of(data.tables[table], column)} WHERE value IS NOT NULL"
    row, value = data.row(f"SELECT * FROM {cells} LIMIT 1")
    return data.sources.example(table, row, column, value if column in KEY_COLUMNS else None)


def _synapse_goal(data: _Dataset) -> str:
    return "neuron" if "neuron" in data.tables else "row of another table"


def _synapses(data: _Dataset) -> None:
    """SYN-INT-002: with neurons in the dataset every synapse leads to one; without, to a row of
    some other table (G, dataset integrity).
    """
    if not data.swapped and (unconnected := _unconnected(data)) is not None:
        # A synapse that names a row which is not there was reported for that.
        known = error_cells(
            data.context,
            [data.context.store.stage(stage) for stage in ("assign_ids", "join_relations")],
        )
        reported = f"SELECT row_number FROM ({known}) WHERE tbl = 'synapse' AND col <> 'cid'"
        cells = (
            f"SELECT row, NULL AS value FROM ({unconnected}) found(row) WHERE row NOT IN"
            f" ({reported})"
        )
        data.fail("SYN-INT-002", "synapse", "cid", cells)


def _unconnected(data: _Dataset, aside: str | None = None) -> str | None:
    """A query for the numbers of synapses that lead nowhere, not even by way of rows that name
    them; None when there is nothing to say.

    Rows of the DuckDB table `aside` (tbl, row_number) lead nowhere.
    """
    if "synapse" not in data.tables or len(data.tables) == 1 or not data.whole:
        return None
    relations = data.relations.get("synapse")
    leading = "neuron_id IS NOT NULL" if "neuron" in data.tables else "TRUE"
    named = [
        f"SELECT forms_synapse_with FROM {parquet(data.relations[name])} WHERE {leading}"
        + (
            f" AND row_number NOT IN (SELECT row_number FROM {aside} WHERE tbl = {literal(name)})"
            if aside
            else ""
        )
        for name in data.tables
        if data.target(name, "forms_synapse_with") == "synapse"
    ]
    if relations is None and not named:
        return None  # nothing relates the table as a whole: SYN-INT-001 says it once
    ids = parquet(data.ids["synapse"], row_number=relations is None)
    source, number, lost = f"{ids} i", "file_row_number", "TRUE"
    if relations is not None:
        reached = (
            "neuron_id"
            if "neuron" in data.tables
            else f"coalesce({', '.join(quote(c) for c in data.links['synapse'])})"
        )
        source, number, lost = f"{parquet(relations)} r", "row_number", f"{reached} IS NULL"
    if named:  # a terminal or spine that takes part in the synapse leads to a neuron as well
        source += f" POSITIONAL JOIN {ids} i" if relations is not None else ""
        lost += (
            f" AND i.cid NOT IN (SELECT * FROM ({' UNION ALL '.join(named)}) WHERE"
            " forms_synapse_with IS NOT NULL)"
        )
    return f"SELECT {number} FROM {source} WHERE {lost}"


def _inputs(context: Context) -> dict[str, str]:
    regions = _unknown_regions(context)
    found = {"config:brain_regions": digest_of(regions)} if regions else {}
    if context.config.on_invalid == "refuse":
        return found
    return found | {
        "config:on_invalid": digest_of(
            [context.config.on_invalid, percent(context.config.rejected_limit)]
        )
    }


STAGE = Stage(
    "check_integrity",
    run,
    _inputs,
    "join_relations",
    "6",
    "Prove that the dataset is one whole, and record the verdict over all stages before.",
)
