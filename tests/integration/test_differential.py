"""Thousands of spoilt datasets: what we say of each on this machine against what a SynDB behind its
published contract says.

Belongs here: both verdicts on each dataset, and the counts. Does not: the datasets
(`tests/mutations.py`), or what each verdict rests on.

Nothing that passed here may be refused there for a reason that could have been known. A group that
is not there, and a collection of somebody else, cannot be known: those are counted apart.

SYNDB_DIFFERENTIAL_SEED=17 (or several: 17,40) repeats those datasets alone, told in full.
"""

from __future__ import annotations

import multiprocessing
import os
import resource
import shutil
import time
from collections import Counter
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from uuid import UUID, uuid4

import httpx
import pytest
from pydantic import SecretStr

from syndb_pipeline.base.errors import ConfigError, DestinationRefused, PipelineError
from syndb_pipeline.config.settings import PipelineSettings, load_dataset
from syndb_pipeline.destinations.base import OutgoingFile, Package, differences
from syndb_pipeline.destinations.rest import RestDestination as RestSettings
from syndb_pipeline.destinations.rest.destination import RestDestination
from syndb_pipeline.stages.package import Manifest, as_sent
from syndb_pipeline.stages.runner import STAGES, run_through
from syndb_pipeline.state.stage import Context
from tests.campaigns import WHOLE, sampled
from tests.lab import run_stages
from tests.mutations import CLOSED_COLLECTION, KINDS, KNOWN_DOI, KNOWN_GROUP, LABS, Case, case
from tests.rest_lab import ADA, EVE, Sandbox
from tests.shortcuts import start_once, write_without_waiting

CASES: Final = sampled("differential", range(2_000), 120)
SEEDS: Final = [
    int(seed) for seed in os.environ.get("SYNDB_DIFFERENTIAL_SEED", "").split(",") if seed
]
PROCESSES: Final = 2
THOROUGH: Final = 10
"""One in so many datasets goes through every stage whatever is found, with a DuckDB for each
connection, exactly as a command does it: to hold that the two short cuts of the others (see
`Laboratory`) give the same verdicts. A dataset that is repeated does so too.
"""

_IDS: Final = 100
"""A worker takes new ids for its datasets after so many: each deletion leaves a trace at the
server, which makes it slower.
"""


@dataclass
class Outcome:
    """What became of one dataset. `here` and `there` are one word each; the others say why."""

    seed: int
    words: str
    kinds: set[str]
    here: str = "accepted"  # or rejected, crashed
    why: str = ""
    there: str = ""  # accepted, refused, unknowable, altered; "" when it was not sent
    answer: str = ""
    folder: str = ""
    seconds: dict[str, float] = field(default_factory=dict)

    @property
    def wrong(self) -> bool:
        return self.here == "crashed" or self.there in ("refused", "altered")

    def __str__(self) -> str:
        parts = [f"seed {self.seed}, {self.words}", f"  here {self.here} {self.why}".rstrip()]
        parts += [f"  there {self.there} {self.answer}".rstrip()] if self.there else []
        return "\n".join([*parts, f"  {self.folder}"] if self.folder else parts)


class Rejected(Exception):
    """The local verdict, and why."""


class Laboratory:
    """One worker: datasets made, judged here and, when they pass, sent to the sandbox as
    `RestDestination` does it.

    Two short cuts, for time: the stages' connections share one DuckDB, whose start takes longer
    than all else they do with so few rows; and after a stage that found an error the next ones do
    not run.
    """

    def __init__(self, folder: Path, url: str, token: str) -> None:
        self.folder = folder
        self.settings = PipelineSettings(state=folder / "state", memory_limit="1GB", threads=1)
        config = RestSettings(kind="rest", url=url, attempts=1, answer_seconds=60)
        self.destination = RestDestination("sandbox", config, self.settings, lambda line: None)
        self.destination.use(SecretStr(token))
        self.http = httpx.Client(
            base_url=url, headers={"authorization": f"Bearer {token}"}, timeout=60, trust_env=False
        )
        self.ids: dict[str, UUID] = {}
        self.prepared: dict[str, Path] = {}
        self.done = 0

    def judge(self, seed: int) -> Outcome:
        if self.done % _IDS == 0:
            self._new_ids()
        self.done += 1
        made = case(seed, self.ids)
        outcome = Outcome(seed, made.words, made.kinds)
        home = self.folder / f"seed{seed}"
        path = made.dataset.write(home)
        self._start_from(made)
        started = time.perf_counter()
        try:
            manifest = self._verdict(path, thorough=bool(SEEDS) or seed % THOROUGH == 0)
        except Rejected as error:
            outcome.here, outcome.why = "rejected", str(error)
        except Exception as error:  # noqa: BLE001 - whatever is no PipelineError is a crash that a person would meet, to be told with its seed
            outcome.here, outcome.why = "crashed", f"{type(error).__name__}: {error}"[:400]
        outcome.seconds["here"] = time.perf_counter() - started
        started = time.perf_counter()
        if outcome.here == "accepted":
            self._send(outcome, made, manifest, path)
        outcome.seconds["there"] = time.perf_counter() - started
        self._clean(made)
        if outcome.wrong or SEEDS:
            outcome.folder = str(home)
        else:
            shutil.rmtree(home)
        return outcome

    # Here

    def _new_ids(self) -> None:
        """New ids, and each lab as it is before anything is done to it, prepared once: what a
        mutation leaves alone need not run again.
        """
        for folder in self.prepared.values():
            shutil.rmtree(folder)
        self.ids = {lab: uuid4() for lab in LABS}
        self.prepared = {}
        for lab in LABS:
            dataset = LABS[lab]()
            dataset.metadata["id"] = str(self.ids[lab])
            home = self.folder / f"lab-{self.done}-{lab}"
            self._verdict(dataset.write(home), thorough=False)
            self.prepared[lab] = self.folder / f"prepared-{self.done}-{lab}"
            (self.settings.state / "datasets" / str(self.ids[lab])).rename(self.prepared[lab])
            shutil.rmtree(home)

    def _start_from(self, made: Case) -> None:
        state = self.settings.state / "datasets"
        shutil.rmtree(state, ignore_errors=True)
        untouched = LABS[made.lab]()
        same_files = untouched.contents == made.dataset.contents
        same_config = all(
            untouched.config.get(key) == made.dataset.config.get(key) for key in ("tables", "rules")
        )
        if same_files and same_config:
            shutil.copytree(self.prepared[made.lab], state / str(self.ids[made.lab]))

    def _verdict(self, path: Path, *, thorough: bool) -> Manifest:
        """The manifest of the package. Raises `Rejected`. An error that a stage finds is the
        verdict; the rest need not run.
        """
        try:
            settings = self.settings.model_copy(update={"threads": 2 if thorough else 1})
            context = Context(load_dataset(path), settings)
            found = ""
            with context.store.lock():
                for record in run_through(context, "package"):
                    if record.errors and not found:
                        found = (
                            f"{record.stage}:"
                            f" {', '.join(sorted({finding.code for finding in record.errors}))}"
                        )
                    if found and not thorough:
                        break
            if found:
                assert not thorough or record.stage == "check_integrity", (
                    f"{found}, and yet {record.stage} ran"
                )
                raise Rejected(found)
            return Manifest.read(context.store.stage("package"))
        except ConfigError as error:
            raise Rejected(f"config: {error.message}"[:300]) from None
        except PipelineError as error:
            raise Rejected(f"{type(error).__name__}: {error.message}"[:300]) from None

    # There

    def _send(self, outcome: Outcome, made: Case, manifest: Manifest, path: Path) -> None:
        dataset = manifest.dataset.id
        folder = self.settings.state / "datasets" / str(dataset) / "package"
        rows = {name: table.rows for name, table in manifest.tables.items()}
        package = Package(tar=as_sent(folder, manifest.tar, manifest.tables), rows=rows)
        files = [
            OutgoingFile(
                kind=file.kind,
                unit=file.cid,
                path=path.parent / file.path,
                sha256=file.sha256,
                bytes=file.bytes,
            )
            for file in manifest.files
        ]
        try:
            lacking = differences(
                manifest.dataset, self.destination.register(manifest.dataset).metadata
            )
            self.destination.upload(dataset, package)
            failed = self.destination.put_files(dataset, files)
            if failed:
                raise DestinationRefused(f"{failed[0].file.path.name}: {failed[0].reason}")
            lacking += [
                check.table
                for check in self.destination.compare(dataset, package)
                if not check.whole
            ]
            lacking += [file.path.name for file in self.destination.lacking(dataset, files)]
            counted = self.destination.info(dataset)
            if counted is None or counted.number_of_units != sum(package.rows.values()):
                lacking.append("the count of units")
            outcome.there, outcome.answer = (
                ("altered", f"not there as sent: {', '.join(lacking)}")
                if lacking
                else ("accepted", "")
            )
        except PipelineError as error:
            outcome.there, outcome.answer = (
                self._reason(made, error.message),
                f"{type(error).__name__}: {error.message}"[:600],
            )
        except Exception as error:  # noqa: BLE001 - as above: a crash of the client is told with its seed
            outcome.there, outcome.answer = (
                "refused",
                f"crashed: {type(error).__name__}: {error}"[:600],
            )
        self.http.delete(f"/neurodata/io/{dataset}/delete_dataset")

    @staticmethod
    def _reason(made: Case, words: str) -> str:
        metadata = made.dataset.metadata
        if set(metadata["groups"]) - {KNOWN_GROUP} and "There is no group" in words:
            return "unknowable"
        return (
            "unknowable"
            if CLOSED_COLLECTION in metadata["collections"] and CLOSED_COLLECTION in words
            else "refused"
        )

    def _clean(self, made: Case) -> None:
        shutil.rmtree(self.settings.state / "datasets", ignore_errors=True)


# Workers

_laboratory: Laboratory | None = None


def _start_worker(folder: str, url: str, token: str) -> None:
    global _laboratory
    write_without_waiting()
    start_once()
    for name in [name for name in os.environ if name.startswith(("SYNDB_", "DAGSTER_"))]:
        del os.environ[name]
    home = Path(folder) / f"worker{os.getpid()}"
    home.mkdir()
    os.environ["HOME"] = str(home)
    _laboratory = Laboratory(home, url, token)


def _judge(seed: int) -> Outcome:
    assert _laboratory is not None
    return _laboratory.judge(seed)


def _outcomes(folder: Path, seeds: Iterable[int]) -> list[Outcome]:
    """Every dataset judged, in two processes, against one sandbox."""
    with Sandbox(
        folder / "sandbox",
        token_seconds=24 * 3600,
        limits={"memory_limit": 500_000_000, "threads": 1},
    ) as sandbox:
        with sandbox.client(EVE) as eve:
            made = {"name": CLOSED_COLLECTION, "dataset_ids": []}
            eve.post(
                "/neurodata/metadata/dataset/collection/new/simple", json=made
            ).raise_for_status()
            eve.post(
                "/neurodata/metadata/tag/publication/create", json={"doi": KNOWN_DOI}
            ).raise_for_status()
        arguments = (str(folder), sandbox.url, sandbox.token(ADA))
        # Spawned: DuckDB's threads and open sockets do not survive a fork.
        context = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(
            PROCESSES, mp_context=context, initializer=_start_worker, initargs=arguments
        ) as pool:
            return list(pool.map(_judge, seeds, chunksize=4))


def _processor_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _counts(outcomes: list[Outcome], processor: float) -> str:
    """A line for each kind of mutation; a dataset with several counts in each of its kinds."""
    heads = ["datasets", "rejected", "accepted", "accepted by both", "cannot know", "DIFFERENT"]
    lines = [f"{'kind':<14}" + "".join(f"{head:>17}" for head in heads)]
    for kind in (*KINDS, ""):
        some = [outcome for outcome in outcomes if not kind or kind in outcome.kinds]
        here, there = (
            Counter(getattr(outcome, name) for outcome in some) for name in ("here", "there")
        )
        numbers = (
            *(len(some), here["rejected"], here["accepted"], there["accepted"]),
            *(there["unknowable"], sum(outcome.wrong for outcome in some)),
        )
        lines.append(f"{kind or 'all':<14}" + "".join(f"{number:>17,}" for number in numbers))
    seconds = {
        where: sum(outcome.seconds[where] for outcome in outcomes) for where in ("here", "there")
    }
    lines.append(
        f"{seconds['here']:.0f} s here and {seconds['there']:.0f} s there in {PROCESSES} processes"
        f" side by side; {processor:.0f} s of processor, the sandbox's among them"
    )
    return "\n".join(lines)


@pytest.mark.alone
@pytest.mark.timeout(1_800)
def test_nothing_that_passes_here_is_refused_there(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = _processor_seconds()
    outcomes = _outcomes(tmp_path, SEEDS or CASES)
    with capsys.disabled():
        print(f"\n{_counts(outcomes, _processor_seconds() - before)}")
        for outcome in outcomes if SEEDS else ():
            print(outcome)
    wrong = [outcome for outcome in outcomes if outcome.wrong]
    again = f"SYNDB_DIFFERENTIAL_SEED={','.join(str(outcome.seed) for outcome in wrong[:20])}"
    assert not wrong, (
        f"{len(wrong)} of {len(outcomes)} datasets; repeat them with {again}\n"
        + "\n".join(map(str, wrong[:50]))
    )
    if not SEEDS:
        # The comparison means something: both verdicts were given often.
        counted = Counter(outcome.here for outcome in outcomes)
        assert min(counted["accepted"], counted["rejected"]) > len(outcomes) / 10, counted
    if WHOLE:
        assert {kind for outcome in outcomes for kind in outcome.kinds} == set(KINDS)


def test_every_lab_passes_as_it_is(tmp_path: Path) -> None:
    """Else every mutation of it would be rejected for a reason that is none of its own."""
    settings = PipelineSettings(state=tmp_path / "state", memory_limit=500_000_000, threads=1)
    for lab in LABS:
        dataset = LABS[lab]()
        dataset.metadata["id"] = str(uuid4())
        context = Context(load_dataset(dataset.write(tmp_path / lab)), settings)
        assert list(run_stages(context, "package")) == list(STAGES)
