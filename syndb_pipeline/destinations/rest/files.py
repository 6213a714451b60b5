"""Meshes and skeletons behind SynDB's REST interface: sent to an object store with pre-signed
forms, seen again with pre-signed URLs.

Belongs here: forms, keys, digests, several files at a time. Does not: tables, datasets, or who may
(`rest.py`).

The bearer token never goes to the object store. A form is valid for 7,200 s and takes any file
whose name is the unit's id, because its key ends with `${filename}`; it is used for many files and
asked for anew before it ends.
"""

from __future__ import annotations

import hashlib
import shutil
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
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
from syndb_pipeline.destinations.rest.http import Session
from syndb_pipeline.destinations.rest.http_answer import Answer
from syndb_pipeline.destinations.rest.http_body import TELL_SECONDS, FilePart
from syndb_pipeline.destinations.rest.metadata import UploadForm

CONTENT_TYPE: Final[dict[FileKind, str]] = {"mesh": "model/gltf-binary", "swb": "text/plain"}
"""What a file is sent as unless its form says otherwise (S for meshes)."""

FORM_SECONDS: Final = 7_200 - 600
"""How long a form is used: it ends after 7,200 s (S), and a large file takes its time."""

WORD: Final[dict[FileKind, str]] = {"mesh": "mesh", "swb": "skeleton"}

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


@dataclass(frozen=True)
class _Form:
    form: UploadForm
    asked: float


class Forms:
    """The upload form of each kind, asked for when there is none or its time is nearly over.
    Threads share it.
    """

    def __init__(self, ask: Callable[[FileKind], UploadForm]) -> None:
        self._ask = ask
        self._forms: dict[FileKind, _Form] = {}
        self._lock = threading.Lock()

    def get(self, kind: FileKind, *, instead_of: UploadForm | None = None) -> UploadForm:
        """The form; another one than `instead_of`, which the object store refused."""
        with self._lock:
            kept = self._forms.get(kind)
            if (
                kept is None
                or kept.form is instead_of
                or time.monotonic() - kept.asked > FORM_SECONDS
            ):
                asked = time.monotonic()
                kept = self._forms[kind] = _Form(self._ask(kind), asked)
            return kept.form


def put_files(
    session: Session,
    forms: Forms,
    files: Sequence[OutgoingFile],
    watch: Watch,
    arrived: Callable[[OutgoingFile], None],
) -> list[FailedFile]:
    """Send `files`, several at a time; `arrived` is told of each that the object store took.
    Returns the others.

    A refusal that meets every file (not logged in, not verified, another's dataset) is raised. Once
    the object store cannot be reached however often it is tried, the files after that are not
    tried.
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
        except (Unreachable, OutcomeUnknown) as error:
            silent.set()
            return error.message
        except DestinationRefused as error:
            return error.message
        return None if answer.good else f"the object store answered {answer}"

    failed: list[FailedFile] = []
    told = 0.0
    for done, (file, reason) in enumerate(_several(session, put, files), 1):
        if reason is None:
            arrived(file)
        else:
            failed.append(FailedFile(file=file, reason=reason))
        if done == len(files) or time.monotonic() - told >= TELL_SECONDS:
            told = time.monotonic()
            watch(Progress(what="meshes and skeletons", done=done, total=len(files), unit="files"))
    order = {(file.kind, file.unit): number for number, file in enumerate(files)}
    return sorted(failed, key=lambda each: order[each.file.kind, each.file.unit])


def _put(session: Session, forms: Forms, file: OutgoingFile) -> Answer:
    form = forms.get(file.kind)
    answer = _post(session, form, file)
    if (
        answer.status == 403
    ):  # the form may have ended: by its time, or because the server's key was changed
        answer = _post(session, forms.get(file.kind, instead_of=form), file)
    return answer


def _post(session: Session, form: UploadForm, file: OutgoingFile) -> Answer:
    if not form.fields.get("key", "").endswith("${filename}"):
        raise DestinationRefused(
            f"{session.name} gave a form that does not name each file by its unit: every file would"
            " take the place of the one before.",
            next_step=f"Report it to who runs {session.name}.",
        )
    name = f"{file.unit}{SUFFIX[file.kind]}"
    kind = next(
        (value for key, value in form.fields.items() if key.casefold() == "content-type"),
        CONTENT_TYPE[file.kind],
    )
    if not kind.isprintable():
        kind = CONTENT_TYPE[file.kind]
    part = FilePart(
        "file", name, kind, FilePayload(file.path, file.bytes, file.sha256), fields=form.fields
    )
    return session.send_file(
        "POST", form.upload_url, part, what=f"to send the {WORD[file.kind]} {name}", ours=False
    )


def lacking(
    session: Session,
    addresses: Callable[[FileKind, list[UUID]], Sequence[str]],
    files: Sequence[OutgoingFile],
    scratch: Path,
) -> list[OutgoingFile]:
    """Those of `files` that the object store does not have with these very bytes.

    `addresses` gives the pre-signed URLs of a kind's units; which URL belongs to which unit is read
    from its path, so neither their order nor one that is missing matters. The folder `scratch` is
    used and removed.
    """
    if not files:
        return []
    url_of: dict[tuple[FileKind, UUID], str] = {}
    for kind in SUFFIX:
        units = iter([file.unit for file in files if file.kind == kind])
        while some := list(islice(units, 500)):
            for url in addresses(kind, some):
                if (unit := _unit_in(url)) is not None:
                    url_of[kind, unit] = url
    shutil.rmtree(scratch, ignore_errors=True)  # of a process that was killed
    scratch.mkdir(parents=True)
    try:

        def is_there(file: OutgoingFile) -> bool:
            url = url_of.get((file.kind, file.unit))
            return url is not None and _same(session, url, file, scratch)

        there = {
            (file.kind, file.unit) for file, found in _several(session, is_there, files) if found
        }
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return [file for file in files if (file.kind, file.unit) not in there]


def _unit_in(url: str) -> UUID | None:
    """The unit whose file a URL is of: the last part of its path is `<unit>` or
    `<unit>.<suffix>`.
    """
    try:
        return UUID(unquote(urlsplit(url).path).rpartition("/")[2].partition(".")[0])
    except ValueError:
        return None


def _same(session: Session, url: str, file: OutgoingFile, folder: Path) -> bool:
    """Whether the object at `url` has the bytes of `file`: by size and by the MD5 that S3 gives as
    ETag, else by reading it.
    """
    what = f"to look for the {WORD[file.kind]} {file.unit}{SUFFIX[file.kind]}"
    # The first byte's answer tells the size of all; a store that knows no ranges would send the
    # file, which is cut short.
    answer = session.fetch(url, what, limit=4096, cut=True, headers={"Range": "bytes=0-0"})
    if answer.status not in (200, 206):
        return False
    size = (
        answer.headers.get("content-range", "").rpartition("/")[2]
        if answer.status == 206
        else answer.headers.get("content-length", "")
    )
    if size != str(file.bytes):
        return False
    md5, sha256 = hashlib.md5(usedforsecurity=False), hashlib.sha256()
    try:
        with file.path.open("rb") as here:
            while piece := here.read(1 << 20):
                md5.update(piece)
                sha256.update(piece)
    except OSError:
        return False  # sending it will say what is wrong with it
    if sha256.hexdigest() == file.sha256 and md5.hexdigest() == answer.headers.get(
        "etag", ""
    ).strip('"'):
        return True
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
    session: Session, do: Callable[[_Item], _Result], items: Iterable[_Item]
) -> Iterator[tuple[_Item, _Result]]:
    """`do` each of `items`, as many at a time as the settings say; each with its result, as they
    end. What `do` raises ends all.
    """
    with _pool(session) as pool:
        waiting = iter(items)
        running: dict[Future[_Result], _Item] = {}
        while True:
            for item in islice(waiting, session.settings.parallel_files - len(running)):
                running[pool.submit(do, item)] = item
            if not running:
                return
            ended, _ = wait(running, return_when=FIRST_COMPLETED)
            for future in ended:
                yield running.pop(future), future.result()


@contextmanager
def _pool(session: Session) -> Iterator[ThreadPoolExecutor]:
    """Threads that end soon when the work is broken off: by Ctrl+C, or by one of them."""
    pool = ThreadPoolExecutor(session.settings.parallel_files)
    try:
        yield pool
    except BaseException:
        session.stop()
        raise
    finally:
        pool.shutdown(cancel_futures=True)
        session.resume()
