"""Every block of code in the documentation works: commands and options that there are, YAML that is
taken, Python and whole pages that run.

Belongs here: blocks by their language, and that the site can be built. Does not: pages that tests of
their own hold, which `ELSEWHERE` names.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from dagster._config import validate_config
from dagster._core.instance.config import dagster_instance_config_schema
from typer.main import get_command

from docs.start.__main__ import page
from docs.start.ways import INSTALL, SCRIPT, WAYS, empty_shell
from syndb_pipeline.cli.main import app
from syndb_pipeline.config.settings import DatasetConfig, load_dataset
from syndb_pipeline.destinations import Settings, load_settings
from tests.campaigns import WHOLE

ROOT = Path(__file__).parents[3]
ELSEWHERE = {
    "findings.md": "tests/unit/rules/test_every_rule.py",
    "tutorial.md": "tests/acceptance/test_tutorial.py",
    "python.md": "tests/unit/test_api.py",
}
_OTHERS = """
    . cd celery conda cp dg docker export git journalctl loginctl mamba mkdir pip python python3
    snakemake systemctl
"""
PROGRAMS = frozenset(re.findall(r"\S+", _OTHERS))
"""What other commands begin with; they are not looked into."""

MAKEFILE = (ROOT / "Makefile").read_text()
METRICS = (ROOT / "syndb_pipeline" / "report" / "metrics.py").read_text()
ACTION = yaml.safe_load((ROOT / "action.yml").read_text())
HOOKS = yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text())
MODULE = (ROOT / "examples" / "snakemake" / "syndb.smk").read_text()
DAGSTER_PROJECT = ROOT / "examples" / "dagster-project"
DATASET = {
    "dataset": {
        "id": "01939c0e-7b1a-7c3e-9f53-6f0c6b1d2a91",
        "label": "a",
        "animal": "MUS_MUSCULUS",
        "microscopy": "ssTEM",
        "brain_regions": [{"structure": "septum"}],
    },
    "tables": {"axon": {"file": "axon.csv"}},
}


def blocks() -> Iterator[Any]:
    for path in (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))):
        if path.name in ELSEWHERE:
            assert (ROOT / ELSEWHERE[path.name]).is_file()
            continue
        text = path.read_text(encoding="utf-8")
        for found in re.finditer(r"^( *)```(\w*)\n(.*?)^\1```", text, re.M | re.S):
            line = text.count("\n", 0, found.start()) + 1
            yield pytest.param(found[2], found[3], id=f"{path.name}:{line}")


def console(text: str) -> None:
    """Commands that there are: after the prompt where there is one, else on every line."""
    lines = text.replace("\\\n", " ").splitlines()
    if any(line.startswith("$ ") for line in lines):
        lines = [line[2:] for line in lines if line.startswith("$ ")]
    for line in lines:
        for words in commands(line):
            if words[0] == "syndb-pipeline":
                takes(words[1:])
            elif words[0] == "make":
                named = [word for word in words[1:] if "=" not in word]
                assert all(re.search(rf"^{name}:", MAKEFILE, re.M) for name in named), line
            else:
                assert words[0] in PROGRAMS, f"{line}: what begins with {words[0]}?"


def commands(line: str) -> Iterator[list[str]]:
    words: list[str] = []
    for word in [*shlex.split(line, comments=True), "&&"]:
        if word in ("&&", "|", ";"):
            if words:
                yield words
            words = []
        elif words or not re.match(r"[A-Z_]+=", word):
            words.append(word)


def takes(words: list[str]) -> None:
    """Parse the arguments of a command of ours, as it does before it starts."""
    group: Any = get_command(app)
    group.commands[words[0]].make_context(words[0], words[1:])


def configuration(text: str) -> None:
    """YAML that whatever reads it takes, known by its keys."""
    content = yaml.safe_load(text)
    if isinstance(content, list):  # rules of Prometheus
        names = re.findall(r"\bsyndb_\w+", "".join(rule["expr"] for rule in content))
        assert names and all(name.removeprefix("syndb_") in METRICS for name in names)
    elif "run_launcher" in content:
        assert validate_config(dagster_instance_config_schema(), content).success
    elif "jobs" in content:
        steps = [step for job in content["jobs"].values() for step in job["steps"]]
        ours = [step for step in steps if "syndb-pipeline@" in step["uses"]]
        outputs = re.findall(r"steps\.syndb\.outputs\.(\w+)", text)
        assert ours and all(set(step["with"]) <= set(ACTION["inputs"]) for step in ours)
        assert outputs and set(outputs) <= set(ACTION["outputs"])
    elif "repos" in content:
        used = [hook["id"] for repo in content["repos"] for hook in repo["hooks"]]
        assert used and set(used) <= {hook["id"] for hook in HOOKS}
    elif "attributes" in content:  # components, which test_other_projects.py runs
        assert any(each.read_text() == text for each in DAGSTER_PROJECT.rglob("defs.yaml"))
    elif "syndb" in content:
        assert all(f'config["{key}"]' in MODULE for key in content["syndb"])
    elif set(content) <= set(DatasetConfig.model_fields):
        shown = content if "dataset" in content else DATASET | content
        Path("dataset.yaml").write_text(text if "dataset" in content else yaml.safe_dump(shown))
        load_dataset(Path("dataset.yaml"))
    else:
        assert set(content) <= set(Settings.model_fields), "of which file are these keys?"
        for name in re.findall(r"\$\{(\w+)\}", text):
            os.environ[name] = "https://example.org/hook"
        Path("pipeline.yaml").write_text(text)
        load_settings(Path("pipeline.yaml"))


def python(text: str) -> None:
    compile(text, "page", "exec")


def snakemake(text: str) -> None:
    own = (ROOT / "examples" / "snakemake" / "Snakefile").read_text()
    assert text in own


KINDS = {
    "console": console,
    "yaml": configuration,
    "json": json.loads,
    "python": python,  # start.md's run below, python.md's in test_api.py, dagster.md's beside
    "snakemake": snakemake,
    "csv": lambda text: None,  # what a file looks like
    "text": lambda text: None,  # what is printed
}


@pytest.mark.parametrize(("language", "text"), [*blocks()])
def test_a_block_works(
    language: str, text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(os, "environ", os.environ.copy())
    assert language in KINDS, "say here how blocks of this language are tested"
    assert not (language == "text" and text.startswith(("syndb-pipeline", "$ "))), "a console block"
    KINDS[language](text)


@pytest.mark.parametrize("broken", ["syndb-pipeline chek a", "syndb-pipeline check a --formt x"])
def test_a_command_that_there_is_not_is_seen(broken: str) -> None:
    with pytest.raises(Exception, match=r"chek|formt"):
        console(broken)


def test_the_start_page_is_of_these_ways() -> None:
    text = (ROOT / "docs" / "start.md").read_text(encoding="utf-8")
    shown = re.findall(r"```console\n(.*?)\n```", text, re.S)
    printed = dict(zip(("install", *WAYS), shown, strict=True))
    assert page(printed) == text, "docs/start.md is older than docs/start/: make start-page"
    for name, commands in (("install", INSTALL), *WAYS.items()):
        given = re.findall(r"^\$ (.*)$", printed[name], re.M)
        assert given == [each.text for each in commands], "make start-page"
        assert all(len(line) <= 80 for line in printed[name].splitlines())
    assert all(len(INSTALL) + len(way) < 10 for way in WAYS.values())
    assert not re.search(r"(?<![\w.~])/(?:home|tmp|work|root|var)/", text)


QUICK = ("command_line",)


@pytest.mark.parametrize("name", WAYS if WHOLE else QUICK)
def test_a_way_leads_to_an_accepted_dataset(name: str, tmp_path: Path) -> None:
    shell = empty_shell(tmp_path / "home", ROOT)
    (shell.folder / "first.py").write_text(SCRIPT)
    shell.environment["PYTHONPATH"] = str(ROOT)
    programs = str(Path(sys.executable).parent)
    shell.environment["PATH"] = os.pathsep.join((programs, shell.environment["PATH"]))
    for each in WAYS[name]:
        if not each.text.startswith("pip install"):
            shell.run(each)


def anchors(page: Path) -> set[str]:
    """Those of a page's headings, as GitHub and the site make them."""
    text = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.M | re.S)
    headings = re.findall(r"^#+ (.*)$", text, re.M)
    return {re.sub(r"[^\w -]", "", each).strip().lower().replace(" ", "-") for each in headings}


def test_every_link_leads_to_a_page_and_a_heading() -> None:
    for page_ in (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))):
        text = re.sub(r"^```.*?^```", "", page_.read_text(encoding="utf-8"), flags=re.M | re.S)
        for link, anchor in re.findall(r"\]\((?!\w+:)([^)#\s]*)(?:#([^)\s]*))?\)", text):
            target = (page_.parent / link).resolve() if link else page_
            assert target.exists(), f"{page_.name}: {link}"
            assert not anchor or anchor in anchors(target), f"{page_.name}: {link}#{anchor}"


@pytest.mark.skipif(not WHOLE, reason="a sample of the tests; `make docs-site` is as strict")
def test_the_site_is_built_and_asks_nothing_of_any_network(tmp_path: Path) -> None:
    pytest.importorskip(
        "mkdocs", reason="mkdocs is not installed: pip install 'syndb-pipeline[docs]'"
    )
    from mkdocs.commands.build import build
    from mkdocs.config import load_config

    build(load_config(str(ROOT / "mkdocs.yml"), site_dir=str(tmp_path)))  # strict: warnings raise
    pages = {
        path.relative_to(tmp_path).as_posix(): path.read_text() for path in tmp_path.rglob("*.html")
    }
    assert {"index.html", "start.html", "reference/cli.html", "changes.html"} <= set(pages)
    for name, text in pages.items():
        assert not re.search(r"<(?:script|link|img)[^>]*(?:src|href)=\"?https?:", text), name
    assert "on_invalid" in pages["reference/dataset.html"]
    assert "--format" in pages["reference/cli.html"]
    assert "publish" in pages["reference/python.html"]
