"""`on_invalid: quarantine`: whether the dataset can do without its wrong rows, and what is said of
them.

Belongs here: the decision, the limit, the sentences. Does not: finding the rows (`rows.py`), which
errors are about rows (`rules/`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from decimal import ROUND_CEILING, Decimal
from pathlib import Path
from typing import Final

import duckdb

from syndb_pipeline.base.engine import literal, quote
from syndb_pipeline.config.table_settings import LARGEST_FRACTION, percent
from syndb_pipeline.contract.key_encoding import rows_of
from syndb_pipeline.contract.tables import TABLES, ordered
from syndb_pipeline.quarantine.rows import ASIDE, Quarantine, Related
from syndb_pipeline.rules.catalogue import RULES
from syndb_pipeline.rules.finding import MAX_EXAMPLES, Example, Finding
from syndb_pipeline.state.results import Links, RowsSetAside
from syndb_pipeline.state.row_locations import SourceMap
from syndb_pipeline.state.stage import Context

LIMIT_RULE: Final = "SYN-INT-007"


@dataclass(frozen=True)
class Case:
    """What is judged.

    `folders` hold the failing cells of every stage; `findings` are all of theirs. `unconnected` is
    that of `Quarantine.spread`; `unrelated(links)` gives the findings on tables that nothing
    relates, by these links.
    """

    context: Context
    connection: duckdb.DuckDBPyConnection
    sources: SourceMap
    related: Related
    folders: list[Path]
    findings: list[Finding]
    unconnected: Callable[[str], str | None]
    unrelated: Callable[[Links], list[Finding]]


@dataclass(frozen=True)
class Judged:
    """The findings with what became of their rows.

    `rows` gives, by table, those quarantined and how many only depend on others; None when an error
    does not allow it: then every row counts as without quarantine.
    """

    accepted: bool
    findings: list[Finding]
    rows: dict[str, tuple[int, int]] | None = None
    set_aside: dict[str, RowsSetAside] = field(default_factory=dict)


def judge(case: Case, folder: Path) -> Judged:
    """Quarantine the wrong rows and what depends on them, or refuse the dataset.

    It is refused when an error is not about rows, or too many rows would go. Writes `quarantine/`
    into `folder` when it is accepted. Expects at least one error among the findings.
    """
    rows = Quarantine(case.context, case.connection, case.sources, case.related)
    obstacles = _obstacles(case, rows.wrong(case.folders))
    if any(obstacles):
        pairs = zip(case.findings, obstacles, strict=True)
        return Judged(
            False,
            [_changed(f, fix=why and f" It cannot be quarantined: {why}.") for f, why in pairs],
        )
    if doubts := _doubtful_targets(case, rows):
        return Judged(False, [*case.findings, *doubts])
    rows.begin()
    rows.spread(case.unconnected)
    counts = rows.rows()
    read = case.context.ingested.tables
    lost = {name: read[name].rejected + counts.get(name, (0, 0))[0] for name in ordered(read)}
    lost = {name: count for name, count in lost.items() if count}
    if over := _over_limit(case, rows, lost):
        return Judged(False, [*case.findings, over], counts)
    if unrelated := case.unrelated(rows.staying_links()):
        without = "Without the quarantined rows: "
        added = [each.model_copy(update={"message": without + each.message}) for each in unrelated]
        return Judged(False, [*case.findings, *added], counts)
    rows.write(folder)
    gone = " Quarantined, with everything that depends on it."
    findings = [_changed(f, message=gone if f.severity == "error" else "") for f in case.findings]
    aside = {
        name: RowsSetAside(read=read[name].read, rows=count, below=counts.get(name, (0, 0))[1])
        for name, count in lost.items()
    }
    return Judged(True, findings, counts, aside)


def _changed(finding: Finding, *, message: str = "", fix: str = "") -> Finding:
    """`finding` with sentences added to its own."""
    update = {"message": finding.message + message, "fix": finding.fix + fix}
    return finding.model_copy(update=update)


# -- errors that refuse the dataset


def _obstacles(case: Case, cells: Mapping[tuple[str, str], int]) -> list[str]:
    """For each finding, why what it names cannot be quarantined; "" when it can, or is no error."""
    errors = [finding for finding in case.findings if finding.severity == "error"]
    known: Counter[tuple[str, str | None]] = Counter()
    for finding in errors:
        known[finding.code, finding.table] += finding.count
    misread = _misread_columns(case)
    obstacles = []
    for finding in case.findings:
        rule, table = RULES[finding.code], finding.table or ""
        pair_unknown = rule.quarantine == "lines" or (
            "pair" in rule.leaves_open and finding.column != "cid"
        )
        obstacle = ""
        if finding.severity != "error":
            pass
        elif (finding.code, table, finding.column) in misread:
            obstacle = "other values of the column may be read wrongly for the same reason"
        elif rule.quarantine == "dataset" or table not in case.related.tables:
            obstacle = "it is not about single rows"
        elif cells.get((finding.code, table), 0) < known[finding.code, table]:
            obstacle = "its rows are not known one by one"
        elif pair_unknown and case.context.config.tables[table].combine:
            obstacle = (
                f"rows of {table} are combined, and it is not known which pair would lack something"
            )
        obstacles.append(obstacle)
    return obstacles


def _misread_columns(case: Case) -> set[tuple[str, str, str]]:
    """Rule, table and column of failing cells by whose cause cells that pass may be wrong as well.

    Where 1.234,5 is not a number, 1.234 was read as 1 and a bit; where 45 is not a probability but
    a percentage, so is 0.8.
    """
    query = "SELECT DISTINCT code, tbl, col, cause FROM wrong WHERE cause <> ''"
    misread = set()
    for code, table, column, cause in case.connection.execute(query).fetchall():
        grouped = f"thousands {case.context.config.tables[table].decimal}"
        marks = cause.startswith(("comma", "point")) or cause == grouped
        if (code == "SYN-TYPE-001" and marks) or (code == "SYN-VAL-001" and cause == "percent"):
            misread.add((code, table, column))
    return misread


def _doubtful_targets(case: Case, rows: Quarantine) -> list[Finding]:
    """SYN-REL-004 for columns whose table followed from their keys, where another table lost rows
    that could be those the keys name.
    """
    keyless = [code for code, rule in RULES.items() if "key" in rule.leaves_open]
    query = """SELECT tbl, count(DISTINCT row_number) FROM wrong
               WHERE col = 'cid' AND list_contains(?, code) GROUP BY tbl"""
    lost = Counter(dict(rows.ask(query, [keyless])))
    for table in case.related.tables:
        lost[table] += case.context.ingested.tables[table].rejected
    findings = []
    for table, columns in case.related.links.items():
        config = case.context.config.tables[table]
        for column, link in columns.items():
            target = link.target
            if column in config.references or (column == "parent_id" and config.parent):
                continue
            others = (name for name in TABLES[table].columns[column].targets if name != target)
            other = next(
                (o for o in others if lost[o] and _could_be(case, table, column, o, lost[o])), None
            )
            if other:
                key = (
                    f"parent: {target}"
                    if column == "parent_id"
                    else f"references: {{{column}: {target}}}"
                )
                reason = (
                    f"its keys are in {target}, and rows of {other} that could not be read may have"
                    " them too"
                )
                advice = f"If it is {target}, say so: `tables.{table}.{key}`."
                findings.append(
                    case.context.finding(
                        "SYN-REL-004", table=table, column=column, reason=reason, advice=advice
                    )
                )
    return findings


def _could_be(case: Case, table: str, column: str, other: str, lost: int) -> bool:
    """Whether all keys of the column could be rows of `other`, were its `lost` rows there and the
    column's own errors corrected.
    """
    ids = rows_of(case.context.store.stage("assign_ids") / "ids" / f"{other}.parquet")
    source = rows_of(case.related.tables[table], row_number=True)
    [(elsewhere,)] = case.connection.execute(f"""SELECT count(DISTINCT k)
            FROM (SELECT {quote(column)} AS k, file_row_number AS n FROM {source})
            WHERE k IS NOT NULL AND k NOT IN (SELECT key FROM {ids} WHERE key IS NOT NULL)
              AND n NOT IN (SELECT row_number FROM wrong
                            WHERE (tbl, col) = ({literal(table)}, {literal(column)}))""").fetchall()
    return int(elsewhere) <= lost


# -- the limit


def _over_limit(case: Case, rows: Quarantine, lost: Mapping[str, int]) -> Finding | None:
    """SYN-INT-007 for the first table in the hierarchy that would lose too much; what is below it
    follows from it.
    """
    limit = case.context.config.rejected_limit
    whole = {name: each.read for name, each in case.context.ingested.tables.items()}
    over = [
        name for name, count in lost.items() if count > limit * whole[name] or count == whole[name]
    ]
    if not over:
        return None
    table, *others = over
    where, code, most = rows.causes(table)[0]
    shown = ", ".join(f"{name} ({lost[name]:,} of {whole[name]:,})" for name in others)
    empty = [name for name in over if lost[name] == whole[name]]
    needed = max(Decimal(lost[name]) / whole[name] for name in over)
    raised = (needed * 1000).to_integral_value(ROUND_CEILING) / 1000
    advice = f"Correct {code} in {where} first."
    if empty:
        advice += f" No table may become empty: {', '.join(empty)}."
    elif raised <= LARGEST_FRACTION:
        advice += (
            " If SynDB can do without so many rows, raise the limit in the dataset's YAML:"
            f" `max_rejected: {percent(raised)}`."
        )
    count = lost[table]
    allowed = f"and `max_rejected` allows {percent(limit)}"
    return case.context.finding(
        LIMIT_RULE,
        table=table,
        count=count,
        examples=_places(case, rows, table),
        read=f"{whole[table]:,}",
        share=f"{float(100 * Decimal(count) / whole[table]):.3g}%",
        why="so that none is left" if count == whole[table] else allowed,
        also=f"; so would {shown}" if shown else "",
        cause="The cause is" if most == count else f"For {most:,} of them the cause is",
        rule=f"{code} ({RULES[code].title})",
        where=where,
        advice=advice,
    )


def _places(case: Case, rows: Quarantine, table: str) -> list[Example]:
    limit = f"LIMIT {MAX_EXAMPLES}"
    found = rows.ask(f"SELECT row_number FROM {ASIDE} WHERE tbl = ? ORDER BY 1 {limit}", [table])
    if found:
        return [case.sources.example(table, row) for (row,) in found]
    query = f"SELECT file, sheet, line FROM {rows.lines} WHERE tbl = ? ORDER BY file, line {limit}"
    return [
        Example(file=file, sheet=sheet, row=line) for file, sheet, line in rows.ask(query, [table])
    ]
