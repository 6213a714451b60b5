"""What `syndb-pipeline doctor` looks at before anything starts: this machine, the settings, each
destination, who we are there.

Belongs here: the checks and what to do about each. Does not: printing them (`connection.py`), or
changing anything anywhere.
"""

from __future__ import annotations

import os
import platform
import shutil
from collections.abc import Generator, Iterator
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path
from typing import Final, Literal

import duckdb
from pydantic import BaseModel, ConfigDict

from syndb_pipeline import __version__
from syndb_pipeline.base.errors import Exit, NotLoggedIn, PipelineError, UnknownDataset
from syndb_pipeline.base.progress import amount
from syndb_pipeline.base.system import missing_protection
from syndb_pipeline.config.settings import DatasetConfig, PipelineSettings, load_dataset
from syndb_pipeline.config.yaml_file import as_bytes
from syndb_pipeline.contract.vocabularies import nearest
from syndb_pipeline.destinations import Kind as DestinationConfig
from syndb_pipeline.destinations import load_settings, open_destination
from syndb_pipeline.destinations.base import Destination, Identity
from syndb_pipeline.destinations.folder import FolderDestination, is_store
from syndb_pipeline.destinations.http import HttpDestination, credentials
from syndb_pipeline.readers.files import find
from syndb_pipeline.state.store import DatasetStore

State = Literal["ok", "warning", "failed"]

DISK_FACTOR: Final = 3
"""Bytes of state that a byte of lab files may need: tables read, ids and relations, tables packed,
and spilling in between.
"""

FEW_BYTES: Final = 1_000_000_000
"""Free disk below which a warning is due when no dataset is named."""

CLOCK_WARNING, CLOCK_FAILED = 60.0, 300.0
"""Seconds two clocks may be apart: tokens, certificates and pre-signed forms end by the clock."""

_WEAKER: Final = "Prepare files of strangers on Linux; docs/platforms.md says what differs here."

_MEMORY_SHARE: Final = 0.8
"""DuckDB's: what it takes of a machine, or of what a container leaves to it, by default."""


class Check(BaseModel):
    """One look: `found` says what was seen, `next_step` what to do when it is not "ok"; `exit` is
    what a failed one ends the command with.

    `destination` is the name in pipeline.yaml of the destination it is about; None for this
    machine.
    """

    model_config = ConfigDict(frozen=True)

    name: str
    state: State
    found: str
    next_step: str = ""
    exit: Exit = Exit.OK
    destination: str | None = None


def _check(
    name: str, found: str, next_step: str = "", state: State = "ok", exit: Exit = Exit.INTERNAL
) -> Check:
    """A check, whose advice and exit code count where it is not "ok", and where it failed."""
    return Check(
        name=name,
        state=state,
        found=found,
        next_step="" if state == "ok" else next_step,
        exit=exit if state == "failed" else Exit.OK,
    )


def _failed(name: str, error: PipelineError) -> Check:
    return _check(name, error.message, error.next_step, "failed", error.exit)


def examine(
    config: Path | None = None, settings: Path | None = None, destination: str | None = None
) -> Iterator[Check]:
    """Every check, one after the other as it is done. `config` is a dataset's YAML, whose
    destination is looked at and whose files count.

    Without `destination` and `config`, each destination of pipeline.yaml is looked at.
    """
    libraries = "".join(f", {name} {version(name)}" for name in ("duckdb", "dagster"))
    python = platform.python_version()
    yield _check("versions", f"syndb-pipeline {__version__}{libraries}, Python {python}")
    dataset = None
    try:
        if config is not None:
            dataset = load_dataset(config)
            yield _check("dataset", f"{dataset.path}: {dataset.dataset.label}")
    except PipelineError as error:
        yield _failed("dataset", error)
    try:
        loaded = load_settings(settings, near=config.absolute().parent if config else None)
    except PipelineError as error:
        yield _failed("settings", error)
        return
    yield _settings_file(loaded)
    yield _writable("state", loaded.state)
    yield check_disk(loaded, dataset, shutil.disk_usage(_existing(loaded.state)).free)
    with duckdb.connect() as connection:
        [(most,)] = connection.execute("SELECT current_setting('memory_limit')").fetchall()
    yield check_memory(loaded.memory_limit, int(as_bytes(most) / _MEMORY_SHARE))
    if weaker := missing_protection():
        yield _check("protection", weaker, _WEAKER, "warning")
    named = destination or (dataset.publish.destination if dataset is not None else None)
    for name in [named] if named else list(loaded.destinations):
        for check in _destination(loaded, name, dataset):
            yield check.model_copy(update={"destination": name})


def exit_code(checks: list[Check]) -> Exit:
    """That of the first check that failed; 0 when none did."""
    return next((check.exit for check in checks if check.state == "failed"), Exit.OK)


def impatient(settings: PipelineSettings) -> PipelineSettings:
    """The same settings for a command that a person waits for: what a server that does not answer
    means is known soon, not after hours of patience.
    """
    limits = {"connect_seconds": 10.0, "answer_seconds": 60.0, "total_seconds": 90.0, "attempts": 3}

    def shorter(own: DestinationConfig) -> DestinationConfig:
        if not isinstance(own, HttpDestination):
            return own
        return own.model_copy(update={n: min(most, getattr(own, n)) for n, most in limits.items()})

    destinations = {name: shorter(own) for name, own in settings.destinations.items()}
    return settings.model_copy(update={"destinations": destinations})


# This machine


def _settings_file(settings: PipelineSettings) -> Check:
    if settings.file is None:
        return _check("settings", "there is no pipeline.yaml; the defaults apply")
    found = (settings.note or str(settings.file)).removeprefix("Settings: ")
    advice = f"If it is yours, name it: --settings {settings.file}"
    return _check("settings", found, advice, "warning" if settings.beside else "ok")


def check_disk(settings: PipelineSettings, dataset: DatasetConfig | None, free: int) -> Check:
    """Whether `free` bytes are enough for the state folder to take what `dataset` needs."""
    found, need = f"{amount(free)} free", FEW_BYTES
    short: State = "warning"
    tables = dataset.tables.values() if dataset else ()
    files = [path for table in tables for path in find(dataset.folder, table.file)]  # type: ignore[union-attr]
    if dataset is not None and (size := sum(path.stat().st_size for path in files)):
        need = DISK_FACTOR * size
        found += f"; {len(files):,} files of {amount(size)} may need {amount(need)}"
        # One that is prepared already has what it needs, or most of it.
        prepared = DatasetStore(settings.state, dataset.dataset.id).record("package") is not None
        short = "warning" if prepared else "failed"
    advice = "Make room, or set `state` in pipeline.yaml to a folder on a larger disk."
    return _check("disk", found, advice, "ok" if free >= need else short)


def check_memory(limit: int, machine: int) -> Check:
    """Whether a run that takes `limit` bytes fits into a machine that has `machine`."""
    most = _MEMORY_SHARE * machine
    return _check(
        "memory",
        f"a run may take {amount(limit)} of this machine's {amount(machine)}",
        f"Set memory_limit in pipeline.yaml to {int(most / 1_000_000)}MB or less.",
        "ok" if limit <= most else "warning" if limit <= machine else "failed",
    )


def _writable(name: str, folder: Path) -> Check:
    there = _existing(folder)
    if there.is_dir() and os.access(there, os.W_OK | os.X_OK):
        return _check(name, f"{folder} can be {'written' if there == folder else 'made'}")
    why = "may not be written by this user" if there.is_dir() else "is no folder"
    advice = "Make it writable, or name another folder in pipeline.yaml."
    return _check(name, f"{folder}: {there} {why}", advice, "failed")


def _existing(path: Path) -> Path:
    return next((place for place in (path, *path.parents) if place.exists()), Path("/"))


# A destination


def _destination(
    settings: PipelineSettings, name: str, dataset: DatasetConfig | None
) -> Iterator[Check]:
    """Everything that has to be right for publishing `dataset`, or any, to the destination
    `name`.
    """
    about = "destination"
    try:
        node = open_destination(impatient(settings), name)
        own, about = settings.destinations[name], "interface"
        if isinstance(own, HttpDestination):
            reachable = (yield from _server(own)) and (yield from _interface(own, node))
            about = "token"
            who: Identity | None = yield from _identity(name, own, node, reachable)
        else:
            place = str(own.path)
            far = isinstance(own, FolderDestination) and is_store(place)
            yield _check("destination", place) if far else _writable("destination", Path(place))
            who = node.who_am_i()
            yield _check("owner", f"what is published belongs to {who.name}")
        if who is not None:  # what failed leaves no account to ask about
            about = "rights"
            yield from _rights(node, who, dataset)
    except PipelineError as error:
        yield _failed(about, error)


def _server(own: HttpDestination) -> Generator[Check, None, bool]:
    """The settings of a server, the way to it and its clock; returns whether it can be reached."""
    from syndb_pipeline.destinations.http.connections import reach

    yield _check(
        "destination",
        f"{own.url}; waits {own.connect_seconds:g} s for a connection, {own.answer_seconds:g} s"
        f" for an answer, {own.total_seconds:,g} s in all; {own.attempts} attempts{own.sent_along}",
        "Set total_seconds higher than connect_seconds and answer_seconds; a large upload takes"
        " long.",
        "ok" if own.total_seconds >= max(own.answer_seconds, own.connect_seconds) else "warning",
    )
    try:
        reached = reach(own)
    except PipelineError as error:
        yield _failed("reach", error)
        return False
    advice = "The server is in trouble; try later, or ask who runs it."
    yield _check("reach", reached.summary, advice, "ok" if reached.status < 500 else "warning")
    yield check_clock(reached.ahead)
    return True


def _interface(own: HttpDestination, node: Destination) -> Generator[Check, None, bool]:
    """Which generation of SynDB's interface the server says it speaks, and whether it takes tables;
    returns whether it may be asked anything more."""
    from syndb_pipeline.destinations.http.client import HttpClient
    from syndb_pipeline.destinations.syndb_v1.client import EXPORT, V1Client
    from syndb_pipeline.destinations.syndb_v1.openapi import MOST_BYTES, Declared

    assert isinstance(node, HttpClient)

    def get(address: str) -> bytes:
        answer = node.session.fetch(address, "which interface it speaks", limit=MOST_BYTES)
        return answer.content if answer.good else b""

    places = dict.fromkeys((own.url, own.origin))
    found = set().union(*(Declared(get(f"{place}/openapi.json")).generations for place in places))
    other = {1: "rest", 2: "syndb_v1"}[3 - own.generation]
    if found and own.generation not in found:
        yield _check(
            "interface",
            f"the server speaks generation {3 - own.generation} of SynDB's interface; `kind: "
            f"{own.kind}` speaks {own.speaks}",
            f"Write `kind: {other}` for it in pipeline.yaml. {EXPORT}",
            "failed",
            Exit.REFUSED,
        )
        return False
    seen = own.speaks
    if not found:
        health = "answers /health, as generation 2 does" if get(f"{own.origin}/health") else ""
        seen = f"{health or 'the server does not say'}, and declares none; we speak {seen}"
    advice = f"If nothing works, try `kind: {other}` in pipeline.yaml. {EXPORT}"
    yield _check("interface", seen, advice, "ok" if found else "warning")
    if isinstance(node, V1Client) and found:
        try:
            yield _check("upload", f"tables go to {node.upload_route().of('DATASET')}")
        except PipelineError as error:
            yield _failed("upload", error)
    return True


def check_clock(ahead: float | None) -> Check:
    """Whether our clock is right, by a server's that is `ahead` of it by so many seconds; None when
    the server says no time.
    """
    if ahead is None:
        advice = "Look at this machine's clock yourself."
        return _check("clock", "the server gives no time", advice, "warning")
    apart = abs(ahead)
    side = "behind" if ahead > 0 else "ahead of"
    return _check(
        "clock",
        "as the server's" if apart <= 2 else f"this machine is {apart:,.0f} s {side} the server",
        "Set this machine's clock; let it follow a time server (timedatectl set-ntp true).",
        "ok" if apart <= CLOCK_WARNING else "warning" if apart <= CLOCK_FAILED else "failed",
    )


def _identity(
    name: str, own: HttpDestination, node: Destination, reachable: bool
) -> Generator[Check, None, Identity | None]:
    """The credentials that there are; returns who we are by them where the server can be asked.

    A token that a password gives is used here and not kept: nothing is changed.
    """
    from syndb_pipeline.destinations.http.client import HttpClient

    assert isinstance(node, HttpClient)
    log_in = f"syndb-pipeline login --destination {name}"
    found, wrong = (
        None,
        _check(
            "credentials",
            f"there are none for {own.origin}",
            f"Log in with: {log_in}",
            "failed",
            Exit.REFUSED,
        ),
    )
    try:
        found = credentials.find(name, own)
    except PipelineError as error:
        wrong = _failed("credentials", error)
    if found is None:
        if reachable:
            try:  # a SynDB asks whoever is not logged in to log in; anything else is none
                node.who_am_i()
            except NotLoggedIn:
                pass
            except PipelineError as error:
                yield _failed("address", error)
        yield wrong
        return None
    kinds = " and ".join(f"a {kind}" for kind in ("token", "password") if getattr(found, kind))
    whose = f" of {found.username}" if found.username else ""
    yield _check("credentials", f"{kinds}{whose}, {where(name, found)}")
    if not reachable:
        return None
    who, how = None, ""
    if found.token is not None:
        if found.refresh is None:
            node.use(found.token)  # else an expired one is renewed, which has to be kept
        try:
            who = node.who_am_i()
        except NotLoggedIn:
            if found.username is None or found.password is None:
                raise
            how = "; the kept token has ended, the password gives a new one"
    if who is None:
        assert found.username is not None and found.password is not None  # else there is a token
        node.login(found.username, found.password)
        who = node.who_am_i()
    yield _check("token", f"{name} takes you for {who.name}{how}")
    unable = f"{who.name} is not verified as an academic; nothing can be registered or uploaded"
    yield _check(
        "verification",
        f"{who.name} is verified as an academic" if who.verified else unable,
        f"Follow the link that this shows: {log_in}",
        "ok" if who.verified else "failed",
        Exit.REFUSED,
    )
    return who


def where(name: str, found: credentials.Credentials) -> str:
    """In words, where the credentials of the destination `name` were found."""
    if found.source == "environment":
        return "from the environment: " + ", ".join(variables_of(name, found))
    file = f"in {credentials.credentials_file()}, mode 0600"
    return "in the keyring" if found.source == "keyring" else file


def variables_of(name: str, found: credentials.Credentials) -> list[str]:
    """The environment variables that hold `found`, the credentials of the destination `name`."""
    there = (("TOKEN", found.token), ("USERNAME", found.username), ("PASSWORD", found.password))
    return [f"SYNDB_{word}__{credentials.environment_name(name)}" for word, value in there if value]


def _rights(node: Destination, who: Identity, dataset: DatasetConfig | None) -> Iterator[Check]:
    """What we may upload to, and whether the dataset and its groups are among it."""
    modifiable = node.modifiable()
    if dataset is None:
        owned = sum(info.owner == who.id for info in modifiable)
        may = f"{len(modifiable):,} datasets may be uploaded to, {owned:,} of them owned"
        yield _check("rights", may)
        return
    identity, info = dataset.dataset.id, None
    advice = "Ask its owner to let a group of yours write to it, or give your dataset its own id."
    state: State = "ok"
    if identity in {each.metadata.id for each in modifiable}:
        found = "is there, and you may upload to it"
    else:
        with suppress(UnknownDataset):  # usually, because it is new
            info = node.info(identity)
        found = "is not there yet; publishing registers it"
        if info is not None:
            found = f"is there and belongs to {info.owner}; you may not upload to it"
            state = "failed"
    yield _check("rights", f"dataset {identity} {found}", advice, state, Exit.REFUSED)
    known = sorted({group for each in modifiable for group in each.metadata.authorized_group_names})
    for group in dataset.dataset.groups:
        if group in known:
            yield _check("groups", f"{group}: other datasets you may upload to have it, too")
            continue
        near = nearest(group, known, 3, 0.6)
        advice = "SynDB has no list of groups to look in; is it spelt right?"
        advice = f"Did you mean {', '.join(near)}?" if near else advice
        found = f"{group}: no dataset you may upload to has this group"
        yield _check("groups", found, advice, "warning")
