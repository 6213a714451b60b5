"""Workbooks and Parquet files: sheets, merged cells, formulas, damaged archives.

Belongs here: mistakes that only these formats can have. Does not: what may stand in a cell of any
format.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable
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
    rows,
    together,
)
from tests.acceptance.corpus.lab import Formula, as_text, as_workbook

NEU, REL, SYN, VES = "neuron", "neuron_relation", "synapse", "vesicle"


def _book(table: str = NEU, **options: Any) -> Change:
    return file(table, f"{table}.xlsx", as_workbook(**options))


def _without_member(name: str) -> Callable[[bytes], bytes]:
    """An archive without its member `name`."""

    def apply(written: bytes) -> bytes:
        target = io.BytesIO()
        with zipfile.ZipFile(io.BytesIO(written)) as source, zipfile.ZipFile(target, "w") as sink:
            for member in source.namelist():
                if member != name:
                    sink.writestr(member, source.read(member))
        return target.getvalue()

    return apply


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
        "three sheets, of which one has the table's name",
        "worm",
        _book(REL, sheet="neuron_relation", others=("Legend", "Methods")),
        finds("SYN-READ-007", REL, None, None, 3, setting="sheet: neuron_relation"),
    ),
    wrong(
        "the config asks for a sheet of another name",
        "worm",
        config(NEU, sheet="Sheet 1"),
        finds("SYN-READ-009", NEU, None, None, 1, "Sheet1", setting="sheet: Sheet1"),
    ),
    wrong(
        "the sheet is empty",
        "worm",
        lambda lab: setattr(lab.tables[NEU], "rows", []),
        finds("SYN-READ-014", NEU, None, None, None, "empty"),
    ),
    wrong(
        "a title over two columns merges cells of the header",
        "worm",
        _book(REL, merged=("B1:C1",)),
        finds("SYN-READ-008", REL, None, None, 1, "B1:C1"),
    ),
    wrong(
        "a merged title above the header",
        "worm",
        _book(REL, merged=("A1:D1",), top=[["Connections of Witvliet 2020", None, None, None]]),
        finds("SYN-READ-008", REL, None, None, 1, "A1:D1", setting="header_row: 2"),
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
        "a look-up found nothing: #N/A for three senders",
        "worm",
        put(REL, "pre_id", (30, 31, 40), Formula("=VLOOKUP(A30,Cells!A:B,2,0)", "#N/A")),
        finds("SYN-READ-010", REL, "pre_id", 30, 3, "#N/A"),
        also={"SYN-REL-007": "the cells hold no sender"},
    ),
    wrong(
        "a column was deleted that a formula used: #REF!",
        "worm",
        put(REL, "connection_score", (2, 3), Formula("=#REF!*2", "#REF!")),
        finds("SYN-READ-010", REL, "connection_score", 2, 2, "#REF!"),
    ),
    wrong(
        "openpyxl wrote a formula that no spreadsheet ever worked out",
        "worm",
        put(REL, "connection_score", 5, Formula("=D4+1")),
        finds("SYN-READ-016", REL, "connection_score", 5, 1, "=D4+1"),
    ),
    wrong(
        "the keys are formulas without a result",
        "worm",
        put(NEU, "cid", 3, Formula('=CONCAT("AD","AR")')),
        finds("SYN-READ-016", NEU, "cid", 3, 1, "CONCAT"),
        also={"SYN-ID-001": "the cell holds no key", "SYN-REL-002": "the cell ADAR is missing"},
    ),
    wrong(
        "an empty row in the middle of a sheet",
        "worm",
        rows(NEU, lambda body: [*body[:20], [None], *body[20:]]),
        finds("SYN-READ-011", NEU, None, 22, 1),
    ),
    wrong(
        "remarks to the right of the table, in a column without a name",
        "worm",
        together(column(REL, "", None), put(REL, "", 12, "checked twice")),
        finds("SYN-READ-005", REL, None, None, 1, "5", setting="ignore"),
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
        "a workbook without its sheet's part",
        "worm",
        content(NEU, _without_member("xl/worksheets/sheet1.xml")),
        finds("SYN-READ-014", NEU),
    ),
    wrong(
        "a csv file called neuron.xlsx",
        "l1",
        file(NEU, "neuron.xlsx", as_text()),
        finds("SYN-READ-014", NEU, None, None, None, "text", ".csv"),
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
        "a Parquet file with damaged pages",
        "hemibrain",
        together(
            parquet(SYN), content(SYN, lambda written: written[:60] + bytes(400) + written[460:])
        ),
        finds("SYN-READ-014", SYN),
    ),
    wrong(
        "a csv file called synapse.parquet",
        "hemibrain",
        together(parquet(SYN), content(SYN, lambda _: b"cid,parent_id\n1,722817260\n")),
        finds("SYN-READ-014", SYN, None, None, None, "parquet"),
    ),
    wrong(
        "a pointer of Git LFS instead of the Parquet file",
        "hemibrain",
        together(
            parquet(SYN),
            content(
                SYN,
                lambda _: b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n",
            ),
        ),
        finds("SYN-READ-014", SYN, None, None, None, "lfs"),
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
