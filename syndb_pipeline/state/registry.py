"""Every dataset that is known by its name: those of the config folder, and those outside it that
were run by their path.

Belongs here: `<state>/registry.json`, the search for a dataset's config, and which of them can be
used together. Does not: what a config means (`config/settings.py`).
"""

from __future__ import annotations

import json
import os
from collections.abc import Collection, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final
from uuid import UUID

from pydantic import TypeAdapter, ValidationError

from syndb_pipeline.base.errors import ConfigError
from syndb_pipeline.base.system import seen_from
from syndb_pipeline.config.settings import (
    DATASET_NAME,
    DatasetConfig,
    PipelineSettings,
    load_dataset,
)
from syndb_pipeline.state.locks import hold
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


def is_away(config: Path) -> bool:
    """Whether a config is not there, while its folder is not there either or holds no config."""
    return not config.is_file() and next(config.parent.glob("*.yaml"), None) is None


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
    problems = []
    for path in sorted(settings.datasets.glob("*.y*ml")):
        if path.suffix != ".yaml":
            problems.append(f"{path} is not used: the name of a dataset's config ends in .yaml.")
        elif not DATASET_NAME.fullmatch(path.stem):
            problems.append(
                f"{path} is not used: a dataset's name may hold letters of a to z, digits, '.', '_'"
                " and '-' only. Rename the file."
            )
    file = _file(settings)
    if file.is_file():
        try:
            _ENTRIES.validate_json(file.read_bytes())
        except ValidationError:
            problems.append(
                f"{file} is damaged. Datasets outside {settings.datasets} are known again once they"
                " are run by their path: syndb-pipeline run PATH"
            )
    return problems


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
    for identity, same in by_id.items():
        if len(same) > 1:
            owner = _owner(settings, identity)
            paths = [config.path for config in same]
            found |= {
                config.name: _shared_id(paths, owner)
                for config in same
                if owner is None or not _same(config.path, owner)
            }
    outside, here = registered(settings), in_folder(settings)
    for name in outside.keys() & here.keys():
        if clash := _clash(name, outside[name], here[name]):
            found[name] = clash
    return found


def _same(one: Path, other: Path) -> bool:
    return one == other or (one.is_file() and other.is_file() and one.samefile(other))


def _shared_id(paths: Sequence[Path], owner: Path | None) -> ConfigError:
    keeps = f"{owner} keeps it: it was run with it first." if owner else ""
    which = (
        f"Give {' and '.join(str(path) for path in paths if path != owner)}"
        if owner
        else "Keep the id in the config that was published with it, for another id makes other"
        " rows; give the other config"
    )
    published = (
        f" Another id makes other rows: if the dataset was published with another config than"
        f" {owner}, leave that one its id and take {owner} away instead."
        if owner
        else ""
    )
    return ConfigError(
        f"{' and '.join(map(str, paths))} have one dataset.id, so they would overwrite each"
        f" other's state and rows. {keeps}".strip(),
        next_step=f"{which} a new one, or remove the copy.{published}",
    )


def _clash(name: str, *places: Path | None) -> ConfigError | None:
    """What is wrong with `places` where several files are the config called `name`; the first one
    has the name already.
    """
    keeps, *others = [place for place in places if place]
    other = next((each for each in others if not _same(each, keeps)), None)
    if other is None:
        return None
    if (identity := _id_of(keeps)) and identity == _id_of(other):
        return _shared_id([keeps, other], keeps)  # a copy, which another name would not help
    return ConfigError(
        f"Two configs have the name {name!r}: {keeps}, which keeps it, and {other}.",
        next_step=f"The file's name is the dataset's name in Dagster; rename {other}.",
    )


def _id_of(config: Path) -> UUID | None:
    try:
        return load_dataset(config).dataset.id
    except ConfigError:
        return None


def _owner_file(settings: PipelineSettings, identity: UUID) -> Path:
    return settings.state / "datasets" / str(identity) / "config.json"


def owners(settings: PipelineSettings) -> dict[UUID, Path]:
    """The config that each dataset's state is of, whether it is still there."""
    found = {}
    for file in settings.state.glob("datasets/*/config.json"):
        with suppress(OSError, ValueError, TypeError):
            found[UUID(file.parent.name)] = _path_in(file)
    return found


def _path_in(owner_file: Path) -> Path:
    """The config that it names, as seen from its own folder: who moves or copies the state with
    the config has one that is of its own config. Raises `OSError`, `ValueError`, `TypeError`.
    """
    return Path(os.path.normpath(owner_file.parent / json.loads(owner_file.read_bytes())))


def _owner(settings: PipelineSettings, identity: UUID) -> Path | None:
    """The config that the dataset's state is of, while it is there and has the id."""
    try:
        path = _path_in(_owner_file(settings, identity))
    except (OSError, ValueError, TypeError):
        return None
    try:
        return path if load_dataset(path).dataset.id == identity else None
    except ConfigError:
        return path if path.is_file() else None  # a mistake in it takes nothing from it


def claim(settings: PipelineSettings, config: DatasetConfig) -> None:
    """Keep the state of a dataset for `config`. Raises `ConfigError` while another config has its
    `dataset.id`: one would overwrite the other's rows.
    """
    identity, owner = config.dataset.id, _owner(settings, config.dataset.id)
    if owner and _same(owner, config.path):
        return
    if owner:
        raise _shared_id([owner, config.path], owner)
    for other in configs(settings).values():
        if _id_of(other) == identity and not _same(other, config.path):
            raise _shared_id([other, config.path], None)
    file = _owner_file(settings, identity)
    seen_from_there = seen_from(file.parent.resolve(), config.path.resolve())
    write_atomically(file, json.dumps(str(seen_from_there)) + "\n")


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
    if clash := _clash(name, registered(settings).get(name), found):
        raise clash
    return found


def config_named(settings: PipelineSettings, name: str) -> Path:
    """`config_of`, and beside it those that were only prepared or published by their path. Raises
    `ConfigError` too when several of these have the name.
    """
    found = [path for path in owners(settings).values() if path.stem == name and path.is_file()]
    if name in configs(settings) or not found:
        return config_of(settings, name)
    if len(found) > 1:
        raise ConfigError(
            f"Several configs have the name {name!r}: {', '.join(map(str, sorted(found)))}.",
            next_step="Name the one you mean by its path.",
        )
    return found[0]


def register(settings: PipelineSettings, config: Path) -> str:
    """Make the dataset of `config` known by its name, which is returned. Raises `ConfigError` when
    another config has the name.
    """
    config = config.expanduser().resolve()
    name = config.stem
    settings.state.mkdir(parents=True, exist_ok=True)
    busy = "The list of datasets is being written by another process."
    lock = settings.state / ".registry.lock"
    with hold(lock, busy, locking=settings.lock, name="registry", wait=30):
        outside, here = registered(settings), in_folder(settings)
        if clash := _clash(name, outside.get(name), here.get(name), config):
            raise clash
        if name not in outside.keys() | here.keys():
            # A dataset whose folder is away, on a share, comes back with it.
            kept = {
                known: path
                for known, path in remembered(settings).items()
                if path.is_file() or not path.parent.is_dir()
            }
            entries = kept | {name: config}
            text = json.dumps(
                {known: str(path) for known, path in sorted(entries.items())},
                indent=1,
                ensure_ascii=False,
            )
            write_atomically(_file(settings), text + "\n")
    return name
