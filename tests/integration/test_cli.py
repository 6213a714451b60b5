"""Every command: what it prints, where, and the code it ends with.

Belongs here: the command line's promises to people and scripts; a command that asks, that Dagster
runs or that is interrupted is a process of its own. Does not: what stages compute, or crashes
(`test_kill.py`).
"""

from __future__ import annotations

import json
import re
import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args
from uuid import UUID

import duckdb
import pytest
import yaml

from syndb_pipeline.cli.dataset import StageName
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
    *("init", "check", "report", "explain", "prepare", "stage", "plan", "approve", "reject"),
    *("publish", "run", "export", "status", "history", "diff"),
    *("login", "logout", "whoami", "doctor", "datasets", "delete"),
    *("up", "ui", "notify", "metrics", "prune", "demo", "sandbox", "schema"),
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
    assert made.call("publish", "guide.yaml").code == 0
    assert made.call("check", "broken.yaml").code == 3
    return made


def plan_digest(lab: Lab, config: str = "guide.yaml") -> str:
    ran = lab.call("plan", config, "--json")
    assert ran.code == 0, ran.err
    return str(ran.report["digest"])


def states(ran: Ran) -> dict[str, str]:
    """Stage -> `unchanged` or `done`, as progress on standard error tells it."""
    return dict(re.findall(r"^\s*(\w+): (unchanged|done)", ran.err, flags=re.MULTILINE))


# -- exit codes


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ("", "Usage: syndb-pipeline"),
        ("nonsense", "No such command 'nonsense'"),
        ("check", "Missing argument 'CONFIG'"),
        ("check guide.yaml --nonsense", "No such option: --nonsense"),
        ("check absent.yaml", "absent.yaml: there is no such file"),
        ("check axon.csv", "axon.csv: expected `dataset:` and `tables:`"),
        ("check guide.yaml --settings absent.yaml", "absent.yaml"),
        ("schema tables synaps", "did you mean synapse?"),
        ("schema words xyz", "allowed: animal"),
        ("prepare guide.yaml --from validate --until ingest", "validate comes after ingest"),
        ("stage nonsense guide.yaml", "'nonsense' is not one of 'ingest', 'validate'"),
        ("schema nonsense", "Choose dataset, pipeline, tables or words"),
        ("explain SYN-ID-02", "Did you mean SYN-ID-002"),
        ("delete absent.yaml", "absent.yaml"),
        ("datasets --destination nowhere", "nowhere"),
        ("ui --host 0.0.0.0", "has no login"),
    ],
)
def test_wrong_usage_ends_with_2_and_the_way_out(lab: Lab, arguments: str, said: str) -> None:
    ran = lab.call(*arguments.split())

    assert ran.code == 2
    assert said in " ".join((ran.out + ran.err).split())
    assert not arguments or ran.out == ""


def test_refused_data_end_every_command_with_3(judged: Lab) -> None:
    for command in ("check", "plan", "publish"):
        ran = judged.call(command, "broken.yaml", "--json")
        assert ran.code == 3, command
        assert ran.report["verdict"] == "rejected"
        assert ran.codes == {"SYN-TYPE-001": 1, "SYN-REL-001": 1}


def test_nothing_is_sent_without_approval_of_this_digest_and_terms(lab: Lab) -> None:
    unasked = lab.call("publish", "guide.yaml")
    digest = plan_digest(lab)
    assert (unasked.code, unasked.out) == (4, "")
    assert f"--approve {digest[:12]}" in unasked.err
    for given in (digest[:8], "0123456789ab", "short"):
        ran = lab.call("publish", "guide.yaml", "--approve", given)
        assert ran.code == 4
        assert digest in ran.err
    lab.config("guide", GUIDE, TABLES, terms=None)
    ran = lab.call("publish", "guide.yaml", "--approve", plan_digest(lab))
    assert ran.code == 4
    assert "terms" in ran.err
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
        *(
            f"state/datasets/{GUIDE}/{file}"
            for file in (
                "package/tables/vesicle.parquet",
                "package/manifest.json",
                "ingest/tables/vesicle.parquet",
                "join_relations/relations/vesicle.parquet",
            )
        ),
    ],
)
def test_one_flipped_byte_since_the_approval_ends_with_4(lab: Lab, name: str) -> None:
    digest = plan_digest(lab)
    assert lab.call("approve", "guide.yaml", digest).code == 0
    flip(lab.folder / name)

    for arguments in ((), ("--approve", digest)):
        ran = lab.call("publish", "guide.yaml", *arguments)
        assert (ran.code, ran.out) == (4, "")
        assert Path(name).name in " ".join(ran.err.split())
    assert lab.node().info(UUID(GUIDE)) is None


def test_changed_data_need_another_approval(lab: Lab) -> None:
    old = plan_digest(lab)
    flip(lab.folder / "vesicle.csv")
    new = plan_digest(lab)
    assert new != old

    assert lab.call("publish", "guide.yaml", "--approve", old).code == 4
    assert lab.call("publish", "guide.yaml", "--approve", new).code == 0


def test_another_owners_dataset_ends_with_5(judged: Lab, tmp_path: Path) -> None:
    other = Lab(tmp_path / "other", owner="bob")
    settings = yaml.safe_load((other.folder / "pipeline.yaml").read_text())
    settings["destinations"]["local"]["path"] = str(judged.folder / "state" / "node")
    (other.folder / "pipeline.yaml").write_text(yaml.safe_dump(settings))
    for file in ("axon.csv", "vesicle.csv", "guide.yaml"):
        shutil.copy(judged.folder / file, other.folder)

    for arguments in (
        ("publish", "guide.yaml", "--approve", plan_digest(other)),
        ("delete", "guide.yaml", "--label", "Guide example"),
    ):
        ran = other.call(*arguments)
        assert ran.code == 5, arguments
        assert "belongs to ada" in ran.err
    assert judged.published(GUIDE).counts == {"axon": 3, "vesicle": 8}


@pytest.mark.parametrize("command", [("plan",), ("run", "--no-publish")], ids=["plan", "run"])
def test_control_c_ends_with_130_and_plan_goes_on_from_there(
    lab: Lab, command: tuple[str, ...]
) -> None:
    with duckdb.connect() as connection:
        connection.execute(
            "COPY (SELECT 'n' || i AS cid, i + 0.5 AS cable_length FROM range(1000000) AS r(i)) TO"
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

    ran = lab.call("plan", "large.yaml")
    assert ran.code == 0
    assert states(ran)["ingest"] == "unchanged", "a finished stage is not repeated"


# -- for scripts


@pytest.mark.parametrize("command", ["check", "plan", "publish", "status"])
def test_json_is_one_object_and_nothing_else(judged: Lab, command: str) -> None:
    for config, verdict in (("guide", "accepted"), ("broken", "rejected"), ("absent", None)):
        ran = judged.call(command, f"{config}.yaml", "--json")

        assert set(ran.report) >= KEYS, "json.loads takes one value: anything beside it would fail"
        assert ran.report["verdict"] == verdict
        for counts in ran.report["tables"].values():
            assert set(counts) == {"read", "passed", "rejected", "combined"}
            assert counts["read"] == counts["passed"] + counts["rejected"]
        for finding in ran.report["findings"]:
            assert set(finding) >= FINDING_KEYS
            assert len(finding["examples"]) <= finding["count"]
        if verdict is None:
            assert (ran.code, ran.report["exit"]) == (2, 2)
            assert "absent.yaml" in ran.report["error"]
        else:
            assert set(ran.report["tables"]) == {"axon", "vesicle"}


def test_json_of_published_data_holds_digest_and_receipt(judged: Lab) -> None:
    published = judged.call("publish", "guide.yaml", "--json").report

    assert published["digest"] == plan_digest(judged)
    assert published["receipt"]["plan"] == published["digest"]
    assert judged.call("status", "guide.yaml", "--json").report["receipt"] == published["receipt"]


def test_json_of_wrong_usage_and_missing_approval(lab: Lab) -> None:
    usage = lab.call("check", "--json")
    assert (usage.code, usage.report["exit"]) == (2, 2)
    missing = lab.call("publish", "guide.yaml", "--json")
    assert (missing.code, missing.report["exit"]) == (4, 4)
    assert set(missing.report) >= KEYS
    assert "approve" in missing.report["error"]


def test_a_run_shares_its_state_with_the_command_line_and_is_named(lab: Lab) -> None:
    assert lab.call("check", "guide.yaml").code == 0
    prepared = lab.run("run", "guide.yaml", "--no-publish")
    assert prepared.code == 0
    assert f"--run {re.findall(r'--run ([0-9a-f-]{36})', prepared.out)[0]}" in prepared.out
    assert states(prepared) == dict.fromkeys(STAGES[:-1], "unchanged") | {"package": "done"}
    assert states(lab.call("plan", "guide.yaml")) == dict.fromkeys(STAGES, "unchanged")

    ran = lab.run("run", "guide.yaml", "--json", "--approve", plan_digest(lab))
    assert ran.code == 0
    assert set(ran.report) >= KEYS | {"run_id", "ui"}
    assert ran.report["run_id"] in ran.report["ui"]
    assert ran.report["receipt"]["plan"] == ran.report["digest"]
    refused = lab.run("run", "broken.yaml", "--json")
    found = (refused.code, refused.report["verdict"], refused.report["receipt"])
    assert found == (3, "rejected", None)
    assert refused.codes == {"SYN-TYPE-001": 1, "SYN-REL-001": 1}


# -- for people


@pytest.mark.alone
@pytest.mark.parametrize("arguments", ["--help", "run -h", "-V"])
def test_help_within_a_second(lab: Lab, arguments: str) -> None:
    times = []
    for _ in range(3):
        clock = time.perf_counter()
        assert lab.program(*arguments.split()).code == 0
        times.append(time.perf_counter() - clock)
    assert min(times) < 1


COMMAND_OR_PATH = re.compile(r"syndb-pipeline |/\S{20,}|\S{60,}|\S{36}\.tar")


def fits(ran: Ran) -> bool:
    """Whether every line has at most 80 columns, but for commands and paths."""
    lines = ran.out.splitlines()
    return not [line for line in lines if len(line) > 80 and not COMMAND_OR_PATH.search(line)]


def test_every_command_is_in_the_help_and_has_its_own(lab: Lab) -> None:
    overview = lab.call("--help")
    listed = re.findall(r"^│ ([a-z]+) ", overview.out, flags=re.MULTILINE)
    assert tuple(listed) == COMMANDS, "each once, in the order a lab meets them"
    assert fits(overview)
    for command in COMMANDS:
        own = lab.call(command, "--help")
        assert "Usage: syndb-pipeline " + command in own.out
        assert fits(own), command


def test_output_keeps_within_80_columns(judged: Lab) -> None:
    for command in ("check", "plan", "publish", "status"):
        for config in ("guide.yaml", "broken.yaml", "absent.yaml"):
            assert fits(judged.call(command, config)), (command, config)
    for command in (("explain",), ("datasets",), ("delete", "guide.yaml")):
        assert fits(judged.call(*command)), command


def test_a_report_names_place_reason_and_next_step(judged: Lab) -> None:
    text = judged.call("check", "broken.yaml").out

    assert "broken.csv, row 8, column parent_id: '9'" in text
    assert "broken.csv, row 9, column voxel_radius: '12abc'" in text
    assert "REJECTED broken: 2 errors" in text
    assert text.rstrip().endswith("syndb-pipeline check broken.yaml")


def test_the_answer_goes_to_standard_output_and_progress_to_standard_error(judged: Lab) -> None:
    ran = judged.call("check", "guide.yaml")

    assert "ACCEPTED guide" in ran.out
    assert "unchanged" not in ran.out
    assert states(ran) == dict.fromkeys(STAGES[:-1], "unchanged")


def test_status_says_each_stage_and_what_is_published(judged: Lab, lab: Lab) -> None:
    good = " ".join(judged.call("status", "guide.yaml").out.split())
    bad = " ".join(judged.call("status", "broken.yaml").out.split())

    assert all(f" {stage} current" in good for stage in STAGES)
    assert " verdict accepted " in good and re.search(r" published 20\d\d-", good)
    assert " verdict rejected " in bad and " published not this plan " in bad
    ran = lab.call("status", "guide.yaml", "--json")
    assert (ran.code, ran.report["verdict"]) == (0, None)
    assert {link["state"] for link in ran.report["status"]["stages"]} == {"missing"}


def test_datasets_lists_what_one_owns(judged: Lab, lab: Lab) -> None:
    assert re.search(
        rf"^{GUIDE}\s+11 rows  Guide example$", judged.call("datasets").out, flags=re.MULTILINE
    )
    [listed] = json.loads(judged.call("datasets", "--json").out)
    assert (listed["info"]["metadata"]["id"], listed["complete"]) == (GUIDE, True)
    assert listed["info"]["rows"] == {"axon": 3, "vesicle": 8}
    assert "You own no dataset" in lab.call("datasets").out


# -- approving and publishing


def test_plan_approve_publish_and_again_with_nothing_to_send(lab: Lab) -> None:
    shown = lab.call("plan", "guide.yaml")
    assert shown.code == 0
    digest = digest_in(shown.out)
    assert re.search(r"^  in all\s+11 rows", shown.out, flags=re.MULTILINE)
    approved = lab.call("approve", "guide.yaml", digest[:12])
    assert (approved.code, digest[:12] in approved.out) == (0, True)
    published = lab.call("publish", "guide.yaml")

    assert published.code == 0
    assert "PUBLISHED Guide example to local" in published.out
    assert digest in published.out
    assert lab.published(GUIDE).counts == {"axon": 3, "vesicle": 8}

    def written() -> dict[Path, int]:
        files = (lab.folder / "state" / "node" / "datasets").rglob("*")
        return {path: path.stat().st_mtime_ns for path in files if path.is_file()}

    before = written()
    again = lab.call("publish", "guide.yaml", "--approve", digest[:12], "--json")
    unasked = lab.call("publish", "guide.yaml", "--json")
    assert (again.code, unasked.code) == (0, 0)
    assert again.report == unasked.report
    assert "nothing to send" in again.err
    assert written() == before


def test_a_held_plan_is_rejected_and_approved_by_commands(lab: Lab) -> None:
    lab.config("guide", GUIDE, TABLES, label="Guide example", approval="standing")
    assert lab.call("publish", "guide.yaml").code == 0
    vesicles = lab.folder / "vesicle.csv"
    vesicles.write_text("".join(vesicles.read_text().splitlines(keepends=True)[:4]))
    held = lab.call("publish", "guide.yaml", "--json")
    assert (held.code, held.report["exit"]) == (4, 4)
    assert "vesicle: rows fell by 62.5% (limit 20%); was 8, now 3" in held.report["error"]
    shown = lab.call("plan", "guide.yaml").out
    answers = re.findall(r"syndb-pipeline (approve|reject) guide.yaml (\w+)", shown)
    digest = digest_in(shown)[:12]
    assert answers == [("approve", digest), ("reject", digest)]
    assert digest in lab.call("reject", "guide.yaml", "--reason", "cut off").out
    assert re.search(
        r" held +since .*: .* rejected this plan on .*: cut off$",
        lab.call("status", "guide.yaml").out,
        re.M,
    )
    rejected = lab.call("publish", "guide.yaml")
    assert rejected.code == 4 and "cut off." in " ".join(rejected.err.split())
    for line in rejected.err.splitlines():
        assert len(line) <= 80 or str(lab.folder) in line
    assert lab.call("approve", "guide.yaml", digest).code == 0
    assert lab.call("publish", "guide.yaml").code == 0


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
def test_the_digest_typed_at_the_prompt_publishes_and_the_label_deletes(
    lab: Lab, command: str
) -> None:
    code, shown = ask(
        lab, command, "guide.yaml", prompt="digest:", answer=lambda seen: digest_in(seen)[:12]
    )
    assert code == 0, shown
    assert "PUBLISHED Guide example" in shown
    assert lab.published(GUIDE).counts == {"axon": 3, "vesicle": 8}
    receipt = lab.call("status", "guide.yaml", "--json").report["receipt"]
    assert (receipt["plan"], receipt["approval"]["how"]) == (digest_in(shown), "prompt")
    if command == "publish":
        code, shown = ask(
            lab, "delete", "guide.yaml", prompt="Label:", answer=lambda seen: "Guide example"
        )
        assert code == 0, shown
        assert lab.node().info(UUID(GUIDE)) is None


def test_anything_else_typed_at_the_prompt_sends_nothing(lab: Lab) -> None:
    for typed in ("", "000000000000"):
        code, shown = ask(
            lab, "publish", "guide.yaml", prompt="digest:", answer=lambda _, typed=typed: typed
        )
        assert code == 4, shown
        assert "Traceback" not in shown
    terminal = Terminal(lab, "publish", "guide.yaml")
    terminal.read_until(lambda seen: seen.rstrip().endswith("digest:"))
    time.sleep(0.3)  # a person presses Ctrl+C once it waits, not in the moment before
    terminal.process.send_signal(signal.SIGINT)
    assert terminal.end() == 130, terminal.seen
    assert lab.node().info(UUID(GUIDE)) is None


# -- deleting


def test_delete_shows_what_goes_and_wants_the_label(lab: Lab) -> None:
    assert lab.call("publish", "guide.yaml", "--approve", plan_digest(lab)).code == 0

    shown = lab.call("delete", "guide.yaml")
    assert shown.code == 4
    assert re.search(r"^  vesicle\s+8 rows$", shown.out, flags=re.MULTILINE)
    wrong = lab.call("delete", GUIDE, "--label", "guide example")
    assert wrong.code == 4
    assert "nothing was deleted" in wrong.err
    assert lab.published(GUIDE).counts == {"axon": 3, "vesicle": 8}

    assert lab.call("delete", GUIDE, "--label", "Guide example").code == 0
    assert lab.node().info(UUID(GUIDE)) is None
    assert not list((lab.folder / "state" / "node" / "datasets" / GUIDE).rglob("*.parquet"))
    [tombstone] = lab.call("status", "guide.yaml", "--json").report["status"]["tombstones"]
    assert tombstone["deletion"]["rows"] == {"axon": 3, "vesicle": 8}
    again = lab.call("delete", GUIDE, "--label", "Guide example")
    assert again.code == 5, "there is no such dataset any more"
    unasked = lab.call("publish", "guide.yaml")
    assert unasked.code == 4, "an approval of before the deletion does not count"


# -- starting


def test_init_writes_a_config_for_the_demo_lab(tmp_path: Path) -> None:
    lab = Lab(tmp_path / "lab")
    assert lab.call("demo", "demo").code == 0
    first = lab.call("init", "demo")
    assert first.code == 0
    written = lab.folder / "demo" / "dataset.yaml"
    assert str(written) in first.out
    assert "# QUESTION" in written.read_text()
    config: dict[str, Any] = yaml.safe_load(written.read_text())
    assert len(config["tables"]) == 11
    assert UUID(config["dataset"]["id"]).version == 7

    assert lab.call("init", "demo").code == 2, "a config a person has worked on is not replaced"
    assert lab.call("init", "demo", "--overwrite").code == 0
    assert lab.call("init", "absent").code == 2


def test_schema_prints_json_schemas_and_the_dictionary_of_tables(lab: Lab) -> None:
    for what in ("dataset", "pipeline"):
        assert json.loads(lab.call("schema", what).out)["type"] == "object"
    assert "distance_to_active_zone" in lab.call("schema", "tables").out
    part = lab.call("schema", "tables", "synapse").out
    assert part.startswith("## synapse\n")
    assert "cleft_score" in part
    assert "distance_to_active_zone" not in part + "".join(re.findall("^#[^#].*", part, re.M))
    names = lab.call("schema", "words").out.split()
    assert "MUS_MUSCULUS" in lab.call("schema", "words", "animal").out.split()
    for name in names:
        assert lab.call("schema", "words", name).out.strip()


def test_one_stage_or_some_of_them(lab: Lab) -> None:
    assert get_args(StageName) == tuple(STAGES)
    early = lab.call("stage", "validate", "guide.yaml")
    assert (early.code, "validate needs ingest" in early.err) == (1, True)

    half = lab.call("prepare", "guide.yaml", "--until", "assign_ids", "--json")
    assert list(states(half)) == ["ingest", "validate", "assign_ids"]
    assert (half.report["stage"], half.report["verdict"]) == ("assign_ids", None)
    alone = lab.call("stage", "join_relations", "guide.yaml")
    assert states(alone) == {"join_relations": "done"}
    assert "JOIN_RELATIONS guide: no findings" in alone.out
    assert "Next: syndb-pipeline stage check_integrity guide.yaml" in alone.out
    assert fits(alone)

    whole = lab.call("prepare", "guide.yaml")
    assert "ACCEPTED guide" in whole.out
    assert [stage for stage, how in states(whole).items() if how == "done"] == [*STAGES][-2:]

    (lab.folder / "axon.csv").write_text("cid\n")
    assert states(lab.call("stage", "validate", "guide.yaml")) == {"validate": "unchanged"}
    rest = lab.call("prepare", "guide.yaml", "--from", "validate", "--json")
    assert (rest.report["verdict"], list(states(rest))) == ("accepted", [*STAGES][1:])
    assert lab.call("plan", "guide.yaml").code == 3, "the package is not taken for the new file's"
    assert lab.call("prepare", "broken.yaml").code == 3
    assert lab.call("stage", "package", "broken.yaml").code == 3


def test_a_shell_completes_commands_and_stages(lab: Lab) -> None:
    variables = {"_SYNDB_PIPELINE_COMPLETE": "complete_bash"}
    for typed, offered in (
        ("syndb-pipeline sche", "schema"),
        ("syndb-pipeline stage va", "validate"),
    ):
        count = str(len(typed.split()) - 1)
        ran = lab.call(**variables, COMP_WORDS=typed, COMP_CWORD=count)
        assert ran.out.split() == [offered]
    script = lab.call(_SYNDB_PIPELINE_COMPLETE="source_bash").out
    assert "complete -o default -F" in script and "_SYNDB_PIPELINE_COMPLETE" in script
