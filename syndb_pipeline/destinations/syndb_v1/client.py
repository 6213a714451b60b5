"""Asking a SynDB of generation 2 by `/v1`: who asks, what it declares, datasets, vocabularies.

Belongs here: routes and bodies. Does not: tables (`destination.py`), names of metadata (`wire.py`).

Every route is on the API page of SynDB's documentation site (P); so are the bodies of the log-in
and of its renewal, of the validation of terms, and the form of an error. No source has the names in
other answers: each is read under every name that it may have, and what is not found is not known.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from functools import cached_property
from typing import Any, Final
from uuid import UUID

from pydantic import AliasChoices, Field, SecretStr

from syndb_pipeline.base.errors import DestinationRefused, NotLoggedIn, NotVerified, OutcomeUnknown
from syndb_pipeline.contract.vocabularies import ANIMALS, LICENSES, SPDX_LICENSES
from syndb_pipeline.destinations.base import DatasetInfo, Identity, Metadata, Policy
from syndb_pipeline.destinations.http.answers import Answer
from syndb_pipeline.destinations.http.bodies import Body, Id, Shown, Word
from syndb_pipeline.destinations.http.client import HttpClient
from syndb_pipeline.destinations.http.credentials import log_in_again
from syndb_pipeline.destinations.syndb_v1 import SyndbV1Destination as Settings
from syndb_pipeline.destinations.syndb_v1.openapi import DATASETS, Declared, UploadRoute
from syndb_pipeline.destinations.syndb_v1.wire import concepts, registration

EXPORT: Final = (
    "SynDB's own command line and web page take the same tables as files: "
    "syndb-pipeline export DATASET --to FOLDER\nFOLDER/README.txt says what to do with them."
)
"""The way in where this program has none."""

_AUTH, _DATASETS = "/v1/user/auth", f"/v1{DATASETS}"
_LINKS: Final = ("provenance", "versions", "lineage", "citation", "metadata.jsonld", "doi")
_UNSAID: Final = (
    *("brain_regions", "mutations", "publication_dois"),
    *("authorized_group_names", "dataset_collection_names"),
)
"""Metadata that are not compared: in no source does generation 2 give them back."""


class _Tokens(Body):
    access_token: str
    refresh_token: str = ""


class _Profile(Body):
    id: Id = Field(validation_alias=AliasChoices("id", "user_id"))
    name: Shown = Field("", validation_alias=AliasChoices("email", "display_name"))
    account: Shown = Field("", validation_alias=AliasChoices("account_type", "role"))
    verified: bool | None = Field(None, validation_alias=AliasChoices("is_verified", "verified"))


class _Dataset(Body):
    id: UUID = Field(validation_alias=AliasChoices("id", "dataset_id"))
    label: Word | None = None
    notes: str | None = Field(None, validation_alias=AliasChoices("notes", "description"))
    license: Word | None = Field(None, validation_alias=AliasChoices("license", "data_license"))
    animal: Word | None = Field(None, validation_alias=AliasChoices("species", "animal"))
    microscopy: Word | None = None
    access: Word | None = Field(None, validation_alias=AliasChoices("access_policy", "access"))
    owner: Id | None = Field(None, validation_alias=AliasChoices("owner_id", "owner"))

    def metadata(self) -> tuple[Metadata, tuple[str, ...]]:
        """What it says in generation 1's form, and which fields it does not say."""
        said = self.model_dump(exclude={"owner", "access"})
        unsaid = [name for name, value in said.items() if value is None]
        license = SPDX_LICENSES.get(self.license or "", self.license or "")
        animal = "_".join((self.animal or "").upper().split())
        known = {name: value or "" for name, value in said.items() if name != "animal"} | {
            "license": license,
            "data_license": LICENSES.get(license, 0),
            "animal": ANIMALS.get(animal, 0),
            "animal_name": animal,
            "brain_regions": (),
            "syndb_tables": (),
        }
        same = {"license": "data_license", "animal": "animal_name"}
        unsaid += [same[name] for name in unsaid if name in same]
        return Metadata.model_validate(known), (*unsaid, "microscopy", *_UNSAID)


class V1Client(HttpClient):
    """A SynDB by `/v1`."""

    keeps_access = True

    config: Settings

    def __init__(self, name: str, config: Settings, log: Callable[[str], None]) -> None:
        super().__init__(name, config, log, self._exchange)

    # The account

    def ask_for_token(self, username: str, password: SecretStr) -> SecretStr:
        body = {"email": username, "password": password.get_secret_value()}
        answer = self.log_in_at(f"{_AUTH}/login", username, password, json=body)
        token, self.refresh = self._tokens(answer)
        return token

    def register_service(self, email: str, password: SecretStr, secret: SecretStr) -> None:
        given = {"email": email, "password": password.get_secret_value(), "display_name": email}
        answer = self.session.ask(
            "POST",
            f"{_AUTH}/register-service",
            json=given,
            ours=False,
            repeatable=True,
            headers={"X-Service-Secret": secret.get_secret_value()},
            secrets=(given["password"], secret.get_secret_value()),
        )
        if not answer.good and answer.status != 409:
            raise self.refusal(answer, "to make a service account")

    def _exchange(self, refresh: SecretStr) -> tuple[SecretStr, SecretStr]:
        """A new pair for a refresh token that is used here, and never again."""
        secret = refresh.get_secret_value()
        again = log_in_again(self.name, self.config)
        try:
            answer = self.session.ask(
                "POST",
                f"{_AUTH}/refresh",
                json={"refresh_token": secret},
                repeatable=False,
                ours=False,
                secrets=(secret,),
            )
        except OutcomeUnknown as lost:
            raise NotLoggedIn(
                f"{lost.message}\nThe log-in at {self.name} cannot be renewed a second time with "
                "the same token: the server would end it everywhere.",
                next_step=again,
            ) from None
        if not answer.good:
            raise NotLoggedIn(
                f"{self.name} does not renew the log-in any more: {answer}.", next_step=again
            )
        token, new = self._tokens(answer)
        if new is None:
            raise NotLoggedIn(f"{self.name} gave no new refresh token.", next_step=again)
        return token, new

    def _tokens(self, answer: Answer) -> tuple[SecretStr, SecretStr | None]:
        given = self.read(_Tokens, answer)
        refresh = self.checked_token(given.refresh_token) if given.refresh_token else None
        return self.checked_token(given.access_token), refresh

    def logout(self) -> None:
        try:
            given = {"refresh_token": self.refresh.get_secret_value()} if self.refresh else None
            answer = self.session.ask("POST", f"{_AUTH}/logout", json=given, repeatable=True)
            self.good(answer, "to log out")
        except NotLoggedIn:
            return

    def authorization_url(self) -> str:
        raise NotVerified(
            f"{self.name} has not verified that {self.me.name} is an academic; nothing can be "
            "registered or uploaded.",
            next_step="Verify it at SynDB's own web page, through your institution (CILogon).",
        )

    def who_am_i(self) -> Identity:
        profile = self.get(_Profile, "/v1/user/profile", "who you are")
        # What the profile does not say, the routes will: they refuse whoever is not verified.
        verified = profile.verified
        if verified is None:
            verified = profile.account.casefold() != "regular"
        self._me = Identity(id=profile.id, name=profile.name or profile.id, verified=verified)
        return self._me

    # What it declares

    @cached_property
    def declared(self) -> Declared:
        """The server's OpenAPI. Raises `DestinationRefused` where there is none, or no /v1 in
        it."""
        answer = self.session.ask("GET", "/openapi.json", ours=False)
        declared = Declared(answer.content if answer.good else b"")
        if 2 not in declared.generations:
            raise self.no_way(f"{self.config.url}/openapi.json declares no datasets below /v1")
        return declared

    def upload_route(self) -> UploadRoute:
        """Where tables go. Raises `DestinationRefused` where nothing of that is declared."""
        route, others = self.declared.upload()
        if route is None:
            raise self.no_way(
                f"{self.name} declares no route that takes all tables in one request"
                + (f", but {', '.join(others)}" if others else "")
            )
        return route

    def no_way(self, why: str) -> DestinationRefused:
        """The refusal before anything is sent, with the way that there is."""
        return DestinationRefused(f"{why}. Nothing was sent.", next_step=EXPORT)

    # Datasets

    def owned(self) -> list[DatasetInfo]:
        return self._listed("owned")

    def modifiable(self) -> list[DatasetInfo]:
        return self._listed("modifiable")

    def incomplete(self) -> list[DatasetInfo]:
        return self._listed("incomplete")

    def _listed(self, which: str) -> list[DatasetInfo]:
        return self.infos(self._ids(which))

    def _ids(self, which: str) -> list[UUID]:
        """The datasets of a list, of ids or of objects with one."""
        content = self._json(f"{_DATASETS}/{which}", f"the list of {which} datasets")
        try:
            items = content if isinstance(content, list) else next(iter(content.values()))
            return [
                UUID(
                    str(each.get("id", each.get("dataset_id")) if isinstance(each, dict) else each)
                )
                for each in items
            ]
        except (AttributeError, StopIteration, TypeError, ValueError):
            raise self.not_understood(f"{which} datasets") from None

    def info(self, dataset: UUID) -> DatasetInfo | None:
        answer = self.session.ask("GET", f"{_DATASETS}/{dataset}")
        if answer.status == 404:
            return None
        self.good(answer, f"dataset {dataset}", dataset)
        found = self.read(_Dataset, answer)
        if found.id != dataset:
            raise DestinationRefused(f"{self.name} was asked for {dataset} and gave {found.id}.")
        metadata, unsaid = found.metadata()
        return DatasetInfo(
            metadata=metadata,
            owner=found.owner
            or (self.me.id if dataset in self._ids("owned") else self.owner_of(dataset)),
            rows=None,
            number_of_units=self.count(dataset),
            uploads=None,
            unsaid=unsaid,
            access=found.access,
        )

    def owner_of(self, dataset: UUID) -> str:
        return "somebody else"

    def count(self, dataset: UUID) -> int:
        """The rows there, all tables together. Raises `DestinationRefused` where they cannot be
        had: then no lost answer could be settled."""
        path = f"/v1/analytics/summary?dataset_ids={dataset}"
        summary = self._json(path, f"the rows of dataset {dataset}")
        if summary in ([], {"datasets": []}):
            return 0
        totals = _values(summary, "total_rows")
        if {type(each) for each in totals} != {int} or len({*totals}) > 1 or totals[0] < 0:
            raise self.not_understood(f"the rows of dataset {dataset}")
        return int(totals[0])

    def links(self, dataset: UUID) -> dict[str, str]:
        return {name: f"{self.config.url}{_DATASETS}/{dataset}/{name}" for name in _LINKS}

    def delete_path(self, dataset: UUID) -> str:
        return f"{_DATASETS}/{dataset}"

    def register(self, metadata: Metadata, policy: Policy = "open") -> DatasetInfo:
        """Create the dataset, or give it back as it is there; neither where no tables could be sent
        to it afterwards."""
        self.upload_route()
        if (there := self.info(metadata.id)) is not None:
            return there
        facts = registration(metadata, policy, self.terms(metadata))
        body, missing, unused = self.declared.filled(facts)
        if not {"id", "dataset_id"} & body.keys():
            missing.append("id")
        if policy != "open" and "access_policy" in unused:
            missing.append("access_policy")
        if missing:
            raise self.no_way(
                f"{self.name} wants of a new dataset what this program cannot give: "
                f"{', '.join(dict.fromkeys(missing))}"
            )
        if unused:
            self.log(f"{self.name} takes no {', '.join(unused)}; not sent")
        answer = self.create(metadata.id, _DATASETS, body)
        if answer.good:
            self.log(f"Created dataset {metadata.id} at {self.name}")
        return self.registered(metadata, answer)

    def terms(self, metadata: Metadata) -> dict[str, str]:
        """Each concept of the metadata in the form that the server's vocabularies have it in. Those
        that they have in none are logged: the server's word on them comes with the dataset."""
        wanted = concepts(metadata)
        every = list(dict.fromkeys(form for each in wanted.values() for form in each))
        answer = self.session.ask(
            "POST",
            "/v1/ontology/terms/validate",
            json={"terms": every},
            repeatable=True,
            ours=False,
        )
        self.good(answer, "to validate terms")
        valid = {each for each in _values(self._parsed(answer), "valid") if isinstance(each, str)}
        found = {
            concept: next((form for form in each if form in valid), concept)
            for concept, each in wanted.items()
        }
        if unknown := [concept for concept, term in found.items() if term not in valid]:
            self.log(f"Not in the vocabularies of {self.name}: {', '.join(unknown)}")
        return found

    def _json(self, path: str, asked: str) -> Any:
        answer = self.session.ask("GET", path)
        self.good(answer, asked)
        return self._parsed(answer)

    def _parsed(self, answer: Answer) -> Any:
        try:
            return json.loads(answer.content)
        except (ValueError, RecursionError):
            raise self.not_understood("a question") from None

    def not_understood(self, asked: str) -> DestinationRefused:
        return DestinationRefused(
            f"{self.name} answered what cannot be understood ({asked}).", next_step=EXPORT
        )


def _values(content: Any, name: str) -> list[Any]:
    """Every value under a key of this name, a list's items one by one."""
    return [
        item
        for each in _mappings(content)
        if name in each
        for item in (each[name] if isinstance(each[name], list) else [each[name]])
    ]


def _mappings(content: Any) -> Iterator[dict[str, Any]]:
    left = [content]
    while left:
        each = left.pop()
        if isinstance(each, dict):
            yield each
            each = list(each.values())
        if isinstance(each, list):
            left += each
