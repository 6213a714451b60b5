"""Text compressed with gzip, unpacked piece by piece with an early stop where it is a bomb.

Belongs here: unpacking. Does not: what the text holds. Source: RFC 1952.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from typing import BinaryIO, Final

from syndb_pipeline.readers.part import BOMB_BYTES, BOMB_RATIO, UNPACK, refused

_STEP: Final = 1 << 20
_FEED: Final = 1 << 16
_MOST_SILENT: Final = 1 << 20
"""Bytes that may be read without one that is given: of a header that does not end."""

_FREE_PARTS: Final = 1_000
_LEAST_PART: Final = 64
"""Bytes that more parts than these must hold on average. Programs that write parts (bgzip, pigz)
make them 64 kB.
"""


def gunzipped(source: BinaryIO, file: str) -> Iterator[bytes]:
    """The text of a gzip file in pieces, all of its parts one after the other.

    Raises `zlib.error` or `EOFError` when it is not whole, and `Unreadable` when it holds far more
    than a table that was compressed, or nearly nothing.
    """
    stream: zlib._Decompress | None = None
    data, taken, given, silent, parts = b"", 0, 0, 0, 0
    while data or (data := source.read(_FEED)):
        if stream is None:
            data = (
                data.lstrip(b"\0") if parts else data
            )  # tapes and some programs fill up with zeros
            if not data:
                continue
            parts += 1
            if parts > _FREE_PARTS and given < parts * _LEAST_PART:
                reason = (
                    f"it is made of {parts:,} or more compressed parts that hold nearly nothing"
                )
                raise refused(file, reason, UNPACK)
            stream = zlib.decompressobj(31)
        piece = stream.decompress(data, _STEP)
        rest = stream.unconsumed_tail or stream.unused_data
        taken += len(data) - len(rest)
        silent = 0 if piece else silent + len(data) - len(rest)
        given += len(piece)
        if silent > _MOST_SILENT:
            advice = "Compress it again from its source."
            raise refused(file, "its gzip header does not end", advice)
        if given > BOMB_BYTES and given > BOMB_RATIO * taken:
            raise refused(
                file,
                f"{taken:,} bytes of it unpack to {given:,} and more, as no table does",
                UNPACK,
            )
        data, stream = rest, None if stream.eof else stream
        if piece:
            yield piece
    if stream is not None:
        raise EOFError("compressed data end too early")
