"""Cells that are not of their column's type: which rule each breaks, what was probably meant, and
what to do about it.

Belongs here: telling `1,5`, `NA`, `12 nm` and `3-Mar` apart, in SQL, and the advice for each. Does
not: deciding what casts.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from types import MappingProxyType
from typing import Final

import duckdb
import yaml

from syndb_pipeline.base.engine import literal, parquet, quote
from syndb_pipeline.checks.failures import Failures, Group
from syndb_pipeline.checks.units.units import units_setting
from syndb_pipeline.config.table_settings import ALL_COLUMNS, TableConfig
from syndb_pipeline.contract.key_encoding import rows_of
from syndb_pipeline.contract.no_value import IN_NUMBERS, IN_TEXT
from syndb_pipeline.contract.tables import INT32_MAX, INT64_MAX, TABLES, Column, Kind
from syndb_pipeline.contract.vocabularies import means
from syndb_pipeline.readers.casts import FALSE_WORDS, GROUPING_MARKS, TRUE_WORDS, WHITE_SPACE
from syndb_pipeline.rules.finding import Confidence
from syndb_pipeline.state.stage import Context
from syndb_pipeline.state.tables import columns_of, ingested

_MARKERS_TOLD: Final = 10

_NUMBER: Final = r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:e[+-]?[0-9]+)?"
_NOT_FINITE: Final = r"[+-]?(?:nan|inf|infinity|1\.#(?:inf|ind|qnan|nan)[0-9]*)"
_SPACES: Final = GROUPING_MARKS[" "]
_COMMA: Final = (
    rf"[+-]?[0-9]*,[0-9]+(?:e[+-]?[0-9]+)?|[+-]?[0-9]{{1,3}}(?:[.'’{_SPACES}][0-9]{{3}})+,[0-9]+(?:e[+-]?[0-9]+)?"
    r"|[+-]?[0-9]{1,3}(?:\.[0-9]{3}){2,}"
)
_LOOKALIKES, _MEANT = "\u00a0\u202f\u2009\u2019", "   '"
_COMMA_OR_THOUSANDS: Final = r"[+-]?[1-9][0-9]{0,2},[0-9]{3}"
_POINT_OR_THOUSANDS: Final = r"[+-]?[1-9][0-9]{0,2}\.[0-9]{3}"
_THOUSANDS: Final = (
    r"[+-]?[0-9]{1,3}(?:,[0-9]{2,3})*(?:,[0-9]{3})(?:\.[0-9]*)?"
    rf"|[+-]?[0-9]{{1,3}}(?:(?:[{_SPACES}][0-9]{{3}})+|(?:['’][0-9]{{3}})+|(?:_[0-9]{{3}})+)(?:\.[0-9]*)?"
)
# As spreadsheets shorten them in English, German (26. Sep, Mrz 26) and French.
_MONTH: Final = r"(?:jan|feb|m[aä]r|mrz|apr|ma[iy]|jun|jul|aug|sep|o[ck]t|nov|de[cz]|fév|avr|juin|juil|août|déc)"
_DATE: Final = (
    r"[0-9]{4}[-/.][0-9]{1,2}[-/.][0-9]{1,2}(?:["
    r" t].*)?|[0-9]{1,2}[-/.][0-9]{1,2}[-/.](?:[0-9]{2}|[0-9]{4})(?: .*)?"
    rf"|[0-9]{{1,2}}(?:[- .]|\. ){_MONTH}[a-z]*\.?(?:[- ][0-9]{{2,4}})?"
    rf"|{_MONTH}[a-z]*\.?[- .][0-9]{{1,4}}"
)
_UNIT: Final = rf"{_NUMBER}\s*(nm|[uµμ]m|mm|pm|å|angstroms?)(?:\^?[23]|[²³])?"
_CURRENCY: Final = (
    rf"(?:\p{{Sc}}|usd|eur|gbp|chf)\s*{_NUMBER}|{_NUMBER}\s*(?:\p{{Sc}}|usd|eur|gbp|chf)"
)
_SUFFIX: Final = rf"{_NUMBER}\s*[a-zµμ%°å*†‡#+].*"
_QUOTED: Final = rf"=?[\"'`‘’“”„«»]+\s*{_NUMBER}\s*[\"'`‘’“”„«»]*|={_NUMBER}"
_BRACKETS: Final = rf"[(\[{{<]\s*{_NUMBER}\s*[)\]}}>]"
_SEVERAL: Final = (
    rf"(?:[a-z_.]+\s*)?[(\[{{<]*\s*{_NUMBER}(?:(?:\s*[;,/|:]\s*|\s+){_NUMBER})+\s*[;,]?\s*[)\]}}>]*"
)
_DIGITS: Final = r"[+-]?\p{Nd}*[.,٫]?\p{Nd}+"
_SHORT: Final = r"[+-]?[0-9]+[.,]?[0-9]*e\+?[0-9]+|[+-]?[0-9]{16,}[.,]0*"
_RANGE: Final = rf"(?:<=?|>=?|~|≈|±|ca\.?|approx\.?|[0-9.]+\s*(?:±|\+/-|-|–|to|\.\.))\s*{_NUMBER}"
_MINUS: Final = rf"[−–‐‑]\s*{_NUMBER}"


def _classified(cells: str) -> str:
    """A query over `cells.parquet` that gives each uncast cell its rule and the label of its
    cause.
    """

    def full(pattern: str, text: str = "low") -> str:
        return f"regexp_full_match({text}, {literal(pattern)})"

    number = "CASE WHEN comma AND NOT contains(low, '.') THEN replace(low, ',', '.') ELSE low END"
    mark = (
        f"translate(regexp_extract(low, '[0-9]([^0-9.e+-])', 1), {literal(_LOOKALIKES)},"
        f" {literal(_MEANT)})"
    )
    # Both characters for micro become u; å and angstroms are written as the config wants them.
    unit = (
        f"replace(translate(rtrim(regexp_extract(low, {literal(_UNIT)}, 1), 's'), 'µμ', 'uu'), 'å',"
        " 'angstrom')"
    )
    return f"""
        WITH cells AS (
            SELECT cells.tbl, row_number, cells.col, raw, kind.kind, comma, id, lower(trim(raw,
              {literal(WHITE_SPACE)})) AS low
            FROM {cells} AS cells JOIN uncast_columns AS kind USING (tbl, col) WHERE cells.kind =
              'uncast'
        ), numbers AS (
            SELECT *, {full(_NUMBER, f"({number})")} AND NOT (comma AND contains(low, '.')) AS
              numeric,
                try_cast({number} AS DOUBLE) AS amount,
                regexp_matches({number}, '^[^e]*[.][0-9]*[1-9][0-9]*$') OR amount <> trunc(amount)
                  AS fraction
            FROM cells
        ), labels AS (
            SELECT *, CASE
                WHEN kind = 'boolean' AND list_contains({literal(list(IN_NUMBERS))}, low) THEN
                  'SYN-TYPE-003:marker'
                WHEN kind = 'boolean' THEN 'SYN-TYPE-003:'
                WHEN {full(_NOT_FINITE)} THEN 'SYN-VAL-002:' || low
                WHEN numeric AND kind = 'integer' AND fraction THEN 'SYN-TYPE-002:'
                WHEN id AND ({full(_SHORT)}) AND coalesce(amount < {float(INT64_MAX)!r}, TRUE) THEN
                  'SYN-ID-003:'
                WHEN numeric AND kind = 'number' THEN 'SYN-VAL-005:'
                WHEN numeric AND (amount IS NULL OR abs(amount) >= {float(INT64_MAX)!r}) THEN
                  'SYN-VAL-005:'
                -- A whole number that fits and was still not taken lies beyond what the float it
                -- was stored as can tell apart.
                WHEN numeric AND try_cast(low AS BIGINT) IS NOT NULL AND regexp_full_match(low,
                  '[+-]?[0-9]+') THEN 'SYN-ID-003:'
                WHEN numeric THEN 'SYN-TYPE-002:'
                WHEN low = col THEN 'SYN-TYPE-001:header'
                WHEN list_contains({literal(list(IN_NUMBERS))}, low) THEN 'SYN-TYPE-001:marker'
                WHEN low IN ('true', 'false', 'yes', 'no', 't', 'f', 'y', 'n') THEN
                  'SYN-TYPE-001:boolean'
                WHEN comma AND {full(_POINT_OR_THOUSANDS)} THEN 'SYN-TYPE-001:point or thousands'
                WHEN comma AND {full(_NUMBER)} THEN 'SYN-TYPE-001:point'
                WHEN NOT comma AND kind = 'number' AND {full(_COMMA_OR_THOUSANDS)} THEN
                  'SYN-TYPE-001:comma or thousands'
                WHEN {full(_COMMA)} AND NOT comma AND NOT (kind = 'integer' AND
                  {full(_COMMA_OR_THOUSANDS)}) THEN 'SYN-TYPE-001:comma'
                WHEN {full(_THOUSANDS)} THEN 'SYN-TYPE-001:thousands ' || {mark}
                WHEN {full(_DATE)} THEN 'SYN-TYPE-001:date'
                WHEN {full(_UNIT)} THEN 'SYN-TYPE-001:unit ' || {unit}
                WHEN {full(_CURRENCY)} THEN 'SYN-TYPE-001:currency'
                WHEN {full(_QUOTED)} THEN 'SYN-TYPE-001:quoted'
                WHEN {full(_BRACKETS)} THEN 'SYN-TYPE-001:brackets'
                WHEN {full(_SUFFIX)} THEN 'SYN-TYPE-001:suffix'
                WHEN {full(_MINUS)} THEN 'SYN-TYPE-001:minus'
                WHEN {full(_RANGE)} THEN 'SYN-TYPE-001:range'
                WHEN {full(_SEVERAL)} THEN 'SYN-TYPE-001:several'
                WHEN {full(_DIGITS)} THEN 'SYN-TYPE-001:digits'
                ELSE 'SYN-TYPE-001:' END AS label
            FROM numbers
        )
        SELECT split_part(label, ':', 1) AS code, tbl, row_number, col, raw AS value,
            -- `1,234` alone may be either; its neighbours in the column tell.
            CASE WHEN label <> 'SYN-TYPE-001:comma or thousands' THEN substr(label, strpos(label,
              ':') + 1)
                WHEN bool_or(label = 'SYN-TYPE-001:comma') OVER neighbours THEN 'comma'
                WHEN bool_or(label = 'SYN-TYPE-001:thousands ,') OVER neighbours THEN 'thousands ,'
                ELSE 'comma or thousands' END AS cause
        FROM labels WINDOW neighbours AS (PARTITION BY tbl, col)"""


def add_uncast(context: Context, failures: Failures) -> None:
    """Add the cells that ingest could not cast to `failures`, each under its rule and with the
    label of its cause.
    """
    cells = parquet(context.store.stage("ingest") / "cells.parquet")
    # Planning that many patterns takes longer than a small table does; mostly there is no cell to
    # hold against them.
    if not failures.connection.execute(
        f"SELECT 1 FROM {cells} WHERE kind = 'uncast' LIMIT 1"
    ).fetchall():
        return
    columns = [
        (
            table,
            column.name,
            column.kind.value,
            context.config.tables[table].decimal == ",",
            column.wire_type == "BIGINT",
        )
        for table in context.config.tables
        for column in TABLES[table].columns.values()
        if column.kind in (Kind.NUMBER, Kind.INTEGER, Kind.BOOLEAN)
    ]
    failures.connection.execute(
        "CREATE TEMP TABLE uncast_columns (tbl VARCHAR, col VARCHAR, kind VARCHAR, comma BOOLEAN,"
        " id BOOLEAN)"
    )
    rows = ", ".join(f"({', '.join(map(literal, row))})" for row in columns)
    if rows:
        failures.connection.execute(f"INSERT INTO uncast_columns VALUES {rows}")
    failures.add(_classified(cells))


def marker_settings(connection: duckdb.DuckDBPyConnection, context: Context) -> dict[str, str]:
    """Table -> the line of its config that declares the missing markers found among its cells, with
    those already declared.
    """
    rows = connection.execute(
        f"""SELECT tbl, trim(value, {literal(WHITE_SPACE)}) AS marker, list(DISTINCT col) FROM
              failures
            WHERE (code IN ('SYN-TYPE-001', 'SYN-TYPE-003') AND cause = 'marker') OR code =
              'SYN-VAL-002'
            GROUP BY tbl, marker ORDER BY tbl, count(*) DESC, marker"""
    ).fetchall()
    found: dict[str, dict[str, list[str]]] = {}
    for table, value, columns in rows:
        if len(found.setdefault(table, {})) < _MARKERS_TOLD:
            found[table][value] = columns
    return {
        table: safe_setting(connection, context, table, markers) for table, markers in found.items()
    }


def safe_setting(
    connection: duckdb.DuckDBPyConnection,
    context: Context,
    table: str,
    markers: Mapping[str, Collection[str]],
) -> str:
    """`missing_setting` for `markers`, each with the columns where it was found: for these alone
    where another column would lose a value.

    Reads the table once.
    """
    present = [
        TABLES[table].columns[name]
        for name in columns_of(ingested(context)[table])
        if name in TABLES[table].columns
    ]
    config = context.config.tables[table]
    asked = [
        (marker, column.name, condition)
        for marker, columns in markers.items()
        for column in present
        if column.name not in columns and (condition := _holds(column, marker, config))
    ]
    counts = ", ".join(f"count_if({condition})" for *_, condition in asked)
    [held] = (
        connection.execute(f"SELECT {counts} FROM {rows_of(ingested(context)[table])}").fetchall()
        if asked
        else [()]
    )
    elsewhere = {marker for (marker, *_), count in zip(asked, held, strict=True) if count}
    alone: dict[str, list[str]] = {}
    for marker in elsewhere:
        for column in sorted(markers[marker]):
            alone.setdefault(column, []).append(marker)
    return missing_setting(
        table, config, [marker for marker in markers if marker not in elsewhere], alone
    )


def _holds(column: Column, marker: str, config: TableConfig) -> str:
    """SQL: a cell of `column` is a value that `marker` would empty if it counted in all columns; ""
    where it would empty none of value.

    The usual words for "no value" are of no value anywhere but where they are a key, an answer, or
    a word of SynDB's too.
    """
    cell = quote(column.name)
    point = marker.replace(config.decimal, ".")
    if column.kind in (Kind.NUMBER, Kind.INTEGER):
        value = (
            float(point) * config.factor(column)
            if re.fullmatch(_NUMBER, point, flags=re.IGNORECASE)
            else None
        )
        return (
            f"{cell}::DOUBLE = {value!r}::DOUBLE"
            if value is not None and column.allows(value)
            else ""
        )
    if column.kind is Kind.BOOLEAN:
        answers = {**dict.fromkeys(TRUE_WORDS, cell), **dict.fromkeys(FALSE_WORDS, f"NOT {cell}")}
        return answers.get(marker.lower(), "")
    if (
        column.kind is not Kind.KEY
        and marker.lower() in IN_TEXT
        and not (column.vocabulary and means(column.vocabulary, marker))
    ):
        return ""
    return f"trim({cell}, {literal(WHITE_SPACE)}) = {literal(marker)}"


def missing_setting(
    table: str,
    config: TableConfig,
    found: Iterable[str],
    alone: Mapping[str, Iterable[str]] = MappingProxyType({}),
) -> str:
    """`tables.<table>.missing: [...]` as YAML ready to paste: what the config declares already,
    `found` for all columns, and `alone` for single ones.
    """
    by_column: dict[str, list[str]] = {
        name: [*markers] for name, markers in config.missing_by_column.items()
    }
    for name, markers in {ALL_COLUMNS: found, **alone}.items():
        by_column[name] = list(dict.fromkeys([*by_column.get(name, []), *markers]))
    quoted = {
        name: (
            yaml.safe_dump(
                markers,
                default_style='"',
                default_flow_style=True,
                width=10_000,
                allow_unicode=True,
            ).strip()
        )
        for name, markers in by_column.items()
    }
    if not set(by_column) - {ALL_COLUMNS}:
        return f"tables.{table}.missing: {quoted[ALL_COLUMNS]}"
    listed = ", ".join(f"{name}: {markers}" for name, markers in quoted.items() if by_column[name])
    return f"tables.{table}.missing: {{{listed}}}"


_ADVICE: Final = {
    "boolean": (
        "These are answers, not numbers. Check that the column is mapped to the right name, or"
        " write 1 and 0 if it is a count."
    ),
    "header": (
        "This is a header row between the rows, as files joined end to end have it. Remove the"
        " line, or read the files by a glob."
    ),
    "comma": 'The comma is their decimal mark. Say so: `tables.{table}.decimal: ","`.',
    "point or thousands": (
        "The config makes the comma the decimal mark, and these have a point. If it groups"
        ' thousands, say so: `tables.{table}.thousands: "."`. If it is their decimal mark, use one'
        " mark in the file."
    ),
    "point": (
        "The config makes the comma the decimal mark (`tables.{table}.decimal`), and these have a"
        " point. Use one mark in the file, or take the setting out."
    ),
    "comma or thousands": (
        'If the comma is the decimal mark, say so: `tables.{table}.decimal: ","`. If it groups'
        ' thousands: `tables.{table}.thousands: ","`.'
    ),
    "date": (
        "A spreadsheet made dates of them. Export the numbers again from their source, with the"
        " column formatted as number or text."
    ),
    "suffix": "Write the number alone, without the text behind it.",
    "currency": "These are amounts of money. Check that the column is mapped to the right name.",
    "quoted": (
        "Quotation marks are part of these values, as when text was quoted twice. Write the numbers"
        " without them."
    ),
    "brackets": "Write the number alone, without brackets; in accounts (12) is -12.",
    "several": "Several numbers stand in one cell. Write one, or give each a column of its own.",
    "digits": "Their digits are those of another script. Write them as 0 to 9.",
    "minus": "Their minus sign is a typographic dash. Replace it by a plain hyphen: -",
    "range": "Write one number; SynDB has no ranges, limits or errors.",
    "": "Write a plain number such as 12.5, or leave the cell empty where there is no value.",
}


def number_advice(
    group: Group, column: Column, config: TableConfig, markers: dict[str, str]
) -> str:
    """What to do about cells of one cause that are no numbers; `markers` comes from
    `marker_settings`.
    """
    if group.cause == "marker":
        return (
            f"If this stands for `no value`, say so: `{markers[group.table]}`, or leave the cells"
            " empty."
        )
    if group.cause.startswith("thousands "):
        mark = group.cause.removeprefix("thousands ")
        if mark == config.decimal:
            return (
                "The config calls their grouping mark the decimal mark. Use one mark for one"
                " purpose in the file."
            )
        return f'They group thousands. Say so: `tables.{group.table}.thousands: "{mark}"`.'
    if group.cause.startswith("unit "):
        unit = group.cause.removeprefix("unit ")
        if unit == "nm" or column.dimension is None or column.kind is not Kind.NUMBER:
            return f"Write the numbers without {unit}."
        setting = units_setting(group.table, config, {column.name: unit})
        return f"Write the numbers without {unit}, and give the unit in the config: `{setting}`."
    return _ADVICE[group.cause].format(table=group.table)


def confidence(group: Group) -> Confidence:
    """How sure it is what the cells of a group that are no numbers mean."""
    sure: dict[str, Confidence] = {
        "comma or thousands": "possible",
        "point or thousands": "possible",
        "marker": "likely",
    }
    return sure.get(group.cause, "certain")


def limit_in_words(column: Column) -> str:
    """Which numbers the column holds, for a person."""
    if column.kind is Kind.NUMBER:
        return "from about 4.9e-324 to 1.8e308"
    return f"up to {INT32_MAX:,}" if column.wire_type == "INTEGER" else f"up to {INT64_MAX:,}"
