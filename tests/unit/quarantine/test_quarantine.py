"""on_invalid: quarantine. Wrong rows go with everything below them, nothing wrong is sent, and
every report counts what went.
"""

from __future__ import annotations

import csv as csv_module
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pytest

from syndb_pipeline.base.errors import ConfigError, PipelineError
from syndb_pipeline.config.settings import load_dataset
from syndb_pipeline.quarantine.rows import require_no_dangling
from syndb_pipeline.report.exports import Wanted, write_files
from tests.lab import Checked, Lab, csv, uid
from tests.meshes import small_mesh
from tests.quarantine_lab import (
    CONFIG,
    clean,
    keys_aside,
    packaged_rows,
    quarantining,
    set_aside,
    text,
)

GONE = "Quarantined, with everything that depends on it."


def spoilt(table: str, key: str, column: int, value: str) -> dict[str, list[list[str]]]:
    """The clean lab with one cell changed."""
    rows = clean()
    next(row for row in rows[table] if row[0] == key)[column] = value
    return rows


def asking(
    folder: Path,
    tables: Mapping[str, str | None],
    settings: Mapping[str, Mapping[str, Any]] | None = None,
    limit: str = "90%",
    **config: Any,
) -> Lab:
    """A lab that asks for quarantine."""
    return Lab(folder, tables, settings, on_invalid="quarantine", max_rejected=limit, **config)


# -- the two keys of the YAML


def limit_of(folder: Path, **config: Any) -> Decimal:
    lab = Lab(folder, {"neuron": csv("cid", "n1")}, **config)
    return load_dataset(lab.context.config.path).rejected_limit


def test_a_limit_is_a_percentage_or_a_fraction(tmp_path: Path) -> None:
    """And half a percent of a table unless the YAML says otherwise."""
    for written, limit in {
        **{"0.5%": "0.005", ".5 %": "0.005", "2%": "0.02", "100%": "1", "0%": "0"},
        **{"0.125%": "0.00125", 0.005: "0.005", "0.005": "0.005", 0: "0", 1e-4: "0.0001"},
    }.items():
        found = limit_of(tmp_path, on_invalid="quarantine", max_rejected=written)
        assert found == Decimal(limit), written
    assert limit_of(tmp_path, on_invalid="quarantine") == Decimal("0.005")


@pytest.mark.parametrize(
    ("limit", "said"),
    [
        (0.5, "'0.5' has no percent sign; write 0.5% or 50%"),
        (5, "'5' has no percent sign; write 5%"),
        ("0,5%", "no share of rows; write a percentage such as 0.5%"),
        (-1, "no share of rows"),
        ("101%", "more than all rows"),
        (True, "'true' is no share of rows"),
    ],
)
def test_wrong_values_are_told_with_the_way_out(tmp_path: Path, limit: Any, said: str) -> None:
    with pytest.raises(ConfigError) as refused:
        limit_of(tmp_path, on_invalid="quarantine", max_rejected=limit)
    assert said in str(refused.value)


@pytest.mark.parametrize("config", [{}, {"on_invalid": "refuse"}, {"on_invalid": "ignore"}])
def test_a_limit_needs_quarantine(tmp_path: Path, config: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="on_invalid"):
        limit_of(tmp_path, max_rejected="1%", **config)


# -- which errors


def test_an_error_that_is_not_about_rows_refuses_the_dataset(tmp_path: Path) -> None:
    tables = {
        "neuron": csv("cid,cable_length,colour", "n1,52000,red"),
        "dendrite": csv("voxel_volume", "5.5e8"),
        "nucleus": None,
        "axon": csv("cid", "a1", "a2", ""),
    }
    lab = asking(tmp_path, tables, limit="100%")
    checked = lab.check()
    assert checked.verdict == "rejected"
    why = "It cannot be quarantined: it is not about single rows."
    for code in ("SYN-COL-001", "SYN-COL-002", "SYN-READ-001"):
        assert checked.finding(code).fix.endswith(why)
    assert "SYN-INT-007" not in checked.codes
    assert set_aside(lab) == {}


def test_an_error_made_of_a_warning_that_only_counts_refuses_the_dataset(tmp_path: Path) -> None:
    rows = {
        "neuron": csv("cid", "n1", "n2"),
        "axon": csv("cid,parent_id,parent_enum", "a1,n1,1", "a2,n2,7"),
    }
    checked = asking(tmp_path, rows, rules={"SYN-REL-009": "error"}).check()
    assert (checked.verdict, checked.faults) == ("rejected", ["SYN-REL-009"])


@pytest.mark.parametrize(
    ("header", "value", "other"),
    [("cable_length", '"1.234,5"', "1.234"), ("mesh_sphericity", "45", "0.8")],
)
def test_a_cell_that_makes_the_others_doubtful_refuses_the_dataset(
    tmp_path: Path, header: str, value: str, other: str
) -> None:
    rows = csv(f"cid,{header}", f"n1,{value}", *(f"n{k},{other}" for k in range(2, 6)))
    checked = asking(tmp_path, {"neuron": rows}).check()
    assert checked.verdict == "rejected"
    [error] = [finding for finding in checked.findings if finding.severity == "error"]
    assert error.fix.endswith(
        "It cannot be quarantined: other values of the column may be read wrongly for the same"
        " reason."
    )


def test_a_rule_that_the_yaml_raised_sets_rows_aside_and_one_it_lowered_does_not(
    tmp_path: Path,
) -> None:
    rows = {
        "neuron": csv("cid,neuron_type,cable_length", "n1,nonsense word,5000", "n2,,-1", "n3,,6000")
    }
    rules = {"SYN-VOC-001": "error", "SYN-VAL-001": "warning"}
    lab = asking(tmp_path, rows, rules=rules)
    assert lab.check().verdict == "accepted"
    assert keys_aside(lab) == {"neuron": {"n1"}}


# -- what goes with a wrong row


def test_a_neuron_takes_everything_below_it(tmp_path: Path) -> None:
    lab = quarantining(tmp_path, spoilt("neuron", "n2", 1, "-4"))
    records = lab.run("package")
    checked = Checked(lab, records)
    # Synapses s1 and s2 end and begin at n2; what forms a synapse with n2's goes too, for its cell
    # would lead nowhere.
    assert keys_aside(lab) == {
        "neuron": {"n2"},
        "neuron_relation": {"n1/n2", "n2/n3"},
        "axon": {"a2"},
        "dendrite": {"d2"},
        "pre_synaptic_terminal": {"t2_0", "t2_1", "t1_0"},
        "dendritic_spine": {"p2", "p3"},
        "synapse": {"s1", "s2"},
        "vesicle": {"v2_0", "v2_1", "v2_2", "v2_3", "v1_0", "v1_2"},
    }
    assert set_aside(lab)["neuron"] == {2: ("SYN-VAL-001", "Value out of range (cable_length)")}
    assert set_aside(lab)["axon"] == {2: ("", "below neuron n2")}
    assert set_aside(lab)["vesicle"][4] == ("", "below pre_synaptic_terminal t1_0")
    assert checked.verdict == "accepted"
    wrong = checked.finding("SYN-VAL-001")
    assert wrong.severity == "error" and wrong.message.endswith(GONE)
    vesicle, neuron = checked.rows("vesicle"), checked.rows("neuron")
    assert (vesicle.read, vesicle.passed, vesicle.rejected, vesicle.below) == (24, 18, 6, 6)
    assert (vesicle.wrong, neuron.rejected, neuron.below) == (0, 1, 0)
    aside = checked.sealed.details.set_aside["vesicle"]
    assert (aside.read, aside.rows, aside.below) == (24, 6, 6)
    assert {table: len(packaged_rows(lab, table)) for table in clean()} == {
        table: rows.published for table, rows in checked.sealed.tables.items()
    }


def test_a_synapse_that_only_a_lost_terminal_tied_to_a_neuron_goes_too(tmp_path: Path) -> None:
    tables = {
        "neuron": csv("cid", "n1", "n2"),
        "axon": csv("cid,parent_id", "a1,n1", "a2,n2"),
        "pre_synaptic_terminal": csv(
            "cid,parent_id,forms_synapse_with,vesicle_count",
            "t1,a1,s1,-1",
            "t2,a2,s2,1",
            "t3,a1,s2,1",
        ),
        "synapse": csv("cid,cave_id", "s1,1", "s2,2"),
    }
    lab = asking(tmp_path, tables, {"pre_synaptic_terminal": {"parent": "axon"}})
    assert lab.check().verdict == "accepted"
    assert keys_aside(lab) == {"pre_synaptic_terminal": {"t1"}, "synapse": {"s1"}}
    assert set_aside(lab)["synapse"][0] == (
        "",
        "leads to a neuron only through rows that are quarantined",
    )


def test_tables_that_only_lost_rows_tied_together_are_no_dataset(tmp_path: Path) -> None:
    tables = {
        "pre_synaptic_terminal": csv(
            "cid,forms_synapse_with,vesicle_count", "t1,s1,-1", "t2,,1", "t3,,1"
        ),
        "synapse": csv("cid,cave_id,connection_score", "s1,1,1", "s2,2,1"),
        "dendritic_spine": csv("cid,forms_synapse_with", "p1,s1", "p2,s2"),
    }
    checked = asking(tmp_path, tables).check()
    assert checked.verdict == "rejected"
    assert checked.finding("SYN-INT-001").table == "pre_synaptic_terminal"
    assert checked.finding("SYN-INT-001").message.startswith("Without the quarantined rows: ")


# -- keys and pairs that are there twice


def test_of_copies_one_stays_and_of_keys_and_pairs_whose_rows_differ_none(tmp_path: Path) -> None:
    rows = clean()
    rows["axon"] += [list(rows["axon"][0]), ["a1", "n1", "9e8"], ["a4", "n4", "5.5e8"]]
    rows["neuron_relation"] += [["n0", "n1", "1"], ["n3", "n4", "77"]]
    rows["neuron"] += [["n9", "many"], ["n9", "few"]]
    lab = quarantining(tmp_path, rows)
    lab.run("package")
    aside = set_aside(lab)
    assert {n: codes for n, (codes, _) in aside["axon"].items()} == {
        **dict.fromkeys((1, 7), "SYN-ID-002"),  # a1
        **dict.fromkeys((6, 8), "SYN-ID-002"),  # the copies of a0 and a4
    }
    assert aside["neuron_relation"].keys() == {6, 3, 7}, "a copy; both rows of the fourth pair"
    assert aside["neuron"].keys() == {6, 7}, "they differ in a wrong cell only"
    assert keys_aside(lab)["pre_synaptic_terminal"] == {"t1_0", "t1_1"}
    kept = [cid for cid, *_ in packaged_rows(lab, "axon")]
    assert [kept.count(uid("axon", f"a{k}")) for k in range(6)] == [1, 0, 1, 1, 1, 1]


def test_with_one_row_of_a_combined_pair_goes_the_whole_pair(tmp_path: Path) -> None:
    rows = clean()
    rows["neuron_relation"] += [["n0", "n1", "10"], ["n1", "n2", "many"], ["n0", "n1", "20"]]
    lab = quarantining(tmp_path, rows, neuron_relation={"combine": {"connection_score": "sum"}})
    sealed = lab.run("package")["check_integrity"]
    counts = sealed.tables["neuron_relation"]
    assert (counts.read, counts.passed, counts.rejected) == (9, 7, 2)
    assert (counts.below, counts.combined) == (1, 2)
    assert set_aside(lab)["neuron_relation"][1] == ("", "combined with a row that is quarantined")
    scores = {(pre, post): score for pre, post, score in packaged_rows(lab, "neuron_relation")}
    assert scores[uid("neuron", "n0"), uid("neuron", "n1")] == 31
    assert (uid("neuron", "n1"), uid("neuron", "n2")) not in scores


def test_where_pairs_are_combined_a_row_of_an_unknown_pair_refuses_the_dataset(
    tmp_path: Path,
) -> None:
    rows = ("n1,n2,5", "n1,,5", "n1,muscle,5", "n1,n2,5,6", "n2,n3,4")
    tables = {
        "neuron": csv("cid", "n1", "n2", "n3"),
        "neuron_relation": csv("pre_id,post_id,connection_score", *rows),
    }
    combine = {"neuron_relation": {"combine": {"connection_score": "sum"}}}
    lab = asking(tmp_path, tables, combine)
    checked = lab.check()
    assert checked.verdict == "rejected"
    fixes = [finding.fix for finding in checked.findings if finding.severity == "error"]
    assert len(fixes) == 3
    assert all("it is not known which pair would lack something." in fix for fix in fixes)
    lab.config["tables"]["neuron_relation"].pop("combine")
    assert lab.check().verdict == "accepted"


# -- lines that cannot be read


def test_lines_that_cannot_be_read_are_counted_and_kept_and_the_csv_for_people_runs_nothing(
    tmp_path: Path,
) -> None:
    rows = clean()
    rows["axon"][2].append("=cmd()")
    rows["vesicle"][0] = ["@v", "t0_0", "=1+1"]
    lab = quarantining(tmp_path, rows)
    checked = lab.check()
    axon = checked.rows("axon")
    assert (axon.read, axon.passed, axon.rejected, axon.below) == (6, 5, 1, 0)
    file = lab.context.store.stage("check_integrity") / "quarantine" / "unreadable.parquet"
    assert duckdb.sql(f"SELECT tbl, file, line, text, code FROM '{file}'").fetchall() == [
        ("axon", "axon.csv", 4, "a2,n2,5.5e8,=cmd()", "SYN-READ-002")
    ]
    assert set_aside(lab)["pre_synaptic_terminal"][4][0] == "SYN-REL-001", "its parent is in no row"
    assert checked.finding("SYN-READ-002").message.endswith(GONE)
    out = tmp_path / "aside.csv"
    with lab.context.store.lock():
        assert write_files(lab.context, Wanted(quarantine=out)) == [out]
    with out.open(newline="", encoding="utf-8") as text_file:
        lines = list(csv_module.DictReader(text_file))
    assert len(lines) == sum(rows.rejected for rows in checked.sealed.tables.values())
    [vesicle] = [line for line in lines if line["codes"] == "SYN-TYPE-001"]
    shown = [vesicle[name] for name in ("table", "file", "row", "cid", "voxel_radius")]
    assert shown == ["vesicle", "vesicle.csv", "2", "'@v", "'=1+1"]
    [unread] = [line for line in lines if line["codes"] == "SYN-READ-002"]
    assert unread["text"] == "a2,n2,5.5e8,=cmd()"
    assert not [cell for line in lines for cell in line.values() if cell and cell[0] in "=@+"]


def test_a_column_whose_table_was_told_by_keys_is_asked_for_when_rows_are_missing(
    tmp_path: Path,
) -> None:
    # Axon 7 is lost, so that the vesicles' parents are found among the dendrites alone.
    tables = {
        "neuron": csv("cid", "n1"),
        "axon": csv("cid,parent_id", *(f"{k},n1" for k in range(7)), "7,n1,?"),
        "dendrite": csv("cid,parent_id", *(f"{k},n1" for k in range(5, 9))),
        "vesicle": csv("cid,parent_id", "v1,7", "v2,7", "v3,6"),
    }
    config = {"axon": {"parent": "neuron"}, "dendrite": {"parent": "neuron"}}
    lab = asking(tmp_path, tables, config)
    checked = lab.check()
    assert checked.verdict == "rejected"
    asked = checked.finding("SYN-REL-004")
    assert (asked.table, asked.column) == ("vesicle", "parent_id")
    assert "rows of axon that could not be read" in asked.message
    assert asked.settings == ["tables:\n  vesicle:\n    parent: dendrite"]
    lab.config["tables"]["vesicle"]["parent"] = "axon"
    assert lab.check().verdict == "accepted"
    assert keys_aside(lab)["vesicle"] == {"v1", "v2"}


# -- the limit


def neurons(count: int, wrong: int) -> str:
    return csv("cid,cable_length", *(f"n{k},{-1 if k < wrong else 5000 + k}" for k in range(count)))


@pytest.mark.parametrize(
    ("count", "wrong", "accepted", "rejected"),
    [
        (200, 1, "0.5%", "0.4999%"),
        (1000, 6, 0.006, "0.005"),
        (3, 1, "33.4%", "33.3%"),
        (10, 1, 0.1, 0),
        (10, 10, None, "100%"),
    ],
)
def test_the_limit_holds_to_the_row(
    tmp_path: Path, count: int, wrong: int, accepted: Any, rejected: Any
) -> None:
    lab = Lab(tmp_path, {"neuron": neurons(count, wrong)}, on_invalid="quarantine")
    for limit, verdict in ((accepted, "accepted"), (rejected, "rejected")):
        if limit is not None:
            lab.config["max_rejected"] = limit
            checked = lab.check()
            assert checked.verdict == verdict
            assert ("SYN-INT-007" in checked.codes) == (verdict == "rejected")
            assert checked.rows("neuron").rejected == wrong


def test_over_the_limit_the_finding_names_what_caused_most(tmp_path: Path) -> None:
    lab = quarantining(tmp_path, spoilt("neuron", "n2", 1, "-4"), "20%")
    checked = lab.check()
    over = checked.finding("SYN-INT-007")
    assert (over.table, over.count, over.severity) == ("neuron_relation", 2, "error")
    assert (
        over.message
        == "2 of 6 rows of neuron_relation (33.3%) would be quarantined, and `max_rejected` allows"
        " 20%; so would synapse (2 of 6), pre_synaptic_terminal (3 of 12), dendritic_spine (2 of"
        " 6), vesicle (6 of 24). The cause is SYN-VAL-001 (Value out of range) in neuron."
    )
    assert over.fix == "Correct SYN-VAL-001 in neuron first."
    assert [example.row for example in over.examples] == [3, 4]
    assert not checked.finding("SYN-VAL-001").message.endswith(GONE)
    assert set_aside(lab) == {}
    assert checked.rows("vesicle").below == 6, "the counts tell what would go"
    lab.config["max_rejected"] = "33.4%"
    assert lab.check().verdict == "accepted"


def test_a_limit_that_would_do_is_told_while_it_is_small(tmp_path: Path) -> None:
    lab = Lab(tmp_path, {"neuron": neurons(300, 4)}, on_invalid="quarantine")
    offered = lab.check().finding("SYN-INT-007").fix
    assert offered.endswith("raise the limit in the dataset's YAML: `max_rejected: 1.4%`.")
    lab.config["max_rejected"] = "1.4%"
    assert lab.check().verdict == "accepted"


def test_a_table_is_never_emptied(tmp_path: Path) -> None:
    rows = clean() | {"vesicle": [["v1", "t0_0", "-20"]]}
    checked = quarantining(tmp_path, rows, "100%").check()
    over = checked.finding("SYN-INT-007")
    assert (checked.verdict, over.table) == ("rejected", "vesicle")
    assert "so that none is left" in over.message
    assert "No table may become empty: vesicle." in over.fix


# -- nothing changes for those who did not ask


def test_without_wrong_rows_quarantine_packs_the_same_bytes(tmp_path: Path) -> None:
    asked = quarantining(tmp_path / "asked", clean())
    refusing = Lab(tmp_path / "refusing", text(clean()), CONFIG)
    mine, theirs = asked.run("package"), refusing.run("package")
    assert asked.tar == refusing.tar
    with (
        asked.context.store.lock(),
        pytest.raises(ConfigError, match="No row of dataset is quaran"),
    ):
        write_files(asked.context, Wanted(quarantine=tmp_path / "aside.csv"))
    assert "set_aside" not in mine["check_integrity"].details.model_dump()
    assert mine["join_relations"].digest == theirs["join_relations"].digest
    assert mine["check_integrity"].outputs == theirs["check_integrity"].outputs
    assert theirs["check_integrity"].inputs.keys() == {"record:join_relations"}
    assert all(
        "below" not in rows.model_dump() for rows in theirs["check_integrity"].tables.values()
    )


def test_with_refuse_a_wrong_row_refuses_as_ever(tmp_path: Path) -> None:
    lab = Lab(tmp_path, text(spoilt("neuron", "n2", 1, "-4")), CONFIG)
    checked = lab.check()
    assert checked.verdict == "rejected"
    assert {
        name: rows.rejected for name, rows in checked.sealed.tables.items() if rows.rejected
    } == {"neuron": 1}
    assert not (lab.context.store.stage("check_integrity") / "quarantine").exists()


# -- the files, and what is packed


def test_the_files_tell_where_a_row_stands_and_what_it_holds(tmp_path: Path) -> None:
    rows = csv(
        "cid,cable_length,mesh_volume", "n1,5000,1e6", '"n\n2",many,1e6', "n3,-3,", "n4,6000,2e6"
    )
    lab = asking(tmp_path, {"neuron": rows})
    assert lab.check().verdict == "accepted"
    file = lab.context.store.stage("check_integrity") / "quarantine" / "neuron.parquet"
    assert duckdb.sql(
        f"SELECT row_number, file, line, codes, cid, cable_length, mesh_volume FROM '{file}'"
    ).fetchall() == [
        (1, "neuron.csv", 3, "SYN-TYPE-001", "n\n2", "many", "1000000.0"),
        (2, "neuron.csv", 5, "SYN-VAL-001", "n3", "-3.0", None),
    ]


def test_the_mesh_of_a_row_set_aside_stays_at_home(tmp_path: Path) -> None:
    neuron = csv(
        "cid,cable_length,mesh_path",
        "n1,5000,one.glb",
        "n2,-1,two.glb",
        "n3,6000,gone.glb",
        "n4,7000,",
    )
    lab = asking(tmp_path, {"neuron": neuron})
    for name in ("one", "two"):
        (tmp_path / f"{name}.glb").write_bytes(small_mesh(name))
    records = lab.run("package")
    assert keys_aside(lab)["neuron"] == {"n2", "n3"}
    assert records["package"].details.files == 1
    assert records["package"].digest == lab.run("package")["package"].digest


def test_a_package_whose_rows_name_others_that_are_not_in_it_is_refused(tmp_path: Path) -> None:
    lab = quarantining(tmp_path, clean())
    lab.run("package")
    parts = lab.packaged("neuron").parent
    for table in clean():
        lab.packaged(table)
    require_no_dangling(lab.context, parts, list(clean()))
    duckdb.sql(
        f"COPY (SELECT * FROM '{parts}/dendritic_spine.parquet' OFFSET 1) TO"
        f" '{parts}/spine.parquet'"
    )
    (parts / "spine.parquet").rename(parts / "dendritic_spine.parquet")
    with pytest.raises(
        PipelineError,
        match=(
            "1 rows of synapse would be sent whose post_synapse_id names a row of dendritic_spine"
        ),
    ):
        require_no_dangling(lab.context, parts, list(clean()))
