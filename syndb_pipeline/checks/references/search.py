"""The key that an orphan was meant to be: the same in another writing, or before a program changed
it.

Belongs here: comparing orphans with keys in SQL, by what `orphans.toml` says of each cause, and
reading text again that was read in a wrong encoding. Does not: which causes are tried when, and
which of several holds (`orphans.py`).
"""

from __future__ import annotations

import codecs
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import duckdb
from pydantic import BaseModel, ConfigDict

from syndb_pipeline.base.engine import given, literal
from syndb_pipeline.checks.causes import Cause, causes, read
from syndb_pipeline.checks.dataset import Asking, Dataset

CODES: Final = ("SYN-REL-001", "SYN-REL-002")

_FILE: Final = Path(__file__).with_name("orphans.toml")

_PLAIN: Final = "[a-z]*[1-9][0-9]*"
"""Keys that no form changes: seen at once, so that a million of them cost little."""


class Look(BaseModel):
    """One way to find damage: see the head of `orphans.toml`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    among: str = "TRUE"
    measure: str = ""
    damaged: str = "TRUE"
    form: str
    whole: str = "TRUE"
    whole_form: str = ""
    label: str = ""
    where: str = "TRUE"
    one_way: bool = False


class OrphanCause(Cause):
    """A cause of orphans: see the head of `orphans.toml`."""

    reason: str = "; {target} has {key!r}"
    form: str = ""
    only: str = ""
    letters: bool = False
    symmetric: bool = False
    looks: tuple[Look, ...] = ()
    ambiguous: bool = False
    first: bool = False
    characters: tuple[str, ...] = ()


CAUSES: Final = causes(_FILE, OrphanCause)

_FORMS: Final = {name: cause for name, cause in CAUSES.items() if cause.form}

_COMMONEST: Final = ("decimal", "zeros", "case")
"""Forms that are tried first on a pair of texts."""


def prepare(connection: duckdb.DuckDBPyConnection) -> None:
    """Define the macros of `orphans.toml` and `form_<cause>(x)` for each form; any number of
    times."""
    forms = {
        f"form_{name}": f"CASE WHEN {cause.only or 'TRUE'} THEN {cause.form} ELSE x END"
        for name, cause in _FORMS.items()
    }
    for name, sql in {**read(_FILE)["macros"], **forms}.items():
        connection.execute(f"CREATE OR REPLACE TEMP MACRO {name}(x) AS ({sql})")


def with_form(query: str, column: str) -> str:
    """A query that adds to the rows of `query` the column `form`: `column` without any of the
    differences, in which keys are compared.

    One projection a form, so that none is written out, and done, more than once.
    """
    plain = f"regexp_full_match({column}, '{_PLAIN}')"
    query = f"SELECT *, {plain} AS form_plain, {column} AS form FROM ({query})"
    for name, cause in _FORMS.items():
        same = "form_plain OR strlen(form) = length(form)" if cause.letters else "form_plain"
        form = f"CASE WHEN {same} THEN form ELSE form_{name}(form) END"
        query = f"SELECT * REPLACE ({form} AS form) FROM ({query})"
    return f"SELECT * EXCLUDE (form_plain) FROM ({query})"


def _difference() -> str:
    """SQL: the form that makes the texts `value` and `key` equal, as "<cause>:<side>", or
    "spelling:both".

    The side is `here` when it changes the orphan, `there` when it changes the key, `both` when it
    changes both.
    """
    cases = []
    for name in dict.fromkeys([*_COMMONEST, *_FORMS]):
        cause = _FORMS[name]
        one, other = f"form_{name}(value)", f"form_{name}(key)"
        when = f"{one} = {other}"
        if cause.letters:
            when = f"(strlen(value) > length(value) OR strlen(key) > length(key)) AND {when}"
        side = f"WHEN {one} = value THEN 'there' WHEN {other} = key THEN 'here'"
        side = "'both'" if cause.symmetric else f"CASE {side} ELSE 'both' END"
        cases.append(f"WHEN {when} THEN '{name}:' || {side}")
    return f"CASE {' '.join(cases)} ELSE 'spelling:both' END"


@dataclass
class Search(Asking):
    """What a search looks at: a `column` of a `table` of `data` with orphans, and the `target` it
    points to. `pending` is a query for the orphans that nothing explains yet (value, first row),
    `keys` for the keys of the target (row, key).

    Each search adds rows to the table `explained` (value, cause, key, several); `several` when more
    than one key would do.
    """

    data: Dataset
    table: str
    column: str
    target: str
    keys: str
    pending: str = "SELECT value, first FROM orphan ANTI JOIN explained USING (value)"

    @property
    def orphaned(self) -> str:
        """The condition for the orphans among the failing cells."""
        return f"code IN {CODES} AND tbl = {literal(self.table)} AND col = {literal(self.column)}"

    @property
    def rows(self) -> str:
        """A query for row and x of all values of the column."""
        cells = self.data.cells(self.table, self.column)
        return f"SELECT row, value AS x FROM {cells} WHERE value IS NOT NULL"

    def values(self, side: str) -> str:
        """A query for all values x of one side of a difference: those of the column `here`, or the
        keys `there`."""
        return self.rows if side == "here" else f"SELECT key AS x FROM ({self.keys})"

    def explain(self, cause: str, values: str, key: str = "NULL") -> None:
        """Give the orphans of the query `values` the `cause`; `key` is SQL for what they
        resemble."""
        self.connection.execute(
            f"INSERT INTO explained SELECT value, {literal(cause)}, {key}, FALSE FROM ({values})"
        )

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
        self.connection.execute(
            f"""CREATE OR REPLACE TEMP TABLE forms AS
                SELECT value, hash(form) AS form FROM ({orphans}) WHERE form IS NOT NULL;
                CREATE OR REPLACE TEMP TABLE meetings AS
                WITH held AS (SELECT hash(form) AS form, min(row) AS first, max(row) AS last
                    FROM ({keys}) WHERE hash(form) IN (SELECT form FROM forms) GROUP BY ALL)
                SELECT value, unnest(list_distinct([first, last])) AS row
                FROM forms JOIN held USING (form);
                INSERT INTO explained
                WITH pairs AS (SELECT value, key FROM meetings JOIN ({self.keys}) USING (row)),
                    named AS (SELECT value, key, {cause} AS cause FROM pairs WHERE {where}),
                    best AS (SELECT value, min(key) <> max(key) AS several,
                            min(struct_pack(r := {rank}, c := cause, k := key)) AS best
                        FROM named WHERE cause IS NOT NULL GROUP BY value)
                SELECT value, best.c, best.k, several FROM best"""
        )

    def settle(self) -> None:
        """Keep one explanation of each orphan: the one that holds for most others."""
        self.connection.execute(
            """CREATE OR REPLACE TEMP TABLE explained AS
               WITH weighed AS (
                   SELECT *, count(*) OVER (PARTITION BY cause) AS support FROM explained)
               SELECT value, cause, key, several FROM weighed
               QUALIFY row_number() OVER (PARTITION BY value ORDER BY support DESC,
                   starts_with(cause, 'table:'), cause, key) = 1"""
        )

    def written_otherwise(self) -> None:
        """Orphans of which the target has the key, written differently."""
        orphans, keys = with_form(self.pending, "value"), with_form(self.keys, "key")
        order = literal([*_COMMONEST, *_FORMS, "spelling"])
        self.match(
            _difference(),
            f"SELECT value, nullif(form, '') AS form FROM ({orphans})",
            f"SELECT row, form FROM ({keys})",
            rank=f"list_position({order}, split_part(cause, ':', 1))",
        )

    def look(self, cause: str) -> None:
        """Orphans that are explained by damage, by all looks of `cause`, on either side."""
        for look in CAUSES[cause].looks:
            for side in ("here",) if look.one_way else ("here", "there"):
                self._look(cause, look, side)

    def _look(self, cause: str, look: Look, side: str) -> None:
        orphans = f"SELECT value, value AS x FROM ({self.pending})"
        keys = f"SELECT row, key AS x FROM ({self.keys})"
        spoilt, whole = (orphans, keys) if side == "here" else (keys, orphans)
        found = f"SELECT * FROM ({spoilt}) WHERE {look.among}"
        if look.among != "TRUE" and not self.some(found):
            return
        measure = None
        if look.measure:
            measured = self.fetch(f"WITH found AS ({found}) {look.measure}")
            measure = measured[0][0] if measured else None
            if measure is None:
                return

        def filled(sql: str) -> str:
            return sql.replace("@measure", literal(measure)).replace("@side", literal(side))

        def formed(query: str, only: str, form: str) -> str:
            return filled(f"SELECT * EXCLUDE (x), {form} AS form FROM ({query}) WHERE {only}")

        bad = formed(found, look.damaged, look.form)
        good = formed(whole, look.whole, look.whole_form or look.form)
        label = filled(look.label) or literal(f"{cause}:{side}")
        self.match(label, *((bad, good) if side == "here" else (good, bad)), look.where)

    def rounded(self) -> None:
        """Ids that passed through a number: rounded to 15 digits by a spreadsheet, to 53 bits by a
        double, or written as 7.2E+17."""
        self.connection.execute(
            f"CREATE OR REPLACE TEMP TABLE long_orphan AS FROM ({self.pending}) "
            "WHERE is_long(value)"
        )
        keys = f"SELECT * FROM ({self.keys}) WHERE is_long(key)"
        long = replace(self, pending="FROM long_orphan", keys=keys)
        if self.some(long.pending) and self.some(long.keys):
            # An id may fit what a spreadsheet leaves and what a double does: then it goes with what
            # most of its neighbours fit.
            long.look("sheet")
            long.look("float")
            self.settle()
            self.connection.execute("DELETE FROM explained WHERE cause = 'float:both'")
        self.look("scientific")

    def read_otherwise(self) -> None:
        """Explain orphans as `encoding:<side>` where a key is the word that they were before it was
        read in a wrong encoding (HÃ¼gel for Hügel), or the other way round."""
        orphans = f"SELECT value FROM ({self.pending}) WHERE strlen(value) > length(value)"
        for side, readings in _READINGS.items():
            if not self.some(orphans):
                break
            self._read(f"{orphans} ORDER BY first LIMIT {_SAMPLE}", readings)
            fitting = self.fetch(
                f"""SELECT reading FROM read_otherwise WHERE form IN (SELECT key FROM ({self.keys}))
                    GROUP BY reading ORDER BY count(*) DESC, reading"""
            )
            for (number,) in fitting:
                self._read(orphans, [readings[number]])
                keys = f"SELECT row, key AS form FROM ({self.keys})"
                self.match(f"'encoding:{side}'", "FROM read_otherwise", keys)
        self.look("encoding")

    def _read(self, orphans: str, readings: Sequence[_Reading]) -> None:
        """Make the table `read_otherwise` (value, reading, form) of what each of the `orphans` is
        by each of `readings`."""
        columns = {"value": "VARCHAR", "reading": "BIGINT", "form": "VARCHAR"}
        self.connection.execute(
            f"""CREATE OR REPLACE TEMP TABLE read_otherwise
                    (value VARCHAR, reading BIGINT, form VARCHAR);
                CREATE OR REPLACE TEMP TABLE to_read AS {orphans}"""
        )
        for start in range(0, self.count("FROM to_read"), _TOGETHER):
            some = self.fetch(
                f"SELECT value FROM to_read WHERE rowid BETWEEN {start} AND {start + _TOGETHER - 1}"
            )
            forms = [
                (value, number, form)
                for number, reading in enumerate(readings)
                for (value,) in some
                if (form := _reread(value, reading)) not in (None, value)
            ]
            with given(self.connection, "some_forms", columns, forms):
                self.connection.execute("INSERT INTO read_otherwise FROM some_forms")


@dataclass(frozen=True, slots=True)
class Evidence:
    """What is known of the orphans of one column that share a cause.

    `value` is the first of them in the file, `key` the key it resembles, `distinct` how many there
    are, `several` for how many of them more than one key would do; `facts` are what the sentences
    of the cause name beside.
    """

    orphans: Search
    cause: str
    value: str
    key: str | None
    distinct: int
    several: int
    facts: Mapping[str, Any]


# -- what a text was, or becomes, that is read in a wrong encoding

_Reading = tuple[tuple[str, str], ...]
"""Pairs of encodings: a text's bytes in the first are read as the second, pair by pair."""

_SAMPLE: Final = 1_000
"""Orphans of which it is seen how they were read: a table is read in one way."""

_TOGETHER: Final = 50_000

_CODE_PAGES: Final = ("cp1252", "mac_roman", "cp437", "cp850", "latin-1")
"""Encodings of one byte a letter in which western labs' programs read text: Windows, old Macs, DOS,
and Unix."""

_PAIRS: Final[list[_Reading]] = [
    ((one, other),) for one in _CODE_PAGES for other in _CODE_PAGES if one != other
]


def _of_utf8(*, undo: bool) -> list[_Reading]:
    """UTF-8 that is read as each of the code pages, or as that of Windows twice; or the way
    back."""
    once = [(page, "utf-8") if undo else ("utf-8", page) for page in _CODE_PAGES]
    return [*((pair,) for pair in once), (once[0], once[0])]


_READINGS: Final = {
    "here": [*_of_utf8(undo=True), *_PAIRS],
    "there": [*_of_utf8(undo=False), *_PAIRS],
}


def _controls(error: UnicodeError) -> tuple[str | bytes, int]:
    """Take the bytes that a code page leaves open for the control characters of their numbers."""
    if isinstance(error, UnicodeDecodeError):
        return error.object[error.start : error.end].decode("latin-1"), error.end
    if isinstance(error, UnicodeEncodeError) and error.object[error.start] < "\xa0":
        return error.object[error.start].encode("latin-1"), error.start + 1
    raise error


codecs.register_error("syndb-controls", _controls)


def _reread(text: str, reading: _Reading) -> str | None:
    """What `text` is by `reading`; None where it is nothing."""
    for one, other in reading:
        errors = {name: "strict" if name == "utf-8" else "syndb-controls" for name in (one, other)}
        try:
            text = text.encode(one, errors[one]).decode(other, errors[other])
        except UnicodeError:
            return None
    return unicodedata.normalize("NFC", text) if reading[-1][1] == "utf-8" else text
