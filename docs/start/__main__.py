"""`python -m docs.start`: install into an empty folder, go every way, and write docs/start.md.

Belongs here: putting the page together. Does not: its words (`start.md.j2`) or the commands
(`ways.py`).
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from docs.start.ways import CHECKOUT, INSTALL, SCRIPT, WAYS, Unexpected, empty_shell

HERE: Final = Path(__file__).parent
PAGE: Final = HERE.parent / "start.md"


def page(printed: Mapping[str, str]) -> str:
    """The text of docs/start.md."""
    environment = Environment(
        loader=FileSystemLoader(HERE),
        undefined=StrictUndefined,
        keep_trailing_newline=True,
        autoescape=False,
    )
    template = environment.get_template("start.md.j2")
    return template.render(checkout=CHECKOUT, script=SCRIPT, **printed)


def main() -> int:
    printed, checkout = {}, HERE.parents[1]
    try:
        with tempfile.TemporaryDirectory() as folder:
            first = empty_shell(Path(folder) / "first", checkout)
            printed["install"] = "\n".join(first.run(command) for command in INSTALL)
            for name, commands in WAYS.items():
                # Another home is another state: each way begins with nothing but what is installed.
                shell = empty_shell(Path(folder) / name, checkout, first.environment)
                (shell.folder / "first.py").write_text(SCRIPT)
                printed[name] = "\n".join(shell.run(command) for command in commands)
                sys.stdout.write(f"{name}: {len(INSTALL) + len(commands)} commands\n")
                sys.stdout.flush()
    except Unexpected as error:
        sys.stderr.write(f"A way is not as it was: {error}\n")
        return 1
    PAGE.write_text(page(printed), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
