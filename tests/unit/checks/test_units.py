"""Units told from what the values are: one finding for one wrong unit, and nothing twice.

Belongs here: SYN-UNIT-001 to 004 and what they silence, from real files. Does not: windows of
single columns (`test_validate.py`).
"""

from __future__ import annotations

from math import pi
from pathlib import Path

import pytest
import yaml

from syndb_pipeline.rules.finding import Finding
from tests.stage_lab import Checked, Lab, csv

RADII = (210.0, 180.0, 195.0, 240.0, 205.0)


def ball(
    radius: float, area: float = 1.0, volume: float = 1.0, ratio: float = 1.0
) -> tuple[str, str, str]:
    """Area, volume and ratio of a ball, each times what a wrong unit makes of it."""
    size, content = 4 * pi * radius**2, 4 / 3 * pi * radius**3
    return f"{size * area:.6g}", f"{content * volume:.6g}", f"{size / content * ratio:.6g}"


def balls(folder: Path, rows: list[tuple[str, str, str]], **config: object) -> Lab:
    table = csv(
        "cid,mesh_surface_area,mesh_volume,mesh_area_volume_ratio",
        *(f"m{number},{','.join(row)}" for number, row in enumerate(rows)),
    )
    return Lab(folder, {"mitochondria": table}, **config)


def cure(lab: Lab, finding: Finding) -> None:
    """Paste the finding's first setting into the config."""
    for table, keys in yaml.safe_load(finding.settings[0])["tables"].items():
        lab.config["tables"][table] |= keys


def faults(checked: Checked) -> list[str]:
    return [code for code in checked.faults if code != "SYN-INT-003"]


@pytest.mark.parametrize(
    ("factors", "code", "setting"),
    [
        ({"ratio": 1e3}, "SYN-UNIT-003", "{mesh_area_volume_ratio: um}"),
        (
            {"area": 1e-6, "volume": 1e-9, "ratio": 1e3},
            "SYN-UNIT-003",
            "{mesh_surface_area: um, mesh_volume: um, mesh_area_volume_ratio: um}",
        ),
        ({"volume": 1e-9}, "SYN-UNIT-003", "{mesh_volume: um}"),
        ({"area": 1e-6}, "SYN-UNIT-003", "{mesh_surface_area: um}"),
    ],
)
def test_one_wrong_unit_is_one_finding_and_its_line_cures_it(
    tmp_path: Path, factors: dict[str, float], code: str, setting: str
) -> None:
    lab = balls(tmp_path, [ball(radius, **factors) for radius in RADII])
    checked = lab.check()
    assert faults(checked) == [code]
    finding = checked.finding(code)
    told = yaml.safe_load(finding.settings[0])["tables"]["mitochondria"]["units"]
    assert told == yaml.safe_load(setting)
    assert finding.confidence == "likely"
    assert finding.count == len(RADII)
    assert finding.examples[0].row == 2
    cure(lab, finding)
    assert faults(lab.check()) == []


def test_a_ratio_that_only_area_and_volume_betray(tmp_path: Path) -> None:
    rows = [
        f"n{number},{','.join(ball(radius * 25, ratio=1e3))}" for number, radius in enumerate(RADII)
    ]
    lab = Lab(
        tmp_path, {"neuron": csv("cid,mesh_surface_area,mesh_volume,mesh_area_volume_ratio", *rows)}
    )
    finding = lab.check().finding("SYN-UNIT-001")
    assert "it is 10^3 times that, as if mesh_area_volume_ratio were in um" in finding.message
    cure(lab, finding)
    assert faults(lab.check()) == []


def test_a_few_rows_in_another_unit(tmp_path: Path) -> None:
    rows = [ball(radius) for radius in RADII * 3] + [
        ball(radius, 1e-6, 1e-9, 1e3) for radius in RADII
    ]
    finding = balls(tmp_path, rows).check().finding("SYN-UNIT-003")
    assert "Two units in one column of mitochondria: 5 values of mesh_volume" in finding.message
    assert "they look like um." in finding.message
    assert finding.examples[0].row == 17
    assert finding.settings == [], "a unit in the config would be that of the whole column"
    assert finding.count == 5


def test_extremes_of_one_column_are_no_other_unit(tmp_path: Path) -> None:
    rows = [ball(radius) for radius in (*RADII, 6.0, 3.0, 2.0, 40_000.0)]
    assert faults(balls(tmp_path, rows).check()) == []


def test_exchanged_columns_are_told_as_such_and_mapped_the_other_way_round(tmp_path: Path) -> None:
    rows = [(volume, area, ratio) for area, volume, ratio in (ball(radius) for radius in RADII)]
    lab = balls(tmp_path, rows)
    checked = lab.check()
    assert faults(checked) == ["SYN-UNIT-001"]
    finding = checked.finding("SYN-UNIT-001")
    assert "they agree once mesh_surface_area and mesh_volume are exchanged" in finding.message
    assert finding.confidence == "likely"
    cure(lab, finding)
    assert faults(lab.check()) == []


def test_a_sphericity_in_percent_is_told_by_its_range_alone(tmp_path: Path) -> None:
    rows = [
        f"m{n},{area},{volume},{value}"
        for n, (value, (area, volume, _)) in enumerate(
            zip((95, 88, 91), map(ball, RADII), strict=False)
        )
    ]
    checked = Lab(
        tmp_path, {"mitochondria": csv("cid,mesh_surface_area,mesh_volume,mesh_sphericity", *rows)}
    ).check()
    assert faults(checked) == ["SYN-VAL-001"]
    finding = checked.finding("SYN-VAL-001")
    assert ("percentages" in finding.fix, finding.confidence, finding.examples[0].value) == (
        True,
        "likely",
        "95",
    )


@pytest.mark.parametrize(
    ("value", "marker"), [("-9999", "-9999"), ("9999", "9999"), ("-1.0", "-1"), ("-9.99e2", "-999")]
)
def test_a_marker_out_of_range_is_told_with_its_setting(
    tmp_path: Path, value: str, marker: str
) -> None:
    lab = Lab(
        tmp_path,
        {
            "neuron": csv("cid", "n1"),
            "synapse": csv("cid,pre_synapse_id,gaba", "s1,n1,0.5", f"s2,n1,{value}"),
        },
    )
    finding = lab.check().finding("SYN-VAL-001")
    assert yaml.safe_load(finding.settings[0])["tables"]["synapse"]["missing"] == [marker]
    assert (finding.confidence, finding.examples[0].value) == ("likely", value)
    cure(lab, finding)
    assert faults(lab.check()) == []


def test_what_a_value_became_is_told_where_the_config_names_a_unit(tmp_path: Path) -> None:
    lab = Lab(
        tmp_path,
        {"neuron": csv("cid,cable_length", "n1, -0.50 ", "n2,52")},
        {"neuron": {"units": {"cable_length": "um"}}},
    )
    assert (
        lab.check().finding("SYN-VAL-001").message
        == "1 value of neuron.cable_length is not > 0, e.g. ' -0.50 ', which is -500 nm."
    )


# -- centroids


def centroids(folder: Path, **places: tuple[str, ...]) -> Lab:
    """Tables of centroids, each row the child of the row of the same number in the table before."""
    tables, before = {}, ""
    for table, rows in places.items():
        head = (
            "cid,parent_id,centroid_x,centroid_y,centroid_z"
            if before
            else "cid,centroid_x,centroid_y,centroid_z"
        )
        tables[table] = csv(
            head,
            *(
                f"{table[0]}{n},{f'{before[0]}{n},' if before else ''}{row}"
                for n, row in enumerate(rows)
            ),
        )
        before = table
    return Lab(folder, tables)


NANOMETRES = ("48000,32000,16000", "52000,30000,18000")
MICROMETRES = ("48.1,32.2,15.9", "51.9,30.1,18.2")
VOXELS = ("6000,4000,400", "6500,3750,450")


def test_centroids_in_micrometres_are_cured_by_a_line(tmp_path: Path) -> None:
    lab = centroids(tmp_path, neuron=NANOMETRES, axon=MICROMETRES)
    finding = lab.check().finding("SYN-UNIT-004")
    assert (finding.table, finding.count, finding.confidence) == ("axon", 2, "likely")
    assert [str(place) for place in finding.examples[:2]] == [
        "axon.csv, row 2, column centroid_x: '48.1'",
        "axon.csv, row 2, column centroid_y: '32.2'",
    ]
    cure(lab, finding)
    assert faults(lab.check()) == []


def test_the_table_on_another_scale_is_told_once_whoever_disagrees(tmp_path: Path) -> None:
    checked = centroids(tmp_path, neuron=NANOMETRES, axon=VOXELS, mitochondria=NANOMETRES).check()
    finding = checked.finding("SYN-UNIT-004")
    assert (finding.table, finding.confidence) == ("axon", "possible")
    assert "centroid_x by 8, centroid_y by 8, centroid_z by 40" in finding.fix
    assert finding.settings == []


def test_nanometres_converted_once_too_often(tmp_path: Path) -> None:
    lab = centroids(tmp_path, neuron=NANOMETRES, axon=NANOMETRES)
    lab.config["tables"]["axon"]["units"] = {f"centroid_{axis}": "um" for axis in "xyz"}
    finding = lab.check().finding("SYN-UNIT-004")
    assert "those of axon look like nanometres that were converted" in finding.message
    assert "take centroid_x, centroid_y, centroid_z out of `tables.axon.units`" in finding.fix
