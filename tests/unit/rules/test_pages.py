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
from syndb_pipeline.rules.catalogue import GROUPS, HEADINGS, PAGES, RULES, document, page_markdown
from tests.ingest_helpers import DATASET

ROOT = Path(__file__).resolve().parents[3]
CODE = re.compile(r"SYN-[A-Z]+-\d+")


def configs(text: str) -> list[str]:
    """What stands in the yaml blocks of a Markdown text."""
    return re.findall(r"^```yaml\n(.*?)^```$", text, flags=re.MULTILINE | re.DOTALL)


def test_every_rule_has_a_page_and_every_page_a_rule() -> None:
    assert sorted(path.name for path in PAGES.iterdir()) == sorted(f"{code}.md" for code in RULES)


@pytest.mark.parametrize("code", RULES)
def test_a_page_has_its_sections_in_order(code: str) -> None:
    page, text = RULES[code], RULES[code].page
    assert tuple(page.sections) == HEADINGS
    assert text.startswith(f"## {HEADINGS[0]}\n")
    assert all(
        len(body.split()) > 3 for heading, body in page.sections.items() if heading != "Related"
    )
    assert not re.search(r"^# ", text, flags=re.MULTILINE)
    assert text.count("```") % 2 == 0
    assert page.related
    assert len(set(page.related)) == len(page.related)
    assert set(page.related) <= set(RULES) - {code}


@pytest.mark.parametrize("code", RULES)
def test_a_page_names_only_rules_there_are(code: str) -> None:
    assert set(CODE.findall(RULES[code].page)) <= set(RULES)


@pytest.mark.parametrize("code", RULES)
def test_the_config_of_a_page_is_config(code: str) -> None:
    for block in configs(RULES[code].page):
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
            content | {"dataset": DATASET | content.get("dataset", {}), "tables": tables}
        )


@pytest.mark.parametrize("code", [code for code, rule in RULES.items() if rule.fixed])
def test_no_page_offers_to_soften_a_rule_that_is_fixed(code: str) -> None:
    assert not any("rules:" in block for block in configs(RULES[code].page))


@pytest.mark.parametrize("code", RULES)
def test_a_page_leads_nowhere_else(code: str) -> None:
    text = RULES[code].page
    assert not re.search(r"/(home|root|work|tmp|Users|mnt|usr|var)/|[A-Z]:\\", text)
    assert {host.lower() for host in re.findall(r"(?:https?|ftp|file)://([^\s/)>`]*)", text)} <= {
        "syndb.xyz"
    }
    assert not re.search(r"[\w.]+@[\w.]+\.\w|www\.", text)


@pytest.mark.parametrize("code", RULES)
def test_a_page_fits_a_terminal(code: str) -> None:
    prose = re.sub(r"^```.*?^```$", "", RULES[code].page, flags=re.MULTILINE | re.DOTALL)
    assert max(len(line) for line in prose.splitlines()) <= 80


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
        "write it anew with: make docs"
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
        {"dataset": DATASET, "tables": {"neuron": {"file": "neuron.csv"}}} | yaml.safe_load(block)
    )
    assert config.rules["SYN-VOC-001"] == "error"
    assert "always" in preamble
