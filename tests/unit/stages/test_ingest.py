"""The ingest stage: files found, several as one table, digests, what it leaves for the stages after
it.

Belongs here: the stage as a whole. Does not: single formats (`tests/unit/readers`).
"""

from __future__ import annotations

import gzip
import os
from pathlib import Path
from typing import Any

import duckdb
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st

from syndb_pipeline.base.digests import digest_file
from syndb_pipeline.base.errors import PipelineError
from syndb_pipeline.readers import files
from syndb_pipeline.stages import ingest
from syndb_pipeline.stages.runner import run_stage
from tests.campaigns import examples
from tests.lab import Ingested, context_for, ingest_folder


def write(folder: Path, name: str, content: str) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content, encoding="utf-8")
    return path


def test_several_files_are_one_table_in_the_order_of_their_paths(tmp_path: Path) -> None:
    write(tmp_path, "day2/v.csv", "voxel_radius,cid\n3,c\n4,d\n")
    write(tmp_path, "day1/v.csv", "cid;voxel_radius\na;1\n\nb;2\n")
    pq.write_table(pa.table({"cid": [5], "voxel_radius": [5.0]}), tmp_path / "day3.parquet")
    (tmp_path / "day4").mkdir()
    done = ingest_folder(tmp_path, {"vesicle": "**/*[vy]*.[cp]*"})
    assert done.rows("vesicle") == [("a", 1.0), ("b", 2.0), ("c", 3.0), ("d", 4.0), ("5", 5.0)]
    places = [str(done.sources.example("vesicle", row, "voxel_radius")) for row in range(5)]
    assert places == [
        "day1/v.csv, row 2, column voxel_radius",
        "day1/v.csv, row 4, column voxel_radius",
        "day2/v.csv, row 2, column voxel_radius",
        "day2/v.csv, row 3, column voxel_radius",
        "day3.parquet, row 1, column voxel_radius",
    ]
    assert [(entry.file, entry.rows) for entry in done.details.files] == [
        ("day1/v.csv", 2),
        ("day2/v.csv", 2),
        ("day3.parquet", 1),
    ]


def test_many_rows_of_many_files_keep_their_order(tmp_path: Path) -> None:
    for number in range(4):
        first = number * 150_000
        duckdb.execute(
            f"COPY (SELECT i AS cid, i / 4 AS voxel_radius FROM range({first}, {first + 150_000})"
            f" t(i)) TO '{tmp_path}/v{number}.csv'"
        )
    done = ingest_folder(tmp_path, {"vesicle": "v*.csv"})
    table = f"read_parquet('{done.folder}/tables/vesicle.parquet', file_row_number=true)"
    assert duckdb.sql(
        f"SELECT count(*), count(*) FILTER (cid::BIGINT <> file_row_number) FROM {table}"
    ).fetchall() == [(600_000, 0)]


@pytest.mark.parametrize(
    "pattern",
    [
        "gone.csv",
        "*.nothing",
        "../*/nothing[",
        "a\0b",
        "x" * 5000,
        "/no/such/*.csv",
        "~nobody/x.csv",
        "[!",
    ],
)
def test_files_that_are_not_there(tmp_path: Path, pattern: str) -> None:
    done = ingest_folder(tmp_path, {"vesicle": pattern})
    assert done.codes == ["SYN-READ-001"]
    assert done.tables["vesicle"].read == 0
    assert done.cells() == []


@pytest.mark.parametrize(
    ("inside", "pattern", "glob"),
    [
        (
            ["part-0.parquet", "part-1.parquet", "_SUCCESS", ".part-0.parquet.crc"],
            "v.parquet",
            "v.parquet/*.parquet",
        ),
        (["a.csv.gz", "b.csv.gz", "_notes.txt"], "v/", "v/*.csv.gz"),
        (["a.csv", "b.parquet"], "v", None),  # either glob alone would leave rows out
        (["a.parquet", "old/b.parquet"], "v", None),
        (["b.tsv"], "v[1]", "v[[]1]/*.tsv"),
        (["day1/p.parquet", "day2/p.parquet"], "v.parquet", "v.parquet/**/*.parquet"),
        (["p.parquet"], "v.par*", "v.par*/*.parquet"),
        (["a.parquet", "_delta_log/0.json"], "v", None),  # it may hold rows that were deleted since
        (["a.parquet", "_temporary/b.parquet", ".old/c.csv"], "v", "v/*.parquet"),
        (["README.md"], "v", None),
        ([], "v", None),
    ],
)
def test_a_folder_names_the_files_in_it(
    tmp_path: Path, inside: list[str], pattern: str, glob: str | None
) -> None:
    folder = tmp_path / ("v.parquet" if "*" in pattern else pattern)
    folder.mkdir()
    for number, name in enumerate(inside):
        (folder / name).parent.mkdir(exist_ok=True)
        if name.endswith(".parquet"):
            pl.DataFrame({"cid": [f"k{number}"]}).write_parquet(folder / name)
        elif name.endswith(".csv.gz"):
            (folder / name).write_bytes(gzip.compress(b"cid\nk%d\n" % number))
        else:
            write(folder, name, "cid\nk\n")
    (finding,) = ingest_folder(tmp_path, {"vesicle": pattern}).findings
    assert (finding.code, "it is a folder" in finding.message) == ("SYN-READ-014", True)
    told = [yaml.safe_load(block)["tables"]["vesicle"] for block in finding.settings]
    assert told == ([{"file": glob}] if glob else [])
    if glob:
        done = ingest_folder(tmp_path, {"vesicle": glob})
        assert (done.codes, done.tables["vesicle"].read) == (
            [],
            sum(name[0] not in "._" for name in inside),
        )


def test_a_name_with_glob_characters_is_taken_literally(tmp_path: Path) -> None:
    write(tmp_path, "v[1].csv", "cid\na\n")
    write(tmp_path, "v1.csv", "cid\nb\n")
    assert ingest_folder(tmp_path, {"vesicle": "v[1].csv"}).rows("vesicle") == [("a",)]


def test_one_broken_table_does_not_hide_the_others(tmp_path: Path) -> None:
    write(tmp_path, "axon.csv", "id\n1\n")
    write(tmp_path, "vesicle.csv", "cid,type\na,b\n")
    done = ingest_folder(tmp_path, {"vesicle": "vesicle.csv", "axon": "axon.csv"})
    assert [(finding.table, finding.code) for finding in done.findings] == [
        ("axon", "SYN-COL-001"),
        ("axon", "SYN-COL-002"),
        ("vesicle", "SYN-COL-001"),
    ]
    assert done.rows("vesicle") == [("a",)]
    assert not done.has("axon")


def test_inputs_name_every_file_and_only_what_ingest_uses(tmp_path: Path) -> None:
    path = write(tmp_path, "v.csv", "cid\na\n")
    base = ingest.inputs(context_for(tmp_path, {"vesicle": "v.csv"}))
    assert base["file:v.csv"] == digest_file(path)
    same: list[dict[str, Any]] = [{"rules": {"SYN-VOC-001": "error"}}, {"schedule": "0 2 * * *"}]
    assert all(
        ingest.inputs(context_for(tmp_path, {"vesicle": "v.csv"}, **more)) == base for more in same
    )
    assert (
        ingest.inputs(context_for(tmp_path, {"vesicle": {"file": "v.csv", "parent": "axon"}}))
        == base
    )
    assert (
        ingest.inputs(context_for(tmp_path, {"vesicle": {"file": "v.csv", "missing": ["x"]}}))
        != base
    )
    assert (
        ingest.inputs(context_for(tmp_path, {"vesicle": "v.csv"}, rules={"SYN-READ-011": "error"}))
        != base
    )
    path.write_text("cid\nb\n")
    assert ingest.inputs(context_for(tmp_path, {"vesicle": "v.csv"})) != base
    assert list(ingest.inputs(context_for(tmp_path, {"vesicle": "gone.csv"}))) == [
        "config:tables",
        "config:rules",
    ]


def test_a_file_that_changes_between_hashing_and_reading_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path, "v.csv", "cid\na\n")
    context = context_for(tmp_path, {"vesicle": "v.csv"})
    ingest.inputs(context)
    times = path.stat()
    path.write_text("cid\nb\n")
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    (tmp_path / "out").mkdir()
    with pytest.raises(PipelineError, match="changed while it was being read"):
        ingest.run(context, tmp_path / "out")


def test_a_file_that_goes_while_it_is_read_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path, "v.csv", "cid\na\n")
    witness = files.Witness()
    witness.digest(path)
    path.unlink()
    with pytest.raises(PipelineError):
        witness.confirm(path)


def test_through_the_runner_twice(tmp_path: Path) -> None:
    write(tmp_path, "v.csv", "cid,voxel_radius\n a,1\nb,x\n")
    context = context_for(tmp_path, {"vesicle": "v.csv"})
    with context.store.lock():
        first = run_stage(context, "ingest")
        again = run_stage(context, "ingest")
        forced = run_stage(context, "ingest", force=True)
    assert first == again
    assert forced.digest == first.digest
    assert sorted(first.outputs) == [
        "cells.parquet",
        "sources.json",
        "tables/vesicle.parquet",
        "unreadable.parquet",
    ]
    assert not (context.store.scratch / "reading").exists()


def unreadable(done: Ingested) -> list[tuple[Any, ...]]:
    return duckdb.sql(f"SELECT * FROM '{done.folder / 'unreadable.parquet'}'").fetchall()


@settings(max_examples=examples(15, 100), deadline=None)
@given(
    st.lists(
        st.sampled_from(
            [
                "a,1",
                "b",
                "c,2,3",
                "",
                '"d",4',
                'e,"5',
                '"f\ng",6',
                'h,"i"j',
                " k ,x",
                "l,",
                ",",
                " ,,",
                ",m",
                "cid,voxel_radius",
                "-,nm",
                "o,p",
            ]
        ),
        max_size=12,
    ),
    st.booleans(),
)
@example([",m", "cid,voxel_radius", "a,1"], True)
def test_rows_are_conserved_whatever_the_lines(
    tmp_path_factory: pytest.TempPathFactory, lines: list[str], ended: bool
) -> None:
    """Every line is a row, refused, blank, or the inside of a quoted value."""
    folder = tmp_path_factory.mktemp("rows")
    write(folder, "v.csv", "\n".join(["cid,voxel_radius", *lines]) + ("\n" if ended else ""))
    done = ingest_folder(folder, {"vesicle": "v.csv"})
    blank = sum(finding.count for finding in done.findings if finding.code == "SYN-READ-011")
    codes = ("SYN-READ-002", "SYN-READ-015", "SYN-READ-017", "SYN-READ-018")
    refused = {finding.code: 0 for finding in done.findings if finding.code in codes}
    for finding in done.findings:
        # A file that seems cut off refuses a line only where that is certain; a header among the
        # rows is refused either way.
        if finding.code in refused and (
            finding.confidence == "certain" or finding.code == "SYN-READ-017"
        ):
            refused[finding.code] += finding.count
    assert done.tables["vesicle"].rejected == sum(refused.values())
    kept = unreadable(done)
    assert {code: [kept[5] for kept in kept].count(code) for code in refused} == refused
    shown = "\n".join(["cid,voxel_radius", *lines]).split("\n")
    assert [text for *_, text, _ in kept] == [shown[line - 1] for _, _, _, line, _, _ in kept]
    breaks = sum(key.count("\n") for (key,) in done.rows("vesicle", "cid") if key)
    written = len("\n".join(lines).split("\n")) - (not ended and lines[-1:] == [""]) if lines else 0
    if (
        'e,"5' not in lines
    ):  # a quotation mark left open may take lines of the next quoted value with it
        assert done.tables["vesicle"].read + blank + breaks == written


@pytest.mark.parametrize("files", [1, 3])
def test_equal_files_give_equal_bytes_whatever_the_threads(tmp_path: Path, files: int) -> None:
    for number in range(files):
        duckdb.execute(
            f"COPY (SELECT {number} * 400_000 + i AS cid, i / 7 AS voxel_radius"
            f" FROM range({400_000 // files}) t(i)) TO '{tmp_path}/v{number}.csv'"
        )
    digests = set()
    for threads in (1, 2, 3):
        context = context_for(tmp_path, {"vesicle": "v*.csv"})
        context = type(context)(
            context.config, context.settings.model_copy(update={"threads": threads})
        )
        out = tmp_path / f"out{threads}"
        out.mkdir()
        ingest.run(context, out)
        digests.add(
            tuple(
                digest_file(out / name)
                for name in ("tables/vesicle.parquet", "cells.parquet", "sources.json")
            )
        )
    assert len(digests) == 1


def test_refused_lines_are_kept_as_written(tmp_path: Path) -> None:
    (tmp_path / "b.csv").write_bytes(
        b'cid,voxel_radius\nb1,1\nb2,1,2\nb\xfc3,1\n"b4,1\nb5,1\n'
        + b"b6,1,"
        + b"x" * 200_000
        + b"\n"
    )
    write(tmp_path, "a.csv", "cid,voxel_radius\na1\na2,5\n")
    write(tmp_path, "axon.csv", "cid\nx\n")
    done = ingest_folder(tmp_path, {"vesicle": "[ab].csv", "axon": "axon.csv"})
    kept = unreadable(done)
    assert [(*place, text[:10], code) for *place, text, code in kept] == [
        ("vesicle", "a.csv", None, 2, "a1", "SYN-READ-002"),
        ("vesicle", "b.csv", None, 3, "b2,1,2", "SYN-READ-002"),
        ("vesicle", "b.csv", None, 4, "b\ufffd3,1", "SYN-READ-003"),
        ("vesicle", "b.csv", None, 5, '"b4,1', "SYN-READ-015"),
        ("vesicle", "b.csv", None, 7, "b6,1,xxxxx", "SYN-READ-002"),
    ]
    assert len(kept[-1][4]) == 100_000
    assert [done.details.tables[name].unreadable for name in ("axon", "vesicle")] == [0, 5]


def test_findings_of_columns_say_where_the_header_stands(tmp_path: Path) -> None:
    write(tmp_path, "v.csv", "made by x\n\ncid,type,voxel_radius\na,b,1\n")
    (finding,) = ingest_folder(tmp_path, {"vesicle": {"file": "v.csv", "header_row": 2}}).findings[
        :1
    ]
    assert [str(place) for place in finding.examples] == ["v.csv, row 3, column type"]
    pq.write_table(pa.table({"cid": ["a"], "type": ["b"]}), tmp_path / "v.parquet")
    (finding,) = ingest_folder(tmp_path, {"vesicle": "v.parquet"}).findings
    assert [str(place) for place in finding.examples] == ["v.parquet, column type"]
