"""A stage's record as Dagster metadata: counts, a few rows, findings, files.

Belongs here: small things for the asset pages. Does not: frames, anything that grows with a table,
or what no run changes (`columns.py`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from math import ceil
from pathlib import Path
from typing import Any

import dagster as dg

from syndb_pipeline.base.progress import amount
from syndb_pipeline.contract.tables import TABLES, ordered
from syndb_pipeline.orchestration.markdown import markdown_table
from syndb_pipeline.orchestration.previews import FirstRows, first_rows
from syndb_pipeline.orchestration.scope import OWN, Scope
from syndb_pipeline.publishing.plan import SHORTEST_PREFIX
from syndb_pipeline.publishing.records import Receipt
from syndb_pipeline.report.drawings import in_characters, in_words
from syndb_pipeline.report.html import default_path
from syndb_pipeline.report.measures import histograms
from syndb_pipeline.report.terminal import by_severity, summary
from syndb_pipeline.rules.finding import Finding
from syndb_pipeline.stages.package import STAGE as PACKAGE
from syndb_pipeline.state.results import Relation, RowsSetAside, relations_of
from syndb_pipeline.state.stage import Context
from syndb_pipeline.state.store import (
    IngestRecord,
    JoinRecord,
    Record,
    Rows,
    ValidateRecord,
    VerdictRecord,
)
from syndb_pipeline.state.tables import ingested

MAX_PICTURES = 3
MAX_TEXT = 120
MAX_FINDINGS = 50
"""Findings that a table shows; the report, which the page of check_integrity links, shows all."""

SAFE_INTEGER = 2**53
"""Integers beyond it lose digits in a browser, so they are shown as text."""

_BARS = "█ passed ░ rejected"
_BAR = 10
"""Signs of the longest bar."""

NOT_REPORTED = "not reported"
"""In the place of a count that a destination does not give."""

Metadata = dict[str, Any]


def describe_record(context: Context, record: Record, scope: Scope = OWN) -> Metadata:
    """What the asset page shows after a stage, from its record and the first rows of the files it
    wrote.
    """
    folder = context.store.stage(record.stage)
    shown = dict(first_rows(folder, record))
    metadata: Metadata = {}
    verdict = record.details if isinstance(record, VerdictRecord) else None
    if verdict:
        metadata["verdict"] = verdict.verdict
        if (report := default_path(context)).is_file():
            metadata |= report_link(context, scope)
            metadata["report_file"] = dg.MetadataValue.path(str(report))
    metadata["summary"] = summary(record.findings)
    if verdict and verdict.set_aside:
        metadata["quarantined"] = set_aside_table(verdict.set_aside)
    if record.tables:
        metadata[scope.row_count] = sum(rows.published for rows in record.tables.values())
        metadata["rows"] = rows_table(record.tables, bars=verdict is not None)
    if isinstance(record, JoinRecord):
        metadata["relations"] = relations_table(relations_of(record.details.links))
    if record.findings:
        metadata["findings"] = findings_table(record.findings)
    if record.stage == PACKAGE.name:
        metadata["columns"] = sent_columns(
            {
                table: [name for name, _ in first.columns]
                for table, first in shown.items()
                if table in TABLES
            }
        )
    metadata |= {
        f"preview {name}": markdown_table(first.columns, first.rows)
        if name.startswith("failing")
        else _on_its_side(first)
        for name, first in shown.items()
    }
    metadata["folder"] = dg.MetadataValue.path(str(folder))
    metadata["files"] = files_table(record)
    if record.run:
        metadata["seconds"] = record.run.seconds
        metadata["rows_per_second"] = record.run.rows_per_second
        metadata["peak_memory_mb"] = round(record.run.peak_memory_bytes / 1e6, 1)
    return metadata


def _on_its_side(first: FirstRows) -> dg.MarkdownMetadataValue:
    """A line for each column, so that a table of many columns fits the page."""
    columns = [
        ("column", "string"),
        *((f"row {at + 1}", "string") for at in range(len(first.rows))),
    ]
    lines = [
        {"column": name} | {f"row {at + 1}": row[name] for at, row in enumerate(first.rows)}
        for name, _ in first.columns
    ]
    return markdown_table(columns, lines)


def report_link(context: Context, scope: Scope = OWN) -> Metadata:
    """A link to the newest report, below the address at which the UI is open (`webserver.py`); its
    file where another project has the UI.
    """
    if scope.prefix:
        return {"report": dg.MetadataValue.path(str(default_path(context)))}
    return {"report": dg.MetadataValue.url(f"/reports/{context.dataset}")}


def _table(columns: Mapping[str, str], rows: Sequence[Mapping[str, Any]]) -> dg.TableMetadataValue:
    """A table of `rows`; `columns` gives the type of each column, which also shows when there are
    no rows.
    """
    return dg.TableMetadataValue(
        records=[dg.TableRecord(dict(row)) for row in rows],
        schema=dg.TableSchema(
            columns=[dg.TableColumn(name, kind) for name, kind in columns.items()]
        ),
    )


def rows_table(
    tables: Mapping[str, Rows], *, bars: bool = False, errors: Sequence[Finding] = ()
) -> dg.MarkdownMetadataValue:
    """Rows read, passed, rejected and combined, a line for each table; where some were lost only
    for others' errors, how many. With `bars`, how many passed and were rejected is drawn; of
    `errors`, the codes and counts in each table are said.
    """
    columns = {
        "table": "string",
        "read": "int",
        "passed": "int",
        "rejected": "int",
        "combined": "int",
    }
    below = {"below": "int"} if any(rows.below for rows in tables.values()) else {}
    drawn = {_BARS: "string"} if bars else {}
    codes = {"errors": "string"} if errors else {}
    most = max((rows.read for rows in tables.values()), default=0) or 1
    lines = [
        rows.model_dump()
        | {"table": name, "below": rows.below, _BARS: _bar(rows, most)}
        | {"errors": ", ".join(f"{e.code} ({e.count:,})" for e in errors if e.table == name)}
        for name, rows in ((name, tables[name]) for name in ordered(tables))
    ]
    return markdown_table([*(columns | below | drawn | codes).items()], lines, longest=MAX_TEXT)


def _bar(rows: Rows, most: int) -> str:
    return "█" * ceil(_BAR * rows.passed / most) + "░" * ceil(_BAR * rows.rejected / most)


def relations_table(relations: Sequence[Relation]) -> dg.MarkdownMetadataValue:
    """A line for each column of references: the table it was joined to, of how many rows, and why
    that table.
    """
    columns = {"reference": "string", "points to": "string", "rows": "int", "chosen": "string"}
    lines = [
        {
            "reference": each.name,
            "points to": each.target,
            "rows": each.resolved,
            "chosen": each.reason,
        }
        for each in relations
    ]
    return markdown_table([*columns.items()], lines)


def sent_columns(tables: Mapping[str, Sequence[str]]) -> dg.MarkdownMetadataValue:
    """A line for each table of the package: the columns that it has, and those of SynDB's table
    that the lab does not give.

    What they hold is with the asset itself (`columns.py`).
    """
    lines = ["|table|sent|not given|", "|-|-|-|"]
    for table, names in tables.items():
        lines.append(
            f"|{table}|{', '.join(names)}"
            f"|{', '.join(name for name in TABLES[table].published if name not in names)}|"
        )
    return dg.MetadataValue.md("\n".join(lines))


def set_aside_table(aside: Mapping[str, RowsSetAside]) -> dg.TableMetadataValue:
    """Quarantined rows, a line for each table that lost some: how many for an error of their own,
    how many only for others'.
    """
    columns = {
        "table": "string",
        "read": "int",
        "quarantined": "int",
        "wrong": "int",
        "below others": "int",
    }
    lines = [
        {
            "table": name,
            "read": each.read,
            "quarantined": each.rows,
            "wrong": each.rows - each.below,
            "below others": each.below,
        }
        for name, each in aside.items()
    ]
    return _table(columns, lines)


def findings_table(findings: Sequence[Finding]) -> dg.TableMetadataValue:
    """A line for each finding, errors first, with its count, first place, and message with the
    fix: as few columns as a page of 1280 pixels has room for.
    """
    columns = {
        "finding": "string",
        "where": "string",
        "message": "string",
    }
    lines: list[dict[str, Any]] = [
        {
            "finding": f"{finding.severity} {finding.code} ({finding.count:,})",
            "where": next(map(str, finding.examples), finding.file or finding.table or ""),
            "message": f"{finding.message} -> {finding.fix}",
        }
        for finding in by_severity(findings)[:MAX_FINDINGS]
    ]
    if len(findings) > MAX_FINDINGS:
        lines.append(
            dict.fromkeys(columns, "")
            | {"message": f"... and {len(findings) - MAX_FINDINGS} more: see the report"}
        )
    return _table(columns, lines)


def examples_table(findings: Sequence[Finding]) -> dg.TableMetadataValue:
    """A line for each place that a finding names: file, sheet, row, column and the value there."""
    columns = {
        "code": "string",
        "file": "string",
        "sheet": "string",
        "row": "int",
        "column": "string",
        "value": "string",
    }
    lines: list[dict[str, Any]] = [
        {"code": finding.code} | {key: _cell(value) for key, value in example.model_dump().items()}
        for finding in by_severity(findings)[:MAX_FINDINGS]
        for example in finding.examples
    ]
    return _table(columns, lines)


def out_of_bounds(context: Context, record: Record, errors: Sequence[Finding]) -> Metadata:
    """A histogram of each measured column that has values out of its bounds, of the first few;
    nothing for the record of another stage than validate. Of characters, as Dagster's pages leave
    out images that are part of a text.
    """
    ingest = context.store.record("ingest")
    if not isinstance(record, ValidateRecord) or not isinstance(ingest, IngestRecord):
        return {}
    failing: dict[str, set[str]] = {}
    for each in errors:
        if each.table in record.details.tables and each.column:
            theirs = {lab: name for name, lab in ingest.details.tables[each.table].columns.items()}
            failing.setdefault(each.table, set()).add(theirs.get(each.column, each.column))
    tables, drawn = ingested(context), []
    with context.duckdb() as connection:
        for table, names in failing.items():
            known = record.details.tables[table].columns
            drawn += histograms(connection, table, tables[table], known, names)
    outside = [each for each in drawn if each.outside][:MAX_PICTURES]
    return {
        f"values of {each.table}.{each.column.name}": f"{in_characters(each)}\n{in_words(each)}"
        for each in outside
    }


def files_table(record: Record) -> dg.MarkdownMetadataValue:
    """A line for each file that the stage wrote: its place in the stage's folder, its size, and the
    start of its digest.
    """
    columns = {"file": "string", "bytes": "int", "sha256": "string"}
    lines = [
        {"file": name, "bytes": output.bytes, "sha256": output.sha256[:SHORTEST_PREFIX]}
        for name, output in record.outputs.items()
    ]
    return markdown_table([*columns.items()], lines)


def describe_receipt(receipt: Receipt, path: Path, scope: Scope = OWN) -> Metadata:
    """What the asset page shows after publishing: where to, what was sent and found there, by whose
    approval. `path` is the receipt.
    """
    columns = {"table": "string", "sent": "int", "found": "int"}
    checks = {name: receipt.tables[name] for name in ordered(receipt.tables)}
    lines = [
        {
            "table": name,
            "sent": each.sent,
            "found": NOT_REPORTED if each.found is None else each.found,
        }
        for name, each in checks.items()
    ]
    aside = {name: receipt.set_aside[name] for name in ordered(receipt.set_aside)}
    read = all(check.found is not None for check in checks.values())
    web = receipt.target.startswith(("https://", "http://"))
    return {
        "dataset": f"{receipt.label} ({receipt.dataset})",
        "destination": receipt.destination,
        "address": dg.MetadataValue.url(receipt.target) if web else receipt.target,
        "license": receipt.license,
        "dagster/uri": receipt.target,
        scope.row_count: receipt.rows,
        "rows": _table(columns, lines),
        **({"quarantined": set_aside_table(aside)} if aside else {}),
        "read back": (
            "every row, as it was sent"
            if read
            else f"no row can be read there; it counts {receipt.number_of_units:,} units"
        ),
        "meshes and skeletons": (
            f"{receipt.files:,}, {amount(receipt.file_bytes)}" if receipt.files else "none"
        ),
        "approved": (
            f"by {receipt.approval.by} ({receipt.approval.how}),"
            f" {receipt.approval.at:%Y-%m-%d %H:%M} UTC"
        ),
        "published": (
            f"{receipt.published:%Y-%m-%d %H:%M} UTC as {receipt.account or receipt.owner}"
        ),
        "plan": receipt.plan,
        "receipt": dg.MetadataValue.path(str(path)),
    }


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
