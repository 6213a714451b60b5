"""Text that is no UTF-8: which encoding is offered, what the words read in it, and when none is.

Belongs here: real files through the ingest stage, and the settings they are offered pasted. Does
not: byte order marks (`test_text.py`).
"""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import pytest
import yaml

from syndb_pipeline.rules.finding import Finding
from tests.ingest_helpers import Ingested, ingest_folder

CODE = "SYN-READ-003"


def ingest(folder: Path, content: bytes, name: str = "v.csv", **config: Any) -> Ingested:
    (folder / name).write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
    return ingest_folder(folder, {"vesicle": {"file": name, **config}})


def offered(finding: Finding) -> list[str]:
    return [yaml.safe_load(block)["tables"]["vesicle"]["encoding"] for block in finding.settings]


def table(*keys: str, end: str = "\n") -> str:
    return end.join(["cid,neurotransmitter", *(f"{key},gaba" for key in keys), ""])


@pytest.mark.parametrize("name", ["v.csv", "v.csv.gz"])
@pytest.mark.parametrize("rows", [0, 20, 20_000])
@pytest.mark.parametrize(
    ("good", "bad"),
    [("Hügel", "Höhle"), ("été", "Ñandú"), ("µm", "5 µm"), ("α", "Müller"), ("日本", "é")],
)
def test_lines_of_another_encoding_in_a_utf8_file(
    tmp_path: Path, name: str, rows: int, good: str, bad: str
) -> None:
    plain = [f"k{number}" for number in range(rows)]
    content = (
        table(f"{good}1", *plain, "BAD", f"{good}2")
        .encode()
        .replace(b"BAD", f"{bad}3".encode("cp1252"))
    )
    done = ingest(tmp_path, content, name)
    finding = done.finding(CODE)
    assert (finding.count, finding.settings) == (1, [])
    assert finding.examples[0].row == rows + 3
    assert "UTF-8 but for this line" in finding.fix
    assert "encoding:" not in finding.fix
    assert [key for (key,) in done.rows("vesicle", "cid")] == [f"{good}1", *plain, f"{good}2"]


def test_both_encodings_in_one_line_and_in_the_header(tmp_path: Path) -> None:
    finding = ingest(tmp_path, b"cid,neurotransmitter\nH\xc3\xbcgel,H\xf6hle\nb,gaba\n").finding(
        CODE
    )
    assert finding.settings == []
    (finding,) = ingest(tmp_path, b"cid,Gr\xf6\xdfe\nH\xc3\xbcgel,1\nb,2\n").findings
    assert (finding.code, finding.settings, finding.examples[0].row) == (CODE, [], 1)
    (finding,) = ingest(tmp_path, b"cid,Gr\xf6\xdfe\nH\xfcgel,1\nb,2\n").findings
    assert offered(finding) == ["cp1252"]


CP1252 = ["Müller", "Höhle2", "Ñandú", "5µm", "Café", "Mé2", "ÅNGSTRÖM", "Straße", "naïve", "20°C"]
MAC = ["Hügel", "Bühne", "été", "Mädchen", "señor", "Käfer", "forêt"]


@pytest.mark.parametrize("word", CP1252)
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_the_encoding_of_windows_is_offered(tmp_path: Path, word: str, end: str) -> None:
    finding = ingest(tmp_path, table("a", word, "b", end=end).encode("cp1252")).finding(CODE)
    assert offered(finding) == ["cp1252"]
    assert repr(word) in finding.fix
    done = ingest(tmp_path, table("a", word, "b", end=end).encode("cp1252"), encoding="cp1252")
    assert (done.codes, done.rows("vesicle", "cid")) == ([], [("a",), (word,), ("b",)])


@pytest.mark.parametrize("word", MAC)
@pytest.mark.parametrize("last", ["\r", "\n"])
@pytest.mark.parametrize("name", ["v.csv", "v.txt", "v.csv.gz"])
def test_mac_roman_is_offered_where_lines_end_as_on_macs(
    tmp_path: Path, word: str, last: str, name: str
) -> None:
    content = (table("a", word, end="\r")[:-1] + last).encode("mac-roman")
    finding = ingest(tmp_path, content, name).finding(CODE)
    assert offered(finding) == ["mac-roman"]
    assert repr(word) in finding.fix
    done = ingest(tmp_path, content, name, encoding="mac-roman")
    assert (done.codes, done.rows("vesicle", "cid")) == ([], [("a",), (word,)])


@pytest.mark.parametrize("word", MAC)
def test_without_that_evidence_it_is_at_least_asked_for(tmp_path: Path, word: str) -> None:
    finding = ingest(tmp_path, table("a", word).encode("mac-roman")).finding(CODE)
    assert "mac-roman" in finding.fix
    assert repr(word) in finding.fix
    assert offered(finding) in ([], ["mac-roman"])


@pytest.mark.parametrize(
    ("word", "encoding"),
    [
        ("Клетка", "cp1251"),
        ("神经元", "gb18030"),
        ("ニューロン", "shift_jis"),
        ("νευρώνας", "cp1253"),
    ],
)
@pytest.mark.parametrize("end", ["\n", "\r"])
def test_other_scripts_are_not_taken_for_western_ones(
    tmp_path: Path, word: str, encoding: str, end: str
) -> None:
    finding = ingest(tmp_path, table("a", word, word, end=end).encode(encoding)).finding(CODE)
    assert finding.settings == []
    assert "UTF-8" in finding.fix


def test_dos_text(tmp_path: Path) -> None:
    finding = ingest(tmp_path, table("Müller", "Blüte").encode("cp850")).finding(CODE)
    assert "cp850" in finding.fix
    assert offered(finding) in ([], ["cp850"])


@pytest.mark.parametrize("encoding", ["cp1252", "latin-1", "mac-roman", "iso8859-15"])
@pytest.mark.parametrize("word", ["Hügel", "µm", "é", "α", "a–b"])
def test_an_encoding_of_the_config_that_would_spoil_utf8(
    tmp_path: Path, encoding: str, word: str
) -> None:
    rows = [f"k{number}" for number in range(3_000)]
    done = ingest(tmp_path, table(*rows, word).encode(), encoding=encoding)
    finding = done.finding(CODE)
    assert offered(finding) == ["utf-8"]
    assert repr(word) in finding.message
    assert "line 3,002" in finding.message
    assert not done.has("vesicle")
    assert ingest(tmp_path, table(*rows, word).encode(), encoding="utf-8").rows("vesicle", "cid")[
        -1
    ] == (word,)


def test_an_encoding_of_the_config_for_a_file_of_both(tmp_path: Path) -> None:
    finding = ingest(
        tmp_path, table("Hügel").encode() + "Höhle,gaba\n".encode("cp1252"), encoding="cp1252"
    ).finding(CODE)
    assert finding.settings == []
    assert "all of it as UTF-8" in finding.fix


@pytest.mark.parametrize("keys", [["Hügel", "Ünal"], ["NÃO", "Â"], ["10 ±2", "x²"]])
def test_right_files_of_other_encodings(tmp_path: Path, keys: list[str]) -> None:
    for encoding in ("cp1252", "latin-1", "iso8859-15"):
        assert ingest(tmp_path, table(*keys).encode(encoding), encoding=encoding).codes == []


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be"])
@pytest.mark.parametrize("key", ["a", "ä", "神"])
def test_wide_text_without_a_mark(tmp_path: Path, encoding: str, key: str) -> None:
    content = table(key, *map(str, range(50))).encode(encoding)
    finding = ingest(tmp_path, content).finding(CODE)
    assert offered(finding) == [encoding]
    assert ingest(tmp_path, content, encoding=encoding).rows("vesicle", "cid")[0] == (key,)


@pytest.mark.parametrize("pattern", ["v*.csv", "*/v.csv"])
def test_a_setting_for_all_files_is_not_offered_for_one_of_them(
    tmp_path: Path, pattern: str
) -> None:
    for number, content in enumerate([table("Hügel").encode(), table("Höhle").encode("cp1252")]):
        path = tmp_path / (f"{number}/v.csv" if "/" in pattern else f"v{number}.csv")
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content)
    finding = ingest_folder(tmp_path, {"vesicle": pattern}).finding(CODE)
    assert finding.settings == []
    assert "all files of a table are read in one encoding" in finding.fix
    assert "'Höhle'" in finding.fix
    finding = ingest_folder(tmp_path, {"vesicle": {"file": pattern, "encoding": "cp1252"}}).finding(
        CODE
    )
    assert (finding.settings, "save all of them as UTF-8" in finding.fix) == ([], True)


@pytest.mark.parametrize("encoding", ["latin-1", "iso8859-15", "iso8859-2"])
def test_bytes_that_are_no_letters_in_the_config_s_encoding(tmp_path: Path, encoding: str) -> None:
    content = table("a", "“Müller”", "Held’s").encode("cp1252")
    finding = ingest(tmp_path, content, encoding=encoding).finding(CODE)
    assert "line 3 holds the byte 0x93, which is no letter" in finding.message
    assert "“Müller”" in finding.fix
    finding = ingest(tmp_path, table("a", "Bühne").encode("mac-roman"), encoding=encoding).finding(
        CODE
    )
    assert "mac-roman" in finding.fix
    assert "'Bühne'" in finding.fix


def test_a_mark_of_utf8_and_a_line_of_windows(tmp_path: Path) -> None:
    finding = ingest(tmp_path, table("Hügel").encode("utf-8-sig") + b"H\xf6hle,gaba\n").finding(
        CODE
    )
    assert (finding.settings, finding.examples[0].row) == ([], 3)


@pytest.mark.parametrize("rows", [0, 3_000])
@pytest.mark.parametrize("blank", ["", "\n"])
@pytest.mark.parametrize(
    ("written", "named", "read"),
    [
        ("cp1252", "mac-roman", "H\u00b8gel"),
        ("mac-roman", "cp1252", "HŸgel"),
        ("cp1252", "cp850", "H³gel"),
    ],
)
def test_an_encoding_of_the_config_that_makes_no_words(
    tmp_path: Path, rows: int, blank: str, written: str, named: str, read: str
) -> None:
    content = table(*(f"k{number}" for number in range(rows)), "Hügel", blank + "Blüte").encode(
        written
    )
    done = ingest(tmp_path, content, encoding=named)
    finding = done.finding(CODE)
    assert (finding.severity, finding.confidence, offered(finding)) == (
        "warning",
        "likely",
        [written],
    )
    assert (finding.examples[0].row, repr(read) in finding.message) == (rows + 2, True)
    assert "'Hügel'" in finding.fix
    assert done.tables["vesicle"].passed == rows + 2
    right = ingest(tmp_path, content, encoding=written)
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
    assert ingest(tmp_path, table(word).encode(encoding), encoding=encoding).codes == []
