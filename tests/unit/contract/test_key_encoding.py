"""Keys that are kept on disk as whole numbers: only where their digits are the text, and never seen
as anything but text.
"""

from __future__ import annotations

import itertools
import random
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from syndb_pipeline.contract.key_encoding import (
    KEY_JOINT,
    comparable,
    is_number,
    joined_key,
    kept_columns,
    not_whole,
    part_of_key,
    rows_of,
    surely_digits,
    whole_number,
)
from syndb_pipeline.contract.tables import TABLES
from syndb_pipeline.readers.casts import is_surely_text
from tests.lab import Lab, csv, uid

ODD = "0159+-._eExXbBoO fdLn'٣"
"""Characters of numbers in all the ways in which DuckDB may read them, and some that are in
none.
"""


def write(path: Path, **columns: Any) -> Path:
    pq.write_table(pa.table(columns), path)
    return path


def stored(lab: Lab, stage: str, table: str) -> dict[str, str]:
    """The types of the columns that `stage` left of `table`."""
    kind = {"ingest": "tables", "assign_ids": "ids"}[stage]
    described = lab.query("DESCRIBE SELECT * FROM {f}", f=f"{stage}/{kind}/{table}.parquet")
    return {name: kind for name, kind, *_ in described if not name.startswith("_")}


def test_what_is_surely_digits_is_written_so() -> None:
    """Every text of up to four odd characters, and longer ones at random: none that is written
    otherwise passes, and most numbers do.
    """
    draw = random.Random(7)
    texts = [
        "".join(letters)
        for length in range(1, 5)
        for letters in itertools.product(ODD, repeat=length)
    ]
    texts += [
        "".join(
            draw.choice("0123456789" if draw.random() < 0.8 else ODD)
            for _ in range(draw.randint(1, 22))
        )
        for _ in range(100_000)
    ]
    texts += [
        f"{draw.randint(1, 10 ** draw.randint(1, 9))}e{draw.randint(0, 18)}" for _ in range(20_000)
    ]
    numbers = [str(draw.randint(-(2**63), 2**63 - 1)) for _ in range(20_000)] + [
        str(2**63 - 1),
        str(2**63),
        str(-(2**63)),
        "0",
    ]
    with duckdb.connect() as connection:
        connection.register("given", pa.table({"text": texts + numbers}))
        cast = "SELECT text, try_cast(text AS BIGINT) AS number FROM given"
        cases = f"SELECT text, number, {surely_digits('number', 'text')} AS sure FROM ({cast})"
        assert (
            connection.execute(
                f"SELECT text FROM ({cases}) WHERE sure AND number::VARCHAR <> text"
            ).fetchall()
            == []
        )
        sure, all_of_them = connection.execute(
            f"SELECT count_if(sure), count(*) FROM ({cases}) WHERE number::VARCHAR = text AND"
            " number > 0"
        ).fetchall()[0]
        assert sure > 0.95 * all_of_them > 10_000


def test_what_is_surely_text_is_no_number() -> None:
    """Every text of up to three odd characters, and the words that DuckDB reads as numbers."""
    texts = [
        "".join(letters) for length in range(4) for letters in itertools.product(ODD, repeat=length)
    ]
    sure = [
        text
        for text in [*texts, "inf", "NaN", "true", "0x10", "1e02", "a1", "NA", " NA "]
        if is_surely_text(text, ["NA"])
    ]
    assert "a1" in sure and not {"NA", " NA ", "12", ""} & {*sure}
    with duckdb.connect() as connection:
        connection.register("given", pa.table({"text": sure}))
        numbers = "count_if(try_cast(text AS BIGINT)::VARCHAR = text)"
        found = connection.execute(f"SELECT count(*), {numbers} FROM given").fetchall()
    assert found == [(len(sure), 0)] and len(sure) > 5_000


def test_a_first_row_without_a_key_does_not_make_the_others_text(tmp_path: Path) -> None:
    axons = csv("cid,parent_id,voxel_radius", "1,NA,5.5", "2,7,5.5")
    lab = Lab(
        tmp_path,
        {"neuron": csv("cid,voxel_radius", "7,5.5"), "axon": axons},
        {"axon": {"missing": ["NA"]}},
    )
    lab.run("ingest")
    assert stored(lab, "ingest", "axon")["parent_id"] == "BIGINT"


def as_numbers(connection: duckdb.DuckDBPyConnection, texts: list[str | None]) -> list[Any]:
    number = whole_number("try_cast(text AS BIGINT)", "text", "parent_id")
    query = f"SELECT {number} FROM (SELECT unnest(?::VARCHAR[]) AS text)"
    return [value for (value,) in connection.execute(query, [texts]).fetchall()]


def test_another_text_than_the_digits_ends_the_query_and_is_named() -> None:
    digits = [12, None, 0, -7, 100, 2**63 - 1]
    with duckdb.connect() as connection:
        assert as_numbers(connection, [n if n is None else str(n) for n in digits]) == digits
        for text in (
            "01",
            "+1",
            "1.0",
            "1e2",
            "1_000",
            " 1",
            "-0",
            "0x1",
            "",
            "a",
            str(2**63),
            "٣",
        ):
            with pytest.raises(duckdb.Error) as raised:
                as_numbers(connection, ["12", None, text])
            assert not_whole(raised.value) == "parent_id"
        with pytest.raises(duckdb.Error) as raised:
            connection.execute("SELECT 'x'::BIGINT")
        assert not_whole(raised.value) is None


def test_rows_have_their_keys_as_text_and_only_their_keys(tmp_path: Path) -> None:
    file = write(
        tmp_path / "synapse.parquet", cid=[2, None], pre_synapse_id=["a", "b"], cave_id=[5, 6]
    )
    with duckdb.connect() as connection:
        rows = connection.execute(
            "SELECT cid, pre_synapse_id, cave_id, file_row_number FROM"
            f" {rows_of(file, row_number=True)}"
        ).fetchall()
    assert rows == [("2", "a", 5, 0), (None, "b", 6, 1)]
    assert (is_number(file, "cid"), is_number(file, "pre_synapse_id")) == (True, False)


def test_a_file_that_is_another_by_now_is_looked_at_again(tmp_path: Path) -> None:
    file = write(tmp_path / "axon.parquet", cid=[1])
    assert is_number(file, "cid")
    write(tmp_path / "beside.parquet", cid=["a"]).replace(file)
    assert not is_number(file, "cid")


def test_equal_keys_meet_however_they_lie(tmp_path: Path) -> None:
    ids, table = tmp_path / "ids.parquet", tmp_path / "vesicle.parquet"
    for parents, children in itertools.product(([1, 2], ["1", "2"]), ([2, 9], ["2", "02"])):
        write(ids, key=parents)
        write(table, parent_id=children)
        named, key = comparable((table, "parent_id"), (ids, "key"))
        join = f"SELECT p.key::VARCHAR FROM '{table}' c JOIN '{ids}' p ON {named} = {key}"
        assert duckdb.sql(join).fetchall() == [("2",)]


def test_kept_columns_are_numbers_where_wanted(tmp_path: Path) -> None:
    file = write(tmp_path / "vesicle.parquet", cid=[1], parent_id=["3"], voxel_radius=[2.5])
    with duckdb.connect() as connection:
        for numbers, row in (
            ({"cid", "parent_id"}, (1, 3, 2.5)),
            (set(), ("1", "3", 2.5)),
            ({"parent_id"}, ("1", 3, 2.5)),
        ):
            columns = kept_columns(file, ["cid", "parent_id", "voxel_radius"], numbers)
            assert connection.execute(f"SELECT {columns} FROM '{file}'").fetchall() == [row]


def test_a_column_lies_as_numbers_where_every_key_is_one(tmp_path: Path) -> None:
    keys = {
        "neuron": ["1", "20", "864691135307551234"],
        "dendrite": ["-1", "0"],
        "axon": [" 1 ", "2"],  # read as trimmed; the key is 1
        "pre_synaptic_terminal": ["1", "20", "x"],
        "dendritic_spine": ["1", "02"],
        "nucleus": ["1", "2.0"],
        "mitochondria": ["1", "1e2"],
        "vesicle": ["1", str(2**63)],
    }
    lab = Lab(
        tmp_path,
        {name: csv("cid,voxel_radius", *(f"{k},5.5" for k in each)) for name, each in keys.items()},
    )
    lab.run("assign_ids")
    for number, (name, each) in enumerate(keys.items()):
        kind = "BIGINT" if number < 3 else "VARCHAR"
        assert stored(lab, "ingest", name)["cid"] == stored(lab, "assign_ids", name)["key"] == kind
        assert lab.ids(name) == [(key.strip(), uid(name, key.strip())) for key in each]


def test_parents_and_children_that_lie_otherwise_are_joined(tmp_path: Path) -> None:
    """One axon's key is not a number, so theirs lie as text; the vesicles name only others, so their
    `parent_id` lies as numbers.
    """
    axons = csv("cid,voxel_radius", "1,5.5", "2,5.5", "2b,5.5")
    lab = Lab(
        tmp_path,
        {"axon": axons, "vesicle": csv("cid,parent_id,voxel_radius", "7,2,20.5", "8,1,20.5")},
    )
    checked = lab.check()
    assert checked.verdict == "accepted"
    assert stored(lab, "assign_ids", "axon")["key"] == "VARCHAR"
    assert stored(lab, "ingest", "vesicle")["parent_id"] == "BIGINT"
    assert lab.related("vesicle", "parent_id") == [uid("axon", "2"), uid("axon", "1")]


@pytest.mark.parametrize("later", ["x9", "09"])
def test_files_of_one_table_agree_on_how_their_keys_lie(tmp_path: Path, later: str) -> None:
    """The first file's keys are numbers; a file that comes later holds one that is none, and goes
    away again.
    """
    whole = csv("cid,voxel_radius", "1,5.5", "2,5.5")
    lab = Lab(tmp_path, {"neuron": None}, {"neuron": {"file": "n-*.csv"}})
    (tmp_path / "n-1.csv").write_text(whole)
    lab.run("assign_ids")
    assert stored(lab, "ingest", "neuron")["cid"] == "BIGINT"
    (tmp_path / "n-2.csv").write_text(csv("cid,voxel_radius", f"{later},5.5"))
    lab.run("assign_ids")
    assert stored(lab, "ingest", "neuron")["cid"] == "VARCHAR"
    assert [key for key, _ in lab.ids("neuron")] == ["1", "2", later]
    (tmp_path / "n-2.csv").unlink()
    lab.run("assign_ids")
    assert stored(lab, "ingest", "neuron")["cid"] == "BIGINT"


def test_a_broken_line_that_says_what_we_say_is_a_broken_line(tmp_path: Path) -> None:
    said = "no whole number: cid"
    rows = csv("cid,voxel_radius", "1,5.5", f"2,5.5,{said}", f"{said},6.5", "3,x")
    lab = Lab(tmp_path, {"neuron": rows})
    assert lab.check().finding("SYN-READ-002").count == 1
    assert [key for key, _ in lab.ids("neuron")] == ["1", said, "3"]


def test_a_key_of_several_columns_lies_as_text(tmp_path: Path) -> None:
    settings = {"vesicle": {"key": ["parent_id", "cid"]}}
    tables = {
        "axon": csv("cid,voxel_radius", "1,5.5"),
        "vesicle": csv("cid,parent_id,voxel_radius", "7,1,20.5", "8,1,20.5"),
    }
    lab = Lab(tmp_path, tables, settings)
    assert lab.check().verdict == "accepted"
    assert stored(lab, "ingest", "vesicle")["cid"] == "VARCHAR"
    assert [key for key, _ in lab.ids("vesicle")] == ["1:7", "1:8"]


def test_parquet_keys_of_every_type_give_the_same_ids(tmp_path: Path) -> None:
    kinds = [pa.int8(), pa.uint32(), pa.int64(), pa.uint64(), pa.string(), pa.float64()]
    tables = dict(zip([name for name in TABLES if not TABLES[name].pair], kinds, strict=False))
    lab = Lab(
        *(tmp_path, dict.fromkeys(tables)), {name: {"file": f"{name}.parquet"} for name in tables}
    )
    for name, kind in tables.items():
        write(tmp_path / f"{name}.parquet", cid=pa.array([1, 2, 77]).cast(kind))
    lab.run("assign_ids")
    for name in tables:
        assert stored(lab, "ingest", name)["cid"] == "BIGINT"
        assert lab.ids(name) == [(key, uid(name, key)) for key in ("1", "2", "77")]


@pytest.mark.parametrize("joint", [":", "/"])
def test_no_two_rows_of_parts_make_one_key_and_each_part_can_be_read_back(joint: str) -> None:
    texts = [
        "".join(letters)
        for size in (1, 2, 3)
        for letters in itertools.product(f"a\\{joint}b", repeat=size)
    ]
    connection = duckdb.connect()
    connection.execute("CREATE TABLE parts AS SELECT unnest(?::VARCHAR[]) AS part", [texts])
    pairs = (
        f"SELECT x.part AS x, y.part AS y, {joined_key(['x.part', 'y.part'], joint)} AS k FROM"
        " parts x, parts y"
    )
    changed = f"NOT contains(x || y, '{joint}') AND k <> x || '{joint}' || y"
    assert connection.execute(
        f"SELECT count(*), count(DISTINCT k), count_if({changed}) FROM ({pairs})"
    ).fetchone() == (7056, 7056, 0)
    if joint == KEY_JOINT:
        found = f"{part_of_key('k', 0, 2)} = x AND {part_of_key('k', 1, 2)} = y"
        assert connection.execute(f"SELECT count_if({found}) FROM ({pairs})").fetchone() == (7056,)
