"""Text files as UTF-8: byte order marks, other encodings, compressed files.

Belongs here: turning a file's bytes into UTF-8 bytes, line ends untouched, and saying which byte cannot be. Does not: lines and values.
"""

from __future__ import annotations

import codecs
import zlib
from pathlib import Path
from typing import Final

from syndb_pipeline.errors import ConfigError
from syndb_pipeline.readers.endings import stops_early
from syndb_pipeline.readers.part import Problem, Unreadable, cannot_read
from syndb_pipeline.readers.signatures import check_is
from syndb_pipeline.readers.untrusted_archive import gunzipped

_BOMS: Final = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32"),  # before UTF-16, whose mark it starts with
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_CHUNK: Final = 1 << 20


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


def guess(line: bytes) -> str:
    """The encoding that bytes which are no UTF-8 most likely have."""
    if line.count(b"\0") * 4 >= len(line) > 0:
        return _utf16(line)
    try:
        line.decode("cp1252")
    except UnicodeDecodeError:
        return "latin-1"
    return "cp1252"


def _utf16(text: bytes) -> str:
    """Which UTF-16 `text` is: without a byte order mark Python's plain `utf-16` reads none. Most letters have a zero byte on one side."""
    return "utf-16-be" if text[::2].count(b"\0") > text[1::2].count(b"\0") else "utf-16-le"


def as_utf8(path: Path, file: str, encoding: str, scratch: Path) -> tuple[Path, str]:
    """A path whose bytes are the text of `path` as UTF-8, and the encoding found: `path` itself where it is UTF-8 already.

    `encoding` is the config's, as Python names it; a byte order mark wins over it. Raises `Unreadable`.
    """
    if path.name.lower().endswith(".gz"):
        path = _unpacked(path, file, scratch)
    with path.open("rb") as source:
        head = source.read(4096)
    if not head:
        raise cannot_read(file, "it is empty", "Export it again, or remove the table from the config.")
    check_is(path, file, "text")
    found = next((name for mark, name in _BOMS if head.startswith(mark)), encoding)
    if found in ("utf-8", "utf-8-sig"):
        if b"\0" in head:
            if head.count(b"\0") * 4 < len(head):
                line = head[: head.index(b"\0")].count(b"\n") + 1
                raise cannot_read(
                    file, f"it holds zero bytes, as damaged files do, first in line {line}", "Export it again from its source."
                )
            reason = "every other byte is zero, as in UTF-16 text"
            raise Unreadable(Problem("SYN-READ-003", file, values={"encoding": "utf-8", "reason": reason, "guess": _utf16(head)}))
        return path, "utf-8"
    if found.startswith(("utf-16", "utf-32")) and b"\0" not in head and head.isascii():
        reason = f"it has none of the zero bytes that {found} text has"
        raise Unreadable(Problem("SYN-READ-003", file, values={"encoding": found, "reason": reason, "guess": "utf-8"}))
    return _transcoded(path, file, found, scratch), found


def _unpacked(path: Path, file: str, scratch: Path) -> Path:
    target = scratch / "unpacked.txt"
    try:
        with path.open("rb") as source, target.open("wb") as sink:
            for piece in gunzipped(source, file):
                sink.write(piece)
    except EOFError:
        raise stops_early(file, "its compressed data stop before their end") from None
    except zlib.error as error:
        raise cannot_read(file, f"it is not whole as a gzip file ({error})", "Compress it again from its source.") from None
    return target


def _transcoded(path: Path, file: str, encoding: str, scratch: Path) -> Path:
    target = scratch / "transcoded.txt"
    decoder = codecs.getincrementaldecoder(encoding)()
    lines, done = 1, 0
    with path.open("rb") as source, target.open("wb") as sink:
        while True:
            chunk = source.read(_CHUNK)
            pending = len(decoder.getstate()[0])
            try:
                text = decoder.decode(chunk, final=not chunk)
            except UnicodeError as error:
                if not chunk and done:
                    raise stops_early(file, f"its last character is not whole in {encoding}") from None
                start = getattr(error, "start", 0)
                lines += _decoded_lines(getattr(error, "object", b"")[:start], encoding)
                place = f"byte {done - pending + start + 1:,} of the file, near line {lines:,}"
                reason = f"{place}, cannot be decoded"
                values = {"encoding": encoding, "reason": reason, "guess": _instead(encoding, getattr(error, "object", chunk))}
                raise Unreadable(Problem("SYN-READ-003", file, values=values)) from None
            sink.write(text.encode("utf-8", "surrogatepass"))
            lines += text.count("\n")
            done += len(chunk)
            if not chunk:
                return target


def _instead(encoding: str, text: bytes) -> str:
    """The encoding that `text`, which `encoding` cannot decode, most likely has."""
    try:
        codecs.getincrementaldecoder("utf-8")().decode(text)
    except UnicodeDecodeError:
        return "cp1252" if encoding != "cp1252" else "latin-1"
    return _utf16(text) if text.count(b"\0") * 4 >= len(text) > 0 else "utf-8"


def _decoded_lines(piece: bytes, encoding: str) -> int:
    return piece.decode(encoding, "replace").count("\n")
