"""Real tables as labs made them, which SynDB must not get: the exact violations, and no others.

Belongs here: exit code 3 and the counts of the findings. Does not: how a person reads them
(`test_first_bad_cell.py`).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import duckdb

from tests.command_line import Lab, Ran

DATASET = "01939c0e-7b1a-7c3e-9f53-6f0c6b1d2a32"
ENDS = {"pre_id": "pre_synapse_id", "post_id": "post_synapse_id"}


def check(lab: Lab, tables: dict[str, dict[str, Any]]) -> Ran:
    """Check by the real command; it must be refused, and nothing may be there to be sent."""
    ran = lab.run("check", lab.config("real", DATASET, tables), "--json")
    assert ran.code == 3, ran.err
    assert ran.report["verdict"] == "rejected"
    assert ran.report["receipt"] is None
    assert not (lab.store(DATASET) / "package").exists()
    return ran


def csv_tables(folder: Path, *names: str) -> dict[str, dict[str, Any]]:
    return {name: {"file": str(folder / f"{name}.csv")} for name in names}


def test_synapse_files_put_together_as_they_are(data: Path, lab: Lab) -> None:
    folder = data / "hemibrain_da1"
    for name in ("original", "derived_glb"):
        (lab.folder / name).symlink_to(folder / name)
    ran = check(lab, csv_tables(folder / "naive", "neuron", "synapse"))

    assert ran.report["tables"]["synapse"] == {
        "read": 14_836,
        "passed": 3_136,
        "rejected": 11_700,
        "combined": 0,
    }
    assert ran.report["tables"]["neuron"] == {"read": 5, "passed": 5, "rejected": 0, "combined": 0}
    assert ran.codes == {"SYN-COL-001": 2, "SYN-ID-002": 11_700}, (
        "no orphan: every parent_id is a neuron of the table"
    )
    assert "3,136 of 14,836 keys are distinct" in ran.finding("SYN-ID-002")["message"]
    unknown = [finding for finding in ran.errors if finding["code"] == "SYN-COL-001"]
    assert [(finding["table"], finding["column"]) for finding in unknown] == [
        ("synapse", "type"),
        ("synapse", "roi"),
    ]
    scale = ran.finding("SYN-UNIT-004")
    assert (scale["severity"], scale["table"]) == ("warning", "synapse")
    assert "nanometres" in scale["fix"]


def test_five_files_whose_keys_restart(data: Path, lab: Lab) -> None:
    """The synapse files as they were found, read as one table: each surplus key is told with the
    file it stands in.
    """
    files = data / "hemibrain_da1" / "original" / "synapses"
    columns = {
        "connector_id": "cid",
        "confidence": "connection_score",
        "x": "centroid_x",
        "y": "centroid_y",
        "z": "centroid_z",
    }
    [header] = {path.open().readline() for path in files.glob("*.csv")}
    ignore = [name for name in header.strip().split(",") if name not in columns]
    ran = check(
        lab, {"synapse": {"file": str(files / "*.csv"), "columns": columns, "ignore": ignore}}
    )

    assert ran.report["tables"]["synapse"] == {
        "read": 14_836,
        "passed": 3_136,
        "rejected": 11_700,
        "combined": 0,
    }
    assert ran.codes == {"SYN-ID-002": 11_700}
    for example in ran.finding("SYN-ID-002")["examples"]:
        line = (files / Path(example["file"]).name).read_text().splitlines()[example["row"] - 1]
        assert (
            dict(zip(header.strip().split(","), line.split(","), strict=True))["connector_id"]
            == example["value"]
        )


def test_duplicates_orphans_and_repeated_pairs_at_once(data: Path, lab: Lab) -> None:
    folder = data / "celegans_workbooks" / "dirty_nmj"
    tables = csv_tables(folder, "neuron", "neuron_relation")
    tables["neuron_relation"]["columns"] = ENDS
    ran = check(lab, tables)

    assert ran.codes == {"SYN-ID-002": 38, "SYN-REL-002": 154, "SYN-REL-006": 1_725}
    duplicates = ran.finding("SYN-ID-002")
    assert "6,379 of 6,417 keys are distinct" in duplicates["message"]
    assert "3 of them are copies of whole rows and 35 differ from the first" in duplicates["fix"]
    orphans = [finding for finding in ran.errors if finding["code"] == "SYN-REL-002"]
    assert {
        (finding["examples"][0]["column"], finding["examples"][0]["value"], finding["count"])
        for finding in orphans
    } == {
        ("post_id", "NMJ", 153),
        ("pre_id", "VC6", 1),
    }
    assert "4,692 of 6,417 pairs are distinct" in ran.finding("SYN-REL-006")["message"]
    assert ran.report["tables"]["neuron"] == {
        "read": 299,
        "passed": 299,
        "rejected": 0,
        "combined": 0,
    }
    counts = ran.report["tables"]["neuron_relation"]
    assert counts["read"] == 6_417 == counts["passed"] + counts["rejected"]
    assert counts["rejected"] == touched_by_any_rule(folder)


def touched_by_any_rule(folder: Path) -> int:
    """Rows of neuron_relation that break at least one rule, reckoned from the files without the
    pipeline.
    """
    with duckdb.connect() as connection:
        connection.execute(
            f"CREATE TABLE neuron AS FROM read_csv('{folder / 'neuron.csv'}', all_varchar = true)"
        )
        connection.execute(
            f"""CREATE TABLE relation AS SELECT row_number() OVER () AS place, *
                FROM read_csv('{folder / "neuron_relation.csv"}', all_varchar = true)"""
        )
        [(rows,)] = connection.execute(
            """SELECT count(*) FROM (SELECT *, row_number() OVER (PARTITION BY cid ORDER BY place)
                  AS nth,
                                            row_number() OVER (PARTITION BY pre_id, post_id ORDER BY
                                              place) AS nth_pair FROM relation)
               WHERE nth > 1 OR nth_pair > 1 OR pre_id NOT IN (FROM neuron) OR post_id NOT IN (FROM
                 neuron)"""
        ).fetchall()
    return int(rows)
