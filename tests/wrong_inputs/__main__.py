"""Writes the example of every rule's page from what the pipeline says about its wrong input.
Called by `make docs`.

Belongs here: replacing the section. Does not: the other sections, which a person writes.
"""

from __future__ import annotations

import re
import tempfile
from pathlib import Path

import syndb_pipeline.rules
from tests.wrong_inputs import INPUTS

PAGES = Path(syndb_pipeline.rules.__file__).parent / "pages"

for wrong in INPUTS:
    with tempfile.TemporaryDirectory() as folder:
        found = wrong.run(Path(folder))["check_integrity"].findings
    (finding,) = [finding for finding in found if finding.code == wrong.code]
    page = PAGES / f"{wrong.code}.md"
    before, after = re.split(
        r"(?<=^## Example\n).*?(?=^## Fixes$)",
        page.read_text(encoding="utf-8"),
        flags=re.MULTILINE | re.DOTALL,
    )
    page.write_text(f"{before}\n{wrong.example(finding)}\n\n{after}", encoding="utf-8")
