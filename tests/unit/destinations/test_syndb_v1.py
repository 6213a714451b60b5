"""Generation 2 (`/v1`) against the sandbox's face of it, a process of its own: the log-in and its
renewal, what is declared, registering, sending, deleting.

Belongs here: the destination by itself. Does not: whole commands (`test_v1_road.py`).
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from uuid import UUID

import duckdb
import pytest
from httpx import Headers
from pydantic import SecretStr

from syndb_pipeline.base.errors import (
    DestinationRefused,
    NotLoggedIn,
    NotPermitted,
    NotVerified,
    OutcomeUnknown,
)
from syndb_pipeline.config.settings import PipelineSettings
from syndb_pipeline.contract.tables import TABLES
from syndb_pipeline.destinations import open_destination
from syndb_pipeline.destinations.base import differences
from syndb_pipeline.destinations.embedded.node import EmbeddedNode
from syndb_pipeline.destinations.http import credentials
from syndb_pipeline.destinations.http.answers import Answer
from syndb_pipeline.destinations.syndb_v1 import SyndbV1Destination
from syndb_pipeline.destinations.syndb_v1.destination import SyndbV1
from syndb_pipeline.destinations.syndb_v1.openapi import Declared
from syndb_pipeline.destinations.syndb_v1.wire import NAMES, concepts
from tests.rest_lab import ADA, EVE, PASSWORD, TOM, Sandbox
from tests.rest_place import metadata, package, statuses

SECRET = SecretStr(PASSWORD)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    with Sandbox(tmp_path_factory.mktemp("sandbox"), v1="v1_upload") as sandbox:
        yield sandbox


def place_at(
    sandbox: Sandbox, tmp_path: Path, user: str | None = ADA, **more: Any
) -> tuple[SyndbV1, list[str]]:
    """The sandbox as `user` meets it, and what is logged; as nobody for None."""
    config = SyndbV1Destination(
        kind="syndb_v1",
        url=sandbox.url,
        **{"attempts": 3, **more},
    )
    settings = PipelineSettings(
        state=tmp_path / "state",
        memory_limit=600_000_000,
        threads=1,
        destinations={"syndb": config},
    )
    said: list[str] = []
    place = open_destination(settings, "syndb", said.append)
    assert isinstance(place, SyndbV1)
    if user is not None:
        place.login(user, SECRET)
        sandbox.script()
    return place, said


@pytest.fixture
def place(sandbox: Sandbox, tmp_path: Path) -> SyndbV1:
    return place_at(sandbox, tmp_path)[0]


def node_of(sandbox: Sandbox, owner: str = "x") -> EmbeddedNode:
    return EmbeddedNode("node", sandbox.node, owner=owner, memory_limit=10**9, threads=1)


# The log-in


@pytest.fixture
def kept(sandbox: Sandbox, tmp_path: Path) -> SyndbV1:
    """Somebody whose log-in is kept with a refresh token, and whose access token has ended."""
    place, _ = place_at(sandbox, tmp_path)
    token = place.login(ADA, SECRET)
    assert place.refresh is not None
    credentials.remember(place.origin, token=token, refresh=place.refresh, username=ADA)
    place.use(None)
    sandbox.script("expire@profile")
    return place


def kept_now(place: SyndbV1) -> credentials.Credentials:
    found = credentials.kept(place.origin)
    assert found is not None
    return found


def test_an_ended_token_is_renewed_and_both_new_ones_are_kept(
    kept: SyndbV1, sandbox: Sandbox
) -> None:
    before = kept_now(kept)
    assert kept.who_am_i().name == ADA
    after = kept_now(kept)
    assert after.username == ADA and None not in (after.token, after.refresh)
    assert (after.token, after.refresh) != (before.token, before.refresh)
    assert statuses(sandbox, "refresh") == [200]
    sandbox.script("expire@profile")
    assert kept.who_am_i().name == ADA  # the new one is good, once


def test_a_refresh_token_used_twice_ends_the_family(kept: SyndbV1, sandbox: Sandbox) -> None:
    stolen = kept_now(kept).refresh
    assert stolen is not None
    kept.who_am_i()
    with pytest.raises(NotLoggedIn, match="used already"):
        kept._exchange(stolen)
    sandbox.script("expire@profile")
    with pytest.raises(NotLoggedIn, match="does not renew") as caught:
        kept.who_am_i()
    assert "syndb-pipeline login --destination syndb" in caught.value.next_step
    assert kept_now(kept).refresh is None


def test_a_renewal_without_an_answer_is_never_tried_again(kept: SyndbV1, sandbox: Sandbox) -> None:
    sandbox.script("expire@profile", "drop@refresh")
    with pytest.raises(NotLoggedIn, match="cannot be renewed a second time"):
        kept.who_am_i()
    assert len(statuses(sandbox, "refresh")) == 1
    sandbox.script("expire@profile")
    kept.use(None)
    with pytest.raises(NotLoggedIn):
        kept.who_am_i()
    assert statuses(sandbox, "refresh") == []


def test_a_renewal_that_never_reached_the_server_may_be_tried_again(
    kept: SyndbV1, sandbox: Sandbox
) -> None:
    sandbox.script("expire@profile", "503@refresh:*,retry-after=0")
    with pytest.raises(DestinationRefused, match="503"):
        kept.who_am_i()
    sandbox.script("expire@profile")
    assert kept.who_am_i().name == ADA


def test_of_many_at_once_one_renews_it(kept: SyndbV1, sandbox: Sandbox) -> None:
    """Each has a lock of its own between its threads, as processes do."""
    sandbox.script("slow=0.2@refresh:*")
    others = [SyndbV1(kept.name, kept.config, kept._settings, kept.log) for _ in range(4)]
    ended = kept.access.token()
    assert {other.access.token() for other in others} == {ended}
    with ThreadPoolExecutor(len(others)) as pool:
        assert all(pool.map(lambda other: other.access.renew(ended), others))
    assert len({other.access.token() for other in others} | {kept_now(kept).token}) == 1
    assert statuses(sandbox, "refresh") == [200]


def test_a_crash_between_use_and_store_wants_another_log_in(
    kept: SyndbV1, sandbox: Sandbox
) -> None:
    def dies(_: SecretStr) -> tuple[SecretStr, SecretStr]:
        raise KeyboardInterrupt

    kept.access._exchange = dies
    with pytest.raises(KeyboardInterrupt):
        kept.who_am_i()
    again = SyndbV1(kept.name, kept.config, kept._settings, kept.log)
    with pytest.raises(NotLoggedIn):
        again.who_am_i()
    assert statuses(sandbox, "refresh") == []


def test_a_token_of_the_environment_is_not_exchanged_for_what_is_kept(
    kept: SyndbV1, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SYNDB_TOKEN__SYNDB", "v4.local.ended")
    with pytest.raises(NotLoggedIn):
        kept.who_am_i()
    assert statuses(sandbox, "refresh") == []


@pytest.mark.parametrize(("path", "meant"), [("", True), ("/v1", True), ("/v2", False)])
def test_the_environment_may_name_the_server_with_its_base_path(
    path: str, meant: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SYNDB_TOKEN__SYNDB", "v4.local.one")
    monkeypatch.setenv("SYNDB_URL__SYNDB", f"https://api.example.org{path}")
    own = SyndbV1Destination(kind="syndb_v1", url="https://api.example.org/v1")
    assert (credentials.not_meant_for("syndb", own) is None) == meant


def test_a_wrong_password_and_an_account_that_is_not_verified(
    sandbox: Sandbox, tmp_path: Path
) -> None:
    place, _ = place_at(sandbox, tmp_path, None)
    with pytest.raises(NotLoggedIn, match="does not take this user name") as caught:
        place.login(ADA, SecretStr("a wrong canary"))
    assert "canary" not in str(caught.value)
    tom, _ = place_at(sandbox, tmp_path, TOM)
    assert not tom.who_am_i().verified
    with pytest.raises(NotVerified, match="has not verified"):
        tom.register(metadata())


def test_logging_out_ends_the_family(kept: SyndbV1, sandbox: Sandbox) -> None:
    sandbox.script()
    now = kept_now(kept)
    kept.use(now.token)
    kept.refresh = now.refresh
    kept.logout()
    assert now.refresh is not None
    with pytest.raises(NotLoggedIn):
        kept._exchange(now.refresh)


def test_a_service_account(sandbox: Sandbox, tmp_path: Path) -> None:
    place, _ = place_at(sandbox, tmp_path, None)
    with pytest.raises(DestinationRefused, match="service secret is wrong"):
        place.register_service("robot@lab.example", SECRET, SecretStr("guessed"))
    secret = sandbox_secret(sandbox)
    for _ in range(2):
        place.register_service("robot@lab.example", SECRET, secret)
    place.login("robot@lab.example", SECRET)
    assert place.who_am_i().verified


def sandbox_secret(sandbox: Sandbox) -> SecretStr:
    from syndb_pipeline.sandbox.backend import Signer

    return SecretStr(Signer(sandbox.folder).password("service accounts"))


# Datasets


def test_the_whole_way(sandbox: Sandbox, tmp_path: Path) -> None:
    place, said = place_at(sandbox, tmp_path)
    wanted = metadata(microscopy="hippocampus")
    made = place.register(wanted)
    dataset = wanted.id
    assert made.new and made.number_of_units == 0
    assert differences(wanted, made.metadata, made.unsaid) == []
    assert differences(metadata(id=dataset, label="Other"), made.metadata, made.unsaid)
    assert not place.register(wanted).new
    assert [each.metadata.id for each in place.owned()] == [dataset]
    assert [each.metadata.id for each in place.incomplete()] == [dataset]
    sent = package(tmp_path, dataset, 50)
    upload = place.upload(dataset, sent)
    assert (upload.tar_sha256, upload.rows) == (sent.tar.sha256, sent.rows)
    info = place.info(dataset)
    assert info is not None and info.number_of_units == 100
    assert place.compare(dataset, sent)[0].found is None
    node = node_of(sandbox, place.me.id)
    assert all(check.whole for check in node.compare(dataset, sent))
    assert node.info(dataset).rows == {"axon": 50, "neuron": 50}  # type: ignore[union-attr]
    with pytest.raises(DestinationRefused, match="what a second upload does"):
        place.upload(dataset, sent)
    assert statuses(sandbox, "upload") == [204]
    assert not list((tmp_path / "state" / "uploads").iterdir())
    eve, _ = place_at(sandbox, tmp_path, EVE)
    with pytest.raises(NotPermitted, match="belongs to somebody else"):
        eve.delete(dataset)
    assert place.delete(dataset).label == wanted.label
    assert place.info(dataset) is None
    assert said == [f"Created dataset {dataset} at syndb"]


def test_terms_that_the_vocabularies_lack_are_named_and_the_server_decides(
    sandbox: Sandbox, tmp_path: Path
) -> None:
    place, said = place_at(sandbox, tmp_path)
    found = place.terms(metadata())
    assert found == {"Mus musculus": "Mus musculus", "ssTEM": "ssTEM", "hippocampus": "hippocampus"}
    assert said == ["Not in the vocabularies of syndb: ssTEM"]
    region = {"brain_structure": "nowhere at all", "direction": "null"}
    with pytest.raises(DestinationRefused, match="Not in the vocabularies: nowhere at all"):
        place.register(metadata(brain_regions=(region,)))


def test_a_lost_answer_to_registering_makes_no_second_dataset(
    sandbox: Sandbox, tmp_path: Path
) -> None:
    place, _ = place_at(sandbox, tmp_path)
    for fault in ("drop@new", "reset@new", "502@new"):
        sandbox.script(fault)
        wanted = metadata()
        assert place.register(wanted).metadata.id == wanted.id


def test_a_lost_answer_to_an_upload_is_unknown(sandbox: Sandbox, tmp_path: Path) -> None:
    place, _ = place_at(sandbox, tmp_path)
    dataset = place.register(metadata()).metadata.id
    sandbox.script("drop@upload")
    with pytest.raises(OutcomeUnknown, match="after everything was sent"):
        place.upload(dataset, package(tmp_path, dataset, 5))
    assert place.count(dataset) == 10
    assert len(statuses(sandbox, "upload")) == 1


def test_what_a_server_wants_and_we_lack_is_named_before_anything_is_registered(
    sandbox: Sandbox, tmp_path: Path
) -> None:
    place, _ = place_at(sandbox, tmp_path)
    wanted = metadata()
    with pytest.raises(DestinationRefused, match="cannot give: access_policy") as caught:
        place.register(wanted, "secret")  # type: ignore[arg-type]
    assert "syndb-pipeline export" in caught.value.next_step
    assert place.info(wanted.id) is None
    assert place.register(wanted, "restricted").access == "restricted"


@pytest.mark.parametrize(
    "content",
    [
        *(b"", b"{}", b"null", b"7", b"[7]", b'{"message": "later"}', b"[" * 100_000, b"<html>"),
        *(b'{"total_rows": true}', b'{"total_rows": "7"}', b'{"total_rows": -1}'),
        *(b'{"total_rows": ' + b"9" * 5_000 + b"}", b'[{"total_rows": 1}, {"total_rows": 2}]'),
    ],
)
def test_a_count_that_cannot_be_understood_is_never_none(
    place: SyndbV1, content: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer = Answer(200, Headers(), content)
    monkeypatch.setattr(type(place.session), "ask", lambda *_, **__: answer)
    with pytest.raises(DestinationRefused):
        place.count(UUID(int=1))
    with pytest.raises(DestinationRefused):
        place.owned()


# What a server declares


def document(body: dict[str, Any], path: str = "/v1/neurodata/datasets/{id}/x") -> bytes:
    return json.dumps(
        {
            "paths": {
                "/v1/neurodata/datasets": {"post": {}},
                path: {"post": {"requestBody": {"content": body}}},
            },
            "components": {
                "schemas": {"Form": FORM, "Loop": {"$ref": "#/components/schemas/Loop"}}
            },
        }
    ).encode()


FORM = {"properties": {"tar": {"type": "string", "format": "binary"}}, "required": ["tar"]}
MORE = FORM | {"required": ["tar", "sort"], "properties": FORM["properties"] | {"sort": {}}}
FILE = {"properties": {"file": {"type": "string", "contentMediaType": "application/x-tar"}}}
TABLE = {"properties": {"table": {"type": "string", "format": "binary"}}}
REFERENCE, LOOP = ({"$ref": f"#/components/schemas/{name}"} for name in ("Form", "Loop"))


@pytest.mark.parametrize(
    ("content", "field", "others"),
    [
        (document({"multipart/form-data": {"schema": FORM}}), "tar", 0),
        (document({"multipart/form-data": {"schema": REFERENCE}}), "tar", 0),
        (document({"multipart/form-data": {"schema": FILE}}), "file", 0),
        (document({"multipart/form-data": {"schema": MORE}}), None, 1),
        (document({"multipart/form-data": {"schema": TABLE}}), None, 1),
        (document({"multipart/form-data": {"schema": FORM}}, "/v1/neurodata/{a}/{b}"), None, 1),
        (document({"multipart/form-data": {"schema": FORM}}, "/v1/user/{id}/picture"), None, 0),
        (document({"application/vnd.apache.parquet": {}}), None, 1),
        (document({"application/json": {"schema": FORM}}), None, 0),
        (document({"multipart/form-data": {"schema": LOOP}}), None, 0),
        (b"[" * 100_000, None, 0),
        (b'{"paths": [1], "components": "x"}', None, 0),
        (b'{"paths": {"/v1/neurodata/datasets": {"post": {"requestBody": [1]}}}}', None, 0),
        (b"<html>", None, 0),
    ],
)
def test_which_route_takes_tables(content: bytes, field: str | None, others: int) -> None:
    route, found = Declared(content).upload()
    assert (route.field if route else None, len(found)) == (field, others)


def test_a_concept_is_offered_in_each_form_that_a_vocabulary_may_have() -> None:
    region = {"brain_structure": "mushroom body", "direction": "null"}
    fly = metadata(animal=7, animal_name="DROSOPHILA_MELANOGASTER", brain_regions=(region,))
    assert concepts(fly) == {
        "Drosophila melanogaster": (
            *("Drosophila melanogaster", "drosophila_melanogaster"),
            "NCBITaxon:7227",
        ),
        "ssTEM": ("ssTEM", "sstem"),
        "mushroom body": ("mushroom body", "mushroom_body", "FBbt:00005801"),
    }


def test_every_table_has_a_name_in_generation_2_or_a_reason() -> None:
    own = SyndbV1Destination(kind="syndb_v1", url="https://api.example.org/v1")
    assert own.url == "https://api.example.org" and own.target == "https://api.example.org/v1"
    lacking = TABLES.keys() - NAMES
    assert lacking == {"neuron_relation", "nucleus", "endoplasmic_reticulum"}
    assert len(own.cannot_send(TABLES, 2)) == 4 and own.cannot_send(NAMES, 0) == []


def test_tables_are_sent_under_their_names_with_ids_as_text(
    sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: dict[str, list[tuple[str, str]]] = {}

    def look(place: SyndbV1, method: str, path: str, part: Any) -> Any:
        for member in part.payload.members:
            described = duckdb.sql(f"DESCRIBE FROM '{member.path}'").fetchall()
            seen[member.name] = [(name, kind) for name, kind, *_ in described]
        raise OutcomeUnknown("Enough.")

    place, _ = place_at(sandbox, tmp_path)
    dataset = place.register(metadata()).metadata.id
    monkeypatch.setattr(type(place.session), "send_file", look)
    with pytest.raises(OutcomeUnknown):
        place.upload(dataset, package(tmp_path, dataset, 5))
    assert seen == {
        "neurons.parquet": [("neuron_id", "VARCHAR"), ("voxel_volume", "DOUBLE")],
        "axons.parquet": [
            ("axon_id", "VARCHAR"),
            ("voxel_volume", "DOUBLE"),
            ("terminal_count", "INTEGER"),
        ],
    }


def test_a_server_that_declares_no_route_for_tables_gets_nothing(tmp_path: Path) -> None:
    with Sandbox(tmp_path / "sandbox", v1="v1") as sandbox:
        place, _ = place_at(sandbox, tmp_path)
        wanted = metadata()
        for step in (
            lambda: place.register(wanted),
            lambda: place.upload(wanted.id, package(tmp_path, wanted.id, 5)),
        ):
            with pytest.raises(
                DestinationRefused, match="no route that takes all tables"
            ) as caught:
                step()
            assert caught.value.exit == 5 and "syndb-pipeline export" in caught.value.next_step
        assert node_of(sandbox).info(UUID(str(wanted.id))) is None
        assert {each["method"] for each in sandbox.requests()} <= {"GET"}
