"""What `init` writes, taken as it is: the questions about the dataset answered, those about its
tables left open.

Belongs here: that such a config is refused, or accepted with every column, row and number of the
lab. Does not: single guesses (`test_scaffold.py`).
"""

from __future__ import annotations

import gzip
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import duckdb
import polars as pl
import pytest
import xlsxwriter
import xlwt

from syndb_pipeline.base.errors import ConfigError
from syndb_pipeline.config.settings import PipelineSettings, load_dataset
from syndb_pipeline.contract.key_encoding import rows_of
from syndb_pipeline.scaffold import InitReport, init
from syndb_pipeline.stages.runner import run_through, stage_folder
from syndb_pipeline.state.row_locations import SourceMap
from syndb_pipeline.state.stage import Context

Rows = Sequence[Sequence[str]]
Writer = Callable[[Path, str, Rows], None]

ANSWERS = {
    "label:": "My data",
    "animal:": "MUS_MUSCULUS",
    "microscopy:": "ssTEM",
    "- structure:": "cortex",
}


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
    columns: dict[str, list[str]] = field(
        default_factory=dict
    )  # table -> the lab's columns that were read

    @property
    def text(self) -> str:
        return self.report.config.read_text(encoding="utf-8")


def take(folder: Path) -> Taken:
    """Let `init` look at `folder` and check what it wrote."""
    report = init(folder, folder / "dataset.yaml")
    text = report.config.read_text(encoding="utf-8")
    for key, answer in ANSWERS.items():
        text, count = re.subn(
            rf"(?m)^(\s+){re.escape(key)}\s+# QUESTION.*$", rf"\g<1>{key} {answer}", text
        )
        assert count == 1, key
    report.config.write_text(text, encoding="utf-8")
    taken = Taken(report)
    try:
        context = Context(
            load_dataset(report.config), PipelineSettings(state=folder.parent / "state", threads=1)
        )
    except ConfigError as error:
        taken.refused = str(error)
        return taken
    with context.store.lock():
        records = {record.stage: record for record in run_through(context, "check_integrity")}
    verdict = records["check_integrity"]
    if verdict.details.verdict != "accepted":
        taken.refused = " ".join(
            finding.code for finding in verdict.findings if finding.severity == "error"
        )
        return taken
    ingested = stage_folder(context, "ingest")
    for name, sources in SourceMap.read(ingested).tables.items():
        query = duckdb.sql(
            f"SELECT * EXCLUDE (_cells) FROM {rows_of(ingested / 'tables' / f'{name}.parquet')}"
        )
        taken.values[name] = dict(
            zip(query.columns, map(list, zip(*query.fetchall(), strict=True)), strict=True)
        )
        taken.columns[name] = list(
            dict.fromkeys(lab for source in sources for lab in source.columns.values())
        )
    return taken


NEURONS = [
    ["cid", "neuron_type", "voxel_volume"],
    ["Höhle", "ab", "1000000.5"],
    ["12", "a, b", "2500000"],
    ["13", "c", "3500000"],
]
AXONS = [["cid", "parent_id", "cable"], ["21", "Höhle", "x"], ["22", "13", "y"]]


@pytest.mark.parametrize("form", FORMATS)
def test_a_clean_table_keeps_every_value(tmp_path: Path, form: str) -> None:
    lab = tmp_path / "lab"
    lab.mkdir()
    FORMATS[form](lab, "neurons", NEURONS)
    FORMATS[form](lab, "axon", [row[:2] for row in AXONS])
    taken = take(lab)
    assert not taken.refused
    assert taken.values["neuron"] == {
        "cid": ["Höhle", "12", "13"],
        "neuron_type": ["ab", "a, b", "c"],
        "voxel_volume": [1000000.5, 2500000, 3500000],
    }
    assert taken.values["axon"]["parent_id"] == ["Höhle", "13"]
    assert len(taken.report.questions) == 6  # those about the dataset alone


@pytest.mark.parametrize("form", ["csv", "semicolons", "gz", "utf-16-be", "xlsx from B3", "xls"])
@pytest.mark.parametrize(
    "above",
    [
        [["Export of 2025-01-06"]],
        [["# exported from a viewer"], ["# scale 11.24"]],
        [["Neurons of the left lobe"], ["by a, b and c"], ["2025"]],
        [[f"# line {number}"] for number in range(120)],
    ],
)
def test_lines_above_the_names_are_passed_over(tmp_path: Path, form: str, above: Rows) -> None:
    lab = tmp_path / "lab"
    lab.mkdir()
    FORMATS[form](lab, "neuron", [*above, *NEURONS])
    taken = take(lab)
    assert not taken.refused
    assert taken.values["neuron"]["voxel_volume"] == [1000000.5, 2500000, 3500000]
    assert taken.values["neuron"]["cid"] == ["Höhle", "12", "13"]


@pytest.mark.parametrize("form", ["csv", "semicolons", "xlsx", "parquet"])
@pytest.mark.parametrize(
    ("written", "meant"),
    [
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
)
def test_a_comma_is_what_the_numbers_prove_or_asked_about(
    tmp_path: Path, form: str, written: list[str], meant: list[float] | None
) -> None:
    lab = tmp_path / "lab"
    lab.mkdir()
    rows = [[str(number), cell] for number, cell in enumerate(written, start=1)]
    FORMATS[form](lab, "neuron", [["cid", "centroid_x"], *rows])
    taken = take(lab)
    if meant is None:
        assert taken.refused
        assert any("decimal" in question for question in taken.report.questions)
    else:
        assert not taken.refused
        assert taken.values["neuron"]["centroid_x"] == meant


@pytest.mark.parametrize("form", ["csv", "tsv", "xls", "parquet"])
@pytest.mark.parametrize(
    ("table", "rows"),
    [
        (
            "neuron",
            [["bodyId", "size"], ["1500000111", "1174706004"], ["1500000148", "1184706004"]],
        ),
        ("neuron", [["cid", "x", "y", "z"], ["1", "10", "20", "30"], ["2", "11", "21", "31"]]),
        ("neuron", [["cid", "remark"], ["1", "a"], ["2", "b"]]),
        ("neuron", [["cid", "volume_um3"], ["1", "10.5"], ["2", "11.5"]]),
        ("vesicle", [["cid", "radius", "nt"], ["1", "20", "gaba"], ["2", "21", "gaba"]]),
        (
            "synapse",
            [
                ["id", "pre", "post", "ach", "da"],
                ["1", "11", "12", "0.5", "0.25"],
                ["2", "12", "11", "0.5", "0.25"],
            ],
        ),
        ("edges", [["11", "12", "9"], ["12", "13", "4"]]),
        ("neuron", [["710001", "Cell 10 of type alpha"], ["820002", "Dense cell LN-1 left side"]]),
        ("edges", [["source", "target", "weight"], ["11", "12", "3"], ["12", "11", "4"]]),
    ],
)
def test_what_only_a_name_suggests_is_refused_until_answered(
    tmp_path: Path, form: str, table: str, rows: Rows
) -> None:
    lab = tmp_path / "lab"
    lab.mkdir()
    FORMATS[form](lab, table, rows)
    taken = take(lab)
    assert taken.refused
    assert len(taken.report.questions) > 6


@pytest.mark.parametrize("form", FORMATS)
def test_a_unit_in_a_plain_name_is_converted(tmp_path: Path, form: str) -> None:
    lab = tmp_path / "lab"
    lab.mkdir()
    FORMATS[form](lab, "vesicle", [["cid", "voxel_radius_um"], ["1", "0.02"], ["2", "0.025"]])
    taken = take(lab)
    assert not taken.refused
    assert taken.values["vesicle"]["voxel_radius"] == [20, 25]


FLAT = ["csv", "gz", "xlsx", "parquet"]


@pytest.mark.parametrize("form", FLAT)
@pytest.mark.parametrize(
    ("table", "header", "one", "other"),
    [
        ("neuron", ["cid"], [["1"], ["2"]], [["2"], ["3"]]),
        ("synapse", ["cid", "pre_synapse_id"], [["1", "5"], ["2", "5"]], [["1", "5"], ["2", "6"]]),
        ("connections", ["pre_id", "post_id"], [["1", "2"], ["2", "1"]], [["1", "2"], ["2", "3"]]),
    ],
)
def test_two_releases_are_never_read_as_one_table(
    tmp_path: Path, form: str, table: str, header: list[str], one: Rows, other: Rows
) -> None:
    lab = tmp_path / "lab"
    lab.mkdir()
    FORMATS[form](lab, f"{table}_630", [header, *one])
    FORMATS[form](lab, f"{table}_783", [header, *other])
    taken = take(lab)
    assert taken.refused
    assert any(
        "two releases of the same data, or parts of one table" in question
        for question in taken.report.questions
    )


@pytest.mark.parametrize("form", FLAT)
@pytest.mark.parametrize(
    "names", [("1", "2", "3"), ("000", "001", "002"), ("left", "right", "middle")]
)
def test_parts_are_read_together(tmp_path: Path, form: str, names: tuple[str, ...]) -> None:
    lab = tmp_path / "lab"
    lab.mkdir()
    for number, name in enumerate(names):
        FORMATS[form](
            lab,
            f"neuron_{name}",
            [["cid", "centroid_x"], [f"a{number}", "1.5"], [f"b{number}", "2.5"]],
        )
    taken = take(lab)
    assert not taken.refused
    assert len(taken.values["neuron"]["cid"]) == 6
    assert len(taken.report.questions) == (
        7 if names[0] == "left" else 6
    )  # words may be groups that are not one table


@pytest.mark.parametrize("form", FORMATS)
def test_every_file_and_column_is_read_or_named(tmp_path: Path, form: str) -> None:
    lab = tmp_path / "lab"
    (lab / "pictures").mkdir(parents=True)
    (lab / "old").mkdir()
    (lab / "hive.parquet" / "mat=783").mkdir(parents=True)
    FORMATS[form](lab, "neuron", [row[:1] for row in NEURONS])
    FORMATS[form](lab, "axon", AXONS)
    FORMATS[form](lab, "notes", [["when", "what"], ["today", "a"]])
    FORMATS[form](lab / "old", "vesicle", [["cid"], ["1"]])
    parquet(lab / "hive.parquet" / "mat=783", "part-0", [["cid"], ["1"]])
    for name in (
        "synapses.feather",
        "synapses.h5",
        "table.ods",
        "readme.md",
        "cells",
        "pictures/a.png",
        "b.json.zst",
        *(f"{n}.swc" for n in range(9)),
    ):
        (lab / name).write_bytes(b"x")
    taken = take(lab)
    assert taken.refused  # `cable` is no column of SynDB
    shown = f"{' '.join(str(taken.report).split())}\n{taken.text}"
    for name in (
        "notes",
        "old/",
        "hive.parquet/",
        "synapses.feather",
        "synapses.h5",
        "table.ods",
        "readme.md",
        "cells",
        "pictures/",
        "b.json.zst",
    ):
        assert name in shown.partition("\n")[0]
        assert name in shown.partition("\n")[2]
    assert "9 files .swc (a skeleton; a table names it in its column swc_path)" in shown
    assert "# ignore: [cable]" in taken.text


KEYS = ["720575940600000101", "720575940600000202", "720575940600000303"]


@pytest.mark.parametrize("form", ["csv", "xlsx", "parquet"])
@pytest.mark.parametrize(
    ("beside", "cells"),
    [
        ("pre_pt_supervoxel_id", ["78112261444987070", "78112261444987072", "78112261444987074"]),
        ("pre_sv", ["78112261444987070", "78112261444987072", "78112261444987074"]),
        (
            "pre_pt_position",
            ["[430050 179248  53280]", "[430051 179248  53280]", "[430052 179248  53280]"],
        ),
        ("pre_position", ["(1.5, 2.5, 3)", "(2.5, 2.5, 3)", "(2.5, 2.5, 4)"]),
        ("pre_x", ["430050", "430051", "430052"]),
        ("pre_cell_type", ["a", "b", "c"]),
    ],
)
@pytest.mark.parametrize(
    "end",
    ["pre_pt_root_id", "pre_neuron", "presynaptic_segment_id", "bodyId_pre", "pre_partner_code"],
)
def test_the_end_is_the_column_whose_values_are_keys(
    tmp_path: Path, form: str, beside: str, cells: list[str], end: str
) -> None:
    lab = tmp_path / "lab"
    lab.mkdir()
    FORMATS[form](lab, "neurons", [["root_id"], *([key] for key in KEYS)])
    rows = [
        [str(number), cell, key, KEYS[0]]
        for number, (cell, key) in enumerate(zip(cells, KEYS, strict=True), start=1)
    ]
    FORMATS[form](lab, "synapses", [["id", beside, end, "post_pt_root_id"], *rows])
    text = init(lab, lab / "dataset.yaml").config.read_text(encoding="utf-8")
    assert re.search(rf"(?m)^ +{end}: pre_synapse_id   # QUESTION", text)
    assert f"{beside}: pre_synapse_id" not in text
    assert (
        beside in text[text.index("# ignore:") :]
    )  # so that `check` refuses it until a person leaves it out


@pytest.mark.parametrize("form", ["csv", "xlsx", "parquet"])
@pytest.mark.parametrize("names", [("id", "root_id"), ("root_id", "id")])
def test_a_segment_id_that_is_the_parents_is_no_key_of_the_row(
    tmp_path: Path, form: str, names: tuple[str, str]
) -> None:
    lab = tmp_path / "lab"
    lab.mkdir()
    FORMATS[form](lab, "neurons", [["root_id"], *([key] for key in KEYS)])
    rows = [
        dict(zip(("id", "root_id"), (f"{number}", key), strict=True))
        for number, key in enumerate(KEYS)
    ]
    FORMATS[form](lab, "axons", [names, *([row[name] for name in names] for row in rows)])
    taken = take(lab)
    assert not taken.refused
    assert (taken.values["axon"]["cid"], taken.values["axon"]["parent_id"]) == (
        ["0", "1", "2"],
        KEYS,
    )


@pytest.mark.parametrize("form", FORMATS)
def test_neurons_are_offered_by_what_refers_to_them(tmp_path: Path, form: str) -> None:
    lab = tmp_path / "lab"
    lab.mkdir()
    FORMATS[form](
        lab,
        "soma",
        [["segmentation", "segment_id", "loc"], *(["185", key, "[1 2 3]"] for key in KEYS)],
    )
    FORMATS[form](lab, "synapses", [["pre", "post"], [KEYS[0], KEYS[1]], [KEYS[2], KEYS[1]]])
    taken = take(lab)
    assert taken.refused
    assert "segment_id: cid   # QUESTION" in taken.text
    assert any("is it the table of neurons?" in question for question in taken.report.questions)
    assert any("neuron_relation" in question for question in taken.report.questions)


@pytest.mark.parametrize("form", ["csv", "tsv", "semicolons"])
@pytest.mark.parametrize("encoding", ["cp1252", "mac-roman", "latin-1"])
def test_an_encoding_that_is_only_likely_is_asked_about(
    tmp_path: Path, form: str, encoding: str
) -> None:
    lab = tmp_path / "lab"
    lab.mkdir()
    mark = {"csv": ",", "tsv": "\t", "semicolons": ";"}[form]
    delimited(mark, ".csv", encoding)(
        lab, "neuron", [["cid", "neuron_type"], ["Höhle", "a"], ["2", "x"]]
    )
    taken = take(lab)
    assert "SYN-READ-003" in taken.refused
    assert any(
        "not UTF-8; in which encoding is it?" in question for question in taken.report.questions
    )


def test_one_line_in_another_encoding_does_not_change_the_others(tmp_path: Path) -> None:
    lab = tmp_path / "lab"
    lab.mkdir()
    (lab / "neuron.csv").write_bytes(
        "cid,neuron_type\nHügel,a\n".encode() + "Höhle,b\n".encode("cp1252")
    )
    taken = take(lab)
    assert "SYN-READ-003" in taken.refused
    assert "encoding" not in taken.text


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("axon.xls", b"<html><body><table></table></body></html>", "web page (HTML)"),
        ("axon.xlsx", b"<!DOCTYPE html><html></html>", "web page (HTML)"),
        ("axon.xls", b"cid\tparent_id\n1\t1\n", "it is no workbook but text"),
        ("axon.parquet", b"cid,parent_id\n1,1\n", "it is no Parquet file but text"),
        ("axon.csv", b"PK\x03\x04rest", "an .xlsx workbook or a zip archive"),
    ],
)
def test_a_file_that_is_something_else_is_named_as_what_it_is(
    tmp_path: Path, name: str, content: bytes, said: str
) -> None:
    lab = tmp_path / "lab"
    lab.mkdir()
    (lab / "neuron.csv").write_text("cid\n1\n")
    (lab / name).write_bytes(content)
    taken = take(lab)
    assert any(said in question for question in taken.report.questions)
    assert "Cfb" not in str(taken.report)
    assert said in " ".join(taken.text.replace("#  ", "").split())
    assert "SYN-READ" in taken.refused  # the table is not left out because it cannot be read


@pytest.mark.parametrize(
    "name",
    [
        "synapses.feather",
        "synapses.h5",
        "synapse.csv.zip",
        "synapse.csv.zst",
        "synapse.parquet/mat=783/part-0.parquet",
    ],
)
def test_a_table_by_name_that_is_not_read_is_asked_about(tmp_path: Path, name: str) -> None:
    lab = tmp_path / "lab"
    (lab / name).parent.mkdir(parents=True)
    (lab / name).write_bytes(b"x")
    (lab / "neuron.csv").write_text("cid\n1\n")
    report = init(lab, lab / "dataset.yaml")
    asked = [question for question in report.questions if name.partition("/")[0] in question]
    assert len(asked) == 1
    assert "is the table synapse; it is not used (" in asked[0]
    (lab / "synapse.csv").write_text(
        "cid\n1\n"
    )  # with a table that is read there is nothing to ask
    again = init(lab, lab / "dataset.yaml", overwrite=True)
    assert not any(name.partition("/")[0] in question for question in again.questions)
    assert any(name.partition("/")[0] in file for file in again.unused) or "which one?" in str(
        again
    )


def test_commas_of_a_column_that_is_not_mapped_are_asked_about(tmp_path: Path) -> None:
    lab = tmp_path / "lab"
    lab.mkdir()
    (lab / "neuron.csv").write_text("cid;partners;voxel_volume\n1;12,13;1000.5\n2;14,15;2000\n")
    report = init(lab, lab / "dataset.yaml")
    assert '    # decimal: ","\n' in report.config.read_text(encoding="utf-8")
    assert any("is partners a column of numbers?" in question for question in report.questions)


def test_a_table_without_a_choice_made_says_what_is_missing(tmp_path: Path) -> None:
    lab = tmp_path / "lab"
    lab.mkdir()
    workbook()(lab, "neuron", [["cid"], ["1"]])
    delimited(",", ".csv")(lab, "neuron", [["cid"], ["1"]])
    taken = take(lab)
    assert "tables.neuron" in taken.refused
    chosen = taken.text.replace("# file: neuron.csv", "file: neuron.csv")
    taken.report.config.write_text(chosen, encoding="utf-8")
    assert load_dataset(taken.report.config).tables["neuron"].file == "neuron.csv"
