"""What refusing each hostile file takes: `python -m tests.hostile_table [MEMORY_LIMIT ...]` prints
it as a table.

Belongs here: running `syndb-pipeline check` on one file and measuring that process. Does not:
assertions (`test_hostile_files.py`).
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.command_line import PROGRAM, Lab
from tests.hostile_files import CASES

DATASET = "01939c0e-7b1a-7c3e-9f53-6f0c6b1d2a11"

_MEASURE = """
import json, os, sys, time
began = time.perf_counter()
child = os.fork()
if child == 0:
    os.execv(sys.argv[2], sys.argv[2:])
_, status, usage = os.wait4(child, 0)
told = {"code": os.waitstatus_to_exitcode(status), "seconds": time.perf_counter() - began,
        "processor": usage.ru_utime + usage.ru_stime, "peak": usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024)}
open(sys.argv[1], "w").write(json.dumps(told))
"""
"""A small process between: a child's `ru_maxrss` starts with what its parent holds, and a test's
process holds much.
"""


@dataclass(frozen=True)
class Measured:
    """What one command printed and took; `processor` in seconds is independent of what else the
    machine does.
    """

    code: int
    out: str
    err: str
    seconds: float
    processor: float
    peak: int

    @property
    def findings(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = json.loads(self.out)["findings"]
        return found


def measured(lab: Lab, *arguments: object, timeout: float = 120) -> Measured:
    """Run the command in the lab's folder and tell what it took, its own child processes included
    in time and, each for itself, in peak.
    """
    with tempfile.NamedTemporaryFile() as told:
        command = [sys.executable, "-S", "-c", _MEASURE, told.name, PROGRAM, *map(str, arguments)]
        done = subprocess.run(
            command,
            cwd=lab.folder,
            env=lab.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=True,
        )
        result = json.loads(Path(told.name).read_text())
    return Measured(
        result["code"],
        done.stdout,
        done.stderr,
        result["seconds"],
        result["processor"],
        result["peak"],
    )


def main(limits: Sequence[str]) -> None:
    for limit in limits:
        print(
            f"\nmemory_limit: {limit}\n\n| file | refused with | seconds | processor | peak"
            " |\n|---|---|---:|---:|---:|"
        )
        for case in CASES:
            with tempfile.TemporaryDirectory() as folder:
                lab = Lab(Path(folder), memory_limit=limit)
                case.make(Path(folder) / case.file)
                config = lab.config(
                    "hostile", DATASET, {"neuron": {"file": case.file} | case.options}
                )
                run = measured(lab, "check", config, "--json")
                codes = ", ".join(
                    dict.fromkeys(f["code"] for f in run.findings if f["severity"] == "error")
                )
                took = f"{run.seconds:.1f} s | {run.processor:.1f} s | {run.peak / 1e6:.0f} MB"
                print(f"| {case.name} | {codes} | {took} |", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:] or ["500MB", "2GB"])
