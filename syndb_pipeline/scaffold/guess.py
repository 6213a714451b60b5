"""Which SynDB table a file holds, and which SynDB column each of its columns is.

Belongs here: scoring names. Does not: deciding anything a person should; what is not plain becomes a question (`text.py`).
"""

from __future__ import annotations

import glob
import re
from dataclasses import dataclass, field
from difflib import SequenceMatcher
from itertools import takewhile
from typing import Final

from syndb_pipeline.contract.tables import SERVER_COLUMNS, TABLES, Kind, Table, ordered
from syndb_pipeline.contract.vocabularies import nearest
from syndb_pipeline.scaffold.peek import Candidate

TABLE_WORDS: Final[dict[str, tuple[str, ...]]] = {
    "neuron": ("neuron", "cell"),
    "neuron_relation": ("neuron relation", "relation", "edge", "edgelist", "connection", "connectivity", "connectome"),
    "dendrite": ("dendrite",),
    "axon": ("axon",),
    "pre_synaptic_terminal": ("pre synaptic terminal", "presynaptic terminal", "terminal", "bouton", "presynapse"),
    "synapse": ("synapse", "synaptic link"),
    "dendritic_spine": ("dendritic spine", "spine"),
    "endoplasmic_reticulum": ("endoplasmic reticulum", "er"),
    "nucleus": ("nucleus", "nuclei", "nucleu"),
    "vesicle": ("vesicle", "synaptic vesicle"),
    "mitochondria": ("mitochondria", "mitochondrion", "mito"),
}
"""How labs call their files."""

COLUMN_WORDS: Final[dict[str, tuple[str, ...]]] = {
    "cid": ("id", "key", "uid", "root_id", "pt_root_id", "body_id", "bodyid", "skid", "segment_id", "skeleton_id"),
    "parent_id": ("parent", "parent_cid", "parent_key"),
    "pre_synapse_id": ("pre", "pre_id", "source", "from", "presynaptic_id", "pre_pt_root_id", "pre_root_id", "bodyid_pre"),
    "post_synapse_id": ("post", "post_id", "target", "to", "postsynaptic_id", "post_pt_root_id", "post_root_id", "bodyid_post"),
    "connection_score": ("weight", "syn_count", "n_synapses", "synapses", "confidence", "score"),
    "forms_synapse_with": ("synapse_id", "synapse"),
    "neuron_type": ("type", "cell_type", "class"),
    "neurotransmitter": ("transmitter", "nt", "nt_type"),
    "centroid_x": ("x", "pos_x", "center_x", "centre_x"),
    "centroid_y": ("y", "pos_y", "center_y", "centre_y"),
    "centroid_z": ("z", "pos_z", "center_z", "centre_z"),
    "mesh_surface_area": ("area", "surface_area", "surface"),
    "mesh_sphericity": ("sphericity",),
    "voxel_volume": ("volume", "size"),
    "voxel_radius": ("radius",),
    "cable_length": ("length", "path_length"),
    "swc_path": ("swc", "skeleton"),
    "mesh_path": ("mesh", "glb"),
}
"""How labs call SynDB's columns, beside the aliases the contract knows."""

UNIT_SUFFIX: Final = re.compile(r"^(?P<name>.+?)[ _\[(]+(?P<unit>nm|um|µm|μm|mm)[23²³]?[\])]?$", re.IGNORECASE)
MINIMUM_SCORE: Final = 1.0


@dataclass(frozen=True)
class Mapped:
    """One column of the lab, as SynDB's `target`. `sure` when the name leaves no doubt."""

    column: str
    target: str
    sure: bool
    unit: str | None = None


@dataclass
class Guess:
    """A file taken for a SynDB table, with what is open about it."""

    table: str
    file: str  # file name or glob, relative to the folder looked at
    candidate: Candidate
    mapped: list[Mapped]
    unknown: list[str]
    sheet: str | None = None
    parents: list[str] = field(default_factory=list)  # tables of the dataset that parent_id could point to
    also: list[Candidate] = field(default_factory=list)  # other files or sheets that look like the same table


def guess_tables(candidates: list[Candidate]) -> tuple[list[Guess], dict[str, str]]:
    """The tables among `candidates`, parents first, and the files that fit none, with the reason."""
    by_table: dict[str, list[tuple[float, Candidate]]] = {}
    unused: dict[str, str] = {}
    for candidate in candidates:
        scores = {name: score(candidate, table) for name, table in TABLES.items()}
        best = max(scores, key=lambda name: scores[name])
        if scores[best] < MINIMUM_SCORE:
            unused[str(candidate)] = "neither its name nor its columns resemble a SynDB table"
        else:
            by_table.setdefault(best, []).append((scores[best], candidate))
    guesses = []
    for name in ordered(by_table):
        ranked = [candidate for _, candidate in sorted(by_table[name], key=lambda item: -item[0])]
        pattern = common_glob(ranked)
        chosen = ranked[0]
        mapped, unknown = map_columns(chosen, TABLES[name])
        file = pattern or glob.escape(chosen.path.name)
        guesses.append(Guess(name, file, chosen, mapped, unknown, chosen.sheet, also=[] if pattern else ranked[1:]))
    present = {guess.table for guess in guesses}
    for guess in guesses:
        table = TABLES[guess.table]
        if table.has_parent:
            guess.parents = [parent for parent in table.parents if parent in present and parent != "neuron_relation"]
    return guesses, unused


def score(candidate: Candidate, table: Table) -> float:
    """How much a candidate resembles a table: 1 and more is a fair guess, below it is none."""
    named = max(name_score(candidate.path.stem, table.name), 1.2 * name_score(candidate.sheet or "", table.name))
    if not candidate.columns:
        return named + 0.3 if named else 0  # no header: the name is all there is to go by
    mapped, _ = map_columns(candidate, table)
    found = {item.target for item in mapped}
    if table.pair is not None and not set(table.pair) <= found:
        return 0  # a list of pairs without pairs is none, whatever it is called
    # A column that few tables have says more than a centroid does.
    telling = sum(1 / sum(target in other.columns for other in TABLES.values()) for target in found if target != "cid")
    if table.pair is not None and "cid" not in found:
        telling += 0.5
    known = sum(1.0 if item.sure else 0.5 for item in mapped) / len(candidate.columns)
    return 1.2 * named + 0.4 * known + min(telling, 1.5) * 0.6 - (0.15 if table.pair is None and "cid" not in found else 0)


def name_score(name: str, table: str) -> float:
    """1 when `name` is one of the table's words, in the plural or with numbers; less inside a longer name; 0 without any of them."""
    split = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name)
    words = " ".join(word.removesuffix("s") for word in re.findall(r"[a-z]+", split.lower()))
    best = 0.0
    for phrase in TABLE_WORDS[table]:
        if words == phrase:
            return 1.0
        if re.search(rf"\b{phrase}\b", words):
            best = max(best, 0.7 + 0.02 * len(phrase.split()) + 0.1 * len(phrase) / len(words))
        elif len(phrase) > 4 and SequenceMatcher(None, words, phrase).ratio() > 0.85:
            best = max(best, 0.7)
    return best


def map_columns(candidate: Candidate, table: Table) -> tuple[list[Mapped], list[str]]:
    """Each column's SynDB column, and the columns that have none. No SynDB column is given twice."""
    found: dict[str, Mapped] = {}
    for attempt in (_exact, _alias, _synonym, _with_unit, _near):
        for column in candidate.columns:
            if not column or column in SERVER_COLUMNS or any(item.column == column for item in found.values()):
                continue
            item = attempt(column, table)
            if item is not None and item.target not in found:
                found[item.target] = item
    mapped = sorted(found.values(), key=lambda item: candidate.columns.index(item.column))
    taken = {item.column for item in mapped}
    return mapped, [column for column in candidate.columns if column not in taken]


def _plain(name: str) -> str:
    return re.sub(r"[\W_]+", "_", name.strip().lower()).strip("_")


def _exact(column: str, table: Table) -> Mapped | None:
    plain = column if column in table.columns else _plain(column)
    return Mapped(column, plain, True) if plain in table.columns else None


def _alias(column: str, table: Table) -> Mapped | None:
    found = table.column(_plain(column))
    return Mapped(column, found.name, True) if found else None


def _synonym(column: str, table: Table) -> Mapped | None:
    plain = _plain(column)
    singular = plain.replace("_ids", "_id")
    if singular == f"{table.name}_id" and "cid" in table.columns:
        return Mapped(column, "cid", True)
    if table.has_parent and singular.removesuffix("_id") in table.parents and singular not in table.columns:
        return Mapped(column, "parent_id", False)
    for target, words in COLUMN_WORDS.items():
        if plain in words and target in table.columns:
            return Mapped(column, target, False)
    side = re.match(r"(pre|post)(syn\w*?)?_", plain)  # pre_terminal, postsynaptic_spine
    target = f"{side[1]}_synapse_id" if side else ""
    return Mapped(column, target, False) if target in table.columns else None


def _with_unit(column: str, table: Table) -> Mapped | None:
    match = UNIT_SUFFIX.match(column.strip())
    if not match:
        return None
    inner = _exact(match["name"], table) or _synonym(match["name"], table) or _near(match["name"], table)
    declared = table.columns[inner.target] if inner else None
    if inner is None or declared is None or declared.dimension is None or declared.kind is not Kind.NUMBER:
        return None
    unit = match["unit"].lower().replace("μ", "u").replace("µ", "u")
    return Mapped(column, inner.target, inner.sure, None if unit == "nm" else unit)


def _near(column: str, table: Table) -> Mapped | None:
    hits = nearest(_plain(column), table.columns, 1, 0.84)
    return Mapped(column, hits[0], False) if hits else None


def _shared_start(names: list[str]) -> str:
    columns = zip(*names, strict=False)
    return "".join(letters[0] for letters in takewhile(lambda letters: len(set(letters)) == 1, columns))


def common_glob(candidates: list[Candidate]) -> str | None:
    """A pattern that matches exactly the files of `candidates`, when they are parts of one table: same kind, same columns, like names."""
    first = candidates[0]
    if len(candidates) < 2 or any(c.sheet or c.columns != first.columns or c.path.suffix != first.path.suffix for c in candidates):
        return None
    names = sorted(c.path.name for c in candidates)
    start = _shared_start(names)
    end = _shared_start([name.removesuffix(first.path.suffix)[len(start) :][::-1] for name in names])[::-1]
    pattern = f"{glob.escape(start)}*{glob.escape(end)}{first.path.suffix}"
    matched = sorted(path.name for path in first.path.parent.glob(pattern))
    return pattern if start and matched == names else None
