"""Digests that are known without reading again: when that is so, and above all when it is not.

Belongs here: files, stamps and the file they are kept in. Does not: what a run or publishing makes
of it (`stages/test_kept_digests.py`).
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from syndb_pipeline.base import digests
from syndb_pipeline.base.digests import adopt, digest_file, digest_files, forget, kept

OLD, NEW = b"old content", b"new content"


def sha(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


SETTLED_NS = digests._SETTLED_NS


def settle(nanoseconds: int | None = None) -> None:
    """Wait until what was written before counts as settled."""
    time.sleep((nanoseconds or digests._SETTLED_NS) / 1e9 + 0.01)


@pytest.fixture(autouse=True)
def nothing_known(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(digests, "_SETTLED_NS", 20_000_000)  # the tests are to be quick
    forget()
    yield
    forget()


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the files that were read to be hashed."""
    names: list[str] = []
    real = hashlib.file_digest

    def spy(file: Any, name: str) -> Any:
        names.append(Path(file.name).name)
        return real(file, name)

    monkeypatch.setattr(digests.hashlib, "file_digest", spy)
    return names


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "a"
    path.write_bytes(OLD)
    settle()
    return path


def test_a_file_is_read_once_while_its_stamp_stays(file: Path, reads: list[str]) -> None:
    assert digest_file(file) == sha(OLD)
    (file.parent / "link").hardlink_to(file)  # changes the stamp
    settle()
    reads.clear()
    for _ in range(3):
        assert digest_file(file) == sha(OLD) == digest_file(file.parent / "link")
    assert reads == ["a"]


def test_a_file_just_written_is_read_every_time(
    tmp_path: Path, reads: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is written while the file system's clock stands still leaves no mark."""
    monkeypatch.setattr(digests, "_SETTLED_NS", 60_000_000_000)
    (tmp_path / "a").write_bytes(OLD)
    assert [digest_file(tmp_path / "a") for _ in range(2)] == [sha(OLD)] * 2
    assert reads == ["a", "a"]


@pytest.mark.parametrize(
    ("changed", "seconds"),
    [(1_000_000_123_456_789, 0.1), (1_000_000_120_000_000, 2.0), (1_000_002_000_000_000, 2.0)],
)
def test_where_a_disk_counts_in_coarse_steps_it_takes_longer_to_settle(
    file: Path, reads: list[str], monkeypatch: pytest.MonkeyPatch, changed: int, seconds: float
) -> None:
    monkeypatch.setattr(digests, "_SETTLED_NS", SETTLED_NS)
    monkeypatch.setattr(digests, "stamp", lambda opened: (1, 2, 3, changed, changed))
    for later, known in ((seconds, False), (seconds + 0.6, True)):
        monkeypatch.setattr(digests.time, "time_ns", lambda later=later: changed + int(later * 1e9))
        reads.clear()
        digest_file(file)
        digest_file(file)
        assert reads == (["a"] if known else ["a", "a"])


def test_a_changed_file_is_read_again_also_with_its_times_set_back(file: Path) -> None:
    before = file.stat()
    assert digest_file(file) == sha(OLD)
    with file.open("r+b") as same:
        same.write(NEW)
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert (file.stat().st_size, file.stat().st_mtime_ns, file.stat().st_ino) == (
        before.st_size,
        before.st_mtime_ns,
        before.st_ino,
    )
    assert digest_file(file) == sha(NEW)


def test_another_file_in_its_place_is_read(file: Path) -> None:
    before = file.stat()
    assert digest_file(file) == sha(OLD)
    other = file.with_name("b")
    other.write_bytes(NEW)
    os.utime(other, ns=(before.st_atime_ns, before.st_mtime_ns))
    other.replace(file)
    assert digest_file(file) == sha(NEW)


def test_a_file_that_changes_while_it_is_read_is_read_again(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = hashlib.file_digest

    def late(opened: Any, name: str) -> Any:
        digest = real(opened, name)
        file.write_bytes(NEW)
        return digest

    monkeypatch.setattr(digests.hashlib, "file_digest", late)
    assert digest_file(file) == sha(OLD)
    monkeypatch.setattr(digests.hashlib, "file_digest", real)
    settle()
    assert digest_file(file) == sha(NEW)


def test_digests_of_many_files_stand_in_their_order(tmp_path: Path) -> None:
    paths = [tmp_path / str(number) for number in range(20)]
    for path in paths:
        path.write_text(path.name)
    assert digest_files([*paths, paths[0]]) == [
        *(sha(path.name.encode()) for path in paths),
        sha(b"0"),
    ]
    assert digest_files([]) == []


def test_a_missing_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        digest_file(tmp_path / "gone")
    with pytest.raises(FileNotFoundError):
        digest_files([tmp_path / "gone"])


def test_forgetting_reads_every_file_again(file: Path, reads: list[str]) -> None:
    digest_file(file)
    forget()
    digest_file(file)
    assert reads == ["a", "a"]


def test_the_digest_of_a_settled_file_is_adopted_wherever_it_is_moved(
    file: Path, reads: list[str]
) -> None:
    moved = file.rename(file.with_name("moved"))  # its stamp changed just now, its content did not
    adopt(moved, sha(OLD))
    assert digest_file(moved) == sha(OLD)
    assert reads == []


def test_a_file_that_is_still_being_written_is_not_adopted(
    file: Path, reads: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(digests, "_SETTLED_NS", 60_000_000_000)
    file.write_bytes(NEW)
    adopt(file, sha(OLD))
    assert digest_file(file) == sha(NEW)
    assert reads == ["a"]


def test_a_file_written_where_nobody_else_writes_is_adopted_at_once(
    file: Path, reads: list[str]
) -> None:
    file.write_bytes(NEW)
    adopt(file, sha(NEW), just_written=True)
    assert digest_file(file) == sha(NEW)
    assert reads == []


_IN_A_PROCESS = """
import hashlib, sys
from pathlib import Path
from syndb_pipeline.base.digests import digest_file, kept
real = hashlib.file_digest
def spy(file, name):
    print("read", Path(file.name).name)
    return real(file, name)
hashlib.file_digest = spy
with kept(Path(sys.argv[1])):
    for path in sys.argv[2:]:
        print(Path(path).name, digest_file(Path(path)))
"""


def in_a_process(home: Path, *names: str) -> tuple[list[str], dict[str, str]]:
    """What another process read of the files `names` in `home`, and their digests as it found
    them.
    """
    command = [
        sys.executable,
        "-c",
        _IN_A_PROCESS,
        str(home / "digests.json"),
        *(str(home / name) for name in names),
    ]
    lines = [
        line.split()
        for line in subprocess.run(
            command, capture_output=True, text=True, check=True
        ).stdout.splitlines()
    ]
    return [name for word, name in lines if word == "read"], {
        word: digest for word, digest in lines if word != "read"
    }


def test_digests_are_kept_from_process_to_process_and_dropped_when_nobody_asks(
    tmp_path: Path,
) -> None:
    for name in "ab":
        (tmp_path / name).write_text(name)
    settle(SETTLED_NS)
    both = {name: sha(name.encode()) for name in "ab"}
    assert in_a_process(tmp_path, "a", "b") == (["a", "b"], both)
    assert in_a_process(tmp_path, "a", "b") == ([], both)
    (tmp_path / "b").write_text("B")
    settle(SETTLED_NS)
    assert in_a_process(tmp_path, "b") == (["b"], {"b": sha(b"B")})  # `a` is not asked for
    assert [digest for _, digest in json.loads((tmp_path / "digests.json").read_bytes())] == [
        sha(b"B")
    ]
    assert in_a_process(tmp_path, "a", "b") == (["a"], {"a": sha(b"a"), "b": sha(b"B")})


def test_what_is_forgotten_within_is_not_kept(file: Path) -> None:
    home = file.with_name("digests.json")
    with kept(home):
        digest_file(file)
        forget()
    assert json.loads(home.read_bytes()) == []


def test_digests_are_kept_when_the_run_fails(file: Path) -> None:
    home = file.with_name("digests.json")
    with pytest.raises(RuntimeError), kept(home):
        digest_file(file)
        raise RuntimeError
    assert [digest for _, digest in json.loads(home.read_bytes())] == [sha(OLD)]


def entry_of(path: Path, digest: Any) -> list[Any]:
    status = path.stat()
    return [
        [status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns],
        digest,
    ]


DAMAGES = {
    "cut off": lambda good, wrong: json.dumps([wrong])[:-3],
    "no JSON": lambda good, wrong: "\0\1",
    "deep": lambda good, wrong: "[" * 100_000,
    "no list": lambda good, wrong: json.dumps({"a": wrong}),
    "a short stamp": lambda good, wrong: json.dumps([wrong, [good[0][:4], good[1]]]),
    "fractions in a stamp": lambda good, wrong: json.dumps(
        [wrong, [list(map(float, good[0])), good[1]]]
    ),
    "a digest that is a number": lambda good, wrong: json.dumps([wrong, [good[0], 5]]),
    "a short digest": lambda good, wrong: json.dumps([wrong, [good[0], "ab" * 31]]),
    "a digest with a line break": lambda good, wrong: json.dumps(
        [wrong, [good[0], "ab" * 32 + "\n"]]
    ),
    "no hex": lambda good, wrong: json.dumps([wrong, [good[0], "xy" * 32]]),
    "more in an entry": lambda good, wrong: json.dumps([wrong, [*good, 1]]),
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_file_of_digests_counts_as_none(
    file: Path, damage: Any, reads: list[str]
) -> None:
    """Also where an entry before the damage is well-formed: none of such a file is believed."""
    home = file.with_name("digests.json")
    home.write_bytes(
        damage(entry_of(file, sha(OLD)), entry_of(file, "ab" * 32)).encode(errors="surrogateescape")
    )
    with kept(home):
        assert digest_file(file) == sha(OLD)
    assert reads == ["a"]
    assert json.loads(home.read_bytes()) == [entry_of(file, sha(OLD))]


def test_a_whole_one_is_believed(file: Path, reads: list[str]) -> None:
    """Or the tests of damaged ones would prove nothing."""
    home = file.with_name("digests.json")
    home.write_text(json.dumps([entry_of(file, "ab" * 32)]))
    with kept(home):
        assert digest_file(file) == "ab" * 32
    assert reads == []


def test_digests_of_another_place_say_nothing_about_files_here(
    file: Path, reads: list[str]
) -> None:
    home = file.with_name("digests.json")
    (device, *others), digest = entry_of(file, "ab" * 32)
    home.write_text(json.dumps([[[device + 1, *others], digest]]))
    with kept(home):
        assert digest_file(file) == sha(OLD)
    assert reads == ["a"]


def test_where_digests_cannot_be_kept_the_run_goes_on(file: Path) -> None:
    home = file.with_name("digests.json")
    home.mkdir()
    with kept(home):
        assert digest_file(file) == sha(OLD)
    with kept(file.parent / "no" / "digests.json"):
        assert digest_file(file) == sha(OLD)
