"""Every rule is complete and usable: stable code, sentences that fill, a fix, and a check that
finds it.
"""

from __future__ import annotations

import re
import string
from pathlib import Path

import pytest
import yaml

from syndb_pipeline.contract.vocabularies import LICENSES
from syndb_pipeline.rules.catalogue import (
    FAMILIES,
    GROUPS,
    GUIDES,
    PAGES,
    RULES,
    SEVERITIES,
    VERDICT,
    codes_explained_by,
)
from syndb_pipeline.rules.finding import MAX_EXAMPLES, NUMBERED, Example, build

PACKAGE = Path(__file__).resolve().parents[3] / "syndb_pipeline"
SOURCE = {
    path: path.read_text(encoding="utf-8")
    for path in sorted(PACKAGE.rglob("*.py"))
    if path.name != "catalogue.py"
}
BUILT_IN = {"table", "file", "column", "count", *NUMBERED}


def fields(template: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(template) if name is not None}


def test_a_rule_is_complete() -> None:
    for code, rule in RULES.items():
        assert rule.code == code
        assert re.fullmatch(rf"SYN-({'|'.join(GROUPS)})-\d{{3}}", code)
        assert rule.severity in SEVERITIES
        assert rule.title and not rule.title.endswith("."), code
        assert rule.message.endswith((".", "}")) and rule.fix.endswith((".", "}")), code
        assert all(name.isidentifier() for name in fields(rule.message) | fields(rule.fix)), code
        assert not rule.fixed or rule.severity == "error", code
        assert rule.quarantine in ("rows", "lines", "dataset"), code
        assert set(rule.leaves_open) <= {"key", "pair"}, code
        assert set(rule.because_of) <= (set(RULES) | set(FAMILIES)) - {code}, code
    assert {rule.family for rule in RULES.values()} == set(FAMILIES) - {VERDICT}


def test_front_matter_is_yaml_and_read_as_such() -> None:
    for path in sorted(PAGES.iterdir()):
        head = yaml.safe_load(path.read_text(encoding="utf-8").split("---\n")[1])
        rule = RULES[path.stem]
        lists = {name: ", ".join(getattr(rule, name)) for name in ("leaves_open", "because_of")}
        names = ("title", "family", "quarantine", "message", "fix")
        read = {name: getattr(rule, name) for name in names} | {"severity": rule.shown_severity}
        assert {key: str(value).rstrip("\n") for key, value in head.items()} == {
            key: value for key, value in (read | lists).items() if value
        }


def test_a_rule_is_not_reported_for_what_another_explains() -> None:
    assert RULES["SYN-ID-002"].explained_by("SYN-ID-003")
    assert RULES["SYN-INT-001"].explained_by("SYN-REL-001"), "by its family"
    assert codes_explained_by("SYN-VAL-001") == ()
    assert "SYN-REL-006" in codes_explained_by("SYN-REL-010")


def test_a_rules_sentences_fill() -> None:
    for rule in RULES.values():
        values = dict.fromkeys((fields(rule.message) | fields(rule.fix)) - BUILT_IN, "VALUE")
        for count, plural in ((1, ""), (1_234, "s")):
            finding = build(
                rule.code, table="vesicle", file="v.csv", column="cid", count=count, **values
            )
            assert (finding.count, finding.severity) == (count, rule.severity)
            text = finding.message + finding.fix
            # Braces that stay are YAML shown to the person, never a placeholder.
            assert not re.search(r"\{(" + "|".join(BUILT_IN | set(values)) + r")[!:}]", text)
            if "{s}" in rule.message and "{count}" in rule.message:
                assert re.search(rf"\b{count:,}\b[^,:]*?\w{plural}\b", finding.message)


def test_a_template_without_its_value_is_a_mistake_of_ours() -> None:
    with pytest.raises(KeyError, match="bounds"):
        build("SYN-VAL-001", table="vesicle", column="voxel_radius", value="-1", advice="")
    with pytest.raises(KeyError):
        build("SYN-NONE-001")


def test_every_code_in_the_source_is_in_the_catalogue() -> None:
    used = {code for text in SOURCE.values() for code in re.findall(r"SYN-[A-Z]+-\d{3}", text)}
    assert used <= set(RULES)


def test_a_finding_keeps_few_examples_and_names_the_one_file() -> None:
    places = [Example(file="a.csv", row=n) for n in range(9)]
    finding = build("SYN-ID-001", table="axon", column="cid", count=9, examples=places)
    assert len(finding.examples) == MAX_EXAMPLES
    assert finding.file == "a.csv"
    both = build(
        "SYN-ID-001",
        table="axon",
        column="cid",
        count=2,
        examples=[Example(file="a.csv"), Example(file="b.csv")],
    )
    assert both.file is None


def test_the_config_may_change_a_severity() -> None:
    values = dict.fromkeys(("value", "near", "advice"), "") | {"table": "vesicle", "column": "x"}
    assert build("SYN-VOC-001", **values).severity == "warning"
    assert build("SYN-VOC-001", severities={"SYN-VOC-001": "error"}, **values).severity == "error"


def test_an_example_reads_like_a_place() -> None:
    place = Example(file="v.csv", row=12, column="cid", value="1.0")
    assert str(place) == "v.csv, row 12, column cid: '1.0'"
    assert str(Example(file="v.csv")) == "v.csv"


def test_the_guide_to_licences_names_each_and_none_else() -> None:
    text = GUIDES["LICENCE"].read_text(encoding="utf-8")
    rows = [line.split("|")[1] for line in text.splitlines() if line.startswith("| `")]
    assert sorted(re.findall(r"`(\w+)`", " ".join(rows))) == sorted(LICENSES)
