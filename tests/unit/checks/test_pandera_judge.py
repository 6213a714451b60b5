"""Checks compiled to SQL against pandera's own verdict, and that pandera judges: SQL of ours that
lets a wrong cell pass, or refuses a right one, is found before anything is accepted.

Belongs here: random tables of every kind, each check of the contract with its SQL broken, and the
summaries of the sample. Does not: what a rule is for (`tests/unit/contract/test_schema.py`).
"""

from __future__ import annotations

import math
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import duckdb
import polars as pl
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from pandera.errors import SchemaErrors

from syndb_pipeline.base.engine import quote
from syndb_pipeline.base.errors import Exit, PipelineError
from syndb_pipeline.checks.cells import pandera_judge
from syndb_pipeline.checks.cells.pandera_judge import (
    FAILING,
    ROW_NUMBER,
    SAMPLED,
    check_types,
    compile_checks,
    count_failing,
    failing_cells,
    summarise,
    take_sample,
)
from syndb_pipeline.cli import main
from syndb_pipeline.contract.checks import (
    Ascii,
    AtMostCharacters,
    Check,
    CheckedColumn,
    CheckedTable,
    Finite,
    OneOf,
    Predicate,
    Within,
    checked_table,
    checked_words,
)
from syndb_pipeline.contract.schema import POLARS_TYPES, schema_of
from syndb_pipeline.contract.tables import SQL_TYPES, TABLES, Kind
from syndb_pipeline.contract.vocabularies import VOCABULARIES
from syndb_pipeline.state.results import Summary
from tests.campaigns import examples
from tests.command_line import TERMS
from tests.lab import METADATA, csv
from tests.shortcuts import connected

CASES = examples(40, 250)
LARGE, SAMPLE = 300, 20
"""Rows of a table, and of its sample, which is judged whatever its rows are like."""

TEXTS = st.one_of(
    st.text(max_size=6),
    st.sampled_from(["", " ", *("a" * 65, "a" * 66, "é" * 65, "é" * 66), "\U0001f9e0", "GABA"]),
)
NEXT = math.nextafter(1, 2)
FLOATS = [0.0, -0.0, 1.0, NEXT, -5e-324, 5e-324, math.inf, -math.inf, math.nan]
INTEGERS = [-1, 0, 1, 2**31 - 1, 2**31, -(2**31), -(2**31) - 1]
VALUES: dict[type[pl.DataType], st.SearchStrategy[Any]] = {
    pl.String: TEXTS,
    pl.Float64: st.one_of(st.floats(), st.sampled_from(FLOATS)),
    pl.Int64: st.one_of(st.integers(-(2**63), 2**63 - 1), st.sampled_from(INTEGERS)),
    pl.Boolean: st.booleans(),
}


def cells(kind: Kind, height: int | None = None) -> st.SearchStrategy[list[Any]]:
    cell = st.one_of(st.none(), VALUES[POLARS_TYPES[kind]])
    return st.lists(cell, min_size=height or 0, max_size=40 if height is None else height)


@st.composite
def tables(draw: st.DrawFn) -> tuple[CheckedTable, pl.DataFrame]:
    """A table and rows of it, its required columns and some of the others; any cell may lack a
    value.
    """
    name = draw(st.sampled_from(sorted(TABLES)))
    columns = TABLES[name].columns
    optional = [column for column in columns if not columns[column].required]
    chosen = [column for column in columns if columns[column].required]
    chosen += draw(st.lists(st.sampled_from(optional), unique=True, max_size=8))
    height = draw(st.integers(0, 30))
    data = {}
    for column in chosen:
        kind = columns[column].kind
        data[column] = pl.Series(column, draw(cells(kind, height)), dtype=POLARS_TYPES[kind])
    return checked_table(name, chosen), pl.DataFrame(data)


def one_cell(kind: Kind, predicate: Predicate, *, required: bool = False) -> CheckedTable:
    check = Check("SYN-VAL-001", predicate)
    return CheckedTable("one", {"cell": CheckedColumn(kind, (check,), required)})


def pandera_says(table: CheckedTable, frame: pl.DataFrame) -> set[tuple[str, str, int]]:
    try:
        schema_of(table).validate(frame, lazy=True)
    except SchemaErrors as errors:
        cases = errors.failure_cases.to_dicts()
        return {(case["check"], case["column"], case["index"]) for case in cases}
    return set()


def held(table: CheckedTable, frame: pl.DataFrame) -> set[str]:
    """SQL and pandera name the same cells, and SQL counts them right; the columns that have any."""
    with connected() as connection:
        connection.register("given", frame.with_row_index(ROW_NUMBER).to_arrow())

        def rows(query: str) -> list[tuple[Any, ...]]:
            return connection.execute(query).fetchall()

        failing = {
            (check.code, check.column, row)
            for check in compile_checks(table)
            for (row,) in rows(f"SELECT {ROW_NUMBER} FROM given WHERE {check.fails}")
        }
        assert failing == pandera_says(table, frame)
        counts = Counter((code, column) for code, column, _ in failing)
        assert count_failing(connection, "FROM given", table) == (frame.height, counts)
    return {column for code, column, _ in failing if code != "not_nullable"}


@settings(max_examples=CASES, deadline=None)
@given(tables())
def test_the_same_cells_fail_in_sql_and_in_pandera(case: tuple[CheckedTable, pl.DataFrame]) -> None:
    """And the extremes of a column fail where any of its cells does."""
    table, frame = case
    failing, found = held(table, frame), set()
    with connected() as connection:
        connection.register("given", frame.to_arrow())
        for name, column in table.columns.items():
            cell = quote(name)
            fails = " OR ".join(f"NOT ({check.predicate.sql(cell)})" for check in column.checks)
            for check in column.checks:
                for each in check.predicate.extremes(cell):
                    query = f"SELECT {fails} FROM (SELECT {each} AS {cell} FROM given)"
                    found |= {name} if connection.execute(query).fetchall()[0][0] else set()
    assert found == failing


@pytest.mark.parametrize(
    ("predicate", "kind"),
    [
        (Finite(), Kind.NUMBER),
        (Within(0, None), Kind.NUMBER),
        (Within(0, 1, above=True), Kind.NUMBER),
        (Within(0, 1, above=True, finite_only=True), Kind.NUMBER),
        (Within(None, 2**31 - 1), Kind.INTEGER),
        (Within(), Kind.INTEGER),
        (AtMostCharacters(3), Kind.TEXT),
        (Ascii(), Kind.TEXT),
        (OneOf(("GABA", "o'brien", "\\", "")), Kind.TEXT),
    ],
)
def test_every_kind_of_predicate_means_one_thing(predicate: Predicate, kind: Kind) -> None:
    table = one_cell(kind, predicate)

    @settings(max_examples=40, deadline=None)
    @given(cells(kind))
    def hold(values: list[Any]) -> None:
        frame = pl.DataFrame({"cell": pl.Series(values, dtype=POLARS_TYPES[kind])})
        held(table, frame)

    hold()


# -- pandera is the authority


class Break(NamedTuple):
    """A check of a column whose SQL is broken, and a cell that breaks this check and no other."""

    table: CheckedTable
    column: str
    check: Check
    wrong: str
    right: str

    def rows(self, wrong: int, count: int) -> str:
        """A query for so many rows, of which one is `wrong`."""
        cell = f"if(range = {wrong}, '{self.wrong}', '{self.right}')"
        kind = SQL_TYPES[self.table.columns[self.column].kind]
        return f"SELECT range AS {ROW_NUMBER}, {cell}::{kind} AS {self.column} FROM range({count})"

    def broken(self, monkeypatch: pytest.MonkeyPatch, sql: str) -> None:
        """Have the SQL of this one check be `sql`; other columns, and other checks of this one,
        keep theirs.
        """
        whole, own = type(self.check.predicate).sql, self.check.predicate

        def broken(predicate: Any, cell: str) -> str:
            theirs = predicate != own or cell != quote(self.column)
            return whole(predicate, cell) if theirs else sql

        monkeypatch.setattr(type(own), "sql", broken)


def wrong_cells(predicate: Predicate) -> list[str]:
    match predicate:
        case Finite():
            return ["inf", "-inf", "nan"]
        case Within(minimum=low, maximum=high, above=above):
            below = [] if low is None else [f"{low - (not above):.0f}"]
            return [*below, *([] if high is None else [f"{high + 1:.0f}"])]
        case AtMostCharacters():
            return ["a" * (predicate.limit + 1)]
        case Ascii():
            return ["gab\u00e9"]
        case OneOf():
            return ["no such word"]
    raise AssertionError(predicate)


def breaks() -> Iterator[Break]:
    """Every check of every column of the contract, and of the vocabularies."""
    held_to = [checked_table(name, [each]) for name in TABLES for each in TABLES[name].columns]
    held_to += [checked_words(name) for name in VOCABULARIES]
    seen = set()
    for table in held_to:
        [(name, column)] = table.columns.items()
        right = "1" if column.kind in (Kind.NUMBER, Kind.INTEGER) else "a"
        right = VOCABULARIES[table.name][0] if table.name in VOCABULARIES else right
        for check in column.checks:
            for wrong in wrong_cells(check.predicate):
                if (name, check, wrong) not in seen:
                    seen.add((name, check, wrong))
                    yield Break(table, name, check, wrong, right)


BREAKS = list(breaks())
KINDS = [*{(type(each.check.predicate), each.wrong): each for each in BREAKS}.values()]


def beyond_the_sample() -> int:
    """A row of a large table that is not in its sample."""
    numbered = f"SELECT range AS {ROW_NUMBER} FROM range({LARGE})"
    with connected() as connection:
        chosen = connection.execute(pandera_judge.sampled(numbered, LARGE)).fetchall()
    assert len(chosen) < LARGE
    return next(row for row in range(LARGE // 2, LARGE) if (row,) not in chosen)


def judged(each: Break, wrong: int, rows: int) -> list[tuple[str, str, int]]:
    """Code, column and row of the failing cells."""
    with connected() as connection:
        return [
            found
            for _ in failing_cells(connection, each.rows(wrong, rows), each.table)
            for found in connection.execute(
                f"SELECT code, col, row_number FROM {FAILING}"
            ).fetchall()
        ]


@pytest.mark.parametrize("rows", [3, LARGE])
def test_a_wrong_cell_that_sql_lets_pass_is_never_accepted(
    rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pandera_judge, "SAMPLE_ROWS", SAMPLE)
    row = 1 if rows == 3 else beyond_the_sample()
    for each in BREAKS if rows == 3 else KINDS:
        code, column = each.check.code, each.column
        if rows > SAMPLE and isinstance(each.check.predicate, OneOf):
            continue  # words are few: all of them are in the sample
        assert judged(each, row, rows) == [(code, column, row)]
        message = f"{column}, 0 break the rule {code} by DuckDB, and [12] by pandera"
        with monkeypatch.context() as patch, pytest.raises(PipelineError, match=message) as raised:
            each.broken(patch, "TRUE")
            judged(each, row, rows)
        assert raised.value.exit is Exit.INTERNAL


@pytest.mark.parametrize("rows", [3, LARGE])
def test_a_right_cell_that_sql_refuses_is_our_fault(
    rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pandera_judge, "SAMPLE_ROWS", SAMPLE)
    for each in KINDS:
        with monkeypatch.context() as patch, pytest.raises(PipelineError, match="0 by pandera"):
            each.broken(patch, "FALSE")
            judged(each._replace(wrong=each.right), 1, rows)


def test_failing_cells_keep_their_rows_number_across_batches(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(pandera_judge, "_BATCH_ROWS", 2_048)
    monkeypatch.setattr(pandera_judge, "SAMPLE_ROWS", 500)
    cell = "CASE WHEN range % 3 = 0 THEN -range::DOUBLE ELSE 1 END AS voxel_radius"
    rows = f"SELECT range AS {ROW_NUMBER}, {cell} FROM range(20_000)"
    batches: list[list[tuple[int, str]]] = []
    with connected() as connection:
        for _ in failing_cells(connection, rows, checked_table("vesicle", ["voxel_radius"])):
            batches.append(
                connection.execute(f"SELECT {ROW_NUMBER}, value FROM {FAILING}").fetchall()
            )
    assert len(batches) > 1
    found = sorted((row, float(value)) for batch in batches for row, value in batch)
    assert found == [(row, float(-row)) for row in range(0, 20_000, 3)]


def test_the_command_ends_with_1_and_nothing_is_sent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "neuron.csv").write_text(csv("cid,voxel_volume", "n1,5e9", "n2,-5e9", "n3,6e9"))
    content = {
        "dataset": METADATA,
        "tables": {"neuron": {"file": "neuron.csv"}},
        "terms": TERMS,
        "publish": {"destination": "local", "approval": "standing"},
    }
    (tmp_path / "dataset.yaml").write_text(yaml.safe_dump(content))
    monkeypatch.setattr(sys, "argv", ["syndb-pipeline", "publish", str(tmp_path / "dataset.yaml")])

    def ended(state: str) -> object:
        monkeypatch.setenv("SYNDB_STATE", str(tmp_path / state))
        with pytest.raises(SystemExit) as raised:
            main.main()
        return raised.value.code

    assert ended("one") == Exit.REJECTED
    each = next(
        each for each in BREAKS if (each.column, each.check.code) == ("voxel_volume", "SYN-VAL-001")
    )
    each.broken(monkeypatch, "TRUE")
    capsys.readouterr()
    assert ended("another") == Exit.INTERNAL
    shown = " ".join(capsys.readouterr().err.split())
    for expected in ("neuron.voxel_volume", "SYN-VAL-001", "fault of syndb-pipeline", "sent"):
        assert expected in shown
    assert not list(tmp_path.glob("another/**/*.tar"))


# -- types


def described(columns: dict[str, str]) -> str:
    return f"SELECT {', '.join(f'NULL::{kind} AS {name}' for name, kind in columns.items())}"


def test_types_that_pass_by_themselves_pass_in_pandera(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pandera_judge, "_failing", pytest.fail)
    for name, table in TABLES.items():
        columns = {column: each.sql_type for column, each in table.columns.items()}
        with connected() as connection:
            rows = connection.sql(described(columns)).to_arrow_table().slice(0, 0)
            assert pandera_says(checked_table(name), pl.DataFrame(pl.from_arrow(rows))) == set()
            check_types(connection, described(columns), checked_table(name))


@pytest.mark.parametrize(
    "change",
    [
        {"cid": "BIGINT"},
        {"voxel_radius": "FLOAT"},
        {"voxel_radius": "VARCHAR"},
        {"colour": "VARCHAR"},
        {"cid": ""},
    ],
)
def test_pandera_refuses_other_types(change: dict[str, str]) -> None:
    columns = {"cid": "VARCHAR", "voxel_radius": SQL_TYPES[Kind.NUMBER]} | change
    there = described({name: kind for name, kind in columns.items() if kind})
    with connected() as connection, pytest.raises(PipelineError, match="does not describe"):
        check_types(connection, there, checked_table("vesicle"))


# -- summaries

RADIUS = TABLES["vesicle"].columns["voxel_radius"]
COUNT = TABLES["axon"].columns["mitochondria_count"]


def summed(connection: duckdb.DuckDBPyConnection, query: str, folder: Path) -> Any:
    file = folder / "table.parquet"
    connection.execute(f"COPY ({query}) TO '{file}' (FORMAT parquet)")
    columns = [each for each in (RADIUS, COUNT) if each.name in query]
    take_sample(connection, file, [each.name for each in columns])
    return summarise(connection, file, columns)


@settings(max_examples=examples(20, 100), deadline=None)
@given(values=st.lists(st.one_of(st.none(), st.floats(width=64)), max_size=40))
def test_a_small_table_is_summed_up_exactly(
    values: list[float | None], tmp_path_factory: pytest.TempPathFactory
) -> None:
    with connected() as connection:
        connection.register(
            "given", pl.DataFrame({"v": pl.Series(values, dtype=pl.Float64)}).to_arrow()
        )
        folder = tmp_path_factory.mktemp("column")
        rows, summaries = summed(connection, "SELECT v AS voxel_radius FROM given", folder)
    finite = sorted(value for value in values if value is not None and math.isfinite(value))

    def smallest_that_reaches(share: float) -> float | None:
        return finite[max(0, math.ceil(share * len(finite)) - 1)] if finite else None

    assert (rows, summaries) == (
        len(values),
        {
            "voxel_radius": Summary(
                nulls=values.count(None),
                min=min(finite, default=None),
                p1=smallest_that_reaches(0.01),
                median=smallest_that_reaches(0.5),
                p99=smallest_that_reaches(0.99),
                max=max(finite, default=None),
            )
        },
    )


def test_a_large_table_is_sampled_the_same_way_every_time(tmp_path: Path) -> None:
    query = (
        "SELECT i::DOUBLE AS voxel_radius, i % 9 AS mitochondria_count FROM range(1_000_000) t(i)"
    )
    found = []
    with duckdb.connect() as connection:
        for threads in (1, 2):
            connection.execute(f"SET threads = {threads}")
            found.append(summed(connection, query, tmp_path))
        (rows,) = connection.execute(f"SELECT count(*) FROM {SAMPLED}").fetchone() or (0,)
    assert found[0] == found[1] and found[0][0] == 1_000_000
    assert 90_000 < rows < 110_000
    radius, count = found[0][1]["voxel_radius"], found[0][1]["mitochondria_count"]
    assert (radius.min, radius.max) == (0.0, 999_999.0), "of all rows, not of the sample"
    assert (radius.p1, radius.median, radius.p99) == (
        pytest.approx(10_000, abs=2_000),
        pytest.approx(500_000, abs=10_000),
        pytest.approx(990_000, abs=2_000),
    )
    assert count == Summary(nulls=0, min=0, p1=0, median=4, p99=8, max=8)
