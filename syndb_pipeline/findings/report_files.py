"""The files of a report that a person asked for.

Belongs here: which are written, in one reading of the dataset, and never over a lab's own file. Does not: their content.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from syndb_pipeline.errors import ConfigError
from syndb_pipeline.findings.exports import write_csv, write_json, write_junit
from syndb_pipeline.findings.gather import gathered, require_ingest, states
from syndb_pipeline.findings.html import render, write_report
from syndb_pipeline.stages.stage import Context
from syndb_pipeline.store import write_atomically


@dataclass(frozen=True, slots=True)
class Wanted:
    """Where each form of the report goes; None for those that nobody asked for."""

    html: Path | None = None
    junit: Path | None = None
    csv: Path | None = None
    json: Path | None = None

    @property
    def paths(self) -> dict[str, Path]:
        named = {"--html": self.html, "--junit": self.junit, "--csv": self.csv, "--json": self.json}
        return {option: path for option, path in named.items() if path is not None}


def write_files(context: Context, wanted: Wanted) -> list[Path]:
    """Write what is wanted, or the HTML report in its usual place when nothing is, and return the paths.

    Says which stages have not run. The dataset's lock must be held. Raises `PipelineError` when nothing was ingested, and `ConfigError`
    for a path that is a folder, a device, another option's, or a file that the dataset is made from.
    """
    stages = states(context.store)
    require_ingest(context, stages)
    _require_harmless(context, wanted)
    for stage in stages:
        if stage.state != "done":
            context.say(f"{stage.name}: {stage.state}; the report tells what the stages before it found")
    if not wanted.paths:
        return [write_report(context)]
    with gathered(context, measured=wanted.html is not None) as (report, connection):
        if wanted.html:
            write_atomically(wanted.html, render(report))
        if wanted.junit:
            write_junit(report, wanted.junit)
        if wanted.csv:
            write_csv(report, connection, wanted.csv)
        if wanted.json:
            write_json(report, wanted.json)
    return list(wanted.paths.values())


def _require_harmless(context: Context, wanted: Wanted) -> None:
    record = context.store.record("ingest")
    names = [name.removeprefix("file:") for name in (record.inputs if record else {}) if name.startswith("file:")]
    own = {(context.config.folder / name).resolve() for name in names} | {context.config.path.resolve()}
    seen: dict[Path, str] = {}
    for option, path in wanted.paths.items():
        resolved = path.resolve()
        if resolved in own:
            raise ConfigError(f"{option} {path}: the dataset is made from this file.", next_step="Name another file for the report.")
        if resolved.exists() and not resolved.is_file():
            raise ConfigError(f"{option} {path} is a folder or no plain file.", next_step="Name a file for the report.")
        if resolved in seen:
            raise ConfigError(f"{seen[resolved]} and {option} name one file, {path}.", next_step="Name a file for each.")
        seen[resolved] = option
