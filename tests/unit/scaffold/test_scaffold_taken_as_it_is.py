"""What `init` writes, taken as it is: the questions about the dataset answered, those about its
tables left open.

Belongs here: that such a config is refused, or accepted with every column, row and number of the
lab. Does not: single guesses (`test_scaffold.py`).
"""

from __future__ import annotations

import gzip
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import cycle
from pathlib import Path
from typing import Any

import duckdb
import polars as pl
import pytest
import xlsxwriter
import xlwt

from syndb_pipeline.base.errors import ConfigError
from syndb_pipeline.config.settings import PipelineSettings, load_dataset
from syndb_pipeline.contract.key_encoding import rows_of
from syndb_pipeline.scaffold import InitReport, init
from syndb_pipeline.state.row_locations import SourceMap
from syndb_pipeline.state.stage import Context
from tests.lab import run_stages
from tests.unit.scaffold.test_scaffold import answered

Rows = Sequence[Sequence[str]]
Writer = Callable[[Path, str, Rows], None]


def delimited(mark: str, suffix: str, encoding: str = "utf-8") -> Writer:
    def write(folder: Path, stem: str, rows: Rows) -> None:
        quoted = [
            [f'"{cell}"' if mark in cell or "," in cell else cell for cell in row] for row in rows
        ]
        text = "".join(mark.join(row) + "\n" for row in quoted).encode(encoding)
        (folder / f"{stem}{suffix}").write_bytes(
            gzip.compress(text) if suffix.endswith(".gz") else text
        )

    return write


def workbook(top: int = 0, left: int = 0) -> Writer:
    def write(folder: Path, stem: str, rows: Rows) -> None:
        book = xlsxwriter.Workbook(folder / f"{stem}.xlsx")
        sheet = book.add_worksheet()
        for number, row in enumerate(rows):
            for index, cell in enumerate(row):
                sheet.write_string(top + number, left + index, cell) if cell else None
        book.close()

    return write


def old_workbook(folder: Path, stem: str, rows: Rows) -> None:
    book = xlwt.Workbook()
    sheet = book.add_sheet("data")
    for number, row in enumerate(rows):
        for index, cell in enumerate(row):
            sheet.write(number, index, cell)
    book.save(str(folder / f"{stem}.xls"))


def parquet(folder: Path, stem: str, rows: Rows) -> None:
    header, *values = rows
    pl.DataFrame(values, schema=list(header), orient="row").write_parquet(
        folder / f"{stem}.parquet"
    )


def parts(folder: Path, stem: str, rows: Rows) -> None:
    """A folder of Parquet files, as Spark and Dask write one table."""
    header, *values = rows
    inner = folder / f"{stem}.parquet"
    inner.mkdir()
    (inner / "_SUCCESS").touch()
    for number, value in enumerate(values):
        parquet(inner, f"part-{number}", [header, value])


TEXT: dict[str, Writer] = {
    "csv": delimited(",", ".csv"),
    "tsv": delimited("\t", ".tsv"),
    "semicolons": delimited(";", ".csv"),
    "txt with bars": delimited("|", ".txt"),
    "gz": delimited(",", ".csv.gz"),
    "utf-16 with a mark": delimited(",", ".csv", "utf-16"),
    "utf-16-le": delimited(",", ".csv", "utf-16-le"),
    "utf-16-be": delimited("\t", ".tsv", "utf-16-be"),
}
SHEETS: dict[str, Writer] = {
    "xlsx": workbook(),
    "xlsx from B3": workbook(2, 1),
    "xlsx from C4": workbook(3, 2),
    "xls": old_workbook,
}
FORMATS = {**TEXT, **SHEETS, "parquet": parquet, "parts": parts}


@dataclass
class Taken:
    """What came of a config as `init` wrote it: why it was refused, or the values that were
    accepted.
    """

    report: InitReport
    refused: str = ""
    values: dict[str, dict[str, list[object]]] = field(
        default_factory=dict
    )  # table -> SynDB's column -> values in the rows' order

    def asks(self, question: str) -> bool:
        return any(question in asked for asked in self.report.questions)

    @property
    def text(self) -> str:
        return self.report.config.read_text(encoding="utf-8")


def take(folder: Path) -> Taken:
    """Let `init` look at `folder` and check what it wrote."""
    report = init(folder, folder / "dataset.yaml")
    taken = Taken(report)
    try:
        context = Context(
            answered(report), PipelineSettings(state=folder.parent / "state", threads=1)
        )
    except ConfigError as error:
        taken.refused = str(error)
        return taken
    records = run_stages(context)
    verdict = records["check_integrity"]
    if verdict.details.verdict != "accepted":
        taken.refused = " ".join(
            finding.code for finding in verdict.findings if finding.severity == "error"
        )
        return taken
    ingested = context.store.stage("ingest")
    for name in SourceMap.read(ingested).tables:
        query = duckdb.sql(
            f"SELECT * EXCLUDE (_cells) FROM {rows_of(ingested / 'tables' / f'{name}.parquet')}"
        )
        taken.values[name] = dict(
            zip(query.columns, map(list, zip(*query.fetchall(), strict=True)), strict=True)
        )
    return taken


Lab = Callable[..., Taken]


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    """Makes a folder of tables, each called as the argument, and lets `init` look at it."""

    def made(form: str, **tables: Rows) -> Taken:
        folder = tmp_path / "lab"
        folder.mkdir(exist_ok=True)
        for name, rows in tables.items():
            FORMATS[form](folder, name, rows)
        return take(folder)

    return made


def turned(forms: Iterable[str], cases: Iterable[Any]) -> list[tuple[Any, ...]]:
    """Each of the cases in one form, and each form in turn: what a case shows, it shows in any."""
    return [(form, *case) for form, case in zip(cycle(forms), cases)]


NEURONS = [
    ["cid", "neuron_type", "voxel_volume"],
    ["Höhle", "ab", "1000000.5"],
    ["12", "a, b", "2500000"],
    ["13", "c", "3500000"],
]
AXONS = [["cid", "parent_id", "cable"], ["21", "Höhle", "x"], ["22", "13", "y"]]


@pytest.mark.parametrize("form", FORMATS)
def test_a_clean_table_keeps_every_value(lab: Lab, form: str) -> None:
    taken = lab(form, neurons=NEURONS, axon=[row[:2] for row in AXONS])
    assert not taken.refused
    assert taken.values["neuron"] == {
        "cid": ["Höhle", "12", "13"],
        "neuron_type": ["ab", "a, b", "c"],
        "voxel_volume": [1000000.5, 2500000, 3500000],
    }
    assert taken.values["axon"]["parent_id"] == ["Höhle", "13"]
    assert len(taken.report.questions) == 6  # those about the dataset alone


ABOVE = [
    [["Export of 2025-01-06"]],
    [["# exported from a viewer"], ["# scale 11.24"]],
    [["Neurons of the left lobe"], ["by a, b and c"], ["2025"]],
    [[f"# line {number}"] for number in range(120)],
]


@pytest.mark.parametrize(
    ("form", "above"),
    turned(
        ["csv", "semicolons", "gz", "utf-16-be", "xlsx from B3", "xls"],
        [(above,) for above in ABOVE * 2],
    ),
)
def test_lines_above_the_names_are_passed_over(lab: Lab, form: str, above: Rows) -> None:
    taken = lab(form, neuron=[*above, *NEURONS])
    assert not taken.refused
    assert taken.values["neuron"]["voxel_volume"] == [1000000.5, 2500000, 3500000]
    assert taken.values["neuron"]["cid"] == ["Höhle", "12", "13"]


@pytest.mark.parametrize(
    ("form", "written", "meant"),
    turned(
        ["csv", "semicolons", "xlsx", "parquet", "xls"],
        2
        * [
            (["1,234", "14,255", "999"], None),  # thousands or decimals: not to be known
            (["1,234", "14,255.5", "999"], [1234, 14255.5, 999]),
            (["1,234", "1,000,000", "999"], [1234, 1000000, 999]),
            (["1,234", "12,5", "999"], [1.234, 12.5, 999]),
            (["0,234", "1,234", "999"], [0.234, 1.234, 999]),
            (["1.234,5", "12,5", "999"], [1234.5, 12.5, 999]),
            (["1.234.567", "2.000.000", "999"], [1234567, 2000000, 999]),
            (["1,000,000", "12,5", "999"], None),  # both cannot be
            (["1.234", "12.5", "999"], [1.234, 12.5, 999]),
        ],
    ),
)
def test_a_comma_is_what_the_numbers_prove_or_asked_about(
    lab: Lab, form: str, written: list[str], meant: list[float] | None
) -> None:
    rows = [[str(number), cell] for number, cell in enumerate(written, start=1)]
    taken = lab(form, neuron=[["cid", "centroid_x"], *rows])
    if meant is None:
        assert taken.refused
        assert taken.asks("decimal")
    else:
        assert not taken.refused
        assert taken.values["neuron"]["centroid_x"] == meant


@pytest.mark.parametrize(
    ("form", "table", "rows"),
    turned(
        ["csv", "tsv", "xls", "parquet"],
        [
            ("neuron", [["bodyId", "size"], ["1500000111", "1174706004"]]),
            ("neuron", [["cid", "x", "y", "z"], ["1", "10", "20", "30"], ["2", "11", "21", "31"]]),
            ("neuron", [["cid", "remark"], ["1", "a"], ["2", "b"]]),
            ("neuron", [["cid", "volume_um3"], ["1", "10.5"], ["2", "11.5"]]),
            ("vesicle", [["cid", "radius", "nt"], ["1", "20", "gaba"], ["2", "21", "gaba"]]),
            ("synapse", [["id", "pre", "post", "ach"], ["1", "11", "12", "0.5"]]),
            ("edges", [["11", "12", "9"], ["12", "13", "4"]]),
            ("neuron", [["710001", "Cell 10 of type alpha"], ["820002", "Dense cell LN-1 left"]]),
            ("edges", [["source", "target", "weight"], ["11", "12", "3"], ["12", "11", "4"]]),
        ],
    ),
)
def test_what_only_a_name_suggests_is_refused_until_answered(
    lab: Lab, form: str, table: str, rows: Rows
) -> None:
    taken = lab(form, **{table: rows})
    assert taken.refused
    assert len(taken.report.questions) > 6


@pytest.mark.parametrize("form", ["csv", "xls", "parquet"])
def test_a_unit_in_a_plain_name_is_converted(lab: Lab, form: str) -> None:
    header = ["cid", "voxel_radius_um", "distance_to_active_zone (nm)"]
    taken = lab(form, vesicle=[header, ["1", "0.02", "5"], ["2", "0.025", "6"]])
    assert not taken.refused
    assert taken.values["vesicle"]["voxel_radius"] == [20, 25]
    assert taken.values["vesicle"]["distance_to_active_zone"] == [5, 6]


FLAT = ["csv", "gz", "xlsx", "parquet"]


@pytest.mark.parametrize(
    ("form", "table", "header", "one", "other"),
    turned(
        FLAT,
        [
            ("neuron", ["cid"], [["1"], ["2"]], [["2"], ["3"]]),
            ("synapse", ["cid", "pre_synapse_id"], [["1", "5"]], [["1", "5"], ["2", "6"]]),
            ("edges", ["pre_id", "post_id"], [["1", "2"], ["2", "1"]], [["1", "2"], ["2", "3"]]),
            ("axon", ["cid"], [["1"], ["2"]], [["2"], ["3"]]),
        ],
    ),
)
def test_two_releases_are_never_read_as_one_table(
    lab: Lab, form: str, table: str, header: list[str], one: Rows, other: Rows
) -> None:
    taken = lab(form, **{f"{table}_630": [header, *one], f"{table}_783": [header, *other]})
    assert taken.refused
    assert taken.asks("two releases of the same data, or parts of one table")


@pytest.mark.parametrize(
    ("form", "names"),
    turned(FLAT, [(names.split(),) for names in ("1 2 3", "000 001 002", "left right middle")] * 2),
)
def test_parts_are_read_together(lab: Lab, form: str, names: list[str]) -> None:
    taken = lab(
        form,
        **{
            f"neuron_{name}": [["cid", "centroid_x"], [f"{name}a", "1.5"], [f"{name}b", "2.5"]]
            for name in names
        },
    )
    assert not taken.refused
    assert len(taken.values["neuron"]["cid"]) == 6
    # words may be groups that are not one table
    assert len(taken.report.questions) == (7 if "left" in names else 6)


@pytest.mark.parametrize("form", ["csv", "xlsx", "parquet"])
def test_every_file_and_column_is_read_or_named(tmp_path: Path, lab: Lab, form: str) -> None:
    folder = tmp_path / "lab"
    for name in ("pictures", "old", "hive.parquet/mat=783"):
        (folder / name).mkdir(parents=True)
    FORMATS[form](folder / "old", "vesicle", [["cid"], ["1"]])
    parquet(folder / "hive.parquet" / "mat=783", "part-0", [["cid"], ["1"]])
    named = ["synapses.feather", "synapses.h5", "table.ods", "readme.md", "cells", "b.json.zst"]
    for name in (*named, "pictures/a.png", *(f"{n}.swc" for n in range(9))):
        (folder / name).write_bytes(b"x")
    notes = [["when", "what"], ["today", "a"]]
    taken = lab(form, neuron=[row[:1] for row in NEURONS], axon=AXONS, notes=notes)
    assert taken.refused  # `cable` is no column of SynDB
    shown = " ".join(str(taken.report).split())
    for name in (*named, "notes", "old/", "hive.parquet/", "pictures/"):
        assert name in shown
        assert name in taken.text
    assert "9 files .swc (a skeleton; a table names it in its column swc_path)" in shown
    assert "# ignore: [cable]" in taken.text


KEYS = ["720575940600000101", "720575940600000202", "720575940600000303"]


@pytest.mark.parametrize(
    ("form", "beside", "cells", "end"),
    turned(
        ["csv", "xlsx", "parquet"],
        [
            (beside, cells, end)
            for beside, cells in {
                "pre_pt_supervoxel_id": ["78112261444987070", "78112261444987072"],
                "pre_sv": ["78112261444987070", "78112261444987072"],
                "pre_pt_position": ["[430050 179248  53280]", "[430051 179248  53280]"],
                "pre_position": ["(1.5, 2.5, 3)", "(2.5, 2.5, 3)"],
                "pre_x": ["430050", "430051"],
                "pre_cell_type": ["a", "b"],
            }.items()
            for end in (
                "pre_pt_root_id",
                "presynaptic_segment_id",
                "bodyId_pre",
                "pre_partner_code",
            )
        ],
    ),
)
def test_the_end_is_the_column_whose_values_are_keys(
    lab: Lab, form: str, beside: str, cells: list[str], end: str
) -> None:
    rows = [
        [str(number), cell, key, KEYS[0]]
        for number, (cell, key) in enumerate(zip([*cells, cells[0]], KEYS, strict=True))
    ]
    text = lab(
        form,
        neurons=[["root_id"], *([key] for key in KEYS)],
        synapses=[["id", beside, end, "post_pt_root_id"], *rows],
    ).text
    assert re.search(rf"(?m)^ +{end}: pre_synapse_id   # QUESTION", text)
    assert f"{beside}: pre_synapse_id" not in text
    # so that `check` refuses it until a person leaves it out
    assert beside in text[text.index("# ignore:") :]


@pytest.mark.parametrize(
    ("form", "names"), turned(["csv", "xlsx"], [(("id", "root_id"),), (("root_id", "id"),)])
)
def test_a_segment_id_that_is_the_parents_is_no_key_of_the_row(
    lab: Lab, form: str, names: tuple[str, str]
) -> None:
    rows = [{"id": f"{number}", "root_id": key} for number, key in enumerate(KEYS)]
    taken = lab(
        form,
        neurons=[["root_id"], *([key] for key in KEYS)],
        axons=[names, *([row[name] for name in names] for row in rows)],
    )
    assert not taken.refused
    axons = taken.values["axon"]
    assert (axons["cid"], axons["parent_id"]) == (["0", "1", "2"], KEYS)


@pytest.mark.parametrize("form", ["csv", "xls", "parts"])
def test_neurons_are_offered_by_what_refers_to_them(lab: Lab, form: str) -> None:
    taken = lab(
        form,
        soma=[["segmentation", "segment_id", "loc"], *(["185", key, "[1 2 3]"] for key in KEYS)],
        synapses=[["pre", "post"], [KEYS[0], KEYS[1]], [KEYS[2], KEYS[1]]],
    )
    assert taken.refused
    assert "segment_id: cid   # QUESTION" in taken.text
    assert taken.asks("is it the table of neurons?")
    assert taken.asks("neuron_relation")


@pytest.mark.parametrize(
    ("mark", "encoding"), [(",", "cp1252"), ("\t", "mac-roman"), (";", "latin-1")]
)
def test_an_encoding_that_is_only_likely_is_asked_about(
    tmp_path: Path, lab: Lab, mark: str, encoding: str
) -> None:
    (tmp_path / "lab").mkdir()
    rows = [["cid", "neuron_type"], ["Höhle", "a"], ["2", "x"]]
    delimited(mark, ".csv", encoding)(tmp_path / "lab", "neuron", rows)
    taken = lab("csv")
    assert "SYN-READ-003" in taken.refused
    assert taken.asks("not UTF-8; in which encoding is it?")
    assert re.search(r"# encoding: \S+   # .*Höhle", taken.text)


def test_one_line_in_another_encoding_does_not_change_the_others(tmp_path: Path, lab: Lab) -> None:
    (tmp_path / "lab").mkdir()
    (tmp_path / "lab" / "neuron.csv").write_bytes(
        "cid,neuron_type\nHügel,a\n".encode() + "Höhle,b\n".encode("cp1252")
    )
    taken = lab("csv")
    assert "SYN-READ-003" in taken.refused
    assert "encoding" not in taken.text


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("axon.xls", b"<html><body><table></table></body></html>", "web page (HTML)"),
        ("axon.xls", b"cid\tparent_id\n1\t1\n", "it is no workbook but text"),
        ("axon.parquet", b"cid,parent_id\n1,1\n", "it is no Parquet file but text"),
        ("axon.csv", b"PK\x03\x04rest", "an .xlsx workbook or a zip archive"),
    ],
)
def test_a_file_that_is_something_else_is_named_as_what_it_is(
    tmp_path: Path, lab: Lab, name: str, content: bytes, said: str
) -> None:
    (tmp_path / "lab").mkdir()
    (tmp_path / "lab" / name).write_bytes(content)
    taken = lab("csv", neuron=[["cid"], ["1"]])
    assert taken.asks(said)
    assert "Cfb" not in str(taken.report)
    assert said in " ".join(taken.text.replace("#  ", "").split())
    assert "SYN-READ" in taken.refused  # the table is not left out because it cannot be read


@pytest.mark.parametrize(
    "name", ["synapses.feather", "synapse.csv.zst", "synapse.parquet/mat=783/part-0.parquet"]
)
def test_a_table_by_name_that_is_not_read_is_asked_about(tmp_path: Path, name: str) -> None:
    folder, first = tmp_path / "lab", name.partition("/")[0]
    (folder / name).parent.mkdir(parents=True)
    (folder / name).write_bytes(b"x")
    (folder / "neuron.csv").write_text("cid\n1\n")
    report = init(folder, folder / "dataset.yaml")
    [asked] = [question for question in report.questions if first in question]
    assert "is the table synapse; it is not used (" in asked
    # with a table that is read there is nothing to ask
    (folder / "synapse.csv").write_text("cid\n1\n")
    again = init(folder, folder / "dataset.yaml", overwrite=True)
    assert not any(first in question for question in again.questions)
    assert any(first in file for file in again.unused) or "which one?" in str(again)


def test_commas_of_a_column_that_is_not_mapped_are_asked_about(lab: Lab) -> None:
    rows = [["cid", "partners", "voxel_volume"], ["1", "12,13", "1000.5"], ["2", "14,15", "2000"]]
    taken = lab("semicolons", neuron=rows)
    assert '    # decimal: ","\n' in taken.text
    assert taken.asks("is partners a column of numbers?")


def test_a_table_without_a_choice_made_says_what_is_missing(tmp_path: Path, lab: Lab) -> None:
    lab("xlsx", neuron=[["cid"], ["1"]])
    (tmp_path / "lab" / "dataset.yaml").unlink()
    taken = lab("csv", neuron=[["cid"], ["1"]])
    assert "tables.neuron" in taken.refused
    chosen = taken.text.replace("# file: neuron.csv", "file: neuron.csv")
    taken.report.config.write_text(chosen, encoding="utf-8")
    assert load_dataset(taken.report.config).tables["neuron"].file == "neuron.csv"
