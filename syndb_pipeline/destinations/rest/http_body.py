"""A multipart/form-data body with one file, streamed.

Belongs here: the body's bytes, their number beforehand, and that they are those announced. Does
not: sending them (`http.py`).
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final
from uuid import uuid4

from syndb_pipeline.base.errors import NotAPackage
from syndb_pipeline.base.progress import Progress, Watch, nobody
from syndb_pipeline.base.tar_stream import Payload

PIECE: Final = 1 << 20
"""Bytes read and sent at a time."""

TELL_SECONDS: Final = 0.5
"""Who watches is told no more often than this."""


@dataclass(frozen=True)
class FilePart:
    """The file of a form: its field, the name and content type it is sent under, and its bytes."""

    field: str
    name: str
    content_type: str
    payload: Payload
    fields: Mapping[str, str] = dataclasses.field(default_factory=dict)
    """Fields that go before it, in this order: S3 reads a form up to its file."""
    watch: Watch = nobody
    """Told how many bytes of the file went out."""


class FormBody:
    """The bytes of a form with `part` in it, for one request.

    `whole` tells whether the last piece was handed over. As long as it was not, no server can have
    the whole body: its length was announced. That piece is held back until the file's bytes have
    proved to be those announced; if they are not, `NotAPackage` is raised in its place. `go_on` is
    called before each piece and may raise.
    """

    def __init__(self, part: FilePart, go_on: Callable[[], None]) -> None:
        boundary = f"syndb-pipeline-{uuid4().hex}"
        self._part = part
        self._go_on = go_on
        self._head = b"".join(
            f"--{boundary}\r\nContent-Disposition: form-data;"
            f' name="{_quoted(name)}"\r\n\r\n{value}\r\n'.encode()
            for name, value in part.fields.items()
        )
        self._head += (
            f'--{boundary}\r\nContent-Disposition: form-data; name="{_quoted(part.field)}";'
            f' filename="{_quoted(part.name)}"\r\nContent-Type: {part.content_type}\r\n\r\n'
        ).encode()
        self._tail = f"\r\n--{boundary}--\r\n".encode()
        self.whole = False
        self.headers = {
            "Content-Type": f"multipart/form-data; boundary={boundary}",
            "Content-Length": str(len(self._head) + part.payload.bytes + len(self._tail)),
        }

    def __iter__(self) -> Iterator[bytes]:
        payload, done, told = self._part.payload, 0, 0.0
        self._go_on()
        yield self._head
        try:
            before = payload.proof()
            if before is None:
                raise self._changed()
            with payload.open() as file:
                while piece := file.read(PIECE):
                    done += len(piece)
                    if done > payload.bytes:
                        raise self._changed()
                    self._go_on()
                    yield piece
                    if time.monotonic() - told >= TELL_SECONDS:
                        told = time.monotonic()
                        self._tell(done)
            # Digested while it went out, a file would be read no faster than it is digested; its
            # stamp tells as much.
            if done != payload.bytes or payload.proof() != before:
                raise self._changed()
        except OSError as error:
            raise NotAPackage(
                f"{error.filename or payload} cannot be read: {error.strerror}.",
                next_step="Restore it and give the same command again.",
            ) from None
        self._tell(done)
        self.whole = True
        yield self._tail

    def _tell(self, done: int) -> None:
        self._part.watch(
            Progress(what=self._part.name, done=done, total=self._part.payload.bytes, unit="bytes")
        )

    def _changed(self) -> NotAPackage:
        return NotAPackage(
            f"{self._part.payload}: its bytes are not those announced; it changed while it was"
            " sent. Nothing of it was taken in.",
            next_step="Prepare the dataset again, and look at the new plan.",
        )


def _quoted(name: str) -> str:
    """A name inside the quotes of a part's header, as browsers write it."""
    return name.replace('"', "%22").replace("\r", "%0D").replace("\n", "%0A")
