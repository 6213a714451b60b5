"""Every dataset that is known by its name: those of the config folder, and those outside it that
were run by their path.

Belongs here: `<state>/registry.json`, the search for a dataset's config, and which of them can be
used together. Does not: what a config means (`config/settings.py`).
"""

from __future__ import annotations

import json
from collections.abc import Collection
from pathlib import Path
from typing import Final
from uuid import UUID

from filelock import FileLock
from pydantic import TypeAdapter, ValidationError

from syndb_pipeline.base.errors import ConfigError
from syndb_pipeline.config.settings import (
    DATASET_NAME,
    DatasetConfig,
    PipelineSettings,
    load_dataset,
)
from syndb_pipeline.state.store import write_atomically

_ENTRIES: Final = TypeAdapter(dict[str, Path])


def _file(settings: PipelineSettings) -> Path:
    return settings.state / "registry.json"


def remembered(settings: PipelineSettings) -> dict[str, Path]:
    """Name -> config of the datasets that `register` was given, whether it is still there."""
    path = _file(settings)
    if not path.is_file():
        return {}
    try:
        return _ENTRIES.validate_json(path.read_bytes())
    except ValidationError:
        # Cut, or edited by hand. Each name comes back with the next run of its config by its path.
        return {}


def registered(settings: PipelineSettings) -> dict[str, Path]:
    """Name -> config of the datasets that `register` was given and whose config is still
    there.
    """
    return {name: config for name, config in remembered(settings).items() if config.is_file()}


def away(settings: PipelineSettings, known: Collection[str]) -> set[str]:
    """Those of the `known` datasets whose config is not there, while its folder is not there
    either or holds no config at all: more likely a share that is not mounted than datasets that
    were taken away.
    """
    entries, here = remembered(settings), in_folder(settings)
    return {
        name
        for name in set(known) - here.keys()
        if (name in entries and not entries[name].is_file() and not entries[name].parent.is_dir())
        or (name not in entries and not here)
    }


def in_folder(settings: PipelineSettings) -> dict[str, Path]:
    """Name -> config of the datasets of the config folder, by name. Files whose names Dagster could
    not take are left out.
    """
    return {
        path.stem: path
        for path in sorted(settings.datasets.glob("*.yaml"))
        if DATASET_NAME.fullmatch(path.stem)
    }


def ignored(settings: PipelineSettings) -> list[str]:
    """What is to be said of files of the config folder that are taken for no dataset though they
    look like one, and of a registry that cannot be read."""
    told = []
    for path in sorted(settings.datasets.glob("*.y*ml")):
        if path.suffix != ".yaml":
            told.append(f"{path} is not used: the name of a dataset's config ends in .yaml.")
        elif not DATASET_NAME.fullmatch(path.stem):
            told.append(
                f"{path} is not used: a dataset's name may hold letters of a to z, digits, '.', '_'"
                " and '-' only. Rename the file."
            )
    file = _file(settings)
    if file.is_file():
        try:
            _ENTRIES.validate_json(file.read_bytes())
        except ValidationError:
            told.append(
                f"{file} is damaged. Datasets outside {settings.datasets} are known again once they"
                " are run by their path: syndb-pipeline run PATH"
            )
    return told


def configs(settings: PipelineSettings) -> dict[str, Path]:
    """Name -> config of every known dataset, by name; the config folder wins over the registry."""
    return dict(sorted((registered(settings) | in_folder(settings)).items()))


def read_configs(settings: PipelineSettings) -> dict[str, DatasetConfig | ConfigError]:
    """Every known dataset by name: its config, or why it cannot be used."""
    found: dict[str, DatasetConfig | ConfigError] = {}
    by_id: dict[UUID, list[DatasetConfig]] = {}
    for name, path in configs(settings).items():
        try:
            config = load_dataset(path)
        except ConfigError as error:
            found[name] = error
        else:
            found[name] = config
            by_id.setdefault(config.dataset.id, []).append(config)
    for same in by_id.values():
        if len(same) > 1:
            paths = " and ".join(str(config.path) for config in same)
            shared = ConfigError(
                f"{paths} have one dataset.id, so they would overwrite each other's state and"
                " rows.",
                next_step="Keep the id in the config that was published with it, for another id"
                " makes other rows; give the other config a new one, or remove the copy.",
            )
            found |= {config.name: shared for config in same}
    return found


def config_of(settings: PipelineSettings, name: str) -> Path:
    """The config of dataset `name`. Raises `ConfigError` when no one knows it."""
    found = configs(settings).get(name)
    if found is None:
        raise ConfigError(
            f"There is no dataset {name!r}: neither {settings.datasets / f'{name}.yaml'} nor a"
            " config that was run by its path.",
            next_step=(
                "Put its YAML into that folder, or run it once from the command line:"
                " syndb-pipeline run PATH"
            ),
        )
    return found


def register(settings: PipelineSettings, config: Path) -> str:
    """Make the dataset of `config` known by its name, which is returned. Raises `ConfigError` when
    another config has the name.
    """
    config = config.expanduser().resolve()
    name = config.stem
    settings.state.mkdir(parents=True, exist_ok=True)
    with FileLock(settings.state / ".registry.lock", timeout=30):
        other = configs(settings).get(name)
        if other is not None and other.resolve() != config:
            raise ConfigError(
                f"Two configs have the name {name!r}: {other} and {config}.",
                next_step="The file's name is the dataset's name in Dagster; rename one of them.",
            )
        if other is None:
            entries = registered(settings) | {name: config}
            text = json.dumps(
                {known: str(path) for known, path in sorted(entries.items())},
                indent=1,
                ensure_ascii=False,
            )
            write_atomically(_file(settings), text + "\n")
    return name
