"""What assets, sensors and jobs are given: the pipeline's settings, and a dataset's context by its
name, with the tables that upstream assets handed over.

Belongs here: the one Dagster resource. Does not: the settings' meaning
(`syndb_pipeline.config.settings`), or writing a table that is in memory (`syndb_pipeline.api`).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import timedelta
from pathlib import Path
from typing import Any, cast

import dagster as dg
from pydantic import Field

from syndb_pipeline.base.errors import ConfigError, PipelineError
from syndb_pipeline.config.settings import (
    DatasetConfig,
    PipelineSettings,
    load_dataset,
)
from syndb_pipeline.config.yaml_file import Document, validated
from syndb_pipeline.destinations import load_settings
from syndb_pipeline.orchestration.failures import show_tracebacks
from syndb_pipeline.orchestration.progress import progress_to
from syndb_pipeline.orchestration.scope import Scope
from syndb_pipeline.orchestration.unattended.lost_runs import alive
from syndb_pipeline.publishing.records import How
from syndb_pipeline.readers.handed_over import kept_as_file, table_file, with_tables
from syndb_pipeline.state.registry import claim, config_of, read_configs
from syndb_pipeline.state.stage import Context
from syndb_pipeline.state.store import write_atomically

_HANDED_OVER = "handed_over.json"
"""File of a dataset's state: where the rows are that upstream assets handed to ingest."""

DESTINATION = "syndb/destination"
"""Tag of a run that publishes unattended: `dagster.yaml` says how many may at one destination."""

_command: ContextVar[How | None] = ContextVar("_command", default=None)
"""How the person who gave the command of this process approves; none in a run that the UI, a
sensor or a schedule started. Not a tag or config of the run: run again in the UI, it would have
them still.
"""


@contextmanager
def commanded(how: How) -> Iterator[None]:
    """Inside, a run of this process is one that a person waits for at a terminal."""
    token = _command.set(how)
    try:
        yield
    finally:
        _command.reset(token)


def approved_how() -> How:
    """How the approval of the run of this process was given."""
    return _command.get() or "ui"


class SynDBResource(dg.ConfigurableResource):  # type: ignore[type-arg]
    """Settings of `pipeline.yaml` and the configs of the datasets, for our assets and for any asset
    of yours that asks for them. Read again at each use, so an edit needs no reload; never holds
    data.
    """

    pipeline_file: str | None = Field(
        default=None,
        description=(
            "pipeline.yaml; when left out, found as the command line finds it:"
            " SYNDB_PIPELINE_CONFIG, then the working folder's."
        ),
    )
    near: str | None = Field(
        default=None,
        description=(
            "Folder of a dataset, beside which pipeline.yaml is looked for where there is no other;"
            " it decides less. Paths of `dataset_config` are relative to it."
        ),
    )
    dataset_file: str | None = Field(
        default=None,
        description="YAML of the one dataset. Left out, datasets are found by their names.",
    )
    dataset_config: dict[str, Any] | None = Field(
        default=None, description="The content of such a YAML, in its place."
    )
    tables: dict[str, str] = Field(
        default={},
        description=(
            "Table of SynDB -> the asset that hands over its rows, in place of a file: a path, or a"
            " table of pyarrow, polars, pandas or DuckDB."
        ),
    )
    approval: str | None = Field(
        default=None, description="manual or standing: in place of `publish.approval` of the YAML."
    )
    lock_wait_seconds: float = Field(
        default=600.0,
        ge=0,
        description=(
            "How long a stage waits for another run of the same dataset, e.g. of the command line,"
            " before it fails. A run of the command line does not wait."
        ),
    )

    @property
    def names_dataset(self) -> bool:
        """Whether this is for one dataset."""
        return self.dataset_file is not None or self.dataset_config is not None

    @property
    def patience(self) -> float:
        """Seconds to wait for another run of the same dataset."""
        return 0.0 if _command.get() else self.lock_wait_seconds

    @contextmanager
    def yield_for_execution(self, context: dg.InitResourceContext) -> Iterator[SynDBResource]:
        """Say in the run's tags how long it may take, whoever started it."""
        limit = self._limit(context.run.tags) if context.run else None
        if limit is not None and context.run and context.instance:
            seconds = f"{limit.total_seconds():.0f}"
            context.instance.add_run_tags(context.run.run_id, {"dagster/max_runtime": seconds})
        try:
            yield self
        finally:
            show_tracebacks()  # to whatever else the process does

    def _limit(self, tags: Mapping[str, str]) -> timedelta | None:
        """How long the run with `tags` may take by its dataset's config."""
        name = tags.get("dagster/partition")
        if _command.get() or not (name or self.names_dataset):
            return None  # whoever gave a command can end it
        try:
            return self.dataset(name).max_runtime
        except ConfigError:
            return None  # the run says what is wrong with it

    def settings(self) -> PipelineSettings:
        """The pipeline's settings. Raises `ConfigError`."""
        return load_settings(
            Path(self.pipeline_file) if self.pipeline_file else None,
            near=Path(self.near) if self.near else None,
        )

    def dataset(self, name: str | None = None) -> DatasetConfig:
        """The config of the dataset called `name`, its partition key; without, that of the one
        dataset. Raises `ConfigError`.
        """
        return self.context(name, lambda _: None).config

    def datasets(self) -> dict[str, DatasetConfig | ConfigError]:
        """Every dataset by name: its config, or why it cannot be used. Raises `ConfigError`."""
        if not self.names_dataset:
            return read_configs(self.settings())
        config = self.dataset()
        return {config.name: config}

    def context(self, name: str | None, say: Callable[[str], None]) -> Context:
        """What a stage needs to work on the dataset called `name`; `say` hears of its progress too.
        Raises `ConfigError`.
        """
        settings = self.settings()
        config = self._config(settings, name)
        if name not in (None, config.name):
            raise ConfigError(f"There is no dataset {name!r} here: it is {config.name!r}.")
        if self.approval is not None:
            if self.approval not in ("manual", "standing"):
                raise ConfigError(f"approval: found {self.approval!r}; allowed: manual, standing")
            publish = config.publish.model_copy(update={"approval": self.approval})
            config = config.model_copy(update={"publish": publish})
        context = Context(config=config, settings=settings, say=say, watch=progress_to(say))
        files = _handed_over(context, self.tables)
        return with_tables(context, files) if files else context

    def _config(self, settings: PipelineSettings, name: str | None) -> DatasetConfig:
        if self.dataset_config is not None:
            home = Path(self.near or "").absolute()
            document = Document(home / "the dataset", self.dataset_config)
            given = Context(validated(document, DatasetConfig), settings)
            return kept_as_file(given, home, home.name, _handed_over(given, self.tables)).config
        if self.dataset_file is not None:
            return load_dataset(self.dataset_file)
        if name is None:
            raise ConfigError("No dataset is named: give the resource `dataset_file`.")
        return load_dataset(config_of(settings, name))

    def context_of(self, run: Any) -> Context:
        """`context` for the dataset of a step; `run` is what Dagster gives the step."""
        return self.context(run.partition_key if run.has_partition_key else None, run.log.info)


class PipelineResource(SynDBResource):
    """That of our own deployment, each of whose runs lives in one process."""

    @contextmanager
    def yield_for_execution(self, context: dg.InitResourceContext) -> Iterator[SynDBResource]:
        """As its parent; the run's tags also say which process it lives in, so that one whose
        process is gone can be closed. With another executor, each step would name its own.
        """
        with super().yield_for_execution(context):
            if context.run is None or context.instance is None:
                yield self
                return
            try:
                locking = self.settings().lock
            except ConfigError:  # the steps say so
                locking = None
            with alive(context.instance, context.run.run_id, locking):
                yield self


def pipeline_of(scope: Scope, context: Any) -> SynDBResource:
    """The resource of `scope`, from what Dagster gives a step or a sensor."""
    return cast(SynDBResource, getattr(context.resources, scope.resource))


def hand_over(context: Context, given: Mapping[str, Any]) -> None:
    """Keep the rows of the tables that are `given`: each a path, or a table in memory. The
    dataset's lock must be held. Raises `ConfigError`, also where another config has the dataset.
    """
    claim(context.settings, context.config)
    files = {name: table_file(context, name, rows) for name, rows in given.items()}
    write_atomically(context.store.folder / _HANDED_OVER, json.dumps(files))


def _handed_over(context: Context, tables: Collection[str]) -> dict[str, str]:
    """The files of those of the `tables` that ingest was handed last. Raises `PipelineError`."""
    path = context.store.folder / _HANDED_OVER
    if not tables or not path.is_file():
        return {}
    try:
        files = json.loads(path.read_bytes())
    except ValueError:
        raise PipelineError(f"{path} is damaged.", next_step="Remove it; run ingest.") from None
    return {name: files[name] for name in tables if name in files}
