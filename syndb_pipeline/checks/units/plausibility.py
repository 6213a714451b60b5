"""Measurements that hold together in nanometres: shape columns among themselves, and the unit of
columns.

Belongs here: SYN-UNIT-001 and 002, and the summary of numeric columns. Does not: units of whole
columns (`units.py`), single values (`contract/checks.py`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import pi
from pathlib import Path
from typing import Any, Final

from syndb_pipeline.checks.causes import Cause, causes
from syndb_pipeline.checks.cells.pandera_judge import summarise
from syndb_pipeline.checks.inspected import Inspected
from syndb_pipeline.checks.references.relations import Swap
from syndb_pipeline.checks.references.swapped import columns_setting
from syndb_pipeline.checks.units.magnitudes import (
    AREA,
    NEARLY_ALL,
    RATIO_UNITS,
    SHAPE_TOLERANCE,
    STEADY,
    VOLUME,
    units_setting,
)
from syndb_pipeline.checks.units.units import Guess, guess_units, measure, unit_findings
from syndb_pipeline.contract.tables import TABLES, Column, Kind
from syndb_pipeline.rules.finding import Finding
from syndb_pipeline.state.results import ValidatedTable


@dataclass(frozen=True, slots=True)
class _Agreement:
    """A column that follows from area and volume: its rule, and the SQL of what it should be."""

    code: str
    column: str
    expected: str
    usable: str = "TRUE"

    def fails(self, factors: Mapping[str, float] | None = None, *, swapped: bool = False) -> str:
        """SQL: the three values are there and disagree, times `factors`, or with area for
        volume.
        """
        names = (self.column, AREA, VOLUME)
        value, area, volume = (f"({name} * {(factors or {}).get(name, 1.0)!r})" for name in names)
        area, volume = (volume, area) if swapped else (area, volume)
        usable = " AND ".join(f"isfinite({name}) AND {name} > 0" for name in names)
        expected = self.expected.format(area=area, volume=volume)
        return (
            f"({usable} AND {self.usable} AND abs({value} / ({expected}) - 1) > {SHAPE_TOLERANCE})"
        )


_RATIO: Final = _Agreement("SYN-UNIT-001", "mesh_area_volume_ratio", "{area} / {volume}")
_SPHERICITY: Final = _Agreement(
    "SYN-UNIT-002",
    "mesh_sphericity",
    f"{pi ** (1 / 3)!r} * pow(6 * {{volume}}, 2.0 / 3) / {{area}}",
    "mesh_sphericity <= 1",  # what is larger is out of range, by SYN-VAL-001
)

_CAUSES: Final = causes(Path(__file__).with_suffix(".toml"), Cause)


def numeric_columns(table: str, columns: Sequence[str]) -> list[Column]:
    """Those of `columns` of `table` that hold numbers: `check_plausibility` wants a sample of them
    taken.
    """
    declared = [TABLES[table].columns[name] for name in columns]
    return [column for column in declared if column.kind in (Kind.NUMBER, Kind.INTEGER)]


def check_plausibility(table: Inspected) -> tuple[list[Finding], ValidatedTable]:
    """Warnings about units of `table`, and what validate's record keeps of it.

    That is in `columns` the `Summary` of each numeric column, and in `units`, where there are any,
    the columns that seem to be in another unit. Adds the rows concerned to the failures where the
    config makes an error of a rule about rows.
    """
    numeric = numeric_columns(table.name, table.columns)
    if not numeric:
        return [], ValidatedTable(columns={})
    present = {*table.columns}
    checked = [each for each in (_RATIO, _SPHERICITY) if {each.column, AREA, VOLUME} <= present]
    wrong = {each: each.fails() for each in checked}
    if len(wrong) > 1:  # a row is named by one of them: both follow from two columns
        wrong[_SPHERICITY] += f" AND NOT coalesce({wrong[_RATIO]}, FALSE)"
    rows, summaries = summarise(table.connection, table.file, numeric)
    counts = ", ".join(f"count(*) FILTER ({where})" for where in wrong.values())
    broken = table.row(f"SELECT {counts} FROM {table.source}") if wrong else ()
    measured = measure(table, numeric)
    facts = {
        column.name: {
            **measured.get(column.name, {}),
            "present": rows - summaries[column.name].nulls,
        }
        for column in numeric
    }
    guesses = guess_units(table, numeric, facts)
    findings = []
    for (agreement, where), count in zip(wrong.items(), broken, strict=True):
        findings += _disagreement(table, agreement, where, guesses) if count else []
    findings += unit_findings(table, guesses)
    units = {guess.column.name: guess.unit for guess in guesses}
    return findings, ValidatedTable(columns=summaries, units=units)


def _disagreement(
    table: Inspected, agreement: _Agreement, wrong: str, guesses: Sequence[Guess]
) -> list[Finding]:
    """The finding for the rows `wrong`, but for those that agree once columns are in the units
    guessed.
    """
    factors = {guess.column.name: guess.factor for guess in guesses if not guess.mixed}
    if factors:
        wrong = f"({wrong}) AND {agreement.fails(factors)}"
    usable = f"{agreement.column} > 0 AND {AREA} > 0 AND {VOLUME} > 0"
    log = f"log10({agreement.column} / ({agreement.expected.format(area=AREA, volume=VOLUME)}))"
    count, comparable, swapped, low, high = table.row(
        f"""SELECT count(*) FILTER ({wrong}), count(*) FILTER ({usable}),
                   count(*) FILTER (({wrong}) AND NOT {agreement.fails(swapped=True)}),
                   min({log}) FILTER ({wrong}), max({log}) FILTER ({wrong})
            FROM {table.source}"""
    )
    if not count:
        return []
    table.refuse(agreement.code, agreement.column, wrong)
    facts: dict[str, Any] = {"table": table.name}
    cause = "unclear"
    power = round((low + high) / 2)
    if swapped >= NEARLY_ALL * count:
        cause, swap = "exchanged", Swap(AREA, VOLUME, "")
        facts["columns"] = columns_setting(table.name, table.config, table.sources, swap)
    elif (
        agreement is _RATIO
        and max(abs(high - power), abs(low - power)) < STEADY
        and power in RATIO_UNITS
    ):
        cause, (column, unit) = "other_unit", RATIO_UNITS[power]
        setting = units_setting(table.name, table.config, {column: unit})
        facts |= {"power": power, "column": column, "unit": unit, "setting": setting}
    if cause != "unclear" and count < NEARLY_ALL * comparable:
        cause += "_in_part"
    values = _CAUSES[cause].described(facts)
    return [
        table.finding(
            agreement.code,
            table.first([agreement.column], wrong),
            column=agreement.column,
            count=count,
            guess=values["reason"],
            **values,
        )
    ]
