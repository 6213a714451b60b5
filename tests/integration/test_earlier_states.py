"""State that earlier versions wrote: read as it is, and nothing sent twice.

`tests/earlier_states/` holds, by the commit that wrote them, whole labs in which a person approved
and published a dataset: `plan`, then `publish --approve`, in a folder with `pipeline.yaml`.
"""

from __future__ import annotations

import json
import shutil
import tarfile
from pathlib import Path

import pytest

from tests.command_line import Lab, Ran

WRITTEN = sorted((Path(__file__).parents[1] / "earlier_states").glob("*.tar.xz"))
DATASET = "01939c0e-7b1a-7c3e-9f53-6f0c6b1d4a00"
CONFIG = "datasets/lab.yaml"


@pytest.fixture(params=WRITTEN, ids=lambda path: path.name.partition(".")[0])
def lab(request: pytest.FixtureRequest, tmp_path: Path) -> Lab:
    found = Lab(tmp_path / "lab")
    with tarfile.open(request.param) as archive:
        archive.extractall(found.folder, filter="data")
    return found


def call(lab: Lab, *arguments: str) -> Ran:
    return lab.call(*arguments, LOGNAME="ada")  # who published it then


def uploads(lab: Lab) -> list[object]:
    known = json.loads((lab.folder / f"state/node/datasets/{DATASET}/dataset.json").read_text())
    found: list[object] = known["uploads"]
    return found


def test_it_is_read_and_nothing_is_sent_again(lab: Lab) -> None:
    before = uploads(lab)
    assert len(before) == 1

    status = call(lab, "status", CONFIG)
    assert status.code == 0 and "ublished" in status.out, status
    assert call(lab, "plan", CONFIG).code == 0
    published = call(lab, "publish", CONFIG)
    assert published.code == 0 and "nothing to send" in published.err, published
    assert uploads(lab) == before


@pytest.mark.parametrize("receipt", [False, True], ids=["killed while sending", "killed after"])
def test_a_publication_that_broke_off_then_is_settled_now(lab: Lab, receipt: bool) -> None:
    before, records = uploads(lab), lab.store(DATASET) / "publish"
    journal = records / "journal.jsonl"
    lines = journal.read_text().splitlines(keepends=True)
    last = next(number for number, line in enumerate(lines) if '"step":"upload"' in line)
    journal.write_text("".join(lines[: last + 1 + receipt]))
    (records / "receipt.json").unlink()
    shutil.rmtree(records / "receipts")

    assert call(lab, "plan", CONFIG).code == 0
    published = call(lab, "publish", CONFIG)
    assert published.code == 0, published
    assert uploads(lab) == before
    assert json.loads((records / "receipt.json").read_text())["approval"]["by"] == "ada"


def test_changed_since_it_asks_for_approval_of_the_new_plan(lab: Lab) -> None:
    before = uploads(lab)
    with (lab.folder / "datasets/vesicle.csv").open("a") as file:
        file.write("v4,2,26\n")

    refused = call(lab, "publish", CONFIG)
    assert refused.code == 4 and "vesicle.csv changed" in refused.err, refused
    assert uploads(lab) == before
    digest = call(lab, "plan", CONFIG, "--json").report["digest"]
    published = call(lab, "publish", CONFIG, "--approve", digest)
    assert published.code == 0, published
    assert len(uploads(lab)) == 2
