"""Tables that upstream assets hand to ingest, in place of a lab's files.

Belongs here: where they are kept, so that the steps after ingest and every command see the same.
Does not: writing a table that is in memory (`syndb_pipeline.api`), or loading one (IO managers).
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from typing import Any

from syndb_pipeline.api import table_file
from syndb_pipeline.base.errors import PipelineError
from syndb_pipeline.state.stage import Context
from syndb_pipeline.state.store import write_atomically

_FILE = "handed_over.json"


def hand_over(context: Context, given: Mapping[str, Any]) -> None:
    """Keep the rows of the tables that are `given`: each a path, or a table in memory. The
    dataset's lock must be held. Raises `ConfigError`.
    """
    files = {name: table_file(context, name, rows) for name, rows in given.items()}
    write_atomically(context.store.folder / _FILE, json.dumps(files))


def handed_over(context: Context, tables: Collection[str]) -> dict[str, str]:
    """The files of those of the `tables` that ingest was handed last. Raises `PipelineError`."""
    path = context.store.folder / _FILE
    if not tables or not path.is_file():
        return {}
    try:
        files = json.loads(path.read_bytes())
    except ValueError:
        raise PipelineError(f"{path} is damaged.", next_step="Remove it; run ingest.") from None
    return {name: files[name] for name in tables if name in files}
