"""The file of a form, streamed.

Belongs here: its bytes, and that they are those announced. Does not: sending them (`session.py`);
the form around them is httpx's.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass
from typing import Final

from syndb_pipeline.base.errors import NotAPackage
from syndb_pipeline.base.progress import Progress, Watch, unwatched
from syndb_pipeline.base.tar_stream import Payload

_PIECE: Final = 1 << 20
"""Bytes read and sent at a time."""

PROGRESS_SECONDS: Final = 0.5
"""Progress is reported no more often than this."""


@dataclass(frozen=True)
class FilePart:
    """The file of a form: its field, the name and content type it is sent under, and its bytes."""

    field: str
    name: str
    content_type: str
    payload: Payload
    fields: Mapping[str, str] = dataclasses.field(default_factory=dict)
    """Fields that go before it, in this order: S3 reads a form up to its file."""
    watch: Watch = unwatched
    """Called with how many bytes of the file went out."""


class PartReader:
    """The bytes of a form's file as httpx reads them, for one request.

    `whole` says whether all of them were read. As long as they were not, no server can have the
    whole body: its length was announced. The end is reported only once the bytes have proved to be
    those announced; if they are not, `NotAPackage` is raised in its place. `go_on` is called before
    each piece and may raise.
    """

    def __init__(self, part: FilePart, go_on: Callable[[], None]) -> None:
        self.whole = False
        self._part = part
        self._go_on = go_on
        self._done, self._reported = 0, 0.0
        self._pieces = self._read()

    def read(self, size: int = -1) -> bytes:
        return next(self._pieces, b"")

    def seek(self, offset: int, whence: int = 0) -> int:  # how httpx learns the number of bytes
        return self._part.payload.bytes if whence else 0

    def tell(self) -> int:
        return 0

    def close(self) -> None:
        self._pieces.close()

    def _read(self) -> Generator[bytes, None, None]:
        payload = self._part.payload
        try:
            before = payload.proof()
            if before is None:
                raise self._changed()
            with payload.open() as file:
                while piece := file.read(_PIECE):
                    self._done += len(piece)
                    if self._done > payload.bytes:
                        raise self._changed()
                    self._go_on()
                    yield piece
                    self._report(PROGRESS_SECONDS)
            # Digested while it went out, a file would be read no faster than it is digested; its
            # stamp says as much.
            if self._done != payload.bytes or payload.proof() != before:
                raise self._changed()
        except OSError as error:
            raise NotAPackage(
                f"{error.filename or payload} cannot be read: {error.strerror}.",
                next_step="Restore it and give the same command again.",
            ) from None
        self._report(0)
        self.whole = True

    def _report(self, seconds: float) -> None:
        now = time.monotonic()
        if now - self._reported >= seconds:
            self._reported = now
            total = self._part.payload.bytes
            self._part.watch(
                Progress(what=self._part.name, done=self._done, total=total, unit="bytes")
            )

    def _changed(self) -> NotAPackage:
        return NotAPackage(
            f"{self._part.payload}: its bytes are not those announced; it changed while it was "
            "sent. Nothing of it was taken in.",
            next_step="Prepare the dataset again, and look at the new plan.",
        )
