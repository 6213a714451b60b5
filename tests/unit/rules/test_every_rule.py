"""Every rule is raised by a dataset that breaks it, at the right place and with nothing beside it;
its page shows that very dataset, and no setting that it prints does harm.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from syndb_pipeline.rules.catalogue import RULES
from tests.harm import harms
from tests.lab import run_stages
from tests.wrong_inputs import INPUTS
from tests.wrong_inputs.wrong_input import WrongInput, place_of


def test_every_rule_has_one_wrong_input_in_the_order_of_the_catalogue() -> None:
    assert [wrong.code for wrong in INPUTS] == list(RULES), (
        "a rule without a wrong input, or the other way round: wrong_inputs/"
    )


@pytest.mark.parametrize("wrong", INPUTS, ids=lambda wrong: wrong.code)
def test_a_wrong_input_raises_its_rule_whose_settings_do_no_harm(
    wrong: WrongInput, tmp_path: Path
) -> None:
    context = wrong.context(tmp_path)
    sealed = run_stages(context)["check_integrity"]

    assert sorted(finding.code for finding in sealed.findings) == sorted([wrong.code, *wrong.also])
    finding = next(finding for finding in sealed.findings if finding.code == wrong.code)
    assert (finding.count, place_of(finding)) == (wrong.count, wrong.first)
    assert finding.severity == RULES[wrong.code].severity
    expected = (
        "rejected"
        if any(RULES[code].severity == "error" for code in (wrong.code, *wrong.also))
        else "accepted"
    )
    assert sealed.details.verdict == expected
    for rows in sealed.tables.values():
        assert rows.read == rows.passed + rows.rejected
    assert RULES[wrong.code].sections["Example"] == wrong.example(finding), (
        "write the examples with: make docs"
    )
    assert list(harms(context)) == [], "what a setting does that a finding prints"


@pytest.mark.parametrize(
    "wrong", [wrong for wrong in INPUTS if wrong.fixed_by], ids=lambda wrong: wrong.code
)
def test_the_config_that_a_page_offers_fixes_its_example(wrong: WrongInput, tmp_path: Path) -> None:
    offered = re.findall(
        r"^```yaml\n(.*?)^```",
        RULES[wrong.code].sections["Fixes"],
        flags=re.MULTILINE | re.DOTALL,
    )
    sealed = wrong.run(tmp_path, yaml.safe_load(offered[wrong.fixed_by - 1]))["check_integrity"]

    assert [finding.code for finding in sealed.findings] == []
    assert sum(rows.published for rows in sealed.tables.values()) > 0
