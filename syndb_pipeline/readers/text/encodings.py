"""Text files as UTF-8: byte order marks, other encodings, compressed files.

Belongs here: turning a file's bytes into UTF-8 bytes, line ends untouched, and saying which byte
cannot be. Does not: lines and values.
"""

from __future__ import annotations

import codecs
import re
import zlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from syndb_pipeline.base.errors import ConfigError
from syndb_pipeline.readers.endings import stops_early
from syndb_pipeline.readers.gzipped import gunzipped
from syndb_pipeline.readers.part import Problem, Unreadable, cannot_read
from syndb_pipeline.readers.signatures import check_is
from syndb_pipeline.readers.text import encoding_guess

_BOMS: Final = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32"),  # before UTF-16, whose mark it starts with
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_CHUNK: Final = 1 << 20
_AROUND: Final = 200

_TAIL: Final = 1 << 16
_MANY_CONTROLS: Final = 8
"""Control characters that a text does not have by a slip."""

_CONTROLS: Final = re.compile(rb"[\x01-\x08\x0e-\x19\x1b-\x1f]")
_END_MARK: Final = re.compile(rb"\x1a[\x1a\r\n\0 \t]*\Z")


def check_name(encoding: str, table: str) -> str:
    """Python's name of `encoding`. Raises `ConfigError` when there is no such text encoding."""
    try:
        info = codecs.lookup(encoding)
        "a".encode(info.name)
    except (LookupError, ValueError, TypeError):
        raise ConfigError(
            f"tables.{table}.encoding: {encoding!r} is no encoding Python knows.",
            next_step="Common ones are utf-8, cp1252, latin-1 and utf-16.",
        ) from None
    return info.name


def seen(head: bytes) -> tuple[str, dict[str, str] | None]:
    """The encoding of a text file that begins with `head`, as far as its bytes leave no doubt about
    it.

    Where it is neither UTF-8 nor UTF-16, its likely encodings come with it, each with what the
    first line beyond ASCII reads in it. A file of which some lines are UTF-8 is UTF-8: the others
    are damaged.
    """
    for mark, name in _BOMS:
        if head.startswith(mark):
            return name, None
    if b"\0" in head and (wide := encoding_guess.utf16_of(head[:4096])):
        return wide, None
    try:
        codecs.getincrementaldecoder("utf-8")().decode(head)
    except UnicodeDecodeError:
        readings = encoding_guess.readings_of(head.splitlines())
        return next(iter(readings or {}), "utf-8"), readings
    return "utf-8", None


def as_utf8(
    path: Path, file: str, encoding: str, table: str, scratch: Path, *, several: bool = False
) -> tuple[Path, str]:
    """A path whose bytes are the text of `path` as UTF-8, and the encoding found: `path` itself
    where it is UTF-8 already.

    Args:
        path: The lab's file, called `file` in findings.
        file: That name.
        encoding: The config's, as Python names it; a byte order mark wins over it.
        table: SynDB's table, which settings are named for.
        scratch: An empty folder of this file's own, for the copy where one is needed.
        several: Whether it is one of several files of the table, which are all read in one
            encoding.

    Raises:
        Unreadable: It is empty, no text, or text in another encoding.
    """
    if path.name.lower().endswith(".gz"):
        _check_packed(path, file)
        path = _unpacked(path, file, scratch)
    with path.open("rb") as source:
        head = source.read(4096)
    if not head:
        raise _empty(file)
    check_is(path, file, "text")
    found = next((name for mark, name in _BOMS if head.startswith(mark)), encoding)
    text = _Text(path, file, found, table, several)
    if found in ("utf-8", "utf-8-sig"):
        if b"\0" in head and (wide := encoding_guess.utf16_of(head)):
            which = "every other byte is" if "16" in wide else "most bytes are"
            reason = f"{which} zero, as in UTF-{wide[4:6]} text"
            text = replace(text, encoding="utf-8")
            raise text.wrong(reason, encoding_guess.name_it(table, wide, several=several))
        path = _without_end_mark(path, file, scratch)
        _check_text(path, file)
        return path, "utf-8"
    if found.startswith(("utf-16", "utf-32")) and b"\0" not in head and head.isascii():
        reason = f"it has none of the zero bytes that {found} text has"
        raise text.wrong(reason, encoding_guess.name_it(table, "utf-8", several=several))
    return _without_end_mark(text.transcoded(scratch), file, scratch), found


def _empty(file: str) -> Unreadable:
    return cannot_read(file, "it is empty", "Export it again, or remove the table from the config.")


def _without_end_mark(path: Path, file: str, scratch: Path) -> Path:
    """`path`, or a copy without the byte 0x1A with which DOS and CP/M ended text, and without what
    fills the block behind it.
    """
    size = path.stat().st_size
    with path.open("rb") as source:
        source.seek(max(size - _TAIL, 0))
        tail = source.read()
        mark = _END_MARK.search(tail)
        if mark is None:
            return path
        length = size - len(tail) + mark.start()
        if not length:
            raise _empty(file)
        before = tail[: mark.start()]
        target = scratch / "ended.txt"
        source.seek(0)
        with target.open("wb") as sink:
            while length and (chunk := source.read(min(length, _CHUNK))):
                sink.write(chunk)
                length -= len(chunk)
            if not before.endswith((b"\n", b"\r")):  # the mark says that the line is whole
                sink.write(b"\r" if b"\r" in before and b"\n" not in before else b"\n")
    return target


def _check_text(path: Path, file: str) -> None:
    """Raise `Unreadable` when the first bytes of a file are those of no text, or the first or last
    hold zeros.

    Zeros between are for its census to see.
    """
    with path.open("rb") as source:
        head = source.read(4096)
        source.seek(max(path.stat().st_size - 4096, 0))
        tail = source.read()
    zeros = b"\0" in head or b"\0" in tail
    controls = len(_CONTROLS.findall(head))
    if controls >= _MANY_CONTROLS and controls * (50 if zeros else 20) > len(head):
        advice = "Export the table with the program that wrote it, as .parquet or .csv."
        raise cannot_read(
            file, "it is no text but binary data of a format that is not recognised", advice
        )
    if zeros:
        raise zero_bytes(path, file)


def zero_bytes(path: Path, file: str) -> Unreadable:
    """`Unreadable` for a text file that holds zero bytes, as no text does: where they begin, and
    whether nothing else follows.
    """
    line, zeros, others = 1, 0, False
    with path.open("rb") as source:
        while chunk := source.read(_CHUNK):
            if not zeros:
                at = chunk.find(b"\0")
                line += chunk.count(b"\n", 0, at if at >= 0 else len(chunk))
                if at < 0:
                    continue
                chunk = chunk[at:]
            zeros += chunk.count(b"\0")
            others = others or bool(chunk.strip(b"\0"))
    if others:
        return cannot_read(
            file,
            f"it holds zero bytes, as damaged files do, first in line {line:,}",
            "Export it again from its source.",
        )
    reason = (
        f"it ends in {zeros:,} zero byte{'' if zeros == 1 else 's'} from line {line:,} on, as a"
        " copy does that broke off"
    )
    return cannot_read(
        file, reason, "Copy or export it again from its source: rows may be missing."
    )


def _check_packed(path: Path, file: str) -> None:
    """Raise `Unreadable` when the file at `path`, called .gz, is not compressed with gzip."""
    with path.open("rb") as source:
        head = source.read(4096)
    if not head or head.startswith(b"\x1f\x8b"):
        return
    check_is(path, file, "gzip file")
    if b"\0" not in head and not _CONTROLS.search(head):
        raise cannot_read(
            file, "it is not compressed, though its name ends in .gz", "Take .gz out of its name."
        )


def _unpacked(path: Path, file: str, scratch: Path) -> Path:
    target = scratch / "unpacked.txt"
    try:
        with path.open("rb") as source, target.open("wb") as sink:
            for piece in gunzipped(source, file):
                sink.write(piece)
    except EOFError:
        raise stops_early(file, "its compressed data stop before their end") from None
    except zlib.error as error:
        raise cannot_read(
            file, f"it is not whole as a gzip file ({error})", "Compress it again from its source."
        ) from None
    return target


@dataclass(frozen=True)
class _Text:
    """A text file in another encoding than UTF-8, as the config or a mark says."""

    path: Path
    file: str
    encoding: str
    table: str
    several: bool

    def wrong(self, reason: str, advice: str) -> Unreadable:
        """`Unreadable` because the text is not in the encoding."""
        values = {"encoding": self.encoding, "reason": reason, "advice": advice}
        return Unreadable(Problem("SYN-READ-003", self.file, values=values))

    def transcoded(self, scratch: Path) -> Path:
        """A copy as UTF-8 in the folder `scratch`."""
        target, encoding = scratch / "transcoded.txt", self.encoding
        decoder = codecs.getincrementaldecoder(encoding)()
        lines, done, seam = 1, 0, b""
        with self.path.open("rb") as source, target.open("wb") as sink:
            while True:
                chunk = source.read(_CHUNK)
                if encoding in encoding_guess.WESTERN:
                    if misread := encoding_guess.MISREAD.search(seam + chunk):
                        raise self._is_utf8(done - len(seam) + misread.start())
                    seam = chunk[-2:]
                if encoding.startswith("iso8859-") and (
                    control := encoding_guess.CONTROL.search(chunk)
                ):
                    raise self._is_no_latin(done + control.start())
                pending = len(decoder.getstate()[0])
                try:
                    text = decoder.decode(chunk, final=not chunk)
                except UnicodeError as error:
                    if not chunk and done:
                        reason = f"its last character is not whole in {encoding}"
                        raise stops_early(self.file, reason) from None
                    start, piece = getattr(error, "start", 0), getattr(error, "object", chunk)
                    lines += piece[:start].decode(encoding, "replace").count("\n")
                    at = done - pending + start + 1
                    reason = f"byte {at:,} of the file, near line {lines:,}, cannot be decoded"
                    raise self.wrong(reason, self._advice(piece)) from None
                sink.write(text.encode("utf-8", "surrogatepass"))
                lines += text.count("\n")
                done += len(chunk)
                if not chunk:
                    return target

    def _advice(self, piece: bytes) -> str:
        return encoding_guess.advice_for(self.table, self.encoding, piece, several=self.several)

    def _is_utf8(self, at: int) -> Unreadable:
        """`Unreadable` because the bytes of the file at `at` are a letter in UTF-8.

        In a Western encoding such a pair of bytes is `Ã¼` or `Â°`, which is in no word, and every
        key that holds one would be a wrong key.
        """
        number, line, offset = _line_at(self.path, at)
        word = encoding_guess.value_at(line, offset)
        reason = (
            f"line {number:,} holds {word.decode('utf-8', 'replace')!r} in UTF-8, which would be"
            f" read as {word.decode(self.encoding, 'replace')!r}"
        )
        if not _is_whole_utf8(self.path):
            advice = (
                "Other lines are not UTF-8, so no encoding fits the file as a whole. Write it"
                " again, all of it as UTF-8."
            )
        elif self.several:
            advice = (
                "The whole file is UTF-8. All files of the table are read in one encoding: save"
                " the others as UTF-8, and take it out."
            )
        else:
            advice = f"The whole file is UTF-8: `tables.{self.table}.encoding: utf-8`."
        return self.wrong(reason, advice)

    def _is_no_latin(self, at: int) -> Unreadable:
        """`Unreadable` because the file's byte at `at` is a control character, and no letter."""
        number, line, offset = _line_at(self.path, at)
        letters = encoding_guess.UTF8.finditer(line)
        if any(letter.start() <= offset < letter.end() for letter in letters):
            return self._is_utf8(at)
        reason = f"line {number:,} holds the byte 0x{line[offset]:02X}, which is no letter in it"
        return self.wrong(reason, self._advice(line))


def _line_at(path: Path, at: int) -> tuple[int, bytes, int]:
    """The line around byte `at` of a file: its number, as much of its text as a value may take, and
    where in that text the byte is.
    """
    number, line, left = 1, b"", at
    with path.open("rb") as source:
        while left and (chunk := source.read(min(left, _CHUNK))):
            number += chunk.count(b"\n")
            line = (line + chunk).rpartition(b"\n")[2][-_AROUND:]
            left -= len(chunk)
        return number, line + source.read(_AROUND).partition(b"\n")[0], len(line)


def _is_whole_utf8(path: Path) -> bool:
    decoder = codecs.getincrementaldecoder("utf-8")()
    try:
        with path.open("rb") as source:
            while chunk := source.read(_CHUNK):
                decoder.decode(chunk)
    except UnicodeDecodeError:
        return False
    return True
