"""Every rule of the pipeline, read from its own file `pages/<CODE>.md`, and all pages as one
document, docs/findings.md.

Belongs here: what a rule is, its file and its page. Does not: the check that finds it, findings.

A rule's file is its front matter and its page:

- `title`, `message`, `fix`: its words. `message` and `fix` are templates that may use {table}
  {file} {column} {count}, the words of `finding.NUMBERED` that follow the count, and what the check
  gives.
- `severity`: of `SEVERITIES`; `error, always` for a rule that the config cannot change.
- `family`: the rules it is shown with, of `FAMILIES`, which also names the stage that checks it.
- `quarantine`: `rows` or `lines` (that could not be read) can be quarantined; `dataset`: it is
  refused.
- `leaves_open`: what of a row is unknown where the rule is broken: its `key`, its `pair`.
- `because_of`: rules, or families of them, that explain the same cells: the rule is not reported
  there.

Front matter is YAML, of which this reads plain values and folded blocks: 83 files in 5 ms.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, get_args

Severity = Literal["info", "hint", "warning", "error"]
SEVERITIES: Final[tuple[Severity, ...]] = get_args(Severity)

PAGES: Final = Path(__file__).parent / "pages"
GUIDES: Final = {
    name: Path(__file__).parent / "guides" / file
    for name, file in {
        "LICENCE": "licence.md",
        "LICENSE": "licence.md",
        "TERMS": "terms.md",
    }.items()
}
"""What can be explained beside the rules, by what a person writes in capitals."""
HEADINGS: Final = ("What it means", "Why SynDB cares", "Example", "Fixes", "Related")
"""The sections of every page, in this order. "Related" holds nothing but codes."""

GROUPS: Final = {
    "READ": "Reading the files",
    "COL": "Columns",
    "TYPE": "Types of values",
    "VAL": "Values",
    "VOC": "Words",
    "UNIT": "Units",
    "PATH": "Meshes and skeletons",
    "ID": "Keys",
    "REL": "Relations",
    "INT": "The dataset as a whole",
}
"""The middle part of a code -> what its rules are about, in the order of the catalogue."""


VERDICT: Final = "verdict"


@dataclass(frozen=True, slots=True)
class Family:
    """Rules of one stage that are checked, and shown, together."""

    name: str
    stage: str
    description: str

    def covers(self, code: str) -> bool:
        """Whether rule `code` is of the family; the verdict is about all rules."""
        return self.name in (VERDICT, RULES[code].family)


FAMILIES: Final = {
    name: Family(name, stage, description)
    for stage, families in {
        "ingest": {
            "files_are_readable": "Every file, line, cell and byte can be read.",
            "columns_are_known": "SynDB's table has every column; none it needs is missing.",
        },
        "validate": {
            "values_follow_the_contract": (
                "Numbers are in range, texts fit, files named in cells exist."
            ),
            "words_are_known": (
                "Words of a vocabulary are SynDB's; others are kept, with a warning."
            ),
            "units_are_plausible": (
                "Lengths, areas and volumes look like nanometres and agree with each other."
            ),
        },
        "assign_ids": {
            "keys_are_unique": "Every row has its own key that no spreadsheet damaged.",
        },
        "join_relations": {
            "relations_resolve": "Every parent and reference names an existing row.",
        },
        "check_integrity": {
            "dataset_is_connected": (
                "Tables are related and in one space, synapses lead to neurons, counts match the"
                " rows."
            ),
            "metadata_is_known": "Brain regions of the dataset are words of SynDB's vocabulary.",
            "columns_are_sent": "The values of every column that is read reach SynDB.",
            VERDICT: (
                "No rule of any stage found an error. While this fails, nothing is packaged or"
                " sent."
            ),
        },
    }.items()
    for name, description in families.items()
}
"""The families by name, in the order of the stages."""


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule. `fixed` rules stay errors whatever the config says: they would corrupt a
    dataset.
    """

    code: str
    title: str
    severity: Severity
    family: str
    quarantine: Literal["rows", "lines", "dataset"]
    message: str
    fix: str
    page: str
    fixed: bool = False
    leaves_open: tuple[str, ...] = ()
    because_of: tuple[str, ...] = ()

    @property
    def stage(self) -> str:
        """The stage that checks the rule."""
        return FAMILIES[self.family].stage

    @property
    def shown_severity(self) -> str:
        return f"{self.severity}, always" if self.fixed else self.severity

    @property
    def heading(self) -> str:
        return f"{self.code}: {self.title}"

    @property
    def sections(self) -> dict[str, str]:
        """The sections of the rule's page as Markdown, by heading."""
        parts = re.split(r"^## (.+)$", self.page, flags=re.MULTILINE)
        return {name: body.strip() for name, body in zip(parts[1::2], parts[2::2], strict=True)}

    @property
    def related(self) -> tuple[str, ...]:
        """Codes of rules that are easily taken for this one or come along with it."""
        return _listed(self.sections["Related"])

    def explained_by(self, code: str) -> bool:
        """Whether cells that break rule `code` are not reported by this one as well."""
        return code in self.because_of or RULES[code].family in self.because_of


_ENTRY: Final = re.compile(r"^(\w+): *(?:>-\n)?(.*(?:\n +.*)*)", re.MULTILINE)


def _listed(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",")) if text else ()


def _read(path: Path) -> Rule:
    _, head, page = path.read_text(encoding="utf-8").split("---\n", 2)
    entries = {key: " ".join(text.split()) for key, text in _ENTRY.findall(head)}
    severity, *always = _listed(entries.pop("severity"))
    lists = {name: _listed(entries.pop(name, "")) for name in ("leaves_open", "because_of")}
    return Rule(path.stem, severity=severity, fixed=bool(always), page=page, **lists, **entries)  # type: ignore[arg-type]


def _order(path: Path) -> tuple[int, str]:
    return list(GROUPS).index(path.stem.split("-")[1]), path.stem


RULES: Final = {path.stem: _read(path) for path in sorted(PAGES.glob("*.md"), key=_order)}
"""Rules by code, in the order of the stages that check them."""


def codes_explained_by(code: str) -> tuple[str, ...]:
    """The codes of rules that are not reported of cells that break rule `code`."""
    return tuple(rule.code for rule in RULES.values() if rule.explained_by(code))


# Pages as Markdown


def page_markdown(rule: Rule, *, level: int = 1, linked: bool = False) -> str:
    """A rule's page, its title a heading of `level`; with `linked`, related codes are links."""
    parts = [f"{'#' * level} {rule.heading}", f"Severity: {rule.shown_severity}"]
    for heading, body in rule.sections.items():
        if heading == "Related":
            related = [RULES[code] for code in rule.related]
            body = "\n".join(f"- {_link(each) if linked else each.heading}" for each in related)
        parts += [f"{'#' * (level + 1)} {heading}", body]
    return "\n\n".join(parts) + "\n"


def document() -> str:
    """`docs/findings.md`: how to read findings, an index, and the page of every rule."""
    introduction = PAGES.with_name("introduction.md").read_text(encoding="utf-8")
    parts = [introduction.rstrip(), "## Index"]
    for group, about in GROUPS.items():
        lines = [
            f"| {_link(rule, rule.code)} | {rule.title} | {rule.shown_severity} |"
            for rule in RULES.values()
            if rule.code.startswith(f"SYN-{group}-")
        ]
        table = ["| code | title | severity |", "|---|---|---|", *lines]
        parts += [f"### {about}", "\n".join(table)]
    parts += [page_markdown(rule, level=2, linked=True).rstrip() for rule in RULES.values()]
    return "\n\n".join(parts) + "\n"


def _link(rule: Rule, text: str = "") -> str:
    """A link to the rule's heading, under the name that GitHub and other viewers give a heading."""
    anchor = re.sub(r"[^\w\- ]", "", rule.heading.lower()).replace(" ", "-")
    return f"[{text or rule.heading}](#{anchor})"
