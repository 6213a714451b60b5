"""The failing cells that stages keep in `failures.parquet`: which of them refuse rows, and how many
rows.

Belongs here: queries over those files. Does not: writing them (`checks/failures.py`).
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import duckdb

from syndb_pipeline.base.engine import literal, parquet
from syndb_pipeline.rules.catalogue import RULES
from syndb_pipeline.state.stage import Context

FILE: Final = "failures.parquet"


def is_error(context: Context, code: str) -> bool:
    """Whether rule `code` refuses rows in this dataset: by the config's `rules`, else by the
    catalogue.
    """
    return context.severities.get(code, RULES[code].severity) == "error"


def error_cells(context: Context, folders: list[Path]) -> str:
    """A query for tbl, row_number, col, code and cause of the failing cells of stage `folders` that
    break a rule which refuses rows.
    """
    errors = [code for code in RULES if is_error(context, code)]
    selects = [
        "SELECT ''::VARCHAR AS tbl, 0::BIGINT AS row_number, ''::VARCHAR AS col, ''::VARCHAR AS"
        " code, ''::VARCHAR AS cause LIMIT 0"
    ]
    files = [folder / FILE for folder in folders if (folder / FILE).is_file()]
    selects += [f"SELECT tbl, row_number, col, code, cause FROM {parquet(file)}" for file in files]
    union = " UNION ALL ".join(f"({select})" for select in selects)
    return f"SELECT * FROM ({union}) WHERE list_contains({literal(errors)}, code)"


def rejected_places(context: Context, folders: list[Path]) -> str:
    """A query for tbl and row_number of every row with at least one error among the failing cells
    of stage `folders`, each row once.
    """
    return f"SELECT DISTINCT tbl, row_number FROM ({error_cells(context, folders)})"


def rejected_rows(
    connection: duckdb.DuckDBPyConnection, context: Context, folders: list[Path]
) -> dict[str, int]:
    """How many rows `rejected_places` gives, by table."""
    rows = connection.execute(
        f"SELECT tbl, count(*) FROM ({rejected_places(context, folders)}) GROUP BY tbl"
    ).fetchall()
    return {table: int(count) for table, count in rows}
