"""The pandera schemas against an oracle written by hand, and the contract's page.

Belongs here: verdicts on small frames. Does not: streaming whole tables
(`tests/unit/stages/test_validate.py`).
"""

from __future__ import annotations

import math
from typing import Any

import pandera.polars as pa
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pandera.errors import SchemaErrors

from syndb_pipeline.contract.checks import WORD, checked_table, checked_words, ruled_columns
from syndb_pipeline.contract.schema import data_dictionary, schema_of
from syndb_pipeline.contract.tables import TABLES, Kind
from syndb_pipeline.contract.vocabularies import (
    ANIMALS,
    BRAIN_STRUCTURES,
    DIRECTIONS,
    GENE_EXPRESSIONS,
    LICENSES,
)
from syndb_pipeline.rules.catalogue import RULES

# The oracle names columns itself; nothing of it comes from the contract's declaration.
ABOVE_ZERO = {
    *(
        "voxel_volume",
        "voxel_radius",
        "mesh_volume",
        "mesh_surface_area",
        "mesh_area_volume_ratio",
        "mesh_sphericity",
    ),
    "cable_length",
}
NOT_NEGATIVE = {"total_mitochondria_volume", "total_vesicle_volume", "distance_to_active_zone"}
AT_MOST_ONE = {
    "mesh_sphericity",
    "gaba",
    "acetylcholine",
    "glutamate",
    "octopamine",
    "serine",
    "dopamine",
}
PROBABILITIES = AT_MOST_ONE - {"mesh_sphericity"}
COUNTS = {
    *(
        "dendritic_spine_count",
        "terminal_count",
        "mitochondria_count",
        "vesicle_count",
        "ribosome_count",
        "cleft_score",
    ),
    *("n_branches", "n_skeletons", "n_trees", "minimum_normal_length"),
}
LONGEST = {"neurotransmitter": 65}
REQUIRED = {table: {"cid"} for table in TABLES} | {
    "neuron_relation": {"pre_synapse_id", "post_synapse_id"}
}


def oracle(table: str, column: str, value: Any) -> set[str]:
    """The codes that `value` in `table.column` must be given, in plain Python."""
    if value is None:
        return {"not_nullable"} if column in REQUIRED[table] else set()
    if isinstance(value, float):
        if not math.isfinite(value):
            return {"SYN-VAL-002"}
        below = (
            value <= 0
            if column in ABOVE_ZERO
            else value < 0
            if column in NOT_NEGATIVE | PROBABILITIES
            else False
        )
        return {"SYN-VAL-001"} if below or (column in AT_MOST_ONE and value > 1) else set()
    if isinstance(value, bool):
        return set()
    if isinstance(value, int):
        if column in COUNTS and value < 0:
            return {"SYN-VAL-001"}
        return {"SYN-VAL-005"} if column != "cave_id" and not -(2**31) <= value < 2**31 else set()
    if column not in ("polarity", "neuron_type", "bounding_box", "neurotransmitter"):
        return set()
    codes = set() if all(ord(letter) < 128 for letter in value) else {"SYN-VAL-004"}
    return codes | ({"SYN-VAL-003"} if len(value) > LONGEST.get(column, math.inf) else set())


TYPES = {
    Kind.KEY: pl.String,
    Kind.REFERENCE: pl.String,
    Kind.NUMBER: pl.Float64,
    Kind.INTEGER: pl.Int64,
    Kind.BOOLEAN: pl.Boolean,
    Kind.TEXT: pl.String,
    Kind.PATH: pl.String,
}
VALUES: dict[Any, st.SearchStrategy[Any]] = {
    pl.String: st.one_of(
        st.none(), st.text(max_size=8), st.sampled_from(["a" * 65, "a" * 66, "é" * 65, "", " "])
    ),
    pl.Float64: st.one_of(
        st.none(),
        st.floats(),
        st.sampled_from([0.0, -0.0, 1.0, math.nextafter(1, 2), 5e-324, math.inf, math.nan]),
    ),
    pl.Int64: st.one_of(
        st.none(),
        st.integers(-(2**63), 2**63 - 1),
        st.sampled_from([-1, 0, 1, 2**31 - 1, 2**31, -(2**31), -(2**31) - 1]),
    ),
    pl.Boolean: st.one_of(st.none(), st.booleans()),
}


@st.composite
def frames(draw: st.DrawFn) -> tuple[str, pl.DataFrame]:
    """A table's name and a few rows of it, with its required columns and some of the others."""
    table = draw(st.sampled_from(sorted(TABLES)))
    optional = sorted(set(TABLES[table].columns) - REQUIRED[table])
    columns = [
        *sorted(REQUIRED[table]),
        *draw(st.lists(st.sampled_from(optional), unique=True, max_size=6)),
    ]
    height = draw(st.integers(0, 5))
    data = {}
    for name in columns:
        kind = TYPES[TABLES[table].columns[name].kind]
        data[name] = pl.Series(
            name, draw(st.lists(VALUES[kind], min_size=height, max_size=height)), dtype=kind
        )
    return table, pl.DataFrame(data)


def failing(schema: pa.DataFrameSchema, frame: pl.DataFrame) -> set[tuple[str, Any, str]]:
    try:
        schema.validate(frame, lazy=True)
    except SchemaErrors as errors:
        return {
            (case["column"], case["index"], case["check"])
            for case in errors.failure_cases.to_dicts()
        }
    return set()


@settings(max_examples=150, deadline=None)
@given(frames())
def test_the_verdict_is_the_oracles(case: tuple[str, pl.DataFrame]) -> None:
    table, frame = case
    expected = {
        (name, index, code)
        for name in frame.columns
        for index, value in enumerate(frame[name])
        for code in oracle(table, name, value)
    }
    assert failing(schema_of(checked_table(table)), frame) == expected


@pytest.mark.parametrize("table", ["neuron", "synapse", "vesicle"])
def test_types_are_exact(table: str) -> None:
    good = pl.DataFrame(
        schema={name: TYPES[column.kind] for name, column in TABLES[table].columns.items()}
    )
    assert failing(schema_of(checked_table(table)), good) == set()
    for name, column in TABLES[table].columns.items():
        other = pl.Float32 if column.kind is Kind.NUMBER else pl.Int32
        found = failing(
            schema_of(checked_table(table)), good.with_columns(pl.col(name).cast(other))
        )
        assert {(column, index) for column, index, _ in found} == {(name, None)}


def test_unknown_and_missing_columns_fail_the_frame() -> None:
    frame = pl.DataFrame(schema={"cid": pl.String, "colour": pl.String})
    assert failing(schema_of(checked_table("vesicle")), frame) == {
        ("vesicle", None, "column_in_schema")
    }
    assert failing(schema_of(checked_table("vesicle")), frame.drop("cid", "colour")) == {
        ("vesicle", None, "column_in_dataframe")
    }
    with pytest.raises(KeyError):
        schema_of(checked_table("vesicle", ["colour"]))


def test_every_check_is_named_by_a_rule_and_keys_have_none() -> None:
    for table in TABLES.values():
        ruled = set(ruled_columns(table))
        assert not ruled & {*table.references, "cid", "mesh_path", "swc_path"}
        for name, column in schema_of(checked_table(table.name)).columns.items():
            codes = [check.name for check in column.checks]
            assert set(codes) <= set(RULES)
            assert len(codes) == len(set(codes))
            assert (name in ruled) == bool(codes)


def test_words() -> None:
    for vocabulary, words, unknown in (
        ("polarity", ["bipolar", "bipolr"], {1}),
        ("neurotransmitter", ["glutamate", "gaba", "5-ht", "glutamat"], {3}),
        ("neuron_type", ["purkinje", ""], {1}),
    ):
        found = failing(schema_of(checked_words(vocabulary)), pl.DataFrame({WORD: words}))
        assert found == {(WORD, index, "SYN-VOC-001") for index in unknown}


def test_the_page_tells_every_table_column_and_vocabulary() -> None:
    page = data_dictionary()
    for table in TABLES.values():
        section = page.split(f"## {table.name}\n", 1)[1].split("\n## ", 1)[0]
        assert f"Code {table.code}," in section
        for column in table.columns.values():
            line = next(
                line for line in section.splitlines() if line.startswith(f"| `{column.name}`")
            )
            cells = [cell.strip() for cell in line.strip("|").split(" | ")]
            assert len(cells) == 8, line
            assert cells[3] == column.unit
            assert column.bounds in cells[4]
            assert column.source == cells[7]
    assert "in (0, 1]" in page
    assert "`pseudounipolar`" in page
    assert "`gaba` for gamma aminobutyric acid" in page
    words = page.split("# Words of a dataset's YAML", 1)[1]
    for known in (ANIMALS, BRAIN_STRUCTURES, DIRECTIONS, GENE_EXPRESSIONS, LICENSES):
        assert all(f"`{word}`" in words for word in known)
