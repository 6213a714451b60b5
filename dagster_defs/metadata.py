"""A stage's record as Dagster metadata: counts, columns, a few rows, findings, files.

Belongs here: small things for the asset pages. Does not: frames, or anything that grows with a table.
"""

from __future__ import annotations

import math
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import dagster as dg
import pyarrow.parquet as pq

from syndb_pipeline.contract.tables import TABLES, Column, Kind, ordered
from syndb_pipeline.findings.finding import Finding
from syndb_pipeline.findings.html import default_path
from syndb_pipeline.findings.report import by_severity, summary
from syndb_pipeline.progress import amount
from syndb_pipeline.publication.records import Receipt
from syndb_pipeline.stages.set_aside import FOLDER
from syndb_pipeline.stages.stage import Context
from syndb_pipeline.store import Record, Rows

PREVIEW_ROWS = 8
MAX_TEXT = 120
MAX_FINDINGS = 200
SAFE_INTEGER = 2**53
"""Integers beyond it lose digits in a browser, so they are shown as text."""

NOT_TOLD = "not told"
"""In the place of a count that a destination does not give."""

Metadata = dict[str, Any]

_OWN_COLUMNS = {
    "key": "The lab's key of the row, exactly as written.",
    "cid": "UUID of the row: uuid5(dataset id, table/key).",
    "parent_id": "UUID of the row this one is part of.",
    "parent_enum": "SynDB's code of the parent's table.",
    "neuron_id": "UUID of the neuron at the root.",
    "code": "The rule that the cell breaks.",
    "tbl": "SynDB's table.",
    "row_number": "Row of the table, counted from 0.",
    "col": "SynDB's column.",
    "value": "What the cell holds.",
    "cause": "What tells this cell's reason from others of the same rule.",
}
"""What columns that a stage adds hold; the contract describes the others."""


def describe_record(context: Context, record: Record) -> Metadata:
    """What the asset page shows after a stage, from its record and the first rows of the files it wrote."""
    folder = context.store.stage(record.stage)
    previews = dict(_previews(folder, record))
    metadata: Metadata = {}
    if "verdict" in record.details:
        metadata["verdict"] = str(record.details["verdict"])
        if (report := default_path(context)).is_file():
            metadata["report"] = dg.MetadataValue.path(str(report))
    metadata["summary"] = summary(record.findings)
    if aside := record.details.get("set_aside"):
        metadata["set aside"] = set_aside_table(aside)
    if record.tables:
        metadata["dagster/row_count"] = sum(rows.published for rows in record.tables.values())
        metadata["rows"] = rows_table(record.tables)
    if record.findings:
        metadata["findings"] = findings_table(record.findings)
    schema = _schema(previews) or _checked_schema(context)
    if schema:
        metadata["dagster/column_schema"] = schema
    metadata |= {f"preview {name}": preview for name, preview in previews.items()}
    metadata["folder"] = dg.MetadataValue.path(str(folder))
    metadata |= {f"file {name}": dg.MetadataValue.path(str(folder / name)) for name in record.outputs if "/" not in name}
    metadata["files"] = files_table(record)
    if record.run:
        metadata["seconds"] = record.run.seconds
        metadata["rows_per_second"] = record.run.rows_per_second
        metadata["peak_memory_mb"] = round(record.run.peak_memory_bytes / 1e6, 1)
    metadata["digest"] = record.digest
    return metadata


def _table(columns: Mapping[str, str], rows: Sequence[Mapping[str, Any]]) -> dg.TableMetadataValue:
    """A table of `rows`; `columns` gives the type of each column, which also shows when there are no rows."""
    return dg.TableMetadataValue(
        records=[dg.TableRecord(dict(row)) for row in rows],
        schema=dg.TableSchema(columns=[dg.TableColumn(name, kind) for name, kind in columns.items()]),
    )


def rows_table(tables: Mapping[str, Rows]) -> dg.TableMetadataValue:
    """Rows read, passed, rejected and combined, a line for each table; where some were lost only for others' errors, how many."""
    columns = {"table": "string", "read": "int", "passed": "int", "rejected": "int", "combined": "int"}
    below = {"below": "int"} if any(rows.below for rows in tables.values()) else {}
    lines = [tables[name].model_dump() | ({"below": tables[name].below} if below else {}) | {"table": name} for name in ordered(tables)]
    return _table(columns | below, lines)


def set_aside_table(aside: Mapping[str, Mapping[str, int]]) -> dg.TableMetadataValue:
    """Rows set aside, a line for each table that lost some: how many for an error of their own, how many only for others'."""
    columns = {"table": "string", "read": "int", "set aside": "int", "wrong": "int", "below others": "int"}
    lines = [
        {
            "table": name,
            "read": each["read"],
            "set aside": each["rows"],
            "wrong": each["rows"] - each["below"],
            "below others": each["below"],
        }
        for name, each in aside.items()
    ]
    return _table(columns, lines)


def findings_table(findings: Sequence[Finding], *, places: int = 2) -> dg.TableMetadataValue:
    """A line for each finding, errors first, with its count, cause, cure and first `places`."""
    columns = {
        "severity": "string",
        "code": "string",
        "table": "string",
        "column": "string",
        "count": "int",
        "cause": "string",
        "cure": "string",
    } | ({"first places": "string"} if places else {})
    lines = [
        {
            "severity": finding.severity,
            "code": finding.code,
            "table": finding.table or "",
            "column": finding.column or "",
            "count": finding.count,
            "cause": finding.cause,
            "cure": finding.cure,
        }
        | ({"first places": "; ".join(str(example) for example in finding.examples[:places])} if places else {})
        for finding in by_severity(findings)[:MAX_FINDINGS]
    ]
    return _table(columns, lines)


def examples_table(findings: Sequence[Finding]) -> dg.TableMetadataValue:
    """A line for each place that a finding names: file, sheet, row, column and the value there."""
    columns = {"code": "string", "file": "string", "sheet": "string", "row": "int", "column": "string", "value": "string"}
    lines: list[dict[str, Any]] = [
        {"code": finding.code} | {key: _cell(value) for key, value in example.model_dump().items()}
        for finding in by_severity(findings)[:MAX_FINDINGS]
        for example in finding.examples
    ]
    return _table(columns, lines)


def files_table(record: Record) -> dg.TableMetadataValue:
    """A line for each file that the stage wrote: its place in the stage's folder, size and digest."""
    columns = {"file": "string", "bytes": "int", "sha256": "string"}
    lines = [{"file": name, "bytes": output.bytes, "sha256": output.sha256} for name, output in record.outputs.items()]
    return _table(columns, lines)


def describe_receipt(receipt: Receipt, path: Path) -> Metadata:
    """What the asset page shows after publishing: where to, what was sent and found there, by whose approval. `path` is the receipt."""
    columns = {"table": "string", "sent": "int", "found": "int"}
    checks = {name: receipt.tables[name] for name in ordered(receipt.tables)}
    lines = [{"table": name, "sent": each.sent, "found": NOT_TOLD if each.found is None else each.found} for name, each in checks.items()]
    aside = {name: receipt.set_aside[name].model_dump() for name in ordered(receipt.set_aside)}
    read = all(check.found is not None for check in checks.values())
    web = receipt.target.startswith(("https://", "http://"))
    return {
        "dataset": f"{receipt.label} ({receipt.dataset})",
        "destination": receipt.destination,
        "address": dg.MetadataValue.url(receipt.target) if web else receipt.target,
        "license": receipt.license,
        "dagster/row_count": receipt.rows,
        "rows": _table(columns, lines),
        **({"set aside": set_aside_table(aside)} if aside else {}),
        "read back": "every row, as it was sent" if read else f"no row can be read there; it counts {receipt.number_of_units:,} units",
        "meshes and skeletons": f"{receipt.files:,}, {amount(receipt.file_bytes)}" if receipt.files else "none",
        "approved": f"by {receipt.approval.by} ({receipt.approval.how}), {receipt.approval.at:%Y-%m-%d %H:%M} UTC",
        "published": f"{receipt.published:%Y-%m-%d %H:%M} UTC as {receipt.account or receipt.owner}",
        "plan": receipt.plan,
        "receipt": dg.MetadataValue.path(str(path)),
    }


def _previews(folder: Path, record: Record) -> Iterator[tuple[str, dg.TableMetadataValue]]:
    """The first rows of each table that the stage wrote, by the table's name; of its failing cells, when there are any."""
    files = [name for name in record.outputs if name.endswith(".parquet") and "/" in name]
    by_table = {Path(name).stem: folder / name for name in files}
    aside = {name for name in by_table if f"{FOLDER}/{name}.parquet" in files}
    for table in ordered(by_table):
        with by_table[table].open("rb") as file:
            yield f"set aside {table}" if table in aside else table, _preview(file, table)
    for name in record.outputs:
        if name == "failures.parquet":
            with (folder / name).open("rb") as file:
                preview = _preview(file, "")
            if preview.records:
                yield "failing cells", preview
        elif name.endswith(".tar"):
            with _members(folder / name) as members:
                for table in ordered(members):
                    yield table, _preview(members[table], table)


@contextmanager
def _members(tar: Path) -> Iterator[dict[str, IO[bytes]]]:
    """The Parquet files inside a package, open for reading, by table."""
    with tarfile.open(tar) as archive:
        files = {member.name.removesuffix(".parquet"): archive.extractfile(member) for member in archive.getmembers()}
        yield {name: file for name, file in files.items() if file is not None}


def _preview(file: IO[bytes], table: str) -> dg.TableMetadataValue:
    parquet: Any = pq.ParquetFile(file)  # type: ignore[no-untyped-call]
    batch = next(parquet.iter_batches(batch_size=PREVIEW_ROWS, use_threads=False), None)
    rows = [] if batch is None else batch.to_pylist()
    fields = [(field.name, _type_name(field.type)) for field in parquet.schema_arrow]
    return dg.TableMetadataValue(
        records=[dg.TableRecord({name: _cell(value) for name, value in row.items()}) for row in rows],
        schema=dg.TableSchema(columns=[_column(table, name, kind) for name, kind in fields]),
    )


def _type_name(kind: object) -> str:
    text = str(kind)
    return "uuid" if "uuid" in text or text == "fixed_size_binary[16]" else text


def _cell(value: Any) -> str | int | float | bool | None:
    """`value` as Dagster takes it and a browser shows it without loss."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int):
        return value if abs(value) <= SAFE_INTEGER else str(value)
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    text = str(value)
    return text if len(text) <= MAX_TEXT else text[: MAX_TEXT - 1] + "…"


def _column(table: str, name: str, kind: str, label: str | None = None) -> dg.TableColumn:
    declared = TABLES[table].column(name) if table in TABLES else None
    if name in _OWN_COLUMNS and (declared is None or kind == "uuid"):
        return dg.TableColumn(label or name, kind, _OWN_COLUMNS[name])
    if declared is None:
        return dg.TableColumn(label or name, kind)
    return dg.TableColumn(label or name, kind, declared.description, dg.TableColumnConstraints(**_constraints(declared)))


def _constraints(column: Column) -> dict[str, Any]:
    other = [
        column.unit,
        column.bounds,
        f"words: {column.vocabulary}" if column.vocabulary else "",
        f"at most {column.max_length} characters" if column.max_length else "",
        f"row of {' or '.join(column.targets)}" if column.targets else "",
        "" if column.published else "not sent",
    ]
    return {
        "nullable": not column.required,
        "unique": column.kind is Kind.KEY and column.required,
        "other": [text for text in other if text],
    }


def _schema(previews: Mapping[str, dg.TableMetadataValue]) -> dg.TableSchema | None:
    """The columns of all tables that the stage wrote, as `<table>.<column>`; None when it wrote none."""
    columns = [
        dg.TableColumn(f"{table}.{column.name}", column.type, column.description, column.constraints)
        for table, preview in previews.items()
        if table in TABLES
        for column in preview.schema.columns
    ]
    return dg.TableSchema(columns=columns) if columns else None


def _checked_schema(context: Context) -> dg.TableSchema | None:
    """For a stage that only checks: the columns it looks at, under the contract's names, types and bounds. None before ingest."""
    ingest = context.store.record("ingest")
    if ingest is None:
        return None
    columns = [
        _column(table, name, declared.sql_type.lower(), f"{table}.{name}")
        for table, details in ingest.details["tables"].items()
        for name in details["columns"]
        if (declared := TABLES[table].column(name)) is not None
    ]
    return dg.TableSchema(columns=columns) if columns else None
