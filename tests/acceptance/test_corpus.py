"""Every wrong input of the corpus raises its finding, at its place, with its cure, and nothing that
is not about it.

Belongs here: one test a case, and that the corpus leaves no rule out. Does not: the cases
(`corpus/`), the numbers they add up to (`benchmarks/recognition.py`).
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from benchmarks.recognition import report
from syndb_pipeline.rules.catalogue import RULES
from tests.acceptance.corpus import CASES, WRONG
from tests.acceptance.corpus.case import Outcome
from tests.acceptance.corpus.tally import Tally, outcome_of
from tests.campaigns import sampled
from tests.command_line import Lab

NUMBERS = sampled("corpus", range(len(CASES)), 30)
"""The cases that are run here; `make recognition` runs them all."""

FEWEST = 150
"""Wrong inputs that the corpus must have."""

WIDE = ("Report:", "Rows to correct:", "What a code means", "Next:")
"""Lines that a person copies, which are not broken."""


@pytest.mark.parametrize("number", NUMBERS, ids=[CASES[number].name for number in NUMBERS])
def test_what_is_said_of_a_case_is_right_and_enough(number: int, data: Path) -> None:
    outcome = outcome_of(data, number)
    assert outcome.faults == (), "\n".join(outcome.faults)
    assert len(outcome.met) == outcome.expected


def test_the_corpus_is_large_and_leaves_no_rule_out() -> None:
    assert len(WRONG) >= FEWEST
    assert [name for name, times in Counter(case.name for case in CASES).items() if times > 1] == []
    raised = {expected.code for case in WRONG for expected in case.expected}
    assert sorted(set(RULES) - raised) == [], "a rule without a case"
    assert sorted(raised - set(RULES)) == [], "a case of a rule that there is not"


@pytest.mark.parametrize(
    ("name", "code", "told"),
    [
        (
            "the synapses name their neurons as 722817260.0",
            3,
            [
                "SYN-REL-001",
                "synapse.csv, row 2, column parent_id: '722817260.0'",
                "neuron has '722817260'",
            ],
        ),
        (
            "a German Excel wrote decimal commas",
            3,
            ["neuron.csv, row 2, column cable_length: '2197626,935677757'", "decimal: ','"],
        ),
        (
            "radii of vesicles in micrometres",
            0,
            ["vesicle.csv, row 2, column voxel_radius: '0.0269129'", "units: {voxel_radius: um}"],
        ),
        (
            "a table that SynDB does not have",
            2,
            ["'neurons' is not a SynDB table; did you mean neuron"],
        ),
    ],
)
def test_a_person_reads_place_value_and_cure_at_80_columns(
    data: Path, tmp_path: Path, name: str, code: int, told: list[str]
) -> None:
    [case] = [case for case in CASES if case.name == name]
    folder = tmp_path / "wrong"
    folder.mkdir()
    config = case.lab(data).write(folder)
    ran = Lab(tmp_path / "lab").call("check", config, SYNDB_STATE=str(tmp_path / "state"))

    assert ran.code == code
    text = ran.out + (ran.err if code == 2 else "")
    assert [words for words in told if words not in " ".join(text.split())] == []
    assert [
        line for line in ran.out.splitlines() if len(line) > 80 and not line.startswith(WIDE)
    ] == []


def test_every_allowance_has_a_reason() -> None:
    for case in CASES:
        assert all(reason.strip() for reason in case.also.values()), case.name
        assert case.expected or case.says or not case.also, (
            f"{case.name}: in a right input nothing is allowed"
        )


def test_the_report_tells_recall_precision_and_what_failed() -> None:
    right = Outcome("right", ("SYN-ID-001",), 1, ("SYN-ID-001",), 2)
    wrong = Outcome(
        "wrong",
        ("SYN-ID-001", "SYN-ID-002"),
        2,
        ("SYN-ID-002",),
        2,
        ("SYN-INT-001",),
        ("SYN-ID-001 was not raised",),
    )
    told = report(Tally([right, wrong, Outcome("harmless", (), 0)]), 1.0).splitlines()

    assert told[1].split() == ["SYN-ID-001", "2", "2", "1", "0"]
    assert told[3].split() == ["SYN-INT-001", "0", "0", "0", "1"]
    assert "FAILED wrong" in told
    assert told[-1] == "recall 66.7 % (2 of 3), precision 75.0 % (3 of 4)"
    assert "2 wrong inputs and 1 right ones" in told[-2]
    assert report(Tally([right]), 1.0).endswith(
        "recall 100.0 % (1 of 1), precision 100.0 % (2 of 2)"
    )
