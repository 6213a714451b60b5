"""The same inputs give the same UUIDs, and the same files the same tar, whoever prepares them,
where, when and how fast.

Belongs here: comparing whole runs with each other. Does not: what any one run must give.
"""

from __future__ import annotations

import os
import shutil
import tarfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID, uuid5

import duckdb
import pytest

from benchmarks.generate import DATASET, FIRST_NEURON, SHARE, write_dataset
from syndb_pipeline.base.engine import parquet
from syndb_pipeline.base.tar_stream import TarPayload
from syndb_pipeline.stages.package import Manifest, as_sent
from syndb_pipeline.stages.runner import STAGES
from syndb_pipeline.state.store import DatasetStore
from tests.command_line import Lab, Published

ROWS = 3_000
MANY_ROWS = 250_000
"""More than two row groups of Parquet, so that two threads have something to share."""

CONFIG = "benchmark.yaml"


def tar_in(lab: Lab) -> TarPayload:
    """The tar of the dataset that the lab prepared."""
    package = DatasetStore(lab.folder / "state", DATASET).stage("package")
    manifest = Manifest.read(package)
    return as_sent(package, manifest.tar, manifest.tables)


@dataclass(frozen=True)
class Prepared:
    """What a run left: the digest of the tar, the chain, and the plan a person would approve."""

    lab: Lab
    tar: str
    chain: dict[str, str]
    plan: str

    def package(self, folder: Path) -> Published:
        """The tables as they are sent, taken out of their tar into `folder`."""
        with tar_in(self.lab).open() as file, tarfile.open(fileobj=file, mode="r|") as tar:
            tar.extractall(folder, filter="data")
        return Published({path.stem: path for path in folder.rglob("*.parquet")})

    def ids(self) -> dict[str, dict[str, UUID]]:
        """Table -> the lab's key -> UUID."""
        folder = DatasetStore(self.lab.folder / "state", DATASET).stage("assign_ids") / "ids"
        with duckdb.connect() as connection:
            return {
                path.stem: dict(
                    connection.execute(f"SELECT key::VARCHAR, cid FROM {parquet(path)}").fetchall()
                )
                for path in sorted(folder.glob("*.parquet"))
            }


def prepare(lab: Lab, *command: str, **environment: str) -> Prepared:
    """Prepare the lab's dataset by `command` and read what it left."""
    if command:
        ran = lab.run(command[0], CONFIG, *command[1:])
        assert ran.code == 0, ran.err
    planned = (lab.program if environment else lab.run)("plan", CONFIG, "--json", **environment)
    assert planned.code == 0, planned.err
    store = DatasetStore(lab.folder / "state", DATASET)
    records = {stage: store.record(stage) for stage in STAGES}
    return Prepared(
        lab,
        tar_in(lab).sha256,
        {stage: record.digest for stage, record in records.items() if record is not None},
        planned.report["digest"],
    )


def written(folder: Path, rows: int, file_format: str = "csv", **limits: Any) -> Lab:
    lab = Lab(folder, **limits)
    write_dataset(folder, rows, file_format, memory_limit=1_000_000_000, threads=2)
    return lab


def all_rows(tables: Published) -> dict[str, list[tuple[Any, ...]]]:
    """Every published row, columns by name, rows in the order of their keys."""
    return {
        table: tables.rows(
            f"SELECT {', '.join(sorted(name for name, *_ in tables.rows(f'DESCRIBE {table}')))}"
            f" FROM {table} ORDER BY cid"
        )
        for table in sorted(tables.files)
    }


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    """The dataset as csv, prepared by the command line."""
    return prepare(written(tmp_path_factory.mktemp("first") / "lab", ROWS))


def copied(first: Prepared, folder: Path) -> Lab:
    """The same files in another folder."""
    lab = Lab(folder)
    for file in first.lab.folder.iterdir():
        if file.suffix == ".csv" or file.name == CONFIG:
            shutil.copy(file, folder)
    return lab


def test_uuids_are_those_of_python(first: Prepared) -> None:
    ids = first.ids()

    assert set(ids) == set(SHARE)
    assert sum(map(len, ids.values())) == sum(max(1, ROWS // share) for share in SHARE.values())
    for table, known in ids.items():
        assert all(cid == uuid5(DATASET, f"{table}/{key}") for key, cid in known.items())
    assert str(FIRST_NEURON) in ids["neuron"], "a key beyond 2^53 keeps its digits"


def test_the_command_line_and_dagster_pack_the_same_tar(first: Prepared, tmp_path: Path) -> None:
    by_dagster = prepare(copied(first, tmp_path / "lab"), "run", "--no-publish")

    assert by_dagster.ids() == first.ids()
    assert by_dagster.tar == first.tar
    assert by_dagster.chain == first.chain
    assert by_dagster.plan == first.plan


def test_another_folder_another_time_another_place(first: Prepared, tmp_path: Path) -> None:
    lab = copied(
        first,
        tmp_path
        / "a folder with blanks"
        / "and [brackets]"
        / "cid=5"
        / "voxel_volume=0.9"
        / "run=1",
    )
    for file in lab.folder.glob("*.csv"):
        os.utime(file, (946_684_800, 946_684_800))  # the year 2000
    later = prepare(lab, TZ="Pacific/Auckland", LC_ALL="C", PYTHONHASHSEED="7")

    assert later.ids() == first.ids()
    assert later.tar == first.tar
    assert later.chain == first.chain
    assert later.plan == first.plan


def test_parquet_gives_the_uuids_and_rows_of_csv(first: Prepared, tmp_path: Path) -> None:
    # As partitioned exports are called: DuckDB by itself takes such folders for columns, in place
    # of the file's own.
    from_parquet = prepare(written(tmp_path / "cid=5" / "parent_id=2" / "mat=783", ROWS, "parquet"))

    assert from_parquet.ids() == first.ids()
    assert all_rows(from_parquet.package(tmp_path / "one")) == all_rows(
        first.package(tmp_path / "two")
    )


def test_shuffled_rows_keep_their_uuids_and_relations(first: Prepared, tmp_path: Path) -> None:
    lab = copied(first, tmp_path / "lab")
    for file in lab.folder.glob("*.csv"):
        header, *rows = file.read_text().splitlines()
        shuffled = sorted(rows, key=lambda row: hash(row[::-1]))
        file.write_text("\n".join([header, *shuffled]) + "\n")
        assert shuffled != rows or len(rows) == 1
    after = prepare(lab)

    assert after.tar != first.tar, "the rows of the package stand in the order of the lab's"
    assert after.ids() == first.ids()
    assert all_rows(after.package(tmp_path / "one")) == all_rows(first.package(tmp_path / "two"))


def test_columns_in_another_order_and_under_other_names_keep_their_uuids(
    first: Prepared, tmp_path: Path
) -> None:
    lab = copied(first, tmp_path / "lab")
    with duckdb.connect() as connection:
        source = f"read_csv('{first.lab.folder / 'vesicle.csv'}', all_varchar = true)"
        names = [name for name, *_ in connection.execute(f"DESCRIBE FROM {source}").fetchall()]
        columns = ", ".join(
            f"{name} AS {'lab_key' if name == 'cid' else name}" for name in reversed(names)
        )
        connection.execute(
            f"COPY (SELECT {columns} FROM {source}) TO '{lab.folder / 'vesicle.csv'}' (HEADER)"
        )
    config = lab.folder / CONFIG
    config.write_text(
        config.read_text().replace(
            "{file: vesicle.csv}", "{file: vesicle.csv, columns: {lab_key: cid}}"
        )
    )
    renamed = prepare(lab)

    assert renamed.ids() == first.ids()
    assert renamed.tar == first.tar


def test_threads_and_memory_change_nothing(tmp_path: Path) -> None:
    fast = prepare(written(tmp_path / "fast", MANY_ROWS, memory_limit="1500MB", threads=2))
    small = Lab(tmp_path / "small", memory_limit="500MB", threads=1)
    for file in fast.lab.folder.iterdir():
        if file.suffix == ".csv" or file.name == CONFIG:
            (small.folder / file.name).symlink_to(file)
    slow = prepare(small)

    assert slow.tar == fast.tar
    assert slow.chain == fast.chain
    assert slow.plan == fast.plan
