"""The lab's own assets: queries of DuckDB over what its segmentation wrote."""

from pathlib import Path
from typing import Any

import dagster as dg
import duckdb

DATA = Path(__file__).parents[2] / "data"


@dg.asset(key_prefix="segmentation", kinds={"duckdb"})
def neurons(pipeline: dg.ResourceParam[str]) -> Any:
    """One row for each segment with a soma, handed over as a table in memory."""
    query = """
        SELECT root_id AS cid, polarity, sum(voxels) * 512.0 AS voxel_volume
        FROM read_csv(?, all_varchar = true, types = {'voxels': 'BIGINT'})
        GROUP BY ALL ORDER BY root_id
    """
    found = duckdb.sql(query, params=[str(DATA / "supervoxels.csv")])
    return found.to_arrow_table()


@dg.asset(key_prefix="segmentation", kinds={"duckdb", "parquet"})
def cells(context: dg.AssetExecutionContext) -> str:
    """The same for the other animal, as a Parquet file whose path is handed over."""
    target = DATA / "cells.parquet"
    duckdb.execute(
        f"COPY (SELECT 'c' || i AS name, i * 1e9 AS volume FROM range(1, 6) r(i)) TO '{target}'"
    )
    return str(target)
