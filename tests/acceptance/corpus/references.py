"""Keys of other rows that name none, because somebody or something wrote them otherwise.

Belongs here: mistakes in reference columns (SYN-REL-001, SYN-REL-002) by root cause. Does not: the
keys of a table's own rows (`keys.py`).
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable
from typing import Literal

from tests.acceptance.corpus.case import Case, finds, wrong
from tests.acceptance.corpus.changes import (
    Change,
    column,
    config,
    each,
    put,
    rows,
    together,
    with_neurons,
)
from tests.lab_files import Cell

REL, SYN, VES = "neuron_relation", "synapse", "vesicle"


def decimal(key: str) -> str:
    return f"{key}.0"


def quoted(key: str) -> str:
    return f'"{key}"'


def padded(key: str) -> str:
    return key.zfill(10)


def long(key: str) -> str:
    """An id as long as FlyWire's root ids are."""
    return f"720575940{int(key) % 10**9:09d}"


def through_a_float(key: str) -> str:
    return str(int(float(key)))


def shortened(key: str) -> str:
    return f"{float(key):.5E}"


def as_excel_keeps(key: str) -> str:
    return key[:15] + "0" * len(key[15:])


def as_number(key: str) -> Cell:
    return int(key) if len(key) <= 15 else float(as_excel_keeps(key))


def in_cp1252(key: str) -> str:
    return key.encode().decode("cp1252")


def both_ends(function: Callable[[str], Cell]) -> Change:
    return together(each(REL, "pre_id", function), each(REL, "post_id", function))


def everywhere(function: Callable[[str], Cell]) -> Change:
    """The ids of the larva's neurons and of the ends of its connections."""
    return together(each("neuron", "cid", function), both_ends(function))


def in_hemibrain(function: Callable[[str], Cell]) -> Change:
    return together(each("neuron", "cid", function), each(SYN, "parent_id", function))


def _without_neuron(key: str) -> Change:
    return rows("neuron", lambda body: [row for row in body if row[0] != key])


LONG_LARVA, LONG_HEMIBRAIN = everywhere(long), in_hemibrain(long)


def _accented(form: Literal["NFC", "NFD"]) -> Callable[[str], str]:
    return lambda key: unicodedata.normalize(form, f"célula-{key}")


NUMBERS = (
    wrong(
        "the synapses name their neurons as 722817260.0",
        "hemibrain",
        each(SYN, "parent_id", decimal),
        finds("SYN-REL-001", SYN, "parent_id", 2, 200, "decimal|1.0"),
    ),
    wrong(
        "the neurons have 29.0 and the connections 29",
        "larva",
        each("neuron", "cid", decimal),
        finds("SYN-REL-002", REL, "pre_id", 2, 634, "decimal|1.0"),
        finds("SYN-REL-002", REL, "post_id", 2, 634, "decimal|1.0"),
    ),
    wrong(
        "the neurons' ids have leading zeros and a spreadsheet took them from the connections",
        "larva",
        each("neuron", "cid", padded),
        finds("SYN-REL-002", REL, "pre_id", 2, 634, "zero"),
        finds("SYN-REL-002", REL, "post_id", 2, 634, "zero"),
    ),
    wrong(
        "the connections' ids group thousands: 3,299,214",
        "larva",
        each(REL, "post_id", lambda key: f"{int(key):,}"),
        finds("SYN-REL-002", REL, "post_id", 2, 631, "thousand|group"),
    ),
)

WRITING = (
    wrong(
        "somebody typed the senders in small letters",
        "worm",
        each(REL, "pre_id", str.lower),
        finds("SYN-REL-002", REL, "pre_id", 2, 858, "capital|case"),
    ),
    wrong(
        "an exporter kept the quotation marks inside the values",
        "larva",
        each(REL, "pre_id", quoted),
        finds("SYN-REL-002", REL, "pre_id", 2, 634, "quot"),
    ),
    wrong(
        'the ids were protected for Excel as formulas of text: ="29"',
        "larva",
        each(REL, "pre_id", lambda key: f'="{key}"'),
        finds("SYN-REL-002", REL, "pre_id", 2, 634, "quot|formula"),
    ),
    wrong(
        "a zero-width space inside ids that were copied from a web page",
        "larva",
        each(REL, "post_id", lambda key: f"{key[:3]}\u200b{key[3:]}"),
        finds("SYN-REL-002", REL, "post_id", 2, 631, "cannot be seen|invisible"),
    ),
    wrong(
        "no-break spaces where the neurons' names have plain ones",
        "larva",
        together(
            everywhere(lambda key: f"cell {key}"), both_ends(lambda key: key.replace(" ", "\u00a0"))
        ),
        finds("SYN-REL-002", REL, "pre_id", 2, 634, "space|blank"),
        finds("SYN-REL-002", REL, "post_id", 2, 634, "space|blank"),
    ),
    wrong(
        "a Mac wrote the accents of the connections' names apart from their letters",
        "larva",
        together(
            everywhere(_accented("NFC")), both_ends(lambda key: unicodedata.normalize("NFD", key))
        ),
        finds("SYN-REL-002", REL, "pre_id", 2, 634, "unicode"),
        finds("SYN-REL-002", REL, "post_id", 2, 634, "unicode"),
    ),
    wrong(
        "a Cyrillic letter that looks like a Latin one",
        "worm",
        put(REL, "pre_id", 2, "\u0410DAL"),
        finds("SYN-REL-002", REL, "pre_id", 2, 1),
    ),
)

DAMAGED = (
    wrong(
        "the parents' ids went through a double and lost their last digits",
        "hemibrain",
        together(LONG_HEMIBRAIN, each(SYN, "parent_id", through_a_float)),
        finds("SYN-REL-001", SYN, "parent_id", 2, 200, "float|double|2^53"),
    ),
    wrong(
        "MATLAB wrote the senders in short scientific form",
        "larva",
        together(LONG_LARVA, each(REL, "pre_id", shortened)),
        finds("SYN-ID-003", REL, "pre_id", 2, 634, "text"),
        also={"SYN-REL-006": "six digits tell no pair apart"},
    ),
    wrong(
        "the neurons are text and Excel made zeros of the connections' last three digits",
        "larva",
        together(LONG_LARVA, each(REL, "post_id", as_excel_keeps)),
        finds("SYN-REL-002", REL, "post_id", 2, 634, "zeros|spreadsheet|digits"),
        also={"SYN-REL-006": "fifteen digits do not tell all pairs apart"},
    ),
    wrong(
        "R left the L of long integers on the neurons' ids",
        "hemibrain",
        each("neuron", "cid", lambda key: f"{key}L"),
        finds("SYN-REL-001", SYN, "parent_id", 2, 200, "two ways", "L'"),
    ),
    wrong(
        "R wrote a round id of a neuron as 3e5, and the synapses name it in full",
        "hemibrain",
        together(
            each("neuron", "cid", lambda key: "3e5" if key == "754534424" else key),
            each(SYN, "parent_id", lambda key: "300000" if key == "754534424" else key),
        ),
        finds("SYN-REL-001", SYN, "parent_id", 42, 40, "two ways", "'3e5'"),
    ),
    wrong(
        "the connections were read as cp1252 and saved as UTF-8",
        "larva",
        together(everywhere(lambda key: f"Zelle für {key}"), both_ends(in_cp1252)),
        finds("SYN-REL-002", REL, "pre_id", 2, 634, "wrong encoding", "'Zelle für 29'"),
        finds("SYN-REL-002", REL, "post_id", 2, 634, "wrong encoding"),
    ),
    wrong(
        "one synapse of another release: its neuron's id differs in the last digits, all others"
        " kept theirs",
        "hemibrain",
        together(LONG_HEMIBRAIN, put(SYN, "parent_id", 5, through_a_float(long("722817260")))),
        finds("SYN-REL-001", SYN, "parent_id", 5, 1, "Add the missing rows"),
    ),
    wrong(
        "a spreadsheet made a date of a cell's name: MAR1 became 1-Mar",
        "worm",
        together(
            *(
                each(table, name, lambda key: "MAR1" if key == "ADAL" else key)
                for table, name in (("neuron", "cid"), (REL, "pre_id"), (REL, "post_id"))
            ),
            each(REL, "pre_id", lambda key: "1-Mar" if key == "MAR1" else key),
        ),
        finds("SYN-REL-002", REL, "pre_id", 2, 12, "date"),
    ),
)

ELSEWHERE = (
    wrong(
        "one neuron is missing: its synapses have no parent",
        "hemibrain",
        _without_neuron("754534424"),
        finds("SYN-REL-001", SYN, "parent_id", 42, 40, "754534424", "add"),
    ),
    wrong(
        "the synapses come from another release, in which every body has a new number",
        "hemibrain",
        each(SYN, "parent_id", lambda key: str(int(key) + 5_000_000_000)),
        finds("SYN-REL-001", SYN, "parent_id", 2, 200, "release|version|file"),
    ),
    wrong(
        "the config says that vesicles name axons, and they name neurons",
        "guide",
        together(
            with_neurons, each(VES, "parent_id", lambda key: f"N{key}"), config(VES, parent="axon")
        ),
        finds("SYN-REL-001", VES, "parent_id", 2, 8, "neuron", setting="parent: neuron"),
    ),
    wrong(
        "orphans wrote 0 for vesicles outside every axon",
        "guide",
        put(VES, "parent_id", (8, 9), "0"),
        finds("SYN-REL-001", VES, "parent_id", 8, 2, "there is none", "empty"),
    ),
    wrong(
        "-1 for no axon, a true -1 in a place, and a column without any value",
        "guide",
        together(
            put(VES, "parent_id", (8, 9), "-1"),
            put(VES, "centroid_x", 2, "-1"),
            column(VES, "mesh_volume", ""),
        ),
        finds("SYN-REL-001", VES, "parent_id", 8, 2, "would empty 1 cell of other columns"),
    ),
    wrong(
        "CAVE's -1 for a connection without receiver",
        "larva",
        put(REL, "post_id", (10, 20, 30), "-1"),
        finds(
            "SYN-REL-002",
            REL,
            "post_id",
            10,
            3,
            "there is none|no value|missing",
            setting="missing",
        ),
    ),
)

CASES: tuple[Case, ...] = (*NUMBERS, *WRITING, *DAMAGED, *ELSEWHERE)
