"""Stage 2 over small tables shaped as ingest leaves them.

Belongs here: findings, counts and failing cells of validate, from real files. Does not: single
rules (`tests/unit/contract`).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import duckdb
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from syndb_pipeline.base.errors import PipelineError
from syndb_pipeline.checks.units.mesh_and_skeleton_files import digest_of_paths
from syndb_pipeline.checks.units.units import window
from syndb_pipeline.config.settings import DatasetConfig, PipelineSettings
from syndb_pipeline.contract.tables import TABLES, Kind
from syndb_pipeline.rules.finding import Finding
from syndb_pipeline.stages import validate
from syndb_pipeline.state.results import IngestDetails, IngestedTable
from syndb_pipeline.state.row_locations import Source, SourceMap
from syndb_pipeline.state.stage import Context, Result
from syndb_pipeline.state.store import IngestRecord, Rows, describe_outputs
from tests.campaigns import examples
from tests.meshes import small_mesh

DATASET = "01939c0e-7b1a-7c3e-9f53-6f0c6b1d2a11"
POLARS = {"VARCHAR": pl.String, "DOUBLE": pl.Float64, "BIGINT": pl.Int64, "BOOLEAN": pl.Boolean}


class Lab:
    """A dataset whose tables stand as ingest leaves them, and what validate says of it."""

    def __init__(
        self, folder: Path, tables: dict[str, dict[str, Sequence[Any]] | str], **config: Any
    ) -> None:
        cells = config.pop("cells", [])
        self.folder = folder
        content = {
            "dataset": {
                "id": DATASET,
                "label": "test",
                "animal": "MUS_MUSCULUS",
                "microscopy": "EM",
                "brain_regions": [{"structure": "septum"}],
            },
            "tables": {name: {"file": f"{name}.csv"} | config.pop(name, {}) for name in tables},
        }
        dataset = DatasetConfig.model_validate(content | config)
        dataset._path = folder / "test.yaml"
        self.context = Context(dataset, PipelineSettings(state=folder / "state", threads=1))
        self._ingest(tables, cells)

    def _ingest(
        self,
        tables: dict[str, dict[str, Sequence[Any]] | str],
        cells: list[tuple[str, int, str, str, str]],
    ) -> None:
        out = self.context.store.scratch / "ingest"
        (out / "tables").mkdir(parents=True)
        rows, columns, sources = {}, {}, {}
        for name, content in tables.items():
            file = out / "tables" / f"{name}.parquet"
            if isinstance(content, str):
                duckdb.sql(content).write_parquet(str(file))
                frame = pl.read_parquet(file)
            else:
                types = {
                    column: POLARS[TABLES[name].columns[column].sql_type] for column in content
                }
                frame = pl.DataFrame(dict(content), schema=types)
                frame.write_parquet(file)
            rows[name] = Rows(read=frame.height, passed=frame.height, rejected=0)
            columns[name] = {column: column.upper() for column in frame.columns}
            sources[name] = [
                Source(file=f"{name}.csv", first_row=0, rows=frame.height, columns=columns[name])
            ]
        schema = {
            "tbl": pl.String,
            "row_number": pl.Int64,
            "col": pl.String,
            "raw": pl.String,
            "kind": pl.String,
        }
        pl.DataFrame(cells, schema=schema, orient="row").write_parquet(out / "cells.parquet")
        SourceMap(tables=sources).write(out)
        read = {
            name: IngestedTable(rows=rows[name].read, unreadable=0, columns=columns[name])
            for name in tables
        }
        details = IngestDetails(tables=read, files=[], made_from=dict.fromkeys(tables, ""))
        outputs = dict(describe_outputs(out))
        record = IngestRecord(
            stage="ingest",
            dataset=self.context.dataset,
            inputs={},
            versions={},
            outputs=outputs,
            tables=rows,
            details=details,
        )
        self.context.store.commit(out, record)

    def validate(self) -> Result:
        out = self.folder / "validate"
        out.mkdir(exist_ok=True)
        return validate.run(self.context, out)

    @property
    def failures(self) -> list[tuple[Any, ...]]:
        return pl.read_parquet(self.folder / "validate" / "failures.parquet").rows()


def codes(result: Result) -> list[str]:
    return [finding.code for finding in result.findings]


def the(result: Result, code: str) -> Finding:
    (finding,) = [finding for finding in result.findings if finding.code == code]
    return finding


def keys(count: int) -> list[str]:
    return [f"k{number}" for number in range(count)]


def one_cell(folder: Path, table: str, column: str, raw: str, **config: Any) -> Finding:
    """The one finding about a cell that ingest could not cast."""
    cells = [(table, 1, column, raw, "uncast")]
    lab = Lab(folder, {table: {"cid": keys(3), column: [None, None, None]}}, cells=cells, **config)
    result = lab.validate()
    (finding,) = result.findings
    assert result.tables[table] == Rows(read=3, passed=2, rejected=1)
    assert [(row[1], row[2], row[3], row[4]) for row in lab.failures] == [(table, 1, column, raw)]
    example = finding.examples[0]
    assert (example.file, example.row, example.column, example.value) == (
        f"{table}.csv",
        3,
        column.upper(),
        raw,
    )
    return finding


@pytest.mark.parametrize(
    ("raw", "code", "told"),
    [
        ("abc", "SYN-TYPE-001", "Write a plain number such as 12.5"),
        ("12,5", "SYN-TYPE-001", '`tables.vesicle.decimal: ","`'),
        ("1.234,5", "SYN-TYPE-001", '`tables.vesicle.decimal: ","`'),
        ("1,234.5", "SYN-TYPE-001", "group thousands"),
        ("1 234 567", "SYN-TYPE-001", "group thousands"),
        ("1,234", "SYN-TYPE-001", "If the comma is the decimal mark"),
        ("12 nm", "SYN-TYPE-001", "without nm."),
        ("12\u00a0nm", "SYN-TYPE-001", "without nm."),
        ("0.02um", "SYN-TYPE-001", "`tables.vesicle.units: {voxel_radius: um}`"),
        ("0.02 µm", "SYN-TYPE-001", "`tables.vesicle.units: {voxel_radius: um}`"),
        ("200 Å", "SYN-TYPE-001", "`tables.vesicle.units: {voxel_radius: angstrom}`"),
        ("voxel_radius", "SYN-TYPE-001", "a header row between the rows"),
        ("12abc", "SYN-TYPE-001", "without the text behind it"),
        ("50%", "SYN-TYPE-001", "without the text behind it"),
        ("NA", "SYN-TYPE-001", '`tables.vesicle.missing: ["NA"]`'),
        (" n/a ", "SYN-TYPE-001", '`tables.vesicle.missing: ["n/a"]`'),
        ("?", "SYN-TYPE-001", '`tables.vesicle.missing: ["?"]`'),
        ("2024-03-01", "SYN-TYPE-001", "A spreadsheet made dates of them"),
        ("3-Mar", "SYN-TYPE-001", "A spreadsheet made dates of them"),
        ("Mar-03", "SYN-TYPE-001", "A spreadsheet made dates of them"),
        ("01.02.2024", "SYN-TYPE-001", "A spreadsheet made dates of them"),
        ("true", "SYN-TYPE-001", "answers, not numbers"),
        ("−12.5", "SYN-TYPE-001", "typographic dash"),
        ("<5", "SYN-TYPE-001", "no ranges"),
        ("12 ± 3", "SYN-TYPE-001", "no ranges"),
        ("10-20", "SYN-TYPE-001", "no ranges"),
        ("NaN", "SYN-VAL-002", '`tables.vesicle.missing: ["NaN"]`'),
        (" nan", "SYN-VAL-002", '`tables.vesicle.missing: ["nan"]`'),
        ("-inf", "SYN-VAL-002", '`tables.vesicle.missing: ["-inf"]`'),
        ("Infinity", "SYN-VAL-002", '`tables.vesicle.missing: ["Infinity"]`'),
        ("1e400", "SYN-VAL-005", "1.8e308"),
        ("1e-400", "SYN-VAL-005", "4.9e-324"),
    ],
)
def test_a_cell_that_is_no_number(tmp_path: Path, raw: str, code: str, told: str) -> None:
    finding = one_cell(tmp_path, "vesicle", "voxel_radius", raw)
    assert finding.code == code
    assert told in finding.message + finding.fix


@pytest.mark.parametrize(
    ("raw", "code"),
    [
        ("3.5", "SYN-TYPE-002"),
        ("9007199254740993.5", "SYN-TYPE-002"),
        ("1e-3", "SYN-TYPE-002"),
        ("99999999999999999999", "SYN-VAL-005"),
        ("864698962020347904", "SYN-ID-003"),  # from a float column: its last digits are lost
        ("NA", "SYN-TYPE-001"),
        ("inf", "SYN-VAL-002"),
        ("three", "SYN-TYPE-001"),
    ],
)
def test_a_cell_that_is_no_count(tmp_path: Path, raw: str, code: str) -> None:
    assert one_cell(tmp_path, "axon", "terminal_count", raw).code == code


def test_a_cell_that_is_neither_true_nor_false(tmp_path: Path) -> None:
    assert one_cell(tmp_path, "neuron", "is_tree", "maybe").code == "SYN-TYPE-003"


def test_proposed_settings_keep_what_is_declared(tmp_path: Path) -> None:
    cells = [
        ("vesicle", 0, "voxel_radius", "NA", "uncast"),
        ("vesicle", 1, "voxel_radius", "-", "uncast"),
        ("vesicle", 2, "centroid_x", "NA", "uncast"),
        ("vesicle", 2, "distance_to_active_zone", "5 um", "uncast"),
    ]
    empty = [None] * 3
    lab = Lab(
        tmp_path,
        {
            "vesicle": {
                "cid": keys(3),
                "voxel_radius": empty,
                "centroid_x": empty,
                "distance_to_active_zone": empty,
            }
        },
        cells=cells,
        vesicle={"missing": ["-1"], "units": {"voxel_radius": "um"}},
    )
    result = lab.validate()
    cures = [finding.fix for finding in result.findings]
    assert sum('`tables.vesicle.missing: ["-1", "NA", "-"]`' in cure for cure in cures) == 2
    assert not any("nan" in cure for cure in cures)
    assert (
        sum(
            "`tables.vesicle.units: {voxel_radius: um, distance_to_active_zone: um}`" in cure
            for cure in cures
        )
        == 1
    )
    assert result.tables["vesicle"].rejected == 3


def test_cells_of_other_kinds_are_not_validates_business(tmp_path: Path) -> None:
    cells = [("vesicle", 0, "cid", " k0", "trimmed"), ("vesicle", 1, "parent_id", "1.0", "float")]
    lab = Lab(tmp_path, {"vesicle": {"cid": keys(2), "parent_id": ["a", "b"]}}, cells=cells)
    assert lab.validate().findings == []
    assert lab.failures == []


def test_a_marker_is_told_as_the_lab_wrote_it(tmp_path: Path) -> None:
    radius = [20.0, 21.0, 22.0, -1000.0]  # ingest made nanometres of -1 um
    lab = Lab(
        tmp_path,
        {"vesicle": {"cid": keys(4), "voxel_radius": radius}},
        vesicle={"units": {"voxel_radius": "um"}},
    )
    assert '`tables.vesicle.missing: ["-1"]`' in the(lab.validate(), "SYN-VAL-001").fix


def test_nan_in_a_typed_column_and_in_text_is_one_finding(tmp_path: Path) -> None:
    radius = [20.0, math.nan, None, math.inf, 21.0]
    lab = Lab(
        tmp_path,
        {"vesicle": {"cid": keys(5), "voxel_radius": radius}},
        cells=[("vesicle", 2, "voxel_radius", " NaN", "uncast")],
    )
    result = lab.validate()
    assert [(finding.code, finding.count) for finding in result.findings] == [
        ("SYN-VAL-002", 1),
        ("SYN-VAL-002", 2),
    ]
    assert result.tables["vesicle"].rejected == 3
    assert result.details.tables["vesicle"].columns["voxel_radius"].model_dump() == {
        "nulls": 1,
        "min": 20.0,
        "p1": 20.0,
        "median": 20.0,
        "p99": 21.0,
        "max": 21.0,
    }


def test_the_config_makes_errors_of_words_and_units(tmp_path: Path) -> None:
    rules = {
        "SYN-VOC-001": "error",
        "SYN-VOC-002": "error",
        "SYN-VOC-003": "error",
        "SYN-UNIT-001": "error",
    }
    lab = Lab(
        tmp_path,
        {
            "neuron": {"cid": keys(4), "polarity": ["input", " INPUT", "bipolar", None]},
            "vesicle": {"cid": keys(2), "neurotransmitter": ["ach", "dopamine"]},
            "nucleus": {
                "cid": keys(2),
                "mesh_surface_area": [1e8, 1e8],
                "mesh_volume": [1e11, 1e11],
                "mesh_area_volume_ratio": [0.001, 0.002],
            },
        },
        rules=rules,
    )
    result = lab.validate()
    assert [(finding.code, finding.count) for finding in result.findings] == [
        ("SYN-VOC-001", 2),
        ("SYN-VOC-002", 1),
        ("SYN-UNIT-001", 1),
        ("SYN-VOC-003", 1),
    ]
    assert {finding.severity for finding in result.findings} == {"error"}
    assert [result.tables[table].rejected for table in ("neuron", "vesicle", "nucleus")] == [
        2,
        1,
        1,
    ]
    assert {(row[0], row[2]) for row in lab.failures if row[1] == "neuron"} == {
        ("SYN-VOC-001", 0),
        ("SYN-VOC-001", 1),
        ("SYN-VOC-002", 1),
    }


def spheres(radii: Sequence[float], scale: float = 1.0) -> dict[str, list[float]]:
    area = [4 * math.pi * radius**2 for radius in radii]
    volume = [4 / 3 * math.pi * radius**3 for radius in radii]
    return {
        "voxel_radius": [radius * scale for radius in radii],
        "mesh_surface_area": [value * scale**2 for value in area],
        "mesh_volume": [value * scale**3 for value in volume],
        "mesh_area_volume_ratio": [a / v / scale for a, v in zip(area, volume, strict=True)],
        "mesh_sphericity": [1.0 for _ in radii],
    }


RADII = {
    "neuron": 5_000.0,
    "dendrite": 400.0,
    "axon": 150.0,
    "pre_synaptic_terminal": 400.0,
    "dendritic_spine": 150.0,
    "vesicle": 20.0,
}
RADII |= {"mitochondria": 180.0, "endoplasmic_reticulum": 100.0, "nucleus": 3_000.0}


@pytest.mark.parametrize("table", sorted(RADII))
def test_units_of_a_whole_column(tmp_path: Path, table: str) -> None:
    radii = [RADII[table] * factor for factor in (0.8, 0.9, 1.0, 1.1, 1.2)]
    in_nanometres = Lab(tmp_path / "nm", {table: {"cid": keys(5)} | spheres(radii)}).validate()
    assert in_nanometres.findings == []
    in_micrometres = Lab(
        tmp_path / "um", {table: {"cid": keys(5)} | spheres(radii, 1e-3)}
    ).validate()
    told = the(in_micrometres, "SYN-UNIT-003")  # one wrong unit, one finding
    assert codes(in_micrometres) == ["SYN-UNIT-003"]
    named = {name for name in spheres([1.0]) if f"{name}: um" in told.fix}
    # A thick neuron's ratio in 1/um is that of a thin one in 1/nm.
    assert named | {"mesh_area_volume_ratio"} == {
        "voxel_radius",
        "mesh_surface_area",
        "mesh_volume",
        "mesh_area_volume_ratio",
    }
    assert ("mesh_area_volume_ratio" in named) == (table != "neuron")
    assert told.fix.startswith(
        f"If that is the unit, say so: `tables.{table}.units: {{voxel_radius: um, "
    )
    assert len(told.settings) == 1
    assert (told.confidence, told.count, told.column) == ("likely", 5, None)
    assert "they look like um: " in told.message
    assert {example.column for example in told.examples} == {name.upper() for name in named}
    assert in_micrometres.tables[table].rejected == 0


def test_nanometres_that_were_converted_once_too_often(tmp_path: Path) -> None:
    radius = [18_000.0, 20_000.0, 22_000.0]
    lab = Lab(
        tmp_path,
        {"vesicle": {"cid": keys(3), "voxel_radius": radius}},
        vesicle={"units": {"voxel_radius": "um"}},
    )
    assert (
        "take voxel_radius out of `tables.vesicle.units`" in the(lab.validate(), "SYN-UNIT-003").fix
    )


def test_every_window_knows_its_column() -> None:
    for table, declared in TABLES.items():
        for name, column in declared.columns.items():
            bounds = window(table, name)
            if bounds is not None:
                assert column.kind is Kind.NUMBER and column.dimension is not None, (table, name)
                assert 0 < bounds[0] * 100 < bounds[1], (table, name)
    assert window("vesicle", "voxel_radius") == (5, 1_000)
    assert window("synapse", "centroid_x") is None


def test_files_that_are_missing_or_of_another_kind(tmp_path: Path) -> None:
    (tmp_path / "meshes").mkdir()
    (tmp_path / "meshes" / "a.GLB").write_bytes(small_mesh())
    (tmp_path / "b.txt").write_bytes(b"x")
    outside = tmp_path.parent / "outside.glb"
    outside.write_bytes(small_mesh())
    paths = [
        "meshes/a.GLB",
        "meshes",
        "nowhere.glb",
        "b.txt",
        "../outside.glb",
        str(outside),
        None,
        "nowhere.glb",
        "a\0.glb",
    ]
    lab = Lab(tmp_path, {"neuron": {"cid": keys(9), "mesh_path": paths}})
    before = validate.inputs(lab.context)
    result = lab.validate()
    missing, wrong = the(result, "SYN-PATH-001"), the(result, "SYN-PATH-002")
    assert [example.row for example in missing.examples] == [4, 9, 10]
    assert (missing.count, wrong.count) == (3, 2)
    assert [example.value for example in wrong.examples] == ["meshes", "b.txt"]
    assert ".glb" in wrong.message
    assert result.tables["neuron"] == Rows(read=9, passed=4, rejected=5)
    (tmp_path / "nowhere.glb").write_bytes(small_mesh())
    after = validate.inputs(lab.context)
    assert before.keys() == after.keys() == {"config:rules", "config:tables", "paths"}
    assert before["paths"] != after["paths"], "a file put in its place makes the stage run again"


def test_what_the_stage_depends_on(tmp_path: Path) -> None:
    tables: dict[str, Any] = {"neuron": {"cid": ["a"], "swc_path": ["a.swc"]}}
    labs = [Lab(tmp_path / name, tables) for name in ("one", "two")]
    assert validate.inputs(labs[0].context) == validate.inputs(labs[1].context), (
        "folders do not matter"
    )
    ruled = Lab(tmp_path / "three", tables, rules={"SYN-VOC-001": "error"})
    assert (
        validate.inputs(ruled.context)["config:rules"]
        != validate.inputs(labs[0].context)["config:rules"]
    )
    assert digest_of_paths(labs[0].context, {"neuron": ["cid"]}) is None


def test_rows_keep_their_number_across_batches(tmp_path: Path) -> None:
    rows = 1_100_000
    bad = (0, 65_535, 65_536, 999_999, 1_000_000, rows - 1)
    query = (
        f"SELECT ('k' || i)::VARCHAR AS cid, (CASE WHEN i IN {bad} THEN -5 ELSE i % 1000"
        f" END)::BIGINT AS n_trees FROM range({rows}) AS t(i)"
    )
    lab = Lab(tmp_path, {"neuron": query})
    result = lab.validate()
    assert [row[2] for row in lab.failures] == list(bad)
    finding = the(result, "SYN-VAL-001")
    assert [example.row for example in finding.examples] == [2, 65_537, 65_538, 1_000_001, rows + 1]
    assert result.tables["neuron"] == Rows(read=rows, passed=rows - 6, rejected=6)
    columns = result.details.tables["neuron"].columns
    assert set(columns) == {"n_trees"}
    trees = columns["n_trees"]
    assert (trees.min, trees.max, trees.nulls) == (-5, 999, 0)
    assert 480 < trees.median < 520, "from a sample"


def test_equal_inputs_give_equal_bytes(tmp_path: Path) -> None:
    rows = 300_000
    query = f"""SELECT ('k' || i)::VARCHAR AS cid, (i % 7 - 1)::DOUBLE AS voxel_radius, (i * 7919 %
          100003 + 1e4)::DOUBLE AS voxel_volume,
                ('word ' || i % 5000)::VARCHAR AS neurotransmitter FROM range({rows}) AS t(i)"""
    outputs = []
    for threads in (1, 2, 4):
        lab = Lab(tmp_path / str(threads), {"vesicle": query})
        lab.context = Context(
            lab.context.config,
            PipelineSettings(state=tmp_path / str(threads) / "state", threads=threads),
        )
        result = lab.validate()
        outputs.append(((lab.folder / "validate" / "failures.parquet").read_bytes(), result))
    assert outputs[0] == outputs[1] == outputs[2]
    assert outputs[0][1].tables["vesicle"].rejected == sum(1 for i in range(rows) if i % 7 < 2)
    words = the(outputs[0][1], "SYN-VOC-001")
    assert (words.count, len(words.examples)) == (rows, 5)
    assert "4,999 other words" in words.message


def test_types_other_than_the_contracts_are_our_fault(tmp_path: Path) -> None:
    lab = Lab(tmp_path, {"vesicle": "SELECT 'a' AS cid, 1.5::FLOAT AS voxel_radius"})
    with pytest.raises(
        PipelineError,
        match=r"vesicle with columns that the contract does not describe \(voxel_radius",
    ):
        lab.validate()


def test_a_table_without_rules_and_a_table_without_rows(tmp_path: Path) -> None:
    lab = Lab(
        tmp_path,
        {
            "dendritic_spine": {"cid": ["a"], "parent_id": ["b"]},
            "vesicle": {"cid": [], "voxel_radius": [], "neurotransmitter": []},
        },
    )
    result = lab.validate()
    assert result.findings == []
    assert result.tables == {
        "dendritic_spine": Rows(read=1, passed=1, rejected=0),
        "vesicle": Rows(read=0, passed=0, rejected=0),
    }
    assert result.details.tables["vesicle"].columns["voxel_radius"].model_dump() == {
        "nulls": 0,
        "min": None,
        "p1": None,
        "median": None,
        "p99": None,
        "max": None,
    }


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    root = tmp_path_factory.mktemp("property")
    return iter(root / str(number) for number in range(10_000))


NUMBERS = st.one_of(st.none(), st.floats(), st.sampled_from([0.0, -1.0, 1.0, 20.0]))
COUNTS = st.one_of(st.none(), st.integers(-3, 3), st.sampled_from([2**31 - 1, 2**31, 2**62]))
WORDS = st.one_of(st.none(), st.sampled_from(["dopamine", "GABA", "x" * 65, "x" * 66, "β", "word"]))


@settings(max_examples=examples(10, 60), deadline=None)
@given(rows=st.lists(st.tuples(NUMBERS, NUMBERS, COUNTS, WORDS), max_size=6))
def test_rejected_rows_are_the_oracles(folders: Any, rows: list[tuple[Any, ...]]) -> None:
    def bad(radius: float | None, x: float | None, length: int | None, word: str | None) -> bool:
        return (
            (radius is not None and not (math.isfinite(radius) and radius > 0))
            or (x is not None and not math.isfinite(x))
            or (length is not None and not 0 <= length <= 2**31 - 1)
            or (word is not None and (len(word) > 65 or not word.isascii()))
        )

    columns = list(zip(*rows, strict=True)) if rows else [[], [], [], []]
    names = ("voxel_radius", "centroid_x", "minimum_normal_length", "neurotransmitter")
    lab = Lab(
        next(folders),
        {"vesicle": {"cid": keys(len(rows))} | dict(zip(names, columns, strict=True))},
    )
    result = lab.validate()
    wrong = {number for number, row in enumerate(rows) if bad(*row)}
    assert result.tables["vesicle"] == Rows(
        read=len(rows), passed=len(rows) - len(wrong), rejected=len(wrong)
    )
    assert {row[2] for row in lab.failures} == wrong
    assert bool([finding for finding in result.findings if finding.severity == "error"]) == bool(
        wrong
    )
