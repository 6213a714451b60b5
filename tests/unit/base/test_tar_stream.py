"""What is sent: the bytes that `tarfile` would write, put together while they are read, and the
proof that nobody changed them.
"""

from __future__ import annotations

import hashlib
import io
import os
import tarfile
from pathlib import Path

import pytest

from syndb_pipeline.base import tar_stream as module
from syndb_pipeline.base.errors import NotAPackage
from syndb_pipeline.base.tar_stream import FilePayload, TarPayload

MEMBERS = {
    "empty.parquet": b"",
    "small.parquet": b"PAR1" * 5,
    "block.parquet": b"x" * 512,
    "large.parquet": os.urandom(3_000_001),
}


def by_tarfile(members: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for name, content in members.items():
            member = tarfile.TarInfo(name)
            member.size, member.mode = len(content), 0o644
            archive.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


def tar_of(folder: Path, members: dict[str, bytes]) -> TarPayload:
    for name, content in members.items():
        (folder / name).write_bytes(content)
    return TarPayload("a.tar", tuple(FilePayload.of(folder / name) for name in members))


@pytest.mark.parametrize(
    "members", [{}, MEMBERS, dict(reversed(MEMBERS.items()))], ids=["none", "some", "reversed"]
)
@pytest.mark.parametrize(
    "piece", [1, 513, 1 << 20, -1], ids=["byte by byte", "uneven", "large", "at once"]
)
def test_the_bytes_are_those_of_tarfile(
    tmp_path: Path, members: dict[str, bytes], piece: int
) -> None:
    if piece == 1:
        members = {name: content for name, content in members.items() if len(content) < 1000}
    tar, wanted = tar_of(tmp_path, members), by_tarfile(members)
    with tar.open() as file:
        read = b"".join(iter(lambda: file.read(piece), b""))
        assert file.read() == b""
    assert read == wanted
    assert (tar.bytes, tar.sha256) == (len(wanted), hashlib.sha256(wanted).hexdigest())


def test_a_member_beyond_eight_gibibytes_has_a_header_that_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_LARGEST_USTAR", 10)
    with tar_of(tmp_path, MEMBERS).open() as file, tarfile.open(fileobj=file, mode="r|") as archive:
        assert {member.name: member.size for member in archive} == {
            name: len(content) for name, content in MEMBERS.items()
        }
    member = tarfile.TarInfo("large.parquet")
    member.size = 9 << 30
    assert (
        tarfile.TarInfo.frombuf(member.tobuf(tarfile.GNU_FORMAT), "utf-8", "strict").size == 9 << 30
    )
    assert len(member.tobuf(tarfile.GNU_FORMAT)) == tarfile.BLOCKSIZE


@pytest.mark.parametrize("change", ["another byte", "shorter", "longer"])
def test_a_member_that_changed_has_no_proof_and_gives_no_digest(
    tmp_path: Path, change: str
) -> None:
    tar = tar_of(tmp_path, MEMBERS)
    before = tar.proof()
    assert before is not None and before == tar.proof()
    content = MEMBERS["small.parquet"]
    (tmp_path / "small.parquet").write_bytes(
        {"another byte": b"x" + content[1:], "shorter": content[1:], "longer": content + b"x"}[
            change
        ]
    )
    assert tar.proof() is None
    with pytest.raises(NotAPackage, match=r"a\.tar: its tables are not those announced"):
        assert tar.sha256


def test_a_member_that_changed_and_was_changed_back_proves_something_else(tmp_path: Path) -> None:
    tar = tar_of(tmp_path, MEMBERS)
    before = tar.proof()
    path = tmp_path / "large.parquet"
    times = path.stat()
    path.write_bytes(b"other")
    path.write_bytes(MEMBERS["large.parquet"])
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert tar.proof() not in (None, before)


def test_a_member_that_is_gone_is_told(tmp_path: Path) -> None:
    tar = tar_of(tmp_path, MEMBERS)
    (tmp_path / "block.parquet").unlink()
    with pytest.raises(NotAPackage, match=r"block\.parquet cannot be read: No such file"):
        assert tar.sha256
    with pytest.raises(FileNotFoundError):
        tar.proof()
    with pytest.raises(FileNotFoundError), tar.open() as file:
        file.read()


def test_nothing_stays_open(tmp_path: Path) -> None:
    tar, open_files = tar_of(tmp_path, MEMBERS), Path("/proc/self/fd")
    if not open_files.is_dir():
        pytest.skip("this system does not tell which files are open")
    before = len(list(open_files.iterdir()))
    for size in (-1, 700, 2_000_000):  # also when it is left in the middle of a member
        with tar.open() as file:
            file.read(size)
    assert len(list(open_files.iterdir())) == before
