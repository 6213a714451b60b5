"""Real files as they were found, which nobody had to change to make them wrong.

Belongs here: the originals and the dirty tables of the sets. Does not: mistakes that were made on
purpose.
"""

from __future__ import annotations

from tests.acceptance.corpus.case import Case, Expected, finds, wrong
from tests.lab_files import Lab

NEU, REL, SYN, VES = "neuron", "neuron_relation", "synapse", "vesicle"


def _untouched(lab: Lab) -> None:
    """Nothing is changed."""


def _found(name: str, real: str, *expected: Expected, **more: dict[str, str]) -> Case:
    return wrong(name, real, _untouched, *expected, **more)


CASES: tuple[Case, ...] = (
    _found(
        "the hemibrain's synapse files put together as they are",
        "naive",
        finds("SYN-COL-001", SYN, "type", None, 1),
        finds("SYN-COL-001", SYN, "roi", None, 1),
        finds("SYN-ID-002", SYN, "cid", 3138, 11_700, "3,136 of 14,836", "parent"),
        finds("SYN-UNIT-004", SYN, None, None, None, "voxel"),
    ),
    _found(
        "five files whose keys start again in each",
        "five_files",
        finds("SYN-ID-002", SYN, "connector_id", None, 11_700, "restart"),
    ),
    _found(
        "connections to muscles, listed from both sides",
        "muscles",
        finds(
            "SYN-ID-002", REL, "cid", 2115, 38, "3 of them are copies of whole rows and 35 differ"
        ),
        finds("SYN-REL-002", REL, "post_id", None, 153, "NMJ"),
        finds("SYN-REL-002", REL, "pre_id", None, 1, "VC6"),
        finds(
            "SYN-REL-006",
            REL,
            "post_id",
            None,
            1_725,
            "4,692 of 6,417",
            setting="combine: {connection_score: sum}",
        ),
    ),
    _found(
        "a workbook of three sheets",
        "three_sheets",
        finds(
            "SYN-READ-007",
            NEU,
            None,
            None,
            3,
            "Connectome",
            "NeuronsToMuscle",
            "Sensory",
            setting="sheet",
        ),
    ),
    _found(
        "a released edge list without header",
        "edge_list",
        finds("SYN-READ-006", REL, None, None, 1, "header_row: null", "names", "3 columns"),
    ),
    _found(
        "skeletons without samples, without root, in pieces and with a doublet",
        "odd_skeletons",
        finds("SYN-PATH-004", NEU, "swc_path", 2, 1, "no sample"),
        finds("SYN-PATH-004", NEU, "swc_path", 5, 1, "line 3", "root"),
        finds("SYN-PATH-005", NEU, "swc_path", 8, 1, "2 roots"),
        finds("SYN-PATH-006", NEU, "swc_path", 4, 1, "line 56"),
    ),
    _found(
        "vesicles of which nobody knows the terminal",
        "no_parent",
        finds("SYN-INT-003", VES, None, None, 1, "parents"),
    ),
    _found(
        "vesicles that are places and nothing else",
        "coordinates",
        finds("SYN-COL-002", VES, "cid", None, 1),
    ),
    _found(
        "neurons as published, under the authors' own names of columns",
        "published_names",
        finds("SYN-READ-005", NEU, None, None, 1),
        finds("SYN-COL-002", NEU, "cid", None, 1),
        finds("SYN-COL-001", NEU, "type", None, 1, "neuron_type"),
        also={"SYN-COL-001": "each of the authors' other columns is unknown to SynDB"},
    ),
)
