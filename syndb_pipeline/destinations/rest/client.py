"""Asking a SynDB by its REST interface: who asks, what an answer means, and one dataset.

Belongs here: routes, the account, answers that are no success. Does not: what is done with datasets
(`rest.py`, `rest_register.py`).
"""

from __future__ import annotations

import re
import resource
from collections.abc import Callable
from typing import Final, TypeVar
from uuid import UUID

from pydantic import SecretStr, ValidationError

from syndb_pipeline.base.errors import (
    DestinationRefused,
    NotLoggedIn,
    NotPermitted,
    NotVerified,
    UnknownDataset,
)
from syndb_pipeline.config.destination_settings import RestDestination as RestSettings
from syndb_pipeline.destinations.base import DatasetInfo, Identity
from syndb_pipeline.destinations.rest.access import Access, log_in_anew
from syndb_pipeline.destinations.rest.http import Session, look_with_doctor, path_part
from syndb_pipeline.destinations.rest.http_address import require_safe
from syndb_pipeline.destinations.rest.http_answer import Answer, cleaned
from syndb_pipeline.destinations.rest.metadata import (
    Authorization,
    Bearer,
    Labels,
    Profile,
    Read,
    UploadedDataset,
)

LOGIN: Final = "/user/auth/native/login"
LOGOUT: Final = "/user/auth/native/logout"
PROFILE: Final = "/user/profile/current"
PROFILE_OF: Final = "/user/profile/id"
AUTHORIZE: Final = "/user/academic/authorize"
METADATA: Final = "/neurodata/metadata"
IO: Final = "/neurodata/io"

_Body = TypeVar("_Body", bound=Read)


def _keep_out_of_core_dumps() -> None:
    """Let a crash of this process write no core file from now on: it would hold the secrets that
    are in memory.
    """
    _, hard = resource.getrlimit(resource.RLIMIT_CORE)
    resource.setrlimit(resource.RLIMIT_CORE, (0, hard))


class RestClient:
    """A SynDB at the address `config.url`. `say` hears what is waited for. The token is looked up
    when the first request needs it.
    """

    def __init__(self, name: str, config: RestSettings, say: Callable[[str], None]) -> None:
        _keep_out_of_core_dumps()
        self.name = name
        self.config = config
        self.say = say
        self.access = Access(name, config, say, self._ask_for_token)
        self.session = Session(name, config, say, token=self.access.token, renew=self.access.renew)
        self._me: Identity | None = None

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
        wrong.
        """
        token = self._ask_for_token(username, password)
        self.use(token)
        return token

    def use(self, token: SecretStr | None) -> None:
        """Ask with this token from now on, whatever is kept; None: with what is kept again."""
        self.access.use(token)
        self._me = None

    def logout(self) -> None:
        """Make the token worthless at the server. One that it does not know any more is no
        error.
        """
        try:
            self.good(self.session.ask("POST", LOGOUT, repeatable=True), "to log out")
        except NotLoggedIn:
            return

    def authorization_url(self) -> str:
        """The page where a person proves to be an academic, for a browser."""
        answer = self.session.ask("GET", AUTHORIZE)
        if not answer.good:  # never explained by "not verified": that is what this route is for
            raise DestinationRefused(
                self.session.refused(answer, "the page for academic verification")
            )
        url = self.read(Authorization, answer).authorization_url
        require_safe(url, self.config.url, self.name, "the page for academic verification")
        return url

    def who_am_i(self) -> Identity:
        answer = self.session.ask("GET", PROFILE)
        if not answer.good:
            raise DestinationRefused(
                self.session.refused(answer, "who you are"), next_step=self._advice(answer)
            )
        profile = self.read(Profile, answer)
        self._me = Identity(id=profile.id, name=profile.email, verified=profile.is_verified)
        return self._me

    def _ask_for_token(self, username: str, password: SecretStr) -> SecretStr:
        secret = password.get_secret_value()
        form = {"grant_type": "password", "username": username, "password": secret}
        answer = self.session.ask(
            "POST", LOGIN, form=form, repeatable=True, ours=False, secrets=(secret,)
        )
        if answer.status in (400, 401):
            raise NotLoggedIn(
                f"{self.name} does not take this user name and password: {answer}.",
                next_step=log_in_anew(self.name, self.config, username),
            )
        self.good(answer, "to log in")
        token = self.read(Bearer, answer).access_token
        if not re.fullmatch(r"[!-~]{1,16384}", token):
            raise DestinationRefused(
                f"{self.name} gave something as a token that is none.",
                next_step=f"Is {self.config.url} a SynDB?",
            )
        return SecretStr(token)

    def info(self, dataset: UUID) -> DatasetInfo | None:
        answer = self.session.ask("GET", f"{METADATA}/dataset/{dataset}/info")
        if answer.status == 404:
            return None
        # The contract has no 404 here, only 403 and 422. Either may stand for "no such dataset",
        # and then the list of all lacks it; when that list is kept from us as well, its own refusal
        # is raised.
        if answer.status in (403, 422) and dataset not in self.labels("all"):
            return None
        self.good(answer, f"dataset {dataset}", dataset)
        found = self.read(UploadedDataset, answer).info
        if (
            found.metadata.id != dataset
        ):  # a cache between us and the server; what is decided by it would be about another dataset
            raise DestinationRefused(
                f"{self.name} was asked for dataset {dataset} and answered with"
                f" {found.metadata.id}.",
                next_step=f"Report it to who runs {self.name}.",
            )
        return found

    def labels(self, which: str) -> dict[UUID, str]:
        answer = self.session.ask("GET", f"{METADATA}/dataset/get/{which}")
        self.good(answer, f"the list of {which} datasets")
        return self.read(Labels, answer).uuid_to_label

    # Answers

    def read(self, model: type[_Body], answer: Answer) -> _Body:
        try:
            return model.model_validate_json(answer.content)
        except ValidationError as error:
            first = error.errors(include_input=False, include_url=False)[0]
            place = ".".join(map(str, first["loc"])) or "its whole body"
            wrong = cleaned(
                f"{place}: {first['msg']}"
            )  # a place may be a key that the server made up
        raise DestinationRefused(
            f"{self.name} answered what SynDB's published contract does not have ({wrong}).",
            next_step=f"Is {self.config.url} the address of a SynDB, with its base path?",
        )

    def good(self, answer: Answer, asked: str, dataset: UUID | None = None) -> None:
        """Nothing for an answer that is good; else raises what it means."""
        if answer.good:
            return
        if answer.status == 403:
            raise self.forbidden(answer, asked, dataset)
        if answer.status == 404 and dataset is not None:
            raise self.unknown(dataset)
        raise DestinationRefused(
            self.session.refused(answer, asked), next_step=self._advice(answer)
        )

    def _advice(self, answer: Answer) -> str:
        if answer.status in (404, 405):
            return (
                f"Is {self.config.url} the address of a SynDB, with its base path? Look at url in"
                " pipeline.yaml."
            )
        return look_with_doctor(self.name)

    def forbidden(
        self, answer: Answer, asked: str, dataset: UUID | None = None
    ) -> DestinationRefused:
        """What a 403 means: it is given to who is not verified, and to who is not the owner."""
        me = self.who_am_i()
        if not me.verified:
            return NotVerified(
                f"{self.name} has not verified that {me.name} is an academic, and so refuses"
                f" ({asked}): {answer.words}",
                next_step=(
                    "Follow the link that this shows: syndb-pipeline login --destination"
                    f" {self.name}"
                ),
            )
        if dataset is None:
            return NotPermitted(
                f"{self.name} does not allow this to {me.name} ({asked}): {answer.words}",
                next_step=f"Ask who runs {self.name}.",
            )
        found = self.session.ask("GET", f"{METADATA}/dataset/{dataset}/info")
        owner = (
            self.person(self.read(UploadedDataset, found).owner_id)
            if found.good
            else "somebody else"
        )
        return NotPermitted(
            f"Dataset {dataset} at {self.name} belongs to {owner}; you are {me.name} ({asked}):"
            f" {answer.words}",
            next_step=(
                "Ask its owner to let a group of yours write to it, or give your dataset an id of"
                " its own."
            ),
        )

    def person(self, user: str) -> str:
        """A user's e-mail address, when it is told; else the id."""
        answer = self.session.ask("GET", f"{PROFILE_OF}/{path_part(user)}")
        return self.read(Profile, answer).email if answer.good else user

    def unknown(self, dataset: UUID) -> UnknownDataset:
        return UnknownDataset(
            f"There is no dataset {dataset} at {self.name}.",
            next_step=(
                f"List those there are with: syndb-pipeline datasets --destination {self.name}"
            ),
        )
