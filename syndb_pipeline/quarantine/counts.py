"""What the package leaves out: the rows that check_integrity quarantined, and the proof that nothing
sent names them.

Belongs here: reading the files of quarantined rows, holding the packaged tables against each other.
Does not: quarantining, packaging.
"""

from __future__ import annotations

from pathlib import Path

from syndb_pipeline.base.engine import parquet, quote
from syndb_pipeline.base.errors import PipelineError
from syndb_pipeline.contract.tables import TABLES
from syndb_pipeline.quarantine.rows import FOLDER
from syndb_pipeline.state.stage import Context
from syndb_pipeline.state.tables import columns_of, written


def left_out(context: Context) -> dict[str, Path]:
    """The files of quarantined rows, by table, of which `row_number` counts as in ingest's tables;
    empty when every row is sent.
    """
    return written(context, "check_integrity", FOLDER)


def require_no_dangling(context: Context, parts: Path, tables: list[str]) -> None:
    """Raise `PipelineError` when a reference in the packaged tables, `<table>.parquet` in `parts`,
    names a row that is not packaged.
    """
    links = context.upstream("check_integrity").details["relations"]
    with context.duckdb() as connection:
        for table in tables:
            part = parts / f"{table}.parquet"
            packaged = columns_of(part)
            targets = {column: link["target"] for column, link in links.get(table, {}).items()}
            if "neuron" in tables and TABLES[table].has_parent:
                targets["neuron_id"] = "neuron"
            for column in [name for name in targets if name in packaged]:
                target = parquet(parts / f"{targets[column]}.parquet")
                (dangling,) = connection.execute(f"""SELECT count(*) FROM {parquet(part)}
                        WHERE {quote(column)} IS NOT NULL AND {quote(column)} NOT IN (SELECT cid
                          FROM {target})""").fetchone() or (0,)
                if dangling:
                    raise PipelineError(
                        f"{dangling:,} rows of {table} would be sent whose {column} names a row of"
                        f" {targets[column]} that is quarantined.",
                        next_step="Please report this; nothing was packaged.",
                    )
