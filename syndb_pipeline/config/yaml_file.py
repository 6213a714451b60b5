"""Reading a YAML file that a person wrote, and saying what is wrong in it.

Belongs here: YAML with line numbers, text as it was typed, pydantic's errors in plain words. Does
not: which keys exist (`settings.py`).
"""

from __future__ import annotations

import os
import re
from datetime import date
from pathlib import Path
from typing import Annotated, Any, get_args

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, ValidationError
from pydantic_settings import BaseSettings

from syndb_pipeline.base.errors import ConfigError
from syndb_pipeline.base.irregular_files import irregular
from syndb_pipeline.contract.vocabularies import nearest


class Strict(BaseModel):
    """A mapping of a YAML file: an unknown key is an error, and nothing changes once it is read."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class _Typed:
    """A number of a YAML file that remembers how it was typed."""

    typed: str


class _TypedInt(int, _Typed):
    pass


class _TypedFloat(float, _Typed):
    pass


def as_text(value: object) -> object:
    """`value` as the person typed it: YAML reads `-1`, `007` and `3.50` as numbers, where people
    mean the text. Raises `ValueError`.
    """
    if value is None:
        raise ValueError(
            'there is no value here; write one (the word null itself needs quotes: "null")'
        )
    if isinstance(value, bool):
        raise ValueError(
            f"YAML reads this as {str(value).lower()}, not as text; put the word in quotes"
        )
    if isinstance(value, _Typed):
        return value.typed
    return str(value) if isinstance(value, int | float) else value


Text = Annotated[str, BeforeValidator(as_text)]

IN_A_LIST, BY_COLUMN = "(list)", "(columns)"
"""The two ways in which a setting may be written; pydantic puts them between the keys of an error's
place.
"""

MAX_BYTES = 500_000
"""Of a YAML file. A dataset's has 2 to 20 kB; one that names thousands of columns stays below
200.
"""

MAX_DEPTH = 40
MAX_NODES = 50_000
"""Levels and values of a YAML file, what aliases stand for counted each time. A dataset's has 6
levels and some hundred values.
"""

MAX_DIGITS = 100


class _Loader(yaml.SafeLoader):
    """YAML's safe loader, but: a key written twice is an error, and so is half a character; numbers
    remember how they were typed.

    It stops at a file that is nested, or grows by aliases, as no config does.
    """

    def __init__(self, stream: str) -> None:
        super().__init__(stream)
        self._depth = 0
        self._sizes: dict[yaml.Node, int] = {}

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        mark = self.peek_event().start_mark  # type: ignore[no-untyped-call]
        if self._depth >= MAX_DEPTH:
            raise yaml.composer.ComposerError(
                None, None, f"there are more than {MAX_DEPTH} levels here", mark
            )
        alias = self.check_event(yaml.AliasEvent)
        self._depth += 1
        node = super().compose_node(parent, index)
        self._depth -= 1
        if node is None:
            return None
        if alias and node not in self._sizes:
            raise yaml.composer.ComposerError(
                None, None, "an alias stands within what it stands for", mark
            )
        inner = (
            [part for pair in node.value for part in pair]
            if isinstance(node, yaml.MappingNode)
            else node.value
        )
        self._sizes[node] = (
            1 if isinstance(node, yaml.ScalarNode) else 1 + sum(self._sizes[part] for part in inner)
        )
        if self._sizes[node] > MAX_NODES:
            raise yaml.composer.ComposerError(
                None,
                None,
                f"there are more than {MAX_NODES:,} values here, those of aliases counted",
                mark,
            )
        return node

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[Any] = set()
        for key_node, _ in node.value:
            if key_node.tag == "tag:yaml.org,2002:merge":
                continue
            key = self.construct_object(key_node, deep=True)
            if not isinstance(key, str | int | float | date | None):
                raise yaml.constructor.ConstructorError(
                    None,
                    None,
                    "a key must be a word; is a value in braces not in quotes?",
                    key_node.start_mark,
                )
            if key in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {key!r} stands twice", key_node.start_mark
                )
            seen.add(key)
        return super().construct_mapping(node, deep=deep)


def _check_length(node: yaml.ScalarNode) -> None:
    if len(node.value) > MAX_DIGITS:
        problem = f"a number of {len(node.value):,} characters; if it is text, put it in quotes"
        raise yaml.constructor.ConstructorError(None, None, problem, node.start_mark)


def _typed_int(loader: _Loader, node: yaml.ScalarNode) -> _TypedInt:
    _check_length(node)
    number = _TypedInt(loader.construct_yaml_int(node))
    number.typed = str(node.value)
    return number


def _typed_float(loader: _Loader, node: yaml.ScalarNode) -> _TypedFloat:
    _check_length(node)
    number = _TypedFloat(loader.construct_yaml_float(node))
    number.typed = str(node.value)
    return number


def _whole_text(loader: _Loader, node: yaml.ScalarNode) -> str:
    text = str(loader.construct_scalar(node))
    if half := re.search("[\ud800-\udfff]", text):
        # JSON writes characters beyond U+FFFF as two such halves; in YAML neither is a character,
        # and no file can hold it.
        problem = (
            f"\\u{ord(half[0]):04x} is half of a character; write the character itself, or \\U and"
            " its eight digits"
        )
        raise yaml.constructor.ConstructorError(None, None, problem, node.start_mark)
    return text


_Loader.add_constructor("tag:yaml.org,2002:str", _whole_text)
_Loader.add_constructor("tag:yaml.org,2002:int", _typed_int)
_Loader.add_constructor("tag:yaml.org,2002:float", _typed_float)


def read_yaml(path: Path) -> Any:
    """The content of a YAML file. Raises `ConfigError` with line and column when it is missing or
    is no YAML.
    """
    what = irregular(path)
    if what is not None:
        raise ConfigError(
            f"{path}: this is {what}, not a file.",
            next_step="Copy what comes out of it into a file.",
        )
    try:
        if path.stat().st_size > MAX_BYTES:
            told = (
                f"{path}: this file has {path.stat().st_size:,} bytes; a config has {MAX_BYTES:,}"
                " at most."
            )
            raise ConfigError(
                told, next_step="Give a dataset's YAML; tables stay in files of their own."
            )
        return yaml.load(path.read_text(encoding="utf-8"), Loader=_Loader)
    except FileNotFoundError:
        raise ConfigError(
            f"{path}: there is no such file.",
            next_step=(
                "Give the path of a dataset's YAML, or write one with: syndb-pipeline init FOLDER"
            ),
        ) from None
    except IsADirectoryError:
        raise ConfigError(
            f"{path}: this is a folder, not a dataset's YAML.",
            next_step=f"Write a config for it with: syndb-pipeline init {path}",
        ) from None
    except OSError as error:
        raise ConfigError(
            f"{path}: cannot be read: {error.strerror}.", next_step="Check who may read the file."
        ) from None
    except UnicodeDecodeError as error:
        raise ConfigError(
            f"{path}: byte {error.start} is not UTF-8.", next_step="Save the file as UTF-8."
        ) from None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        where = f", line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        raise ConfigError(
            f"{path}{where}: {error.problem}.", next_step=_yaml_advice(error)
        ) from None
    except (yaml.YAMLError, ValueError) as error:  # a control character; a date such as 2026-13-45
        raise ConfigError(f"{path}: {' '.join(str(error).split())}.") from None


def _yaml_advice(error: yaml.MarkedYAMLError) -> str:
    """What to do about the mistakes that people new to YAML make most."""
    problem = error.problem or ""
    if "'\\t'" in problem:
        return "Indent with spaces: YAML takes no tabs."
    began = (
        f" The part that is not complete begins in line {error.context_mark.line + 1}."
        if error.context_mark
        else ""
    )
    if "could not find expected ':'" in problem:
        return f"Write `key: value`, with a space after the colon.{began}"
    if problem.startswith("mapping values"):
        return (
            "Write `key: value`, with a space after each colon; text that holds a colon and a space"
            " goes in quotes."
        )
    return (
        f"Look for a bracket, brace or quotation mark that is not closed.{began}"
        if "expected ',' or" in problem
        else ""
    )


def _models_in(annotation: Any) -> list[type[BaseModel]]:
    """The models inside an annotation such as `dict[str, TableConfig]` or `Terms | None`."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for part in get_args(annotation) for model in _models_in(part)]


def _allowed_keys(model: type[BaseModel], location: tuple[Any, ...]) -> list[str]:
    """The keys that may stand where `location` (a pydantic error's path from `model`) points."""
    models = [model]
    for part in location[:-1]:
        inner = [
            found
            for m in models
            if part in m.model_fields
            for found in _models_in(m.model_fields[part].annotation)
        ]
        models = (
            inner or _of_kind(models, part) or models
        )  # a table's name or a list's index leads nowhere deeper
    return list(dict.fromkeys(key for m in models for key in m.model_fields))


def _of_kind(models: list[type[BaseModel]], kind: Any) -> list[type[BaseModel]]:
    """Those of `models` that stand for this `kind`, where a key of that name says which of several
    is meant.
    """
    return [
        m
        for m in models
        if "kind" in m.model_fields and kind in get_args(m.model_fields["kind"].annotation)
    ]


def _as_written(model: type[BaseModel], location: tuple[Any, ...]) -> tuple[Any, ...]:
    """`location` without the kinds and ways of writing that pydantic puts between the keys."""
    reached, written = [model], []
    for part in location:
        if part in (IN_A_LIST, BY_COLUMN):
            continue
        inner = [
            found
            for m in reached
            if part in m.model_fields
            for found in _models_in(m.model_fields[part].annotation)
        ]
        if not inner and len(reached) > 1 and (chosen := _of_kind(reached, part)):
            reached = chosen
            continue
        reached = inner or reached
        written.append(part)
    return tuple(written)


def _variable(model: type[BaseModel], location: tuple[Any, ...]) -> str | None:
    """The environment variable that set what `location` points to, if one did: the file is not to
    blame then.
    """
    if not issubclass(model, BaseSettings):
        return None
    prefix = model.model_config.get("env_prefix", "")
    names = [
        "__".join(str(part) for part in location[:depth]).upper()
        for depth in range(len(location), 0, -1)
    ]
    given = {name.upper(): name for name in os.environ}
    return next((given[prefix + name] for name in names if prefix + name in given), None)


def describe_errors(path: Path, error: ValidationError, model: type[BaseModel]) -> ConfigError:
    """`error` of `model` as one message: a line for each wrong key with what was found and what is
    allowed.
    """
    lines = []
    for item in error.errors():
        written = _as_written(model, item["loc"])
        key = ".".join(str(part) for part in written) or "(the whole file)"
        variable = _variable(model, written)
        if variable:
            key = f"the environment variable {variable}"
        found = item.get("input")
        last = str(item["loc"][-1]) if item["loc"] else ""
        if "." in last and last.partition(".")[0] in {
            *model.model_fields,
            *_allowed_keys(model, item["loc"]),
        }:
            # Findings write keys so, and they are easily pasted as they stand.
            lines.append(f"{last}: dots stand for levels; write it as\n{_nested(last, found)}")
        elif item["type"] == "extra_forbidden":
            allowed = _allowed_keys(model, item["loc"])
            near = nearest(str(item["loc"][-1]), allowed, 3, 0.5)
            lines.append(
                f"{key}: there is no such key;"
                f" {'did you mean ' + ', '.join(near) + '?' if near else 'allowed: ' + ', '.join(allowed)}"
            )
        elif item["type"] == "union_tag_invalid":
            lines.append(
                f"{key}.kind: found {shown(item['ctx']['tag'])}; allowed:"
                f" {item['ctx']['expected_tags']}"
            )
        elif item["type"] == "missing":
            lines.append(f"{key}: this key is missing")
        elif item["type"] == "value_error":
            told = str(item["ctx"]["error"])
            lines.append(told if told.startswith(f"{key}.") else f"{key}: {told}")
        elif found is None and item["type"] in ("string_type", "bool_type", "date_type"):
            wanted = {
                "string_type": "write one",
                "bool_type": "write true or false",
                "date_type": "write a day like 2026-01-31",
            }
            lines.append(f"{key}: there is no value here; {wanted[item['type']]}")
        elif item["type"].startswith("date"):
            lines.append(f"{key}: found {shown(found)}; expected a day like 2026-01-31")
        elif item["type"] in ("model_type", "model_attributes_type", "dict_type"):
            allowed = _allowed_keys(model, (*item["loc"], ""))
            example = (
                f", e.g. {{file: {found}}}" if "file" in allowed and isinstance(found, str) else ""
            )
            lines.append(
                f"{key}: found {shown(found)}; expected keys below it{example}; allowed:"
                f" {', '.join(allowed)}"
            )
        elif item["type"] in ("too_long", "too_short") and isinstance(found, str | int | float):
            length, limits = len(str(as_text(found))), item["ctx"]
            allowed_length = (
                f"at most {limits['max_length']}"
                if item["type"] == "too_long"
                else f"at least {limits['min_length']}"
            )
            lines.append(
                f"{key}: found {shown(found)}, {length} characters; allowed are {allowed_length}"
            )
        elif item["type"] == "list_type":
            lines.append(
                f"{key}: found {shown(found)}; expected a list, e.g."
                f" [{found if isinstance(found, str) else '...'}]"
            )
        else:
            lines.append(f"{key}: found {shown(found)}; {item['msg'][0].lower()}{item['msg'][1:]}")
    return ConfigError(f"{path} cannot be used:\n" + "\n".join(f"  {line}" for line in lines))


def _nested(key: str, value: object) -> str:
    """`key`, whose dots stand for levels, and `value` as they are written in YAML."""
    *outer, last = key.split(".")
    plain = _plain(value)
    shown = (
        yaml.safe_dump(plain, default_flow_style=True, width=10_000, allow_unicode=True)
        .strip()
        .removesuffix("...")
        .strip()
    )
    lines = [f"{'  ' * depth}{part}:" for depth, part in enumerate(outer)] + [
        f"{'  ' * len(outer)}{last}: {shown}"
    ]
    return "\n".join(f"      {line}" for line in lines)


def _plain(value: object) -> object:
    """`value` without the memory of how it was typed, which yaml cannot write."""
    if isinstance(value, dict):
        return {_plain(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_plain(inner) for inner in value]
    if isinstance(value, _TypedInt):
        return int(value)
    return float(value) if isinstance(value, _TypedFloat) else value


def shown(found: object) -> str:
    """A value of a YAML file in words."""
    if found is None:
        return "nothing"
    if isinstance(found, dict):
        return "keys and values"
    if isinstance(found, list):
        return "a list"
    text = (
        found.typed
        if isinstance(found, _Typed)
        else (
            repr(found)
            if isinstance(found, str)
            else str(found).lower()
            if isinstance(found, bool)
            else str(found)
        )
    )
    return text if len(text) <= 80 else text[:77] + "..."
