"""Cells that should be numbers and are not, or are numbers that cannot be.

Belongs here: mistakes under SYN-TYPE and SYN-VAL rules. Does not: units of whole columns and words
(`measures.py`).
"""

from __future__ import annotations

from datetime import date

import pyarrow

from tests.acceptance.corpus.case import Case, finds, wrong
from tests.acceptance.corpus.changes import column, config, each, file, parquet, put, together
from tests.lab_files import as_text

NEU, VES, REL = "neuron", "vesicle", "neuron_relation"


def comma(number: str) -> str:
    return number.replace(".", ",")


def german(number: str) -> str:
    """1.234.567,89"""
    return f"{float(number):,.2f}".translate(str.maketrans(",.", ".,"))


def swiss(number: str) -> str:
    return f"{float(number):,.2f}".replace(",", "'")


def english(number: str) -> str:
    return f"{float(number):,.2f}"


semicolons = file(NEU, "neuron.csv", as_text(";"))

MARKS = (
    wrong(
        "a German Excel wrote decimal commas",
        "hemibrain",
        together(*(each(NEU, name, comma) for name in ("cable_length",)), semicolons),
        finds("SYN-TYPE-001", NEU, "cable_length", 2, 5, "decimal", setting='decimal: ","'),
    ),
    wrong(
        "one radius was typed with a decimal comma",
        "guide",
        put(VES, "voxel_radius", 5, "30,5131"),
        finds("SYN-TYPE-001", VES, "voxel_radius", 5, 1, "decimal|comma"),
    ),
    wrong(
        "German numbers with points for thousands and a decimal comma",
        "hemibrain",
        together(each(NEU, "cable_length", german), semicolons),
        finds("SYN-TYPE-001", NEU, "cable_length", 2, 5, "decimal", setting='decimal: ","'),
    ),
    wrong(
        "a spreadsheet saved volumes as it shows them: 385,668,034.56",
        "guide",
        each("axon", "voxel_volume", english),
        finds("SYN-TYPE-001", "axon", "voxel_volume", 2, 3, "thousand|group"),
    ),
    wrong(
        "a Swiss spreadsheet saved 385'668'034.56",
        "guide",
        each("axon", "voxel_volume", swiss),
        finds("SYN-TYPE-001", "axon", "voxel_volume", 2, 3, "thousand|group"),
    ),
    wrong(
        "the config says comma and the numbers have points",
        "guide",
        config(VES, decimal=","),
        finds("SYN-TYPE-001", VES, "voxel_radius", 2, 8, "decimal"),
        finds("SYN-TYPE-001", VES, "distance_to_active_zone", 2, 8, "decimal"),
        finds("SYN-TYPE-001", VES, "centroid_x", 2, 8, "decimal"),
        finds("SYN-TYPE-001", VES, "centroid_y", 2, 8, "decimal"),
        finds("SYN-TYPE-001", VES, "centroid_z", 2, 8, "decimal"),
    ),
)

MARKERS = (
    wrong(
        "0 was declared for the neurons without a branch, and empties the true zeros of others",
        "hemibrain",
        together(
            column(NEU, "n_trees", lambda row: "0" if str(row["cid"]).endswith("0") else "2"),
            put(NEU, "cable_length", 4, "0"),
            config(NEU, missing=["0"]),
        ),
        finds(
            "SYN-VAL-006", NEU, None, 2, None, "n_trees", setting='missing: {cable_length: ["0"]}'
        ),
    ),
    wrong(
        "positions of three numbers in brackets",
        "hemibrain",
        each(NEU, "centroid_x", lambda number: f"[{number} 1 2]"),
        finds("SYN-TYPE-001", NEU, "centroid_x", 2, 5, "several numbers"),
    ),
    wrong(
        "R wrote NA where nothing was measured",
        "guide",
        put(VES, "voxel_radius", (3, 5), "NA"),
        finds("SYN-TYPE-001", VES, "voxel_radius", 3, 2, "no value", setting='missing: ["NA"]'),
    ),
    wrong(
        "numpy wrote nan",
        "guide",
        put(VES, "distance_to_active_zone", (2, 9), "nan"),
        finds("SYN-VAL-002", VES, "distance_to_active_zone", 2, 2, setting='missing: ["nan"]'),
    ),
    wrong(
        "-1 where no radius was measured",
        "guide",
        put(VES, "voxel_radius", (2, 3), "-1"),
        finds("SYN-VAL-001", VES, "voxel_radius", 2, 2, "no value", setting='missing: ["-1"]'),
    ),
    wrong(
        "zeros where no area was measured",
        "hemibrain",
        put(NEU, "mesh_surface_area", (2, 3), "0"),
        finds("SYN-VAL-001", NEU, "mesh_surface_area", 2, 2, "no value"),
    ),
)

MORE_THAN_A_NUMBER = (
    wrong(
        "the unit stands behind each radius",
        "guide",
        each(VES, "voxel_radius", lambda number: f"{number} nm"),
        finds("SYN-TYPE-001", VES, "voxel_radius", 2, 8, "without nm"),
    ),
    wrong(
        "lengths in micrometres, with the unit behind them",
        "hemibrain",
        each(NEU, "cable_length", lambda number: f"{float(number) / 1000:.2f} \u00b5m"),
        # The text behind the numbers has to go as well, so pasting alone is half of the cure.
        finds(
            "SYN-TYPE-001",
            NEU,
            "cable_length",
            2,
            5,
            "unit",
            "without",
            setting="units: {cable_length: um}",
            cures=False,
        ),
    ),
    wrong(
        "the accuracy stands with the radius: 26.9 \u00b1 0.3",
        "guide",
        put(VES, "voxel_radius", (2, 3), "26.9 \u00b1 0.3"),
        finds("SYN-TYPE-001", VES, "voxel_radius", 2, 2, "one number"),
    ),
    wrong(
        "an Excel made days of two scores",
        "worm",
        put(REL, "connection_score", (4, 8), date(2026, 1, 9)),
        finds("SYN-TYPE-001", REL, "connection_score", 4, 2, "date"),
    ),
)

COUNTS = (
    wrong(
        "half a branch",
        "hemibrain",
        put(NEU, "n_branches", 2, "633.5"),
        finds("SYN-TYPE-002", NEU, "n_branches", 2, 1, "fraction"),
    ),
    wrong(
        "Parquet keeps the counts as float32 with halves",
        "guide",
        together(
            parquet(VES, minimum_normal_length=pyarrow.float32()),
            put(VES, "minimum_normal_length", 3, "22.5"),
        ),
        finds("SYN-TYPE-002", VES, "minimum_normal_length", 2, 1),
    ),
    wrong(
        "a German Excel wrote WAHR and FALSCH",
        "skeletons",
        together(column(NEU, "is_tree", "WAHR"), put(NEU, "is_tree", 4, "FALSCH")),
        finds("SYN-TYPE-003", NEU, "is_tree", 2, 3, "true or false"),
    ),
    wrong(
        "a body's id in the column of its branches",
        "hemibrain",
        put(NEU, "n_branches", 5, "720575940621039145"),
        finds("SYN-VAL-005", NEU, "n_branches", 5, 1, "id"),
    ),
    wrong(
        "a transmitter's probability in percent",
        "hemibrain",
        column(
            "synapse",
            "acetylcholine",
            lambda row: str(round(float(str(row["connection_score"])) * 100, 1)),
        ),
        finds("SYN-VAL-001", "synapse", "acetylcholine", 2, 200, "percent|100"),
    ),
)

CASES: tuple[Case, ...] = (*MARKS, *MARKERS, *MORE_THAN_A_NUMBER, *COUNTS)
