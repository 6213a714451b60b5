"""Small changes of a lab's files, to be put together into mistakes.

Belongs here: what a person, a spreadsheet or a script does to a table. Does not: which of them are
mistakes, and what must be said of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from tests.lab_files import Cell, File, Lab, Write, as_parquet, as_text, as_workbook

Change = Callable[[Lab], None]


def together(*changes: Change) -> Change:
    """One after the other."""

    def apply(lab: Lab) -> None:
        for change in changes:
            change(lab)

    return apply


def each(
    table: str, column: str, function: Callable[[str], Cell], rows: Iterable[int] | None = None
) -> Change:
    """Every cell of a column, or those in the file's `rows` (the header is row 1), put through
    `function`.
    """
    chosen = None if rows is None else set(rows)

    def apply(lab: Lab) -> None:
        index = lab.index(table, column)
        for number, row in enumerate(lab.rows(table)[1:], start=2):
            if chosen is None or number in chosen:
                row[index] = function("" if row[index] is None else str(row[index]))

    return apply


def put(table: str, column: str, rows: int | Iterable[int], value: Cell) -> Change:
    """`value` into one cell, or into one column of several rows."""
    return each(table, column, lambda _: value, [rows] if isinstance(rows, int) else rows)


def named(table: str, column: str, name: str) -> Change:
    """The column `column` is called `name`."""

    def apply(lab: Lab) -> None:
        lab.rows(table)[0][lab.index(table, column)] = name

    return apply


def exchanged(table: str, one: str, other: str) -> Change:
    """Two columns have each other's names."""

    def apply(lab: Lab) -> None:
        header, first, second = lab.rows(table)[0], lab.index(table, one), lab.index(table, other)
        header[first], header[second] = other, one

    return apply


def column(table: str, name: str, value: Cell | Callable[[dict[str, Cell]], Cell]) -> Change:
    """A further column on the right; `value` may be reckoned from the row."""

    def apply(lab: Lab) -> None:
        header, *body = lab.rows(table)
        for row in body:
            row.append(
                value(dict(zip(map(str, header), row, strict=False))) if callable(value) else value
            )
        header.append(name)

    return apply


def numbered(table: str, name: str, first: int) -> Change:
    """A further column on the left, of the rows' numbers from `first`, as R and pandas write it."""

    def apply(lab: Lab) -> None:
        header, *body = lab.rows(table)
        header.insert(0, name)
        for number, row in enumerate(body, start=first):
            row.insert(0, str(number))

    return apply


def mirrored(table: str) -> Change:
    """The columns in the other order."""

    def apply(lab: Lab) -> None:
        for row in lab.rows(table):
            row.reverse()

    return apply


def without(table: str, *names: str) -> Change:
    """Columns are taken out."""

    def apply(lab: Lab) -> None:
        for name in names:
            index = lab.index(table, name)
            for row in lab.rows(table):
                del row[index]

    return apply


def line(table: str, row: int, cells: Sequence[Cell] | None = None) -> Change:
    """A further row that becomes the file's `row`; without cells, the header once more."""

    def apply(lab: Lab) -> None:
        lab.rows(table).insert(row - 1, list(lab.rows(table)[0] if cells is None else cells))

    return apply


def rows(table: str, function: Callable[[list[list[Cell]]], list[list[Cell]]]) -> Change:
    """The rows below the header put through `function`."""

    def apply(lab: Lab) -> None:
        header, *body = lab.rows(table)
        lab.tables[table].rows = [header, *function(body)]

    return apply


def config(table: str, **options: Any) -> Change:
    """The config says this of `table`; None takes out what it says."""

    def apply(lab: Lab) -> None:
        for key, value in options.items():
            lab.options(table).pop(key, None)
            if value is not None:
                lab.options(table)[key] = value

    return apply


def headerless(table: str, *names: str) -> Change:
    """The config says that the file has no header, and gives the names."""
    return lambda lab: lab.options(table).update(header_row=None, names=list(names))


def file(table: str, name: str, write: Write | None = None, *, told: bool = True) -> Change:
    """The table lies in the file `name`, written by `write`; the config knows of it unless `told`
    is False.
    """
    writers: dict[str, Callable[[], Write]] = {"xlsx": as_workbook, "parquet": as_parquet}

    def apply(lab: Lab) -> None:
        lab.tables[table].name = name
        lab.tables[table].write = write or writers.get(name.rpartition(".")[2], as_text)()
        if told:
            lab.options(table)["file"] = name

    return apply


def workbook(table: str, **options: Any) -> Change:
    """The table lies in an .xlsx."""
    return file(table, f"{table}.xlsx", as_workbook(**options))


def parquet(table: str, **types: Any) -> Change:
    """The table lies in a Parquet file."""
    return file(table, f"{table}.parquet", as_parquet(**types))


def content(table: str, function: Callable[[bytes], bytes]) -> Change:
    """The bytes of the table's file put through `function`."""

    def apply(lab: Lab) -> None:
        lab.tables[table].bytes_of = function

    return apply


def text(table: str, function: Callable[[str], str]) -> Change:
    """The text of the table's file put through `function`."""
    return content(table, lambda written: function(written.decode("utf-8")).encode("utf-8"))


def lost(table: str) -> Change:
    """The table's file is not there, and the config still names it."""

    def apply(lab: Lab) -> None:
        lab.beside["README.txt"] = b"The tables of this dataset.\n"
        del lab.tables[table]

    return apply


def unlisted(table: str) -> Change:
    """The dataset has no such table."""

    def apply(lab: Lab) -> None:
        del lab.tables[table], lab.config["tables"][table]

    return apply


def further(table: str, name: str, cells: list[list[Cell]], **options: Any) -> Change:
    """A further table, made from rows of the set."""

    def apply(lab: Lab) -> None:
        lab.tables[table] = File(name, [list(row) for row in cells])
        lab.config["tables"][table] = {"file": name} | options

    return apply


def copied(table: str, source: str, columns: dict[str, str], name: str = "") -> Change:
    """A further table that has `columns` (new name -> name in `source`) of another."""

    def apply(lab: Lab) -> None:
        indexes = [lab.index(source, old) for old in columns.values()]
        made: list[list[Cell]] = [
            list(columns),
            *([row[i] for i in indexes] for row in lab.rows(source)[1:]),
        ]
        lab.tables[table] = File(name or f"{table}.csv", made)
        lab.config["tables"][table] = {"file": name or f"{table}.csv"}

    return apply


def with_neurons(lab: Lab) -> None:
    """The guide's axons get a table of the neurons they are part of: axon 1 is part of N1, and so
    on.
    """
    keys = [str(row[lab.index("axon", "cid")]) for row in lab.rows("axon")[1:]]
    further("neuron", "neuron.csv", [["cid"], *([f"N{key}"] for key in keys)])(lab)
    column("axon", "parent_id", lambda row: f"N{row['cid']}")(lab)


def corrected(table: str, column: str, row: int, was: str, now: str) -> Change:
    """A person's correction of one cell, in `corrections/<table>.csv`."""

    def apply(lab: Lab) -> None:
        lines = f"file,line,column,was,now\n{lab.tables[table].name},{row},{column},{was},{now}\n"
        lab.beside[f"corrections/{table}.csv"] = lines.encode()

    return apply


def beside(name: str, function: Callable[[bytes], bytes] | bytes | None) -> Change:
    """A file beside the tables: put through `function`, of these bytes, or gone."""

    def apply(lab: Lab) -> None:
        if function is None:
            del lab.beside[name]
        elif isinstance(function, bytes):
            lab.beside[name] = function
        else:
            found = lab.beside[name]
            lab.beside[name] = function(found.read_bytes() if isinstance(found, Path) else found)

    return apply
