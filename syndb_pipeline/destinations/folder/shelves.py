"""Folders that are replaced as a whole: on this machine, and in an object store.

Belongs here: putting files there so that a crash leaves the former ones, or shows that they are not
complete. Does not: which files.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import Any, Final
from uuid import uuid4

from syndb_pipeline.base.digests import digest_file
from syndb_pipeline.base.errors import NotAPackage, Unreachable
from syndb_pipeline.base.progress import Progress, Watch
from syndb_pipeline.base.system import rename
from syndb_pipeline.base.tar_stream import Payload
from syndb_pipeline.destinations.folder import is_store
from syndb_pipeline.state.store import link_or_copy, replace_folder

MARKER: Final = "syndb-export.json"
"""The file that is written first: what the folder is of."""

SUMS: Final = "SHA256SUMS"
"""The file that is written last: without it, a folder is not complete."""

Files = Mapping[str, Payload | None]
"""Name -> what is to be there; None for a file that is there already and stays."""

AGAIN: Final = "Prepare the dataset again, then give the same command again."
_PIECE, _AT_ONCE = 1 << 20, 64
_OF_SYSTEMS: Final = (".DS_Store", "Thumbs.db", "desktop.ini")
"""Files that a file manager leaves in a folder it shows."""


def _pieces(name: str, source: Payload) -> Iterator[bytes]:
    """The bytes of `source`. Raises `NotAPackage` at their end when they were announced others."""
    digest = hashlib.sha256()
    with source.open() as file:
        while piece := file.read(_PIECE):
            digest.update(piece)
            yield piece
    if digest.hexdigest() != source.sha256:
        raise NotAPackage(
            f"{source}: its bytes are not those announced for {name}.", next_step=AGAIN
        )


def _in_order(files: Files, watch: Watch) -> Iterator[tuple[str, Payload | None]]:
    """`files`, the marker first and the sums last; what was done is heard of in bytes."""
    total, done = sum(source.bytes for source in files.values() if source), 0
    for name in sorted(files, key=lambda each: (each == SUMS, each != MARKER, each)):
        source = files[name]
        yield name, source
        done += source.bytes if source else 0
        watch(Progress(what="export", part=name, done=done, total=total, unit="bytes"))


class Shelf:
    """A folder of this machine. It is written beside its place and takes that in one step."""

    def __init__(self, address: str) -> None:
        self._folder = Path(address).expanduser().absolute().resolve()
        self.address = str(self._folder)

    def below(self, name: str) -> Shelf:
        """A folder in it."""
        return Shelf(f"{self._folder / name}")

    def sizes(self, end: str = "") -> dict[str, int]:
        """The files in it and below whose names end with `end`; none where it is not there."""
        if not self._folder.exists():
            # A crash between the two renames that end a write: as it was before or after them.
            whole = [path for path in self._left() if Shelf(str(path)).is_whole()]
            if whole:
                rename(whole[-1], self._folder)
        return {
            name: path.lstat().st_size
            for path in self._folder.rglob("*")
            if path.is_symlink() or not path.is_dir()
            if path.name not in _OF_SYSTEMS
            and (name := path.relative_to(self._folder).as_posix()).endswith(end)
        }

    def digest(self, name: str) -> str | None:
        """The SHA-256 of a file; None where that cannot be known without reading it over a
        network."""
        path = self._folder / name
        return digest_file(path) if path.is_file() and not path.is_symlink() else ""

    def read(self, name: str) -> bytes | None:
        """A small file; None where it is not there."""
        path = self._folder / name
        return path.read_bytes() if path.is_file() else None

    def is_whole(self) -> bool:
        """Whether the files of `SUMS` are there as they were, and no others."""
        there, lines = self.sizes(), (self.read(SUMS) or b"").decode().splitlines()
        sums = {name: sha256 for sha256, _, name in (line.partition("  ") for line in lines)}
        return sums.keys() == there.keys() - {SUMS} != set() and all(
            self.digest(name) in (None, sha256) for name, sha256 in sums.items()
        )

    def fetch(self, name: str, scratch: Path) -> Path:
        """A file on this machine with the bytes of `name`, in `scratch` where it is a copy."""
        return self._folder / name

    def replace(self, files: Files, watch: Watch) -> None:
        """Have it hold `files` and no other. `MARKER` is written first, `SUMS` last."""
        self._folder.parent.mkdir(parents=True, exist_ok=True)
        beside = self._folder.with_name(f".{self._folder.name}.{uuid4().hex}")
        beside.mkdir()
        try:
            for name, source in _in_order(files, watch):
                target = beside / name
                target.parent.mkdir(parents=True, exist_ok=True)
                if source is None:
                    link_or_copy(self._folder / name, target)
                else:
                    with target.open("xb") as file:
                        file.writelines(_pieces(name, source))
            replace_folder(beside, self._folder)
        finally:
            shutil.rmtree(beside, ignore_errors=True)
            self.sweep()

    def sweep(self) -> None:
        """Remove what a write that died left beside it. Its writer alone may."""
        for left in self._left():
            shutil.rmtree(left, ignore_errors=True)

    def _left(self) -> list[Path]:
        """What a write that died left beside the folder, the oldest first."""
        pattern = f".{self._folder.name}.{'[0-9a-f]' * 32}"
        found = [path for path in self._folder.parent.glob(pattern) if (path / MARKER).is_file()]
        return sorted(found, key=lambda path: path.stat().st_mtime_ns)


class StoreShelf(Shelf):
    """A folder in an object store, where each file is replaced as a whole, but one after the
    other.
    """

    def __init__(self, address: str) -> None:
        import pyarrow.fs

        self.address = address
        self._fs: Any = pyarrow.fs
        with self._trouble():
            self._system, self._path = self._fs.FileSystem.from_uri(address)

    def below(self, name: str) -> StoreShelf:
        path, mark, options = self.address.partition("?")
        return StoreShelf(f"{path}/{name}{mark}{options}")

    def sizes(self, end: str = "") -> dict[str, int]:
        with self._trouble():
            found = self._system.get_file_info(
                self._fs.FileSelector(self._path, allow_not_found=True, recursive=True)
            )
        files = {each.path[len(self._path) + 1 :]: each.size for each in found if each.is_file}
        return {name: size for name, size in files.items() if name.endswith(end)}

    def sweep(self) -> None:
        """There is nothing beside it."""

    def digest(self, name: str) -> str | None:
        return None

    def read(self, name: str) -> bytes | None:
        with self._trouble():
            if not self._system.get_file_info(self._at(name)).is_file:
                return None
            with self._system.open_input_stream(self._at(name)) as file:
                return bytes(file.read())

    def fetch(self, name: str, scratch: Path) -> Path:
        target = scratch / PurePosixPath(name).name
        with (
            self._trouble(),
            self._system.open_input_stream(self._at(name)) as source,
            target.open("wb") as file,
        ):
            shutil.copyfileobj(source, file, _PIECE)
        return target

    def replace(self, files: Files, watch: Watch) -> None:
        there = self.sizes()
        with self._trouble():
            for name in there.keys() & {SUMS}:
                self._system.delete_file(self._at(name))
            for name, source in _in_order(files, watch):
                if name == SUMS:
                    self._remove(there.keys() - files.keys())
                if source is not None:
                    pieces = _pieces(name, source)
                    # What was started is put there as far as it came, whatever ends it: so the
                    # marker, without which the folder has no owner, is read whole before that.
                    begin = b"".join(islice(pieces, _AT_ONCE))
                    with self._system.open_output_stream(self._at(name)) as target:
                        target.write(begin)
                        for piece in pieces:
                            target.write(piece)
            if SUMS not in files:
                self._remove(there.keys() - {*files, SUMS})

    def _remove(self, names: set[str]) -> None:
        for name in sorted(names, key=lambda each: each == MARKER):
            self._system.delete_file(self._at(name))

    def _at(self, name: str) -> str:
        return f"{self._path}/{name}"

    @contextmanager
    def _trouble(self) -> Iterator[None]:
        """Inside: what the object store refuses, or the way to it."""
        try:
            yield
        except OSError as error:
            if error.filename is not None:  # a file of this machine
                raise
            raise Unreachable(
                f"{self.address} cannot be used: {' '.join(str(error).split())}",
                next_step="See that the address is right and that this machine may write there"
                " (its keys come from the store's own environment variables or files). Then give"
                " the same command again: it writes what is missing.",
            ) from None


def shelf_at(place: str) -> Shelf:
    """The folder at a path or address."""
    return StoreShelf(place) if is_store(place) else Shelf(place)
