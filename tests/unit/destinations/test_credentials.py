"""Where secrets lie: the order of places, who may read the file, keyrings that fail, and that
nothing ever shows a secret.
"""

from __future__ import annotations

import json
import logging
import os
import shlex
import subprocess
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keyring
import pytest
from keyring.backend import KeyringBackend
from keyring.backends import fail, null
from keyring.backends.chainer import ChainerBackend
from keyring.errors import KeyringLocked
from pydantic import SecretStr

from syndb_pipeline.base.errors import ConfigError, PipelineError
from syndb_pipeline.destinations.rest import credentials
from syndb_pipeline.destinations.rest.credentials import (
    SERVICE,
    Credentials,
    credentials_file,
    environment_name,
    forget,
    remember,
)
from syndb_pipeline.destinations.rest.settings import RestDestination

ORIGIN = "https://api.example.org"
OTHER = "https://other.example.org:8443"
CANARY = "canary-7f3a9c"
TOKEN = SecretStr(f"{CANARY}-token")
PASSWORD = SecretStr(f"{CANARY} pass wörd ")
TOKEN_TEXT, PASSWORD_TEXT = TOKEN.get_secret_value(), PASSWORD.get_secret_value()
SOMEBODY = 54321


def find(
    destination: str, url: str, beside: Path | None = None, say: credentials.Log | None = None
) -> Credentials | None:
    """What `credentials.find` finds for a server that the user's own settings name, or a file
    `beside` a dataset.
    """
    server = RestDestination(kind="rest", url=url)
    return credentials.find(
        destination, server.located(Path(), beside) if beside else server, log=say
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
    """As on a server, where nobody answers the prompt."""

    def get_password(self, service: str, username: str) -> str | None:
        raise KeyringLocked("Failed to unlock the collection!")

    def set_password(self, service: str, username: str, password: str) -> None:
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


for backend_class in (MemoryKeyring, PlainTextKeyring, LockedKeyring, SmallKeyring, CuttingKeyring):
    KeyringBackend._classes.discard(
        backend_class
    )  # never found by tests that look for the machine's keyring


@pytest.fixture(autouse=True)
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The credentials file of a home of this test's own; without keyring."""
    for name in [
        name for name in os.environ if name.startswith(("SYNDB_", "XDG_", "PYTHON_KEYRING"))
    ]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setattr(
        keyring.core, "_keyring_backend", fail.Keyring()
    )  # put back at the end, whatever `set_keyring` does meanwhile
    monkeypatch.setattr(credentials, "_logged", set())
    return credentials_file()


@pytest.fixture(params=["keyring", "file"])
def place(request: pytest.FixtureRequest) -> str:
    """Where secrets are kept: in a keyring that works, or without one."""
    if request.param == "keyring":
        keyring.set_keyring(MemoryKeyring())
    return str(request.param)


@pytest.fixture
def ring() -> MemoryKeyring:
    """A keyring that works, in use."""
    backend = MemoryKeyring()
    keyring.set_keyring(backend)
    return backend


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
    path.write_text(
        json.dumps({"version": 1, "origins": {ORIGIN: {"token": TOKEN_TEXT}}})
        if text is None
        else text
    )
    path.chmod(permissions)
    return path


def somebody_elses_file(folder: Path) -> Path:
    """A file of another user that this one can read."""
    if os.geteuid() != 0:
        return Path("/etc/passwd")
    path = write_file(folder / "theirs.json")
    os.chown(path, SOMEBODY, SOMEBODY)
    return path


USES: list[Callable[[], object]] = [
    lambda: find("syndb", ORIGIN),
    lambda: remember(ORIGIN, token=TOKEN),
    lambda: forget(ORIGIN),
]
"""Whatever reads the file."""


# The environment


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("syndb", "SYNDB"),
        ("my-lab.test", "MY_LAB_TEST"),
        ("labor_ü 2", "LABOR___2"),
        ("A9", "A9"),
        ("__", "__"),
    ],
)
def test_a_destination_names_its_variables(name: str, expected: str) -> None:
    assert environment_name(name) == expected


def test_the_environment_comes_before_the_keyring_and_that_before_the_file(
    ring: MemoryKeyring, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert find("my-lab", ORIGIN) is None
    write_file(file)
    assert plain(find("my-lab", ORIGIN)) == (TOKEN_TEXT, None, None, "file")
    ring.entries[SERVICE, ORIGIN] = '{"token": "ring", "username": "ada"}'
    assert plain(find("my-lab", ORIGIN)) == ("ring", "ada", None, "keyring")
    monkeypatch.setenv("SYNDB_TOKEN__MY_LAB", "env\n")
    assert plain(find("my-lab", ORIGIN)) == ("env", None, None, "environment")
    assert plain(find("your-lab", ORIGIN)) == ("ring", "ada", None, "keyring")


def test_a_pair_of_variables_may_stand_alone_or_beside_the_token(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SYNDB_USERNAME__SYNDB", "ada")
    monkeypatch.setenv("SYNDB_PASSWORD__SYNDB", " with spaces ")
    assert plain(find("syndb", ORIGIN)) == (None, "ada", " with spaces ", "environment")
    monkeypatch.setenv("SYNDB_TOKEN__SYNDB", "t")
    assert plain(find("syndb", ORIGIN)) == ("t", "ada", " with spaces ", "environment")


@pytest.mark.parametrize(("given", "lacking"), [("USERNAME", "PASSWORD"), ("PASSWORD", "USERNAME")])
@pytest.mark.parametrize("empty", [True, False])
def test_half_a_pair_names_the_variable_that_lacks(
    monkeypatch: pytest.MonkeyPatch, given: str, lacking: str, empty: bool
) -> None:
    monkeypatch.setenv(f"SYNDB_{given}__SYNDB", CANARY)
    if empty:
        monkeypatch.setenv(f"SYNDB_{lacking}__SYNDB", "")
    with pytest.raises(ConfigError) as caught:
        find("syndb", ORIGIN)
    assert (
        caught.value.message
        == f"The environment variable SYNDB_{given}__SYNDB is set, but SYNDB_{lacking}__SYNDB is"
        " not."
    )
    assert (
        caught.value.next_step
        == "Set both, or neither. A token alone goes into SYNDB_TOKEN__SYNDB."
    )


ENVIRONMENTS: list[dict[str, str]] = [{"TOKEN": CANARY}, {"USERNAME": "ada", "PASSWORD": CANARY}]


@pytest.mark.parametrize("given", ENVIRONMENTS, ids=["token", "password"])
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
    for what, value in given.items():
        monkeypatch.setenv(f"SYNDB_{what}__SYNDB", value)
    if meant:
        monkeypatch.setenv("SYNDB_URL__SYNDB", meant)
    beside = None if own else tmp_path / "pipeline.yaml"
    if sent:
        found = find("syndb", url, beside)
        assert found is not None
        assert found.source == "environment"
        return
    with pytest.raises(ConfigError) as caught:
        find("syndb", url, beside)
    assert_hidden(caught.value)
    assert f"not sent to {url}" in caught.value.message
    assert "SYNDB_URL__SYNDB" in str(caught.value)
    assert (str(beside) in caught.value.message) != own


def test_what_is_kept_for_an_address_serves_it_whoever_names_it(
    ring: MemoryKeyring, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SYNDB_TOKEN__SYNDB", CANARY)
    ring.entries[SERVICE, ORIGIN] = '{"token": "ring", "username": "ada"}'
    assert plain(find("syndb", ORIGIN, tmp_path / "pipeline.yaml")) == (
        "ring",
        "ada",
        None,
        "keyring",
    )
    with pytest.raises(ConfigError, match=f"not sent to {OTHER}"):
        find("syndb", OTHER, tmp_path / "pipeline.yaml")


def test_empty_variables_count_as_absent(monkeypatch: pytest.MonkeyPatch) -> None:
    for what in ("TOKEN", "USERNAME", "PASSWORD"):
        monkeypatch.setenv(f"SYNDB_{what}__SYNDB", "")
    assert find("syndb", ORIGIN) is None


@pytest.mark.parametrize("bad", [f"Bearer {CANARY}", f"{CANARY}\r\nX-Evil: 1", f"{CANARY}é", "  "])
def test_what_cannot_be_a_token_is_refused_unseen(
    monkeypatch: pytest.MonkeyPatch, file: Path, bad: str
) -> None:
    monkeypatch.setenv("SYNDB_TOKEN__SYNDB", bad)
    with pytest.raises(
        ConfigError, match="SYNDB_TOKEN__SYNDB is empty or holds a space, a line end"
    ) as caught:
        find("syndb", ORIGIN)
    assert_hidden(caught.value)
    with pytest.raises(ConfigError, match="The token is empty or holds") as caught:
        remember(ORIGIN, token=SecretStr(bad))
    assert_hidden(caught.value)
    assert not file.exists()


# The keyring


def test_the_keyring_keeps_by_origin(ring: MemoryKeyring, file: Path) -> None:
    assert remember(ORIGIN, token=TOKEN, username="ada", password=PASSWORD) == "keyring"
    assert plain(find("syndb", ORIGIN)) == (
        TOKEN_TEXT,
        "ada",
        PASSWORD_TEXT,
        "keyring",
    )
    assert find("syndb", OTHER) is None, "another address never gets this one's secret"
    assert list(ring.entries) == [("syndb-pipeline", ORIGIN)]
    assert not file.parent.exists()
    assert forget(OTHER) is False
    assert forget(ORIGIN) is True
    assert forget(ORIGIN) is False
    assert ring.entries == {}


def test_a_login_without_password_drops_the_former_one(ring: MemoryKeyring) -> None:
    remember(ORIGIN, token=TOKEN, username="ada", password=PASSWORD)
    remember(ORIGIN, token=SecretStr("new"), username="ada")
    assert plain(find("syndb", ORIGIN)) == ("new", "ada", None, "keyring")


def test_a_login_to_the_keyring_removes_what_the_file_kept(file: Path) -> None:
    assert remember(ORIGIN, token=TOKEN) == "file"
    assert remember(OTHER, token=TOKEN) == "file"
    keyring.set_keyring(MemoryKeyring())
    assert remember(ORIGIN, token=SecretStr("new")) == "keyring"
    assert list(kept(file)) == [OTHER]
    assert remember(OTHER, token=SecretStr("new")) == "keyring"
    assert not file.exists()


def test_a_login_to_the_file_removes_what_the_keyring_kept(file: Path) -> None:
    small = SmallKeyring()
    keyring.set_keyring(small)
    assert remember(ORIGIN, token=TOKEN) == "keyring"
    said: list[str] = []
    long = SecretStr(CANARY * 20)
    assert remember(ORIGIN, token=long, log=said.append) == "file"
    assert small.entries == {}
    assert plain(find("syndb", ORIGIN)) == (CANARY * 20, None, None, "file")
    assert said == [f"The keyring cannot be used (LookupError); {file} takes its place."]


def test_a_keyring_that_cuts_secrets_is_none(file: Path) -> None:
    cutting = CuttingKeyring()
    keyring.set_keyring(cutting)
    assert remember(ORIGIN, token=TOKEN) == "file"
    assert cutting.entries == {}
    assert plain(find("syndb", ORIGIN)) == (TOKEN_TEXT, None, None, "file")


class Chain(ChainerBackend):
    """What keyring chooses when there are several; the plain-text one first."""

    priority = 10
    backends = (PlainTextKeyring(), MemoryKeyring())


class PlainChain(ChainerBackend):
    priority = 10
    backends = (PlainTextKeyring(),)


class EmptyChain(ChainerBackend):
    priority = 10
    backends = ()


for chain_class in (Chain, PlainChain, EmptyChain):
    KeyringBackend._classes.discard(chain_class)


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
    "backend", [fail.Keyring, null.Keyring, PlainTextKeyring, PlainChain, EmptyChain]
)
def test_without_a_safe_keyring_the_file_takes_its_place_and_that_is_told_once(
    file: Path, backend: Callable[[], KeyringBackend]
) -> None:
    keyring.set_keyring(backend())
    said: list[str] = []
    assert find("syndb", ORIGIN) is None
    assert remember(ORIGIN, token=TOKEN, log=said.append) == "file"
    assert plain(find("syndb", ORIGIN, say=said.append)) == (
        TOKEN_TEXT,
        None,
        None,
        "file",
    )
    assert forget(ORIGIN, log=said.append) is True
    assert said == [f"There is no keyring here; {file} takes its place."]


def test_a_locked_keyring_is_none(file: Path) -> None:
    keyring.set_keyring(LockedKeyring())
    said: list[str] = []
    assert remember(ORIGIN, token=TOKEN, log=said.append) == "file"
    assert plain(find("syndb", ORIGIN, say=said.append)) == (
        TOKEN_TEXT,
        None,
        None,
        "file",
    )
    assert forget(ORIGIN, log=said.append) is True
    assert said == [f"The keyring cannot be used (KeyringLocked); {file} takes its place."]


def test_an_entry_that_is_not_ours_is_told_and_passed_over(ring: MemoryKeyring) -> None:
    said: list[str] = []
    ring.entries[SERVICE, ORIGIN] = CANARY
    assert find("syndb", ORIGIN, say=said.append) is None
    assert said == [
        f"The keyring's entry syndb-pipeline for {ORIGIN} is not readable; log in again to"
        " replace it."
    ]
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
    with pytest.raises(ConfigError, match="SYNDB_KEYRING is 'false'"):
        find("syndb", ORIGIN)


@pytest.mark.parametrize(
    "environment",
    [
        {"DBUS_SESSION_BUS_ADDRESS": "unix:path=/nowhere/bus"},
        {"PYTHON_KEYRING_BACKEND": "nowhere.Keyring"},
        {"PYTHON_KEYRING_BACKEND": ""},
    ],
    ids=["no bus", "unknown backend", "empty backend"],
)
def test_a_machine_without_desktop_uses_the_file(
    tmp_path: Path, environment: dict[str, str]
) -> None:
    script = (
        "from pydantic import SecretStr\nfrom tests.unit.destinations.test_credentials import find\nfrom"
        f" syndb_pipeline.destinations.rest.credentials import remember\nprint(remember({ORIGIN!r},"
        f" token=SecretStr('t'), log=print))\nprint(find('syndb', {ORIGIN!r}, say=print).source)\n"
    )
    inherited = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("DBUS_", "DISPLAY", "WAYLAND_"))
    }
    done = subprocess.run(
        [sys.executable, "-c", script],
        env=inherited | environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    told, *sources = done.stdout.splitlines()
    assert told.endswith(
        f"; {tmp_path}/home/.config/syndb-pipeline/credentials.json takes its place."
    )
    assert sources == ["file", "file"]


# The file


def test_the_file_and_its_folder_are_for_this_user_alone(file: Path, tmp_path: Path) -> None:
    assert file == tmp_path / "home" / ".config" / "syndb-pipeline" / "credentials.json"
    before = os.umask(0)
    try:
        remember(ORIGIN, token=TOKEN, username="ada", password=PASSWORD)
        remember(OTHER, token=SecretStr("other"))
    finally:
        os.umask(before)
    assert (mode(file.parent), mode(file)) == (0o700, 0o600)
    assert {mode(path) for path in file.parent.iterdir()} == {0o600}
    assert kept(file) == {
        ORIGIN: {
            "token": TOKEN_TEXT,
            "username": "ada",
            "password": PASSWORD_TEXT,
        },
        OTHER: {"token": "other"},
    }
    assert plain(find("a", OTHER)) == ("other", None, None, "file")
    assert find("a", "http://127.0.0.1:9") is None
    assert forget(ORIGIN) is True
    assert list(kept(file)) == [OTHER]
    assert forget(ORIGIN) is False
    assert forget(OTHER) is True
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


def test_looking_leaves_no_trace(file: Path) -> None:
    assert find("syndb", ORIGIN) is None
    assert forget(ORIGIN) is False
    assert not file.parent.exists()


@pytest.mark.parametrize("permissions", [0o640, 0o604, 0o620, 0o666, 0o644])
@pytest.mark.parametrize("name", ["credentials.json", "my secrets.json"])
def test_a_file_open_to_others_is_refused_with_the_command_that_mends_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, permissions: int, name: str
) -> None:
    path = write_file(tmp_path / name, permissions=permissions)
    monkeypatch.setenv("SYNDB_CREDENTIALS", str(path))
    for use in USES:
        with pytest.raises(ConfigError) as caught:
            use()
        assert str(path) in caught.value.message
        assert f"(mode {permissions:04o})" in caught.value.message
        assert_hidden(caught.value)
    assert [entry.name for entry in tmp_path.iterdir()] == [name], "nothing was created beside it"
    subprocess.run(shlex.split(caught.value.next_step.removeprefix("Give: ")), check=True)
    assert plain(find("syndb", ORIGIN)) == (TOKEN_TEXT, None, None, "file")


def test_an_open_file_is_refused_before_the_keyring_is_written(
    ring: MemoryKeyring, file: Path
) -> None:
    write_file(file, permissions=0o644)
    with pytest.raises(ConfigError, match="chmod 600"):
        remember(ORIGIN, token=TOKEN)
    assert ring.entries == {}


def test_somebody_elses_file_is_refused_directly_and_through_a_link(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    theirs = somebody_elses_file(tmp_path)
    link = tmp_path / "link.json"
    link.symlink_to(theirs)
    before = theirs.read_bytes()
    for path, through in ((theirs, "\\."), (link, f", through the link {link}")):
        monkeypatch.setenv("SYNDB_CREDENTIALS", str(path))
        for use in USES:
            with pytest.raises(
                ConfigError,
                match=(
                    rf"^{theirs} holds secrets, but belongs to another user \(number \d+\){through}"
                ),
            ):
                use()
    assert theirs.read_bytes() == before
    assert link.is_symlink()


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
        (".", "is not a file"),
        ("loop", "cannot be read: "),
        ("plain/x", "cannot be read: "),
    ):
        monkeypatch.setenv("SYNDB_CREDENTIALS", str(tmp_path / name))
        for use in USES[:2]:
            with pytest.raises(ConfigError, match=why) as caught:
                use()
            assert "SYNDB_CREDENTIALS" in caught.value.next_step


def test_a_place_that_cannot_be_written_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SYNDB_CREDENTIALS", "/proc/nowhere/credentials.json")
    with pytest.raises(
        ConfigError, match=r"^/proc/nowhere/credentials.json cannot be written: "
    ) as caught:
        remember(ORIGIN, token=TOKEN)
    assert "SYNDB_CREDENTIALS" in caught.value.next_step


def test_a_file_system_without_modes_is_refused_before_a_secret_is_written(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_file(file.with_name("credentials.json.lock"), "", permissions=0o644)
    monkeypatch.setattr(Path, "chmod", lambda path, wanted: None)  # as on a mounted Windows share
    with pytest.raises(ConfigError, match="keeps no modes"):
        remember(ORIGIN, token=TOKEN)
    assert [path.name for path in file.parent.iterdir()] == ["credentials.json.lock"]


@pytest.mark.parametrize(
    "text",
    [
        f'{{"version": 1, "origins": {{"{ORIGIN}": {{"token": "{CANARY}',
        f'{{"version": 2, "origins": {{"{ORIGIN}": {{"token": "{CANARY}"}}}}}}',
        f'{{"version": 1, "origins": {{"{ORIGIN}": {{"password": "{CANARY}"}}}}}}',
        f'{{"version": 1, "origins": {{"{ORIGIN}": {{"token": "{CANARY} {CANARY}"}}}}}}',
        f'["{CANARY}"]',
        CANARY,
        "[" * 100_000,
        "\x00",
    ],
    ids=["cut", "version", "no token", "bad token", "list", "word", "deep", "null"],
)
def test_a_damaged_file_says_what_to_do_and_shows_nothing(file: Path, text: str) -> None:
    write_file(file, text)
    for use in USES:
        with pytest.raises(ConfigError, match=r"credentials\.json is damaged") as caught:
            use()
        assert_hidden(caught.value)
    assert file.read_text() == text
    command, login = caught.value.next_step.splitlines()
    assert login == "Then log in again with: syndb-pipeline login"
    subprocess.run(shlex.split(command.removeprefix("Give: ")), check=True)
    assert remember(ORIGIN, token=TOKEN) == "file"


def test_bytes_that_are_no_text_are_damage(file: Path) -> None:
    write_file(file).write_bytes(b"\xff\xfe" + CANARY.encode())
    with pytest.raises(ConfigError, match="is damaged") as caught:
        find("syndb", ORIGIN)
    assert_hidden(caught.value)


def test_an_empty_file_keeps_nothing_yet(file: Path) -> None:
    write_file(file, "\n")
    assert find("syndb", ORIGIN) is None
    assert remember(ORIGIN, token=TOKEN) == "file"
    assert list(kept(file)) == [ORIGIN]


WRITER = """
import sys
from pydantic import SecretStr
from syndb_pipeline.destinations.rest.credentials import forget, remember
from tests.unit.destinations.test_credentials import find
for number in range(15):
    origin = f"https://{sys.argv[1]}-{number}.example.org"
    remember(origin, token=SecretStr(origin))
    assert find("x", origin).token.get_secret_value() == origin
    if number % 3 == 0:
        assert forget(origin)
"""


def test_processes_that_write_at_once_lose_nothing(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SYNDB_KEYRING", "off")
    writers = [
        subprocess.Popen([sys.executable, "-c", WRITER, name], stderr=subprocess.PIPE, text=True)
        for name in ("a", "b", "c", "d")
    ]
    for writer in writers:
        _, errors = writer.communicate(timeout=120)
        assert writer.returncode == 0, errors
    assert sorted(kept(file)) == sorted(
        f"https://{name}-{n}.example.org" for name in "abcd" for n in range(15) if n % 3
    )
    assert sorted(path.name for path in file.parent.iterdir()) == [
        "credentials.json",
        "credentials.json.lock",
    ]


def test_a_writer_that_is_killed_leaves_the_old_file_and_the_next_one_sweeps(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SYNDB_KEYRING", "off")
    remember(ORIGIN, token=TOKEN)
    script = (
        "import os\nfrom pydantic import SecretStr\nfrom syndb_pipeline.destinations.rest.credentials"
        " import remember\nos.fsync = lambda descriptor: os.kill(os.getpid(),"
        f" 9)\nremember({OTHER!r}, token=SecretStr('half'))\n"
    )
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == -9
    assert list(kept(file)) == [ORIGIN]
    (left,) = [path for path in file.parent.iterdir() if path.name.startswith(".")]
    assert "half" in left.read_text()
    assert mode(left) == 0o600
    assert forget(ORIGIN) is True
    assert [path.name for path in file.parent.iterdir()] == ["credentials.json.lock"]


def test_a_lock_that_stays_held_is_named(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(credentials, "_LOCK_SECONDS", 0.1)
    file.parent.mkdir(parents=True)
    lock = file.with_name("credentials.json.lock")
    script = (
        f"from filelock import FileLock\nwith FileLock({str(lock)!r}):\n    print('held',"
        " flush=True)\n    input()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdin is not None and holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(
            PipelineError, match=r"Another process has held .*credentials\.json\.lock"
        ):
            remember(ORIGIN, token=TOKEN)
        holder.stdin.write("\n")
    assert remember(ORIGIN, token=TOKEN) == "file"


# A renewed token


def test_a_renewed_token_goes_where_the_old_one_was(file: Path, place: str) -> None:
    assert remember(ORIGIN, token=TOKEN, username="ada", password=PASSWORD) == place
    before = find("syndb", ORIGIN)
    assert before is not None
    renewed = before.renewed(ORIGIN, SecretStr("new"))
    assert plain(renewed) == ("new", "ada", PASSWORD_TEXT, place)
    assert find("syndb", ORIGIN) == renewed
    assert plain(before) == (
        TOKEN_TEXT,
        "ada",
        PASSWORD_TEXT,
        place,
    ), "frozen"
    assert file.exists() == (place == "file")


def test_a_renewed_token_undoes_no_logout_and_no_other_login(file: Path, place: str) -> None:
    remember(ORIGIN, token=TOKEN, username="ada", password=PASSWORD)
    before = find("syndb", ORIGIN)
    assert before is not None
    remember(ORIGIN, token=SecretStr("graces"), username="grace")
    assert plain(before.renewed(ORIGIN, SecretStr("new"))) == (
        "new",
        "ada",
        PASSWORD_TEXT,
        place,
    )
    assert plain(find("syndb", ORIGIN)) == ("graces", "grace", None, place)
    forget(ORIGIN)
    before.renewed(ORIGIN, SecretStr("new"))
    assert find("syndb", ORIGIN) is None


def test_a_renewed_token_of_the_environment_is_kept_nowhere(
    ring: MemoryKeyring, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SYNDB_USERNAME__SYNDB", "ada")
    monkeypatch.setenv("SYNDB_PASSWORD__SYNDB", "secret")
    ring.entries[SERVICE, ORIGIN] = '{"token": "kept", "username": "ada"}'
    found = find("syndb", ORIGIN)
    assert found is not None
    assert plain(found.renewed(ORIGIN, SecretStr("new"))) == ("new", "ada", "secret", "environment")
    assert ring.entries == {(SERVICE, ORIGIN): '{"token": "kept", "username": "ada"}'}
    assert not file.exists()


def test_a_renewed_token_serves_even_when_it_cannot_be_kept(file: Path, place: str) -> None:
    remember(ORIGIN, token=TOKEN, username="ada", password=PASSWORD)
    before = find("syndb", ORIGIN)
    assert before is not None
    if place == "keyring":
        keyring.set_keyring(LockedKeyring())
    else:
        file.chmod(0o644)
    said: list[str] = []
    assert plain(before.renewed(ORIGIN, SecretStr("new"), log=said.append)) == (
        "new",
        "ada",
        PASSWORD_TEXT,
        place,
    )
    assert len(said) == 1
    assert (
        "KeyringLocked"
        if place == "keyring"
        else f"The renewed token was not kept. {file} holds secrets, but is open"
    ) in said[0]


# Nothing shows a secret


def assert_hidden(error: BaseException) -> None:
    """Neither the error's text, nor its traceback, nor any error it came from holds the canary."""
    assert CANARY not in "".join(traceback.format_exception(error))
    chain: BaseException | None = error
    while chain is not None:
        assert CANARY not in f"{chain!s}{chain!r}{vars(chain)!r}"
        chain = chain.__context__


@pytest.mark.parametrize("backend", [fail.Keyring, MemoryKeyring, LockedKeyring, SmallKeyring])
def test_secrets_stay_out_of_everything_that_is_shown(
    backend: Callable[[], KeyringBackend], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    keyring.set_keyring(backend())
    said: list[str] = []
    remember(ORIGIN, token=TOKEN, username="ada", password=PASSWORD, log=said.append)
    found = find("syndb", ORIGIN, say=said.append)
    assert found is not None
    renewed = found.renewed(ORIGIN, SecretStr(f"{CANARY}-new"), log=said.append)
    for item in (found, renewed):
        shown = [
            repr(item),
            str(item),
            f"{item}",
            repr(dict(item)),
            repr(item.model_dump()),
            item.model_dump_json(),
            repr(vars(item)),
        ]
        assert CANARY not in "".join(shown)
        assert "ada" in repr(item)
    assert CANARY not in "".join(said) + caplog.text
    kept_token = plain(find("syndb", ORIGIN))
    assert kept_token is not None
    assert kept_token[0] == f"{CANARY}-new", "and yet it is there"


def test_credentials_cannot_be_altered_and_refuse_without_showing() -> None:
    with pytest.raises(ValueError, match="frozen") as caught:
        Credentials(source="file").token = TOKEN
    assert_hidden(caught.value)
    with pytest.raises(ValueError, match="token") as caught:
        Credentials.model_validate({"token": [CANARY], "source": "file"})
    assert CANARY not in str(caught.value)
