"""Which of SynDB's columns those of a file are, and everything that is wrong with its header.

Belongs here: columns that are unknown, missing, taken twice, and what to do about each. Does not:
finding the header (`headers.py`).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from syndb_pipeline.config.table_settings import TableConfig
from syndb_pipeline.contract.tables import SERVER_COLUMNS, Table
from syndb_pipeline.contract.vocabularies import nearest
from syndb_pipeline.readers.headers import IN_FILE, JOINTS, known_names, listed, mapping, tidy
from syndb_pipeline.readers.part import Problem


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


def match(file: str, names: Sequence[str], table: Table, config: TableConfig) -> Match:
    """The columns of `file` called `names`, as SynDB's; with every problem the header has, not only
    the first.
    """
    return _Header(file, names, table, config).match()


@dataclass
class _Header:
    file: str
    names: Sequence[str]
    table: Table
    config: TableConfig
    problems: list[Problem] = field(default_factory=list)
    claims: dict[str, list[int]] = field(default_factory=dict)

    def match(self) -> Match:
        if (mark := self._joined_by()) is not None:
            self._report_one_cell(mark)
            return Match({}, tuple(self.problems), complete=False)
        self._report_unnamed_and_repeated()
        unknown = self._claim()
        self._report_unknown(unknown)
        targets = {}
        for target, indexes in self.claims.items():
            names = dict.fromkeys(self.names[index] for index in indexes)
            if len(indexes) == 1:
                targets[target] = indexes[0]
            elif len(names) > 1:
                self._report("SYN-COL-005", target, names=", ".join(names))
        required = {column.name for column in self.table.columns.values() if column.required}
        # `CID` for cid is said above to be an unknown column, with the same fix.
        said = {_spelling(name) for name in unknown} | {*self.claims}
        for name in (name for name in self.table.columns if name in required - said):
            self._report_required(name)
        self._report_config_names()
        in_file_order = dict(sorted(targets.items(), key=lambda item: item[1]))
        return Match(in_file_order, tuple(self.problems), complete=required <= {*targets})

    def _report(self, code: str, column: str | None, count: int = 1, **values: Any) -> None:
        self.problems.append(Problem(code, self.file, column=column, count=count, values=values))

    def _joined_by(self) -> str | None:
        """What separates the column names that the only name holds; None where it is one name.

        A table of one column is its key, so an only name that no one knows and that has a comma in
        it is several. Blanks are in many names.
        """
        known = {name.casefold() for name in known_names(self.table, self.config)} - {""}
        if len(self.names) != 1 or self.names[0].casefold() in known:
            return None
        words = self.names[0].casefold().split()
        marks = [mark for mark in JOINTS if sum(map(bool, tidy(self.names[0].split(mark)))) > 1]
        return marks[0] if marks else " " if len(words) > 1 and known.issuperset(words) else None

    def _report_one_cell(self, mark: str) -> None:
        reason = (
            f"the whole line is one cell, {self.names[0]!r} in the header, although {mark!r}"
            " separates several values in it"
        )
        advice = (
            "In a text file, remove the quotation marks around each line. In a spreadsheet, split"
            " the column (Data, Text to Columns). Written by a program: let it read the source with"
            f" {mark!r} as separator."
        )
        self._report("SYN-READ-014", None, reason=reason, advice=advice)

    def _report_unnamed_and_repeated(self) -> None:
        config = self.config
        unnamed = [str(index) for index, name in enumerate(self.names, start=1) if not name]
        if unnamed and "" not in {*config.ignore, *config.columns}:
            shown = ", ".join(unnamed[:10]) + (", ..." if len(unnamed) > 10 else "")
            naming = self._naming() if len(unnamed) == 1 else ""
            ignoring = listed(config.ignore, [""])
            values = {"positions": shown, "naming": naming, "ignoring": ignoring}
            self._report("SYN-READ-005", None, len(unnamed), **values)
        for name, times in Counter(self.names).items():
            if times > 1 and (name or name in config.columns) and name not in config.ignore:
                self._report("SYN-READ-004", name, times, times=times)

    def _naming(self) -> str:
        """How the config maps the only column without a name: to the key where the file seems to
        have no other.
        """
        key = self.table.columns.get("cid")
        named = (
            self.table.column(each) for name in self.names for each in self.config.names_of(name)
        )
        target, what = "<column of SynDB>", "one of SynDB's columns"
        if key is not None and not any(column is key for column in named):
            target, what = "cid", "the key of the row"
        line = mapping(self.table.name, self.config.columns | {"": target})
        return f" If it is {what}, map the empty name: {line}."

    def _claim(self) -> list[str]:
        """Note which columns of SynDB the names mean. Returns those that mean nothing."""
        unknown: dict[str, None] = {}
        for index, name in enumerate(self.names):
            if name in self.config.ignore or (not name and name not in self.config.columns):
                continue
            meant = [self.table.column(each) for each in self.config.names_of(name)]
            for column in filter(None, meant):
                self.claims.setdefault(column.name, []).append(index)
            if not any(meant):
                if name in SERVER_COLUMNS:
                    self._report("SYN-COL-003", name)
                else:
                    unknown[name] = None
        return list(unknown)

    def _near_columns(self, name: str) -> list[str]:
        return _near(name, {column.name: column.aliases for column in self.table.columns.values()})

    def _report_unknown(self, names: list[str]) -> None:
        """Report each column called `names`, which mean nothing, with lines for the config that can
        be copied. No column of SynDB that the file has already is offered again.
        """
        table, config = self.table, self.config
        taken = {target: self.names[indexes[0]] for target, indexes in self.claims.items()}
        spelt: dict[str, list[str]] = {}
        for name in names:
            spelt.setdefault(_spelling(name), []).append(name)
        # `Parent ID` leaves no doubt, unless another column is spelt so too.
        plain = {
            some[0]: target
            for target, some in spelt.items()
            if target in table.columns and target not in taken and len(some) == 1
        }
        every = {name: self._near_columns(name) for name in names[:_COMPARED]}
        near = {
            name: [target for target in found if target not in taken]
            for name, found in every.items()
        }
        single = names
        if len(names) > FEW_UNKNOWN:
            single = [name for name in names if every.get(name)][:MAX_NAMED]
        alone = set(single)
        together = [name for name in names if name not in alone]
        ignoring = f"`tables.{table.name}.ignore: [{listed(config.ignore, together or single)}]`"
        for name in single:
            likely = near[name][0] if near[name] else "<column of SynDB>"
            # No two columns may be mapped to one, so a line never offers that.
            others = {
                lab: target
                for lab, target in (config.columns | plain).items()
                if lab == name or (target != likely and likely not in config.names_of(lab))
            }
            line = mapping(table.name, others | {name: likely})
            what = (
                f"If it is {likely}, map it" if near[name] else "Say which of SynDB's columns it is"
            )
            advice = f"{what}: {line}."
            if every[name] and every[name][0] in taken:
                advice = f"{taken[every[name][0]]!r} is {every[name][0]} already. {advice}"
            rivals = [other for other in single if other != name and near[other][:1] == [likely]]
            if rivals:
                shown = " and ".join(map(repr, rivals[:MAX_NAMED]))
                advice += (
                    f" {shown} look{'s' if len(rivals) == 1 else ''} like {likely} too: map the one"
                    " that is, and ignore the rest."
                )
            if not together:
                every_one = " leaves out all that are unknown" if len(names) > 1 else ""
                advice += f" If SynDB is not to have it: {ignoring}{every_one}."
            what = f"the column {name!r}"
            self._report("SYN-COL-001", name, names=what, near=_nearest(near[name]), advice=advice)
        if together:
            more = len(together) - MAX_NAMED
            shown = ", ".join(map(repr, together[:MAX_NAMED]))
            shown += f" and {more:,} more" if more > 0 else ""
            what = f"the column{'' if len(together) == 1 else 's'} {shown}"
            advice = (
                f"First map those that SynDB should have, in `tables.{table.name}.columns`. Then"
                f" leave out the rest: {ignoring}."
            )
            values = {"names": what, "near": "", "advice": advice}
            self._report("SYN-COL-001", together[0], len(together), **values)

    def _report_required(self, column: str) -> None:
        table, config = self.table, self.config
        unknown = [
            name
            for name in self.names
            if name and table.column(name) is None and name not in config.columns
        ]
        near = [name for name in unknown[:_COMPARED] if column in self._near_columns(name)][:3]
        line = mapping(table.name, config.columns | {near[0] if near else IN_FILE: column})
        advice = f"Say which column it is: {line}, or add it to the file."
        self._report("SYN-COL-002", column, near=_nearest(near), advice=advice)

    def _report_config_names(self) -> None:
        """Report each column that the config names and the file lacks."""
        config, claimed = self.config, list(self.claims)
        named = {"columns": [*config.columns], "ignore": config.ignore}
        lacking = [
            (name, key, list(filter(None, self.names)))
            for key, some in named.items()
            for name in some
            if name not in self.names
        ]
        for name in config.units:
            column = self.table.column(name)
            if column is not None and column.name not in claimed:
                lacking.append((name, "units", claimed))
        lacking += [(name, "key", claimed) for name in config.key if name not in claimed]
        for name, key, present in lacking:
            near = _nearest(_near(name, dict.fromkeys(present, ())))
            advice = f"Correct the name in `tables.{self.table.name}.{key}`, or take it out there."
            self._report("SYN-COL-006", name, key=key, near=near, advice=advice)


def _nearest(names: Sequence[str]) -> str:
    return f" (nearest: {', '.join(names)})" if names else ""


def difference(names: Sequence[str], other: Sequence[str]) -> str:
    """How two sets of column names differ, in words; "" when they hold the same names."""
    more = [name for name in names if name not in other]
    fewer = [name for name in other if name not in names]
    parts = [f"it has {', '.join(map(repr, more))}"] if more else []
    parts += [f"it lacks {', '.join(map(repr, fewer))}"] if fewer else []
    return " and ".join(parts)
