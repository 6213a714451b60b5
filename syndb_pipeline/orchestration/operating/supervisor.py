"""The process that `up` becomes: keeps Dagster's processes running until it is asked to stop.

Belongs here: starting, watching, restarting and stopping child processes. Does not: which they are
(`up.py`), nor any import beside the standard library and psutil, as it stays in memory: it is run
by its path, and so does not load Dagster.
"""

import ctypes
import fcntl
import json
import math
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from types import FrameType
from typing import Any

import psutil

assert sys.platform != "win32"  # `up.open_ui` does not come here

LOOK_SECONDS = 0.5
SET_BACK_SECONDS = 60.0
"""By how much the clock has to be set back for the daemon to be started again: until its clock has
come so far again, it would do nothing.
"""
START_SECONDS = 120.0
FEW_RESTARTS = 5
"""A process that ends more often than this within `RESTART_WINDOW` is not started again."""
RESTART_WINDOW = 600.0
LONGEST_WAIT = 60.0
END_SECONDS = 20.0
"""For a process to end that was asked to, and has no run to finish."""

_PARENT_DEATH = 1
"""PR_SET_PDEATHSIG of prctl(2)."""


class Stop(Exception):
    """A signal asked for the end."""


class Child:
    """One of the processes: its command, and when it ended of late."""

    def __init__(self, name: str, command: list[str], address: str | list[Any]) -> None:
        self.name, self.command, self.address = name, command, address
        self.process: subprocess.Popen[bytes] | None = None
        self.sessions: set[int] = set()
        self.ends: list[float] = []
        self.due = 0.0

    def start(self) -> None:
        # In a session of its own, so that Ctrl+C at a terminal reaches this process alone, which
        # ends them in order.
        self.process = subprocess.Popen(
            self.command,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
            preexec_fn=_as_a_child(os.getpid()),
        )
        self.sessions.add(self.process.pid)

    def running(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def answers(self) -> bool:
        """Whether it takes connections. One without an address has no need to."""
        if not self.address:
            return True
        unix = isinstance(self.address, str)
        with socket.socket(socket.AF_UNIX if unix else socket.AF_INET) as probe:
            probe.settimeout(1)
            target = self.address if isinstance(self.address, str) else tuple(self.address)
            return probe.connect_ex(target) == 0

    def below(self) -> list[psutil.Process]:
        """The processes that it started, those of an earlier start that ended among them: of the
        code server, its runs.
        """
        own = self.process.pid if self.process is not None else None
        below = [
            each
            for each in psutil.process_iter()
            if each.pid != own and _session(each.pid) in self.sessions
        ]
        # Python's own helper of `multiprocessing` ends with its parent.
        return [each for each in below if not _is_helper(each)]

    def ask_to_end(self, number: int = signal.SIGTERM) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(number)


def _as_a_child(parent: int) -> Any:
    prctl = ctypes.CDLL(None, use_errno=True).prctl if sys.platform == "linux" else None

    def prepare() -> None:
        # Dagster's code server takes SIGTERM as it takes SIGINT, which a shell has its background
        # jobs ignore.
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        if prctl is not None:  # whoever kills this process leaves no orphan
            prctl(_PARENT_DEATH, signal.SIGTERM)
            if os.getppid() != parent:
                os._exit(1)

    return prepare


def say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)  # noqa: T201


def _stop(number: int, frame: FrameType | None) -> None:
    # Once: a second Ctrl+C must not break off the ending, which is bounded.
    for each in (signal.SIGTERM, signal.SIGINT):
        signal.signal(each, signal.SIG_IGN)
    raise Stop


def keep_running(children: list[Child], ready: str) -> int:
    """Start `children` in their order, each when the one before answers, and start again what
    ends, and the second, the daemon, when the clock was set back. Says `ready` when all answer.
    Returns 1 when one of them ends again and again.
    """
    for child in children:
        child.start()
        deadline = time.monotonic() + START_SECONDS
        while not child.answers():
            if not child.running() or time.monotonic() > deadline:
                say(f"The {child.name} did not start; what it said is above.")
                return 1
            time.sleep(LOOK_SECONDS / 5)
    say(ready)
    ahead = -math.inf
    while True:
        now = time.monotonic()
        ahead = max(ahead, found := time.time() - now)
        if ahead - found > SET_BACK_SECONDS:
            say(f"The clock was set back by {ahead - found:.0f} s.")
            children[1].ask_to_end()
            ahead = found
        for child in children:
            if child.running() or now < child.due:
                continue
            if child.process is not None:
                code, child.process = child.process.returncode, None
                child.ends = [at for at in child.ends if now - at < RESTART_WINDOW] + [now]
                if len(child.ends) > FEW_RESTARTS:
                    say(f"The {child.name} ended {len(child.ends)} times in a few minutes.")
                    return 1
                wait = min(2.0 ** (len(child.ends) - 1), LONGEST_WAIT)
                child.due = now + wait
                say(f"The {child.name} ended ({_reason(code)}); starting it again in {wait:.0f} s.")
            else:
                child.start()
        time.sleep(LOOK_SECONDS)


def _reason(code: int) -> str:
    return f"exit code {code}" if code >= 0 else f"signal {signal.Signals(-code).name}"


def end(children: list[Child], grace: float) -> None:
    """End `children` in the reverse of their order. The first, which the runs are children of, has
    `grace` seconds for them to finish; then they are interrupted, as by Ctrl+C, and take up their
    work when they are run again.
    """
    code_server, *others = children
    for child in reversed(others):
        child.ask_to_end()
    for child in others:
        _wait(child, END_SECONDS)
    code_server.ask_to_end()
    if runs := code_server.below():
        say(f"Waiting up to {grace:.0f} s for the runs in progress to finish.")
        if psutil.wait_procs(runs, grace)[1]:
            say("Interrupting the runs in progress; they go on from there when they are run again.")
            for run in runs:
                _signal(run, signal.SIGTERM)
            psutil.wait_procs(runs, END_SECONDS)
    _wait(code_server, END_SECONDS)
    for child in children:
        left = child.below()
        child.ask_to_end(signal.SIGKILL)
        for process in left:
            _signal(process, signal.SIGKILL)
        _wait(child, END_SECONDS)


def _wait(child: Child, seconds: float) -> None:
    with suppress(subprocess.TimeoutExpired):
        if child.process is not None:
            child.process.wait(seconds)


def _session(process: int) -> int | None:
    try:
        return os.getsid(process)
    except ProcessLookupError:
        return None


def _is_helper(process: psutil.Process) -> bool:
    try:
        return any("resource_tracker" in word for word in process.cmdline())
    except psutil.Error:
        return True


def _signal(process: psutil.Process, number: int) -> None:
    with suppress(psutil.NoSuchProcess):
        process.send_signal(number)


def main() -> int:
    """Run what the first argument describes, in JSON: `children` (name, command, address), `ready`,
    `grace`, `folder`, which is removed at the end, and `lock`, a file with `url` while it runs.
    Returns 7 when another process has the lock.
    """
    asked = json.loads(sys.argv[1])
    lock = os.open(asked["lock"], os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        shutil.rmtree(asked["folder"], ignore_errors=True)
        say(f"Another process runs these already: it holds {asked['lock']}.")
        return 7
    os.truncate(lock, 0)
    os.pwrite(lock, asked["url"].encode(), 0)
    children = [Child(*each) for each in asked["children"]]
    for each in (signal.SIGTERM, signal.SIGINT):
        signal.signal(each, _stop)
    code = 0
    try:
        code = keep_running(children, asked["ready"])
    except Stop:
        say("Stopping.")
    finally:
        for each in (signal.SIGTERM, signal.SIGINT):
            signal.signal(each, signal.SIG_IGN)
        end(children, asked["grace"])
        shutil.rmtree(Path(asked["folder"]), ignore_errors=True)
    return code


if __name__ == "__main__":
    sys.exit(main())
