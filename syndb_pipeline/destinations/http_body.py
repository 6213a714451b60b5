"""A multipart/form-data body with one file, streamed from disk.

Belongs here: the body's bytes, their number beforehand, their digest on the way. Does not: sending them (`http.py`).
"""

from __future__ import annotations

import dataclasses
import hashlib
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final
from uuid import uuid4

from syndb_pipeline.destinations.base import Progress, Watch, nobody
from syndb_pipeline.errors import NotAPackage

PIECE: Final = 1 << 20
"""Bytes read and sent at a time."""

TELL_SECONDS: Final = 0.5
"""Who watches is told no more often than this."""


@dataclass(frozen=True)
class FilePart:
    """The file of a form: its field, the name and content type it is sent under, and the size and digest its bytes must have."""

    field: str
    name: str
    content_type: str
    path: Path
    bytes: int
    sha256: str
    fields: Mapping[str, str] = dataclasses.field(default_factory=dict)
    """Fields that go before it, in this order: S3 reads a form up to its file."""
    watch: Watch = nobody
    """Told how many bytes of the file went out."""


class FormBody:
    """The bytes of a form with `part` in it, for one request.

    `whole` tells whether the last piece was handed over. As long as it was not, no server can have the whole body: its length was
    announced. That piece is held back until the file's bytes have proved to be those announced; if they are not, `NotAPackage` is raised
    in its place. `go_on` is called before each piece and may raise.
    """

    def __init__(self, part: FilePart, go_on: Callable[[], None]) -> None:
        boundary = f"syndb-pipeline-{uuid4().hex}"
        self._part = part
        self._go_on = go_on
        self._head = b"".join(
            f'--{boundary}\r\nContent-Disposition: form-data; name="{_quoted(name)}"\r\n\r\n{value}\r\n'.encode()
            for name, value in part.fields.items()
        )
        self._head += (
            f'--{boundary}\r\nContent-Disposition: form-data; name="{_quoted(part.field)}"; filename="{_quoted(part.name)}"\r\n'
            f"Content-Type: {part.content_type}\r\n\r\n"
        ).encode()
        self._tail = f"\r\n--{boundary}--\r\n".encode()
        self.whole = False
        self.headers = {
            "Content-Type": f"multipart/form-data; boundary={boundary}",
            "Content-Length": str(len(self._head) + part.bytes + len(self._tail)),
        }

    def __iter__(self) -> Iterator[bytes]:
        part, digest, done, told = self._part, hashlib.sha256(), 0, 0.0
        self._go_on()
        yield self._head
        with self._open() as file, ThreadPoolExecutor(1) as ahead:

            def following() -> bytes:
                piece = file.read(PIECE)
                digest.update(piece)
                return piece

            # The next piece is read and digested while this one goes out.
            coming = ahead.submit(following)
            while piece := self._read(coming):
                coming = ahead.submit(following)
                done += len(piece)
                if done > part.bytes:
                    raise self._changed()
                self._go_on()
                yield piece
                if time.monotonic() - told >= TELL_SECONDS:
                    told = time.monotonic()
                    self._tell(done)
        if digest.hexdigest() != part.sha256 or done != part.bytes:
            raise self._changed()
        self._tell(done)
        self.whole = True
        yield self._tail

    def _open(self) -> BinaryIO:
        try:
            return self._part.path.open("rb")
        except OSError as error:
            raise self._unreadable(error) from None

    def _read(self, coming: Future[bytes]) -> bytes:
        try:
            return coming.result()
        except OSError as error:
            raise self._unreadable(error) from None

    def _tell(self, done: int) -> None:
        self._part.watch(Progress(what=self._part.name, done=done, total=self._part.bytes, unit="bytes"))

    def _unreadable(self, error: OSError) -> NotAPackage:
        return NotAPackage(f"{self._part.path} cannot be read: {error.strerror}.", next_step="Restore it and give the same command again.")

    def _changed(self) -> NotAPackage:
        return NotAPackage(
            f"{self._part.path}: its bytes are not those announced; it changed while it was sent. Nothing of it was taken in.",
            next_step="Prepare the dataset again, and look at the new plan.",
        )


def _quoted(name: str) -> str:
    """A name inside the quotes of a part's header, as browsers write it."""
    return name.replace('"', "%22").replace("\r", "%0D").replace("\n", "%0A")
