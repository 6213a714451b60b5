"""The tutorial, walked again: three dirty sets from `init` to ACCEPTED by what the reports say, and
the page that tells of it.

Belongs here: each step's exit code, verdict and findings, and that the page is of these walks. Does
not: pictures (`make tutorial`).
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from docs.tutorial.labs import WALKS
from tests.command_line import Lab

DOCS = Path(__file__).parents[2] / "docs"
KEPT = ("SYN-COL-004", "SYN-PATH-005", "SYN-UNIT-004", "SYN-VOC-001", "SYN-VOC-002")
EXPECTED = {
    "vesicles": [
        ("init", 0, None, ()),
        ("unanswered", 2, None, ()),
        ("first check", 3, "rejected", ("SYN-INT-003", "SYN-READ-017", "SYN-REL-001")),
        ("second check", 0, "accepted", ("SYN-INT-003",)),
        ("plan", 0, None, ()),
    ],
    "hemibrain": [
        ("init", 0, None, ()),
        ("first check", 3, "rejected", tuple(sorted((*KEPT, "SYN-ID-002")))),
        ("second check", 0, "accepted", KEPT),
        ("plan", 0, None, ()),
    ],
    "worm": [
        ("init", 0, None, ()),
        ("first check", 3, "rejected", ("SYN-COL-004", "SYN-ID-002", "SYN-REL-002", "SYN-REL-006")),
        ("quarantined", 3, "rejected", ("SYN-REL-002",)),
        ("second check", 3, "rejected", ("SYN-REL-002",)),
        ("fixes", 0, None, ()),
        ("applied", 0, "accepted", ("SYN-READ-025",)),
        ("plan", 0, None, ()),
    ],
}
IN_A_SENTENCE = {"unanswered", "quarantined", "init", "plan"}
"""Steps that the page tells without their command, or shows for the first set only."""


@pytest.mark.parametrize("name", WALKS)
def test_from_the_first_run_to_accepted(data: Path, lab: Lab, name: str) -> None:
    before = {path: path.stat().st_mtime_ns for path in data.rglob("*")}
    walk = WALKS[name](data, lab)
    assert {path: path.stat().st_mtime_ns for path in data.rglob("*")} == before
    assert [(step.name, step.exit, step.verdict, step.codes) for step in walk.steps] == EXPECTED[
        name
    ]
    page = (DOCS / "tutorial.md").read_text(encoding="utf-8")
    for step in walk.steps:
        assert step.name in IN_A_SENTENCE or f"$ {step.command}\n" in page
    for finding in (
        finding
        for found in walk.found.values()
        for finding in found
        if finding["severity"] == "error"
    ):
        words = " ".join(finding["message"].split())
        assert words in " ".join(page.split()), (
            "docs/tutorial.md is older than what is said now: make tutorial"
        )


def test_the_pages_have_their_pictures_and_they_are_small() -> None:
    pages = [path.read_text(encoding="utf-8") for path in DOCS.glob("*.md")]
    named = set(re.findall(r"pictures/([\w-]+\.png)", "".join(pages)))
    assert named == {path.name for path in (DOCS / "pictures").glob("*.png")}
    for name in named:
        content = (DOCS / "pictures" / name).read_bytes()
        assert content.startswith(b"\x89PNG") and len(content) <= 150_000


def test_the_page_names_no_machine() -> None:
    page = (DOCS / "tutorial.md").read_text(encoding="utf-8")
    assert set(re.findall(r"(?<![\w.])/(?:home|tmp|work|root|var)/[\w.-]+", page)) == {"/home/ada"}
    assert all(
        len(line) <= 80
        for block in re.findall(r"```console\n(.*?)```", page, re.DOTALL)
        for line in block.splitlines()
    )
