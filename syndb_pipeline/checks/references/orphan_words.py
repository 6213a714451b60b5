"""What to say of orphans of one cause: the reason, how sure it is, and what to do.

Belongs here: sentences, and the settings that cure. Does not: telling causes apart (`orphans`).
"""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from typing import Any, Final

from syndb_pipeline.checks.cells.unparsed_cells import missing_setting
from syndb_pipeline.checks.keys.key_damage import AGREEING
from syndb_pipeline.checks.references.orphans import Evidence
from syndb_pipeline.config.settings import DatasetConfig
from syndb_pipeline.contract.key_encoding import KEY_JOINT
from syndb_pipeline.contract.tables import TABLES
from syndb_pipeline.rules.finding import Confidence
from syndb_pipeline.state.row_locations import SourceMap

_LONGEST_SHOWN: Final = 80

_ADVICE: Final = {
    "decimal": (
        "Write the key alike in both files, as text; a column with empty cells makes pandas and"
        " spreadsheets turn 1 into 1.0. Here {where} has the point."
    ),
    "case": "Write the key with the same capitals in both files.",
    "quotes": (
        "Remove the quotation marks, brackets or blanks that stand inside the values of {where}."
    ),
    "invisible": (
        "Remove the invisible characters from {where}{characters}; they come with text copied from"
        " web pages and PDFs."
    ),
    "space": "Remove the white space inside the keys of {where}{characters}.",
    "unicode": (
        "The same letters are stored in two Unicode forms (composed and decomposed). Write both"
        " files in one, best in NFC."
    ),
    "width": (
        "Write {where} with plain letters and numbers; these are full-width or raised ones, as East"
        " Asian keyboards and formats give."
    ),
    "script": (
        "Letters of another alphabet look like Latin ones in {where}{characters}. Type them again"
        " with a Latin keyboard."
    ),
    "grouping": "Export {where} without marks between the thousands; ids are text, not amounts.",
    "separators": "Write hyphens, underscores and blanks alike in both files.",
    "long": (
        "Remove the L behind the numbers of {where}: R and other languages write a long integer so."
        " It is one key written in two ways; write it the same in both files."
    ),
    "exponent": (
        "The numbers of {where} are written in short form, as R writes round numbers. It is one key"
        " written in two ways; write it in full in both files, as text."
    ),
    "encoding": (
        "It is the same word: the text of {where} was read in a wrong encoding and saved so. Export"
        " it again from its source as UTF-8, or write the word the same in both files."
    ),
    "spelling": "Write the key alike in both files, as text.",
    "glyph": (
        "Look whether the letter O stands for the number 0, or l or I for 1, in one of the files."
    ),
    "float": (
        "The ids of {where} passed through a floating-point number, which keeps 15 to 17 digits."
        " Export them as text from their source, e.g. with pandas read_csv(path, dtype=str); digits"
        " that are lost cannot be worked out."
    ),
    "sheet": (
        "A spreadsheet kept 15 digits of the ids of {where} and made zeros of the others. Export"
        " them as text from their source, and do not open the file in a spreadsheet before."
    ),
    "scientific": (
        "The ids of {where} were written in short form, as a spreadsheet shows long numbers. Export"
        " them as text from their source."
    ),
    "date": (
        "A spreadsheet took the ids of {where} for dates. Format the column as text, and enter or"
        " export the ids again."
    ),
    "cut": (
        "The keys of {where} are cut after {length} characters. Export them whole; look for a limit"
        " of the column's width."
    ),
    "header": (
        "This is a header row between the rows, as files joined end to end have it. Remove the"
        " line, or read the files by a glob."
    ),
}
"""Advice by cause. `{where}` is the table and column in which the fault lies."""

_SURE: Final = frozenset({"invisible", "quotes", "unicode", "width", "header", "encoding"})
"""Differences that no two keys have on purpose, so that one orphan is enough."""

_STRONG: Final = frozenset(
    {
        "decimal",
        "zeros",
        "case",
        "space",
        "separators",
        "grouping",
        "spelling",
        "float",
        "sheet",
        "scientific",
        "date",
        "script",
        "long",
        "exponent",
    }
)
"""Differences that are certain once several orphans share them, and likely before."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where the orphans of a finding are, and what they point to."""

    table: str
    column: str
    target: str
    config: DatasetConfig
    sources: SourceMap
    markers: tuple[str, ...] = ()  # sentinels among the orphans of the table, all columns together
    rows: int = 0  # rows whose keys are these orphans
    others: int = 0  # rows whose keys are found in the target
    unread: int = 0  # rows of the target that could not be read or have no key
    key_is_marker: frozenset[str] = frozenset()  # sentinels that are keys of the table itself
    other_cells: int = 0  # cells beside the orphans that declaring the sentinels would empty

    @property
    def here(self) -> str:
        return f"{self.table}.{self.column}"

    @property
    def there(self) -> str:
        return f"{self.target}.cid"


def describe(place: Place, evidence: Evidence) -> dict[str, Any]:
    """The values of an orphans' finding: target, reason, advice, confidence."""
    kind = evidence.cause.split(":", 1)[0]
    rest = {
        "sentinel": _sentinel,
        "table": _table,
        "own": _own,
        "zeros": _zeros,
        "prefix": _affix,
        "suffix": _affix,
    }
    rest |= {"part": _part, "joint": _joint}
    crowd = {
        "after": _after,
        "tail": _after,
        "range": _range,
        "kind": _kind,
        "start": _start,
        "file": _file,
    }
    if kind in rest or kind in crowd:
        reason, advice, confidence = (rest | crowd)[kind](place, evidence)
    elif kind in _ADVICE:
        reason, advice, confidence = _damaged(place, evidence, kind)
    else:
        reason, advice, confidence = _nowhere(place, evidence)
    return {
        "target": place.target,
        "reason": _others(evidence) + reason,
        "advice": advice,
        "confidence": confidence,
    }


def _others(evidence: Evidence) -> str:
    others = evidence.distinct - 1
    return (
        f", nor {'is' if others == 1 else 'are'} {others:,} other value{'' if others == 1 else 's'}"
        if others
        else ""
    )


def _shown(text: str | None) -> str:
    text = text or ""
    return repr(text if len(text) <= _LONGEST_SHOWN else text[:_LONGEST_SHOWN] + "...")


def _where(place: Place, side: str) -> str:
    return {"here": place.here, "there": place.there}.get(side, f"{place.here} and {place.there}")


def _sure(evidence: Evidence, kind: str) -> Confidence:
    if evidence.several * 2 > evidence.distinct and kind not in ("float", "sheet", "scientific"):
        return "possible"
    if kind in _SURE:
        return "certain"
    if kind in _STRONG:
        return "certain" if evidence.distinct >= AGREEING else "likely"
    return "likely" if evidence.distinct >= AGREEING else "possible"


def _damaged(place: Place, evidence: Evidence, kind: str) -> tuple[str, str, Confidence]:
    side = evidence.cause.split(":", 1)[1] if ":" in evidence.cause else "both"
    short = evidence.value if side == "here" else evidence.key or ""
    advice = _ADVICE[kind].format(
        where=_where(place, side), characters=_characters(evidence, kind), length=len(short)
    )
    if side == "there" and kind in ("float", "sheet", "scientific", "date"):
        advice += f" Correct {place.target} first."
    confidence: Confidence = "possible" if kind == "glyph" else _sure(evidence, kind)
    many = (
        " among others"
        if evidence.several and kind in ("float", "sheet", "scientific", "cut")
        else ""
    )
    return (
        (f"; {place.target} has {_shown(evidence.key)}{many}" if evidence.key is not None else ""),
        advice,
        confidence,
    )


def _characters(evidence: Evidence, kind: str) -> str:
    """The characters that make the difference, by their Unicode names: " (U+200B ZERO WIDTH
    SPACE)".
    """
    odd = {"invisible": ("Cf", "Cc"), "space": ("Zs", "Cc"), "script": ("Lu", "Ll")}.get(kind, ())
    text = evidence.value + (evidence.key or "")
    found = [
        c for c in dict.fromkeys(text) if unicodedata.category(c) in odd and (c > "\x7f" or c < " ")
    ]
    named = ", ".join(
        f"U+{ord(c):04X} {unicodedata.name(c, 'control character')}" for c in found[:3]
    )
    return f" ({named})" if named else ""


def _zeros(place: Place, evidence: Evidence) -> tuple[str, str, Confidence]:
    # The step takes zeros away: where it changes something, they still stand, and the other side
    # lost them.
    side = {"here": "there", "there": "here"}.get(evidence.cause.split(":", 1)[1], "both")
    advice = (
        f"Leading zeros were lost in {_where(place, side)}; export the keys as text from their"
        " source."
    )
    return f"; {place.target} has {_shown(evidence.key)}", advice, _sure(evidence, "zeros")


def _affix(place: Place, evidence: Evidence) -> tuple[str, str, Confidence]:
    kind, side, text = evidence.cause.split(":", 2)
    word = "begin" if kind == "prefix" else "end"
    if side == "here":
        fault = (
            f"The values of {place.here} {word} with {text!r}, and the keys of {place.there} do not"
        )
    else:
        fault = (
            f"The keys of {place.there} {word} with {text!r}, and the values of {place.here} do not"
        )
    advice = f"{fault}. Write them alike: add it on one side or remove it on the other."
    return f"; {place.target} has {_shown(evidence.key)}", advice, _sure(evidence, kind)


def _sentinel(place: Place, evidence: Evidence) -> tuple[str, str, Confidence]:
    marker = repr(evidence.value)
    required = TABLES[place.table].columns[place.column].required or (
        place.column == "parent_id" and place.table != "synapse"
    )
    clash = [word for word in place.markers if word in place.key_is_marker]
    if clash:
        advice = (
            f"If {marker} means that there is none, leave these cells empty. It cannot be declared:"
            f" {place.table} has a row of this key."
        )
    elif place.other_cells:
        cells = (
            f"{place.other_cells:,} cell{'' if place.other_cells == 1 else 's'} of other columns"
        )
        advice = (
            f"If {marker} means that there is none, leave these cells empty; to declare it for"
            f" {place.table} would empty {cells} as well."
        )
    else:
        setting = missing_setting(place.table, place.config.tables[place.table], place.markers)
        advice = f"If {marker} means that there is none, say so: `{setting}`."
    if required:
        advice += f" Rows without {place.column} are refused all the same: give it, or remove them."
    sure: Confidence = "certain" if any(c.isalpha() for c in evidence.value) else "likely"
    return "; it is what tables hold where there is no key", advice, sure


def _table(place: Place, evidence: Evidence) -> tuple[str, str, Confidence]:
    other = evidence.cause.split(":", 1)[1]
    weak = evidence.value.isdigit() and len(evidence.value) <= 8
    sure: Confidence = (
        "possible" if weak else "likely" if evidence.distinct < AGREEING else "certain"
    )
    if other not in TABLES[place.table].columns[place.column].targets:
        advice = (
            f"{place.column} of {place.table} cannot point to {other}: give the keys of rows of"
            f" {place.target} instead."
        )
        return f"; {other} has it", advice, sure
    if lacks := evidence.facts["lacks"]:
        # To point the column to the other table would make orphans of these in turn.
        others = (
            f"; {other} lacks {lacks:,} other value{'' if lacks == 1 else 's'}, e.g."
            f" {_shown(evidence.facts['example'])}"
        )
        advice = (
            f"One column points to one table. Give these rows a {place.column} of {place.target},"
            " or take them out of this table."
        )
        return f"; {other} has it{others}", advice, sure
    if place.others > place.rows:
        # Pointing the whole column to the other table would lose these relations, or join them to
        # other rows in silence.
        advice = (
            f"Give the keys of rows of {place.target} instead, or add the missing rows to it:"
            f" {place.others:,} other row{'' if place.others == 1 else 's'} of {place.table}"
            f" name{'s' if place.others == 1 else ''} rows of {place.target}. One column points to"
            " one table."
        )
        return f"; {other} has it", advice, sure
    key = (
        f"parent: {other}"
        if place.column == "parent_id"
        else f"references: {{{_references(place, other)}}}"
    )
    advice = (
        f"If the column points to {other}, say so: `tables.{place.table}.{key}`. One column points"
        " to one table."
    )
    return f"; {other} has it", advice, sure


def _part(place: Place, evidence: Evidence) -> tuple[str, str, Confidence]:
    joined, keys = evidence.facts["joined"], evidence.facts["keys"]
    examples = " and ".join(map(repr, keys))
    reason = (
        f"; it is a cid alone, and keys of {place.target} are written {KEY_JOINT.join(joined)}"
        f" here, e.g. {examples}"
    )
    parts = " and ".join(joined)
    advice = (
        f"Write the whole key into {place.here}, made of {parts} of its row of {place.target}, e.g."
        f" {evidence.key!r}."
    )
    if evidence.several:
        advice += (
            f" A cid alone does not say which row: {place.target} has several of the same cid."
        )
    return (
        reason,
        advice,
        "certain" if evidence.distinct >= AGREEING or not evidence.value.isdigit() else "likely",
    )


def _joint(place: Place, evidence: Evidence) -> tuple[str, str, Confidence]:
    reason = (
        f"; {place.target} has {_shown(evidence.key)}, in which {KEY_JOINT!r} inside a part of the"
        " key has a backslash before it"
    )
    advice = f"Write the key so into {place.here}: the backslash keeps (a, b:c) and (a:b, c) apart."
    return reason, advice, "possible" if evidence.several else "certain"


def _references(place: Place, other: str) -> str:
    references = dict(place.config.tables[place.table].references) | {place.column: other}
    return ", ".join(f"{column}: {table}" for column, table in references.items())


def _own(place: Place, evidence: Evidence) -> tuple[str, str, Confidence]:
    advice = (
        f"The values of {place.here} are keys of {place.table} itself; a {place.column} names a row"
        f" of {place.target}. Look whether the column was taken from the wrong one in the export."
    )
    return (
        f"; {place.table} itself has it",
        advice,
        "possible" if evidence.value.isdigit() else "likely",
    )


def _files(place: Place, table: str) -> str:
    """The table's file by name, or the table where it has several."""
    files = {part.file for part in place.sources.tables[table]}
    return files.pop() if len(files) == 1 else table


def _after(place: Place, evidence: Evidence) -> tuple[str, str, Confidence]:
    facts = evidence.facts
    ends = (
        f"; {place.target} ends at {_shown(facts['high'])}, {place.table} goes on to"
        f" {_shown(facts['most'])}"
    )
    sizes = f" ({place.target} has {facts['keys']:,} keys, {place.table} names {facts['named']:,})"
    target, table = _files(place, place.target), _files(place, place.table)
    advice = (
        f"{target} looks cut off, or older than {table}. Export both again from one state of the"
        " data."
    )
    return ends + sizes, advice, "likely" if facts.get("in_order", True) else "possible"


def _range(place: Place, evidence: Evidence) -> tuple[str, str, Confidence]:
    facts = evidence.facts
    theirs = f"the keys of {place.target} from {_shown(facts['low'])} to {_shown(facts['high'])}"
    lie = (
        f"; {evidence.distinct:,} such values lie from {_shown(facts['least'])} to"
        f" {_shown(facts['most'])}, {theirs}"
    )
    return lie, _release(place), "likely"


def _kind(place: Place, evidence: Evidence) -> tuple[str, str, Confidence]:
    return (
        (
            f"; they are plain numbers, and keys of {place.target} are like"
            f" {_shown(evidence.facts['example'])}"
        ),
        _release(place),
        "possible",
    )


def _start(place: Place, evidence: Evidence) -> tuple[str, str, Confidence]:
    facts = evidence.facts
    theirs = f"; those of {place.target} begin with {facts['theirs']!r}" if facts["theirs"] else ""
    told = (
        f"; {evidence.distinct:,} such values begin with {facts['beginning']!r}, as no key of"
        f" {place.target} does{theirs}"
    )
    return told, _release(place), "likely" if evidence.distinct >= 10 else "possible"


def _release(place: Place) -> str:
    target, table = _files(place, place.target), _files(place, place.table)
    return (
        f"{table} and {target} look as if they came from different releases, animals or exports."
        f" Take both from the same one, or add the missing rows to {place.target}."
    )


def _file(place: Place, evidence: Evidence) -> tuple[str, str, Confidence]:
    files = evidence.facts["files"]
    names = ", ".join(files[:3]) + (", ..." if len(files) > 3 else "")
    rows = f"; they are the rows of {names}, of {evidence.facts['of']:,} files"
    return (
        rows,
        (
            f"Add the rows of {place.target} that belong to {names}, or take the file out of the"
            " table."
        ),
        "likely",
    )


def _nowhere(place: Place, evidence: Evidence) -> tuple[str, str, Confidence]:
    if place.unread:
        have, them = ("has", "it") if place.unread == 1 else ("have", "them")
        rows = (
            f"{place.unread:,} row{'' if place.unread == 1 else 's'} of {place.target} could not be"
            f" read or {have} no key"
        )
        return "", f"{rows}: correct {them} first, for what is missing may stand there.", "possible"
    advice = f"Add the missing rows to {place.target}, or remove the rows that point to them."
    if (
        evidence.distinct >= AGREEING
        and evidence.value.isdigit()
        and 16 <= len(evidence.value) <= 20
    ):
        advice += (
            " Ids of segments change with every edit of a segmentation: take both tables from one"
            " version of it."
        )
    return "", advice, "certain"
