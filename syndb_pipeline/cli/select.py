"""A dataset that a destination has: which one is meant, its metadata there and here.

Belongs here: finding it and showing it. Does not: options (`main.py`, `dataset.py`), comparing.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Final
from uuid import UUID

import typer
from rich.text import Text

from syndb_pipeline.base.escape_text import visible
from syndb_pipeline.cli import terminal

if TYPE_CHECKING:
    from syndb_pipeline.config.settings import DatasetConfig, PipelineSettings

WIDTH: Final = 80


def meant(
    dataset: str, settings: Path | None, destination: str | None
) -> tuple[UUID, DatasetConfig | None, PipelineSettings, str]:
    """The dataset that an id, a YAML or a name means: its id, its config where it is known here,
    the settings, and the destination. Raises `ConfigError`."""
    from syndb_pipeline.config.settings import DatasetConfig, load_dataset
    from syndb_pipeline.destinations import default_destination
    from syndb_pipeline.state.registry import read_configs

    try:
        identity = UUID(dataset)
    except ValueError:
        config = load_dataset(dataset)
        loaded = terminal.open_settings(settings, near=config.folder)
        return config.dataset.id, config, loaded, destination or config.publish.destination
    loaded = terminal.open_settings(settings)
    known = (each for each in read_configs(loaded).values() if isinstance(each, DatasetConfig))
    here = next((each for each in known if each.dataset.id == identity), None)
    return identity, here, loaded, destination or default_destination(loaded)


def known_dataset(dataset: str, destination: str | None, settings: Path | None) -> dict[str, str]:
    """What a first config takes over from a dataset at a destination. Raises `ConfigError` for what
    is no id, `UnknownDataset`."""
    from syndb_pipeline.destinations import open_destination
    from syndb_pipeline.destinations.base import unknown_dataset
    from syndb_pipeline.scaffold.selected import known_of

    identity, _, loaded, where = meant(dataset, settings, destination)
    info = open_destination(loaded, where, terminal.say).info(identity)
    if info is None:
        raise unknown_dataset(identity, where)
    return known_of(info, where)


def show(
    dataset: UUID,
    config: DatasetConfig | None,
    settings: PipelineSettings,
    destination: str,
    as_json: bool,
) -> None:
    """Print a dataset's metadata as its destination has them, beside those of its config."""
    from rich.table import Table

    from syndb_pipeline.cli.doctor import impatient
    from syndb_pipeline.destinations import open_destination
    from syndb_pipeline.destinations.base import side_by_side, unknown_dataset
    from syndb_pipeline.destinations.http.client import HttpClient
    from syndb_pipeline.stages.package import dataset_metadata

    node = open_destination(impatient(settings), destination, terminal.say)
    info = node.info(dataset)
    if info is None:
        raise unknown_dataset(dataset, destination)
    fields = side_by_side(info, dataset_metadata(config, config.tables) if config else None)
    links = node.links(dataset) if isinstance(node, HttpClient) else {}
    if as_json:
        compared = [field.model_dump() for field in fields]
        shown = {"info": info.model_dump(mode="json"), "fields": compared, "links": links}
        typer.echo(json.dumps(shown | {"exit": 0}, indent=1, ensure_ascii=False))
        return
    owner = "you" if info.owner == node.who_am_i().id else info.owner
    lines = f"{info.number_of_units:,} units; owned by {owner}"
    typer.echo(visible(f"{info.metadata.label} ({dataset})\nat {destination}: {lines}"))
    table = Table("", "there", f"here, {terminal.here(config.path)}" if config else "", box=None)
    for each in fields:
        label = f"{'* ' if each.differs else '  '}{each.field}"
        here = each.here if each.differs or each.there is None else "the same"
        cells = (label, each.there or "(not said)", here if config else "")
        table.add_row(*(Text(visible(cell or "")) for cell in cells))
    terminal.console().print(table, width=WIDTH)
    typer.echo("".join(f"{name:<15} {link}\n" for name, link in links.items()), nl=False)
