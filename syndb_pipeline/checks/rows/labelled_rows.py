"""Rows that a column which is not read calls a total, a mean or the like, as Fiji's column Label
does.

Belongs here: finding them by the words that ingest noted while it read. Does not: the words
(`readers/summary_words.py`), keys (`stray_keys.py`), columns that are read (`vocabulary.py`).
"""

from __future__ import annotations

from syndb_pipeline.base.engine import literal
from syndb_pipeline.checks.rows.just_read import JustRead
from syndb_pipeline.readers import casts, summary_words
from syndb_pipeline.readers.part import Problem
from syndb_pipeline.rules.finding import MAX_EXAMPLES, Example


def labelled_rows(read: JustRead) -> list[Problem]:
    """SYN-READ-023: for each column whose words say that rows are a total, a mean or the like, one
    problem.
    """
    if not read.has_cells:
        return []
    noted = f"""SELECT file_row_number AS row, cell.col AS col, trim(cell.raw) AS word
        FROM (SELECT file_row_number, unnest({casts.cells_of()}) AS cell FROM {read.rows} WHERE
          {casts.CELLS} IS NOT NULL)
        WHERE cell.kind = {literal(summary_words.LABEL)}"""
    ends = literal([end - 1 for end in read.starts[1:]])
    words: dict[str, dict[str, tuple[int, bool, bool]]] = {}
    for column, word, *said in read.ask(
        f"""SELECT col, word, count(*), {summary_words.is_plain("word")},
              bool_or(list_contains({ends}::BIGINT[], row))
            FROM ({noted}) GROUP BY col, word ORDER BY col, min(row)"""
    ):
        words.setdefault(column, {})[word] = tuple(said)
    found = []
    for column, own in words.items():
        last = [word for word, (*_, ends_file) in own.items() if ends_file]
        counts = {word: (count, plain) for word, (count, plain, _) in own.items()}
        meant = summary_words.meant(counts, read.starts[-1], len(read.parts), last)
        rows = read.ask(
            f"""SELECT row, word FROM ({noted}) WHERE col = ? AND list_contains(?::VARCHAR[], word)
                ORDER BY row LIMIT {MAX_EXAMPLES}""",
            [column, meant],
        )
        examples = []
        for row, word in rows:
            part, line = read.place(row)
            examples.append(
                Example(file=part.file, sheet=part.sheet, row=line, column=column, value=word)
            )
        if examples:
            files = {example.file for example in examples}
            reason = (
                f"the column {column!r}, which is not read, says {summary_words.listed(meant)}"
                " there"
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
