"""Words of a text column against SynDB's vocabularies, and capitals that will be sent as small
letters.

Belongs here: counting distinct words in SQL and saying which SynDB does not read as the lab meant
them. Does not: the vocabularies, text length and ASCII (`contract/`).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Final

from syndb_pipeline.base.engine import literal, quote
from syndb_pipeline.checks.cells.markers import CAUSES, safe_setting
from syndb_pipeline.checks.cells.pandera_judge import FAILING, ROW_NUMBER, failing_cells
from syndb_pipeline.checks.dataset import Inspected
from syndb_pipeline.contract.checks import WORD, checked_words, column_checks
from syndb_pipeline.contract.no_value import IN_TEXT, OF_PROGRAMS
from syndb_pipeline.contract.tables import Column, Kind
from syndb_pipeline.contract.vocabularies import (
    ALIASES,
    OTHER_MEANINGS,
    VOCABULARIES,
    means,
    suggest,
)
from syndb_pipeline.readers import summary_words
from syndb_pipeline.rules.finding import MAX_EXAMPLES, Finding

CODES: Final = frozenset({*(f"SYN-VOC-00{number}" for number in range(1, 5)), summary_words.CODE})
"""The rules found here, from counts of words; their rows are among the failures only where they are
errors.
"""

_SHORT_VOCABULARY: Final = 8  # words; a list this short is shown whole
_SHORTEST_GUESS: Final = (
    4  # letters; shorter words are mostly a lab's own abbreviations, near to any other
)


def check_words(table: Inspected) -> list[Finding]:
    """Findings about the words of text columns, one for each column and rule, the commonest words
    first.

    Adds the rows concerned to the failures where the config makes an error of the rule.
    """
    columns = [
        table.declared[name] for name in table.columns if table.declared[name].kind is Kind.TEXT
    ]
    return [finding for column in columns for finding in _Words(table, column).findings()]


@dataclass(frozen=True, slots=True)
class _Found:
    """Words of one kind: their rows, their number, and the first as (folded, row number, as
    written).
    """

    rows: int
    distinct: int
    first: list[tuple[str, int, str]]


class _Words:
    """The distinct words of one column, in the table `words`: the commonest first, each of one
    kind.
    """

    def __init__(self, table: Inspected, column: Column) -> None:
        self.table, self.column = table, column
        self.vocabulary = column.vocabulary or ""
        self.cell = quote(column.name)
        self.folded = f"lower(trim({self.cell}))"
        # Other text is refused by SYN-VAL-003 or 004, which is all to say of it.
        checks = [check.predicate.sql(self.cell) for check in column_checks(column)]
        self.kept = f"({' AND '.join(checks)})"

    def findings(self) -> list[Finding]:
        self._count()
        if self.vocabulary and self._are_as_syndb_writes():
            return []
        findings = []
        if sums := self._sums():
            says = summary_words.listed([written for *_, written in sums.first])
            listed = ", ".join(literal(word) for word, *_ in sums.first)
            values = {"reason": f"{self.column.name} says {says} there", "confidence": "likely"}
            findings += self._finding(summary_words.CODE, sums, self._in(f"({listed})"), values)
        for code, kinds, describe in (
            ("SYN-VOC-001", ("unknown", "no value"), self._unknown),
            ("SYN-VOC-003", ("alias",), self._other_spelling),
            ("SYN-VOC-004", ("unclear",), self._unclear),
        ):
            broken = f"words WHERE list_contains({literal(kinds)}, kind)"
            found = self._found(broken, "count", f"{WORD}, first.r, first.v", "position")
            where = self._in(f"(SELECT {WORD} FROM {broken})")
            findings += self._finding(code, found, where, describe(found) if found.rows else {})
        said = f"(SELECT {WORD} FROM words WHERE kind IN ('no value', 'unclear'))"
        capitals = f"{self.cell} <> lower({self.cell}) AND NOT ({self._in(said)}) AND {self.kept}"
        # Each cell is a word of its own where any text is allowed.
        cells = f"SELECT {self.cell} AS v, file_row_number AS r, 1 AS n FROM {self.table.source}"
        words = f"{cells} WHERE {capitals}"
        if self.vocabulary:
            words = f"SELECT v, min(r) AS r, count(*) AS n FROM ({words}) GROUP BY v"
        found = self._found(f"({words})", "n", "v, r, v", "r")
        others = {"others": _others(found)}
        return [*findings, *self._finding("SYN-VOC-002", found, capitals, others)]

    def _count(self) -> None:
        """Fill `words`: of free text only those that tables hold for "no value"."""
        cell, known = self.cell, VOCABULARIES.get(self.vocabulary, ())
        if self.vocabulary:
            where = f"{cell} IS NOT NULL"
            aliases = [each for each in ALIASES.get(self.vocabulary, {}) if each not in known]
            doubtful = [*IN_TEXT, *OTHER_MEANINGS.get(self.vocabulary, {})]
            kind = f"""CASE WHEN NOT list_contains({literal(aliases)}::VARCHAR[], {WORD})
                THEN 'known' WHEN list_contains({literal(doubtful)}, {WORD}) THEN 'unclear'
                ELSE 'alias' END"""
        else:
            marked = f"list_contains({literal(IN_TEXT)}, {self.folded})"
            where = f"length({cell}) <= {max(map(len, IN_TEXT))} AND {marked}"
            kind = "'unclear'"
        # As written first: a vocabulary has few words, and millions of cells need not be folded one
        # by one.
        self.table.fetch(f"""CREATE OR REPLACE TABLE words AS
            SELECT row_number() OVER (ORDER BY count DESC, {WORD}) - 1 AS position, *,
                {kind} AS kind
            FROM (SELECT {self.folded} AS {WORD}, sum(n)::BIGINT AS count,
                    min(struct_pack(r := r, v := {cell})) AS first,
                    list(DISTINCT trim({cell}) ORDER BY trim({cell})) AS spellings
                FROM (SELECT {cell}, count(*) AS n, min(file_row_number) AS r
                    FROM {self.table.source} WHERE {where} GROUP BY {cell})
                WHERE {self.kept} GROUP BY 1)""")
        if self.vocabulary:
            numbered = f"SELECT position AS {ROW_NUMBER}, {WORD} FROM words"
            for _ in failing_cells(self.table.connection, numbered, checked_words(self.vocabulary)):
                no_value = f"list_contains({literal(IN_TEXT)}, {WORD})"
                self.table.fetch(
                    f"""UPDATE words SET kind = if({no_value}, 'no value', 'unknown')
                        WHERE position IN (SELECT row_number FROM {FAILING})"""
                )

    def _are_as_syndb_writes(self) -> bool:
        """Whether all `words` are known, without capitals, so that none asks for another look."""
        capitals = "len(list_filter(spellings, lambda word: word <> lower(word))) > 0"
        return not self.table.some(f"FROM words WHERE kind <> 'known' OR {capitals}")

    def _in(self, words: str) -> str:
        """SQL: a row has one of `words`, a list or query of folded words."""
        return f"{self.kept} AND {self.folded} IN {words}"

    def _found(self, words: str, rows: str, columns: str, order: str) -> _Found:
        """What a FROM item of words gives: the sum of `rows`, their number, `columns` of the
        first."""
        count, distinct = self.table.row(
            f"SELECT coalesce(sum({rows}), 0)::BIGINT, count(*) FROM {words}"
        )
        first = f"SELECT {columns} FROM {words} ORDER BY {order} LIMIT {MAX_EXAMPLES}"
        return _Found(count, distinct, self.table.fetch(first) if count else [])

    def _sums(self) -> _Found | None:
        """The words of the column by which rows that sum up others are called."""
        found = self.table.fetch(
            f"""SELECT {WORD}, count, {summary_words.is_plain(WORD)}, first.r, first.v FROM words
                WHERE kind <> 'known' AND {summary_words.is_summary(WORD)} ORDER BY first.r"""
        )
        if not found:
            return None
        (rows,) = self.table.row("SELECT sum(count)::BIGINT FROM words")
        meant = summary_words.meant(
            {word: (count, plain) for word, count, plain, *_ in found}, rows
        )
        first = [(word, row, written) for word, _, _, row, written in found if word in meant]
        count = sum(count for word, count, *_ in found if word in meant)
        return _Found(count, len(meant), first) if meant else None

    def _finding(
        self, code: str, found: _Found, where: str, values: Mapping[str, Any]
    ) -> list[Finding]:
        """The finding about the words `found` of the rows `where`, which are failures where the
        rule refuses rows; none where there are none."""
        if not found.rows:
            return []
        table, name = self.table, self.column.name
        table.refuse(code, name, where)
        places = [
            table.sources.example(table.name, row, name, text) for _, row, text in found.first
        ]
        known = {"table": table.name, "column": name, "count": found.rows}
        value = places[0].value
        return [table.context.finding(code, **known, examples=places, value=value, **values)]

    # -- what each rule's sentences need

    def _spellings(self, kind: str, without: Collection[str] = ()) -> list[str]:
        """The commonest words of `kind` in all their spellings."""
        rows = self.table.fetch(
            "SELECT spellings FROM words WHERE kind = ? ORDER BY position LIMIT 10", [kind]
        )
        return [word for (spellings,) in rows for word in spellings if word.lower() not in without]

    def _if_missing(self, markers: list[str]) -> str:
        """The sentence that offers to declare `markers`, without harm to other columns; "" for
        none.
        """
        if not markers:
            return ""
        setting = safe_setting(self.table, {marker: [self.column.name] for marker in markers})
        shown = " or ".join(map(repr, markers[:3]))
        return CAUSES["word"].advice(shown=shown, setting=setting)

    def _unknown(self, found: _Found) -> dict[str, Any]:
        near = _others(found)
        nearest = [
            f"{known!r} for {word!r}"
            for word, *_ in found.first
            if len(word) >= _SHORTEST_GUESS and (known := suggest(self.vocabulary, word))
        ]
        if nearest:
            near += f"; SynDB's nearest: {', '.join(nearest)}"
        elif len(VOCABULARIES[self.vocabulary]) <= _SHORT_VOCABULARY:
            near += f"; SynDB knows {', '.join(VOCABULARIES[self.vocabulary])}"
        advice = self._if_missing(self._spellings("no value"))
        sure = "likely" if nearest else "certain"
        return {"near": near, "advice": f" {advice}" if advice else "", "confidence": sure}

    def _other_spelling(self, found: _Found) -> dict[str, Any]:
        aliases = ALIASES[self.vocabulary]
        return {
            "meanings": ", ".join(
                f"{written!r} is {aliases[word]!r}" for word, _, written in found.first
            )
        }

    def _unclear(self, found: _Found) -> dict[str, Any]:
        """Words that a lab may have meant otherwise than SynDB reads them."""
        other = OTHER_MEANINGS.get(self.vocabulary, {})
        readings = []
        for word, _, written in found.first:
            known = means(self.vocabulary, word) if self.vocabulary else None
            programs = "what R and other programs write for `no value`"
            meant = other.get(
                word, programs if word in OF_PROGRAMS else "`no value` in many tables"
            )
            readings.append(f"{written!r} is {f'{known!r} to SynDB, and ' if known else ''}{meant}")
        if (more := found.distinct - len(found.first)) > 0:
            readings.append(f"and {more:,} more")
        missing = self._if_missing(self._spellings("unclear", other))
        whole = (
            "write the whole name of what is meant"
            if self.vocabulary
            else "write it in other words"
        )
        advice = f"{missing} Otherwise {whole}" if missing else whole.capitalize()
        if self.vocabulary:
            advice += "; or allow SynDB's reading with `SYN-VOC-004: warning` under `rules`"
        return {"readings": "; ".join(readings), "advice": f"{advice}.", "confidence": "likely"}


def _others(found: _Found) -> str:
    others = found.distinct - 1
    return f" and {others:,} other word{'' if others == 1 else 's'}" if others else ""
