"""Quarantined rows: those with an error and, level by level, all that depend on them; written to
files of their own.

Belongs here: finding and writing them, in DuckDB. Does not: which errors allow it and how much may
go (`quarantine.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import duckdb

from syndb_pipeline.base.engine import given, literal, parquet, quote, write_parquet
from syndb_pipeline.contract.key_encoding import rows_of
from syndb_pipeline.contract.tables import TABLES, ordered
from syndb_pipeline.readers.casts import CELLS, cells_of
from syndb_pipeline.rules.catalogue import RULES
from syndb_pipeline.state.failing_cells import error_cells
from syndb_pipeline.state.row_locations import UNREADABLE_FILE, SourceMap
from syndb_pipeline.state.stage import Context
from syndb_pipeline.state.tables import columns_of, written

ASIDE: Final = "aside"
"""Name of the DuckDB table. Columns: tbl, row_number, codes (of its own errors, '' when it only
depends on another row), reason, of and cause (table and rule where it began), round (0: its own
error; each round depends on the one before).
"""

FOLDER: Final = "quarantine"

_REPEATED: Final = ("SYN-ID-002", "SYN-REL-006")
"""Rules that name the second and further rows of a key or pair."""

_ASTRAY: Final = "SYN-INT-002"


@dataclass(frozen=True)
class Related:
    """Tables, and the UUIDs that their rows name: `links` gives table -> column -> {"target":
    table}.
    """

    tables: Mapping[str, Path]
    relations: Mapping[str, Path]
    links: Mapping[str, Mapping[str, Mapping[str, Any]]]

    def references(self, table: str) -> dict[str, str]:
        """Column of the table's relations -> the table whose rows it names. `neuron_id` also where
        it only follows from the parents.
        """
        found = {column: str(link["target"]) for column, link in self.links.get(table, {}).items()}
        if "parent_id" in found and "neuron" in self.tables and table != "synapse":
            found["neuron_id"] = "neuron"
        return found if table in self.relations else {}


def _as_written(column: str) -> str:
    """SQL of a cell as text: as the lab wrote it where ingest kept that, else as it was read."""
    raw = f"list_filter({cells_of(f't.{CELLS}')}, lambda cell: cell.col = {literal(column)})[1].raw"
    read = f"t.{quote(column)}::VARCHAR"
    return (
        f"CASE WHEN t.{CELLS} IS NULL THEN {read} ELSE coalesce({raw}, {read}) END AS"
        f" {quote(column)}"
    )


class SetAside:
    """The rows of a dataset that are quarantined, in the DuckDB table `aside`, and the lines that
    could not be read.
    """

    def __init__(
        self,
        context: Context,
        connection: duckdb.DuckDBPyConnection,
        sources: SourceMap,
        related: Related,
    ) -> None:
        self.context = context
        self.connection = connection
        self.sources = sources
        self.related = related
        self.ids = written(context, "assign_ids", "ids")
        self.lines = context.store.stage("ingest") / UNREADABLE_FILE
        titles = [(rule.code, rule.title) for rule in RULES.values()]
        self._table("titles", {"code": "VARCHAR", "title": "VARCHAR"}, titles)
        connection.execute(
            f"""CREATE OR REPLACE TEMP TABLE {ASIDE} (tbl VARCHAR NOT NULL, row_number BIGINT NOT
                  NULL, codes VARCHAR, reason VARCHAR,
                "of" VARCHAR, cause VARCHAR, round INTEGER);
                CREATE OR REPLACE TEMP TABLE gone (tbl VARCHAR, cid UUID, key VARCHAR, "of" VARCHAR,
                  cause VARCHAR, round INTEGER)"""
        )

    def _table(self, name: str, columns: dict[str, str], rows: Sequence[Sequence[Any]]) -> None:
        with given(self.connection, "frame", columns, rows):
            self.connection.execute(f"CREATE OR REPLACE TEMP TABLE {name} AS FROM frame")

    def _count(self, query: str) -> int:
        (count,) = self.connection.execute(query).fetchone() or (0,)
        return int(count)

    # -- rows with an error

    def wrong(self, folders: list[Path]) -> dict[tuple[str, str], int]:
        """Take the failing cells of stage `folders`; gives how many cells, or unreadable lines,
        each rule and table has.
        """
        self.connection.execute(
            f"CREATE OR REPLACE TEMP TABLE wrong AS {error_cells(self.context, folders)}"
        )
        query = "SELECT code, tbl, count(*) FROM wrong GROUP BY ALL"
        if self.lines.is_file():
            query += (
                f" UNION ALL SELECT code, tbl, count(*) FROM {parquet(self.lines)} GROUP BY ALL"
            )
        return {
            (code, table): int(count)
            for code, table, count in self.connection.execute(query).fetchall()
        }

    def begin(self) -> None:
        """Set rows with an error aside. Nobody knows which of several rows of a key is right:
        unless they are copies, all of them go.
        """
        for code, table in self.connection.execute(
            f"SELECT DISTINCT code, tbl FROM wrong WHERE code IN {_REPEATED}"
        ).fetchall():
            self._add_differing(code, table)
        self.connection.execute(f"""INSERT INTO {ASIDE}
                SELECT tbl, row_number, string_agg(DISTINCT code, ', ' ORDER BY code),
                       string_agg(DISTINCT title || ' (' || col || ')', '; ' ORDER BY title || ' ('
                         || col || ')'), tbl, min(code), 0
                FROM wrong JOIN titles USING (code) GROUP BY tbl, row_number""")

    def _add_differing(self, code: str, table: str) -> None:
        """Add all rows of keys, or pairs, whose rows are not copies of one another; of copies, the
        first stays.
        """
        path = self.related.tables[table]
        key = (TABLES[table].pair or ()) if code == "SYN-REL-006" else ("cid",)
        keys = ", ".join(quote(column) for column in key)
        source = rows_of(path, row_number=True)
        whole = ", ".join(quote(column) for column in [*columns_of(path), CELLS])
        named = (
            f"SELECT row_number FROM wrong WHERE code = {literal(code)} AND tbl = {literal(table)}"
        )
        self.connection.execute(f"""INSERT INTO wrong
                WITH named AS (SELECT DISTINCT {keys} FROM {source} WHERE file_row_number IN
                  ({named})),
                rows AS (SELECT file_row_number AS n, {keys}, row({whole}) AS whole FROM {source}
                  JOIN named USING ({keys})),
                differing AS (SELECT {keys} FROM rows GROUP BY {keys} HAVING count(DISTINCT whole) >
                  1)
                SELECT {literal(table)}, n, {literal(list(key)[-1])}, {literal(code)}, '' FROM rows
                  JOIN differing USING ({keys})
                WHERE n NOT IN ({named})""")

    # -- rows that depend on them

    def spread(self, astray: Callable[[str], str | None]) -> None:
        """Quarantine, until nothing more is found, every row that names a quarantined one.

        `astray(aside)` is a query for the numbers of synapses that lead to no neuron but through
        rows of the table `aside`, or None.
        """
        turn = 0
        while True:
            self._go(turn)
            if not sum(
                self._below(table, turn) for table in self.related.tables
            ) and not self._astray(astray(ASIDE), turn):
                break
            turn += 1
        for table in self.related.tables:
            if TABLES[table].pair and self.context.config.tables[table].combine:
                self._whole_pairs(table, turn)

    def _go(self, turn: int) -> None:
        """Note the UUIDs of the quarantined rows in this turn, but for those that a row which stays
        has as well.
        """
        named = {
            target
            for table in self.related.tables
            for target in self.related.references(table).values()
        }
        for table in ordered(named):
            ids = rows_of(self.ids[table], row_number=True)
            mine = (
                f'SELECT row_number, "of", cause, round FROM {ASIDE} WHERE tbl = {literal(table)}'
            )
            self.connection.execute(f"""INSERT INTO gone
                    WITH leaving AS (
                        SELECT i.cid, min(i.key) AS key, arg_min("of", row_number) AS "of",
                          arg_min(cause, row_number) AS cause
                        FROM {ids} i JOIN ({mine}) ON file_row_number = row_number
                        WHERE round = {turn} AND i.cid IS NOT NULL GROUP BY i.cid),
                    staying AS (
                        SELECT i.cid FROM {ids} i JOIN leaving USING (cid)
                        WHERE file_row_number NOT IN (SELECT row_number FROM ({mine})))
                    SELECT {literal(table)}, cid, key, "of", cause, {turn} FROM leaving WHERE cid
                      NOT IN (FROM staying)""")

    def _below(self, table: str, turn: int) -> int:
        """Quarantine the rows of `table` that name a row noted in this turn. Returns how many."""
        references = self.related.references(table)
        if not references or not self._count(
            f"SELECT count(*) FROM gone WHERE round = {turn} AND"
            f" list_contains({literal(list(references.values()))}, tbl)"
        ):
            return 0
        found = " UNION ALL ".join(
            f"""SELECT r.row_number, {place} AS place, g.* FROM
                  {parquet(self.related.relations[table])} r
                JOIN gone g ON r.{quote(column)} = g.cid WHERE g.round = {turn} AND g.tbl =
                  {literal(target)}"""
            for place, (column, target) in enumerate(references.items())
        )
        return self._count(f"""INSERT INTO {ASIDE}
                SELECT {literal(table)}, row_number, '', 'below ' || arg_min(tbl || ' ' || key,
                  place), arg_min("of", place),
                       arg_min(cause, place), {turn + 1}
                FROM ({found}) WHERE row_number NOT IN (SELECT row_number FROM {ASIDE} WHERE tbl =
                  {literal(table)})
                GROUP BY row_number""")

    def _astray(self, query: str | None, turn: int) -> int:
        """Quarantine the synapses that lead to no neuron any more."""
        if query is None:
            return 0
        return self._count(f"""INSERT INTO {ASIDE}
                SELECT 'synapse', n, '', 'leads to a neuron only through rows that are quarantined',
                  'synapse', {literal(_ASTRAY)}, {turn + 1}
                FROM (SELECT * FROM ({query}) found(n)) WHERE n NOT IN (SELECT row_number FROM
                  {ASIDE} WHERE tbl = 'synapse')""")

    def _whole_pairs(self, table: str, turn: int) -> None:
        """Where rows of a pair become one, set all of them aside with any of them: what they sum up
        to would be wrong.
        """
        pair = ", ".join(quote(column) for column in TABLES[table].pair or ())
        rows = f"{rows_of(self.related.tables[table], row_number=True)} t"
        mine = f'SELECT row_number, "of", cause FROM {ASIDE} WHERE tbl = {literal(table)}'
        self.connection.execute(f"""INSERT INTO {ASIDE}
                WITH pairs AS (SELECT {pair}, min("of") AS "of", min(cause) AS cause FROM {rows}
                               JOIN ({mine}) ON file_row_number = row_number GROUP BY {pair})
                SELECT {literal(table)}, file_row_number, '',
                  'combined with a row that is quarantined', "of", cause, {turn + 1}
                FROM {rows} JOIN pairs USING ({pair}) WHERE file_row_number NOT IN (SELECT
                  row_number FROM ({mine}))""")

    # -- what came of it

    def rows(self) -> dict[str, tuple[int, int]]:
        """Quarantined rows by table, and how many of them have no error themselves."""
        found = self.connection.execute(
            f"SELECT tbl, count(*), count(*) FILTER (codes = '') FROM {ASIDE} GROUP BY tbl"
        ).fetchall()
        return {table: (int(count), int(below)) for table, count, below in found}

    def causes(self, table: str) -> list[tuple[str, str, int]]:
        """Why rows and lines of `table` go: table and rule where it began, and how many, most
        first.
        """
        query = (
            f'SELECT "of", cause, count(*) AS n FROM {ASIDE} WHERE tbl = {literal(table)} GROUP'
            " BY ALL"
        )
        if self.lines.is_file():
            query += (
                f" UNION ALL SELECT tbl, code, count(*) FROM {parquet(self.lines)} WHERE tbl ="
                f" {literal(table)} GROUP BY ALL"
            )
        found = self.connection.execute(f"SELECT * FROM ({query}) ORDER BY n DESC, 1, 2").fetchall()
        return [(str(where), str(code), int(count)) for where, code, count in found]

    def first(self, table: str, count: int) -> list[int]:
        """The first row numbers of `table` that are quarantined."""
        query = (
            f"SELECT row_number FROM {ASIDE} WHERE tbl = {literal(table)} ORDER BY 1 LIMIT {count}"
        )
        return [int(row) for (row,) in self.connection.execute(query).fetchall()]

    def staying_links(self) -> dict[str, dict[str, dict[str, Any]]]:
        """`links` with the number of references that rows which stay have."""
        links: dict[str, dict[str, dict[str, Any]]] = {}
        for table, columns in self.related.links.items():
            links[table] = {column: dict(link) for column, link in columns.items()}
            if columns and table in self.related.relations:
                counts = ", ".join(f"count({quote(column)})" for column in columns)
                stays = (
                    f"row_number NOT IN (SELECT row_number FROM {ASIDE} WHERE tbl ="
                    f" {literal(table)})"
                )
                found = self.connection.execute(
                    f"SELECT {counts} FROM {parquet(self.related.relations[table])} WHERE {stays}"
                ).fetchone()
                for column, count in zip(columns, found or (), strict=True):
                    links[table][column]["resolved"] = int(count)
        return links

    def write(self, folder: Path) -> None:
        """Write `quarantine/<table>.parquet`, a row for each quarantined row, and
        `quarantine/unreadable.parquet`, one for each line.

        Columns: row_number (as in ingest), file, sheet, line, codes, reason, then the table's
        columns as text: as written where the cell is strange, else as read (lengths in nanometres).
        """
        (folder / FOLDER).mkdir()
        for table in ordered(self.rows()):
            path = self.related.tables[table]
            columns = {"start": "BIGINT", "file": "VARCHAR", "sheet": "VARCHAR", "shift": "BIGINT"}
            self._table("segments", columns, self.sources.segments(table))
            values = ", ".join(_as_written(column) for column in columns_of(path))
            write_parquet(
                self.connection,
                f"""SELECT a.row_number, segments.file, segments.sheet, a.row_number + shift AS
                      line, a.codes, a.reason, {values}
                    FROM (SELECT * FROM {ASIDE} WHERE tbl = {literal(table)}) a ASOF JOIN segments
                      ON a.row_number >= segments.start
                    JOIN {rows_of(path, row_number=True)} t ON t.file_row_number = a.row_number
                      ORDER BY a.row_number""",
                folder / FOLDER / f"{table}.parquet",
            )
        if self.lines.is_file() and self._count(f"SELECT count(*) FROM {parquet(self.lines)}"):
            query = (
                "SELECT tbl, file, sheet, line, text, code, title AS reason FROM"
                f" {parquet(self.lines)} JOIN titles USING (code)"
            )
            write_parquet(
                self.connection,
                f"{query} ORDER BY tbl, file, line",
                folder / FOLDER / UNREADABLE_FILE,
            )
