"""The report for programs: every failing cell at its address, formulas made harmless, XML that
parses, JSON with the promised keys.

Belongs here: what is in the files. Does not: the command that writes them
(`tests/integration/test_report_command.py`).
"""

from __future__ import annotations

import csv
import json
import re
from collections import Counter
from pathlib import Path

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from syndb_pipeline.contract.tables import TABLE_ORDER
from syndb_pipeline.orchestration.metadata import describe_record
from syndb_pipeline.report.exports import report_json, write_csv
from syndb_pipeline.report.gather import gathered
from syndb_pipeline.report.html import default_path, write_report
from syndb_pipeline.rules.finding import Finding
from syndb_pipeline.state.stage import Context
from tests.lab import context_for
from tests.report_lab import HOSTILE, UNKNOWN_COLUMN, VESICLES, check, write, write_hostile_lab

Line = dict[str, str]


@pytest.fixture(scope="module")
def context(tmp_path_factory: pytest.TempPathFactory) -> Context:
    return check(write_hostile_lab(tmp_path_factory.mktemp("hostile")))


def csv_of(context: Context, path: Path) -> list[Line]:
    with context.store.lock(), gathered(context, measured=False) as (report, connection):
        count = write_csv(report, connection, path)
    with path.open(newline="", encoding="utf-8") as file:
        reader = csv.DictReader(file, strict=True)
        lines = list(reader)
        assert " ".join(reader.fieldnames or ()) == (
            "table file sheet row column value code severity message fix count"
        )
    assert len(lines) == count
    return lines


def written(cell: str) -> str:
    """A cell of the CSV without the apostrophe that makes it harmless."""
    return cell[1:] if re.match(r"'[=+\-@\x00-\x1f]", cell) else cell


def cells_of(path: Path) -> dict[int, Line]:
    """The records of a lab's file by the line that each begins in."""
    found, begins = {}, 1
    with path.open(newline="", encoding="utf-8") as file:
        reader = csv.reader(file)
        for record in reader:
            found[begins] = record
            begins = reader.line_num + 1
    header = found.pop(1)
    return {line: dict(zip(header, record, strict=True)) for line, record in found.items()}


# -- CSV


@pytest.fixture(scope="module")
def lines(context: Context, tmp_path_factory: pytest.TempPathFactory) -> list[Line]:
    return csv_of(context, tmp_path_factory.mktemp("csv") / "cells.csv")


def failing(folder: Path, code: str, tables: dict[str, object], **files: str) -> list[Line]:
    """The lines about rule `code` of files whose rows are divided by blanks, and cells by commas;
    `__` in a file's name stands for a dot.
    """
    for name, rows in files.items():
        write(folder / name.replace("__", "."), [row.split(",") for row in rows.split()])
    context = check(context_for(folder, dict(tables)))
    return [line for line in csv_of(context, folder / "out" / "cells.csv") if line["code"] == code]


def test_every_failing_cell_has_a_line_in_the_order_of_tables_files_and_rows(
    context: Context, lines: list[Line]
) -> None:
    kept = duckdb.sql(
        f"SELECT tbl, code, count(*) FROM read_parquet('{context.store.folder}/*/failures.parquet')"
        " GROUP BY ALL"
    ).fetchall()
    counted = Counter((line["table"], line["code"]) for line in lines)
    assert kept
    for table, code, count in kept:
        assert counted[table, code] == count, code
    places = [
        (TABLE_ORDER.index(line["table"]), line["file"], int(line["row"] or 0)) for line in lines
    ]
    assert places == sorted(places)


def test_each_address_leads_to_the_value(context: Context, lines: list[Line]) -> None:
    files = {name: cells_of(context.config.folder / name) for name in ("axon.csv", VESICLES)}
    looked_up = 0
    for line in lines:
        if line["row"] == "1":  # the header: what is wrong is the column
            assert line["column"] in files[line["file"]][2]
        elif line["row"]:
            there = files[line["file"]][int(line["row"])][line["column"]]
            there = there.strip() if line["code"].startswith("SYN-ID") else there
            assert written(line["value"]) == there
            looked_up += 1
    assert looked_up >= len(HOSTILE) + 4


def test_no_cell_is_a_formula_and_numbers_stay_numbers(lines: list[Line], tmp_path: Path) -> None:
    number = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
    for line in lines:
        for cell in line.values():
            assert not re.match(r"[=+\-@\x00-\x1f\x7f]", cell) or number.fullmatch(cell), cell
    values = {line["value"] for line in lines}
    assert {"-18.5", "-1492089016.32"} <= values
    assert {"'=cmd|' /C calc'!A0", "'+1+1", "'-2+3", "'@SUM(A1)", "'\tx"} <= values
    table = {"file": "@axon.csv", "columns": {"=size": "voxel_volume"}}
    [line] = failing(tmp_path, "SYN-VAL-001", {"axon": table}, **{"@axon__csv": "cid,=size 1,-5"})
    assert [line[name] for name in ("file", "column", "value")] == ["'@axon.csv", "'=size", "-5"]


def test_lines_say_severity_message_fix_and_count(context: Context, lines: list[Line]) -> None:
    with context.store.lock(), gathered(context, measured=False) as (report, _):
        found = {(f.code, f.severity, f.message, f.fix, str(f.count)) for f in report.findings}
    names = ("code", "severity", "message", "fix", "count")
    assert {tuple(line[name] for name in names) for line in lines} == found
    [unknown] = [line for line in lines if line["code"] == "SYN-COL-001"]
    assert (unknown["row"], unknown["column"]) == ("1", UNKNOWN_COLUMN), "the header names it"


def test_two_causes_of_one_rule_keep_their_own_fix(tmp_path: Path) -> None:
    orphans = failing(
        tmp_path,
        "SYN-REL-001",
        {"axon": "axon.csv", "vesicle": {"file": "vesicle.csv", "parent": "axon"}},
        axon__csv="cid 1 2",
        vesicle__csv="cid,parent_id a,1 b,2.0 c,7 d,unknown e,1.0",
    )
    fixes = {line["value"]: line["fix"] for line in orphans}
    assert set(fixes) == {"2.0", "7", "unknown", "1.0"}
    assert fixes["1.0"] == fixes["2.0"] != fixes["7"] != fixes["unknown"]
    assert {line["count"] for line in orphans if line["value"] == "1.0"} == {"2"}


def test_parts_of_a_table_are_named_file_by_file(tmp_path: Path) -> None:
    files = {f"part{n}__csv": f"cid,voxel_volume {n}a,5e9 {n}b,bad{n}" for n in range(3)}
    found = failing(tmp_path, "SYN-TYPE-001", {"axon": "part*.csv"}, **files)
    places = [(line["file"], line["row"], line["value"]) for line in found]
    assert places == [(f"part{n}.csv", "3", f"bad{n}") for n in range(3)]


@settings(max_examples=8, deadline=None)
@given(
    gaps=st.lists(st.integers(min_value=0, max_value=3), min_size=1, max_size=12),
    breaks=st.lists(st.booleans(), min_size=12, max_size=12),
)
def test_rows_are_counted_as_an_editor_does(
    gaps: list[int], breaks: list[bool], tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Blank lines and line breaks in quotes move every row after them."""
    folder = tmp_path_factory.mktemp("gaps")
    text, line, expected = "cid,polarity,cable_length\n", 2, {}
    for number, gap in enumerate(gaps):
        text += "\n" * gap
        line += gap
        expected[f"bad {number}"] = line
        text += f'n{number},"{"a" if not breaks[number] else "a" + chr(10) + "b"}",bad {number}\n'
        line += 2 if breaks[number] else 1
    (folder / "neuron.csv").write_text(text)
    context = check(context_for(folder, {"neuron": "neuron.csv"}))
    lines = [
        line for line in csv_of(context, folder / "cells.csv") if line["code"] == "SYN-TYPE-001"
    ]
    assert {line["value"]: int(line["row"]) for line in lines} == expected


def test_dagster_links_the_page_and_shows_its_place(context: Context) -> None:
    sealed = context.upstream("check_integrity")
    default_path(context).unlink(missing_ok=True)
    assert not {"report", "report_file"} & describe_record(context, sealed).keys()
    with context.store.lock():
        page = write_report(context)
    shown = describe_record(context, sealed)
    assert shown["report_file"].value == str(page)
    assert shown["report"].value == f"/reports/{context.dataset}"
    assert "report" not in describe_record(context, context.upstream("validate"))


# -- JSON


def test_json_is_what_the_commands_print_and_more(context: Context) -> None:
    with context.store.lock(), gathered(context, measured=False) as (report, _):
        said = json.loads(json.dumps(report_json(report), default=str))
    assert said["report_version"] == 2
    assert (said["verdict"], said["receipt"]) == ("rejected", None)
    assert said["digest"] == (context.store.record("check_integrity") or pytest.fail()).digest
    assert [Finding.model_validate(finding) for finding in said["findings"]] == report.findings
    more = said["report"]
    assert [stage["state"] for stage in more["stages"]] == ["done"] * 5
    [relation] = more["relations"]
    assert relation == {
        "table": "vesicle",
        "column": "parent_id",
        "target": "axon",
        "how": "configured",
        "resolved": 16,
        "orphans": 1,
    }
    assert set(more["files"]) == {"axon.csv", VESICLES}
    assert more["metadata"]["license"] == "ODC_BY"
    assert more["terms"] is None
