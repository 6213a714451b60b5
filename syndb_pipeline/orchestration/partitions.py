"""A partition is a dataset; its key is the dataset's name, the stem of its config file.

Belongs here: the partitions and keeping them in step with the configs. Does not: reading configs
(`resources.py`).
"""

from __future__ import annotations

from collections.abc import Collection

import dagster as dg

DATASETS = dg.DynamicPartitionsDefinition(name="dataset")


def add_partition(instance: dg.DagsterInstance, name: str) -> None:
    """Make `name` a partition of `instance`; nothing happens when it is one."""
    instance.add_dynamic_partitions("dataset", [name])


def changes(
    known: Collection[str], wanted: Collection[str]
) -> list[dg.AddDynamicPartitionsRequest | dg.DeleteDynamicPartitionsRequest]:
    """What a sensor asks of Dagster so that the `known` partitions become the `wanted` ones."""
    added = sorted(set(wanted) - set(known))
    gone = sorted(set(known) - set(wanted))
    requests: list[dg.AddDynamicPartitionsRequest | dg.DeleteDynamicPartitionsRequest] = []
    if added:
        requests.append(DATASETS.build_add_request(added))
    if gone:
        requests.append(DATASETS.build_delete_request(gone))
    return requests
