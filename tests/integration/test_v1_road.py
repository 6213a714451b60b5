"""The commands against a SynDB of generation 2 (`/v1`): the sandbox's, with and without a route that
takes tables.

Belongs here: what a person meets. Does not: the destination by itself
(`tests/unit/destinations/test_syndb_v1.py`).
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from syndb_pipeline.destinations.embedded.node import EmbeddedNode
from syndb_pipeline.sandbox.backend import Signer
from tests.command_line import Lab
from tests.rest_lab import ADA, PASSWORD, RestLab, Sandbox

DATASET = "01939c0e-7b1a-7c3e-9f53-6f0c6b1d2c01"


class Person(RestLab):
    """A lab that publishes to the server `sandbox`, said to be of this `kind`."""

    run = Lab.call

    def is_of(self, kind: str) -> None:
        path = self.folder / "pipeline.yaml"
        settings = yaml.safe_load(path.read_text())
        settings["destinations"]["sandbox"]["kind"] = kind
        path.write_text(yaml.safe_dump(settings))

    @property
    def environment(self) -> dict[str, str]:
        return {
            name: value
            for name, value in super().environment.items()
            if not name.startswith(("SYNDB_USERNAME", "SYNDB_PASSWORD"))
        }

    def doctor(self) -> dict[str, tuple[str, str]]:
        """Check -> its state, and what it says."""
        checks = self.run("doctor", "--destination", "sandbox", "--json").report["checks"]
        return {each["name"]: (each["state"], each["found"] + each["next_step"]) for each in checks}


@pytest.fixture(scope="module", params=["v1", "v1_upload"])
def sandbox(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Sandbox]:
    with Sandbox(tmp_path_factory.mktemp("sandbox"), v1=request.param) as running:
        yield running
        assert "Traceback" not in running.log()


def test_from_log_in_to_deletion(sandbox: Sandbox, tmp_path: Path) -> None:
    lab = Person(tmp_path / "lab", sandbox)
    assert lab.doctor()["interface"][0] == "failed"
    assert "kind: syndb_v1" in lab.doctor()["interface"][1]
    lab.is_of("syndb_v1")
    assert lab.doctor()["credentials"][0] == "failed"
    logged_in = lab.run("login", "--username", ADA, "--password-stdin", stdin=f"{PASSWORD}\n")
    assert logged_in.code == 0 and "academic status is verified" in logged_in.out, logged_in
    [kept] = json.loads(Path(lab.environment["SYNDB_CREDENTIALS"]).read_text())["origins"].values()
    assert kept.keys() == {"token", "refresh", "username"}
    takes = sandbox.v1 == "v1_upload"
    upload = lab.doctor()["upload"]
    assert upload[0] == ("ok" if takes else "failed"), upload
    assert takes or "syndb-pipeline export" in upload[1]

    config = lab.small("road", DATASET)
    planned = lab.run("plan", config).out
    assert "SynDB /v1 (generation 2)" in planned and "never against the real SynDB" in planned
    sandbox.script("expire@profile")
    published = lab.run("publish", config)
    node = EmbeddedNode("node", sandbox.node, memory_limit=10**9, threads=1)
    posted = {each["route"] for each in sandbox.requests() if each["method"] == "POST"}
    if not takes:
        assert published.code == 5, published
        assert "Nothing was sent" in published.err
        assert "syndb-pipeline export DATASET --to FOLDER" in published.err
        assert node.all() == [] and posted == {"refresh"}
        assert lab.run("datasets").out == "You own no dataset at sandbox.\n"
        return
    assert published.code == 0, published
    assert "speaks   SynDB /v1 (generation 2)" in published.out
    assert {"refresh", "upload"} <= posted
    assert lab.run("publish", config).code == 0
    [info] = node.all()
    assert info.rows == {"axon": 30, "neuron": 20} and len(info.uploads or ()) == 1
    assert len(lab.run("datasets").out.splitlines()) == 1
    shown = lab.run("datasets", "--show", DATASET, "--json").report
    said = {each["field"]: each["there"] for each in shown["fields"]}
    assert said["license"] == "'ODC_BY'" and said["brain_regions"] is None
    assert shown["links"]["provenance"].endswith(f"/v1/neurodata/datasets/{DATASET}/provenance")
    assert lab.run("delete", config, "--label", info.metadata.label).code == 0
    assert node.all() == []
    assert lab.run("logout").code == 0
    assert sandbox.log().count(kept["refresh"]) == 0


def test_rows_for_few_are_not_sent_where_everyone_may_read(
    sandbox: Sandbox, tmp_path: Path
) -> None:
    if sandbox.v1 != "v1_upload":
        pytest.skip("nothing is sent at all")
    lab = Person(tmp_path / "lab", sandbox)
    lab.is_of("syndb_v1")
    lab.run("login", "--username", ADA, "--password-stdin", stdin=f"{PASSWORD}\n")
    config = lab.small("few", DATASET.replace("c01", "c02"))
    content = yaml.safe_load(config.read_text())
    for policy, code in (("restricted", 0), ("registered", 5)):
        content["description"] = {"access": {"policy": policy}}
        config.write_text(yaml.safe_dump(content))
        ran = lab.run("plan", config, "--json")
        ran = lab.run("publish", config, "--approve", ran.report["digest"])
        assert ran.code == code, ran
    assert "is to be registered, and at sandbox it is restricted" in " ".join(ran.err.split())
    assert lab.run("delete", config, "--label", content["dataset"]["label"]).code == 0


def test_a_service_account_needs_its_secret_and_no_verification(
    sandbox: Sandbox, tmp_path: Path
) -> None:
    lab = Person(tmp_path / "lab", sandbox)
    lab.is_of("syndb_v1")
    command = ("login", "--username", "robot@lab.example", "--password-stdin", "--service")
    assert lab.run(*command, stdin="a password\n").code == 2
    variable = "SYNDB_SERVICE_SECRET__SANDBOX"
    wrong = lab.run(*command, stdin="a password\n", **{variable: "guessed-canary"})
    assert wrong.code == 5 and "canary" not in wrong.out + wrong.err
    secret = Signer(sandbox.folder).password("service accounts")
    made = lab.run(*command, stdin="a password\n", **{variable: secret})
    assert made.code == 0 and "academic status is verified" in made.out, made
    lab.is_of("rest")
    assert lab.run(*command, stdin="a password\n", **{variable: secret}).code == 2


def test_what_has_no_place_in_generation_2_is_never_sent_in_part(
    sandbox: Sandbox, tmp_path: Path
) -> None:
    lab = Person(tmp_path / "lab", sandbox)
    lab.is_of("syndb_v1")
    config = lab.small("edges", DATASET)
    content = yaml.safe_load(config.read_text())
    content["tables"]["neuron_relation"] = {"file": "edges.csv"}
    config.write_text(yaml.safe_dump(content))
    (config.parent / "edges.csv").write_text("pre_synapse_id,post_synapse_id\nn0,n1\n")
    sandbox.script()
    for command in ("plan", "publish"):
        ran = lab.run(command, config)
        said = " ".join((ran.out + ran.err).split())
        assert ran.code == {"plan": 0, "publish": 5}[command], ran
        assert "generation 2's neuron_relations are non-synaptic" in said, ran
    assert sandbox.requests() == []


def test_a_folder_is_looked_at_without_a_server(tmp_path: Path) -> None:
    lab = Lab(tmp_path / "lab")
    settings = {"destinations": {"files": {"kind": "folder", "path": "exports"}}}
    (lab.folder / "pipeline.yaml").write_text(yaml.safe_dump({"state": "state", **settings}))
    for command in ("doctor", "whoami"):
        ran = lab.call(command, "--destination", "files")
        assert ran.code == 0, ran
        assert "exports" in ran.out and "server" not in ran.out.replace("no server", "")


def test_generation_2_meant_and_generation_1_met(tmp_path: Path) -> None:
    with Sandbox(tmp_path / "sandbox") as sandbox:
        lab = Person(tmp_path / "lab", sandbox)
        lab.is_of("syndb_v1")
        state, said = lab.doctor()["interface"]
        assert state == "failed" and "generation 1" in said and "kind: rest" in said
        lab.is_of("rest")
        state, said = lab.doctor()["interface"]
        assert state == "ok" and "SynDB REST 0.7.2 (generation 1)" in said

        lab.run("login", "--username", ADA, "--password-stdin", stdin=f"{PASSWORD}\n")
        config = lab.small("selected", DATASET, mutations=[{"gene": "a", "expression": "knock-in"}])
        assert lab.run("publish", config).code == 0
        again = config.with_name("again.yaml")
        selecting = ("--out", again, "--from-dataset", DATASET)
        assert lab.run("init", lab.folder / "selected-files", *selecting).code == 0
        there, here = (yaml.safe_load(path.read_text())["dataset"] for path in (config, again))
        shared = ("id", "label", "license", "animal", "microscopy", "mutations")
        assert all(here[key] == there[key] for key in shared if key in there)
        assert here["brain_regions"][0]["structure"] == there["brain_regions"][0]["structure"]
        assert yaml.safe_load(again.read_text())["publish"]["destination"] == "sandbox"

        config.write_text(config.read_text().replace("structure: hippocampus", "structure: cortex"))
        shown = lab.run("datasets", "--show", config).out
        [line] = [each for each in shown.splitlines() if each.startswith(" *")]
        assert line.split() == ["*", "brain_regions", "hippocampus", "null", "cortex", "null"]
        assert "the same" in shown and all(len(each) <= 80 for each in shown.splitlines())
        missing = DATASET.replace("01", "02")
        for command in (("datasets", "--show", missing), ("init", lab.folder, *selecting[:-1])):
            arguments = (*command, missing) if command[0] == "init" else command
            ran = lab.run(*arguments)
            assert ran.code == 5 and "There is no dataset" in ran.err
