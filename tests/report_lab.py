"""A lab whose values would break a careless report, checked once: what the tests of the reports
share.

Belongs here: its files and running the checks. Does not: expectations.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from syndb_pipeline.state.stage import Context
from tests.lab import context_for, run_stages

HOSTILE = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "</style></svg></details><iframe src='https://example.org'>",
    "=cmd|' /C calc'!A0",
    "+1+1",
    "-2+3",
    "@SUM(A1)",
    "\tx",
    "{{ 7 * 7 }}{% raw %}",
    "]]>&amp;&#60;",
    'two\nlines, "quoted"',
    "right\u202eleft\u200b\x1b[31m\x07",
    "é𝄞\ufffe",
    "x" * 5_000,
)
"""None of them is a number."""

UNKNOWN_COLUMN = "<i onclick=alert(2)>note</i>"
VESICLES = "ves <b>&amp; cles.csv"


def write_hostile_lab(folder: Path) -> Context:
    """The context of a dataset that is wrong in many ways, at known places; nothing has run."""
    write(
        folder / "axon.csv",
        [
            ["cid", "voxel_volume", UNKNOWN_COLUMN],
            ["1", "385668034.56", "a"],
            ["2", "-1492089016.32", "b"],
        ],
    )
    rows = [[f"v{number}", "1", text, "25.5"] for number, text in enumerate(HOSTILE)]
    rows += [
        ["v90", "<nobody>", "5.5", "25.5"],
        ["v91", "2", "-18.5", "25.5"],
        ["v92", "2", "1e3", "NaN"],
    ]
    write(
        folder / VESICLES, [["cid", "parent_id", "distance_to_active_zone", "voxel_radius"], *rows]
    )
    tables: Mapping[str, Any] = {
        "axon": {"file": "axon.csv"},
        "vesicle": {"file": "ves*.csv", "parent": "axon"},
    }
    return context_for(folder, dict(tables))


def write(path: Path, rows: list[list[str]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, lineterminator="\n").writerows(rows)


def check(context: Context, last: str = "check_integrity") -> Context:
    """Run the stages up to `last`."""
    run_stages(context, last)
    return context
