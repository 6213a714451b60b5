"""The rooms of the package as data, from its import graph, and as the picture in `architecture.md`.

Belongs here: reading imports, the ordered list of rooms, drawing. Does not: holding the graph to the
list (`tests/unit/test_layers.py`). Run it with `make architecture`.
"""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import Final
from xml.sax.saxutils import escape

ROOT: Final = Path(__file__).resolve().parents[1]
PACKAGE: Final = ROOT / "syndb_pipeline"
PICTURE: Final = ROOT / "docs" / "pictures" / "rooms.svg"

ROOMS: Final = (
    "base",
    "contract",
    "rules",
    "config",
    "state",
    "manifests",
    "readers",
    "checks",
    "quarantine",
    "stages",
    "destinations",
    "publishing",
    "report",
    "corrections",
    "scaffold",
    "demo",
    "sandbox",
    "api",
    "orchestration",
    "cli",
)
"""The rooms, bottom first: an import may only point down this list."""

_ROW, _LEFT, _MATRIX, _DOT = 26, 16, 660, 24
_WORDS: Final = 74
"""Characters of a room's first line that fit beside the dots."""
_STYLE: Final = """
text { font: 13px system-ui, sans-serif; fill: #24292f } .room { font-weight: 600 }
.line { stroke: #d0d7de } .dot { fill: #0969da } .own { fill: #d0d7de }
@media (prefers-color-scheme: dark) { text { fill: #e6edf3 } .line, .own { stroke: #30363d }
  .own { fill: #30363d } .dot { fill: #58a6ff } }
"""


def modules() -> list[Path]:
    """Every module of the package, in order of its path."""
    return sorted(PACKAGE.rglob("*.py"))


def name_of(path: Path) -> str:
    """The dotted name of a module, as `import` takes it."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports_of(path: Path) -> set[str]:
    """Every module that `path` imports anywhere, inside functions and for types only as well."""
    found: set[str] = set()
    name = name_of(path).split(".")
    package = name if path.name == "__init__.py" else name[:-1]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            found |= {f"{base}.{alias.name}" for alias in node.names} | {base}
    return found


def room_of(module: str) -> str:
    """The room of a module: the folder below the package; "" for the package itself."""
    return [*module.split("."), ""][1]


def arrows() -> dict[tuple[str, str], list[str]]:
    """(room, room that it imports from) -> the imports, as "module -> module"."""
    known = {name_of(path) for path in modules()}
    found: dict[tuple[str, str], list[str]] = {}
    for path in modules():
        here = name_of(path)
        for name in sorted(imports_of(path) & known):
            if room_of(name) and room_of(here) != room_of(name):
                found.setdefault((room_of(here), room_of(name)), []).append(f"{here} -> {name}")
    return found


def picture() -> str:
    """An SVG: a row for each room, top first, with what belongs there and a dot for each room that
    it imports from. As no arrow points up, no dot lies to the left of the diagonal.
    """
    rooms = [room for room in reversed(ROOMS) if (PACKAGE / room).is_dir()]
    pairs = arrows()
    height = (len(rooms) + 5) * _ROW + 20
    width = _MATRIX + len(rooms) * _DOT + 20
    head = 5 * _ROW
    parts = []
    for row, room in enumerate(rooms):
        y = head + row * _ROW
        x = _MATRIX + row * _DOT
        docstring = ast.get_docstring(
            ast.parse((PACKAGE / room / "__init__.py").read_text("utf-8"))
        )
        summary = " ".join((docstring or "").split("\n\n")[0].split())
        if len(summary) > _WORDS:
            summary = max(re.findall(r"^.{20,73}?(?=[,:;] )|^.{20,73}(?=[,:;] )", summary), key=len)
        parts.append(
            f'<line class="line" x1="{_LEFT}" x2="{width - 20}" y1="{y + 8}" y2="{y + 8}"/>'
            f'<text class="room" x="{_LEFT}" y="{y}">{room}</text>'
            f'<text x="{_LEFT + 105}" y="{y}">{escape(summary)}</text>'
            f'<text class="room" transform="translate({x + 4},{head - 24}) rotate(-60)">{room}</text>'
            f'<rect class="own" x="{x - 6}" y="{y - 10}" width="12" height="12" rx="3"/>'
        )
        for column, other in enumerate(rooms):
            if (room, other) in pairs:
                parts.append(
                    f'<circle class="dot" cx="{_MATRIX + column * _DOT}" cy="{y - 4}" r="5">'
                    f"<title>{room} imports from {other}</title></circle>"
                )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}"'
        f' height="{height}" role="img">\n<title>The rooms of syndb_pipeline and which of them each'
        f" imports from</title>\n<style>{_STYLE}</style>\n" + "\n".join(parts) + "\n</svg>\n"
    )


if __name__ == "__main__":
    PICTURE.write_text(picture(), encoding="utf-8")
