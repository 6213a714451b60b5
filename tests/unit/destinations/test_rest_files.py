"""Meshes and skeletons through the REST destination, against the sandbox and the object store
behind it.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import httpx
import pytest

from syndb_pipeline.base.progress import Progress
from syndb_pipeline.destinations.base import SUFFIX
from syndb_pipeline.destinations.rest import session
from tests.rest_lab import Sandbox
from tests.rest_place import destination, mesh, metadata, statuses


def test_files_arrive_once_and_are_seen(sandbox: Sandbox, tmp_path: Path) -> None:
    told: list[Progress] = []
    place, wanted = destination(sandbox, tmp_path), metadata()
    place.register(wanted)
    files = [mesh(tmp_path, kind) for kind in SUFFIX for _ in range(12)]
    assert place.lacking(wanted.id, files) == files
    sandbox.script()
    assert place.put_files(wanted.id, files[:20], told.append) == []
    assert statuses(sandbox, "upload-url") == [201, 201]
    assert len(statuses(sandbox, "object")) == 20
    assert place.lacking(wanted.id, files) == files[20:]
    assert (told[-1].done, told[-1].total, told[-1].unit) == (20, 20, "files")
    assert place.files(wanted.id) is None


def test_a_file_whose_content_changed_is_lacking_and_replaced(
    sandbox: Sandbox, tmp_path: Path
) -> None:
    place, wanted, file = destination(sandbox, tmp_path), metadata(), mesh(tmp_path)
    place.register(wanted)
    assert place.put_files(wanted.id, [file]) == []
    file.path.write_bytes(file.path.read_bytes()[::-1])
    changed = file.model_copy(update={"sha256": hashlib.sha256(file.path.read_bytes()).hexdigest()})
    assert place.lacking(wanted.id, [changed]) == [changed]
    assert place.put_files(wanted.id, [changed]) == []
    assert place.lacking(wanted.id, [changed]) == []


def test_the_object_store_never_sees_the_token(
    sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place, wanted = destination(sandbox, tmp_path), metadata()
    place.register(wanted)
    sent: list[tuple[str, bool]] = []
    plain = session.send

    def send(pool: Any, request: httpx.Request) -> Any:
        sent.append((request.url.path, "authorization" in request.headers))
        return plain(pool, request)

    monkeypatch.setattr(session, "send", send)
    files = [mesh(tmp_path)]
    assert place.put_files(wanted.id, files) == []
    assert place.lacking(wanted.id, files) == []
    assert {token for path, token in sent if path.startswith("/objects")} == {False}
    assert {token for path, token in sent if not path.startswith("/objects")} == {True}


@pytest.mark.parametrize(
    "fault", ["503@object:2", "reset@object:2", "drop@object:2", "429@object:2,retry-after=0"]
)
def test_a_file_that_meets_trouble_is_sent_again(
    fault: str, sandbox: Sandbox, tmp_path: Path
) -> None:
    place, wanted = destination(sandbox, tmp_path), metadata()
    place.register(wanted)
    files = [mesh(tmp_path) for _ in range(3)]
    sandbox.script(fault)
    assert place.put_files(wanted.id, files) == []
    sandbox.script()
    assert place.lacking(wanted.id, files) == []


def test_a_file_that_fails_is_named_and_the_others_arrive(sandbox: Sandbox, tmp_path: Path) -> None:
    place, wanted = destination(sandbox, tmp_path), metadata()
    place.register(wanted)
    files = [mesh(tmp_path) for _ in range(5)]
    files[1].path.write_bytes(b"changed")
    files[3].path.unlink()
    failed = place.put_files(wanted.id, files)
    assert [each.file for each in failed] == [files[1], files[3]]
    assert "not those announced" in failed[0].reason
    assert "No such file" in failed[1].reason
    assert place.lacking(wanted.id, files) == [files[1], files[3]]


def test_where_nobody_may_look_the_stores_own_word_counts(sandbox: Sandbox, tmp_path: Path) -> None:
    told: list[str] = []
    place, wanted = destination(sandbox, tmp_path, told=told), metadata()
    place.register(wanted)
    files = [mesh(tmp_path) for _ in range(3)]
    sandbox.script("501@download:*")
    assert place.lacking(wanted.id, files) == files
    assert place.put_files(wanted.id, files[:2]) == []
    assert place.lacking(wanted.id, files) == files[2:]
    assert len([line for line in told if "does not let meshes and skeletons be seen" in line]) == 1


def test_a_silent_object_store_is_not_asked_for_each_of_many_files(
    sandbox: Sandbox, tmp_path: Path
) -> None:
    place, wanted = destination(sandbox, tmp_path), metadata()
    place.register(wanted)
    files = [mesh(tmp_path) for _ in range(30)]
    sandbox.script("503@object:*")
    failed = place.put_files(wanted.id, files)
    assert len(failed) == 30
    assert "503" in failed[0].reason
    assert "not tried" in failed[-1].reason
    assert len(statuses(sandbox, "object")) <= 4 * 8


# Only here


def test_no_other_module_knows_a_route() -> None:
    root = Path(__file__).resolve().parents[3]
    knowing = {
        path.relative_to(root).as_posix()
        for folder in ("syndb_pipeline", "dagster_defs")
        for path in (root / folder).rglob("*.py")
        if any(
            part in path.read_text(encoding="utf-8")
            for part in ("/neurodata", "/user/auth", "/user/profile", "/user/academic")
        )
    }
    allowed = {
        path
        for path in knowing
        if path.startswith(("syndb_pipeline/destinations/rest", "syndb_pipeline/sandbox/"))
    }
    assert knowing == allowed
    assert "syndb_pipeline/destinations/rest/client.py" in knowing
