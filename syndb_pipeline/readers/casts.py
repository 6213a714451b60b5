"""From what the lab wrote to SynDB's types, as SQL: the value where the cast loses nothing, else
the raw text.

Belongs here: the casts shared by all file formats. Does not: whether a value is allowed (the
validate stage).

A quick expression takes plain values; only a row that fails it goes through a careful one (CASE is
lazy in DuckDB).
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import duckdb

from syndb_pipeline.base.engine import literal, quote
from syndb_pipeline.config.table_settings import ALL_COLUMNS, TableConfig
from syndb_pipeline.contract import no_value
from syndb_pipeline.contract.key_encoding import joined_key, surely_digits, whole_number
from syndb_pipeline.contract.tables import Column, Kind
from syndb_pipeline.readers import summary_words
from syndb_pipeline.readers.part import Part, column_name

CELLS: Final = "_cells"
"""The last column of an ingested table: what is to be said about the row's cells, NULL for nearly
every row. See `cells_of`.
"""

WHITE_SPACE: Final = "".join(chr(c) for c in range(0x3001) if chr(c).isspace()) + "\u200b\ufeff"
"""What is trimmed around keys: Unicode's white space, the zero-width space and a stray byte order
mark.
"""

EXACT_FLOAT: Final = 2**53
"""The largest whole number up to which a double holds every whole number."""

EXACT_FLOAT32: Final = 2**24
"""The same for a float of 32 bits, as Parquet's FLOAT is."""

_KEYS: Final = (Kind.KEY, Kind.REFERENCE)
_NUMBERS: Final = (Kind.NUMBER, Kind.INTEGER)
_LEAST: Final = "5e-324::DOUBLE"
_LARGEST: Final = "1.7976931348623157e308::DOUBLE"
_SIGNED: Final = ("TINYINT", "SMALLINT", "INTEGER", "BIGINT")
_NO_MORE_THAN_BIGINT: Final = (*_SIGNED, "UTINYINT", "USMALLINT", "UINTEGER")
_INTEGERS: Final = (*_NO_MORE_THAN_BIGINT, "UBIGINT", "HUGEINT", "UHUGEINT")
_FLOATS: Final = ("FLOAT", "DOUBLE")
_WITHOUT_BLANKS: Final = (*_INTEGERS, *_FLOATS, "DECIMAL", "UUID")
"""Types of which no value has white space in its text."""

TRUE_WORDS: Final = ("true", "1", "yes")
FALSE_WORDS: Final = ("false", "0", "no")

_NUMBER: Final = r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?"

GROUPING_MARKS: Final = {",": ",", ".": ".", "_": "_", " ": r" \x{00a0}\x{202f}\x{2009}", "'": "'’"}
"""`tables.<table>.thousands` -> the characters that are meant, as part of a regular expression's
class.
"""

_SURELY_GROUPED: Final = (
    rf"[+-]?[0-9]{{1,3}}(?:[.{GROUPING_MARKS[' ']}{GROUPING_MARKS[chr(39)]}][0-9]{{3}})+"
    r",[0-9]+(?:[eE][+-]?[0-9]+)?"
    r"|[+-]?[0-9]{1,3}(?:\.[0-9]{3}){2,}"
)


def prepare(connection: duckdb.DuckDBPyConnection) -> None:
    """Define the macros the casts use, those of `casts.sql`."""
    macros = Path(__file__).with_suffix(".sql").read_text(encoding="utf-8")
    macros = macros.replace("{white_space}", literal(WHITE_SPACE)).replace("{number}", _NUMBER)
    connection.execute(macros)


@dataclass(frozen=True, slots=True)
class Cast:
    """One column's cast: SQL for its typed value, the cheap condition under which a cell may need
    noting, its kind and its raw text.
    """

    value: str
    suspect: str
    kind: str
    raw: str


@dataclass(frozen=True, slots=True)
class _Text:
    """What is known of the texts of a column: that no white space is around them; the column that
    says how a key is spelt, where that is to be looked at: not of keys that were a typed column, or
    surely are whole numbers.
    """

    trimmed: bool
    spelling: str | None


def select(
    part: Part,
    targets: dict[str, int],
    columns: dict[str, Column],
    order: list[str],
    config: TableConfig,
    numbers: Collection[str] = (),
) -> str:
    """A query that gives the typed columns of `order` (SynDB's names) and `_cells`, from the
    columns of `part` at the indexes `targets`.

    What `_cells` holds, `cells_of` gives; the kinds are those of ingest's `cells.parquet`. The keys
    of the columns `numbers` are given as BIGINT; one that is no such number, digit by digit, ends
    the query (`key_encoding.not_whole`).
    """
    texts, quick, typed, whole, casts = [], [], [], [], {}
    read = {name: f"t_{column_name(targets[name])}" for name in order}
    stored = dict(read)
    for name in order:
        source = column_name(targets[name])
        expression, direct = _as_text(
            source, part.types[targets[name]], columns[name], config, number=name in numbers
        )
        texts.append(f"{expression} AS {source}" if expression != source else source)
        if columns[name].kind is Kind.INTEGER and not direct:
            quick.append(f"try_cast({source} AS BIGINT) AS q_{source}")
        damaged = part.damaged.get(source) or _float_damage(
            source, part.types[targets[name]], columns[name], direct
        )
        if damaged:
            texts.append(f"({damaged}) AS d_{source}")
        flag = f"d_{source}" if damaged else None
        base = part.types[targets[name]].split("(")[0]
        is_key = columns[name].kind in _KEYS
        looked_at = is_key and not direct and base not in _WITHOUT_BLANKS and name not in numbers
        text = _Text(part.trimmed or base in _WITHOUT_BLANKS, f"k_{source}" if looked_at else None)
        if looked_at:
            whole.append(f"spelling({read[name]}) AS k_{source}")
        cast = (
            _direct(source, f"t_{source}", columns[name])
            if direct
            else _from_text(source, f"t_{source}", columns[name], config, flag, text)
        )
        typed.append(f"{cast.value} AS t_{source}")
        casts[name] = cast
        if name in numbers and not direct:
            whole.append(f"try_cast({read[name]} AS BIGINT) AS w_{source}")
            stored[name] = whole_number(f"w_{source}", read[name], name)
    first = targets[order[0]]
    if part.types[first] not in _INTEGERS and not any(
        columns[name].kind in (*_NUMBERS, Kind.BOOLEAN) for name in order
    ):
        casts[order[0]] = _or_a_name(casts[order[0]], read[order[0]], part.names[first])
    labels = [
        (part.names[index], Cast("", *summary_words.label(column_name(index))))
        for index in summary_words.unread(part, targets)
    ]
    texts += [label.raw for _, label in labels]
    cells = ", ".join(
        f"CASE WHEN {cast.kind} IS NOT NULL THEN {{'col': {literal(name)}, 'raw': {cast.raw},"
        f" 'kind': {cast.kind}}} END"
        for name, cast in [*casts.items(), *labels]
    )
    doubts = {name: f"coalesce({cast.suspect}, FALSE)" for name, cast in casts.items()}
    of_labels = [f"coalesce({label.suspect}, FALSE)" for _, label in labels]
    numeric = [name for name in order if columns[name].kind in _NUMBERS]
    # Nearly every row of most tables has all its numbers: one sum says so, for a missing one makes
    # it NULL.
    of_texts = [doubt for name, doubt in doubts.items() if name not in numeric]
    texts_only = " OR ".join([*of_texts, *of_labels])
    suspects = " OR ".join([*doubts.values(), *of_labels])
    measures = [f"{read[name]}::DOUBLE" for name in numeric]
    if measures:
        suspects = (
            f"CASE WHEN ({' + '.join(measures)}) IS NOT NULL THEN {texts_only or 'FALSE'} ELSE"
            f" {suspects} END"
        )
    if config.key and "cid" in order:
        stored["cid"] = _key(read, config)
    outputs = ", ".join(f"{stored[name]} AS {quote(name)}" for name in order)
    # As one text: a column of lists without any takes four times as long to write.
    noted = (
        f"CASE WHEN {suspects} THEN to_json(nullif(list_filter([{cells}], lambda cell: cell IS NOT"
        " NULL), []))::VARCHAR END"
    )
    rows = f"SELECT {', '.join(texts)} FROM {part.source}"
    for more in (quick, typed, whole):
        # One on top of the other: what is needed twice is worked out once.
        rows = f"SELECT *, {', '.join(more)} FROM ({rows})" if more else rows
    return f"SELECT {outputs}, {noted} AS {CELLS} FROM ({rows})"


def cells_of(column: str = CELLS) -> str:
    """SQL: the list of {col, raw, kind} that `_cells` holds as JSON, one for each cell that needs
    noting; NULL where none does.
    """
    return f"""from_json({column}, '[{{"col": "VARCHAR", "raw": "VARCHAR", "kind": "VARCHAR"}}]')"""


def may_be_numbers(order: list[str], columns: dict[str, Column], config: TableConfig) -> list[str]:
    """The columns of `order` whose keys `select` can give as numbers, where all of them are such:
    not those that make a key with others.
    """
    joined = {*config.key, "cid"} if config.key else set()
    return [name for name in order if columns[name].kind in _KEYS and name not in joined]


def is_surely_text(value: str, markers: Collection[str]) -> bool:
    """Whether `value` keeps its column of keys from being numbers: it has a letter, and is none of
    the column's `markers`.
    """
    return any(map(str.isalpha, value)) and value.strip(WHITE_SPACE) not in {
        marker.strip(WHITE_SPACE) for marker in markers
    }


def _or_a_name(cast: Cast, typed: str, name: str) -> Cast:
    """`cast` that also notes a cell holding its own column's name: in a table without numbers
    nothing else gives a repeated header away.
    """
    named = f"{typed} = {literal(name)}"
    return Cast(
        cast.value,
        f"({cast.suspect} OR {named})",
        f"coalesce({cast.kind}, CASE WHEN {named} THEN 'name' END)",
        cast.raw,
    )


def _key(read: dict[str, str], config: TableConfig) -> str:
    """The expression of a key that several columns make; without a value where one of them has
    none, or is not there.
    """
    return joined_key([read.get(name, "NULL::VARCHAR") for name in config.key])


def _as_text(
    source: str, duck_type: str, column: Column, config: TableConfig, *, number: bool
) -> tuple[str, bool]:
    """The expression to cast from, and whether it keeps its type. Everything else goes through
    text, so that all formats share one cast.

    `number` says that keys are wanted as BIGINT.
    """
    base = duck_type.split("(")[0]
    if duck_type == "VARCHAR":
        return source, False
    measure = (
        column.kind is Kind.NUMBER and base in (*_INTEGERS, *_FLOATS) and config.factor(column) == 1
    )
    integer = column.kind is Kind.INTEGER and base in _INTEGERS
    key = number and base in _NO_MORE_THAN_BIGINT
    if (measure or integer or key) and not config.markers(column):
        return source, True
    return to_text(source, duck_type), False


def is_plain_number(column: Column, config: TableConfig) -> bool:
    """Whether the texts of a column are numbers as they are: in SynDB's unit, with a decimal
    point, none of them a marker.
    """
    as_written = config.decimal == "." and not config.thousands and not config.markers(column)
    return column.kind is Kind.NUMBER and as_written and config.factor(column) == 1


def to_text(source: str, duck_type: str) -> str:
    """The text of a typed Parquet column as a lab would have written it: 1.0 is `1`, a UUID is
    canonical, a date is ISO.
    """
    base = duck_type.split("(")[0]
    if base in _FLOATS and not duck_type.endswith("]"):
        return f"float_text({source})"
    if base == "DECIMAL" and not duck_type.endswith("]"):
        return f"decimal_text({source})"
    if duck_type == "UUID BYTES":
        return f"({source}::UUID)::VARCHAR"
    if duck_type == "BLOB":
        return f"coalesce(TRY(decode({source})), hex({source}))"
    return f"{source}::VARCHAR"


def _float_damage(source: str, duck_type: str, column: Column, direct: bool) -> str | None:
    """When a float column cannot hold the keys or whole numbers it is read as; the condition is
    about the column before it became text.
    """
    if duck_type not in _FLOATS or direct:
        return None
    exact = EXACT_FLOAT32 if duck_type == "FLOAT" else EXACT_FLOAT
    if column.kind in _KEYS:
        return f"isfinite({source}) AND ({source} <> trunc({source}) OR abs({source}) > {exact})"
    if column.kind is Kind.INTEGER:
        return f"isfinite({source}) AND abs({source}) > {exact}"
    return None


def _direct(x: str, typed: str, column: Column) -> Cast:
    """A Parquet column of numbers read as numbers: nothing to parse, only to see that the value
    fits.
    """
    if column.kind in _KEYS:
        return Cast(f"{x}::BIGINT", "FALSE", "NULL::VARCHAR", f"{x}::VARCHAR")
    value = f"try_cast({x} AS {column.sql_type})"
    if column.kind is Kind.NUMBER:
        value = f"CASE WHEN isfinite({x}::DOUBLE) THEN {x}::DOUBLE END"
    suspect = f"({x} IS NOT NULL AND {typed} IS NULL)"
    raw = f"float_text({x}::DOUBLE)" if column.kind is Kind.NUMBER else f"{x}::VARCHAR"
    return Cast(value, suspect, f"CASE WHEN {suspect} THEN 'uncast' END", raw)


def _from_text(
    x: str, typed: str, column: Column, config: TableConfig, damaged: str | None, text: _Text
) -> Cast:
    missing = _missing(x, column, config)

    def kept(value: str) -> str:
        return f"CASE WHEN {missing} THEN NULL ELSE {value} END" if missing else value

    if column.kind in _KEYS:
        # Text without blanks is not looked at again: for tens of millions of keys that takes
        # seconds.
        value = kept(
            f"nullif({x}, '')"
            if text.trimmed
            else f"CASE WHEN tidy({x}) THEN {x} ELSE nullif(strip_text({x}), '') END"
        )
        # A marker where a key must be is noted as what emptied it; elsewhere it says what it
        # should.
        needed = column.required or (column.name == "parent_id" and column.published)
        # condition -> the kind as which a cell is noted, the one that comes first where several
        # hold
        kinds = {}
        if damaged:
            kinds[f"{damaged} AND {typed} IS NOT NULL"] = "'float'"
        if missing and needed:
            kinds[f"({typed} IS NULL AND {missing})"] = "'missing'"
        if text.spelling:
            kinds[f"{text.spelling} IS NOT NULL"] = text.spelling
        if not text.trimmed:
            kinds[f"{typed} <> {x}"] = "'trimmed'"
        noted = " ".join(f"WHEN {when} THEN {kind}" for when, kind in kinds.items())
        return Cast(
            value,
            f"({' OR '.join(kinds) or 'FALSE'})",
            f"CASE {noted} END" if noted else "NULL::VARCHAR",
            x,
        )
    if column.kind is Kind.TEXT:
        return Cast(kept(f"nullif({x}, '')"), "FALSE", "NULL::VARCHAR", x)
    if column.kind is Kind.PATH:
        return Cast(kept(f"nullif(strip_text({x}), '')"), "FALSE", "NULL::VARCHAR", x)
    if column.kind is Kind.BOOLEAN:
        word = f"lower(strip_text({x}))"
        yes, no = (", ".join(map(literal, words)) for words in (TRUE_WORDS, FALSE_WORDS))
        value = f"CASE WHEN {word} IN ({yes}) THEN TRUE WHEN {word} IN ({no}) THEN FALSE END"
    elif column.kind is Kind.INTEGER:
        value = _integer(x, column, config)
        value = f"CASE WHEN {damaged} THEN NULL ELSE {value} END" if damaged else value
    else:
        value = _number(x, config.power(column), config)
        if (times := config.times(column)) != 1:
            value = (
                f"CASE WHEN isfinite(({value}) * {times!r}::DOUBLE) THEN ({value}) *"
                f" {times!r}::DOUBLE END"
            )
    suspect = f"({x} IS NOT NULL AND {typed} IS NULL)"
    void = f"strip_text({x}) = ''" + (f" OR {missing}" if missing else "")
    noted = f"WHEN {suspect} AND NOT ({void}) THEN 'uncast'"
    if markers := true_markers(column, config):
        emptied = _missing(x, column, config.model_copy(update={"missing": markers}))
        noted += f" WHEN {suspect} AND {emptied} THEN 'emptied'"
    return Cast(kept(value), suspect, f"CASE {noted} END", x)


def true_markers(column: Column, config: TableConfig) -> list[str]:
    """The markers of all columns that may well be values of `column`, so that they empty what was
    measured.

    0 is one where a column of measures can hold it, and so are the words of a column of true and
    false; the numbers that tables use for "no value" are none, and neither is a marker that the
    config names for this column.
    """
    own = {
        marker
        for name in (column.name, *column.aliases)
        for marker in config.missing_by_column.get(name, ())
    }
    markers = [
        marker for marker in config.missing_by_column.get(ALL_COLUMNS, ()) if marker not in own
    ]
    if column.kind is Kind.BOOLEAN:
        return [
            marker
            for marker in markers
            if marker.strip(WHITE_SPACE).lower() in (*TRUE_WORDS, *FALSE_WORDS)
        ]
    if column.kind not in _NUMBERS or column.wire_type == "BIGINT" or column.name == "parent_enum":
        return []  # no measures: ids, and what follows from a relation
    used = {*map(float, no_value.NUMBERS_OUT_OF_RANGE), *map(float, no_value.NUMBERS_IN_KEYS)} - {
        0.0
    }
    factor = config.factor(column)
    numbers = {marker: _as_number(marker.strip(WHITE_SPACE), config) for marker in markers}
    return [
        marker
        for marker, number in numbers.items()
        if number is not None and number not in used and column.allows(number * factor)
    ]


def _as_number(marker: str, config: TableConfig) -> float | None:
    """The number that a marker is; None when it is a word."""
    point: str = marker.replace(config.decimal, ".")
    return float(point) if re.fullmatch(_NUMBER, point) else None


def _missing(x: str, column: Column, config: TableConfig) -> str:
    """The condition under which a cell holds a marker for "no value"; empty when the config names
    none.

    In a column of numbers a number is a marker however it is written: `-1` also means the
    `-1.0` of a column that pandas wrote.
    """
    markers = [marker.strip(WHITE_SPACE) for marker in config.markers(column)]
    if not markers:
        return ""
    noted = f"strip_text({x}) IN ({', '.join(map(literal, markers))})"
    numbers = [number for marker in markers if (number := _as_number(marker, config)) is not None]
    if column.kind in _NUMBERS and numbers:
        values = ", ".join(f"{number!r}::DOUBLE" for number in numbers)
        noted += f" OR coalesce(try_cast({_point(x, config)} AS DOUBLE) IN ({values}), FALSE)"
    return f"({noted})"


def _point(x: str, config: TableConfig) -> str:
    """The stripped text with a decimal point and without the marks that group its digits.

    With a decimal comma, points and spaces group digits where nothing else can be meant, as in
    `1.234,5` and `1.234.567`; otherwise a point is no decimal mark, and such a text is no number.
    """
    text = f"strip_text({x})"
    point = text
    if config.decimal == ",":
        plain = f"CASE WHEN contains({x}, '.') THEN 'no number' ELSE replace({text}, ',', '.') END"
        point = (
            f"CASE WHEN regexp_full_match({text}, {literal(_SURELY_GROUPED)}) THEN"
            f" {_ungrouped(text, config)} ELSE {plain} END"
        )
    if config.thousands:
        first, mark = "[0-9]{1,3}", f"[{GROUPING_MARKS[config.thousands]}]"
        first += "(?:,[0-9]{2})*" if config.thousands == "," else ""  # in India 12,34,567
        grouped = (
            f"[+-]?{first}(?:{mark}[0-9]{{3}})+(?:[{config.decimal}][0-9]*)?(?:[eE][+-]?[0-9]+)?"
        )
        point = (
            f"CASE WHEN regexp_full_match({text}, {literal(grouped)}) THEN"
            f" {_ungrouped(text, config)} ELSE {point} END"
        )
    return point


def _ungrouped(text: str, config: TableConfig) -> str:
    return f"replace(regexp_replace({text}, '[^0-9eE+{config.decimal}-]', '', 'g'), ',', '.')"


def _number(x: str, power: int, config: TableConfig) -> str:
    text = x if config.decimal == "." else f"replace({x}, ',', '.')"
    quick = (
        f"try_cast({text} AS DOUBLE)" if power == 0 else f"try_cast({text} || 'e{power}' AS DOUBLE)"
    )
    # DuckDB's own cast takes `1_000`, `+-5` and 1e-400 (as 0); those go the careful way. What sorts
    # before `-` starts with `+` or a space.
    sure = f"abs({quick}) BETWEEN {_LEAST} AND {_LARGEST} AND {x} >= '-' AND NOT contains({x}, '_')"
    if config.decimal == ",":
        sure += f" AND NOT contains({x}, '.')"
    zero = f"{x} IN ('0', '0.0') THEN 0::DOUBLE"
    return (
        f"CASE WHEN {sure} THEN {quick} WHEN {x} IS NULL THEN NULL WHEN {zero} ELSE"
        f" careful_number({_point(x, config)}, {power}) END"
    )


def _integer(x: str, column: Column, config: TableConfig) -> str:
    quick = f"q_{x}"  # its cast to BIGINT
    # `12.0`, as pandas writes a column of whole numbers with gaps.
    head = f"left({x}, length({x}) - 2)"
    pandas = f"ends_with({x}, '.0') AND try_cast({head} AS BIGINT)::VARCHAR = {head}"
    pandas += f" AND abs(try_cast({head} AS BIGINT)) <= {EXACT_FLOAT}"
    middle = f"WHEN {pandas} THEN try_cast({head} AS BIGINT) " if config.decimal == "." else ""
    if column.wire_type == "BIGINT":
        # An id. Of the digits that its spelling leaves out zeros would be made.
        middle += f"WHEN big_in_short({_point(x, config)}) THEN NULL "
    same = f"WHEN {surely_digits(quick, x)} THEN {quick} WHEN {quick}::VARCHAR = {x} THEN {quick}"
    return (
        f"CASE {same} WHEN {x} IS NULL THEN NULL {middle}ELSE"
        f" careful_integer({_point(x, config)}) END"
    )
