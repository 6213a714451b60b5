"""Parquet files, and the same content in every format.

Belongs here: real Parquet through the ingest stage; csv, xlsx and Parquet held against each other.
Does not: single casts.
"""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import xlsxwriter
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.lab import Ingested, ingest_folder


def ingest_table(folder: Path, table: pa.Table, **config: Any) -> Ingested:
    pq.write_table(table, folder / "v.parquet")
    return ingest_folder(folder, {"vesicle": {"file": "v.parquet", **config}})


def test_typed_columns(tmp_path: Path) -> None:
    table = pa.table(
        {
            "cid": pa.array([864691128000000123, None], pa.int64()),
            "parent_id": pa.array([1.0, 9007199254740994.0]),
            "neurotransmitter": pa.array(["gaba", " x "]).dictionary_encode(),
            "voxel_radius": pa.array([1.5, float("nan")]),
            "mesh_volume": pa.array([True, None]),
            "minimum_normal_length": pa.array([12.0, 1.5]),
        }
    )
    done = ingest_table(tmp_path, table)
    assert done.findings == []
    assert done.rows("vesicle") == [
        ("864691128000000123", "1", "gaba", 1.5, None, 12),
        (None, "9007199254740994", " x ", None, None, None),
    ]
    assert done.cells() == [
        ("vesicle", 0, "mesh_volume", "true", "uncast"),
        ("vesicle", 1, "parent_id", "9007199254740994", "float"),
        ("vesicle", 1, "voxel_radius", "NaN", "uncast"),
        ("vesicle", 1, "minimum_normal_length", "1.5", "uncast"),
    ]
    assert [done.line("vesicle", row) for row in range(2)] == [1, 2]


def test_uuid_keys_are_canonical_text(tmp_path: Path) -> None:
    key = uuid.UUID("01939c0e-7b1a-7c3e-9f53-6f0c6b1d2a11")
    for kind in (pa.binary(16), pa.uuid()):
        done = ingest_table(
            tmp_path, pa.table({"cid": pa.array([key.bytes], kind), "voxel_radius": [1.0]})
        )
        assert done.rows("vesicle", "cid") == [(str(key),)]
    large = ingest_table(
        tmp_path, pa.table({"cid": pa.array([str(key).upper()], pa.large_string())})
    )
    assert large.rows("vesicle") == [(str(key).upper(),)]


def test_names_that_are_nearly_or_wholly_equal(tmp_path: Path) -> None:
    done = ingest_table(tmp_path, pa.table({"CID": ["x"], "cid": ["a"]}), ignore=["CID"])
    assert done.rows("vesicle") == [("a",)]
    arrays = [pa.array(["a"]), pa.array([1.0]), pa.array([2.0])]
    done = ingest_table(tmp_path, pa.Table.from_arrays(arrays, names=["cid", "x", "x"]))
    assert "SYN-READ-004" in done.codes
    done = ingest_table(tmp_path, pa.table({"cid": pa.array([], pa.string())}))
    assert (done.codes, done.rows("vesicle")) == (["SYN-READ-013"], [])


@pytest.mark.parametrize("keep", [0, 10, 200, -4, -40])
def test_a_broken_file(tmp_path: Path, keep: int) -> None:
    pq.write_table(pa.table({"cid": [str(i) for i in range(1000)]}), tmp_path / "v.parquet")
    whole = (tmp_path / "v.parquet").read_bytes()
    (tmp_path / "v.parquet").write_bytes(whole[:keep])
    assert ingest_folder(tmp_path, {"vesicle": "v.parquet"}).codes == [
        "SYN-READ-018" if keep else "SYN-READ-014"
    ]


def test_a_page_that_does_not_decompress(tmp_path: Path) -> None:
    names = ("a.parquet", "b.parquet")
    for name in names:
        pq.write_table(
            pa.table({"cid": [f"key {i * 7919}" for i in range(20_000)]}),
            tmp_path / name,
            compression="snappy",
            use_dictionary=False,
        )
    spoiled = bytearray((tmp_path / "b.parquet").read_bytes())
    spoiled[500:900] = b"\xff" * 400
    (tmp_path / "b.parquet").write_bytes(spoiled)
    done = ingest_folder(tmp_path, {"vesicle": "*.parquet"})
    assert [(finding.code, finding.file) for finding in done.findings] == [
        ("SYN-READ-014", "b.parquet")
    ]
    assert not done.has("vesicle")


numbers = st.one_of(
    st.none(),
    st.floats(allow_nan=False, allow_infinity=False, min_value=-1e12, max_value=1e12),
    st.integers(-(10**9), 10**9).map(float),
)
words = st.one_of(
    st.none(),
    st.text(alphabet="abcé ,;\"'xyz0123456789.-", min_size=1, max_size=8).filter(str.strip),
)
content = st.lists(
    st.tuples(
        words,
        st.one_of(st.none(), st.integers(0, 10**14)),
        words,
        numbers,
        st.one_of(st.none(), st.integers(-(10**6), 10**6)),
    ),
    max_size=40,
)
COLUMNS = ("cid", "parent_id", "neurotransmitter", "voxel_radius", "minimum_normal_length")


@settings(max_examples=3, deadline=None)
@given(
    content, st.sampled_from([{}, {"units": {"voxel_radius": "um"}}, {"missing": ["a", "0", "-1"]}])
)
def test_every_format_gives_the_same_rows(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[Any, ...]], config: dict[str, Any]
) -> None:
    folder = tmp_path_factory.mktemp("formats")
    rows = [row for row in rows if any(value is not None for value in row)]
    kinds = (pa.string(), pa.int64(), pa.string(), pa.float64(), pa.int64())
    arrays = [pa.array([row[i] for row in rows], kind) for i, kind in enumerate(kinds)]
    pq.write_table(pa.table(dict(zip(COLUMNS, arrays, strict=True))), folder / "v.parquet")
    duckdb.execute(f"COPY (FROM '{folder / 'v.parquet'}') TO '{folder / 'v.csv'}' (HEADER)")
    with xlsxwriter.Workbook(folder / "v.xlsx") as book:
        sheet = book.add_worksheet()
        sheet.write_row(0, 0, COLUMNS)
        for number, row in enumerate(rows, start=1):
            for column, value in enumerate(row):
                if isinstance(value, str):
                    sheet.write_string(number, column, value)
                elif value is not None:
                    sheet.write_number(number, column, value)
    done = {
        suffix: ingest_folder(folder, {"vesicle": {"file": f"v.{suffix}", **config}})
        for suffix in ("csv", "xlsx", "parquet")
    }
    assert done["csv"].rows("vesicle") == done["parquet"].rows("vesicle")
    assert done["csv"].cells() == done["parquet"].cells()
    if rows:
        # xlsxwriter keeps 16 significant digits of a number, so longer ones are not the same
        # content.
        short = [
            i for i, row in enumerate(rows) if row[3] is None or float(f"{row[3]:.16G}") == row[3]
        ]
        assert [done["xlsx"].rows("vesicle")[i] for i in short] == [
            done["csv"].rows("vesicle")[i] for i in short
        ]
        assert done["xlsx"].cells() == done["csv"].cells()
