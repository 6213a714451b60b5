"""Dagster's processes on this machine: code server, daemon and webserver, from one instance config.

Belongs here: which they are, where they are reached, and that there is one of each for a home. Does
not: keeping them running (`supervisor.py`), or what they serve.
"""

from __future__ import annotations

import ipaddress
import json
import os
import socket
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dagster as dg
import yaml

from syndb_pipeline.base.errors import Busy, ConfigError
from syndb_pipeline.config.settings import PipelineSettings
from syndb_pipeline.orchestration.operating.home import dagster_home
from syndb_pipeline.orchestration.scope import LOCATION
from syndb_pipeline.orchestration.unattended.lost_runs import close_lost_runs

LOOPBACK = "127.0.0.1"
DEFAULT_PORT = 3000
GRACE = 60.0
"""Seconds that runs in progress have to finish."""

_SUPERVISOR, _WEBSERVER, _DAEMON = (
    Path(__file__).with_name(f"{name}.py") for name in ("supervisor", "webserver", "daemon")
)
_LOCK = "up.lock"
_MODULE = "syndb_pipeline.orchestration.operating.location"


def open_ui(
    settings: PipelineSettings,
    host: str = LOOPBACK,
    port: int | None = None,
    run_id: str | None = None,
    *,
    ui: bool = True,
    join: bool = True,
    grace: float = GRACE,
    settings_path: Path | None = None,
    say: Callable[[str], None] = lambda line: None,
) -> None:
    """Become the process that keeps code server, daemon and webserver running, and ends them at
    SIGTERM or Ctrl+C. Where they are running already, say the UI's address.

    Args:
        settings: The pipeline's.
        host: Where the UI is served.
        port: Its port; the first free one from 3000 on when left out.
        run_id: The run whose page is meant.
        ui: Whether there is a UI.
        join: Whether processes that run already will do.
        grace: How many seconds runs in progress have to finish when it ends.
        settings_path: pipeline.yaml, when a person named it.
        say: Hears the address, and of runs that were lost.

    Raises:
        Busy: Exit 7: without `join`, the processes of this home are running already.
        ConfigError: Exit 2: a host that others could reach (the UI has no login), or a port that
            is taken; on Windows.
    """
    home = dagster_home(settings)
    if sys.platform == "win32":
        raise ConfigError(
            "These processes are kept running on Linux and macOS only.",
            next_step=f"Set the environment variable DAGSTER_HOME to {home}, then give:\n"
            f"dagster dev -m {_MODULE}",
        )
    at = _served(home)
    if at and join:
        say(_page(at, run_id))
        return
    if at is not None:
        raise Busy(
            f"The processes of {home} are running already{f', the UI at {at}' if at else ''}.",
            next_step="To start them in another way, end those first, with Ctrl+C or SIGTERM.",
        )
    command, environment, _ = ui_process(
        settings, host, port, run_id, ui=ui, grace=grace, settings_path=settings_path
    )
    with dg.DagsterInstance.from_config(str(home)) as instance:
        for lost in close_lost_runs(instance, settings.lock):
            say(f"Run {lost} is over: its process is gone.")
    sys.stdout.flush()
    os.execve(command[0], command, environment)


def ui_process(
    settings: PipelineSettings,
    host: str = LOOPBACK,
    port: int | None = None,
    run_id: str | None = None,
    *,
    ui: bool = True,
    grace: float = GRACE,
    settings_path: Path | None = None,
) -> tuple[list[str], dict[str, str], str]:
    """Command and environment of that process, and the address to open: that of the run, when one
    is given. Raises `ConfigError` as `open_ui`.
    """
    if host != "localhost" and not _is_loopback(host):
        raise ConfigError(
            f"{host} can be reached by others, and Dagster's UI has no login.",
            next_step=f"Use {LOOPBACK}; to look from another machine, forward the port over SSH.",
        )
    chosen = _free_port(host, port) if ui else None
    url = f"http://{host}:{chosen}" if ui else ""
    home = dagster_home(settings)
    environment = os.environ | {"DAGSTER_HOME": str(home), "PYTHONWARNINGS": "ignore"}
    # Fewer heaps for many threads: each keeps what it once needed.
    environment.setdefault("MALLOC_ARENA_MAX", "2")
    if settings_path is not None:
        environment["SYNDB_PIPELINE_CONFIG"] = str(settings_path.expanduser().absolute())
    # A socket, which no other user of the machine can open, and whose path has to be short.
    folder = Path(tempfile.mkdtemp(prefix="syndb-"))
    asked = {
        "children": _children(folder, settings.state, host, chosen),
        "url": url,
        "ready": f"{_page(url, run_id)}  (Ctrl+C ends it)" if ui else "Running (Ctrl+C ends it)",
        "grace": grace,
        "lock": str(home / _LOCK),
        "folder": str(folder),
    }
    command = [sys.executable, "-P", str(_SUPERVISOR), json.dumps(asked)]
    return command, environment, _page(url, run_id)


def _page(url: str, run_id: str | None) -> str:
    return f"{url}/runs/{run_id}" if run_id else f"{url}/asset-groups"


def _served(home: Path) -> str | None:
    """Where the UI of `home` is served now, empty without a UI; None when nothing is running."""
    if sys.platform == "win32" or not (home / _LOCK).exists():
        return None
    import fcntl

    with (home / _LOCK).open("r+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return lock.read()
    return None


def _children(
    folder: Path, state: Path, host: str, port: int | None
) -> list[tuple[str, list[str], Any]]:
    """Name, command and address of each process. The code server comes first: it is the parent of
    the runs, and the others ask it.
    """
    code = str(folder / "code")
    server = {"socket": code, "location_name": LOCATION}
    workspace = folder / "workspace.yaml"
    workspace.write_text(yaml.safe_dump({"load_from": [{"grpc_server": server}]}))
    python, quiet = [sys.executable, "-m"], ["--log-level", "warning"]
    serve = ["--socket", code, "--module-name", _MODULE, "--location-name", LOCATION]
    children: list[tuple[str, list[str], Any]] = [
        ("code server", [*python, "dagster", "api", "grpc", *serve, *quiet], code),
        ("daemon", [sys.executable, "-P", str(_DAEMON), "run", "-w", str(workspace), *quiet], None),
    ]
    if port is not None:
        web = ["-w", str(workspace), "--host", host, "--port", str(port)]
        serve = [sys.executable, "-P", str(_WEBSERVER), str(state)]
        command = [*serve, *web, "--dagster-log-level", "warning"]
        children.append(("webserver", command, [host, port]))
    return children


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.IPv4Address(host).is_loopback
    except ValueError:
        return False


def _free_port(host: str, port: int | None) -> int:
    for candidate in [port] if port else range(DEFAULT_PORT, DEFAULT_PORT + 50):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((host, candidate))
            except OSError:
                continue
            return candidate
    raise ConfigError(
        f"Port {port or DEFAULT_PORT} of {host} is taken.",
        next_step="Choose another: syndb-pipeline up --port 3100",
    )
