"""What a dataset's YAML says about one table: where its rows are and how they are read.

Belongs here: the keys below `tables.<table>` and whether they fit SynDB's table. Does not: the rest
of the YAML (`settings.py`).
"""

from __future__ import annotations

import codecs
from collections import Counter
from math import inf
from typing import Annotated, Final, Literal, get_args

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Discriminator,
    Field,
    PlainValidator,
    Tag,
    field_validator,
    model_validator,
)

from syndb_pipeline.config.yaml_file import BY_COLUMN, IN_A_LIST, Strict, Text, shown
from syndb_pipeline.contract.tables import TABLES, Column, Kind
from syndb_pipeline.contract.vocabularies import nearest

LengthUnit = Literal["nm", "um", "µm", "mm", "pm", "angstrom"]
NANOMETRE_EXPONENT: dict[str, int] = {"nm": 0, "um": 3, "µm": 3, "mm": 6, "pm": -3, "angstrom": -1}
"""Length unit -> power of ten that turns one of it into nanometres."""

_WORDS: Final = get_args(LengthUnit)


def _unit(value: object) -> object:
    if isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < inf:
        return float(value)
    if value in _WORDS:
        return value
    words = ", ".join(map(repr, _WORDS))
    raise ValueError(
        f"found {value!r}; allowed are {words}, or a number above 0: what one of yours is in nm,"
        " nm2 or nm3, as for voxels"
    )


Unit = Annotated[
    LengthUnit | float,
    PlainValidator(_unit, json_schema_input_type=LengthUnit | Annotated[float, Field(gt=0)]),
]
"""A length unit, or how many of SynDB's unit one of the lab's is."""

Aggregate = Literal["sum", "mean", "min", "max", "first", "count"]
"""How the values of a pair's rows become one; count makes the number of these rows of them, and
needs no such column in the file.
"""


def _delimiter(value: str) -> str:
    if value.casefold() in ("tab", "\\t"):
        raise ValueError('write a tab in double quotes: "\\t"')
    return value


def _encoding(value: str) -> str:
    try:
        return codecs.lookup(value).name
    except LookupError:
        raise ValueError(
            f"{value!r} is no encoding Python knows; usual ones: utf-8, utf-16, cp1252, latin-1,"
            " mac-roman"
        ) from None


Name = Annotated[Text, AfterValidator(str.strip)]
"""A column's name in the lab's file, without the white space around it, as the names of the file
are read.
"""

ALL_COLUMNS = "all"
"""The key of `missing` whose markers count in every column of the table."""


def _way_of_writing(value: object) -> str:
    return BY_COLUMN if isinstance(value, dict) else IN_A_LIST


Markers = Annotated[
    Annotated[list[Text], Tag(IN_A_LIST)] | Annotated[dict[Text, list[Text]], Tag(BY_COLUMN)],
    Discriminator(_way_of_writing),
]
"""Markers of all columns, or of each column by its name."""


def _one_or_several(value: object) -> object:
    several = value if isinstance(value, list) else [value]
    if not several or not all(isinstance(name, str) for name in several):
        raise ValueError(
            f"found {shown(value)}; expected a column of SynDB, or a list of them such as [cid,"
            " cave_id]"
        )
    return value


Names = Annotated[str | list[str], BeforeValidator(_one_or_several)]
"""A column of SynDB, or several that one column of the lab stands for."""


class TableConfig(Strict):
    """Where one SynDB table's rows are and how to read them."""

    file: Annotated[Text, Field(min_length=1)] = Field(
        description=(
            "Path or glob, relative to this config; a glob reads several files as one table."
        )
    )
    columns: dict[Name, Names] = Field(
        default={}, description="The lab's column name -> SynDB's, or a list of several of SynDB's."
    )
    ignore: list[Name] = Field(
        default=[], description="Columns of the file that are left out on purpose."
    )
    sheet: Text | None = Field(
        default=None, description="Sheet of a workbook; required when it has several."
    )
    key: list[str] = Field(
        default=[],
        description=(
            "SynDB columns that make the key together, e.g. [parent_id, cid] where ids restart in"
            " every parent. Other tables then name the whole key, 1:5 for cid 5 of parent 1; a"
            " colon inside a part has a backslash before it."
        ),
    )
    header_row: Annotated[int, Field(ge=1)] | None = Field(
        default=1,
        description=(
            "Row of the header, counted from 1; null when there is none. With `names`: the last row"
            " of the header."
        ),
    )
    names: list[Text] | None = Field(
        default=None,
        description=(
            "Column names, one for each column: of a file without header (with `header_row: null`),"
            " or in place of a header of several rows (with `header_row`, its last row)."
        ),
    )
    delimiter: (
        Annotated[Text, Field(min_length=1, max_length=1), BeforeValidator(_delimiter)] | None
    ) = Field(default=None, description="Found by itself when left out.")
    encoding: Annotated[str, AfterValidator(_encoding)] = Field(
        default="utf-8", description="Encoding of a text file."
    )
    decimal: Literal[".", ","] = Field(
        default=".", description="Decimal mark of numbers that are written as text."
    )
    thousands: Literal[",", ".", " ", "'", "_"] | None = Field(
        default=None, description="Mark that groups the digits of such numbers."
    )
    units: dict[str, Unit] = Field(
        default={},
        description=(
            "SynDB column -> unit the lab measured in; areas and volumes by their length. A number"
            " is what one of the lab's units is in SynDB's, e.g. for voxels of 4 x 4 x 40 nm:"
            " {centroid_x: 4, centroid_y: 4, centroid_z: 40, voxel_volume: 640}."
        ),
    )
    missing: Markers = Field(
        default=[],
        description=(
            "What the lab writes for `no value`: a list for all columns, or SynDB column -> its"
            f" own list, where {ALL_COLUMNS!r} stands for all columns."
        ),
    )
    parent: str | None = Field(
        default=None, description="Parent table, when parent_id could point to more than one."
    )
    references: dict[str, str] = Field(
        default={}, description="Reference column -> table, when its keys fit several."
    )
    combine: dict[str, Aggregate] = Field(
        default={},
        description=(
            "How rows of one neuron pair become one (neuron_relation only); count needs no column"
            " of the file."
        ),
    )

    @property
    def mapped(self) -> list[tuple[str, str]]:
        """The pairs that `columns` maps: the lab's name and SynDB's, as they are written."""
        return [(lab, name) for lab in self.columns for name in self.names_of(lab)]

    def names_of(self, lab: str) -> list[str]:
        """The columns of SynDB that the column `lab` of a file stands for; its own name where
        `columns` does not have it.
        """
        names = self.columns.get(lab, lab)
        return names if isinstance(names, list) else [names]

    @property
    def missing_by_column(self) -> dict[str, list[str]]:
        """The markers for "no value" by SynDB column; `ALL_COLUMNS` has those that count in every
        column.
        """
        return (
            self.missing
            if isinstance(self.missing, dict)
            else {ALL_COLUMNS: self.missing}
            if self.missing
            else {}
        )

    def markers(self, column: Column) -> list[str]:
        """What `column` holds for "no value": the markers of all columns and its own, given under
        any of its names.
        """
        by_column = self.missing_by_column
        names = (ALL_COLUMNS, column.name, *column.aliases)
        return list(dict.fromkeys(marker for name in names for marker in by_column.get(name, ())))

    def unit(self, column: Column) -> LengthUnit | float | None:
        """The unit declared for `column`, under its name or another spelling of it; None where none
        is.
        """
        return next(
            (self.units[name] for name in (column.name, *column.aliases) if name in self.units),
            None,
        )

    def power(self, column: Column) -> int:
        """The power of ten that turns the lab's numbers in `column` into SynDB's unit; 0 where
        `times` does.
        """
        unit = self.unit(column) or "nm"
        return 0 if isinstance(unit, float) else NANOMETRE_EXPONENT[unit] * (column.dimension or 0)

    def times(self, column: Column) -> float:
        """What the lab's numbers in `column` are multiplied by where the config gives their unit as
        a number; else 1.
        """
        unit = self.unit(column)
        return unit if isinstance(unit, float) else 1.0

    def factor(self, column: Column) -> float:
        """What turns the lab's numbers in `column` into SynDB's unit, as near as a double comes to
        it.
        """
        return self.times(column) * float(10.0 ** self.power(column))

    @field_validator("columns", mode="before")
    @classmethod
    def _names_differ(cls, value: object) -> object:
        """Two names that differ in the white space around them are one column; a dict would keep
        the last of them in silence.
        """
        if isinstance(value, dict):
            names = Counter(str(name).strip() for name in value)
            if twice := [name for name, times in names.items() if times > 1]:
                raise ValueError(
                    f"the column {twice[0]!r} is mapped twice, once with white space around its"
                    " name; keep one"
                )
        return value

    @model_validator(mode="after")
    def _header(self) -> TableConfig:
        if self.header_row is None and not self.names:
            raise ValueError(
                "header_row is null, so the columns have no names; give `names: [cid, ...]`, one"
                " for each column"
            )
        if self.names and self.header_row is not None and "header_row" not in self.model_fields_set:
            raise ValueError(
                "`names` is for a file without header or with several header rows; add `header_row:"
                " null`, or `header_row:` with the number of the last header row, or map single"
                " names with `columns`"
            )
        if self.thousands == self.decimal:
            raise ValueError(
                f"`thousands` is {self.thousands!r} and so is `decimal`, which is '.' unless it is"
                " given; make them differ"
            )
        if set(self.columns) & set(self.ignore):
            raise ValueError(
                f"{sorted(set(self.columns) & set(self.ignore))} stand in both `columns` and"
                " `ignore`; keep one"
            )
        return self


def check_table(name: str, table: TableConfig) -> None:
    """Hold what the YAML says about table `name` against the contract.

    Raises `ValueError` naming the key, what was found and what is allowed.
    """
    declared = TABLES.get(name)
    if declared is None:
        near = nearest(name, TABLES, 3, 0.5)
        hint = f"did you mean {', '.join(near)}?" if near else f"allowed: {', '.join(TABLES)}"
        raise ValueError(f"{name!r} is not a SynDB table; {hint}")
    for lab, target in table.mapped:
        if declared.column(target) is None:
            near = nearest(target, declared.columns, 3, 0.5)
            hint = (
                f"did you mean {', '.join(near)}?"
                if near
                else f"allowed: {', '.join(declared.columns)}"
            )
            raise ValueError(
                f"tables.{name}.columns maps {lab!r} to {target!r}, which is no column of {name};"
                f" {hint}"
            )
    for lab in table.columns:
        meant = [
            known.name
            for target in table.names_of(lab)
            if (known := declared.column(target)) is not None
        ]
        if twice := [each for each, times in Counter(meant).items() if times > 1]:
            raise ValueError(
                f"tables.{name}.columns maps {lab!r} to {twice[0]} twice; name it once"
            )
    for column in table.units:
        found = declared.column(column)
        if found is None or found.dimension is None or found.kind is not Kind.NUMBER:
            with_units = [
                c.name
                for c in declared.columns.values()
                if c.dimension is not None and c.kind is Kind.NUMBER
            ]
            raise ValueError(
                f"tables.{name}.units names {column!r}, which has no unit; allowed:"
                f" {', '.join(with_units)}"
            )
    for column in table.missing_by_column:
        if column != ALL_COLUMNS and declared.column(column) is None:
            near = nearest(column, declared.columns, 3, 0.5)
            hint = (
                f"did you mean {', '.join(near)}?"
                if near
                else f"allowed: {', '.join(declared.columns)}"
            )
            raise ValueError(
                f"tables.{name}.missing names {column!r}, which is no column of {name}; {hint}"
            )
    parents = declared.parents if declared.has_parent else ()
    if table.parent is not None and table.parent not in parents:
        raise ValueError(
            f"tables.{name}.parent is {table.parent!r}, which cannot be a parent of {name};"
            f" allowed, by SynDB's hierarchy: {', '.join(parents) or 'none'}"
        )
    for column, target in table.references.items():
        reference = declared.columns.get(column)
        if reference is None or reference.kind is not Kind.REFERENCE:
            raise ValueError(
                f"tables.{name}.references names {column!r}; allowed:"
                f" {', '.join(declared.references) or 'none'}"
            )
        if target not in reference.targets:
            raise ValueError(
                f"tables.{name}.references sends {column} to {target!r}; allowed:"
                f" {', '.join(reference.targets)}"
            )
    parts = ("cid", *declared.references)
    if table.key and (
        len(table.key) < 2 or len(set(table.key)) < len(table.key) or "cid" not in table.key
    ):
        raise ValueError(
            f"tables.{name}.key is {table.key}; give cid and one or more of:"
            f" {', '.join(declared.references) or 'none'}"
        )
    if unknown := [column for column in table.key if column not in parts]:
        raise ValueError(f"tables.{name}.key names {unknown[0]!r}; allowed: {', '.join(parts)}")
    if table.combine and declared.pair is None:
        raise ValueError(
            f"tables.{name}.combine: only neuron_relation identifies its rows by a pair; remove it"
        )
    for column in table.combine:
        found = declared.columns.get(column)
        if found is None or found.kind not in (Kind.NUMBER, Kind.INTEGER):
            raise ValueError(f"tables.{name}.combine names {column!r}; allowed: connection_score")
