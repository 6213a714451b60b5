"""package: one Parquet for each table, as SynDB publishes it; and a manifest of them and of the tar
in which they are sent.

Belongs here: the wire form of the tables, and the manifest's model, which publishing reads. Does
not: sending it (`publish`), manifests in the forms of others (`manifests/`).
"""

from __future__ import annotations

import json
import os
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Literal
from uuid import UUID

import duckdb
from pydantic import BaseModel, ConfigDict, Field

from syndb_pipeline.base.digests import adopt, digest_file, digest_of
from syndb_pipeline.base.engine import parquet, quote, side_by_side, write_parquet
from syndb_pipeline.base.errors import DataRejected, PipelineError
from syndb_pipeline.base.tar_stream import FilePayload, TarPayload
from syndb_pipeline.checks.units.mesh_and_skeleton_files import files_meant, folders_of
from syndb_pipeline.config.description import Description
from syndb_pipeline.config.settings import DatasetConfig
from syndb_pipeline.contract.metadata import COLUMN, FileKind, Metadata, Mutation, Region
from syndb_pipeline.contract.tables import TABLES, Kind, Table, ordered
from syndb_pipeline.contract.vocabularies import ANIMALS, LICENSES
from syndb_pipeline.manifests import render
from syndb_pipeline.manifests.described import Described, TableFile
from syndb_pipeline.quarantine.rows import FOLDER, quarantined_files, require_no_dangling
from syndb_pipeline.stages.check_integrity import ACCEPTED
from syndb_pipeline.state.progress import Meter
from syndb_pipeline.state.results import PackageDetails, PackagedTable, PackagedTar, RowsSetAside
from syndb_pipeline.state.stage import Context, Result, Stage
from syndb_pipeline.state.store import write_atomically
from syndb_pipeline.state.tables import columns_of, ingested, rows_read, written

MANIFEST: Final = "manifest.json"
TABLES_FOLDER: Final = "tables"


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True)


class PackagedFile(_Frozen):
    """A mesh or skeleton that goes with a row; `path` relative to the dataset's config."""

    kind: FileKind
    table: str
    cid: UUID
    path: str
    sha256: str
    bytes: int


class Packed(_Frozen):
    """What would be sent, and what it was made from."""

    tables: dict[str, PackagedTable]
    tar: PackagedTar
    files: tuple[PackagedFile, ...] = ()
    set_aside: dict[str, RowsSetAside] = {}
    terms: dict[str, Any] | None
    description: Description | None = Field(default=None, exclude_if=lambda given: given is None)
    chain: dict[str, str]
    versions: dict[str, str]


class Manifest(Packed):
    """What the package stage made."""

    manifest_version: Literal[2] = 2
    set_aside: dict[str, RowsSetAside] = Field(default={}, exclude_if=lambda found: not found)
    dataset: Metadata
    verdict: str

    @classmethod
    def read(cls, folder: Path) -> Manifest:
        """The manifest in the package stage's folder."""
        return cls.model_validate_json((folder / MANIFEST).read_text(encoding="utf-8"))

    def write(self, folder: Path) -> None:
        """Keep it there. Equal manifests have equal bytes."""
        content = self.model_dump(mode="json")
        text = json.dumps(content, indent=1, ensure_ascii=False, sort_keys=True)
        write_atomically(folder / MANIFEST, text + "\n")


def as_sent(package: Path, tar: PackagedTar, tables: Mapping[str, PackagedTable]) -> TarPayload:
    """The tar of the tables in the package stage's folder."""
    members = (
        FilePayload(
            package / TABLES_FOLDER / f"{name}.parquet", tables[name].bytes, tables[name].sha256
        )
        for name in ordered(tables)
    )
    return TarPayload(tar.name, tuple(members))


def describe(packed: Packed, metadata: Metadata, inputs: Mapping[str, str]) -> Described:
    """What manifests say of what is packed; `inputs` are those of ingest."""
    return Described(
        metadata=metadata,
        terms=packed.terms,
        chain=packed.chain,
        inputs={**inputs},
        versions=packed.versions,
        quarantined=packed.set_aside,
        more=packed.description or Description(),
    )


def run(context: Context, folder: Path) -> Result:
    """Write `tables/<table>.parquet`, `manifest.json` and the manifests for others. Equal inputs,
    config and versions give equal bytes on any machine.

    Raises `DataRejected` when the verdict is not "accepted", and `PipelineError` when anything the
    verdict rests on was changed since.
    """
    _require_verdict(context)
    tables = ingested(context)
    (folder / TABLES_FOLDER).mkdir()
    made_from = {name: _made_from(context, name) for name in tables}
    amounts = rows_read(context)
    meter = Meter("package", amounts, "rows", context.watch, reach=30)

    def pack(connection: duckdb.DuckDBPyConnection, name: str) -> tuple[int, FilePayload]:
        with meter.table(name, connection):
            return _pack(context, connection, folder, name, made_from[name])

    with context.duckdb() as connection, meter:
        # Rows put side by side come through one thread. The largest table first, so that the
        # threads end together.
        names = sorted(tables, key=lambda name: -amounts[name])
        packed = dict(
            zip(names, side_by_side(connection, pack, names, context.settings.threads), strict=True)
        )
    rows = {name: packed[name][0] for name in tables}
    members = {name: packed[name][1] for name in tables}
    tar = TarPayload(f"{context.dataset}.tar", tuple(members.values()))
    _require_conserved(context, rows)
    if quarantined_files(context):
        require_no_dangling(context, folder / TABLES_FOLDER, list(tables))
    beside = _files(context, tables)
    verdict = context.verdict
    manifest = Manifest(
        dataset=dataset_metadata(context.config, tables),
        tables={
            name: PackagedTable(rows=rows[name], sha256=member.sha256, bytes=member.bytes)
            for name, member in members.items()
        },
        tar=PackagedTar(name=tar.name, bytes=tar.bytes),
        files=tuple(beside),
        set_aside=verdict.details.set_aside,
        terms=_terms(context.config),
        description=_description(context.config),
        verdict=ACCEPTED,
        chain=verdict.details.chain | {"check_integrity": verdict.digest},
        versions=verdict.versions,
    )
    manifest.write(folder)
    described = describe(manifest, manifest.dataset, context.ingested.inputs)
    files = [
        TableFile.of(
            name, member.path, f"{TABLES_FOLDER}/{name}.parquet", member.sha256, rows[name]
        )
        for name, member in members.items()
    ]
    for file, text in render(described, files).items():
        write_atomically(folder / file, text)
    details = PackageDetails(
        tables=manifest.tables, tar=manifest.tar, files=len(beside), made_from=made_from
    )
    return Result(tables=verdict.tables, details=details)


def _pack(
    context: Context,
    connection: duckdb.DuckDBPyConnection,
    folder: Path,
    table: str,
    made_from: str,
) -> tuple[int, FilePayload]:
    """Write a table, or take over what the last run left of it. Returns the number of its rows, and
    its file.
    """
    file = f"{TABLES_FOLDER}/{table}.parquet"
    path = folder / file
    if context.former and context.former.holds(table, made_from, file):
        context.former.take_over(file, folder)
        rows = context.former.details(PackageDetails).tables[table].rows
    else:
        rows = write_parquet(
            connection, _select(context, connection, TABLES[table]), path, published=True
        )
        adopt(path, digest_file(path), just_written=True)
    return rows, FilePayload.of(path)


def _made_from(context: Context, table: str) -> str:
    """Digest of all that a table's part of the package is made from."""
    stages = {
        "ingest": "tables",
        "assign_ids": "ids",
        "join_relations": "relations",
        "check_integrity": FOLDER,
    }
    outputs = {
        stage: context.upstream(stage).outputs.get(f"{kind}/{table}.parquet")
        for stage, kind in stages.items()
    }
    digests_of = {stage: output.sha256 if output else None for stage, output in outputs.items()}
    return digest_of([digests_of, context.config.tables[table].combine])


def dataset_metadata(config: DatasetConfig, tables: Iterable[str]) -> Metadata:
    """The dataset's metadata under SynDB's names."""
    dataset = config.dataset
    return Metadata(
        id=dataset.id,
        label=dataset.label,
        notes=dataset.notes,
        data_license=LICENSES[dataset.license],
        license=dataset.license,
        animal=ANIMALS[dataset.animal],
        animal_name=dataset.animal,
        microscopy=dataset.microscopy,
        brain_regions=tuple(
            Region(brain_structure=region.structure, direction=region.direction)
            for region in dataset.brain_regions
        ),
        mutations=tuple(Mutation(**dict(mutation)) for mutation in dataset.mutations),
        publication_dois=tuple(dataset.publications),
        authorized_group_names=tuple(dataset.groups),
        dataset_collection_names=tuple(dataset.collections),
        syndb_tables=tuple(TABLES[name].code for name in tables),
    )


def _terms(config: DatasetConfig) -> dict[str, Any] | None:
    return config.terms.model_dump(mode="json") if config.terms else None


def _description(config: DatasetConfig) -> Description | None:
    return config.description if config.description != Description() else None


def _require_verdict(context: Context) -> None:
    sealed = context.verdict
    if not sealed.details.accepted:
        raise DataRejected(
            f"Dataset {context.config.name} was rejected: {len(sealed.errors)} kinds of errors.",
            next_step=f"See them with: syndb-pipeline check {context.config.path}",
        )
    for stage, digest in (sealed.details.chain | {sealed.stage: sealed.digest}).items():
        record = context.upstream(stage)
        changed = context.store.mismatches(record)
        if record.digest != digest or changed:
            raise PipelineError(
                f"What {stage} wrote is not what the verdict was given"
                f" for{': ' + ', '.join(changed) if changed else ''}.",
                next_step=f"Run the checks again: syndb-pipeline check {context.config.path}",
            )


def _require_conserved(context: Context, rows: Mapping[str, int]) -> None:
    """Raise `PipelineError` unless every table has exactly the rows that the verdict was given
    for.
    """
    sealed = context.verdict.tables
    unlike = [
        f"{name}: {count:,} of {sealed[name].published:,}"
        for name, count in rows.items()
        if count != sealed[name].published
    ]
    if unlike:
        raise PipelineError(
            f"The package would not hold the rows that were accepted: {', '.join(unlike)}.",
            next_step="Please report this; nothing was packaged.",
        )


def _select(context: Context, connection: duckdb.DuckDBPyConnection, table: Table) -> str:
    """The query for a table's published columns, in the contract's order and in the order of the
    lab's rows.
    """
    path = ingested(context)[table.name]
    given = context.ingested.details.tables[table.name].columns
    relations = written(context, "join_relations", "relations").get(table.name)
    resolved = columns_of(relations) if relations else []
    columns = []
    for name, wire in table.published.items():
        kind = table.columns[name].kind
        if kind is Kind.KEY:
            columns.append(f"i.cid AS {quote(name)}")
        elif name in ("parent_enum", "neuron_id") or kind is Kind.REFERENCE:
            if name in resolved and (
                name != "neuron_id" or "parent_id" in resolved or "neuron_id" in given
            ):
                columns.append(f"r.{quote(name)}")
        elif name in given:
            value = f"lower(t.{quote(name)})" if kind is Kind.TEXT else f"t.{quote(name)}"
            columns.append(f"{value}::{wire} AS {quote(name)}")
    aside = quarantined_files(context).get(table.name)
    ids = written(context, "assign_ids", "ids")[table.name]
    source = f"{parquet(path, row_number=aside is not None)} t POSITIONAL JOIN {parquet(ids)} i"
    if relations:
        source += f" POSITIONAL JOIN {parquet(relations)} r"
    number, order = "row_number() OVER ()", ""
    if aside:
        # Leaving rows out is a join to DuckDB, after which rows are in any order.
        number, order = "t.file_row_number", " ORDER BY t.file_row_number"
        source += f" WHERE t.file_row_number NOT IN (SELECT row_number FROM {parquet(aside)})"
    combine = context.config.tables[table.name].combine
    if combine:
        return _combined(
            f"SELECT {number} AS n, {', '.join(columns)} FROM {source}", table, combine, given
        )
    return f"SELECT {', '.join(columns)} FROM {source}{order}"


def _combined(query: str, table: Table, combine: Mapping[str, str], given: Collection[str]) -> str:
    """One row for each pair, where its first row stood; `query` has the rows' numbers as n."""
    assert table.pair is not None
    pair = [quote(column) for column in table.pair]
    aggregates = []
    for name, wire in table.published.items():
        how = combine.get(name, "first")
        if how == "count":
            aggregates.append(f"count(*)::{wire} AS {quote(name)}")
        elif name in given and name not in table.pair:
            value = (
                f"arg_min({quote(name)}, n)"
                if how == "first"
                else f"{'avg' if how == 'mean' else how}({quote(name)} ORDER BY n)"
            )
            aggregates.append(f"{value} AS {quote(name)}")
    return (
        f"SELECT {', '.join([*pair, *aggregates])} FROM ({query}) GROUP BY {', '.join(pair)} ORDER"
        " BY min(n)"
    )


def _files(context: Context, tables: dict[str, Path]) -> list[PackagedFile]:
    """The meshes and skeletons that go with the rows, by the UUID of their row."""
    read = context.ingested.details.tables
    named_in = {name: sorted(set(COLUMN) & set(read[name].columns)) for name in tables}
    if not any(named_in.values()):
        return []
    files = []
    digests: dict[tuple[Path, ...], dict[str, tuple[str, str, int]]] = {}
    with context.duckdb() as connection:
        for name, path in tables.items():
            folders = folders_of(context.config, name)
            known = digests.setdefault(folders, {})
            ids = parquet(written(context, "assign_ids", "ids")[name])
            aside = quarantined_files(context).get(name)
            stays = (
                f"AND t.file_row_number NOT IN (SELECT row_number FROM {parquet(aside)})"
                if aside
                else ""
            )
            for column in named_in[name]:
                named = f"t.{quote(column)}"
                rows = connection.execute(
                    f"SELECT i.cid, {named} FROM"
                    f" {parquet(path, row_number=aside is not None)} t POSITIONAL JOIN {ids} i"
                    f" WHERE {named} IS NOT NULL"
                    f" {stays}{' ORDER BY t.file_row_number' if aside else ''}"
                ).fetchall()
                for cid, text in rows:
                    if text not in known:
                        known[text] = _digest(folders, text, name, column)
                    where, sha256, size = known[text]
                    files.append(
                        PackagedFile(
                            kind=COLUMN[column],
                            table=name,
                            cid=cid,
                            path=where,
                            sha256=sha256,
                            bytes=size,
                        )
                    )
    return files


def _digest(folders: Sequence[Path], text: str, table: str, column: str) -> tuple[str, str, int]:
    """The file that `text` means, relative to the config as `PackagedFile.path` is; its SHA-256 and
    bytes."""
    path = files_meant(folders, text)[0]
    home, *others = folders
    of_table = next((each for each in others if path == each / text and path != home / text), None)
    # What is behind a link and `..` is not to be shortened, so only the folder is made relative.
    where = f"{Path(os.path.relpath(of_table, home)).as_posix()}/{text}" if of_table else text
    try:
        return where, digest_file(path), path.stat().st_size
    except OSError as error:
        raise DataRejected(
            f"{text}, named in {column} of {table}, cannot be read: {error.strerror}.",
            next_step="Restore the file or correct the path.",
        ) from None


def _inputs(context: Context) -> dict[str, str]:
    tables = ingested(context)
    config = {
        "dataset": dataset_metadata(context.config, tables).model_dump(mode="json"),
        "terms": _terms(context.config),
        "combine": {name: table.combine for name, table in context.config.tables.items()},
    }
    if description := _description(context.config):
        config["description"] = description.model_dump(mode="json")
    inputs = {"config:dataset": digest_of(config)}
    read = context.ingested.details.tables
    if any(column in COLUMN for name in tables for column in read[name].columns):
        files = _files(context, tables)
        inputs["files"] = digest_of([file.model_dump(mode="json") for file in files])
    return inputs


STAGE = Stage(
    "package",
    run,
    _inputs,
    "check_integrity",
    "6",
    "Write the tables as SynDB takes them, with a manifest of what will be sent.",
)
