"""The steps of the command line as functions, for notebooks, scripts and other people's pipelines:
`import syndb_pipeline`.

Belongs here: opening a dataset, handing over tables that are in memory, and what a step came to as
a model. Does not: the steps themselves, which the command line and Dagster call as well; printing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias
from uuid import UUID

from pydantic import BaseModel, ConfigDict

from syndb_pipeline import destinations
from syndb_pipeline.base.errors import ApprovalError, DataRejected, of_the_machine
from syndb_pipeline.base.progress import Watch, unwatched
from syndb_pipeline.config.settings import (
    DatasetConfig,
    load_dataset,
)
from syndb_pipeline.config.yaml_file import Document, validated
from syndb_pipeline.publishing.arrival import Outcome
from syndb_pipeline.publishing.records import Receipt
from syndb_pipeline.readers.files import Guard, hash_ahead
from syndb_pipeline.readers.handed_over import kept_as_file, table_file, with_tables
from syndb_pipeline.rules.finding import Finding
from syndb_pipeline.state.registry import config_named
from syndb_pipeline.state.results import Relation, relations_of
from syndb_pipeline.state.stage import Context
from syndb_pipeline.state.store import Record, Rows, VerdictRecord

if TYPE_CHECKING:
    from syndb_pipeline.destinations.folder import Format
    from syndb_pipeline.publishing.plan import Plan
    from syndb_pipeline.scaffold import InitReport

Config: TypeAlias = str | Path | DatasetConfig | Mapping[str, Any]
"""A dataset: the path of its YAML or the name that `status` lists, what `load_dataset` gave, or the
content of a YAML as a mapping, whose paths are relative to the working folder.
"""

Tables: TypeAlias = Mapping[str, Any]
"""Table -> its rows, in place of the `file` of the config: a path, or a table in memory, which is
anything that has `__arrow_c_stream__`: of pyarrow, polars, pandas, or a relation of DuckDB.
"""

Settings: TypeAlias = str | Path | destinations.Settings | None
"""The path of a `pipeline.yaml`, or what `destinations.load_settings` gave; found as the command
line finds it when left out.
"""

Log: TypeAlias = Callable[[str], None]


def _ignore(_: str) -> None:
    """No line is wanted."""


class Result(BaseModel):
    """What a step came to.

    Attributes:
        dataset: Its id.
        name: Its name, the stem of its config's file.
        verdict: "rejected" where a finding is an error, unless its rows are quarantined.
        tables: Rows read, passed and rejected, by table.
        findings: What is wrong, where, and how to fix it; errors first.
        relations: Which table each column of references was joined to, and how many rows.
        digest: Of the verdict and all that it rests on; once published, of the plan.
        receipt: What was published and what was found there; None before.
    """

    model_config = ConfigDict(frozen=True)

    dataset: UUID
    name: str
    verdict: Literal["accepted", "rejected"]
    tables: dict[str, Rows]
    findings: tuple[Finding, ...]
    relations: tuple[Relation, ...]
    digest: str
    receipt: Receipt | None = None

    @property
    def accepted(self) -> bool:
        return self.verdict == "accepted"


class ReportFiles(BaseModel):
    """The files of a report. A notebook shows the HTML among them, if it is the last value of a
    cell.
    """

    model_config = ConfigDict(frozen=True)

    paths: tuple[Path, ...]

    def _repr_html_(self) -> str | None:
        for path in self.paths:
            if path.suffix == ".html":
                page = escape(path.read_text(encoding="utf-8"))
                style = "width: 100%; height: 40em; border: 0"
                return f'<iframe sandbox srcdoc="{page}" style="{style}"></iframe>'
        return None


class Exported(BaseModel):
    """Where an export is, whether anything had to be written, and its plan's digest and rows."""

    model_config = ConfigDict(frozen=True)

    folder: str
    written: bool
    digest: str
    rows: int


@contextmanager
def _machine_errors() -> Iterator[None]:
    """Raise what the machine refuses, such as room on a disk, as a `PipelineError` too."""
    try:
        yield
    except Exception as error:
        if (known := of_the_machine(error)) is not None:
            raise known from error
        raise


# The steps


def init(
    folder: str | Path, out: str | Path | None = None, *, overwrite: bool = False
) -> InitReport:
    """Look at a folder of tables and write a first config.

    Args:
        folder: The lab's tables.
        out: Where to write it; `dataset.yaml` in `folder` when left out.
        overwrite: Whether a file that is there may be replaced.

    Returns:
        The config's path, the tables found, the questions that are marked in it, and files that
        are not used.

    Raises:
        ConfigError: There is no table, or `out` is there already.
    """
    from syndb_pipeline.scaffold import init as scaffold

    return scaffold(Path(folder), Path(out or Path(folder) / "dataset.yaml"), overwrite=overwrite)


@_machine_errors()
def check(
    config: Config,
    tables: Tables | None = None,
    *,
    settings: Settings = None,
    log: Log | None = None,
    on_progress: Watch | None = None,
) -> Result:
    """Read, check and relate the tables. Nothing is sent, and rejected data raise nothing.

    Args:
        config: The dataset.
        tables: Rows in place of files of the config.
        settings: Where state is and how much memory may be used.
        log: Called with lines about what is done.
        on_progress: Called with how far a stage is, from another thread.

    Returns:
        The verdict with everything that was found.

    Raises:
        ConfigError: The config, a setting or a table cannot be used.
        Busy: Another run of the dataset is under way.
    """
    with _opened(config, tables, settings, log, on_progress) as context:
        run_stages(context, "check_integrity")
        return _result(context, context.verdict)


@_machine_errors()
def prepare(
    config: Config,
    tables: Tables | None = None,
    *,
    settings: Settings = None,
    log: Log | None = None,
    on_progress: Watch | None = None,
) -> Result:
    """`check`, and pack what was accepted. Arguments are those of `check`.

    Raises:
        DataRejected: The data break SynDB's rules; `check` says where.
        ConfigError: The config, a setting or a table cannot be used.
        Busy: Another run of the dataset is under way.
    """
    with _opened(config, tables, settings, log, on_progress) as context:
        return _result(context, _packed(context))


@_machine_errors()
def plan(
    config: Config,
    tables: Tables | None = None,
    *,
    settings: Settings = None,
    log: Log | None = None,
    on_progress: Watch | None = None,
) -> Plan:
    """`prepare`, and say exactly what would be sent where. Arguments are those of `check`.

    Returns:
        The plan, whose `digest` is what a person approves; `str` of it is the plan in words.

    Raises:
        DataRejected: The data break SynDB's rules; `check` says where.
        ConfigError: The config, a setting, a table or the destination cannot be used.
        Busy: Another run of the dataset is under way.
    """
    with _opened(config, tables, settings, log, on_progress) as context:
        _packed(context)
        from syndb_pipeline.publishing.plan import plan as planned

        return planned(context)


@_machine_errors()
def publish(
    config: Config,
    approve: str | None = None,
    tables: Tables | None = None,
    *,
    settings: Settings = None,
    log: Log | None = None,
    on_progress: Watch | None = None,
    outcome: Outcome | None = None,
) -> Result:
    """Send the approved plan, read back what arrived, and write the receipt. Safe to call again.

    Args:
        config: The dataset.
        approve: The digest of the plan that a person read and approves (`plan(...).digest`).
            Without it an approval of exactly this plan must be kept, or the config approve by
            itself (`approval: standing`).
        tables: Rows in place of files of the config, those that were planned.
        settings: Where state is, and the destinations.
        log: Called with lines about what is done.
        on_progress: Called with how far a stage or the sending is, from another thread.
        outcome: A person's word on an upload that ended with `OutcomeUnknown`.

    Returns:
        The result with its `receipt`, that of the last time where nothing had to be sent.

    Raises:
        ApprovalError: No one approved exactly this plan, or something changed since.
        DataRejected: The data break SynDB's rules; `check` says where.
        DestinationRefused: The destination said no, or could not be reached.
        OutcomeUnknown: No answer says whether something arrived; the next call asks first.
        ConfigError: The config, a setting, a table or the destination cannot be used.
        Busy: Another run of the dataset is under way.
    """
    from syndb_pipeline.publishing.plan import refuse_changes
    from syndb_pipeline.publishing.publish import publish as send

    with _opened(config, tables, settings, log, on_progress) as context:
        refuse_changes(context, approve)
        verdict = _packed(context)
    receipt = send(context, approve, watch=on_progress, outcome=outcome)
    done = {"digest": receipt.plan, "receipt": receipt}
    return _result(context, verdict).model_copy(update=done)


@_machine_errors()
def export(
    config: Config,
    to: str | Path,
    tables: Tables | None = None,
    *,
    format: Format = "parquet",
    tar: bool = False,
    id_map: bool = False,
    absolute_paths: bool = False,
    yes: bool = False,
    settings: Settings = None,
    log: Log | None = None,
    on_progress: Watch | None = None,
) -> Exported:
    """`prepare`, and write the accepted tables as files for SynDB's own command line and web page.

    Args:
        config: The dataset.
        to: A folder, or its address in an object store.
        tables: Rows in place of files of the config.
        format: Of the tables.
        tar: Whether the tar of SynDB's REST interface 0.7.2 is put there too.
        id_map: Whether the lab's key and the UUID of each row are.
        absolute_paths: Whether tables name meshes and skeletons by whole paths.
        yes: A person's consent to an export into an object store. A folder needs none.
        settings: Where state is and how much memory may be used.
        log: Called with lines about what is done.
        on_progress: Called with how far a stage or the writing is.

    Returns:
        Where it is. The same content is not written again.

    Raises:
        ApprovalError: It would leave this machine, and `yes` is not given, or its access is closed.
        DataRejected: The data break SynDB's rules; `check` says where.
        ConfigError: The config, a setting, a table or the folder cannot be used.
        Busy: Another run of the dataset is under way.
    """
    from syndb_pipeline.publishing.export import export as write
    from syndb_pipeline.publishing.export import folder_at
    from syndb_pipeline.publishing.plan import plan as planned

    with _opened(config, tables, settings, log, on_progress) as context:
        folder = folder_at(context, str(to), format=format, absolute=absolute_paths)
        if folder.leaves and not yes:
            raise ApprovalError(f"No one confirmed that the dataset may go to {folder.place}.")
        _packed(context)
        current, watch = planned(context, folder), on_progress or unwatched
        written = write(context, current, folder, tar=tar, id_map=id_map, watch=watch)
    return Exported(folder=folder.place, written=written, digest=current.digest, rows=current.rows)


@_machine_errors()
def report(
    config: Config,
    tables: Tables | None = None,
    *,
    html: str | Path | None = None,
    csv: str | Path | None = None,
    json: str | Path | None = None,
    fixes: str | Path | None = None,
    quarantine: str | Path | None = None,
    settings: Settings = None,
    log: Log | None = None,
) -> ReportFiles:
    """Write what the checks found as files. Nothing is run.

    Args:
        config: The dataset.
        tables: Rows in place of files of the config, those that were checked.
        html: One page for people. Without any of the files it is written beside the stages.
        csv: Every failing cell, a line each.
        json: The object that `check --json` prints, and more.
        fixes: Failing rows as a workbook to correct.
        quarantine: Quarantined rows, with reasons.
        settings: Where state is.
        log: Called with lines about what is done.

    Returns:
        The files that were written.

    Raises:
        PipelineError: Nothing was checked yet.
        ConfigError: A path is a folder, or a file of the dataset.
        Busy: Another run of the dataset is under way.
    """
    from syndb_pipeline.report.exports import Wanted, write_files

    wanted = [Path(path) if path else None for path in (html, csv, json, fixes, quarantine)]
    with _opened(config, tables, settings, log) as context:
        return ReportFiles(paths=tuple(write_files(context, Wanted(*wanted))))


# What the command line shares


def open_context(config: Path, settings: Settings = None, log: Log | None = None) -> Context:
    """The dataset of a config's path, or of a name that `status` lists. Raises `ConfigError`."""
    if config.name == str(config) and not config.suffix.startswith(".y") and not config.exists():
        config = config_named(_loaded(settings), config.name)
    dataset = load_dataset(config)
    return Context(dataset, _loaded(settings, dataset.folder), log or _ignore)


def run_stages(context: Context, last: str, first: str = "ingest") -> list[Record]:
    """Run the stages from `first` to `last`, as `runner.run_through` does, once all files were
    hashed. Returns their records. The dataset's lock must be held.
    """
    config, allowed = context.config, context.settings.data_folders
    hashing = hash_ahead([Guard(config.folder, allowed, each) for each in config.tables.values()])
    from syndb_pipeline.stages.runner import run_through  # meanwhile

    for thread in hashing:
        thread.join()
    return list(run_through(context, last, first))


def _packed(context: Context) -> VerdictRecord:
    run_stages(context, "package")
    verdict = context.verdict
    if not verdict.details.accepted:
        from syndb_pipeline.stages.runner import rejection

        path = context.config.path
        raise DataRejected(rejection(verdict), next_step=f"See where: syndb-pipeline check {path}")
    return verdict


def _result(context: Context, record: VerdictRecord) -> Result:
    from syndb_pipeline.report.terminal import by_severity

    return Result(
        dataset=context.dataset,
        name=context.config.name,
        verdict=record.details.verdict,
        tables=record.tables,
        findings=tuple(by_severity(record.findings)),
        relations=tuple(relations_of(record.details.relations)),
        digest=record.digest,
    )


# Opening a dataset


@contextmanager
def _opened(
    config: Config,
    given: Tables | None,
    settings: Settings,
    log: Log | None,
    on_progress: Watch | None = None,
) -> Iterator[Context]:
    """The dataset with its lock held, and the tables that are `given` in place of its files."""
    tables, log = given or {}, log or _ignore
    if isinstance(config, Mapping):
        content, described = dict(config), config.get("tables") or {}
        if isinstance(described, dict):
            named = {name: {"file": name} | _mapping(described.get(name)) for name in tables}
            content["tables"] = described | named
        config = validated(Document(Path("The mapping"), content), DatasetConfig)
    if isinstance(config, DatasetConfig):
        context = Context(config, _loaded(settings, config.folder), log, on_progress)
    else:
        context = replace(open_context(Path(config), settings, log), watch=on_progress)
    with context.store.lock():
        files = {name: table_file(context, name, rows) for name, rows in tables.items()}
        if not context.config.path.name:
            context = kept_as_file(context, Path.cwd(), "dataset", files)
        yield with_tables(context, files)


def _mapping(value: Any) -> dict[str, Any]:
    return dict(value) if isinstance(value, Mapping) else {}


def _loaded(settings: Settings, near: Path | None = None) -> destinations.Settings:
    if isinstance(settings, destinations.Settings):
        return settings
    return destinations.load_settings(Path(settings) if settings else None, near=near)
