"""The arrows of the architecture: who may import whom, and that every module says what belongs in it."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
DOMAIN = sorted((ROOT / "syndb_pipeline").rglob("*.py"))
EVERYTHING = sorted([*DOMAIN, *(ROOT / "dagster_defs").rglob("*.py"), *(ROOT / "benchmarks").rglob("*.py")])


def name_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports_of(path: Path) -> set[str]:
    """Every module that `path` imports anywhere, inside functions as well."""
    found: set[str] = set()
    package = name_of(path).split(".") if path.name == "__init__.py" else name_of(path).split(".")[:-1]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            found |= {f"{base}.{alias.name}" for alias in node.names} | {base}
    return found


def offenders(below: str, forbidden: tuple[str, ...]) -> dict[str, list[str]]:
    """Modules at or below `below` with the imports of theirs that start with one of `forbidden`."""
    hits = {}
    for path in DOMAIN:
        name = name_of(path)
        if name == below or name.startswith(below + "."):
            bad = sorted(m for m in imports_of(path) if any(m == word or m.startswith(word + ".") for word in forbidden))
            if bad:
                hits[name] = bad
    return hits


def test_the_scan_sees_imports(tmp_path: Path) -> None:
    seen = set().union(*(imports_of(path) for path in DOMAIN))
    assert {"duckdb", "syndb_pipeline.engine", "syndb_pipeline.contract.tables"} <= seen


def test_the_domain_imports_no_dagster() -> None:
    names = ("dagster", "dagster_defs", "dagster_webserver", "dagster_shared", "dagster_graphql")
    assert offenders("syndb_pipeline", names) == {}


@pytest.mark.parametrize(
    ("below", "never"),
    [
        ("syndb_pipeline.destinations", ("syndb_pipeline.stages", "syndb_pipeline.readers", "syndb_pipeline.cli")),
        (
            "syndb_pipeline.contract",
            ("syndb_pipeline.stages", "syndb_pipeline.readers", "syndb_pipeline.destinations", "syndb_pipeline.cli"),
        ),
        ("syndb_pipeline.findings", ("syndb_pipeline.readers", "syndb_pipeline.destinations", "syndb_pipeline.cli")),
        ("syndb_pipeline.readers", ("syndb_pipeline.corrections", "syndb_pipeline.destinations", "syndb_pipeline.cli")),
        ("syndb_pipeline.corrections", ("syndb_pipeline.destinations", "syndb_pipeline.publication", "syndb_pipeline.cli")),
        ("syndb_pipeline.stages", ("syndb_pipeline.corrections", "syndb_pipeline.cli", "httpx")),
        ("syndb_pipeline.stages.runner", ("syndb_pipeline.destinations",)),
        ("syndb_pipeline.stages.package", ("syndb_pipeline.destinations",)),
        ("syndb_pipeline.engine", ("syndb_pipeline.stages", "syndb_pipeline.settings", "syndb_pipeline.findings")),
        ("syndb_pipeline.store", ("syndb_pipeline.stages", "syndb_pipeline.settings")),
        ("syndb_pipeline.demo", ("syndb_pipeline.stages", "syndb_pipeline.cli")),
    ],
)
def test_arrows_point_one_way(below: str, never: tuple[str, ...]) -> None:
    assert any(name_of(path).startswith(below) for path in DOMAIN)
    assert offenders(below, never) == {}


def test_importing_every_module_loads_no_dagster() -> None:
    modules = [name_of(path) for path in DOMAIN if path.name != "__main__.py"]
    script = (
        "import importlib, sys\n"
        f"for name in {modules!r}: importlib.import_module(name)\n"
        "print(sorted(name for name in sys.modules if name.split('.')[0].startswith('dagster')))\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "[]"


def test_the_stages_load_nothing_that_only_wrong_or_odd_data_need() -> None:
    late = ("pandera", "hypothesis", "pyarrow.compute", "python_calamine", "syndb_pipeline.contract.schema", "syndb_pipeline.readers.glb")
    script = f"import sys, syndb_pipeline.cli, syndb_pipeline.publication.plan\nprint([name for name in {late!r} if name in sys.modules])\n"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("path", EVERYTHING, ids=name_of)
def test_every_module_says_what_belongs_in_it(path: Path) -> None:
    docstring = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    lines = docstring.splitlines()
    assert len(lines) >= 3, "a first line, an empty one, and what belongs here"
    assert lines[0].endswith((".", "?")), lines[0]
    assert "Belongs here:" in docstring
    assert "Does not:" in docstring


@pytest.mark.parametrize("path", EVERYTHING, ids=name_of)
def test_no_module_is_long(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) < 400
