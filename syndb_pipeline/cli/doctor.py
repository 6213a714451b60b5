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
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

from pydantic import BaseModel, ConfigDict

from syndb_pipeline import __version__
from syndb_pipeline.base.errors import Exit, NotLoggedIn, PipelineError, UnknownDataset
from syndb_pipeline.base.progress import amount
from syndb_pipeline.config.destination_settings import DestinationConfig, EmbeddedDestination
from syndb_pipeline.config.destination_settings import RestDestination as RestSettings
from syndb_pipeline.config.settings import (
    DatasetConfig,
    PipelineSettings,
    load_dataset,
    load_settings,
)
from syndb_pipeline.contract.vocabularies import nearest
from syndb_pipeline.destinations import open_destination
from syndb_pipeline.destinations.base import Destination, Identity
from syndb_pipeline.destinations.rest import credentials
from syndb_pipeline.readers.files import find
from syndb_pipeline.state.store import DatasetStore

if TYPE_CHECKING:
    from syndb_pipeline.destinations.rest.destination import RestDestination

State = Literal["ok", "warning", "failed"]

DISK_FACTOR: Final = 3
"""Bytes of state that a byte of lab files may need: tables read, ids and relations, tables packed,
and spilling in between.
"""

FEW_BYTES: Final = 1_000_000_000
"""Free disk below which a warning is due when no dataset is named."""

CLOCK_WARNING, CLOCK_FAILED = 60.0, 300.0
"""Seconds two clocks may be apart: tokens, certificates and pre-signed forms end by the clock."""

_MEMORY_SHARE: Final = 0.8


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


def examine(
    config: Path | None = None, settings: Path | None = None, destination: str | None = None
) -> Iterator[Check]:
    """Every check, one after the other as it is done. `config` is a dataset's YAML, whose
    destination is looked at and whose files count.

    Without `destination` and `config`, each destination of pipeline.yaml is looked at.
    """
    yield _versions()
    dataset = None
    if config is not None:
        try:
            dataset = load_dataset(config)
            yield Check(
                name="dataset", state="ok", found=f"{dataset.path}: {dataset.dataset.label}"
            )
        except PipelineError as error:
            yield _failed("dataset", error)
    near = config.absolute().parent if config is not None else None
    try:
        loaded = load_settings(settings, near=near)
    except PipelineError as error:
        yield _failed("settings", error)
        return
    yield _settings_file(loaded)
    yield from check_machine(loaded, dataset)
    named = destination or (dataset.publish.destination if dataset is not None else None)
    for name in [named] if named else list(loaded.destinations):
        for check in check_destination(loaded, name, dataset):
            yield check.model_copy(update={"destination": name})


def _settings_file(settings: PipelineSettings) -> Check:
    if settings.file is None:
        return Check(
            name="settings", state="ok", found="there is no pipeline.yaml; the defaults apply"
        )
    found = (settings.note or str(settings.file)).removeprefix("Settings: ")
    if settings.beside:
        return Check(
            name="settings",
            state="warning",
            found=found,
            next_step=f"If it is yours, name it: --settings {settings.file}",
        )
    return Check(name="settings", state="ok", found=found)


def exit_code(checks: list[Check]) -> Exit:
    """That of the first check that failed; 0 when none did."""
    return next((check.exit for check in checks if check.state == "failed"), Exit.OK)


def hurried(settings: PipelineSettings) -> PipelineSettings:
    """The same settings for a command that a person waits for: a server that does not answer is
    told soon, not after hours of patience.
    """

    def hurry(own: DestinationConfig) -> DestinationConfig:
        if not isinstance(own, RestSettings):
            return own
        limits = {
            "connect_seconds": 10.0,
            "answer_seconds": 60.0,
            "total_seconds": 90.0,
            "attempts": 3,
        }
        return own.model_copy(
            update={name: min(limit, getattr(own, name)) for name, limit in limits.items()}
        )

    return settings.model_copy(
        update={"destinations": {name: hurry(own) for name, own in settings.destinations.items()}}
    )


# This machine


def check_machine(
    settings: PipelineSettings, dataset: DatasetConfig | None = None
) -> Iterator[Check]:
    yield _writable("state", settings.state)
    yield check_disk(settings, dataset, shutil.disk_usage(_existing(settings.state)).free)
    yield check_memory(settings.memory_limit, machine_memory())


def check_disk(settings: PipelineSettings, dataset: DatasetConfig | None, free: int) -> Check:
    """Whether `free` bytes are enough for the state folder to take what `dataset` needs."""
    sizes = (
        [
            path.stat().st_size
            for table in dataset.tables.values()
            for path in find(dataset.folder, table.file)
        ]
        if dataset
        else []
    )
    need = DISK_FACTOR * sum(sizes)
    found = f"{amount(free)} free"
    if dataset is not None and sizes:
        found += f"; {len(sizes):,} files of {amount(sum(sizes))} may need {amount(need)}"
        # One that is prepared already has what it needs, or most of it.
        prepared = DatasetStore(settings.state, dataset.dataset.id).record("package") is not None
        state: State = "ok" if free >= need else "warning" if prepared else "failed"
    else:
        state = "ok" if free >= FEW_BYTES else "warning"
    advice = (
        ""
        if state == "ok"
        else "Make room, or set `state` in pipeline.yaml to a folder on a larger disk."
    )
    return Check(
        name="disk",
        state=state,
        found=found,
        next_step=advice,
        exit=Exit.INTERNAL if state == "failed" else Exit.OK,
    )


def check_memory(limit: int, machine: int) -> Check:
    """Whether a run that takes `limit` bytes fits into a machine that has `machine`."""
    found = f"a run may take {amount(limit)} of this machine's {amount(machine)}"
    if limit <= _MEMORY_SHARE * machine:
        return Check(name="memory", state="ok", found=found)
    advice = (
        f"Set memory_limit in pipeline.yaml to {int(_MEMORY_SHARE * machine / 1_000_000):,}MB or"
        " less.".replace(",", "")
    )
    if limit <= machine:
        return Check(name="memory", state="warning", found=found, next_step=advice)
    return Check(name="memory", state="failed", found=found, next_step=advice, exit=Exit.INTERNAL)


def machine_memory(root: Path = Path("/")) -> int:
    """Bytes of memory this process may take: the machine's, or what its control groups leave to it,
    as in a container.
    """
    amounts = [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")]
    groups = root / "sys/fs/cgroup"
    try:
        own = next(
            line[3:]
            for line in (root / "proc/self/cgroup").read_text().splitlines()
            if line.startswith("0::")
        )
    except (OSError, StopIteration):  # not Linux, or the first version of control groups
        own = "/"
    folder = groups / own.strip("/")
    for place in (folder, *folder.parents):
        if place.is_relative_to(groups):
            amounts += _limit(place / "memory.max")
    return min(amounts + _limit(groups / "memory/memory.limit_in_bytes"))


def _limit(file: Path) -> list[int]:
    try:
        text = file.read_text().strip()
    except OSError:
        return []
    return [int(text)] if text.isdigit() else []


def _writable(name: str, folder: Path) -> Check:
    there = _existing(folder)
    if there.is_dir() and os.access(there, os.W_OK | os.X_OK):
        return Check(
            name=name,
            state="ok",
            found=f"{folder} can be {'written' if there == folder else 'made'}",
        )
    why = f"{there} may not be written by this user" if there.is_dir() else f"{there} is no folder"
    advice = "Make it writable, or name another folder in pipeline.yaml."
    return Check(
        name=name, state="failed", found=f"{folder}: {why}", next_step=advice, exit=Exit.INTERNAL
    )


def _existing(path: Path) -> Path:
    return next((place for place in (path, *path.parents) if place.exists()), Path("/"))


# A destination


def check_destination(
    settings: PipelineSettings, name: str, dataset: DatasetConfig | None = None
) -> Iterator[Check]:
    """Everything that has to be right for publishing `dataset`, or any, to the destination called
    `name`.
    """
    try:
        destination = open_destination(hurried(settings), name)
    except PipelineError as error:
        yield _failed("destination", error)
        return
    own = settings.destinations[name]
    who: Identity | None
    try:
        if isinstance(own, EmbeddedDestination):
            yield _writable("destination", own.path)
            who = destination.who_am_i()
            yield Check(name="owner", state="ok", found=f"what is published belongs to {who.name}")
        else:
            who = yield from _check_server(own, name, destination)
    except PipelineError as error:
        yield _failed("token", error)
        return
    if who is None:
        return
    try:
        yield from _rights(destination, who, dataset)
    except PipelineError as error:
        yield _failed("rights", error)


def _check_server(
    own: RestSettings, name: str, server: Destination
) -> Generator[Check, None, Identity | None]:
    """From the network to who we are there; None where what failed leaves nobody to ask."""
    from syndb_pipeline.destinations.rest.destination import RestDestination

    assert isinstance(server, RestDestination)
    yield _settings_of(own)
    network = list(_network(own))
    yield from network
    found = _find(name, own)
    if isinstance(found, Check) and network[0].state != "failed":
        yield from _no_syndb(server)
    yield found if isinstance(found, Check) else _found(name, found)
    if isinstance(found, Check) or network[0].state == "failed":
        return None
    who, how = _identify(server, found)
    yield Check(name="token", state="ok", found=f"{name} takes you for {who.name}{how}")
    yield _verified(who, name)
    return who


def _no_syndb(server: RestDestination) -> Iterator[Check]:
    """What is wrong with the address, as far as somebody who is not logged in can tell: a SynDB
    asks them to log in.
    """
    try:
        server.who_am_i()
    except NotLoggedIn:
        return
    except PipelineError as error:
        yield _failed("address", error)


def _settings_of(own: RestSettings) -> Check:
    place = own.location
    found = (
        f"{own.url}; waits {own.connect_seconds:g} s for a connection, {own.answer_seconds:g} s for"
        f" an answer, {own.total_seconds:,g} s in all; {own.attempts} attempts; uploads tell where"
        f" they come from: city {place.city}, country {place.country}, continent {place.continent}"
    )
    if own.total_seconds < max(own.answer_seconds, own.connect_seconds):
        advice = (
            "Set total_seconds higher than connect_seconds and answer_seconds; a large upload takes"
            " long."
        )
        return Check(name="destination", state="warning", found=found, next_step=advice)
    return Check(name="destination", state="ok", found=found)


def _network(own: RestSettings) -> Iterator[Check]:
    from syndb_pipeline.destinations.rest.connections import reach

    try:
        reached = reach(own)
    except PipelineError as error:
        yield _failed("reach", error)
        return
    if reached.status >= 500:
        advice = "The server is in trouble; try later, or tell who runs it."
        yield Check(name="reach", state="warning", found=reached.summary, next_step=advice)
    else:
        yield Check(name="reach", state="ok", found=reached.summary)
    yield check_clock(reached.ahead)


def check_clock(ahead: float | None) -> Check:
    """Whether our clock is right, by a server's that is `ahead` of it by so many seconds; None when
    the server tells no time.
    """
    if ahead is None:
        return Check(
            name="clock",
            state="warning",
            found="the server tells no time",
            next_step="Look at this machine's clock yourself.",
        )
    apart = abs(ahead)
    found = (
        "as the server's"
        if apart <= 2
        else f"this machine is {apart:,.0f} s {'behind' if ahead > 0 else 'ahead of'} the server"
    )
    if apart <= CLOCK_WARNING:
        return Check(name="clock", state="ok", found=found)
    advice = "Set this machine's clock; let it follow a time server (timedatectl set-ntp true)."
    if apart <= CLOCK_FAILED:
        return Check(name="clock", state="warning", found=found, next_step=advice)
    return Check(name="clock", state="failed", found=found, next_step=advice, exit=Exit.INTERNAL)


def _find(name: str, own: RestSettings) -> credentials.Credentials | Check:
    """The destination's credentials, or the check that failed because there are none that can be
    used.
    """
    try:
        found = credentials.find(name, own)
    except PipelineError as error:
        return _failed("credentials", error)
    return found or Check(
        name="credentials",
        state="failed",
        found=f"there are none for {own.origin}",
        next_step=f"Log in with: syndb-pipeline login --destination {name}",
        exit=Exit.REFUSED,
    )


def _found(name: str, found: credentials.Credentials) -> Check:
    what = " and ".join(
        word for word, there in (("a token", found.token), ("a password", found.password)) if there
    )
    return Check(
        name="credentials",
        state="ok",
        found=f"{what}{f' of {found.username}' if found.username else ''}, {where(name, found)}",
    )


def _identify(server: RestDestination, found: credentials.Credentials) -> tuple[Identity, str]:
    """Who the server takes us for, and in words how it came to. A new token is used here and not
    kept: nothing is changed.
    """
    if found.token is not None:
        server.use(found.token)
        try:
            return server.who_am_i(), ""
        except NotLoggedIn:
            if found.username is None or found.password is None:
                raise
    assert found.username is not None and found.password is not None  # else there would be a token
    server.login(found.username, found.password)
    return (
        server.who_am_i(),
        (
            "; the kept token has ended, the password gives a new one"
            if found.token is not None
            else ""
        ),
    )


def where(name: str, found: credentials.Credentials) -> str:
    """In words, where the credentials of the destination `name` were found."""
    if found.source == "environment":
        return "from the environment: " + ", ".join(variables_of(name, found))
    return (
        "in the keyring"
        if found.source == "keyring"
        else f"in {credentials.credentials_file()}, mode 0600"
    )


def variables_of(name: str, found: credentials.Credentials) -> list[str]:
    """The environment variables that hold `found`, the credentials of the destination `name`."""
    there = (("TOKEN", found.token), ("USERNAME", found.username), ("PASSWORD", found.password))
    return [f"SYNDB_{word}__{credentials.environment_name(name)}" for word, value in there if value]


def _verified(who: Identity, name: str) -> Check:
    if who.verified:
        return Check(
            name="verification", state="ok", found=f"{who.name} is verified as an academic"
        )
    return Check(
        name="verification",
        state="failed",
        found=f"{who.name} is not verified as an academic; nothing can be registered or uploaded",
        next_step=f"Follow the link that this shows: syndb-pipeline login --destination {name}",
        exit=Exit.REFUSED,
    )


def _rights(
    destination: Destination, who: Identity, dataset: DatasetConfig | None
) -> Iterator[Check]:
    modifiable = destination.modifiable()
    owned = sum(info.owner == who.id for info in modifiable)
    if dataset is None:
        yield Check(
            name="rights",
            state="ok",
            found=f"{len(modifiable):,} datasets may be uploaded to, {owned:,} of them owned",
        )
        return
    identity = dataset.dataset.id
    if identity in {info.metadata.id for info in modifiable}:
        yield Check(
            name="rights",
            state="ok",
            found=f"dataset {identity} is there, and you may upload to it",
        )
    else:
        yield _someone_elses(destination, dataset)
    known = sorted({group for info in modifiable for group in info.metadata.authorized_group_names})
    for group in dataset.dataset.groups:
        if group in known:
            yield Check(
                name="groups",
                state="ok",
                found=f"{group}: other datasets you may upload to have it, too",
            )
        else:
            near = nearest(group, tuple(known), 3, 0.6)
            advice = (
                f"Did you mean {', '.join(near)}?"
                if near
                else "SynDB has no list of groups to look in; is it spelt right?"
            )
            yield Check(
                name="groups",
                state="warning",
                found=f"{group}: no dataset you may upload to has this group",
                next_step=advice,
            )


def _someone_elses(destination: Destination, dataset: DatasetConfig) -> Check:
    """What is known of a dataset that is not among those we may upload to: usually nothing, because
    it is new.
    """
    identity = dataset.dataset.id
    try:
        info = destination.info(identity)
    except UnknownDataset:
        info = None
    if info is None:
        return Check(
            name="rights",
            state="ok",
            found=f"dataset {identity} is not there yet; publishing registers it",
        )
    return Check(
        name="rights",
        state="failed",
        found=f"dataset {identity} is there and belongs to {info.owner}; you may not upload to it",
        next_step=(
            "Ask its owner to let a group of yours write to it, or give your dataset an id of its"
            " own."
        ),
        exit=Exit.REFUSED,
    )


# Words


def _versions() -> Check:
    told = {
        "syndb-pipeline": __version__,
        **{name: version(name) for name in ("duckdb", "dagster")},
        "Python": platform.python_version(),
    }
    return Check(
        name="versions",
        state="ok",
        found=", ".join(f"{name} {number}" for name, number in told.items()),
    )


def _failed(name: str, error: PipelineError) -> Check:
    return Check(
        name=name, state="failed", found=error.message, next_step=error.next_step, exit=error.exit
    )
