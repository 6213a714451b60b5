"""Duplicate keys and pairs: what to do about them, by what the rows themselves say.

Belongs here: what makes copies differ from numbers that restart, from keys SynDB does not need, and
from names that several rows share. Does not: finding the rows (`assign_ids`, `join_relations`), the
sentences (`repeated_keys.toml`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from syndb_pipeline.base.engine import literal, quote
from syndb_pipeline.checks.causes import sentences
from syndb_pipeline.checks.dataset import Dataset
from syndb_pipeline.contract.key_encoding import KEY_JOINT
from syndb_pipeline.contract.tables import TABLES, Table
from syndb_pipeline.readers.casts import CELLS
from syndb_pipeline.readers.headers import leaving_out, tidy
from syndb_pipeline.state.tables import columns_of

_MOST_NAMED: Final = 5

_WORD: Final = (
    r"regexp_matches(key, '\p{L}') AND NOT regexp_matches(key, "
    r"'[0-9]{5}|[0-9a-fA-F]{8}-?[0-9a-fA-F]{4}')"
)
"""SQL: the key is a word, such as Tm23/24, rather than a number or a UUID."""

_say: Final = sentences(Path(__file__).with_name("repeated_keys.toml"))


@dataclass(frozen=True, slots=True)
class _Repeated:
    """The rows of `table` that share a key, numbered in DuckDB's table `repeated`.

    `alike` counts the rows that are equal, in all columns that are read, to an earlier row of their
    key; `unread` are the columns of their files that are not read, by the lab's names.
    """

    data: Dataset
    table: Table
    alike: int
    unread: list[str]

    @property
    def columns(self) -> list[str]:
        return columns_of(self.data.tables[self.table.name])

    def rows(self, columns: str) -> str:
        """A query for `columns` of all of them."""
        source = self.data.source(self.table.name)
        return f"SELECT {columns} FROM {source} WHERE file_row_number IN (FROM repeated)"

    def say(self, cause: str, **facts: Any) -> str:
        return _say(cause, table=self.table.name, **facts)


def advice(data: Dataset, table: Table, count: int, *, rounded: bool) -> str:
    """What to do about `count` rows of `table` that repeat a key; they are the SYN-ID-002 among the
    failures of `data`.

    Every setting that the advice names makes all keys of the table distinct. `rounded` says that
    most of them lost digits.
    """
    if rounded:
        return _say("rounded")
    found = _take_rows(data, table, "SYN-ID-002", ("cid",))
    said = [_of_alike(found, count)] if found.alike else []
    if count > found.alike:
        said.append(
            _needless(found) or _restarting(found) or _of_files(found) or _which_is_right(found)
        )
    return " ".join(said)


def pair_advice(data: Dataset, table: Table, *, rounded: bool) -> str:
    """What to do about the rows of `table` that repeat a pair; they are the SYN-REL-006 among the
    failures of `data`.

    A setting is offered only where it keeps what the rows say of the pair; `rounded` says that most
    keys of the neurons lost digits.
    """
    if rounded:
        return _say("pair_rounded")
    found = _take_rows(data, table, "SYN-REL-006", table.pair or ())
    copies = found.say("pair_copies", rows=found.alike) if found.alike and not found.unread else ""
    score = "connection_score" if "connection_score" in found.columns else "NULL::DOUBLE"
    fractions = "max(abs(s)) <= 1 AND bool_or(s <> trunc(s))"
    rows, scores, small = data.row(
        f"SELECT count(*), count(s), {fractions} FROM ({found.rows(f'{score} AS s')})"
    )
    if not scores:
        unread = f" ({_listed(found.unread)})" if found.unread else ""
        return found.say("pair_counted", unread=unread, copies=copies)
    unscored = found.say("pair_unscored", rows=rows - scores) if scores < rows else ""
    better = found.say("pair_confidence") if small else ""
    return found.say("pair_scored", unscored=unscored, fractions=better, copies=copies)


def _take_rows(data: Dataset, table: Table, code: str, key: Sequence[str]) -> _Repeated:
    """All rows of `table` whose `key` (columns) some failure of `code` repeats, numbered in the
    table `repeated`, and how they compare."""
    names, source = ", ".join(map(quote, key)), data.source(table.name)
    columns = ", ".join(map(quote, [*columns_of(data.tables[table.name]), CELLS]))
    data.connection.execute(
        f"""CREATE OR REPLACE TEMP TABLE repeated AS
            WITH keys AS (SELECT DISTINCT {names} FROM {source} WHERE file_row_number IN (
                SELECT row_number FROM failures WHERE code = {literal(code)}
                    AND tbl = {literal(table.name)} AND cause = ''))
            SELECT file_row_number AS row FROM {source} JOIN keys USING ({names});
            CREATE OR REPLACE TEMP TABLE alike AS
            SELECT file_row_number AS row, min(file_row_number) OVER same AS first FROM {source}
            WHERE file_row_number IN (FROM repeated)
            WINDOW same AS (PARTITION BY {columns}) QUALIFY row > first"""
    )
    read = {lab for source in data.sources.tables[table.name] for lab in source.columns.values()}
    files = data.context.ingested.details.files_of(table.name)
    named = dict.fromkeys(name for file in files for name in tidy(file.names) if name)
    unread = [name for name in named if name not in read]
    return _Repeated(data, table, data.count("FROM alike"), unread)


def _of_alike(found: _Repeated, count: int) -> str:
    """What to do about the rows that are equal, in the columns that are read, to an earlier one of
    their key."""
    rows, differ = found.alike, count - found.alike
    facts: dict[str, Any] = {
        "which": f"{rows:,} of them" if differ else "It" if rows == 1 else "All of them",
        "rows": rows,
        "others": f" and {differ:,} differ{'s' if differ == 1 else ''} from the first"
        if differ
        else "",
    }
    if found.unread:
        unread = {"names": _listed(found.unread), "columns": len(found.unread)}
        return found.say("equal_where_read", **unread, **facts)
    words = found.data.fetch(
        f"""SELECT key FROM {found.data.keys(found.table.name)}
            WHERE row IN (FROM repeated) AND {_WORD}
            GROUP BY key ORDER BY count(*) DESC, min(row) LIMIT 1"""
    )
    if words and found.table.pair is None:  # the lab's key of a relation is often made of names
        return found.say("copies_or_name", name=words[0][0], **facts)
    return found.say("copies_and_others" if differ else "copies", **facts)


def _listed(names: Sequence[str]) -> str:
    more = len(names) - _MOST_NAMED
    return ", ".join(names[:_MOST_NAMED]) + (f" and {more:,} more" if more > 0 else "")


def _needless(found: _Repeated) -> str | None:
    """Leaving the column out, where SynDB knows the rows by another key and no table of the dataset
    names them by this one."""
    table, config = found.table, found.data.context.config
    if table.pair is None or any(
        table.name in TABLES[name].parents for name in config.tables if TABLES[name].has_parent
    ):
        return None
    settings = config.tables[table.name]
    lab = next((lab for lab, name in settings.mapped if name == "cid"), "cid")
    return found.say("needless", setting=leaving_out(table.name, settings, lab, "cid"))


def _restarting(found: _Repeated) -> str | None:
    """The columns that make a key together, where one other column differs between all rows of a
    cid, but for copies of whole rows.
    """
    data, table = found.data, found.table
    if data.context.config.tables[table.name].key or (found.alike and found.unread):
        return None
    for column in sorted(table.references, key=lambda name: name != "parent_id"):
        if column not in found.columns:
            continue
        name = quote(column)
        rows = f"SELECT {name}, cid FROM {data.source(table.name)} WHERE cid IS NOT NULL"
        once = f"{found.rows(f'cid, {name}')} AND file_row_number NOT IN (SELECT row FROM alike)"
        twice = f"FROM ({once}) GROUP BY {name}, cid HAVING count(*) > 1"
        if data.some(f"{rows} AND {name} IS NULL") or data.some(f"SELECT 1 {twice}"):
            continue
        if found.alike:
            return found.say("restarting_but_for_copies", column=column)
        example = KEY_JOINT.join(data.row(f"{rows} LIMIT 1"))
        return found.say("restarting", column=column, example=example)
    return None


def _of_files(found: _Repeated) -> str | None:
    """A mark of the file before the ids, where no file has a key twice."""
    parts = found.data.sources.tables[found.table.name]
    starts = [part.first_row for part in parts if part.rows]
    if len(starts) < 2 or found.alike:
        return None
    twice = f"""SELECT 1 FROM {found.data.keys(found.table.name)} WHERE row IN (FROM repeated)
        GROUP BY key, len(list_filter({literal(starts)}, lambda start: start <= row))
        HAVING count(*) > 1"""
    return None if found.data.some(twice) else found.say("restarting_in_files")


def _which_is_right(found: _Repeated) -> str:
    """The columns in which rows of one key differ, by the lab's names."""
    columns = [column for column in found.columns if column != "cid"]
    differ = [
        f"min({name}) <> max({name}) OR count({name}) NOT IN (0, count(*))"
        for name in map(quote, columns)
    ]
    rows = f"SELECT [{', '.join(differ)}] AS differ FROM ({found.rows('*')}) GROUP BY cid"
    differs = {
        at
        for (which,) in found.data.fetch(f"SELECT DISTINCT differ FROM ({rows})")
        for at, so in enumerate(which)
        if so
    }
    names = [found.data.lab_name(found.table.name, columns[at]) for at in sorted(differs)]
    differing = f"Rows of one key differ in {_listed(names)}. " if names else ""
    return found.say("which_is_right", differing=differing)
