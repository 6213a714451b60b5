"""The key that an orphan was meant to be: the same in another writing, or before a program changed
it.

Belongs here: comparing orphans with keys in SQL, by what `orphans.toml` says of each cause. Does
not: which causes are tried when, and which of several holds (`orphans.py`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import duckdb
from pydantic import BaseModel, ConfigDict

from syndb_pipeline.base.engine import literal
from syndb_pipeline.checks.causes import Cause, causes, read
from syndb_pipeline.checks.dataset import Asking
from syndb_pipeline.contract.key_encoding import cells_of
from syndb_pipeline.state.row_locations import SourceMap

CODES: Final = ("SYN-REL-001", "SYN-REL-002")

_FILE: Final = Path(__file__).with_name("orphans.toml")

_FEW: Final = 0.05
"""Part of the rounded ids of a column that look rounded in another way by chance."""

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


def prepare(connection: duckdb.DuckDBPyConnection) -> None:
    """Define the macros of `orphans.toml` and `form_<cause>(x)` for each form; any number of
    times."""
    forms = {
        f"form_{name}": f"CASE WHEN {cause.only} THEN {cause.form} ELSE x END"
        if cause.only
        else cause.form
        for name, cause in _FORMS.items()
    }
    for name, sql in {**read(_FILE)["macros"], **forms}.items():
        connection.execute(f"CREATE OR REPLACE TEMP MACRO {name}(x) AS ({sql})")


def with_form(query: str, column: str) -> str:
    """A query that adds to the rows of `query` the column `form`: `column` without any of the
    differences, in which keys are compared.

    One projection a form, so that none is written out, and done, more than once.
    """
    query = (
        f"SELECT *, regexp_full_match({column}, '{_PLAIN}') AS form_plain, {column} AS form FROM "
        f"({query})"
    )
    for name, cause in _FORMS.items():
        condition = "form_plain OR strlen(form) = length(form)" if cause.letters else "form_plain"
        query = (
            f"SELECT * REPLACE (CASE WHEN {condition} THEN form ELSE form_{name}(form) END AS "
            f"form) FROM ({query})"
        )
    return f"SELECT * EXCLUDE (form_plain) FROM ({query})"


_QUICK: Final = """WHEN value = key || '.0' THEN 'decimal:here'
    WHEN key = value || '.0' THEN 'decimal:there'
    WHEN lower(value) = lower(key) THEN 'case:both'
    WHEN ltrim(value, '0') = ltrim(key, '0') AND value BETWEEN '1' AND '9z' THEN 'zeros:there'
    WHEN ltrim(value, '0') = ltrim(key, '0') AND key BETWEEN '1' AND '9z' THEN 'zeros:here'"""
"""SQL cases of the commonest differences."""


def _difference() -> str:
    """SQL: the form that makes the texts `value` and `key` equal, as "<cause>:<side>", or
    "spelling:both".

    The side is `here` when it changes the orphan, `there` when it changes the key, `both` when it
    changes both.
    """
    cases = []
    for name, cause in _FORMS.items():
        one, other = f"form_{name}(value)", f"form_{name}(key)"
        side = (
            "'both'"
            if cause.symmetric
            else (
                f"CASE WHEN {one} = value THEN 'there' WHEN {other} = key THEN 'here' ELSE 'both' "
                "END"
            )
        )
        any_letters = (
            "(strlen(value) > length(value) OR strlen(key) > length(key)) AND "
            if cause.letters
            else ""
        )
        cases.append(f"WHEN {any_letters}{one} = {other} THEN '{name}:' || {side}")
    return f"CASE {_QUICK} {' '.join(cases)} ELSE 'spelling:both' END"


@dataclass(frozen=True, slots=True)
class Column:
    """A column with orphans: the table it should point to, all tables' keys, and where its own
    table is."""

    table: str
    name: str
    target: str
    ids: Mapping[str, Path]
    path: Path
    sources: SourceMap

    @property
    def orphaned(self) -> str:
        """The condition for its orphans among the failing cells."""
        return f"code IN {CODES} AND tbl = {literal(self.table)} AND col = {literal(self.name)}"

    @property
    def rows(self) -> str:
        """A query for row and x of all its values."""
        cells = cells_of(self.path, self.name)
        return f"SELECT row, value AS x FROM {cells} WHERE value IS NOT NULL"

    def values(self, side: str, orphans: Search) -> str:
        """A query for all values x of one side of a difference: those of the column `here`, or the
        keys `there`."""
        return self.rows if side == "here" else f"SELECT key AS x FROM ({orphans.keys})"


@dataclass(frozen=True, slots=True)
class Evidence:
    """What is known of the orphans of one column that share a cause.

    `value` is the first of them in the file, `key` the key it resembles, `distinct` how many there
    are, `several` for how many of them more than one key would do; `facts` are what the sentences
    of the cause name beside.
    """

    column: Column
    cause: str
    value: str
    key: str | None
    distinct: int
    several: int
    facts: Mapping[str, Any]


@dataclass
class Search(Asking):
    """What a search looks at: `pending` and `keys` are queries for the orphans (value, first) and
    the keys of the target (row, key).

    Each search adds rows to the table `explained` (value, cause, key, several); `several` when more
    than one key would do.
    """

    pending: str
    keys: str

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
        run = self.connection.execute
        run(
            "CREATE OR REPLACE TEMP TABLE forms AS SELECT value, hash(form) AS form FROM "
            f"({orphans}) WHERE form IS NOT NULL"
        )
        run(
            f"""CREATE OR REPLACE TEMP TABLE meetings AS
                WITH held AS (SELECT hash(form) AS form, min(row) AS first, max(row) AS last FROM
                  ({keys})
                              WHERE hash(form) IN (SELECT form FROM forms) GROUP BY ALL)
                SELECT value, unnest(CASE WHEN first = last THEN [first] ELSE [first, last] END) AS
                  row FROM forms JOIN held USING (form)"""
        )
        run(
            f"""INSERT INTO explained
                WITH pairs AS (SELECT value, key FROM meetings JOIN ({self.keys}) keys USING (row)),
                     named AS (SELECT value, key, {cause} AS cause FROM pairs WHERE {where}),
                     best AS (SELECT value, min(struct_pack(r := {rank}, c := cause, k := key)) AS
                       best, min(key) <> max(key) AS several
                              FROM named WHERE cause IS NOT NULL GROUP BY value)
                SELECT value, best.c, best.k, several FROM best"""
        )

    def settle(self) -> None:
        """Keep one explanation of each orphan: the one that holds for most others."""
        self.connection.execute(
            """CREATE OR REPLACE TEMP TABLE explained AS
               WITH weighed AS (SELECT *, count(*) OVER (PARTITION BY cause) AS support FROM
                 explained)
               SELECT value, cause, key, several FROM weighed
               QUALIFY row_number() OVER (PARTITION BY value ORDER BY support DESC,
                 starts_with(cause, 'table:'), cause, key) = 1"""
        )

    def written_otherwise(self) -> None:
        """Orphans of which the target has the key, written differently."""
        orphans, keys = with_form(self.pending, "value"), with_form(self.keys, "key")
        order = literal(["decimal", "zeros", "case", *_FORMS, "spelling"])
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
        orphans, keys = (
            f"SELECT value, value AS x FROM ({self.pending})",
            f"SELECT row, key AS x FROM ({self.keys})",
        )
        spoilt, whole = (orphans, keys) if side == "here" else (keys, orphans)
        found = f"SELECT * FROM ({spoilt}) WHERE {look.among}"
        if look.among != "TRUE" and not self.some(found):
            return
        measure = literal(None)
        if look.measure:
            measured = self.connection.execute(f"WITH found AS ({found}) {look.measure}").fetchall()
            if not measured or measured[0][0] is None:
                return
            measure = literal(measured[0][0])

        def filled(sql: str) -> str:
            return sql.replace("@measure", measure).replace("@side", literal(side))

        def formed(query: str, only: str, form: str) -> str:
            return filled(f"SELECT * EXCLUDE (x), {form} AS form FROM ({query}) WHERE {only}")

        bad, good = (
            formed(found, look.damaged, look.form),
            formed(whole, look.whole, look.whole_form or look.form),
        )
        label = filled(look.label) or literal(f"{cause}:{side}")
        self.match(label, *((bad, good) if side == "here" else (good, bad)), look.where)

    def rounded(self) -> None:
        """Ids that passed through a number: rounded to 15 digits by a spreadsheet, to 53 bits by a
        double, or written as 7.2E+17."""
        self.connection.execute(
            f"CREATE OR REPLACE TEMP TABLE long_orphan AS SELECT * FROM ({self.pending}) "
            "WHERE is_long(value)"
        )
        long = replace(
            self, pending="FROM long_orphan", keys=f"SELECT * FROM ({self.keys}) WHERE is_long(key)"
        )
        if self.some(long.pending) and self.some(long.keys):
            # An id may fit what a spreadsheet leaves and what a double does: then it goes with what
            # most of its neighbours fit.
            long.look("sheet")
            long.look("float")
            self.settle()
            self._join_the_many()
        self.look("scientific")

    def _join_the_many(self) -> None:
        """A few rounded ids that by chance look rounded otherwise go with the many of their column;
        alone, an unclear one says nothing."""
        rounded = "split_part(cause, ':', 1) IN ('float', 'sheet')"
        counts = self.connection.execute(
            f"SELECT cause, count(*) AS n FROM explained WHERE {rounded} GROUP BY 1 ORDER BY "
            "n DESC, 1"
        ).fetchall()
        for cause, count in counts[1:]:
            if count <= _FEW * counts[0][1]:
                self.connection.execute(
                    "UPDATE explained SET cause = ? WHERE cause = ?", [counts[0][0], cause]
                )
        self.connection.execute("DELETE FROM explained WHERE cause = 'float:both'")
