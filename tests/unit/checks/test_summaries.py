"""Summaries of numeric columns, against the same values counted by Python."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from syndb_pipeline.checks.cells.pandera_judge import SAMPLED, summarise, take_sample
from syndb_pipeline.contract.tables import TABLES
from syndb_pipeline.state.results import Summary

RADIUS = TABLES["vesicle"].columns["voxel_radius"]
COUNT = TABLES["axon"].columns["mitochondria_count"]
VALUES = st.lists(st.one_of(st.none(), st.floats(width=64)), max_size=40)


@pytest.fixture
def connection() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect() as opened:
        yield opened


def file_of(connection: duckdb.DuckDBPyConnection, query: str, folder: Path) -> Path:
    connection.execute(f"COPY ({query}) TO '{folder / 'table.parquet'}' (FORMAT parquet)")
    return folder / "table.parquet"


@settings(max_examples=60, deadline=None)
@given(values=VALUES)
def test_a_small_table_is_told_exactly(
    values: list[float | None], tmp_path_factory: pytest.TempPathFactory
) -> None:
    with duckdb.connect() as connection:
        connection.execute("CREATE TABLE t (voxel_radius DOUBLE)")
        if values:
            connection.executemany("INSERT INTO t VALUES (?)", [[value] for value in values])
        path = file_of(connection, "FROM t", tmp_path_factory.mktemp("column"))
        take_sample(connection, path, ["voxel_radius"])
        rows, summaries = summarise(connection, path, [RADIUS])
    finite = sorted(value for value in values if value is not None and math.isfinite(value))

    def smallest_that_reaches(share: float) -> float | None:
        return finite[max(0, math.ceil(share * len(finite)) - 1)] if finite else None

    assert rows == len(values)
    assert {name: each.model_dump() for name, each in summaries.items()} == {
        "voxel_radius": {
            "nulls": values.count(None),
            "min": min(finite, default=None),
            "p1": smallest_that_reaches(0.01),
            "median": smallest_that_reaches(0.5),
            "p99": smallest_that_reaches(0.99),
            "max": max(finite, default=None),
        }
    }


def test_a_large_table_is_sampled_the_same_way_every_time(
    connection: duckdb.DuckDBPyConnection, tmp_path: Path
) -> None:
    path = file_of(
        connection,
        "SELECT i::DOUBLE AS voxel_radius, i % 9 AS mitochondria_count FROM range(1_000_000) t(i)",
        tmp_path,
    )
    found: list[tuple[int, dict[str, Summary]]] = []
    for threads in (1, 2):
        connection.execute(f"SET threads = {threads}")
        take_sample(connection, path, ["voxel_radius", "mitochondria_count"])
        found.append(summarise(connection, path, [RADIUS, COUNT]))
    (sampled,) = connection.execute(f"SELECT count(*) FROM {SAMPLED}").fetchone() or (0,)
    assert found[0] == found[1]
    assert 90_000 < sampled < 110_000
    rows, summaries = found[0]
    radius, count = summaries["voxel_radius"], summaries["mitochondria_count"]
    assert rows == 1_000_000
    assert (radius.min, radius.max) == (0.0, 999_999.0), "of all rows, not of the sample"
    assert radius.p1 == pytest.approx(10_000, abs=2_000)
    assert radius.median == pytest.approx(500_000, abs=10_000)
    assert radius.p99 == pytest.approx(990_000, abs=2_000)
    assert count == Summary(nulls=0, min=0, p1=0, median=4, p99=8, max=8)
