"""Text that others wrote, shown so that it can do nothing to a terminal and hide nothing from a
person.

Belongs here: escaping what does not show. Does not: cutting, colours, HTML.
"""

from __future__ import annotations

import re
from typing import Final

_HIDDEN: Final = re.compile(
    "[\x00-\x1f\x7f-\xa0\u00ad\u0600-\u0605\u061c\u180e\u2000-\u200f\u2028-\u202f\u205f-\u206f\ufeff\ufff9-\ufffb\ud800-\udfff]"
)


def visible(text: str) -> str:
    """`text` with control characters, marks that turn the direction of writing, and all else that
    does not show, as escapes.

    Line ends stay. An escape sequence that would colour, move or retitle a terminal becomes its
    letters.
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(
        c if c.isprintable() or c == "\n" else c.encode("unicode_escape").decode("ascii")
        for c in text
    )


def visible_json(text: str) -> str:
    r"""JSON text with the same characters as `\u` escapes: what it means stays the same."""
    return _HIDDEN.sub(
        lambda found: found[0] if found[0] in "\n " else f"\\u{ord(found[0]):04x}", text
    )
