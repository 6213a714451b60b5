"""Tars that are written once: the bytes that `tarfile` would write, digests taken on the way, failures told by whoever failed."""

from __future__ import annotations

import errno
import hashlib
import io
import os
import tarfile
from pathlib import Path

import pytest

from syndb_pipeline.errors import PipelineError
from syndb_pipeline.stages import tar_stream as module
from syndb_pipeline.stages.tar_stream import TarStream, tar_stream
from syndb_pipeline.store import Output

MEMBERS = {"empty.parquet": b"", "small.parquet": b"PAR1" * 5, "block.parquet": b"x" * 512, "large.parquet": os.urandom(3_000_001)}


def described(content: bytes) -> Output:
    return Output(sha256=hashlib.sha256(content).hexdigest(), bytes=len(content))


def by_tarfile(members: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for name, content in members.items():
            member = tarfile.TarInfo(name)
            member.size, member.mode = len(content), 0o644
            archive.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


def written(path: Path, members: dict[str, bytes]) -> Output:
    with tar_stream(path) as tar:
        for name, content in members.items():
            size, output = tar.stream(name, lambda pipe, content=content: pipe.write_bytes(content))
            assert (size, output) == (len(content), described(content))
        return tar.close()


@pytest.mark.parametrize("members", [{}, MEMBERS, dict(reversed(MEMBERS.items()))], ids=["none", "some", "reversed"])
def test_the_bytes_are_those_of_tarfile(tmp_path: Path, members: dict[str, bytes]) -> None:
    whole = written(tmp_path / "a.tar", members)
    assert (tmp_path / "a.tar").read_bytes() == by_tarfile(members)
    assert whole == described(by_tarfile(members))


def refused(*_: object) -> int:
    raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP))


@pytest.mark.parametrize("kernel", ["copies", "refuses", "cannot"])
def test_members_are_copied_from_another_tar(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kernel: str) -> None:
    if kernel == "refuses":
        monkeypatch.setattr(os, "copy_file_range", refused, raising=False)
    if kernel == "cannot":
        monkeypatch.delattr(os, "copy_file_range", raising=False)
    written(tmp_path / "a.tar", MEMBERS)
    with tar_stream(tmp_path / "b.tar") as tar:
        tar.stream("new.parquet", lambda pipe: pipe.write_bytes(b"new"))
        for name, content in MEMBERS.items():
            tar.copy(name, tmp_path / "a.tar", described(content))
        whole = tar.close()
    assert (tmp_path / "b.tar").read_bytes() == by_tarfile({"new.parquet": b"new"} | MEMBERS)
    assert whole.sha256 == hashlib.sha256((tmp_path / "b.tar").read_bytes()).hexdigest()


def test_a_member_that_is_not_as_described_is_told(tmp_path: Path) -> None:
    written(tmp_path / "a.tar", MEMBERS)
    with tar_stream(tmp_path / "b.tar") as tar:
        tar.copy("block.parquet", tmp_path / "a.tar", described(b"y" * 512))
        with pytest.raises(PipelineError, match=r"block\.parquet in .*a\.tar changed while it was read"):
            tar.close()


def test_a_member_beyond_eight_gibibytes_has_a_header_that_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_LARGEST_USTAR", 10)
    written(tmp_path / "a.tar", MEMBERS)
    with tarfile.open(tmp_path / "a.tar") as archive:
        assert {member.name: member.size for member in archive} == {name: len(content) for name, content in MEMBERS.items()}
        large = archive.extractfile("large.parquet")
        assert large is not None and large.read() == MEMBERS["large.parquet"]
    member = tarfile.TarInfo("large.parquet")
    member.size = 9 << 30
    assert tarfile.TarInfo.frombuf(member.tobuf(tarfile.GNU_FORMAT), "utf-8", "strict").size == 9 << 30
    assert len(member.tobuf(tarfile.GNU_FORMAT)) == tarfile.BLOCKSIZE


class Failed(Exception):
    pass


def test_what_the_writer_raises_is_raised(tmp_path: Path) -> None:
    def fail(pipe: Path) -> None:
        raise Failed

    def fail_within(pipe: Path) -> None:
        with pipe.open("wb") as file:
            file.write(b"x" * 100_000)
            raise Failed

    for writer in (fail, fail_within):
        with pytest.raises(Failed), tar_stream(tmp_path / f"{writer.__name__}.tar") as tar:
            tar.stream("a.parquet", writer)


def test_a_full_disk_is_told_and_not_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def write(pipe: Path) -> None:
        with pipe.open("wb", buffering=0) as file:
            for _ in range(100):
                file.write(b"x" * 1_000_000)

    monkeypatch.setattr(TarStream, "_write", full)
    with pytest.raises(OSError, match="No space left") as told, tar_stream(tmp_path / "a.tar") as tar:
        tar.stream("a.parquet", write)
    assert told.value.errno == errno.ENOSPC


def test_nothing_stays_open(tmp_path: Path) -> None:
    before = len(list(Path("/proc/self/fd").iterdir())) if Path("/proc/self/fd").is_dir() else 0
    for number in range(5):
        written(tmp_path / f"{number}.tar", MEMBERS)
    after = len(list(Path("/proc/self/fd").iterdir())) if Path("/proc/self/fd").is_dir() else 0
    assert after == before
