"""The engine's promises: UUIDs equal to Python's, odd paths, limits, and bytes that depend on rows
alone.
"""

from __future__ import annotations

import importlib
import os
import re
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any
from uuid import UUID, uuid5

import duckdb
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from syndb_pipeline.base import engine
from syndb_pipeline.base.digests import digest_file
from tests.campaigns import examples, sampled

pytestmark = pytest.mark.usefixtures("started_each")

NAMESPACE = UUID("01939c0e-7b1a-7c3e-9f53-6f0c6b1d2a11")
KEYS = st.text(st.characters(blacklist_categories=["Cs"], blacklist_characters="\0"), max_size=60)


@pytest.fixture
def spill(tmp_path: Path) -> Path:
    return tmp_path / "spill"


@settings(
    max_examples=examples(15, 100),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    namespace=st.uuids(),
    keys=st.lists(KEYS, min_size=1, max_size=30),
    table=st.sampled_from(["neuron", "pre_synaptic_terminal"]),
)
def test_row_uuid_is_pythons_uuid5(
    spill: Path, namespace: UUID, keys: list[str], table: str
) -> None:
    with engine.connect(
        memory_limit=1_000_000_000, threads=1, spill=spill, dataset=namespace
    ) as connection:
        rows = connection.execute(
            "SELECT row_uuid(?, key) FROM (SELECT unnest(?::VARCHAR[]) AS key)", [table, keys]
        ).fetchall()
    assert [row[0] for row in rows] == [uuid5(namespace, f"{table}/{key}") for key in keys]


ODD_KEYS = ("", "1", "01", "1.0", " 1", "864691135571546917", "é", "e\u0301", "神経", "🧠", "a/b")


def test_keys_that_differ_in_one_character_differ(spill: Path) -> None:
    with engine.connect(
        memory_limit=1_000_000_000, threads=1, spill=spill, dataset=NAMESPACE
    ) as connection:
        for key in (*ODD_KEYS, "'; DROP", "x" * 10_000):
            ((same, other, nothing),) = connection.execute(
                "SELECT row_uuid('neuron', k), row_uuid('neuron', k || '0'),"
                " row_uuid('neuron', NULL) FROM (SELECT ?::VARCHAR AS k)",
                [key],
            ).fetchall()
            assert same == uuid5(NAMESPACE, f"neuron/{key}")
            assert other == uuid5(NAMESPACE, f"neuron/{key}0") != same
            assert nothing is None
            assert same.version == 5


@pytest.fixture(scope="module")
def connection() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect() as opened:
        yield opened


@settings(max_examples=100, deadline=None)
@given(text=KEYS)
def test_quote_and_literal_survive_any_text(
    connection: duckdb.DuckDBPyConnection, text: str
) -> None:
    assert connection.execute(f"SELECT {engine.literal(text)}").fetchone() == (text,)
    if text:
        described = connection.execute(f"SELECT 1 AS {engine.quote(text)}").description
        assert described[0][0] == text


def test_literal_of_other_values() -> None:
    assert engine.literal(None) == "NULL"
    assert engine.literal(True) == "TRUE"
    assert engine.literal([1, "a'b", None]) == "[1, 'a''b', NULL]"


def test_a_folder_may_have_any_name(tmp_path: Path, spill: Path) -> None:
    decoy = tmp_path / "decoy"
    decoy.mkdir()
    with engine.connect(memory_limit=1_000_000_000, threads=1, spill=spill) as connection:

        def rows(item: str) -> Any:
            return connection.execute(f"FROM {item}").fetchall()

        engine.write_parquet(connection, "SELECT 99 AS i", decoy / "t.parquet")
        for name in (
            *("plain", "with space", "quo'te", 'dou"ble', "star*", "what?", "[brackets]"),
            *("[a-z]*?", "ünï", "per%cent", "a{b,c}", "i=99", "mat=783"),
        ):
            path = tmp_path / name / "t.parquet"
            path.parent.mkdir()
            assert engine.write_parquet(connection, "SELECT i FROM range(3) AS t(i)", path) == 3
            assert rows(engine.parquet(path)) == [(0,), (1,), (2,)], name
            assert rows(engine.parquet(path, row_number=True)) == [(0, 0), (1, 1), (2, 2)], name
            assert rows(engine.parquet(path, decoy / "t.parquet"))[-1] == (99,), name


def test_parquet_files_are_read_in_one_way() -> None:
    """Whoever writes the function himself forgets that a folder `x=1` is no column."""
    package = Path(engine.__file__).parents[2]
    sources = (package / "syndb_pipeline").rglob("*.py")
    readers = {
        path.name
        for path in sources
        if re.search(r"read_parquet\(|parquet_scan\(|FROM '", path.read_text(encoding="utf-8"))
    }
    assert readers == {"engine.py"}


def test_threads_and_memory_do_not_change_bytes(tmp_path: Path, spill: Path) -> None:
    query = (
        "SELECT i::VARCHAR AS key, row_uuid('vesicle', i::VARCHAR) AS cid, hash(i) / 7.0 AS x FROM"
        " range(400_000) AS t(i)"
    )
    digests = set()
    for number, (threads, memory) in enumerate(
        [(1, 2_000_000_000), (2, 2_000_000_000), (4, 700_000_000)]
    ):
        path = tmp_path / f"{number}.parquet"
        with engine.connect(
            memory_limit=memory, threads=threads, spill=spill, dataset=NAMESPACE
        ) as connection:
            assert engine.write_parquet(connection, query, path) == 400_000
        digests.add(digest_file(path))
    assert len(digests) == 1


@pytest.mark.parametrize("threads", [1, 2])
def test_selects_of_a_union_are_written_in_their_order(
    tmp_path: Path, spill: Path, threads: int
) -> None:
    path, parts = tmp_path / "union.parquet", [tmp_path / f"{number}" for number in range(2)]
    query = " UNION ALL ".join(f"(FROM {engine.parquet(part)})" for part in parts)
    with engine.connect(memory_limit=1_000_000_000, threads=threads, spill=spill) as connection:
        for first, part in zip((0, 150_000), parts, strict=True):
            numbers = f"SELECT i FROM range({first}, {first + 150_000}) t(i)"
            engine.write_parquet(connection, numbers, part)
        engine.write_parquet(connection, query, path)
        numbered = engine.parquet(path, row_number=True)
        odd = f"SELECT count(*) FROM {numbered} WHERE i <> file_row_number"
        assert connection.execute(odd).fetchall() == [(0,)]
        assert connection.execute("SELECT current_setting('threads')").fetchone() == (threads,)


def test_rows_of_pythons_are_a_view_with_the_types_they_were_given(spill: Path) -> None:
    columns = {"row": "BIGINT", "text": "VARCHAR"}
    with engine.connect(memory_limit=1_000_000_000, threads=1, spill=spill) as connection:
        for rows in ([], [(2**62, None), (None, "é\n'")]):
            with engine.given(connection, "handed", columns, iter(rows)):
                assert [
                    row[:2] for row in connection.execute("DESCRIBE FROM handed").fetchall()
                ] == [*columns.items()]
                assert connection.execute("FROM handed").fetchall() == rows
            with pytest.raises(duckdb.CatalogException):
                connection.execute("FROM handed")


def test_the_limits_reach_duckdb_and_nothing_is_fetched(spill: Path) -> None:
    with engine.connect(memory_limit=1_400_000_000, threads=3, spill=spill) as connection:
        names = (
            "threads",
            "temp_directory",
            "autoinstall_known_extensions",
            "autoload_known_extensions",
            "TimeZone",
        )
        values = {
            name: connection.execute(f"SELECT current_setting('{name}')").fetchone()[0]
            for name in names
        }
        memory = connection.execute("SELECT current_setting('memory_limit')").fetchone()[0]
    assert values == {
        "threads": 3,
        "temp_directory": str(spill),
        "autoinstall_known_extensions": False,
        "autoload_known_extensions": False,
        "TimeZone": "UTC",
    }
    assert memory == "953.6 MiB"  # 1.4 GB less what is kept for Python
    assert spill.is_dir()


def test_a_small_limit_spills_instead_of_failing(tmp_path: Path, spill: Path) -> None:
    with engine.connect(memory_limit=500_000_000, threads=2, spill=spill) as connection:
        rows = engine.write_parquet(
            connection,
            "SELECT hash(i) AS h, repeat('x', 40) || i AS pad FROM range(2_000_000) AS t(i) ORDER"
            " BY h",
            tmp_path / "sorted.parquet",
        )
    assert rows == 2_000_000


@pytest.mark.parametrize(
    ("memory", "threads"),
    sampled(
        "sorted rows",
        [("100MB", 1), ("100MB", 2), ("100MB", 4), ("1600MB", 1), ("1600MB", 4)],
        2,
    ),
)
def test_sorted_rows_are_the_same_file_as_rows_that_came_in_order(
    tmp_path: Path, memory: str, threads: int
) -> None:
    rows = 12 * engine.ROW_GROUP_ROWS + 7
    columns = """i AS row_number, md5(i::VARCHAR)::UUID AS cid, CASE WHEN i > 600_000 THEN md5((i // 9)::VARCHAR)::UUID END AS late,
                 5::INTEGER AS code, repeat('word ', (hash(i) % 9)::INTEGER) || i // 1000 AS words, hash(i) / 7.0 AS x"""
    with engine.connect(
        memory_limit=2_000_000_000, threads=2, spill=tmp_path / "spill"
    ) as connection:
        engine.write_parquet(
            connection, f"SELECT {columns} FROM range({rows}) t(i)", tmp_path / "ordered"
        )
        engine.write_parquet(
            connection,
            f"FROM {engine.parquet(tmp_path / 'ordered')} ORDER BY hash(row_number)",
            tmp_path / "mixed",
        )
    with (tmp_path / "sorted").open("wb") as left:
        left.truncate(2**30)  # as by a run that failed
    with engine.connect(
        memory_limit=2_000_000_000, threads=threads, spill=tmp_path / "spill"
    ) as connection:
        connection.execute(f"SET memory_limit = '{memory}'")
        # A join puts rows into chunks of any size.
        filtered = (
            f"FROM {engine.parquet(tmp_path / 'mixed')} WHERE hash(row_number) % 7 >= 0 AND"
            " row_number NOT IN (-1, -2)"
        )
        engine.write_sorted(connection, filtered, "row_number", tmp_path / "sorted")
        groups = (
            f"SELECT DISTINCT row_group_num_rows FROM parquet_metadata('{tmp_path / 'sorted'}')"
            " ORDER BY 1 DESC"
        )
        assert connection.execute(groups).fetchall() == [(engine.ROW_GROUP_ROWS,), (7,)]
        assert connection.execute("SHOW TABLES").fetchall() == []
    assert digest_file(tmp_path / "sorted") == digest_file(tmp_path / "ordered")


def test_rows_on_their_way_to_the_disk_leave_memory_for_what_is_not_counted() -> None:
    assert engine.memory_to_spill(600_000_000, 0) == 600_000_000
    assert engine.memory_to_spill(600_000_000, 30_000_000) == 555_000_000
    assert (
        engine.memory_to_spill(600_000_000, 10**9)
        == engine.memory_to_spill(600_000_000, 10**12)
        == 540_000_000
    )
    assert engine.memory_to_spill(310_000_000, 30_000_000) == 300_000_000
    assert engine.memory_to_spill(100_000_000, 30_000_000) == 100_000_000


ENDLESS = "SELECT count(*) FROM range(1_000_000_000_000) t(i) WHERE hash(i) = 1"


def test_work_side_by_side_gives_its_results_in_order_at_most_so_many_at_a_time(
    spill: Path,
) -> None:
    at_work, most, lock = 0, 0, threading.Lock()

    def work(cursor: duckdb.DuckDBPyConnection, item: int) -> int:
        nonlocal at_work, most
        with lock:
            at_work += 1
            most = max(most, at_work)
        time.sleep(0.02 * (5 - item))
        [(found,)] = cursor.execute(
            "SELECT number * 10 FROM numbers WHERE number = ?", [item]
        ).fetchall()
        with lock:
            at_work -= 1
        return int(found)

    with engine.connect(memory_limit=600_000_000, threads=2, spill=spill) as connection:
        connection.execute("CREATE TABLE numbers AS SELECT range::INTEGER AS number FROM range(10)")
        assert engine.side_by_side(connection, work, [1, 2, 3, 4], 2) == [10, 20, 30, 40]
        assert most == 2
        assert engine.side_by_side(connection, work, [], 2) == []
        assert connection.execute("SELECT current_setting('disabled_optimizers')").fetchall() == [
            ("",)
        ]


def test_jobs_wait_for_one_another_and_for_memory(spill: Path) -> None:
    together: list[set[str]] = []
    at_work: set[str] = set()
    lock = threading.Lock()
    both_fit = threading.Barrier(2)

    def work(own: duckdb.DuckDBPyConnection, item: str) -> str:
        with lock:
            at_work.add(item)
            together.append(set(at_work))
        own.execute("SELECT 1")
        if item in ("half", "root"):
            both_fit.wait(30)
        time.sleep(0.02)
        with lock:
            at_work.remove(item)
        return item.upper()

    @contextmanager
    def connected(_: engine.Job[str]) -> Iterator[duckdb.DuckDBPyConnection]:
        with engine.connect(memory_limit=600_000_000, threads=1, spill=spill) as own:
            yield own

    jobs = [
        engine.Job("leaf", frozenset({"stem"}), 10),
        engine.Job("half", memory=50),
        engine.Job("stem", frozenset({"root"}), 60),
        engine.Job("root", memory=50),
        engine.Job("whale", memory=1_000),
    ]
    gave = engine.do_jobs(jobs, work, connected, 3, memory=100)
    assert gave == {name: name.upper() for name in ("leaf", "half", "stem", "root", "whale")}
    begun = [
        next(iter(now - before))
        for before, now in pairwise([set(), *together])
        if len(now - before) == 1
    ]
    assert begun.index("root") < begun.index("stem") < begun.index("leaf")
    assert {"half", "root"} in together, "both fit into memory"
    assert {"whale"} in together and not any("whale" in now and len(now) > 1 for now in together), (
        "too large for company"
    )
    assert not any({"half", "stem"} <= now for now in together), "together too large"
    for waiting in (frozenset({"b"}), frozenset({"nobody"})):
        with pytest.raises(ValueError, match="None of these can begin"):
            engine.do_jobs(
                [engine.Job("a", waiting), engine.Job("b", frozenset({"a"}))], work, connected, 2
            )


@pytest.mark.parametrize("own", [False, True], ids=["cursors", "connections"])
@pytest.mark.parametrize("how", ["an error", "Ctrl+C"])
def test_what_ends_one_of_several_side_by_side_stops_the_others(
    spill: Path, how: str, own: bool
) -> None:
    def work(cursor: duckdb.DuckDBPyConnection, item: str) -> None:
        if item == "an error":
            time.sleep(0.5)
            raise ZeroDivisionError
        if item == "Ctrl+C":
            time.sleep(0.5)
            os.kill(os.getpid(), signal.SIGINT)
        cursor.execute(ENDLESS).fetchall()

    importlib.import_module("polars")  # it makes Ctrl+C a signal that interrupts no wait
    began = time.monotonic()
    with engine.connect(memory_limit=600_000_000, threads=2, spill=spill) as connection:
        with pytest.raises(ZeroDivisionError if how == "an error" else KeyboardInterrupt):
            items = ["endless", how, "never begun"]
            if own:
                limits: dict[str, Any] = {"memory_limit": 600_000_000, "threads": 1, "spill": spill}
                engine.do_jobs(
                    [engine.Job(item) for item in items],
                    work,
                    lambda _: engine.connect(**limits),
                    2,
                )
            else:
                engine.side_by_side(connection, work, items, 2)
        assert connection.execute("SELECT 1").fetchall() == [(1,)]
    assert time.monotonic() - began < 20


def test_a_file_that_could_not_be_forced_to_disk_ahead_fails_where_it_is_relied_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, moved = tmp_path / "table.parquet", tmp_path / "moved.parquet"
    file.write_bytes(b"rows")

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        engine.flush_ahead(file)
        with pytest.raises(OSError, match="No space"):
            engine.flush(file)
    file.rename(moved)
    engine.flush_ahead(file)  # it is not there any more, and nothing will rely on it
    moved.rename(file)
    engine.flush(file)
