"""The files of `deploy/`, as far as a machine without containers can check them."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from dagster._core.instance.ref import InstanceRef
from typer.testing import CliRunner

from syndb_pipeline.cli.main import app

ROOT = Path(__file__).parents[3]
DEPLOY = ROOT / "deploy"
COMPOSE: dict[str, Any] = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
EXAMPLE = (DEPLOY / "cluster.env.example").read_text()
NAMES = {
    line.partition("=")[0] for line in EXAMPLE.splitlines() if line and not line.startswith("#")
}


@pytest.mark.parametrize("file", ["config/dagster.yaml", "deploy/dagster-cluster.yaml"])
def test_dagster_takes_its_config(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, file: str
) -> None:
    for name in NAMES:
        monkeypatch.setenv(name, "5432" if name == "PGPORT" else f"{name}-here")
    shutil.copy(ROOT / file, tmp_path / "dagster.yaml")
    ref = InstanceRef.from_dir(str(tmp_path))  # holds it to Dagster's schema
    assert ref.run_coordinator is not None
    launcher: Any = ref.run_launcher
    if "cluster" in file:
        pytest.importorskip("dagster_celery")
        assert launcher.broker == "CELERY_BROKER_URL-here"
    for broken in ("run_monitorin: {enabled: true}", "run_monitoring: {enabledd: true}"):
        (tmp_path / "dagster.yaml").write_text(broken)
        with pytest.raises(Exception, match=r"monitorin|enabledd"):
            InstanceRef.from_dir(str(tmp_path))


def test_several_machines_keep_the_limits_of_one() -> None:
    one, several = (
        yaml.safe_load((ROOT / file).read_text())["concurrency"]
        for file in ("config/dagster.yaml", "deploy/dagster-cluster.yaml")
    )
    assert several == one


def test_compose_names_what_there_is() -> None:
    services = COMPOSE["services"]
    assert set(services) == {
        *("postgres", "redis", "code", "daemon", "webserver", "worker"),
    }
    ports = [port for service in services.values() for port in service.get("ports", ())]
    assert ports and all(port.startswith("127.0.0.1:") for port in ports)
    asked = set(re.findall(r"(?<!\$)\$\{([A-Z_]+)", (DEPLOY / "compose.yaml").read_text()))
    assert asked <= NAMES
    for name in ("code", "daemon", "webserver", "worker"):
        mine = services[name]
        assert (DEPLOY / mine["build"]["context"] / mine["build"]["dockerfile"]).is_file()
        assert (Path(sys.executable).parent / mine["command"][0]).is_file()
        mounted = [volume.partition(":")[0] for volume in mine["volumes"]]
        assert all((DEPLOY / each).is_file() for each in mounted if each.startswith("./"))
    where = yaml.safe_load((DEPLOY / "workspace-cluster.yaml").read_text())["load_from"]
    command = services["code"]["command"]
    port = command[command.index("--port") + 1]
    assert where == [
        {"grpc_server": {"host": "code", "port": int(port), "location_name": "dagster_defs"}}
    ]


def test_the_image_is_made_of_what_there_is() -> None:
    text = (DEPLOY / "Containerfile").read_text()
    copied = [line.split()[1:-1] for line in text.splitlines() if line.startswith("COPY")]
    assert copied and all((ROOT / path).exists() for paths in copied for path in paths)
    locked = (ROOT / "requirements-dev.lock").read_text()
    for library in re.findall(r"(dagster-celery|dagster-postgres|psycopg2-binary|redis)\b", text):
        assert re.search(rf"^{library}(\[[a-z]+\])?==", locked, re.MULTILINE), library


def test_no_file_holds_a_secret() -> None:
    secrets = re.findall(r"^\w*(?:PASSWORD|SECRET|TOKEN)\w*=(.*)$", EXAMPLE, re.MULTILINE)
    assert secrets and not any(secrets)


UNITS = sorted((DEPLOY / "systemd").glob("*"))


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="no systemd on this machine")
def test_systemd_takes_the_units(tmp_path: Path) -> None:
    programs = tmp_path / "syndb" / ".venv" / "bin"
    programs.mkdir(parents=True)
    for name in ("syndb-pipeline", "celery"):
        (programs / name).touch(0o755)
    environment = os.environ | {"HOME": str(tmp_path), "XDG_RUNTIME_DIR": str(tmp_path)}
    command = ["systemd-analyze", "verify", "--user", "--man=no", *map(str, UNITS)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


def test_units_call_commands_that_there_are() -> None:
    lines = [
        line
        for unit in UNITS
        for line in re.findall(r"syndb-pipeline (.*)$", unit.read_text(), re.M)
    ]
    called = [line.split() for line in lines if not line.startswith("#")]
    called = [words for words in called if words[0] in ("up", "prune")]
    assert len(called) == 2
    for command, *options in called:
        shown = CliRunner().invoke(app, [command, "--help"]).output
        assert all(option in shown for option in options if option.startswith("--")), shown
