"""Errors sown into the demo's csv, tsv, workbooks and Parquet are all corrected by way of the
workbook, and nothing else changes.

Belongs here: the whole road in one process. Does not: the command
(`tests/integration/test_apply_fixes.py`), single formats.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import openpyxl
import polars as pl

from syndb_pipeline.config.settings import PipelineSettings, load_dataset
from syndb_pipeline.demo import write_demo
from syndb_pipeline.report.workbook.layout import LINE
from syndb_pipeline.state.stage import Context
from tests.correcting_lab import applied, check, edit, fixes
from tests.lab import run_stages

SOWN: list[tuple[str, int, str, Any]] = [
    ("neuron.csv", 5, "cable_length", "about 5000"),
    ("nucleus.csv", 2, "cid", ""),
    ("dendrite.csv", 3, "parent_id", "n999"),
    ("dendrite.csv", 4, "voxel_volume", "NaN"),
    ("dendrite.csv", 5, "parent_id", ""),
    ("er.csv", 3, "voxel_volume", "-1,00"),
    ("er.csv", 4, "ribosome_count", "2,5"),
    ("er.csv", 5, "cid", "er-1.1"),
    ("terminals.tsv", 4, LINE, "{}\tx"),
    ("terminals.tsv", 6, LINE, '{}\t"a'),
    ("organelles.xlsx Vesicles", 2, "neurotransmitter", "glutamat\u00e9"),
    ("organelles.xlsx Vesicles", 3, "distance_to_active_zone", "n/a"),
    ("organelles.xlsx Vesicles", 4, "cid", "v00001"),
    ("organelles.xlsx Mitochondria", 5, "voxel_radius", -1),
    ("organelles.xlsx Mitochondria", 6, "voxel_volume", "1.2.3"),
    ("spines.xlsx spines", 2, "parent_id", "NA"),
    ("axon.parquet", 1, "voxel_volume", -1.0),
]
"""Sheet of the fix-me workbook, line, column, and what is there in place of the right value."""


def sow(folder: Path) -> list[tuple[str, int, str, str]]:
    """Write every error into its file; gives them with the right values."""
    truths = []
    for title, line, column, wrong in SOWN:
        name, _, sheet = title.partition(" ")
        path = folder / name
        if path.suffix == ".parquet":
            frame = pl.read_parquet(path)
            truth = frame[line - 1, column]
            frame[line - 1, column] = wrong
            frame.write_parquet(path)
        elif path.suffix == ".xlsx":
            book = openpyxl.load_workbook(path)
            names = [cell.value for cell in book[sheet][1]]
            cell = book[sheet].cell(line, names.index(column) + 1)
            truth, cell.value = cell.value, wrong
            book.save(path)
        else:
            lines = path.read_text(encoding="utf-8").split("\n")
            between = next(mark for mark in "\t;," if mark in lines[0])
            values, names = lines[line - 1].split(between), lines[0].split(between)
            if column == LINE:
                title, truth = "unreadable lines", lines[line - 1]
                lines[line - 1] = wrong.format(truth)
            else:
                truth = values[names.index(column)]
                values[names.index(column)] = wrong
                lines[line - 1] = between.join(values)
            path.write_text("\n".join(lines), encoding="utf-8")
        truths.append((title, line, column, "" if truth is None else str(truth)))
    return truths


def ingested(context: Context) -> dict[str, Any]:
    """The rows of every table as ingest left them."""
    folder = context.store.stage("ingest") / "tables"
    return {path.stem: pl.read_parquet(path).rows() for path in sorted(folder.glob("*.parquet"))}


def demo(folder: Path) -> Context:
    settings = PipelineSettings(state=folder / ".state", memory_limit="1GB", threads=1)
    return Context(load_dataset(write_demo(folder)), settings)


def test_errors_of_each_kind_are_corrected(tmp_path: Path) -> None:
    context = demo(tmp_path / "lab")
    truths = sow(tmp_path / "lab")
    before = {path: path.read_bytes() for path in (tmp_path / "lab").iterdir() if path.is_file()}
    first = check(context)
    assert first.details.verdict == "rejected"
    assert {finding.code for finding in first.errors} >= {
        "SYN-READ-002", "SYN-READ-015", "SYN-TYPE-001", "SYN-TYPE-002", "SYN-VAL-001", "SYN-VAL-002",
        "SYN-VAL-004", "SYN-ID-001", "SYN-ID-002", "SYN-REL-001", "SYN-REL-003",
    }  # fmt: skip

    def correct(book: Any) -> None:
        for title, line, column, truth in truths:
            sheet = book[title]
            [row] = [cell.row for cell in sheet["C"] if cell.value == str(line)]
            names = [cell.value for cell in sheet[1]]
            sheet.cell(row, names.index(column) + 1).value = truth or None

    _, after = applied(context, edit(fixes(context, tmp_path / "fixes.xlsx"), correct))
    assert {path: path.read_bytes() for path in before} == before, "files and config as they are"
    second = check(after)
    assert [finding.message for finding in second.errors] == []
    found = ingested(after)
    run_stages(context := demo(tmp_path / "clean"), "ingest")
    assert found == ingested(context), "as if the files themselves had been corrected"
