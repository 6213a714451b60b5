"""The REST destination against the sandbox, a process of its own: what is sent, what an answer
means, what a person reads.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from pydantic import SecretStr

from syndb_pipeline.base.errors import (
    BadTable,
    DestinationRefused,
    NotAPackage,
    NotLoggedIn,
    NotPermitted,
    NotVerified,
    OutcomeUnknown,
    UnknownDataset,
    UnknownTable,
)
from syndb_pipeline.base.progress import Progress
from syndb_pipeline.base.tar_stream import FilePayload, TarPayload
from syndb_pipeline.destinations.base import Package, differences
from syndb_pipeline.destinations.rest import credentials
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

# Who


def test_the_address_is_the_target_and_opening_asks_nobody(
    sandbox: Sandbox, tmp_path: Path
) -> None:
    place = destination(sandbox, tmp_path, None)
    assert place.target == place.origin == sandbox.url
    assert place.settle_seconds == 120
    assert sandbox.requests() == []


def test_who_am_i_tells_identity_and_verification(sandbox: Sandbox, tmp_path: Path) -> None:
    ada, tom = (
        destination(sandbox, tmp_path).who_am_i(),
        destination(sandbox, tmp_path, TOM).who_am_i(),
    )
    assert (ada.name, ada.verified, tom.name, tom.verified) == (ADA, True, TOM, False)
    assert UUID(ada.id) != UUID(tom.id)


def test_a_wrong_password_is_told_and_not_repeated(sandbox: Sandbox, tmp_path: Path) -> None:
    place = destination(sandbox, tmp_path, None)
    with pytest.raises(NotLoggedIn, match="does not take this user name and password") as caught:
        place.login(ADA, SecretStr("a wrong canary"))
    assert "canary" not in str(caught.value)
    assert statuses(sandbox, "login") == [400]


def test_without_a_token_a_person_is_told_how_to_get_one(sandbox: Sandbox, tmp_path: Path) -> None:
    with pytest.raises(NotLoggedIn) as caught:
        destination(sandbox, tmp_path, None).who_am_i()
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


def test_an_expired_token_is_renewed_once_and_kept(sandbox: Sandbox, tmp_path: Path) -> None:
    told: list[str] = []
    old = sandbox.token()
    place = destination(sandbox, tmp_path, None, told)
    credentials.remember(
        place.origin, token=SecretStr(old), username=ADA, password=SecretStr(PASSWORD)
    )
    sandbox.script("expire@profile")
    assert place.who_am_i().name == ADA
    kept = credentials.find("syndb", place.config)
    assert kept is not None and kept.token is not None
    assert kept.token.get_secret_value() != old
    assert told == [f"syndb does not take the token any more; logging in again as {ADA}"]
    assert statuses(sandbox, "profile") == [401, 200]


def test_logging_out_ends_the_token_and_may_be_repeated(sandbox: Sandbox, tmp_path: Path) -> None:
    place = destination(sandbox, tmp_path)
    place.logout()
    with pytest.raises(NotLoggedIn):
        place.who_am_i()
    place.logout()


def test_the_page_for_verification_is_an_address(sandbox: Sandbox, tmp_path: Path) -> None:
    assert destination(sandbox, tmp_path, TOM).authorization_url().startswith(sandbox.url)


# Datasets


def test_registering_creates_what_is_missing_and_tells_it(sandbox: Sandbox, tmp_path: Path) -> None:
    told: list[str] = []
    place = destination(sandbox, tmp_path, told=told)
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
    assert (info.owner, info.rows, info.uploads, info.number_of_units, info.new) == (
        place.who_am_i().id,
        None,
        None,
        0,
        True,
    )
    for created in (
        "microscopy a new one",
        "mutation tnt (knock-out)",
        "publication 10.1126",
        "animal MERIONES",
        "collection more brains",
    ):
        assert [line for line in told if line.startswith(f"Created the {created}")] != [], created
    assert told[-1] == f"Created dataset {wanted.id} at syndb"


def test_a_publication_known_in_other_letters_is_no_obstacle(
    sandbox: Sandbox, tmp_path: Path
) -> None:
    place = destination(sandbox, tmp_path)
    for doi in ("10.1234/abc", "10.1234/ABC"):
        wanted = metadata(publication_dois=(doi,))
        assert differences(wanted, place.register(wanted).metadata) == []


def test_registering_again_gives_the_dataset_as_it_is(sandbox: Sandbox, tmp_path: Path) -> None:
    place = destination(sandbox, tmp_path)
    wanted = metadata()
    first = place.register(wanted)
    sandbox.script()
    there = first.model_copy(update={"new": False})
    assert place.register(wanted) == there
    assert (
        place.register(wanted.model_copy(update={"label": "another"})) == there
    )  # publishing tells the difference
    assert statuses(sandbox, "new") == []


def test_metadata_survive_the_way_there_and_back(sandbox: Sandbox, tmp_path: Path) -> None:
    wanted = metadata(
        notes="",
        data_license=1,
        license="CC0",
        label="ü" * 120,
        brain_regions=({"brain_structure": "hippocampus", "direction": "anterior"},),
    )
    assert destination(sandbox, tmp_path).register(wanted).metadata == wanted.model_copy(
        update={"syndb_tables": (NEURON, AXON)}
    )


@pytest.mark.parametrize(
    "fault",
    [
        "drop@new",
        "reset-response@new",
        "drop@tag",
        "drop@collection",
        "429@new",
        "503@new",
        "502@new",
        "reset@new",
    ],
)
def test_registering_survives_a_lost_answer(fault: str, sandbox: Sandbox, tmp_path: Path) -> None:
    place = destination(sandbox, tmp_path)
    sandbox.script(fault)
    wanted = metadata(microscopy=f"for {fault}", dataset_collection_names=(f"for {fault}",))
    info = place.register(wanted)
    assert differences(wanted, info.metadata) == []
    assert info.new
    assert len(sandbox.script_log()) == 1
    assert [info.metadata.id for info in place.owned()].count(wanted.id) == 1


def test_a_dataset_whose_answer_was_lost_may_be_the_work_of_another(
    sandbox: Sandbox, tmp_path: Path
) -> None:
    place = destination(sandbox, tmp_path)
    assert place.register(metadata()).new
    sandbox.script("drop@new")
    assert not place.register(metadata()).new
    assert statuses(sandbox, "new") == [201]


def test_an_unknown_group_is_told_as_something_to_make_elsewhere(
    sandbox: Sandbox, tmp_path: Path
) -> None:
    with pytest.raises(DestinationRefused) as caught:
        destination(sandbox, tmp_path).register(metadata(authorized_group_names=("no such group",)))
    assert "404" in caught.value.message
    assert "Groups are made at SynDB's own site" in caught.value.next_step


def test_the_id_of_another_is_not_ours(sandbox: Sandbox, tmp_path: Path) -> None:
    """The dataset comes into being after we looked: the server's "in use" tells."""
    wanted = metadata()
    ada, eve = destination(sandbox, tmp_path), destination(sandbox, tmp_path, EVE)
    looked: list[UUID] = []
    plain = eve.info

    def info(dataset: UUID) -> Any:
        found = plain(dataset)
        if not looked:
            ada.register(wanted)
        looked.append(dataset)
        return found

    eve.info = info  # type: ignore[method-assign]
    with pytest.raises(NotPermitted, match=f"in use at syndb, by {ADA}"):
        eve.register(wanted)


def test_an_unknown_dataset_is_none(sandbox: Sandbox, tmp_path: Path) -> None:
    assert destination(sandbox, tmp_path).info(uuid4()) is None


def test_lists_are_of_those_who_own_and_those_who_may(sandbox: Sandbox, tmp_path: Path) -> None:
    ada, bob, eve = (destination(sandbox, tmp_path, user) for user in (ADA, BOB, EVE))
    ours, alone = metadata(label="B", authorized_group_names=("lab",)), metadata(label="A")
    ada.register(ours)
    ada.register(alone)

    def ids(found: list[Any]) -> list[UUID]:
        return [info.metadata.id for info in found if info.metadata.id in (ours.id, alone.id)]

    assert ids(ada.owned()) == ids(ada.modifiable()) == ids(ada.incomplete()) == [alone.id, ours.id]
    assert ids(bob.modifiable()) == [ours.id]
    assert ids(bob.owned()) == ids(eve.modifiable()) == []
    ada.upload(ours.id, package(tmp_path, ours.id))
    assert ids(ada.incomplete()) == [alone.id]


# Tables


def test_an_upload_arrives_and_is_read_back(sandbox: Sandbox, tmp_path: Path) -> None:
    told: list[Progress] = []
    place, wanted = destination(sandbox, tmp_path), metadata()
    place.register(wanted)
    parcel = package(tmp_path, wanted.id)
    upload = place.upload(wanted.id, parcel, told.append)
    assert (upload.tar_sha256, upload.rows, upload.by) == (
        parcel.tar.sha256,
        {"neuron": 100, "axon": 100},
        place.who_am_i().id,
    )
    info = place.info(wanted.id)
    assert info is not None and info.number_of_units == 200
    checks = place.compare(wanted.id, parcel)
    assert [check.table for check in checks] == ["neuron", "axon"]
    assert all(check.whole for check in checks)
    assert told[-1] == Progress(
        what=f"{wanted.id}.tar", done=parcel.tar.bytes, total=parcel.tar.bytes, unit="bytes"
    )
    assert list((tmp_path / "state" / "downloads").iterdir()) == []


@pytest.mark.parametrize(
    ("fault", "table"),
    [("lose-row", "axon"), ("double-row", "neuron"), ("alter-row", "axon"), ("truncate", "axon")],
)
def test_reading_back_sees_a_server_that_spoils_rows(
    fault: str, table: str, sandbox: Sandbox, tmp_path: Path
) -> None:
    place, wanted = destination(sandbox, tmp_path), metadata()
    place.register(wanted)
    parcel = package(tmp_path, wanted.id, 1500)
    sandbox.script(f"{fault}@upload,table={table}")
    place.upload(wanted.id, parcel)
    assert {check.table: check.whole for check in place.compare(wanted.id, parcel)} == {
        "neuron": True,
        "axon": True,
    } | {table: False}


def test_a_server_that_lets_nobody_read_says_so_once(sandbox: Sandbox, tmp_path: Path) -> None:
    told: list[str] = []
    place, wanted = destination(sandbox, tmp_path, told=told), metadata()
    place.register(wanted)
    parcel = package(tmp_path, wanted.id)
    place.upload(wanted.id, parcel)
    sandbox.script("501@download:*")
    for _ in range(2):
        checks = place.compare(wanted.id, parcel)
        assert [(check.found, check.missing, check.doubled, check.whole) for check in checks] == [
            (None, None, None, False)
        ] * 2
    assert [line for line in told if "does not let the rows be read back" in line] == [told[-1]]


@pytest.mark.parametrize(
    ("members", "error"),
    [
        ({"nonsense.parquet": b"PAR1"}, UnknownTable),
        ({"../axon.parquet": b"PAR1"}, (UnknownTable, NotAPackage)),
        ({"axon.parquet": b"PAR1 no parquet"}, (BadTable, NotAPackage)),
    ],
)
def test_a_refused_package_is_told_in_the_servers_words(
    members: dict[str, bytes], error: Any, sandbox: Sandbox, tmp_path: Path
) -> None:
    place, wanted = destination(sandbox, tmp_path), metadata()
    place.register(wanted)
    with pytest.raises(error, match=r"answered (406|415|422|500)") as caught:
        place.upload(wanted.id, package(tmp_path, wanted.id, other=members))
    assert len(statuses(sandbox, "upload")) == 1
    assert str(wanted.id) in caught.value.message


def test_a_lost_answer_is_an_unknown_outcome_and_nothing_is_sent_twice(
    sandbox: Sandbox, tmp_path: Path
) -> None:
    place, wanted = destination(sandbox, tmp_path), metadata()
    place.register(wanted)
    sandbox.script("drop@upload")
    with pytest.raises(OutcomeUnknown):
        place.upload(wanted.id, package(tmp_path, wanted.id))
    info = place.info(wanted.id)
    assert info is not None and info.number_of_units == 200


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
    parcel = package(tmp_path, wanted.id, 1_000_000 if fault.startswith("reset") else 100)
    sandbox.script(fault)
    place.upload(wanted.id, parcel)
    info = place.info(wanted.id)
    assert info is not None and info.number_of_units == sum(parcel.rows.values())
    assert len(sandbox.script_log()) >= 1


def test_what_arrived_has_arrived_whatever_becomes_of_the_tables_here(
    sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place, wanted = destination(sandbox, tmp_path), metadata()
    place.register(wanted)
    path = tmp_path / "neuron.parquet"
    path.write_bytes(
        parquet_of(
            tmp_path / "made", "SELECT uuid() AS cid, 1.5::DOUBLE AS voxel_volume"
        ).read_bytes()
    )
    tar = TarPayload(f"{wanted.id}.tar", (FilePayload.of(path),))
    send = place.session.send_file

    def send_and_lose(*given: Any, **more: Any) -> Any:
        answer = send(*given, **more)
        path.unlink()
        return answer

    monkeypatch.setattr(place.session, "send_file", send_and_lose)
    upload = place.upload(wanted.id, Package(tar=tar, rows={"neuron": 1}))
    assert (upload.rows, upload.tar_sha256, upload.bytes) == ({"neuron": 1}, tar.sha256, tar.bytes)
    info = place.info(wanted.id)
    assert info is not None and info.number_of_units == 1


def test_a_tar_that_changed_is_not_sent(sandbox: Sandbox, tmp_path: Path) -> None:
    place, wanted = destination(sandbox, tmp_path), metadata()
    place.register(wanted)
    parcel = package(tmp_path, wanted.id)
    tar = tmp_path / parcel.tar.name
    tar.write_bytes(tar.read_bytes()[:-1] + b"?")
    with pytest.raises(NotAPackage, match="not those announced"):
        place.upload(wanted.id, parcel)
    info = place.info(wanted.id)
    assert info is not None and info.number_of_units == 0


# Three kinds of no


def test_who_is_not_verified_is_told_to_verify(sandbox: Sandbox, tmp_path: Path) -> None:
    with pytest.raises(NotVerified, match=f"has not verified that {TOM}") as caught:
        destination(sandbox, tmp_path, TOM).register(metadata())
    assert caught.value.next_step.endswith("syndb-pipeline login --destination syndb")


def test_who_is_not_the_owner_is_told_who_is(sandbox: Sandbox, tmp_path: Path) -> None:
    wanted = metadata()
    destination(sandbox, tmp_path).register(wanted)
    eve = destination(sandbox, tmp_path, EVE)
    parcel = package(tmp_path, wanted.id)
    for attempt in (
        lambda: eve.upload(wanted.id, parcel),
        lambda: eve.delete(wanted.id),
        lambda: eve.put_files(wanted.id, [mesh(tmp_path)]),
    ):
        with pytest.raises(
            NotPermitted, match=f"Dataset {wanted.id} at syndb belongs to {ADA}; you are {EVE}"
        ) as caught:
            attempt()
        assert "Ask its owner" in caught.value.next_step


def test_a_dataset_that_is_not_there_takes_nothing(sandbox: Sandbox, tmp_path: Path) -> None:
    place, nowhere = destination(sandbox, tmp_path), uuid4()
    with pytest.raises(UnknownDataset):
        place.upload(nowhere, package(tmp_path, nowhere))
    with pytest.raises(UnknownDataset):
        place.delete(nowhere)


# Deleting


@pytest.mark.parametrize("fault", ["", "drop@delete", "reset@delete", "503@delete"])
def test_a_deleted_dataset_is_gone(fault: str, sandbox: Sandbox, tmp_path: Path) -> None:
    place, wanted = destination(sandbox, tmp_path), metadata(label="to go")
    place.register(wanted)
    sandbox.script(*([fault] if fault else []))
    deletion = place.delete(wanted.id)
    assert (deletion.label, deletion.rows, deletion.files, deletion.by) == (
        "to go",
        None,
        None,
        place.who_am_i().id,
    )
    assert place.info(wanted.id) is None
    assert place.deletions(wanted.id) == ()
