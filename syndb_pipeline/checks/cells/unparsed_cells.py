"""Values that a column cannot hold: what was probably meant by each, how sure that is, and what to
do.

Belongs here: telling `1,5`, `NA`, `12 nm` and `3-Mar` apart, in SQL, and values out of range. Does
not: deciding what casts (`readers/casts.py`) or what is out of range (`contract/checks.py`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final, NamedTuple

from syndb_pipeline.base.engine import literal, parquet
from syndb_pipeline.checks.cells.markers import NUMBER, safe_setting
from syndb_pipeline.checks.failures import Failures, Group
from syndb_pipeline.checks.inspected import Inspected
from syndb_pipeline.checks.units.magnitudes import units_setting
from syndb_pipeline.config.table_settings import TableConfig
from syndb_pipeline.contract.no_value import IN_NUMBERS, NUMBERS_OUT_OF_RANGE
from syndb_pipeline.contract.tables import INT32_MAX, INT64_MAX, TABLES, Column, Kind
from syndb_pipeline.readers.casts import GROUPING_MARKS, WHITE_SPACE
from syndb_pipeline.rules.finding import Confidence
from syndb_pipeline.state.stage import Context

_MARKERS_SHOWN: Final = 10

# -- cells that could not be cast

_SPACES: Final = GROUPING_MARKS[" "]
_LOOKALIKES, _MEANT = "\u00a0\u202f\u2009\u2019", "   '"
_POINT_OR_THOUSANDS: Final = r"[+-]?[1-9][0-9]{0,2}\.[0-9]{3}"
_COMMA_OR_THOUSANDS: Final = _POINT_OR_THOUSANDS.replace(r"\.", ",")
_COMMA: Final = (
    r"[+-]?[0-9]*,[0-9]+(?:e[+-]?[0-9]+)?"
    rf"|[+-]?[0-9]{{1,3}}(?:[.'’{_SPACES}][0-9]{{3}})+,[0-9]+(?:e[+-]?[0-9]+)?"
    r"|[+-]?[0-9]{1,3}(?:\.[0-9]{3}){2,}"
)
_THOUSANDS: Final = (
    r"[+-]?[0-9]{1,3}(?:,[0-9]{2,3})*(?:,[0-9]{3})(?:\.[0-9]*)?"
    rf"|[+-]?[0-9]{{1,3}}(?:(?:[{_SPACES}][0-9]{{3}})+|(?:['’][0-9]{{3}})+|(?:_[0-9]{{3}})+)"
    r"(?:\.[0-9]*)?"
)
# As spreadsheets shorten them in English, German (26. Sep, Mrz 26) and French.
_MONTH: Final = (
    r"(?:jan|feb|m[aä]r|mrz|apr|ma[iy]|jun|jul|aug|sep|o[ck]t|nov|de[cz]"
    r"|fév|avr|juin|juil|août|déc)[a-z]*\.?"
)
_DATE: Final = (
    r"[0-9]{4}[-/.][0-9]{1,2}[-/.][0-9]{1,2}(?:["
    r" t].*)?|[0-9]{1,2}[-/.][0-9]{1,2}[-/.](?:[0-9]{2}|[0-9]{4})(?: .*)?"
    rf"|[0-9]{{1,2}}(?:[- .]|\. ){_MONTH}(?:[- ][0-9]{{2,4}})?|{_MONTH}[- .][0-9]{{1,4}}"
)
_UNIT: Final = rf"{NUMBER}\s*(nm|[uµμ]m|mm|pm|å|angstroms?)(?:\^?[23]|[²³])?"
_MONEY: Final = r"(?:\p{Sc}|usd|eur|gbp|chf)"
_SHORTENED: Final = r"[+-]?[0-9]+[.,]?[0-9]*e\+?[0-9]+|[+-]?[0-9]{16,}[.,]0*"


class _Form(NamedTuple):
    """Cells that could not be cast, of one form.

    `when` is SQL over low (the cell in small letters), kind, comma (the config's decimal mark is
    one), id, numeric, amount and fraction. `cause` labels them, with the SQL `detail` behind it.
    """

    cause: str
    when: str
    advice: str = ""
    code: str = "SYN-TYPE-001"
    detail: str = "''"
    sure: Confidence = "certain"


def _is(pattern: str) -> str:
    return f"regexp_full_match(low, {literal(pattern)})"


def _one_of(words: Iterable[str]) -> str:
    return f"list_contains({literal([*words])}, low)"


_MARK: Final = (
    f"translate(regexp_extract(low, '[0-9]([^0-9.e+-])', 1), {literal(_LOOKALIKES)},"
    f" {literal(_MEANT)})"
)
# Both characters for micro become u; å and angstroms are written as the config wants them.
_UNIT_OF_CELL: Final = (
    f"replace(translate(rtrim(regexp_extract(low, {literal(_UNIT)}, 1), 's'), 'µμ', 'uu'), 'å',"
    " 'angstrom')"
)
_TOO_LARGE: Final = f"abs(amount) >= {float(INT64_MAX)!r}"

_FORMS: Final = (
    _Form("marker", f"kind = 'boolean' AND {_one_of(IN_NUMBERS)}", code="SYN-TYPE-003"),
    _Form("", "kind = 'boolean'", code="SYN-TYPE-003"),
    _Form(
        "",
        _is(r"[+-]?(?:nan|inf|infinity|1\.#(?:inf|ind|qnan|nan)[0-9]*)"),
        code="SYN-VAL-002",
        detail="low",
    ),
    _Form("", "numeric AND kind = 'integer' AND fraction", code="SYN-TYPE-002"),
    _Form(
        "",
        f"id AND ({_is(_SHORTENED)}) AND coalesce(amount < {float(INT64_MAX)!r}, TRUE)",
        code="SYN-ID-003",
    ),
    _Form(
        "", f"numeric AND (kind = 'number' OR amount IS NULL OR {_TOO_LARGE})", code="SYN-VAL-005"
    ),
    # A whole number that fits and was still not taken lies beyond what the float it was stored as
    # can hold.
    _Form(
        "",
        f"numeric AND try_cast(low AS BIGINT) IS NOT NULL AND {_is('[+-]?[0-9]+')}",
        code="SYN-ID-003",
    ),
    _Form("", "numeric", code="SYN-TYPE-002"),
    _Form(
        "header",
        "low = col",
        "This is a header row between the rows, as files joined end to end have it. Remove the"
        " line, or read the files by a glob.",
    ),
    _Form(
        "marker",
        _one_of(IN_NUMBERS),
        "If this stands for `no value`, say so: `{markers}`, or leave the cells empty.",
        sure="likely",
    ),
    _Form(
        "boolean",
        _one_of(("true", "false", "yes", "no", "t", "f", "y", "n")),
        "These are answers, not numbers. Check that the column is mapped to the right name, or"
        " write 1 and 0 if it is a count.",
    ),
    _Form(
        "point or thousands",
        f"comma AND {_is(_POINT_OR_THOUSANDS)}",
        "The config makes the comma the decimal mark, and these have a point. If it groups"
        ' thousands, say so: `tables.{table}.thousands: "."`. If it is their decimal mark, use one'
        " mark in the file.",
        sure="possible",
    ),
    _Form(
        "point",
        f"comma AND {_is(NUMBER)}",
        "The config makes the comma the decimal mark (`tables.{table}.decimal`), and these have a"
        " point. Use one mark in the file, or take the setting out.",
    ),
    _Form(
        "comma or thousands",
        f"NOT comma AND kind = 'number' AND {_is(_COMMA_OR_THOUSANDS)}",
        'If the comma is the decimal mark, say so: `tables.{table}.decimal: ","`. If it groups'
        ' thousands: `tables.{table}.thousands: ","`.',
        sure="possible",
    ),
    _Form(
        "comma",
        f"NOT comma AND NOT (kind = 'integer' AND {_is(_COMMA_OR_THOUSANDS)}) AND {_is(_COMMA)}",
        'The comma is their decimal mark. Say so: `tables.{table}.decimal: ","`.',
    ),
    _Form("thousands ", _is(_THOUSANDS), detail=_MARK),
    _Form(
        "date",
        _is(_DATE),
        "A spreadsheet made dates of them. Export the numbers again from their source, with the"
        " column formatted as number or text.",
    ),
    _Form("unit ", _is(_UNIT), detail=_UNIT_OF_CELL),
    _Form(
        "currency",
        _is(rf"{_MONEY}\s*{NUMBER}|{NUMBER}\s*{_MONEY}"),
        "These are amounts of money. Check that the column is mapped to the right name.",
    ),
    _Form(
        "quoted",
        _is(rf"=?[\"'`‘’“”„«»]+\s*{NUMBER}\s*[\"'`‘’“”„«»]*|={NUMBER}"),
        "Quotation marks are part of these values, as when text was quoted twice. Write the numbers"
        " without them.",
    ),
    _Form(
        "brackets",
        _is(rf"[(\[{{<]\s*{NUMBER}\s*[)\]}}>]"),
        "Write the number alone, without brackets; in accounts (12) is -12.",
    ),
    _Form(
        "suffix",
        _is(rf"{NUMBER}\s*[a-zµμ%°å*†‡#§+].*"),
        "Write the number alone, without the text behind it.",
    ),
    _Form(
        "minus",
        _is(rf"[−–‐‑]\s*{NUMBER}"),
        "Their minus sign is a typographic dash. Replace it by a plain hyphen: -",
    ),
    _Form(
        "range",
        _is(rf"(?:<=?|>=?|~|≈|±|ca\.?|approx\.?|[0-9.]+\s*(?:±|\+/-|-|–|to|\.\.))\s*{NUMBER}"),
        "Write one number; SynDB has no ranges, limits or errors.",
    ),
    _Form(
        "several",
        _is(
            rf"(?:[a-z_.]+\s*)?[(\[{{<]*\s*{NUMBER}(?:(?:\s*[;,/|:]\s*|\s+){NUMBER})+"
            r"\s*[;,]?\s*[)\]}>]*"
        ),
        "Several numbers stand in one cell. Write one, or give each a column of its own.",
    ),
    _Form(
        "digits",
        _is(r"[+-]?\p{Nd}*[.,٫]?\p{Nd}+"),
        "Their digits are those of another script. Write them as 0 to 9.",
    ),
    _Form(
        "",
        "TRUE",
        "Write a plain number such as 12.5, or leave the cell empty where there is no value.",
    ),
)
"""The forms that are told apart, each but for those before it."""

_BY_CAUSE: Final = {form.cause: form for form in _FORMS if form.advice}


def add_unparsed(context: Context, failures: Failures) -> None:
    """Add the cells that ingest could not cast, each under its rule and with the label of its
    cause.
    """
    cells = parquet(context.store.stage("ingest") / "cells.parquet")
    # Planning that many patterns takes longer than a small table does; mostly there is no such
    # cell.
    if not failures.connection.execute(
        f"SELECT 1 FROM {cells} WHERE kind = 'uncast' LIMIT 1"
    ).fetchall():
        return
    kinds = ", ".join(
        f"({literal(table)}, {literal(name)}, {literal(column.kind.value)},"
        f" {config.decimal == ','}, {column.wire_type == 'BIGINT'})"
        for table, config in context.config.tables.items()
        for name, column in TABLES[table].columns.items()
        if column.kind in (Kind.NUMBER, Kind.INTEGER, Kind.BOOLEAN)
    )
    number = "CASE WHEN comma AND NOT contains(low, '.') THEN replace(low, ',', '.') ELSE low END"
    labels = " ".join(
        f"WHEN {form.when} THEN {literal(f'{form.code}:{form.cause}')} || {form.detail}"
        for form in _FORMS
    )
    failures.add(f"""WITH cells AS (
            SELECT cells.tbl, row_number, cells.col, raw, kinds.kind, comma, id, lower(trim(raw,
              {literal(WHITE_SPACE)})) AS low
            FROM {cells} AS cells JOIN (VALUES {kinds}) AS kinds(tbl, col, kind, comma, id) USING
              (tbl, col)
            WHERE cells.kind = 'uncast'
        ), numbers AS (
            SELECT *, regexp_full_match({number}, {literal(NUMBER)}) AND NOT (comma AND
              contains(low, '.')) AS numeric,
                try_cast({number} AS DOUBLE) AS amount,
                regexp_matches({number}, '^[^e]*[.][0-9]*[1-9][0-9]*$') OR amount <> trunc(amount)
                  AS fraction
            FROM cells
        ), labels AS (SELECT *, CASE {labels} END AS label FROM numbers)
        SELECT split_part(label, ':', 1) AS code, tbl, row_number, col, raw AS value,
            -- `1,234` alone may be either; its neighbours in the column say which.
            CASE WHEN label <> 'SYN-TYPE-001:comma or thousands' THEN substr(label, strpos(label,
              ':') + 1)
                WHEN bool_or(label = 'SYN-TYPE-001:comma') OVER neighbours THEN 'comma'
                WHEN bool_or(label = 'SYN-TYPE-001:thousands ,') OVER neighbours THEN 'thousands ,'
                ELSE 'comma or thousands' END AS cause
        FROM labels WINDOW neighbours AS (PARTITION BY tbl, col)""")


def marker_settings(failures: Failures, tables: Mapping[str, Inspected]) -> dict[str, str]:
    """Table -> the line of its config that declares the markers found among its cells, and those it
    has.
    """
    rows = failures.connection.execute(
        f"""SELECT tbl, trim(value, {literal(WHITE_SPACE)}) AS marker, list(DISTINCT col) FROM
              failures
            WHERE (code IN ('SYN-TYPE-001', 'SYN-TYPE-003') AND cause = 'marker') OR code =
              'SYN-VAL-002'
            GROUP BY tbl, marker ORDER BY tbl, count(*) DESC, marker"""
    ).fetchall()
    found: dict[str, dict[str, list[str]]] = {}
    for table, value, columns in rows:
        if len(found.setdefault(table, {})) < _MARKERS_SHOWN:
            found[table][value] = columns
    return {table: safe_setting(tables[table], markers) for table, markers in found.items()}


def describe(
    group: Group, table: Inspected, markers: Mapping[str, str], filled: int
) -> dict[str, Any]:
    """What the sentences about a `group` of values need.

    Args:
        markers: from `marker_settings`.
        filled: how many cells of the group's column have a value.
    """
    column, setting = table.declared[group.column], markers.get(group.table, "")
    if group.code == "SYN-TYPE-001":
        advice, sure = _number_advice(group.cause, column, table.name, table.config, setting)
        return {"advice": advice, "confidence": sure}
    if group.code == "SYN-TYPE-003":
        marked = f" If {group.written!r} stands for `no value`, say so: `{setting}`."
        return {"advice": marked if group.cause == "marker" else ""}
    if group.code == "SYN-VAL-001":
        factor = table.config.factor(column)
        became = f", which is {float(group.value):g} {column.unit}" if factor != 1 else ""
        advice, sure = _range_advice(group, table, filled)
        return {"bounds": column.bounds, "became": became, "advice": advice, "confidence": sure}
    if group.code == "SYN-VAL-002":
        return {"value": group.value.strip(), "setting": setting}
    limit = column.max_length if group.code == "SYN-VAL-003" else _limit(column)
    return {"limit": limit, "suffix": column.suffix}


def _number_advice(
    cause: str, column: Column, table: str, config: TableConfig, markers: str
) -> tuple[str, Confidence]:
    """What to do about cells that are no numbers, and how sure it is what they mean."""
    kind, _, detail = cause.partition(" ")
    if kind == "thousands":
        if detail == config.decimal:
            return (
                (
                    "The config calls their grouping mark the decimal mark. Use one mark for one"
                    " purpose in the file."
                ),
                "certain",
            )
        return f'They group thousands. Say so: `tables.{table}.thousands: "{detail}"`.', "certain"
    if kind == "unit":
        if detail == "nm" or column.dimension is None or column.kind is not Kind.NUMBER:
            return f"Write the numbers without {detail}.", "certain"
        setting = units_setting(table, config, {column.name: detail})
        return (
            f"Write the numbers without {detail}, and give the unit in the config: `{setting}`.",
            "certain",
        )
    form = _BY_CAUSE[cause]
    return form.advice.format(table=table, markers=markers), form.sure


def _limit(column: Column) -> str:
    """Which numbers the column holds, for a person."""
    if column.kind is Kind.NUMBER:
        return "from about 4.9e-324 to 1.8e308"
    return f"up to {INT32_MAX if column.wire_type == 'INTEGER' else INT64_MAX:,}"


# -- values out of range

_RANGE_ADVICE: Final[dict[str, tuple[str, Confidence]]] = {
    # Declared as missing, 0 would empty the keys and counts that are 0 as well.
    "zero": ("If 0 stands for `no value`, leave those cells empty.", "possible"),
    "negative": ("Correct them at their source; a sign or a subtraction went wrong.", "certain"),
    "percent": ("They look like percentages; divide them by 100.", "possible"),
    "above": ("Correct them at their source; check the unit and the formula.", "certain"),
}


def cause_of(table: Inspected, columns: Iterable[str]) -> str:
    """SQL of the label that splits failing values (code, col, value) by what was probably meant.

    Markers are labelled as the lab wrote them, before conversion.
    """
    declared = {name: table.declared[name] for name in columns}
    factors = {
        name: factor
        for name, column in declared.items()
        if (factor := table.config.factor(column)) != 1
    }
    by_column = " ".join(
        f"WHEN {literal(name)} THEN {literal(factor)}" for name, factor in factors.items()
    )
    divided = f" / CASE col {by_column} ELSE 1 END" if factors else ""
    written = f"round(try_cast(value AS DOUBLE){divided}, 6)"
    fractions = [name for name, column in declared.items() if column.maximum == 1]
    return f"""CASE code WHEN 'SYN-VAL-002' THEN lower(value) WHEN 'SYN-VAL-001' THEN CASE
        WHEN list_contains({literal([float(number) for number in NUMBERS_OUT_OF_RANGE])}, {written})
            THEN 'marker ' || {written}::BIGINT
        WHEN {written} = 0 THEN 'zero'
        WHEN {written} < 0 THEN 'negative'
        WHEN {written} BETWEEN CASE col WHEN 'mesh_sphericity' THEN 2 ELSE 1 END AND 100
            AND list_contains({literal(fractions)}::VARCHAR[], col) THEN 'percent'
        ELSE 'above' END ELSE '' END"""


def label_lone_numbers(failures: Failures, tables: Mapping[str, Inspected]) -> None:
    """Label values out of range that are one number in all cells of their column: a wrong sign
    gives several.
    """
    groups = failures.connection.execute(
        """SELECT tbl, col, any_value(value) FROM failures WHERE code = 'SYN-VAL-001'
           GROUP BY ALL HAVING count(*) > 1 AND count(DISTINCT value) = 1 AND any_value(cause) IN
             ('negative', 'above')"""
    ).fetchall()
    for table, column, value in groups:
        factor = tables[table].config.factor(tables[table].declared[column])
        failures.connection.execute(
            "UPDATE failures SET cause = ? WHERE code = 'SYN-VAL-001' AND tbl = ? AND col = ?",
            [f"marker alone {round(float(value) / factor, 6):.15g}", table, column],
        )


def _range_advice(group: Group, table: Inspected, filled: int) -> tuple[str, Confidence]:
    """What to do about values out of range, and how sure it is what they stand for."""
    if group.cause in _RANGE_ADVICE:
        advice, sure = _RANGE_ADVICE[group.cause]
        # Where most of a column's values would be one, a percentage is likely.
        return advice, "likely" if group.cause == "percent" and group.count * 2 > filled else sure
    number = group.cause.split()[-1]
    setting = safe_setting(table, {number: [group.column]})
    advice = f"If {number} stands for `no value`, leave those cells empty, or say so: `{setting}`."
    if group.cause.startswith("marker alone "):
        advice = (
            f"All of them are {number}, as a marker is. {advice} Otherwise correct them at their"
            " source."
        )
    return advice, "likely"
