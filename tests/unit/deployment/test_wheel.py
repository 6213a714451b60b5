"""The wheel, built without a network: what is in it, and what it says of itself."""

from __future__ import annotations

import subprocess
import sys
import tomllib
import zipfile
from configparser import ConfigParser
from email.parser import HeaderParser
from pathlib import Path
from typing import Any

import jinja2
import pytest
import yaml

from tests.oldest import PROJECT, oldest

ROOT = PROJECT.parent
METADATA: dict[str, Any] = tomllib.loads(PROJECT.read_text(encoding="utf-8"))["project"]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    pytest.importorskip("hatchling")
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    [file] = folder.iterdir()
    return zipfile.ZipFile(file)


def test_the_package_alone_is_in_it(wheel: zipfile.ZipFile) -> None:
    names = set(wheel.namelist())
    about = f"syndb_pipeline-{METADATA['version']}.dist-info"
    assert {name.partition("/")[0] for name in names} == {"syndb_pipeline", about}
    kept = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "syndb_pipeline"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split("\n")
    config = "syndb_pipeline/orchestration/operating/dagster.yaml"
    assert {name for name in names if not name.startswith(about)} == {*filter(None, kept), config}
    assert wheel.read(config) == (ROOT / "config/dagster.yaml").read_bytes()
    assert "syndb_pipeline/py.typed" in names


def test_it_runs_by_itself(wheel: zipfile.ZipFile, tmp_path: Path) -> None:
    wheel.extractall(tmp_path / "installed")
    entries = ConfigParser()
    entries.optionxform = str  # type: ignore[assignment, method-assign]
    [file] = [name for name in wheel.namelist() if name.endswith("entry_points.txt")]
    entries.read_string(wheel.read(file).decode())
    loaded = [
        f"EntryPoint({name!r}, {place!r}, {group!r}).load()"
        for group in entries.sections()
        for name, place in entries[group].items()
    ]
    assert len(loaded) >= 4
    code = f"""import sys; sys.path.insert(0, {str(tmp_path / "installed")!r})
from importlib.metadata import EntryPoint
{"; ".join(loaded)}
from syndb_pipeline.orchestration.operating.home import instance_config
assert "run_coordinator" in instance_config()
assert sys.modules["syndb_pipeline"].__file__.startswith({str(tmp_path)!r})
sys.argv[1:] = ["demo", "lab"]
from syndb_pipeline.cli.main import main
main()"""
    ran = subprocess.run(
        [sys.executable, "-P", "-c", code], cwd=tmp_path, capture_output=True, text=True
    )
    assert ran.returncode == 0, ran.stderr
    assert (tmp_path / "lab/demo.yaml").is_file()


def test_it_says_what_it_is(wheel: zipfile.ZipFile) -> None:
    [file] = [name for name in wheel.namelist() if name.endswith("dist-info/METADATA")]
    says = HeaderParser().parsestr(wheel.read(file).decode())
    assert says["License-Expression"] == "BSD-3-Clause" and says["Requires-Python"] == ">=3.11"
    tried = (ROOT / "docs/platforms.md").read_text(encoding="utf-8")
    versions = [
        name.rpartition(" ")[2]
        for name in says.get_all("Classifier", [])
        if name.startswith("Programming Language :: Python :: 3.")
    ]
    assert versions and all(version in tried for version in versions)
    assert all(">=" in need for need in METADATA["dependencies"])
    assert len(oldest()) == len(set(oldest())) > len(METADATA["dependencies"])


def test_the_conda_recipe_needs_what_the_wheel_needs() -> None:
    text = (ROOT / "deploy/conda/meta.yaml").read_text(encoding="utf-8")
    made = (
        jinja2.Environment(undefined=jinja2.StrictUndefined)
        .from_string(text)
        .render(
            PYTHON="python",
            load_file_data=lambda path, from_recipe_dir: tomllib.loads(
                (ROOT / "deploy/conda" / path).resolve().read_text(encoding="utf-8")
            ),
        )
    )
    recipe = yaml.safe_load(made)
    assert recipe["package"] == {"name": "syndb-pipeline", "version": METADATA["version"]}
    assert len(recipe["requirements"]["run"]) == 1 + len(METADATA["dependencies"])
    assert "pandera-polars>=" in made and not [
        need for need in recipe["requirements"]["run"] if "[" in need
    ]
    assert recipe["build"]["entry_points"] == ["syndb-pipeline = syndb_pipeline.cli.main:main"]
