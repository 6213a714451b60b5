"""A walk from `init` to ACCEPTED: commands that are really run, and what they printed, made stable
for the page.

Belongs here: running, expecting, pasting a fix, shortening output. Does not: the sets and their
steps (`labs.py`).
"""

from __future__ import annotations

import json
import re
import shlex
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import yaml

from tests.command_line import Lab, Ran

HOME: Final = "/home/ada"
"""What the page shows instead of the folder in which the commands ran."""

WIDTH: Final = 80

ENDING: Final = ("REJECTED", "ACCEPTED", "Next")
"""How those lines at the end of a report begin that the page shows each time."""


class Unexpected(Exception):
    """A step did not end as the tutorial says it does."""


@dataclass(frozen=True)
class Step:
    """One command as it was shown: its exit code, and what a `check` found. `codes` are those of
    all findings, each once, sorted.
    """

    name: str
    command: str
    exit: int
    verdict: str | None = None
    codes: tuple[str, ...] = ()


@dataclass
class Walk:
    """One dataset on its way. `folder` is the lab's folder below the place where commands are
    given; its YAML is the one `init` writes.
    """

    lab: Lab
    folder: str
    dataset: str
    steps: list[Step] = field(default_factory=list)
    printed: dict[str, str] = field(default_factory=dict)
    found: dict[str, list[dict[str, Any]]] = field(
        default_factory=dict
    )  # step -> findings of its check

    @property
    def findings(self) -> list[dict[str, Any]]:
        """Those of the last check."""
        return self.found[next(reversed(self.found))]

    @property
    def config(self) -> Path:
        return self.lab.folder / self.folder / "dataset.yaml"

    @property
    def given(self) -> str:
        """The config as a person names it on the command line."""
        return f"{self.folder}/dataset.yaml"

    @property
    def html(self) -> Path:
        return self.lab.store(self.dataset) / "report" / "report.html"

    def run(self, name: str, *arguments: str, expected: int = 0) -> Ran:
        """Run a command and keep what it printed as `name`. Raises `Unexpected` for another exit
        code.
        """
        done = self.lab.run(*arguments)
        command = shlex.join(("syndb-pipeline", *arguments))
        if done.code != expected:
            raise Unexpected(
                f"{name}: `{command}` ended with {done.code} instead of {expected}\n{done.out}{done.err}"
            )
        self.steps.append(Step(name, command, done.code))
        self.printed[name] = self._stable(done.err if done.code == 2 else done.out)
        return done

    def init(self) -> None:
        """Let `init` look at the lab's folder. The id it gives is made the walk's own, so that the
        page is the same each time.
        """
        self.run("init", "init", self.folder)
        self.config.write_text(
            re.sub(r"(?m)^  id: \S+", f"  id: {self.dataset}", self.config.read_text(), count=1)
        )

    def check(self, name: str, verdict: str, *codes: str) -> None:
        """Check the dataset. Raises `Unexpected` unless verdict and codes of the findings are
        these.
        """
        self.run(name, "check", self.given, expected=0 if verdict == "accepted" else 3)
        self.judge(name, verdict, *codes)

    def judge(self, name: str, verdict: str, *codes: str) -> None:
        """Look at the sealed verdict and findings that the last checks left. Raises `Unexpected`
        for others.
        """
        record = json.loads(
            (self.lab.store(self.dataset) / "check_integrity" / "record.json").read_text()
        )
        told = record["details"]["verdict"]
        self.found[name] = record["findings"]
        seen = tuple(sorted({finding["code"] for finding in self.findings}))
        if (told, seen) != (verdict, tuple(sorted(codes))):
            raise Unexpected(
                f"{name}: {told} with {seen}, instead of {verdict} with {tuple(sorted(codes))}\n{self.printed[name]}"
            )
        last = self.steps[-1]
        self.steps[-1] = Step(last.name, last.command, last.exit, verdict, seen)

    def answer(self, *changes: tuple[str, str]) -> None:
        """Edit the YAML as a person would: each text, which must stand there, becomes another."""
        text = self.config.read_text()
        for old, new in changes:
            if old not in text:
                raise Unexpected(f"{self.given} has no line {old!r} to answer:\n{text}")
            text = text.replace(old, new, 1)
        self.config.write_text(text)

    def paste(self, code: str) -> None:
        """Put the YAML that the finding of this code prints into the dataset's YAML. Raises
        `Unexpected` where it prints none.
        """
        [block, *_] = [
            block
            for finding in self.findings
            if finding["code"] == code
            for block in finding["settings"]
        ] or [None]
        if block is None:
            told = [finding["fix"] for finding in self.findings if finding["code"] == code]
            raise Unexpected(f"{code} prints no YAML to paste; its fix: {told}")
        [(table, settings)] = yaml.safe_load(block)["tables"].items()
        [key] = settings
        if key in yaml.safe_load(self.config.read_text())["tables"][table]:
            raise Unexpected(
                f"{code} tells to set tables.{table}.{key}, which the YAML has already"
            )
        pasted = "".join(f"{line}\n" for line in block.splitlines() if line.startswith("    "))
        self.config.write_text(
            re.sub(
                rf"(?m)^  {table}:\n    file: .*\n",
                lambda found: found[0] + pasted,
                self.config.read_text(),
            )
        )

    def section(self, first: str, until: str) -> str:
        """The YAML as it stands now, from the line that starts with `first` to the one before
        `until`.
        """
        lines = self.config.read_text().splitlines()
        start = next(number for number, line in enumerate(lines) if line.startswith(first))
        end = next(
            number for number in range(start + 1, len(lines)) if lines[number].startswith(until)
        )
        return "\n".join(cut(line) for line in lines[start:end]).rstrip()

    def show(
        self,
        name: str,
        *codes: str,
        places: int = 2,
        table: bool = True,
        ending: tuple[str, ...] = ("REJECTED", "ACCEPTED", "Next"),
    ) -> str:
        """What a check printed, as the page shows it: the findings of these codes, each with its
        first places, and of the end the lines that begin with one of `ending`.
        """
        blocks = [block for block in re.split(r"\n\s*\n", self.printed[name]) if block.strip()]
        kept: list[str] = []
        for number, block in enumerate(blocks):
            found = re.match(r"(error|warning|hint|info) (SYN-\w+-\d+)", block)
            end = "\n".join(line for line in block.splitlines() if line.startswith(ending))
            if not found and number and end:
                kept.append(end)
            elif (not number and table) or (found and found[2] in codes):
                kept.append(_fewer_places(block, places))
            elif kept[-1:] != ["..."]:
                kept.append("...")
        return self._console(name, "\n\n".join(kept).replace("\n\n...\n\n", "\n...\n"))

    def fix(self, name: str, code: str) -> str:
        """What the first finding of this code says is to be done, as a quotation."""
        return "> " + next(
            finding["fix"] for finding in self.found[name] if finding["code"] == code
        )

    def count(self, name: str, code: str) -> str:
        """How many rows the largest finding of this code counted in a step."""
        return (
            f"{max(finding['count'] for finding in self.found[name] if finding['code'] == code):,}"
        )

    def lines(self, name: str, *starts: str) -> str:
        """What a command printed, only the lines that begin so; all of them when none is named."""
        kept: list[str] = []
        for line in self.printed[name].splitlines():
            if not starts or line.strip().startswith(starts):
                kept.append(line)
            elif kept[-1:] != ["..."]:
                kept.append("...")
        return self._console(name, "\n".join(kept))

    def _console(self, name: str, text: str) -> str:
        command = next(step.command for step in self.steps if step.name == name)
        told = "\n".join(cut(line) for line in text.splitlines())
        return f"```console\n$ {command}\n{told}\n```"

    def _stable(self, text: str) -> str:
        text = text.replace(str(self.lab.folder), HOME).replace(
            f"/datasets/{self.dataset}/", "/datasets/.../"
        )
        return "\n".join(line.rstrip() for line in text.splitlines()).strip("\n")


def cut(line: str) -> str:
    """A line that fits a terminal, with dots where something is left out."""
    return line if len(line) <= WIDTH else f"{line[: WIDTH - 4].rstrip()} ..."


def _fewer_places(block: str, places: int) -> str:
    lines, seen = [], 0
    for line in block.splitlines():
        place = bool(re.match(r"    \S.*, row \d+", line))
        seen += place
        if not place or seen <= places:
            lines.append(line)
        elif seen == places + 1:
            lines.append("    ...")
    return "\n".join(lines)
