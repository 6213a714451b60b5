"""The line of a dataset after anything that may have happened to it.

Belongs here: each state and its reason. Does not: how `status` prints them (`unit/cli`).
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from errno import ENOSPC
from pathlib import Path
from time import process_time

import pytest
import time_machine

from syndb_pipeline.base.errors import DataRejected, DestinationRefused, Exit, OutcomeUnknown
from syndb_pipeline.base.progress import Watch, unwatched
from syndb_pipeline.destinations import load_settings
from syndb_pipeline.destinations.base import Package, Upload
from syndb_pipeline.destinations.embedded.node import EmbeddedNode
from syndb_pipeline.publishing.overview import Line, overview
from syndb_pipeline.publishing.records import Compared, Decision, Hold, Reason
from syndb_pipeline.publishing.status import delete
from syndb_pipeline.state.attempts import Attempts
from syndb_pipeline.state.registry import register
from tests.publish_lab import DATASET, Lab, lab, prepared

__all__ = ["lab", "prepared"]  # fixtures


def line(lab: Lab) -> Line:
    settings = load_settings(lab.root / "pipeline.yaml")
    register(settings, lab.root / "guide.yaml")
    [found] = overview(settings)
    return found


class Refusing(EmbeddedNode):
    def upload(self, dataset: object, package: Package, watch: Watch = unwatched) -> Upload:
        raise DestinationRefused("No room at local.", next_step="Ask its owner.")


class Silent(EmbeddedNode):
    def upload(self, dataset: object, package: Package, watch: Watch = unwatched) -> Upload:
        raise OutcomeUnknown("No answer within 300 s.")


def refused(lab: Lab) -> None:
    with pytest.raises(DestinationRefused):
        lab.send(Refusing)


def unanswered(lab: Lab) -> None:
    with pytest.raises(OutcomeUnknown):
        lab.send(Silent)


def interrupted_while_sending(lab: Lab) -> None:
    """By Ctrl+C, or as Dagster ends a run that takes too long."""

    class Interrupted(EmbeddedNode):
        def upload(self, dataset: object, package: Package, watch: Watch = unwatched) -> Upload:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        lab.send(Interrupted)


def killed(lab: Lab, kind: str, step: str) -> None:
    """What a process that is killed leaves."""
    folder = lab.context.store.folder / "attempts"
    folder.mkdir(exist_ok=True)
    (folder / f"{kind}.running").write_text(f"{step} {datetime.now(UTC).isoformat()}")


def killed_while_sending(lab: Lab) -> None:
    unanswered(lab)
    killed(lab, "publish", "publish")


def held(lab: Lab, *decisions: Decision) -> None:
    reason = Reason(kind="rows-fallen", of="axon", change="rows fell", was="9", now="3")
    hold = Hold(
        plan=lab.digest,
        content="",
        destination="local",
        since=datetime.now(UTC),
        compared=Compared(reasons=(reason,)),
        decisions=decisions,
    )
    lab.records.keep_hold(hold)


def said_no(lab: Lab) -> None:
    no = Decision(
        answer="rejected", by="Bo", how="option", at=datetime.now(UTC), reason="too few axons"
    )
    held(lab, no)


def deleted(lab: Lab) -> None:
    lab.send()
    delete(lab.context.settings, DATASET, lab.node, "Guide example")


def repeated_key(lab: Lab) -> Lab:
    return lab.edit("axon.csv", "4,3e8", "2,3e8").prepare()


def rejected(lab: Lab) -> None:
    repeated_key(lab)


def rejected_after_publication(lab: Lab) -> None:
    lab.send()
    repeated_key(lab)


def corrected(lab: Lab) -> None:
    repeated_key(lab).edit("axon.csv", "2,3e8", "4,3e8").prepare()


def no_room(lab: Lab) -> None:
    lab.send()
    attempts, full = Attempts(lab.context.store.folder), OSError(ENOSPC, os.strerror(ENOSPC))
    with (
        pytest.raises(OSError, match="space"),
        attempts.attempt("prepare", "validate"),
    ):
        raise full


def without_a_file(lab: Lab) -> None:
    lab.send()
    (lab.root / "axon.csv").unlink()
    lab.prepare()


def cut(name: str) -> Callable[[Lab], None]:
    def cut_file(lab: Lab) -> None:
        lab.send()
        path = lab.context.store.folder / name
        path.write_bytes(path.read_bytes()[:-9])

    return cut_file


def prepared_anew(lab: Lab) -> None:
    lab.send()
    lab.edit("axon.csv", "4,3e8", "4,4e8").prepare()


def back_again(lab: Lab) -> None:
    prepared_anew(lab)
    lab.send()
    lab.edit("axon.csv", "4,4e8", "4,3e8").prepare()


CASES: dict[str, tuple[Callable[[Lab], object], str, str, str]] = {
    "nothing": (
        lambda lab: shutil.rmtree(lab.root / "state"),
        "never run",
        "never checked",
        "plan",
    ),
    "prepared": (lambda lab: None, "unpublished", "waits for a person", "publish"),
    "standing": (
        lambda lab: lab.edit("guide.yaml", "manual", "standing"),
        "unpublished",
        "not sent yet",
        "publish",
    ),
    "approved": (Lab.approved, "unpublished", "Ada approved this plan", "publish"),
    "published": (Lab.send, "published", "", ""),
    "another plan since": (prepared_anew, "unpublished", "waits for a person", "publish"),
    "back to one before": (back_again, "unpublished", "approved this plan", "publish"),
    "rejected": (rejected, "rejected", "Duplicate key (axon)", "check"),
    "rejected after a publication": (rejected_after_publication, "rejected", "Duplicate", "check"),
    "corrected": (corrected, "unpublished", "waits", "publish"),
    "refused": (refused, "failed", "publish: No room at local.", "Ask its owner."),
    "a file is gone": (without_a_file, "rejected", "axon", "check"),
    "no room": (no_room, "failed", "validate: ", ""),
    "unanswered": (unanswered, "unknown", "No answer within 300 s.", "publish"),
    "killed while sending": (killed_while_sending, "unknown", "whether it arrived", "publish"),
    "interrupted while sending": (
        interrupted_while_sending,
        "unknown",
        "It was interrupted. Whether what was being sent arrived is not known.",
        "publish",
    ),
    "killed while preparing": (
        lambda lab: killed(lab, "prepare", "validate"),
        "failed",
        "validate: It broke off",
        "publish",
    ),
    "held": (held, "held", "axon: rows fell; was 9, now 3", "approve"),
    "said no": (said_no, "held", "Bo rejected this plan on", "approve"),
    "deleted": (deleted, "unpublished", "It was deleted at local on ", "publish"),
    "no such destination": (
        lambda lab: lab.edit("guide.yaml", "local", "lokal"),
        "unusable",
        "'lokal'",
        "pipeline.yaml",
    ),
    "a typo": (lambda lab: lab.edit("guide.yaml", "label", "labl"), "unusable", "labl", ""),
    "a cut record": (cut("package/record.json"), "unusable", "record.json is damaged", "next run"),
    "a cut receipt": (cut("publish/receipt.json"), "unusable", "receipt.json", "backup"),
    "a cut manifest": (cut("package/manifest.json"), "unusable", "cannot be read", ""),
}


@pytest.mark.parametrize("case", CASES)
def test_what_a_line_says(lab: Lab, case: str) -> None:
    happen, state, why, next_step = CASES[case]
    happen(lab)
    found = line(lab)
    assert (found.name, found.state) == ("guide", state), found
    assert why in found.why and next_step in found.next_step
    assert bool(found.why) == (state != "published")
    assert found.since is None or found.since <= datetime.now(UTC)


def test_what_is_under_way_raises_no_alarm(lab: Lab) -> None:
    unanswered(lab)
    assert lab.send().rows == 11
    attempts = Attempts(lab.context.store.folder)
    with attempts.attempt("publish", "publish"):
        found = line(lab)
        assert (found.state, found.running is not None) == ("published", True)
    assert line(lab).running is None
    assert [(end.exit, end.step) for end in attempts.history()] == [
        (Exit.UNKNOWN, "publish"),
        (Exit.OK, "publish"),
    ]


def test_a_failure_is_kept_once_until_its_own_step_succeeds(lab: Lab) -> None:
    for _ in range(3):  # nights
        repeated_key(lab) if not (lab.root / "twice").exists() else lab.prepare()
        (lab.root / "twice").touch()
    first = line(lab)
    attempts = Attempts(lab.context.store.folder)
    [only] = attempts.history()
    assert only.exit is Exit.REJECTED and first.since == only.since
    corrected_again = lab.edit("axon.csv", "2,3e8", "4,3e8").prepare()
    assert [end.exit for end in attempts.history()] == [Exit.REJECTED, Exit.OK]
    with pytest.raises(DataRejected):
        repeated_key(corrected_again).send()


def test_late_after_its_last_success(lab: Lab) -> None:
    lab.send()
    lab.edit("guide.yaml", "terms:", "late_after: 36h\nterms:")
    assert (line(lab).state, line(lab).late) == ("published", False)
    package = lab.context.store.record_path("package")
    with time_machine.travel(datetime.now(UTC) + timedelta(hours=37), tick=False):
        found = line(lab)
        assert (found.state, found.late) == ("late", True) and "36:00:00" not in found.why
        os.utime(package, (datetime.now(UTC).timestamp(),) * 2)  # found to hold, as a run does
        assert line(lab).state == "published"
    with time_machine.travel(datetime.now(UTC) + timedelta(days=9), tick=False):
        lab.edit("axon.csv", "4,3e8", "4,4e8").prepare()
        with pytest.raises(DestinationRefused):
            lab.send(Refusing)
        assert (line(lab).state, line(lab).late) == ("failed", True)


def test_a_dataset_whose_share_is_away_stays_and_one_taken_away_goes(
    lab: Lab, tmp_path: Path
) -> None:
    lab.prepare()  # where the config is, is kept then
    settings = lab.context.settings
    register(settings, lab.root / "guide.yaml")
    for name in ("guide.yaml", "pipeline.yaml"):
        (lab.root / name).rename(tmp_path / name)
    [found] = overview(settings)
    assert (found.name, found.state) == ("guide", "unusable") and "mounted" in found.next_step
    (lab.root / "other.yaml").write_text("dataset: {}\n")
    assert overview(settings) == []


def test_forty_datasets_within_a_second(lab: Lab) -> None:
    lab.send()
    settings, text = lab.context.settings, (lab.root / "guide.yaml").read_text()
    settings.datasets.mkdir()
    for number in range(40):
        own = f"{str(DATASET)[:-2]}{number + 20:02}"
        (settings.datasets / f"d{number}.yaml").write_text(text.replace(str(DATASET), own))
        shutil.copytree(lab.context.store.folder, settings.state / "datasets" / own)
    start = process_time()
    found = overview(settings)
    assert {each.state for each in found} == {"published"} and len(found) == 41
    assert process_time() - start < 1
