"""Every command as a process of its own: what it prints, where, and the code it ends with.

Belongs here: the command line's promises to people and scripts. Does not: what stages compute, or
crashes (`test_kill.py`).
"""

from __future__ import annotations

import json
import re
import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import UUID

import duckdb
import pytest
import yaml

from tests.command_line import Lab, Ran, Terminal

GUIDE = "01939c0e-7b1a-7c3e-9f53-6f0c6b1d2a41"
BROKEN = "01939c0e-7b1a-7c3e-9f53-6f0c6b1d2a42"
LARGE = "01939c0e-7b1a-7c3e-9f53-6f0c6b1d2a43"
KEYS = {"verdict", "tables", "findings", "digest", "receipt"}
FINDING_KEYS = {
    "code",
    "severity",
    "table",
    "file",
    "column",
    "count",
    "examples",
    "message",
    "fix",
}
STAGES = ("ingest", "validate", "assign_ids", "join_relations", "check_integrity", "package")
COMMANDS = (
    *("init", "check", "report", "explain", "plan", "approve", "publish", "run", "status"),
    *("login", "logout", "whoami", "doctor", "datasets", "delete"),
    *("demo", "sandbox", "ui", "schema"),
)
TABLES = {"axon": {"file": "axon.csv"}, "vesicle": {"file": "vesicle.csv"}}
BROKEN_TABLES = {"axon": {"file": "axon.csv"}, "vesicle": {"file": "broken.csv"}}


def write_tables(folder: Path) -> None:
    """The shape of the upload guide's example; `broken.csv` has a parent that is no axon and a
    radius that is no number.
    """
    parents = (1, 1, 1, 1, 1, 2, 2, 4)
    rows = [f"v{number},{parent},25.5" for number, parent in enumerate(parents)]
    (folder / "axon.csv").write_text(
        "cid,voxel_volume\n1,385668034.56\n2,1492089016.32\n4,485668034.5\n"
    )
    (folder / "vesicle.csv").write_text("\n".join(["cid,parent_id,voxel_radius", *rows]) + "\n")
    (folder / "broken.csv").write_text(
        "\n".join(["cid,parent_id,voxel_radius", *rows[:6], "v6,9,25.5", "v7,4,12abc"]) + "\n"
    )


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    made = Lab(tmp_path / "lab")
    write_tables(made.folder)
    made.config("guide", GUIDE, TABLES, label="Guide example")
    made.config("broken", BROKEN, BROKEN_TABLES)
    return made


@pytest.fixture(scope="module")
def judged(tmp_path_factory: pytest.TempPathFactory) -> Lab:
    """A lab whose good dataset is published and whose broken one was refused; tests only look at
    it.
    """
    made = Lab(tmp_path_factory.mktemp("judged") / "lab")
    write_tables(made.folder)
    made.config("guide", GUIDE, TABLES, label="Guide example", approval="standing")
    made.config("broken", BROKEN, BROKEN_TABLES)
    assert made.run("publish", "guide.yaml").code == 0
    assert made.run("check", "broken.yaml").code == 3
    return made


def plan_digest(lab: Lab, config: str = "guide.yaml") -> str:
    ran = lab.run("plan", config, "--json")
    assert ran.code == 0, ran.err
    return str(ran.report["digest"])


def states(ran: Ran) -> dict[str, str]:
    """Stage -> `unchanged` or `done`, as progress on standard error tells it."""
    return dict(re.findall(r"^\s*(\w+): (unchanged|done)", ran.err, flags=re.MULTILINE))


# -- exit codes


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ((), "Usage: syndb-pipeline"),
        (("nonsense",), "No such command 'nonsense'"),
        (("check",), "Missing argument 'CONFIG'"),
        (("check", "guide.yaml", "--nonsense"), "No such option: --nonsense"),
        (("check", "absent.yaml"), "absent.yaml: there is no such file"),
        (("check", "guide.yaml", "--settings", "absent.yaml"), "absent.yaml"),
        (("schema", "nonsense"), "Choose dataset, pipeline or tables"),
        (("explain", "SYN-ID-02"), "Did you mean SYN-ID-002"),
        (("delete", "absent.yaml"), "absent.yaml"),
        (("datasets", "--destination", "nowhere"), "nowhere"),
    ],
    ids=lambda value: " ".join(value) or "nothing" if isinstance(value, tuple) else "",
)
def test_wrong_usage_ends_with_2_and_the_way_out(
    lab: Lab, arguments: tuple[str, ...], told: str
) -> None:
    ran = lab.run(*arguments)

    assert ran.code == 2
    assert told in " ".join((ran.out + ran.err).split())


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ("dataset: [", "line"),
        ("just text", "expected `dataset:` and `tables:`"),
        ("dataset: {label: x}\ntables: {neuron: {file: a.csv}}", "dataset.id"),
        ("dataset: {label: x}\ntables: {neurone: {file: a.csv}}", "did you mean neuron"),
        ("dataset: {lable: x}\ntables: {neuron: {file: a.csv}}", "lable"),
    ],
    ids=["yaml", "text", "no-id", "table", "key"],
)
def test_a_wrong_config_ends_with_2_and_names_file_and_key(lab: Lab, wrong: str, told: str) -> None:
    (lab.folder / "wrong.yaml").write_text(wrong)
    ran = lab.run("check", "wrong.yaml")

    assert ran.code == 2
    assert ran.out == ""
    assert "wrong.yaml" in ran.err
    assert told in ran.err


def test_refused_data_end_every_command_with_3(judged: Lab) -> None:
    for command in ("check", "plan", "publish"):
        ran = judged.run(command, "broken.yaml", "--json")
        assert ran.code == 3, command
        assert ran.report["verdict"] == "rejected"
        assert ran.codes == {"SYN-TYPE-001": 1, "SYN-REL-001": 1}


def test_nobody_approved_ends_with_4_and_nothing_is_sent(lab: Lab) -> None:
    ran = lab.run("publish", "guide.yaml")

    assert ran.code == 4
    assert ran.out == ""
    assert f"--approve {plan_digest(lab)[:12]}" in ran.err
    assert lab.node().info(UUID(GUIDE)) is None


def test_terms_that_nobody_accepted_end_with_4(lab: Lab) -> None:
    lab.config("guide", GUIDE, TABLES, terms=None)
    ran = lab.run("publish", "guide.yaml", "--approve", plan_digest(lab))

    assert ran.code == 4
    assert "terms" in ran.err
    assert lab.node().info(UUID(GUIDE)) is None


@pytest.mark.parametrize("given", ["", "0123456789ab", "short"])
def test_another_digest_ends_with_4(lab: Lab, given: str) -> None:
    digest = plan_digest(lab)
    ran = lab.run("publish", "guide.yaml", "--approve", given or digest[:8])

    assert ran.code == 4
    assert digest in ran.err
    assert lab.node().info(UUID(GUIDE)) is None


def flip(path: Path) -> None:
    """Change one bit in the middle of a file; a digit of a table stays a digit."""
    content = bytearray(path.read_bytes())
    at = len(content) // 2 if path.suffix != ".csv" else content.rindex(b"25.5")
    content[at] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize(
    "name",
    [
        "vesicle.csv",
        f"state/datasets/{GUIDE}/package/tables/vesicle.parquet",
        f"state/datasets/{GUIDE}/package/manifest.json",
        f"state/datasets/{GUIDE}/ingest/tables/vesicle.parquet",
        f"state/datasets/{GUIDE}/join_relations/relations/vesicle.parquet",
    ],
    ids=lambda name: (
        Path(name).name + (f" of {Path(name).parts[-3]}" if name.endswith(".parquet") else "")
    ),
)
def test_one_flipped_byte_since_the_approval_ends_with_4(lab: Lab, name: str) -> None:
    digest = plan_digest(lab)
    assert lab.run("approve", "guide.yaml", digest).code == 0
    flip(lab.folder / name)

    for arguments in ((), ("--approve", digest)):
        ran = lab.run("publish", "guide.yaml", *arguments)
        assert ran.code == 4
        assert Path(name).name in " ".join(ran.err.split())
        assert ran.out == ""
    assert lab.node().info(UUID(GUIDE)) is None


def test_changed_data_need_another_approval(lab: Lab) -> None:
    old = plan_digest(lab)
    flip(lab.folder / "vesicle.csv")
    new = plan_digest(lab)
    assert new != old

    assert lab.run("publish", "guide.yaml", "--approve", old).code == 4
    assert lab.run("publish", "guide.yaml", "--approve", new).code == 0


def test_another_owners_dataset_ends_with_5(lab: Lab, tmp_path: Path) -> None:
    assert lab.run("publish", "guide.yaml", "--approve", plan_digest(lab)).code == 0
    other = Lab(tmp_path / "other", owner="bob")
    settings = yaml.safe_load((other.folder / "pipeline.yaml").read_text())
    settings["destinations"]["local"]["path"] = str(lab.folder / "state" / "node")
    (other.folder / "pipeline.yaml").write_text(yaml.safe_dump(settings))
    for file in ("axon.csv", "vesicle.csv", "guide.yaml"):
        shutil.copy(lab.folder / file, other.folder)

    for arguments in (
        ("publish", "guide.yaml", "--approve", plan_digest(other)),
        ("delete", "guide.yaml", "--label", "Guide example"),
    ):
        ran = other.run(*arguments)
        assert ran.code == 5, arguments
        assert "belongs to ada" in ran.err
    assert lab.published(GUIDE).counts == {"axon": 3, "vesicle": 8}


@pytest.mark.parametrize("command", [("plan",), ("run", "--no-publish")], ids=["plan", "run"])
def test_control_c_ends_with_130_and_the_same_command_goes_on(
    lab: Lab, command: tuple[str, ...]
) -> None:
    with duckdb.connect() as connection:
        connection.execute(
            "COPY (SELECT 'n' || i AS cid, i + 0.5 AS cable_length FROM range(2000000) AS r(i)) TO"
            f" '{lab.folder / 'neuron.csv'}'"
        )
    lab.config("large", LARGE, {"neuron": {"file": "neuron.csv"}})
    with lab.start(*command[:1], "large.yaml", *command[1:]) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if "validate: started" in line:
                break
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
        assert process.returncode == 130
    assert "Traceback" not in out + err
    assert "again" in out + err

    ran = lab.run(*command[:1], "large.yaml", *command[1:])
    assert ran.code == 0
    assert states(ran)["ingest"] == "unchanged", "a finished stage is not repeated"


# -- for scripts


@pytest.mark.parametrize("command", ["check", "plan", "publish", "status"])
@pytest.mark.parametrize("config", ["guide.yaml", "broken.yaml", "absent.yaml"])
def test_json_is_one_object_and_nothing_else(judged: Lab, command: str, config: str) -> None:
    ran = judged.run(command, config, "--json")

    assert set(ran.report) >= KEYS, "json.loads takes one value: anything beside it would fail"
    for counts in ran.report["tables"].values():
        assert set(counts) == {"read", "passed", "rejected", "combined"}
        assert counts["read"] == counts["passed"] + counts["rejected"]
    for finding in ran.report["findings"]:
        assert set(finding) >= FINDING_KEYS
        assert len(finding["examples"]) <= finding["count"]
    if config == "absent.yaml":
        assert (ran.code, ran.report["exit"], ran.report["verdict"]) == (2, 2, None)
        assert "absent.yaml" in ran.report["error"]
    else:
        assert ran.report["verdict"] == ("accepted" if config == "guide.yaml" else "rejected")
        assert set(ran.report["tables"]) == {"axon", "vesicle"}


def test_json_of_published_data_holds_digest_and_receipt(judged: Lab) -> None:
    published = judged.run("publish", "guide.yaml", "--json").report

    assert published["digest"] == plan_digest(judged)
    assert published["receipt"]["plan"] == published["digest"]
    assert judged.run("status", "guide.yaml", "--json").report["receipt"] == published["receipt"]


def test_json_of_wrong_usage_and_missing_approval(lab: Lab) -> None:
    usage = lab.run("check", "--json")
    assert (usage.code, usage.report["exit"]) == (2, 2)
    missing = lab.run("publish", "guide.yaml", "--json")
    assert (missing.code, missing.report["exit"]) == (4, 4)
    assert set(missing.report) >= KEYS
    assert "approve" in missing.report["error"]


def test_json_of_a_run_names_the_run(lab: Lab) -> None:
    ran = lab.run("run", "guide.yaml", "--json", "--approve", plan_digest(lab))

    assert ran.code == 0
    assert set(ran.report) >= KEYS | {"run_id", "ui"}
    assert ran.report["run_id"] in ran.report["ui"]
    assert ran.report["receipt"]["plan"] == ran.report["digest"]
    refused = lab.run("run", "broken.yaml", "--json")
    assert (refused.code, refused.report["verdict"], refused.report["receipt"]) == (
        3,
        "rejected",
        None,
    )
    assert refused.codes == {"SYN-TYPE-001": 1, "SYN-REL-001": 1}


# -- for people


@pytest.mark.parametrize(
    "arguments", [("--help",), ("check", "--help"), ("run", "-h"), ("--version",)], ids=" ".join
)
def test_help_within_a_second(lab: Lab, arguments: tuple[str, ...]) -> None:
    times = []
    for _ in range(3):
        clock = time.perf_counter()
        assert lab.run(*arguments).code == 0
        times.append(time.perf_counter() - clock)
    assert min(times) < 1


def test_every_command_is_in_the_help_and_has_its_own(lab: Lab) -> None:
    overview = lab.run("--help").out
    listed = re.findall(r"^│ ([a-z]+) ", overview, flags=re.MULTILINE)
    assert tuple(listed) == COMMANDS, "each once, in the order a lab meets them"
    for command in COMMANDS:
        assert "Usage: syndb-pipeline " + command in lab.run(command, "--help").out


COMMAND_OR_PATH = re.compile(r"syndb-pipeline |/\S{20,}|\S{60,}|\S{36}\.tar")


@pytest.mark.parametrize(
    "arguments",
    [
        *[
            (command, config)
            for command in ("check", "plan", "publish", "status")
            for config in ("guide.yaml", "broken.yaml")
        ],
        ("explain",),
        ("datasets",),
        ("delete", "guide.yaml"),
        ("check", "absent.yaml"),
        ("--help",),
        *[(command, "--help") for command in COMMANDS],
        ("run", "broken.yaml"),
    ],
    ids=" ".join,
)
def test_output_keeps_within_80_columns(judged: Lab, arguments: tuple[str, ...]) -> None:
    ran = judged.run(*arguments)

    too_wide = [
        line for line in ran.out.splitlines() if len(line) > 80 and not COMMAND_OR_PATH.search(line)
    ]
    assert too_wide == []


def test_a_report_names_place_reason_and_next_step(judged: Lab) -> None:
    text = judged.run("check", "broken.yaml").out

    assert "broken.csv, row 8, column parent_id: '9'" in text
    assert "broken.csv, row 9, column voxel_radius: '12abc'" in text
    assert "REJECTED broken: 2 errors" in text
    assert text.rstrip().endswith("syndb-pipeline check broken.yaml")


def test_the_answer_goes_to_standard_output_and_progress_to_standard_error(judged: Lab) -> None:
    ran = judged.run("check", "guide.yaml")

    assert "ACCEPTED guide" in ran.out
    assert "unchanged" not in ran.out
    assert states(ran) == dict.fromkeys(STAGES[:-1], "unchanged")


def test_status_tells_each_stage_and_what_is_published(judged: Lab) -> None:
    good, bad = judged.run("status", "guide.yaml").out, judged.run("status", "broken.yaml").out

    for stage in STAGES:
        assert re.search(rf"^  {stage}\s+current$", good, flags=re.MULTILINE)
    assert re.search(r"^  verdict\s+accepted$", good, flags=re.MULTILINE)
    assert re.search(r"^  published\s+20\d\d-", good, flags=re.MULTILINE)
    assert re.search(r"^  verdict\s+rejected$", bad, flags=re.MULTILINE)
    assert re.search(r"^  published\s+not this plan$", bad, flags=re.MULTILINE)


def test_status_before_anything_ran(lab: Lab) -> None:
    ran = lab.run("status", "guide.yaml", "--json")

    assert ran.code == 0
    assert ran.report["verdict"] is None
    assert {link["state"] for link in ran.report["status"]["stages"]} == {"missing"}


def test_datasets_lists_what_one_owns(judged: Lab, lab: Lab) -> None:
    assert re.search(
        rf"^{GUIDE}\s+11 rows  Guide example$", judged.run("datasets").out, flags=re.MULTILINE
    )
    [listed] = json.loads(judged.run("datasets", "--json").out)
    assert (listed["info"]["metadata"]["id"], listed["info"]["rows"], listed["complete"]) == (
        GUIDE,
        {"axon": 3, "vesicle": 8},
        True,
    )
    assert "You own no dataset" in lab.run("datasets").out


# -- approving and publishing


def test_plan_approve_publish(lab: Lab) -> None:
    shown = lab.run("plan", "guide.yaml")
    assert shown.code == 0
    [digest] = re.findall(r"^Digest\s+([0-9a-f]{64})$", shown.out, flags=re.MULTILINE)
    assert re.search(r"^  in all\s+11 rows", shown.out, flags=re.MULTILINE)
    approved = lab.run("approve", "guide.yaml", digest[:12])
    assert (approved.code, digest[:12] in approved.out) == (0, True)
    published = lab.run("publish", "guide.yaml")

    assert published.code == 0
    assert "PUBLISHED Guide example to local" in published.out
    assert digest in published.out
    assert lab.published(GUIDE).counts == {"axon": 3, "vesicle": 8}


def test_publishing_again_does_nothing_and_shows_the_same_receipt(lab: Lab) -> None:
    digest = plan_digest(lab)
    first = lab.run("publish", "guide.yaml", "--approve", digest, "--json")
    files = {
        path: path.stat().st_mtime_ns
        for path in (lab.folder / "state" / "node" / "datasets").rglob("*")
        if path.is_file()
    }
    again = lab.run("publish", "guide.yaml", "--approve", digest[:12], "--json")
    unasked = lab.run("publish", "guide.yaml", "--json")

    assert (first.code, again.code, unasked.code) == (0, 0, 0)
    assert first.report == again.report == unasked.report
    assert "nothing to send" in again.err
    assert files == {
        path: path.stat().st_mtime_ns
        for path in (lab.folder / "state" / "node" / "datasets").rglob("*")
        if path.is_file()
    }


def test_the_command_line_and_dagster_share_their_state(lab: Lab) -> None:
    prepared = lab.run("run", "guide.yaml", "--no-publish")
    assert prepared.code == 0
    assert f"--run {re.findall(r'--run ([0-9a-f-]{36})', prepared.out)[0]}" in prepared.out

    assert states(lab.run("check", "guide.yaml")) == dict.fromkeys(STAGES[:-1], "unchanged")
    assert states(lab.run("plan", "guide.yaml")) == dict.fromkeys(STAGES, "unchanged")
    again = lab.run("run", "guide.yaml", "--approve", plan_digest(lab))
    assert again.code == 0
    assert states(again) == dict.fromkeys(STAGES, "unchanged")


def ask(lab: Lab, *arguments: str, prompt: str, answer: Callable[[str], str]) -> tuple[int, str]:
    """Run a command on a terminal, give one answer when it asks, and return its exit code and what
    was shown.
    """
    terminal = Terminal(lab, *arguments)
    terminal.read_until(lambda seen: seen.rstrip().endswith(prompt))
    terminal.answer(answer(terminal.seen))
    return terminal.end(), terminal.seen


def digest_in(shown: str) -> str:
    return re.findall(r"^Digest\s+([0-9a-f]{64})", shown, flags=re.MULTILINE)[0]


@pytest.mark.parametrize("command", ["publish", "run"])
def test_the_digest_typed_at_the_prompt_publishes(lab: Lab, command: str) -> None:
    code, shown = ask(
        lab, command, "guide.yaml", prompt="digest:", answer=lambda seen: digest_in(seen)[:12]
    )

    assert code == 0, shown
    assert "PUBLISHED Guide example" in shown
    assert lab.published(GUIDE).counts == {"axon": 3, "vesicle": 8}
    receipt = lab.run("status", "guide.yaml", "--json").report["receipt"]
    assert receipt["plan"] == digest_in(shown)


@pytest.mark.parametrize("typed", ["", "000000000000"], ids=["nothing", "another"])
def test_anything_else_typed_at_the_prompt_sends_nothing(lab: Lab, typed: str) -> None:
    code, shown = ask(lab, "publish", "guide.yaml", prompt="digest:", answer=lambda seen: typed)

    assert code == 4, shown
    assert "Traceback" not in shown
    assert lab.node().info(UUID(GUIDE)) is None


def test_control_c_at_the_prompt_ends_with_130(lab: Lab) -> None:
    terminal = Terminal(lab, "publish", "guide.yaml")
    terminal.read_until(lambda seen: seen.rstrip().endswith("digest:"))
    terminal.process.send_signal(signal.SIGINT)

    assert terminal.end() == 130, terminal.seen
    assert lab.node().info(UUID(GUIDE)) is None


# -- deleting


def test_delete_shows_what_goes_and_wants_the_label(lab: Lab) -> None:
    assert lab.run("publish", "guide.yaml", "--approve", plan_digest(lab)).code == 0

    shown = lab.run("delete", "guide.yaml")
    assert shown.code == 4
    assert re.search(r"^  vesicle\s+8 rows$", shown.out, flags=re.MULTILINE)
    wrong = lab.run("delete", GUIDE, "--label", "guide example")
    assert wrong.code == 4
    assert "nothing was deleted" in wrong.err
    assert lab.published(GUIDE).counts == {"axon": 3, "vesicle": 8}

    done = lab.run("delete", GUIDE, "--label", "Guide example")
    assert done.code == 0
    assert lab.node().info(UUID(GUIDE)) is None
    assert not list((lab.folder / "state" / "node" / "datasets" / GUIDE).rglob("*.parquet"))
    [tombstone] = lab.run("status", "guide.yaml", "--json").report["status"]["tombstones"]
    assert tombstone["deletion"]["rows"] == {"axon": 3, "vesicle": 8}
    assert lab.run("delete", GUIDE, "--label", "Guide example").code == 5, (
        "there is no such dataset any more"
    )
    assert lab.run("publish", "guide.yaml").code == 4, (
        "an approval of before the deletion does not count"
    )


def test_the_label_typed_at_the_prompt_deletes(lab: Lab) -> None:
    assert lab.run("publish", "guide.yaml", "--approve", plan_digest(lab)).code == 0
    code, shown = ask(
        lab, "delete", "guide.yaml", prompt="Label:", answer=lambda seen: "Guide example"
    )

    assert code == 0, shown
    assert lab.node().info(UUID(GUIDE)) is None


# -- starting


def test_init_writes_a_config_for_the_demo_lab(tmp_path: Path) -> None:
    lab = Lab(tmp_path / "lab")
    assert lab.run("demo", "demo").code == 0
    first = lab.run("init", "demo")
    assert first.code == 0
    written = lab.folder / "demo" / "dataset.yaml"
    assert str(written) in first.out
    assert "# QUESTION" in written.read_text()
    config: dict[str, Any] = yaml.safe_load(written.read_text())
    assert len(config["tables"]) == 11
    assert config["tables"]["vesicle"]["sheet"] == "Vesicles"
    assert UUID(config["dataset"]["id"]).version == 7

    assert lab.run("init", "demo").code == 2, "a config a person has worked on is not replaced"
    assert lab.run("init", "demo", "--overwrite").code == 0
    assert lab.run("init", "absent").code == 2


@pytest.mark.parametrize("what", ["dataset", "pipeline"])
def test_schema_prints_json_schema(lab: Lab, what: str) -> None:
    assert json.loads(lab.run("schema", what).out)["type"] == "object"


def test_schema_prints_the_dictionary_of_tables(lab: Lab) -> None:
    assert "distance_to_active_zone" in lab.run("schema", "tables").out


def test_the_ui_is_served_on_this_machine_only(lab: Lab) -> None:
    ran = lab.run("ui", "--host", "0.0.0.0")

    assert ran.code == 2
    assert "has no login" in ran.err
