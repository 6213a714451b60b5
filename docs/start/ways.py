"""The ways, each a few commands from an empty folder to an accepted dataset, and running them.

Belongs here: the commands and what of their output a page shows. Does not: the page's words
(`start.md.j2`), installing (`__main__.py`).
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from getpass import getuser
from pathlib import Path
from typing import Final

CHECKOUT: Final = "~/syndb-pipeline"
"""What the page shows in place of the folder of this repository."""

SCRIPT: Final = """\
from pathlib import Path

import syndb_pipeline
from syndb_pipeline.demo import write_demo

config = write_demo(Path("lab"))
result = syndb_pipeline.check(config)
print(result.verdict, [finding.code for finding in result.findings])
plan = syndb_pipeline.plan(config)
print(syndb_pipeline.publish(config, approve=plan.digest).receipt.rows, "rows published")
"""


@dataclass(frozen=True, slots=True)
class Command:
    """A command, and how those lines begin of what it prints that the page shows."""

    text: str
    shown: tuple[str, ...] = ()


INSTALL: Final = (
    Command("python3 -m venv .venv"),
    Command(". .venv/bin/activate"),
    Command(f"pip install --quiet {CHECKOUT}"),
)

WAYS: Final[Mapping[str, tuple[Command, ...]]] = {
    "command_line": (
        Command("syndb-pipeline demo lab", ("Wrote", "Next")),
        Command("syndb-pipeline check lab/demo.yaml", ("ACCEPTED", "Report", "Next")),
        Command(
            "syndb-pipeline plan lab/demo.yaml", ("Dataset", "Destination", "  in all", "Digest")
        ),
        Command("syndb-pipeline publish lab/demo.yaml", ("PUBLISHED", "  7", "  receipt")),
    ),
    "python": (Command("python first.py", ("accepted", "7")),),
    "snakemake": (
        Command("pip install --quiet snakemake"),
        Command(f"cp -r {CHECKOUT}/examples/snakemake workflow && cd workflow"),
        Command("snakemake -q all -c 1 syndb_plan"),
        Command("syndb-pipeline plan dataset.yaml", ("Dataset", "  in all", "Digest")),
        Command(
            "snakemake -q all -c 1 syndb_publish --config 'syndb={approve: DIGEST}'",
        ),
        Command("syndb-pipeline status dataset.yaml", ("published", "  published", "Published")),
    ),
    "dagster": (
        Command("syndb-pipeline demo lab", ("Wrote", "Next")),
        Command("syndb-pipeline run lab/demo.yaml", ("ACCEPTED", "PUBLISHED", "See")),
    ),
    "dagster_project": (
        Command("pip install --quiet dagster-dg-cli"),
        Command(f"cp -r {CHECKOUT}/examples/dagster-project project && cd project"),
        Command('export DAGSTER_HOME="$PWD"'),
        Command("dg launch --assets segmentation/neurons"),
        Command("dg launch --job fly_prepare_and_publish"),
        Command("syndb-pipeline status", ("1 of 1", "published")),
    ),
}


class Unexpected(Exception):
    """A command did not end well, or did not print what the page shows."""


@dataclass(slots=True)
class Shell:
    """A folder that was empty, and the environment in which commands are given there."""

    folder: Path
    environment: dict[str, str]
    digest: str = ""

    def run(self, command: Command) -> str:
        """Run one command; returns it with the lines it is shown with. Raises `Unexpected`."""
        text = command.text.replace("DIGEST", self.digest or "DIGEST")
        keep = 'echo "$PWD" > "$HOME/.where"; env -0 > "$HOME/.environment"'
        done = subprocess.run(
            ["bash", "-c", f"{text}\ncode=$?; {keep}; exit $code"],
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
        )
        if done.returncode:
            raise Unexpected(f"{text}: ended with {done.returncode}\n{done.stdout}{done.stderr}")
        home = Path(self.environment["HOME"])
        self.folder = Path((home / ".where").read_text().strip())
        left = (home / ".environment").read_bytes().decode().split("\0")
        self.environment = dict(pair.split("=", 1) for pair in left if "=" in pair)
        if found := re.search(r"^Digest +([0-9a-f]{64})$", done.stdout, re.MULTILINE):
            self.digest = found[1]
        lines = [f"$ {command.text}", *self._shown(command, done.stdout)]
        return "\n".join(lines)

    def _shown(self, command: Command, printed: str) -> Iterator[str]:
        kept = ["..."]
        for line in printed.splitlines() if command.shown else ():
            if line.startswith(command.shown):
                line = line.rstrip().replace(self.environment["HOME"], "~")
                kept.append(line.replace(f" as {getuser()}", " as ada"))
            elif kept[-1] != "...":
                kept.append("...")
        if command.shown and len(kept) < 2:
            raise Unexpected(f"{command.text}: none of {command.shown} in\n{printed}")
        yield from (line if len(line) <= 80 else f"{line[:76].rstrip()} ..." for line in kept[1:])


def empty_shell(home: Path, checkout: Path, environment: Mapping[str, str] = os.environ) -> Shell:
    """A shell of a person who has a checkout in their home, and nothing else of ours."""
    folder = home / "neurons"
    folder.mkdir(parents=True)
    (home / "syndb-pipeline").symlink_to(checkout)
    ours = ("SYNDB", "DAGSTER", "PYTHON", "XDG_")
    kept = {name: value for name, value in environment.items() if not name.startswith(ours)}
    return Shell(
        folder, kept | {"HOME": str(home), "COLUMNS": "80", "DAGSTER_DISABLE_TELEMETRY": "yes"}
    )
