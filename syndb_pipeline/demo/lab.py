"""The demo lab's measurements: six neurons of mouse cortex and everything inside them, invented
from one seed.

Belongs here: rows, in nanometres, whose counts, totals and shapes agree with each other. Does not:
files (`writer.py`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from random import Random
from typing import Any

from syndb_pipeline.demo.shapes import (
    Mesh,
    Node,
    Point,
    ball,
    branch_points,
    cable_length,
    sphericity,
)

Row = dict[str, Any]

SEED = 20_260_101
FIRST_NEURON = 864_691_135_571_546_917  # root ids of CAVE look like this; a float cannot hold them
CELL_TYPES = ("pyramidal", "pyramidal", "pyramidal", "pyramidal", "basket", "martinotti")
INHIBITORY = ("basket", "martinotti")
SYNAPSES = 60
NOT_MEASURED = "-1"  # what this lab writes where it has no value


@dataclass
class Lab:
    """Rows by table, and the meshes and skeletons by the path that the tables name."""

    tables: dict[str, list[Row]]
    meshes: dict[str, Mesh] = field(default_factory=dict)
    skeletons: dict[str, list[Node]] = field(default_factory=dict)


def invent_lab() -> Lab:
    """The same lab at every call."""
    random = Random(SEED)
    lab = Lab({name: [] for name in _TABLES})
    for number, cell_type in enumerate(CELL_TYPES):
        _add_neuron(lab, random, number, cell_type)
    for number in range(SYNAPSES):
        _add_synapse(lab, random, number)
    _count_children(lab)
    return lab


_TABLES = (
    "neuron",
    "neuron_relation",
    "dendrite",
    "axon",
    "pre_synaptic_terminal",
    "synapse",
    "dendritic_spine",
    "endoplasmic_reticulum",
    "nucleus",
    "vesicle",
    "mitochondria",
)


def _centroid(place: Point) -> Row:
    return {
        "centroid_x": round(place[0], 1),
        "centroid_y": round(place[1], 1),
        "centroid_z": round(place[2], 1),
    }


def _near(random: Random, place: Point, reach: float) -> Point:
    x, y, z = place
    return (
        x + random.uniform(-reach, reach),
        y + random.uniform(-reach, reach),
        z + random.uniform(-reach, reach),
    )


def _place(row: Row) -> Point:
    return (row["centroid_x"], row["centroid_y"], row["centroid_z"])


def _round_body(random: Random, smallest: float, largest: float) -> Row:
    """Radius and volume of something round, e.g. a mitochondrion."""
    radius = round(random.uniform(smallest, largest), 1)
    return {"voxel_radius": radius, "voxel_volume": round(4 / 3 * math.pi * radius**3, 1)}


def _measured(mesh: Mesh) -> Row:
    """The columns SynDB derives from a mesh, measured on this one."""
    area, volume = round(mesh.area, 1), round(mesh.volume, 1)
    return {
        "mesh_volume": volume,
        "mesh_surface_area": area,
        "mesh_area_volume_ratio": area / volume,
        "mesh_sphericity": sphericity(area, volume),
    }


def _skeleton(random: Random, soma: Point) -> list[Node]:
    """A cell body, one axon downwards and two dendrites upwards, each forking once."""
    nodes = [Node(1, soma, 7_500.0, None)]
    for kind, rise, radius in ((2, -24_000.0, 250.0), (3, 18_000.0, 900.0), (3, 15_000.0, 700.0)):
        tip = 0
        for step in range(4):
            x, y, z = _near(random, nodes[tip].place, 9_000)
            nodes.append(Node(kind, (x, y + rise, z), radius * 0.85**step, tip))
            tip = len(nodes) - 1
        x, y, z = _near(random, nodes[tip - 1].place, 9_000)
        nodes.append(Node(kind, (x, y + rise, z), radius * 0.5, tip - 1))
    return nodes


def _add_neuron(lab: Lab, random: Random, number: int, cell_type: str) -> None:
    cid = str(FIRST_NEURON + 2 * number * 1_000_003)
    soma = (
        float(round(random.uniform(200_000, 420_000))),
        float(round(random.uniform(250_000, 450_000))),
        float(round(random.uniform(180_000, 300_000))),
    )
    spikes = {vertex: random.uniform(6, 14) for vertex in sorted(random.sample(range(66), 9))}
    mesh = ball(soma, 7_500, spikes=spikes)
    skeleton = _skeleton(random, soma)
    row: Row = (
        {"cid": cid, "neuron_type": cell_type, "polarity": "multipolar"}
        | _measured(mesh)
        | _centroid(soma)
    )
    row |= {
        "cable_length": round(cable_length(skeleton), 1),
        "n_branches": branch_points(skeleton),
        "n_skeletons": 1,
        "n_trees": 1,
        "is_tree": "true",
        "swc_path": None,
        "mesh_path": None,
    }
    if number < 3:  # a lab rarely has all of them
        row["swc_path"], row["mesh_path"] = f"skeletons/{cid}.swc", f"meshes/{cid}.glb"
        lab.skeletons[row["swc_path"]] = skeleton
        lab.meshes[row["mesh_path"]] = mesh
    lab.tables["neuron"].append(row)
    _add_nucleus(lab, random, number, cid, soma)
    _add_axon(lab, random, number, cid, soma)
    for branch in range(2 + number % 2):
        _add_dendrite(lab, random, f"{number + 1}.{branch + 1}", cid, soma)


def _add_nucleus(lab: Lab, random: Random, number: int, neuron: str, soma: Point) -> None:
    mesh = ball(soma, random.uniform(4_500, 5_500))
    row: Row = (
        {"cid": f"nucleus {number + 1}", "parent_id": neuron}
        | _measured(mesh)
        | _centroid(soma)
        | {"mesh_path": None}
    )
    if number == 0:
        row["mesh_path"] = "meshes/nucleus_1.glb"
        lab.meshes[row["mesh_path"]] = mesh
    lab.tables["nucleus"].append(row)


def _add_axon(lab: Lab, random: Random, number: int, neuron: str, soma: Point) -> None:
    cid = f"axon-{number + 1}"
    centre = _near(random, (soma[0], soma[1] - 60_000, soma[2]), 15_000)
    axon: Row = {
        "cid": cid,
        "parent_id": neuron,
        "voxel_volume": float(round(random.uniform(4e10, 9e10))),
    } | _centroid(centre)
    lab.tables["axon"].append(axon)
    for part in range(2 + number % 3):
        row: Row = {"cid": f"mito-{number + 1}-{part + 1}", "parent_id": cid}
        lab.tables["mitochondria"].append(
            row | _round_body(random, 240, 420) | _centroid(_near(random, centre, 20_000))
        )


def _add_dendrite(lab: Lab, random: Random, name: str, neuron: str, soma: Point) -> None:
    cid = f"dendrite-{name}"
    centre = _near(random, (soma[0], soma[1] + 55_000, soma[2]), 15_000)
    dendrite: Row = {
        "cid": cid,
        "parent_id": neuron,
        "voxel_volume": float(round(random.uniform(1.2e11, 3e11))),
    } | _centroid(centre)
    lab.tables["dendrite"].append(dendrite)
    reticulum: Row = {
        "cid": f"er-{name}",
        "parent_id": cid,
        "ribosome_count": random.randrange(400, 2_400),
    }
    lab.tables["endoplasmic_reticulum"].append(
        reticulum
        | {"voxel_volume": round(random.uniform(2e9, 8e9), 1)}
        | _centroid(_near(random, centre, 9_000))
    )
    lab.tables["dendritic_spine"].append(
        _spine(lab, random, cid, centre)
    )  # one that has no synapse yet


def _spine(lab: Lab, random: Random, dendrite: str, centre: Point) -> Row:
    row: Row = {
        "cid": f"spine-{len(lab.tables['dendritic_spine']) + 1:03}",
        "parent_id": dendrite,
        "forms_synapse_with": None,
    }
    return row | _round_body(random, 160, 330) | _centroid(_near(random, centre, 20_000))


def _add_synapse(lab: Lab, random: Random, number: int) -> None:
    """A terminal with its vesicles on one neuron, a spine on another, the synapse between them, and
    the edge a connectome lists for it.
    """
    tables = lab.tables
    axon = tables["axon"][number % len(tables["axon"])]
    # Few partners for each neuron, so that pairs repeat as they do in a real list of connections.
    dendrite = random.choice(
        [row for row in tables["dendrite"] if row["parent_id"] != axon["parent_id"]]
    )
    cid, terminal = f"syn-{number + 1:04}", str(1_001 + number)
    spine = _spine(lab, random, dendrite["cid"], _place(dendrite)) | {"forms_synapse_with": cid}
    tables["dendritic_spine"].append(spine)
    centre = _near(random, _place(spine), 300)
    inhibitory = (
        next(row["neuron_type"] for row in tables["neuron"] if row["cid"] == axon["parent_id"])
        in INHIBITORY
    )
    likely, unlikely = round(random.uniform(0.8, 0.98), 3), round(random.uniform(0.001, 0.02), 3)
    tables["pre_synaptic_terminal"].append(
        {"cid": terminal, "parent_id": axon["cid"], "forms_synapse_with": cid}
        | _round_body(random, 260, 420)
        | _centroid(_near(random, centre, 400))
    )
    tables["synapse"].append(
        {
            "cid": cid,
            "cave_id": 9_128_000_000_000_001 + 7_919 * number,
            "pre_terminal": terminal,
            "post_spine": spine["cid"],
            "connection_score": round(random.uniform(0.7, 1.0), 3),
            "cleft_score": random.randrange(60, 220),
            "gaba": likely if inhibitory else unlikely,
            "glutamate": unlikely if inhibitory else likely,
            "acetylcholine": unlikely,
        }
        | _centroid(centre)
    )
    tables["neuron_relation"].append(
        {
            "pre_id": axon["parent_id"],
            "post_id": dendrite["parent_id"],
            "connection_score": 1,
            "comment": "checked, twice" if number % 20 == 0 else None,
        }
    )
    for _ in range(random.randrange(4, 13)):
        tables["vesicle"].append(
            _vesicle(random, f"v{len(tables['vesicle']) + 1:05}", terminal, centre, inhibitory)
        )


def _vesicle(random: Random, cid: str, terminal: str, centre: Point, inhibitory: bool) -> Row:
    radius = round(random.uniform(15.5, 23.5), 1)
    measured = random.random() > 0.05
    return {
        "cid": cid,
        "parent_id": terminal,
        "neurotransmitter": "gamma aminobutyric acid" if inhibitory else "glutamate",
        "voxel_radius": round(
            radius / 1000, 4
        ),  # this lab measures vesicles in micrometres; the config converts
        "voxel_volume": round(4 / 3 * math.pi * radius**3, 1),
        "distance_to_active_zone": round(random.uniform(5, 420), 1) if measured else NOT_MEASURED,
        "minimum_normal_length": random.randrange(10, 260),
    } | _centroid(_near(random, centre, 250))


def _count_children(lab: Lab) -> None:
    """Write into the parents how many children they have and what these sum up to."""
    tables = lab.tables
    for dendrite in tables["dendrite"]:
        dendrite["dendritic_spine_count"] = len(_children(tables["dendritic_spine"], dendrite))
    for axon in tables["axon"]:
        mitochondria = _children(tables["mitochondria"], axon)
        axon["terminal_count"] = len(_children(tables["pre_synaptic_terminal"], axon))
        axon["mitochondria_count"] = len(mitochondria)
        axon["total_mitochondria_volume"] = round(
            sum(row["voxel_volume"] for row in mitochondria), 1
        )
    for terminal in tables["pre_synaptic_terminal"]:
        vesicles = _children(tables["vesicle"], terminal)
        terminal["vesicle_count"] = len(vesicles)
        terminal["total_vesicle_volume"] = round(sum(row["voxel_volume"] for row in vesicles), 1)


def _children(rows: list[Row], parent: Row) -> list[Row]:
    return [row for row in rows if row["parent_id"] == parent["cid"]]
