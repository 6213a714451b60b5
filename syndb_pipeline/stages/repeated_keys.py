"""Keys that stand twice: what to do about them, by what the rows themselves say.

Belongs here: telling copies from numbers that start again and from keys SynDB does not need. Does not: finding the rows (`assign_ids`).
"""

from __future__ import annotations

from pathlib import Path

import duckdb

from syndb_pipeline.contract.tables import TABLES, Table
from syndb_pipeline.engine import quote
from syndb_pipeline.readers.casts import KEY_JOINT
from syndb_pipeline.readers.headers import yaml_word
from syndb_pipeline.settings import DatasetConfig
from syndb_pipeline.stages.tables import columns_of
from syndb_pipeline.stored_keys import rows_of

_RESTART = "Where ids restart in every file or parent, put the parent's id in front, e.g. 722817260:0."


def advice(connection: duckdb.DuckDBPyConnection, config: DatasetConfig, table: Table, path: Path, count: int, copies: int) -> str:
    """What to do about `count` rows of `table`, ingested in `path`, that repeat a cid; `copies` of them are copies of whole rows."""
    differing = count - copies
    if not differing:
        are = "It is a copy of a whole row: remove it" if copies == 1 else "All of them are copies of whole rows: remove the copies"
        return f"{are} from the file."
    are = "is a copy of a whole row" if copies == 1 else "are copies of whole rows"
    told = f"{copies:,} of them {are} and {differing:,} differ{'s' if differing == 1 else ''} from the first. " if copies else ""
    return told + (_needless(config, table) or _restarting(connection, config, table, path) or _RESTART)


def _needless(config: DatasetConfig, table: Table) -> str | None:
    """Leaving the column out, where SynDB knows the rows by another key and no table of the dataset names them by this one."""
    settings = config.tables[table.name]
    if table.pair is None or any(table.name in TABLES[name].parents for name in config.tables if TABLES[name].has_parent):
        return None
    told = f"SynDB knows the rows of {table.name} by their pairs and does not take their cid"
    if "cid" in settings.columns.values():
        return f"{told}: move its column from `columns` to `ignore`."
    left_out = ", ".join(yaml_word(name) for name in (*settings.ignore, "cid"))
    return f"{told}, so leave the column out: `tables.{table.name}.ignore: [{left_out}]`."


def _restarting(connection: duckdb.DuckDBPyConnection, config: DatasetConfig, table: Table, path: Path) -> str | None:
    """The columns that make a key together, where one other column tells all rows of a cid apart."""
    if config.tables[table.name].key:
        return None
    for column in sorted(table.references, key=lambda name: name != "parent_id"):
        if column not in columns_of(path):
            continue
        name = quote(column)
        twice = f"SELECT 1 FROM {rows_of(path)} WHERE cid IS NOT NULL GROUP BY {name}, cid HAVING count(*) > 1 OR {name} IS NULL LIMIT 1"
        if connection.execute(twice).fetchone() is None:
            example = connection.execute(f"SELECT {name}, cid FROM {rows_of(path)} WHERE cid IS NOT NULL LIMIT 1").fetchone() or ("", "")
            whole = f"; tables that name these rows then need the whole key, e.g. {KEY_JOINT.join(example)}"
            return (
                f"No {column} has a cid twice. If the ids restart in each, let both columns be the key together: "
                f"`tables.{table.name}.key: [{column}, cid]`{whole if _is_named(config, table) else ''}."
            )
    return None


def _is_named(config: DatasetConfig, table: Table) -> bool:
    """Whether a column of another table of the dataset may hold keys of this one."""
    return any(table.name in column.targets for name in config.tables for column in TABLES[name].columns.values() if name != table.name)
