"""Numbers of text files that DuckDB reads itself: never another value, and no other finding, than
when they are read as text.

Belongs here: the fast way held against the careful one, and when it is taken at all. Does not: the
careful casts (`test_casts.py`).
"""

from __future__ import annotations

import itertools
import math
import os
import random
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pytest

from syndb_pipeline.config.table_settings import TableConfig
from syndb_pipeline.contract.tables import TABLES
from syndb_pipeline.readers import casts
from syndb_pipeline.readers.fence import Fence
from syndb_pipeline.readers.files import Witness
from syndb_pipeline.readers.part import Part
from syndb_pipeline.readers.text import text_files
from syndb_pipeline.stages import table_reader
from syndb_pipeline.stages.part_writer import PartWriter
from syndb_pipeline.stages.table_reader import TableReader
from syndb_pipeline.state.stage import Context
from tests.campaigns import examples
from tests.lab import Ingested, context_for, ingest_folder

CASES = examples(20, 100)

PLAIN = ["1", "2.5", "-3e-7", "+4", "0", "0.0", "", "123456.789", "1e22", "00012", "7e0"]
ODD = [
    *(
        "1_000",
        "1e1_0",
        "1__0",
        "_1",
        "1_",
        "1_.5",
        "1._5",
        "+-5",
        "-+5",
        "--5",
        "++5",
        "+ 5",
        "- 5",
    ),
    *(
        "nan",
        "NaN",
        "-nan",
        "inf",
        "-inf",
        "+inf",
        "Infinity",
        "1e400",
        "-1e400",
        "1e309",
        "1.7976931348623157e308",
        "1.7976931348623159e308",
    ),
    *(
        "1e-400",
        "1e-320",
        "1e-324",
        "3e-324",
        "1e-0400",
        "0e-400",
        "1E-99",
        "0e999",
        "1e-308",
        "1" * 310,
        "1" * 309,
    ),
    *(
        "0." + "0" * 330 + "1",
        "0." + "0" * 250 + "1e-99",
        "0." + "0" * 224 + "1E-99",
        "0." + "0" * 190 + "1e-99",
        "-0." + "0" * 330 + "1",
    ),
    *(
        " 5",
        "5 ",
        "\t5",
        "5\t",
        " 5 ",
        "\v5",
        "5\f",
        "\xa05",
        "5\u200b",
        "\ufeff5",
        " ",
        "   ",
        "\t",
        "\xa0",
        "1 5",
    ),
    *(
        ".5",
        "5.",
        "-.5",
        "+.5",
        "+5.",
        ".",
        "-",
        "+",
        "e",
        "e5",
        ".e5",
        "1e",
        "1e+",
        "1e-",
        "1e05",
        "1E+5",
        "1e5.0",
        "1.2.3",
    ),
    *(
        '""',
        '" 5"',
        '"5"',
        '"1.5"',
        '" "',
        '"1_0"',
        '"n/a"',
        '"1,5"',
        '"1\n5"',
        '"5" ',
        ' "5"',
        '"5"x',
        '"',
        'x"5"',
    ),
    *(
        "n/a",
        "NA",
        "null",
        "NULL",
        "None",
        "-",
        "x",
        "1,5",
        "1;5",
        "1.234,5",
        "0x10",
        "0b1",
        "1f",
        "1d",
        "1%",
        "$1",
        "(1)",
        "1/2",
        "true",
        "t",
    ),
    *(
        "٣",
        "１",
        "½",
        "−5",
        "1e５",
        "-0",
        "-0.0",
        "+0",
        "0.",
        "9007199254740993",
        "123456789012345678901234567890",
        "0.1" + "0" * 100 + "1",
    ),
    *("voxel_radius", "#5", "'5'", "5\0", "\0", "\r", "5\r", "\\N", "2026-11-23", "12:30"),
]
HEADER = ["cid", "voxel_radius", "mesh_volume", "minimum_normal_length", "neurotransmitter"]


@dataclass
class Spy:
    """How often the fast way was taken: for how many tables it was open, and how many it gave."""

    open: int = 0
    given: int = 0
    columns: list[set[int]] = field(default_factory=list)


@pytest.fixture
def spy(monkeypatch: pytest.MonkeyPatch) -> Spy:
    seen = Spy()
    with_numbers, write = text_files.with_numbers, PartWriter._write_with_numbers

    def spied(part: Part, numbers: Any) -> Part:
        typed = with_numbers(part, numbers)
        if typed is not part:
            seen.columns.append(
                {index for index, kind in enumerate(typed.types) if kind == "DOUBLE"}
            )
        return typed

    def spied_write(*arguments: Any) -> bool:
        before = len(seen.columns)
        given = write(*arguments)
        seen.open += len(seen.columns) > before
        seen.given += given
        return given

    monkeypatch.setattr(text_files, "with_numbers", spied)
    monkeypatch.setattr(PartWriter, "_write_with_numbers", spied_write)
    return seen


@dataclass
class Bench:
    """Reads the table of one dataset again and again, in one DuckDB, as the ingest stage does."""

    context: Context
    connection: duckdb.DuckDBPyConnection
    monkeypatch: pytest.MonkeyPatch
    fence: Fence = field(default_factory=Fence)  # nothing here is read behind it

    def read(self, *, fast: bool) -> Any:
        """Everything that reading leaves: rows with what is told of their cells, problems, places,
        refused lines.
        """
        scratch, target = (
            self.context.store.scratch / "reading",
            self.context.store.scratch / "out.parquet",
        )
        shutil.rmtree(scratch, ignore_errors=True)
        scratch.mkdir(parents=True)
        target.unlink(missing_ok=True)
        self.connection.execute(
            "CREATE OR REPLACE TABLE unreadable (tbl VARCHAR, file VARCHAR, sheet VARCHAR, line"
            " BIGINT, text VARCHAR, code VARCHAR)"
        )
        with self.monkeypatch.context() as patch:
            patch.setattr(table_reader, "witness", Witness())
            if not fast:
                patch.setattr(text_files, "with_numbers", lambda part, numbers: part)
            read = TableReader(
                self.context,
                self.connection,
                TABLES["vesicle"],
                self.context.config.tables["vesicle"],
                scratch,
                self.fence,
            ).read(target)
        rows = (
            self.connection.execute(f"FROM read_parquet('{target}')").fetchall()
            if target.is_file()
            else None
        )
        # repr tells -0.0 from 0.0
        return (
            repr(rows),
            repr(read),
            repr(self.connection.execute("FROM unreadable ORDER BY ALL").fetchall()),
        )


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    context = context_for(tmp_path, {"vesicle": "v*.csv"})
    with context.duckdb() as connection:
        casts.prepare(connection)
        yield Bench(context, connection, monkeypatch)


def random_table(chance: random.Random) -> bytes:
    """A table of a few rows: mostly whole and plain, with one odd cell or a few, and now and then
    an odd line.
    """
    mark = chance.choice([",", ",", "\t", ";"])
    end = chance.choice(["\n", "\n", "\r\n", "\r"])
    share = chance.choice([0.0, 0.05, 0.1, 0.3])
    lines = [mark.join(HEADER)]
    for number in range(chance.randint(1, 8)):
        numbers = [chance.choice(ODD if chance.random() < share else PLAIN) for _ in range(2)]
        whole = chance.choice(["1", "", "12", "12.0"] if chance.random() > share / 4 else ODD)
        word = chance.choice(["gaba", "", "a_1", '"b, c"'] if chance.random() < 0.2 else ["gaba"])
        lines.append(mark.join([f"v{number}", *numbers, whole, word]))
    if chance.random() < share / 2:
        lines.insert(
            chance.randint(1, len(lines)),
            chance.choice(
                ["", lines[0], mark * 4, mark * 5, "x", "a" + mark * 9, "# note", "v9_9" + mark * 4]
            ),
        )
    return (end.join(lines) + chance.choice([end, end, "", end * 2])).encode()


def test_random_tables_are_read_the_same_both_ways(bench: Bench, spy: Spy) -> None:
    """`SYNDB_NUMBER_CASES` tells how many tables are tried, and `SYNDB_NUMBER_SEED` which."""
    seed = int(os.environ.get("SYNDB_NUMBER_SEED", "1"))
    for case in range(seed * 1_000_000, seed * 1_000_000 + CASES):
        content = random_table(random.Random(case))
        (bench.context.config.folder / "v.csv").write_bytes(content)
        assert bench.read(fast=True) == bench.read(fast=False), f"case {case}: {content!r}"
    assert spy.given > CASES / 4  # the fast way was taken often enough for this to mean something
    assert spy.open - spy.given > CASES / 20  # and so was the way back


@pytest.mark.parametrize("cell", [cell for cell in ODD if '"' in cell or "\r" in cell])
def test_a_cell_that_is_odd_to_the_reader_of_lines_is_read_the_same_both_ways(
    bench: Bench, cell: str
) -> None:
    content = f"{','.join(HEADER)}\na,{cell},2,3,gaba\nb,2,3,4,x"
    (bench.context.config.folder / "v.csv").write_text(content, newline="")
    assert bench.read(fast=True) == bench.read(fast=False)


@pytest.mark.parametrize(
    "content",
    [
        "cid,voxel_radius,mesh_volume\n,nm,nm^3\na,1.5,2\n",
        "cid,voxel_radius\na,1\ncid,voxel_radius\nb,2\n",
        "cid,voxel_radius,mesh_volume\na,1.5,2\nb,1.5,2.",
        "cid,voxel_radius,voxel_radius\na,1.5,2\n",
        "cid,voxel_radius\na,1\n,\nb,2\nTotal,3\n",
        "cid,voxel_radius\n\n\na,1\n\nb,2\n\n\n",
        "cid,voxel_radius\n",
    ],
)
def test_what_is_told_of_lines_is_told_both_ways(bench: Bench, content: str) -> None:
    (bench.context.config.folder / "v.csv").write_text(content)
    assert bench.read(fast=True) == bench.read(fast=False)


def test_random_rows_are_cast_the_same_both_ways(tmp_path: Path) -> None:
    """Thousands of rows in one go: those that DuckDB reads as numbers, and nobody says a word
    about, are what the texts give.
    """
    chance = random.Random(5)
    cells = [cell for cell in ODD if not {'"', "\r", "|"} & set(cell)]
    rows = [
        [chance.choice(cells if chance.random() < 0.3 else PLAIN) for _ in range(2)]
        for _ in range(40 * CASES)
    ]
    path = tmp_path / "x.csv"
    path.write_text(
        "".join(f"{number}|{'|'.join(row)}|gaba\n" for number, row in enumerate(rows)), newline=""
    )
    order = ["cid", "voxel_radius", "mesh_volume", "neurotransmitter"]
    compared = 0
    with duckdb.connect(config={"threads": 1}) as connection:
        casts.prepare(connection)
        fast, careful = (
            _cast_rows(connection, path, order, kind) for kind in ("DOUBLE", "VARCHAR")
        )
    assert len(careful) == len(rows)
    for key, values in fast.items():
        odd = text_files.ODD_NUMBER.search("|".join(rows[int(key)]).encode())
        if odd or any(cell["kind"] == "uncast" for cell in values[-1] or []):
            continue
        compared += 1
        assert repr(values) == repr(careful[key]), rows[int(key)]
    assert compared > len(rows) / 4


def _cast_rows(
    connection: duckdb.DuckDBPyConnection, path: Path, order: list[str], kind: str
) -> dict[str, tuple[Any, ...]]:
    """Key -> typed row, the two columns of numbers read as `kind`; rows that DuckDB refuses are
    left out.
    """
    types = ("VARCHAR", kind, kind, "VARCHAR")
    source = text_files._source(path, "|", types, 0).replace(
        "ignore_errors=false", "ignore_errors=true"
    )
    part = Part(path, "x", tuple(order), types, source, 0)
    indexes = {name: index for index, name in enumerate(order)}
    query = casts.select(part, indexes, TABLES["vesicle"].columns, order, TableConfig(file="x"))
    return {
        row[0]: row
        for row in connection.execute(
            f"SELECT * REPLACE ({casts.cells_of()} AS _cells) FROM ({query})"
        ).fetchall()
    }


def test_several_files_are_read_the_same_both_ways(bench: Bench, spy: Spy) -> None:
    """One that nobody vouches for is read as text beside the others, and one that fails takes all
    of them to the careful way.
    """
    folder, head = bench.context.config.folder, ",".join(HEADER)
    (folder / "v1.csv").write_text(f"{head}\na,1.5,2,3,x\n")
    (folder / "v2.csv").write_text(f"{head}\nb,1_5,2,3,x\nc, 7,1e-400,3,x\n")
    assert bench.read(fast=True) == bench.read(fast=False)
    assert (spy.open, spy.given, len(spy.columns)) == (1, 0, 1)  # 1_5 is told, so all is read again
    (folder / "v2.csv").write_text(f"{head}\nb_2_2,1.5,2,3,x\n")
    assert bench.read(fast=True) == bench.read(fast=False)
    assert (spy.open, spy.given, len(spy.columns)) == (2, 1, 2)
    (folder / "v3.csv").write_text(f"{head}\nd,n/a,2,3,x\n")
    assert bench.read(fast=True) == bench.read(fast=False)
    assert (spy.open, spy.given) == (3, 1)


def ingest_text(folder: Path, content: str, **config: Any) -> Ingested:
    (folder / "v.csv").write_text(content)
    return ingest_folder(folder, {"vesicle": {"file": "v.csv", **config}})


CLEAN = "cid,voxel_radius,mesh_volume,neurotransmitter\na,1.5,2e3,gaba\nb,,-0,\n"


def test_a_clean_file_is_read_the_fast_way(tmp_path: Path, spy: Spy) -> None:
    done = ingest_text(tmp_path, CLEAN)
    assert (spy.open, spy.given, spy.columns) == (1, 1, [{1, 2}])
    assert done.rows("vesicle") == [("a", 1.5, 2000.0, "gaba"), ("b", None, 0.0, None)]
    assert done.findings == [] and done.cells() == []


@pytest.mark.parametrize("cell", ["n/a", "nan", "inf", "1e400", "1;5", "x"])
def test_a_marker_takes_the_table_back_to_the_careful_way(
    tmp_path: Path, spy: Spy, cell: str
) -> None:
    done = ingest_text(tmp_path, f"{CLEAN}c,{cell},1,gaba\n")
    assert (spy.open, spy.given) == (1, 0)
    assert done.cells() == [("vesicle", 2, "voxel_radius", cell, "uncast")]
    assert done.rows("vesicle", "voxel_radius") == [(1.5,), (None,), (None,)]


@pytest.mark.parametrize(
    "cell", ["1_000", "+-5", "1e-400", "1e1_0", "0." + "0" * 330 + "1", "0." + "0" * 250 + "1e-99"]
)
def test_what_duckdb_reads_otherwise_than_it_is_written_never_goes_the_fast_way(
    tmp_path: Path, spy: Spy, cell: str
) -> None:
    done = ingest_text(tmp_path, f"{CLEAN}c,{cell},1,gaba\n")
    assert spy.columns == []
    assert done.cells() == [("vesicle", 2, "voxel_radius", cell, "uncast")]


@pytest.mark.parametrize(
    ("config", "columns"),
    [
        ({"missing": ["-1"]}, []),
        ({"decimal": ","}, []),
        ({"thousands": " "}, []),
        ({"units": {"voxel_radius": "um"}}, [{2}]),
        ({"units": {"voxel_radius": "um", "mesh_volume": "um"}}, []),
    ],
    ids=str,
)
def test_settings_that_change_numbers_keep_their_columns_out_of_it(
    tmp_path: Path, spy: Spy, config: dict[str, Any], columns: list[set[int]]
) -> None:
    content = CLEAN if "decimal" not in config else CLEAN.replace(",", ";").replace("1.5", "1,5")
    done = ingest_text(tmp_path, content, **config)
    assert spy.columns == columns
    assert done.tables["vesicle"].passed == 2


@pytest.mark.parametrize(
    ("letters", "most"), [("01_+-.eE", 4), ("1 \t,\v\f\xa0\u200b\0x$naifd%'", 3)]
)
def test_every_short_text_that_is_vouched_for_is_read_as_the_casts_read_it(
    tmp_path: Path, letters: str, most: int
) -> None:
    """All texts there are of these letters: where DuckDB gives a number, the careful cast gives the
    same one, and tells nothing.
    """
    texts = [
        "".join(word)
        for size in range(1, most + 1)
        for word in itertools.product(letters, repeat=size)
    ]
    path = tmp_path / "x.csv"
    path.write_text("".join(f"{number}|{word}\n" for number, word in enumerate(texts)), newline="")
    column = next(
        column for column in TABLES["vesicle"].columns.values() if column.name == "voxel_radius"
    )
    given = pa.table({"number": list(range(len(texts))), "c0": texts})
    with duckdb.connect(config={"threads": 1}) as connection:
        casts.prepare(connection)
        connection.register("given", given)
        lenient = text_files._source(path, "|", ["BIGINT", "DOUBLE"], 0).replace(
            "ignore_errors=false", "ignore_errors=true"
        )
        fast = connection.execute(f"FROM {lenient}").fetchall()
        part = Part(
            path, "x", ("n",), ("VARCHAR",), "(SELECT c0 FROM given ORDER BY number)", len(texts)
        )
        query = casts.select(part, {"n": 0}, {"n": column}, ["n"], TableConfig(file="x"))
        careful = connection.execute(query).fetchall()
    told = 0
    for number, value in fast:
        if (value is not None and not math.isfinite(value)) or text_files.ODD_NUMBER.search(
            texts[number].encode()
        ):
            continue
        told += 1
        assert (repr(value), None) == (repr(careful[number][0]), careful[number][1]), repr(
            texts[number]
        )
    assert told > 50
