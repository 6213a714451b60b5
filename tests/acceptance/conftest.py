"""Where the real tables are, and a lab to run them in.

Belongs here: fixtures of the acceptance tests. Does not: the numbers they must give.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.command_line import Lab

VARIABLE = "SYNDB_ACCEPTANCE_DATA"


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "slow: takes seconds, on more than a million rows")


class LabInside(Lab):
    """A lab whose commands are given in this process."""

    run = Lab.call  # type: ignore[assignment]


@pytest.fixture(scope="session")
def data() -> Path:
    """The folder of real tables. They are read where they lie and never edited."""
    named = os.environ.get(VARIABLE, "")
    if not named:
        pytest.skip(
            f"{VARIABLE} is not set: it names the folder of real tables that other labs measured"
        )
    if not Path(named).is_dir():
        pytest.skip(f"{VARIABLE} is {named}, which is no folder")
    return Path(named).resolve()


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    return LabInside(tmp_path / "lab", threads=1)
