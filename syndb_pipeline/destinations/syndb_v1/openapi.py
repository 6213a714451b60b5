"""What a server says of itself in its `/openapi.json`: which generation it is, what a new dataset
must say, and whether it takes tables.

Belongs here: reading that document, which is untrusted. Does not: asking for it, or what our facts
are called (`wire.py`).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from syndb_pipeline.destinations.http.answers import cleaned

DATASETS: Final = "/neurodata/datasets"
"""Generation 2's route of datasets, below `/v1` (P). Generation 1 has none of this name."""

_OF_GENERATION_1: Final = "/neurodata/metadata/dataset/new"
_DEEPEST: Final = 20

MOST_BYTES: Final = 64 * 1024 * 1024
"""Of such a document."""


@dataclass(frozen=True)
class UploadRoute:
    """A route that takes all tables of a dataset at once: a form whose one file is a tar."""

    method: str
    path: str
    field: str

    def of(self, dataset: object) -> str:
        """Its path for a dataset."""
        return self.path.replace("{}", str(dataset))


class Declared:
    """An OpenAPI document. Whatever is not as it should be is taken for not declared."""

    def __init__(self, content: bytes) -> None:
        try:
            document = json.loads(content)
        except (ValueError, RecursionError):
            document = None
        self._document = _mapping(document)
        self._paths = {
            re.sub(r"\{[^}]*\}", "{}", path.removeprefix("/v1")): _mapping(item)
            for path, item in _mapping(self._document.get("paths")).items()
        }

    @property
    def generations(self) -> set[int]:
        """Those whose routes it declares."""
        known = {1: _OF_GENERATION_1, 2: DATASETS}
        return {number for number, path in known.items() if path in self._paths}

    def upload(self) -> tuple[UploadRoute | None, list[str]]:
        """The route that takes tables in a way that a lost answer leaves all of them or none, and
        those that take files in any other way, in words."""
        others: list[str] = []
        for path, method, operation in self._operations():
            media = self._media(operation)
            form = self._resolved(media.get("multipart/form-data", {}).get("schema"))
            files = {
                name: f"{name} {prop.get('contentMediaType', '')}".casefold()
                for name, prop in self._properties(form).items()
                if prop.get("format") == "binary" or "contentMediaType" in prop
            }
            needed = {each for each in _listed(form.get("required")) if each not in files}
            if len(files) == 1 and not needed and path.count("{}") == 1:
                [(field, words)] = files.items()
                if "tar" in words:
                    return UploadRoute(method.upper(), f"/v1{path}", field), []
            if files or any("arrow" in each or "parquet" in each for each in media):
                others.append(cleaned(f"{method.upper()} /v1{path}"))
        return None, others

    def filled(
        self, facts: Mapping[tuple[str, ...], Any]
    ) -> tuple[dict[str, Any], list[str], list[str]]:
        """The body that registers a dataset, of those of `facts` that it declares under one of
        their names; what it requires that they do not give; what they give that it does not take.
        """
        operation = _mapping(self._paths.get(DATASETS, {}).get("post"))
        schema = self._resolved(self._media(operation).get("application/json", {}).get("schema"))
        declared = self._properties(schema)
        body: dict[str, Any] = {}
        unused = []
        for names, fact in facts.items():
            fits = [each for each in names if self._fits(fact, declared.get(each))]
            body |= dict.fromkeys(fits, fact)
            if fact and not fits:
                unused.append(names[0])
        return body, [name for name in _listed(schema.get("required")) if name not in body], unused

    def _operations(self) -> Iterator[tuple[str, str, dict[str, Any]]]:
        for path, item in self._paths.items():
            if path.startswith("/neurodata/"):
                for method in ("post", "put", "patch"):
                    if operation := _mapping(item.get(method)):
                        yield path, method, operation

    def _media(self, operation: dict[str, Any]) -> dict[str, dict[str, Any]]:
        body = self._resolved(operation.get("requestBody"))
        return {name: _mapping(each) for name, each in _mapping(body.get("content")).items()}

    def _properties(self, schema: dict[str, Any]) -> dict[str, dict[str, Any]]:
        found = _mapping(schema.get("properties"))
        return {name: self._resolved(each) for name, each in found.items()}

    def _resolved(self, schema: Any) -> dict[str, Any]:
        """A schema with its references, which lead into the same document, followed."""
        found = _mapping(schema)
        for _ in range(_DEEPEST):
            reference = found.get("$ref")
            if not isinstance(reference, str):
                break
            found = self._document
            for part in reference.removeprefix("#/").split("/"):
                found = _mapping(found.get(part))
        return found

    def _fits(self, value: Any, schema: Any, depth: int = 0) -> bool:
        schema = self._resolved(schema)
        options = schema.get("anyOf") or schema.get("oneOf")
        if depth > _DEEPEST:
            return False
        if isinstance(options, list):
            return any(self._fits(value, each, depth + 1) for each in options)
        if "enum" in schema:
            return value in _listed(schema["enum"])
        kind = "array" if isinstance(value, list) else "string"
        kind = "object" if isinstance(value, dict) else kind
        if kind not in (_listed(schema.get("type")) or [schema.get("type")]):
            return False
        items = schema.get("items")
        return kind != "array" or all(self._fits(each, items, depth + 1) for each in value)


def _mapping(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
