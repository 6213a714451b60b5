"""A dataset of any size, four levels deep, written by DuckDB without holding it.

Belongs here: invented rows that pass every check. Does not: measuring (`run.py`).
"""

from __future__ import annotations

from pathlib import Path
from uuid import UUID

import duckdb

DATASET = UUID("01939c0e-7b1a-7c3e-9f53-6f0c6b1d2a99")
FIRST_NEURON = 864_691_135_571_546_917  # beyond 2^53: a float cannot hold it

SHARE = {
    "neuron": 100,
    "dendrite": 25,
    "axon": 25,
    "synapse": 1,
    "pre_synaptic_terminal": 5,
    "mitochondria": 10,
    "vesicle": 1,
}
"""Table -> rows of the largest table for one row of this one. Levels: neuron, axon and dendrite, terminal, vesicle and mitochondria."""

CONFIG = """\
dataset:
  id: {id}
  label: Benchmark of {rows} rows
  license: CC0
  animal: MUS_MUSCULUS
  microscopy: none, the rows are invented
  brain_regions: [{{structure: cortex}}]
tables:
{tables}
terms: {{accepted_by: Benchmark, accepted_on: 2026-01-01, accurate: true, redistributable: true, license_agreed: true}}
publish: {{destination: local, approval: standing}}
"""


def rows_by_table(rows: int) -> dict[str, int]:
    """Rows of each table when the largest has `rows`."""
    return {table: max(1, rows // share) for table, share in SHARE.items()}


def queries(rows: int) -> dict[str, str]:
    """The SELECT of each table. Keys and parents are arithmetic on the row's number, so no table has to look at another."""
    count = rows_by_table(rows)
    neuron = f"({FIRST_NEURON} + (i % {count['neuron']}) * 1000003)"
    terminal, terminals = FIRST_NEURON * 2, count["pre_synaptic_terminal"]
    axon = f"'a' || (i % {count['axon']})"
    # Quarter nanometres: short in text, exact as double, and different from row to row.
    place = ", ".join(f"(10000 + (hash(i + {salt}) % 1600000) * 0.25)::DOUBLE AS centroid_{axis}" for salt, axis in enumerate("xyz", 1))
    selects = {
        "neuron": f"{neuron} AS cid, 'pyramidal' AS neuron_type, 'multipolar' AS polarity, 2000000.5 + i AS cable_length, {place}",
        "dendrite": f"'d' || i AS cid, {neuron} AS parent_id, {place}",
        "axon": f"'a' || i AS cid, {neuron} AS parent_id, {place}",
        "pre_synaptic_terminal": f"{terminal} + i AS cid, {axon} AS parent_id, {place}",
        "synapse": f"""'s' || i AS cid, 700000000000000000 + i AS cave_id,
            {terminal} + (i % {terminals}) AS pre_synapse_id, 'd' || (hash(i) % {count["dendrite"]}) AS post_synapse_id,
            (hash(i + 4) % 1000) / 1000.0 AS connection_score,
            (hash(i + 5) % 1000) / 1000.0 AS glutamate, (hash(i + 6) % 1000) / 1000.0 AS gaba""",
        "mitochondria": f"'m' || i AS cid, {axon} AS parent_id, (100000000 + hash(i) % 90000000)::DOUBLE AS voxel_volume, {place}",
        "vesicle": f"""'v' || i AS cid, {terminal} + (hash(i) % {terminals})::HUGEINT AS parent_id, 'glutamate' AS neurotransmitter,
            round(15.5 + (hash(i + 7) % 80) * 0.1, 1)::DOUBLE AS voxel_radius,
            round((hash(i + 8) % 4200) * 0.1, 1)::DOUBLE AS distance_to_active_zone, {place}""",
    }
    return {table: f"SELECT {columns} FROM range({count[table]}) AS numbers(i)" for table, columns in selects.items()}


def write_dataset(folder: Path, rows: int, file_format: str, *, memory_limit: int, threads: int) -> Path:
    """Write a dataset whose largest tables have `rows` rows, as "csv" or "parquet", and return its config."""
    folder.mkdir(parents=True, exist_ok=True)
    with duckdb.connect(config={"memory_limit": f"{memory_limit}B", "threads": threads, "preserve_insertion_order": True}) as connection:
        for table, query in queries(rows).items():
            options = "FORMAT csv, HEADER" if file_format == "csv" else "FORMAT parquet, COMPRESSION zstd"
            # Integer keys wider than 64 bit have no Parquet type; labs store them as text then.
            keys = "cid::VARCHAR AS cid" + (", parent_id::VARCHAR AS parent_id" if " AS parent_id" in query else "")
            keys += ", pre_synapse_id::VARCHAR AS pre_synapse_id" if " AS pre_synapse_id" in query else ""
            connection.execute(f"COPY (SELECT * REPLACE ({keys}) FROM ({query})) TO '{folder / table}.{file_format}' ({options})")
    tables = "\n".join(f"  {table}: {{file: {table}.{file_format}}}" for table in SHARE)
    config = folder / "benchmark.yaml"
    config.write_text(CONFIG.format(id=DATASET, rows=f"{rows:_}".replace("_", " "), tables=tables), encoding="utf-8")
    return config
