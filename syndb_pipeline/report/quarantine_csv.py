"""The rows set aside as one CSV for people: each with its file and row, why it is set aside, and
its values.

Belongs here: reading check_integrity's files of them and writing that CSV. Does not: setting rows
aside (`stages/set_aside.py`).
"""

from __future__ import annotations

from pathlib import Path
from uuid import uuid4

import duckdb

from syndb_pipeline.base.engine import literal, parquet, quote
from syndb_pipeline.base.errors import ConfigError
from syndb_pipeline.contract.tables import ordered
from syndb_pipeline.quarantine.rows import FOLDER
from syndb_pipeline.report.exports import define_harmless
from syndb_pipeline.state.row_locations import UNREADABLE_FILE
from syndb_pipeline.state.stage import Context
from syndb_pipeline.state.tables import columns_of, written


def write_set_aside(context: Context, connection: duckdb.DuckDBPyConnection, path: Path) -> int:
    """Write a line for each row and each unreadable line set aside, in the order of tables and
    rows; returns how many.

    Columns: table, file, sheet, row, codes, reason, text (of an unreadable line), then SynDB's
    columns of all tables concerned. Cells that a spreadsheet would take for a formula get an
    apostrophe in front. Raises `ConfigError` when the verdict set no row aside.
    """
    files = written(context, "check_integrity", FOLDER)
    lines = context.store.stage("check_integrity") / FOLDER / UNREADABLE_FILE
    if not files and not lines.is_file():
        raise ConfigError(
            f"No row of {context.config.name} is set aside.",
            next_step=(
                "The failing cells of a refused dataset are in: syndb-pipeline report CONFIG --csv"
                " FILE"
            ),
        )
    define_harmless(connection)
    selects = []
    where = 'harmless(file) AS file, harmless(sheet) AS sheet, line AS "row"'
    for place, table in enumerate(ordered(files)):
        own = ("row_number", "file", "sheet", "line", "codes", "reason")
        values = [name for name in columns_of(files[table]) if name not in own]
        shown = ", ".join(f"harmless({quote(name)}) AS {quote(name)}" for name in values)
        selects.append(f"""SELECT {place} AS place, {literal(table)} AS "table", {where},
                       codes, harmless(reason) AS reason, NULL::VARCHAR AS text, {shown} FROM
                         {parquet(files[table])}""")
    if lines.is_file():
        selects.append(f"""SELECT {len(files)} AS place, tbl AS "table", {where},
                       code AS codes, harmless(reason) AS reason, harmless(text) AS text FROM
                         {parquet(lines)}""")
    query = (
        f"SELECT * EXCLUDE (place) FROM ({' UNION ALL BY NAME '.join(selects)}) ORDER BY place,"
        " file, sheet, row"
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.{uuid4().hex}")
    try:
        (count,) = connection.execute(
            f"COPY ({query}) TO {literal(str(beside))} (FORMAT csv, HEADER, DELIMITER ',')"
        ).fetchone() or (0,)
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)
    return int(count)
