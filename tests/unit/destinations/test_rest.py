"""The REST destination against the sandbox, a process of its own: what is sent, what an answer
means, what a person reads; meshes and skeletons with the object store behind it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
from pydantic import SecretStr

from syndb_pipeline.base.errors import (
    DestinationRefused,
    NotLoggedIn,
    NotPermitted,
    NotVerified,
    UnknownDataset,
)
from syndb_pipeline.base.progress import Progress
from syndb_pipeline.base.tar_stream import FilePayload, TarPayload
from syndb_pipeline.destinations.base import SUFFIX, DatasetInfo, Package, differences
from syndb_pipeline.destinations.http import credentials, session
from syndb_pipeline.destinations.rest.destination import RestDestination
from tests.rest_lab import ADA, BOB, EVE, PASSWORD, TOM, Sandbox
from tests.rest_place import (
    AXON,
    NEURON,
    destination,
    mesh,
    metadata,
    package,
    parquet_of,
    statuses,
)


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def place(sandbox: Sandbox, tmp_path: Path, said: list[str]) -> RestDestination:
    """The sandbox as Ada meets it; what it says is in `said`."""
    return destination(sandbox, tmp_path, told=said)


@pytest.fixture
def dataset(place: RestDestination) -> UUID:
    """A dataset of hers."""
    return place.register(metadata()).metadata.id


def known(place: RestDestination, dataset: UUID) -> DatasetInfo:
    info = place.info(dataset)
    assert info is not None
    return info


# Who


def test_the_address_is_the_target_and_opening_asks_nothing(
    sandbox: Sandbox, tmp_path: Path
) -> None:
    place = destination(sandbox, tmp_path, None)
    assert place.target == place.origin == sandbox.url
    assert place.settle_seconds == 120
    assert sandbox.requests() == []


def test_identity_and_verification(
    place: RestDestination, sandbox: Sandbox, tmp_path: Path
) -> None:
    ada, tom = place.who_am_i(), destination(sandbox, tmp_path, TOM)
    assert (ada.name, ada.verified) == (ADA, True)
    assert (tom.me.name, tom.me.verified) == (TOM, False)
    assert UUID(ada.id) != UUID(tom.me.id)
    assert tom.authorization_url().startswith(sandbox.url)
    with pytest.raises(NotVerified, match=f"has not verified that {TOM}") as caught:
        tom.register(metadata())
    assert caught.value.next_step.endswith("syndb-pipeline login --destination syndb")


def test_a_wrong_password_is_not_repeated(sandbox: Sandbox, tmp_path: Path) -> None:
    place = destination(sandbox, tmp_path, None)
    with pytest.raises(NotLoggedIn, match="does not take this user name and password") as caught:
        place.login(ADA, SecretStr("a wrong canary"))
    assert "canary" not in str(caught.value)
    assert statuses(sandbox, "login") == [400]
    with pytest.raises(NotLoggedIn) as caught:
        place.who_am_i()
    assert caught.value.next_step == "Log in with: syndb-pipeline login --destination syndb"


def test_name_and_password_of_the_environment_are_enough(
    sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SYNDB_USERNAME__SYNDB", ADA)
    monkeypatch.setenv("SYNDB_PASSWORD__SYNDB", PASSWORD)
    place = destination(sandbox, tmp_path, None)
    assert place.who_am_i().name == ADA
    assert place.modifiable() is not None
    assert statuses(sandbox, "login") == [200]


def test_an_expired_token_is_renewed_once_and_kept(
    sandbox: Sandbox, tmp_path: Path, said: list[str]
) -> None:
    place, old = destination(sandbox, tmp_path, None, said), sandbox.token()
    credentials.remember(
        place.origin, token=SecretStr(old), username=ADA, password=SecretStr(PASSWORD)
    )
    sandbox.script("expire@profile")
    assert place.who_am_i().name == ADA
    kept = credentials.find("syndb", place.config)
    assert kept is not None and kept.token is not None
    assert kept.token.get_secret_value() != old
    assert said == [f"syndb does not take the token any more; logging in again as {ADA}"]
    assert statuses(sandbox, "profile") == [401, 200]


def test_logging_out_ends_the_token_and_may_be_repeated(place: RestDestination) -> None:
    place.logout()
    with pytest.raises(NotLoggedIn):
        place.who_am_i()
    place.logout()


# Datasets


def test_registering_creates_what_is_missing_and_says_so(
    place: RestDestination, said: list[str]
) -> None:
    wanted = metadata(
        microscopy="a new one",
        mutations=({"gene": "tnt", "expression": "knock-out"},),
        publication_dois=("10.1126/science.add9330",),
        dataset_collection_names=("brains", "more brains"),
        authorized_group_names=("lab",),
        animal=3,
        animal_name="MERIONES_UNGUICULATUS",
    )
    info = place.register(wanted)
    assert differences(wanted, info.metadata) == []
    assert info.metadata.animal_name == "MERIONES_UNGUICULATUS"
    assert (info.owner, info.rows, info.uploads) == (place.who_am_i().id, None, None)
    assert (info.number_of_units, info.new) == (0, True)
    for created in (
        "microscopy a new one",
        "mutation tnt (knock-out)",
        "publication 10.1126",
        "animal MERIONES",
        "collection more brains",
    ):
        assert any(line.startswith(f"Created the {created}") for line in said), created
    assert said[-1] == f"Created dataset {wanted.id} at syndb"


def test_a_publication_known_in_other_letters_is_no_obstacle(place: RestDestination) -> None:
    for doi in ("10.1234/abc", "10.1234/ABC"):
        wanted = metadata(publication_dois=(doi,))
        assert differences(wanted, place.register(wanted).metadata) == []


def test_registering_again_gives_the_dataset_as_it_is(
    place: RestDestination, sandbox: Sandbox
) -> None:
    wanted = metadata(
        notes="",
        data_license=1,
        license="CC0",
        label="ü" * 120,
        brain_regions=({"brain_structure": "hippocampus", "direction": "anterior"},),
    )
    first = place.register(wanted)
    sandbox.script()
    there = first.model_copy(update={"new": False})
    for again in (wanted, wanted.model_copy(update={"label": "another"})):
        assert place.register(again) == there  # publishing sees the difference
    assert statuses(sandbox, "new") == []
    assert there.metadata == wanted.model_copy(update={"syndb_tables": (NEURON, AXON)})


@pytest.mark.parametrize(
    "fault",
    [
        *(f"{what}@new" for what in ("drop", "reset-response", "429", "503", "502", "reset")),
        "drop@tag",
        "drop@collection",
    ],
)
def test_registering_survives_a_lost_answer(
    fault: str, place: RestDestination, sandbox: Sandbox
) -> None:
    sandbox.script(fault)
    wanted = metadata(microscopy=f"for {fault}", dataset_collection_names=(f"for {fault}",))
    info = place.register(wanted)
    assert differences(wanted, info.metadata) == []
    assert info.new
    assert len(sandbox.script_log()) == 1
    assert [info.metadata.id for info in place.owned()].count(wanted.id) == 1


def test_a_dataset_whose_answer_was_lost_may_be_the_work_of_another(
    place: RestDestination, sandbox: Sandbox
) -> None:
    assert place.register(metadata()).new
    sandbox.script("drop@new")
    assert not place.register(metadata()).new
    assert statuses(sandbox, "new") == [201]


def test_an_unknown_group_is_something_to_make_elsewhere(place: RestDestination) -> None:
    with pytest.raises(DestinationRefused) as caught:
        place.register(metadata(authorized_group_names=("no such group",)))
    assert "404" in caught.value.message
    assert "Groups are made at SynDB's own site" in caught.value.next_step


def test_the_id_of_another_is_not_ours(
    place: RestDestination, sandbox: Sandbox, tmp_path: Path
) -> None:
    """The dataset comes into being after we looked: the server's "in use" says it."""
    wanted, eve = metadata(), destination(sandbox, tmp_path, EVE)
    looked: list[UUID] = []
    plain = eve.info

    def info(dataset: UUID) -> Any:
        found = plain(dataset)
        if not looked:
            place.register(wanted)
        looked.append(dataset)
        return found

    eve.info = info  # type: ignore[method-assign]
    with pytest.raises(NotPermitted, match=f"in use at syndb, by {ADA}"):
        eve.register(wanted)


def test_lists_are_of_those_who_own_and_those_who_may(
    place: RestDestination, sandbox: Sandbox, tmp_path: Path
) -> None:
    bob, eve = (destination(sandbox, tmp_path, user) for user in (BOB, EVE))
    ours, alone = metadata(label="B", authorized_group_names=("lab",)), metadata(label="A")
    place.register(ours)
    place.register(alone)

    def ids(found: list[Any]) -> list[UUID]:
        return [info.metadata.id for info in found if info.metadata.id in (ours.id, alone.id)]

    for listed in (place.owned, place.modifiable, place.incomplete):
        assert ids(listed()) == [alone.id, ours.id]
    assert ids(bob.modifiable()) == [ours.id]
    assert ids(bob.owned()) == ids(eve.modifiable()) == []
    place.upload(ours.id, package(tmp_path, ours.id))
    assert ids(place.incomplete()) == [alone.id]


# Tables


def test_an_upload_arrives_and_is_read_back(
    place: RestDestination, dataset: UUID, tmp_path: Path
) -> None:
    shown: list[Progress] = []
    parcel = package(tmp_path, dataset)
    upload = place.upload(dataset, parcel, shown.append)
    assert (upload.tar_sha256, upload.by) == (parcel.tar.sha256, place.who_am_i().id)
    assert upload.rows == {"neuron": 100, "axon": 100}
    assert known(place, dataset).number_of_units == 200
    checks = place.compare(dataset, parcel)
    assert [(check.table, check.whole) for check in checks] == [("neuron", True), ("axon", True)]
    size = parcel.tar.bytes
    assert shown[-1] == Progress(what=f"{dataset}.tar", done=size, total=size, unit="bytes")
    assert list((tmp_path / "state" / "downloads").iterdir()) == []


@pytest.mark.parametrize(
    ("fault", "table"),
    [("lose-row", "axon"), ("double-row", "neuron"), ("alter-row", "axon"), ("truncate", "axon")],
)
def test_reading_back_sees_a_server_that_spoils_rows(
    fault: str, table: str, place: RestDestination, dataset: UUID, sandbox: Sandbox, tmp_path: Path
) -> None:
    parcel = package(tmp_path, dataset, 1500)
    sandbox.script(f"{fault}@upload,table={table}")
    place.upload(dataset, parcel)
    checks = {check.table: check.whole for check in place.compare(dataset, parcel)}
    assert checks == {"neuron": True, "axon": True} | {table: False}


def test_a_server_that_lets_no_rows_be_read_says_so_once(
    place: RestDestination, dataset: UUID, sandbox: Sandbox, tmp_path: Path, said: list[str]
) -> None:
    parcel = package(tmp_path, dataset)
    place.upload(dataset, parcel)
    sandbox.script("501@download:*")
    for _ in range(2):
        for check in place.compare(dataset, parcel):
            assert (check.found, check.missing, check.doubled) == (None, None, None)
            assert not check.whole
    assert [line for line in said if "does not let the rows be read back" in line] == [said[-1]]


@pytest.mark.parametrize(
    "fault",
    [
        "429@upload,retry-after=0",
        "503@upload,retry-after=0",
        "reset@upload,after=1000000",
        "expire@upload",
    ],
)
def test_an_upload_that_was_not_taken_is_sent_again(
    fault: str, sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SYNDB_USERNAME__SYNDB", ADA)
    monkeypatch.setenv("SYNDB_PASSWORD__SYNDB", PASSWORD)
    place, wanted = destination(sandbox, tmp_path, None), metadata()
    place.register(wanted)
    parcel = package(tmp_path, wanted.id, 300_000 if fault.startswith("reset") else 100)
    sandbox.script(fault)
    place.upload(wanted.id, parcel)
    assert known(place, wanted.id).number_of_units == sum(parcel.rows.values())
    assert len(sandbox.script_log()) >= 1


def test_what_arrived_has_arrived_whatever_becomes_of_the_tables_here(
    place: RestDestination, dataset: UUID, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "neuron.parquet"
    parquet_of(path, "SELECT uuid() AS cid, 1.5::DOUBLE AS voxel_volume")
    tar = TarPayload(f"{dataset}.tar", (FilePayload.of(path),))
    send = place.session.send_file

    def send_and_lose(*given: Any, **more: Any) -> Any:
        answer = send(*given, **more)
        path.unlink()
        return answer

    monkeypatch.setattr(place.session, "send_file", send_and_lose)
    upload = place.upload(dataset, Package(tar=tar, rows={"neuron": 1}))
    assert (upload.rows, upload.tar_sha256, upload.bytes) == ({"neuron": 1}, tar.sha256, tar.bytes)
    assert known(place, dataset).number_of_units == 1


def test_who_is_not_the_owner_is_shown_who_is(
    place: RestDestination, dataset: UUID, sandbox: Sandbox, tmp_path: Path
) -> None:
    eve, parcel = destination(sandbox, tmp_path, EVE), package(tmp_path, dataset)
    attempts: list[Callable[[], object]] = [
        lambda: eve.upload(dataset, parcel),
        lambda: eve.delete(dataset),
        lambda: eve.put_files(dataset, [mesh(tmp_path)]),
    ]
    for attempt in attempts:
        with pytest.raises(
            NotPermitted, match=f"Dataset {dataset} at syndb belongs to {ADA}; you are {EVE}"
        ) as caught:
            attempt()
        assert "Ask its owner" in caught.value.next_step


def test_a_dataset_that_is_not_there_takes_nothing(place: RestDestination, tmp_path: Path) -> None:
    nowhere = uuid4()
    assert place.info(nowhere) is None
    with pytest.raises(UnknownDataset):
        place.upload(nowhere, package(tmp_path, nowhere))
    with pytest.raises(UnknownDataset):
        place.delete(nowhere)


@pytest.mark.parametrize("fault", ["", "drop@delete", "reset@delete", "503@delete"])
def test_a_deleted_dataset_is_gone(fault: str, place: RestDestination, sandbox: Sandbox) -> None:
    dataset = place.register(metadata(label="to go")).metadata.id
    sandbox.script(*filter(None, [fault]))
    deletion = place.delete(dataset)
    assert (deletion.label, deletion.rows, deletion.files) == ("to go", None, None)
    assert deletion.by == place.who_am_i().id
    assert (place.info(dataset), place.deletions(dataset)) == (None, ())


# Meshes and skeletons


def test_files_arrive_once_and_are_seen(
    place: RestDestination, dataset: UUID, sandbox: Sandbox, tmp_path: Path
) -> None:
    shown: list[Progress] = []
    files = [mesh(tmp_path, kind) for kind in SUFFIX for _ in range(12)]
    assert place.lacking(dataset, files) == files
    sandbox.script()
    assert place.put_files(dataset, files[:20], shown.append) == []
    assert statuses(sandbox, "upload-url") == [201, 201]
    assert len(statuses(sandbox, "object")) == 20
    assert place.lacking(dataset, files) == files[20:]
    assert (shown[-1].done, shown[-1].total, shown[-1].unit) == (20, 20, "files")
    assert place.files(dataset) is None


def test_a_file_whose_content_changed_is_lacking_and_replaced(
    place: RestDestination, dataset: UUID, tmp_path: Path
) -> None:
    file = mesh(tmp_path)
    assert place.put_files(dataset, [file]) == []
    file.path.write_bytes(file.path.read_bytes()[::-1])
    changed = file.model_copy(update={"sha256": hashlib.sha256(file.path.read_bytes()).hexdigest()})
    assert place.lacking(dataset, [changed]) == [changed]
    assert place.put_files(dataset, [changed]) == []
    assert place.lacking(dataset, [changed]) == []


def test_the_object_store_never_sees_the_token(
    place: RestDestination, dataset: UUID, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: set[tuple[bool, bool]] = set()
    plain = session.send

    def send(pool: Any, request: httpx.Request) -> Any:
        sent.add((request.url.path.startswith("/objects"), "authorization" in request.headers))
        return plain(pool, request)

    monkeypatch.setattr(session, "send", send)
    files = [mesh(tmp_path)]
    assert place.put_files(dataset, files) == []
    assert place.lacking(dataset, files) == []
    assert sent == {(True, False), (False, True)}


@pytest.mark.parametrize(
    "fault", ["503@object:2", "reset@object:2", "drop@object:2", "429@object:2,retry-after=0"]
)
def test_a_file_that_meets_trouble_is_sent_again(
    fault: str, place: RestDestination, dataset: UUID, sandbox: Sandbox, tmp_path: Path
) -> None:
    files = [mesh(tmp_path) for _ in range(3)]
    sandbox.script(fault)
    assert place.put_files(dataset, files) == []
    sandbox.script()
    assert place.lacking(dataset, files) == []


def test_a_file_that_fails_is_named_and_the_others_arrive(
    place: RestDestination, dataset: UUID, tmp_path: Path
) -> None:
    files = [mesh(tmp_path) for _ in range(5)]
    files[1].path.write_bytes(b"changed")
    files[3].path.unlink()
    failed = place.put_files(dataset, files)
    assert [each.file for each in failed] == [files[1], files[3]]
    assert "not those announced" in failed[0].reason
    assert "No such file" in failed[1].reason
    assert place.lacking(dataset, files) == [files[1], files[3]]


def test_where_files_cannot_be_seen_the_stores_own_word_counts(
    place: RestDestination, dataset: UUID, sandbox: Sandbox, tmp_path: Path, said: list[str]
) -> None:
    files = [mesh(tmp_path) for _ in range(3)]
    sandbox.script("501@download:*")
    assert place.lacking(dataset, files) == files
    assert place.put_files(dataset, files[:2]) == []
    assert place.lacking(dataset, files) == files[2:]
    assert len([line for line in said if "does not let meshes and skeletons be seen" in line]) == 1


def test_a_silent_object_store_is_not_asked_for_each_of_many_files(
    place: RestDestination, dataset: UUID, sandbox: Sandbox, tmp_path: Path
) -> None:
    files = [mesh(tmp_path) for _ in range(30)]
    sandbox.script("503@object:*")
    failed = place.put_files(dataset, files)
    assert len(failed) == 30
    assert "503" in failed[0].reason
    assert "not tried" in failed[-1].reason
    assert len(statuses(sandbox, "object")) <= 4 * 8


# Only here


def test_no_other_module_knows_a_route() -> None:
    root = Path(__file__).resolve().parents[3]
    routes = ("/neurodata", "/user/auth", "/user/profile", "/user/academic")
    knowing = {
        path.relative_to(root).as_posix()
        for path in (root / "syndb_pipeline").rglob("*.py")
        if any(route in path.read_text(encoding="utf-8") for route in routes)
    }
    assert "syndb_pipeline/destinations/rest/client.py" in knowing
    interfaces = ("syndb_pipeline/destinations/rest/", "syndb_pipeline/destinations/syndb_v1/")
    allowed = (*interfaces, "syndb_pipeline/sandbox/")
    assert [path for path in knowing if not path.startswith(allowed)] == []
