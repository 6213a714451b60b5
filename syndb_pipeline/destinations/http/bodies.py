"""What goes over the wire, whatever the interface: texts of a server made fit to be kept and shown,
and the file of a form, streamed.

Belongs here: the base of bodies that are read, and reading a file for a form. Does not: an
interface's bodies (its own `bodies.py`), sending (`session.py`). The form around a file is httpx's.
"""

from __future__ import annotations

import dataclasses
import time
import unicodedata
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Final

from pydantic import AfterValidator, BaseModel, ConfigDict, model_validator

from syndb_pipeline.base.errors import NotAPackage
from syndb_pipeline.base.progress import Progress, Watch, unwatched
from syndb_pipeline.base.tar_stream import Payload
from syndb_pipeline.destinations.http.answers import cleaned

_LONGEST: Final = 1_000
"""Characters of a text that are kept; SynDB's own limits end at 280."""


def _visible(text: str) -> str:
    """`text` as a terminal and a log can show it. No metadata of ours have a control character, so
    what equals them still does."""
    kept = text[:_LONGEST] + ("..." if len(text) > _LONGEST else "")
    return "".join("\ufffd" if unicodedata.category(c) == "Cc" else c for c in kept)


def _identifier(text: str) -> str:
    """Ids are compared, so none is changed. Raises `ValueError`."""
    if not text.isprintable() or not 0 < len(text) <= 200:
        raise ValueError("Input should be an id of up to 200 printable characters")
    return text


Id = Annotated[str, AfterValidator(_identifier)]
Shown = Annotated[str, AfterValidator(cleaned)]
Word = Annotated[str, AfterValidator(_visible)]
Words = tuple[Word, ...]


class Body(BaseModel):
    """A body that a server sent. What is not known is passed over; `null` is as good as nothing."""

    model_config = ConfigDict(frozen=True, hide_input_in_errors=True)

    @model_validator(mode="before")
    @classmethod
    def _without_null(cls, body: Any) -> Any:
        if not isinstance(body, dict):
            return body
        return {name: value for name, value in body.items() if value is not None}


# The file of a form

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
        payload, done, reported = self._part.payload, 0, 0.0
        try:
            # Digested while it went out, a file would be read no faster than it is digested; its
            # stamp says as much.
            before = payload.proof()
            with payload.open() as file:
                while piece := file.read(min(_PIECE, payload.bytes - done)):
                    if before is None:
                        break
                    self._go_on()
                    yield piece
                    done += len(piece)
                    if done < payload.bytes and time.monotonic() - reported >= PROGRESS_SECONDS:
                        reported = time.monotonic()
                        self._report(done)
                if before is None or done != payload.bytes or payload.proof() != before:
                    raise NotAPackage(
                        f"{payload}: its bytes are not those announced; it changed while it was "
                        "sent. Nothing of it was taken in.",
                        next_step="Prepare the dataset again, and look at the new plan.",
                    )
        except OSError as error:
            raise NotAPackage(
                f"{error.filename or payload} cannot be read: {error.strerror}.",
                next_step="Restore it and give the same command again.",
            ) from None
        self._report(done)
        self.whole = True

    def _report(self, done: int) -> None:
        part = self._part
        total = part.payload.bytes
        part.watch(Progress(what=part.name, done=done, total=total, unit="bytes"))
