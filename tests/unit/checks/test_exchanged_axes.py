"""Where children lie against their parents: axes in another order are found, and what only looks
like it stays without a word.

Belongs here: SYN-UNIT-005 through the stages. Does not: scales (`test_units.py`).
"""

from __future__ import annotations

from pathlib import Path
from random import Random
from typing import Any

import polars as pl
import pytest

from syndb_pipeline.rules.finding import Finding
from tests.stage_lab import Lab

AXES = ("x", "y", "z")
Place = tuple[float, float, float]


def volume(count: int, seed: int = 1, size: Place = (600_000, 250_000, 120_000)) -> list[Place]:
    """Places that fill a volume evenly, in whole nanometres."""
    random = Random(seed)
    return [
        (
            random.randrange(int(size[0])),
            random.randrange(int(size[1])),
            random.randrange(int(size[2])),
        )
        for _ in range(count)
    ]


def near(
    places: list[Place], spread: float, each: int = 1, seed: int = 2
) -> list[tuple[int, Place]]:
    """Children of `places`, `each` of every one, at most so far from it: the parent's number and
    the place.
    """
    random = Random(seed)
    return [
        (number, tuple(value + random.uniform(-spread, spread) for value in place))  # type: ignore[misc]
        for number, place in enumerate(places)
        for _ in range(each)
    ]


def in_order(place: Place, order: str) -> dict[str, float]:
    """The columns of a place whose axes are written in `order`: zyx has what is x in the column of
    z.
    """
    return {
        f"centroid_{axis}": place["xyz".index(real)] for axis, real in zip(AXES, order, strict=True)
    }


def lab(
    folder: Path,
    child: str,
    parents: list[Place],
    children: list[tuple[int, Place]],
    order: str,
    *,
    reference: str = "parent_id",
    parent: str = "neuron",
    parents_order: str = "xyz",
    suffix: str = "csv",
    drop: tuple[str, ...] = (),
) -> Lab:
    folder.mkdir(exist_ok=True)
    rows: dict[str, list[dict[str, Any]]] = {
        parent: [
            {"cid": f"p{number}"} | in_order(place, parents_order)
            for number, place in enumerate(parents)
        ],
        child: [
            {"cid": f"c{number}", reference: f"p{of}"} | in_order(place, order)
            for number, (of, place) in enumerate(children)
        ],
    }
    for table, content in rows.items():
        frame = pl.DataFrame(content).drop(drop)
        if suffix == "parquet":
            frame.write_parquet(folder / f"{table}.parquet")
        else:
            frame.write_csv(
                folder / f"{table}.{suffix}", separator="\t" if suffix == "tsv" else ","
            )
    return Lab(
        folder, dict.fromkeys(rows), {table: {"file": f"{table}.{suffix}"} for table in rows}
    )


def found(dataset: Lab) -> list[Finding]:
    return [finding for finding in dataset.check().findings if finding.code.startswith("SYN-UNIT")]


@pytest.mark.parametrize(
    ("order", "says"),
    [
        (
            "zyx",
            "centroid_x follows centroid_z of neuron and centroid_z follows centroid_x of neuron",
        ),
        (
            "yxz",
            "centroid_x follows centroid_y of neuron and centroid_y follows centroid_x of neuron",
        ),
        (
            "xzy",
            "centroid_y follows centroid_z of neuron and centroid_z follows centroid_y of neuron",
        ),
        (
            "zxy",
            (
                "centroid_x follows centroid_z of neuron, centroid_y follows centroid_x of neuron"
                " and centroid_z follows centroid_y of neuron"
            ),
        ),
    ],
)
@pytest.mark.parametrize("child", ["nucleus", "mitochondria"])
def test_axes_in_another_order(tmp_path: Path, order: str, says: str, child: str) -> None:
    places = volume(60)
    [finding] = found(lab(tmp_path, child, places, near(places, 2_000), order))
    assert (finding.code, finding.table, finding.count, finding.severity) == (
        "SYN-UNIT-005",
        child,
        60,
        "warning",
    )
    assert says in finding.message
    moved = [f"centroid_{axis}" for axis, real in zip(AXES, order, strict=True) if axis != real]
    assert {place.column for place in finding.examples} == set(moved)


@pytest.mark.parametrize("suffix", ["tsv", "parquet"])
def test_the_parents_may_be_the_ones_in_another_order(tmp_path: Path, suffix: str) -> None:
    places = volume(20)
    dataset = lab(
        tmp_path, "axon", places, near(places, 9_000), "xyz", parents_order="zyx", suffix=suffix
    )
    [finding] = found(dataset)
    assert (finding.code, finding.table) == ("SYN-UNIT-005", "axon")
    assert (
        "in `tables.neuron.columns` centroid_x: centroid_z, centroid_z: centroid_x" in finding.fix
    )
    dataset.config["tables"]["neuron"]["columns"] = {
        "centroid_x": "centroid_z",
        "centroid_z": "centroid_x",
    }
    assert found(dataset) == []


def test_what_is_offered_for_three_axes_brings_them_into_order(tmp_path: Path) -> None:
    places = volume(30)
    dataset = lab(tmp_path, "nucleus", places, near(places, 2_000), "zxy")
    [finding] = found(dataset)
    columns = {"centroid_x": "centroid_z", "centroid_y": "centroid_x", "centroid_z": "centroid_y"}
    assert ", ".join(f"{lab}: {axis}" for lab, axis in columns.items()) in finding.fix
    dataset.config["tables"]["nucleus"]["columns"] = columns
    assert found(dataset) == []


@pytest.mark.parametrize("rows", [2, 3, 7])
def test_few_rows_that_lie_close_to_their_parents(tmp_path: Path, rows: int) -> None:
    places = volume(rows)
    assert [
        finding.code
        for finding in found(lab(tmp_path, "nucleus", places, near(places, 500), "zyx"))
    ] == ["SYN-UNIT-005"]


def test_two_axes_are_enough(tmp_path: Path) -> None:
    """A section: its vesicles have x and y."""
    places = volume(20)
    dataset = lab(
        tmp_path,
        "vesicle",
        places,
        near(places, 300, each=9),
        "yxz",
        parent="axon",
        drop=("centroid_z",),
    )
    assert "SYN-UNIT-005" in [finding.code for finding in found(dataset)]


def test_synapses_that_name_their_neurons_by_their_ends(tmp_path: Path) -> None:
    places = volume(40)
    dataset = lab(
        tmp_path, "synapse", places, near(places, 20_000, each=5), "zyx", reference="pre_synapse_id"
    )
    [finding] = [finding for finding in found(dataset) if finding.code == "SYN-UNIT-005"]
    assert finding.table == "synapse"


def test_a_mean_of_many_children_may_be_far_from_their_parent(tmp_path: Path) -> None:
    """2,000 terminals, spread over 80 micrometres around 200 axons."""
    places = volume(200)
    children = near(places, 40_000, each=10)
    assert [
        f.code
        for f in found(
            lab(tmp_path / "wrong", "pre_synaptic_terminal", places, children, "zyx", parent="axon")
        )
    ] == ["SYN-UNIT-005"]
    assert (
        found(
            lab(tmp_path / "right", "pre_synaptic_terminal", places, children, "xyz", parent="axon")
        )
        == []
    )


DIAGONAL = [
    (1_000.0 * n, 1_000.0 * n + 300 * (n % 3), 1_000.0 * n + 200 * (n % 5)) for n in range(1, 60)
]
CLEAN: dict[str, tuple[list[Place], list[tuple[int, Place]]]] = {
    "right": (volume(60), near(volume(60), 2_000)),
    "two rows": (volume(2), near(volume(2), 2_000)),
    "children all over the volume": (
        volume(30),
        [(number, place) for number, place in enumerate(volume(30, seed=9))],
    ),
    "one parent": (volume(1), near(volume(1), 90_000, each=400)),
    "five parents at nearly one place, children far around": (
        volume(5, size=(3_000, 3_000, 3_000)),
        near(volume(5), 90_000, each=300),
    ),
    "parents along a diagonal": (DIAGONAL, near(DIAGONAL, 2_000)),
    "a thin slab": (
        volume(40, size=(50_000, 50_000, 300)),
        near(volume(40, size=(50_000, 50_000, 300)), 2_000),
    ),
    "all on one plane": (
        [(x, y, 5_000.0) for x, y, _ in volume(40)],
        [(n, (x, y, 5_000.0)) for n, (x, y, _) in enumerate(volume(40))],
    ),
}


@pytest.mark.parametrize("name", list(CLEAN))
def test_right_places_say_nothing(tmp_path: Path, name: str) -> None:
    places, children = CLEAN[name]
    assert [
        f.code
        for f in found(lab(tmp_path, "nucleus", places, children, "xyz"))
        if f.code == "SYN-UNIT-005"
    ] == []
