"""The sandbox that tests of the REST destination speak to: one process for each module, without a
script between tests.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.rest_lab import Sandbox


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    with Sandbox(tmp_path_factory.mktemp("sandbox")) as sandbox:
        yield sandbox


@pytest.fixture(autouse=True)
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("syndb_pipeline.destinations.http.session._FIRST_WAIT", 0.01)


@pytest.fixture
def sandbox(server: Sandbox, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Sandbox]:
    monkeypatch.setenv("SYNDB_CREDENTIALS", str(tmp_path / "credentials.json"))
    monkeypatch.setenv("SYNDB_KEYRING", "off")
    for what in ("TOKEN", "USERNAME", "PASSWORD"):
        monkeypatch.delenv(f"SYNDB_{what}__SYNDB", raising=False)
    server.script()
    yield server
    server.script()
