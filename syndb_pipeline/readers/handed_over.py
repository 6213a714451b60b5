"""Tables and configs that Python code hands over in place of files.

Belongs here: keeping them as files beside the state, so that every stage and command finds them.
Does not: reading those files, or who hands over (`api`, `orchestration`).
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import duckdb

from syndb_pipeline.base.arrow import pa
from syndb_pipeline.base.digests import digest_file
from syndb_pipeline.base.engine import flush, write_parquet
from syndb_pipeline.base.errors import ConfigError, of_the_machine
from syndb_pipeline.base.system import rename
from syndb_pipeline.config.table_settings import TableConfig
from syndb_pipeline.config.yaml_file import suggestion
from syndb_pipeline.contract.tables import TABLES
from syndb_pipeline.readers.files import IN_MEMORY
from syndb_pipeline.state.stage import Context
from syndb_pipeline.state.store import write_atomically


def with_tables(context: Context, files: Mapping[str, str]) -> Context:
    """`context` with `files` in place of those of its config, by table."""
    config, limits = context.config, context.settings
    every = config.tables | {
        name: config.tables.get(name, TableConfig(file=file)).model_copy(update={"file": file})
        for name, file in files.items()
    }
    if limits.data_folders is not None:
        allowed = [*limits.data_folders, context.store.folder / IN_MEMORY]
        limits = limits.model_copy(update={"data_folders": allowed})
    config = config.model_copy(update={"tables": every})
    return replace(context, config=config, settings=limits)


def kept_as_file(
    context: Context, home: Path, name: str, files: Mapping[str, str] = MappingProxyType({})
) -> Context:
    """`context` with its config, which came from no file, as one beside the state: for other
    commands, and so that no other config takes its id.

    Args:
        context: The dataset.
        home: Folder that its paths are relative to.
        name: Of the dataset.
        files: Those that are in place of the config's, by table.

    Returns:
        It, with whole paths.
    """
    own = {
        table: str(home / Path(each.file).expanduser())
        for table, each in context.config.tables.items()
    }
    config = with_tables(context, {**own, **files}).config
    path = config._path = context.store.folder / "from_python" / f"{name}.yaml"
    text = config.model_dump_json(exclude_unset=True)
    if not path.is_file() or path.read_text(encoding="utf-8") != text:
        write_atomically(path, text)
    return replace(context, config=config)


def table_file(context: Context, table: str, rows: Any) -> str:
    """Where the rows of `table` are. Those in memory are written beside the state, under a name
    that is of their content, so that a stage takes the same rows for what it has seen.
    """
    if table not in TABLES:
        raise ConfigError(f"{table!r} is not a SynDB table; {suggestion(table, TABLES)}")
    if isinstance(rows, str | Path):
        return str(Path(rows).expanduser().absolute())
    beside = context.store.scratch / f"{table}.parquet"
    try:
        reader = pa.RecordBatchReader.from_stream(rows)
        with context.duckdb() as connection:
            connection.register("rows", reader)
            count = write_parquet(connection, "FROM rows", beside)
        if not count and isinstance(rows, pa.RecordBatchReader):
            raise ValueError("the reader has no rows; it can be read only once")
    except (TypeError, ValueError, duckdb.Error) as error:
        if of_the_machine(error) is not None:
            raise
        reason = str(error).partition("\n")[0].partition(". Detail: ")[0]
        if not hasattr(rows, "__arrow_c_stream__"):
            reason = f"{type(rows)} is no table"
        raise ConfigError(
            f"The rows of table {table} cannot be read: {reason}.",
            next_step="Give a path, or a table of pyarrow, polars, pandas (2.2 or later) or DuckDB"
            " in which every column has one type, such as text.",
        ) from error
    folder = context.store.folder / IN_MEMORY / table
    target = folder / f"{digest_file(beside)}.parquet"
    if not target.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        flush(beside)
        rename(beside, target)
        flush(folder)
        for former in {*folder.iterdir()} - {target}:
            with suppress(OSError):  # Windows keeps a file that is being read
                former.unlink()
    return str(target)
