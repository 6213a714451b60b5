"""The report for programs: every failing cell at its address, formulas made harmless, XML that
parses, JSON with the promised keys.

Belongs here: what stands in the files. Does not: the command that writes them
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

from dagster_defs.metadata import describe_record
from syndb_pipeline.contract.tables import TABLE_ORDER
from syndb_pipeline.report.exports import report_json, write_csv
from syndb_pipeline.report.gather import gathered
from syndb_pipeline.report.html import default_path, write_report
from syndb_pipeline.rules.finding import Finding
from syndb_pipeline.state.stage import Context
from tests.ingest_helpers import context_for
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


def test_every_failing_cell_has_a_line(context: Context, tmp_path: Path) -> None:
    lines = csv_of(context, tmp_path / "cells.csv")
    kept = duckdb.sql(
        f"SELECT tbl, code, count(*) FROM read_parquet('{context.store.folder}/*/failures.parquet')"
        " GROUP BY ALL"
    ).fetchall()
    counted = Counter((line["table"], line["code"]) for line in lines)
    assert kept
    for table, code, count in kept:
        assert counted[table, code] == count, code


def test_each_address_leads_to_the_value(context: Context, tmp_path: Path) -> None:
    files = {name: cells_of(context.config.folder / name) for name in ("axon.csv", VESICLES)}
    looked_up = 0
    for line in csv_of(context, tmp_path / "cells.csv"):
        if line["row"] == "1":  # the header: what is wrong is the column
            assert line["column"] in files[line["file"]][2]
        elif line["row"]:
            there = files[line["file"]][int(line["row"])][line["column"]]
            assert written(line["value"]) == (
                there.strip() if line["code"].startswith("SYN-ID") else there
            )
            looked_up += 1
    assert looked_up >= len(HOSTILE) + 4


def test_no_cell_is_a_formula_and_numbers_stay_numbers(context: Context, tmp_path: Path) -> None:
    lines = csv_of(context, tmp_path / "cells.csv")
    number = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
    for line in lines:
        for cell in line.values():
            assert not re.match(r"[=+\-@\x00-\x1f\x7f]", cell) or number.fullmatch(cell), cell
    values = {line["value"] for line in lines}
    assert {"-18.5", "-1492089016.32"} <= values
    assert {"'=cmd|' /C calc'!A0", "'+1+1", "'-2+3", "'@SUM(A1)", "'\tx"} <= values


def test_a_hostile_column_name_is_harmless_too(tmp_path: Path) -> None:
    context = context_for(
        tmp_path, {"axon": {"file": "@axon.csv", "columns": {"=size": "voxel_volume"}}}
    )
    write(tmp_path / "@axon.csv", [["cid", "=size"], ["1", "-5"]])
    check(context)
    [line] = [
        line for line in csv_of(context, tmp_path / "cells.csv") if line["code"] == "SYN-VAL-001"
    ]
    assert (line["file"], line["column"], line["value"], line["row"]) == (
        "'@axon.csv",
        "'=size",
        "-5",
        "2",
    )


def test_lines_are_in_the_order_of_tables_files_and_rows(context: Context, tmp_path: Path) -> None:
    lines = csv_of(context, tmp_path / "cells.csv")
    places = [
        (TABLE_ORDER.index(line["table"]), line["file"], int(line["row"] or 0)) for line in lines
    ]
    assert places == sorted(places)
    csv_of(context, tmp_path / "again.csv")
    assert (tmp_path / "cells.csv").read_bytes() == (tmp_path / "again.csv").read_bytes()


def test_lines_tell_severity_cause_cure_and_count(context: Context, tmp_path: Path) -> None:
    lines = csv_of(context, tmp_path / "cells.csv")
    with context.store.lock(), gathered(context, measured=False) as (report, _):
        told = {
            (finding.code, finding.severity, finding.message, finding.fix, str(finding.count))
            for finding in report.findings
        }
    assert {
        (line["code"], line["severity"], line["message"], line["fix"], line["count"])
        for line in lines
    } == told
    [unknown] = [line for line in lines if line["code"] == "SYN-COL-001"]
    assert (unknown["row"], unknown["column"]) == ("1", UNKNOWN_COLUMN), "the header names it"


def test_two_causes_of_one_rule_keep_their_own_cure(tmp_path: Path) -> None:
    context = context_for(
        tmp_path, {"axon": "axon.csv", "vesicle": {"file": "vesicle.csv", "parent": "axon"}}
    )
    write(tmp_path / "axon.csv", [["cid"], ["1"], ["2"]])
    write(
        tmp_path / "vesicle.csv",
        [
            ["cid", "parent_id"],
            ["a", "1"],
            ["b", "2.0"],
            ["c", "7"],
            ["d", "unknown"],
            ["e", "1.0"],
        ],
    )
    check(context)
    by_value = {
        line["value"]: line
        for line in csv_of(context, tmp_path / "cells.csv")
        if line["code"] == "SYN-REL-001"
    }
    assert set(by_value) == {"2.0", "7", "unknown", "1.0"}
    assert (
        by_value["1.0"]["fix"]
        == by_value["2.0"]["fix"]
        != by_value["7"]["fix"]
        != by_value["unknown"]["fix"]
    )
    assert by_value["1.0"]["count"] == "2"


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


def test_a_folder_of_files_is_told_file_by_file(tmp_path: Path) -> None:
    for number in range(3):
        write(
            tmp_path / f"part{number}.csv",
            [["cid", "voxel_volume"], [f"{number}a", "5e9"], [f"{number}b", f"bad {number}"]],
        )
    context = check(context_for(tmp_path, {"axon": "part*.csv"}))
    lines = [
        line for line in csv_of(context, tmp_path / "cells.csv") if line["code"] == "SYN-TYPE-001"
    ]
    assert [(line["file"], line["row"], line["value"]) for line in lines] == [
        (f"part{n}.csv", "3", f"bad {n}") for n in range(3)
    ]


def test_dagster_shows_where_the_page_lies(context: Context) -> None:
    sealed = context.upstream("check_integrity")
    default_path(context).unlink(missing_ok=True)
    assert "report" not in describe_record(context, sealed)
    with context.store.lock():
        page = write_report(context)
    assert describe_record(context, sealed)["report"].value == str(page)
    assert "report" not in describe_record(context, context.upstream("validate"))


# -- JSON


def test_json_is_what_the_commands_print_and_more(context: Context) -> None:
    with context.store.lock(), gathered(context, measured=False) as (report, _):
        told = json.loads(json.dumps(report_json(report), default=str))
    assert told["report_version"] == 2
    assert (told["verdict"], told["receipt"]) == ("rejected", None)
    assert told["digest"] == (context.store.record("check_integrity") or pytest.fail()).digest
    assert [Finding.model_validate(finding) for finding in told["findings"]] == report.findings
    more = told["report"]
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
