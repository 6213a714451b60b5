"""Column names: unknown, missing, twice, the server's, and configs that name others.

Belongs here: mistakes under SYN-COL rules, SYN-READ-004 and SYN-READ-005. Does not: headers that
are none (`text_files.py`).
"""

from __future__ import annotations

from tests.acceptance.corpus.case import Case, finds, wrong
from tests.acceptance.corpus.changes import (
    Change,
    column,
    config,
    file,
    named,
    numbered,
    put,
    together,
    without,
)
from tests.lab_files import Lab

NEU, REL, SYN, VES = "neuron", "neuron_relation", "synapse", "vesicle"


def _one_cell(table: str) -> Change:
    """A csv that a spreadsheet opened without splitting its lines."""

    def apply(lab: Lab) -> None:
        lab.rows(table)[:] = [[",".join(map(str, row))] for row in lab.rows(table)]

    return together(apply, file(table, f"{table}.xlsx"))


UNKNOWN = (
    wrong(
        "two letters of a name are swapped",
        "hemibrain",
        named(NEU, "cable_length", "cable_lenght"),
        finds(
            "SYN-COL-001",
            NEU,
            "cable_lenght",
            None,
            1,
            "cable_length",
            setting="columns: {cable_lenght: cable_length}",
        ),
    ),
    wrong(
        "a name as people write it: Parent ID",
        "terminal",
        named(VES, "parent_id", "Parent ID"),
        finds(
            "SYN-COL-001",
            VES,
            "Parent ID",
            None,
            1,
            "parent_id",
            setting="columns: {Parent ID: parent_id}",
        ),
        also={
            "SYN-INT-001": "without the column nothing relates the vesicles",
            "SYN-INT-003": "and so they have no parents",
        },
    ),
    wrong(
        "two columns look like one of SynDB's",
        "hemibrain",
        together(named(NEU, "cable_length", "Cable_Length"), column(NEU, "cable length", "1")),
        finds(
            "SYN-COL-001",
            NEU,
            "Cable_Length",
            None,
            1,
            "'cable length' looks like cable_length too",
            setting="columns",
        ),
        finds(
            "SYN-COL-001",
            NEU,
            "cable length",
            None,
            1,
            "'Cable_Length' looks like cable_length too",
            setting="columns",
        ),
    ),
    wrong(
        "names that have no more than letters in common with SynDB's",
        "guide",
        together(
            *(
                column(VES, name, "1")
                for name in ("Major_Length_um", "Perimeter_um", "Section_ID", "Aspect")
            )
        ),
        finds("SYN-COL-001", VES, "Major_Length_um", None, 4, "First map", setting="ignore"),
    ),
    wrong(
        "the whole line is in the first column of a workbook",
        "larva",
        _one_cell(REL),
        finds("SYN-READ-014", REL, None, None, 1, "the whole line is one cell"),
    ),
    wrong(
        "the unit stands in the column's name",
        "hemibrain",
        named(NEU, "cable_length", "cable_length (nm)"),
        finds("SYN-COL-001", NEU, "cable_length (nm)", None, 1, "cable_length", setting="columns"),
    ),
    wrong(
        "an invisible character in a column's name",
        "guide",
        named(VES, "voxel_radius", "voxel\u200b_radius"),
        finds("SYN-COL-001", VES, "voxel\u200b_radius", None, 1, "voxel_radius"),
    ),
    wrong(
        "a region of interest that SynDB has no column for",
        "hemibrain",
        column(SYN, "roi", "LH(R)"),
        finds("SYN-COL-001", SYN, "roi", None, 1, setting="ignore: [roi]"),
    ),
)

MISSING = (
    wrong(
        "the receivers are missing",
        "larva",
        together(without(REL, "post_id"), config(REL, columns={"pre_id": "pre_synapse_id"})),
        finds("SYN-COL-002", REL, "post_synapse_id", None, 1),
    ),
    wrong(
        "the config renames a column that the file does not have any more",
        "larva",
        config(REL, columns={"pre": "pre_synapse_id", "post": "post_synapse_id"}),
        finds("SYN-COL-006", REL, "pre", None, 1, "pre_id"),
        finds("SYN-COL-006", REL, "post", None, 1, "post_id"),
    ),
)

TWICE = (
    wrong(
        "two columns of one name",
        "hemibrain",
        column(NEU, "cable_length", "1"),
        finds("SYN-READ-004", NEU, "cable_length", None, 2),
    ),
    wrong(
        "the older and the newer name of one column",
        "larva",
        column(REL, "pre_synapse_id", lambda row: row["pre_id"]),
        finds("SYN-COL-005", REL, "pre_synapse_id", None, 1, "pre_id"),
    ),
    wrong(
        "R's row numbers in a column without a name",
        "terminal",
        numbered(VES, "", 1),
        finds("SYN-READ-005", VES, None, None, 1, "1", setting='ignore: [""]'),
    ),
    wrong(
        "pandas' index, saved with the neurons",
        "larva",
        numbered(NEU, "Unnamed: 0", 0),
        finds("SYN-COL-001", NEU, "Unnamed: 0", None, 1, setting='ignore: ["Unnamed: 0"]'),
    ),
    wrong(
        "a column of numbers is called as one of SynDB's generation 2",
        "larva",
        numbered(NEU, "max_axis_length", 100),
        finds("SYN-COL-008", NEU, "max_axis_length", None, 1, "keep it"),
    ),
)

FILES = (
    wrong(
        "the lines of vesicles were copied for mitochondria, and the file was not changed",
        "terminal",
        lambda lab: lab.config["tables"].update(mitochondria={"file": "vesicle.csv"}),
        finds("SYN-COL-007", VES, None, None, 1, "vesicle.csv", "mitochondria"),
    ),
    wrong(
        "the neurons' file is read as connections",
        "larva",
        config("neuron_relation", file="neuron.csv"),
        finds("SYN-COL-002", "neuron_relation", "pre_synapse_id", None, 1),
        finds("SYN-COL-002", "neuron_relation", "post_synapse_id", None, 1),
        also={
            "SYN-COL-001": "neither has the table the neurons' columns",
            "SYN-COL-006": "nor the file the columns that the config maps",
            "SYN-COL-007": "and one file is read for two tables",
        },
    ),
)

SERVERS = (
    wrong(
        "a table that was once downloaded has SynDB's own column",
        "hemibrain",
        column(NEU, "dataset_id", "01939c0e-7b1a-7c3e-9f53-6f0c6b1d2a35"),
        finds("SYN-COL-003", NEU, "dataset_id", None, 1, setting="ignore: [dataset_id]"),
    ),
    wrong(
        "places of synapses, which are checked and not sent",
        "hemibrain",
        put(SYN, "centroid_x", 2, "38712"),
        finds("SYN-COL-004", SYN, None, None, 800, "200 values each of parent_id, centroid_x"),
    ),
)

CASES: tuple[Case, ...] = (*UNKNOWN, *MISSING, *TWICE, *FILES, *SERVERS)
