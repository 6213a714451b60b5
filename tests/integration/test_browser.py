"""The UI as a person sees it: a real Chromium on the UI that `syndb-pipeline ui` starts.

Belongs here: pages and what stands on them. Does not: what the runs computed
(`test_dagster_runs.py`).

Screenshots go to the folder that SYNDB_SCREENSHOTS names, else to pytest's temporary folder.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

import pytest

from syndb_pipeline.orchestration.operating.launch import LaunchResult, launch
from syndb_pipeline.orchestration.operating.up import ui_process
from syndb_pipeline.publishing.records import PublishRecords
from syndb_pipeline.stages.runner import STAGES
from syndb_pipeline.state.store import DatasetStore
from tests.dagster_lab import IDS, ORPHANS, VESICLES, Lab, free_port, make_lab

playwright = pytest.importorskip(
    "playwright.sync_api", reason="playwright is not installed: pip install 'syndb-pipeline[dev]'"
)
CHROMIUM = next(
    (
        path
        for name in ("chromium", "chromium-browser", "google-chrome")
        if (path := shutil.which(name))
    ),
    None,
)
pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(
        CHROMIUM is None, reason="no Chromium on this machine; on Debian: apt-get install chromium"
    ),
]
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]
PATIENCE = 60_000
"""Milliseconds a page may take; a busy machine with two cores needs some."""


@dataclass(frozen=True)
class Site:
    """The UI of a lab with one good and one bad run."""

    url: str
    lab: Lab
    good: LaunchResult
    bad: LaunchResult


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5):
            return True
    except (urllib.error.URLError, TimeoutError, ConnectionError):
        return False


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("DAGSTER_HOME", raising=False)
        lab = make_lab(tmp_path_factory.mktemp("site"))
        good = launch(
            lab.add("good", approval="standing", more='schedule: "0 2 * * *"'),
            lab.pipeline_file,
            publish=True,
        )
        launch(lab.add("manual"), lab.pipeline_file)
        # The last, for the page of a check shows its latest execution.
        bad = launch(lab.add("bad", bad=True), lab.pipeline_file)
        file = lab.pipeline_file
        command, environment, url = ui_process(lab.settings, port=free_port(), settings_path=file)
        root = url.rsplit("/", 1)[0]
        with (lab.root / "ui.log").open("w") as log:
            process = subprocess.Popen(
                command,
                env=environment,
                cwd=lab.root,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
            try:
                deadline = time.monotonic() + 90
                while not _answers(f"{root}/server_info"):
                    assert process.poll() is None and time.monotonic() < deadline, (
                        lab.root / "ui.log"
                    ).read_text()
                    time.sleep(0.3)
                yield Site(root, lab, good, bad)
            finally:
                process.send_signal(signal.SIGINT)
                try:
                    process.wait(30)
                except subprocess.TimeoutExpired:
                    os.killpg(process.pid, signal.SIGKILL)
                    process.wait()


@pytest.fixture(scope="module")
def browser() -> Iterator[playwright.Browser]:
    with playwright.sync_playwright() as running:
        chromium = running.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield chromium
        chromium.close()


@pytest.fixture
def page(
    browser: playwright.Browser, request: pytest.FixtureRequest, tmp_path: Path
) -> Iterator[playwright.Page]:
    opened = browser.new_page(viewport={"width": 1500, "height": 1100})
    opened.set_default_timeout(PATIENCE)
    playwright.expect.set_options(timeout=PATIENCE)
    yield opened
    folder = Path(os.environ.get("SYNDB_SCREENSHOTS") or tmp_path)
    folder.mkdir(parents=True, exist_ok=True)
    opened.screenshot(
        path=folder
        / f"{re.sub(r'[^a-z_]+', '-', request.node.name.removeprefix('test_')).strip('-')}.png"
    )
    opened.close()


def see(page: playwright.Page, *texts: str) -> None:
    """Each of `texts` stands somewhere on the page, in sight."""
    for text in texts:
        playwright.expect(page.get_by_text(text).filter(visible=True).first).to_be_visible()


def test_asset_graph(site: Site, page: playwright.Page) -> None:
    page.goto(f"{site.url}/asset-groups")

    see(page, "lab_files", *STAGES, "publish")
    playwright.expect(page.get_by_text("Join the Dagster community")).to_have_count(0)


def test_good_run(site: Site, page: playwright.Page) -> None:
    page.goto(f"{site.url}/runs/{site.good.run_id}")

    see(page, "Success", "prepare_and_publish", "partition: good", "8 assets")
    see(page, 'Finished execution of run for "prepare_and_publish".')


def test_refused_run(site: Site, page: playwright.Page) -> None:
    page.goto(f"{site.url}/runs/{site.bad.run_id}")

    see(
        page,
        "Failure: bad is rejected: 2 errors",
        f"{ORPHANS} rows of vesicle",
        "Value out of range",
    )
    assert "Traceback" not in page.inner_text("body")
    assert "Stack Trace" not in page.inner_text("body")


@pytest.mark.parametrize(
    ("asset", "check", "text"),
    [
        ("validate", "values_follow_the_contract", "voxel_radius"),
        ("join_relations", "relations_resolve", f"{ORPHANS} rows of vesicle: parent_id '1.0'"),
        ("check_integrity", "verdict", "2 errors"),
    ],
)
def test_failed_check(site: Site, page: playwright.Page, asset: str, check: str, text: str) -> None:
    page.goto(f"{site.url}/assets/{asset}?view=checks&checkDetail={check}")

    see(page, check, "Failed", text, "bad/vesicle.csv")
    if asset == "validate":
        see(page, "values of vesicle.voxel_radius", "1 outside")


@pytest.mark.parametrize("asset", [*STAGES, "publish"])
def test_metadata(site: Site, page: playwright.Page, asset: str) -> None:
    page.goto(f"{site.url}/assets/{asset}?view=events&partition=good")
    page.get_by_text("good", exact=True).first.click()

    see(page, "Partition good materialized", "dagster/partition_row_count", "rows")
    if asset == "publish":
        see(page, "good vesicles", "receipt.json", "by Ada (standing)")
    else:
        see(page, "summary", "files", "sha256", "peak_memory_mb", str(VESICLES))


AGAIN = """
mutation($parameters: ReexecutionParams!) {
  launchRunReexecution(reexecutionParams: $parameters) {
    __typename
    ... on LaunchRunSuccess { run { runId } }
    ... on PythonError { message }
  }
}
"""


def run_again(site: Site, run_id: str, strategy: str) -> str:
    """Run a run of the command line again, as the button on its page does, and wait for its end."""
    parameters = {"parentRunId": run_id, "strategy": strategy}
    asked = {"query": AGAIN, "variables": {"parameters": parameters}}
    request = urllib.request.Request(
        f"{site.url}/graphql", json.dumps(asked).encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=60) as answer:
        launched = json.load(answer)["data"]["launchRunReexecution"]
    assert launched["__typename"] == "LaunchRunSuccess", launched
    again: str = launched["run"]["runId"]
    deadline = time.monotonic() + 120
    with site.lab.instance() as instance:
        while not (run := instance.get_run_by_id(again)) or not run.is_finished:
            assert time.monotonic() < deadline, run
            time.sleep(0.5)
    return again


def test_a_run_of_the_command_line_is_run_again_whole(site: Site, page: playwright.Page) -> None:
    again = run_again(site, site.good.run_id, "ALL_STEPS")

    page.goto(f"{site.url}/runs/{again}")
    see(page, "Success", "prepare_and_publish", "partition: good", "Re-executions (1)")
    identity = site.lab.pipeline.dataset("good").dataset.id
    assert PublishRecords(DatasetStore(site.lab.settings.state, identity)).receipt() == (
        site.good.receipt
    )
    with site.lab.instance() as instance:
        run, parent = (instance.get_run_by_id(each) for each in (again, site.good.run_id))
    assert (
        run
        and parent
        and run.tags[".dagster/syndb_process"] != parent.tags[".dagster/syndb_process"]
    )


def test_a_run_of_the_command_line_is_run_again_from_where_it_failed(
    site: Site, page: playwright.Page
) -> None:
    again = run_again(site, site.bad.run_id, "FROM_FAILURE")

    page.goto(f"{site.url}/runs/{again}")
    see(page, "Failure: bad is rejected: 2 errors")
    with site.lab.instance() as instance:
        assert {step.step_key for step in instance.get_run_step_stats(again)} == {
            "check_integrity_rules"
        }


def test_report_is_one_click_away(site: Site, page: playwright.Page) -> None:
    page.goto(f"{site.url}/assets/check_integrity?view=events&partition=bad")
    link = page.get_by_text("/reports/").first
    with page.expect_popup() as opened:
        link.click()

    see(opened.value, "SynDB data report", "Rejected", "2 errors")
    assert "script" not in opened.value.content()


def test_a_plan_is_approved_in_a_launchpad(site: Site, page: playwright.Page) -> None:
    page.goto(f"{site.url}/assets/package?view=events&partition=manual")
    see(page, "manual vesicles", "plan_digest")
    page.get_by_text("open the launchpad, filled in").first.click()
    page.locator("button:not([disabled])", has_text="Launch Run").first.click()

    see(page, "Published 370 rows in 3 tables")
    records = PublishRecords(DatasetStore(site.lab.settings.state, UUID(IDS["manual"])))
    receipt = records.receipt()
    assert receipt is not None and receipt.approval.how == "ui"


def test_datasets(site: Site, page: playwright.Page) -> None:
    page.goto(f"{site.url}/assets/datasets?view=events")

    see(page, "rejected", "syndb-pipeline check", "good")


def test_columns(site: Site, page: playwright.Page) -> None:
    page.goto(f"{site.url}/assets/ingest?view=overview")

    see(page, "Columns", "vesicle.voxel_radius", "nm3", "data-engineering")


def test_automation(site: Site, page: playwright.Page) -> None:
    page.goto(f"{site.url}/automation")

    see(page, "discover_datasets", "watch_files")
