"""Real sets in another dress: other formats, encodings, line ends, orders and names, none of which
is a mistake.

Belongs here: the clean sets as they are, and changes that must raise nothing louder than a hint.
Does not: mistakes.
"""

from __future__ import annotations

import gzip

import pyarrow

from tests.acceptance.corpus.case import Case, wrong
from tests.acceptance.corpus.changes import (
    Change,
    column,
    config,
    content,
    each,
    exchanged,
    file,
    headerless,
    mirrored,
    parquet,
    put,
    rows,
    text,
    together,
    with_neurons,
    without,
    workbook,
)
from tests.acceptance.corpus.measures import AXES, nuclei, voxels
from tests.acceptance.corpus.numbers import comma
from tests.acceptance.corpus.real_sets import CLEAN
from tests.acceptance.corpus.references import LONG_LARVA
from tests.lab_files import Lab, as_text, as_workbook

NEU, REL, SYN, VES, AXON = "neuron", "neuron_relation", "synapse", "vesicle", "axon"


def harmless(name: str, real: str, change: Change) -> Case:
    """A case in which nothing is wrong."""
    return wrong(name, real, change)


def _as_it_is(lab: Lab) -> None:
    """Nothing is changed."""


def _in_the_lateral_horn(lab: Lab) -> None:
    lab.config["dataset"]["brain_regions"] = [{"structure": "Lateral Horn"}]


def _number_cells(table: str) -> Change:
    """Numbers become numbers, as a spreadsheet or pandas would have them."""

    def apply(lab: Lab) -> None:
        for row in lab.rows(table)[1:]:
            row[:] = [
                float(cell)
                if isinstance(cell, str) and cell.replace(".", "", 1).isdecimal()
                else cell
                for cell in row
            ]

    return apply


_FLOAT, _INT = pyarrow.float64(), pyarrow.int64()

CASES: tuple[Case, ...] = (
    *(harmless(f"{name} as it is", name, _as_it_is) for name in CLEAN),
    harmless(
        "semicolons and decimal commas, as the config says",
        "hemibrain",
        together(
            *(
                each(NEU, name, comma)
                for name in (
                    "cable_length",
                    "mesh_surface_area",
                    "centroid_x",
                    "centroid_y",
                    "centroid_z",
                )
            ),
            file(NEU, "neuron.csv", as_text(";")),
            config(NEU, decimal=","),
        ),
    ),
    harmless(
        "a number of voxels, and the config says what one of them is",
        "hemibrain",
        together(
            column(NEU, "size", voxels),
            config(NEU, columns={"size": "voxel_volume"}, units={"voxel_volume": 512}),
        ),
    ),
    harmless("nuclei in the middle of their neurons", "hemibrain", nuclei(*AXES)),
    harmless("a region of a fly's brain", "hemibrain", _in_the_lateral_horn),
    harmless(
        "neurons that are numbered from 0",
        "l1",
        rows(NEU, lambda body: [[str(n), *row[1:]] for n, row in enumerate(body)]),
    ),
    harmless(
        "long ids that a lab numbers in steps",
        "l1",
        each(NEU, "cid", lambda key: str((int(key) % 10**6 + 10**6) << 40)),
    ),
    harmless(
        "keys that are wells of a plate",
        "l1",
        rows(
            NEU,
            lambda body: [
                [f"{n % 24 + 1}{'ABCDEFGH'[n // 24 % 8]}{n // 192:02d}", *row[1:]]
                for n, row in enumerate(body)
            ],
        ),
    ),
    harmless(
        "a marker for one column",
        "hemibrain",
        together(
            put(NEU, "n_branches", 3, "0"),
            put(NEU, "cable_length", 4, "0"),
            config(NEU, missing={"cable_length": ["0"]}),
        ),
    ),
    harmless(
        "tabs",
        "larva",
        together(file(REL, "edges.tsv", as_text("\t")), file(NEU, "neuron.txt", as_text("\t"))),
    ),
    harmless(
        "UTF-16 with its mark and Windows line ends",
        "l1",
        file(NEU, "neuron.csv", as_text("\t", "utf-16", "\r\n")),
    ),
    harmless(
        "a byte order mark of UTF-8",
        "guide",
        file(VES, "vesicle.csv", as_text(encoding="utf-8-sig")),
    ),
    harmless(
        "no line end at the end", "larva", content(REL, lambda written: written.rstrip(b"\n"))
    ),
    harmless(
        "old line ends, a line break in a quoted name, and another end of the last line",
        "l1",
        together(
            put(NEU, "neuron_type", 20, "LHN,\nLHON"),
            file(NEU, "neuron.csv", as_text(end="\r")),
            content(NEU, lambda written: written.removesuffix(b"\r") + b"\n"),
        ),
    ),
    harmless("the end mark of DOS", "larva", content(REL, lambda written: written + b"\x1a")),
    harmless(
        "no line end behind an id with a digit fewer",
        "larva",
        together(
            rows(REL, lambda body: body[:40]), content(REL, lambda written: written.rstrip(b"\n"))
        ),
    ),
    harmless(
        "every value in quotation marks",
        "larva",
        text(
            REL,
            lambda written: "".join(
                ",".join(f'"{value}"' for value in told.split(",")) + "\n"
                for told in written.splitlines()
            ),
        ),
    ),
    harmless(
        "packed with gzip",
        "larva",
        together(file(REL, "neuron_relation.csv.gz", as_text()), content(REL, gzip.compress)),
    ),
    harmless("Parquet of text", "larva", together(parquet(REL), parquet(NEU))),
    harmless(
        "Parquet of numbers",
        "larva",
        together(
            parquet(REL, pre_id=_INT, post_id=_INT, connection_score=_FLOAT), parquet(NEU, cid=_INT)
        ),
    ),
    harmless(
        "pandas' floats for ids below 2^53, in Parquet",
        "larva",
        parquet(REL, pre_id=_FLOAT, post_id=_FLOAT),
    ),
    harmless(
        "workbooks with numbers for ids",
        "larva",
        together(workbook(NEU), workbook(REL), _number_cells(NEU), _number_cells(REL)),
    ),
    harmless(
        "long ids as 64-bit numbers in Parquet",
        "larva",
        together(LONG_LARVA, parquet(REL, pre_id=_INT, post_id=_INT), parquet(NEU, cid=_INT)),
    ),
    harmless(
        "a table that starts in another corner of the sheet",
        "worm",
        file(REL, "edges.xlsx", as_workbook(left=2)),
    ),
    harmless(
        "a title above, and header_row says so",
        "worm",
        together(
            file(REL, "edges.xlsx", as_workbook(top=[["Connections"], []])),
            config(REL, header_row=3),
        ),
    ),
    harmless(
        "one of several sheets, named",
        "worm",
        together(
            file(NEU, "cells.xlsx", as_workbook("Cells", others=("Remarks",))),
            config(NEU, sheet="Cells"),
        ),
    ),
    harmless(
        "no header, with names",
        "larva",
        together(
            text(REL, lambda written: written.partition("\n")[2]),
            config(REL, columns=None),
            headerless(REL, "cid", "pre_synapse_id", "post_synapse_id", "connection_score"),
        ),
    ),
    harmless("rows in another order", "larva", rows(REL, lambda body: body[::-1])),
    harmless("columns in another order", "hemibrain", mirrored(SYN)),
    harmless(
        "remarks in a column that the config leaves out",
        "hemibrain",
        together(column(NEU, "remark", "see 3,5"), config(NEU, ignore=["remark"])),
    ),
    harmless(
        "radii in micrometres, as the config says",
        "guide",
        together(
            each(VES, "voxel_radius", lambda number: repr(float(number) / 1000)),
            config(VES, units={"voxel_radius": "um"}),
        ),
    ),
    harmless(
        "NA where nothing was measured, as the config says",
        "guide",
        together(put(VES, "distance_to_active_zone", (2, 3), "NA"), config(VES, missing=["NA"])),
    ),
    harmless(
        "empty cells where nothing was measured", "guide", put(VES, "voxel_radius", (2, 3, 4), "")
    ),
    harmless("three levels: neurons, axons, vesicles", "guide", with_neurons),
    harmless(
        "senders and receivers exchanged, which is another brain but no mistake to see",
        "larva",
        exchanged(REL, "pre_id", "post_id"),
    ),
    harmless("connections without keys of their own", "larva", without(REL, "cid")),
)
