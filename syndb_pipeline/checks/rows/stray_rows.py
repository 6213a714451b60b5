"""Rows of a table that are no data: headers, units or types among the rows, delimiters alone.

Belongs here: telling them from rows of data after a table was read, what to say of each kind, and
taking them out. Does not: the first rows of a file (`head_rows.py`), lines that cannot be read at
all (`readers/text`), totals (`labelled_rows.py`).

Only rows that failed to cast or have no key are looked at, and the first ones, so clean data are
not read again.
"""

from __future__ import annotations

import re
from array import array
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path
from typing import Any, Final

from syndb_pipeline.base.engine import literal, parquet, quote, write_parquet
from syndb_pipeline.checks.rows import head_rows
from syndb_pipeline.checks.rows.just_read import JustRead
from syndb_pipeline.checks.units.magnitudes import units_setting
from syndb_pipeline.config.table_settings import NANOMETRE_EXPONENT
from syndb_pipeline.contract.key_encoding import rows_of
from syndb_pipeline.contract.tables import Kind
from syndb_pipeline.readers import casts, headers
from syndb_pipeline.readers.part import Part, Places, Problem, column_name, jumps_without, line_of
from syndb_pipeline.readers.refused import RefusedLines
from syndb_pipeline.readers.text import line_ends, lines
from syndb_pipeline.rules.finding import MAX_EXAMPLES, Confidence

CODE: Final = "SYN-READ-017"
BLANK: Final = "SYN-READ-011"

_UNIT: Final = (
    r"(?:in )?(?:1/|/|cubic |square |sq\.? )?"
    r"(nm|[uµμ]m|mm|cm|pm|å|angstroms?|nanomet(?:er|re)s?|micromet(?:er|re)s?|microns?"
    r"|pixels?|px|voxels?|vx)"
    r"(?: ?(?:\^|\*\*)?[-−]?[123]|[⁻]?[¹²³])?"
)
_TYPE: Final = (
    r"string|str|text|(?:var)?char(?:acter)?|object|category|factor|float(?:16|32|64)?|double"
    r"|u?int(?:8|16|32|64)?|integer|bigint|bool(?:ean)?|number|numeric|real|uuid|chr|dbl|lgl|fct"
)
_NEITHER: Final = (
    r"[-–—#*.%1]+|n\.?/?a\.?|none|null|nil|units?|types?|counts?|n|no\.?|ids?|key|name"
    r"|paths?|files?|label|class|a\.?u\.?|ratio|fraction|unitless|dimensionless|date|arb\.?"
    r" ?units?|1\.0"
)
_SPELLINGS: Final = {
    "angstroms": "angstrom",
    "å": "angstrom",
    "nanomet": "nm",
    "micro": "um",
    "µm": "um",
    "μm": "um",
}

_JOINED: Final = "keep them apart and name them by a glob, e.g. parts/*.csv."


@dataclass(frozen=True, slots=True)
class _Kind:
    """One kind of row that is none: what one and several of them do, and what to do beside removing
    them.
    """

    one: str
    several: str
    advice: str = ""
    removed: bool = True
    sure: Confidence = "certain"


_KINDS: Final = {
    "header": _Kind(
        "repeats the header", "repeat the header", f" If files were joined end to end, {_JOINED}"
    ),
    "denied": _Kind(
        "looks like a header",
        "look like a header",
        f" If files were joined end to end, {_JOINED}",
        sure="likely",
    ),
    "order": _Kind(
        "repeats the header in another order",
        "repeat the header in another order",
        "Rows below it were read into the wrong columns. Split the file there, and name its parts"
        " by a glob, e.g. parts/*.csv.",
        removed=False,
    ),
    "units": _Kind("names units instead of values", "name units instead of values"),
    "types": _Kind("names types instead of values", "name types instead of values"),
    "words": _Kind(
        "describes the columns instead of holding values",
        "describe the columns instead of holding values",
        sure="likely",
    ),
}


@dataclass
class Found:
    """What was taken out of a table: its parts as they are now, the problems, and the files of
    refused rows.
    """

    parts: list[Part]
    problems: list[Problem]
    refused: list[tuple[Part, Path]]


def take_out(read: JustRead, scratch: Path) -> Found:
    """Take the stray rows out of a table; its file is written again if there are any.

    Header, unit and describing rows become refused ones, rows of nothing but delimiters blank
    lines. `scratch` is a folder for files of its own.
    """
    read.connection.execute(
        "CREATE OR REPLACE TABLE stray (row BIGINT, kind VARCHAR, cells STRUCT(col VARCHAR, raw"
        " VARCHAR)[])"
    )
    read.connection.execute(f"INSERT INTO stray {_empty_rows(read)}")
    # Planning the long query takes as long as reading a small table; most have no cell for it to
    # look at.
    if read.has_cells:
        read.connection.execute(f"INSERT INTO stray {_bad_rows(read)}")
    first = [row for rows in head_rows.first_rows(read) for row in rows]
    known = dict(read.ask("SELECT row, kind FROM stray WHERE list_contains(?, row)", [first]))
    if head := head_rows.find(read, known):
        kind = "header" if read.config.header_row is None else "words"
        rows = [
            (row, kind, [{"col": name, "raw": raw} for name, raw in bad.items()])
            for row, bad in head
        ]
        read.connection.executemany(
            "INSERT INTO stray SELECT ?, ?, ?::STRUCT(col VARCHAR, raw VARCHAR)[]", rows
        )
    if not read.ask("SELECT 1 FROM stray LIMIT 1"):
        return Found([*read.parts], [], [])
    starts, parts = read.starts, [*read.parts]
    taken = _Taken(read, scratch, _whole_header(read, {*known, *dict(head)}))
    strays = _fetch(read, "SELECT row, kind, cells FROM stray ORDER BY row")
    for index, group in groupby(strays, key=lambda stray: bisect_right(starts, stray[0]) - 1):
        parts[index] = taken.from_part(parts[index], starts[index], group)
    if removed := taken.removed.close():
        beside = scratch / "without.parquet"
        # Joins lose the order of rows, so they are put back into it.
        kept = (
            f"file_row_number NOT IN (SELECT line FROM {parquet(removed)}) ORDER BY file_row_number"
        )
        query = f"SELECT * EXCLUDE (file_row_number) FROM {read.rows} WHERE {kept}"
        write_parquet(read.connection, query, beside)
        beside.replace(read.file)
    return Found(parts, taken.problems(), taken.refused)


def _fetch(read: JustRead, query: str) -> Iterator[tuple[Any, ...]]:
    """The rows of `query`, a thousand at a time, while the connection stays free for other
    queries.
    """
    with read.connection.cursor() as cursor:
        casts.prepare(cursor)
        cursor.execute(query)
        while rows := cursor.fetchmany(1000):
            yield from rows


# -- which rows are none


def _bad_rows(read: JustRead) -> str:
    """A query for the rows that are a header, units or types, by what their cells say."""
    texts, numeric = [], False
    for name in read.names:
        if read.table.columns[name].kind in (Kind.NUMBER, Kind.INTEGER, Kind.BOOLEAN):
            raw = f"list_filter(bad, lambda cell: cell.col = {literal(name)})[1].raw"
            texts.append(f"coalesce({raw}, {quote(name)}::VARCHAR)")
            numeric = True
        else:
            texts.append(f"lower(strip_text({quote(name)}))")

    def folded(names: Iterable[str]) -> list[str]:
        return [name.strip(casts.WHITE_SPACE).lower() for name in names]

    every = headers.known_names(read.table, read.config) | {*read.parts[0].names, *read.names}
    known = literal(sorted({*folded(every)} - {""}))
    own = literal(folded(read.names.values()))

    def word(*forms: str) -> str:
        return literal(rf"[\[({{<]? ?(?:{'|'.join(forms)}) ?[\])}}>]?")

    def count(cells: str, condition: str) -> str:
        return f"len(list_filter({cells}, lambda cell: {condition}))"

    def is_a(form: str, text: str = "cell.raw") -> str:
        return f"regexp_full_match({text}, {form})"

    return f"""
        WITH bad AS (
            SELECT file_row_number AS row, *, list_transform(list_filter({casts.cells_of()}, lambda
              cell: cell.kind = 'uncast'),
                lambda cell: {{'col': cell.col, 'raw': lower(strip_text(cell.raw))}}) AS bad
            FROM {rows_of(read.file, row_number=True)} WHERE {casts.CELLS} IS NOT NULL
        ), said AS (
            SELECT *, [{", ".join(texts)}] AS own, list_filter(own, lambda text: text <> '') AS
              texts FROM bad
            -- A text that begins like a number is a damaged number.
            WHERE {count("bad", "regexp_matches(cell.raw, '^[-+.(]?[0-9]')")} = 0
        ), kinds AS (
            SELECT row, bad, CASE
                WHEN {count("texts", f"NOT list_contains({known}, cell)")} = 0
                    AND len(texts) >= {min(2, len(read.names))} AND (len(bad) > 0 OR {not numeric})
                    THEN CASE WHEN {count(f"list_zip(own, {own})", "cell[1] <> cell[2]")} = 0
                        OR NOT list_has_all({own}, texts) THEN 'header' ELSE 'order' END
                WHEN {count("texts", f"NOT {is_a(word(_UNIT, _TYPE, _NEITHER), 'cell')}")} = 0
                    AND {count("bad", is_a(word(_UNIT, _TYPE)))} > 0
                    THEN CASE WHEN {count("bad", is_a(word(_UNIT)))} > 0 THEN 'units' ELSE 'types'
                      END
                END AS kind
            FROM said
        )
        SELECT row, kind, bad FROM kinds WHERE kind IS NOT NULL"""


def _empty_rows(read: JustRead) -> str:
    """A query for the rows in which no column that is read holds anything."""
    empty = [
        (
            f"coalesce(strip_text({quote(name)}), '') = ''"
            if column.kind is Kind.TEXT
            else f"{quote(name)} IS NULL"
        )
        for name, column in read.table.columns.items()
        if name in read.names
    ]
    return (
        f"SELECT file_row_number, 'blank', NULL FROM {read.rows} WHERE {' AND '.join(empty)} AND"
        f" {casts.CELLS} IS NULL"
    )


def _whole_header(read: JustRead, strays: set[int]) -> tuple[int, Sequence[str]] | None:
    """The row at which the header of every file ends, when the rows `strays` right below it belong
    to it, and its names.

    None where it has one row, or the files do not agree.
    """
    ends: set[tuple[int, tuple[str, ...]]] = set()
    for start, part in zip(read.starts, read.parts, strict=False):
        count = next((row for row in range(part.rows) if start + row not in strays), part.rows)
        is_parquet = part.delimiter is None and part.sheet is None
        if is_parquet or count < (1 if read.config.header_row is None else 2):
            return None
        ends.add((line_of(part, count - 1), part.names))
    return ends.pop() if len(ends) == 1 else None


# -- taking them out


class _Taken:
    """The stray rows, file by file, with the text each has in its file. `header` comes from
    `_whole_header`.
    """

    def __init__(
        self, read: JustRead, scratch: Path, header: tuple[int, Sequence[str]] | None
    ) -> None:
        self.read, self.scratch, self.header = read, scratch, header
        self.removed = RefusedLines(scratch / "removed.parquet")  # its lines are row numbers here
        self.refused: list[tuple[Part, Path]] = []
        self.places: dict[str, list[Places]] = {}
        self.units: dict[str, str] = {}

    def from_part(
        self, part: Part, start: int, strays: Iterable[tuple[int, str, list[dict[str, str]] | None]]
    ) -> Part:
        """`part`, whose rows begin at row `start` of the table, without those of `strays` that are
        none.
        """
        places: dict[str, Places] = {}
        refused = RefusedLines(self.scratch / f"refused{start}.parquet")
        delimiters = casts.WHITE_SPACE + '"' + (part.delimiter or ",")
        gone = array("q")
        with ExitStack() as opened:
            texts = _texts(self.read, part, start, opened)
            for row, kind, cells in strays:
                line = line_of(part, row - start)
                written = texts(line)
                blank = kind == "blank"
                if blank and (
                    part.sheet is not None or len(part.names) == 1 or written.strip(delimiters)
                ):
                    continue  # a column that is not read holds something
                places.setdefault(kind, Places(part.file, part.sheet)).add(
                    line, None if blank else written
                )
                if not blank:
                    refused.add(line, written, CODE)
                if kind == "units" and not self.units:
                    self.units = {cell["col"]: cell["raw"] for cell in cells or []}
                gone.append(row - start)
                self.removed.add(row, "", "")
        blanks = places.pop("blank", None)
        for kind, found in places.items():
            self.places.setdefault(kind, []).append(found)
        now = replace(
            part,
            rows=part.rows - len(gone),
            refused=part.refused + refused.count,
            jumps=jumps_without(part, gone),
            problems=_with_blanks(part, blanks) if blanks else part.problems,
        )
        if path := refused.close():
            self.refused.append((now, path))
        return now

    def problems(self) -> list[Problem]:
        """One problem for each kind of stray row, whatever the number of files."""
        problems = []
        table, config = self.read.table, self.read.config
        for kind, found in self.places.items():
            count = sum(places.count for places in found)
            file = found[0].file if len(found) == 1 else None
            denied = kind == "header" and config.header_row is None
            record = _KINDS["denied" if denied else kind]
            problems.append(
                Problem(
                    CODE,
                    file,
                    count=count,
                    examples=tuple(example for places in found for example in places.examples)[
                        :MAX_EXAMPLES
                    ],
                    values={
                        "place": file or f"{len(found):,} files of {table.name}",
                        "what": record.one if count == 1 else record.several,
                        "advice": self._advice(kind, record, count),
                    },
                    confidence=record.sure,
                    settings=self._header_settings(),
                )
            )
        return problems

    def _header_settings(self) -> tuple[str, ...]:
        """YAML to paste that passes over all rows of the header, with its names, and units that it
        gives.
        """
        if self.header is None:
            return ()
        row, names = self.header
        lines = [f"header_row: {row}", f"names: [{', '.join(map(headers.yaml_word, names))}]"]
        if units := {**self.read.config.units, **self._units()[0]}:
            lines.append(
                f"units: {{{', '.join(f'{name}: {unit}' for name, unit in units.items())}}}"
            )
        return (
            f"tables:\n  {self.read.table.name}:\n" + "\n".join(f"    {line}" for line in lines),
        )

    def _advice(self, kind: str, record: _Kind, count: int) -> str:
        remove = "Remove the row." if count == 1 else "Remove these rows."
        if self.header is None:
            units = self._units_advice() if kind == "units" else ""
            return (remove if record.removed else "") + record.advice + units
        rows = f"set `header_row: {self.header[0]}` under `tables.{self.read.table.name}`"
        if self.read.config.header_row is None:
            return (
                "The config says that the file has no header. If it has one, compare it with"
                f" `names`, which still name the columns, and {rows}; otherwise remove the row."
            )
        return (
            f"The header has several rows. Pass over all of them: {rows}, and give the `names` of"
            f" all columns.{self._units_advice()}"
        )

    def _units(self) -> tuple[dict[str, str], str]:
        """The units other than nm that the first unit row gives: those the config knows, and one it
        does not.
        """
        known: dict[str, str] = {}
        strange = ""
        for name, raw in self.units.items():
            column, match = self.read.table.columns[name], re.search(_UNIT, raw)
            if match is None or column.kind is not Kind.NUMBER or not column.dimension:
                continue
            unit = next(
                (short for long, short in _SPELLINGS.items() if match[1].startswith(long)), match[1]
            )
            if unit in NANOMETRE_EXPONENT:
                known |= {name: unit} if unit != "nm" else {}
            else:
                strange = strange or match[1]
        return known, strange

    def _units_advice(self) -> str:
        """What the units of the first unit row ask of the config."""
        known, strange = self._units()
        if known:
            setting = units_setting(self.read.table.name, self.read.config, known)
            return f" SynDB wants nanometres, so give the units in the config: `{setting}`."
        return (
            f" SynDB wants nanometres; convert the columns in {strange} at their source."
            if strange
            else ""
        )


def _texts(read: JustRead, part: Part, start: int, opened: ExitStack) -> Callable[[int], str]:
    """What gives the text of single lines of a part, asked for in ascending order.

    Of a text file it is as written, else the values as a line of csv.
    """
    if part.delimiter is not None:
        file = opened.enter_context(part.path.open("rb"))
        numbered = enumerate(lines.physical_lines(file, line_ends.line_end(part.path)), start=1)
        return lambda wanted: next(
            (raw.decode("utf-8", "replace") for line, raw in numbered if line == wanted), ""
        )
    values = ", ".join(casts.to_text(column_name(i), kind) for i, kind in enumerate(part.types))
    source = _fetch(
        read,
        f"""SELECT cells FROM (SELECT [{values}] AS cells, row_number() OVER () - 1 AS row FROM
              {part.source})
            WHERE row + {start} IN (SELECT row FROM stray) ORDER BY row""",
    )
    return lambda _: lines.joined(
        [(cell or "").encode() for cell in next(source)[0]], b","
    ).decode()


def _with_blanks(part: Part, blanks: Places) -> tuple[Problem, ...]:
    """The part's problems, with blank lines counted together with those it had."""
    had = [problem for problem in part.problems if problem.code == BLANK]
    places = [*blanks.examples, *(example for problem in had for example in problem.examples)]
    first = sorted(places, key=lambda place: place.row or 0)[:MAX_EXAMPLES]
    count = blanks.count + sum(problem.count for problem in had)
    rest = (problem for problem in part.problems if problem.code != BLANK)
    return (*rest, Problem(BLANK, part.file, count=count, examples=tuple(first)))
