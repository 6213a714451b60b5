"""Which table a column points to: inferred when one table holds all keys, asked for when it is not
clear, never guessed in silence.
"""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import duckdb
import openpyxl
import pytest
import yaml

from syndb_pipeline.checks.references.targets import SAMPLE_ROWS, Choice, choose_target
from tests.stage_lab import Lab, csv, paste, uid

NEURON = csv("cid", "n1", "n2")
AXON = csv("cid,parent_id", "a1,n1", "a2,n2")


def chosen(
    folder: Path, keys: list[str | None], candidates: dict[str, list[str | None]], **options: Any
) -> tuple[str | None, str]:
    choice = choose(folder, keys, candidates, **options)
    return choice.target, choice.reason


def choose(
    folder: Path, keys: list[str | None], candidates: dict[str, list[str | None]], **options: Any
) -> Choice:
    connection = duckdb.connect()

    def write(name: str, column: str, values: list[str | None]) -> Path:
        path = folder / f"{name}.parquet"
        connection.execute(
            "CREATE OR REPLACE TABLE t AS SELECT unnest(?::VARCHAR[]) AS k", [values]
        )
        connection.execute(f"COPY (SELECT k AS {column} FROM t) TO '{path}' (FORMAT parquet)")
        return path

    ids = {name: write(name, "key", values) for name, values in candidates.items()}
    return choose_target(
        connection, write("children", "parent_id", keys), "parent_id", ids, **options
    )


def numbers(first: int, last: int) -> list[str | None]:
    return [str(number) for number in range(first, last + 1)]


def listed(text: str) -> list[str | None]:
    """The keys that `targets.toml` writes in short."""
    keys: list[str | None] = []
    for word in text.split():
        ends, _, times = word.partition("*")
        first, dots, last = ends.partition("..")
        several = numbers(int(first), int(last)) if dots else [None if first == "-" else first]
        keys += several * int(times or 1)
    return keys


CASES = tomllib.loads(Path(__file__).with_name("targets.toml").read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", CASES)
def test_the_keys_of_a_column_choose_its_table_or_it_is_not_clear(
    tmp_path: Path, name: str
) -> None:
    case = CASES[name]
    tables = {table: listed(keys) for table, keys in case["tables"].items()}
    choice = choose(tmp_path, listed(case["keys"]), tables, **case.get("options", {}))
    assert (choice.target, choice.reason) == (case.get("target"), case.get("reason", ""))
    assert choice.plain == case.get("plain")
    if "closest" in case:
        assert choice.closest == tuple(case["closest"])


def test_what_the_sample_does_not_show_is_looked_up(tmp_path: Path) -> None:
    common = [str(n % 10) for n in range(SAMPLE_ROWS)]
    tables: dict[str, list[str | None]] = {
        "axon": [*map(str, range(10)), "late"],
        "neuron": list(map(str, range(10))),
    }
    target, reason = chosen(tmp_path, [*common, "late"], tables)
    assert (target, reason) == (
        None,
        "axon has the keys of all 20,001 rows, neuron those of 20,000",
    )
    assert chosen(tmp_path, [*common, "nowhere"], tables)[0] is None
    assert chosen(tmp_path, [*([None] * SAMPLE_ROWS), "late"], tables) == ("axon", "")


@pytest.mark.parametrize("rows", [30_000, 300_000])
def test_the_odd_key_may_be_in_any_row_of_a_large_table(tmp_path: Path, rows: int) -> None:
    keys: list[str | None] = [str(row % 200 + 1) for row in range(rows)]
    keys[rows * 9 // 10 + 77] = "201"
    choice = choose(tmp_path, keys, {"axon": numbers(1, 200), "neuron": numbers(1, 300)})
    assert (choice.target, choice.lacks) == (None, "axon")
    assert choice.reason == f"neuron has the keys of all {rows:,} rows, axon those of {rows - 1:,}"


def test_the_first_rows_of_a_large_table_do_not_decide(tmp_path: Path) -> None:
    """Sorted by parent: the rows that both tables could be meant by come last."""
    keys = [str(row // 5) for row in range(100_000)][::-1]
    assert (
        chosen(tmp_path, keys, {"axon": numbers(0, 19_999), "neuron": numbers(0, 14_000)})[0]
        is None
    )
    assert (
        chosen(tmp_path, keys[::-1], {"axon": numbers(0, 19_999), "neuron": numbers(0, 14_000)})[0]
        is None
    )


def test_a_dataset_whose_keys_fit_several_tables_is_asked_and_the_line_can_be_pasted(
    tmp_path: Path,
) -> None:
    same = {
        "neuron": csv("cid", "1", "2"),
        "axon": csv("cid,parent_id", "1,1", "2,2"),
        "vesicle": csv("cid,parent_id", "v,2"),
    }
    lab = Lab(tmp_path, same)
    asked = lab.check().finding("SYN-REL-004")
    assert (asked.table, asked.column, asked.severity) == ("vesicle", "parent_id", "error")
    assert "in axon and in neuron" in asked.message
    assert "`tables.vesicle.parent: axon`" in asked.fix
    paste(lab, asked.fix)
    assert lab.check().faults == []
    assert lab.related("vesicle", "parent_id", "parent_enum", "neuron_id") == [
        (uid("axon", "2"), 4, uid("neuron", "2"))
    ]


def test_the_config_decides_between_tables_and_its_choice_is_held(tmp_path: Path) -> None:
    tables = {
        "neuron": csv("cid", "1", "2"),
        "axon": csv("cid,parent_id", "1,1", "3,2"),
        "vesicle": csv("cid,parent_id", "v,1", "w,3"),
    }
    lab = Lab(tmp_path, tables, {"vesicle": {"parent": "neuron"}})
    checked = lab.check()
    orphan = checked.finding("SYN-REL-001")
    assert (orphan.count, orphan.examples[0].value) == (1, "3")
    assert "`tables.vesicle.parent: axon`" in orphan.fix
    assert lab.related("vesicle", "parent_id", "parent_enum") == [
        (uid("neuron", "1"), 1),
        (None, None),
    ]


def test_a_reference_that_fits_several_tables_is_asked_and_the_line_can_be_pasted(
    tmp_path: Path,
) -> None:
    tables = {
        "neuron": csv("cid", "1"),
        "axon": csv("cid,parent_id", "1,1"),
        "synapse": csv("cid,pre_synapse_id", "s,1"),
    }
    lab = Lab(tmp_path, tables)
    asked = lab.check().finding("SYN-REL-004")
    assert "`tables.synapse.references: {pre_synapse_id: axon}`" in asked.fix
    paste(lab, asked.fix)
    assert lab.check().faults == []
    assert lab.related("synapse", "pre_synapse_id") == [uid("axon", "1")]


def test_one_wrong_key_is_asked_about_and_reported_once_the_table_is_named(tmp_path: Path) -> None:
    """The line that names the right table first must lead to the wrong key, and not to the wrong
    table.
    """
    tables = {
        "neuron": csv("cid", *map(str, range(1, 11))),
        "axon": csv("cid,parent_id", *(f"{n},{n}" for n in range(1, 6))),
        "vesicle": csv("cid,parent_id", *(f"v{n},{n % 5 + 1}" for n in range(8)), "v8,6"),
    }
    lab = Lab(tmp_path, tables)
    asked = lab.check().finding("SYN-REL-004")
    assert (
        asked.message
        == "It is not clear which table vesicle.parent_id points to: neuron has the keys of all 9"
        " rows, axon those of 8."
    )
    assert (
        asked.fix == "Choose one: `tables.vesicle.parent: axon` or `tables.vesicle.parent: neuron`."
    )
    assert [(example.row, example.value) for example in asked.examples] == [(10, "6")]
    paste(lab, asked.fix)
    orphan = lab.check().finding("SYN-REL-001")
    assert (orphan.count, orphan.examples[0].value, orphan.settings) == (1, "6", [])


def _delimited(path: Path, rows: list[list[str]], delimiter: str) -> None:
    path.write_text("".join(delimiter.join(row) + "\n" for row in rows))


def _workbook(path: Path, rows: list[list[str]]) -> None:
    book = openpyxl.Workbook()
    for row in rows:
        book.active.append([int(cell) if cell.isdigit() else cell for cell in row])
    book.save(path)


def _parquet(path: Path, rows: list[list[str]], kind: str) -> None:
    names = ", ".join(f"column{n} AS {name}" for n, name in enumerate(rows[0]))
    numbers = ", ".join(f"{name}::{kind} AS {name}" for name in rows[0] if name == "parent_id")
    values = ", ".join(f"({', '.join(map(repr, row))})" for row in rows[1:])
    columns = ", ".join(f"column{n}" for n in range(len(rows[0])))
    replaced = f" REPLACE ({numbers})" if numbers else ""
    duckdb.sql(
        f"COPY (SELECT *{replaced} FROM (SELECT {names} FROM (VALUES {values}) t({columns}))) TO"
        f" '{path}' (FORMAT parquet)"
    )


FORMATS = {
    "tsv": ("tsv", lambda path, rows: _delimited(path, rows, "\t")),
    "xlsx": ("xlsx", _workbook),
    "parquet of whole numbers": ("parquet", lambda path, rows: _parquet(path, rows, "BIGINT")),
    "parquet of doubles": ("parquet", lambda path, rows: _parquet(path, rows, "DOUBLE")),
    "parquet of text": ("parquet", lambda path, rows: _parquet(path, rows, "VARCHAR")),
}


@pytest.mark.parametrize("form", FORMATS)
def test_one_wrong_key_is_asked_about_in_every_format(tmp_path: Path, form: str) -> None:
    suffix, write = FORMATS[form]
    tables = {
        "neuron": [["cid"], *([str(n)] for n in range(1, 31))],
        "dendrite": [["cid", "parent_id"], *([str(n), str(n)] for n in range(1, 21))],
        "mitochondria": [
            ["cid", "parent_id"],
            *([f"m{n}", str(n % 20 + 1)] for n in range(60)),
            ["m60", "25"],
        ],
    }
    lab = Lab(
        tmp_path,
        dict.fromkeys(tables),
        {name: {"file": f"{name}.{suffix}"} for name in tables},
        on_invalid="quarantine",
    )
    for name, rows in tables.items():
        write(tmp_path / f"{name}.{suffix}", rows)
    checked = lab.check()
    asked = checked.finding("SYN-REL-004")
    assert (checked.verdict, asked.table) == ("rejected", "mitochondria")
    assert "neuron has the keys of all 61 rows, dendrite those of 60" in asked.message
    assert asked.examples[0].value == "25"


def test_both_ends_of_synapses_are_asked_about_and_one_line_answers_for_both(
    tmp_path: Path,
) -> None:
    tables = {
        "neuron": csv("cid", "n1"),
        "pre_synaptic_terminal": csv("cid,parent_id", "1,n1", "2,n1"),
        "dendritic_spine": csv("cid,parent_id", "1,n1", "2,n1"),
        "synapse": csv("cid,pre_synapse_id,post_synapse_id", "s1,1,2", "s2,2,1"),
    }
    lab = Lab(tmp_path, tables)
    asked = [finding for finding in lab.check().findings if finding.code == "SYN-REL-004"]
    assert [finding.column for finding in asked] == ["pre_synapse_id", "post_synapse_id"]
    both = {"pre_synapse_id": "pre_synaptic_terminal", "post_synapse_id": "dendritic_spine"}
    assert [yaml.safe_load(finding.settings[0]) for finding in asked] == [
        {"tables": {"synapse": {"references": both}}}
    ] * 2
    paste(lab, asked[0].fix)
    assert lab.check().faults == []


def test_one_end_that_the_config_names_does_not_settle_the_other(tmp_path: Path) -> None:
    tables = {
        "neuron": csv("cid", *map(str, range(1, 11))),
        "axon": csv("cid,parent_id", *(f"{n},{n}" for n in range(1, 6))),
        "synapse": csv("cid,pre_synapse_id,post_synapse_id", "s1,1,2", "s2,2,3", "s3,6,4"),
    }
    asked = (
        Lab(tmp_path, tables, {"synapse": {"references": {"post_synapse_id": "axon"}}})
        .check()
        .finding("SYN-REL-004")
    )
    assert asked.column == "pre_synapse_id"
    assert "{post_synapse_id: axon, pre_synapse_id: axon}" in asked.settings[0]
    assert [example.value for example in asked.examples] == ["6"]


def test_a_table_that_points_to_nothing_there(tmp_path: Path) -> None:
    tables = {
        "neuron": NEURON,
        "axon": AXON,
        "pre_synaptic_terminal": csv("cid,parent_id,forms_synapse_with", "t1,a1,s1"),
    }
    lab = Lab(tmp_path, tables)
    missing = lab.check().finding("SYN-REL-005")
    assert (missing.table, missing.column) == ("pre_synaptic_terminal", "forms_synapse_with")
    paste(lab, missing.fix)
    assert lab.check().faults == []


def test_a_single_table_keeps_its_column_and_says_that_it_leads_nowhere(tmp_path: Path) -> None:
    checked = Lab(tmp_path, {"vesicle": csv("cid,parent_id", "v1,a1", "v2,")}).check()
    assert checked.verdict == "accepted"
    assert checked.faults == ["SYN-COL-004", "SYN-INT-003"]
    assert (checked.rows("vesicle").read, checked.rows("vesicle").rejected) == (2, 0)


@pytest.mark.parametrize("fault", [None, "key,parent_id\na1,n1\n"], ids=["missing file", "no cid"])
def test_an_unreadable_parent_table_is_told_once(tmp_path: Path, fault: str | None) -> None:
    vesicles = csv("cid,parent_id", "v1,a1", "v2,a2")
    checked = Lab(tmp_path, {"neuron": NEURON, "axon": fault, "vesicle": vesicles}).check()
    assert checked.verdict == "rejected"
    assert {
        finding.table for finding in checked.findings if finding.severity in ("error", "warning")
    } == {"axon"}
    assert checked.rows("vesicle").rejected == 0
    alone = Lab(tmp_path / "alone", {"axon": fault, "vesicle": vesicles}).check()
    assert {
        finding.table for finding in alone.findings if finding.severity in ("error", "warning")
    } == {"axon"}


def test_an_unreadable_table_does_not_hide_the_relations_that_are_there(tmp_path: Path) -> None:
    lab = Lab(
        tmp_path,
        {
            "neuron": NEURON,
            "axon": AXON,
            "dendrite": None,
            "vesicle": csv("cid,parent_id", "v1,a1"),
        },
    )
    checked = lab.check()
    assert checked.faults == ["SYN-READ-001"]
    assert lab.related("vesicle", "neuron_id") == [uid("neuron", "n1")]
