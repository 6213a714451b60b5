"""`python -m docs.tutorial`: walk, photograph, and write docs/tutorial.md. SYNDB_ACCEPTANCE_DATA
names the folder of real tables.

Belongs here: putting the page together. Does not: its words (`tutorial.md.j2`) or the steps
(`labs.py`).
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path
from typing import Final

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from docs.tutorial.labs import WALKS
from docs.tutorial.pictures import Camera
from docs.tutorial.walk import Unexpected, Walk
from tests.acceptance.conftest import VARIABLE
from tests.command_line import Lab

HERE: Final = Path(__file__).parent
PAGE: Final = HERE.parent / "tutorial.md"
PICTURES: Final = HERE.parent / "pictures"


def page(walks: dict[str, Walk]) -> str:
    """The text of docs/tutorial.md."""
    environment = Environment(
        loader=FileSystemLoader(HERE),
        undefined=StrictUndefined,
        keep_trailing_newline=True,
        autoescape=False,
    )
    return environment.get_template("tutorial.md.j2").render(walks)


def main() -> int:
    named = os.environ.get(VARIABLE, "")
    if not named or not Path(named).is_dir():
        sys.stderr.write(
            f"{VARIABLE} must name the folder of real tables that other labs measured.\n"
        )
        return 2
    data = Path(named).resolve()
    try:
        with tempfile.TemporaryDirectory() as folder, Camera(PICTURES) as camera:
            lab = Lab(Path(folder))
            walks = {}
            for name, walk in WALKS.items():
                walks[name] = walk(data, lab, camera)
                sys.stdout.write(f"{name}: {len(walks[name].steps)} steps, as expected\n")
            PAGE.write_text(page(walks), encoding="utf-8")
    except Unexpected as error:
        sys.stderr.write(f"The tutorial's way is not as it was: {error}\n")
        return 1
    sys.stdout.write(
        f"Wrote {PAGE.relative_to(Path.cwd()) if PAGE.is_relative_to(Path.cwd()) else PAGE}. Look at the pictures.\n"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
