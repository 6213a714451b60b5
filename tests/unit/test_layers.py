"""The rooms of the house: which may import which, what may stand beside them, and that every module
says what belongs in it."""

from __future__ import annotations

import ast
import subprocess
import sys

from docs.rooms import PICTURE, ROOMS, ROOT, arrows, imports_of, modules, name_of, picture, room_of

DOMAIN = modules()
EVERYTHING = sorted(
    [*DOMAIN, *(ROOT / "dagster_defs").rglob("*.py"), *(ROOT / "benchmarks").rglob("*.py")]
)


def test_the_scan_sees_imports() -> None:
    seen = set().union(*(imports_of(path) for path in DOMAIN))
    assert {"duckdb", "syndb_pipeline.base.engine", "syndb_pipeline.contract.tables"} <= seen
    assert ("stages", "state") in arrows()


def test_no_import_points_up() -> None:
    """With every room in the list and every arrow pointing down it, there can be no cycle."""
    up = {
        pair: imports
        for pair, imports in arrows().items()
        if pair[0] not in ("", "__main__") and ROOMS.index(pair[1]) > ROOMS.index(pair[0])
    }
    assert up == {}


def test_the_picture_of_the_rooms_is_of_this_code() -> None:
    assert PICTURE.read_text(encoding="utf-8") == picture(), "make architecture"


def test_nothing_stands_beside_the_rooms() -> None:
    package = ROOT / "syndb_pipeline"
    assert {path.stem for path in package.glob("*.py")} <= {"__init__", "__main__", "api"}
    assert {path.parent.name for path in package.glob("*/__init__.py")} <= set(ROOMS)


def test_only_orchestration_imports_dagster_and_no_stage_sends() -> None:
    hits = {
        name_of(path): name
        for path in DOMAIN
        for name in imports_of(path)
        if (name.startswith("dagster") and room_of(name_of(path)) != "orchestration")
        or (name.split(".")[0] == "httpx" and room_of(name_of(path)) == "stages")
    }
    assert hits == {}


def test_importing_every_module_below_orchestration_loads_no_dagster() -> None:
    modules = [
        name_of(path)
        for path in DOMAIN
        if path.name != "__main__.py" and room_of(name_of(path)) != "orchestration"
    ]
    script = (
        "import importlib, sys\n"
        f"for name in {modules!r}: importlib.import_module(name)\n"
        "print(sorted(name for name in sys.modules if name.split('.')[0].startswith('dagster')))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, cwd=ROOT, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "[]"


def test_the_stages_load_nothing_that_only_wrong_or_odd_data_need() -> None:
    late = (
        "pandera",
        "hypothesis",
        "pyarrow.compute",
        "python_calamine",
        "syndb_pipeline.contract.schema",
        "syndb_pipeline.readers.glb",
    )
    script = (
        "import sys, syndb_pipeline.cli.main, syndb_pipeline.publishing.plan\nprint([name for name"
        f" in {late!r} if name in sys.modules])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, cwd=ROOT, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "[]"


def test_every_module_says_what_belongs_in_it() -> None:
    for path in EVERYTHING:
        docstring = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
        summary, _, rest = docstring.partition("\n\n")
        assert summary.endswith((".", "?")), path
        assert "Belongs here:" in rest and "Does not:" in " ".join(rest.split()), path


def test_no_module_is_long() -> None:
    long = {path for path in EVERYTHING if len(path.read_text(encoding="utf-8").splitlines()) > 500}
    assert long == set()
