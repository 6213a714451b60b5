"""Quarantined rows: those with an error and, level by level, all that depend on them; written to
files of their own, and the proof that nothing sent names them.

Belongs here: finding, writing and reading them, in DuckDB. Does not: which errors allow it and how
many may go (`policy.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, Final

from syndb_pipeline.base.engine import given, literal, parquet, quote, write_parquet
from syndb_pipeline.base.errors import PipelineError
from syndb_pipeline.checks.references.declared_totals import Related
from syndb_pipeline.contract.key_encoding import rows_of
from syndb_pipeline.contract.tables import BY_ENDS, ROOT, TABLES, ordered
from syndb_pipeline.readers.casts import CELLS, cells_of
from syndb_pipeline.rules.catalogue import RULES
from syndb_pipeline.state.results import Links
from syndb_pipeline.state.row_locations import UNREADABLE_FILE
from syndb_pipeline.state.stage import Context
from syndb_pipeline.state.tables import columns_of, error_cells, written

ASIDE: Final = "aside"
"""Name of the DuckDB table. Columns: tbl, row_number, codes (of its own errors, '' when it only
depends on another row), reason, of and cause (table and rule of the first error), round (0: its own
error; each round depends on the one before).
"""

FOLDER: Final = "quarantine"

_REPEATED: Final = ("SYN-ID-002", "SYN-REL-006")
"""Rules that name the second and further rows of a key or pair."""

_UNCONNECTED: Final = "SYN-INT-002"


def _original(column: str) -> str:
    """SQL of a cell as text: as the lab wrote it where ingest kept that, else as it was read."""
    raw = f"list_filter({cells_of(f't.{CELLS}')}, lambda cell: cell.col = {literal(column)})[1].raw"
    read = f"t.{quote(column)}::VARCHAR"
    kept = f"CASE WHEN t.{CELLS} IS NULL THEN {read} ELSE coalesce({raw}, {read}) END"
    return f"{kept} AS {quote(column)}"


class Quarantine:
    """The quarantined rows of a dataset, in the DuckDB table `aside`, and the unreadable lines."""

    def __init__(self, data: Related) -> None:
        self.data = data
        lines = data.context.store.stage("ingest") / UNREADABLE_FILE
        none = (
            "(SELECT '' AS tbl, '' AS file, '' AS sheet, 0 AS line, '' AS text, '' AS code LIMIT 0)"
        )
        self.lines = parquet(lines) if lines.is_file() else none
        titles = [(rule.code, rule.title) for rule in RULES.values()]
        self._table("titles", {"code": "VARCHAR", "title": "VARCHAR"}, titles)
        data.fetch(f"""CREATE OR REPLACE TEMP TABLE {ASIDE} (
                    tbl VARCHAR NOT NULL, row_number BIGINT NOT NULL, codes VARCHAR, reason VARCHAR,
                    "of" VARCHAR, cause VARCHAR, round INTEGER);
                CREATE OR REPLACE TEMP TABLE gone (
                    tbl VARCHAR, cid UUID, key VARCHAR, "of" VARCHAR, cause VARCHAR, round
                      INTEGER)""")

    def _table(self, name: str, columns: dict[str, str], rows: Iterable[Sequence[Any]]) -> None:
        with given(self.data.connection, "frame", columns, rows):
            self.data.fetch(f"CREATE OR REPLACE TEMP TABLE {name} AS FROM frame")

    def _add(self, query: str) -> int:
        """Insert the rows of `query`; returns how many."""
        return int(self.data.row(f"INSERT INTO {ASIDE} {query}")[0])

    def _mine(self, table: str) -> str:
        return f"FROM {ASIDE} WHERE tbl = {literal(table)}"

    def _references(self, table: str) -> dict[str, str]:
        """Column of the table's relations -> the table whose rows it names.

        `neuron_id` also where it only follows from the parents.
        """
        links = self.data.links.get(table, {})
        found = {column: link.target for column, link in links.items()}
        if "parent_id" in found and ROOT in self.data.tables and TABLES[table].needs_parent:
            found["neuron_id"] = ROOT
        return found if table in self.data.relations else {}

    # -- rows with an error

    def wrong(self, folders: list[Path]) -> dict[tuple[str, str], int]:
        """Take the failing cells of stage `folders`; how many cells or lines each rule and table
        has.
        """
        cells = error_cells(self.data.context, folders)
        self.data.fetch(f"CREATE OR REPLACE TEMP TABLE wrong AS {cells}")
        both = f"SELECT code, tbl FROM wrong UNION ALL SELECT code, tbl FROM {self.lines}"
        found = self.data.fetch(f"SELECT code, tbl, count(*) FROM ({both}) GROUP BY ALL")
        return {(code, table): count for code, table, count in found}

    def begin(self) -> None:
        """Quarantine rows with an error, and all rows of a key or pair whose rows are not copies.

        Which of them is right is not known. Of copies, the first stays.
        """
        repeated = f"SELECT DISTINCT code, tbl FROM wrong WHERE code IN {_REPEATED}"
        for code, table in self.data.fetch(repeated):
            path = self.data.tables[table]
            key = ["cid"] if code == _REPEATED[0] else list(TABLES[table].pair or ())
            keys = ", ".join(map(quote, key))
            source = rows_of(path, row_number=True)
            whole = ", ".join(map(quote, [*columns_of(path), CELLS]))
            named = (
                f"SELECT row_number FROM wrong WHERE (code, tbl) = ({literal(code)},"
                f" {literal(table)})"
            )
            self.data.fetch(f"""INSERT INTO wrong
                    WITH named AS (
                        SELECT DISTINCT {keys} FROM {source} WHERE file_row_number IN ({named})),
                    rows AS (
                        SELECT file_row_number AS n, {keys}, row({whole}) AS whole
                        FROM {source} JOIN named USING ({keys})),
                    differing AS (
                        SELECT {keys} FROM rows GROUP BY {keys} HAVING count(DISTINCT whole) > 1)
                    SELECT {literal(table)}, n, {literal(key[-1])}, {literal(code)}, ''
                    FROM rows JOIN differing USING ({keys}) WHERE n NOT IN ({named})""")
        reason = "title || ' (' || col || ')'"
        self._add(f"""SELECT tbl, row_number, string_agg(DISTINCT code, ', ' ORDER BY code),
                       string_agg(DISTINCT {reason}, '; ' ORDER BY {reason}), tbl, min(code), 0
                FROM wrong JOIN titles USING (code) GROUP BY tbl, row_number""")

    # -- rows that depend on them

    def spread(self, unconnected: Callable[[str], str | None]) -> None:
        """Quarantine, until nothing more is found, every row that names a quarantined one.

        `unconnected(aside)` is a query for the numbers of synapses that lead to no neuron but
        through rows of the table `aside`, or None.
        """
        naming, targets = [], set()
        for table in self.data.tables:
            for place, (column, target) in enumerate(self._references(table).items()):
                targets.add(target)
                naming.append(f"""SELECT {literal(table)} AS tbl, row_number, {place} AS place,
                               {literal(target)} AS target, {quote(column)} AS cid
                        FROM {parquet(self.data.relations[table])}""")
        ids = [
            f"""SELECT {literal(table)} AS tbl, file_row_number AS row_number, cid, key
                FROM {rows_of(self.data.ids[table], row_number=True)}"""
            for table in ordered(targets)
        ]
        turn = 0
        while True:
            found = 0
            if naming:
                self._note(" UNION ALL ".join(ids), turn)
                found = self._dependent(" UNION ALL ".join(naming), turn)
            if not found and (query := unconnected(ASIDE)):
                found = self._add(f"""SELECT '{BY_ENDS}', n, '',
                               'leads to a neuron only through rows that are quarantined',
                               '{BY_ENDS}', '{_UNCONNECTED}', {turn + 1}
                        FROM (SELECT * FROM ({query}) found(n))
                        WHERE n NOT IN (SELECT row_number {self._mine(BY_ENDS)})""")
            if not found:
                break
            turn += 1
        for table in self.data.tables:
            if TABLES[table].pair and self.data.context.config.tables[table].combine:
                self._whole_pairs(table, turn)

    def _note(self, ids: str, turn: int) -> None:
        """Note the UUIDs of this turn's rows, but for those that a row which stays has as well."""
        self.data.fetch(f"""INSERT INTO gone
                WITH ids AS ({ids}),
                leaving AS (
                    SELECT tbl, cid, min(key) AS key, arg_min("of", row_number) AS "of",
                           arg_min(cause, row_number) AS cause
                    FROM ids JOIN {ASIDE} USING (tbl, row_number)
                    WHERE round = {turn} AND cid IS NOT NULL GROUP BY tbl, cid),
                staying AS (
                    SELECT tbl, cid FROM ids SEMI JOIN leaving USING (tbl, cid)
                    ANTI JOIN {ASIDE} USING (tbl, row_number))
                SELECT *, {turn} FROM leaving ANTI JOIN staying USING (tbl, cid)""")

    def _dependent(self, naming: str, turn: int) -> int:
        """Quarantine the rows that name a row noted in this turn; returns how many."""
        return self._add(
            f"""SELECT n.tbl, n.row_number, '', 'below ' || arg_min(g.tbl || ' ' || g.key, n.place),
                       arg_min(g."of", n.place), arg_min(g.cause, n.place), {turn + 1}
                FROM ({naming}) n JOIN gone g ON n.cid = g.cid AND n.target = g.tbl
                ANTI JOIN {ASIDE} a ON n.tbl = a.tbl AND n.row_number = a.row_number
                WHERE g.round = {turn} GROUP BY n.tbl, n.row_number"""
        )

    def _whole_pairs(self, table: str, turn: int) -> None:
        """Where rows of a pair become one, all go with any of them: their sum would be wrong."""
        pair = ", ".join(map(quote, TABLES[table].pair or ()))
        rows = f"{rows_of(self.data.tables[table], row_number=True)} t"
        mine = f'SELECT row_number, "of", cause {self._mine(table)}'
        self._add(f"""WITH pairs AS (
                    SELECT {pair}, min("of") AS "of", min(cause) AS cause
                    FROM {rows} JOIN ({mine}) ON file_row_number = row_number GROUP BY {pair})
                SELECT {literal(table)}, file_row_number, '',
                       'combined with a row that is quarantined', "of", cause, {turn + 1}
                FROM {rows} JOIN pairs USING ({pair})
                WHERE file_row_number NOT IN (SELECT row_number FROM ({mine}))""")

    # -- what came of it

    def rows(self) -> dict[str, tuple[int, int]]:
        """Quarantined rows by table, and how many of them have no error themselves."""
        query = f"SELECT tbl, count(*), count(*) FILTER (codes = '') FROM {ASIDE} GROUP BY tbl"
        return {table: (count, below) for table, count, below in self.data.fetch(query)}

    def causes(self, table: str) -> list[tuple[Any, ...]]:
        """Table and rule of the first error of rows and lines of `table`, and how many, most
        first.
        """
        both = (
            f'SELECT "of", cause {self._mine(table)} UNION ALL SELECT tbl, code FROM {self.lines}'
            f" WHERE tbl = {literal(table)}"
        )
        query = f"SELECT *, count(*) AS n FROM ({both}) GROUP BY ALL ORDER BY n DESC, 1, 2"
        return self.data.fetch(query)

    def staying_links(self) -> Links:
        """`links` with the number of references that rows which stay have."""
        links: Links = {}
        for table, columns in self.data.links.items():
            links[table] = dict(columns)
            if columns and table in self.data.relations:
                counts = ", ".join(f"count({quote(column)})" for column in columns)
                stays = f"row_number NOT IN (SELECT row_number {self._mine(table)})"
                relations = parquet(self.data.relations[table])
                found = self.data.row(f"SELECT {counts} FROM {relations} WHERE {stays}")
                for column, count in zip(columns, found, strict=True):
                    links[table][column] = columns[column].model_copy(update={"resolved": count})
        return links

    def write(self, folder: Path) -> None:
        """Write `quarantine/<table>.parquet` for rows and `quarantine/unreadable.parquet` for
        lines.

        Columns: row_number (as in ingest), file, sheet, line, codes, reason, then the table's
        columns as text: as written where the cell is strange, else as read (lengths in nanometres).
        """
        (folder / FOLDER).mkdir()
        columns = {"start": "BIGINT", "file": "VARCHAR", "sheet": "VARCHAR", "shift": "BIGINT"}
        for table in ordered(self.rows()):
            path = self.data.tables[table]
            self._table("segments", columns, self.data.sources.segments(table))
            query = f"""SELECT a.row_number, file, sheet, a.row_number + shift AS line, codes,
                  reason,
                               {", ".join(map(_original, columns_of(path)))}
                        FROM (SELECT * {self._mine(table)}) a
                        ASOF JOIN segments ON a.row_number >= segments.start
                        JOIN {rows_of(path, row_number=True)} t ON t.file_row_number = a.row_number
                        ORDER BY a.row_number"""
            write_parquet(self.data.connection, query, folder / FOLDER / f"{table}.parquet")
        if self.data.fetch(f"SELECT 1 FROM {self.lines} LIMIT 1"):
            query = f"""SELECT tbl, file, sheet, line, text, code, title AS reason
                        FROM {self.lines} JOIN titles USING (code) ORDER BY tbl, file, line"""
            write_parquet(self.data.connection, query, folder / FOLDER / UNREADABLE_FILE)


def quarantined_files(context: Context) -> dict[str, Path]:
    """The files of quarantined rows, by table; empty when every row is sent."""
    return written(context, "check_integrity", FOLDER)


def require_no_dangling(context: Context, parts: Path, tables: list[str]) -> None:
    """Raise `PipelineError` when a packaged reference names a row that is not packaged.

    The tables are `<table>.parquet` in `parts`.
    """
    links = context.verdict.details.relations
    with context.duckdb() as connection:
        for table in tables:
            part = parts / f"{table}.parquet"
            targets = {column: link.target for column, link in links.get(table, {}).items()}
            if ROOT in tables and TABLES[table].has_parent:
                targets["neuron_id"] = ROOT
            packaged = columns_of(part)
            for column in [name for name in targets if name in packaged]:
                target, name = parquet(parts / f"{targets[column]}.parquet"), quote(column)
                query = f"""SELECT count(*) FROM {parquet(part)}
                            WHERE {name} IS NOT NULL AND {name} NOT IN (SELECT cid FROM {target})"""
                [(dangling,)] = connection.execute(query).fetchall()
                if dangling:
                    raise PipelineError(
                        f"{dangling:,} rows of {table} would be sent whose {column} names a row of "
                        f"{targets[column]} that is quarantined.",
                        next_step="Please report this; nothing was packaged.",
                    )
