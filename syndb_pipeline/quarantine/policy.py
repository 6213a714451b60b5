"""`on_invalid: quarantine`: whether the dataset can do without its wrong rows, and what is said of
them.

Belongs here: the decision, the limit, the sentences. Does not: finding the rows (`rows.py`), which
errors are about rows (`rules/`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from decimal import ROUND_CEILING, Decimal
from pathlib import Path
from typing import Any, Final

import duckdb

from syndb_pipeline.base.engine import literal, parquet, quote
from syndb_pipeline.config.quarantine_settings import LARGEST_FRACTION, percent
from syndb_pipeline.contract.key_encoding import rows_of
from syndb_pipeline.contract.tables import TABLES, ordered
from syndb_pipeline.quarantine.rows import Related, SetAside
from syndb_pipeline.rules.catalogue import RULES
from syndb_pipeline.rules.finding import MAX_EXAMPLES, Example, Finding
from syndb_pipeline.state.row_locations import SourceMap
from syndb_pipeline.state.stage import Context

LIMIT_RULE: Final = "SYN-INT-007"


@dataclass(frozen=True)
class Case:
    """What is judged. `folders` hold the failing cells of every stage; `findings` are all of
    theirs.

    `astray` is that of `SetAside.spread`; `unrelated(links)` gives the findings on tables that
    nothing relates, by these links.
    """

    context: Context
    connection: duckdb.DuckDBPyConnection
    sources: SourceMap
    related: Related
    folders: list[Path]
    findings: list[Finding]
    astray: Callable[[str], str | None]
    unrelated: Callable[[dict[str, dict[str, dict[str, Any]]]], list[Finding]]


@dataclass(frozen=True)
class Judged:
    """The findings with what became of their rows; `rows` gives those quarantined and how many only
    depend on others, by table.

    `rows` is None when an error does not allow it: then every row counts as without quarantine.
    """

    accepted: bool
    findings: list[Finding]
    rows: dict[str, tuple[int, int]] | None = None
    details: dict[str, Any] = field(default_factory=dict)


def judge(case: Case, folder: Path) -> Judged:
    """Set the wrong rows aside, with everything below them, when every error is about rows and the
    limit holds; else refuse.

    Writes `quarantine/` into `folder` when the dataset is accepted. Expects at least one error
    among the findings.
    """
    aside = SetAside(case.context, case.connection, case.sources, case.related)
    cells = aside.wrong(case.folders)
    obstacles = _obstacles(case, cells, _misread_columns(case))
    if any(obstacles):
        return Judged(
            False,
            [
                _told(finding, obstacle)
                for finding, obstacle in zip(case.findings, obstacles, strict=True)
            ],
        )
    if doubts := _doubtful_targets(case):
        return Judged(False, [*case.findings, *doubts])
    aside.begin()
    aside.spread(case.astray)
    rows = aside.rows()
    if over := _over_limit(case, aside, rows):
        return Judged(False, [*case.findings, *over], rows)
    if lost := case.unrelated(aside.staying_links()):
        told = [
            finding.model_copy(
                update={"message": f"Without the quarantined rows: {finding.message}"}
            )
            for finding in lost
        ]
        return Judged(False, [*case.findings, *told], rows)
    aside.write(folder)
    findings = [
        _set_aside(finding) if finding.severity == "error" else finding for finding in case.findings
    ]
    return Judged(True, findings, rows, {"set_aside": _details(case, rows)})


def _details(case: Case, rows: Mapping[str, tuple[int, int]]) -> dict[str, Any]:
    read = case.context.upstream("ingest").tables
    lost = {
        name: (read[name].rejected + rows.get(name, (0, 0))[0], rows.get(name, (0, 0))[1])
        for name in ordered(read)
    }
    return {
        name: {"read": read[name].read, "rows": count, "below": below}
        for name, (count, below) in lost.items()
        if count
    }


# -- errors that refuse the dataset


def _misread_columns(case: Case) -> set[tuple[str, str, str]]:
    """Rule, table and column of failing cells whose cause says that cells which did not fail may
    mean something else as well.

    Where 1.234,5 is no number, 1.234 was read as 1 and a bit; where 45 is no probability but a
    percentage, so is 0.8.
    """
    found = case.connection.execute(
        "SELECT DISTINCT code, tbl, col, cause FROM wrong WHERE cause <> ''"
    ).fetchall()
    misread = set()
    for code, table, column, cause in found:
        marks = code == "SYN-TYPE-001" and (
            cause.startswith(("comma", "point"))
            or cause == f"thousands {case.context.config.tables[table].decimal}"
        )
        if marks or (code == "SYN-VAL-001" and cause == "percent"):
            misread.add((code, table, column))
    return misread


def _obstacles(
    case: Case, cells: Mapping[tuple[str, str], int], misread: set[tuple[str, str, str]]
) -> list[str]:
    """For each finding, why what it names cannot be quarantined; "" when it can, or is no error."""
    told: dict[tuple[str, str], int] = {}
    for finding in case.findings:
        if finding.severity == "error" and finding.table:
            told[finding.code, finding.table] = (
                told.get((finding.code, finding.table), 0) + finding.count
            )
    obstacles = []
    for finding in case.findings:
        obstacle = _obstacle(case, finding, cells, told) if finding.severity == "error" else ""
        if finding.severity == "error" and (finding.code, finding.table, finding.column) in misread:
            obstacle = "other values of the column may be read wrongly for the same reason"
        obstacles.append(obstacle)
    return obstacles


def _obstacle(
    case: Case,
    finding: Finding,
    cells: Mapping[tuple[str, str], int],
    told: Mapping[tuple[str, str], int],
) -> str:
    rule = RULES[finding.code]
    table = finding.table or ""
    if rule.quarantine == "dataset" or table not in case.related.tables:
        return "it is not about single rows"
    if cells.get((finding.code, table), 0) < told[finding.code, table]:
        return "its rows are not known one by one"
    pair_unknown = rule.quarantine == "lines" or (
        "pair" in rule.leaves_open and finding.column != "cid"
    )
    if pair_unknown and case.context.config.tables[table].combine:
        return f"rows of {table} are combined, and it is not known which pair would lack something"
    return ""


def _told(finding: Finding, obstacle: str) -> Finding:
    if not obstacle:
        return finding
    return finding.model_copy(
        update={"fix": f"{finding.fix} It cannot be quarantined: {obstacle}."}
    )


def _doubtful_targets(case: Case) -> list[Finding]:
    """SYN-REL-004 for columns whose table was told from their keys, where another table lost rows
    that could be those the keys name.
    """
    lost: dict[str, int] = {}
    for table in case.related.tables:
        unread = case.context.upstream("ingest").tables[table].rejected
        (keyless,) = case.connection.execute(
            """SELECT count(DISTINCT row_number) FROM wrong
               WHERE tbl = ? AND col = 'cid' AND list_contains(?, code)""",
            [table, [code for code, rule in RULES.items() if "key" in rule.leaves_open]],
        ).fetchone() or (0,)
        if unread + keyless:
            lost[table] = unread + int(keyless)
    findings = []
    for table, columns in case.related.links.items():
        config = case.context.config.tables[table]
        for column, link in columns.items():
            if column in config.references or (column == "parent_id" and config.parent):
                continue
            others = [
                name
                for name in TABLES[table].columns[column].targets
                if name in lost and name != link["target"]
            ]
            for other in others:
                if _could_be(case, table, column, other, lost[other]):
                    key = (
                        f"parent: {link['target']}"
                        if column == "parent_id"
                        else f"references: {{{column}: {link['target']}}}"
                    )
                    reason = (
                        f"its keys are in {link['target']}, and rows of {other} that could not be"
                        " read may have them too"
                    )
                    advice = f"If it is {link['target']}, say so: `tables.{table}.{key}`."
                    findings.append(
                        case.context.finding(
                            "SYN-REL-004", table=table, column=column, reason=reason, advice=advice
                        )
                    )
                    break
    return findings


def _could_be(case: Case, table: str, column: str, other: str, lost: int) -> bool:
    """Whether all keys of the column could be rows of `other`, were its `lost` rows there and the
    column's own errors mended.
    """
    ids = case.context.store.stage("assign_ids") / "ids" / f"{other}.parquet"
    (elsewhere,) = case.connection.execute(
        f"""SELECT count(DISTINCT k) FROM (SELECT {quote(column)} AS k, file_row_number AS n
                FROM {rows_of(case.related.tables[table], row_number=True)})
            WHERE k IS NOT NULL AND k NOT IN (SELECT key FROM {rows_of(ids)} WHERE key IS NOT NULL)
              AND n NOT IN (SELECT row_number FROM wrong WHERE tbl = {literal(table)} AND col =
                {literal(column)})"""
    ).fetchone() or (0,)
    return int(elsewhere) <= lost


# -- the limit


def _over_limit(case: Case, aside: SetAside, rows: Mapping[str, tuple[int, int]]) -> list[Finding]:
    """SYN-INT-007, once: for the first table in the hierarchy that would lose too much; what lies
    below it follows from it.
    """
    limit = case.context.config.rejected_limit
    read = case.context.upstream("ingest").tables
    over: dict[str, int] = {}
    for name in ordered(read):
        count = read[name].rejected + rows.get(name, (0, 0))[0]
        if count and (count > limit * read[name].read or count == read[name].read):
            over[name] = count
    if not over:
        return []
    table, *others = over
    count, whole = over[table], read[table].read
    where, code, most = aside.causes(table)[0]
    shown = {name: f"{name} ({over[name]:,} of {read[name].read:,})" for name in others}
    also = f"; so would {', '.join(shown.values())}" if shown else ""
    needed = max(Decimal(over[name]) / read[name].read for name in over)
    empty = [name for name in over if over[name] == read[name].read]
    raised = (needed * 1000).to_integral_value(ROUND_CEILING) / 1000
    advice = f"Correct {code} in {where} first."
    if empty:
        advice += f" No table may become empty: {', '.join(empty)}."
    elif raised <= LARGEST_FRACTION:
        advice += (
            " If SynDB can do without so many rows, raise the limit in the dataset's YAML:"
            f" `max_rejected: {percent(raised)}`."
        )
    return [
        case.context.finding(
            LIMIT_RULE,
            table=table,
            count=count,
            examples=_places(case, aside, table),
            read=f"{whole:,}",
            share=_shown_share(count, whole),
            why=(
                "so that none is left"
                if count == whole
                else f"and `max_rejected` allows {percent(limit)}"
            ),
            also=also,
            cause="The cause is" if most == count else f"For {most:,} of them the cause is",
            rule=f"{code} ({RULES[code].title})",
            where=where,
            advice=advice,
        )
    ]


def _shown_share(count: int, whole: int) -> str:
    return f"{float(100 * Decimal(count) / whole):.3g}%"


def _places(case: Case, aside: SetAside, table: str) -> list[Example]:
    places = [case.sources.example(table, row) for row in aside.first(table, MAX_EXAMPLES)]
    if places or not aside.lines.is_file():
        return places
    lines = case.connection.execute(
        f"SELECT file, sheet, line FROM {parquet(aside.lines)} WHERE tbl = ? ORDER BY file, line"
        f" LIMIT {MAX_EXAMPLES}",
        [table],
    ).fetchall()
    return [Example(file=file, sheet=sheet, row=line) for file, sheet, line in lines]


def _set_aside(finding: Finding) -> Finding:
    return finding.model_copy(
        update={"message": f"{finding.message} Quarantined, with everything that depends on it."}
    )
