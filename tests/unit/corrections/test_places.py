"""Where copies go, and the exact edit of a config that a person wrote.

Belongs here: paths, globs, YAML. Does not: what is copied.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import yaml

from syndb_pipeline.base.errors import ConfigError
from syndb_pipeline.config.settings import DatasetConfig
from syndb_pipeline.corrections import config_edit
from syndb_pipeline.corrections.places import files_by_table, plan_copies, require_same_files
from syndb_pipeline.readers import files
from tests.ingest_helpers import context_for


def config_of(folder: Path, tables: dict[str, str], *names: str) -> DatasetConfig:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    return context_for(folder, tables).config  # type: ignore[arg-type]


def planned(config: DatasetConfig, *names: str) -> tuple[dict[str, str], dict[str, str]]:
    plan = plan_copies(config, [Path(os.path.normpath(config.folder / name)) for name in names])
    return {
        files.shown(path, config.folder): str(target) for path, target in plan.copies.items()
    }, plan.patterns


@pytest.mark.parametrize(
    ("pattern", "name", "copy", "named"),
    [
        ("axon.csv", "axon.csv", "axon.csv", "corrected/1/axon.csv"),
        ("./data/axon.csv", "data/axon.csv", "data/axon.csv", "corrected/1/data/axon.csv"),
        ("data/ax*.csv", "data/axon.csv", "data/axon.csv", "corrected/1/data/ax*.csv"),
        ("**/ax*.csv", "data/deep/axon.csv", "data/deep/axon.csv", "corrected/1/**/ax*.csv"),
        ("axon[1].csv", "axon[1].csv", "axon[1].csv", "corrected/1/axon[1].csv"),
        ("axon.xls", "axon.xls", "axon.xlsx", "corrected/1/axon.xlsx"),
        ("../axon.csv", "../axon.csv", "axon.csv", "corrected/1/axon.csv"),
        ("../other/ax*.csv", "../other/axon.csv", "axon.csv", "corrected/1/ax*.csv"),
    ],
)
def test_a_copy_keeps_its_place_below_the_new_folder(
    tmp_path: Path, pattern: str, name: str, copy: str, named: str
) -> None:
    folder = tmp_path / "lab"
    folder.mkdir()
    copies, patterns = planned(config_of(folder, {"axon": pattern}, name), name)
    assert list(copies.values()) == [copy]
    assert patterns == {"axon": named}


def test_later_rounds_do_not_nest(tmp_path: Path) -> None:
    config = config_of(
        tmp_path,
        {"axon": "corrected/1/data/ax*.csv"},
        "corrected/1/data/axon.csv",
        "corrected/7/x.csv",
    )
    copies, patterns = planned(config, "corrected/1/data/axon.csv")
    assert copies == {"corrected/1/data/axon.csv": "data/axon.csv"}
    assert patterns == {"axon": "corrected/8/data/ax*.csv"}


def test_the_whole_glob_moves_and_other_tables_stay(tmp_path: Path) -> None:
    config = config_of(
        tmp_path,
        {"axon": "ax*.csv", "dendrite": "d.csv", "neuron": "ax1.csv"},
        "ax1.csv",
        "ax2.csv",
        "d.csv",
    )
    copies, patterns = planned(config, "ax2.csv")
    assert set(copies) == {"ax1.csv", "ax2.csv"}
    assert patterns == {"axon": "corrected/1/ax*.csv"}
    _, patterns = planned(config, "ax1.csv")
    assert patterns == {"axon": "corrected/1/ax*.csv", "neuron": "corrected/1/ax1.csv"}


def test_globs_that_would_find_others_copies_are_refused(tmp_path: Path) -> None:
    config = config_of(tmp_path, {"axon": "ax*.csv", "dendrite": "**/*.csv"}, "ax1.csv", "d.csv")
    before = files_by_table(config)
    plan = plan_copies(config, [tmp_path / "d.csv"])
    for target in plan.copies.values():
        (tmp_path / plan.name / target).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / plan.name / target).touch()
    require_same_files(config, plan, before)
    (tmp_path / plan.name / "stray.csv").touch()
    with pytest.raises(ConfigError, match="would find other files"):
        require_same_files(config, plan, before)


def test_two_files_that_would_become_one_are_refused(tmp_path: Path) -> None:
    folder = tmp_path / "lab"
    folder.mkdir()
    config = config_of(
        folder, {"axon": "../a/x.csv", "dendrite": "../b/x.csv"}, "../a/x.csv", "../b/x.csv"
    )
    with pytest.raises(ConfigError, match="would find other files"):
        planned(config, "../a/x.csv", "../b/x.csv")


YAML = """\ufeff# the lab's own words\r
dataset: {label: x}   # kept\r
tables:\r
  axon: {file: axon.csv, ignore: [a]}  # one line\r
  dendrite:\r
    ignore: [file]\r
    file:   'd # 1.csv'   # quoted\r
  neuron:\r
    file: "n.csv"\r
"""


def test_only_the_values_change(tmp_path: Path) -> None:
    path = tmp_path / "lab.yaml"
    path.write_bytes(YAML.encode())
    text = config_edit.edited(
        path, {"axon": "corrected/1/axon.csv", "dendrite": "corrected/1/d # 1.csv"}
    )
    assert text == YAML.replace("axon.csv", "corrected/1/axon.csv").replace(
        "'d # 1.csv'", '"corrected/1/d # 1.csv"'
    )
    assert yaml.safe_load(text)["tables"]["dendrite"]["file"] == "corrected/1/d # 1.csv"


@pytest.mark.parametrize(
    "tables",
    [
        "axon: &a {file: a.csv}\n  dendrite: *a",
        "axon: {file: &f a.csv}\n  dendrite: {file: *f}",
        "neuron: &n {file: a.csv}\n  axon: {<<: *n}",
    ],
)
def test_what_several_tables_share_is_not_edited(tmp_path: Path, tables: str) -> None:
    path = tmp_path / "lab.yaml"
    path.write_text(f"tables:\n  {tables}\n")
    with pytest.raises(ConfigError, match="cannot be changed for you"):
        config_edit.edited(path, {"axon": "b.csv"})


def test_a_value_over_several_lines_is_edited_or_refused(tmp_path: Path) -> None:
    path = tmp_path / "lab.yaml"
    path.write_text("tables:\n  axon:\n    file: >-\n      a.csv\n    ignore: [b]\n")
    try:
        assert yaml.safe_load(config_edit.edited(path, {"axon": "b.csv"}))["tables"]["axon"] == {
            "file": "b.csv",
            "ignore": ["b"],
        }
    except ConfigError as error:
        assert "on one line" in error.next_step


def test_no_file_is_replaced_by_the_old_config(tmp_path: Path) -> None:
    path = tmp_path / "lab.yaml"
    path.write_text("one")
    (tmp_path / "lab.yaml.before-corrected-3").write_text("taken")
    kept = config_edit.replace(path, "two", 3)
    assert (path.read_text(), kept.read_text(), kept.name) == (
        "two",
        "one",
        "lab.yaml.before-corrected-4",
    )
    assert (tmp_path / "lab.yaml.before-corrected-3").read_text() == "taken"
