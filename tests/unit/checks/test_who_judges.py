"""pandera judges: SQL of ours that lets a wrong cell pass, or refuses a right one, is found before
anything is accepted.

Belongs here: each check of the contract with its SQL broken, from the lab's file to the exit code.
Does not: whether the SQL and pandera agree as they are (`test_compiled_checks.py`).
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import duckdb
import pytest
import yaml

from syndb_pipeline.base.engine import quote
from syndb_pipeline.base.errors import Exit, PipelineError
from syndb_pipeline.checks.cells import pandera_judge
from syndb_pipeline.cli import main
from syndb_pipeline.contract.checks import Check, checked_table, checked_words, column_checks
from syndb_pipeline.contract.predicates import (
    Ascii,
    AtMostCharacters,
    Finite,
    OneOf,
    Predicate,
    Within,
)
from syndb_pipeline.contract.tables import TABLES, Column, Kind
from syndb_pipeline.contract.vocabularies import VOCABULARIES
from tests.campaigns import sampled
from tests.command_line import TERMS
from tests.stage_lab import METADATA, Lab, csv

LARGE = 300
"""Rows of a table of which `SAMPLE` are judged whatever they are like."""
SAMPLE = 20


class Break(NamedTuple):
    """A check of a column whose SQL is broken, and a cell that breaks this check and no other."""

    table: str
    column: str
    check: Check
    wrong: str
    right: str


def breaks() -> Iterator[Break]:
    """Every check of every column of the contract, with a cell below and one above where there are
    two bounds.

    Columns that several tables have alike are held in the first of them.
    """
    seen = set()
    for table in TABLES.values():
        for column in table.columns.values():
            checks = list(column_checks(column))
            if column.vocabulary:
                checks += checked_words(column.vocabulary).columns["word"].checks
            for check in checks:
                for wrong in wrong_cells(check.predicate):
                    if (column.name, check, wrong) in seen:
                        continue
                    seen.add((column.name, check, wrong))
                    yield Break(table.name, column.name, check, wrong, right_cell(column))


def wrong_cells(predicate: Predicate) -> list[str]:
    match predicate:
        case Finite():
            return ["inf", "-inf"]
        case Within():
            below = (
                []
                if predicate.minimum is None
                else [predicate.minimum - (0 if predicate.above else 1)]
            )
            above = [] if predicate.maximum is None else [predicate.maximum + 1]
            return [f"{bound:.0f}" for bound in (*below, *above)]
        case AtMostCharacters():
            return ["a" * (predicate.limit + 1)]
        case Ascii():
            return ["gab\u00e9"]
        case OneOf():
            return ["no such word"]
    raise AssertionError(predicate)


def right_cell(column: Column) -> str:
    if column.vocabulary:
        return VOCABULARIES[column.vocabulary][0]
    return "1" if column.kind in (Kind.NUMBER, Kind.INTEGER) else "a"


BREAKS = list(breaks())
OF_EACH_KIND = list(
    {
        (type(each.check.predicate), each.check.code, each.wrong): each
        for each in BREAKS
        if not isinstance(each.check.predicate, Finite)
    }.values()
)


def name_of(each: Break) -> str:
    return f"{each.table}.{each.column}-{each.check.code}-{each.wrong[:5]}"


def file_of(each: Break, wrong_row: int, rows: int) -> str:
    keys = TABLES[each.table].pair or ("cid",)
    cells = [each.wrong if row == wrong_row else each.right for row in range(rows)]
    header = ",".join([*keys, each.column])
    return csv(
        header, *(",".join([f"k{row}"] * len(keys) + [cell]) for row, cell in enumerate(cells))
    )


def break_sql(monkeypatch: pytest.MonkeyPatch, each: Break, sql: str) -> None:
    """Have the SQL of this one check be `sql`; other columns, and other checks of this one, keep
    theirs.
    """
    kind, whole = type(each.check.predicate), type(each.check.predicate).sql
    cells = {quote(each.column), quote("word")}

    def broken(self: Predicate, cell: str) -> str:
        return sql if self == each.check.predicate and cell in cells else whole(self, cell)  # type: ignore[arg-type]

    monkeypatch.setattr(kind, "sql", broken)


def read(folder: Path, each: Break, wrong_row: int, rows: int) -> Lab:
    """A lab whose one table has been read."""
    lab = Lab(
        folder, {each.table: file_of(each, wrong_row, rows)}, rules={each.check.code: "error"}
    )
    lab.run_one("ingest")
    return lab


def validated(lab: Lab) -> list[str]:
    """The codes of the errors that validate finds."""
    return [finding.code for finding in lab.run_one("validate", force=True).errors]


def beyond_the_sample(rows: int) -> int:
    """A row of a large table that is not in its sample."""
    with duckdb.connect() as connection:
        numbered = f"SELECT range AS {pandera_judge.ROW_NUMBER} FROM range({rows})"
        chosen = {
            row for (row,) in connection.execute(pandera_judge.sampled(numbered, rows)).fetchall()
        }
    assert len(chosen) < rows
    return next(row for row in range(rows // 2, rows) if row not in chosen)


@pytest.mark.parametrize("each", sampled("who judges", BREAKS, 60), ids=name_of)
def test_a_wrong_cell_that_sql_lets_pass_is_never_accepted(
    each: Break, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lab = read(tmp_path, each, 1, 3)
    assert each.check.code in validated(lab)
    break_sql(monkeypatch, each, "TRUE")
    if isinstance(
        each.check.predicate, Finite
    ):  # ingest keeps such cells apart, so the SQL is a second guard
        assert each.check.code in validated(lab)
        return
    with pytest.raises(PipelineError, match=f"{each.check.code} by pandera") as raised:
        validated(lab)
    assert raised.value.exit is Exit.INTERNAL
    if not isinstance(each.check.predicate, OneOf):  # words are judged as words, wherever they are
        assert f"{each.table}.csv, row 3, column {each.column}" in str(raised.value)


@pytest.mark.parametrize("each", OF_EACH_KIND, ids=name_of)
def test_a_large_table_is_held_beyond_its_sample(
    each: Break, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pandera_judge, "SAMPLE_ROWS", SAMPLE)
    lab = read(tmp_path, each, beyond_the_sample(LARGE), LARGE)
    assert each.check.code in validated(lab)
    break_sql(monkeypatch, each, "TRUE")
    with pytest.raises(PipelineError, match=f"{each.check.code} by pandera"):
        validated(lab)


@pytest.mark.parametrize("wrong", ["inf", "-inf", "nan"])
@pytest.mark.parametrize("rows", [3, LARGE])
def test_a_number_that_is_not_finite_is_found_where_sql_lets_it_pass(
    rows: int, wrong: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pandera_judge, "SAMPLE_ROWS", SAMPLE)
    monkeypatch.setattr(Finite, "sql", lambda self, cell: "TRUE")
    row = beyond_the_sample(rows) if rows > SAMPLE else 1
    cells = (
        f"SELECT range AS {pandera_judge.ROW_NUMBER}, if(range = {row}, '{wrong}', '1')::DOUBLE AS"
        f" voxel_radius FROM range({rows})"
    )
    with (
        duckdb.connect() as connection,
        pytest.raises(
            PipelineError, match=f"row {row}, column voxel_radius.*SYN-VAL-002 by pandera"
        ),
    ):
        list(
            pandera_judge.failing_cells(
                connection, cells, checked_table("vesicle", ["voxel_radius"])
            )
        )


@pytest.mark.parametrize("rows", [3, LARGE])
@pytest.mark.parametrize("kind", [Finite, Within, AtMostCharacters, Ascii, OneOf])
def test_a_right_cell_that_sql_refuses_is_our_fault(
    kind: type[Predicate], rows: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pandera_judge, "SAMPLE_ROWS", SAMPLE)
    each = next(each for each in BREAKS if isinstance(each.check.predicate, kind))
    lab = read(tmp_path, each._replace(wrong=each.right), 1, rows)
    break_sql(monkeypatch, each, "FALSE")
    with pytest.raises(
        PipelineError, match=f"{each.check.code} by DuckDB, and does not by pandera"
    ):
        validated(lab)


@pytest.mark.parametrize("name", ["check", "plan", "publish"])
def test_the_command_ends_with_1_and_nothing_is_sent(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "neuron.csv").write_text(csv("cid,voxel_volume", "n1,5e9", "n2,-5e9", "n3,6e9"))
    content = {
        "dataset": METADATA,
        "tables": {"neuron": {"file": "neuron.csv"}},
        "terms": TERMS,
        "publish": {"destination": "local", "approval": "standing"},
    }
    (tmp_path / "dataset.yaml").write_text(yaml.safe_dump(content))
    monkeypatch.setenv("SYNDB_STATE", str(tmp_path / "state"))
    monkeypatch.setattr(sys, "argv", ["syndb-pipeline", name, str(tmp_path / "dataset.yaml")])

    def ended() -> int:
        with pytest.raises(SystemExit) as raised:
            main.main()
        assert isinstance(raised.value.code, int)
        return raised.value.code

    assert ended() == Exit.REJECTED
    each = next(
        each
        for each in BREAKS
        if (each.table, each.column, each.check.code) == ("neuron", "voxel_volume", "SYN-VAL-001")
    )
    break_sql(monkeypatch, each, "TRUE")
    monkeypatch.setenv("SYNDB_STATE", str(tmp_path / "another"))
    capsys.readouterr()
    assert ended() == Exit.INTERNAL
    told = capsys.readouterr().err
    for expected in (
        "neuron.csv, row 3",
        "voxel_volume",
        "-5000000000.0",
        "SYN-VAL-001",
        "fault of syndb-pipeline",
        "sent",
    ):
        assert expected in " ".join(told.split()), told
    assert not list(tmp_path.glob("another/**/*.tar"))
