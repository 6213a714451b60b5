"""The sandbox's upload under attack: forms, tars and Parquet files made to break it.

Belongs here: what must not get in, and what must, over a real socket. Does not: the published
statuses of ordinary mistakes (`test_sandbox_contract.py`).
"""

from __future__ import annotations

import io
import json
import socket
import tarfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import duckdb
import httpx
import pytest

from tests.rest_lab import ADA, EVE, UPLOAD, Sandbox, register


def units(client: httpx.Client, dataset: str) -> int:
    info = client.get(f"/neurodata/metadata/dataset/{dataset}/info").json()
    number: int = info["number_of_units"]
    return number


def send(client: httpx.Client, dataset: str, **body: Any) -> httpx.Response:
    return client.patch(f"/neurodata/io/{dataset}/upload", params=UPLOAD, **body)


def upload(
    client: httpx.Client, dataset: str, content: bytes, name: str = "{}.tar"
) -> httpx.Response:
    return send(client, dataset, files={"dataset_tar_file": (name.replace("{}", dataset), content)})


def parquet(tmp_path: Path, query: str) -> bytes:
    path = tmp_path / f"{uuid4().hex}.parquet"
    duckdb.execute(f"COPY ({query}) TO '{path}' (FORMAT parquet, COMPRESSION zstd)")
    return path.read_bytes()


def packed(*members: tuple[tarfile.TarInfo, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for header, content in members:
            header.size = len(content) if header.isreg() else 0
            archive.addfile(header, io.BytesIO(content))
    return buffer.getvalue()


def member(
    name: str = "neuron.parquet", kind: bytes = tarfile.REGTYPE, target: str = ""
) -> tarfile.TarInfo:
    header = tarfile.TarInfo(name)
    header.type = kind
    header.linkname = target
    return header


def neurons(tmp_path: Path) -> bytes:
    return packed((member(), parquet(tmp_path, "SELECT uuid() AS cid FROM range(5)")))


def left_behind(sandbox: Sandbox) -> list[Path]:
    folders = ("incoming/*", "outgoing/*", "node/datasets/*/.staging")
    return [path for folder in folders for path in sandbox.folder.glob(folder)]


def settled(check: Callable[[], bool], seconds: float = 20) -> bool:
    until = time.monotonic() + seconds
    while not check():
        if time.monotonic() > until:
            return False
        time.sleep(0.05)
    return True


# Tars


@pytest.mark.parametrize(
    ("name", "kind", "target"),
    [
        ("../../../../../../tmp/evil.parquet", tarfile.REGTYPE, ""),
        ("axon.parquet", tarfile.REGTYPE, ""),
        ("neuron.parquet", tarfile.LNKTYPE, "../users.json"),
    ],
)
def test_no_member_but_a_tables_own_file_once_gets_in(
    sandbox: Sandbox,
    ada: httpx.Client,
    dataset: str,
    tmp_path: Path,
    name: str,
    kind: bytes,
    target: str,
) -> None:
    def files() -> set[Path]:
        paths = sandbox.folder.rglob("*")
        return {path for path in paths if path.is_symlink() or not path.is_dir()}

    before = files()
    one = parquet(tmp_path, "SELECT uuid() AS cid")
    tar = packed((member("axon.parquet"), one), (member(name, kind, target), one))
    answer = upload(ada, dataset, tar)
    assert answer.status_code in (406, 415)
    assert set(answer.json()["detail"]) == {"message", "name"}
    assert str(sandbox.folder) not in answer.text
    assert units(ada, dataset) == 0
    assert files() == before


@pytest.mark.parametrize("size", [10**15, 2**33, -1])
def test_a_tar_bomb_announces_more_than_it_holds(
    sandbox: Sandbox, ada: httpx.Client, dataset: str, size: int
) -> None:
    header = member()
    header.size = size
    content = header.tobuf(tarfile.GNU_FORMAT) + bytes(10240)
    assert upload(ada, dataset, content).status_code == 415
    assert left_behind(sandbox) == []


# Parquet files


def with_announced_rows(content: bytes, rows: int, announced: int) -> bytes:
    """The Parquet file with `announced` in its footer wherever it says `rows`."""

    def field(value: int) -> bytes:  # 64 bits of Thrift's compact protocol, after its neighbour
        zigzag, out = value * 2, bytearray(b"\x16")
        while zigzag > 127:
            out.append(zigzag & 127 | 128)
            zigzag >>= 7
        return bytes(out + bytes([zigzag]))

    length = int.from_bytes(content[-8:-4], "little")
    body, footer = content[: -8 - length], content[-8 - length : -8]
    assert field(rows) in footer
    changed = footer.replace(field(rows), field(announced))
    return body + changed + len(changed).to_bytes(4, "little") + b"PAR1"


def test_a_small_file_of_very_much_is_not_read(
    ada: httpx.Client, dataset: str, tmp_path: Path
) -> None:
    few = parquet(tmp_path, "SELECT uuid() AS cid FROM range(77)")
    many = f"SELECT '{UUID(int=7)}'::UUID AS cid, 1.5::DOUBLE AS voxel_volume FROM range(3000000)"
    wide = "SELECT uuid() AS cid, repeat('a', 10000000) || range AS polarity FROM range(20)"
    for bomb, size, said in (
        (with_announced_rows(few, 77, 10**10), 4_000, "10,000,000,000 rows"),
        (parquet(tmp_path, many), 100_000, "3,000,000 rows"),
        (parquet(tmp_path, wide), 200_000, "unpack"),
    ):
        assert len(bomb) < size
        start = time.monotonic()
        answer = upload(ada, dataset, packed((member(), bomb)))
        assert answer.status_code == 500
        assert said in answer.json()["detail"]
        assert time.monotonic() - start < 10
        assert units(ada, dataset) == 0


@pytest.mark.parametrize("cut", [0, -8])
def test_a_broken_parquet_file_is_refused_without_paths(
    ada: httpx.Client, dataset: str, tmp_path: Path, cut: int
) -> None:
    whole = parquet(tmp_path, "SELECT uuid() AS cid FROM range(100)")
    answer = upload(ada, dataset, packed((member(), whole[:cut] or b"x")))
    assert answer.status_code == 500
    assert "neuron.parquet" in answer.json()["detail"]
    assert "/" not in answer.json()["detail"]
    assert units(ada, dataset) == 0


def test_bytes_turned_in_a_parquet_file_never_break_the_server(
    sandbox: Sandbox, ada: httpx.Client, dataset: str, tmp_path: Path
) -> None:
    query = "SELECT uuid() AS cid, random() AS voxel_volume, 'axonal' AS polarity FROM range(500)"
    whole = parquet(tmp_path, query)
    for place in range(4, len(whole), max(1, len(whole) // 20)):
        turned = bytearray(whole)
        turned[place] ^= 0xFF
        answer = upload(ada, dataset, packed((member(), bytes(turned))))
        assert answer.status_code in (204, 500)
    assert ada.get("/user/profile/current").status_code == 200
    assert left_behind(sandbox) == []


# Forms

FORM = "multipart/form-data; boundary=b"
PART = b"--b\r\nContent-Disposition: form-data; name="
HEAD = PART + b'"dataset_tar_file"; filename="%s.tar"\r\n\r\n'
END = b"\r\n--b--\r\n"


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("application/json", b"{}"),
        ("multipart/form-data", b"--b\r\n\r\n"),
        ("multipart/mixed; boundary=b", HEAD + b"x" + END),
        (FORM, b""),
        (FORM, HEAD + b"it never ends"),
        (FORM, PART + b'"dataset_tar_file"\r\n\r\nno file' + END),
        (FORM, PART + b'"other"; filename="%s.tar"\r\n\r\nx' + END),
        (FORM, b"--b\r\nX-Long: " + b"x" * 10_000_000 + b"\r\n\r\nx" + END),
        (FORM, b"--b\r\n" + b"X-Many: x\r\n" * 100_000 + b"\r\nx" + END),
        (FORM, PART + b'"a"\r\n\r\n' + b"x" * 5_000_000 + END),
        (FORM, (PART + b'"a"\r\n\r\nx\r\n') * 1000 + b"--b--\r\n"),
    ],
    ids=range(11),
)
def test_what_is_no_form_with_a_file_is_refused(
    sandbox: Sandbox, ada: httpx.Client, dataset: str, kind: str, body: bytes
) -> None:
    content = body.replace(b"%s", dataset.encode())
    answer = send(ada, dataset, content=content, headers={"content-type": kind})
    assert answer.status_code in (400, 422)
    if answer.status_code == 422:
        assert [each["loc"] for each in answer.json()["detail"]] == [["body", "dataset_tar_file"]]
    assert left_behind(sandbox) == []
    assert units(ada, dataset) == 0


def test_a_form_without_end_stops_at_the_limit(
    sandbox: Sandbox, ada: httpx.Client, dataset: str
) -> None:
    def endless() -> Iterator[bytes]:
        yield HEAD.replace(b"%s", dataset.encode())
        for _ in range(80):
            yield bytes(1_000_000)

    answer = send(ada, dataset, content=endless(), headers={"content-type": FORM})
    assert answer.status_code == 413
    assert settled(lambda: left_behind(sandbox) == [])
    assert sandbox.memory() < 700_000_000


def test_a_refused_upload_is_read_to_its_end_and_answered(sandbox: Sandbox, dataset: str) -> None:
    for email, status in ((EVE, 403), (None, 401)):
        with sandbox.client(email) as stranger:
            assert upload(stranger, dataset, bytes(30_000_000)).status_code == status
    assert left_behind(sandbox) == []


@pytest.mark.parametrize(
    "name",
    [
        "../../{}.tar",
        "/etc/{}.tar",
        "..\\{}.tar",
        "a\0{}.tar",
        "{}.tar\r\n",
        "…{}🧠",
        "{}" + "x" * 2000,
    ],
)
def test_the_senders_file_name_never_becomes_a_path(
    sandbox: Sandbox, ada: httpx.Client, dataset: str, tmp_path: Path, name: str
) -> None:
    folders = {path.parent for path in sandbox.folder.rglob("*.parquet")}
    assert upload(ada, dataset, neurons(tmp_path), name).status_code == 204
    added = {path.parent for path in sandbox.folder.rglob("*.parquet")} - folders
    assert added == {sandbox.node / "datasets" / dataset / "tables"}


def test_the_id_in_a_files_name_may_be_in_capitals(
    ada: httpx.Client, dataset: str, tmp_path: Path
) -> None:
    name = f"{dataset.upper()}.TAR"
    assert upload(ada, dataset, neurons(tmp_path), name).status_code == 204


# Senders who leave, and a server that stops


def send_and_leave(sandbox: Sandbox, dataset: str, body: bytes, sent: int) -> None:
    """Announce the whole body, send `sent` bytes of it, close, and read nothing."""
    path = httpx.URL(f"/neurodata/io/{dataset}/upload", params=UPLOAD).raw_path.decode()
    head = (
        f"PATCH {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {sandbox.token(ADA)}"
        f"\r\nContent-Type: {FORM}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", sandbox.port)) as connection:
        connection.sendall(head.encode() + body[:sent])


def form(dataset: str, content: bytes) -> bytes:
    return HEAD.replace(b"%s", dataset.encode()) + content + END


def test_an_upload_whose_sender_leaves_after_the_last_byte_is_taken_in(
    sandbox: Sandbox, ada: httpx.Client, dataset: str, tmp_path: Path
) -> None:
    for times in range(1, 6):
        body = form(dataset, neurons(tmp_path))
        send_and_leave(sandbox, dataset, body, len(body))
        assert settled(lambda times=times: units(ada, dataset) == 5 * times)


def test_an_upload_whose_body_ends_early_is_never_taken_in(
    sandbox: Sandbox, ada: httpx.Client, dataset: str, tmp_path: Path
) -> None:
    body = form(dataset, neurons(tmp_path))
    for sent in (0, 10, len(body) // 2, len(body) - 1):
        send_and_leave(sandbox, dataset, body, sent)
    upload(ada, dataset, b"no tar")  # comes after those: the node takes one at a time
    assert settled(lambda: left_behind(sandbox) == [])
    assert units(ada, dataset) == 0


def test_a_stopping_server_finishes_the_upload_it_has(tmp_path: Path) -> None:
    with Sandbox(tmp_path / "sandbox") as sandbox:
        sandbox.create_tags()
        with sandbox.client(ADA) as ada:
            made = register(ada)
        sandbox.script("slow=1@upload")
        body = form(made, neurons(tmp_path))
        send_and_leave(sandbox, made, body, len(body))
        assert settled(lambda: any(each["route"] == "upload" for each in sandbox.requests()))
        assert sandbox.stop() == 0
        entry = json.loads((sandbox.node / "datasets" / made / "dataset.json").read_text())
        assert entry["number_of_units"] == 5


def test_scripted_faults_reach_the_stored_rows(
    sandbox: Sandbox, ada: httpx.Client, dataset: str, tmp_path: Path
) -> None:
    faults = ["lose-row@upload:1", "503@upload:2"]
    sandbox.script(*faults)
    try:
        statuses = [upload(ada, dataset, neurons(tmp_path)).status_code for _ in faults]
        assert statuses == [204, 503]
        assert [entry[1:] for entry in sandbox.script_log()] == [
            ["upload", each] for each in faults
        ]
        wanted = {"mapping": {dataset: ["neuron"]}}
        link = ada.post("/neurodata/io/download_dataset", json=wanted).json()["download_url"]
        sent = httpx.get(link, trust_env=False).content
        with tarfile.open(fileobj=io.BytesIO(sent)) as archive:
            archive.extractall(tmp_path, filter="data")
        rows = duckdb.sql(f"FROM '{tmp_path}/{dataset}/neuron.parquet'").fetchall()
        assert len(rows) == 4
        assert units(ada, dataset) == 5, "as the server goes on saying"
        routes = [each["route"] for each in sandbox.requests()]
        assert routes == ["upload", "upload", "download", "object", "info"]
    finally:
        sandbox.script()
