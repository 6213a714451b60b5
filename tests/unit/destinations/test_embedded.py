"""The embedded node: what it takes, what it refuses, and that no reader ever sees half of anything.

Belongs here: the node alone, with tars made by hand. Does not: plans and approvals
(`unit/publishing/test_publish.py`).
"""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import tarfile
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from uuid import UUID, uuid5

import duckdb
import pytest

from syndb_pipeline.base.digests import digest_file
from syndb_pipeline.base.engine import parquet
from syndb_pipeline.base.errors import DestinationRefused
from syndb_pipeline.base.tar_stream import FilePayload
from syndb_pipeline.destinations.base import Metadata, Package, StoredFiles, Upload
from syndb_pipeline.destinations.embedded.node import EmbeddedNode
from tests import rest_place

DATASET = UUID("01939c0e-7b1a-7c3e-9f53-6f0c6b1d2a11")
AXON, VESICLE = 4, 10


def metadata(**other: Any) -> Metadata:
    fixed: dict[str, Any] = {"id": DATASET, "label": "Guide", "syndb_tables": (AXON, VESICLE)}
    return rest_place.metadata(**fixed | other)


def node(folder: Path, owner: str = "ada") -> EmbeddedNode:
    return EmbeddedNode("local", folder / "node", owner=owner, memory_limit=600_000_000, threads=1)


def cid(table: str, key: int) -> UUID:
    return uuid5(DATASET, f"{table}/{key}")


class Sender:
    """A node with the dataset, and tars made by hand that are sent to it."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.node = folder, node(folder)
        self.node.register(metadata())

    def table(self, query: str) -> bytes:
        path = self.folder / "made.parquet"
        duckdb.sql(f"COPY ({query}) TO '{path}' (FORMAT parquet)")
        return path.read_bytes()

    def axons(self, rows: Mapping[int, float | None]) -> bytes:
        values = ", ".join(
            f"('{cid('axon', key)}'::UUID, {'NULL' if volume is None else volume}::DOUBLE)"
            for key, volume in rows.items()
        )
        return self.table(f"SELECT * FROM (VALUES {values}) t(cid, voxel_volume)")

    def tar(self, *, name: str = f"{DATASET}.tar", **members: bytes | str) -> Path:
        """A tar of tables, by name: their bytes, or the query of their rows."""
        whole = {
            f"{table}.parquet": self.table(content) if isinstance(content, str) else content
            for table, content in members.items()
        }
        return self.tar_of(whole, name)

    def tar_of(
        self, members: Mapping[str, bytes], name: str = f"{DATASET}.tar", **header: Any
    ) -> Path:
        path = self.folder / name
        with tarfile.open(path, "w") as archive:
            for member, content in members.items():
                info = tarfile.TarInfo(member)
                info.size = len(content)
                for key, value in header.items():
                    setattr(info, key, value)
                archive.addfile(info, io.BytesIO(content))
        return path

    def send(self, tar: Path, place: EmbeddedNode | None = None) -> Upload:
        return (place or self.node).upload(DATASET, as_package(tar))

    def refused(self, tar: Path, reason: str) -> None:
        """The tar is refused, and nothing of it stays."""
        with pytest.raises(DestinationRefused, match=reason):
            self.send(tar)
        info = self.node.info(DATASET)
        assert info is not None
        assert (info.rows, info.number_of_units, info.uploads) == ({}, 0, ())

    def rows(self, table: str = "axon", columns: str = "*") -> list[tuple[Any, ...]]:
        file = parquet(self.node.table_files(DATASET)[table])
        return duckdb.sql(f"SELECT {columns} FROM {file} ORDER BY 1").fetchall()


def as_package(tar: Path) -> Package:
    return Package(tar=FilePayload(tar, tar.stat().st_size, digest_file(tar)), rows={})


@pytest.fixture
def ada(tmp_path: Path) -> Sender:
    folder = tmp_path / "lab=x" / "voxel_volume=0.9"  # names that DuckDB takes for columns
    folder.mkdir(parents=True)
    return Sender(folder)


def test_an_upload_is_there_with_its_rows_owner_and_digest(ada: Sender) -> None:
    tar = ada.tar(axon=ada.axons({1: 5.0, 2: None}))
    upload = ada.send(tar)
    assert ada.send(tar) == upload, "the same tar again counts nothing twice"
    info = node(ada.folder).info(DATASET)
    assert info is not None
    assert (info.owner, info.rows, info.number_of_units) == ("ada", {"axon": 2}, 2)
    assert info.uploads == (upload,)
    assert (upload.tar_sha256, upload.rows) == (digest_file(tar), {"axon": 2})
    assert upload.bytes == tar.stat().st_size
    assert set(ada.rows()) == {(cid("axon", 1), 5.0), (cid("axon", 2), None)}


def test_rows_upsert_and_units_are_added_to(ada: Sender) -> None:
    ada.send(ada.tar(axon=ada.axons({1: 1.0, 2: 2.0})))
    ada.send(ada.tar(axon=ada.axons({2: 20.0, 3: 30.0})))
    info = ada.node.info(DATASET)
    assert info is not None
    assert (info.rows, info.number_of_units) == ({"axon": 3}, 4)
    assert dict(ada.rows()) == {
        cid("axon", key): value for key, value in ((1, 1.0), (2, 20.0), (3, 30.0))
    }


def test_an_upsert_of_other_columns_keeps_those_it_does_not_name(ada: Sender) -> None:
    ada.send(ada.tar(axon=ada.axons({1: 1.0, 2: 2.0})))
    ada.send(ada.tar(axon=f"SELECT '{cid('axon', 2)}'::UUID AS cid, 7::INTEGER AS terminal_count"))
    assert set(ada.rows(columns="cid, voxel_volume, terminal_count")) == {
        (cid("axon", 1), 1.0, None),
        (cid("axon", 2), 2.0, 7),
    }


def test_relations_upsert_by_their_pair(ada: Sender) -> None:
    pre, post = cid("neuron", 1), cid("neuron", 2)
    ends = f"'{pre}'::UUID AS pre_synapse_id, '{post}'::UUID AS post_synapse_id"
    for score in (1.0, 2.0):
        query = f"SELECT {ends}, {score}::DOUBLE AS connection_score"
        ada.send(ada.tar(neuron_relation=query))
    assert ada.rows("neuron_relation", "connection_score") == [(2.0,)]


@pytest.mark.parametrize(
    ("query", "reason"),
    [
        ("SELECT uuid() AS cid, 1 AS colour", "colour is not a column"),
        ("SELECT uuid() AS cid, uuid() AS dataset_id", "dataset_id is not a column"),
        ("SELECT uuid() AS cid, 'a.glb' AS mesh_path", "mesh_path is not a column"),
        ("SELECT 1.0::DOUBLE AS voxel_volume", "cid is missing"),
        ("SELECT uuid()::VARCHAR AS cid", "cid is VARCHAR, not UUID"),
        ("SELECT uuid() AS cid, 1 AS voxel_volume", "voxel_volume is INTEGER, not DOUBLE"),
        ("SELECT NULL::UUID AS cid", "1 rows have no cid"),
        (f"SELECT '{DATASET}'::UUID AS cid FROM range(2)", "is on several rows"),
    ],
)
def test_refuses_tables_that_syndb_would_refuse(ada: Sender, query: str, reason: str) -> None:
    ada.refused(ada.tar(axon=ada.axons({1: 1.0}), vesicle=query), reason)


@pytest.mark.parametrize(
    "name",
    [
        "../axon.parquet",
        "/axon.parquet",
        "sub/axon.parquet",
        "./axon.parquet",
        "Axon.parquet",
        "axon.parquet.exe",
        "cell.parquet",
        "axon.csv",
        "",
    ],
)
def test_refuses_members_of_other_names(ada: Sender, name: str) -> None:
    ada.refused(ada.tar_of({name: ada.axons({1: 1.0})}), "not the file of a SynDB table")
    assert not list(ada.folder.rglob("axon*.parquet"))


@pytest.mark.parametrize(
    "kind",
    [
        tarfile.SYMTYPE,
        tarfile.LNKTYPE,
        tarfile.CHRTYPE,
        tarfile.BLKTYPE,
        tarfile.FIFOTYPE,
        tarfile.DIRTYPE,
        tarfile.GNUTYPE_SPARSE,
    ],
)
def test_refuses_members_that_are_no_regular_files(ada: Sender, kind: bytes) -> None:
    tar = ada.tar_of({"axon.parquet": b""}, type=kind, linkname="/etc/passwd")
    ada.refused(tar, "no regular file")


def test_refuses_a_tar_that_is_damaged(ada: Sender) -> None:
    content = ada.axons({1: 1.0})
    tar = ada.tar(axon=content)
    whole = tar.read_bytes()
    tar.write_bytes(whole[: 512 + -(-len(content) // 512) * 512] + whole)
    ada.refused(tar, "twice")
    for size in (1, 100, 511, 512, 700):
        tar.write_bytes(whole[:size])
        ada.refused(tar, "part of it is missing|are left in the tar")
    header = tarfile.TarInfo("axon.parquet")
    header.size = 1 << 40
    tar.write_bytes(header.tobuf(tarfile.GNU_FORMAT) + bytes(4096))
    ada.refused(tar, "claims 1,099,511,627,776 bytes")


def test_takes_a_size_from_an_extended_header_and_nothing_else(ada: Sender) -> None:
    """A member above 8 GiB carries its size there; a small one with such a header shows that it is
    read."""
    content, tar = ada.axons({1: 1.0}), ada.folder / f"{DATASET}.tar"

    def padded(data: bytes) -> bytes:
        return data + bytes(-len(data) % 512)

    def with_header(record: bytes) -> Path:
        extended, member = tarfile.TarInfo("././@PaxHeader"), tarfile.TarInfo("axon.parquet")
        extended.type, extended.size = tarfile.XHDTYPE, len(record)
        pieces = extended.tobuf(), padded(record), member.tobuf(), padded(content), bytes(1024)
        tar.write_bytes(b"".join(pieces))
        return tar

    ada.refused(with_header(b"20 path=../evil.sh\n\n"), "extended header")
    ada.refused(with_header(b"99 size=1\n"), "extended header is damaged")
    record = f"size={len(content)}\n"
    tar = with_header(f"{len(record) + 3} {record}".encode())
    assert ada.send(tar).rows == {"axon": 1}


def test_takes_a_tar_as_pythons_tarfile_writes_it(ada: Sender) -> None:
    (ada.folder / "axon.parquet").write_bytes(ada.axons({1: 1.0}))
    os.utime(ada.folder / "axon.parquet", (1.5, 1.5))
    tar = ada.folder / f"{DATASET}.tar"
    with tarfile.open(tar, "w") as archive:
        archive.add(ada.folder / "axon.parquet", "axon.parquet")
    assert b"mtime=1.5" in tar.read_bytes()
    assert ada.send(tar).rows == {"axon": 1}


def test_refuses_what_is_no_parquet_or_broken_inside(ada: Sender) -> None:
    good = ada.table("SELECT uuid() AS cid, random() AS voxel_volume FROM range(5000)")
    broken = bytearray(good)
    broken[len(good) // 2 : len(good) // 2 + 400] = bytes(400)
    for content in (b"not parquet at all", good[:200], bytes(broken)):
        ada.refused(ada.tar(axon=content), r"Parquet|rows have no|several rows")


def test_refuses_bytes_of_another_digest_and_a_tar_of_another_name(ada: Sender) -> None:
    tar = ada.tar(axon=ada.axons({1: 1.0}))
    announced = as_package(tar)
    flipped = bytearray(tar.read_bytes())
    flipped[-1] ^= 1
    tar.write_bytes(flipped)
    with pytest.raises(DestinationRefused, match="digest"):
        ada.node.upload(DATASET, announced)
    other = ada.tar(name="other.tar", axon=ada.axons({1: 1.0}))
    ada.refused(other, "must hold the dataset's id")


def refuse_everything(acts: list[Callable[[], object]], match: str) -> None:
    for act in acts:
        with pytest.raises(DestinationRefused, match=match):
            act()


def test_an_unknown_dataset_is_refused_everywhere(tmp_path: Path, ada: Sender) -> None:
    place, tar = node(tmp_path), ada.tar(axon=ada.axons({1: 1.0}))
    refuse_everything(
        [
            lambda: ada.send(tar, place),
            lambda: place.compare(DATASET, as_package(tar)),
            lambda: place.put_file(DATASET, "mesh", DATASET, tar, digest_file(tar)),
            lambda: place.files(DATASET),
            lambda: place.table_files(DATASET),
            lambda: place.delete(DATASET),
        ],
        "There is no dataset",
    )
    assert (place.info(DATASET), place.deletions(DATASET), place.owned()) == (None, (), [])


def test_another_owners_dataset_stays_as_it_is(ada: Sender) -> None:
    mallory, tar = node(ada.folder, "mallory"), ada.tar(axon=ada.axons({1: 1.0}))
    refuse_everything(
        [
            lambda: mallory.register(metadata()),
            lambda: ada.send(tar, mallory),
            lambda: mallory.put_file(DATASET, "mesh", DATASET, tar, digest_file(tar)),
            lambda: mallory.delete(DATASET),
        ],
        "belongs to ada; you are mallory",
    )
    assert mallory.owned() == []
    info = ada.node.info(DATASET)
    assert info is not None and info.rows == {} and info.owner == "ada"


def test_registering_again_selects_the_same_and_refuses_other_metadata(ada: Sender) -> None:
    first = ada.node.info(DATASET)
    assert ada.node.register(metadata(syndb_tables=(AXON,))) == first
    with pytest.raises(DestinationRefused, match="label: here 'Renamed', there 'Guide'"):
        ada.node.register(metadata(label="Renamed"))


def test_incomplete_lists_what_lacks_tables(ada: Sender) -> None:
    assert [info.metadata.id for info in ada.node.incomplete()] == [DATASET]
    ada.send(ada.tar(axon=ada.axons({1: 1.0})))
    assert len(ada.node.incomplete()) == 1
    ada.send(ada.tar(vesicle=f"SELECT '{cid('vesicle', 0)}'::UUID AS cid"))
    assert ada.node.incomplete() == [] and len(ada.node.owned()) == 1


def test_compare_sees_missing_changed_and_damaged_rows(ada: Sender) -> None:
    sent = ada.tar(name=f"sent-{DATASET}.tar", axon=ada.axons({1: 1.0, 2: None, 3: 3.0}))

    def compared() -> tuple[int, int | None, int | None]:
        [check] = ada.node.compare(DATASET, as_package(sent))
        return check.sent, check.found, check.missing

    assert compared() == (3, 0, 3)
    ada.send(ada.tar(axon=ada.axons({1: 1.0, 2: None, 3: 4.0, 9: 9.0})))
    assert compared() == (3, 4, 1)
    ada.send(sent)
    assert compared() == (3, 4, 0)
    ada.node.table_files(DATASET)["axon"].write_bytes(b"PAR1")
    assert compared() == (3, 0, 3)


def test_files_arrive_whole_replace_and_are_listed(ada: Sender) -> None:
    unit, mesh = cid("axon", 1), ada.folder / "a.glb"

    def put(digest: str = "") -> object:
        return ada.node.put_file(DATASET, "mesh", unit, mesh, digest or digest_file(mesh))

    mesh.write_bytes(b"glTF one")
    stored = put()
    assert put() == stored
    assert ada.node.stored(DATASET) == [stored]
    with pytest.raises(DestinationRefused, match="not those announced"):
        put("0" * 64)
    mesh.write_bytes(b"glTF two, longer")
    assert ada.node.stored(DATASET) != [newer := put()]
    assert ada.node.stored(DATASET) == [newer]
    assert ada.node.files(DATASET) == StoredFiles(count=1, bytes=16)


def test_a_deleted_dataset_is_gone_and_its_tombstone_stays(ada: Sender) -> None:
    place, tar = ada.node, ada.tar(axon=ada.axons({1: 1.0}))
    upload = ada.send(tar)
    deletion = place.delete(DATASET)
    assert (deletion.rows, deletion.label, deletion.by) == ({"axon": 1}, "Guide", "ada")
    assert deletion.uploads == (upload,)
    assert place.info(DATASET) is None and place.owned() == []
    assert not list(place.folder.rglob("*.parquet")), "deleted for good"
    assert place.deletions(DATASET) == (deletion,)
    with pytest.raises(DestinationRefused, match="There is no dataset"):
        ada.send(tar)
    with pytest.raises(DestinationRefused, match="belongs to ada"):
        node(ada.folder, "mallory").register(metadata())
    place.register(metadata(label="Second life"))
    assert ada.send(tar).at > upload.at, "what was sent before the deletion is not there"
    assert place.deletions(DATASET) == (deletion,)


DYING = """
import os, sys
from pathlib import Path
from uuid import UUID
import syndb_pipeline.destinations.embedded.node as embedded
from syndb_pipeline.base.tar_stream import FilePayload
from syndb_pipeline.destinations.base import Package

def upload(at):
    calls = 0
    def dying(function):
        def call(*args, **kwargs):
            nonlocal calls
            if calls == at:
                os._exit(9)
            calls += 1
            return function(*args, **kwargs)
        return call
    for name in ("extract_tables", "check_table", "write_merged", "flush", "_write", "_sweep",
                 "_keep_only", "count_rows"):
        setattr(embedded, name, dying(getattr(embedded, name)))
    node = embedded.EmbeddedNode(
        "local", Path(sys.argv[1]), owner="ada", memory_limit=600_000_000, threads=1
    )
    node.upload(UUID(sys.argv[2]), Package(tar=FilePayload.of(Path(sys.argv[3])), rows={}))

for line in sys.stdin:
    child = os.fork()
    if not child:
        upload(int(line))
        os._exit(0)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""
"""Uploads the tar in a child for each number it reads, which dies at the call of that number."""


def test_killed_anywhere_in_an_upload_readers_see_before_or_after_and_a_retry_completes(
    ada: Sender,
) -> None:
    ada.send(ada.tar(axon=ada.axons({1: 1.0, 2: 2.0})))
    before = ada.node.info(DATASET)
    entry = ada.node.folder / "datasets" / str(DATASET) / "dataset.json"
    content = entry.read_bytes()
    tar = ada.tar(axon=ada.axons({2: 20.0, 3: 30.0}))
    old = {cid("axon", 1): 1.0, cid("axon", 2): 2.0}
    new = {cid("axon", 1): 1.0, cid("axon", 2): 20.0, cid("axon", 3): 30.0}
    seen, ended, at = set(), 9, 0
    command = [sys.executable, "-c", DYING, str(ada.node.folder), str(DATASET), str(tar)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as nursery:
        assert nursery.stdin is not None and nursery.stdout is not None
        while ended == 9:
            nursery.stdin.write(f"{at}\n")
            nursery.stdin.flush()
            ended = int(nursery.stdout.readline())
            info = ada.node.info(DATASET)
            arrived = info != before
            seen.add(arrived)
            assert dict(ada.rows()) == (new if arrived else old)
            if arrived:
                upload = ada.send(tar)
                assert info is not None and info.uploads is not None
                assert info.uploads[-1] == upload and len(info.uploads) == 2
                entry.write_bytes(content)  # back to before, for the next place to die
            at += 1
        nursery.stdin.close()
    assert (ended, seen) == (0, {True, False}) and at > 5


def test_two_writers_at_once_lose_nothing(ada: Sender) -> None:
    """The lock is on a file, so it holds threads apart as it does processes."""
    tars = {
        start: [
            ada.tar(name=f"{start + n}-{DATASET}.tar", axon=ada.axons({start + n: float(n)}))
            for n in range(6)
        ]
        for start in (0, 100)
    }

    def write(start: int) -> None:
        place = node(ada.folder)
        for tar in tars[start]:
            ada.send(tar, place)

    writers = [threading.Thread(target=write, args=(start,)) for start in tars]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(60)
    info = ada.node.info(DATASET)
    assert info is not None
    assert (info.rows, info.number_of_units, len(info.uploads or ())) == ({"axon": 12}, 12, 12)


def test_a_reader_beside_a_writer_always_has_one_whole_upload(ada: Sender) -> None:
    """Both tables of every upload hold the same number; a reader that ever saw two numbers saw half
    an upload."""

    def numbered(number: int) -> Path:
        row = f"{number}::DOUBLE AS voxel_volume"
        queries = {
            table: f"SELECT '{cid(table, 1)}'::UUID AS cid, {row}" for table in ("axon", "vesicle")
        }
        return ada.tar(name=f"{number}-{DATASET}.tar", **queries)

    tars = [numbered(number) for number in range(6)]
    ada.send(tars[0])
    writer = threading.Thread(target=lambda: [ada.send(tar) for tar in tars[1:]])
    writer.start()
    reads = 0
    while writer.is_alive() or not reads:
        files = ada.node.table_files(DATASET)
        query = " UNION ALL ".join(f"SELECT voxel_volume FROM {parquet(p)}" for p in files.values())
        with duckdb.connect() as connection:
            assert len(set(connection.execute(query).fetchall())) == 1
        reads += 1
    writer.join()
    assert ada.rows() == [(cid("axon", 1), 5.0)]


def test_a_damaged_entry_is_refused(ada: Sender) -> None:
    entry = ada.node.folder / "datasets" / str(DATASET) / "dataset.json"
    entry.write_text(json.dumps({"format": 1}))
    with pytest.raises(DestinationRefused, match="damaged"):
        ada.node.info(DATASET)


def test_the_owner_is_the_operating_systems_user_when_none_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOGNAME", "grace")
    assert node(tmp_path, owner="").who_am_i().id == "grace"
    assert not list(tmp_path.iterdir()), "asking who one is writes nothing"
