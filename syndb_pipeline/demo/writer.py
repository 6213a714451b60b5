"""The demo lab on disk: tables in csv, tsv, xlsx and parquet, meshes, skeletons, and the two
dataset configs.

Belongs here: which table lies in which file, and the deliberate mistakes. Does not: the
measurements (`lab.py`).
"""

from __future__ import annotations

import csv
import io
import json
from datetime import datetime
from pathlib import Path

import polars as pl
import xlsxwriter

from syndb_pipeline.config.json_schema import dataset_schema
from syndb_pipeline.demo.configs import clean_config, errors_config
from syndb_pipeline.demo.lab import Row, invent_lab
from syndb_pipeline.demo.shapes import glb, swc

CLEAN_CONFIG = "demo.yaml"
ERRORS_CONFIG = "demo_errors.yaml"


def write_demo(folder: Path) -> Path:
    """Write the demo lab into `folder` and return the path of its config; `demo_errors.yaml` beside
    it is the variant with mistakes.

    Every call writes the same content. Files of an earlier call are written over; anything else in
    the folder is left alone.
    """
    lab = invent_lab()
    folder.mkdir(parents=True, exist_ok=True)
    for name, skeleton in lab.skeletons.items():
        _write(folder / name, swc(skeleton, "invented by the demo of syndb-pipeline").encode())
    for name, mesh in lab.meshes.items():
        _write(folder / name, glb(mesh))

    tables = lab.tables
    for name in ("neuron", "dendrite", "nucleus"):
        _write(folder / f"{name}.csv", _delimited(tables[name]))
    _write(folder / "connections.csv", _delimited(tables["neuron_relation"]))
    _write(folder / "terminals.tsv", _delimited(tables["pre_synaptic_terminal"], delimiter="\t"))
    _write(
        folder / "er.csv", _delimited(tables["endoplasmic_reticulum"], delimiter=";", decimal=",")
    )
    for name in ("axon", "synapse"):
        pl.DataFrame(tables[name], infer_schema_length=None).write_parquet(
            folder / f"{name}.parquet"
        )
    _write_workbook(folder / "spines.xlsx", {"spines": tables["dendritic_spine"]})
    _write_workbook(
        folder / "organelles.xlsx",
        {"Vesicles": tables["vesicle"], "Mitochondria": tables["mitochondria"]},
    )

    _write(folder / "vesicles_with_mistakes.csv", _vesicles_with_mistakes(tables["vesicle"]))
    _write(
        folder / "er_with_unknown_column.csv",
        _delimited([_misspelt(row) for row in tables["endoplasmic_reticulum"]]),
    )

    _write(folder / "dataset.schema.json", (json.dumps(dataset_schema(), indent=2) + "\n").encode())
    _write(folder / ERRORS_CONFIG, errors_config().encode())
    _write(folder / CLEAN_CONFIG, clean_config().encode())
    return folder / CLEAN_CONFIG


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def _delimited(rows: list[Row], *, delimiter: str = ",", decimal: str = ".") -> bytes:
    text = io.StringIO()
    writer = csv.writer(text, delimiter=delimiter, lineterminator="\n")
    writer.writerow(rows[0])
    for row in rows:
        writer.writerow(
            [repr(v).replace(".", decimal) if isinstance(v, float) else v for v in row.values()]
        )
    return text.getvalue().encode()


def _write_workbook(path: Path, sheets: dict[str, list[Row]]) -> None:
    book = xlsxwriter.Workbook(path, {"strings_to_numbers": False, "strings_to_formulas": False})
    # The library writes the time of writing otherwise, and no two workbooks would be equal.
    book.set_properties({"author": "Demo Person", "created": datetime(2026, 1, 1)})
    for name, rows in sheets.items():
        sheet = book.add_worksheet(name)
        sheet.write_row(0, 0, list(rows[0]))
        for number, row in enumerate(rows, start=1):
            for column, value in enumerate(row.values()):
                if isinstance(value, str):
                    sheet.write_string(number, column, value)
                elif value is not None:
                    sheet.write_number(number, column, value)
    book.close()


def _vesicles_with_mistakes(vesicles: list[Row]) -> bytes:
    """The vesicles as a csv file in which a tired person and a spreadsheet have left their traces.
    Each is named at its line below.
    """
    rows = [dict(row) for row in vesicles]
    for index in (3, 4, 5, 6):
        rows[index]["parent_id"] += (
            ".0"  # a key that went through a float: terminals.tsv has 1001, not 1001.0
        )
    rows[20]["parent_id"] = "9999"  # no such terminal
    rows[21]["parent_id"] = None  # part of nothing
    rows[30]["voxel_radius"] = "NaN"  # a number format's way of saying nothing
    rows[31]["voxel_radius"] = -0.018  # a sign slipped in
    rows[32]["distance_to_active_zone"] = "about 20"  # a remark in a number column
    rows[33]["minimum_normal_length"] = "12.5"  # SynDB keeps whole nanometres here
    rows[40]["neurotransmitter"] = "glutamte"  # a word SynDB does not know
    rows[41]["cid"] = None  # a row without key
    rows[50]["cid"] = "8.64691E+17"  # an id that a spreadsheet shortened
    rows.insert(61, dict(rows[60]))  # the same row twice
    rows.insert(71, rows[70] | {"voxel_radius": 0.0211})  # the same key for another vesicle
    lines = _delimited(rows).decode().splitlines(keepends=True)
    lines[90] = lines[90].replace("\n", ",see photo 12\n")  # one value too many
    lines[91] = ",".join(lines[91].split(",")[:4]) + "\n"  # a line broken off
    return "".join(lines).encode()


def _misspelt(row: Row) -> Row:
    """`row` with a column name that SynDB does not know."""
    return {"voxel_volum" if name == "voxel_volume" else name: value for name, value in row.items()}
