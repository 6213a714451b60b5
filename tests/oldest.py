"""The oldest version of each package that `pyproject.toml` allows, as pip's constraints.

Belongs here: reading them off the ranges (`make oldest`). Does not: which ranges there are.
"""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

PROJECT = Path(__file__).parents[1] / "pyproject.toml"
TRIED = ("sandbox", "operate")
"""The extras that are tried with them."""


def oldest() -> list[str]:
    """`name==version` of each direct dependency."""
    project = tomllib.loads(PROJECT.read_text(encoding="utf-8"))["project"]
    extras = (project["optional-dependencies"][name] for name in TRIED)
    lowest = re.compile(r"([A-Za-z0-9._-]+)(?:\[.*\])?>=([0-9.]+)")
    return [
        "==".join(lowest.match(need).groups())  # type: ignore[union-attr]
        for need in sum(extras, project["dependencies"])
    ]


if __name__ == "__main__":
    print("\n".join(oldest()))
