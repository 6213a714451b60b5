"""Errors sown into a lab of csv, UTF-16, workbook and Parquet are all cured by way of the workbook,
and nothing else changes.

Belongs here: the whole road in one process. Does not: the command
(`tests/integration/test_apply_fixes.py`), single formats.
"""

from __future__ import annotations

from pathlib import Path
from random import Random
from typing import Any

import polars as pl
import pytest

from syndb_pipeline.state.stage import Context
from tests.correcting_lab import Lab, applied, build, check, correct_from_truth, fixes
from tests.ingest_helpers import context_for


def sow_one_of_each(lab: Lab) -> None:
    """Type, range, text, repeated and missing key, orphan, sentinel, line with too many and too few
    values, stray quotation mark.
    """
    s = lab.sources
    s["neuron"].sow(3, "cid", "")
    s["neuron"].sow(5, "cable_length", "about 5000")
    s["neuron"].lines[9] = ("n7,1500000.0,a,b", "n7,1500000.0,a")
    s["neuron"].lines[12] = ('n10,1500000.0,"a', "n10,1500000.0,a")
    s["axon"].sow(4, "cid", "a0")
    s["axon"].sow(6, "voxel_volume", "-1,00")
    s["axon"].sow(7, "terminal_count", "2,5")
    s["axon"].lines[11] = ("a9;n1", "a9;n1;1234567890,00;;x")
    s["dendrite"].sow(2, "parent_id", "n999")
    s["dendrite"].sow(3, "voxel_volume", "NaN")
    s["dendrite"].sow(4, "parent_id", "")
    s["mitochondria"].sow(5, "voxel_radius", "-1")
    s["mitochondria"].sow(6, "voxel_volume", "1.2.3")
    s["vesicle"].sow(2, "neurotransmitter", "glutamat\u00e9")
    s["vesicle"].sow(3, "distance_to_active_zone", "n/a")
    s["vesicle"].sow(4, "cid", "v0")
    s["vesicle"].sow(5, "parent_id", "A1")
    s["dendritic_spine"].sow(2, "cid", "s0")
    s["dendritic_spine"].sow(3, "voxel_volume", "-1.0")
    s["dendritic_spine"].sow(4, "parent_id", "NA")
    for name, number, row in (("neuron", 9, 8), ("neuron", 12, 11), ("axon", 11, 10)):
        delimiter = {"neuron": ",", "axon": ";"}[name]
        s[name].truth[row] = s[name].lines[number][1].split(delimiter)


def ingested(context: Context) -> dict[str, Any]:
    """The rows of every table as ingest left them."""
    folder = context.store.stage("ingest") / "tables"
    return {path.stem: pl.read_parquet(path).rows() for path in sorted(folder.glob("*.parquet"))}


def road(lab: Lab, tmp_path: Path) -> tuple[Context, set[str]]:
    """From the broken lab to the corrected one; gives the codes of the errors found at first."""
    context = lab.context()
    before, config = lab.files, context.config.path.read_bytes()
    first = check(context)
    assert first.details.verdict == "rejected"
    workbook = fixes(context, tmp_path / "fixes.xlsx")
    sources = list(lab.sources.values())
    _, after = applied(context, correct_from_truth(workbook, sources))
    assert lab.files == before, "the lab's own files stay as they are"
    assert after.config.path.read_bytes() == config
    second = check(after)
    assert [finding.message for finding in second.errors] == []
    assert second.details.verdict == "accepted"
    found = ingested(after)
    clean = tmp_path / "clean"
    lab.write(clean, broken=False)
    check(context := context_for(clean, lab.config))
    assert found == ingested(context), "as if the files themselves had been corrected"
    return after, {finding.code for finding in first.errors}


def test_one_error_of_each_kind_is_fixed(tmp_path: Path) -> None:
    lab = build(tmp_path / "lab", Random(1))
    sow_one_of_each(lab)
    _, codes = road(lab, tmp_path)
    assert codes >= {
        "SYN-READ-002", "SYN-READ-015", "SYN-TYPE-001", "SYN-TYPE-002", "SYN-VAL-001", "SYN-VAL-002", "SYN-VAL-004",
        "SYN-ID-001", "SYN-ID-002", "SYN-REL-001", "SYN-REL-003",
    }  # fmt: skip


@pytest.mark.parametrize("seed", range(3))
def test_any_mixture_of_errors_is_fixed(tmp_path: Path, seed: int) -> None:
    rng = Random(seed)
    lab = build(tmp_path / "lab", rng, rows=40)
    wrong = {
        "cid": ["", "{first}"],
        "parent_id": ["", "nowhere", "0", "{first}.0"],
        "cable_length": ["-5.5", "inf", "five", "1e999"],
        "voxel_volume": ["-1", "0", "x", "-0,5"],
        "terminal_count": ["-3", "1,5"],
        "voxel_radius": ["-9", "0"],
        "distance_to_active_zone": ["-2", "12 nm", "?"],
        "neurotransmitter": ["x" * 70, "\u03b3"],
    }
    for name, source in lab.sources.items():
        for row in rng.sample(range(2, len(source.truth)), rng.randrange(1, 12)):
            column = rng.choice([column for column in source.truth[0] if column in wrong])
            value = rng.choice(wrong[column]).replace("{first}", source.truth[1][0])
            if name == "dendritic_spine" and column == "voxel_volume":
                value = rng.choice(["-1.0", "0.0"])
            source.sow(row, column, value)
    road(lab, tmp_path)
