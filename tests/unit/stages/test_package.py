"""package: exactly SynDB's columns and types, the same bytes everywhere, and nothing from a dataset
that was not accepted as it lies.
"""

from __future__ import annotations

import io
import json
import operator
import os
import random
import tarfile
from functools import reduce
from pathlib import Path

import duckdb
import pyarrow.parquet as pq
import pytest

from syndb_pipeline.base.digests import digest_file
from syndb_pipeline.base.errors import DataRejected, PipelineError
from syndb_pipeline.contract.tables import TABLES
from tests.lab import DATASET, Lab, csv, uid
from tests.meshes import small_mesh

TABLES_OF_A_LAB = {
    "neuron": csv(
        "cid,polarity,neuron_type,is_tree,n_branches,mesh_volume,mesh_path",
        "n1,Bipolar,KC,true,3,2.5,n1.glb",
        "n2,,,,,,",
    ),
    "axon": csv("cid,parent_id,mitochondria_count", "a1,n1,4", "a2,n2,0"),
    "vesicle": csv(
        "cid,neurotransmitter,parent_id,parent_enum,centroid_x", "v1,GABA,a1,4,1.5", "v2,,a2,,2"
    ),
    "synapse": csv(
        "cid,parent_id,pre_id,post_id,cave_id,centroid_x,GABA",
        "s1,a1,n1,n2,720575940623636701,5,0.25",
    ),
    "neuron_relation": csv("cid,pre_id,post_id,connection_score", "e1,n1,n2,2", "e2,n2,n1,1"),
}


def lab_of(folder: Path, threads: int = 2, state: Path | None = None) -> Lab:
    terms = {
        "accepted_by": "A",
        "accepted_on": "2026-11-23",
        "accurate": True,
        "redistributable": True,
        "license_agreed": True,
    }
    lab = Lab(
        folder,
        TABLES_OF_A_LAB,
        {"synapse": {"parent": "axon"}},
        threads=threads,
        state=state,
        terms=terms,
    )
    (folder / "n1.glb").write_bytes(small_mesh())
    return lab


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Lab:
    lab = lab_of(tmp_path_factory.mktemp("lab"))
    lab.run("package")
    return lab


def columns(path: Path) -> dict[str, str]:
    return {
        name: kind for name, kind, *_ in duckdb.sql(f"DESCRIBE SELECT * FROM '{path}'").fetchall()
    }


@pytest.mark.parametrize("table", list(TABLES_OF_A_LAB))
def test_columns_are_those_syndb_publishes_in_their_order(lab: Lab, table: str) -> None:
    packaged = columns(lab.packaged(table))
    published = TABLES[table].published
    assert list(packaged) == [name for name in published if name in packaged]
    assert packaged == {name: published[name] for name in packaged}
    assert not set(packaged) & {"dataset_id", "mesh_path", "swc_path", "row_number", "_cells"}


def test_tables_have_the_columns_that_were_given_or_follow(lab: Lab) -> None:
    assert list(columns(lab.packaged("neuron"))) == [
        "cid",
        "polarity",
        "neuron_type",
        "is_tree",
        "n_branches",
        "mesh_volume",
    ]
    assert list(columns(lab.packaged("axon"))) == [
        "cid",
        "mitochondria_count",
        "parent_id",
        "parent_enum",
        "neuron_id",
    ]
    assert columns(lab.packaged("vesicle"))["parent_enum"] == "INTEGER"
    synapse = columns(lab.packaged("synapse"))
    assert list(synapse) == ["cid", "gaba", "cave_id", "pre_synapse_id", "post_synapse_id"], (
        "no parent, no centroid"
    )
    assert synapse["cave_id"] == "BIGINT"
    assert list(columns(lab.packaged("neuron_relation"))) == [
        "pre_synapse_id",
        "post_synapse_id",
        "connection_score",
    ]


def test_ids_are_parquet_uuids_of_16_bytes(lab: Lab) -> None:
    schema = pq.ParquetFile(lab.packaged("vesicle")).schema
    for name in ("cid", "parent_id", "neuron_id"):
        column = schema.column(list(columns(lab.packaged("vesicle"))).index(name))
        assert (column.physical_type, column.length, column.logical_type.type) == (
            "FIXED_LEN_BYTE_ARRAY",
            16,
            "UUID",
        )
    enum = schema.column(list(columns(lab.packaged("vesicle"))).index("parent_enum"))
    assert enum.physical_type == "INT32"


def test_rows_stand_as_in_the_file_with_text_in_lower_case(lab: Lab) -> None:
    assert duckdb.sql(
        f"SELECT cid, polarity, neuron_type, n_branches FROM '{lab.packaged('neuron')}'"
    ).fetchall() == [
        (uid("neuron", "n1"), "bipolar", "kc", 3),
        (uid("neuron", "n2"), None, None, None),
    ]
    assert duckdb.sql(f"SELECT * FROM '{lab.packaged('vesicle')}'").fetchall() == [
        (uid("vesicle", "v1"), "gaba", 1.5, uid("axon", "a1"), 4, uid("neuron", "n1")),
        (uid("vesicle", "v2"), None, 2.0, uid("axon", "a2"), 4, uid("neuron", "n2")),
    ]


def test_the_tar_tells_nothing_of_machine_user_and_time(lab: Lab) -> None:
    with tarfile.open(fileobj=io.BytesIO(lab.tar)) as archive:
        members = archive.getmembers()
    assert [member.name for member in members] == [
        "neuron.parquet",
        "neuron_relation.parquet",
        "axon.parquet",
        "synapse.parquet",
        "vesicle.parquet",
    ]
    assert {(m.mtime, m.mode, m.uid, m.gid, m.uname, m.gname, m.type) for m in members} == {
        (0, 0o644, 0, 0, "", "", tarfile.REGTYPE)
    }


def test_the_same_bytes_with_other_threads_in_another_folder_from_another_place(
    lab: Lab, tmp_path: Path
) -> None:
    other = lab_of(tmp_path / "else where*", threads=1, state=tmp_path / "far" / "state")
    before = Path.cwd()
    os.chdir(tmp_path)
    try:
        records = other.run("package")
    finally:
        os.chdir(before)
    assert other.tar == lab.tar
    manifests = [(one.package / "manifest.json").read_bytes() for one in (lab, other)]
    assert manifests[0] == manifests[1]
    assert records["package"].digest == lab.run_one("package").digest


def test_the_manifest(lab: Lab) -> None:
    manifest = json.loads((lab.package / "manifest.json").read_text())
    assert manifest["tar"] == {"name": f"{DATASET}.tar", "bytes": len(lab.tar)}
    assert manifest["tables"]["vesicle"] == {
        "rows": 2,
        "sha256": digest_file(lab.packaged("vesicle")),
        "bytes": lab.packaged("vesicle").stat().st_size,
    }
    assert {name: table["rows"] for name, table in manifest["tables"].items()} == {
        "neuron": 2,
        "neuron_relation": 2,
        "axon": 2,
        "synapse": 1,
        "vesicle": 2,
    }
    dataset = manifest["dataset"]
    assert (dataset["id"], dataset["data_license"], dataset["license"]) == (
        str(DATASET),
        7,
        "ODC_BY",
    )
    assert dataset["syndb_tables"] == [1, 2, 4, 6, 10]
    assert dataset["brain_regions"] == [{"brain_structure": "septum", "direction": "null"}]
    (mesh,) = manifest["files"]
    assert mesh == {
        "kind": "mesh",
        "table": "neuron",
        "cid": str(uid("neuron", "n1")),
        "path": "n1.glb",
        "sha256": digest_file(lab.folder / "n1.glb"),
        "bytes": len(small_mesh()),
    }
    store = lab.context.store
    stages = ["ingest", "validate", "assign_ids", "join_relations", "check_integrity"]
    assert manifest["chain"] == {
        stage: record.digest for stage in stages if (record := store.record(stage))
    }
    assert manifest["terms"]["accepted_by"] == "A"
    assert manifest["verdict"] == "accepted"
    assert str(lab.folder) not in json.dumps(manifest)


# -- pairs that become one


EDGES = csv(
    "pre_id,post_id,connection_score",
    "n2,n1,7",
    "n1,n2,3",
    "n1,n2,",
    "n2,n2,",
    "n1,n2,5",
    "n1,n2,1",
)


@pytest.mark.parametrize(
    ("how", "score"), [("sum", 9.0), ("mean", 3.0), ("min", 1.0), ("max", 5.0), ("first", 3.0)]
)
def test_rows_of_a_pair_become_one_where_the_first_stood(
    tmp_path: Path, how: str, score: float
) -> None:
    combine = {"neuron_relation": {"combine": {"connection_score": how}}}
    pairs = Lab(tmp_path, {"neuron": csv("cid", "n1", "n2"), "neuron_relation": EDGES}, combine)
    records = pairs.run("package")
    n1, n2 = uid("neuron", "n1"), uid("neuron", "n2")
    assert duckdb.sql(f"SELECT * FROM '{pairs.packaged('neuron_relation')}'").fetchall() == [
        (n2, n1, 7.0),
        (n1, n2, score),
        (n2, n2, None),
    ]
    rows = records["package"].tables["neuron_relation"]
    assert (rows.read, rows.passed, rows.combined, rows.published) == (6, 6, 3, 3)
    assert records["package"].details.tables["neuron_relation"].rows == 3


@pytest.mark.parametrize("header", ["pre_id,post_id", "pre_id,post_id,connection_score"])
def test_the_rows_of_a_pair_are_counted(tmp_path: Path, header: str) -> None:
    score = "," if header.endswith("score") else ""
    edges = csv(header, *(f"{pair}{score}" for pair in ("n2,n1", *["n1,n2"] * 2, "n2,n2", "n1,n2")))
    settings = {"neuron_relation": {"combine": {"connection_score": "count"}}}
    pairs = Lab(tmp_path, {"neuron": csv("cid", "n1", "n2"), "neuron_relation": edges}, settings)
    records = pairs.run("package")
    n1, n2 = uid("neuron", "n1"), uid("neuron", "n2")
    table = duckdb.sql(f"SELECT * FROM '{pairs.packaged('neuron_relation')}'")
    assert (table.columns[-1], str(table.types[-1])) == ("connection_score", "DOUBLE")
    assert table.fetchall() == [(n2, n1, 1.0), (n1, n2, 3.0), (n2, n2, 1.0)]
    rows_of = records["package"].tables["neuron_relation"]
    assert (rows_of.read, rows_of.passed, rows_of.combined, rows_of.published) == (5, 5, 2, 3)
    assert [finding.code for finding in records["check_integrity"].findings] == []


def test_rows_that_are_set_aside_are_not_counted(tmp_path: Path) -> None:
    edges = csv("pre_id,post_id", "n1,n2", *["n2,n1"] * 2, "n1,n2", "n1,muscle")
    settings = {"neuron_relation": {"combine": {"connection_score": "count"}}}
    tables = {"neuron": csv("cid", "n1", "n2"), "neuron_relation": edges}
    refused = Lab(
        tmp_path / "refused", tables, settings, on_invalid="quarantine", max_rejected="30%"
    ).check()
    assert refused.verdict == "rejected", "it is not known which pair would lack a row"
    neurons = csv("cid,cable_length", "n1,5", "n2,7", "n3,x")
    edges = csv("pre_id,post_id", "n1,n2", *["n2,n1"] * 2, "n1,n2", "n1,n3", "n3,n1")
    tables = {"neuron": neurons, "neuron_relation": edges}
    lab = Lab(tmp_path, tables, settings, on_invalid="quarantine", max_rejected="40%")
    records = lab.run("package")
    rows = records["package"].tables["neuron_relation"]
    assert (rows.read, rows.passed, rows.rejected, rows.combined, rows.published) == (6, 4, 2, 2, 2)
    n1, n2 = uid("neuron", "n1"), uid("neuron", "n2")
    assert duckdb.sql(f"SELECT * FROM '{lab.packaged('neuron_relation')}'").fetchall() == [
        (n1, n2, 2.0),
        (n2, n1, 2.0),
    ]


def test_sums_of_floats_have_the_same_bits_with_any_number_of_threads(tmp_path: Path) -> None:
    chance = random.Random(11)
    neurons = 20
    pairs = [(chance.randrange(neurons), chance.randrange(neurons)) for _ in range(200_000)]
    scores = [chance.uniform(-1, 1) * 10.0 ** chance.randrange(-8, 9) for _ in pairs]
    edges = csv(
        "pre_id,post_id,connection_score",
        *(f"{a},{b},{score!r}" for (a, b), score in zip(pairs, scores, strict=True)),
    )
    tables = {"neuron": csv("cid", *map(str, range(neurons))), "neuron_relation": edges}
    labs = [
        Lab(
            tmp_path / str(threads),
            tables,
            {"neuron_relation": {"combine": {"connection_score": "sum"}}},
            threads=threads,
        )
        for threads in (1, 2, 8)  # from 4 on, each of the two tables at work has several threads
    ]
    for one in labs:
        one.run("package")
    assert len({one.tar for one in labs}) == 1
    found = duckdb.sql(
        f"SELECT connection_score FROM '{labs[0].packaged('neuron_relation')}'"
    ).fetchall()
    sums: dict[tuple[int, int], list[float]] = {}
    for pair, score in zip(pairs, scores, strict=True):
        sums.setdefault(pair, []).append(score)
    assert len(found) == len(sums)
    in_file_order = [reduce(operator.add, parts) for parts in sums.values()]
    assert [value for (value,) in found] == in_file_order, (
        "added up from the first row to the last, to the bit"
    )


# -- refusals


def test_a_rejected_dataset_is_not_packaged(tmp_path: Path) -> None:
    rejected = Lab(tmp_path, {"neuron": csv("cid", "n1", "n1")})
    assert list(rejected.run("package")) == [
        "ingest",
        "validate",
        "assign_ids",
        "join_relations",
        "check_integrity",
    ]
    with pytest.raises(DataRejected, match="was rejected: 1 kind") as told:
        rejected.run_one("package")
    assert "syndb-pipeline check" in told.value.next_step
    assert not rejected.package.exists()


@pytest.mark.parametrize(
    "output",
    [
        "ingest/tables/neuron.parquet",
        "validate/failures.parquet",
        "assign_ids/ids/axon.parquet",
        "join_relations/relations/axon.parquet",
        "check_integrity/failures.parquet",
    ],
)
def test_one_flipped_byte_of_any_stage_is_noticed(tmp_path: Path, output: str) -> None:
    flipped = Lab(tmp_path, {"neuron": csv("cid", "n1"), "axon": csv("cid,parent_id", "a1,n1")})
    flipped.run()
    path = flipped.context.store.folder / output
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(
        PipelineError, match=f"is not what the verdict was given for: {output}"
    ) as told:
        flipped.run_one("package")
    assert "syndb-pipeline check" in told.value.next_step
    assert "package" in flipped.run("package"), "the whole chain makes it anew"


def test_a_mesh_that_went_away_is_told(tmp_path: Path) -> None:
    lab = lab_of(tmp_path)
    lab.run()
    (tmp_path / "n1.glb").unlink()
    with pytest.raises(
        DataRejected, match=r"n1\.glb, named in mesh_path of neuron, cannot be read"
    ):
        lab.run_one("package")
