"""Small datasets broken by chance in several ways at once, as csv, workbooks and Parquet, with what
a person finds in their files.

Belongs here: making the files, checking them, counting rows and reading cells without the pipeline.
Does not: expectations.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Any

import openpyxl
import pyarrow
import pyarrow.parquet

from syndb_pipeline.state.stage import Context
from syndb_pipeline.state.store import Record
from tests.campaigns import sampled
from tests.lab import context_for, run_stages

pa: Any = pyarrow  # it carries no types
pq: Any = pyarrow.parquet

Grid = list[list[str]]

LAYOUT: dict[str, list[str]] = {
    "neuron": ["cid", "cable_length", "n_branches", "neuron_type", "is_tree"],
    "neuron_relation": ["pre_synapse_id", "post_synapse_id", "connection_score"],
    "dendrite": ["cid", "parent_id", "dendritic_spine_count", "mesh_path"],
    "axon": [
        "cid",
        "parent_id",
        "terminal_count",
        "mesh_volume",
        "mesh_surface_area",
        "mesh_area_volume_ratio",
    ],
    "synapse": ["cid", "pre_synapse_id", "post_synapse_id", "gaba", "cave_id"],
    "pre_synaptic_terminal": ["cid", "parent_id", "vesicle_count", "total_vesicle_volume"],
    "dendritic_spine": ["cid", "parent_id", "centroid_x", "centroid_y", "centroid_z"],
    "nucleus": ["cid", "parent_id", "voxel_radius", "mesh_sphericity"],
    "endoplasmic_reticulum": ["cid", "parent_id", "ribosome_count"],
    "mitochondria": ["cid", "parent_id", "voxel_volume", "neuron_id"],
    "vesicle": [
        "cid",
        "parent_id",
        "neurotransmitter",
        "voxel_radius",
        "minimum_normal_length",
        "parent_enum",
    ],
}
"""All tables of SynDB, each with a few of its columns."""

PARENTS = {
    "dendrite": "neuron",
    "axon": "neuron",
    "pre_synaptic_terminal": "axon",
    "dendritic_spine": "dendrite",
    "nucleus": "neuron",
    "endoplasmic_reticulum": "neuron",
    "mitochondria": "axon",
    "vesicle": "pre_synaptic_terminal",
}

_ODD = (
    *(
        "-1",
        "-9999",
        "0",
        "1e3",
        "-1e3",
        " 12 ",
        "-0.50",
        "007",
        "+5",
        "1.0",
        "-1.0",
        "NA",
        "n/a",
        "-",
        "NaN",
        "inf",
        "1,5",
        "-1,5",
    ),
    *(
        "12 nm",
        "0.02 um",
        "3-Mar",
        "2024-03-01",
        "1,234",
        "1e400",
        "1e-400",
        "9007199254740993",
        "2147483648",
        "-2147483649",
        "99.5",
    ),
    *(
        "=1+1",
        "abc",
        "\u03b1",
        "Stelate",
        "x" * 70,
        "true",
        "  ",
        "a\nb",
        'a"b',
        "\u22125",
        "\u0663",
        "1_000",
        "0x1F",
        "-0",
        ".5",
        "5.",
    ),
)


@dataclass
class Broken:
    """A dataset before it is written: `files` gives each table's grids, header first, one a
    file.
    """

    rng: Random
    files: dict[str, list[Grid]]
    settings: dict[str, dict[str, Any]]
    form: str = "csv"
    delimiter: str = ","
    end: str = "\n"
    encoding: str = "utf-8"
    tails: dict[tuple[str, int], str] = field(
        default_factory=dict
    )  # what stands behind the last row of a csv file
    done: list[str] = field(default_factory=list)

    def some(self) -> Grid:
        """A grid with rows."""
        return self.rng.choice(
            [grid for grids in self.files.values() for grid in grids if len(grid) > 1]
            or [[["cid"], ["k"]]]
        )

    def cell(self) -> tuple[Grid, int, int]:
        grid = self.some()
        row = self.rng.randrange(1, len(grid))
        return grid, row, self.rng.randrange(len(grid[row])) if grid[row] else 0


def _value(rng: Random, table: str, column: str, number: int) -> str:
    if column == "cid":
        return f"{table[0]}{number}"
    if column in ("pre_synapse_id", "post_synapse_id"):
        return f"n{rng.randrange(6)}"
    if column == "parent_id":
        return f"{PARENTS[table][0]}{rng.randrange(6)}"
    fixed = {
        "neuron_type": "stellate",
        "is_tree": "true",
        "neurotransmitter": "glutamate",
        "mesh_path": "",
        "neuron_id": "",
        "gaba": "0.5",
    }
    fixed |= {
        "mesh_sphericity": "0.9",
        "n_branches": "3",
        "cave_id": "17",
        "parent_enum": "",
        "connection_score": "0.5",
    }
    fixed |= {
        "mesh_volume": "3e7",
        "mesh_surface_area": "6e5",
        "mesh_area_volume_ratio": "0.02",
        "voxel_volume": "2.5e8",
    }
    fixed |= {
        "voxel_radius": "3000" if table == "nucleus" else "20.25",
        "cable_length": "52000",
        "total_vesicle_volume": "90000",
    }
    return fixed.get(
        column, str(rng.randrange(1, 9) * (1000 if column.startswith("centroid") else 1))
    )


def _odd_cells(data: Broken) -> None:
    for _ in range(data.rng.randint(1, 6)):
        grid, row, column = data.cell()
        if grid[row]:
            grid[row][column] = data.rng.choice(_ODD)


def _whole_column(data: Broken) -> None:
    grid, _, column = data.cell()
    value = data.rng.choice(_ODD)
    for row in grid[1:]:
        if column < len(row):
            row[column] = value


def _ragged(data: Broken) -> None:
    grid, row, _ = data.cell()
    if data.form == "csv":
        grid[row] = [*grid[row], "surplus"] if data.rng.random() < 0.5 else grid[row][:-1]


def _blank_lines(data: Broken) -> None:
    for _ in range(data.rng.randint(1, 3)):
        grid = data.some()
        grid.insert(data.rng.randint(1, len(grid)), [])


def _line_breaks(data: Broken) -> None:
    grid, row, column = data.cell()
    if grid[row]:
        grid[row][column] = data.rng.choice(["two\nlines", '"quoted", twice', "a\n\nb", "x\ny\nz"])


def _orphans(data: Broken) -> None:
    for grid in [grid for grids in data.files.values() for grid in grids]:
        if "parent_id" in grid[0] and data.rng.random() < 0.4:
            for row in grid[1:]:
                if len(row) > 1 and data.rng.random() < 0.5:
                    row[1] = data.rng.choice(
                        [
                            "ghost",
                            f" {row[1]}",
                            row[1].upper(),
                            f"{row[1]}.0",
                            "-1",
                            f"'{row[1]}'",
                            "",
                        ]
                    )


def _repeated(data: Broken) -> None:
    grid, row, _ = data.cell()
    grid.append(list(grid[row]))
    if grid[row] and data.rng.random() < 0.5:
        grid[-1][-1] = "1"


def _units(data: Broken) -> None:
    measured = [table for table in ("axon", "nucleus", "vesicle", "neuron") if table in data.files]
    if not measured:
        return
    table = data.rng.choice(measured)
    column = {
        "axon": "mesh_volume",
        "nucleus": "voxel_radius",
        "vesicle": "voxel_radius",
        "neuron": "cable_length",
    }[table]
    if data.rng.random() < 0.5:
        data.settings[table]["units"] = {column: data.rng.choice(["um", "angstrom", "mm"])}
    for grid in data.files[table]:
        at = grid[0].index(column)
        for row in grid[1:]:
            if at < len(row) and data.rng.random() < 0.7:
                row[at] = data.rng.choice(["0.018", "1.9e-2", "2", "21000", "-0.5"])


def _decimal_comma(data: Broken) -> None:
    table = data.rng.choice(list(data.files))
    data.settings[table]["decimal"] = ","
    for grid in data.files[table]:
        for row in grid[1:]:
            row[:] = [cell.replace(".", ",") if data.rng.random() < 0.8 else cell for cell in row]


def _missing(data: Broken) -> None:
    data.settings[data.rng.choice(list(data.files))]["missing"] = data.rng.choice(
        [["NA"], ["-1"], ["0", "-9999"], ["abc", "n/a"]]
    )


def _several_files(data: Broken) -> None:
    table = data.rng.choice(list(data.files))
    grids = data.files[table]
    if data.form != "xlsx" and len(grids) == 1 and len(grids[0]) > 2:
        cut = data.rng.randint(1, len(grids[0]) - 1)
        data.files[table] = [grids[0][:cut], [list(grids[0][0]), *grids[0][cut:]]]


def _shuffled_columns(data: Broken) -> None:
    grid = data.some()
    if all(len(row) in (0, len(grid[0])) for row in grid):
        order = data.rng.sample(range(len(grid[0])), len(grid[0]))
        grid[:] = [[row[index] for index in order] if row else [] for row in grid]


def _renamed(data: Broken) -> None:
    table = data.rng.choice(list(data.files))
    column = data.rng.choice(LAYOUT[table])
    for grid in data.files[table]:
        grid[0][:] = ["Lab, name" if name == column else name for name in grid[0]]
    data.settings[table]["columns"] = {"Lab, name": column}


def _encoded(data: Broken) -> None:
    data.encoding = data.rng.choice(["latin-1", "utf-16", "utf-8-sig"])


def _other_delimiter(data: Broken) -> None:
    data.delimiter = data.rng.choice([";", "\t", "|"])


def _windows(data: Broken) -> None:
    data.end = "\r\n"


def _stray_quote(data: Broken) -> None:
    table = data.rng.choice(list(data.files))
    data.tails[table, 0] = '"open,1\n'


BREAKS: tuple[Callable[[Broken], None], ...] = (
    *(
        _odd_cells,
        _odd_cells,
        _whole_column,
        _ragged,
        _blank_lines,
        _line_breaks,
        _orphans,
        _repeated,
        _units,
        _decimal_comma,
        _missing,
    ),
    *(
        _several_files,
        _shuffled_columns,
        _renamed,
        _encoded,
        _other_delimiter,
        _windows,
        _stray_quote,
    ),
)


def broken(seed: int) -> Broken:
    """Dataset number `seed`: one to four of SynDB's tables, broken in one to five ways."""
    rng = Random(seed)
    tables = set(rng.sample(list(LAYOUT), rng.randint(1, 3)))
    for table in list(tables):
        while table in PARENTS and rng.random() < 0.8:
            table = PARENTS[table]
            tables.add(table)
    files = {
        table: [
            [
                list(columns),
                *(
                    [_value(rng, table, column, number) for column in columns]
                    for number in range(rng.randint(2, 7))
                ),
            ]
        ]
        for table, columns in LAYOUT.items()
        if table in tables
    }
    data = Broken(
        rng, files, {table: {} for table in files}, form=("csv", "csv", "xlsx", "parquet")[seed % 4]
    )
    for change in rng.sample(BREAKS, rng.randint(1, 5)):
        change(data)
        data.done.append(change.__name__.strip("_"))
    return data


# Writing


def write(data: Broken, folder: Path) -> dict[str, dict[str, Any]]:
    """Write the files; the config's settings by table."""
    settings: dict[str, dict[str, Any]] = {}
    book = openpyxl.Workbook()
    for table, grids in data.files.items():
        suffix = data.form
        several = len(grids) > 1
        for number, grid in enumerate(grids):
            path = folder / (f"{table}_{number}.{suffix}" if several else f"{table}.{suffix}")
            if data.form == "csv":
                text = _csv_text(data, grid) + data.tails.get((table, number), "")
                path.write_bytes(text.encode(data.encoding, "replace"))
            elif data.form == "parquet":
                _write_parquet(data, grid, path)
            else:
                _add_sheet(data, book, table, grid)
        settings[table] = {
            "file": f"{table}_*.{suffix}" if several else f"{table}.{suffix}"
        } | data.settings[table]
        if data.form == "xlsx":
            settings[table] |= {"file": "lab.xlsx", "sheet": table}
        if data.form == "csv" and data.encoding == "latin-1":
            settings[table]["encoding"] = "latin-1"
        if table in PARENTS:
            settings[table]["parent"] = PARENTS[table]
        if table == "synapse":
            settings[table]["references"] = dict.fromkeys(
                ("pre_synapse_id", "post_synapse_id"), "neuron"
            )
    if data.form == "xlsx":
        book.remove(book.worksheets[0])
        book.save(folder / "lab.xlsx")
    return settings


def _csv_text(data: Broken, grid: Grid) -> str:
    sink = io.StringIO()
    writer = csv.writer(sink, delimiter=data.delimiter, lineterminator=data.end)
    for row in grid:
        writer.writerow(row)
    return sink.getvalue()


def _write_parquet(data: Broken, grid: Grid, path: Path) -> None:
    rows = [row for row in grid[1:] if row]
    columns: dict[str, Any] = {}
    for index, name in enumerate(grid[0]):
        cells = [row[index] or None for row in rows]
        numbers = _numbers(cells)
        columns[name] = pa.array(
            numbers if numbers is not None and data.rng.random() < 0.7 else cells
        )
    pq.write_table(pa.table(columns), path)


def _numbers(cells: list[str | None]) -> list[float | None] | None:
    try:
        return [None if cell is None else float(cell) for cell in cells]
    except ValueError:
        return None


def _add_sheet(data: Broken, book: Any, table: str, grid: Grid) -> None:
    sheet = book.create_sheet(table)
    typed = data.rng.random() < 0.5
    for number, row in enumerate(grid, start=1):
        for index, text in enumerate(row, start=1):
            numbers = (
                _numbers([text])
                if typed and number > 1 and text and grid[0][index - 1] not in ("cid", "parent_id")
                else None
            )
            cell = sheet.cell(number, index)
            if numbers and numbers[0] is not None and abs(numbers[0]) < 1e300:
                cell.value = numbers[0]
            elif text:
                cell.value = text
                cell.data_type = "s"


# Reading as a person does


def rows_of(data: Broken, folder: Path, file: str, sheet: str | None) -> int:
    """How many rows a person counts in a file: lines with anything on them but delimiters, below
    the header.
    """
    return (
        sum(
            any(cell is not None and str(cell).strip() for cell in cells)
            for cells in _records(data, folder, file, sheet).values()
        )
        - 1
    )


def cell_of(data: Broken, folder: Path, file: str, sheet: str | None, row: int, column: str) -> Any:
    """What stands in a cell; text in a csv file, in a workbook and in Parquet whatever is kept
    there.
    """
    records = _records(data, folder, file, sheet)
    header = next(iter(records.values()))
    return records[row][[str(name).strip() for name in header].index(column)]


def _records(data: Broken, folder: Path, file: str, sheet: str | None) -> dict[int, list[Any]]:
    return _read(folder / file, sheet, data.encoding, data.delimiter)


@cache
def _read(path: Path, sheet: str | None, encoding: str, delimiter: str) -> dict[int, list[Any]]:
    """Records by the row they begin in, the header among them."""
    if path.suffix == ".parquet":
        table = pq.read_table(path)
        return {0: table.column_names} | dict(
            enumerate((list(row.values()) for row in table.to_pylist()), start=1)
        )
    if path.suffix == ".xlsx":
        book = openpyxl.load_workbook(path)
        return {
            number: list(row)
            for number, row in enumerate(book[sheet or ""].iter_rows(values_only=True), start=1)
        }
    found, begins = {}, 1
    reader = csv.reader(
        io.StringIO(path.read_bytes().decode(encoding), newline=""), delimiter=delimiter
    )
    for record in reader:
        found[begins] = record
        begins = reader.line_num + 1
    return found


# Checking


@dataclass(frozen=True)
class Checked:
    """A broken dataset after its checks, and its files as a person reads them."""

    seed: int
    data: Broken
    context: Context
    records: dict[str, Record]

    @property
    def folder(self) -> Path:
        return self.context.config.folder

    @property
    def words(self) -> str:
        return f"broken({self.seed}), {self.data.form}, {', '.join(self.data.done)}"

    def rows_of(self, file: str, sheet: str | None) -> int:
        return rows_of(self.data, self.folder, file, sheet)

    def cell_of(self, file: str, sheet: str | None, row: int, column: str) -> Any:
        return cell_of(self.data, self.folder, file, sheet, row, column)


CHECKED = sampled("broken tables, checked", range(48), 8)
"""The datasets that the tests take through all stages, once for all of them."""

READ = sampled("broken tables, read", range(48, 300), 32)
"""The datasets that are only read: reading is where most of the mixtures differ."""

_HOME = TemporaryDirectory(prefix="broken-tables-")


@cache
def checked(seed: int, last: str = "check_integrity") -> Checked:
    """Write dataset number `seed` and take it through the real stages up to `last`, once in a test
    run.
    """
    folder = Path(_HOME.name) / f"{seed}-{last}"
    folder.mkdir()
    data = broken(seed)
    context = context_for(folder, write(data, folder))
    return Checked(seed, data, context, run_stages(context, last))
