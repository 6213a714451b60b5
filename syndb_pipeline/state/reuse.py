"""What a stage's last run left of each table, taken over where nothing that it was made from has
changed.

Belongs here: knowing that a table's outputs still hold, and taking them over. Does not: what a
table is made from, which each stage says.
"""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import duckdb

from syndb_pipeline.base import digests
from syndb_pipeline.base.digests import digest_file
from syndb_pipeline.base.engine import parquet
from syndb_pipeline.rules.finding import Finding
from syndb_pipeline.state.results import Details, TableDetails
from syndb_pipeline.state.store import Record

D = TypeVar("D", bound=Details)


@dataclass(frozen=True)
class Former:
    """The last run of a stage, by the versions of today: its record, and the folder of its
    outputs.
    """

    record: Record
    folder: Path

    def details(self, kind: type[D]) -> D:
        """The details of the record, which are of `kind`."""
        assert isinstance(self.record.details, kind)
        return self.record.details

    def holds(self, table: str, made_from: str, *files: str) -> bool:
        """Whether `table` was made from just this then, and `files`, named as in the record, are as
        they were left.
        """
        return self.details(TableDetails).made_from.get(table) == made_from and all(
            self.is_whole(file) for file in files
        )

    def is_whole(self, file: str) -> bool:
        """Whether the output `file` is there with the bytes of the record."""
        output, path = self.record.outputs.get(file), self.folder / file
        return output is not None and path.is_file() and digest_file(path) == output.sha256

    def is_clean(self, connection: duckdb.DuckDBPyConnection, table: str, failures: str) -> bool:
        """Whether the stage found nothing about `table`: no finding, and no row in its output
        `failures`.
        """
        if self.findings(table) or not self.is_whole(failures):
            return False
        rows = connection.execute(
            f"SELECT 1 FROM {parquet(self.folder / failures)} WHERE tbl = ? LIMIT 1", [table]
        )
        return not rows.fetchall()

    def findings(self, table: str) -> list[Finding]:
        """What the stage found of `table`, in its order."""
        return [finding for finding in self.record.findings if finding.table == table]

    def take_over(self, file: str, folder: Path) -> None:
        """Have the output `file` in the new `folder` as well: a second name of the same file where
        the disk knows that, else a copy.
        """
        source, target = self.folder / file, folder / file
        try:
            os.link(source, target)
        except OSError:
            shutil.copyfile(source, target)
        digests.adopt(target, self.record.outputs[file].sha256)
