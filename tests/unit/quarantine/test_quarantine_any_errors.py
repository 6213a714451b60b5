"""on_invalid: quarantine, for any mixture of errors: what is packaged is what a clean lab packages,
less exactly what must go.
"""

from __future__ import annotations

import tempfile
from collections import Counter
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any
from uuid import UUID

import duckdb
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests.campaigns import examples
from tests.lab import uid
from tests.quarantine_lab import clean, packaged_rows, quarantining, set_aside

Rows = dict[str, list[list[str]]]
SUM = {"combine": {"connection_score": "sum"}}

REFERENCES = {
    "neuron": {},
    "neuron_relation": {0: "neuron", 1: "neuron"},
    "axon": {1: "neuron"},
    "dendrite": {1: "neuron"},
    "pre_synaptic_terminal": {1: "axon", 2: "synapse"},
    "dendritic_spine": {1: "dendrite", 2: "synapse"},
    "synapse": {1: "pre_synaptic_terminal", 2: "dendritic_spine"},
    "vesicle": {1: "pre_synaptic_terminal"},
}
"""Table -> place of a column -> the table whose keys stand in it."""

MAY_BE_EMPTY = {
    ("pre_synaptic_terminal", 2),
    ("dendritic_spine", 2),
    ("synapse", 1),
    ("synapse", 2),
}


def _row(rows: list[list[str]], number: int) -> list[str]:
    return rows[number % len(rows)]


def spoil(rows: Rows, table: str, number: int, how: str) -> None:
    """Make one mistake in a row of `table`."""
    row = _row(rows[table], number)
    columns = list(REFERENCES[table])
    if how == "number":
        row[-1] = "many"
    elif how == "ragged":
        row.append("too much")
    elif how == "keyless" and table != "neuron_relation":
        row[0] = ""
    elif how == "copy":
        rows[table].append(list(row))
    elif how == "other" and table != "neuron_relation":
        rows[table].append([row[0], *_row(rows[table], number + 1)[1:]])
    elif how == "pair" and table == "neuron_relation":
        rows[table].append([*row[:2], "77"])
    elif how in ("orphan", "empty") and columns:
        row[columns[number % len(columns)]] = "nowhere" if how == "orphan" else ""


@dataclass
class Oracle:
    """What must be quarantined, row by row, without SQL and without the pipeline. `obstacle`: the
    dataset must be refused.
    """

    rows: Rows
    combined: bool
    obstacle: bool = False
    lines: Counter[str] = field(default_factory=Counter)  # by table
    aside: dict[str, set[int]] = field(
        default_factory=dict
    )  # by table, numbers among the rows that can be read
    readable: Rows = field(default_factory=dict)

    def judge(self) -> Oracle:
        widths = {table: len(lines[0]) for table, lines in clean().items()}
        for table, lines in self.rows.items():
            self.readable[table] = [row for row in lines if len(row) == widths[table]]
            self.lines[table] = len(lines) - len(self.readable[table])
            self.aside[table] = set()
        for table in self.readable:
            self._own(table)
        while self._spread():
            pass
        if self.combined:
            if self.lines["neuron_relation"]:
                self.obstacle = True
            pairs = {
                tuple(self.readable["neuron_relation"][n][:2])
                for n in self.aside["neuron_relation"]
            }
            self.aside["neuron_relation"] |= {
                n
                for n, row in enumerate(self.readable["neuron_relation"])
                if tuple(row[:2]) in pairs
            }
        return self

    def _keys(self, table: str) -> set[str]:
        return {row[0] for row in self.readable[table]} - {""}

    def _own(self, table: str) -> None:
        lines = self.readable[table]
        identity = 2 if table == "neuron_relation" else 1
        by_key: dict[tuple[str, ...], list[int]] = {}
        for n, row in enumerate(lines):
            by_key.setdefault(tuple(row[:identity]), []).append(n)
            wrong = row[-1] == "many" or (identity == 1 and not row[0])
            for column, target in REFERENCES[table].items():
                unknown = bool(row[column]) and row[column] not in self._keys(target)
                missing = not row[column] and (table, column) not in MAY_BE_EMPTY
                wrong = wrong or unknown or missing
                self.obstacle |= (
                    table == "neuron_relation" and self.combined and (unknown or missing)
                )
            if wrong:
                self.aside[table].add(n)
        for key, numbers in by_key.items():
            if len(numbers) > 1 and all(key) and not (table == "neuron_relation" and self.combined):
                copies = len({tuple(lines[n]) for n in numbers}) == 1
                self.aside[table] |= set(numbers[1:] if copies else numbers)

    def _stays(self, table: str, key: str) -> bool:
        return any(
            row[0] == key and n not in self.aside[table]
            for n, row in enumerate(self.readable[table])
        )

    def _spread(self) -> bool:
        found = False
        for table, lines in self.readable.items():
            for n, row in enumerate(lines):
                if n in self.aside[table]:
                    continue
                lost = any(
                    row[column] and not self._stays(target, row[column])
                    for column, target in REFERENCES[table].items()
                )
                if lost or (table == "synapse" and not self._leads(row)):
                    self.aside[table].add(n)
                    found = True
        return found

    def _leads(self, synapse: list[str]) -> bool:
        """Whether a synapse has a way to a neuron: an end of its own, or a terminal or spine that
        names it.
        """
        return any(synapse[1:3]) or any(
            row[2] == synapse[0] and n not in self.aside[table]
            for table in ("pre_synaptic_terminal", "dendritic_spine")
            for n, row in enumerate(self.readable[table])
        )


def identity(table: str, row: tuple[Any, ...]) -> tuple[Any, ...]:
    return row[:2] if table == "neuron_relation" else row[:1]


@cache
def packaged_clean(combined: bool) -> dict[str, dict[tuple[Any, ...], tuple[Any, ...]]]:
    """Every row that a lab without a mistake packages, by table and key."""
    with tempfile.TemporaryDirectory() as folder:
        lab = quarantining(Path(folder), clean(), **({"neuron_relation": SUM} if combined else {}))
        lab.run("package")
        return {
            table: {identity(table, row): row for row in packaged_rows(lab, table)}
            for table in clean()
        }


MISTAKES = st.lists(
    st.tuples(
        st.sampled_from(sorted(clean())),
        st.integers(0, 30),
        st.sampled_from(
            ["number", "ragged", "keyless", "copy", "other", "pair", "orphan", "empty"]
        ),
    ),
    min_size=1,
    max_size=5,
)


# What fails here is small already; making it smaller would take minutes.
@settings(
    max_examples=examples(6, 60),
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
    derandomize=True,
    phases=[Phase.explicit, Phase.generate],
)
@given(MISTAKES, st.booleans())
def test_what_stays_is_right_and_all_that_goes_must(
    mistakes: list[tuple[str, int, str]], combined: bool
) -> None:
    rows = clean()
    for mistake in mistakes:
        spoil(rows, *mistake)
    oracle = Oracle(rows, combined).judge()
    lost = {table: oracle.lines[table] + len(oracle.aside[table]) for table in rows}
    empty = any(lost[table] == len(rows[table]) for table in rows)
    with tempfile.TemporaryDirectory() as folder:
        lab = quarantining(
            Path(folder), rows, "100%", **({"neuron_relation": SUM} if combined else {})
        )
        records = lab.run("package")
        sealed = records["check_integrity"]
        for table, counts in sealed.tables.items():
            assert counts.read == counts.passed + counts.rejected == len(rows[table])
        assert sealed.details.verdict == ("rejected" if oracle.obstacle or empty else "accepted")
        if oracle.obstacle or empty:
            assert "package" not in records
            return
        assert {table: counts.rejected for table, counts in sealed.tables.items()} == lost
        assert {table: set(found) for table, found in set_aside(lab).items()} == {
            t: n for t, n in oracle.aside.items() if n
        }
        _check_lines(lab, oracle)
        packaged = {table: packaged_rows(lab, table) for table in rows}
    for table, found in packaged.items():
        assert len(found) == sealed.tables[table].published
        if not (
            table == "neuron_relation" and combined
        ):  # else a copy is one more to sum up, as the lab says
            assert [row for row in found if not _as_clean(table, row, combined, mistakes)] == []
        for row in found:
            _check_references(table, row, packaged)


def _as_clean(
    table: str, row: tuple[Any, ...], combined: bool, mistakes: list[tuple[str, int, str]]
) -> bool:
    """Whether a packaged row is the one that the clean lab packages; one emptied of an end that it
    may lack has none there.
    """
    clean_row = packaged_clean(combined)[table][identity(table, row)]
    emptied = any(
        mistake[0] == table and mistake[2] == "empty" for mistake in mistakes
    ) and table in dict(MAY_BE_EMPTY)
    return all(
        cell == other or (emptied and cell is None)
        for cell, other in zip(row, clean_row, strict=True)
    )


def _check_lines(lab: Any, oracle: Oracle) -> None:
    file = lab.context.store.stage("check_integrity") / "quarantine" / "unreadable.parquet"
    found = (
        dict(duckdb.sql(f"SELECT tbl, count(*) FROM '{file}' GROUP BY tbl").fetchall())
        if file.is_file()
        else {}
    )
    assert found == {table: count for table, count in oracle.lines.items() if count}


def _check_references(
    table: str, row: tuple[Any, ...], packaged: dict[str, list[tuple[Any, ...]]]
) -> None:
    """Every UUID of a packaged row but its own is that of a packaged row of some table."""
    there = {
        found[0] for name, rows in packaged.items() if name != "neuron_relation" for found in rows
    }
    assert {cell for cell in row if isinstance(cell, UUID)} <= there


def test_the_oracle_knows_a_uuid() -> None:
    assert packaged_clean(False)["axon"][uid("axon", "a1"),][0] == uid("axon", "a1")
