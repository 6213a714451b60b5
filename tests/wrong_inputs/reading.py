"""Wrong inputs for the rules on files and their columns.

Belongs here: one input for each SYN-READ and SYN-COL rule. Does not: running them.
"""

from __future__ import annotations

import gzip

from tests.lab_files import Formula
from tests.wrong_inputs.wrong_input import Workbook, WrongInput

_NEURONS = "cid,cable_length\nn1,52000\nn2,61500\n"
_CORRECTION = "file,line,column,was,now\nneuron.csv,2,cable_length,-52000,52000\n"

READING = (
    WrongInput(
        "SYN-READ-001",
        "The config names `neurons.csv`; the file in the folder is `neuron.csv`.",
        {"neuron.csv": _NEURONS},
        tables={"neuron": "neurons.csv"},
        first="neurons.csv",
        fixed_by=1,
    ),
    WrongInput(
        "SYN-READ-002",
        "A comma inside a value in line 3, and a line 5 that broke off.",
        {
            "neuron.csv": (
                "cid,neuron_type,cable_length\nn1,stellate,52000\nn2,basket,"
                " large,61500\nn3,stellate,48200\nn4,bas\n"
            )
        },
        count=2,
        first="neuron.csv, row 3: 'n2,basket, large,61500'",
    ),
    WrongInput(
        "SYN-READ-003",
        "Keys with an ü, saved by an older program: one byte that UTF-8 does not know.",
        {"neuron.csv": "cid,cable_length\nM1,52000\nM\u00fc2,61500\n".encode("cp1252")},
        first="neuron.csv, row 3: 'M\ufffd2,61500'",
        fixed_by=1,
    ),
    WrongInput(
        "SYN-READ-004",
        "Two columns have one name.",
        {"neuron.csv": "cid,cable_length,cable_length\nn1,52000,51874.2\nn2,61500,61320.9\n"},
        count=2,
        first="neuron.csv, row 1, column cable_length",
        fixed_by=1,
    ),
    WrongInput(
        "SYN-READ-005",
        "The third column has remarks and no name.",
        {"neuron.csv": "cid,cable_length,\nn1,52000,checked\nn2,61500,\n"},
        first="neuron.csv, row 1",
        fixed_by=1,
    ),
    WrongInput(
        "SYN-READ-006",
        "The file begins with its first neuron.",
        {"neuron.csv": "n1,52000\nn2,61500\n"},
        first="neuron.csv, row 1",
        fixed_by=2,
    ),
    WrongInput(
        "SYN-READ-007",
        "A workbook of two sheets, and a config that does not say which.",
        {
            "neuron.xlsx": Workbook(
                {
                    "Cells": [["cid", "cable_length"], ["n1", 52000]],
                    "Notes": [["measured in spring"]],
                }
            )
        },
        count=2,
        first="neuron.xlsx",
        fixed_by=1,
    ),
    WrongInput(
        "SYN-READ-008",
        "The first row has one title over two columns, so B1 and C1 are one cell.",
        {
            "neuron.xlsx": Workbook(
                {
                    "Cells": [
                        ["Cell", "Measured", ""],
                        ["cid", "cable_length", "voxel_volume"],
                        ["n1", 52000, 31_000_000_000],
                    ]
                },
                ("B1:C1",),
            )
        },
        first="neuron.xlsx, sheet Cells, row 1",
        fixed_by=1,
    ),
    WrongInput(
        "SYN-READ-009",
        "The config asks for a sheet that the workbook does not have.",
        {"neuron.xlsx": Workbook({"Cells": [["cid", "cable_length"], ["n1", 52000]]})},
        tables={"neuron": {"file": "neuron.xlsx", "sheet": "Cell"}},
        first="neuron.xlsx",
        fixed_by=1,
    ),
    WrongInput(
        "SYN-READ-010",
        "A formula divided by an empty cell.",
        {
            "neuron.xlsx": Workbook(
                {
                    "Cells": [
                        ["cid", "cable_length"],
                        ["n1", 52000],
                        ["n2", Formula("=C3/D3", "#DIV/0!")],
                    ]
                }
            )
        },
        first="neuron.xlsx, sheet Cells, row 3, column cable_length: '#DIV/0!'",
        fixed_by=1,
    ),
    WrongInput(
        "SYN-READ-011",
        "A blank line between two groups of neurons.",
        {"neuron.csv": "cid,cable_length\nn1,52000\n\nn2,61500\n"},
        first="neuron.csv, row 3",
    ),
    WrongInput(
        "SYN-READ-012",
        "Two files of one table; the second calls a column otherwise.",
        {"neuron_1.csv": _NEURONS, "neuron_2.csv": "cid,length\nn3,48200\n"},
        tables={"neuron": "neuron_*.csv"},
        first="neuron_2.csv, row 1",
    ),
    WrongInput(
        "SYN-READ-013",
        "The export stopped after the header.",
        {"neuron.csv": "cid,cable_length\n"},
        first="neuron.csv",
    ),
    WrongInput(
        "SYN-READ-014",
        "A workbook that was renamed to `neuron.csv`.",
        {"neuron.csv": Workbook({"Cells": [["cid", "cable_length"], ["n1", 52000]]})},
        first="neuron.csv",
    ),
    WrongInput(
        "SYN-READ-015",
        "A quotation mark that opens in line 3 and never closes.",
        {"neuron.csv": 'cid,neuron_type\nn1,"stellate"\nn2,"basket\nn3,stellate\n'},
        first="neuron.csv, row 3: 'n2,\"basket'",
    ),
    WrongInput(
        "SYN-READ-016",
        "A script wrote the formula; no spreadsheet program has ever worked it out.",
        {
            "neuron.xlsx": Workbook(
                {"Cells": [["cid", "cable_length"], ["n1", 52000], ["n2", Formula("=B2+9500", "")]]}
            )
        },
        first="neuron.xlsx, sheet Cells, row 3, column cable_length: '=B2+9500'",
    ),
    WrongInput(
        "SYN-READ-017",
        "The units are in a row of their own.",
        {"neuron.csv": "cid,cable_length,mesh_volume\n,um,um3\nn1,52.0,311\nn2,61.5,402\n"},
        first="neuron.csv, row 2: ',um,um3'",
    ),
    WrongInput(
        "SYN-READ-018",
        "A copy that broke off in the middle of line 4.",
        {"neuron.csv": "cid,cable_length,neuron_type\nn1,52000,stellate\nn2,61500,basket\nn3,482"},
        first="neuron.csv, row 4: 'n3,482'",
    ),
    WrongInput(
        "SYN-READ-019",
        "A file of 20 kB that is made of a thousand compressed parts with nothing in them.",
        {
            "neuron.csv.gz": (
                gzip.compress(b"cid,cable_length\n", mtime=0) + gzip.compress(b"", mtime=0) * 1_001
            )
        },
        tables={"neuron": "neuron.csv.gz"},
        first="neuron.csv.gz",
        unseen=frozenset({"neuron.csv.gz"}),
    ),
    WrongInput(
        "SYN-READ-020",
        "A device was named to get an empty table.",
        {},
        tables={"neuron": "/dev/null"},
        first="/dev/null",
    ),
    WrongInput(
        "SYN-READ-021",
        "A table of another lab.",
        {},
        tables={"neuron": "/data/physics/neuron.csv"},
        first="/data/physics/neuron.csv",
        data_folders=("/data/anatomy",),
    ),
    WrongInput(
        "SYN-READ-022",
        "Two neurons are of one type, and the type is in one merged cell: C2 and C3.",
        {
            "neuron.xlsx": Workbook(
                {
                    "Cells": [
                        ["cid", "cable_length", "neuron_type"],
                        ["n1", 52000, "stellate"],
                        ["n2", 61500, ""],
                    ]
                },
                ("C2:C3",),
            )
        },
        first="neuron.xlsx, sheet Cells, row 2, column neuron_type: 'stellate'",
    ),
    WrongInput(
        "SYN-READ-023",
        "A Fiji table of results, in which Summarize was chosen.",
        {"neuron.csv": " ,Label,Length\n1,cell1,52000\n2,cell2,61500\n3,Mean,56750\n4,SD,6718\n"},
        tables={
            "neuron": {
                "file": "neuron.csv",
                "columns": {"": "cid", "Length": "cable_length"},
                "ignore": ["Label"],
            }
        },
        count=2,
        first="neuron.csv, row 4, column Label: 'Mean'",
    ),
    WrongInput(
        "SYN-READ-024",
        "The sign of n1's length was corrected; then the file was sorted the other way round.",
        {
            "neuron.csv": "cid,cable_length\nn2,61500\nn1,52000\n",
            "corrections/neuron.csv": _CORRECTION,
        },
        first="neuron.csv, row 2, column cable_length: '-52000'",
    ),
    WrongInput(
        "SYN-READ-025",
        "A length was written with the wrong sign, and a person corrected it.",
        {
            "neuron.csv": "cid,cable_length\nn1,-52000\nn2,61500\n",
            "corrections/neuron.csv": _CORRECTION,
        },
        first="neuron.csv, row 2, column cable_length: '-52000'",
    ),
)

COLUMNS = (
    WrongInput(
        "SYN-COL-001",
        "Two letters are swapped in a column's name.",
        {"neuron.csv": "cid,cable_lenght\nn1,52000\nn2,61500\n"},
        first="neuron.csv, row 1, column cable_lenght",
        fixed_by=1,
    ),
    WrongInput(
        "SYN-COL-002",
        "A list of connections that says only where each begins.",
        {"neuron.csv": _NEURONS, "edges.csv": "pre_synapse_id,connection_score\nn1,12\nn2,3\n"},
        tables={"neuron": "neuron.csv", "neuron_relation": "edges.csv"},
        first="edges.csv, row 1",
    ),
    WrongInput(
        "SYN-COL-003",
        "A table that was once downloaded from SynDB still has SynDB's own column.",
        {"neuron.csv": "cid,cable_length,dataset_id\nn1,52000,01939c0e\nn2,61500,01939c0e\n"},
        first="neuron.csv, row 1, column dataset_id",
        fixed_by=1,
    ),
    WrongInput(
        "SYN-COL-004",
        "Synapses with the place of each.",
        {
            "neuron.csv": _NEURONS,
            "synapse.csv": (
                "cid,pre_synapse_id,post_synapse_id,centroid_x,centroid_y,centroid_z\ns1,n1,n2,412.5,98.0,1210.0\n"
            ),
        },
        count=3,
        first="synapse.csv, row 2, column centroid_x",
    ),
    WrongInput(
        "SYN-COL-005",
        "`pre_id` is an older name of SynDB for `pre_synapse_id`, and the file has both.",
        {"neuron.csv": _NEURONS, "edges.csv": "pre_id,pre_synapse_id,post_synapse_id\nn1,n1,n2\n"},
        tables={"neuron": "neuron.csv", "neuron_relation": "edges.csv"},
        first="edges.csv, row 1, column pre_synapse_id",
        fixed_by=1,
    ),
    WrongInput(
        "SYN-COL-006",
        "The config renames `length`; the file has no such column any more.",
        {"neuron.csv": _NEURONS},
        tables={"neuron": {"file": "neuron.csv", "columns": {"length": "cable_length"}}},
        first="neuron.csv, row 1",
    ),
    WrongInput(
        "SYN-COL-007",
        "The lines of `axon` were copied for `dendrite`, and the file was not changed.",
        {
            "neuron.csv": _NEURONS,
            "axon.csv": "cid,parent_id,voxel_volume\na1,n1,505262223\na2,n2,491003871\n",
        },
        tables={"neuron": "neuron.csv", "dendrite": "axon.csv", "axon": "axon.csv"},
        first="axon.csv",
    ),
    WrongInput(
        "SYN-COL-008",
        "Neurons with their class, and with the volume that the mesh encloses.",
        {
            "neuron.csv": "cid,cable_length,cell_class,volume\n"
            "n1,52000,sensory,1.1e9\nn2,61500,motor,1.3e9\n"
        },
        tables={"neuron": "neuron.csv"},
        first="neuron.csv, row 1, column cell_class",
        count=2,
    ),
)
