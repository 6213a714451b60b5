"""Words with which programs and people call a row that sums up the others: Total, Mean, SD, Min,
Max.

Belongs here: the words, in SQL, and when they mean such a row. Does not: which cells are held
against them.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Final

from syndb_pipeline.base.engine import literal
from syndb_pipeline.readers.part import Part

CODE: Final = "SYN-READ-023"

_PLAIN: Final = (
    r"(?:(?:grand|sub|over)[ -]?)?totals?|over ?all|sums?|means?|averages?|medians?"
    r"|(?:std|st|standard)\.? ?dev(?:iation)?s?|stdevs?|std|s\.d|(?:std|standard)\.?"
    r" ?err(?:or)?|s\.e\.m"
    r"|variance|minimum|maximum|summary|summe|(?:gesamt|zwischen)(?:summe|ergebnis)?|insgesamt"
    r"|mittel(?:wert)?|durchschnitt|standardabweichung|somme|moyenne|suma|promedio"
)
_SHORT: Final = r"min|max|avg|sd|se|sem|cv|var|n|counts?"
"""Words that may well be names, as AVG is of a neuron of the worm: they count beside others, or
where other keys are numbers.
"""

_AFTER: Final = r"\s*(?:[:=.]|[:=]?\s*\(.*\)|(?:of|for|over|all)\s.{0,60}|(?:±|\+/-|\+-).*)?\s*"
_SHOWN: Final = 5

_MOST_OFTEN: Final = 5
"""One row in so many may bear the same word; where more do, it says what the rows hold."""


LABEL: Final = "label"
"""Kind of a cell in a column that is not read, as ingest notes it while it casts; the cell's column
is the lab's name.
"""

_MOST_COLUMNS: Final = 8
"""Columns that are not read whose words are looked at: each costs about as much as one that is."""


def unread(part: Part, targets: Mapping[str, int]) -> list[int]:
    """The indexes of the columns of `part` that are not read, those of `targets` being so, and may
    hold words.

    They are texts which are empty or no number in the first row.
    """
    others = [
        index
        for index in range(len(part.first))
        if index not in targets.values() and part.types[index] == "VARCHAR"
    ]
    return [
        index
        for index in others
        if not part.first[index].strip() or any(map(str.isalpha, part.first[index]))
    ][:_MOST_COLUMNS]


def label(column: str) -> tuple[str, str, str]:
    """SQL: whether the text `column`, which is not read, is such a word; the kind of the cell where
    it is; the text.
    """
    suspect = is_summary(column)
    return suspect, f"CASE WHEN {suspect} THEN {literal(LABEL)} END", column


def is_summary(text: str) -> str:
    """SQL: whether the text expression `text` is such a word. Numbers are distinguished at once:
    AND would look at both sides.
    """
    word = f"regexp_full_match({text}, {literal(f'(?is)(?:{_PLAIN}|{_SHORT}){_AFTER}')})"
    return f"CASE WHEN {text} >= 'A' THEN {word} ELSE FALSE END"


def is_plain(text: str) -> str:
    """SQL: whether a word that `is_summary` finds is none that may well be a name."""
    return f"regexp_full_match({text}, {literal(f'(?is)(?:{_PLAIN}){_AFTER}')})"


def meant(
    words: Mapping[str, tuple[int, bool]],
    rows: int,
    files: int = 1,
    last: Collection[str] = (),
    *,
    sure: bool = False,
) -> list[str]:
    """Those of `words` that mean rows which sum up others.

    Args:
        words: each word of one column, with how many of its rows have it and whether it `is_plain`.
        rows: how many rows there are.
        files: how many files they are from, of which each may have such a row.
        last: the words of the last row of each file.
        sure: whether all other cells of the column are numbers.
    """
    rare = [
        word for word, (count, _) in words.items() if count <= files or count * _MOST_OFTEN <= rows
    ]
    if sure or len({word.casefold() for word in rare}) > 1 or any(words[word][1] for word in rare):
        return rare
    return [word for word in rare if word in last]


def listed(words: Collection[str]) -> str:
    """The first of `words` for a sentence: 'Mean' and 'SD'."""
    shown = [repr(word) for word in list(words)[:_SHOWN]]
    if len(words) > _SHOWN:
        return f"{', '.join(shown)} and {len(words) - _SHOWN:,} more"
    return " and ".join([", ".join(shown[:-1]), shown[-1]] if len(shown) > 1 else shown)
