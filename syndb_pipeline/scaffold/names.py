"""What the names of files and columns say, and the first values of a column.

Belongs here: reading names by the words of `words.yaml`, and looking at texts of a sample. Does
not: which file or column is which (`guess.py`, `columns.py`), or reading (`peek.py`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Final

from syndb_pipeline.config.yaml_file import read_yaml
from syndb_pipeline.contract.tables import TABLES

WORDS: Final[Any] = read_yaml(Path(__file__).with_name("words.yaml")).content
TABLE_WORDS: Final[dict[str, list[str]]] = WORDS["tables"]
COLUMN_WORDS: Final[dict[str, list[str]]] = WORDS["columns"]

_SIDE_FIRST: Final = re.compile(r"(pre|post)(?:_?syn(?:aptic|apse)?)?(?:_(.+))?")
_SIDE_LAST: Final = re.compile(r"(.+?)_(pre|post)(?:_?syn(?:aptic|apse)?)?")
_PARTNER: Final = re.compile(
    r"(?:pt_)?(?:root|body|segment|seg|skeleton|neuron|cell|terminal|bouton|spine|dendrite|axon|partner)?_?(?:id|cid|key|name)?s?"
    r"|(?:pt_)?(?:bodyid|skid|root|segid|neuronid|cellid|rootid)s?"
    r"|synaptic_terminal(?:_id)?|dendritic_spine(?:_id)?"
)


def plain(name: str) -> str:
    """`name` in lower case, with one `_` for whatever is no letter or digit."""
    return re.sub(r"[\W_]+", "_", name.strip().lower()).strip("_")


def listed(names: Sequence[str], *, most: int = 4) -> str:
    """`names` as a person lists them; of more than `most` the first three and how many follow."""
    shown = [*names[:3], f"{len(names) - 3} more"] if len(names) > most else list(names)
    return " and ".join(filter(None, [", ".join(shown[:-1]), shown[-1]]))


def end_of(name: str) -> tuple[str, bool] | None:
    """Which end of a synapse a column called `name` (plain) speaks of, and whether it names the
    partner.

    `pre_pt_root_id` and `bodyid_pre` name it; `pre_pt_position` and `pre_pt_supervoxel_id` say
    something else of it. None where `name` speaks of no end.
    """
    if first := _SIDE_FIRST.fullmatch(name):
        side, rest = first[1], first[2] or ""
    elif last := _SIDE_LAST.fullmatch(name):
        side, rest = last[2], last[1]
    else:
        return None
    return f"{side}_synapse_id", _PARTNER.fullmatch(rest) is not None


KNOWN: Final = frozenset(
    [
        name
        for table in TABLES.values()
        for column in table.columns.values()
        for name in (column.name, *column.aliases)
    ]
    + [word for words in COLUMN_WORDS.values() for word in words]
    + [f"{name}_id" for name in TABLES]
)
"""Every column name that means something to us, spelled plainly."""


# What values say

_NUMBER: Final = re.compile(r"[-+]?(\d[\d.,' _]*|[.,]\d+)([eE][-+]?\d+)?")
_ONE: Final = r"[-+]?\d+(?:\.\d*)?(?:[eE][-+]?\d+)?"
_SEVERAL: Final = re.compile(
    rf"[\[({{]\s*{_ONE}(?:[,;\s]\s*{_ONE})*\s*[\])}}]|{_ONE}(?:(?:[,;]\s*|\s+){_ONE})+"
)
_GROUPED: Final = re.compile(r"[-+]?\d{1,3}(?:([, ])\d{3})(?:\1\d{3})*(?:\.\d+)?")
_DECIMAL: Final = re.compile(r"[-+]?\d*,\d+(?:[eE][-+]?\d+)?")

_COMMA_GROUPS: Final = re.compile(r"[-+]?\d{1,3}(?:(?:,\d{3}){2,}(?:\.\d+)?|(?:,\d{3})+\.\d+)")
_DOT_GROUPS: Final = re.compile(r"[-+]?\d{1,3}(?:(?:\.\d{3}){2,}(?:,\d+)?|(?:\.\d{3})+,\d+)")
_EITHER: Final = re.compile(r"[-+]?[1-9]\d{0,2},\d{3}")


def are_numbers(values: Iterable[str]) -> bool:
    """Whether most of `values` are numbers, whatever marks group or divide their digits."""
    found = [_NUMBER.fullmatch(value) is not None for value in values]
    return 2 * sum(found) > len(found)


def hold_several_numbers(values: Sequence[str]) -> bool:
    """Whether most of `values` are several numbers each, as positions are: [430050 179248
    53280].
    """
    found = [
        _SEVERAL.fullmatch(value) and not (_GROUPED.fullmatch(value) or _DECIMAL.fullmatch(value))
        for value in values
    ]
    return 2 * sum(map(bool, found)) > len(found)


def comma(values: Iterable[str]) -> tuple[set[str], str]:
    """What the commas in numbers must mean: any of "decimal", "thousands" and "dots" (dots group
    the digits), each proved by some value; and the first value in which a comma may be either, ""
    without one.
    """
    proved: set[str] = set()
    either = ""
    for value in values:
        if "," not in value and value.count(".") < 2:
            continue
        if _COMMA_GROUPS.fullmatch(value):
            proved.add("thousands")
        elif _DOT_GROUPS.fullmatch(value):
            proved |= {"dots", "decimal"}
        elif _EITHER.fullmatch(value):
            either = either or value
        elif _DECIMAL.fullmatch(value):
            proved.add("decimal")
    return proved, either
