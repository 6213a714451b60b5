"""The real sets as labs, cut down where they are large, and what an honest reading finds in them as
they are.

Belongs here: reading the sets and choosing rows of theirs. Does not: any change of a value.
"""

from __future__ import annotations

import csv
from collections.abc import Callable
from copy import deepcopy
from functools import cache
from pathlib import Path
from typing import Any, Final

from openpyxl import load_workbook

from tests.lab_files import DATASET, Cell, File, Lab, as_workbook

ENDS: Final = {"pre_id": "pre_synapse_id", "post_id": "post_synapse_id"}
FIRST_NEURONS: Final = 250
"""Of the larva: these, and the connections among them."""
SYNAPSES_EACH: Final = 40
"""Of every hemibrain neuron: the first ones."""

_FOREIGN_WORDS: Final = "its words are the lab's own, and SynDB's vocabulary truly lacks them"
_NO_COLUMN: Final = "SynDB's table truly has no such column, so that these values are not sent"
_NO_PARENTS: Final = "the set truly has no table of its parents"

TOLD: Final[dict[str, dict[tuple[str, str], str]]] = {
    "guide": {("SYN-INT-003", "axon"): _NO_PARENTS},
    "terminal": {("SYN-INT-003", "pre_synaptic_terminal"): _NO_PARENTS},
    "hemibrain": {
        ("SYN-PATH-005", "neuron"): "754538881.swc has two roots, as its EXPECTED.md says",
        ("SYN-VOC-001", "neuron"): _FOREIGN_WORDS,
        ("SYN-COL-004", "synapse"): _NO_COLUMN,
    },
    "l1": {("SYN-VOC-001", "neuron"): _FOREIGN_WORDS},
    "larva": {
        ("SYN-VOC-001", "neuron"): _FOREIGN_WORDS,
        ("SYN-COL-004", "neuron_relation"): _NO_COLUMN,
    },
    "worm": {("SYN-COL-004", "neuron_relation"): _NO_COLUMN},
    "naive": {
        ("SYN-PATH-005", "neuron"): "754538881.swc has two roots, as its EXPECTED.md says",
        ("SYN-VOC-001", "neuron"): _FOREIGN_WORDS,
        ("SYN-COL-004", "synapse"): _NO_COLUMN,
    },
    "muscles": {("SYN-COL-004", "neuron_relation"): _NO_COLUMN},
    "edge_list": {("SYN-VOC-001", "neuron"): _FOREIGN_WORDS},
    "five_files": {("SYN-INT-003", "synapse"): _NO_PARENTS, ("SYN-COL-004", "synapse"): _NO_COLUMN},
}
"""Set -> (code, table) -> why a warning about the set as it is, is right. They are no finding about
a mistake made in it.
"""


def _rows(path: Path) -> list[list[Cell]]:
    if path.suffix == ".xlsx":
        [sheet] = load_workbook(path, read_only=True).worksheets
        return [list(row) for row in sheet.iter_rows(values_only=True)]
    with path.open(newline="", encoding="utf-8") as file:
        return [list(row) for row in csv.reader(file)]


def _lab(folder: Path, names: dict[str, str], **options: dict[str, Any]) -> Lab:
    """Tables from the files `names` of `folder`, which keep their names; `options` by table go into
    the config.
    """
    tables = {}
    for table, name in names.items():
        path = folder / name
        tables[table] = File(path.name, _rows(path))
        if path.suffix == ".xlsx":
            tables[table].write = as_workbook()
    config = {
        "dataset": dict(DATASET),
        "tables": {
            table: {"file": file.name} | options.get(table, {}) for table, file in tables.items()
        },
    }
    return Lab(tables, config)


def guide(data: Path) -> Lab:
    """The worked example of SynDB's guide: 3 axons, 8 vesicles."""
    return _lab(data / "syndb_guide" / "original", {"axon": "axon.csv", "vesicle": "vesicle.csv"})


def terminal(data: Path) -> Lab:
    """37 vesicles of one terminal."""
    folder = data / "rat_vesicles" / "clean"
    return _lab(
        folder, {"pre_synaptic_terminal": "pre_synaptic_terminal.csv", "vesicle": "vesicle.csv"}
    )


def hemibrain(data: Path) -> Lab:
    """Five neurons with skeletons and meshes, and the first synapses of each."""
    folder = data / "hemibrain_da1"
    lab = _lab(folder / "clean", {"neuron": "neuron.csv", "synapse": "synapse.csv"})
    header, *synapses = lab.rows("synapse")
    seen: dict[Cell, int] = {}
    kept = []
    for row in synapses:
        seen[row[1]] = seen.get(row[1], 0) + 1
        if seen[row[1]] <= SYNAPSES_EACH:
            kept.append(row)
    lab.tables["synapse"].rows = [header, *kept]
    for pattern in ("original/swc/*.swc", "derived_glb/*.glb"):
        lab.beside |= {
            path.relative_to(folder).as_posix(): path for path in sorted(folder.glob(pattern))
        }
    return lab


def l1(data: Path) -> Lab:
    """1,051 neurons; types with commas inside."""
    return _lab(data / "l1_neurons" / "clean", {"neuron": "neuron.csv"})


def larva(data: Path) -> Lab:
    """The first neurons of a whole brain, and the connections among them."""
    lab = _lab(
        data / "larva_connectome" / "clean",
        {"neuron": "neuron.csv", "neuron_relation": "neuron_relation.csv"},
        neuron_relation={"columns": dict(ENDS)},
    )
    lab.tables["neuron"].rows = lab.rows("neuron")[: FIRST_NEURONS + 1]
    keys = {row[0] for row in lab.rows("neuron")}
    header, *edges = lab.rows("neuron_relation")
    lab.tables["neuron_relation"].rows = [
        header,
        *(row for row in edges if row[1] in keys and row[2] in keys),
    ]
    return lab


def worm(data: Path) -> Lab:
    """187 cells and 858 connections, in workbooks; 9 pairs stand twice and are summed."""
    return _lab(
        data / "celegans_workbooks" / "clean",
        {"neuron": "neuron.xlsx", "neuron_relation": "neuron_relation.xlsx"},
        neuron_relation={"columns": dict(ENDS), "combine": {"connection_score": "sum"}},
    )


def skeletons(data: Path) -> Lab:
    """Three sound skeletons of the odd ones, and a table that names them."""
    folder = data / "odd_swc" / "original"
    names = ["sample.swc", "test_neuron.swc", "sample_three_soma_points.swc"]
    table: list[list[Cell]] = [
        ["cid", "swc_path"],
        *([name.removesuffix(".swc"), name] for name in names),
    ]
    config = {"dataset": dict(DATASET), "tables": {"neuron": {"file": "neuron.csv"}}}
    return Lab(
        {"neuron": File("neuron.csv", table)}, config, {name: folder / name for name in names}
    )


def _found(data: Path, files: dict[str, str], tables: dict[str, dict[str, Any]]) -> Lab:
    """Files of the folder `data` (name in the lab -> pattern of where they lie) as they were found,
    and what the config says.
    """
    beside: dict[str, bytes | Path] = {}
    for name, pattern in files.items():
        paths = sorted(data.glob(pattern))
        beside |= (
            {name: paths[0]}
            if len(paths) == 1 and not name.endswith("/")
            else {f"{name}{path.name}": path for path in paths}
        )
    return Lab({}, {"dataset": dict(DATASET), "tables": tables}, beside)


def naive(data: Path) -> Lab:
    """The hemibrain's five synapse files put together as they are."""
    folder = "hemibrain_da1"
    files = {f"{name}.csv": f"{folder}/naive/{name}.csv" for name in ("neuron", "synapse")}
    files |= {
        "original/swc/": f"{folder}/original/swc/*.swc",
        "derived_glb/": f"{folder}/derived_glb/*.glb",
    }
    return _found(
        data, files, {"neuron": {"file": "neuron.csv"}, "synapse": {"file": "synapse.csv"}}
    )


def five_files(data: Path) -> Lab:
    """The hemibrain's five synapse files read as one table."""
    columns = {"connector_id": "cid", "confidence": "connection_score"} | {
        axis: f"centroid_{axis}" for axis in "xyz"
    }
    table = {"file": "synapses/*.csv", "columns": columns, "ignore": ["node_id", "type", "roi"]}
    return _found(data, {"synapses/": "hemibrain_da1/original/synapses/*.csv"}, {"synapse": table})


def muscles(data: Path) -> Lab:
    """The worm's connections with those to muscles, each listed from both sides."""
    files = {
        f"{name}.csv": f"celegans_workbooks/dirty_nmj/{name}.csv"
        for name in ("neuron", "neuron_relation")
    }
    return _found(
        data,
        files,
        {
            "neuron": {"file": "neuron.csv"},
            "neuron_relation": {"file": "neuron_relation.csv", "columns": dict(ENDS)},
        },
    )


def three_sheets(data: Path) -> Lab:
    """The worm's old workbook of three sheets."""
    return _found(
        data,
        {"CElegansNeuronTables.xls": "celegans_workbooks/original/*.xls"},
        {"neuron": {"file": "CElegansNeuronTables.xls"}},
    )


def edge_list(data: Path) -> Lab:
    """The larva's edge list as it was released: no header."""
    files = {
        "neuron.csv": "larva_connectome/clean/neuron.csv",
        "G_edgelist.txt": "larva_connectome/original/G_edgelist.txt",
    }
    return _found(
        data,
        files,
        {"neuron": {"file": "neuron.csv"}, "neuron_relation": {"file": "G_edgelist.txt"}},
    )


def odd_skeletons(data: Path) -> Lab:
    """All eight odd skeletons."""
    names = sorted(path.name for path in (data / "odd_swc" / "original").glob("*.swc"))
    lab = _found(data, {"": "odd_swc/original/*.swc"}, {"neuron": {"file": "neuron.csv"}})
    lab.tables["neuron"] = File(
        "neuron.csv", [["cid", "swc_path"], *([name.removesuffix(".swc"), name] for name in names)]
    )
    return lab


def no_parent(data: Path) -> Lab:
    """The vesicles of the terminal, without the terminal."""
    return _found(
        data,
        {"vesicle.csv": "rat_vesicles/no_parent/vesicle.csv"},
        {"vesicle": {"file": "vesicle.csv"}},
    )


def coordinates(data: Path) -> Lab:
    """The vesicles as the authors had them: two columns of numbers."""
    columns = {"x": "centroid_x", "y": "centroid_y"}
    return _found(
        data,
        {"vesicles.txt": "rat_vesicles/original/vesicles.txt"},
        {"vesicle": {"file": "vesicles.txt", "columns": columns}},
    )


def published_names(data: Path) -> Lab:
    """The L1 larva's neurons as they were published."""
    return _found(
        data, {"neurons.csv": "l1_neurons/original/*.csv"}, {"neuron": {"file": "neurons.csv"}}
    )


SETS: Final[dict[str, Callable[[Path], Lab]]] = {
    "guide": guide,
    "terminal": terminal,
    "hemibrain": hemibrain,
    "l1": l1,
    "larva": larva,
    "worm": worm,
    "skeletons": skeletons,
    "naive": naive,
    "five_files": five_files,
    "muscles": muscles,
    "three_sheets": three_sheets,
    "edge_list": edge_list,
    "odd_skeletons": odd_skeletons,
    "no_parent": no_parent,
    "coordinates": coordinates,
    "published_names": published_names,
}
CLEAN: Final = ("guide", "terminal", "hemibrain", "l1", "larva", "worm", "skeletons")
"""The sets that a right pipeline accepts; the others are wrong as they were found."""


@cache
def _read(name: str, data: Path) -> Lab:
    return SETS[name](data)


def real_set(name: str, data: Path) -> Lab:
    """The set `name` of the folder `data`, free to be changed."""
    return deepcopy(_read(name, data))
