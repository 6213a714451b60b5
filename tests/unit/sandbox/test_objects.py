"""Signed forms and links of the sandbox's own S3: what they allow, and that nothing else is allowed.

Belongs here: forms, links, their limits, and moto's S3 in the same place. Does not: who may ask for
one (`test_sandbox_contract.py`).
"""

from __future__ import annotations

import base64
import hashlib
import json
import time
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4
from xml.etree import ElementTree

import httpx
import pytest

from tests.rest_lab import ADA, BOB, Sandbox, register

DENIED = (403, "AccessDenied")
BAD_SIGNATURE = (403, "SignatureDoesNotMatch")


def form(client: httpx.Client, dataset: str, kind: str = "mesh") -> dict[str, Any]:
    answer = client.get(f"/neurodata/io/{dataset}/upload_url/{kind}")
    assert answer.status_code == 201
    signed: dict[str, Any] = answer.json()
    return signed


def send(form: dict[str, Any], name: str, content: bytes = b"x", **fields: str) -> httpx.Response:
    data = form["fields"] | fields
    return httpx.post(
        form["upload_url"], data=data, files={"file": (name, content)}, trust_env=False
    )


def get(url: str, **options: Any) -> httpx.Response:
    return httpx.get(url, trust_env=False, **options)


def links(client: httpx.Client, dataset: str, units: list[str], target: int = 1) -> list[str]:
    wanted = {"target": target, "dataset_id_to_cids": {dataset: units}}
    answer = client.request("GET", "/neurodata/io/download_url", json=wanted)
    assert answer.status_code == 201
    found: list[str] = answer.json()["dataset_id_to_download_metadata"][dataset]
    return found


def code(answer: httpx.Response) -> tuple[int, str | None]:
    """Status and S3's code of an error."""
    assert answer.headers["content-type"].startswith("application/xml")
    return answer.status_code, ElementTree.fromstring(answer.text).findtext("Code")


@pytest.mark.parametrize("moto", [False, True], ids=["own", "moto"])
def test_a_file_goes_there_and_back(tmp_path: Path, moto: bool) -> None:
    """The same steps against the sandbox's S3 and a real one of a kept package: what is ours must
    look like what is theirs.
    """
    content = bytes(range(256)) * 300
    with Sandbox(tmp_path / "sandbox", moto=moto) as sandbox, sandbox.client(ADA) as ada:
        sandbox.create_tags()
        dataset, unit = register(ada), str(uuid4())
        for target, (kind, suffix) in enumerate((("mesh", "glb"), ("swb", "swc")), 1):
            signed = form(ada, dataset, kind)
            assert signed["fields"]["key"] == dataset + "/${filename}"
            assert {"key", "policy", "Content-Type", "x-amz-signature"} <= set(signed["fields"])
            for sent in (b"older", content):
                assert send(signed, f"{unit}.{suffix}", sent).status_code == 204
            assert links(ada, dataset, [str(uuid4())], target) == []
            [link] = links(ada, dataset, [str(uuid4()), unit], target)
            assert httpx.URL(link).path.endswith(f"/{dataset}/{unit}.{suffix}")
            whole = get(link)
            assert whole.content == content
            assert whole.headers["etag"] == f'"{hashlib.md5(content).hexdigest()}"'
            assert whole.headers["content-length"] == str(len(content))
            part = get(link, headers={"range": "bytes=10-19"})
            assert (part.status_code, part.content) == (206, content[10:20])
            assert part.headers["content-range"] == f"bytes 10-19/{len(content)}"
            assert part.headers["etag"] == whole.headers["etag"]
        ada.delete(f"/neurodata/io/{dataset}/delete_dataset").raise_for_status()
        assert get(link).status_code == 404


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
        "\N{FULLWIDTH FULL STOP}\N{FULLWIDTH FULL STOP}/{}.glb",
    ],
)
def test_a_name_that_is_no_units_is_refused(
    sandbox: Sandbox, ada: httpx.Client, dataset: str, name: str
) -> None:
    before = {path for path in sandbox.folder.rglob("*") if path.is_file()}
    assert code(send(form(ada, dataset), name.format(uuid4()))) == DENIED
    assert {path for path in sandbox.folder.rglob("*") if path.is_file()} == before


def test_a_form_serves_for_what_it_was_signed_for_only(ada: httpx.Client, dataset: str) -> None:
    signed, unit, other = form(ada, dataset), str(uuid4()), register(ada)
    name, url = f"{unit}.glb", signed["upload_url"]
    for key in (other + "/${filename}", f"{dataset}/../{other}/{name}", ""):
        assert code(send(signed, name, key=key)) == DENIED
    assert code(send(signed, name, **{"Content-Type": "text/html"})) == DENIED
    skeletons = signed | {"upload_url": url.replace("mesh", "swb")}
    assert code(send(skeletons, f"{unit}.swc")) == DENIED
    elsewhere = signed | {"upload_url": url.replace("mesh", "other")}
    assert code(send(elsewhere, name)) == (404, "NoSuchBucket")
    assert send(signed, name, key=f"{dataset}/{name}").status_code == 204
    assert links(ada, other, [unit]) == []


def test_a_form_that_was_tampered_with_is_refused(ada: httpx.Client, dataset: str) -> None:
    signed = form(ada, dataset)
    forged = base64.urlsafe_b64encode(json.dumps([9e9, "user", dataset, "mesh"]).encode()).decode()
    of_another = form(ada, register(ada))["fields"]["policy"]
    for part, values in {
        "policy": ["", "…", "\0", "0" * 64, forged, forged.rstrip("="), of_another],
        "x-amz-signature": ["", "…", "\0", "0" * 64],
    }.items():
        for value in values:
            answer = send(signed, f"{uuid4()}.glb", **{part: value})
            assert code(answer) == BAD_SIGNATURE, (part, value)


def test_a_post_without_a_file_or_a_form(ada: httpx.Client, dataset: str) -> None:
    signed = form(ada, dataset)

    def post(**body: Any) -> tuple[int, str | None]:
        return code(httpx.post(signed["upload_url"], trust_env=False, **body))

    assert post(data=signed["fields"]) == (400, "InvalidArgument")
    broken = {"content": b"--c", "headers": {"content-type": "multipart/form-data; boundary=b"}}
    assert post(**broken) == (400, "MalformedPOSTRequest")
    fields = {name: (None, value) for name, value in signed["fields"].items()}
    assert post(files=fields) == (400, "InvalidArgument")
    late = {"file": (f"{uuid4()}.glb", b"x"), **fields}
    assert post(files=late) == BAD_SIGNATURE, "fields after the file do not count"


def test_a_file_beyond_the_limit_is_refused(
    sandbox: Sandbox, ada: httpx.Client, dataset: str
) -> None:
    signed, name = form(ada, dataset), f"{uuid4()}.glb"
    assert code(send(signed, name, bytes(1_000_001))) == (400, "EntityTooLarge")
    assert send(signed, name, bytes(5_000_000)).status_code == 413
    assert links(ada, dataset, [Path(name).stem]) == []
    assert list((sandbox.folder / "incoming").glob("*")) == []
    assert send(signed, name, bytes(1_000_000)).status_code == 204


def test_a_link_serves_for_one_file_and_one_method(ada: httpx.Client, dataset: str) -> None:
    unit, other = str(uuid4()), str(uuid4())
    for each in (unit, other):
        send(form(ada, dataset), f"{each}.glb").raise_for_status()
    [link] = links(ada, dataset, [unit])
    bare, _, signature = link.partition("?")
    for wrong in (link.replace(unit, other), bare, f"{bare}?{signature}x", f"{bare}?signature=…"):
        assert code(get(wrong)) == BAD_SIGNATURE
    for method in ("HEAD", "PUT", "DELETE"):
        assert httpx.request(method, link, trust_env=False).status_code == 405
    assert get(link).content == b"x"
    assert get(link, headers={"range": "bytes=5-"}).status_code == 416


def test_forms_and_links_expire(tmp_path: Path) -> None:
    limits = {"form_seconds": 0.3, "url_seconds": 1}
    with Sandbox(tmp_path / "sandbox", limits=limits) as sandbox, sandbox.client(ADA) as ada:
        sandbox.create_tags()
        dataset, unit = register(ada), str(uuid4())
        signed = form(ada, dataset)
        assert send(signed, f"{unit}.glb").status_code == 204
        [link] = links(ada, dataset, [unit])
        wanted = {"mapping": {dataset: ["neuron"]}}
        tables = ada.post("/neurodata/io/download_dataset", json=wanted).json()["download_url"]
        time.sleep(1.1)
        assert code(send(signed, f"{unit}.glb")) == DENIED
        assert code(get(link)) == DENIED
        assert get(tables).status_code == 403
        assert get(tables + "x").status_code == 403


def test_a_form_acts_for_the_one_it_was_made_for(sandbox: Sandbox, ada: httpx.Client) -> None:
    shared = register(ada, authorized_group_names=["lab"])
    with sandbox.client(BOB) as bob:
        signed = form(bob, shared)
    assert send(signed, f"{uuid4()}.glb").status_code == 204
    ada.delete(f"/neurodata/io/{shared}/delete_dataset").raise_for_status()
    assert code(send(signed, f"{uuid4()}.glb")) == DENIED
    assert not (sandbox.node / "datasets" / shared / "files").exists()


def test_wrong_bodies_of_the_routes_are_refused(ada: httpx.Client, dataset: str) -> None:
    for target, wanted, status in (
        (3, {}, 422),
        (True, {}, 422),
        (1, {dataset: ["../x"]}, 422),
        (1, {str(UUID(int=1)): []}, 404),
        (1, {}, 201),
    ):
        body = {"target": target, "dataset_id_to_cids": wanted}
        answer = ada.request("GET", "/neurodata/io/download_url", json=body)
        assert answer.status_code == status
    tables = ({}, {dataset: ["12"]}, {dataset: ["no table"]}, {dataset: "neuron"})
    for mapping in (*tables, {"x": ["neuron"]}, [], None):
        answer = ada.post("/neurodata/io/download_dataset", json={"mapping": mapping})
        assert answer.status_code == 422
    assert ada.get(f"/neurodata/io/{dataset}/upload_url/other").status_code == 404
    assert ada.get("/neurodata/io/none/upload_url/mesh").status_code == 422
