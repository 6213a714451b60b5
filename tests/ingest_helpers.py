"""A dataset of small files in a folder, ingested for real: what the tests of reading share.

Belongs here: making the folder, running the stage, reading back what it wrote. Does not:
expectations.
"""

from __future__ import annotations

import gzip
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import duckdb
import yaml

from syndb_pipeline.base.errors import PipelineError
from syndb_pipeline.config.settings import PipelineSettings, load_dataset
from syndb_pipeline.contract.key_encoding import rows_of
from syndb_pipeline.rules.finding import Finding
from syndb_pipeline.stages import ingest
from syndb_pipeline.state.results import IngestDetails
from syndb_pipeline.state.row_locations import SourceMap
from syndb_pipeline.state.stage import Context
from syndb_pipeline.state.store import Record, Rows

DATASET = {
    "id": "01939c0e-7b1a-7c3e-9f53-6f0c6b1d2a11",
    "label": "test",
    "animal": "MUS_MUSCULUS",
    "microscopy": "ssTEM",
    "brain_regions": [{"structure": "septum"}],
}


@dataclass
class Ingested:
    """What one run of ingest left, with short ways to look at it."""

    context: Context
    folder: Path
    findings: list[Finding]
    tables: dict[str, Rows]
    details: IngestDetails

    @property
    def codes(self) -> list[str]:
        return [finding.code for finding in self.findings]

    def finding(self, code: str) -> Finding:
        (found,) = [finding for finding in self.findings if finding.code == code]
        return found

    def has(self, table: str) -> bool:
        return (self.folder / "tables" / f"{table}.parquet").is_file()

    def rows(self, table: str, *columns: str) -> list[tuple[Any, ...]]:
        """The table's rows, keys as text, all columns but `_cells` unless some are named."""
        chosen = ", ".join(columns) if columns else "* EXCLUDE (_cells)"
        return duckdb.sql(
            f"SELECT {chosen} FROM {rows_of(self.folder / 'tables' / f'{table}.parquet')}"
        ).fetchall()

    def types(self, table: str) -> dict[str, str]:
        described = duckdb.sql(
            f"DESCRIBE SELECT * EXCLUDE (_cells) FROM '{self.folder / 'tables' / table}.parquet'"
        ).fetchall()
        return {name: kind for name, kind, *_ in described}

    def cells(self) -> list[tuple[str, int, str, str, str]]:
        return duckdb.sql(
            f"SELECT tbl, row_number, col, raw, kind FROM '{self.folder / 'cells.parquet'}'"
        ).fetchall()

    @property
    def sources(self) -> SourceMap:
        return SourceMap.read(self.folder)

    def line(self, table: str, row: int) -> int | None:
        return self.sources.example(table, row).row


def context_for(folder: Path, tables: dict[str, Any], **config: Any) -> Context:
    """The context of a dataset whose files lie in `folder`; a table given as text is just its
    file.
    """
    described = {
        name: {"file": table} if isinstance(table, str) else table for name, table in tables.items()
    }
    path = folder / "dataset.yaml"
    content = {"tables": described, **config, "dataset": DATASET | config.get("dataset", {})}
    path.write_text(yaml.safe_dump(content, allow_unicode=True), encoding="utf-8")
    settings = PipelineSettings(state=folder / ".state", memory_limit="1GB", threads=1)
    return Context(load_dataset(path), settings)


def ingest_folder(folder: Path, tables: dict[str, Any], **config: Any) -> Ingested:
    """Run the ingest stage on files in `folder` and check what holds for every run: rows are
    conserved and every row has a source.
    """
    context = context_for(folder, tables, **config)
    out = context.store.scratch / "out"
    number = 0
    while out.exists():
        number += 1
        out = context.store.scratch / f"out{number}"
    out.mkdir(parents=True)
    inputs = ingest.inputs(context)
    result = ingest.run(context, out)
    assert inputs == ingest.inputs(context)
    done = Ingested(
        context, out, result.findings, result.tables, cast(IngestDetails, result.details)
    )
    for name, rows in result.tables.items():
        assert rows.read == rows.passed + rows.rejected
        if done.has(name):
            assert len(done.rows(name)) == rows.passed
            assert sum(source.rows for source in done.sources.tables[name]) == rows.passed
    return done


def ingest_text(
    folder: Path, content: bytes | str, name: str = "v.csv", table: str = "vesicle", **config: Any
) -> Ingested:
    """Run the ingest stage on one file of `table` with this content, packed where its name ends in
    .gz.
    """
    content = content.encode() if isinstance(content, str) else content
    (folder / name).write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
    return ingest_folder(folder, {table: {"file": name, **config}})


__all__ = ["Ingested", "PipelineError", "Record", "context_for", "ingest_folder", "ingest_text"]
