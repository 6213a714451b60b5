"""Causes: each reason why cells fail is one record, with its name, how it is found, how sure it is,
its sentence and its fix.

Belongs here: the record, reading the TOML files beside the checks that hold such records, and
filling their sentences. Does not: the records, and the SQL around theirs.
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any, Final, TypeVar

from pydantic import BaseModel, ConfigDict

from syndb_pipeline.base.engine import literal
from syndb_pipeline.rules.finding import Confidence

AGREEING: Final = 3
"""Distinct values that must share a cause before it is surer than for one of them."""

_LONGEST_SHOWN: Final = 80


class Count(int):
    """A number that a sentence writes as such, e.g. `{rows:,}`, or as the word that follows from
    it, e.g. `row{rows:|s}`."""

    def __format__(self, spec: str) -> str:
        one, mark, many = spec.partition("|")
        return (one if self == 1 else many) if mark else int.__format__(self, spec)


class Shown(str):
    """A cell's text, of which `{value!r}` writes no more than fits a sentence."""

    def __repr__(self) -> str:
        return repr(str(self) if len(self) <= _LONGEST_SHOWN else f"{self[:_LONGEST_SHOWN]}...")


class Cause(BaseModel):
    """One reason why cells fail, as a TOML file has it under its name.

    `test` is SQL that holds for a failing cell of this cause. `reason` and `fix` are templates,
    filled from what is known of the cells: whole numbers are `Count` and texts `Shown`. `sure` is
    the confidence for few values that share the cause, and for `AGREEING` or more.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    test: str = ""
    reason: str = ""
    fix: str = ""
    sure: tuple[Confidence, Confidence] = ("possible", "likely")

    def described(self, facts: Mapping[str, Any], sure: Confidence | None = None) -> dict[str, Any]:
        """The values that a rule's sentences take: reason, advice and confidence.

        Args:
            facts: what the templates name; `distinct` says how many values share the cause.
            sure: the confidence where it does not follow from that number alone.
        """
        return {
            "reason": _filled(self.reason, facts),
            "advice": _filled(self.fix, facts),
            "confidence": sure or self.sure[facts.get("distinct", 0) >= AGREEING],
        }

    def advice(self, **facts: Any) -> str:
        """The fix alone."""
        return _filled(self.fix, facts)


def _filled(template: str, facts: Mapping[str, Any]) -> str:
    return template.format_map({name: _shown(value) for name, value in facts.items()})


AnyCause = TypeVar("AnyCause", bound=Cause)


def _shown(value: object) -> object:
    if isinstance(value, int) and not isinstance(value, bool):
        return Count(value)
    return Shown(value) if isinstance(value, str) else value


@cache
def read(path: Path) -> dict[str, dict[str, Any]]:
    """What a TOML file of causes says, by name; the text @name in it is replaced by what
    [constants] says of name."""
    text = path.read_text(encoding="utf-8")
    for name, constant in tomllib.loads(text).get("constants", {}).items():
        text = text.replace(f"@{name}", constant)
    return {name: record for name, record in tomllib.loads(text).items() if name != "constants"}


def causes(path: Path, kind: type[AnyCause]) -> dict[str, AnyCause]:
    """The causes of a TOML file by name, in its order; [macros] of the file are none."""
    return {
        name: kind(name=name, **record) for name, record in read(path).items() if name != "macros"
    }


def sentences(path: Path) -> Callable[..., str]:
    """A function that gives the fix of a record of a TOML file of causes: by the record's name, and
    the facts that the fix names."""
    records = causes(path, Cause)
    return lambda cause, **facts: records[cause].advice(**facts)


def label(tried: Iterable[Cause]) -> str:
    """SQL that gives a failing cell the name of the first of the causes `tried` whose test holds;
    '' where none does."""
    cases = " ".join(
        f"WHEN {cause.test} THEN {literal(cause.name)}" for cause in tried if cause.test
    )
    return f"CASE {cases} ELSE '' END" if cases else "''"
