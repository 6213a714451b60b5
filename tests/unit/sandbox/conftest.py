"""One sandbox for all of these tests, with small limits, and a dataset of Ada's in it."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from tests.rest_lab import ADA, Sandbox, register

LIMITS = {
    "table_rows": 1_000_000,
    "table_bytes": 50_000_000,
    "upload_bytes": 60_000_000,
    "object_bytes": 1_000_000,
}


@pytest.fixture(scope="session")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    with Sandbox(tmp_path_factory.mktemp("sandbox") / "sandbox", limits=LIMITS) as running:
        running.create_tags()
        yield running
        assert "Traceback" not in running.log()
        assert "ignature=" not in running.log()
        assert running.memory() < 700_000_000


@pytest.fixture(scope="session")
def ada(sandbox: Sandbox) -> Iterator[httpx.Client]:
    with sandbox.client(ADA) as client:
        yield client


@pytest.fixture
def dataset(ada: httpx.Client) -> str:
    return register(ada)
