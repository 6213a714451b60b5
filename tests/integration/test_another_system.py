"""The whole road where our code meets a Windows or a Mac: the same package, names that Windows
takes, and what protects less is said.

Belongs here: what is expected. Does not: how the system is made to seem another
(`tests/another_system.py`).
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path, PureWindowsPath
from typing import Any

import pytest

COMMANDS = {"win32": ["doctor", "check", "run", "ui"], "darwin": ["publish"]}


@pytest.fixture(scope="module")
def walked(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Path, dict[str, Any]]]:
    folders = {system: tmp_path_factory.mktemp(system) for system in COMMANDS}
    started = {
        system: subprocess.Popen(
            [sys.executable, "-m", "tests.another_system", system, str(folder), *COMMANDS[system]],
            cwd=Path(__file__).parents[2],
            stdout=subprocess.PIPE,
        )
        for system, folder in folders.items()
    }
    return {
        system: (folders[system], json.loads(process.communicate(timeout=240)[0]))
        for system, process in started.items()
    }


@pytest.mark.parametrize("system", COMMANDS)
def test_the_demo_reaches_its_receipt(system: str, walked: dict[str, Any]) -> None:
    folder, came = walked[system]
    assert came.pop("limits") == "ended"
    for command, (code, out, err) in came.items():
        assert code == (2 if command == "ui" else 0), (command, out, err)
    assert json.loads(came["run" if system == "win32" else "publish"][1])["receipt"]
    if system == "win32":
        assert "dagster dev -m" in came["ui"][2]
        missing = [
            each["found"]
            for each in json.loads(came["doctor"][1])["checks"]
            if each["name"] == "protection"
        ]
        assert len(missing) == 1 and "secrets" in missing[0] and "watched" in missing[0]
    names = [path.relative_to(folder) for path in folder.rglob("*")]
    assert not [path for path in names if any(map(refused_by_windows, path.parts))]
    assert len({str(path).casefold() for path in names}) == len(names)
    assert max(len(str(path)) for path in names) < 200  # of the 260 that a whole path may have
    assert not [path for path in (folder / "state").rglob("*.json") if b"\r" in path.read_bytes()]


def refused_by_windows(name: str) -> bool:
    return (
        PureWindowsPath(name).is_reserved()
        or any(letter in '<>:"|?*\\' or ord(letter) < 32 for letter in name)
        or name[-1] in ". "
    )


def test_both_make_the_same_package(walked: dict[str, Any]) -> None:
    packages = [
        {path.name: path.read_bytes() for path in folder.glob("state/datasets/*/package/tables/*")}
        for folder, _ in walked.values()
    ]
    assert len(packages[0]) == 11
    assert packages[0] == packages[1]
