"""One run of a command, measured from outside: seconds, processor seconds, memory of all its
processes, disk of its folders.

Belongs here: what the operating system tells of a run. Does not: what is run (`arena.py`), or
judging it (`bars.py`).
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from threading import Event, Thread

from benchmarks.memory import peak_memory

_EVERY: float = 0.1
"""Seconds between two looks at memory and disk: a look takes about a millisecond."""

_PAGE = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True)
class Measured:
    """One run: wall and processor seconds, the most memory and the most disk at any moment, in
    bytes, and seconds by stage.
    """

    seconds: float
    processor: float
    memory: int
    disk: int = 0
    stages: Mapping[str, float] = field(default_factory=dict)


def measure(
    command: Sequence[str],
    environment: Mapping[str, str],
    *,
    exits: tuple[int, ...] = (0,),
    folder: Path | None = None,
    watched: Sequence[Path] = (),
    state: Path | None = None,
) -> Measured:
    """Run a command to its end, in `folder`. Disk is what the files below `watched` take; stages
    are those recorded below `state`.

    Raises `SystemExit` when it ends otherwise than with one of `exits`: wrong work has no speed.
    """
    began = datetime.now(UTC)
    with tempfile.TemporaryFile() as output:
        clock = time.perf_counter()
        process = subprocess.Popen(
            command, env=dict(environment), cwd=folder, stdout=output, stderr=subprocess.STDOUT
        )
        watch = _Watch(process.pid, watched)
        watch.start()
        try:
            _, status, used = os.wait4(process.pid, 0)
        except BaseException:
            process.kill()
            raise
        finally:
            seconds = time.perf_counter() - clock
            watch.stop()
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode not in exits:
            output.seek(0)
            raise SystemExit(
                f"{' '.join(command)} ended with"
                f" {process.returncode}:\n{output.read()[-4000:].decode(errors='replace')}"
            )
    most = used.ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    # The largest process, counted by the kernel to the byte - but its count starts with what this
    # process held when it started the other.
    exact = most if most > peak_memory() or not watch.memory else 0
    return Measured(
        round(seconds, 3),
        round(used.ru_utime + used.ru_stime, 3),
        max(exact, watch.memory),
        watch.disk,
        dict(_stage_seconds(state, began)) if state else {},
    )


def _stage_seconds(state: Path, began: datetime) -> Iterator[tuple[str, float]]:
    """Each stage that ran since `began`, with its seconds, in the order in which they ran.
    Unchanged ones did not run.
    """
    records = [
        json.loads(path.read_text(encoding="utf-8"))
        for path in state.glob("datasets/*/*/record.json")
    ]
    runs = [
        (datetime.fromisoformat(record["run"]["started"]), record)
        for record in records
        if record.get("run")
    ]
    for started, record in sorted(runs, key=lambda pair: pair[0]):
        if started >= began:
            yield record["stage"], record["run"]["seconds"]


class _Watch(Thread):
    """Looks at a process with all its descendants, and at folders, until it is stopped; keeps the
    largest sums.
    """

    def __init__(self, pid: int, folders: Sequence[Path]) -> None:
        super().__init__(daemon=True)
        self._pid, self._folders, self._over = pid, folders, Event()
        self.memory = self.disk = 0

    def run(self) -> None:
        while True:
            self.memory = max(self.memory, tree_memory(self._pid))
            self.disk = max(self.disk, sum(map(disk_used, self._folders)))
            if self._over.wait(_EVERY):
                return

    def stop(self) -> None:
        self._over.set()
        self.join()
        self.disk = max(self.disk, sum(map(disk_used, self._folders)))


def tree_memory(pid: int) -> int:
    """Resident bytes of a process and its descendants together; 0 where the system has no /proc, or
    once it ended.

    What two processes share counts twice, so it is never too little.
    """
    try:
        resident = int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1]) * _PAGE
        threads = list(Path(f"/proc/{pid}/task").iterdir())
    except (OSError, IndexError):  # it ended while it was looked at
        return 0
    return resident + sum(tree_memory(child) for thread in threads for child in _children(thread))


def _children(thread: Path) -> list[int]:
    """Processes that a thread started; none once it ended."""
    try:
        return [int(child) for child in (thread / "children").read_text(encoding="ascii").split()]
    except OSError:
        return []


def disk_used(folder: Path) -> int:
    """Bytes that the files below `folder` take on the disk; 0 when it is not there. Of a file with
    several names each counts a part.
    """
    used = 0
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                try:
                    if entry.is_dir(follow_symlinks=False):
                        used += disk_used(Path(entry.path))
                    else:
                        status = entry.stat(follow_symlinks=False)
                        used += status.st_blocks * 512 // max(status.st_nlink, 1)
                except (
                    FileNotFoundError
                ):  # written beside and renamed, or removed, since the folder was listed
                    continue
    except (FileNotFoundError, NotADirectoryError):
        return used
    return used
