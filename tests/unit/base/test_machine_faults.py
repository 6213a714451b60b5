"""What a person reads of a fault of the machine: the file, the reason and the next step.

Belongs here: real faults of small files. Does not: what commands do about them.
"""

from __future__ import annotations

import os
import resource
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import duckdb
import pytest

from syndb_pipeline.base.errors import Exit, of_the_machine
from syndb_pipeline.state.store import write_atomically

LARGE = 200_000


@contextmanager
def limited(what: int, value: int) -> Iterator[None]:
    before = resource.getrlimit(what)
    resource.setrlimit(what, (value, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(what, before)


def record(folder: Path) -> None:
    write_atomically(folder / "wanted", "a" * LARGE)


def table(folder: Path) -> None:
    duckdb.execute(f"COPY (SELECT i, hash(i) FROM range({LARGE}) t(i)) TO '{folder}/wanted'")


def copy(folder: Path) -> None:
    shutil.copyfile(folder / "source", folder / "wanted")


def text(folder: Path) -> None:
    with (folder / "wanted").open("w") as file:
        file.write("a" * LARGE)


def reading(folder: Path) -> None:
    (folder / "wanted").read_bytes()


def runs(folder: Path) -> None:
    database = sqlite3.connect(folder / "runs.db")
    database.execute("PRAGMA max_page_count = 4")
    database.execute(f"CREATE TABLE runs AS SELECT '{'a' * LARGE}' AS run")


SIZE, FILES = resource.RLIMIT_FSIZE, resource.RLIMIT_NOFILE


@pytest.mark.parametrize(
    ("act", "limit", "value", "told"),
    [
        (record, SIZE, 9000, "{}/wanted: a file may not become as large"),
        (table, SIZE, 9000, "{}/wanted: a file may not become as large"),
        (text, SIZE, 9000, "{}/wanted: a file may not become as large"),
        (copy, SIZE, 999, "{}/wanted: a file may not become as large"),
        (reading, FILES, 0, "{}/wanted: this process has as many files open as it may"),
        (runs, FILES, 999, "Dagster's database of runs"),
    ],
)
def test_a_limit_is_told_with_the_file_that_met_it(
    tmp_path: Path, act: Callable[[Path], None], limit: int, value: int, told: str
) -> None:
    (tmp_path / "source").write_bytes(b"a" * 1000)
    with limited(limit, value), pytest.raises(Exception) as raised:
        act(tmp_path)

    said = of_the_machine(raised.value)
    assert said is not None and said.exit is Exit.INTERNAL
    assert said.message.startswith(told.format(tmp_path))
    assert said.next_step.endswith("; then give the same command again.")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write into any folder")
def test_a_folder_that_may_not_be_written_is_named(tmp_path: Path) -> None:
    tmp_path.chmod(0o555)
    with pytest.raises(PermissionError) as raised:
        record(tmp_path)

    assert "this user may not open or change it" in str(of_the_machine(raised.value))


def test_a_mistake_of_ours_is_none_of_the_machine() -> None:
    for mistake in (ValueError("No space left on device"), duckdb.BinderException("no column x")):
        assert of_the_machine(mistake) is None
