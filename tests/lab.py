"""A lab's small tables and its YAML in a folder, taken through the real stages in this process: what
the tests of readers, checks, stages and reports share.

Belongs here: writing the files, running, reading back what a stage left. Does not: expectations;
commands (`command_line.py`), publishing (`publish_lab.py`).
"""

from __future__ import annotations

import gzip
import shutil
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast
from uuid import UUID, uuid5

import duckdb
import yaml

from syndb_pipeline.config.settings import load_dataset
from syndb_pipeline.contract.key_encoding import rows_of
from syndb_pipeline.destinations import Settings
from syndb_pipeline.rules.finding import Finding
from syndb_pipeline.stages import ingest
from syndb_pipeline.stages.package import Manifest, as_sent
from syndb_pipeline.stages.runner import run_stage, run_through
from syndb_pipeline.state.results import IngestDetails
from syndb_pipeline.state.row_locations import SourceMap
from syndb_pipeline.state.stage import Context
from syndb_pipeline.state.store import Record, Rows

DATASET = UUID("01939c0e-7b1a-7c3e-9f53-6f0c6b1d2a11")
METADATA: dict[str, Any] = {
    "id": str(DATASET),
    "label": "test",
    "animal": "MUS_MUSCULUS",
    "microscopy": "ssTEM",
    "brain_regions": [{"structure": "septum"}],
}


def uid(table: str, key: str) -> UUID:
    """What the row `key` of `table` is called in SynDB, by Python's own uuid5."""
    return uuid5(DATASET, f"{table}/{key}")


def csv(header: str, *rows: str) -> str:
    """The text of a csv file."""
    return "\n".join([header, *rows]) + "\n"


def run_stages(context: Context, last: str = "check_integrity") -> dict[str, Record]:
    """Run the stages up to `last` as every command does; the records by stage, in their order."""
    with context.store.lock():
        return {record.stage: record for record in run_through(context, last)}


class Lab:
    """A dataset in `folder`: `tables` gives the csv text of each SynDB table; `settings` what the
    YAML says of a table beside its file.
    """

    def __init__(
        self,
        folder: Path,
        tables: Mapping[str, str | None],
        settings: Mapping[str, Mapping[str, Any]] | None = None,
        *,
        threads: int = 1,
        state: Path | None = None,
        **config: Any,
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.limits = Settings(
            state=state or folder / ".state", memory_limit="1GB", threads=threads
        )
        self.config: dict[str, Any] = {
            "dataset": METADATA,
            "tables": {
                name: {"file": f"{name}.csv"} | dict((settings or {}).get(name, {}))
                for name in tables
            },
            **config,
        }
        for name, content in tables.items():
            if content is not None:  # None: the file is written otherwise, or missing on purpose
                self.write(name, content)

    @classmethod
    def of_files(cls, folder: Path, tables: Mapping[str, Any], **config: Any) -> Lab:
        """A lab of files that are in `folder`: by table what the YAML says of it, or the name of
        its file. Keys in `dataset` are added to `METADATA`.
        """
        config["dataset"] = METADATA | config.get("dataset", {})
        described = {
            name: {"file": each} if isinstance(each, str) else each for name, each in tables.items()
        }
        return cls(folder, dict.fromkeys(tables), described, **config)

    def copied(self, folder: Path) -> Lab:
        """The same lab in another folder, with all that its stages left."""
        shutil.copytree(self.folder, folder, dirs_exist_ok=True)
        other = Lab(folder, {}, threads=self.limits.threads)
        other.config = deepcopy(self.config)
        return other

    def write(self, table: str, content: str) -> None:
        (self.folder / f"{table}.csv").write_text(content, encoding="utf-8")

    @property
    def context(self) -> Context:
        path = self.folder / "dataset.yaml"
        path.write_text(yaml.safe_dump(self.config, allow_unicode=True), encoding="utf-8")
        return Context(load_dataset(path), self.limits)

    def run(self, last: str = "check_integrity") -> dict[str, Record]:
        """Run the stages up to `last` as every command does; the records by stage."""
        return run_stages(self.context, last)

    def run_one(self, stage: str, *, force: bool = False) -> Record:
        context = self.context
        with context.store.lock():
            return run_stage(context, stage, force=force)

    def check(self) -> Checked:
        return Checked(self, self.run())

    def ingest(self) -> Ingested:
        """Run ingest alone, into a folder of its own, and check what holds for every run: rows are
        conserved and every row has a source.
        """
        context = self.context
        out = context.store.scratch / f"out{len(list(context.store.scratch.glob('out*')))}"
        out.mkdir(parents=True)
        inputs = ingest.inputs(context)
        result = ingest.run(context, out)
        assert inputs == ingest.inputs(context)
        done = Ingested(
            context, out, result.findings, result.tables, cast(IngestDetails, result.details)
        )
        for name, rows in result.tables.items():
            assert rows.read == rows.passed + rows.rejected
            if done.has(name):
                assert len(done.rows(name)) == rows.passed
                assert sum(source.rows for source in done.sources.tables[name]) == rows.passed
        return done

    def query(self, sql: str, **files: str) -> list[tuple[Any, ...]]:
        """Rows of `sql`, whose names in braces are files below the dataset's state, e.g.
        ids="assign_ids/ids/axon.parquet".
        """
        home = self.context.store.folder
        return duckdb.sql(
            sql.format(**{name: f"'{home / file}'" for name, file in files.items()})
        ).fetchall()

    def ids(self, table: str) -> list[tuple[str | None, UUID | None]]:
        """Key, as text, and UUID of each row of `table`, in the file's order."""
        return [
            (key, cid)
            for key, cid in self.query(
                "SELECT key::VARCHAR, cid FROM {f}", f=f"assign_ids/ids/{table}.parquet"
            )
        ]

    def related(self, table: str, *columns: str) -> list[Any]:
        """What `columns` of each row resolved to, in the file's order; bare values for one
        column.
        """
        found = self.query(
            f"SELECT {', '.join(columns)} FROM {{f}}", f=f"join_relations/relations/{table}.parquet"
        )
        return [row[0] for row in found] if len(columns) == 1 else found

    @property
    def package(self) -> Path:
        return self.context.store.stage("package")

    @property
    def tar(self) -> bytes:
        """The tar as it is sent."""
        manifest = Manifest.read(self.package)
        with as_sent(self.package, manifest.tar, manifest.tables).open() as tar:
            return tar.read()

    def packaged(self, table: str) -> Path:
        """The packaged Parquet of `table`."""
        return self.package / "tables" / f"{table}.parquet"


class Findings:
    """What was found, with short ways to look at it."""

    findings: list[Finding]

    @property
    def codes(self) -> list[str]:
        return [finding.code for finding in self.findings]

    def all(self, code: str) -> list[Finding]:
        return [finding for finding in self.findings if finding.code == code]

    def finding(self, code: str) -> Finding:
        (found,) = self.all(code)
        return found


@dataclass
class Ingested(Findings):
    """What one run of ingest left, with short ways to look at it."""

    context: Context
    folder: Path
    findings: list[Finding]
    tables: dict[str, Rows]
    details: IngestDetails

    def has(self, table: str) -> bool:
        return (self.folder / "tables" / f"{table}.parquet").is_file()

    def rows(self, table: str, *columns: str) -> list[tuple[Any, ...]]:
        """The table's rows, keys as text, all columns but `_cells` unless some are named."""
        chosen = ", ".join(columns) if columns else "* EXCLUDE (_cells)"
        return duckdb.sql(
            f"SELECT {chosen} FROM {rows_of(self.folder / 'tables' / f'{table}.parquet')}"
        ).fetchall()

    def types(self, table: str) -> dict[str, str]:
        described = duckdb.sql(
            f"DESCRIBE SELECT * EXCLUDE (_cells) FROM '{self.folder / 'tables' / table}.parquet'"
        ).fetchall()
        return {name: kind for name, kind, *_ in described}

    def cells(self) -> list[tuple[str, int, str, str, str]]:
        return duckdb.sql(
            f"SELECT tbl, row_number, col, raw, kind FROM '{self.folder / 'cells.parquet'}'"
        ).fetchall()

    @property
    def sources(self) -> SourceMap:
        return SourceMap.read(self.folder)

    def line(self, table: str, row: int) -> int | None:
        return self.sources.example(table, row).row


class Checked(Findings):
    """A dataset after all its checks, with short ways to look at the outcome."""

    def __init__(self, lab: Lab, records: dict[str, Record]) -> None:
        self.lab = lab
        self.records = records
        self.sealed = records["check_integrity"]
        self.findings = self.sealed.findings
        for rows in self.sealed.tables.values():
            assert rows.read == rows.passed + rows.rejected
            assert min(rows.passed, rows.rejected, rows.published) >= 0

    @property
    def verdict(self) -> str:
        return str(self.sealed.details.verdict)

    @property
    def codes(self) -> list[str]:
        return sorted(finding.code for finding in self.findings)

    @property
    def faults(self) -> list[str]:
        """Codes of errors and warnings, sorted; hints are beside the point of most tests."""
        return sorted(
            finding.code for finding in self.findings if finding.severity in ("error", "warning")
        )

    def rows(self, table: str) -> Rows:
        return self.sealed.tables[table]


def ingest_folder(folder: Path, tables: Mapping[str, Any], **config: Any) -> Ingested:
    """Ingest files that are in `folder`, see `Lab.of_files`."""
    return Lab.of_files(folder, tables, **config).ingest()


def ingest_text(
    folder: Path, content: bytes | str, name: str = "v.csv", table: str = "vesicle", **config: Any
) -> Ingested:
    """Ingest one file of `table` with this content, packed where its name ends in .gz."""
    content = content.encode() if isinstance(content, str) else content
    (folder / name).write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
    return ingest_folder(folder, {table: {"file": name, **config}})


def context_for(folder: Path, tables: Mapping[str, Any], **config: Any) -> Context:
    """The context of files that are in `folder`, see `Lab.of_files`."""
    return Lab.of_files(folder, tables, **config).context


def settings_line(cure: str) -> tuple[list[str], Any]:
    """The first line of YAML that a cure offers between backquotes, e.g. `tables.vesicle.parent:
    axon`, as path and value.
    """
    line = cure.split("`")[1]
    path, value = line.split(": ", 1)
    return path.split("."), yaml.safe_load(value)


def paste(lab: Lab, cure: str) -> None:
    """Do what a person does who pastes the cure's line into the YAML."""
    path, value = settings_line(cure)
    place = lab.config
    for key in path[:-1]:
        place = place.setdefault(key, {})
    place[path[-1]] = value
