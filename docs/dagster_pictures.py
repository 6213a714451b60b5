"""The pictures of docs/dagster.md: pages of a lab with a plan that is held, data that are rejected
and a dataset that waits for approval.

Belongs here: what is photographed. Does not: how (`tutorial/pictures.py`).
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Final

from docs.tutorial.pictures import Camera, dagster_pages
from syndb_pipeline.orchestration.operating.launch import launch
from tests.dagster_lab import Lab, make_lab

FOLDER: Final = Path(__file__).parent / "pictures"
_FEWER: Final = 120
"""Lines of a table that had 300 when it was published."""


def _made(folder: Path) -> Lab:
    lab = make_lab(folder)
    good = lab.add("good", approval="standing")
    launch(good, lab.pipeline_file, publish=True)
    table = lab.table("good", "vesicle")
    table.write_text("".join(table.read_text().splitlines(keepends=True)[:_FEWER]))
    launch(good, lab.pipeline_file, publish=True)
    launch(lab.add("bad", bad=True), lab.pipeline_file)
    launch(lab.add("manual"), lab.pipeline_file)
    return lab


def main() -> None:
    """Take them. Raises `RuntimeError` when there is no Chromium."""
    with tempfile.TemporaryDirectory() as folder:
        lab = _made(Path(folder) / "lab")
        with dagster_pages(lab.root) as root, Camera(FOLDER) as camera:
            page = camera.open(f"{root}/assets/package?view=events&partition=good", 1420, 800)
            page.get_by_text("approve for later", exact=True).first.wait_for()
            links = page.get_by_text("open the launchpad, filled in")
            filled = f"{root}{links.first.get_attribute('href')}"
            camera.take("dagster-plan", page, lab.root)
            page = camera.open(filled, 1300, 800)
            page.get_by_text("Launch Run", exact=True).first.wait_for()
            page.get_by_text("No errors", exact=True).first.wait_for()
            page.locator("button:not([disabled])", has_text="Launch Run").first.wait_for()
            camera.take("dagster-launchpad", page, lab.root)
            page = camera.open(f"{root}/assets/datasets?view=events", 1500, 760)
            page.get_by_text("manual", exact=True).first.wait_for()
            camera.take("dagster-datasets", page, lab.root)


if __name__ == "__main__":
    main()
