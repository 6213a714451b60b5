"""The registry of file formats: what a file's name promises, and that every entry is whole.

Belongs here: the registry. Does not: any format.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from syndb_pipeline.readers import formats


@pytest.mark.parametrize(
    ("name", "suffix", "promised"),
    [
        ("neuron.csv", ".csv", "text"),
        ("Neuron.TSV.GZ", ".tsv.gz", "text"),
        ("a.b.xlsx", ".xlsx", "workbook"),
        ("part.pq", ".pq", "Parquet file"),
        ("notes.ods", ".ods", None),
        ("archive.gz", ".gz", None),
        ("without", "", None),
    ],
)
def test_what_a_name_promises(name: str, suffix: str, promised: str | None) -> None:
    found = formats.format_of(Path(name))
    assert (formats.suffix(Path(name)), found and found.name) == (suffix, promised)


def test_a_suffix_is_of_one_format() -> None:
    suffixes = formats.every_suffix()
    assert len(set(suffixes)) == len(suffixes) and all(each.startswith(".") for each in suffixes)
    assert formats.in_words() == ".csv, .tsv, .txt, .parquet, .xlsx, .xlsm or .xls"
    modules = {path.stem for path in Path(str(formats.__file__)).parent.glob("[!_]*.py")}
    assert len(modules) == len(formats.every_format())
