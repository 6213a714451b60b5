"""What a dataset's YAML says about one table, where its rows are and how they are read, and about
wrong rows of any.

Belongs here: the keys below `tables.<table>` and whether they fit SynDB's table; how many rows may
be quarantined. Does not: the rest of the YAML (`settings.py`).
"""

from __future__ import annotations

import codecs
import re
from collections import Counter
from collections.abc import Iterator
from decimal import Decimal
from math import inf
from typing import Annotated, Final, Literal, get_args

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Discriminator,
    Field,
    PlainValidator,
    Tag,
    WithJsonSchema,
    field_validator,
    model_validator,
)

from syndb_pipeline.config.yaml_file import (
    BY_COLUMN,
    IN_A_LIST,
    Location,
    Strict,
    Text,
    as_text,
    shown,
    suggestion,
)
from syndb_pipeline.contract.tables import TABLES, Column, Kind

LengthUnit = Literal["nm", "um", "µm", "mm", "pm", "angstrom"]
NANOMETRE_EXPONENT: dict[str, int] = {"nm": 0, "um": 3, "µm": 3, "mm": 6, "pm": -3, "angstrom": -1}
"""Length unit -> power of ten that turns one of it into nanometres."""

_WORDS: Final = get_args(LengthUnit)


def _unit(value: object) -> object:
    if value in _WORDS:
        return value
    try:
        number = float(str(value))
    except ValueError:
        number = 0
    if 0 < number < inf:
        return number
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
"""A column of SynDB, or several that one column of the lab holds."""


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
            f" own list, where {ALL_COLUMNS!r} means all columns."
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
        """The columns of SynDB that the column `lab` of a file holds; its own name where
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
                f"{sorted(set(self.columns) & set(self.ignore))} are in both `columns` and"
                " `ignore`; keep one"
            )
        return self


def problems_of(name: str, table: TableConfig) -> Iterator[tuple[Location, str]]:
    """What the YAML says about table `name` that the contract does not allow.

    Yields the location below the table, and what was found and what is allowed.
    """
    declared = TABLES.get(name)
    if declared is None:
        yield (), f"{name!r} is not a SynDB table; {suggestion(name, TABLES)}"
        return
    columns = declared.columns.values()
    for lab in table.columns:
        meant: list[str] = []
        for target in table.names_of(lab):
            column = declared.column(target)
            if column is None:
                hint = suggestion(target, declared.columns)
                yield ("columns", lab), f"{target!r} is no column of {name}; {hint}"
            elif column.name in meant:
                yield ("columns", lab), f"it is {column.name} twice; name it once"
            else:
                meant.append(column.name)

    measured = [c.name for c in columns if c.dimension is not None and c.kind is Kind.NUMBER]
    numbers = [c.name for c in columns if c.kind in (Kind.NUMBER, Kind.INTEGER)]
    references = [*declared.references]
    pairs = "cannot be combined: only rows of neuron_relation are identified by a pair"
    for setting, words, allowed, why in (
        ("units", table.units, measured, "has no unit"),
        ("missing", table.missing_by_column, [*declared.columns], f"is no column of {name}"),
        ("references", table.references, references, f"is no reference of {name}"),
        ("key", table.key, ["cid", *references], f"is no part of a key of {name}"),
        ("combine", table.combine, numbers if declared.pair else [], pairs),
    ):
        for word in words:
            column = declared.column(word) if setting in ("units", "missing") else None
            if (setting, word) == ("missing", ALL_COLUMNS):
                continue
            if (column.name if column else word) not in allowed:
                where: Location = (setting,) if setting == "key" else (setting, word)
                yield where, f"{word!r} {why}; {suggestion(word, allowed)}"
    for word, target in table.references.items():
        reference = declared.references.get(word)
        if reference is not None and target not in reference.targets:
            there = f"allowed: {', '.join(reference.targets)}"
            yield ("references", word), f"{target!r} is not what it may refer to; {there}"
    parents = declared.parents if declared.has_parent else ()
    if table.parent is not None and table.parent not in parents:
        hierarchy = f"allowed, by SynDB's hierarchy: {', '.join(parents) or 'none'}"
        yield ("parent",), f"{table.parent!r} cannot be a parent of {name}; {hierarchy}"
    if table.key and (len(set(table.key)) < max(2, len(table.key)) or "cid" not in table.key):
        others = ", ".join(declared.references) or "none"
        yield ("key",), f"found {table.key}; give cid and one or more of: {others}"


# Wrong rows

DEFAULT_LIMIT: Final = Decimal("0.005")

LARGEST_FRACTION: Final = Decimal("0.1")
"""Larger shares need their percent sign: 0.5 is half of the rows to one and 0.5 % to another. Nor
is a larger one ever advised.
"""

_WRITE: Final = "write a percentage such as 0.5%, or a fraction such as 0.005"


def as_share(value: object) -> Decimal | None:
    """A part of a table's rows, written `0.5%` or 0.005, as a fraction; None stays None. Raises
    `ValueError`.
    """
    if value is None or isinstance(value, Decimal):
        return value
    text = str(as_text(value)).strip()
    match = re.fullmatch(
        r"([0-9]+\.?[0-9]*|\.[0-9]+)(e-?[0-9]{1,3})?\s*(%?)", text, flags=re.IGNORECASE
    )
    if not match:
        raise ValueError(f"{text!r} is no share of rows; {_WRITE}")
    number = Decimal(match[1] + (match[2] or ""))
    share = number / 100 if match[3] else number
    if share > 1 and match[3]:
        raise ValueError(f"{text!r} is more than all rows; {_WRITE}")
    if share > LARGEST_FRACTION and not match[3]:
        either = f"{text}%" + (f" or {percent(share)}" if share <= 1 else "")
        raise ValueError(f"{text!r} has no percent sign; write {either}")
    return share


def percent(share: Decimal) -> str:
    """A share as a person writes it: 0.005 is `0.5%`."""
    return f"{(share * 100).normalize():f}%"


Share = Annotated[
    Decimal,
    BeforeValidator(as_share),
    WithJsonSchema({"type": ["string", "number"], "examples": ["0.5%", 0.005]}, mode="validation"),
]


class InvalidRows(Strict):
    """The keys of a dataset's YAML about wrong rows."""

    on_invalid: Literal["refuse", "quarantine"] = Field(
        default="refuse",
        description=(
            "What wrong rows do: refuse the dataset, or (quarantine) be quarantined with everything"
            " below them."
        ),
    )
    max_rejected: Share | None = Field(
        default=None,
        description=(
            "With on_invalid: quarantine, the most of each table that may be quarantined; 0.5% when"
            " left out."
        ),
    )

    @model_validator(mode="after")
    def _limit_has_a_use(self) -> InvalidRows:
        if self.max_rejected is not None and self.on_invalid == "refuse":
            raise ValueError(
                "max_rejected limits what is quarantined, and nothing is; add `on_invalid:"
                " quarantine`, or remove it"
            )
        return self

    @property
    def rejected_limit(self) -> Decimal:
        """The fraction of each table that may be quarantined; 0 where wrong rows refuse the
        dataset.
        """
        if self.on_invalid == "refuse":
            return Decimal(0)
        return DEFAULT_LIMIT if self.max_rejected is None else self.max_rejected
