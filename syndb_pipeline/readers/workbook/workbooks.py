"""Workbooks (.xlsx, .xlsm, .xls) by python-calamine: every cell as the text a person would read, in
a Parquet file.

Belongs here: sheets, headers and cells of a workbook. Does not: cells that calamine wrongly shows
as empty (`faults.py`).
"""

from __future__ import annotations

import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import date, time
from itertools import islice
from pathlib import Path
from typing import Final

from python_calamine import (
    CalamineError,
    CalamineSheet,
    CalamineWorkbook,
    PasswordError,
    SheetTypeEnum,
)

from syndb_pipeline.base.engine import parquet
from syndb_pipeline.config.table_settings import TableConfig
from syndb_pipeline.contract.tables import TABLES, Kind, Table
from syndb_pipeline.contract.vocabularies import nearest
from syndb_pipeline.readers import headers
from syndb_pipeline.readers.part import (
    DATE_KEY,
    MAX_COLUMNS,
    Part,
    Places,
    Problem,
    RefusedLines,
    Unreadable,
    cannot_read,
    column_name,
    refused,
    stops_early,
    too_many_columns,
)
from syndb_pipeline.readers.signatures import check_is
from syndb_pipeline.readers.workbook import package
from syndb_pipeline.readers.workbook.cells import (
    Cell,
    MergedCells,
    Sink,
    Totals,
    cell_text,
    is_blank,
    range_name,
)
from syndb_pipeline.readers.workbook.package import AGAIN, EXPORT
from syndb_pipeline.rules.finding import Example

MAX_SHEETS: Final = 1_000
"""Of one workbook. People make some ten; programs that write a sheet for each cell or animal make
hundreds.
"""

_LOOKED_AT: Final = 64_000_000
"""Bytes of all sheets together that are looked through to guess which of several is meant."""

_SAMPLE_ROWS: Final = 50
"""How far down column names are looked for when the header is none."""

_MAX_CELL: Final = 8 * 32_767
"""Of one cell; a letter takes up to 8 bytes in the file."""


def read(path: Path, file: str, table_name: str, config: TableConfig, scratch: Path) -> Part:
    """The rows of one sheet of the workbook at `path`, for the table called so. Raises `Unreadable`
    when it gives none.
    """
    _check_bytes(path, file)
    table = TABLES[table_name]
    with _readable(path, file):
        unpacked = path.stat().st_size
        if zipfile.is_zipfile(path):
            unpacked = package.check_archive(path, file)
        workbook = CalamineWorkbook.from_path(path)
        name = _choose_sheet(workbook, file, table, config, small=unpacked <= _LOOKED_AT)
        return _read_sheet(workbook.get_sheet_by_name(name), path, file, table, config, scratch)


def _check_bytes(path: Path, file: str) -> None:
    """Raise `Unreadable` when the file is empty or text, as tables are that a program only calls
    .xls.
    """
    with path.open("rb") as source:
        head = source.read(4096)
    if not head:
        raise cannot_read(
            file, "it is empty", "Export it again, or remove the table from the config."
        )
    if path.name.startswith("~$"):
        return  # a lock file, whatever it holds
    check_is(path, file, ".xls workbook" if head.startswith(b"PK") else "workbook")
    if head.startswith(b"PK") and not zipfile.is_zipfile(path):
        raise stops_early(file, "it begins as a workbook and lacks the directory that ends one")
    if package.is_cut(path):
        raise stops_early(file, "it is shorter than its own directory says")


@contextmanager
def _readable(path: Path, file: str) -> Iterator[None]:
    """Turn what is raised on a broken workbook, calamine's Rust panics among it, into
    `Unreadable`.
    """
    try:
        yield
    except PasswordError:
        raise cannot_read(
            file, "it is protected by a password", "Save a copy without password."
        ) from None
    except BaseException as error:
        panic = type(error).__name__ == "PanicException"  # of pyo3; it has no importable class
        if not panic and not isinstance(error, (CalamineError, *package.DAMAGE)):
            raise
        reason, advice = str(error), AGAIN
        if "declared uncompressed size" in reason:
            reason = "a file in it is larger than its zip directory says"
            raise refused(file, reason, AGAIN) from None
        if path.name.startswith("~$"):
            reason = "it is the lock file of an open workbook"
            advice = "Close the workbook, or narrow the glob in `file`."
        elif panic or not reason or (zipfile.is_zipfile(path) and not package.is_whole(path)):
            reason = "it is damaged"
        raise cannot_read(file, reason[0].lower() + reason[1:], advice) from None


def _sheets(workbook: CalamineWorkbook, file: str) -> list[str]:
    """The names of the sheets of cells."""
    sheets = [
        sheet.name for sheet in workbook.sheets_metadata if sheet.typ == SheetTypeEnum.WorkSheet
    ]
    if len(sheets) > MAX_SHEETS:
        raise refused(
            file,
            f"it has {len(sheets):,} sheets, and no more than {MAX_SHEETS:,} are looked through",
            EXPORT,
        )
    return sheets


def _choose_sheet(
    workbook: CalamineWorkbook, file: str, table: Table, config: TableConfig, *, small: bool
) -> str:
    sheets = _sheets(workbook, file)
    listed = ", ".join(sheets)
    if config.sheet is not None:
        if config.sheet not in sheets:
            near = nearest(config.sheet, sheets) or sheets
            advice = (
                f"Correct it: `tables.{table.name}.sheet: {headers.yaml_word(near[0])}`."
                if near
                else "Check the file."
            )
            raise Unreadable(
                Problem(
                    "SYN-READ-009",
                    file,
                    values={"sheet": config.sheet, "sheets": listed or "none", "advice": advice},
                )
            )
        return config.sheet
    if not sheets:
        raise cannot_read(file, "it has no sheet of cells", "Check that it is the right workbook.")
    if len(sheets) > 1:
        likely = nearest(table.name, sheets)
        if small and not likely:
            likely = [
                name
                for name in sheets
                if _row_of_names(workbook.get_sheet_by_name(name), table, config)
            ]
        example = headers.yaml_word((likely or sheets)[0])
        raise Unreadable(
            Problem(
                "SYN-READ-007",
                file,
                count=len(sheets),
                values={"sheets": listed, "example": example},
            )
        )
    return sheets[0]


def _read_sheet(
    sheet: CalamineSheet,
    path: Path,
    file: str,
    table: Table,
    config: TableConfig,
    scratch: Path,
) -> Part:
    """`sheet` streamed into the folder `scratch`.

    calamine's rows start at spreadsheet row 1 and its columns at the first one with a value.
    """
    if sheet.start is None or sheet.end is None:
        raise cannot_read(
            file,
            f"its sheet {sheet.name!r} is empty",
            "Choose another sheet, or remove the table from the config.",
        )
    first_column = sheet.start[1]
    if sheet.end[1] >= MAX_COLUMNS:
        raise too_many_columns(file, sheet.end[1] + 1)
    rows = enumerate(sheet.iter_rows(), start=1)
    header_row, names = _header(rows, sheet, file, table, config)
    blanks = Places(file, sheet.name)
    for number in range(config.header_row or 1, header_row):
        blanks.add(number)
    faults = package.find_faults(path, file, sheet.name)
    fault_rows = {fault.row for fault in faults}
    exact = {Kind.KEY, Kind.REFERENCE, Kind.INTEGER}
    meant = [
        {
            column.kind
            for each in config.names_of(name)
            if (column := table.column(each)) is not None
        }
        for name in names
    ]
    flagged = frozenset(i for i, kinds in enumerate(meant) if kinds & exact)
    keys = [i for i, kinds in enumerate(meant) if kinds & {Kind.KEY, Kind.REFERENCE}]
    dates: list[tuple[int, int, str]] = []
    read = {
        first_column + i: names[i]
        for i, kinds in enumerate(meant)
        if kinds and names[i] not in config.ignore
    }
    merged = MergedCells(
        sheet.merged_cell_ranges or [], header_row + 1, read, Places(file, sheet.name)
    )
    target = scratch / "sheet.parquet"
    sink = Sink(target, len(names), flagged)
    summed = Totals(
        package.totals_rows(path, sheet.name),
        [*read],
        RefusedLines(scratch / "totals.parquet"),
        Places(file, sheet.name),
    )
    jumps: list[tuple[int, int]] = []
    shift, gap = 0, []
    first_line = header_row + 1
    for number, row in rows:
        if is_blank(row) and number not in fault_rows:
            gap.append(number)  # reported only when a row follows
            continue
        for blank in gap:
            blanks.add(blank)
        gap = []
        if summed.take(number, first_column, row):
            continue
        if number - first_line - sink.rows != shift:
            shift = number - first_line - sink.rows
            jumps.append((sink.rows, shift))
        for i in keys:
            if isinstance(row[i], date | time):
                dates.append((number, i, cell_text(row[i])))
        if number in merged.rows:
            merged.see(number, first_column, row)
        sink.add(row)
    sink.close()
    problems = [*blanks.problem("SYN-READ-011"), *merged.problem(), *summed.problem()]
    # A column without name and without values is only a formatted one.
    kept = [i for i, name in enumerate(names) if name or sink.filled[i]]
    position = {index: place for place, index in enumerate(kept)}
    listed = [f"{column_name(i)} AS {column_name(place)}" for place, i in enumerate(kept)]
    listed += [f"f{i} AS f{place}" for place, i in enumerate(kept) if i in flagged]
    return Part(
        path=path,
        file=file,
        names=tuple(names[i] for i in kept),
        types=("VARCHAR",) * len(kept),
        source=f"(SELECT {', '.join(listed)} FROM {parquet(target)})",
        rows=sink.rows,
        sheet=sheet.name,
        refused=summed.refused.count,
        refused_lines=summed.refused.close(),
        damaged={column_name(place): f"f{place}" for place, i in enumerate(kept) if i in flagged},
        first_line=first_line,
        jumps=tuple(jumps),
        first=tuple(cell_text(sink.first[i]) for i in kept) if sink.rows else (),
        problems=tuple(problems),
        faults=(
            *((number, position[i], text, DATE_KEY) for number, i, text in dates),
            *(
                (fault.row, position[fault.column - first_column], fault.shown, fault.code)
                for fault in faults
                if fault.row > header_row and fault.column - first_column in position
            ),
        ),
    )


def _header(
    rows: Iterator[tuple[int, list[Cell]]],
    sheet: CalamineSheet,
    file: str,
    table: Table,
    config: TableConfig,
) -> tuple[int, tuple[str, ...]]:
    """The header's row and names, `rows` being left at the row after it; row 0 when there is
    none.
    """
    assert sheet.start is not None
    if config.names is not None:
        names = headers.tidy(config.names)
        if len(names) != sheet.width:
            reason = (
                f"its sheet {sheet.name!r} has {sheet.width} columns and `names` has {len(names)}"
            )
            raise cannot_read(
                file, reason, f"Give one name for each column in `tables.{table.name}.names`."
            )
        for _ in islice(rows, config.header_row or 0):
            pass
        return config.header_row or 0, names
    assert config.header_row is not None
    for number, row in rows:
        if number >= config.header_row and not is_blank(row):
            break
    else:
        reason = f"its sheet {sheet.name!r} ends before the header in row {config.header_row}"
        raise cannot_read(
            file, reason, f"Correct `tables.{table.name}.header_row`, or export the sheet again."
        )
    place = Example(file=file, sheet=sheet.name, row=number)
    merged = [
        range_name(*corners)
        for corners in sheet.merged_cell_ranges or []
        if corners[0][0] < number <= corners[1][0] + 1
    ]
    if merged:
        below = _row_of_names(sheet, table, config) or number
        advice = (
            f"Unmerge the header and name every column, or point `tables.{table.name}.header_row`"
            " at a row that does."
        )
        if below > number:
            advice = (
                f"The column names are in row {below}; say so: `tables.{table.name}.header_row:"
                f" {below}`."
            )
        raise Unreadable(
            Problem(
                "SYN-READ-008",
                file,
                count=len(merged),
                examples=(place,),
                values={"ranges": ", ".join(merged[:5]), "advice": advice},
            )
        )
    names = headers.tidy([cell_text(cell) for cell in row])
    if not set(names) & (headers.known_names(table, config) - {""}):
        names_in = _row_of_names(sheet, table, config)
        if names_in is not None or not headers.is_header(names, table, config):
            raise Unreadable(headers.no_header(place, names, table, config, names_in))
    rows_below = _first_rows(sheet, number + _SAMPLE_ROWS)[number:]
    names_in = headers.row_of_better_names(names, rows_below, table, config)
    if names_in is not None:
        raise Unreadable(headers.no_header(place, names, table, config, names_in))
    return number, names


def _row_of_names(sheet: CalamineSheet, table: Table, config: TableConfig) -> int | None:
    return headers.row_of_names(_first_rows(sheet, _SAMPLE_ROWS), table, config)


def _first_rows(sheet: CalamineSheet, count: int) -> list[tuple[int, list[str]]]:
    """The first rows of a sheet, each with its number: at most `count`."""
    return [
        (number, [cell_text(cell) for cell in row])
        for number, row in enumerate(islice(sheet.iter_rows(), count), start=1)
    ]


def peek(path: Path, count: int) -> list[tuple[str, list[tuple[int, list[str]]]]]:
    """The sheets of the workbook at `path`, each with its first rows but blank ones. Raises
    `Unreadable`.
    """
    file = path.name
    _check_bytes(path, file)
    with _readable(path, file):
        if zipfile.is_zipfile(path):
            package.check_archive(path, file)
        workbook = CalamineWorkbook.from_path(path)
        found = []
        for name in _sheets(workbook, file):
            rows = _first_rows(workbook.get_sheet_by_name(name), count)
            if any(len(cell) > _MAX_CELL for _, row in rows for cell in row):
                raise refused(file, package.LONG_TEXT, EXPORT)
            cells = [(number, [cell.strip() for cell in row]) for number, row in rows]
            found.append((name, [(number, row) for number, row in cells if any(row)]))
        return found


def cells(
    path: Path,
    sheet: str,
    header: Sequence[str] | int,
    names: Sequence[str],
    lines: Sequence[int],
) -> list[tuple[str | None, ...]]:
    """The cells of the columns `names` in the rows `lines`, ascending, of a sheet that was read:
    None where there is nothing. `header` are the names of its columns, or the row that has them.
    """
    found: dict[int, tuple[str | None, ...]] = {}
    wanted = {*lines}
    with _readable(path, path.name):
        rows = CalamineWorkbook.from_path(path).get_sheet_by_name(sheet).iter_rows()
        indexes = None if isinstance(header, int) else _indexes(header, names)
        for number, row in enumerate(islice(rows, max(wanted, default=0)), start=1):
            if number == header:
                indexes = _indexes([*map(cell_text, row)], names)
            elif number in wanted and indexes is not None:
                found[number] = tuple(cell_text(row[at]) or None for at in indexes)
    return [found.get(line, (None,) * len(names)) for line in lines]


def _indexes(header: Sequence[str], names: Sequence[str]) -> list[int]:
    tidy = headers.tidy(header)
    return [tidy.index(name) for name in names]
