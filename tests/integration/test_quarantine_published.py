"""A dataset with wrong rows, from the first check to SynDB and, corrected, there again: what each
command tells of the quarantined rows.
"""

from __future__ import annotations

import json
from pathlib import Path
from uuid import UUID, uuid5

from tests.command_line import Lab

DATASET = "01939c0e-7b1a-7c3e-9f53-6f0c6b1d2a55"
ROWS = 300
TABLES = {
    "neuron": {"file": "neuron.csv"},
    "axon": {"file": "axon.csv"},
    "vesicle": {"file": "vesicle.csv", "parent": "axon"},
}
QUARANTINE = {"on_invalid": "quarantine", "max_rejected": "1%"}


def write_tables(folder: Path, wrong: str, length: int = 50_000) -> None:
    """Neurons, an axon each, two vesicles on each axon; the cable length of neuron 7 is `wrong`,
    that of the others `length` and more.
    """
    lengths = [wrong if k == 7 else str(length + k) for k in range(ROWS)]
    (folder / "neuron.csv").write_text(
        "cid,cable_length\n" + "".join(f"n{k},{length}\n" for k, length in enumerate(lengths))
    )
    (folder / "axon.csv").write_text(
        "cid,parent_id\n" + "".join(f"a{k},n{k}\n" for k in range(ROWS))
    )
    vesicles = "".join(f"v{k}_{i},a{k},20.5\n" for k in range(ROWS) for i in range(2))
    (folder / "vesicle.csv").write_text("cid,parent_id,voxel_radius\n" + vesicles)


def test_wrong_rows_wait_at_home_until_they_are_corrected(tmp_path: Path) -> None:
    lab = Lab(tmp_path)
    write_tables(tmp_path, "long")
    config = lab.config("lab", DATASET, TABLES, **QUARANTINE)

    checked = lab.run("check", config)
    assert checked.code == 0
    assert "ACCEPTED lab: 1 error; 4 quarantined rows" in checked.out
    assert max(map(len, checked.out.split("Report:")[0].splitlines())) <= 80
    told = lab.run("check", config, "--json").report
    assert told["verdict"] == "accepted"
    assert told["tables"]["vesicle"] == {
        "read": 600,
        "passed": 598,
        "rejected": 2,
        "combined": 0,
        "below": 2,
    }
    assert told["tables"]["neuron"] == {"read": 300, "passed": 299, "rejected": 1, "combined": 0}
    assert [(finding["code"], finding["severity"]) for finding in told["findings"]] == [
        ("SYN-TYPE-001", "error")
    ]

    planned = lab.run("plan", config)
    assert (
        "Quarantined, not sent\n  axon     1 of 300 rows: 1 below others\n  neuron   1 of 300 rows: 1"
        " wrong\n" in planned.out
    )
    first = lab.run("plan", config, "--json").report
    assert first["plan"]["set_aside"]["vesicle"] == {"read": 600, "rows": 2, "below": 2}
    assert "quarantined rows" in first["plan"]["parts"]

    published = lab.run("publish", config, "--approve", first["digest"])
    assert published.code == 0
    assert "  quarantined, not sent: vesicle 2 of 600 rows: 2 below others" in published.out
    receipt = json.loads((lab.store(DATASET) / "publish" / "receipt.json").read_text())
    assert receipt["set_aside"]["neuron"] == {"read": 300, "rows": 1, "below": 0}
    assert lab.published(DATASET).counts == {"neuron": 299, "axon": 299, "vesicle": 598}
    before = {cid for (cid,) in lab.published(DATASET).rows("SELECT cid FROM vesicle")}

    stands = lab.run("status", config)
    assert (
        "quarantined      axon 1 of 300 rows: 1 below others; neuron 1 of 300 rows: 1 wrong;"
        " vesicle" in stands.out
    )
    page, lines = tmp_path / "page.html", tmp_path / "aside.csv"
    assert lab.run("report", config, "--html", page, "--quarantine", lines).code == 0
    html = page.read_text()
    assert "4 rows are quarantined and not published" in html
    assert "<dt>quarantined</dt>" in html
    assert "<dt>only dependent</dt><dd>2</dd>" in html
    assert len(lines.read_text().splitlines()) == 5

    # Corrected: another plan, which says what changed; the rows arrive under the UUIDs they would
    # have had.
    write_tables(tmp_path, "54321")
    refused = lab.run("publish", config, "--approve", first["digest"])
    assert refused.code == 4
    second = lab.run("plan", config, "--json").report
    unapproved = lab.run("publish", config)
    assert unapproved.code == 4
    assert "these changed: lab files, quarantined rows, table axon" in unapproved.err
    assert second["plan"]["set_aside"] == {}
    again = lab.run("publish", config, "--approve", second["digest"])
    assert again.code == 0
    assert "quarantined" not in again.out
    assert (
        json.loads((lab.store(DATASET) / "publish" / "receipt.json").read_text())["set_aside"] == {}
    )
    assert lab.published(DATASET).counts == {"neuron": 300, "axon": 300, "vesicle": 600}
    after = {cid for (cid,) in lab.published(DATASET).rows("SELECT cid FROM vesicle")}
    assert after - before == {uuid5(UUID(DATASET), f"vesicle/v7_{i}") for i in (0, 1)}
    assert before < after

    # Spoilt again: what was sent earlier stays there, and that is said.
    write_tables(tmp_path, "long", 60_000)
    third = lab.run("plan", config, "--json").report
    once_more = lab.run("publish", config, "--approve", third["digest"])
    assert once_more.code == 0, once_more.err
    assert (
        "vesicle: 2 rows of an earlier upload stay at local; they may be earlier forms of rows that"
        " are quarantined now" in once_more.err
    )


def test_dagster_publishes_what_stays(tmp_path: Path) -> None:
    lab = Lab(tmp_path)
    write_tables(tmp_path, "-5")
    config = lab.config("lab", DATASET, TABLES, approval="standing", **QUARANTINE)
    ran = lab.run("run", config, timeout=300)
    assert ran.code == 0, ran.out + ran.err
    assert "ACCEPTED lab: 1 error; 4 quarantined rows" in ran.out
    assert "quarantined, not sent: neuron 1 of 300 rows: 1 wrong" in ran.out
    assert lab.published(DATASET).counts == {"neuron": 299, "axon": 299, "vesicle": 598}
