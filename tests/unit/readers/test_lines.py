"""Records split in Python: the careful way of reading text.

Belongs here: bytes in, records out. Does not: files of a dataset.
"""

from __future__ import annotations

import csv
import io
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from syndb_pipeline.readers.text.lines import MAX_RECORD_LINES, Splitter, joined, records


def split(
    tmp_path: Path, content: bytes, end: bytes = b"\n", start: int = 1
) -> list[tuple[int, int, list[bytes], bool]]:
    path = tmp_path / "x.csv"
    path.write_bytes(content)
    return [
        (record.line, record.spans, record.values, record.fault)
        for record in records(path, b",", end, start)
    ]


def test_records_know_their_lines(tmp_path: Path) -> None:
    content = b'a,"b\nc"\n\nd,e\n'
    assert split(tmp_path, content) == [
        (1, 2, [b"a", b"b\nc"], False),
        (3, 1, [], False),
        (4, 1, [b"d", b"e"], False),
    ]


def test_a_start_line_is_counted_from_the_top(tmp_path: Path) -> None:
    assert split(tmp_path, b'"\nb,1\nc,2', start=2) == [
        (2, 1, [b"b", b"1"], False),
        (3, 1, [b"c", b"2"], False),
    ]


def test_carriage_returns_as_line_ends(tmp_path: Path) -> None:
    assert split(tmp_path, b"a,1\rb,2", b"\r") == [
        (1, 1, [b"a", b"1"], False),
        (2, 1, [b"b", b"2"], False),
    ]


def test_an_open_quote_costs_one_line_only(tmp_path: Path) -> None:
    rows = b"".join(b"%d,x\n" % i for i in range(MAX_RECORD_LINES + 50))
    found = split(tmp_path, b'a,"open\n' + rows)
    assert found[0] == (1, 1, [], True)
    assert len(found) == MAX_RECORD_LINES + 51
    assert found[-1][0] == MAX_RECORD_LINES + 51


@pytest.mark.parametrize("text", [b'"x"y,1', b'a,"x" "y"', b'"a"",1'])
def test_misplaced_quotes_are_refused(text: bytes) -> None:
    with pytest.raises((ValueError, EOFError)):
        Splitter(b",").split(text)


@given(st.lists(st.text(alphabet='ab,"\n é', max_size=6), min_size=1, max_size=5))
def test_what_is_joined_splits_again(values: list[str]) -> None:
    encoded = [value.encode() for value in values]
    assert Splitter(b",").split(joined(encoded, b",")) == encoded


@given(st.lists(st.text(alphabet='ab,"\n é', max_size=6), min_size=2, max_size=5))
def test_splitting_agrees_with_pythons_csv(values: list[str]) -> None:
    written = io.StringIO()
    csv.writer(written, lineterminator="").writerow(values)
    assert Splitter(b",").split(written.getvalue().encode()) == [value.encode() for value in values]
