"""The pictures of docs/dagster.md: Dagster's pages after some months of a facility, in which a
server was down, a machine lost its power, and labs dropped files of every sort.

Belongs here: what happened, and what is photographed. Does not: how (`tutorial/pictures.py`), or
the facility (`tests/facility.py`).
"""

from __future__ import annotations

import json
import tempfile
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random
from typing import Any, Final

import dagster as dg

from docs.tutorial.pictures import Camera, dagster_pages
from syndb_pipeline.publishing.overview import overview
from tests.facility import Facility

FOLDER: Final = Path(__file__).parent / "pictures"
NAMES: Final = ["amber", "birch", "cedar", "dahlia", "elm", "fern"]
DAY: Final = 86_400.0

_AGAIN: Final = """
mutation($parameters: ReexecutionParams!) {
  launchRunReexecution(reexecutionParams: $parameters) {
    ... on LaunchRunSuccess { run { runId } }
    ... on PythonError { message }
  }
}
"""


@contextmanager
def some_months(folder: Path) -> Iterator[tuple[Facility, str]]:
    """A facility and the run of it that failed because the server was down; the server is up."""
    facility = Facility(folder, NAMES)
    amber, birch, cedar, dahlia, elm, fern = facility.all
    try:
        facility.start()
        facility.watch()
        for dataset in facility.all:
            dataset.create()
        elm.edit(lambda config: config.update(late_after="168h"))
        fern.edit(lambda config: config["publish"].update(approval="manual"))
        states = dict.fromkeys(NAMES, "published") | {"fern": "unpublished"}
        _until(facility, states)

        facility.later(30 * DAY)
        random = Random(1)
        cedar.correct(random)
        cedar.write()
        facility.until(lambda: _any_lives(facility), "a run starts")
        facility.kill("tree")
        amber.rows = dict([*amber.rows.items()][:3])
        amber.write()
        states["amber"] = "held"
        facility.until(lambda: cedar.at_server()[0] == 2, "what was killed is taken up again")
        _until(facility, states)

        facility.server.stop()
        birch.correct(random)
        birch.write()
        states["birch"] = "failed"
        _until(facility, states)
        failed = next(run for run in facility.runs() if run.status is dg.DagsterRunStatus.FAILURE)
        birch.edit(lambda config: config.update(watch=False))
        # The last, as the page of a check shows its latest execution.
        dahlia.write(dahlia.text().replace(",n3,", ",n33,").replace("a7,n7,0", "a7,n7,-4"))
        _until(facility, states | {"dahlia": "rejected"})
        facility.stop_watching()
        facility.server.start()
        yield facility, failed.run_id
    finally:
        facility.stop()


def _any_lives(facility: Facility) -> bool:
    """Whether a run has started and said where."""
    started = [run for run in facility.runs() if run.status is dg.DagsterRunStatus.STARTED]
    return any("syndb/host" in run.tags for run in started)


def _until(facility: Facility, states: dict[str, str]) -> None:
    def so() -> bool:
        now = {line.name: line.state for line in overview(facility.settings)}
        return now == states and all(run.is_finished for run in facility.runs())

    facility.until(so, str(states), 600)


def _run_again(root: str, run: str) -> str:
    """Run a run again from where it failed, as the button on its page does."""
    parameters = {"parentRunId": run, "strategy": "FROM_FAILURE"}
    body = json.dumps({"query": _AGAIN, "variables": {"parameters": parameters}}).encode()
    request = urllib.request.Request(f"{root}/graphql", body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=60) as answer:
        launched: dict[str, Any] = json.load(answer)["data"]["launchRunReexecution"]
    return str(launched["run"]["runId"])


def _wait(facility: Facility, runs: int, what: str) -> None:
    """Until there are so many runs, and all have ended."""
    facility.until(
        lambda: len(facility.runs()) >= runs and all(run.is_finished for run in facility.runs()),
        what,
    )


def main() -> None:
    """Take them. Raises `RuntimeError` when there is no Chromium."""
    with (
        tempfile.TemporaryDirectory() as folder,
        some_months(Path(folder)) as (facility, failed),
        dagster_pages(facility.lab.folder, facility.environment) as root,
        Camera(FOLDER) as camera,
    ):
        lab, runs = facility.lab.folder, len(facility.runs())
        again = _run_again(root, failed)
        _wait(facility, runs + 1, "it is run again")

        page = camera.open(f"{root}/runs/{again}", 1280, 800)
        page.get_by_text("RUN_SUCCESS").first.wait_for()
        camera.take("dagster-again", page, lab)

        page = camera.open(f"{root}/runs", 1280, 800)
        page.get_by_text("Re-execution").first.wait_for()
        camera.take("dagster-runs", page, lab)

        page = camera.open(f"{root}/assets/package?view=events&partition=amber", 1280, 800)
        page.get_by_text("approve for later", exact=True).first.wait_for()
        links = page.get_by_text("open the launchpad, filled in")
        filled = f"{root}{links.first.get_attribute('href')}"
        camera.take("dagster-plan", page, lab)
        page = camera.open(filled, 1280, 800)
        page.get_by_text("Launch Run", exact=True).first.wait_for()
        page.get_by_text("No errors", exact=True).first.wait_for()
        page.locator("button:not([disabled])", has_text="Launch Run").first.wait_for()
        camera.take("dagster-launchpad", page, lab)

        check = "values_follow_the_contract"
        page = camera.open(f"{root}/assets/validate?view=checks&checkDetail={check}", 1280, 1160)
        page.get_by_text("values of axon.terminal_count").first.wait_for()
        page.get_by_text("Numbers are in range").first.wait_for()
        page.wait_for_timeout(2000)  # its signs come after its words
        camera.take("dagster-check", page, lab)

        page = camera.open(f"{root}/assets/check_integrity?view=events&partition=dahlia", 1280, 900)
        page.get_by_text("findings", exact=True).first.wait_for()
        camera.take("dagster-verdict", page, lab)

        page = camera.open(f"{root}/assets/datasets?view=events", 1280, 1100)
        page.get_by_role("button", name="Materialize").first.click()
        _wait(facility, runs + 2, "the overview is brought up to date")
        page.reload()
        page.get_by_text("fern", exact=True).first.wait_for()
        camera.take("dagster-datasets", page, lab)

        birch = next(each for each in facility.all if each.name == "birch")
        birch.write(birch.text() + "a99,n1,2\n")
        page = camera.open(f"{root}/assets/lab_files?view=events", 1280, 800)
        page.get_by_role("button", name="Observe").first.click()
        _wait(facility, runs + 3, "the files are seen")
        page.close()
        page = camera.open(f"{root}/assets/ingest?view=partitions&partition=birch", 1280, 560)
        page.get_by_text("Unsynced").first.hover()
        page.wait_for_timeout(1000)
        camera.take("dagster-unsynced", page, lab)


if __name__ == "__main__":
    main()
