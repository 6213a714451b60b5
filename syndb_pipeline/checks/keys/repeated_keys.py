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
from syndb_pipeline.checks.original_text import read_again
from syndb_pipeline.contract.key_encoding import KEY_JOINT, keys_of, rows_of
from syndb_pipeline.contract.tables import TABLES, Table
from syndb_pipeline.readers.casts import CELLS
from syndb_pipeline.readers.headers import leaving_out, tidy
from syndb_pipeline.state.tables import columns_of

MOST_LOOKED_AT: Final = 100_000
"""Rows whose ignored columns are read again from the lab's files; of more, it is left open whether
all are copies."""

_MOST_NAMED: Final = 5

_NAMES: Final = ("type", "class", "name", "label", "group")
"""Words in the lab's name of a column that holds what several rows share."""

_FEWEST_OF_A_NAME: Final = 3
"""Rows that share a key with letters, where other keys have fewer, for it to be plainly a name: a
copied file repeats all alike."""

_WORD: Final = (
    r"regexp_matches(key, '\p{L}') AND NOT regexp_matches(key, "
    r"'[0-9]{5}|[0-9a-fA-F]{8}-?[0-9a-fA-F]{4}')"
)
"""SQL: the key is a word, such as Tm23/24, rather than a number or a UUID."""

_say: Final = sentences(Path(__file__).with_name("repeated_keys.toml"))


@dataclass(frozen=True, slots=True)
class _Repeated:
    """The rows of `table` that share a key, numbered in DuckDB's table `repeated`; `path` has the
    rows and `ids` the keys.

    `alike` counts the rows that are equal, in all columns that are read, to an earlier row of their
    key; `unread` are the columns of their files that are not read and differ among them, by the
    lab's names; `unknown` those that could not be looked at in all of them.
    """

    data: Dataset
    table: Table
    path: Path
    ids: Path
    alike: int
    unread: tuple[str, ...]
    unknown: tuple[str, ...]

    @property
    def are_copies(self) -> bool:
        return self.alike > 0 and not self.unread and not self.unknown

    def rows(self, columns: str) -> str:
        """A query for `columns` of all of them."""
        return (
            f"SELECT {columns} FROM {rows_of(self.path, row_number=True)} WHERE file_row_number "
            "IN (FROM repeated)"
        )

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
    copies = found.say("pair_copies", rows=found.alike) if found.are_copies else ""
    score = "connection_score" if "connection_score" in columns_of(found.path) else "NULL::DOUBLE"
    rows, scores, fractions = data.row(
        f"""SELECT count(*), count(score), coalesce(max(abs(score)) <= 1 AND bool_or(score <>
              trunc(score)), FALSE)
            FROM ({found.rows(f"{score} AS score")})"""
    )
    if not scores:
        unread = _listed(_unread(data, table.name))
        return found.say("pair_counted", unread=f" ({unread})" if unread else "", copies=copies)
    unscored = found.say("pair_unscored", rows=rows - scores) if scores < rows else ""
    better = (
        " If the score is a confidence, mean, min or max say more than its sum."
        if fractions
        else ""
    )
    return found.say("pair_scored", unscored=unscored, fractions=better, copies=copies)


def _take_rows(data: Dataset, table: Table, code: str, key: Sequence[str]) -> _Repeated:
    """All rows of `table` whose `key` (columns) some failure of `code` repeats, numbered in the
    table `repeated`, and how they compare."""
    path, names = data.tables[table.name], ", ".join(map(quote, key))
    source = rows_of(path, row_number=True)
    failing = (
        f"SELECT row_number FROM failures WHERE code = {literal(code)} AND tbl = "
        f"{literal(table.name)} AND cause = ''"
    )
    columns = ", ".join(quote(column) for column in [*columns_of(path), CELLS])
    data.connection.execute(
        f"""CREATE OR REPLACE TEMP TABLE repeated AS
            WITH keys AS (SELECT DISTINCT {names} FROM {source} WHERE file_row_number IN
              ({failing}))
            SELECT file_row_number AS row FROM {source} JOIN keys USING ({names});
            CREATE OR REPLACE TEMP TABLE alike AS
            SELECT file_row_number AS row, min(file_row_number) OVER same AS first FROM {source}
            WHERE file_row_number IN (FROM repeated)
            WINDOW same AS (PARTITION BY {columns}) QUALIFY count(*) OVER same > 1"""
    )
    rows, total = data.row("SELECT count(*) - count(DISTINCT first), count(*) FROM alike")
    unread = _unread(data, table.name)
    differ, unknown = _compare(data, table.name, unread) if rows and unread else ((), ())
    if unread and not differ and total > MOST_LOOKED_AT:
        unknown = unread
    return _Repeated(data, table, path, data.ids[table.name], rows, differ, unknown)


def _unread(data: Dataset, table: str) -> tuple[str, ...]:
    """The named columns of the table's files that ingest left out, by the lab's names."""
    files = data.context.ingested.details.files_of(table)
    read = {lab for source in data.sources.tables[table] for lab in source.columns.values()}
    return tuple(
        dict.fromkeys(
            name for each in files for name in tidy(each.names) if name and name not in read
        )
    )


def _compare(
    data: Dataset, table: str, names: tuple[str, ...]
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Of the unread columns `names`, those in which a row of the table `alike` differs from the
    first one equal to it; and all, where a row could not be read again. No more than
    `MOST_LOOKED_AT` rows are read.
    """
    data.connection.execute(
        "CREATE OR REPLACE TEMP TABLE looked_at AS FROM alike ORDER BY first, row LIMIT "
        f"{MOST_LOOKED_AT}"
    )
    firsts: dict[int, Sequence[str | None]] = {}
    differ: set[str] = set()
    for source in data.sources.tables[table]:
        end = source.first_row + source.rows
        first_of = dict(
            data.fetch(
                f"SELECT row, first FROM looked_at WHERE row >= {source.first_row} AND row < "
                f"{end} ORDER BY row"
            )
        )
        seen = 0
        for row, texts in read_again(
            data.connection, data.context, table, source, names, list(first_of)
        ):
            seen += 1
            first = firsts.setdefault(first_of[row], texts)
            differ |= {
                name for name, one, other in zip(names, first, texts, strict=True) if one != other
            }
        if seen < len(first_of):
            return (), names
    return tuple(name for name in names if name in differ), ()


def _of_alike(found: _Repeated, count: int) -> str:
    """What to do about the rows that are equal, in the columns that are read, to an earlier one of
    their key."""
    rows, differ = found.alike, count - found.alike
    facts = {
        "which": f"{rows:,} of them" if differ else "It" if rows == 1 else "All of them",
        "rows": rows,
        "others": f" and {differ:,} differ{'s' if differ == 1 else ''} from the first"
        if differ
        else "",
    }
    if found.unread:
        names = found.unread
        return found.say(
            "equal_where_read", names=_listed(names), columns=len(names), first=names[0], **facts
        )
    if found.unknown:
        return found.say("equal_as_far_as_seen", names=_listed(found.unknown), **facts)
    # The lab's key of a relation is often made of names.
    name, named, plain = _as_a_name(found) if found.table.pair is None else (None, 0, False)
    if name is not None:
        return found.say("name" if plain else "copies_or_name", name=name, named=named, **facts)
    return found.say("copies_and_others" if differ else "copies", **facts)


def _as_a_name(found: _Repeated) -> tuple[str | None, int, bool]:
    """The commonest key that is a word, None when none is; its rows; and whether it is plainly no
    key but a name that rows share."""
    words = f"{keys_of(found.ids)} WHERE row IN (FROM repeated) AND {_WORD}"
    counts = f"SELECT key, count(*) AS n, min(row) AS first FROM {words} GROUP BY key"
    name, rows = found.data.row(f"SELECT arg_max(key, (n, -first)), max(n) FROM ({counts})")
    if name is None:
        return None, 0, False
    counts = f"SELECT count(*) AS n FROM {keys_of(found.ids)} GROUP BY key"
    keys, fewest = found.data.row(f"SELECT count(*), min(n) FROM ({counts})")
    labels = {
        source.columns.get("cid", "").casefold()
        for source in found.data.sources.tables[found.table.name]
    }
    called = any(word in label for word in _NAMES for label in labels)
    return name, rows, called or (rows >= _FEWEST_OF_A_NAME and (keys == 1 or fewest < rows))


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:_MOST_NAMED]) + (
        f" and {len(names) - _MOST_NAMED:,} more" if len(names) > _MOST_NAMED else ""
    )


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
    data, table, config = found.data, found.table, found.data.context.config
    if config.tables[table.name].key or (found.alike and not found.are_copies):
        return None
    for column in sorted(table.references, key=lambda name: name != "parent_id"):
        if column not in columns_of(found.path):
            continue
        name = quote(column)
        rows = f"SELECT {name}, cid FROM {rows_of(found.path)} WHERE cid IS NOT NULL"
        once = f"SELECT * FROM ({found.rows(f'file_row_number, cid, {name}')})"
        if found.alike:
            once += " WHERE file_row_number NOT IN (SELECT row FROM alike WHERE row > first)"
        if data.some(f"{rows} AND {name} IS NULL") or data.some(
            f"SELECT 1 FROM ({once}) GROUP BY {name}, cid HAVING count(*) > 1"
        ):
            continue
        if found.alike:
            return found.say("restarting_but_for_copies", column=column)
        whole = (
            "; tables that name these rows then need the whole key, e.g. "
            f"{KEY_JOINT.join(data.row(f'{rows} LIMIT 1'))}"
        )
        targets = {
            target
            for each in config.tables
            if each != table.name
            for named in TABLES[each].columns.values()
            for target in named.targets
        }
        return found.say("restarting", column=column, whole=whole if table.name in targets else "")
    return None


def _of_files(found: _Repeated) -> str | None:
    """A mark of the file before the ids, where no file has a key twice."""
    parts = [
        (number, part.first_row)
        for number, part in enumerate(found.data.sources.tables[found.table.name])
        if part.rows
    ]
    if len(parts) < 2 or found.alike:
        return None
    keys = f"SELECT * FROM {keys_of(found.ids)} WHERE row IN (FROM repeated)"
    twice = f"""SELECT 1 FROM ({keys}) ASOF JOIN (VALUES {", ".join(map(str, parts))}) part(number,
          start) ON row >= start
        GROUP BY key, number HAVING count(*) > 1"""
    return None if found.data.some(twice) else found.say("restarting_in_files")


def _which_is_right(found: _Repeated) -> str:
    """The columns in which rows of one key differ, by the lab's names, and what else the key may
    be."""
    columns = [column for column in columns_of(found.path) if column != "cid"]
    differ = [
        f"min({quote(c)}) <> max({quote(c)}) OR count({quote(c)}) NOT IN (0, count(*))"
        for c in columns
    ]
    by_key = ", ".join(f"({condition}) AS d{n}" for n, condition in enumerate(differ))
    asked = ", ".join(f"coalesce(bool_or(d{n}), FALSE)" for n in range(len(columns)))
    differs = (
        found.data.row(
            f"SELECT {asked} FROM (SELECT {by_key} FROM ({found.rows('*')}) GROUP BY cid)"
        )
        if columns
        else ()
    )
    lab = found.data.sources.tables[found.table.name][0].columns
    names = [
        lab.get(column, column)
        for column, found_so in zip(columns, differs, strict=True)
        if found_so
    ]
    [most_repeat] = found.data.row(
        f"SELECT count(key) > 2 * count(DISTINCT key) FROM {keys_of(found.ids)}"
    )
    parts = (
        f" If the rows are parts of a {found.table.name}, map the column that has their own ids "
        "to cid."
    )
    return found.say(
        "which_is_right",
        differing=f"Rows of one key differ in {_listed(names)}. " if names else "",
        parts=parts if most_repeat else "",
    )
