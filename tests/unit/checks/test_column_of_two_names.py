"""One column of a file that stands for several of SynDB's: `columns: {id: [cid, cave_id]}`.

Belongs here: reading, checking and publishing such a column in every format, and the fixes that
keep it. Does not: one name a column.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import duckdb
import openpyxl
import polars
import pytest

from syndb_pipeline.base.errors import ConfigError
from tests.lab import Lab, csv, settings_line, uid

NEURONS = csv("root_id", "720575940600000101", "720575940600000202")
COLUMNS: dict[str, Any] = {
    "id": ["cid", "cave_id"],
    "pre": "pre_synapse_id",
    "post": "post_synapse_id",
}
ROWS = [[3000001 + n, 720575940600000101, 720575940600000202] for n in range(3)]


def lab_of(folder: Path, suffix: str, rows: list[list[Any]], columns: dict[str, Any]) -> Lab:
    header = ["id", "pre", "post"]
    path = folder / f"synapses.{suffix}"
    texts = [[str(cell) for cell in row] for row in rows]
    if suffix == "parquet":
        polars.DataFrame(rows, schema=header, orient="row").write_parquet(path)
    elif suffix == "text.parquet":
        polars.DataFrame(texts, schema=header, orient="row").write_parquet(path)
    elif suffix == "xlsx":
        book = openpyxl.Workbook()
        for row in [header, *([row[0], *map(str, row[1:])] for row in rows)]:
            book.worksheets[0].append(row)
        book.save(path)
    else:
        mark = "\t" if suffix == "tsv" else ","
        path.write_text(
            "\n".join(mark.join(row) for row in [header, *texts]) + "\n", encoding="utf-8"
        )
    settings = {
        "neuron": {"columns": {"root_id": "cid"}},
        "synapse": {"file": path.name, "columns": columns},
    }
    return Lab(folder, {"neuron": NEURONS, "synapse": None}, settings)


@pytest.mark.parametrize("suffix", ["csv", "tsv", "xlsx", "parquet", "text.parquet"])
def test_one_column_is_sent_under_two_names(tmp_path: Path, suffix: str) -> None:
    lab = lab_of(tmp_path, suffix, ROWS, COLUMNS)
    records = lab.run("package")
    assert records["check_integrity"].findings == []
    sent = duckdb.sql(f"SELECT cid, cave_id FROM '{lab.packaged('synapse')}'").fetchall()
    assert sent == [(uid("synapse", str(key)), key) for key, *_ in ROWS]


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_as_a_score_it_keeps_the_key_as_it_is_written(tmp_path: Path, suffix: str) -> None:
    rows = [[720575940611125869 + n, 720575940600000101, 720575940600000202] for n in range(3)]
    lab = lab_of(tmp_path, suffix, rows, COLUMNS | {"id": ["connection_score", "cid"]})
    assert lab.check().codes == []
    assert [key for key, _ in lab.ids("synapse")] == [str(key) for key, *_ in rows]
    scores = lab.query("SELECT connection_score FROM {f}", f="ingest/tables/synapse.parquet")
    assert scores == [(float(key),) for key, *_ in rows]


def test_what_fits_one_name_only_is_told_of_the_other(tmp_path: Path) -> None:
    lab = lab_of(tmp_path, "csv", [["s1", *ROWS[0][1:]], *ROWS], COLUMNS)
    wrong = lab.check().finding(
        "SYN-TYPE-002" if "SYN-TYPE-002" in lab.check().codes else "SYN-TYPE-001"
    )
    assert (wrong.column, wrong.count) == ("cave_id", 1)
    assert (wrong.examples[0].row, wrong.examples[0].column, wrong.examples[0].value) == (
        2,
        "id",
        "s1",
    )


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (["cid", "nonsense"], "columns.id: 'nonsense' is no column of synapse"),
        (["cid", "cid"], "columns.id: it is cid twice"),
        (["pre_synapse_id", "pre_id"], "columns.id: it is pre_synapse_id twice"),
        ([], "expected a column of SynDB, or a list of them"),
        (["cid", 3], "'3' is no column of synapse"),
        ({"cid": 1}, "expected a column of SynDB, or a list of them"),
        (3, "columns.id: '3' is no column of synapse"),
    ],
)
def test_lists_that_mean_nothing_are_refused(tmp_path: Path, names: Any, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        lab_of(tmp_path, "csv", ROWS, COLUMNS | {"id": names}).run()


def test_two_columns_for_one_are_still_refused(tmp_path: Path) -> None:
    columns = COLUMNS | {"pre": ["pre_synapse_id", "cave_id"]}
    assert lab_of(tmp_path, "csv", ROWS, columns).check().codes == ["SYN-COL-005"]


def test_exchanged_columns_keep_their_other_names(tmp_path: Path) -> None:
    tables = {
        "neuron": csv("cid", "7", "8"),
        "synapse": csv("id,parent", *(f"{7 + n % 2},{100 + n}" for n in range(4))),
    }
    lab = Lab(
        tmp_path,
        tables,
        {"synapse": {"columns": {"id": ["cid", "cave_id"], "parent": "parent_id"}}},
    )
    swapped = lab.check().finding("SYN-REL-010")
    assert settings_line(swapped.fix)[1] == {"id": ["cave_id", "parent_id"], "parent": "cid"}


def test_a_column_that_is_mapped_is_left_out_in_words(tmp_path: Path) -> None:
    terminals = csv("id,parent_id", "t1,7")
    settings = {"pre_synaptic_terminal": {"columns": {"id": ["cid", "forms_synapse_with"]}}}
    tables = {
        "neuron": csv("cid", "7"),
        "axon": csv("cid,parent_id", "7,7"),
        "pre_synaptic_terminal": terminals,
    }
    missing = Lab(tmp_path, tables, settings).check().finding("SYN-REL-005")
    assert (
        "take forms_synapse_with out of the names of 'id' in `tables.pre_synaptic_terminal.columns`"
        in missing.fix
    )
    assert missing.settings == []
