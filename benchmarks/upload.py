"""The upload benchmark: a package sent by curl and by us in turn, over loopback, to one server:
throughput, and the sender's memory.

Belongs here: measuring and reporting. Does not: the package (`package.py`) or the servers
(`servers.py`). Run it with `make bench-upload`.

Each upload has a process of its own. Timed is the transfer alone, by curl's own clock and by ours;
not the start of curl or of Python. Who else uses the machine slows down both, so the senders take
turns and only their ratio within one run says something.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any, Final
from uuid import UUID

from pydantic import SecretStr

from benchmarks.memory import peak_memory
from benchmarks.package import DATASET, metadata, tar_file, write_package
from benchmarks.servers import KINDS, ROOT, USER, own_environment, running
from syndb_pipeline.base.digests import digest_file
from syndb_pipeline.config.settings import PipelineSettings
from syndb_pipeline.config.yaml_file import as_bytes
from syndb_pipeline.destinations.base import OutgoingFile, Package
from syndb_pipeline.destinations.rest import RestDestination as RestSettings
from syndb_pipeline.destinations.rest.destination import RestDestination

QUERY: Final = "upload_start_time=2026-01-01T00:00:00Z&continent=unknown&country_alpha2=XX&city=unknown&top_mbps_up=0"
"""What SynDB asks with each upload; curl sends the same as we do."""

AT_LEAST: Final = 0.7
"""The part of curl's throughput that ours shall have."""

_MEMORY: Final = 1_000_000_000


@dataclass(frozen=True)
class Sent:
    """One upload: how long it took, and the most memory that its process held (curl's is not asked
    for).
    """

    seconds: float
    peak_memory: int = 0


@dataclass(frozen=True)
class Server:
    """A server, somebody logged in at it, and a scratch folder for who asks it."""

    url: str
    token: SecretStr
    scratch: Path

    @classmethod
    def at(cls, url: str, password: SecretStr, scratch: Path) -> Server:
        """The server at `url`, logged in at as `USER`."""
        return cls(url, _destination(url, scratch).login(USER, password), scratch)

    @property
    def destination(self) -> RestDestination:
        destination = _destination(self.url, self.scratch)
        destination.use(self.token)
        return destination

    def renew_dataset(self) -> None:
        """Register the dataset anew, with nothing in it: each upload meets the same."""
        destination = self.destination
        if destination.info(DATASET) is not None:
            destination.delete(DATASET)
        destination.register(metadata())


def _destination(url: str, scratch: Path, parallel_files: int = 4) -> RestDestination:
    settings = PipelineSettings(state=scratch, memory_limit=_MEMORY, threads=2)
    config = RestSettings(kind="rest", url=url, attempts=1, parallel_files=parallel_files)
    return RestDestination("benchmark", config, settings, lambda _: None)


def send_by_curl(server: Server, package: Package) -> Sent:
    """Raises `SystemExit` when curl fails or the server does not take it."""
    command = [
        "curl",
        "--silent",
        "--show-error",
        "--fail",
        "--noproxy",
        "*",
        "--output",
        os.devnull,
        "--write-out",
        "%{time_total}",
    ]
    # The token comes by standard input: arguments can be read by everybody on the machine.
    command += [
        "--request",
        "PATCH",
        "--header",
        "@-",
        "--form",
        f"dataset_tar_file=@{tar_file(package)};type=application/x-tar",
    ]
    done = subprocess.run(
        [*command, f"{server.url}/neurodata/io/{DATASET}/upload?{QUERY}"],
        input=f"Authorization: Bearer {server.token.get_secret_value()}\n",
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise SystemExit(f"curl failed with exit code {done.returncode}: {done.stderr[-2000:]}")
    return Sent(float(done.stdout))


def send_by_us(server: Server, package: Package) -> Sent:
    """Raises `SystemExit` when it fails."""
    return _in_a_process(server, _told_of(package, compare=False))


def read_back(server: Server, package: Package) -> Sent:
    """Download the dataset and hold it against the package. Raises `SystemExit` unless every row is
    there.
    """
    return _in_a_process(server, _told_of(package, compare=True))


def _told_of(package: Package, *, compare: bool) -> dict[str, Any]:
    return {
        "package": package.model_dump(mode="json"),
        "sha256": digest_file(tar_file(package)),
        "compare": compare,
    }


def download(server: Server, size: int) -> Sent:
    """Download a file of `size` bytes from the sink. Raises `SystemExit` when it fails."""
    return _in_a_process(server, {"download": size})


def send_files(server: Server, files: list[OutgoingFile], parallel: int) -> Sent:
    """Send meshes, `parallel` at a time. Raises `SystemExit` unless all arrive."""
    return _in_a_process(
        server, {"files": [file.model_dump(mode="json") for file in files], "parallel": parallel}
    )


def _in_a_process(server: Server, told: dict[str, Any]) -> Sent:
    told |= {
        "url": server.url,
        "token": server.token.get_secret_value(),
        "scratch": str(server.scratch),
    }
    command = [sys.executable, "-m", "benchmarks.upload", "--one"]
    done = subprocess.run(
        command,
        input=json.dumps(told),
        cwd=ROOT,
        env=own_environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise SystemExit(f"sending failed with exit code {done.returncode}:\n{done.stderr[-4000:]}")
    return Sent(**json.loads(done.stdout))


def one(told: dict[str, Any]) -> Sent:
    """Do in this process what `told` says."""
    destination = _destination(told["url"], Path(told["scratch"]), told.get("parallel", 4))
    destination.use(SecretStr(told["token"]))
    # Before the clock starts, as in a publication: certificates are loaded, the account is known,
    # and digests are taken.
    destination.who_am_i()
    package = Package.model_validate(told["package"]) if "package" in told else None
    if package is not None and package.tar.sha256 != told["sha256"]:
        raise SystemExit("what would be sent is not what curl sends")
    clock = time.perf_counter()
    if package is not None and told["compare"]:
        checks = destination.compare(DATASET, package)
        if not all(check.whole for check in checks):
            raise SystemExit(f"what is there is not what was sent: {checks}")
    elif package is not None:
        destination.upload(DATASET, package)
    elif "download" in told:
        size, target = told["download"], Path(told["scratch"]) / "downloaded"
        destination.session.fetch(
            f"{told['url']}/download/{size}", "to download", limit=size, into=target
        )
        if target.stat().st_size != size:
            raise SystemExit(f"{target.stat().st_size} bytes arrived, not {size}")
        target.unlink()
    elif failed := destination.put_files(
        DATASET, [OutgoingFile.model_validate(file) for file in told["files"]]
    ):
        raise SystemExit(f"{len(failed)} files did not arrive; the first: {failed[0].reason}")
    return Sent(time.perf_counter() - clock, peak_memory())


def measure_uploads(
    server: Server, package: Package, repetitions: int, *, renew: bool
) -> dict[str, Any]:
    """Let curl and us send in turn. With `renew` the dataset is empty before each."""
    by_curl: list[Sent] = []
    by_us: list[Sent] = []
    for _ in range(repetitions):
        for send, sent in ((send_by_curl, by_curl), (send_by_us, by_us)):
            if renew:
                server.renew_dataset()
            sent.append(send(server, package))
    curl, ours = median(sent.seconds for sent in by_curl), median(sent.seconds for sent in by_us)
    return {
        "bytes": package.tar.bytes,
        "curl_seconds": [round(sent.seconds, 3) for sent in by_curl],
        "our_seconds": [round(sent.seconds, 3) for sent in by_us],
        "curl_bytes_per_second": round(package.tar.bytes / curl),
        "our_bytes_per_second": round(package.tar.bytes / ours),
        "ratio_of_medians": round(curl / ours, 2),
        "ratio_of_fastest": round(
            min(sent.seconds for sent in by_curl) / min(sent.seconds for sent in by_us), 2
        ),
        "peak_memory_bytes": max(sent.peak_memory for sent in by_us),
    }


def measure_files(server: Server, folder: Path, number: int, size: int) -> dict[int, Sent]:
    """Send `number` files of `size` random bytes, 1, 4 and 8 at a time."""
    folder.mkdir()
    files = []
    for place in range(number):
        path = folder / f"{place}.glb"
        path.write_bytes(os.urandom(size))
        files.append(
            OutgoingFile(
                kind="mesh",
                unit=UUID(int=place + 1),
                path=path,
                sha256=digest_file(path),
                bytes=size,
            )
        )
    return {parallel: send_files(server, files, parallel) for parallel in (1, 4, 8)}


def measure(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Everything that was asked for, in `folder`."""
    scratch = folder / "scratch"
    scratch.mkdir()
    packages = [write_package(folder / "packages" / str(size), size) for size in options.sizes]
    report: dict[str, Any] = {
        "cpus": os.cpu_count(),
        "load": [round(each, 1) for each in os.getloadavg()],
        "servers": {},
    }
    for kind in options.servers:
        with running(kind, folder / kind) as (url, password):
            server = Server.at(url, password, scratch)
            uploads, downloads = [], []
            for package in packages:
                print(
                    f"{package.tar.bytes / 1e6:,.0f} MB to the {kind} ...",
                    file=sys.stderr,
                    flush=True,
                )
                uploads.append(
                    measure_uploads(server, package, options.repetitions, renew=kind == "sandbox")
                )
                sent = (
                    read_back(server, package)
                    if kind == "sandbox"
                    else download(server, package.tar.bytes)
                )
                downloads.append(
                    {
                        "bytes": package.tar.bytes,
                        "seconds": round(sent.seconds, 3),
                        "peak_memory_bytes": sent.peak_memory,
                    }
                )
            report["servers"][kind] = {"uploads": uploads, "downloads": downloads}
            if options.files:
                print(f"{options.files} meshes to the {kind} ...", file=sys.stderr, flush=True)
                sent_files = measure_files(
                    server, folder / f"meshes-{kind}", options.files, options.file_size
                )
                report["servers"][kind]["files"] = [
                    {
                        "parallel": parallel,
                        "seconds": round(sent.seconds, 3),
                        "bytes_per_second": round(options.files * options.file_size / sent.seconds),
                        "peak_memory_bytes": sent.peak_memory,
                    }
                    for parallel, sent in sent_files.items()
                ]
    return report


def as_table(report: dict[str, Any]) -> str:
    """The report for people."""
    lines = [
        f"{report['cpus']} processors, load before {report['load'][0]}; medians of the transfers,"
        " and their fastest"
    ]
    for kind, found in report["servers"].items():
        lines += [
            "",
            (
                f"{'to the ' + kind:<16}{'curl':>12}{'we':>12}{'ratio':>8}{'fastest':>9}{'our peak memory':>18}"
            ),
        ]
        for each in found["uploads"]:
            curl, ours, memory = (
                each[name] / 1e6
                for name in ("curl_bytes_per_second", "our_bytes_per_second", "peak_memory_bytes")
            )
            lines.append(
                f"{each['bytes'] / 1e6:>13,.0f} MB{curl:>7,.0f} MB/s{ours:>7,.0f} MB/s"
                f"{each['ratio_of_medians']:>8.2f}{each['ratio_of_fastest']:>9.2f}{memory:>15,.1f} MB"
            )
        done = "downloaded" if kind == "sink" else "read back and compared"
        for each in found["downloads"]:
            lines.append(
                f"{each['bytes'] / 1e6:>13,.0f} MB {done} in {each['seconds']:.1f} s, peak memory"
                f" {each['peak_memory_bytes'] / 1e6:,.1f} MB"
            )
        for each in found.get("files", ()):
            lines.append(
                f"meshes, {each['parallel']} at a time: {each['bytes_per_second'] / 1e6:,.0f} MB/s,"
                f" peak memory {each['peak_memory_bytes'] / 1e6:,.1f} MB"
            )
    return "\n".join(lines)


def main() -> int:
    """Parse the options, measure, print the table and write the JSON. Returns 0 without measuring
    when there is no curl.
    """
    parser = argparse.ArgumentParser(
        description=(
            "Throughput and memory of uploads over loopback, beside curl's with the same file."
        )
    )
    parser.add_argument(
        "--sizes",
        type=lambda text: [as_bytes(each) for each in text.split(",")],
        default="64MB,2GB",
        help="of the packages",
    )
    parser.add_argument(
        "--repetitions", type=int, default=5, help="uploads of each sender for each size"
    )
    parser.add_argument(
        "--servers",
        type=lambda text: text.split(","),
        default=",".join(KINDS),
        help="sink, sandbox or both",
    )
    parser.add_argument("--files", type=int, default=200, help="meshes to send as well; 0 for none")
    parser.add_argument("--file-size", type=as_bytes, default="1MB", help="bytes of a mesh")
    parser.add_argument("--out", type=Path, help="write the measurements to this JSON file as well")
    parser.add_argument("--one", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        sent = one(json.load(sys.stdin))
        print(json.dumps({"seconds": sent.seconds, "peak_memory": sent.peak_memory}))
        return 0
    if unknown := set(options.servers) - set(KINDS):
        parser.error(f"--servers {', '.join(sorted(unknown))}: there are {' and '.join(KINDS)}")
    if shutil.which("curl") is None:
        print("Skipped: curl is not installed on this machine, and uploads are measured beside it.")
        return 0
    with tempfile.TemporaryDirectory(prefix="syndb-upload-") as folder:
        report = measure(options, Path(folder))
    print(as_table(report))
    if options.out:
        options.out.parent.mkdir(parents=True, exist_ok=True)
        options.out.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
        print(f"Measurements: {options.out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
