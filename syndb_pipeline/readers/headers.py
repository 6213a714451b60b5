"""Column names of a file: whether there are any, and which of SynDB's columns each one is.

Belongs here: the header and the findings about it. Does not: reading files.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from syndb_pipeline.config.table_settings import TableConfig
from syndb_pipeline.contract.no_value import OF_PROGRAMS
from syndb_pipeline.contract.tables import SERVER_COLUMNS, Table
from syndb_pipeline.contract.vocabularies import nearest
from syndb_pipeline.readers.casts import WHITE_SPACE
from syndb_pipeline.readers.part import Problem
from syndb_pipeline.rules.finding import Example

_NO_VALUE: Final = "|".join(map(re.escape, OF_PROGRAMS))
_DATUM: Final = re.compile(
    rf"[+-]?(\d+([.,]\d*)?|[.,]\d+)([eE][+-]?\d+)?|true|false|{_NO_VALUE}|\d{{4}}-\d\d-\d\d.*",
    re.IGNORECASE,
)

_YAML_MEANINGS: Final = ("true", "false", "yes", "no", "on", "off", "null", "y", "n")


@dataclass(frozen=True, slots=True)
class Match:
    """Which columns of a file are SynDB's: SynDB's name -> index in the file. `complete` is False
    when a required one is missing.
    """

    targets: dict[str, int] = field(default_factory=dict)
    problems: tuple[Problem, ...] = ()
    complete: bool = True


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
    """The finding that `names`, which stand at `place` where the header should be, are none;
    `names_in` is the row that has names.
    """
    block: tuple[str, ...] = ()
    if names_in is not None:
        advice = (
            f"The column names stand in row {names_in}; say so: `tables.{table.name}.header_row:"
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
    """`word` as it stands in a flow mapping or list of YAML."""
    plain = (
        re.fullmatch(r"[A-Za-z_][A-Za-z0-9_. -]*[A-Za-z0-9_]|[A-Za-z_]", word)
        and word.lower() not in _YAML_MEANINGS
    )
    return word if plain else json.dumps(word, ensure_ascii=False)


def yaml_path(path: str) -> str:
    """`path` as it stands behind a key of YAML: plain where that reads as the same text."""
    return (
        path
        if re.fullmatch(r"[A-Za-z0-9_./][A-Za-z0-9_./*=-]*[A-Za-z]", path) and "/" in path
        else yaml_word(path)
    )


def match(file: str, names: Sequence[str], table: Table, config: TableConfig) -> Match:
    """The columns of `file` called `names`, as SynDB's; with every problem the header has, not only
    the first.
    """
    if (mark := _joined_by(names, table, config)) is not None:
        return Match({}, (_one_cell(file, names[0], mark),), complete=False)
    problems = _unnamed_and_repeated(file, names, table, config)
    times = Counter(names)
    claims: dict[str, list[int]] = {}
    unknown: list[str] = []
    for index, name in enumerate(names):
        if name in config.ignore or (not name and name not in config.columns):
            continue
        columns = [
            column for each in config.names_of(name) if (column := table.column(each)) is not None
        ]
        if columns:
            for column in columns:
                claims.setdefault(column.name, []).append(index)
        elif name in SERVER_COLUMNS:
            problems.append(Problem("SYN-COL-003", file, column=name))
        elif name not in unknown:
            unknown.append(name)
    taken = {target: names[indexes[0]] for target, indexes in claims.items()}
    problems += _unknown(file, unknown, table, config, taken)
    targets = {}
    for target, indexes in claims.items():
        if len(indexes) == 1:
            targets[target] = indexes[0]
        elif len({names[i] for i in indexes}) > 1:
            listed = ", ".join(dict.fromkeys(names[i] for i in indexes))
            problems.append(Problem("SYN-COL-005", file, column=target, values={"names": listed}))
    complete = True
    for column in table.columns.values():
        if column.required and column.name not in targets:
            complete = False
            # `CID` for cid is told above as an unknown column, with the same fix.
            if column.name not in claims and column.name not in {
                _spelling(name) for name in unknown
            }:
                problems.append(_required(file, column.name, names, table, config))
    problems += _config_names(file, names, table, config, claims)
    in_file_order = dict(sorted(targets.items(), key=lambda item: item[1]))
    assert all(times[names[index]] == 1 for index in in_file_order.values())
    return Match(in_file_order, tuple(problems), complete)


JOINTS: Final = (",", ";", "\t", "|")
"""What may stand between the values of a line that became one cell."""


def _joined_by(names: Sequence[str], table: Table, config: TableConfig) -> str | None:
    """What separates the column names that the only name holds; None where it is one name.

    A table of one column is its key, so an only name that nobody knows and that has a comma in it
    is several. Blanks are in many names.
    """
    known = {name.casefold() for name in known_names(table, config)} - {""}
    if len(names) != 1 or names[0].casefold() in known:
        return None
    words = names[0].casefold().split()
    marks = [mark for mark in JOINTS if sum(map(bool, tidy(names[0].split(mark)))) > 1]
    return marks[0] if marks else " " if len(words) > 1 and known.issuperset(words) else None


def _one_cell(file: str, name: str, mark: str) -> Problem:
    """The finding that the whole line is one cell, `name` in the header, though `mark` separates
    several values in it.
    """
    reason = (
        f"the whole line is one cell, {name!r} in the header, although {mark!r} separates several"
        " values in it"
    )
    advice = (
        "In a text file, remove the quotation marks around each line. In a spreadsheet, split the"
        " column (Data, Text to Columns). Written by a program: let it read the source with"
        f" {mark!r} as separator."
    )
    return Problem("SYN-READ-014", file, values={"reason": reason, "advice": advice})


def _unnamed_and_repeated(
    file: str, names: Sequence[str], table: Table, config: TableConfig
) -> list[Problem]:
    problems: list[Problem] = []
    named = set(config.ignore) | set(config.columns)
    if "" not in named:
        unnamed = [str(index + 1) for index, name in enumerate(names) if not name]
        if unnamed:
            shown = ", ".join(unnamed[:10]) + (", ..." if len(unnamed) > 10 else "")
            ignoring = ", ".join(yaml_word(name) for name in [*config.ignore, ""])
            naming = _naming(names, table, config) if len(unnamed) == 1 else ""
            values = {"positions": shown, "naming": naming, "ignoring": ignoring}
            problems.append(Problem("SYN-READ-005", file, count=len(unnamed), values=values))
    for name, times in Counter(names).items():
        if times > 1 and (name or name in config.columns) and name not in config.ignore:
            problems.append(
                Problem("SYN-READ-004", file, column=name, count=times, values={"times": times})
            )
    return problems


_IN_FILE: Final = "<name in the file>"
"""Where a person has to write a name."""


def _naming(names: Sequence[str], table: Table, config: TableConfig) -> str:
    """How the config maps the only column without a name: to the key where the file seems to have
    no other.
    """
    has_key = any(
        table.column(each) is table.columns.get("cid")
        for name in names
        for each in config.names_of(name)
    )
    target = "<column of SynDB>" if has_key or "cid" not in table.columns else "cid"
    what = "If it is the key of the row" if target == "cid" else "If it is one of SynDB's columns"
    return f" {what}, map the empty name: {mapping(table.name, config.columns | {'': target})}."


def mapping(table: str, pairs: Mapping[str, str | list[str]]) -> str:
    """`pairs` of a lab's name and SynDB's, or several of SynDB's, as the setting of `table` that
    maps them.
    """
    listed = ", ".join(
        f"{lab if lab == _IN_FILE else yaml_word(lab)}: {_flow(target)}"
        for lab, target in pairs.items()
    )
    return f"`tables.{table}.columns: {{{listed}}}`"


def leaving_out(table: str, config: TableConfig, lab: str, column: str) -> str:
    """How the config of `table` leaves out SynDB's `column`, which the file calls `lab`: a setting,
    or words where `columns` maps it.
    """
    if lab not in config.columns:
        return f"`tables.{table}.ignore: [{_listed(config.ignore, [lab])}]`"
    if len(config.names_of(lab)) > 1:
        return f"take {column} out of the names of {lab!r} in `tables.{table}.columns`"
    return f"move {lab!r} from `tables.{table}.columns` to `ignore`"


def _flow(names: str | list[str]) -> str:
    return (
        names if isinstance(names, str) else f"[{', '.join(names)}]" if len(names) > 1 else names[0]
    )


FEW_UNKNOWN: Final = 3
"""So many unknown columns are told one by one, each with all that can be done; of more, those that
resemble none of SynDB's together.
"""

MAX_TOLD: Final = 20
"""Columns that are told one by one, and that one sentence names."""

_COMPARED: Final = 500
"""Unknown columns whose spelling is compared with SynDB's."""

_MISSPELT: Final = 0.8
"""How alike two names must be, by difflib's ratio, to be one name with a slip of the pen:
`presynapse_id` and `pre_synapse_id`.
"""

_UNITS: Final = frozenset(
    {"nm", "um", "µm", "μm", "mm", "cm", "pm", "nm2", "nm3", "um2", "um3", "µm2", "µm3"}
    | {"px", "pixel", "pixels", "voxels", "vx", "micron", "microns"}
)
"""Words of a column's name that say in what it was measured, not what."""

_MEANINGS: Final = {"cell": "neuron"}
"""Words of labs that mean one of SynDB's."""


def _spelling(name: str) -> str:
    return re.sub(r"[\W_]+", "_", name.casefold())


def _words(name: str) -> frozenset[str]:
    """The words of a name, those of units apart: `Major_Length_um` has major and length,
    `neuronType (nm)` neuron and type.
    """
    words = re.findall(r"[^\W_]+", re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", name).casefold())
    return frozenset(_MEANINGS.get(word, word) for word in words if word not in _UNITS)


def _near(name: str, known: Mapping[str, Sequence[str]]) -> list[str]:
    """Up to three of `known`, names with their other spellings, that `name` may mean, the likeliest
    first.

    A name is near when it is spelt nearly alike, or when all words of one are in the other: `x` or
    `soma centroid x` and `centroid_x`, but not `Major_Length_um` and `parent_enum`, which merely
    have letters in common.
    """
    own, words = _spelling(name), _words(name)
    spellings: dict[str, str] = {}
    for candidate in known:
        spellings.setdefault(_spelling(candidate), candidate)
    alike = [spellings[hit] for hit in nearest(own, spellings, 3, _MISSPELT)]
    within = []
    for candidate, others in known.items():
        sets = [some for spelt in (candidate, *others) if (some := _words(spelt))]
        if words and any(some <= words or words <= some for some in sets):
            within.append(candidate)
    within.sort(
        key=lambda candidate: (
            not _spelling(candidate).endswith(f"_{own}"),
            len(_words(candidate) ^ words),
        )
    )
    return list(dict.fromkeys([*alike, *within]))[:3]


def _near_columns(name: str, table: Table) -> list[str]:
    return _near(name, {column.name: column.aliases for column in table.columns.values()})


def _unknown(
    file: str, names: list[str], table: Table, config: TableConfig, taken: Mapping[str, str]
) -> list[Problem]:
    """A problem for each column called `names`, which mean nothing, with lines for the config that
    can be copied.

    `taken` gives the columns of SynDB that the file has already, each with its name there: none of
    them is offered again.
    """
    spelt: dict[str, list[str]] = {}
    for name in names:
        spelt.setdefault(_spelling(name), []).append(name)
    # `Parent ID` leaves no doubt, unless another column is spelt so too.
    plain = {
        some[0]: target
        for target, some in spelt.items()
        if target in table.columns and target not in taken and len(some) == 1
    }
    every = {name: _near_columns(name, table) for name in names[:_COMPARED]} | {
        name: [] for name in names[_COMPARED:]
    }
    near = {
        name: [target for target in found if target not in taken] for name, found in every.items()
    }
    single = (
        [name for name in names if every[name]][:MAX_TOLD] if len(names) > FEW_UNKNOWN else names
    )
    alone = set(single)
    together = [name for name in names if name not in alone]
    ignoring = f"`tables.{table.name}.ignore: [{_listed(config.ignore, together or single)}]`"
    problems = []
    for name in single:
        likely = near[name][0] if near[name] else "<column of SynDB>"
        # No two columns may be mapped to one, so a line never offers that.
        mapped = config.columns | plain
        others = {
            lab: target
            for lab, target in mapped.items()
            if lab == name or (target != likely and likely not in config.names_of(lab))
        }
        line = mapping(table.name, others | {name: likely})
        advice = (
            f"If it is {likely}, map it: {line}."
            if near[name]
            else f"Say which of SynDB's columns it is: {line}."
        )
        if every[name] and every[name][0] in taken:
            advice = f"{taken[every[name][0]]!r} is {every[name][0]} already. {advice}"
        if rivals := [
            other
            for other in single
            if other != name and near[name] and near[other][:1] == [likely]
        ]:
            shown = " and ".join(map(repr, rivals[:MAX_TOLD]))
            advice += (
                f" {shown} look{'s' if len(rivals) == 1 else ''} like {likely} too: map the one"
                " that is, and ignore the rest."
            )
        if not together:
            advice += (
                " If SynDB is not to have it:"
                f" {ignoring}{' leaves out all that are unknown' if len(names) > 1 else ''}."
            )
        shown = f" (nearest: {', '.join(near[name])})" if near[name] else ""
        values = {"names": f"the column {name!r}", "near": shown, "advice": advice}
        problems.append(Problem("SYN-COL-001", file, column=name, values=values))
    if together:
        shown = ", ".join(map(repr, together[:MAX_TOLD])) + (
            f" and {len(together) - MAX_TOLD:,} more" if len(together) > MAX_TOLD else ""
        )
        advice = (
            f"First map those that SynDB should have, in `tables.{table.name}.columns`. Then leave"
            f" out the rest: {ignoring}."
        )
        values = {
            "names": f"the column{'' if len(together) == 1 else 's'} {shown}",
            "near": "",
            "advice": advice,
        }
        problems.append(
            Problem("SYN-COL-001", file, column=together[0], count=len(together), values=values)
        )
    return problems


def _listed(*names: Iterable[str]) -> str:
    return ", ".join(yaml_word(name) for some in names for name in some)


def _required(
    file: str, column: str, names: Sequence[str], table: Table, config: TableConfig
) -> Problem:
    unknown = [
        name for name in names if name and table.column(name) is None and name not in config.columns
    ]
    near = [name for name in unknown[:_COMPARED] if column in _near_columns(name, table)][:3]
    line = mapping(table.name, config.columns | {near[0] if near else _IN_FILE: column})
    advice = f"Say which column it is: {line}, or add it to the file."
    return Problem(
        "SYN-COL-002",
        file,
        column=column,
        values={"near": f" (nearest: {', '.join(near)})" if near else "", "advice": advice},
    )


def _config_names(
    file: str, names: Sequence[str], table: Table, config: TableConfig, claims: dict[str, list[int]]
) -> list[Problem]:
    """A problem for each column that the config names and the file lacks."""
    asked = [(name, "columns") for name in config.columns] + [
        (name, "ignore") for name in config.ignore
    ]
    lacking = [(name, key, [n for n in names if n]) for name, key in asked if name not in names]
    for name in config.units:
        column = table.column(name)
        if column is not None and column.name not in claims:
            lacking.append((name, "units", list(claims)))
    lacking += [(name, "key", list(claims)) for name in config.key if name not in claims]
    problems = []
    for name, key, present in lacking:
        near = _near(name, dict.fromkeys(present, ()))
        shown = f" (nearest: {', '.join(near)})" if near else ""
        advice = f"Correct the name in `tables.{table.name}.{key}`, or take it out there."
        problems.append(
            Problem(
                "SYN-COL-006",
                file,
                column=name,
                values={"key": key, "near": shown, "advice": advice},
            )
        )
    return problems


def difference(names: Sequence[str], other: Sequence[str]) -> str:
    """How two sets of column names differ, in words; "" when they hold the same names."""
    more = [name for name in names if name not in other]
    fewer = [name for name in other if name not in names]
    parts = [f"it has {', '.join(map(repr, more))}"] if more else []
    parts += [f"it lacks {', '.join(map(repr, fewer))}"] if fewer else []
    return " and ".join(parts)
