"""A dataset of any size, four levels deep, written by DuckDB without holding it.

Belongs here: invented rows that pass every check, or fail in ten known ways. Does not: measuring
(`measured.py`).
"""

from __future__ import annotations

import argparse
import os
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

import duckdb

from syndb_pipeline.config.yaml_file import as_bytes

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
"""Table -> rows of the largest table for one row of this one. Levels: neuron, axon and dendrite,
terminal, vesicle and mitochondria.
"""


@dataclass(frozen=True)
class Fault:
    """One way to be wrong: what stands in a column instead of its value (SQL over the row's number
    `i`), and the code that must tell it.
    """

    table: str
    column: str
    instead: str
    code: str


FAULTS = (
    Fault("vesicle", "cid", "NULL", "SYN-ID-001"),
    Fault("vesicle", "cid", "'v0'", "SYN-ID-002"),
    Fault("vesicle", "parent_id", "'t' || i", "SYN-REL-001"),
    Fault("vesicle", "voxel_radius", "'-1.5'", "SYN-VAL-001"),
    Fault("vesicle", "neurotransmitter", "'banana'", "SYN-VOC-001"),
    Fault("vesicle", "distance_to_active_zone", "'near'", "SYN-TYPE-001"),
    Fault("vesicle", "centroid_x", "'inf'", "SYN-VAL-002"),
    Fault("synapse", "post_synapse_id", "'x' || i", "SYN-REL-002"),
    Fault("synapse", "gaba", "'1.5'", "SYN-VAL-001"),
    Fault("mitochondria", "parent_id", "NULL", "SYN-REL-003"),
)
"""The ten ways of a wrong dataset. Each has rows of its own, so that each is a cause of its own."""

MOST_AT_A_TIME = 4
"""Tables that are written side by side at most: hardly more are large, and they share the
memory.
"""

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
    """The SELECT of each table. Keys and parents are arithmetic on the row's number, so no table
    has to look at another.
    """
    count = rows_by_table(rows)
    neuron = f"({FIRST_NEURON} + (i % {count['neuron']}) * 1000003)"
    terminal, terminals = FIRST_NEURON * 2, count["pre_synaptic_terminal"]
    axon = f"'a' || (i % {count['axon']})"
    # Quarter nanometres: short in text, exact as double, and different from row to row.
    place = ", ".join(
        f"(10000 + (hash(i + {salt}) % 1600000) * 0.25)::DOUBLE AS centroid_{axis}"
        for salt, axis in enumerate("xyz", 1)
    )
    selects = {
        "neuron": (
            f"{neuron} AS cid, 'pyramidal' AS neuron_type, 'multipolar' AS polarity, 2000000.5 + i"
            f" AS cable_length, {place}"
        ),
        "dendrite": f"'d' || i AS cid, {neuron} AS parent_id, {place}",
        "axon": f"'a' || i AS cid, {neuron} AS parent_id, {place}",
        "pre_synaptic_terminal": f"{terminal} + i AS cid, {axon} AS parent_id, {place}",
        "synapse": (
            f"""'s' || i AS cid, 700000000000000000 + i AS cave_id,
            {terminal} + (i % {terminals}) AS pre_synapse_id, 'd' || (hash(i) % {count["dendrite"]}) AS post_synapse_id,
            (hash(i + 4) % 1000) / 1000.0 AS connection_score,
            (hash(i + 5) % 1000) / 1000.0 AS glutamate, (hash(i + 6) % 1000) / 1000.0 AS gaba"""
        ),
        "mitochondria": (
            f"'m' || i AS cid, {axon} AS parent_id, (100000000 + hash(i) % 90000000)::DOUBLE AS"
            f" voxel_volume, {place}"
        ),
        "vesicle": (
            f"""'v' || i AS cid, {terminal} + (hash(i) % {terminals})::HUGEINT AS parent_id, 'glutamate' AS neurotransmitter,
            round(15.5 + (hash(i + 7) % 80) * 0.1, 1)::DOUBLE AS voxel_radius,
            round(5 + (hash(i + 8) % 4200) * 0.1, 1)::DOUBLE AS distance_to_active_zone, {place}"""
        ),
    }
    return {
        table: f"SELECT {columns} FROM range({count[table]}) AS numbers(i)"
        for table, columns in selects.items()
    }


def faults_of_each(rows: int) -> int:
    """How many rows fail in each way, when the largest table of a wrong dataset has `rows`: a
    thousand, fewer in small ones.
    """
    return max(1, min(1_000, rows // 400))


def spoiled(table: str, query: str, each: int) -> str:
    """`query` of a table with `each` rows wrong in each of its ways, one way after another."""
    ways = [fault for fault in FAULTS if fault.table == table]
    changes: dict[str, list[str]] = {}
    for number, fault in enumerate(ways, 1):
        changes.setdefault(fault.column, []).append(
            f"WHEN i // {each} = {number} THEN {fault.instead}"
        )
    if not changes:
        return query
    cells = ", ".join(
        f"CASE {' '.join(whens)} ELSE {column}::VARCHAR END AS {column}"
        for column, whens in changes.items()
    )
    return (
        f"SELECT * EXCLUDE (i) REPLACE ({cells}) FROM ({query.replace('SELECT ', 'SELECT i, ', 1)})"
    )


def write_dataset(
    folder: Path,
    rows: int,
    file_format: str,
    *,
    memory_limit: int,
    threads: int,
    wrong: bool = False,
) -> Path:
    """Write a dataset whose largest tables have `rows` rows, as "csv" or "parquet", and return its
    config. `wrong` spoils it by `FAULTS`.

    Each table is written in the order of its rows, which takes one thread; so several of them are
    written at a time.
    """
    folder.mkdir(parents=True, exist_ok=True)
    at_a_time = min(threads, MOST_AT_A_TIME)
    limit = memory_limit // at_a_time

    def write(table: str, query: str) -> None:
        options = (
            "FORMAT csv, HEADER" if file_format == "csv" else "FORMAT parquet, COMPRESSION zstd"
        )
        # Integer keys wider than 64 bit have no Parquet type; labs store them as text then.
        keys = "cid::VARCHAR AS cid" + (
            ", parent_id::VARCHAR AS parent_id" if " AS parent_id" in query else ""
        )
        keys += (
            ", pre_synapse_id::VARCHAR AS pre_synapse_id" if " AS pre_synapse_id" in query else ""
        )
        source = spoiled(table, query, faults_of_each(rows)) if wrong else query
        with duckdb.connect(
            config={"memory_limit": f"{limit}B", "threads": 1, "preserve_insertion_order": True}
        ) as connection:
            connection.execute(
                f"COPY (SELECT * REPLACE ({keys}) FROM ({source})) TO"
                f" '{folder / table}.{file_format}' ({options})"
            )

    with ThreadPoolExecutor(at_a_time) as pool:
        largest_first = sorted(queries(rows).items(), key=lambda pair: SHARE[pair[0]])
        for done in [pool.submit(write, table, query) for table, query in largest_first]:
            done.result()
    tables = "\n".join(f"  {table}: {{file: {table}.{file_format}}}" for table in SHARE)
    config = folder / "benchmark.yaml"
    config.write_text(
        CONFIG.format(id=DATASET, rows=f"{rows:_}".replace("_", " "), tables=tables),
        encoding="utf-8",
    )
    return config


def main() -> int:
    """Write a dataset and print where its config is."""
    parser = argparse.ArgumentParser(description="Write an invented dataset, four levels deep.")
    parser.add_argument("folder", type=Path)
    parser.add_argument(
        "--rows",
        type=lambda text: int(text.replace("_", "")),
        default=1_000_000,
        help="rows of the largest tables",
    )
    parser.add_argument("--format", choices=["csv", "parquet"], default="csv")
    parser.add_argument("--memory-limit", default="1GB")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--wrong", action="store_true", help="wrong in ten ways")
    options = parser.parse_args()
    limit = as_bytes(options.memory_limit)
    config = write_dataset(
        options.folder,
        options.rows,
        options.format,
        memory_limit=limit,
        threads=options.threads,
        wrong=options.wrong,
    )
    print(config)
    return 0


if __name__ == "__main__":
    sys.exit(main())
