"""Duplicate keys and pairs: what to do about them, by what the rows themselves say.

Belongs here: telling copies from numbers that restart, from keys SynDB does not need, and from
names that several rows share. Does not: finding the rows (`assign_ids`, `join_relations`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import duckdb

from syndb_pipeline.base.engine import literal, quote
from syndb_pipeline.checks.original_text import read_again
from syndb_pipeline.config.settings import DatasetConfig
from syndb_pipeline.contract.key_encoding import KEY_JOINT, rows_of
from syndb_pipeline.contract.tables import TABLES, Table
from syndb_pipeline.readers.casts import CELLS
from syndb_pipeline.readers.headers import leaving_out, tidy
from syndb_pipeline.state.row_locations import SourceMap
from syndb_pipeline.state.stage import Context
from syndb_pipeline.state.tables import columns_of, ingested

MOST_LOOKED_AT: Final = 100_000
"""Rows whose ignored columns are read again from the lab's files; of more, it is left open whether
all are copies.
"""

_MOST_NAMED: Final = 5

_NAMES: Final = ("type", "class", "name", "label", "group")
"""Words in the lab's name of a column that holds what several rows share."""

_FEWEST_OF_A_NAME: Final = 3
"""Rows that share a key with letters, where other keys have fewer, for it to be plainly a name: a
copied file repeats all alike.
"""

_WORD: Final = (
    r"regexp_matches(key, '\p{L}') AND NOT regexp_matches(key,"
    r" '[0-9]{5}|[0-9a-fA-F]{8}-?[0-9a-fA-F]{4}')"
)
"""SQL: the key is a word, such as Tm23/24, rather than a number or a UUID."""


@dataclass(frozen=True, slots=True)
class Alike:
    """Rows that are equal, in all columns that are read, to an earlier row of their key.

    `rows` says how many; `unread` the columns of their files that are not read and differ among
    them, by the lab's names; `unknown` that some of these could not be looked at.
    """

    rows: int
    unread: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()

    @property
    def are_copies(self) -> bool:
        return self.rows > 0 and not self.unread and not self.unknown


def advice(
    connection: duckdb.DuckDBPyConnection,
    context: Context,
    sources: SourceMap,
    table: Table,
    count: int,
    ids: Path,
) -> str:
    """What to do about `count` rows of `table` that repeat a key; they are the SYN-ID-002 among the
    failures of `connection`.

    Every setting that the advice names makes all keys of the table distinct.
    """
    path = ingested(context)[table.name]
    _take_rows(connection, table, path, "SYN-ID-002", ("cid",))
    alike = _alike(connection, context, sources, table, path)
    differing = count - alike.rows
    said = [_of_alike(connection, sources, table, alike, count, ids)] if alike.rows else []
    if differing:
        said.append(
            _needless(context.config, table)
            or _restarting(connection, context.config, table, path, alike)
            or _of_files(connection, sources, table, ids, alike)
            or _which_is_right(connection, sources, table, path, ids)
        )
    return " ".join(said)


def pair_advice(
    connection: duckdb.DuckDBPyConnection,
    context: Context,
    sources: SourceMap,
    table: Table,
    *,
    rounded: bool,
) -> str:
    """What to do about the rows of `table` that repeat a pair; they are the SYN-REL-006 among the
    failures of `connection`.

    A setting is offered only where it keeps what the rows say of the pair; `rounded` says that most
    keys of the neurons lost digits.
    """
    if rounded:
        return (
            "Digits were lost, it seems (SYN-ID-005), and different pairs became equal. Export the"
            " ids as text from their source first; do not combine rows for this."
        )
    path = ingested(context)[table.name]
    _take_rows(connection, table, path, "SYN-REL-006", table.pair or ())
    alike = _alike(connection, context, sources, table, path)
    score = "connection_score" if "connection_score" in columns_of(path) else "NULL::DOUBLE"
    rows, scores, fractions = connection.execute(
        f"""SELECT count(*), count(score), coalesce(max(abs(score)) <= 1 AND bool_or(score <>
              trunc(score)), FALSE)
            FROM ({_repeated(path, f"{score} AS score")})"""
    ).fetchone() or (0, 0, False)
    if scores:
        said = [
            f"Merge them in the file, or here: `tables.{table.name}.combine: {{connection_score:"
            " sum}`."
        ]
        if scores < rows:
            said.append(
                f"{_rows(rows - scores, 'has', 'have')} no connection_score and would add nothing."
            )
        if fractions:
            said.append("If the score is a confidence, mean, min or max say more than its sum.")
    else:
        said = [
            f"If each row is a synapse, have them counted: `tables.{table.name}.combine:"
            " {connection_score: count}`."
        ]
        unread = _unread(context, sources, table.name)
        said.append(
            "If a column says how strong the connection is, map it to"
            f" connection_score{f' ({_listed(unread)})' if unread else ''}."
        )
    if alike.are_copies:
        said.append(
            f"{_rows(alike.rows, 'is a copy', 'are copies')} of a whole row, which this counts as"
            " well: take out first what is no connection of its own."
        )
    return " ".join(said)


def _rows(count: int, one: str, many: str) -> str:
    return f"{count:,} of the rows {one if count == 1 else many}"


def _take_rows(
    connection: duckdb.DuckDBPyConnection, table: Table, path: Path, code: str, key: Sequence[str]
) -> None:
    """Make the table `repeated` of the numbers of all rows whose `key` (columns) some failure of
    `code` repeats.
    """
    columns = ", ".join(quote(column) for column in key)
    source = rows_of(path, row_number=True)
    named = (
        f"SELECT row_number FROM failures WHERE code = {literal(code)} AND tbl ="
        f" {literal(table.name)} AND cause = ''"
    )
    connection.execute(f"""CREATE OR REPLACE TEMP TABLE repeated AS
            WITH keys AS (SELECT DISTINCT {columns} FROM {source} WHERE file_row_number IN
              ({named}))
            SELECT file_row_number AS row FROM {source} JOIN keys USING ({columns})""")


def _repeated(path: Path, columns: str) -> str:
    """A query for `columns` of all rows that have a repeated key."""
    return (
        f"SELECT {columns} FROM {rows_of(path, row_number=True)} WHERE file_row_number IN (FROM"
        " repeated)"
    )


def _alike(
    connection: duckdb.DuckDBPyConnection,
    context: Context,
    sources: SourceMap,
    table: Table,
    path: Path,
) -> Alike:
    columns = ", ".join(quote(column) for column in [*columns_of(path), CELLS])
    rows_of_keys = _repeated(path, f"file_row_number, {columns}")
    connection.execute(f"""CREATE OR REPLACE TEMP TABLE alike AS
            SELECT file_row_number AS row, min(file_row_number) OVER same AS first FROM
              ({rows_of_keys})
            WINDOW same AS (PARTITION BY {columns}) QUALIFY count(*) OVER same > 1""")
    rows, total = connection.execute(
        "SELECT count(*) - count(DISTINCT first), count(*) FROM alike"
    ).fetchone() or (0, 0)
    unread = _unread(context, sources, table.name)
    if not rows or not unread:
        return Alike(int(rows))
    differ, unknown = _compare(connection, context, sources, table.name, unread)
    return Alike(int(rows), differ, unread if not differ and total > MOST_LOOKED_AT else unknown)


def _unread(context: Context, sources: SourceMap, table: str) -> tuple[str, ...]:
    """The named columns of the table's files that ingest left out, by the lab's names."""
    files = [each for each in context.upstream("ingest").details["files"] if each["table"] == table]
    read = {lab for source in sources.tables[table] for lab in source.columns.values()}
    return tuple(
        dict.fromkeys(
            name for each in files for name in tidy(each["names"]) if name and name not in read
        )
    )


def _compare(
    connection: duckdb.DuckDBPyConnection,
    context: Context,
    sources: SourceMap,
    table: str,
    names: Sequence[str],
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Of the unread columns `names`, those in which a row of the table `alike` differs from the
    first one equal to it; and all, where a row could not be read again. No more than
    `MOST_LOOKED_AT` rows are read.
    """
    connection.execute(
        "CREATE OR REPLACE TEMP TABLE looked_at AS FROM alike ORDER BY first, row LIMIT"
        f" {MOST_LOOKED_AT}"
    )
    firsts: dict[int, tuple[str | None, ...]] = {}
    differ: set[str] = set()
    for source in sources.tables[table]:
        inside = (
            f"SELECT row, first FROM looked_at WHERE row >= {source.first_row} AND row <"
            f" {source.first_row + source.rows} ORDER BY row"
        )
        first_of = dict(connection.execute(inside).fetchall())
        seen = 0
        for row, texts in read_again(connection, context, table, source, names, list(first_of)):
            seen += 1
            first = firsts.setdefault(first_of[row], texts)
            differ |= {
                name for name, one, other in zip(names, first, texts, strict=True) if one != other
            }
        if seen < len(first_of):
            return (), tuple(names)
    return tuple(name for name in names if name in differ), ()


def _of_alike(
    connection: duckdb.DuckDBPyConnection,
    sources: SourceMap,
    table: Table,
    alike: Alike,
    count: int,
    ids: Path,
) -> str:
    """What to do about the rows that are equal, in the columns that are read, to an earlier one of
    their key.
    """
    one = alike.rows == 1
    which = ("It" if one else "All of them") if alike.rows == count else f"{alike.rows:,} of them"
    if alike.unread:
        names = _listed(alike.unread)
        return (
            f"{which} {'is' if one else 'are'} equal to an earlier row in the columns that are"
            f" read, but not in {names}, which {'is' if len(alike.unread) == 1 else 'are'} ignored."
            " Where that tells two things apart, give each its own key, e.g. with"
            f" {alike.unread[0]} behind it."
        )
    if alike.unknown:
        return (
            f"{which} {'is' if one else 'are'} equal to an earlier row in the columns that are"
            f" read. Whether the ignored {_listed(alike.unknown)} differ was not seen in all of"
            " them: compare them before you take a row out."
        )
    # The lab's key of a relation is often made of names.
    name, rows, plain = (
        _as_a_name(connection, sources, table, ids) if table.pair is None else (None, 0, False)
    )
    if plain:
        return (
            f"{name!r} is in {rows:,} rows and looks like the name of a kind, which several rows"
            " share, not like the key of one. Map another column to cid, or give each row an id of"
            " its own."
        )
    are = "is a copy of a whole row" if one else "are copies of whole rows"
    differ = count - alike.rows
    others = f" and {differ:,} differ{'s' if differ == 1 else ''} from the first" if differ else ""
    if name is not None:
        return (
            f"{which} {are}{others}. If {name!r} is the key of one {table.name}, remove what is"
            " copied; if several rows share it as a name, give each an id of its own."
        )
    if not differ:
        return f"{which} {are}: remove {'it' if one else 'the copies'} from the file."
    return f"{which} {are}{others}."


def _as_a_name(
    connection: duckdb.DuckDBPyConnection, sources: SourceMap, table: Table, ids: Path
) -> tuple[str | None, int, bool]:
    """The commonest key that is a word, None when none is; its rows; and whether it is plainly no
    key but a name that rows share.
    """
    name, rows = connection.execute(
        f"""SELECT arg_max(key, (n, -first)), max(n) FROM (SELECT key, count(*) AS n,
              min(file_row_number) AS first
            FROM {rows_of(ids, row_number=True)} WHERE file_row_number IN (FROM repeated) AND
              {_WORD} GROUP BY key)"""
    ).fetchone() or (None, 0)
    if name is None:
        return None, 0, False
    keys, fewest = connection.execute(
        f"SELECT count(*), min(n) FROM (SELECT count(*) AS n FROM {rows_of(ids)} WHERE key IS NOT"
        " NULL GROUP BY key)"
    ).fetchone() or (0, 0)
    labels = {source.columns.get("cid", "").casefold() for source in sources.tables[table.name]}
    called = any(word in label for word in _NAMES for label in labels)
    return name, rows, called or (rows >= _FEWEST_OF_A_NAME and (keys == 1 or fewest < rows))


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:_MOST_NAMED]) + (
        f" and {len(names) - _MOST_NAMED:,} more" if len(names) > _MOST_NAMED else ""
    )


def _which_is_right(
    connection: duckdb.DuckDBPyConnection, sources: SourceMap, table: Table, path: Path, ids: Path
) -> str:
    named = _differing(connection, sources, table, path)
    parts = (
        f" If the rows are parts of a {table.name}, map the column that has their own ids to cid."
        if _most_repeat(connection, ids)
        else ""
    )
    return f"{named}Find out which row of a key is right, or give each row a key of its own.{parts}"


def _differing(
    connection: duckdb.DuckDBPyConnection, sources: SourceMap, table: Table, path: Path
) -> str:
    """ "Rows of one key differ in voxel_volume. ", by the lab's names."""
    columns = [column for column in columns_of(path) if column != "cid"]
    if not columns:
        return ""
    differ = [
        f"min({quote(c)}) <> max({quote(c)}) OR count({quote(c)}) NOT IN (0, count(*))"
        for c in columns
    ]
    by_key = ", ".join(f"({condition}) AS d{n}" for n, condition in enumerate(differ))
    found = (
        connection.execute(
            f"""SELECT {", ".join(f"coalesce(bool_or(d{n}), FALSE)" for n in range(len(columns)))}
            FROM (SELECT {by_key} FROM ({_repeated(path, "*")}) GROUP BY cid)"""
        ).fetchone()
        or ()
    )
    lab = sources.tables[table.name][0].columns
    names = [
        lab.get(column, column) for column, differs in zip(columns, found, strict=True) if differs
    ]
    return f"Rows of one key differ in {_listed(names)}. " if names else ""


def _needless(config: DatasetConfig, table: Table) -> str | None:
    """Leaving the column out, where SynDB knows the rows by another key and no table of the dataset
    names them by this one.
    """
    settings = config.tables[table.name]
    if table.pair is None or any(
        table.name in TABLES[name].parents for name in config.tables if TABLES[name].has_parent
    ):
        return None
    told = f"SynDB knows the rows of {table.name} by their pairs and does not take their cid"
    lab = next((lab for lab, name in settings.mapped if name == "cid"), "cid")
    return f"{told}, so leave the column out: {leaving_out(table.name, settings, lab, 'cid')}."


def _restarting(
    connection: duckdb.DuckDBPyConnection,
    config: DatasetConfig,
    table: Table,
    path: Path,
    alike: Alike,
) -> str | None:
    """The columns that make a key together, where one other column tells all rows of a cid apart,
    but for copies of whole rows.
    """
    if config.tables[table.name].key or (alike.rows and not alike.are_copies):
        return None
    for column in sorted(table.references, key=lambda name: name != "parent_id"):
        if column not in columns_of(path):
            continue
        name = quote(column)
        incomplete = (
            f"SELECT 1 FROM {rows_of(path)} WHERE cid IS NOT NULL AND {name} IS NULL LIMIT 1"
        )
        once = f"SELECT * FROM ({_repeated(path, f'file_row_number, cid, {name}')})"
        if alike.rows:
            once += " WHERE file_row_number NOT IN (SELECT row FROM alike WHERE row > first)"
        twice = f"SELECT 1 FROM ({once}) GROUP BY {name}, cid HAVING count(*) > 1 LIMIT 1"
        if (
            connection.execute(incomplete).fetchone() is None
            and connection.execute(twice).fetchone() is None
        ):
            if alike.rows:
                return (
                    f"Without the copies, no {column} has a cid twice: take the copies out and"
                    " check again."
                )
            example = connection.execute(
                f"SELECT {name}, cid FROM {rows_of(path)} WHERE cid IS NOT NULL LIMIT 1"
            ).fetchone() or ("", "")
            whole = (
                "; tables that name these rows then need the whole key, e.g."
                f" {KEY_JOINT.join(example)}"
            )
            return (
                f"No {column} has a cid twice. If the ids restart in each, let both columns be the"
                f" key together: `tables.{table.name}.key: [{column},"
                f" cid]`{whole if _is_named(config, table) else ''}."
            )
    return None


def _of_files(
    connection: duckdb.DuckDBPyConnection, sources: SourceMap, table: Table, ids: Path, alike: Alike
) -> str:
    """A mark of the file before the ids, where no file has a key twice; "" elsewhere."""
    parts = [
        (number, part.first_row)
        for number, part in enumerate(sources.tables[table.name])
        if part.rows
    ]
    if len(parts) < 2 or alike.rows:
        return ""
    listed = ", ".join(f"({number}, {start})" for number, start in parts)
    keys = (
        f"SELECT key, file_row_number AS row FROM {rows_of(ids, row_number=True)} WHERE"
        " file_row_number IN (FROM repeated)"
    )
    twice = f"""SELECT 1 FROM ({keys}) ASOF JOIN (VALUES {listed}) part(number, start) ON row >=
          start
        GROUP BY key, number HAVING count(*) > 1 LIMIT 1"""
    if connection.execute(twice).fetchone() is not None:
        return ""
    return (
        "No file has a cid twice. If the ids restart in every file, write what tells the files"
        f" apart before them, e.g. the animal, in all tables that name rows of {table.name}."
    )


def _most_repeat(connection: duckdb.DuckDBPyConnection, ids: Path) -> bool:
    """Whether there are more than two rows for each distinct key."""
    keys = rows_of(ids)
    (most,) = connection.execute(
        f"SELECT count(key) > 2 * count(DISTINCT key) FROM {keys}"
    ).fetchone() or (False,)
    return bool(most)


def _is_named(config: DatasetConfig, table: Table) -> bool:
    """Whether a column of another table of the dataset may hold keys of this one."""
    return any(
        table.name in column.targets
        for name in config.tables
        for column in TABLES[name].columns.values()
        if name != table.name
    )
