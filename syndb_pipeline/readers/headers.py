"""Column names of a file: whether there are any, and which of SynDB's columns each one is.

Belongs here: the header and the findings about it. Does not: reading files.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from syndb_pipeline.config.table_settings import TableConfig
from syndb_pipeline.contract.no_value import OF_PROGRAMS
from syndb_pipeline.contract.tables import SERVER_COLUMNS, Table
from syndb_pipeline.readers.casts import WHITE_SPACE
from syndb_pipeline.readers.part import Problem
from syndb_pipeline.rules.finding import Example

_NO_VALUE: Final = "|".join(map(re.escape, OF_PROGRAMS))
_DATUM: Final = re.compile(
    rf"[+-]?(\d+([.,]\d*)?|[.,]\d+)([eE][+-]?\d+)?|true|false|{_NO_VALUE}|\d{{4}}-\d\d-\d\d.*",
    re.IGNORECASE,
)

_YAML_MEANINGS: Final = ("true", "false", "yes", "no", "on", "off", "null", "y", "n")


def tidy(names: Sequence[str]) -> tuple[str, ...]:
    """Column names without the white space around them."""
    return tuple(name.strip(WHITE_SPACE) for name in names)


def known_names(table: Table, config: TableConfig) -> set[str]:
    """Every column name that means something for this table, in SynDB's words or the config's."""
    aliases = {alias for column in table.columns.values() for alias in column.aliases}
    return set(table.columns) | aliases | set(config.columns) | set(config.ignore) | SERVER_COLUMNS


def is_header(names: Sequence[str], table: Table, config: TableConfig) -> bool:
    """Whether a first row can be a header: some name is known, or at least no cell of it looks like
    a datum.
    """
    cells = tidy(names)
    if set(cells) & (known_names(table, config) - {""}):
        return True
    return any(cells) and not any(_DATUM.fullmatch(cell) for cell in cells)


def is_datum(cell: str) -> bool:
    """Whether a cell is plainly a value and no name: a number, a date, true or false, a word for
    "no value".
    """
    return _DATUM.fullmatch(cell) is not None


def row_of_names(
    rows: Iterable[tuple[int, Sequence[str]]], table: Table, config: TableConfig, more_than: int = 1
) -> int | None:
    """The number of the first of `rows`, pairs of number and cells, that holds more known column
    names than `more_than`.
    """
    known = known_names(table, config) - {""}
    return next(
        (number for number, cells in rows if len(set(tidy(cells)) & known) > more_than), None
    )


def row_below_title(rows: Sequence[tuple[int, Sequence[str]]]) -> int | None:
    """The number of the row that names the columns where the first of `rows` is a title; None where
    it is not one.

    A title is one cell. The names are the next row with several cells, none of which looks like a
    datum; some cell of the next row does, and most rows below have several cells too.
    """
    filled = [(number, [cell for cell in tidy(cells) if cell]) for number, cells in rows]
    filled = [(number, cells) for number, cells in filled if cells]
    if not filled or len(filled[0][1]) != 1:
        return None
    wide = [(number, cells) for number, cells in filled if len(cells) > 1]
    data = [any(_DATUM.fullmatch(cell) for cell in cells) for _, cells in wide]
    if len(wide) < 2 or data[0] or not data[1]:
        return None
    below = [cells for number, cells in filled if number > wide[0][0]]
    return wide[0][0] if (len(wide) - 1) * 10 >= len(below) * 9 else None


def row_of_better_names(
    names: Sequence[str],
    rows: Sequence[tuple[int, Sequence[str]]],
    table: Table,
    config: TableConfig,
) -> int | None:
    """The number of the first of `rows` that names columns better than `names`, taken from the row
    before them; None where none does.

    It holds more of the known names; or `names` are one title, and it is the first that can be a
    header.
    """
    own = len(set(tidy(names)) & (known_names(table, config) - {""}))
    better = row_of_names(rows, table, config, max(own, 1))
    return better if better is not None else row_below_title([(0, names), *rows])


def no_header(
    place: Example,
    names: Sequence[str],
    table: Table,
    config: TableConfig,
    names_in: int | None = None,
) -> Problem:
    """The finding that `names`, which are at `place` where the header should be, are none;
    `names_in` is the row that has names.
    """
    block: tuple[str, ...] = ()
    if names_in is not None:
        advice = (
            f"The column names stand in row {names_in}; say so: `tables.{table.name}.header_row:"
            f" {names_in}`."
        )
    else:
        likely = _likely_names(len(names), table, config)
        listed = f"[{', '.join(likely)}]" if likely else "[...]"
        # Neither setting is of use without the other, so neither is offered to be pasted alone.
        settings = f"under `tables.{table.name}`, set `header_row: null` and `names: {listed}`"
        advice = (
            f"Add a header row, or name the columns in the config: {settings}, with one name for"
            f" each of the {len(names)} columns."
        )
        if likely:
            block = (f"tables:\n  {table.name}:\n    header_row: null\n    names: {listed}",)
    values = {"first": ", ".join(name for name in names if name)[:200], "advice": advice}
    return Problem("SYN-READ-006", place.file, examples=(place,), values=values, settings=block)


def _likely_names(width: int, table: Table, config: TableConfig) -> list[str]:
    """The names that a list of pairs without header most likely has: sender, receiver and how
    strong; none for other tables.
    """
    if table.pair is None:
        return []
    lab = {target: yaml_word(name) for name, target in config.mapped}
    every = ["cid", *table.pair, "connection_score"]
    names = {2: every[1:3], 3: every[1:], 4: every}.get(width, [])
    return [lab.get(name, name) for name in names]


def yaml_word(word: str) -> str:
    """`word` as it is in a flow mapping or list of YAML."""
    plain = (
        re.fullmatch(r"[A-Za-z_][A-Za-z0-9_. -]*[A-Za-z0-9_]|[A-Za-z_]", word)
        and word.lower() not in _YAML_MEANINGS
    )
    return word if plain else json.dumps(word, ensure_ascii=False)


def yaml_path(path: str) -> str:
    """`path` as it is behind a key of YAML: plain where that reads as the same text."""
    return (
        path
        if re.fullmatch(r"[A-Za-z0-9_./][A-Za-z0-9_./*=-]*[A-Za-z]", path) and "/" in path
        else yaml_word(path)
    )


JOINTS: Final = (",", ";", "\t", "|")
"""What may be between the values of a line that became one cell."""


IN_FILE: Final = "<name in the file>"
"""Where a person has to write a name."""


def mapping(table: str, pairs: Mapping[str, str | list[str]]) -> str:
    """`pairs` of a lab's name and SynDB's, or several of SynDB's, as the setting of `table` that
    maps them.
    """
    listed = ", ".join(
        f"{lab if lab == IN_FILE else yaml_word(lab)}: {_flow(target)}"
        for lab, target in pairs.items()
    )
    return f"`tables.{table}.columns: {{{listed}}}`"


def leaving_out(table: str, config: TableConfig, lab: str, column: str) -> str:
    """How the config of `table` leaves out SynDB's `column`, which the file calls `lab`: a setting,
    or words where `columns` maps it.
    """
    if lab not in config.columns:
        return f"`tables.{table}.ignore: [{listed(config.ignore, [lab])}]`"
    if len(config.names_of(lab)) > 1:
        return f"take {column} out of the names of {lab!r} in `tables.{table}.columns`"
    return f"move {lab!r} from `tables.{table}.columns` to `ignore`"


def _flow(names: str | list[str]) -> str:
    return (
        names if isinstance(names, str) else f"[{', '.join(names)}]" if len(names) > 1 else names[0]
    )


def listed(*names: Iterable[str]) -> str:
    return ", ".join(yaml_word(name) for some in names for name in some)
