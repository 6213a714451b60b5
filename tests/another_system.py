"""The demo's whole road on this machine, which seems a Windows or a Mac to our code.

Belongs here: what those systems lack or refuse, taken away or refused here too. Does not: what is
expected (`integration/test_another_system.py`); how Python itself or a library works there.

Our modules import a `sys` with another platform, an `os`, `signal` and `socket` without what POSIX
has, and no module of POSIX. Renaming and removing refuse what Windows refuses: a file that this
process has open, and a rename onto a file that is there.
"""

from __future__ import annotations

import builtins
import fcntl
import io
import json
import os
import signal
import socket
import sys
from collections.abc import Callable, Mapping
from contextlib import chdir, redirect_stderr, redirect_stdout
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

MISSING_MODULES = {"fcntl", "grp", "posix", "pty", "pwd", "resource", "termios", "tty"}
MISSING: dict[str, set[str]] = {
    "os": {
        *("fork", "geteuid", "getloadavg", "getpgid", "getsid", "getuid", "killpg", "pread"),
        *("pwrite", "setsid", "statvfs", "sync", "sysconf", "uname", "wait4", "waitid"),
        *("O_CLOEXEC", "O_DIRECTORY", "O_NOFOLLOW", "O_NONBLOCK", "sched_getaffinity"),
    },
    "signal": {"SIGHUP", "SIGKILL", "alarm", "pthread_kill", "setitimer", "siginterrupt"},
    "socket": {"AF_UNIX"},
}


class Seeming(ModuleType):
    """A module as our code sees it there."""

    def __init__(self, real: ModuleType, lacks: set[str], **instead: Any) -> None:
        super().__init__(real.__name__)
        self.__dict__.update(instead)
        self._real, self._lacks = real, lacks

    def __getattr__(self, name: str) -> Any:
        if name in self._lacks:
            raise AttributeError(f"{self.__name__}.{name} is not on this system")
        return getattr(self._real, name)


def pretend(platform: str) -> None:
    """From now on, for the modules of ours that are imported."""
    windows = platform == "win32"
    lacks: Mapping[str, set[str]] = MISSING if windows else {"os": {"sched_getaffinity"}}
    calls = {"open": _open_no_folder, "fsync": _fsync_what_may_be_written} if windows else {}
    seeming: dict[str, ModuleType] = {
        "sys": Seeming(sys, set(), platform=platform),
        "os": Seeming(os, lacks["os"], **calls),
        "signal": Seeming(signal, lacks.get("signal", set())),
        "socket": Seeming(socket, lacks.get("socket", set())),
    }
    real_import = builtins.__import__

    def ours(name: str, globals: Any = None, *more: Any, **options: Any) -> ModuleType:
        importer = (globals or {}).get("__name__", "")
        if importer.startswith(("syndb_pipeline", "dagster_defs")):
            if windows and name in MISSING_MODULES:
                raise ModuleNotFoundError(f"No module named {name!r}", name=name)
            if name.partition(".")[0] in seeming:
                return seeming[name.partition(".")[0]]
        return real_import(name, globals, *more, **options)

    builtins.__import__ = ours
    from syndb_pipeline.readers import fence

    fence._SERVE = (
        f"from tests.another_system import pretend; pretend({platform!r}); {fence._SERVE}"  # type: ignore[misc]
    )
    if windows:
        os.rename, os.replace = _refusing(os.rename, onto=True), _refusing(os.replace)
        os.unlink = os.remove = _refusing(os.unlink)
        _peak_of_windows()


def _peak_of_windows() -> None:
    import psutil

    real = psutil.Process.memory_info

    def memory_info(self: psutil.Process) -> Any:
        seen = real(self)
        return SimpleNamespace(rss=seen.rss, peak_wset=seen.rss)

    psutil.Process.memory_info = memory_info


def _open_no_folder(path: Any, flags: int, *more: Any, **options: Any) -> int:
    if os.path.isdir(path):  # noqa: PTH112
        raise PermissionError(13, "Permission denied", str(path))
    return os.open(path, flags, *more, **options)


def _fsync_what_may_be_written(descriptor: int) -> None:
    if fcntl.fcntl(descriptor, fcntl.F_GETFL) & os.O_ACCMODE == os.O_RDONLY:
        raise OSError(9, "Bad file descriptor")
    os.fsync(descriptor)


def _refusing(real: Callable[..., None], *, onto: bool = False) -> Callable[..., None]:
    def call(*paths: Any, **options: Any) -> None:
        whole = [os.path.abspath(os.fsdecode(path)) for path in paths if not options]  # noqa: PTH100
        if onto and os.path.lexists(whole[1]):
            raise FileExistsError(17, "File exists", whole[1])
        held = _in_use()
        for path in whole:
            if any(each == path or each.startswith(f"{path}/") for each in held):
                raise PermissionError(13, "It is open in this process", path)
        real(*paths, **options)

    return call


def _in_use() -> set[str]:
    """The files that this process has open or mapped."""
    found = set()
    for number in os.listdir("/proc/self/fd"):  # noqa: PTH208
        try:
            found.add(os.readlink(f"/proc/self/fd/{number}"))  # noqa: PTH115
        except OSError:
            continue
    maps = Path("/proc/self/maps").read_text().splitlines()
    return found | {line.split(maxsplit=5)[5] for line in maps if line.count("/")}


def walk(platform: str, folder: Path, commands: list[str]) -> dict[str, Any]:
    """Exit code and output of each command, on the demo whose texts have the line ends of Windows;
    `limits`: what came of work that took more memory than it was given.
    """
    from syndb_pipeline.cli.main import main
    from syndb_pipeline.readers.fence import Fence, LimitReached

    (folder / "pipeline.yaml").write_bytes(
        b"state: state\r\nmemory_limit: 500MB\r\nthreads: 1\r\n"
        b"destinations:\r\n  local: {kind: embedded, path: node, owner: ada}\r\n"
    )
    came: dict[str, Any] = {}
    page = "cp1252" if platform == "win32" else "utf-8"

    def give(*arguments: str) -> None:
        # A pipe there has the code page of the system, unless it is given another encoding.
        out, err = (io.TextIOWrapper(io.BytesIO(), page, newline="\n") for _ in range(2))
        sys.argv = ["syndb-pipeline", *arguments]
        with redirect_stdout(out), redirect_stderr(err):
            try:
                main()
            except SystemExit as ended:
                printed = []
                for each in (out, err):
                    each.flush()
                    printed.append(each.buffer.getvalue().decode())  # type: ignore[attr-defined]
                came[arguments[0]] = [ended.code, *printed]

    with chdir(folder):
        give("demo", "lab")
        for path in (Path("lab/demo.yaml"), *Path("lab").glob("*.csv")):
            path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))
        give("explain", "SYN-READ-003")  # beyond that code page
        for command in commands:
            give(command, *([] if command == "ui" else ["lab/demo.yaml", "--json"]))
    with Fence() as work:
        try:
            work.call(exec, "bytearray(600_000_000)", memory=100_000_000, seconds=5)
        except LimitReached:
            came["limits"] = "ended"
    return came


if __name__ == "__main__":
    pretend(sys.argv[1])
    print(json.dumps(walk(sys.argv[1], Path(sys.argv[2]), sys.argv[3:])))
