"""Pointing a dataset's YAML at other files, its comments and order staying as a person wrote them.

Belongs here: the exact edit of `tables.<table>.file`. Does not: which files (`apply.py`).
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import yaml

from syndb_pipeline.base.errors import ConfigError
from syndb_pipeline.state.store import write_atomically

_PLAIN: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_./-]*[A-Za-z0-9_]")


def edited(path: Path, files: Mapping[str, str]) -> str:
    """The text of the YAML at `path` with other values of `tables.<table>.file`, by table.

    Raises `ConfigError` when a value does not stand there once and by itself, e.g. behind an
    anchor.
    """
    text = path.read_bytes().decode()  # line ends stay what they are
    scalars = _scalars(text)
    spans = []
    for table, file in files.items():
        node = scalars.get(table)
        if node is None or sum(other is node for other in scalars.values()) > 1:
            raise ConfigError(
                f"{path}: tables.{table}.file does not stand there by itself, so it cannot be"
                " changed for you.",
                next_step=(
                    f"Write `file:` out below {table}, without anchor or merge key, and give the"
                    " same command again."
                ),
            )
        spans.append((node.start_mark.index, node.end_mark.index, _word(file)))
    changed = text
    for start, end, word in sorted(spans, reverse=True):
        changed = changed[:start] + word + changed[end:]
    wanted = yaml.safe_load(text)
    for table, file in files.items():
        wanted["tables"][table]["file"] = file
    try:
        same = yaml.safe_load(changed) == wanted
    except yaml.YAMLError:
        same = False
    if not same:
        listed = ", ".join(f"tables.{table}.file: {_word(file)}" for table, file in files.items())
        raise ConfigError(
            f"{path} is written in a way that cannot be edited for you.",
            next_step=f"Write each `file` on one line ({listed}).",
        )
    return changed


def replace(path: Path, text: str, number: int) -> Path:
    """Keep the YAML at `path` beside it and put `text` in its place. Returns where the old one is;
    it replaces no file.
    """
    while True:
        kept = path.with_name(f"{path.name}.before-corrected-{number}")
        try:
            os.link(path, kept)
            break
        except FileExistsError:
            number += 1
        except OSError:  # a file system without links
            if not kept.exists():
                write_atomically(kept, path.read_bytes().decode())
                break
            number += 1
    write_atomically(path, text, mode=path.stat().st_mode & 0o777)
    return kept


def _scalars(text: str) -> dict[str, Any]:
    """Table -> the node of its `file`, where there is one of its own."""
    root = yaml.compose(text, Loader=yaml.SafeLoader)
    tables = _child(root, "tables")
    found = {}
    for key, value in tables.value if isinstance(tables, yaml.MappingNode) else ():
        node = _child(value, "file")
        if isinstance(node, yaml.ScalarNode):
            found[str(key.value)] = node
    return found


def _child(node: Any, name: str) -> Any:
    if not isinstance(node, yaml.MappingNode):
        return None
    return next((value for key, value in node.value if key.value == name), None)


def _word(text: str) -> str:
    """`text` as a YAML scalar that reads as this text."""
    if _PLAIN.fullmatch(text) and yaml.safe_load(text) == text:
        return text
    return json.dumps(text, ensure_ascii=False)
