"""The tables of the newest publications, and the lab's keys of their rows, to compare with one
another and with the package.

Belongs here: keeping them in `<store>/publish/tables/<plan digest>/`, the keys in `ids/` there.
Does not: receipts (`records.py`), comparing (`differences.py`).
"""

from __future__ import annotations

import shutil
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Final, NamedTuple

from syndb_pipeline.base.engine import flush
from syndb_pipeline.base.system import rename
from syndb_pipeline.state.store import link_or_copy

IDS: Final = "ids"
"""The folder of the lab's keys, here and among the outputs of assign_ids."""


class Kept(NamedTuple):
    """What is kept of a publication: its tables, the id maps of assign_ids; and of how many
    `versions`, this one among them."""

    tables: Iterable[Path]
    ids: Iterable[Path]
    versions: int


class KeptTables:
    """The folder of them."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def tables(self, plan: str) -> dict[str, Path]:
        """The tables that were published under a plan; empty where they are not kept."""
        return _by_name(self._folder / plan)

    def ids(self, plan: str) -> dict[str, Path]:
        """The lab's keys of their rows, and of others; empty where they are not kept."""
        return _by_name(self._folder / plan / IDS)

    def keep(self, plan: str, kept: Kept) -> None:
        """A second name for each file where the disk knows that, else a copy."""
        place, beside = self._folder / plan, self._folder / f".{plan}"
        if place.is_dir():
            return
        shutil.rmtree(beside, ignore_errors=True)
        for folder, files in ((beside, kept.tables), (beside / IDS, kept.ids)):
            folder.mkdir(parents=True)
            for file in files:
                link_or_copy(file, folder / file.name)
            flush(folder)
        rename(beside, place)
        flush(self._folder)

    def forget_all_but(self, plans: Collection[str]) -> None:
        """Remove those of other plans, and what a crash left."""
        for other in self._folder.iterdir():
            if other.name not in plans:
                shutil.rmtree(other)


def _by_name(folder: Path) -> dict[str, Path]:
    return {path.stem: path for path in sorted(folder.glob("*.parquet"))}
