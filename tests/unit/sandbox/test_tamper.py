"""Changed tables: exactly the change that was asked for, in a node that still reads its dataset.

Belongs here: the hook on the folder of an embedded node. Does not: when it is called
(`test_faults.py`).
"""

from __future__ import annotations

import io
import tarfile
from pathlib import Path
from typing import Any
from uuid import UUID

import duckdb
import pytest

from syndb_pipeline.base.tar_stream import FilePayload
from syndb_pipeline.destinations.base import Metadata, Package
from syndb_pipeline.destinations.embedded.node import EmbeddedNode
from syndb_pipeline.sandbox.fault_script import parse_fault, tamper

DATASET = UUID("01939c0e-7b1a-7c3e-9f53-6f0c6b1d2a11")
METADATA = Metadata.model_validate(
    {
        "id": DATASET,
        "label": "Guide example",
        "notes": "",
        "data_license": 7,
        "license": "ODC_BY",
        "animal": 1,
        "animal_name": "DROSOPHILA_MELANOGASTER",
        "microscopy": "ssTEM",
        "brain_regions": ({"brain_structure": "A", "direction": "null"},),
        "syndb_tables": (4, 10),
    }
)
AXONS = "SELECT md5('axon' || i)::UUID AS cid, i::DOUBLE AS voxel_volume FROM range({rows}) t(i)"
VESICLES = (
    "SELECT md5('vesicle' || i)::UUID AS cid, md5('axon' || i)::UUID AS parent_id FROM range(3)"
    " t(i)"
)


class Lab:
    """A node with one dataset, and the hook on its folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.node = EmbeddedNode(
            "local", folder / "node", owner="ada", memory_limit=600_000_000, threads=1
        )
        self.node.register(METADATA)

    def upload(self, **tables: str) -> Package:
        tar = self.folder / f"{DATASET}.tar"
        with tarfile.open(tar, "w") as archive:
            for table, query in tables.items():
                made = self.folder / "made.parquet"
                duckdb.sql(f"COPY ({query}) TO '{made}' (FORMAT parquet)")
                info = tarfile.TarInfo(f"{table}.parquet")
                info.size = made.stat().st_size
                archive.addfile(info, io.BytesIO(made.read_bytes()))
        rows = {table: duckdb.sql(query).shape[0] for table, query in tables.items()}
        package = Package(tar=FilePayload.of(tar), rows=rows)
        self.node.upload(DATASET, package)
        return package

    def rows(self, table: str) -> list[tuple[Any, ...]]:
        return duckdb.sql(f"FROM '{self.node.table_files(DATASET)[table]}'").fetchall()

    def counts(self) -> tuple[dict[str, int], int]:
        info = self.node.info(DATASET)
        assert info is not None
        return info.rows, info.number_of_units

    def tamper(self, kind: str, table: str = "", counts: str = "sent") -> bool:
        text = f"{kind}@upload,counts={counts}" + (f",table={table}" if table else "")
        limits = {"memory_limit": 600_000_000, "threads": 1}
        return tamper(self.folder / "node", DATASET, parse_fault(text), **limits)


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    return Lab(tmp_path)


def test_one_row_is_lost_doubled_or_altered_and_the_others_stay(lab: Lab) -> None:
    for kind, found, missing in (("lose-row", 49, 1), ("double-row", 51, 0), ("alter-row", 50, 1)):
        package = lab.upload(axon=AXONS.format(rows=50), vesicle=VESICLES)
        before, vesicles, counts = lab.rows("axon"), lab.rows("vesicle"), lab.counts()
        assert lab.tamper(kind)
        kept, last = before[:-1], before[-1]
        after = {"lose-row": [], "double-row": [last, last], "alter-row": [(last[0], 24.5)]}
        assert lab.rows("axon") == [*kept, *after[kind]]
        assert lab.rows("vesicle") == vesicles
        assert lab.counts() == counts, "the server goes on giving what it was sent"
        checks = [(each.found, each.missing) for each in lab.node.compare(DATASET, package)]
        assert checks == [(found, missing), (3, 0)]
        lab.node.delete(DATASET)
        lab.node.register(METADATA)


def test_the_counts_can_follow_what_is_stored(lab: Lab) -> None:
    lab.upload(axon=AXONS.format(rows=50), vesicle=VESICLES)
    assert lab.tamper("lose-row", counts="stored")
    assert lab.counts() == ({"axon": 49, "vesicle": 3}, 52)
    assert lab.tamper("double-row", "vesicle", "stored")
    assert lab.counts() == ({"axon": 49, "vesicle": 4}, 53)


def test_truncating_keeps_the_last_thousand_rows(lab: Lab) -> None:
    lab.upload(axon=AXONS.format(rows=2500), vesicle=VESICLES)
    before = lab.rows("axon")
    assert lab.tamper("truncate")
    assert lab.rows("axon") == before[-1000:]
    assert lab.counts() == ({"axon": 2500, "vesicle": 3}, 2503)
    assert not lab.tamper("truncate", "axon"), "a thousand rows are not cut"
    assert not lab.tamper("truncate", "vesicle")


@pytest.mark.parametrize(
    ("values", "altered"),
    [
        ("7::INTEGER AS terminal_count", 6),
        ("(-2147483648)::INTEGER AS terminal_count", -2147483647),
        ("0::DOUBLE AS voxel_volume", 1.0),
        ("1e15::DOUBLE AS voxel_volume", 5e14),
        ("NULL::DOUBLE AS voxel_volume, 3::INTEGER AS terminal_count", 2),
        ("'gaba' AS neurotransmitter", "gabax"),
        ("md5('p')::UUID AS parent_id", None),
    ],
)
def test_every_kind_of_value_is_altered(lab: Lab, values: str, altered: Any) -> None:
    table = "vesicle" if isinstance(altered, str) else "axon"
    lab.upload(**{table: f"SELECT md5('a')::UUID AS cid, {values}"})
    [before] = lab.rows(table)
    assert lab.tamper("alter-row", table)
    [after] = lab.rows(table)
    assert after[0] == before[0] and after[-1] != before[-1]
    assert altered in (None, after[-1])


def test_a_table_of_keys_alone_has_a_key_altered(lab: Lab) -> None:
    lab.upload(axon="SELECT md5('a' || i)::UUID AS cid FROM range(2) t(i)")
    first, second = lab.rows("axon")
    assert lab.tamper("alter-row")
    now = lab.rows("axon")
    assert now[0] == first and now[1] != second


@pytest.mark.parametrize("fault", ["lose-row", "double-row", "alter-row", "truncate"])
def test_where_there_is_no_row_nothing_changes(lab: Lab, fault: str) -> None:
    assert not lab.tamper(fault)
    lab.upload(axon=AXONS.format(rows=0))
    assert not lab.tamper(fault)
    assert not lab.tamper(fault, "vesicle")
    assert lab.counts() == ({"axon": 0}, 0)


def test_a_changed_dataset_takes_uploads_and_deletion_as_before_and_leaves_no_file(
    lab: Lab,
) -> None:
    lab.upload(axon=AXONS.format(rows=50))
    assert lab.tamper("lose-row")
    lab.upload(axon=AXONS.format(rows=60))
    assert len(lab.rows("axon")) == 60
    folder = lab.folder / "node" / "datasets" / str(DATASET)
    lab.node.delete(DATASET)
    assert sorted(path.name for path in folder.iterdir()) == ["dataset.json"]
    assert not lab.tamper("lose-row"), "a deleted dataset has no tables"
