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

from syndb_pipeline.base.engine import literal, quote
from syndb_pipeline.checks.references.declared_totals import Related
from syndb_pipeline.config.table_settings import LARGEST_FRACTION, percent
from syndb_pipeline.contract.key_encoding import rows_of
from syndb_pipeline.contract.tables import TABLES, ordered
from syndb_pipeline.quarantine.rows import ASIDE, Quarantine
from syndb_pipeline.rules.catalogue import RULES
from syndb_pipeline.rules.finding import MAX_EXAMPLES, Example, Finding
from syndb_pipeline.state.results import Links, RowsSetAside

LIMIT_RULE: Final = "SYN-INT-007"


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


@dataclass(frozen=True)
class Case:
    """What is judged.

    `folders` hold the failing cells of every stage; `findings` are all of theirs. `unconnected` is
    that of `Quarantine.spread`; `unrelated(links)` gives the findings on tables that nothing
    relates, by these links.
    """

    data: Related
    folders: list[Path]
    findings: list[Finding]
    unconnected: Callable[[str], str | None]
    unrelated: Callable[[Links], list[Finding]]

    def judge(self, folder: Path) -> Judged:
        """Quarantine the wrong rows and what depends on them, or refuse the dataset.

        It is refused when an error is not about rows, or too many rows would go. Writes
        `quarantine/` into `folder` when it is accepted. Expects at least one error among the
        findings.
        """
        rows = Quarantine(self.data)
        obstacles = self._obstacles(rows.wrong(self.folders))
        if any(obstacles):
            pairs = zip(self.findings, obstacles, strict=True)
            refused = [
                _changed(f, fix=why and f" It cannot be quarantined: {why}.") for f, why in pairs
            ]
            return Judged(False, refused)
        if doubts := self._doubtful_targets():
            return Judged(False, [*self.findings, *doubts])
        rows.begin()
        rows.spread(self.unconnected)
        counts = rows.rows()
        read = self.data.context.ingested.tables
        lost = {name: read[name].rejected + counts.get(name, (0, 0))[0] for name in ordered(read)}
        lost = {name: count for name, count in lost.items() if count}
        if over := self._over_limit(rows, lost):
            return Judged(False, [*self.findings, over], counts)
        if unrelated := self.unrelated(rows.staying_links()):
            without = "Without the quarantined rows: "
            added = [f.model_copy(update={"message": without + f.message}) for f in unrelated]
            return Judged(False, [*self.findings, *added], counts)
        rows.write(folder)
        gone = " Quarantined, with everything that depends on it."
        aside = {
            name: RowsSetAside(read=read[name].read, rows=count, below=counts.get(name, (0, 0))[1])
            for name, count in lost.items()
        }
        findings = [
            _changed(each, message=gone if each.severity == "error" else "")
            for each in self.findings
        ]
        return Judged(True, findings, counts, aside)

    # -- errors that refuse the dataset

    def _obstacles(self, cells: Mapping[tuple[str, str], int]) -> list[str]:
        """For each finding, why what it names cannot be quarantined; "" when it can, or is no
        error.
        """
        known: Counter[tuple[str, str | None]] = Counter()
        for finding in self.findings:
            if finding.severity == "error":
                known[finding.code, finding.table] += finding.count
        misread = self._misread_columns()

        def obstacle(finding: Finding) -> str:
            rule, table = RULES[finding.code], finding.table or ""
            if finding.severity != "error":
                return ""
            if (finding.code, table, finding.column) in misread:
                return "other values of the column may be read wrongly for the same reason"
            if rule.quarantine == "dataset" or table not in self.data.tables:
                return "it is not about single rows"
            if cells.get((finding.code, table), 0) < known[finding.code, table]:
                return "its rows are not known one by one"
            pair_unknown = rule.quarantine == "lines" or (
                "pair" in rule.leaves_open and finding.column != "cid"
            )
            if pair_unknown and self.data.context.config.tables[table].combine:
                return (
                    f"rows of {table} are combined, and it is not known which pair would lack"
                    " something"
                )
            return ""

        return [obstacle(finding) for finding in self.findings]

    def _misread_columns(self) -> set[tuple[str, str, str]]:
        """Rule, table and column of failing cells by whose cause cells that pass may be wrong as
        well.

        Where 1.234,5 is not a number, 1.234 was read as 1 and a bit; where 45 is not a probability
        but a percentage, so is 0.8.
        """
        query = "SELECT DISTINCT code, tbl, col, cause FROM wrong WHERE cause <> ''"
        misread = set()
        for code, table, column, cause in self.data.fetch(query):
            grouped = f"thousands {self.data.context.config.tables[table].decimal}"
            marks = cause.startswith(("comma", "point")) or cause == grouped
            if (code == "SYN-TYPE-001" and marks) or (code == "SYN-VAL-001" and cause == "percent"):
                misread.add((code, table, column))
        return misread

    def _doubtful_targets(self) -> list[Finding]:
        """SYN-REL-004 for columns whose table followed from their keys, where another table lost
        rows that could be those the keys name.
        """
        context = self.data.context
        keyless = [code for code, rule in RULES.items() if "key" in rule.leaves_open]
        query = f"""SELECT tbl, count(DISTINCT row_number) FROM wrong
                    WHERE col = 'cid' AND list_contains({literal(keyless)}, code) GROUP BY tbl"""
        lost = Counter(dict(self.data.fetch(query)))
        for table in self.data.tables:
            lost[table] += context.ingested.tables[table].rejected
        findings = []
        for table, columns in self.data.links.items():
            config = context.config.tables[table]
            for column, link in columns.items():
                parent = column == "parent_id"
                if column in config.references or (parent and config.parent):
                    continue
                others = [o for o in TABLES[table].columns[column].targets if o != link.target]
                could_be = (o for o in others if lost[o] and self._fits(table, column, o, lost[o]))
                if other := next(could_be, None):
                    said = f"{column}: {link.target}"
                    key = f"parent: {link.target}" if parent else f"references: {{{said}}}"
                    findings.append(
                        context.finding(
                            "SYN-REL-004",
                            table=table,
                            column=column,
                            reason=f"its keys are in {link.target}, and rows of {other} that could"
                            " not be read may have them too",
                            advice=f"If it is {link.target}, say so: `tables.{table}.{key}`.",
                        )
                    )
        return findings

    def _fits(self, table: str, column: str, other: str, lost: int) -> bool:
        """Whether all keys of the column could be rows of `other`, were its `lost` rows there and
        the column's own errors corrected.
        """
        source = rows_of(self.data.tables[table], row_number=True)
        (elsewhere,) = self.data.row(f"""SELECT count(DISTINCT k)
            FROM (SELECT {quote(column)} AS k, file_row_number AS n FROM {source})
            WHERE k NOT IN (SELECT key FROM {rows_of(self.data.ids[other])} WHERE key IS NOT NULL)
              AND n NOT IN (SELECT row_number FROM wrong
                            WHERE (tbl, col) = ({literal(table)}, {literal(column)}))""")
        return int(elsewhere) <= lost

    # -- the limit

    def _over_limit(self, rows: Quarantine, lost: Mapping[str, int]) -> Finding | None:
        """SYN-INT-007 for the first table in the hierarchy that would lose too much; what is below
        it follows from it.
        """
        context = self.data.context
        limit = context.config.rejected_limit
        whole = {name: each.read for name, each in context.ingested.tables.items()}
        over = [name for name, n in lost.items() if n > limit * whole[name] or n == whole[name]]
        if not over:
            return None
        table, *others = over
        count = lost[table]
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
        allowed = f"and `max_rejected` allows {percent(limit)}"
        return context.finding(
            LIMIT_RULE,
            table=table,
            count=count,
            examples=self._places(rows, table),
            read=f"{whole[table]:,}",
            share=f"{float(100 * Decimal(count) / whole[table]):.3g}%",
            why="so that none is left" if table in empty else allowed,
            also=f"; so would {shown}" if shown else "",
            cause="The cause is" if most == count else f"For {most:,} of them the cause is",
            rule=f"{code} ({RULES[code].title})",
            where=where,
            advice=advice,
        )

    def _places(self, rows: Quarantine, table: str) -> list[Example]:
        first = f"WHERE tbl = {literal(table)} ORDER BY ALL LIMIT {MAX_EXAMPLES}"
        if found := self.data.fetch(f"SELECT row_number, tbl FROM {ASIDE} {first}"):
            return [self.data.sources.example(table, row) for row, _ in found]
        lines = self.data.fetch(f"SELECT file, line, sheet FROM {rows.lines} {first}")
        return [Example(file=file, sheet=sheet, row=line) for file, line, sheet in lines]


def _changed(finding: Finding, *, message: str = "", fix: str = "") -> Finding:
    """`finding` with sentences added to its own."""
    update = {"message": finding.message + message, "fix": finding.fix + fix}
    return finding.model_copy(update=update)
