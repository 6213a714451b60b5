"""The Python face: what it gives, that it is the command line's road, and tables from memory."""

from __future__ import annotations

import ast
import importlib.util
import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid5

import duckdb
import polars
import pyarrow
import pyarrow.parquet as pq
import pytest
import yaml

import syndb_pipeline
from syndb_pipeline.base.progress import Progress
from syndb_pipeline.config.settings import DatasetConfig, load_dataset
from syndb_pipeline.destinations import Settings, load_settings
from syndb_pipeline.readers.files import IN_MEMORY
from tests.command_line import Lab

DATASET = "01939c0e-7b1a-7c3e-9f53-6f0c6b1d2a77"

NEURONS = pyarrow.table(
    {
        "cid": pyarrow.array([720575940623636701, 720575940623636702, 3]),
        "neuron_type": ["KC", None, "PN"],
        "polarity": pyarrow.array(["bipolar", "bipolar", None]).dictionary_encode(),
        "mesh_volume": [1.5, 2.5, None],
    }
)
AXONS = pyarrow.table({"cid": ["a1", "a2"], "parent_id": ["3", "720575940623636701"]})
TABLES = {"neuron": NEURONS, "axon": AXONS}


@dataclass
class Place:
    """A dataset of two Parquet files, and settings with a state of their own."""

    lab: Lab
    config: Path
    settings: Path

    def settings_with(self, **changed: Any) -> Settings:
        return load_settings(self.settings).model_copy(update=changed)

    @property
    def content(self) -> dict[str, Any]:
        return dict(yaml.safe_load(self.config.read_text()))


@pytest.fixture
def place(tmp_path: Path) -> Place:
    lab = Lab(tmp_path / "lab")
    for name, table in TABLES.items():
        pq.write_table(table, lab.folder / f"{name}.parquet")
    tables = {name: {"file": f"{name}.parquet"} for name in TABLES}
    return Place(lab, lab.config("cells", DATASET, tables), lab.folder / "pipeline.yaml")


def sent(plan: Any) -> bytes:
    """The tar of a plan."""
    with plan.payload.open() as tar:
        return bytes(tar.read())


def test_importing_it_is_quick_and_a_room_takes_no_name_of_it() -> None:
    script = (
        "import sys, syndb_pipeline\n"
        "assert not {'duckdb', 'pydantic', 'dagster'} & sys.modules.keys(), sorted(sys.modules)\n"
        "import syndb_pipeline.report.terminal\n"
        "for name in syndb_pipeline.__all__: assert callable(getattr(syndb_pipeline, name)), name\n"
        "assert set(syndb_pipeline.__all__) <= set(dir(syndb_pipeline))\n"
        "assert 'dagster' not in sys.modules\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert (Path(syndb_pipeline.__file__).with_name("py.typed")).is_file()


def test_the_command_line_and_python_give_the_same_plan_and_receipt(
    place: Place, tmp_path: Path
) -> None:
    checked = place.lab.call("check", "cells.yaml", "--json").report
    planned = place.lab.call("plan", "cells.yaml", "--json").report
    settings = place.settings_with(state=tmp_path / "other")
    seen: list[Progress] = []

    result = syndb_pipeline.check(place.config, settings=settings, on_progress=seen.append)
    assert (result.verdict, result.digest) == (checked["verdict"], checked["digest"])
    assert [json.loads(each.model_dump_json()) for each in result.findings] == checked["findings"]
    assert {name: rows.passed for name, rows in result.tables.items()} == {"neuron": 3, "axon": 2}
    assert result.receipt is None
    assert {event.what for event in seen} >= {"ingest", "validate"}
    assert syndb_pipeline.prepare(place.config, settings=settings) == result

    plan = syndb_pipeline.plan(place.config, settings=settings)
    assert plan.digest == planned["digest"]
    assert f"Digest       {plan.digest}" in str(plan)
    own = syndb_pipeline.plan("cells", settings=place.settings)  # by its name, from the same state
    assert sent(own) == sent(plan)

    for approve in (None, "f" * 64):
        with pytest.raises(syndb_pipeline.ApprovalError):
            syndb_pipeline.publish(place.config, approve, settings=settings)
    assert place.lab.node().info(result.dataset) is None
    done = syndb_pipeline.publish(place.config, plan.digest[:12], settings=settings)
    assert done.digest == plan.digest
    assert done.receipt is not None
    assert done.receipt.rows == 5
    again = syndb_pipeline.publish(place.config, settings=settings)
    assert again.receipt == done.receipt


FRAMES: dict[str, Callable[[pyarrow.Table], Any]] = {
    "pyarrow": lambda table: table,
    "chunks": lambda table: pyarrow.concat_tables([table.slice(0, 1), table.slice(1)]),
    "reader": lambda table: table.to_reader(max_chunksize=1),
    "polars": polars.from_arrow,
    "duckdb": lambda table: duckdb.from_arrow(table),
}
if importlib.util.find_spec("pandas"):
    # Keys with gaps would be floats in pandas; these have none.
    FRAMES["pandas"] = lambda table: table.to_pandas()


def test_rows_from_memory_are_those_of_the_same_file(place: Place, tmp_path: Path) -> None:
    on_disk = syndb_pipeline.plan(place.config, settings=place.settings)
    settings = place.settings_with(state=tmp_path / "other", data_folders=[tmp_path / "nowhere"])
    digests = {}
    for name, frame in FRAMES.items():
        tables = {table: frame(rows) for table, rows in TABLES.items()}
        said: list[str] = []
        plan = syndb_pipeline.plan(place.config, tables, settings=settings, log=said.append)
        assert sent(plan) == sent(on_disk), name
        digests[name] = plan.digest
        if len(digests) > 1:
            assert "ingest: unchanged" in said, name
    assert len(set(digests.values())) == 1
    kept = [*(tmp_path / "other").rglob(f"{IN_MEMORY}/*/*")]
    assert len(kept) == len(TABLES)


def test_findings_name_the_table_and_the_row(place: Place, tmp_path: Path) -> None:
    wrong = polars.DataFrame({"cid": ["1", "2", "2"], "mesh_volume": ["1.50", "x", "-0.50"]})
    tables = {"neuron": wrong}
    result = syndb_pipeline.check(place.config, tables, settings=place.settings)
    assert not result.accepted
    assert result.tables["neuron"].rejected > 0
    places = {str(each) for finding in result.findings for each in finding.examples}
    assert "table neuron, row 2, column mesh_volume: 'x'" in places
    assert "table neuron, row 3, column cid: '2'" in places
    assert "table neuron, row 3, column mesh_volume: '-0.50'" in places
    files = {kind: tmp_path / f"report.{kind}" for kind in ("html", "csv", "json")}
    written = syndb_pipeline.report(place.config, tables, **files, settings=place.settings)
    for path in written.paths:
        text = path.read_text()
        assert "table neuron" in text
        assert IN_MEMORY not in text
    assert "srcdoc=" in (written._repr_html_() or "")
    with pytest.raises(syndb_pipeline.DataRejected, match="neuron"):
        syndb_pipeline.plan(place.config, tables, settings=place.settings)


def test_an_export_needs_consent_only_where_it_leaves_the_machine(
    place: Place, tmp_path: Path
) -> None:
    folder = tmp_path / "out"
    for written in (True, False):
        made = syndb_pipeline.export(place.config, folder, TABLES, settings=place.settings)
        assert (made.written, made.rows, made.folder) == (written, 5, str(folder))
    ids = set(pq.read_table(folder / "axon.parquet")["cid"].to_pylist())
    assert ids == {uuid5(UUID(DATASET), f"axon/{key}") for key in ("a1", "a2")}
    with pytest.raises(syndb_pipeline.ApprovalError, match="s3://bucket/cells"):
        syndb_pipeline.export(place.config, "s3://bucket/cells", TABLES, settings=place.settings)


def test_what_changed_in_memory_since_it_was_planned_is_not_sent(place: Place) -> None:
    plan = syndb_pipeline.plan(place.config, TABLES, settings=place.settings)
    other = {"neuron": NEURONS.set_column(3, "mesh_volume", pyarrow.array([9.0, 2.5, None]))}
    with pytest.raises(syndb_pipeline.ApprovalError, match="table neuron changed"):
        syndb_pipeline.publish(place.config, plan.digest, TABLES | other, settings=place.settings)
    with pytest.raises(syndb_pipeline.ApprovalError):  # nor what the files of the config hold
        syndb_pipeline.publish(place.config, plan.digest, settings=place.settings)
    assert place.lab.node().info(plan.dataset) is None


def test_a_dataset_without_a_file_of_its_own(
    place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(place.lab.folder)
    settings = place.settings_with(state=tmp_path / "other")
    on_disk = syndb_pipeline.plan(place.config, settings=place.settings)
    content = place.content | {"late_after": "36h", "max_runtime": "90s"}
    model = DatasetConfig.model_validate(content)
    for config in (content, model):
        assert sent(syndb_pipeline.plan(config, settings=settings)) == sent(on_disk)
    without = {key: value for key, value in content.items() if key != "tables"}
    plan = syndb_pipeline.plan(without, TABLES, settings=settings)
    assert sent(plan) == sent(on_disk)
    # What was written for other commands says the same.
    [written] = (tmp_path / "other").rglob("dataset.yaml")
    assert syndb_pipeline.plan(written, settings=settings).digest == plan.digest
    assert load_dataset(written).late_after == timedelta(hours=36)
    assert load_dataset(written).max_runtime == timedelta(seconds=90)
    with pytest.raises(syndb_pipeline.ConfigError, match=r"one dataset\.id"):
        syndb_pipeline.check(place.config, settings=settings)


def test_a_reader_that_breaks_off_or_was_read_is_no_empty_table(place: Place) -> None:
    def batches() -> Iterator[Any]:
        yield pyarrow.record_batch({"cid": ["1"]})
        raise OSError("share is gone")

    schema = pyarrow.schema([("cid", pyarrow.string())])
    reader = pyarrow.RecordBatchReader.from_batches(schema, batches())
    for said in ("share is gone", "only once"):
        with pytest.raises(syndb_pipeline.ConfigError, match=said):
            syndb_pipeline.check(place.config, {"neuron": reader}, settings=place.settings)


@pytest.mark.parametrize(
    ("tables", "said"),
    [
        ({"nueron": NEURONS}, "did you mean neuron"),
        ({"neuron": [1, 2]}, "list.* is no table"),
        ({"neuron": polars.LazyFrame({"cid": [1]})}, "LazyFrame.* is no table"),
        ({"neuron": polars.DataFrame()}, "at least one column"),
        ({"neuron": "missing.csv"}, None),
        ({"neuron": NEURONS.rename_columns(["id", "a", "b", "c"])}, None),
    ],
)
def test_a_table_that_cannot_be_used(place: Place, tables: Any, said: str | None) -> None:
    if said:
        with pytest.raises(syndb_pipeline.ConfigError, match=said):
            syndb_pipeline.check(place.config, tables, settings=place.settings)
        with pytest.raises(syndb_pipeline.ConfigError, match=said):
            syndb_pipeline.check(place.content, tables, settings=place.settings)
    else:
        assert not syndb_pipeline.check(place.config, tables, settings=place.settings).accepted


def test_errors_name_what_is_wrong(place: Place, tmp_path: Path) -> None:
    with pytest.raises(syndb_pipeline.ConfigError, match=r"no such file"):
        syndb_pipeline.check(tmp_path / "none.yaml", settings=place.settings)
    with pytest.raises(syndb_pipeline.ConfigError, match=r"dataset: this key is missing"):
        syndb_pipeline.check({}, TABLES, settings=place.settings)
    with pytest.raises(syndb_pipeline.PipelineError, match="nothing to report"):
        syndb_pipeline.report(place.config, settings=place.settings)
    blocked = tmp_path / "blocked"
    blocked.write_text("")
    with pytest.raises(syndb_pipeline.PipelineError, match="blocked"):
        syndb_pipeline.check(place.config, settings=place.settings_with(state=blocked))
    with pytest.raises(syndb_pipeline.ConfigError):
        syndb_pipeline.init(tmp_path / "nowhere")
    found = syndb_pipeline.init(place.lab.folder)
    assert found.tables == {"neuron": "neuron.parquet", "axon": "axon.parquet"}


DOCS = Path(__file__).parents[2] / "docs"


def code_of(path: Path) -> list[str]:
    """The blocks of Python in a page, or the cells of a notebook."""
    if path.suffix == ".md":
        return re.findall(r"^```python\n(.*?)^```", path.read_text(), re.DOTALL | re.MULTILINE)
    cells = json.loads(path.read_text())["cells"]
    return ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]


@pytest.mark.parametrize("page", ["python.md", "notebooks/check_a_table.ipynb"])
def test_the_code_of_the_documentation_runs(
    place: Place, page: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(place.lab.folder)
    blocks = code_of(DOCS / page)
    assert len(blocks) > 4
    names: dict[str, Any] = {}
    shown = []
    for block in blocks:
        tree = ast.parse(block)
        last = (
            ast.Expression(tree.body.pop().value) if isinstance(tree.body[-1], ast.Expr) else None
        )
        exec(compile(tree, page, "exec"), names)
        if last:
            shown.append(eval(compile(last, page, "eval"), names))
    printed = capsys.readouterr().out
    if page.endswith(".md"):
        assert "table neuron, row 2, column mesh_volume: '-2'" in printed
        assert "ingest: unchanged" in printed
        assert names["result"].receipt.rows == names["plan"].rows > 700
    else:
        verdict, findings, report, again = (each for each in shown if each is not polars.Config)
        assert verdict[0] == "rejected"
        assert "table neuron, row 2, column mesh_volume: '-2'" in findings["where"].to_list()
        assert "Duplicate key" in report._repr_html_()
        assert again == "accepted"
