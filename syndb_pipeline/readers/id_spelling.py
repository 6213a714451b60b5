"""Spellings of an id that show what a program did to it: digits that are left out, quotation marks,
a formula.

Belongs here: SQL macros over one text. Does not: casting (`casts.py`), and what a finding says of
such ids.

The macros use `mantissa` and `exponent` of `casts.py`, which defines all of them.
"""

from __future__ import annotations

from typing import Final

from syndb_pipeline.base.engine import literal

EXACT_FLOAT: Final = 2**53
"""The largest whole number up to which a double holds every whole number."""

EXACT_FLOAT32: Final = 2**24
"""The same for a float of 32 bits, as Parquet's FLOAT is."""

_FEWEST_LOST: Final = 10**11
"""From here on spreadsheets show a number in short form; what they show of a smaller one is its
digits.
"""

_MARKS: Final = "\"'`´‘’‚“”„«»‹›"
"""Quotation marks of programs and of languages."""

MACROS: Final = (
    # A number whose spelling does not say all its digits, so that no id can be read from it:
    # 7.2E+17, 7,2e17, 720575940631797800.0. Most keys are seen to be none by their first letter,
    # and others by having no e; a cast that fails takes as long as a pattern.
    r"""number_in_short(x) AS (CASE WHEN x BETWEEN '+' AND ':' AND strlen(x) <= 30 THEN
        CASE WHEN contains(x, 'e') OR contains(x, 'E') THEN regexp_full_match(x, '[+-]?[0-9]{1,3}([.,][0-9]*)?[eE]\+[0-9]+')
                OR (regexp_full_match(x, '[+-]?[0-9]+[.,][0-9]*[eE]\+?[0-9]+') AND lost_digits(replace(x, ',', '.')))
            WHEN strlen(x) > 16 AND (contains(x, '.') OR contains(x, ','))
                THEN regexp_full_match(x, '[+-]?[0-9]{16,}[.,]0*') AND beyond_double(x)
            ELSE FALSE END ELSE FALSE END)""",
    # Digits before a point that a double gives back, in full or to as many as tell it from others:
    # it may have been any near one.
    r"""given_back(i, d) AS (coalesce((d::HUGEINT)::VARCHAR = i
        OR rpad(replace(regexp_extract(d::VARCHAR, '^[^e]*'), '.', ''), length(i)::INTEGER, '0') = i, TRUE))""",
    rf"""beyond_double(x) AS (coalesce(abs(try_cast(regexp_extract(x, '[0-9]+') AS HUGEINT)) > {EXACT_FLOAT}, TRUE)
        AND given_back(regexp_extract(x, '[0-9]+'), try_cast(regexp_extract(x, '[0-9]+') AS DOUBLE)))""",
    rf"""lost_digits(s) AS (coalesce(length(regexp_replace(mantissa(s), '[^0-9]', '', 'g')) <= exponent(s), FALSE)
        OR coalesce(abs(try_cast(s AS DOUBLE)) > {EXACT_FLOAT}, FALSE))""",
    # Without point and sign it may also be a name, as 3E17 is one of a well: its neighbours tell.
    """maybe_in_short(x) AS (CASE WHEN x BETWEEN '+' AND ':' AND strlen(x) <= 7 AND (contains(x, 'e') OR contains(x, 'E'))
        THEN regexp_full_match(x, '[0-9]{1,4}[eE][0-9]{1,2}') AND coalesce(try_cast(x AS DOUBLE) >= 1e15, FALSE) ELSE FALSE END)""",
    f"""big_in_short(s) AS (regexp_matches(s, '[eE.]') AND (abs(try_cast(s AS DOUBLE)) > {EXACT_FLOAT}
        OR (contains(lower(s), 'e') AND lost_digits(s) AND abs(try_cast(s AS DOUBLE)) >= {_FEWEST_LOST})))""",
    # A quotation mark on both sides, or before digits; a formula. Keys that begin with a letter or
    # digit are seen at once.
    f"""has_marks(x) AS (CASE WHEN x BETWEEN '0' AND ':' OR x BETWEEN 'A' AND '[' OR x BETWEEN 'a' AND '{{' THEN FALSE
        ELSE regexp_full_match(x, {literal(f"=.+|[{_MARKS}].*[{_MARKS}]|[{_MARKS}][0-9]+")}) END)""",
    # The kind of cell as which ingest notes an odd spelling; NULL for most.
    """spelling(x) AS (CASE WHEN number_in_short(x) THEN 'float' WHEN maybe_in_short(x) THEN 'short' WHEN has_marks(x) THEN 'marks' END)""",
)
