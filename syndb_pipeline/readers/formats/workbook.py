"""Workbooks: .xlsx, .xlsm and .xls, opened behind the fence.

Belongs here: what a workbook may take, single cells of one. Does not: its sheets and cells
(`readers/workbook/`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final, TypeVar

from syndb_pipeline.config.table_settings import TableConfig
from syndb_pipeline.contract.tables import Table
from syndb_pipeline.readers.fence import LimitReached
from syndb_pipeline.readers.formats import Format, Glimpse, LabFile, Means, Texts
from syndb_pipeline.readers.part import Part, cannot_read, refused
from syndb_pipeline.readers.workbook import workbooks
from syndb_pipeline.readers.workbook.package import EXPORT

_COMPOUND: Final = b"\xd0\xcf"  # also .xlsx that is protected by a password
Answer = TypeVar("Answer")

_OTHER_PROCESS: Final = 186_000_000
"""Of the run's memory limit: what the process of the run holds while a workbook is read."""

_LEAST_MEMORY: Final = 164_000_000
_FREE_MEMORY: Final = 330_000_000
"""What reading may take whatever the file's size: a small one that takes more is not what it seems.
"""

_MEMORY_PER_BYTE: Final = 200
"""Beyond that. Compressed 10 to 1, a cell takes 2 to 5 bytes in the file and 72 and its text in
memory.
"""

_SECONDS: Final = 10
_BYTES_PER_SECOND: Final = 100_000
"""Of processor time, beside `_SECONDS`: reading is some ten times as fast."""


def _read(path: Path, file: str, table: Table, config: TableConfig, means: Means) -> Part:
    return _fenced(workbooks.read, path, file, means, file, table.name, config, means.scratch)


def _peek(path: Path, means: Means, count: int) -> list[Glimpse]:
    sheets = _fenced(workbooks.peek, path, path.name, means, count)
    if not any(rows for _, rows in sheets):
        raise cannot_read(path.name, "every sheet is empty", "")
    return [Glimpse({None: rows}, name if len(sheets) > 1 else None) for name, rows in sheets]


def _fenced(
    function: Callable[..., Answer], path: Path, file: str, means: Means, *arguments: Any
) -> Answer:
    """What `function` gives behind the fence for the workbook at `path` and `arguments`. Raises
    `Unreadable` when it takes too much.
    """
    size = path.stat().st_size
    own = max(means.memory_limit - _OTHER_PROCESS, _LEAST_MEMORY)
    memory = min(own, max(_FREE_MEMORY, _MEMORY_PER_BYTE * size))
    seconds = _SECONDS + size // _BYTES_PER_SECOND
    try:
        return means.fence.call(function, path, *arguments, memory=memory, seconds=seconds)
    except LimitReached:
        reason = (
            f"reading it crashes, does not end, or takes more than {memory / 1e6:,.0f} MB of memory"
        )
        raise refused(file, reason, EXPORT) from None


def _cells(
    lab_file: LabFile, names: Sequence[str], lines: Iterable[int], means: Means
) -> Iterator[Texts]:
    path, header = lab_file.path, lab_file.config.names or lab_file.first_line - 1
    wanted = str(lab_file.sheet), header, list(names), list(lines)
    yield from _fenced(workbooks.cells, path, path.name, means, *wanted)


FORMAT: Final = Format(
    name="workbook",
    suffixes={".xlsx": (b"PK", _COMPOUND), ".xlsm": (b"PK", _COMPOUND), ".xls": (_COMPOUND,)},
    read=_read,
    peek=_peek,
    cells=_cells,
    prepare=workbooks.read,
)
