"""Asking a SynDB by its REST interface: who asks, what an answer means, one dataset, a new dataset.

Belongs here: routes, the account, answers that are no success, what a new dataset needs and in
which order it is created. Does not: tables and files (`destination.py`), comparing metadata.
"""

from __future__ import annotations

import re
import resource
import threading
from collections.abc import Callable
from typing import Any, Final, TypeVar
from uuid import UUID

from httpx import Headers
from pydantic import SecretStr, ValidationError

from syndb_pipeline.base.errors import (
    DestinationRefused,
    NotLoggedIn,
    NotPermitted,
    NotVerified,
    OutcomeUnknown,
)
from syndb_pipeline.destinations.base import DatasetInfo, Identity, Metadata, unknown_dataset
from syndb_pipeline.destinations.rest import RestDestination as RestSettings
from syndb_pipeline.destinations.rest.answers import Answer, cleaned, require_safe
from syndb_pipeline.destinations.rest.bodies import (
    Authorization,
    Bearer,
    Body,
    Labels,
    Profile,
    Tag,
    Universal,
    UploadedDataset,
    new_dataset,
)
from syndb_pipeline.destinations.rest.credentials import Credentials, find, log_in_again
from syndb_pipeline.destinations.rest.session import Session, look_with_doctor, path_part

_PROFILE: Final = "/user/profile"
METADATA: Final = "/neurodata/metadata"
IO: Final = "/neurodata/io"

_Body = TypeVar("_Body", bound=Body)

_FOUND: Final = Answer(201, Headers(), b"")
"""In place of an answer that was lost: the dataset is there, created by that request or by somebody
else."""


class Access:
    """The token for a server. Nothing is looked up before it is needed. Threads share it."""

    def __init__(
        self,
        destination: str,
        server: RestSettings,
        log: Callable[[str], None],
        log_in: Callable[[str, SecretStr], SecretStr],
    ) -> None:
        self._destination = destination
        self._server = server
        self._log = log
        self._log_in = log_in
        self._lock = threading.Lock()
        self.use(None)

    def use(self, token: SecretStr | None) -> None:
        """Take this token instead of what is kept; None: what is kept again."""
        with self._lock:
            self._asked = token is not None
            self._found = Credentials(token=token, source="given") if token else None

    def token(self) -> SecretStr | None:
        """The token; with a name and a password and no token yet, one that a log-in gives. None
        when there is nothing to log in with."""
        with self._lock:
            if not self._asked:
                self._found = find(self._destination, self._server, log=self._log)
                self._asked = True
            if self._found and self._found.token is None:
                self._renew(self._found)
            return self._found.token if self._found else None

    def renew(self, refused: SecretStr | None) -> bool:
        """Whether there is another token than the `refused` one: another thread's, or that of a new
        log-in."""
        with self._lock:
            found = self._found
            if found is not None and found.token == refused and found.password is not None:
                self._log(
                    f"{self._destination} does not take the token any more; "
                    f"logging in again as {found.username}"
                )
                self._renew(found)
            return self._found is not None and self._found.token != refused

    def _renew(self, found: Credentials) -> None:
        assert found.username is not None and found.password is not None
        token = self._log_in(found.username, found.password)
        self._found = found.renewed(self._server.origin, token, log=self._log)


class RestClient:
    """A SynDB at the address `config.url`. `log` hears what is created and what is waited for. The
    token is looked up when the first request needs it."""

    def __init__(self, name: str, config: RestSettings, log: Callable[[str], None]) -> None:
        # A crash of this process writes no core file from now on: it would hold secrets.
        _, hard = resource.getrlimit(resource.RLIMIT_CORE)
        resource.setrlimit(resource.RLIMIT_CORE, (0, hard))
        self.name = name
        self.config = config
        self.log = log
        self.access = Access(name, config, log, self._ask_for_token)
        self.session = Session(name, config, log, token=self.access.token, renew=self.access.renew)
        self._me: Identity | None = None

    # The account

    @property
    def origin(self) -> str:
        """What the token belongs to: `scheme://host[:port]`."""
        return self.config.origin

    @property
    def me(self) -> Identity:
        """`who_am_i`, asked once."""
        return self._me or self.who_am_i()

    def login(self, username: str, password: SecretStr) -> SecretStr:
        """The token for a user; used from now on. Raises `NotLoggedIn` when name or password are
        wrong."""
        token = self._ask_for_token(username, password)
        self.use(token)
        return token

    def use(self, token: SecretStr | None) -> None:
        """Ask with this token from now on, whatever is kept; None: with what is kept again."""
        self.access.use(token)
        self._me = None

    def logout(self) -> None:
        """Make the token worthless at the server. One that it no longer knows is no error."""
        try:
            answer = self.session.ask("POST", "/user/auth/native/logout", repeatable=True)
            self.good(answer, "to log out")
        except NotLoggedIn:
            return

    def authorization_url(self) -> str:
        """The page where a person proves to be an academic, for a browser."""
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
            raise self._refusal(answer, "who you are")
        profile = self.read(Profile, answer)
        self._me = Identity(id=profile.id, name=profile.email, verified=profile.is_verified)
        return self._me

    def person(self, user: str) -> str:
        """A user's e-mail address, if the server gives it; else the id."""
        answer = self.session.ask("GET", f"{_PROFILE}/id/{path_part(user)}")
        return self.read(Profile, answer).email if answer.good else user

    def _ask_for_token(self, username: str, password: SecretStr) -> SecretStr:
        secret = password.get_secret_value()
        form = {"grant_type": "password", "username": username, "password": secret}
        path = "/user/auth/native/login"
        answer = self.session.ask(
            "POST", path, form=form, repeatable=True, ours=False, secrets=(secret,)
        )
        if answer.status in (400, 401):
            raise NotLoggedIn(
                f"{self.name} does not take this user name and password: {answer}.",
                next_step=log_in_again(self.name, self.config, username),
            )
        self.good(answer, "to log in")
        token = self.read(Bearer, answer).access_token
        if not re.fullmatch(r"[!-~]{1,16384}", token):
            raise DestinationRefused(
                f"{self.name} gave something as a token that is none.",
                next_step=f"Is {self.config.url} a SynDB?",
            )
        return SecretStr(token)

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

    def _ask_info(self, dataset: UUID) -> Answer:
        return self.session.ask("GET", f"{METADATA}/dataset/{dataset}/info")

    def labels(self, which: str) -> dict[UUID, str]:
        path, what = f"{METADATA}/dataset/get/{which}", f"the list of {which} datasets"
        return self.get(Labels, path, what).uuid_to_label

    # Answers

    def get(
        self,
        model: type[_Body],
        path: str,
        asked: str,
        dataset: UUID | None = None,
        json: Any = None,
    ) -> _Body:
        """The good answer to a GET. Raises what another answer means, see `good`."""
        answer = self.session.ask("GET", path, json=json)
        self.good(answer, asked, dataset)
        return self.read(model, answer)

    def read(self, model: type[_Body], answer: Answer) -> _Body:
        try:
            return model.model_validate_json(answer.content)
        except ValidationError as error:
            first = error.errors(include_input=False, include_url=False)[0]
            place = ".".join(map(str, first["loc"])) or "its whole body"
            # A place may be a key that the server made up.
            wrong = cleaned(f"{place}: {first['msg']}")
        raise DestinationRefused(
            f"{self.name} answered what SynDB's published contract does not have ({wrong}).",
            next_step=f"Is {self.config.url} the address of a SynDB? Look at url in pipeline.yaml.",
        )

    def good(self, answer: Answer, asked: str, dataset: UUID | None = None) -> None:
        """Nothing for an answer that is good; else raises what it means."""
        if answer.good:
            return
        if answer.status == 403:
            raise self._forbidden(answer, asked, dataset)
        if answer.status == 404 and dataset is not None:
            raise unknown_dataset(dataset, self.name)
        raise self._refusal(answer, asked)

    def _refusal(self, answer: Answer, asked: str) -> DestinationRefused:
        advice = look_with_doctor(self.name)
        if answer.status in (404, 405):
            advice = f"Is {self.config.url} the address of a SynDB? Look at url in pipeline.yaml."
        return DestinationRefused(self.session.refused(answer, asked), next_step=advice)

    def _forbidden(self, answer: Answer, asked: str, dataset: UUID | None) -> DestinationRefused:
        """What a 403 means: it is given to who is not verified, and to who is not the owner."""
        me, said = self.who_am_i(), f"({asked}): {answer.words}"
        if not me.verified:
            return NotVerified(
                f"{self.name} has not verified that {me.name} is an academic, and so refuses "
                f"{said}",
                next_step="Follow the link that this shows: "
                f"syndb-pipeline login --destination {self.name}",
            )
        if dataset is None:
            return NotPermitted(
                f"{self.name} does not allow this to {me.name} {said}",
                next_step=f"Ask who runs {self.name}.",
            )
        found, owner = self._ask_info(dataset), "somebody else"
        if found.good:
            owner = self.person(self.read(UploadedDataset, found).owner_id)
        return NotPermitted(
            f"Dataset {dataset} at {self.name} belongs to {owner}; you are {me.name} {said}",
            next_step="Ask its owner to let a group of yours write to it, or give your dataset an "
            "id of its own.",
        )

    # A new dataset

    def register(self, metadata: Metadata) -> DatasetInfo:
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
        # Whether it was created now, was lost on the way back, or another was faster: the server
        # knows.
        there = self.info(dataset)
        if there is None:
            self.good(answer, f"to create dataset {dataset}")
            raise OutcomeUnknown(
                f"{self.name} created dataset {dataset}, and does not show it.",
                next_step="Give the same command again in a while.",
            )
        if not answer.good and there.owner != self.me.id:
            raise NotPermitted(
                f"The id {dataset} is in use at {self.name}, by {self.person(there.owner)}: "
                f"{answer.words}",
                next_step="Give your dataset an id of its own.",
            )
        return there.model_copy(update={"new": answer.good and answer is not _FOUND})

    def _create(self, metadata: Metadata) -> Answer:
        path, body = f"{METADATA}/dataset/new", new_dataset(metadata)
        try:
            return self.session.ask("POST", path, json=body, repeatable=False)
        except OutcomeUnknown as lost:
            self.log(f"{lost.message} Asking {self.name}.")
        if self.info(metadata.id) is not None:
            return _FOUND
        # The id is ours: should the first one still arrive, one of the two is answered that the id
        # is in use.
        return self.session.ask("POST", path, json=body, repeatable=False)

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
            raise self._forbidden(answer, f"to create {what}", None)
        if answer.good:
            self.log(f"Created {what} at {self.name}")
        return answer
