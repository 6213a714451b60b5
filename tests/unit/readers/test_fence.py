"""Work in a process of its own: what comes back from it, what ends it, and that nothing of it
stays.

Belongs here: the process. Does not: files that would harm
(`tests/integration/test_hostile_files.py`).
"""

from __future__ import annotations

import importlib
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from syndb_pipeline.readers import fence
from syndb_pipeline.readers.fence import Fence, LimitReached
from syndb_pipeline.readers.part import Unreadable, refused

pytestmark = pytest.mark.usefixtures("started_each")

MEMORY, SECONDS = 200_000_000, 5


REFUSE = "from syndb_pipeline.readers.part import refused\nraise refused('a.xlsx', 'of this', 'Do that.')"


def test_answers_and_errors_come_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SYNDB_TOKEN", "secret")
    with Fence() as work:
        assert work.call(os.getenv, "SYNDB_TOKEN", memory=MEMORY, seconds=SECONDS) is None
        work.prepare(eval)
        assert work.call(eval, "print(1) or 42", memory=MEMORY, seconds=SECONDS) == 42
        first = work.call(os.getppid, memory=MEMORY, seconds=SECONDS)
        with pytest.raises(Unreadable) as caught:
            work.call(exec, REFUSE, memory=MEMORY, seconds=SECONDS)
        assert caught.value.problems == refused("a.xlsx", "of this", "Do that.").problems
        with pytest.raises(FileNotFoundError):
            work.call(os.stat, "/nowhere", memory=MEMORY, seconds=SECONDS)
        with pytest.raises(RuntimeError, match="unforeseen"):
            work.call(exec, "{}['unforeseen']", memory=MEMORY, seconds=SECONDS)
        assert work.call(os.getppid, memory=MEMORY, seconds=SECONDS) == first != os.getpid()
    assert not Path(f"/proc/{first}").exists()


@pytest.mark.parametrize("size", [10 * MEMORY, 10_000 * MEMORY])
def test_memory_is_limited_for_each_call(size: int) -> None:
    with Fence() as work:
        work.call(exec, f"x = bytearray({MEMORY // 2})", memory=MEMORY, seconds=SECONDS)
        with pytest.raises(LimitReached):
            work.call(exec, f"x = bytearray({size})", memory=MEMORY, seconds=SECONDS)
        work.call(exec, f"x = bytearray({2 * MEMORY})", memory=3 * MEMORY, seconds=SECONDS)


def test_what_crashes_or_does_not_end_is_replaced() -> None:
    with Fence() as work:
        for harm in ("import os; os.abort()", "while True: pass"):
            with pytest.raises(LimitReached):
                work.call(exec, harm, memory=MEMORY, seconds=1)
            assert work.call(eval, "8", memory=MEMORY, seconds=SECONDS) == 8


def test_a_process_that_cannot_import_is_not_taken_for_a_harmful_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "only_here.py").write_text("def work(): return 1\n")
    monkeypatch.syspath_prepend(tmp_path)
    work = importlib.import_module("only_here").work
    with Fence() as fenced, pytest.raises(RuntimeError, match="could not start"):
        fenced.call(work, memory=MEMORY, seconds=SECONDS)


def test_an_interruption_ends_the_process() -> None:
    with Fence() as work:
        number = work.call(os.getppid, memory=MEMORY, seconds=SECONDS)
        interrupt = signal.pthread_kill, [threading.main_thread().ident, signal.SIGINT]
        threading.Timer(1, *interrupt).start()  # when the answer is waited for
        with pytest.raises(KeyboardInterrupt):
            work.call(exec, "while True: pass", memory=MEMORY, seconds=10)
        assert not Path(f"/proc/{number}").exists()


@pytest.mark.parametrize("harm", ["x = bytearray(300_000_000)", "while True: pass"])
def test_a_process_that_cannot_be_limited_is_watched(harm: str) -> None:
    pytest.importorskip("psutil")
    done = threading.Event()
    source = f"import time; time.sleep(0.3); {harm}" if "x" in harm else harm
    with subprocess.Popen(
        [sys.executable, "-c", f"{source}\nimport time; time.sleep(60)"]
    ) as child:
        started = time.monotonic()
        fence.watch(child.pid, MEMORY, 1, done)
        assert child.wait(10) == -signal.SIGKILL
        assert time.monotonic() - started < 30
