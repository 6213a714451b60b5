"""Rows that a column which is not read calls a total, a mean or the like, as Fiji's column Label
does.

Belongs here: telling them from the words that ingest noted while it read. Does not: the words
(`readers/summary_words.py`), keys (`stray_keys.py`), columns that are read (`words.py`).
"""

from __future__ import annotations

from bisect import bisect_right
from itertools import accumulate
from pathlib import Path

import duckdb

from syndb_pipeline.base.engine import literal, parquet
from syndb_pipeline.base.footers import is_surely_empty
from syndb_pipeline.contract.tables import Table
from syndb_pipeline.readers import casts, summary_words
from syndb_pipeline.readers.part import Part, Problem, line_of
from syndb_pipeline.rules.finding import MAX_EXAMPLES, Example


def problems(
    connection: duckdb.DuckDBPyConnection, parts: list[Part], target: Path, table: Table
) -> list[Problem]:
    """One problem for each column whose words say that rows of the table at `target`, which has the
    rows of `parts`, are none.
    """
    if is_surely_empty(target, casts.CELLS):
        return []
    starts = list(accumulate((part.rows for part in parts), initial=0))
    noted = f"""SELECT file_row_number AS row, cell.col AS col, trim(cell.raw) AS word
        FROM (SELECT file_row_number, unnest({casts.cells_of()}) AS cell
              FROM {parquet(target, row_number=True)} WHERE {casts.CELLS} IS NOT NULL)
        WHERE cell.kind = {literal(summary_words.LABEL)}"""
    ends = literal([end - 1 for end in starts[1:]])
    words = connection.execute(f"""SELECT col, word, count(*), {summary_words.is_plain("word")},
              bool_or(list_contains({ends}::BIGINT[], row))
            FROM ({noted}) GROUP BY col, word ORDER BY col, min(row)""").fetchall()
    found = []
    for column in dict.fromkeys(name for name, *_ in words):
        own = {word: (count, plain) for name, word, count, plain, _ in words if name == column}
        last = [word for name, word, *_, ends_file in words if name == column and ends_file]
        meant = summary_words.meant(own, starts[-1], len(parts), last)
        if not meant:
            continue
        rows = connection.execute(
            f"SELECT row, word FROM ({noted}) WHERE col = ? AND list_contains(?, word) ORDER BY row"
            f" LIMIT {MAX_EXAMPLES}",
            [column, meant],
        ).fetchall()
        examples = []
        for row, word in rows:
            at = bisect_right(starts, row) - 1
            part = parts[at]
            examples.append(
                Example(
                    file=part.file,
                    sheet=part.sheet,
                    row=line_of(part, row - starts[at]),
                    column=column,
                    value=word,
                )
            )
        files = {example.file for example in examples}
        reason = (
            f"the column {column!r}, which is not read, says {summary_words.listed(meant)} there"
        )
        found.append(
            Problem(
                summary_words.CODE,
                files.pop() if len(files) == 1 else None,
                column=column,
                count=sum(own[word][0] for word in meant),
                examples=tuple(examples),
                values={"reason": reason},
                confidence="likely",
            )
        )
    return found
