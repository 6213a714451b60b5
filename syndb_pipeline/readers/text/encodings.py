"""Text files as UTF-8: compressed files, byte order marks, other encodings, and in which of them
text was written that is no UTF-8.

Belongs here: turning a file's bytes into UTF-8 bytes, line ends untouched; the evidence of a file's
lines, and the words of SYN-READ-003. Does not: lines and values.

An encoding is offered only where its letters make words and no other common one does as well: under
a wrong one every key would be read, accepted and wrong. A file whose other lines are UTF-8 has no
encoding of its own: under any other, those lines would be wrong.
"""

from __future__ import annotations

import codecs
import glob
import re
import shutil
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from syndb_pipeline.base.errors import ConfigError
from syndb_pipeline.config.table_settings import TableConfig
from syndb_pipeline.readers.part import (
    Places,
    Problem,
    Unreadable,
    cannot_read,
    gunzipped,
    stops_early,
)
from syndb_pipeline.readers.signatures import check_is
from syndb_pipeline.readers.text.letters import (
    IN_WORD,
    NO_LETTER,
    SAMPLE,
    first_value,
    reading_of,
    readings_of,
    value_at,
)
from syndb_pipeline.readers.text.lines import CHUNK, line_end, physical_lines

BYTES: Final = "SYN-READ-003"

_BOMS: Final = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32"),  # before UTF-16, whose mark it starts with
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_WIDE: Final = ("utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be")

_HEAD: Final = 4096
_TAIL: Final = 1 << 16
_MANY_CONTROLS: Final = 8
"""Control characters that a text does not have by a slip."""

_CONTROLS: Final = re.compile(rb"[\x01-\x08\x0e-\x19\x1b-\x1f]")
_END_MARK: Final = re.compile(rb"\x1a[\x1a\r\n\0 \t]*\Z")

_UTF8: Final = re.compile(
    rb"[\xc2-\xdf][\x80-\xbf]|[\xe0-\xef][\x80-\xbf]{2}|[\xf0-\xf4][\x80-\xbf]{3}"
)

_WESTERN: Final = frozenset({"cp1252", "iso8859-1", "iso8859-15", "mac-roman", "cp850", "cp437"})
"""Encodings, as Python names them, in which UTF-8's pairs of bytes make no word: `Ã¼` for ü."""

_MISREAD: Final = re.compile(
    rb"\xc3[\x80-\xbf]|\xc2[\xa0-\xbf]|\xe2\x80[\x90-\xa6]|\xce[\x91-\xbf]|\xcf[\x80-\x89]"
)
"""The UTF-8 of letters that labs use: é, µ, dashes, Greek."""


@dataclass(frozen=True)
class Setting:
    """The setting `encoding` of `table`, by Python's `name`. It is for all files of the table,
    which may be `several`, so naming another for one of them may spoil the others.
    """

    name: str
    table: str
    several: bool = False

    @classmethod
    def of(cls, config: TableConfig, table: str, file: str) -> Setting:
        """What the config says for `file`. Raises `ConfigError` when there is no such text
        encoding.
        """
        try:
            info = codecs.lookup(config.encoding)
            "a".encode(info.name)
        except (LookupError, ValueError, TypeError):
            raise ConfigError(
                f"tables.{table}.encoding: {config.encoding!r} is no encoding Python knows.",
                next_step="Common ones are utf-8, cp1252, latin-1 and utf-16.",
            ) from None
        return cls(info.name, table, glob.has_magic(config.file) and file != config.file)

    def to_name(self, encoding: str) -> str:
        """What to do about a file that is in `encoding`."""
        if self.several:
            return (
                f"It is in {encoding}, and all files of a table are read in one encoding: save all"
                " of them as UTF-8."
            )
        what = "It is UTF-8" if encoding == "utf-8" else "Save it as UTF-8, or name its encoding"
        return f"{what}: `tables.{self.table}.encoding: {encoding}`."

    def to_choose(self, readings: dict[str, str], place: str) -> str:
        """What to do about a file that may be in one of these encodings, in which `place` reads
        so.
        """
        if len(readings) == 1:
            ((name, text),) = readings.items()
            return f"{self.to_name(name)} In it {place} reads {text!r}."
        shown = " or ".join(f"{name} ({place} reads {text!r})" for name, text in readings.items())
        return (
            "Save it as UTF-8 with the program that wrote it, or name its encoding, `encoding` of"
            f" `tables.{self.table}`: {shown or 'e.g. cp1251, shift_jis or gb18030'}."
        )

    def for_bytes(self, piece: bytes) -> str:
        """What to do about a file whose `piece` cannot be in the encoding."""
        try:
            codecs.getincrementaldecoder("utf-8")().decode(piece)
        except UnicodeDecodeError:
            lines = [line for line in piece.splitlines() if not line.isascii()][:SAMPLE]
            found = readings_of(lines, returns=False)
            found.pop(self.name, None)
            return self.to_choose(found, "the text")
        return self.to_name(_wide_of(piece[:_HEAD]) or "utf-8")

    def wrong(self, file: str, reason: str, advice: str) -> Unreadable:
        """`Unreadable` because the text of `file` is not in the encoding."""
        values = {"encoding": self.name, "reason": reason, "advice": advice}
        return Unreadable(Problem(BYTES, file, values=values))


@dataclass(frozen=True)
class Text:
    """A text file as UTF-8 at `path`, which was in `encoding`, and what to say of that."""

    path: Path
    encoding: str
    problems: Sequence[Problem] = ()


def as_utf8(path: Path, file: str, setting: Setting, scratch: Path) -> Text:
    """The text of `path`, called `file` in findings, as UTF-8: `path` itself where it is that
    already, else a copy in `scratch`, an empty folder of this file's own.

    A byte order mark wins over `setting`. Raises `Unreadable` where it is empty, no text, or text
    in another encoding.
    """
    if path.name.lower().endswith(".gz"):
        path = _unpacked(path, file, scratch)
    with path.open("rb") as source:
        head = source.read(_HEAD)
    if not head:
        raise _empty(file)
    check_is(path, file, "text")
    found = next((name for mark, name in _BOMS if head.startswith(mark)), setting.name)
    setting = replace(setting, name="utf-8" if found == "utf-8-sig" else found)
    if setting.name == "utf-8":
        if wide := _wide_of(head):
            which = "every other byte is" if "16" in wide else "most bytes are"
            reason = f"{which} zero, as in UTF-{wide[4:6]} text"
            raise setting.wrong(file, reason, setting.to_name(wide))
        path = _without_end_mark(path, file, scratch)
        _check_text(path, file)
        return Text(path, "utf-8")
    if found.startswith(("utf-16", "utf-32")) and b"\0" not in head and head.isascii():
        reason = f"it has none of the zero bytes that {found} text has"
        raise setting.wrong(file, reason, setting.to_name("utf-8"))
    path = _without_end_mark(_transcoded(path, file, setting, scratch), file, scratch)
    return Text(path, found, _doubts(path, file, setting))


def seen(head: bytes) -> tuple[str, dict[str, str] | None]:
    """The encoding of a text file that begins with `head`, as far as its bytes leave no doubt about
    it.

    Where it is neither UTF-8 nor UTF-16, its likely encodings come with it, each with what the
    first line beyond ASCII reads in it. A file of which some lines are UTF-8 is UTF-8: the others
    are damaged.
    """
    known = next((name for mark, name in _BOMS if head.startswith(mark)), None)
    if known or (known := _wide_of(head[:_HEAD])):
        return known, None
    try:
        codecs.getincrementaldecoder("utf-8")().decode(head)
    except UnicodeDecodeError:
        evidence = Evidence()
        for line in head.splitlines():
            evidence.add(1, line)
        readings = None if evidence.is_mixed else evidence.readings
        return next(iter(readings or {}), "utf-8"), readings
    return "utf-8", None


def _wide_of(head: bytes) -> str | None:
    """The encoding of two or four bytes a letter in which `head`, which has no byte order mark, is
    text; None when it is none.
    """
    for name in _WIDE:
        text = head[: len(head) // 4 * 4].decode(name, "replace")
        marks = sum(character.isprintable() or character in "\t\r\n" for character in text)
        # Text in which every second character is a zero, or hardly one is printed, is damage or no
        # text.
        if (
            text
            and "\0" not in text
            and marks >= 0.95 * len(text)
            and sum(map(str.isascii, text)) * 2 >= len(text)
        ):
            return name
    return None


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
    before = tail[: mark.start()]
    if len(tail) == size and not before:
        raise _empty(file)
    target = Path(shutil.copyfile(path, scratch / "ended.txt"))
    with target.open("r+b") as sink:
        sink.truncate(size - len(tail) + len(before))
        sink.seek(0, 2)
        if not before.endswith((b"\n", b"\r")):  # the mark says that the line is whole
            sink.write(b"\r" if b"\r" in before and b"\n" not in before else b"\n")
    return target


def _check_text(path: Path, file: str) -> None:
    """Raise `Unreadable` when the first bytes of a file are those of no text."""
    with path.open("rb") as source:
        head = source.read(_HEAD)
    controls = len(_CONTROLS.findall(head))
    if controls >= _MANY_CONTROLS and controls * (50 if b"\0" in head else 20) > len(head):
        advice = "Export the table with the program that wrote it, as .parquet or .csv."
        raise cannot_read(
            file, "it is no text but binary data of a format that is not recognised", advice
        )


def zero_bytes(path: Path, file: str) -> Unreadable:
    """`Unreadable` for a text file that holds zero bytes, as no text does: where they begin, and
    whether nothing else follows.
    """
    line, zeros, others = 1, 0, False
    with path.open("rb") as source:
        while chunk := source.read(CHUNK):
            before, mark, after = (b"", b"", chunk) if zeros else chunk.partition(b"\0")
            line += before.count(b"\n")
            zeros += len(mark) + after.count(b"\0")
            others = others or bool(after.strip(b"\0"))
    again = "Copy or export it again from its source: rows may be missing."
    if others:
        reason = f"it holds zero bytes, as damaged files do, first in line {line:,}"
        return cannot_read(file, reason, again)
    plural = "" if zeros == 1 else "s"
    reason = (
        f"it ends in {zeros:,} zero byte{plural} from line {line:,} on, as a copy does that broke"
        " off"
    )
    return cannot_read(file, reason, again)


def _unpacked(path: Path, file: str, scratch: Path) -> Path:
    """A copy of the gzip file at `path`, unpacked. Raises `Unreadable` when it is not whole, or
    none.
    """
    with path.open("rb") as source:
        head = source.read(_HEAD)
    if head and not head.startswith(b"\x1f\x8b"):
        check_is(path, file, "gzip file")
        if b"\0" not in head and not _CONTROLS.search(head):
            reason = "it is not compressed, though its name ends in .gz"
            raise cannot_read(file, reason, "Take .gz out of its name.")
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


def _transcoded(path: Path, file: str, setting: Setting, scratch: Path) -> Path:
    """A copy of the text at `path` as UTF-8. Raises `Unreadable` where bytes of it cannot be in
    the encoding.
    """
    target, encoding = scratch / "transcoded.txt", setting.name
    decoder = codecs.getincrementaldecoder(encoding)()
    chunk, lines, done = b"-", 1, 0
    with path.open("rb") as source, target.open("wb") as sink:
        while chunk:
            chunk = source.read(CHUNK)
            pending = len(decoder.getstate()[0])
            try:
                text = decoder.decode(chunk, final=not chunk)
            except UnicodeError as error:
                if not chunk and done:
                    reason = f"its last character is not whole in {encoding}"
                    raise stops_early(file, reason) from None
                start, piece = getattr(error, "start", 0), getattr(error, "object", chunk)
                lines += piece[:start].decode(encoding, "replace").count("\n")
                at = done - pending + start + 1
                reason = f"byte {at:,} of the file, near line {lines:,}, cannot be decoded"
                raise setting.wrong(file, reason, setting.for_bytes(piece)) from None
            sink.write(text.encode("utf-8", "surrogatepass"))
            lines += text.count("\n")
            done += len(chunk)
    return target


def _doubts(text: Path, file: str, setting: Setting) -> list[Problem]:
    """A warning where the encoding makes no words of the file that is now at `text`, and another
    common one does.

    Raises `Unreadable` where its bytes are letters in UTF-8, or none in the encoding: in a Western
    one UTF-8's pairs of bytes are `Ã¼` or `Â°`, which is in no word, and every key that holds one
    would be a wrong key.
    """
    encoding = setting.name
    western, iso = encoding in _WESTERN, encoding.startswith("iso8859-")
    if not western and not iso:
        return []
    lines: list[bytes] = []
    places = Places(file)
    end = line_end(text)
    with text.open("rb") as source:
        for number, line in enumerate(physical_lines(source, end), start=1):
            if line.isascii():
                continue
            raw = line.decode().encode(encoding)
            no_letter = NO_LETTER.search(raw) if iso else None
            letter = (_MISREAD.search(raw) if western else None) or (
                no_letter and _UTF8.search(raw)
            )
            if letter:
                word = value_at(raw, letter.start())
                reason = (
                    f"line {number:,} holds {word.decode('utf-8', 'replace')!r} in UTF-8, which"
                    f" would be read as {word.decode(encoding, 'replace')!r}"
                )
                raise setting.wrong(file, reason, _as_a_whole(text, end, setting))
            if no_letter:
                byte = raw[no_letter.start()]
                reason = f"line {number:,} holds the byte 0x{byte:02X}, which is no letter in it"
                raise setting.wrong(file, reason, setting.for_bytes(raw))
            # A sign by itself says nothing.
            if western and len(lines) < SAMPLE and IN_WORD.search(raw):
                lines.append(raw)
                places.add(number, line.decode().rstrip("\r"))
    if not lines or reading_of(lines, encoding) is not None:
        return []
    readings = readings_of(lines, returns=end == b"\r")
    readings.pop(encoding, None)
    shown = first_value(lines[0]).decode(encoding)
    where = f"line {places.examples[0].row:,}"
    return [
        replace(problem, severity="warning", confidence="likely")
        for problem in places.problem(
            BYTES,
            encoding=encoding,
            reason=f"{where} reads {shown!r} in it, whose letters make no word",
            advice=setting.to_choose(readings, where),
        )
        if readings
    ]


def _as_a_whole(text: Path, end: bytes, setting: Setting) -> str:
    """What to do about a file at `text` that is UTF-8 at one place at least."""
    with text.open("rb") as source:
        for line in physical_lines(source, end):
            if not line.isascii() and utf8_fault(line.decode().encode(setting.name)):
                return (
                    "Other lines are not UTF-8, so no encoding fits the file as a whole. Write it"
                    " again, all of it as UTF-8."
                )
    return setting.to_name("utf-8")


def utf8_fault(line: bytes) -> UnicodeDecodeError | None:
    """Where `line` stops being UTF-8; None where it does not."""
    if not line.isascii():
        try:
            line.decode()
        except UnicodeDecodeError as error:
            return error
    return None


def stops_inside(fault: UnicodeDecodeError | None) -> bool:
    """Whether a line is UTF-8 but for a letter at its end that is not whole."""
    return fault is not None and fault.reason == "unexpected end of data"


@dataclass
class Evidence:
    """What the lines of a file say that is read as UTF-8 and is none. `returns` says that its
    lines end in CR, as old Macs wrote them.
    """

    returns: bool = False
    count: int = 0
    first: str = ""
    number: int = 0
    _texts: list[bytes] = field(default_factory=list)
    is_mixed: bool = False

    def add(self, number: int, line: bytes) -> None:
        """Line `number` of the file."""
        fault = utf8_fault(line)
        if fault is None:
            self.is_mixed = self.is_mixed or not line.isascii()
            return
        self.count += 1
        self.is_mixed = self.is_mixed or _UTF8.search(line) is not None
        if not self.first:
            self.number = number
            self.first = f"line {number:,}, byte {fault.start + 1} is 0x{line[fault.start]:02X}" + (
                ", where the line stops" if stops_inside(fault) else ""
            )
        if len(self._texts) < SAMPLE:
            self._texts.append(line)

    @property
    def readings(self) -> dict[str, str]:
        """The encodings in which the lines make sense, each with what the first of them reads."""
        return readings_of(self._texts, self.returns)

    def values(self, setting: Setting) -> dict[str, Any]:
        """The values of a SYN-READ-003 about these lines."""
        more = f"; {self.count:,} lines in all" if self.count > 1 else ""
        advice = setting.to_choose(self.readings, f"line {self.number:,}")
        if self.is_mixed:
            those = "this line" if self.count == 1 else "these lines"
            shown = " or ".join(f"{text!r} in {name}" for name, text in self.readings.items())
            may_read = f" (line {self.number:,} may read {shown})" if shown else ""
            advice = f"The file is UTF-8 but for {those}: write {those} again as UTF-8{may_read}."
        return {"encoding": "utf-8", "reason": self.first + more, "advice": advice}
