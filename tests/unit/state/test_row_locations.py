"""From row number back to file, sheet and line, as a person counts them."""

from __future__ import annotations

from pathlib import Path

import pytest

from syndb_pipeline.state.row_locations import Source, SourceMap

SOURCES = SourceMap(
    tables={
        "vesicle": [
            Source(file="a.csv", first_row=0, rows=3, columns={"voxel_radius": "r"}),
            # Lines 5 and 6 blank after the second row; one more line break in quotes after the
            # third.
            Source(file="b.csv", first_row=3, rows=4, first_line=3, jumps=[(2, 2), (3, 3)]),
            Source(file="empty.csv", first_row=7, rows=0),
            Source(file="c.xlsx", sheet="V", first_row=7, rows=1, first_line=9),
        ]
    }
)


@pytest.mark.parametrize(
    ("row", "file", "line"),
    [
        (0, "a.csv", 2),
        (2, "a.csv", 4),
        (3, "b.csv", 3),
        (4, "b.csv", 4),
        (5, "b.csv", 7),
        (6, "b.csv", 9),
        (7, "c.xlsx", 9),
    ],
)
def test_a_row_number_leads_to_its_line(row: int, file: str, line: int) -> None:
    example = SOURCES.example("vesicle", row)
    assert (example.file, example.row) == (file, line)


def test_columns_are_named_as_the_lab_names_them() -> None:
    assert SOURCES.example("vesicle", 1, "voxel_radius", "abc").column == "r"
    assert SOURCES.example("vesicle", 3, "voxel_radius").column == "voxel_radius"
    assert (
        str(SOURCES.example("vesicle", 7, "cid", "x y"))
        == "c.xlsx, sheet V, row 9, column cid: 'x y'"
    )


def test_the_map_survives_writing(tmp_path: Path) -> None:
    SOURCES.write(tmp_path)
    assert SourceMap.read(tmp_path) == SOURCES
