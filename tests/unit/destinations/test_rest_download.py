"""Tables read back from a tar that anybody may have written."""

from __future__ import annotations

import io
import os
import tarfile
from pathlib import Path
from typing import Any

import duckdb
import pytest

from syndb_pipeline.base import engine
from syndb_pipeline.destinations.archive import NotReadable, take_tables
from syndb_pipeline.destinations.base import TableCheck
from syndb_pipeline.destinations.tables import compare_table
from tests.rest_place import DATASET, parquet_of

ROWS = (
    "SELECT uuid() AS cid, i::DOUBLE / 3 AS voxel_volume, i::INTEGER AS terminal_count FROM"
    " range(100) r(i)"
)


def tar_of(
    path: Path, members: list[tuple[str, bytes]], form: int = tarfile.PAX_FORMAT, **header: Any
) -> Path:
    with tarfile.open(path, "w", format=form) as archive:
        for name, content in members:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            for key, value in header.items():
                setattr(info, key, value)
            archive.addfile(info, io.BytesIO(content))
    return path


def compared(folder: Path, sent: Path, downloaded: Path) -> TableCheck:
    """The table `axon` of a package with the file `sent`, against the tar `downloaded`."""
    scratch = folder / "scratch"
    scratch.mkdir()
    held = take_tables(downloaded, scratch).get("axon")
    with engine.connect(memory_limit=600_000_000, threads=1, spill=folder / "spill") as connection:
        return compare_table(connection, "axon", sent, held, DATASET)


@pytest.mark.parametrize(
    ("form", "name", "header"),
    [
        (tarfile.USTAR_FORMAT, "axon.parquet", {}),
        (tarfile.USTAR_FORMAT, f"a/b/{DATASET}/axon.parquet", {}),
        (tarfile.GNU_FORMAT, "a" * 150 + "/axon.parquet", {}),
        (tarfile.PAX_FORMAT, "ü" * 150 + "/axon.parquet", {"mtime": 1.5, "uname": "ü"}),
        (tarfile.PAX_FORMAT, "../../../etc/axon.parquet", {"pax_headers": {"comment": "x" * 1000}}),
        (tarfile.GNU_FORMAT, "/absolute/axon.parquet", {}),
    ],
)
def test_a_table_is_taken_from_whatever_folder(
    form: int, name: str, header: dict[str, Any], tmp_path: Path
) -> None:
    tar = tar_of(
        tmp_path / "a.tar", [("README", b"hello"), (name, b"content" * 1000)], form, **header
    )
    folder = tmp_path / "folder"
    folder.mkdir()
    assert take_tables(tar, folder) == {"axon": folder / "axon.parquet"}
    assert (folder / "axon.parquet").read_bytes() == b"content" * 1000
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.tar", "folder"]


def test_an_empty_tar_is_one_without_rows(tmp_path: Path) -> None:
    assert take_tables(tar_of(tmp_path / "a.tar", []), tmp_path) == {}


def refused(tar: Path, folder: Path, why: str = ".") -> None:
    folder.mkdir()
    with pytest.raises(NotReadable, match=why):
        take_tables(tar, folder)


@pytest.mark.parametrize(
    "content", [b"", b"no tar" * 1000, b"PK\x03\x04" + bytes(600), b"{}", os.urandom(4096)]
)
def test_what_is_no_tar_is_refused(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "a.tar").write_bytes(content)
    refused(tmp_path / "a.tar", tmp_path / "out")


@pytest.mark.parametrize(
    "kind",
    [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE, tarfile.GNUTYPE_SPARSE],
)
def test_links_and_devices_are_refused(kind: bytes, tmp_path: Path) -> None:
    tar = tar_of(tmp_path / "a.tar", [("axon.parquet", b"")], type=kind, linkname="/etc/passwd")
    refused(tar, tmp_path / "out", "links or devices")
    assert not list((tmp_path / "out").iterdir())


def test_a_table_twice_a_cut_tar_and_a_giant_header_are_refused(tmp_path: Path) -> None:
    def tar(name: str, *members: tuple[str, bytes], **header: Any) -> Path:
        return tar_of(tmp_path / name, list(members), **header)

    refused(tar("twice", ("a/axon.parquet", b"1"), ("b/axon.parquet", b"2")), tmp_path / "o", "twi")
    giant = tar("giant", ("x/axon.parquet", b"1"), pax_headers={"comment": "x" * 100_000})
    refused(giant, tmp_path / "p", "too large")
    whole = tar("whole", ("axon.parquet", bytes(5000)), ("neuron.parquet", bytes(5000)))
    for size in (600, 5000, 6144, 7000):
        cut = tmp_path / f"cut{size}"
        cut.write_bytes(whole.read_bytes()[:size])
        refused(cut, tmp_path / f"out{size}")


OWN = f"'{DATASET}'::UUID AS dataset_id"
TO_TEXT = "unhex(replace(cid::VARCHAR, '-', '')) AS cid, voxel_volume, terminal_count::VARCHAR"
ALTERED = "terminal_count + 0.4 * (terminal_count = 7)::INT"
WHOLE, SAME = "SELECT cid, voxel_volume", (100, 0, 0)


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("SELECT *", SAME),
        (f"SELECT {OWN}, terminal_count, voxel_volume, cid, 1 AS s3_mesh_location", SAME),
        (f"{WHOLE}, terminal_count::BIGINT AS terminal_count", SAME),
        (f"{WHOLE}, terminal_count::DOUBLE AS terminal_count", SAME),
        ("SELECT cid::VARCHAR AS cid, voxel_volume, terminal_count", SAME),
        (f"SELECT {TO_TEXT} AS terminal_count", SAME),
        (f"SELECT *, {OWN} FROM sent UNION ALL SELECT uuid(), 1, 1, uuid() FROM range(5)", SAME),
        ("SELECT * FROM sent LIMIT 99", (99, 1, 0)),
        ("SELECT * FROM sent UNION ALL (SELECT * FROM sent ORDER BY cid LIMIT 1)", (101, 0, 1)),
        (
            "SELECT cid, voxel_volume + (terminal_count = 7)::INT AS voxel_volume, terminal_count",
            (100, 1, 0),
        ),
        (f"{WHOLE}, {ALTERED} AS terminal_count", (100, 1, 0)),
        (f"{WHOLE}, ({ALTERED})::VARCHAR AS terminal_count", (100, 1, 0)),
        (f"{WHOLE}, nullif(terminal_count, 7) AS terminal_count", (100, 1, 0)),
        ("SELECT cid::VARCHAR || 'x' AS cid, voxel_volume, terminal_count", (100, 100, 99)),
        ("SELECT cid, terminal_count", (0, 100, 0)),
        (f"SELECT *, uuid() AS dataset_id, '{DATASET}' AS note", (0, 100, 0)),
    ],
)
def test_rows_are_found_however_they_are_written_and_those_lost_doubled_or_altered_counted(
    query: str, found: tuple[int, int, int], tmp_path: Path
) -> None:
    sent = parquet_of(tmp_path / "sent.parquet", ROWS)
    duckdb.sql(f"CREATE OR REPLACE VIEW sent AS FROM '{sent}'")
    query = query if "FROM sent" in query else f"{query} FROM sent"
    held = parquet_of(tmp_path / "held.parquet", query).read_bytes()
    check = compared(tmp_path, sent, tar_of(tmp_path / "a.tar", [("x/axon.parquet", held)]))
    assert (check.found, check.missing, check.doubled) == found
    assert check.whole == (found == SAME)


@pytest.mark.parametrize(
    "members", [[], [("neuron.parquet", b"PAR1")], [("axon.parquet", b"PAR1 is not enough")]]
)
def test_a_table_that_is_not_there_or_not_readable_has_no_rows(
    members: list[tuple[str, bytes]], tmp_path: Path
) -> None:
    sent = parquet_of(tmp_path / "sent.parquet", ROWS)
    check = compared(tmp_path, sent, tar_of(tmp_path / "a.tar", members))
    assert (check.found, check.missing) == (0, 100)
