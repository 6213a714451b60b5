"""Whole columns on another scale, words that SynDB does not know, declared numbers that do not add
up.

Belongs here: mistakes under SYN-UNIT and SYN-VOC rules, on text, and under SYN-INT-004 and 005.
Does not: single numbers (`numbers.py`).
"""

from __future__ import annotations

from collections.abc import Callable
from math import pi

from tests.acceptance.corpus.case import Case, finds, wrong
from tests.acceptance.corpus.changes import (
    Change,
    column,
    config,
    each,
    named,
    put,
    rows,
    together,
)
from tests.lab_files import Cell, File, Lab

NEU, VES = "neuron", "vesicle"


def times(factor: float) -> Callable[[str], str]:
    return lambda number: repr(float(number) * factor)


def volume(row: dict[str, Cell]) -> str:
    """What a tube of this area and a radius of 120 nm encloses."""
    return repr(float(str(row["mesh_surface_area"])) * 60)


def ratio(row: dict[str, Cell]) -> str:
    return repr(float(str(row["mesh_surface_area"])) / float(str(row["mesh_volume"])))


def sphericity(row: dict[str, Cell]) -> str:
    return repr(
        pi ** (1 / 3)
        * (6 * float(str(row["mesh_volume"]))) ** (2 / 3)
        / float(str(row["mesh_surface_area"]))
    )


def _scaled(table: str, name: str, factor: float) -> Change:
    return each(table, name, times(factor))


AXES = ("centroid_x", "centroid_y", "centroid_z")


def _section(number: str) -> str:
    return str(round(float(number) / 80))


def voxels(row: dict[str, Cell]) -> str:
    """How many voxels of 8 nm a tube of this area and a radius of 120 nm has."""
    return str(round(float(volume(row)) / 512))


def nuclei(*order: str) -> Change:
    """A nucleus in the middle of every neuron, its place written in this order of axes."""

    def apply(lab: Lab) -> None:
        header, *body = lab.rows(NEU)
        named = [dict(zip(header, row, strict=True)) for row in body]
        places = [
            [f"n{number}", row["cid"], *(row[axis] for axis in order)]
            for number, row in enumerate(named)
        ]
        lab.tables["nucleus"] = File("nucleus.csv", [["cid", "parent_id", *AXES], *places])
        lab.config["tables"]["nucleus"] = {"file": "nucleus.csv"}

    return apply


UNITS = (
    wrong(
        "radii of vesicles in micrometres",
        "guide",
        _scaled(VES, "voxel_radius", 1e-3),
        finds(
            "SYN-UNIT-003", VES, "voxel_radius", None, 8, "um", setting="units: {voxel_radius: um}"
        ),
    ),
    wrong(
        "volumes of axons in cubic micrometres",
        "guide",
        together(
            _scaled("axon", "voxel_volume", 1e-9),
            _scaled("axon", "total_mitochondria_volume", 1e-9),
        ),
        finds("SYN-UNIT-003", "axon", None, None, 3, "um", setting="units"),
    ),
    wrong(
        "radii of vesicles counted in voxels of 4 nm, as whole numbers",
        "guide",
        each(VES, "voxel_radius", lambda number: str(round(float(number) / 8))),
        finds("SYN-UNIT-003", VES, "voxel_radius", None, 8, "voxel"),
    ),
    wrong(
        "the config says micrometres and the file has nanometres",
        "hemibrain",
        config(NEU, units={"cable_length": "mm"}),
        finds("SYN-UNIT-003", NEU, "cable_length", None, 5, "units"),
    ),
    wrong(
        "synapses lie where they do in voxels of 8 nm",
        "hemibrain",
        together(
            *(each("synapse", axis, lambda number: str(round(float(number) / 8))) for axis in AXES)
        ),
        finds("SYN-UNIT-004", "synapse", "centroid_x", None, None, "voxel"),
    ),
    wrong(
        "places of neurons in micrometres, of synapses in nanometres",
        "hemibrain",
        together(*(_scaled(NEU, axis, 1e-3) for axis in AXES)),
        finds("SYN-UNIT-004", NEU, "centroid_x", None, None, "tables.neuron.units"),
        also={"SYN-PATH-009": "the meshes, which are in nanometres, contradict these places too"},
    ),
    wrong(
        "places of synapses in voxels of 8 x 8 x 80 nm",
        "hemibrain",
        together(
            *(
                each("synapse", axis, lambda number: str(round(float(number) / 8)))
                for axis in AXES[:2]
            ),
            each("synapse", AXES[2], _section),
        ),
        finds("SYN-UNIT-003", "synapse", "centroid_x", 2, None, "voxels", "centroid_z spreads"),
        also={
            "SYN-UNIT-004": (
                "the places of the neurons, which are in nanometres, contradict these too"
            )
        },
    ),
    wrong(
        "a number of voxels of 8 nm as the volume of neurons",
        "hemibrain",
        together(column(NEU, "size", voxels), config(NEU, columns={"size": "voxel_volume"})),
        finds("SYN-UNIT-003", NEU, "size", 2, 5, "number of voxels", "<nm3 of one voxel>"),
    ),
    wrong(
        "a column that is called n_voxels as the volume of axons",
        "guide",
        together(
            each("axon", "voxel_volume", lambda number: str(round(float(number)))),
            named("axon", "voxel_volume", "n_voxels"),
            config("axon", columns={"n_voxels": "voxel_volume"}),
        ),
        finds("SYN-UNIT-003", "axon", "n_voxels", 2, 3, "counts voxels by its name"),
    ),
    wrong(
        "nuclei as z, y, x, their neurons as x, y, z",
        "hemibrain",
        nuclei("centroid_z", "centroid_y", "centroid_x"),
        finds(
            "SYN-UNIT-005",
            "nucleus",
            "centroid_x",
            2,
            5,
            "centroid_x follows centroid_z of neuron",
            "columns",
        ),
    ),
    wrong(
        "one ratio of area and volume is per micrometre",
        "hemibrain",
        together(
            column(NEU, "mesh_volume", volume),
            column(NEU, "mesh_area_volume_ratio", ratio),
            each(NEU, "mesh_area_volume_ratio", times(1e3), [3]),
        ),
        finds("SYN-UNIT-001", NEU, "mesh_area_volume_ratio", 3, 1, "unit"),
    ),
    wrong(
        "all ratios are per micrometre",
        "hemibrain",
        together(
            column(NEU, "mesh_volume", volume),
            column(NEU, "mesh_area_volume_ratio", ratio),
            _scaled(NEU, "mesh_area_volume_ratio", 1e3),
        ),
        finds(
            "SYN-UNIT-003",
            NEU,
            "mesh_area_volume_ratio",
            2,
            5,
            "um",
            setting="units: {mesh_area_volume_ratio: um}",
        ),
    ),
    wrong(
        "a sphericity of another mesh",
        "hemibrain",
        together(
            column(NEU, "mesh_volume", volume),
            column(NEU, "mesh_sphericity", sphericity),
            put(NEU, "mesh_sphericity", 5, "0.9"),
        ),
        finds("SYN-UNIT-002", NEU, "mesh_sphericity", 5, 1, "unit"),
    ),
)

WORDS = (
    wrong(
        "glutamate misspelt once",
        "guide",
        put(VES, "neurotransmitter", 4, "glutamat"),
        finds("SYN-VOC-001", VES, "neurotransmitter", 4, 1, "glutamate"),
    ),
    wrong(
        "a capital letter",
        "guide",
        put(VES, "neurotransmitter", (2, 3), "Glutamate"),
        finds("SYN-VOC-002", VES, "neurotransmitter", 2, 2),
    ),
    wrong(
        "the short name of a transmitter",
        "guide",
        put(VES, "neurotransmitter", 9, "gaba"),
        finds("SYN-VOC-003", VES, "neurotransmitter", 9, 1),
    ),
    wrong(
        "R wrote NA where no transmitter is known",
        "guide",
        put(VES, "neurotransmitter", (3, 5), "NA"),
        finds(
            "SYN-VOC-004", VES, "neurotransmitter", 3, 2, "norepinephrine", setting="missing: [NA]"
        ),
    ),
    wrong(
        "serotonin by the short name of CAVE",
        "guide",
        put(VES, "neurotransmitter", (3, 4, 5), "ser"),
        finds("SYN-VOC-004", VES, "neurotransmitter", 3, 3, "serotonin"),
    ),
    wrong(
        "a remark in the place of the transmitter",
        "guide",
        put(
            VES,
            "neurotransmitter",
            6,
            "glutamate, because the membrane looked thick on both sides of the cleft",
        ),
        finds("SYN-VAL-003", VES, "neurotransmitter", 6, 1, "65"),
        also={"SYN-VOC-001": "a whole remark is no word of the vocabulary"},
    ),
    wrong(
        "a Greek letter in the neuron's type",
        "larva",
        put(NEU, "neuron_type", 8, "KC-\u03b1\u03b2"),
        finds("SYN-VAL-004", NEU, "neuron_type", 8, 1),
    ),
)

SUMS = (
    wrong(
        "a vesicle was lost in the export",
        "terminal",
        rows(VES, lambda body: body[:-1]),
        finds("SYN-INT-004", "pre_synaptic_terminal", "vesicle_count", 2, 1, "complete"),
    ),
    wrong(
        "the terminal's total volume is that of one vesicle",
        "terminal",
        together(
            column(VES, "voxel_volume", "65449.8"),
            column("pre_synaptic_terminal", "total_vesicle_volume", "65449.8"),
        ),
        finds("SYN-INT-005", "pre_synaptic_terminal", "total_vesicle_volume", 2, 1),
    ),
)

CASES: tuple[Case, ...] = (*UNITS, *WORDS, *SUMS)
