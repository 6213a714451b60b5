"""Which table a reference column points to.

Belongs here: the choice among the tables that SynDB allows. Does not: resolving rows.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import duckdb

from syndb_pipeline.engine import quote
from syndb_pipeline.stages import key_forms
from syndb_pipeline.stored_keys import rows_of

SAMPLE_ROWS = 20_000
"""Rows looked at first: one key of them that a table lacks proves that the table does not hold all keys, without reading the rest."""


@dataclass(frozen=True, slots=True)
class Choice:
    """The table chosen, or None with the `reason` it is not clear and the tables that come closest, best first."""

    target: str | None
    reason: str = ""
    closest: tuple[str, ...] = ()


def choose_target(
    connection: duckdb.DuckDBPyConnection, path: Path, column: str, candidates: dict[str, Path], *, every_key: bool = False
) -> Choice:
    """The one of `candidates` (table -> its `ids` Parquet, nearest level first) that holds all keys of `column` in the Parquet at `path`.

    When no table holds them all, the only one that holds at least half of a sample is chosen, so that the others can be told as orphans:
    as they are written, else in another writing, else, when none of them is anywhere, the only one whose keys look alike. Not so with
    `every_key`, which asks for a table that holds all of the sample. A column without any key goes to the nearest table.
    """
    names = list(candidates)
    if len(names) == 1 and not every_key:
        return Choice(names[0])
    sample = f"SELECT DISTINCT k FROM (SELECT {quote(column)} AS k FROM {rows_of(path)} LIMIT {SAMPLE_ROWS}) WHERE k IS NOT NULL"
    total, held = _held(connection, sample, candidates)
    complete = [name for name in names if held[name] == total]
    if len(complete) > 1:
        everything = f"SELECT DISTINCT {quote(column)} AS k FROM {rows_of(path)} WHERE {quote(column)} IS NOT NULL"
        total, held = _held(connection, everything, {name: candidates[name] for name in complete})
        complete = [name for name in complete if held[name] == total]
    if len(complete) == 1 or (complete and not total):
        return Choice(complete[0])
    if complete:
        return Choice(None, f"all of its keys are in {' and in '.join(complete)}", tuple(complete))
    closest = sorted(held, key=lambda name: -held[name])
    if not every_key and held[closest[0]] * 2 >= total and (len(closest) == 1 or held[closest[1]] * 2 < total):
        return Choice(closest[0])
    if not every_key and (alike := _most_alike(connection, sample, candidates, total, any(held.values()))):
        return Choice(alike)
    if not any(held.values()):
        return Choice(None, f"none of {' and '.join(names)} holds any of its keys", tuple(closest))
    counts = ", ".join(f"{name} {held[name]:,}" for name in closest)
    return Choice(None, f"no table holds all of its keys; of {total:,} looked at, these hold {counts}", tuple(closest))


def _most_alike(connection: duckdb.DuckDBPyConnection, sample: str, candidates: dict[str, Path], total: int, some_held: bool) -> str | None:
    """The only candidate that holds half of the sample in another writing, or whose keys have its shape, e.g. n12 and n7."""
    key_forms.prepare(connection)
    connection.execute(f"CREATE OR REPLACE TEMP TABLE sampled AS {key_forms.with_form(sample, 'k')}")
    counts = {}
    for name, ids in candidates.items():
        forms = f"SELECT form FROM ({key_forms.with_form(f'SELECT key FROM {rows_of(ids)} WHERE key IS NOT NULL', 'key')})"
        (counts[name],) = connection.execute(f"SELECT count(*) FROM sampled WHERE form <> '' AND form IN ({forms})").fetchone() or (0,)
    if not some_held and not any(counts.values()):
        for name, ids in candidates.items():
            shapes = f"SELECT key_shape(key) FROM (SELECT key FROM {rows_of(ids)} WHERE key IS NOT NULL LIMIT {SAMPLE_ROWS})"
            (counts[name],) = connection.execute(f"SELECT count(*) FROM sampled WHERE key_shape(k) IN ({shapes})").fetchone() or (0,)
    most = [name for name, count in counts.items() if count * 2 >= total]
    return most[0] if len(most) == 1 else None


def _held(connection: duckdb.DuckDBPyConnection, keys: str, candidates: dict[str, Path]) -> tuple[int, dict[str, int]]:
    """How many `keys` (a query for `k`) there are, and how many of them each of `candidates` holds."""
    # Not as conditions of one count: DuckDB would then hold all keys of a candidate, rather than these few.
    counts = [f"(SELECT count(*) FROM keys WHERE k IN (SELECT key FROM {rows_of(ids)}))" for ids in candidates.values()]
    query = f"WITH keys AS MATERIALIZED ({keys}) SELECT (SELECT count(*) FROM keys), {', '.join(counts)}"
    total, *held = connection.execute(query).fetchone() or ()
    return total, dict(zip(candidates, held, strict=True))
