"""Corrected copies of text files: any table in any dress comes back with the changes and with every
other byte.

Belongs here: text files without the stages. Does not: other formats, or what is wrong with a value.
"""

from __future__ import annotations

import gzip
from pathlib import Path
from tempfile import TemporaryDirectory

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from syndb_pipeline.base.errors import ConfigError, PipelineError
from syndb_pipeline.config.table_settings import TableConfig
from syndb_pipeline.corrections.proof import differing
from syndb_pipeline.corrections.returned import Correction, Returned
from syndb_pipeline.corrections.text_copy import TextCopy
from syndb_pipeline.report.workbook.originals import Original, open_original, prepare
from syndb_pipeline.report.workbook.record import SheetRecord

CONNECTION = duckdb.connect()
prepare(CONNECTION)


def opened(path: Path, **config: str) -> Original:
    scratch = path.parent / f"scratch{len(list(path.parent.iterdir()))}"
    return open_original(
        CONNECTION, path, path.name, "axon", TableConfig(file=path.name, **config), scratch, 10**9
    )  # type: ignore[arg-type]


def returned(cells: dict[int, dict[int, str]], removed: set[int] = frozenset()) -> Returned:  # type: ignore[assignment]
    corrections = {
        row: {i: Correction(text, f"F{row}") for i, text in each.items()}
        for row, each in cells.items()
    }
    record = SheetRecord(title="t", table="axon", file="f")
    return Returned(record, corrections, {row: Correction("", f"E{row}") for row in removed})


def corrected(
    original: Original, rows: Returned | None, lines: Returned | None = None
) -> tuple[Path, TextCopy]:
    target = original.path.parent / "copy" / original.path.name
    target.parent.mkdir(exist_ok=True)
    copy = TextCopy(original, rows, lines)
    copy.write(target, original.path.parent)
    return target, copy


VALUE = st.text(st.sampled_from(list("ab1.,;\"\t '|=é\n")), max_size=6)


@st.composite
def tables(draw: st.DrawFn) -> tuple[list[list[str]], str, str, str, str]:
    """Rows with a header, the delimiter, the line end, the encoding, and what stands between two
    values that are quoted for no reason.
    """
    width = draw(st.integers(2, 4))
    rows = draw(st.lists(st.lists(VALUE, min_size=width, max_size=width), min_size=1, max_size=8))
    delimiter = draw(st.sampled_from([",", ";", "\t", "|"]))
    end = draw(st.sampled_from(["\n", "\r\n"]))
    encoding = draw(
        st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-32", "cp1252"])
    )
    return (
        [["cid", "voxel_volume", "x", "y"][:width], *rows],
        delimiter,
        end,
        encoding,
        draw(st.sampled_from(["minimal", "all"])),
    )


def quoted(value: str, delimiter: str, style: str) -> str:
    awkward = (
        style == "all"
        or any(mark in value for mark in f'"\n\r{delimiter}')
        or value != value.strip(" ")
    )
    return '"' + value.replace('"', '""') + '"' if awkward else value


@settings(max_examples=100, deadline=None)
@given(tables(), st.data())
def test_only_what_was_changed_changes(
    table: tuple[list[list[str]], str, str, str, str], data: st.DataObject
) -> None:
    rows, delimiter, end, encoding, style = table
    if not any(any(value.strip() for value in row) for row in rows[1:]):
        return
    lines = [[quoted(value, delimiter, style) for value in row] for row in rows]

    def written(told: list[list[str]]) -> bytes:
        return (
            "".join(delimiter.join(line) + end for line in told)
            .replace("\n", end)
            .replace("\r\r\n", "\r\n")
            .encode(encoding)
        )

    with TemporaryDirectory() as name:
        path = Path(name) / "t.csv"
        path.write_bytes(written(lines))
        original = opened(path, delimiter=delimiter, encoding=encoding)
        numbers = [row for row in range(1, 200) if original.index(row) is not None]
        if len(numbers) != len(rows) - 1:  # a row of white space alone is none
            return
        assert list(original.rows(CONNECTION, numbers).values()) == rows[1:]
        chosen = data.draw(st.lists(st.sampled_from(range(len(numbers))), max_size=3, unique=True))
        gone = data.draw(st.sets(st.sampled_from(range(len(numbers))), max_size=2))
        cells: dict[int, dict[int, str]] = {}
        for index in chosen:
            column = data.draw(st.integers(0, len(rows[0]) - 1))
            text = data.draw(VALUE)
            cells[numbers[index]] = {column: text}
            old = lines[index + 1][column]
            lines[index + 1][column] = quoted(
                text, delimiter, "all" if old.startswith('"') else "minimal"
            )
        kept = [line for index, line in enumerate(lines) if index - 1 not in gone]
        back = returned(cells, {numbers[index] for index in gone})
        target, copy = corrected(original, back)
        assert copy.problems == []
        assert target.read_bytes() == written(kept)
        if len(kept) > 1 and all("".join(line).strip(' "') for line in kept):
            after = opened(target, delimiter=delimiter, encoding=encoding)
            assert differing(CONNECTION, original, after, back, {}) == set()
        assert path.read_bytes() != target.read_bytes() or not (cells or gone) or lines == kept


def test_a_gz_is_packed_again(tmp_path: Path) -> None:
    path = tmp_path / "t.csv.gz"
    path.write_bytes(gzip.compress(b"cid,voxel_volume\r\n1,x\r\n2,5\r\n"))
    target, _ = corrected(opened(path), returned({2: {1: "4"}}))
    assert gzip.decompress(target.read_bytes()) == b"cid,voxel_volume\r\n1,4\r\n2,5\r\n"


def test_lines_of_old_macs_and_no_end_at_the_end(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_bytes(b"cid,voxel_volume\r1,x\r2,y")
    original = opened(path)
    target, copy = corrected(original, returned({3: {1: "4"}}))
    assert target.read_bytes() == b"cid,voxel_volume\r1,x\r2,4"
    _, copy = corrected(original, returned({3: {1: "4\n5"}}))
    assert "no value of it can hold a line end" in copy.problems[0]


def test_a_character_the_encoding_lacks_is_refused_with_its_cell(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_bytes("cid,voxel_volume\né,5\n".encode("cp1252"))
    _, copy = corrected(opened(path, encoding="cp1252"), returned({2: {0: "α"}}))
    assert copy.problems == ["F2: 'α' cannot be written in the file's encoding, cp1252"]


def test_an_encoding_that_cannot_be_written_back_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_bytes(b"cid,voxel_volume\n+AOk-,5\n+AOkA6Q-,6\n")
    with pytest.raises(ConfigError, match="cannot be written back byte for byte"):
        corrected(opened(path, encoding="utf-7"), returned({2: {1: "4"}}))


def test_unreadable_lines_are_completed_split_and_removed(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_bytes(
        b'cid,voxel_volume\r\n1,5\r\n2,6,7\r\n3\r\n4,"8\r\n5,9 6,9\r\n7,\xe9\r\n8,"a\r\nb"\r\n'
    )
    original = opened(path)
    back = returned({3: {0: "2,6"}, 5: {0: "4,8"}, 6: {0: "5,9\n6,9"}, 7: {0: "7,7"}}, {4})
    target, copy = corrected(original, None, back)
    assert copy.problems == []
    assert (
        target.read_bytes()
        == b'cid,voxel_volume\r\n1,5\r\n2,6\r\n4,8\r\n5,9\r\n6,9\r\n7,7\r\n8,"a\r\nb"\r\n'
    )
    assert copy.added == {
        3: [["2", "6"]],
        5: [["4", "8"]],
        6: [["5", "9"], ["6", "9"]],
        7: [["7", "7"]],
    }
    assert differing(CONNECTION, original, opened(target), None, copy.added) == set()


@pytest.mark.parametrize(
    ("text", "why"),
    [("2,6,7,8", "4 values"), ("", "nothing"), ('2,"6', "not closed"), ("2,6\n3", "1 value")],
)
def test_a_line_that_is_still_no_row_is_refused(tmp_path: Path, text: str, why: str) -> None:
    path = tmp_path / "t.csv"
    path.write_bytes(b"cid,voxel_volume\n1,5\n2,6,7\n")
    _, copy = corrected(opened(path), None, returned({3: {0: text}}))
    assert len(copy.problems) == 1
    assert why in copy.problems[0]


def test_proof_sees_a_byte_that_nobody_corrected(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_bytes(b"cid,voxel_volume\n1,5\n2,6\n3,7\n")
    original = opened(path)
    back = returned({2: {1: "4"}}, {4})
    target, _ = corrected(original, back)
    target.write_bytes(target.read_bytes().replace(b"2,6", b"2,8"))
    with pytest.raises(PipelineError, match="does not read as the original"):
        differing(CONNECTION, original, opened(target), back, {})
    target.write_bytes(b"cid,voxel_volume\n1,3\n2,6\n")
    assert differing(CONNECTION, original, opened(target), back, {}) == {(2, 1)}
