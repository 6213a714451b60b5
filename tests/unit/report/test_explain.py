"""`syndb-pipeline explain`: a page at a terminal, a page in a pipe, and the list of all rules."""

from __future__ import annotations

import io

import pytest
from rich.console import Console
from rich.text import Text

from syndb_pipeline.base.errors import ConfigError, Exit
from syndb_pipeline.report.terminal import WIDTH, explain
from syndb_pipeline.rules.catalogue import HEADINGS, RULES


def printed(code: str | None, *, terminal: bool = False, width: int = 80) -> str:
    out = io.StringIO()
    explain(
        Console(
            file=out,
            width=width,
            force_terminal=terminal,
            highlight=False,
            color_system="standard" if terminal else None,
        ),
        code,
    )
    return out.getvalue()


def shown(text: str) -> list[str]:
    """What a person sees of a terminal's lines."""
    return [line.rstrip() for line in Text.from_ansi(text).plain.splitlines()]


def test_a_page_in_a_pipe_is_plain_text() -> None:
    for code, rule in RULES.items():
        text = printed(code)
        lines = text.splitlines()
        assert lines[0] == f"{code}: {rule.title}"
        assert [line for line in lines if line in HEADINGS] == list(HEADINGS)
        assert "```" not in text and "\x1b" not in text
        assert not any(line.startswith("#") for line in lines)


@pytest.mark.parametrize("width", [60, 200])
def test_a_page_at_a_terminal_fits_it(width: int) -> None:
    for code in list(RULES)[::4]:
        text = printed(code, terminal=True, width=width)
        assert "\x1b[" in text
        lines = shown(text)
        assert max(map(len, lines)) <= min(width, WIDTH), code
        assert f"{code}: {RULES[code].title}" in " ".join(" ".join(lines).split())


def test_config_lines_stay_as_they_are_to_be_pasted() -> None:
    lines = printed("SYN-REL-006").splitlines()
    at = lines.index("    tables:")
    assert lines[at : at + 3] == [
        "    tables:",
        "      neuron_relation:",
        "        combine: {connection_score: sum}",
    ]


def test_a_code_may_be_typed_in_small_letters() -> None:
    assert printed(" syn-id-002") == printed("SYN-ID-002")


@pytest.mark.parametrize("terminal", [True, False])
def test_the_list_has_every_rule_in_a_line(terminal: bool) -> None:
    text = printed(None, terminal=terminal)
    assert ("\x1b" in text) is terminal
    lines = shown(text)
    assert max(map(len, lines)) <= 80
    rules = [line for line in lines if line.startswith("SYN-")]
    assert [line.split()[0] for line in rules] == list(RULES)
    for line, rule in zip(rules, RULES.values(), strict=True):
        assert line.endswith(f"  {rule.title}")
        assert f"  {rule.severity}{', always' if rule.fixed else ''}  " in line
    assert lines[-1] == "The page of one of them: syndb-pipeline explain CODE"


@pytest.mark.parametrize(
    ("code", "near"),
    [("SYN-ID-02", "SYN-ID-002"), ("ID-003", "SYN-ID-003"), ("hello?", "All codes: ")],
)
def test_an_unknown_code_is_answered_with_near_ones(code: str, near: str) -> None:
    with pytest.raises(ConfigError) as caught:
        printed(code)
    assert caught.value.exit is Exit.USAGE
    assert repr(code) in caught.value.message
    assert near in caught.value.next_step
    assert caught.value.next_step.endswith("syndb-pipeline explain")
