"""How generation 2 calls what we have: tables, keys, metadata. The one place for it.

Belongs here: names and forms, and what has no counterpart. Does not: routes, requests.

Tables and keys are P's list (SynDB's documentation site). Names of metadata are those of P's data
profile and of generation 1; which of them a server takes, its `/openapi.json` says. Measures are in
nanometres, nm2 and nm3 in both generations, so no value is converted.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from syndb_pipeline.base.engine import parquet, quote, write_parquet
from syndb_pipeline.contract.metadata import Metadata
from syndb_pipeline.contract.ontologies import animal_term, region_term
from syndb_pipeline.contract.tables import KEY, TABLES
from syndb_pipeline.contract.vocabularies import SPDX_LICENSES

if TYPE_CHECKING:
    import duckdb

NAMES: Final[dict[str, tuple[str, str]]] = {
    "neuron": ("neurons", "neuron_id"),
    "dendrite": ("dendrites", "dendrite_id"),
    "axon": ("axons", "axon_id"),
    "pre_synaptic_terminal": ("pre_synaptic_terminals", "terminal_id"),
    "synapse": ("synapses", "synapse_id"),
    "dendritic_spine": ("dendritic_spines", "spine_id"),
    "vesicle": ("vesicles", "vesicle_id"),
    "mitochondria": ("mitochondria", "mitochondria_id"),
}
"""Our table -> its name and its key in generation 2 (P)."""

_ABSENT: Final = "generation 2 has no such table"
_WHY_NOT: Final = {
    "neuron_relation": "generation 2's neuron_relations are non-synaptic and have an id of their "
    "own, so an edge list of synapses would be filed as something else"
}


def cannot_send(tables: Collection[str], files: int) -> list[str]:
    """What of a package has no place in generation 2, a reason each."""
    reasons = [f"{name}: {_WHY_NOT.get(name, _ABSENT)}" for name in tables if name not in NAMES]
    if files:
        reasons.append(f"{files:,} meshes and skeletons: no route for them is documented")
    return reasons


def write_table(
    connection: duckdb.DuckDBPyConnection, table: str, source: Path, target: Path
) -> None:
    """Write a packed table under generation 2's name of its key, every id as text."""
    columns = [
        (quote(column) if kind != "UUID" else f"CAST({quote(column)} AS VARCHAR)")
        + f" AS {quote(NAMES[table][1] if column == KEY.name else column)}"
        for column, kind in _columns(connection, source)
    ]
    query = f"SELECT {', '.join(columns)} FROM {parquet(source)}"
    write_parquet(connection, query, target, published=True)


def read_table(
    connection: duckdb.DuckDBPyConnection, table: str, source: Path, target: Path
) -> None:
    """`write_table` backwards."""
    known = TABLES[table].published
    columns = [
        f"CAST({quote(column)} AS {known.get(ours, kind)}) AS {quote(ours)}"
        for column, kind in _columns(connection, source)
        for ours in [KEY.name if column == NAMES[table][1] else column]
    ]
    query = f"SELECT {', '.join(columns)} FROM {parquet(source)}"
    write_parquet(connection, query, target, published=True)


def _columns(connection: duckdb.DuckDBPyConnection, path: Path) -> list[tuple[str, str]]:
    described = connection.execute(f"DESCRIBE FROM {parquet(path)}").fetchall()
    return [(str(name), str(kind)) for name, kind, *_ in described]


def concepts(metadata: Metadata) -> dict[str, tuple[str, ...]]:
    """What of the metadata generation 2 wants resolved in its vocabularies: in words, and how else
    it may be written there, the term of a public ontology last."""
    animal = metadata.animal_name
    structures = [each.brain_structure for each in metadata.brain_regions]
    known = {species_of(animal): animal_term(animal), metadata.microscopy: None}
    known |= {each: region_term(each, animal) for each in structures}
    return {
        concept: (*forms(concept), *((term.id,) if term else ())) for concept, term in known.items()
    }


def species_of(animal: str) -> str:
    """Our name of an animal as a species is written."""
    return animal.replace("_", " ").capitalize()


def forms(concept: str) -> tuple[str, ...]:
    """The ways to write a concept, as it is and as P's examples are (`mushroom_body`)."""
    return tuple(dict.fromkeys((concept, "_".join(concept.casefold().split()))))


Facts = dict[tuple[str, ...], Any]
"""What is said, each under the names that a server may have for it."""


def registration(metadata: Metadata, policy: str, term: Mapping[str, str]) -> Facts:
    """Every fact about a new dataset.

    Args:
        metadata: The dataset's.
        policy: Who may read it.
        term: A concept of `concepts` -> how the server's vocabulary has it.
    """
    spdx = {name: license for license, name in SPDX_LICENSES.items()}[metadata.license]
    of_code = {table.code: name for name, table in TABLES.items()}
    tables = [NAMES[of_code[code]][0] for code in metadata.syndb_tables if of_code[code] in NAMES]
    return {
        ("id", "dataset_id"): str(metadata.id),
        ("label",): metadata.label,
        ("notes", "description"): metadata.notes,
        ("license", "data_license"): spdx,
        ("access_policy",): policy,
        ("species", "animal"): term[species_of(metadata.animal_name)],
        ("microscopy",): term[metadata.microscopy],
        ("brain_regions",): [term[each.brain_structure] for each in metadata.brain_regions],
        ("tables", "syndb_tables"): tables,
        ("mutations",): [each.model_dump() for each in metadata.mutations],
        ("publication_dois",): list(metadata.publication_dois),
        ("authorized_group_names",): list(metadata.authorized_group_names),
        ("dataset_collection_names",): list(metadata.dataset_collection_names),
    }
