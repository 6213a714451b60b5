"""Header rows that were read as rows, and title lines above a header, in every format; and first
rows that are data.

Belongs here: real files through the ingest stage, and pasting the settings that it prints. Does
not: repeated headers further down (`test_stray_rows.py`).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from test_stray_rows import FORMATS, write_table

from tests.lab import ingest_folder
from tests.written_lab import crossed

SYNAPSES = ["cid", "pre_synapse_id", "post_synapse_id"]
PAIRS = ["pre_synapse_id", "post_synapse_id"]


def denied(folder: Path, table: str, names: list[str], rows: list[list[str]], kind: str) -> Any:
    """Ingest `rows` as a file that the config says has no header."""
    return ingest_folder(
        folder,
        {
            table: {
                "file": write_table(folder, rows, kind, table),
                "header_row": None,
                "names": names,
            }
        },
    )


def pasted(folder: Path, table: str, file: str, block: str) -> Any:
    return ingest_folder(folder, {table: {"file": file, **yaml.safe_load(block)["tables"][table]}})


DENIED = [
    ("synapse", SYNAPSES, ["Synapse No.", "Bouton No.", "Spine No."], ["{}", "4{}", "7{}"]),
    ("synapse", SYNAPSES, ["Nummer", "Vorne", "Hinten"], ["{}", "4{}", "7{}"]),
    ("neuron_relation", PAIRS, ["From", "To"], ["A{}", "B{}"]),
    ("neuron_relation", PAIRS, ["Quelle", "Ziel"], ["A{}", "B{}"]),
    ("neuron", ["cid", "neuron_type"], ["cell name", "type"], ["AVA", "inter"]),
    (
        "vesicle",
        ["cid", "parent_id", "voxel_volume"],
        ["Vesikel", "Terminal", "Groesse"],
        ["v{}", "t{}", "5"],
    ),
    ("neuron", ["cid"], ["bodyId"], ["{}"]),
]


@pytest.mark.parametrize(
    ("kind", "count", "table", "names", "header", "row"),
    crossed("denied headers", 10, ["csv", "xlsx", "xls"], [1, 3, 300], DENIED),
)
def test_a_header_that_the_config_denies(
    tmp_path: Path,
    kind: str,
    count: int,
    table: str,
    names: list[str],
    header: list[str],
    row: list[str],
) -> None:
    rows = [[cell.format(number + 1) for cell in row] for number in range(count)]
    done = denied(tmp_path, table, names, [header, *rows], kind)
    assert done.codes.count("SYN-READ-017") == 1
    finding = done.finding("SYN-READ-017")
    assert (finding.count, finding.examples[0].row, finding.examples[0].value) == (
        1,
        1,
        ",".join(header),
    )
    assert (done.tables[table].read, done.tables[table].rejected) == (count + 1, 1)
    again = pasted(tmp_path, table, f"{table}.{kind}", finding.settings[0])
    assert "SYN-READ-017" not in again.codes
    assert (again.tables[table].read, again.tables[table].rejected) == (count, 0)
    assert again.rows(table) == done.rows(table)
    assert again.line(table, 0) == 2


DATA = [
    ("neuron_relation", PAIRS, [["AVAL", "AVAR"], ["AVAR", "RIH"], ["RIH", "AVAL"]]),
    ("neuron_relation", PAIRS, [["AVAL", "AVAR"], ["A1", "RIH"], ["A2", "AVAL"]]),
    ("neuron", ["cid", "neuron_type"], [["AVAL", "interneuron"], ["AVAR", "interneuron"]]),
    ("neuron", ["cid"], [["giant"], ["n1"], ["n2"], ["n3"]]),
    # Ten numbered cells come first, and names further down.
    (
        "neuron_relation",
        PAIRS,
        [["AVAL", "AVAR"], *([f"n{n}", f"n{n + 1}"] for n in range(10)), *[["RIH", "AVB"]] * 9],
    ),
    ("neuron", ["cid", "voxel_volume"], [["AVAL", ""], ["AVAR", "5"]]),
    ("neuron", ["cid", "voxel_volume"], [["AVAL", "NA"], ["AVAR", "5"]]),
    ("synapse", SYNAPSES, [["1", "4", "5"], ["2", "4", "6"]]),
    ("neuron_relation", PAIRS, [["source", "sink"], ["sink", "source"], ["source", "source"]]),
]


@pytest.mark.parametrize(
    ("kind", "table", "names", "rows"),
    [*(("csv", *each) for each in DATA), ("xlsx", *DATA[0]), ("xls", *DATA[3])],
)
def test_first_rows_that_are_data(
    tmp_path: Path, kind: str, table: str, names: list[str], rows: list[list[str]]
) -> None:
    done = denied(tmp_path, table, names, rows, kind)
    assert "SYN-READ-017" not in done.codes
    assert done.tables[table].passed == len(rows)


SEVERAL: list[Any] = [
    (
        ["LABEL", "cid", "voxel_volume", "centroid_x"],
        [
            ["Label", "Spot ID", "Volume", "X"],
            ["Label", "Spot ID", "V", "X"],
            ["", "", "(nm^3)", "(nm)"],
        ],
        ["ID{}", "{}", "1000", "3.5"],
    ),
    (
        ["cid", "voxel_volume"],
        [["Spot ID", "Volume"], ["Spot ID", "V"], ["", "nm3"]],
        ["n{}", "1000"],
    ),
    (["cid", "voxel_volume"], [["Name", "Volume"], ["Name", "V"]], ["AVA{}", "1000"]),
    (
        ["cid", "parent_id", "voxel_volume"],
        [["Id", "Terminal", "Size"], ["", "", "um3"]],
        ["{}", "7{}", "1000"],
    ),
    (["cid", "parent_id"], [["Vesikel", "Terminal"], ["V", "T"]], ["{}", "7{}"]),
]


@pytest.mark.parametrize(
    ("kind", "count", "header", "more", "row"),
    crossed("headers of several rows", 14, FORMATS, [1, 2, 300], SEVERAL),
)
def test_a_header_of_several_rows(
    tmp_path: Path, kind: str, count: int, header: list[str], more: list[list[str]], row: list[str]
) -> None:
    rows = [[cell.format(number + 1) for cell in row] for number in range(count)]
    config = {"ignore": [name for name in header if name == "LABEL"]}
    file = write_table(tmp_path, [header, *more, *rows], kind, "vesicle")
    done = ingest_folder(tmp_path, {"vesicle": {"file": file, **config}})
    assert set(done.codes) == {"SYN-READ-017"}
    assert sum(finding.count for finding in done.findings) == len(more)
    assert (done.tables["vesicle"].passed, done.tables["vesicle"].rejected) == (count, len(more))
    if kind == "parquet":
        return  # it has no header row to move
    again = ingest_folder(
        tmp_path,
        {
            "vesicle": {
                "file": file,
                **config,
                **yaml.safe_load(done.findings[0].settings[0])["tables"]["vesicle"],
            }
        },
    )
    assert again.codes == []
    assert again.rows("vesicle", "cid") == done.rows("vesicle", "cid")
    assert again.line("vesicle", 0) == len(more) + 2


def test_the_units_of_a_header_of_several_rows_are_not_lost(tmp_path: Path) -> None:
    (tmp_path / "v.csv").write_text("cid,voxel_volume,cid2\nName,Volume,Other\n,um3,\nv1,2,\n")
    config = {"file": "v.csv", "ignore": ["cid2"]}
    block = ingest_folder(tmp_path, {"vesicle": config}).findings[0].settings[0]
    assert yaml.safe_load(block)["tables"]["vesicle"] == {
        "header_row": 3,
        "names": ["cid", "voxel_volume", "cid2"],
        "units": {"voxel_volume": "um"},
    }
    again = ingest_folder(
        tmp_path, {"vesicle": config | yaml.safe_load(block)["tables"]["vesicle"]}
    )
    assert again.rows("vesicle", "voxel_volume") == [(2e9,)]


def test_each_of_several_files_has_such_a_header(tmp_path: Path) -> None:
    for part in range(3):
        (tmp_path / f"s{part}.csv").write_text(
            "Synapse,Pre,Post\n" + "".join(f"{part}{row},4,5\n" for row in range(30))
        )
    done = ingest_folder(
        tmp_path, {"synapse": {"file": "s?.csv", "header_row": None, "names": SYNAPSES}}
    )
    finding = done.finding("SYN-READ-017")
    assert (finding.count, done.tables["synapse"].passed) == (3, 90)
    again = ingest_folder(
        tmp_path,
        {"synapse": {"file": "s?.csv", **yaml.safe_load(finding.settings[0])["tables"]["synapse"]}},
    )
    assert (again.tables["synapse"].read, again.tables["synapse"].rejected) == (90, 0)


@pytest.mark.parametrize(
    ("kind", "titles"),
    [
        ("csv", [[], ["Volume"], ["===================="]]),
        ("semicolon", [["Volume"]]),
        ("xlsx", [["Measured in spring"], ["by hand"], []]),
    ],
)
def test_title_lines_above_the_header(tmp_path: Path, kind: str, titles: list[list[str]]) -> None:
    config = {"columns": {"Volume": "voxel_volume", "ID": "cid"}, "ignore": ["Unit", ""]}
    rows = [*titles, ["Volume", "Unit", "ID", ""], ["1000000", "um^3", "0", ""]]
    if kind == "xlsx":
        file = write_table(tmp_path, rows, kind)
    else:
        file, mark = "n.csv", ";" if kind == "semicolon" else ","
        (tmp_path / file).write_text("".join(mark.join(row) + "\n" for row in rows))
    done = ingest_folder(tmp_path, {"neuron": {"file": file, **config}})
    assert done.codes == ["SYN-READ-006"]
    row = len(titles) + 1
    assert done.findings[0].settings == [f"tables:\n  neuron:\n    header_row: {row}"]
    again = ingest_folder(tmp_path, {"neuron": {"file": file, **config, "header_row": row}})
    assert again.rows("neuron") == [(1e6, "0")]


@pytest.mark.parametrize(("kind", "top"), [("csv", 1), ("csv", 2), ("xlsx", 4), ("xls", 2)])
def test_names_in_place_of_the_header(tmp_path: Path, kind: str, top: int) -> None:
    rows = [["a", "b"], ["", "nm3"], ["x", "y"], ["p", "q"]][:top]
    file = write_table(tmp_path, [*rows, ["n1", "5"], ["n2", "six"]], kind)
    done = ingest_folder(
        tmp_path, {"neuron": {"file": file, "header_row": top, "names": ["cid", "voxel_volume"]}}
    )
    assert done.codes == []
    assert done.rows("neuron") == [("n1", 5.0), ("n2", None)]
    assert [done.line("neuron", row) for row in range(2)] == [top + 1, top + 2]


def test_names_in_place_of_a_header_with_line_breaks(tmp_path: Path) -> None:
    (tmp_path / "n.csv").write_text('"the\nkey","the\nvolume"\nn1,5\n')
    for row in (1, 2, 3):
        done = ingest_folder(
            tmp_path,
            {"neuron": {"file": "n.csv", "header_row": row, "names": ["cid", "voxel_volume"]}},
        )
        assert (done.codes, done.rows("neuron"), done.line("neuron", 0)) == ([], [("n1", 5.0)], 4)
