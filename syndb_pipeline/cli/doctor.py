"""What `syndb-pipeline doctor` looks at before anything starts: this machine, the settings, each
destination, who we are there.

Belongs here: the checks and what to do about each. Does not: printing them (`connection.py`), or
changing anything anywhere.
"""

from __future__ import annotations

import os
import platform
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Final, Literal

from pydantic import BaseModel, ConfigDict

from syndb_pipeline import __version__
from syndb_pipeline.base.errors import Exit, NotLoggedIn, PipelineError, UnknownDataset
from syndb_pipeline.base.progress import amount
from syndb_pipeline.config.settings import DatasetConfig, PipelineSettings, load_dataset
from syndb_pipeline.contract.vocabularies import nearest
from syndb_pipeline.destinations import Kind as DestinationConfig
from syndb_pipeline.destinations import load_settings, open_destination
from syndb_pipeline.destinations.base import Destination, Identity
from syndb_pipeline.destinations.embedded import EmbeddedDestination
from syndb_pipeline.destinations.rest import RestDestination as RestSettings
from syndb_pipeline.destinations.rest import credentials
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


@dataclass
class _Look:
    """What the checks of one destination have found so far, for those that come after."""

    settings: PipelineSettings
    name: str
    dataset: DatasetConfig | None
    destination: Destination
    who: Identity | None = None

    @property
    def server(self) -> RestSettings | None:
        own = self.settings.destinations[self.name]
        return own if isinstance(own, RestSettings) else None


def examine(
    config: Path | None = None, settings: Path | None = None, destination: str | None = None
) -> Iterator[Check]:
    """Every check, one after the other as it is done. `config` is a dataset's YAML, whose
    destination is looked at and whose files count.

    Without `destination` and `config`, each destination of pipeline.yaml is looked at.
    """
    versions = {
        "syndb-pipeline": __version__,
        **{name: version(name) for name in ("duckdb", "dagster")},
        "Python": platform.python_version(),
    }
    yield _check("versions", ", ".join(f"{name} {number}" for name, number in versions.items()))
    dataset = None
    if config is not None:
        try:
            dataset = load_dataset(config)
            yield _check("dataset", f"{dataset.path}: {dataset.dataset.label}")
        except PipelineError as error:
            yield _failed("dataset", error)
    near = config.absolute().parent if config is not None else None
    try:
        loaded = load_settings(settings, near=near)
    except PipelineError as error:
        yield _failed("settings", error)
        return
    yield _settings_file(loaded)
    yield _writable("state", loaded.state)
    yield check_disk(loaded, dataset, shutil.disk_usage(_existing(loaded.state)).free)
    yield check_memory(loaded.memory_limit, machine_memory())
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
        if not isinstance(own, RestSettings):
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
    tables = dataset.tables.values() if dataset else ()
    sizes = [
        path.stat().st_size
        for table in tables
        for path in find(dataset.folder, table.file)  # type: ignore[union-attr]
    ]
    found, need, short = f"{amount(free)} free", FEW_BYTES, "warning"
    if dataset is not None and sizes:
        need = DISK_FACTOR * sum(sizes)
        found += f"; {len(sizes):,} files of {amount(sum(sizes))} may need {amount(need)}"
        # One that is prepared already has what it needs, or most of it.
        prepared = DatasetStore(settings.state, dataset.dataset.id).record("package") is not None
        short = "warning" if prepared else "failed"
    advice = "Make room, or set `state` in pipeline.yaml to a folder on a larger disk."
    return _check("disk", found, advice, "ok" if free >= need else short)  # type: ignore[arg-type]


def check_memory(limit: int, machine: int) -> Check:
    """Whether a run that takes `limit` bytes fits into a machine that has `machine`."""
    most = _MEMORY_SHARE * machine
    return _check(
        "memory",
        f"a run may take {amount(limit)} of this machine's {amount(machine)}",
        f"Set memory_limit in pipeline.yaml to {int(most / 1_000_000)}MB or less.",
        "ok" if limit <= most else "warning" if limit <= machine else "failed",
    )


def machine_memory(root: Path = Path("/")) -> int:
    """Bytes of memory this process may take: the machine's, or what its control groups leave to it,
    as in a container.
    """
    groups = root / "sys/fs/cgroup"
    files = [groups / "memory/memory.limit_in_bytes"]
    try:
        lines = (root / "proc/self/cgroup").read_text().splitlines()
        own = next(line[3:] for line in lines if line.startswith("0::"))
    except (OSError, StopIteration):  # not Linux, or the first version of control groups
        own = "/"
    folder = groups / own.strip("/")
    files += [
        place / "memory.max" for place in (folder, *folder.parents) if place.is_relative_to(groups)
    ]
    amounts = [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")]
    for file in files:
        try:
            text = file.read_text().strip()
        except OSError:
            continue
        amounts += [int(text)] if text.isdigit() else []
    return min(amounts)


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
    try:
        look = _Look(settings, name, dataset, open_destination(impatient(settings), name))
    except PipelineError as error:
        yield _failed("destination", error)
        return
    for about, check in (("token", _server if look.server else _folder), ("rights", _rights)):
        try:
            yield from check(look)
        except PipelineError as error:
            yield _failed(about, error)
            return
        if look.who is None:  # what failed leaves no account to ask about
            return


def _folder(look: _Look) -> Iterator[Check]:
    own = look.settings.destinations[look.name]
    assert isinstance(own, EmbeddedDestination)
    yield _writable("destination", own.path)
    look.who = look.destination.who_am_i()
    yield _check("owner", f"what is published belongs to {look.who.name}")


def _server(look: _Look) -> Iterator[Check]:
    """The settings of a server, the way to it, its clock, and our credentials."""
    from syndb_pipeline.destinations.rest.connections import reach

    own = look.server
    assert own is not None
    place = own.location
    yield _check(
        "destination",
        f"{own.url}; waits {own.connect_seconds:g} s for a connection, {own.answer_seconds:g} s"
        f" for an answer, {own.total_seconds:,g} s in all; {own.attempts} attempts; uploads say"
        f" where they come from: city {place.city}, country {place.country}, continent"
        f" {place.continent}",
        "Set total_seconds higher than connect_seconds and answer_seconds; a large upload takes"
        " long.",
        "ok" if own.total_seconds >= max(own.answer_seconds, own.connect_seconds) else "warning",
    )
    reached = None
    try:
        reached = reach(own)
        advice = "The server is in trouble; try later, or ask who runs it."
        state: State = "warning" if reached.status >= 500 else "ok"
        yield _check("reach", reached.summary, advice, state)
        yield check_clock(reached.ahead)
    except PipelineError as error:
        yield _failed("reach", error)
    yield from _credentials(look, reachable=reached is not None)


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


def _credentials(look: _Look, *, reachable: bool) -> Iterator[Check]:
    """The credentials that there are; who we are by them, where the server can be asked."""
    own = look.server
    assert own is not None
    try:
        found = credentials.find(look.name, own)
        wrong = _check(
            "credentials",
            f"there are none for {own.origin}",
            f"Log in with: syndb-pipeline login --destination {look.name}",
            "failed",
            Exit.REFUSED,
        )
    except PipelineError as error:
        found, wrong = None, _failed("credentials", error)
    if found is None:
        if reachable:
            try:  # a SynDB asks whoever is not logged in to log in; anything else is none
                look.destination.who_am_i()
            except NotLoggedIn:
                pass
            except PipelineError as error:
                yield _failed("address", error)
        yield wrong
        return
    kinds = [kind for kind in ("token", "password") if getattr(found, kind)]
    whose = f" of {found.username}" if found.username else ""
    what = " and ".join(f"a {kind}" for kind in kinds)
    yield _check("credentials", f"{what}{whose}, {where(look.name, found)}")
    if reachable:
        how = _identify(look, found)
        assert look.who is not None
        name, verified = look.who.name, look.who.verified
        yield _check("token", f"{look.name} takes you for {name}{how}")
        unable = f"{name} is not verified as an academic; nothing can be registered or uploaded"
        yield _check(
            "verification",
            f"{name} is verified as an academic" if verified else unable,
            f"Follow the link that this shows: syndb-pipeline login --destination {look.name}",
            "ok" if verified else "failed",
            Exit.REFUSED,
        )


def _identify(look: _Look, found: credentials.Credentials) -> str:
    """Look who the server takes us for; how it came to, in words.

    A new token is used here and not kept: nothing is changed.
    """
    from syndb_pipeline.destinations.rest.destination import RestDestination

    server = look.destination
    assert isinstance(server, RestDestination)
    if found.token is not None:
        server.use(found.token)
        try:
            look.who = server.who_am_i()
            return ""
        except NotLoggedIn:
            if found.username is None or found.password is None:
                raise
    assert found.username is not None and found.password is not None  # else there would be a token
    server.login(found.username, found.password)
    look.who = server.who_am_i()
    return "; the kept token has ended, the password gives a new one" if found.token else ""


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


def _rights(look: _Look) -> Iterator[Check]:
    """What we may upload to, and whether the dataset and its groups are among it."""
    modifiable = look.destination.modifiable()
    if look.dataset is None:
        owned = sum(info.owner == look.who.id for info in modifiable) if look.who else 0
        may = f"{len(modifiable):,} datasets may be uploaded to, {owned:,} of them owned"
        yield _check("rights", may)
        return
    identity = look.dataset.dataset.id
    info = None
    mine = identity in {each.metadata.id for each in modifiable}
    if not mine:
        try:
            info = look.destination.info(identity)
        except UnknownDataset:  # usually, because it is new
            info = None
    if mine:
        yield _check("rights", f"dataset {identity} is there, and you may upload to it")
    elif info is None:
        yield _check("rights", f"dataset {identity} is not there yet; publishing registers it")
    else:
        yield _check(
            "rights",
            f"dataset {identity} is there and belongs to {info.owner}; you may not upload to it",
            "Ask its owner to let a group of yours write to it, or give your dataset an id of its"
            " own.",
            "failed",
            Exit.REFUSED,
        )
    known = {group for each in modifiable for group in each.metadata.authorized_group_names}
    for group in look.dataset.dataset.groups:
        if group in known:
            yield _check("groups", f"{group}: other datasets you may upload to have it, too")
            continue
        near = nearest(group, sorted(known), 3, 0.6)
        advice = "SynDB has no list of groups to look in; is it spelt right?"
        advice = f"Did you mean {', '.join(near)}?" if near else advice
        found = f"{group}: no dataset you may upload to has this group"
        yield _check("groups", found, advice, "warning")
