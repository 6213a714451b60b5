"""Findings and failing cells hold what the lab wrote, and what was read where the lab's file no
longer says so.

Belongs here: what is looked up and what is not. Does not: reading cells
(`tests/unit/readers/test_single_cells.py`).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl
import pytest

from syndb_pipeline.checks import original_text
from syndb_pipeline.stages.runner import run_stage
from syndb_pipeline.state.store import Record
from tests.lab import Lab, csv

NEURONS = csv("cid,cable_length,n_branches", "n1,-1e3,3", " n2 ,-0.50,-2.0", "n1,7,+5", "n4,-1,1")


def kept(lab: Lab, stage: str) -> list[tuple[Any, ...]]:
    """Row number, column and value of a stage's failing cells."""
    failures = pl.read_parquet(lab.context.store.stage(stage) / "failures.parquet")
    return failures.select("row_number", "col", "value").rows()


def reported(record: Record) -> list[str | None]:
    return [example.value for finding in record.findings for example in finding.examples]


def test_failing_cells_are_kept_as_written(tmp_path: Path) -> None:
    lab = Lab(
        tmp_path,
        {"neuron": NEURONS, "axon": csv("cid,parent_id", "a1, n9 ", "a2,n2")},
        {"neuron": {"units": {"cable_length": "um"}}},
    )
    lab.run()
    assert kept(lab, "validate") == [
        (0, "cable_length", "-1e3"),
        (1, "cable_length", "-0.50"),
        (1, "n_branches", "-2.0"),
        (3, "cable_length", "-1"),
    ]
    assert kept(lab, "assign_ids") == [(2, "cid", "n1")]
    assert kept(lab, "join_relations") == [(0, "parent_id", " n9 ")]


@pytest.mark.parametrize(
    "now",
    [
        csv("cid,cable_length,n_branches", "n1,5,3", "n2,6,4", "n3,7,5", "n4,8,1"),
        csv("cid,length", "n1,1"),
        "",
        None,
    ],
)
def test_a_file_that_changed_since_says_nothing(tmp_path: Path, now: str | None) -> None:
    lab = Lab(tmp_path, {"neuron": NEURONS})
    context = lab.context
    with context.store.lock():
        run_stage(context, "ingest")
        if now is None:
            (tmp_path / "neuron.csv").unlink()
        else:
            lab.write("neuron", now)
        record = run_stage(context, "validate")
    assert reported(record) == ["-1.0", "-1000.0", "-0.5", "-2"]
    assert record.tables["neuron"].rejected == 3


def test_beyond_so_many_rows_cells_stay_as_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(original_text, "MOST_ROWS", 3)
    rows = [f"n{number},-{number}e0" for number in range(2, 7)]
    lab = Lab(tmp_path, {"neuron": csv("cid,cable_length", *rows)})
    lab.run("validate")
    assert [value for *_, value in kept(lab, "validate")] == [
        "-2e0",
        "-3e0",
        "-4e0",
        "-5.0",
        "-6.0",
    ]


def test_a_cell_that_breaks_two_rules_is_kept_twice_and_no_more(tmp_path: Path) -> None:
    table = csv(
        "cid,mesh_surface_area,mesh_volume,mesh_area_volume_ratio",
        "m1,1e6,1e8,2e-2",
        "m2,1e6,1e8,1e-2",
        "m2,1e6,1e8,-1e-2",
    )
    lab = Lab(tmp_path, {"mitochondria": table}, rules={"SYN-UNIT-001": "error"})
    lab.run()
    assert kept(lab, "validate") == [
        (0, "mesh_area_volume_ratio", "2e-2"),
        (2, "mesh_area_volume_ratio", "-1e-2"),
    ]


def test_decimal_commas_and_grouped_thousands(tmp_path: Path) -> None:
    table = "cid;cable_length\nn1;-1.234,50\nn2;-,5\n"
    lab = Lab(tmp_path, {"neuron": table}, {"neuron": {"decimal": ",", "thousands": "."}})
    assert reported(lab.run("validate")["validate"]) == ["-1.234,50", "-,5"]


def test_a_pair_stays_a_pair(tmp_path: Path) -> None:
    pairs = csv("pre_synapse_id,post_synapse_id", "n1,n2", "n1, n2 ")
    lab = Lab(tmp_path, {"neuron": csv("cid", "n1", "n2"), "neuron_relation": pairs})
    lab.run()
    assert [value for *_, value in kept(lab, "join_relations")] == ["n1 -> n2"]
