"""Meshes and skeletons behind SynDB's REST interface: sent to an object store with pre-signed
forms, seen again with pre-signed URLs.

Belongs here: forms, keys, digests, several files at a time. Does not: tables, datasets, or who may
(`destination.py`).

The bearer token never goes to the object store. A form is valid for 7,200 s and takes any file
whose name is the unit's id, because its key ends with `${filename}`; it is used for many files, and
another one is asked for before it ends.
"""

from __future__ import annotations

import hashlib
import shutil
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final, TypeVar
from urllib.parse import unquote, urlsplit
from uuid import UUID

from syndb_pipeline.base.errors import (
    DestinationRefused,
    NotLoggedIn,
    NotPermitted,
    NotVerified,
    OutcomeUnknown,
    UnknownDataset,
    Unreachable,
)
from syndb_pipeline.base.progress import Progress, Watch
from syndb_pipeline.base.tar_stream import FilePayload
from syndb_pipeline.destinations.base import SUFFIX, FailedFile, FileKind, OutgoingFile
from syndb_pipeline.destinations.http.answers import Answer
from syndb_pipeline.destinations.http.bodies import PROGRESS_SECONDS, FilePart
from syndb_pipeline.destinations.http.session import Session
from syndb_pipeline.destinations.rest.bodies import UploadForm

CONTENT_TYPE: Final[dict[FileKind, str]] = {"mesh": "model/gltf-binary", "swb": "text/plain"}
"""What a file is sent as unless its form says otherwise (S for meshes)."""

FORM_SECONDS: Final = 7_200 - 600
"""How long a form is used: it ends after 7,200 s (S), and a large file takes its time."""

_WORD: Final[dict[FileKind, str]] = {"mesh": "mesh", "swb": "skeleton"}
_AT_A_TIME: Final = 500

_Result = TypeVar("_Result")


class Forms:
    """The upload form of each kind, asked for when there is none or its time is nearly over.
    Threads share it."""

    def __init__(self, ask: Callable[[FileKind], UploadForm]) -> None:
        self._ask = ask
        self._forms: dict[FileKind, tuple[UploadForm, float]] = {}
        self._lock = threading.Lock()

    def get(self, kind: FileKind, *, instead_of: UploadForm | None = None) -> UploadForm:
        """The form; another one than `instead_of`, which the object store refused."""
        with self._lock:
            form, asked = self._forms.get(kind, (None, 0.0))
            now = time.monotonic()
            if form is None or form is instead_of or now - asked > FORM_SECONDS:
                form = self._ask(kind)
                self._forms[kind] = form, now
            return form


def put_files(
    session: Session,
    forms: Forms,
    files: Sequence[OutgoingFile],
    watch: Watch,
    arrived: Callable[[OutgoingFile], None],
) -> list[FailedFile]:
    """Send `files`, several at a time.

    Once the object store cannot be reached however often it is tried, the files after that are not
    tried.

    Args:
        session: What to send them with.
        forms: Where to send them.
        files: At most one of a kind for a row.
        watch: Called with how many are done.
        arrived: Called with each that the object store took.

    Returns:
        Those that it did not take.

    Raises:
        DestinationRefused: A refusal that meets every file (not logged in, not verified, another's
            dataset).
    """
    for kind in dict.fromkeys(file.kind for file in files):
        forms.get(kind)
    silent = threading.Event()

    def put(file: OutgoingFile) -> str | None:
        if silent.is_set():
            return "not tried, because the object store does not answer"
        try:
            answer = _put(session, forms, file)
        except (NotLoggedIn, NotVerified, NotPermitted, UnknownDataset):
            raise
        except (DestinationRefused, OutcomeUnknown) as error:
            if isinstance(error, Unreachable | OutcomeUnknown):
                silent.set()
            return error.message
        return None if answer.good else f"the object store answered {answer}"

    failed, reported = [], 0.0
    for done, (file, reason) in enumerate(
        zip(files, _several(session, put, files), strict=True), 1
    ):
        if reason is None:
            arrived(file)
        else:
            failed.append(FailedFile(file=file, reason=reason))
        if done == len(files) or time.monotonic() - reported >= PROGRESS_SECONDS:
            reported = time.monotonic()
            watch(Progress(what="meshes and skeletons", done=done, total=len(files), unit="files"))
    return failed


def _put(session: Session, forms: Forms, file: OutgoingFile) -> Answer:
    form = forms.get(file.kind)
    answer = _post(session, form, file)
    if answer.status == 403:  # the form may have ended, or the server's key was changed
        answer = _post(session, forms.get(file.kind, instead_of=form), file)
    return answer


def _post(session: Session, form: UploadForm, file: OutgoingFile) -> Answer:
    if not form.fields.get("key", "").endswith("${filename}"):
        raise DestinationRefused(
            f"{session.name} gave a form that does not name each file by its unit: every file "
            "would take the place of the one before.",
            next_step=f"Report it to who runs {session.name}.",
        )
    fields = {name.casefold(): value for name, value in form.fields.items()}
    kind = fields.get("content-type", "\n")
    if not kind.isprintable():
        kind = CONTENT_TYPE[file.kind]
    payload = FilePayload(file.path, file.bytes, file.sha256)
    part = FilePart("file", _name(file), kind, payload, fields=form.fields)
    what = f"to send the {_WORD[file.kind]} {_name(file)}"
    return session.send_file("POST", form.upload_url, part, what=what, ours=False)


def _name(file: OutgoingFile) -> str:
    return f"{file.unit}{SUFFIX[file.kind]}"


def lacking(
    session: Session,
    addresses: Callable[[FileKind, list[UUID]], Sequence[str]],
    files: Sequence[OutgoingFile],
    scratch: Path,
) -> list[OutgoingFile]:
    """Those of `files` that the object store does not have with these very bytes.

    Args:
        session: What to ask with.
        addresses: Gives the pre-signed URLs of a kind's units. Which URL belongs to which unit is
            read from its path, so neither their order nor one that is missing matters.
        files: What should be there.
        scratch: A folder that is used and removed.
    """
    if not files:
        return []
    url_of: dict[tuple[FileKind, UUID], str] = {}
    for kind in SUFFIX:
        units = [file.unit for file in files if file.kind == kind]
        for start in range(0, len(units), _AT_A_TIME):
            for url in addresses(kind, units[start : start + _AT_A_TIME]):
                if (unit := _unit_in(url)) is not None:
                    url_of[kind, unit] = url

    def is_there(file: OutgoingFile) -> bool:
        url = url_of.get((file.kind, file.unit))
        return url is not None and _same(session, url, file, scratch)

    shutil.rmtree(scratch, ignore_errors=True)  # of a process that was killed
    scratch.mkdir(parents=True)
    try:
        there = list(_several(session, is_there, files))
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return [file for file, known in zip(files, there, strict=True) if not known]


def _unit_in(url: str) -> UUID | None:
    """The unit whose file a URL is of: the last part of its path is `<unit>` or
    `<unit>.<suffix>`."""
    try:
        return UUID(unquote(urlsplit(url).path).rpartition("/")[2].partition(".")[0])
    except ValueError:
        return None


def _same(session: Session, url: str, file: OutgoingFile, folder: Path) -> bool:
    """Whether the object at `url` has the bytes of `file`: by size and by the MD5 that S3 gives as
    ETag, else by reading it."""
    what = f"to look for the {_WORD[file.kind]} {_name(file)}"
    # The first byte's answer has the size of all; a store that knows no ranges would send the file,
    # which is cut short.
    first = {"Range": "bytes=0-0"}
    answer = session.fetch(url, what, limit=4096, cut=True, headers=first)
    if answer.status == 206:
        size = answer.headers.get("content-range", "").rpartition("/")[2]
    else:
        size = answer.headers.get("content-length", "") if answer.status == 200 else ""
    if size != str(file.bytes):
        return False
    try:
        with file.path.open("rb") as here:
            if hashlib.file_digest(here, "sha256").hexdigest() == file.sha256:
                here.seek(0)
                md5 = hashlib.file_digest(here, lambda: hashlib.md5(usedforsecurity=False))
                if md5.hexdigest() == answer.headers.get("etag", "").strip('"'):
                    return True
    except OSError:
        return False  # sending it will say what is wrong with it
    # Not every ETag is an MD5: not after an upload in parts, nor where the store encrypts with a
    # key of its own.
    copy = folder / f"{file.kind}.{file.unit}"
    try:
        if not session.fetch(url, what, into=copy, limit=file.bytes).good:
            return False
        with copy.open("rb") as there:
            return hashlib.file_digest(there, "sha256").hexdigest() == file.sha256
    finally:
        copy.unlink(missing_ok=True)


def _several(
    session: Session, do: Callable[[OutgoingFile], _Result], files: Sequence[OutgoingFile]
) -> Iterator[_Result]:
    """The results of `do` for each of `files`, as many at a time as the settings say. What `do`
    raises ends all, as does Ctrl+C."""
    pool = ThreadPoolExecutor(session.settings.parallel_files)
    try:
        for start in range(0, len(files), _AT_A_TIME):
            yield from pool.map(do, files[start : start + _AT_A_TIME])
    except BaseException:
        session.stop()
        raise
    finally:
        pool.shutdown(cancel_futures=True)
        session.resume()
