"""Only what changed is made again, and what is taken over is what a run from nothing would have
made: the same records, to the digest.
"""

from __future__ import annotations

import errno
import os
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from syndb_pipeline.stages import (
    assign_ids,
    join_relations,
    package,
    part_writer,
    table_reader,
    validate,
)
from syndb_pipeline.state.store import Record
from tests.campaigns import sampled
from tests.lab import Lab, csv

TABLES = {
    "neuron": csv("cid,mesh_volume,polarity", "n1,5,bipolar", "n2,6,Unipolar", "n3,,"),
    "axon": csv("cid,parent_id,voxel_volume", "a1,n1,10", "a2,n2,20"),
    "pre_synaptic_terminal": csv("cid,parent_id,voxel_radius", "t1,a1,5", "t2,a2,6", "t3,a2,7"),
    "synapse": csv("cid,pre_synapse_id,post_synapse_id,gaba", "s1,n1,n2,0.5", "s2,n2,n1,0.25"),
    "vesicle": None,
}
VESICLES = "cid,parent_id,voxel_radius,neurotransmitter"


def vesicles(number: int, *, header: str = VESICLES, rows: int = 3) -> str:
    return csv(
        header, *(f"v{number}_{row},t{1 + row % 3},{20 + row}.5,gaba" for row in range(rows))
    )


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Lab:
    folder = tmp_path_factory.mktemp("prepared")
    neurons = {"pre_synapse_id": "neuron", "post_synapse_id": "neuron"}
    lab = Lab(
        folder,
        TABLES,
        {
            "vesicle": {"file": "v*.csv", "parent": "pre_synaptic_terminal"},
            "synapse": {"references": neurons},
        },
    )
    for number in (1, 2, 4):
        (folder / f"v{number}.csv").write_text(vesicles(number))
    lab.run("package")
    return lab


@pytest.fixture
def lab(prepared: Lab, tmp_path: Path) -> Lab:
    """A lab whose stages have run."""
    return prepared.copied(tmp_path)


def from_nothing(lab: Lab) -> dict[str, Record]:
    """What a run of the same lab gives that has never run before."""
    state = lab.folder / "fresh"
    shutil.rmtree(state, ignore_errors=True)
    other = Lab(lab.folder, {}, state=state)
    other.config = lab.config
    return other.run("package")


def digests(records: dict[str, Record]) -> dict[str, str]:
    return {stage: record.digest for stage, record in records.items()}


class Spy:
    """What was made: the files opened by ingest, and the tables that each later stage worked on."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.opened: list[str] = []
        self.made: dict[str, list[str]] = {
            "validate": [],
            "assign_ids": [],
            "join_relations": [],
            "package": [],
        }
        opening = table_reader.TableReader._open

        def opened(reader: Any, path: Path, file: str) -> Any:
            self.opened.append(file)
            return opening(reader, path, file)

        monkeypatch.setattr(table_reader.TableReader, "_open", opened)
        self._watch(monkeypatch, validate, "_check_cells", "validate", lambda args: args[1].name)
        self._watch(monkeypatch, assign_ids, "_key", "assign_ids", lambda args: args[1])
        self._watch(
            monkeypatch, join_relations, "_resolve", "join_relations", lambda args: args[1].name
        )
        self._watch(monkeypatch, package, "_select", "package", lambda args: args[2].name)

    def _watch(
        self,
        monkeypatch: pytest.MonkeyPatch,
        module: Any,
        name: str,
        stage: str,
        table: Callable[[Any], str],
    ) -> None:
        original = getattr(module, name)

        def watched(*args: Any, **options: Any) -> Any:
            self.made[stage].append(table(args))
            return original(*args, **options)

        monkeypatch.setattr(module, name, watched)


def test_a_changed_leaf_pulls_only_its_own_line(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    spy = Spy(monkeypatch)
    lab.write(
        "synapse", csv("cid,pre_synapse_id,post_synapse_id,gaba", "s1,n1,n2,0.5", "s2,n2,n1,0.75")
    )
    records = lab.run("package")
    assert spy.opened == ["synapse.csv"]
    assert spy.made == {
        stage: ["synapse"] for stage in ("validate", "assign_ids", "join_relations", "package")
    }
    assert digests(records) == digests(from_nothing(lab))


def test_a_changed_parent_pulls_what_hangs_on_it(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    spy = Spy(monkeypatch)
    lab.write("axon", csv("cid,parent_id,voxel_volume", "a1,n1,10", "a2,n1,20"))
    records = lab.run("package")
    assert (spy.opened, spy.made["validate"], spy.made["assign_ids"]) == (
        ["axon.csv"],
        ["axon"],
        ["axon"],
    )
    assert spy.made["join_relations"] == ["axon", "pre_synaptic_terminal", "vesicle"]
    # Their neuron is another one; the terminals' own rows are as before.
    assert sorted(spy.made["package"]) == ["axon", "pre_synaptic_terminal", "vesicle"]
    assert digests(records) == digests(from_nothing(lab))


@pytest.mark.parametrize("number", [0, 3, 9])
def test_of_a_glob_only_the_new_file_is_read(
    lab: Lab, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    spy = Spy(monkeypatch)
    (lab.folder / f"v{number}.csv").write_text(vesicles(number))
    records = lab.run("package")
    assert spy.opened == [f"v{number}.csv"]
    assert digests(records) == digests(from_nothing(lab))
    assert [key for key, _ in lab.ids("vesicle")] == [
        f"v{n}_{row}" for n in sorted({1, 2, 4, number}) for row in range(3)
    ]


def test_many_files_are_taken_over_in_pieces(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(part_writer, "_ROWS_TOGETHER", 4)
    spy = Spy(monkeypatch)
    for number in (3, 5, 6):
        (lab.folder / f"v{number}.csv").write_text(vesicles(number))
    assert digests(lab.run("package")) == digests(from_nothing(lab))
    assert spy.opened[:3] == ["v3.csv", "v5.csv", "v6.csv"]


def test_a_file_that_went_away_and_one_in_another_order_of_columns(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    spy = Spy(monkeypatch)
    (lab.folder / "v1.csv").unlink()
    (lab.folder / "v0.csv").write_text(
        csv("neurotransmitter,cid,parent_id,voxel_radius", "gaba,w,t1,20")
    )
    assert digests(lab.run("package")) == digests(from_nothing(lab))
    assert spy.opened[0] == "v0.csv"


@pytest.mark.parametrize(
    "odd",
    [
        pytest.param(csv(VESICLES, "v5_1,t1,20,gaba", "v5_2,t1"), id="a broken line"),
        pytest.param(csv(VESICLES, " v5_1,t1,20,gaba"), id="a key with a blank"),
        pytest.param(csv(VESICLES, ",t1,20,gaba"), id="no key"),
        pytest.param(csv(VESICLES, "v5_1,t1,n/a,gaba"), id="a marker"),
        pytest.param(csv(VESICLES, "v5_1,t1,20,gaba", VESICLES), id="the header again"),
        pytest.param(csv(VESICLES, "v5_1,t1,20,gaba", "", "v5_2,t1,20,gaba"), id="a blank line"),
    ],
)
def test_a_glob_with_anything_odd_is_read_whole(
    lab: Lab, monkeypatch: pytest.MonkeyPatch, odd: str
) -> None:
    (lab.folder / "v5.csv").write_text(odd)
    lab.run()
    spy = Spy(monkeypatch)
    (lab.folder / "v6.csv").write_text(vesicles(6))
    records = lab.run()
    assert spy.opened == ["v1.csv", "v2.csv", "v4.csv", "v5.csv", "v6.csv"]
    fresh = from_nothing(lab)
    assert digests(records) == {
        stage: record.digest for stage, record in fresh.items() if stage in records
    }


def test_what_was_tampered_with_is_not_taken_over(lab: Lab) -> None:
    for file in (
        "ingest/tables/axon.parquet",
        "assign_ids/ids/synapse.parquet",
        "join_relations/relations/vesicle.parquet",
    ):
        path = lab.context.store.folder / file
        path.write_bytes(path.read_bytes()[:-1] + b"X")
    lab.write("neuron", csv("cid,mesh_volume,polarity", "n1,5,bipolar", "n2,6,Unipolar", "n3,8,"))
    assert digests(lab.run("package")) == digests(from_nothing(lab))


def test_a_disk_without_links_has_copies(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.EPERM, os.strerror(errno.EPERM))

    monkeypatch.setattr(os, "link", refuse)
    spy = Spy(monkeypatch)
    lab.write("synapse", csv("cid,pre_synapse_id,post_synapse_id,gaba", "s1,n1,n2,0.5"))
    assert digests(lab.run("package")) == digests(from_nothing(lab))
    assert spy.opened[0] == "synapse.csv"


def test_force_makes_everything_again(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    spy = Spy(monkeypatch)
    lab.run_one("ingest", force=True)
    assert len(spy.opened) == 7


def test_another_version_makes_everything_again(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    spy = Spy(monkeypatch)
    monkeypatch.setattr("syndb_pipeline.stages.runner.__version__", "another")
    lab.write("synapse", csv("cid,pre_synapse_id,post_synapse_id,gaba", "s1,n1,n2,0.5"))
    lab.run("package")
    assert len(spy.opened) == 7
    assert all(len(tables) == 5 for tables in spy.made.values())


NEURONS, AXONS, TERMINALS = (
    "cid,mesh_volume,polarity",
    "cid,parent_id,voxel_volume",
    "cid,parent_id,voxel_radius",
)

CHANGES: dict[str, Callable[[Lab, random.Random], object]] = {
    "a value": lambda lab, r: lab.write(
        "neuron", csv(NEURONS, f"n1,{r.randint(1, 9)},bipolar", "n2,6,Unipolar", "n3,,")
    ),
    "a value out of range": lambda lab, r: lab.write(
        "axon", csv(AXONS, "a1,n1,-5", f"a2,n{r.randint(1, 3)},20")
    ),
    "an orphan": lambda lab, r: lab.write(
        "pre_synaptic_terminal", csv(TERMINALS, f"t1,a{r.randint(1, 4)},5", "t2,a2,6")
    ),
    "whole terminals": lambda lab, r: lab.write(
        "pre_synaptic_terminal", str(TABLES["pre_synaptic_terminal"])
    ),
    "whole axons": lambda lab, r: lab.write("axon", str(TABLES["axon"])),
    "a repeated key": lambda lab, r: lab.write(
        "neuron", csv(NEURONS, "n1,5,", "n1,5,", "n2,6,", "n3,,")
    ),
    "keys of one another": lambda lab, r: lab.write(
        "synapse",
        csv(
            "cid,pre_synapse_id,post_synapse_id,gaba",
            *(f"n{1 + n % 2},s{n},n{2 - n % 2},0.5" for n in range(4)),
        ),
    ),
    "whole synapses": lambda lab, r: lab.write("synapse", str(TABLES["synapse"])),
    "an empty table": lambda lab, r: lab.write(
        "synapse", csv("cid,pre_synapse_id,post_synapse_id,gaba")
    ),
    "an unknown word": lambda lab, r: (lab.folder / "v7.csv").write_text(
        csv(VESICLES, "v7,t1,20,Banana")
    ),
    "a file more": lambda lab, r: (lab.folder / f"v{(n := r.randint(1, 9))}.csv").write_text(
        vesicles(n, rows=r.randint(1, 5))
    ),
    "a file less": lambda lab, r: (
        min(lab.folder.glob("v[0-9].csv")).unlink()
        if len(list(lab.folder.glob("v[0-9].csv"))) > 1
        else None
    ),
    "another header": lambda lab, r: (lab.folder / "v8.csv").write_text(
        csv("cid,parent_id", "v8,t1")
    ),
    "no other header": lambda lab, r: (lab.folder / "v8.csv").unlink(missing_ok=True),
    "a severity": lambda lab, r: lab.config.update(
        rules={"SYN-VAL-001": r.choice(["warning", "error"])}
    ),
    "a unit": lambda lab, r: lab.config["tables"]["axon"].update(
        units={"voxel_volume": r.choice(["um", "nm"])}
    ),
    "a marker": lambda lab, r: lab.config["tables"]["neuron"].update(
        missing=r.choice([["NA"], []])
    ),
    "a reference": lambda lab, r: lab.config["tables"]["synapse"].update(
        references=r.choice([{"pre_synapse_id": "neuron"}, {}])
    ),
    "the label": lambda lab, r: lab.config.update(
        dataset=lab.config["dataset"] | {"label": f"label {r.random()}"}
    ),
    "quarantine": lambda lab, r: lab.config.update(on_invalid="quarantine", max_rejected="90%"),
    "no quarantine": lambda lab, r: [
        lab.config.pop(key, None) for key in ("on_invalid", "max_rejected")
    ],
}


@pytest.mark.parametrize("seed", sampled("former", range(30), 3))
def test_whatever_changes_the_records_are_those_of_a_run_from_nothing(lab: Lab, seed: int) -> None:
    choose = random.Random(seed)
    for step in range(5):
        names = choose.sample(sorted(CHANGES), choose.randint(1, 2))
        for name in names:
            CHANGES[name](lab, choose)
        assert digests(lab.run("package")) == digests(from_nothing(lab)), f"step {step}: {names}"
