"""Rows of a table that are no data: headers, units or types among the rows, delimiters alone,
totals.

Belongs here: distinguishing them from rows of data after a table was read, and taking them out.
What they do, and what to do about them, is in the TOML file. Does not: the first rows of a file
(`head_rows.py`), lines that cannot be read at all (`readers/text`), totals by keys
(`stray_keys.py`) and by columns that are read (`vocabulary.py`).

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

from syndb_pipeline.base.engine import is_surely_full, literal, parquet, quote, write_parquet
from syndb_pipeline.base.system import rename
from syndb_pipeline.checks.causes import Cause, causes, label
from syndb_pipeline.checks.causes import read as read_causes
from syndb_pipeline.checks.dataset import JustRead
from syndb_pipeline.checks.rows import head_rows
from syndb_pipeline.checks.units.magnitudes import units_setting
from syndb_pipeline.config.table_settings import NANOMETRE_EXPONENT
from syndb_pipeline.contract.key_encoding import rows_of
from syndb_pipeline.contract.tables import Kind
from syndb_pipeline.readers import casts, headers, summary_words
from syndb_pipeline.readers.part import (
    Part,
    Places,
    Problem,
    RefusedLines,
    column_name,
    jumps_without,
    line_of,
)
from syndb_pipeline.readers.text import lines
from syndb_pipeline.rules.finding import MAX_EXAMPLES, Example

CODE: Final = "SYN-READ-017"
BLANK: Final = "SYN-READ-011"

_KINDS: Final = causes(Path(__file__).with_suffix(".toml"), Cause)
_MACROS: Final = read_causes(Path(__file__).with_suffix(".toml"))["macros"]


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
    cells = "STRUCT(col VARCHAR, raw VARCHAR)[]"
    read.fetch(f"CREATE OR REPLACE TABLE stray (row BIGINT, kind VARCHAR, cells {cells})")
    # Planning the long query takes as long as reading a small table; most have no cell for it to
    # look at.
    queries = [] if _has_values(read) else [_empty_rows(read)]
    queries += [_bad_rows(read)] if read.has_cells else []
    some = sum(read.row(f"INSERT INTO stray {query}")[0] for query in queries) > 0
    known = {}
    if some:
        first = [row for rows in head_rows.first_rows(read) for row in rows]
        known = dict(read.fetch("SELECT row, kind FROM stray WHERE list_contains(?, row)", [first]))
    head = dict(head_rows.find(read, known))
    if not some and not head:
        return Found([*read.parts], [], [])
    kind = "header" if read.config.header_row is None else "words"
    for row, bad in head.items():
        texts = [{"col": name, "raw": raw} for name, raw in bad.items()]
        read.fetch(f"INSERT INTO stray SELECT ?, ?, ?::{cells}", [row, kind, texts])
    starts, parts = read.starts, [*read.parts]
    taken = _Taken(read, scratch, _whole_header(read, {*known, *head}))
    strays = _fetch(read, "SELECT row, kind, cells FROM stray ORDER BY row")
    for index, group in groupby(strays, key=lambda stray: bisect_right(starts, stray[0]) - 1):
        parts[index] = taken.from_part(parts[index], starts[index], group)
    if removed := taken.removed.close():
        beside = scratch / "without.parquet"
        # Joins lose the order of rows, so they are put back into it.
        query = f"""SELECT * EXCLUDE (file_row_number) FROM {read.source}
            WHERE file_row_number NOT IN (SELECT line FROM {parquet(removed)})
            ORDER BY file_row_number"""
        write_parquet(read.connection, query, beside)
        rename(beside, read.file)
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


def _bad_rows(table: JustRead) -> str:
    """A query for the rows that are a header, units or types, by what their cells say."""
    texts, numeric = [], False
    for name in table.names:
        if table.table.columns[name].kind in (Kind.NUMBER, Kind.INTEGER, Kind.BOOLEAN):
            raw = f"list_filter(bad, lambda cell: cell.col = {literal(name)})[1].raw"
            texts.append(f"coalesce({raw}, {quote(name)}::VARCHAR)")
            numeric = True
        else:
            texts.append(f"lower(strip_text({quote(name)}))")

    def folded(names: Iterable[str]) -> list[str]:
        return [name.strip(casts.WHITE_SPACE).lower() for name in names]

    every = headers.known_names(table.table, table.config) | {*table.parts[0].names, *table.names}
    known = literal(sorted({*folded(every)} - {""}))
    names = literal(folded(table.names.values()))
    return f"""
        WITH bad AS (
            SELECT file_row_number AS row, *, list_transform(
                list_filter({casts.cells_of()}, lambda cell: cell.kind = 'uncast'),
                lambda cell: {{'col': cell.col, 'raw': lower(strip_text(cell.raw))}}) AS bad
            FROM {rows_of(table.file, row_number=True)} WHERE {casts.CELLS} IS NOT NULL
        ), said AS (
            SELECT row, bad, [{", ".join(texts)}] AS own,
                list_filter(own, lambda text: text <> '') AS texts FROM bad
            -- A text that begins like a number is a damaged number.
            WHERE len(list_filter(bad, lambda cell: regexp_matches(cell.raw, '^[-+.(]?[0-9]'))) = 0
        ), kinds AS (
            SELECT *, {_MACROS["described"]} AS described,
                len(list_filter(texts, lambda text: NOT list_contains({known}, text))) = 0
                    AND len(texts) >= {min(2, len(table.names))} AND (len(bad) > 0 OR {not numeric})
                      AS named,
                len(list_filter(list_zip(own, {names}), lambda pair: pair[1] <> pair[2])) = 0
                    OR NOT list_has_all({names}, texts) AS in_order
            FROM said
        )
        SELECT row, {label(_KINDS.values())} AS kind, bad FROM kinds WHERE kind <> ''"""


def _has_values(read: JustRead) -> bool:
    """Whether a column, as one of keys, surely has a value in every row."""
    return any(
        is_surely_full(read.file, name)
        for name in read.names
        if read.table.columns[name].kind is not Kind.TEXT
    )


def _empty_rows(read: JustRead) -> str:
    """A query for the rows in which no column that is read holds anything."""
    empty = [
        f"coalesce(strip_text({quote(name)}), '') = ''"
        if read.table.columns[name].kind is Kind.TEXT
        else f"{quote(name)} IS NULL"
        for name in read.names
    ]
    nothing = " AND ".join([*empty, f"{casts.CELLS} IS NULL"])
    return f"SELECT file_row_number, 'blank', NULL FROM {read.source} WHERE {nothing}"


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
        no_header, table = self.read.config.header_row is None, self.read.table.name
        for kind, found in self.places.items():
            file = found[0].file if len(found) == 1 else None
            count = sum(places.count for places in found)
            facts: dict[str, Any] = {"count": count, "units": ""}
            if kind == "units" or self.header:
                facts["units"] = self._units_advice()
            name = "denied" if kind == "header" and no_header else kind
            values = _KINDS[name].described(facts)
            if self.header:
                name = "header_of_a_file_without" if no_header else "header_of_several_rows"
                values["advice"] = _KINDS[name].advice(row=self.header[0], table=table, **facts)
            problems.append(
                Problem(
                    CODE,
                    file,
                    count=count,
                    examples=tuple(each for places in found for each in places.examples)[
                        :MAX_EXAMPLES
                    ],
                    values={
                        "place": file or f"{len(found):,} files of {table}",
                        "what": values["reason"],
                        "advice": values["advice"],
                    },
                    confidence=values["confidence"],
                    settings=self._header_settings(),
                )
            )
        return problems

    def _header_settings(self) -> tuple[str, ...]:
        """YAML to paste that passes over all rows of the header, with its names, and its units."""
        if self.header is None:
            return ()
        row, names = self.header
        lines = [f"header_row: {row}", f"names: [{', '.join(map(headers.yaml_word, names))}]"]
        if units := {**self.read.config.units, **self._units()[0]}:
            listed = ", ".join(f"{name}: {unit}" for name, unit in units.items())
            lines.append(f"units: {{{listed}}}")
        return (f"tables:\n  {self.read.table.name}:\n    " + "\n    ".join(lines),)

    def _units(self) -> tuple[dict[str, str], str]:
        """The units other than nm that the first unit row gives: those the config knows, and one it
        does not."""
        known: dict[str, str] = {}
        strange = ""
        for name, raw in self.units.items():
            column, match = self.read.table.columns[name], re.search(_MACROS["unit"], raw)
            if match is None or column.kind is not Kind.NUMBER or not column.dimension:
                continue
            spellings = _MACROS["spellings"].items()
            unit = next((short for long, short in spellings if match[1].startswith(long)), match[1])
            if unit not in NANOMETRE_EXPONENT:
                strange = strange or match[1]
            elif unit != "nm":
                known[name] = unit
        return known, strange

    def _units_advice(self) -> str:
        """What the units of the first unit row ask of the config."""
        known, strange = self._units()
        if known:
            setting = units_setting(self.read.table.name, self.read.config, known)
            return _KINDS["known_units"].advice(setting=setting)
        return _KINDS["strange_units"].advice(strange=strange) if strange else ""


def _texts(read: JustRead, part: Part, start: int, opened: ExitStack) -> Callable[[int], str]:
    """What gives the text of single lines of a part, asked for in ascending order.

    Of a text file it is as written, else the values as a line of csv.
    """
    if part.delimiter is not None:
        file = opened.enter_context(part.path.open("rb"))
        numbered = enumerate(lines.physical_lines(file, lines.line_end(part.path)), start=1)
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
    first = tuple(sorted(places, key=lambda place: place.row or 0)[:MAX_EXAMPLES])
    count = blanks.count + sum(problem.count for problem in had)
    rest = [problem for problem in part.problems if problem not in had]
    return (*rest, Problem(BLANK, part.file, count=count, examples=first))


# -- rows that a column which is not read calls a total, as Fiji's column Label does


def labelled_rows(read: JustRead) -> list[Problem]:
    """SYN-READ-023: for each column whose words say that rows are a total, a mean or the like, one
    problem.
    """
    if not read.has_cells:
        return []
    noted = f"""SELECT file_row_number AS row, cell.col AS col, trim(cell.raw) AS word
        FROM (SELECT file_row_number, unnest({casts.cells_of()}) AS cell FROM {read.source}
            WHERE {casts.CELLS} IS NOT NULL) WHERE cell.kind = {literal(summary_words.LABEL)}"""
    ends = literal([end - 1 for end in read.starts[1:]])
    words = read.fetch(
        f"""SELECT col, word, count(*), {summary_words.is_plain("word")},
                bool_or(list_contains({ends}::BIGINT[], row))
            FROM ({noted}) GROUP BY col, word ORDER BY col, min(row)"""
    )
    found = []
    for column, own in groupby(words, key=lambda said: said[0]):
        said = {word: rest for _, word, *rest in own}
        counts = {word: (count, plain) for word, (count, plain, _) in said.items()}
        last = [word for word, (*_, ends_file) in said.items() if ends_file]
        meant = summary_words.meant(counts, read.starts[-1], len(read.parts), last)
        examples = []
        for row, word in read.fetch(
            f"""SELECT row, word FROM ({noted}) WHERE col = ? AND list_contains(?::VARCHAR[], word)
                ORDER BY row LIMIT {MAX_EXAMPLES}""",
            [column, meant],
        ):
            part, line = read.place(row)
            examples.append(
                Example(file=part.file, sheet=part.sheet, row=line, column=column, value=word)
            )
        if not examples:
            continue
        files = {example.file for example in examples}
        says = summary_words.listed(meant)
        found.append(
            Problem(
                summary_words.CODE,
                files.pop() if len(files) == 1 else None,
                column=column,
                count=sum(counts[word][0] for word in meant),
                examples=tuple(examples),
                values={"reason": f"the column {column!r}, which is not read, says {says} there"},
                confidence="likely",
            )
        )
    return found
