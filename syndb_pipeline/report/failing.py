"""The failing cells that the stages kept, as one DuckDB view, and how many there are of each
finding.

Belongs here: row numbers back to file, sheet and row in SQL, and which finding tells of which
cells. Does not: writing reports.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import duckdb

from syndb_pipeline.base.engine import given, literal, parquet
from syndb_pipeline.contract.tables import TABLE_ORDER
from syndb_pipeline.rules.finding import Example, Finding
from syndb_pipeline.state.failing_cells import FILE
from syndb_pipeline.state.row_locations import SourceMap
from syndb_pipeline.state.store import DatasetStore

PLACES: Final = 20
"""Places of a finding that a report lists; the CSV lists all."""

FAILING: Final = "failing"
"""Name of the view: failing cells with table, code and the number of the finding that tells of
them.
"""


@dataclass(frozen=True, slots=True)
class Case:
    """A finding with its first places, and how many of its cells are kept (0: only the finding's
    own examples are).
    """

    finding: Finding
    kept: int = 0
    places: Sequence[Example] = field(default_factory=list)

    @property
    def more(self) -> int:
        """Places that are not listed."""
        return max(0, max(self.finding.count, self.kept) - len(self.places))


@dataclass(frozen=True, slots=True)
class _Group:
    """Failing cells of one stage that share rule, table, column and cause."""

    stage: str
    code: str
    table: str
    column: str
    cause: str
    count: int
    first: list[dict[str, object]]


def collect(
    connection: duckdb.DuckDBPyConnection,
    store: DatasetStore,
    stages: Iterable[str],
    findings: Sequence[Finding],
) -> list[Case]:
    """Make the view `failing` in `connection` from what `stages` left, and give a case for each of
    `findings`, in their order.

    The view has the columns tbl, file, sheet, line, col (the lab's name of it), value, code, and
    finding (index in `findings`).
    """
    folders = [
        (stage, store.stage(stage) / FILE)
        for stage in stages
        if (store.stage(stage) / FILE).is_file()
    ]
    selects = [
        f"SELECT {literal(stage)} AS stage, * FROM {parquet(path)}" for stage, path in folders
    ]
    none = (
        "SELECT '' AS stage, '' AS code, '' AS tbl, 0::BIGINT AS row_number, '' AS col, '' AS"
        " value, '' AS cause LIMIT 0"
    )
    connection.execute(
        f"CREATE VIEW kept AS {' UNION ALL '.join(f'({select})' for select in [none, *selects])}"
    )
    sources = SourceMap.read(store.stage("ingest"))
    groups = _groups(connection)
    told = [_finding_of(group, findings, sources) for group in groups]
    _register(connection, sources, groups, told)
    cases = []
    for index, finding in enumerate(findings):
        own = [group for group, number in zip(groups, told, strict=True) if number == index]
        places = sorted(
            ((int(str(place["r"])), group, place["v"]) for group in own for place in group.first),
            key=lambda each: each[0],
        )
        first = [
            sources.example(group.table, row, group.column, None if v is None else str(v))
            for row, group, v in places[:PLACES]
        ]
        kept = sum(group.count for group in own)
        last = [
            example
            for example in finding.examples[-1:]
            if first and kept > len(first) and example not in first
        ]
        cases.append(
            Case(
                finding, kept, [*first[: PLACES - len(last)], *last] if first else finding.examples
            )
        )
    return cases


def _groups(connection: duckdb.DuckDBPyConnection) -> list[_Group]:
    rows = connection.execute(
        f"""SELECT stage, code, tbl, col, cause, count(*), min(struct_pack(r := row_number, v :=
              value), {PLACES})
            FROM kept GROUP BY ALL ORDER BY ALL"""
    ).fetchall()
    return [_Group(*row) for row in rows]


def _finding_of(group: _Group, findings: Sequence[Finding], sources: SourceMap) -> int | None:
    """The index of the finding that tells of `group`: of several on one column, the one with its
    count and its first place.

    Rules that are told by a summary have one finding for all their cells. None when none is about
    this table and rule.
    """
    near = [
        index
        for index, finding in enumerate(findings)
        if (finding.code, finding.table) == (group.code, group.table)
    ]
    near = [index for index in near if findings[index].column == group.column] or near
    place = group.first[0]
    value = place["v"]
    first = sources.example(
        group.table, int(str(place["r"])), group.column, None if value is None else str(value)
    )
    exact = [
        index
        for index in near
        if findings[index].count == group.count and first in findings[index].examples[:1]
    ]
    return next(iter([*exact, *near]), None)


def _register(
    connection: duckdb.DuckDBPyConnection,
    sources: SourceMap,
    groups: list[_Group],
    told: list[int | None],
) -> None:
    """Give DuckDB the places of rows and the findings of groups, and define the view over them.

    A segment is a run of rows of one file whose lines follow each other: line = row_number + shift.
    """
    segments: dict[tuple[str, int], tuple[str, int, str, int, str, str | None, int]] = {}
    named: list[tuple[int, str, str]] = []
    number = 0
    for table, parts in sources.tables.items():
        for part in parts:
            for index, lines in [(0, 0), *part.jumps]:
                start = part.first_row + index
                shift = part.first_line - part.first_row + lines
                segments[table, start] = (
                    table,
                    start,
                    part.file,
                    number,
                    part.file,
                    part.sheet,
                    shift,
                )
            named += [(number, column, name) for column, name in part.columns.items()]
            number += 1
    frames: dict[str, tuple[dict[str, str], list[tuple[Any, ...]]]] = {
        "segments": (
            {
                "tbl": "VARCHAR",
                "start": "BIGINT",
                "source": "BIGINT",
                "file": "VARCHAR",
                "sheet": "VARCHAR",
                "shift": "BIGINT",
            },
            [
                (tbl, start, source, file, sheet, shift)
                for tbl, start, _, source, file, sheet, shift in segments.values()
            ],
        ),
        "names": ({"source": "BIGINT", "col": "VARCHAR", "lab": "VARCHAR"}, [*named]),
        "told": (
            dict.fromkeys(("stage", "code", "tbl", "col", "cause"), "VARCHAR")
            | {"finding": "BIGINT"},
            [
                (group.stage, group.code, group.table, group.column, group.cause, index)
                for group, index in zip(groups, told, strict=True)
            ],
        ),
        "tables": (
            {"tbl": "VARCHAR", "place": "BIGINT"},
            [(table, place) for place, table in enumerate(TABLE_ORDER)],
        ),
    }
    for name, (columns, rows) in frames.items():
        with given(connection, "frame", columns, rows):
            connection.execute(f"CREATE TEMP TABLE {name} AS FROM frame")
    connection.execute(f"""CREATE VIEW {FAILING} AS
            SELECT tables.place, kept.tbl, row_number, segments.file, segments.sheet, row_number +
              shift AS line,
                   coalesce(names.lab, kept.col) AS col, kept.value, kept.code, told.finding
            FROM kept JOIN told USING (stage, code, tbl, col, cause) JOIN tables USING (tbl)
            ASOF JOIN segments ON kept.tbl = segments.tbl AND kept.row_number >= segments.start
            LEFT JOIN names ON names.source = segments.source AND names.col = kept.col""")
