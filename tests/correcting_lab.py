"""A lab in five formats with errors sown into it, and a person who corrects the fix-me workbook
from what the files should hold.

Belongs here: the lab, the errors, the person's hand. Does not: expectations.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

import openpyxl
import polars as pl
import xlsxwriter

from syndb_pipeline.config.settings import load_dataset
from syndb_pipeline.corrections.apply import Applied, apply
from syndb_pipeline.corrections.returned import opened
from syndb_pipeline.readers.corrections import path_of, read
from syndb_pipeline.report.exports import Wanted, write_files
from syndb_pipeline.report.workbook.layout import OWN_COLUMNS
from syndb_pipeline.stages.runner import run_through
from syndb_pipeline.state.stage import Context
from syndb_pipeline.state.store import Record
from tests.ingest_helpers import context_for
from tests.shortcuts import started_once

Rows = list[list[str]]
Line = str
"""An unreadable line, as it should be in the file."""


def check(context: Context) -> Record:
    """Run the checks; gives the record of the verdict."""
    with context.store.lock(), started_once(context.settings):
        return list(run_through(context, "check_integrity"))[-1]


def fixes(context: Context, path: Path) -> Path:
    """Write the fix-me workbook."""
    with context.store.lock():
        write_files(context, Wanted(fixes=path))
    return path


def applied(context: Context, path: Path) -> tuple[Applied, Context]:
    """Apply the workbook; gives also a context that reads the config again."""
    with context.store.lock(), started_once(context.settings):
        done = apply(context, opened(path))
    return done, Context(load_dataset(context.config.path), context.settings)


def corrections(folder: Path, table: str) -> list[tuple[int, str, str, str]]:
    """The corrections of a table, each without its file."""
    path = path_of(folder, table)
    every = read(path) if path.is_file() else []
    return [(each.line, each.column, each.was, each.now) for each in every]


def edit(path: Path, change: Callable[[Any], None], out: Path | None = None) -> Path:
    """What `change` does to the workbook, opened as a person's program opens it, saved as a file of
    its own.
    """
    book = openpyxl.load_workbook(path)
    change(book)
    out = out or path.with_name(f"corrected-{path.name}")
    book.save(out)
    return out


def set_cell(path: Path, sheet: str, row: int, column: str, value: object) -> Path:
    """The workbook with one cell set, by the row of the lab's file and the lab's name of the
    column.
    """

    def change(book: Any) -> None:
        cells = book[sheet]
        names = [cell.value for cell in cells[1]]
        (number,) = [cell.row for cell in cells["C"] if str(cell.value) == str(row)]
        cells.cell(number, names.index(column) + 1).value = value

    return edit(path, change, path)


@dataclass
class Sown:
    """One file, or sheet, as it should be; row 0 is the header. `bad` is what is written in its
    place.
    """

    name: str
    truth: Rows
    sheet: str | None = None
    bad: Rows = field(default_factory=list)
    lines: dict[int, tuple[str, str]] = field(
        default_factory=dict
    )  # number of the line -> broken, as it should be

    def __post_init__(self) -> None:
        self.bad = [list(row) for row in self.truth]

    def sow(self, row: int, column: str, value: str) -> None:
        self.bad[row][self.truth[0].index(column)] = value


def correct_from_truth(path: Path, sown: list[Sown]) -> Path:
    """Correct every cell of the workbook that is not what it should be."""

    def change(book: Any) -> None:
        for sheet in book.worksheets[1:-1]:
            for cells in sheet.iter_rows(min_row=2):
                place = (cells[0].value, cells[1].value or None, int(cells[2].value))
                (source,) = [each for each in sown if (each.name, each.sheet) == place[:2]]
                if sheet.title == "unreadable lines":
                    cells[len(OWN_COLUMNS)].value = source.lines[place[2]][1]
                    continue
                header = not source.name.endswith(
                    ".parquet"
                )  # a Parquet file has none that is a row
                for cell, value in zip(
                    cells[len(OWN_COLUMNS) :], source.truth[place[2] - header], strict=False
                ):
                    if (cell.value or "") != value:
                        cell.value = value or None

    return edit(path, change)


def text_of(
    rows: Rows,
    *,
    delimiter: str = ",",
    end: str = "\n",
    lines: Mapping[int, tuple[str, str]] | None = None,
    broken: bool = False,
) -> str:
    """Rows as delimited text; of `lines`, those that are broken or those that should be
    there.
    """
    sink = io.StringIO()
    writer = csv.writer(sink, delimiter=delimiter, lineterminator="\x00")
    writer.writerows(rows)
    found = sink.getvalue().split("\x00")[:-1]
    for number, (wrong, right) in (lines or {}).items():
        found[number - 1] = wrong if broken else right
    return "".join(line + end for line in found)


@dataclass
class Lab:
    """The lab: its sources, and its files as they should be (`clean`) and as they are."""

    folder: Path
    sources: dict[str, Sown]
    config: dict[str, Any]

    def write(self, folder: Path, *, broken: bool) -> None:
        """Write every file into `folder`."""
        rows = {
            name: source.bad if broken else source.truth for name, source in self.sources.items()
        }
        text = self.sources
        folder.mkdir(parents=True, exist_ok=True)

        def put(name: str, encoding: str, **form: Any) -> None:
            content = text_of(rows[name], lines=text[name].lines, broken=broken, **form)
            (folder / text[name].name).write_bytes(content.encode(encoding))

        put("neuron", "utf-8-sig", end="\r\n")
        put("axon", "cp1252", delimiter=";")
        put("dendrite", "utf-16", delimiter="\t")
        _write_workbook(
            folder / "organelles.xlsx",
            {"Mitochondria": rows["mitochondria"], "Vesicles": rows["vesicle"]},
        )
        header, *body = rows["dendritic_spine"]
        columns = {name: [row[i] or None for row in body] for i, name in enumerate(header)}
        frame = pl.DataFrame(columns, schema=dict.fromkeys(header, pl.String))
        frame.with_columns(pl.col("voxel_volume").cast(pl.Float64)).write_parquet(
            folder / "spines.parquet"
        )

    def context(self) -> Context:
        self.write(self.folder, broken=True)
        return context_for(self.folder, self.config)

    @property
    def files(self) -> dict[str, bytes]:
        return {
            path.name: path.read_bytes()
            for path in self.folder.iterdir()
            if path.is_file() and ".yaml" not in path.name
        }


def _write_workbook(path: Path, sheets: dict[str, Rows]) -> None:
    """Numbers as numbers, a formula with its result beside them, a picture of a chart: what a lab's
    workbook has.
    """
    book = xlsxwriter.Workbook(str(path), {"constant_memory": False})
    for title, rows in sheets.items():
        sheet = book.add_worksheet(title)
        for number, row in enumerate(rows):
            for index, value in enumerate(row):
                if _is_number(value) and rows[0][index] not in ("cid", "parent_id"):
                    sheet.write_number(number, index, float(value))
                elif value:
                    sheet.write_string(number, index, value)
            if number:
                sheet.write_formula(number, len(row), f"=D{number + 1}*2", None, number * 2)
        sheet.write_string(0, len(rows[0]), "doubled")
        chart = book.add_chart({"type": "line"})
        chart.add_series({"values": f"='{title}'!$D$2:$D$5"})
        sheet.insert_chart("M2", chart)
    book.close()


def _is_number(text: str) -> bool:
    try:
        return str(float(text)) in (text, text + ".0")
    except ValueError:
        return False


def build(folder: Path, rng: Random, rows: int = 24) -> Lab:
    """A clean lab. `comment` columns are ignored by the config and hold what breaks careless
    writers.
    """
    odd = [
        "plain",
        'a "quoted" word',
        "two\nlines",
        "comma, semicolon; tab",
        " spaces ",
        "=1+1",
        "007",
        "é",
        "",
    ]
    neuron = [["cid", "cable_length", "comment"]] + [
        [f"n{i}", f"{rng.uniform(1e6, 9e6):.1f}", rng.choice(odd[:2] + odd[3:])]
        for i in range(rows)
    ]

    def comma(number: float) -> str:
        return f"{number:.2f}".replace(".", ",")

    def parent(kind: str = "n") -> str:
        return f"{kind}{rng.randrange(rows)}"

    axon = [["cid", "parent_id", "voxel_volume", "terminal_count", "comment"]]
    axon += [
        [f"a{i}", parent(), comma(rng.uniform(1e9, 9e9)), "", rng.choice(["ä", "x", '"y"'])]
        for i in range(rows)
    ]
    dendrite = [["cid", "parent_id", "voxel_volume", "comment"]]
    dendrite += [
        [f"d{i}", parent(), f"{rng.uniform(1e9, 9e9):.2f}", rng.choice(["α", "β\u200b", "plain"])]
        for i in range(rows)
    ]
    mitochondria = [["cid", "parent_id", "voxel_radius", "voxel_volume"]]
    mitochondria += [
        [f"m{i}", parent("a"), str(rng.randrange(100, 900)), f"{rng.uniform(1e7, 9e7):.1f}"]
        for i in range(rows)
    ]
    vesicle = [["cid", "parent_id", "neurotransmitter", "voxel_radius", "distance_to_active_zone"]]
    vesicle += [
        [f"v{i}", parent("a"), "glutamate", str(rng.randrange(15, 40)), str(rng.randrange(5, 400))]
        for i in range(rows)
    ]
    spine = [["cid", "parent_id", "voxel_volume"]] + [
        [f"s{i}", parent("d"), f"{rng.uniform(1e6, 9e6):.1f}"] for i in range(rows)
    ]
    sources = {
        "neuron": Sown("neuron.csv", neuron),
        "axon": Sown("axon.csv", axon),
        "dendrite": Sown("dendrite.txt", dendrite),
        "mitochondria": Sown("organelles.xlsx", mitochondria, "Mitochondria"),
        "vesicle": Sown("organelles.xlsx", vesicle, "Vesicles"),
        "dendritic_spine": Sown("spines.parquet", spine),
    }
    config = {
        "neuron": {"file": "neuron.csv", "ignore": ["comment"]},
        "axon": {"file": "axon.csv", "decimal": ",", "encoding": "cp1252", "ignore": ["comment"]},
        "dendrite": {"file": "dendrite.txt", "encoding": "utf-16", "ignore": ["comment"]},
        "mitochondria": {
            "file": "organelles.xlsx",
            "sheet": "Mitochondria",
            "parent": "axon",
            "ignore": ["doubled"],
        },
        "vesicle": {
            "file": "organelles.xlsx",
            "sheet": "Vesicles",
            "parent": "axon",
            "ignore": ["doubled"],
        },
        "dendritic_spine": {"file": "spines.parquet"},
    }
    return Lab(folder, sources, config)
