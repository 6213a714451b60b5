"""What the documentation site has beyond the pages of `docs/`: a hook of mkdocs.

Belongs here: pages made from the README, the settings, the command line and the code while the site
is built, and links that leave `docs/`. Does not: text of its own.
"""

from __future__ import annotations

import json
import posixpath
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

import syndb_pipeline
from syndb_pipeline import orchestration
from syndb_pipeline.config.json_schema import schema_text
from syndb_pipeline.contract.schema import data_dictionary
from syndb_pipeline.contract.tables import TABLE_ORDER
from syndb_pipeline.destinations import Settings

ROOT: Final = Path(__file__).parents[1]
_MOVED: Final = {"README.md": "index.md", "CHANGELOG.md": "changes.md"}
"""Pages of the repository's root, and where they are on the site."""

_LINK = re.compile(r"(?<=\]\()(?!#|\w+:)([^)#\s]*)(#[^)\s]*)?(?=\))")
_NAMED = re.compile(r"\[([^\]]+)\]\((?!\w+:)([^)#\s]+)\)")
_BLOCK = re.compile(r"^(```+).*?^\1`*$", re.MULTILINE | re.DOTALL)
_CODE = re.compile(_BLOCK.pattern + r"|`[^`\n]+`", re.MULTILINE | re.DOTALL)


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Give the pages that the navigation does not name a place at its end."""
    named = re.findall(r"[\w/.-]+\.md", json.dumps(config.nav))
    more = sorted(
        path.name for path in Path(config.docs_dir).glob("*.md") if path.name not in named
    )
    if more:
        config.nav = [*(config.nav or []), {"More": more}]
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that are made now, and files of the repository that pages link to."""
    made = {
        **{there: (ROOT / here).read_text("utf-8") for here, there in _MOVED.items()},
        "reference/tables.md": data_dictionary(),
        "reference/dataset.md": _settings_page("A dataset's YAML", "dataset"),
        "reference/pipeline.md": _settings_page("pipeline.yaml", "pipeline"),
        "reference/cli.md": _command_line(),
        "reference/python.md": _python(),
    }
    pages = [*files.documentation_pages()]
    for name, text in made.items():
        files.append(File.generated(config, name, content=text))
    origins = [(page.src_uri, page.content_string) for page in pages]
    origins += [(here, made[there]) for here, there in _MOVED.items()]
    linked = {path for origin, text in origins for path in _linked(origin, text)}
    for path in sorted(linked):
        files.append(File.generated(config, f"files/{path}", abs_src_path=str(ROOT / path)))
    return files


def on_page_markdown(markdown: str, page: Page, **_: object) -> str:
    """Lead links that leave `docs/` to where the site has their target. Of a folder only the name
    stays.
    """
    origin = _origin(page.file.src_uri)

    def named(link: re.Match[str]) -> str:
        return link[1] if (ROOT / _target(origin, link[2])).is_dir() else link[0]

    def led(link: re.Match[str]) -> str:
        target = _target(origin, link[1])
        there = _on_site(target)
        folder = posixpath.dirname(page.file.src_uri)
        return posixpath.relpath(there, folder or ".") + (link[2] or "") if there else link[0]

    without_folders = _outside(_BLOCK, _coloured(markdown), lambda text: _NAMED.sub(named, text))
    return _outside(_CODE, without_folders, lambda text: _LINK.sub(led, text))


def on_page_content(html: str, page: Page, **_: object) -> str:
    """Let the contents of the findings be the codes: below each the headings are the same."""
    if page.file.src_uri == "findings.md":
        for title in page.toc:
            for section in title.children:
                section.children.clear()
    return html


def _coloured(markdown: str) -> str:
    """Commands without a prompt before them are shown as a shell's, or all would be grey."""
    blocks = re.compile(r"^```console\n(?!\$ |.*\n\$ )", re.MULTILINE)
    return blocks.sub("```shell\n", markdown)


def _origin(name: str) -> str:
    """Where the page `name` of the site is in the repository."""
    here = {there: here for here, there in _MOVED.items()}
    return here.get(name, f"docs/{name}")


def _target(origin: str, link: str) -> str:
    return posixpath.normpath(posixpath.join(posixpath.dirname(origin), link))


def _on_site(target: str) -> str | None:
    """Where the site has `target`, a path in the repository; None where links need no change."""
    if target in _MOVED:
        return _MOVED[target]
    inside = target.removeprefix("docs/")
    if inside != target and Path(target).suffix not in (".py", ".j2", ".ipynb"):
        return inside
    return f"files/{target}" if (ROOT / target).is_file() else None


def _linked(name: str, text: str) -> Iterator[str]:
    """Files of the repository, none of them a page, that the page `name` of `docs/` links to."""
    origin = name if name in _MOVED else f"docs/{name}"
    for link in _LINK.finditer(_CODE.sub("", text)):
        there = _on_site(_target(origin, link[1]))
        if there and there.startswith("files/"):
            yield there.removeprefix("files/")


def _outside(code: re.Pattern[str], markdown: str, change: Any) -> str:
    """`markdown` with `change` made to what `code` does not match."""
    made, at = [], 0
    for found in code.finditer(markdown):
        made += [change(markdown[at : found.start()]), found[0]]
        at = found.end()
    return "".join([*made, change(markdown[at:])])


def _command_line() -> str:
    command = [sys.executable, "-m", "typer", "syndb_pipeline.cli.main", "utils", "docs"]
    text = subprocess.run(
        [*command, "--name", "syndb-pipeline", "--title", "Command line"],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    return re.sub(r"\*\*Commands\*\*:\n\n(\* .*\n)+\n", "", text)


def _python() -> str:
    """The names that others import, each from the module it is in."""
    lines = ["# Python"]
    for package in (syndb_pipeline, orchestration):
        lines.append(f"## {package.__name__}")
        for name in sorted(package.__all__, key=lambda name: (name[0].isupper(), name)):
            lines.append(f"::: {getattr(package, name).__module__}.{name}")
    return "\n\n".join(lines) + "\n"


# A config's keys, from its JSON Schema

_TABLE: Final = "tables.<table>"
_MANY: Final = 8
"""Words that a page still lists; of more it gives the first ones."""


def _settings_page(title: str, which: str) -> str:
    """Every key of a config: a table for its top, and for each part in the order of its keys."""
    schema = json.loads(schema_text(which, Settings))
    parts: dict[str, str] = {}
    models = schema.get("$defs", {})
    waiting = [("", schema)]
    lines = [f"# {title}", ""]
    while waiting:
        path, model = waiting.pop(0)
        if path:
            lines += ["", f"## `{path}` {{: #{_anchor(path)} }}", ""]
        lines += [_sentence(model), ""]
        inner: list[tuple[str, Any]] = []
        for key, field in model.get("properties", {}).items():
            for name in _parts_of(field):
                # Those of the eleven tables differ by the names of their columns alone.
                place = _TABLE if name in TABLE_ORDER else f"{path}.{key}".lstrip(".")
                if place not in parts.values():
                    kinds = models[name].get("properties", {}).get("kind", {})
                    words = kinds.get("const") or "/".join(kinds.get("enum", ()))
                    place += f" ({words})" if words else ""
                    inner.append((place, models[name]))
                parts[name] = place
        lines += _keys(model, parts, models)
        waiting = [*inner, *waiting]
    return "\n".join(lines) + "\n"


def _anchor(path: str) -> str:
    return re.sub(r"\W+", "-", path).strip("-").lower()


def _sentence(field: Mapping[str, Any]) -> str:
    text = " ".join(field.get("description", "").split())
    return text.replace("|", "\\|").replace("<", "&lt;")


def _parts_of(field: Any) -> Iterator[str]:
    """Names of the models that a key may hold."""
    if isinstance(field, dict):
        if "$ref" in field:
            yield field["$ref"].rpartition("/")[2]
        for key, value in field.items():
            if key not in ("discriminator", "default"):
                yield from _parts_of(value)
    elif isinstance(field, list):
        for value in field:
            yield from _parts_of(value)


def _keys(
    model: Mapping[str, Any], parts: Mapping[str, str], models: Mapping[str, Any]
) -> list[str]:
    rows = ["| key | what for | is | when left out |", "|---|---|---|---|"]
    for key, field in model.get("properties", {}).items():
        default = field.get("default")
        if key in model.get("required", ()):
            shown = "required"
        elif default in (None, "", [], {}) or isinstance(default, dict):
            shown = ""
        else:
            shown = _code(default)
        inner = [] if field.get("description") else [*_parts_of(field)]
        purpose = _sentence(models[inner[0]] if len(inner) == 1 else field)
        rows.append(f"| `{key}` | {purpose} | {_kind(field, parts)} | {shown} |")
    return rows


def _code(value: object) -> str:
    return f"`{value if isinstance(value, str) else json.dumps(value)}`"


def _kind(field: Mapping[str, Any], parts: Mapping[str, str]) -> str:
    """What a key may be, in a few words."""
    if "$ref" in field:
        part = parts[field["$ref"].rpartition("/")[2]]
        return f"[{part.replace('<', '&lt;')}](#{_anchor(part)})"
    if "const" in field:
        return _code(field["const"])
    if "enum" in field:
        words = [_code(word) for word in field["enum"][:_MANY]]
        return ", ".join(words) + (", ..." if len(field["enum"]) > _MANY else "")
    options = field.get("anyOf", field.get("oneOf"))
    if options:
        kinds = (_kind(each, parts) for each in options if each.get("type") != "null")
        return " or ".join(dict.fromkeys(kinds))
    kind = field.get("type", "")
    if kind == "array":
        return f"list of {_kind(field['items'], parts)}" if field.get("items") else "list"
    if kind == "object":
        values = field.get("additionalProperties")
        named = [*field.get("properties", {}).values()]
        inner = values if isinstance(values, dict) and values else named[0] if named else None
        return f"name: {_kind(inner, parts)}" if inner else "mapping"
    names = {"string": "text", "integer": "number", "boolean": "true or false"}
    kinds = kind if isinstance(kind, list) else [kind]
    return " or ".join(dict.fromkeys(names.get(each, each) for each in kinds if each != "null"))
