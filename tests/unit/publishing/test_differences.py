"""What differs between two versions of a dataset, by the lab's own keys.

Belongs here: rows and cells, which versions are kept, and what is said of those that are not. Does
not: how `diff` prints them (`unit/cli`).
"""

from __future__ import annotations

import shutil
from functools import partial
from pathlib import Path

import pytest

from syndb_pipeline.base.errors import ConfigError
from syndb_pipeline.publishing.differences import Difference, difference
from syndb_pipeline.report.exports import write_differences
from tests.publish_lab import DATASET, Lab, lab, prepared

__all__ = ["lab", "prepared"]  # fixtures

PAIR = "pre_synapse_id,post_synapse_id,connection_score"
VESICLE = "  vesicle: {file: vesicle.csv, parent: axon}\n"


def shown(found: Difference) -> dict[str, list[str]]:
    """Each row in a line."""
    return {
        name: [
            f"{row.change} {row.key}"
            + "".join(f" {cell.column}: {cell.was} -> {cell.now}" for cell in row.cells)
            for row in table.rows
        ]
        for name, table in found.tables.items()
    }


def test_rows_by_the_labs_keys_between_any_two_versions_that_are_kept(
    lab: Lab, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match="was not published yet"):
        difference(lab.context)
    pairs = "  neuron_relation: {file: pairs.csv}\n"
    tables = f"tables:\n  neuron: {{file: neuron.csv}}\n{pairs}"
    (lab.root / "neuron.csv").write_text(
        "cid,polarity\n1,bipolar\n2,bipolar\n4,bipolar\n5,bipolar\n"
    )
    (lab.root / "axon.csv").write_text("cid,parent_id,voxel_volume\na,1,1e8\n2,2,2e8\n4,4,3e8\n")
    (lab.root / "pairs.csv").write_text(f"{PAIR}\n1,2,0.5\n2,4,0.25\n")
    lab.edit("guide.yaml", "tables:\n", tables).edit("guide.yaml", VESICLE, "").prepare()
    first = lab.send().plan
    assert shown(difference(lab.context)) == {
        "neuron": [],
        "axon": [],
        "neuron_relation": [],
    }

    lab.edit("axon.csv", "4,4,3e8", "5,1,3e8\n=1+1,1,").edit("axon.csv", "2,2,2e8", "2,4,2.5e8")
    lab.edit("pairs.csv", "2,4,0.25", "4,1,0.25").edit("pairs.csv", "1,2,0.5", "1,2,")
    (lab.root / "neuron.csv").write_text("cid\n1\n2\n4\n5\n")
    lab.prepare()
    moved = "neuron_id: 2 -> 4 parent_id: 2 -> 4 voxel_volume: 200000000.0 -> 250000000.0"
    changes = {
        "neuron": [f"changed {key} polarity: bipolar -> None" for key in (1, 2, 4, 5)],
        "axon": ["added 5", "added =1+1", f"changed 2 {moved}", "withdrawn 4"],
        "neuron_relation": [
            "added 4/1",
            "changed 1/2 connection_score: 0.5 -> None",
            "withdrawn 2/4",
        ],
    }
    found = difference(lab.context, export=partial(write_differences, tmp_path))
    assert shown(found) == changes
    assert (tmp_path / "axon.csv").read_text().splitlines() == [
        "change,key,column,was,now",
        "added,5,,,",
        "added,'=1+1,,,",
        "changed,2,neuron_id,2,4",
        "changed,2,parent_id,2,4",
        "changed,2,voxel_volume,200000000.0,250000000.0",
        "withdrawn,4,,,",
    ]
    few = difference(lab.context, rows=1)
    assert shown(few) == {name: rows[:1] for name, rows in changes.items()}
    assert {name: table.changes for name, table in few.tables.items()} == {
        name: table.changes for name, table in found.tables.items()
    }

    second = lab.send().plan
    assert shown(difference(lab.context, first[:12], second)) == changes
    backwards = shown(difference(lab.context, second, first))
    assert backwards["axon"][::2] == ["added 4", "withdrawn 5"]

    lab.edit("guide.yaml", pairs, "").prepare()
    gone = difference(lab.context).tables["neuron_relation"]
    assert gone.changes.withdrawn == 2 and [row.key for row in gone.rows] == ["1/2", "4/1"]
    third = lab.send().plan
    with pytest.raises(ConfigError, match="are not kept any more") as error:
        difference(lab.context, first)
    assert f"Kept are: {second[:12]}, {third[:12]}" in error.value.next_step
    with pytest.raises(ConfigError, match="is the digest of no publication"):
        difference(lab.context, "0" * 12)

    shutil.rmtree(lab.records.folder / "tables" / second / "ids")  # kept by an earlier version
    lab.edit("axon.csv", "5,1,3e8\n", "").prepare()
    [row] = difference(lab.context, second).tables["axon"].rows
    assert (row.change, len(row.key)) == ("withdrawn", len(str(DATASET)))

    lab.edit("pipeline.yaml", "threads: 1", "threads: 1\nretention: {versions: 1}")
    lab.edit("axon.csv", "a,1,1e8", "a,1,4e8").prepare()
    lab.edit("axon.csv", "2,4,", "a,4,").prepare()
    with pytest.raises(ConfigError, match="not packed"):
        difference(lab.context)
    lab.edit("axon.csv", "a,4,", "2,4,").prepare()
    assert (
        "changed a voxel_volume: 100000000.0 -> 400000000.0"
        in shown(difference(lab.context))["axon"]
    )
    fourth = lab.send().plan
    assert [path.name for path in (lab.records.folder / "tables").iterdir()] == [fourth]
