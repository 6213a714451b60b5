"""The whole road to a server over a real socket, with large tables (a million rows in
`make test-thorough`) and many meshes: command line and Dagster.

Belongs here: that both come from log-in to deletion, and send the same. Does not: faults
(`test_dagster_rest.py`), or what a page shows.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import duckdb
import httpx
import pytest
import yaml

from benchmarks.generate import DATASET, rows_by_table, write_dataset
from syndb_pipeline.destinations import load_settings
from syndb_pipeline.destinations.embedded.node import EmbeddedNode
from syndb_pipeline.orchestration.definitions import own_defs
from syndb_pipeline.orchestration.failures import show_tracebacks
from syndb_pipeline.orchestration.operating.home import dagster_home
from syndb_pipeline.orchestration.operating.launch import launch
from syndb_pipeline.publishing.records import PublishRecords, Receipt
from syndb_pipeline.state.store import DatasetStore
from tests.campaigns import examples
from tests.command_line import Lab, Published, Terminal
from tests.meshes import ball_mesh
from tests.rest_lab import ADA, PASSWORD, TOM, RestLab, Sandbox

ROWS, MESHES = examples(100_000, 1_000_000), examples(40, 200)
COUNTS = rows_by_table(ROWS)
LABEL = "Many synapses and as many vesicles"
KEYRING_OFF = {"SYNDB_KEYRING": "off"}


class LargeLab(RestLab):
    """A lab with the large dataset; nothing of its credentials is in the environment: a person logs
    in.
    """

    def __init__(self, folder: Path, sandbox: Sandbox) -> None:
        super().__init__(folder, sandbox)
        config = write_dataset(folder, ROWS, "parquet", memory_limit=500_000_000, threads=2)
        for number in range(MESHES):
            (folder / f"{number}.glb").write_bytes(
                ball_mesh((1000.0 * number, 0, 0), 500.0 + number)
            )
        neurons = folder / "neuron.parquet"
        mesh = (
            f"CASE WHEN file_row_number < {MESHES} THEN file_row_number || '.glb' END AS mesh_path"
        )
        with duckdb.connect(config={"threads": 1}) as connection:
            query = (
                f"SELECT * EXCLUDE (file_row_number), {mesh} FROM read_parquet('{neurons}',"
                " file_row_number = true)"
            )
            connection.execute(f"COPY ({query}) TO '{folder / 'with-meshes'}' (FORMAT parquet)")
        (folder / "with-meshes").replace(neurons)
        content = yaml.safe_load(config.read_text())
        content["dataset"]["label"] = LABEL
        content["publish"] = {"destination": "sandbox", "approval": "manual"}
        self.large = folder / "large.yaml"
        self.large.write_text(yaml.safe_dump(content, sort_keys=False))

    run = Lab.call

    @property
    def environment(self) -> dict[str, str]:
        return {
            name: value
            for name, value in super().environment.items()
            if not name.startswith(("SYNDB_USER", "SYNDB_PASS"))
        } | KEYRING_OFF

    @property
    def records(self) -> PublishRecords:
        return PublishRecords(DatasetStore(self.folder / "state", DATASET))

    def receipt(self) -> Receipt:
        receipt = self.records.receipt()
        assert receipt is not None
        return receipt


def there(sandbox: Sandbox) -> EmbeddedNode:
    """What the server holds, seen from behind it."""
    return EmbeddedNode("sandbox", sandbox.node, owner="", memory_limit=500_000_000, threads=1)


def require_all_of_it(sandbox: Sandbox, lab: LargeLab) -> None:
    """Every row once, values and relations as the lab wrote them, every mesh with its bytes."""
    published = Published(there(sandbox).table_files(DATASET))
    assert published.counts == COUNTS
    kept = Published({table: lab.folder / f"{table}.parquet" for table in COUNTS})
    for table, column in {
        "vesicle": "distance_to_active_zone",
        "mitochondria": "voxel_volume",
        "neuron": "cable_length",
    }.items():
        values = (
            f"SELECT count(DISTINCT cid), sum({column}::DECIMAL(20, 3)), min({column}),"
            f" max({column}) FROM {table}"
        )
        assert published.rows(values) == kept.rows(values)
    terminals = (
        "FROM vesicle JOIN pre_synaptic_terminal AS terminal ON vesicle.parent_id = terminal.cid"
    )
    [(lab_pairs,)] = kept.rows(f"SELECT count(*) {terminals}")
    assert (
        published.value(f"SELECT count(*) {terminals} JOIN axon ON terminal.parent_id = axon.cid")
        == lab_pairs
        == ROWS
    )
    stored = there(sandbox).stored(DATASET)
    assert {file.sha256 for file in stored} == {
        _digest(lab.folder / f"{number}.glb") for number in range(MESHES)
    }
    assert len({file.unit for file in stored}) == MESHES
    neurons = {unit for (unit,) in published.rows("SELECT cid FROM neuron")}
    assert all(file.unit in neurons and _digest(file.path) == file.sha256 for file in stored)


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def uploads(sandbox: Sandbox) -> int:
    """Requests that sent the tar."""
    return sum(request["route"] == "upload" for request in sandbox.requests())


@pytest.fixture(scope="module")
def packages() -> dict[str, str]:
    """Digest of the tar that each road sent."""
    return {}


def verified_in_a_browser(shown: str) -> None:
    """Open the link that was shown and press the button, as a person does."""
    [link] = re.findall(r"http://\S+state=\S+", shown)
    page = httpx.get(link, trust_env=False)
    state = re.findall(r'name="state" value="([^"]+)"', page.text)[0]
    httpx.post(
        link, data={"state": state}, follow_redirects=True, trust_env=False
    ).raise_for_status()


def test_the_road_from_the_command_line(tmp_path: Path, packages: dict[str, str]) -> None:
    with Sandbox(tmp_path / "sandbox") as sandbox:
        lab = LargeLab(tmp_path / "lab", sandbox)

        refused = lab.run("publish", "large.yaml")
        assert (refused.code, uploads(sandbox)) == (5, 0), refused.err
        assert "syndb-pipeline login --destination sandbox" in refused.err

        login = Terminal(lab, "login", "--no-browser")
        login.read_until(lambda seen: seen.rstrip().endswith("User name at sandbox:"))
        login.answer(TOM)
        login.read_until(
            lambda seen: seen.endswith(f"Password of {TOM}: ")
        )  # the space comes once nothing typed is shown any more
        login.answer(PASSWORD)
        login.read_until(lambda seen: re.search(r"state=\S+\s", seen) is not None)
        verified_in_a_browser(login.seen)
        assert login.end() == 0, login.seen
        assert PASSWORD not in login.seen
        assert f"as {TOM}" in login.seen and "verified" in login.seen.splitlines()[-1]

        planned = lab.run("plan", "large.yaml", "--json")
        digest = planned.report["digest"]
        unapproved = lab.run("publish", "large.yaml")
        assert (unapproved.code, uploads(sandbox)) == (4, 0), unapproved.err
        published = lab.run("publish", "large.yaml", "--approve", digest[:12])
        assert published.code == 0, published.err
        assert f"PUBLISHED {LABEL} to sandbox" in published.out and f"as {TOM}" in published.out
        assert (
            f"{sum(COUNTS.values()):,} rows in {len(COUNTS)} tables, read back and compared;"
            f" {MESHES} meshes" in published.out
        )
        require_all_of_it(sandbox, lab)
        assert uploads(sandbox) == 1

        receipt = lab.receipt()
        assert (receipt.plan, receipt.target, receipt.account) == (digest, sandbox.url, TOM)
        assert {table: (check.sent, check.found) for table, check in receipt.tables.items()} == {
            t: (n, n) for t, n in COUNTS.items()
        }
        assert (receipt.number_of_units, receipt.files) == (sum(COUNTS.values()), MESHES)
        packages["command line"] = receipt.upload.tar_sha256

        again = lab.run("publish", "large.yaml")
        assert (again.code, uploads(sandbox)) == (0, 1), again.err
        assert "nothing to send" in again.err
        status = lab.run("status", "large.yaml", "--json").report["status"]
        assert (status["digest"], status["approved"]) == (digest, True)
        assert status["receipt"]["plan"] == digest

        delete = Terminal(lab, "delete", "large.yaml")
        delete.read_until(lambda seen: seen.rstrip().endswith("Label:"))
        assert there(sandbox).info(DATASET) is not None
        delete.answer(LABEL)
        assert delete.end() == 0, delete.seen
        assert f"Deleted {LABEL}" in delete.seen
        require_gone(sandbox, lab)
        assert lab.run("logout").code == 0
        assert lab.run("whoami").code == 5


def require_gone(sandbox: Sandbox, lab: LargeLab) -> None:
    """Nothing of it is at the server, a tombstone is here, and what was approved before does not
    bring it back.
    """
    assert there(sandbox).info(DATASET) is None
    assert not [*sandbox.node.rglob("*.parquet"), *sandbox.node.rglob("*.glb")]
    [tombstone] = lab.records.tombstones()
    assert (tombstone.deletion.label, tombstone.receipt) == (LABEL, lab.receipt().plan)


@pytest.fixture
def in_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Credentials as an unattended machine has them; nothing is kept in a home."""
    for name, value in {
        "SYNDB_USERNAME__SANDBOX": ADA,
        "SYNDB_PASSWORD__SANDBOX": PASSWORD,
        "SYNDB_CREDENTIALS": str(tmp_path / "no-credentials.json"),
        "HOME": str(tmp_path / "home"),
        **KEYRING_OFF,
    }.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("DAGSTER_HOME", raising=False)
    yield
    show_tracebacks()
    assert not (tmp_path / "no-credentials.json").exists()


@pytest.mark.usefixtures("in_the_environment")
def test_the_road_through_dagster(tmp_path: Path, packages: dict[str, str]) -> None:
    with Sandbox(tmp_path / "sandbox") as sandbox:
        lab = LargeLab(tmp_path / "lab", sandbox)
        settings = lab.folder / "pipeline.yaml"

        prepared = launch(lab.large, settings)
        assert prepared.succeeded, prepared.message
        assert uploads(sandbox) == 0
        with dg.DagsterInstance.local_temp(str(dagster_home(load_settings(settings)))) as instance:

            def run(job: str, config: dict[str, Any] | None = None) -> dg.ExecuteInProcessResult:
                definition = own_defs(settings).resolve_job_def(job)
                partition = None if job == "delete" else "large"
                return definition.execute_in_process(
                    instance=instance,
                    partition_key=partition,
                    run_config=config,
                    raise_on_error=False,
                )

            unapproved = run("publish")
            [event] = [event for event in unapproved.all_events if event.is_step_failure]
            [digest] = re.findall(r"--approve ([0-9a-f]{12})", str(event.step_failure_data.error))
            assert uploads(sandbox) == 0

            published = run(
                "publish", {"ops": {"publish_dataset": {"config": {"approve": digest}}}}
            )
            assert published.success
            require_all_of_it(sandbox, lab)
            receipt = lab.receipt()
            [shown] = published.asset_materializations_for_node("publish_dataset")
            rows = [line.data for line in shown.metadata["rows"].records]  # type: ignore[attr-defined]
            assert {row["table"]: (row["sent"], row["found"]) for row in rows} == {
                t: (n, n) for t, n in COUNTS.items()
            }
            assert (shown.metadata["address"].value, shown.metadata["plan"].value) == (
                sandbox.url,
                receipt.plan,
            )
            assert str(shown.metadata["published"].value).endswith(f"as {ADA}")
            said = [
                entry.user_message
                for entry in instance.all_logs(published.run_id)
                if entry.level == 20 and not entry.dagster_event
            ]
            assert (
                f"Sending {sum(COUNTS.values()):,} rows" in said
                and f"Sending {MESHES} meshes and skeletons" in said
            )
            packages["dagster"] = receipt.upload.tar_sha256

            assert run("publish").success
            assert uploads(sandbox) == 1

            def delete(label: str) -> dg.ExecuteInProcessResult:
                return run(
                    "delete",
                    {"ops": {"delete_dataset": {"config": {"dataset": "large", "label": label}}}},
                )

            assert not delete(LABEL.upper()).success
            assert there(sandbox).info(DATASET) is not None
            assert delete(LABEL).success
            require_gone(sandbox, lab)
            assert not run("publish").success, "an approval of before the deletion does not count"
            assert there(sandbox).info(DATASET) is None


def test_both_roads_sent_the_same_bytes(packages: dict[str, str]) -> None:
    if len(packages) < 2:
        pytest.skip("needs both roads of this module to have run")
    assert packages["command line"] == packages["dagster"]
