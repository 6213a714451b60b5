"""One wrong input: a real set, the mistake made in it, and what must be said of it; and how a run
is held against that.

Belongs here: running a case in this process and judging it. Does not: the cases, adding them up.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

import yaml

from syndb_pipeline.base.errors import Exit, PipelineError
from syndb_pipeline.config.settings import PipelineSettings, load_dataset
from syndb_pipeline.rules.finding import Finding
from syndb_pipeline.state.stage import Context
from tests.acceptance.corpus.changes import Change
from tests.acceptance.corpus.real_sets import TOLD, real_set
from tests.harm import harms
from tests.lab import run_stages
from tests.lab_files import Lab

CONFIG: Final = "config"
"""Stands where a code would, for mistakes in the config: they are told before any rule is asked."""

_MEMORY: Final = 1_000_000_000
_LOUD: Final = ("warning", "error")


@dataclass(frozen=True)
class Expected:
    """A finding that must be there. What is None is not looked at; `words` must all stand in cause
    and cure, whatever their case; a|b asks for one of the two.

    `column` is the name in the lab's file, `table` None for the dataset as a whole. `setting` is
    YAML that a block, which the finding gives ready to paste, says of the table: a key whatever its
    value, or keys with their values. Pasted, it `cures`: the finding is not there any more when the
    case runs again.
    """

    code: str
    table: str | None
    column: str | None = None
    row: int | None = None
    count: int | None = None
    words: tuple[str, ...] = ()
    setting: str | None = None
    cures: bool = True

    def gaps(self, finding: Finding) -> list[str]:
        """How `finding`, which is of this rule and table, differs from what is expected."""
        first = finding.examples[0] if finding.examples else None
        shown = first.column if first is not None and first.column is not None else finding.column
        gaps = []
        if self.column is not None and shown != self.column:
            gaps.append(f"column {shown!r} instead of {self.column!r}")
        if self.row is not None and (first is None or first.row != self.row):
            gaps.append(f"row {first.row if first else None} instead of {self.row}")
        if self.count is not None and finding.count != self.count:
            gaps.append(f"count {finding.count} instead of {self.count}")
        said = f"{finding.message} {finding.fix}".casefold()
        gaps += [
            f"no word {word!r}"
            for word in self.words
            if not any(one.casefold() in said for one in word.split("|"))
        ]
        if self.setting is not None and self.block(finding) is None:
            gaps.append(f"no setting {self.setting!r} to paste, but {finding.settings}")
        return gaps

    def block(self, finding: Finding) -> str | None:
        """The YAML to paste that has the setting; None when there is none, or none is expected."""
        return next(
            (block for block in finding.settings if self.setting and self._is_offered(block)), None
        )

    def _is_offered(self, block: str) -> bool:
        """Whether `block`, which is YAML ready to paste, has the setting: a key of the table, or
        keys with their values.
        """
        wanted, offered = (
            yaml.safe_load(self.setting or ""),
            yaml.safe_load(block)["tables"].get(self.table or "", {}),
        )
        return wanted in offered if isinstance(wanted, str) else wanted.items() <= offered.items()


def finds(
    code: str,
    table: str | None,
    column: str | None = None,
    row: int | None = None,
    count: int | None = None,
    *words: str,
    setting: str | None = None,
    cures: bool = True,
) -> Expected:
    """`Expected`, short to write."""
    return Expected(code, table, column, row, count, words, setting, cures)


@dataclass(frozen=True)
class Case:
    """A wrong input. `also` gives, for each other rule that an honest reading of the same mistake
    may raise, the reason.
    """

    name: str
    real: str
    change: Change
    expected: tuple[Expected, ...]
    also: Mapping[str, str] = field(default_factory=dict)
    says: tuple[str, ...] = ()
    """For a mistake in the config: words of the message."""

    def lab(self, data: Path) -> Lab:
        made = real_set(self.real, data)
        self.change(made)
        return made


def wrong(
    name: str, real: str, change: Change, *expected: Expected, also: Mapping[str, str] | None = None
) -> Case:
    """A case whose data are wrong."""
    return Case(name, real, change, expected, also or {})


def refused(name: str, real: str, change: Change, *says: str) -> Case:
    """A case whose config is wrong, so that nothing is read."""
    return Case(name, real, change, (), says=says)


@dataclass(frozen=True)
class Outcome:
    """What came of a case: how much of what had to be said was said, what was said beside it, and
    everything that is not as it should be.

    `loud` counts the warnings and errors about the mistake, `extra` are those of them that nothing
    justifies.
    """

    name: str
    codes: tuple[str, ...]
    expected: int
    met: tuple[str, ...] = ()
    loud: int = 0
    extra: tuple[str, ...] = ()
    faults: tuple[str, ...] = ()


@dataclass(frozen=True)
class Ran:
    """What a run of the stages left: the exit code the command would end with, its message or its
    findings.
    """

    exit: int
    findings: tuple[Finding, ...] = ()
    message: str = ""


def run(lab: Lab, config: Path) -> Ran:
    """Take the dataset through the real stages. What is no `PipelineError` is a fault of ours and
    goes through.
    """
    try:
        sealed = run_stages(_context(lab, config))["check_integrity"]
    except PipelineError as error:
        return Ran(int(error.exit), message=str(error))
    accepted = sealed.details.verdict == "accepted"
    return Ran(int(Exit.OK if accepted else Exit.REJECTED), tuple(sealed.findings))


def _context(lab: Lab, config: Path) -> Context:
    allowed = (
        None
        if lab.data_folders is None
        else [(config.parent / name).resolve() for name in lab.data_folders]
    )
    settings = PipelineSettings(
        state=config.parent / ".state", memory_limit=_MEMORY, threads=1, data_folders=allowed
    )
    return Context(load_dataset(config), settings)


def judge(case: Case, data: Path) -> Outcome:
    """Run `case` on the real sets in `data` and hold what was said, and what each setting does that
    it offers, against what must be.
    """
    with tempfile.TemporaryDirectory(prefix="corpus-") as folder:
        lab = case.lab(data)
        config = lab.write(Path(folder))
        ran = run(lab, config)
        harm = [] if ran.message else list(harms(_context(lab, config)))
    if not case.says:
        outcome, blocks = _compared(case, ran)
        uncured = [
            fault
            for expected, finding, block in blocks
            for fault in _uncured(case, data, expected, finding, block)
        ]
        return replace(outcome, faults=(*outcome.faults, *uncured, *harm))
    faults = (
        []
        if ran.exit == Exit.USAGE
        else [f"exit {ran.exit} instead of {int(Exit.USAGE)}: {ran.message}"]
    )
    faults += [
        f"no word {word!r} in: {ran.message}"
        for word in case.says
        if word.casefold() not in ran.message.casefold()
    ]
    return Outcome(case.name, (CONFIG,), 1, () if faults else (CONFIG,), faults=tuple(faults))


def _uncured(case: Case, data: Path, expected: Expected, told: Finding, block: str) -> list[str]:
    """Paste `block` into the config and run again: what is told of it when the finding is still
    there, or the config cannot be used.
    """
    lab = case.lab(data)
    for table, options in yaml.safe_load(block)["tables"].items():
        lab.options(table).update(options)
    with tempfile.TemporaryDirectory(prefix="corpus-") as folder:
        ran = run(lab, lab.write(Path(folder)))
    if ran.message:
        return [
            f"{expected.code}: with {yaml.safe_load(block)} pasted, the config cannot be used:"
            f" {ran.message}"
        ]
    same = (told.code, told.table, told.column)
    if any(
        (finding.code, finding.table, finding.column) == same and not expected.gaps(finding)
        for finding in ran.findings
    ):
        return [f"{expected.code}: {yaml.safe_load(block)} was pasted and cures nothing"]
    return []


def _compared(case: Case, ran: Ran) -> tuple[Outcome, list[tuple[Expected, Finding, str]]]:
    """The outcome of a run, and what its findings offer to paste where that must cure."""
    left = list(ran.findings)
    blocks = []
    met, faults = [], [f"exit {ran.exit}: {ran.message}"] if ran.message else []
    for expected in case.expected:
        near = [
            finding
            for finding in left
            if (finding.code, finding.table) == (expected.code, expected.table)
        ]
        nearest = min(near, key=lambda finding: len(expected.gaps(finding)), default=None)
        if nearest is None:
            faults.append(
                f"{expected.code} of {expected.table}, column {expected.column}, was not raised"
            )
            continue
        left.remove(nearest)
        if gaps := expected.gaps(nearest):
            faults.append(
                f"{expected.code} of {expected.table}: {'; '.join(gaps)} ({nearest.message} ->"
                f" {nearest.fix})"
            )
        else:
            met.append(expected.code)
            if expected.cures and (block := expected.block(nearest)):
                blocks.append((expected, nearest, block))
    standing = TOLD.get(case.real, {})
    extra = [
        f
        for f in left
        if f.severity in _LOUD and f.code not in case.also and (f.code, f.table) not in standing
    ]
    faults += [
        f"beside it: {finding.code} {finding.table} {finding.column} ({finding.count}):"
        f" {finding.message}"
        for finding in extra
    ]
    refused = any(finding.severity == "error" for finding in ran.findings)
    if ran.exit != (Exit.REJECTED if refused else Exit.OK):
        faults.append(
            f"exit {ran.exit}, and the findings are {'errors' if refused else 'no errors'}"
        )
    loud = sum(
        finding.severity in _LOUD and (finding.code, finding.table) not in standing
        for finding in ran.findings
    )
    codes = tuple(expected.code for expected in case.expected)
    return (
        Outcome(
            case.name,
            codes,
            len(codes),
            tuple(met),
            loud,
            tuple(finding.code for finding in extra),
            tuple(faults),
        ),
        blocks,
    )
