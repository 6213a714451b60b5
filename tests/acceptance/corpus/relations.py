"""How tables hang together: swapped columns, missing ends, unclear targets, repeated pairs, tables
without relation.

Belongs here: mistakes under SYN-REL-003 to 010 and SYN-INT rules. Does not: keys that are written
otherwise (`references.py`).
"""

from __future__ import annotations

from tests.acceptance.corpus.case import Case, finds, wrong
from tests.acceptance.corpus.changes import (
    column,
    config,
    copied,
    each,
    exchanged,
    put,
    rows,
    together,
    unlisted,
    with_neurons,
    without,
)
from tests.lab_files import Lab

NEU, REL, SYN, VES, AXON, TERMINAL = (
    "neuron",
    "neuron_relation",
    "synapse",
    "vesicle",
    "axon",
    "pre_synaptic_terminal",
)


def _ends_of_synapses(lab: Lab) -> None:
    """Every connection of the worm becomes a synapse between a terminal of the sender and the
    receiver's neuron.
    """
    copied(TERMINAL, REL, {"cid": "cid", "parent_id": "pre_id"})(lab)
    each(TERMINAL, "cid", lambda key: f"t{key}")(lab)
    copied(SYN, REL, {"cid": "cid", "pre_synapse_id": "cid", "post_synapse_id": "post_id"})(lab)
    each(SYN, "pre_synapse_id", lambda key: f"t{key}")(lab)
    unlisted(REL)(lab)
    config(SYN, references={"pre_synapse_id": TERMINAL, "post_synapse_id": NEU})(lab)


SWAPPED = (
    wrong(
        "the vesicles' own keys and their parents are swapped",
        "terminal",
        exchanged(VES, "cid", "parent_id"),
        finds("SYN-REL-010", VES, None, None, None, "cid", "parent_id", "swap"),
    ),
    wrong(
        "terminals and neurons are swapped at the ends of the synapses",
        "worm",
        together(_ends_of_synapses, exchanged(SYN, "pre_synapse_id", "post_synapse_id")),
        finds("SYN-REL-010", SYN, None, None, None, "pre_synapse_id", "post_synapse_id", "swap"),
    ),
    wrong(
        "the score stands where the receiver should",
        "larva",
        exchanged(REL, "post_id", "connection_score"),
        finds("SYN-REL-010", REL, None, None, None, "post_id", "connection_score", "swap"),
    ),
)

MISSING = (
    wrong(
        "vesicles without a parent",
        "guide",
        put(VES, "parent_id", (4, 5), ""),
        finds("SYN-REL-003", VES, "parent_id", 4, 2),
    ),
    wrong(
        "connections that lead nowhere",
        "larva",
        put(REL, "post_id", (5, 6, 7), ""),
        finds("SYN-REL-007", REL, "post_id", 5, 3),
    ),
    wrong(
        "synapses without any end",
        "hemibrain",
        put(SYN, "parent_id", (2, 3), ""),
        finds("SYN-INT-002", SYN, "cid", 2, 2, "neuron"),
    ),
)

_NUMBERED_ALIKE = together(
    with_neurons,
    each(NEU, "cid", lambda key: key.removeprefix("N")),
    each(AXON, "parent_id", lambda key: key.removeprefix("N")),
)
"""Neurons 1 to 4 and axons 1, 2 and 4."""

UNCLEAR = (
    wrong(
        "one vesicle names an axon that there is not, and a neuron has its number",
        "guide",
        together(
            _NUMBERED_ALIKE, rows(NEU, lambda body: [*body, ["3"]]), put(VES, "parent_id", 9, "3")
        ),
        finds(
            "SYN-REL-004",
            VES,
            "parent_id",
            9,
            1,
            "all 8 rows",
            "axon those of 7",
            setting="parent: axon",
        ),
    ),
    wrong(
        "one end of the synapses is said to be axons, the other fits axons and neurons",
        "guide",
        together(
            _NUMBERED_ALIKE,
            copied(
                SYN,
                VES,
                {"cid": "cid", "pre_synapse_id": "parent_id", "post_synapse_id": "parent_id"},
            ),
            unlisted(VES),
            config(SYN, references={"post_synapse_id": AXON}),
            put(SYN, "pre_synapse_id", 4, "3"),
        ),
        finds("SYN-REL-004", SYN, "pre_synapse_id", 4, 1, "axon", "neuron", setting="references"),
    ),
    wrong(
        "axons are counted in every neuron, and vesicles give the number of the axon alone",
        "guide",
        together(_NUMBERED_ALIKE, config(AXON, key=["parent_id", "cid"])),
        finds(
            "SYN-REL-004",
            VES,
            "parent_id",
            None,
            1,
            "parent_id:cid",
            "1:1",
            "whole keys",
            setting="parent: axon",
        ),
    ),
    wrong(
        "a colon inside a part of the axons' keys is not marked where vesicles name them",
        "guide",
        together(
            with_neurons,
            each(AXON, "cid", lambda key: f"left:{key}"),
            config(AXON, key=["parent_id", "cid"]),
            each(VES, "parent_id", lambda key: f"N{key}:left:{key}"),
        ),
        finds("SYN-REL-001", VES, "parent_id", 2, 8, "backslash"),
    ),
    wrong(
        "half of the vesicles name axons, half name neurons",
        "guide",
        together(with_neurons, each(VES, "parent_id", lambda key: f"N{key}", range(2, 6))),
        finds("SYN-REL-001", VES, "parent_id", 2, 4, "neuron has it", "one table"),
    ),
    wrong(
        "connections without the table of their neurons",
        "worm",
        unlisted(NEU),
        finds("SYN-REL-005", REL, "pre_id", 2, 1, "Add the table of neuron"),
        finds("SYN-REL-005", REL, "post_id", 2, 1, "Add the table of neuron"),
    ),
    wrong(
        "terminals that name synapses, in a dataset without synapses",
        "terminal",
        column(TERMINAL, "forms_synapse_with", "s1"),
        finds(
            "SYN-REL-005",
            TERMINAL,
            "forms_synapse_with",
            None,
            1,
            "synapse",
            setting="ignore: [forms_synapse_with]",
        ),
    ),
    wrong(
        "the config makes dendrites the parents, which the dataset does not have",
        "guide",
        config(VES, parent="dendrite"),
        finds("SYN-REL-005", VES, "parent_id", None, 1, "dendrite", setting="parent: axon"),
    ),
)

PAIRS = (
    wrong(
        "a row for each kind of connection, so that pairs stand twice",
        "worm",
        config(REL, combine=None),
        finds(
            "SYN-REL-006",
            REL,
            "post_id",
            10,
            9,
            "849 of 858",
            setting="combine: {connection_score: sum}",
        ),
    ),
    wrong(
        "the worm's list of connections without its column of weights",
        "worm",
        together(without(REL, "connection_score"), config(REL, combine=None)),
        finds(
            "SYN-REL-006",
            REL,
            "post_id",
            10,
            9,
            "849 of 858",
            setting="combine: {connection_score: count}",
        ),
    ),
    wrong(
        "the weights are to be added up, and the file has none",
        "worm",
        without(REL, "connection_score"),
        finds(
            "SYN-COL-006",
            REL,
            None,
            None,
            1,
            "combine",
            setting="combine: {connection_score: count}",
        ),
    ),
    wrong(
        "one of two rows of a pair has no weight, and the weights are added up",
        "worm",
        put(REL, "connection_score", 10, ""),
        finds("SYN-REL-011", REL, "connection_score", 10, 1, "adds nothing"),
    ),
)

CONTRADICTIONS = (
    wrong(
        "two vesicles name another neuron than their axon's",
        "guide",
        together(
            with_neurons,
            column(VES, "neuron_id", lambda row: f"N{row['parent_id']}"),
            put(VES, "neuron_id", (2, 3), "N4"),
        ),
        finds("SYN-REL-008", VES, "neuron_id", 2, 2),
    ),
    wrong(
        "codes of the parents' table from an older SynDB",
        "guide",
        column(VES, "parent_enum", "3"),
        finds("SYN-REL-009", VES, "parent_enum", 2, 8, "leave"),
    ),
)

WHOLE = (
    wrong(
        "vesicles that do not say where they lie",
        "guide",
        without(VES, "parent_id"),
        finds("SYN-INT-001", VES, None, None, 1, "parent_id"),
    ),
    wrong(
        "synapses alone, whose ends name terminals and neurons of no table",
        "worm",
        together(_ends_of_synapses, unlisted(NEU), unlisted(TERMINAL), config(SYN, references={})),
        finds(
            "SYN-COL-004",
            SYN,
            None,
            None,
            None,
            "pre_synapse_id",
            "post_synapse_id",
            "does not have",
        ),
        also={"SYN-INT-003": "and so nothing says what the synapses are part of"},
    ),
)

LIMITS = (
    wrong(
        "wrong rows are to be quarantined, and a fifth of the synapses is wrong",
        "hemibrain",
        together(
            rows(NEU, lambda body: [row for row in body if row[0] != "754534424"]),
            lambda lab: lab.config.update(on_invalid="quarantine", max_rejected="0.5%"),
        ),
        finds("SYN-INT-007", SYN, None, None, 40, "SYN-REL-001", "20"),
        also={"SYN-REL-001": "it is what the rows would be quarantined for"},
    ),
)

CASES: tuple[Case, ...] = (*LIMITS, *SWAPPED, *MISSING, *UNCLEAR, *PAIRS, *CONTRADICTIONS, *WHOLE)
