"""The ways in which one key is written differently in two files, as SQL macros.

Belongs here: each difference alone, and the form in which they all vanish. Does not: what a
difference means for a person (`orphan_words`).
"""

from __future__ import annotations

from typing import Final

import duckdb

from syndb_pipeline.base.engine import literal

_INVISIBLE: Final = r"[\x00-\x08\x0e-\x1f\x7f\x{00ad}\x{034f}\x{061c}\x{180e}\x{200b}-\x{200f}\x{202a}-\x{202e}\x{2060}-\x{206f}\x{feff}]"
"""Characters that leave no mark: controls, soft hyphen, zero width, direction marks, byte order
mark.
"""

_SPACE: Final = (
    r"[\s\x0b\x{0085}\x{00a0}\x{1680}\x{2000}-\x{200a}\x{2028}\x{2029}\x{202f}\x{205f}\x{3000}]+"
)
_DASH: Final = r"[-_\x{2010}-\x{2015}\x{2212}\x{fe63}\x{ff0d}]+"
_UUID: Final = "[0-9a-fA-F]{8}-([0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}"
_QUOTES: Final = " \"'`´‘’‚“”„«»‹›{}"
_GROUPED: Final = r"[0-9]{1,3}([,'’ \x{a0}\x{202f}\x{2009}][0-9]{3})+|[0-9]{1,3}(\.[0-9]{3}){2,}"

_LONG: Final = "^([0-9]{6,})[uU]?[lL]{1,2}$"
"""How R, Python 2 and C write a long integer. Short numbers with an L are more often cells of the
left side.
"""

_EXPONENT: Final = r"[1-9][0-9]{0,5}(\.[0-9]{1,9})?[eE]\+?[0-9]{1,2}"
"""How R writes round numbers: 3e3. Beyond 11 digits it may be a spreadsheet that shortened an id
(`key_damage.rounded`).
"""

_WIDE: Final = "".join(chr(0xFF01 + n) for n in range(94)) + "⁰¹²³⁴⁵⁶⁷⁸⁹₀₁₂₃₄₅₆₇₈₉"
_NARROW: Final = "".join(chr(0x21 + n) for n in range(94)) + "01234567890123456789"

_CYRILLIC: Final = ("АВЕЅІЈКМНОРСТХУаеіјорсухѕԁԛԝһ", "ABESIJKMHOPCTXYaeijopcyxsdqwh")
_GREEK: Final = ("ΑΒΕΖΗΙΚΜΝΟΡΤΥΧανοικρυχ", "ABEZHIKMNOPTYXavoikpux")
_ARMENIAN: Final = ("ոսօհցզ", "nuohgq")
_ALIKE: Final = tuple("".join(parts) for parts in zip(_CYRILLIC, _GREEK, _ARMENIAN, strict=True))
"""Letters of other scripts that look like Latin ones (a selection from Unicode's confusables, UTS
39), and what they look like.
"""

_EDGES: Final = "^[^0-9A-Za-z]|[^0-9A-Za-z]$"
_WIDE_LETTERS: Final = r"[\x{00b2}\x{00b3}\x{00b9}\x{2070}-\x{2089}\x{ff01}-\x{ff5e}]"
_OTHER_SCRIPTS: Final = r"[\x{0370}-\x{058f}]"


def _where(condition: str, then: str) -> str:
    """SQL that costs little where `condition` does not hold: DuckDB's trim and translate are
    slow.
    """
    return f"CASE WHEN {condition} THEN {then} ELSE x END"


STEPS: Final[dict[str, str]] = {
    "invisible": f"regexp_replace(x, '{_INVISIBLE}', '', 'g')",
    "quotes": _where(f"regexp_matches(x, '{_EDGES}')", f"trim(ltrim(x, '='), {literal(_QUOTES)})"),
    "unicode": "nfc_normalize(x)",
    "width": _where(
        f"regexp_matches(x, '{_WIDE_LETTERS}')",
        f"translate(x, {literal(_WIDE)}, {literal(_NARROW)})",
    ),
    "script": _where(
        f"regexp_matches(x, '{_OTHER_SCRIPTS}')",
        f"translate(x, {literal(_ALIKE[0])}, {literal(_ALIKE[1])})",
    ),
    "grouping": _where(
        f"regexp_full_match(x, {literal(_GROUPED)})", "regexp_replace(x, '[^0-9]', '', 'g')"
    ),
    "space": f"regexp_replace(x, '{_SPACE}', '', 'g')",
    "long": rf"regexp_replace(x, '{_LONG}', '\1')",
    "exponent": _where(
        f"regexp_full_match(x, '{_EXPONENT}')",
        "coalesce(CASE WHEN x::DOUBLE < 1e11 AND x::DOUBLE = trunc(x::DOUBLE) THEN"
        " x::DOUBLE::BIGINT::VARCHAR END, x)",
    ),
    "decimal": r"regexp_replace(x, '([0-9])(\.0*|,0{1,2})$', '\1')",
    # A hyphen before a number may be its sign, and one between two numbers keeps them apart.
    "separators": _where(
        f"regexp_matches(x, '{_DASH}|{_SPACE}')",
        rf"""CASE WHEN regexp_full_match(x, '{_UUID}') THEN replace(x, '-', '')
            ELSE regexp_replace(regexp_replace(regexp_replace(x, '{_DASH}|{_SPACE}', '_', 'g'),
            '([^0-9_])_', '\1', 'g'), '([^_])_([^0-9_])', '\1\2', 'g') END""",
    ),
    "case": "lower(x)",
    "zeros": _where("contains(x, '0')", r"regexp_replace(x, '(^|[^0-9.,])0+([0-9])', '\1\2', 'g')"),
}
"""Name of a difference -> SQL that takes it out of the text x. In this order, the one that says
most first.
"""

_OF_LETTERS: Final = ("unicode", "width", "script")
"""Steps that change no ASCII text."""

_ONE_SIDED: Final = (
    "invisible",
    "quotes",
    "width",
    "script",
    "grouping",
    "space",
    "long",
    "exponent",
    "decimal",
    "zeros",
)
"""Steps that take out a fault: the side they change is the one to correct."""

_PLAIN: Final = "[a-z]*[1-9][0-9]*"
"""Keys that no step changes: seen at once, so that a million of them cost little."""


def prepare(connection: duckdb.DuckDBPyConnection) -> None:
    """Define the macros `step_<name>(x)` for each of STEPS, `glyph_form(x)` and `key_shape(x)`; any
    number of times.
    """
    for name, sql in STEPS.items():
        connection.execute(f"CREATE OR REPLACE TEMP MACRO step_{name}(x) AS ({sql})")
    # O and 0, l, I and 1: what a person mistypes, or a program that reads print.
    alike = _where("regexp_matches(x, '[OoIl|]')", "translate(x, 'OoIl|', '00111')")
    connection.execute(f"CREATE OR REPLACE TEMP MACRO glyph_form(x) AS (lower({alike}))")
    connection.execute(
        "CREATE OR REPLACE TEMP MACRO key_shape(x) AS (regexp_replace(regexp_replace(x,"
        " '[0-9]{10,}', '#', 'g'), '[0-9]+', '9', 'g'))"
    )


def with_form(query: str, column: str) -> str:
    """A query that adds to the rows of `query` the column `form`: `column` without any of the
    differences, in which keys are compared.

    One projection a step, so that no step is written out, and done, more than once.
    """
    query = (
        f"SELECT *, regexp_full_match({column}, '{_PLAIN}') AS form_plain, {column} AS form FROM"
        f" ({query})"
    )
    for name in STEPS:
        condition = (
            "form_plain OR strlen(form) = length(form)" if name in _OF_LETTERS else "form_plain"
        )
        query = (
            f"SELECT * REPLACE (CASE WHEN {condition} THEN form ELSE step_{name}(form) END AS form)"
            f" FROM ({query})"
        )
    return f"SELECT * EXCLUDE (form_plain) FROM ({query})"


def difference(orphan: str, key: str) -> str:
    """SQL: what one step makes the texts `orphan` and `key` (SQL expressions) equal, as
    "<step>:<where>", or "spelling:both".

    `where` is `here` when the step changes the orphan, `there` when it changes the key, `both` when
    it changes both.
    """
    quick = f"""WHEN {orphan} = {key} || '.0' THEN 'decimal:here' WHEN {key} = {orphan} || '.0' THEN 'decimal:there'
        WHEN lower({orphan}) = lower({key}) THEN 'case:both'
        WHEN ltrim({orphan}, '0') = ltrim({key}, '0') AND {orphan} BETWEEN '1' AND '9z' THEN 'zeros:there'
        WHEN ltrim({orphan}, '0') = ltrim({key}, '0') AND {key} BETWEEN '1' AND '9z' THEN 'zeros:here'"""
    any_letters = f"(strlen({orphan}) > length({orphan}) OR strlen({key}) > length({key}))"
    cases = []
    for name in STEPS:
        o, k = f"step_{name}({orphan})", f"step_{name}({key})"
        where = (
            f"CASE WHEN {o} = {orphan} THEN 'there' WHEN {k} = {key} THEN 'here' ELSE 'both' END"
            if name in _ONE_SIDED
            else "'both'"
        )
        cases.append(
            f"WHEN {any_letters if name in _OF_LETTERS else 'TRUE'} AND {o} = {k} THEN '{name}:' ||"
            f" {where}"
        )
    return f"CASE {quick} {' '.join(cases)} ELSE 'spelling:both' END"
