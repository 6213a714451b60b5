"""Column names of a file: whether there are any, which of SynDB's columns each one is, and
everything that is wrong with them.

Belongs here: the header and the findings about it, with lines for the config. Does not: reading
files.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from syndb_pipeline.config.table_settings import TableConfig
from syndb_pipeline.contract.no_value import OF_PROGRAMS
from syndb_pipeline.contract.tables import GENERATION_2, SERVER_COLUMNS, Column, Table
from syndb_pipeline.readers.casts import WHITE_SPACE
from syndb_pipeline.readers.part import Problem
from syndb_pipeline.readers.similar_names import near_names, spelling
from syndb_pipeline.rules.finding import Example

JOINTS: Final = (",", ";", "\t", "|")
"""What may be between the values of a line that became one cell."""

_NO_VALUE: Final = "|".join(map(re.escape, OF_PROGRAMS))
_DATUM: Final = re.compile(
    rf"[+-]?(\d+([.,]\d*)?|[.,]\d+)([eE][+-]?\d+)?|true|false|{_NO_VALUE}|\d{{4}}-\d\d-\d\d.*",
    re.IGNORECASE,
)

_YAML_MEANINGS: Final = ("true", "false", "yes", "no", "on", "off", "null", "y", "n")


def tidy(names: Sequence[str]) -> tuple[str, ...]:
    """Column names without the white space around them."""
    return tuple(name.strip(WHITE_SPACE) for name in names)


def known_names(table: Table, config: TableConfig) -> set[str]:
    """Every column name that means something for this table, in SynDB's words or the config's."""
    aliases = {alias for column in table.columns.values() for alias in column.aliases}
    return set(table.columns) | aliases | set(config.columns) | set(config.ignore) | SERVER_COLUMNS


def is_header(names: Sequence[str], table: Table, config: TableConfig) -> bool:
    """Whether a first row can be a header: some name is known, or at least no cell of it looks like
    a datum.
    """
    cells = tidy(names)
    if set(cells) & (known_names(table, config) - {""}):
        return True
    return any(cells) and not any(_DATUM.fullmatch(cell) for cell in cells)


def is_datum(cell: str) -> bool:
    """Whether a cell is plainly a value and no name: a number, a date, true or false, a word for
    "no value".
    """
    return _DATUM.fullmatch(cell) is not None


def row_of_names(
    rows: Iterable[tuple[int, Sequence[str]]], table: Table, config: TableConfig, more_than: int = 1
) -> int | None:
    """The number of the first of `rows`, pairs of number and cells, that holds more known column
    names than `more_than`.
    """
    known = known_names(table, config) - {""}
    return next(
        (number for number, cells in rows if len(set(tidy(cells)) & known) > more_than), None
    )


def row_below_title(rows: Sequence[tuple[int, Sequence[str]]]) -> int | None:
    """The number of the row that names the columns where the first of `rows` is a title; None where
    it is not one.

    A title is one cell. The names are the next row with several cells, none of which looks like a
    datum; some cell of the next row does, and most rows below have several cells too.
    """
    filled = [(number, [cell for cell in tidy(cells) if cell]) for number, cells in rows]
    filled = [(number, cells) for number, cells in filled if cells]
    if not filled or len(filled[0][1]) != 1:
        return None
    wide = [(number, cells) for number, cells in filled if len(cells) > 1]
    data = [any(_DATUM.fullmatch(cell) for cell in cells) for _, cells in wide]
    if len(wide) < 2 or data[0] or not data[1]:
        return None
    below = [cells for number, cells in filled if number > wide[0][0]]
    return wide[0][0] if (len(wide) - 1) * 10 >= len(below) * 9 else None


def row_of_better_names(
    names: Sequence[str],
    rows: Sequence[tuple[int, Sequence[str]]],
    table: Table,
    config: TableConfig,
) -> int | None:
    """The number of the first of `rows` that names columns better than `names`, taken from the row
    before them; None where none does.

    It holds more of the known names; or `names` are one title, and it is the first that can be a
    header.
    """
    own = len(set(tidy(names)) & (known_names(table, config) - {""}))
    better = row_of_names(rows, table, config, max(own, 1))
    return better if better is not None else row_below_title([(0, names), *rows])


def no_header(
    place: Example,
    names: Sequence[str],
    table: Table,
    config: TableConfig,
    names_in: int | None = None,
) -> Problem:
    """The finding that `names`, which are at `place` where the header should be, are none;
    `names_in` is the row that has names.
    """
    block: tuple[str, ...] = ()
    if names_in is not None:
        advice = (
            f"The column names are in row {names_in}; say so: `tables.{table.name}.header_row:"
            f" {names_in}`."
        )
    else:
        likely = _likely_names(len(names), table, config)
        listed = f"[{', '.join(likely)}]" if likely else "[...]"
        # Neither setting is of use without the other, so neither is offered to be pasted alone.
        settings = f"under `tables.{table.name}`, set `header_row: null` and `names: {listed}`"
        advice = (
            f"Add a header row, or name the columns in the config: {settings}, with one name for"
            f" each of the {len(names)} columns."
        )
        if likely:
            block = (f"tables:\n  {table.name}:\n    header_row: null\n    names: {listed}",)
    values = {"first": ", ".join(name for name in names if name)[:200], "advice": advice}
    return Problem("SYN-READ-006", place.file, examples=(place,), values=values, settings=block)


def _likely_names(width: int, table: Table, config: TableConfig) -> list[str]:
    """The names that a list of pairs without header most likely has: sender, receiver and how
    strong; none for other tables.
    """
    if table.pair is None:
        return []
    lab = {target: yaml_word(name) for name, target in config.mapped}
    every = ["cid", *table.pair, "connection_score"]
    names = {2: every[1:3], 3: every[1:], 4: every}.get(width, [])
    return [lab.get(name, name) for name in names]


def yaml_word(word: str) -> str:
    """`word` as it is in a flow mapping or list of YAML."""
    plain = (
        re.fullmatch(r"[A-Za-z_][A-Za-z0-9_. -]*[A-Za-z0-9_]|[A-Za-z_]", word)
        and word.lower() not in _YAML_MEANINGS
    )
    return word if plain else json.dumps(word, ensure_ascii=False)


IN_FILE: Final = "<name in the file>"
"""Where a person has to write a name."""


def mapping(table: str, pairs: Mapping[str, str | list[str]]) -> str:
    """`pairs` of a lab's name and SynDB's, or several of SynDB's, as the setting of `table` that
    maps them.
    """
    listed = ", ".join(
        f"{lab if lab == IN_FILE else yaml_word(lab)}: {_flow(target)}"
        for lab, target in pairs.items()
    )
    return f"`tables.{table}.columns: {{{listed}}}`"


def leaving_out(table: str, config: TableConfig, lab: str, column: str) -> str:
    """How the config of `table` leaves out SynDB's `column`, which the file calls `lab`: a setting,
    or words where `columns` maps it.
    """
    if lab not in config.columns:
        return f"`tables.{table}.ignore: [{listed(config.ignore, [lab])}]`"
    if len(config.names_of(lab)) > 1:
        return f"take {column} out of the names of {lab!r} in `tables.{table}.columns`"
    return f"move {lab!r} from `tables.{table}.columns` to `ignore`"


def _flow(names: str | list[str]) -> str:
    return (
        names if isinstance(names, str) else f"[{', '.join(names)}]" if len(names) > 1 else names[0]
    )


def listed(*names: Iterable[str]) -> str:
    return ", ".join(yaml_word(name) for some in names for name in some)


# Which of SynDB's columns those of a file are


@dataclass(frozen=True, slots=True)
class Match:
    """Which columns of a file are SynDB's: SynDB's name -> index in the file. `complete` is False
    when a required one is missing.
    """

    targets: dict[str, int] = field(default_factory=dict)
    problems: tuple[Problem, ...] = ()
    complete: bool = True


FEW_UNKNOWN: Final = 3
"""So many unknown columns are reported one by one, each with all that can be done; of more, those
that resemble none of SynDB's together.
"""

MAX_NAMED: Final = 20
"""Columns that are reported one by one, and that one sentence names."""

_COMPARED: Final = 500
"""Unknown columns whose spelling is compared with SynDB's."""


def match(file: str, names: Sequence[str], table: Table, config: TableConfig) -> Match:
    """The columns of `file` called `names`, as SynDB's; with every problem the header has, not only
    the first.
    """
    header = _Header(file, names, table, config)
    if (mark := header.joined_by()) is not None:
        header.report_one_cell(mark)
        return Match({}, tuple(header.problems), complete=False)
    header.report_unnamed_and_repeated()
    unknown = header.claim()
    header.report_later(unknown)
    header.report_unknown(unknown)
    targets = {}
    for target, indexes in header.claims.items():
        claimed_by = dict.fromkeys(names[index] for index in indexes)
        if len(indexes) == 1:
            targets[target] = indexes[0]
        elif len(claimed_by) > 1:
            header.report("SYN-COL-005", target, names=", ".join(claimed_by))
    required = {column.name for column in table.columns.values() if column.required}
    # `CID` for cid is said above to be an unknown column, with the same fix.
    said = {spelling(name) for name in unknown} | {*header.claims}
    for name in (name for name in table.columns if name in required - said):
        header.report_required(name, unknown)
    header.report_config_names()
    in_file_order = dict(sorted(targets.items(), key=lambda item: item[1]))
    return Match(in_file_order, tuple(header.problems), complete=required <= {*targets})


@dataclass
class _Header:
    """The column names of a file; `claims` are the columns of SynDB that they mean, with their
    indexes.
    """

    file: str
    names: Sequence[str]
    table: Table
    config: TableConfig
    problems: list[Problem] = field(default_factory=list)
    claims: dict[str, list[int]] = field(default_factory=dict)

    def report(self, code: str, column: str | None, count: int = 1, **values: Any) -> None:
        self.problems.append(Problem(code, self.file, column=column, count=count, values=values))

    def joined_by(self) -> str | None:
        """What separates the column names that the only name holds; None where it is one name.

        A table of one column is its key, so an only name that is not known and that has a comma in
        it is several. Blanks are in many names.
        """
        known = {name.casefold() for name in known_names(self.table, self.config)} - {""}
        if len(self.names) != 1 or self.names[0].casefold() in known:
            return None
        words = self.names[0].casefold().split()
        marks = [mark for mark in JOINTS if sum(map(bool, tidy(self.names[0].split(mark)))) > 1]
        return marks[0] if marks else " " if len(words) > 1 and known.issuperset(words) else None

    def report_one_cell(self, mark: str) -> None:
        reason = (
            f"the whole line is one cell, {self.names[0]!r} in the header, although {mark!r}"
            " separates several values in it"
        )
        advice = (
            "Split it: remove quotation marks around whole lines, or let the program that wrote it"
            f" take {mark!r} as separator."
        )
        self.report("SYN-READ-014", None, reason=reason, advice=advice)

    def report_unnamed_and_repeated(self) -> None:
        config = self.config
        unnamed = [str(index) for index, name in enumerate(self.names, start=1) if not name]
        if unnamed and "" not in {*config.ignore, *config.columns}:
            shown = ", ".join(unnamed[:10]) + (", ..." if len(unnamed) > 10 else "")
            naming = self._naming() if len(unnamed) == 1 else ""
            ignoring = listed(config.ignore, [""])
            values = {"positions": shown, "naming": naming, "ignoring": ignoring}
            self.report("SYN-READ-005", None, len(unnamed), **values)
        for name, times in Counter(self.names).items():
            if times > 1 and (name or name in config.columns) and name not in config.ignore:
                self.report("SYN-READ-004", name, times, times=times)

    def _naming(self) -> str:
        """How the config maps the only column without a name: to the key where the file seems to
        have no other.
        """
        named = {column.name for name in self.names for column in self._meant(name)}
        target, what = "<column of SynDB>", "one of SynDB's columns"
        if "cid" in self.table.columns and "cid" not in named:
            target, what = "cid", "the key of the row"
        line = mapping(self.table.name, self.config.columns | {"": target})
        return f" If it is {what}, map the empty name: {line}."

    def _meant(self, name: str) -> list[Column]:
        """The columns of SynDB that a name in the file means."""
        return [*filter(None, map(self.table.column, self.config.names_of(name)))]

    def claim(self) -> list[str]:
        """Note which columns of SynDB the names mean. Returns those that mean nothing."""
        unknown: dict[str, None] = {}
        for index, name in enumerate(self.names):
            if name in self.config.ignore or (not name and name not in self.config.columns):
                continue
            meant = self._meant(name)
            for column in meant:
                self.claims.setdefault(column.name, []).append(index)
            if not meant:
                if name in SERVER_COLUMNS:
                    self.report("SYN-COL-003", name)
                else:
                    unknown[name] = None
        return list(unknown)

    def _near_columns(self, name: str) -> list[str]:
        return near_names(
            name, {column.name: column.aliases for column in self.table.columns.values()}
        )

    def report_later(self, names: list[str]) -> None:
        """Report those of `names` that only SynDB's generation 2 has, and take them out of it."""
        later = [name for name in names if spelling(name) in GENERATION_2.get(self.table.name, ())]
        names[:] = [name for name in names if name not in later]
        if not later:
            return
        it, are = ("them", "are") if len(later) > 1 else ("it", "is")
        advice = f"Nothing to do; keep {it} in the file."
        for name in later:
            free = [near for near in self._near_columns(name)[:2] if near not in self.claims]
            if free:
                # Nothing to paste: only the lab knows which it is.
                where = f"under `columns` of {self.table.name}"
                advice += f" If {name} is {' or '.join(free)}, map it {where}."
        self.report(
            "SYN-COL-008",
            later[0],
            len(later),
            names=_first_of(later),
            are=are,
            advice=advice,
        )

    def report_unknown(self, names: list[str]) -> None:
        """Report each column called `names`, which mean nothing, with lines for the config that can
        be copied. No column of SynDB that the file has already is offered again.
        """
        table, config = self.table, self.config
        taken = {target: self.names[indexes[0]] for target, indexes in self.claims.items()}
        spelt = Counter(map(spelling, names))
        # `Parent ID` leaves no doubt, unless another column is spelt so too.
        plain = {
            name: target
            for name in names
            for target in [spelling(name)]
            if target in table.columns and target not in taken and spelt[target] == 1
        }
        near = {name: self._near_columns(name) for name in names[:_COMPARED]}
        single = names
        if len(names) > FEW_UNKNOWN:
            single = [name for name in names if near.get(name)][:MAX_NAMED]
        together = [name for name in names if name not in set(single)]
        ignoring = f"`tables.{table.name}.ignore: [{listed(config.ignore, together or single)}]`"
        open_to = {
            name: [target for target in near[name] if target not in taken] for name in single
        }
        for name in single:
            free = open_to[name]
            likely = free[0] if free else "<column of SynDB>"
            # No two columns may be mapped to one, so a line never offers that.
            others = {
                lab: target
                for lab, target in (config.columns | plain).items()
                if lab == name or (target != likely and likely not in config.names_of(lab))
            }
            line = mapping(table.name, others | {name: likely})
            what = f"If it is {likely}, map it" if free else "Say which of SynDB's columns it is"
            advice = f"{what}: {line}."
            if near[name] and (first := near[name][0]) in taken:
                advice = f"{taken[first]!r} is {first} already. {advice}"
            rivals = [
                repr(each) for each in single if each != name and open_to[each][:1] == [likely]
            ]
            if rivals:
                advice += (
                    f" {' and '.join(rivals)} look{'s' if len(rivals) == 1 else ''} like {likely}"
                    " too: map the one that is, and ignore the rest."
                )
            if not together:
                every_one = " leaves out all that are unknown" if len(names) > 1 else ""
                advice += f" If SynDB is not to have it: {ignoring}{every_one}."
            what = f"the column {name!r}"
            self.report("SYN-COL-001", name, names=what, near=_nearest(free), advice=advice)
        if together:
            what = f"the column{'' if len(together) == 1 else 's'} " + _first_of(together)
            advice = (
                f"First map those that SynDB should have, in `tables.{table.name}.columns`. Then"
                f" leave out the rest: {ignoring}."
            )
            values = {"names": what, "near": "", "advice": advice}
            self.report("SYN-COL-001", together[0], len(together), **values)

    def report_required(self, column: str, unknown: Sequence[str]) -> None:
        near = [name for name in unknown[:_COMPARED] if column in self._near_columns(name)][:3]
        line = mapping(
            self.table.name, self.config.columns | {near[0] if near else IN_FILE: column}
        )
        advice = f"Say which column it is: {line}, or add it to the file."
        self.report("SYN-COL-002", column, near=_nearest(near), advice=advice)

    def report_config_names(self) -> None:
        """Report each column that the config names and the file lacks."""
        config, claimed = self.config, list(self.claims)
        in_file = [name for name in self.names if name]
        units = [
            name
            for name in config.units
            if (column := self.table.column(name)) and column.name not in claimed
        ]
        lacking = [
            *((name, "columns", in_file) for name in config.columns if name not in self.names),
            *((name, "ignore", in_file) for name in config.ignore if name not in self.names),
            *((name, "units", claimed) for name in units),
            *((name, "key", claimed) for name in config.key if name not in claimed),
        ]
        for name, key, present in lacking:
            near = _nearest(near_names(name, dict.fromkeys(present, ())))
            advice = f"Correct the name in `tables.{self.table.name}.{key}`, or take it out there."
            self.report("SYN-COL-006", name, key=key, near=near, advice=advice)


def _first_of(names: Sequence[str]) -> str:
    more = len(names) - MAX_NAMED
    shown = ", ".join(map(repr, names[:MAX_NAMED]))
    return shown + (f" and {more:,} more" if more > 0 else "")


def _nearest(names: Sequence[str]) -> str:
    return f" (nearest: {', '.join(names)})" if names else ""


def difference(names: Sequence[str], other: Sequence[str]) -> str:
    """How two sets of column names differ, in words; "" when they hold the same names."""
    more = [repr(name) for name in names if name not in other]
    fewer = [repr(name) for name in other if name not in names]
    parts = [("it has", more), ("it lacks", fewer)]
    return " and ".join(f"{verb} {', '.join(some)}" for verb, some in parts if some)
