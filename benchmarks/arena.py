"""The tables of a comparison in a folder, and the contestants that work on them: ours in every
situation, and plain scripts.

Belongs here: whole commands, and what puts everything in place before each. Does not: measuring
(`measured.py`), bars (`bars.py`).

The plain scripts are not part of the project. SYNDB_YARDSTICK names a folder with `gen.py --rows N
--out DIR --formats csv,parquet`, which writes the same tables for all with a dataset.yaml, and with
`tuned_script.py SRC OUT MEMORY` and `lab_script.py SRC OUT`; SYNDB_YARDSTICK_PYTHON is the
interpreter they need. Without them the project's own tables are used, and only its own ratios are
printed.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import pyarrow.parquet

from benchmarks.generate import FAULTS, faults_of_each
from benchmarks.measured import Measured, measure

pq: Any = pyarrow.parquet  # it carries no types

ROOT: Final = Path(__file__).resolve().parent.parent

CHANGED: Final = "mitochondria"
"""The table of seven that is changed for the rerun: a leaf of middling size."""

SPLIT: Final = "vesicle"
"""The table that lies in several files, to which one is appended: one of the largest."""

FILES: Final = 10
"""Files of that table, the appended ones included."""

CHECKED_ROWS: Final = 1_000_000
"""Rows, at most, of the largest tables of the clean and of the wrong dataset that are only
checked.
"""


GUIDE: Final = {
    "axon.csv": "cid,voxel_volume\n1,4.0e8\n2,1.5e9\n4,3.3e8\n",
    "vesicle.csv": "cid,parent_id,voxel_radius\n"
    + "".join(f"{row},{axon},27.5\n" for row, axon in enumerate([1, 1, 1, 1, 1, 2, 2, 4])),
    "dataset.yaml": """dataset:
  id: 0193a000-0000-7000-8000-0000000000ab
  label: guide
  animal: MUS_MUSCULUS
  microscopy: EM
  brain_regions: [{structure: septum}]
tables:
  axon: {file: axon.csv}
  vesicle: {file: vesicle.csv}
""",
}
"""Three axons and their eight vesicles: the keys are those of the example in SynDB's upload
guide.
"""


@dataclass
class Contestant:
    """A command, run in `folder`; what puts everything in its place before each run, and looks at
    it afterwards; what the runs gave.

    `after` names the contestants whose state it finds, `state` is where its stages leave theirs,
    `watched` are folders it writes into.
    """

    name: str
    told: str
    command: Sequence[str]
    before: Callable[[], None] = lambda: None
    then: Callable[[], None] = lambda: None
    after: tuple[str, ...] = ()
    exits: tuple[int, ...] = (0,)
    state: Path | None = None
    watched: tuple[Path, ...] = ()
    folder: Path | None = None
    runs: list[Measured] = field(default_factory=list)
    failed: str = ""


class Arena:
    """The datasets in a folder, and the contestants that work on them."""

    def __init__(
        self, folder: Path, rows: int, memory_limit: str, threads: int, rounds: int = 1
    ) -> None:
        self.folder, self.rows, self.memory_limit, self.threads, self.rounds = (
            folder,
            rows,
            memory_limit,
            threads,
            rounds,
        )
        self.scripts = (
            Path(os.environ["SYNDB_YARDSTICK"]) if os.environ.get("SYNDB_YARDSTICK") else None
        )
        self.python = os.environ.get("SYNDB_YARDSTICK_PYTHON", sys.executable)
        self.state, self.parts_state, self.home = (
            folder / "state",
            folder / "parts-state",
            folder / "dagster",
        )
        # Python compiles a program's modules once, not in every run, whatever this shell says.
        kept = {
            name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"
        }
        self.environment = kept | {
            "SYNDB_MEMORY_LIMIT": memory_limit,
            "SYNDB_THREADS": str(threads),
            "SYNDB_STATE": str(self.state),
            "DAGSTER_HOME": str(self.home),
            "PYTHONPATH": str(ROOT),
        }
        self.told_faults = 0
        self._appended = 0

    # -- tables

    def make(self) -> None:
        """Write the tables: the same as csv, as Parquet and with one table in several files; clean
        and wrong ones to check; the guide's.
        """
        parquet = self.folder / "parquet"
        if self.scripts is None:
            self._own("csv", self.rows)
            self._own("parquet", self.rows, "--format", "parquet")
        else:
            csv, generator = self.folder / "csv", str(self.scripts / "gen.py")
            measure(
                [
                    self.python,
                    generator,
                    "--rows",
                    str(self.rows),
                    "--out",
                    str(csv),
                    "--formats",
                    "csv,parquet",
                ],
                self.environment,
            )
            parquet.mkdir()
            for file in csv.glob("*.parquet"):
                file.rename(parquet / file.name)
            described = (csv / "dataset.yaml").read_text(encoding="utf-8")
            (parquet / "dataset.yaml").write_text(
                described.replace(".csv", ".parquet"), encoding="utf-8"
            )
        self._own("clean", self._checked_rows)
        self._own("wrong", self._checked_rows, "--wrong")
        self._split()
        guide = self.folder / "guide"
        guide.mkdir()
        for name, text in GUIDE.items():
            (guide / name).write_text(text, encoding="utf-8")
        # What was written is on the disk before the first clock starts, else the first contestants
        # wait for it.
        os.sync()

    @property
    def _checked_rows(self) -> int:
        return min(self.rows, CHECKED_ROWS)

    def _own(self, name: str, rows: int, *options: str) -> None:
        # In a process of its own: the kernel counts a process's memory from that of the one that
        # started it.
        folder, limits = (
            self.folder / name,
            ("--memory-limit", self.memory_limit, "--threads", str(self.threads)),
        )
        measure(
            [
                sys.executable,
                "-m",
                "benchmarks.generate",
                str(folder),
                "--rows",
                str(rows),
                *limits,
                *options,
            ],
            self.environment,
        )
        (folder / "benchmark.yaml").rename(folder / "dataset.yaml")

    def _split(self) -> None:
        """The csv dataset once more, `SPLIT` in several files. The others are the same files: they
        take no place on the disk.
        """
        csv, parts = self.folder / "csv", self.folder / "parts"
        parts.mkdir()
        for file in csv.glob("*.csv"):
            # The table that `_change` writes into must stay as it is here.
            (shutil.copyfile if file.stem == CHANGED else os.link)(file, parts / file.name)
        whole = parts / f"{SPLIT}.csv"
        files = max(FILES, 2 * self.rounds)
        size = whole.stat().st_size
        with whole.open("rb") as source:
            header = source.readline()
            start = source.tell()
            for number in range(1, files + 1):
                source.seek(max(start, size * number // files - 1))
                source.readline()  # no cell of these tables holds a line break
                end = source.tell()
                source.seek(start)
                with self._part(number).open("wb") as part:
                    part.write(header)
                    while start < end:
                        start += part.write(source.read(min(1 << 24, end - start)))
        whole.unlink()
        for number in range(files - self.rounds + 1, files + 1):
            self._part(number).rename(self._kept(number))
        self._appended = files - self.rounds
        described = (csv / "dataset.yaml").read_text(encoding="utf-8")
        (parts / "dataset.yaml").write_text(
            described.replace(f"{SPLIT}.csv", f"{SPLIT}-*.csv"), encoding="utf-8"
        )

    def _part(self, number: int) -> Path:
        return self.folder / "parts" / f"{SPLIT}-{number:03}.csv"

    def _kept(self, number: int) -> Path:
        """Where a file waits to be appended."""
        return self.folder / f"{SPLIT}-{number:03}.csv"

    # -- facts

    def total_rows(self) -> int:
        """Rows of all tables together."""
        return sum(
            pq.read_metadata(file).num_rows for file in (self.folder / "parquet").glob("*.parquet")
        )

    def lab_bytes(self) -> int:
        """Bytes of the csv files."""
        return sum(file.stat().st_size for file in (self.folder / "csv").glob("*.csv"))

    def shares(self) -> dict[str, float]:
        """The parts of all bytes that are changed, and that are appended."""
        everything = self.lab_bytes()
        changed, split = (
            (self.folder / "csv" / f"{table}.csv").stat().st_size for table in (CHANGED, SPLIT)
        )
        return {
            "changed": changed / everything,
            "append": split / max(FILES, 2 * self.rounds) / everything,
        }

    # -- contestants

    def contestants(self) -> list[Contestant]:
        """All of them, in the order in which they take their turns."""
        state, home, parts = self.state, self.home, self.parts_state
        checked = f"{self._checked_rows:,} rows"
        return [
            self._ours("csv", "the csv files to the package", "plan", "csv", before=self._forget),
            self._ours("again", "once more, nothing changed", "plan", "csv", after=("csv",)),
            self._ours(
                "changed",
                f"once more, {CHANGED} changed",
                "plan",
                "csv",
                before=self._change,
                after=("csv",),
            ),
            self._ours(
                "dagster",
                "as a Dagster run: `syndb-pipeline run`",
                "run --no-publish",
                "csv",
                before=self._forget,
                watched=(state, home),
            ),
            *self._dg(),
            self._ours(
                "parquet",
                "the same tables as Parquet files",
                "plan",
                "parquet",
                before=self._forget,
            ),
            self._ours(
                "check", f"only checked: {checked}, clean", "check", "clean", before=self._forget
            ),
            self._ours(
                "wrong",
                f"only checked: {checked}, wrong in {len(FAULTS)} ways",
                "check",
                "wrong",
                before=self._forget,
                then=self._count_told_faults,
                exits=(3,),
            ),
            self._ours(
                "append",
                f"once more, a file appended to those of {SPLIT}",
                "plan",
                "parts",
                before=self._append,
                state=parts,
                watched=(parts,),
            ),
            *self._scripts(),
            Contestant("help", "`syndb-pipeline --help`", self._syndb("--help")),
            self._ours(
                "guide",
                "the example of SynDB's guide, checked",
                "check",
                "guide",
                before=self._forget,
            ),
        ]

    def _ours(self, name: str, told: str, command: str, dataset: str, **more: Any) -> Contestant:
        words = self._syndb(*command.split(), str(self.folder / dataset / "dataset.yaml"))
        settings: dict[str, Any] = {"state": self.state, "watched": (self.state,)} | more
        return Contestant(name, told, words, **settings)

    def _dg(self) -> Iterator[Contestant]:
        """Dagster's own command, where it is installed. It finds the dataset by the name that our
        own command gave it.
        """
        launcher = Path(sys.executable).parent / "dg"
        if launcher.is_file():
            yield Contestant(
                "dg",
                "as a Dagster run: `dg launch`",
                [str(launcher), "launch", "--job", "prepare", "--partition", "dataset"],
                before=self._forget_outputs,
                after=("dagster",),
                state=self.state,
                watched=(self.state, self.home),
                folder=ROOT,
            )

    def _scripts(self) -> Iterator[Contestant]:
        if self.scripts is None:
            return
        out = self.folder / "out"
        for name, told, more in (
            ("tuned", "hand-tuned DuckDB", [self.memory_limit]),
            ("lab", "pandas, as a lab would write it", []),
        ):
            if name == "lab" and not self._imports("pandas", "pandera.pandas"):
                print(
                    f"{self.python} has no pandas or pandera for it: the lab's script is left out",
                    file=sys.stderr,
                )
                continue
            command = [
                self.python,
                str(self.scripts / f"{name}_script.py"),
                str(self.folder / "csv"),
                str(out),
                *more,
            ]
            yield Contestant(
                name,
                told,
                command,
                before=lambda: shutil.rmtree(out, ignore_errors=True),
                watched=(out,),
            )

    @staticmethod
    def _syndb(*words: str) -> list[str]:
        return [sys.executable, "-c", "from syndb_pipeline.cli.main import main; main()", *words]

    def _imports(self, *modules: str) -> bool:
        command = [self.python, "-c", "; ".join(f"import {module}" for module in modules)]
        return subprocess.run(command, capture_output=True, check=False).returncode == 0

    def _forget(self) -> None:
        """Leave nothing of the dataset: its other forms are configs with the same id."""
        self._forget_outputs()
        (self.state / "registry.json").unlink(missing_ok=True)

    def _forget_outputs(self) -> None:
        """Leave no stage's outputs. The name that Dagster knows the dataset by stays."""
        shutil.rmtree(self.state / "datasets", ignore_errors=True)

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

    def _append(self) -> None:
        """Put the next file beside the others; before the first, take the others to the package."""
        if not self.parts_state.exists():
            first = self._syndb("plan", str(self.folder / "parts" / "dataset.yaml"))
            measure(first, self.environment | {"SYNDB_STATE": str(self.parts_state)})
        self._appended += 1
        self._kept(self._appended).rename(self._part(self._appended))

    def _count_told_faults(self) -> None:
        """Look which of the ways to be wrong have a finding with all their rows."""
        each, found = faults_of_each(self._checked_rows), set()
        for path in self.state.glob("datasets/*/*/record.json"):
            for told in json.loads(path.read_text(encoding="utf-8"))["findings"]:
                found.add((told["code"], told["table"], told["column"], told["count"]))
        self.told_faults = sum(
            (fault.code, fault.table, fault.column, each) in found for fault in FAULTS
        )


def compete(arena: Arena, contestants: Sequence[Contestant]) -> None:
    """Let everybody run in turn, as many rounds as the arena has. Who fails is out, with those that
    build on it; the others go on.
    """
    for number in range(1, arena.rounds + 1):
        for each in contestants:
            out = [
                name
                for name in each.after
                if any(other.name == name and other.failed for other in contestants)
            ]
            if out:
                each.failed = each.failed or f"needs {', '.join(out)}"
            if each.failed:
                continue
            try:
                each.before()
                os.sync()  # nobody waits for what others left to be written
                environment = arena.environment | {"SYNDB_STATE": str(each.state or arena.state)}
                run = measure(
                    each.command,
                    environment,
                    exits=each.exits,
                    folder=each.folder,
                    watched=each.watched,
                    state=each.state,
                )
                each.then()
            except SystemExit as error:
                each.failed, each.runs = str(error), []
                print(f"round {number}: {each.name} FAILED: {error}", file=sys.stderr, flush=True)
                continue
            each.runs.append(run)
            print(f"round {number}: {each.name} {run.seconds:.2f} s", file=sys.stderr, flush=True)
