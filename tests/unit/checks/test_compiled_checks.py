"""The checks compiled to SQL against pandera's own verdict: the same cells fail, whatever is in the
table.

Belongs here: random tables of every kind, and the guard that holds the two together at run time.
Does not: what a rule is for (`tests/unit/contract/test_schema.py`).
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from typing import Any

import duckdb
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pandera.errors import SchemaErrors

from syndb_pipeline.base.errors import Exit, PipelineError
from syndb_pipeline.checks.cells.pandera_judge import (
    FAILING,
    ROW_NUMBER,
    check_types,
    compile_checks,
    count_failing,
    failing_cells,
    sampled,
)
from syndb_pipeline.contract.checks import (
    WORD,
    Check,
    CheckedColumn,
    CheckedTable,
    checked_table,
    checked_words,
)
from syndb_pipeline.contract.predicates import (
    Ascii,
    AtMostCharacters,
    Finite,
    OneOf,
    Predicate,
    Within,
)
from syndb_pipeline.contract.schema import POLARS_TYPES, schema_of, table_schema
from syndb_pipeline.contract.tables import SQL_TYPES, TABLES, Kind
from syndb_pipeline.contract.vocabularies import VOCABULARIES
from tests.campaigns import examples

Cells = set[tuple[str, str, int]]

CASES = examples(60, 250)
"""Random tables; a few thousand take minutes."""

TEXTS = st.one_of(
    st.text(max_size=6),
    st.sampled_from(
        ["", " ", "a" * 65, "a" * 66, "é" * 65, "é" * 66, "\U0001f9e0", "e\u0301", "GABA"]
    ),
)
FLOATS = st.one_of(
    st.floats(),
    st.sampled_from(
        [0.0, -0.0, 1.0, math.nextafter(1, 2), -5e-324, 5e-324, math.inf, -math.inf, math.nan]
    ),
)
INTEGERS = st.one_of(
    st.integers(-(2**63), 2**63 - 1),
    st.sampled_from([-1, 0, 1, 2**31 - 1, 2**31, -(2**31), -(2**31) - 1]),
)
VALUES: dict[type[pl.DataType], st.SearchStrategy[Any]] = {
    pl.String: TEXTS,
    pl.Float64: FLOATS,
    pl.Int64: INTEGERS,
    pl.Boolean: st.booleans(),
}


@st.composite
def tables(draw: st.DrawFn) -> tuple[CheckedTable, pl.DataFrame]:
    """A table and rows of it, its required columns and some of the others; any cell may lack a
    value.
    """
    name = draw(st.sampled_from(sorted(TABLES)))
    columns = TABLES[name].columns
    required = [column for column in columns if columns[column].required]
    optional = [column for column in columns if not columns[column].required]
    chosen = required + draw(st.lists(st.sampled_from(optional), unique=True, max_size=8))
    height = draw(st.integers(0, 30))
    data = {}
    for column in chosen:
        kind = POLARS_TYPES[columns[column].kind]
        cells = draw(st.lists(st.one_of(st.none(), VALUES[kind]), min_size=height, max_size=height))
        data[column] = pl.Series(column, cells, dtype=kind)
    return checked_table(name, chosen), pl.DataFrame(data)


def one_cell(
    name: str, kind: Kind, predicate: Predicate, *, required: bool = False
) -> CheckedTable:
    return CheckedTable(
        name, {"cell": CheckedColumn(kind, (Check("SYN-VAL-001", predicate),), required)}
    )


def pandera_says(table: CheckedTable, frame: pl.DataFrame) -> Cells:
    try:
        schema_of(table).validate(frame, lazy=True)
    except SchemaErrors as errors:
        return {
            (case["check"], case["column"], case["index"])
            for case in errors.failure_cases.to_dicts()
        }
    return set()


def sql_says(table: CheckedTable, frame: pl.DataFrame) -> Cells:
    with duckdb.connect() as connection:
        connection.register("given", frame.with_row_index(ROW_NUMBER).to_arrow())
        return {
            (check.code, check.column, row)
            for check in compile_checks(table)
            for (row,) in connection.execute(
                f"SELECT {ROW_NUMBER} FROM given WHERE {check.fails}"
            ).fetchall()
        }


@settings(max_examples=CASES, deadline=None)
@given(tables())
def test_the_same_cells_fail_in_sql_and_in_pandera(case: tuple[CheckedTable, pl.DataFrame]) -> None:
    table, frame = case
    failing = sql_says(table, frame)
    assert failing == pandera_says(table, frame)
    with duckdb.connect() as connection:
        connection.register("given", frame.with_row_index(ROW_NUMBER).to_arrow())
        expected = Counter((code, column) for code, column, _ in failing)
        assert count_failing(connection, "FROM given", table) == (frame.height, expected)


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(sorted(VOCABULARIES)), st.data())
def test_the_same_words_are_unknown(vocabulary: str, data: st.DataObject) -> None:
    known = st.sampled_from(sorted(VOCABULARIES[vocabulary]))
    words = data.draw(
        st.lists(st.one_of(known, known.map(str.upper), st.text(max_size=5)), max_size=30)
    )
    frame = pl.DataFrame({WORD: pl.Series(words, dtype=pl.String)})
    table = checked_words(vocabulary)
    assert sql_says(table, frame) == pandera_says(table, frame)


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
    @settings(max_examples=40, deadline=None)
    @given(st.lists(st.one_of(st.none(), VALUES[POLARS_TYPES[kind]]), max_size=40))
    def hold(cells: list[Any]) -> None:
        frame = pl.DataFrame({"cell": pl.Series(cells, dtype=POLARS_TYPES[kind])})
        table = one_cell("cell", kind, predicate)
        assert sql_says(table, frame) == pandera_says(table, frame)

    hold()


def test_every_check_of_the_contract_compiles() -> None:
    for name in TABLES:
        schema = table_schema(name)
        compiled = {(check.code, check.column) for check in compile_checks(checked_table(name))}
        assert compiled >= {
            (check.name, column) for column, each in schema.columns.items() for check in each.checks
        }


@dataclass(frozen=True)
class Crooked:
    """A predicate whose two forms disagree."""

    def polars(self, cell: pl.Expr) -> pl.Expr:
        return cell > 1

    def sql(self, cell: str) -> str:
        return f"{cell} > 2"

    def extremes(self, cell: str) -> tuple[str, ...]:
        return ()


def test_forms_that_disagree_are_our_fault_and_never_a_verdict() -> None:
    table = one_cell("crooked", Kind.INTEGER, Crooked(), required=True)
    rows = f"SELECT range + 10 AS {ROW_NUMBER}, range AS cell FROM range(1, 4)"
    with duckdb.connect() as connection, pytest.raises(PipelineError) as raised:
        list(failing_cells(connection, rows, table))
    for expected in (
        "row 12, column cell: '2' (crooked.cell)",
        "SYN-VAL-001",
        "fault of syndb-pipeline",
        "Nothing was accepted or sent",
    ):
        assert expected in str(raised.value)
    assert raised.value.exit is Exit.INTERNAL


@settings(max_examples=CASES, deadline=None)
@given(tables())
def test_a_columns_extremes_fail_where_any_cell_does(
    case: tuple[CheckedTable, pl.DataFrame],
) -> None:
    table, frame = case
    failing = {column for code, column, _ in sql_says(table, frame) if code != "not_nullable"}
    found = set()
    with duckdb.connect() as connection:
        connection.register("given", frame.to_arrow())
        for name, column in table.columns.items():
            cell = f'"{name}"'
            extremes = {each for check in column.checks for each in check.predicate.extremes(cell)}
            assert bool(extremes) == bool(column.checks)
            for each in extremes:
                fails = " OR ".join(f"NOT ({check.predicate.sql(cell)})" for check in column.checks)
                [(fails_there,)] = connection.execute(
                    f"SELECT {fails} FROM (SELECT {each} AS {cell} FROM given)"
                ).fetchall()
                found |= {name} if fails_there else set()
    assert found == failing


@pytest.mark.parametrize("dirty", [False, True], ids=["clean", "dirty"])
def test_one_cell_of_many_that_sql_lets_pass_is_found_beyond_the_sample(
    dirty: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("syndb_pipeline.checks.cells.pandera_judge.SAMPLE_ROWS", 10)
    monkeypatch.setattr(Within, "sql", lambda self, cell: f"{cell} >= -1")
    table = checked_table("vesicle", ["voxel_radius"])
    cells = (
        f"CASE WHEN range = 4321 THEN -0.5 WHEN {dirty} AND range = 77 THEN -2 ELSE 1 END::DOUBLE"
        " AS voxel_radius"
    )
    rows = f"SELECT range AS {ROW_NUMBER}, {cells} FROM range(20_000)"
    with duckdb.connect() as connection:
        (chosen,) = connection.execute(
            f"SELECT count(*) FROM ({sampled(rows, 20_000)}) WHERE voxel_radius < 0"
        ).fetchone() or (0,)
        assert not chosen
        with pytest.raises(PipelineError, match=r"row 4321, column voxel_radius: '-0\.5'"):
            list(failing_cells(connection, rows, table))


def test_failing_cells_keep_their_rows_number_across_batches(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("syndb_pipeline.checks.cells.pandera_judge._BATCH_ROWS", 2_048)
    monkeypatch.setattr("syndb_pipeline.checks.cells.pandera_judge.SAMPLE_ROWS", 500)
    table = checked_table("vesicle", ["voxel_radius"])
    rows = (
        f"SELECT range AS {ROW_NUMBER}, CASE WHEN range % 3 = 0 THEN -range::DOUBLE ELSE 1 END AS"
        " voxel_radius FROM range(20_000)"
    )
    found: list[tuple[int, str]] = []
    with duckdb.connect() as connection:
        batches = 0
        for _ in failing_cells(connection, rows, table):
            batches += 1
            found += connection.execute(f"SELECT {ROW_NUMBER}, value FROM {FAILING}").fetchall()
    assert batches > 1
    assert [(row, float(value)) for row, value in sorted(found)] == [
        (row, float(-row)) for row in range(0, 20_000, 3)
    ]


def described(columns: dict[str, str]) -> str:
    return f"SELECT {', '.join(f'NULL::{kind} AS {name}' for name, kind in columns.items())}"


@pytest.mark.parametrize("name", sorted(TABLES))
def test_types_that_pass_by_themselves_pass_in_pandera(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    columns = {column: each.sql_type for column, each in TABLES[name].columns.items()}
    with duckdb.connect() as connection:
        rows = connection.sql(described(columns)).to_arrow_table().slice(0, 0)
        assert pandera_says(checked_table(name), pl.DataFrame(pl.from_arrow(rows))) == set()
        monkeypatch.setattr("syndb_pipeline.checks.cells.pandera_judge._failing", pytest.fail)
        check_types(connection, described(columns), checked_table(name))


@pytest.mark.parametrize(
    "change",
    [
        {"cid": "BIGINT"},
        {"voxel_radius": "FLOAT"},
        {"voxel_radius": "VARCHAR"},
        {"colour": "VARCHAR"},
        {"cid": None},
    ],
    ids=["key", "narrow", "text", "unknown", "missing"],
)
def test_pandera_refuses_other_types(change: dict[str, str | None]) -> None:
    columns = {"cid": "VARCHAR", "voxel_radius": SQL_TYPES[Kind.NUMBER]} | change
    with duckdb.connect() as connection, pytest.raises(PipelineError, match="does not describe"):
        check_types(
            connection,
            described({name: kind for name, kind in columns.items() if kind}),
            checked_table("vesicle"),
        )
