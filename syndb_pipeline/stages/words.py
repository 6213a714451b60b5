"""Words of a text column against SynDB's vocabularies, and capitals that will be sent as small letters.

Belongs here: counting distinct words in SQL and telling the unknown ones. Does not: the vocabularies, text length and ASCII (`contract/`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import duckdb

from syndb_pipeline.contract.schema import WORD, words_schema
from syndb_pipeline.contract.tables import TABLES, Column, Kind
from syndb_pipeline.contract.vocabularies import ALIASES, VOCABULARIES, suggest
from syndb_pipeline.engine import literal, parquet, quote
from syndb_pipeline.findings.finding import MAX_EXAMPLES, Finding
from syndb_pipeline.sources import SourceMap
from syndb_pipeline.stages.failures import Failures, is_error
from syndb_pipeline.stages.frames import FAILING, failing_cells
from syndb_pipeline.stages.stage import Context

CODES: Final = frozenset({"SYN-VOC-001", "SYN-VOC-002", "SYN-VOC-003"})
"""The rules told here, from counts of words; their rows are among the failures only where the config makes errors of them."""

_SHORT_VOCABULARY: Final = 8  # words; a list this short is told whole
_SHORTEST_GUESS: Final = 4  # letters; shorter words are mostly a lab's own abbreviations, near to any other


@dataclass(frozen=True, slots=True)
class _Words:
    """Distinct words of one kind in one column: rows, words, and the most frequent ones as (folded, row number, as written)."""

    rows: int
    distinct: int
    first: list[tuple[str, int, str]]


def check_words(context: Context, failures: Failures, sources: SourceMap, table: str, columns: list[str]) -> list[Finding]:
    """Findings about the words of `table`'s text columns, one for each column and rule, with the most frequent words as examples.

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
            in_words = (
                f"SELECT {{}}, {literal(table)}, file_row_number, {literal(name)}, {cell}, '' FROM {rows} WHERE lower(trim({cell})) IN "
            )
            for code, kind, tell in (("SYN-VOC-001", "unknown", _unknown), ("SYN-VOC-003", "alias", _other_spelling)):
                words = _words(failures.connection, kind)
                if words.rows:
                    findings.append(tell(context, sources, table, column, words))
                    if is_error(context, code):
                        failures.add(in_words.format(literal(code)) + f"(SELECT {WORD} FROM words WHERE kind = '{kind}')")
        capitals = f"FROM {rows} WHERE {cell} <> lower({cell})"
        count, first = failures.connection.execute(
            f"SELECT count(*), min(struct_pack(r := file_row_number, v := {cell}), {MAX_EXAMPLES}) {capitals}"
        ).fetchone() or (0, [])
        if count:
            examples = [sources.example(table, place["r"], name, place["v"]) for place in first]
            findings.append(
                context.finding("SYN-VOC-002", table=table, column=name, count=count, examples=examples, value=examples[0].value)
            )
            if is_error(context, "SYN-VOC-002"):
                failures.add(f"SELECT 'SYN-VOC-002', {literal(table)}, file_row_number, {literal(name)}, {cell}, '' {capitals}")
    return findings


def _count_words(connection: duckdb.DuckDBPyConnection, rows: str, column: Column) -> None:
    """Fill the table `words` with the column's distinct words in lower case, most frequent first, each `known`, `alias` or `unknown`."""
    assert column.vocabulary is not None
    cell = quote(column.name)
    connection.execute(
        f"""CREATE OR REPLACE TABLE words AS
            SELECT row_number() OVER (ORDER BY count DESC, {WORD}) - 1 AS position, *, 'known' AS kind FROM (
                SELECT lower(trim({cell})) AS {WORD}, count(*) AS count, min(struct_pack(r := file_row_number, v := {cell})) AS first
                FROM {rows} WHERE {cell} IS NOT NULL GROUP BY 1)"""
    )
    aliases = [alias for alias in ALIASES.get(column.vocabulary, {}) if alias not in VOCABULARIES[column.vocabulary]]
    connection.execute(f"UPDATE words SET kind = 'alias' WHERE list_contains(?, {WORD})", [aliases])
    for _ in failing_cells(connection, f"SELECT {WORD} FROM words ORDER BY position", words_schema(column.vocabulary), 1):
        connection.execute(f"UPDATE words SET kind = 'unknown' WHERE position IN (SELECT row_number FROM {FAILING})")


def _words(connection: duckdb.DuckDBPyConnection, kind: str) -> _Words:
    rows, distinct = connection.execute(
        "SELECT coalesce(sum(count), 0)::BIGINT, count(*) FROM words WHERE kind = ?", [kind]
    ).fetchone() or (0, 0)
    first = connection.execute(
        f"SELECT {WORD}, first.r, first.v FROM words WHERE kind = ? ORDER BY position LIMIT {MAX_EXAMPLES}", [kind]
    ).fetchall()
    return _Words(rows, distinct, first)


def _unknown(context: Context, sources: SourceMap, table: str, column: Column, words: _Words) -> Finding:
    assert column.vocabulary is not None
    others = words.distinct - 1
    near = f" and {others:,} other word{'' if others == 1 else 's'}" if others else ""
    near_words = [(word, suggest(column.vocabulary, word)) for word, _, _ in words.first if len(word) >= _SHORTEST_GUESS]
    nearest = [f"{known!r} for {word!r}" for word, known in near_words if known]
    vocabulary = VOCABULARIES[column.vocabulary]
    if nearest:
        near += f"; SynDB's nearest: {', '.join(nearest)}"
    elif len(vocabulary) <= _SHORT_VOCABULARY:
        near += f"; SynDB knows {', '.join(vocabulary)}"
    return _finding("SYN-VOC-001", context, sources, table, column, words, near=near)


def _other_spelling(context: Context, sources: SourceMap, table: str, column: Column, words: _Words) -> Finding:
    assert column.vocabulary is not None
    aliases = ALIASES[column.vocabulary]
    meanings = ", ".join(f"{written!r} is {aliases[word]!r}" for word, _, written in words.first)
    return _finding("SYN-VOC-003", context, sources, table, column, words, meanings=meanings)


def _finding(code: str, context: Context, sources: SourceMap, table: str, column: Column, words: _Words, **values: str) -> Finding:
    examples = [sources.example(table, row, column.name, written) for _, row, written in words.first]
    return context.finding(code, table=table, column=column.name, count=words.rows, examples=examples, value=examples[0].value, **values)
