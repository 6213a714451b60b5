"""Keys that stand twice: the cure that the rows themselves point to, and its lines to paste.

Belongs here: the advice of SYN-ID-002. Does not: which rows are told (`test_assign_ids.py`).
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import openpyxl
import polars
import pytest
import yaml

from tests.stage_lab import Lab, csv

NEURONS = csv("cid", "7", "8")
PAIRS = "cid,pre_synapse_id,post_synapse_id,connection_score"
EDGES = csv(PAIRS, "e,7,8,1", "e,8,7,2")


def pasted(settings: list[str], table: str) -> dict[str, Any]:
    """The one block of a cure, as settings of the table."""
    [block] = settings
    return dict(yaml.safe_load(block)["tables"][table])


def test_ids_that_restart_are_cured_by_what_the_finding_prints(tmp_path: Path) -> None:
    tables = {"neuron": NEURONS, "synapse": csv("cid,parent_id", "0,7", "1,7", "0,8", "1,8")}
    told = Lab(tmp_path / "told", tables).check().finding("SYN-ID-002")
    assert told.fix.startswith("No parent_id has a cid twice. If the ids restart in each,")
    assert pasted(told.settings, "synapse") == {"key": ["parent_id", "cid"]}
    assert "whole key" not in told.fix
    assert Lab(
        tmp_path / "cured", tables, {"synapse": pasted(told.settings, "synapse")}
    ).check().faults == ["SYN-COL-004"]


def test_tables_that_name_such_rows_are_spoken_of(tmp_path: Path) -> None:
    spines = csv("cid,parent_id,forms_synapse_with", "s,7,0")
    tables = {
        "neuron": NEURONS,
        "synapse": csv("cid,parent_id", "0,7", "0,8"),
        "dendritic_spine": spines,
    }
    cure = Lab(tmp_path, tables).check().finding("SYN-ID-002").fix
    assert cure.endswith("tables that name these rows then need the whole key, e.g. 7:0.")


@pytest.mark.parametrize(
    "rows",
    [
        ("s,7", "s,8", "s,8", "t,8"),  # a parent has a key twice
        ("s,7", "s,", "t,8"),  # a row has no parent, and would have no key
    ],
)
def test_columns_that_do_not_tell_the_rows_apart_are_not_offered(
    tmp_path: Path, rows: tuple[str, ...]
) -> None:
    told = (
        Lab(tmp_path, {"neuron": NEURONS, "synapse": csv("cid,parent_id", *rows)})
        .check()
        .finding("SYN-ID-002")
    )
    assert told.settings == [] and "parent's id" not in told.fix
    assert (
        "Find out which row of a key is right" in told.fix
        or "take the copies out and check again" in told.fix
    )


def test_the_needless_key_of_a_relation_is_left_out(tmp_path: Path) -> None:
    tables = {
        "neuron": NEURONS,
        "neuron_relation": csv(PAIRS + ",comment", "e,7,8,1,a", "e,8,7,2,b"),
    }
    told = (
        Lab(tmp_path / "told", tables, {"neuron_relation": {"ignore": ["comment"]}})
        .check()
        .finding("SYN-ID-002")
    )
    assert "SynDB knows the rows of neuron_relation by their pairs" in told.fix
    assert pasted(told.settings, "neuron_relation") == {"ignore": ["comment", "cid"]}
    assert (
        Lab(
            tmp_path / "cured",
            tables,
            {"neuron_relation": pasted(told.settings, "neuron_relation")},
        )
        .check()
        .faults
        == []
    )


def test_a_mapped_key_of_a_relation_is_to_be_moved(tmp_path: Path) -> None:
    tables = {"neuron": NEURONS, "neuron_relation": EDGES.replace("cid", "edge", 1)}
    told = (
        Lab(tmp_path, tables, {"neuron_relation": {"columns": {"edge": "cid"}}})
        .check()
        .finding("SYN-ID-002")
    )
    assert told.settings == [] and told.fix.endswith(
        "move 'edge' from `tables.neuron_relation.columns` to `ignore`."
    )


def test_a_relation_that_has_children_keeps_its_keys(tmp_path: Path) -> None:
    tables = {"neuron": NEURONS, "neuron_relation": EDGES, "axon": csv("cid,parent_id", "a,7")}
    told = Lab(tmp_path, tables).check().finding("SYN-ID-002")
    assert "by their pairs" not in told.fix


def as_csv(path: Path, header: list[str], rows: list[list[str]]) -> Path:
    path = path.with_suffix(".csv")
    path.write_text(csv(",".join(header), *(",".join(row) for row in rows)), encoding="utf-8")
    return path


def as_tsv(path: Path, header: list[str], rows: list[list[str]]) -> Path:
    path = path.with_suffix(".tsv")
    path.write_text("\n".join("\t".join(row) for row in [header, *rows]) + "\n", encoding="utf-8")
    return path


def as_workbook(path: Path, header: list[str], rows: list[list[str]]) -> Path:
    book = openpyxl.Workbook()
    for row in [header, *rows]:
        book.worksheets[0].append(row)
    book.save(path.with_suffix(".xlsx"))
    return path.with_suffix(".xlsx")


def as_parquet(path: Path, header: list[str], rows: list[list[str]]) -> Path:
    polars.DataFrame(rows, schema=header, orient="row").write_parquet(path.with_suffix(".parquet"))
    return path.with_suffix(".parquet")


Write = Callable[[Path, list[str], list[list[str]]], Path]
FORMATS = [as_csv, as_tsv, as_workbook, as_parquet]


def check(
    folder: Path,
    write: Write,
    table: str,
    header: list[str],
    rows: list[list[str]],
    **settings: Any,
) -> tuple[str, list[str]]:
    """The fix of SYN-ID-002 and its settings, for a table of one file in any format, beside two
    neurons.
    """
    lab = Lab(folder, {"neuron": NEURONS, table: None}, {table: settings})
    lab.config["tables"][table]["file"] = write(folder / table, header, rows).name
    told = lab.check().finding("SYN-ID-002")
    assert told.severity == "error"
    return told.fix, told.settings


@pytest.mark.parametrize("write", FORMATS)
def test_rows_that_differ_in_an_ignored_column_are_no_copies(tmp_path: Path, write: Write) -> None:
    header = ["id", "pre", "post", "tree node", "note"]
    rows = [[str(10 + n), "7", "8", str(n), "x"] for n in range(20)] + [
        ["12", "7", "8", "99", "x"],
        ["13", "7", "8", "98", "x"],
    ]
    columns = {"id": "cid", "pre": "pre_synapse_id", "post": "post_synapse_id"}
    cure, settings = check(
        tmp_path, write, "synapse", header, rows, columns=columns, ignore=["tree node", "note"]
    )
    assert (
        "All of them are equal to an earlier row in the columns that are read, but not in tree"
        " node, which is ignored" in cure
    )
    assert settings == [] and "whole row" not in cure and "remove" not in cure


@pytest.mark.parametrize("write", FORMATS)
def test_copies_are_equal_in_the_ignored_columns_as_well(tmp_path: Path, write: Write) -> None:
    rows = [["10", "7", "a"], ["11", "7", "b"], ["11", "7", "b"]]
    cure, _ = check(tmp_path, write, "axon", ["cid", "parent_id", "note"], rows, ignore=["note"])
    assert cure == "It is a copy of a whole row: remove it from the file."


@pytest.mark.parametrize(
    ("notes", "said"),
    [("aabb", "was not seen in all of them"), ("abcc", "but not in note, which is ignored")],
)
def test_of_many_rows_the_first_are_looked_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, notes: str, said: str
) -> None:
    monkeypatch.setattr("syndb_pipeline.checks.keys.repeated_keys.MOST_LOOKED_AT", 2)
    rows = [[str(10 + n // 2), "7", note] for n, note in enumerate(notes)]
    cure, _ = check(tmp_path, as_csv, "axon", ["cid", "parent_id", "note"], rows, ignore=["note"])
    assert said in cure and "whole row" not in cure


@pytest.mark.parametrize(
    ("column", "keys", "plainly"),
    [
        ("cid", ["Tm23/24"] * 16 + ["Mi1", "Dm3", "Dm3"], True),
        ("cid", ["Tm3"] * 3, True),
        ("cell type", ["Tm3", "Tm3", "Mi1"], True),
        ("cid", ["n1", "n1", "n2", "n2"], False),
        ("cid", ["n1", "n2", "n2"], False),
    ],
)
def test_names_that_rows_share_are_no_keys(
    tmp_path: Path, column: str, keys: list[str], plainly: bool
) -> None:
    lab = Lab(
        tmp_path,
        {"neuron": csv(f"{column},side", *(f"{key},L" for key in keys))},
        {"neuron": {"ignore": ["side"]}},
    )
    if column != "cid":
        lab.config["tables"]["neuron"]["columns"] = {column: "cid"}
    cure = lab.check().finding("SYN-ID-002").fix
    assert ("looks like the name of a kind" in cure) == plainly
    assert ("if several rows share it as a name" in cure) == (not plainly)
    assert "remove the copies" not in cure


def test_ids_are_no_names_however_often_they_are_copied(tmp_path: Path) -> None:
    keys = ["720575940611125869", "8f14e45f-ceea-467f-a0e6-1c2f3d4b5a69"]
    cure = (
        Lab(tmp_path, {"neuron": csv("cid", *[keys[0]] * 4, *[keys[1]] * 5)})
        .check()
        .finding("SYN-ID-002")
        .fix
    )
    assert cure == "All of them are copies of whole rows: remove the copies from the file."


@pytest.mark.parametrize("count", [2, 20, 20_000])
def test_a_table_without_a_parent_is_not_told_to_use_one(tmp_path: Path, count: int) -> None:
    rows = [f"{n},{1000 + n}" for n in range(count)] + ["1,7"]
    told = Lab(tmp_path, {"neuron": csv("cid,voxel_volume", *rows)}).check().finding("SYN-ID-002")
    assert (
        told.fix
        == "Rows of one key differ in voxel_volume. Find out which row of a key is right, or give"
        " each row a key of its own."
    )


def test_ids_that_restart_in_every_file_are_told_by_the_files(tmp_path: Path) -> None:
    lab = Lab(tmp_path, {"neuron": None}, {"neuron": {"file": "neuron_*.csv"}})
    for animal in "ab":
        (tmp_path / f"neuron_{animal}.csv").write_text(
            csv("cid,voxel_volume", f"1,{ord(animal)}", f"2,{ord(animal)}"), encoding="utf-8"
        )
    assert (
        lab.check()
        .finding("SYN-ID-002")
        .fix.startswith("No file has a cid twice. If the ids restart in every file,")
    )


@pytest.mark.parametrize("table", ["neuron", "axon"])
@pytest.mark.parametrize("write", [as_csv, as_tsv, as_workbook])
def test_ids_that_lost_digits_are_not_told_as_copies(
    tmp_path: Path, table: str, write: Write
) -> None:
    keys = ["6.485183463612935e+17", "6.485183463612935e+17", "6.4851834636152307e+17"]
    header = ["cid", "parent_id"][: 1 if table == "neuron" else 2]
    lab = Lab(tmp_path, {"neuron": NEURONS, table: None})
    lab.config["tables"][table]["file"] = write(
        tmp_path / f"the_{table}", header, [[key, "7"][: len(header)] for key in keys]
    ).name
    checked = lab.check()
    assert checked.faults == ["SYN-ID-003"] and checked.finding("SYN-ID-003").count == 3
    assert checked.rows(table).rejected == 3


def test_floats_of_a_parquet_column_are_not_told_as_copies(tmp_path: Path) -> None:
    polars.DataFrame({"cid": [7.205759406111258e17, 7.205759406111258e17, 7.0]}).write_parquet(
        tmp_path / "neuron.parquet"
    )
    lab = Lab(tmp_path, {"neuron": None}, {"neuron": {"file": "neuron.parquet"}})
    assert lab.check().faults == ["SYN-ID-003"]


def test_ids_that_a_spreadsheet_rounded_are_not_told_as_copies(tmp_path: Path) -> None:
    keys = ["720575940611125000", "720575940611125000", "720575940612856000", "720575940615016000"]
    checked = Lab(tmp_path, {"neuron": csv("cid", *keys)}).check()
    assert checked.faults == ["SYN-ID-002", "SYN-ID-005"]
    assert "Export the ids as text from their source first" in checked.finding("SYN-ID-002").fix


def test_a_copy_beside_a_damaged_id_is_told(tmp_path: Path) -> None:
    checked = Lab(tmp_path, {"neuron": csv("cid", "6.4e+17", "6.4e+17", "12", "12")}).check()
    assert (
        checked.faults == ["SYN-ID-002", "SYN-ID-003"] and checked.finding("SYN-ID-002").count == 1
    )
