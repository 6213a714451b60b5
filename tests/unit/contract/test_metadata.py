"""Which characters a dataset's words may have; the config's use of it is tested in
`tests/unit/test_settings.py`.
"""

from __future__ import annotations

import pytest

from syndb_pipeline.contract.metadata import printable, printable_lines


@pytest.mark.parametrize(
    "text", ["", " ", "plain", "Zürich 脳 \U0001f9e0", "'\"\\/<>&", "\u200b\u202e\u2028"]
)
def test_printable_text_is_given_back_as_it_is(text: str) -> None:
    assert printable(text) == text
    assert printable_lines(f"{text}\n\t{text}\r\n") == f"{text}\n\t{text}\r\n"


@pytest.mark.parametrize("character", ["\0", "\x07", "\x1b", "\x1f", "\x7f", "\x85", "\x9f"])
def test_a_control_character_is_refused_with_its_place(character: str) -> None:
    for check in (printable, printable_lines):
        with pytest.raises(ValueError, match="in place 3; remove it") as caught:
            check(f"ab{character}")
        assert character not in str(caught.value)


@pytest.mark.parametrize("character", ["\n", "\r", "\t"])
def test_one_line_is_one_line(character: str) -> None:
    with pytest.raises(ValueError, match="in place 2"):
        printable(f"a{character}b")


def test_a_long_text_is_told_by_its_beginning() -> None:
    with pytest.raises(
        ValueError, match=r"^'x{57}\.\.\.' has a control character, '\\x00', in place 100001"
    ):
        printable("x" * 100_000 + "\0")
