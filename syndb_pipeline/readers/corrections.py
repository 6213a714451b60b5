"""A dataset's corrections: the rows of `corrections/<table>.csv` beside its YAML, which ingest lays
over what it reads.

Belongs here: that file as untrusted input, and corrections of whole lines of text. Does not: laying
cells over a table (`overlay.py`), the workbook that corrections come from.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from sys import intern
from typing import Final

from syndb_pipeline.base.digests import digest_file
from syndb_pipeline.base.errors import ConfigError
from syndb_pipeline.base.irregular_files import irregular
from syndb_pipeline.readers import files
from syndb_pipeline.readers.part import MAX_TEXT, Places, Problem
from syndb_pipeline.readers.text.lines import LineTooLong, Record, joined, records

FOLDER: Final = "corrections"
HEADER: Final = ("file", "line", "column", "was", "now")

MAX_BYTES: Final = 100_000_000
MAX_CORRECTIONS: Final = 300_000
"""Limits of a file of corrections: its size, and how many it has; all are in memory."""

REFUSED: Final = "SYN-READ-024"
APPLIED: Final = "SYN-READ-025"

UNTYPED: Final = "the text does not fit the type of its column in the Parquet file, e.g. {now!r}"
NO_ROW: Final = "{file} has no row there"
NO_COLUMN: Final = "{file} has no such column"
NO_LINE: Final = "rows are replaced as a whole in text files only"
CHANGED: Final = "{file} holds another text there than `was`"
ALREADY: Final = "{file} holds the corrected text itself"
"""Why a correction does not apply."""

_REMOVE: Final = "Correct these lines of {source}, or remove them."
_ADVICE: Final = {
    ALREADY: "Remove these lines from {source}.",
    CHANGED: (
        "Look at the places. Where the correction is still right, write the text that the file has"
        " now under `was` in {source}; otherwise remove its line."
    ),
}


Place = tuple[str, int, str]
"""File, line and column of a correction."""


@dataclass(frozen=True, slots=True)
class Correction:
    """The text of one cell as `file` has it, and as it is to be read. `line` is the row as findings
    count it, `column` the lab's name.

    Without `column` it is about the whole row: `was` is its text, and `now` the text of the row or
    rows in its place; none where the row is taken out.
    """

    file: str
    line: int
    column: str
    was: str
    now: str

    @property
    def place(self) -> Place:
        return self.file, self.line, self.column


def path_of(folder: Path, table: str) -> Path:
    """Where the corrections of `table` are, if there are any; `folder` is that of the dataset's
    YAML.
    """
    return folder / FOLDER / f"{table}.csv"


def digest(folder: Path, table: str) -> str:
    """SHA-256 of the corrections of `table`; empty where there are none."""
    path = path_of(folder, table)
    return digest_file(path) if path.is_file() else ""


def find(folder: Path, table: str, allowed: Sequence[Path] | None) -> Path | None:
    """The corrections of `table`. Raises `ConfigError` for what must not be opened; `allowed` are
    pipeline.yaml's `data_folders`.
    """
    path = path_of(folder, table)
    what = irregular(path)
    if what is None and not path.is_file():
        return None
    if what is None and files.outside(path, folder, allowed):
        what = "a link that leads out of the allowed folders"
    if what is None and path.stat().st_size > MAX_BYTES:
        what = f"larger than {MAX_BYTES:,} bytes"
    if what is not None:
        raise ConfigError(f"{FOLDER}/{path.name} is {what}, so it is not read.", next_step=_NEXT)
    return path


def read(path: Path) -> list[Correction]:
    """The corrections in the file at `path`. Raises `ConfigError` with the line of what is none."""
    found: dict[Place, Correction] = {}
    of_cells: dict[tuple[str, int], bool] = {}
    rows = _rows(path)
    number, header = next(rows, (1, []))
    if tuple(header) != HEADER:
        raise _wrong(path, number, f"the header has to be {','.join(HEADER)}")
    for number, values in rows:
        if len(values) != len(HEADER):
            raise _wrong(path, number, f"it has {len(values)} values in place of {len(HEADER)}")
        if len(found) == MAX_CORRECTIONS:
            raise _wrong(path, number, f"it has more than {MAX_CORRECTIONS:,} corrections")
        file, line, column, was, now = values
        if not (line.isascii() and line.isdecimal() and int(line[:19]) > 0 and len(line) < 19):
            raise _wrong(path, number, f"{line[:40]!r} is not the number of a line")
        each = Correction(intern(file), int(line), intern(column), was, now)
        cells = of_cells.setdefault((each.file, each.line), bool(column))
        if each.place in found or cells != bool(column):
            twice = f"line {line} of {file} is corrected twice, or as a whole and cell by cell"
            raise _wrong(path, number, twice)
        found[each.place] = each
    return list(found.values())


def as_csv(corrections: Iterable[Correction]) -> str:
    """`corrections` as the text of their file, in the order of their places."""
    rows = [
        (each.file, str(each.line), each.column, each.was, each.now)
        for each in sorted(corrections, key=lambda each: each.place)
    ]
    return "".join(row_text(row, ",") + "\n" for row in (HEADER, *rows))


def row_text(values: Sequence[str], delimiter: str | None) -> str:
    """A row as one text: what `was` holds for a whole row. `delimiter` is that of its file, if it
    is of text.
    """
    return unified(
        joined([value.encode() for value in values], (delimiter or ",").encode()).decode()
    )


def unified(text: str) -> str:
    """`text` with its line ends as line feeds, for version control and spreadsheets change them."""
    return text.replace("\r\n", "\n")


def _rows(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Line and values of each row of the file."""
    try:
        for record in records(path, b",", b"\n"):
            if record.fault:
                raise _wrong(path, record.line, "a quotation mark is not closed properly")
            try:
                values = [value.decode() for value in record.values]
            except UnicodeDecodeError:
                raise _wrong(path, record.line, "it is not UTF-8 text") from None
            if not record.blank:
                yield record.line, values
    except LineTooLong as error:
        raise _wrong(path, error.number, "it is too long") from None


_NEXT: Final = "Correct the file, or remove it to read the lab's files as they are."


def _wrong(path: Path, line: int, reason: str) -> ConfigError:
    return ConfigError(f"{FOLDER}/{path.name}, line {line}: {reason}.", next_step=_NEXT)


def by_file(folder: Path, table: str, witness: files.Witness) -> dict[str, FileCorrections]:
    """The corrections of `table` by the file they are of; `witness` is the one that hashed them."""
    path = path_of(folder, table)
    found: dict[str, FileCorrections] = {}
    if path.is_file():
        for each in read(path):
            fixes = found.setdefault(each.file, FileCorrections(each.file, f"{FOLDER}/{path.name}"))
            fixes.every.append(each)
            if not each.column:
                fixes.rows[each.line] = each
        witness.confirm(path)
    return found


@dataclass
class FileCorrections:
    """The corrections of one file, and what became of each that was settled: `outcome` is empty
    where it applies, or says why not.

    `source` is the file they are from, as people know it.
    """

    file: str
    source: str
    every: list[Correction] = field(default_factory=list)
    rows: dict[int, Correction] = field(default_factory=dict)
    sheet: str | None = None
    outcome: dict[Correction, str] = field(default_factory=dict)

    @property
    def replaces(self) -> bool:
        """Whether other rows come in the place of a line, so that the file is to be read line by
        line.
        """
        return any(row.now for row in self.rows.values())

    @property
    def open(self) -> list[Correction]:
        """Those of which nothing became yet."""
        return [each for each in self.every if each not in self.outcome]

    @property
    def applied(self) -> list[Correction]:
        return [each for each, why in self.outcome.items() if not why]

    def settle(self, correction: Correction, found: str) -> bool:
        """Whether `correction` applies to the text `found` in its place, which is noted."""
        why = ""
        if unified(found) != correction.was:
            already = correction.now and unified(found) == correction.now
            why = ALREADY if already else CHANGED
        self.outcome[correction] = why
        return not why

    def in_place(
        self, source: Iterable[Record], delimiter: bytes, scratch: Path
    ) -> Iterator[Record]:
        """The records of a text file, with those that are to be read in the place of some of
        them.
        """
        for record in source:
            row = self.rows.get(record.line)
            if row is None:
                yield record
                continue
            written = record.raw.decode("utf-8", "replace")[:MAX_TEXT]
            values = [value.decode("utf-8", "replace") for value in record.values]
            as_row = row_text(values, delimiter.decode())
            if not self.settle(row, as_row if as_row == row.was else written):
                yield record
            elif row.now:
                text = scratch / "line.txt"
                text.write_bytes(row.now.encode())
                for new in records(text, delimiter, b"\n"):
                    yield replace(new, line=record.line, spans=1)

    def problems(self) -> Iterator[Problem]:
        """What is to be said of the corrections."""
        if applied := self.applied:
            rows = [each for each in applied if not each.column]
            counts = {
                "cell{s} corrected": len(applied) - len(rows),
                "row{s} rewritten": sum(bool(each.now) for each in rows),
                "row{s} removed": sum(not each.now for each in rows),
            }
            what = ", ".join(
                f"{count:,} {text.format(s='' if count == 1 else 's')}"
                for text, count in counts.items()
                if count
            )
            yield from self._problem(applied, APPLIED, what=what)
        for why in dict.fromkeys(filter(None, self.outcome.values())):
            those = [each for each, reason in self.outcome.items() if reason == why]
            advice = _ADVICE.get(why, _REMOVE).format(source=self.source)
            reason = why.format(file=self.file, now=those[0].now)
            for problem in self._problem(those, REFUSED, reason=reason, advice=advice):
                yield replace(problem, severity="hint" if why == ALREADY else None)

    def unread(self, table: str) -> list[Problem]:
        """What is to be said where `table` does not read the file."""
        found = self._problem(
            self.every,
            REFUSED,
            reason=f"{table} does not read {self.file}",
            advice=_REMOVE.format(source=self.source),
        )
        return [replace(problem, severity="warning") for problem in found]

    def _problem(
        self, corrections: Iterable[Correction], code: str, **values: str
    ) -> list[Problem]:
        places = Places(self.file, self.sheet)
        for each in sorted(corrections, key=lambda each: each.place):
            places.add(each.line, each.was, each.column or None)
        return places.problem(code, source=self.source, **values)
