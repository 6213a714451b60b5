"""How much of a long campaign of cases a test run tries: a sample, drawn by a seed that pytest
prints, or the whole.

Belongs here: the seed and the drawing. Does not: any campaign.

`make test` draws a sample, `make test-thorough` (SYNDB_TESTS=all) tries every case. SYNDB_TEST_SEED=17
draws the sample of that seed again.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Sequence
from random import Random
from typing import Final, TypeVar

_Case = TypeVar("_Case")

# Set before the processes of pytest-xdist start, so that all of them draw the same.
SEED: Final = int(os.environ.setdefault("SYNDB_TEST_SEED", str(secrets.randbelow(1_000_000))))
WHOLE: Final = os.environ.get("SYNDB_TESTS", "") == "all"


def sampled(campaign: str, cases: Sequence[_Case], at_most: int) -> list[_Case]:
    """At most so many of `cases`, in their order: others for each seed and each campaign; all of
    them where the whole is asked for.
    """
    if WHOLE or len(cases) <= at_most:
        return list(cases)
    return [
        cases[number]
        for number in sorted(Random(f"{SEED} {campaign}").sample(range(len(cases)), at_most))
    ]


def examples(at_most: int, whole: int) -> int:
    """How many examples a property is tried on."""
    return whole if WHOLE else at_most
