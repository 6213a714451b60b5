"""Rows of a table that are none: a header that stands again among the rows, units or words below
the header, delimiters alone.

Belongs here: telling them from rows of data after a table was read, and taking them out of it. Does
not: the first rows of a file (`head_rows.py`), lines that cannot be read at all
(`readers/text.py`).

Only rows that failed to cast or have no key are looked at, and the first ones, so clean data are
not read again.
"""

from __future__ import annotations

import re
from array import array
from bisect import bisect_right
from collections.abc import Collection, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, replace
from itertools import accumulate, groupby
from pathlib import Path
from typing import Any, Final

import duckdb

from syndb_pipeline.base.engine import literal, parquet, quote, write_parquet
from syndb_pipeline.base.footers import is_surely_empty
from syndb_pipeline.checks.rows import head_rows
from syndb_pipeline.checks.units.units import units_setting
from syndb_pipeline.config.table_settings import NANOMETRE_EXPONENT, TableConfig
from syndb_pipeline.contract.key_encoding import rows_of
from syndb_pipeline.contract.tables import Kind, Table
from syndb_pipeline.readers import casts, headers
from syndb_pipeline.readers.part import Part, Places, Problem, column_name, jumps_without, line_of
from syndb_pipeline.readers.refused import RefusedLines
from syndb_pipeline.readers.text import line_ends, lines
from syndb_pipeline.rules.finding import MAX_EXAMPLES, Confidence

CODE: Final = "SYN-READ-017"
BLANK: Final = "SYN-READ-011"

_UNIT: Final = (
    r"(?:in )?(?:1/|/|cubic |square |sq\.? )?"
    r"(nm|[uµμ]m|mm|cm|pm|å|angstroms?|nanomet(?:er|re)s?|micromet(?:er|re)s?|microns?|pixels?|px|voxels?|vx)"
    r"(?: ?(?:\^|\*\*)?[-−]?[123]|[⁻]?[¹²³])?"
)
_TYPE: Final = (
    r"string|str|text|(?:var)?char(?:acter)?|object|category|factor|float(?:16|32|64)?|double|u?int(?:8|16|32|64)?|integer|bigint|"
    r"bool(?:ean)?|number|numeric|real|uuid|chr|dbl|lgl|fct"
)
_NEITHER: Final = (
    r"[-–—#*.%1]+|n\.?/?a\.?|none|null|nil|units?|types?|counts?|n|no\.?|ids?|key|name|paths?|files?|label|class|a\.?u\.?|ratio|fraction|unitless|"
    r"dimensionless|path|file|date|arb\.? ?units?|1\.0"
)
_SPELLINGS: Final = {
    "angstroms": "angstrom",
    "å": "angstrom",
    "nanomet": "nm",
    "micro": "um",
    "µm": "um",
    "μm": "um",
}
_OPEN, _SHUT = r"[\[({<]? ?", r" ?[\])}>]?"

_WHAT: Final = {
    "header": ("repeats the header", "repeat the header"),
    "denied": ("looks like a header", "look like a header"),
    "order": ("repeats the header in another order", "repeat the header in another order"),
    "units": ("names units instead of values", "name units instead of values"),
    "types": ("names types instead of values", "name types instead of values"),
    "words": (
        "describes the columns instead of holding values",
        "describe the columns instead of holding values",
    ),
}


@dataclass
class Found:
    """What was taken out of a table: its parts as they are now, the problems to tell, and for each
    part with refused rows their file.
    """

    parts: list[Part]
    problems: list[Problem]
    refused: list[tuple[Part, Path]]


def take_out(
    connection: duckdb.DuckDBPyConnection,
    parts: list[Part],
    names: dict[str, str],
    table: Table,
    config: TableConfig,
    target: Path,
    scratch: Path,
) -> Found:
    """Take the stray rows out of the table at `target`, which was read from `parts`; the file is
    written anew if there are any.

    `names` gives the lab's name of each of its columns. Header, unit and describing rows become
    refused ones, rows of nothing but delimiters blank lines. `scratch` is a folder for files of its
    own.
    """
    starts = list(accumulate((part.rows for part in parts), initial=0))
    connection.execute(
        "CREATE OR REPLACE TABLE stray (row BIGINT, kind VARCHAR, cells STRUCT(col VARCHAR, raw"
        " VARCHAR)[])"
    )
    connection.execute(f"INSERT INTO stray {_empty_rows(names, table, target)}")
    # Planning the long query takes as long as reading a small table, and most tables have no cell
    # for it to look at.
    if not is_surely_empty(target, casts.CELLS):
        connection.execute(f"INSERT INTO stray {_bad_rows(parts, names, table, config, target)}")
    first = head_rows.first_rows(parts, starts)
    known = dict(
        connection.execute(
            "SELECT row, kind FROM stray WHERE list_contains(?, row)", [first]
        ).fetchall()
    )
    head = head_rows.find(connection, parts, starts, names, table, config, target, known)
    if head:
        kind = "header" if config.header_row is None else "words"
        cells = [[{"col": name, "raw": raw} for name, raw in bad.items()] for _, bad in head]
        rows = [(row, kind, listed) for (row, _), listed in zip(head, cells, strict=True)]
        connection.executemany(
            "INSERT INTO stray SELECT ?, ?, ?::STRUCT(col VARCHAR, raw VARCHAR)[]", rows
        )
    if not connection.execute("SELECT 1 FROM stray LIMIT 1").fetchall():
        return Found(parts, [], [])
    sorting = _Sorting(
        connection, scratch, _whole_header(parts, starts, {*known, *dict(head)}, config)
    )
    now = list(parts)
    for index, group in groupby(
        _fetch(connection, "SELECT row, kind, cells FROM stray ORDER BY row"),
        key=lambda stray: bisect_right(starts, stray[0]) - 1,
    ):
        now[index] = sorting.sort(parts[index], starts[index], group)
    if removed := sorting.removed.close():
        source = parquet(target, row_number=True)
        beside = scratch / "without.parquet"
        # Joins lose the order of rows, so they are put back into it.
        kept = (
            f"file_row_number NOT IN (SELECT line FROM {parquet(removed)}) ORDER BY file_row_number"
        )
        query = f"SELECT * EXCLUDE (file_row_number) FROM {source} WHERE {kept}"
        write_parquet(connection, query, beside)
        beside.replace(target)
    return Found(now, sorting.problems(table, config), sorting.refused)


def _fetch(connection: duckdb.DuckDBPyConnection, query: str) -> Iterator[tuple[Any, ...]]:
    """The rows of `query`, a thousand at a time, while `connection` stays free for other
    queries.
    """
    with connection.cursor() as cursor:
        casts.prepare(cursor)
        cursor.execute(query)
        while rows := cursor.fetchmany(1000):
            yield from rows


def _bad_rows(
    parts: list[Part], names: dict[str, str], table: Table, config: TableConfig, target: Path
) -> str:
    """A query for the rows that are a header, units or types, by what their cells say."""
    texts, numeric = [], []
    for name in names:
        if table.columns[name].kind in (Kind.NUMBER, Kind.INTEGER, Kind.BOOLEAN):
            raw = f"list_filter(bad, lambda cell: cell.col = {literal(name)})[1].raw"
            texts.append(f"coalesce({raw}, {quote(name)}::VARCHAR)")
            numeric.append(name)
        else:
            texts.append(f"lower(strip_text({quote(name)}))")
    every = headers.known_names(table, config) | set(parts[0].names) | set(names)
    known = sorted({name.strip(casts.WHITE_SPACE).lower() for name in every} - {""})
    own = [name.strip(casts.WHITE_SPACE).lower() for name in names.values()]
    strong, any_word = (
        f"{_OPEN}(?:{_UNIT}|{_TYPE}){_SHUT}",
        f"{_OPEN}(?:{_UNIT}|{_TYPE}|{_NEITHER}){_SHUT}",
    )
    unit = f"{_OPEN}{_UNIT}{_SHUT}"
    return f"""
        WITH bad AS (
            SELECT file_row_number AS row, *, list_transform(list_filter({casts.cells_of()}, lambda
              cell: cell.kind = 'uncast'),
                lambda cell: {{'col': cell.col, 'raw': lower(strip_text(cell.raw))}}) AS bad
            FROM {rows_of(target, row_number=True)} WHERE {casts.CELLS} IS NOT NULL
        ), said AS (
            SELECT *, [{", ".join(texts)}] AS own, list_filter(own, lambda text: text <> '') AS
              texts FROM bad
            -- A text that begins like a number is a damaged number.
            WHERE len(list_filter(bad, lambda cell: regexp_matches(cell.raw, '^[-+.(]?[0-9]'))) = 0
        ), kinds AS (
            SELECT row, bad, CASE
                WHEN len(list_filter(texts, lambda text: NOT list_contains({literal(known)}, text)))
                  = 0
                    AND len(texts) >= {min(2, len(names))} AND (len(bad) > 0 OR {not numeric})
                    THEN CASE WHEN len(list_filter(list_zip(own, {literal(own)}), lambda pair:
                      pair[1] <> pair[2])) = 0
                        OR NOT list_has_all({literal(own)}, texts) THEN 'header' ELSE 'order' END
                WHEN len(list_filter(texts, lambda text: NOT regexp_full_match(text,
                  {literal(any_word)}))) = 0
                    AND len(list_filter(bad, lambda cell: regexp_full_match(cell.raw,
                      {literal(strong)}))) > 0
                    THEN CASE WHEN len(list_filter(bad, lambda cell: regexp_full_match(cell.raw,
                      {literal(unit)}))) > 0
                        THEN 'units' ELSE 'types' END
                END AS kind
            FROM said
        )
        SELECT row, kind, bad FROM kinds WHERE kind IS NOT NULL"""


def _empty_rows(names: dict[str, str], table: Table, target: Path) -> str:
    """A query for the rows in which no column that is read holds anything."""
    empty = [
        (
            f"{quote(name)} IS NULL"
            if column.kind is not Kind.TEXT
            else f"coalesce(strip_text({quote(name)}), '') = ''"
        )
        for name, column in table.columns.items()
        if name in names
    ]
    source = parquet(target, row_number=True)
    return (
        f"SELECT file_row_number, 'blank', NULL FROM {source} WHERE {' AND '.join(empty)} AND"
        f" {casts.CELLS} IS NULL"
    )


class _Sorting:
    """Goes through the stray rows file by file, with the text each has in its file."""

    def __init__(
        self, connection: duckdb.DuckDBPyConnection, scratch: Path, header: Mapping[str, Any] | None
    ) -> None:
        self.connection = connection
        self.scratch = scratch
        self.header = header
        self.removed = RefusedLines(scratch / "removed.parquet")  # its lines are row numbers here
        self.refused: list[tuple[Part, Path]] = []
        self.places: dict[str, list[Places]] = {}
        self.units: dict[str, str] = {}

    def sort(
        self, part: Part, start: int, strays: Iterator[tuple[int, str, list[dict[str, str]] | None]]
    ) -> Part:
        """`part`, whose rows begin at row `start` of the table, without those of `strays` that are
        none.
        """
        blanks = Places(part.file, part.sheet)
        by_kind: dict[str, Places] = {}
        refused = RefusedLines(self.scratch / f"refused{start}.parquet")
        gone = array("q")
        with closing(_Texts(self.connection, part, start)) as texts:
            for row, kind, cells in strays:
                line, written = texts.at(row - start)
                if kind == "blank":
                    if (
                        part.sheet is not None
                        or len(part.names) == 1
                        or written.strip(casts.WHITE_SPACE + '"' + (part.delimiter or ","))
                    ):
                        continue  # a column that is not read holds something
                    blanks.add(line)
                else:
                    by_kind.setdefault(kind, Places(part.file, part.sheet)).add(line, written)
                    refused.add(line, written, CODE)
                    if kind == "units" and not self.units:
                        self.units = {cell["col"]: cell["raw"] for cell in cells or []}
                gone.append(row - start)
                self.removed.add(row, "", "")
        for kind, places in by_kind.items():
            self.places.setdefault(kind, []).append(places)
        now = replace(
            part,
            rows=part.rows - len(gone),
            refused=part.refused + refused.count,
            jumps=jumps_without(part, gone),
            problems=_with_blanks(part, blanks),
        )
        if path := refused.close():
            self.refused.append((now, path))
        return now

    def problems(self, table: Table, config: TableConfig) -> list[Problem]:
        """One problem for each kind of stray row, whatever the number of files."""
        problems = []
        for kind, found in self.places.items():
            count = sum(places.count for places in found)
            examples = tuple(example for places in found for example in places.examples)[
                :MAX_EXAMPLES
            ]
            file = found[0].file if len(found) == 1 else None
            place = file or f"{len(found):,} files of {table.name}"
            denied = kind == "header" and config.header_row is None
            what = _WHAT["denied" if denied else kind][count != 1]
            values = {
                "place": place,
                "what": what,
                "advice": self._advice(kind, count, table, config),
            }
            confidence: Confidence = "likely" if kind == "words" or denied else "certain"
            settings = self._header_settings(table, config)
            problems.append(
                Problem(
                    CODE,
                    file,
                    count=count,
                    examples=examples,
                    values=values,
                    confidence=confidence,
                    settings=settings,
                )
            )
        return problems

    def _header_settings(self, table: Table, config: TableConfig) -> tuple[str, ...]:
        """YAML to paste that passes over all rows of the header, gives its names, and the units
        that a row of it tells.
        """
        if self.header is None:
            return ()
        units = {**config.units, **self._units(table)[0]}
        lines = [
            f"header_row: {self.header['row']}",
            f"names: [{', '.join(map(headers.yaml_word, self.header['names']))}]",
        ]
        lines += (
            [f"units: {{{', '.join(f'{name}: {unit}' for name, unit in units.items())}}}"]
            if units
            else []
        )
        return (f"tables:\n  {table.name}:\n" + "\n".join(f"    {line}" for line in lines),)

    def _advice(self, kind: str, count: int, table: Table, config: TableConfig) -> str:
        remove = "Remove the row." if count == 1 else "Remove these rows."
        if self.header is not None:
            rows = f"set `header_row: {self.header['row']}` under `tables.{table.name}`"
            if config.header_row is None:
                skip = (
                    "If it has one, compare it with `names`, which still name the columns, and"
                    f" {rows}"
                )
                return (
                    f"The config says that the file has no header. {skip}; otherwise remove the"
                    " row."
                )
            units = self._units_advice(table, config)
            return (
                f"The header has several rows. Pass over all of them: {rows}, and give the `names`"
                f" of all columns.{units}"
            )
        if kind == "header":
            return (
                f"{remove} If files were joined end to end, keep them apart and name them by a"
                " glob, e.g. parts/*.csv."
            )
        if kind == "order":
            return (
                "Rows below it were read into the wrong columns. Split the file there, and name its"
                " parts by a glob, e.g. parts/*.csv."
            )
        if kind == "units":
            return remove + self._units_advice(table, config)
        return remove

    def _units(self, table: Table) -> tuple[dict[str, str], str]:
        """The units other than nanometres that the first unit row gives: those the config knows, by
        column, and one it does not.
        """
        told: dict[str, str] = {}
        strange = ""
        for name, raw in self.units.items():
            match = re.search(_UNIT, raw)
            if (
                match is None
                or table.columns[name].kind is not Kind.NUMBER
                or not table.columns[name].dimension
            ):
                continue
            unit = next(
                (short for long, short in _SPELLINGS.items() if match[1].startswith(long)), match[1]
            )
            if unit == "nm":
                continue
            if unit in NANOMETRE_EXPONENT:
                told[name] = unit
            else:
                strange = strange or match[1]
        return told, strange

    def _units_advice(self, table: Table, config: TableConfig) -> str:
        """What the units of the first unit row ask of the config."""
        told, strange = self._units(table)
        if told:
            return (
                " SynDB wants nanometres, so give the units in the config:"
                f" `{units_setting(table.name, config, told)}`."
            )
        if strange:
            return f" SynDB wants nanometres; convert the columns in {strange} at their source."
        return ""


class _Texts:
    """The line and the text of single rows of a part, asked for in ascending order."""

    def __init__(self, connection: duckdb.DuckDBPyConnection, part: Part, start: int) -> None:
        self.part = part
        self.numbers = [index for index, _ in part.jumps]
        self.source: Iterator[Any]
        self.file = part.path.open("rb") if part.delimiter is not None else None
        if self.file is not None:
            self.read = 0
            self.source = lines.physical_lines(self.file, line_ends.line_end(part.path))
        else:
            values = ", ".join(
                casts.to_text(column_name(i), kind) for i, kind in enumerate(part.types)
            )
            numbered = (
                f"SELECT [{values}] AS cells, row_number() OVER () - 1 AS row FROM {part.source}"
            )
            self.source = _fetch(
                connection,
                f"SELECT cells FROM ({numbered}) WHERE row + {start} IN (SELECT row FROM stray)"
                " ORDER BY row",
            )

    def close(self) -> None:
        if self.file is not None:
            self.file.close()

    def at(self, row: int) -> tuple[int, str]:
        """The line of row number `row` of the part, and its text: of a text file as written, else
        its values as a line of csv.
        """
        at = bisect_right(self.numbers, row)
        line = self.part.first_line + row + (self.part.jumps[at - 1][1] if at else 0)
        if self.part.delimiter is None:
            (cells,) = next(self.source)
            return line, lines.joined([(cell or "").encode() for cell in cells], b",").decode()
        raw = b""
        while self.read < line:
            raw = next(self.source)
            self.read += 1
        return line, raw.decode("utf-8", "replace")


def _whole_header(
    parts: list[Part], starts: list[int], strays: Collection[int], config: TableConfig
) -> dict[str, Any] | None:
    """The `row` at which the header of every file ends, when the rows `strays` right below it
    belong to it, and its `names`.

    None where it has one row, or the files do not agree.
    """
    ends: set[tuple[int, tuple[str, ...]]] = set()
    for start, part in zip(starts, parts, strict=False):
        count = 0
        while count < part.rows and start + count in strays:
            count += 1
        if (part.delimiter is None and part.sheet is None) or count < (
            1 if config.header_row is None else 2
        ):
            return None
        ends.add((line_of(part, count - 1), part.names))
    if len(ends) != 1:
        return None
    [(row, names)] = ends
    return {"row": row, "names": names}


def _with_blanks(part: Part, blanks: Places) -> tuple[Problem, ...]:
    """The part's problems, with blank lines told together with those it had."""
    if not blanks.count:
        return part.problems
    rest = [problem for problem in part.problems if problem.code != BLANK]
    had = [problem for problem in part.problems if problem.code == BLANK]
    count = blanks.count + sum(problem.count for problem in had)
    examples = sorted(
        [*blanks.examples, *(example for problem in had for example in problem.examples)],
        key=lambda place: place.row or 0,
    )
    return (*rest, Problem(BLANK, part.file, count=count, examples=tuple(examples[:MAX_EXAMPLES])))
