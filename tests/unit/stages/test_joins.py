"""Relations are the same bytes whether rows came through the join in order or were sorted, with
whatever memory and threads.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import pytest

from syndb_pipeline.base.digests import digest_file
from syndb_pipeline.base.engine import ROW_GROUP_ROWS
from syndb_pipeline.config.settings import PipelineSettings
from syndb_pipeline.stages import joins
from tests.lab import Lab, csv

# A DuckDB that other tests have filled cannot shrink to the little memory of some of these.
pytestmark = pytest.mark.usefixtures("started_each")

VESICLES = 2 * ROW_GROUP_ROWS + 1_000
CHILDREN = {
    "axon": "neuron",
    "pre_synaptic_terminal": "axon",
    "vesicle": "pre_synaptic_terminal",
    "dendrite": "neuron",
}


def lab_of(folder: Path, neurons: int, *, width: int = 1) -> Lab:
    """Neurons, whose keys are `width` characters long or more; axons of every one, and so on; every
    ninth vesicle is an orphan or has no parent, so that it stays a row beside others that have one.
    """
    lab = Lab(
        folder,
        {
            "neuron": None,
            "dendrite": csv("cid,parent_id", f"d1,{'0' * (width - 1)}1"),
            **dict.fromkeys([*CHILDREN][:3]),
        },
    )
    lab.config["tables"]["vesicle"]["parent"] = "pre_synaptic_terminal"
    key = f"repeat('0', {width - 1}) || {{}}"
    odd = "CASE i % 18 WHEN 0 THEN 'nobody' WHEN 9 THEN NULL ELSE 't' || (hash(i) % 50_000) END"
    rows = {
        "neuron": f"SELECT {key.format('(i + 1)')} AS cid FROM range({neurons}) t(i)",
        "axon": (
            f"SELECT 'a' || i AS cid, {key.format(f'(hash(i) % {neurons} + 1)')} AS parent_id FROM"
            " range(60_000) t(i)"
        ),
        "pre_synaptic_terminal": (
            "SELECT 't' || i AS cid, 'a' || (hash(i) % 60_000) AS parent_id FROM range(50_000) t(i)"
        ),
        "vesicle": f"SELECT 'v' || i AS cid, {odd} AS parent_id FROM range({VESICLES}) t(i)",
    }
    for table, query in rows.items():
        duckdb.execute(f"COPY ({query}) TO '{folder / table}.csv' (HEADER)")
    return lab


class Spy:
    """Which tables were written in order, which of them did not come so, and which were sorted."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.in_order: dict[str, bool] = {}
        self.sorted: list[str] = []
        real: dict[str, Callable[..., Any]] = {
            "in_order": joins._in_order,
            "sorted": joins.write_sorted,
        }

        def in_order(connection: duckdb.DuckDBPyConnection, join: Any) -> bool:
            self.in_order[join.path.stem] = real["in_order"](connection, join)
            return self.in_order[join.path.stem]

        def write_sorted(
            connection: duckdb.DuckDBPyConnection, query: str, order: str, path: Path, columns: str
        ) -> None:
            self.sorted.append(path.stem)
            real["sorted"](connection, query, order, path, columns)

        monkeypatch.setattr(joins, "_in_order", in_order)
        monkeypatch.setattr(joins, "write_sorted", write_sorted)


def joined(
    lab: Lab, monkeypatch: pytest.MonkeyPatch, *, memory: str, threads: int
) -> tuple[Spy, dict[str, str]]:
    """Join the relations anew within these limits: how, and the digests of the files."""
    lab.limits = PipelineSettings(state=lab.folder / ".state", memory_limit=memory, threads=threads)
    with monkeypatch.context() as patch:
        spy = Spy(patch)
        record = lab.run_one("join_relations", force=True)
    files = {Path(name).stem: output.sha256 for name, output in record.outputs.items()}
    folder = lab.context.store.stage("join_relations") / "relations"
    assert {path.stem: digest_file(path) for path in folder.iterdir()}.items() <= files.items()
    return spy, files


def assert_right(lab: Lab) -> None:
    """Every row has what a plain join by key gives it, where it stood, in row groups of the
    promised size.
    """
    for table, parent in CHILDREN.items():
        files = {
            "t": f"ingest/tables/{table}.parquet",
            "p": f"assign_ids/ids/{parent}.parquet",
            "r": f"join_relations/relations/{table}.parquet",
        }
        wrong = """WITH t AS (SELECT *, row_number() OVER () - 1 AS n FROM {t}), r AS (SELECT *,
              row_number() OVER () - 1 AS n FROM {r})
                   SELECT count(*), count_if(r.row_number <> n OR r.parent_id IS DISTINCT FROM
                     p.cid)
                   FROM t FULL JOIN r USING (n) LEFT JOIN {p} p ON p.key::VARCHAR =
                     t.parent_id::VARCHAR"""
        [(rows, differing)] = lab.query(wrong, **files)
        [(read,)] = lab.query("SELECT count(*) FROM {t}", **files)
        assert (rows, differing) == (read, 0), table
        sizes = lab.query(
            "SELECT row_group_num_rows FROM parquet_metadata({r}) WHERE column_id = 0 ORDER BY"
            " row_group_id",
            **files,
        )
        assert [size for (size,) in sizes[:-1]] == [ROW_GROUP_ROWS] * (read // ROW_GROUP_ROWS), (
            table
        )


def test_all_that_fits_comes_in_order_orphans_and_rows_without_a_parent_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lab = lab_of(tmp_path, 100_000)
    lab.run("assign_ids")
    digests = []
    for memory, threads in (("1GB", 1), ("1GB", 2), ("2GB", 5), ("500MB", 2)):
        spy, files = joined(lab, monkeypatch, memory=memory, threads=threads)
        assert (spy.in_order, spy.sorted) == (dict.fromkeys(CHILDREN, True), []), (memory, threads)
        digests.append(files)
    assert_right(lab)
    assert [files == digests[0] for files in digests] == [True] * 4


def test_keys_that_lie_as_numbers_and_as_text_meet_in_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lab = lab_of(tmp_path, 100_000)
    with (tmp_path / "axon.csv").open("a") as file:
        file.write("stray,nobody\n")  # one parent that is no number makes text of all
    lab.run("assign_ids")
    spy, _ = joined(lab, monkeypatch, memory="1GB", threads=2)
    assert (spy.in_order, spy.sorted) == (dict.fromkeys(CHILDREN, True), [])
    assert_right(lab)


def test_parents_known_to_be_too_many_for_memory_are_joined_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lab = lab_of(tmp_path, 500_000)
    lab.run("assign_ids")
    spy, roomy = joined(lab, monkeypatch, memory="1GB", threads=2)
    assert (spy.in_order, spy.sorted) == (dict.fromkeys(CHILDREN, True), [])
    for threads in (1, 3):
        spy, tight = joined(lab, monkeypatch, memory="500MB", threads=threads)
        # What hangs on the axons waits for them, and comes in order afterwards.
        assert (spy.in_order, spy.sorted[:1]) == (
            {"pre_synaptic_terminal": True, "vesicle": True},
            ["dendrite"],
        )
        assert tight == roomy
        assert_right(lab)


def test_parents_that_turn_out_too_large_for_memory_are_joined_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lab = lab_of(tmp_path, 330_000, width=150)
    lab.run("assign_ids")
    spy, roomy = joined(lab, monkeypatch, memory="4GB", threads=2)
    spy, tight = joined(lab, monkeypatch, memory="500MB", threads=2)
    assert spy.in_order == {
        "axon": False,
        "dendrite": True,
        "pre_synaptic_terminal": True,
        "vesicle": True,
    }
    assert spy.sorted == ["axon"]
    assert tight == roomy
    assert_right(lab)


def test_synapses_that_name_numbers_and_texts_are_the_same_bytes_sorted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Terminals' keys lie as numbers, dendrites' as text, so the joins of the sorted way come in
    another order than the columns.
    """
    lab = Lab(
        tmp_path,
        {
            "neuron": csv("cid", "n1", "n2"),
            **dict.fromkeys(["axon", "dendrite", "pre_synaptic_terminal", "synapse"]),
        },
    )
    terminal, dendrite = (
        f"CASE WHEN hash(i + {salt}) % 9 > 0 THEN {key} END"
        for salt, key in enumerate(("i % 40_000", "'d' || i % 7_000"))
    )
    rows = {
        "axon": "SELECT 'a' || i AS cid, 'n' || (i % 2 + 1) AS parent_id FROM range(500) t(i)",
        "dendrite": (
            "SELECT 'd' || i AS cid, 'n' || (i % 2 + 1) AS parent_id FROM range(7_000) t(i)"
        ),
        "pre_synaptic_terminal": (
            "SELECT i AS cid, 'a' || (i % 499) AS parent_id FROM range(40_000) t(i)"
        ),
        "synapse": (
            f"SELECT i AS cid, {terminal} AS pre_synapse_id, {dendrite} AS post_synapse_id FROM"
            f" range({VESICLES}) t(i)"
        ),
    }
    for table, query in rows.items():
        duckdb.execute(f"COPY ({query}) TO '{tmp_path / table}.csv' (HEADER)")
    lab.run("assign_ids")
    spy, in_order = joined(lab, monkeypatch, memory="1GB", threads=2)
    assert (spy.in_order["synapse"], spy.sorted) == (True, [])
    monkeypatch.setattr(joins, "ROW_GROUP_ROWS", 10**9)
    spy, sorted_ = joined(lab, monkeypatch, memory="1GB", threads=2)
    assert (spy.in_order, spy.sorted[-1]) == ({}, "synapse")
    assert sorted_ == in_order
