"""Asking a SynDB behind HTTP: whose token is sent, and what an answer that is no success means.

Belongs here: what is the same for every interface. Does not: routes and bodies (`rest/`,
`syndb_v1/`), HTTP itself (`session.py`).
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final, TypeVar
from uuid import UUID

from httpx import Headers
from pydantic import SecretStr, ValidationError

from syndb_pipeline.base.errors import (
    ConfigError,
    DestinationRefused,
    NotLoggedIn,
    NotPermitted,
    NotVerified,
    OutcomeUnknown,
)
from syndb_pipeline.base.system import write_no_core
from syndb_pipeline.destinations.base import (
    DatasetInfo,
    Deletion,
    Identity,
    Metadata,
    by_label,
    unknown_dataset,
)
from syndb_pipeline.destinations.http import HttpDestination
from syndb_pipeline.destinations.http.access import Access, Exchange
from syndb_pipeline.destinations.http.answers import Answer, cleaned
from syndb_pipeline.destinations.http.bodies import Body
from syndb_pipeline.destinations.http.credentials import log_in_again
from syndb_pipeline.destinations.http.session import Session, look_with_doctor

FOUND: Final = Answer(201, Headers(), b"")
"""In place of an answer that was lost: the dataset is there, created by that request or by somebody
else."""

_Body = TypeVar("_Body", bound=Body)


class HttpClient(ABC):
    """A SynDB at the address `config.url`. `log` hears what is created and what is waited for. The
    token is looked up when the first request needs it; `exchange` renews it, where the interface
    has refresh tokens."""

    def __init__(
        self,
        name: str,
        config: HttpDestination,
        log: Callable[[str], None],
        exchange: Exchange | None = None,
    ) -> None:
        write_no_core()
        self.name = name
        self.config = config
        self.log = log
        self.target = config.target
        self.settle_seconds = config.settle_seconds
        self.access = Access(name, config, log, self.ask_for_token, exchange)
        self.session = Session(name, config, log, token=self.access.token, renew=self.access.renew)
        self.refresh: SecretStr | None = None
        """What renews the token of the last log-in, where the server gave such a one."""
        self._me: Identity | None = None
        self._logged: set[str] = set()

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
        token = self.ask_for_token(username, password)
        self.use(token)
        return token

    def use(self, token: SecretStr | None) -> None:
        """Ask with this token from now on, whatever is kept; None: with what is kept again."""
        self.access.use(token)
        self._me = None

    @abstractmethod
    def who_am_i(self) -> Identity:
        """Whom the server takes us for."""

    @abstractmethod
    def ask_for_token(self, username: str, password: SecretStr) -> SecretStr:
        """A new token. Raises `NotLoggedIn` when name or password are wrong."""

    @abstractmethod
    def logout(self) -> None:
        """Make the token worthless at the server. One that it no longer knows is no error."""

    @abstractmethod
    def authorization_url(self) -> str:
        """The page where a person proves to be an academic, for a browser."""

    def register_service(self, email: str, password: SecretStr, secret: SecretStr) -> None:
        """Make a service account, which needs no academic verification; `secret` is what whoever
        runs the server gives out for it. One that is there already is no error."""
        raise ConfigError(
            f"{self.name} speaks an interface without service accounts.",
            next_step="Leave --service out.",
        )

    @abstractmethod
    def owner_of(self, dataset: UUID) -> str:
        """Whose a dataset is, for people."""

    def log_in_at(
        self, path: str, username: str, password: SecretStr, **body: Mapping[str, str]
    ) -> Answer:
        """The good answer to a log-in. Raises `NotLoggedIn` when name or password are wrong."""
        secrets = (password.get_secret_value(),)
        answer = self.session.ask(
            "POST", path, repeatable=True, ours=False, secrets=secrets, **body
        )
        if answer.status in (400, 401):
            raise NotLoggedIn(
                f"{self.name} does not take this user name and password: {answer}.",
                next_step=log_in_again(self.name, self.config, username),
            )
        self.good(answer, "to log in")
        return answer

    def checked_token(self, token: str) -> SecretStr:
        """A token as the server gave it. Raises `DestinationRefused` for one that cannot be one."""
        if not re.fullmatch(r"[!-~]{1,16384}", token):
            raise DestinationRefused(
                f"{self.name} gave something as a token that is none.",
                next_step=f"Is {self.config.url} a SynDB?",
            )
        return SecretStr(token)

    # Datasets

    @abstractmethod
    def info(self, dataset: UUID) -> DatasetInfo | None:
        """The dataset, or None when there is none."""

    @abstractmethod
    def delete_path(self, dataset: UUID) -> str:
        """Where a dataset is deleted."""

    def links(self, dataset: UUID) -> dict[str, str]:
        """Where a dataset's provenance and citation are, as far as the interface has such."""
        return {}

    def mine(self, infos: list[DatasetInfo]) -> list[DatasetInfo]:
        me = self.who_am_i().id
        return [info for info in infos if info.owner == me]

    def infos(self, datasets: Iterable[UUID]) -> list[DatasetInfo]:
        with ThreadPoolExecutor(self.config.parallel_files) as pool:
            return by_label(filter(None, pool.map(self.info, dict.fromkeys(datasets))))

    def delete(self, dataset: UUID) -> Deletion:
        info = self.info(dataset)
        if info is None:
            raise unknown_dataset(dataset, self.name)
        me = self.me
        answer = self.session.ask("DELETE", self.delete_path(dataset))
        if answer.status != 404:  # gone: by this request, whose first answer was lost, or another
            self.good(answer, f"to delete dataset {dataset}", dataset)
        if self.info(dataset) is not None:
            if answer.status == 404:  # then it is the route that is not there
                raise self.refusal(answer, f"to delete dataset {dataset}")
            raise OutcomeUnknown(
                f"{self.name} answered that dataset {dataset} is deleted, and still shows it.",
                next_step="Give the same command again in a while.",
            )
        return Deletion.of(info, None, me.id)

    def deletions(self, dataset: UUID) -> tuple[Deletion, ...]:
        return ()

    def create(self, dataset: UUID, path: str, body: dict[str, Any]) -> Answer:
        """The answer to the request that creates a dataset; `FOUND` where it was lost, and the
        dataset is there."""
        try:
            return self.session.ask("POST", path, json=body, repeatable=False)
        except OutcomeUnknown as lost:
            self.log(f"{lost.message} Asking {self.name}.")
        if self.info(dataset) is not None:
            return FOUND
        # The id is ours: should the first one still arrive, one of the two is answered that the id
        # is in use.
        return self.session.ask("POST", path, json=body, repeatable=False)

    def registered(self, metadata: Metadata, answer: Answer) -> DatasetInfo:
        """The dataset after `answer` to the request that creates it."""
        dataset = metadata.id
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
                f"The id {dataset} is in use at {self.name}, by {self.owner_of(dataset)}: "
                f"{answer.words}",
                next_step="Give your dataset an id of its own.",
            )
        return there.model_copy(update={"new": answer.good and answer is not FOUND})

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
            raise self.forbidden(answer, asked, dataset)
        if answer.status == 404 and dataset is not None:
            raise unknown_dataset(dataset, self.name)
        raise self.refusal(answer, asked)

    def refusal(self, answer: Answer, asked: str) -> DestinationRefused:
        advice = look_with_doctor(self.name)
        if answer.status in (404, 405):
            advice = f"Is {self.config.url} the address of a SynDB? Look at url in pipeline.yaml."
        return DestinationRefused(self.session.refused(answer, asked), next_step=advice)

    def forbidden(self, answer: Answer, asked: str, dataset: UUID | None) -> DestinationRefused:
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
        return NotPermitted(
            f"Dataset {dataset} at {self.name} belongs to {self.owner_of(dataset)}; "
            f"you are {me.name} {said}",
            next_step="Ask its owner to let a group of yours write to it, or give your dataset an "
            "id of its own.",
        )

    def log_once(self, line: str) -> None:
        """Log what would be said again and again once."""
        if line not in self._logged:
            self._logged.add(line)
            self.log(line)
