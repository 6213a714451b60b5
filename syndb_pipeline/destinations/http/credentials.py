"""Passwords and tokens: found in the environment, the keyring or a file of mode 0600, kept in one
of the last two.

Belongs here: where a destination's secrets are, who may read them. Does not: when to log in
(`client.py`), asking for a password (`cli/`).
"""

from __future__ import annotations

import glob
import json
import os
import re
import stat
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, TypeVar

from filelock import FileLock
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    SecretStr,
    ValidationError,
    model_validator,
)

from syndb_pipeline.base.errors import ConfigError, PipelineError
from syndb_pipeline.base.system import quoted
from syndb_pipeline.destinations.http import HttpDestination, same_address
from syndb_pipeline.state.store import write_atomically

if TYPE_CHECKING:
    from keyring.backend import KeyringBackend

Source = Literal["environment", "keyring", "file", "given"]
Log = Callable[[str], None]
_Result = TypeVar("_Result")

SERVICE = "syndb-pipeline"
"""The name under which the keyring lists what is ours; an entry's account is the origin, its secret
a JSON object."""

_OTHERS = stat.S_IRWXG | stat.S_IRWXO
_NOT_WAITING = getattr(os, "O_NONBLOCK", 0)
_LOCK_SECONDS = 10.0


def _header_safe(token: SecretStr) -> SecretStr:
    # Whatever else would break the Authorization header, and the HTTP library's message about that
    # would quote the token.
    stripped = token.get_secret_value().strip()
    if not re.fullmatch(r"[!-~]+", stripped):
        raise ValueError("no token")
    return SecretStr(stripped)


class Credentials(BaseModel):
    """What to log in with at one origin, and where it was found: a token, or a user name with its
    password, or all three; with the token the one that renews it, once."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    token: Annotated[SecretStr, AfterValidator(_header_safe)] | None = None
    refresh: Annotated[SecretStr, AfterValidator(_header_safe)] | None = None
    username: str | None = None
    password: SecretStr | None = None
    source: Source = "given"

    @model_validator(mode="after")
    def _enough(self) -> Credentials:
        if self.token is None and (self.username is None or self.password is None):
            raise ValueError("neither a token nor a name with its password")
        return self

    def revealed(self) -> dict[str, str]:
        """What is written to the keyring or the file; the only place where a secret turns into
        text."""
        return {
            name: value.get_secret_value() if isinstance(value, SecretStr) else value
            for name, value in self
            if value and name != "source"
        }

    def renewed(self, origin: str, token: SecretStr, *, log: Log | None = None) -> Credentials:
        """These credentials with a new token, which is also kept where they were found.

        Nothing is kept for those of the environment, nor when somebody logged out or logged in as
        another user since. A place that cannot be written is logged and is no error: the new token
        serves this run all the same. Raises `ConfigError` for a token that cannot be one.
        """
        new = self.model_copy(update={"token": checked_token(token), "refresh": None})
        return self.kept_as(new, origin, log)

    def keep(self, new: Credentials, origin: str, log: Log | None) -> bool:
        """Put `new` where these were found, unless somebody logged out or in as another user since;
        whether that was done."""
        write = {"keyring": _write_keyring, "file": _write_file}.get(self.source)
        return write is not None and write(origin, new, log, renew=True)

    def kept_as(self, new: Credentials, origin: str, log: Log | None) -> Credentials:
        """`keep`; a place that cannot be written is logged and is no error. Returns `new`."""
        try:
            self.keep(new, origin, log)
        except PipelineError as error:
            if log is not None:
                log(f"The renewed token was not kept. {error.message}")
        return new


class _Kept(BaseModel):
    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    version: Literal[1]
    origins: dict[str, Credentials]


def _may_replace(before: Credentials | None, new: Credentials | None, *, renew: bool) -> bool:
    """Whether `new`, or with None nothing, is to take the place of `before`. `renew`: only of what
    is kept for the same user, so that no log-in and no log-out since is undone."""
    if new is None or renew:
        return before is not None and (new is None or before.username == new.username)
    return True


# The environment


def environment_name(destination: str) -> str:
    """A destination's name as it ends `SYNDB_TOKEN__<NAME>`: capitals, and `_` for every character
    outside A-Z and 0-9."""
    return re.sub(r"[^A-Z0-9]", "_", destination.upper())


def variables_of(destination: str) -> dict[str, str]:
    """The variables of a token, a user name and a password for a destination, with values."""
    name = environment_name(destination)
    variables = [f"SYNDB_{what}__{name}" for what in ("TOKEN", "USERNAME", "PASSWORD")]
    return {variable: os.environ.get(variable, "") for variable in variables}


def not_meant_for(destination: str, server: HttpDestination, *more: str) -> ConfigError | None:
    """Why what the environment has for the destination of this name is not sent to `server`; None
    where it may be, or has nothing.

    `SYNDB_URL__<NAME>` says which address it is for. Without it that is the one in the user's own
    settings, and never one in a file beside a dataset, which may be somebody else's. `more` are
    variables beside those of `variables_of`.
    """
    variables = (*variables_of(destination), *more)
    present = [variable for variable in variables if os.environ.get(variable)]
    variable = f"SYNDB_URL__{environment_name(destination)}"
    meant = os.environ.get(variable)
    named = (server.url, server.target)  # with its base path, as a person may write it
    fits = any(same_address(meant, each) for each in named) if meant else server.beside is None
    if not present or fits:
        return None
    place = f", which {server.beside} names, a file beside the dataset" if server.beside else ""
    why = f"{variable} says {meant}" if meant else "that file may be somebody else's"
    return ConfigError(
        f"{' and '.join(present)}: not sent to {server.url}{place}: {why}.",
        next_step=f"If it is your server, set {variable} to {server.url}, or log in to it: "
        "syndb-pipeline login\nIf not, use your own pipeline.yaml.",
    )


def service_secret(destination: str, server: HttpDestination) -> SecretStr:
    """What `server` makes service accounts for, from the environment. Raises `ConfigError`."""
    variable = f"SYNDB_SERVICE_SECRET__{environment_name(destination)}"
    if refusal := not_meant_for(destination, server, variable):
        raise refusal
    if secret := os.environ.get(variable):
        return checked_token(SecretStr(secret), f"The environment variable {variable}")
    raise ConfigError(
        f"A service account needs the secret that whoever runs {destination} gives out for it.",
        next_step=f"Set the environment variable {variable} to it.",
    )


def in_environment(destination: str, server: HttpDestination) -> Credentials | None:
    """What the environment has for `server`, the destination of this name. Raises `ConfigError` as
    `find` does."""
    variables = variables_of(destination)
    if not any(variables.values()) or not_meant_for(destination, server) is not None:
        return None
    (variable, token), (_, username), (_, password) = variables.items()
    if bool(username) != bool(password):
        has, lacks = sorted(list(variables)[1:], key=lambda name: not variables[name])
        raise ConfigError(
            f"The environment variable {has} is set, but {lacks} is not.",
            next_step=f"Set both, or neither. A token alone goes into {variable}.",
        )
    return Credentials(
        username=username or None,
        password=SecretStr(password) if password else None,
        token=checked_token(SecretStr(token), f"The environment variable {variable}")
        if token
        else None,
        source="environment",
    )


# All places


def find(
    destination: str, server: HttpDestination, *, log: Log | None = None
) -> Credentials | None:
    """The credentials for `server` from the environment, else the keyring, else the file; None
    without any.

    The environment is asked by the destination's name, the others by the origin: when a
    destination's address changes, what was kept for the former one stays behind. `log` is called,
    once in a process, when a keyring cannot be used. Raises `ConfigError` for half a pair of
    variables, a token that cannot be one, a file that is damaged or open to others, and where
    nothing is found but what `not_meant_for` keeps back.
    """
    found = in_environment(destination, server) or kept(server.origin, log=log)
    if found is None and (refusal := not_meant_for(destination, server)) is not None:
        raise refusal
    return found


def kept(origin: str, *, log: Log | None = None) -> Credentials | None:
    """What the keyring or the file keeps for `origin`, whatever the environment has. Raises
    `ConfigError` as `find` does."""
    text = _ask_keyring(lambda backend: backend.get_password(SERVICE, origin), log)
    if (found := _parsed(text)) is not None:
        return found.model_copy(update={"source": "keyring"})
    if text is not None:
        entry = f"The keyring's entry {SERVICE} for {origin}"
        _log_once(f"{entry} is not readable; log in again to replace it.", log)
    found = _read_file(credentials_file()).get(origin)
    return found and found.model_copy(update={"source": "file"})


def remember(
    origin: str,
    *,
    token: SecretStr,
    refresh: SecretStr | None = None,
    username: str | None = None,
    password: SecretStr | None = None,
    log: Log | None = None,
) -> Source:
    """Keep what a log-in gave, in place of everything kept for its address before.

    Args:
        origin: The server's address, as `origin_of` gives it.
        token: Always kept.
        refresh: What renews it, where the server gave such a one.
        username: Whose it is.
        password: Kept only when given, so that unattended runs can renew an expired token.
        log: Called, once in a process, when a keyring cannot be used.

    Returns:
        Where it is kept: "keyring" or "file".

    Raises:
        ConfigError: The token cannot be one; the file is damaged, open to others or cannot be
            written.
    """
    new = Credentials(
        token=checked_token(token), refresh=refresh, username=username, password=password
    )
    _read_file(credentials_file())  # one that is not fit is refused before anything is kept
    if _write_keyring(origin, new, log):
        _write_file(origin, None)
        return "keyring"
    _write_file(origin, new)
    _write_keyring(origin, None, log)  # a former token there would be found before the new one
    return "file"


def forget(origin: str, *, log: Log | None = None) -> bool:
    """Remove what the keyring and the file keep for `origin`; whether there was anything. The
    environment is not ours to change.

    Raises `ConfigError` for a file that is damaged, open to others or cannot be written; the
    keyring's entry is gone by then.
    """
    return any([_write_keyring(origin, None, log), _write_file(origin, None)])


def checked_token(token: SecretStr, what: str = "The token") -> SecretStr:
    """`token` without space around it. Raises `ConfigError` for one that cannot be one; an HTTP
    library's error would quote it."""
    try:
        return _header_safe(token)
    except ValueError:
        raise ConfigError(
            f"{what} is empty or holds a space, a line end or a letter outside ASCII, as no token "
            "does.",
            next_step="Copy the token again, whole, without quotes and without the word Bearer.",
        ) from None


# The keyring


def _ask_keyring(use: Callable[[KeyringBackend], _Result], log: Log | None) -> _Result | None:
    """What `use` returns for this user's keyring; None without one that works, which is
    logged once in a process."""
    switch = os.environ.get("SYNDB_KEYRING", "").strip().casefold() or "on"
    if switch == "off":
        return None
    if switch != "on":
        raise ConfigError(
            f"The environment variable SYNDB_KEYRING is {switch!r}.",
            next_step="Set it to off, to on, or not at all.",
        )
    try:
        backend = _safe_backend()
        if backend is not None:
            return use(backend)
        reason = "There is no keyring here"
    except Exception as error:  # noqa: BLE001 - backends are plug-ins and raise whatever they meet
        # Its message is left out: it may quote the secret.
        reason = f"The keyring cannot be used ({type(error).__name__})"
    _log_once(f"{reason}; {credentials_file()} takes its place.", log)
    return None


def _safe_backend() -> KeyringBackend | None:
    """The keyring's first backend of priority 1 or more, keyring's own mark for one that is safe to
    use; plain-text files have less."""
    import keyring
    from keyring.backends.chainer import ChainerBackend

    chosen = keyring.get_keyring()
    # A chain would go on to a plain-text backend when a better one cannot do something.
    backends = chosen.backends if isinstance(chosen, ChainerBackend) else [chosen]
    return next((backend for backend in backends if backend.priority >= 1), None)


def _write_keyring(
    origin: str, new: Credentials | None, log: Log | None, *, renew: bool = False
) -> bool:
    """Keep `new` in the keyring, or with None drop what is there; whether that was done.

    `renew`: only in place of what is kept for the same user.
    """

    def write(backend: KeyringBackend) -> bool:
        before = backend.get_password(SERVICE, origin)
        if new is None:
            if before is not None:
                backend.delete_password(SERVICE, origin)
            return before is not None
        if renew and not _may_replace(_parsed(before), new, renew=True):
            return False
        text = json.dumps(new.revealed())
        backend.set_password(SERVICE, origin, text)
        # Some backends drop or cut what they cannot keep, and say nothing.
        return backend.get_password(SERVICE, origin) == text

    return bool(_ask_keyring(write, log))


def _parsed(text: str | None) -> Credentials | None:
    try:
        return None if text is None else Credentials.model_validate_json(text)
    except ValidationError:
        return None


_logged: set[str] = set()


def _log_once(message: str, log: Log | None) -> None:
    if log is not None and message not in _logged:
        _logged.add(message)
        log(message)


# The file


def credentials_file() -> Path:
    """The file of secrets: named by SYNDB_CREDENTIALS, else in the user's config folder. It need
    not exist."""
    if named := os.environ.get("SYNDB_CREDENTIALS"):
        return Path(named).expanduser().absolute()
    from platformdirs import user_config_path

    return user_config_path("syndb-pipeline") / "credentials.json"


def _read_file(path: Path) -> dict[str, Credentials]:
    """What the file keeps, by origin. What is opened is what is checked, so no other file can be
    put in its place in between."""
    try:
        # A pipe must not hold us up.
        with open(path, "rb", opener=lambda name, how: os.open(name, how | _NOT_WAITING)) as file:
            _refuse_shared(path, os.fstat(file.fileno()))
            content = file.read()
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise _unusable(path, f"cannot be read: {error.strerror}") from None
    try:
        return dict(_Kept.model_validate_json(content).origins) if content.strip() else {}
    except ValidationError:
        pass  # raised below: an exception raised in here would carry the content as its context
    raise ConfigError(
        f"{path} is damaged: it does not hold what syndb-pipeline writes.",
        next_step=f"Give: {'del' if sys.platform == 'win32' else 'rm'} {quoted(path)}\n"
        "Then log in again with: syndb-pipeline login",
    )


def _refuse_shared(path: Path, found: os.stat_result) -> None:
    if not stat.S_ISREG(found.st_mode):
        raise _unusable(path, "is not a file")
    if sys.platform == "win32":
        return  # the rights of its folder guard it
    if found.st_uid != os.geteuid():
        owner = f"belongs to another user (number {found.st_uid})"
        raise _unusable(path.resolve(), f"holds secrets, but {owner}")
    if found.st_mode & _OTHERS:
        raise ConfigError(
            f"{path} holds secrets, but is open to other users of this machine "
            f"(mode {stat.S_IMODE(found.st_mode):04o}).",
            next_step=f"Give: chmod 600 {quoted(path)}",
        )


def _unusable(path: Path, why: str) -> ConfigError:
    return ConfigError(
        f"{path} {why}.",
        next_step="Name a file of your own for secrets with the environment variable "
        "SYNDB_CREDENTIALS.",
    )


def _write_file(
    origin: str, new: Credentials | None, log: Log | None = None, *, renew: bool = False
) -> bool:
    """As `_write_keyring`, in the file, while no other process writes to it."""
    path = credentials_file()
    if new is None and origin not in _read_file(path):
        return False  # nothing to lock, and no folder to create
    target = path.resolve()  # a link stays a link
    lock = target.with_name(f"{target.name}.lock")
    try:
        target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with FileLock(lock, timeout=_LOCK_SECONDS, poll_interval=0.02, mode=0o600):
            lock.chmod(0o600)
            if lock.stat().st_mode & _OTHERS and sys.platform != "win32":
                why = "is on a file system that keeps no modes: secrets would be open to others"
                raise _unusable(target.parent, why)
            # Writers that were killed left secrets that no person would think of.
            for beside in target.parent.glob(f".{glob.escape(target.name)}.{'[0-9a-f]' * 32}"):
                beside.unlink(missing_ok=True)
            secrets = _read_file(path)
            before = secrets.pop(origin, None)
            if not _may_replace(before, new, renew=renew):
                return False
            if new is not None:
                secrets[origin] = new
            if not secrets:
                target.unlink(missing_ok=True)
                return True
            origins = {name: secrets[name].revealed() for name in sorted(secrets)}
            text = json.dumps({"version": 1, "origins": origins}, indent=1) + "\n"
            write_atomically(target, text, mode=0o600)
            return True
    except OSError as error:  # also that another process holds the lock for too long
        raise _unusable(target, f"cannot be written: {error.strerror or error}") from None


def log_in_again(destination: str, server: HttpDestination, username: str | None = None) -> str:
    """What a person does when a server does not take what was found, or the password of `username`.

    A log-in changes nothing where the environment has credentials.
    """
    present = in_environment(destination, server)
    command = f"Log in with: syndb-pipeline login --destination {destination}"
    if present is None or username not in (None, present.username):
        return command
    token, *pair = variables_of(destination)
    # A token of the environment is tried first; a name and a password renew it, so they are what
    # was refused last.
    wrong = " and ".join(pair) if present.username else token
    return f"Correct {wrong} in the environment; or unset it, for it goes first.\n{command}"
