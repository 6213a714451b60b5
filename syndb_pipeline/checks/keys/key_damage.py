"""Keys that a program changed beyond their writing: rounded numbers, dates, cut ends, lost
beginnings, mistyped letters.

Belongs here: finding, in SQL, the key that an orphan was before. Does not: keys that are only
written differently (`key_forms`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import duckdb

from syndb_pipeline.base.engine import literal

_LONG: Final = r"[0-9]{16,38}"
_SHORT_FORM: Final = r"[0-9]([.,][0-9]{1,30})?[eE]\+?[0-9]{1,3}"
_WHOLE: Final = "[0-9]{5,38}"
_SHEET_DIGITS: Final = 15
_ZEROS: Final = f"[0-9]{{{_SHEET_DIGITS}}}0+"

_MONTHS: Final = (
    "jan",
    "feb",
    "mar",
    "apr",
    "may",
    "jun",
    "jul",
    "aug",
    "sep",
    "oct",
    "nov",
    "dec",
)
_MONTH: Final = f"({'|'.join(_MONTHS)})[a-z]*"
_DATES: Final = (
    r"[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}([ T][0-9:.]+Z?)?",
    r"[0-9]{1,2}[./][0-9]{1,2}[./]([0-9]{4}|[0-9]{2})( [0-9:]+)?",
    rf"[0-9]{{1,2}}[- .]+{_MONTH}\.?([- ]+[0-9]{{2,4}})?",
    rf"{_MONTH}\.?[- ]+[0-9]{{1,4}}",
)
"""What spreadsheets write for a day: 2023-03-01 00:00:00, 01.03.2023, 1-Mar, Mar-23; held against
small letters.
"""

_ROW: Final = {"value": "value", "key": "row"}
"""What a search matches by, beside the form: the text of orphans, which are few, and the row of
keys.
"""

_LONGEST_AFFIX: Final = 40

_FEW: Final = 0.05

SHORTEST_CUT: Final = 6
"""Characters that a cut key must have left, for its match to mean something."""

AGREEING: Final = 3
"""Distinct keys that must agree before a diagnosis is more than possible."""


@dataclass(frozen=True, slots=True)
class Search:
    """What a search looks at: `pending` and `keys` are queries for the orphans (value, first) and
    the keys of the target (row, key).

    Each search adds rows to the table `explained` (value, cause, key, several); `several` when more
    than one key would do.
    """

    connection: duckdb.DuckDBPyConnection
    pending: str
    keys: str

    def count(self, query: str) -> int:
        (count,) = self.connection.execute(f"SELECT count(*) FROM ({query})").fetchone() or (0,)
        return int(count)

    def some(self, query: str) -> bool:
        return self.connection.execute(f"SELECT 1 FROM ({query}) LIMIT 1").fetchone() is not None

    def match(
        self, cause: str, orphans: str, keys: str, where: str = "TRUE", rank: str = "0"
    ) -> None:
        """Explain orphans by the keys of equal form: `orphans` gives value and form, `keys` row and
        form.

        `cause`, `where` and `rank` (the lowest is taken) are SQL over value and key. Of the keys of
        one form the first row and the last are looked at, so that any number of them costs no more
        than two; forms meet by their hash and rows by their number, which takes little memory, and
        what a meeting is worth is seen from the texts.
        """
        run = self.connection.execute
        run(
            "CREATE OR REPLACE TEMP TABLE forms AS SELECT value, hash(form) AS form FROM"
            f" ({orphans}) WHERE form IS NOT NULL"
        )
        run(f"""CREATE OR REPLACE TEMP TABLE meetings AS
                WITH held AS (SELECT hash(form) AS form, min(row) AS first, max(row) AS last FROM
                  ({keys})
                              WHERE hash(form) IN (SELECT form FROM forms) GROUP BY ALL)
                SELECT value, unnest(CASE WHEN first = last THEN [first] ELSE [first, last] END) AS
                  row FROM forms JOIN held USING (form)""")
        run(f"""INSERT INTO explained
                WITH pairs AS (SELECT value, key FROM meetings JOIN ({self.keys}) keys USING (row)),
                     told AS (SELECT value, key, {cause} AS cause FROM pairs WHERE {where}),
                     best AS (SELECT value, min(struct_pack(r := {rank}, c := cause, k := key)) AS
                       best, min(key) <> max(key) AS several
                              FROM told WHERE cause IS NOT NULL GROUP BY value)
                SELECT value, best.c, best.k, several FROM best""")

    def settle(self) -> None:
        """Keep one explanation of each orphan: the one that holds for most others."""
        self.connection.execute("""CREATE OR REPLACE TEMP TABLE explained AS
               WITH weighed AS (SELECT *, count(*) OVER (PARTITION BY cause) AS support FROM
                 explained)
               SELECT value, cause, key, several FROM weighed
               QUALIFY row_number() OVER (PARTITION BY value ORDER BY support DESC,
                 starts_with(cause, 'table:'), cause, key) = 1""")


def rounded(search: Search) -> None:
    """Ids that passed through a number: `float:<where>` beyond 2^53, `sheet:<where>` 15 digits and
    zeros, `scientific:<where>` 7.2E+17.
    """
    search.connection.execute(
        "CREATE OR REPLACE TEMP TABLE long_orphan AS"
        f" {_only(search.pending, _fits('value', _LONG))}"
    )
    o_long, k_long = "FROM long_orphan", _only(search.keys, _fits("key", _LONG))
    if search.some(o_long) and search.some(k_long):
        # A spreadsheet cuts what is typed after 15 digits, and rounds what it reads. An id may fit
        # that and the float: then it goes with what most of its neighbours fit.
        for digits in (_cut_digits, _round_digits):
            for where, of_orphans, of_keys in (
                ("here", _fits("value", _ZEROS), "TRUE"),
                ("there", "TRUE", _fits("key", _ZEROS)),
            ):
                search.match(
                    f"'sheet:{where}'",
                    f"SELECT value, {digits('value')} AS form FROM ({o_long}) WHERE {of_orphans}",
                    f"SELECT row, {digits('key')} AS form FROM ({k_long}) WHERE {of_keys}",
                )
        search.match(
            f"'float:' || {_rounded_side('value', 'key')}",
            f"SELECT value, try_cast(value AS DOUBLE) AS form FROM ({o_long})",
            f"SELECT row, try_cast(key AS DOUBLE) AS form FROM ({k_long})",
            "length(value) = length(key)",
        )
        search.settle()
        _join_the_many(search)
    for where, shown, other in (("here", "value", "key"), ("there", "key", "value")):
        spoilt, whole = (
            (search.pending, search.keys) if where == "here" else (search.keys, search.pending)
        )
        written = _only(spoilt, _fits(shown, _SHORT_FORM))
        if not search.some(written):
            continue
        mantissa = f"regexp_replace(regexp_extract({shown}, '^[^eE]*'), '[^0-9]', '', 'g')"
        (digits,) = search.connection.execute(
            f"SELECT max(length({mantissa})) FROM ({written})"
        ).fetchone() or (1,)
        shortened = (
            f"SELECT {_ROW[shown]}, try_cast(replace({shown}, ',', '.') AS DOUBLE) AS form FROM"
            f" ({written})"
        )
        as_shown = f"format('{{:.{digits - 1}e}}', try_cast({other} AS DOUBLE))::DOUBLE"
        exact = (
            f"SELECT {_ROW[other]}, {as_shown} AS form FROM ({_only(whole, _fits(other, _WHOLE))})"
        )
        orphans, keys = (shortened, exact) if where == "here" else (exact, shortened)
        search.match(f"'scientific:{where}'", orphans, keys)


def _only(query: str, condition: str) -> str:
    return f"SELECT * FROM ({query}) WHERE {condition}"


def _fits(name: str, pattern: str) -> str:
    return f"regexp_full_match({name}, {literal(pattern)})"


def _cut_digits(name: str) -> str:
    return f"length({name}) || ':' || left({name}, {_SHEET_DIGITS})"


def _round_digits(name: str) -> str:
    return (
        f"length({name}) || ':' || format('{{:.{_SHEET_DIGITS - 1}e}}', try_cast({name} AS DOUBLE))"
    )


def given_back(name: str) -> str:
    """SQL: the text `name`, a long whole number, is what a double gives back of it, in full or as
    the fewest digits and zeros.
    """
    double = f"try_cast({name} AS DOUBLE)"
    shortest = f"replace(regexp_extract({double}::VARCHAR, '^[^e]*'), '.', '')"
    return (
        f"(try_cast({double} AS HUGEINT)::VARCHAR = {name} OR rpad({shortest},"
        f" length({name})::INTEGER, '0') = {name})"
    )


def keeps_its_digits(name: str, kind: str) -> str:
    """SQL: the text `name` is a long id that neither a double (`kind` float) nor a spreadsheet
    (sheet) can have written.
    """
    damaged = given_back(name) if kind == "float" else _fits(name, _ZEROS)
    return f"({_fits(name, _LONG)} AND NOT {damaged})"


def _rounded_side(orphan: str, key: str) -> str:
    """SQL: which of two ids of one float it is that the float gives back, in full or to as many
    digits as tell it from others.

    NULL when neither is: two ids that differ in their last digits are no sign of damage. `both`
    when it gives back either.
    """

    return f"""CASE WHEN {given_back(orphan)} AND NOT {given_back(key)} THEN 'here'
        WHEN {given_back(key)} AND NOT {given_back(orphan)} THEN 'there' WHEN {given_back(orphan)} THEN 'both' END"""


def _join_the_many(search: Search) -> None:
    """A few rounded ids that by chance look rounded otherwise go with the many of their column;
    alone, an unclear one says nothing.
    """
    rounded_ids = "split_part(cause, ':', 1) IN ('float', 'sheet')"
    counts = search.connection.execute(
        f"SELECT cause, count(*) AS n FROM explained WHERE {rounded_ids} GROUP BY 1 ORDER BY n"
        " DESC, 1"
    ).fetchall()
    for cause, count in counts[1:]:
        if count <= _FEW * counts[0][1]:
            search.connection.execute(
                "UPDATE explained SET cause = ? WHERE cause = ?", [counts[0][0], cause]
            )
    search.connection.execute("DELETE FROM explained WHERE cause = 'float:both'")


def dates(search: Search) -> None:
    """Ids that a spreadsheet took for days: `date:<where>`. 1-3 or MAR1 became 2023-03-01 00:00:00
    or 1-Mar on one side.
    """

    def is_date(name: str) -> str:
        return _fits(f"lower({name})", "|".join(f"({each})" for each in _DATES))

    for where, name, other in (("here", "value", "key"), ("there", "key", "value")):
        spoilt, whole = (
            (search.pending, search.keys) if where == "here" else (search.keys, search.pending)
        )
        found = _only(spoilt, is_date(name))
        if not search.some(found):
            continue
        typed = (
            f"SELECT {_ROW[other]}, {_typed(other)} AS form FROM"
            f" ({_only(whole, f'NOT {is_date(other)}')})"
        )
        meant = f"SELECT {_ROW[name]}, unnest({_meanings(name)}) AS form FROM ({found})"
        orphans, keys = (meant, typed) if where == "here" else (typed, meant)
        search.match(f"'date:{where}'", orphans, keys)


def _typed(name: str) -> str:
    """SQL: an id as it may have been typed: small letters, months by three of them, one kind of
    mark, no zeros in front.
    """
    marks = f"regexp_replace(lower({name}), '[-/._ ]+', '-', 'g')"
    months = f"regexp_replace({marks}, '{_MONTH}', '\\1', 'g')"
    apart = (
        f"regexp_replace(regexp_replace({months}, '([a-z])-?([0-9])', '\\1-\\2', 'g'),"
        " '([0-9])-?([a-z])', '\\1-\\2', 'g')"
    )
    return f"regexp_replace({apart}, '(^|[^0-9])0+([0-9])', '\\1\\2', 'g')"


def _meanings(name: str) -> str:
    """SQL: the list of what may have been typed for the day `name`, each as `_typed` would give
    it.
    """
    low = f"lower({name})"
    iso = f"regexp_extract({low}, '^([0-9]{{4}})-([0-9]{{1,2}})-([0-9]{{1,2}})', ['y', 'm', 'd'])"
    dotted = (
        f"regexp_extract({low}, '^([0-9]{{1,2}})[./]([0-9]{{1,2}})[./]([0-9]{{2,4}})', ['a', 'b',"
        " 'y'])"
    )
    day_month = f"regexp_extract({low}, '^([0-9]{{1,2}})[- .]+{_MONTH}', ['d', 'm'])"
    month_day = f"regexp_extract({low}, '^{_MONTH}\\.?[- ]+([0-9]{{1,4}})', ['m', 'd'])"
    numbers = literal(list(_MONTHS))

    def n(text: str) -> str:
        return f"try_cast({text} AS INTEGER)"

    def name_of(month: str) -> str:
        return f"{numbers}[{n(month)}]"

    def number_of(month: str) -> str:
        return f"list_position({numbers}, {month})"

    pairs = [
        *(
            (n(f"{iso}.m"), n(f"{iso}.d")),
            (n(f"{iso}.d"), n(f"{iso}.m")),
            (name_of(f"{iso}.m"), n(f"{iso}.d")),
        ),
        *(
            (n(f"{iso}.d"), name_of(f"{iso}.m")),
            (name_of(f"{iso}.m"), n(f"{iso}.y")),
            (name_of(f"{iso}.m"), n(f"right({iso}.y, 2)")),
        ),
        *((n(f"{iso}.m"), n(f"{iso}.y")), (n(f"{iso}.m"), n(f"right({iso}.y, 2)"))),
        *((n(f"{dotted}.a"), n(f"{dotted}.b")), (n(f"{dotted}.b"), n(f"{dotted}.a"))),
        *((name_of(f"{dotted}.a"), n(f"{dotted}.b")), (name_of(f"{dotted}.b"), n(f"{dotted}.a"))),
        *(
            (n(f"{day_month}.d"), number_of(f"{day_month}.m")),
            (number_of(f"{day_month}.m"), n(f"{day_month}.d")),
        ),
        *((f"{day_month}.m", n(f"{day_month}.d")), (n(f"{day_month}.d"), f"{day_month}.m")),
        *(
            (number_of(f"{month_day}.m"), n(f"{month_day}.d")),
            (n(f"{month_day}.d"), number_of(f"{month_day}.m")),
        ),
        *((f"{month_day}.m", n(f"{month_day}.d")), (n(f"{month_day}.d"), f"{month_day}.m")),
    ]
    three = [f"{n(f'{iso}.y')} || '-' || {n(f'{iso}.m')} || '-' || {n(f'{iso}.d')}"]
    three.append(f"{n(f'{iso}.d')} || '-' || {n(f'{iso}.m')} || '-' || {n(f'right({iso}.y, 2)')}")
    made = ", ".join([*(f"{first} || '-' || {second}" for first, second in pairs), *three])
    return f"list_distinct(list_filter([{made}], lambda text: text IS NOT NULL))"


def cut(search: Search) -> None:
    """`cut:here`: the orphans end after as many characters as the longest of them has, and a key
    goes on. `cut:there`: the other way.
    """
    for where, name, other in (("here", "value", "key"), ("there", "key", "value")):
        short, whole = (
            (search.pending, search.keys) if where == "here" else (search.keys, search.pending)
        )
        (length,) = search.connection.execute(
            f"SELECT max(length({name})) FROM ({short})"
        ).fetchone() or (None,)
        if length is None or length < SHORTEST_CUT:
            continue
        ends = f"SELECT {_ROW[name]}, {name} AS form FROM ({short}) WHERE length({name}) = {length}"
        goes_on = (
            f"SELECT {_ROW[other]}, left({other}, {length}) AS form FROM ({whole}) WHERE"
            f" length({other}) > {length}"
        )
        orphans, keys = (ends, goes_on) if where == "here" else (goes_on, ends)
        search.match(f"'cut:{where}'", orphans, keys)


def affixes(search: Search) -> None:
    """`prefix:here:<text>`: the orphans have a beginning that the keys lack; `prefix:there:<text>`:
    they lack one; and so with `suffix`.
    """
    for kind, end in (("prefix", "^[^0-9]+"), ("suffix", "[^0-9]+$")):
        for where, name, other in (("here", "value", "key"), ("there", "key", "value")):
            longer, bare = (
                (search.pending, search.keys) if where == "here" else (search.keys, search.pending)
            )
            # The commonest beginning alone: n12 for 12 means something when others agree.
            common = search.connection.execute(
                f"""SELECT regexp_extract({name}, '{end}') AS affix, count(*) AS n FROM ({longer})
                    GROUP BY 1 HAVING length(affix) BETWEEN 1 AND {_LONGEST_AFFIX} ORDER BY n DESC,
                      1 LIMIT 1"""
            ).fetchone()
            if common is None:
                continue
            affix = literal(common[0])
            rest = (
                f"substr({name}, {len(common[0]) + 1})"
                if kind == "prefix"
                else f"left({name}, length({name}) - {len(common[0])})"
            )
            has = f"{'starts_with' if kind == 'prefix' else 'ends_with'}({name}, {affix})"
            with_affix = (
                f"SELECT {_ROW[name]}, {rest} AS form FROM ({longer}) WHERE {has} AND"
                f" length({name}) > {len(common[0])}"
            )
            without = f"SELECT {_ROW[other]}, {other} AS form FROM ({bare})"
            orphans, keys = (with_affix, without) if where == "here" else (without, with_affix)
            search.match(literal(f"{kind}:{where}:{common[0]}"), orphans, keys)


def glyphs(search: Search) -> None:
    """`glyph:both`: the letter O for the number 0, or l or I for 1."""
    orphans, keys = (
        _only(query, f"regexp_matches({name}, '[OoIl|01]')")
        for query, name in ((search.pending, "value"), (search.keys, "key"))
    )
    if search.some(orphans):
        search.match(
            "'glyph:both'",
            f"SELECT value, glyph_form(value) AS form FROM ({orphans})",
            f"SELECT row, glyph_form(key) AS form FROM ({keys})",
        )
