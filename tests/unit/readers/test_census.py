"""What a file's bytes say: counted in pieces, held against counting them at once.

Belongs here: the census alone, at the seams of its pieces above all. Does not: what the reader
makes of it (`test_text_files.py`).
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from syndb_pipeline.readers.text import lines, text_files
from syndb_pipeline.readers.text.text_files import Census
from tests.lab import ingest_folder

DELIMITERS = [b",", b"\t", b" ", b"-", "§".encode(), "𝄞".encode()]
BEYOND = st.integers(0, 40) | st.just(1 << 20)
MANY = settings(
    max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def reference(content: bytes, delimiter: bytes, end: bytes) -> Census:
    """The same from the whole content, in the plainest way."""
    quotes = b'"' in content
    found = content.split(end)
    if found[-1] == b"":
        found.pop()
    odd = False
    if end == b"\n":
        ended = content.split(b"\n")[:-1]
        returned = [line.endswith(b"\r") for line in ended]
        odd = content.count(b"\r") != sum(returned)  # one in the middle of a line
        odd = odd or (not quotes and any(returned) and not all(returned))
    if quotes:
        # The end of the file ends a line as well.
        every = [line.removesuffix(b"\r") for line in re.split(rb"[\r\n]", content)]
        odd = odd or any(line.endswith((delimiter, delimiter + b'""')) for line in every)
        odd = odd or (delimiter != b" " and re.search(rb'" +"', content) is not None)
    last = re.search(rb"[\r\n]*\Z", content)
    assert last is not None
    blank = last[0].count(end) - 1 if len(last[0]) < min(64, len(content)) else 0
    printed = len(re.findall(rb"[!-\x7f]", content.replace(delimiter, b"")))
    ends = content.count(end) + (content.count(b"\r\n") if end == b"\n" else 0)
    blanks = len(content.replace(delimiter, b"")) - printed - ends
    plain = text_files.ODD_NUMBER.search(content) is None
    counts = len(found), content.count(delimiter), quotes, max(blank, 0)
    return Census(*counts, odd, plain, blanks)


def taken(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    content: bytes,
    delimiter: bytes = b",",
    beyond: int = 1 << 20,
) -> Census:
    """The census of a file with this content, read in pieces of so many bytes more than its longest
    line.
    """
    path = tmp_path / "x.csv"
    path.write_bytes(content)
    ends = lines.count_ends(path)
    longest = max(len(line) + 1 for line in content.split(ends.end))
    for module in (lines, text_files):
        monkeypatch.setattr(module, "CHUNK", longest + beyond)
    return text_files.census(path, delimiter, lines.count_ends(path))


def same(found: Census, expected: Census) -> bool:
    """Equal, but that more numbers may count as odd."""
    plain = found.plain_numbers <= expected.plain_numbers
    counts = ("lines", "delimiters", "quotes", "blank_end", "odd", "blanks")
    return plain and all(getattr(found, name) == getattr(expected, name) for name in counts)


VALUES = [b"", b"1", b"ab", b'"q"', b'""', b'"', b'"a" "b"', b'"' + b" " * 90 + b'"', b" " * 20]
VALUES += ["§é".encode(), b"1_0", b"+-", b"2e-100", b"1-2", b"a_1"]


@st.composite
def files(draw: st.DrawFn) -> tuple[bytes, bytes, bytes]:
    """Content, delimiter and what ends its lines: rows of rather hard values, mostly with equal
    ends.
    """
    delimiter = draw(st.sampled_from(DELIMITERS))
    end = draw(st.sampled_from([b"\n", b"\r\n", b"\r"]))
    others = [end] * 8 + ([end] if end == b"\r" else [b"\n", b"\r\n", b"\r"]) + [end * 2, end * 40]
    row = st.tuples(st.lists(st.sampled_from(VALUES), max_size=4), st.sampled_from(others))
    rows = draw(st.lists(row, max_size=12))
    content = b"".join(delimiter.join(values) + ended for values, ended in rows)
    return content + draw(st.sampled_from([b"", *VALUES])), delimiter, end[-1:]


@MANY
@given(file=files(), beyond=BEYOND)
def test_pieces_count_as_the_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, file: tuple[bytes, bytes, bytes], beyond: int
) -> None:
    content, delimiter, end = file
    content += end + b"1"
    if end == b"\r":
        content = content.replace(b"\n", b"")
    found = taken(tmp_path, monkeypatch, content, delimiter, beyond)
    assert same(found, reference(content, delimiter, end))


@MANY
@given(
    content=st.binary(max_size=80) | st.text('a,§ "\n\r', max_size=80).map(str.encode),
    beyond=BEYOND,
    delimiter=st.sampled_from(DELIMITERS),
)
def test_any_bytes_count_as_the_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes, beyond: int, delimiter: bytes
) -> None:
    """Also of a file that is no text; it has line feeds, as every file has that is not read by its
    carriage returns.
    """
    content += b"\n1"
    found = taken(tmp_path, monkeypatch, content, delimiter, beyond)
    assert same(found, reference(content, delimiter, b"\n"))


def test_an_empty_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert taken(tmp_path, monkeypatch, b"") == Census(0, 0, False, 0, False, True, 0)


ODD = [b"1_0", b"9_9", b"+-", b"e-100", b"E-324", b"e-0400"]
ODD += [b"0" * 200, b"0." + b"0" * 224 + b"1e-99"]


@pytest.mark.parametrize("odd", ODD)
@pytest.mark.parametrize("after", [b"", b"\n", b",1\n"])
def test_an_odd_number_at_every_place_of_a_seam(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, odd: bytes, after: bytes
) -> None:
    for at in range(15):
        for before in (b"," * at, b"1\n" * 7 + b"," * at):
            assert not taken(tmp_path, monkeypatch, before + odd + after, beyond=0).plain_numbers


@pytest.mark.parametrize(
    "content",
    [
        b"cid,voxel_radius\na,1.5\nb,-2e-5\nc,+3E-99\n",
        b"cid,voxel_radius\na_1,1.5\n_b,-1\nc_,0.0001\n",
        b"1-2,e-12,a+b-c,e-x,-,+,e-\n",
        b"0." + b"0" * 190 + b"1\n",
    ],
)
def test_plain_numbers_are_vouched_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes
) -> None:
    for beyond in (0, 11, 1 << 20):
        assert taken(tmp_path, monkeypatch, content, beyond=beyond).plain_numbers


def test_a_quotation_mark_far_behind_an_empty_surplus_value_hides_it_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """DuckDB passes over the last delimiter of `b,2,` without a word, and with quotation marks
    no count of the delimiters shows it.
    """
    monkeypatch.setattr(text_files, "CHUNK", 64)
    rows = "".join(f"x{n},{n}\n" for n in range(100))
    (tmp_path / "v.csv").write_text(f'cid,voxel_radius\na,1\nb,2,\n{rows}"z",3\n')
    done = ingest_folder(tmp_path, {"vesicle": "v.csv"})
    refused = done.finding("SYN-READ-002")
    assert [(example.row, example.value) for example in refused.examples] == [(3, "b,2,")]
    assert done.tables["vesicle"].rejected == 1
    assert done.rows("vesicle", "cid", "voxel_radius")[:2] == [("a", 1.0), ("x0", 0.0)]


_PEAK = """
import resource, sys
from pathlib import Path
from syndb_pipeline.readers.text import lines, text_files
for path in map(Path, sys.argv[1:]):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    text_files.census(path, b",", lines.count_ends(path))
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


def test_a_large_file_takes_no_more_memory_than_a_small_one(tmp_path: Path) -> None:
    block = b'a_b,-1.5e-10,+2,"x",0\n' * (1 << 16)
    sizes = {"small.csv": 6, "large.csv": 24}  # 9 MB and 35 MB
    for name, blocks in sizes.items():
        (tmp_path / name).write_bytes(block * blocks)
    command = [sys.executable, "-c", _PEAK, *(str(tmp_path / name) for name in sizes)]
    grown = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert int(grown) * 1024 < 15_000_000
