"""Where corrected copies go, and what the config then names: a new folder beside the lab's files,
never a file that is there.

Belongs here: paths and globs. Does not: writing files.
"""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Final

from syndb_pipeline.base.errors import ConfigError
from syndb_pipeline.config.settings import DatasetConfig
from syndb_pipeline.readers import files

FOLDER: Final = "corrected"
"""The folder beside a dataset's YAML that holds `1`, `2`, ...: the copies of each workbook that was
applied.
"""

_EARLIER: Final = re.compile(rf"{FOLDER}/[0-9]+/")
OLD_EXCEL: Final = ".xls"


@dataclass(frozen=True)
class Plan:
    """What is copied where, and what the config shall name. `copies` maps a lab's file to its path
    below the new folder.
    """

    number: int
    copies: dict[Path, PurePosixPath] = field(default_factory=dict)
    patterns: dict[str, str] = field(default_factory=dict)  # by table

    @property
    def name(self) -> str:
        return f"{FOLDER}/{self.number}"


def files_by_table(config: DatasetConfig) -> dict[str, list[Path]]:
    """The files of each table, each file by one path, however the config reaches it."""
    return {
        table: [Path(os.path.normpath(path)) for path in files.find(config.folder, described.file)]
        for table, described in config.tables.items()
    }


def plan_copies(config: DatasetConfig, corrected: Iterable[Path]) -> Plan:
    """Copies of the files `corrected`, and of every other file that a table reads by the same glob.

    Raises `ConfigError` when two files of the config would become one.
    """
    wanted = set(corrected)
    plan = Plan(_next_number(config.folder))
    for table, paths in files_by_table(config).items():
        described = config.tables[table]
        if not wanted.intersection(paths):
            continue
        static, rest = _split(config.folder, described.file, paths)
        base = _relative(files.shown(config.folder / static, config.folder))
        for path in paths:
            inner = PurePosixPath(Path(os.path.relpath(path, config.folder / static)).as_posix())
            target = base / inner
            target = (
                target.with_name(target.name + "x") if files.suffix(path) == OLD_EXCEL else target
            )
            if ".." in inner.parts or plan.copies.get(path, target) != target:
                raise _unclear(table, described.file)
            plan.copies[path] = target
        pattern = str(base / rest)
        plan.patterns[table] = f"{plan.name}/{pattern}" + (
            "x" if pattern.lower().endswith(OLD_EXCEL) else ""
        )
    if len(set(plan.copies.values())) < len(plan.copies):
        raise _unclear(", ".join(plan.patterns), "their files")
    return plan


def require_same_files(config: DatasetConfig, plan: Plan, before: dict[str, list[Path]]) -> None:
    """Raise `ConfigError` unless every table finds its copies in the new folder, and the others
    what they found in `before`.
    """
    for table, described in config.tables.items():
        found = files.find(config.folder, plan.patterns.get(table, described.file))
        copies = (
            [config.folder / plan.name / plan.copies[path] for path in before[table]]
            if table in plan.patterns
            else before[table]
        )
        if sorted(map(os.path.normpath, found)) != sorted(map(str, copies)):
            raise _unclear(table, described.file)


def _unclear(table: str, file: str) -> ConfigError:
    return ConfigError(
        f"tables.{table}.file: {file} would find other files than its own copies.",
        next_step="Give each table a file or glob of its own.",
    )


def _next_number(folder: Path) -> int:
    try:
        taken = [int(path.name) for path in (folder / FOLDER).iterdir() if path.name.isdecimal()]
    except FileNotFoundError:
        taken = []
    return max(taken, default=0) + 1


def _split(folder: Path, pattern: str, paths: list[Path]) -> tuple[str, str]:
    """The part of a pattern that names a folder, and the rest that names or finds files in it."""
    if pattern.startswith("~/"):
        pattern = os.path.expanduser(pattern)  # noqa: PTH111 - as `files.find` does
    if len(paths) == 1 and Path(os.path.normpath(folder / pattern)) == Path(
        os.path.normpath(paths[0])
    ):
        return os.path.split(os.path.normpath(pattern))
    parts = PurePosixPath(pattern).parts
    count = next((i for i, part in enumerate(parts) if glob.has_magic(part)), len(parts) - 1)
    return str(PurePosixPath(*parts[:count])), str(PurePosixPath(*parts[count:]))


def _relative(shown: str) -> PurePosixPath:
    """The folder `shown`, as it is repeated below the new one: without an earlier one's name;
    nothing of a folder elsewhere.
    """
    if shown.startswith("/") or shown == "..":
        return PurePosixPath()
    return PurePosixPath(_EARLIER.sub("", f"{shown}/", count=1) or ".")
