"""The whole corpus, run by two processes, and what it adds up to: recall, precision, and both by
rule.

Belongs here: running and adding up. Does not: judging one case (`case.py`), printing
(`benchmarks/recognition.py`).
"""

from __future__ import annotations

import multiprocessing
import os
import traceback
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from tests.acceptance.corpus import CASES
from tests.acceptance.corpus.case import Outcome, judge
from tests.shortcuts import start_once, write_without_waiting


def outcome_of(data: Path, number: int) -> Outcome:
    """The outcome of case `number`; a traceback is one of its faults. Cases hold functions, so
    their numbers travel between processes.
    """
    case = CASES[number]
    try:
        return judge(case, data)
    except Exception:  # noqa: BLE001 - whatever it is, it is what the corpus is here to show
        expected = case.expected or case.says
        return Outcome(
            case.name,
            tuple(one.code for one in case.expected),
            len(expected),
            faults=(traceback.format_exc(),),
        )


def _quick() -> None:
    write_without_waiting()
    start_once()


def run_corpus(data: Path, numbers: Sequence[int] | None = None) -> list[Outcome]:
    """The outcomes of all cases, or of those with these numbers, in their order."""
    chosen = range(len(CASES)) if numbers is None else numbers
    processes = min(2, os.cpu_count() or 1)
    # Processes of their own from the start: threads of the libraries do not survive a fork.
    with ProcessPoolExecutor(
        processes, multiprocessing.get_context("spawn"), initializer=_quick
    ) as pool:
        return list(pool.map(partial(outcome_of, data), chosen, chunksize=4))


@dataclass(frozen=True)
class Line:
    """One rule's numbers: cases in which it must be found, how often it must be and was, findings
    of it that nothing justifies.
    """

    code: str
    cases: int
    expected: int
    recognised: int
    extra: int


@dataclass(frozen=True)
class Tally:
    """What the outcomes add up to."""

    outcomes: Sequence[Outcome]

    @property
    def lines(self) -> list[Line]:
        """By rule, in the order of their codes."""
        codes = sorted(
            {code for outcome in self.outcomes for code in (*outcome.codes, *outcome.extra)}
        )
        return [
            Line(
                code,
                sum(code in outcome.codes for outcome in self.outcomes),
                sum(outcome.codes.count(code) for outcome in self.outcomes),
                sum(outcome.met.count(code) for outcome in self.outcomes),
                sum(outcome.extra.count(code) for outcome in self.outcomes),
            )
            for code in codes
        ]

    @property
    def expected(self) -> int:
        return sum(outcome.expected for outcome in self.outcomes)

    @property
    def recognised(self) -> int:
        return sum(len(outcome.met) for outcome in self.outcomes)

    @property
    def loud(self) -> int:
        """Warnings and errors about the mistakes."""
        return sum(outcome.loud for outcome in self.outcomes)

    @property
    def extra(self) -> int:
        """Those that nothing justifies."""
        return sum(len(outcome.extra) for outcome in self.outcomes)

    @property
    def failed(self) -> list[Outcome]:
        return [outcome for outcome in self.outcomes if outcome.faults]
