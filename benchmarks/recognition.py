"""The recognition command: how many mistakes in real tables are recognised, and how much is said
that is not about them.

Belongs here: running the corpus of wrong inputs and printing recall and precision. Does not: the
corpus (`tests/acceptance/corpus`). Run it with `make recognition`; the environment variable
SYNDB_ACCEPTANCE_DATA names the folder of real tables.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path

from tests.acceptance.corpus import CASES
from tests.acceptance.corpus.tally import Tally, run_corpus

VARIABLE = "SYNDB_ACCEPTANCE_DATA"


def percent(part: int, whole: int) -> str:
    """`part` of `whole` in words, rounded so that only all of them are 100.0 %."""
    share = 100.0 if part == whole else min(100 * part / whole, 99.9)
    return f"{share:.1f} % ({part} of {whole})"


def report(tally: Tally, seconds: float) -> str:
    """The numbers by rule, every case that failed with the reasons, and the totals last."""
    lines = [f"{'rule':<14}{'cases':>7}{'expected':>10}{'recognised':>12}{'extra':>7}"]
    lines += [
        f"{line.code:<14}{line.cases:>7}{line.expected:>10}{line.recognised:>12}{line.extra:>7}"
        for line in tally.lines
    ]
    for outcome in tally.failed:
        lines += ["", f"FAILED {outcome.name}", *(f"  {fault}" for fault in outcome.faults)]
    harmless = sum(not outcome.expected for outcome in tally.outcomes)
    lines += [
        "",
        (
            f"{len(tally.outcomes) - harmless} wrong inputs and {harmless} right ones in"
            f" {seconds:.0f} s, {len(tally.failed)} failed"
        ),
        (
            f"recall {percent(tally.recognised, tally.expected)}, precision"
            f" {percent(tally.loud - tally.extra, tally.loud)}"
        ),
    ]
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(
        description="Print how well mistakes in real tables are recognised."
    )
    parser.add_argument(
        "only",
        nargs="*",
        metavar="WORD",
        help="only cases with one of these words in their name, or these codes",
    )
    only: list[str] = parser.parse_args().only
    data = Path(os.environ.get(VARIABLE, ""))
    if not os.environ.get(VARIABLE) or not data.is_dir():
        print(
            f"{VARIABLE} must name the folder of real tables that other labs measured.",
            file=sys.stderr,
        )
        return 2
    chosen = [
        number
        for number, case in enumerate(CASES)
        if not only
        or any(
            word in case.name or word in [expected.code for expected in case.expected]
            for word in only
        )
    ]
    if not chosen:
        print("No case has such a word or code.", file=sys.stderr)
        return 2
    clock = time.perf_counter()
    tally = Tally(run_corpus(data.resolve(), chosen))
    print(report(tally, time.perf_counter() - clock))
    return 1 if tally.failed else 0


if __name__ == "__main__":
    sys.exit(main())
