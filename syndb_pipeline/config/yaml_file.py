"""Reading a YAML file that a person wrote, and saying line by line what is wrong in it.

Belongs here: YAML as text with the line of each key, and pydantic's errors in plain words. Does
not: which keys exist (`settings.py`).
"""

from __future__ import annotations

import json
import os
import re
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, Final, TypeVar, get_args

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    PlainSerializer,
    ValidationError,
    WithJsonSchema,
)
from pydantic_settings import BaseSettings
from ruamel.yaml import YAML
from ruamel.yaml.composer import Composer, ComposerError
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode

from syndb_pipeline.base.errors import ConfigError
from syndb_pipeline.base.irregular_files import irregular
from syndb_pipeline.contract.vocabularies import nearest

Model = TypeVar("Model", bound=BaseModel)
Location = tuple[str | int, ...]
"""Keys, and numbers of list items from 0, that lead to a value."""


_UNITS: Final = {"s": "seconds", "min": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_DURATION: Final = r"([1-9]\d{0,5})\s*(s|min|h|d|w)"


def _duration(value: object) -> timedelta:
    if match := re.fullmatch(_DURATION, str(value).strip()):
        return timedelta(**{_UNITS[match[2]]: int(match[1])})
    raise ValueError(f"{value!r} is no duration; write it like 90min, 36h, 2d or 1w")


def _duration_text(value: timedelta) -> str:
    minutes, seconds = divmod(round(value.total_seconds()), 60)
    return f"{60 * minutes + seconds}s" if seconds else f"{minutes}min"


Duration = Annotated[
    timedelta,
    BeforeValidator(_duration),
    PlainSerializer(_duration_text, when_used="json"),
    WithJsonSchema({"type": "string", "pattern": f"^{_DURATION}$"}, mode="validation"),
]
"""A length of time such as `36h`."""


def as_bytes(value: object) -> int:
    """An amount of memory such as `2GB` or `1500MiB` in bytes. Raises `ValueError`."""
    match = re.fullmatch(
        r"\s*(\d+(?:\.\d+)?)\s*([KMGT]?)(I?)B?\s*", str(value), flags=re.IGNORECASE
    )
    if not match:
        raise ValueError(f"{value!r} is not an amount of memory; write it like 2GB or 1500MiB")
    base = 1024 if match[3] else 1000
    return int(float(match[1]) * base ** " KMGT".index((match[2] or " ").upper()))


class Strict(BaseModel):
    """A mapping of a YAML file: an unknown key is an error, and nothing changes once it is read."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def as_text(value: object) -> object:
    """`value` as text, for settings that Python code makes: a file's values are text already.

    Raises `ValueError` where there is nothing.
    """
    if value is None:
        raise ValueError(
            'there is no value here; write one (the word null itself needs quotes: "null")'
        )
    return str(value) if isinstance(value, int | float) else value


Text = Annotated[str, BeforeValidator(as_text)]

IN_A_LIST, BY_COLUMN = "(list)", "(columns)"
"""The two ways to write a setting; pydantic puts them between the keys of an error's location."""


class Misplaced(ValueError):
    """What a validator finds wrong below the value it was given: (location below it, reason)."""

    def __init__(self, *problems: tuple[Location, str]) -> None:
        super().__init__("; ".join(reason for _, reason in problems))
        self.problems = problems


def suggestion(word: str, known: Any, *, cutoff: float = 0.5) -> str:
    """What to write in place of `word`: the nearest of `known`, or all of them."""
    near = nearest(word, known, 3, cutoff)
    return f"did you mean {', '.join(near)}?" if near else f"allowed: {', '.join(known) or 'none'}"


# Reading

MAX_BYTES: Final = 500_000
"""Of a YAML file. A dataset's has 2 to 20 kB; one that names thousands of columns stays below
200.
"""

MAX_DEPTH: Final = 40
MAX_NODES: Final = 50_000
"""Levels and values of a YAML file, what aliases refer to counted each time.

A dataset's has 6 levels and some hundred values.
"""

_TOO_MANY: Final = f"there are more than {MAX_NODES:,} values here, those of aliases counted"
_KINDS: Final = {"null", "bool", "int", "float", "timestamp", "str", "seq", "map", "merge", "value"}
"""YAML's own tags that are read; any other is refused."""


class _Composer(Composer):
    """YAML's nodes, but no more than a config has: reading on would take long."""

    def __init__(self, loader: Any = None) -> None:
        super().__init__(loader)
        self.nodes = 0
        self.warn_double_anchors = False  # the last one before an alias counts, as YAML has it

    def compose_node(self, parent: Any, index: Any) -> Any:
        self.nodes += 1
        if self.nodes > MAX_NODES:
            raise ComposerError(None, None, _TOO_MANY, self.parser.peek_event().start_mark)
        return super().compose_node(parent, index)


@dataclass
class Document:
    """A YAML file: its content, in which every value is text, None, a list or a dict, and lines.

    What a plain number or `yes` means is for the setting to say: `007`, `3.50` and `no` stay what
    the person typed.
    """

    path: Path
    content: Any = None
    lines: dict[Location, int] = field(default_factory=dict)
    _nodes: int = 0

    def line(self, location: Location) -> int | None:
        """The line of the value at `location`, else of the nearest thing around it."""
        places = (self.lines.get(location[:depth]) for depth in range(len(location), 0, -1))
        return next(filter(None, places), None)

    def wrong(self, node: Node, problem: str) -> ConfigError:
        end = "" if problem.endswith("?") else "."
        return ConfigError(f"{self.path}, {_place(node.start_mark)}: {problem}{end}")

    def value(self, node: Node, location: Location = (), depth: int = 0) -> Any:
        """What `node` holds. Raises `ConfigError` where that is no text, list or mapping."""
        self._nodes += 1
        kind = str(node.tag).removeprefix("tag:yaml.org,2002:")
        if self._nodes > MAX_NODES:
            raise self.wrong(node, _TOO_MANY)
        if depth > MAX_DEPTH:  # also where an alias is within what it refers to
            raise self.wrong(node, _TOO_DEEP)
        if kind not in _KINDS:
            raise self.wrong(node, f"the tag {node.tag} is not read; write the value without a tag")
        if isinstance(node, ScalarNode):
            return None if kind == "null" else self._text(node)
        if isinstance(node, MappingNode):
            return self._mapping(node, location, depth + 1)
        for index, item in enumerate(node.value):
            self.lines.setdefault((*location, index), item.start_mark.line + 1)
        return [self.value(item, (*location, i), depth + 1) for i, item in enumerate(node.value)]

    def _text(self, node: Node) -> str:
        if half := re.search("[\ud800-\udfff]", node.value):
            # JSON writes characters beyond U+FFFF as two such halves; no file can hold one.
            raise self.wrong(
                node,
                f"\\u{ord(half[0]):04x} is half of a character; write the character itself, or \\U "
                "and its eight digits",
            )
        return str(node.value)

    def _mapping(self, node: Node, location: Location, depth: int) -> dict[str, Any]:
        found: dict[str, Any] = {}
        merged: dict[str, Any] = {}
        for key, value in node.value:
            if not isinstance(key, ScalarNode):
                braces = "a key must be a word; is a value in braces not in quotes?"
                raise self.wrong(key, braces)
            if str(key.tag).endswith(":merge"):
                inner = self.value(value, location, depth)
                for each in inner if isinstance(inner, list) else [inner]:
                    if not isinstance(each, dict):
                        raise self.wrong(value, "<< takes a mapping, or a list of them")
                    merged = each | merged
                continue
            name = self._text(key)
            if name in found:
                raise self.wrong(key, f"the key {name!r} is there twice")
            self.lines[(*location, name)] = key.start_mark.line + 1
            found[name] = self.value(value, (*location, name), depth)
        return merged | found


def _place(mark: Any) -> str:
    return f"line {mark.line + 1}, column {mark.column + 1}"


_TOO_DEEP: Final = (
    f"there are more than {MAX_DEPTH} levels here; perhaps an alias is within what it refers to"
)


def read_yaml(path: Path) -> Document:
    """The YAML file at `path`. Raises `ConfigError`, with the line, when it cannot be read."""
    document = Document(path)
    yaml = YAML(typ="safe", pure=True)
    yaml.max_depth, yaml.Composer = MAX_DEPTH, _Composer
    place, advice = "", ""
    try:
        if (what := irregular(path)) is not None:
            reason, advice = f"this is {what}, not a file", "Copy what comes out of it into a file."
        elif (size := path.stat().st_size) > MAX_BYTES:
            reason = f"this file has {size:,} bytes; a config has {MAX_BYTES:,} at most"
            advice = "Give a dataset's YAML; tables stay in files of their own."
        else:
            root = yaml.compose(path.read_text(encoding="utf-8"))
            document.content = None if root is None else document.value(root)
            return document
    except FileNotFoundError:
        reason = "there is no such file"
        advice = "Give the path of a dataset's YAML, or write one with: syndb-pipeline init FOLDER"
    except IsADirectoryError:
        reason = "this is a folder, not a dataset's YAML"
        advice = f"Write a config for it with: syndb-pipeline init {path}"
    except OSError as error:
        reason, advice = f"cannot be read: {error.strerror}", "Check who may read the file."
    except UnicodeDecodeError as error:
        reason, advice = f"byte {error.start} is not UTF-8", "Save the file as UTF-8."
    except MarkedYAMLError as error:
        reason = str(error.problem or "")
        if reason.startswith("maximum depth"):
            reason = _TOO_DEEP
        advice = next((advice for part, advice in _ADVICE.items() if part in reason), "")
        if error.context_mark and "{start}" in advice:
            advice = advice.format(start=error.context_mark.line + 1)
        place = f", {_place(error.problem_mark)}" if error.problem_mark else ""
    except YAMLError as error:  # a control character
        reason = " ".join(str(error).split())
    raise ConfigError(f"{path}{place}: {reason}.", next_step=advice)


_ADVICE: Final = {
    "'\\t'": "Indent with spaces: YAML takes no tabs.",
    "could not find expected ':'": (
        "Write `key: value`, with a space after the colon. What is not complete starts in line"
        " {start}."
    ),
    "mapping values": (
        "Write `key: value`, with a space after each colon; text that holds a colon and a space"
        " goes in quotes."
    ),
    "expected ',' or": (
        "Look for a bracket, brace or quotation mark that is not closed. What is not complete"
        " starts in line {start}."
    ),
}
"""What YAML's reader says -> what to do about the mistakes that people new to YAML make most."""


# Errors of pydantic in words


def validated(document: Document, model: type[Model], content: Any = None) -> Model:
    """`document`, or the part `content` of it, as a `model`.

    Raises `ConfigError` with a line for each wrong key: what was found and what is allowed.
    """
    content = document.content if content is None else content
    try:
        # pydantic-settings adds the environment to arguments only.
        return (
            model(**content) if issubclass(model, BaseSettings) else model.model_validate(content)
        )
    except ValidationError as error:
        lines = [line for item in error.errors() for line in _lines(document, model, item)]
        text = "\n".join(f"  {line}" for line in lines)
        raise ConfigError(f"{document.path} cannot be used:\n{text}") from None


def _lines(document: Document, model: type[BaseModel], item: Any) -> list[str]:
    """One error of pydantic, as a line for each thing that is wrong."""
    location = item["loc"]
    variable = _variable(model, location)
    written = _written(document.content, location, item["type"])
    cause = item.get("ctx", {}).get("error")
    problems = cause.problems if isinstance(cause, Misplaced) else [((), "")]
    lines = []
    for below, reason in problems:
        key = ".".join(map(str, (*written, *below))) or "(the whole file)"
        line = document.line((*written, *below))
        where = f"line {line}: {key}" if line else key
        if variable:
            where = f"the environment variable {variable}"
        lines.append(f"{where}: {reason or _reason(model, location, item)}")
    return lines


def _reason(model: type[BaseModel], location: tuple[Any, ...], item: Any) -> str:
    kind, found, given = item["type"], item.get("input"), item.get("ctx", {})
    last = str(location[-1]) if location else ""
    first, *below = last.split(".")
    if below and first in {*model.model_fields, *_allowed_keys(model, location)}:
        # Findings write keys so, and they are easily pasted as they are.
        text = json.dumps(found, ensure_ascii=False)
        for key in reversed(below):
            text = f"{{{key}: {text}}}"
        return f"dots mean levels; write it as {first}: {text}"
    if kind == "missing":
        return "this key is missing"
    if kind == "value_error":
        return str(given["error"])
    if kind == "extra_forbidden":
        return f"there is no such key; {suggestion(last, _allowed_keys(model, location))}"
    if kind in ("model_type", "model_attributes_type", "dict_type"):
        allowed = _allowed_keys(model, (*location, ""))
        example = f", e.g. {{file: {found}}}" if "file" in allowed and found else ""
        keys = ", ".join(allowed)
        return f"found {shown(found)}; expected keys below it{example}; allowed: {keys}"
    if isinstance(found, str) and ("too_long" in kind or "too_short" in kind):
        most, least = (given.get(f"{end}_length") for end in ("max", "min"))
        limit = f"at least {least}" if most is None else f"at most {most}"
        return f"found {shown(found)}, {len(found)} characters; allowed are {limit}"
    reason = _EXPECTED.get(kind) or f"{item['msg'][0].lower()}{item['msg'][1:]}"
    return f"found {shown(found)}; {reason}"


_EXPECTED: Final = dict.fromkeys(
    ("date_from_datetime_parsing", "date_parsing", "date_type"),
    "expected a day like 2026-01-31",
) | {
    "list_type": "expected a list, e.g. [...]",
    "bool_type": "write true or false",
    "string_type": "write a text",
}
"""Kinds of pydantic's errors whose words are for programmers -> words for people."""


def _written(content: Any, location: tuple[Any, ...], kind: str) -> Location:
    """`location` as the file has it: without the kinds that pydantic puts between the keys."""
    written: list[str | int] = []
    for part in location:
        inside = isinstance(content, list) and isinstance(part, int)
        if inside or (isinstance(content, dict) and part in content):
            content = content[part]
        elif not (kind == "missing" and part == location[-1]):
            continue
        written.append(part)
    return tuple(written) or location


def _variable(model: type[BaseModel], location: tuple[Any, ...]) -> str | None:
    """The environment variable that set what `location` points to: the file is not to blame."""
    if not issubclass(model, BaseSettings):
        return None
    prefix = model.model_config.get("env_prefix", "")
    found = []
    for name in os.environ:
        if name.upper().startswith(prefix):
            parts = iter(str(part).upper() for part in location)
            keys = name[len(prefix) :].upper().split("__")
            found += [name] if all(key in parts for key in keys) else []
    return max(found, key=len, default=None)


def _models_in(annotation: Any) -> list[type[BaseModel]]:
    """The models inside an annotation such as `dict[str, TableConfig]` or `Terms | None`."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for part in get_args(annotation) for model in _models_in(part)]


def _allowed_keys(model: type[BaseModel], location: tuple[Any, ...]) -> list[str]:
    """The keys that may be where `location` (a pydantic error's path from `model`) points."""
    models = [model]
    for part in location[:-1]:
        fields = [each.model_fields[part] for each in models if part in each.model_fields]
        inner = [found for each in fields for found in _models_in(each.annotation)]
        of_kind = [each for each in models if part in _kinds(each)]
        models = inner or of_kind or models  # a table's name leads nowhere deeper
    return list(dict.fromkeys(key for each in models for key in each.model_fields))


def _kinds(model: type[BaseModel]) -> tuple[Any, ...]:
    """The values of a model's key `kind`, which says which of several models is meant."""
    kind = model.model_fields.get("kind")
    return get_args(kind.annotation) if kind else ()


def shown(found: object) -> str:
    """A value of a YAML file in words."""
    if found is None:
        return "nothing"
    if isinstance(found, dict | list):
        return "keys and values" if isinstance(found, dict) else "a list"
    number = isinstance(found, str) and re.fullmatch(r"[-+]?\d*\.?\d+", found)
    text = repr(found) if isinstance(found, str) and not number else str(found)
    return text if len(text) <= 80 else text[:77] + "..."
