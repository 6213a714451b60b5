"""The lock files: names, versions and hashes, nothing about the machine that wrote them, and in
step with pyproject.toml.
"""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[2]
LOCKS = ("requirements.lock", "requirements-dev.lock")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]

RUNTIME = PROJECT["dependencies"] + PROJECT["optional-dependencies"]["sandbox"]


def pins(lock: str) -> dict[str, str]:
    text = (ROOT / lock).read_text(encoding="utf-8")
    return {
        canonicalize_name(name): version
        for name, version in re.findall(
            r"(?m)^([A-Za-z0-9._-]+)(?:\[[a-z0-9,._-]+\])?==(\S+)", text
        )
    }


@pytest.mark.parametrize("lock", LOCKS)
def test_a_lock_holds_names_versions_and_hashes_only(lock: str) -> None:
    entries = []
    for line in (ROOT / lock).read_text(encoding="utf-8").splitlines():
        if not line or line.lstrip().startswith("#"):
            assert "://" not in line
            assert not re.search(r"(^|\s)(/|-i |--index|--find|--extra|--trusted)", line), line
        elif line.startswith(" "):
            assert re.fullmatch(r"    --hash=sha256:[0-9a-f]{64}( \\)?", line), line
            entries[-1] += 1
        else:
            assert re.fullmatch(
                r"[A-Za-z0-9._-]+(\[[a-z0-9,._-]+\])?==[A-Za-z0-9.!+]+( ; .+)? \\", line
            ), line
            entries.append(0)
    assert entries
    assert all(entries), "every package has a hash"


def test_the_development_lock_holds_the_runtime_lock() -> None:
    runtime, development = (pins(lock) for lock in LOCKS)
    assert runtime.items() <= development.items()


@pytest.mark.parametrize(
    ("lock", "wanted"),
    [
        (LOCKS[0], RUNTIME),
        (LOCKS[1], RUNTIME + PROJECT["optional-dependencies"]["dev"]),
    ],
)
def test_a_lock_satisfies_the_project(lock: str, wanted: list[str]) -> None:
    pinned = pins(lock)
    for text in wanted:
        requirement = Requirement(text)
        assert requirement.specifier.contains(pinned[canonicalize_name(requirement.name)]), (
            f"{text}: write the locks anew with `make lock`"
        )
