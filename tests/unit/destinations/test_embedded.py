"""The embedded node: what it takes, what it refuses, and that nobody ever sees half of anything.

Belongs here: the node alone, with tars made by hand. Does not: plans and approvals
(`unit/stages/test_publish.py`).
"""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import tarfile
import threading
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

DATASET = UUID("01939c0e-7b1a-7c3e-9f53-6f0c6b1d2a11")
AXON, VESICLE = 4, 10


def metadata(**other: Any) -> Metadata:
    fields: dict[str, Any] = {
        "id": DATASET,
        "label": "Guide example",
        "notes": "",
        "data_license": 7,
        "license": "ODC_BY",
        "animal": 1,
        "animal_name": "DROSOPHILA_MELANOGASTER",
        "microscopy": "ssTEM",
        "brain_regions": ({"brain_structure": "A", "direction": "null"},),
        "syndb_tables": (AXON, VESICLE),
    }
    return Metadata.model_validate(fields | other)


def node(folder: Path, owner: str = "ada") -> EmbeddedNode:
    return EmbeddedNode("local", folder / "node", owner=owner, memory_limit=600_000_000, threads=1)


def cid(table: str, key: int) -> UUID:
    return uuid5(DATASET, f"{table}/{key}")


def table_bytes(folder: Path, query: str) -> bytes:
    path = folder / "made.parquet"
    duckdb.sql(f"COPY ({query}) TO '{path}' (FORMAT parquet)")
    return path.read_bytes()


def axons(folder: Path, rows: dict[int, float | None]) -> bytes:
    values = ", ".join(
        f"('{cid('axon', key)}'::UUID, {'NULL' if volume is None else volume}::DOUBLE)"
        for key, volume in rows.items()
    )
    return table_bytes(folder, f"SELECT * FROM (VALUES {values}) t(cid, voxel_volume)")


def make_tar(
    folder: Path, members: dict[str, bytes], name: str = f"{DATASET}.tar", **header: Any
) -> tuple[Path, str]:
    path = folder / name
    with tarfile.open(path, "w") as archive:
        for member, content in members.items():
            info = tarfile.TarInfo(member)
            info.size = len(content)
            for key, value in header.items():
                setattr(info, key, value)
            archive.addfile(info, io.BytesIO(content))
    return path, digest_file(path)


def as_package(tar: Path, digest: str = "") -> Package:
    return Package(tar=FilePayload(tar, tar.stat().st_size, digest or digest_file(tar)), rows={})


def send(place: EmbeddedNode, tar: Path, digest: str) -> Upload:
    return place.upload(DATASET, as_package(tar, digest))


def rows_of(place: EmbeddedNode, table: str) -> list[tuple[Any, ...]]:
    return duckdb.sql(
        f"SELECT * FROM {parquet(place.table_files(DATASET)[table])} ORDER BY 1"
    ).fetchall()


def test_an_upload_is_there_with_its_rows_owner_and_digest(tmp_path: Path) -> None:
    folder = (
        tmp_path / "lab=x" / "voxel_volume=0.9"
    )  # names that DuckDB by itself takes for columns
    folder.mkdir(parents=True)
    place = node(folder)
    place.register(metadata())
    tar, digest = make_tar(folder, {"axon.parquet": axons(folder, {1: 5.0, 2: None})})
    upload = send(place, tar, digest)
    info = node(folder).info(DATASET)
    assert info is not None
    assert (info.owner, info.rows, info.number_of_units) == ("ada", {"axon": 2}, 2)
    assert info.uploads == (upload,)
    assert (upload.tar_sha256, upload.rows, upload.bytes) == (
        digest,
        {"axon": 2},
        tar.stat().st_size,
    )
    assert set(rows_of(place, "axon")) == {(cid("axon", 1), 5.0), (cid("axon", 2), None)}


def test_the_same_tar_again_counts_nothing_twice(tmp_path: Path) -> None:
    place = node(tmp_path)
    place.register(metadata())
    tar, digest = make_tar(tmp_path, {"axon.parquet": axons(tmp_path, {1: 5.0})})
    first = send(place, tar, digest)
    assert send(place, tar, digest) == first
    info = place.info(DATASET)
    assert info is not None and info.number_of_units == 1 and info.uploads == (first,)


def test_rows_upsert_and_units_are_added_to(tmp_path: Path) -> None:
    place = node(tmp_path)
    place.register(metadata())
    send(place, *make_tar(tmp_path, {"axon.parquet": axons(tmp_path, {1: 1.0, 2: 2.0})}))
    send(place, *make_tar(tmp_path, {"axon.parquet": axons(tmp_path, {2: 20.0, 3: 30.0})}))
    info = place.info(DATASET)
    assert info is not None
    assert (info.rows, info.number_of_units) == ({"axon": 3}, 4)
    assert dict(rows_of(place, "axon")) == {
        cid("axon", 1): 1.0,
        cid("axon", 2): 20.0,
        cid("axon", 3): 30.0,
    }


def test_an_upsert_of_other_columns_keeps_those_it_does_not_name(tmp_path: Path) -> None:
    place = node(tmp_path)
    place.register(metadata())
    send(place, *make_tar(tmp_path, {"axon.parquet": axons(tmp_path, {1: 1.0, 2: 2.0})}))
    other = table_bytes(
        tmp_path, f"SELECT '{cid('axon', 2)}'::UUID AS cid, 7::INTEGER AS terminal_count"
    )
    send(place, *make_tar(tmp_path, {"axon.parquet": other}))
    found = duckdb.sql(
        f"SELECT cid, voxel_volume, terminal_count FROM '{place.table_files(DATASET)['axon']}'"
    ).fetchall()
    assert set(found) == {(cid("axon", 1), 1.0, None), (cid("axon", 2), 2.0, 7)}


def test_relations_upsert_by_their_pair(tmp_path: Path) -> None:
    place = node(tmp_path)
    place.register(metadata(syndb_tables=(2,)))
    for score in (1.0, 2.0):
        ends = (
            f"'{cid('neuron', 1)}'::UUID AS pre_synapse_id, '{cid('neuron', 2)}'::UUID AS"
            " post_synapse_id"
        )
        one = f"SELECT {ends}, {score}::DOUBLE AS connection_score"
        send(place, *make_tar(tmp_path, {"neuron_relation.parquet": table_bytes(tmp_path, one)}))
    assert [row[2] for row in rows_of(place, "neuron_relation")] == [2.0]


REFUSED_TABLES = {
    "a column SynDB does not have": ("SELECT uuid() AS cid, 1 AS colour", "colour is not a column"),
    "the server's own column": (
        "SELECT uuid() AS cid, uuid() AS dataset_id",
        "dataset_id is not a column",
    ),
    "a client-side column": (
        "SELECT uuid() AS cid, 'a.glb' AS mesh_path",
        "mesh_path is not a column",
    ),
    "no cid": ("SELECT 1.0::DOUBLE AS voxel_volume", "cid is missing"),
    "cid as text": ("SELECT uuid()::VARCHAR AS cid", "cid is VARCHAR, not UUID"),
    "a number of another type": (
        "SELECT uuid() AS cid, 1 AS voxel_volume",
        "voxel_volume is INTEGER, not DOUBLE",
    ),
    "an empty cid": ("SELECT NULL::UUID AS cid", "1 rows have no cid"),
    "a cid twice": (f"SELECT '{DATASET}'::UUID AS cid FROM range(2)", "is on several rows"),
}


@pytest.mark.parametrize(("query", "reason"), REFUSED_TABLES.values(), ids=REFUSED_TABLES)
def test_refuses_tables_that_syndb_would_refuse(tmp_path: Path, query: str, reason: str) -> None:
    place = node(tmp_path)
    place.register(metadata())
    good = axons(tmp_path, {1: 1.0})
    tar, digest = make_tar(
        tmp_path, {"axon.parquet": good, "vesicle.parquet": table_bytes(tmp_path, query)}
    )
    with pytest.raises(DestinationRefused, match=reason):
        send(place, tar, digest)
    info = place.info(DATASET)
    assert info is not None and info.rows == {} and info.number_of_units == 0, (
        "nothing of a refused tar may stay"
    )


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
def test_refuses_members_of_other_names(tmp_path: Path, name: str) -> None:
    place = node(tmp_path)
    place.register(metadata())
    tar, digest = make_tar(tmp_path, {name: axons(tmp_path, {1: 1.0})})
    with pytest.raises(DestinationRefused, match="not the file of a SynDB table"):
        send(place, tar, digest)
    assert not list(tmp_path.rglob("axon*.parquet"))


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
def test_refuses_members_that_are_no_regular_files(tmp_path: Path, kind: bytes) -> None:
    place = node(tmp_path)
    place.register(metadata())
    tar, digest = make_tar(tmp_path, {"axon.parquet": b""}, type=kind, linkname="/etc/passwd")
    with pytest.raises(DestinationRefused, match="no regular file"):
        send(place, tar, digest)


def test_refuses_a_member_twice(tmp_path: Path) -> None:
    place = node(tmp_path)
    place.register(metadata())
    content = axons(tmp_path, {1: 1.0})
    tar, _ = make_tar(tmp_path, {"axon.parquet": content})
    second, _ = make_tar(tmp_path, {"axon.parquet": content}, name="second.tar")
    joined = tar.read_bytes()[: 512 + -(-len(content) // 512) * 512] + second.read_bytes()
    tar.write_bytes(joined)
    with pytest.raises(DestinationRefused, match="twice"):
        send(place, tar, digest_file(tar))


@pytest.mark.parametrize("cut", [1, 100, 511, 512, 700])
def test_refuses_a_tar_cut_short(tmp_path: Path, cut: int) -> None:
    place = node(tmp_path)
    place.register(metadata())
    tar, _ = make_tar(tmp_path, {"axon.parquet": axons(tmp_path, {1: 1.0})})
    tar.write_bytes(tar.read_bytes()[:cut])
    with pytest.raises(DestinationRefused):
        send(place, tar, digest_file(tar))


def test_refuses_a_size_beyond_the_tar(tmp_path: Path) -> None:
    place = node(tmp_path)
    place.register(metadata())
    header = tarfile.TarInfo("axon.parquet")
    header.size = 1 << 40
    tar = tmp_path / f"{DATASET}.tar"
    tar.write_bytes(header.tobuf(tarfile.GNU_FORMAT) + bytes(4096))
    with pytest.raises(DestinationRefused, match="claims 1,099,511,627,776 bytes"):
        send(place, tar, digest_file(tar))


def test_takes_a_size_from_an_extended_header_and_nothing_else(tmp_path: Path) -> None:
    """A member above 8 GiB carries its size there; a small one with such a header shows that it is
    read.
    """
    place = node(tmp_path)
    place.register(metadata())
    content = axons(tmp_path, {1: 1.0})

    def with_header(record: bytes) -> Path:
        extended, member = tarfile.TarInfo("././@PaxHeader"), tarfile.TarInfo("axon.parquet")
        extended.type, extended.size = tarfile.XHDTYPE, len(record)
        body = content + bytes(-len(content) % 512)
        tar = tmp_path / f"{DATASET}.tar"
        tar.write_bytes(
            extended.tobuf()
            + record
            + bytes(-len(record) % 512)
            + member.tobuf()
            + body
            + bytes(1024)
        )
        return tar

    record = f"size={len(content)}\n"
    tar = with_header(f"{len(record) + 3} {record}".encode())
    assert send(place, tar, digest_file(tar)).rows == {"axon": 1}
    tar = with_header(b"20 path=../evil.sh\n\n")
    with pytest.raises(DestinationRefused, match="extended header"):
        send(place, tar, digest_file(tar))
    tar = with_header(b"99 size=1\n")
    with pytest.raises(DestinationRefused, match="extended header is damaged"):
        send(place, tar, digest_file(tar))


def test_takes_a_tar_as_pythons_tarfile_writes_it(tmp_path: Path) -> None:
    place = node(tmp_path)
    place.register(metadata())
    (tmp_path / "axon.parquet").write_bytes(axons(tmp_path, {1: 1.0}))
    os.utime(tmp_path / "axon.parquet", (1.5, 1.5))
    tar = tmp_path / f"{DATASET}.tar"
    with tarfile.open(tar, "w") as archive:
        archive.add(tmp_path / "axon.parquet", "axon.parquet")
    assert b"mtime=1.5" in tar.read_bytes()
    assert send(place, tar, digest_file(tar)).rows == {"axon": 1}


def test_refuses_what_is_no_parquet_or_broken_inside(tmp_path: Path) -> None:
    place = node(tmp_path)
    place.register(metadata())
    good = table_bytes(tmp_path, "SELECT uuid() AS cid, random() AS voxel_volume FROM range(5000)")
    broken = bytearray(good)
    broken[len(good) // 2 : len(good) // 2 + 400] = bytes(400)
    for content in (b"not parquet at all", good[:200], bytes(broken)):
        tar, digest = make_tar(tmp_path, {"axon.parquet": content})
        with pytest.raises(DestinationRefused, match=r"Parquet|rows have no|several rows"):
            send(place, tar, digest)


def test_refuses_bytes_of_another_digest_and_a_tar_of_another_name(tmp_path: Path) -> None:
    place = node(tmp_path)
    place.register(metadata())
    tar, digest = make_tar(tmp_path, {"axon.parquet": axons(tmp_path, {1: 1.0})})
    flipped = bytearray(tar.read_bytes())
    flipped[-1] ^= 1
    tar.write_bytes(flipped)
    with pytest.raises(DestinationRefused, match="digest"):
        send(place, tar, digest)
    other, digest = make_tar(
        tmp_path, {"axon.parquet": axons(tmp_path, {1: 1.0})}, name="other.tar"
    )
    with pytest.raises(DestinationRefused, match="must hold the dataset's id"):
        send(place, other, digest)
    info = place.info(DATASET)
    assert info is not None and info.uploads == ()


def test_an_unknown_dataset_is_refused_everywhere(tmp_path: Path) -> None:
    place = node(tmp_path)
    tar, digest = make_tar(tmp_path, {"axon.parquet": axons(tmp_path, {1: 1.0})})
    for act in (
        lambda: send(place, tar, digest),
        lambda: place.compare(DATASET, as_package(tar)),
        lambda: place.put_file(DATASET, "mesh", DATASET, tar, digest),
        lambda: place.files(DATASET),
        lambda: place.table_files(DATASET),
        lambda: place.delete(DATASET),
    ):
        with pytest.raises(DestinationRefused, match="There is no dataset"):
            act()
    assert place.info(DATASET) is None and place.deletions(DATASET) == () and place.owned() == []


def test_another_owners_dataset_stays_as_it_is(tmp_path: Path) -> None:
    node(tmp_path).register(metadata())
    mallory = node(tmp_path, "mallory")
    tar, digest = make_tar(tmp_path, {"axon.parquet": axons(tmp_path, {1: 1.0})})
    for act in (
        lambda: mallory.register(metadata()),
        lambda: send(mallory, tar, digest),
        lambda: mallory.put_file(DATASET, "mesh", DATASET, tar, digest),
        lambda: mallory.delete(DATASET),
    ):
        with pytest.raises(DestinationRefused, match="belongs to ada; you are mallory"):
            act()
    assert mallory.owned() == []
    info = node(tmp_path).info(DATASET)
    assert info is not None and info.rows == {} and info.owner == "ada"


def test_registering_again_selects_the_same_and_refuses_other_metadata(tmp_path: Path) -> None:
    place = node(tmp_path)
    first = place.register(metadata())
    assert place.register(metadata(syndb_tables=(AXON,))) == first
    with pytest.raises(DestinationRefused, match="label: here 'Renamed', there 'Guide example'"):
        place.register(metadata(label="Renamed"))


def test_incomplete_lists_what_lacks_tables(tmp_path: Path) -> None:
    place = node(tmp_path)
    place.register(metadata())
    assert [info.metadata.id for info in place.incomplete()] == [DATASET]
    send(place, *make_tar(tmp_path, {"axon.parquet": axons(tmp_path, {1: 1.0})}))
    assert len(place.incomplete()) == 1
    vesicle = table_bytes(tmp_path, f"SELECT '{cid('vesicle', 0)}'::UUID AS cid")
    send(place, *make_tar(tmp_path, {"vesicle.parquet": vesicle}))
    assert place.incomplete() == [] and len(place.owned()) == 1


def test_compare_tells_missing_and_changed_rows(tmp_path: Path) -> None:
    place = node(tmp_path)
    place.register(metadata())
    sent, _ = make_tar(
        tmp_path,
        {"axon.parquet": axons(tmp_path, {1: 1.0, 2: None, 3: 3.0})},
        name=f"sent-{DATASET}.tar",
    )
    [check] = place.compare(DATASET, as_package(sent))
    assert (check.sent, check.found, check.missing) == (3, 0, 3)
    send(
        place,
        *make_tar(tmp_path, {"axon.parquet": axons(tmp_path, {1: 1.0, 2: None, 3: 4.0, 9: 9.0})}),
    )
    [check] = place.compare(DATASET, as_package(sent))
    assert (check.sent, check.found, check.missing) == (3, 4, 1)
    send(place, sent, digest_file(sent))
    [check] = place.compare(DATASET, as_package(sent))
    assert (check.sent, check.found, check.missing) == (3, 4, 0)


def test_compare_sees_a_stored_table_that_was_damaged(tmp_path: Path) -> None:
    place = node(tmp_path)
    place.register(metadata())
    tar, digest = make_tar(tmp_path, {"axon.parquet": axons(tmp_path, {1: 1.0})})
    send(place, tar, digest)
    place.table_files(DATASET)["axon"].write_bytes(b"PAR1")
    [check] = place.compare(DATASET, as_package(tar))
    assert (check.sent, check.missing) == (1, 1)


def test_files_arrive_whole_replace_and_are_listed(tmp_path: Path) -> None:
    place = node(tmp_path)
    place.register(metadata())
    unit = cid("axon", 1)
    mesh = tmp_path / "a.glb"
    mesh.write_bytes(b"glTF one")
    stored = place.put_file(DATASET, "mesh", unit, mesh, digest_file(mesh))
    assert place.put_file(DATASET, "mesh", unit, mesh, digest_file(mesh)) == stored
    assert place.stored(DATASET) == [stored]
    with pytest.raises(DestinationRefused, match="not those announced"):
        place.put_file(DATASET, "mesh", unit, mesh, "0" * 64)
    mesh.write_bytes(b"glTF two, longer")
    newer = place.put_file(DATASET, "mesh", unit, mesh, digest_file(mesh))
    assert place.stored(DATASET) == [newer] and place.files(DATASET) == StoredFiles(
        count=1, bytes=16
    )


def test_a_deleted_dataset_is_gone_and_its_tombstone_stays(tmp_path: Path) -> None:
    place = node(tmp_path)
    place.register(metadata())
    tar, digest = make_tar(tmp_path, {"axon.parquet": axons(tmp_path, {1: 1.0})})
    upload = send(place, tar, digest)
    deletion = place.delete(DATASET)
    assert (deletion.rows, deletion.label, deletion.by, deletion.uploads) == (
        {"axon": 1},
        "Guide example",
        "ada",
        (upload,),
    )
    assert place.info(DATASET) is None and place.owned() == []
    assert not list((tmp_path / "node").rglob("*.parquet")), "deleted for good"
    assert place.deletions(DATASET) == (deletion,)
    with pytest.raises(DestinationRefused, match="There is no dataset"):
        send(place, tar, digest)
    with pytest.raises(DestinationRefused, match="belongs to ada"):
        node(tmp_path, "mallory").register(metadata())
    place.register(metadata(label="Second life"))
    assert send(place, tar, digest).at > upload.at, "what was sent before the deletion is not there"
    assert place.deletions(DATASET) == (deletion,)


UPLOAD_AND_DIE = """
import os, sys
from pathlib import Path
from uuid import UUID
import syndb_pipeline.destinations.embedded.node as embedded
from syndb_pipeline.destinations.base import Package
from syndb_pipeline.base.tar_stream import FilePayload

calls = 0
def dying(function):
    def call(*args, **kwargs):
        global calls
        if calls == int(sys.argv[1]):
            os._exit(9)
        calls += 1
        return function(*args, **kwargs)
    return call

for name in ("extract_tables", "check_table", "write_merged", "flush", "_write", "_sweep", "_keep_only", "count_rows"):
    setattr(embedded, name, dying(getattr(embedded, name)))
node = embedded.EmbeddedNode("local", Path(sys.argv[2]), owner="ada", memory_limit=600_000_000, threads=1)
node.upload(UUID(sys.argv[3]), Package(tar=FilePayload.of(Path(sys.argv[4])), rows={}))
"""


def test_killed_anywhere_in_an_upload_readers_see_before_or_after_and_a_retry_completes(
    tmp_path: Path,
) -> None:
    place = node(tmp_path)
    place.register(metadata())
    send(place, *make_tar(tmp_path, {"axon.parquet": axons(tmp_path, {1: 1.0, 2: 2.0})}))
    before = place.info(DATASET)
    entry = place.folder / "datasets" / str(DATASET) / "dataset.json"
    content = entry.read_bytes()
    tar, digest = make_tar(tmp_path, {"axon.parquet": axons(tmp_path, {2: 20.0, 3: 30.0})})
    seen = set()
    for at in range(40):
        done = subprocess.run(
            [
                sys.executable,
                "-c",
                UPLOAD_AND_DIE,
                str(at),
                str(place.folder),
                str(DATASET),
                str(tar),
            ],
            check=False,
        )
        info = place.info(DATASET)
        assert info is not None
        arrived = info != before
        seen.add(arrived)
        assert dict(rows_of(place, "axon")) == (
            {cid("axon", 1): 1.0, cid("axon", 2): 20.0, cid("axon", 3): 30.0}
            if arrived
            else {cid("axon", 1): 1.0, cid("axon", 2): 2.0}
        )
        if arrived:
            upload = send(place, tar, digest)
            assert (
                info.uploads is not None and info.uploads[-1] == upload and len(info.uploads) == 2
            )
            entry.write_bytes(content)  # back to before, for the next place to die
        if done.returncode == 0:
            break
        assert done.returncode == 9
    else:
        pytest.fail("the upload never ended")
    assert seen == {True, False} and at > 5


def test_two_writers_at_once_lose_nothing(tmp_path: Path) -> None:
    node(tmp_path).register(metadata())
    writers = []
    for start in (0, 100):
        folder = tmp_path / str(start)
        folder.mkdir()
        tars = [
            make_tar(
                folder,
                {"axon.parquet": axons(folder, {start + n: float(n)})},
                name=f"{n}-{DATASET}.tar",
            )
            for n in range(6)
        ]
        script = "\n".join(
            [
                "from pathlib import Path; from uuid import UUID",
                "from syndb_pipeline.destinations.base import Package",
                "from syndb_pipeline.destinations.embedded.node import EmbeddedNode",
                "from syndb_pipeline.base.tar_stream import FilePayload",
                (
                    f"node = EmbeddedNode('local', Path({str(tmp_path / 'node')!r}), owner='ada',"
                    " memory_limit=600_000_000, threads=1)"
                ),
                *(
                    f"node.upload(UUID('{DATASET}'),"
                    f" Package(tar=FilePayload.of(Path({str(tar)!r})), rows={{}}))"
                    for tar, _ in tars
                ),
            ]
        )
        writers.append(subprocess.Popen([sys.executable, "-c", script]))
    assert [writer.wait() for writer in writers] == [0, 0]
    info = node(tmp_path).info(DATASET)
    assert (
        info is not None
        and info.rows == {"axon": 12}
        and info.number_of_units == 12
        and len(info.uploads or ()) == 12
    )


def test_a_reader_beside_a_writer_always_has_one_whole_upload(tmp_path: Path) -> None:
    """Both tables of every upload hold the same number; a reader that ever saw two numbers saw half
    an upload.
    """
    place = node(tmp_path)
    place.register(metadata())
    tars = []
    for number in range(8):
        members = {
            f"{table}.parquet": table_bytes(
                tmp_path, f"SELECT '{cid(table, 1)}'::UUID AS cid, {number}::DOUBLE AS voxel_volume"
            )
            for table in ("axon", "vesicle")
        }
        tars.append(make_tar(tmp_path, members, name=f"{number}-{DATASET}.tar"))
    send(place, *tars[0])
    ended = threading.Event()

    def write() -> None:
        try:
            for tar in tars[1:]:
                send(place, *tar)
        finally:
            ended.set()

    writer = threading.Thread(target=write)
    writer.start()
    reads = 0
    while not ended.is_set() or not reads:
        files = place.table_files(DATASET)
        with duckdb.connect() as connection:
            query = " UNION ALL ".join(
                f"SELECT voxel_volume FROM '{path}'" for path in files.values()
            )
            numbers = {value for (value,) in connection.execute(query).fetchall()}
        assert len(numbers) == 1
        reads += 1
    writer.join()
    assert dict(rows_of(place, "axon")) == {cid("axon", 1): 7.0}


def test_a_damaged_entry_is_told_not_guessed(tmp_path: Path) -> None:
    place = node(tmp_path)
    place.register(metadata())
    entry = place.folder / "datasets" / str(DATASET) / "dataset.json"
    entry.write_text(json.dumps({"format": 1}))
    with pytest.raises(DestinationRefused, match="damaged"):
        place.info(DATASET)


def test_the_owner_is_the_operating_systems_user_when_none_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOGNAME", "grace")
    assert node(tmp_path, owner="").who_am_i().id == "grace"
    assert not list(tmp_path.iterdir()), "asking who one is writes nothing"
