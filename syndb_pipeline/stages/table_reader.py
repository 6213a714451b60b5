"""The files of one table become one Parquet file: opened, matched with the contract, cast, every
row accounted for.

Belongs here: one table at a time, from its files to its rows. Does not: file formats (`readers/`),
the dataset (`ingest.py`).
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

import duckdb

from syndb_pipeline.base.digests import digest_of
from syndb_pipeline.base.engine import literal, parquet
from syndb_pipeline.checks.dataset import JustRead
from syndb_pipeline.checks.rows import stray_rows
from syndb_pipeline.config.table_settings import TableConfig
from syndb_pipeline.contract.tables import Kind, Table
from syndb_pipeline.contract.vocabularies import nearest
from syndb_pipeline.readers import (
    casts,
    corrections,
    files,
    headers,
    overlay,
)
from syndb_pipeline.readers.fence import Fence
from syndb_pipeline.readers.files import Guard
from syndb_pipeline.readers.formats import Means, format_of, in_words
from syndb_pipeline.readers.part import (
    CUT_OFF,
    DATE_KEY,
    Kept,
    Part,
    Places,
    Problem,
    Unreadable,
    cannot_read,
)
from syndb_pipeline.readers.signatures import look_into
from syndb_pipeline.rules.finding import Example
from syndb_pipeline.stages.part_writer import PartWriter
from syndb_pipeline.state.results import IngestDetails, IngestedFile
from syndb_pipeline.state.row_locations import SOURCES_FILE, Source, SourceMap
from syndb_pipeline.state.stage import Context

READING_KEYS: Final = frozenset(
    {
        "file",
        "columns",
        "ignore",
        "sheet",
        "key",
        "header_row",
        "names",
        "delimiter",
        "encoding",
        "decimal",
        "thousands",
        "units",
        "missing",
    }
)
"""The settings of a table that its reading depends on."""

_OWN_CODES: Final = ("SYN-READ-", "SYN-COL-", "SYN-ID-006")

witness = files.Witness()
"""The files as they were when ingest's `inputs` hashed them; no others are read."""


def own_severities(context: Context) -> dict[str, str]:
    """The severities that the config gives to rules reported while reading."""
    return {
        code: severity
        for code, severity in context.config.rules.items()
        if code.startswith(_OWN_CODES)
    }


def made_from(context: Context, table: str) -> str:
    """Digest of what the rows of `table` depend on beside its files: settings and corrections."""
    settings = context.config.tables[table].model_dump(
        mode="json", include=set(READING_KEYS - {"file"})
    )
    path = corrections.path_of(context.config.folder, table)
    fixes = [witness.seen(path)] if path.is_file() else []
    return digest_of([settings, own_severities(context), *fixes])


@dataclass
class Read:
    """What came of one table. `sources` is empty when the table could not be read."""

    problems: list[Problem] = field(default_factory=list)
    sources: list[Source] = field(default_factory=list)
    rows: int = 0
    unreadable: int = 0
    columns: dict[str, str] = field(default_factory=dict)
    files: list[IngestedFile] = field(default_factory=list)


@dataclass
class TableReader:
    """Reads the files of one table into one Parquet file."""

    context: Context
    connection: duckdb.DuckDBPyConnection
    table: Table
    config: TableConfig
    scratch: Path
    fence: Fence
    ahead: dict[Path, Future[Part]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.scratch.mkdir(parents=True, exist_ok=True)
        self.writer = PartWriter(self.connection, self.table, self.config, self.scratch)
        folder = self.context.config.folder
        self.guard = Guard(folder, self.context.settings.data_folders, self.config)
        for path in self.guard.find() if self.context.former is None else ():
            if (own := format_of(path)) and own.prepare:
                self.fence.prepare(own.prepare)
        self.corrections = corrections.by_file(folder, self.table.name, witness)

    def look_ahead(self, pool: ThreadPoolExecutor, *, packed: bool) -> None:
        """Have `pool` look through the table's text files before `read` asks for them; each is only
        counted through, in little memory.

        Files that are `packed` are unpacked to the disk for it, so few of them should wait for
        their turn.
        """
        home = self.context.config.folder
        for path in self.guard.find() if self.context.former is None else ():
            own, is_packed = format_of(path), path.name.lower().endswith(".gz")
            if own and own.read_ahead and path not in self.ahead and (packed or not is_packed):
                witness.confirm(path)
                with suppress(Unreadable):  # `read` says why
                    self.guard.check(path)
                    self.ahead[path] = pool.submit(self._open, path, files.shown(path, home))

    def read(self, target: Path) -> Read:
        home = self.context.config.folder
        paths, strange = self.guard.survey()
        if not paths:
            return Read(strange or [self._not_found()])
        read = Read(strange)
        kept = self._kept(paths)
        parts = []
        for path in paths:
            witness.confirm(path)
            try:
                if path in self.ahead:
                    parts.append(self.ahead[path].result())
                    continue
                if path not in kept:
                    self.guard.check(path)
                parts.append(kept.get(path) or self._open(path, files.shown(path, home)))
            except Unreadable as error:
                read.problems += error.problems
        if len(parts) == len(paths) and not strange:
            self._combine(parts, paths, target, read)
        else:
            read.problems += [problem for part in parts for problem in part.problems]
        for path in paths:
            witness.confirm(path)
        return read

    def _kept(self, paths: list[Path]) -> dict[Path, Part]:
        """Those of the files whose rows the last run left as they would be read now; none where
        anything of the table was odd.
        """
        former, name, file = (
            self.context.former,
            self.table.name,
            f"tables/{self.table.name}.parquet",
        )
        if former is None or self.corrections:
            return {}
        if not former.holds(name, made_from(self.context, name), file, SOURCES_FILE):
            return {}
        if former.findings(name) or former.record.tables[name].rejected:
            return {}
        source = former.folder / file
        places = {place.file: place for place in SourceMap.read(former.folder).tables[name]}
        keyless = (
            " + count(*) FILTER (cid IS NULL)"
            if "cid" in next(iter(places.values())).columns
            else ""
        )
        if self.connection.execute(
            f"SELECT count({casts.CELLS}){keyless} FROM {parquet(source)}"
        ).fetchall() != [(0,)]:
            return {}
        kept = {}
        left = {each.file: each for each in former.details(IngestDetails).files_of(name)}
        for path in paths:
            shown = files.shown(path, self.context.config.folder)
            if shown in left and former.record.inputs.get(f"file:{shown}") == witness.seen(path):
                entry, place = left[shown], places[shown]
                kept[path] = Part(
                    path=path,
                    file=shown,
                    names=tuple(entry.names),
                    types=(),
                    source=parquet(source),
                    rows=place.rows,
                    sheet=place.sheet,
                    first_line=place.first_line,
                    jumps=tuple(place.jumps),
                    delimiter=entry.delimiter,
                    encoding=entry.encoding,
                    kept=Kept(source, place.first_row, former.record.tables[name].read),
                )
        return kept

    def _not_found(self) -> Problem:
        shown = self.config.file
        inside = files.tables_inside(self.context.config.folder, shown)
        if inside is not None:
            setting = f"tables.{self.table.name}.file"
            if (self.context.config.folder / shown / "_delta_log").is_dir():
                advice = (
                    "It is a table of Delta Lake, whose files may hold rows that were deleted"
                    " since: export it as one Parquet file."
                )
            elif len(inside) == 1:
                advice = f"Name the files in it: `{setting}: {headers.yaml_word(inside[0])}`."
            elif inside:
                advice = f"Name those of the table in `{setting}`; it holds {' and '.join(inside)}."
            else:
                advice = f"Name a file in `{setting}`. It holds no {in_words()}."
            return Problem(
                "SYN-READ-014", shown, values={"reason": "it is a folder", "advice": advice}
            )
        there = files.neighbours(self.context.config.folder, shown)
        near = nearest(Path(shown).name, there)
        advice = f"Check `tables.{self.table.name}.file`; it is relative to the dataset's YAML."
        if near:
            advice = (
                f"Is it this one? `tables.{self.table.name}.file:"
                f" {headers.yaml_word((Path(shown).parent / near[0]).as_posix())}`"
            )
        return Problem("SYN-READ-001", shown, values={"advice": advice})

    def open(self, path: Path) -> Part:
        """The rows of one of the table's files as `read` takes them: corrected, and counted."""
        file = files.shown(path, self.context.config.folder)
        part = self._as_corrected(self._open(path, file))
        return overlay.counted(self.connection, part, self.writer.scratch_of(file))

    def _open(self, path: Path, file: str) -> Part:
        scratch = self.writer.scratch_of(file)
        scratch.mkdir(parents=True)
        limit, fixes = self.context.settings.memory_limit, self.corrections.get(file)
        means = Means(self.connection, self.fence, scratch, limit, fixes)
        try:
            if own := format_of(path):
                return own.read(path, file, self.table, self.config, means)
        except PermissionError as error:
            raise cannot_read(
                file, f"{error.strerror or error}", "Check that you may read it."
            ) from None
        if found := look_into(path, file):
            raise cannot_read(file, f"it is {found[0]}", found[1])
        raise cannot_read(
            file,
            f"files that end in {path.suffix.lower() or 'nothing'} are not understood",
            f"Export the table as {in_words()}.",
        )

    def _combine(self, parts: list[Part], paths: list[Path], target: Path, read: Read) -> None:
        """Write the rows of `parts`, in order, to `target`, and say in `read` what came of it."""
        first = parts[0]
        matches = [headers.match(part.file, part.names, self.table, self.config) for part in parts]
        read.problems += [self._placed(problem, first) for problem in matches[0].problems]
        different = [part for part in parts[1:] if sorted(part.names) != sorted(first.names)]
        for part in different:
            how = headers.difference(part.names, first.names) or "one of them has a name twice"
            problem = Problem(
                "SYN-READ-012", part.file, values={"other": first.file, "difference": how}
            )
            read.problems.append(self._placed(problem, part))
        if different or not matches[0].complete:
            read.problems += [problem for part in parts for problem in part.problems]
            return
        order = list(matches[0].targets)
        targets = [match.targets for match in matches]
        try:
            parts = self._corrected(parts, targets, order)
            parts = self.writer.write(parts, targets, order, target)
            names = {name: first.names[index] for name, index in targets[0].items()}
            just_read = JustRead(self.connection, parts, names, self.table, self.config, target)
            found = stray_rows.take_out(just_read, self.scratch)
        except Unreadable as error:
            target.unlink(missing_ok=True)
            read.problems += error.problems
            return
        read.problems += [*found.problems, *self._correction_problems(parts)]
        read.problems += stray_rows.labelled_rows(replace(just_read, parts=found.parts))
        for part, kept in [*((part, part.refused_lines) for part in parts), *found.refused]:
            self._keep_refused(part, kept)
        for part, path, indexes in zip(found.parts, paths, targets, strict=True):
            read.problems += [*self._ends(part, indexes), *self._faults(part, indexes)]
            if part.rows + part.refused == 0:
                read.problems.append(Problem("SYN-READ-013", part.file))
            columns = {name: part.names[index] for name, index in indexes.items()}
            read.sources.append(
                Source(
                    file=part.file,
                    sheet=part.sheet,
                    first_row=read.rows,
                    rows=part.rows,
                    first_line=part.first_line,
                    jumps=list(part.jumps),
                    columns=columns,
                )
            )
            read.rows += part.rows
            read.unreadable += part.refused
            read.files.append(
                IngestedFile(
                    table=self.table.name,
                    file=part.file,
                    sheet=part.sheet,
                    rows=part.rows,
                    bytes=path.stat().st_size,
                    delimiter=part.delimiter,
                    encoding=part.encoding,
                    names=list(part.names),
                )
            )
        read.columns = names

    def _placed(self, problem: Problem, part: Part) -> Problem:
        """A problem of the header of `part`, with the place of the header or of the column in
        it.
        """
        has_row = self.config.header_row is not None and (
            part.delimiter is not None or part.sheet is not None
        )
        column = problem.column if problem.column in part.names else None
        if problem.examples or not (has_row or column):
            return problem
        return replace(
            problem,
            examples=(
                Example(
                    file=part.file,
                    sheet=part.sheet,
                    row=part.first_line - 1 if has_row else None,
                    column=column,
                ),
            ),
        )

    def _keep_refused(self, part: Part, refused: Path | None) -> None:
        """Put the lines of `part` that were refused among those of the other files."""
        if refused is not None:
            place = ", ".join(literal(value) for value in (self.table.name, part.file, part.sheet))
            self.connection.execute(
                f"INSERT INTO unreadable SELECT {place}, line, text, code FROM {parquet(refused)}"
            )

    def _corrected(
        self, parts: list[Part], targets: list[dict[str, int]], order: list[str]
    ) -> list[Part]:
        """`parts` as if their files had the corrected text."""
        try:
            return [self._as_corrected(part) for part in parts]
        except duckdb.Error as error:
            raise self.writer.blame(parts, targets, order, error) from None

    def _as_corrected(self, part: Part) -> Part:
        fixes, scratch = self.corrections.get(part.file), self.writer.scratch_of(part.file)
        return overlay.lay_over(self.connection, part, fixes, scratch) if fixes else part

    def _correction_problems(self, parts: list[Part]) -> Iterator[Problem]:
        read = {part.file for part in parts}
        for file, fixes in self.corrections.items():
            yield from fixes.problems() if file in read else fixes.unread(self.table.name)

    def _ends(self, part: Part, targets: dict[str, int]) -> list[Problem]:
        """The problems of `part`; that a reference seems to be cut off is a warning, for whether
        there is such a row is seen later.
        """
        last = next(
            (
                self.table.columns[name]
                for name, index in targets.items()
                if index == len(part.names) - 1
            ),
            None,
        )
        if last is None or last.kind is not Kind.REFERENCE:
            return [*part.problems]
        return [
            (
                replace(problem, severity="warning", confidence="possible")
                if problem.code == CUT_OFF and problem.examples[0].column == part.names[-1]
                else problem
            )
            for problem in part.problems
        ]

    def _faults(self, part: Part, targets: dict[str, int]) -> list[Problem]:
        """Spreadsheet errors, unsaved formulas and dates among keys in the columns that are read,
        but for those the lab declared to mean "no value".
        """
        by_index = {index: part.names[index] for index in targets.values()}
        markers = {
            index: self.config.markers(self.table.columns[name]) for name, index in targets.items()
        }
        places: dict[tuple[str, str], Places] = {}
        for row, index, shown, code in part.faults:
            if index in by_index and shown not in markers[index]:
                name = by_index[index]
                key = code, name if code == DATE_KEY else ""
                places.setdefault(key, Places(part.file, part.sheet)).add(row, shown, name)
        return [
            replace(problem, column=name or None)
            for (code, name), found in sorted(places.items())
            for problem in found.problem(code, value=found.examples[0].value)
        ]
