"""A lab with every kind of table, of which single cells can be spoilt: what the tests of quarantine
share.

Belongs here: its tables, running it, reading what was quarantined and packaged. Does not:
expectations.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import duckdb

from tests.lab import Lab, csv

N = 6
"""Neurons. Neuron k has axon a<k>, on it terminals t<k>_0 and t<k>_1, on each of them vesicles; its
dendrite d<k> has spine p<k>.
"""

HEADERS = {
    "neuron": "cid,cable_length",
    "neuron_relation": "pre_synapse_id,post_synapse_id,connection_score",
    "axon": "cid,parent_id,voxel_volume",
    "dendrite": "cid,parent_id,voxel_volume",
    "pre_synaptic_terminal": "cid,parent_id,forms_synapse_with,voxel_volume",
    "dendritic_spine": "cid,parent_id,forms_synapse_with,voxel_volume",
    "synapse": "cid,pre_synapse_id,post_synapse_id,connection_score",
    "vesicle": "cid,parent_id,voxel_radius",
}
PARENTS = {
    "axon": "neuron",
    "dendrite": "neuron",
    "pre_synaptic_terminal": "axon",
    "dendritic_spine": "dendrite",
    "vesicle": "pre_synaptic_terminal",
}
CONFIG: dict[str, dict[str, Any]] = {
    **{table: {"parent": parent} for table, parent in PARENTS.items()},
    "synapse": {
        "references": {
            "pre_synapse_id": "pre_synaptic_terminal",
            "post_synapse_id": "dendritic_spine",
        }
    },
}


def clean() -> dict[str, list[list[str]]]:
    """The rows of a lab in which nothing is wrong. Synapse s<k> leads from t<k>_0 to p<k+1>."""
    around = [(k, (k + 1) % N) for k in range(N)]
    return {
        "neuron": [[f"n{k}", str(52_000 + k)] for k in range(N)],
        "neuron_relation": [[f"n{k}", f"n{other}", str(k + 1)] for k, other in around],
        "axon": [[f"a{k}", f"n{k}", "5.5e8"] for k in range(N)],
        "dendrite": [[f"d{k}", f"n{k}", "6.5e8"] for k in range(N)],
        "pre_synaptic_terminal": [
            [f"t{k}_{i}", f"a{k}", f"s{k}" if i == 0 else "", "7.5e7"]
            for k in range(N)
            for i in (0, 1)
        ],
        "dendritic_spine": [[f"p{other}", f"d{other}", f"s{k}", "8.5e7"] for k, other in around],
        "synapse": [[f"s{k}", f"t{k}_0", f"p{other}", "1"] for k, other in around],
        "vesicle": [[f"v{k}_{i}", f"t{k}_{i % 2}", "20.5"] for k in range(N) for i in range(4)],
    }


def text(rows: Mapping[str, list[list[str]]]) -> dict[str, str]:
    return {
        table: csv(HEADERS[table], *(",".join(row) for row in lines))
        for table, lines in rows.items()
    }


def quarantining(
    folder: Path,
    rows: Mapping[str, list[list[str]]],
    limit: Any = "90%",
    **settings: Mapping[str, Any],
) -> Lab:
    """A lab of these rows that sets wrong ones aside."""
    config = {table: {**CONFIG.get(table, {}), **settings.get(table, {})} for table in rows}
    more = {} if limit is None else {"max_rejected": limit}
    return Lab(folder, text(rows), config, on_invalid="quarantine", **more)


def set_aside(lab: Lab) -> dict[str, dict[int, tuple[str, str]]]:
    """Table -> number of each quarantined row -> its codes and reason."""
    folder = lab.context.store.stage("check_integrity") / "quarantine"
    return {
        path.stem: {
            n: (codes, reason)
            for n, codes, reason in duckdb.sql(
                f"SELECT row_number, codes, reason FROM '{path}'"
            ).fetchall()
        }
        for path in sorted(folder.glob("*.parquet"))
        if path.stem != "unreadable"
    }


def keys_aside(lab: Lab) -> dict[str, set[str]]:
    """Table -> keys of the quarantined rows."""
    folder = lab.context.store.stage("check_integrity") / "quarantine"
    found = {}
    for table in set_aside(lab):
        key = "pre_synapse_id || '/' || post_synapse_id" if table == "neuron_relation" else "cid"
        found[table] = {
            key for (key,) in duckdb.sql(f"SELECT {key} FROM '{folder / table}.parquet'").fetchall()
        }
    return found


def packaged_rows(lab: Lab, table: str) -> list[tuple[Any, ...]]:
    return duckdb.sql(f"SELECT * FROM '{lab.packaged(table)}'").fetchall()
