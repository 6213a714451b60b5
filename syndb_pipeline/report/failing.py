"""The failing cells that the stages kept, as one DuckDB view, and how many there are of each
finding.

Belongs here: row numbers back to file, sheet and row in SQL, and which finding is about which
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
from syndb_pipeline.state.row_locations import SourceMap
from syndb_pipeline.state.store import DatasetStore
from syndb_pipeline.state.tables import FILE

PLACES: Final = 20
"""Places of a finding that a report lists; the CSV lists all."""

FAILING: Final = "failing"
"""Name of the view: failing cells with table, code and the number of the finding about them."""

_KEY: Final = ("stage", "code", "tbl", "col", "cause")
"""What failing cells of one group share."""


@dataclass(frozen=True, slots=True)
class Case:
    """A finding with its first places, and how many cells are kept (0: only the examples are)."""

    finding: Finding
    kept: int = 0
    places: Sequence[Example] = field(default_factory=list)

    @property
    def more(self) -> int:
        """Places that are not listed."""
        return max(0, max(self.finding.count, self.kept) - len(self.places))


@dataclass(frozen=True, slots=True)
class _Group:
    """Failing cells of one stage that share rule, table, column and cause; `places` are the
    first.
    """

    key: tuple[str, ...]
    count: int
    places: list[tuple[int, Example]]


def collect(
    connection: duckdb.DuckDBPyConnection,
    store: DatasetStore,
    stages: Iterable[str],
    findings: Sequence[Finding],
) -> list[Case]:
    """Make the view `failing` of what `stages` left, and give a case for each of `findings`.

    The view has the columns tbl, file, sheet, line, col (the lab's name of it), value, code, and
    finding (index in `findings`).
    """
    none = (
        "SELECT ''::VARCHAR AS stage, ''::VARCHAR AS code, ''::VARCHAR AS tbl, 0::BIGINT AS"
        " row_number, "
    )
    selects = [f"{none}''::VARCHAR AS col, ''::VARCHAR AS value, ''::VARCHAR AS cause LIMIT 0"]
    for stage in stages:
        path = store.stage(stage) / FILE
        if path.is_file():
            selects.append(f"SELECT {literal(stage)} AS stage, * FROM {parquet(path)}")
    union = " UNION ALL ".join(f"({select})" for select in selects)
    connection.execute(f"CREATE VIEW kept AS {union}")
    sources = SourceMap.read(store.stage("ingest"))
    groups = _groups(connection, sources)
    numbers = [_finding_of(group, findings) for group in groups]
    _define_view(connection, sources, [(*g.key, n) for g, n in zip(groups, numbers, strict=True)])
    cases = []
    for index, finding in enumerate(findings):
        own = [group for group, number in zip(groups, numbers, strict=True) if number == index]
        places = sorted(
            (place for group in own for place in group.places), key=lambda place: place[0]
        )
        first = [example for _, example in places[:PLACES]]
        kept = sum(group.count for group in own)
        if first and kept > len(first) and finding.examples and finding.examples[-1] not in first:
            first = [*first[: PLACES - 1], finding.examples[-1]]
        cases.append(Case(finding, kept, first or finding.examples))
    return cases


def _groups(connection: duckdb.DuckDBPyConnection, sources: SourceMap) -> list[_Group]:
    rows = connection.execute(f"""SELECT {", ".join(_KEY)}, count(*),
                   min(struct_pack(r := row_number, v := value), {PLACES}) AS places
            FROM kept GROUP BY ALL ORDER BY ALL""").fetchall()
    groups = []
    for *key, count, first in rows:
        _, _, table, column, _ = key
        places = [
            (place["r"], sources.example(table, place["r"], column, place["v"])) for place in first
        ]
        groups.append(_Group(tuple(key), count, places))
    return groups


def _finding_of(group: _Group, findings: Sequence[Finding]) -> int | None:
    """The index of the finding about `group`: of several on one column, that with its count and
    place.

    Rules that are reported in summary have one finding for all their cells. None without a finding.
    """
    _, code, table, column, _ = group.key
    near = [n for n, found in enumerate(findings) if (found.code, found.table) == (code, table)]
    near = [n for n in near if findings[n].column == column] or near
    first = group.places[0][1]
    exact = [
        n for n in near if findings[n].count == group.count and first in findings[n].examples[:1]
    ]
    return next(iter([*exact, *near]), None)


def _define_view(
    connection: duckdb.DuckDBPyConnection, sources: SourceMap, groups: list[tuple[Any, ...]]
) -> None:
    """Give DuckDB the places of rows and the findings of `groups`, and define the view over them.

    A segment is a run of rows of one file whose lines follow each other: line = row_number + shift.
    """
    segments: dict[tuple[str, int], tuple[Any, ...]] = {}
    names: list[tuple[int, str, str]] = []
    parts = [(table, part) for table, own in sources.tables.items() for part in own]
    for number, (table, part) in enumerate(parts):
        for index, lines in [(0, 0), *part.jumps]:
            start, shift = part.first_row + index, part.first_line - part.first_row + lines
            segments[table, start] = (table, start, number, part.file, part.sheet, shift)
        names += [(number, column, name) for column, name in part.columns.items()]
    text, number_type = "VARCHAR", "BIGINT"
    segment = {
        "tbl": text,
        "start": number_type,
        "source": number_type,
        "file": text,
        "sheet": text,
    }
    frames: dict[str, tuple[dict[str, str], Iterable[tuple[Any, ...]]]] = {
        "segments": (segment | {"shift": number_type}, segments.values()),
        "names": ({"source": number_type, "col": text, "lab": text}, names),
        "reported": (dict.fromkeys(_KEY, text) | {"finding": number_type}, groups),
        "tables": (
            {"tbl": text, "place": number_type},
            [(t, n) for n, t in enumerate(TABLE_ORDER)],
        ),
    }
    for name, (columns, rows) in frames.items():
        with given(connection, "frame", columns, rows):
            connection.execute(f"CREATE TEMP TABLE {name} AS FROM frame")
    connection.execute(f"""CREATE VIEW {FAILING} AS
            SELECT tables.place, kept.tbl, row_number, segments.file, segments.sheet,
                   row_number + shift AS line, coalesce(names.lab, kept.col) AS col,
                   kept.value, kept.code, reported.finding
            FROM kept JOIN reported USING ({", ".join(_KEY)}) JOIN tables USING (tbl)
            ASOF JOIN segments ON kept.tbl = segments.tbl AND kept.row_number >= segments.start
            LEFT JOIN names ON names.source = segments.source AND names.col = kept.col""")
