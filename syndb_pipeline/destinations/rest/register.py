"""Creating a dataset at a SynDB, with the tags and collections that it needs.

Belongs here: what is created, in which order, and what answers on the way mean. Does not: comparing
metadata (`stages/publish.py`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from httpx import Headers

from syndb_pipeline.base.errors import DestinationRefused, NotPermitted, OutcomeUnknown
from syndb_pipeline.destinations.base import DatasetInfo, Metadata
from syndb_pipeline.destinations.rest.client import METADATA, RestClient
from syndb_pipeline.destinations.rest.http_answer import Answer
from syndb_pipeline.destinations.rest.metadata import Universal, new_dataset

_Step = tuple[str, Callable[[], Answer | None]]
"""A name, and what creates it: the answer, or None when it was lost."""

_FOUND = Answer(201, Headers(), b"")
"""Stands for an answer that was lost: the dataset is there, created by that request or by somebody
else.
"""


def register(client: RestClient, metadata: Metadata) -> DatasetInfo:
    """Create the dataset, or give it back as it is there.

    The tags that are known to be missing come first. An answer 404 means that something else is:
    then the animal and the collections are created one after another, as no route tells which of
    them is there. Raises `NotVerified`, `NotPermitted` (the id is another's), `DestinationRefused`
    (SynDB's rules; an unknown group) and `OutcomeUnknown`.
    """
    if (there := client.info(metadata.id)) is not None:
        return there
    _create_tags(client, metadata)
    steps = _further_steps(client, metadata)
    lost: set[str] = set()
    refused: list[str] = []
    while True:
        answer = _create(client, metadata)
        if answer.good:
            client.say(f"Created dataset {metadata.id} at {client.name}")
            break
        if answer.status != 404:
            break
        if not steps:
            groups = ", ".join(metadata.authorized_group_names)
            raise DestinationRefused(
                "\n".join(
                    [client.session.refused(answer, f"to create dataset {metadata.id}"), *refused]
                ),
                next_step=(
                    f"Groups are made at SynDB's own site, not from here: look for {groups} there."
                    if groups
                    else f"Report it to who runs {client.name}."
                ),
            )
        # One at a time, the one that the answer names first: a server that only lacks a collection
        # gets no animal.
        step = name, create = next((each for each in steps if each[0] in answer.words), steps[0])
        steps.remove(step)
        made = create()
        if made is None and name not in lost:
            lost.add(name)
            steps.append(
                step
            )  # created again should the dataset's next answer be that it is still missing
        elif made is not None and not made.good:
            refused.append(client.session.refused(made, f"to create {name}"))
    # Whether it was created now, was lost on the way back, or another was faster: the server knows.
    there = client.info(metadata.id)
    if there is None:
        client.good(answer, f"to create dataset {metadata.id}")
        raise OutcomeUnknown(
            f"{client.name} created dataset {metadata.id}, and does not show it.",
            next_step="Give the same command again in a while.",
        )
    if not answer.good and there.owner != client.me.id:
        raise NotPermitted(
            f"The id {metadata.id} is in use at {client.name}, by {client.person(there.owner)}:"
            f" {answer.words}",
            next_step="Give your dataset an id of its own.",
        )
    return there.model_copy(update={"new": answer.good and answer is not _FOUND})


def _create(client: RestClient, metadata: Metadata) -> Answer:
    path, body = f"{METADATA}/dataset/new", new_dataset(metadata)
    try:
        return client.session.ask("POST", path, json=body, repeatable=False)
    except OutcomeUnknown as lost:
        client.say(f"{lost.message} Asking {client.name}.")
        if client.info(metadata.id) is None:
            # The id is ours: should the first one still arrive, one of the two is told that the id
            # is in use.
            return client.session.ask("POST", path, json=body, repeatable=False)
        return _FOUND


def _create_tags(client: RestClient, metadata: Metadata) -> None:
    for kind, what, body in _universal(client).missing(metadata):
        answer = _create_tag(client, kind, body)
        # Another may have created it in between, and the answer to ours may have been lost: what is
        # there counts.
        if not answer.good and not _universal(client).has(kind, what, metadata):
            client.good(answer, f"to create the {kind.replace('_', ' ')} {what}")
        client.say(f"Created the {kind.replace('_', ' ')} {what} at {client.name}")


def _create_tag(client: RestClient, kind: str, body: dict[str, Any]) -> Answer:
    return client.session.ask("POST", f"{METADATA}/tag/{kind}/create", json=body, repeatable=True)


def _universal(client: RestClient) -> Universal:
    answer = client.session.ask("GET", f"{METADATA}/get/universal")
    client.good(answer, "the tags there are")
    return client.read(Universal, answer)


def _further_steps(client: RestClient, metadata: Metadata) -> list[_Step]:
    """What else a new dataset may need, and no route tells whether it is there: its animal, its
    collections; each with a name for it.
    """

    def animal() -> Answer:
        answer = _create_tag(client, "animal", {"species": metadata.animal})
        if answer.good:
            client.say(f"Created the animal {metadata.animal_name} at {client.name}")
        return answer

    def collection(name: str) -> Callable[[], Answer | None]:
        def create() -> Answer | None:
            body = {
                "name": name,
                "dataset_ids": [],
                "authorized_group_names": list(metadata.authorized_group_names),
            }
            try:
                answer = client.session.ask(
                    "POST", f"{METADATA}/dataset/collection/new/simple", json=body, repeatable=False
                )
            except OutcomeUnknown as lost:
                client.say(f"{lost.message} If it is there, the dataset can be created.")
                return None
            if answer.status == 403:
                raise client.forbidden(answer, f"to create the collection {name}")
            if answer.good:
                client.say(f"Created the collection {name} at {client.name}")
            return answer

        return create

    return [
        (metadata.animal_name, animal),
        *((name, collection(name)) for name in dict.fromkeys(metadata.dataset_collection_names)),
    ]
