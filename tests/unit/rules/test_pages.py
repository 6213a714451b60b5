"""Every rule has its page, every page its rule; the config they offer is config, and the document
is made of them.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from syndb_pipeline.config.settings import DatasetConfig, PipelineSettings
from syndb_pipeline.rules.catalogue import GROUPS, HEADINGS, RULES, document, page_markdown
from tests.lab import METADATA

ROOT = Path(__file__).resolve().parents[3]
CODE = re.compile(r"SYN-[A-Z]+-\d+")


def configs(text: str) -> list[str]:
    """What is in the yaml blocks of a Markdown text."""
    return re.findall(r"^```yaml\n(.*?)^```$", text, flags=re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("code", RULES)
def test_a_page_has_its_sections_and_leads_nowhere_else(code: str) -> None:
    page, text = RULES[code], RULES[code].page
    assert tuple(page.sections) == HEADINGS
    assert text.startswith(f"## {HEADINGS[0]}\n")
    for heading in HEADINGS[:-1]:
        assert len(page.sections[heading].split()) > 3
    assert not re.search(r"^# ", text, flags=re.MULTILINE)
    assert text.count("```") % 2 == 0
    assert page.related and len(set(page.related)) == len(page.related)
    assert set(page.related) <= set(CODE.findall(text)) <= set(RULES)
    assert code not in page.related
    assert not re.search(r"/(home|root|work|tmp|Users|mnt|usr|var)/|[A-Z]:\\", text)
    hosts = re.findall(r"(?:https?|ftp|file)://([^\s/)>`]*)", text.lower())
    assert set(hosts) <= {"syndb.xyz"}
    assert not re.search(r"[\w.]+@[\w.]+\.\w|www\.", text)
    prose = re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)
    assert max(map(len, prose.splitlines())) <= 80, "wider than a terminal"


def test_the_config_of_a_page_is_config() -> None:
    for code, rule in RULES.items():
        blocks = configs(rule.page)
        assert not (rule.fixed and any("rules:" in block for block in blocks)), code
        for block in blocks:
            content: dict[str, Any] = yaml.safe_load(block)
            if set(content) == {"data_folders"}:  # of pipeline.yaml, not of a dataset
                assert PipelineSettings(**content).data_folders
                continue
            assert set(content) <= {"dataset", "tables", "rules", "on_invalid", "max_rejected"}
            tables = {
                name: {"file": "table.csv"} | table
                for name, table in content.get("tables", {"neuron": {}}).items()
            }
            DatasetConfig.model_validate(
                content | {"dataset": METADATA | content.get("dataset", {}), "tables": tables}
            )


def test_title_and_severity_come_from_the_catalogue() -> None:
    fixed, free = (
        page_markdown(RULES["SYN-ID-002"]),
        page_markdown(RULES["SYN-VOC-001"], level=2),
    )
    assert fixed.startswith(
        "# SYN-ID-002: Duplicate key\n\nSeverity: error, always\n\n## What it means\n"
    )
    assert free.startswith(
        "## SYN-VOC-001: Word not in SynDB's vocabulary\n\nSeverity: warning\n\n### What it means\n"
    )
    assert "- SYN-REL-006: Duplicate pair\n" in fixed


def test_the_document_is_up_to_date() -> None:
    assert document() == (ROOT / "docs" / "findings.md").read_text(encoding="utf-8"), (
        "write it with: make docs"
    )


def test_the_document_holds_every_page_and_its_links_lead_to_them() -> None:
    text = document()
    headings = re.findall(r"^## (SYN-.*)$", text, flags=re.MULTILINE)
    assert [heading.split(":")[0] for heading in headings] == list(RULES)
    anchors = {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
    links = re.findall(r"\]\(#([^)]+)\)", text)
    assert set(links) == anchors
    assert {code.split("-")[1] for code in RULES} == set(GROUPS)
    assert text.count("\n| [SYN-") == len(RULES)


def test_the_document_says_how_a_severity_is_set() -> None:
    preamble = document().split("## Index")[0]
    (block,) = configs(preamble)
    config = DatasetConfig.model_validate(
        {"dataset": METADATA, "tables": {"neuron": {"file": "neuron.csv"}}} | yaml.safe_load(block)
    )
    assert config.rules["SYN-VOC-001"] == "error"
    assert "always" in preamble
