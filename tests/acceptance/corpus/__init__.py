"""A corpus of wrong inputs, each a real set with one small mistake, and the findings it must raise.

Belongs here: all cases in one order, and the sets as they are. Does not: how a case is run
(`case.py`), real tables (read where they lie).
"""

from __future__ import annotations

from tests.acceptance.corpus import (
    as_found,
    columns,
    configs,
    files_beside,
    harmless,
    keys,
    measures,
    numbers,
    references,
    relations,
    text_files,
    untrusted,
    workbooks,
)
from tests.acceptance.corpus.case import Case

WRONG: tuple[Case, ...] = (
    *references.CASES,
    *keys.CASES,
    *relations.CASES,
    *numbers.CASES,
    *measures.CASES,
    *columns.CASES,
    *text_files.CASES,
    *workbooks.CASES,
    *files_beside.CASES,
    *untrusted.CASES,
    *configs.CASES,
    *as_found.CASES,
)
"""Wrong inputs: at least one for every rule that a file can trigger."""

CASES: tuple[Case, ...] = (*WRONG, *harmless.CASES)
"""And those in which nothing is wrong."""
