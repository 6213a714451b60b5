"""The two YAML files a person writes, as typed settings.

Belongs here: reading and checking `config/datasets/*.yaml` and `config/pipeline.yaml`. Does not:
reading tables or touching state.
"""

from __future__ import annotations

import os
import re
import time
from datetime import date
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import (
    BeforeValidator,
    Field,
    PrivateAttr,
    field_validator,
)
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
)

from syndb_pipeline.base.errors import ConfigError
from syndb_pipeline.config.dataset_metadata import DatasetMetadata
from syndb_pipeline.config.description import Description
from syndb_pipeline.config.limits import Limits
from syndb_pipeline.config.operating_settings import Channel, Locking, Retention
from syndb_pipeline.config.schedule_settings import ScheduleSetting
from syndb_pipeline.config.table_settings import InvalidRows, TableConfig, problems_of
from syndb_pipeline.config.yaml_file import (
    Document,
    Duration,
    Misplaced,
    Strict,
    Text,
    as_bytes,
    read_yaml,
    shown,
    suggestion,
    validated,
)
from syndb_pipeline.contract.vocabularies import (
    nearest,
)
from syndb_pipeline.rules.catalogue import RULES

DATASET_NAME = re.compile(r"[A-Za-z0-9._-]+")
"""What a dataset's name, its config file's stem, may be: a Dagster partition key."""

Severity = Literal["info", "hint", "warning", "error"]


class Terms(Strict):
    """A person's acceptance of SynDB's terms (SynDB's upload guide)."""

    accepted_by: Annotated[Text, Field(min_length=1)]
    accepted_on: date
    accurate: bool = Field(description="The data are not false or misleading.")
    redistributable: bool = Field(description="The owner may redistribute them.")
    license_agreed: bool = Field(description="The owner agrees to the licence above.")


class PublishConfig(Strict):
    destination: str = Field(default="local", description="A destination of pipeline.yaml.")
    approval: Literal["manual", "standing"] = Field(
        default="manual",
        description=(
            "manual: a person names the plan's digest. standing: the person of `terms` consents to"
            " unattended runs."
        ),
    )
    limits: Limits = Limits()


class DatasetConfig(InvalidRows):
    """One dataset: its metadata, its tables, the terms, and how it is published."""

    dataset: DatasetMetadata
    description: Description = Description()
    tables: dict[str, TableConfig] = Field(min_length=1)
    terms: Terms | None = None
    publish: PublishConfig = PublishConfig()
    rules: dict[str, Severity] = Field(
        default={},
        description="Code of a rule -> severity.",
        json_schema_extra={"propertyNames": {"enum": list(RULES)}},
    )
    schedule: ScheduleSetting = Field(
        default=None,
        description='Cron line, e.g. "0 2 * * *" (UTC), or `{cron: ..., time_zone: Europe/Vienna}`:'
        " when Dagster prepares the dataset.",
    )
    max_runtime: Duration | None = Field(
        default=None,
        description="How long a run of Dagster may take before it is ended, e.g. 90min, 6h, 2d.",
    )
    late_after: Duration | None = Field(
        default=None,
        description="How old the last success may become, e.g. 36h, before the dataset is late.",
    )
    watch: bool = Field(
        default=True,
        description="Whether the drop-folder sensor prepares the dataset when its files change.",
    )

    _path: Path = Path()

    @property
    def path(self) -> Path:
        """Where the config was read from."""
        return self._path

    @property
    def folder(self) -> Path:
        """The folder that `file` of each table is relative to."""
        return self._path.parent

    @property
    def name(self) -> str:
        """The config file's stem: the dataset's partition key in Dagster."""
        return self._path.stem

    @field_validator("tables")
    @classmethod
    def _known_tables(cls, tables: dict[str, TableConfig]) -> dict[str, TableConfig]:
        problems = [
            ((name, *below) if below else (), reason)
            for name, table in tables.items()
            for below, reason in problems_of(name, table)
        ]
        if problems:
            raise Misplaced(*problems)
        return tables

    @field_validator("rules")
    @classmethod
    def _known_rules(cls, rules: dict[str, Severity]) -> dict[str, Severity]:
        for code, severity in rules.items():
            rule = RULES.get(code)
            if rule is None:
                near = ", ".join(nearest(code, RULES, 3, 0.5)) or next(iter(RULES))
                why = f"{code!r} is not the code of a rule; did you mean {near}?"
                raise Misplaced(((code,), why))
            if rule.fixed and severity != rule.severity:
                why = f"{rule.title!r} stays {rule.severity!r}: it would corrupt a dataset"
                raise Misplaced(((code,), f"{why}; remove it from `rules`"))
        return rules


def load_dataset(path: Path | str) -> DatasetConfig:
    """The dataset config at `path`, checked. Raises `ConfigError` naming file, key, what was found
    and what is allowed.
    """
    path = Path(path).expanduser().absolute()
    try:
        found = path.stat()
    except OSError:
        return _read_dataset(path)  # which says what is wrong
    if time.time() - max(found.st_mtime, found.st_ctime) < _SETTLED:
        return _read_dataset(path)
    return _known_dataset(path, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)


_SETTLED = 2.0
"""Seconds after which a file that is written to again shows it in its times."""


@lru_cache(maxsize=1024)
def _known_dataset(path: Path, *mark: int) -> DatasetConfig:
    """The config at `path`, read once for each `mark` of its content: Dagster asks at every tick,
    and every stage of a run does."""
    return _read_dataset(path)


def _read_dataset(path: Path) -> DatasetConfig:
    document = read_yaml(path)
    if not isinstance(document.content, dict):
        raise ConfigError(
            f"{path}: expected `dataset:` and `tables:`, found {shown(document.content)}.",
            next_step="Write a new config with: syndb-pipeline init FOLDER",
        )
    if not DATASET_NAME.fullmatch(path.stem):
        raise ConfigError(
            f"{path}: the file's name is the dataset's name and may hold letters, digits, '.', '_'"
            " and '-' only."
        )
    config = validated(document, DatasetConfig)
    config._path = path
    return config


class PipelineSettings(BaseSettings):
    """Where things live and how much they may use: `config/pipeline.yaml`, overridden by
    `SYNDB_...` environment variables.
    """

    model_config = SettingsConfigDict(
        env_prefix="SYNDB_", env_nested_delimiter="__", extra="forbid", frozen=True
    )

    state: Path = Field(
        default=Path(".syndb"),
        description="Folder of stage outputs, records and receipts; relative to this file.",
    )
    datasets: Path = Field(
        default=Path("datasets"), description="Folder of dataset configs; relative to this file."
    )
    memory_limit: Annotated[int, BeforeValidator(as_bytes)] = Field(
        default=2_000_000_000, ge=500_000_000, description="Memory of one run, e.g. 2GB."
    )
    data_folders: list[Path] | None = Field(
        default=None,
        description=(
            "Folders that tables, meshes and skeletons may lie in, beside that of the dataset's"
            " YAML; relative to this file. Every folder when left out."
        ),
    )
    threads: int = Field(
        default_factory=lambda: max(1, os.cpu_count() or 1), ge=1, description="Threads of one run."
    )
    destinations: dict[str, Any] = Field(
        default={"local": {"kind": "embedded"}},
        description="Where datasets are published to; which kinds there are is for a room above.",
    )
    notify: list[Channel] = Field(default=[], description="Who is notified, how, and of what.")
    retention: Retention = Retention()
    lock: Locking = Locking()
    automation: Literal["manual", "eager"] = Field(
        default="manual",
        description=(
            "eager: in Dagster, the stages after ingest run by themselves when what is before them"
            " changed. Read when its code server starts."
        ),
    )

    _file: Path | None = PrivateAttr(None)
    _beside: bool = PrivateAttr(False)
    _note: str | None = PrivateAttr(None)

    def located(self, state: Path, beside: Path | None) -> dict[str, Any]:
        """The destinations with whole paths, and marked with the file `beside` a dataset that names
        them."""
        return self.destinations

    @property
    def file(self) -> Path | None:
        """The pipeline.yaml that these are from; None for the defaults."""
        return self._file

    @property
    def beside(self) -> bool:
        """Whether that file was only found beside a dataset, so that whoever wrote the dataset may
        have written it.
        """
        return self._beside

    @property
    def note(self) -> str | None:
        """Which file that is, in words, where a person may expect another; None where it is the
        working folder's.
        """
        return self._note

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        # The environment wins over the file, whose content arrives as init arguments.
        return env_settings, init_settings


_NOT_FROM_BESIDE = ("state", "datasets", "data_folders", "notify", "retention", "lock")
"""What a pipeline.yaml beside a dataset does not decide: where we write, which folders may be read,
who is notified, and what is removed.
"""


def find_pipeline_file(near: Path | None = None) -> Path | None:
    """`pipeline.yaml`: named by SYNDB_PIPELINE_CONFIG, else the nearest at or above the working
    folder, else at or above `near`.
    """
    named = os.environ.get("SYNDB_PIPELINE_CONFIG")
    if named:
        return Path(named).expanduser().absolute()
    return nearest_pipeline_file(Path.cwd()) or (nearest_pipeline_file(near) if near else None)


def nearest_pipeline_file(folder: Path) -> Path | None:
    """`pipeline.yaml` of `folder`, else of the nearest folder above it that has one."""
    folder = folder.absolute()
    places = [
        place / name
        for place in (folder, *folder.parents)
        for name in ("config/pipeline.yaml", "pipeline.yaml")
    ]
    return next((place for place in places if place.is_file()), None)


_Settings = TypeVar("_Settings", bound=PipelineSettings)


def load_settings(
    path: Path | None = None,
    *,
    near: Path | None = None,
    model: type[_Settings] = PipelineSettings,  # type: ignore[assignment]
) -> _Settings:
    """The pipeline's settings.

    Args:
        path: The file that a person named.
        near: A dataset's folder. A file at or above it is used where `find_pipeline_file` finds
            none of the user's own, and then only for destinations, memory and threads: it came with
            the dataset.
        model: The settings with the destinations that there are, or without any.

    Returns:
        The settings of the file, or the defaults; their `file` and `note` say which. Paths are
        absolute. Without a file, and for one beside a dataset, state is in the user's
        data folder.

    Raises:
        ConfigError: The file, or an environment variable, cannot be used.
    """
    own = path.expanduser().absolute() if path else find_pipeline_file()
    found = nearest_pipeline_file(near) if near and path is None else None
    beside, path = own is None and found is not None, own or found
    document = read_yaml(path) if path else Document(Path("the environment (SYNDB_...)"))
    content = {} if document.content is None else document.content
    if not isinstance(content, dict):
        raise ConfigError(f"{path}: expected keys such as `state:`, found {shown(content)}.")
    for key in content:
        if key not in model.model_fields:
            # Said here: as an argument, it may be an option of pydantic's own.
            hint = suggestion(key, model.model_fields)
            where = f"line {document.line((key,))}: {key}"
            raise ConfigError(f"{path} cannot be used:\n  {where}: there is no such key; {hint}")
    base = path.parent if path else Path()
    if path is None or beside:
        from platformdirs import user_data_path

        content = {key: value for key, value in content.items() if key not in _NOT_FROM_BESIDE}
        base = user_data_path("syndb-pipeline")
    try:
        settings = validated(document, model, content)
    except SettingsError as error:
        raise ConfigError(
            f"An environment variable SYNDB_... cannot be used: {error}.",
            next_step="Write it as JSON, or remove it.",
        ) from None

    def absolute(path: Path) -> Path:
        return (base / path.expanduser()).resolve()

    state = absolute(settings.state)
    settings = settings.model_copy(
        update={
            "state": state,
            "datasets": absolute(settings.datasets),
            "data_folders": settings.data_folders and [*map(absolute, settings.data_folders)],
            "destinations": settings.located(state, path if beside else None),
        }
    )
    settings._file, settings._beside = path, beside
    if beside:
        settings._note = (
            f"Settings: {path}, which is beside the dataset, for destinations, memory and threads"
            f" alone. State: {state}"
        )
    elif path is not None and path != nearest_pipeline_file(Path.cwd()):
        settings._note = f"Settings: {path}"
    elif path is not None and found not in (None, path):
        settings._note = f"Settings: {path}. Not used: {found}, beside the dataset"
    return settings
