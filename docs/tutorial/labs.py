"""The three dirty sets: how their folders come to be, and the steps from `init` to ACCEPTED, by
what the reports say and nothing else.

Belongs here: the answers and cures of each set, with the findings expected at each step. Does not:
how a step is run (`walk.py`).
"""

from __future__ import annotations

import csv
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Final

from openpyxl import load_workbook

from docs.tutorial.walk import Walk
from tests.command_line import Lab

Picture = Callable[[str, Walk], None]
"""Called where a picture can be taken, with the name of the place and the walk as it stands."""

IDS: Final = {
    "vesicles": "01939c0e-7b1a-7c3e-9f53-6f0c6b1d2a11",
    "hemibrain": "01939c0e-7b1a-7c3e-9f53-6f0c6b1d2a12",
    "worm": "01939c0e-7b1a-7c3e-9f53-6f0c6b1d2a13",
}


_UNKNOWN: Final = "    # QUESTION: SynDB does not know these columns; map them with `columns`, or\n    #   remove the # to leave them out\n"
"""What `init` asks about columns without meaning."""


def no_pictures(name: str, walk: Walk) -> None:
    """For tests: nothing is drawn."""


def vesicles(data: Path, lab: Lab, picture: Picture = no_pictures) -> Walk:
    """Vesicles of one terminal as a German spreadsheet exports them: semicolons, decimal commas,
    micrometres, a row of units.
    """
    folder = lab.folder / "vesicles"
    folder.mkdir()
    clean = data / "rat_vesicles" / "clean"
    with (clean / "vesicle.csv").open(encoding="utf-8", newline="") as source:
        rows = [
            f"{row['cid']};{row['parent_id'].capitalize()};{_german(row['centroid_x'])};{_german(row['centroid_y'])};AM"
            for row in csv.DictReader(source)
        ]
    lines = ["Nr;Terminal;Mitte x;Mitte y;Prüfer", ";;µm;µm;", *rows, ""]
    (folder / "vesicles.csv").write_bytes("\r\n".join(lines).encode("cp1252"))
    shutil.copyfile(clean / "pre_synaptic_terminal.csv", folder / "terminals.csv")

    walk = Walk(lab, "vesicles", IDS["vesicles"])
    walk.printed["file"] = "\n".join([*lines[:4], "..."])
    walk.init()
    walk.printed["asked tables"] = walk.section("tables:", "# QUESTION")
    walk.run("unanswered", "check", walk.given, expected=2)
    _about(walk, "Synaptic vesicles of one terminal", "RATTUS_NORVEGICUS", "TEM", "cortex")
    walk.answer(
        (
            "    # QUESTION: not UTF-8; in which encoding is it? Remove the # of the one that\n    #   reads right\n",
            "",
        ),
        ("    # encoding: cp1252 ", "    encoding: cp1252 "),
        ("    # QUESTION: is Mitte x a column of numbers? Then remove the #\n", ""),
        ('    # decimal: ","\n', '    decimal: ","\n'),
        ("    # QUESTION: no column looks like cid; which one is it? Add it to `columns`\n", ""),
        (_UNKNOWN, ""),
        (
            "    # ignore: [Nr, Terminal, Mitte x, Mitte y, Prüfer]\n",
            "    columns:\n      Nr: cid\n      Terminal: parent_id\n      Mitte x: centroid_x\n      Mitte y: centroid_y\n"
            "    ignore: [Prüfer]\n",
        ),
        (
            "    # QUESTION: which column holds the parent's cid? Map it to parent_id in\n    #   `columns`\n",
            "",
        ),
    )
    walk.printed["answered vesicle"] = walk.section("  vesicle:", "terms:")
    walk.check("first check", "rejected", "SYN-READ-017", "SYN-REL-001", "SYN-INT-003")
    picture("rejected", walk)
    # Each cure as it is told: paste the units and remove their row; write the key with the same
    # capitals in both files.
    walk.paste("SYN-READ-017")
    walk.printed["cured tables"] = walk.section("  vesicle:", "    encoding:")
    _edit(folder / "vesicles.csv", ";;µm;µm;\r\n", "", "cp1252")
    _edit(folder / "terminals.csv", "presynapse_1", "Presynapse_1")
    walk.check("second check", "accepted", "SYN-INT-003")
    walk.run("plan", "plan", walk.given)
    return walk


def hemibrain(data: Path, lab: Lab, picture: Picture = no_pictures) -> Walk:
    """Five neurons with the synapse files of all of them joined end to end: synapse ids restart in
    every neuron.
    """
    folder = lab.folder / "hemibrain"
    source = data / "hemibrain_da1"
    for inner in ("original/swc", "derived_glb"):
        (folder / inner).mkdir(parents=True)
        for path in (source / inner).iterdir():
            shutil.copyfile(path, folder / inner / path.name)
    for path in (source / "naive").iterdir():
        shutil.copyfile(path, folder / path.name)

    walk = Walk(lab, "hemibrain", IDS["hemibrain"])
    walk.init()
    _about(
        walk, "Five DA1 projection neurons", "DROSOPHILA_MELANOGASTER", "FIB-SEM", "antennal lobe"
    )
    walk.answer(
        (_UNKNOWN, ""),
        ("    # ignore: [type, roi]\n", "    ignore: [type, roi]\n"),
    )
    kept = ("SYN-PATH-005", "SYN-VOC-001", "SYN-VOC-002", "SYN-UNIT-004", "SYN-COL-004")
    walk.check("first check", "rejected", "SYN-ID-002", *kept)
    walk.paste("SYN-ID-002")
    walk.check("second check", "accepted", *kept)
    walk.run("plan", "plan", walk.given)
    picture("accepted", walk)
    return walk


def worm(data: Path, lab: Lab, picture: Picture = no_pictures) -> Walk:
    """A list of connections in which pairs repeat, and one partner is no neuron."""
    folder = lab.folder / "worm"
    folder.mkdir()
    for path in (data / "celegans_workbooks" / "dirty_nmj").iterdir():
        shutil.copyfile(path, folder / path.name)

    walk = Walk(lab, "worm", IDS["worm"])
    walk.init()
    _about(
        walk, "Connections of the worm's neurons", "CAENORHABDITIS_ELEGANS", "ssTEM", "commissure"
    )
    walk.check("first check", "rejected", "SYN-ID-002", "SYN-REL-002", "SYN-REL-006", "SYN-COL-004")
    walk.paste("SYN-REL-006")
    walk.paste("SYN-ID-002")
    refusing = walk.config.read_text()
    walk.config.write_text(f"{refusing}\non_invalid: quarantine\nmax_rejected: 3%\n")
    walk.check("quarantined", "rejected", "SYN-REL-002")
    walk.config.write_text(refusing)
    walk.check("second check", "rejected", "SYN-REL-002")
    walk.run("fixes", "report", walk.given, "--fixes", "worm/fixes.xlsx")
    _take_out_every_row(lab.folder / "worm" / "fixes.xlsx", "neuron_relation.csv")
    picture("fixes", walk)
    walk.run("applied", "apply-fixes", "worm/fixes.xlsx")
    walk.judge("applied", "accepted", "SYN-READ-025")
    walk.run("plan", "plan", walk.given)
    return walk


WALKS: Final = {"vesicles": vesicles, "hemibrain": hemibrain, "worm": worm}


def _about(walk: Walk, label: str, animal: str, microscopy: str, structure: str) -> None:
    """Answer what `init` asks about every dataset."""
    text = walk.config.read_text()
    for key, value in {
        "label": label,
        "license": "CC_BY",
        "animal": animal,
        "microscopy": microscopy,
        "- structure": structure,
    }.items():
        text, count = re.subn(rf"(?m)^( +){key}: .*# QUESTION.*$", rf"\g<1>{key}: {value}", text)
        assert count == 1, f"{key} is not asked"
    walk.config.write_text(text)
    walk.answer(
        ("# QUESTION: a person accepts SynDB's terms before anything is published; fill in\n", ""),
        ("# terms:\n", "terms:\n"),
        ("#   accepted_by:               # your name\n", "  accepted_by: Ada\n"),
        (
            "#   accepted_on:               # the day, e.g. 2026-01-31\n",
            "  accepted_on: 2026-11-23\n",
        ),
        (
            "#   accurate:                  # true: the data are not false or misleading\n",
            "  accurate: true\n",
        ),
        (
            "#   redistributable:           # true: you may redistribute them\n",
            "  redistributable: true\n",
        ),
        (
            "#   license_agreed:            # true: you agree to the licence above\n",
            "  license_agreed: true\n",
        ),
    )


def _german(nanometres: str) -> str:
    return f"{float(nanometres) / 1000:.6f}".replace(".", ",")


def _edit(path: Path, old: str, new: str, encoding: str = "utf-8") -> None:
    content = path.read_bytes()
    assert old.encode(encoding) in content
    path.write_bytes(content.replace(old.encode(encoding), new.encode(encoding)))


def _take_out_every_row(path: Path, title: str) -> None:
    """Write x under `remove` in every row of a sheet, as the workbook's first sheet tells a person
    to.
    """
    book = load_workbook(path)
    sheet = book[title]
    [column] = [cell.column for cell in sheet[1] if cell.value == "remove"]
    for row in range(2, sheet.max_row + 1):
        sheet.cell(row, column).value = "x"
    book.save(path)
