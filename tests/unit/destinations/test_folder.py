"""Folders of exports as destinations, on this machine and in an object store, and their crashes.

Belongs here: publishing into a folder, and what a write that dies leaves. Does not: what is in a
folder (`unit/publishing/test_export.py`).
"""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from syndb_pipeline.base.errors import PipelineError
from syndb_pipeline.destinations.folder import FolderDestination, shelves
from syndb_pipeline.destinations.folder.destination import ExportFolder
from syndb_pipeline.publishing.export import export, folder_at
from syndb_pipeline.publishing.plan import plan
from syndb_pipeline.publishing.status import datasets, delete
from tests.publish_lab import DATASET, Lab, lab, prepared

__all__ = ["lab", "prepared"]  # fixtures
LOCAL = "local: {kind: embedded, path: node, owner: ada}"


@pytest.fixture(scope="module")
def store() -> Iterator[str]:
    """The address of a bucket in moto's S3, to be formatted with a folder."""
    import boto3
    from moto.server import ThreadedMotoServer

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ACCESS_KEY_ID", "an id")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "a key")
        s3 = boto3.client("s3", endpoint_url=f"http://{host}:{port}", region_name="us-east-1")
        s3.create_bucket(Bucket="lab")
        options = f"region=us-east-1&scheme=http&endpoint_override={host}:{port}"
        yield f"s3://lab/{{}}?{options}"
    server.stop()


@pytest.fixture(params=["disk", "store"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "disk":
        return str(tmp_path / "exports")
    address: str = request.getfixturevalue("store")
    return address.format(tmp_path.name)


def found(place: str) -> dict[str, bytes]:
    """What is in a folder, wherever it is."""
    shelf = shelves.shelf_at(place)
    return {name: shelf.read(name) or b"" for name in shelf.sizes()}


def test_it_is_published_into_replaced_and_deleted(lab: Lab, place: str) -> None:
    lab.edit("pipeline.yaml", LOCAL, f"local: {{kind: folder, path: '{place}'}}")
    folder = ExportFolder("local", place, lab.context.settings)
    first = lab.send(folder)
    assert (first.rows, first.number_of_units, first.files) == (11, 11, 2)
    assert all(check.whole for check in first.tables.values())
    path, _, options = place.partition("?")
    inside = f"{path}/{DATASET}{'?' if options else ''}{options}"
    before = found(inside)
    assert {"SHA256SUMS", "README.txt", "vesicle.parquet"} < before.keys()
    assert sum(name.startswith("meshes/") for name in before) == 2
    assert lab.send(folder).plan == first.plan and found(inside) == before
    assert [item.info.rows for item in datasets(folder)] == [{"axon": 3, "vesicle": 8}]

    lab.edit("vesicle.csv", "7,4,20.5\n", "").edit("axon.csv", "one.glb", "").prepare()
    since = plan(lab.context, folder).since
    assert since and since.withdrawn == 1
    assert not any("stay at" in line for line in since.lines("local")), "nothing does"
    second = lab.send(folder)
    assert (second.rows, second.number_of_units, second.files) == (10, 21, 1)
    after = found(inside)
    assert sum(name.startswith("meshes/") for name in after) == 1
    assert [*lab.context.store.folder.parent.parent.glob(".export-*")] == []

    delete(lab.context.settings, DATASET, folder, "Guide example")
    assert found(inside) == {} and folder.info(DATASET) is None and datasets(folder) == []


def exported(lab: Lab, place: str) -> bool:
    folder = folder_at(lab.context, place)
    with lab.context.store.lock():
        return export(lab.context, plan(lab.context, folder), folder)


def dying(at: int, function: Callable[..., Any]) -> Callable[..., Any]:
    """`function`, which dies at its call number `at`."""
    calls = iter(range(1_000))

    def call(*given: Any, **options: Any) -> Any:
        if next(calls) == at:
            raise KeyboardInterrupt
        return function(*given, **options)

    return call


def test_a_crash_leaves_what_was_there_or_shows_that_it_is_not_whole(
    lab: Lab, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert exported(lab, place)
    before = found(place)
    lab.edit("vesicle.csv", "7,4,20.5", "7,4,21.5").prepare()
    on_disk = "://" not in place
    for at in (0, 1, 5, len(before) - 1):
        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            patch.setattr(shelves, "_pieces", dying(at, shelves._pieces))
            exported(lab, place)
        if on_disk:
            assert found(place) == before
        else:
            assert "SHA256SUMS" not in found(place)
    assert exported(lab, place)
    after = found(place)
    assert after.keys() == before.keys() and after["vesicle.parquet"] != before["vesicle.parquet"]
    assert not exported(lab, place), "it is whole"


def test_a_folder_that_was_moved_away_to_be_replaced_comes_back(lab: Lab, tmp_path: Path) -> None:
    place = tmp_path / "out"
    exported(lab, str(place))
    before = found(str(place))
    place.rename(place.with_name(f".out.{'0' * 32}"))
    half = place.with_name(f".out.{'1' * 32}")  # of a write that was killed
    half.mkdir()
    for name in ("syndb-export.json", "SHA256SUMS"):
        (half / name).write_text("")
    assert found(str(place)) == before and not exported(lab, str(place)) and not half.exists()
    shutil.copytree(place, half)
    lab.edit("vesicle.csv", "7,4,20.5", "7,4,21.5").prepare()
    old = lab.context.settings.state / ".export-old"
    old.mkdir()
    os.utime(old, (0, 0))
    assert exported(lab, str(place)) and not half.exists() and not old.exists()


def test_a_mesh_that_changes_meanwhile_is_never_written(
    lab: Lab, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    current = plan(lab.context, folder := folder_at(lab.context, place))
    (lab.root / "one.glb").write_bytes((lab.root / "two.glb").read_bytes())
    with lab.context.store.lock(), pytest.raises(PipelineError, match="not those announced"):
        export(lab.context, current, folder)
    assert "SHA256SUMS" not in found(place)


def test_a_store_that_cannot_be_used_is_said_in_a_sentence(lab: Lab, store: str) -> None:
    place = store.format("x").replace("s3://lab/", "s3://another/")
    with pytest.raises(PipelineError) as told:
        exported(lab, place)
    assert "cannot be used" in str(told.value) and "a key" not in str(told.value)


@pytest.mark.parametrize("path", ["../elsewhere", "/elsewhere", "s3://bucket/folder"])
def test_a_file_beside_a_dataset_names_no_folder_outside_of_the_state(
    tmp_path: Path, path: str
) -> None:
    own = FolderDestination(kind="folder", path=path)
    assert own.located(tmp_path, tmp_path / "pipeline.yaml").path == str(tmp_path / "exports")
