"""The whole road against itself and against plain scripts: all contestants in turn, medians, and ratios beside their bars.

Belongs here: whole commands in processes of their own. Does not: single stages (`run.py`), uploads (`upload.py`).

The plain scripts are not part of the project. SYNDB_YARDSTICK names a folder with `gen.py --rows N --out DIR --formats csv,parquet --bad
K`, which writes the same tables for all with a dataset.yaml, and with `tuned_script.py SRC OUT MEMORY` and `lab_script.py SRC OUT`;
SYNDB_YARDSTICK_PYTHON is the interpreter they need. Without them the project's own tables are used, and only its own ratios are printed.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

from benchmarks.generate import write_dataset
from syndb_pipeline.settings import as_bytes

ROOT = Path(__file__).resolve().parent.parent
CHANGED = "mitochondria"
"""The table of seven that is changed for the rerun: a leaf of middling size."""

FAULTS = 1_000
"""Faults of each kind in the wrong dataset: what the yardstick's generator takes at most."""


@dataclass(frozen=True)
class Measured:
    """One run: wall seconds, processor seconds and the most memory of the process, in bytes."""

    seconds: float
    processor: float
    memory: int


@dataclass
class Contestant:
    """A command, what puts everything in its place before each run, and what the runs gave."""

    name: str
    command: list[str]
    before: Callable[[], None]
    exits: tuple[int, ...] = (0,)
    runs: list[Measured] = field(default_factory=list)

    @property
    def seconds(self) -> float:
        return median(run.seconds for run in self.runs)


@dataclass(frozen=True)
class Bar:
    """What is promised: `value(seconds by contestant)` is at most `limit`."""

    told: str
    needs: tuple[str, ...]
    value: Callable[[dict[str, float]], float]
    limit: float
    unit: str = ""


BARS = (
    Bar("csv, of the tuned script's time", ("csv", "tuned"), lambda s: s["csv"] / s["tuned"], 1.5),
    Bar("csv, of the lab script's time", ("csv", "lab"), lambda s: s["csv"] / s["lab"], 1.0),
    Bar("Parquet, of the csv time", ("csv", "parquet"), lambda s: s["parquet"] / s["csv"], 0.8),
    Bar("nothing changed", ("again",), lambda s: s["again"], 3, " s"),
    Bar("wrong in ten ways, of the clean check", ("check", "wrong"), lambda s: s["wrong"] / s["check"], 1.5),
    Bar("as a Dagster run, more than the CLI", ("csv", "dagster"), lambda s: s["dagster"] - s["csv"], 5, " s"),
)


def measure(command: list[str], environment: dict[str, str], exits: tuple[int, ...]) -> Measured:
    """Run a command to its end. Raises `SystemExit` when it ends otherwise than with one of `exits`: wrong work has no speed."""
    with tempfile.TemporaryFile() as output:
        clock = time.perf_counter()
        process = subprocess.Popen(command, env=environment, stdout=output, stderr=subprocess.STDOUT)
        _, status, used = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - clock
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode not in exits:
            output.seek(0)
            raise SystemExit(f"{' '.join(command)} ended with {process.returncode}:\n{output.read()[-4000:].decode(errors='replace')}")
    return Measured(seconds, used.ru_utime + used.ru_stime, used.ru_maxrss * (1 if sys.platform == "darwin" else 1024))


class Arena:
    """The datasets in a folder, and the contestants that work on them."""

    def __init__(self, folder: Path, rows: int, memory_limit: str, threads: int) -> None:
        self.folder, self.rows, self.memory_limit, self.threads = folder, rows, memory_limit, threads
        self.scripts = Path(os.environ["SYNDB_YARDSTICK"]) if os.environ.get("SYNDB_YARDSTICK") else None
        self.python = os.environ.get("SYNDB_YARDSTICK_PYTHON", sys.executable)
        self.environment = os.environ | {
            "SYNDB_MEMORY_LIMIT": memory_limit,
            "SYNDB_THREADS": str(threads),
            "SYNDB_STATE": str(folder / "state"),
            "DAGSTER_HOME": str(folder / "dagster"),
            "PYTHONPATH": str(ROOT),
        }

    def make(self) -> None:
        """Write the tables: clean as csv and Parquet, and wrong ones where the yardstick makes them."""
        if self.scripts is None:
            for form in ("csv", "parquet"):
                write_dataset(self.folder / form, self.rows, form, memory_limit=as_bytes(self.memory_limit), threads=self.threads)
                (self.folder / form / "benchmark.yaml").rename(self.folder / form / "dataset.yaml")
            return
        self._generate("csv", "--formats", "csv,parquet")
        self._generate("wrong", "--bad", str(FAULTS))
        parquet = self.folder / "parquet"
        parquet.mkdir()
        for file in (self.folder / "csv").glob("*.parquet"):
            file.rename(parquet / file.name)
        described = (self.folder / "csv" / "dataset.yaml").read_text(encoding="utf-8")
        (parquet / "dataset.yaml").write_text(described.replace(".csv", ".parquet"), encoding="utf-8")

    def _generate(self, name: str, *options: str) -> None:
        assert self.scripts is not None
        command = [self.python, str(self.scripts / "gen.py"), "--rows", str(self.rows), "--out", str(self.folder / name), *options]
        measure(command, self.environment, (0,))

    def contestants(self) -> list[Contestant]:
        """All of them, in the order in which they take their turns; `again` and `changed` find what the one before left."""
        found = [
            self._ours("csv", "plan", "csv", self._forget),
            self._ours("again", "plan", "csv", lambda: None),
            self._ours("changed", "plan", "csv", self._change),
            self._ours("dagster", "run", "csv", self._forget, "--no-publish"),
            self._ours("parquet", "plan", "parquet", self._forget),
            self._ours("check", "check", "csv", self._forget),
        ]
        if self.scripts is not None:
            found.append(self._ours("wrong", "check", "wrong", self._forget, exits=(3,)))
            out = self.folder / "out"
            for name, script, more in (("tuned", "tuned_script.py", [self.memory_limit]), ("lab", "lab_script.py", [])):
                command = [self.python, str(self.scripts / script), str(self.folder / "csv"), str(out), *more]
                if name == "tuned" or self._imports("pandas", "pandera.pandas"):
                    found.append(Contestant(name, command, lambda: shutil.rmtree(out, ignore_errors=True)))
                else:
                    print(f"{self.python} has no pandas or pandera for it: the lab's script is left out", file=sys.stderr)
        return found

    def _imports(self, *modules: str) -> bool:
        command = [self.python, "-c", "; ".join(f"import {module}" for module in modules)]
        return subprocess.run(command, capture_output=True, check=False).returncode == 0

    def _ours(
        self, name: str, command: str, dataset: str, before: Callable[[], None], *options: str, exits: tuple[int, ...] = (0,)
    ) -> Contestant:
        main = "from syndb_pipeline.cli import main; main()"
        words = [sys.executable, "-c", main, command, str(self.folder / dataset / "dataset.yaml"), *options]
        return Contestant(name, words, before, exits)

    def _forget(self) -> None:
        shutil.rmtree(self.folder / "state", ignore_errors=True)

    def _change(self) -> None:
        """Make the table another one, of as many rows: a digit more behind the last point."""
        table = self.folder / "csv" / f"{CHANGED}.csv"
        with table.open("r+b") as file:
            file.seek(-2, os.SEEK_END)
            if file.read(2) != b"0\n":
                file.seek(-1, os.SEEK_END)
                file.write(b"0\n")
            else:
                file.seek(-2, os.SEEK_END)
                file.write(b"\n")
                file.truncate()

    def share_of_changed(self) -> float:
        """The changed table's part of all bytes."""
        sizes = {file.stem: file.stat().st_size for file in (self.folder / "csv").glob("*.csv")}
        return sizes[CHANGED] / sum(sizes.values())


def compete(contestants: list[Contestant], environment: dict[str, str], rounds: int) -> None:
    """Let everybody run in turn, `rounds` times."""
    for number in range(1, rounds + 1):
        for each in contestants:
            each.before()
            each.runs.append(measure(each.command, environment, each.exits))
            print(f"round {number}: {each.name} {each.runs[-1].seconds:.2f} s", file=sys.stderr, flush=True)


def as_lines(contestants: list[Contestant], share: float) -> Iterator[str]:
    """The table of medians, then each bar with what was reached."""
    yield f"{'':<10}{'seconds':>10}{'processor':>12}{'peak memory':>14}"
    for each in contestants:
        memory = median(run.memory for run in each.runs)
        yield f"{each.name:<10}{each.seconds:>10.2f}{median(run.processor for run in each.runs):>12.2f}{memory / 1e6:>11,.0f} MB"
    yield ""
    seconds = {each.name: each.seconds for each in contestants}
    changed = Bar("one table of seven changed", ("csv", "changed"), lambda s: s["changed"], seconds["csv"] * share + 3, " s")
    for bar in (*BARS, changed):
        if set(bar.needs) <= set(seconds):
            value = bar.value(seconds)
            met = "within" if value <= bar.limit else "ABOVE"
            yield f"{bar.told:<40}{value:>7.2f}{bar.unit:<2}  bar {bar.limit:.2f}{bar.unit}  {met}"


def main() -> int:
    """Parse the options, make the tables, run everybody, print. Always returns 0: a busy machine is no fault of a change."""
    parser = argparse.ArgumentParser(description="Whole runs, in turn: csv, Parquet, nothing changed, one table changed, wrong, Dagster.")
    parser.add_argument("--rows", type=lambda text: int(text.replace("_", "")), default=1_000_000, help="rows of the largest tables")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--memory-limit", default="2GB", help="memory of each run, e.g. 1GB")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--out", type=Path, help="write the measurements to this JSON file as well")
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="syndb-compare-"))
    try:
        arena = Arena(folder, options.rows, options.memory_limit, options.threads)
        arena.make()
        share = arena.share_of_changed()
        contestants = arena.contestants()
        compete(contestants, arena.environment, options.rounds)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    print(f"{options.rows:,} rows in the largest tables, {options.memory_limit}, {options.threads} threads, medians of {options.rounds}\n")
    print("\n".join(as_lines(contestants, share)))
    if options.out:
        options.out.parent.mkdir(parents=True, exist_ok=True)
        measured = {each.name: [vars(run) for run in each.runs] for each in contestants}
        options.out.write_text(json.dumps({"rows": options.rows, "runs": measured}, indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
