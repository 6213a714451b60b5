"""Words of a text column against SynDB's vocabularies, and capitals that will be sent as small
letters.

Belongs here: counting distinct words in SQL and telling the unknown ones. Does not: the
vocabularies, text length and ASCII (`contract/`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import duckdb

from syndb_pipeline.base.engine import literal, parquet, quote
from syndb_pipeline.checks.cells.pandera_judge import FAILING, ROW_NUMBER, failing_cells
from syndb_pipeline.checks.cells.unparsed_cells import safe_setting
from syndb_pipeline.checks.failures import Failures
from syndb_pipeline.contract.checks import WORD, checked_words
from syndb_pipeline.contract.no_value import IN_TEXT, OF_PROGRAMS
from syndb_pipeline.contract.tables import TABLES, Column, Kind
from syndb_pipeline.contract.vocabularies import (
    ALIASES,
    OTHER_MEANINGS,
    VOCABULARIES,
    means,
    suggest,
)
from syndb_pipeline.readers import summary_words
from syndb_pipeline.rules.finding import MAX_EXAMPLES, Confidence, Finding
from syndb_pipeline.state.failing_cells import is_error
from syndb_pipeline.state.row_locations import SourceMap
from syndb_pipeline.state.stage import Context

CODES: Final = frozenset(
    {"SYN-VOC-001", "SYN-VOC-002", "SYN-VOC-003", "SYN-VOC-004", summary_words.CODE}
)
"""The rules told here, from counts of words; their rows are among the failures only where they are
errors.
"""

_KINDS: Final = {
    "unknown": "SYN-VOC-001",
    "no value": "SYN-VOC-001",
    "alias": "SYN-VOC-003",
    "unclear": "SYN-VOC-004",
}
"""Kind of a word -> the rule that it breaks; a `known` word breaks none."""

_SHORT_VOCABULARY: Final = 8  # words; a list this short is told whole
_SHORTEST_GUESS: Final = (
    4  # letters; shorter words are mostly a lab's own abbreviations, near to any other
)


@dataclass(frozen=True, slots=True)
class _Words:
    """Distinct words of one kind in one column: rows, words, and the most frequent ones as (folded,
    row number, as written).
    """

    rows: int
    distinct: int
    first: list[tuple[str, int, str]]


def check_words(
    context: Context, failures: Failures, sources: SourceMap, table: str, columns: list[str]
) -> list[Finding]:
    """Findings about the words of `table`'s text columns, one for each column and rule, with the
    most frequent words as examples.

    Adds the rows concerned to `failures` where the config makes an error of the rule.
    """
    findings: list[Finding] = []
    rows = parquet(context.store.stage("ingest") / "tables" / f"{table}.parquet", row_number=True)
    for name in columns:
        column = TABLES[table].columns[name]
        if column.kind is not Kind.TEXT:
            continue
        cell = quote(name)
        if column.vocabulary:
            _count_words(failures.connection, rows, column)
        else:
            _count_markers(failures.connection, rows, column)
        in_words = (
            f"SELECT {{}}, {literal(table)}, file_row_number, {literal(name)}, {cell}, '' FROM"
            f" {rows} WHERE {_kept(column)} AND {_folded(cell)} IN "
        )
        if summed := _summary(failures.connection):
            findings.append(_row_of_sums(context, sources, table, column, summed))
            if is_error(context, summary_words.CODE):
                listed = ", ".join(literal(word) for word, _, _ in summed.first)
                failures.add(in_words.format(literal(summary_words.CODE)) + f"({listed})")
        for code, tell in (
            ("SYN-VOC-001", _unknown),
            ("SYN-VOC-003", _other_spelling),
            ("SYN-VOC-004", _unclear),
        ):
            words = _words(failures.connection, code)
            if words.rows:
                findings.append(tell(context, failures.connection, sources, table, column, words))
                if is_error(context, code):
                    kinds = literal([kind for kind, broken in _KINDS.items() if broken == code])
                    failures.add(
                        in_words.format(literal(code))
                        + f"(SELECT {WORD} FROM words WHERE list_contains({kinds}, kind))"
                    )
        said = f"(SELECT {WORD} FROM words WHERE kind IN ('no value', 'unclear'))"
        capitals = (
            f"FROM {rows} WHERE {cell} <> lower({cell}) AND {_kept(column)} AND {_folded(cell)} NOT"
            f" IN {said}"
        )
        words = _capitals(failures.connection, column, capitals)
        if words.rows:
            findings.append(
                _finding(
                    "SYN-VOC-002", context, sources, table, column, words, others=_others(words)
                )
            )
            if is_error(context, "SYN-VOC-002"):
                failures.add(
                    f"SELECT 'SYN-VOC-002', {literal(table)}, file_row_number, {literal(name)},"
                    f" {cell}, '' {capitals}"
                )
    return findings


def _folded(cell: str) -> str:
    """SQL: the word in `cell` as words are compared."""
    return f"lower(trim({cell}))"


def _kept(column: Column) -> str:
    """SQL: a cell of `column` is text that SynDB can keep. Other text is refused by SYN-VAL-003 or
    004, which is all to say of it.
    """
    cell = quote(column.name)
    short = f" AND length({cell}) <= {column.max_length}" if column.max_length is not None else ""
    return f"(strlen({cell}) = length({cell}){short})"


def _count_words(connection: duckdb.DuckDBPyConnection, rows: str, column: Column) -> None:
    """Fill the table `words` with the column's distinct words in lower case, most frequent first,
    each `known`, `alias` or `unknown`.
    """
    assert column.vocabulary is not None
    cell = quote(column.name)
    # As written first: a vocabulary has few words, and millions of cells need not be folded one by
    # one.
    distinct = (
        f"SELECT {cell}, count(*) AS n, min(file_row_number) AS r FROM {rows} WHERE {cell} IS NOT"
        f" NULL GROUP BY {cell}"
    )
    _fill_words(connection, distinct, column)
    aliases = [
        alias
        for alias in ALIASES.get(column.vocabulary, {})
        if alias not in VOCABULARIES[column.vocabulary]
    ]
    if aliases:
        connection.execute(
            f"UPDATE words SET kind = 'alias' WHERE list_contains(?, {WORD})", [aliases]
        )
    numbered = f"SELECT position AS {ROW_NUMBER}, {WORD} FROM words"
    for _ in failing_cells(connection, numbered, checked_words(column.vocabulary)):
        connection.execute(
            "UPDATE words SET kind = 'unknown' WHERE position IN (SELECT row_number FROM"
            f" {FAILING})"
        )
    connection.execute(
        f"UPDATE words SET kind = 'no value' WHERE kind = 'unknown' AND list_contains(?, {WORD})",
        [list(IN_TEXT)],
    )
    unclear = [*IN_TEXT, *OTHER_MEANINGS.get(column.vocabulary, {})]
    connection.execute(
        f"UPDATE words SET kind = 'unclear' WHERE kind = 'alias' AND list_contains(?, {WORD})",
        [unclear],
    )


def _count_markers(connection: duckdb.DuckDBPyConnection, rows: str, column: Column) -> None:
    """Fill the table `words` with those words of a column of free text that tables hold for "no
    value"; all are `unclear`.
    """
    cell = quote(column.name)
    longest = max(map(len, IN_TEXT))
    marked = (
        f"length({cell}) <= {longest} AND list_contains({literal(list(IN_TEXT))}, {_folded(cell)})"
    )
    distinct = (
        f"SELECT {cell}, count(*) AS n, min(file_row_number) AS r FROM {rows} WHERE {marked} GROUP"
        f" BY {cell}"
    )
    _fill_words(connection, distinct, column)
    connection.execute("UPDATE words SET kind = 'unclear'")


def _fill_words(connection: duckdb.DuckDBPyConnection, distinct: str, column: Column) -> None:
    """Fill the table `words` from `distinct`, a query for the column's distinct cells, their count
    `n` and first row `r`.
    """
    cell = quote(column.name)
    connection.execute(f"""CREATE OR REPLACE TABLE words AS
            SELECT row_number() OVER (ORDER BY count DESC, {WORD}) - 1 AS position, *, 'known' AS
              kind FROM (
                SELECT {_folded(cell)} AS {WORD}, sum(n)::BIGINT AS count, min(struct_pack(r := r, v
                  := {cell})) AS first,
                    list(DISTINCT trim({cell}) ORDER BY trim({cell})) AS spellings
                FROM ({distinct}) WHERE {_kept(column)} GROUP BY 1)""")


def _capitals(connection: duckdb.DuckDBPyConnection, column: Column, capitals: str) -> _Words:
    """The words of `capitals`, the rows whose cells have capitals, as they appear first; each cell
    is one where any text is allowed.
    """
    cell = quote(column.name)
    (count,) = connection.execute(f"SELECT count(*) {capitals}").fetchone() or (0,)
    if not count:
        return _Words(0, 0, [])
    together = f"SELECT {cell} AS v, min(file_row_number) AS r {capitals} GROUP BY v"
    if not column.vocabulary:
        together = f"SELECT {cell} AS v, file_row_number AS r {capitals}"
    (distinct,) = connection.execute(f"SELECT count(*) FROM ({together})").fetchone() or (0,)
    first = connection.execute(
        f"SELECT v, r, v FROM ({together}) ORDER BY r LIMIT {MAX_EXAMPLES}"
    ).fetchall()
    return _Words(count, distinct, first)


def _words(connection: duckdb.DuckDBPyConnection, code: str) -> _Words:
    """The words that break rule `code`."""
    broken = (
        f"list_contains({literal([kind for kind, broken in _KINDS.items() if broken == code])},"
        " kind)"
    )
    rows, distinct = connection.execute(
        f"SELECT coalesce(sum(count), 0)::BIGINT, count(*) FROM words WHERE {broken}"
    ).fetchone() or (0, 0)
    if not rows:
        return _Words(0, 0, [])
    first = connection.execute(
        f"SELECT {WORD}, first.r, first.v FROM words WHERE {broken} ORDER BY position LIMIT"
        f" {MAX_EXAMPLES}"
    ).fetchall()
    return _Words(rows, distinct, first)


def _markers(connection: duckdb.DuckDBPyConnection, kind: str) -> list[str]:
    """The words of `kind`, the commonest first, in all their spellings."""
    rows = connection.execute(
        "SELECT spellings FROM words WHERE kind = ? ORDER BY position LIMIT 10", [kind]
    ).fetchall()
    return [spelling for (spellings,) in rows for spelling in spellings]


def _if_missing(
    context: Context,
    connection: duckdb.DuckDBPyConnection,
    table: str,
    column: Column,
    markers: list[str],
) -> str:
    """The sentence that offers to declare `markers`, for `column` alone where another column would
    lose a value by it; "" for none.
    """
    if not markers:
        return ""
    setting = safe_setting(
        connection, context, table, {marker: [column.name] for marker in markers}
    )
    return f"If {' or '.join(map(repr, markers[:3]))} stands for `no value`, say so: `{setting}`."


def _summary(connection: duckdb.DuckDBPyConnection) -> _Words | None:
    """The words of the column by which rows that sum up others are called."""
    found = connection.execute(
        f"""SELECT {WORD}, count, {summary_words.is_plain(WORD)}, first.r, first.v FROM words
            WHERE kind <> 'known' AND {summary_words.is_summary(WORD)} ORDER BY first.r"""
    ).fetchall()
    if not found:
        return None
    [(rows,)] = connection.execute("SELECT sum(count)::BIGINT FROM words").fetchall()
    meant = summary_words.meant({word: (count, plain) for word, count, plain, *_ in found}, rows)
    first = [(word, row, written) for word, _, _, row, written in found if word in meant]
    return (
        _Words(sum(count for word, count, *_ in found if word in meant), len(meant), first)
        if meant
        else None
    )


def _row_of_sums(
    context: Context, sources: SourceMap, table: str, column: Column, words: _Words
) -> Finding:
    reason = (
        f"{column.name} says {summary_words.listed([written for _, _, written in words.first])}"
        " there"
    )
    return _finding(
        summary_words.CODE, context, sources, table, column, words, "likely", reason=reason
    )


def _unknown(
    context: Context,
    connection: duckdb.DuckDBPyConnection,
    sources: SourceMap,
    table: str,
    column: Column,
    words: _Words,
) -> Finding:
    assert column.vocabulary is not None
    near = _others(words)
    near_words = [
        (word, suggest(column.vocabulary, word))
        for word, _, _ in words.first
        if len(word) >= _SHORTEST_GUESS
    ]
    nearest = [f"{known!r} for {word!r}" for word, known in near_words if known]
    vocabulary = VOCABULARIES[column.vocabulary]
    if nearest:
        near += f"; SynDB's nearest: {', '.join(nearest)}"
    elif len(vocabulary) <= _SHORT_VOCABULARY:
        near += f"; SynDB knows {', '.join(vocabulary)}"
    advice = _if_missing(context, connection, table, column, _markers(connection, "no value"))
    sure: Confidence = "likely" if nearest else "certain"
    return _finding(
        "SYN-VOC-001",
        context,
        sources,
        table,
        column,
        words,
        sure,
        near=near,
        advice=f" {advice}" if advice else "",
    )


def _unclear(
    context: Context,
    connection: duckdb.DuckDBPyConnection,
    sources: SourceMap,
    table: str,
    column: Column,
    words: _Words,
) -> Finding:
    """Words that a lab may have meant otherwise than SynDB reads them."""
    other = OTHER_MEANINGS.get(column.vocabulary or "", {})
    readings = []
    for word, _, written in words.first:
        known = means(column.vocabulary, word) if column.vocabulary else None
        meant = other.get(
            word,
            (
                "what R and other programs write for `no value`"
                if word in OF_PROGRAMS
                else "`no value` in many tables"
            ),
        )
        readings.append(f"{written!r} is {f'{known!r} to SynDB, and ' if known else ''}{meant}")
    markers = [word for word in _markers(connection, "unclear") if word.lower() not in other]
    missing = _if_missing(context, connection, table, column, markers)
    whole = (
        "write the whole name of what is meant" if column.vocabulary else "write it in other words"
    )
    advice = f"{missing} Otherwise {whole}" if missing else whole.capitalize()
    if column.vocabulary:
        advice += "; or allow SynDB's reading with `SYN-VOC-004: warning` under `rules`"
    return _finding(
        "SYN-VOC-004",
        context,
        sources,
        table,
        column,
        words,
        "likely",
        readings="; ".join(readings) + _others_of(words),
        advice=f"{advice}.",
    )


def _others_of(words: _Words) -> str:
    more = words.distinct - len(words.first)
    return f"; and {more:,} more" if more > 0 else ""


def _others(words: _Words) -> str:
    others = words.distinct - 1
    return f" and {others:,} other word{'' if others == 1 else 's'}" if others else ""


def _other_spelling(
    context: Context,
    connection: duckdb.DuckDBPyConnection,
    sources: SourceMap,
    table: str,
    column: Column,
    words: _Words,
) -> Finding:
    assert column.vocabulary is not None
    aliases = ALIASES[column.vocabulary]
    meanings = ", ".join(f"{written!r} is {aliases[word]!r}" for word, _, written in words.first)
    return _finding("SYN-VOC-003", context, sources, table, column, words, meanings=meanings)


def _finding(
    code: str,
    context: Context,
    sources: SourceMap,
    table: str,
    column: Column,
    words: _Words,
    confidence: Confidence = "certain",
    **values: str,
) -> Finding:
    examples = [
        sources.example(table, row, column.name, written) for _, row, written in words.first
    ]
    return context.finding(
        code,
        table=table,
        column=column.name,
        count=words.rows,
        examples=examples,
        confidence=confidence,
        value=examples[0].value,
        **values,
    )
