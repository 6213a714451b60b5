"""Our own Parquet files: their footers say what a query would, and a digest knows their rows."""

from __future__ import annotations

from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from syndb_pipeline.base.engine import (
    ROW_GROUP_ROWS,
    digest_of_rows,
    is_surely_empty,
    rows_in,
    types_of,
    write_parquet,
)

ROWS = 2 * ROW_GROUP_ROWS + 3


def written(path: Path, cells: str) -> Path:
    """A file of `ROWS` rows as a stage writes it, whose `_cells` is the expression `cells` over the
    row's number `i`.
    """
    with duckdb.connect() as connection:
        assert (
            write_parquet(
                connection,
                f"SELECT 'a' || i AS cid, i AS cave_id, {cells} AS _cells FROM range({ROWS}) t(i)",
                path,
            )
            == ROWS
        )
    return path


def test_columns_come_with_their_types_in_order(tmp_path: Path) -> None:
    file = written(tmp_path / "axon.parquet", "NULL::VARCHAR")
    assert list(types_of(file).items()) == [
        ("cid", "string"),
        ("cave_id", "int64"),
        ("_cells", "string"),
    ]
    assert rows_in(file) == ROWS


def test_a_file_written_over_is_looked_at_again(tmp_path: Path) -> None:
    file = written(tmp_path / "axon.parquet", "NULL::VARCHAR")
    assert "voxel_radius" not in types_of(file)
    pq.write_table(pa.table({"voxel_radius": [1.5]}), file)
    assert dict(types_of(file)) == {"voxel_radius": "double"}


@pytest.mark.parametrize("row", [0, ROW_GROUP_ROWS, ROWS - 1])
def test_one_cell_in_any_row_group_is_seen(tmp_path: Path, row: int) -> None:
    assert is_surely_empty(written(tmp_path / "none.parquet", "NULL::VARCHAR"), "_cells")
    assert not is_surely_empty(
        written(tmp_path / "one.parquet", f"CASE WHEN i = {row} THEN '[]' END"), "_cells"
    )


def test_without_rows_nothing_is_there(tmp_path: Path) -> None:
    pq.write_table(pa.table({"_cells": pa.array([], pa.string())}), tmp_path / "empty.parquet")
    assert is_surely_empty(tmp_path / "empty.parquet", "_cells")
    assert rows_in(tmp_path / "empty.parquet") == 0


def test_without_statistics_nothing_is_sure(tmp_path: Path) -> None:
    pq.write_table(
        pa.table({"_cells": pa.array([None, None], pa.string())}),
        tmp_path / "axon.parquet",
        write_statistics=False,
    )
    assert not is_surely_empty(tmp_path / "axon.parquet", "_cells")


_ID = b"0123456789abcdef"
_COLUMNS = {
    "cid": pa.array([_ID, _ID[::-1], _ID, None], pa.uuid()),
    "size": pa.array([1.5, None, -0.25, 3.0]),
    "count": pa.array([1, 2, None, 2**31 - 1], pa.int32()),
    "name": pa.array(["ab", "c", None, ""]),
    "known": pa.array([True, None, False, True]),
}


@pytest.mark.parametrize(
    "how",
    [
        {"row_group_size": 1},
        {"row_group_size": 3, "compression": "zstd", "use_dictionary": False},
        {"version": "1.0", "write_statistics": False, "data_page_version": "2.0"},
    ],
)
def test_a_digest_of_rows_is_the_same_however_they_are_written(
    tmp_path: Path, how: dict[str, object]
) -> None:
    one, other = tmp_path / "one.parquet", tmp_path / "other.parquet"
    pq.write_table(pa.table(_COLUMNS), one)
    pq.write_table(pa.table(_COLUMNS), other, **how)
    assert one.read_bytes() != other.read_bytes()
    assert digest_of_rows(one) == digest_of_rows(other)


@pytest.mark.parametrize(
    "changed",
    [
        {"cid": pa.array([_ID, _ID, _ID[::-1], None], pa.uuid())},
        {"size": pa.array([1.5, None, -0.25, 3.0000000000000004])},
        {"size": pa.array([1.5, 0.0, -0.25, 3.0])},
        {"size": pa.array([None, 1.5, -0.25, 3.0])},
        {"count": _COLUMNS["count"].cast(pa.int64())},
        {"name": pa.array(["a", "bc", None, ""])},
        {"name": pa.array(["ab", "c", "", None])},
        {"known": pa.array([True, None, True, True])},
        {"more": _COLUMNS["size"]},
    ],
)
def test_a_digest_of_rows_is_another_for_other_rows_or_columns(
    tmp_path: Path, changed: dict[str, pa.Array]
) -> None:
    pq.write_table(pa.table(_COLUMNS), tmp_path / "one.parquet")
    pq.write_table(pa.table(_COLUMNS | changed), tmp_path / "other.parquet")
    assert digest_of_rows(tmp_path / "one.parquet") != digest_of_rows(tmp_path / "other.parquet")


def test_a_digest_of_rows_knows_their_order_and_the_order_of_columns(tmp_path: Path) -> None:
    table = pa.table(_COLUMNS)
    turned = (table, table.take([3, 2, 1, 0]), table.select(list(reversed(table.column_names))))
    for number, each in enumerate(turned):
        pq.write_table(each, tmp_path / f"{number}.parquet")
    assert len({digest_of_rows(tmp_path / f"{number}.parquet") for number in range(3)}) == 3
