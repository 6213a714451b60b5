"""Reading in a process of its own, within limits: where a library meets a file of which nothing is
known yet.

Belongs here: starting, limiting and ending that process. Does not: any file format.

A file may make whoever opens it allocate without end, crash or never return. Here that ends one
process which holds nothing: Linux limits its memory and processor time; elsewhere this process
watches it.
"""

from __future__ import annotations

import errno
import os
import pickle
import signal
import subprocess
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Final, TypeVar

from syndb_pipeline.base.system import interrupt_waits
from syndb_pipeline.readers.part import Unreadable

Answer = TypeVar("Answer")

_SERVE: Final = "from syndb_pipeline.readers.fence import serve; serve()"
_WATCH_SECONDS: Final = 0.02
_CLOSED: Final = (errno.EPIPE, errno.EINVAL)
"""What writing to a process that has ended comes to; the second is Windows'."""


class LimitReached(Exception):
    """The work crashed, or needed more memory or time than it was given."""


_DIED: Final = pickle.dumps((False, LimitReached()))


_SECRET: Final = ("SYNDB_", "PG", "CELERY_", "REDIS_")
"""How the names of environment variables begin that may hold passwords."""


class Fence:
    """A process for reading, started when it is first needed and again when a file has ended it;
    gone after the `with` block.
    """

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._one_at_a_time = threading.Lock()

    def __enter__(self) -> Fence:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._end()

    def prepare(self, function: Callable[..., Any]) -> None:
        """Start the process and have it import what `function` needs, without waiting for it."""
        with self._one_at_a_time:
            if self._process is None:
                self._send(function, None, 0, 0)

    def call(
        self, function: Callable[..., Answer], *arguments: Any, memory: int, seconds: int
    ) -> Answer:
        """What `function`, one of a module, gives for `arguments` there; both ways go by pickle.

        Args:
            function: Runs in the other process, where it may write files.
            arguments: Its arguments.
            memory: Bytes it may take beside what the process holds before.
            seconds: Processor time it may take.

        Raises:
            LimitReached: It took more, or the process crashed.
            Exception: Whatever `function` raises; an unforeseen one as `RuntimeError`, and so is a
                process that cannot be started.
        """
        with self._one_at_a_time:
            try:
                process = self._started(function, arguments, memory, seconds)
                assert process.stdout is not None
                with _watched(process.pid, memory, seconds):
                    succeeded, answer = pickle.load(process.stdout)
            except (EOFError, pickle.UnpicklingError):  # it ended before or within its answer
                self._end()
                raise LimitReached from None
            except BaseException:
                self._end()
                raise
        if succeeded:
            return answer  # type: ignore[no-any-return]
        raise answer

    def _started(self, *request: Any) -> subprocess.Popen[bytes]:
        """The process, once it has imported what `request` needs and starts the work."""
        try:
            process = self._send(*request)
            assert process.stdout is not None
            interrupt_waits()
            pickle.load(process.stdout)
        except (EOFError, OSError) as error:
            if isinstance(error, OSError) and error.errno not in _CLOSED:
                raise
            raise RuntimeError("The process that opens files could not start.") from None
        return process

    def _send(self, *request: Any) -> subprocess.Popen[bytes]:
        if self._process is None:
            self._process = subprocess.Popen(
                # -P: the folder it is started in is no place to import from.
                [sys.executable, "-P", "-c", _SERVE],
                # Passwords are not for it; Arrow's own allocator reserves a gigabyte ahead.
                env={
                    name: value
                    for name, value in os.environ.items()
                    if not name.startswith(_SECRET)
                }
                | {"ARROW_DEFAULT_MEMORY_POOL": "system"},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                # An interruption at the terminal is not for it.
                start_new_session=True,
                creationflags=getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0),
            )
        assert self._process.stdin is not None
        pickle.dump(request, self._process.stdin)
        self._process.stdin.flush()
        return self._process

    def _end(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            with suppress(ProcessLookupError):
                if sys.platform == "win32":
                    process.kill()
                else:
                    os.killpg(process.pid, signal.SIGKILL)
            process.communicate()


def serve() -> None:
    """Answer requests from standard input until it ends: what the other process runs.

    On Linux a copy of this process, made when it has imported what is asked for, does each work:
    what ends the copy leaves this one as it was, ready for the next.
    """
    import pyarrow.parquet  # noqa: F401 - each copy would, within its limits

    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # no library may print among the answers
    while True:
        try:
            function, arguments, memory, seconds = pickle.load(sys.stdin.buffer)
        except EOFError:
            return
        if arguments is None:
            continue
        _give(answers, pickle.dumps("started"))
        if sys.platform != "linux":
            _give(answers, _answer(function, arguments))
        elif copy := os.fork():
            _, status = os.waitpid(copy, 0)
            _give(answers, _DIED if status else b"")
        else:
            _limit(memory, seconds)
            _give(answers, _answer(function, arguments))
            os._exit(0)


def _give(answers: IO[bytes], answer: bytes) -> None:
    answers.write(answer)
    answers.flush()


def _answer(function: Callable[..., Any], arguments: tuple[Any, ...]) -> bytes:
    try:
        return pickle.dumps((True, function(*arguments)))
    except MemoryError:
        os._exit(1)
    except (Unreadable, OSError) as error:
        return pickle.dumps((False, error))
    except Exception:  # noqa: BLE001 - raised where it was asked for
        return pickle.dumps((False, RuntimeError(traceback.format_exc())))


def _limit(memory: int, seconds: int) -> None:
    """End this process once it has `memory` bytes more than now, or took `seconds`."""
    if sys.platform == "linux":
        import resource

        held = int(Path("/proc/self/statm").read_text().split()[5]) * os.sysconf("SC_PAGE_SIZE")
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        resource.setrlimit(resource.RLIMIT_DATA, (held + memory, held + memory))
        resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))


@contextmanager
def _watched(process: int, memory: int, seconds: int) -> Iterator[None]:
    """Kill the process with the number `process` when it goes beyond its limits, where it cannot be
    limited.
    """
    if sys.platform == "linux":
        yield
        return
    done = threading.Event()
    watcher = threading.Thread(target=watch, args=(process, memory, seconds, done), daemon=True)
    watcher.start()
    try:
        yield
    finally:
        done.set()
        watcher.join()


def watch(process: int, memory: int, seconds: int, done: threading.Event) -> None:
    """Until `done`, look at the process every 20 ms: memory and processor time beside what it had
    at first.
    """
    import psutil  # only where a process cannot be limited

    try:
        watched = psutil.Process(process)
        # Windows starts the Python of a virtual environment below another.
        tree = [watched, *watched.children()]

        def taken() -> tuple[int, float]:
            memory = sum(each.memory_info().rss for each in tree)
            return memory, sum(sum(each.cpu_times()[:2]) for each in tree)

        held, used = taken()
        while not done.wait(_WATCH_SECONDS):
            now, spent = taken()
            if now > held + memory or spent > used + seconds:
                for each in tree:
                    each.kill()
                return
    except psutil.NoSuchProcess:
        return
