"""How much Dagster keeps of a run: the demo lab, all eleven tables of it, from its files to the
receipt.

Belongs here: bytes, and what must not be among them. Does not: what the pages show
(`test_dagster_runs.py`, `test_browser.py`).
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import dagster as dg
import pyarrow.parquet as pq
import pytest

from benchmarks.event_log import event_log_bytes
from syndb_pipeline.config.settings import load_dataset, load_settings
from syndb_pipeline.contract.tables import TABLES
from syndb_pipeline.demo import CLEAN_CONFIG, write_demo
from syndb_pipeline.orchestration.columns import declared_columns
from syndb_pipeline.orchestration.operating.home import dagster_home
from syndb_pipeline.orchestration.operating.launch import LaunchResult, launch
from syndb_pipeline.stages.runner import STAGES
from syndb_pipeline.state.store import DatasetStore
from tests.shortcuts import log_without_waiting

log_without_waiting()

LIMIT = 200_000
"""Bytes of a run's events: what the UI loads to show the run."""


@dataclass(frozen=True)
class Kept:
    result: LaunchResult
    home: Path
    store: DatasetStore
    events: list[dg.EventLogEntry]

    def of_type(self, kind: dg.DagsterEventType) -> list[dg.DagsterEvent]:
        return [
            event.dagster_event
            for event in self.events
            if event.dagster_event and event.dagster_event.event_type is kind
        ]


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kept]:
    folder = tmp_path_factory.mktemp("event_log")
    write_demo(folder / "demo")
    pipeline_file = folder / "pipeline.yaml"
    pipeline_file.write_text("state: state\nmemory_limit: 1GB\nthreads: 2\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("DAGSTER_HOME", raising=False)
        config, settings = folder / "demo" / CLEAN_CONFIG, load_settings(pipeline_file)
        result = launch(config, pipeline_file, publish=True)
        home = dagster_home(settings)
        with dg.DagsterInstance.local_temp(str(home)) as instance:
            events = list(instance.all_logs(result.run_id))
        yield Kept(
            result, home, DatasetStore(settings.state, load_dataset(config).dataset.id), events
        )


def test_a_run_of_all_tables_stays_small(kept: Kept) -> None:
    assert kept.result.receipt is not None and set(kept.result.receipt.tables) == set(TABLES), (
        kept.result.message
    )

    (size,) = event_log_bytes(os.environ | {"DAGSTER_HOME": str(kept.home)})

    assert size < LIMIT


def test_metadata_is_kept_once(kept: Kept) -> None:
    outputs = kept.of_type(dg.DagsterEventType.STEP_OUTPUT)
    materializations = kept.of_type(dg.DagsterEventType.ASSET_MATERIALIZATION)

    assert len(outputs) > len(STAGES)
    assert [event.step_key for event in outputs if event.step_output_data.metadata] == []
    assert len(materializations) == len(STAGES) + 1
    assert all(
        len(event.step_materialization_data.materialization.metadata) > 5
        for event in materializations
    )


def test_what_stages_keep_for_themselves_stays_out(kept: Kept) -> None:
    record = kept.store.record("ingest")
    assert record is not None
    own = list(record.details.made_from.values())
    assert len(own) == len(TABLES)

    text = "".join(dg.serialize_value(event) for event in kept.events)

    assert [word for word in ["made_from", '"names"', *own] if word in text] == []


def test_previews_are_short_enough_to_be_shown_in_place(kept: Kept) -> None:
    for event in kept.of_type(dg.DagsterEventType.ASSET_MATERIALIZATION):
        shown = event.step_materialization_data.materialization.metadata
        long = {
            name: len(str(value.value))
            for name, value in shown.items()
            if name == "rows" or name.startswith("preview ")
        }
        assert {
            name: size
            for name, size in long.items()
            if size >= 1000 and event.step_key != "publish_dataset"
        } == {}


@pytest.mark.parametrize(
    ("stage", "folder"),
    [("ingest", "tables"), ("assign_ids", "ids"), ("join_relations", "relations")],
)
def test_every_column_that_a_stage_writes_is_declared(kept: Kept, stage: str, folder: str) -> None:
    files = sorted((kept.store.stage(stage) / folder).glob("*.parquet"))
    written = {
        f"{file.stem}.{name}"
        for file in files
        for name in pq.read_schema(file).names
        if not name.startswith("_")
    }  # type: ignore[no-untyped-call]

    assert {file.stem for file in files} >= set(TABLES) - {"neuron"}
    assert written - {column.name for column in declared_columns(stage).columns} == set()
