"""Descriptions of a dataset's files that repositories, catalogues and readers of data understand.

Belongs here: what is known of a dataset (`described.py`), and writing it in the six `forms/`. Does
not: the files themselves, or where they are kept.

A form is a template of JSON whose expressions give JSON too. Lists end with null: what is null or
empty is not known, and goes.
"""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from syndb_pipeline import __version__
from syndb_pipeline.manifests.described import Described, FileFolder, TableFile, meaning

_FORMS: Final = Environment(
    loader=FileSystemLoader(Path(__file__).parent / "forms", encoding="utf-8"),
    finalize=lambda value: json.dumps(value, ensure_ascii=False, default=str),
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


def render(
    described: Described, tables: Sequence[TableFile], folders: Sequence[FileFolder] = ()
) -> dict[str, str]:
    """The manifests of a folder, as texts by their names in it.

    Args:
        described: The dataset.
        tables: The files of its tables.
        folders: Its folders of meshes and skeletons.
    """
    known = {
        "described": described,
        "more": described.more,
        "tables": tables,
        "folders": folders,
        "names": [table.table for table in tables],
        "measured": {c.name: c for each in tables for c in each.columns if c.unit}.values(),
        "meaning": meaning,
        "version": __version__,
        "crate": False,
    }
    texts = {}
    for form in _FORMS.list_templates(filter_func=lambda name: name.count(".") > 1):
        content = json.loads(_FORMS.get_template(form).render(known))
        texts[form.removesuffix(".jinja")] = _written(form, content)
    return texts


def _written(form: str, content: Any) -> str:
    content = _known(content)
    if not form.startswith("CITATION"):
        return json.dumps(content, indent=1, ensure_ascii=False) + "\n"
    from ruamel.yaml import YAML

    text, yaml = io.StringIO(), YAML()
    yaml.allow_unicode, yaml.width = True, 100
    yaml.dump(content, text)
    return text.getvalue()


def _known(content: Any) -> Any:
    """`content` without what is null or empty in it."""
    nothing: tuple[Any, ...] = (None, "", [], {})
    if isinstance(content, dict):
        pairs = ((name, _known(value)) for name, value in content.items())
        return {name: value for name, value in pairs if value not in nothing}
    if isinstance(content, list):
        return [value for value in map(_known, content) if value not in nothing]
    return content
