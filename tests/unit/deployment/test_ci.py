"""GitHub's action and annotations, and the pre-commit hook.

Belongs here: that each runs our commands as its host would. Does not: what the checks find.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from syndb_pipeline.readers.formats import every_format
from syndb_pipeline.report.terminal import workflow_commands
from syndb_pipeline.rules.finding import Example, build
from tests.command_line import Lab, Ran

ROOT = Path(__file__).parents[3]
DATASETS = {
    "wrong": ("01939c0e-7b1a-7c3e-9f53-6f0c6b1d2a71", "data/axon.csv"),
    "right": ("01939c0e-7b1a-7c3e-9f53-6f0c6b1d2a72", "data/right.csv"),
}
HOSTILE = "::add-mask::50%, ##[group]\x1b[31m"


def unescaped(text: str) -> str:
    for code in (":3A", ",2C", "\r0D", "\n0A", "%25"):
        text = text.replace(f"%{code[1:]}", code[0])
    return text


def read(output: str) -> list[tuple[str, dict[str, str], str]]:
    """Level, properties and message of the commands that GitHub's runner obeys in `output`."""
    found, stopped = [], ""
    for line in output.splitlines():
        command = re.fullmatch(r"\s*::([\w-]+)(?: ([^:]*))?::(.*)", line)
        if command is None:
            assert stopped or "##[" not in line
            continue
        name, properties, message = command.groups()
        if name == stopped:
            stopped = ""
        elif not stopped and name == "stop-commands":
            stopped = message
        elif not stopped:
            pairs = (each.split("=", 1) for each in properties.split(","))
            found.append(
                (name, {key: unescaped(value) for key, value in pairs}, unescaped(message))
            )
    assert not stopped
    return found


def test_each_finding_is_annotated_before_any_is_again(tmp_path: Path) -> None:
    places = [Example(file="a,b:100%.csv", row=row, column="cid") for row in (3, 9)]
    findings = [
        build("SYN-ID-004", table="axon", column="cid"),
        build("SYN-ID-001", table="axon", column="cid", count=2, examples=places),
        build("SYN-INT-003", table="axon", parents="neuron"),
        build(
            "SYN-REL-003", table="vesicle", column="parent_id", examples=[Example(file="/v.csv")]
        ),
    ]
    config = tmp_path / "labs" / "lab.yaml"
    config.parent.mkdir()
    (config.parent / "a,b:100%.csv").symlink_to("/annex/objects/1f2e")  # kept elsewhere
    (tmp_path / "root").symlink_to(tmp_path)
    commands = read("\n".join(workflow_commands(findings, config, tmp_path / "root")))
    assert [
        (level, each["title"][:10], each["file"], each.get("line")) for level, each, _ in commands
    ] == [
        ("error", "SYN-ID-001", "labs/a,b:100%.csv", "3"),
        ("error", "SYN-REL-00", "/v.csv", None),
        ("warning", "SYN-INT-00", "labs/lab.yaml", None),
        ("notice", "SYN-ID-004", "labs/lab.yaml", None),
        ("error", "SYN-ID-001", "labs/a,b:100%.csv", "9"),
    ]
    message = commands[0][2].splitlines()
    assert message[1] == str(places[0])
    assert message[2].startswith("-> Give each row a key")


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Lab:
    """A repository with tables of which one is wrong, and its values commands of GitHub."""
    lab = Lab(tmp_path_factory.mktemp("repository"))
    data = lab.folder / "data"
    data.mkdir()
    (data / "axon.csv").write_text(f"cid,voxel_volume\na1,{HOSTILE}\n")
    (data / "right.csv").write_text("cid,voxel_volume\na1,5\n")
    for name, (dataset, file) in DATASETS.items():
        lab.config(name, dataset, {"axon": {"file": file}})
    (lab.folder / "broken.yaml").write_text("dataset: [\n")
    return lab


def test_annotations_lead_to_the_line_and_obey_no_value(repository: Lab) -> None:
    ran = repository.run("check", "wrong.yaml", "--format", "github")
    assert ran.code == 3
    level, where, message = read(ran.out)[0]
    assert (level, where["file"], where["line"]) == ("error", "data/axon.csv", "2")
    assert "50%" in message and "\\x1b" in message
    ran = repository.run("check", "broken.yaml", "--format", "github")
    [(level, where, message)] = read(ran.out)
    assert (ran.code, level, where["file"]) == (2, "error", "broken.yaml")
    assert message in ran.err
    ran = repository.run("check", "wrong.yaml", "--format", "github", "--json")
    assert (ran.code, read(ran.out)) == (2, [])


def run_action(lab: Lab, config: str) -> tuple[list[Ran], dict[str, str]]:
    """Run the action's own steps as GitHub's runner does: the script of each in bash, with its
    variables filled in. Returns how they ended, and the action's outputs.
    """
    action: dict[str, Any] = yaml.safe_load((ROOT / "action.yml").read_text())
    given = {
        "config": config,
        **{n: i["default"] for n, i in action["inputs"].items() if "default" in i},
    }
    temp, output = lab.folder / "temp", lab.folder / "output"
    temp.mkdir(exist_ok=True)
    output.write_text("")
    values = {"runner.temp": str(temp), "steps.python.outputs.python-path": sys.executable}
    values |= {f"inputs.{name}": value for name, value in given.items()}

    def filled(text: str) -> str:
        return re.sub(r"\$\{\{ *([\w.-]+) *\}\}", lambda name: values[name[1]], text)

    ended = []
    for step in action["runs"]["steps"]:
        if "run" not in step or "pip install" in step["run"]:
            continue
        assert "${{" not in step["run"], "an input would be run as a script"
        variables = {name: filled(value) for name, value in step["env"].items()}
        done = subprocess.run(
            ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", step["run"]],
            cwd=lab.folder,
            env=lab.environment | variables | {"GITHUB_OUTPUT": str(output)},
            capture_output=True,
            text=True,
        )
        ended.append(Ran(done.returncode, done.stdout, done.stderr))
        kept = (line.split("=", 1) for line in output.read_text().splitlines())
        values |= {f"steps.{step.get('id')}.outputs.{name}": value for name, value in kept}
    return ended, {name: filled(each["value"]) for name, each in action["outputs"].items()}


@pytest.mark.parametrize(("config", "code"), [("wrong.yaml", 3), ("right.yaml", 0)])
def test_the_action_checks_and_leaves_its_report(repository: Lab, config: str, code: int) -> None:
    (checked, reported), outputs = run_action(repository, config)
    assert checked.code == code, checked.err
    assert reported.code == 0, reported.err
    assert "</html>" in Path(outputs["report"]).read_text()
    verdict = {0: "accepted", 3: "rejected"}[code]
    assert f'"verdict": "{verdict}"' in Path(outputs["json"]).read_text()
    assert (repository.folder / "temp" / "syndb-pipeline").is_dir()


def test_the_hook_runs_at_a_change_of_any_table_or_yaml() -> None:
    [hook] = yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text())
    assert hook["entry"].split()[1:] == ["check"]
    assert not hook["pass_filenames"]
    files = re.compile(hook["files"])
    suffixes = [suffix for each in every_format() for suffix in each.suffixes]
    for suffix in (*suffixes, ".yaml", ".yml"):
        assert files.search(f"datasets/table{suffix}"), suffix
    assert not files.search("notes.md")
