"""A multipart form with one file, streamed to disk: memory does not grow with the file.

Belongs here: taking such a form apart within limits. Does not: what its fields mean (`io.py`,
`objects.py`).
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final
from uuid import uuid4

import anyio.to_thread
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.requests import Request

PIECE: Final = 1 << 20
MAX_PARTS: Final = 100
MAX_FIELDS_BYTES: Final = 100_000
"""Bytes of all fields that are no file; a signed policy is the largest."""

BeforeFile = Callable[[Mapping[str, str], str], None]


class BadForm(Exception):
    """The body is no multipart form, or not one that is taken here. The message says why and goes
    to the client.
    """


class TooLarge(Exception):
    """The body is larger than what is taken."""


@dataclass(frozen=True)
class ReceivedFile:
    """The file as it lies on disk now, and the name it was sent under."""

    path: Path
    name: str
    bytes: int
    sha256: str
    md5: str
    """Empty unless it was asked for."""


@dataclass(frozen=True)
class Form:
    """The fields that came before the file, and the file, or None when there is none."""

    fields: Mapping[str, str]
    file: ReceivedFile | None


@asynccontextmanager
async def receive_form(
    request: Request,
    *,
    file_field: str,
    name: str,
    folder: Path,
    limit: int,
    before_file: BeforeFile,
    md5: bool = False,
) -> AsyncIterator[Form]:
    """The form of `request`. Its file, the part `file_field`, lies as `name` in a folder of its own
    below `folder` until the block ends.

    `before_file` is asked with the fields so far and the file's name before a byte is kept; it may
    raise. Raises `BadForm`, `TooLarge` beyond `limit` bytes, and `ClientDisconnect` when the client
    went away before the body's end: then the block is never entered.
    """
    place = folder / uuid4().hex
    place.mkdir(parents=True, mode=0o700)
    try:
        reader = _Reader(file_field, place / name, before_file, md5=md5)
        try:
            yield await _read(request, reader, limit)
        finally:
            reader.close()
    finally:
        await anyio.to_thread.run_sync(lambda: shutil.rmtree(place, ignore_errors=True))


async def _read(request: Request, reader: _Reader, limit: int) -> Form:
    kind, options = parse_options_header(request.headers.get("content-type"))
    boundary = options.get(b"boundary", b"")
    if kind != b"multipart/form-data" or not 0 < len(boundary) <= 200:
        raise BadForm("Input should be sent as multipart/form-data")
    parser = MultipartParser(boundary, reader.callbacks)  # type: ignore[arg-type]
    seen = 0
    async for piece in request.stream():
        seen += len(piece)
        if seen > limit:
            raise TooLarge
        try:
            parser.write(piece)
        except FormParserError as error:
            raise BadForm(f"The body is no multipart form: {error}") from None
        if reader.waiting_bytes >= PIECE:
            await anyio.to_thread.run_sync(reader.write_out)
    if not reader.ended:
        raise BadForm("The multipart form has no end; part of it is missing")
    await anyio.to_thread.run_sync(reader.write_out)
    reader.close()
    return reader.form


class _Reader:
    """Takes the parser's events. File content waits in memory until `write_out`, which the caller
    does in a thread.
    """

    def __init__(self, file_field: str, path: Path, before_file: BeforeFile, *, md5: bool) -> None:
        self.file_field = file_field
        self.path = path
        self.before_file = before_file
        self.fields: dict[str, str] = {}
        self.waiting: list[bytes] = []
        self.waiting_bytes = 0
        self.ended = False
        self._file: IO[bytes] | None = None
        self._name: str | None = None  # of the file, once its part began
        self._bytes = 0
        self._sha256 = hashlib.sha256()
        self._md5 = hashlib.md5(usedforsecurity=False) if md5 else None
        self._parts = 0
        self._fields_bytes = 0
        self._header_name = b""
        self._header_value = b""
        self._disposition = b""
        self._field: str | None = (
            None  # the field that data belong to; None for the file, and for parts nobody asked for
        )
        self._value = bytearray()
        self._in_file = False

    @property
    def callbacks(self) -> dict[str, Callable[..., None]]:
        return {
            "on_part_begin": self._part_begin,
            "on_header_field": self._on_header_name,
            "on_header_value": self._on_header_value,
            "on_header_end": self._header_end,
            "on_headers_finished": self._headers_finished,
            "on_part_data": self._part_data,
            "on_part_end": self._part_end,
            "on_end": self._end,
        }

    @property
    def form(self) -> Form:
        file = None
        if self._name is not None:
            file = ReceivedFile(
                self.path,
                self._name,
                self._bytes,
                self._sha256.hexdigest(),
                self._md5.hexdigest() if self._md5 else "",
            )
        return Form(self.fields, file)

    def write_out(self) -> None:
        data = b"".join(self.waiting)
        self.waiting.clear()
        self.waiting_bytes = 0
        if self._file is not None and data:
            self._bytes += len(data)
            self._sha256.update(data)
            if self._md5 is not None:
                self._md5.update(data)
            self._file.write(data)

    def close(self) -> None:
        if self._file is not None:
            self._file.close()

    def _part_begin(self) -> None:
        self._parts += 1
        if self._parts > MAX_PARTS:
            raise BadForm(f"The form has more than {MAX_PARTS} parts")
        self._disposition = b""

    def _on_header_name(self, data: bytes, start: int, end: int) -> None:
        self._header_name += data[start:end]

    def _on_header_value(self, data: bytes, start: int, end: int) -> None:
        self._header_value += data[start:end]

    def _header_end(self) -> None:
        if self._header_name.lower() == b"content-disposition":
            self._disposition = self._header_value
        self._header_name = self._header_value = b""

    def _headers_finished(self) -> None:
        _, options = parse_options_header(self._disposition)
        field = _text(options.get(b"name", b""))
        self._field = None
        self._in_file = False
        if b"filename" in options and field == self.file_field:
            if self._name is not None:
                raise BadForm(f"The form has {self.file_field} twice")
            name = _text(options[b"filename"])
            self.before_file(self.fields, name)
            self._name = name
            self._file = self.path.open("xb")
            self._in_file = True
        elif b"filename" not in options and self._name is None:
            self._field = field
            self._value = bytearray()

    def _part_data(self, data: bytes, start: int, end: int) -> None:
        if self._in_file:
            self.waiting.append(data[start:end])
            self.waiting_bytes += end - start
        elif self._field is not None:
            self._fields_bytes += end - start
            if self._fields_bytes > MAX_FIELDS_BYTES:
                raise BadForm(f"The form's fields hold more than {MAX_FIELDS_BYTES:,} bytes")
            self._value += data[start:end]

    def _part_end(self) -> None:
        if self._field is not None:
            self.fields[self._field] = _text(bytes(self._value))

    def _end(self) -> None:
        self.ended = True


def _text(data: bytes) -> str:
    return data.decode("utf-8", "replace")
