"""Text that is no UTF-8: which encoding is offered, what the words read in it, and when none is.

Belongs here: real files through the ingest stage, and the settings they are offered pasted. Does
not: byte order marks (`test_text_files.py`).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from syndb_pipeline.rules.finding import Finding
from tests.lab import ingest_folder, ingest_text

CODE = "SYN-READ-003"


def found(folder: Path, content: bytes, name: str = "v.csv", **config: Any) -> Finding:
    return ingest_text(folder, content, name, **config).finding(CODE)


def offered(finding: Finding) -> list[str]:
    return [yaml.safe_load(block)["tables"]["vesicle"]["encoding"] for block in finding.settings]


def table(*keys: str, end: str = "\n") -> str:
    return end.join(["cid,neurotransmitter", *(f"{key},gaba" for key in keys), ""])


def reads(folder: Path, content: bytes, encoding: str, *keys: str) -> None:
    """The file is read without a finding in the encoding, with these keys."""
    done = ingest_text(folder, content, encoding=encoding)
    assert (done.codes, done.rows("vesicle", "cid")) == ([], [(key,) for key in keys])


@pytest.mark.parametrize(
    ("good", "bad", "rows", "name"),
    [
        ("Hügel", "Höhle", 0, "v.csv"),
        ("été", "Ñandú", 20, "v.csv.gz"),
        ("µm", "5 µm", 3_000, "v.csv"),
        ("α", "Müller", 0, "v.csv.gz"),
        ("日本", "é", 20, "v.csv"),
    ],
)
def test_lines_of_another_encoding_in_a_utf8_file(
    tmp_path: Path, name: str, rows: int, good: str, bad: str
) -> None:
    plain = [f"k{number}" for number in range(rows)]
    content = table(f"{good}1", *plain, "BAD", f"{good}2").encode()
    done = ingest_text(tmp_path, content.replace(b"BAD", f"{bad}3".encode("cp1252")), name)
    finding = done.finding(CODE)
    assert (finding.count, finding.settings) == (1, [])
    assert finding.examples[0].row == rows + 3
    assert "UTF-8 but for this line" in finding.fix
    assert "encoding:" not in finding.fix
    assert [key for (key,) in done.rows("vesicle", "cid")] == [f"{good}1", *plain, f"{good}2"]


@pytest.mark.parametrize(
    ("content", "encodings", "row"),
    [
        (b"cid,neurotransmitter\nH\xc3\xbcgel,H\xf6hle\nb,gaba\n", [], 2),
        (b"cid,Gr\xf6\xdfe\nH\xc3\xbcgel,1\nb,2\n", [], 1),
        (b"cid,Gr\xf6\xdfe\nH\xfcgel,1\nb,2\n", ["cp1252"], 1),
        (table("Hügel").encode("utf-8-sig") + b"H\xf6hle,gaba\n", [], 3),
    ],
)
def test_both_encodings_in_one_line_or_file(
    tmp_path: Path, content: bytes, encodings: list[str], row: int
) -> None:
    finding = found(tmp_path, content)
    assert (offered(finding), finding.examples[0].row) == (encodings, row)


CP1252 = ["Müller", "Höhle2", "Ñandú", "5µm", "Café", "Mé2", "ÅNGSTRÖM", "Straße", "naïve", "20°C"]
MAC = ["Hügel", "Bühne", "été", "Mädchen", "señor", "Käfer", "forêt"]


@pytest.mark.parametrize(
    ("word", "encoding", "end"),
    [
        *((word, "cp1252", "\r\n" if word < "M" else "\n") for word in CP1252),
        *((word, "mac-roman", "\r") for word in MAC),
    ],
)
def test_the_encoding_that_makes_words_is_offered(
    tmp_path: Path, word: str, encoding: str, end: str
) -> None:
    """Mac Roman where lines end as on Macs."""
    content = table("a", word, "b", end=end).encode(encoding)
    finding = found(tmp_path, content)
    assert offered(finding) == [encoding]
    assert repr(word) in finding.fix
    reads(tmp_path, content, encoding, "a", word, "b")


def test_mac_roman_in_a_packed_file_that_ends_in_lf(tmp_path: Path) -> None:
    content = table("a", "Hügel", end="\r")[:-1].encode("mac-roman") + b"\n"
    assert offered(found(tmp_path, content, "v.csv.gz")) == ["mac-roman"]


@pytest.mark.parametrize(
    ("word", "encoding"), [*((word, "mac-roman") for word in MAC), ("Müller", "cp850")]
)
def test_without_that_evidence_it_is_at_least_asked_for(
    tmp_path: Path, word: str, encoding: str
) -> None:
    finding = found(tmp_path, table("a", word).encode(encoding))
    assert encoding in finding.fix
    assert repr(word) in finding.fix
    assert offered(finding) in ([], [encoding])


@pytest.mark.parametrize(
    ("word", "encoding", "end"),
    [
        ("Клетка", "cp1251", "\n"),
        ("神经元", "gb18030", "\r"),
        ("ニューロン", "shift_jis", "\n"),
        ("νευρώνας", "cp1253", "\r"),
    ],
)
def test_other_scripts_are_not_taken_for_western_ones(
    tmp_path: Path, word: str, encoding: str, end: str
) -> None:
    finding = found(tmp_path, table("a", word, word, end=end).encode(encoding))
    assert finding.settings == []
    assert "UTF-8" in finding.fix


@pytest.mark.parametrize(
    ("encoding", "word"),
    [
        ("cp1252", "Hügel"),
        ("latin-1", "µm"),
        ("mac-roman", "é"),
        ("iso8859-15", "α"),
        ("cp1252", "a–b"),
    ],
)
def test_an_encoding_of_the_config_that_would_spoil_utf8(
    tmp_path: Path, encoding: str, word: str
) -> None:
    content = table(*(f"k{number}" for number in range(500)), word).encode()
    done = ingest_text(tmp_path, content, encoding=encoding)
    finding = done.finding(CODE)
    assert offered(finding) == ["utf-8"]
    assert repr(word) in finding.message
    assert "line 502" in finding.message
    assert not done.has("vesicle")
    finding = found(tmp_path, content + "Höhle,gaba\n".encode("cp1252"), encoding=encoding)
    assert (finding.settings, "all of it as UTF-8" in finding.fix) == ([], True)


@pytest.mark.parametrize("keys", [["Hügel", "Ünal"], ["NÃO", "Â"], ["10 ±2", "x²"]])
def test_right_files_of_other_encodings(tmp_path: Path, keys: list[str]) -> None:
    for encoding in ("cp1252", "latin-1", "iso8859-15"):
        reads(tmp_path, table(*keys).encode(encoding), encoding, *keys)


@pytest.mark.parametrize(
    ("encoding", "key"),
    [("utf-16-le", "a"), ("utf-16-be", "ä"), ("utf-32-le", "神"), ("utf-32-be", "a")],
)
def test_wide_text_without_a_mark(tmp_path: Path, encoding: str, key: str) -> None:
    content = table(key, *map(str, range(50))).encode(encoding)
    assert offered(found(tmp_path, content)) == [encoding]
    reads(tmp_path, content, encoding, key, *map(str, range(50)))


@pytest.mark.parametrize("pattern", ["v*.csv", "*/v.csv"])
def test_a_setting_for_all_files_is_not_offered_for_one_of_them(
    tmp_path: Path, pattern: str
) -> None:
    for number, content in enumerate([table("Hügel").encode(), table("Höhle").encode("cp1252")]):
        path = tmp_path / (f"{number}/v.csv" if "/" in pattern else f"v{number}.csv")
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content)
    said = "all files of a table are read in one encoding"
    finding = ingest_folder(tmp_path, {"vesicle": pattern}).finding(CODE)
    assert (finding.settings, said in finding.fix, "'Höhle'" in finding.fix) == ([], True, True)
    other = {"file": pattern, "encoding": "cp1252"}
    finding = ingest_folder(tmp_path, {"vesicle": other}).finding(CODE)
    assert (finding.settings, said in finding.fix) == ([], True)


@pytest.mark.parametrize("encoding", ["latin-1", "iso8859-15", "iso8859-2"])
def test_bytes_that_are_no_letters_in_the_config_s_encoding(tmp_path: Path, encoding: str) -> None:
    content = table("a", "“Müller”", "Held’s").encode("cp1252")
    finding = found(tmp_path, content, encoding=encoding)
    assert "line 3 holds the byte 0x93, which is no letter" in finding.message
    assert "“Müller”" in finding.fix
    finding = found(tmp_path, table("a", "Bühne").encode("mac-roman"), encoding=encoding)
    assert "mac-roman" in finding.fix
    assert "'Bühne'" in finding.fix


@pytest.mark.parametrize(
    ("written", "named", "read", "rows"),
    [
        ("cp1252", "mac-roman", "H\u00b8gel", 0),
        ("mac-roman", "cp1252", "HŸgel", 500),
        ("cp1252", "cp850", "H³gel", 0),
    ],
)
@pytest.mark.parametrize("blank", ["", "\n"])
def test_an_encoding_of_the_config_that_makes_no_words(
    tmp_path: Path, rows: int, blank: str, written: str, named: str, read: str
) -> None:
    keys = (f"k{number}" for number in range(rows))
    content = table(*keys, "Hügel", blank + "Blüte").encode(written)
    done = ingest_text(tmp_path, content, encoding=named)
    finding = done.finding(CODE)
    assert (finding.severity, finding.confidence) == ("warning", "likely")
    assert offered(finding) == [written]
    assert (finding.examples[0].row, repr(read) in finding.message) == (rows + 2, True)
    assert "'Hügel'" in finding.fix
    assert done.tables["vesicle"].passed == rows + 2
    right = ingest_text(tmp_path, content, encoding=written)
    assert [code for code in right.codes if code != "SYN-READ-011"] == []


@pytest.mark.parametrize(
    ("word", "encoding"),
    [
        ("¢", "cp1252"),
        ("Ω", "mac-roman"),
        ("½ µm", "cp1252"),
        ("€", "cp1252"),
        ("Клетка", "cp1251"),
    ],
)
def test_signs_that_are_no_words_raise_no_doubt(tmp_path: Path, word: str, encoding: str) -> None:
    reads(tmp_path, table(word).encode(encoding), encoding, word)
