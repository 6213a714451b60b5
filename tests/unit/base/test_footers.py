"""Footers of our own Parquet files: what they tell is what a query would."""

from __future__ import annotations

from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from syndb_pipeline.base.engine import (
    ROW_GROUP_ROWS,
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
