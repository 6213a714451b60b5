"""Wrong inputs for the rules on keys, relations and the dataset as a whole.

Belongs here: one input for each SYN-ID, SYN-REL and SYN-INT rule. Does not: running them.
"""

from __future__ import annotations

from datetime import date

from tests.wrong_inputs.wrong_input import Workbook, WrongInput

_NEURONS = "cid,cable_length\nn1,52000\nn2,61500\n"
_AXONS = "cid,parent_id\na1,n1\na2,n2\n"

KEYS = (
    WrongInput(
        "SYN-ID-001",
        "A row without a key.",
        {"neuron.csv": "cid,cable_length\nn1,52000\n,61500\n"},
        first="neuron.csv, row 3, column cid",
    ),
    WrongInput(
        "SYN-ID-002",
        "The numbering starts again for every neuron.",
        {"neuron.csv": _NEURONS, "vesicle.csv": "cid,parent_id\n0,n1\n1,n1\n0,n2\n1,n2\n"},
        count=2,
        first="vesicle.csv, row 4, column cid: '0'",
    ),
    WrongInput(
        "SYN-ID-003",
        "A spreadsheet showed the ids in short form and exported what it showed.",
        {"neuron.csv": "cid,cable_length\n8.64691E+17,52000\n8.64692E+17,61500\n"},
        count=2,
        first="neuron.csv, row 2, column cid: '8.64691E+17'",
    ),
    WrongInput(
        "SYN-ID-004",
        "A blank in front of a key.",
        {"neuron.csv": "cid,cable_length\nn1,52000\n n2,61500\n"},
        first="neuron.csv, row 3, column cid: ' n2'",
    ),
    WrongInput(
        "SYN-ID-005",
        "Ids of eighteen digits, all of which end in zeros.",
        {
            "neuron.csv": (
                "cid,cable_length\n864691135571546000,52000\n864691135571547000,61500\n864691135573547000,48200\n"
            )
        },
        count=3,
        first="neuron.csv, row 2, column cid: '864691135571546000'",
    ),
    WrongInput(
        "SYN-ID-006",
        "The key MAR-3 was typed, and the spreadsheet turned it into the third of March.",
        {
            "neuron.xlsx": Workbook(
                {"Cells": [["cid", "cable_length"], ["DEN-3", 52000], [date(2024, 3, 3), 61500]]}
            )
        },
        first="neuron.xlsx, sheet Cells, row 3, column cid: '2024-03-03'",
    ),
    WrongInput(
        "SYN-ID-007",
        "Two neurons that have not been identified yet.",
        {"neuron.csv": "cid,cable_length\nn1,52000\nunknown,61500\nunknown,48200\n"},
        count=2,
        first="neuron.csv, row 3, column cid: 'unknown'",
    ),
    WrongInput(
        "SYN-ID-008",
        "A script that keeps zeros in a spreadsheet wrote its keys as formulas.",
        {"neuron.csv": 'cid,cable_length\n"=""0001""",52000\n"=""0002""",61500\n'},
        count=2,
        first="neuron.csv, row 2, column cid: '=\"0001\"'",
    ),
)

RELATIONS = (
    WrongInput(
        "SYN-REL-001",
        "The second axon belongs to a neuron that the neurons' table does not have.",
        {"neuron.csv": _NEURONS, "axon.csv": "cid,parent_id\na1,n1\na2,n7\n"},
        first="axon.csv, row 3, column parent_id: 'n7'",
    ),
    WrongInput(
        "SYN-REL-002",
        "A connection to a muscle, which is not a row of the neurons' table.",
        {"neuron.csv": _NEURONS, "edges.csv": "pre_synapse_id,post_synapse_id\nn1,n2\nn2,muscle\n"},
        tables={"neuron": "neuron.csv", "neuron_relation": "edges.csv"},
        first="edges.csv, row 3, column post_synapse_id: 'muscle'",
    ),
    WrongInput(
        "SYN-REL-003",
        "An axon that names no neuron.",
        {"neuron.csv": _NEURONS, "axon.csv": "cid,parent_id\na1,n1\na2,\n"},
        first="axon.csv, row 3, column parent_id",
    ),
    WrongInput(
        "SYN-REL-004",
        "Neurons and axons are both numbered 1 and 2, and a vesicle may belong to either.",
        {
            "neuron.csv": "cid\n1\n2\n",
            "axon.csv": "cid,parent_id\n1,1\n2,2\n",
            "vesicle.csv": "cid,parent_id\nv1,1\nv2,2\n",
        },
        first="vesicle.csv, row 2, column parent_id: '1'",
        fixed_by=1,
    ),
    WrongInput(
        "SYN-REL-005",
        "Terminals that name their synapses, in a dataset without a table of synapses.",
        {
            "neuron.csv": _NEURONS,
            "axon.csv": _AXONS,
            "terminal.csv": "cid,parent_id,forms_synapse_with\nt1,a1,s1\nt2,a2,s2\n",
        },
        tables={
            "neuron": "neuron.csv",
            "axon": "axon.csv",
            "pre_synaptic_terminal": "terminal.csv",
        },
        first="terminal.csv, row 2, column forms_synapse_with: 's1'",
        fixed_by=2,
    ),
    WrongInput(
        "SYN-REL-006",
        "A row for each synapse; n1 and n2 have two.",
        {
            "neuron.csv": _NEURONS,
            "edges.csv": (
                "pre_synapse_id,post_synapse_id,connection_score\nn1,n2,12\nn2,n1,3\nn1,n2,5\n"
            ),
        },
        tables={"neuron": "neuron.csv", "neuron_relation": "edges.csv"},
        first="edges.csv, row 4, column post_synapse_id: 'n1 -> n2'",
        fixed_by=1,
    ),
    WrongInput(
        "SYN-REL-007",
        "A connection that leads nowhere.",
        {"neuron.csv": _NEURONS, "edges.csv": "pre_synapse_id,post_synapse_id\nn1,n2\nn2,\n"},
        tables={"neuron": "neuron.csv", "neuron_relation": "edges.csv"},
        first="edges.csv, row 3, column post_synapse_id",
    ),
    WrongInput(
        "SYN-REL-008",
        "Terminal t2 is on axon a2, which belongs to n2, and says n1.",
        {
            "neuron.csv": _NEURONS,
            "axon.csv": _AXONS,
            "terminal.csv": "cid,parent_id,neuron_id\nt1,a1,n1\nt2,a2,n1\n",
        },
        tables={
            "neuron": "neuron.csv",
            "axon": "axon.csv",
            "pre_synaptic_terminal": "terminal.csv",
        },
        first="terminal.csv, row 3, column neuron_id: 'n1'",
        fixed_by=1,
    ),
    WrongInput(
        "SYN-REL-009",
        "A code from an earlier SynDB.",
        {"neuron.csv": _NEURONS, "axon.csv": "cid,parent_id,parent_enum\na1,n1,7\na2,n2,7\n"},
        count=2,
        first="axon.csv, row 2, column parent_enum: '7'",
        fixed_by=1,
    ),
    WrongInput(
        "SYN-REL-010",
        "The export called the axons' own keys parent_id, and their neurons cid.",
        {"neuron.csv": _NEURONS, "axon.csv": "cid,parent_id\nn1,a1\nn1,a2\nn2,a3\n"},
        count=3,
        first="axon.csv, row 2, column cid: 'n1'",
        fixed_by=1,
    ),
    WrongInput(
        "SYN-REL-011",
        "One of the three rows of n1 and n2 has no score, and the scores are added up.",
        {
            "neuron.csv": _NEURONS,
            "edges.csv": (
                "pre_synapse_id,post_synapse_id,connection_score\nn1,n2,12\nn1,n2,\nn1,n2,5\n"
            ),
        },
        tables={
            "neuron": "neuron.csv",
            "neuron_relation": {"file": "edges.csv", "combine": {"connection_score": "sum"}},
        },
        first="edges.csv, row 3, column connection_score",
    ),
)

WHOLE = (
    WrongInput(
        "SYN-INT-001",
        "Mitochondria that do not say where they lie.",
        {
            "neuron.csv": _NEURONS,
            "axon.csv": _AXONS,
            "mitochondria.csv": "cid,voxel_radius\nm1,250\nm2,310\n",
        },
        first="mitochondria.csv, row 2, column cid: 'm1'",
    ),
    WrongInput(
        "SYN-INT-002",
        "A synapse that names neither of its ends.",
        {
            "neuron.csv": _NEURONS,
            "synapse.csv": "cid,pre_synapse_id,post_synapse_id\ns1,n1,n2\ns2,,\n",
        },
        first="synapse.csv, row 3, column cid",
    ),
    WrongInput(
        "SYN-INT-003",
        "Mitochondria alone.",
        {"mitochondria.csv": "cid,voxel_radius\nm1,250\nm2,310\n"},
        first="mitochondria.csv, row 2, column cid: 'm1'",
    ),
    WrongInput(
        "SYN-INT-004",
        "Axon a2 says that it has three terminals; the terminals' table has one of it.",
        {
            "neuron.csv": _NEURONS,
            "axon.csv": "cid,parent_id,terminal_count\na1,n1,1\na2,n2,3\n",
            "terminal.csv": "cid,parent_id\nt1,a1\nt2,a2\n",
        },
        tables={
            "neuron": "neuron.csv",
            "axon": "axon.csv",
            "pre_synaptic_terminal": "terminal.csv",
        },
        first="axon.csv, row 3, column terminal_count: '3 declared, 1 found'",
        fixed_by=1,
    ),
    WrongInput(
        "SYN-INT-005",
        "The mitochondria of a1 sum up to 6e8 nm3; the axon says 9e8.",
        {
            "neuron.csv": _NEURONS,
            "axon.csv": "cid,parent_id,total_mitochondria_volume\na1,n1,9e8\n",
            "mitochondria.csv": "cid,parent_id,voxel_volume\nm1,a1,2.8e8\nm2,a1,3.2e8\n",
        },
        first="axon.csv, row 2, column total_mitochondria_volume: '9e8 declared, 6e+08 found'",
    ),
    WrongInput(
        "SYN-INT-007",
        "One of two neurons has an impossible length; its axon and the vesicles on it would go"
        " with it.",
        {
            "neuron.csv": "cid,cable_length\nn1,52000\nn2,-61500\n",
            "axon.csv": _AXONS,
            "vesicle.csv": "cid,parent_id\nv1,a1\nv2,a2\nv3,a2\n",
        },
        first="neuron.csv, row 3",
        also=("SYN-VAL-001",),
        config={"on_invalid": "quarantine"},
    ),
)
