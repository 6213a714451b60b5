"""The casts, held against arithmetic done in Python with exact fractions.

Belongs here: one cell in, value or fault out, for every kind and source type. Does not: files.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import duckdb
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from syndb_pipeline.config.table_settings import TableConfig
from syndb_pipeline.contract.tables import TABLES, Column, Kind
from syndb_pipeline.readers import casts
from syndb_pipeline.readers.part import Part

NUMBER = Column("n", Kind.NUMBER, "", dimension=1)
INTEGER = Column("n", Kind.INTEGER, "")
KEY = Column("n", Kind.KEY, "")
TEXT = Column("n", Kind.TEXT, "")
BOOLEAN = Column("n", Kind.BOOLEAN, "")
PATH = Column("n", Kind.PATH, "")

Cell = tuple[Any, tuple[str, str] | None]


@pytest.fixture(scope="module")
def connection() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect() as opened:
        casts.prepare(opened)
        yield opened


def cast(
    connection: duckdb.DuckDBPyConnection,
    values: list[Any],
    column: Column,
    kind: str = "VARCHAR",
    source: str = "",
    *,
    trimmed: bool = False,
    **config: Any,
) -> list[Cell]:
    """Each value's typed value and, where it is noted, (raw, kind). `trimmed` is what the
    reader says of the file's texts.
    """
    connection.execute(
        "CREATE OR REPLACE TEMP TABLE given_values AS SELECT unnest(?::VARCHAR[]) AS c0", [values]
    )
    relation = source or f"(SELECT c0::{kind} AS c0 FROM given_values)"
    part = Part(Path("x"), "x", ("n",), (kind,), relation, len(values), trimmed=trimmed)
    query = casts.select(part, {"n": 0}, {"n": column}, ["n"], TableConfig(file="x", **config))
    answer = []
    for value, cells in connection.execute(
        f"SELECT n, {casts.cells_of()} FROM ({query})"
    ).fetchall():
        noted = [(cell["raw"], cell["kind"]) for cell in cells or []]
        assert len(noted) <= 1
        assert not cells or all(cell["col"] == "n" for cell in cells)
        answer.append((value, noted[0] if noted else None))
    return answer


DECIMAL = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")


def exact(text: str) -> Fraction | None:
    """The number a text stands for, exactly; None when it is no number or its exponent is out of
    all proportion.
    """
    stripped = text.strip(casts.WHITE_SPACE)
    if not DECIMAL.fullmatch(stripped):
        return None
    mantissa, _, exponent = stripped.lower().partition("e")
    return (
        None
        if abs(int(exponent or 0)) > 2000
        else Fraction(mantissa if mantissa[-1] != "." else mantissa[:-1])
        * Fraction(10) ** int(exponent or 0)
    )


def expected_double(text: str, power: int = 0) -> float | None:
    number = exact(text)
    if number is None:
        return None
    try:
        value = float(number * Fraction(10) ** power)
    except OverflowError:
        return None
    return None if value == 0 and number != 0 else value


def expected_integer(text: str) -> int | None:
    number = exact(text)
    if number is None or number.denominator != 1 or not -(2**63) <= number < 2**63:
        return None
    return int(number)


numeric_texts = st.one_of(
    st.floats(allow_nan=False, allow_infinity=False).map(repr),
    st.integers(-(2**66), 2**66).map(str),
    st.decimals(allow_nan=False, allow_infinity=False, places=6).map(str),
    st.from_regex(r"\A[ \t]?[+-]?[0-9]{0,21}\.?[0-9]{0,6}([eE][+-]?[0-9]{1,3})?[ ]?\Z"),
    st.text(alphabet="0123456789+-._eE, xNnaAiIfF\t", max_size=8),
)
listed = st.lists(numeric_texts, min_size=1, max_size=40)

AWKWARD = [
    "12abc", "true", "2020-01-02",
    "1,234", "1_000", "0x1F", "0b1", "1e400", "-1e400", "1e-400", "NaN", " NaN", "inf", "-Infinity ", "+-5", "--5",
    "5.", ".5", ".",
    "e5", "1e", "1 000", "١٢", "$5", "1e+5", "0", "0.0", "-0.0", "+0", "0e999", "00012", "5\t", "\u00a05", "1e5e3", "nan(1)",
]  # fmt: skip


WHOLE = "12 +12 12.0 1e3 1.5 1.5e1 9223372036854775807 9223372036854775808 -9223372036854775808"
WHOLE += " 9007199254740993 9007199254740993.0 9007199254740993e0 12.0000000000000000000001 120e-1"
WHOLE = (WHOLE + " 123e-1 0e-5 1e18 1e19").split(" ")


def is_blank(text: str) -> bool:
    return not text.strip(casts.WHITE_SPACE)


@settings(max_examples=60, deadline=None)
@given(
    listed,
    st.sampled_from([("um", 3), ("mm", 6), ("pm", -3), ("angstrom", -1), ("nm", 0)]),
    st.sampled_from([1, 2, 3, -1]),
)
@example(AWKWARD, ("nm", 0), 1)
@example(["26.9129", "1.5e-2", "1E3", "5 ", "5.", ".5", "1_0", "nan", "0", "0.000"], ("um", 3), 1)
def test_a_number_is_the_nearest_double_whatever_its_unit_or_is_noted(
    connection: duckdb.DuckDBPyConnection, texts: list[str], unit: tuple[str, int], dimension: int
) -> None:
    column = replace(NUMBER, dimension=dimension)
    found = cast(connection, texts, column, units={"n": unit[0]})
    for text, (value, noted) in zip(texts, found, strict=True):
        assert value == expected_double(text, unit[1] * dimension), text
        assert noted == (None if value is not None or is_blank(text) else (text, "uncast")), text


@settings(max_examples=30, deadline=None)
@given(listed)
@example(AWKWARD + WHOLE)
def test_an_integer_is_exact_or_noted(
    connection: duckdb.DuckDBPyConnection, texts: list[str]
) -> None:
    for text, (value, noted) in zip(texts, cast(connection, texts, INTEGER), strict=True):
        assert value == expected_integer(text), text
        assert noted == (None if value is not None or is_blank(text) else (text, "uncast")), text


QUOTES = "\"'`\u00b4\u2018\u2019\u201a\u201c\u201d\u201e\u00ab\u00bb\u2039\u203a"
IN_MARKS = re.compile(f"=.+|[{QUOTES}].*[{QUOTES}]|[{QUOTES}][0-9]+")
SHORT_NUMBER = re.compile("[+-]?[0-9][0-9.,]*[eE][+0-9]*")
"""Keys that are noted for what they look like (`test_odd_keys.py`)."""


@settings(max_examples=30, deadline=None)
@given(
    st.lists(
        st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=12),
        min_size=1,
        max_size=40,
    )
)
@example(["=0", "'1'", "\u201eA\u201c", "'7", "'x", "="])
@example(["1.0", "01", "1", " 1", "1\t", "\u00a0a b\u00a0", "é", "aé", "", "   ", "~", "~~"])
@example(["\ufeff1", "a\nb", "\u200b", "n", " n"])
def test_a_key_is_its_text_trimmed(connection: duckdb.DuckDBPyConnection, texts: list[str]) -> None:
    for text, (value, noted) in zip(texts, cast(connection, texts, KEY), strict=True):
        trimmed = text.strip(casts.WHITE_SPACE)
        assert value == (trimmed or None)
        if IN_MARKS.fullmatch(trimmed):
            assert noted == (text, "marks")
        elif not SHORT_NUMBER.fullmatch(trimmed):
            own_name = (text, "name") if text == "n" else None  # which may be a repeated header
            assert noted == ((text, "trimmed") if trimmed and trimmed != text else own_name)


printed = st.text(st.characters(min_codepoint=ord("!"), max_codepoint=ord("~")), max_size=30)


@settings(max_examples=10, deadline=None)
@given(st.lists(printed, min_size=30, max_size=80))
def test_keys_of_a_file_without_blanks_are_the_same_unlooked_at(
    connection: duckdb.DuckDBPyConnection, texts: list[str]
) -> None:
    for column, markers in (
        (KEY, []),
        (KEY, ["NA", "-1", texts[0]]),
        (replace(KEY, required=True), ["NA", texts[0]]),
    ):
        looked_at = cast(connection, texts, column, missing=markers)
        assert cast(connection, texts, column, trimmed=True, missing=markers) == looked_at


LONG = "9007199254740994"
COMMA = {"decimal": ","}
MISSING = {"missing": ["NA", "-1"]}
UUID = "01939c0e-7b1a-7c3e-9f53-6f0c6b1d2a11"
TEXTS = "VARCHAR"


@pytest.mark.parametrize(
    ("column", "kind", "config", "expected"),
    [
        (TEXT, TEXTS, {}, {" a ": " a ", "": None, "NaN": "NaN"}),
        (PATH, TEXTS, {}, {" a.swc ": "a.swc", "": None}),
        (BOOLEAN, TEXTS, {}, {"true": True, "FALSE": False, "1": True, "0": False, "Yes": True}),
        (BOOLEAN, TEXTS, {}, {" no ": False, "": None, "maybe": "uncast", "1.0": "uncast"}),
        *(
            (column, TEXTS, MISSING, dict.fromkeys(["NA", " NA ", "-1", "-1 "]))
            for column in (NUMBER, INTEGER, KEY, TEXT, BOOLEAN, PATH)
        ),
        # A marker that is a number means that number in columns of numbers, and that text in
        # others: pandas writes -1 as -1.0 in a csv, and Parquet has no text at all.
        (NUMBER, TEXTS, MISSING, {"-1.0": None, "-1e0": None, "-10": -10.0}),
        (INTEGER, TEXTS, MISSING, {"-1.0": None}),
        (KEY, TEXTS, MISSING, {"-1.0": "-1.0"}),
        (NUMBER, TEXTS, {"missing": ["-1,0"], **COMMA}, {"-1,0": None, "-1": None}),
        (NUMBER, TEXTS, COMMA, {"1,5": 1.5, "12": 12.0, ",5": 0.5, " 1,5 ": 1.5, "1,5e3": 1500.0}),
        (NUMBER, TEXTS, COMMA, dict.fromkeys(["1.5", "1,2,3", "1.234", "1 234"], "uncast")),
        (NUMBER, TEXTS, COMMA, dict.fromkeys(["1.23,5", "1.2345.678"], "uncast")),
        (NUMBER, TEXTS, COMMA, {"1.234,5": 1234.5, "-1.234.567": -1234567.0}),
        (NUMBER, TEXTS, COMMA, {"12 345,25": 12345.25, "1\u202f234,5e3": 1234500.0}),
        (INTEGER, TEXTS, COMMA, {"12,0": 12, "12": 12, "12,5": "uncast", "12.0": "uncast"}),
        (NUMBER, TEXTS, {"units": {"n": "um"}, **COMMA}, {"26,9129": 26912.9}),
        (
            NUMBER,
            TEXTS,
            {"thousands": ".", "missing": ["-1,0"], "units": {"n": "um"}, **COMMA},
            {"1.234": 1234000.0, "1.234,5": 1234500.0, "-1": None, "0,5": 500.0},
        ),
        (NUMBER, TEXTS, {"thousands": ","}, {"1,234": 1234, " 1,234,567.5 ": 1234567.5}),
        (NUMBER, TEXTS, {"thousands": ","}, {"12,34,567": 1234567, "1.5": 1.5, "1,23": "uncast"}),
        (INTEGER, TEXTS, {"thousands": ","}, {"1234": 1234, "1,234e2": 123400}),
        (INTEGER, TEXTS, {"thousands": ","}, {"1,2345": "uncast", "1.5": "uncast"}),
        (NUMBER, TEXTS, {"thousands": " "}, {"1 234": 1234, "1\u00a0234.5": 1234.5}),
        (NUMBER, TEXTS, {"thousands": " "}, {"1  234": "uncast", "1 23": "uncast"}),
        (NUMBER, TEXTS, {"thousands": "'"}, {"1'234": 1234, "1\u2019234'567": 1234567}),
        (NUMBER, TEXTS, {"thousands": "_"}, {"1_234": 1234, "1_23": "uncast", "_123": "uncast"}),
        # Typed columns, as Parquet has them.
        (NUMBER, "DOUBLE", {}, {"1.5": 1.5, "NaN": "uncast", "inf": "uncast", "-inf": "uncast"}),
        (NUMBER, "DOUBLE", {"missing": ["NaN", "-1"]}, {"1.5": 1.5, "nan": None, "-1": None}),
        (NUMBER, "DOUBLE", {"units": {"n": "um"}}, {"26.9129": 26912.9}),
        (KEY, "DOUBLE", {}, {"1": "1", "9007199254740992": "9007199254740992", "NaN": "NaN"}),
        (INTEGER, "DOUBLE", {}, {"12": 12, "1.5": "uncast", LONG: "uncast", "NaN": "uncast"}),
        (KEY, "BIGINT", {}, {"864691128000000123": "864691128000000123"}),
        (KEY, "UBIGINT", {}, {"18446744073709551615": "18446744073709551615"}),
        (INTEGER, "UBIGINT", {}, {"18446744073709551615": "uncast"}),
        (INTEGER, "BIGINT", {}, {"9007199254740993": 9007199254740993}),
        (KEY, "DECIMAL(20,2)", {}, {"12.00": "12", "12.50": "12.5"}),
        (INTEGER, "DECIMAL(20,2)", {}, {"100": 100}),
        (NUMBER, "DECIMAL(38,10)", {}, {"0.1": 0.1}),
        (NUMBER, "BOOLEAN", {}, {"true": "uncast"}),
        (BOOLEAN, "BOOLEAN", {}, {"true": True}),
        (NUMBER, "DATE", {}, {"2020-01-02": "uncast"}),
        (INTEGER, "TIMESTAMP", {}, {"2020-01-02 03:04:05": "uncast"}),
        (NUMBER, "INTEGER[]", {}, {"[1, 2]": "uncast"}),
        (TEXT, "DOUBLE", {}, {"5": "5"}),
        (NUMBER, "FLOAT", {}, {"0.5": 0.5}),
        (NUMBER, "HUGEINT", {}, {"5": 5.0}),
        (KEY, "UUID", {}, {UUID.upper(): UUID}),
    ],
)
def test_values(
    connection: duckdb.DuckDBPyConnection,
    column: Column,
    kind: str,
    config: dict[str, Any],
    expected: dict[str, Any],
) -> None:
    """Each text's value, or "uncast" where it is noted to be none."""
    found = cast(connection, [*expected, None], column, kind, **config)
    noted = [
        (None, (text, "uncast")) if value == "uncast" else (value, None)
        for text, value in expected.items()
    ]
    assert found == [*noted, (None, None)]


def test_keys_that_a_float_may_have_changed(connection: duckdb.DuckDBPyConnection) -> None:
    found = cast(connection, [LONG, "1.5"], KEY, "DOUBLE")
    assert found == [(LONG, (LONG, "float")), ("1.5", ("1.5", "float"))]


@pytest.mark.parametrize(
    ("kind", "value", "key"),
    [
        ("UUID BYTES", f"from_hex('{UUID.replace('-', '')}')", UUID),
        ("BLOB", "'abc'::BLOB", "abc"),
        ("BLOB", "from_hex('FF00')", "FF00"),
    ],
)
def test_sixteen_bytes_are_a_uuid_and_other_bytes_are_text(
    connection: duckdb.DuckDBPyConnection, kind: str, value: str, key: str
) -> None:
    assert cast(connection, [None], KEY, kind, f"(SELECT {value} AS c0)") == [(key, None)]


def test_every_double_survives_its_own_text(connection: duckdb.DuckDBPyConnection) -> None:
    numbers = [math.pi * 10.0**power for power in range(-300, 300, 7)]
    assert [
        value for value, _ in cast(connection, [repr(number) for number in numbers], NUMBER)
    ] == numbers


def test_every_column_of_the_contract_has_a_cast(connection: duckdb.DuckDBPyConnection) -> None:
    for table in TABLES.values():
        names = list(table.columns)
        source = f"(SELECT {', '.join(f'NULL::VARCHAR AS c{i}' for i in range(len(names)))})"
        part = Part(Path("x"), "x", tuple(names), ("VARCHAR",) * len(names), source, 1)
        query = casts.select(
            part,
            {name: i for i, name in enumerate(names)},
            table.columns,
            names,
            TableConfig(file="x"),
        )
        described = connection.execute(f"DESCRIBE {query}").fetchall()
        assert {name: kind for name, kind, *_ in described[:-1]} == {
            name: column.sql_type for name, column in table.columns.items()
        }
        assert described[-1][0] == casts.CELLS
