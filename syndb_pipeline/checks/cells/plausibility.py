"""Measurements that hold together in nanometres: shape columns among themselves, and the numbers
all warnings about units rest on.

Belongs here: SYN-UNIT-001 and 002, and the summary of numeric columns. Does not: units of whole
columns (`units.py`), single values (`contract/checks.py`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isfinite, pi
from pathlib import Path
from typing import Any, Final

import duckdb

from syndb_pipeline.base.engine import literal, parquet, quote
from syndb_pipeline.checks.cells.summaries import SAMPLED, summarise
from syndb_pipeline.checks.failures import Failures
from syndb_pipeline.checks.original_text import examples
from syndb_pipeline.checks.references.relations import Swap
from syndb_pipeline.checks.references.swapped import columns_setting
from syndb_pipeline.checks.units.units import (
    Guess,
    guess_units,
    is_believable,
    tell_units,
    units_setting,
    window,
)
from syndb_pipeline.contract.tables import TABLES, Column, Kind
from syndb_pipeline.rules.finding import MAX_EXAMPLES, Confidence, Finding
from syndb_pipeline.state.failing_cells import is_error
from syndb_pipeline.state.row_locations import SourceMap
from syndb_pipeline.state.stage import Context

TOLERANCE: Final = 0.01
"""Relative difference up to which a derived shape column agrees with area and volume: rounding to
three digits stays below it.
"""

_NEARLY_ALL: Final = 0.9
_STEADY: Final = 0.01  # powers of ten that rounding may move a ratio

_AREA, _VOLUME, _RATIO, _SPHERICITY = (
    "mesh_surface_area",
    "mesh_volume",
    "mesh_area_volume_ratio",
    "mesh_sphericity",
)

_RATIO_UNITS: Final = {
    3: (_RATIO, "um"),
    -9: (_VOLUME, "um"),
    6: (_AREA, "um"),
    -1: (_RATIO, "angstrom"),
}
"""How many powers of ten a ratio lies above area / volume -> the column that is in another unit,
and that unit.
"""


@dataclass(frozen=True, slots=True)
class _Agreement:
    """A column that follows from area and volume: the rule, the column, and the SQL of what it
    should be, {area} and {volume} given.
    """

    code: str
    column: str
    expected: str
    maximum: float = float("inf")  # beyond it SYN-VAL-001 has told the value


_RATIOS: Final = _Agreement("SYN-UNIT-001", _RATIO, "{area} / {volume}")
_SPHERICITIES: Final = _Agreement(
    "SYN-UNIT-002", _SPHERICITY, f"{pi ** (1 / 3)!r} * pow(6 * {{volume}}, 2.0 / 3) / {{area}}", 1
)


def _disagrees(
    agreement: _Agreement, factors: Mapping[str, float] | None = None, *, swapped: bool = False
) -> str:
    """SQL: a row has the three columns and they disagree, its values times `factors`, or area taken
    for volume and volume for area.
    """
    value, area, volume = (
        f"({name} * {(factors or {}).get(name, 1.0)!r})"
        for name in (agreement.column, _AREA, _VOLUME)
    )
    expected = agreement.expected.format(
        area=volume if swapped else area, volume=area if swapped else volume
    )
    usable = " AND ".join(
        f"isfinite({name}) AND {name} > 0" for name in (agreement.column, _AREA, _VOLUME)
    )
    if isfinite(agreement.maximum):
        usable += f" AND {agreement.column} <= {agreement.maximum!r}"
    return f"({usable} AND abs({value} / ({expected}) - 1) > {TOLERANCE})"


def _agreements(columns: list[str]) -> dict[str, str]:
    """Rule -> SQL of the rows that break it, for the shape columns that are there. A row is told by
    one of them: both follow from two.
    """
    found: dict[str, str] = {}
    for agreement in (_RATIOS, _SPHERICITIES):
        if {agreement.column, _AREA, _VOLUME} <= set(columns):
            found[agreement.code] = _disagrees(agreement)
    if len(found) > 1:
        found[_SPHERICITIES.code] += f" AND NOT coalesce({found[_RATIOS.code]}, FALSE)"
    return found


def numeric_columns(table: str, columns: Sequence[str]) -> list[Column]:
    """Those of `columns` of `table` that hold numbers: `check_plausibility` wants a sample of them
    taken.
    """
    return [
        TABLES[table].columns[name]
        for name in columns
        if TABLES[table].columns[name].kind in (Kind.NUMBER, Kind.INTEGER)
    ]


def check_plausibility(
    context: Context, failures: Failures, sources: SourceMap, table: str, columns: list[str]
) -> tuple[list[Finding], dict[str, Any]]:
    """Warnings about units of `table`, and what validate's record keeps of it.

    That is in `columns` the `Summary` of each numeric column, and in `units`, where there are any,
    the columns that seem to be in another unit.

    Adds the rows concerned to `failures` where the config makes an error of a rule about rows.
    """
    file = context.store.stage("ingest") / "tables" / f"{table}.parquet"
    numeric = numeric_columns(table, columns)
    if not numeric:
        return [], {"columns": {}}
    agreements = _agreements(columns)
    rows, summaries = summarise(failures.connection, file, numeric)
    facts = _measure(failures.connection, file, table, numeric, agreements)
    facts |= {f"{name} present": rows - summary["nulls"] for name, summary in summaries.items()}
    guesses = guess_units(
        failures.connection,
        file,
        context.config.tables[table],
        table,
        numeric,
        facts,
        sources.tables[table][0].columns,
    )
    findings = []
    for code, broken in agreements.items():
        if facts[code]:
            finding = _disagreement(context, failures, sources, table, file, code, broken, guesses)
            findings += [finding] if finding else []
    findings += tell_units(failures.connection, context, sources, table, file, guesses)
    units = {guess.column.name: guess.unit for guess in guesses}
    return findings, {"columns": summaries} | ({"units": units} if units else {})


def _disagreement(
    context: Context,
    failures: Failures,
    sources: SourceMap,
    table: str,
    file: Path,
    code: str,
    wrong: str,
    guesses: Sequence[Guess],
) -> Finding | None:
    """The finding for the rows `wrong`, but for those that agree once the columns of `guesses` are
    in their units; None when all do.
    """
    agreement = _RATIOS if code == _RATIOS.code else _SPHERICITIES
    factors = {guess.column.name: guess.factor for guess in guesses if not guess.mixed}
    if factors:
        wrong = f"({wrong}) AND {_disagrees(agreement, factors)}"
    connection, source = failures.connection, parquet(file, row_number=True)
    usable = f"{agreement.column} > 0 AND {_AREA} > 0 AND {_VOLUME} > 0"
    expected = agreement.expected.format(area=_AREA, volume=_VOLUME)
    count, comparable, swapped, low, high = connection.execute(f"""SELECT count(*) FILTER ({wrong}), count(*) FILTER ({usable}),
                   count(*) FILTER (({wrong}) AND NOT {_disagrees(agreement, swapped=True)}),
                   min(log10({agreement.column} / ({expected}))) FILTER ({wrong}),
                   max(log10({agreement.column} / ({expected}))) FILTER ({wrong})
            FROM {source}""").fetchone() or (0, 0, 0, None, None)
    if not count:
        return None
    first = connection.execute(
        f"SELECT file_row_number, {agreement.column} FROM {source} WHERE {wrong} ORDER BY"
        f" file_row_number LIMIT {MAX_EXAMPLES}"
    ).fetchall()
    if is_error(context, code):
        failures.add(f"""SELECT {literal(code)}, {literal(table)}, file_row_number,
                  {literal(agreement.column)},
                {agreement.column}::VARCHAR, '' FROM {source} WHERE {wrong}""")
    guess, advice, sure = _explained(
        context, sources, table, agreement, count, comparable, swapped, low, high
    )
    return context.finding(
        code,
        table=table,
        column=agreement.column,
        count=count,
        examples=examples(
            connection,
            context,
            sources,
            table,
            [(row, agreement.column, value) for row, value in first],
        ),
        confidence=sure,
        guess=guess,
        advice=advice,
    )


def _explained(
    context: Context,
    sources: SourceMap,
    table: str,
    agreement: _Agreement,
    count: int,
    comparable: int,
    swapped: int,
    low: float,
    high: float,
) -> tuple[str, str, Confidence]:
    """What a disagreement looks like, what to do about it, how sure that is. `low` and `high` are
    powers of ten: found over expected.
    """
    config = context.config.tables[table]
    all_of_them = count >= _NEARLY_ALL * comparable
    if swapped >= _NEARLY_ALL * count:
        setting = columns_setting(table, config, sources, Swap(_AREA, _VOLUME, ""))
        advice = f"Exchange them: {setting}." if all_of_them else "Exchange them in these rows."
        return "; they agree once mesh_surface_area and mesh_volume are exchanged", advice, "likely"
    power = round((low + high) / 2)
    steady = abs(high - power) < _STEADY and abs(low - power) < _STEADY
    if agreement is _RATIOS and steady and power in _RATIO_UNITS:
        column, unit = _RATIO_UNITS[power]
        guess = f"; it is 10^{power} times that, as if {column} were in {unit}"
        if all_of_them:
            return (
                guess,
                f"If that is the unit, say so: `{units_setting(table, config, {column: unit})}`.",
                "likely",
            )
        return guess, f"Write {column} in one unit throughout.", "likely"
    return (
        "",
        (
            "Check the unit of each column; SynDB wants nm2, nm3 and 1/nm. Convert with"
            f" `tables.{table}.units`."
        ),
        "certain",
    )


def _measure(
    connection: duckdb.DuckDBPyConnection,
    file: Path,
    table: str,
    numeric: list[Column],
    agreements: Mapping[str, str],
) -> dict[str, Any]:
    """Every number the warnings need, by name: counts of the rows that disagree, and what the
    sample that `summarise` left tells.
    """
    of_sample = {}
    for column in numeric:
        cell, name = quote(column.name), column.name
        finite = f"isfinite({cell})" if column.kind is Kind.NUMBER else f"{cell} IS NOT NULL"
        sized = f"FILTER ({finite} AND {cell} > 0)"
        of_sample[f"{name} values"] = f"count(*) {sized}"
        of_sample[f"{name} spread"] = f"quantile_disc({cell}, [0.05, 0.5, 0.95]) {sized}"
        of_sample[f"{name} whole"] = f"bool_and({cell} = trunc({cell})) {sized}"
        if column.dimension == 1 and name.startswith("centroid_"):
            of_sample[f"{name} finite"] = f"count(*) FILTER ({finite})"
            of_sample[f"{name} all whole"] = f"bool_and({cell} = trunc({cell})) FILTER ({finite})"
            of_sample[f"{name} places"] = f"quantile_disc({cell}, [0.05, 0.95]) FILTER ({finite})"
        if bounds := window(table, name):
            believable = is_believable(column, bounds)
            of_sample[f"{name} outside"] = (
                f"count(*) FILTER ({finite} AND {cell} > 0 AND NOT {believable})"
            )
            of_sample[f"{name} bulk"] = f"quantile_disc({cell}, [0.25, 0.75]) FILTER ({believable})"
    counts = {code: f"count(*) FILTER ({rows})" for code, rows in agreements.items()}
    facts = _select(connection, counts, parquet(file)) if counts else {}
    return facts | _select(connection, of_sample, SAMPLED)


def _select(
    connection: duckdb.DuckDBPyConnection, facts: dict[str, str], rows: str
) -> dict[str, Any]:
    cursor = connection.execute(
        f"SELECT {', '.join(f'{sql} AS {quote(name)}' for name, sql in facts.items())} FROM {rows}"
    )
    return dict(zip(facts, cursor.fetchone() or (), strict=True))
