"""An export read back by a program that knows nothing of ours, and taken in again as a lab's tables.

Belongs here: what must hold of any export. Does not: which datasets (`unit/publishing/test_export`,
`acceptance/test_exported_sets`).
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID, uuid5

import duckdb

from syndb_pipeline.contract.tables import TABLES
from tests.command_line import Lab

AGAIN = "01939c0e-7b1a-7c3e-9f53-6f0c6b1d2a77"


class Export:
    """A folder that `export --id-map` wrote, as DuckDB sees it: a view for each table, and one of
    its ids as `id_<table>`.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.connection = duckdb.connect()
        files = [path for path in folder.iterdir() if path.suffix in (".parquet", ".csv")]
        self.tables = {path.stem: path for path in files}
        for table, path in self.tables.items():
            self.connection.execute(f"CREATE VIEW {table} AS FROM '{path}'")
            keys = folder / "id_map" / f"{table}.csv"
            if keys.is_file():
                read = f"read_csv('{keys}', types = {{'key': 'VARCHAR', 'cid': 'UUID'}})"
                self.connection.execute(f"CREATE VIEW id_{table} AS FROM {read}")

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        return self.connection.execute(query).fetchall()

    @property
    def counts(self) -> dict[str, int]:
        return {table: self.rows(f"SELECT count(*) FROM {table}")[0][0] for table in self.tables}

    def check(self, dataset: str) -> None:
        """Digests, UUIDs by Python's own `uuid5`, every reference, every mesh and skeleton."""
        sums = [line.split("  ") for line in (self.folder / "SHA256SUMS").read_text().splitlines()]
        names = {path.relative_to(self.folder).as_posix() for path in self._files()}
        assert {name for _, name in sums} | {"SHA256SUMS"} == names
        for sha256, name in sums:
            assert hashlib.sha256((self.folder / name).read_bytes()).hexdigest() == sha256
        for table in self.tables:
            if TABLES[table].pair is None:
                ids = self.rows(f"SELECT key, cid FROM id_{table}")
                assert all(cid == uuid5(UUID(dataset), f"{table}/{key}") for key, cid in ids)
                own = self.rows(f"SELECT cid::UUID FROM {table}")
                assert sorted(own) == sorted((cid,) for _, cid in ids)
            for column in self._references(table):
                known = self._of_targets(table, column, "SELECT cid FROM {0}")
                lost = f"FROM {table} ANTI JOIN ({known}) k ON {table}.{column} = k.cid"
                assert self.rows(f"SELECT count(*) {lost} WHERE {column} IS NOT NULL") == [(0,)]
            for column in {"mesh_path", "swc_path"} & {*self._columns(table)}:
                for cid, name in self.rows(f"SELECT cid, {column} FROM {table}"):
                    assert name is None or Path(name).stem == str(cid)
                    assert name is None or (self.folder / name).is_file()

    def taken_in_again(self, lab: Lab) -> None:
        """With the ids as keys, the same rows are accepted, and go out with the same values and
        relations.
        """
        folder = lab.folder / "again"
        shutil.copytree(self.folder, folder)
        config = lab.config("again", AGAIN, {t: {"file": p.name} for t, p in self.tables.items()})
        config = Path(shutil.move(config, folder / "again.yaml"))
        ran = lab.call("export", config, "--to", lab.folder / "out again", "--id-map", "--json")
        assert ran.code == 0, ran.out + ran.err
        second = Export(lab.folder / "out again")
        second.check(AGAIN)
        assert second.counts == self.counts
        with second.connection as both:
            for table, path in self.tables.items():
                columns = self._columns(table)
                keyed = {"cid", *self._references(table)} & {*columns}
                left = {"mesh_path", "swc_path"}
                values = [c for c in columns if c not in left]
                named = [f"{c}::VARCHAR AS {c}" if c in keyed else c for c in values]
                mapped = [self._key_of(table, c) if c in keyed else c for c in values]
                first = f"SELECT {', '.join(named)} FROM '{path}'"
                again = f"SELECT {', '.join(mapped)} FROM {table} t"
                for one, other in ((first, again), (again, first)):
                    assert both.execute(f"{one} EXCEPT ALL {other}").fetchall() == [], table

    def _key_of(self, table: str, column: str) -> str:
        """The key that an id of the second export was in the first: its own id there."""
        maps = self._of_targets(table, column, "FROM id_{0}")
        return f"(SELECT key FROM ({maps}) m WHERE m.cid = t.{column}) AS {column}"

    def _of_targets(self, table: str, column: str, query: str) -> str:
        """`query` of each table here that `column` may point to, or of the table itself."""
        own = (table,) if column == "cid" else TABLES[table].columns[column].targets
        keyed = [t for t in own if t in self.tables and TABLES[t].pair is None]
        return " UNION ALL ".join(query.format(t) for t in keyed) or (
            "SELECT NULL::UUID AS cid, NULL AS key LIMIT 0"
        )

    def _columns(self, table: str) -> list[str]:
        return [name for name, *_ in self.rows(f"DESCRIBE {table}")]

    def _references(self, table: str) -> list[str]:
        return [name for name in TABLES[table].references if name in self._columns(table)]

    def _files(self) -> Iterator[Path]:
        return (path for path in self.folder.rglob("*") if path.is_file())
