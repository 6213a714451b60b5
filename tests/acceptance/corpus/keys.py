"""A table's own keys: missing, repeated, damaged, made into dates.

Belongs here: mistakes in `cid` (SYN-ID rules). Does not: keys of other rows (`references.py`).
"""

from __future__ import annotations

from datetime import date

import pyarrow

from tests.acceptance.corpus.case import Case, finds, wrong
from tests.acceptance.corpus.changes import (
    column,
    config,
    content,
    each,
    file,
    parquet,
    put,
    rows,
    together,
    workbook,
)
from tests.acceptance.corpus.references import (
    LONG_HEMIBRAIN,
    LONG_LARVA,
    as_excel_keeps,
    as_number,
    everywhere,
    in_hemibrain,
    long,
    quoted,
    shortened,
    through_a_float,
)
from tests.lab_files import as_text

MISSING = (
    wrong(
        "two neurons without a key",
        "l1",
        put("neuron", "cid", (10, 500), ""),
        finds("SYN-ID-001", "neuron", "cid", 10, 2),
    ),
    wrong(
        "five neurons that nobody identified are all called unknown",
        "l1",
        put("neuron", "cid", range(30, 35), "unknown"),
        finds("SYN-ID-007", "neuron", "cid", 30, 5, "unknown"),
    ),
    wrong(
        "-1 stands for neurons without an id",
        "l1",
        put("neuron", "cid", (5, 6, 700), "-1"),
        finds("SYN-ID-007", "neuron", "cid", 5, 3, "-1"),
    ),
)

REPEATED = (
    wrong(
        "the table was appended to itself",
        "l1",
        rows("neuron", lambda body: [*body, *map(list, body)]),
        finds("SYN-ID-002", "neuron", "cid", 1053, 1051, "copies of whole rows"),
    ),
    wrong(
        "the numbering of synapses starts again for each neuron",
        "hemibrain",
        each("synapse", "cid", lambda key: key.partition(":")[2]),
        finds("SYN-ID-002", "synapse", "cid", 42, 160, "restart|parent"),
    ),
    wrong(
        "cell types stand where the keys should, and many neurons share one",
        "hemibrain",
        together(
            each("neuron", "cid", lambda key: "DA1_lPN"),
            each("synapse", "parent_id", lambda key: "DA1_lPN"),
        ),
        finds("SYN-ID-002", "neuron", "cid", 3, 4, "give each row a key of its own|own ids"),
    ),
    wrong(
        "two contacts of a connector differ in a column that is ignored",
        "hemibrain",
        together(
            column("synapse", "treenode", lambda row: "1"),
            rows("synapse", lambda body: [*body, [*body[0][:-1], "2"]]),
            config("synapse", ignore=["treenode"]),
        ),
        finds(
            "SYN-ID-002",
            "synapse",
            "cid",
            202,
            1,
            "equal to an earlier row in the columns that are read",
            "treenode",
        ),
    ),
    wrong(
        "two keys differ in a blank alone",
        "larva",
        put("neuron", "cid", 3, "29 "),
        finds("SYN-ID-002", "neuron", "cid", 3, 1),
        finds("SYN-ID-004", "neuron", "cid", 3, 1),
        also={"SYN-REL-002": "the key 37365 is gone, and connections name it"},
    ),
)

DAMAGED = (
    wrong(
        "Excel showed the neurons' ids as 7.20576E+17 and saved what it showed",
        "l1",
        each("neuron", "cid", lambda key: shortened(long(key))),
        finds("SYN-ID-003", "neuron", "cid", 2, 1051, "text"),
    ),
    wrong(
        "a German Excel saved them as 7,20576E+17",
        "l1",
        together(
            each("neuron", "cid", lambda key: shortened(long(key)).replace(".", ",")),
            file("neuron", "neuron.csv", as_text(";")),
        ),
        finds("SYN-ID-003", "neuron", "cid", 2, 1051, "text"),
    ),
    wrong(
        "pandas kept the neurons' ids as float64 in Parquet",
        "l1",
        together(each("neuron", "cid", long), parquet("neuron", cid=pyarrow.float64())),
        finds("SYN-ID-003", "neuron", "cid", 1, None, "text"),
    ),
    wrong(
        "a spreadsheet made zeros of the last digits of both files' ids",
        "hemibrain",
        together(LONG_HEMIBRAIN, in_hemibrain(as_excel_keeps)),
        finds("SYN-ID-005", "neuron", "cid", 2, 5, "spreadsheet"),
        finds("SYN-ID-005", "synapse", "parent_id", 2, 200, "spreadsheet"),
        also={"SYN-ID-002": "two of the five differ in the lost digits alone"},
    ),
    wrong(
        "a workbook holds half of the keys as numbers, after a filter was filled down",
        "l1",
        together(
            each("neuron", "cid", long),
            workbook("neuron"),
            each("neuron", "cid", as_number, range(2, 102)),
        ),
        finds("SYN-ID-003", "neuron", "cid", 2, 100, "text"),
    ),
)

ON_A_GRID = (
    wrong(
        "Julia printed the neurons' ids as 7.205759406e17",
        "l1",
        each("neuron", "cid", lambda key: repr(float(long(key))).replace("+", "")),
        finds("SYN-ID-003", "neuron", "cid", 2, 1051, "text"),
    ),
    wrong(
        "CAVE's ids of the synapses went through a spreadsheet",
        "hemibrain",
        column(
            "synapse",
            "cave_id",
            lambda row: shortened(f"7205759406{str(row['cid']).replace(':', '')[-8:]}"),
        ),
        finds("SYN-ID-003", "synapse", "cave_id", 2, 200, "text"),
    ),
    wrong(
        "the ids of all tables went through R's numbers and were printed in full",
        "larva",
        together(LONG_LARVA, everywhere(through_a_float)),
        finds("SYN-ID-005", "neuron", "cid", 2, 250, "multiples of 128", "R, MATLAB"),
        finds("SYN-ID-005", "neuron_relation", "pre_id", 2, 634, "multiples of 128"),
        finds("SYN-ID-005", "neuron_relation", "post_id", 2, 634, "multiples of 128"),
        also={
            "SYN-ID-002": "ids that differ in their last digits became equal",
            "SYN-REL-006": "and so did pairs",
        },
    ),
)

MARKED = (
    wrong(
        "all tables have quotation marks as part of their keys",
        "larva",
        everywhere(quoted),
        finds("SYN-ID-008", "neuron", "cid", 2, 250, "quotation marks"),
        finds("SYN-ID-008", "neuron_relation", "pre_id", 2, 634, "quotation marks"),
        finds("SYN-ID-008", "neuron_relation", "post_id", 2, 634, "quotation marks"),
    ),
    wrong(
        "one neuron is there with quotation marks and without",
        "l1",
        rows("neuron", lambda body: [*body, [quoted(str(body[0][0])), *body[0][1:]]]),
        finds("SYN-ID-002", "neuron", "cid", 1053, 1, "one key"),
        finds("SYN-ID-008", "neuron", "cid", 1053, 1, "quotation marks"),
    ),
    wrong(
        "a script wrote the keys as formulas, to keep their zeros in a spreadsheet",
        "hemibrain",
        in_hemibrain(lambda key: f'="{key}"'),
        finds("SYN-ID-008", "neuron", "cid", 2, 5, "formula"),
        finds("SYN-ID-008", "synapse", "parent_id", 2, 200, "formula"),
    ),
)

NOTHING = (
    wrong(
        "what lies outside of every segment is a neuron called 0",
        "larva",
        together(LONG_LARVA, everywhere(lambda key: "0" if key == long("29") else key)),
        finds("SYN-ID-007", "neuron", "cid", 2, 1, "'0'", "rows of neuron_relation"),
    ),
    wrong(
        "pandas wrote nan for the key of one row",
        "l1",
        put("neuron", "cid", 8, "nan"),
        finds("SYN-ID-007", "neuron", "cid", 8, 1, "nan"),
    ),
)

AROUND = (
    wrong(
        "a blank before every key",
        "l1",
        each("neuron", "cid", lambda key: f" {key}"),
        finds("SYN-ID-004", "neuron", "cid", 2, 1051),
    ),
)

DATES = (
    wrong(
        "Excel took the cell's name MAR3 for a day",
        "worm",
        put("neuron", "cid", 188, date(2026, 3, 3)),
        finds("SYN-ID-006", "neuron", "cid", 188, 1, "text"),
        also={"SYN-REL-002": "connections of the cell that was renamed name nobody"},
    ),
    wrong(
        "a csv file from Excel has keys such as 3-Mar",
        "l1",
        together(
            each("neuron", "cid", lambda key: f"{int(key) % 28 + 1}-Mar", (2, 3)),
            content("neuron", bytes),
        ),
        finds("SYN-ID-006", "neuron", "cid", 2, 2, "text"),
    ),
)

CASES: tuple[Case, ...] = (
    *MISSING,
    *REPEATED,
    *DAMAGED,
    *ON_A_GRID,
    *MARKED,
    *NOTHING,
    *AROUND,
    *DATES,
)
