"""Column names of a file: whether there are any, and which of SynDB's columns each one is.

Belongs here: the header and the findings about it. Does not: reading files.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

from syndb_pipeline.contract.tables import SERVER_COLUMNS, Kind, Table
from syndb_pipeline.contract.vocabularies import nearest
from syndb_pipeline.findings.finding import Example
from syndb_pipeline.readers.casts import WHITE_SPACE
from syndb_pipeline.readers.part import Problem
from syndb_pipeline.table_settings import TableConfig

_DATUM: Final = re.compile(r"[+-]?(\d+([.,]\d*)?|[.,]\d+)([eE][+-]?\d+)?|true|false|nan|na|null|none|\d{4}-\d\d-\d\d.*", re.IGNORECASE)

_YAML_MEANINGS: Final = ("true", "false", "yes", "no", "on", "off", "null", "y", "n")


@dataclass(frozen=True, slots=True)
class Match:
    """Which columns of a file are SynDB's: SynDB's name -> index in the file. `complete` is False when a required one is missing."""

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
    """Whether a first row can be a header: some name is known, or at least no cell of it looks like a datum."""
    cells = tidy(names)
    if set(cells) & (known_names(table, config) - {""}):
        return True
    return any(cells) and not any(_DATUM.fullmatch(cell) for cell in cells)


def row_of_names(rows: Iterable[tuple[int, Sequence[str]]], table: Table, config: TableConfig) -> int | None:
    """The number of the first of `rows`, pairs of number and cells, that holds two column names or more; None when there is none."""
    known = known_names(table, config) - {""}
    return next((number for number, cells in rows if len(set(tidy(cells)) & known) > 1), None)


def no_header(place: Example, names: Sequence[str], table: Table, config: TableConfig, names_in: int | None = None) -> Problem:
    """The finding that `names`, which stand at `place` where the header should be, are none; `names_in` is the row that has names."""
    block: tuple[str, ...] = ()
    if names_in is not None:
        advice = f"The column names stand in row {names_in}; say so: `tables.{table.name}.header_row: {names_in}`."
    else:
        likely = _likely_names(len(names), table, config)
        listed = f"[{', '.join(likely)}]" if likely else "[...]"
        # Neither setting is of use without the other, so neither is offered to be pasted alone.
        settings = f"under `tables.{table.name}`, set `header_row: null` and `names: {listed}`"
        advice = f"Add a header row, or name the columns in the config: {settings}, with one name for each of the {len(names)} columns."
        if likely:
            block = (f"tables:\n  {table.name}:\n    header_row: null\n    names: {listed}",)
    values = {"first": ", ".join(name for name in names if name)[:200], "advice": advice}
    return Problem("SYN-READ-006", place.file, examples=(place,), values=values, settings=block)


def _likely_names(width: int, table: Table, config: TableConfig) -> list[str]:
    """The names that a list of pairs without header most likely has: sender, receiver and how strong; none for other tables."""
    if table.pair is None:
        return []
    lab = {target: yaml_word(name) for name, target in config.columns.items()}
    every = ["cid", *table.pair, "connection_score"]
    names = {2: every[1:3], 3: every[1:], 4: every}.get(width, [])
    return [lab.get(name, name) for name in names]


def yaml_word(word: str) -> str:
    """`word` as it stands in a flow mapping or list of YAML."""
    plain = re.fullmatch(r"[A-Za-z_][A-Za-z0-9_. -]*[A-Za-z0-9_]|[A-Za-z_]", word) and word.lower() not in _YAML_MEANINGS
    return word if plain else json.dumps(word, ensure_ascii=False)


def match(file: str, names: Sequence[str], table: Table, config: TableConfig) -> Match:
    """The columns of `file` called `names`, as SynDB's; with every problem the header has, not only the first."""
    problems = _unnamed_and_repeated(file, names, config)
    times = Counter(names)
    claims: dict[str, list[int]] = {}
    unknown: list[str] = []
    for index, name in enumerate(names):
        if name in config.ignore or (not name and name not in config.columns):
            continue
        mapped = config.columns.get(name)
        column = table.column(mapped if mapped is not None else name)
        if column is not None:
            claims.setdefault(column.name, []).append(index)
        elif name in SERVER_COLUMNS:
            problems.append(Problem("SYN-COL-003", file, column=name))
        elif name not in unknown:
            unknown.append(name)
    problems += _unknown(file, unknown, table, config)
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
            # `CID` for cid is told above as an unknown column, with the same cure.
            if column.name not in claims and column.name not in {_spelling(name) for name in unknown}:
                problems.append(_required(file, column.name, column.aliases, names, table, config))
    problems += _config_names(file, names, table, config, claims)
    unsent = [name for name in targets if not table.columns[name].published and table.columns[name].kind is not Kind.PATH]
    if unsent:
        only = unsent[0] if len(unsent) == 1 else None
        problems.append(Problem("SYN-COL-004", file, column=only, count=len(unsent), values={"names": ", ".join(unsent)}))
    in_file_order = dict(sorted(targets.items(), key=lambda item: item[1]))
    assert all(times[names[index]] == 1 for index in in_file_order.values())
    return Match(in_file_order, tuple(problems), complete)


def _unnamed_and_repeated(file: str, names: Sequence[str], config: TableConfig) -> list[Problem]:
    problems: list[Problem] = []
    named = set(config.ignore) | set(config.columns)
    if "" not in named:
        unnamed = [str(index + 1) for index, name in enumerate(names) if not name]
        if unnamed:
            shown = ", ".join(unnamed[:10]) + (", ..." if len(unnamed) > 10 else "")
            ignoring = ", ".join(yaml_word(name) for name in [*config.ignore, ""])
            problems.append(Problem("SYN-READ-005", file, count=len(unnamed), values={"positions": shown, "ignoring": ignoring}))
    for name, times in Counter(names).items():
        if times > 1 and (name or name in config.columns) and name not in config.ignore:
            problems.append(Problem("SYN-READ-004", file, column=name, count=times, values={"times": times}))
    return problems


FEW_UNKNOWN: Final = 3
"""So many unknown columns are told one by one, each with all that can be done; of more, those that resemble none of SynDB's together."""

MAX_TOLD: Final = 20
"""Columns that are told one by one, and that one sentence names."""

_COMPARED: Final = 500
"""Unknown columns whose spelling is compared with SynDB's."""


def _spelling(name: str) -> str:
    return re.sub(r"[\W_]+", "_", name.casefold())


def _unknown(file: str, names: list[str], table: Table, config: TableConfig) -> list[Problem]:
    """A problem for each column called `names`, which mean nothing, with lines for the config that can be copied."""
    plain = {name: _spelling(name) for name in names if _spelling(name) in table.columns}  # `Parent ID` leaves no doubt
    near = {name: _near(name, table) for name in names[:_COMPARED]} | {name: [] for name in names[_COMPARED:]}
    single = [name for name in names if near[name]][:MAX_TOLD] if len(names) > FEW_UNKNOWN else names
    alone = set(single)
    together = [name for name in names if name not in alone]
    ignoring = f"`tables.{table.name}.ignore: [{_listed(config.ignore, together or single)}]`"
    problems = []
    for name in single:
        pairs = config.columns | plain | {name: near[name][0] if near[name] else "<column of SynDB>"}
        mapping = f"`tables.{table.name}.columns: {{{', '.join(f'{yaml_word(lab)}: {target}' for lab, target in pairs.items())}}}`"
        advice = f"If it is {near[name][0]}, map it: {mapping}." if near[name] else f"Say which of SynDB's columns it is: {mapping}."
        if not together:
            advice += f" If SynDB is not to have it: {ignoring}{' leaves out all that are unknown' if len(names) > 1 else ''}."
        shown = f" (nearest: {', '.join(near[name])})" if near[name] else ""
        values = {"names": f"the column {name!r}", "near": shown, "advice": advice}
        problems.append(Problem("SYN-COL-001", file, column=name, values=values))
    if together:
        shown = ", ".join(map(repr, together[:MAX_TOLD])) + (f" and {len(together) - MAX_TOLD:,} more" if len(together) > MAX_TOLD else "")
        advice = f"First map those that SynDB should have, in `tables.{table.name}.columns`. Then leave out the rest: {ignoring}."
        values = {"names": f"the column{'' if len(together) == 1 else 's'} {shown}", "near": "", "advice": advice}
        problems.append(Problem("SYN-COL-001", file, column=together[0], count=len(together), values=values))
    return problems


def _near(name: str, table: Table) -> list[str]:
    """Up to three columns of `table` that `name` may mean, the likeliest first: `x` is nearer to `centroid_x` than spelling tells."""
    ends = [known for known in table.columns if known.endswith(f"_{name.casefold()}")]
    return list(dict.fromkeys([*ends, *nearest(name, table.columns, 3)]))[:3]


def _listed(*names: Iterable[str]) -> str:
    return ", ".join(yaml_word(name) for some in names for name in some)


def _required(file: str, column: str, aliases: Sequence[str], names: Sequence[str], table: Table, config: TableConfig) -> Problem:
    unknown = [name for name in names if name and table.column(name) is None and name not in config.columns]
    near = list(dict.fromkeys(hit for wanted in (column, *aliases) for hit in nearest(wanted, unknown, 3)))
    lab = yaml_word(near[0]) if near else "<name in the file>"
    advice = f"Say which column it is: `tables.{table.name}.columns: {{{lab}: {column}}}`, or add it to the file."
    return Problem("SYN-COL-002", file, column=column, values={"near": f" (nearest: {', '.join(near)})" if near else "", "advice": advice})


def _config_names(file: str, names: Sequence[str], table: Table, config: TableConfig, claims: dict[str, list[int]]) -> list[Problem]:
    """A problem for each column that the config names and the file lacks."""
    asked = [(name, "columns") for name in config.columns] + [(name, "ignore") for name in config.ignore]
    lacking = [(name, key, [n for n in names if n]) for name, key in asked if name not in names]
    for name in config.units:
        column = table.column(name)
        if column is not None and column.name not in claims:
            lacking.append((name, "units", list(claims)))
    lacking += [(name, "key", list(claims)) for name in config.key if name not in claims]
    problems = []
    for name, key, present in lacking:
        near = nearest(name, present, 3)
        shown = f" (nearest: {', '.join(near)})" if near else ""
        problems.append(Problem("SYN-COL-006", file, column=name, values={"key": key, "near": shown}))
    return problems


def difference(names: Sequence[str], other: Sequence[str]) -> str:
    """How two sets of column names differ, in words; "" when they hold the same names."""
    more = [name for name in names if name not in other]
    fewer = [name for name in other if name not in names]
    parts = [f"it has {', '.join(map(repr, more))}"] if more else []
    parts += [f"it lacks {', '.join(map(repr, fewer))}"] if fewer else []
    return " and ".join(parts)
