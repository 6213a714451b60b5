"""How labs call SynDB's tables and columns, beside the names and aliases that the contract knows.

Belongs here: words, and what two spellings of a name have in common. Does not: which file or column
is which (`guess.py`).
"""

from __future__ import annotations

import re
from typing import Final

from syndb_pipeline.contract.tables import TABLES

TABLE_WORDS: Final[dict[str, tuple[str, ...]]] = {
    "neuron": ("neuron", "cell"),
    "neuron_relation": (
        "neuron relation",
        "relation",
        "edge",
        "edgelist",
        "connection",
        "connectivity",
        "connectome",
    ),
    "dendrite": ("dendrite",),
    "axon": ("axon",),
    "pre_synaptic_terminal": (
        "pre synaptic terminal",
        "presynaptic terminal",
        "terminal",
        "bouton",
        "presynapse",
    ),
    "synapse": ("synapse", "synaptic link"),
    "dendritic_spine": ("dendritic spine", "spine"),
    "endoplasmic_reticulum": ("endoplasmic reticulum", "er"),
    "nucleus": ("nucleus", "nuclei", "nucleu"),
    "vesicle": ("vesicle", "synaptic vesicle"),
    "mitochondria": ("mitochondria", "mitochondrion", "mito"),
}
"""How labs call their files."""

SEGMENTS: Final = (
    *("root_id", "pt_root_id", "body_id", "bodyid", "skid", "segment_id", "seg_id", "skeleton_id"),
    *("neuron_root_id", "rootid"),
)
"""How segmentations call a neuron's id."""

COLUMN_WORDS: Final[dict[str, tuple[str, ...]]] = {
    "cid": ("id", "key", "uid", *SEGMENTS),
    "parent_id": ("parent", "parent_cid", "parent_key"),
    "pre_synapse_id": ("source", "from", "presynaptic_id"),
    "post_synapse_id": ("target", "to", "postsynaptic_id"),
    "connection_score": ("weight", "syn_count", "n_synapses", "synapses", "confidence", "score"),
    "gaba": (),
    "acetylcholine": ("ach",),
    "glutamate": ("glut", "glu"),
    "octopamine": ("oct", "octo", "oa"),
    "serine": ("ser", "5ht", "5_ht"),
    "dopamine": ("da", "dop"),
    "forms_synapse_with": ("synapse_id", "synapse"),
    "neuron_type": ("type", "cell_type", "class"),
    "neurotransmitter": ("transmitter", "nt", "nt_type"),
    "centroid_x": ("x", "pos_x", "center_x", "centre_x"),
    "centroid_y": ("y", "pos_y", "center_y", "centre_y"),
    "centroid_z": ("z", "pos_z", "center_z", "centre_z"),
    "mesh_surface_area": ("area", "surface_area", "surface"),
    "mesh_sphericity": ("sphericity",),
    "voxel_volume": ("volume", "size", "voxels", "n_voxels", "num_voxels", "voxel_count"),
    "voxel_radius": ("radius",),
    "cable_length": ("length", "path_length"),
    "swc_path": ("swc", "skeleton"),
    "mesh_path": ("mesh", "glb"),
}
"""How labs call SynDB's columns, beside the aliases the contract knows."""

TRANSMITTERS: Final = ("gaba", "acetylcholine", "glutamate", "octopamine", "serine", "dopamine")

_SIDE_FIRST: Final = re.compile(r"(pre|post)(?:_?syn(?:aptic|apse)?)?(?:_(.+))?")
_SIDE_LAST: Final = re.compile(r"(.+?)_(pre|post)(?:_?syn(?:aptic|apse)?)?")
_PARTNER: Final = re.compile(
    r"(?:pt_)?(?:root|body|segment|seg|skeleton|neuron|cell|terminal|bouton|spine|dendrite|axon|partner)?_?(?:id|cid|key|name)?s?"
    r"|(?:pt_)?(?:bodyid|skid|root|segid|neuronid|cellid|rootid)s?"
    r"|synaptic_terminal(?:_id)?|dendritic_spine(?:_id)?"
)


def plain(name: str) -> str:
    """`name` in lower case, with one `_` for whatever is no letter or digit."""
    return re.sub(r"[\W_]+", "_", name.strip().lower()).strip("_")


def end_of(name: str) -> tuple[str, bool] | None:
    """Which end of a synapse a column called `name` (plain) speaks of, and whether it names the
    partner.

    `pre_pt_root_id` and `bodyid_pre` name it; `pre_pt_position` and `pre_pt_supervoxel_id` tell
    something else of it. None where `name` speaks of no end.
    """
    if first := _SIDE_FIRST.fullmatch(name):
        side, rest = first[1], first[2] or ""
    elif last := _SIDE_LAST.fullmatch(name):
        side, rest = last[2], last[1]
    else:
        return None
    return f"{side}_synapse_id", _PARTNER.fullmatch(rest) is not None


WORDS: Final = frozenset(
    [
        name
        for table in TABLES.values()
        for column in table.columns.values()
        for name in (column.name, *column.aliases)
    ]
    + [word for words in COLUMN_WORDS.values() for word in words]
    + [f"{name}_id" for name in TABLES]
)
"""Every column name that means something to us, spelled plainly."""
