"""The comparison that says whether a setting does harm sees harm.

Belongs here: settings that are harmful on purpose. Does not: each rule's own settings
(`test_every_rule.py`), settings whatever else is wrong (`stages/test_broken_tables.py`), the
comparison (`tests/harm.py`).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from syndb_pipeline.rules.finding import build
from tests.harm import harm_of, look
from tests.lab import context_for

NEURONS = "cid,cable_length\nH\u00fcgel,1\nn2,7\nn3,2\n"
EDGES = "pre_synapse_id,post_synapse_id,connection_score\nn2,n3,3\nn2,n3,4\nn3,n2,1\n"
VESICLES = (
    "cid,parent_id,voxel_radius,voxel_volume\nv1,n2,10.500,7\nv2,n2,21.500,3\nv3,n3,34.500,1\n"
)


@pytest.mark.parametrize(
    ("table", "setting"),
    [
        ("neuron", {"encoding": "cp1252"}),
        ("neuron", {"header_row": 2}),
        ("neuron", {"missing": {"cable_length": ["7"]}}),
        ("neuron", {"columns": {"cable_length": "voxel_volume", "cid": "polarity"}}),
        ("neuron_relation", {"combine": {"connection_score": "max"}}),
        ("vesicle", {"thousands": ".", "decimal": ","}),
        ("vesicle", {"units": {"voxel_radius": "um", "nothing": "um"}}),
        ("vesicle", {"file": "few.csv"}),
    ],
    ids=lambda value: (
        yaml.safe_dump(value, default_flow_style=True).strip() if isinstance(value, dict) else value
    ),
)
def test_a_harmful_setting_is_seen(table: str, setting: dict[str, Any], tmp_path: Path) -> None:
    files = {
        "neuron": NEURONS,
        "neuron_relation": EDGES,
        "vesicle": VESICLES,
        "few": "cid,parent_id,voxel_radius\nv1,n2,10.5\n",
    }
    for name, text in files.items():
        (tmp_path / f"{name}.csv").write_text(text, encoding="utf-8")
    context = context_for(tmp_path, {name: f"{name}.csv" for name in sorted({"neuron", table})})
    block = yaml.safe_dump({"tables": {table: setting}})
    assert harm_of(
        context, look(context), build("SYN-READ-013", table=table, file=f"{table}.csv"), block
    )
