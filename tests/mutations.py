"""Datasets broken by chance, the same for the same number: small labs, and every way we know to
spoil one.

Belongs here: the labs, the mutations, writing them as files. Does not: what anybody should think of
the result.
"""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass
from math import gcd
from pathlib import Path
from random import Random
from typing import Any
from uuid import UUID, uuid5

import duckdb

from tests.command_line import TERMS
from tests.lab_files import File, Lab, as_text
from tests.meshes import small_mesh

KNOWN_GROUP = "lab"
CLOSED_COLLECTION = "of somebody else"
KNOWN_DOI = "10.1000/of-another-dataset"
"""What the server has before any dataset comes."""

SKELETON = b"# a skeleton\n1 1 0 0 0 3 -1\n2 3 0 1 0 1 1\n3 3 0 2 0 1 2\n"

Rows = list[list[Any]]
Change = Callable[[Random, Lab], Any]


@dataclass(frozen=True)
class Mutation:
    """One way to spoil a dataset. `kind` is what the counts are told by."""

    kind: str
    name: str
    apply: Change


@dataclass(frozen=True)
class Case:
    """Dataset number `seed`: which lab it began as, what was done to it, and what became of it."""

    seed: int
    lab: str
    done: tuple[Mutation, ...]
    dataset: Lab

    @property
    def kinds(self) -> set[str]:
        return {mutation.kind for mutation in self.done}

    @property
    def words(self) -> str:
        return (
            f"{self.lab} with"
            f" {', '.join(f'{mutation.kind}: {mutation.name}' for mutation in self.done)}"
        )


# The labs


def _lab(
    tables: dict[str, str],
    settings: dict[str, dict[str, Any]],
    files: dict[str, bytes] | None = None,
) -> Lab:
    return Lab(
        config={
            "dataset": {
                "id": "",
                "label": "A mutated dataset",
                "notes": "Made by a test.",
                "license": "CC_BY",
                "animal": "MUS_MUSCULUS",
                "microscopy": "ssTEM",
                "brain_regions": [{"structure": "septum"}],
                "mutations": [{"gene": "shank3", "expression": "knock-out"}],
                "publications": ["10.1126/science.add9330"],
                "groups": [KNOWN_GROUP],
                "collections": ["Mutated datasets"],
            },
            "tables": {name: {"file": f"{name}.csv"} | settings.get(name, {}) for name in tables},
            "terms": dict(TERMS),
        },
        tables={
            name: File(f"{name}.csv", [line.split(",") for line in text.split()])
            for name, text in tables.items()
        },
        beside=dict(files or {}),
    )


def _tree() -> Lab:
    return _lab(
        {
            "neuron": (
                "cid,voxel_volume,centroid_x,polarity,is_tree,n_branches,mesh_path,swc_path"
                " n1,1e9,100.5,bipolar,true,4,one.glb,one.swc n2,2e9,-3,,,,two.glb,"
                " n3,3.5e9,0,unipolar,false,0,,one.swc"
            ),
            "axon": (
                "cid,parent_id,terminal_count,mesh_volume,mesh_surface_area a1,n1,2,1e7,1e6"
                " a2,n2,,2e7,2e6 a3,n3,0,,"
            ),
            "vesicle": (
                "cid,parent_id,neurotransmitter,voxel_radius,minimum_normal_length"
                " v1,a1,gaba,20.5,3 v2,a1,,20,1 v3,a2,glutamate,9,"
            ),
        },
        {"vesicle": {"parent": "axon"}},
        {"one.glb": small_mesh("one"), "two.glb": small_mesh("two"), "one.swc": SKELETON},
    )


def _circuit() -> Lab:
    return _lab(
        {
            "neuron": (
                "cid,neuron_type,cable_length 720575940621039145,interneuron,1e6"
                " 720575940621039146,,2e6 720575940621039147,,"
            ),
            "pre_synaptic_terminal": (
                "cid,parent_id,vesicle_count,forms_synapse_with "
                "t1,720575940621039145,0,s1 t2,720575940621039146,,s2 t3,720575940621039147,5,"
            ),
            "synapse": (
                "cid,pre_synapse_id,post_synapse_id,cave_id,gaba,cleft_score"
                " s1,t1,720575940621039146,1234567890123456789,0.5,90"
                " s2,t2,720575940621039145,2,1,0 s3,t3,720575940621039145,,,"
            ),
            "neuron_relation": (
                "pre_synapse_id,post_synapse_id,connection_score"
                " 720575940621039145,720575940621039146,0.5 720575940621039146,720575940621039145,1"
                " 720575940621039145,720575940621039147,"
            ),
        },
        {
            "pre_synaptic_terminal": {"parent": "neuron"},
            "synapse": {"references": {"post_synapse_id": "neuron"}},
        },
    )


def _organelles() -> Lab:
    return _lab(
        {
            "dendrite": "cid,dendritic_spine_count,voxel_radius d1,2,50 d2,0,61.25 d3,,70",
            "mitochondria": (
                "cid,parent_id,voxel_volume,mesh_sphericity m1,d1,1e8,0.8 m2,d1,2e8,1 m3,d3,,"
            ),
            "endoplasmic_reticulum": "cid,parent_id,ribosome_count e1,d2,1200 e2,d2,0 e3,d3,",
        },
        {},
    )


LABS: dict[str, Callable[[], Lab]] = {
    "tree": _tree,
    "circuit": _circuit,
    "organelles": _organelles,
}

# Cells, keys, references

_CELLS = {
    "letters": "abc",
    "a huge number": "1e308",
    "more than a double": "1e999",
    "less than a double": "1e-400",
    "NaN": "NaN",
    "minus infinity": "-inf",
    "below zero": "-5",
    "zero": "0",
    "minus zero": "-0.0",
    "a fraction": "2.5",
    "2 to the 31": "2147483648",
    "minus 2 to the 31": "-2147483648",
    "less than 32 bits": "-2147483649",
    "beyond 2 to the 53": "9007199254740993",
    "2 to the 63": "9223372036854775808",
    "2 to the 128": str(2**128),
    "hexadecimal": "0x1F",
    "an underscore": "1_000",
    "a decimal comma": "3,5",
    "blanks": "  ",
    "nothing": "",
    "no ASCII": "ß",
    "70 characters": "x" * 70,
    "100,000 characters": "y" * 100_000,
    "NUL": "a\0b",
    "only NUL": "\0",
    "a quotation mark": 'a"b',
    "a line end": "a\nb",
    "a carriage return": "a\rb",
    "upper case": "BIPOLAR",
    "a word for true": "YES",
    "null": "null",
    "a formula": "=1+1",
    "an emoji": "\U0001f9e0",
    "right to left": "\u202eabc",
    "a UUID": "01939c0e-7b1a-7c3e-9f53-6f0c6b1d2a11",
    "a bell": "\x07",
    "a byte order mark": "\ufeff1",
    "a plus": "+5",
    "full-width digits": "\uff11\uff12",
    "Arabic digits": "\u0661\u0662",
    "a percentage": "50%",
    "a date": "2026-01-02",
    "a zero in front": "007",
    "an exponent": "1E+17",
    "a point at the end": "5.",
    "one": "1",
    "half": "0.5",
    "a path upwards": "../../one.glb",
    "a lone surrogate": "\ud800",
    "a Kelvin sign": "\u212a",
    "a dotted I": "\u0130",
}

_KEYS = {
    "empty": "",
    "blank": "  ",
    "a look-alike": "n1".replace("n", "\u0578"),
    "composed": "\u00e9",
    "decomposed": "e\u0301",
    "white space around": " k ",
    "zero width": "k\u200b",
    "long": "k" * 10_000,
    "NUL": "k\0",
    "NUL alone": "\0",
    "a slash": "a/b",
    "an id beyond 2 to the 53": "9007199254740993",
    "a float": "1.0",
    "an exponent": "1.23457E+17",
    "zeros in front": "007",
    "a line end": "a\nb",
    "an emoji": "\U0001f9e0",
    "a quotation mark": '"',
    "upper case": "N1",
    "a UUID": "01939c0e-7b1a-7c3e-9f53-6f0c6b1d2a11",
    "a lone surrogate": "\ud800",
    "the word null": "null",
    "NaN": "NaN",
}


def _table(
    rng: Random, lab: Lab, having: Callable[[list[str]], bool] = lambda header: True
) -> Rows:
    """The rows of some table that has rows and a header that `having` likes; an empty one when
    there is none.
    """
    able = [
        file.rows
        for file in lab.tables.values()
        if len(file.rows) > 1 and file.rows[0] and having(file.rows[0])
    ]
    return rng.choice(able) if able else [["cid"], ["k"]]


def _place(rng: Random, rows: Rows, names: Callable[[str], bool]) -> tuple[list[str], int] | None:
    """Some row, and the index of some column of it whose name `names` likes."""
    row = rng.choice(rows[1:])
    columns = [index for index, name in enumerate(rows[0][: len(row)]) if names(name)]
    return (row, rng.choice(columns)) if columns else None


def _is_key(name: str) -> bool:
    return name == "cid"


def _is_reference(name: str) -> bool:
    return (name.endswith("_id") and name != "cave_id") or name == "forms_synapse_with"


def _cell(value: str, names: Callable[[str], bool]) -> Change:
    def apply(rng: Random, lab: Lab) -> None:
        rows = _table(rng, lab, lambda header: any(map(names, header)))
        if place := _place(rng, rows, names):
            place[0][place[1]] = value

    return apply


def _is_value(name: str) -> bool:
    return not _is_key(name) and not _is_reference(name)


def _repeated_key(rng: Random, lab: Lab) -> None:
    rows = _table(rng, lab, lambda header: "cid" in header)
    column = rows[0].index("cid")
    rng.choice(rows[1:])[column] = rng.choice(rows[1:])[column]


def _key_once_more(change: Callable[[str], str]) -> Change:
    """One row's key is another's, changed so that a person takes it for the same."""

    def apply(rng: Random, lab: Lab) -> None:
        rows = _table(rng, lab, lambda header: "cid" in header)
        column = rows[0].index("cid")
        rows[-1][column] = change(rows[1][column])

    return apply


def _swapped(rng: Random, lab: Lab) -> None:
    rows = _table(rng, lab, lambda header: any(map(_is_reference, header)))
    if (one := _place(rng, rows, _is_reference)) and (other := _place(rng, rows, _is_reference)):
        one[0][one[1]], other[0][other[1]] = other[0][other[1]], one[0][one[1]]


def _self(rng: Random, lab: Lab) -> None:
    rows = _table(rng, lab, lambda header: "cid" in header and any(map(_is_reference, header)))
    if place := _place(rng, rows, _is_reference):
        place[0][place[1]] = place[0][0]


def _of_wrong_table(rng: Random, lab: Lab) -> None:
    rows = _table(rng, lab, lambda header: any(map(_is_reference, header)))
    if place := _place(rng, rows, _is_reference):
        place[0][place[1]] = rng.choice(_table(rng, lab)[1:])[0]


def _all_references(value: str) -> Change:
    def apply(rng: Random, lab: Lab) -> None:
        rows = _table(rng, lab, lambda header: any(map(_is_reference, header)))
        columns = [index for index, name in enumerate(rows[0]) if _is_reference(name)]
        if columns:
            column = rng.choice(columns)
            for row in rows[1:]:
                if column < len(row):
                    row[column] = value

    return apply


# Columns and rows


def _rename(new: Callable[[str], str], names: Callable[[str], bool] = lambda name: True) -> Change:
    def apply(rng: Random, lab: Lab) -> None:
        header = _table(rng, lab, lambda header: any(map(names, header)))[0]
        able = [index for index, name in enumerate(header) if names(name)]
        if able:
            column = rng.choice(able)
            header[column] = new(header[column])

    return apply


def _add(name: str, value: str) -> Change:
    def apply(rng: Random, lab: Lab) -> None:
        rows = _table(rng, lab)
        at = rng.randint(0, len(rows[0]))
        rows[0].insert(at, name)
        for row in rows[1:]:
            row.insert(at, value)

    return apply


def _drop_column(rng: Random, lab: Lab) -> None:
    rows = _table(rng, lab)
    column = rng.randrange(len(rows[0]))
    for row in rows:
        del row[column : column + 1]


def _double_column(rng: Random, lab: Lab) -> None:
    rows = _table(rng, lab)
    column = rng.randrange(len(rows[0]))
    for row in rows:
        row.append(row[column] if column < len(row) else "")


def _reorder(rng: Random, lab: Lab) -> None:
    rows = _table(rng, lab)
    order = list(range(len(rows[0])))
    rng.shuffle(order)
    rows[:] = [[row[index] if index < len(row) else "" for index in order] for row in rows]


def _in_rows(change: Callable[[Random, Rows], Any]) -> Change:
    def apply(rng: Random, lab: Lab) -> None:
        change(rng, _table(rng, lab))

    return apply


def _empty_rows(rng: Random, rows: Rows) -> None:
    del rows[1:]


def _fewer_values(rng: Random, rows: Rows) -> None:
    rng.choice(rows[1:]).pop()


# Files


def _text(lab: Lab, table: str, delimiter: str = ",", end: str = "\n") -> str:
    return as_text(delimiter, end=end)(lab.rows(table)).decode("utf-8", "surrogatepass")


def _as(render: Callable[[Lab, str], bytes]) -> Change:
    def apply(rng: Random, lab: Lab) -> None:
        table = rng.choice(list(lab.tables))
        content = render(lab, table)
        lab.tables[table].bytes_of = lambda _: content

    return apply


def _written(delimiter: str = ",", end: str = "\n", last: str | None = None) -> Change:
    def render(lab: Lab, table: str) -> bytes:
        text = _text(lab, table, delimiter, end)
        return (text if last is None else text.rstrip("\n") + last).encode("utf-8", "replace")

    return _as(render)


def _truncated(rng: Random, lab: Lab) -> None:
    table = rng.choice(list(lab.tables))
    whole = lab.tables[table].content
    cut = whole[: rng.randrange(len(whole))] if whole else b""
    lab.tables[table].bytes_of = lambda _: cut


def _gone(rng: Random, lab: Lab) -> None:
    file = rng.choice(list(lab.tables.values()))
    file.name = f"moved_{file.name}"


def _open_quote(lab: Lab, table: str) -> bytes:
    return (_text(lab, table) + '"never closed,1\n').encode("utf-8", "replace")


def _parquet(kind: str) -> Change:
    """Some table as a Parquet file, with one of its columns in the SQL type `kind`, where it can be
    cast.
    """

    def apply(rng: Random, lab: Lab) -> None:
        table = rng.choice(list(lab.tables))
        header, *rows = lab.rows(table)
        names = [
            f"{name}{at}" if name in header[:at] or not name else name
            for at, name in enumerate(header)
        ]
        wide = [(row + [""] * len(names))[: len(names)] for row in rows]
        lab.tables[table].name = lab.options(table)["file"] = f"{table}.parquet"
        content = parquet_bytes(names, wide, {rng.choice(names): kind} if names else {})
        lab.tables[table].bytes_of = lambda _: content

    return apply


def parquet_bytes(names: list[str], rows: Rows, kinds: dict[str, str]) -> bytes:
    """A Parquet file of text columns, those of `kinds` in another SQL type; what cannot be cast is
    missing.
    """
    from tempfile import TemporaryDirectory

    quoted = ['"' + name.replace('"', '""') + '"' for name in names] or ['"cid"']
    with TemporaryDirectory() as folder, duckdb.connect() as connection:
        connection.execute(f"CREATE TABLE t ({', '.join(f'{name} VARCHAR' for name in quoted)})")
        for row in rows:
            cells = [cell.encode("utf-8", "replace").decode() or None for cell in row]
            connection.execute(f"INSERT INTO t VALUES ({', '.join('?' * len(cells))})", cells)
        select = ", ".join(
            f"TRY_CAST({held} AS {kinds[name]}) AS {held}" if name in kinds else held
            for name, held in zip(names, quoted, strict=True)
        )
        path = Path(folder) / "t.parquet"
        connection.execute(f"COPY (SELECT {select} FROM t) TO '{path}' (FORMAT parquet)")
        return path.read_bytes()


# Meshes and skeletons


def _beside(name: str, content: bytes | None) -> Change:
    def apply(rng: Random, lab: Lab) -> None:
        if content is None:
            lab.beside.pop(name, None)
        elif name in lab.beside:
            lab.beside[name] = content

    return apply


def _path(value: str) -> Change:
    return _cell(value, lambda name: name in ("mesh_path", "swc_path"))


# The config


def _say(key: str, value: Any) -> Change:
    def apply(rng: Random, lab: Lab) -> None:
        lab.metadata[key] = deepcopy(value)

    return apply


def _without(key: str) -> Change:
    def apply(rng: Random, lab: Lab) -> None:
        lab.metadata.pop(key, None)

    return apply


def _id(write: Callable[[UUID], Any]) -> Change:
    def apply(rng: Random, lab: Lab) -> None:
        try:
            lab.metadata["id"] = write(UUID(str(lab.metadata.get("id"))))
        except ValueError:
            return  # an earlier mutation made it no UUID

    return apply


def _of_table(key: str, value: Any) -> Change:
    def apply(rng: Random, lab: Lab) -> None:
        rng.choice(list(lab.config["tables"].values()))[key] = deepcopy(value)

    return apply


def _rules(severity: str, *codes: str) -> Change:
    def apply(rng: Random, lab: Lab) -> None:
        lab.config.setdefault("rules", {}).update(dict.fromkeys(codes, severity))

    return apply


def _region(**region: Any) -> Change:
    return _say("brain_regions", [region])


def _mutation(**mutation: Any) -> Change:
    return _say("mutations", [{"gene": "shank3", "expression": "knock-out"} | mutation])


_ODD_TEXTS = {
    "NUL": "a\0b",
    "a bell": "a\x07b",
    "DEL": "a\x7fb",
    "a line end": "a\nb",
    "a tab": "a\tb",
    "a carriage return": "a\rb",
    "C1": "a\x85b",
    "an emoji": "\U0001f9e0",
    "a lone surrogate": "a\ud800b",
    "two halves": "\ud83e\udde0",
    "nothing": "",
    "a blank": " ",
    "quotes": "'\"\\",
    "right to left": "\u202eabc",
    "a path": "/../..",
    "markup": "<b>&amp;",
    "a noncharacter": "\uffff",
    "a number": 42,
    "true": True,
    "nothing at all": None,
    "a list": ["a"],
    "zero width": "\u200b",
    "a line separator": "\u2028",
    "255 characters": "x" * 255,
    "100,000 characters": "x" * 100_000,
}
_TEXTS: dict[str, Callable[[Any], Change]] = {
    "label": lambda text: _say("label", text),
    "notes": lambda text: _say("notes", text),
    "microscopy": lambda text: _say("microscopy", text),
    "gene": lambda text: _mutation(gene=text),
    "publication": lambda text: _say(
        "publications", [f"10.1000/{text}" if isinstance(text, str) else text]
    ),
    "collection": lambda text: _say("collections", [text]),
    "group": lambda text: _say("groups", [text]),
    "structure": lambda text: _region(structure=text),
    "animal": lambda text: _say("animal", text),
}


def _mutations() -> dict[str, dict[str, Change]]:
    """Kind -> name -> what is done."""
    return {
        "cells": {
            **{name: _cell(value, _is_value) for name, value in _CELLS.items()},
        },
        "keys": {
            **{name: _cell(value, _is_key) for name, value in _KEYS.items()},
            "repeated": _repeated_key,
            "repeated, with white space": _key_once_more(lambda key: f"{key} "),
            "repeated, with a no-break space": _key_once_more(lambda key: f"\u00a0{key}"),
            "repeated, in capitals": _key_once_more(str.upper),
            "repeated, as a float": _key_once_more(lambda key: f"{key}.0"),
            "repeated, with a NUL after": _key_once_more(lambda key: f"{key}\0"),
            "repeated, with a byte order mark": _key_once_more(lambda key: f"\ufeff{key}"),
        },
        "references": {
            "to nothing": _cell("nobody", _is_reference),
            "empty": _cell("", _is_reference),
            "blank": _cell(" ", _is_reference),
            "in capitals": _cell("N1", _is_reference),
            "NUL": _cell("\0", _is_reference),
            "a UUID": _cell("01939c0e-7b1a-7c3e-9f53-6f0c6b1d2a11", _is_reference),
            "swapped": _swapped,
            "to itself": _self,
            "into another table": _of_wrong_table,
            "all empty": _all_references(""),
            "all to one row": _all_references("n1"),
            "all to one neuron": _all_references("720575940621039145"),
        },
        "columns": {
            "renamed": _rename(lambda name: f"{name}_of_lab"),
            "in capitals": _rename(str.upper),
            "in white space": _rename(lambda name: f" {name} "),
            "without a name": _rename(lambda name: ""),
            "a name with NUL": _rename(lambda name: f"{name}\0"),
            "by its former name": _rename(
                lambda name: name.replace("_synapse", ""), lambda name: "_synapse_" in name
            ),
            "key called id": _rename(lambda name: "id", _is_key),
            "left out": _drop_column,
            "doubled": _double_column,
            "in another order": _reorder,
            **{
                f"added {name}": _add(name, value)
                for name, value in {
                    "colour": "red",
                    "dataset_id": "01939c0e-7b1a-7c3e-9f53-6f0c6b1d2a11",
                    "s3_mesh_location": "1",
                    "s3_swb_location": "0",
                    "parent_enum": "99",
                    "neuron_id": "n1",
                    "voxel_radius": "10",
                    "cave_id": "9223372036854775807",
                    "mesh_path": "one.glb",
                    "swb_path": "one.swc",
                    "connection_score": "0.5",
                    "mesh_area_volume_ratio": "0.1",
                    "DATASET_ID": "x",
                    "_cells": "x",
                    "file_row_number": "1",
                    "cid": "k",
                    "row_number": "1",
                    "bounding_box": "[1;2]",
                    "centroid_y": "5",
                    "serotonin": "0.5",
                    "a, b": "x",
                    'a"b': "x",
                    "gr\u00f6sse": "1",
                }.items()
            },
        },
        "rows": {
            "one dropped": _in_rows(lambda rng, rows: rows.pop(rng.randrange(1, len(rows)))),
            "one doubled": _in_rows(lambda rng, rows: rows.append(list(rng.choice(rows[1:])))),
            "all doubled": _in_rows(lambda rng, rows: rows.extend([list(row) for row in rows[1:]])),
            "header repeated": _in_rows(
                lambda rng, rows: rows.insert(rng.randint(1, len(rows)), list(rows[0]))
            ),
            "none left": _in_rows(_empty_rows),
            "a value too many": _in_rows(lambda rng, rows: rng.choice(rows[1:]).append("1")),
            "a value too few": _in_rows(_fewer_values),
            "a blank one": _in_rows(lambda rng, rows: rows.insert(rng.randint(1, len(rows)), [])),
            "one of empty cells": _in_rows(lambda rng, rows: rows.append([""] * len(rows[0]))),
            "in another order": _in_rows(
                lambda rng, rows: rows.__setitem__(slice(1, None), rows[:0:-1])
            ),
            "no header": _in_rows(lambda rng, rows: rows.pop(0)),
        },
        "files": {
            "cut off": _truncated,
            "empty": _as(lambda lab, table: b""),
            "not there": _gone,
            "UTF-16": _as(lambda lab, table: _text(lab, table).encode("utf-16", "surrogatepass")),
            "with a byte order mark": _as(
                lambda lab, table: _text(lab, table).encode("utf-8-sig", "surrogatepass")
            ),
            "Latin-1": _as(
                lambda lab, table: (_text(lab, table) + "\u00df\n").encode("latin-1", "replace")
            ),
            "semicolons": _written(";"),
            "tabs": _written("\t"),
            "bars": _written("|"),
            "Windows line ends": _written(end="\r\n"),
            "old line ends": _written(end="\r"),
            "no last line end": _written(last=""),
            "NUL bytes": _as(lambda lab, table: bytes(1_000)),
            "a mesh": _as(lambda lab, table: small_mesh()),
            "an open quotation mark": _as(_open_quote),
            "Parquet called csv": _as(lambda lab, table: parquet_bytes(["cid"], [["k"]], {})),
        },
        "parquet": {
            **{
                f"a column as {kind}": _parquet(kind)
                for kind in (
                    "VARCHAR",
                    "DOUBLE",
                    "FLOAT",
                    "BIGINT",
                    "HUGEINT",
                    "UTINYINT",
                    "DECIMAL(18,3)",
                    "UUID",
                    "BLOB",
                    "BOOLEAN",
                    "DATE",
                    "TIMESTAMP WITH TIME ZONE",
                    "INTERVAL",
                    "VARCHAR[]",
                    "STRUCT(a VARCHAR)",
                    "MAP(VARCHAR, VARCHAR)",
                    "TIME",
                )
            },
        },
        "meshes": {
            "mesh not there": _beside("one.glb", None),
            "mesh cut off": _beside("one.glb", small_mesh()[:-9]),
            "mesh empty": _beside("one.glb", b""),
            "mesh is text": _beside("two.glb", b"ply\n"),
            "mesh with more after it": _beside("two.glb", small_mesh() + b"more"),
            "other mesh": _beside("two.glb", small_mesh("three")),
            "skeleton not there": _beside("one.swc", None),
            "skeleton empty": _beside("one.swc", b""),
            "skeleton is a mesh": _beside("one.swc", small_mesh()),
            "skeleton in pieces": _beside("one.swc", SKELETON + b"4 3 9 9 9 1 -1\n"),
            "skeleton with a loop": _beside("one.swc", b"1 1 0 0 0 1 2\n2 1 1 0 0 1 1\n"),
            "skeleton of comments": _beside("one.swc", b"# nothing\n"),
            "path upwards": _path("../one.glb"),
            "absolute path": _path("/etc/passwd"),
            "path with NUL": _path("one\0.glb"),
            "path of a device": _path("/dev/zero"),
            "network path": _path("//server/share/one.glb"),
            "path in capitals": _path("ONE.GLB"),
            "the other's file": _path("one.swc"),
            "long path": _path("x" * 5_000 + ".glb"),
        },
        "limits": {
            "label of 120": _say("label", "x" * 120),
            "label of 121": _say("label", "x" * 121),
            "label of 120 emoji": _say("label", "\U0001f9e0" * 120),
            "notes of 280": _say("notes", "\u00e9" * 280),
            "notes of 281": _say("notes", "x" * 281),
            "microscopy of 200": _say("microscopy", "x" * 200),
            "microscopy of 201": _say("microscopy", "x" * 201),
            "gene of 100": _mutation(gene="x" * 100),
            "gene of 101": _mutation(gene="x" * 101),
            "collection of 120": _say("collections", ["x" * 120]),
            "collection of 121": _say("collections", ["x" * 121]),
            "DOI of 255": _say("publications", ["10.1000/" + "x" * 247]),
            "DOI of 256": _say("publications", ["10.1000/" + "x" * 248]),
            "1,001 collections": _say("collections", [f"c{n}" for n in range(1_001)]),
            "1,001 regions": _say("brain_regions", [{"structure": "septum"}] * 1_001),
            "1,001 publications": _say("publications", [f"10.1000/{n}" for n in range(1_001)]),
            "1,001 mutations": _say(
                "mutations", [{"gene": f"g{n}", "expression": "knock-in"} for n in range(1_001)]
            ),
        },
        "vocabularies": {
            "licence unknown": _say("license", "MIT"),
            "licence by SPDX": _say("license", "odbl-1.0"),
            "licence as a number": _say("license", 2),
            "animal unknown": _say("animal", "UNICORN"),
            "animal in small letters": _say("animal", "mus_musculus"),
            "animal as a number": _say("animal", 1),
            "direction unknown": _region(structure="septum", direction="upwards"),
            "direction in capitals": _region(structure="septum", direction="DORSAL"),
            "direction null": _region(structure="septum", direction=None),
            "structure unknown": _region(structure="atlantis"),
            "structure in capitals": _region(structure="SEPTUM"),
            "expression unknown": _mutation(expression="knock-knock"),
            "expression in capitals": _mutation(expression="Knock-Out"),
        },
        "metadata": {
            "no regions": _say("brain_regions", []),
            "regions twice": _say("brain_regions", [{"structure": "septum"}] * 2),
            "region as a word": _say("brain_regions", ["septum"]),
            "no region given": _without("brain_regions"),
            "no label given": _without("label"),
            "no licence given": _without("license"),
            "no microscopy given": _without("microscopy"),
            "no notes given": _without("notes"),
            "no animal given": _without("animal"),
            "no id given": _without("id"),
            "tables of its own": _say("syndb_tables", [99]),
            "group that is not there": _say("groups", ["nobody is in it"]),
            "group twice": _say("groups", [KNOWN_GROUP] * 2),
            "no groups": _say("groups", []),
            "new collection": _say("collections", ["made by a mutation"]),
            "collection twice": _say("collections", ["made by a mutation"] * 2),
            "collection of somebody else": _say("collections", [CLOSED_COLLECTION]),
            "publication twice": _say("publications", ["10.1000/1", "10.1000/1"]),
            "publication twice, in capitals": _say("publications", ["10.1000/abc", "10.1000/ABC"]),
            "publication that is there": _say("publications", [KNOWN_DOI]),
            "publication that is there, in capitals": _say("publications", [KNOWN_DOI.upper()]),
            "publication as a link": _say("publications", ["https://doi.org/10.1000/1"]),
            "publication without prefix": _say("publications", ["science.add9330"]),
            "publication in Arabic digits": _say("publications", ["10.\u0661\u0662\u0663\u0664/1"]),
            "publication in white space": _say("publications", [" 10.1000/1 "]),
            "mutation twice": _say(
                "mutations", [{"gene": "shank3", "expression": "knock-out"}] * 2
            ),
        },
        "ids": {
            "in capitals": _id(lambda given: str(given).upper()),
            "in braces": _id(lambda given: f"{{{given}}}"),
            "as a URN": _id(lambda given: f"urn:uuid:{given}"),
            "without hyphens": _id(lambda given: given.hex),
            "another": _id(lambda given: str(uuid5(given, "another"))),
            "cut off": _id(lambda given: str(given)[:-1]),
            "a word": _id(lambda given: "dataset-1"),
            "a number": _id(lambda given: 7),
            "white space around": _id(lambda given: f" {given} "),
        },
        "tables": {
            "in micrometres": _of_table("units", {"voxel_radius": "um"}),
            "zeros are missing": _of_table("missing", ["0", "NaN", "-5"]),
            "a decimal comma": _of_table("decimal", ","),
            "a parent that cannot be": _of_table("parent", "synapse"),
            "parents are neurons": _of_table("parent", "neuron"),
            "columns left out": _of_table("ignore", ["colour", "dataset_id", "cid"]),
            "second line is the header": _of_table("header_row", 2),
            "without header": _of_table("header_row", None),
            "file with NUL": _of_table("file", "a\0.csv"),
            "file that is a folder": _of_table("file", ".."),
            "missing is NUL": _of_table("missing", ["\0"]),
            "a sheet": _of_table("sheet", "\0"),
            "a delimiter of a line end": _of_table("delimiter", "\n"),
            "a delimiter of NUL": _of_table("delimiter", "\0"),
            "a delimiter of no ASCII": _of_table("delimiter", "\u00a7"),
            "an encoding of bytes": _of_table("encoding", "base64"),
            "another encoding": _of_table("encoding", "utf-16"),
            "another delimiter": _of_table("delimiter", ";"),
            "all csv files as one": _of_table("file", "*.csv"),
        },
        "rules": {
            "ranges only warn": _rules("warning", "SYN-VAL-001"),
            "missing files only warn": _rules("info", "SYN-PATH-001", "SYN-PATH-002"),
            "unknown words are errors": _rules("error", "SYN-VOC-001"),
            "repeated keys only warn": _rules("warning", "SYN-ID-002"),
        },
        "texts": {
            **{
                f"{key}: {name}": say(text)
                for key, say in _TEXTS.items()
                for name, text in _ODD_TEXTS.items()
            },
        },
    }


MUTATIONS = [
    Mutation(kind, name, apply)
    for kind, changes in _mutations().items()
    for name, apply in changes.items()
]
_BY_KIND = {
    kind: [mutation for mutation in MUTATIONS if mutation.kind == kind]
    for kind in dict.fromkeys(m.kind for m in MUTATIONS)
}
KINDS: tuple[str, ...] = tuple(_BY_KIND)
_STEP = next(step for step in range(101, 1_000) if gcd(step, len(MUTATIONS)) == 1)
"""Mixes the kinds of the first numbers, and leaves none out."""


def case(seed: int, ids: dict[str, UUID]) -> Case:
    """Dataset number `seed`, its id that of its lab in `ids`. The first numbers do every mutation
    alone, later ones several at a time.
    """
    rng = Random(seed)
    alone = seed < len(MUTATIONS)
    first = (
        MUTATIONS[seed * _STEP % len(MUTATIONS)]
        if alone
        else rng.choice(_BY_KIND[rng.choice(KINDS)])
    )
    lab = rng.choice(list(LABS)) if first.kind != "meshes" else "tree"
    dataset = LABS[lab]()
    dataset.metadata["id"] = str(ids[lab])
    more = 0 if alone else rng.choice((0, 0, 1, 1, 2, 3))
    done = (first, *(rng.choice(_BY_KIND[rng.choice(KINDS)]) for _ in range(more)))
    for mutation in done:
        mutation.apply(rng, dataset)
    return Case(seed, lab, done, dataset)
