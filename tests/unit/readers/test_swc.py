"""Skeletons as SWC text: what is one, what is none and in which line.

Belongs here: single files and invented ones without end. Does not: the findings they lead to
(`tests/unit/stages/test_files_beside.py`).
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from syndb_pipeline.readers import swc
from syndb_pipeline.readers.swc import SwcReport, check_swc

GOOD = b"# id type x y z radius parent\n1 1 0 0 0 3.5 -1\n2 3 0 1.5 0 0.5 1\n3 3 0 -2 1e1 .5 2\n"


def check(folder: Path, content: bytes) -> SwcReport:
    path = folder / "s.swc"
    path.write_bytes(content)
    return check_swc(path)


@pytest.mark.parametrize(
    "content",
    [
        GOOD,
        GOOD.replace(b"\n", b"\r\n"),
        GOOD.replace(b"\n", b"\r"),
        GOOD.replace(b" ", b"\t"),
        GOOD.removesuffix(b"\n"),
        b"\xef\xbb\xbf" + GOOD,
        "# Länge in µm\n".encode("latin-1") + GOOD,
        b"\n   \n\t# indented\n" + GOOD.replace(b"\n2 ", b"  # the soma\n   2 "),
        GOOD.replace(b"1 1 0", b"+1 1 +0."),
        b"3 3 0 2 0 1 2\n2 3 0 1 0 1 1\n1 1 0 0 0 1 -1\n",
        b"0 1 0 0 0 1 -1\n1 3 1 0 0 1 2\n2 5 1 1 0 1 0\n",
    ],
    ids=[
        "plain",
        "crlf",
        "cr",
        "tabs",
        "no last line end",
        "byte order mark",
        "latin-1 comment",
        "blanks",
        "signs",
        "children first",
        "ids from 0",
    ],
)
def test_skeletons(tmp_path: Path, content: bytes) -> None:
    report = check(tmp_path, content)
    assert report == SwcReport(samples=3, roots=1)
    assert report.fault is None


REFUSED: dict[str, tuple[bytes, int | None, str]] = {
    "empty": (b"", None, "it holds no sample"),
    "too few values": (
        GOOD + b"4 3 0 0 0 1\n",
        5,
        "it has 6 values where a sample has 7 (id type x y z radius parent)",
    ),
    "commas": (
        GOOD.replace(b"2 3 0 1.5 0 0.5 1", b"2,3,0,1.5,0,0.5,1"),
        3,
        "its values are separated by commas",
    ),
    "a name": (
        b"PointNo Label X Y Z Radius Parent\n" + GOOD,
        1,
        "it holds words where numbers are expected, 'PointNo Label X Y Z",
    ),
    "semicolons and tabs": (
        GOOD.replace(b"2 3 0 1.5 0 0.5 1", b"2;\t3;\t0;\t1.5;\t0;\t0.5;\t1"),
        3,
        "separated by commas or semicolons",
    ),
    "a decimal comma": (
        GOOD.replace(b"1.5", b"1,5"),
        3,
        "its y '1,5' is no finite number with a decimal point",
    ),
    "more columns that a comment names": (
        b"##n,type,x,y,z,radius,parent,seg_id,level\n1 1 0 0 0 5 -1 0 2\n",
        2,
        (
            "it has 9 values where a sample has 7 (id type x y z radius parent); the first seven"
            " are a sample, as in an eSWC file"
        ),
    ),
    "a Git LFS pointer": (
        b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 9\n",
        1,
        "the file is a pointer of Git LFS",
    ),
    "a web page": (
        b"<!DOCTYPE html><html><body>404</body></html>",
        1,
        "the file is a web page (HTML)",
    ),
    "an .obj": (
        b"# made by hand\nv 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 3\n",
        2,
        "the file is a mesh in Wavefront OBJ text",
    ),
    "an id with a fraction": (GOOD + b"4.5 3 0 0 0 1 3\n", 5, "its id '4.5' is no whole number"),
    "a negative id": (GOOD + b"-4 3 0 0 0 1 3\n", 5, "its id '-4' is negative"),
    "an id without end": (
        GOOD + b"4" * 30 + b" 3 0 0 0 1 3\n",
        5,
        "is no whole number of at most 18 digits",
    ),
    "not a number": (GOOD + b"4 3 0 nan 0 1 3\n", 5, "its y 'nan' is no finite number"),
    "an id twice": (GOOD + b"2 3 9 9 9 1 1\n", 5, "sample 2 is in line 3 already"),
    "a parent that is not there": (
        GOOD + b"9 3 9 9 9 1 8\n",
        5,
        "sample 9 has the parent 8, which is no sample of the file",
    ),
    "its own parent": (GOOD.replace(b"-1", b"1"), 2, "has no root; this sample is its own parent"),
    "no root": (
        GOOD.replace(b"-1", b"3"),
        None,
        "no sample has the parent -1, so the skeleton has no root",
    ),
    "a circle beside a root": (
        GOOD + b"4 3 0 0 0 1 5\n5 3 0 0 0 1 4\n",
        5,
        "the parents of sample 4 go round in a circle",
    ),
    "a zero byte": (GOOD + b"4 3 0 0 0 \x00 1\n", 5, "it has a zero byte"),
    "UTF-16": (GOOD.decode().encode("utf-16"), 1, "save it as UTF-8"),
    "a space that does not break": (
        "1\xa01\xa00\xa00\xa00\xa01\xa0-1\n".encode("latin-1"),
        1,
        "it has 1 value where",
    ),
    "underscores": (b"1_0 1 0 0 0 1 -1\n", 1, "its id '1_0' is no whole number"),
}


@pytest.mark.parametrize("name", list(REFUSED))
def test_what_is_no_skeleton(tmp_path: Path, name: str) -> None:
    content, line, reason = REFUSED[name]
    report = check(tmp_path, content)
    assert report.reason is not None and reason in report.reason
    assert report.line == line
    assert report.fault == (f"line {line}: {report.reason}" if line else report.reason)
    assert report.fault.isprintable()


def test_what_is_strange_about_a_skeleton(tmp_path: Path) -> None:
    assert check(tmp_path, GOOD + b"4 3 9 9 9 1 -1\n5 3 9 9 8 1 -1\n") == SwcReport(
        samples=5, roots=3, other_root=5
    )
    assert check(tmp_path, GOOD + b"4 3 -0 -2.00 10 0.50 3\n") == SwcReport(
        samples=4, roots=1, repeated=1, first_repeated=5
    )
    assert check(tmp_path, GOOD + b"4 3 0 -2 10 0.4 3\n") == SwcReport(samples=4, roots=1), (
        "another radius: where a neurite leaves a soma"
    )
    assert check(tmp_path, GOOD + b"4 3 0 0 1 -1 3\n") == SwcReport(
        samples=4, roots=1, negative=1, first_negative=5
    )


def test_a_line_that_never_ends_is_not_read_to_its_end(tmp_path: Path) -> None:
    path = tmp_path / "s.swc"
    path.write_bytes(GOOD + b"#" + b"x" * 100)
    with path.open("r+b") as file:
        for _ in range(8):
            file.seek(0, os.SEEK_END)
            file.write(b"y" * 1_000_000)
    assert check_swc(path).fault == "line 5: the line is longer than 1,000,000 characters"
    path.write_bytes(GOOD + b"#" + b"x" * 900_000 + b"\n4 3 0 0 0 1 3\n")
    assert check_swc(path).samples == 4, "a long comment is one"


def test_what_has_no_end_is_refused_soon(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "s.swc"
    path.write_bytes(GOOD)
    os.truncate(path, 1 << 40)
    assert "zero byte" in str(check_swc(path).fault)
    monkeypatch.setattr(swc, "MAX_SAMPLES", 2)
    assert check(tmp_path, GOOD).fault == "it has more than 2 samples"


def test_what_is_no_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.swc")
    assert check_swc(tmp_path / "pipe.swc").fault == "it is no regular file"
    assert check_swc(tmp_path).fault == "it is no regular file"
    assert (
        check_swc(tmp_path / "none.swc").fault == "it cannot be opened: No such file or directory"
    )
    assert check_swc(tmp_path / "a\0.swc").fault == "its path is no path of a file"


@pytest.mark.parametrize("chunk", [64, 65, 127])
def test_pieces_of_any_size_give_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, chunk: int
) -> None:
    monkeypatch.setattr(swc, "_CHUNK", chunk)
    rows = [f"{n} 3 {n} 0 0 1 {n - 1 if n > 1 else -1}" for n in range(1, 60)]
    text = "# a comment\r\n" + "\r\n".join(rows)
    assert check(tmp_path, text.encode()) == SwcReport(samples=59, roots=1)
    again = check(tmp_path, f"{text}\r\n60 3 59 0 0 1 59\r\n61 3 0 0 0 one 60".encode())
    assert again.fault == "line 62: its radius 'one' is no finite number with a decimal point"
    assert check(tmp_path, f"{text}\r\n60 3 59 -0.0 0 1 59\r\n".encode()).first_repeated == 61


def test_many_samples_in_no_order_within_little_memory(tmp_path: Path) -> None:
    samples = 300_000
    path = tmp_path / "long.swc"
    numbers = [n * 7_919 % samples for n in range(samples)]
    parents = [-1, *numbers]
    lines = (f"{n} 3 {n}.5 0 0 1 {above}\n" for n, above in zip(numbers, parents, strict=False))
    path.write_text("".join(lines))
    script = (
        "import resource, sys\nfrom pathlib import Path\nfrom"
        " syndb_pipeline.readers.swc import check_swc\nbefore ="
        " resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\nreport ="
        " check_swc(Path(sys.argv[1]))\nprint(report.fault, report.samples, report.roots,"
        " resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(path)], capture_output=True, text=True, check=True
    )
    told, count, roots, grown = done.stdout.split()
    assert (told, count, roots) == ("None", "300000", "1")
    assert int(grown) < 120_000, "kilobytes"


@st.composite
def trees(draw: st.DrawFn) -> list[tuple[int, int]]:
    """(id, parent) of the samples of a forest, in any order."""
    size = draw(st.integers(1, 30))
    ids = draw(st.lists(st.integers(0, 10**9), min_size=size, max_size=size, unique=True))
    above = [draw(st.integers(-1, n - 1)) if n else -1 for n in range(size)]
    return draw(
        st.permutations(
            [(ids[n], ids[parent] if parent >= 0 else -1) for n, parent in enumerate(above)]
        )
    )


def text_of(tree: list[tuple[int, int]]) -> bytes:
    return "".join(
        f"{number} 3 {n} 0 0 1 {parent}\n" for n, (number, parent) in enumerate(tree)
    ).encode()


@settings(max_examples=150, deadline=None)
@given(tree=trees())
def test_every_forest_is_a_skeleton(
    tmp_path_factory: pytest.TempPathFactory, tree: list[tuple[int, int]]
) -> None:
    folder = tmp_path_factory.getbasetemp()
    assert check(folder, text_of(tree)).fault is None
    assert check(folder, text_of(tree)).roots == [parent for _, parent in tree].count(-1)


@settings(max_examples=150, deadline=None)
@given(tree=trees(), data=st.data())
def test_no_forest_with_one_wrong_sample_is(
    tmp_path_factory: pytest.TempPathFactory, tree: list[tuple[int, int]], data: st.DataObject
) -> None:
    at = data.draw(st.integers(0, len(tree) - 1))
    number, _ = tree[at]
    children: dict[int, list[int]] = {}
    for each, parent in tree:
        children.setdefault(parent, []).append(each)
    below = [number]
    for each in below:
        below += children.get(each, [])
    lines = text_of(tree).splitlines(keepends=True)
    kind = data.draw(st.sampled_from(["twice", "orphan", "circle", "short", "word"]))
    if kind == "twice":
        lines.insert(data.draw(st.integers(0, len(lines))), b"%d 3 0 0 0 1 -1\n" % number)
    elif kind == "short":
        lines[at] = lines[at].rsplit(b" ", 1)[0] + b"\n"
    elif kind == "word":
        lines[at] = lines[at].replace(b" 0 0 1 ", b" 0 O 1 ")
    else:
        parent = data.draw(st.sampled_from(below)) if kind == "circle" else 10**9 + 1
        lines[at] = b"%d 3 0 0 0 1 %d\n" % (number, parent)
    assert check(tmp_path_factory.getbasetemp(), b"".join(lines)).fault is not None


@settings(max_examples=300, deadline=None)
@given(
    content=st.one_of(
        st.binary(max_size=300),
        st.text("0123456789 -+.eE#\n\r\t,nai", max_size=300).map(str.encode),
    )
)
def test_no_bytes_raise(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    report = check(tmp_path_factory.getbasetemp(), content)
    assert (report.fault is None) == (report.samples > 0)
    assert report.fault is None or report.fault.isprintable()
