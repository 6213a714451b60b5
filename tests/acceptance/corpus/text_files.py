"""Text files that are not what they seem: encodings, delimiters, quotation marks, headers, lines,
ends.

Belongs here: mistakes of csv, tsv and txt files (SYN-READ rules). Does not: workbooks and Parquet
(`workbooks.py`), column names.
"""

from __future__ import annotations

import gzip
import re
from collections.abc import Callable
from typing import Any

import pyarrow
import pyarrow.csv
import pyarrow.ipc

from tests.acceptance.corpus.case import Case, finds, wrong
from tests.acceptance.corpus.changes import (
    Change,
    beside,
    column,
    config,
    content,
    corrected,
    file,
    headerless,
    line,
    put,
    rows,
    text,
    together,
)
from tests.lab_files import Lab, as_parquet, as_text, as_workbook

pa: Any = pyarrow  # it carries no types

NEU, VES, REL, SYN = "neuron", "vesicle", "neuron_relation", "synapse"


def quietly_unquoted(written: str) -> str:
    return written.replace('"', "")


def _line(number: int, function: Callable[[str], str]) -> Callable[[str], str]:
    """Line `number` of a text put through `function`."""

    def apply(written: str) -> str:
        lines = written.split("\n")
        lines[number - 1] = function(lines[number - 1])
        return "\n".join(lines)

    return apply


def _split_in_two(table: str, header: str | None) -> Change:
    """The rows lie in two files of one table; the second has `header` for its first line, or
    none.
    """

    def apply(lab: Lab) -> None:
        names, *body = lab.rows(table)
        half = len(body) // 2
        first, second = as_text()([names, *body[:half]]), as_text()([names, *body[half:]])
        told = second if header is None else header.encode() + second[second.index(b"\n") :]
        del lab.tables[table]
        lab.beside |= {f"{table}_1.csv": first, f"{table}_2.csv": told}
        lab.options(table)["file"] = f"{table}_*.csv"

    return apply


def _parts_in_a_folder(table: str) -> Change:
    """The table is a folder of two Parquet files, as Spark and Dask write it."""

    def apply(lab: Lab) -> None:
        names, *body = lab.rows(table)
        half, folder = len(body) // 2, f"{table}.parquet"
        del lab.tables[table]
        for number, part in enumerate((body[:half], body[half:])):
            lab.beside[f"{folder}/part-{number}.parquet"] = as_parquet()([names, *part])
        lab.beside[f"{folder}/_SUCCESS"] = b""
        lab.options(table)["file"] = folder

    return apply


ENCODINGS = (
    wrong(
        "an old program saved an \u00fc in its own way",
        "l1",
        together(
            put(NEU, "neuron_type", 20, "M\u00fcller"),
            file(NEU, "neuron.csv", as_text(encoding="cp1252")),
        ),
        finds("SYN-READ-003", NEU, None, 20, 1, "line 20", setting="encoding: cp1252"),
    ),
    wrong(
        "Excel's Unicode text without its mark",
        "l1",
        content(NEU, lambda written: written.decode().encode("utf-16-le")),
        finds("SYN-READ-003", NEU, None, None, None, "utf-16", setting="encoding"),
    ),
    wrong(
        "one line of Windows letters among lines of UTF-8",
        "l1",
        together(
            put(NEU, "neuron_type", 20, "M\u00fcller"),
            put(NEU, "neuron_type", 30, "H\u00f6hle"),
            content(
                NEU,
                lambda written: written.replace(
                    "H\u00f6hle".encode(), "H\u00f6hle".encode("cp1252")
                ),
            ),
        ),
        finds("SYN-READ-003", NEU, None, 30, 1, "line 30", "UTF-8 but for this line", "H\u00f6hle"),
        also={"SYN-VAL-004": "the letter in the line that is right is no ASCII"},
    ),
    wrong(
        "an old Mac saved an \u00fc in its own way",
        "l1",
        together(
            put(NEU, "neuron_type", 20, "M\u00fcller"),
            file(NEU, "neuron.csv", as_text(encoding="mac-roman", end="\r")),
        ),
        finds(
            "SYN-READ-003",
            NEU,
            None,
            20,
            1,
            "line 20",
            "M\u00fcller",
            setting="encoding: mac-roman",
        ),
    ),
    wrong(
        "the config still names the encoding of an older export",
        "l1",
        together(put(NEU, "neuron_type", 20, "M\u00fcller"), config(NEU, encoding="cp1252")),
        finds(
            "SYN-READ-003", NEU, None, None, 1, "line 20", "M\u00fcller", setting="encoding: utf-8"
        ),
    ),
    wrong(
        "zero bytes, as a crashed disk leaves them, in the middle",
        "larva",
        content(NEU, lambda written: written.replace(b"KC-4claw", b"\0" * 8, 1)),
        finds("SYN-READ-014", NEU, None, None, None, "zero", "line 2"),
    ),
    wrong(
        "a copy broke off and left zero bytes at the end",
        "larva",
        content(REL, lambda written: written + bytes(4_096)),
        finds("SYN-READ-014", REL, None, None, None, "4,096 zero bytes", "broke off"),
    ),
)

DELIMITERS = (
    wrong(
        "the config says tab and the file has commas",
        "guide",
        config(VES, delimiter="\t"),
        finds("SYN-READ-014", VES, None, None, None, ",", setting='delimiter: ","'),
    ),
    wrong(
        "commas inside types that lost their quotation marks",
        "l1",
        text(NEU, quietly_unquoted),
        finds("SYN-READ-002", NEU, None, 426, 122, "quote"),
    ),
    wrong(
        "trailing commas in some rows",
        "hemibrain",
        text(SYN, lambda written: re.sub(r"(?m)^(754534424:\d,.*)$", r"\1,", written)),
        finds("SYN-READ-002", SYN, None, 42, 10),
    ),
    wrong(
        "R's write.table wrote row names and no name for their column",
        "terminal",
        text(VES, lambda written: re.sub(r"(?m)^(\d+),", r"\1,\1,", written)),
        finds("SYN-READ-002", VES, None, 2, 37, "name"),
        also={"SYN-INT-004": "no vesicle could be read"},
    ),
    wrong(
        "a decimal comma splits one row of a comma-separated file",
        "terminal",
        text(VES, _line(3, lambda told: told.replace("445.3", "445,3"))),
        finds("SYN-READ-002", VES, None, 3, 1),
        also={"SYN-INT-004": "the terminal has one vesicle fewer"},
    ),
)

SEPARATORS = (
    wrong(
        "each line as a whole stands in quotation marks",
        "larva",
        text(REL, lambda written: re.sub(r"(?m)^(.+)$", r'"\1"', written)),
        finds("SYN-READ-014", REL, None, None, 1, "each line as a whole is in quotation marks"),
    ),
    wrong(
        "blanks align the columns",
        "larva",
        text(
            REL,
            lambda written: "".join(
                "  ".join(f"{value:>12}" for value in row.split(",")) + "\n"
                for row in written.splitlines()
            ),
        ),
        finds("SYN-READ-014", REL, None, None, 1, "several blanks"),
    ),
    wrong(
        "three names for a list of four columns",
        "larva",
        together(
            text(REL, lambda written: written.partition("\n")[2].replace(",", "\t")),
            headerless(REL, "cid", "pre_synapse_id", "post_synapse_id"),
            config(REL, columns={}),
        ),
        finds("SYN-READ-002", REL, None, 1, None, "Each line has 4 values", "`names` has 3"),
        also={"SYN-INT-001": "nothing relates the neurons without the list"},
    ),
    wrong(
        "a carriage return inside a name that is not quoted",
        "larva",
        text(NEU, _line(10, lambda told: told.replace("-", "\r", 1))),
        finds("SYN-READ-014", NEU, None, None, 1, "line 10", "carriage return"),
    ),
)

QUOTES = (
    wrong(
        "a quotation mark that opens and never closes",
        "larva",
        text(NEU, _line(10, lambda told: told.replace(",", ',"', 1))),
        finds("SYN-READ-015", NEU, None, 10, 1, "quotation"),
        also={"SYN-REL-002": "the neuron of the broken line is missing"},
    ),
)

HEADERS = (
    wrong(
        "an edge list without header",
        "larva",
        text(REL, lambda written: written.partition("\n")[2]),
        finds("SYN-READ-006", REL, None, None, 1, "header_row: null", "names", "4 columns"),
    ),
    wrong(
        "two lines about the export stand above the header",
        "larva",
        text(NEU, lambda written: "# exported from CATMAID\n# 2026-11-01 by ada\n" + written),
        finds("SYN-READ-006", NEU, None, None, 1, "row 3", setting="header_row: 3"),
    ),
    wrong(
        "the config's header_row points at the first row of data",
        "guide",
        config(VES, header_row=2),
        finds("SYN-READ-006", VES, None, None, 1, "row 1", setting="header_row: 1"),
    ),
    wrong(
        "files joined end to end: the header stands again in the middle",
        "hemibrain",
        together(line(SYN, 42), line(SYN, 83)),
        finds("SYN-READ-017", SYN, None, 42, 2, "header"),
    ),
    wrong(
        "a row of units below the header",
        "guide",
        line(VES, 2, ["", "", "nm", "nm", "nm", "", "nm", "nm", "nm"]),
        finds("SYN-READ-017", VES, None, 2, 1, "unit"),
    ),
    wrong(
        "a headerless file of pairs has a header in the lab's own words after all",
        "larva",
        together(
            config(REL, columns=None),
            headerless(REL, "cid", "pre_synapse_id", "post_synapse_id", "connection_score"),
            lambda lab: lab.rows(REL).__setitem__(0, ["Edge", "Sender", "Receiver", "Contacts"]),
        ),
        finds("SYN-READ-017", REL, None, 1, 1, "header", setting="header_row: 1"),
    ),
    wrong(
        "three more rows of the header, as TrackMate writes them",
        "guide",
        together(
            line(
                VES, 2, ["Id", "Transmitter", "Radius", "Distance", "Normal", "Axon", "Z", "X", "Y"]
            ),
            line(VES, 3, ["Id", "T", "R", "D", "N", "Axon", "Z", "X", "Y"]),
            line(VES, 4, ["", "", "(nm)", "(nm)", "(nm)", "", "(nm)", "(nm)", "(nm)"]),
        ),
        finds("SYN-READ-017", VES, None, 2, 2, "several rows", setting="header_row: 4"),
        finds("SYN-READ-017", VES, None, 4, 1, "several rows", setting="header_row: 4"),
    ),
    wrong(
        "a title above the header that is also the name of a column",
        "larva",
        text(NEU, lambda written: "neuron_type\n\n" + written),
        finds("SYN-READ-006", NEU, None, None, 1, "row 3", setting="header_row: 3"),
    ),
)

LINES = (
    wrong(
        "blank lines between groups of synapses",
        "hemibrain",
        together(line(SYN, 42, []), line(SYN, 83, [])),
        finds("SYN-READ-011", SYN, None, 42, 2),
    ),
    wrong(
        "a row of totals at the end",
        "guide",
        rows("axon", lambda body: [*body, ["2205497564.80", "5", "505262223.36", ""]]),
        finds("SYN-ID-001", "axon", "cid", 5, 1),
    ),
    wrong(
        "a correction of a cell that has another value since",
        "guide",
        corrected("vesicle", "voxel_radius", 3, "-0.02", "0.02"),
        finds("SYN-READ-024", "vesicle", "voxel_radius", 3, 1),
    ),
    wrong(
        "a value that is none, corrected by hand",
        "guide",
        together(
            put("vesicle", "voxel_radius", 3, "-0.02"),
            corrected("vesicle", "voxel_radius", 3, "-0.02", "0.02"),
        ),
        finds("SYN-READ-025", "vesicle", "voxel_radius", 3, 1, cures=False),
    ),
    wrong(
        "a row of totals, called so in the key",
        "larva",
        rows(NEU, lambda body: [*body, ["Total", "", ""]]),
        finds("SYN-READ-023", NEU, "cid", 252, 1, "'Total'"),
    ),
    wrong(
        "Mean and SD below the vesicles, called so in a column that is left out",
        "terminal",
        together(
            column(VES, "Label", lambda row: f"vesicle {row['cid']}"),
            rows(
                VES,
                lambda body: [
                    *body,
                    *([f"s{word}", *body[0][1:-1], word] for word in ("Mean", "SD")),
                ],
            ),
            config(VES, ignore=["Label"]),
        ),
        finds("SYN-READ-023", VES, "Label", 39, 2, "'Mean' and 'SD'"),
        also={"SYN-INT-004": "the terminal has 37 vesicles"},
    ),
    wrong(
        "a neuron was commented out, and its connections were not",
        "larva",
        rows(NEU, lambda body: [[f"#{body[0][0]}", *body[0][1:]], *body[1:]]),
        finds("SYN-READ-023", NEU, "cid", 2, 1, "comment"),
        also={"SYN-REL-002": "the connections of the neuron that was commented out"},
    ),
    wrong(
        "a remark below a blank line",
        "larva",
        rows(NEU, lambda body: [*body, [], ["Remark: traced by hand", "", ""]]),
        finds("SYN-READ-023", NEU, "cid", 253, 1, "after a blank line"),
        finds("SYN-READ-011", NEU, None, 252, 1),
    ),
    wrong(
        "one neuron among numbers is a word",
        "larva",
        rows(NEU, lambda body: [*body[:40], ["Purkinje", *body[0][1:]], *body[40:]]),
        finds("SYN-READ-023", NEU, "cid", 42, 1, "number"),
    ),
    wrong(
        "the export stopped after the header",
        "larva",
        rows(REL, lambda body: []),
        finds("SYN-READ-013", REL, None, None, 1, "export"),
    ),
    wrong(
        "the disk was full: the file ends within a line",
        "larva",
        content(REL, lambda written: written[: len(written) * 2 // 3]),
        finds("SYN-READ-018", REL, None, None, None, "cut|end"),
    ),
    wrong(
        "the copy broke off within the last number, so that every line still has its values",
        "hemibrain",
        content(SYN, lambda written: written[:-2]),
        finds("SYN-READ-018", SYN, None, None, None, "cut|end"),
    ),
    wrong(
        "the gzip file did not arrive as a whole",
        "larva",
        together(
            file(REL, "neuron_relation.csv.gz", as_text()),
            content(REL, lambda written: gzip.compress(written)[:-200]),
        ),
        finds("SYN-READ-018", REL, None, None, None, "compress"),
    ),
)

NOT_THERE = (
    wrong(
        "the config names neurons.csv and the file is neuron.csv",
        "larva",
        config(NEU, file="neurons.csv"),
        finds("SYN-READ-001", NEU, None, None, 1, "neuron.csv", setting="file: neuron.csv"),
    ),
    wrong(
        "the file is empty",
        "larva",
        content(NEU, lambda written: b""),
        finds("SYN-READ-014", NEU, None, None, None, "empty"),
    ),
    wrong(
        "a web page that says 404, called neuron.csv",
        "larva",
        content(
            NEU,
            lambda written: (
                b"<!DOCTYPE html>\n<html><head><title>404 Not Found</title></head>\n<body><h1>Not"
                b" Found</h1></body></html>\n"
            ),
        ),
        finds("SYN-READ-014", NEU, None, None, None, "html|web page"),
    ),
    wrong(
        "a pointer of Git LFS instead of the file",
        "larva",
        content(
            NEU,
            lambda written: (
                b"version https://git-lfs.github.com/spec/v1\noid sha256:"
                + b"4d7a" * 16
                + b"\nsize 71076\n"
            ),
        ),
        finds("SYN-READ-014", NEU, None, None, None, "lfs"),
    ),
    wrong(
        "a workbook called neuron.csv",
        "l1",
        file(NEU, "neuron.csv", as_workbook()),
        finds("SYN-READ-014", NEU, None, None, None, "workbook"),
    ),
    wrong(
        "a folder of Parquet parts instead of a file",
        "larva",
        _parts_in_a_folder(REL),
        finds(
            "SYN-READ-014",
            REL,
            None,
            None,
            None,
            "folder",
            setting="file: neuron_relation.parquet/*.parquet",
        ),
    ),
)

SEVERAL = (
    wrong(
        "the second file of a table calls a column otherwise",
        "hemibrain",
        _split_in_two(SYN, "cid,parent_id,score,centroid_x,centroid_y,centroid_z"),
        finds("SYN-READ-012", SYN, None, None, 1, "score"),
    ),
    wrong(
        "the second file of a table lacks its header",
        "hemibrain",
        together(
            _split_in_two(SYN, None),
            beside(f"{SYN}_2.csv", lambda written: written.partition(b"\n")[2]),
        ),
        finds("SYN-READ-006", SYN, None, None, 1, "header"),
    ),
    wrong(
        "the same file lies in the folder twice, as a copy",
        "hemibrain",
        together(
            _split_in_two(SYN, None),
            lambda lab: lab.beside.update({f"{SYN}_2 (copy).csv": lab.beside[f"{SYN}_2.csv"]}),
        ),
        finds("SYN-ID-002", SYN, "cid", 2, 100, "copies of whole rows"),
    ),
)

CASES: tuple[Case, ...] = (
    *ENCODINGS,
    *DELIMITERS,
    *SEPARATORS,
    *QUOTES,
    *HEADERS,
    *LINES,
    *NOT_THERE,
    *SEVERAL,
)
