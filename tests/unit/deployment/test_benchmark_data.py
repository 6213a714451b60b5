"""The benchmark's invented dataset: the rows asked for, four levels, keys beyond a float, every
reference in place.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import duckdb
import pytest

from benchmarks.generate import DATASET, FAULTS, faults_of_each, rows_by_table, write_dataset
from syndb_pipeline.config.settings import load_dataset
from syndb_pipeline.rules.catalogue import RULES

PARENTS = {
    ("dendrite", "parent_id"): "neuron",
    ("axon", "parent_id"): "neuron",
    ("pre_synaptic_terminal", "parent_id"): "axon",
    ("mitochondria", "parent_id"): "axon",
    ("vesicle", "parent_id"): "pre_synaptic_terminal",
    ("synapse", "pre_synapse_id"): "pre_synaptic_terminal",
    ("synapse", "post_synapse_id"): "dendrite",
}


@pytest.mark.parametrize("file_format", ["csv", "parquet"])
def test_every_key_and_reference_holds(tmp_path: Path, file_format: str) -> None:
    config = load_dataset(
        write_dataset(tmp_path, 5_000, file_format, memory_limit=500_000_000, threads=2)
    )
    assert config.dataset.id == DATASET
    with duckdb.connect() as connection:
        for table, rows in rows_by_table(5_000).items():
            options = ", all_varchar=true" if file_format == "csv" else ""
            connection.execute(
                f"CREATE VIEW {table} AS FROM"
                f" read_{file_format}('{tmp_path / config.tables[table].file}'{options})"
            )
            assert connection.execute(
                f"SELECT count(*), count(DISTINCT cid) FROM {table}"
            ).fetchone() == (rows, rows)
        for (table, column), parent in PARENTS.items():
            orphans = connection.execute(
                f"SELECT count(*) FROM {table} ANTI JOIN {parent} ON {table}.{column} ="
                f" {parent}.cid"
            ).fetchone()
            assert orphans == (0,), (table, column)
        assert connection.execute("SELECT min(length(cid)) FROM neuron").fetchone() == (18,)
        (kept,) = connection.execute(
            "SELECT count(*) FROM neuron WHERE cid::DOUBLE::BIGINT::VARCHAR = cid"
        ).fetchone()
        assert kept < 5, "hardly a key survives a float"


def test_the_same_rows_come_every_time(tmp_path: Path) -> None:
    for name in ("one", "two"):
        write_dataset(tmp_path / name, 1_000, "csv", memory_limit=500_000_000, threads=2)
    assert (tmp_path / "one" / "vesicle.csv").read_bytes() == (
        tmp_path / "two" / "vesicle.csv"
    ).read_bytes()


def test_a_wrong_dataset_differs_in_as_many_rows_as_it_says(tmp_path: Path) -> None:
    clean = write_dataset(
        tmp_path / "clean", 4_000, "csv", memory_limit=500_000_000, threads=2
    ).parent
    wrong = write_dataset(
        tmp_path / "wrong", 4_000, "csv", memory_limit=500_000_000, threads=2, wrong=True
    ).parent
    assert faults_of_each(4_000) == 10
    changed = {}
    for table in rows_by_table(4_000):
        lines = [
            (folder / f"{table}.csv").read_text(encoding="utf-8").splitlines()
            for folder in (clean, wrong)
        ]
        assert len(lines[0]) == len(lines[1])
        changed[table] = sum(one != other for one, other in zip(*lines, strict=True))
    ways = Counter(fault.table for fault in FAULTS)
    assert changed == {table: 10 * ways[table] for table in changed}
    assert len(FAULTS) == 10
    assert all(fault.code in RULES for fault in FAULTS)
