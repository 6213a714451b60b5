"""Processes forked from one that has imported everything: each starts in milliseconds and dies
alone, as by `kill -9`.

Belongs here: starting them and learning how they ended. Does not: what they do.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]

_PARENT = """
import importlib, json, os, signal, sys

def named(name):
    module, _, function = name.partition(":")
    return getattr(importlib.import_module(module), function)

named(sys.argv[1])()
children = set()
for line in sys.stdin:
    asked = json.loads(line)
    if "poll" in asked:
        pid, status = os.waitpid(asked["poll"], os.WNOHANG)
        children.discard(pid)
        print(json.dumps(os.waitstatus_to_exitcode(status) if pid else None), flush=True)
        continue
    pid = os.fork()
    if pid == 0:
        code = 70
        try:
            output = os.open(asked["output"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
            os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
            os.dup2(output, 1)
            os.dup2(output, 2)
            os.environ.update(asked["environment"])
            os.chdir(asked["folder"])
            code = named(asked["call"])(**asked["arguments"]) or 0
        except BaseException:
            sys.excepthook(*sys.exc_info())
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)
    children.add(pid)
    print(pid, flush=True)
for pid in children:
    os.kill(pid, signal.SIGKILL)
"""


class Child:
    """A forked process."""

    def __init__(self, parent: Forks, pid: int) -> None:
        self.parent, self.pid = parent, pid
        self._code: int | None = None

    def poll(self) -> int | None:
        """Its exit code (negative: the signal it died of), None while it runs."""
        if self._code is None:
            self._code = self.parent.ask(poll=self.pid)
        return self._code

    def wait(self, seconds: float = 300) -> int:
        until, pause = time.monotonic() + seconds, 0.002
        while (code := self.poll()) is None:
            assert time.monotonic() < until, f"process {self.pid} did not end"
            time.sleep(pause)
            pause = min(2 * pause, 0.05)
        return code

    def send_signal(self, which: signal.Signals) -> None:
        if self.poll() is None:
            os.kill(self.pid, which)


class Forks:
    """The process that the others are forked from.

    Args:
        prepare: A function of a module, called there once: what it imports and changes, all have.
        environment: Theirs.
    """

    def __init__(self, prepare: Callable[[], object], environment: dict[str, str]) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", _PARENT, _name(prepare)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            env=environment,
        )

    def start(
        self,
        call: Callable[..., Any],
        folder: Path,
        output: Path,
        environment: dict[str, str] | None = None,
        **arguments: Any,
    ) -> Child:
        """Call a function of a module in a process of its own; what it returns is the exit code.

        Args:
            call: The function.
            folder: The process's working folder.
            output: Where what it prints is added.
            environment: Added to that of all.
            arguments: The function's, as JSON has them.
        """
        asked = {"call": _name(call), "folder": str(folder), "output": str(output)}
        pid = self.ask(**asked, environment=environment or {}, arguments=arguments)
        return Child(self, pid)

    def ask(self, **asked: Any) -> Any:
        assert self._process.stdin is not None and self._process.stdout is not None
        print(json.dumps(asked), file=self._process.stdin, flush=True)
        return json.loads(self._process.stdout.readline())

    def close(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(30)


def _name(function: Callable[..., Any]) -> str:
    return f"{function.__module__}:{function.__qualname__}"
