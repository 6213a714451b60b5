"""Cells in Markdown tables of Dagster's pages: whatever a lab writes stays one cell, and is shown
as it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from syndb_pipeline.orchestration.markdown import MAX_CELL, markdown_table


def lines(columns: Sequence[tuple[str, str]], *rows: Sequence[Any]) -> list[str]:
    names = [name for name, _ in columns]
    return markdown_table(
        columns, [dict(zip(names, row, strict=True)) for row in rows]
    ).value.splitlines()


def test_a_table() -> None:
    columns = [
        ("cid", "string"),
        ("parent_id", "extension<arrow.uuid>"),
        ("radius", "double"),
        ("n_trees", "int32"),
        ("is_tree", "bool"),
    ]

    assert lines(columns, ("n1", None, 20.5, 2**60 + 1, True), ("n2", "", 3.0, -1, False)) == [
        "|cid|parent_id|radius|n_trees|is_tree|",
        "|-|-|-:|-:|-|",
        "|n1||20.5|1152921504606846977|true|",
        "|n2||3|-1|false|",
    ]


@pytest.mark.parametrize(
    ("cell", "shown"),
    [
        ("a|b", r"a\|b"),
        ("two\nlines\r\nand\u2028more", "two lines and more"),
        ("<img src=x>", r"\<img src=x\>"),
        ("*bold* `code` ~~gone~~", r"\*bold\* \`code\` \~\~gone\~\~"),
        ("[text](javascript:x)", r"\[text\](javascript\:x)"),
        ("https://a.example/x?a&amp;b", r"https\://a.example/x?a\&amp;b"),
        ("_words_ in_between", r"\_words\_ in_between"),
        ("back\\slash", r"back\\slash"),
        (float("nan"), "nan"),
        (float("-inf"), "-inf"),
        ("äöü 神経", "äöü 神経"),
    ],
)
def test_markup_is_shown_as_it_is(cell: object, shown: str) -> None:
    assert lines([("value", "string")], (cell,))[2:] == [f"|{shown}|"]


def test_a_long_cell_is_cut_before_its_signs_are_marked() -> None:
    (row,) = lines([("value", "string")], ("|" * 100,))[2:]

    assert row == "|" + r"\|" * (MAX_CELL - 1) + "…|"
