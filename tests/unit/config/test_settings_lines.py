"""What a fix would set, as YAML that a person can paste: only what is whole, and what a loader
takes.

Belongs here: making the blocks and showing them. Does not: whether a block fixes it
(`test_every_rule.py` and the tests of the stages).
"""

from __future__ import annotations

import io

import pytest
import yaml
from rich.console import Console

from syndb_pipeline.report.terminal import describe, finding_block
from syndb_pipeline.rules.finding import Finding, build


def _with_advice(advice: str, **more: object) -> Finding:
    known = {"names": "the column Länge", "near": ""}
    return build(
        "SYN-COL-001", table="axon", file="axon.csv", column="Länge", advice=advice, **known, **more
    )  # type: ignore[arg-type]


def test_a_setting_with_a_value_is_a_block_of_yaml() -> None:
    [block] = _with_advice(
        "Say so: `tables.axon.columns: {Länge: cable_length, 'a: b': cid}`."
    ).settings
    assert yaml.safe_load(block) == {
        "tables": {"axon": {"columns": {"Länge": "cable_length", "a: b": "cid"}}}
    }


@pytest.mark.parametrize(
    "advice",
    [
        "Convert with `tables.axon.units`.",
        "Name them: `tables.axon.names: [...]`.",
        "Say which it is: `tables.axon.columns: {Länge: <column of SynDB>}`.",
        "Say so: `tables.axon.missing: [`.",
        "Write `no value`.",
    ],
)
def test_what_is_no_whole_setting_is_not_offered(advice: str) -> None:
    assert _with_advice(advice).settings == []


def test_each_setting_is_offered_once_and_the_first_is_shown() -> None:
    advice = (
        "Map it: `tables.axon.columns: {a: cid}`, or leave it out: `tables.axon.ignore: [a]`."
        " Again: `tables.axon.ignore: [a]`."
    )
    finding = _with_advice(advice)
    assert finding.settings == [
        "tables:\n  axon:\n    columns: {a: cid}",
        "tables:\n  axon:\n    ignore: [a]",
    ]
    assert describe(finding).endswith("\n    tables:\n      axon:\n        columns: {a: cid}")


def test_a_diagnosis_that_is_not_certain_says_so() -> None:
    finding = _with_advice("Nothing to do.", confidence="likely")
    assert "SYN-COL-001 Unknown column (diagnosis: likely)" in describe(finding)
    assert "diagnosis" not in describe(_with_advice("Nothing to do."))


def test_a_long_setting_is_broken_where_yaml_allows_it_and_fits_a_terminal() -> None:
    names = [f"column number {number}" for number in range(20)]
    finding = _with_advice(f"Leave them out: `tables.axon.ignore: [{', '.join(names)}]`.")
    screen = io.StringIO()
    Console(file=screen, width=80).print(finding_block(finding))
    shown = screen.getvalue()
    pasted = "\n".join(
        line.rstrip() for line in shown[shown.index("     tables:") :].rstrip().splitlines()
    )
    assert yaml.safe_load(pasted) == {"tables": {"axon": {"ignore": names}}}
    assert max(map(len, shown.splitlines())) <= 80


def test_a_word_wider_than_the_terminal_stays_whole() -> None:
    name = "x" * 100
    screen = io.StringIO()
    Console(file=screen, width=80).print(
        finding_block(_with_advice(f"Leave it out: `tables.axon.ignore: [{name}]`.")), crop=False
    )
    assert f"ignore: [{name}]" in screen.getvalue()
