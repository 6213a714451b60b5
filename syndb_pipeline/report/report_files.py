"""The files of a report that a person asked for.

Belongs here: which are written, in one reading of the dataset, and never over a lab's own file.
Does not: their content.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path

from syndb_pipeline.base.errors import ConfigError
from syndb_pipeline.readers import corrections
from syndb_pipeline.report.exports import write_csv, write_json, write_quarantined
from syndb_pipeline.report.gather import gathered, require_ingest, states
from syndb_pipeline.report.html import render, write_report
from syndb_pipeline.report.workbook.workbook import write_workbook
from syndb_pipeline.stages.runner import STAGES
from syndb_pipeline.state.stage import Context
from syndb_pipeline.state.store import write_atomically


@dataclass(frozen=True, slots=True)
class Wanted:
    """Where each form of the report goes; None for those that are not asked for."""

    html: Path | None = None
    csv: Path | None = None
    json: Path | None = None
    fixes: Path | None = None
    quarantine: Path | None = None

    @property
    def paths(self) -> dict[str, Path]:
        """The paths asked for, by the option of the command."""
        named = {f"--{option.name}": getattr(self, option.name) for option in fields(self)}
        return {option: path for option, path in named.items() if path is not None}


def write_files(context: Context, wanted: Wanted) -> list[Path]:
    """Write what is wanted, or the HTML report in its usual place without wishes; returns the
    paths.

    Says which stages have not run. The dataset's lock must be held.

    Raises:
        PipelineError: Nothing was ingested.
        ConfigError: A path is a folder, a device, another option's, or a file of the dataset.
    """
    stages = states(context.store)
    require_ingest(context, stages)
    _require_harmless(context, wanted)
    for stage in stages:
        if stage.state != "done":
            context.say(f"{stage.name}: {stage.state}; the report is of the stages before it")
    if changed := _changed_since(context):
        context.say(
            f"{changed} changed after the checks, and the report is of what they found before; "
            f"check again: syndb-pipeline check {context.config.path}"
        )
    if not wanted.paths:
        return [write_report(context)]
    with gathered(context, measured=wanted.html is not None) as (report, connection):
        if wanted.html:
            write_atomically(wanted.html, render(report))
        if wanted.csv:
            write_csv(report, connection, wanted.csv)
        if wanted.json:
            write_json(report, wanted.json)
        if wanted.quarantine:
            write_quarantined(context, connection, wanted.quarantine)
        if wanted.fixes:
            made = write_workbook(report, connection, wanted.fixes)
            rows = f"{made.rows:,} of {made.total:,} rows to correct"
            context.say(f"{wanted.fixes}: {rows}; its first sheet says how")
    return list(wanted.paths.values())


def _changed_since(context: Context) -> str:
    """The dataset's YAML or one of its files that is newer than every stage's last run; "" for
    none.
    """
    records = [path for name in STAGES if (path := context.store.record_path(name)).is_file()]
    checked = max(path.stat().st_mtime_ns for path in records)
    read = [context.config.path, *_files_read(context)]
    newer = (path.name for path in read if path.is_file() and path.stat().st_mtime_ns > checked)
    return next(newer, "")


def _files_read(context: Context) -> list[Path]:
    record, folder = context.store.record("ingest"), context.config.folder
    found = []
    for name in record.inputs if record else ():
        kind, _, file = name.partition(":")
        if kind == "file":
            found.append(folder / file)
        elif kind == "corrections":
            found.append(corrections.path_of(folder, file))
    return found


def _require_harmless(context: Context, wanted: Wanted) -> None:
    own = {path.resolve() for path in (*_files_read(context), context.config.path)}
    if wanted.fixes and wanted.fixes.suffix.lower() != ".xlsx":
        raise ConfigError(
            f"--fixes {wanted.fixes}: a workbook to correct ends in .xlsx.",
            next_step="Name it so, e.g. fixes.xlsx.",
        )
    seen: dict[Path, str] = {}
    for option, path in wanted.paths.items():
        resolved = path.resolve()
        step = "Name another file for the report."
        if resolved in own:
            raise ConfigError(
                f"{option} {path}: the dataset is made from this file.", next_step=step
            )
        if resolved.exists() and not resolved.is_file():
            raise ConfigError(f"{option} {path} is a folder or not a regular file.", next_step=step)
        if resolved in seen:
            raise ConfigError(
                f"{seen[resolved]} and {option} name one file, {path}.", next_step=step
            )
        seen[resolved] = option
