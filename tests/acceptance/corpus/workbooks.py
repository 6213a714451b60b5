"""Workbooks and Parquet files: sheets, merged cells, formulas, damaged archives.

Belongs here: mistakes that only these formats can have. Does not: what may stand in a cell of any
format.
"""

from __future__ import annotations

import io
from typing import Any

import pyarrow
import xlsxwriter

from tests.acceptance.corpus.case import Case, finds, wrong
from tests.acceptance.corpus.changes import (
    Change,
    column,
    config,
    content,
    file,
    parquet,
    put,
    together,
)
from tests.lab_files import Formula, as_workbook

NEU, REL, SYN, VES = "neuron", "neuron_relation", "synapse", "vesicle"


def _book(table: str = NEU, **options: Any) -> Change:
    return file(table, f"{table}.xlsx", as_workbook(**options))


def _overwritten(written: bytes) -> bytes:
    """Some bytes in the middle are others, as a broken disk leaves them."""
    middle = len(written) // 2
    return written[:middle] + bytes(64) + written[middle + 64 :]


def _with_totals(rows: list[list[Any]]) -> bytes:
    """An .xlsx whose rows are a table of the sheet, its totals row switched on."""
    target = io.BytesIO()
    header, *body = rows
    with xlsxwriter.Workbook(target, {"in_memory": True}) as book:
        columns = [
            {"header": name, "total_function": "sum"}
            if name == "connection_score"
            else {"header": name}
            for name in header
        ]
        options = {
            "total_row": True,
            "columns": [{**columns[0], "total_string": "Total"}, *columns[1:]],
            "data": body,
        }
        book.add_worksheet("Sheet1").add_table(0, 0, len(rows), len(header) - 1, options)
    return target.getvalue()


SHEETS = (
    wrong(
        "the totals row of the table is switched on",
        "worm",
        file(REL, f"{REL}.xlsx", _with_totals),
        finds("SYN-READ-017", REL, None, 860, 1, "totals row"),
    ),
    wrong(
        "a second sheet of remarks, and no word about which",
        "worm",
        _book(NEU, sheet="Cells", others=("Remarks",)),
        finds("SYN-READ-007", NEU, None, None, 2, "Cells", "Remarks", setting="sheet: Cells"),
    ),
    wrong(
        "the config asks for a sheet of another name",
        "worm",
        config(NEU, sheet="Sheet 1"),
        finds("SYN-READ-009", NEU, None, None, 1, "Sheet1", setting="sheet: Sheet1"),
    ),
    wrong(
        "a title over two columns merges cells of the header",
        "worm",
        _book(REL, merged=("B1:C1",)),
        finds("SYN-READ-008", REL, None, None, 1, "B1:C1"),
    ),
    wrong(
        "senders are merged over their connections, so that all but the first are empty",
        "worm",
        together(_book(REL, merged=("B2:B14",)), put(REL, "pre_id", range(3, 15), None)),
        finds("SYN-READ-022", REL, "pre_id", 2, None, "merge"),
        also={"SYN-REL-007": "the merged cells hold no sender"},
    ),
    wrong(
        "a title and an empty row above the header",
        "worm",
        _book(REL, top=[["Connections of Witvliet 2020"], []]),
        finds("SYN-READ-006", REL, None, None, 1, "row 3", setting="header_row: 3"),
    ),
)

CELLS = (
    wrong(
        "a score was divided by an empty cell",
        "worm",
        put(REL, "connection_score", 20, Formula("=D19/E19", "#DIV/0!")),
        finds("SYN-READ-010", REL, "connection_score", 20, 1, "#DIV/0!"),
    ),
    wrong(
        "openpyxl wrote a formula that no spreadsheet ever worked out",
        "worm",
        put(REL, "connection_score", 5, Formula("=D4+1")),
        finds("SYN-READ-016", REL, "connection_score", 5, 1, "=D4+1"),
    ),
)

ARCHIVES = (
    wrong(
        "the workbook arrived by halves",
        "worm",
        content(REL, lambda written: written[: len(written) // 2]),
        finds("SYN-READ-018", REL, None, None, None, "workbook", "again"),
    ),
    wrong(
        "a workbook with damaged bytes inside",
        "worm",
        content(REL, _overwritten),
        finds("SYN-READ-014", REL, None, None, None, "save it again"),
    ),
    wrong(
        "a web page that the instrument calls .xls",
        "worm",
        together(
            file(NEU, "neuron.xls", as_workbook()),
            content(
                NEU,
                lambda written: (
                    b"<html><table><tr><td>cid</td></tr><tr><td>ADAL</td></tr></table></html>"
                ),
            ),
        ),
        finds("SYN-READ-014", NEU, None, None, None, "web page"),
    ),
    wrong(
        "the lock file of an open workbook",
        "worm",
        together(
            lambda lab: lab.beside.update({"~$neuron.xlsx": b"\x03ada" + bytes(161)}),
            config(NEU, file="*neuron.xlsx"),
        ),
        finds("SYN-READ-014", NEU, None, None, None, "lock|open"),
    ),
    wrong(
        "a Parquet file that is cut off",
        "hemibrain",
        together(parquet(SYN), content(SYN, lambda written: written[:-20])),
        finds("SYN-READ-018", SYN, None, None, None, "parquet", "again"),
    ),
    wrong(
        "pandas wrote its index into the Parquet file",
        "hemibrain",
        together(
            column(SYN, "__index_level_0__", lambda row: str(row["cid"]).partition(":")[2]),
            parquet(SYN, __index_level_0__=pyarrow.int64()),
        ),
        finds(
            "SYN-COL-001", SYN, "__index_level_0__", None, 1, setting="ignore: [__index_level_0__]"
        ),
    ),
)

CASES: tuple[Case, ...] = (*SHEETS, *CELLS, *ARCHIVES)
