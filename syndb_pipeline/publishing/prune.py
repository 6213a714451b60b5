"""Removing what is not needed any more: leftovers of runs that died, old reports, stage folders of
datasets without a config.

Belongs here: which files of the state folder may go, and when. Does not: Dagster's runs, which its
own part prunes; anything that says what was approved, sent or deleted, which stays for good.
"""

from __future__ import annotations

import re
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict

from syndb_pipeline.base.errors import Busy, ConfigError
from syndb_pipeline.config.settings import DatasetConfig, PipelineSettings
from syndb_pipeline.publishing.records import PublishRecords
from syndb_pipeline.readers.files import IN_MEMORY
from syndb_pipeline.state.registry import in_folder, owners, read_configs, remembered
from syndb_pipeline.state.store import RECORDS, DatasetStore

_LEFTOVER: Final = re.compile(r"\.scratch|\.spill-\w+|\.(.+\.)?([0-9a-f]{32}|[0-9a-f]{64})")
"""Names that only something half written has: see `state/store.py` and `records.py`."""

DAY: Final = 86400.0

Kind = Literal["leftovers", "reports", "stages", "runs"]


class Removed(BaseModel):
    """Something that was removed, or would be; `bytes` is what it takes on disk."""

    model_config = ConfigDict(frozen=True)

    kind: Kind
    what: str
    bytes: int


class Pruned(BaseModel):
    """What `prune` removed, and in `notes` what it could not, with the reason."""

    removed: list[Removed] = []
    notes: list[str] = []


def prune(settings: PipelineSettings, *, dry_run: bool, now: float | None = None) -> Pruned:
    """Remove what `retention` of the settings says, from the state of every dataset.

    Args:
        settings: Where the state is, and how long what is kept.
        dry_run: Whether only to say what would be removed.
        now: Seconds since 1970; the clock's when left out.

    Returns:
        What was removed. A dataset whose run is under way is left alone, with a note.
    """
    pruned, now = Pruned(), time.time() if now is None else now
    without_config = _without_config(settings, pruned.notes)
    for folder in sorted(settings.state.glob("datasets/*-*-*-*-*/")):
        store = DatasetStore(settings.state, UUID(folder.name), settings.lock)
        old = {
            path: Removed(kind=kind, what=str(path), bytes=bytes_of(path))
            for kind, path in _old(store, settings, now, store.dataset in without_config)
        }
        if dry_run or not old:
            pruned.removed += old.values()
            continue
        try:
            with store.lock(), PublishRecords(store).lock():
                for _, path in _old(store, settings, now, store.dataset in without_config):
                    _remove(path)
            # Taking the lock removes leftovers too.
            pruned.removed += [removed for path, removed in old.items() if not path.exists()]
        except Busy as busy:
            pruned.notes.append(f"{busy.message} Left as it is.")
    return pruned


def _without_config(settings: PipelineSettings, notes: list[str]) -> set[UUID]:
    """The datasets here that no config names, where stages of such are to go at all. None as long
    as a config, or its folder, may only be away for the moment."""
    if settings.retention.stages is None:
        return set()
    here = {UUID(path.name) for path in settings.state.glob("datasets/*-*-*-*-*/")}
    found = read_configs(settings)
    broken = [name for name, config in found.items() if isinstance(config, ConfigError)]
    broken += sorted(remembered(settings).keys() - found.keys())
    if broken or not in_folder(settings):
        which = ", ".join(broken) or f"any dataset of {settings.datasets}"
        notes.append(f"Stages are left as they are: the config of {which} cannot be read.")
        return set()
    named = {config.dataset.id for config in found.values() if isinstance(config, DatasetConfig)}
    # Those that were only prepared or published by their path are in no registry.
    by_path = {identity for identity, path in owners(settings).items() if path.is_file()}
    return here - named - by_path


def _old(
    store: DatasetStore, settings: PipelineSettings, now: float, without_config: bool
) -> Iterator[tuple[Kind, Path]]:
    """What may go of a dataset's state."""
    keep = settings.retention

    def is_old(path: Path, days: int | None) -> bool:
        return days is not None and path.lstat().st_mtime < now - days * DAY

    for place in (store.folder, store.folder / "publish", *store.folder.glob("publish/*/")):
        for path in place.glob(".*"):
            if _LEFTOVER.fullmatch(path.name) and is_old(path, keep.leftovers):
                yield "leftovers", path
    for path in store.folder.glob("report/*"):
        if is_old(path, keep.reports):
            yield "reports", path
    for stage in (*RECORDS, IN_MEMORY) if without_config else ():
        path = store.stage(stage)
        if path.is_dir() and is_old(path, keep.stages):
            yield "stages", path


def bytes_of(path: Path) -> int:
    """What a file, or all files below a folder, take."""
    files = path.rglob("*") if path.is_dir() and not path.is_symlink() else [path]
    return sum(file.lstat().st_size for file in files if not file.is_dir())


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
