"""Looking for secrets in everything that a run left behind, in whatever form they may lie there.

Belongs here: the forms of a secret, and reading files as deep as they go. Does not: which secrets,
or which runs (`test_canary.py`).
"""

from __future__ import annotations

import base64
import gzip
import os
import re
import sqlite3
import threading
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Self
from urllib.parse import quote, quote_plus

import duckdb


def forms(secret: str) -> set[bytes]:
    """`secret` as it would stand in a file: plain, in addresses, in strings of code, in UTF-16, in
    base64, in hex.
    """
    raw = secret.encode()
    texts = {secret, quote(secret, safe=""), quote(secret), quote_plus(secret)}
    texts |= {repr(secret)[1:-1], ascii(secret)[1:-1]}
    texts |= set(re.findall(r"[0-9a-zA-Z]{20,}", secret))  # whatever is done to what is beside it
    found = {text.encode() for text in texts} | {raw.hex().encode()}
    found |= {secret.encode(f"utf-16-{order}") for order in ("le", "be")}
    for offset in range(3):
        # Characters that neighbouring bytes have a part in are left out.
        coded = base64.b64encode(b"\0" * offset + raw)
        own = coded[(offset * 8 + 5) // 6 : (offset + len(raw)) * 8 // 6]
        found |= {own, own.translate(bytes.maketrans(b"+/", b"-_"))}
    return found


def contents(path: Path) -> Iterator[bytes]:
    """What a file holds: its bytes, and what is inside of databases, archives, tables and
    compressed pieces.
    """
    content = path.read_bytes()
    yield content
    if content.startswith(b"SQLite format 3\0"):
        yield from _database(path)
    elif content.startswith(b"PAR1"):
        with duckdb.connect(config={"threads": 1}) as connection:
            yield repr(connection.execute("FROM read_parquet(?)", [str(path)]).fetchall()).encode()
    elif content.startswith(b"\x1f\x8b"):
        yield gzip.decompress(content)
    elif zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            yield from (archive.read(name) for name in archive.namelist())


def _database(path: Path) -> Iterator[bytes]:
    """Every row as SQL, and every blob by itself, unpacked where it is packed: Dagster packs
    descriptions of jobs.
    """
    connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    try:
        yield "\n".join(connection.iterdump()).encode("utf-8", "surrogateescape")
        for (table,) in connection.execute(
            "SELECT name FROM sqlite_master WHERE type = 'table'"
        ).fetchall():
            for row in connection.execute(f'SELECT * FROM "{table}"'):
                for value in row:
                    if isinstance(value, bytes):
                        yield value
                        try:
                            yield zlib.decompress(value)
                        except zlib.error:
                            continue
    finally:
        connection.close()


def search(
    root: Path, secrets: Mapping[str, str], *, leave_out: tuple[Path, ...] = ()
) -> tuple[list[str], int]:
    """Where below `root` one of `secrets` (name -> secret) is, names of files and targets of links
    included; how many files were read.
    """
    wanted = {name: forms(secret) for name, secret in secrets.items()}
    found, files = [], 0
    for folder, folders, names in os.walk(root):
        folders[:] = [each for each in folders if Path(folder, each) not in leave_out]
        for name in names:
            path = Path(folder, name)
            if path in leave_out or not (path.is_file() or path.is_symlink()):
                continue
            files += 1
            pieces = [
                str(path.relative_to(root)).encode(),
                *(contents(path) if path.is_file() else [str(path.readlink()).encode()]),
            ]
            found += [
                f"{what} in {path.relative_to(root)}"
                for what in wanted
                if _in_any(wanted[what], pieces)
            ]
    return found, files


def _in_any(each: set[bytes], pieces: Iterable[bytes]) -> bool:
    return any(form in piece for form in each for piece in pieces)


LOOKS = 50
"""How often a process is looked at: a second after it started it runs what it was started for."""


class Arguments:
    """Watches the arguments of every process of this machine, while the block lasts, for `secrets`,
    which may grow meanwhile.
    """

    def __init__(self, secrets: Mapping[str, str]) -> None:
        self.secrets = secrets
        self.seen: set[bytes] = set()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    @property
    def found(self) -> list[str]:
        """Names of the secrets that were seen."""
        return [name for name, secret in self.secrets.items() if _in_any(forms(secret), self.seen)]

    def _watch(self) -> None:
        looks: Counter[str] = Counter()  # at a process: what it was forked from, then what it runs
        while not self._over.wait(0.02):
            every = [process.name for process in Path("/proc").glob("[0-9]*")]
            looks = Counter({name: looks[name] + 1 for name in every})
            for name in every:
                if looks[name] > LOOKS:
                    continue
                try:
                    self.seen.add(Path("/proc", name, "cmdline").read_bytes())
                except OSError:  # it has ended
                    continue
