"""Values that a column cannot hold: what was probably meant by each, how sure that is, what to do.

Belongs here: distinguishing `1,5`, `NA`, `12 nm` and `3-Mar`, in SQL, and values out of range;
their forms are in the TOML files. Does not: deciding what casts (`readers/casts.py`) or what is out
of range (`contract/checks.py`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

from syndb_pipeline.base.engine import literal, parquet
from syndb_pipeline.checks.causes import Cause, causes, label
from syndb_pipeline.checks.cells.markers import NUMBER, UNPARSED, safe_setting
from syndb_pipeline.checks.dataset import Inspected
from syndb_pipeline.checks.failures import Failures, Group
from syndb_pipeline.checks.units.magnitudes import units_setting
from syndb_pipeline.contract.no_value import IN_NUMBERS, NUMBERS_OUT_OF_RANGE
from syndb_pipeline.contract.tables import INT32_MAX, INT64_MAX, TABLES, Column, Kind
from syndb_pipeline.readers.casts import WHITE_SPACE
from syndb_pipeline.rules.finding import Confidence
from syndb_pipeline.state.stage import Context


class _Form(Cause):
    """Cells that could not be cast, of one form; see the TOML file."""

    code: str = "SYN-TYPE-001"
    cause: str | None = None
    detail: str = "''"
    sure: tuple[Confidence, Confidence] = ("certain", "certain")

    @property
    def labelled(self) -> str:
        return self.name if self.cause is None else self.cause


_FORMS: Final = causes(UNPARSED, _Form)
_NUMBERS: Final = {
    form.labelled.strip(): form for form in _FORMS.values() if form.code == "SYN-TYPE-001"
}
_RANGES: Final = causes(Path(__file__).with_name("values_out_of_range.toml"), Cause)

_MARKERS_SHOWN: Final = 10


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
    labels = " ".join(
        f"WHEN {form.test} THEN {literal(f'{form.code}:{form.labelled}')} || {form.detail}"
        for form in _FORMS.values()
        if form.test
    )
    failures.add(f"""WITH cells AS (
            SELECT cells.tbl, row_number, cells.col, raw, kinds.kind, comma, id,
                translate(lower(trim(raw, {literal(WHITE_SPACE)})), '\u00a0\u202f\u2009’µμ',
                  '   ''uu') AS low,
                list_contains({literal(list(IN_NUMBERS))}, low) AS no_value,
                CASE WHEN comma AND NOT contains(low, '.') THEN replace(low, ',', '.') ELSE low END
                  AS number
            FROM {cells} AS cells JOIN (VALUES {kinds}) AS kinds(tbl, col, kind, comma, id) USING
              (tbl, col)
            WHERE cells.kind = 'uncast'
        ), numbers AS (
            SELECT *, try_cast(number AS DOUBLE) AS amount,
                regexp_full_match(number, {literal(NUMBER)}) AND NOT (comma AND contains(low, '.'))
                  AS numeric,
                regexp_matches(number, '^[^e]*[.][0-9]*[1-9][0-9]*$') OR amount <> trunc(amount) AS
                  fraction
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
    """Table -> the line of its config that declares the markers found among its cells, and its
    own.
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
        group: cells of one column that break one rule for one cause.
        table: the table they are in.
        markers: from `marker_settings`.
        filled: how many cells of the group's column have a value.
    """
    column, setting = table.declared[group.column], markers.get(group.table, "")
    if group.code == "SYN-TYPE-001":
        return _describe_number(group.cause, column, table, setting)
    if group.code == "SYN-TYPE-003":
        form = _FORMS["no_answer" if group.cause == "marker" else "other_answer"]
        return form.described({"value": group.written, "markers": setting})
    if group.code == "SYN-VAL-001":
        became = f", which is {float(group.value):g} {column.unit}"
        return {
            "bounds": column.bounds,
            "became": became if table.config.factor(column) != 1 else "",
            **_describe_range(group, table, filled),
        }
    if group.code == "SYN-VAL-002":
        return {"value": group.value.strip(), "setting": setting}
    limit: object = column.max_length
    if group.code == "SYN-VAL-005":
        most = INT32_MAX if column.wire_type == "INTEGER" else INT64_MAX
        number = column.kind is Kind.NUMBER
        limit = "from about 4.9e-324 to 1.8e308" if number else f"up to {most:,}"
    return {"limit": limit, "suffix": column.suffix}


def _describe_number(cause: str, column: Column, table: Inspected, markers: str) -> dict[str, Any]:
    """What to do about cells that are no numbers, and how sure it is what they mean."""
    form, detail, setting = _NUMBERS.get(cause), "", ""
    if form is None:
        kind, _, detail = cause.partition(" ")
        by_decimal_mark = kind == "thousands" and detail == table.config.decimal
        form = _NUMBERS["thousands_by_the_decimal_mark" if by_decimal_mark else kind]
        if kind == "unit" and detail != "nm" and column.dimension and column.kind is Kind.NUMBER:
            units = units_setting(table.name, table.config, {column.name: detail})
            setting = f", and give the unit in the config: `{units}`"
    return form.described(
        {"table": table.name, "markers": markers, "detail": detail, "setting": setting}
    )


# -- values out of range


def causes_of(table: Inspected, columns: Iterable[str], failing: str) -> str:
    """A query for the rows of `failing` (code, row_number, col, value), and the label of their
    cause.

    Markers are labelled as the lab wrote them, before conversion.
    """
    declared = {name: table.declared[name] for name in columns}
    by_column = " ".join(
        f"WHEN {literal(name)} THEN struct_pack(factor := {table.config.factor(column)!r}::DOUBLE,"
        f" share := {_share(column)})"
        for name, column in declared.items()
    )
    numbers = literal([float(number) for number in NUMBERS_OUT_OF_RANGE])
    return f"""SELECT code, row_number, col, value, CASE code WHEN 'SYN-VAL-002' THEN lower(value)
            WHEN 'SYN-VAL-001' THEN {label(_RANGES.values())} || CASE WHEN marker THEN ' ' ||
              written::BIGINT ELSE '' END
            ELSE '' END AS cause
        FROM (SELECT *, CASE col {by_column} END AS known, struct_extract(known, 'share') AS share,
                round(try_cast(value AS DOUBLE) / struct_extract(known, 'factor'), 6) AS written,
                coalesce(list_contains({numbers}, written), FALSE) AS marker FROM {failing})"""


def _share(column: Column) -> int:
    """From where on a value of a column of fractions looks like a percentage; 0 for other
    columns.
    """
    return 0 if column.maximum != 1 else 2 if column.name == "mesh_sphericity" else 1


def label_lone_numbers(failures: Failures, tables: Mapping[str, Inspected]) -> None:
    """Label values out of range that are one number in all cells of their column."""
    groups = failures.connection.execute(
        """SELECT tbl, col, any_value(value) FROM failures WHERE code = 'SYN-VAL-001' GROUP BY ALL
           HAVING count(*) > 1 AND count(DISTINCT value) = 1 AND any_value(cause) IN ('negative',
             'above')"""
    ).fetchall()
    for table, column, value in groups:
        number = float(value) / tables[table].config.factor(tables[table].declared[column])
        failures.connection.execute(
            "UPDATE failures SET cause = ? WHERE code = 'SYN-VAL-001' AND tbl = ? AND col = ?",
            [f"lone {round(number, 6):.15g}", table, column],
        )


def _describe_range(group: Group, table: Inspected, filled: int) -> dict[str, Any]:
    """What to do about values out of range, and how sure it is what they mean."""
    name, _, number = group.cause.partition(" ")
    setting = safe_setting(table, {number: [group.column]}) if number else ""
    # Where most of a column's values would be one, a percentage is likely.
    sure: Confidence | None = "likely" if name == "percent" and group.count * 2 > filled else None
    return _RANGES[name].described({"number": number, "setting": setting}, sure)
