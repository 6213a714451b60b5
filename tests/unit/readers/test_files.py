"""Looks at files from outside: what is refused, and that what a lab may well have is not.

Belongs here: single looks. Does not: the command, time and memory
(`tests/integration/test_hostile_files.py`).
"""

from __future__ import annotations

import gzip
import io
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import xlsxwriter

from syndb_pipeline.base.escape_text import visible, visible_json
from syndb_pipeline.config.settings import TableConfig
from syndb_pipeline.readers import files
from syndb_pipeline.readers.fence import Fence
from syndb_pipeline.readers.files import Guard
from syndb_pipeline.readers.formats import Means, format_of
from syndb_pipeline.readers.part import MAX_COLUMNS, Unreadable, gunzipped
from tests.hostile_files import many_columns, sheet


@pytest.fixture(scope="module")
def fence() -> Iterator[Fence]:
    with Fence() as opened:
        yield opened


def refused(path: Path, fence: Fence) -> str:
    """Why the file is refused; "" when it is read."""
    config = TableConfig(file=path.name)
    try:
        Guard(path.parent, None, config).check(path)
        own = format_of(path)
        assert own is not None
        with duckdb.connect() as connection:
            if path.suffix != ".csv":
                own.peek(path, Means(connection, fence, path.parent), 5)
    except Unreadable as error:
        return f"{error.problems[0].code} {error.reason}"
    return ""


def test_columns_up_to_the_limit(tmp_path: Path, fence: Fence) -> None:
    many_columns(tmp_path / "a.csv", MAX_COLUMNS - 1)
    assert refused(tmp_path / "a.csv", fence) == ""
    many_columns(tmp_path / "a.csv", MAX_COLUMNS)
    assert "4,097 columns" in refused(tmp_path / "a.csv", fence)


def test_gzip_in_parts_as_programs_write_it() -> None:
    parts = (
        b"".join(gzip.compress(b"n%d,1\n" % number * 3_000) for number in range(1_500))
        + gzip.compress(b"")
        + bytes(512)
    )
    assert len(b"".join(gunzipped(io.BytesIO(parts), "a.csv.gz"))) == sum(
        len(b"n%d,1\n" % number) * 3_000 for number in range(1_500)
    )


@pytest.mark.parametrize("cut", [5, 40])
def test_gzip_that_stops_early(cut: int) -> None:
    with pytest.raises(EOFError):
        list(gunzipped(io.BytesIO(gzip.compress(bytes(range(256)) * 10)[:-cut]), "a.csv.gz"))
    with pytest.raises(zlib.error):
        list(gunzipped(io.BytesIO(b"no gzip at all"), "a.csv.gz"))


def test_an_honest_workbook_passes_and_a_liar_does_not(tmp_path: Path, fence: Fence) -> None:
    path = tmp_path / "neuron.xlsx"
    with xlsxwriter.Workbook(path) as book:
        page = book.add_worksheet("S")
        for row in range(600):
            page.write_row(row, 0, [f"n{row}", row / 7, "a long text that many cells share " * 20])
    assert refused(path, fence) == ""
    sheet(path, "")
    whole = path.read_bytes()
    path.write_bytes(whole[:-22] + whole[-22:-6] + struct.pack("<I", 7) + whole[-2:])
    assert "directory" in refused(path, fence)


def with_extended_end(content: bytes, count: int | None = None) -> bytes:
    """A zip archive with the 64-bit end that some programs, Java's among them, write whatever the
    size; its plain end stays as it is.
    """
    plain = content[-22:]
    entries, length, start = struct.unpack("<10xHII2x", plain)
    end = struct.pack(
        "<4sQHHIIQQQQ",
        b"PK\6\6",
        44,
        45,
        45,
        0,
        0,
        entries,
        entries if count is None else count,
        length,
        start,
    )
    return content[:-22] + end + struct.pack("<4sIQI", b"PK\6\7", 0, len(content) - 22, 1) + plain


def test_an_archive_may_tell_its_end_twice_if_both_agree(tmp_path: Path, fence: Fence) -> None:
    path = tmp_path / "a.xlsx"
    with xlsxwriter.Workbook(path) as book:
        book.add_worksheet("neuron").write_row(0, 0, ["cid"])
    content = path.read_bytes()
    path.write_bytes(with_extended_end(content))
    assert refused(path, fence) == ""
    path.write_bytes(with_extended_end(content, count=1))
    assert "contradicts itself" in refused(path, fence)


def test_parquet_as_programs_write_it(tmp_path: Path, fence: Fence) -> None:
    path = tmp_path / "a.parquet"
    table = pa.table(
        {
            "cid": pa.array(range(1_200_000)),
            "note": pa.array(["x" * 5_000] * 10 + [None] * 1_199_990),
        }
    )
    pq.write_table(
        table,
        path,
        compression="zstd",
        column_encoding={"cid": "DELTA_BINARY_PACKED"},
        use_dictionary=["note"],
    )
    assert refused(path, fence) == ""
    pq.write_table(pa.table({f"c{n}": [1] for n in range(MAX_COLUMNS - 1)}), path)
    assert refused(path, fence) == ""


def test_globs_do_not_go_in_circles(tmp_path: Path) -> None:
    below = tmp_path / "a" / "b"
    below.mkdir(parents=True)
    (below / "n.csv").write_text("cid\n")
    for name in ("one", "two", "three"):
        (below / name).symlink_to(tmp_path, target_is_directory=True)
    assert files.find(tmp_path, "**/*.csv") == [below / "n.csv"]
    assert files.find(tmp_path, "a/**") == [below / "n.csv"]
    assert files.starting_point(tmp_path, "../x/*/y.csv") == tmp_path / "../x"


def test_text_that_hides_something() -> None:
    assert visible("plain, ünïcode\n") == "plain, ünïcode\n"
    assert visible("a\x1b[2J\u202e\x9b\udc80") == r"a\x1b[2J\u202e\x9b\udc80"
    assert visible_json('{\n "a": "b\u202e\x9b"\n}') == '{\n "a": "b\\u202e\\u009b"\n}'
