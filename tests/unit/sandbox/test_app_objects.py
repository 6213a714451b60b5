"""Signed forms and links of the sandbox's own S3: what they allow, and that nothing else is
allowed.

Belongs here: forms, links, their limits, and moto's S3 in the same place. Does not: who may ask for
one (the contract tests).
"""

from __future__ import annotations

import base64
import hashlib
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4
from xml.etree import ElementTree

import httpx
import pytest

from tests.rest_lab import ADA, BOB, Sandbox

REGION = {"brain_structure": "hippocampus", "direction": "null"}


def registered(client: httpx.Client, **changed: Any) -> str:
    for tag, body in (
        ("animal", {"species": 18}),
        ("microscopy", {"name": "ssTEM"}),
        ("brain_region", REGION),
    ):
        client.post(f"/neurodata/metadata/tag/{tag}/create", json=body).raise_for_status()
    made = str(uuid4())
    new = {
        "id": made,
        "label": "x",
        "animal": 18,
        "microscopy": "ssTEM",
        "brain_regions": [REGION],
        "syndb_tables": [1],
        **changed,
    }
    client.post("/neurodata/metadata/dataset/new", json=new).raise_for_status()
    return made


def form(client: httpx.Client, dataset: str, kind: str = "mesh") -> dict[str, Any]:
    answer = client.get(f"/neurodata/io/{dataset}/upload_url/{kind}")
    assert answer.status_code == 201
    told: dict[str, Any] = answer.json()
    return told


def send(form: dict[str, Any], name: str, content: bytes, **fields: str) -> httpx.Response:
    return httpx.post(
        form["upload_url"],
        data=form["fields"] | fields,
        files={"file": (name, content)},
        trust_env=False,
    )


def links(client: httpx.Client, dataset: str, units: list[str], target: int = 1) -> list[str]:
    answer = client.request(
        "GET",
        "/neurodata/io/download_url",
        json={"target": target, "dataset_id_to_cids": {dataset: units}},
    )
    assert answer.status_code == 201
    told: list[str] = answer.json()["dataset_id_to_download_metadata"][dataset]
    return told


def code(answer: httpx.Response) -> tuple[int, str | None]:
    """Status and S3's code of an error."""
    assert answer.headers["content-type"].startswith("application/xml")
    return answer.status_code, ElementTree.fromstring(answer.text).findtext("Code")


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    with Sandbox(
        tmp_path_factory.mktemp("objects") / "sandbox", limits={"object_bytes": 1_000_000}
    ) as running:
        yield running
        assert "Traceback" not in running.log()
        assert "ignature=" not in running.log()


@pytest.fixture(scope="module")
def ada(sandbox: Sandbox) -> Iterator[httpx.Client]:
    with sandbox.client(ADA) as client:
        yield client


@pytest.fixture(scope="module")
def dataset(ada: httpx.Client) -> str:
    return registered(ada)


@pytest.mark.parametrize("moto", [False, True], ids=["own", "moto"])
def test_a_file_goes_there_and_back(tmp_path: Path, moto: bool) -> None:
    """The same steps against the sandbox's S3 and a real one of a kept package: what is ours must
    look like what is theirs.
    """
    content = bytes(range(256)) * 300
    with Sandbox(tmp_path / "sandbox", moto=moto) as sandbox, sandbox.client(ADA) as ada:
        dataset, unit = registered(ada), str(uuid4())
        for target, (kind, suffix) in enumerate((("mesh", "glb"), ("swb", "swc")), 1):
            signed = form(ada, dataset, kind)
            assert signed["fields"]["key"] == dataset + "/${filename}"
            assert set(signed["fields"]) >= {"key", "policy", "Content-Type", "x-amz-signature"}
            assert send(signed, f"{unit}.{suffix}", b"older").status_code == 204
            assert send(signed, f"{unit}.{suffix}", content).status_code == 204
            assert links(ada, dataset, [str(uuid4())], target) == []
            [link] = links(ada, dataset, [str(uuid4()), unit], target)
            assert httpx.URL(link).path.endswith(f"/{dataset}/{unit}.{suffix}")
            whole = httpx.get(link, trust_env=False)
            assert whole.content == content
            assert whole.headers["etag"] == f'"{hashlib.md5(content).hexdigest()}"'
            assert whole.headers["content-length"] == str(len(content))
            part = httpx.get(link, headers={"range": "bytes=10-19"}, trust_env=False)
            assert (part.status_code, part.content) == (206, content[10:20])
            assert part.headers["content-range"] == f"bytes 10-19/{len(content)}"
            assert part.headers["etag"] == whole.headers["etag"]
        ada.delete(f"/neurodata/io/{dataset}/delete_dataset").raise_for_status()
        assert httpx.get(link, trust_env=False).status_code == 404


def test_what_the_content_is_nobody_asks(ada: httpx.Client, dataset: str) -> None:
    assert send(form(ada, dataset), f"{uuid4()}.glb", b"").status_code == 204


@pytest.mark.parametrize(
    "name",
    [
        "../{}.glb",
        "../../node/{}.glb",
        "a/{}.glb",
        "/{}.glb",
        "{}.swc",
        "{}.GLB",
        "{}.glb.glb",
        "{}",
        ".glb",
        "{}.glb\0",
        "{}.glb/",
        "x{}.glb",
        "%2e%2e%2f{}.glb",
        "{}…glb",
    ],
)
def test_a_name_that_is_no_units_is_refused(
    sandbox: Sandbox, ada: httpx.Client, dataset: str, name: str
) -> None:
    before = {path for path in sandbox.folder.rglob("*") if path.is_file()}
    assert code(send(form(ada, dataset), name.format(uuid4()), b"x")) == (403, "AccessDenied")
    assert {path for path in sandbox.folder.rglob("*") if path.is_file()} == before


def test_a_form_serves_for_what_it_was_signed_for_only(
    sandbox: Sandbox, ada: httpx.Client, dataset: str
) -> None:
    signed, unit = form(ada, dataset), str(uuid4())
    other = registered(ada)
    name = f"{unit}.glb"
    assert code(send(signed, name, b"x", key=other + "/${filename}")) == (403, "AccessDenied")
    assert code(send(signed, name, b"x", key=f"{dataset}/../{other}/{name}")) == (
        403,
        "AccessDenied",
    )
    assert code(send(signed, name, b"x", key="")) == (403, "AccessDenied")
    assert code(send(signed, name, b"x", **{"Content-Type": "text/html"})) == (403, "AccessDenied")
    assert code(send(signed, name, b"x", **{"x-amz-credential": str(uuid4())})) == (
        403,
        "AccessDenied",
    )
    swb = signed | {"upload_url": signed["upload_url"].replace("mesh", "swb")}
    assert code(send(swb, f"{unit}.swc", b"x")) == (403, "AccessDenied")
    elsewhere = signed | {"upload_url": signed["upload_url"].replace("mesh", "other")}
    assert code(send(elsewhere, name, b"x")) == (404, "NoSuchBucket")
    assert send(signed, name, b"x", key=f"{dataset}/{name}").status_code == 204
    assert links(ada, other, [unit]) == []


@pytest.mark.parametrize("part", ["policy", "x-amz-signature"])
def test_a_form_that_was_tampered_with_is_refused(
    ada: httpx.Client, dataset: str, part: str
) -> None:
    signed = form(ada, dataset)
    for value in ("", "…", "\0", "0" * 64):
        assert code(send(signed, f"{uuid4()}.glb", b"x", **{part: value})) == (
            403,
            "SignatureDoesNotMatch",
        )
    policy = json.loads(base64.b64decode(signed["fields"]["policy"]))
    policy["expiration"] = "2999-01-01T00:00:00+00:00"
    forged = base64.b64encode(json.dumps(policy).encode()).decode()
    assert code(send(signed, f"{uuid4()}.glb", b"x", policy=forged)) == (
        403,
        "SignatureDoesNotMatch",
    )


def test_a_post_without_a_file_or_a_form(ada: httpx.Client, dataset: str) -> None:
    signed = form(ada, dataset)
    url = signed["upload_url"]
    assert code(httpx.post(url, data=signed["fields"], trust_env=False)) == (
        400,
        "MalformedPOSTRequest",
    )
    fields = {name: (None, value) for name, value in signed["fields"].items()}
    assert code(httpx.post(url, files=fields, trust_env=False)) == (400, "InvalidArgument")
    late = {"file": (f"{uuid4()}.glb", b"x"), **fields}
    assert code(httpx.post(url, files=late, trust_env=False)) == (403, "SignatureDoesNotMatch"), (
        "fields after the file do not count"
    )


def test_a_file_beyond_the_limit_is_refused(
    sandbox: Sandbox, ada: httpx.Client, dataset: str
) -> None:
    signed, unit = form(ada, dataset), str(uuid4())
    for size in (1_000_001, 5_000_000):
        assert code(send(signed, f"{unit}.glb", bytes(size))) == (400, "EntityTooLarge")
    assert links(ada, dataset, [unit]) == []
    assert list((sandbox.folder / "incoming").glob("*")) == []
    assert send(signed, f"{unit}.glb", bytes(1_000_000)).status_code == 204


def test_a_link_serves_for_one_file_and_one_method(ada: httpx.Client, dataset: str) -> None:
    unit, other = str(uuid4()), str(uuid4())
    for each in (unit, other):
        send(form(ada, dataset), f"{each}.glb", b"x").raise_for_status()
    [link] = links(ada, dataset, [unit])
    assert code(httpx.get(link.replace(unit, other), trust_env=False)) == (
        403,
        "SignatureDoesNotMatch",
    )
    assert code(httpx.get(link.partition("?")[0], trust_env=False)) == (
        403,
        "SignatureDoesNotMatch",
    )
    assert code(httpx.get(link.replace("Expires=1", "Expires=2"), trust_env=False)) == (
        403,
        "SignatureDoesNotMatch",
    )
    assert httpx.head(link, trust_env=False).status_code == 403
    assert httpx.put(link, content=b"y", trust_env=False).status_code == 405
    assert httpx.get(link, trust_env=False).content == b"x"
    assert httpx.get(link, headers={"range": "bytes=5-"}, trust_env=False).status_code == 416


def test_forms_and_links_expire(tmp_path: Path) -> None:
    limits = {"form_seconds": 0.3, "url_seconds": 1}
    with Sandbox(tmp_path / "sandbox", limits=limits) as sandbox, sandbox.client(ADA) as ada:
        dataset, unit = registered(ada), str(uuid4())
        signed = form(ada, dataset)
        assert send(signed, f"{unit}.glb", b"x").status_code == 204
        [link] = links(ada, dataset, [unit])
        tables = ada.post(
            "/neurodata/io/download_dataset", json={"mapping": {dataset: ["neuron"]}}
        ).json()["download_url"]
        time.sleep(1.1)
        assert code(send(signed, f"{unit}.glb", b"y")) == (403, "AccessDenied")
        assert code(httpx.get(link, trust_env=False)) == (403, "AccessDenied")
        assert httpx.get(tables, trust_env=False).status_code == 403
        assert httpx.get(tables + "x", trust_env=False).status_code == 403


def test_forms_and_links_outlive_the_server(tmp_path: Path) -> None:
    with Sandbox(tmp_path / "sandbox") as sandbox:
        with sandbox.client(ADA) as ada:
            dataset, unit = registered(ada), str(uuid4())
            signed = form(ada, dataset)
            send(signed, f"{unit}.glb", b"x").raise_for_status()
            [link] = links(ada, dataset, [unit])
        sandbox.kill()
        sandbox.start()
        assert send(signed, f"{uuid4()}.glb", b"y").status_code == 204
        assert httpx.get(link, trust_env=False).content == b"x"


def test_a_form_acts_for_the_one_it_was_made_for(sandbox: Sandbox, ada: httpx.Client) -> None:
    shared = registered(ada, authorized_group_names=["lab"])
    with sandbox.client(BOB) as bob:
        signed = form(bob, shared)
    assert send(signed, f"{uuid4()}.glb", b"x").status_code == 204
    ada.delete(f"/neurodata/io/{shared}/delete_dataset").raise_for_status()
    assert code(send(signed, f"{uuid4()}.glb", b"x")) == (403, "AccessDenied")
    assert not (sandbox.node / "datasets" / shared / "files").exists()


def test_wrong_bodies_of_the_routes_are_validation_errors(ada: httpx.Client, dataset: str) -> None:
    def get(body: Any) -> int:
        return ada.request("GET", "/neurodata/io/download_url", json=body).status_code

    assert get({"target": 3, "dataset_id_to_cids": {}}) == 422
    assert get({"target": True, "dataset_id_to_cids": {}}) == 422
    assert get({"target": 1, "dataset_id_to_cids": {dataset: ["../x"]}}) == 422
    assert get({"target": 1, "dataset_id_to_cids": {str(UUID(int=1)): []}}) == 404
    assert get({"target": 1, "dataset_id_to_cids": {}}) == 201
    for mapping in (
        {},
        {dataset: ["12"]},
        {dataset: ["no table"]},
        {dataset: "neuron"},
        {"x": ["neuron"]},
        [],
        None,
    ):
        assert (
            ada.post("/neurodata/io/download_dataset", json={"mapping": mapping}).status_code == 422
        )
    assert ada.get(f"/neurodata/io/{dataset}/upload_url/other").status_code == 404
    assert ada.get("/neurodata/io/none/upload_url/mesh").status_code == 422
