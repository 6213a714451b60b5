"""What labs bring that was once accepted although it was wrong, or refused for the wrong reason:
each case must come out as it says.

Belongs here: reading a folder of cases and holding a run against `expected.yaml`. Does not: inputs
of our own (`corpus/`).
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import pytest
import yaml

from syndb_pipeline.base.engine import parquet
from syndb_pipeline.cli.main import main
from syndb_pipeline.config.settings import load_dataset
from syndb_pipeline.destinations import load_settings
from syndb_pipeline.state.stage import Context
from tests.harm import harms

VARIABLE = "SYNDB_ACCEPTANCE_CASES"
CASES = Path(os.environ.get(VARIABLE, ""))
SLUGS = (
    sorted(path.parent.name for path in CASES.glob("*/expected.yaml"))
    if os.environ.get(VARIABLE)
    else []
)


@dataclass(frozen=True)
class Came:
    """What came of a case: the exit code, and what a person or a program could read of it."""

    exit: int
    text: str
    report: dict[str, Any]
    state: Path

    @property
    def codes(self) -> set[str]:
        return {finding["code"] for finding in self.report.get("findings", ())}

    def column(self, stage: str, table: str, column: str) -> list[str]:
        """The values of a column as text, in the order of its rows."""
        [path] = self.state.glob(f"datasets/*/{stage}/{table}.parquet")
        query = (
            f'SELECT "{column}"::VARCHAR FROM {parquet(path, row_number=True)} ORDER BY'
            " file_row_number"
        )
        return [value for (value,) in duckdb.connect().execute(query).fetchall()]


def _lacking(came: Came, wanted: dict[str, Any]) -> Iterator[str]:
    """What `wanted` (keys of expected.yaml) asks for and is not so."""
    text = came.text.casefold()
    if "exit" in wanted and came.exit not in wanted["exit"]:
        yield f"exit {came.exit}"
    if "codes_any" in wanted and not came.codes & set(wanted["codes_any"]):
        yield f"none of {wanted['codes_any']} among {sorted(came.codes)}"
    if came.codes & set(wanted.get("codes_none", ())):
        yield f"{sorted(came.codes & set(wanted['codes_none']))} must not be there"
    if "text_any" in wanted and not any(words.casefold() in text for words in wanted["text_any"]):
        yield f"none of the words {wanted['text_any']}"
    yield from (
        f"not the words {words!r}"
        for words in wanted.get("text_all", ())
        if words.casefold() not in text
    )
    yield from (
        f"the words {words!r} must not be there"
        for words in wanted.get("text_none", ())
        if words.casefold() in text
    )
    for table, rows in wanted.get("passed", {}).items():
        if (passed := came.report["tables"][table]["passed"]) != rows:
            yield f"{passed} rows of {table} passed, not {rows}"
    for table, keys in wanted.get("keys", {}).items():
        if missing := set(keys) - set(came.column("assign_ids/ids", table, "key")):
            yield f"{table} has no key {sorted(missing)}"
    for table, keys in wanted.get("keys_none", {}).items():
        if wrong := set(keys) & set(came.column("assign_ids/ids", table, "key")):
            yield f"{table} has the keys {sorted(wrong)}"
    for place, values in wanted.get("values", {}).items():
        table, column = place.split(".")
        if (found := came.column("ingest/tables", table, column)) != values:
            yield f"{place} is {found}"
    if "either" in wanted:
        lacking = [list(_lacking(came, one)) for one in wanted["either"]]
        if all(lacking):
            yield f"either of {lacking}"


@pytest.fixture
def command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str, str]]:
    """Give a command of syndb-pipeline in this process: its exit code, what it printed, and what it
    printed on standard error.
    """
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["syndb-pipeline", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        printed = capsys.readouterr()
        assert isinstance(ended.value.code, int)
        return ended.value.code, printed.out, printed.err

    return run


needs_cases = pytest.mark.skipif(
    not SLUGS,
    reason=f"{VARIABLE} is not set: it names a folder of small inputs with what must come of each",
)


def _copied(slug: str, folder: Path) -> tuple[Path, dict[str, Any]]:
    """The lab's files and its YAML in a folder of their own, and what must come of them."""
    lab = folder / "lab"
    shutil.copytree(
        CASES / slug,
        lab,
        ignore=shutil.ignore_patterns("expected.yaml"),
        copy_function=shutil.copyfile,
    )
    lab.chmod(0o755)
    return lab / "dataset.yaml", yaml.safe_load(
        (CASES / slug / "expected.yaml").read_text(encoding="utf-8")
    )


@needs_cases
@pytest.mark.parametrize("slug", SLUGS)
def test_a_case_comes_out_as_it_says_and_its_settings_do_no_harm(
    slug: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    command: Callable[..., tuple[int, str, str]],
) -> None:
    config, wanted = _copied(slug, tmp_path)
    state = tmp_path / wanted.get("state_in", "") / "state"
    node = tmp_path / wanted.get("node_in", "") / "node"
    settings = {
        "state": str(state),
        "destinations": {"local": {"kind": "embedded", "path": str(node)}},
        "threads": 1,
    }
    (tmp_path / "pipeline.yaml").write_text(yaml.safe_dump(settings), encoding="utf-8")

    if wanted["command"] == "init":
        config.unlink()
        code, out, err = command("init", str(config.parent))
        came = Came(code, out + err + config.read_text(encoding="utf-8"), {}, state)
    else:
        code, out, err = command("check", str(config), "--json")
        report = json.loads(out) if out else {}
        if wanted["command"] == "publish" and code == 0:
            _, planned, _ = command("plan", str(config), "--json")
            code, out, err = command(
                "publish", str(config), "--approve", json.loads(planned)["digest"], "--json"
            )
        came = Came(
            code, json.dumps(report.get("findings", []), ensure_ascii=False) + err, report, state
        )

    lacking = list(_lacking(came, wanted))
    assert not lacking, (
        f"{'; '.join(lacking)}\nright: {wanted['right']}\ncame: exit {came.exit}\n{came.text}"
    )
    if wanted["command"] != "init":  # which prints no findings
        context = Context(load_dataset(config), load_settings(tmp_path / "pipeline.yaml"))
        assert list(harms(context)) == []
