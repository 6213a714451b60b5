"""Passwords and tokens: found in the environment, the keyring or a file of mode 0600, kept in one
of the last two.

Belongs here: where a destination's secrets are, who may read them. Does not: when to log in
(`access.py`) or asking for a password (`cli/`).
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
from syndb_pipeline.destinations.rest.settings import RestDestination, same_address
from syndb_pipeline.state.store import write_atomically

if TYPE_CHECKING:
    from keyring.backend import KeyringBackend

Source = Literal["environment", "keyring", "file"]
Log = Callable[[str], None]
_Result = TypeVar("_Result")

SERVICE = "syndb-pipeline"
"""The name under which the keyring lists what is ours; an entry's account is the origin, its secret
a JSON object."""

_OTHERS = stat.S_IRWXG | stat.S_IRWXO
_LOCK_SECONDS = 10.0


def _header_safe(token: SecretStr) -> SecretStr:
    # Whatever else would break the Authorization header, and the HTTP library's message about that
    # would quote the token.
    stripped = token.get_secret_value().strip()
    if not re.fullmatch(r"[!-~]+", stripped):
        raise ValueError("no token")
    return SecretStr(stripped)


class _Hidden(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class _Secrets(_Hidden):
    token: Annotated[SecretStr, AfterValidator(_header_safe)]
    username: str | None = None
    password: SecretStr | None = None

    def revealed(self) -> dict[str, str]:
        """What is written to the keyring or the file; the only place where a secret turns into
        text."""
        return {
            name: value.get_secret_value() if isinstance(value, SecretStr) else value
            for name, value in self
            if value
        }


class _Kept(_Hidden):
    version: Literal[1]
    origins: dict[str, _Secrets]


class Credentials(_Hidden):
    """What to log in with at one origin, and where it was found: a token, or a user name with its
    password, or all three."""

    username: str | None = None
    password: SecretStr | None = None
    token: SecretStr | None = None
    source: Source

    def renewed(self, origin: str, token: SecretStr, *, log: Log | None = None) -> Credentials:
        """These credentials with a new token, which is also kept where they were found.

        Nothing is kept for those of the environment, nor when somebody logged out or logged in as
        another user since. A place that cannot be written is logged and is no error: the new token
        serves this run all the same. Raises `ConfigError` for a token that cannot be one.
        """
        secrets = _checked(token, self.username, self.password)
        try:
            if self.source == "keyring":
                _write_keyring(origin, secrets, log, renew=True)
            elif self.source == "file":
                _write_file(origin, secrets, renew=True)
        except PipelineError as error:
            if log is not None:
                log(f"The renewed token was not kept. {error.message}")
        return self.model_copy(update={"token": secrets.token})


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


def not_meant_for(destination: str, server: RestDestination) -> ConfigError | None:
    """Why what the environment has for the destination of this name is not sent to `server`; None
    where it may be, or has nothing.

    `SYNDB_URL__<NAME>` says which address it is for. Without it that is the one in the user's own
    settings, and never one in a file beside a dataset: whoever gave the dataset may have written
    it.
    """
    present = [variable for variable, value in variables_of(destination).items() if value]
    variable = f"SYNDB_URL__{environment_name(destination)}"
    meant = os.environ.get(variable)
    fits = same_address(meant, server.url) if meant else server.beside is None
    if not present or fits:
        return None
    verb = "is" if len(present) == 1 else "are"
    place = f", which {server.beside} names, a file beside the dataset" if server.beside else ""
    why = f"{variable} says {meant}" if meant else "that file may be somebody else's"
    return ConfigError(
        f"{' and '.join(present)} {verb} not sent to {server.url}{place}: {why}.",
        next_step=f"If it is your server, set {variable} to {server.url}, or log in to it: "
        "syndb-pipeline login\nIf not, use your own pipeline.yaml.",
    )


def in_environment(destination: str, server: RestDestination) -> Credentials | None:
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
    destination: str, server: RestDestination, *, log: Log | None = None
) -> Credentials | None:
    """The credentials for `server` from the environment, else the keyring, else the file; None
    without any.

    The environment is asked by the destination's name, for an address that `not_meant_for` lets
    pass; the others by the origin: when a destination's address changes, what was kept for the
    former one stays behind. `log` hears, once in a process, that a keyring cannot be used. Raises
    `ConfigError` for half a pair of variables, a token that cannot be one, a file that is damaged
    or open to others, and where nothing is found but what `not_meant_for` keeps back.
    """
    found = in_environment(destination, server) or kept(server.origin, log=log)
    if found is None and (refusal := not_meant_for(destination, server)) is not None:
        raise refusal
    return found


def kept(origin: str, *, log: Log | None = None) -> Credentials | None:
    """What the keyring or the file keeps for `origin`, whatever the environment has. Raises
    `ConfigError` as `find` does."""
    text = _ask_keyring(lambda backend: backend.get_password(SERVICE, origin), log)
    secrets, source = _parsed(text), "keyring"
    if secrets is None:
        if text is not None:
            entry = f"The keyring's entry {SERVICE} for {origin}"
            _log_once(f"{entry} is not readable; log in again to replace it.", log)
        secrets, source = _read_file(credentials_file()).get(origin), "file"
    if secrets is None:
        return None
    return Credentials.model_validate({**dict(secrets), "source": source})


def remember(
    origin: str,
    *,
    token: SecretStr,
    username: str | None = None,
    password: SecretStr | None = None,
    log: Log | None = None,
) -> Source:
    """Keep what a log-in gave, in place of everything kept for its address before.

    Args:
        origin: The server's address, as `origin_of` gives it.
        token: Always kept.
        username: Whose it is.
        password: Kept only when given, so that unattended runs can renew an expired token.
        log: Hears, once in a process, that a keyring cannot be used.

    Returns:
        Where it is kept: "keyring" or "file".

    Raises:
        ConfigError: The token cannot be one; the file is damaged, open to others or cannot be
            written.
    """
    secrets = _checked(token, username, password)
    _read_file(credentials_file())  # one that is not fit is refused before anything is kept
    if _write_keyring(origin, secrets, log):
        _write_file(origin, None)
        return "keyring"
    _write_file(origin, secrets)
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
    return _checked(token, None, None, what).token


def _checked(
    token: SecretStr, username: str | None, password: SecretStr | None, what: str = "The token"
) -> _Secrets:
    try:
        return _Secrets(token=token, username=username, password=password)
    except ValidationError:
        pass  # raised below: an exception raised in here would carry the token as its context
    raise ConfigError(
        f"{what} is empty or holds a space, a line end or a letter outside ASCII, as no token "
        "does.",
        next_step="Copy the token again, whole, without quotes and without the word Bearer.",
    )


# The keyring


def _ask_keyring(use: Callable[[KeyringBackend], _Result], log: Log | None) -> _Result | None:
    """What `use` returns for this user's keyring; None without one that works, which `log` hears
    once in a process."""
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
    origin: str, new: _Secrets | None, log: Log | None, *, renew: bool = False
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
        if renew and not _same_user(_parsed(before), new):
            return False
        text = json.dumps(new.revealed())
        backend.set_password(SERVICE, origin, text)
        # Some backends drop or cut what they cannot keep, and say nothing.
        return backend.get_password(SERVICE, origin) == text

    return bool(_ask_keyring(write, log))


def _same_user(before: _Secrets | None, new: _Secrets) -> bool:
    return before is not None and before.username == new.username


def _parsed(text: str | None) -> _Secrets | None:
    try:
        return None if text is None else _Secrets.model_validate_json(text)
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


def _read_file(path: Path) -> dict[str, _Secrets]:
    """What the file keeps, by origin. What is opened is what is checked, so no other file can be
    put in its place in between."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)  # a pipe must not hold us up
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
        pass  # raised below: an exception raised in here would carry the content as its context
    raise ConfigError(
        f"{path} is damaged: it does not hold what syndb-pipeline writes.",
        next_step=f"Give: rm {shlex.quote(str(path))}\n"
        "Then log in again with: syndb-pipeline login",
    )


def _refuse_shared(path: Path, found: os.stat_result) -> None:
    if not stat.S_ISREG(found.st_mode):
        raise _unusable(path, "is not a file")
    if found.st_uid != os.geteuid():
        real = path.resolve()
        through = f", through the link {path}" if real != path else ""
        owner = f"belongs to another user (number {found.st_uid})"
        raise _unusable(real, f"holds secrets, but {owner}{through}")
    if found.st_mode & _OTHERS:
        raise ConfigError(
            f"{path} holds secrets, but is open to other users of this machine "
            f"(mode {stat.S_IMODE(found.st_mode):04o}).",
            next_step=f"Give: chmod 600 {shlex.quote(str(path))}",
        )


def _unusable(path: Path, why: str) -> ConfigError:
    return ConfigError(
        f"{path} {why}.",
        next_step="Name a file of your own for secrets with the environment variable "
        "SYNDB_CREDENTIALS.",
    )


def _write_file(origin: str, new: _Secrets | None, *, renew: bool = False) -> bool:
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
            if lock.stat().st_mode & _OTHERS:
                why = "is on a file system that keeps no modes"
                why += ", so secrets there would be open to others"
                raise _unusable(target.parent, why)
            _sweep(target)
            secrets = _read_file(path)
            before = secrets.pop(origin, None)
            if new is None and before is None:
                return False
            if new is not None:
                if renew and not _same_user(before, new):
                    return False
                secrets[origin] = new
            if not secrets:
                target.unlink(missing_ok=True)
                return True
            origins = {name: secrets[name].revealed() for name in sorted(secrets)}
            text = json.dumps({"version": 1, "origins": origins}, indent=1) + "\n"
            write_atomically(target, text, mode=0o600)
            return True
    except Timeout:
        raise PipelineError(
            f"Another process has held {lock} for {_LOCK_SECONDS:.0f} s.",
            next_step="Wait for it to end, then give the same command again.",
        ) from None
    except OSError as error:
        raise _unusable(target, f"cannot be written: {error.strerror}") from None


def _sweep(target: Path) -> None:
    """Remove what writers that were killed left beside the file: it holds secrets that no person
    would think of."""
    for beside in target.parent.iterdir():
        if re.fullmatch(rf"\.{re.escape(target.name)}\.[0-9a-f]{{32}}", beside.name):
            beside.unlink(missing_ok=True)
