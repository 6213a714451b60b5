"""Configs that cannot be used: nothing is read, and the message says which key and what is allowed.

Belongs here: mistakes in the dataset's YAML, also those that warn. Does not: configs that are
well-formed and do not fit the tables (`columns.py`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tests.acceptance.corpus.case import Case, finds, refused, wrong
from tests.acceptance.corpus.changes import Change, config
from tests.lab_files import Lab


def _metadata(**options: Any) -> Change:
    return lambda lab: lab.config["dataset"].update(options)


def _top(**options: Any) -> Change:
    return lambda lab: lab.config.update(options)


def _written(function: Callable[[str], str]) -> Change:
    def apply(lab: Lab) -> None:
        lab.config_text = function

    return apply


def _renamed(old: str, new: str) -> Change:
    return lambda lab: lab.config["tables"].update({new: lab.config["tables"].pop(old)})


def _region(structure: str) -> Change:
    return _metadata(brain_regions=[{"structure": structure, "direction": "null"}])


_REGIONS = "dataset.brain_regions"

CASES: tuple[Case, ...] = (
    wrong(
        "a brain region is misspelt",
        "hemibrain",
        _region("mushrom body"),
        finds("SYN-VOC-005", None, _REGIONS, None, 1, "nearest: mushroom body"),
    ),
    refused(
        "a table that SynDB does not have",
        "larva",
        _renamed("neuron", "neurons"),
        "neurons",
        "neuron",
    ),
    refused(
        "a key that is misspelt",
        "larva",
        config("neuron_relation", colums={"a": "b"}),
        "tables.neuron_relation.colums",
        "columns",
    ),
    refused(
        "a column is mapped to one that SynDB does not have",
        "larva",
        config("neuron_relation", columns={"pre_id": "pre"}),
        "pre_id",
        "pre_synapse_id",
    ),
    refused(
        "a unit that is none",
        "hemibrain",
        config("neuron", units={"cable_length": "micron"}),
        "cable_length",
        "um",
    ),
    refused(
        "a parent that cannot be one",
        "guide",
        config("vesicle", parent="mitochondria"),
        "mitochondria",
        "axon",
    ),
    refused(
        "rows of vesicles combined as if they were pairs",
        "guide",
        config("vesicle", combine={"voxel_radius": "sum"}),
        "combine",
        "neuron_relation",
    ),
    refused(
        "an encoding that nobody knows",
        "larva",
        config("neuron", encoding="ansi-german"),
        "ansi-german",
        "cp1252",
    ),
    refused("a delimiter in words", "larva", config("neuron", delimiter="tab"), "delimiter", "\\t"),
    refused(
        "no header and no names",
        "larva",
        lambda lab: lab.options("neuron").update(header_row=None),
        "names",
    ),
    refused(
        "one column is mapped and left out at once",
        "larva",
        config("neuron", columns={"polarity": "polarity"}, ignore=["polarity"]),
        "polarity",
        "columns",
        "ignore",
    ),
    refused(
        "a table without a file",
        "larva",
        lambda lab: lab.options("neuron").pop("file"),
        "tables.neuron.file",
    ),
    refused(
        "a file's name where keys should be",
        "larva",
        lambda lab: lab.config["tables"].update(neuron="neuron.csv"),
        "tables.neuron",
        "file: neuron.csv",
    ),
    refused(
        "a licence that SynDB does not have", "guide", _metadata(license="MIT"), "license", "CC_BY"
    ),
    refused(
        "an animal, misspelt",
        "guide",
        _metadata(animal="DROSOPHILA_MELANOGASTR"),
        "animal",
        "DROSOPHILA_MELANOGASTER",
    ),
    refused(
        "a direction in a brain that is none",
        "guide",
        _metadata(brain_regions=[{"structure": "hippocampus", "direction": "leftish"}]),
        "direction",
        "leftish",
    ),
    refused(
        "no label",
        "guide",
        lambda lab: lab.config["dataset"].pop("label"),
        "dataset.label",
        "missing",
    ),
    refused(
        "a publication without DOI",
        "guide",
        _metadata(publications=["Winding et al. 2023"]),
        "publications",
        "10.1126",
    ),
    refused(
        "a rule that there is not",
        "guide",
        _top(rules={"SYN-VOK-001": "error"}),
        "SYN-VOK-001",
        "SYN-VOC-001",
    ),
    refused(
        "a rule made weaker that keeps datasets whole",
        "guide",
        _top(rules={"SYN-ID-002": "warning"}),
        "SYN-ID-002",
        "error",
    ),
    refused(
        "a day that is none",
        "guide",
        _top(
            terms={
                "accepted_by": "Ada",
                "accepted_on": "yesterday",
                "accurate": True,
                "redistributable": True,
                "license_agreed": True,
            }
        ),
        "accepted_on",
        "2026",
    ),
    refused(
        "a tab in the YAML",
        "guide",
        _written(lambda text: text.replace("  label:", "\tlabel:")),
        "line 3",
        "tab",
    ),
    refused(
        "a colon in a label without quotes",
        "guide",
        _written(lambda text: text.replace("label: A real", "label: Test: a real")),
        "line 3",
        "quotes",
    ),
    refused(
        "a key of the config stands twice",
        "guide",
        _written(lambda text: text + "tables: {}\n"),
        "tables",
        "twice",
    ),
    refused(
        "dots in keys, as findings write them",
        "guide",
        _written(lambda text: text + "tables.vesicle.parent: axon\n"),
        "tables.vesicle.parent",
        "levels",
    ),
    refused(
        "half of the rows, or half a percent",
        "guide",
        _top(on_invalid="quarantine", max_rejected=0.5),
        "max_rejected",
        "percent",
    ),
)
