"""Passwords and tokens: found in the environment, the keyring or a file of mode 0600, and kept in
one of the last two.

Belongs here: where a destination's secrets lie, and who may read them. Does not: logging in
(`destinations/`) or asking for a password.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import stat
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, TypeVar

from filelock import FileLock, Timeout
from pydantic import AfterValidator, BaseModel, ConfigDict, SecretStr, ValidationError

from syndb_pipeline.base.errors import ConfigError, PipelineError
from syndb_pipeline.config.destination_settings import RestDestination, same_address
from syndb_pipeline.state.store import write_atomically

if TYPE_CHECKING:
    from keyring.backend import KeyringBackend

Source = Literal["environment", "keyring", "file"]
Say = Callable[[str], None]
_Result = TypeVar("_Result")

SERVICE = "syndb-pipeline"
"""The name under which the keyring lists what is ours; an entry's account is the origin, its secret
a JSON object.
"""

_OTHERS = stat.S_IRWXG | stat.S_IRWXO
_LOCK_SECONDS = 10.0


def _header_safe(token: SecretStr) -> SecretStr:
    # Whatever else would break the Authorization header, and the HTTP library's message about that
    # would quote the token.
    stripped = token.get_secret_value().strip()
    if not re.fullmatch(r"[!-~]+", stripped):
        raise ValueError("no token")
    return SecretStr(stripped)


class _Secrets(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    token: Annotated[SecretStr, AfterValidator(_header_safe)]
    username: str | None = None
    password: SecretStr | None = None

    def revealed(self) -> dict[str, str]:
        """What is written to the keyring or the file; the only place where a secret turns into
        text.
        """
        plain = {
            "token": self.token.get_secret_value(),
            "username": self.username,
            "password": self.password.get_secret_value() if self.password else None,
        }
        return {name: value for name, value in plain.items() if value is not None}


class _Kept(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    version: Literal[1]
    origins: dict[str, _Secrets]


class Credentials(BaseModel):
    """What to log in with at one origin, and where it was found. There is a token, or a user name
    with its password, or all three.
    """

    model_config = ConfigDict(frozen=True, hide_input_in_errors=True)

    username: str | None = None
    password: SecretStr | None = None
    token: SecretStr | None = None
    source: Source

    def renewed(self, origin: str, token: SecretStr, *, say: Say | None = None) -> Credentials:
        """These credentials with a new token, which is also kept where they were found.

        Nothing is kept for those of the environment, nor when somebody logged out or logged in as
        another user since. A place that cannot be written is told to `say` and is no error: the new
        token serves this run all the same. Raises `ConfigError` for a token that cannot be one.
        """
        secrets = _checked(token, self.username, self.password)

        def replace(kept: dict[str, _Secrets]) -> bool:
            if origin not in kept or kept[origin].username != self.username:
                return False
            kept[origin] = secrets
            return True

        def replace_in(backend: KeyringBackend) -> bool:
            kept = _parsed(backend.get_password(SERVICE, origin))
            return (
                kept is not None
                and kept.username == self.username
                and _put(backend, origin, secrets)
            )

        if self.source == "keyring":
            _ask_keyring(replace_in, say)
        elif self.source == "file":
            try:
                _change_file(replace)
            except PipelineError as error:
                if say is not None:
                    say(f"The renewed token was not kept. {error.message}")
        return self.model_copy(update={"token": secrets.token})


def environment_name(destination: str) -> str:
    """A destination's name as it ends `SYNDB_TOKEN__<NAME>`: capitals, and `_` for every character
    outside A-Z and 0-9.
    """
    return re.sub(r"[^A-Z0-9]", "_", destination.upper())


def credentials_file() -> Path:
    """The file of secrets: named by SYNDB_CREDENTIALS, else in the user's config folder. It need
    not exist.
    """
    named = os.environ.get("SYNDB_CREDENTIALS")
    if named:
        return Path(named).expanduser().absolute()
    from platformdirs import user_config_path

    return user_config_path("syndb-pipeline") / "credentials.json"


def find(
    destination: str, server: RestDestination, *, say: Say | None = None
) -> Credentials | None:
    """The credentials for `server` from the environment, else the keyring, else the file; None
    without any.

    The environment is asked by the destination's name, for an address that `not_meant_for` lets
    pass; the others by the origin: when a destination's address changes, what was kept for the
    former one stays behind. `say` hears, once in a process, that a keyring cannot be used. Raises
    `ConfigError` for half a pair of variables, a token that cannot be one, a file that is damaged
    or open to others, and where nothing is found but what `not_meant_for` keeps back.
    """
    found = in_environment(destination, server) or kept(server.origin, say=say)
    if found is None and (refusal := not_meant_for(destination, server)) is not None:
        raise refusal
    return found


def kept(origin: str, *, say: Say | None = None) -> Credentials | None:
    """What the keyring or the file keeps for `origin`, whatever the environment has. Raises
    `ConfigError` as `find` does.
    """
    text = _ask_keyring(lambda backend: backend.get_password(SERVICE, origin), say)
    secrets, source = _parsed(text), "keyring"
    if secrets is None:
        if text is not None:
            _tell_once(
                f"The keyring's entry {SERVICE} for {origin} is not readable; log in again to"
                " replace it.",
                say,
            )
        secrets, source = _read_file(credentials_file()).get(origin), "file"
    return (
        None if secrets is None else Credentials.model_validate({**dict(secrets), "source": source})
    )


def _variables(destination: str) -> list[str]:
    """The names of the variables of a token, a user name and a password for the destination."""
    return [
        f"SYNDB_{what}__{environment_name(destination)}"
        for what in ("TOKEN", "USERNAME", "PASSWORD")
    ]


def not_meant_for(destination: str, server: RestDestination) -> ConfigError | None:
    """Why what the environment has for the destination of this name is not sent to `server`; None
    where it may be, or has nothing.

    `SYNDB_URL__<NAME>` says which address it is for. Without it that is the one in the user's own
    settings, and never one in a file beside a dataset: whoever gave the dataset may have written
    it.
    """
    present = [variable for variable in _variables(destination) if os.environ.get(variable)]
    variable = f"SYNDB_URL__{environment_name(destination)}"
    meant = os.environ.get(variable)
    if not present or (same_address(meant, server.url) if meant else server.beside is None):
        return None
    verb = "is" if len(present) == 1 else "are"
    place = f", which {server.beside} names, a file beside the dataset" if server.beside else ""
    why = f"{variable} says {meant}" if meant else "that file may be somebody else's"
    steps = (
        f"If it is your server, set {variable} to {server.url}, or log in to it: syndb-pipeline"
        " login\nIf not, use your own pipeline.yaml."
    )
    return ConfigError(
        f"{' and '.join(present)} {verb} not sent to {server.url}{place}: {why}.", next_step=steps
    )


def in_environment(destination: str, server: RestDestination) -> Credentials | None:
    """What the environment has for `server`, the destination of this name. Raises `ConfigError` as
    `find` does.
    """
    variables = _variables(destination)
    token, username, password = (os.environ.get(variable) or None for variable in variables)
    if not_meant_for(destination, server) is not None:
        return None
    if (username is None) != (password is None):
        has, lacks = (variables[1], variables[2]) if username else (variables[2], variables[1])
        raise ConfigError(
            f"The environment variable {has} is set, but {lacks} is not.",
            next_step=f"Set both, or neither. A token alone goes into {variables[0]}.",
        )
    if token is None and username is None:
        return None
    checked = (
        _checked(SecretStr(token), None, None, f"The environment variable {variables[0]}").token
        if token
        else None
    )
    return Credentials(
        username=username,
        password=SecretStr(password) if password else None,
        token=checked,
        source="environment",
    )


def remember(
    origin: str,
    *,
    token: SecretStr,
    username: str | None = None,
    password: SecretStr | None = None,
    say: Say | None = None,
) -> Source:
    """Keep what a log-in at `origin` gave, in place of everything kept for it before; says where:
    "keyring" or "file".

    The token is always kept; the password only when given, so that unattended runs can renew an
    expired token. `say` hears, once in a process, that a keyring cannot be used. Raises
    `ConfigError` for a token that cannot be one, and a file that is damaged, open to others or
    cannot be written.
    """
    secrets = _checked(token, username, password)
    _read_file(
        credentials_file()
    )  # a file that is not fit is refused before anything is kept anywhere or created beside it
    if _ask_keyring(lambda backend: _put(backend, origin, secrets), say):
        _drop_from_file(origin)
        return "keyring"

    def put(kept: dict[str, _Secrets]) -> bool:
        kept[origin] = secrets
        return True

    _change_file(put)
    _ask_keyring(
        lambda backend: _discard(backend, origin), say
    )  # a former token there would be found before the new one
    return "file"


def forget(origin: str, *, say: Say | None = None) -> bool:
    """Remove what the keyring and the file keep for `origin`; whether there was anything. The
    environment is not ours to change.

    Raises `ConfigError` for a file that is damaged, open to others or cannot be written; the
    keyring's entry is gone by then.
    """
    in_keyring = bool(_ask_keyring(lambda backend: _discard(backend, origin), say))
    in_file = _drop_from_file(origin)
    return in_keyring or in_file


def checked_token(token: SecretStr) -> SecretStr:
    """`token` without space around it. Raises `ConfigError` for one that cannot be one; an HTTP
    library's error would quote it.
    """
    return _checked(token, None, None).token


def _checked(
    token: SecretStr, username: str | None, password: SecretStr | None, what: str = "The token"
) -> _Secrets:
    try:
        return _Secrets(token=token, username=username, password=password)
    except ValidationError:
        pass  # raised below: an exception raised in here would carry the token as its context
    raise ConfigError(
        f"{what} is empty or holds a space, a line end or a letter outside ASCII, as no token"
        " does.",
        next_step="Copy the token again, whole, without quotes and without the word Bearer.",
    )


# The keyring


def _ask_keyring(use: Callable[[KeyringBackend], _Result], say: Say | None) -> _Result | None:
    """What `use` returns for this user's keyring; None when there is none that works, which `say`
    hears once in a process.
    """
    switch = os.environ.get("SYNDB_KEYRING", "").strip().casefold() or "on"
    if switch == "off":
        return None
    if switch != "on":
        raise ConfigError(
            f"The environment variable SYNDB_KEYRING is {switch!r}.",
            next_step="Set it to off, to on, or not at all.",
        )
    try:
        backend = _real_backend()
        if backend is not None:
            return use(backend)
        reason = "There is no keyring here"
    except Exception as error:  # noqa: BLE001 - backends are plug-ins and raise whatever the system's library below them raises
        # its message is left out: it may quote the secret
        reason = f"The keyring cannot be used ({type(error).__name__})"
    _tell_once(f"{reason}; {credentials_file()} takes its place.", say)
    return None


def _real_backend() -> KeyringBackend | None:
    """The keyring's first backend of priority 1 or more, keyring's own mark for one that is safe to
    use; below it lie plain-text files.
    """
    import keyring
    from keyring.backends.chainer import ChainerBackend

    chosen = keyring.get_keyring()
    # A chain would go on to a plain-text backend when a better one cannot do something.
    backends = chosen.backends if isinstance(chosen, ChainerBackend) else [chosen]
    return next((backend for backend in backends if backend.priority >= 1), None)


def _put(backend: KeyringBackend, origin: str, secrets: _Secrets) -> bool:
    text = json.dumps(secrets.revealed())
    backend.set_password(SERVICE, origin, text)
    return (
        backend.get_password(SERVICE, origin) == text
    )  # some backends drop or cut what they cannot keep, and say nothing


def _discard(backend: KeyringBackend, origin: str) -> bool:
    if backend.get_password(SERVICE, origin) is None:
        return False
    backend.delete_password(SERVICE, origin)
    return True


def _parsed(text: str | None) -> _Secrets | None:
    try:
        return None if text is None else _Secrets.model_validate_json(text)
    except ValidationError:
        return None


_told: set[str] = set()


def _tell_once(message: str, say: Say | None) -> None:
    if say is not None and message not in _told:
        _told.add(message)
        say(message)


# The file


def _read_file(path: Path) -> dict[str, _Secrets]:
    """What the file keeps, by origin. What is opened is what is checked, so nobody can put another
    file in its place in between.
    """
    try:
        descriptor = os.open(
            path, os.O_RDONLY | os.O_NONBLOCK
        )  # a pipe in its place must not hold us up
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise _unusable(path, f"cannot be read: {error.strerror}") from None
    try:
        _refuse_shared(path, os.fstat(descriptor))
        with os.fdopen(descriptor, "rb", closefd=False) as file:
            content = file.read()
    finally:
        os.close(descriptor)
    if not content.strip():
        return {}
    try:
        return dict(_Kept.model_validate_json(content).origins)
    except ValidationError:
        # raised below: an exception raised in here would carry the file's content as its context
        pass
    raise ConfigError(
        f"{path} is damaged: it does not hold what syndb-pipeline writes.",
        next_step=(
            f"Give: rm {shlex.quote(str(path))}\nThen log in again with: syndb-pipeline login"
        ),
    )


def _refuse_shared(path: Path, found: os.stat_result) -> None:
    if not stat.S_ISREG(found.st_mode):
        raise _unusable(path, "is not a file")
    if found.st_uid != os.geteuid():
        real = path.resolve()
        through = f", through the link {path}" if real != path else ""
        raise _unusable(
            real, f"holds secrets, but belongs to another user (number {found.st_uid}){through}"
        )
    if found.st_mode & _OTHERS:
        raise ConfigError(
            f"{path} holds secrets, but is open to other users of this machine (mode"
            f" {stat.S_IMODE(found.st_mode):04o}).",
            next_step=f"Give: chmod 600 {shlex.quote(str(path))}",
        )


def _unusable(path: Path, why: str) -> ConfigError:
    return ConfigError(
        f"{path} {why}.",
        next_step=(
            "Name a file of your own for secrets with the environment variable SYNDB_CREDENTIALS."
        ),
    )


def _drop_from_file(origin: str) -> bool:
    if origin not in _read_file(credentials_file()):
        return False  # nothing to lock, and no folder to create
    return _change_file(lambda kept: kept.pop(origin, None) is not None)


def _change_file(change: Callable[[dict[str, _Secrets]], bool]) -> bool:
    """Let `change` alter what the file keeps, while no other process does, and write it when
    `change` says so; returns what that says.
    """
    path = credentials_file()
    target = path.resolve()  # a link stays a link
    lock = target.with_name(f"{target.name}.lock")
    try:
        target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with FileLock(lock, timeout=_LOCK_SECONDS, poll_interval=0.02, mode=0o600):
            lock.chmod(0o600)
            if lock.stat().st_mode & _OTHERS:
                raise _unusable(
                    target.parent,
                    "is on a file system that keeps no modes, so secrets there would be open to"
                    " others",
                )
            _sweep(target)
            kept = _read_file(path)
            if not change(kept):
                return False
            if kept:
                origins = {origin: secrets.revealed() for origin, secrets in sorted(kept.items())}
                write_atomically(
                    target,
                    json.dumps({"version": 1, "origins": origins}, indent=1) + "\n",
                    mode=0o600,
                )
            else:
                target.unlink(missing_ok=True)
            return True
    except Timeout:
        raise PipelineError(
            f"Another process has held {lock} for {_LOCK_SECONDS:.0f} s.",
            next_step="Wait for it to end, then give the same command again.",
        ) from None
    except OSError as error:
        raise _unusable(target, f"cannot be written: {error.strerror}") from None


def _sweep(target: Path) -> None:
    """Remove what writers that were killed left beside the file: it holds secrets that nobody would
    think of.
    """
    for beside in target.parent.iterdir():
        if re.fullmatch(rf"\.{re.escape(target.name)}\.[0-9a-f]{{32}}", beside.name):
            beside.unlink(missing_ok=True)
