"""Where secrets are kept: the order of places, who may read the file, keyrings that fail, and that
nothing ever shows a secret.
"""

from __future__ import annotations

import json
import logging
import os
import shlex
import subprocess
import threading
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import keyring
import pytest
from filelock import FileLock
from keyring.backend import KeyringBackend
from keyring.backends import fail, null
from keyring.backends.chainer import ChainerBackend
from keyring.errors import KeyringLocked
from pydantic import SecretStr

from syndb_pipeline.base.errors import ConfigError
from syndb_pipeline.destinations.http import credentials
from syndb_pipeline.destinations.http.credentials import (
    SERVICE,
    Credentials,
    credentials_file,
    environment_name,
    forget,
    remember,
)
from syndb_pipeline.destinations.rest import RestDestination

ORIGIN = "https://api.example.org"
OTHER = "https://other.example.org:8443"
CANARY = "canary-7f3a9c"
TOKEN, PASSWORD = SecretStr(f"{CANARY}-token"), SecretStr(f"{CANARY} pass wörd ")
TOKEN_TEXT, PASSWORD_TEXT = TOKEN.get_secret_value(), PASSWORD.get_secret_value()
NEW = SecretStr("new")
OF_ADA = {"token": TOKEN, "username": "ada", "password": PASSWORD}


def find(
    destination: str, url: str, beside: Path | None = None, log: credentials.Log | None = None
) -> Credentials | None:
    """What `credentials.find` finds for a server that the user's own settings name, or a file
    `beside` a dataset."""
    server = RestDestination(kind="rest", url=url)
    return credentials.find(
        destination, server.located(Path(), beside) if beside else server, log=log
    )


class MemoryKeyring(KeyringBackend):
    """A keyring that works, for as long as the test runs."""

    priority: float = 5

    def __init__(self) -> None:
        super().__init__()
        self.entries: dict[tuple[str, str], str] = {}

    def get_password(self, service: str, username: str) -> str | None:
        return self.entries.get((service, username))

    def set_password(self, service: str, username: str, password: str) -> None:
        self.entries[service, username] = password

    def delete_password(self, service: str, username: str) -> None:
        del self.entries[service, username]


class PlainTextKeyring(MemoryKeyring):
    """As third-party packages bring along: it works, and ranks itself below 1."""

    priority = 0.5


class LockedKeyring(MemoryKeyring):
    """As on a server, where no person answers the prompt."""

    def get_password(self, service: str, username: str) -> str | None:
        raise KeyringLocked("Failed to unlock the collection!")


class SmallKeyring(MemoryKeyring):
    """Takes short secrets only; its error is of a class of its own, and quotes the secret."""

    def set_password(self, service: str, username: str, password: str) -> None:
        if len(password) > 100:
            raise LookupError(f"bad data: {password}")
        super().set_password(service, username, password)


class CuttingKeyring(MemoryKeyring):
    """Keeps the first characters and says nothing."""

    def set_password(self, service: str, username: str, password: str) -> None:
        super().set_password(service, username, password[:20])


class Chain(ChainerBackend):
    """What keyring chooses when there are several; the plain-text one first."""

    priority = 10
    backends = (PlainTextKeyring(), MemoryKeyring())


class PlainChain(ChainerBackend):
    priority = 10
    backends = (PlainTextKeyring(),)


OURS = (MemoryKeyring, *MemoryKeyring.__subclasses__(), *ChainerBackend.__subclasses__())
KeyringBackend._classes.difference_update(OURS)  # never found as the machine's own


@pytest.fixture(autouse=True)
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The credentials file of a home of this test's own; without keyring."""
    for name in list(os.environ):
        if name.startswith(("SYNDB_", "XDG_", "PYTHON_KEYRING", "DBUS_", "DISPLAY", "WAYLAND_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    # put back at the end, whatever `set_keyring` does meanwhile
    monkeypatch.setattr(keyring.core, "_keyring_backend", fail.Keyring())
    monkeypatch.setattr(credentials, "_logged", set())
    return credentials_file()


@pytest.fixture
def ring() -> MemoryKeyring:
    """A keyring that works, in use."""
    backend = MemoryKeyring()
    keyring.set_keyring(backend)
    return backend


@pytest.fixture(params=["keyring", "file"])
def place(request: pytest.FixtureRequest) -> str:
    """Where secrets are kept: in a keyring that works, or without one."""
    if request.param == "keyring":
        keyring.set_keyring(MemoryKeyring())
    return str(request.param)


def plain(found: Credentials | None) -> tuple[str | None, ...] | None:
    """Token, user name, password and source as text."""
    if found is None:
        return None
    token, password = (
        secret.get_secret_value() if secret else None for secret in (found.token, found.password)
    )
    return token, found.username, password, found.source


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o7777


def kept(path: Path) -> dict[str, Any]:
    content = json.loads(path.read_text(encoding="utf-8"))
    assert content["version"] == 1
    origins: dict[str, Any] = content["origins"]
    return origins


def write_file(path: Path, text: str | None = None, permissions: int = 0o600) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    content = {"version": 1, "origins": {ORIGIN: {"token": TOKEN_TEXT}}}
    path.write_text(json.dumps(content) if text is None else text, errors="surrogateescape")
    path.chmod(permissions)
    return path


FIND, REMEMBER, FORGET = (
    lambda: find("syndb", ORIGIN),
    lambda: remember(ORIGIN, token=TOKEN),
    lambda: forget(ORIGIN),
)
READING: Sequence[Callable[[], object]] = (FIND, REMEMBER, FORGET)
"""Whatever reads the file."""


def assert_hidden(error: BaseException) -> None:
    """Neither the error's text, nor its traceback, nor any error it came from holds the canary."""
    assert CANARY not in "".join(traceback.format_exception(error))
    chain: BaseException | None = error
    while chain is not None:
        assert CANARY not in f"{chain!s}{chain!r}{vars(chain)!r}"
        chain = chain.__context__


def refused(match: str, *uses: Callable[[], object]) -> ConfigError:
    """The refusal of each of `uses`, none of which shows a secret."""
    for use in uses:
        with pytest.raises(ConfigError, match=match) as caught:
            use()
        assert_hidden(caught.value)
    return caught.value


# The environment


@pytest.mark.parametrize(
    ("name", "expected"), [("my-lab.test", "MY_LAB_TEST"), ("labor_ü 2", "LABOR___2"), ("A9", "A9")]
)
def test_a_destination_names_its_variables(name: str, expected: str) -> None:
    assert environment_name(name) == expected


def test_the_environment_comes_before_the_keyring_and_that_before_the_file(
    ring: MemoryKeyring, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for what in ("TOKEN", "USERNAME", "PASSWORD"):
        monkeypatch.setenv(f"SYNDB_{what}__MY_LAB", "")  # as good as absent
    assert find("my-lab", ORIGIN) is None
    write_file(file)
    assert plain(find("my-lab", ORIGIN)) == (TOKEN_TEXT, None, None, "file")
    ring.entries[SERVICE, ORIGIN] = '{"token": "ring", "username": "ada"}'
    assert plain(find("my-lab", ORIGIN)) == ("ring", "ada", None, "keyring")
    monkeypatch.setenv("SYNDB_TOKEN__MY_LAB", "env\n")
    assert plain(find("my-lab", ORIGIN)) == ("env", None, None, "environment")
    assert plain(find("your-lab", ORIGIN)) == ("ring", "ada", None, "keyring")


def test_a_pair_of_variables_may_be_alone_or_beside_the_token(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SYNDB_USERNAME__SYNDB", "ada")
    monkeypatch.setenv("SYNDB_PASSWORD__SYNDB", " with spaces ")
    assert plain(find("syndb", ORIGIN)) == (None, "ada", " with spaces ", "environment")
    monkeypatch.setenv("SYNDB_TOKEN__SYNDB", "t")
    assert plain(find("syndb", ORIGIN)) == ("t", "ada", " with spaces ", "environment")


@pytest.mark.parametrize(("given", "lacking"), [("USERNAME", "PASSWORD"), ("PASSWORD", "USERNAME")])
def test_half_a_pair_names_the_variable_that_lacks(
    monkeypatch: pytest.MonkeyPatch, given: str, lacking: str
) -> None:
    monkeypatch.setenv(f"SYNDB_{given}__SYNDB", CANARY)
    refused(f"SYNDB_{given}__SYNDB is set, but SYNDB_{lacking}__SYNDB is not", FIND)


@pytest.mark.parametrize("given", [{"TOKEN": CANARY}, {"USERNAME": "ada", "PASSWORD": CANARY}])
@pytest.mark.parametrize(
    ("meant", "url", "own", "sent"),
    [
        (None, ORIGIN, True, True),
        (None, ORIGIN, False, False),
        (ORIGIN, ORIGIN, True, True),
        (ORIGIN, ORIGIN, False, True),
        ("HTTPS://API.example.org:443/", ORIGIN, False, True),
        (f"{ORIGIN}/base/", f"{ORIGIN}/base", False, True),
        (f"{ORIGIN}/base", f"{ORIGIN}/elsewhere", False, False),
        (OTHER, ORIGIN, True, False),
        (OTHER, ORIGIN, False, False),
        ("https://api.example.org.evil.example", ORIGIN, False, False),
        ("https://api.example.org:nonsense", ORIGIN, False, False),
    ],
)
def test_what_the_environment_has_is_for_one_address(
    given: dict[str, str],
    meant: str | None,
    url: str,
    own: bool,
    sent: bool,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for what, value in {**given, "URL": meant or ""}.items():
        monkeypatch.setenv(f"SYNDB_{what}__SYNDB", value)
    beside = None if own else tmp_path / "pipeline.yaml"
    if sent:
        found = find("syndb", url, beside)
        assert found is not None and found.source == "environment"
        return
    refusal = refused(f"not sent to {url}", lambda: find("syndb", url, beside))
    assert "SYNDB_URL__SYNDB" in str(refusal)
    assert (str(beside) in refusal.message) != own


def test_what_is_kept_for_an_address_serves_it_whoever_names_it(
    ring: MemoryKeyring, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SYNDB_TOKEN__SYNDB", CANARY)
    ring.entries[SERVICE, ORIGIN] = '{"token": "ring", "username": "ada"}'
    beside = tmp_path / "pipeline.yaml"
    assert plain(find("syndb", ORIGIN, beside)) == ("ring", "ada", None, "keyring")
    refused(f"not sent to {OTHER}", lambda: find("syndb", OTHER, beside))


@pytest.mark.parametrize("bad", [f"Bearer {CANARY}", f"{CANARY}\r\nX-Evil: 1", f"{CANARY}é", "  "])
def test_what_cannot_be_a_token_is_refused_unseen(
    monkeypatch: pytest.MonkeyPatch, file: Path, bad: str
) -> None:
    monkeypatch.setenv("SYNDB_TOKEN__SYNDB", bad)
    refused("SYNDB_TOKEN__SYNDB is empty or holds a space, a line end", FIND)
    refused("The token is empty or holds", lambda: remember(ORIGIN, token=SecretStr(bad)))
    assert not file.exists()


# The keyring


def test_the_keyring_keeps_by_origin(ring: MemoryKeyring, file: Path) -> None:
    assert remember(ORIGIN, **OF_ADA) == "keyring"
    assert plain(find("syndb", ORIGIN)) == (TOKEN_TEXT, "ada", PASSWORD_TEXT, "keyring")
    assert find("syndb", OTHER) is None, "another address never gets this one's secret"
    assert list(ring.entries) == [("syndb-pipeline", ORIGIN)]
    remember(ORIGIN, token=NEW, username="ada")
    assert plain(find("syndb", ORIGIN)) == ("new", "ada", None, "keyring"), "no former password"
    assert not file.parent.exists()
    assert [forget(OTHER), forget(ORIGIN), forget(ORIGIN)] == [False, True, False]
    assert ring.entries == {}


def test_a_login_to_the_keyring_removes_what_the_file_kept(file: Path) -> None:
    assert [remember(each, token=TOKEN) for each in (ORIGIN, OTHER)] == ["file", "file"]
    keyring.set_keyring(MemoryKeyring())
    assert remember(ORIGIN, token=NEW) == "keyring"
    assert list(kept(file)) == [OTHER]
    assert remember(OTHER, token=NEW) == "keyring"
    assert not file.exists()


def test_a_login_to_the_file_removes_what_the_keyring_kept(file: Path) -> None:
    small = SmallKeyring()
    keyring.set_keyring(small)
    assert remember(ORIGIN, token=TOKEN) == "keyring"
    said: list[str] = []
    assert remember(ORIGIN, token=SecretStr(CANARY * 20), log=said.append) == "file"
    assert small.entries == {}
    assert plain(find("syndb", ORIGIN)) == (CANARY * 20, None, None, "file")
    assert said == [f"The keyring cannot be used (LookupError); {file} takes its place."]


def test_a_keyring_that_cuts_secrets_is_none() -> None:
    cutting = CuttingKeyring()
    keyring.set_keyring(cutting)
    assert remember(ORIGIN, token=TOKEN) == "file"
    assert cutting.entries == {}
    assert plain(find("syndb", ORIGIN)) == (TOKEN_TEXT, None, None, "file")


def test_a_chain_is_searched_for_a_safe_backend() -> None:
    keyring.set_keyring(Chain())
    unsafe, safe = Chain.backends
    try:
        assert remember(ORIGIN, token=TOKEN) == "keyring"
        assert (unsafe.entries, list(safe.entries)) == ({}, [(SERVICE, ORIGIN)])
        assert plain(find("syndb", ORIGIN)) == (TOKEN_TEXT, None, None, "keyring")
    finally:
        safe.entries.clear()


@pytest.mark.parametrize(
    "backend", [fail.Keyring, null.Keyring, PlainTextKeyring, PlainChain, LockedKeyring]
)
def test_without_a_safe_keyring_the_file_takes_its_place_and_that_is_logged_once(
    file: Path, backend: Callable[[], KeyringBackend]
) -> None:
    keyring.set_keyring(backend())
    said: list[str] = []
    assert find("syndb", ORIGIN) is None
    assert remember(ORIGIN, token=TOKEN, log=said.append) == "file"
    assert plain(find("syndb", ORIGIN, log=said.append)) == (TOKEN_TEXT, None, None, "file")
    assert forget(ORIGIN, log=said.append) is True
    locked = "The keyring cannot be used (KeyringLocked)"
    why = locked if backend is LockedKeyring else "There is no keyring here"
    assert said == [f"{why}; {file} takes its place."]


def test_an_entry_that_is_not_ours_is_logged_and_passed_over(ring: MemoryKeyring) -> None:
    said: list[str] = []
    ring.entries[SERVICE, ORIGIN] = CANARY
    assert find("syndb", ORIGIN, log=said.append) is None
    entry = f"The keyring's entry syndb-pipeline for {ORIGIN}"
    assert said == [f"{entry} is not readable; log in again to replace it."]
    assert remember(ORIGIN, token=TOKEN) == "keyring"
    assert find("syndb", ORIGIN) is not None


def test_the_keyring_is_switched_off_and_on(
    ring: MemoryKeyring, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    monkeypatch.setenv("SYNDB_KEYRING", "off")
    assert remember(ORIGIN, token=TOKEN, log=said.append) == "file"
    assert (ring.entries, said) == ({}, [])
    monkeypatch.setenv("SYNDB_KEYRING", "on")
    assert remember(ORIGIN, token=TOKEN) == "keyring"
    monkeypatch.setenv("SYNDB_KEYRING", "false")
    refused("SYNDB_KEYRING is 'false'", FIND)


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("DBUS_SESSION_BUS_ADDRESS", "unix:path=/nowhere/bus"),
        ("PYTHON_KEYRING_BACKEND", "nowhere.Keyring"),
        ("PYTHON_KEYRING_BACKEND", ""),
    ],
)
def test_a_machine_without_desktop_uses_the_file(
    file: Path, variable: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, value)
    monkeypatch.setattr(keyring.core, "_keyring_backend", None)  # found out again
    said: list[str] = []
    assert remember(ORIGIN, token=NEW, log=said.append) == "file"
    assert plain(find("syndb", ORIGIN, log=said.append)) == ("new", None, None, "file")
    assert len(said) == 1 and said[0].endswith(f"; {file} takes its place.")


# The file


def test_the_file_and_its_folder_are_for_this_user_alone(file: Path, tmp_path: Path) -> None:
    assert file == tmp_path / "home" / ".config" / "syndb-pipeline" / "credentials.json"
    assert (find("syndb", ORIGIN), forget(ORIGIN)) == (None, False)
    assert not file.parent.exists(), "looking leaves no trace"
    before = os.umask(0)
    try:
        remember(ORIGIN, **OF_ADA)
        remember(OTHER, token=NEW)
    finally:
        os.umask(before)
    assert (mode(file.parent), mode(file)) == (0o700, 0o600)
    assert {mode(path) for path in file.parent.iterdir()} == {0o600}
    whole = {"token": TOKEN_TEXT, "username": "ada", "password": PASSWORD_TEXT}
    assert kept(file) == {ORIGIN: whole, OTHER: {"token": "new"}}
    assert plain(find("a", OTHER)) == ("new", None, None, "file")
    assert find("a", "http://127.0.0.1:9") is None
    assert forget(ORIGIN) is True
    assert list(kept(file)) == [OTHER]
    assert (forget(ORIGIN), forget(OTHER)) == (False, True)
    assert not file.exists()


def test_another_file_is_named_by_the_environment(
    tmp_path: Path, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "home").mkdir()
    (tmp_path / "home").chmod(0o755)
    monkeypatch.setenv("SYNDB_CREDENTIALS", "~/secrets.json")
    assert remember(ORIGIN, token=TOKEN) == "file"
    assert mode(tmp_path / "home" / "secrets.json") == 0o600
    assert mode(tmp_path / "home") == 0o755, "a folder that was there keeps its mode"
    assert not file.exists()


@pytest.mark.parametrize("permissions", [0o640, 0o604, 0o620])
def test_a_file_open_to_others_is_refused_with_the_command_that_fixes_it(
    tmp_path: Path, ring: MemoryKeyring, monkeypatch: pytest.MonkeyPatch, permissions: int
) -> None:
    path = write_file(tmp_path / "my secrets.json", permissions=permissions)
    monkeypatch.setenv("SYNDB_CREDENTIALS", str(path))
    refusal = refused(rf"^{path} holds .* \(mode {permissions:04o}\)", *READING)
    assert ring.entries == {}, "refused before the keyring is written"
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name], "nothing is beside it"
    subprocess.run(shlex.split(refusal.next_step.removeprefix("Give: ")), check=True)
    assert plain(find("syndb", ORIGIN)) == (TOKEN_TEXT, None, None, "file")


def test_somebody_elses_file_is_refused_directly_and_through_a_link(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    theirs = Path("/etc/passwd")
    if os.geteuid() == 0:
        theirs = write_file(tmp_path / "theirs.json")
        os.chown(theirs, 54321, 54321)
    link = tmp_path / "link.json"
    link.symlink_to(theirs)
    before = theirs.read_bytes()
    for path in (theirs, link):
        monkeypatch.setenv("SYNDB_CREDENTIALS", str(path))
        refused(rf"^{theirs} holds secrets, but belongs to another user \(number \d+\)", *READING)
    assert theirs.read_bytes() == before and link.is_symlink()


def test_a_link_to_a_file_of_ones_own_stays_a_link(tmp_path: Path, file: Path) -> None:
    real = write_file(tmp_path / "dotfiles" / "secrets.json")
    file.parent.mkdir(parents=True)
    file.symlink_to(real)
    assert plain(find("syndb", ORIGIN)) == (TOKEN_TEXT, None, None, "file")
    remember(OTHER, token=TOKEN)
    assert file.is_symlink()
    assert sorted(kept(real)) == [ORIGIN, OTHER]
    assert mode(real) == 0o600


def test_what_is_no_file_is_refused_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    write_file(tmp_path / "plain")
    for name, why in (
        ("pipe", "is not a file"),
        (".", "cannot be read: "),
        ("loop", "cannot be read: "),
        ("plain/x", "cannot be read: "),
        ("/proc/nowhere/credentials.json", "cannot be written: "),
    ):
        monkeypatch.setenv("SYNDB_CREDENTIALS", str(tmp_path / name))
        refusal = refused(why, *(READING[:2] if "read" in why else [REMEMBER]))
        assert "SYNDB_CREDENTIALS" in refusal.next_step


def test_a_file_system_without_modes_is_refused_before_a_secret_is_written(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_file(file.with_name("credentials.json.lock"), "", permissions=0o644)
    monkeypatch.setattr(Path, "chmod", lambda path, wanted: None)  # as on a mounted Windows share
    refused("keeps no modes", REMEMBER)
    assert [path.name for path in file.parent.iterdir()] == ["credentials.json.lock"]


HEAD = f'{{"version": 1, "origins": {{"{ORIGIN}": {{'


@pytest.mark.parametrize(
    "text",
    [
        f'{HEAD}"token": "{CANARY}',
        f'{HEAD}"token": "{CANARY}"}}}}}}'.replace("1", "2", 1),
        f'{HEAD}"password": "{CANARY}"}}}}}}',
        f'{HEAD}"token": "{CANARY} {CANARY}"}}}}}}',
        f'["{CANARY}"]',
        "[" * 100_000,
        f"\udcff{CANARY}",
    ],
    ids=["cut", "version", "no token", "bad token", "list", "deep", "no text"],
)
def test_a_damaged_file_says_what_to_do_and_shows_nothing(file: Path, text: str) -> None:
    write_file(file, text)
    refusal = refused(r"credentials\.json is damaged", *READING)
    command, login = refusal.next_step.splitlines()
    assert login == "Then log in again with: syndb-pipeline login"
    subprocess.run(shlex.split(command.removeprefix("Give: ")), check=True)
    assert remember(ORIGIN, token=TOKEN) == "file"
    write_file(file, "\n")
    assert find("syndb", ORIGIN) is None, "an empty file keeps nothing yet"


def test_writers_at_once_lose_nothing(file: Path) -> None:
    """The lock is on the file, so it holds threads apart as it does processes."""
    done = []

    def write(name: str) -> None:
        for number in range(15):
            origin = f"https://{name}-{number}.example.org"
            remember(origin, token=SecretStr(origin))
            assert plain(find("x", origin)) == (origin, None, None, "file")
            if number % 3 == 0:
                assert forget(origin)
        done.append(name)

    writers = [threading.Thread(target=write, args=(name,)) for name in "abcd"]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(60)
    assert sorted(done) == list("abcd")
    expected = {f"https://{name}-{n}.example.org" for name in "abcd" for n in range(15) if n % 3}
    assert kept(file).keys() == expected
    names = {path.name for path in file.parent.iterdir()}
    assert names == {"credentials.json", "credentials.json.lock"}


def test_a_writer_that_is_killed_leaves_the_old_file_and_the_next_one_sweeps(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    remember(ORIGIN, token=TOKEN)

    def killed(descriptor: int) -> None:
        raise SystemExit(9)

    with monkeypatch.context() as patch, pytest.raises(SystemExit):
        patch.setattr(os, "fsync", killed)
        remember(OTHER, token=SecretStr("half"))
    assert list(kept(file)) == [ORIGIN]
    (left,) = [path for path in file.parent.iterdir() if path.name.startswith(".")]
    assert "half" in left.read_text()
    assert mode(left) == 0o600
    assert forget(ORIGIN) is True
    assert [path.name for path in file.parent.iterdir()] == ["credentials.json.lock"]


def test_a_lock_that_stays_held_is_named(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(credentials, "_LOCK_SECONDS", 0.1)
    file.parent.mkdir(parents=True)
    with FileLock(file.with_name("credentials.json.lock")):
        refused(r"cannot be written: .*credentials\.json\.lock", REMEMBER)
    assert remember(ORIGIN, token=TOKEN) == "file"


# A renewed token


def found_for_ada() -> Credentials:
    remember(ORIGIN, **OF_ADA)
    found = find("syndb", ORIGIN)
    assert found is not None
    return found


def test_a_renewed_token_goes_where_the_old_one_was(file: Path, place: str) -> None:
    before = found_for_ada()
    renewed = before.renewed(ORIGIN, NEW)
    assert plain(renewed) == ("new", "ada", PASSWORD_TEXT, place)
    assert find("syndb", ORIGIN) == renewed
    assert plain(before) == (TOKEN_TEXT, "ada", PASSWORD_TEXT, place), "frozen"
    assert file.exists() == (place == "file")


def test_a_renewed_token_undoes_no_logout_and_no_other_login(place: str) -> None:
    before = found_for_ada()
    remember(ORIGIN, token=SecretStr("graces"), username="grace")
    assert plain(before.renewed(ORIGIN, NEW)) == ("new", "ada", PASSWORD_TEXT, place)
    assert plain(find("syndb", ORIGIN)) == ("graces", "grace", None, place)
    forget(ORIGIN)
    before.renewed(ORIGIN, NEW)
    assert find("syndb", ORIGIN) is None


def test_a_renewed_token_of_the_environment_is_kept_nowhere(
    ring: MemoryKeyring, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SYNDB_USERNAME__SYNDB", "ada")
    monkeypatch.setenv("SYNDB_PASSWORD__SYNDB", "secret")
    ring.entries[SERVICE, ORIGIN] = '{"token": "kept", "username": "ada"}'
    found = find("syndb", ORIGIN)
    assert found is not None
    assert plain(found.renewed(ORIGIN, NEW)) == ("new", "ada", "secret", "environment")
    assert ring.entries == {(SERVICE, ORIGIN): '{"token": "kept", "username": "ada"}'}
    assert not file.exists()


def test_a_renewed_token_serves_even_when_it_cannot_be_kept(file: Path, place: str) -> None:
    before = found_for_ada()
    said: list[str] = []
    if place == "keyring":
        keyring.set_keyring(LockedKeyring())
        why = "KeyringLocked"
    else:
        file.chmod(0o644)
        why = f"The renewed token was not kept. {file} holds secrets, but is open"
    renewed = before.renewed(ORIGIN, NEW, log=said.append)
    assert plain(renewed) == ("new", "ada", PASSWORD_TEXT, place)
    assert len(said) == 1 and why in said[0]


# Nothing shows a secret


@pytest.mark.parametrize("backend", [fail.Keyring, MemoryKeyring, LockedKeyring, SmallKeyring])
def test_secrets_stay_out_of_everything_that_is_shown(
    backend: Callable[[], KeyringBackend], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    keyring.set_keyring(backend())
    said: list[str] = []
    remember(ORIGIN, **OF_ADA, log=said.append)
    found = find("syndb", ORIGIN, log=said.append)
    assert found is not None
    renewed = found.renewed(ORIGIN, SecretStr(f"{CANARY}-new"), log=said.append)
    for item in (found, renewed):
        shown = [repr(item), f"{item}", repr(item.model_dump()), item.model_dump_json()]
        assert CANARY not in "".join(shown) + repr(vars(item))
        assert "ada" in repr(item)
    assert CANARY not in "".join(said) + caplog.text
    assert (plain(find("syndb", ORIGIN)) or "")[0] == f"{CANARY}-new", "and yet it is there"


def test_credentials_cannot_be_altered_and_refuse_without_showing() -> None:
    with pytest.raises(ValueError, match="frozen") as caught:
        Credentials(token=NEW).token = TOKEN
    assert_hidden(caught.value)
    with pytest.raises(ValueError, match="token") as caught:
        Credentials.model_validate({"token": [CANARY], "source": "file"})
    assert CANARY not in str(caught.value)
