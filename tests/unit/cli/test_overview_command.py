"""`status` of all datasets, `history` and `diff` as a person and a script read them.

Belongs here: what is printed, and exit codes. Does not: how a dataset is judged
(`publishing/test_overview.py`).
"""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.command_line import Lab, Ran
from tests.publish_lab import CONFIG, DATASET, prepared
from tests.publish_lab import Lab as Prepared

__all__ = ["prepared"]  # a fixture


@pytest.fixture(scope="module")
def lab(prepared: Prepared, tmp_path_factory: pytest.TempPathFactory) -> Lab:
    """Datasets in all kinds of states; `guide` was published, corrected and published again."""
    folder = tmp_path_factory.mktemp("overview")
    shutil.copytree(prepared.root, folder, dirs_exist_ok=True)
    lab = Lab(folder, memory_limit="1GB", threads=1)
    lab.config("new", f"{str(DATASET)[:-2]}12", {"axon": {"file": "axon.csv"}})
    lab.config("typo", f"{str(DATASET)[:-2]}13", {"axon": {"file": "axon.csv"}}, labl="x")
    (folder / "datasets").mkdir()
    for path in folder.glob("*.yaml"):
        if path.name not in ("pipeline.yaml", "guide.yaml"):
            path.rename(folder / "datasets" / path.name)
    (folder / "guide.yaml").write_text(CONFIG.replace("manual", "standing"))
    lab.call("publish", "guide.yaml")
    axons = folder / "axon.csv"
    axons.write_text(axons.read_text().replace("2,2e8", "1,2e8"))
    assert lab.call("publish", "guide.yaml").code == 3
    return lab


def shown(ran: Ran) -> list[str]:
    """What a person sees, which must fit a terminal of 80 columns; paths and commands may not."""
    lines = ran.out.splitlines()
    assert all(len(line) <= 80 or "/" in line for line in lines)
    return lines


def test_all_datasets_with_what_needs_a_person_first(lab: Lab) -> None:
    ran = lab.call("status")
    lines = shown(ran)
    assert ran.code == 0 and lines[0] == "2 of 3 datasets need a person"
    heads = [line.split()[:2] for line in lines if line[:1].islower()]
    assert heads == [["unusable", "typo"], ["rejected", "guide"], ["never", "run"]]
    text = " ".join(ran.out.split())
    assert "labl: there is no such key" in text
    assert "Duplicate key (axon)" in text and "syndb-pipeline check guide.yaml" in text
    assert lab.call("status", "--check").code == 2
    listed = lab.call("status", "--json").report["datasets"]
    assert [line["state"] for line in listed] == ["unusable", "rejected", "never run"]
    assert listed[1]["dataset"] == str(DATASET) and listed[1]["last_success"]
    one = lab.call("status", "guide", "--json").report  # by its name
    assert one["status"]["verdict"] == "rejected"
    assert "'gude'" in lab.call("status", "gude").err


def test_no_dataset_is_known_yet(tmp_path: Path) -> None:
    assert "init FOLDER" in Lab(tmp_path / "empty").call("status", "--check").out


def test_the_history_of_a_dataset(lab: Lab) -> None:
    ran = lab.call("history", "guide.yaml")
    lines = [line for line in shown(ran) if line[:2] == "20"]
    assert [line.split()[3] for line in lines] == ["approved", "published", "rejected"]
    assert "by standing approval" in lines[0] and "11 rows" in lines[1]
    events = lab.call("history", "guide.yaml", "--json").report["events"]
    assert [event["what"] for event in events] == ["approved", "published", "rejected"]
    assert events[0]["plan"] == events[1]["plan"] and events[1]["by"] == "Ada"
    assert "Nothing became of new" in lab.call("history", "new").out


def test_what_differs_since_the_last_publication(lab: Lab) -> None:
    assert "not packed" in lab.call("diff", "guide").err  # the newest data were rejected
    axons = lab.folder / "axon.csv"
    rows = "".join(f"a rather long key of an axon {number},1e8,\n" for number in range(30))
    axons.write_text(axons.read_text().replace("1,2e8", "2,4e8") + rows)
    lab.call("plan", "guide")
    lines = shown(lab.call("diff", "guide", "--rows", 31, "--csv", "all"))
    assert lines[2] == "axon: 30 added, 1 changed"
    assert "  ~ 2  voxel_volume 200000000.0 -> 400000000.0" in lines
    assert len((lab.folder / "all" / "axon.csv").read_text().splitlines()) == 32
    assert shown(lab.call("diff", "guide"))[-1] == "  and 21 more; all of them: --csv FOLDER"
    found = lab.call("diff", "guide", "--rows", 0, "--json").report["difference"]
    assert found["tables"]["axon"]["changes"] == {"added": 30, "changed": 1, "withdrawn": 0}
    plan = found["before"]["plan"]
    assert "no row differs" in lab.call("diff", "guide", plan[:12], plan).out
    assert f"Kept are: {plan[:12]}." in lab.call("diff", "guide", "f" * 64).err
