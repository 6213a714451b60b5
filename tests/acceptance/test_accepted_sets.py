"""Real tables that SynDB must take: through the command line into the embedded node, and read back
from there.

Belongs here: what the published tables hold, number for number. Does not: sets that are refused.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any
from uuid import UUID, uuid5

import duckdb
import pytest

from tests.command_line import Lab, Published, Ran

DATASET = "01939c0e-7b1a-7c3e-9f53-6f0c6b1d2a31"
ENDS = {"pre_id": "pre_synapse_id", "post_id": "post_synapse_id"}


def row_id(table: str, key: object) -> UUID:
    """The UUID a row must have, by Python's own `uuid5`."""
    return uuid5(UUID(DATASET), f"{table}/{key}")


def publish(lab: Lab, tables: dict[str, dict[str, Any]]) -> tuple[Ran, Published]:
    """Publish under standing approval by the real command; the report and what is then in the
    node.
    """
    config = lab.config("real", DATASET, tables, approval="standing")
    ran = lab.run("publish", config, "--json")
    assert ran.code == 0, ran.err
    assert ran.report["verdict"] == "accepted"
    assert ran.errors == []
    assert ran.report["receipt"]["plan"] == ran.report["digest"]
    return ran, lab.published(DATASET)


def rows(read: int, passed: int | None = None, combined: int = 0) -> dict[str, int]:
    """A table's counts in the report."""
    passed = read if passed is None else passed
    return {"read": read, "passed": passed, "rejected": read - passed, "combined": combined}


def original(query: str) -> list[tuple[Any, ...]]:
    """Ask the lab's files directly, every column as text."""
    with duckdb.connect() as connection:
        return connection.execute(query).fetchall()


def as_text(file: Path) -> str:
    return f"read_csv('{file}', all_varchar = true, header = true, delim = ',')"


def test_the_worked_example_of_the_guide(data: Path, lab: Lab) -> None:
    folder = data / "syndb_guide" / "original"
    ran, published = publish(
        lab,
        {
            "axon": {"file": str(folder / "axon.csv")},
            "vesicle": {"file": str(folder / "vesicle.csv")},
        },
    )

    assert ran.report["tables"] == {"axon": rows(3), "vesicle": rows(8)}
    assert published.counts == {"axon": 3, "vesicle": 8}
    keys = original(f"SELECT cid FROM {as_text(folder / 'axon.csv')}")
    assert published.rows("SELECT cid FROM axon") == [(row_id("axon", key),) for (key,) in keys]
    assert {key for (key,) in keys} == {"1", "2", "4"}
    children = dict(published.rows("SELECT parent_id, count(*) FROM vesicle GROUP BY 1"))
    assert children == {row_id("axon", 1): 5, row_id("axon", 2): 2, row_id("axon", 4): 1}
    assert {cid for (cid,) in published.rows("SELECT cid FROM vesicle")} == {
        row_id("vesicle", key) for key in range(8)
    }
    # neuron 1, neuron_relation 2, dendrite 3, axon 4: the codes since neuron_relation has one
    assert published.rows("SELECT DISTINCT parent_enum FROM vesicle") == [(4,)]
    measured = original(
        "SELECT voxel_radius::DOUBLE, distance_to_active_zone::DOUBLE FROM"
        f" {as_text(folder / 'vesicle.csv')}"
    )
    assert published.rows("SELECT voxel_radius, distance_to_active_zone FROM vesicle") == measured


def test_vesicles_of_one_terminal(data: Path, lab: Lab) -> None:
    folder = data / "rat_vesicles" / "clean"
    tables = {
        name: {"file": str(folder / f"{name}.csv")} for name in ("pre_synaptic_terminal", "vesicle")
    }
    ran, published = publish(lab, tables)

    assert ran.report["tables"] == {"pre_synaptic_terminal": rows(1), "vesicle": rows(37)}
    assert published.counts == {"pre_synaptic_terminal": 1, "vesicle": 37}
    assert published.rows("SELECT DISTINCT parent_id FROM vesicle") == [
        (row_id("pre_synaptic_terminal", "presynapse_1"),)
    ]
    assert "centroid_z" not in [name for name, *_ in published.rows("DESCRIBE vesicle")]
    assert published.rows("SELECT centroid_x, centroid_y FROM vesicle") == original(
        f"SELECT centroid_x::DOUBLE, centroid_y::DOUBLE FROM {as_text(folder / 'vesicle.csv')}"
    )


def test_neurons_and_synapses_with_skeletons_and_meshes(data: Path, lab: Lab) -> None:
    folder = data / "hemibrain_da1"
    # The tables name their files from the set's folder; seen from the config they lie in the same
    # places.
    for name in ("original", "derived_glb"):
        (lab.folder / name).symlink_to(folder / name)
    tables = {
        name: {"file": str(folder / "clean" / f"{name}.csv")} for name in ("neuron", "synapse")
    }
    ran, published = publish(lab, tables)

    assert ran.report["tables"] == {"neuron": rows(5), "synapse": rows(14_836)}
    pieces = ran.finding("SYN-PATH-005")
    assert (pieces["severity"], pieces["count"]) == ("warning", 1)
    assert "754538881.swc': 2 roots" in pieces["message"]
    assert published.counts == {"neuron": 5, "synapse": 14_836}
    assert published.value("SELECT count(DISTINCT cid) FROM synapse") == 14_836
    stored = lab.node().stored(UUID(DATASET))
    assert sorted(file.kind for file in stored) == ["mesh"] * 5 + ["swb"] * 5
    sizes = {path.stem: path.stat().st_size for path in (folder / "derived_glb").glob("*.glb")}
    assert {file.unit: file.bytes for file in stored if file.kind == "mesh"} == {
        row_id("neuron", key): size for key, size in sizes.items()
    }
    names = [name for name, *_ in published.rows("DESCRIBE neuron")]
    assert not {"swc_path", "mesh_path", "dataset_id"} & set(names)
    scores = original(
        f"SELECT cid, connection_score::DOUBLE FROM {as_text(folder / 'clean' / 'synapse.csv')}"
    )
    assert published.rows("SELECT cid, connection_score FROM synapse") == [
        (row_id("synapse", key), score) for key, score in scores
    ]


def test_values_with_commas_stay_one_value(data: Path, lab: Lab) -> None:
    file = data / "l1_neurons" / "clean" / "neuron.csv"
    ran, published = publish(lab, {"neuron": {"file": str(file)}})

    assert ran.report["tables"] == {"neuron": rows(1_051)}
    assert published.value("SELECT count(DISTINCT cid) FROM neuron") == 1_051
    assert published.value("SELECT count(*) FROM neuron WHERE contains(neuron_type, ',')") == 122
    # SynDB keeps text in lower case; nothing else about the words may change.
    expected = {
        row_id("neuron", cid): (kind, polarity)
        for cid, kind, polarity in original(
            f"SELECT cid, lower(neuron_type), polarity FROM {as_text(file)}"
        )
    }
    assert {
        cid: (kind, polarity)
        for cid, kind, polarity in published.rows("SELECT cid, neuron_type, polarity FROM neuron")
    } == expected


@pytest.fixture
def larva(data: Path) -> dict[str, dict[str, Any]]:
    folder = data / "larva_connectome" / "clean"
    return {
        "neuron": {"file": str(folder / "neuron.csv")},
        "neuron_relation": {"file": str(folder / "neuron_relation.csv"), "columns": ENDS},
    }


def test_a_whole_brain(larva: dict[str, dict[str, Any]], lab: Lab) -> None:
    ran, published = publish(lab, larva)

    assert ran.report["tables"] == {"neuron": rows(3_591), "neuron_relation": rows(119_010)}
    assert published.counts == {"neuron": 3_591, "neuron_relation": 119_010}
    assert (
        published.value(
            "SELECT count(DISTINCT (pre_synapse_id, post_synapse_id)) FROM neuron_relation"
        )
        == 119_010
    )
    assert (
        published.value(
            "SELECT count(*) FROM neuron_relation WHERE pre_synapse_id = post_synapse_id"
        )
        == 577
    )
    assert published.value("SELECT sum(connection_score) FROM neuron_relation") == 376_091
    ends = (
        "SELECT pre_synapse_id AS id FROM neuron_relation UNION SELECT post_synapse_id FROM"
        " neuron_relation"
    )
    assert published.value(f"SELECT count(*) FROM ({ends}) ANTI JOIN neuron ON id = cid") == 0
    first = published.rows(
        "SELECT pre_synapse_id, post_synapse_id, connection_score FROM neuron_relation LIMIT 1"
    )
    assert first == [(row_id("neuron", 29), row_id("neuron", 8419602), 9.0)]


def test_an_edge_list_without_header_loses_no_row(
    data: Path, larva: dict[str, dict[str, Any]], lab: Lab
) -> None:
    names = ["pre_synapse_id", "post_synapse_id", "connection_score"]
    larva["neuron_relation"] = {
        "file": str(data / "larva_connectome" / "original" / "G_edgelist.txt"),
        "header_row": None,
        "names": names,
    }
    ran, published = publish(lab, larva)

    assert ran.report["tables"]["neuron_relation"] == rows(119_010)
    assert published.counts == {"neuron": 3_591, "neuron_relation": 119_010}
    assert published.value("SELECT sum(connection_score) FROM neuron_relation") == 376_091


def test_repeated_pairs_of_a_workbook_combined(data: Path, lab: Lab) -> None:
    folder = data / "celegans_workbooks" / "clean"
    tables = {
        "neuron": {"file": str(folder / "neuron.xlsx")},
        "neuron_relation": {
            "file": str(folder / "neuron_relation.xlsx"),
            "columns": ENDS,
            "combine": {"connection_score": "sum"},
        },
    }
    ran, published = publish(lab, tables)

    assert ran.report["tables"] == {"neuron": rows(187), "neuron_relation": rows(858, combined=9)}
    assert published.counts == {"neuron": 187, "neuron_relation": 849}
    assert (
        published.value(
            "SELECT count(DISTINCT (pre_synapse_id, post_synapse_id)) FROM neuron_relation"
        )
        == 849
    )
    with duckdb.connect() as connection:
        expected = _summed(connection, folder / "neuron_relation.xlsx")
    got = published.rows(
        "SELECT pre_synapse_id, post_synapse_id, connection_score FROM neuron_relation"
    )
    assert {(pre, post): score for pre, post, score in got} == expected


def _summed(
    connection: duckdb.DuckDBPyConnection, workbook: Path
) -> dict[tuple[UUID, UUID], float]:
    """Scores by pair, read with another library than the pipeline's."""
    from openpyxl import load_workbook

    sheet = load_workbook(workbook, read_only=True).worksheets[0]
    header, *body = sheet.iter_rows(values_only=True)
    place = {name: position for position, name in enumerate(header)}
    sums: dict[tuple[UUID, UUID], float] = {}
    for row in body:
        pair = row_id("neuron", row[place["pre_id"]]), row_id("neuron", row[place["post_id"]])
        sums[pair] = sums.get(pair, 0) + float(str(row[place["connection_score"]]))
    return sums
