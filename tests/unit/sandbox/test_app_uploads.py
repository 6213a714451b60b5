"""The sandbox's upload under attack: forms, tars and Parquet files made to break it, over a real
socket.

Belongs here: what must not get in, and what must. Does not: the published statuses of ordinary
mistakes (the contract tests).
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

from tests.rest_lab import ADA, EVE, Sandbox

QUERY = {
    "upload_start_time": "2026-11-23T10:00:00Z",
    "continent": "Europe",
    "country_alpha2": "NL",
    "city": "Leiden",
    "top_mbps_up": "10",
}
LIMITS = {"table_rows": 1_000_000, "table_bytes": 50_000_000, "upload_bytes": 60_000_000}


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    with Sandbox(tmp_path_factory.mktemp("uploads") / "sandbox", limits=LIMITS) as running:
        yield running
        assert "Traceback" not in running.log()


@pytest.fixture(scope="module")
def ada(sandbox: Sandbox) -> Iterator[httpx.Client]:
    with sandbox.client(ADA) as client:
        for tag, body in (
            ("animal", {"species": 18}),
            ("microscopy", {"name": "ssTEM"}),
            ("brain_region", {"brain_structure": "hippocampus", "direction": "null"}),
        ):
            client.post(f"/neurodata/metadata/tag/{tag}/create", json=body).raise_for_status()
        yield client


@pytest.fixture
def dataset(ada: httpx.Client) -> UUID:
    made = uuid4()
    regions = [{"brain_structure": "hippocampus", "direction": "null"}]
    new = {
        "id": str(made),
        "label": "x",
        "animal": 18,
        "microscopy": "ssTEM",
        "brain_regions": regions,
        "syndb_tables": [1],
    }
    ada.post("/neurodata/metadata/dataset/new", json=new).raise_for_status()
    return made


def units(client: httpx.Client, dataset: UUID) -> int:
    number: int = client.get(f"/neurodata/metadata/dataset/{dataset}/info").json()[
        "number_of_units"
    ]
    return number


def upload(
    client: httpx.Client,
    dataset: UUID,
    content: bytes,
    *,
    name: str | None = None,
    field: str = "dataset_tar_file",
) -> httpx.Response:
    return client.patch(
        f"/neurodata/io/{dataset}/upload",
        params=QUERY,
        files={field: (name or f"{dataset}.tar", content)},
    )


def raw_upload(client: httpx.Client, dataset: UUID, body: Any, kind: str) -> httpx.Response:
    return client.patch(
        f"/neurodata/io/{dataset}/upload",
        params=QUERY,
        content=body,
        headers={"content-type": kind},
    )


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


def member(name: str, kind: bytes = tarfile.REGTYPE, target: str = "") -> tarfile.TarInfo:
    header = tarfile.TarInfo(name)
    header.type = kind
    header.linkname = target
    return header


def neurons(tmp_path: Path, rows: int = 5) -> bytes:
    return packed(
        (member("neuron.parquet"), parquet(tmp_path, f"SELECT uuid() AS cid FROM range({rows})"))
    )


def left_behind(sandbox: Sandbox) -> list[Path]:
    return [
        *(sandbox.folder / "incoming").glob("*"),
        *(sandbox.folder / "outgoing").glob("*"),
        *sandbox.node.glob("datasets/*/.staging"),
    ]


def files_of(sandbox: Sandbox) -> set[Path]:
    return {path for path in sandbox.folder.rglob("*") if path.is_symlink() or not path.is_dir()}


def settled(check: Callable[[], bool], seconds: float = 20) -> bool:
    until = time.monotonic() + seconds
    while not check():
        if time.monotonic() > until:
            return False
        time.sleep(0.05)
    return True


@pytest.mark.parametrize(
    ("name", "kind", "target"),
    [
        ("../neuron.parquet", tarfile.REGTYPE, ""),
        ("../../../../../../tmp/evil.parquet", tarfile.REGTYPE, ""),
        ("/tmp/neuron.parquet", tarfile.REGTYPE, ""),
        ("a/neuron.parquet", tarfile.REGTYPE, ""),
        ("neuron.parquet", tarfile.SYMTYPE, "/etc/passwd"),
        ("neuron.parquet", tarfile.LNKTYPE, "../users.json"),
        ("neuron.parquet", tarfile.CHRTYPE, ""),
        ("neuron.parquet", tarfile.BLKTYPE, ""),
        ("neuron.parquet", tarfile.FIFOTYPE, ""),
        ("neuron.parquet", tarfile.DIRTYPE, ""),
        ("neuron.parquet", tarfile.GNUTYPE_SPARSE, ""),
        ("neuron.parquet\n", tarfile.REGTYPE, ""),
        ("NEURON.parquet", tarfile.REGTYPE, ""),
        ("neuron.parquet.parquet", tarfile.REGTYPE, ""),
        ("n" * 300 + ".parquet", tarfile.REGTYPE, ""),
    ],
)
def test_no_member_but_a_tables_own_file_gets_in(
    sandbox: Sandbox,
    ada: httpx.Client,
    dataset: UUID,
    tmp_path: Path,
    name: str,
    kind: bytes,
    target: str,
) -> None:
    before = files_of(sandbox)
    good = (member("axon.parquet"), parquet(tmp_path, "SELECT uuid() AS cid"))
    answer = upload(
        ada,
        dataset,
        packed(good, (member(name, kind, target), parquet(tmp_path, "SELECT uuid() AS cid"))),
    )
    assert answer.status_code in (406, 415)
    assert set(answer.json()["detail"]) == {"message", "name"}
    assert str(sandbox.folder) not in answer.text
    assert units(ada, dataset) == 0
    assert files_of(sandbox) == before


def test_a_member_twice_is_refused(ada: httpx.Client, dataset: UUID, tmp_path: Path) -> None:
    one = parquet(tmp_path, "SELECT uuid() AS cid")
    assert (
        upload(
            ada, dataset, packed((member("neuron.parquet"), one), (member("neuron.parquet"), one))
        ).status_code
        == 415
    )
    assert units(ada, dataset) == 0


@pytest.mark.parametrize("size", [10**15, 2**33, -1])
def test_a_tar_bomb_announces_more_than_it_holds(
    sandbox: Sandbox, ada: httpx.Client, dataset: UUID, size: int
) -> None:
    header = member("neuron.parquet")
    header.size = size
    content = header.tobuf(tarfile.GNU_FORMAT) + bytes(10240)
    answer = upload(ada, dataset, content)
    assert answer.status_code == 415
    assert left_behind(sandbox) == []


def with_announced_rows(content: bytes, rows: int, announced: int) -> bytes:
    """The Parquet file with `announced` in its footer wherever it says `rows`."""

    def field(
        value: int,
    ) -> bytes:  # a 64-bit field of Thrift's compact protocol that follows its neighbour
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


def test_a_small_file_that_announces_ten_thousand_million_rows(
    sandbox: Sandbox, ada: httpx.Client, dataset: UUID, tmp_path: Path
) -> None:
    bomb = with_announced_rows(parquet(tmp_path, "SELECT uuid() AS cid FROM range(77)"), 77, 10**10)
    assert len(bomb) < 4_000
    start = time.monotonic()
    answer = upload(ada, dataset, packed((member("neuron.parquet"), bomb)))
    assert answer.status_code == 500
    assert "10,000,000,000 rows" in answer.json()["detail"]
    assert time.monotonic() - start < 10
    assert units(ada, dataset) == 0


def test_a_small_file_of_too_many_rows_is_not_read(
    ada: httpx.Client, dataset: UUID, tmp_path: Path
) -> None:
    constant = parquet(
        tmp_path,
        f"SELECT '{UUID(int=7)}'::UUID AS cid, 1.5::DOUBLE AS voxel_volume FROM range(3000000)",
    )
    assert len(constant) < 100_000
    answer = upload(ada, dataset, packed((member("neuron.parquet"), constant)))
    assert answer.status_code == 500
    assert "3,000,000 rows" in answer.json()["detail"]


def test_a_file_that_unpacks_to_very_much_is_not_read(
    sandbox: Sandbox, ada: httpx.Client, dataset: UUID, tmp_path: Path
) -> None:
    packed_cells = parquet(
        tmp_path, "SELECT uuid() AS cid, repeat('a', 10000000) || range AS polarity FROM range(20)"
    )
    assert len(packed_cells) < 200_000
    answer = upload(ada, dataset, packed((member("neuron.parquet"), packed_cells)))
    assert answer.status_code == 500
    assert "unpack" in answer.json()["detail"]
    assert units(ada, dataset) == 0


@pytest.mark.parametrize("cut", [0, 4, 20, -1, -8, -100])
def test_a_broken_parquet_file_is_refused_without_paths(
    sandbox: Sandbox, ada: httpx.Client, dataset: UUID, tmp_path: Path, cut: int
) -> None:
    whole = parquet(tmp_path, "SELECT uuid() AS cid FROM range(100)")
    answer = upload(ada, dataset, packed((member("neuron.parquet"), whole[:cut] or b"x")))
    assert answer.status_code == 500
    assert "neuron.parquet" in answer.json()["detail"]
    assert "/" not in answer.json()["detail"]
    assert units(ada, dataset) == 0


def test_bytes_turned_in_a_parquet_file_never_break_the_server(
    sandbox: Sandbox, ada: httpx.Client, dataset: UUID, tmp_path: Path
) -> None:
    whole = parquet(
        tmp_path,
        "SELECT uuid() AS cid, random() AS voxel_volume, 'axonal' AS polarity FROM range(500)",
    )
    for place in range(4, len(whole), max(1, len(whole) // 60)):
        turned = bytearray(whole)
        turned[place] ^= 0xFF
        assert upload(
            ada, dataset, packed((member("neuron.parquet"), bytes(turned)))
        ).status_code in (204, 500)
    assert ada.get("/user/profile/current").status_code == 200
    assert left_behind(sandbox) == []


BOUNDARY = "multipart/form-data; boundary=b"
HEAD = b'--b\r\nContent-Disposition: form-data; name="dataset_tar_file"; filename="%s.tar"\r\n\r\n'


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("application/json", b"{}"),
        ("application/octet-stream", b"x"),
        ("text/plain", b"x"),
        ("multipart/form-data", b"--b\r\n\r\n"),
        ("multipart/form-data; boundary=" + "b" * 300, b"x"),
        ("multipart/mixed; boundary=b", HEAD + b"x\r\n--b--\r\n"),
        (BOUNDARY, b""),
        (BOUNDARY, b"--c\r\n\r\nx\r\n--c--\r\n"),
        (BOUNDARY, b"--b--\r\n"),
        (BOUNDARY, HEAD + b"it never ends"),
        (BOUNDARY, HEAD + b"x\r\n" + HEAD + b"x\r\n--b--\r\n"),
        (
            BOUNDARY,
            (
                b'--b\r\nContent-Disposition: form-data; name="dataset_tar_file"\r\n\r\nno'
                b" file\r\n--b--\r\n"
            ),
        ),
        (
            BOUNDARY,
            (
                b'--b\r\nContent-Disposition: form-data; name="other";'
                b' filename="%s.tar"\r\n\r\nx\r\n--b--\r\n'
            ),
        ),
        (BOUNDARY, b"--b\r\nX-Long: " + b"x" * 10_000_000 + b"\r\n\r\nx\r\n--b--\r\n"),
        (BOUNDARY, b"--b\r\n" + b"X-Many: x\r\n" * 100_000 + b"\r\nx\r\n--b--\r\n"),
        (
            BOUNDARY,
            b'--b\r\nContent-Disposition: form-data; name="a"\r\n\r\n'
            + b"x" * 5_000_000
            + b"\r\n--b--\r\n",
        ),
        (
            BOUNDARY,
            b'--b\r\nContent-Disposition: form-data; name="a"\r\n\r\nx\r\n' * 1000 + b"--b--\r\n",
        ),
        (BOUNDARY, b"\r\n" * 1_000_000),
    ],
    ids=range(18),
)
def test_what_is_no_form_with_one_file_is_422(
    sandbox: Sandbox, ada: httpx.Client, dataset: UUID, kind: str, body: bytes
) -> None:
    answer = raw_upload(ada, dataset, body.replace(b"%s", str(dataset).encode()), kind)
    assert answer.status_code == 422
    assert [set(each) for each in answer.json()["detail"]] == [{"loc", "msg", "type"}]
    assert left_behind(sandbox) == []
    assert units(ada, dataset) == 0


def test_a_form_without_end_stops_at_the_limit(
    sandbox: Sandbox, ada: httpx.Client, dataset: UUID
) -> None:
    def endless() -> Iterator[bytes]:
        yield HEAD.replace(b"%s", str(dataset).encode())
        for _ in range(80):
            yield bytes(1_000_000)

    assert raw_upload(ada, dataset, endless(), BOUNDARY).status_code == 413
    assert settled(lambda: left_behind(sandbox) == [])
    assert sandbox.memory() < 700_000_000


def test_a_refused_upload_is_read_to_its_end_and_answered(sandbox: Sandbox, dataset: UUID) -> None:
    with sandbox.client(EVE) as eve:
        assert upload(eve, dataset, bytes(30_000_000)).status_code == 403
    with sandbox.client(None) as nobody:
        assert upload(nobody, dataset, bytes(30_000_000)).status_code == 401
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
    sandbox: Sandbox, ada: httpx.Client, dataset: UUID, tmp_path: Path, name: str
) -> None:
    folders = {path.parent for path in sandbox.folder.rglob("*.parquet")}
    answer = upload(ada, dataset, neurons(tmp_path), name=name.format(dataset))
    assert answer.status_code == 204
    assert {path.parent for path in sandbox.folder.rglob("*.parquet")} - folders == {
        sandbox.node / "datasets" / str(dataset) / "tables"
    }


def form(dataset: UUID, content: bytes) -> bytes:
    return HEAD.replace(b"%s", str(dataset).encode()) + content + b"\r\n--b--\r\n"


def send_and_leave(sandbox: Sandbox, dataset: UUID, body: bytes, sent: int) -> None:
    """Announce the whole body, send `sent` bytes of it, and close the connection without reading
    anything.
    """
    token = sandbox.token(ADA)
    path = httpx.URL(f"/neurodata/io/{dataset}/upload", params=QUERY).raw_path.decode()
    head = (
        f"PATCH {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer"
        f" {token}\r\nContent-Type: {BOUNDARY}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", sandbox.port)) as connection:
        connection.sendall(head.encode() + body[:sent])


def test_an_upload_whose_sender_leaves_after_the_last_byte_is_taken_in(
    sandbox: Sandbox, ada: httpx.Client, dataset: UUID, tmp_path: Path
) -> None:
    body = form(dataset, neurons(tmp_path))
    send_and_leave(sandbox, dataset, body, len(body))
    assert settled(lambda: units(ada, dataset) == 5)


def test_an_upload_whose_body_ends_early_is_never_taken_in(
    sandbox: Sandbox, ada: httpx.Client, dataset: UUID, tmp_path: Path
) -> None:
    body = form(dataset, neurons(tmp_path))
    for sent in (0, 10, len(body) // 2, len(body) - 1):
        send_and_leave(sandbox, dataset, body, sent)
    upload(ada, dataset, b"no tar")  # comes after those: the node takes one at a time
    assert settled(lambda: left_behind(sandbox) == [])
    assert units(ada, dataset) == 0


def test_a_stopping_server_finishes_the_upload_it_has(tmp_path: Path) -> None:
    with Sandbox(tmp_path / "sandbox") as sandbox:
        with sandbox.client(ADA) as ada:
            for tag, body in (("animal", {"species": 18}), ("microscopy", {"name": "ssTEM"})):
                ada.post(f"/neurodata/metadata/tag/{tag}/create", json=body)
            region = {"brain_structure": "hippocampus", "direction": "null"}
            ada.post("/neurodata/metadata/tag/brain_region/create", json=region)
            made = uuid4()
            new = {
                "id": str(made),
                "label": "x",
                "animal": 18,
                "microscopy": "ssTEM",
                "brain_regions": [region],
                "syndb_tables": [1],
            }
            ada.post("/neurodata/metadata/dataset/new", json=new).raise_for_status()
        sandbox.script("slow=1@upload")
        body_of = form(made, neurons(tmp_path))
        send_and_leave(sandbox, made, body_of, len(body_of))
        assert settled(lambda: any(each["route"] == "upload" for each in sandbox.requests()))
        assert sandbox.stop() == 0
        entry = json.loads((sandbox.node / "datasets" / str(made) / "dataset.json").read_text())
        assert entry["number_of_units"] == 5


def test_scripted_faults_reach_the_stored_rows(
    sandbox: Sandbox, ada: httpx.Client, dataset: UUID, tmp_path: Path
) -> None:
    sandbox.script("lose-row@upload:1", "503@upload:2")
    try:
        assert upload(ada, dataset, neurons(tmp_path)).status_code == 204
        assert upload(ada, dataset, neurons(tmp_path)).status_code == 503
        assert [entry[1:] for entry in sandbox.script_log()] == [
            ["upload", "lose-row@upload:1"],
            ["upload", "503@upload:2"],
        ]
        link = ada.post(
            "/neurodata/io/download_dataset", json={"mapping": {str(dataset): ["neuron"]}}
        ).json()["download_url"]
        with tarfile.open(fileobj=io.BytesIO(httpx.get(link, trust_env=False).content)) as archive:
            archive.extractall(tmp_path, filter="data")
        assert duckdb.sql(
            f"SELECT count(*) FROM '{tmp_path}/{dataset}/neuron.parquet'"
        ).fetchall() == [(4,)]
        assert units(ada, dataset) == 5, "as the server goes on telling it"
        assert [each["route"] for each in sandbox.requests()] == [
            "upload",
            "upload",
            "download",
            "object",
            "info",
        ]
    finally:
        sandbox.script()
