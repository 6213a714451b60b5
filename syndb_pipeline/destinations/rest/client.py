"""Asking a SynDB by its REST interface: who asks, what an answer means, one dataset, a new dataset.

Belongs here: routes, the account, answers that are no success, what a new dataset needs and in
which order it is created. Does not: tables and files (`destination.py`), comparing metadata.
"""

from __future__ import annotations

from typing import Any, Final
from uuid import UUID

from pydantic import SecretStr

from syndb_pipeline.base.errors import (
    DestinationRefused,
    NotLoggedIn,
    OutcomeUnknown,
)
from syndb_pipeline.destinations.base import DatasetInfo, Identity, Metadata, Policy
from syndb_pipeline.destinations.http.answers import Answer, require_safe
from syndb_pipeline.destinations.http.client import HttpClient
from syndb_pipeline.destinations.http.session import path_part
from syndb_pipeline.destinations.rest.bodies import (
    Authorization,
    Bearer,
    Labels,
    Profile,
    Tag,
    Universal,
    UploadedDataset,
    new_dataset,
)

_PROFILE: Final = "/user/profile"
METADATA: Final = "/neurodata/metadata"
IO: Final = "/neurodata/io"


class RestClient(HttpClient):
    """A SynDB by its REST interface."""

    # The account

    def logout(self) -> None:
        try:
            answer = self.session.ask("POST", "/user/auth/native/logout", repeatable=True)
            self.good(answer, "to log out")
        except NotLoggedIn:
            return

    def authorization_url(self) -> str:
        what = "the page for academic verification"
        answer = self.session.ask("GET", "/user/academic/authorize")
        if not answer.good:  # never because of "not verified": that is what this route is for
            raise DestinationRefused(self.session.refused(answer, what))
        url = self.read(Authorization, answer).authorization_url
        require_safe(url, self.config.url, self.name, what)
        return url

    def who_am_i(self) -> Identity:
        answer = self.session.ask("GET", f"{_PROFILE}/current")
        if not answer.good:  # a 403 too: who is asked for cannot be asked about it
            raise self.refusal(answer, "who you are")
        profile = self.read(Profile, answer)
        self._me = Identity(id=profile.id, name=profile.email, verified=profile.is_verified)
        return self._me

    def person(self, user: str) -> str:
        """A user's e-mail address, if the server gives it; else the id."""
        answer = self.session.ask("GET", f"{_PROFILE}/id/{path_part(user)}")
        return self.read(Profile, answer).email if answer.good else user

    def ask_for_token(self, username: str, password: SecretStr) -> SecretStr:
        secret = password.get_secret_value()
        form = {"grant_type": "password", "username": username, "password": secret}
        answer = self.log_in_at("/user/auth/native/login", username, password, form=form)
        return self.checked_token(self.read(Bearer, answer).access_token)

    # One dataset

    def info(self, dataset: UUID) -> DatasetInfo | None:
        answer = self._ask_info(dataset)
        if answer.status == 404:
            return None
        # The contract has no 404 here, only 403 and 422. Either may mean "no such dataset", and
        # then the list of all lacks it; when that list is kept from us as well, its own refusal is
        # raised.
        if answer.status in (403, 422) and dataset not in self.labels("all"):
            return None
        self.good(answer, f"dataset {dataset}", dataset)
        found = self.read(UploadedDataset, answer).info
        if found.metadata.id != dataset:
            # A cache in between; what is decided by it would be about another dataset.
            raise DestinationRefused(
                f"{self.name} was asked for dataset {dataset} and answered with "
                f"{found.metadata.id}.",
                next_step=f"Report it to who runs {self.name}.",
            )
        return found

    def owner_of(self, dataset: UUID) -> str:
        found = self._ask_info(dataset)
        if not found.good:
            return "somebody else"
        return self.person(self.read(UploadedDataset, found).owner_id)

    def delete_path(self, dataset: UUID) -> str:
        return f"{IO}/{dataset}/delete_dataset"

    def _ask_info(self, dataset: UUID) -> Answer:
        return self.session.ask("GET", f"{METADATA}/dataset/{dataset}/info")

    def labels(self, which: str) -> dict[UUID, str]:
        path, what = f"{METADATA}/dataset/get/{which}", f"the list of {which} datasets"
        return self.get(Labels, path, what).uuid_to_label

    # A new dataset

    def register(self, metadata: Metadata, policy: Policy = "open") -> DatasetInfo:
        """Create the dataset, or give it back as it is there.

        The tags that are known to be missing come first. An answer 404 means that something else
        is: then the animal and the collections are created one after another, as no route says
        which of them is there. Raises `NotVerified`, `NotPermitted` (the id is another's),
        `DestinationRefused` (SynDB's rules; an unknown group) and `OutcomeUnknown`.
        """
        dataset = metadata.id
        if (there := self.info(dataset)) is not None:
            return there
        self._create_tags(metadata)
        groups = list(metadata.authorized_group_names)
        steps: list[Tag] = [("animal", metadata.animal_name, {"species": metadata.animal})]
        for name in dict.fromkeys(metadata.dataset_collection_names):
            body = {"name": name, "dataset_ids": [], "authorized_group_names": groups}
            steps.append(("collection", name, body))
        most, refused = 2 * len(steps), ""
        while (answer := self._create(metadata)).status == 404:
            if not steps or not most:
                site = f"Groups are made at SynDB's own site: look for {', '.join(groups)} there."
                raise DestinationRefused(
                    self.session.refused(answer, f"to create dataset {dataset}") + refused,
                    next_step=site if groups else f"Report it to who runs {self.name}.",
                )
            # One at a time, the one that the answer names first: a server that only lacks a
            # collection gets no animal.
            step = next((each for each in steps if each[1] in answer.words), steps[0])
            steps.remove(step)
            most -= 1
            try:
                made = self._create_needed(*step)
                if not made.good:
                    refused += "\n" + self.session.refused(made, f"to create {step[1]}")
            except OutcomeUnknown as lost:
                self.log(f"{lost.message} If it is there, the dataset can be created.")
                steps.append(step)
        if answer.good:
            self.log(f"Created dataset {dataset} at {self.name}")
        return self.registered(metadata, answer)

    def _create(self, metadata: Metadata) -> Answer:
        return self.create(metadata.id, f"{METADATA}/dataset/new", new_dataset(metadata))

    def _create_tags(self, metadata: Metadata) -> None:
        for kind, name, body in self._tags().missing(metadata):
            answer = self._create_needed(kind, name, body)
            # Another may have created it in between, and the answer to ours may have been lost:
            # what is there counts.
            if not answer.good and not self._tags().has(kind, name, metadata):
                self.good(answer, f"to create the {kind.replace('_', ' ')} {name}")

    def _tags(self) -> Universal:
        return self.get(Universal, f"{METADATA}/get/universal", "the tags there are")

    def _create_needed(self, kind: str, name: str, body: dict[str, Any]) -> Answer:
        """Create a tag, the animal or a collection. No route says whether the last two are
        there."""
        is_tag, what = kind != "collection", f"the {kind.replace('_', ' ')} {name}"
        path = f"tag/{kind}/create" if is_tag else "dataset/collection/new/simple"
        answer = self.session.ask("POST", f"{METADATA}/{path}", json=body, repeatable=is_tag)
        if answer.status == 403 and not is_tag:
            raise self.forbidden(answer, f"to create {what}", None)
        if answer.good:
            self.log(f"Created {what} at {self.name}")
        return answer
