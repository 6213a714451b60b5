"""What holds for every test.

Belongs here: how the run begins, and `started_each`. Does not: fixtures of one kind of test.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest

from tests import campaigns, shortcuts

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # A shell starts its background jobs so, and whatever they start: tests that press Ctrl+C would
    # wait for ever.
    signal.signal(signal.SIGINT, signal.default_int_handler)

shortcuts.write_without_waiting()
shortcuts.start_once()


def pytest_report_header() -> str:
    drawn = (
        "whole"
        if campaigns.WHOLE
        else (
            f"sampled, SYNDB_TEST_SEED={campaigns.SEED} draws the same again; the whole: make"
            " test-thorough"
        )
    )
    return f"long campaigns: {drawn}"


@pytest.fixture
def started_each() -> Iterator[None]:
    """DuckDB and the process for opening files start as a command starts them: each by itself."""
    shortcuts.start_each()
    yield
    shortcuts.start_once()
