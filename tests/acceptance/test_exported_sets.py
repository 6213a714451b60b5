"""Exports of real tables, read back and taken in again.

Belongs here: that every set that SynDB must take can be exported. Does not: what the rows must be
(`test_accepted_sets.py`).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.test_accepted_sets import DATASET, ENDS
from tests.command_line import Lab
from tests.exported import Export

SETS: dict[str, dict[str, Any]] = {
    "syndb_guide": {"axon": "original/axon.csv", "vesicle": "original/vesicle.csv"},
    "rat_vesicles": {
        "pre_synaptic_terminal": "clean/pre_synaptic_terminal.csv",
        "vesicle": "clean/vesicle.csv",
    },
    "hemibrain_da1": {"neuron": "clean/neuron.csv", "synapse": "clean/synapse.csv"},
    "l1_neurons": {"neuron": "clean/neuron.csv"},
    "larva_connectome": {
        "neuron": "clean/neuron.csv",
        "neuron_relation": {"file": "clean/neuron_relation.csv", "columns": ENDS},
    },
    "celegans_workbooks": {
        "neuron": "clean/neuron.xlsx",
        "neuron_relation": {
            "file": "clean/neuron_relation.xlsx",
            "columns": ENDS,
            "combine": {"connection_score": "sum"},
        },
    },
}


@pytest.mark.parametrize("name", SETS)
def test_it_is_whole_and_taken_in_again(data: Path, lab: Lab, name: str) -> None:
    folder = data / name
    for inside in ("original", "derived_glb"):  # what tables name as their meshes and skeletons
        (lab.folder / inside).symlink_to(folder / inside)
    tables = {
        table: {"file": each} if isinstance(each, str) else dict(each)
        for table, each in SETS[name].items()
    }
    for each in tables.values():
        each["file"] = str(folder / each["file"])
    config = lab.config("real", DATASET, tables)
    ran = lab.call("export", config, "--to", "out", "--id-map", "--json")
    assert ran.code == 0, ran.err
    export = Export(lab.folder / "out")
    assert export.counts == {
        table: rows["passed"] - rows["combined"] for table, rows in ran.report["tables"].items()
    }
    export.check(DATASET)
    export.taken_in_again(lab)
