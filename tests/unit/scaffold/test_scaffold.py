"""`init`: what it guesses, what it asks, and that its answer becomes a valid config once the
questions are answered.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import xlsxwriter
import yaml

from syndb_pipeline.base.errors import ConfigError, Exit
from syndb_pipeline.config.settings import DatasetConfig, load_dataset
from syndb_pipeline.contract.tables import TABLES
from syndb_pipeline.demo import write_demo
from syndb_pipeline.scaffold import InitReport, init

ANSWERS = {
    "label:": "label: My data",
    "animal:": "animal: MUS_MUSCULUS",
    "microscopy:": "microscopy: ssTEM",
    "- structure:": "- structure: cortex",
}


def lab(folder: Path, **files: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name.replace("__", ".")).write_text(text, encoding="utf-8")
    return folder


def guessed(folder: Path, **files: str) -> InitReport:
    return init(lab(folder / "lab", **files), folder / "a.yaml")


def asks(report: InitReport, question: str) -> bool:
    return any(question in asked for asked in report.questions)


def answered(report: InitReport) -> DatasetConfig:
    """The written config with a person's answers to what only a person knows."""
    text = report.config.read_text(encoding="utf-8")
    for question, answer in ANSWERS.items():
        text, count = re.subn(
            rf"(?m)^(\s+){re.escape(question)}\s+# QUESTION.*$", rf"\g<1>{answer}", text
        )
        assert count == 1, question
    report.config.write_text(text, encoding="utf-8")
    return load_dataset(report.config)


def test_the_demo_lab_is_recognised_whole(tmp_path: Path) -> None:
    write_demo(tmp_path / "demo")
    report = init(tmp_path / "demo", tmp_path / "new.yaml")
    config = answered(report)
    assert set(config.tables) == set(TABLES)
    assert config.tables["neuron_relation"].file == "demo/connections.csv"
    assert config.tables["neuron_relation"].columns == {
        "pre_id": "pre_synapse_id",
        "post_id": "post_synapse_id",
    }
    assert config.tables["synapse"].columns == {
        "pre_terminal": "pre_synapse_id",
        "post_spine": "post_synapse_id",
    }
    assert (config.tables["vesicle"].file, config.tables["vesicle"].sheet) == (
        "demo/organelles.xlsx",
        "Vesicles",
    )
    assert config.tables["mitochondria"].sheet == "Mitochondria"
    assert config.tables["endoplasmic_reticulum"].decimal == ","
    assert asks(report, "vesicles_with_mistakes.csv looks like this table too")
    assert asks(report, "ignore")


def test_nothing_is_accepted_or_filled_in_for_a_person(tmp_path: Path) -> None:
    report = guessed(tmp_path, neuron__csv="cid\n1\n")
    content = yaml.safe_load(report.config.read_text(encoding="utf-8"))
    assert "terms" not in content
    assert {content["dataset"][key] for key in ("label", "animal", "microscopy")} == {None}
    assert content["publish"]["approval"] == "manual"
    assert (
        report.config.read_text(encoding="utf-8").count("# QUESTION:") == len(report.questions) == 6
    )
    with pytest.raises(ConfigError) as caught:
        load_dataset(report.config)
    for key in (
        "dataset.label",
        "dataset.animal",
        "dataset.microscopy",
        "dataset.brain_regions.0.structure",
    ):
        assert key in str(caught.value)


def test_the_report_can_be_read(tmp_path: Path) -> None:
    report = guessed(tmp_path, neuron__csv="cid\n1\n", remarks__csv="when,what\na,b\n")
    text = str(report)
    assert f"Wrote {tmp_path / 'a.yaml'}" in text
    assert "neuron: neuron.csv" in text
    assert (
        "not used: remarks.csv (neither its name nor its columns resemble a SynDB table)"
        in " ".join(text.split())
    )
    assert all(len(line) <= 80 for line in text.splitlines() if str(tmp_path) not in line)
    assert "6 questions are marked" in text
    assert text.endswith(f"syndb-pipeline check {tmp_path / 'a.yaml'}")


@pytest.mark.parametrize(
    ("name", "header", "table"),
    [
        ("neurons.csv", "cid", "neuron"),
        ("All Cells.csv", "root_id,cell_type", "neuron"),
        ("edges.csv", "source,target,weight", "neuron_relation"),
        ("data.csv", "pre_synapse_id,post_synapse_id,connection_score", "neuron_relation"),
        ("synapses.csv", "id,pre_pt_root_id,post_pt_root_id,cleft_score", "synapse"),
        ("boutons.csv", "cid,parent_id,vesicle_count", "pre_synaptic_terminal"),
        ("pre_synaptic_terminals.csv", "cid,parent_id", "pre_synaptic_terminal"),
        ("spines_2.csv", "cid,parent_id", "dendritic_spine"),
        ("mito.csv", "cid,parent_id,voxel_volume", "mitochondria"),
        ("nuclei.csv", "cid,parent_id", "nucleus"),
        ("ER.csv", "cid,parent_id,ribosome_count", "endoplasmic_reticulum"),
        ("measurements.csv", "cid,parent_id,neurotransmitter,distance_to_active_zone", "vesicle"),
        ("dendrits.csv", "cid,parent_id,dendritic_spine_count", "dendrite"),
    ],
)
def test_tables_are_guessed_from_names_and_columns(
    tmp_path: Path, name: str, header: str, table: str
) -> None:
    folder = lab(tmp_path / "lab")
    (folder / name).write_text(
        f"{header}\n{','.join('x' for _ in header.split(','))}\n", encoding="utf-8"
    )
    assert init(folder, tmp_path / "a.yaml").tables == {table: name}


def test_near_names_are_proposed_and_asked_about(tmp_path: Path) -> None:
    folder = lab(
        tmp_path / "lab",
        vesicles__csv="vesicle_id,terminal,voxel_raduis,x,Distance To Active Zone\nv1,t1,20,1,5\n",
    )
    lab(folder, terminals__csv="cid\nt1\n")
    report = init(folder, tmp_path / "a.yaml")
    text = report.config.read_text(encoding="utf-8")
    sure = {"vesicle_id": "cid", "Distance To Active Zone": "distance_to_active_zone"}
    assert answered(report).tables["vesicle"].columns == sure
    assert any(
        question.startswith(
            "tables.vesicle.columns: voxel_raduis: voxel_radius, x: centroid_x: guesses"
        )
        for question in report.questions
    )
    assert not asks(report, "vesicle_id")
    assert "# ignore: [terminal]" in text
    # The guesses count once the # before them is removed.
    report.config.write_text(
        text.replace("# voxel_raduis:", "voxel_raduis:").replace("# x:", "x:"), encoding="utf-8"
    )
    assert answered(report).tables["vesicle"].columns == sure | {
        "voxel_raduis": "voxel_radius",
        "x": "centroid_x",
    }


def test_a_parent_named_after_its_table_is_proposed(tmp_path: Path) -> None:
    report = guessed(
        tmp_path,
        axon__csv="cid,neuron\na,1\n",
        neuron__csv="cid\n1\n",
        vesicle__csv="cid,axon_id\nv,a\n",
    )
    tables = answered(report).tables
    assert tables["vesicle"].columns == {"axon_id": "parent_id"}
    assert tables["axon"].columns == {"neuron": "parent_id"}
    listed = (
        "only if `check` asks which table parent_id means, axon or neuron:\n    # parent: axon\n"
    )
    assert f"# {listed}" in report.config.read_text(encoding="utf-8")


def test_a_parent_is_asked_for_only_where_a_table_of_parents_is(tmp_path: Path) -> None:
    asked = "which column holds the parent's cid"
    alone = init(lab(tmp_path / "alone", vesicle__csv="cid,centroid_x\nv,1\n"), tmp_path / "a.yaml")
    both = init(
        lab(tmp_path / "both", vesicle__csv="cid,centroid_x\nv,1\n", axon__csv="cid\na\n"),
        tmp_path / "b.yaml",
    )
    assert not any(asked in question for question in alone.questions)
    assert sum(asked in question for question in both.questions) == 1


def workbook(path: Path, sheets: dict[str, list[str]]) -> None:
    book = xlsxwriter.Workbook(path)
    for name, header in sheets.items():
        sheet = book.add_worksheet(name)
        sheet.write_row(0, 0, header)
        sheet.write_row(1, 0, ["x" for _ in header])
    book.close()


def test_the_one_sheet_that_fits_is_chosen(tmp_path: Path) -> None:
    folder = lab(tmp_path / "lab")
    workbook(
        folder / "book.xlsx",
        {
            "Notes": ["when", "what"],
            "Data": ["cid", "parent_id", "neurotransmitter", "distance_to_active_zone"],
            "Empty": [],
        },
    )
    report = init(folder, tmp_path / "a.yaml")
    assert answered(report).tables["vesicle"].sheet == "Data"
    assert "sheet: Data   # of Notes, Data, Empty" in report.config.read_text(encoding="utf-8")
    assert list(report.unused) == ["book.xlsx, sheet Notes"]


def test_several_sheets_that_fit_are_asked_about(tmp_path: Path) -> None:
    folder = lab(tmp_path / "lab")
    header = ["cid", "parent_id"]
    workbook(folder / "vesicles.xlsx", {"left": header, "right": header})
    report = init(folder, tmp_path / "a.yaml")
    assert asks(report, "which sheet? left and right fit")


def test_a_file_that_is_no_part_ends_the_glob(tmp_path: Path) -> None:
    one, two = "cid,pre_synapse_id\n1,2\n", "cid,pre_synapse_id\n3,4\n"
    report = guessed(
        tmp_path, synapse_1__csv=one, synapse_2__csv=two, synapse_notes__csv="a,b\nc,d\n"
    )
    assert "*" not in report.tables["synapse"]


def test_a_file_without_header_is_asked_about(tmp_path: Path) -> None:
    report = guessed(tmp_path, edgelist__txt="12 13 9.0\n12 14 1.0\n")
    text = report.config.read_text(encoding="utf-8")
    table = answered(report).tables["neuron_relation"]
    assert (table.header_row, table.names) == (None, ["column_1", "column_2", "column_3"])
    assert "# names: [pre_synapse_id, post_synapse_id, connection_score]" in text
    assert asks(report, "no header. What are the columns of: 12, 13, 9.0?")


def test_a_column_without_name_and_the_servers_columns_are_asked_about(tmp_path: Path) -> None:
    report = guessed(tmp_path, neuron__csv=",dataset_id\n1,2\n")
    assert asks(report, '`columns: {"": cid}`')
    assert asks(report, "SynDB's server fills these itself")
    assert asks(report, "no column looks like cid")
    answered(report)


def test_broken_files_are_left_out_with_the_reason(tmp_path: Path) -> None:
    folder = lab(tmp_path / "lab", neuron__csv="cid\n1\n", empty__csv="")
    for name in ("broken.xlsx", "broken.parquet", "broken.csv.gz"):
        (folder / name).write_bytes(b"not what the name says")
    report = init(folder, tmp_path / "a.yaml")
    assert set(report.unused) == {"empty.csv", "broken.xlsx", "broken.parquet", "broken.csv.gz"}
    assert report.unused["empty.csv"] == "it is empty"
    assert report.unused["broken.xlsx"].startswith(
        "it is no workbook but text. If its lines are rows"
    )


def test_odd_names_stay_yaml(tmp_path: Path) -> None:
    folder = lab(tmp_path / "lab: #1")
    (folder / "neuron [v2].csv").write_text(
        'cid,"odd: {name} # of\na column","it\'s",yes,null\n1,2,3,4,5\n', encoding="utf-8"
    )
    config = answered(init(folder, tmp_path / "a.yaml"))
    assert config.tables["neuron"].file == "lab: #1/neuron [[]v2].csv"


def test_the_editor_schema_is_named_when_it_is_near(tmp_path: Path) -> None:
    (tmp_path / "config" / "schema").mkdir(parents=True)
    (tmp_path / "config" / "schema" / "dataset.schema.json").write_text("{}")
    folder = lab(tmp_path / "lab", neuron__csv="cid\n1\n")
    report = init(folder, tmp_path / "config" / "datasets" / "lab.yaml")
    assert report.config.read_text().startswith(
        "# yaml-language-server: $schema=../schema/dataset.schema.json\n"
    )
    assert answered(report).tables["neuron"].file == "../../lab/neuron.csv"


@pytest.mark.parametrize("name", ["my lab.yaml", "lab.txt", "lab"])
def test_a_name_that_cannot_be_a_config_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigError, match="cannot be a config's name"):
        init(lab(tmp_path / "lab", neuron__csv="cid\n1\n"), tmp_path / name)


def test_nothing_is_written_over_unasked(tmp_path: Path) -> None:
    folder = lab(tmp_path / "lab", neuron__csv="cid\n1\n")
    (tmp_path / "a.yaml").write_text("mine")
    with pytest.raises(ConfigError, match=r"a\.yaml exists already") as caught:
        init(folder, tmp_path / "a.yaml")
    assert caught.value.exit is Exit.USAGE
    assert (tmp_path / "a.yaml").read_text() == "mine"
    init(folder, tmp_path / "a.yaml", overwrite=True)
    assert (tmp_path / "a.yaml").read_text() != "mine"


def test_a_folder_without_tables_is_refused_with_a_hint(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="there is no such folder"):
        init(tmp_path / "nowhere", tmp_path / "a.yaml")
    lab(tmp_path / "lab" / "deep", neuron__csv="cid\n1\n")
    with pytest.raises(ConfigError, match="holds no table") as caught:
        init(tmp_path / "lab", tmp_path / "a.yaml")
    assert "There are tables deeper, in deep" in caught.value.next_step


def test_files_that_fit_nothing_leave_an_open_config(tmp_path: Path) -> None:
    report = guessed(tmp_path, remarks__csv="when,what\na,b\n")
    assert report.tables == {}
    assert asks(report, "no file looks like a SynDB table")
    assert yaml.safe_load(report.config.read_text())["tables"] is None
